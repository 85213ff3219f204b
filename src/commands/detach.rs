//! `detach`.

use std::io::Write;

use serde::Serialize;

use super::console::{Bar, Console};
use super::say::{self, line};
use super::{StepView, interrupt, netns_choice, step_views, write_json, writing};
use crate::cli::Detach;
use crate::engine::detach::{self as engine, Detached};
use crate::engine::state::{self, Verdict};
use crate::engine::store::{Shelf, Store, Stored};
use crate::engine::{Kernel, NetnsChoice};
use crate::error::{Error, Kind, Result};
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::record::{NetnsId, Record};

/// The JSON document, see `schemas/detach.schema.json`.
#[derive(Serialize)]
struct View {
    schema_version: u32,
    changed: bool,
    dry_run: bool,
    devices: Vec<DeviceView>,
}

#[derive(Serialize)]
struct DeviceView {
    device: String,
    result: &'static str,
    name: Option<String>,
    was: Option<String>,
    netns: Option<String>,
    message: Option<String>,
    details: Vec<String>,
    steps: Vec<StepView>,
}

/// Detaches; what could not be done comes back as an error that was not yet said.
pub fn run<K: Kernel + Store>(
    args: &Detach,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    let devices = devices(args, kernel, console)?;
    let mut views = Vec::new();
    let mut failures = Vec::new();
    for device in &devices {
        if let Some(error) = interrupt::before(&device.to_string()) {
            views.push(failed_view(device, &error));
            failures.push(error);
            continue;
        }
        let view = if args.dry_run {
            propose(kernel, device)
        } else {
            let bar = Bar::new(console);
            let done =
                engine::detach(kernel, device, &|record| is_meant(args, kernel, record), &bar);
            bar.clear();
            done.map(|done| done_view(&done))
        };
        views.push(view.unwrap_or_else(|error| {
            let view = failed_view(device, &error);
            failures.push(error);
            view
        }));
    }
    if args.json {
        let changed = views.iter().any(|view| ["detached", "would_detach"].contains(&view.result));
        let view = View { schema_version: 1, changed, dry_run: args.dry_run, devices: views };
        write_json(out, &view)?;
    } else {
        write_text(out, args, &views).map_err(|error| writing(&error))?;
    }
    Ok(one_error(failures, devices.len()))
}

fn one_error(mut failures: Vec<Error>, of: usize) -> Option<Error> {
    match failures.len() {
        0 => None,
        1 => failures.pop(),
        n => {
            let lines = failures.iter().flat_map(|error| {
                let lines = error.detail_lines().iter().map(|line| format!("  {line}"));
                [error.message().to_owned()].into_iter().chain(lines)
            });
            let lines: Vec<String> = lines.collect();
            Some(
                Error::new(Kind::Partial, format!("{n} of {of} could not be detached"))
                    .details(lines),
            )
        }
    }
}

