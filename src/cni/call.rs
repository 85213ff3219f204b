//! What a runtime passes in the environment (CNI specification, section 2, "Parameters").

use std::collections::BTreeMap;

use super::failure::{Code, Failure};

/// Files are named by it, and by what is added to it.
const LONGEST_ID: usize = 200;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach.
    Add,
    /// Detach.
    Del,
    /// See whether it is still so.
    Check,
    /// Detach what is not listed.
    Gc,
    /// See whether ADD can succeed.
    Status,
    /// Say which versions are spoken.
    Version,
}

impl Command {
    /// As runtimes spell it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    /// The command of `CNI_COMMAND`.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version];
        all.into_iter().find(|command| command.text() == text)
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What is asked for.
    pub command: Command,
    /// `CNI_CONTAINERID`; empty where the command has none.
    pub container: String,
    /// `CNI_NETNS`; may be empty for DEL.
    pub netns: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `CNI_ARGS`, by key.
    pub args: BTreeMap<String, String>,
    /// `CNI_PATH`, where other plugins are.
    pub path: String,
}

impl Call {
    /// Reads it; what is missing or wrong is said all at once.
    pub fn read(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let get = |name: &str| env(name).unwrap_or_default();
        let text = get("CNI_COMMAND");
        let command = Command::parse(&text).ok_or_else(|| match text.as_str() {
            "" => Failure::new(Code::Environment, "CNI_COMMAND is missing"),
            other => Failure::new(Code::Environment, format!("unknown CNI_COMMAND: {other}"))
                .details("one of ADD, DEL, CHECK, GC, STATUS, VERSION"),
        })?;
        let required: &[&str] = match command {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Command::Gc => &["CNI_PATH"],
            Command::Status | Command::Version => &[],
        };
        let mut problems: Vec<String> = Vec::new();
        let missing: Vec<&str> =
            required.iter().copied().filter(|name| get(name).is_empty()).collect();
        if !missing.is_empty() {
            problems.push(format!("missing: {}", missing.join(", ")));
        }
        let is_of_container = matches!(command, Command::Add | Command::Check | Command::Del);
        let (container, ifname) = (get("CNI_CONTAINERID"), get("CNI_IFNAME"));
        if is_of_container && container.len() > LONGEST_ID {
            problems.push(format!(
                "CNI_CONTAINERID \"{container}\": it has {} bytes, of at most {LONGEST_ID}",
                container.len()
            ));
        }
        if is_of_container && !container.is_empty() && !is_container_id(&container) {
            problems.push(format!(
                "CNI_CONTAINERID \"{container}\": letters, digits, _ . - after a letter or digit"
            ));
        }
        if is_of_container && !ifname.is_empty() && !is_ifname(&ifname) {
            problems.push(format!(
                "CNI_IFNAME \"{ifname}\": 1 to 15 bytes, no / : or space, not . or .."
            ));
        }
        let args = parse_args(&get("CNI_ARGS"));
        // What DEL gives back is known without them.
        if let (Err(why), true) = (&args, command != Command::Del) {
            problems.push(format!("CNI_ARGS: {why}"));
        }
        if !problems.is_empty() {
            let msg = format!("the environment of {} is incomplete or wrong", command.text());
            return Err(Failure::new(Code::Environment, msg).details(problems.join("\n")));
        }
        Ok(Self {
            command,
            container,
            netns: get("CNI_NETNS"),
            ifname,
            args: args.unwrap_or_default(),
            path: get("CNI_PATH"),
        })
    }
}

fn is_container_id(id: &str) -> bool {
    let mut bytes = id.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// As the reference implementation has it.
pub fn is_ifname(name: &str) -> bool {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace();
    (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.contains(bad)
}

/// `KEY=VALUE;KEY=VALUE`.
fn parse_args(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pairs = text.split(';').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("\"{pair}\" is not KEY=VALUE")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Call, Failure> {
        Call::read(&|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let failure = read(&[
            ("CNI_COMMAND", "ADD"),
            ("CNI_CONTAINERID", "../x"),
            ("CNI_IFNAME", "a/b"),
            ("CNI_ARGS", "x"),
        ])
        .unwrap_err();
        assert_eq!(failure.code, Code::Environment);
        for said in ["missing: CNI_NETNS", "\"../x\"", "\"a/b\"", "\"x\" is not KEY=VALUE"] {
            assert!(failure.details.contains(said), "{failure:?}");
        }
    }

    #[test]
    fn each_command_needs_its_own_variables() {
        assert_eq!(read(&[]).unwrap_err().msg, "CNI_COMMAND is missing");
        assert!(read(&[("CNI_COMMAND", "add")]).is_err());
        assert!(read(&[("CNI_COMMAND", "VERSION")]).is_ok());
        assert!(read(&[("CNI_COMMAND", "STATUS")]).is_ok());
        assert!(read(&[("CNI_COMMAND", "GC")]).is_err());
        assert!(read(&[("CNI_COMMAND", "GC"), ("CNI_PATH", "/opt/cni/bin")]).is_ok());
        let del = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "net1")];
        assert_eq!(read(&del).unwrap().netns, "");
        let odd = [del.as_slice(), &[("CNI_ARGS", "no pair")]].concat();
        assert!(read(&odd).is_ok());
    }
}
