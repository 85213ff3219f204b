//! What is said: lines on standard output, and on standard error errors, warnings, and that there is
//! nothing to show. Whatever comes from the system becomes harmless here (and in `table`).

use std::io::{Write, stderr};

use super::console::Console;
use super::table::Tone;
use crate::error::Error;
use crate::model::text::printable;

/// An error: the sentence, its lines, and what to do next.
pub fn error(console: &Console, error: &Error) {
    let mut text = vec![format!("{} {}", console.strong("sriovctl:"), printable(error.message()))];
    text.extend(error.detail_lines().iter().map(|line| format!("  {}", printable(line))));
    let hint = error.next_step();
    text.extend(hint.map(|hint| format!("  {} {}", console.strong("try:"), printable(hint))));
    lines(&(text.join("\n") + "\n"));
}

/// Something that is not as it should be, but did not keep the command from its end.
pub fn warning(text: &str) {
    lines(&format!("sriovctl: warning: {}\n", printable(text)));
}

/// A remark, e.g. that a list is empty, with what to do next.
pub fn remark(text: &str, hint: &str) {
    lines(&format!("{}\n  try: {}\n", printable(text), printable(hint)));
}

/// Several lines with something in them that is not harmless.
pub fn plain(text: &str) {
    let harmless: Vec<_> = text.lines().map(printable).collect();
    lines(&(harmless.join("\n") + "\n"));
}

/// One line of standard output: a line feed in it would begin a line that looks like one of ours.
pub fn write_line(out: &mut dyn Write, text: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    writeln!(out, "{}", printable(&text.to_string()))
}

/// A line that begins with a word of ours in its colour.
pub fn marked(
    out: &mut dyn Write,
    console: &Console,
    (word, tone): (&'static str, Tone),
    text: &str,
) -> std::io::Result<()> {
    let code = match tone {
        _ if !console.out_color => "",
        Tone::Plain => "0",
        Tone::Good => "32",
        Tone::Warn => "33",
        Tone::Bad => "31",
        Tone::Dim => "2",
    };
    let text = printable(text);
    // Codes of the terminal (ECMA-48, SGR) stand around the word only.
    if code.is_empty() {
        return writeln!(out, "{word}{text}");
    }
    writeln!(out, "\x1b[{code}m{word}\x1b[0m{text}")
}

/// [`write_line`], written as `writeln!` is.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {
        $crate::commands::say::write_line($out, format_args!($($text)*))
    };
}
pub(super) use line;

/// In one write, so that lines of two processes do not mix. Nobody is left to be told when it
/// fails.
fn lines(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_stays_one_line_and_steers_nothing() {
        let (name, mut out) = ("a\x1b]0;title\x07\neth0 has 7 VFs", Vec::new());
        line!(&mut out, "{name} is {} again", "\u{202e}0hte").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a\\u{1b}]0;title\\u{7}\\neth0 has 7 VFs is \\u{202e}0hte again\n"
        );
    }
}