fn write_text(out: &mut dyn Write, args: &Detach, views: &[DeviceView]) -> std::io::Result<()> {
    if views.is_empty() {
        return line!(out, "nothing is attached there; nothing was changed");
    }
    for view in views {
        match (view.result, &view.name) {
            ("detached", Some(name)) => line!(out, "{} is {name} again", view.device)?,
            ("detached", None) => line!(out, "{} is as it was", view.device)?,
            ("would_detach", _) => {
                line!(out, "# {}; nothing was changed", view.device)?;
                for step in &view.steps {
                    line!(out, "{}", step.shell)?;
                }
            }
            ("set_aside", _) => {
                let kept = view.message.as_deref().unwrap_or_default();
                line!(out, "{}: its record was no record; kept as {kept}", view.device)?;
            }
            ("not_attached", _) if !args.all_stale => {
                line!(out, "{} is not attached; nothing was changed", view.device)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The devices that are meant: named, or recorded for the namespace, or without an owner.
fn devices<K: Kernel + Store>(
    args: &Detach,
    kernel: &K,
    console: &Console,
) -> Result<Vec<DeviceId>> {
    if args.all_stale {
        let entries = state::examine(kernel)?.into_iter();
        let lost =
            |verdict: &Verdict| matches!(verdict, Verdict::Stale(_) | Verdict::Unfinished(_));
        return Ok(entries.filter(|e| lost(&e.verdict)).map(|e| e.device).collect());
    }
    if netns_choice(&args.from).is_some() {
        let all = kernel.all_stored(Shelf::Attachments)?;
        let records = all.iter().filter_map(Stored::record);
        let meant = records.filter(|record| is_meant(args, kernel, record));
        return Ok(meant.map(|record| record.device.clone()).collect());
    }
    if args.vfs.is_empty() {
        return if console.can_ask() && !args.json { ask(kernel) } else { Err(missing()) };
    }
    named(args, kernel)
}

fn missing() -> Error {
    Error::new(Kind::Usage, "what shall be detached is missing")
        .hint("name a VF, or one of --netns, --pid, --container, --all-stale")
}

/// Somebody at a terminal chooses.
fn ask<K: Kernel + Store>(kernel: &K) -> Result<Vec<DeviceId>> {
    let mut entries = state::examine(kernel)?;
    entries.retain(|entry| entry.shelf == Shelf::Attachments && entry.record.is_some());
    if entries.is_empty() {
        return Err(Error::new(Kind::NotFound, "nothing is attached; nothing was changed"));
    }
    let line = |entry: &state::Entry| {
        let word = entry.verdict.word();
        let Some(record) = &entry.record else { return entry.name.clone() };
        let (netns, ifname) = (&record.netns.path, &record.ifname);
        format!("{:<12} {}  {ifname} in {netns}  {word}", entry.name, entry.device)
    };
    let lines: Vec<String> = entries.iter().map(line).collect();
    let chosen = Console::select_some("What to detach", &lines)?;
    Ok(chosen.into_iter().map(|at| entries[at].device.clone()).collect())
}

fn named<K: Kernel + Store>(args: &Detach, kernel: &K) -> Result<Vec<DeviceId>> {
    let inventory = kernel.observe(Scope { all_classes: true, ..Scope::default() })?;
    let mut found = Vec::new();
    for selector in &args.vfs {
        // A device that is gone, or a PF that was moved itself, is still known by its record.
        let by_record = selector.to_string().parse::<DeviceId>().ok();
        if let Some(device) = by_record
            .filter(|device| matches!(kernel.stored(Shelf::Attachments, device), Ok(Some(_))))
        {
            found.push(device);
            continue;
        }
        let pf = selector.pf(&inventory).ok().map(|pf| pf.facts.device.clone());
        if let Some(pf) =
            pf.filter(|pf| matches!(kernel.stored(Shelf::Attachments, pf), Ok(Some(_))))
        {
            found.push(pf);
            continue;
        }
        let vfs = selector.vfs(&inventory)?;
        found.extend(vfs.iter().filter_map(|(_, vf)| vf.facts.device.clone()));
    }
    Ok(found)
}

/// Whether the record is of the namespace and name that are asked for. Without them it is.
fn is_meant<K: Kernel>(args: &Detach, kernel: &K, record: &Record) -> bool {
    let Some(choice) = netns_choice(&args.from) else { return true };
    let right_name = args.name.as_ref().is_none_or(|name| record.ifname == name.as_str());
    right_name && is_of(&choice, kernel.find_netns(&choice).ok().as_ref(), record)
}

/// A namespace that is there is known by its identity; one that is gone by what it was called.
fn is_of(choice: &NetnsChoice, found: Option<&NetnsId>, record: &Record) -> bool {
    if let NetnsChoice::Container(id) = choice
        && record
            .owner
            .container
            .as_ref()
            .is_some_and(|owner| owner.starts_with(id.as_str()) || id.starts_with(owner.as_str()))
    {
        return true;
    }
    match (found, choice) {
        (Some(found), _) => {
            (found.device, found.inode) == (record.netns.device, record.netns.inode)
        }
        (None, NetnsChoice::Named(name)) => {
            record.netns.path == *name || record.netns.path.rsplit('/').next() == Some(name)
        }
        (None, NetnsChoice::Pid(pid)) => record.netns.path == format!("/proc/{pid}/ns/net"),
        (None, NetnsChoice::Container(_)) => false,
    }
}

fn propose<K: Kernel + Store>(kernel: &K, device: &DeviceId) -> Result<DeviceView> {
    let Some((record, name, steps)) = engine::propose(kernel, device)? else {
        return Ok(blank(device, "not_attached"));
    };
    let pf = name.split('#').next().unwrap_or_default().to_owned();
    Ok(DeviceView { steps: step_views(&steps, &name, &pf), ..of_record(&record, "would_detach") })
}

fn done_view(done: &Detached) -> DeviceView {
    match done {
        Detached::Done(record) => of_record(record, "detached"),
        Detached::NotAttached(device) => blank(device, "not_attached"),
        Detached::SetAside { device, kept } => {
            say::warning(&format!("the record of {device} was no record"));
            DeviceView { message: Some(kept.clone()), ..blank(device, "set_aside") }
        }
    }
}

fn of_record(record: &Record, result: &'static str) -> DeviceView {
    DeviceView {
        name: record.original.name.clone(),
        was: Some(record.ifname.clone()),
        netns: Some(record.netns.path.clone()),
        ..blank(&record.device, result)
    }
}

fn failed_view(device: &DeviceId, error: &Error) -> DeviceView {
    DeviceView {
        message: Some(error.message().to_owned()),
        details: error.detail_lines().to_vec(),
        ..blank(device, "failed")
    }
}

fn blank(device: &DeviceId, result: &'static str) -> DeviceView {
    DeviceView {
        device: device.to_string(),
        result,
        name: None,
        was: None,
        netns: None,
        message: None,
        details: Vec::new(),
        steps: Vec::new(),
    }
}
