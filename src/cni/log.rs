//! What a call says besides its answer: `logLevel` and `logFile` as k8snetworkplumbingwg/sriov-cni
//! has them, and `syslog`. Standard output belongs to the answer.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::Value;

use super::call::Call;
use super::config::Config;
use crate::engine::Progress;
use crate::model::text::printable;
use crate::model::time::utc;

/// Where syslog and journald listen (syslog(3)).
const SYSLOG: &str = "/dev/log";
/// `LOG_DAEMON`.
const FACILITY: u8 = 3 << 3;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What made the call fail.
    Error,
    /// What is odd.
    Warning,
    /// What was done.
    Info,
    /// Every step.
    Debug,
}

/// Where it goes.
pub struct Log {
    level: Level,
    file: Option<Mutex<File>>,
    syslog: Option<UnixDatagram>,
    /// Container, interface, command: in every line.
    call: String,
    device: Mutex<String>,
}

impl Log {
    /// As the configuration asks for. A file that cannot be opened never fails a call: it is said on
    /// standard error, where the lines go then.
    pub fn open(config: Option<&Config>, call: &Call) -> Self {
        let level = match config.and_then(|config| config.text("logLevel")) {
            Some("panic" | "error") => Level::Error,
            Some("warning") => Level::Warning,
            Some("debug") => Level::Debug,
            _ => Level::Info,
        };
        let path = config.and_then(|config| config.text("logFile"));
        let open = |path: &str| {
            // A pipe that nobody reads must hold neither this nor the lines to come.
            let open = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .custom_flags(nix::libc::O_NONBLOCK)
                .open(path);
            // Nobody is left to be told when even that fails.
            let told = |error| {
                let _ = writeln!(
                    std::io::stderr(),
                    "sriov: {} cannot be opened: {error}",
                    printable(path)
                );
            };
            open.map_err(told).ok()
        };
        let of = |key: &str, value: &str| {
            if value.is_empty() { String::new() } else { format!(" {key}={}", printable(value)) }
        };
        let call = format!(
            "cmd={}{}{}",
            call.command.text(),
            of("containerID", &call.container),
            of("ifname", &call.ifname)
        );
        let asked =
            config.is_some_and(|config| config.raw.get("syslog") == Some(&Value::Bool(true)));
        Self {
            level,
            file: path.and_then(open).map(Mutex::new),
            syslog: asked.then(|| syslog(Path::new(SYSLOG))).flatten(),
            call,
            device: Mutex::default(),
        }
    }

    /// From now on every line names the device.
    pub fn of_device(&self, device: &impl ToString) {
        if let Ok(mut known) = self.device.lock() {
            *known = device.to_string();
        }
    }

    /// Writes a line.
    pub fn line(&self, level: Level, text: &str) {
        let is_kept = self.file.is_some() || self.syslog.is_some();
        if level > self.level || (!is_kept && level > Level::Warning) {
            return;
        }
        let word = match level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        let device = self.device.lock().map(|device| device.clone()).unwrap_or_default();
        let device = if device.is_empty() { device } else { format!(" pci={device}") };
        let text = text.replace('\n', "; ");
        let line = format!("level={word} {}{device} msg={text:?}", self.call);
        // Neither a full disk nor a logger that does not listen must fail a call.
        if let Some(syslog) = &self.syslog {
            let _ = syslog.send(record(level, &line).as_bytes());
        }
        let line = format!("{} {line}\n", utc(SystemTime::now()));
        let _ = match &self.file {
            Some(file) => file.lock().map(|mut file| file.write_all(line.as_bytes())).is_ok(),
            None if self.syslog.is_some() => true,
            None => std::io::stderr().write_all(line.as_bytes()).is_ok(),
        };
    }
}

/// The logger of the host; one that is slow must not hold a call either.
fn syslog(at: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(at).ok()?;
    Some(socket)
}

/// A line as syslog(3) sends it: the logger adds time and host.
fn record(level: Level, line: &str) -> String {
    let severity = match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug => 7,
    };
    format!("<{}>sriov[{}]: {line}", FACILITY + severity, std::process::id())
}

impl Progress for Log {
    fn stage(&self, what: &str, _: u64) {
        self.line(Level::Debug, what);
    }
    fn done(&self, _: u64) {}
    fn note(&self, text: &str) {
        self.line(Level::Warning, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syslog_gets_the_line_with_its_severity() {
        let dir = std::env::temp_dir().join(format!("sriovctl-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("log");
        let logger = UnixDatagram::bind(&path).unwrap();
        let log = Log {
            level: Level::Info,
            file: None,
            syslog: syslog(&path),
            call: "cmd=ADD".to_owned(),
            device: Mutex::new("0000:01:10.0".to_owned()),
        };
        log.line(Level::Debug, "not said");
        log.line(Level::Warning, "odd");
        let mut text = [0; 200];
        let length = logger.recv(&mut text).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let pid = std::process::id();
        assert_eq!(
            String::from_utf8_lossy(&text[..length]),
            format!("<28>sriov[{pid}]: level=warning cmd=ADD pci=0000:01:10.0 msg=\"odd\"")
        );
        assert!(syslog(&path).is_none());
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_no_call() {
        let path = std::env::temp_dir().join(format!("sriovctl-fifo-{}", std::process::id()));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let env = |name: &str| (name == "CNI_COMMAND").then(|| "STATUS".to_owned());
        let call = Call::read(&env).unwrap();
        let text =
            format!(r#"{{"cniVersion":"1.1.0","name":"blue","logFile":"{}"}}"#, path.display());
        let config = Config::read(text.as_bytes(), &call).unwrap();
        let unread = Log::open(Some(&config), &call);
        // Open at both ends, it fills up.
        let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let log = Log::open(Some(&config), &call);
        (0..100).for_each(|_| log.line(Level::Error, &"x".repeat(2000)));
        std::fs::remove_file(&path).unwrap();
        drop(reader);
        assert!(unread.file.is_none() && log.file.is_some());
    }
}
