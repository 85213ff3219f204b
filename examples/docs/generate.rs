//! Completions and man pages from the command line's definition and the JSON schemas, so that none
//! of them can say anything else.

#[path = "cni.rs"]
mod cni;

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::Value;
use sriovctl::cli::Cli;
use sriovctl::commands::complete;
use sriovctl::model::doctor::Id;

const EXIT_CODES: [(&str, &str); 9] = [
    ("0", "Done, or it was so already."),
    ("1", "Failed for a reason not listed here; doctor: there are warnings."),
    ("2", "The command line asks for something that cannot be."),
    ("3", "No such device."),
    ("4", "Busy or refused; nothing was changed; doctor: there are errors."),
    ("5", "The kernel, the driver or the device cannot do it."),
    ("6", "Partly done; what was not is listed."),
    ("7", "It did not come to an end in time."),
    ("8", "Not permitted."),
];

/// What users of other programs type, and the same here.
const INSTEAD: [(&str, &str); 19] = [
    ("dpdk-devbind.py --status", "sriovctl bind-dpdk --status"),
    ("dpdk-devbind.py -b vfio-pci 0000:3b:02.0", "sriovctl bind-dpdk 0000:3b:02.0"),
    ("dpdk-devbind.py -b vfio-pci ens1f0v0 ens1f0v1", "sriovctl bind-dpdk 'ens1f0#0-1'"),
    ("dpdk-devbind.py -b vfio-pci ens1f0", "sriovctl bind-dpdk ens1f0 --pf-only"),
    (
        "dpdk-devbind.py -b uio_pci_generic ADDRESS",
        "sriovctl bind-dpdk ADDRESS --driver uio_pci_generic",
    ),
    ("dpdk-devbind.py -b iavf ADDRESS", "sriovctl bind-dpdk --restore ADDRESS"),
    ("dpdk-devbind.py -u ADDRESS", "none: a device is never left without a driver"),
    ("dpdk-devbind.py --force ...", "sriovctl bind-dpdk --force ..."),
    ("dpdk-devbind.py --noiommu-mode ...", "sriovctl bind-dpdk --allow-noiommu ..."),
    ("dpdk-devbind.py -U alice -G dpdk ...", "sriovctl bind-dpdk --owner alice:dpdk ..."),
    ("dpdk-hugepages.py --show", "sriovctl bind-dpdk --status"),
    ("driverctl list-devices network", "sriovctl bind-dpdk --status"),
    ("driverctl list-overrides", "sriovctl inspect-state"),
    ("driverctl set-override ADDRESS vfio-pci", "sriovctl bind-dpdk --persist ADDRESS"),
    ("driverctl --nosave set-override ADDRESS vfio-pci", "sriovctl bind-dpdk ADDRESS"),
    ("driverctl unset-override ADDRESS", "sriovctl bind-dpdk --restore --persist ADDRESS"),
    ("driverctl --nosave unset-override ADDRESS", "sriovctl bind-dpdk --restore ADDRESS"),
    (
        "echo ADDRESS > .../driver/unbind; echo vfio-pci > .../driver_override; ...",
        "sriovctl bind-dpdk ADDRESS",
    ),
    (
        "ip link set PF vf 3 mac MAC; dpdk-devbind.py -b vfio-pci ADDRESS",
        "sriovctl bind-dpdk 'PF#3' --mac MAC",
    ),
];

const FILES: [(&str, &str); 11] = [
    ("/sys/bus/pci/devices", "PFs and VFs."),
    (
        "/var/lib/cni/sriov/sriovctl",
        "Records: journal/ while a VF is attached, attached/ from then on; binding/ and bound/ of drivers; calls/ leads from a CNI call to its VF. Used only if root owns them and nobody else may write them.",
    ),
    (
        "/var/lib/cni/sriov/CONTAINER-IFNAME, .../pci/ADDRESS",
        "Records and allocations as sriov-cni keeps them, read and written.",
    ),
    ("/etc/sriovctl/*.yaml, *.yml, *.json", "What apply makes this host, by sriovctl-apply(8)."),
    (
        "sriovctl.service",
        "The systemd unit that applies it at boot, enabled by sriovctl apply --persist.",
    ),
    ("/etc/sriovctl/bindings", "Bindings of bind-dpdk --persist, a file a device."),
    ("/etc/udev/rules.d/70-sriovctl-*.rules", "Rules that make them when the device appears."),
    ("/lib/modules", "What modules say of the devices they know (modules.alias, modules.dep)."),
    ("/run/sriovctl/lock", "Locks, a file a device, while it is changed."),
    ("/usr/share/misc/pci.ids", "Names of devices; without it their numbers are shown."),
    ("/run/netns", "Named network namespaces, where VFs are looked for."),
];

/// A host for sriovctl-apply(8).
pub const FILE: &str = "\
version: 1
pfs:
  - pf: 0000:3b:00.0
    mac: 52:54:00:aa:00:00
    numvfs: 8
    vfs:
      - vfs: all
        spoofchk: on
        vlan: 100
      - vfs: 0-3
        driver: vfio-pci
        owner: dpdk:dpdk
        mode: '0660'
      - vfs: 7
        mac: 02:00:00:00:00:07
        trust: on
