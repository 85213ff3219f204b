//! What a call says besides its answer: `logLevel` and `logFile` as k8snetworkplumbingwg/sriov-cni
//! has them, and `syslog`. Standard output belongs to the answer.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::call::Call;
use super::config::Config;
use crate::engine::Progress;
use crate::model::text::printable;

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
        let line = format!("{} {line}\n", time());
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

/// RFC 3339 in UTC, to the millisecond.
fn time() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        since.subsec_millis()
    )
}

/// The date that many days after 1 January 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Years counted from March, so that the leap day is the last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
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

    #[test]
    fn days_are_dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_781, (2026, 11, 24)),
        ] {
            assert_eq!(date(days), expected);
        }
    }
}
