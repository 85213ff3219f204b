//! Makes a picture (SVG) of a terminal's screen: text with its colours on standard input, as
//! `tmux capture-pane -p -e` writes it, to standard output. See `make picture`.

use std::fmt::Write as _;
use std::io::Read;

/// Size of a character, and the room around the text, in pixels.
const WIDE: f64 = 8.4;
const HIGH: f64 = 18.0;
const AROUND: f64 = 16.0;

/// How text looks (ECMA-48, SGR).
#[derive(Default, Clone, PartialEq)]
struct Style {
    color: Option<&'static str>,
    bold: bool,
    dim: bool,
}

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let mut lines: Vec<&str> = text.lines().collect();
    // The rest of the screen, and the prompt that waits.
    while lines.last().is_some_and(|line| ["", "$"].contains(&line.trim())) {
        lines.pop();
    }
    print!("{}", svg(&lines));
    Ok(())
}

fn svg(lines: &[&str]) -> String {
    let rows: Vec<Vec<(Style, String)>> = lines.iter().map(|line| spans(line)).collect();
    let columns =
        |row: &Vec<(Style, String)>| row.iter().map(|(_, text)| text.chars().count()).sum();
    let most: usize = rows.iter().map(columns).max().unwrap_or(0);
    #[allow(clippy::cast_precision_loss)] // a screen has hundreds of characters
    let (width, height) =
        (most as f64 * WIDE + 2.0 * AROUND, rows.len() as f64 * HIGH + 2.0 * AROUND);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n"
    );
    for (nth, row) in rows.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let y = AROUND + (nth as f64 + 0.75) * HIGH;
        let _ = write!(
            svg,
            "<text x=\"{AROUND}\" y=\"{y:.1}\" fill=\"#d6d9e0\" xml:space=\"preserve\">"
        );
        for (style, text) in row {
            let _ = write!(svg, "<tspan{}>{}</tspan>", style.attributes(), escaped(text));
        }
        svg += "</text>\n";
    }
    svg + "</svg>\n"
}

/// A line as parts that look the same.
fn spans(line: &str) -> Vec<(Style, String)> {
    let mut spans: Vec<(Style, String)> = vec![(Style::default(), String::new())];
    let mut rest = line;
    while let Some(start) = rest.find("\u{1b}[") {
        let (before, code) = rest.split_at(start);
        push(&mut spans, before);
        let code = &code[2..];
        let end = code.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(code.len());
        if code[end..].starts_with('m') {
            // Of the 256 colours the first sixteen are the same.
            let codes = code[..end]
                .replace("38;5;9", "31")
                .replace("38;5;10", "32")
                .replace("38;5;11", "33");
            let style = codes.split(';').fold(spans[spans.len() - 1].0.clone(), Style::with);
            spans.push((style, String::new()));
        }
        rest = code.get(end + 1..).unwrap_or("");
    }
    push(&mut spans, rest);
    spans.retain(|(_, text)| !text.is_empty());
    spans
}

fn push(spans: &mut [(Style, String)], text: &str) {
    if let Some((_, last)) = spans.last_mut() {
        *last += text;
    }
}

impl Style {
    fn with(self, code: &str) -> Self {
        match code {
            "" | "0" => Self::default(),
            "1" => Self { bold: true, ..self },
            "2" => Self { dim: true, ..self },
            "31" | "91" => Self { color: Some("#f07178"), ..self },
            "32" | "92" => Self { color: Some("#a5d76e"), ..self },
            "33" | "93" => Self { color: Some("#f2c55c"), ..self },
            "34" => Self { color: Some("#82aaff"), ..self },
            "39" => Self { color: None, ..self },
            _ => self,
        }
    }

    fn attributes(&self) -> String {
        let color = self.color.map(|color| format!(" fill=\"{color}\"")).unwrap_or_default();
        let weight = if self.bold { " font-weight=\"bold\"" } else { "" };
        let dim = if self.dim { " opacity=\"0.55\"" } else { "" };
        format!("{color}{weight}{dim}")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
