//! Pinned virtual Python environments, built once under `target/test-venvs/` and shared by all tests.
//!
//! A missing interpreter or `venv` module fails the test with what to install; nothing is skipped, because
//! a skipped test looks like a passed one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{build_once, fingerprint, read_repository_file, target_folder};

const INSTALL_HINT: &str = "install Python 3.11 or newer with its venv module \
     (Debian: apt-get install python3 python3-venv)";

/// Where to look, in this order; a machine's own default comes before its extras.
const INTERPRETERS: [&str; 4] = ["python3.11", "python3", "python3.12", "python3.13"];

/// A virtual environment that holds exactly what its requirements file pins.
#[derive(Debug, Clone)]
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The environment of `tests/python/NAME.txt`; built on first use.
    pub fn of(name: &str) -> Environment {
        let requirements_path = format!("tests/python/{name}.txt");
        let requirements = read_repository_file(&requirements_path);
        refuse_loose_pins(&requirements_path, &requirements);
        let (interpreter, version) = interpreter(&INTERPRETERS).unwrap_or_else(|reason| panic!("{reason}"));
        let hash = fingerprint(&[&requirements, &interpreter, &version]);
        let folder = target_folder("test-venvs").join(format!("{name}-{hash}"));
        build_once(&folder, |folder| build(folder, &interpreter, &requirements_path));
        Environment { folder }
    }

    /// A program that the environment holds: `python`, `trytond`, ...
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// A command for one of its programs, without the caller's Python settings and proxies.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.program(program));
        command.env_clear().env("PATH", path_variable()).env("LANG", "C.UTF-8").env("PYTHONUNBUFFERED", "1");
        command
    }

    /// Runs a script of the repository to its end and gives its standard output; a failure shows all of it.
    pub fn run_script(
        &self,
        script: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> String {
        let mut command = self.command("python");
        command.arg(super::repository().join(script)).args(arguments).current_dir(folder);
        command.envs(environment.iter().copied());
        run_to_success(&mut command)
    }
}

/// Runs a command to its end; anything but success fails with what it printed.
pub fn run_to_success(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?} ended with {}\n{}", output.status, printed(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("standard output:\n{}\nstandard error:\n{}", text(&output.stdout), text(&output.stderr))
}

fn path_variable() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_else(|| OsStr::new("/usr/bin:/bin").to_owned())
}

/// Every line pins one exact version: what passed yesterday is what runs today.
fn refuse_loose_pins(path: &str, requirements: &str) {
    for (index, line) in requirements.lines().enumerate() {
        let line = line.trim();
        let pinned = line.split_once("==").is_some_and(|(name, version)| {
            !name.is_empty() && !version.is_empty() && !version.contains(['*', ',', '<', '>'])
        });
        assert!(
            line.is_empty() || line.starts_with('#') || pinned,
            "{path}:{}: `{line}` does not pin one exact version; write NAME==VERSION",
            index + 1
        );
    }
}

/// The first Python of at least 3.11 on the path, and its version.
fn interpreter(names: &[&str]) -> Result<(String, String), String> {
    let mut seen = Vec::new();
    for name in names {
        let probe = "import sys; print('.'.join(map(str, sys.version_info[:3])), sys.executable)";
        match Command::new(name).args(["-c", probe]).output() {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let (version, executable) = text.trim().split_once(' ').expect("the probe prints two words");
                if new_enough(version) {
                    return Ok((executable.to_owned(), version.to_owned()));
                }
                seen.push(format!("{name} is {version}"));
            }
            Ok(output) => seen.push(format!("{name} ended with {}", output.status)),
            Err(error) => seen.push(format!("{name}: {error}")),
        }
    }
    Err(format!("these tests talk to real Python programs: {INSTALL_HINT}. Tried: {}", seen.join("; ")))
}

fn new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (3, 11)
}

fn build(folder: &Path, interpreter: &str, requirements_path: &str) {
    let venv = Command::new(interpreter)
        .args(["-m", "venv"])
        .arg(folder)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {interpreter}: {error}; {INSTALL_HINT}"));
    assert!(
        venv.status.success(),
        "{interpreter} cannot make a virtual environment; {INSTALL_HINT}\n{}",
        printed(&venv)
    );
    // The requirements name every package, also the indirect ones: with --no-deps nothing slips in.
    let pip = Command::new(folder.join("bin/python"))
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--quiet", "--requirement"])
        .arg(super::repository().join(requirements_path))
        .output()
        .unwrap_or_else(|error| panic!("cannot run pip in {}: {error}; {INSTALL_HINT}", folder.display()));
    assert!(
        pip.status.success(),
        "pip could not install {requirements_path}: the first run needs the Python package index (or a \
         mirror named in pip.conf); later runs need no network\n{}",
        printed(&pip)
    );
}

#[test]
fn loose_pins_are_refused() {
    for loose in ["trytond", "trytond>=8.2", "trytond==8.*", "==1.0"] {
        let refused = std::panic::catch_unwind(|| refuse_loose_pins("tests/python/x.txt", loose));
        let message = *refused.expect_err(loose).downcast::<String>().expect("a sentence");
        assert!(message.contains("tests/python/x.txt:1") && message.contains(loose), "{message}");
    }
    refuse_loose_pins("tests/python/x.txt", "# why\n\ntrytond==8.2.1\n");
}

#[test]
fn old_interpreters_are_not_taken() {
    assert!(new_enough("3.11.0") && new_enough("3.14.2") && new_enough("4.0.0"));
    assert!(!new_enough("3.9.18") && !new_enough("2.7.18") && !new_enough("nonsense"));
}

#[test]
fn a_missing_interpreter_is_a_sentence_that_says_what_to_install() {
    let reason = interpreter(&["no-such-python", "false"]).expect_err("neither is a Python");
    for part in ["python3-venv", "no-such-python: ", "false ended with"] {
        assert!(reason.contains(part), "{reason}");
    }
}
