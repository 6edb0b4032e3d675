//! F11, over a real cluster: the disk of the store's only node is full.

use std::path::Path;
use std::time::{Duration, Instant};

use servers::{Cassandra, CassandraSettings};
use tempfile::TempDir;

use crate::args::Scale;
use crate::report::Report;
use crate::store_cut::{ANSWER, goes_on, out_of_reach};
use crate::stored;
use crate::support::disk::SmallDisk;
use crate::support::keyspace::{Keyspace, migrate};
use crate::support::process::Gateway;
use crate::writers::Writers;

/// Mebibytes of the node's disk, and how many more it has whenever there is room again.
const SMALL: u32 = 96;
const LARGER: u32 = 256;
/// What is stored while there is room.
const BEFORE: Duration = Duration::from_secs(3);
/// Acks end so soon after the last byte is taken. What the node has taken room for already it still uses.
const ACKS_END: Duration = Duration::from_secs(20);
/// They have ended if none comes for this long.
const QUIET: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);

/// As in the configuration that Cassandra comes with.
const POLICY: &str = "disk_failure_policy: stop\ncommit_failure_policy: stop\n";

/// What lies on the small disk.
#[derive(Clone, Copy)]
enum Small {
    /// Tables: a flush fails, and by its policy the node serves nobody from then on.
    Data,
    /// The commit log too. By default that is memory which files lie behind: the node breaks off.
    Everything,
}

pub async fn run(scale: Scale) -> Report {
    let mut report = round(Small::Data, scale).await;
    if scale == Scale::Full {
        report.join(round(Small::Everything, scale).await);
    }
    report
}

async fn round(small: Small, scale: Scale) -> Report {
    let (rooms, times, lasting) = scale.pick((2, 1, Duration::from_secs(6)), (6, 2, Duration::from_secs(20)));
    let (mut report, keyspace, directory) = (Report::new(), Keyspace::new(1), TempDir::new().unwrap());
    let disk = match SmallDisk::mount(directory.path(), SMALL) {
        Ok(disk) => disk,
        Err(why) => {
            report.violation(format!("a small file system is not possible here ({why}); run it as root"));
            return report;
        }
    };
    let started = Cassandra::start(small.settings(directory.path())).await;
    let cluster = started.unwrap_or_else(|error| panic!("{error}; ./test servers fetches it"));
    let points = cluster.addresses();
    let mut gateway = Gateway::prepare(keyspace.settings(1, &points));
    migrate(&gateway).await;
    gateway.launch().await;
    let load = Writers::start(&[&gateway], rooms, ANSWER).await;
    for time in 1..=times {
        // What is stored now has to be there in the end.
        goes_on(&mut report, &load, &gateway, "before").await;
        tokio::time::sleep(BEFORE).await;
        full(&mut report, &load, &gateway, &disk, lasting).await;
        small.has_stopped(&mut report, &cluster);
        disk.grow(SMALL + LARGER * time);
        // Whoever operates the node has to start it again.
        cluster.kill(1).expect("it runs, or has ended");
        cluster.restart(1).await.expect("it comes back");
        goes_on(&mut report, &load, &gateway, "room again").await;
    }
    stored::lived_through(&mut report, load, &keyspace, &mut gateway, &points).await;
    report
}

impl Small {
    fn settings(self, disk: &Path) -> CassandraSettings {
        let disk = disk.display();
        let yaml = match self {
            // Little memory for tables: it is flushed every few seconds.
            Small::Data => format!(
                "data_file_directories: [\"{disk}/data\"]\nmemtable_heap_space: 1MiB\nmemtable_offheap_space: 1MiB\n{POLICY}"
            ),
            Small::Everything => format!(
                "data_file_directories: [\"{disk}/data\"]\ncommitlog_directory: \"{disk}/commitlog\"\n{POLICY}"
            ),
        };
        CassandraSettings { yaml, ..CassandraSettings::default() }
    }

    /// It is the disk that stopped the node, and nothing else.
    fn has_stopped(self, report: &mut Report, cluster: &Cassandra) {
        let word = match self {
            Small::Data => "Stopping native transport",
            Small::Everything => "SIGBUS",
        };
        report.at_least("full disk: the node says so", cluster.log(1).matches(word).count() as f64, "", 1.0);
    }
}

/// The disk fills up, and stays full.
async fn full(report: &mut Report, load: &Writers, gateway: &Gateway, disk: &SmallDisk, lasting: Duration) {
    let begun = Instant::now();
    let mut quiet = Instant::now();
    while quiet.elapsed() < QUIET && begun.elapsed() < ACKS_END * 2 {
        disk.fill().expect("it is mounted");
        tokio::time::sleep(LOOK).await;
        if load.acked(0, None, quiet) > 0 {
            quiet = Instant::now();
        }
    }
    report.at_most("full disk: acks end after", (quiet - begun).as_secs_f64(), "s", ACKS_END.as_secs_f64());
    let since = Instant::now();
    tokio::time::sleep(lasting).await;
    out_of_reach(report, load, gateway, since, "full disk").await;
}
