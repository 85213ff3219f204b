//! `attach`.

use std::io::Write;

use serde::Serialize;

use super::console::{Bar, Console};
use super::say::line;
use super::{StepView, must_be_of_one, netns_choice, settings, step_views, write_json, writing};
use crate::cli::Attach;
use crate::engine::attach::{self as engine, Attached, Choice};
use crate::engine::store::Store;
use crate::engine::{Kernel, NetnsChoice, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::facts::Scope;
use crate::model::ids::Cidr;
use crate::model::plan::attach::Request;
use crate::model::record::Owner;
use crate::model::step::{IpConfig, Route, RouteOptions};
use crate::model::text::shell_word;

/// The JSON document, see `schemas/attach.schema.json`.
#[derive(Serialize)]
struct View {
    schema_version: u32,
    changed: bool,
    dry_run: bool,
    vf: String,
    device: String,
    pf: Option<String>,
    netns: String,
    netns_inode: u64,
    ifname: Option<String>,
    mac: Option<String>,
    mtu: Option<u32>,
    device_node: Option<String>,
    addresses: Vec<String>,
    already_so: Vec<String>,
    steps: Vec<StepView>,
}

/// Attaches, and says where the device is now.
pub fn run<K: Kernel + Store + Surroundings>(
    args: &Attach,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<()> {
    let request = request(args)?;
    let choice = choice(args, kernel, console)?;
    let namespace = match netns_choice(&args.target) {
        Some(namespace) => namespace,
        None => ask_for_netns(kernel, console)?,
    };
    let netns = kernel.find_netns(&namespace)?;
    let bar = Bar::new(console);
    let done = engine::attach(kernel, &choice, &netns, &request, args.dry_run, &bar);
    bar.clear();
    let done = done?;
    let pf = done.seen.pf_netdev.clone().unwrap_or_default();
    let steps = step_views(&done.steps, &done.name, &pf);
    if args.json {
        return write_json(out, &view(args, &done, steps));
    }
    let mut write = || -> std::io::Result<()> {
        if args.dry_run {
            line!(out, "# {} -> {}; nothing was changed", done.name, netns.path)?;
            return steps.iter().try_for_each(|step| line!(out, "{}", step.shell));
        }
        match done.record.ifname.as_str() {
            "" => line!(out, "{} is recorded for {}", done.name, netns.path)?,
            name => line!(out, "{} is {name} in {}", done.name, netns.path)?,
        }
        let set = done.record.wanted.settings.iter().map(ToString::to_string);
        let set: Vec<String> = set.filter(|text| !done.already_so.contains(text)).collect();
        for (what, list) in [("set", &set), ("was so already", &done.already_so)] {
            if !list.is_empty() {
                line!(out, "  {what}: {}", list.join(", "))?;
            }
        }
        line!(out, "  get it back: sriovctl detach {}", shell_word(&done.name))
    };
    write().map_err(|error| writing(&error))
}

fn view(args: &Attach, done: &Attached, steps: Vec<StepView>) -> View {
    let link = done.seen.link.as_ref().map(|(_, link)| link);
    let record = &done.record;
    View {
        schema_version: 1,
        changed: true,
        dry_run: args.dry_run,
        vf: done.name.clone(),
        device: record.device.to_string(),
        pf: done.seen.pf_netdev.clone(),
        netns: record.netns.path.clone(),
        netns_inode: record.netns.inode,
        ifname: Some(record.ifname.clone()).filter(|name| !name.is_empty()),
        mac: record.wanted.mac.or(link.and_then(|link| link.mac)).map(|mac| mac.to_string()),
        mtu: record.wanted.mtu.or(link.and_then(|link| link.mtu)),
        device_node: done.seen.node.clone(),
        addresses: record.wanted.config.addresses.iter().map(ToString::to_string).collect(),
        already_so: done.already_so.clone(),
        steps,
    }
}

fn request(args: &Attach) -> Result<Request> {
    let usage = |text: String| Err(Error::new(Kind::Usage, text));
    must_be_of_one(args.mac, "an interface")?;
    let settings = settings(&args.tag, &args.port)?;
    let has = |v4: bool| args.address.iter().any(|cidr| cidr.address.is_ipv4() == v4);
    if args.mtu.is_some_and(|mtu| mtu < 1280) && has(false) {
        return usage("IPv6 needs an MTU of at least 1280 (RFC 8200, section 5)".to_owned());
    }
    let mut routes = Vec::new();
    for gateway in &args.gateway {
        if !has(gateway.is_ipv4()) {
            return usage(format!(
                "the gateway {gateway} needs an address of its own kind (--address)"
            ));
        }
        let everything = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        let to: Cidr = everything.parse().map_err(|e| Error::new(Kind::Failed, format!("{e}")))?;
        let options = RouteOptions::default();
        routes.push(Route { to, via: Some(*gateway), options });
    }
    routes.extend(args.route.iter().cloned());
    Ok(Request {
        owner: Owner { container: args.target.container.clone(), ..Owner::manual() },
        name: args.name.clone(),
        mac: args.mac,
        mtu: args.mtu,
        settings,
        config: IpConfig { addresses: args.address.clone(), routes },
        told: Vec::new(),
        driver: None,
    })
}

fn choice<K: Kernel>(args: &Attach, kernel: &K, console: &Console) -> Result<Choice> {
    let any_of = |pool: Vec<_>| Choice::AnyOf { pool, numa: args.numa };
    Ok(match (&args.vf, &args.pf) {
        (Some(pf), _) if args.pf_only => Choice::Pf(pf.clone()),
        (Some(vf), _) => Choice::Vf(vf.clone()),
        (None, Some(pf)) => any_of(vec![pf.clone()]),
        (None, None) if !args.pool.is_empty() => any_of(args.pool.clone()),
        (None, None) => ask_for_vf(kernel, console)?,
    })
}

fn missing(what: &str, hint: &str) -> Error {
    Error::new(Kind::Usage, format!("{what} is missing")).hint(hint)
}

fn ask_for_vf<K: Kernel>(kernel: &K, console: &Console) -> Result<Choice> {
    if !console.can_ask() {
        return Err(missing("the VF", "name one, or take any free one: --pf PF"));
    }
    let inventory = kernel.observe(Scope::default())?;
    let free: Vec<_> = inventory.vfs().filter(|(_, vf)| vf.users.is_empty()).collect();
    if free.is_empty() {
        return Err(Error::new(Kind::Busy, "no VF is free")
            .hint("see who has which: sriovctl list-vfs --in-use"));
    }
    let line = |(pf, vf): &(&crate::model::inventory::Pf, &crate::model::inventory::Vf)| {
        let numa = pf.facts.numa_node.map(|node| format!("  NUMA {node}")).unwrap_or_default();
        let driver = vf.facts.driver.as_deref().unwrap_or("no driver");
        let pci = vf.pci().map(|pci| pci.to_string()).unwrap_or_default();
        format!("{:<12} {pci}  {driver}{numa}", pf.vf_name(vf.index()))
    };
    let lines: Vec<String> = free.iter().map(line).collect();
    let (pf, vf) = free[Console::select("VF to attach", &lines)?];
    let name = vf.pci().map_or_else(|| pf.vf_name(vf.index()), |pci| pci.to_string());
    name.parse().map(Choice::Vf).map_err(|error| Error::new(Kind::Failed, error))
}

fn ask_for_netns<K: Kernel>(kernel: &K, console: &Console) -> Result<NetnsChoice> {
    if !console.can_ask() {
        return Err(missing("the network namespace", "give one of --netns, --pid, --container"));
    }
    let all = kernel.namespaces()?;
    if all.is_empty() {
        return Err(Error::new(Kind::NotFound, "there is no network namespace but the host's")
            .hint("make one: ip netns add NAME"));
    }
    let line = |netns: &crate::model::link::Netns| format!("{:<24} {}", netns.label(), netns.path);
    let lines: Vec<String> = all.iter().map(line).collect();
    let chosen = Console::select("Network namespace", &lines)?;
    Ok(NetnsChoice::Named(all[chosen].path.clone()))
}
