//! The `whimbrel` command: a thin shell around the crates.
//!
//! | file | noun |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`config`] | the configuration |
//! | [`gateway`] | connector and channel node in one process |
//! | [`connector_node`], [`channel_node`] | each of them as a process of its own |
//! | [`membership`] | how they become members of their cluster |
//! | [`listeners`] | the ports for devices |
//! | [`http`], [`status`] | the page, health and metrics; what they tell |
//! | [`plain_http`], [`admin`] | HTTP without devices; what an operator may ask |
//! | [`dev_data`], [`seed`] | what `whimbrel dev` keeps and starts with |
//! | [`store`] | the store that the configuration names |
//! | [`telemetry`] | log lines |
//! | [`descriptors`] | how many connections there are file descriptors for |
//! | [`private_file`] | files that only the gateway's user may read |

mod admin;
mod channel_node;
mod cli;
mod config;
mod connector_node;
mod descriptors;
mod dev_data;
mod gateway;
mod http;
mod listeners;
mod membership;
mod plain_http;
mod private_file;
mod seed;
mod status;
mod store;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
