//! How the program begins and ends, in place of Rust's runtime: that reads `/proc/self/maps` and installs
//! handlers that put "stack overflow" into words, sixteen system calls each time a container runtime asks for no
//! more than the versions. The guard pages that stop an overflow are the kernel's and the C library's.

use std::ffi::{c_char, c_int};
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::process::{ExitCode, abort};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::stat::Mode;
use rustix::stdio::{stderr, stdin, stdout};

/// What Rust's runtime says of a panic, where one does not end the program by itself (`panic = "abort"`).
const PANICKED: c_int = 101;

/// The C library calls it. What is in the arguments std has seen to by then: the C library hands them to its
/// initialiser too.
// SAFETY: there is no other `main`; the C library's has two or three arguments, and to take none is allowed.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    open_closed_descriptors();
    ignore_broken_pipes();
    let code = std::panic::catch_unwind(crate::run).map_or(PANICKED, number);
    let _ = std::io::stdout().flush(); // whoever printed has looked already
    code
}

/// Nobody is known by number. The C library's own would load what the host's nsswitch.conf names into a static program, of
/// whatever version it is there, and brings files, DNS and nscd into the binary for that, a fortieth of it. All that would
/// ask is a shell's completion of `~/`, where HOME is not set.
// SAFETY: the prototype is that of pwd.h, where `result` is the caller's; nothing else is touched.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn getpwuid_r(
    _uid: libc::uid_t,
    _user: *mut libc::passwd,
    _buffer: *mut c_char,
    _length: libc::size_t,
    result: *mut *mut libc::passwd,
) -> c_int {
    // SAFETY: as above: it may be written through.
    unsafe { *result = std::ptr::null_mut() };
    0
}

/// A file that is opened later must not become what is printed to.
fn open_closed_descriptors() {
    let asked = |fd| libc::pollfd { fd, events: 0, revents: 0 };
    let mut all = [asked(0), asked(1), asked(2)];
    // SAFETY: it is given as many as there are, and writes into nothing else. Not nix's: that and what it calls lie
    // elsewhere in the file, and bringing in either costs as much as five system calls.
    #[allow(unsafe_code)]
    let told = unsafe { libc::poll(all.as_mut_ptr(), 3, 0) } >= 0;
    for fd in all {
        // One call for all is refused where a limit allows fewer than three descriptors.
        let is_closed = if told { fd.revents & libc::POLLNVAL != 0 } else { is_closed(fd.fd) };
        if is_closed {
            open_nothing();
        }
    }
}

#[cold]
fn is_closed(fd: c_int) -> bool {
    let all = [stdin(), stdout(), stderr()];
    let fd = all.into_iter().find(|one| one.as_raw_fd() == fd);
    fd.is_some_and(|fd| fcntl(fd, FcntlArg::F_GETFD) == Err(Errno::EBADF))
}

/// The lowest number that is free is the one that was found closed: those below are open by now.
#[cold]
fn open_nothing() {
    match open("/dev/null", OFlag::O_RDWR, Mode::empty()) {
        Ok(fd) => _ = fd.into_raw_fd(),
        Err(_) => abort(),
    }
}

/// Whoever stops reading is told of as an error, and ends no change half-way.
fn ignore_broken_pipes() {
    // SAFETY: no handler is installed, so that there is none that could be unsound.
    #[allow(unsafe_code)]
    let _ = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// std has no way from its exit code to a number.
fn number(code: ExitCode) -> c_int {
    (0..=u8::MAX).find(|number| ExitCode::from(*number) == code).map_or(1, c_int::from)
}
