//! The committed code is what the schema says: regenerates it with protox (no protoc) and compares.
//! `REGENERATE=1 cargo test -p whimbrel-protocol --test generated` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

const FILES: [&str; 2] = ["whimbrel.v1.rs", "whimbrel.node.v1.rs"];

fn generate(into: &Path) {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let descriptors = protox::compile([proto.join("device.proto"), proto.join("node.proto")], [&proto])
        .expect("the schema compiles");
    prost_build::Config::new()
        .out_dir(into)
        .bytes(["."])
        .compile_fds(descriptors)
        .expect("code is generated");
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated")
}

#[test]
fn committed_code_is_what_the_schema_generates() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    for file in FILES {
        let made = std::fs::read_to_string(fresh.path().join(file)).unwrap();
        let target = committed().join(file);
        if std::env::var_os("REGENERATE").is_some() {
            std::fs::write(&target, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&target).unwrap_or_default();
        assert!(
            made == kept,
            "{file} differs from the schema; run REGENERATE=1 cargo test -p whimbrel-protocol --test generated"
        );
    }
}
