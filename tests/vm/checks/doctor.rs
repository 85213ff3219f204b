//! `doctor` on the real kernel: what it finds, and that the commands it prints put it right.

use serde_json::Value;

use crate::guest::{Done, eventually, ok, sh, sriovctl};

/// What the printed commands need, and what checks put into `/etc`.
const PREPARE: &str = "mkdir -p /tmp/bin /opt/cni/bin /etc/cni/net.d; ln -sf $S /tmp/bin/sriovctl
    rm -rf /opt/cni/bin/* /etc/cni/net.d/*
    umount -q -a -t hugetlbfs; echo 0 > /proc/sys/vm/nr_hugepages; modprobe vfio-pci
    for pf in 0 1; do [ ! -e /sys/class/net/eth$pf/device/sriov_numvfs ] || echo 2 > /sys/class/net/eth$pf/device/sriov_numvfs; done";

fn look() -> Done {
    let done = sriovctl(&["doctor", "--json"]).valid("doctor");
    assert!([0, 1, 4].contains(&done.code), "{done:?}");
    done
}

fn findings(done: &Done) -> Vec<Value> {
    done.json()["findings"].as_array().unwrap().clone()
}

/// The only finding of that name.
#[track_caller]
fn the(id: &str) -> Value {
    let all = findings(&look());
    let mut of_id = all.iter().filter(|finding| finding["id"] == id);
    let found = of_id.next().unwrap_or_else(|| panic!("no {id}: {all:#?}")).clone();
    assert_eq!(of_id.next(), None, "another {id}");
    found
}

fn is_found(id: &str) -> bool {
    findings(&look()).iter().any(|finding| finding["id"] == id)
}

/// Breaks something, sees that it is found, types what is printed, and sees that it is gone.
#[track_caller]
fn mends(id: &str, severity: &str, breaking: &str) {
    ok(breaking);
    let found = the(id);
    assert_eq!(found["severity"], severity, "{found}");
    let command = found["command"].as_str().unwrap_or_else(|| panic!("no command: {found}"));
    let done = sh(&format!("PATH=/tmp/bin:$PATH; {command}"));
    assert_eq!(done.code, 0, "{command}: {}", done.err);
    assert!(!is_found(id), "{id} is still found after: {command}");
}

pub fn the_printed_commands_mend_pfs_and_vfs() {
    ok(PREPARE);
    let (eth0, eth1) = ("/sys/class/net/eth0/device", "/sys/class/net/eth1/device");
    mends("pf-down", "warning", "ip link set eth0 down");
    mends(
        "vf-no-driver",
        "warning",
        &format!("basename $(readlink {eth0}/virtfn1) > {eth0}/virtfn1/driver/unbind"),
    );
    mends("pf-no-vfs", "note", &format!("echo 0 > {eth1}/sriov_numvfs"));
    mends("pf-elsewhere", "warning", "ip netns add blue; ip link set eth1 netns blue");
    ok(&format!("ip link set eth1 up; echo 0 > {eth1}/sriov_numvfs"));
    mends("pf-no-driver", "warning", "echo 0000:02:00.0 > /sys/bus/pci/drivers/igb/unbind");
    eventually("the interface is back", || {
        sh("ls -d /sys/bus/pci/devices/0000:02:00.0/net/*").code == 0
    });
    ok(
        "n=$(basename /sys/bus/pci/devices/0000:02:00.0/net/*); [ $n = eth1 ] || ip link set $n name eth1; ip link set eth1 up",
    );
}

pub fn the_printed_commands_make_a_host_ready() {
    ok(PREPARE);
    mends("no-hugepages", "warning", "true");
    mends("no-hugetlbfs", "warning", "true");
    let network = r#"{"cniVersion": "1.0.0", "name": "x", "type": "sriov", "pool": ["eth0"], "ipam": {"type": "host-local"}}"#;
    mends("cni-link-missing", "error", &format!("echo '{network}' > /etc/cni/net.d/10.conf"));
    assert_eq!(ok("readlink /opt/cni/bin/sriov"), crate::guest::SRIOVCTL);
    mends(
        "ipam-missing",
        "error",
        "mkdir -p /usr/lib/cni; ln -sf $LAB_PROGRAMS/usr/lib/cni/host-local /usr/lib/cni/",
    );
    mends("cni-link-broken", "error", "ln -sf /usr/local/sbin/gone /opt/cni/bin/sriov");
    mends("cni-other-program", "note", "rm /opt/cni/bin/sriov; cp /bin/true /opt/cni/bin/sriov");
    mends(
        "cni-not-executable",
        "error",
        "mv /opt/cni/bin/sriov /opt/cni/bin/link; cp -L /bin/true /opt/cni/bin/sriov; chmod 644 /opt/cni/bin/sriov",
    );
    ok("mv /opt/cni/bin/link /opt/cni/bin/sriov");
    // That is all there was: it fits a terminal with room to spare.
    let ready = sriovctl(&["doctor"]).exits(0);
    assert_eq!(ready.err, "");
    assert!(
        ready.out.lines().all(|line| line.starts_with("ok ") && line.chars().count() <= 80),
        "{}",
        ready.out
    );
    assert_eq!(ready.out.lines().count(), 6, "{}", ready.out);
    sriovctl(&["doctor", "--json"]).exits(0).valid("doctor");
    sriovctl(&["doctor", "--all", "--json"]).exits(0).valid("doctor");
    ok(
        "rm -rf /etc/cni/net.d/* /opt/cni/bin/* /usr/lib/cni/host-local; umount /dev/hugepages; echo 0 > /proc/sys/vm/nr_hugepages",
    );
}

pub fn the_printed_commands_mend_records_and_their_disk() {
    ok(PREPARE);
    mends(
        "record-stale",
        "warning",
        "ip netns add blue; $S attach eth0#1 --netns blue; ip netns del blue",
    );
    sriovctl(&["inspect-state"]).exits(0);
    mends(
        "record-drift",
        "warning",
        "ip netns add blue; $S attach eth0#1 --netns blue --name net1 --mtu 1400; ip -n blue link set net1 mtu 1300",
    );
    ok("$S detach eth0#1");
    mends(
        "vf-foreign",
        "note",
        "ip link set $(ls /sys/class/net/eth0/device/virtfn0/net) netns blue",
    );
    mends(
        "record-corrupt",
        "warning",
        "mkdir -p /var/lib/cni/sriov/sriovctl/attached; echo x > /var/lib/cni/sriov/sriovctl/attached/pci-0000:01:10.0.json",
    );
    mends("state-dir-open", "error", "chmod 0777 /var/lib/cni/sriov");
    mends(
        "state-disk-read-only",
        "error",
        "mount -t tmpfs tmpfs /var/lib/cni; mkdir -p /var/lib/cni/sriov; mount -o remount,ro /var/lib/cni",
    );
    ok(
        "mount -o remount,size=64k /var/lib/cni; cat /dev/zero > /var/lib/cni/filler 2> /dev/null; true",
    );
    assert_eq!(the("state-disk-full")["severity"], "error");
    ok("umount /var/lib/cni");
    assert!(!is_found("state-disk-full"));
}

pub fn whatever_else_sets_vfs_is_found_and_kept_from_it() {
    ok(PREPARE);
    assert!(is_found("no-conflicts"));
    let at = "/sys/class/net/eth0/device/sriov_numvfs";
    for (id, path, text) in [
        (
            "conflict-systemd",
            "/etc/systemd/network/10-vfs.link",
            "[Match]\\nOriginalName=eth0\\n[Link]\\nSR-IOVVirtualFunctions=4\\n",
        ),
        (
            "conflict-systemd",
            "/usr/lib/systemd/network/10-packaged.link",
            "[Link]\\nSR-IOVVirtualFunctions=4\\n",
        ),
        (
            "conflict-netplan",
            "/etc/netplan/60-vfs.yaml",
            "network:\\n  ethernets:\\n    eth0:\\n      virtual-function-count: 4\\n",
        ),
        (
            "conflict-udev",
            "/etc/udev/rules.d/60-vfs.rules",
            "ACTION==\"add\", KERNEL==\"eth0\", ATTR{device/sriov_numvfs}=\"4\"\\n",
        ),
        (
            "conflict-boot-script",
            "/etc/sysfs.d/vfs.conf",
            "class/net/eth0/device/sriov_numvfs = 4\\n",
        ),
        ("conflict-module-option", "/etc/modprobe.d/vfs.conf", "options igb max_vfs=7\\n"),
    ] {
        let breaking =
            format!("mkdir -p /etc/systemd/network $(dirname {path}); printf '{text}' > {path}");
        mends(id, "warning", &breaking);
        ok(&format!("rm -f {path} /etc/systemd/network/10-packaged.link"));
    }
    // A script is for its administrator to edit: the advice says how.
    ok(&format!(
        "printf '#!/bin/sh\\nif [ -e {at} ]; then\\n  echo 4 > {at}\\nfi\\n' > /etc/rc.local"
    ));
    let script = the("conflict-boot-script");
    assert_eq!((&script["severity"], &script["command"]), (&"warning".into(), &Value::Null));
    assert!(script["advice"].as_str().unwrap().contains("(line 3)"), "{script}");
    ok("sed -i '3s/.*/  :/' /etc/rc.local; sh -n /etc/rc.local");
    assert!(!is_found("conflict-boot-script"));
    ok("rm /etc/rc.local");
    // What is about another PF is not said of this one.
    ok(
        "printf '[Match]\\nOriginalName=eth0\\n[Link]\\nSR-IOVVirtualFunctions=4\\n' > /etc/systemd/network/10-vfs.link",
    );
    let of = |pf| sriovctl(&["doctor", pf, "--json"]).out.contains("conflict-systemd");
    assert!(of("eth0") && !of("eth1"));
    ok("rm /etc/systemd/network/10-vfs.link");
}

