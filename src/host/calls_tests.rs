use std::fs;
use std::path::{Path, PathBuf};

use super::super::state::tests::record;
use super::*;
use crate::model::record::Record;

const DEVICES: [&str; 2] = ["0000:01:10.0", "0000:01:10.2"];

fn call(ifname: &str) -> Owner {
    let (container, ifname) = (Some("c1".to_owned()), Some(ifname.to_owned()));
    Owner { network: "blue".to_owned(), container, ifname }
}

fn record_of(device: &str, ifname: &str) -> Record {
    Record { owner: call(ifname), ..record(device) }
}

/// A host that may be written, and where its links are.
fn host() -> (tempfile::TempDir, Host, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let links = root.path().join("var/lib/cni/sriov/sriovctl/calls");
    let host = Host::new(root.path());
    (root, host, links)
}

/// As `begin` does it, which a tree does not allow.
fn attach(host: &Host, record: &Record) {
    host.link_call(&record.owner, &record.device).unwrap();
    host.write_record("attached", &record.device, record).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn devices(host: &Host, ifname: &str) -> Vec<String> {
    let all = host.stored_of_call(&call(ifname)).unwrap();
    all.iter().map(|stored| stored.device().to_string()).collect()
}

#[test]
fn a_call_finds_its_record_and_no_other_is_read() {
    let (root, host, links) = host();
    attach(&host, &record_of(DEVICES[0], "net1"));
    attach(&host, &record_of(DEVICES[1], "net2"));
    // One that cannot be read is not in the way.
    let other = root.path().join("var/lib/cni/sriov/sriovctl/attached/pci-0000:01:10.2.json");
    fs::write(other, "").unwrap();
    assert_eq!(devices(&host, "net1"), [DEVICES[0]]);
    assert!(devices(&host, "net2").is_empty() && devices(&host, "net3").is_empty());
    host.forget(Shelf::Attachments, &DEVICES[0].parse().unwrap()).unwrap();
    assert_eq!(names(&links), ["c1+net2"]);
}

#[test]
fn further_ports_come_with_the_first() {
    let (_root, host, links) = host();
    let port = format!("{}+1", DEVICES[0]);
    let ports = vec![port.parse().unwrap()];
    attach(&host, &Record { ports, ..record_of(DEVICES[0], "net1") });
    attach(&host, &record_of(&port, "net1"));
    assert_eq!(devices(&host, "net1"), [DEVICES[0], &port]);
    host.forget(Shelf::Attachments, &port.parse().unwrap()).unwrap();
    assert_eq!(names(&links), ["c1+net1"], "the first is there still");
}

#[test]
fn records_of_a_time_without_links_are_found_and_linked_with_the_next() {
    let (_root, host, links) = host();
    let first = record_of(DEVICES[0], "net1");
    host.write_record("attached", &first.device, &first).unwrap();
    assert_eq!(devices(&host, "net1"), [DEVICES[0]]);
    attach(&host, &record_of(DEVICES[1], "net2"));
    assert_eq!((devices(&host, "net1"), names(&links).len()), (vec![DEVICES[0].to_owned()], 2));
}

#[test]
fn links_that_were_not_all_made_count_for_nothing() {
    let (_root, host, links) = host();
    let first = record_of(DEVICES[0], "net1");
    host.write_record("attached", &first.device, &first).unwrap();
    // Whoever made them died.
    let begun = links.with_file_name("calls.new");
    fs::create_dir(&begun).unwrap();
    std::os::unix::fs::symlink("pci-0000:09:00.0.json", begun.join("c9+net1")).unwrap();
    assert_eq!(devices(&host, "net1"), [DEVICES[0]]);
    attach(&host, &record_of(DEVICES[1], "net2"));
    assert_eq!(devices(&host, "net1"), [DEVICES[0]]);
    assert!(!begun.exists() && !names(&links).contains(&"c9+net1".to_owned()));
}

#[test]
fn what_a_call_left_that_died_counts_for_nothing_and_goes() {
    let (_root, host, links) = host();
    host.link_call(&call("net1"), &DEVICES[0].parse().unwrap()).unwrap();
    // Another call has the device by now.
    attach(&host, &record_of(DEVICES[0], "net2"));
    assert!(devices(&host, "net1").is_empty());
    host.forget_call(&call("net2")).unwrap();
    assert_eq!(names(&links).len(), 2, "it leads to a record");
    // The next attachment of the name takes the link over.
    attach(&host, &record_of(DEVICES[1], "net1"));
    assert_eq!(devices(&host, "net1"), [DEVICES[1]]);
    host.forget(Shelf::Attachments, &DEVICES[0].parse().unwrap()).unwrap();
    assert_eq!(
        (devices(&host, "net1"), names(&links)),
        (vec![DEVICES[1].to_owned()], vec!["c1+net1".to_owned()])
    );

    host.link_call(&call("net3"), &DEVICES[0].parse().unwrap()).unwrap();
    host.link_call(&call("net4"), &DEVICES[0].parse().unwrap()).unwrap();
    host.forget_call(&call("net3")).unwrap();
    assert_eq!(names(&links).len(), 2);
    let running =
        crate::host::lock::call(&host.lock_dir(), "c1", "net4", std::time::Duration::ZERO, &|| ())
            .unwrap();
    host.forget_dead_calls().unwrap();
    assert_eq!(names(&links).len(), 2, "a call that runs is let be");
    drop(running);
    host.forget_dead_calls().unwrap();
    assert_eq!(names(&links), ["c1+net1"]);
}

#[test]
fn a_journal_that_is_abandoned_takes_its_link_along_unless_a_record_stays() {
    let (_root, host, links) = host();
    let record = record_of(DEVICES[0], "net1");
    attach(&host, &record);
    host.write_record("journal", &record.device, &record).unwrap();
    host.abandon(Shelf::Attachments, &record.device).unwrap();
    assert_eq!(devices(&host, "net1"), [DEVICES[0]]);
    let other = record_of(DEVICES[1], "net2");
    host.link_call(&other.owner, &other.device).unwrap();
    host.write_record("journal", &other.device, &other).unwrap();
    host.abandon(Shelf::Attachments, &other.device).unwrap();
    assert_eq!(names(&links), ["c1+net1"]);
}
