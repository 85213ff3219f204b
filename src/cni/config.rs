//! The network configuration on standard input: what all dialects share here, the wish in
//! [`super::dialect`].

use serde_json::{Map, Value};

use super::call::{Call, Command};
use super::failure::{Code, Failure};
use super::reply::Reply;
use super::version::Version;

/// No configuration is nearly so long.
pub const LONGEST: usize = 1 << 20;

/// A configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The version that the result shall have.
    pub version: Version,
    /// Name of the network.
    pub name: String,
    /// The IPAM plugin; `None`: no addresses are given out.
    pub ipam: Option<String>,
    /// What earlier plugins of the chain made, or, for CHECK and DEL, what ADD answered.
    pub previous: Option<Reply>,
    /// What a runtime adds for this call.
    pub runtime: Map<String, Value>,
    /// For GC: container and interface of each attachment that stays.
    pub valid: Option<Vec<(String, String)>>,
    /// All of it, as it came.
    pub raw: Map<String, Value>,
}

/// The version that errors are written in when the configuration cannot be read.
pub fn version_of(text: &[u8]) -> Version {
    match serde_json::from_slice(text) {
        Ok(Value::Object(raw)) => match raw.get("cniVersion") {
            None | Some(Value::Null) => Version::V010,
            Some(Value::String(text)) if text.is_empty() => Version::V010,
            Some(other) => {
                other.as_str().and_then(|text| text.parse().ok()).unwrap_or(Version::V110)
            }
        },
        _ => Version::V110,
    }
}

impl Config {
    /// Reads it for a call.
    pub fn read(text: &[u8], call: &Call) -> Result<Self, Failure> {
        if text.len() > LONGEST {
            let msg = format!("the configuration is longer than {LONGEST} bytes");
            return Err(Failure::new(Code::Decode, msg));
        }
        let value: Value = serde_json::from_slice(text).map_err(|error| {
            Failure::new(Code::Decode, "the configuration is no JSON").details(error.to_string())
        })?;
        let Value::Object(raw) = value else {
            return Err(Failure::new(Code::Decode, "the configuration is no JSON object"));
        };
        let version = version(&raw, call.command)?;
        let name = network_name(&raw)?;
        let ipam = match raw.get("ipam") {
            None | Some(Value::Null) => None,
            Some(Value::Object(ipam)) if ipam.is_empty() => None,
            Some(Value::Object(ipam)) => match ipam.get("type").and_then(Value::as_str) {
                Some(kind) if is_plugin(kind) => Some(kind.to_owned()),
                Some(kind) => {
                    return Err(Failure::config(
                        "ipam.type",
                        format!("\"{kind}\""),
                        "the file name of a plugin",
                    ));
                }
                None => {
                    return Err(Failure::config(
                        "ipam",
                        "a plugin without type",
                        "ipam.type names the plugin",
                    ));
                }
            },
            Some(other) => return Err(Failure::config("ipam", other, "an object")),
        };
        let previous = match raw.get("prevResult") {
            None | Some(Value::Null) => None,
            Some(previous) => Some(with_version(previous, version)),
        };
        let previous = previous.map(|previous| Reply::parse(&previous)).transpose();
        // What a former ADD answered is of no need for DEL.
        let previous =
            if call.command == Command::Del { previous.unwrap_or(None) } else { previous? };
        let runtime = match raw.get("runtimeConfig") {
            Some(Value::Object(runtime)) => runtime.clone(),
            _ => Map::new(),
        };
        let valid = if call.command == Command::Gc { valid(&raw)? } else { None };
        Ok(Self { version, name, ipam, previous, runtime, valid, raw })
    }

    /// A text, if the key is there and not empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.raw.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

fn version(raw: &Map<String, Value>, command: Command) -> Result<Version, Failure> {
    let incompatible = |msg: String| {
        let spoken = Version::ALL.map(Version::text).join(", ");
        Failure::new(Code::IncompatibleVersion, msg).details(format!("this plugin speaks {spoken}"))
    };
    let version = match raw.get("cniVersion") {
        None | Some(Value::Null) => Version::V010,
        Some(Value::String(text)) if text.is_empty() => Version::V010,
        Some(Value::String(text)) => text
            .parse()
            .map_err(|()| incompatible(format!("cniVersion {text} is not supported")))?,
        Some(other) => return Err(incompatible(format!("cniVersion {other} is no version"))),
    };
    let since = match command {
        Command::Check => Version::V040,
        Command::Gc | Command::Status => Version::V110,
        _ => Version::V010,
    };
    if version < since {
        let command = command.text();
        return Err(incompatible(format!(
            "{command} exists since {since}, and this configuration is {version}"
        )));
    }
    Ok(version)
}

fn network_name(raw: &Map<String, Value>) -> Result<String, Failure> {
    let name = raw.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(Failure::new(Code::Config, "the network has no name")
            .details("give it one with the key name"));
    }
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|first| first.is_ascii_alphanumeric());
    if first && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Ok(name.to_owned());
    }
    Err(Failure::config(
        "name",
        format!("\"{name}\""),
        "letters, digits, _ . - after a letter or digit",
    ))
}

/// A plugin is a file in CNI_PATH, and nowhere else.
fn is_plugin(kind: &str) -> bool {
    !kind.is_empty() && !kind.contains('/') && kind != "." && kind != ".."
}

/// Runtimes leave out the version of a previous result where it is the configuration's.
fn with_version(previous: &Value, version: Version) -> Value {
    let mut previous = previous.clone();
    if let Some(object) = previous.as_object_mut() {
        object.entry("cniVersion").or_insert_with(|| version.text().into());
    }
    previous
}

/// Runtimes send one key or the other, or both: what any of them lists stays.
fn valid(raw: &Map<String, Value>) -> Result<Option<Vec<(String, String)>>, Failure> {
    let keys = ["cni.dev/valid-attachments", "cni.dev/attachments"];
    if keys.iter().all(|key| !raw.contains_key(*key)) {
        return Err(Failure::new(Code::Config, "GC without a list of what stays")
            .details(format!("want the key {}, which may be empty", keys[0])));
    }
    let entry = |value: &Value| {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some((text("containerID")?, text("ifname")?))
    };
    // Null, a list that was never made: nothing runs.
    let given = keys.iter().filter_map(|key| Some((*key, raw.get(*key)?)));
    let mut all = Vec::new();
    for (key, list) in given.filter(|(_, list)| !list.is_null()) {
        let entries = list.as_array().and_then(|list| list.iter().map(entry).collect());
        let entries: Vec<_> = entries.ok_or_else(|| {
            Failure::config(key, list, "a list of objects with containerID and ifname")
        })?;
        all.extend(entries);
    }
    Ok(Some(all))
}
