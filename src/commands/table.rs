//! Lists as tables, CSV and names: each column is described once.

use std::io::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use serde::Serialize;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::console::Console;
use super::writing;
use crate::error::{Error, Kind, Result};
use crate::model::ids::{MacAddr, PciAddress};
use crate::model::json;
use crate::model::text::printable;
use crate::order;

/// What a cell means, which its colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// Free, up: as it should be.
    Good,
    /// In use: look before you touch it.
    Warn,
    /// Broken.
    Bad,
    /// Down, none: of little interest.
    Dim,
}

/// One cell: its text, empty for unknown.
pub struct Text(pub String, pub Tone);

impl Text {
    /// A cell without a meaning of its own.
    pub fn plain(text: impl Into<String>) -> Self {
        Self(text.into(), Tone::Plain)
    }

    /// The value's text, or unknown.
    pub fn of(value: Option<impl ToString>) -> Self {
        Self::plain(value.map(|value| value.to_string()).unwrap_or_default())
    }
}

/// When a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In every table; the number says which goes first when the terminal is too narrow: the
    /// highest.
    Table(u8),
    /// In tables with all columns, and CSV.
    Wide,
    /// In CSV only.
    Csv,
}

/// A column of rows of type `R`.
pub struct Column<R> {
    /// Its key: CSV header and --sort name; the same as in JSON.
    pub key: &'static str,
    /// Its header in tables.
    pub header: &'static str,
    /// When it is shown.
    pub shown: Shown,
    /// Whether its values are numbers, which stand to the right.
    pub right: bool,
    /// Its cell in a table.
    pub cell: fn(&R) -> Text,
    /// Its value in CSV and for sorting, where that is not the value of its JSON key.
    pub value: Option<fn(&R) -> Value>,
}

impl<R: Serialize> Column<R> {
    /// A column of every table; `rank` says how early it goes when there is no room.
    pub const fn table(
        rank: u8,
        key: &'static str,
        header: &'static str,
        cell: fn(&R) -> Text,
    ) -> Self {
        Self { key, header, shown: Shown::Table(rank), right: false, cell, value: None }
    }

    /// A column of wide tables.
    pub const fn wide(key: &'static str, header: &'static str, cell: fn(&R) -> Text) -> Self {
        Self { key, header, shown: Shown::Wide, right: false, cell, value: None }
    }

    /// A column of CSV only.
    pub const fn csv(key: &'static str) -> Self {
        Self {
            key,
            header: "",
            shown: Shown::Csv,
            right: false,
            cell: |_| Text::plain(""),
            value: None,
        }
    }

    /// With numbers, which stand to the right.
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// With a value of its own in CSV and for sorting.
    pub const fn value(mut self, value: fn(&R) -> Value) -> Self {
        self.value = Some(value);
        self
    }

    fn value_of(&self, row: &R, json: &Value) -> Value {
        match self.value {
            Some(value) => value(row),
            None => json.get(self.key).cloned().unwrap_or(Value::Null),
        }
    }
}

fn to_json<R: Serialize>(row: &R) -> Value {
    serde_json::to_value(row).unwrap_or(Value::Null)
}

/// Sorts rows by the column of that name, or the other way round with `-` before it.
pub fn sort<R: Serialize>(rows: &mut [R], columns: &[&Column<R>], by: &str) -> Result<()> {
    let (reverse, key) = by.strip_prefix('-').map_or((false, by), |key| (true, key));
    let key = key.to_ascii_lowercase().replace('-', "_");
    let column = columns.iter().find(|column| column.key == key).ok_or_else(|| {
        let known: Vec<&str> = columns.iter().map(|column| column.key).collect();
        Error::new(Kind::Usage, format!("there is no column {key} to sort by"))
            .hint(format!("sort by one of: {}", known.join(", ")))
    })?;
    order::sort_by_key(rows, |row| {
        let value = column.value_of(row, &to_json(row));
        // Unknown values stand last either way.
        let key = SortKey::of(&value);
        (value.is_null(), if reverse { Err(std::cmp::Reverse(key)) } else { Ok(key) })
    });
    Ok(())
}

/// What values are ordered by: numbers and addresses as such, since 0000:1a:00.0 read as text with
/// decimal numbers in it would come before 0000:09:00.0; texts so that `eth10` comes after `eth9`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Number(i128),
    Pci(PciAddress),
    Mac(MacAddr),
    Text(Vec<(String, u64)>),
}

impl SortKey {
    fn of(value: &Value) -> Self {
        match value {
            Value::Bool(on) => Self::Number(i128::from(*on)),
            Value::Number(number) => Self::Number(number.as_i128().unwrap_or(0)),
            other => {
                let text = flat(other);
                text.parse()
                    .map(Self::Pci)
                    .or_else(|_| text.parse().map(Self::Mac))
                    .unwrap_or_else(|_| Self::Text(natural(&text)))
            }
        }
    }
}

