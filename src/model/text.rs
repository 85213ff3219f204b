//! Texts of the system made harmless: names that containers and other programs give must steer
//! neither a terminal nor a shell that a printed command is pasted into.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character is shown as itself and changes nothing else. Not so are control characters
/// (escape sequences begin with one, also with U+009B), what turns the direction of writing (bidi),
/// what breaks lines, and what is not seen at all.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// For people: what is not harmless is written as `\n`, `\u{1b}` and so on.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmless(c) { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    Cow::Owned(shown)
}

/// A JSON document with what is not harmless as JSON's own escapes: it says the same, but can be
/// looked at. (JSON itself only demands that of characters below U+0020.)
pub fn printable_json(document: &str) -> Cow<'_, str> {
    if is_below_delete(document.as_bytes()) {
        return Cow::Borrowed(document);
    }
    let mut shown = String::with_capacity(document.len() + 8);
    for c in document.chars() {
        if c == '\n' || is_harmless(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}"); // a String takes everything
        }
    }
    Cow::Owned(shown)
}

/// Whether all of a JSON document is ASCII below U+007F: outside of strings nothing else is, and of control characters
/// only line feeds. Eight bytes at a time: lists are megabytes, and nearly always so.
fn is_below_delete(document: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let (words, rest) = document.as_chunks::<8>();
    let is_plain = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        // No byte of UTF-8 is 0xff: none of these sums is carried into the next byte.
        (word | word.wrapping_add(ONES)) & (ONES << 7) == 0
    };
    words.iter().all(is_plain) && rest.iter().all(|byte| *byte < 0x7f)
}

/// One word of a shell command: as it is where a shell takes it so, else quoted, and in bash's
/// `$'...'` where quotes alone would leave what is not harmless.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    if text.chars().all(is_harmless) {
        return Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")));
    }
    let mut word = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if is_harmless(c) => word.push(c),
            c => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(word, "\\x{byte:02x}"); // a String takes everything
                }
            }
        }
    }
    word.push('\'');
    Cow::Owned(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A colour, a carriage return that overwrites, C1's CSI, a right-to-left override, an isolate,
    /// a line separator, nothing to be seen, a tag.
    const HOSTILE: &str =
        "a\x1b[31m\r\u{9b}2J\u{202e}gpj\u{2066}\u{2028}\u{200b}\u{feff}\u{e0041}\x7fb";

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        let shown = printable(HOSTILE);
        assert!(shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{shown:?}");
        assert!(shown.starts_with(r"a\u{1b}[31m\r\u{9b}2J\u{202e}gpj"), "{shown}");
        assert_eq!(printable("two\nlines"), r"two\nlines");
    }

    #[test]
    fn what_is_harmless_stays() {
        for name in ["eth0", "enp1s0f0np0", "naïve-δ-名前", "a b", "[pid 7]", "it's"] {
            assert_eq!(printable(name), name);
        }
    }

    #[test]
    fn json_says_the_same_and_can_be_looked_at() {
        let value = serde_json::json!({ "name": HOSTILE, "other": "δ" });
        let document = format!("{value:#}");
        let text = printable_json(&document);
        assert!(text.chars().all(|c| c == '\n' || is_harmless(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(text.contains('δ') && text.contains("\\u202e") && text.contains("\\udb40\\udc41"));
    }

    #[test]
    fn json_is_looked_at_byte_by_byte() {
        for odd in ["\u{7f}", "\u{80}", "\u{7ff}", "\u{202e}", "\u{10ffff}"] {
            for before in 0..20 {
                let text = format!("{}{odd}{}", "~".repeat(before), "~".repeat(20 - before));
                assert!(!is_below_delete(text.as_bytes()), "{text:?}");
            }
        }
        let plain: String = (1..0x7f).map(char::from).collect();
        (0..plain.len()).for_each(|from| assert!(is_below_delete(&plain.as_bytes()[from..])));
    }

    #[test]
    fn a_shell_gives_back_each_word_and_runs_none() {
        let words = [
            "eth0",
            "/run/netns/blue",
            "",
            "a b",
            "it's",
            "$(touch hit)",
            "`touch hit`",
            "a;touch hit",
            "a\\",
            "~",
            "*",
            "#1",
            "-n",
            HOSTILE,
            "a'\x1b\\",
            "two\nlines",
            "!x",
        ];
        let dir = tempfile::tempdir().unwrap();
        for word in words {
            let script = format!("printf %s {}", shell_word(word));
            let mut bash = std::process::Command::new("bash");
            let output = bash.args(["-c", &script]).current_dir(dir.path()).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), word, "{script}");
            assert!(!shell_word(word).contains(['\x1b', '\n', '\u{202e}']), "{script:?}");
        }
        assert!(!dir.path().join("hit").exists(), "something was run");
    }
}
