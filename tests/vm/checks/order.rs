//! Calls that meet, come twice or in another order than they should, and a clock that jumps.

use serde_json::{Value, json};

use super::attach::{assert_restored, differences, records, state};
use super::cni::{BIN, assert_clean, call, config, inside, node};
use crate::guest::{eventually, ok, sh, sriovctl};

fn of_vf() -> Value {
    config(json!({"deviceID": "0000:01:10.2", "vlan": 100}))
}

/// A call for the shell.
fn spoken(command: &str, container: &str, netns: &str, config: &Value) -> String {
    format!(
        "CNI_COMMAND={command} CNI_CONTAINERID={container} CNI_IFNAME=net1 CNI_NETNS=/run/netns/{netns} CNI_PATH={BIN} \
         {BIN}/sriov <<< '{config}'"
    )
}

/// Both at once: their exit codes and what they said.
fn at_once(first: &str, second: &str) -> (Vec<String>, String) {
    let out = ok(&format!(
        "({first}) > /tmp/first 2>&1 & a=$!; ({second}) > /tmp/second 2>&1 & b=$!
        wait $a; a=$?; wait $b; echo $a $?; cat /tmp/first /tmp/second"
    ));
    let (codes, said) = out.split_once('\n').unwrap_or((&out, ""));
    (codes.split(' ').map(str::to_owned).collect(), said.to_owned())
}

pub fn calls_that_meet() {
    node();
    let before = state();
    let (add, del) = (spoken("ADD", "c1", "blue", &of_vf()), spoken("DEL", "c1", "blue", &of_vf()));
    let other = spoken("ADD", "c2", "red", &of_vf());
    for _ in 0..4 {
        let (codes, said) = at_once(&add, &add);
        assert!(codes == ["0", "1"] || codes == ["1", "0"], "ADD twice: {codes:?} {said}");
        assert!(said.contains("has the attachment net1 already"), "{said}");
        call("CHECK", "c1", "blue", &of_vf()).exits(0);
        let (codes, said) = at_once(&del, &del);
        assert_eq!(codes, ["0", "0"], "DEL twice: {said}");
        assert_clean(&before);

        let (codes, said) = at_once(&add, &other);
        assert!(codes == ["0", "1"] || codes == ["1", "0"], "two ADDs: {codes:?} {said}");
        assert!(said.contains("is already allocated"), "{said}");
        at_once(&del, &spoken("DEL", "c2", "red", &of_vf()));
        assert_clean(&before);
    }
    // A DEL, and a GC that keeps nothing or everything, while the addresses of an ADD are awaited.
    ok(&format!(
        "printf '#!/bin/sh\\n[ $CNI_COMMAND = ADD ] && {{ : > /tmp/asked; until [ -e /tmp/go ]; do sleep 0.1; done; }}\\nexec {BIN}/host-local\\n' > {BIN}/slow
        chmod 755 {BIN}/slow"
    ));
    let mut slow = of_vf();
    slow["ipam"]["type"] = json!("slow");
    let gc = |valid: Value| {
        let mut gc = slow.clone();
        gc["cni.dev/valid-attachments"] = valid;
        spoken("GC", "", "blue", &gc)
    };
    for meanwhile in [
        spoken("DEL", "c1", "blue", &slow),
        gc(json!([])),
        gc(json!([{"containerID": "c1", "ifname": "net1"}])),
        "$S detach 0000:01:10.2".to_owned(),
        "ip netns del blue; ip netns add blue".to_owned(),
    ] {
        ok(&format!(
            "rm -f /tmp/asked /tmp/go; ({}) > /tmp/first 2>&1 & echo $! > /tmp/check.pids",
            spoken("ADD", "c1", "blue", &slow)
        ));
        eventually("its addresses are awaited", || sh("test -e /tmp/asked").code == 0);
        ok(&format!(
            "({meanwhile}) > /tmp/second 2>&1 & b=$!; sleep 0.5; : > /tmp/go; wait $b; true"
        ));
        eventually("ADD has ended", || sh("kill -0 $(cat /tmp/check.pids)").code != 0);
        // Whichever came first: it is whole or not there, and the runtime's DEL ends it.
        if !inside("blue").is_null() {
            call("CHECK", "c1", "blue", &slow).exits(0);
        }
        call("DEL", "c1", "blue", &slow).exits(0);
        assert_clean(&before);
    }
}

