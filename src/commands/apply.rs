//! `apply`.

use std::collections::BTreeMap;
use std::io::{Read, Write, stdin};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::bind_dpdk::session;
use super::console::{Bar, Console};
use super::say::{self, line};
use super::{write_json, writing};
use crate::cli::Apply;
use crate::engine::apply::{self as engine, Options, Report};
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::plan::apply::Change;
use crate::model::spec::{self, KEPT_IN, Numbers, Spec};
use crate::order;

/// The JSON document, see `schemas/apply.schema.json`.
#[derive(Serialize)]
struct View {
    schema_version: u32,
    changed: bool,
    dry_run: bool,
    changes: Vec<ChangeView>,
    /// As Ansible's modules return it.
    diff: DiffView,
    notes: Vec<String>,
    persisted: Vec<String>,
    failed: Vec<Value>,
}

#[derive(Serialize)]
struct ChangeView {
    device: String,
    attribute: String,
    from: Option<String>,
    to: String,
}

#[derive(Serialize)]
struct DiffView {
    before: String,
    after: String,
}

/// Makes the host so, and says what was changed; what could not be comes back as an error that was not
/// yet said.
pub fn run<K: Kernel + Store + Surroundings>(
    args: &Apply,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    let texts = texts(args, kernel)?;
    let specs: Vec<(String, Spec)> = texts
        .iter()
        .map(|(file, text)| Ok((file.clone(), read(file, text)?)))
        .collect::<Result<_>>()?;
    let keep = if args.persist { Some(to_keep(&texts, kernel)?) } else { None };
    let options = Options {
        timeout: Duration::from_secs(args.timeout),
        wait: Duration::from_secs(args.wait),
        force: args.force,
        keep_going: args.keep_going,
        dry_run: args.dry_run,
        session: session(),
    };
    let bar = Bar::new(console);
    let report = engine::apply(kernel, &specs, &options, &bar);
    bar.clear();
    let mut report = report?;
    let mut later = engine::shortcoming(&report);
    let (mut persisted, mut is_kept) = (Vec::new(), false);
    if keep.is_some() && later.is_some() {
        report
            .notes
            .push("it is not kept for the next boot, since not all of it could be done".to_owned());
    }
    if let Some((name, text)) = keep.filter(|_| later.is_none()) {
        match kernel.apply_at_boot(&name, &text) {
            Ok(made) => {
                persisted = made;
                is_kept = true;
            }
            Err(error) => {
                let text = format!("it is so now, but will not be after a reboot: {error}");
                let hint = error.next_step().unwrap_or("run it again once that is mended");
                let error = Error::new(Kind::Partial, text).hint(hint);
                report.problems.push(error.clone());
                later = Some(error);
            }
        }
    }
    if args.json {
        write_json(out, &View::new(&report, args.dry_run, persisted))?;
    } else {
        for note in &report.notes {
            say::warning(note);
        }
        write_text(out, args, &report, (&persisted, is_kept)).map_err(|error| writing(&error))?;
    }
    Ok(later)
}

/// The texts that are named, each with what it is called.
fn texts<K: Surroundings>(args: &Apply, kernel: &K) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for file in &args.files {
        if file == "-" {
            let mut text = String::new();
            let read = stdin().lock().read_to_string(&mut text);
            read.map_err(|error| Error::io("reading standard input", &error))?;
            all.push(("standard input".to_owned(), text));
        } else {
            all.extend(kernel.texts(file)?);
        }
    }
    Ok(all)
}

fn read(file: &str, text: &str) -> Result<Spec> {
    spec::read(text).map_err(|why| {
        Error::new(Kind::Usage, format!("{file}: {why}; nothing was changed"))
            .hint("see which keys there are: man sriovctl-apply")
    })
}

