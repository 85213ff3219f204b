//! Every JSON document is as its checked-in schema promises, on every tree.

use serde_json::Value;

use crate::run::{run, run_unchanged};
use crate::support::named::ALL;

/// Sees that `text` is one document that the schema allows.
pub fn check(schema: &str, text: &str, what: &str) {
    let path = format!("{}/schemas/{schema}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let document: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{what}: {e}"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

#[test]
fn lists() {
    for (name, make) in ALL {
        let tree = make();
        for list in ["list-pfs", "list-vfs"] {
            let ran = run(&tree, &[list, "--all-classes", "--json"]);
            assert_eq!(ran.code, 0, "{name}: {ran:?}");
            check(list, &ran.stdout, &format!("{list} on {name}"));
        }
        let ran = run(&tree, &["bind-dpdk", "--status", "--json"]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        check("bind-dpdk-status", &ran.stdout, &format!("the status of {name}"));
        let ran = run_unchanged(&tree, &["doctor", "--all", "--json"]);
        assert!([0, 1, 4].contains(&ran.code), "{name}: {ran:?}");
        check("doctor", &ran.stdout, &format!("the health of {name}"));
    }
}

#[test]
fn plans_and_refusals() {
    for (name, make) in ALL {
        let tree = make();
        let names = run(&tree, &["list-pfs", "--all-classes", "-o", "name"]).stdout;
        for pf in names.lines() {
            for count in ["0", "2", "65535"] {
                let args = ["set-numvfs", pf, count, "--dry-run", "--json"];
                let ran = run_unchanged(&tree, &args);
                let schema = if ran.code == 0 { "set-numvfs" } else { "error" };
                check(schema, &ran.stdout, &format!("{args:?} on {name}"));
            }
            let args = ["set-vf", pf, "--trust", "on", "--mtu", "1400", "--dry-run", "--json"];
            let ran = run_unchanged(&tree, &args);
            let schema = if ran.code == 3 { "error" } else { "set-vf" };
            check(schema, &ran.stdout, &format!("{args:?} on {name}"));
        }
    }
}
