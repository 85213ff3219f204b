//! A state directory that is full, read-only or gone, and one with things in it that are no records:
//! nothing is half done, nothing outside is touched, and what was given away comes back.

use serde_json::{Value, json};

use super::attach::{differences, records, state};
use super::cni::{allocations, assert_clean, call, config, inside, node};
use crate::guest::{ok, sh, sriovctl};

/// VF 1, whose record is this file.
const VF: &str = "0000:01:10.2";
const STATE: &str = "/var/lib/cni/sriov/sriovctl";

fn of_vf() -> Value {
    config(json!({"deviceID": VF, "vlan": 100, "mac": "02:00:00:00:00:77", "mtu": 1400}))
}

/// The state directory on a disk of its own, of 256 KiB, which ends with the check.
fn small_disk() {
    node();
    ok(
        "umount -q /var/lib/cni; mkdir -p /var/lib/cni; mount -t tmpfs -o size=256k tmpfs /var/lib/cni",
    );
}

#[track_caller]
fn assert_unchanged(before: &Value, what: &str) {
    let now = state();
    assert!(now == *before, "{what}: not as before:\n{}", differences(before, &now));
    assert_eq!(records(), "", "{what}: records left");
    let left = ok("find /var/lib/cni -path '*/sriov/*' -type f ! -name '*.lock'");
    assert_eq!(left, "", "{what}: files left");
}

/// With no page left, with one, two, ...: each call is refused or done, whatever the disk still takes.
pub fn full() {
    small_disk();
    let before = state();
    let (mut refused, mut done) = (0, 0);
    for pages in 0..12 {
        // The empty file first: its place counts as well.
        ok(&format!(
            "rm -rf /var/lib/cni/*; : > /var/lib/cni/filler; cat /dev/zero > /var/lib/cni/filler 2> /dev/null
            truncate -s -{} /var/lib/cni/filler",
            pages * 4096
        ));
        let add = call("ADD", "c1", "blue", &of_vf());
        if add.code == 0 {
            done += 1;
            // Full when it is given back, too.
            sh("cat /dev/zero >> /var/lib/cni/filler");
            call("DEL", "c1", "blue", &of_vf()).exits(0);
        } else {
            refused += 1;
            let said = add.out.to_lowercase();
            assert!(said.contains("no space left on device"), "{pages} pages: {said}");
        }
        assert_unchanged(&before, &format!("ADD with {pages} pages"));
        for (args, undo) in [
            (&["attach", "eth0#1", "--netns", "blue", "--vlan", "9"][..], "$S detach eth0#1"),
            (&["bind-dpdk", "eth0#1"], "$S bind-dpdk --restore eth0#1"),
        ] {
            let attached = sriovctl(args);
            if attached.code == 0 {
                sh("cat /dev/zero >> /var/lib/cni/filler");
                // Another driver is written down first, which needs room; nothing is changed without.
                let undone = sh(undo);
                assert!(undone.code == 0 || undone.err.contains("make room"), "{}", undone.err);
                ok(&format!("truncate -s 0 /var/lib/cni/filler; {undo} > /dev/null"));
            } else {
                attached.says("No space left on device").says("make room");
            }
            assert_unchanged(&before, &format!("{args:?} with {pages} pages"));
        }
        if pages == 0 {
            sriovctl(&["set-numvfs", "eth0", "5"])
                .exits(1)
                .says("No space left on device")
                .says("make room");
            assert_unchanged(&before, "set-numvfs");
        }
    }
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
    println!("    a full disk: {refused} ADDs refused, {done} done");
    ok("umount /var/lib/cni");
}

