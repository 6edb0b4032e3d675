//! The fields of a protobuf message, without decoding what nobody asks for: a generator must be cheaper than the server
//! it loads.

use anyhow::{Context as _, bail};

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn number(self) -> u64 {
        match self {
            Value::Number(number) => number,
            Value::Bytes(_) => 0,
        }
    }

    pub fn bytes(self) -> &'a [u8] {
        match self {
            Value::Bytes(bytes) => bytes,
            Value::Number(_) => &[],
        }
    }
}

/// The next field of a message: its number and value; None at the end.
///
/// # Errors
/// If the bytes are no protobuf.
// Always inlined, as what it calls: a call hands its result over in memory, and the wait for that shows in the rate.
#[inline(always)]
pub fn next<'a>(bytes: &mut &'a [u8]) -> anyhow::Result<Option<(u32, Value<'a>)>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = varint(bytes)?;
    let value = match key & 7 {
        0 => Value::Number(varint(bytes)?),
        1 => Value::Number(u64::from_le_bytes(take(bytes, 8)?.try_into()?)),
        2 => {
            let length = varint(bytes)? as usize;
            Value::Bytes(take(bytes, length)?)
        }
        5 => Value::Number(u32::from_le_bytes(take(bytes, 4)?.try_into()?).into()),
        kind => bail!("a field of unknown kind {kind}"),
    };
    Ok(Some(((key >> 3) as u32, value)))
}

/// The value of the first field with this number, if there is one.
pub fn find<'a>(mut bytes: &'a [u8], number: u32) -> anyhow::Result<Option<Value<'a>>> {
    while let Some((found, value)) = next(&mut bytes)? {
        if found == number {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A varint from the front.
#[inline(always)]
pub fn varint(bytes: &mut &[u8]) -> anyhow::Result<u64> {
    // Most are short.
    if let [byte @ 0..=0x7F, rest @ ..] = *bytes {
        *bytes = rest;
        return Ok(u64::from(*byte));
    }
    long_varint(bytes)
}

fn long_varint(bytes: &mut &[u8]) -> anyhow::Result<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
    }
    bail!("a number without an end")
}

#[inline(always)]
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> anyhow::Result<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(length).context("a field without an end")?;
    *bytes = rest;
    Ok(front)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message as _;
    use protocol::v1::{Content, Message};

    use super::*;

    #[test]
    fn fields_are_found_and_others_skipped() {
        let content = Content { r#type: "t".into(), data: Bytes::from_static(b"data") };
        let message = Message {
            seq: 300,
            sender_device: 7,
            content: Some(content),
            hidden: true,
            ..Message::default()
        };
        let bytes = message.encode_to_vec();
        assert_eq!(find(&bytes, 2).unwrap().unwrap().number(), 300);
        let content = find(&bytes, 7).unwrap().unwrap().bytes();
        assert_eq!(find(content, 2).unwrap().unwrap().bytes(), b"data");
        assert_eq!(find(&bytes, 11).unwrap(), None);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let bytes =
            Message { conversation: "abc".into(), seq: 1 << 40, ..Message::default() }.encode_to_vec();
        for end in 1..bytes.len() {
            let mut front = &bytes[..end];
            let all = std::iter::from_fn(|| next(&mut front).transpose());
            assert!(all.collect::<Result<Vec<_>, _>>().is_err() || end == 5, "{end}");
        }
    }
}
