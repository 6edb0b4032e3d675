use std::io::Write;

use super::origin::Origin;
use super::setting::{Listen, Plaintext};
use super::template::default_file;
use super::validate::{validate, validate_dev};
use super::{Config, Loaded, Problem, Sources, load};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_default_file_gives_the_defaults() {
    let (loaded, problems) = from_text(&default_file());
    assert_eq!(problems, []);
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_default_file_names_and_explains_every_value() {
    let file = default_file();
    let mut config = Config::default();
    for name in Config::SECTIONS {
        assert!(file.contains(&format!("\n[{name}]\n")), "{name}");
        for field in config.section_mut(name).unwrap().fields() {
            let line = if (name, field.name) == ("auth", "keys") {
                "# [[auth.keys]]\n".to_owned()
            } else {
                format!("\n{} = {}\n", field.name, field.shown)
            };
            assert!(file.contains(&line), "{name}.{}", field.name);
            assert!(field.doc.iter().all(|line| line.len() > 10), "{name}.{}", field.name);
        }
    }
}

#[test]
fn the_example_keys_of_the_default_file_are_well_formed() {
    let from = "# [[auth.keys]]";
    let file = default_file();
    let example = &file[file.find(from).unwrap()..file.find("\n# What one device").unwrap()];
    let example: String = example
        .lines()
        .map(|line| line.trim_start_matches("# "))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .fold(String::new(), |text, line| text + line + "\n");
    let (loaded, problems) = from_text(&example);
    assert_eq!(problems, []);
    let keys = &loaded.config.auth.keys;
    assert_eq!((keys.len(), keys[0].algorithm.as_str(), keys[1].algorithm.as_str()), (2, "HS256", "EdDSA"));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = file(
        "[tcp]\nlisten = \"127.0.0.1:1\"\n[http]\nlisten = \"127.0.0.1:1\"\n[quic]\nlisten = \"127.0.0.1:1\"\n",
    );
    let sources = Sources {
        file: Some(file.path().to_owned()),
        environment: vec![
            variable("WHIMBREL_HTTP__LISTEN", "127.0.0.1:2"),
            variable("WHIMBREL_QUIC__LISTEN", "127.0.0.1:2"),
            variable("PATH", "/bin"),
            variable("WHIMBREL_CONFIG", "not ours"),
        ],
        flags: vec![("--set".into(), "quic.listen".into(), "127.0.0.1:3".into())],
    };
    let (loaded, problems) = load(&sources);
    assert_eq!(problems, []);
    let port = |listen: Listen| listen.0.unwrap().port();
    let config = &loaded.config;
    assert_eq!((port(config.tcp.listen), port(config.http.listen), port(config.quic.listen)), (1, 2, 3));
    assert_eq!(loaded.origins.of("http.listen"), Origin::Environment("WHIMBREL_HTTP__LISTEN".into()));
    assert_eq!(loaded.origins.of("quic.listen"), Origin::Flag("--set".into()));
}

#[test]
fn files_that_the_file_names_start_at_its_directory() {
    let text = "[tls]\ncert = \"c.pem\"\nkey = \"/k.pem\"\n[[auth.keys]]\nkid = \"a\"\nsecret_file = \"s\"\n";
    let file = file(text);
    let environment = vec![variable("WHIMBREL_NODE__DATA_DIR", "data")];
    let sources = Sources { file: Some(file.path().to_owned()), environment, flags: Vec::new() };
    let (loaded, problems) = load(&sources);
    assert_eq!(problems, []);
    let (config, dir) = (&loaded.config, file.path().parent().unwrap());
    assert_eq!(config.tls.cert.get(), Some(&*dir.join("c.pem")));
    assert_eq!(config.tls.key.get(), Some(std::path::Path::new("/k.pem")));
    assert_eq!(config.auth.keys[0].secret_file.get(), Some(&*dir.join("s")));
    assert_eq!(config.auth.keys[0].public_key_file.get(), None);
    assert_eq!(config.node.data_dir.get(), Some(std::path::Path::new("data")));
}

#[test]
fn a_variable_that_lacks_an_underscore_is_a_warning() {
    let names = ["WHIMBREL_TCP_LISTEN", "WHIMBREL_TCP_PORT", "WHIMBREL_TOKEN"];
    let environment = names.map(|name| variable(name, "x")).to_vec();
    let (_, problems) = load(&Sources { environment, ..Sources::default() });
    let shown: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        shown,
        [
            "environment variable WHIMBREL_TCP_LISTEN: warning: sets nothing; did you mean WHIMBREL_TCP__LISTEN?"
        ]
    );
    assert!(!problems[0].is_error());
}

