//! What integration tests stand on: pinned Python environments, a real Tryton server, the real
//! `tallysync` binary, and plain HTTP.
//!
//! Support code fails with a sentence; it never skips a test and never waits by sleeping a fixed time.

pub mod bridge;
pub mod cast;
pub mod clock;
pub mod http;
pub mod process;
pub mod python;
pub mod rust_source;
pub mod setup;
pub mod tryton;
pub mod twins;
pub mod world;

use std::fs::{File, create_dir_all};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

/// The root of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder under cargo's target directory that outlives one test run.
pub fn target_folder(name: &str) -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = temporary.parent().expect("cargo's tmp folder stands inside target").join(name);
    create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    folder
}

/// Reads a file of the repository, or says which one is missing.
pub fn read_repository_file(path: &str) -> String {
    let full = repository().join(path);
    std::fs::read_to_string(&full).unwrap_or_else(|error| panic!("cannot read {}: {error}", full.display()))
}

/// A short name for a content: equal contents, equal names.
pub fn fingerprint(parts: &[&str]) -> String {
    format!("{:016x}", xxh3_64(parts.join("\u{0}").as_bytes()))
}

/// Builds `folder` once, however many tests and test processes ask for it at the same time.
///
/// `build` fills the folder; a marker written last tells a complete folder from one whose build was
/// interrupted, which is removed and built again.
pub fn build_once(folder: &Path, build: impl FnOnce(&Path)) {
    let marker = folder.join(".complete");
    let lock_path = folder.with_extension("lock");
    let lock = File::create(&lock_path)
        .unwrap_or_else(|error| panic!("cannot create the lock {}: {error}", lock_path.display()));
    lock.lock().unwrap_or_else(|error| panic!("cannot lock {}: {error}", lock_path.display()));
    if !marker.exists() {
        if folder.exists() {
            std::fs::remove_dir_all(folder)
                .unwrap_or_else(|error| panic!("cannot remove the half-built {}: {error}", folder.display()));
        }
        create_dir_all(folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
        build(folder);
        File::create(&marker).unwrap_or_else(|error| panic!("cannot write {}: {error}", marker.display()));
    }
}

/// Asks again and again until the answer is `Ok`, at most `within`; then fails with the last reason.
pub fn eventually<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) if started.elapsed() > within => {
                panic!("{what} did not happen within {within:?}; last seen: {reason}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