pub fn a_resize_beside_attachments() {
    ok("echo 4 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue");
    let (mut attached, mut resized) = (0, 0);
    for round in 0..8 {
        let before = state();
        let count = if round % 2 == 0 { 6 } else { 4 };
        let (codes, said) = at_once(
            "$S attach eth0#1 --netns blue --name net1 --vlan 9",
            &format!("$S set-numvfs eth0 {count}"),
        );
        attached += usize::from(codes[0] == "0");
        resized += usize::from(codes[1] == "0");
        // Never both: what is attached keeps the number as it is, and so does one under way.
        assert!(["0", "4"].contains(&codes[0].as_str()), "{codes:?} {said}");
        assert!(["0", "4"].contains(&codes[1].as_str()), "{codes:?} {said}");
        let now = ok("cat /sys/class/net/eth0/device/sriov_numvfs");
        assert_eq!(now == count.to_string(), codes[1] == "0", "{codes:?} {said}");
        if codes[0] == "0" {
            sriovctl(&["detach", "eth0#1"]).exits(0);
        }
        if codes[1] == "0" {
            assert_eq!(records(), "");
        } else {
            assert_restored(&before);
        }
        ok(&format!("$S set-numvfs eth0 {count} > /dev/null"));
    }
    println!("    8 times both: {attached} attached, {resized} resized");
}

/// Backwards by years, and forwards: nothing depends on it but the time that is shown.
pub fn a_clock_that_is_set() {
    node();
    let before = state();
    let today = ok("date +%s");
    for (first, then) in [("2035-01-01", "1999-12-31"), ("1975-01-01", "2037-12-31")] {
        ok(&format!("date -s {first}"));
        call("ADD", "c1", "blue", &of_vf()).exits(0);
        sriovctl(&["attach", "eth0#2", "--netns", "red"]).exits(0);
        ok(&format!("date -s {then}"));
        sriovctl(&["inspect-state"]).exits(0);
        sriovctl(&["list-vfs"]).exits(0);
        call("CHECK", "c1", "blue", &of_vf()).exits(0);
        let second = call("ADD", "c2", "red", &of_vf()).exits(1);
        assert!(second.out.contains("is already allocated"), "{}", second.out);
        // Our record is lost, and only the file for others tells of it, whose time is another.
        ok("rm /var/lib/cni/sriov/sriovctl/attached/pci-0000:01:10.2.json");
        call("DEL", "c1", "blue", &of_vf()).exits(0);
        assert!(inside("blue").is_null());
        sriovctl(&["detach", "eth0#2"]).exits(0);
        assert_clean(&before);
    }
    ok(&format!("date -s @{today}"));
}

/// Two hundred want one of twenty-one at the same time, and give it back at the same time.
pub fn two_hundred_at_once() {
    ok(&format!(
        "for d in /sys/class/net/eth[012]/device; do echo 7 > $d/sriov_numvfs; done
        for n in $(seq 200); do echo netns add n$n; done | sed 's/^netns //' | ip -batch - netns 2> /dev/null || for n in $(seq 200); do ip netns add n$n; done
        mkdir -p {BIN} /tmp/many; rm -f /tmp/many/*; ln -sf $S {BIN}/sriov"
    ));
    let before = state();
    let config = json!({"cniVersion": "1.1.0", "name": "blue", "type": "sriov", "pool": ["eth0", "eth1", "eth2"], "vlan": 7});
    let all = |command: &str| {
        ok(&format!(
            "for n in $(seq 200); do
                (CNI_COMMAND={command} CNI_CONTAINERID=p$n CNI_IFNAME=net1 CNI_NETNS=/run/netns/n$n CNI_PATH={BIN} \
                    {BIN}/sriov <<< '{config}' > /tmp/many/$n.out 2> /tmp/many/$n.err; echo $? > /tmp/many/$n.code) &
            done; wait; cat /tmp/many/*.code | sort | uniq -c"
        ))
    };
    let codes = all("ADD");
    let codes: Vec<&str> = codes.split_whitespace().collect();
    assert_eq!(
        codes,
        ["21", "0", "179", "1"],
        "{}",
        ok("cat /tmp/many/*.out | sort | uniq -c | sort -rn | head")
    );
    let given = ok("grep -ho 'pciID\":\"[^\"]*' /tmp/many/*.out | sort -u | wc -l");
    assert_eq!(given, "21", "each VF once");
    let refused = ok("grep -l '\"code\":11' /tmp/many/*.out | wc -l");
    assert_eq!(refused, "179", "the others are told to try again later");
    assert_eq!(all("DEL").split_whitespace().collect::<Vec<_>>(), ["200", "0"]);
    let now = state();
    assert!(now == before, "{}", differences(&before, &now));
    assert_eq!(records(), "");
}
