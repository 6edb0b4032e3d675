//! Every verb at a small size, on the real program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;
use servers::{ZooKeeper, ZooKeeperSettings};

/// The gateway, built in the profile and the directory of this test.
static GATEWAY: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = Path::new(env!("CARGO_BIN_EXE_bench")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--package", "whimbrel", "--bin", "whimbrel"]);
    build.arg("--target-dir").arg(built.parent().unwrap());
    // Set for tests; a build script that looks at it would have half of the gateway built anew.
    build.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let done = build.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "the gateway does not build: cargo build -p whimbrel\n{said}");
    built.join("whimbrel")
});

/// Phases as short as they may be, and no second try: what is tested is not how fast it is.
const SHORT: [&str; 6] = ["--seconds", "0.5", "--warm-up", "0.2", "--again", "0"];

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench")).args(words).output().unwrap()
}

/// Runs a verb on the gateway; what it prints.
fn bench(words: &[&str]) -> String {
    succeed(&[words, &["--whimbrel", GATEWAY.to_str().unwrap()]].concat())
}

/// The same with short phases.
fn short(words: &[&str]) -> String {
    bench(&[words, &SHORT].concat())
}

fn succeed(words: &[&str]) -> String {
    let done = run(words);
    let (printed, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "bench {}: {printed}{said}", words.join(" "));
    printed.into_owned()
}

/// Runs a verb that must fail; what it prints, and what it says of that.
fn fail(words: &[&str]) -> (String, String) {
    let done = run(words);
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(!done.status.success(), "bench {} did not fail: {}", words.join(" "), told(&done.stdout));
    (told(&done.stdout), told(&done.stderr))
}

/// The number behind a title.
fn figure(printed: &str, title: &str) -> f64 {
    let rest = printed.lines().rev().find_map(|line| line.strip_prefix(title));
    let number = rest.and_then(|rest| {
        let word = rest.split_whitespace().next()?;
        word.trim_end_matches(|end: char| !end.is_ascii_digit()).parse().ok()
    });
    number.unwrap_or_else(|| panic!("no number behind {title:?}:\n{printed}"))
}

#[test]
fn idle_tells_what_unacknowledged_pushes_cost() {
    let printed = bench(&["idle", "--connections", "3000", "--unacked", "2", "--bytes", "100"]);
    assert!(printed.contains("2 pushes of 100 B to each connection"), "{printed}");
    assert!(figure(&printed, "per connection") > 0.0, "{printed}");
}

#[test]
fn idle_without_pushes_tells_of_none() {
    let printed = short(&["idle", "--connections", "3000", "--transport", "websocket"]);
    assert!(figure(&printed, "per connection") > 0.0, "{printed}");
    assert!(!printed.contains("unacknowledged"), "{printed}");
}

#[test]
fn chat_over_every_transport_in_either_loop() {
    for transport in ["tcp", "websocket", "tls", "quic"] {
        let printed = short(&["chat", "--pairs", "2", "--transport", transport]);
        assert!(figure(&printed, "acknowledged") > 0.0, "{printed}");
        assert!(figure(&printed, "entries a commit") > 0.0, "{printed}");
    }
    let printed = short(&["chat", "--pairs", "2", "--no-store", "--rate", "100"]);
    assert!((30.0..300.0).contains(&figure(&printed, "delivered")), "{printed}");
    let printed = short(&["chat", "--pairs", "2", "--conversations", "6", "--in-flight", "4"]);
    assert!(figure(&printed, "stored") > 0.0 && printed.contains("next number"), "{printed}");
}

#[test]
fn fanout_reaches_everybody_beside_idle_and_stalled() {
    let crowd = ["fanout", "--receivers", "30", "--idle", "5", "--stalled", "2"];
    let printed = short(&[&crowd[..], &["--in-flight", "8"]].concat());
    assert!(figure(&printed, "delivered") > 30.0, "{printed}");
    let printed = short(&["fanout", "--receivers", "10", "--stored", "--rate", "20"]);
    assert!(printed.contains("every message came to every device once"), "{printed}");
}

#[test]
fn history_reads_back_what_was_written() {
    let printed = short(&["history", "--readers", "3", "--messages", "60", "--page", "20"]);
    assert!(figure(&printed, "reads") > 0.0, "{printed}");
}

#[test]
fn everybody_is_back_after_a_storm() {
    let printed = short(&["storm", "--devices", "100"]);
    assert_eq!(figure(&printed, "resumed"), 100.0, "{printed}");
}

/// Each push of each device is repeated once, read from a conversation of its own, and written.
#[test]
fn repeat_sees_every_repetition() {
    let printed = bench(&["repeat", "--devices", "40", "--unacked", "3", "--bytes", "100"]);
    assert!(printed.contains("120 of 120, to 40 devices"), "{printed}");
    assert!(figure(&printed, "store reads") >= 40.0, "{printed}");
    assert!(figure(&printed, "bytes written") >= 120.0 * 100.0, "{printed}");
}

#[test]
fn repeat_in_one_conversation() {
    let printed = bench(&["repeat", "--devices", "40", "--group"]);
    assert!(printed.contains("40 of 40, to 40 devices"), "{printed}");
}

