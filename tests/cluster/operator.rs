//! What an operator types.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::process::{Gateway, PROGRAM};

/// Runs `whimbrel cluster` with a node's configuration; what it prints.
pub fn cluster(node: &Gateway, arguments: &[&str]) -> String {
    let output = try_cluster(node, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same where it may fail.
pub fn try_cluster(node: &Gateway, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(PROGRAM);
    command.arg("cluster").arg(arguments[0]).arg("--config").arg(node.config()).args(&arguments[1..]);
    command.output().unwrap()
}

/// The number of the node with this address, by what `status` prints.
pub fn number_of(node: &Gateway, address: SocketAddr) -> String {
    let (status, place) = (cluster(node, &["status"]), format!(" {address} "));
    let line =
        status.lines().find(|line| line.contains(&place)).unwrap_or_else(|| panic!("{place}: {status}"));
    line.split_whitespace().next().unwrap().to_owned()
}
