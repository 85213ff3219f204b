//! The table at the end: what was measured, beside what it is measured by, and the goal.

use std::fmt;

/// One line of it.
#[derive(Debug, Clone)]
pub struct Row {
    pub what: String,
    pub ours: String,
    pub beside: String,
    pub ratio: Option<f64>,
    pub goal: String,
}

/// What a row begins with where it comes out of the lab.
const MARK: &str = "row\t";

impl Row {
    pub fn new(
        what: &str,
        ours: impl Into<String>,
        beside: impl Into<String>,
        ratio: Option<f64>,
    ) -> Self {
        Self {
            what: what.to_owned(),
            ours: ours.into(),
            beside: beside.into(),
            ratio,
            goal: String::new(),
        }
    }

    pub fn goal(self, goal: &str) -> Self {
        Self { goal: goal.to_owned(), ..self }
    }

    /// Writes it for [`Row::read`].
    pub fn tell(&self) {
        let ratio = self.ratio.map(|ratio| ratio.to_string()).unwrap_or_default();
        println!("{MARK}{}\t{}\t{}\t{ratio}\t{}", self.what, self.ours, self.beside, self.goal);
    }

    /// One that [`Row::tell`] wrote.
    pub fn read(line: &str) -> Option<Self> {
        let parts: Vec<&str> = line.strip_prefix(MARK)?.split('\t').collect();
        let [what, ours, beside, ratio, goal] = parts[..] else { return None };
        Some(Self::new(what, ours, beside, ratio.parse().ok()).goal(goal))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let Self { what, ours, beside, goal, .. } = self;
        write!(f, "| {what:<46} | {ours:>20} | {beside:>32} | {ratio:>6} | {goal:<22} |")
    }
}

/// Prints them all.
pub fn print(rows: &[Row]) {
    println!(
        "\n| {:<46} | {:>20} | {:>32} | {:>6} | {:<22} |",
        "what", "sriovctl", "beside", "ratio", "goal"
    );
    println!("|{:-<48}|{:->21}:|{:->33}:|{:->7}:|{:-<24}|", "", "", "", "", "");
    for row in rows {
        println!("{row}");
    }
}
