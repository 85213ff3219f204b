//! Files of other programs that change VFs, read a line at a time: what is looked for are single
//! keys, which need no parser of YAML, XML or unit files.

use std::collections::HashSet;

/// What other program's file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A .link or .network file of systemd.
    Systemd,
    /// A connection of NetworkManager.
    Connection,
    /// NetworkManager's own configuration.
    ManagerConf,
    /// netplan's YAML.
    Netplan,
    /// An override of driverctl; the text is the driver.
    Driverctl,
    /// What sriov-network-operator left.
    Operator,
    /// A network of libvirt.
    Libvirt,
    /// A udev rule.
    Udev,
    /// A service of systemd, or a script that it starts.
    Unit,
    /// A script or table that is run at boot.
    BootScript,
    /// Options of modules.
    ModuleOption,
}

/// A file that changes VFs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Whose it is.
    pub kind: Kind,
    /// Where it is.
    pub path: String,
    /// The lines that do it, from 1 on; none where all of the file does.
    pub lines: Vec<usize>,
    /// How many VFs, or which driver, where the file says so.
    pub value: Option<String>,
    /// Interfaces, addresses or modules that it is about, where it says so.
    pub names: Vec<String>,
    /// What the other program calls it: a connection, a network, a unit.
    pub key: Option<String>,
}

