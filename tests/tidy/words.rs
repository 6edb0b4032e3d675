//! What must not be written anywhere.

use crate::tree::{assert_none, sources};

const TEXT: [&str; 12] =
    [".rs", ".js", ".mjs", ".ts", ".css", ".html", ".proto", ".toml", ".md", ".sh", "/run", "/Dockerfile"];

/// Each word in two halves, so that this file does not hold it.
const FORBIDDEN: [(&str, &str, &str); 8] = [
    ("unbounded", "_channel", "every queue is bounded by a named constant"),
    ("TO", "DO", "do it, or open an issue"),
    ("FIX", "ME", "do it, or open an issue"),
    ("XX", "X:", "do it, or open an issue"),
    ("/ho", "me/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
    ("/Us", "ers/", "a path of one machine"),
    ("/wo", "rk/", "a path of one machine"),
];

/// The ban itself has to name what it bans.
const MAY_NAME_THEM: [&str; 1] = ["clippy.toml"];

#[test]
fn no_forbidden_word_is_in_the_tree() {
    let mut found = Vec::new();
    for source in sources(&TEXT).iter().filter(|source| !MAY_NAME_THEM.contains(&source.path.as_str())) {
        for (number, line) in source.text.lines().enumerate() {
            let bad = FORBIDDEN.iter().filter(|(one, two, _)| line.contains(&format!("{one}{two}")));
            found.extend(
                bad.map(|(one, two, why)| format!("{}:{}: {one}{two}: {why}", source.path, number + 1)),
            );
        }
    }
    assert_none(found);
}

#[test]
fn lines_end_cleanly() {
    let mut found = Vec::new();
    for source in sources(&TEXT) {
        let spaced = source.text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t']));
        found.extend(spaced.map(|(number, _)| format!("{}:{}: space at the end", source.path, number + 1)));
        if !source.text.ends_with('\n') {
            found.push(format!("{}: no newline at the end", source.path));
        }
    }
    assert_none(found);
}