/// Under which name the file is kept, beside those that are kept already: no two of them may speak of
/// one PF.
fn to_keep<K: Kernel + Surroundings>(
    texts: &[(String, String)],
    kernel: &K,
) -> Result<(String, String)> {
    let [(file, text)] = texts else {
        let text = format!("--persist keeps one file, and these are {}", texts.len());
        return Err(Error::new(Kind::Usage, text).hint("keep them one by one"));
    };
    let base = file.rsplit('/').next().unwrap_or(file);
    let is_json = text.trim_start().starts_with('{');
    let name = match base {
        "standard input" if is_json => "host.json".to_owned(),
        "standard input" => "host.yaml".to_owned(),
        base if [".yaml", ".yml", ".json"].iter().any(|ending| base.ends_with(ending)) => {
            // One that begins with a dot is not read.
            format!("{}{base}", if base.starts_with('.') { "host" } else { "" })
        }
        base => format!("{base}.{}", if is_json { "json" } else { "yaml" }),
    };
    let mut all = vec![(file.clone(), read(file, text)?)];
    match kernel.texts(KEPT_IN) {
        Ok(kept) => {
            for (path, text) in kept.iter().filter(|(path, _)| *path != format!("{KEPT_IN}/{name}"))
            {
                all.push((path.clone(), read(path, text)?));
            }
        }
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    engine::must_fit_together(kernel, &all)?;
    Ok((name, text.clone()))
}

fn write_text(
    out: &mut dyn Write,
    args: &Apply,
    report: &Report,
    (persisted, is_kept): (&[String], bool),
) -> std::io::Result<()> {
    let changes = folded(&report.changes);
    if args.diff {
        write_diff(out, &changes)?;
    } else {
        write_changes(out, &changes)?;
    }
    let pfs = match report.pfs {
        1 => "1 PF".to_owned(),
        n => format!("{n} PFs"),
    };
    let count = report.changes.len();
    let things = if count == 1 { "1 change".to_owned() } else { format!("{count} changes") };
    match (count, args.dry_run) {
        // Why is said on standard error.
        (0, _) if !report.problems.is_empty() => {}
        (0, _) => line!(out, "{pfs}: as it says already; nothing was changed")?,
        (_, true) => {
            line!(out, "{pfs}: {things} to make; nothing was changed")?;
            line!(out, "  make them: sriovctl apply {}", args.files.join(" "))?;
        }
        (_, false) => {
            line!(out, "{pfs}: {things}")?;
            line!(out, "  see them: sriovctl list-vfs -o wide")?;
        }
    }
    for path in persisted {
        line!(out, "made {path}")?;
    }
    if is_kept {
        line!(out, "it is applied at every boot; no longer so without its file in {KEPT_IN}")?;
    }
    Ok(())
}

fn write_changes(out: &mut dyn Write, changes: &[Change]) -> std::io::Result<()> {
    let wide = |text: fn(&Change) -> &str| {
        changes.iter().map(|change| text(change).chars().count()).max().unwrap_or(0)
    };
    let (device, what) = (wide(|change| &change.device), wide(|change| &change.what));
    for change in changes {
        let from = change.from.as_deref().unwrap_or("new");
        line!(out, "{:<device$}  {:<what$}  {from} -> {}", change.device, change.what, change.to)?;
    }
    Ok(())
}

fn write_diff(out: &mut dyn Write, changes: &[Change]) -> std::io::Result<()> {
    let mut device = None;
    for change in changes {
        if device != Some(&change.device) {
            line!(out, "@@ {} @@", change.device)?;
            device = Some(&change.device);
        }
        if let Some(from) = &change.from {
            line!(out, "-{}: {from}", change.what)?;
        }
        line!(out, "+{}: {}", change.what, change.to)?;
    }
    Ok(())
}

/// What is the same of several VFs of a PF is one: `eth0#0-3`.
fn folded(changes: &[Change]) -> Vec<Change> {
    let mut groups: Vec<(Change, String, Vec<u16>)> = Vec::new();
    for change in changes {
        let (pf, index) = match change.device.rsplit_once('#') {
            Some((pf, index)) => (pf.to_owned(), index.parse::<u16>().ok()),
            None => (change.device.clone(), None),
        };
        let same = |(known, of, numbers): &&mut (Change, String, Vec<u16>)| {
            let is =
                |a: &Change, b: &Change| (a.what == b.what) && (a.from == b.from) && (a.to == b.to);
            *of == pf && !numbers.is_empty() && index.is_some() && is(known, change)
        };
        match (groups.iter_mut().find(same), index) {
            (Some((_, _, numbers)), Some(index)) => numbers.push(index),
            (_, index) => groups.push((change.clone(), pf, index.into_iter().collect())),
        }
    }
    // All of one device together, whichever came first.
    let mut order: BTreeMap<String, usize> = BTreeMap::new();
    let mut all: Vec<Change> = groups
        .into_iter()
        .map(|(change, pf, mut numbers)| {
            order::sort(&mut numbers);
            let device =
                if numbers.is_empty() { pf } else { format!("{pf}#{}", Numbers::of(&numbers)) };
            Change { device, ..change }
        })
        .collect();
    for change in &all {
        let next = order.len();
        order.entry(change.device.clone()).or_insert(next);
    }
    order::sort_by_key(&mut all, |change| order.get(&change.device).copied());
    all
}

impl View {
    fn new(report: &Report, dry_run: bool, persisted: Vec<String>) -> Self {
        let lines = |value: fn(&Change) -> Option<&String>| {
            let line = |change: &Change| {
                let value = value(change)?;
                Some(format!("{} {}: {value}\n", change.device, change.what))
            };
            report.changes.iter().filter_map(line).collect::<String>()
        };
        let change = |change: &Change| ChangeView {
            device: change.device.clone(),
            attribute: change.what.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
        };
        Self {
            schema_version: 1,
            changed: !report.changes.is_empty() || !persisted.is_empty(),
            dry_run,
            changes: report.changes.iter().map(change).collect(),
            diff: DiffView {
                before: lines(|change| change.from.as_ref()),
                after: lines(|change| Some(&change.to)),
            },
            notes: report.notes.clone(),
            persisted,
            failed: report.problems.iter().map(|error| error.to_json()["error"].take()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(device: &str, what: &str, from: Option<&str>, to: &str) -> Change {
        Change {
            device: device.to_owned(),
            what: what.to_owned(),
            from: from.map(str::to_owned),
            to: to.to_owned(),
        }
    }

    #[test]
    fn what_is_the_same_of_several_vfs_is_one_line() {
        let changes = [
            change("eth0", "numvfs", Some("0"), "4"),
            change("eth0#0", "vlan", Some("0"), "7"),
            change("eth0#0", "trust", Some("off"), "on"),
            change("eth0#1", "vlan", Some("0"), "7"),
            change("eth1#2", "vlan", Some("0"), "7"),
            change("eth0#3", "vlan", None, "7"),
        ];
        let mut out = Vec::new();
        write_changes(&mut out, &folded(&changes)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "eth0      numvfs  0 -> 4\n\
             eth0#0-1  vlan    0 -> 7\n\
             eth0#0    trust   off -> on\n\
             eth1#2    vlan    0 -> 7\n\
             eth0#3    vlan    new -> 7\n"
        );
        let mut out = Vec::new();
        write_diff(&mut out, &folded(&changes)[..3]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "@@ eth0 @@\n-numvfs: 0\n+numvfs: 4\n@@ eth0#0-1 @@\n-vlan: 0\n+vlan: 7\n\
             @@ eth0#0 @@\n-trust: off\n+trust: on\n"
        );
    }
}
