//! Delegation to an IPAM plugin (CNI specification, section 4): found in CNI_PATH, run with the
//! same environment and input, its answer read in whichever version it speaks.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::call::{Call, Command};
use super::config::Config;
use super::failure::{Code, Failure};
use super::fixipam;
use super::reply::Reply;
use super::talk::talk;
use super::version::Version;

/// A plugin that asks a server may take long; runtimes give up after some minutes.
const WITHIN: Duration = Duration::from_secs(60);

/// The plugin that a configuration names.
pub struct Ipam<'a> {
    kind: &'a str,
    /// `None`: the one that is built in.
    program: Option<PathBuf>,
    call: &'a Call,
    config: &'a Config,
    input: &'a [u8],
    within: Duration,
}

impl<'a> Ipam<'a> {
    /// Finds it; `None`: the configuration names none.
    pub fn of(
        config: &'a Config,
        call: &'a Call,
        input: &'a [u8],
    ) -> Result<Option<Self>, Failure> {
        // Where ADD asks for no addresses there are none to check or to give back.
        let without = config.raw.get("l2enable") == Some(&Value::Bool(true))
            || config.raw.get("dpdk").is_some_and(|dpdk| !dpdk.is_null());
        let Some(kind) = config.ipam.as_deref().filter(|_| !without) else { return Ok(None) };
        let dirs = call.path.split(':').filter(|dir| !dir.is_empty());
        let mut programs = dirs.map(|dir| Path::new(dir).join(kind));
        let program = programs.find(|program| is_program(program));
        if program.is_none() && kind != fixipam::NAME {
            return Err(Failure::new(Code::Ipam, format!("there is no IPAM plugin {kind}"))
                .details(format!("looked for it in CNI_PATH, {:?}", call.path)));
        }
        Ok(Some(Self { kind, program, call, config, input, within: WITHIN }))
    }

    /// Asks for addresses.
    pub fn add(&self) -> Result<Reply, Failure> {
        let Some(program) = &self.program else { return fixipam::add(self.config, self.call) };
        let read = |text: Vec<u8>| {
            let value: Value = serde_json::from_slice(&text).map_err(|error| {
                let text = String::from_utf8_lossy(&text);
                self.failure(&format!("answered no JSON ({error})"), &text)
            })?;
            let reply = Reply::parse(&value).map_err(|Failure { msg, details, .. }| {
                self.failure(&format!("gave what is no result: {msg}"), &details)
            })?;
            if reply.ips.is_empty() {
                return Err(self.failure("gave no address", ""));
            }
            Ok(reply)
        };
        match self.try_run(program, Command::Add) {
            // It may have written down what cannot be used.
            Ok(text) => read(text).map_err(|failure| self.given_back(failure)),
            Err(Refused { late: true, failure, .. }) => Err(self.given_back(failure)),
            Err(refused) => Err(refused.failure),
        }
    }

    fn given_back(&self, failure: Failure) -> Failure {
        let Err(also) = self.pass_on(Command::Del) else { return failure };
        let details = format!("{}\nnor could it give back: {}", failure.details, also.msg);
        failure.details(details.trim_start().to_owned())
    }

    /// Whether it gives addresses back through the interface that has them.
    pub fn needs_interface(&self) -> bool {
        self.kind == "dhcp"
    }

    /// Passes a command on that has no answer.
    pub fn pass_on(&self, command: Command) -> Result<(), Failure> {
        match &self.program {
            Some(program) => self.run(program, command).map(|_| ()),
            None => Ok(()), // it keeps nothing
        }
    }

    /// Gives back the addresses of an attachment that GC ended, for a plugin without GC.
    pub fn release(&self, container: &str, ifname: &str, netns: &str) -> Result<(), Failure> {
        let Some(program) = &self.program else { return Ok(()) };
        if self.speaks(program, self.config.version) {
            return Ok(()); // it is told by GC itself
        }
        let of = [("CNI_CONTAINERID", container), ("CNI_IFNAME", ifname), ("CNI_NETNS", netns)];
        let done = self.once(program, Command::Del, self.input, &of);
        let done = match done {
            Err(Refused { code: Some(1), .. }) => {
                self.once(program, Command::Del, &self.in_version(Version::V100), &of)
            }
            done => done,
        };
        done.map(|_| ()).map_err(|refused| refused.failure)
    }

    fn failure(&self, what: &str, details: &str) -> Failure {
        let details: String = details.chars().take(2000).collect();
        Failure::new(Code::Ipam, format!("the IPAM plugin {} {what}", self.kind)).details(details)
    }

    /// Runs it. One that does not speak the configuration's version is asked again in 1.0.0; one that
    /// is older than GC and STATUS has nothing to do for them.
    fn run(&self, program: &Path, command: Command) -> Result<Vec<u8>, Failure> {
        self.try_run(program, command).map_err(|refused| refused.failure)
    }

