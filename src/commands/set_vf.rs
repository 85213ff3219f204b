//! `set-vf`.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::console::{Bar, Console};
use super::say::line;
use super::{StepView, must_be_of_one, settings, step_views, write_json, writing};
use crate::cli::SetVf;
use crate::engine::set_vf::{self as engine, Done, OneVf, Options, Outcome, Report};
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::link::VfSettings;
use crate::model::plan::set_vf::Request;
use crate::model::selector::together;
use crate::model::step::Step;

/// The JSON document, see `schemas/set-vf.schema.json`.
#[derive(Serialize)]
struct View {
    schema_version: u32,
    changed: bool,
    dry_run: bool,
    rolled_back: bool,
    vfs: Vec<VfView>,
    not_put_back: Vec<String>,
}

#[derive(Serialize)]
struct VfView {
    vf: String,
    device: Option<String>,
    attributes: Vec<AttributeView>,
    error: Option<ErrorView>,
    steps: Vec<StepView>,
}

#[derive(Serialize)]
struct AttributeView {
    attribute: &'static str,
    result: &'static str,
    from: Option<String>,
    to: String,
    note: Option<String>,
    error: Option<ErrorView>,
}

#[derive(Serialize)]
struct ErrorView {
    code: &'static str,
    message: String,
    errno: Option<i32>,
    details: Vec<String>,
    hint: Option<String>,
}

/// Sets it, and says of each setting what became of it; what could not be set comes back as an error
/// that was not yet said.
pub fn run<K: Kernel + Store + Surroundings>(
    args: &SetVf,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    let request = request(args)?;
    let options = Options {
        timeout: Duration::from_secs(args.timeout),
        strict: args.strict,
        force: args.force,
        dry_run: args.dry_run,
    };
    let bar = Bar::new(console);
    let report = engine::set(kernel, &args.vfs, &request, options, &bar);
    bar.clear();
    let report = report?;
    if args.json {
        write_json(out, &View::new(&report))?;
    } else if args.dry_run {
        write_steps(out, &report).map_err(|error| writing(&error))?;
    } else {
        write_text(out, &report).map_err(|error| writing(&error))?;
    }
    Ok(engine::shortcoming(&report))
}

fn request(args: &SetVf) -> Result<Request> {
    must_be_of_one(args.mac, "an interface")?;
    let request = Request {
        settings: VfSettings {
            query_rss: args.query_rss.map(bool::from),
            node_guid: args.node_guid.map(|guid| guid.0),
            port_guid: args.port_guid.map(|guid| guid.0),
            ..settings(&args.tag, &args.port)?
        },
        mac: args.mac,
        mtu: args.mtu,
        vectors: args.msix_count,
        reset: args.reset,
    };
    if request.is_empty() {
        return Err(Error::new(Kind::Usage, "nothing is given that could be set").hint(
            "give some of --mac --vlan --trust --spoofchk --link-state --min-tx-rate --max-tx-rate --query-rss --mtu \
             --node-guid --port-guid --msix-count, or --reset",
        ));
    }
    Ok(request)
}

/// What became of a setting, as JSON has it.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Applied => "applied",
        Outcome::Unchanged => "unchanged",
        Outcome::Unsupported => "unsupported",
        Outcome::Failed => "failed",
        Outcome::Undone => "undone",
        Outcome::Untried => "untried",
    }
}

/// How many times the word is said, for people.
fn counted(outcome: Outcome, count: usize) -> String {
    match outcome {
        Outcome::Unchanged if count == 1 => "1 was so already".to_owned(),
        Outcome::Unchanged => format!("{count} were so already"),
        Outcome::Undone => format!("{count} put back"),
        Outcome::Untried => format!("{count} not tried"),
        _ => format!("{count} {}", word(outcome)),
    }
}