/// A text split so that `eth10` sorts after `eth9`.
fn natural(text: &str) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0u64)];
    let mut in_number = false;
    for c in text.chars() {
        let digit = c.to_digit(10).map(u64::from);
        if digit.is_none() && in_number {
            parts.push((String::new(), 0));
        }
        in_number = digit.is_some();
        if let Some((word, number)) = parts.last_mut() {
            match digit {
                Some(digit) => *number = number.saturating_mul(10).saturating_add(digit),
                None => word.push(c),
            }
        }
    }
    parts
}

/// Writes a table; without `wide` those columns are left out that the terminal has no room for.
pub fn write_table<R>(
    out: &mut dyn Write,
    console: &Console,
    rows: &[R],
    columns: &[&Column<R>],
    wide: bool,
    headers: bool,
) -> Result<()> {
    let mut shown: Vec<&Column<R>> = columns
        .iter()
        .copied()
        .filter(|column| match column.shown {
            Shown::Table(_) => true,
            Shown::Wide => wide,
            Shown::Csv => false,
        })
        .collect();
    if !wide {
        fit(&mut shown, rows, console.width);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if console.out_color {
        // The spaces that fill the last column must stay outside its colour to be trimmed: they
        // would pass the edge of a terminal that the text itself just fits.
        table.enforce_styling().style_text_only();
    } else {
        table.force_no_tty();
    }
    if headers {
        let bold = |text| {
            let cell = Cell::new(text);
            if console.out_color { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(shown.iter().map(|column| bold(column.header)));
    }
    for row in rows {
        table.add_row(shown.iter().map(|column| colored((column.cell)(row), console)));
    }
    for (index, column) in shown.iter().enumerate() {
        if let Some(of_table) = table.column_mut(index) {
            of_table.set_padding((0, 2));
            if column.right {
                of_table.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end()).map_err(|error| writing(&error))?;
    }
    Ok(())
}

fn colored(text: Text, console: &Console) -> Cell {
    let Text(text, tone) = text;
    let cell = Cell::new(shown_text(&text));
    match tone {
        _ if !console.out_color => cell,
        Tone::Plain if !text.is_empty() => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Warn => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Dim | Tone::Plain => cell.add_attribute(Attribute::Dim),
    }
}

fn shown_text(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { printable(text).into_owned() }
}

/// The least important columns go until the rest fits the width.
fn fit<R>(shown: &mut Vec<&Column<R>>, rows: &[R], width: Option<u16>) {
    let Some(width) = width.map(usize::from) else { return };
    let needs = |column: &&Column<R>| {
        let cells = rows.iter().map(|row| shown_text(&(column.cell)(row).0).width());
        cells.chain([column.header.len()]).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = shown.iter().map(needs).collect();
    while widths.len() > 1 && widths.iter().map(|width| width + 2).sum::<usize>() > width + 2 {
        let rank = |column: &&Column<R>| match column.shown {
            Shown::Table(rank) => rank,
            Shown::Wide | Shown::Csv => u8::MAX,
        };
        let Some(least) = (0..shown.len()).max_by_key(|index| (rank(&shown[*index]), *index))
        else {
            return;
        };
        shown.remove(least);
        widths.remove(least);
    }
}

/// Writes one JSON object a line.
pub fn write_jsonl<R: Serialize>(out: &mut dyn Write, rows: &[R]) -> Result<()> {
    rows.iter().try_for_each(|row| json::write_line(out, row)).map_err(|error| writing(&error))
}

/// Writes names, a line each. Programs get them as they are, to give them back; a terminal does not.
pub fn write_names<'a>(
    out: &mut dyn Write,
    console: &Console,
    mut names: impl Iterator<Item = &'a str>,
) -> Result<()> {
    names
        .try_for_each(|name| writeln!(out, "{}", console.field(name)))
        .map_err(|error| writing(&error))
}

/// Writes CSV with all columns; unknown is an empty field.
pub fn write_csv<R: Serialize>(
    out: &mut dyn Write,
    console: &Console,
    rows: &[R],
    columns: &[&Column<R>],
    headers: bool,
) -> Result<()> {
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => writing(&error),
        other => Error::new(Kind::Failed, format!("writing CSV: {other:?}")),
    };
    let mut writer = csv::Writer::from_writer(out);
    if headers {
        writer.write_record(columns.iter().map(|column| column.key)).map_err(failed)?;
    }
    for row in rows {
        let json = to_json(row);
        let fields = columns.iter().map(|column| flat(&column.value_of(row, &json)));
        let fields = fields.map(|field| console.field(&field).into_owned());
        writer.write_record(fields).map_err(failed)?;
    }
    writer.flush().map_err(|error| writing(&error))
}

/// A value as one field: lists with spaces between their members.
fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(members) => members.iter().map(flat).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
