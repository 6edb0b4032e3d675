//! Finds payload in what a client sends, in place and without memory of its own.
//!
//! The payloads of binary messages, one after the other, are the stream of device frames: where a message or a
//! fragment ends has no meaning here.

use std::ops::Range;

use super::frame::{Control, MAX_CONTROL_BYTES, MAX_PAYLOAD_BYTES, Opcode, Violation};
use super::mask::unmask;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const MAX_HEAD_BYTES: usize = 14;

/// The state between two reads: 40 bytes, and a box only while a ping or close is half here.
#[derive(Debug, Default)]
pub struct Deframer {
    head: [u8; MAX_HEAD_BYTES],
    have: u8,
    in_payload: bool,
    in_message: bool,
    /// `mask[0]` belongs to the next payload byte.
    mask: [u8; 4],
    left: u32,
    control: Option<Box<Control>>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// Unmasked payload of a binary message, as a range of the input; never empty.
    Payload(Range<usize>),
    /// A ping that wants this back.
    Ping(Box<Control>),
    /// A valid close; nothing that follows counts.
    Close(Box<Control>),
}

impl Deframer {
    /// The next item in `input` from `*at` on, which moves past what was used; `None` when the input is used up.
    pub fn next(&mut self, input: &mut [u8], at: &mut usize) -> Result<Option<Item>, Violation> {
        loop {
            if !self.in_payload && !self.take_head(input, at)? {
                return Ok(None);
            }
            if let Some(item) = self.take_payload(input, at)? {
                return Ok(Some(item));
            }
            if self.in_payload {
                return Ok(None);
            }
        }
    }

    /// Collects a frame's head; true when it is whole and allowed.
    fn take_head(&mut self, input: &[u8], at: &mut usize) -> Result<bool, Violation> {
        if !self.fill_head(2, input, at) {
            return Ok(false);
        }
        self.check_start()?;
        let extended = match self.head[1] & LENGTH {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if !self.fill_head(2 + extended + 4, input, at) {
            return Ok(false);
        }
        self.left = self.length(extended)?;
        let mask = &self.head[2 + extended..];
        self.mask = [mask[0], mask[1], mask[2], mask[3]];
        self.in_payload = true;
        Ok(true)
    }

    /// Moves bytes into the head until it has `want`.
    fn fill_head(&mut self, want: usize, input: &[u8], at: &mut usize) -> bool {
        let have = usize::from(self.have);
        let take = want.saturating_sub(have).min(input.len() - *at);
        self.head[have..have + take].copy_from_slice(&input[*at..*at + take]);
        *at += take;
        self.have = (have + take) as u8;
        have + take >= want
    }

    /// Judges the first two bytes before the rest of the head is there.
    fn check_start(&mut self) -> Result<(), Violation> {
        let [first, second, ..] = self.head;
        if first & RESERVED != 0 {
            return Err(Violation::Reserved);
        }
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let fin = first & FIN != 0;
        match Opcode::from_first_byte(first).ok_or(Violation::Opcode)? {
            opcode if opcode.is_control() => {
                if !fin {
                    return Err(Violation::ControlFragmented);
                }
                if usize::from(second & LENGTH) > MAX_CONTROL_BYTES {
                    return Err(Violation::ControlTooLong);
                }
                Ok(())
            }
            Opcode::Continuation if !self.in_message => Err(Violation::NothingToContinue),
            Opcode::Continuation => Ok(()),
            _ if self.in_message => Err(Violation::Interleaved),
            Opcode::Text => Err(Violation::Text),
            _ => Ok(()),
        }
    }

    fn length(&self, extended: usize) -> Result<u32, Violation> {
        let mut length = u64::from(self.head[1] & LENGTH);
        if extended > 0 {
            length = self.head[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        }
        if length >> 63 != 0 {
            return Err(Violation::LengthSign);
        }
        if length > MAX_PAYLOAD_BYTES {
            return Err(Violation::TooLong);
        }
        Ok(length as u32)
    }

    /// Unmasks what is here of the current payload, and ends the frame if that was all of it.
    fn take_payload(&mut self, input: &mut [u8], at: &mut usize) -> Result<Option<Item>, Violation> {
        let take = (self.left as usize).min(input.len() - *at);
        let range = *at..*at + take;
        let payload = &mut input[range.clone()];
        unmask(payload, self.mask);
        self.mask.rotate_left(take % 4);
        *at += take;
        self.left -= take as u32;
        let whole = self.left == 0;
        if whole {
            self.in_payload = false;
            self.have = 0;
        }
        let opcode = Opcode::from_first_byte(self.head[0]).ok_or(Violation::Opcode)?;
        match opcode {
            Opcode::Pong => Ok(None),
            Opcode::Ping | Opcode::Close => self.take_control(opcode, payload, whole),
            Opcode::Continuation | Opcode::Binary | Opcode::Text => {
                self.in_message = self.head[0] & FIN == 0;
                Ok((take > 0).then_some(Item::Payload(range)))
            }
        }
    }

    fn take_control(&mut self, opcode: Opcode, bytes: &[u8], whole: bool) -> Result<Option<Item>, Violation> {
        let mut control = self.control.take().unwrap_or_default();
        control.extend(bytes);
        if !whole {
            self.control = Some(control);
            return Ok(None);
        }
        if opcode == Opcode::Ping {
            return Ok(Some(Item::Ping(control)));
        }
        control.check_close()?;
        Ok(Some(Item::Close(control)))
    }
}

#[cfg(test)]
#[path = "deframe_tests.rs"]
mod tests;
