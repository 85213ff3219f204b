//! Errors as runtimes read them (CNI specification, section 5, "Error").

use serde_json::{Value, json};

use super::version::Version;
use crate::error::{Error, Kind};

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The class of it.
    pub code: Code,
    /// One sentence.
    pub msg: String,
    /// More lines, the next step last.
    pub details: String,
}

/// Error codes: those below 100 are the specification's, the others ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// The configuration's version, or a command that it does not have.
    IncompatibleVersion = 1,
    /// CHECK, of an attachment that is not known.
    UnknownContainer = 3,
    /// An environment variable is missing or wrong.
    Environment = 4,
    /// Reading or writing failed.
    Io = 5,
    /// What came in is no JSON.
    Decode = 6,
    /// The configuration asks for something that cannot be.
    Config = 7,
    /// Nothing is free, or somebody else changes it: try again later.
    TryAgain = 11,
    /// STATUS: no ADD can succeed.
    Unavailable = 50,
    /// Anything else.
    Failed = 100,
    /// A device is not there.
    NotFound = 101,
    /// A device is in use.
    Busy = 102,
    /// The kernel, the driver or the device cannot do it.
    Unsupported = 103,
    /// Some of it could not be undone or done; the record is kept.
    Partial = 104,
    /// It did not come to an end in time.
    TimedOut = 105,
    /// Not permitted.
    Permission = 106,
    /// CHECK: something is not as it was made.
    Drift = 107,
    /// The IPAM plugin failed.
    Ipam = 108,
}

impl Failure {
    /// A failure with nothing more to say.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// Adds lines.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// A configuration that asks for what cannot be: the key, its value, what is allowed.
    pub fn config(key: &str, value: impl std::fmt::Display, allowed: &str) -> Self {
        Self::new(Code::Config, format!("{key}: {value} is not allowed")).details(allowed)
    }

    /// The document on standard output.
    pub fn to_json(&self, version: Version) -> Value {
        json!({
            "cniVersion": version.text(),
            "code": self.code as u32,
            "msg": self.msg,
            "details": self.details,
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            Kind::Failed => Code::Failed,
            Kind::Usage => Code::Config,
            Kind::NotFound => Code::NotFound,
            Kind::Busy => Code::Busy,
            Kind::Unsupported => Code::Unsupported,
            Kind::Partial => Code::Partial,
            Kind::TimedOut => Code::TimedOut,
            Kind::Permission => Code::Permission,
        };
        let mut lines = error.detail_lines().to_vec();
        lines.extend(error.next_step().map(|hint| format!("try: {hint}")));
        Self::new(code, error.message()).details(lines.join("\n"))
    }
}
