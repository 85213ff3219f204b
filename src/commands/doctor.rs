//! `doctor`.

use std::io::Write;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::console::Console;
use super::say::{self, line};
use super::table::Tone;
use super::{write_json, writing};
use crate::cli::Doctor;
use crate::engine::doctor::{self, Checkup};
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::doctor::{Area, Finding, Fix, Severity, worst};
use crate::model::text::printable;
use crate::order;

/// The JSON document, see `schemas/doctor.schema.json`.
#[derive(Serialize)]
struct Document {
    schema_version: u32,
    areas: Vec<AreaView>,
    findings: Vec<FindingView>,
}

#[derive(Serialize)]
struct AreaView {
    area: &'static str,
    severity: &'static str,
}

#[derive(Serialize)]
struct FindingView {
    id: &'static str,
    area: &'static str,
    severity: &'static str,
    subject: String,
    device: Option<String>,
    reason: String,
    command: Option<String>,
    advice: Option<String>,
}

/// Columns of a terminal that does not tell its own.
const WIDTH: usize = 80;

/// Columns of the severity, with the space after it.
const MARK: usize = 9;

/// Subjects that are longer than this do not widen their column.
const SUBJECT: usize = 20;

/// Prints what is found; errors and warnings come back as an error that was not yet said.
pub fn run<K: Kernel + Store + Surroundings + Checkup>(
    args: &Doctor,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    let areas = areas(args);
    let mut findings = doctor::examine(kernel, &areas, &args.pfs)?;
    let severity = |area| worst(findings.iter().filter(|finding| finding.area == area)).word();
    let views = areas.iter().map(|&area| AreaView { area: area.word(), severity: severity(area) });
    let views: Vec<AreaView> = views.collect();
    if !args.all {
        findings.retain(|finding| finding.severity > Severity::Ok || finding.id.is_summary());
    }
    // Within a severity they stay by area.
    order::sort_by_key(&mut findings, |finding| std::cmp::Reverse(finding.severity));
    if args.json {
        let findings = findings.iter().map(view).collect();
        write_json(out, &Document { schema_version: 1, areas: views, findings })?;
    } else {
        print(&findings, console, out).map_err(|error| writing(&error))?;
    }
    Ok(shortcoming(&findings))
}

fn areas(args: &Doctor) -> Vec<Area> {
    let is_wanted = |area: &Area| match area {
        Area::Sriov | Area::Conflicts => true,
        Area::Iommu | Area::Dpdk => args.dpdk,
        Area::Cni | Area::State => args.cni,
    };
    let is_all = !args.dpdk && !args.cni;
    Area::ALL.into_iter().filter(|area| is_all || is_wanted(area)).collect()
}

fn view(finding: &Finding) -> FindingView {
    let (command, advice) = match &finding.fix {
        Some(Fix::Run(command)) => (Some(command.clone()), None),
        Some(Fix::Do(what)) => (None, Some(what.clone())),
        None => (None, None),
    };
    FindingView {
        id: finding.id.text(),
        area: finding.area.word(),
        severity: finding.severity.word(),
        subject: finding.subject.clone(),
        device: finding.device.as_ref().map(ToString::to_string),
        reason: finding.text.clone(),
        command,
        advice,
    }
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Ok => Tone::Good,
        Severity::Note => Tone::Dim,
        Severity::Warning => Tone::Warn,
        Severity::Error => Tone::Bad,
    }
}

/// What a finding is said to be about: a summary is of its area.
fn subject(finding: &Finding) -> String {
    let subject = if finding.id.is_summary() { finding.area.title() } else { &finding.subject };
    printable(subject).into_owned()
}

fn print(findings: &[Finding], console: &Console, out: &mut dyn Write) -> std::io::Result<()> {
    let width = console.width.map_or(WIDTH, usize::from).max(40);
    let widths = findings.iter().map(|finding| subject(finding).width());
    let column = widths.filter(|width| *width <= SUBJECT).max().unwrap_or(0);
    for finding in findings {
        // The name by which the man page explains it.
        let id = match finding.severity {
            Severity::Ok => String::new(),
            _ => format!(" [{}]", finding.id.text()),
        };
        let text = printable(&format!("{}{id}", finding.text)).into_owned();
        let subject = subject(finding);
        let fill = " ".repeat(column.saturating_sub(subject.width()));
        let lines =
            wrapped(&text, width, MARK + column.max(subject.width()) + 2, MARK + column + 2);
        let mark = finding.severity.word();
        let gap = " ".repeat(MARK - mark.len());
        let first = format!("{gap}{subject}{fill}  {}", lines[0]);
        say::marked(out, console, (mark, tone(finding.severity)), first.trim_end())?;
        let indent = " ".repeat(MARK + column + 2);
        for more in &lines[1..] {
            line!(out, "{indent}{more}")?;
        }
        // A command stays on one line: it is there to be copied.
        if let Some(Fix::Run(next) | Fix::Do(next)) = &finding.fix {
            line!(out, "{}→ {next}", " ".repeat(MARK))?;
        }
    }
    Ok(())
}

/// Words in lines of at most `width` columns, the first of which begins in column `first`, the others
/// in column `others`.
fn wrapped(text: &str, width: usize, first: usize, others: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut begin = first;
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        let gap = usize::from(!line.is_empty());
        // A line without room for anything is left empty rather than overrun.
        let is_full = begin + line.width() + gap + word.width() > width;
        if is_full && (!line.is_empty() || begin > others) {
            lines.push(word.to_owned());
            begin = others;
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// How many of each there are, and the exit code that goes with the worst.
fn shortcoming(findings: &[Finding]) -> Option<Error> {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let said = |number: usize, what: &str| match number {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let counts = [said(errors, "error"), said(warnings, "warning")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let kind = if errors > 0 { Kind::Busy } else { Kind::Failed };
    (!counts.is_empty()).then(|| Error::new(kind, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wrap_at_words_and_long_words_stand_alone() {
        assert_eq!(wrapped("a bc def", 9, 2, 2), ["a bc", "def"]);
        assert_eq!(wrapped("a bc def", 10, 2, 2), ["a bc def"]);
        // A word that just fits needs no room for a space.
        assert_eq!(wrapped("abc d", 6, 3, 2), ["abc", "d"]);
        // A subject that fills the line leaves it to the others.
        assert_eq!(wrapped("a bc", 10, 12, 2), ["", "a bc"]);
        assert_eq!(wrapped("abcdefghijkl b", 8, 2, 2), ["abcdefghijkl", "b"]);
    }
}
