//! What a call costs, counted: system calls, netlink messages, syncs of the disk, namespaces entered. Counts are the
//! same on every machine, which times are not.

use std::collections::BTreeMap;

use serde_json::json;

use super::cni::{BIN, node};
use crate::guest::ok;

/// How many of each kind a command made.
struct Counts(BTreeMap<String, usize>);

impl Counts {
    /// Of a shell command, whose last program is counted.
    fn of(command: &str) -> Self {
        ok(&format!(
            "rm -f /tmp/trace; {}",
            command.replace("TRACED", "strace -f -qq -o /tmp/trace")
        ));
        let trace = std::fs::read_to_string("/tmp/trace").unwrap();
        let mut counts = BTreeMap::new();
        for line in trace.lines() {
            let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
            // A call that was interrupted by another thread's is told twice; F_GETFD is a check of builds for tests.
            let is_new =
                !call.starts_with('<') && !call.starts_with('+') && !call.contains("F_GETFD");
            if let (true, Some((name, _))) = (is_new, call.split_once('(')) {
                *counts.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        Self(counts)
    }

    fn all(&self) -> usize {
        self.0.values().sum()
    }

    fn some(&self, names: &[&str]) -> usize {
        names.iter().filter_map(|name| self.0.get(*name)).sum()
    }

    fn print(&self, what: &str) {
        let mut kinds: Vec<_> = self.0.iter().collect();
        kinds.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
        let most: Vec<String> =
            kinds.iter().take(9).map(|(name, count)| format!("{name} {count}")).collect();
        println!(
            "    {what:<9} {:>4} system calls, {:>2} netlink messages, {} fsyncs, {} calls of setns; {}",
            self.all(),
            self.some(&["sendto"]),
            self.some(&["fsync", "fdatasync"]),
            self.some(&["setns"]),
            most.join(", ")
        );
    }

    #[track_caller]
    fn at_most(&self, what: &str, [all, messages, syncs, moves]: [usize; 4]) {
        self.print(what);
        let has = [
            self.all(),
            self.some(&["sendto"]),
            self.some(&["fsync", "fdatasync"]),
            self.some(&["setns"]),
        ];
        let names = ["system calls", "netlink messages", "fsyncs", "calls of setns"];
        for ((has, most), name) in has.into_iter().zip([all, messages, syncs, moves]).zip(names) {
            assert!(has <= most, "{what} needs {has} {name}; it was {most}: {:?}", self.0);
        }
    }
}

fn call(command: &str) -> String {
    let of_vf = json!({
        "cniVersion": "1.1.0", "name": "blue", "type": "sriov", "deviceID": "0000:01:10.2",
        "vlan": 100, "trust": "on", "spoofchk": "off",
    });
    format!(
        "export CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/blue CNI_PATH={BIN}
        CNI_COMMAND={command} TRACED $S cni <<< '{of_vf}' > /dev/null"
    )
}

pub fn calls_cost_no_more_than_they_did() {
    node();
    // Once, so that what is made once is there.
    ok(&call("ADD").replace("TRACED", ""));
    ok(&call("DEL").replace("TRACED", ""));
    let add = Counts::of(&call("ADD"));
    let del = Counts::of(&call("DEL"));
    let version = Counts::of("CNI_COMMAND=VERSION TRACED $S cni < /dev/null > /dev/null");
    let list = Counts::of("TRACED $S list-vfs > /dev/null");
    add.at_most("ADD", ADD);
    del.at_most("DEL", DEL);
    version.at_most("VERSION", VERSION);
    list.at_most("list-vfs", LIST);
    // What a call needs does not grow with the VFs there are.
    ok(
        "echo 0 > /sys/class/net/eth0/device/sriov_numvfs; echo 7 > /sys/class/net/eth0/device/sriov_numvfs",
    );
    let more = Counts::of(&call("ADD"));
    Counts::of(&call("DEL"));
    assert!(more.all() <= add.all() + 6, "{} with 7 VFs, {} with 4", more.all(), add.all());
    // To find one of a pool: the interfaces of the host, names of records, a PF, two links for each VF.
    let of_pool = call("ADD").replace(r#""deviceID":"0000:01:10.2""#, r#""pool":["eth0"]"#);
    let pool = Counts::of(&of_pool);
    Counts::of(&call("DEL"));
    pool.print("ADD, pool");
    assert!(pool.all() <= more.all() + 36, "{} of a pool, {} of one VF", pool.all(), more.all());
}

/// System calls, netlink messages, fsyncs, calls of setns: in and out again, and once to see that it may come out.
const ADD: [usize; 4] = [120, 9, 2, 3];
const DEL: [usize; 4] = [132, 11, 0, 3];
const VERSION: [usize; 4] = [18, 0, 0, 0];
const LIST: [usize; 4] = [135, 4, 0, 0];
