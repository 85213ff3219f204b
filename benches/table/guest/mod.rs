//! Inside the lab. One emulated processor, ten to twenty times as slow as a real one: only ratios and
//! counts mean anything elsewhere.

mod floor;
mod grow;
mod parallel;

use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

pub use self::parallel::sleeper;
use crate::measure::Program;
use crate::report::Row;

/// Where the plugins are.
const BIN: &str = "/run/cni-bin";
/// VFs of each PF, and PFs.
const VFS: usize = 7;
const PFS: usize = 3;

pub fn run(sriovctl: &str, floor: &str) -> ExitCode {
    let own = std::env::current_exe().expect("this program");
    sh(&format!(
        "for n in 0 1 2; do echo {VFS} > /sys/class/net/eth$n/device/sriov_numvfs; ip link set eth$n up; done
        for n in $(seq 0 20); do ip netns add n$n; done
        mkdir -p {BIN}; cp {sriovctl} {BIN}/sriovctl; cp {floor} {BIN}/floor; ln -s sriovctl {BIN}/sriov
        cp $LAB_PROGRAMS/usr/lib/cni/{{static,host-local}} {BIN}/; ln -s {own} {BIN}/sleeper",
        own = own.display()
    ));
    // The lab copies each line of the kernel's log to this machine, with the one processor that there is: while a call goes
    // on, when its interface moves, and for the floor after it has ended.
    let log = |signal: &str| sh(&format!("pkill -{signal} -f '^cat /dev/kmsg$'"));
    log("STOP");
    // From memory, as from a disk's cache: what the lab has of this machine comes through the emulator, page by page.
    let (sriovctl, floor) = (format!("{BIN}/sriovctl"), format!("{BIN}/floor"));
    let parts: [fn(&str, &str) -> Vec<Row>; 3] = [floor::rows, parallel::rows, grow::rows];
    for part in parts {
        part(&sriovctl, &floor).iter().for_each(Row::tell);
    }
    log("CONT");
    ExitCode::SUCCESS
}

/// Runs a shell command that must succeed, and returns its output.
fn sh(script: &str) -> String {
    let output = Command::new("bash").args(["-c", script]).output().expect("bash");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A call of a runtime, of VF `nth` of all, for container and namespace of that number.
fn call(command: &str, nth: usize, ipam: &Value) -> Program {
    let (pf, vf) = (nth / VFS, nth % VFS);
    // Routing ids 128 and up, by two: 10.0 to 10.6, then 11.0.
    let device = format!("0000:{:02x}:{:02x}.{}", pf + 1, 0x10 + vf / 4, vf % 4 * 2);
    of_device(command, nth, &device, ipam)
}

fn of_device(command: &str, nth: usize, device: &str, ipam: &Value) -> Program {
    // In a version that every IPAM plugin speaks: none is asked twice.
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "blue", "type": "sriov", "deviceID": device,
        "vlan": 100, "spoofchk": "off", "trust": "on", "mac": format!("02:00:00:00:00:{nth:02x}"),
    });
    if !ipam.is_null() {
        config["ipam"] = ipam.clone();
    }
    let file = format!("/tmp/config-{nth}");
    std::fs::write(&file, config.to_string()).expect("a configuration");
    Program::new([format!("{BIN}/sriov")])
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", format!("c{nth}"))
        .env("CNI_IFNAME", "net1")
        .env("CNI_NETNS", format!("/run/netns/n{nth}"))
        .env("CNI_PATH", BIN)
        .stdin(Path::new(&file))
}

/// How many system calls a program makes, which `before`, where that is not empty, starts traced.
fn system_calls(before: &[&str], program: &Program) -> usize {
    let traced = [before, &["strace", "-f", "-qq", "-o", "/tmp/trace"]].concat();
    let args = traced.into_iter().map(str::to_owned).chain(program.args.iter().cloned());
    Program { args: args.collect(), ..program.clone() }.time();
    let trace = std::fs::read_to_string("/tmp/trace").expect("a trace");
    let call = |line: &&str| !line.contains(" resumed>") && !line.contains("+++ ");
    trace.lines().filter(call).count()
}