#[test]
fn texts_from_outside_a_file_become_every_kind_of_value() {
    let environment = vec![
        variable("WHIMBREL_WORKERS", "3"),
        variable("WHIMBREL_NODE__DATA_DIR", "1234"),
        variable("WHIMBREL_TCP__PLAINTEXT", "allow"),
        variable("WHIMBREL_HTTP__LISTEN", ""),
        variable("WHIMBREL_HTTP__ALLOWED_ORIGINS", "[\"https://a.example\"]"),
        variable("WHIMBREL_AUTH__KEYS", "[{kid = \"k\", secret = \"s\"}]"),
        variable("WHIMBREL_LIMITS__HEARTBEAT_MS", "60_000"),
    ];
    let (loaded, problems) = load(&Sources { environment, ..Sources::default() });
    assert_eq!(problems, []);
    let config = loaded.config;
    assert_eq!(config.node.workers, 3);
    assert_eq!(config.node.data_dir.get().unwrap().to_str(), Some("1234"));
    assert_eq!(config.tcp.plaintext, Plaintext::Allow);
    assert_eq!(config.http.listen, Listen(None));
    assert_eq!(config.http.allowed_origins, ["https://a.example"]);
    assert_eq!(config.auth.keys[0].kid, "k");
    assert_eq!(config.limits.heartbeat_ms, 60_000);
}

#[test]
fn unknown_names_are_errors_with_their_place_and_a_hint() {
    let text = "[tcp]\nlisten = \"\"\n  lisen = 5\n[limit]\n[[auth.keys]]\nkid = \"a\"\nsecretfile = \"x\"\nzzz = 1\n";
    let lines = lines(text);
    assert_eq!(
        lines,
        [
            "3:3: unknown key `lisen` in [tcp]; did you mean `listen`?",
            "4:2: unknown section `limit`; did you mean `limits`?",
            "7:1: auth.keys: unknown key `secretfile` in this table; did you mean `secret_file`?",
            "8:1: auth.keys: unknown key `zzz` in this table; there are kid, algorithm, secret, secret_file, \
             public_key_file",
        ]
    );
    let environment = vec![variable("WHIMBREL_TCP__LISEN", "x"), variable("WHIMBREL_TPC__LISTEN", "x")];
    let (_, problems) = load(&Sources { environment, ..Sources::default() });
    let shown: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        shown[0],
        "environment variable WHIMBREL_TCP__LISEN: unknown key `lisen` in [tcp]; did you mean `listen`?"
    );
    assert!(shown[1].ends_with("unknown section `tpc`; did you mean `tcp`?"), "{shown:?}");
}

#[test]
fn wrong_values_are_all_reported_with_their_place() {
    let text = "tcp = 5\n[http]\nlisten = 7\nplaintext = \"maybe\"\nallowed_origins = [\"a\", 1]\n\
                [limits]\nheartbeat_ms = 1\nmax_connections = -1\nhello_timeout_ms = \"5\"\n[quic]\nlisten = \"localhost:1\"\n";
    assert_eq!(
        lines(text),
        [
            "1:1: `tcp` is a section; write [tcp] on a line of its own",
            "3:10: http.listen: expected a text in quotes",
            "4:13: http.plaintext: expected \"refuse\" or \"allow\"",
            "5:25: http.allowed_origins: expected a text in quotes",
            "7:16: limits.heartbeat_ms: 1 is out of range; use 1000 to 600000",
            &format!("8:19: limits.max_connections: expected a whole number from 0 to {}", usize::MAX),
            "9:20: limits.hello_timeout_ms: expected a whole number",
            "11:10: quic.listen: expected an IP address and a port such as \"127.0.0.1:7400\" or \"[::1]:7400\", or \"\" \
             for off",
        ]
    );
}

