//! One table of all operations that were cut off or failed somewhere: its rows come from the guests.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// An operation under one kind of fault.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub fault: String,
    /// Calls at which it was injected.
    pub points: usize,
    pub cases: usize,
    /// VFs that were not as before, or lost.
    pub dirty: usize,
    /// Records, leases and allocations left behind.
    pub left: usize,
    pub how: String,
}

/// How a line of a guest's begins that is one.
const MARK: &str = "row ";

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// In a guest: passes a row on.
pub fn row(row: &Row) {
    println!("{MARK}{}", serde_json::to_string(row).unwrap());
}

/// Outside: keeps the row if a guest's line is one.
pub fn keep(line: &str) -> bool {
    let Some(row) = line.strip_prefix(MARK) else { return false };
    ROWS.lock().unwrap().push(serde_json::from_str(row).expect("a row"));
    true
}

/// Prints what was kept.
pub fn print() {
    let mut rows = ROWS.lock().unwrap();
    if rows.is_empty() {
        return;
    }
    rows.sort_by(|one, other| (&one.fault, &one.name).cmp(&(&other.fault, &other.name)));
    println!(
        "\nEvery call by which an operation changes something, killed there and failing there:"
    );
    println!(
        "{:<20} {:<8} {:>6} {:>6} {:>6} {:>6}",
        "operation", "fault", "points", "cases", "dirty", "left"
    );
    for Row { name, fault, points, cases, dirty, left, how } in rows.iter() {
        println!("{name:<20} {fault:<8} {points:>6} {cases:>6} {dirty:>6} {left:>6}  {how}");
    }
}
