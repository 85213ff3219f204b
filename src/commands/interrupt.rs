//! Ctrl-C and its like: at a question nothing is changed, during a change it is undone.

use std::io::stderr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::say;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static ASKING: AtomicBool = AtomicBool::new(false);

/// Whether somebody wants a change to end.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// While this is there a question is, and nothing has been changed yet.
pub struct Asking;

impl Asking {
    /// From now on.
    pub fn begin() -> Self {
        ASKING.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.store(false, Ordering::Relaxed);
    }
}

/// A question that ended with a signal: leaves it to the thread that has it too, and ends the program.
pub fn end_if(error: &std::io::Error) {
    if error.kind() == std::io::ErrorKind::Interrupted {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Lets a change end as a whole: from now on the first signal is a wish, the second ends the program. Where
/// that cannot be, a signal ends it at once, as usual, and what was begun is left to a repair.
pub fn catch() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    let terminal = tcgetattr(stderr()).ok();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let asks = ASKING.load(Ordering::Relaxed);
            if asks || INTERRUPTED.swap(true, Ordering::Relaxed) {
                leave(terminal.as_ref(), asks);
                let _ = emulate_default_handler(signal); // it ends the program
            }
            say::plain(
                "sriovctl: interrupted; what was begun is undone or finished first\n\
                 (once more: end at once, and leave it to inspect-state --repair)",
            );
        }
    });
}

/// The terminal as it was: a question hides the cursor, and reads keys one by one.
fn leave(terminal: Option<&Termios>, asked: bool) {
    if let Some(terminal) = terminal {
        let _ = tcsetattr(stderr(), SetArg::TCSANOW, terminal);
        let _ = dialoguer::console::Term::stderr().show_cursor();
    }
    if asked {
        say::plain("\nsriovctl: nothing was changed");
    }
}
