//! MQTT 3.1.1: what a load test needs of it.

use anyhow::{bail, ensure};

use super::{Device, Event, Publish, Speech, To};
use crate::load::plan::Part;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

pub struct Mqtt {
    /// 0, or 1 for messages that are acknowledged.
    pub qos: u8,
}

impl Mqtt {
    /// A message that has come: its payload, behind the topic and, where it wants an answer, the packet's id.
    fn published<'a>(&self, head: u8, body: &'a [u8], out: &mut Vec<u8>) -> anyhow::Result<Event<'a>> {
        let topic = 2 + usize::from(u16::from_be_bytes([byte(body, 0)?, byte(body, 1)?]));
        if head & 0x06 == 0 {
            return Ok(Event::Delivered { payload: body.get(topic..).unwrap_or_default(), seq: 0 });
        }
        out.extend_from_slice(&[PUBACK, 2, byte(body, topic)?, byte(body, topic + 1)?]);
        Ok(Event::Delivered { payload: body.get(topic + 2..).unwrap_or_default(), seq: 0 })
    }

    fn subscribe(&self, topic: &str, out: &mut Vec<u8>) {
        let mut body = vec![0, 1];
        text(topic, &mut body);
        body.push(self.qos);
        packet(SUBSCRIBE, &[&body], out);
    }
}

impl Speech for Mqtt {
    fn greet(&self, device: &Device, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let mut body = Vec::new();
        text("MQTT", &mut body);
        // Level 4, clean session, no keep-alive.
        body.extend_from_slice(&[4, 2, 0, 0]);
        text(&format!("{}-{:?}{}", std::process::id(), device.part, device.number), &mut body);
        packet(CONNECT, &[&body], out);
        Ok(())
    }

    fn publish(&self, _device: &Device, publish: &Publish<'_>, out: &mut Vec<u8>) {
        let mut front = Vec::with_capacity(16);
        match publish.to {
            To::All => text("all", &mut front),
            To::Receiver(number) | To::Own(number) | To::Idle(number) => {
                text(&format!("to/{number}"), &mut front)
            }
        }
        if self.qos > 0 {
            front.extend_from_slice(&packet_id(publish.id).to_be_bytes());
        }
        packet(PUBLISH | self.qos << 1, &[&front, publish.payload], out);
    }

    fn hear<'a>(
        &self,
        device: &mut Device,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Option<(usize, Event<'a>)>> {
        let Some((front, length)) = measure(bytes)? else { return Ok(None) };
        let Some(body) = bytes.get(front..front + length) else { return Ok(None) };
        let event = match bytes[0] & 0xF0 {
            CONNACK => {
                ensure!(byte(body, 1)? == 0, "the broker refuses with {}", body[1]);
                match topic(device) {
                    Some(topic) => {
                        self.subscribe(&topic, out);
                        Event::Nothing
                    }
                    None => Event::Ready,
                }
            }
            SUBACK => Event::Ready,
            PUBLISH => self.published(bytes[0], body, out)?,
            PUBACK => {
                let id = u16::from_be_bytes([byte(body, 0)?, byte(body, 1)?]);
                Event::Accepted { id: id.into(), seq: 0, conversation: "" }
            }
            other => bail!("the broker sends a packet of kind {other:#04x}"),
        };
        Ok(Some((front + length, event)))
    }
}

/// Packet ids have 16 bits and are never 0.
pub fn packet_id(id: u64) -> u16 {
    ((id - 1) % 65_535 + 1) as u16
}

/// What a device subscribes to.
fn topic(device: &Device) -> Option<String> {
    match device.part {
        Part::Listener | Part::Stalled => Some("all".into()),
        Part::Receiver => Some(format!("to/{}", device.number)),
        Part::Idle => Some(format!("idle/{}", device.number)),
        Part::Speaker | Part::Sender | Part::Scribe | Part::Reader | Part::Caller => None,
    }
}

fn byte(bytes: &[u8], at: usize) -> anyhow::Result<u8> {
    match bytes.get(at) {
        Some(byte) => Ok(*byte),
        None => bail!("the broker sends a packet that is too short"),
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(head: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    out.push(head);
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Bytes in front of a packet's body, and of its body; None if they have not all come.
fn measure(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let mut length = 0;
    for at in 0..4 {
        let Some(&byte) = bytes.get(1 + at) else { return Ok(None) };
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((2 + at, length)));
        }
    }
    bail!("the broker sends a packet without a length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::speech::Session;

    #[test]
    fn a_message_goes_round() {
        let mqtt = Mqtt { qos: 1 };
        let mut device = Device { part: Part::Receiver, number: 7, session: Session::default() };
        let (mut wire, payload) = (Vec::new(), vec![b'x'; 300]);
        mqtt.publish(
            &device,
            &Publish { to: To::Receiver(7), id: 5, payload: &payload, stored: false },
            &mut wire,
        );
        let mut out = Vec::new();
        for end in 0..wire.len() {
            assert!(mqtt.hear(&mut device, &wire[..end], &mut out).unwrap().is_none());
        }
        let (length, event) = mqtt.hear(&mut device, &wire, &mut out).unwrap().unwrap();
        assert_eq!((length, &out[..]), (wire.len(), &[PUBACK, 2, 0, 5][..]));
        assert!(matches!(event, Event::Delivered { payload: got, .. } if got == payload));
    }

    #[test]
    fn packet_ids_wrap_without_zero() {
        assert_eq!([1, 65_535, 65_536, 131_070].map(packet_id), [1, 65_535, 1, 65_535]);
    }
}