/// Reads a file; `None`: it changes no VFs.
pub fn read(kind: Kind, path: &str, text: &str) -> Option<Trace> {
    let trace = Trace {
        kind,
        path: path.to_owned(),
        lines: Vec::new(),
        value: None,
        names: Vec::new(),
        key: None,
    };
    let mut trace = match kind {
        Kind::Systemd => systemd(trace, text),
        Kind::Connection => connection(trace, text),
        Kind::ManagerConf => keyed(trace, text, "sriov-num-vfs"),
        Kind::Netplan => netplan(trace, text),
        Kind::Libvirt => libvirt(trace, text),
        Kind::Driverctl => Some(Trace {
            value: Some(text.trim().to_owned()).filter(|driver| !driver.is_empty()),
            names: name_of(path).strip_prefix("pci-").map(str::to_owned).into_iter().collect(),
            ..trace
        }),
        Kind::Operator => Some(Trace { names: vec![name_of(path).to_owned()], ..trace }),
        Kind::Udev | Kind::Unit | Kind::BootScript => numvfs(trace, text),
        Kind::ModuleOption => module(trace, text),
    }?;
    let mut seen = HashSet::new();
    trace.names.retain(|name| seen.insert(name.clone()));
    Some(trace)
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Lines of an INI file without comments: number, section, key and value.
fn ini(text: &str) -> impl Iterator<Item = (usize, &str, &str, &str)> {
    let mut section = "";
    text.lines().enumerate().filter_map(move |(index, line)| {
        let line = line.trim();
        if line.starts_with(['#', ';']) || line.is_empty() {
            return None;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            return Some((index + 1, section, "", ""));
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        Some((index + 1, section, key.trim(), value.trim()))
    })
}

/// systemd.link(5), systemd.network(5).
fn systemd(mut trace: Trace, text: &str) -> Option<Trace> {
    const MATCHES: [&str; 5] =
        ["OriginalName", "Name", "Path", "MACAddress", "PermanentMACAddress"];
    for (number, section, key, value) in ini(text) {
        match (section, key) {
            ("Match", key) if MATCHES.contains(&key) => {
                trace.names.extend(value.split_whitespace().map(str::to_owned));
            }
            ("Link", "SR-IOVVirtualFunctions") => {
                trace.value = Some(value.to_owned());
                trace.lines.push(number);
            }
            ("SR-IOV", _) => trace.lines.push(number),
            _ => {}
        }
    }
    (!trace.lines.is_empty()).then_some(trace)
}

/// nm-settings-keyfile(5).
fn connection(mut trace: Trace, text: &str) -> Option<Trace> {
    for (number, section, key, value) in ini(text) {
        match (section, key) {
            ("connection", "id") => trace.key = Some(value.to_owned()),
            ("connection", "interface-name") => trace.names.push(value.to_owned()),
            ("sriov", "total-vfs") => {
                trace.value = Some(value.to_owned());
                trace.lines.push(number);
            }
            ("sriov", _) => trace.lines.push(number),
            _ => {}
        }
    }
    (!trace.lines.is_empty()).then_some(trace)
}

fn keyed(mut trace: Trace, text: &str, wanted: &str) -> Option<Trace> {
    for (number, _, key, value) in ini(text) {
        if key == wanted {
            trace.value = Some(value.to_owned());
            trace.lines.push(number);
        }
    }
    (!trace.lines.is_empty()).then_some(trace)
}

/// The interface is the nearest key above that is indented less.
fn netplan(mut trace: Trace, text: &str) -> Option<Trace> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(value) = line.trim().strip_prefix("virtual-function-count:") else { continue };
        let above = lines[..index].iter().rev().filter(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        let parent = above.clone().find(|above| indent(above) < indent(line));
        let name = parent.and_then(|line| line.trim().split(':').next());
        trace.names.extend(name.map(|name| name.trim_matches(['"', '\'']).to_owned()));
        let value = value.split('#').next().unwrap_or(value);
        trace.value = Some(value.trim().trim_matches(['"', '\'']).to_owned());
        trace.lines.push(index + 1);
    }
    (!trace.lines.is_empty()).then_some(trace)
}

/// https://libvirt.org/formatnetwork.html: `<forward mode='hostdev'>` with `<pf dev='eth0'/>`.
fn libvirt(mut trace: Trace, text: &str) -> Option<Trace> {
    let attribute = |tag: &str, name: &str| {
        let from = text.find(&format!("<{tag} "))?;
        let tag = text[from..].split('>').next()?;
        let value = tag.split(&format!("{name}=")).nth(1)?;
        let quote = value.chars().next()?;
        value[1..].split(quote).next().map(str::to_owned)
    };
    if attribute("forward", "mode").as_deref() != Some("hostdev") {
        return None;
    }
    trace.names.extend(attribute("pf", "dev"));
    let name = text.split_once("<name>").and_then(|(_, rest)| rest.split_once("</name>"));
    trace.key = name.map(|(name, _)| name.trim().to_owned());
    Some(trace)
}

/// Whatever writes `sriov_numvfs`, in whichever language.
fn numvfs(mut trace: Trace, text: &str) -> Option<Trace> {
    // Variables with the path, and whose it is.
    let mut variables: Vec<(String, Vec<String>)> = Vec::new();
    for (numbers, line) in joined(text) {
        let line = line.trim();
        if let Some(name) = variable(line).filter(|_| trace.kind != Kind::Udev) {
            variables.push((name.to_owned(), interfaces(line)));
        }
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        let does = match trace.kind {
            Kind::Udev => assigns(line) || writes(line, &[]),
            _ => writes(line, &names),
        };
        if does {
            trace.lines.extend(numbers);
            trace.names.extend(interfaces(line));
            let used = variables.iter().filter(|(name, _)| mentions(line, &[name]));
            trace.names.extend(used.flat_map(|(_, names)| names.clone()));
        }
    }
    (!trace.lines.is_empty()).then_some(trace)
}

/// Lines without comments, those that a backslash continues as one, with the numbers of each.
fn joined(text: &str) -> Vec<(Vec<usize>, String)> {
    let mut all: Vec<(Vec<usize>, String)> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        // Not even the backslash of a comment counts.
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let part = line.trim_end().strip_suffix('\\');
        match all.last_mut().filter(|_| is_open) {
            Some((numbers, whole)) => {
                numbers.push(index + 1);
                whole.push_str(part.unwrap_or(line));
            }
            None => all.push((vec![index + 1], part.unwrap_or(line).to_owned())),
        }
        is_open = part.is_some();
    }
    all
}

/// The variable that a line gives the path to: `for NAME in ...`, `NAME=...`.
fn variable(line: &str) -> Option<&str> {
    let (name, value) = match line.strip_prefix("for ") {
        Some(rest) => rest.split_once(" in ")?,
        None => line.split_once('=')?,
    };
    let name = name.trim().rsplit(' ').next()?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // What a command prints of the file is not its path.
    let is_read = value.contains("$(cat ") || value.contains("$(<") || value.contains("`cat ");
    let is_path = value.contains("sriov_numvfs") && !is_read;
    (is_name && !name.is_empty() && is_path).then_some(name)
}

/// udev(7): a match (== or !=) only looks.
fn assigns(line: &str) -> bool {
    line.split("sriov_numvfs}").skip(1).any(|rest| {
        let rest = rest.trim_start();
        let rest = rest.strip_prefix(['+', ':']).unwrap_or(rest);
        rest.starts_with('=') && !rest.starts_with("==")
    })
}

