//! Ctrl-C and its like: at a question nothing is changed, during a change it is undone.

use std::io::stderr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::say;
use crate::error::{Error, Kind, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static ASKING: AtomicBool = AtomicBool::new(false);

/// Sessions that end send several signals at once: a wish to end at once comes later.
const ONCE_MORE_AFTER: Duration = Duration::from_secs(1);

/// Whether somebody wants a change to end.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Why the next device is left alone, if it is.
pub fn before(device: &str) -> Option<Error> {
    is_interrupted().then(|| {
        Error::new(Kind::Failed, format!("{device}: interrupted before it was begun"))
            .device(device)
            .hint("nothing was changed there; give the same command once more")
    })
}

/// While this is there a question is, and nothing has been changed yet.
pub struct Asking;

impl Asking {
    /// From now on. Whoever is to be interrupted already is asked nothing.
    pub fn begin() -> Result<Self> {
        ASKING.store(true, Ordering::Relaxed);
        let asking = Self;
        if is_interrupted() {
            return Err(Error::new(Kind::Failed, "interrupted; nothing was changed"));
        }
        Ok(asking)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.store(false, Ordering::Relaxed);
    }
}

/// A question that ended with a signal: the thread that has the signal too ends the program, and this one
/// only stands by. A second later there was nobody to end it: the signal is not caught.
pub fn end_if(error: &std::io::Error) {
    if error.kind() == std::io::ErrorKind::Interrupted {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Lets a change end as a whole: from now on the first signal is a wish; Ctrl-C and SIGTERM once more end the
/// program. Signals that the caller had ignored (`nohup`, `&` in a script) stay so. Where nothing can be
/// caught, a signal ends the program at once, as usual, and what was begun is left to a repair.
pub fn catch(is_ignored: impl Fn(i32) -> bool) {
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
    let Ok(mut signals) = Signals::new(wanted) else { return };
    let terminal = tcgetattr(stderr()).ok();
    std::thread::spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            let asks = ASKING.load(Ordering::Relaxed);
            let again = first.is_some_and(|first| first.elapsed() >= ONCE_MORE_AFTER);
            if asks || (again && signal != SIGHUP) {
                leave(terminal.as_ref(), asks);
                let _ = emulate_default_handler(signal); // it ends the program
            }
            if first.replace(first.unwrap_or_else(Instant::now)).is_some() {
                continue;
            }
            INTERRUPTED.store(true, Ordering::Relaxed);
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