pub fn read_only() {
    small_disk();
    let before = state();
    let set = |how: &str| ok(&format!("mount -o remount,{how} /var/lib/cni"));
    set("ro");
    let refused = call("ADD", "c1", "blue", &of_vf()).exits(1);
    assert!(refused.out.contains("Read-only file system"), "{}", refused.out);
    sriovctl(&["attach", "eth0#1", "--netns", "blue"]).exits(1).says("Read-only file system");
    sriovctl(&["bind-dpdk", "eth0#1"]).exits(1).says("Read-only file system");
    sriovctl(&["set-numvfs", "eth0", "5"]).exits(1).says("Read-only file system");
    // What only looks needs nothing to be written.
    for list in [&["list-vfs"][..], &["inspect-state"], &["bind-dpdk", "--status"]] {
        sriovctl(list).exits(0);
    }
    assert_unchanged(&before, "read-only");
    set("rw");
    call("ADD", "c1", "blue", &of_vf()).exits(0);
    sriovctl(&["attach", "eth0#2", "--netns", "red"]).exits(0);
    set("ro");
    call("CHECK", "c1", "blue", &of_vf()).exits(0);
    call("DEL", "c1", "blue", &of_vf()).exits(1);
    sriovctl(&["detach", "eth0#2"]).says("Read-only file system");
    set("rw");
    // The runtime says it again, and so does the administrator.
    call("DEL", "c1", "blue", &of_vf()).exits(0);
    sriovctl(&["detach", "eth0#2"]).exits(0);
    assert_clean(&before);
    ok("umount /var/lib/cni");
}

