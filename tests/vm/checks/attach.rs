//! `attach` and `detach` on the real kernel: what comes back is what was given away.

use serde_json::{Value, json};

use crate::guest::{Done, eventually, ok, sh, sriovctl};

/// Everything of the host that a VF brings along: interfaces with their names, MACs, MTUs and
/// flags, settings in the PFs, drivers. What depends on the carrier is left out.
pub fn state() -> Value {
    let links: Vec<Value> = serde_json::from_str(&ok("ip -d -j link")).unwrap();
    let keep = ["ifname", "address", "mtu", "altnames", "promiscuity", "allmulti", "vfinfo_list"];
    let links = links.iter().filter(|link| link["ifname"] != "lo").map(|link| {
        let mut kept: serde_json::Map<_, _> =
            keep.iter().map(|key| ((*key).to_owned(), link[*key].clone())).collect();
        let flags = link["flags"].as_array().unwrap();
        let lasting =
            |flag: &&Value| ["UP", "PROMISC", "ALLMULTI"].contains(&flag.as_str().unwrap());
        kept.insert("flags".into(), flags.iter().filter(lasting).cloned().collect());
        let altnames = kept["altnames"].as_array().cloned().unwrap_or_default();
        let mut altnames: Vec<String> = altnames.iter().map(ToString::to_string).collect();
        altnames.sort();
        kept.insert("altnames".into(), json!(altnames));
        Value::Object(kept)
    });
    let mut links: Vec<Value> = links.collect();
    links.sort_by_key(|link| link["ifname"].to_string());
    // Two programs for all devices: each costs a tenth of a second here.
    let drivers =
        ok("cd /sys/bus/pci/devices; d=$(ls -d */physfn 2>/dev/null); d=${d//physfn/driver}
        [ -z \"$d\" ] || { readlink $d; grep -H . ${d//driver/driver_override}; }");
    json!({ "links": links, "drivers": drivers })
}

pub fn records() -> String {
    ok("ls /var/lib/cni/sriov/sriovctl/*/ 2>/dev/null | grep json || true")
}

#[track_caller]
pub fn assert_restored(before: &Value) {
    let now = state();
    assert!(now == *before, "not as before:\n{}", differences(before, &now));
    assert_eq!(records(), "", "records left");
}

/// The lines in which two states differ.
pub fn differences(before: &Value, now: &Value) -> String {
    let lines = |value: &Value| -> Vec<String> {
        serde_json::to_string_pretty(value).unwrap().lines().map(str::to_owned).collect()
    };
    let (before, now) = (lines(before), lines(now));
    let gone = before.iter().filter(|line| !now.contains(line)).map(|line| format!("- {line}"));
    let new = now.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(new).take(20).collect::<Vec<_>>().join("\n")
}

/// Seven VFs on eth0, some of them set up, and two namespaces.
fn seven_vfs() {
    ok("echo 7 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue; ip netns add red
        v() { ls /sys/class/net/eth0/device/virtfn$1/net; }
        ip link property add dev $(v 1) altname one altname uno
        ip link set eth0 vf 2 mac 02:00:00:00:00:22; ip link set $(v 2) address 02:00:00:00:00:22 2>/dev/null
        ip link set eth0 vf 3 vlan 50 qos 2; ip link set eth0 vf 3 trust on; ip link set $(v 3) mtu 1450
        ip link set $(v 4) name vf-four; ip link set eth0 vf 5 spoofchk off
        ip link set eth0 vf 6 mac 00:00:00:00:00:00");
}

fn attach(vf: &str, more: &[&str]) -> Done {
    sriovctl(&[&["attach", vf, "--netns", "blue", "--name", "net1"], more].concat())
}

const EVERYTHING: [&str; 18] = [
    "--mac",
    "02:00:00:00:00:77",
    "--vlan",
    "100",
    "--qos",
    "3",
    "--trust",
    "on",
    "--spoofchk",
    "off",
    "--mtu",
    "1400",
    "--address",
    "10.0.0.1/24",
    "--address",
    "fd00::1/64",
    "--gateway",
    "10.0.0.254",
];

pub fn ten_cycles_on_each_of_seven_vfs_with_every_option() {
    seven_vfs();
    let before = state();
    for cycle in 0..10 {
        for vf in 0..7 {
            let name = format!("eth0#{vf}");
            attach(&name, &EVERYTHING).exits(0);
            if cycle == 0 {
                let inside = ok("ip netns exec blue ip -d -j addr show net1");
                let inside: Value = serde_json::from_str(&inside).unwrap();
                assert_eq!(inside[0]["address"], "02:00:00:00:00:77");
                assert_eq!(inside[0]["mtu"], 1400);
                assert!(inside.to_string().contains("10.0.0.1"), "{inside}");
                assert!(inside.to_string().contains("fd00::1"), "{inside}");
                let pf = ok(&format!("ip link show eth0 | grep 'vf {vf} '"));
                assert!(pf.contains("02:00:00:00:00:77") && pf.contains("vlan 100, qos 3"), "{pf}");
                assert!(pf.contains("spoof checking off") && pf.contains("trust on"), "{pf}");
            }
            sriovctl(&["detach", &name]).exits(0);
            if cycle == 0 || vf == cycle % 7 {
                assert_restored(&before);
            }
        }
    }
    assert_restored(&before);
}

pub fn a_mac_is_set_without_trust_and_without_waiting() {
    seven_vfs();
    for vf in ["eth0#0", "eth0#2"] {
        // Every pause of this program is such a call.
        ok(&format!(
            "strace -f -qq -o /tmp/trace -e trace=clock_nanosleep,nanosleep \
                $S attach '{vf}' --netns blue --name net1 --mac 02:00:00:00:00:99"
        ));
        assert_eq!(ok("grep -c nanosleep /tmp/trace || true"), "0");
        assert_eq!(ok("ip netns exec blue cat /sys/class/net/net1/address"), "02:00:00:00:00:99");
        assert!(ok("ip link show eth0").contains("02:00:00:00:00:99"));
        sriovctl(&["detach", vf]).exits(0);
    }
}

pub fn namespaces_hear_each_other_in_the_same_vlan_only() {
    ok("for d in /sys/class/net/eth[01]/device; do echo 1 > $d/sriov_numvfs; done
        ip netns add blue; ip netns add red");
    let ping = "ip netns exec red ping -c1 -W1 10.0.0.1 > /dev/null";
    for (vlan_blue, vlan_red, hears) in
        [("0", "0", true), ("100", "100", true), ("100", "101", false)]
    {
        let blue = ["--vlan", vlan_blue, "--address", "10.0.0.1/24", "--address", "fd00::1/64"];
        attach("eth0#0", &blue).exits(0);
        let red =
            ["--netns", "red", "--name", "net1", "--vlan", vlan_red, "--address", "10.0.0.2/24"];
        sriovctl(&[&["attach", "eth1#0"], &red[..]].concat()).exits(0);
        let carrier = "ip netns exec blue cat /sys/class/net/net1/carrier; ip netns exec red cat /sys/class/net/net1/carrier";
        eventually("both have a carrier", || sh(carrier).out == "1\n1\n");
        if hears {
            eventually("they hear each other", || sh(ping).code == 0);
        } else {
            assert_ne!(sh(&format!("{ping} || {ping}")).code, 0, "they must not hear each other");
        }
        assert!(!ok("ip -n blue addr").contains("dadfailed"));
        sriovctl(&["detach", "eth0#0", "eth1#0"]).exits(0);
    }
}

pub fn whatever_became_of_it_it_comes_back_as_it_was() {
    seven_vfs();
    let before = state();
    let cases = [
        ("the namespace is gone", "ip netns del blue"),
        ("it was renamed", "ip -n blue link set net1 down; ip -n blue link set net1 name other"),
        ("its own name is taken there", "ip -n blue link add $N type dummy"),
        (
            "it got the host name as an altname",
            "ip -n blue link property add dev net1 altname $N altname x",
        ),
        (
            "its MAC and MTU were changed",
            "ip -n blue link set net1 down; ip -n blue link set net1 mtu 1300; ip link set eth0 vf 1 trust on; ip -n blue link set net1 address 02:00:00:00:00:66",
        ),
        ("it was left promiscuous", "ip -n blue link set net1 promisc on allmulticast on"),
        (
            "its settings were changed",
            "ip link set eth0 vf 1 vlan 9; ip link set eth0 vf 1 mac 02:00:00:00:00:55; ip link set eth0 vf 1 max_tx_rate 100",
        ),
        ("it was moved on", "ip -n blue link set net1 netns red"),
        ("it came home by hand", "ip -n blue link set net1 netns 1"),
    ];
    for (case, script) in cases {
        attach("eth0#1", &["--vlan", "100"]).exits(0);
        ok(&format!("N=eth3; {script}"));
        let done = sriovctl(&["detach", "eth0#1"]);
        assert_eq!(done.code, 0, "{case}: {}", done.err);
        let now = state();
        assert!(now == before, "{case}:\n{}", differences(&before, &now));
        assert_eq!(records(), "", "{case}");
        ok(
            "ip netns del blue 2>/dev/null; ip netns add blue; ip -n red link del eth3 2>/dev/null; true",
        );
    }
}

pub fn a_vf_that_was_bound_to_vfio_meanwhile_comes_back() {
    seven_vfs();
    let before = state();
    attach("eth0#1", &["--vlan", "100"]).exits(0);
    ok("modprobe vfio-pci; cd /sys/class/net/eth0/device/virtfn1; echo vfio-pci > driver_override
        basename $(readlink -f .) > driver/unbind; basename $(readlink -f .) > /sys/bus/pci/drivers/vfio-pci/bind");
    sriovctl(&["detach", "eth0#1"]).exits(0);
    assert_restored(&before);
}

pub fn a_vf_on_vfio_is_recorded_and_given_back() {
    sriovctl(&["set-numvfs", "eth0", "2", "--driver", "vfio-pci"]).exits(0);
    ok("ip netns add blue");
    let before = state();
    attach("eth0#0", &["--vlan", "100", "--mac", "02:00:00:00:00:44"]).exits(0);
    assert!(ok("ip link show eth0").contains("02:00:00:00:00:44"));
    sriovctl(&["inspect-state"]).exits(0);
    attach("eth0#0", &[]).exits(4).says("already attached");
    sriovctl(&["detach", "eth0#0"]).exits(0);
    assert_restored(&before);
}

pub fn a_renamed_pf_is_no_obstacle() {
    seven_vfs();
    let before = state();
    attach("eth0#1", &["--vlan", "100"]).exits(0);
    ok("ip link set eth0 down; ip link set eth0 name uplink; ip link set uplink up");
    sriovctl(&["detach", "uplink#1"]).exits(0);
    ok("ip link set uplink down; ip link set uplink name eth0; ip link set eth0 up");
    assert_restored(&before);
}

pub fn a_name_taken_on_the_host_keeps_the_record() {
    seven_vfs();
    let before = state();
    attach("eth0#1", &[]).exits(0);
    ok("ip link add eth3 type dummy");
    let done = sriovctl(&["detach", "eth0#1"]).exits(6);
    done.says("its record is kept").says("eth3");
    assert!(records().contains("0000:01:10.2"), "{}", records());
    ok("ip link del eth3");
    sriovctl(&["detach", "eth0#1"]).exits(0);
    assert_restored(&before);
}

pub fn refusals_change_nothing() {
    seven_vfs();
    ok("ip -n blue link add taken type dummy; ip addr add 192.0.2.1/24 dev eth2; ip link set eth5 name eth5
        echo 0000:01:10.6 > /sys/bus/pci/drivers/igbvf/unbind");
    let before = state();
    let tried: [(&[&str], i32, &str); 14] = [
        (&["eth0#1", "--netns", "blue", "--name", "all"], 2, "is not an interface name"),
        (
            &["eth0#1", "--netns", "blue", "--mtu", "1000", "--address", "fd00::1/64"],
            2,
            "at least 1280",
        ),
        (
            &["eth0#1", "--netns", "blue", "--address", "10.0.0.1/24", "--gateway", "fd00::1"],
            2,
            "of its own kind",
        ),
        (
            &["eth0#1", "--netns", "blue", "--name", "taken"],
            4,
            "has an interface called taken already",
        ),
        (&["eth0#0", "--netns", "blue"], 4, "is in use: 192.0.2.1/24"),
        (&["eth0#1", "--netns", "/proc/self/ns/net"], 2, "the host's own"),
        (&["eth0#1", "--netns", "blue", "--mtu", "9000"], 2, "more than its PF's 1500"),
        (&["eth0#3", "--netns", "blue"], 4, "has no driver"),
        (&["eth0#1", "--netns", "blue", "--mac", "01:00:00:00:00:01"], 2, "names a group"),
        (&["eth0#1", "--netns", "blue", "--vlan", "4095"], 2, "4095"),
        (
            &["eth0#1", "--netns", "blue", "--min-tx-rate", "9", "--max-tx-rate", "5"],
            2,
            "above the highest",
        ),
        (&["eth0#1", "--netns", "bleu"], 3, "did you mean blue?"),
        (&["eth0#1", "--netns", "/etc/passwd"], 2, "is no network namespace"),
        (&["eth0", "--netns", "blue"], 2, "--pf eth0"),
    ];
    for (args, code, said) in tried {
        sriovctl(&[&["attach"], args].concat()).exits(code).says(said);
    }
    assert_restored(&before);
}

pub fn a_step_that_fails_undoes_all_before_it() {
    seven_vfs();
    let before = state();
    let some = ["--mac", "02:00:00:00:00:77", "--vlan", "100", "--mtu", "1400"];
    // igb cannot set a link state; the route leads nowhere.
    attach("eth0#1", &[&some[..], &["--link-state", "enable"]].concat())
        .exits(5)
        .says("igb cannot set this")
        .says("is as it was before");
    assert_restored(&before);
    let unreachable = ["--address", "10.0.0.1/24", "--gateway", "192.168.7.1"];
    let done = attach("eth0#1", &[&some[..], &unreachable].concat());
    assert_ne!(done.code, 0);
    done.says("is as it was before");
    assert_restored(&before);
}

pub fn who_has_what_is_told_and_put_right() {
    seven_vfs();
    let before = state();
    for (vf, name) in [("eth0#0", "net0"), ("eth0#1", "net1"), ("eth0#2", "net2")] {
        let args =
            ["attach", vf, "--netns", "blue", "--name", name, "--vlan", "100", "--mtu", "1400"];
        sriovctl(&args).exits(0);
    }
    let list = |done: Done| done.json()["attachments"].as_array().unwrap().clone();
    let entries = list(sriovctl(&["inspect-state", "--json"]).exits(0));
    assert_eq!(entries.len(), 3);
    assert!(entries.iter().all(|entry| entry["state"] == "ok" && entry["network"] == "manual"));

    ok("ip -n blue link set dev net1 mtu 1300; ip link set eth0 vf 1 vlan 7
        ip link set $(ls /sys/class/net/eth0/device/virtfn6/net) netns red
        d=/var/lib/cni/sriov/sriovctl/attached; echo '{' > $d/pci-0000:01:11.0.json");
    let entries = list(sriovctl(&["inspect-state", "--json"]).exits(6));
    let states: Vec<&str> = entries.iter().map(|entry| entry["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ok", "drift", "ok", "corrupt", "foreign"]);
    assert_eq!(entries[1]["drift"][0], json!({"field": "MTU", "wanted": "1400", "actual": "1300"}));
    assert_eq!(entries[1]["drift"][1]["actual"], "vlan 7");

    // The foreign one is left alone until it is named: somebody may be using it.
    sriovctl(&["inspect-state", "--repair"]).exits(6).says("inspect-state --repair 'eth0#6'");
    sriovctl(&["inspect-state", "--repair", "eth0#6"]).exits(0);
    let entries = list(sriovctl(&["inspect-state", "--json"]).exits(0));
    assert_eq!(entries.len(), 3);
    ok("ip netns del blue; rm -f /var/lib/cni/sriov/sriovctl/attached/*.corrupt");
    let entries = list(sriovctl(&["inspect-state", "--json"]).exits(6));
    assert!(entries.iter().all(|entry| entry["state"] == "stale"), "{entries:?}");
    sriovctl(&["detach", "--all-stale"]).exits(0);
    assert_restored(&before);
}

pub fn late_and_repeated_detaches_change_nothing() {
    seven_vfs();
    attach("eth0#1", &[]).exits(0);
    sriovctl(&["detach", "--netns", "blue", "--name", "net1"]).exits(0);
    let args = ["attach", "eth0#1", "--netns", "red", "--name", "net1", "--vlan", "100"];
    sriovctl(&args).exits(0);
    let before = (state(), ok("ip -n red -d link show net1"));
    sriovctl(&["detach", "--netns", "blue", "--name", "net1"]).exits(0);
    sriovctl(&["detach", "--netns", "/run/netns/gone"]).exits(0);
    assert_eq!((state(), ok("ip -n red -d link show net1")), before);
    // A record from before a reboot is in nobody's way.
    ok(
        "sed -i 's/\"boot_id\": \"/&other-/' /var/lib/cni/sriov/sriovctl/attached/*; ip netns del red",
    );
    eventually("the VF is back", || {
        sh("ls /sys/class/net/eth0/device/virtfn1/net/* > /dev/null").code == 0
    });
    attach("eth0#1", &[]).exits(0);
    sriovctl(&["detach", "eth0#1"]).exits(0);
    assert_eq!(records(), "");
}

pub fn the_pf_itself_moves_and_comes_back() {
    ok("ip netns add blue; ip link set eth1 down");
    let before = state();
    let args = [
        "attach",
        "eth1",
        "--pf-only",
        "--netns",
        "blue",
        "--name",
        "net1",
        "--address",
        "10.0.0.1/24",
    ];
    sriovctl(&args).exits(0);
    assert!(ok("ip -n blue addr show net1").contains("10.0.0.1/24"));
    sriovctl(&["detach", "0000:02:00.0"]).exits(0);
    assert_restored(&before);
}

pub fn the_host_sees_no_other_name() {
    seven_vfs();
    ok("ip -n blue link add eth3 type dummy
        ip monitor link > /tmp/monitor 2>&1 & echo $! > /tmp/check.pids; true");
    eventually("the monitor listens", || {
        ok(
            "ip link set eth1 mtu 1499; ip link set eth1 mtu 1500; grep -c eth1 /tmp/monitor || true",
        ) != "0"
    });
    let index = ok("cat /sys/class/net/eth3/ifindex");
    attach("eth0#1", &["--mac", "02:00:00:00:00:77", "--mtu", "1400"]).exits(0);
    sriovctl(&["detach", "eth0#1"]).exits(0);
    ok("ip link set eth1 mtu 1498");
    eventually("all was heard", || ok("grep -c 1498 /tmp/monitor || true") != "0");
    ok("ip link set eth1 mtu 1500");
    let heard = ok(&format!("grep -oE '^(Deleted )?{index}: [^:@]*' /tmp/monitor | sort -u"));
    assert_eq!(heard, format!("{index}: eth3\nDeleted {index}: eth3"));
}

pub fn two_at_once_get_one_vf_once() {
    seven_vfs();
    let out = ok("for n in blue red; do $S attach 'eth0#1' --netns $n --name net1 > /tmp/$n.out 2>&1; echo $? > /tmp/$n.code & done; wait
        cat /tmp/blue.code /tmp/red.code; cat /tmp/blue.out /tmp/red.out");
    let (codes, said) = out.split_at(3);
    assert!(["0\n4", "4\n0"].contains(&codes), "{out}");
    assert!(said.contains("is already attached: manual has it as net1 in /run/netns/"), "{out}");
}

/// Forty processes take VFs from one pool and give them back, each writing down what it had.
pub fn a_pool_under_load_loses_none_and_gives_none_twice() {
    const SECONDS: u32 = 60;
    ok("for d in /sys/class/net/eth[012]/device; do echo 7 > $d/sriov_numvfs; done
        for n in $(seq 40); do ip netns add n$n; done; mkdir -p /tmp/load");
    let before = state();
    let work = || {
        ok(&format!(
            r#"end=$(( $(date +%s) + {SECONDS} ))
            worker() {{
                while [ $(date +%s) -lt $end ]; do
                    vf=$($S attach --pool eth0 --pool eth1 --pool eth2 --netns n$1 --name net1 --vlan $1 --json 2>> /tmp/load/err.$1 | sed -n 's/^  "device": "\(.*\)",/\1/p')
                    [ -n "$vf" ] || {{ sleep 0.$((RANDOM % 5 + 1)); continue; }}
                    echo "$(date +%s%N) + $vf $1" >> /tmp/load/log.$1
                    sleep 0.$((RANDOM % 3))
                    echo "$(date +%s%N) - $vf $1" >> /tmp/load/log.$1
                    until $S detach $vf >> /tmp/load/err.$1 2>&1; do echo "retry $vf" >> /tmp/load/retries; done
                done
            }}
            for n in $(seq 40); do worker $n & done; wait"#
        ));
        ok("cat /tmp/load/log.* | grep -c +").parse::<usize>().unwrap()
    };
    // A machine that is busy with other work comes only to each VF's first turn in one round.
    let rounds = (1..=5).find(|_| work() > 2 * 21).expect("VFs have a second turn in five rounds");
    let log = ok("cat /tmp/load/log.* | sort -n");
    let mut owners = std::collections::HashMap::new();
    let mut count = 0;
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (sign, vf, who) = (words[1], words[2], words[3]);
        if sign == "+" {
            count += 1;
            let former = owners.insert(vf, who);
            assert_eq!(former, None, "{vf} was given to {who} while another had it");
        } else {
            assert_eq!(owners.remove(vf), Some(who));
        }
    }
    println!(
        "    {count} allocations by 40 processes in {} s",
        u32::try_from(rounds).unwrap() * SECONDS
    );
    assert_restored(&before);
}

/// A process in a namespace without a name, whose pid is returned; another one stays in it.
fn a_namespace_of_two_processes() -> (String, String) {
    ok("unshare -n sh -c 'sleep 1000 & echo $! > /tmp/second.pid; exec sleep 999' > /dev/null 2>&1 &
        echo $! > /tmp/first.pid; cat /tmp/first.pid > /tmp/check.pids");
    eventually("both are there", || sh("test -s /tmp/second.pid").code == 0);
    ok("cat /tmp/second.pid >> /tmp/check.pids");
    let pids = (ok("cat /tmp/first.pid"), ok("cat /tmp/second.pid"));
    let own = ok("readlink /proc/self/ns/net");
    eventually("they have a namespace", || ok(&format!("readlink /proc/{}/ns/net", pids.1)) != own);
    pids
}

pub fn what_lives_in_a_namespace_is_not_taken_when_its_path_goes() {
    seven_vfs();
    let before = state();
    ok("rm -f /tmp/first.pid /tmp/second.pid");
    let (first, second) = a_namespace_of_two_processes();
    sriovctl(&["attach", "eth0#1", "--pid", &first, "--name", "net1"]).exits(0);
    ok(&format!("kill -9 {first}"));
    eventually("it has ended", || sh(&format!("test -e /proc/{first}/ns/net")).code != 0);
    ok("ip netns exec blue sleep 998 > /dev/null 2>&1 & echo $! >> /tmp/check.pids");
    let blue = "pgrep -f 'sleep 998' > /dev/null";
    eventually("a process is in blue", || sh(blue).code == 0);
    attach("eth0#2", &[]).exits(0);
    ok("ip netns del blue");
    let there = format!(
        "ls /proc/{second}/net/dev_snmp6/net1 && nsenter -t $(pgrep -f '^sleep 998') -n ip link show net1 > /dev/null"
    );
    let has_both = || sh(&there).code == 0;
    assert!(has_both(), "both have their VF");

    let entries = sriovctl(&["inspect-state", "--json"]).exits(0).json();
    assert!(entries["attachments"].as_array().unwrap().iter().all(|entry| entry["state"] == "ok"));
    sriovctl(&["inspect-state", "--repair"]).exits(0);
    sriovctl(&["detach", "--all-stale"]).exits(0);
    for vf in ["eth0#1", "eth0#2"] {
        sriovctl(&["attach", vf, "--netns", "red", "--name", "net1"])
            .exits(4)
            .says("already attached");
    }
    assert!(has_both(), "nobody took them away");
    sriovctl(&["detach", "eth0#1", "eth0#2"]).exits(0);
    assert_restored(&before);
}

pub fn a_namespace_made_anew_under_the_same_name_is_another() {
    seven_vfs();
    let before = state();
    attach("eth0#1", &["--vlan", "100"]).exits(0);
    let inode = "stat -L -c %i /run/netns/blue";
    let first = ok(inode);
    ok("ip netns del blue");
    // The kernel gives the number of a namespace that is gone to the next one.
    eventually("a namespace has its inode", || {
        ok(&format!("ip netns del blue 2> /dev/null; ip netns add blue; {inode}")) == first
    });
    let back = "test -d /sys/class/net/eth0/device/virtfn1/net";
    eventually("the VF is back", || sh(back).code == 0);
    attach("eth0#1", &[]).exits(0);
    sriovctl(&["detach", "eth0#1"]).exits(0);
    assert_restored(&before);
}

pub fn addresses_can_be_used_at_once() {
    seven_vfs();
    // Looked at in the same breath: a second later the probe for duplicates may be over.
    let seen = ok("ip -n blue link set lo up
        $S attach 'eth0#1' --netns blue --name net1 --address 10.0.0.1/24 --address fd00::1/64 > /dev/null
        ip -n blue addr show net1; ip netns exec blue ping -c1 -W1 10.0.0.1 > /dev/null");
    let v6 = seen.lines().find(|line| line.contains("fd00::1/64")).expect("the address");
    assert!(!v6.contains("tentative") || v6.contains("optimistic"), "{v6}");
    let ping = "ip netns exec blue ping -c1 -W1 fd00::1 > /dev/null";
    eventually("the probe is over, and found no duplicate", || sh(ping).code == 0);
    sriovctl(&["detach", "eth0#1"]).exits(0);
}

pub fn every_drift_is_told_and_set_again() {
    seven_vfs();
    let before = state();
    let args = [
        "--mac",
        "02:00:00:00:00:77",
        "--vlan",
        "100",
        "--mtu",
        "1400",
        "--address",
        "10.0.0.1/24",
    ];
    attach("eth0#1", &[&args[..], &["--gateway", "10.0.0.254"]].concat()).exits(0);
    ok("ip -n blue link set net1 down; ip -n blue link set net1 name other; ip -n blue link set other mtu 1300
        ip link set eth0 vf 1 mac 02:00:00:00:00:66; ip link set eth0 vf 1 vlan 7; ip -n blue addr flush dev other");
    let json = sriovctl(&["inspect-state", "--json"]).exits(6).json();
    let drift = json["attachments"][0]["drift"].as_array().unwrap().clone();
    let fields: Vec<&str> = drift.iter().map(|drift| drift["field"].as_str().unwrap()).collect();
    for field in ["name", "link", "MTU", "address", "setting", "administrative MAC"] {
        assert!(fields.contains(&field), "{field} is not among {fields:?}");
    }
    sriovctl(&["inspect-state", "--repair"]).exits(0);
    sriovctl(&["inspect-state"]).exits(0);
    assert!(ok("ip -n blue route").contains("default via 10.0.0.254 dev net1"));
    sriovctl(&["detach", "eth0#1"]).exits(0);
    assert_restored(&before);
}

pub fn the_printed_shell_of_detach_works() {
    seven_vfs();
    let before = state();
    attach("eth0#1", &["--vlan", "100", "--mac", "02:00:00:00:00:77"]).exits(0);
    let shell = sriovctl(&["detach", "eth0#1", "--dry-run"]).exits(0).out;
    ok(&format!("set -e\n{shell}"));
    let now = state();
    assert!(now == before, "{}", differences(&before, &now));
    sriovctl(&["detach", "eth0#1"]).exits(0);
    assert_restored(&before);
}

pub fn a_pf_that_is_away_keeps_the_record_and_is_named() {
    seven_vfs();
    let before = state();
    attach("eth0#1", &["--vlan", "100"]).exits(0);
    ok("ip link set eth0 netns red");
    let done = sriovctl(&["detach", "0000:01:10.2"]).exits(6);
    done.says("its PF has no interface on the host").says("its record is kept");
    ok("ip -n red link set eth0 netns 1; ip link set eth0 up");
    sriovctl(&["detach", "0000:01:10.2"]).exits(0);
    assert_restored(&before);
}