#[test]
fn ceiling_and_peers_take_the_same_traffic() {
    let sizes = ["--receivers", "10", "--pairs", "2", "--rate", "100", "--connections", "600"];
    let printed = succeed(&[&["ceiling"], &sizes[..], &SHORT].concat());
    for label in ["fan-out, lockstep", "stream, 32 a write", "relay with ack", "accepts", "appends"] {
        assert!(printed.contains(label), "{label}: {printed}");
    }
    let printed = succeed(&[&["peers"], &sizes[..], &SHORT].concat());
    assert!(printed.contains("mosquitto pairs, QoS 1") && printed.contains("nats fan-out"), "{printed}");
}

#[test]
fn compare_writes_goals_that_report_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (json, markdown, html) = (path("goals.json"), path("report.md"), path("report.html"));
    short(&[
        "compare",
        "--goals",
        "P2,P4,P10",
        "--rounds",
        "2",
        "--scale",
        "0.02",
        "--no-peers",
        "--json",
        &json,
    ]);
    let told: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), ["P10", "P2", "P4"]);
    assert!(told["P2"]["ratio"].as_f64().unwrap() > 0.0, "{told}");
    assert!(told["P2"]["medians"]["ours"]["cpu_us"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!(
        (told["P2"]["rounds"].as_array().unwrap().len(), &told["P2"]["partial"]),
        (2, &Value::Bool(false))
    );
    assert!(told["P10"]["ratio"].is_null() && told["P10"]["met"] == false, "{told}");
    assert!(told["P10"]["reason"].as_str().unwrap().starts_with("needs"), "{told}");
    succeed(&["report", &json, "--markdown", &markdown, "--html", &html]);
    assert!(std::fs::read_to_string(markdown).unwrap().contains("## P2: "));
    assert!(std::fs::read_to_string(html).unwrap().contains("<svg"));
}

#[test]
fn a_cluster_is_loaded_as_one_gateway_is() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let zookeeper = runtime.block_on(ZooKeeper::start(ZooKeeperSettings::default())).unwrap();
    let cluster = ["--zookeeper", &zookeeper.connect_string(), "--connectors", "2"];
    // A second one may meet where the first one did.
    for stored in [&[][..], &["--no-store"]] {
        let printed = short(&[&["chat", "--pairs", "4"], &cluster[..], stored].concat());
        assert!(figure(&printed, "between nodes") > 256.0, "{printed}");
        assert!(figure(&printed, "frames a write") >= 1.0, "{printed}");
    }
    let printed = short(&[&["idle", "--connections", "300", "--hold", "2"], &cluster[..]].concat());
    assert!(printed.contains("got what it was told") && figure(&printed, "memory in use") > 0.0, "{printed}");
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("p10.json");
    let p10 =
        ["compare", "--goals", "P10", "--rounds", "1", "--scale", "0.0005", "--json", json.to_str().unwrap()];
    short(&[&p10[..], &cluster[..2]].concat());
    let told: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert!(told["P10"]["ratio"].as_f64().unwrap() > 0.0, "{told}");
    let (_, said) = fail(&["chat", "--connectors", "2"]);
    assert!(said.contains("--zookeeper"), "{said}");
}

/// The same seed gives the same page, and what the page says of the two extremes is so.
#[test]
fn routing_counts_and_draws() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (markdown, svg) = (path("routing.md"), path("routing.svg"));
    let small = ["routing", "--nodes", "3,12", "--devices-per-node", "500"];
    let printed = succeed(&small);
    succeed(&[&small[..], &["--markdown", &markdown, "--svg", &svg]].concat());
    let page = std::fs::read_to_string(markdown).unwrap();
    assert!(page.ends_with(&printed) && page.starts_with("# How a message"), "{page}");
    assert!(printed.contains("| broadcast | 2.00 | 11.00 |"), "{printed}");
    assert!(printed.contains("| master: itself | 100.0 | 100.0 |"), "{printed}");
    assert_eq!(std::fs::read_to_string(svg).unwrap().matches("class=\"title\"").count(), 10);
    let (_, said) = fail(&["routing", "--nodes", "2"]);
    assert!(said.contains("3..=4096"), "{said}");
}

#[test]
fn doctor_says_what_fits_and_what_does_not() {
    assert!(succeed(&["doctor", "--connections", "100"]).contains("descriptors"));
    let (printed, said) = fail(&["doctor", "--connections", "100000000"]);
    assert!(printed.contains("ulimit -n") && said.contains("does not hold"), "{printed}{said}");
}

#[test]
fn too_many_connections_are_refused_with_advice() {
    let (_, said) = fail(&["idle", "--connections", "100000000", "--whimbrel", GATEWAY.to_str().unwrap()]);
    assert!(said.contains("ulimit -n") && said.contains("bench doctor"), "{said}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (_, said) = fail(&["chat", "--pairs", "1", "--server", "127.0.0.1:1"]);
    assert!(said.contains("127.0.0.1:1") && said.to_lowercase().contains("refused"), "{said}");
}

/// A ceiling's server is no gateway: it understands nothing, and ends the connection.
#[test]
fn what_is_no_gateway_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let (printed, said) = fail(&["chat", "--pairs", "1", "--server", &address]);
    assert!(printed.contains("PARTIAL") && said.contains(&address), "{printed}{said}");
}
