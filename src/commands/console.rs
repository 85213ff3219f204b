//! The terminal: whether somebody is there, colours, questions and progress.

use std::borrow::Cow;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::time::Duration;

use dialoguer::console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::interrupt::{self, Asking};
use crate::cli::ColorWhen;
use crate::engine::Progress;
use crate::error::{Error, Kind, Result};
use crate::model::text::printable;

/// What standard input, output and error are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console {
    stdin: bool,
    stderr: bool,
    /// Whether standard output is a terminal.
    pub stdout: bool,
    /// Colours in tables.
    pub out_color: bool,
    err_color: bool,
    /// Columns of the terminal that standard output is; `None`: it is none.
    pub width: Option<u16>,
}

impl Console {
    /// As this process has them.
    pub fn detect(color: ColorWhen) -> Self {
        let wanted = |is_terminal: bool| match color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            // https://no-color.org
            ColorWhen::Auto => {
                is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        let (out, err) = (stdout().is_terminal(), stderr().is_terminal());
        let columns = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let of_terminal = || {
            let size = Term::stdout().size_checked();
            size.map(|(_, columns)| columns).filter(|columns| *columns > 0)
        };
        Self {
            stdin: stdin().is_terminal(),
            stderr: err,
            stdout: out,
            out_color: wanted(out),
            err_color: wanted(err),
            width: if out { of_terminal().or_else(columns) } else { columns() },
        }
    }

    /// No terminal, but so many columns.
    #[cfg(test)]
    pub fn with_width(self, columns: u16) -> Self {
        Self { width: Some(columns), ..self }
    }

    /// A field of data: as it is for programs, harmless for a terminal.
    pub fn field(self, text: &str) -> Cow<'_, str> {
        if self.stdout { printable(text) } else { Cow::Borrowed(text) }
    }

    /// Whether somebody is there to be asked.
    pub fn can_ask(self) -> bool {
        self.stdin && self.stderr
    }

    /// Whether somebody is there who sees what is drawn and presses keys.
    pub fn can_be_drawn_on(self) -> bool {
        self.stdin && self.stdout
    }

    /// Lets somebody choose; no choice is an error.
    pub fn select(question: &str, items: &[String]) -> Result<usize> {
        let select = dialoguer::Select::new()
            .with_prompt(question)
            .items(items.iter().map(|item| printable(item)))
            .default(0);
        let nothing = |why: &str| Error::new(Kind::Usage, format!("nothing was chosen{why}"));
        let chosen = ask(|term| select.interact_on_opt(term), |why| nothing(&format!(" ({why})")))?;
        chosen.ok_or_else(|| nothing(""))
    }

    /// Lets somebody choose some; none is an error.
    pub fn select_some(question: &str, items: &[String]) -> Result<Vec<usize>> {
        let select = dialoguer::MultiSelect::new()
            .with_prompt(format!("{question} (space marks, enter ends)"))
            .items(items.iter().map(|item| printable(item)));
        let nothing = |why: &str| Error::new(Kind::Usage, format!("nothing was chosen{why}"));
        let chosen = ask(|term| select.interact_on_opt(term), |why| nothing(&format!(" ({why})")))?;
        chosen.filter(|chosen| !chosen.is_empty()).ok_or_else(|| nothing(""))
    }

    /// Asks for a number; an empty line is `present`.
    pub fn number(question: &str, present: u32, most: u32) -> Result<u32> {
        let input =
            dialoguer::Input::<u32>::new()
                .with_prompt(printable(question))
                .default(present)
                .validate_with(|number: &u32| {
                    if *number <= most { Ok(()) } else { Err(format!("at most {most}")) }
                });
        let none = |why| Error::new(Kind::Usage, format!("no number was given ({why})"));
        ask(|term| input.interact_text_on(term), none)
    }

    /// Bold on standard error, where it takes colours.
    pub fn strong(self, text: &str) -> String {
        if self.err_color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Asks yes or no; no is the answer to an empty line. The question is made of `lines`.
    pub fn confirm(lines: &[String]) -> Result<bool> {
        let lines: Vec<_> = lines.iter().map(|line| printable(line)).collect();
        let confirm = dialoguer::Confirm::new().with_prompt(lines.join("\n")).default(false);
        let none = |why| Error::new(Kind::Busy, format!("no answer ({why}); nothing was changed"));
        Ok(ask(|term| confirm.interact_on_opt(term), none)?.unwrap_or(false))
    }
}

/// Asks a question; an answer that could not be read is the error that `none` makes of the reason.
fn ask<T>(
    question: impl FnOnce(&Term) -> dialoguer::Result<T>,
    none: impl FnOnce(std::io::Error) -> Error,
) -> Result<T> {
    let _asking = Asking::begin()?;
    question(&Term::stderr()).map_err(|dialoguer::Error::IO(error)| {
        interrupt::end_if(&error);
        none(error)
    })
}

/// A line of progress while something lasts, nothing where standard error is no terminal.
pub struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    /// A line that is not yet shown.
    pub fn new(console: &Console) -> Self {
        let bar = console.stderr.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(spinner());
            // Redrawn by itself, so that it is seen to be alive while the kernel works.
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn stage(&self, what: &str, total: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_style(if total == 0 { spinner() } else { counter() });
        bar.set_length(total);
        bar.set_position(0);
        bar.set_message(printable(what).into_owned());
    }

    fn done(&self, count: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(count);
        }
    }

    fn is_interrupted(&self) -> bool {
        interrupt::is_interrupted()
    }

    fn note(&self, text: &str) {
        let line = format!("sriovctl: {}", printable(text));
        match &self.bar {
            Some(bar) => bar.println(line),
            // Nobody is left to be told when this fails.
            None => drop(writeln!(stderr(), "{line}")),
        }
    }
}

/// A stage that counts nothing.
fn spinner() -> ProgressStyle {
    style("{spinner} {msg}")
}

/// A stage that counts.
fn counter() -> ProgressStyle {
    style("{spinner} {msg} {wide_bar} {pos}/{len} ({elapsed})")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
