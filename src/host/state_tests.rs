use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::model::record::{NetnsId, Original, Owner, Wanted};

pub fn record(device: &str) -> Record {
    Record {
        format: FORMAT,
        boot_id: "b".into(),
        since: 1,
        device: device.parse().unwrap(),
        incarnation: None,
        vf_of: None,
        owner: Owner::manual(),
        netns: NetnsId { path: "/run/netns/blue".into(), device: 4, inode: 7 },
        ifname: "net1".into(),
        original: Original {
            name: Some("eth3".into()),
            altnames: vec!["three".into()],
            mtu: Some(1500),
            mac: None,
            up: false,
            settings: None,
            driver: Some("igbvf".into()),
            driver_override: None,
        },
        ports: Vec::new(),
        told: Vec::new(),
        first: None,
        wanted: Wanted::default(),
    }
}

const DEVICE: &str = "0000:01:10.0";

fn device() -> DeviceId {
    DEVICE.parse().unwrap()
}

/// A host with a record of [`DEVICE`], and where that is.
fn host() -> (tempfile::TempDir, Host, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let host = Host::new(root.path());
    host.write_record("attached", &device(), &record(DEVICE)).unwrap();
    let path = root.path().join("var/lib/cni/sriov/sriovctl/attached/pci-0000:01:10.0.json");
    assert!(path.exists());
    (root, host, path)
}

fn why(host: &Host) -> String {
    match host.stored(Shelf::Attachments, &device()).unwrap() {
        Some(Stored::Corrupt { path, why, .. }) => {
            assert!(path.ends_with("attached/pci-0000:01:10.0.json"), "{path}");
            why
        }
        other => panic!("taken: {other:?}"),
    }
}

#[test]
fn a_record_is_kept_completed_and_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let host = Host::new(root.path());
    let stored = || host.stored(Shelf::Attachments, &device()).unwrap();
    assert_eq!(stored(), None);
    host.write_record("journal", &device(), &record(DEVICE)).unwrap();
    assert_eq!(stored(), Some(Stored::Unfinished(record(DEVICE))));
    host.commit(Shelf::Attachments, &device()).unwrap();
    assert_eq!(stored(), Some(Stored::Attached(record(DEVICE))));
    assert_eq!(host.all_stored(Shelf::Attachments).unwrap().len(), 1);
    host.forget(Shelf::Attachments, &device()).unwrap();
    assert_eq!(stored(), None);
}

#[test]
fn a_record_of_odd_names_can_be_looked_at_and_says_the_same() {
    let (_root, host, path) = host();
    let mut odd = record(DEVICE);
    odd.owner.network = "\u{202e}eulb\u{7f}\u{1b}[31m\u{e0041}δ".into();
    host.write_record("attached", &device(), &odd).unwrap();
    assert_eq!(host.stored(Shelf::Attachments, &device()).unwrap(), Some(Stored::Attached(odd)));
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains('δ') && text.ends_with("}\n"), "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{7f}', '\u{1b}', '\u{e0041}']), "{text:?}");
}

#[test]
fn what_is_no_record_is_told_apart_and_why() {
    let (_root, host, path) = host();
    let whole = fs::read(&path).unwrap();
    let other = serde_json::to_vec(&record("0000:01:10.2")).unwrap();
    let newer = serde_json::to_vec(&Record { format: FORMAT + 1, ..record(DEVICE) }).unwrap();
    let long = vec![b' '; 10 << 20];
    for (text, word) in [
        (&b""[..], "empty"),
        (&whole[..whole.len() / 2], "EOF"),
        (&other, "speaks of 0000:01:10.2"),
        (&newer, "newer"),
        (&long, "longer"),
        (b"[]", "invalid"),
    ] {
        fs::write(&path, text).unwrap();
        assert!(why(&host).contains(word), "{}", why(&host));
    }
    fs::write(&path, &whole).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(why(&host).contains("mode 0666"));
    // Out of the way, and kept.
    let aside = host.set_aside(Shelf::Attachments, &device()).unwrap();
    assert!(aside.ends_with(".corrupt") && Path::new(&aside).exists(), "{aside}");
    assert_eq!(host.stored(Shelf::Attachments, &device()).unwrap(), None);
}

#[test]
fn what_is_in_place_of_a_record_leads_nowhere() {
    let (root, host, path) = host();
    let outside = root.path().join("passwd");
    fs::rename(&path, &outside).unwrap();
    symlink(&outside, &path).unwrap();
    assert!(why(&host).contains("symbolic link"));
    host.forget(Shelf::Attachments, &device()).unwrap();
    assert!(outside.exists() && !path.is_symlink());
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(why(&host).contains("no file"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(why(&host).contains("no file"));
    host.set_aside(Shelf::Attachments, &device()).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_linked_directory_of_records_is_not_entered() {
    let (root, host, path) = host();
    let (dir, outside) = (path.parent().unwrap(), root.path().join("outside"));
    fs::rename(dir, &outside).unwrap();
    symlink(&outside, dir).unwrap();
    let all = [
        host.stored(Shelf::Attachments, &device()).map(|_| ()),
        host.all_stored(Shelf::Attachments).map(|_| ()),
        host.write_record("attached", &device(), &record(DEVICE)),
        host.forget(Shelf::Attachments, &device()),
        host.commit(Shelf::Attachments, &device()),
    ];
    for result in all {
        let error = result.unwrap_err();
        assert!(error.message().contains("sriovctl/attached is no directory"), "{error}");
    }
    assert!(outside.join("pci-0000:01:10.0.json").exists());
}

#[test]
fn a_directory_of_records_that_others_may_write_is_not_used() {
    let (root, host, path) = host();
    let base = root.path().join("var/lib/cni/sriov");
    // Into a closed one others do not come, whatever is in it.
    let state = base.join("sriovctl");
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(host.stored(Shelf::Attachments, &device()), Ok(Some(Stored::Attached(_)))));
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    for dir in [path.parent().unwrap(), &state, &base] {
        let was = fs::metadata(dir).unwrap().permissions();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
        // Of a program that is started now, not of one that looked at it a moment ago.
        host.dirs.close();
        let error = host.stored(Shelf::Attachments, &device()).unwrap_err();
        assert!(error.message().contains("is not used: others than root"), "{error}");
        fs::set_permissions(dir, was).unwrap();
    }
    // The state directory itself may be elsewhere.
    fs::rename(&base, root.path().join("elsewhere")).unwrap();
    symlink(root.path().join("elsewhere"), &base).unwrap();
    host.dirs.close();
    assert!(matches!(host.stored(Shelf::Attachments, &device()), Ok(Some(Stored::Attached(_)))));
}

#[test]
fn files_are_named_after_devices() {
    for device in [
        "0000:01:10.0",
        "10000:e1:00.0",
        "0000:01:10.0+1",
        "netdevsim/netdevsim7",
        "fsl-mc/dpni.1",
        "a%2db-%/c-d",
    ] {
        let device: DeviceId = device.parse().unwrap();
        assert_eq!(device_of(&file_name(&device)), Some(device));
    }
    for name in ["x", "pci-.json", "pci-..json", ".pci-0000:01:10.0.json.new", "pci-a.corrupt"] {
        assert_eq!(device_of(name), None, "{name}");
    }
}
