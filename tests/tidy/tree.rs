//! The files that are ours.

use std::path::{Path, PathBuf};

/// Directories that hold what is made, fetched or stored, not written.
const NOT_OURS: [&str; 7] =
    ["target", ".git", "node_modules", "whimbrel-data", ".cache", "generated", "vendor"];

/// One text file.
pub struct Source {
    /// From the root of the tree, with slashes.
    pub path: String,
    pub text: String,
}

/// The root of the tree.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of ours whose name ends with one of these.
pub fn sources(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), &mut |path| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(Source { path: name, text: std::fs::read_to_string(path).unwrap() });
        }
    });
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no files with {endings:?}");
    found
}

fn walk(directory: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true if NOT_OURS.contains(&name.as_str()) => {}
            true => walk(&path, visit),
            false => visit(&path),
        }
    }
}

/// Fails with every finding, one a line.
pub fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
}
