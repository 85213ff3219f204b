//! What is said to a plugin and what it says: by one poll(2) of its input, its output and its end, without threads, and
//! without naps in which it may be done long ago.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::config::LONGEST;

/// How often it is asked whether it has ended where the kernel does not tell (before 5.3).
const NAP: Duration = Duration::from_millis(5);
/// How long what it wrote before its end may take to come: a child of its own may hold its output open for as long as it
/// likes.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Writes its input, reads its output, waits for its end; `None`: it takes too long.
pub fn talk(child: &mut Child, input: &[u8], within: Duration) -> Option<(Vec<u8>, ExitStatus)> {
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok();
    talk_until(child, input, within, ended.as_ref())
}

fn talk_until(
    child: &mut Child,
    input: &[u8],
    within: Duration,
    ended: Option<&OwnedFd>,
) -> Option<(Vec<u8>, ExitStatus)> {
    let until = Instant::now() + within;
    let mut talk = Talk {
        stdin: child.stdin.take().filter(never_waits),
        stdout: child.stdout.take().filter(never_waits),
        input,
        text: Vec::new(),
    };
    loop {
        if talk.go_on(ended.map(AsFd::as_fd), ended.is_none(), until)?
            && let Some(status) = child.try_wait().ok()?
        {
            talk.stdin = None;
            let until = Instant::now() + AFTERWARDS;
            while talk.stdout.is_some() && talk.go_on(None, false, until).is_some() {}
            return Some((talk.text, status));
        }
    }
}

/// Has reading and writing return at once. The plugin's end of the pipe stays as it is.
fn never_waits(pipe: &impl AsFd) -> bool {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok()
}

struct Talk<'a> {
    stdin: Option<ChildStdin>,
    /// What is still to be written.
    input: &'a [u8],
    stdout: Option<ChildStdout>,
    text: Vec<u8>,
}

impl Talk<'_> {
    /// Waits for the next thing to happen and does what can be done; whether the plugin may have ended by now. `None`: it
    /// is later than `until`.
    fn go_on(
        &mut self,
        ended: Option<BorrowedFd<'_>>,
        asks_again: bool,
        until: Instant,
    ) -> Option<bool> {
        let left = until.checked_duration_since(Instant::now())?;
        let longest = if asks_again { NAP.min(left) } else { left };
        // Rounded up: a poll of 0 ms does not wait.
        let longest = u16::try_from(longest.as_millis() + 1).unwrap_or(u16::MAX);
        let stdin = self.stdin.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLOUT));
        let stdout = self.stdout.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        let end = ended.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut polled: Vec<PollFd<'_>> = [stdin, stdout, end].into_iter().flatten().collect();
        match poll(&mut polled, PollTimeout::from(longest)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Some(false),
            Err(_) => return None,
        }
        let end = polled.last().filter(|_| ended.is_some());
        let may_have_ended = asks_again || end.is_some_and(|end| end.any().unwrap_or(true));
        // Neither waits where there is nothing to be done.
        self.say();
        self.hear();
        Some(may_have_ended)
    }

    /// One that does not read its input answers all the same.
    fn say(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        match stdin.write(self.input) {
            Ok(length) => self.input = &self.input[length..],
            Err(error) if is_nothing(&error) => return,
            Err(_) => self.input = &[],
        }
        if self.input.is_empty() {
            self.stdin = None; // it reads to the end
        }
    }

    /// What could be read is judged by what it says.
    fn hear(&mut self) {
        let Some(stdout) = &mut self.stdout else { return };
        let mut part = [0; 4096];
        let room = part.len().min(LONGEST - self.text.len());
        match stdout.read(&mut part[..room]) {
            Ok(length @ 1..) => self.text.extend(&part[..length]),
            Err(error) if is_nothing(&error) => {}
            Ok(0) | Err(_) => self.stdout = None,
        }
        if self.text.len() == LONGEST {
            self.stdout = None; // nobody listens to more
        }
    }
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// With the kernel that tells when it ends, and with one that does not.
    fn both(script: &str, input: &[u8], within: Duration) -> [Option<(Vec<u8>, Option<i32>)>; 2] {
        [true, false].map(|tells| {
            let mut child = Command::new("/bin/sh")
                .args(["-c", script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let ended = tells.then(|| {
                pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
                    .expect("a kernel since 5.3")
            });
            let told = talk_until(&mut child, input, within, ended.as_ref());
            let _ = child.kill();
            let _ = child.wait();
            told.map(|(text, status)| (text, status.code()))
        })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn more_than_pipes_hold_goes_in_and_out() {
        let input = vec![b'x'; 300_000];
        for told in both("cat; exit 3", &input, LONG) {
            let (text, code) = told.expect("an answer");
            assert_eq!((text.len(), code), (input.len(), Some(3)));
        }
    }

    #[test]
    fn one_that_reads_nothing_answers_all_the_same() {
        let input = vec![b'x'; 300_000];
        for told in both("exec <&-; echo done", &input, LONG) {
            assert_eq!(told, Some((b"done\n".to_vec(), Some(0))));
        }
    }

    #[test]
    fn one_that_closes_its_output_is_waited_for() {
        for told in both("echo done; exec >&-; sleep 0.2; exit 4", b"", LONG) {
            assert_eq!(told, Some((b"done\n".to_vec(), Some(4))));
        }
    }

    #[test]
    fn a_child_that_holds_its_output_open_is_not_waited_for() {
        let begun = Instant::now();
        for told in both("sleep 40 & echo done", b"", LONG) {
            assert_eq!(told, Some((b"done\n".to_vec(), Some(0))));
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn nobody_listens_to_more_than_the_longest_answer() {
        for told in both("trap '' PIPE; yes | head -c 40000000; exit 5", b"", LONG) {
            let (text, code) = told.expect("an answer");
            assert_eq!((text.len(), code), (LONGEST, Some(5)));
        }
    }

    #[test]
    fn one_that_takes_too_long_is_given_up() {
        assert_eq!(both("exec sleep 60", b"", Duration::from_millis(50)), [None, None]);
    }
}
