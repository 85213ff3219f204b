//! ADD and DEL without end: no VF lost, nothing that grows.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::attach::{differences, records, state};
use super::cni::BIN;
use crate::guest::{SRIOVCTL, is_soak, ok};

/// Without a soak: as many as fit into this.
const SOME: Duration = Duration::from_secs(40);
const ALL: usize = 10_000;

/// What a call needed, and what there is of it on the machine afterwards.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// Largest resident set of the process in KiB.
    rss: u64,
    /// Largest number of its descriptor.
    descriptor: u64,
    /// Open files of the whole guest.
    files: u64,
    /// Memory of the kernel's own that it cannot give back, in KiB.
    unreclaimable: u64,
    /// Files below the state directory.
    kept: u64,
}

fn call(command: &str, nth: usize, device: &str) {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "blue", "type": "sriov", "deviceID": device, "vlan": 1 + nth % 4000,
    });
    // Two calls of an IPAM plugin take as long here as everything else.
    if nth.is_multiple_of(10) {
        config["ipam"] = json!({"type": "host-local", "subnet": "10.1.0.0/16"});
    }
    let mut child = Command::new(SRIOVCTL)
        .arg("cni")
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", format!("c{nth}"))
        .env("CNI_IFNAME", "net1")
        .env("CNI_NETNS", format!("/run/netns/n{}", nth % 21))
        .env("CNI_PATH", BIN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command} {nth}: {said}");
}

/// One ADD looked at closely, which is given back.
fn needs(device: &str) -> Needs {
    let out = ok(&format!(
        "export CNI_CONTAINERID=look CNI_IFNAME=net1 CNI_NETNS=/run/netns/n0 CNI_PATH={BIN}
        c='{{\"cniVersion\":\"1.1.0\",\"name\":\"blue\",\"type\":\"sriov\",\"deviceID\":\"{device}\"}}'
        CNI_COMMAND=ADD strace -f -o /tmp/trace $S cni <<< \"$c\" > /dev/null
        CNI_COMMAND=DEL $S cni <<< \"$c\"
        grep -oE ' = [0-9]+$' /tmp/trace > /dev/null
        grep -E ' (openat|socket|accept4|dup|pipe2|memfd_create)\\(' /tmp/trace | grep -oE '= [0-9]+' | cut -c3- | sort -n | tail -1
        cut -f1 /proc/sys/fs/file-nr
        awk '/SUnreclaim/ {{print $2}}' /proc/meminfo
        find /var/lib/cni -type f | wc -l"
    ));
    let numbers: Vec<u64> = out.lines().map(|line| line.trim().parse().unwrap()).collect();
    let [descriptor, files, unreclaimable, kept] = numbers[..] else { panic!("{out}") };
    Needs { rss: largest_of_children(), descriptor, files, unreclaimable, kept }
}

/// The largest resident set of all children so far, in KiB.
fn largest_of_children() -> u64 {
    let usage =
        nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    u64::try_from(usage.max_rss()).unwrap()
}

pub fn adds_and_dels() {
    ok(&format!(
        "for d in /sys/class/net/eth[012]/device; do echo 7 > $d/sriov_numvfs; done
        for n in $(seq 0 20); do ip netns add n$n; done; rm -rf /var/lib/cni/networks
        mkdir -p {BIN}; ln -sf $LAB_PROGRAMS/usr/lib/cni/host-local {BIN}/"
    ));
    let before = state();
    let devices = ok("cd /sys/bus/pci/devices; ls -d */physfn | cut -d/ -f1");
    let devices: Vec<&str> = devices.lines().collect();
    assert_eq!(devices.len(), 21);
    // Every VF once, so that what is made once is there.
    let pair = |nth: usize| {
        let device = devices[nth % devices.len()];
        call("ADD", nth, device);
        call("DEL", nth, device);
    };
    (0..21).for_each(pair);
    let first = needs(devices[0]);
    let begun = Instant::now();
    let mut pairs = 0;
    while pairs < ALL && (is_soak() || begun.elapsed() < SOME) {
        pair(21 + pairs);
        pairs += 1;
        // A soak that is cut off has shown something too.
        if pairs % 500 == 0 {
            println!("    {pairs} in {} s: {:?}", begun.elapsed().as_secs(), needs(devices[0]));
        }
    }
    let last = needs(devices[0]);
    println!(
        "    {pairs} ADDs and DELs on 21 VFs in {} s, of which none failed",
        begun.elapsed().as_secs()
    );
    println!("    first: {first:?}");
    println!("    last:  {last:?}");
    let now = state();
    assert!(now == before, "not as before:\n{}", differences(&before, &now));
    assert_eq!(records(), "");
    assert_eq!(last.descriptor, first.descriptor);
    assert_eq!(last.kept, first.kept, "{}", ok("find /var/lib/cni -type f"));
    assert!(last.rss <= first.rss + 256, "memory grows: {first:?} {last:?}");
    // What other programs of the guest open meanwhile, and what the kernel keeps for a while.
    assert!(last.files <= first.files + 64, "files stay open: {first:?} {last:?}");
    assert!(
        last.unreclaimable <= first.unreclaimable + 8192,
        "the kernel's memory: {first:?} {last:?}"
    );
}
