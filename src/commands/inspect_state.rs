//! `inspect-state`.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::console::{Bar, Console};
use super::table::{self, Column, Text, Tone};
use super::{interrupt, say, write_json, writing};
use crate::cli::{Form, InspectState};
use crate::engine::state::{self, Entry, Verdict};
use crate::engine::store::{Shelf, Store};
use crate::engine::{Kernel, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::facts::Scope;
use crate::model::ids::DeviceId;
use crate::model::record::Record;

const WATCH_EVERY: Duration = Duration::from_secs(1);

/// A row, see `schemas/inspect-state.schema.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    vf: String,
    device: String,
    kind: &'static str,
    state: &'static str,
    details: Vec<String>,
    drift: Vec<DriftView>,
    driver: Option<String>,
    network: Option<String>,
    container: Option<String>,
    ifname: Option<String>,
    netns: Option<String>,
    netns_inode: Option<u64>,
    since: Option<u64>,
    repaired: Option<String>,
    repair_error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct DriftView {
    field: &'static str,
    wanted: String,
    actual: String,
}

const COLUMNS: &[Column<Row>] = &[
    Column::table(0, "vf", "VF", |row: &Row| Text::plain(row.vf.clone())),
    Column::table(0, "state", "STATE", |row: &Row| {
        let tone = if row.state == "ok" { Tone::Good } else { Tone::Warn };
        Text(row.state.to_owned(), tone)
    }),
    Column::table(1, "driver", "BOUND-TO", |row: &Row| Text::of(row.driver.as_ref())),
    Column::table(2, "network", "OWNER", |row: &Row| match &row.container {
        Some(id) => Text::plain(id.get(..12).unwrap_or(id)),
        None => Text::of(row.network.as_ref()),
    }),
    Column::table(1, "ifname", "NAME", |row: &Row| Text::of(row.ifname.as_ref())),
    Column::table(1, "netns", "NETNS", |row: &Row| Text::of(row.netns.as_ref())),
    Column::table(3, "since", "SINCE", |row: &Row| Text::of(row.since.map(ago))).right(),
    Column::table(0, "details", "DETAILS", |row: &Row| Text::plain(details(row))),
    Column::wide("device", "DEVICE", |row: &Row| Text::plain(row.device.clone())),
    Column::csv("kind"),
    Column::csv("container"),
    Column::csv("netns_inode"),
];

/// Shows, repairs or watches; what is not ok comes back as an error that was not yet said.
pub fn run<K: Kernel + Store + Surroundings>(
    args: &InspectState,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    let only = selected(args, kernel)?;
    let mut entries = state::examine(kernel)?;
    entries.retain(|entry| only.includes(entry));
    let mut rows: Vec<Row> = entries.iter().map(row).collect();
    if args.repair {
        repair(args, kernel, console, &entries, &mut rows)?;
    }
    print(args, console, out, &mut rows)?;
    if args.repair {
        kernel.forget_dead_calls()?;
    }
    if args.watch {
        watch(args, kernel, console, out, (&only, rows))?;
        return Ok(None);
    }
    Ok(shortcoming(&rows, args.repair))
}

/// Prints the list whenever it has changed, until it is interrupted.
fn watch<K: Kernel + Store>(
    args: &InspectState,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
    (only, mut rows): (&Only, Vec<Row>),
) -> Result<()> {
    loop {
        out.flush().map_err(|error| writing(&error))?;
        kernel.pause(WATCH_EVERY);
        let mut entries = state::examine(kernel)?;
        entries.retain(|entry| only.includes(entry));
        let mut now: Vec<Row> = entries.iter().map(row).collect();
        if now != rows {
            print(args, console, out, &mut now)?;
            rows = now;
        }
    }
}

fn shortcoming(rows: &[Row], repaired: bool) -> Option<Error> {
    let bad = |row: &&Row| row.state != "ok" && row.repaired.is_none();
    let bad: Vec<&Row> = rows.iter().filter(bad).collect();
    if bad.is_empty() {
        return None;
    }
    let lines = bad.iter().filter_map(|row| row.repair_error.clone());
    let error = Error::new(Kind::Partial, format!("{} of {} are not ok", bad.len(), rows.len()))
        .details(lines.collect::<Vec<_>>());
    let only_foreign = bad.iter().all(|row| row.state == "foreign");
    Some(match (repaired, only_foreign) {
        (true, true) => error.hint(format!(
            "name it to bring it home: sriovctl inspect-state --repair '{}'",
            bad[0].vf
        )),
        (true, false) => error,
        (false, _) => error.hint("put it right with: sriovctl inspect-state --repair"),
    })
}

/// What the operands select.
enum Only {
    All,
    Some { devices: Vec<DeviceId>, containers: Vec<String> },
}

impl Only {
    fn includes(&self, entry: &Entry) -> bool {
        let Self::Some { devices, containers } = self else { return true };
        let container = entry.record.as_ref().and_then(|record| record.owner.container.as_ref());
        devices.contains(&entry.device)
            || container.is_some_and(|id| containers.iter().any(|of| id.starts_with(of.as_str())))
    }
}

fn selected<K: Kernel + Store>(args: &InspectState, kernel: &K) -> Result<Only> {
    if args.only.is_empty() {
        return Ok(Only::All);
    }
    let inventory = kernel.observe(Scope { all_classes: true, ..Scope::default() })?;
    let (mut devices, mut containers) = (Vec::new(), Vec::new());
    let records = kernel.all_stored(Shelf::Attachments)?;
    for selector in &args.only {
        let text = selector.to_string();
        let is_container = records
            .iter()
            .filter_map(|stored| stored.record())
            .any(|record| record.owner.container.as_ref().is_some_and(|id| id.starts_with(&text)));
        if is_container {
            containers.push(text);
        } else if let Ok(device) = text.parse::<DeviceId>() {
            devices.push(device);
        } else {
            let vfs = selector.vfs(&inventory)?;
            devices.extend(vfs.iter().filter_map(|(_, vf)| vf.facts.device.clone()));
        }
    }
    Ok(Only::Some { devices, containers })
}

fn repair<K: Kernel + Store + Surroundings>(
    args: &InspectState,
    kernel: &K,
    console: &Console,
    entries: &[Entry],
    rows: &mut [Row],
) -> Result<()> {
    for (entry, row) in entries.iter().zip(rows) {
        if entry.verdict == Verdict::Ok {
            continue;
        }
        if let Some(error) = interrupt::before(&entry.name) {
            row.repair_error = Some(error.message().to_owned());
            continue;
        }
        let is_foreign = matches!(entry.verdict, Verdict::Foreign(_));
        if console.can_ask() && !args.list.json {
            let what = entry.verdict.details().join("; ");
            let question = format!("{} is {} ({what}). Put it right?", entry.name, row.state);
            if !Console::confirm(&[question])? {
                continue;
            }
        } else if is_foreign && args.only.is_empty() {
            // Somebody moved it by other means and may be using it: only a person can know.
            continue;
        }
        let bar = Bar::new(console);
        let done = state::repair(kernel, entry, &bar);
        bar.clear();
        match done {
            Ok(done) => row.repaired = Some(done),
            Err(error) => {
                let lines = error.detail_lines().iter().map(|line| format!("; {line}"));
                row.repair_error = Some(error.message().to_owned() + &lines.collect::<String>());
            }
        }
    }
    Ok(())
}

fn row(entry: &Entry) -> Row {
    let record = entry.record.as_ref();
    // What is bound stays on the host.
    let is_away = |_: &&Record| entry.shelf == Shelf::Attachments;
    let drift = match &entry.verdict {
        Verdict::Drift(drift) => drift.as_slice(),
        _ => &[],
    };
    Row {
        vf: entry.name.clone(),
        device: entry.device.to_string(),
        kind: match entry.shelf {
            Shelf::Attachments => "attachment",
            Shelf::Bindings => "binding",
        },
        state: entry.verdict.word(),
        details: entry.verdict.details(),
        drift: drift
            .iter()
            .map(|drift| DriftView {
                field: drift.field,
                wanted: drift.wanted.clone(),
                actual: drift.actual.clone(),
            })
            .collect(),
        driver: record.and_then(|record| record.wanted.driver.clone()),
        network: record.map(|record| record.owner.network.clone()),
        container: record.and_then(|record| record.owner.container.clone()),
        ifname: record.map(|record| record.ifname.clone()).filter(|name| !name.is_empty()),
        netns: record.filter(is_away).map(|record| record.netns.path.clone()),
        netns_inode: record.filter(is_away).map(|record| record.netns.inode),
        since: record.map(|record| record.since),
        repaired: None,
        repair_error: None,
    }
}

fn details(row: &Row) -> String {
    let mut all = row.details.clone();
    all.extend(row.repaired.iter().map(|done| format!("-> {done}")));
    all.join("; ")
}

/// How long ago that was, coarsely.
fn ago(since: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs()).saturating_sub(since);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn print(
    args: &InspectState,
    console: &Console,
    out: &mut dyn Write,
    rows: &mut [Row],
) -> Result<()> {
    let columns: Vec<&Column<Row>> = COLUMNS.iter().collect();
    if let Some(by) = &args.list.sort {
        table::sort(rows, &columns, by)?;
    }
    let headers = !args.list.no_headers;
    match args.list.form() {
        Form::Json => write_json(out, &json!({ "schema_version": 1, "attachments": rows })),
        Form::Jsonl => table::write_jsonl(out, rows),
        Form::Csv => table::write_csv(out, console, rows, &columns, headers),
        Form::Name => table::write_names(out, console, rows.iter().map(|row| row.vf.as_str())),
        Form::Table | Form::Wide if rows.is_empty() => {
            say::remark("nothing is attached or bound", "sriovctl attach VF --netns NAME");
            Ok(())
        }
        form => table::write_table(out, console, rows, &columns, form == Form::Wide, headers),
    }
}
