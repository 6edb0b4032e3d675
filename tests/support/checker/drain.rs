//! A gateway that is told to end.

use protocol::code::Code;

use super::{Violation, expect};
use crate::support::history::{Event, History};

/// What a request may be refused with for good at any time: it is the request's own fault.
const OWN_FAULTS: [Code; 5] =
    [Code::INVALID_REQUEST, Code::NOT_FOUND, Code::NOT_ALLOWED, Code::TOO_MANY, Code::CONTENT_TOO_LARGE];
/// The connection's own fault, in the same way: another one of the same device is newer.
const DISPLACED: Code = Code::SUPERSEDED;

/// Invariant 14: a gateway that drains tells its devices to come back, and refuses nothing for good that it would not
/// refuse anyway.
pub fn a_drain_is_soft(history: &History) -> Vec<Violation> {
    const RULE: &str = "a drain is soft";
    let mut found = Vec::new();
    for event in &history.events {
        match event {
            Event::SentAway { device, connection, told } => {
                expect(&mut found, RULE, *told, || {
                    format!("connection {connection} of device {device:x} ended without a GoAway")
                });
            }
            Event::RefusedInDrain { device, code, retryable } => {
                let mut own = OWN_FAULTS.iter().chain([&DISPLACED]).map(|code| code.number());
                let allowed = *retryable || own.any(|own| own == *code);
                expect(&mut found, RULE, allowed, || format!("device {device:x} was refused with {code}"));
            }
            _ => {}
        }
    }
    found
}
