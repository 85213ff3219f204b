//! A real terminal of 80 columns and 24 lines, with somebody at it: tmux.

use std::time::Duration;

use crate::guest::{is_within, ok, sh};

/// A program at a terminal; it is closed when this goes.
pub struct Terminal {
    /// How tmux is called for it.
    tmux: &'static str,
}

impl Terminal {
    /// Opens one that runs a shell command.
    pub fn open(command: &str) -> Self {
        let quoted = command.replace('\'', r"'\''");
        ok(&format!(
            "tmux -L check kill-server 2>/dev/null; export LANG=C.UTF-8 TERM=screen-256color
            tmux -L check -f /dev/null -u new-session -d -x 80 -y 24 '{quoted}'"
        ));
        Self { tmux: "tmux -L check" }
    }

    /// Types text as it is.
    pub fn text(&self, text: &str) {
        let (tmux, text) = (self.tmux, text.replace('\'', r"'\''"));
        ok(&format!("{tmux} send-keys -l '{text}'"));
    }

    /// Presses keys, as tmux names them: Tab, Enter, C-c, Down.
    pub fn press(&self, keys: &str) {
        let tmux = self.tmux;
        ok(&format!("{tmux} send-keys {keys}"));
    }

    /// What is to be seen, without empty lines at the end.
    pub fn screen(&self) -> String {
        sh(&format!("{} capture-pane -p", self.tmux)).out.trim_end().to_owned()
    }

    /// Whether the cursor is to be seen.
    pub fn has_cursor(&self) -> bool {
        ok(&format!("{} display-message -p '#{{cursor_flag}}'", self.tmux)) == "1"
    }

    /// Waits until the screen is the one that is kept under a name: it is drawn by and by.
    #[track_caller]
    pub fn looks(&self, name: &str) {
        let path = format!("{}/tests/vm/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let is_kept = is_within(Duration::from_secs(45), || self.screen() == kept.trim_end());
        assert!(is_kept, "{path} is another screen than\n{}\n(end)", self.screen());
    }

    /// Waits until something is to be seen; returns the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        let mut screen = String::new();
        let is_seen = is_within(Duration::from_secs(30), || {
            screen = self.screen();
            screen.contains(text)
        });
        assert!(is_seen, "never: {text:?} on the screen\n{screen}\n(end)");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        sh(&format!("{} kill-server 2>/dev/null", self.tmux));
    }
}
