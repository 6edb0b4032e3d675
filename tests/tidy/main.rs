//! Style is a test: what a reader may rely on in every file of this tree.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod manifests;
mod sizes;
mod tree;
mod words;
