//! Bits 0-15, which both kinds of id share: a zero, the node type (3 bits), the number (12 bits).

use crate::{IdError, NodeType, WorkerNumber};

const NODE_TYPE_SHIFT: u32 = 60;
const NUMBER_SHIFT: u32 = 48;

const _: () = assert!(NODE_TYPE_SHIFT + 3 + 1 == u64::BITS, "a zero bit stands before the node type");
const _: () =
    assert!(1 << (NODE_TYPE_SHIFT - NUMBER_SHIFT) == WorkerNumber::COUNT, "the number fills its bits");

pub(crate) const fn pack(node_type: NodeType, number: WorkerNumber) -> u64 {
    (node_type.code() as u64) << NODE_TYPE_SHIFT | (number.get() as u64) << NUMBER_SHIFT
}

pub(crate) const fn node_type(bits: u64) -> Result<NodeType, IdError> {
    let code = (bits >> NODE_TYPE_SHIFT) as u8;
    if code & 0b1000 != 0 {
        return Err(IdError::LeadingBit);
    }
    match NodeType::from_code(code) {
        Some(node_type) => Ok(node_type),
        None => Err(IdError::UnknownNodeType { code }),
    }
}

pub(crate) const fn number(bits: u64) -> WorkerNumber {
    WorkerNumber::from_low_bits(bits >> NUMBER_SHIFT)
}
