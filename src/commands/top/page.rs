//! What `top` shows and how it answers keys: text in, text out.

use std::cmp::Ordering;
use std::fmt::Write;
use std::time::Duration;

use unicode_width::UnicodeWidthChar;

use super::screen::Key;
use crate::engine::top::Row;
use crate::model::inventory::Pf;
use crate::model::text::printable;
use crate::model::traffic::{Rates, short};
use crate::order;

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Name,
    Received,
    Sent,
    Packets,
    Dropped,
}

/// What a key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// End.
    Quit,
    /// Give the terminal back to the shell for a while (Ctrl-Z).
    Stop,
    /// Draw anew.
    Draw,
    /// It means nothing here.
    Nothing,
}

/// What is shown of all there is.
#[derive(Debug)]
pub struct Page {
    /// Time between two looks.
    pub interval: Duration,
    by: By,
    reverse: bool,
    in_use: bool,
    filter: String,
    typing: bool,
    first: usize,
    color: bool,
}

const KEYS: &str = "keys: n r t p d sort, u in use, / filter, + - interval, q quit";
/// Lines around the rows.
const AROUND: usize = 3;
/// Widths of the numbers.
const NUMBERS: [(&str, usize); 5] =
    [("RX-BIT/S", 9), ("TX-BIT/S", 9), ("RX-PKT/S", 9), ("TX-PKT/S", 9), ("DROP/S", 7)];

impl Page {
    /// As it begins: by name.
    pub fn new(interval: Duration, in_use: bool, color: bool) -> Self {
        Self {
            interval,
            by: By::Name,
            reverse: false,
            in_use,
            filter: String::new(),
            typing: false,
            first: 0,
            color,
        }
    }

    /// Answers a key; `rows` is how many there are in all.
    pub fn press(&mut self, key: Key, rows: usize) -> Act {
        if self.typing {
            match key {
                Key::Char('\u{3}') => return Act::Quit,
                Key::Char('\r' | '\n') => self.typing = false,
                Key::Escape => {
                    self.typing = false;
                    self.filter.clear();
                }
                Key::Char('\u{7f}' | '\u{8}') => drop(self.filter.pop()),
                Key::Char(c) if !c.is_control() => self.filter.push(c),
                Key::Char(_) | Key::Up | Key::Down | Key::PageUp | Key::PageDown => {
                    return Act::Nothing;
                }
            }
            self.first = 0;
            return Act::Draw;
        }
        match key {
            Key::Char('q' | '\u{3}' | '\u{4}') => return Act::Quit,
            Key::Char('\u{1a}') => return Act::Stop,
            Key::Char('n') => self.sort(By::Name),
            Key::Char('r') => self.sort(By::Received),
            Key::Char('t') => self.sort(By::Sent),
            Key::Char('p') => self.sort(By::Packets),
            Key::Char('d') => self.sort(By::Dropped),
            Key::Char('u') => self.in_use = !self.in_use,
            Key::Char('/') => self.typing = true,
            Key::Escape => self.filter.clear(),
            Key::Char('+') => self.interval = (self.interval * 2).min(Duration::from_secs(3600)),
            Key::Char('-') => self.interval = (self.interval / 2).max(Duration::from_millis(100)),
            Key::Up | Key::Char('k') => self.first = self.first.saturating_sub(1),
            Key::Down | Key::Char('j') => self.first = (self.first + 1).min(rows.saturating_sub(1)),
            Key::PageUp => self.first = self.first.saturating_sub(10),
            Key::PageDown => self.first = (self.first + 10).min(rows.saturating_sub(1)),
            Key::Char('\u{c}') => {} // Ctrl-L
            Key::Char(_) => return Act::Nothing,
        }
        Act::Draw
    }

    /// Numbers stand with the largest first; again: the other way round.
    fn sort(&mut self, by: By) {
        self.reverse = self.by == by && !self.reverse;
        self.by = by;
        self.first = 0;
    }

