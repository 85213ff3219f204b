//! Doing one step on the kernel in memory.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use sriovctl::engine::attach::{Choice, attach};
use sriovctl::engine::bind::{Back, back, bind};
use sriovctl::engine::detach::detach;
use sriovctl::engine::numvfs::{self, Options};
use sriovctl::engine::state::{self, Verdict};
use sriovctl::engine::{Kernel, NetnsChoice, Silent};
use sriovctl::model::ids::{DeviceId, MacAddr};
use sriovctl::model::link::LinkState;
use sriovctl::model::plan::numvfs::Request;
use sriovctl::model::record::Owner;
use sriovctl::{Error, cni};

use super::super::kernel::{FakeKernel, PF, device_of, netns};
use super::steps::{Act, Ask, OfCall, Pick};

/// What it says: the VF that it chose, where it chose one; or everything of its error.
pub type Said = Result<Option<DeviceId>, String>;

fn text(error: &Error) -> String {
    format!("{}; {}", error.message(), error.detail_lines().join("; "))
}

pub fn perform(kernel: &FakeKernel, act: &Act) -> Said {
    let nothing = |()| None;
    match act {
        Act::Attach { of, ns, ask } => {
            let path = NetnsChoice::Named(netns(*ns).path);
            let at = kernel.find_netns(&path).map_err(|error| text(&error))?;
            let choice = match of {
                Pick::Vf(vf) => Choice::Vf(device_of(*vf).to_string().parse().unwrap()),
                Pick::Pool => Choice::AnyOf { pool: vec![PF.parse().unwrap()], numa: None },
            };
            let done = attach(kernel, &choice, &at, &ask.request(Owner::manual()), false, &Silent);
            done.map(|done| Some(done.record.device)).map_err(|error| text(&error))
        }
        Act::Detach(vf) => detach(kernel, &device_of(*vf), &|_| true, &Silent)
            .map(|_| None)
            .map_err(|error| text(&error)),
        Act::Add { of, of_call, ns, ask } => add(kernel, *of, *of_call, *ns, ask),
        Act::Del(of_call) => call(kernel, "DEL", Some(*of_call), None, json!({})).map(|_| None),
        Act::Check(of_call, ns) => {
            call(kernel, "CHECK", Some(*of_call), Some(*ns), json!({})).map(|_| None)
        }
        Act::Gc(keep) => {
            let stays: Vec<Value> = kept(*keep)
                .map(|of| json!({ "containerID": container(of), "ifname": ifname(of) }))
                .collect();
            call(kernel, "GC", None, None, json!({ "cni.dev/valid-attachments": stays }))
                .map(|_| None)
        }
        Act::Bind { vf, ask } => bind(kernel, &device_of(*vf), &ask.request(), &Silent)
            .map(|_| None)
            .map_err(|error| text(&error)),
        Act::Restore(vf) => back(kernel, &device_of(*vf), &Back::default(), &Silent)
            .map(|_| None)
            .map_err(|error| text(&error)),
        Act::Resize { count, force } => resize(kernel, *count, *force).map(nothing),
        Act::Repair { foreign } => repair(kernel, *foreign).map(nothing),
        Act::Other(_) => unreachable!("others do that"),
    }
}

/// What `set-numvfs` says; that not everything could be put back is an error here.
pub fn resize(kernel: &FakeKernel, count: u32, force: bool) -> Result<(), String> {
    let request = Request { count, driver: None, no_autoprobe: false, force };
    let options = Options { timeout: Duration::from_secs(5), wait: true };
    let report = numvfs::set(kernel, &PF.parse().unwrap(), &request, options, &Silent)
        .map_err(|error| text(&error))?;
    match report.problems.first() {
        None => Ok(()),
        Some(first) => Err(format!("it has a problem: {}", text(first))),
    }
}

/// As `inspect-state --repair`, which leaves what is foreign unless it is named.
pub fn repair(kernel: &FakeKernel, foreign: bool) -> Result<(), String> {
    let entries = state::examine(kernel).map_err(|error| text(&error))?;
    let mut problems = Vec::new();
    for entry in &entries {
        if foreign || !matches!(entry.verdict, Verdict::Foreign(_)) {
            let done = state::repair(kernel, entry, &Silent);
            problems.extend(done.err().map(|error| text(&error)));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn container(of: OfCall) -> String {
    format!("c{}", of.container)
}

fn ifname(of: OfCall) -> String {
    format!("net{}", of.ifname)
}

/// The attachments that GC is told to keep.
pub fn kept(bits: u8) -> impl Iterator<Item = OfCall> {
    let all = (0..3_u8).flat_map(|c| (0..2_u8).map(move |i| OfCall { container: c, ifname: i }));
    all.enumerate().filter(move |(n, _)| bits & (1 << n) != 0).map(|(_, of)| of)
}

impl OfCall {
    pub fn is_of(self, owner: &Owner) -> bool {
        owner.container.as_ref() == Some(&container(self))
            && owner.ifname.as_ref() == Some(&ifname(self))
    }
}

fn add(kernel: &FakeKernel, of: Pick, of_call: OfCall, ns: u64, ask: &Ask) -> Said {
    let on = |on: bool| if on { "on" } else { "off" };
    let has = &ask.settings;
    let mut config = json!({});
    match of {
        Pick::Vf(vf) => config["deviceID"] = device_of(vf).to_string().into(),
        Pick::Pool => config["pool"] = json!([PF]),
    }
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            config[key] = value;
        }
    };
    set("mac", ask.mac.map(|mac: MacAddr| mac.to_string().into()));
    set("mtu", ask.mtu.map(Into::into));
    set("vlan", has.vlan.map(|tag| tag.id.0.into()));
    set("trust", has.trust.map(|is| on(is).into()));
    set("spoofchk", has.spoofchk.map(|is| on(is).into()));
    set("max_tx_rate", has.max_tx_rate.map(Into::into));
    let state = |state| match state {
        LinkState::Enable => "enable",
        LinkState::Disable => "disable",
        LinkState::Auto => "auto",
    };
    set("link_state", has.link_state.map(|is| state(is).into()));
    set("driver", ask.driver.map(Into::into));
    let answer = call(kernel, "ADD", Some(of_call), Some(ns), config)?;
    let pci = answer["interfaces"][0]["pciID"].as_str().map(|pci| pci.parse().unwrap());
    Ok(pci)
}

fn call(
    kernel: &FakeKernel,
    command: &str,
    of: Option<OfCall>,
    ns: Option<u64>,
    mut config: Value,
) -> Result<Value, String> {
    config["cniVersion"] = "1.1.0".into();
    config["name"] = "blue".into();
    config["type"] = "sriov".into();
    config["logFile"] = "/dev/null".into();
    let env = |name: &str| match name {
        "CNI_COMMAND" => Some(command.to_owned()),
        "CNI_CONTAINERID" => of.map(container),
        "CNI_IFNAME" => of.map(ifname),
        "CNI_NETNS" => ns.map(|ns| netns(ns).path),
        "CNI_PATH" => Some("/nowhere".to_owned()),
        _ => None,
    };
    let mut out = Vec::new();
    let code = cni::run(&env, &mut config.to_string().as_bytes(), &mut out, kernel);
    let answer = serde_json::from_slice(&out).unwrap_or(Value::Null);
    if code == ExitCode::SUCCESS { Ok(answer) } else { Err(answer.to_string()) }
}
