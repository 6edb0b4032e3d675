//! One server process.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::ServerError;
use crate::guard::Guard;

/// How long a server may take until it is ready. Long, for several start at once on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// How long it may take until a signal has reached every thread.
const STALL_LIMIT: Duration = Duration::from_secs(5);
/// Lines of a log that an error shows.
const TAIL_LINES: usize = 40;

/// What a server's library for logs is told: everything of note, on standard output.
pub const LOGBACK: &str = r#"<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"#;

/// A Java program with its arguments, and its process while it runs.
pub struct Java {
    name: String,
    arguments: Vec<String>,
    log: PathBuf,
    guard: Arc<Guard>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    child: Option<Child>,
    /// Where in the log its output begins.
    log_start: u64,
}

impl Java {
    /// A program that is not started yet. Its log is in the guard's directory.
    pub fn new(guard: Arc<Guard>, name: String, arguments: Vec<String>) -> Java {
        let log = guard.directory().join(format!("{name}.log"));
        Java { name, arguments, log, guard, running: Mutex::default() }
    }

    /// Starts the process.
    pub fn spawn(&self) -> Result<(), ServerError> {
        let mut running = self.running.lock();
        let log = File::options().create(true).append(true).open(&self.log)?;
        running.log_start = log.metadata()?.len();
        let mut command = Command::new(program());
        command.args(&self.arguments).current_dir(self.guard.directory());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().map_err(ServerError::Java)?;
        self.guard.run(child.id())?;
        running.child = Some(child);
        Ok(())
    }

    /// Waits until `probe` says that the process is ready.
    pub async fn ready(&self, probe: impl AsyncFn() -> bool) -> Result<(), ServerError> {
        let begun = Instant::now();
        while !probe().await {
            if let Some(status) = self.ended()? {
                return Err(ServerError::Ended { name: self.name.clone(), status, log: self.tail() });
            }
            if begun.elapsed() > PATIENCE {
                return Err(ServerError::NotReady {
                    name: self.name.clone(),
                    after: PATIENCE,
                    log: self.tail(),
                });
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
        Ok(())
    }

    /// How the process ended, if it did by itself.
    fn ended(&self) -> io::Result<Option<ExitStatus>> {
        let mut running = self.running.lock();
        let Some(child) = &mut running.child else { return Ok(None) };
        let (pid, status) = (child.id(), child.try_wait()?);
        if status.is_some() {
            running.child = None;
            self.guard.end(pid)?;
        }
        Ok(status)
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.lock().child.as_ref().map(Child::id)
    }

    /// Stalls the process (SIGSTOP) and returns when all of it stands still: its connections stay, nothing answers.
    pub fn stall(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        let stalled = || self.pid().is_none_or(|pid| threads(pid).iter().all(|state| state == "T"));
        let begun = Instant::now();
        while !stalled() && begun.elapsed() < STALL_LIMIT {
            std::thread::sleep(Duration::from_millis(1));
        }
        stalled().then_some(()).ok_or_else(|| io::Error::other(format!("{} does not stop", self.name)))
    }

    /// Lets a stalled process go on (SIGCONT).
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let pid = pid.ok_or_else(|| io::Error::other(format!("{} does not run", self.name)))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends the process as a crash does (SIGKILL). Nothing happens if it does not run.
    pub fn kill(&self) -> io::Result<()> {
        let Some(mut child) = self.running.lock().child.take() else { return Ok(()) };
        child.kill()?;
        self.guard.end(child.id())?;
        child.wait().map(drop)
    }

    /// What the process has printed since its latest start.
    pub fn log(&self) -> String {
        self.log_from(self.running.lock().log_start)
    }

    /// What the process has printed over all its starts.
    pub fn full_log(&self) -> String {
        self.log_from(0)
    }

    fn log_from(&self, start: u64) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let (mut file, mut bytes) = (File::open(&self.log)?, Vec::new());
            file.seek(SeekFrom::Start(start))?;
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    fn tail(&self) -> String {
        let log = self.full_log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // Nothing to do about a process that is gone already.
        _ = self.kill();
    }
}

/// The states of a process's threads, as the kernel abbreviates them.
fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    // The name in parentheses may hold spaces.
    stats.filter_map(|stat| Some(stat.rsplit_once(") ")?.1.split(' ').next()?.to_owned())).collect()
}

fn program() -> PathBuf {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    home.filter(|java| java.exists()).unwrap_or_else(|| "java".into())
}