    fn try_run(&self, program: &Path, command: Command) -> Result<Vec<u8>, Refused> {
        let is_new = matches!(command, Command::Gc | Command::Status);
        if is_new && !self.speaks(program, self.config.version) {
            return Ok(Vec::new());
        }
        match self.once(program, command, self.input, &[]) {
            Err(Refused { code: Some(1), .. }) if self.config.version > Version::V100 => {
                let input = self.in_version(Version::V100);
                self.once(program, command, &input, &[])
            }
            done => done,
        }
    }

    /// Whether it says that it speaks a version.
    fn speaks(&self, program: &Path, version: Version) -> bool {
        let text = self.once(program, Command::Version, self.input, &[]).unwrap_or_default();
        let said: Option<Value> = serde_json::from_slice(&text).ok();
        let all = said.as_ref().and_then(|said| said.get("supportedVersions")?.as_array());
        all.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(version.text())))
    }

    /// The configuration, in another version, and so the result in it.
    fn in_version(&self, version: Version) -> Vec<u8> {
        let mut config = self.config.raw.clone();
        config.insert("cniVersion".into(), version.text().into());
        if let Some(previous) = &self.config.previous {
            config.insert("prevResult".into(), previous.render(version));
        }
        Value::Object(config).to_string().into_bytes()
    }

    /// Runs it once, with the caller's environment but for `of`.
    fn once(
        &self,
        program: &Path,
        command: Command,
        input: &[u8],
        of: &[(&str, &str)],
    ) -> Result<Vec<u8>, Refused> {
        let started = Process::new(program)
            .env("CNI_COMMAND", command.text())
            .envs(of.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let mut child = started.map_err(|error| {
            let details = format!("{}: {error}", program.display());
            self.refused(None, "cannot be started", &details)
        })?;
        let Some((text, status)) = talk(&mut child, input, self.within) else {
            // Whatever it was waiting for, nobody waits for it any more.
            let _ = child.kill();
            let _ = child.wait();
            let what =
                format!("did not answer {} within {} s", command.text(), self.within.as_secs());
            return Err(Refused { late: true, ..self.refused(None, &what, "") });
        };
        if status.success() {
            return Ok(text);
        }
        let said: Option<Value> = serde_json::from_slice(&text).ok();
        let said = said.as_ref();
        let part = |key: &str| {
            said.and_then(|said| said.get(key)?.as_str()).unwrap_or_default().to_owned()
        };
        let msg = match part("msg") {
            msg if msg.is_empty() => format!("failed at {} ({status})", command.text()),
            msg => format!("failed at {}: {msg}", command.text()),
        };
        let code = said.and_then(|said| said.get("code")?.as_u64());
        Err(self.refused(code, &msg, &part("details")))
    }

    fn refused(&self, code: Option<u64>, what: &str, details: &str) -> Refused {
        let failure = self.failure(what, details);
        let again = code == Some(Code::TryAgain as u64);
        let failure = if again { Failure { code: Code::TryAgain, ..failure } } else { failure };
        Refused { code, failure, late: false }
    }
}

/// How a plugin refused, and the code that it gave.
struct Refused {
    code: Option<u64>,
    /// It did not answer in time, and may have done it.
    late: bool,
    failure: Failure,
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_plugin_that_leaves_a_child_behind_has_answered() {
        let mut child = Process::new("/bin/sh")
            .args(["-c", "sleep 30 & echo $! answer"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let (text, status) = talk(&mut child, b"", WITHIN).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (pid, said) = text.split_once(' ').unwrap();
        let _ = Process::new("kill").arg(pid).status();
        assert!(status.success() && said == "answer\n");
        assert!(begun.elapsed() < Duration::from_secs(20), "waited for the child");
    }

    /// It may have written an address down before it got stuck.
    #[test]
    fn a_plugin_that_does_not_answer_is_ended_and_asked_to_give_back() {
        let plugins = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cni/plugins");
        let calls = std::env::temp_dir().join(format!("sriovctl-ipam-{}", std::process::id()));
        let env = |name: &str| {
            let value = match name {
                "CNI_COMMAND" => "ADD",
                "CNI_CONTAINERID" => "c1",
                "CNI_NETNS" => "/run/netns/blue",
                "CNI_IFNAME" => "net1",
                "CNI_PATH" => plugins,
                _ => return None,
            };
            Some(value.to_owned())
        };
        let call = Call::read(&env).unwrap();
        let input = format!(
            r#"{{"cniVersion":"1.0.0","name":"blue","ipam":{{"type":"ipam-stuck"}},"calls":"{}"}}"#,
            calls.display()
        );
        let config = Config::read(input.as_bytes(), &call).unwrap();
        let ipam = Ipam::of(&config, &call, input.as_bytes()).unwrap().unwrap();
        let failure = Ipam { within: Duration::from_secs(1), ..ipam }.add().unwrap_err();
        let text = std::fs::read_to_string(&calls).unwrap();
        std::fs::remove_file(&calls).unwrap();
        assert_eq!(failure.msg, "the IPAM plugin ipam-stuck did not answer ADD within 1 s");
        let calls: Vec<&str> = text.split_whitespace().collect();
        assert_eq!((calls[0], calls[2]), ("ADD", "DEL"), "{calls:?}");
        assert!(!Path::new("/proc").join(calls[1]).exists(), "it still runs");
    }
}
