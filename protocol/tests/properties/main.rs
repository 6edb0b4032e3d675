//! Properties of the codec, of frames' bodies and of spliced frames.
//! `PROPTEST_CASES` sets how many cases each property is tried with; unset means 10,000.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod any;
mod bodies;
mod frames;
mod splices;

use proptest::test_runner::Config;

const CASES: u32 = 10_000;

/// What every property here runs with. A failing case is printed whole, so nothing is kept in files.
fn config() -> Config {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config { cases: wanted.unwrap_or(CASES), failure_persistence: None, ..Config::default() }
}
