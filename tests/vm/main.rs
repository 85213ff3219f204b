//! Checks on a real kernel with real VFs: boots the lab a few times, each time runs many checks in
//! it, and prints a line for each.
//!
//! The same program runs on both sides: on the machine under test it boots guests, inside of one
//! (`--in-guest SCENARIO`) it runs that scenario's checks. Arguments select checks by part of
//! their name: `cargo test --test vm -- numvfs`.

mod checks;
mod cri;
mod guest;
mod hold;
mod inject;
mod table;
mod terminal;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use crate::guest::Check;

/// One boot: the lab's options and the checks that run in it.
pub struct Scenario {
    /// What the report calls it.
    pub name: &'static str,
    /// Options of the lab.
    pub lab_options: &'static [&'static str],
    /// Its checks.
    pub checks: &'static [Check],
    /// Checks of a second boot, which finds the directory `$SRIOVCTL_KEPT` as the first one left it.
    pub again: &'static [Check],
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, group, address] = args.as_slice()
        && flag == "--hold-vfio"
    {
        hold::vfio(group, address);
    }
    if let [flag, name, filters @ ..] = args.as_slice()
        && flag == "--in-guest"
    {
        let scenario = checks::SCENARIOS.iter().find(|scenario| scenario.name == *name);
        let scenario = scenario.expect("a scenario of that name");
        return guest::run(scenario.checks.iter().chain(scenario.again), filters);
    }
    // What `cargo test` passes on for the built-in harness (--nocapture, ...) says nothing here.
    let filters: Vec<String> = args.into_iter().filter(|arg| !arg.starts_with('-')).collect();
    run_all(&filters)
}

/// Guests at a time. Each has one processor, and idles while the kernel waits for its devices.
const AT_A_TIME: usize = 3;

fn run_all(filters: &[String]) -> ExitCode {
    let wanted = |scenario: &&Scenario| {
        let mut all = scenario.checks.iter().chain(scenario.again);
        all.any(|check| guest::is_wanted(check.name, filters))
    };
    let queue: Vec<&Scenario> = checks::SCENARIOS.iter().filter(wanted).collect();
    let queue = std::sync::Mutex::new(queue.into_iter());
    let results = std::thread::scope(|scope| {
        let work = || {
            let (mut passed, mut failed) = (0, 0);
            // The lock is released before the guest boots.
            while let Some(scenario) = { queue.lock().expect("no worker panics").next() } {
                let (ok, bad) = run_scenario(scenario, filters);
                (passed, failed) = (passed + ok, failed + bad);
            }
            (passed, failed)
        };
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).collect::<Vec<_>>()
    });
    let (passed, failed) = results.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    table::print();
    println!("\nvm checks: {passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_scenario(scenario: &Scenario, filters: &[String]) -> (usize, usize) {
    let names =
        |checks: &'static [Check]| checks.iter().map(|check| check.name).collect::<Vec<_>>();
    if scenario.again.is_empty() {
        let mut wanted = names(scenario.checks);
        wanted.retain(|name| guest::is_wanted(name, filters));
        return run_checks(scenario, wanted, None);
    }
    let kept = tempfile::tempdir().expect("a temporary directory");
    let first = run_checks(scenario, names(scenario.checks), Some(kept.path()));
    let then = run_checks(scenario, names(scenario.again), Some(kept.path()));
    (first.0 + then.0, first.1 + then.1)
}

fn run_checks(
    scenario: &Scenario,
    mut left: Vec<&str>,
    kept: Option<&std::path::Path>,
) -> (usize, usize) {
    let (mut passed, mut failed) = (0, 0);
    for _ in 0..BOOTS {
        println!("booting the lab: {} ({} checks)", scenario.name, left.len());
        let (ok, bad, wedged) = boot(scenario, &left, kept);
        (passed, failed) = (passed + ok.len(), failed + bad.len());
        left.retain(|name| !ok.contains(&(*name).to_owned()) && !bad.contains(&(*name).to_owned()));
        if !wedged {
            break;
        }
    }
    // A guest that died takes its remaining checks with it: they did not pass.
    if !left.is_empty() {
        println!("FAILED {}: {} checks did not report", scenario.name, left.len());
    }
    (passed, failed + left.len())
}

/// Seconds that the checks of one guest may take: several times what the longest do.
const LIMIT: &str = "2400";

/// The same for a soak, which takes all the time that it needs.
const SOAK_LIMIT: &str = "43200";

/// How often a scenario is booted at most: once more each time that its kernel hangs *between* two
/// checks, and only for those that had not begun.
const BOOTS: usize = 3;

/// Boots one guest and passes its lines on; returns which checks passed and failed in it, and
/// whether its kernel hung between two of them.
fn boot(
    scenario: &Scenario,
    checks: &[&str],
    kept: Option<&std::path::Path>,
) -> (Vec<String>, Vec<String>, bool) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/lab");
    let mut child = Command::new(lab)
        .args(scenario.lab_options)
        .args(kept.iter().flat_map(|kept| {
            let kept = kept.display();
            [
                "--share".to_owned(),
                kept.to_string(),
                "--env".into(),
                format!("{}={kept}", guest::KEPT),
            ]
        }))
        .args(
            std::env::var(guest::SOAK)
                .iter()
                .flat_map(|value| ["--env".to_owned(), format!("{}={value}", guest::SOAK)]),
        )
        .args(["--timeout", if guest::is_soak() { SOAK_LIMIT } else { LIMIT }, "--kernel-log"])
        .arg(log.path())
        .arg("--")
        .arg(std::env::current_exe().expect("this program's path"))
        .args(["--in-guest", scenario.name])
        .args(checks.iter().map(|name| format!("={name}")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the lab can be started");
    let (mut passed, mut failed) = (Vec::new(), Vec::new());
    let stdout = BufReader::new(child.stdout.take().expect("its output"));
    for line in stdout.lines().map_while(Result::ok) {
        // `FAILED attach::check: why`, whose name has colons itself.
        let is = |rest: &str, name: &str| {
            rest.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', ':']))
        };
        let named =
            |rest: &str| checks.iter().find(|name| is(rest, name)).map(|name| (*name).to_owned());
        passed.extend(line.strip_prefix("ok ").and_then(named));
        failed.extend(line.strip_prefix("FAILED ").and_then(named));
        if !table::keep(&line) {
            println!("{line}");
        }
        std::io::stdout().flush().expect("stdout");
    }
    let status = child.wait().expect("its end");
    let wedged = status.code() == Some(i32::from(guest::WEDGED));
    if !status.success() && !wedged && failed.is_empty() {
        let log = std::fs::read_to_string(log.path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        println!("the guest ended with {status}; the end of its kernel log:");
        lines.iter().skip(lines.len().saturating_sub(30)).for_each(|line| println!("  {line}"));
    }
    (passed, failed, wedged)
}
