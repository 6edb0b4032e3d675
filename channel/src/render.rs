//! How a stored entry is served: without its content once it was recalled.

use bytes::Bytes;
use prost::Message as _;
use protocol::code::Code;
use protocol::v1::Message;
use storage::log::StoredEntry;

/// The entry's bytes for a device. Everything that serves entries from the log goes through here.
pub fn served(entry: StoredEntry) -> Result<Bytes, Code> {
    if !entry.fate.recalled {
        return Ok(entry.payload);
    }
    let message = Message::decode(entry.payload).map_err(|_| Code::CORRUPT)?;
    Ok(recalled(message).encode_to_vec().into())
}

/// The same, decoded.
pub fn message(entry: StoredEntry) -> Result<Message, Code> {
    let message = Message::decode(entry.payload).map_err(|_| Code::CORRUPT)?;
    Ok(if entry.fate.recalled { recalled(message) } else { message })
}

/// What it was and who said it stays; what was said goes.
fn recalled(message: Message) -> Message {
    Message { content: None, recalled: true, ..message }
}

#[cfg(test)]
mod tests {
    use protocol::v1::{Content, Relation};
    use storage::log::Fate;

    use super::*;

    #[test]
    fn nothing_of_what_was_said_is_left() {
        let content = Some(Content { r#type: "text/plain".into(), data: "a secret".into() });
        let relation = Some(Relation { kind: 1, seq: 2 });
        let said = Message { seq: 3, sender: "ann".into(), content, relation, ..Message::default() };
        let payload = Bytes::from(said.encode_to_vec());
        let entry = |recalled| {
            let fate = Fate { recalled, edited: 0 };
            StoredEntry { seq: 3, payload: payload.clone(), fate }
        };
        assert_eq!(served(entry(false)).unwrap(), payload);
        let left = served(entry(true)).unwrap();
        assert!(!left.windows(6).any(|window| window == b"secret"));
        let left = Message::decode(left).unwrap();
        assert_eq!(left, Message { content: None, recalled: true, ..said });
        assert_eq!(message(entry(true)).unwrap(), left);
    }
}
