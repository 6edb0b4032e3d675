//! How devices say what they say. A speech is pure: bytes in, events out, bytes to send appended.

use crate::load::plan::{self, Deed, Part, Plan};

mod bare;
mod fields;
mod gateway;
mod mqtt;
mod nats;

/// What a speech has to remember of one device.
pub struct Device {
    pub part: Part,
    pub number: u32,
    pub session: Session,
}

/// What is known of a device's session with the server.
#[derive(Default)]
pub struct Session {
    /// Ask to resume at the next login.
    pub resume: bool,
    pub token: Vec<u8>,
    pub resumed: bool,
    /// The highest session seq that came, and that was acknowledged.
    pub seen: u64,
    pub acknowledged: u64,
    /// The highest seq of its conversation that came.
    pub tip: u64,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// To all listeners.
    All,
    /// To the receiver with this number.
    Receiver(u32),
    /// Into one of the scribe's or reader's own conversations.
    Own(u32),
    /// To the idle device with this number.
    Idle(u32),
}

/// A message to send.
pub struct Publish<'a> {
    pub to: To,
    /// Comes back in [`Event::Accepted`]; from 1.
    pub id: u64,
    pub payload: &'a [u8],
    pub stored: bool,
}

/// What a server has said.
#[derive(Debug)]
pub enum Event<'a> {
    /// The device is logged in, and hears what its part has it hear.
    Ready,
    /// A message has come. `seq` is its place in a log, 0 if it has none.
    Delivered {
        payload: &'a [u8],
        seq: u64,
    },
    /// A copy of what had come before.
    Repeated,
    /// The message with this id is accepted, with its place in a log.
    Accepted {
        id: u64,
        seq: u64,
        conversation: &'a str,
    },
    /// There is more than was pushed.
    Behind {
        conversation: String,
    },
    /// A page of a log, as asked for by this id.
    Page {
        id: u64,
        messages: Vec<(u64, Vec<u8>)>,
        more: bool,
    },
    /// The server takes nobody more for now: come back, not before so many milliseconds.
    SentAway {
        delay_ms: u32,
        why: String,
    },
    Nothing,
}

/// A protocol, from the devices' side.
pub trait Speech {
    /// What a device says first.
    ///
    /// # Errors
    /// If it has no token to show.
    fn greet(&self, device: &Device, out: &mut Vec<u8>) -> anyhow::Result<()>;

    fn publish(&self, device: &Device, publish: &Publish<'_>, out: &mut Vec<u8>);

    /// Reads one unit from the front of `bytes`: its length and what it says, or None if it is not whole. What has to
    /// be answered at once goes to `out`.
    ///
    /// # Errors
    /// What the server says against it, or that it does not speak the protocol.
    fn hear<'a>(
        &self,
        device: &mut Device,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Option<(usize, Event<'a>)>>;

    /// Acknowledges what the device has got and not acknowledged, if the protocol has that.
    fn acknowledge(&self, _device: &mut Device, _out: &mut Vec<u8>) {}

    /// A sign of life after long silence, if the protocol wants one.
    fn ping(&self, _out: &mut Vec<u8>) {}

    /// Asks for a page of a log, from this seq on.
    fn ask(&self, _conversation: &str, _id: u64, _from: u64, _limit: u32, _out: &mut Vec<u8>) {}

    /// The conversation of all listeners.
    fn group(&self) -> &str {
        ""
    }
}

/// The speech that a plan names.
pub fn of(plan: &Plan) -> Box<dyn Speech> {
    match &plan.speech {
        plan::Speech::Gateway { transport, minter, group, .. } => {
            Box::new(gateway::Gateway::new(*transport, minter.clone(), group.clone()))
        }
        plan::Speech::Bare => {
            let acks = matches!(plan.deed, Deed::Pairs { accepted: true, .. });
            Box::new(bare::Bare { bytes: plan.bytes, acks })
        }
        plan::Speech::Mqtt { qos } => Box::new(mqtt::Mqtt { qos: *qos }),
        plan::Speech::Nats => Box::new(nats::Nats),
    }
}
