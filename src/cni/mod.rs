//! DOOR for container runtimes: the CNI plugin `sriov` (CNI specification 1.1.0).
//!
//! A call comes in the environment and on standard input and is answered by at most one JSON document
//! on standard output. Nothing is asked and nothing else is printed there.

mod add;
mod call;
mod check;
mod config;
mod del;
mod dialect;
mod failure;
mod fixipam;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gc;
mod ipam;
mod log;
mod reply;
mod status;
mod talk;
mod version;

use std::io::{Read, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use self::call::{Call, Command};
use self::config::{Config, LONGEST};
use self::failure::{Code, Failure};
use self::ipam::Ipam;
use self::log::{Level, Log};
use self::version::Version;
use crate::engine::neighbours::{Neighbours, Place};
use crate::engine::store::{Shelf, Store, Stored};
use crate::engine::{Kernel, Surroundings};
use crate::model::record::{Owner, Record};
use crate::model::text::printable_json;

/// Reads a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Answers VERSION, for which nothing of the host is needed and nothing is put together: what [`run`] answers,
/// as it is printed.
pub fn say_versions(env: Env<'_>, out: &mut dyn Write) -> ExitCode {
    // Of all that is passed only these can be wrong there.
    if env("CNI_ARGS").is_some_and(|args| !args.is_empty())
        && let Err(failure) = Call::read(env)
    {
        return refuse(out, &failure, Version::V110);
    }
    print(out, VERSIONS)
}

/// [`versions`], as it is printed.
const VERSIONS: &str = "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":\
    [\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n";

/// Serves one call.
pub fn run<K: Kernel + Store + Surroundings + Neighbours>(
    env: Env<'_>,
    input: &mut dyn Read,
    out: &mut dyn Write,
    kernel: &K,
) -> ExitCode {
    let call = match Call::read(env) {
        Ok(call) => call,
        Err(failure) => return refuse(out, &failure, Version::V110),
    };
    if call.command == Command::Version {
        return answer(out, &versions());
    }
    let mut text = Vec::new();
    if let Err(error) = read_document(input, &mut text) {
        let failure = Failure::new(Code::Io, format!("reading the configuration: {error}"));
        return refuse(out, &failure, Version::V110);
    }
    match serve(&call, &text, kernel) {
        Ok(Some(document)) => {
            let code = answer(out, &document);
            if call.command == Command::Add && code != ExitCode::SUCCESS {
                // A runtime that never heard of it does not give it back. What fails is logged.
                let _ = serve(&Call { command: Command::Del, ..call }, &text, kernel);
            }
            code
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) => refuse(out, &failure, config::version_of(&text)),
    }
}

/// Reads one JSON document, and no further: a runtime may keep its end of the pipe open.
fn read_document(input: &mut dyn Read, text: &mut Vec<u8>) -> std::io::Result<()> {
    let mut part = [0; 8 << 10];
    while text.len() <= LONGEST {
        let length = match input.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        text.extend_from_slice(&part[..length]);
        let may_be_whole = text.trim_ascii_end().ends_with(b"}");
        if may_be_whole && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() {
            return Ok(());
        }
    }
    Ok(())
}

/// The plugin `fixipam`, called under its own name.
pub fn run_fixipam(env: Env<'_>, input: &mut dyn Read, out: &mut dyn Write) -> ExitCode {
    let mut serve = |text: &mut Vec<u8>| -> Result<Option<Value>, Failure> {
        let call = Call::read(env)?;
        if call.command == Command::Version {
            return Ok(Some(versions()));
        }
        input.take(LONGEST as u64 + 1).read_to_end(text).map_err(|error| {
            Failure::new(Code::Io, format!("reading the configuration: {error}"))
        })?;
        let config = Config::read(text, &call)?;
        // It keeps nothing that could be given back or checked.
        let is_add = call.command == Command::Add;
        let reply = is_add.then(|| fixipam::add(&config, &call)).transpose()?;
        Ok(reply.map(|reply| reply.render(config.version)))
    };
    let mut text = Vec::new();
    match serve(&mut text) {
        Ok(Some(document)) => answer(out, &document),
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) => refuse(out, &failure, config::version_of(&text)),
    }
}

fn versions() -> Value {
    json!({
        "cniVersion": Version::V110.text(),
        "supportedVersions": Version::ALL.map(Version::text),
    })
}

fn answer(out: &mut dyn Write, document: &Value) -> ExitCode {
    print(out, &(printable_json(&document.to_string()) + "\n"))
}

fn print(out: &mut dyn Write, text: &str) -> ExitCode {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // the runtime has gone
    }
}

fn refuse(out: &mut dyn Write, failure: &Failure, version: Version) -> ExitCode {
    let text = failure.to_json(version).to_string();
    let _ = writeln!(out, "{}", printable_json(&text)).and_then(|()| out.flush());
    ExitCode::FAILURE
}

/// Refuses a call before it is read.
pub fn refuse_all(out: &mut dyn Write, error: crate::error::Error) -> ExitCode {
    refuse(out, &Failure::from(error), Version::V110)
}

/// What every command works with.
struct Job<'a, K> {
    call: &'a Call,
    config: &'a Config,
    input: &'a [u8],
    kernel: &'a K,
    log: &'a Log,
}

