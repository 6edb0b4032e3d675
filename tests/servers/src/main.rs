//! Runs servers for whoever started this program, until its input ends: `whimbrel-servers [cql[=NODES]] [zookeeper[=NODES]]`.
//!
//! It prints one line `VARIABLE=VALUE` for each server, as tests expect it in their environment, and then `ready`.
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::io::Read;

use whimbrel_servers::shared::{CQL_VARIABLE, ZOOKEEPER_VARIABLE};
use whimbrel_servers::{Cassandra, CassandraSettings, ZooKeeper, ZooKeeperSettings};

type Failure = Box<dyn std::error::Error>;

/// They run as long as this value lives.
enum Server {
    Cql(Cassandra),
    ZooKeeper(ZooKeeper),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut servers = Vec::new();
    for argument in std::env::args().skip(1) {
        let (kind, nodes) = argument.split_once('=').unwrap_or((&argument, "1"));
        servers.push(start(kind, nodes.parse()?).await?);
    }
    for server in &servers {
        match server {
            Server::Cql(cluster) => {
                let addresses: Vec<String> = cluster.addresses().iter().map(ToString::to_string).collect();
                println!("{CQL_VARIABLE}={}", addresses.join(","));
            }
            Server::ZooKeeper(servers) => println!("{ZOOKEEPER_VARIABLE}={}", servers.connect_string()),
        }
    }
    println!("ready");
    // Whoever started this program ends, or closes the pipe.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn start(kind: &str, nodes: u8) -> Result<Server, Failure> {
    match kind {
        "cql" => Ok(Server::Cql(Cassandra::start(CassandraSettings { nodes, ..Default::default() }).await?)),
        "zookeeper" => {
            let settings = ZooKeeperSettings { nodes, ..Default::default() };
            Ok(Server::ZooKeeper(ZooKeeper::start(settings).await?))
        }
        _ => Err(format!("no such server: {kind}; there are cql and zookeeper").into()),
    }
}
