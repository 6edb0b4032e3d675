//! Whether what is stored of a conversation agrees with itself.
