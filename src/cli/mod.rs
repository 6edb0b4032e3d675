//! The command line: one file per command.
//!
//! | file | command |
//! |---|---|
//! | [`dev`] | `whimbrel dev`: everything on this machine, with users to try it |
//! | [`serve`] | `whimbrel serve`: a production node from a configuration file |
//! | [`node`] | `whimbrel connector`, `whimbrel channel`: nodes of a cluster |
//! | [`cluster`] | `whimbrel cluster`: its nodes, for the operator |
//! | [`rebalance`] | `whimbrel cluster rebalance`: a share of a connector's devices to the others |
//! | [`token`] | `whimbrel token`: a signed token |
//! | [`check_config`] | `whimbrel check-config`: what is wrong with a file |
//! | [`default_config`] | `whimbrel config default`: a commented file |
//! | [`chat`] | `whimbrel chat`: talk in a terminal or a script |
//! | [`send`] | `whimbrel send`: one message |
//! | [`store`] | `whimbrel store`: check a store, copy a tenant, make tables |
//! | [`account`] | server and user, for `chat` and `send` |
//! | [`explain`] | what to do about a connection that did not come about |
//! | [`settings`] | flags that set configuration values |
//! | [`run`] | runtime, signals and drain, for `dev` and `serve` |
//! | [`terminal`] | standard output and the last line of a failure |

mod account;
mod chat;
mod check_config;
mod cluster;
mod default_config;
mod dev;
mod explain;
mod node;
mod rebalance;
mod run;
mod send;
mod serve;
mod settings;
mod store;
mod terminal;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  whimbrel dev                              try it on this machine
  whimbrel config default > whimbrel.toml   a commented configuration
  whimbrel check-config whimbrel.toml       what is wrong with it
  whimbrel serve --config whimbrel.toml     run it
  whimbrel token --user alice               a token for `whimbrel dev`
  whimbrel chat --user alice --to bob       talk in a terminal
  whimbrel send --user alice --to bob hi    one message from a script
  whimbrel store check --config whimbrel.toml
                                            whether what is stored is whole";

/// A push gateway for instant messaging and online customer service.
#[derive(Parser)]
#[command(name = "whimbrel", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Connector(node::ConnectorCommand),
    Channel(node::ChannelCommand),
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    Token(token::Token),
    Chat(chat::Chat),
    Send(send::Send),
    CheckConfig(check_config::CheckConfig),
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(subcommand)]
    Store(store::StoreCommand),
}

/// Print configuration files.
#[derive(Subcommand)]
enum ConfigCommand {
    Default(default_config::DefaultConfig),
}

impl Cli {
    /// Runs the command. A failure is one line on standard error (a configuration's problems are one line each) and
    /// exit code 1; wrong usage is exit code 2.
    pub fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Dev(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Connector(command) => command.run(),
            Command::Channel(command) => command.run(),
            Command::Cluster(command) => command.run(),
            Command::Token(command) => command.run(),
            Command::Chat(command) => command.run(),
            Command::Send(command) => command.run(),
            Command::CheckConfig(command) => command.run(),
            Command::Config(ConfigCommand::Default(command)) => command.run(),
            Command::Store(command) => return ended(command.run()),
        };
        ended(outcome.map(|()| ExitCode::SUCCESS))
    }
}

fn ended(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        terminal::fail(&error);
        ExitCode::FAILURE
    })
}
