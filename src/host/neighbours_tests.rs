use std::os::unix::fs::symlink;

use super::*;

const OURS: &str = r#"{"deviceID":"0000:01:10.0","sriovctl":"0.1.0"}"#;

fn device() -> DeviceId {
    "0000:01:10.0".parse().unwrap()
}

/// A record is only a file: what it names is removed only if that is what was written for others.
#[test]
fn a_hostile_record_removes_nothing_but_what_was_written_about_its_device() {
    let root = tempfile::tempdir().unwrap();
    let host = Host::new(root.path());
    let dir = root.path().join("cni");
    fs::create_dir_all(dir.join("4026531840")).unwrap();
    let remove = |path: &Path| host.remove_neighbour(path.to_str().unwrap(), &device(), None);
    let stays = |path: &Path, why: &str| {
        // An error is an answer too.
        let _ = remove(path);
        assert!(path.symlink_metadata().is_ok(), "removed: {why}");
    };
    let passwd = root.path().join("passwd");
    for (text, why) in [
        ("root:x:0:0", "no JSON"),
        ("{}", "another JSON"),
        (r#"{"deviceID":"0000:01:10.2","sriovctl":"0.1.0"}"#, "of another device"),
    ] {
        fs::write(&passwd, text).unwrap();
        stays(&passwd, why);
    }
    stays(&dir, "a directory");
    fs::write(&passwd, OURS).unwrap();
    symlink(&passwd, dir.join("a-net1")).unwrap();
    stays(&dir.join("a-net1"), "a link");
    fs::create_dir(root.path().join("outside")).unwrap();
    fs::write(root.path().join("outside/a-net1.json"), OURS).unwrap();
    symlink(root.path().join("outside"), dir.join("17")).unwrap();
    stays(&dir.join("17/a-net1.json"), "through a link");
    nix::unistd::mkfifo(&dir.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    stays(&dir.join("fifo"), "a FIFO");
    for path in ["", "/", "..", "relative/a-net1", "/nowhere/at/all"] {
        let _ = remove(Path::new(path));
    }

    let inner = dir.join("4026531840/a-net1.json");
    fs::write(&inner, OURS).unwrap();
    fs::write(dir.join("b-net1"), OURS).unwrap();
    for path in [&inner, &dir.join("b-net1")] {
        remove(path).unwrap();
        assert!(!path.exists(), "what was written goes");
        remove(path).unwrap();
    }
    assert!(!dir.join("4026531840").exists(), "the last one takes its directory along");
}

#[test]
fn allocations_are_read_and_removed_in_their_directory_only() {
    let root = tempfile::tempdir().unwrap();
    let host = Host::new(root.path());
    let pci = root.path().join("var/lib/cni/sriov/pci");
    fs::create_dir_all(&pci).unwrap();
    fs::write(pci.join("0000:01:10.0"), "/run/netns/blue").unwrap();
    assert_eq!(host.allocated_to(&device()).as_deref(), Some("/run/netns/blue"));
    host.remove_neighbour("/nowhere", &device(), Some("/run/netns/red")).unwrap();
    assert!(pci.join("0000:01:10.0").exists(), "it is another's");
    host.remove_neighbour("/nowhere", &device(), Some("/run/netns/blue")).unwrap();
    assert!(!pci.join("0000:01:10.0").exists());

    fs::remove_dir(&pci).unwrap();
    let outside = root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("0000:01:10.0"), "/run/netns/blue").unwrap();
    symlink(&outside, &pci).unwrap();
    assert_eq!(host.allocated_to(&device()), None);
    assert!(host.remove_neighbour("/nowhere", &device(), Some("/run/netns/blue")).is_ok());
    assert!(outside.join("0000:01:10.0").exists());
    assert!(host.lock_for_neighbours(&device(), Duration::ZERO).is_err());
}
