//! The configuration: defaults < file < environment < flags.
//!
//! | file | noun |
//! |---|---|
//! | [`sections`] | every value there is, with its doc, default and range |
//! | [`section`] | a section: the macro that declares one, and the trait the loader uses |
//! | [`setting`] | a value: how each type reads from TOML and is written |
//! | [`load`] | the three sources, merged; unknown keys found |
//! | [`origin`] | where a value came from |
//! | [`problem`] | something wrong, where, and what to do |
//! | [`validate`] | what must hold between values |
//! | [`keys`] | the keys of `[[auth.keys]]` and the password of `[cql]`, read from their files |
//! | [`replicas`] | what `cql.replication` says |
//! | [`template`] | the commented default file |

pub mod keys;
pub mod load;
pub mod origin;
pub mod problem;
pub mod replicas;
pub mod section;
pub mod sections;
pub mod setting;
pub mod template;
pub mod validate;

#[cfg(test)]
mod tests;

pub use load::{Loaded, Sources, load};
pub use problem::{Problem, Problems};
pub use sections::Config;
