//! Forms of output, and what becomes of it when nobody reads.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::{printed, refused, run};
use crate::support::named;

#[test]
fn names_can_be_given_back_as_operands() {
    let tree = named::holes();
    assert_eq!(printed(&tree, &["list-pfs", "-o", "name"]), "ens2f0\n");
    let names = printed(&tree, &["list-vfs", "-o", "name"]);
    assert_eq!(names, "ens2f0#0\nens2f0#2\nens2f0#10\n");
    let operands: Vec<&str> = names.lines().collect();
    assert_eq!(printed(&tree, &[&["list-vfs", "-o", "name"], &operands[..]].concat()), names);
}

#[test]
fn json_is_short_for_o_json() {
    let tree = named::igb_two_pfs();
    for list in ["list-pfs", "list-vfs"] {
        let json = printed(&tree, &[list, "--json"]);
        assert!(json.starts_with('{') && json.ends_with("}\n"), "{json}");
        assert_eq!(json, printed(&tree, &[list, "-o", "json"]));
    }
}

#[test]
fn jsonl_is_the_same_objects_a_line_each() {
    let tree = named::vfs_512();
    let json: Value = serde_json::from_str(&printed(&tree, &["list-vfs", "--json"])).unwrap();
    let text = printed(&tree, &["list-vfs", "-o", "jsonl"]);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 512);
    for (line, object) in lines.iter().zip(json["vfs"].as_array().unwrap()) {
        for (key, value) in object.as_object().unwrap() {
            assert_eq!(line.get(key), Some(value), "{key}");
        }
    }
}

#[test]
fn csv_has_a_line_of_keys_and_a_line_a_device() {
    let tree = named::igb_two_pfs();
    let text = printed(&tree, &["list-vfs", "-o", "csv"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    let without = printed(&tree, &["list-vfs", "-o", "csv", "--no-headers"]);
    assert_eq!(without.lines().collect::<Vec<_>>(), lines[1..]);
}

#[test]
fn a_table_is_plain_text_where_no_terminal_is() {
    let tree = named::igb_two_pfs();
    for args in
        [&["list-pfs"][..], &["list-vfs"], &["list-pfs", "-o", "wide"], &["list-vfs", "-o", "wide"]]
    {
        let text = printed(&tree, args);
        assert!(!text.contains('\x1b'), "{text}");
        assert!(text.contains("0000:01:") && text.contains("igb"), "{text}");
    }
    let text = printed(&tree, &["list-pfs"]);
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("0000:0")).collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[0].contains("eth0") && rows[1].contains("eth1"), "{text}");
    let headless = printed(&tree, &["list-pfs", "--no-headers"]);
    assert_eq!(headless.lines().count(), 2, "{headless}");
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let tree = named::vfs_512();
    for form in [&["--json"][..], &["-o", "csv"], &["-o", "table"], &["-o", "name"]] {
        let whole = printed(&tree, &[&["list-vfs"], form].concat());
        assert!(whole.len() > 4000, "{form:?}: there was something to read");
        let mut child = Command::new(env!("CARGO_BIN_EXE_sriovctl"))
            .arg("--root")
            .arg(tree.root())
            .arg("list-vfs")
            .args(form)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{form:?}");
        assert_eq!(output.status.code(), Some(0), "{form:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let tree = named::igb_two_pfs();
    let output = Command::new(env!("CARGO_BIN_EXE_sriovctl"))
        .arg("--root")
        .arg(tree.root())
        .args(["list-vfs", "--json"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left on device"));
}

#[test]
fn an_error_is_an_object_too_with_json() {
    let ran = run(&named::ixgbe_63(), &["list-vfs", "ens2f", "--json"]);
    assert_eq!(ran.code, 3);
    let json: Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    assert_eq!(
        json,
        serde_json::json!({
            "schema_version": 1,
            "error": {
                "code": "not_found",
                "exit_code": 3,
                "message": "no PF or VF is called \"ens2f\"",
                "device": null,
                "errno": null,
                "details": [],
                "hint": "did you mean ens2f0?",
            }
        })
    );
}

#[test]
fn a_root_that_is_not_there_is_not_a_host_without_vfs() {
    let tree = named::empty();
    let missing = tree.path("no-such-dir");
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_sriovctl"));
    let output = command.arg("--root").arg(&missing).arg("list-pfs").output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-dir"));
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let tree = named::igb_two_pfs();
    for args in [
        &["list-vfs", "--free", "--in-use"][..],
        &["list-vfs", "-o", "yaml"],
        &["list-vfs", "--sort", "no-such-column"],
        &["no-such-command"],
    ] {
        refused(&run(&tree, args), 2, &[]);
    }
}

#[test]
fn a_slip_of_the_command_line_is_json_to_whoever_reads_json() {
    let tree = named::igb_two_pfs();
    for args in [
        &["list-vfs", "--json", "-o", "csv"][..],
        &["set-numvfs", "eth0", "abc", "--json"],
        &["list-pfs", "-o", "json", "--no-such-option"],
    ] {
        let ran = run(&tree, args);
        assert_eq!(ran.code, 2, "{ran:?}");
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one document");
        assert_eq!(json["error"]["code"], "usage");
    }
}
