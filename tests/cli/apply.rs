//! `apply` and `export` on made-up trees: files that cannot be meant so, what would be changed, and what
//! is exported of every kind of card.

use serde_json::Value;

use crate::run::{refused, run, run_unchanged};
use crate::support::named::{self, ALL};

fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

#[test]
fn a_file_that_cannot_be_meant_so_names_the_place_and_changes_nothing() {
    let tree = named::igb_two_pfs();
    for (text, said) in [
        ("", "it is empty: it should begin with \"version: 1\""),
        ("pfs: []\n", "missing field `version`"),
        ("version: 7\n", "it is of version 7"),
        ("version: 1\npfs:\n- pf: eth0\n  numvf: 1\n", "pfs[0]: unknown field `numvf`"),
        ("version: 1\npfs:\n- pf: eth0\n\tnumvfs: 1\n", "line 4"),
        ("{\"version\": 1, \"pfs\": [{}]}", "missing field `pf`"),
    ] {
        let (_dir, path) = file(text);
        let ran = run_unchanged(&tree, &["apply", &path, "--dry-run"]);
        refused(&ran, 2, &[&format!("{path}: "), said, "nothing was changed"]);
    }
    let ran = run_unchanged(&tree, &["apply", "/nonexistent/host.yaml"]);
    refused(&ran, 3, &["reading /nonexistent/host.yaml"]);
    refused(&run_unchanged(&tree, &["apply"]), 3, &["has no file to apply", "sriovctl export"]);
    let (_dir, path) = file("version: 1\n");
    refused(&run_unchanged(&tree, &["apply", &path, &path, "--persist"]), 2, &["keeps one file"]);
}

#[test]
fn what_would_be_changed_is_told_vf_by_vf_in_json_and_together_for_people() {
    let tree = named::igb_two_pfs();
    let (_dir, path) =
        file("version: 1\npfs:\n- pf: eth1\n  numvfs: 3\n  vfs:\n  - vfs: 0-1\n    vlan: 9\n");
    let ran = run_unchanged(&tree, &["apply", &path, "--dry-run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        format!(
            "eth1      numvfs  0 -> 3\neth1#0-1  vlan    new -> 9\n\
             1 PF: 3 changes to make; nothing was changed\n  make them: sriovctl apply {path}\n"
        )
    );
    let ran = run_unchanged(&tree, &["apply", &path, "--dry-run", "--json"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    crate::schema::check("apply", &ran.stdout, "a dry run");
    assert_eq!(json["changes"].as_array().unwrap().len(), 3);
    assert_eq!(json["diff"]["before"], "eth1 numvfs: 0\n");
    assert_eq!(json["diff"]["after"], "eth1 numvfs: 3\neth1#0 vlan: 9\neth1#1 vlan: 9\n");
    // A tree is never changed.
    refused(&run_unchanged(&tree, &["apply", &path]), 2, &["--root"]);
}

#[test]
fn every_host_can_be_exported_as_the_schema_of_the_file_says() {
    for (name, make) in ALL {
        let tree = make();
        let ran = run_unchanged(&tree, &["export", "--format", "json"]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        crate::schema::check("host", &ran.stdout, &format!("the export of {name}"));
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        let yaml = run_unchanged(&tree, &["export"]);
        let spec =
            sriovctl::model::spec::read(&yaml.stdout).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(serde_json::to_value(&spec).unwrap(), json, "{name}");
        let pfs = run(&tree, &["list-pfs", "--json"]).stdout;
        let pfs: Value = serde_json::from_str(&pfs).unwrap();
        let driven = |pf: &&Value| !pf["driver"].is_null();
        assert_eq!(
            spec.pfs.len(),
            pfs["pfs"].as_array().unwrap().iter().filter(driven).count(),
            "{name}"
        );
    }
}

#[test]
fn pools_are_vfs_of_one_pf_with_one_driver() {
    let tree = named::igb_two_pfs();
    let ran =
        run_unchanged(&tree, &["export", "--format", "device-plugin", "--prefix", "example.com"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let pools = json["resourceList"].as_array().unwrap();
    for pool in pools {
        assert_eq!(pool["resourcePrefix"], "example.com");
        let name = pool["resourceName"].as_str().unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
    }
    // Every VF with a driver is in one pool, and in one only.
    let listed = run(&tree, &["list-vfs", "--json"]).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let driven =
        listed["vfs"].as_array().unwrap().iter().filter(|vf| !vf["driver"].is_null()).count();
    let of = |pool: &Value| -> usize {
        let root = pool["selectors"][0]["rootDevices"][0].as_str().unwrap();
        let (_, numbers) = root.split_once('#').unwrap();
        let count = |range: &str| match range.split_once('-') {
            Some((a, b)) => b.parse::<usize>().unwrap() - a.parse::<usize>().unwrap() + 1,
            None => 1,
        };
        numbers.split(',').map(count).sum()
    };
    assert_eq!(pools.iter().map(of).sum::<usize>(), driven);
    let ran = run_unchanged(&tree, &["export", "--format", "nad", "--namespace", "net"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let networks = json["items"].as_array().unwrap();
    assert_eq!(networks.len(), pools.len());
    for network in networks {
        assert_eq!(network["metadata"]["namespace"], "net");
        let config = network["spec"]["config"].as_str().unwrap();
        let config: Value = serde_json::from_str(config).unwrap();
        assert_eq!(
            (&config["type"], &config["name"]),
            (&"sriov".into(), &network["metadata"]["name"])
        );
    }
    let ran = run_unchanged(&tree, &["export", "--format", "nad", "--prefix", "Not A Domain"]);
    refused(&ran, 2, &["is no prefix of a resource"]);
}
