//! Dependencies between our crates go one way, and every crate obeys the workspace's lints.

use std::collections::BTreeMap;

use toml::Table;

use crate::tree::{assert_none, root};

/// Which of our crates a crate may use.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("protocol", &[]),
    ("idgen", &[]),
    ("cluster", &["protocol", "idgen"]),
    ("storage", &["protocol", "idgen"]),
    ("connector", &["protocol", "cluster", "idgen"]),
    ("channel", &["protocol", "cluster", "storage", "idgen"]),
    ("client", &["protocol"]),
    ("bench", &["client", "cluster", "protocol", "idgen"]),
    ("web", &[]),
    ("tests/servers", &[]),
];

/// What a crate's own tests may use beside that. Connector and channel never meet but in the root package.
const TESTS_MAY_USE: [(&str, &[&str]); 3] =
    [("bench", &["servers"]), ("cluster", &["servers"]), ("storage", &["servers"])];

fn manifest(directory: &str) -> Table {
    let path = root().join(directory).join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap().parse().unwrap()
}

fn members() -> Vec<String> {
    let root = manifest(".");
    let members = root["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

/// Names of our crates in one table of a manifest, and in that table for any target.
fn ours(manifest: &Table, kind: &str) -> Vec<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(toml::Value::as_table).chain([manifest]);
    let names = tables.filter_map(|table| table.get(kind)?.as_table()).flat_map(Table::keys);
    let members: Vec<String> =
        members().iter().filter_map(|path| Some(path.rsplit('/').next()?.to_owned())).collect();
    names
        .map(|name| name.trim_start_matches("whimbrel-").to_owned())
        .filter(|n| members.contains(n))
        .collect()
}

#[test]
fn every_member_has_its_row() {
    let mut members = members();
    members.sort();
    let mut rows: Vec<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    rows.sort_unstable();
    assert_eq!(members, rows);
}

#[test]
fn dependencies_go_one_way() {
    let tests_may: BTreeMap<&str, &[&str]> = TESTS_MAY_USE.into();
    let mut wrong = Vec::new();
    for (name, allowed) in MAY_USE {
        let manifest = manifest(name);
        let extra = tests_may.get(name).copied().unwrap_or_default();
        for (kind, extra) in
            [("dependencies", &[][..]), ("build-dependencies", &[]), ("dev-dependencies", extra)]
        {
            let used = ours(&manifest, kind).into_iter();
            let bad =
                used.filter(|used| !allowed.contains(&used.as_str()) && !extra.contains(&used.as_str()));
            wrong.extend(bad.map(|used| format!("{name} must not use {used} ({kind})")));
        }
    }
    assert_none(wrong);
}

#[test]
fn the_rows_make_no_circle() {
    let rows: BTreeMap<&str, &[&str]> = MAY_USE.into();
    for (name, _) in MAY_USE {
        let (mut below, mut seen) = (rows[name].to_vec(), Vec::new());
        while let Some(next) = below.pop() {
            assert_ne!(next, name, "{name} would use itself");
            if !seen.contains(&next) {
                seen.push(next);
                below.extend(rows[next]);
            }
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let root = manifest(".");
    assert_eq!(root["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    let obeys = |manifest: &Table| manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
    let crates = members().into_iter().chain([".".to_owned()]);
    assert_none(crates.filter(|name| obeys(&manifest(name)) != Some(true)).collect());
}

#[test]
fn every_crate_takes_versions_from_the_workspace() {
    let mut wrong = Vec::new();
    for name in members() {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let manifest = manifest(&name);
            let Some(table) = manifest.get(kind).and_then(toml::Value::as_table) else { continue };
            let own = table.iter().filter(|(_, value)| value.get("workspace").is_none());
            wrong.extend(own.map(|(dependency, _)| format!("{name}: {dependency} ({kind})")));
        }
    }
    assert_none(wrong);
}
