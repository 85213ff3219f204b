//! `doctor` on made-up trees: what it prints, and what it finds.

use serde_json::Value;

use crate::run::{Ran, command, run_unchanged};
use crate::support::models::{BNXT, IGB};
use crate::support::named;
use crate::support::tree::{Netdev, Pf, Tree};

fn ready() -> Tree {
    named::ready(env!("CARGO_BIN_EXE_sriovctl"))
}

/// Findings by their ids, worst first.
fn ids(ran: &Ran) -> Vec<String> {
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let found = json["findings"].as_array().unwrap();
    found.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

/// Ids of what is not as it should be, after a change of a host that is ready.
fn found(change: impl Fn(&Tree)) -> (i32, Vec<String>) {
    let tree = ready();
    change(&tree);
    let ran = run_unchanged(&tree, &["doctor", "--json"]);
    let summaries =
        ["sriov-ready", "iommu-on", "dpdk-ready", "cni-ready", "state-ok", "no-conflicts"];
    let mut ids = ids(&ran);
    ids.retain(|id| !summaries.contains(&id.as_str()));
    (ran.code, ids)
}

#[track_caller]
fn check(code: i32, ids: &[&str], change: impl Fn(&Tree)) {
    let (has, found) = found(change);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!((has, found.as_slice()), (code, ids));
}

#[test]
fn a_host_that_is_ready_takes_six_lines() {
    let ran = run_unchanged(&ready(), &["doctor"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "\
ok       SR-IOV     1 PF, 4 of 7 VFs
ok       IOMMU      on, 6 groups, iommu=pt
ok       DPDK       vfio-pci is there, 512 hugepages
ok       CNI        /opt/cni/bin/sriov, 1 network of type sriov
ok       state      nothing is attached or bound
ok       conflicts  nothing was found that changes VFs by itself
"
    );
    let all = run_unchanged(&ready(), &["doctor", "--all"]);
    assert_eq!(all.code, 0, "{all:?}");
    for (subject, said) in [
        ("eth0", "has 4 of 7 VFs, driver igb"),
        ("vfio-pci", "it is loaded"),
        ("hugepages", "500 of 512 are free"),
        ("hugetlbfs", "it is mounted"),
        ("/opt/cni/bin/sriov", "it is this program"),
        ("/etc/cni/net.d/10-vfs.conflist", "its IPAM plugin host-local is there\n"),
    ] {
        let said = format!("ok       {subject:18}  {said}");
        assert!(all.stdout.contains(&said), "{said}: {}", all.stdout);
    }
}

/// As on a terminal of 80 columns, the worst first, each with its next command on a line of its own.
#[test]
fn a_host_with_a_bit_of_everything() {
    let mut tree = ready();
    tree.pf(&Pf {
        netdevs: &[Netdev::down("eth1", "bc:97:e1:00:00:40")],
        ..Pf::new("0000:3b:00.0", &BNXT)
    });
    tree.pf(&Pf {
        netdevs: &[Netdev::up("eth2", "52:54:00:aa:00:02", 1000)],
        ..Pf::new("0000:04:00.0", &IGB)
    });
    std::fs::remove_dir_all(tree.path("sys/kernel/iommu_groups")).unwrap();
    tree.write("proc/cmdline", "quiet\n");
    tree.remove("opt/cni/bin/sriov");
    tree.write(
        "etc/systemd/network/10-vfs.link",
        "[Match]\nOriginalName=eth0\n\n[Link]\nSR-IOVVirtualFunctions=7\n",
    );
    let ran = run_unchanged(&tree, &["doctor"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (4, "sriovctl: 2 errors, 2 warnings\n"), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "\
error    kernel        no IOMMU is in use: the machine has one, but
                       intel_iommu=on is not on the kernel command line;
                       vfio-pci cannot bind [iommu-off]
         → put intel_iommu=on iommu=pt on the kernel command line, then reboot
error    /opt/cni/bin  there is no plugin sriov, which a configuration names
                       [cni-link-missing]
         → sriovctl cni --install
warning  eth1          is down: its driver bnxt_en creates VFs only while it is
                       up [pf-down]
         → ip link set eth1 up
warning  /etc/systemd/network/10-vfs.link  systemd sets the VFs of eth0 to 7
                       whenever the interface appears [conflict-systemd]
         → sed -i '5s/^/# /' /etc/systemd/network/10-vfs.link
note     eth2          has no VFs; 7 are possible [pf-no-vfs]
         → sriovctl set-numvfs eth2 4
ok       DPDK          vfio-pci is there, 512 hugepages
ok       state         nothing is attached or bound
"
    );
    // Of one PF only what is about it, or about the host.
    let ran = run_unchanged(&tree, &["doctor", "eth2", "--dpdk", "--json"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(ids(&ran), ["iommu-off", "pf-no-vfs", "sriov-ready", "dpdk-ready", "no-conflicts"]);
    let ran = run_unchanged(&tree, &["doctor", "eth1", "--cni", "--json"]);
    assert_eq!(ids(&ran), ["cni-link-missing", "pf-down", "state-ok", "no-conflicts"]);
    let ran = run_unchanged(&tree, &["doctor", "eth7"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
}

#[test]
fn what_is_missing_is_found_in_its_file() {
    check(0, &[], |_| {});
    check(0, &["pf-no-vfs"], |tree| {
        let pf = tree.device_dir("0000:01:00.0");
        for vf in 0..4 {
            tree.remove(format!("{pf}/virtfn{vf}"));
        }
        tree.write(format!("{pf}/sriov_numvfs"), "0\n");
    });
    check(1, &["vf-missing"], |tree| {
        tree.remove(format!("{}/virtfn3", tree.device_dir("0000:01:00.0")));
    });
    check(1, &["vf-no-driver"], |tree| tree.rebind("0000:01:10.2", None));
    check(0, &["vf-no-driver"], |tree| {
        tree.rebind("0000:01:10.2", None);
        tree.write(format!("{}/sriov_drivers_autoprobe", tree.device_dir("0000:01:00.0")), "0\n");
    });
    check(1, &["pf-totalvfs-zero"], |tree| {
        let pf = tree.device_dir("0000:01:00.0");
        for vf in 0..4 {
            tree.remove(format!("{pf}/virtfn{vf}"));
        }
        tree.write(format!("{pf}/sriov_numvfs"), "0\n");
        tree.write(format!("{pf}/sriov_totalvfs"), "0\n");
    });
    check(0, &["vf-no-mmio"], |tree| {
        let line =
            "3,1,1,-;igb 0000:01:00.0: not enough MMIO resources for SR-IOV\n SUBSYSTEM=pci\n";
        tree.write("dev/kmsg", line);
    });
    check(0, &["iommu-no-pt"], |tree| tree.write("proc/cmdline", "intel_iommu=on\n"));
    check(1, &["noiommu-on"], |tree| {
        tree.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
    });
    check(1, &["iommu-group-shared"], |tree| {
        let vf = tree.device_dir("0000:01:10.2");
        tree.remove(format!("{vf}/iommu_group"));
        tree.link(&format!("{vf}/iommu_group"), "sys/kernel/iommu_groups/2");
    });
    check(4, &["vfio-missing"], |tree| {
        std::fs::remove_dir_all(tree.path("sys/bus/pci/drivers/vfio-pci")).unwrap();
    });
    check(1, &["vfio-node-missing"], |tree| tree.remove("dev/vfio/vfio"));
    let pages = "sys/kernel/mm/hugepages/hugepages-2048kB";
    check(1, &["no-hugepages"], |tree| tree.write(format!("{pages}/nr_hugepages"), "0\n"));
    check(0, &["hugepages-used-up"], |tree| tree.write(format!("{pages}/free_hugepages"), "0\n"));
    check(1, &["no-hugetlbfs"], |tree| tree.write("proc/mounts", "proc /proc proc rw 0 0\n"));
    check(0, &["lockdown"], |tree| {
        tree.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    });
    check(0, &["dma-entry-limit"], |tree| {
        tree.write("sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "100\n");
    });
}

#[test]
fn plugins_and_configurations_are_looked_at() {
    let sriov = "opt/cni/bin/sriov";
    let another = |tree: &Tree, text: &str, is_program: bool| {
        tree.remove(sriov);
        tree.write(sriov, text);
        if is_program {
            tree.make_executable(sriov);
        }
    };
    check(4, &["cni-link-missing"], |tree| tree.remove(sriov));
    check(0, &["cni-link-missing"], |tree| {
        tree.remove(sriov);
        tree.remove("etc/cni/net.d/10-vfs.conflist");
    });
    check(0, &[], |tree| {
        for path in ["opt/cni", "etc/cni"] {
            std::fs::remove_dir_all(tree.path(path)).unwrap();
        }
    });
    check(4, &["cni-link-broken"], |tree| {
        tree.remove(sriov);
        std::os::unix::fs::symlink("/usr/local/sbin/gone", tree.path(sriov)).unwrap();
    });
    check(4, &["cni-not-executable"], |tree| another(tree, "", false));
    let go = "\0path\tgithub.com/k8snetworkplumbingwg/sriov-cni/cmd\0";
    check(0, &["cni-other-program"], |tree| another(tree, go, true));
    check(0, &["cni-other-copy"], |tree| {
        tree.remove(sriov);
        std::fs::copy(env!("CARGO_BIN_EXE_sriovctl"), tree.path(sriov)).unwrap();
    });
    let tree = ready();
    another(&tree, go, true);
    let said = run_unchanged(&tree, &["doctor"]).stdout;
    assert!(said.contains("it is k8snetworkplumbingwg/sriov-cni's;"), "{said}");
    let conf = |text: &'static str| move |tree: &Tree| tree.write("etc/cni/net.d/20.conf", text);
    check(4, &["cni-config-broken"], conf(r#"{"type": "sriov""#));
    check(
        4,
        &["ipam-missing"],
        conf(r#"{"type": "sriov", "pool": ["eth0"], "ipam": {"type": "static"}}"#),
    );
    check(4, &["cni-config-unknown-device"], conf(r#"{"type": "sriov", "master": "eth7"}"#));
    check(0, &["cni-config-no-device"], conf(r#"{"type": "sriov"}"#));
    check(1, &["dhcp-daemon-missing"], |tree| {
        tree.write("opt/cni/bin/dhcp", "");
        tree.make_executable("opt/cni/bin/dhcp");
        conf(r#"{"type": "sriov", "pool": ["eth0"], "ipam": {"type": "dhcp"}}"#)(tree);
    });
}

#[test]
fn a_pf_that_is_named_twice_counts_once() {
    let tree = ready();
    let once = run_unchanged(&tree, &["doctor", "eth0", "--all"]);
    for names in [["eth0", "eth0"], ["eth0", "0000:01:00.0"]] {
        let twice = run_unchanged(&tree, &["doctor", names[0], names[1], "--all"]);
        assert_eq!((twice.code, &twice.stdout), (once.code, &once.stdout), "{names:?}");
    }
}

#[test]
fn whatever_else_changes_vfs_is_named() {
    let write = |path: &'static str, text: &'static str| move |tree: &Tree| tree.write(path, text);
    let vfs = "echo 4 > /sys/class/net/eth0/device/sriov_numvfs\n";
    for (code, id, path, text) in [
        (1, "conflict-systemd", "etc/systemd/network/1.link", "[SR-IOV]\nVirtualFunction=0\n"),
        (1, "conflict-systemd", "usr/lib/systemd/network/1.network", "[SR-IOV]\nTrust=yes\n"),
        (
            1,
            "conflict-network-manager",
            "etc/NetworkManager/system-connections/a.nmconnection",
            "[connection]\nid=a\n[sriov]\ntotal-vfs=4\n",
        ),
        (
            1,
            "conflict-network-manager",
            "etc/NetworkManager/NetworkManager.conf",
            "[device]\nsriov-num-vfs=4\n",
        ),
        (1, "conflict-netplan", "etc/netplan/a.yaml", "eth0:\n  virtual-function-count: 4\n"),
        (0, "conflict-driverctl", "etc/driverctl.d/pci-0000:01:10.0", "vfio-pci\n"),
        (1, "conflict-operator", "etc/sriov-operator/pci/0000:01:00.0", "{}"),
        (
            0,
            "conflict-libvirt",
            "etc/libvirt/qemu/networks/a.xml",
            "<name>a</name><forward mode='hostdev'><pf dev='eth0'/></forward>",
        ),
        (1, "conflict-udev", "lib/udev/rules.d/1.rules", "ATTR{sriov_numvfs}=\"4\"\n"),
        (1, "conflict-boot-script", "etc/rc.local", vfs),
        (1, "conflict-module-option", "etc/modprobe.d/a.conf", "options igb max_vfs=7\n"),
    ] {
        check(code, &[id], write(path, text));
    }
    check(1, &["conflict-unit"], |tree| {
        tree.write("etc/systemd/system/vfs.service", "[Service]\nExecStart=/usr/local/bin/vfs\n");
        tree.write("etc/systemd/system/multi-user.target.wants/vfs.service", "");
        tree.write("usr/local/bin/vfs", vfs);
    });
    check(1, &["conflict-operator"], |tree| {
        tree.write("usr/lib/systemd/system/sriov-config.service", "[Service]\nExecStart=/x\n");
        tree.write("etc/systemd/system/multi-user.target.wants/sriov-config.service", "");
    });
}

#[test]
fn records_and_their_directories_are_looked_at() {
    check(4, &["state-dir-open"], |tree| {
        tree.write("var/lib/cni/sriov/x", "");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(tree.path("var/lib/cni/sriov"), mode).unwrap();
    });
    check(1, &["record-corrupt"], |tree| {
        tree.write("var/lib/cni/sriov/sriovctl/attached/pci-0000:01:10.0.json", "{}");
    });
}

#[test]
fn colours_are_of_the_severity_and_narrow_terminals_wrap() {
    let tree = ready();
    tree.remove("dev/vfio/vfio");
    let ran = run_unchanged(&tree, &["doctor", "--color", "always"]);
    let said = "\x1b[33mwarning\x1b[0m  vfio-pci   it is loaded, but";
    assert!(ran.stdout.contains(said), "{:?}", ran.stdout);
    assert!(ran.stdout.contains("\x1b[32mok\x1b[0m       SR-IOV"), "{:?}", ran.stdout);
    let narrow = command(&tree).args(["doctor"]).env("COLUMNS", "44").output().unwrap();
    let narrow = String::from_utf8(narrow.stdout).unwrap();
    let is_long = |line: &&str| line.chars().count() > 44 && !line.contains('→');
    assert_eq!(narrow.lines().find(is_long), None, "{narrow}");
}
