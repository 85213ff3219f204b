//! What sriovctl costs, beside the least that the same could cost: one table, with ratios.
//!
//! `make bench` runs all of it. Arguments select parts: `cargo bench --bench table -- startup`; with
//! `--binary FILE` another build is measured. Without `--bench` (`cargo test --all-targets`) each part
//! that needs no lab runs once, on the smallest hosts, to see that it still works.

mod guest;
mod lab;
mod measure;
mod plot;
mod records;
mod report;
mod scale;
mod startup;
#[allow(dead_code, reason = "every test binary uses another part of it")]
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let text: Vec<&str> = args.iter().map(String::as_str).collect();
    match text[..] {
        [program, ..] if program.ends_with("/sleeper") => return guest::sleeper(),
        [_, "--child", what, root] => return scale::child(what, root),
        [_, "--in-guest", sriovctl, floor, ..] => return guest::run(sriovctl, floor),
        _ => {}
    }
    let is_real = text.contains(&"--bench");
    let binary = text.windows(2).find(|two| two[0] == "--binary").map(|two| two[1]);
    let sriovctl = &measure::installed(binary.unwrap_or(env!("CARGO_BIN_EXE_sriovctl")));
    let parts: Vec<&&str> =
        text[1..].iter().filter(|arg| ["startup", "scale", "lab"].contains(arg)).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|one| **one == part);
    let mut rows = Vec::new();
    if wanted("startup") {
        rows.extend(startup::rows(sriovctl, is_real));
    }
    if wanted("scale") {
        let (found, lines) = scale::rows(sriovctl, is_real);
        rows.extend(found);
        if is_real {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scale.svg");
            let title = "Time of a whole process, as many records as VFs";
            let svg = plot::svg(title, ("VFs and records", "ms"), &lines);
            std::fs::write(file, svg).expect("docs/scale.svg");
        }
    }
    if is_real && wanted("lab") {
        rows.extend(lab::rows(sriovctl));
    }
    report::print(&rows);
    ExitCode::SUCCESS
}
