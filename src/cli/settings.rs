//! Flags that set configuration values.

use clap::Args;

/// `--set` and what it means to the loader.
#[derive(Args, Debug, Default)]
pub struct Settings {
    /// Set one configuration value; wins over file and environment
    ///
    /// `whimbrel config default` lists them all.
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl Settings {
    /// As the loader takes them; `others` are flags of their own, which win.
    pub fn flags(&self, others: Vec<(&str, &str, String)>) -> Vec<(String, String, String)> {
        let set = self.set.iter().map(|(key, value)| (format!("--set {key}"), key.clone(), value.clone()));
        let others = others.into_iter().map(|(flag, key, value)| (flag.to_owned(), key.to_owned(), value));
        set.chain(others).collect()
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or("write it as section.key=value, for example log.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
