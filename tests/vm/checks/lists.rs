//! What `list-pfs` and `list-vfs` say, against `ip`, `lspci` and sysfs.

use serde_json::Value;

use crate::guest::{Done, eventually, ok, sh, sriovctl};

fn pfs() -> Vec<Value> {
    list("list-pfs", &[], "pfs")
}

fn vfs() -> Vec<Value> {
    list("list-vfs", &[], "vfs")
}

fn list(command: &str, args: &[&str], key: &str) -> Vec<Value> {
    let args = [&[command, "--json"], args].concat();
    sriovctl(&args).exits(0).json()[key].as_array().expect("an array").clone()
}

fn ip_links() -> Vec<Value> {
    serde_json::from_str(&ok("ip -d -j link")).expect("ip's JSON")
}

fn ip_link<'a>(links: &'a [Value], name: &str) -> &'a Value {
    links.iter().find(|link| link["ifname"] == name).unwrap_or_else(|| panic!("ip has no {name}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

fn sysfs(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}")).trim().to_owned()
}

fn link_name(path: &str) -> String {
    let target = std::fs::read_link(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    target.file_name().unwrap().to_str().unwrap().to_owned()
}

pub fn agree_with_ip_lspci_and_sysfs() {
    ok("for d in /sys/class/net/eth[01]/device; do echo 7 > $d/sriov_numvfs; done
        ip link set eth0 vf 0 mac 02:00:00:00:00:10 vlan 100 qos 3 spoofchk off
        ip link set eth0 vf 6 trust on
        ip link set eth1 vf 3 max_tx_rate 100 || ip link set eth1 vf 3 vlan 7
        ip link property add dev eth0 altname uplink-with-a-long-name
        ip link set eth1 mtu 1400");
    let carrier = "cat /sys/class/net/eth0/operstate /sys/class/net/eth1/operstate";
    eventually("both links are up again", || ok(carrier) == "up\nup");
    let links = ip_links();
    let listed = pfs();
    assert_eq!(listed.len(), 2, "PFs");
    for pf in &listed {
        let (name, address) = (text(&pf["name"]), text(&pf["pci_address"]));
        let ip = ip_link(&links, name);
        let dir = format!("/sys/bus/pci/devices/{address}");
        assert_eq!(ip["parentdev"], pf["pci_address"]);
        assert_eq!(ip["address"], pf["mac"]);
        assert_eq!(ip["mtu"], pf["mtu"]);
        assert_eq!(ip["ifindex"], pf["netdevs"][0]["ifindex"]);
        assert_eq!(
            ip["operstate"].as_str().map(str::to_lowercase).as_deref(),
            pf["netdevs"][0]["operstate"].as_str()
        );
        let altnames = ip["altnames"].as_array().cloned().unwrap_or_default();
        assert_eq!(pf["netdevs"][0]["altnames"], Value::from(altnames));
        assert_eq!(pf["driver"], link_name(&format!("{dir}/driver")));
        assert_eq!(pf["vfs_total"].to_string(), sysfs(&format!("{dir}/sriov_totalvfs")));
        assert_eq!(pf["vfs_enabled"].to_string(), sysfs(&format!("{dir}/sriov_numvfs")));
        assert_eq!(pf["vfs_in_use"], 0);
        assert_eq!(pf["autoprobe"], true);
        assert_eq!(pf["iommu_group"].to_string(), link_name(&format!("{dir}/iommu_group")));
        assert_eq!(
            pf["netdevs"][0]["speed_mbps"].to_string(),
            sysfs(&format!("/sys/class/net/{name}/speed"))
        );
        check_lspci(address, &pf["vendor_id"], &pf["device_id"], &pf["model"]);
    }
    let listed = vfs();
    assert_eq!(listed.len(), 14, "VFs");
    for vf in &listed {
        check_vf(vf, &links);
    }
    let order: Vec<&str> = listed.iter().map(|vf| text(&vf["vf"])).collect();
    assert_eq!(order[..3], ["eth0#0", "eth0#1", "eth0#2"]);
    assert_eq!(order[7], "eth1#0");
    let of_one = list("list-vfs", &["eth1"], "vfs");
    assert_eq!(of_one, listed[7..], "one PF's VFs are those of the whole list");
}

fn check_vf(vf: &Value, links: &[Value]) {
    let (pf, index) = (text(&vf["pf"]), vf["index"].as_u64().unwrap());
    let seen = ip_link(links, pf)["vfinfo_list"].as_array().unwrap();
    let ip = seen.iter().find(|ip| ip["vf"] == index).expect("ip's VF");
    assert_eq!(ip["address"], vf["admin_mac"], "{pf} {index}");
    let vlan = &ip["vlan_list"][0];
    assert_eq!(vlan["vlan"].as_u64().unwrap_or(0), vf["vlan"]);
    assert_eq!(vlan["qos"].as_u64().unwrap_or(0), vf["vlan_qos"]);
    assert_eq!(ip["spoofchk"], vf["spoofchk"]);
    assert_eq!(ip["trust"], vf["trust"]);
    assert_eq!(ip["link_state"], vf["link_state"]);
    assert_eq!(ip["rate"]["max_tx"].as_u64().unwrap_or(0), vf["max_tx_rate"]);
    assert_eq!(ip["rate"]["min_tx"].as_u64().unwrap_or(0), vf["min_tx_rate"]);

    let dir = format!("/sys/class/net/{pf}/device/virtfn{index}");
    assert_eq!(vf["pci_address"], link_name(&dir));
    assert_eq!(vf["driver"], link_name(&format!("{dir}/driver")));
    assert_eq!(vf["iommu_group"].to_string(), link_name(&format!("{dir}/iommu_group")));
    let netdev = text(&vf["netdev"]);
    assert!(std::path::Path::new(&format!("{dir}/net/{netdev}")).exists());
    let ip = ip_link(links, netdev);
    assert_eq!(ip["address"], vf["mac"]);
    assert_eq!(ip["mtu"], vf["mtu"]);
    assert_eq!(vf["netns"]["host"], true);
    assert_eq!(vf["in_use"], false);
    assert_eq!(vf["used_by"], Value::from(Vec::<Value>::new()));
    assert_eq!(vf["stats"], Value::Null);
}

fn check_lspci(address: &str, vendor: &Value, device: &Value, model: &Value) {
    let numbers = ok(&format!("lspci -D -n -s {address}"));
    let ids = format!("{}:{}", text(vendor), text(device));
    assert!(numbers.contains(&ids), "{numbers} lacks {ids}");
    let names = ok(&format!("lspci -D -s {address}"));
    assert!(names.contains(text(model)), "{names} lacks {model}");
}

pub fn a_vf_in_a_named_namespace_is_found() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs
        ip netns add blue
        ip link set $(ls /sys/class/net/eth0/device/virtfn1/net) netns blue name inside");
    let listed = vfs();
    let vf = &listed[1];
    assert_eq!(vf["vf"], "eth0#1");
    assert_eq!(vf["netdev"], "inside");
    assert_eq!(vf["netns"]["host"], false);
    assert_eq!(vf["netns"]["name"], "blue");
    assert_eq!(vf["netns"]["path"], "/run/netns/blue");
    assert_eq!(vf["netns"]["inode"].to_string(), ok("stat -L -c %i /run/netns/blue"));
    assert_eq!(vf["mac"], ok("ip netns exec blue cat /sys/class/net/inside/address"));
    assert_eq!((&vf["in_use"], &vf["used_by"][0]["kind"]), (&Value::from(true), &"netns".into()));
    assert_eq!(listed[0]["netns"]["host"], true);
    assert_eq!(pfs()[0]["vfs_in_use"], 1);
    let table = sriovctl(&["list-vfs", "eth0"]).exits(0).out;
    assert!(
        table.lines().any(|line| line.starts_with("eth0#1") && line.contains("blue")),
        "{table}"
    );
}

pub fn a_vf_in_a_processs_namespace_is_found() {
    ok("echo 1 > /sys/class/net/eth0/device/sriov_numvfs
        unshare -n sleep 1000 > /dev/null 2>&1 & echo $! > /tmp/check.pids");
    let pid = ok("cat /tmp/check.pids");
    eventually("the process has a namespace of its own", || {
        ok(&format!("readlink /proc/{pid}/ns/net")) != ok("readlink /proc/self/ns/net")
    });
    ok(&format!("ip link set $(ls /sys/class/net/eth0/device/virtfn0/net) netns {pid}"));
    let vf = &vfs()[0];
    assert_eq!(vf["netns"]["pid"].to_string(), pid);
    assert_eq!(vf["netns"]["comm"], "sleep");
    assert_eq!(vf["netns"]["name"], Value::Null);
    assert_eq!(vf["used_by"][0]["text"], format!("netns sleep[{pid}]"));
}

pub fn a_pf_in_another_namespace_is_found() {
    ok("ip netns add blue; ip link set eth1 netns blue");
    let listed = pfs();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1]["name"], "eth1");
    assert_eq!(listed[1]["netdevs"][0]["netns"]["name"], "blue");
    ok("ip -n blue link set eth1 netns 1");
}

pub fn nvme_is_listed_only_when_asked_for() {
    assert!(pfs().iter().all(|pf| pf["driver"] == "igb"));
    let all = list("list-pfs", &["--all-classes"], "pfs");
    assert_eq!(all.len(), 3);
    let nvme = all.iter().find(|pf| pf["class"] == "0x010802").expect("the NVMe PF");
    assert_eq!(nvme["vfs_total"], 4);
    assert_eq!(nvme["netdevs"], Value::from(Vec::<Value>::new()));
    check_lspci(text(&nvme["pci_address"]), &nvme["vendor_id"], &nvme["device_id"], &nvme["model"]);
}

pub fn selectors_name_what_they_say() {
    ok("echo 7 > /sys/class/net/eth1/device/sriov_numvfs
        ip link property add dev eth1 altname storage
        ip link set eth1 vf 5 mac 02:00:00:00:00:15");
    let address = link_name("/sys/class/net/eth1/device");
    let netdev = ok("ls /sys/class/net/eth1/device/virtfn2/net");
    let vf_address = link_name("/sys/class/net/eth1/device/virtfn2");
    let all: Vec<String> = (0..7).map(|n| format!("eth1#{n}")).collect();
    let short = address.trim_start_matches("0000:").to_owned();
    for (selector, names) in [
        ("eth1", all.clone()),
        ("storage", all.clone()),
        (&address, all.clone()),
        (&short, all.clone()),
        ("52:54:00:aa:00:01", all.clone()),
        ("storage#0-1,6", vec![all[0].clone(), all[1].clone(), all[6].clone()]),
        (&netdev, vec![all[2].clone()]),
        (&vf_address, vec![all[2].clone()]),
        ("02:00:00:00:00:15", vec![all[5].clone()]),
        ("8086:10ca", all.clone()),
    ] {
        let out = sriovctl(&["list-vfs", selector, "-o", "name"]).exits(0).out;
        assert_eq!(out.lines().collect::<Vec<_>>(), names, "{selector}");
    }
    sriovctl(&["list-vfs", "eth1#7"]).exits(3).says("eth1 has no VF 7");
    sriovctl(&["list-vfs", "storaeg"]).exits(3).says("did you mean storage?");
    sriovctl(&["list-vfs", "lo"]).exits(3).says("no SR-IOV");
}

pub fn need_no_rights() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs");
    let done = sh("setpriv --reuid 65534 --clear-groups $S list-vfs -o name").exits(0);
    assert_eq!(done.out, "eth0#0\neth0#1\n");
}

pub fn a_closed_pipe_is_no_error() {
    ok("for d in /sys/class/net/eth[01]/device; do echo 7 > $d/sriov_numvfs; done");
    let done = sh("set -o pipefail; $S list-vfs --json | true").exits(0);
    assert_eq!(done.err, "");
}

pub fn interleaved_vfs_belong_to_their_ports() {
    ok("for d in /sys/class/net/eth[01]/device; do echo 3 > $d/sriov_numvfs; done");
    let listed = vfs();
    let function =
        |vf: &Value| text(&vf["pci_address"]).chars().last().unwrap().to_digit(8).unwrap();
    for vf in &listed {
        let port = u32::from(vf["pf"] == "eth1");
        assert_eq!(function(vf) % 2, port, "{vf}");
        assert_eq!(vf["iommu_group"], Value::Null);
    }
    assert_eq!(listed.len(), 6);
}

/// Whoever is in a namespace names interfaces and processes; `ip netns add` takes any file name.
pub fn names_steer_no_terminal() {
    ok("echo 3 > /sys/class/net/eth0/device/sriov_numvfs
        v() { ls /sys/class/net/eth0/device/virtfn$1/net; }
        ip link property add dev $(v 0) altname $'a\\e[35mb\\u202ec'
        ip link property add dev $(v 0) altname '$(touch${IFS}hit)'
        ip netns add $'blue\\e]0;title\\a'
        ip link set $(v 1) netns $'blue\\e]0;title\\a'
        unshare -n bash -c 'printf \"\\e[35mx\" > /proc/self/comm; while sleep 1; do :; done' > /dev/null 2>&1 &
        echo $! > /tmp/check.pids
        for n in $(seq 50); do [ $(readlink /proc/$!/ns/net) != $(readlink /proc/self/ns/net) ] && break; sleep 0.1; done
        for n in $(seq 50); do grep -q x /proc/$!/comm && break; sleep 0.1; done
        ip link set $(v 2) netns $!");
    let is_free = |text: &str| !text.contains("\x1b[35m") && !text.contains("\x1b]");
    for options in ["-o wide", "-o wide --color always", "--json", "-o jsonl", "-o csv", "-o name"]
    {
        for list in ["list-pfs", "list-vfs"] {
            // On a terminal, as a person sees it.
            let seen = ok(&format!("script -qec \"$S {list} {options}\" /dev/null"));
            assert!(is_free(&seen) && !seen.contains('\u{202e}'), "{list} {options}: {seen:?}");
        }
    }
    let table = sriovctl(&["list-vfs", "-o", "wide"]).exits(0).out;
    for said in [r"a\u{1b}[35mb\u{202e}c", r"blue\u{1b}]0;title\u{7}", r"\u{1b}[35mx"] {
        assert!(table.contains(said), "{said}: {table}");
    }
    let json = sriovctl(&["list-vfs", "--json"]).exits(0).json();
    assert_eq!(json["vfs"][0]["altnames"][0], "a\x1b[35mb\u{202e}c");
    let named = sh(r"$S list-vfs $'a\e[35mb\u202ec' -o name").exits(0);
    assert_eq!(named.out, "eth0#0\n", "an altname is given back as it is");
    let error = sh(r"$S attach eth0#0 --netns $'blue\e]0;title'").exits(3);
    assert!(is_free(&error.err), "{:?}", error.err);
    error.says(r"blue\u{1b}]0;title\u{7}?");

    // In and out again, with the names of both, and by the printed commands too.
    let done = sh(r"cd /tmp; $S attach eth0#0 --netns $'blue\e]0;title\a' --name $'n\e[35m'");
    assert!(is_free(&done.exits(2).err), "a name as ours are not");
    let done = sh(r"cd /tmp; $S attach eth0#0 --netns $'blue\e]0;title\a'").exits(0);
    assert!(is_free(&done.out), "{:?}", done.out);
    let done = sh("$S inspect-state -o wide").exits(6); // of the two others
    assert!(is_free(&done.out) && done.out.contains(r"\u{7}"), "{:?}", done.out);
    let shell = sh("$S detach eth0#0 --dry-run").exits(0).out;
    assert!(is_free(&shell) && shell.contains(r"'$(touch${IFS}hit)'"), "{shell}");
    let done = sh("$S detach eth0#0").exits(0);
    assert!(is_free(&done.out), "{:?}", done.out);
    let json = sriovctl(&["list-vfs", "--json"]).exits(0).json();
    assert_eq!(json["vfs"][0]["altnames"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!(sh("ls /tmp/hit hit").out, "");
}

/// What happens is told as it happens, once, and in words that a program can match.
pub fn watch_tells_what_happens() {
    ok(
        "ip netns add blue; rm -f /tmp/watch; $S watch --json > /tmp/watch 2> /tmp/watch.err & echo $! > /tmp/check.pids",
    );
    // It is listened before the first look; what is made after that is told.
    eventually("it watches", || {
        sh("grep -q sriovctl /proc/$(cat /tmp/check.pids)/comm && ls -l /proc/$(cat /tmp/check.pids)/fd | grep -q socket").code == 0
    });
    let told = |what: &str, attribute: Option<&str>, to: Option<&str>| {
        eventually(&format!("{what} {attribute:?} {to:?}"), || {
            let text = std::fs::read_to_string("/tmp/watch").unwrap();
            text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|event| {
                let name = if event["vf"].is_null() { &event["pf"] } else { &event["vf"] };
                *name == what
                    && event["attribute"].as_str() == attribute
                    && event["to"].as_str() == to
            })
        });
    };
    sriovctl(&["set-numvfs", "eth0", "2"]).exits(0);
    told("eth0", Some("vfs"), Some("2"));
    told("eth0#1", None, None);
    sriovctl(&["set-vf", "eth0#1", "--vlan", "7"]).exits(0);
    told("eth0#1", Some("vlan"), Some("7"));
    sriovctl(&["attach", "eth0#1", "--netns", "blue"]).exits(0);
    told("eth0#1", Some("netns"), Some("blue"));
    sriovctl(&["bind-dpdk", "eth0#0"]).exits(0);
    told("eth0#0", Some("driver"), Some("vfio-pci"));
    sriovctl(&["bind-dpdk", "--restore", "eth0#0"]).exits(0);
    sriovctl(&["detach", "eth0#1"]).exits(0);
    told("eth0#1", Some("netns"), None);
    sriovctl(&["set-numvfs", "eth0", "0"]).exits(0);
    eventually("they are gone", || {
        sh("grep -c '\"event\":\"removed\"' /tmp/watch").out.trim() == "2"
    });
    ok("kill $(cat /tmp/check.pids)");
    // Every line is one of the schema's.
    for line in std::fs::read_to_string("/tmp/watch").unwrap().lines() {
        Done { code: 0, out: line.to_owned(), err: String::new() }.valid("watch");
    }
    let text = sh("$S watch --for 0.1").exits(0);
    assert_eq!((text.out.as_str(), text.err.as_str()), ("", ""));
    sriovctl(&["watch", "eth9", "--for", "0.1"]).exits(3).says("no PF or VF is called");
}