";

const ENVIRONMENT: [(&str, &str); 3] = [
    ("NO_COLOR", "When set and not empty, no colours are used."),
    ("COLUMNS", "Width of tables where the terminal does not tell its own."),
    (
        "SRIOVCTL_COMPLETE",
        "Set by the completion scripts: bash, zsh or fish asks what could come next.",
    ),
];

const SIGNALS: [(&str, &str); 2] = [
    (
        "SIGINT, SIGTERM, SIGHUP",
        "At a question nothing is changed. During a change what was begun is undone, or finished where that is the way back, before the program ends; further devices are left alone. Signals that were ignored when it was started stay so.",
    ),
    (
        "SIGINT, SIGTERM once more",
        "A second later or more they end it at once; sriovctl inspect-state --repair does the rest.",
    ),
];

/// Every generated file: its path in the repository, and its text.
pub fn all() -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let shells: [(&dyn EnvCompleter, &str); 3] =
        [(&Bash, "sriovctl.bash"), (&Zsh, "_sriovctl"), (&Fish, "sriovctl.fish")];
    for (shell, name) in shells {
        let mut text = Vec::new();
        let [program, variable] = ["sriovctl", complete::VARIABLE];
        shell.write_registration(variable, program, program, program, &mut text).expect("memory");
        if shell.name() == "zsh" {
            // Loaded on the first use, by the name of its file: it shall complete then already.
            text.extend(
                b"[ \"$funcstack[1]\" = _sriovctl ] && _clap_dynamic_completer_sriovctl \"$@\"\n",
            );
        }
        files.push((PathBuf::from("completions").join(name), text));
    }
    let mut root = Cli::command();
    root.build();
    files.push((PathBuf::from("man/sriovctl.8"), tidy(&main_page(&root))));
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        let page = PathBuf::from(format!("man/sriovctl-{}.8", command.get_name()));
        files.push((page, tidy(&command_page(command))));
    }
    files
}

fn man(command: Command) -> Man {
    let version = env!("CARGO_PKG_VERSION");
    Man::new(command)
        .section("8")
        .manual("System administration")
        .source(format!("sriovctl {version}"))
        .date("2026-11-27")
}

fn main_page(root: &Command) -> Vec<u8> {
    let mut page = render(&man(root.clone()), root);
    list(&mut page, "EXIT STATUS", &EXIT_CODES);
    list(&mut page, "SIGNALS", &SIGNALS);
    list(&mut page, "FILES", &FILES);
    list(&mut page, "ENVIRONMENT", &ENVIRONMENT);
    let error = include_str!("../../schemas/error.schema.json");
    keys(&mut page, "JSON ERRORS", "With --json an error is an object on standard output:", error);
    page
}

fn command_page(command: &Command) -> Vec<u8> {
    let name = format!("sriovctl-{}", command.get_name());
    let title = name.clone().leak();
    let renamed =
        command.clone().name(&*title).bin_name(format!("sriovctl {}", command.get_name()));
    let mut page = render(&man(renamed), command);
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let schema = schemas.join(format!("{}.schema.json", command.get_name()));
    if let Ok(schema) = std::fs::read_to_string(schema) {
        let about = "Every key is always present; null means unknown. New keys may be added; \
                     schema_version rises when one changes its meaning or goes.";
        keys(&mut page, "JSON", about, &schema);
    }
    let status = schemas.join(format!("{}-status.schema.json", command.get_name()));
    if let Ok(schema) = std::fs::read_to_string(status) {
        keys(&mut page, "JSON OF --STATUS", "Likewise.", &schema);
    }
    if command.get_name() == "apply" {
        let about = "YAML or JSON. A switch is on or off. What is not said is left alone. The \
                     JSON schema is schemas/host.schema.json.";
        let file = include_str!("../../schemas/host.schema.json");
        keys(&mut page, "THE FILE", about, file);
        verbatim(&mut page, "A FILE", FILE);
    }
    if command.get_name() == "bind-dpdk" {
        table(&mut page, "COMING FROM OTHER PROGRAMS", &INSTEAD);
        // The mark that the page has a table for tbl(1).
        page.splice(0..0, *b"'\\\" t\n");
    }
    if command.get_name() == "cni" {
        list(&mut page, "CONFIGURATION", &cni::KEYS);
        list(&mut page, "ERROR CODES", &cni::CODES);
    }
    if command.get_name() == "doctor" {
        let findings: Vec<(&str, &str)> =
            Id::ALL.iter().map(|id| (id.text(), id.meaning())).collect();
        list(&mut page, "FINDINGS", &findings);
    }
    section(&mut page, "SEE ALSO", "sriovctl(8), whose page lists the exit codes");
    page
}

