//! How long `sriovctl list-vfs --json` takes as a whole process, on trees of growing size.
//!
//! `cargo bench --bench list` prints one line a tree. The last column is what each VF beyond the
//! first costs: it stays the same where the time grows linearly. Without `--bench` (`cargo test
//! --all-targets`) only the two smallest trees are run, once, to see that this still works.
//!
//! The files are in memory, so that reading one is cheaper here than in a live sysfs.

#[allow(dead_code, reason = "every test binary uses another part of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::named::{mixed_4k, scale};
use support::tree::Tree;

fn main() {
    let real = std::env::args().any(|arg| arg == "--bench");
    let (sizes, runs): (&[u16], usize) =
        if real { (&[1, 16, 64, 256, 1024, 4096], 15) } else { (&[1, 16], 1) };
    println!("sriovctl list-vfs --json, whole process, {runs} runs");
    println!("{:>10} {:>10} {:>10} {:>10}", "VFs", "min ms", "median ms", "us per VF");
    let mut first = Duration::ZERO;
    for &size in sizes {
        let (min, median) = time(&scale(size), runs);
        if size == 1 {
            first = min;
        }
        line(&size.to_string(), (min, median), first, u32::from(size));
    }
    if real {
        line("16 x 256", time(&mixed_4k(), runs), first, 4096);
    }
}

/// The shortest and the middle run. One run before goes uncounted, so that all find the binary
/// and the tree in memory.
fn time(tree: &Tree, runs: usize) -> (Duration, Duration) {
    list(tree);
    let mut times: Vec<_> = (0..runs).map(|_| list(tree)).collect();
    times.sort_unstable();
    (times[0], times[runs / 2])
}

fn list(tree: &Tree) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sriovctl"));
    command.arg("--root").arg(tree.root()).args(["list-vfs", "--json"]).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("the binary starts");
    let time = start.elapsed();
    assert!(status.success(), "list-vfs failed: {status}");
    time
}

fn line(name: &str, (min, median): (Duration, Duration), first: Duration, vfs: u32) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let each = match vfs {
        1 => "-".to_owned(),
        _ => format!("{:.1}", min.saturating_sub(first).as_secs_f64() * 1e6 / f64::from(vfs - 1)),
    };
    println!("{name:>10} {:>10.2} {:>10.2} {each:>10}", ms(min), ms(median));
}
