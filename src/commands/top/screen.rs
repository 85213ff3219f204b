//! The whole terminal, keys one by one, and the terminal as it was afterwards.

use std::io::{Write, stdout};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialoguer::console::Term;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, Result};

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Key {
    Char(char),
    Escape,
    Up,
    Down,
    PageUp,
    PageDown,
}

/// The terminal while it is drawn on. Dropped, it is as it was.
pub struct Screen {
    saved: Termios,
    over: Arc<AtomicBool>,
}

/// The other screen of the terminal, without a cursor (xterm's control sequences, DECSET 1049 and 25).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// As long as the rest of a key's sequence may take over a slow line.
const SEQUENCE_WITHIN: Duration = Duration::from_millis(50);

impl Screen {
    /// Takes the terminal; a signal or a panic gives it back too.
    pub fn enter() -> Result<Self> {
        let failed = |errno: Errno| Error::os("reading the terminal's settings", errno as i32);
        let saved = tcgetattr(std::io::stdin()).map_err(failed)?;
        let over = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Where one cannot be caught it ends the program as usual.
            let _ = signal_hook::flag::register(signal, Arc::clone(&over));
        }
        let before = std::panic::take_hook();
        let on_panic = Mutex::new(saved.clone());
        std::panic::set_hook(Box::new(move |panic| {
            if let Ok(saved) = on_panic.lock() {
                give_back(&saved);
            }
            before(panic);
        }));
        let screen = Self { saved, over };
        screen.take()?;
        Ok(screen)
    }

    fn take(&self) -> Result<()> {
        let mut raw = self.saved.clone();
        // Ctrl-C and Ctrl-Z come as keys, so that nothing ends or stops half-drawn.
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &raw)
            .map_err(|errno| Error::os("setting the terminal", errno as i32))?;
        write(ENTER)
    }

    /// Lines and columns.
    pub fn size() -> (usize, usize) {
        let (lines, columns) = Term::stdout().size_checked().unwrap_or((24, 80));
        (usize::from(lines).max(4), usize::from(columns).max(20))
    }

    /// Draws lines, which are harmless, from the top.
    pub fn draw(lines: &[String]) -> Result<()> {
        // Each line takes what was there with it; the last has no line feed, which would scroll.
        write(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
    }

    /// Waits for a key; `None`: there was none in time, or a signal came.
    pub fn key(&self, within: Duration) -> Result<Option<Key>> {
        let Some(first) = self.byte(within)? else { return Ok(None) };
        if first != 0x1b {
            return self.character(first).map(|c| Some(Key::Char(c)));
        }
        let Some(b'[' | b'O') = self.byte(SEQUENCE_WITHIN)? else { return Ok(Some(Key::Escape)) };
        Ok(Some(match self.byte(SEQUENCE_WITHIN)? {
            Some(b'A') => Key::Up,
            Some(b'B') => Key::Down,
            Some(digit @ (b'5' | b'6')) => {
                self.byte(SEQUENCE_WITHIN)?; // ~
                if digit == b'5' { Key::PageUp } else { Key::PageDown }
            }
            _ => Key::Char('\0'),
        }))
    }

    /// A character of UTF-8 that begins with this byte.
    fn character(&self, first: u8) -> Result<char> {
        let more = match first {
            0xc0..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf7 => 3,
            _ => 0,
        };
        let mut bytes = vec![first];
        for _ in 0..more {
            bytes.extend(self.byte(SEQUENCE_WITHIN)?);
        }
        Ok(std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next()).unwrap_or('\0'))
    }

    fn byte(&self, within: Duration) -> Result<Option<u8>> {
        let stdin = std::io::stdin();
        let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let within = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, within) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(Error::os("waiting for a key", errno as i32)),
        }
        let mut byte = [0];
        match nix::unistd::read(&stdin, &mut byte) {
            Ok(1) => Ok(Some(byte[0])),
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(None),
            // Whoever sat there has gone.
            Ok(_) | Err(_) => {
                self.over.store(true, Ordering::Relaxed);
                Ok(None)
            }
        }
    }

    /// Whether a signal wants it to end, or the terminal has gone.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Stops as Ctrl-Z does, and goes on with `fg`.
    pub fn stop(&self) -> Result<()> {
        give_back(&self.saved);
        raise(Signal::SIGTSTP).map_err(|errno| Error::os("stopping", errno as i32))?;
        self.take()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.saved);
    }
}

fn give_back(saved: &Termios) {
    let _ = write(LEAVE);
    let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, saved);
}

/// At once: half a screen is never seen.
fn write(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| super::writing(&error))
}
