//! `bind-dpdk` on the real kernel: from the kernel's driver to one for user space and back.

use serde_json::Value;

use super::attach::{assert_restored, differences, records, state};
use crate::guest::{eventually, ok, sh, sriovctl};

const VF: &str = "0000:01:10.";

/// Four VFs on eth0, some of them set up.
fn four_vfs() {
    ok("echo 4 > /sys/class/net/eth0/device/sriov_numvfs
        v() { ls /sys/class/net/eth0/device/virtfn$1/net; }
        ip link property add dev $(v 1) altname one
        ip link set eth0 vf 1 vlan 50 qos 2; ip link set $(v 1) mtu 1450
        ip link set eth0 vf 2 mac 02:00:00:00:00:22; ip link set $(v 2) address 02:00:00:00:00:22 2>/dev/null
        ip link set eth0 vf 3 spoofchk off; ip link set $(v 3) name vf-three; ip link set vf-three up");
}

fn driver(vf: u8) -> String {
    ok(&format!("basename $(readlink /sys/class/net/eth0/device/virtfn{vf}/driver) || echo none"))
}

fn there_and_back(driver: &str) {
    four_vfs();
    let before = state();
    for cycle in 0..10 {
        let done = sriovctl(&["bind-dpdk", "eth0", "--driver", driver]).exits(0);
        assert_eq!(done.out.matches(&format!("igbvf -> {driver}")).count(), 4, "{}", done.out);
        if cycle == 0 {
            let links = ok("ls /sys/class/net; readlink /sys/class/net/eth0/device/virtfn*/driver");
            assert_eq!(links.matches(driver).count(), 4, "{links}");
            assert!(!links.contains("eth1") && !links.contains("vf-three"), "{links}");
            sriovctl(&["inspect-state"]).exits(0);
            let again = sriovctl(&["bind-dpdk", "eth0", "--driver", driver, "--json"]).exits(0);
            let again = again.valid("bind-dpdk");
            assert_eq!(again.json()["changed"], false);
        }
        let done = sriovctl(&["bind-dpdk", "--restore", "eth0#0-3"]).exits(0);
        assert_eq!(done.out.matches(&format!("{driver} -> igbvf")).count(), 4, "{}", done.out);
        assert_restored(&before);
    }
}

pub fn ten_times_to_vfio_and_back() {
    there_and_back("vfio-pci");
}

pub fn ten_times_to_uio_and_back() {
    there_and_back("uio_pci_generic");
}

pub fn a_dpdk_program_of_an_ordinary_user_answers_pings() {
    ok("mkdir -p /run/programs; mountpoint -q /run/programs || mount --bind $LAB_PROGRAMS /run/programs
        echo 2 > /sys/class/net/eth0/device/sriov_numvfs; echo 128 > /proc/sys/vm/nr_hugepages; ip netns add blue");
    sriovctl(&[
        "attach",
        "eth0#1",
        "--netns",
        "blue",
        "--name",
        "net1",
        "--address",
        "10.0.0.1/24",
    ])
    .exits(0);
    let before = state();
    let own = before["links"].as_array().unwrap().iter().find(|link| link["ifname"] == "eth1");
    let own = own.unwrap()["address"].as_str().unwrap().to_owned();
    let done = sriovctl(&["bind-dpdk", "eth0#0", "--owner", "4711:nogroup"]).exits(0);
    done.says("a process may lock");
    let node = ok("stat -c '%u:%G %a %n' /dev/vfio/[0-9]*");
    assert!(node.starts_with("4711:nogroup 660 /dev/vfio/"), "{node}");
    ok("ulimit -l unlimited; p=/run/programs; mkdir -p /tmp/u; chown 4711 /tmp/u
        export LD_LIBRARY_PATH=$p/usr/lib/x86_64-linux-gnu:$p/lib/x86_64-linux-gnu XDG_RUNTIME_DIR=/tmp/u
        d=$p/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0
        sleep 1000 2>/dev/null | setpriv --reuid 4711 --regid 65534 --clear-groups $p/usr/bin/dpdk-testpmd \\
            --lcores '(0-1)@0' --in-memory -d $d/librte_net_e1000.so.23 -d $d/librte_mempool_ring.so.23 -a 0000:01:10.0 -m 128 \\
            -- --forward-mode=icmpecho --auto-start --no-lsc-interrupt --total-num-mbufs=4096 > /tmp/pmd.log 2>&1 &
        echo $! > /tmp/check.pids");
    eventually("the program has the port", || {
        sh("grep -q '^Port 0: ' /tmp/pmd.log || ! kill -0 $(cat /tmp/check.pids)").code == 0
    });
    let seen = ok("cat /tmp/pmd.log");
    // The MAC that the host knew, though nobody had set one.
    assert!(seen.contains(&format!("Port 0: {}", own.to_uppercase())), "not {own}: {seen}");
    ok(&format!("ip -n blue neigh add 10.0.0.2 lladdr {own} dev net1"));
    eventually("a ping is answered", || {
        sh("ip netns exec blue ping -q -c 1 -W 1 10.0.0.2").code == 0
    });
    let table = sriovctl(&["bind-dpdk", "--status"]).exits(0).out;
    assert!(table.contains("dpdk-testpmd["), "{table}");
    let before_refusals = ok("readlink /sys/class/net/eth0/device/virtfn0/driver");
    for more in [&["--restore"][..], &["--driver", "uio_pci_generic", "--force"]] {
        let done = sriovctl(&[&["bind-dpdk", "eth0#0"], more].concat()).exits(4);
        done.says("eth0#0 is in use: dpdk-testpmd[").says("has /dev/vfio/");
    }
    assert_eq!(ok("readlink /sys/class/net/eth0/device/virtfn0/driver"), before_refusals);
    ok("pkill dpdk-testpmd; pkill sleep; true");
    eventually("it has let go", || sriovctl(&["bind-dpdk", "--restore", "eth0#0"]).code == 0);
    let now = state();
    assert!(now == before, "{}", differences(&before, &now));
}

pub fn each_refusal_has_its_own_sentence_and_changes_nothing() {
    four_vfs();
    ok("ip addr add 192.0.2.1/24 dev eth1; ip link set eth1 up
        ip link add bond0 type bridge; ip link set eth3 master bond0
        ip netns add blue");
    sriovctl(&["attach", "eth0#1", "--netns", "blue"]).exits(0);
    let before = state();
    let tried: [(&[&str], i32, &str); 13] = [
        (&["eth0#2", "--driver", "no-such"], 3, "there is no driver no-such, nor a module"),
        (&["eth0#2", "--driver", "igb_uio"], 3, "it is no part of the kernel"),
        (&["eth0#2", "--driver", "vfio_pci"], 3, "the driver is spelled vfio-pci"),
        (&["eth0#3", "--driver", "uio-pci-generic"], 3, "the driver is spelled uio_pci_generic"),
        (&["eth0#0"], 4, "eth0#0 is in use, and the host would lose: 192.0.2.1/24"),
        (&["eth0#1"], 4, "eth0#1 is attached: manual has it as eth2 in /run/netns/blue"),
        (&["eth0#2"], 4, "the host would lose: master bond0"),
        (&["eth0", "--pf-only"], 4, "eth0 has 4 VFs, which its driver would destroy"),
        (&["eth0#7"], 3, "no VF 7"),
        (&["eth0#3", "--mac", "01:00:00:00:00:01"], 2, "names a group"),
        (&["eth0#3", "--owner", "no-such-user"], 3, "no user called no-such-user"),
        (&["eth0#3", "--driver", "e1000e"], 5, "e1000e does not take this device"),
        // All operands are looked at before the first is changed.
        (&["eth0#3", "eth0#0"], 4, "1 of 2 cannot be bound; nothing was changed"),
    ];
    for (args, code, said) in tried {
        sriovctl(&[&["bind-dpdk"], args].concat()).exits(code).says(said);
        let now = state();
        assert!(now == before, "{args:?}: {}", differences(&before, &now));
    }
    let done = sh("SSH_CONNECTION='192.0.2.9 5000 192.0.2.1 22' $S bind-dpdk eth0#0").exits(4);
    done.says("this SSH session comes in through eth0#0 (192.0.2.1/24) and would end");
    assert!(!records().contains("bound") && !records().contains("0000:01:10.6"), "{}", records());
    ok("ip link del bond0");
}

/// What an independent review broke.
pub fn what_the_host_would_lose_unseen_is_refused_too() {
    four_vfs();
    ok("ip netns add blue; ip netns add red; mkdir -p /run/odd; touch /run/odd/ns
        ip link add link eth1 name mv0 netns blue type macvlan mode bridge
        ip link add link eth3 name v7 netns blue type vlan id 7
        ip link set eth2 netns red; mount --bind /run/netns/red /run/odd/ns; ip netns del red
        ip link set vf-three up");
    let links =
        "ip -br link; ip -n blue -br link; readlink /sys/class/net/eth0/device/virtfn*/driver";
    let before = ok(links);
    for (vf, said) in [
        ("eth0#0", "the host would lose: mv0 in blue on top"),
        ("eth0#1", "the host would lose: unseen netns"),
        ("eth0#2", "the host would lose: v7 in blue on top"),
        ("0000:00:04.0", "is a bridge"),
        ("0000:00:10.0", "is no network card"),
    ] {
        sriovctl(&["bind-dpdk", vf]).exits(4).says(said);
    }
    let done = sh("SSH_CONNECTION='fe80::1%vf-three 5000 fe80::2%vf-three 22' $S bind-dpdk eth0#3")
        .exits(4);
    done.says("this SSH session comes in through eth0#3 (fe80::2) and would end");
    sriovctl(&["bind-dpdk", "eth0#0-1", "--mac", "02:00:00:00:00:09"])
        .exits(2)
        .says("is the MAC of one VF");
    sriovctl(&["bind-dpdk", "eth0#3", "--driver", "pci-stub", "--owner", "1"])
        .exits(2)
        .says("makes no device node");
    assert_eq!(ok(links), before);
    ok("umount /run/odd/ns; ip -n blue link del mv0; ip -n blue link del v7");
}

pub fn a_record_of_a_vf_that_is_gone_is_not_for_the_next() {
    four_vfs();
    sriovctl(&["bind-dpdk", "eth0#1"]).exits(0); // VLAN 50, MTU 1450, altname one
    ok(
        "cd /sys/class/net/eth0/device; echo 0 > sriov_numvfs; echo 4 > sriov_numvfs; ip link set eth0 vf 1 vlan 33",
    );
    let before = state();
    let listed = sriovctl(&["inspect-state"]).exits(6).out;
    assert!(listed.contains("its VF was destroyed, and another one made"), "{listed}");
    sriovctl(&["bind-dpdk", "eth0#1"]).exits(0);
    sriovctl(&["bind-dpdk", "--restore", "eth0#1"]).exits(0);
    assert_restored(&before);
    // Cut off, then destroyed.
    sh(
        "strace -f -o /dev/null -e trace=renameat -e inject=renameat:signal=KILL:when=2 $S bind-dpdk eth0#1",
    );
    ok(
        "cd /sys/class/net/eth0/device; echo 0 > sriov_numvfs; echo 4 > sriov_numvfs; ip link set eth0 vf 1 vlan 34",
    );
    let before = state();
    sriovctl(&["inspect-state", "--repair"]).exits(0);
    assert_restored(&before);
}

pub fn without_its_module_nothing_is_taken_away() {
    four_vfs();
    let before = state();
    sriovctl(&["bind-dpdk", "eth0"]).exits(0);
    ok("rmmod igbvf; echo 'install igbvf /bin/false' > /etc/modprobe.d/zz.conf");
    sriovctl(&["bind-dpdk", "--restore", "eth0#1"])
        .exits(1)
        .says("could not load the driver igbvf");
    assert_eq!(driver(1), "vfio-pci");
    sriovctl(&["inspect-state"]).exits(0);
    ok("rm /etc/modprobe.d/zz.conf");
    sriovctl(&["bind-dpdk", "--restore", "eth0"]).exits(0);
    assert_restored(&before);
}

pub fn names_that_are_taken_or_swapped_keep_nobody_away() {
    four_vfs();
    sriovctl(&["bind-dpdk", "eth0#0"]).exits(0);
    ok("ip link add eth1 type dummy");
    let done = sriovctl(&["bind-dpdk", "--restore", "eth0#0"]).exits(6);
    done.says("is not yet as it was").says("name eth1");
    assert_eq!(driver(0), "igbvf");
    sriovctl(&["bind-dpdk", "eth0#0"]).exits(0);
    ok("ip link del eth1");
    sriovctl(&["bind-dpdk", "--restore", "eth0#0"]).exits(0);
    assert_eq!(records(), "");
    // Each gets a name that the other has had.
    ok(
        "a=$(ls /sys/class/net/eth0/device/virtfn0/net); ip link set $a name blue0; ip link set eth3 name red0",
    );
    sriovctl(&["bind-dpdk", "eth0#0", "eth0#2"]).exits(0);
    ok("ip link add blue0 type dummy; ip link del blue0");
    sriovctl(&["bind-dpdk", "--restore", "eth0#0", "eth0#2"]).exits(0);
    let names =
        ok("ls /sys/class/net/eth0/device/virtfn0/net /sys/class/net/eth0/device/virtfn2/net");
    assert!(names.contains("blue0") && names.contains("red0"), "{names}");
}

pub fn what_was_bound_by_hand_and_what_persists_can_be_given_back() {
    four_vfs();
    let before = state();
    // By hand, then set up here: the settings go with it.
    ok(&format!(
        "modprobe vfio-pci; cd /sys/bus/pci/devices/{VF}2; echo vfio-pci > driver_override
        echo {VF}2 > driver/unbind; echo {VF}2 > /sys/bus/pci/drivers/vfio-pci/bind"
    ));
    sriovctl(&["bind-dpdk", "eth0#1", "--vlan", "9"]).exits(0);
    sriovctl(&["bind-dpdk", "--restore", "eth0#1"]).exits(0);
    let pf = ok("ip link show eth0 | grep 'vf 1 '");
    assert!(pf.contains("vlan 50"), "{pf}");
    assert_eq!(
        (driver(1), ok(&format!("cat /sys/bus/pci/devices/{VF}2/driver_override"))),
        ("igbvf".into(), "(null)".into())
    );
    // Nothing can be written below /etc: it is bound, and that is said.
    ok("mkdir -p /etc/sriovctl; mount -t tmpfs -o ro none /etc/sriovctl");
    let done = sriovctl(&["bind-dpdk", "eth0#3", "--persist", "--json"]).exits(6);
    assert_eq!(done.json()["devices"][0]["result"], "bound");
    done.valid("bind-dpdk").says("bound, but will not be when it appears the next time");
    ok("umount /etc/sriovctl");
    sriovctl(&["bind-dpdk", "eth0#3", "--persist"]).exits(0);
    sriovctl(&["set-numvfs", "eth0", "2"]).exits(0);
    let done = sriovctl(&["bind-dpdk", "--restore", "--persist", "0000:01:10.6"]).exits(0);
    assert!(done.out.contains("no longer bound when it appears"), "{}", done.out);
    assert_eq!(
        ok("ls /etc/udev/rules.d /etc/sriovctl/bindings | grep 0000 || true"),
        "",
        "{before}"
    );
    // The PF is not here: nobody sets its VF's MAC.
    ok("ip netns add away; ip link set eth0 netns away");
    sriovctl(&["bind-dpdk", "0000:01:10.0"]).exits(0).says("its PF cannot be seen here");
    sriovctl(&["bind-dpdk", "--restore", "0000:01:10.0"]).exits(0);
    ok("ip -n away link set eth0 netns 1; ip link set eth0 up");
}

pub fn a_pf_with_the_default_route_is_refused() {
    ok("ip addr add 192.0.2.1/24 dev eth0; ip route add default via 192.0.2.254");
    let before = state();
    let done = sriovctl(&["bind-dpdk", "eth0", "--pf-only"]).exits(4);
    done.says("eth0 is in use, and the host would lose: 192.0.2.1/24, route default");
    assert!(state() == before);
    sriovctl(&["bind-dpdk", "eth0"]).exits(3).says("eth0 has no VFs").says("--pf-only");
    ok("ip route del default; ip addr flush dev eth0");
    let before = state();
    sriovctl(&["bind-dpdk", "eth0", "--pf-only"]).exits(0);
    assert_eq!(ok("basename $(readlink /sys/bus/pci/devices/0000:01:00.0/driver)"), "vfio-pci");
    sriovctl(&["bind-dpdk", "0000:01:00.0", "--restore"]).exits(0);
    let now = state();
    assert!(now == before, "{}", differences(&before, &now));
}

pub fn a_held_group_names_the_process() {
    ok("echo 1 > /sys/class/net/eth0/device/sriov_numvfs");
    sriovctl(&["bind-dpdk", "eth0#0"]).exits(0);
    let me = std::env::current_exe().unwrap();
    ok(&format!(
        "rm -f /tmp/held; {} --hold-vfio /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/{VF}0/iommu_group)) {VF}0 > /dev/null 2>&1 &
        echo $! > /tmp/check.pids",
        me.display()
    ));
    eventually("the device is open", || std::path::Path::new("/tmp/held").exists());
    let pid = ok("cat /tmp/check.pids");
    let before = state();
    sriovctl(&["bind-dpdk", "eth0#0"]).exits(0); // there is nothing to change
    for args in [
        &["--restore", "eth0#0"][..],
        &["eth0#0", "--driver", "uio_pci_generic"],
        &["eth0#0", "--vlan", "44", "--force"],
    ] {
        let done = sriovctl(&[&["bind-dpdk"], args].concat()).exits(4);
        done.says(&format!("[{pid}] has /dev/vfio/")).says(&format!("kill {pid}"));
    }
    assert!(state() == before);
}

/// The kernel refuses one step after the other.
pub fn a_step_that_fails_leaves_driver_override_and_name() {
    four_vfs();
    ok("echo igbvf > /sys/class/net/eth0/device/virtfn1/driver_override");
    let before = state();
    let device = format!("/sys/bus/pci/devices/{VF}2");
    let mut failed = 0;
    for (path, calls) in [
        (format!("{device}/driver_override"), 2),
        (format!("{device}/driver/unbind"), 1),
        (format!("{device}/reset"), 1),
        ("/sys/bus/pci/drivers/vfio-pci/bind".to_owned(), 1),
    ] {
        sh("modprobe vfio-pci");
        for nth in 1..=calls {
            let done = sh(&format!(
                "strace -f -o /dev/null -P {path} -P $(realpath {path}) -e trace=write -e inject=write:error=EIO:when={nth} \
                 $S bind-dpdk eth0#1 --vlan 7 --trust on"
            ));
            // The children that write count for themselves: the second write fails only in one process.
            if done.code == 0 {
                sriovctl(&["bind-dpdk", "--restore", "eth0#1"]).exits(0);
                continue;
            }
            failed += 1;
            done.says("could not");
            assert_restored(&before);
        }
    }
    assert!(failed >= 4, "only {failed} of the steps could be made to fail");
    // Netlink: what looks and what sets. It is done whole, or nothing of it.
    let mut refused = 0;
    for nth in 1..=16 {
        let done = sh(&format!(
            "strace -f -o /dev/null -e trace=sendto -e inject=sendto:error=ENOBUFS:when={nth} \
             $S bind-dpdk eth0#1 --vlan 7 --trust on"
        ));
        refused += usize::from(done.code != 0);
        if done.code == 0 {
            let pf = ok("ip link show eth0 | grep 'vf 1 '");
            assert!(
                driver(1) == "vfio-pci" && pf.contains("vlan 7") && pf.contains("trust on"),
                "{nth}: {pf}"
            );
            sriovctl(&["bind-dpdk", "--restore", "eth0#1"]).exits(0);
        }
        assert_restored(&before);
    }
    println!("    {failed} writes and {refused} messages failed");
}

pub fn without_autoprobe_the_kernel_driver_comes_back() {
    four_vfs();
    ok("echo 0 > /sys/class/net/eth0/device/sriov_drivers_autoprobe");
    let before = state();
    sriovctl(&["bind-dpdk", "eth0#1"]).exits(0);
    sriovctl(&["bind-dpdk", "--restore", "eth0#1"]).exits(0);
    assert_restored(&before);
    // Bound by other means, without a record.
    ok(&format!(
        "cd /sys/bus/pci/devices/{VF}4; echo vfio-pci > driver_override; echo {VF}4 > driver/unbind
        echo {VF}4 > /sys/bus/pci/drivers/vfio-pci/bind"
    ));
    assert_eq!(driver(2), "vfio-pci");
    let done = sriovctl(&["bind-dpdk", "--restore", "eth0#2"]).exits(0);
    assert!(done.out.contains("vfio-pci -> igbvf"), "{}", done.out);
    assert_eq!(ok(&format!("cat /sys/bus/pci/devices/{VF}4/driver_override")), "(null)");
    let done = sriovctl(&["bind-dpdk", "--restore", "eth0#2"]).exits(0);
    assert!(done.out.contains("has igbvf already; nothing was changed"), "{}", done.out);
}

pub fn the_printed_shell_does_the_same() {
    four_vfs();
    ok("modprobe vfio-pci");
    let before = state();
    let shell = sriovctl(&["bind-dpdk", "eth0#1", "--vlan", "7", "--dry-run"]).exits(0).out;
    assert_restored(&before);
    ok(&shell);
    assert_eq!(driver(1), "vfio-pci");
    let by_hand = ok("ip link show eth0 | grep 'vf 1 '");
    assert!(by_hand.contains("vlan 7"), "{by_hand}");
}

pub fn the_status_agrees_with_sysfs() {
    four_vfs();
    sriovctl(&["bind-dpdk", "eth0#1", "--owner", "4711", "--mode", "0640"]).exits(0);
    ok("echo 8 > /proc/sys/vm/nr_hugepages");
    let status = sriovctl(&["bind-dpdk", "--status", "--json"]).exits(0);
    let status = status.valid("bind-dpdk-status").json();
    sriovctl(&["inspect-state", "--json"]).exits(0).valid("inspect-state");
    sriovctl(&["bind-dpdk", "eth0#2", "--dry-run", "--json"]).exits(0).valid("bind-dpdk");
    sriovctl(&["bind-dpdk", "eth0#2", "--driver", "e1000e", "--json"]).exits(5).valid("bind-dpdk");
    sriovctl(&["bind-dpdk", "eth0#2", "--driver", "none", "--json"]).exits(3).valid("error");
    let vfs = status["vfs"].as_array().unwrap();
    assert_eq!(vfs.len(), 4);
    for vf in vfs {
        let address = vf["pci_address"].as_str().unwrap();
        let link =
            |what: &str| ok(&format!("basename $(readlink /sys/bus/pci/devices/{address}/{what})"));
        assert_eq!(vf["driver"], link("driver").as_str());
        assert_eq!(vf["iommu_group"].to_string(), link("iommu_group"));
        assert_eq!(vf["viable"], true);
        let drivers: Vec<&str> =
            vf["available_drivers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(drivers, ["vfio-pci", "uio_pci_generic", "igbvf"]);
    }
    let node = &vfs[1]["device_nodes"][0];
    assert_eq!((&node["uid"], &node["mode"]), (&4711.into(), &"0640".into()));
    assert_eq!(vfs[0]["device_nodes"].as_array().unwrap().len(), 0);
    let pages = status["hugepages"].as_array().unwrap();
    let of_2_mib = pages.iter().find(|pages| pages["size_kib"] == 2048).unwrap();
    assert_eq!((&of_2_mib["total"], &of_2_mib["free"]), (&8.into(), &8.into()));
    let table = sriovctl(&["bind-dpdk", "-s", "eth0#1"]).exits(0).out;
    assert!(table.contains("4711:0 0640") && table.contains("2 MiB"), "{table}");
}

pub fn a_bound_vf_can_be_attached_and_resized() {
    four_vfs();
    ok("ip netns add blue");
    let before = state();
    sriovctl(&["bind-dpdk", "eth0#1"]).exits(0);
    let bound = state();
    sriovctl(&["attach", "eth0#1", "--netns", "blue", "--vlan", "9"]).exits(0);
    sriovctl(&["bind-dpdk", "--restore", "eth0#1"]).exits(4).says("is attached");
    sriovctl(&["detach", "eth0#1"]).exits(0);
    let now = state();
    assert!(now == bound, "{}", differences(&bound, &now));
    ok("ip link set vf-three down");
    sriovctl(&["set-numvfs", "eth0", "5"]).exits(0);
    assert_eq!(driver(1), "vfio-pci");
    sriovctl(&["bind-dpdk", "--restore", "eth0#1"]).exits(0);
    let name = "ls /sys/class/net/eth0/device/virtfn1/net";
    assert_eq!(ok(name), "eth2", "{before}");
    sriovctl(&["bind-dpdk", "eth0#4"]).exits(0);
    sriovctl(&["set-numvfs", "eth0", "2"]).exits(0);
    assert_eq!(records(), "", "the binding ended with its VF");
}

pub fn a_persistent_binding_is_made_when_the_vf_appears() {
    ok("ip link set eth0 down; echo 2 > /sys/class/net/eth0/device/sriov_numvfs");
    sriovctl(&["bind-dpdk", "eth0#1", "--persist", "--owner", "4711", "--vlan", "7"]).exits(0);
    let is_bound = || {
        driver(1) == "vfio-pci"
            && ok("stat -c %u /dev/vfio/[0-9]*") == "4711"
            && ok("ip link show eth0 | grep 'vf 1 '").contains("vlan 7")
    };
    assert!(is_bound());
    let again = sriovctl(&["bind-dpdk", "eth0#1", "--persist", "--owner", "4711", "--vlan", "7"]);
    assert!(again.exits(0).out.contains("has vfio-pci already; nothing was changed"));
    // By this program, with or without udev.
    sriovctl(&["set-numvfs", "eth0", "0"]).exits(0);
    sriovctl(&["set-numvfs", "eth0", "2"]).exits(0);
    assert!(is_bound());
    assert_eq!(driver(0), "igbvf");
    // By hand, with udev.
    ok("p=$LAB_PROGRAMS; mkdir -p /run/udev /lib/udev/rules.d
        LD_LIBRARY_PATH=$p/usr/lib/x86_64-linux-gnu:$p/lib/x86_64-linux-gnu bash -c 'exec -a systemd-udevd $0/bin/udevadm --daemon' $p > /tmp/udevd.log 2>&1
        pidof udevadm > /tmp/check.pids
        echo 0 > /sys/class/net/eth0/device/sriov_numvfs; echo 2 > /sys/class/net/eth0/device/sriov_numvfs");
    eventually("udev has bound it", is_bound);
    assert_eq!(driver(0), "igbvf");
    // And by this program while udev runs, which waits for udev's names.
    sriovctl(&["set-numvfs", "eth0", "0"]).exits(0);
    sriovctl(&["set-numvfs", "eth0", "2"]).exits(0);
    eventually("it is bound", is_bound);
    // Another card in its place is left alone.
    ok("sed -i 's/8086:10ca/8086:1520/' /etc/sriovctl/bindings/*.json");
    let done = sriovctl(&["set-numvfs", "eth0", "0"]).exits(0);
    assert_eq!(done.err, "");
    sriovctl(&["set-numvfs", "eth0", "2"]).exits(6).says("not the 8086:1520 that was bound");
    assert_eq!(driver(1), "igbvf");
    sriovctl(&["bind-dpdk", "--restore", "--persist", "eth0#1"]).exits(0);
    assert_eq!(ok("ls /etc/udev/rules.d /etc/sriovctl/bindings | grep 0000 || true"), "");
    ok("pkill udevadm; rm -rf /run/udev; true");
}

pub fn a_shared_group_names_its_members() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs");
    let before = state();
    let done = sriovctl(&["bind-dpdk", "eth0#0"]).exits(4);
    let done =
        done.says("shares IOMMU group").says("0000:01:00.0: igb").says("0000:01:10.2: igbvf");
    let done = done.says("--force").says("its PF, which must stay, is among them");
    assert!(!done.err.contains("bind these too"), "{}", done.err);
    assert!(state() == before);
    let table = sriovctl(&["bind-dpdk", "--status"]).exits(0).out;
    assert!(
        table.contains("NOT viable") && table.contains("also has: 0000:01:00.0 igb"),
        "{table}"
    );
    sriovctl(&["bind-dpdk", "eth0#0", "--force"]).exits(0);
    sriovctl(&["bind-dpdk", "eth0#0", "--restore"]).exits(0);
    assert_restored(&before);
    sriovctl(&["bind-dpdk", "eth0#0-1", "--persist", "--force"]).exits(0);
    sriovctl(&["set-numvfs", "eth0", "0"]).exits(0);
    sriovctl(&["set-numvfs", "eth0", "2"]).exits(0);
    assert_eq!((driver(0), driver(1)), ("vfio-pci".into(), "vfio-pci".into()));
    sriovctl(&["bind-dpdk", "--restore", "--persist", "eth0#0-1"]).exits(0);
    assert_eq!(ok("cat /sys/class/net/eth0/device/virtfn*/driver_override"), "(null)\n(null)");
}

pub fn without_an_iommu_there_is_a_hint_and_no_change() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs");
    let before = state();
    let done = sriovctl(&["bind-dpdk", "eth0#0"]).exits(5);
    done.says("eth0#0 has no IOMMU group").says("--allow-noiommu");
    // Debian's kernel has no such mode, which only the loaded module tells.
    for modprobe in ["modprobe -r vfio-pci", "modprobe vfio-pci"] {
        ok(modprobe);
        let done = sriovctl(&["bind-dpdk", "eth0#0", "--allow-noiommu"]).exits(5);
        done.says("this kernel's VFIO has no mode without one");
    }
    let now = state();
    assert!(now == before, "{}", differences(&before, &now));
    sriovctl(&["bind-dpdk", "eth0#0", "--driver", "uio_pci_generic"]).exits(0);
    sriovctl(&["bind-dpdk", "eth0#0", "--restore"]).exits(0);
    assert_restored(&before);
}
