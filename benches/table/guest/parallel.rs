//! 21 ADDs at once. One processor does the same work either way, so that what can be seen is waiting:
//! for locks, for the disk, for an IPAM plugin.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{PFS, VFS, call};
use crate::measure::{Times, ms, ratio};
use crate::report::Row;

const ALL: usize = PFS * VFS;
/// How long an IPAM plugin takes here: longer than one processor needs to begin all of them.
const SLEEP: Duration = Duration::from_secs(10);
/// Where the sleepers write when they slept.
const SLEPT: &str = "/tmp/slept";

pub fn rows(_: &str, _: &str) -> Vec<Row> {
    println!("\n{ALL} ADDs on {PFS} PFs");
    let (mut row, mut once) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        row.push(one_by_one("ADD", &Value::Null));
        one_by_one("DEL", &Value::Null);
        once.push(at_once("ADD", &Value::Null));
        one_by_one("DEL", &Value::Null);
    }
    let (row, once) = (Times::of(row), Times::of(once));
    let sleeper = json!({"type": "sleeper"});
    fs::create_dir_all(SLEPT).expect("a directory");
    let slept = at_once("ADD", &sleeper);
    let together = most_at_a_time();
    one_by_one("DEL", &sleeper);
    let text = |times: Times| format!("{:.0} / {:.0} ms", ms(times.min), ms(times.median));
    println!("  one by one {}; at once {}", text(row), text(once));
    println!(
        "  at once, each with an IPAM plugin that takes 10 s: {:.0} ms, {together} plugins at a time",
        ms(slept)
    );
    let more = slept.saturating_sub(once.median);
    let in_a_row = SLEEP.mul_f64(f64::from(u32::try_from(ALL).expect("a few")));
    vec![
        Row::new(
            "21 ADDs at once against one by one (lab)",
            text(once),
            text(row),
            Some(ratio(once.min, row.min)),
        )
        .goal("1, on one processor"),
        Row::new(
            "the same, IPAM takes 10 s each: what that adds",
            format!("{:.0} ms", ms(more)),
            format!("{:.0} ms one by one", ms(in_a_row)),
            Some(ratio(more, in_a_row)),
        )
        .goal("10 s, its processes"),
        Row::new(
            "IPAM plugins waited for at the same time",
            together.to_string(),
            ALL.to_string(),
            None,
        )
        .goal("all"),
    ]
}

fn one_by_one(command: &str, ipam: &Value) -> Duration {
    let calls: Vec<_> = (0..ALL).map(|nth| call(command, nth, ipam)).collect();
    calls.iter().map(crate::measure::Program::time).sum()
}

fn at_once(command: &str, ipam: &Value) -> Duration {
    let calls: Vec<_> = (0..ALL).map(|nth| call(command, nth, ipam)).collect();
    let begun = Instant::now();
    let children: Vec<_> =
        calls.iter().map(|call| call.command().spawn().expect("a call")).collect();
    for mut child in children {
        let status = child.wait().expect("its end");
        assert!(status.success(), "{command}: {status}");
    }
    begun.elapsed()
}

/// An IPAM plugin that takes its time for an address.
pub fn sleeper() -> ExitCode {
    let get = |name: &str| std::env::var(name).unwrap_or_default();
    if get("CNI_COMMAND") == "ADD" {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let begun = now();
        std::thread::sleep(SLEEP);
        let container = get("CNI_CONTAINERID");
        fs::write(format!("{SLEPT}/{container}"), format!("{begun} {}", now())).expect("a file");
        let nth: u8 = container.trim_start_matches('c').parse().expect("a number");
        println!(
            "{}",
            json!({"cniVersion": "1.0.0", "ips": [{"address": format!("10.9.0.{}/24", nth + 1)}]})
        );
    }
    ExitCode::SUCCESS
}

/// How many of them slept at the same time.
fn most_at_a_time() -> usize {
    let times: Vec<(u128, u128)> = fs::read_dir(SLEPT)
        .expect("a directory")
        .map(|entry| {
            let text = fs::read_to_string(entry.expect("an entry").path()).expect("a file");
            let (begun, ended) = text.split_once(' ').expect("two numbers");
            (begun.parse().expect("a number"), ended.parse().expect("a number"))
        })
        .collect();
    let at =
        |time: u128| times.iter().filter(|(begun, ended)| (*begun..*ended).contains(&time)).count();
    times.iter().map(|(begun, _)| at(*begun)).max().unwrap_or(0)
}