    /// The lines of a terminal of this size.
    pub fn lines(
        &mut self,
        pfs: &[Pf],
        rows: &[Row<'_>],
        (height, width): (usize, usize),
    ) -> Vec<String> {
        let mut shown: Vec<&Row<'_>> = rows.iter().filter(|row| self.is_shown(row)).collect();
        order::sort_by(&mut shown, |a, b| self.order(a, b));
        let room = height.saturating_sub(AROUND).max(1);
        self.first = self.first.min(shown.len().saturating_sub(room));
        let name = shown.iter().map(|(reading, _)| reading.vf.chars().count()).max().unwrap_or(0);
        let name = name.clamp(2, 24);
        let numbers: usize = NUMBERS.iter().map(|(_, wide)| wide).sum();
        let by = width.saturating_sub(name + 2 + numbers).max(4);
        let mut lines = vec![cut(&self.head(pfs, rows), width)];
        let mut header = format!("{:<name$}  {:<by$}", "VF", "USED-BY");
        for (title, wide) in NUMBERS {
            let _ = write!(header, "{title:>wide$}"); // to a String, which does not fail
        }
        lines.push(self.styled("1", &cut(&header, width)));
        for (reading, rates) in shown.iter().skip(self.first).take(room) {
            let used = if reading.used_by.is_empty() {
                "free".to_owned()
            } else {
                reading.used_by.join(", ")
            };
            let mut line = format!("{}  {}", padded(&reading.vf, name), padded(&used, by));
            for (value, (_, wide)) in values(rates.as_ref()).into_iter().zip(NUMBERS) {
                let _ = write!(line, "{value:>wide$}");
            }
            let line = cut(&line, width);
            let dropping = rates.is_some_and(|rates| rates.dropped > 0.0);
            let tone = match (dropping, reading.used_by.is_empty()) {
                (true, _) => "31",
                (false, true) => "2",
                (false, false) => "0",
            };
            lines.push(self.styled(tone, &line));
        }
        lines.resize(height.saturating_sub(1), String::new());
        lines.push(self.foot(shown.len(), room, width));
        lines
    }

    fn head(&self, pfs: &[Pf], rows: &[Row<'_>]) -> String {
        let used = rows.iter().filter(|(reading, _)| !reading.used_by.is_empty()).count();
        let all: Vec<Rates> = rows.iter().filter_map(|(_, rates)| *rates).collect();
        let sum = all.iter().copied().fold(Rates::default(), |a, b| a + b);
        let (pfs, vfs) = (pfs.len(), rows.len());
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let sums = if all.is_empty() {
            String::new()
        } else {
            format!("   RX {}bit/s  TX {}bit/s", short(sum.rx_bits), short(sum.tx_bits))
        };
        format!(
            "{}, {}, {used} in use{sums}   every {} s",
            plural(pfs, "PF"),
            plural(vfs, "VF"),
            seconds(self.interval)
        )
    }

    fn foot(&self, shown: usize, room: usize, width: usize) -> String {
        let by = match self.by {
            By::Name => "name",
            By::Received => "received",
            By::Sent => "sent",
            By::Packets => "packets",
            By::Dropped => "drops",
        };
        if self.typing {
            return cut(&format!("filter: {}_   Enter keeps it, Esc ends it", self.filter), width);
        }
        let mut state = format!("by {by}");
        if self.reverse {
            state += " (reversed)";
        }
        if self.in_use {
            state += ", in use";
        }
        if !self.filter.is_empty() {
            let _ = write!(state, ", /{}", self.filter);
        }
        if shown > room {
            let last = (self.first + room).min(shown);
            let _ = write!(state, ", {}-{last} of {shown}", self.first + 1);
        }
        // What is chosen comes first: the keys may be cut.
        self.styled("2", &cut(&format!("{state}   {KEYS}"), width))
    }

    fn is_shown(&self, (reading, _): &Row<'_>) -> bool {
        let has = |text: &String| text.contains(&self.filter);
        (!self.in_use || !reading.used_by.is_empty())
            && (self.filter.is_empty() || has(&reading.vf) || reading.used_by.iter().any(has))
    }

    fn order(&self, a: &Row<'_>, b: &Row<'_>) -> Ordering {
        let place = |row: &Row<'_>| (row.0.pf_device.clone(), row.0.index);
        let number = |row: &Row<'_>| {
            let rates = row.1.unwrap_or_default();
            match self.by {
                By::Name => 0.0,
                By::Received => rates.rx_bits,
                By::Sent => rates.tx_bits,
                By::Packets => rates.rx_packets + rates.tx_packets,
                By::Dropped => rates.dropped,
            }
        };
        let order = match self.by {
            By::Name => place(a).cmp(&place(b)),
            _ => number(b).total_cmp(&number(a)),
        };
        let order = if self.reverse { order.reverse() } else { order };
        order.then_with(|| place(a).cmp(&place(b)))
    }

    /// In a colour (ECMA-48, SGR), where there are any.
    fn styled(&self, code: &str, text: &str) -> String {
        if self.color && code != "0" {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn values(rates: Option<&Rates>) -> [String; 5] {
    let Some(rates) = rates else { return std::array::from_fn(|_| "-".to_owned()) };
    [rates.rx_bits, rates.tx_bits, rates.rx_packets, rates.tx_packets, rates.dropped].map(short)
}

fn seconds(interval: Duration) -> String {
    let text = format!("{:.2}", interval.as_secs_f64());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Harmless, and as wide as this: cut, or filled with spaces.
fn padded(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let has: usize = text.chars().map(|c| c.width().unwrap_or(0)).sum();
    text + &" ".repeat(width.saturating_sub(has))
}

/// Harmless, and at most as wide as this.
fn cut(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    printable(text).chars().take_while(fits).collect()
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
