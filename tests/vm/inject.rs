//! Runs a program under ptrace and lets it die, or a system call of its fail, at any one of the calls
//! by which it changes something. strace can do that too, but counts in each thread for itself, so
//! that the same call of a later thread is never reached.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A call of the program under test.
#[derive(Clone)]
pub struct Invocation<'a> {
    /// Its arguments, the program first.
    pub args: &'a [&'a str],
    pub env: Vec<(&'a str, String)>,
    pub stdin: String,
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program is killed before the call is made. Calls that only ask are not counted: it
    /// is all the same whether it dies before one of them or before the next change.
    Kill,
    /// The call is not made, and fails.
    Fail(i32),
}

/// What became of it.
pub struct Traced {
    /// The calls that change something, in their order, e.g. `rename /var/lib/...`.
    pub points: Vec<String>,
    pub killed: bool,
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs it, with a fault at the n-th point.
pub fn run(invocation: &Invocation<'_>, fault: Option<(usize, Fault)>) -> Traced {
    let path = |what: &str| format!("/tmp/inject.{what}");
    std::fs::write(path("in"), &invocation.stdin).unwrap();
    let create = |what: &str| Stdio::from(File::create(path(what)).unwrap());
    let mut command = Command::new(invocation.args[0]);
    command
        .args(&invocation.args[1..])
        .envs(invocation.env.iter().map(|(name, value)| (name, value)))
        .stdin(File::open(path("in")).unwrap())
        .stdout(create("out"))
        .stderr(create("err"));
    // SAFETY: between fork and exec this makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(std::io::Error::from)) };
    // `follow` waits for it, and for its threads.
    #[expect(clippy::zombie_processes)]
    let child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let (points, status) = follow(pid, fault);
    let read =
        |what: &str| String::from_utf8_lossy(&std::fs::read(path(what)).unwrap()).into_owned();
    Traced {
        points,
        killed: status.signal() == Some(libc::SIGKILL),
        code: status.code().unwrap_or(-1),
        out: read("out"),
        err: read("err"),
    }
}

/// Follows the program and its threads to its end. Programs that it starts are not followed.
fn follow(program: Pid, fault: Option<(usize, Fault)>) -> (Vec<String>, ExitStatus) {
    let mut points: Vec<String> = Vec::new();
    let mut failing: Option<(Pid, i32)> = None;
    let mut status = None;
    assert!(matches!(waitpid(program, None).unwrap(), WaitStatus::Stopped(..)));
    let options =
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(program, options).unwrap();
    // One that was killed meanwhile cannot be told to go on.
    let go_on = |pid: Pid, signal: Option<Signal>| {
        let _ = ptrace::syscall(pid, signal);
    };
    go_on(program, None);
    while let Ok(event) = waitpid(None, Some(WaitPidFlag::__WALL)) {
        match event {
            WaitStatus::PtraceSyscall(pid) => {
                let Ok(info) = ptrace::syscall_info(pid) else { continue };
                if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                    // SAFETY: `op` says that this member of the union is the valid one.
                    let entry = unsafe { info.u.entry };
                    if let Some(point) = point(pid, entry.nr, &entry.args) {
                        let asked = points.iter().filter(|point| is_question(point)).count();
                        let is_it = |(at, fault): &(usize, Fault)| match fault {
                            Fault::Kill => *at == points.len() - asked && !is_question(&point),
                            Fault::Fail(_) => *at == points.len(),
                        };
                        match fault.filter(is_it) {
                            Some((_, Fault::Kill)) => kill(program, Signal::SIGKILL).unwrap(),
                            Some((_, Fault::Fail(errno))) => {
                                set(pid, |regs| regs.orig_rax = u64::MAX);
                                failing = Some((pid, errno));
                            }
                            None => {}
                        }
                        points.push(point);
                    }
                } else if let Some((_, errno)) = failing.take_if(|(of, _)| *of == pid) {
                    set(pid, |regs| regs.rax = i64::from(-errno).cast_unsigned());
                }
                go_on(pid, None);
            }
            // A thread begins with a stop.
            WaitStatus::PtraceEvent(pid, ..)
            | WaitStatus::Stopped(pid, Signal::SIGSTOP | Signal::SIGTRAP) => go_on(pid, None),
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            WaitStatus::Exited(pid, code) if pid == program => {
                status = Some(ExitStatus::from_raw(code << 8));
            }
            WaitStatus::Signaled(pid, signal, _) if pid == program => {
                status = Some(ExitStatus::from_raw(signal as i32));
            }
            _ => {}
        }
    }
    (points, status.expect("its end"))
}

