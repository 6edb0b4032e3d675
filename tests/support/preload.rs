//! Small libraries that are loaded in front of the C library of the program under test. They need `cc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds a library from C source in a directory.
pub fn build(directory: &Path, name: &str, source: &str) -> PathBuf {
    let (file, library) = (directory.join(format!("{name}.c")), directory.join(format!("{name}.so")));
    fs::write(&file, source).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let built = Command::new(compiler)
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .args([&library, &file])
        .arg("-ldl")
        .status()
        .expect("a C compiler is needed, as it is to build the program");
    assert!(built.success(), "{name}.c does not compile");
    library
}
