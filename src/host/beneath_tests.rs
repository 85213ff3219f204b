use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A directory, and another one beside it with a file that must stay as it is.
fn places() -> (tempfile::TempDir, Dir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let (inside, outside) = (temp.path().join("inside"), temp.path().join("outside"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("passwd"), "root").unwrap();
    let dir = Dir::open(&inside).unwrap().unwrap();
    (temp, dir, outside)
}

fn why(dir: &Dir, name: &str) -> String {
    dir.read(name).unwrap().expect("there is a file").expect_err("it is not taken")
}

#[test]
fn what_is_written_is_what_is_read_and_nobody_else_may_read_it() {
    let (temp, dir, _) = places();
    let inner = dir.make_dir("journal", 0o700).unwrap();
    inner.write("a.json", b"text", 0o600).unwrap();
    assert_eq!(inner.read("a.json").unwrap().unwrap().unwrap().text, b"text");
    let path = temp.path().join("inside/journal");
    assert_eq!((mode(&path), mode(&path.join("a.json"))), (0o700, 0o600));
    assert_eq!(inner.names().unwrap(), ["a.json"], "nothing else is left");
    assert!(inner.read("b.json").unwrap().is_none());
    assert!(inner.remove("a.json").unwrap() && !inner.remove("a.json").unwrap());
}

#[test]
fn a_linked_file_is_neither_read_nor_written_nor_removed() {
    let (temp, dir, outside) = places();
    let (link, target) = (temp.path().join("inside/a"), outside.join("passwd"));
    symlink(&target, &link).unwrap();
    assert!(why(&dir, "a").contains("symbolic link"));
    fs::create_dir(temp.path().join("inside/locks")).unwrap();
    symlink(&target, temp.path().join("inside/locks/a")).unwrap();
    assert!(dir.lock_file("locks", "a").is_err() && dir.lock_file("locks", "b").is_ok());
    // The place of the file that is written first, too.
    symlink(&target, temp.path().join("inside/.a.new")).unwrap();
    dir.write("a", b"mine", 0o600).unwrap();
    assert!(!link.is_symlink(), "it is replaced, not followed");
    fs::remove_file(&link).unwrap();
    symlink(&target, &link).unwrap();
    dir.remove("a").unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "root");
}

#[test]
fn a_linked_directory_is_not_entered() {
    let (temp, dir, outside) = places();
    symlink(&outside, temp.path().join("inside/journal")).unwrap();
    for error in [dir.dir("journal").unwrap_err(), dir.make_dir("journal", 0o700).unwrap_err()] {
        assert!(error.message().contains("inside/journal is no directory"), "{error}");
    }
    assert!(dir.lock_file("journal", "a").is_err());
    dir.remove_dir_if_empty("journal");
    assert!(outside.join("passwd").exists() && !outside.join("a").exists());
    // One that is missing is made.
    assert!(dir.lock_file("locks", "a").is_ok());
    // The first one is the administrator's choice.
    symlink(temp.path().join("inside"), temp.path().join("chosen")).unwrap();
    assert!(Dir::open(&temp.path().join("chosen")).unwrap().is_some());
}

#[test]
fn no_name_leads_out() {
    let (_temp, dir, outside) = places();
    let absolute = outside.join("passwd");
    let absolute = absolute.to_str().unwrap();
    for name in ["", ".", "..", "../outside/passwd", "a/b", absolute, "a\0b"] {
        assert!(dir.read(name).is_err() && dir.remove(name).is_err(), "{name:?}");
        assert!(dir.write(name, b"", 0o600).is_err() && dir.dir(name).is_err(), "{name:?}");
        assert!(
            dir.rename("x", &dir, name).is_err()
                && dir.lock_file(name, "a").is_err()
                && dir.lock_file("a", name).is_err(),
            "{name:?}"
        );
        dir.remove_dir_if_empty(name);
    }
    assert_eq!(fs::read_to_string(outside.join("passwd")).unwrap(), "root");
}

#[test]
fn what_is_no_file_is_said_and_not_waited_for() {
    let (temp, dir, _) = places();
    let path = temp.path().join("inside");
    nix::unistd::mkfifo(&path.join("fifo"), Mode::S_IRWXU).unwrap();
    fs::create_dir(path.join("dir")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
    for name in ["fifo", "dir", "socket"] {
        assert_eq!(why(&dir, name), "it is no file", "{name}");
    }
    // A directory in place of a file: not removed with what is in it, and named.
    assert!(dir.write("dir", b"", 0o600).unwrap_err().message().contains("inside/dir"));
    assert!(dir.remove("dir").unwrap_err().message().contains("inside/dir"));
}

#[test]
fn what_is_too_long_or_may_be_written_by_others_is_not_taken() {
    let (temp, dir, _) = places();
    let path = temp.path().join("inside/a");
    let file = File::create(&path).unwrap();
    file.set_len(10 << 20).unwrap();
    assert_eq!(why(&dir, "a"), "it is longer than any record");
    file.set_len(2).unwrap();
    assert!(dir.read("a").unwrap().unwrap().is_ok());
    for mode in [0o666, 0o620, 0o602] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            why(&dir, "a").contains(&format!("others than root may write it (mode 0{mode:o})"))
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let inside = temp.path().join("inside");
    let again = || Dir::open(&inside).unwrap().unwrap().of_root();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o777)).unwrap();
    let error = again().unwrap_err();
    assert!(error.message().contains("inside is not used: others than root"), "{error}");
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(again().is_ok());
    // Who is no root cannot give files away; the lab is root.
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
        assert_eq!(why(&dir, "a"), "it belongs to user 1000, not to root");
        std::os::unix::fs::chown(&inside, Some(1000), None).unwrap();
        assert!(again().unwrap_err().message().contains("it belongs to user 1000"));
    }
}
