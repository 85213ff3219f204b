//! A real terminal of 80 columns and 24 lines, with somebody at it: tmux.

use crate::guest::{eventually, ok, sh};

/// A program at a terminal; it is closed when this goes.
pub struct Terminal;

impl Terminal {
    /// Opens one that runs a shell command.
    pub fn open(command: &str) -> Self {
        let quoted = command.replace('\'', r"'\''");
        ok(&format!(
            "tmux -L check kill-server 2>/dev/null; export LANG=C.UTF-8 TERM=screen-256color
            tmux -L check -f /dev/null -u new-session -d -x 80 -y 24 '{quoted}'"
        ));
        Self
    }

    /// Types text as it is.
    pub fn text(&self, text: &str) {
        ok(&format!("tmux -L check send-keys -l '{}'", text.replace('\'', r"'\''")));
    }

    /// Presses keys, as tmux names them: Tab, Enter, C-c, Down.
    pub fn press(&self, keys: &str) {
        ok(&format!("tmux -L check send-keys {keys}"));
    }

    /// What is to be seen, without empty lines at the end.
    pub fn screen(&self) -> String {
        sh("tmux -L check capture-pane -p").out.trim_end().to_owned()
    }

    /// Waits until something is to be seen; returns the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        let mut last = String::new();
        let mut wait = || {
            eventually(&format!("{text:?} on the screen"), || {
                last = self.screen();
                last.contains(text)
            });
        };
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut wait)) {
            println!("    the screen:\n{}", self.screen());
            std::panic::resume_unwind(panic);
        }
        last
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        sh("tmux -L check kill-server 2>/dev/null");
    }
}
