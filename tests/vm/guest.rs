//! Inside the guest: running checks, and the few words that checks are written in.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A named check: it panics, by an assertion, when what it sees is not what it expects.
pub struct Check {
    pub name: &'static str,
    pub run: fn(),
}

thread_local! {
    /// Commands of the running check with what they said, for the report of a failure.
    static TRANSCRIPT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Whether a check is selected: by part of its name, or by all of it, written `=name`.
pub fn is_wanted(check: &str, filters: &[String]) -> bool {
    let fits = |filter: &String| match filter.strip_prefix('=') {
        Some(name) => check == name,
        None => check.contains(filter.as_str()),
    };
    filters.is_empty() || filters.iter().any(fits)
}

/// Whether everything shall be tried, however long that takes (`make soak`).
pub fn is_soak() -> bool {
    std::env::var_os(SOAK).is_some()
}

/// The variable that says so, on both sides.
pub const SOAK: &str = "SRIOVCTL_SOAK";

/// The variable with the directory that outlives a boot.
pub const KEPT: &str = "SRIOVCTL_KEPT";

/// Exit status of a guest whose kernel hangs between two checks.
pub const WEDGED: u8 = 97;

/// Runs the wanted checks, each from a host without VFs and without namespaces.
pub fn run<'a>(checks: impl Iterator<Item = &'a Check>, filters: &[String]) -> ExitCode {
    let mut failed = false;
    std::panic::set_hook(Box::new(|_| {}));
    for check in checks.filter(|check| is_wanted(check.name, filters)) {
        TRANSCRIPT.take();
        if !clean() {
            return ExitCode::from(WEDGED);
        }
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(check.run));
        let seconds = begun.elapsed().as_secs_f32();
        match result {
            Ok(()) => println!("ok {} ({seconds:.1} s)", check.name),
            Err(panic) => {
                failed = true;
                report(check, panic.as_ref());
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn report(check: &Check, panic: &(dyn std::any::Any + Send)) {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    println!("FAILED {}: {text}", check.name);
    for entry in TRANSCRIPT.take().iter().rev().take(4).rev() {
        entry.lines().for_each(|line| println!("    {line}"));
    }
    let log = Command::new("dmesg").output().map(|output| output.stdout).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    println!("    kernel log:");
    lines.iter().skip(lines.len().saturating_sub(12)).for_each(|line| println!("    | {line}"));
}

/// What a command did.
#[derive(Debug, Clone)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Demands an exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; stderr: {}", self.err.trim());
        self
    }

    /// Demands a text on stderr.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "stderr lacks {text:?}: {}", self.err.trim());
        self
    }

    /// Demands that its standard output is what a schema in `schemas/` promises.
    #[track_caller]
    pub fn valid(self, schema: &str) -> Self {
        let path = format!("{}/schemas/{schema}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let schema = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let errors: Vec<String> = jsonschema::validator_for(&schema)
            .unwrap()
            .iter_errors(&self.json())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "not as promised: {errors:?}: {}", self.out);
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.out))
    }
}

fn command(program: &str, args: &[&str]) -> Done {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let done = Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let shorten = |text: &str| text.chars().take(1500).collect::<String>();
    TRANSCRIPT.with_borrow_mut(|transcript| {
        transcript.push(format!(
            "$ {program} {}\n{}{}(exit {})",
            args.join(" "),
            shorten(&done.out),
            shorten(&done.err),
            done.code
        ));
    });
    done
}

/// The program under test.
pub const SRIOVCTL: &str = env!("CARGO_BIN_EXE_sriovctl");

/// Runs the program under test.
pub fn sriovctl(args: &[&str]) -> Done {
    command(SRIOVCTL, args)
}

/// Runs a shell command; `$S` in it is the program under test.
pub fn sh(script: &str) -> Done {
    command("bash", &["-c", &format!("S={SRIOVCTL}; {script}")])
}

/// Runs a shell command that must succeed, and returns its output without the last newline.
#[track_caller]
pub fn ok(script: &str) -> String {
    let done = sh(script);
    assert_eq!(done.code, 0, "{script}: {}", done.err.trim());
    done.out.trim_end().to_owned()
}

/// Waits until something is so; fails after a generous bound.
#[track_caller]
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    assert!(is_within(Duration::from_secs(30), is_so), "never: {what}");
}

/// Whether something is so, or comes to be in this time.
pub fn is_within(time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while !is_so() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// Makes a host as after boot: no namespaces, no processes left by a check, no VFs, PFs up.
///
/// Returns false when the kernel does not come back from it: in igbvf, removing a VF waits for ever
/// for a reset that was scheduled before its interface was closed (`cancel_work_sync` in
/// `igbvf_remove`; seen once in some 2,000 removals). Nothing but a reboot helps then.
#[allow(clippy::zombie_processes)] // a process that hangs in the kernel cannot be waited for
fn clean() -> bool {
    // One exec of the shell for all of it, since each costs 0.1 s here.
    let script = r"
        for pid in $(cat /tmp/check.pids 2>/dev/null); do kill -9 $pid 2>/dev/null; done
        umount -q /var/lib/cni; rm -rf /tmp/check.pids /var/lib/cni/sriov
        for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done
        for f in /sys/bus/pci/devices/*/sriov_numvfs; do
            d=${f%/*}
            echo 1 > $d/sriov_drivers_autoprobe
            [ -e $d/virtfn0 ] && echo 0 > $f
        done
        for l in /sys/class/net/eth*; do ip link set ${l##*/} up mtu 1500; done
        true";
    let mut child = Command::new("bash")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash can be started");
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        if child.try_wait().expect("its end").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let stack = std::fs::read_to_string(format!("/proc/{}/stack", child.id())).unwrap_or_default();
    println!("the kernel does not come back from removing VFs:");
    stack.lines().take(8).for_each(|line| println!("    {line}"));
    false
}
