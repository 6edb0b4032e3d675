//! A real browser without a window, driven over WebDriver.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{artifacts, free_port};
use super::{PATIENCE, http, soon};

/// Programs that may be the browser, in this order.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// One browser window, closed when it is dropped.
pub struct Browser {
    driver: Child,
    address: std::net::SocketAddr,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// A browser with a fresh profile.
    pub async fn start() -> Browser {
        let (address, profile) = (free_port(), TempDir::with_prefix("whimbrel-browser-").unwrap());
        let log = std::fs::File::create(artifacts().join("chromedriver.log")).unwrap();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={}", address.port()))
            // The browser leaves directories where it is told that temporary ones belong.
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("chromedriver is needed: apt-get install chromium chromium-driver");
        let mut browser = Browser { driver, address, session: String::new(), _profile: profile };
        browser
            .until("chromedriver is ready", PATIENCE, async |b| {
                b.call("GET", "/status", json!({})).await.ok()
            })
            .await;
        let capabilities = capabilities(browser._profile.path());
        let answer = browser.call("POST", "/session", capabilities).await.expect("the browser starts");
        browser.session = answer["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    pub async fn open(&self, url: &str) {
        self.command("POST", "/url", json!({ "url": url })).await.unwrap();
    }

    /// Runs a function body in the page; `args` are its `arguments`.
    pub async fn run(&self, script: &str, args: Value) -> Value {
        let body = json!({ "script": script, "args": args });
        self.command("POST", "/execute/sync", body).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until an element whose text contains `text` is there and shown.
    pub async fn wait_for(&self, selector: &str, text: &str) {
        self.wait_long(selector, text, PATIENCE).await;
    }

    /// As `wait_for`, where it takes its time.
    pub async fn wait_long(&self, selector: &str, text: &str, patience: Duration) {
        const FIND: &str = "return [...document.querySelectorAll(arguments[0])]
            .some((e) => e.checkVisibility() && e.textContent.includes(arguments[1]))";
        let there =
            async |b: &Browser| b.run(FIND, json!([selector, text])).await.as_bool().filter(|found| *found);
        self.until(&format!("{selector} with {text:?}"), patience, there).await;
    }

    /// Clicks the first element whose text contains `text`, as a person would.
    pub async fn click(&self, selector: &str, text: &str) {
        self.wait_for(selector, text).await;
        let element = self.element(selector, text).await;
        self.command("POST", &format!("/element/{element}/click"), json!({})).await.unwrap();
    }

    /// Types into the first element, as a person would; `\u{E007}` is Enter.
    pub async fn type_into(&self, selector: &str, keys: &str) {
        self.wait_for(selector, "").await;
        let element = self.element(selector, "").await;
        self.command("POST", &format!("/element/{element}/value"), json!({ "text": keys })).await.unwrap();
    }

    /// Types where the focus is.
    pub async fn keys(&self, keys: &str) {
        let key = |kind: &'static str| move |value: char| json!({ "type": kind, "value": value });
        let presses: Vec<Value> =
            keys.chars().flat_map(|value| [key("keyDown")(value), key("keyUp")(value)]).collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": presses }] });
        self.command("POST", "/actions", actions).await.unwrap();
    }

    /// How many elements there are, shown or not.
    pub async fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.run(script, json!([selector])).await.as_u64().unwrap()
    }

    /// All text that is shown.
    pub async fn text(&self) -> String {
        let text = self.run("return document.body.innerText", json!([])).await;
        text.as_str().unwrap().to_owned()
    }

    /// Shows the window in this size.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height });
        self.command("POST", "/window/rect", size).await.unwrap();
    }

    /// Minimizes the window: nobody sees the page.
    pub async fn minimize(&self) {
        self.command("POST", "/window/minimize", json!({})).await.unwrap();
    }

    /// Saves what the window shows.
    pub async fn screenshot(&self, name: &str) {
        let image = self.command("GET", "/screenshot", json!({})).await.unwrap();
        let image = base64::engine::general_purpose::STANDARD.decode(image.as_str().unwrap()).unwrap();
        assert!(image.len() > 5_000, "the screenshot is empty");
        std::fs::write(artifacts().join(name), image).unwrap();
    }

    async fn element(&self, selector: &str, text: &str) -> String {
        const FIND: &str = "return [...document.querySelectorAll(arguments[0])]
            .find((e) => e.checkVisibility() && e.textContent.includes(arguments[1]))";
        let found = self.run(FIND, json!([selector, text])).await;
        let id =
            found.as_object().and_then(|reference| reference.values().next()?.as_str().map(str::to_owned));
        id.unwrap_or_else(|| panic!("no {selector} with {text:?}"))
    }

    async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        condition: impl AsyncFn(&Browser) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = condition(self).await {
                return found;
            }
            if Instant::now() > deadline {
                if !self.session.is_empty() {
                    self.screenshot("failed.png").await;
                }
                panic!("{what}: not within {patience:?}; see {}", artifacts().display());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    async fn command(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        self.call(method, &format!("/session/{}{path}", self.session), body).await
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let answer = soon(path, http::request(self.address, method, path, &body)).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let mut value: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(value["value"].take()) } else { Err(value["value"].to_string()) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver closes its browser when the session is deleted; this cannot await, so it asks without waiting
        // for the answer's body and then ends the driver.
        if !self.session.is_empty() {
            let path = format!("DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.session);
            if let Ok(mut stream) = std::net::TcpStream::connect(self.address) {
                use std::io::{Read, Write};
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let _ = stream.write_all(path.as_bytes()).and_then(|()| stream.read(&mut [0; 64]));
            }
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn capabilities(profile: &std::path::Path) -> Value {
    let profile = format!("--user-data-dir={}", profile.display());
    let flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1100,800",
        &profile,
    ];
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": browser(), "args": flags },
    } } })
}

fn browser() -> String {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = std::env::split_paths(&paths).collect();
    let found =
        BROWSERS.iter().find_map(|name| directories.iter().map(|d| d.join(name)).find(|path| path.exists()));
    let found = found.expect("a browser is needed: apt-get install chromium chromium-driver");
    found.to_string_lossy().into_owned()
}
