//! Why a number or a text is not an id.

use thiserror::Error;

use crate::NodeType;

/// A value that does not fit its field's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{field} {value} is above {max}")]
pub struct OutOfRange {
    /// The field's name, as people say it.
    pub field: &'static str,
    /// What was given.
    pub value: u64,
    /// The largest value that fits.
    pub max: u64,
}

/// Why 64 bits are not a well-formed id of the kind asked for.
///
/// Only bits 0-3 can be wrong: every pattern of the other 60 is some value of the fields they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// Bit 0 is set.
    #[error("the first bit of an id is zero")]
    LeadingBit,
    /// Bits 1-3 hold a code that names no node type (3 to 7).
    #[error("node type {code} is not known")]
    UnknownNodeType {
        /// The code found.
        code: u8,
    },
    /// A node's id where a device's was expected, or the other way round.
    #[error("a {found} does not have an id of this kind")]
    WrongNodeType {
        /// The node type found.
        found: NodeType,
    },
}

/// Why a text is not an id. The written form is exactly 16 lowercase hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseIdError {
    /// Not 16 bytes long.
    #[error("an id is 16 hex digits, not {found} bytes")]
    Length {
        /// The text's length in bytes.
        found: usize,
    },
    /// Something other than `0-9` or `a-f`; upper case counts, so that an id has one written form only.
    #[error("byte {at} of the id is not a lowercase hex digit")]
    Digit {
        /// The first such byte, counted from 0.
        at: usize,
    },
    /// Sixteen hex digits, but not a well-formed id.
    #[error(transparent)]
    Id(#[from] IdError),
}
