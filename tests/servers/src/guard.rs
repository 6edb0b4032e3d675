//! Sees to it that no server outlives the program that started it, even if that is killed.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use parking_lot::Mutex;

/// What the shell does: it notes processes until its input ends, which the death of this program does, however it dies.
/// Then it kills what still runs and removes the directory.
const SCRIPT: &str = r#"
pids=
while read -r verb pid; do
    case $verb in
        run) pids="$pids $pid" ;;
        end) left=
            for one in $pids; do [ "$one" = "$pid" ] || left="$left $one"; done
            pids=$left ;;
    esac
done
[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
rm -rf -- "$1"
"#;

/// A directory, and a shell that waits for the end of this program.
pub struct Guard {
    directory: PathBuf,
    shell: Child,
    input: Mutex<Option<ChildStdin>>,
}

impl Guard {
    pub fn new() -> io::Result<Guard> {
        let directory = tempfile::Builder::new().prefix("whimbrel-servers-").tempdir()?.keep();
        // A group of its own: an interrupt from the keyboard must not end it before it has done its work.
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let input = Mutex::new(shell.stdin.take());
        Ok(Guard { directory, shell, input })
    }

    /// Goes when the guard is dropped.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Has a process killed at the end.
    pub fn run(&self, pid: u32) -> io::Result<()> {
        self.tell("run", pid)
    }

    /// Forgets a process; to be said before somebody waits for it, since then its number may be another's.
    pub fn end(&self, pid: u32) -> io::Result<()> {
        self.tell("end", pid)
    }

    fn tell(&self, verb: &str, pid: u32) -> io::Result<()> {
        let mut input = self.input.lock();
        input.as_mut().map_or(Ok(()), |input| input.write_all(format!("{verb} {pid}\n").as_bytes()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.input.lock().take();
        // It ends at the end of its input.
        _ = self.shell.wait();
    }
}
