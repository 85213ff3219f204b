//! Programs timed side by side: whatever else the machine does while one of them runs, it does to the
//! others as well.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The shortest of some runs, which is what the program costs, and of which ratios are taken: other work on the
/// machine only adds to it. The middle one is what it costs here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    pub min: Duration,
    pub median: Duration,
}

impl Times {
    pub fn of(mut runs: Vec<Duration>) -> Self {
        runs.sort_unstable();
        Self { min: runs[0], median: runs[runs.len() / 2] }
    }
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// A program with its arguments, its environment, and a file to read from.
#[derive(Debug, Clone, Default)]
pub struct Program {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub stdin: Option<PathBuf>,
    /// Whether another exit status than 0 is all right.
    pub may_fail: bool,
}

impl Program {
    pub fn new<S: ToString>(args: impl IntoIterator<Item = S>) -> Self {
        Self { args: args.into_iter().map(|arg| arg.to_string()).collect(), ..Self::default() }
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub fn stdin(mut self, file: &Path) -> Self {
        self.stdin = Some(file.to_owned());
        self
    }

    pub fn may_fail(mut self) -> Self {
        self.may_fail = true;
        self
    }

    pub fn command(&self) -> Command {
        let input = self.stdin.as_deref().unwrap_or(Path::new("/dev/null"));
        let input = File::open(input).unwrap_or_else(|e| panic!("{}: {e}", input.display()));
        let mut command = Command::new(&self.args[0]);
        command
            .args(&self.args[1..])
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// From before it is started until it has ended.
    pub fn time(&self) -> Duration {
        let mut command = self.command();
        let begun = Instant::now();
        let status = command.status().unwrap_or_else(|e| panic!("{}: {e}", self.args[0]));
        let time = begun.elapsed();
        assert!(self.may_fail || status.success(), "{:?}: {status}; {}", self.args, self.said());
        time
    }

    fn said(&self) -> String {
        let output = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        output.map(|output| format!("again: {output:?}")).unwrap_or_default()
    }

    /// What it has in memory when it ends, in KiB: these programs give nothing back before. What `wait4`
    /// tells would be that of the program that starts it, where that is larger.
    pub fn resident(&self) -> u64 {
        let mut stopped = Self::new(["/bin/sh", "-c", "kill -STOP $$; exec \"$0\" \"$@\""]);
        stopped.args.extend(self.args.iter().cloned());
        let stopped = Self { env: self.env.clone(), stdin: self.stdin.clone(), ..stopped };
        #[expect(clippy::zombie_processes)] // it is waited for below
        let child = stopped.command().spawn().expect("a shell");
        let pid = Pid::from_raw(child.id().cast_signed());
        waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("it stops");
        ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT).expect("a child can be traced");
        kill(pid, Signal::SIGCONT).expect("it goes on");
        let mut resident = 0;
        loop {
            match waitpid(pid, None).expect("its end") {
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return resident,
                WaitStatus::PtraceEvent(_, _, event) if event == nix::libc::PTRACE_EVENT_EXIT => {
                    resident = rss(pid);
                }
                _ => {}
            }
            ptrace::cont(pid, None).expect("it goes on");
        }
    }
}

fn rss(pid: Pid) -> u64 {
    let mut text = String::new();
    let path = format!("/proc/{pid}/smaps_rollup");
    File::open(path).and_then(|mut file| file.read_to_string(&mut text)).expect("its memory");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("Rss");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Runs each once in turn, again and again. One round before goes uncounted, so that all find
/// everything in memory.
pub fn in_turn(programs: &[&Program], rounds: usize) -> Vec<Times> {
    let round = || programs.iter().map(|program| program.time()).collect::<Vec<_>>();
    round();
    let rounds: Vec<_> = (0..rounds).map(|_| round()).collect();
    let of = |nth: usize| Times::of(rounds.iter().map(|round| round[nth]).collect());
    (0..programs.len()).map(of).collect()
}

/// Builds a C program: `-static`, or `-static-pie`, which starts wherever the kernel puts it, as sriovctl does.
pub fn compile(name: &str, how: &str) -> String {
    let source = format!("{}/benches/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let program = format!("{}/{name}{how}", env!("CARGO_TARGET_TMPDIR"));
    let status = Command::new("gcc").args(["-O2", how, "-o", &program, &source]).status();
    let status = status.expect("gcc can be started");
    assert!(status.success(), "gcc {source}: {status}, {:?}", status.signal());
    installed(&program)
}

/// A copy, as an installed program is one: a linker writes its file in pieces, and so it lies in memory; a program that was
/// written at once takes fewer page faults to start.
pub fn installed(program: &str) -> String {
    let name = Path::new(program).file_name().expect("a name").to_string_lossy();
    let copy = format!("{}/installed-{name}", env!("CARGO_TARGET_TMPDIR"));
    let bytes = std::fs::read(program).unwrap_or_else(|e| panic!("{program}: {e}"));
    let _ = std::fs::remove_file(&copy);
    std::fs::write(&copy, bytes).expect("a copy");
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    copy
}
