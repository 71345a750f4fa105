//! When the state file cannot be written: a clear error, and nothing lost or doubled once it can.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::site::Site;
use crate::support::eventually;
use crate::support::process::Tallysync;
use crate::support::world::SIDES;

/// No file may grow beyond so many bytes: to SQLite, that is a disk that takes nothing more.
fn on_a_full_disk(command: Tallysync, bytes: u64) -> Tallysync {
    // The shell counts in blocks of 512 bytes; a write beyond the limit fails instead of ending the program.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes.div_ceil(512));
    command.through(["dash", "-c", &script, "sh"])
}

#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let site = Site::with_order();
    let mut refused = 0;
    let mut orders = vec!["SO-1".to_owned()];
    for step in 0..24_u64 {
        let number = format!("SO-{}", step + 2);
        site.add("erp", &number, "hello");
        orders.push(number);
        for (place, side) in SIDES.iter().enumerate() {
            let order = &orders[(usize::try_from(step).unwrap() * 7 + place) % orders.len()];
            if let [id] = &site.ids(side, order)[..] {
                site.on(side).edit(id, "memo", format!("step {step} in {side}").into());
            }
        }
        let room = 8192 + step * 8192;
        let ended = on_a_full_disk(site.tallysync(["sync"]), room).run();
        match ended.status.code() {
            Some(0) => {}
            Some(1) => {
                refused += 1;
                assert!(ended.stderr.contains("state file"), "{room} bytes: {}", ended.stderr);
                assert!(ended.stderr.contains("disk"), "{room} bytes: {}", ended.stderr);
            }
            other => panic!("{room} bytes: {other:?} {} {}", ended.stdout, ended.stderr),
        }
        site.assert_sound();
    }
    assert!(refused >= 5, "only {refused} of the runs met the end of the disk");
    eventually("quiet with room again", Duration::from_secs(60), || {
        let report = site.tallysync(["sync", "--sweep"]).json();
        let open =
            site.ask("SELECT state || ' ' || coalesce(failure, '') FROM write WHERE closed_at IS NULL");
        if report[0]["written"] == 0 && open.is_empty() { Ok(()) } else { Err(format!("{report} {open:?}")) }
    });
    for number in &orders {
        let shown = SIDES.map(|side| site.shows(side, number, "memo"));
        let equal = shown.iter().all(|value| *value == shown[0]);
        let asked = site.ask(&format!(
            "SELECT c.id FROM conflict c JOIN link l ON l.id = c.link WHERE c.state = 'open' AND l.title = '{number}'"
        ));
        assert!(equal || asked.len() == 1, "{number}: {shown:?} {asked:?}");
    }
    let before = site.writes();
    site.tallysync(["sync", "--sweep"]).succeed();
    assert_eq!(site.writes(), before);
}

/// Runs the program as somebody who is not the superuser, to whom modes mean nothing.
fn as_a_user(site: &Site, command: Tallysync) -> Tallysync {
    let superuser =
        std::fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0);
    if !superuser {
        return command;
    }
    // The build folder may be closed to others: the program moves in.
    let binary = site.path().join("tallysync");
    if !binary.exists() {
        let built = env!("CARGO_BIN_EXE_tallysync");
        std::fs::hard_link(built, &binary)
            .or_else(|_| std::fs::copy(built, &binary).map(|_| ()))
            .expect("the program can be copied");
    }
    let script = "shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups ./tallysync \"$@\"";
    command.through(["sh", "-c", script, "sh"])
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the mode is ours to set");
}

#[test]
fn a_state_file_that_cannot_be_written_is_named_with_the_remedy() {
    let site = Site::with_order();
    let folder = site.path().join("state");
    mode(site.path(), 0o755);
    let files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder").map(|file| file.expect("a file").path()).collect();
    for file in &files {
        mode(file, 0o444);
    }
    mode(&folder, 0o555);
    site.edit("erp", "SO-1", "memo", "waits for the disk");
    let before = site.writes();
    for words in [["sync"], ["run"], ["plan"]] {
        let ended = as_a_user(&site, site.tallysync(words)).run().expect_code(1);
        assert!(ended.stderr.contains("state.db"), "{words:?} does not name the file: {}", ended.stderr);
        assert!(ended.stderr.to_lowercase().contains("permission"), "{words:?}: {}", ended.stderr);
    }
    let decided = as_a_user(&site, site.tallysync(["pause", "orders"])).run().expect_code(1);
    assert!(decided.stderr.contains("state file"), "{}", decided.stderr);
    assert_eq!(site.writes(), before, "without a state file nothing is written anywhere");
    mode(&folder, 0o755);
    for file in &files {
        mode(file, 0o644);
    }
    site.tallysync(["sync"]).succeed();
    assert_eq!(site.shows("crm", "SO-1", "memo"), "waits for the disk");
}

#[test]
fn a_file_that_is_no_state_file_is_refused_and_left_alone() {
    let site = Site::with_order();
    std::fs::remove_dir_all(site.path().join("state")).expect("the state is ours to remove");
    std::fs::create_dir(site.path().join("state")).expect("a folder");
    let text = "this is somebody's letter, not a state file\n".repeat(100);
    std::fs::write(site.state(), &text).expect("a file");
    let before = site.writes();
    for words in [["sync"], ["status"], ["plan"]] {
        let ended = site.tallysync(words).run().expect_code(1);
        assert!(ended.stderr.contains("state file"), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("not a database"), "{words:?}: {}", ended.stderr);
    }
    assert_eq!(std::fs::read_to_string(site.state()).expect("the file"), text);
    assert_eq!(site.writes(), before);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let site = Site::with_order();
    std::fs::remove_dir_all(site.path().join("state")).expect("the state is ours to remove");
    std::fs::write(site.path().join("state"), "a file where a folder should be").expect("a file");
    let ended = site.tallysync(["sync"]).run().expect_code(1);
    assert!(ended.stderr.contains("cannot create its folder"), "{}", ended.stderr);
    assert!(ended.stderr.contains("state.db"), "{}", ended.stderr);
}
