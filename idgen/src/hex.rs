//! The written form of both ids: exactly 16 lowercase hex digits.

use std::fmt;

use crate::ParseIdError;

const DIGITS: usize = 16;

pub(crate) fn write(f: &mut fmt::Formatter<'_>, bits: u64) -> fmt::Result {
    write!(f, "{bits:016x}")
}

/// Stricter than `u64::from_str_radix`, which also takes a sign, upper case and shorter texts.
pub(crate) fn parse(text: &str) -> Result<u64, ParseIdError> {
    let found = text.len();
    if found != DIGITS {
        return Err(ParseIdError::Length { found });
    }
    text.bytes().enumerate().try_fold(0, |bits, (at, byte)| {
        let digit = digit(byte).ok_or(ParseIdError::Digit { at })?;
        Ok(bits << 4 | u64::from(digit))
    })
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
