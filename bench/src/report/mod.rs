//! Reports: what verbs have written, for people.
//!
//! | file | noun |
//! |---|---|
//! | `record` | the file that verbs write with `--json` |
//! | `verdict` | the file that `compare` writes |
//! | `table` | either of them as rows |
//! | `markdown`, `page`, `plot` | rows as Markdown, as a page of HTML with plots |
//! | `lines` | lines over a size, as a picture |

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

pub mod lines;
mod markdown;
mod page;
mod plot;
pub mod record;
pub mod table;
pub mod verdict;

use table::Table;

#[derive(Args, Clone, Debug)]
pub struct Report {
    /// Files that verbs or `compare` wrote with --json
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write Markdown here
    #[arg(long, value_name = "FILE", default_value = "report.md")]
    markdown: PathBuf,
    /// Write a page with plots here; it needs nothing beside itself
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    html: PathBuf,
}

impl Report {
    pub fn run(self) -> anyhow::Result<()> {
        let mut tables = Vec::new();
        for path in &self.files {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            tables.extend(Table::read(&name, &text).with_context(|| path.display().to_string())?);
        }
        for (path, text) in [(&self.markdown, markdown::write(&tables)), (&self.html, page::write(&tables))] {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            println!("{}", path.display());
        }
        Ok(())
    }
}
