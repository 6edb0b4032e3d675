//! What a node of Cassandra is started with: its configuration and the arguments of its virtual machine.

use std::fs;
use std::io;
use std::path::Path;

use super::CassandraSettings;
use crate::error::ServerError;
use crate::fetched::{jar, jars};
use crate::java::LOGBACK;

/// Small memory: tests store little.
const JVM: [&str; 9] = [
    "-Xms256m",
    "-Xmx512m",
    "-Xss384k",
    "-XX:MaxDirectMemorySize=192m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djava.net.preferIPv4Stack=true",
];

/// The modules that Cassandra 5 looks into.
const EXPORTS: [&str; 11] = [
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/java.lang.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.attach/sun.tools.attach",
];
const OPENS: [&str; 22] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.nio.charset",
    "java.base/java.nio.file.attribute",
    "java.base/java.nio.file.spi",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
];

/// Starts fast, and trusts the tokens that the configuration gives. What a node knows of the ring it loads when it starts
/// again, as by default: one that does not know of the others is a majority by itself, and can commit alone what the others
/// do not see.
const PROPERTIES: [&str; 6] = [
    "-Dcassandra-foreground=yes",
    "-Dcassandra.ring_delay_ms=1000",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.consistent.rangemovement=false",
    "-Dcassandra.skip_schema_check=true",
];

/// Thirds of the ring.
const TOKENS: [i64; 3] = [i64::MIN, -3_074_457_345_618_258_603, 3_074_457_345_618_258_602];

/// One node's number and ports.
pub struct Node {
    pub number: u8,
    pub native: u16,
    pub storage: u16,
}

/// Makes a node's directory and writes its configuration.
pub fn write(directory: &Path, node: &Node, settings: &CassandraSettings) -> io::Result<()> {
    fs::create_dir(directory)?;
    fs::write(directory.join("logback.xml"), LOGBACK)?;
    fs::write(directory.join("cassandra.yaml"), yaml(directory, node, settings))
}

/// The arguments of `java`.
pub fn arguments(directory: &Path, settings: &CassandraSettings) -> Result<Vec<String>, ServerError> {
    let place = directory.display();
    let exports = EXPORTS.map(|package| format!("--add-exports={package}=ALL-UNNAMED"));
    let opens = OPENS.map(|package| format!("--add-opens={package}=ALL-UNNAMED"));
    let places = [
        format!("-Dcassandra.config=file://{place}/cassandra.yaml"),
        format!("-Dcassandra.storagedir={place}"),
        format!("-Dcassandra.logdir={place}"),
        format!("-Dlogback.configurationFile=file:{place}/logback.xml"),
        format!("-javaagent:{}", jar("jamm-")?.display()),
    ];
    let main = [
        "-cp".to_owned(),
        format!("{}/*", jars()?.display()),
        "org.apache.cassandra.service.CassandraDaemon".to_owned(),
    ];
    let quick = (!settings.optimise).then_some("-XX:TieredStopAtLevel=1");
    let fixed = JVM.into_iter().chain(PROPERTIES).chain(quick).map(str::to_owned);
    Ok(fixed.chain(exports).chain(opens).chain(places).chain(main).collect())
}

/// `paxos_variant: v2` keeps conditional writes linearizable, and a write is answered after its sync.
fn yaml(directory: &Path, node: &Node, settings: &CassandraSettings) -> String {
    let Node { number, native, storage } = node;
    let (place, token) = (directory.display(), TOKENS[usize::from(*number) - 1]);
    let (window, timeout) = (settings.sync_window_ms, settings.timeout_ms);
    let who = match settings.passwords {
        true => "authenticator: PasswordAuthenticator\nauthorizer: CassandraAuthorizer\n",
        false => "",
    };
    format!(
        r#"cluster_name: whimbrel-test
num_tokens: 1
initial_token: "{token}"
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{ seeds: "127.0.0.1:{storage}" }}]
listen_address: 127.0.0.{number}
rpc_address: 127.0.0.{number}
storage_port: {storage}
native_transport_port: {native}
data_file_directories: ["{place}/data"]
commitlog_directory: "{place}/commitlog"
saved_caches_directory: "{place}/caches"
hints_directory: "{place}/hints"
cdc_raw_directory: "{place}/cdc"
paxos_variant: v2
commitlog_sync: group
commitlog_sync_group_window: {window}ms
commitlog_segment_size: 8MiB
commitlog_total_space: 256MiB
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
read_request_timeout: {timeout}ms
range_request_timeout: {timeout}ms
write_request_timeout: {timeout}ms
cas_contention_timeout: {timeout}ms
concurrent_compactors: 1
auto_snapshot: false
{who}{extra}"#,
        extra = settings.yaml
    )
}
