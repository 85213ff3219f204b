//! From a [`Spec`] to YAML that reads well: what belongs together together, words without quotes only
//! where every reader of YAML takes them for words.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::{PfSpec, Spec, VfsSpec};

impl Spec {
    /// The file.
    pub fn to_yaml(&self) -> String {
        let mut text = format!("version: {}\n", self.version);
        if self.pfs.is_empty() {
            return text + "pfs: []\n";
        }
        text += "pfs:\n";
        for pf in &self.pfs {
            entry(&mut text, 2, pf, &["vfs"]);
            pf.write_vfs(&mut text);
        }
        text
    }
}

impl PfSpec {
    fn write_vfs(&self, text: &mut String) {
        if !self.vfs.is_empty() {
            *text += "    vfs:\n";
        }
        for vfs in &self.vfs {
            entry::<VfsSpec>(text, 6, vfs, &[]);
        }
    }
}

/// An item of a list: a mapping of scalars, without the keys that are lists.
fn entry<T: Serialize>(text: &mut String, indent: usize, of: &T, without: &[&str]) {
    // What consists of numbers, texts and switches always has a JSON form.
    let Ok(Value::Object(keys)) = serde_json::to_value(of) else { return };
    let mut lead = "- ";
    for (key, value) in keys.iter().filter(|(key, _)| !without.contains(&key.as_str())) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{:indent$}{lead}{key}: {}", "", scalar(value));
        lead = "  ";
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::String(word) if is_plain(word) => word.clone(),
        other => other.to_string(),
    }
}

/// A word that is neither number, date, switch nor the like in YAML 1.1 or 1.2.
fn is_plain(word: &str) -> bool {
    let letters = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let starts = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    letters && starts && !reserved.contains(&word.to_ascii_lowercase().as_str())
}
