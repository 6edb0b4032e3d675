//! Values as statements take them, and numbers as tables hold them.

use scylla::cluster::metadata::ColumnType;
use scylla::errors::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};

use super::error::corrupt;
use crate::error::StoreError;

/// A value to bind. One type for all, so that statements of one batch may have different ones.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Null,
    Big(i64),
    Int(i32),
    Small(i16),
    Bool(bool),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl SerializeValue for Value<'_> {
    fn serialize<'b>(
        &self,
        kind: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        match self {
            Value::Null => Ok(writer.set_null()),
            Value::Big(value) => value.serialize(kind, writer),
            Value::Int(value) => value.serialize(kind, writer),
            Value::Small(value) => value.serialize(kind, writer),
            Value::Bool(value) => value.serialize(kind, writer),
            Value::Text(value) => value.serialize(kind, writer),
            Value::Blob(value) => value.serialize(kind, writer),
        }
    }
}

impl<'a> Value<'a> {
    /// A number that counts. What a `bigint` cannot hold is the largest there is: no log gets so far.
    pub fn count(value: u64) -> Value<'a> {
        Value::Big(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// A count, or null.
    pub fn maybe_count(value: Option<u64>) -> Value<'a> {
        value.map_or(Value::Null, Value::count)
    }

    /// A number that names, bit for bit.
    pub fn id(value: u64) -> Value<'a> {
        Value::Big(value.cast_signed())
    }
}

/// A count as stored; null is 0.
pub fn count(stored: Option<i64>) -> Result<u64, StoreError> {
    let stored = stored.unwrap_or(0);
    u64::try_from(stored).map_err(|_| corrupt(format!("{stored} where a count should be")))
}

/// 16 bytes as stored.
pub fn id16(stored: &[u8]) -> Result<[u8; 16], StoreError> {
    stored.try_into().map_err(|_| corrupt(format!("{} bytes where 16 should be", stored.len())))
}

/// A small number as stored.
pub fn small<T: TryFrom<i16>>(stored: i16) -> Result<T, StoreError> {
    T::try_from(stored).map_err(|_| corrupt(format!("{stored} where a small number should be")))
}
