//! What is said on standard error: errors, warnings, and that there is nothing to show.

use std::io::{Write, stderr};

use super::console::Console;
use super::table::printable;
use crate::error::Error;

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

/// In one write, so that lines of two processes do not mix. Nobody is left to be told when it
/// fails.
fn lines(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}
