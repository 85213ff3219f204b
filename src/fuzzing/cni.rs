//! Calls of a container runtime, on the kernel in memory.
//!
//! An input is a few calls, with a line `---` between each two. A call is `NAME=VALUE` lines of its
//! environment, an empty line, and the configuration. Among the variables may stand `refuse N ERRNO`:
//! the call's N-th step is refused.
#![allow(clippy::cast_possible_truncation)] // numbers of VFs are small

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::Value;

use self::kernel::{FakeKernel, Faults, World};
use crate::cni;

#[allow(dead_code, missing_docs, reason = "it belongs to tests, which use other parts of it")]
#[path = "../../tests/faults/kernel.rs"]
pub(super) mod kernel;

/// Containers' namespaces.
const NAMESPACES: [u64; 2] = [100, 200];
/// No input needs more.
const MOST_CALLS: usize = 8;

/// A history of calls.
pub fn check(data: &[u8]) {
    let calls: Vec<Call<'_>> = split(data, b"\n---\n").map(Call::read).take(MOST_CALLS).collect();
    // These write where the configuration says: a fuzzer would write all over the disk.
    if calls.iter().any(Call::writes) {
        return;
    }
    let told = history(&calls);
    assert_eq!(history(&calls), told, "the same calls, another outcome");
    for call in &calls {
        cni::fuzzing::reply(call.stdin);
    }
}

struct Call<'a> {
    env: BTreeMap<String, String>,
    refuse: Option<(usize, i32)>,
    stdin: &'a [u8],
}

impl<'a> Call<'a> {
    fn read(text: &'a [u8]) -> Self {
        let mut parts = split(text, b"\n\n");
        let head = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let start = text.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2);
        let mut env = BTreeMap::new();
        let mut refuse = None;
        for line in head.lines() {
            if let Some((name, value)) = line.split_once('=') {
                env.insert(name.to_owned(), value.to_owned());
            } else if let Some((nth, errno)) =
                line.strip_prefix("refuse ").and_then(|rest| rest.split_once(' '))
            {
                refuse = nth.parse().ok().zip(errno.parse().ok().filter(|e| (1..134).contains(e)));
            }
        }
        // Nor may a fuzzer start programs.
        if env.get("CNI_PATH").is_none_or(|path| !path.is_empty()) {
            env.insert("CNI_PATH".to_owned(), "/nowhere".to_owned());
        }
        Self { env, refuse, stdin: start.map_or(&[], |start| &text[start..]) }
    }

    fn is(&self, command: &str) -> bool {
        self.env.get("CNI_COMMAND").is_some_and(|is| is == command)
    }

    fn writes(&self) -> bool {
        let config: Value = serde_json::from_slice(self.stdin).unwrap_or_default();
        ["logFile", "syslog"].iter().any(|key| config.get(key).is_some())
    }

    /// Its standard output, and whether it succeeded.
    fn make(&self, kernel: &FakeKernel) -> (String, bool) {
        kernel.begin_with(Faults { refuse: self.refuse, ..Faults::default() });
        let mut out = Vec::new();
        let get = |name: &str| self.env.get(name).cloned();
        let code = cni::run(&get, &mut &*self.stdin, &mut out, kernel);
        let succeeded = code == ExitCode::SUCCESS;
        assert!(succeeded || code == ExitCode::FAILURE, "{code:?}");
        (String::from_utf8(out).expect("what is printed is UTF-8"), succeeded)
    }
}

fn split<'a>(data: &'a [u8], by: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let all = rest?;
        let at = all.windows(by.len()).position(|part| part == by);
        rest = at.map(|at| &all[at + by.len()..]);
        Some(at.map_or(all, |at| &all[..at]))
    })
}

fn fresh() -> FakeKernel {
    let kernel = FakeKernel::with_vfs(4);
    kernel.add_second_port(0);
    {
        let mut world = kernel.world.borrow_mut();
        for inode in NAMESPACES {
            world.namespaces.insert(inode, ["lo".to_owned(), "eth0".to_owned()].into());
        }
        world.host_others.insert("eth0".to_owned());
    }
    kernel
}