/// Records lost while the VF is away: DEL brings it home, as far as the kernel still tells how it was.
pub fn lost() {
    node();
    let before = state();
    for lose in [
        "rm -rf /var/lib/cni/sriov",
        &format!("truncate -s 100 {STATE}/attached/*"),
        &format!("rm {STATE}/attached/*; ln -s /etc/passwd {STATE}/attached/pci-{VF}.json"),
    ] {
        call("ADD", "c1", "blue", &of_vf()).exits(0);
        ok(lose);
        // Another container's DEL takes nothing.
        call("DEL", "c2", "red", &of_vf()).exits(0);
        assert!(!inside("blue").is_null(), "{lose}: taken by another's DEL");
        call("DEL", "c1", "blue", &of_vf()).exits(0);
        assert!(inside("blue").is_null(), "{lose}: still in the container");
        let settings = ok("ip link show eth0 | grep 'vf 1 '");
        assert!(!settings.contains("vlan") && !settings.contains("00:77"), "{lose}: {settings}");
        assert_eq!(records(), "", "{lose}");
        assert_eq!(allocations(), "", "{lose}");
        // The name and MTU that it had nobody knows any more; the rest is as the driver made it.
        ok("rm -rf /var/lib/cni/sriov; echo 0 > /sys/class/net/eth0/device/sriov_numvfs
            echo 4 > /sys/class/net/eth0/device/sriov_numvfs");
    }
    let names = |state: &Value| {
        let links = state["links"].as_array().unwrap();
        links.iter().map(|link| link["ifname"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&state()), names(&before));
}

/// Each odd thing in place of a record, of a journal and of the directories.
pub fn odd_things() {
    node();
    let before = state();
    ok("cp /etc/passwd /tmp/victim; chmod 644 /tmp/victim; mkdir -p /tmp/elsewhere");
    let things = [
        ("empty", ": > $f"),
        ("half a record", "echo '{\"format\": 1, \"boot_id\": \"' > $f"),
        ("another program's", "echo '[1, 2, {\"pci\": true}]' > $f"),
        ("bytes", "head -c 3000 /dev/urandom > $f"),
        ("10 MiB", "head -c 10485760 /dev/zero > $f"),
        ("deep", "head -c 200000 /dev/zero | tr '\\0' '[' > $f"),
        ("a link to a file", "ln -s /tmp/victim $f"),
        ("a link to nothing", "ln -s /tmp/elsewhere/new $f"),
        ("a directory", "mkdir -p $f/x"),
        ("a pipe", "mkfifo $f"),
        ("unreadable", "echo {} > $f; chmod 0 $f"),
        ("anybody's", "echo {} > $f; chmod 666 $f; chown nobody $f"),
    ];
    for shelf in ["attached", "journal", "bound", "binding", "resize"] {
        for (what, make) in things {
            let what = format!("{what} in {shelf}");
            let name = if shelf == "resize" { "pci-0000:01:00.0" } else { "pci-0000:01:10.2" };
            ok(&format!(
                "rm -rf /var/lib/cni/sriov; mkdir -p -m 700 {STATE}/{shelf}; f={STATE}/{shelf}/{name}.json; {make}"
            ));
            let listed = sh("timeout 20 $S inspect-state --json");
            assert!([0, 6].contains(&listed.code), "{what}: {}", listed.err);
            let add = call("ADD", "c1", "blue", &of_vf());
            if add.code == 0 {
                assert_eq!(inside("blue")["mtu"], 1400, "{what}");
            } else {
                assert!(add.out.contains(STATE), "{what}: which file is not said: {}", add.out);
            }
            call("DEL", "c1", "blue", &of_vf()).exits(0);
            assert!(inside("blue").is_null(), "{what}");
            let repaired = sh("timeout 20 $S inspect-state --repair");
            assert!([0, 6].contains(&repaired.code), "{what}: {}", repaired.err);
            // Then the VF is anybody's again.
            if repaired.code == 0 {
                call("ADD", "c1", "blue", &of_vf()).exits(0);
                call("DEL", "c1", "blue", &of_vf()).exits(0);
            } else {
                assert!(repaired.err.contains(STATE), "{what}: {}", repaired.err);
            }
            let now = state();
            assert!(now == before, "{what}:\n{}", differences(&before, &now));
            ok(
                "cmp /etc/passwd /tmp/victim; test $(stat -c %a /tmp/victim) = 644; test -z \"$(ls /tmp/elsewhere)\"",
            );
        }
    }
    println!("    {} odd things in each of 5 directories", things.len());
}

/// Directories with other modes and owners, or that are links: those that only root may write are used,
/// and files in them are for root only.
pub fn odd_directories() {
    node();
    let before = state();
    for make in [
        format!("mkdir -p {STATE}; chmod 0 {STATE}"),
        // An administrator put it elsewhere.
        "mkdir -p /tmp/state-of-lab; ln -s /tmp/state-of-lab /var/lib/cni/sriov".to_owned(),
        "umask 0".to_owned(),
    ] {
        ok(&format!("rm -rf /var/lib/cni/sriov; {make}"));
        ok(&format!(
            "umask 0; $S attach eth0#1 --netns blue --name net1 > /dev/null
            test $(stat -L -c %a {STATE}/attached/pci-{VF}.json) = 600"
        ));
        sriovctl(&["detach", "eth0#1"]).exits(0);
        assert_clean(&before);
    }
    // What others may write into, nobody trusts; the command that mends it is said.
    ok(&format!(
        "rm -rf /var/lib/cni/sriov; mkdir -p -m 777 {STATE}/attached {STATE}/journal; chown -R nobody {STATE}"
    ));
    sriovctl(&["attach", "eth0#1", "--netns", "blue"]).exits(1).says("chown root: ");
    call("ADD", "c1", "blue", &of_vf()).exits(1);
    assert_clean(&before);
    // Nor is a link followed that is below it.
    ok(&format!(
        "rm -rf /var/lib/cni/sriov /tmp/elsewhere; mkdir -p /var/lib/cni/sriov /tmp/elsewhere; ln -s /tmp/elsewhere {STATE}"
    ));
    sriovctl(&["attach", "eth0#1", "--netns", "blue"]).exits(1).says("a link is not followed");
    call("ADD", "c1", "blue", &of_vf()).exits(1);
    assert_eq!(ok("ls /tmp/elsewhere"), "");
    assert_clean(&before);
    // A file in place of a directory.
    for place in [STATE.to_owned(), format!("{STATE}/journal")] {
        ok(&format!("rm -rf /var/lib/cni/sriov; mkdir -p $(dirname {place}); : > {place}"));
        sriovctl(&["attach", "eth0#1", "--netns", "blue"]).exits(1).says(&place);
        call("ADD", "c1", "blue", &of_vf()).exits(1);
        assert_clean(&before);
    }
}
