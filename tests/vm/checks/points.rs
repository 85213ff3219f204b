//! Every call by which the program changes something: killed there, and failing there, for each
//! operation. What a node would do next must lead back to how everything was.

use std::collections::BTreeMap;

use serde_json::Value;

use super::attach::{differences, records, state};
use super::cni::{allocations, leases};
use crate::guest::{SRIOVCTL, is_soak, ok, sh};
use crate::inject::{Fault, Invocation, run};
use crate::table::{Row, row};

/// Errors that any call may give; each point gets one of them, in turn (all of them in a soak).
const ERRORS: [(&str, i32); 5] =
    [("EIO", 5), ("ENOSPC", 28), ("ENOMEM", 12), ("EINTR", 4), ("EBUSY", 16)];

/// An operation, and how a node goes on after it was cut off.
struct Operation {
    name: &'static str,
    /// Before each run.
    before: &'static str,
    command: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    stdin: &'static str,
    /// What is tried in turn after a kill.
    next: &'static [&'static str],
    /// What ends it, if it was done.
    undo: &'static str,
    /// Whether it gives something back: then a failed one is done again, else nothing is left of it.
    gives_back: bool,
    /// How it says that it was done though something else failed.
    done_but: Option<&'static str>,
}

const CONFIG: &str = r#"{"cniVersion":"1.1.0","name":"blue","type":"sriov","deviceID":"0000:01:10.2","vlan":100,
    "mac":"02:00:00:00:00:77","trust":"on","mtu":1400,"cni.dev/valid-attachments":[],"ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}"#;
const CNI_ENV: [(&str, &str); 4] = [
    ("CNI_CONTAINERID", "c1"),
    ("CNI_IFNAME", "net1"),
    ("CNI_NETNS", "/run/netns/blue"),
    ("CNI_PATH", "/run/cni-bin"),
];
const ADD: &str = "cni ADD > /dev/null";
const ATTACH: [&str; 18] = [
    SRIOVCTL,
    "attach",
    "eth0#1",
    "--netns",
    "blue",
    "--name",
    "net1",
    "--mac",
    "02:00:00:00:00:77",
    "--vlan",
    "100",
    "--trust",
    "on",
    "--mtu",
    "1400",
    "--address",
    "10.0.0.1/24",
    "--json",
];
const ATTACHED: &str = "$S attach eth0#1 --netns blue --name net1 --mac 02:00:00:00:00:77 --vlan 100 --trust on --mtu 1400 \
    --address 10.0.0.1/24 > /dev/null";
const DETACH: &str = "$S detach eth0#1 > /dev/null 2>&1; true";
const BOUND: &str = "$S bind-dpdk eth0#1 --vlan 7 --owner 4711 > /dev/null";
const RESTORE: &str = "$S bind-dpdk --restore eth0#1 > /dev/null 2>&1; true";
const DEL: &str = "cni DEL";
const GC: &str = "cni GC";
const REPAIR: &str = "$S inspect-state --repair > /dev/null";

/// `cni COMMAND` for the shell, with the configuration that all of them have.
fn with_cni(script: &str) -> String {
    let env: Vec<String> = CNI_ENV.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("cni() {{ CNI_COMMAND=$1 {} $S cni <<< '{CONFIG}'; }}; {script}", env.join(" "))
}