fn set(pid: Pid, change: impl FnOnce(&mut libc::user_regs_struct)) {
    // One that was killed meanwhile has none any more.
    if let Ok(mut regs) = ptrace::getregs(pid) {
        change(&mut regs);
        let _ = ptrace::setregs(pid, regs);
    }
}

/// What a call changes; `None`: nothing.
fn point(pid: Pid, number: u64, args: &[u64; 6]) -> Option<String> {
    let writes = |flags: u64| {
        let flags = i32::try_from(flags & 0xffff_ffff).unwrap_or(0);
        flags & (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT) != 0
    };
    let path = |at: usize| text(pid, args[at]);
    let file = |at: usize| {
        let link = std::fs::read_link(format!("/proc/{pid}/fd/{}", args[at])).unwrap_or_default();
        link.display().to_string()
    };
    let number = i64::try_from(number).ok()?;
    Some(match number {
        libc::SYS_open if writes(args[1]) => format!("open {}", path(0)),
        libc::SYS_openat if writes(args[2]) => format!("openat {}", path(1)),
        libc::SYS_openat2 if writes(word(pid, args[2])) => format!("openat2 {}", path(1)),
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev if args[0] > 2 => {
            format!("write {}", file(0))
        }
        libc::SYS_sendto => message(word(pid, args[1]))?,
        libc::SYS_sendmsg => "sendmsg".to_owned(),
        libc::SYS_rename | libc::SYS_link | libc::SYS_symlink => format!("rename {}", path(0)),
        libc::SYS_renameat | libc::SYS_renameat2 => format!("renameat {}", path(1)),
        libc::SYS_linkat | libc::SYS_symlinkat => format!("linkat {}", path(1)),
        libc::SYS_unlink | libc::SYS_rmdir => format!("unlink {}", path(0)),
        libc::SYS_unlinkat => format!("unlinkat {}", path(1)),
        libc::SYS_mkdir => format!("mkdir {}", path(0)),
        libc::SYS_mkdirat => format!("mkdirat {}", path(1)),
        libc::SYS_fsync | libc::SYS_fdatasync => format!("fsync {}", file(0)),
        libc::SYS_ftruncate => format!("ftruncate {}", file(0)),
        libc::SYS_flock => format!("flock {}", file(0)),
        libc::SYS_setns => "setns".to_owned(),
        libc::SYS_unshare => "unshare".to_owned(),
        libc::SYS_mount => format!("mount {}", path(1)),
        libc::SYS_chmod | libc::SYS_chown => format!("chmod {}", path(0)),
        libc::SYS_fchmod | libc::SYS_fchown => format!("fchmod {}", file(0)),
        libc::SYS_fchmodat | libc::SYS_fchownat => format!("fchmodat {}", path(1)),
        libc::SYS_finit_module => format!("finit_module {}", file(0)),
        _ => return None,
    })
}

/// A netlink message by its header.
fn message(header: u64) -> Option<String> {
    let (kind, flags) = ((header >> 32) & 0xffff, header >> 48);
    (flags & 1 != 0).then(|| format!("netlink message {kind}"))
}

/// Whether a point is a message that only asks (rtnetlink: every fourth kind, from `RTM_GETLINK`).
fn is_question(point: &str) -> bool {
    let kind = point.strip_prefix("netlink message ").and_then(|kind| kind.parse::<u16>().ok());
    kind.is_some_and(|kind| (16..120).contains(&kind) && kind % 4 == 2)
}

fn word(pid: Pid, address: u64) -> u64 {
    let address = address as ptrace::AddressType;
    ptrace::read(pid, address).map_or(0, i64::cast_unsigned)
}

/// A text of the program's, up to its end.
fn text(pid: Pid, address: u64) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < 256 && !bytes.contains(&0) {
        bytes.extend(word(pid, address + bytes.len() as u64).to_ne_bytes());
    }
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    String::from_utf8_lossy(&bytes).into_owned()
}
