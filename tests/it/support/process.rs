//! Runs the real `tallysync` binary as an operator would: arguments, environment, a folder; and ends it as
//! a power cut would.
//!
//! It knows nothing of what the program prints; tests say what they expect.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Long enough for a slow machine, short enough that a hanging program fails the run.
const PATIENCE: Duration = Duration::from_secs(120);

/// A `tallysync` command line that has not run yet.
#[derive(Debug, Clone)]
pub struct Tallysync {
    folder: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
}

impl Tallysync {
    /// A command line that will run in `folder`, with a bare environment.
    pub fn inside(folder: &Path) -> Tallysync {
        Tallysync {
            folder: folder.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Tallysync {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Tallysync {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets another program start it, which gets the whole command line as its last arguments.
    pub fn through<S: Into<String>>(mut self, wrapper: impl IntoIterator<Item = S>) -> Tallysync {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// Starts it and returns at once.
    pub fn start(self) -> Running {
        let binary = env!("CARGO_BIN_EXE_tallysync").to_owned();
        let words: Vec<String> = self.wrapper.iter().cloned().chain([binary]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&self.arguments).current_dir(&self.folder);
        // The developer's own settings, proxies and credentials must not decide a test.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.folder).env("TZ", "UTC");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        launch(command, format!("tallysync {}", self.arguments.join(" ")))
    }

    /// Runs it to its end.
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Runs it to its end and expects exit code 0; gives its standard output.
    pub fn succeed(self) -> String {
        self.run().expect_code(0).stdout
    }

    /// Runs it with `--json`, expects exit code 0 and gives what it printed as JSON.
    pub fn json(self) -> Value {
        let text = self.args(["--json"]).succeed();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("--json printed no JSON ({error}): {text}"))
    }
}

/// Starts any program the way `tallysync` is started: watched, with its output collected.
fn launch(mut command: Command, command_line: String) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command_line}: {error}"));
    let stdout = Collected::from(child.stdout.take().expect("piped"));
    let stderr = Collected::from(child.stderr.take().expect("piped"));
    Running { child, stdout, stderr, command_line }
}

/// A `tallysync` process; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Collected,
    stderr: Collected,
    command_line: String,
}

impl Running {
    /// What it printed on standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it printed on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until one of its outputs holds `text`; fails when it ends before, or after two minutes.
    pub fn await_output(&mut self, text: &str) {
        let started = Instant::now();
        loop {
            // The end is looked up first: what it printed just before its end still counts.
            let ended = self.child.try_wait().expect("the process can be asked");
            if ended.is_some() {
                self.stdout.finish();
                self.stderr.finish();
            }
            if self.stdout().contains(text) || self.stderr().contains(text) {
                return;
            }
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "{} never printed `{text}` (ended: {ended:?}){}",
                self.command_line,
                self.printed()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// It has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked").is_some()
    }

    /// Sends a signal by name: `TERM`, `HUP`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let identifier = self.child.id().to_string();
        // The shell's own kill: the program of that name is not on every machine.
        let sent = Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &identifier]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name} to {}", self.command_line);
    }

    /// Ends it as a power cut would (SIGKILL) and collects what it had printed.
    pub fn kill(mut self) -> Finished {
        // An error means that it has ended already, which the status shows.
        let _ = self.child.kill();
        self.collect()
    }

    /// Waits for its end, at most two minutes.
    pub fn wait(self) -> Finished {
        self.wait_within(PATIENCE)
    }

    /// Waits for its end; one that takes longer fails the test with what it had printed.
    pub fn wait_within(mut self, patience: Duration) -> Finished {
        let started = Instant::now();
        while self.child.try_wait().expect("the process can be asked").is_none() {
            assert!(
                started.elapsed() < patience,
                "{} still runs after {patience:?}{}",
                self.command_line,
                self.printed()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        self.collect()
    }

    fn collect(mut self) -> Finished {
        let status = self.child.wait().expect("a child can be waited for");
        self.stdout.finish();
        self.stderr.finish();
        Finished {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
            command_line: self.command_line.clone(),
        }
    }

    fn printed(&self) -> String {
        format!("\nstandard output:\n{}\nstandard error:\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `tallysync` process that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended; no code when a signal ended it.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    command_line: String,
}

impl Finished {
    /// Fails unless it ended with that exit code; gives itself for further looks.
    pub fn expect_code(self, code: i32) -> Finished {
        assert_eq!(
            self.status.code(),
            Some(code),
            "{} ended with {}, not with {code}\nstandard output:\n{}\nstandard error:\n{}",
            self.command_line,
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// What a pipe has given so far, read by a thread of its own so that the program never blocks on it.
#[derive(Debug)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn from(mut pipe: impl Read + Send + 'static) -> Collected {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..count]);
            }
        });
        Collected { bytes, reader: Some(reader) }
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader of a pipe does not panic");
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn shell(script: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        launch(command, format!("sh -c '{script}'"))
    }

    #[test]
    fn a_program_is_watched_and_killed() {
        let mut running = shell("echo ready; exec sleep 600");
        running.await_output("ready");
        let ended = running.kill();
        assert_eq!(ended.status.signal(), Some(9));
        assert_eq!(ended.stdout, "ready\n");
    }

    #[test]
    fn a_program_gets_signals_and_has_an_exit_code() {
        let mut running =
            shell("trap 'echo told >&2; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
        running.await_output("ready");
        running.signal("TERM");
        assert_eq!(running.wait().expect_code(3).stderr, "told\n");
    }

    #[test]
    fn waiting_for_what_never_comes_fails_with_what_was_printed() {
        let never = std::panic::catch_unwind(|| shell("echo something else").await_output("ready"));
        let message = *never.expect_err("it ended").downcast::<String>().expect("a sentence");
        assert!(message.contains("something else"), "{message}");
        let slow = std::panic::catch_unwind(|| shell("exec sleep 600").wait_within(Duration::ZERO));
        assert!(slow.is_err());
    }
}
