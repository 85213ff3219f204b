//! `set-numvfs` where it must not, or cannot, do what it is asked to.

use crate::guest::{eventually, ok, sh, sriovctl};

const NUMVFS: &str = "cat /sys/class/net/eth0/device/sriov_numvfs";

pub fn more_than_possible() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs");
    let done = sh("strace -f -o /tmp/trace -e trace=openat $S set-numvfs eth0 8").exits(4);
    let done = done.says("can have at most 7 VFs, not 8").says("set-numvfs eth0 7");
    assert_eq!(done.out, "");
    let written = ok("grep -E 'O_WRONLY|O_RDWR' /tmp/trace | grep -v /dev/null || true");
    assert_eq!(written, "");
    assert_eq!(ok(NUMVFS), "2");
    let json = sriovctl(&["set-numvfs", "eth0", "8", "--json"]).exits(4).json();
    assert_eq!(json["error"]["code"], "busy");
    assert_eq!(json["error"]["device"], "eth0");
}

pub fn vfs_in_use_are_named() {
    ok("echo 6 > /sys/class/net/eth0/device/sriov_numvfs
        v() { ls /sys/class/net/eth0/device/virtfn$1/net; }
        ip netns add blue
        ip link set $(v 0) netns blue
        ip link add br0 type bridge; ip link set $(v 1) master br0
        ip link set $(v 2) up
        ip addr add 192.0.2.1/24 dev $(v 3)
        ip link set $(v 4) up; ip addr add 192.0.2.9/24 dev $(v 4); ip route add 198.51.100.0/24 dev $(v 4)");
    let before = ok("ip -d link; ls /sys/class/net/eth0/device/");
    let done =
        sriovctl(&["set-numvfs", "eth0", "7"]).exits(4).says("5 of the 6 VFs of eth0 are in use");
    for line in [
        "eth0#0: netns blue",
        "eth0#1: master br0",
        "eth0#2: up",
        "eth0#3: 192.0.2.1/24",
        "eth0#4: 192.0.2.9/24, route 198.51.100.0/24, up",
    ] {
        assert!(done.err.lines().any(|said| said.trim() == line), "no line {line:?}: {}", done.err);
    }
    assert!(!done.err.contains("eth0#5"), "{}", done.err);
    assert_eq!(ok("ip -d link; ls /sys/class/net/eth0/device/"), before);
    let done = sriovctl(&["set-numvfs", "eth0", "1", "--force", "--json"]).exits(0);
    assert_eq!(done.json()["destroyed"].as_array().unwrap().len(), 5);
    ok("ip link del br0");
}

/// Two VFs on vfio-pci, the first used by a process, whose pid is returned.
fn use_a_vf() -> String {
    sriovctl(&["set-numvfs", "eth0", "2", "--driver", "vfio-pci"]).exits(0);
    let me = std::env::current_exe().unwrap();
    ok(&format!(
        "rm -f /tmp/held; d=/sys/class/net/eth0/device/virtfn0
        g=/dev/vfio/$(basename $(readlink $d/iommu_group))
        {} --hold-vfio $g $(basename $(readlink $d)) > /dev/null 2>&1 &
        echo $! > /tmp/check.pids",
        me.display()
    ));
    eventually("the device is open", || std::path::Path::new("/tmp/held").exists());
    ok("cat /tmp/check.pids")
}

pub fn a_held_vfio_group_names_the_process() {
    let pid = use_a_vf();
    sriovctl(&["set-numvfs", "eth0", "0"]).exits(4).says("eth0#0: vm-");
    assert_eq!(ok(NUMVFS), "2");
    let table = sriovctl(&["list-vfs", "eth0", "--in-use"]).exits(0).out;
    assert!(table.contains(&format!("[{pid}]")) && !table.contains("eth0#1"), "{table}");
}

pub fn a_stalled_write_ends_in_time() {
    let pid = use_a_vf();
    let done = sriovctl(&["set-numvfs", "eth0", "0", "--force", "--timeout", "4"]).exits(7);
    done.says("within 4 s").says("lets it go").says(&format!("[{pid}]"));
    // Another change would wait for the device as well; lists still work.
    let second = sriovctl(&["set-numvfs", "eth0", "1", "--force"]).exits(7);
    second.says("that does not end").says(&format!("[{pid}] holds /dev/vfio/"));
    sriovctl(&["list-vfs"]).exits(0);
    sriovctl(&["list-pfs"]).exits(0);
    ok(&format!("kill -9 {pid}"));
    eventually("the write goes through", || ok(NUMVFS) == "0");
}

pub fn a_second_changer_waits_and_names_the_first() {
    ok("mkdir -p -m 700 /run/sriovctl/lock
        flock /run/sriovctl/lock/pci-$(basename $(readlink /sys/class/net/eth0/device)).lock sleep 1000 > /dev/null 2>&1 &
        echo $! > /tmp/check.pids; pgrep -P $! >> /tmp/check.pids; true");
    eventually("the lock is held", || sh("grep -q FLOCK /proc/locks").code == 0);
    let done = sriovctl(&["set-numvfs", "eth0", "2"]).exits(4);
    done.says("is being changed by");
    assert_eq!(ok(NUMVFS), "0");
    ok("pkill sleep; true");
}

pub fn an_unknown_driver_leaves_everything() {
    ok("modprobe vfio-pci; echo 2 > /sys/class/net/eth0/device/sriov_numvfs
        ip link set eth0 vf 1 vlan 9");
    let state = "ip link show eth0 | grep vf";
    let before = ok(state);
    let try_driver = |name| sriovctl(&["set-numvfs", "eth0", "4", "--driver", name]).exits(3);
    try_driver("vfio_pci").says("spelled vfio-pci");
    try_driver("no-such").says("no driver no-such");
    assert_eq!(ok(state), before);
}

pub fn without_rights() {
    let done = sh("setpriv --reuid 65534 --clear-groups $S set-numvfs eth0 2").exits(8);
    done.says("run it as root");
    assert_eq!(ok(NUMVFS), "0");
}

/// Nobody gets root's rights by calling it, however it was installed.
pub fn setuid_setgid_and_file_capabilities_are_refused() {
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    ok("mount -t tmpfs -o mode=755 none /mnt; cp $S /mnt/s; ln -s s /mnt/sriov; chmod 755 /mnt/s");
    sh(&format!("{nobody} /mnt/s list-vfs -o name")).exits(0);
    let made_so = [
        "chmod 4755 /mnt/s",
        "chmod 2755 /mnt/s",
        "chmod 755 /mnt/s; setcap cap_net_admin+ep /mnt/s",
    ];
    for how in made_so {
        ok(how);
        for command in
            ["/mnt/s set-numvfs eth0 2", "CNI_COMMAND=VERSION /mnt/sriov", "/mnt/s --help"]
        {
            let done = sh(&format!("{nobody} env {command}")).exits(8);
            done.says("was made setuid, setgid or given file capabilities").says("chmod ug-s FILE");
        }
    }
    assert_eq!(ok(NUMVFS), "0");
    // What the C library and Rust's runtime read at the start is no matter of the caller's.
    ok("chown 65534 /mnt/s; chmod 4755 /mnt/s");
    let opened = "strace -o /tmp/trace -u root -e trace=openat,open,readlink,connect /mnt/s list-pfs; \
        grep -vE '\"/proc/self/(exe|maps)\"|exited' /tmp/trace";
    let done = sh(opened);
    assert_eq!(done.out, "", "read before it refuses: {}", done.out);
    done.says("was made setuid");
    ok("umount /mnt");
}

/// What a running process has: it is asked while it waits for a lock that another one holds.
pub fn rights_that_are_not_needed_are_given_up() {
    const ALL: u64 = 0x1ff_ffff_ffff;
    let bit = |number: u32| 1u64 << number;
    let list = bit(12) | bit(21) | bit(19) | bit(2); // NET_ADMIN, SYS_ADMIN, SYS_PTRACE, DAC_READ_SEARCH
    let rights = |pid: &str| {
        let status = ok(&format!("grep -E 'Cap(Inh|Prm|Eff|Bnd)' /proc/{pid}/status"));
        let number = |line: &str| u64::from_str_radix(line.split_whitespace().last().unwrap(), 16);
        status.lines().map(|line| number(line).unwrap()).collect::<Vec<u64>>()
    };
    let own = rights("self");
    assert_eq!(own[2] & list, list);
    ok("mkdir -p -m 700 /run/sriovctl/lock
        flock /run/sriovctl/lock/pci-0000:01:00.0.lock sleep 1000 > /dev/null 2>&1 &
        echo $! > /tmp/check.pids; pgrep -P $! >> /tmp/check.pids
        $S set-numvfs eth0 2 > /dev/null 2>&1 & echo $! > /tmp/waits; cat /tmp/waits >> /tmp/check.pids; true");
    eventually("the lock is held", || sh("grep -q FLOCK /proc/locks").code == 0);
    let pid = ok("cat /tmp/waits");
    let wanted = list | bit(34) | bit(0) | bit(3); // SYSLOG, CHOWN, FOWNER
    eventually("it gives up rights", || rights(&pid)[2] == wanted);
    let has = rights(&pid);
    assert_eq!(has[..3], [0, wanted, wanted], "inheritable, permitted, effective: {has:x?}");
    assert_eq!(has[3], own[3] & ALL, "programs that it starts get all of root's");
    ok("kill $(cat /tmp/check.pids); pkill sleep; true");

    // A program that it starts: modprobe, in whose place another one looks at itself.
    ok("mount -t tmpfs none /mnt
        printf '#!/bin/sh\\ngrep CapEff /proc/$$/status > /mnt/modprobe.caps\\nexec /sbin/modprobe \"$@\"\\n' > /mnt/modprobe
        chmod 755 /mnt/modprobe; echo 1 > /sys/class/net/eth0/device/sriov_numvfs; modprobe -r vfio-pci; true");
    ok("PATH=/mnt:$PATH $S bind-dpdk eth0#0 --driver vfio-pci; $S bind-dpdk --restore eth0#0");
    let caps = ok("cat /mnt/modprobe.caps");
    let caps = u64::from_str_radix(caps.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(caps, own[3], "modprobe has what root has");
    // With no_new_privs it could not get them back: they are not given up.
    ok(
        "modprobe -r vfio-pci; PATH=/mnt:$PATH setpriv --no-new-privs $S bind-dpdk eth0#0; $S bind-dpdk --restore eth0#0",
    );
    ok("umount /mnt");
}

pub fn vfio_without_iommu_restores_the_former_vfs() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs
        ip link set eth0 vf 0 vlan 77; ip link set eth0 vf 1 trust on
        for n in 0 1; do
            d=$(ls /sys/class/net/eth0/device/virtfn$n/net)
            ip link set $d name blue$n
        done");
    let state = "ip link show eth0 | grep vf; ip -br link show blue0; ip -br link show blue1";
    let before = ok(state);
    let done = sriovctl(&["set-numvfs", "eth0", "3", "--driver", "vfio-pci"]).exits(5);
    done.says("the device has no IOMMU group").says("the former 2 VFs of eth0 were restored");
    assert_eq!(ok(state), before);
    assert_eq!(ok("cat /sys/class/net/eth0/device/sriov_drivers_autoprobe"), "1");
}