/// The sections that clap_mangen makes, without its version section.
/// As `mandoc -Tlint` wants it: a title in capitals, no break beside a paragraph, no long lines.
fn tidy(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8_lossy(page);
    let lines: Vec<&str> = page.lines().collect();
    let is = |at: Option<usize>, macros: &[&str]| {
        at.and_then(|at| lines.get(at)).is_some_and(|line| macros.contains(line))
    };
    let mut tidy = String::new();
    let mut as_it_is = false;
    for (nth, line) in lines.iter().enumerate() {
        as_it_is = (as_it_is || *line == ".nf") && *line != ".fi";
        let beside = is(nth.checked_sub(1), &[".sp", ""]) || is(Some(nth + 1), &[".sp", ""]);
        if *line == ".br" && beside {
            continue;
        }
        let text = match line.strip_prefix(".TH ").and_then(|rest| rest.split_once(' ')) {
            Some((title, rest)) => format!(".TH {} {rest}", title.to_uppercase()),
            None => (*line).to_owned(),
        };
        let whole = as_it_is || text.starts_with('.');
        let text = if whole { text } else { wrapped(&text) };
        tidy += text.trim_end();
        tidy.push('\n');
    }
    tidy.into_bytes()
}

/// Broken at spaces; a line must not begin with what makes it a macro.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("the first one");
        let is_macro = word.starts_with(['.', '\'']) || word.is_empty() || last.ends_with('\\');
        if last.is_empty() {
            last.push_str(word);
        } else if is_macro || last.len() + 1 + word.len() < 80 {
            *last += " ";
            *last += word;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

fn render(man: &Man, command: &Command) -> Vec<u8> {
    let mut page = Vec::new();
    let write = |result: std::io::Result<()>| result.expect("writing to memory");
    write(man.render_title(&mut page));
    write(man.render_name_section(&mut page));
    write(man.render_synopsis_section(&mut page));
    write(man.render_description_section(&mut page));
    write(man.render_options_section(&mut page));
    if command.has_subcommands() {
        write(man.render_subcommands_section(&mut page));
    }
    if let Some(text) = command.get_after_long_help().or(command.get_after_help()) {
        notes(&mut page, &text.to_string());
    }
    page
}

/// What help says after the options: prose, and examples to be shown as they are typed.
fn notes(page: &mut Vec<u8>, text: &str) {
    let (prose, examples) = text.split_once("Examples:").unwrap_or((text, ""));
    let (examples, more) = examples.split_once("\n\n").unwrap_or((examples, ""));
    let mut roff = Roff::new();
    let prose = [prose.trim(), more.trim()].join("\n");
    if !prose.trim().is_empty() {
        roff.control("SH", ["NOTES"]);
        roff.text([roman(prose.trim())]);
    }
    if !examples.trim().is_empty() {
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in examples.trim().lines() {
            roff.text([roman(line.trim())]);
        }
        roff.control("fi", []);
    }
    roff.to_writer(page).expect("writing to memory");
}

fn list(page: &mut Vec<u8>, title: &str, entries: &[(&str, &str)]) {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, text) in entries {
        roff.control("TP", ["10"]);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
    roff.to_writer(page).expect("writing to memory");
}

/// A table of two columns (tbl(1)), whose texts wrap.
fn table(page: &mut Vec<u8>, title: &str, rows: &[(&str, &str)]) {
    let escape = |text: &str| text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let cell = |text: &str| format!("T{{\n.na\n.nh\n{}\nT}}", escape(text));
    let mut text = format!(".SH \"{title}\"\n.TS\nl lw(38)\n_ _\nlw(38) lw(38).\nThere\tHere\n");
    text.extend(rows.iter().map(|(there, here)| format!("{}\t{}\n", cell(there), cell(here))));
    page.extend_from_slice((text + ".TE\n").as_bytes());
}

fn verbatim(page: &mut Vec<u8>, title: &str, text: &str) {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(page).expect("writing to memory");
}

fn section(page: &mut Vec<u8>, title: &str, text: &str) {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff.text([roman(text)]);
    roff.to_writer(page).expect("writing to memory");
}

/// A section that lists the keys of a schema with their descriptions.
fn keys(page: &mut Vec<u8>, title: &str, about: &str, schema: &str) {
    let schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff.text([roman(about)]);
    walk(&mut roff, "", &schema, &schema);
    roff.to_writer(page).expect("writing to memory");
}

fn walk(roff: &mut Roff, prefix: &str, schema: &Value, root: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (key, value) in properties {
        let value = resolve(value, root);
        let name = format!("{prefix}{key}");
        roff.control("TP", []);
        roff.text([bold(name.as_str())]);
        roff.text([roman(value["description"].as_str().unwrap_or(""))]);
        let items = resolve(&value["items"], root);
        walk(roff, &format!("{name}[]."), items, root);
        walk(roff, &format!("{name}."), value, root);
        for choice in value["anyOf"].as_array().into_iter().flatten() {
            walk(roff, &format!("{name}."), resolve(choice, root), root);
        }
    }
}

fn resolve<'a>(value: &'a Value, root: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(path) => root.pointer(path.trim_start_matches('#')).unwrap_or(value),
        None => value,
    }
}
