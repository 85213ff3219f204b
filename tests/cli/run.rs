//! Running the binary and looking at what came of it.

use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

use crate::support::tree::Tree;

/// What one run left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The binary, told to read `tree`; it is killed when it has not come to an end in 30 s.
pub fn command(tree: &Tree) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sriovctl"));
    command.env_remove("NO_COLOR").env_remove("COLUMNS").timeout(Duration::from_secs(30));
    command.arg("--root").arg(tree.root());
    command
}

/// Runs `sriovctl --root TREE ARGS`.
pub fn run(tree: &Tree, args: &[&str]) -> Ran {
    let output = command(tree).args(args).output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran {
        code: output.status.code().expect("an exit code, not a signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs it and sees that no file of the tree was made, changed or removed.
pub fn run_unchanged(tree: &Tree, args: &[&str]) -> Ran {
    let before = tree.snapshot();
    let ran = run(tree, args);
    assert!(tree.snapshot() == before, "{args:?} wrote to the tree: {ran:?}");
    ran
}

/// What a successful run printed on stdout, nothing being on stderr.
pub fn printed(tree: &Tree, args: &[&str]) -> String {
    let ran = run(tree, args);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}: {ran:?}");
    ran.stdout
}

/// The list that a successful `--json` run printed.
pub fn list(tree: &Tree, args: &[&str]) -> Vec<Value> {
    let args = [args, &["--json"]].concat();
    let json: Value = serde_json::from_str(&printed(tree, &args)).expect("one JSON document");
    assert_eq!(json["schema_version"], 1, "{json}");
    let key = if args[0] == "list-pfs" { "pfs" } else { "vfs" };
    json[key].as_array().expect("a list").clone()
}

/// One field of each item; it must be there, be it null.
pub fn column(items: &[Value], key: &str) -> Vec<Value> {
    items.iter().map(|item| field(item, key).clone()).collect()
}

/// A field that must be there, be it null.
pub fn field<'a>(item: &'a Value, key: &str) -> &'a Value {
    item.get(key).unwrap_or_else(|| panic!("no key {key} in {item}"))
}

/// Sees that a run failed with `code`, said every one of `words` on stderr, and printed nothing.
pub fn refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert_eq!(ran.stdout, "", "a refusal is no data: {ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not said: {}", ran.stderr);
    }
}