/// A line for each setting of which something became, a summary, and what to do next.
fn write_text(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    let rows: Vec<[String; 4]> = report.vfs.iter().flat_map(rows).collect();
    let wide =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second, third) = (wide(0), wide(1), wide(2));
    for [vf, what, change, result] in &rows {
        let text = format!("{vf:<first$}  {what:<second$}  {change:<third$}  {result}");
        line!(out, "{}", text.trim_end())?;
    }
    let all = || report.vfs.iter().flat_map(|vf| &vf.settings);
    let notes = report.vfs.iter().flat_map(|vf| {
        vf.settings.iter().filter_map(move |done| Some((&vf.name, done.note.as_ref()?)))
    });
    for (name, note) in notes {
        line!(out, "  {name}: {note}")?;
    }
    let outcomes = [
        Outcome::Applied,
        Outcome::Undone,
        Outcome::Unchanged,
        Outcome::Unsupported,
        Outcome::Failed,
        Outcome::Untried,
    ];
    let counts = outcomes.into_iter().filter_map(|outcome| {
        let count = all().filter(|done| done.outcome == outcome).count();
        (count > 0).then(|| counted(outcome, count))
    });
    let counts: Vec<String> = counts.collect();
    let vfs = match report.vfs.as_slice() {
        [one] => one.name.clone(),
        many => format!("{} VFs", many.len()),
    };
    let nothing = if report.changed() { "" } else { "; nothing was changed" };
    if counts.is_empty() {
        line!(out, "{vfs}: nothing was changed")?;
    } else {
        line!(out, "{vfs}: {}{nothing}", counts.join(", "))?;
    }
    let changed = |vf: &&OneVf| vf.settings.iter().any(|done| done.outcome == Outcome::Applied);
    let names: Vec<&str> = report.vfs.iter().filter(changed).map(|vf| vf.name.as_str()).collect();
    match together(names.into_iter()).join(" ") {
        names if names.is_empty() => Ok(()),
        names => line!(out, "  see them: sriovctl list-vfs {names}"),
    }
}

/// VF, setting, from what to what, and what became of it.
fn rows(vf: &OneVf) -> Vec<[String; 4]> {
    let row = |what: String, change: String, result: &str| {
        [vf.name.clone(), what, change, result.to_owned()]
    };
    let settings = vf.settings.iter().filter_map(|done| {
        let result = match done.outcome {
            Outcome::Unchanged | Outcome::Untried => return None,
            Outcome::Applied => "",
            Outcome::Undone => "put back",
            Outcome::Unsupported => "unsupported",
            Outcome::Failed => "failed",
        };
        Some(row(done.what.option(), from_to(done), result))
    });
    let refused = vf.error.iter().map(|_| row(String::new(), String::new(), "refused"));
    settings.chain(refused).collect()
}

fn from_to(done: &Done) -> String {
    format!("{} -> {}", done.from.as_deref().unwrap_or("unknown"), done.what.value())
}

/// The shell's way.
fn write_steps(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    for vf in &report.vfs {
        let todo = |done: &&Done| done.outcome == Outcome::Untried;
        let (todo, rest): (Vec<&Done>, Vec<&Done>) = vf.settings.iter().partition(todo);
        let list: Vec<String> =
            todo.iter().map(|done| format!("{} {}", done.what.option(), from_to(done))).collect();
        match (&vf.error, list.is_empty()) {
            (Some(error), _) => line!(out, "# {}: refused: {error}", vf.name)?,
            (None, true) => line!(out, "# {}: nothing would be changed", vf.name)?,
            (None, false) => line!(out, "# {}: {}; nothing was changed", vf.name, list.join(", "))?,
        }
        for error in rest.iter().filter_map(|done| done.error.as_ref()) {
            line!(out, "# {}: {error}", vf.name)?;
        }
        for step in steps(vf) {
            line!(out, "{}", step.shell)?;
        }
    }
    Ok(())
}

fn steps(vf: &OneVf) -> Vec<StepView> {
    let untried = vf.settings.iter().filter(|done| done.outcome == Outcome::Untried);
    let steps: Vec<Step> = untried.flat_map(|done| done.steps.iter().cloned()).collect();
    step_views(&steps, &vf.name, &vf.pf_netdev)
}

impl View {
    fn new(report: &Report) -> Self {
        let dry_run = report.options.dry_run;
        let would = report.vfs.iter().any(|vf| !steps(vf).is_empty());
        Self {
            schema_version: 1,
            changed: if dry_run { would } else { report.changed() },
            dry_run,
            rolled_back: report.rolled_back,
            vfs: report.vfs.iter().map(|vf| VfView::new(vf, dry_run)).collect(),
            not_put_back: report.left.iter().map(ToString::to_string).collect(),
        }
    }
}

impl VfView {
    fn new(vf: &OneVf, dry_run: bool) -> Self {
        let attribute = |done: &Done| AttributeView {
            attribute: done.what.name(),
            result: word(done.outcome),
            from: done.from.clone(),
            to: done.what.value(),
            note: done.note.clone(),
            error: done.error.as_ref().map(ErrorView::new),
        };
        Self {
            vf: vf.name.clone(),
            device: vf.device.as_ref().map(ToString::to_string),
            attributes: vf.settings.iter().map(attribute).collect(),
            error: vf.error.as_ref().map(ErrorView::new),
            steps: if dry_run { steps(vf) } else { Vec::new() },
        }
    }
}

impl ErrorView {
    fn new(error: &Error) -> Self {
        Self {
            code: error.kind().word(),
            message: error.message().to_owned(),
            errno: error.errno(),
            details: error.detail_lines().to_vec(),
            hint: error.next_step().map(str::to_owned),
        }
    }
}