#[test]
fn broken_toml_is_reported_with_its_place_and_without_its_text() {
    let text = format!("[auth]\nissuer = \"a\n[[auth.keys]]\nsecret = {SECRET}\n");
    let lines = lines(&text);
    assert!(lines.iter().any(|line| line.starts_with("2:")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("4:")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(SECRET) && !line.contains('\n')), "{lines:?}");
}

#[test]
fn a_plain_listener_for_other_machines_has_to_be_asked_for_by_name() {
    let with_key =
        |text: &str| refusals(&format!("{text}\n[[auth.keys]]\nkid = \"a\"\nsecret = \"{SECRET}\"\n"));
    for address in ["0.0.0.0:7400", "[::]:7400", "192.168.0.1:7400"] {
        for section in ["tcp", "http"] {
            let text = format!("[quic]\nlisten = \"\"\n[{section}]\nlisten = \"{address}\"\n");
            let refused = with_key(&text);
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(
                refused[0].starts_with(&format!("4:10: {section}.listen = \"{address}\" takes unenc")),
                "{refused:?}"
            );
            assert_eq!(with_key(&format!("{text}plaintext = \"allow\"\n")), [""; 0]);
        }
    }
    for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(
            with_key(&format!("[quic]\nlisten = \"\"\n[tcp]\nlisten = \"{address}\"\n")),
            [""; 0],
            "{address}"
        );
    }
}

#[test]
fn serve_needs_keys_and_a_listener() {
    let refused = refusals("[tcp]\nlisten = \"\"\n[http]\nlisten = \"\"\n[quic]\nlisten = \"\"\n");
    assert!(refused.iter().any(|line| line.contains("nothing listens")), "{refused:?}");
    assert!(refused.iter().any(|line| line.contains("auth.keys is empty")), "{refused:?}");
    let refused = refusals("");
    assert!(refused.iter().any(|line| line.contains("quic.listen needs a certificate")), "{refused:?}");
}

#[test]
fn keys_are_judged_one_by_one() {
    let text = "[quic]\nlisten = \"\"\n\
        [[auth.keys]]\nkid = \"short\"\nsecret = \"abc\"\n\
        [[auth.keys]]\nkid = \"none\"\n\
        [[auth.keys]]\nkid = \"rsa\"\nalgorithm = \"RS256\"\n\
        [[auth.keys]]\nkid = \"gone\"\nalgorithm = \"ES256\"\npublic_key_file = \"/does/not/exist.pem\"\n\
        [[auth.keys]]\nkid = \"mixed\"\nalgorithm = \"EdDSA\"\nsecret = \"abc\"\n";
    let refused = refusals(text);
    for (line, part) in refused.iter().zip([
        "3:1: auth.keys, kid \"short\": the secret has 3 bytes",
        "6:1: auth.keys, kid \"none\": HS256 needs secret or secret_file",
        "8:1: auth.keys, kid \"rsa\": algorithm must be",
        "11:1: auth.keys, kid \"gone\": /does/not/exist.pem cannot be read",
        "15:1: auth.keys, kid \"mixed\": EdDSA takes a public_key_file",
    ]) {
        assert!(line.starts_with(part), "{line}");
    }
    assert_eq!(refused.len(), 5, "{refused:?}");
    let twice = format!("[[auth.keys]]\nkid = \"a\"\nsecret = \"{SECRET}\"\n");
    let refused = refusals(&format!("[quic]\nlisten = \"\"\n{twice}{twice}"));
    assert!(refused.len() == 1 && refused[0].contains("two keys have the kid \"a\""), "{refused:?}");
}

#[test]
fn a_secret_that_everybody_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let secret = file(&format!("{SECRET}\n"));
    let text =
        format!("[quic]\nlisten = \"\"\n[[auth.keys]]\nkid = \"a\"\nsecret_file = {:?}\n", secret.path());
    for (mode, warned) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(secret.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let (loaded, problems) = from_text(&text);
        assert_eq!(problems, []);
        let found = validate(&loaded);
        assert!(found.iter().all(|problem| !problem.is_error()), "{found:?}");
        assert_eq!(found.len(), warned, "{mode:o} {found:?}");
    }
}