/// Whether it is about the file, or a variable with its path.
fn mentions(text: &str, variables: &[&str]) -> bool {
    let uses = |name: &str| {
        text.match_indices(name).any(|(at, _)| {
            let is_shell = text[..at].ends_with(['$', '{']);
            let is_python = text[..at].ends_with("open(");
            let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
            (is_shell || is_python) && !text[at + name.len()..].starts_with(goes_on)
        })
    };
    text.contains("sriov_numvfs") || variables.iter().any(|name| uses(name))
}

/// Whether a line of a script or table writes the file, rather than reads or tests it.
fn writes(line: &str, variables: &[&str]) -> bool {
    let is_file = |text: &str| mentions(text, variables);
    let redirects = line
        .match_indices('>')
        .any(|(at, _)| is_file(target(line[at + 1..].trim_start_matches('|'))));
    let command = |rest: &str| is_file(rest.split([';', '|', '&']).next().unwrap_or(rest));
    let tees = line.split("tee ").skip(1).any(command);
    let copies = line.split(" of=").skip(1).any(|rest| is_file(target(rest)));
    // Python and its like.
    let opens = ["open(", ".write"].iter().any(|word| line.contains(word))
        && ["\"w", "'w", "\"r+", "'r+", ".write"].iter().any(|word| line.contains(word))
        && is_file(line);
    // sysfs.conf(5): `class/net/eth0/device/sriov_numvfs = 4`.
    let sets = line.split_once('=').is_some_and(|(key, _)| {
        let key = key.trim_end();
        key.ends_with("sriov_numvfs")
            && key.contains(['/', '.'])
            && !key.contains([' ', '\t', '[', '('])
    });
    // tmpfiles.d(5): `w /sys/class/net/eth0/device/sriov_numvfs - - - - 4`.
    let mut words = line.split_whitespace();
    let is_write = |word: &str| {
        word.strip_prefix('w').is_some_and(|rest| rest.chars().all(|c| "+!-=~^$?".contains(c)))
    };
    let has_type = words.next().is_some_and(is_write);
    let is_row = has_type && words.next().is_some_and(|path| path.ends_with("/sriov_numvfs"));
    redirects || tees || copies || opens || sets || is_row
}

/// The word that a text of the shell's begins with, substitutions and quotes included.
fn target(text: &str) -> &str {
    let text = text.trim_start();
    let (mut depth, mut quote, mut last) = (0_usize, None, '/');
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') if last == '/' => quote = Some(c),
            (_, '(') => depth += 1,
            (None, ')' | ' ' | '\t' | ';' | '|' | '&' | '<' | '>') if depth == 0 => {
                return &text[..at];
            }
            (_, ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        last = c;
    }
    text
}

/// Interfaces and addresses in the paths of a line.
fn interfaces(line: &str) -> Vec<String> {
    let after = |word: &str| {
        let mut found = line.split(word).skip(1);
        let name = found.next().and_then(|rest| rest.split(['/', '"', '\'', ' ']).next());
        name.filter(|name| !name.is_empty() && !name.contains(['$', '*', '%'])).map(str::to_owned)
    };
    let paths = ["class/net/", "pci/devices/", "NAME==\"", "KERNEL==\"", "KERNELS==\""];
    paths.iter().filter_map(|path| after(path)).collect()
}

/// modprobe.d(5): `options igb max_vfs=7`.
fn module(mut trace: Trace, text: &str) -> Option<Trace> {
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let (Some("options"), Some(module)) = (words.next(), words.next()) else { continue };
        let count = words.find_map(|word| {
            word.strip_prefix("max_vfs=").or_else(|| word.strip_prefix("num_vfs="))
        });
        // Zero is what they do by themselves.
        let Some(count) = count.filter(|count| *count != "0") else { continue };
        trace.names.push(module.to_owned());
        trace.value = Some(count.to_owned());
        trace.lines.push(index + 1);
    }
    (!trace.lines.is_empty()).then_some(trace)
}

/// Programs that a unit starts which may be scripts: those that an administrator wrote.
pub fn scripts(unit: &str) -> Vec<String> {
    let started =
        ini(unit).filter(|(_, section, key, _)| *section == "Service" && key.starts_with("Exec"));
    let words = started.flat_map(|(_, _, _, value)| value.split_whitespace());
    let words = words
        .map(|word| word.trim_start_matches(['-', '@', '+', '!', ':']).trim_matches(['"', '\'']));
    let is_local = |word: &&str| {
        ["/usr/local/", "/opt/", "/etc/", "/root/", "/home/", "/srv/"]
            .iter()
            .any(|dir| word.starts_with(dir))
    };
    words.filter(is_local).map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