/// Without rights it says what it could not look at, and sees the rest.
pub fn needs_no_rights() {
    ok(PREPARE);
    ok("mkdir -p /var/lib/cni/sriov /etc/NetworkManager/system-connections; echo 1 > /proc/sys/kernel/dmesg_restrict
        chmod 0700 /var/lib/cni/sriov /etc/NetworkManager/system-connections; ip link set eth0 down");
    let done = sh("setpriv --reuid 65534 --clear-groups $S doctor --json").valid("doctor");
    assert_eq!((done.code, done.err.as_str()), (1, "sriovctl: 3 warnings\n"), "{}", done.out);
    let found = findings(&done);
    let subjects = |area: &str| {
        let unseen = |finding: &&Value| finding["id"] == "not-seen" && finding["area"] == area;
        let mut found = found.iter().filter(unseen);
        found.next().map(|finding| finding["command"].clone())
    };
    for area in ["sriov", "state", "conflicts"] {
        assert_eq!(subjects(area), Some("sudo sriovctl doctor".into()), "{area}: {found:#?}");
    }
    assert!(found.iter().any(|finding| finding["id"] == "pf-down"), "{found:#?}");
    ok(
        "rmdir /etc/NetworkManager/system-connections; ip link set eth0 up; echo 0 > /proc/sys/kernel/dmesg_restrict",
    );
}

pub fn without_an_iommu_it_says_why() {
    let done = sriovctl(&["doctor", "--dpdk", "--json"]).exits(4).valid("doctor");
    let off = findings(&done)[0].clone();
    assert_eq!((&off["id"], &off["severity"]), (&"iommu-off".into(), &"error".into()), "{off}");
    // How the lab switches it off.
    assert!(off["reason"].as_str().unwrap().contains("intel_iommu=off"), "{off}");
    assert!(off["advice"].as_str().unwrap().contains("put intel_iommu=on there instead"), "{off}");
    // A container runtime does not need it.
    let done = sriovctl(&["doctor", "--cni", "--json"]);
    assert!(findings(&done).iter().all(|finding| finding["area"] != "iommu"), "{}", done.out);
}