#[test]
fn dev_listens_on_loopback_only() {
    let (loaded, _) = from_text("[http]\nlisten = \"0.0.0.0:1\"\nplaintext = \"allow\"\n");
    assert_eq!(validate_dev(&loaded).len(), 1);
    assert_eq!(validate_dev(&Loaded::default()), []);
}

#[test]
fn debug_shows_no_secret() {
    let (loaded, _) = from_text(&format!("[[auth.keys]]\nkid = \"a\"\nsecret = \"{SECRET}\"\n"));
    assert!(!format!("{loaded:?}").contains(SECRET));
}

fn variable(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn from_text(text: &str) -> (Loaded, Vec<Problem>) {
    let file = file(text);
    load(&Sources { file: Some(file.path().to_owned()), ..Sources::default() })
}

/// The problems of a file, without its name.
fn lines(text: &str) -> Vec<String> {
    nameless(&from_text(text).1)
}

/// Why `serve` does not start with a file.
fn refusals(text: &str) -> Vec<String> {
    let (loaded, problems) = from_text(text);
    assert_eq!(problems, []);
    let found: Vec<Problem> = validate(&loaded).into_iter().filter(Problem::is_error).collect();
    nameless(&found)
}

fn nameless(problems: &[Problem]) -> Vec<String> {
    let shown = problems.iter().map(|problem| match &problem.at {
        Origin::Line { line, column, .. } => format!("{line}:{column}: {}", problem.message),
        _ => problem.message.clone(),
    });
    shown.collect()
}

#[test]
fn the_admin_listener_is_for_this_machine() {
    let problems_of = |text: &str| {
        let (loaded, problems) = from_text(text);
        assert_eq!(problems, []);
        let all = validate(&loaded).into_iter().chain(validate_dev(&loaded));
        all.filter(|problem| format!("{problem}").contains("admin.listen")).count()
    };
    assert_eq!(problems_of("[admin]\nlisten = \"127.0.0.1:7490\"\n"), 0);
    assert_eq!(problems_of("[admin]\nlisten = \"0.0.0.0:7490\"\n"), 2);
}

#[test]
fn devices_and_presence_are_read() {
    let (loaded, problems) =
        from_text("[devices]\nmax_web = 3\nrule = \"refuse\"\n[presence]\ngrace_ms = 0\n");
    assert_eq!(problems, []);
    let config = loaded.config;
    assert_eq!((config.devices.max_web, config.devices.max_mobile), (3, 16));
    assert_eq!((config.devices.rule, config.presence.grace_ms), (super::setting::Kick::Refuse, 0));
    let (_, problems) = from_text("[devices]\nrule = \"newest\"\n");
    assert!(format!("{}", problems[0]).contains("expected \"kick-oldest\" or \"refuse\""));
}

#[test]
fn a_cluster_needs_hosts_a_name_and_a_whole_password() {
    let problems = |text: &str| {
        let (loaded, problems) = from_text(&format!("[store]\nbackend = \"cql\"\n[cql]\n{text}"));
        assert_eq!(problems, []);
        super::validate::store(&loaded).into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    assert_eq!(problems(""), [""; 0]);
    assert_eq!(problems("user = \"ann\"\npassword = \"secret\"\nreplication = \"dc1:3\""), [""; 0]);
    assert!(problems("hosts = []")[0].contains("cql.hosts is empty"));
    assert!(problems("keyspace = \"Whim brel\"")[0].contains("not one word"));
    assert!(problems("consistency = \"local\"")[0].contains("needs cql.datacenter"));
    assert!(problems("replication = \"many\"")[0].contains("neither a number"));
    assert!(problems("user = \"ann\"")[0].contains("set cql.password"));
    assert!(problems("password = \"secret\"")[0].contains("set cql.user"));
    let both = problems("user = \"ann\"\npassword = \"secret\"\npassword_file = \"file\"");
    assert!(both[0].contains("both set") && !both[0].contains("secret\""), "{both:?}");
    assert!(problems("user = \"ann\"\npassword_file = \"/nowhere\"")[0].contains("cannot be read"));
}
