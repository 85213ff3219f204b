//! `top`: what passes through each VF, as it is now, once, or as metrics.

mod metrics;
mod page;
mod screen;

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use self::page::{Act, Page};
use self::screen::Screen;
use super::console::Console;
use super::table::{self, Column, Text, Tone};
use super::view::StatsView;
use super::{interrupt, list_vfs, say, write_json, writing};
use crate::cli::Top;
use crate::engine::Kernel;
use crate::engine::top::{Look, Row, look};
use crate::error::{Error, Kind, Result};
use crate::model::traffic::{Rates, short};

/// The JSON document, see `schemas/top.schema.json`.
#[derive(Serialize)]
struct Document {
    schema_version: u32,
    interval_seconds: f64,
    vfs: Vec<VfView>,
}

#[derive(Serialize)]
struct VfView {
    vf: String,
    pf: String,
    pf_device: String,
    index: u16,
    device: Option<String>,
    used_by: Vec<String>,
    source: Option<&'static str>,
    counters: Option<StatsView>,
    rates: Option<RatesView>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // the unit is part of each name
struct RatesView {
    rx_bits_per_second: f64,
    tx_bits_per_second: f64,
    rx_packets_per_second: f64,
    tx_packets_per_second: f64,
    dropped_per_second: f64,
}

/// Shows it until somebody wants it to end, or prints it once.
pub fn run<K: Kernel>(
    args: &Top,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<()> {
    let first = look(kernel, &args.vfs)?;
    if args.openmetrics {
        let text = metrics::text(&first, args.in_use);
        return text
            .lines()
            .try_for_each(|line| say::line!(out, "{line}"))
            .map_err(|e| writing(&e));
    }
    let interval = Duration::from_secs_f64(args.interval);
    if args.once || args.json {
        return print(args, kernel, console, out, (first, interval));
    }
    if !console.can_be_drawn_on() {
        return Err(Error::new(Kind::Usage, "top draws on a terminal, and this is none")
            .hint("print it once: sriovctl top --once; for programs: --json or --openmetrics"));
    }
    if first.readings.is_empty() {
        nothing(&first);
        return Ok(());
    }
    watch(args, kernel, console, (first, interval))
}

fn nothing(look: &Look) {
    let inventory =
        crate::model::inventory::Inventory { pfs: look.pfs.clone(), ..Default::default() };
    let (what, next) = list_vfs::no_vfs(&inventory, &[]);
    say::remark(&what, &next);
}

/// Once, or a document a line until somebody wants it to end.
fn print<K: Kernel>(
    args: &Top,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
    (mut before, interval): (Look, Duration),
) -> Result<()> {
    loop {
        kernel.pause(interval);
        let now = look(kernel, &args.vfs)?;
        let mut rows = now.since(&before);
        rows.retain(|(reading, _)| !args.in_use || !reading.used_by.is_empty());
        if args.json {
            let document = Document {
                schema_version: 1,
                interval_seconds: rounded(now.elapsed(&before).as_secs_f64()),
                vfs: rows.iter().map(VfView::new).collect(),
            };
            if args.once {
                return write_json(out, &document);
            }
            table::write_jsonl(out, &[document])?;
            out.flush().map_err(|error| writing(&error))?;
        } else if rows.is_empty() {
            nothing(&now);
            return Ok(());
        } else {
            let columns: Vec<&Column<Line>> = COLUMNS.iter().collect();
            let lines: Vec<Line> = rows.iter().map(Line::new).collect();
            return table::write_table(out, console, &lines, &columns, false, true);
        }
        if interrupt::is_interrupted() {
            return Ok(());
        }
        before = now;
    }
}

/// Draws until somebody wants it to end. The terminal is as it was, however that happens.
fn watch<K: Kernel>(
    args: &Top,
    kernel: &K,
    console: &Console,
    (first, interval): (Look, Duration),
) -> Result<()> {
    let mut page = Page::new(interval, args.in_use, console.out_color);
    let screen = Screen::enter()?;
    let (mut before, mut now) = (None, first);
    loop {
        let rows: Vec<Row<'_>> = match &before {
            Some(before) => now.since(before),
            None => now.readings.iter().map(|reading| (reading, None)).collect(),
        };
        Screen::draw(&page.lines(&now.pfs, &rows, Screen::size()))?;
        kernel.let_go();
        let due = kernel.now()
            + if before.is_some() { page.interval } else { Duration::from_millis(500) };
        loop {
            let left = due.saturating_sub(kernel.now());
            let Some(key) = screen.key(left)? else { break };
            match page.press(key, rows.len()) {
                Act::Quit => return Ok(()),
                Act::Stop => screen.stop()?,
                Act::Nothing => continue,
                Act::Draw => {}
            }
            Screen::draw(&page.lines(&now.pfs, &rows, Screen::size()))?;
        }
        if screen.is_over() {
            return Ok(());
        }
        let next = look(kernel, &args.vfs)?;
        before = Some(std::mem::replace(&mut now, next));
    }
}

/// One line of the table that is printed once.
#[derive(Serialize)]
struct Line {
    vf: String,
    used_by: String,
    #[serde(skip)]
    rates: Option<Rates>,
    #[serde(skip)]
    source: &'static str,
}

const COLUMNS: &[Column<Line>] = &[
    Column::table(0, "vf", "VF", |line: &Line| Text::plain(line.vf.clone())),
    Column::table(1, "used_by", "USED-BY", |line: &Line| match line.used_by.as_str() {
        "" => Text("free".to_owned(), Tone::Good),
        used_by => Text(used_by.to_owned(), Tone::Warn),
    }),
    Column::table(0, "rx", "RX-BIT/S", |line: &Line| rate(line, |rates| rates.rx_bits)).right(),
    Column::table(0, "tx", "TX-BIT/S", |line: &Line| rate(line, |rates| rates.tx_bits)).right(),
    Column::table(2, "rx_pps", "RX-PKT/S", |line: &Line| rate(line, |rates| rates.rx_packets))
        .right(),
    Column::table(2, "tx_pps", "TX-PKT/S", |line: &Line| rate(line, |rates| rates.tx_packets))
        .right(),
    Column::table(1, "drops", "DROP/S", |line: &Line| rate(line, |rates| rates.dropped)).right(),
    Column::table(3, "source", "COUNTED-BY", |line: &Line| Text::plain(line.source)),
];

fn rate(line: &Line, which: fn(&Rates) -> f64) -> Text {
    Text::of(line.rates.as_ref().map(|rates| short(which(rates))))
}

impl Line {
    fn new((reading, rates): &Row<'_>) -> Self {
        Self {
            vf: reading.vf.clone(),
            used_by: reading.used_by.join(", "),
            rates: *rates,
            source: reading.counters.map_or("", |(_, source)| source.word()),
        }
    }
}

impl VfView {
    fn new((reading, rates): &Row<'_>) -> Self {
        Self {
            vf: reading.vf.clone(),
            pf: reading.pf.clone(),
            pf_device: reading.pf_device.to_string(),
            index: reading.index.0,
            device: reading.device.as_ref().map(ToString::to_string),
            used_by: reading.used_by.clone(),
            source: reading.counters.map(|(_, source)| source.word()),
            counters: reading.counters.map(|(stats, _)| StatsView::new(stats)),
            rates: rates.map(|rates| RatesView {
                rx_bits_per_second: rounded(rates.rx_bits),
                tx_bits_per_second: rounded(rates.tx_bits),
                rx_packets_per_second: rounded(rates.rx_packets),
                tx_packets_per_second: rounded(rates.tx_packets),
                dropped_per_second: rounded(rates.dropped),
            }),
        }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
