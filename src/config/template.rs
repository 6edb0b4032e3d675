//! The commented default file.

use std::fmt::Write;

use super::section::Field;
use super::sections::Config;

const HEAD: &str = "\
# Configuration of whimbrel. Every value is here with its default.
#
#   whimbrel check-config whimbrel.toml     says what is wrong with it, with line numbers
#   whimbrel serve --config whimbrel.toml   runs the gateway with it
#
# An environment variable wins over this file: WHIMBREL_TCP__LISTEN=127.0.0.1:7400 is listen under [tcp].
# A flag wins over both: --set tcp.listen=127.0.0.1:7400. The files of keys and
# certificates that this file names start at its own directory.
";

const KEY_EXAMPLE: &str = "
# A key, as `openssl rand -hex 32 > jwt.secret && chmod 600 jwt.secret` makes it:
# [[auth.keys]]
# kid = \"2026-11\"
# algorithm = \"HS256\"
# secret_file = \"jwt.secret\"
#
# A public key of an issuer that keeps the private one to itself:
# [[auth.keys]]
# kid = \"issuer-1\"
# algorithm = \"EdDSA\"
# public_key_file = \"issuer.pem\"
";

/// The default configuration with the doc of every value. Reading it gives the defaults.
pub fn default_file() -> String {
    let mut config = Config::default();
    let mut file = String::from(HEAD);
    for name in Config::SECTIONS {
        let Some(section) = config.section_mut(name) else { continue };
        file.push('\n');
        comment(&mut file, section.doc());
        _ = writeln!(file, "[{name}]");
        for field in section.fields() {
            // An empty list and a later [[auth.keys]] would name the same key twice.
            if (name, field.name) == ("auth", "keys") {
                file.push_str(KEY_EXAMPLE);
            } else {
                value(&mut file, &field);
            }
        }
    }
    file
}

fn value(file: &mut String, field: &Field) {
    comment(file, field.doc);
    if !field.range.is_empty() {
        _ = writeln!(file, "# {}.", field.range);
    }
    _ = writeln!(file, "{} = {}", field.name, field.shown);
}

fn comment(file: &mut String, lines: &[&str]) {
    for line in lines {
        _ = writeln!(file, "#{line}");
    }
}
