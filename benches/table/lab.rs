//! What needs a kernel with VFs: this program again, in the lab.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::measure;
use crate::report::Row;

pub fn rows(sriovctl: &str) -> Vec<Row> {
    let floor = measure::compile("floor", "-static");
    let own = std::env::current_exe().expect("this program");
    let sriovctl = std::fs::canonicalize(sriovctl).expect("the program under test");
    let mut child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/lab"))
        .args(["--pfs", "3", "--memory", "2048", "--timeout", "1200", "--"])
        .arg(own)
        .arg("--in-guest")
        .args([sriovctl.as_os_str(), floor.as_ref()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the lab can be started");
    let mut rows = Vec::new();
    let stdout = BufReader::new(child.stdout.take().expect("its output"));
    for line in stdout.lines().map_while(Result::ok) {
        match Row::read(&line) {
            Some(row) => rows.push(row),
            None => println!("{line}"),
        }
    }
    let status = child.wait().expect("its end");
    assert!(status.success(), "the lab ended with {status}");
    rows
}
