//! Why the store refuses.

use protocol::code::Code;

/// A failed store operation. Cheap to clone: one failed commit answers many appends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Out of reach or failed; the operation may be tried again, here or at another owner.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// More work is queued than allowed; nothing was done.
    #[error("the store is overloaded")]
    Overloaded,
    /// What is stored contradicts itself; retrying does not help.
    #[error("stored data is corrupt: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// The code a device gets.
    pub fn code(&self) -> Code {
        match self {
            StoreError::Unavailable(_) => Code::UNAVAILABLE,
            StoreError::Overloaded => Code::OVERLOADED,
            StoreError::Corrupt(_) => Code::CORRUPT,
        }
    }
}