/// Four VFs on eth0, one with settings and names of its own, and what the CNI calls need.
fn node() -> Value {
    ok("echo 4 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue; modprobe vfio-pci
        mkdir -p /run/cni-bin; ln -sf $LAB_PROGRAMS/usr/lib/cni/host-local /run/cni-bin/; rm -rf /var/lib/cni/networks
        for n in 0 1 2 3; do
            d=$(ls /sys/class/net/eth0/device/virtfn$n/net)
            ip link set dev $d address 02:00:00:00:01:0$n; ip link set eth0 vf $n mac 02:00:00:00:01:0$n
        done
        d=$(ls /sys/class/net/eth0/device/virtfn1/net); ip link property add dev $d altname one
        ip link set eth0 vf 1 vlan 50; ip link set $d mtu 1450 up");
    state()
}

#[track_caller]
fn assert_as_before(before: &Value, what: &str) {
    let now = state();
    assert!(now == *before, "{what}: not as before:\n{}", differences(before, &now));
    let left = records() + &leases() + &allocations();
    assert_eq!(left, "", "{what}: left behind");
}

impl Operation {
    fn invocation(&self) -> Invocation<'_> {
        let command = self.name.strip_prefix("cni ").map(|name| ("CNI_COMMAND", name.to_owned()));
        let env = self.env.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let env = env.chain(command).collect();
        Invocation { args: self.command, env, stdin: self.stdin.to_owned() }
    }

    /// A row of the table at the end. Whatever is not as before has failed the check already.
    fn report(&self, fault: &'static str, points: usize, cases: usize, how: String) {
        let name = self.name;
        row(&Row { name: name.into(), fault: fault.into(), points, cases, dirty: 0, left: 0, how });
    }

    /// Killed before each change that it makes.
    fn killed(&self) {
        let before = node();
        let mut killed = 0;
        loop {
            ok(&with_cni(self.before));
            let traced = run(&self.invocation(), Some((killed, Fault::Kill)));
            let at = traced.points.last().cloned().unwrap_or_default();
            let what = format!("{} killed at {killed}, {at}", self.name);
            if !traced.killed {
                assert_eq!(traced.code, 0, "{what}: {}{}", traced.out, traced.err);
                sh(&with_cni(self.undo));
                assert_as_before(&before, &what);
                break;
            }
            let next = self.next[killed % self.next.len()];
            let done = sh(&with_cni(next));
            assert_eq!(done.code, 0, "{what}, then {next}: {}{}", done.out, done.err);
            sh(&with_cni(self.undo));
            assert_as_before(&before, &format!("{what}, then {next}"));
            killed += 1;
        }
        self.report("killed", killed, killed, String::new());
        assert!(killed >= 20, "only {killed} points");
    }

    /// Each call that changes or asks something fails once.
    fn failing(&self) {
        let before = node();
        ok(&with_cni(self.before));
        let points = run(&self.invocation(), None).points;
        sh(&with_cni(self.undo));
        assert_as_before(&before, self.name);
        let (mut refused, mut absorbed) = (0, 0);
        let mut said: BTreeMap<String, usize> = BTreeMap::new();
        let turns = if is_soak() { ERRORS.len() } else { 1 };
        let cases = (0..points.len()).flat_map(|nth| (0..turns).map(move |turn| (nth, turn)));
        for (nth, turn) in cases {
            let (word, errno) = ERRORS[(nth + turn) % ERRORS.len()];
            ok(&with_cni(self.before));
            let traced = run(&self.invocation(), Some((nth, Fault::Fail(errno))));
            let at = traced.points.get(nth).cloned().unwrap_or_default();
            let what = format!("{}: {word} at {nth}, {at}", self.name);
            let text = format!("{}{}", traced.out, traced.err);
            if traced.code == 0 {
                absorbed += 1;
                sh(&with_cni(self.undo));
            } else {
                refused += 1;
                assert!((1..=7).contains(&traced.code), "{what}: exit {}: {text}", traced.code);
                // Some steps are about no device but about all of them.
                let is_named =
                    ["0000:01:10.2", "eth0", "/var/lib/", "/run/", "/sys/", "/proc/", "listing "];
                assert!(is_named.iter().any(|name| text.contains(name)), "{what}: {text}");
                *said.entry(text.lines().next().unwrap_or_default().to_owned()).or_default() += 1;
                if self.done_but.is_some_and(|said| text.contains(said)) {
                    sh(&with_cni(self.undo));
                } else if self.gives_back {
                    let again = run(&self.invocation(), None);
                    assert_eq!(again.code, 0, "{what}, then again: {}{}", again.out, again.err);
                }
            }
            assert_as_before(&before, &what);
        }
        let how = format!("{refused} refused, {absorbed} done all the same");
        self.report("failing", points.len(), refused + absorbed, how);
        if is_soak() {
            for (text, count) in said {
                println!("      {count:>3} {text}");
            }
        }
    }
}

const CALLS: [Operation; 7] = [
    Operation {
        name: "cni ADD",
        before: "",
        command: &[SRIOVCTL, "cni"],
        env: &CNI_ENV,
        stdin: CONFIG,
        next: &[DEL, GC, REPAIR],
        undo: DEL,
        gives_back: false,
        done_but: None,
    },
    Operation {
        name: "cni DEL",
        before: ADD,
        command: &[SRIOVCTL, "cni"],
        env: &CNI_ENV,
        stdin: CONFIG,
        next: &[DEL, GC, REPAIR],
        undo: DEL,
        gives_back: true,
        done_but: None,
    },
    Operation {
        name: "attach",
        before: "",
        command: &ATTACH,
        env: &[],
        stdin: "",
        next: &[REPAIR, DETACH],
        undo: DETACH,
        gives_back: false,
        done_but: None,
    },
    Operation {
        name: "detach",
        before: ATTACHED,
        command: &[SRIOVCTL, "detach", "eth0#1"],
        env: &[],
        stdin: "",
        next: &[DETACH, REPAIR],
        undo: DETACH,
        gives_back: true,
        done_but: None,
    },
    Operation {
        name: "bind-dpdk",
        before: "",
        command: &[SRIOVCTL, "bind-dpdk", "eth0#1", "--vlan", "7", "--owner", "4711"],
        env: &[],
        stdin: "",
        next: &[REPAIR, RESTORE],
        undo: RESTORE,
        gives_back: false,
        done_but: None,
    },
    Operation {
        name: "bind-dpdk --restore",
        before: BOUND,
        command: &[SRIOVCTL, "bind-dpdk", "--restore", "eth0#1"],
        env: &[],
        stdin: "",
        next: &[RESTORE, REPAIR],
        undo: RESTORE,
        gives_back: true,
        done_but: None,
    },
    Operation {
        name: "set-numvfs",
        before: "",
        command: &[SRIOVCTL, "set-numvfs", "eth0", "6", "--force"],
        env: &[],
        stdin: "",
        next: &[REPAIR],
        undo: "$S set-numvfs eth0 4 --force > /dev/null",
        gives_back: false,
        done_but: Some("eth0 has its 6 VFs, but not all of it was done"),
    },
];

pub fn add_killed() {
    CALLS[0].killed();
}
pub fn del_killed() {
    CALLS[1].killed();
}
pub fn attach_killed() {
    CALLS[2].killed();
}
pub fn detach_killed() {
    CALLS[3].killed();
}
pub fn bind_killed() {
    CALLS[4].killed();
}
pub fn restore_killed() {
    CALLS[5].killed();
}
pub fn set_numvfs_killed() {
    CALLS[6].killed();
}
pub fn add_failing() {
    CALLS[0].failing();
}
pub fn del_failing() {
    CALLS[1].failing();
}
pub fn attach_failing() {
    CALLS[2].failing();
}
pub fn detach_failing() {
    CALLS[3].failing();
}
pub fn bind_failing() {
    CALLS[4].failing();
}
pub fn restore_failing() {
    CALLS[5].failing();
}
pub fn set_numvfs_failing() {
    CALLS[6].failing();
}