/// All that a call may change: the world, records, what other plugins were told.
#[derive(Debug, PartialEq)]
struct State {
    world: World,
    records: Vec<String>,
    told: Vec<String>,
}

fn state(kernel: &FakeKernel) -> State {
    let mut world = kernel.world();
    for vf in world.vfs.values_mut() {
        // A driver that is bound anew makes up another MAC.
        if let Some(netdev) = &mut vf.netdev
            && netdev.mac.0.starts_with(&[0xf2, 0xaa])
        {
            netdev.mac.0 = [0xf2, 0xaa, 0, 0, 0, 0];
        }
    }
    let records = kernel.records.borrow();
    let bindings = kernel.bindings.borrow();
    State {
        world,
        records: records
            .iter()
            .map(|(device, (done, record))| format!("{device} {done} {record:?}"))
            .chain(bindings.keys().map(|device| format!("binding {device}")))
            .collect(),
        told: kernel.neighbours.borrow().iter().map(|found| found.path.clone()).collect(),
    }
}

/// Makes the calls, and then gives back whatever is attached.
fn history(calls: &[Call<'_>]) -> Vec<(String, bool)> {
    let kernel = fresh();
    let untouched = state(&kernel);
    let mut all_told = Vec::new();
    for call in calls {
        let before = state(&kernel);
        let (out, succeeded) = call.make(&kernel);
        let document = document(&out);
        shape(call, document.as_ref(), succeeded);
        let changes = ["ADD", "DEL", "GC"].iter().any(|command| call.is(command));
        let failed_add = call.is("ADD") && !succeeded;
        // One refusal may be met on the way back too: then the record is kept, and the end of the
        // history shows that nothing is lost.
        let is_partial =
            call.refuse.is_some() && kernel.records.borrow().len() > before.records.len();
        if !changes || (failed_add && !is_partial) {
            assert_eq!(state(&kernel), before, "{out}");
        }
        all_told.push((out, succeeded));
    }
    give_back(&kernel);
    assert_eq!(state(&kernel), untouched, "after {all_told:?}");
    all_told
}

fn document(out: &str) -> Option<Value> {
    assert!(out.is_empty() || out.find('\n') == Some(out.len() - 1), "no single line: {out:?}");
    (!out.is_empty()).then(|| serde_json::from_str(out).expect("one JSON document"))
}

fn shape(call: &Call<'_>, document: Option<&Value>, succeeded: bool) {
    let Some(document) = document else {
        assert!(succeeded && !call.is("ADD") && !call.is("VERSION"), "nothing is said");
        return;
    };
    let version = document["cniVersion"].as_str();
    assert!(version.is_some(), "{document}");
    if !succeeded {
        assert!(document["code"].as_u64().is_some_and(|code| code > 0), "{document}");
        assert!(document["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{document}");
    } else if call.is("ADD") {
        assert!(document.get("code").is_none() && document["dns"].is_object(), "{document}");
    } else {
        assert!(call.is("VERSION"), "{document}");
    }
}

/// What a runtime does at last: DEL of each attachment.
fn give_back(kernel: &FakeKernel) {
    let owners: Vec<_> =
        kernel.records.borrow().values().map(|(_, record)| record.owner.clone()).collect();
    for owner in owners {
        let of = |value: Option<String>| value.expect("only runtimes made records here");
        let text = format!(
            "CNI_COMMAND=DEL\nCNI_CONTAINERID={}\nCNI_IFNAME={}\n\n\
             {{\"cniVersion\":\"1.0.0\",\"name\":\"blue\",\"type\":\"sriov\"}}",
            of(owner.container),
            of(owner.ifname)
        );
        let (out, succeeded) = Call::read(text.as_bytes()).make(kernel);
        assert!(succeeded, "{out}");
    }
}
