//! No protocol at all, for the ceiling: a hello that says who is who, then frames of one size. A receiver answers each
//! frame with an ack where the plan wants acks; the relay passes it back to the sender.

use anyhow::ensure;

use super::{Device, Event, Publish, Speech};
use crate::ceiling::wire::{ACK_BYTES, HELLO_BYTES, Kind, READY, hello};
use crate::load::plan::Part;

pub struct Bare {
    pub bytes: usize,
    /// Receivers answer each frame.
    pub acks: bool,
}

impl Speech for Bare {
    fn greet(&self, device: &Device, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let kind = match device.part {
            Part::Speaker => Kind::Speaker,
            Part::Sender => Kind::Sender,
            Part::Receiver => Kind::Receiver,
            Part::Listener | Part::Stalled => Kind::Listener,
            // Bare accepts: a connection is all there is.
            Part::Idle | Part::Scribe | Part::Reader | Part::Caller => return Ok(()),
        };
        let hello: [u8; HELLO_BYTES] = hello(kind, device.number);
        out.extend_from_slice(&hello);
        Ok(())
    }

    fn publish(&self, _device: &Device, publish: &Publish<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(publish.payload);
    }

    fn hear<'a>(
        &self,
        device: &mut Device,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Option<(usize, Event<'a>)>> {
        if device.session.token.is_empty() {
            let Some(&said) = bytes.first() else { return Ok(None) };
            ensure!(said == READY, "the ceiling's server says {said}");
            device.session.token.push(said);
            return Ok(Some((1, Event::Ready)));
        }
        if device.part == Part::Sender {
            let Some(ack) = bytes.get(..ACK_BYTES) else { return Ok(None) };
            let id = u64::from_be_bytes(ack[8..].try_into()?);
            return Ok(Some((ACK_BYTES, Event::Accepted { id, seq: 0, conversation: "" })));
        }
        let Some(payload) = bytes.get(..self.bytes) else { return Ok(None) };
        if device.part == Part::Receiver && self.acks {
            // The stamp is the ack: its second half is the message's number, which is its id.
            out.extend_from_slice(&payload[..ACK_BYTES]);
        }
        Ok(Some((self.bytes, Event::Delivered { payload, seq: 0 })))
    }
}
