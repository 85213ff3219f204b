//! What went wrong, on which device, why, and what to do next.

use std::fmt;

use crate::model::selector::SelectError;

/// Result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// The class of an error: decides the exit code and the word scripts match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything not below.
    Failed,
    /// The command line asks for something that cannot be.
    Usage,
    /// No such device.
    NotFound,
    /// The device is in use, or the change was refused; nothing was changed.
    Busy,
    /// The kernel, the driver or the device cannot do this.
    Unsupported,
    /// Some of it was done, some not.
    Partial,
    /// It did not come to an end in time.
    TimedOut,
    /// The caller may not do this.
    Permission,
}

impl Kind {
    /// The process's exit code (documented in sriovctl(8)).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Busy => 4,
            Self::Unsupported => 5,
            Self::Partial => 6,
            Self::TimedOut => 7,
            Self::Permission => 8,
        }
    }

    /// The word in JSON error objects.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Busy => "busy",
            Self::Unsupported => "unsupported",
            Self::Partial => "partial",
            Self::TimedOut => "timed_out",
            Self::Permission => "permission",
        }
    }
}

/// An error as a person reads it: one sentence, its details, the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
    device: Option<String>,
    errno: Option<i32>,
}

impl Error {
    /// An error of a kind; the message names what failed, without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            device: None,
            errno: None,
        }
    }

    /// The kernel refused `what` (e.g. "reading /sys/...") with `errno`.
    pub fn os(what: impl fmt::Display, errno: i32) -> Self {
        let kind = match errno {
            libc_errno::EPERM | libc_errno::EACCES => Kind::Permission,
            libc_errno::ENODEV | libc_errno::ENOENT => Kind::NotFound,
            libc_errno::EBUSY => Kind::Busy,
            libc_errno::EOPNOTSUPP | libc_errno::ENOTSUPP => Kind::Unsupported,
            libc_errno::ETIMEDOUT => Kind::TimedOut,
            _ => Kind::Failed,
        };
        let mut error = Self::new(kind, format!("{what}: {}", errno_text(errno)));
        error.errno = Some(errno);
        if kind == Kind::Permission {
            error.hint = Some("run it as root".to_owned());
        }
        error
    }

    /// An I/O error while doing `what`.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        let Some(errno) = error.raw_os_error() else {
            return Self::new(Kind::Failed, format!("{what}: {error}"));
        };
        let error = Self::os(what, errno);
        match errno {
            libc_errno::ENOSPC => error.hint("make room on that file system: df -h; df -i"),
            libc_errno::EDQUOT => error.hint("raise the quota of root there, or make room"),
            libc_errno::EROFS => {
                error.hint("mount it writable; the kernel's log says why it is not: dmesg | tail")
            }
            libc_errno::EIO => error.hint("see what the kernel says of it: dmesg | tail"),
            _ => error,
        }
    }

    /// Adds what to do next: an imperative sentence without a full stop.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a line of detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Adds lines of detail.
    #[must_use]
    pub fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// Names the device it is about.
    #[must_use]
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Says what it was done for, before what failed.
    #[must_use]
    pub fn at(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Changes the kind, keeping all that is said.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds the kernel's error number.
    #[must_use]
    pub fn with_errno(mut self, errno: i32) -> Self {
        self.errno = Some(errno);
        self
    }

    /// Its class.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The kernel's error number, where the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Lines that belong to it.
    pub fn detail_lines(&self) -> &[String] {
        &self.details
    }

    /// What to do next.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// All that it says, to be told among the details of another: its sentence, then its lines and
    /// what to do about it.
    pub fn lines(&self, with_hint: bool) -> Vec<String> {
        let details = self.details.iter().map(|line| format!("  {line}"));
        let hint = self.hint.iter().filter(|_| with_hint).map(|hint| format!("  try: {hint}"));
        [self.message.clone()].into_iter().chain(details).chain(hint).collect()
    }

    /// The error as an object for scripts; its keys are always present.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "schema_version": 1,
            "error": {
                "code": self.kind.word(),
                "exit_code": self.kind.exit_code(),
                "message": self.message,
                "device": self.device,
                "errno": self.errno,
                "details": self.details,
                "hint": self.hint,
            }
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<SelectError> for Error {
    fn from(error: SelectError) -> Self {
        let message = error.to_string();
        match error {
            SelectError::Unknown { nearest, .. } => {
                let hint = match nearest {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => "list what there is with: sriovctl list-pfs".to_owned(),
                };
                Self::new(Kind::NotFound, message).hint(hint)
            }
            SelectError::NotSriov { text } => Self::new(Kind::NotFound, message)
                .device(text)
                .hint("list what has SR-IOV with: sriovctl list-pfs"),
            SelectError::IsVf { pf, .. } => {
                Self::new(Kind::Usage, message).hint(format!("name its PF: {pf}")).device(pf)
            }
            SelectError::NoSuchVf { pf, count, .. } => {
                let hint = match count {
                    0 => format!("create some with: sriovctl set-numvfs {pf} N"),
                    _ => format!("list them with: sriovctl list-vfs {pf}"),
                };
                Self::new(Kind::NotFound, message).hint(hint).device(pf)
            }
            SelectError::Ambiguous { .. } => {
                Self::new(Kind::Usage, message).hint("name one of them")
            }
        }
    }
}

/// Error numbers by name, without drawing in the C library's module in every room.
#[allow(missing_docs)]
pub mod libc_errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const EIO: i32 = 5;
    pub const EAGAIN: i32 = 11;
    pub const ENOMEM: i32 = 12;
    pub const EACCES: i32 = 13;
    pub const EBUSY: i32 = 16;
    pub const EEXIST: i32 = 17;
    pub const ENODEV: i32 = 19;
    pub const EINVAL: i32 = 22;
    pub const ENOSPC: i32 = 28;
    pub const EROFS: i32 = 30;
    pub const ERANGE: i32 = 34;
    pub const EPROTONOSUPPORT: i32 = 93;
    pub const EOPNOTSUPP: i32 = 95;
    pub const EADDRNOTAVAIL: i32 = 99;
    pub const ETIMEDOUT: i32 = 110;
    pub const EDQUOT: i32 = 122;
    /// Inside the kernel only, but some drivers (bnxt, cxgb4) let it out.
    pub const ENOTSUPP: i32 = 524;
}

/// The C library's text for an error number, and ours for the one that it does not know.
pub fn errno_text(errno: i32) -> String {
    if errno == libc_errno::ENOTSUPP {
        return "operation is not supported (524)".to_owned();
    }
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_owned(),
        None => text,
    }
}
