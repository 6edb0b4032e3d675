//! The ceiling's process: this program again, with a hidden word.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::Subcommand;

use super::{Appended, append, server, stream};
use crate::measure::processors;

/// The word of the command line that makes this program the ceiling's server.
pub const CEILING: &str = "__ceiling";

/// What a ceiling's process does.
#[derive(Subcommand, Clone, Debug)]
pub enum Ceiling {
    /// Accepts, relays, and repeats a speaker's frames to all listeners.
    Serve {
        /// Bytes of a frame
        #[arg(long)]
        bytes: usize,
    },
    /// Pushes frames to all listeners by itself.
    Stream {
        #[arg(long)]
        bytes: usize,
        /// Frames of one write
        #[arg(long)]
        batch: usize,
        /// Listeners to wait for
        #[arg(long)]
        listeners: usize,
    },
    /// Appends records to a file.
    Append {
        #[arg(long)]
        directory: PathBuf,
        #[arg(long)]
        bytes: usize,
        /// Records of one fsync
        #[arg(long)]
        batch: usize,
        #[arg(long)]
        seconds: f64,
    },
}

impl Ceiling {
    /// Runs it in this process, until its stdin ends.
    pub fn run(self) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout();
        match self {
            Ceiling::Serve { bytes } => server::run(bytes, |port| announce(&mut stdout, port)),
            Ceiling::Stream { bytes, batch, listeners } => {
                stream::run(bytes, batch, listeners, |port| announce(&mut stdout, port))
            }
            Ceiling::Append { directory, bytes, batch, seconds } => {
                let appended = append::run(&directory, bytes, batch, seconds)?;
                Ok(writeln!(stdout, "{}", serde_json::to_string(&appended)?)?)
            }
        }
    }
}

fn announce(out: &mut impl std::io::Write, address: SocketAddr) -> anyhow::Result<()> {
    writeln!(out, "{address}")?;
    Ok(out.flush()?)
}

/// A running ceiling; ended when dropped.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
}

impl Running {
    /// Starts one that serves, on a processor of its own if one is named.
    pub fn start(words: &[String], cpu: Option<usize>) -> anyhow::Result<Running> {
        let mut child = spawn(words, cpu)?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let address = line.trim().parse().context("the ceiling's server did not start")?;
        Ok(Running { child, address })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Appends to a file in a process of its own.
pub fn append(
    directory: &Path,
    bytes: usize,
    batch: usize,
    seconds: f64,
    cpu: Option<usize>,
) -> anyhow::Result<Appended> {
    let directory = directory.to_str().context("the directory's name is not UTF-8")?;
    let words = format!("append --bytes {bytes} --batch {batch} --seconds {seconds} --directory");
    let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    words.push(directory.to_owned());
    let done = spawn(&words, cpu)?.wait_with_output()?;
    ensure!(done.status.success(), "the ceiling's appends failed with {}", done.status);
    Ok(serde_json::from_slice(&done.stdout)?)
}

fn spawn(words: &[String], cpu: Option<usize>) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CEILING).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    processors::spawn_on(cpu, &mut command).context("cannot start the ceiling's process")
}