fn serve<K: Kernel + Store + Surroundings + Neighbours>(
    call: &Call,
    input: &[u8],
    kernel: &K,
) -> Result<Option<Value>, Failure> {
    let config = Config::read(input, call).inspect_err(|failure| {
        Log::open(None, call).line(Level::Error, &failure.msg);
    })?;
    let log = Log::open(Some(&config), call);
    let job = Job { call, config: &config, input, kernel, log: &log };
    let done = match call.command {
        Command::Add => add::add(&job).map(Some),
        Command::Del => del::del(&job).map(|()| None),
        Command::Check => check::check(&job).map(|()| None),
        Command::Gc => gc::gc(&job).map(|()| None),
        Command::Status => status::status(&job).map(|()| None),
        Command::Version => Ok(Some(versions())),
    };
    match &done {
        Ok(_) => log.line(Level::Info, "done"),
        Err(failure) => {
            let more = if failure.details.is_empty() { "" } else { ": " };
            log.line(Level::Error, &format!("{}{more}{}", failure.msg, failure.details));
        }
    }
    done
}

impl<K> Job<'_, K> {
    /// Where other plugins keep what they know of this attachment.
    fn place(&self) -> Place<'_> {
        Place {
            container: &self.call.container,
            // It becomes part of a path; ADD refuses what is no name.
            ifname: (self.config.text("if0name"))
                .filter(|name| call::is_ifname(name))
                .unwrap_or(&self.call.ifname),
            dir: self.config.text("cniDir").filter(|dir| dir.starts_with('/')),
        }
    }

    /// Passes the call on to its IPAM plugin, which may take a minute: nothing that is open here keeps the namespace
    /// alive meanwhile.
    fn pass_on(&self, ipam: &Ipam<'_>, command: Command) -> Result<(), Failure>
    where
        K: Kernel,
    {
        self.kernel.let_go();
        ipam.pass_on(command)
    }

    /// For whom it is.
    fn owner(&self) -> Owner {
        Owner {
            network: self.config.name.clone(),
            container: Some(self.call.container.clone()),
            ifname: Some(self.call.ifname.clone()),
        }
    }

    /// Where this program writes it down for them.
    fn told_place(&self) -> Place<'_> {
        Place { ifname: &self.call.ifname, dir: None, ..self.place() }
    }

    /// Whether the container shall find out which device it has, as with xftony's plugin.
    fn tells_container(&self) -> bool {
        self.config.text("cniDir").is_some()
            || self.config.raw.get("containerRecord") == Some(&Value::Bool(true))
    }
}

impl<K: Kernel + Store> Job<'_, K> {
    /// Records that runtimes made here, unfinished ones too.
    fn records(&self) -> Result<Vec<Record>, Failure> {
        let all = self.kernel.all_stored(Shelf::Attachments)?;
        let made = |stored: &Stored| stored.record().cloned();
        Ok(all.iter().filter_map(made).filter(|record| record.owner.ifname.is_some()).collect())
    }

    /// What is kept of the attachment that the call is about, of a device's first port first.
    fn stored_of_call(&self) -> Result<Vec<Stored>, Failure> {
        Ok(self.kernel.stored_of_call(&self.owner())?)
    }

    /// The records of it, finished or not: of a call that should have some, so that all are looked at before it is
    /// said that there are none.
    fn records_of_call(&self) -> Result<Vec<Record>, Failure> {
        let mut all = self.stored_of_call()?;
        if all.is_empty() {
            all = self.kernel.stored_of_all(&self.owner())?;
        }
        Ok(all.iter().filter_map(Stored::record).cloned().collect())
    }

    /// Keeps other calls about the same attachment away: a DEL must not come between the addresses
    /// and the VF of an ADD. Each attachment has its own: an IPAM plugin may take a minute under it.
    fn lock(&self) -> Result<K::Guard, Failure> {
        let wait = crate::engine::attach::LOCK_WAIT;
        self.kernel
            .lock_call(&self.call.container, &self.call.ifname, wait)
            .map_err(|error| Failure { code: Code::TryAgain, ..Failure::from(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_and_no_further() {
        /// Parts as they come through a pipe that nobody closes.
        struct Pipe(Vec<&'static [u8]>);
        impl Read for Pipe {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                assert!(!self.0.is_empty(), "it waits for ever");
                self.0.remove(0).read(buffer)
            }
        }
        let read = |parts: &[&'static [u8]]| {
            let (mut pipe, mut text) = (Pipe(parts.to_vec()), Vec::new());
            read_document(&mut pipe, &mut text).unwrap();
            (String::from_utf8(text).unwrap(), pipe.0.len())
        };
        assert_eq!(read(&[b"{\"a\":{}", b"}\n", b"more"]), ("{\"a\":{}}\n".to_owned(), 1));
        assert_eq!(read(&[b"{} x", b"}", b""]), ("{} x}".to_owned(), 0));
        assert_eq!(read(&[b"no document", b""]).1, 0);
    }

    #[test]
    fn the_versions_are_answered_alike_whoever_is_asked() {
        let mut out = Vec::new();
        let code = say_versions(&|_| None, &mut out);
        assert_eq!(code, ExitCode::SUCCESS);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{}\n", versions()));
        let wrong = |name: &str| match name {
            "CNI_COMMAND" => Some("VERSION".to_owned()),
            "CNI_ARGS" => Some("none".to_owned()),
            _ => None,
        };
        let mut out = Vec::new();
        assert_eq!(say_versions(&wrong, &mut out), ExitCode::FAILURE);
        assert!(String::from_utf8(out).unwrap().contains("is not KEY=VALUE"));
    }
}
