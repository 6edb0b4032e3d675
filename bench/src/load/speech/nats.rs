//! The protocol of NATS: what a load test needs of it.

use anyhow::{Context as _, bail};

use super::{Device, Event, Publish, Speech, To};
use crate::load::plan::Part;

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,\"lang\":\"bench\"}\r\n";

pub struct Nats;

impl Speech for Nats {
    fn greet(&self, device: &Device, out: &mut Vec<u8>) -> anyhow::Result<()> {
        out.extend_from_slice(CONNECT.as_bytes());
        if let Some(subject) = subject(device) {
            out.extend_from_slice(format!("SUB {subject} 1\r\n").as_bytes());
        }
        // Its answer says that all before it has been done.
        out.extend_from_slice(b"PING\r\n");
        Ok(())
    }

    fn publish(&self, _device: &Device, publish: &Publish<'_>, out: &mut Vec<u8>) {
        let length = publish.payload.len();
        let head = match publish.to {
            To::All => format!("PUB all {length}\r\n"),
            To::Receiver(number) | To::Own(number) | To::Idle(number) => {
                format!("PUB to.{number} {length}\r\n")
            }
        };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(publish.payload);
        out.extend_from_slice(b"\r\n");
    }

    fn hear<'a>(
        &self,
        _device: &mut Device,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Option<(usize, Event<'a>)>> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let (line, front) = (std::str::from_utf8(&bytes[..end])?.trim_end(), end + 1);
        let event = match line.split(' ').next().unwrap_or_default() {
            "MSG" => {
                let length: usize = line.rsplit(' ').next().context("a message without a length")?.parse()?;
                let Some(payload) = bytes.get(front..front + length + 2) else { return Ok(None) };
                return Ok(Some((
                    front + length + 2,
                    Event::Delivered { payload: &payload[..length], seq: 0 },
                )));
            }
            "PONG" => Event::Ready,
            "PING" => {
                out.extend_from_slice(b"PONG\r\n");
                Event::Nothing
            }
            "-ERR" => bail!("the server answers {line}"),
            _ => Event::Nothing,
        };
        Ok(Some((front, event)))
    }
}

fn subject(device: &Device) -> Option<String> {
    match device.part {
        Part::Listener | Part::Stalled => Some("all".into()),
        Part::Receiver => Some(format!("to.{}", device.number)),
        Part::Idle => Some(format!("idle.{}", device.number)),
        Part::Speaker | Part::Sender | Part::Scribe | Part::Reader | Part::Caller => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::speech::Session;

    #[test]
    fn a_message_is_whole_with_its_payload() {
        let mut device = Device { part: Part::Listener, number: 0, session: Session::default() };
        let (wire, mut out) = (b"MSG all 1 4\r\nabcd\r\nPING\r\n", Vec::new());
        for end in 0..19 {
            assert!(Nats.hear(&mut device, &wire[..end], &mut out).unwrap().is_none());
        }
        let (length, event) = Nats.hear(&mut device, wire, &mut out).unwrap().unwrap();
        assert!(matches!(event, Event::Delivered { payload: b"abcd", .. }) && length == 19);
        assert!(Nats.hear(&mut device, &wire[19..], &mut out).unwrap().is_some());
        assert_eq!(out, b"PONG\r\n");
    }
}
