//! DOOR for people: one file a subcommand.
//!
//! Standard output is data, everything else goes to standard error.

mod apply;
mod attach;
mod bind_dpdk;
mod bind_status;
mod bind_view;
pub mod complete;
mod console;
mod detach;
mod doctor;
mod export;
mod inspect_state;
pub mod interrupt;
mod list_pfs;
#[cfg(test)]
mod list_tests;
mod list_vfs;
mod say;
mod set_numvfs;
mod set_vf;
mod table;
mod top;
mod view;
mod watch;

use std::io::{BufWriter, ErrorKind, Write, stdout};
use std::process::ExitCode;

use crate::cli::{Cli, Command, NetnsArgs, PortArgs, TagArgs};
use crate::engine::doctor::Checkup;
use crate::engine::store::Store;
use crate::engine::watch::Listen;
use crate::engine::{Kernel, NetnsChoice, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::ids::MacAddr;
use crate::model::inventory::Inventory;
use crate::model::json;
use crate::model::link::{LinkState, VfSettings, VlanProto, VlanTag};
use crate::model::rights::{self, Rights};
use crate::model::step::Step;
use crate::model::text::printable;

use self::console::Console;
use self::say::line;

/// Runs the command line on a host.
pub fn run<K: Kernel + Store + Surroundings + Checkup + Listen>(cli: &Cli, kernel: &K) -> ExitCode {
    let console = Console::detect(cli.color);
    let mut out = BufWriter::new(stdout().lock());
    let result = dispatch(&cli.command, kernel, &console, &mut out);
    let result = result.and_then(|later| match out.flush() {
        // What the result lacks counts also when nobody reads the result.
        Err(error) if later.is_none() || error.kind() != ErrorKind::BrokenPipe => {
            Err(writing(&error))
        }
        _ => Ok(later),
    });
    match result {
        Ok(None) => ExitCode::SUCCESS,
        // The result was printed; this is what it lacks.
        Ok(Some(error)) => {
            say::error(&console, &error);
            ExitCode::from(error.kind().exit_code())
        }
        // Whoever read us has seen enough.
        Err(error) if error.message() == READER_GONE => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&console, &error);
            if cli.command.wants_json() {
                // Nobody is left to be told when this fails.
                let _ = write_json(&mut out, &error.to_json()).map(|()| out.flush());
            }
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// Says why nothing is done.
pub fn refuse(error: &Error) -> ExitCode {
    say::error(&Console::default(), error);
    ExitCode::from(error.kind().exit_code())
}

/// What the command needs of root's rights, and whether it starts programs that need more.
pub fn rights(cli: &Cli) -> (Rights, bool) {
    match &cli.command {
        Command::ListPfs(_)
        | Command::ListVfs(_)
        | Command::Export(_)
        | Command::Top(_)
        | Command::Watch(_) => (rights::LIST, false),
        Command::BindDpdk(args) if args.status => (rights::LIST, false),
        // modprobe
        Command::SetNumvfs(_) | Command::SetVf(_) | Command::BindDpdk(_) | Command::Apply(_) => {
            (rights::BIND, true)
        }
        // modprobe, where a driver has gone
        Command::Attach(_) | Command::Detach(_) => (rights::ATTACH, true),
        Command::InspectState(_) => (rights::STATE, true),
        Command::Doctor(_) => (rights::DOCTOR, false),
        Command::Cni(_) => (rights::INSTALL, false),
    }
}

/// Whether something may be changed, which is not to be cut off half-way.
pub fn changes(cli: &Cli) -> bool {
    match &cli.command {
        Command::ListPfs(_)
        | Command::ListVfs(_)
        | Command::Export(_)
        | Command::Top(_)
        | Command::Watch(_)
        | Command::Doctor(_)
        | Command::Cni(_) => false,
        Command::Apply(args) => !args.dry_run,
        Command::InspectState(args) => args.repair,
        Command::BindDpdk(args) => !args.status,
        Command::SetNumvfs(_) | Command::SetVf(_) | Command::Attach(_) | Command::Detach(_) => true,
    }
}

/// Says what is wrong with the command line, also as JSON to a caller who reads that; help and
/// version come this way too.
pub fn usage(error: &clap::Error, args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let args: Vec<_> = args.collect();
    let text = error.render().to_string();
    let is_plain = text.lines().all(|line| printable(line) == line);
    if is_plain {
        let _ = error.print(); // nobody is left to be told when this fails
    } else {
        say::plain(&text);
    }
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let reads_json = args.iter().any(|arg| arg == "--json")
        || args.windows(2).any(|two| {
            (two[0] == "-o" || two[0] == "--output") && (two[1] == "json" || two[1] == "jsonl")
        });
    if reads_json {
        let text = text.trim_start_matches("error: ").lines().next().unwrap_or_default();
        let json = Error::new(Kind::Usage, text).hint("see: sriovctl --help").to_json();
        let _ = write_json(&mut stdout(), &json);
    }
    ExitCode::from(Kind::Usage.exit_code())
}

fn dispatch<K: Kernel + Store + Surroundings + Checkup + Listen>(
    command: &Command,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    match command {
        Command::ListPfs(args) => list_pfs::run(args, kernel, console, out).map(|()| None),
        Command::ListVfs(args) => list_vfs::run(args, kernel, console, out).map(|()| None),
        Command::SetNumvfs(args) => set_numvfs::run(args, kernel, console, out),
        Command::SetVf(args) => set_vf::run(args, kernel, console, out),
        Command::BindDpdk(args) => bind_dpdk::run(args, kernel, console, out),
        Command::Attach(args) => attach::run(args, kernel, console, out).map(|()| None),
        Command::Detach(args) => detach::run(args, kernel, console, out),
        Command::InspectState(args) => inspect_state::run(args, kernel, console, out),
        Command::Apply(args) => apply::run(args, kernel, console, out),
        Command::Export(args) => export::run(args, kernel, out),
        Command::Top(args) => top::run(args, kernel, console, out).map(|()| None),
        Command::Watch(args) => watch::run(args, kernel, out).map(|()| None),
        Command::Doctor(args) => doctor::run(args, kernel, console, out),
        Command::Cni(args) => install(args.install.as_deref(), kernel, out).map(|()| None),
    }
}

/// Becomes a plugin of container runtimes. (Serving one is decided before: see [`serves`].)
fn install<K: Surroundings>(dir: Option<&str>, kernel: &K, out: &mut dyn Write) -> Result<()> {
    let Some(dir) = dir else {
        return Err(Error::new(Kind::Usage, "CNI_COMMAND is missing: a container runtime sets it")
            .hint("make the links that runtimes call: sriovctl cni --install"));
    };
    let made = kernel.link_to_program(dir, &["sriov", "fixipam"])?;
    let mut write = || -> std::io::Result<()> {
        match made.as_slice() {
            [] => line!(out, "{dir} has the links already; nothing was changed"),
            made => made.iter().try_for_each(|link| line!(out, "made {link}")),
        }
    };
    write().map_err(|error| writing(&error))
}

/// Whether the command serves a container runtime, which reads nothing but its answer.
pub fn serves(cli: &Cli) -> bool {
    matches!(&cli.command, Command::Cni(args) if args.install.is_none())
        && std::env::var_os("CNI_COMMAND").is_some()
}

/// How [`writing`] says that nobody reads any more; the kernel's own EPIPE is another matter.
const READER_GONE: &str = "the reader of the output has gone";

/// The error of writing to standard output.
fn writing(error: &std::io::Error) -> Error {
    if error.kind() == ErrorKind::BrokenPipe {
        return Error::new(Kind::Failed, READER_GONE);
    }
    Error::io("writing the output", error)
}

/// Writes one JSON document, indented.
fn write_json(out: &mut dyn Write, value: &impl serde::Serialize) -> Result<()> {
    json::write(out, value).map_err(|error| writing(&error))
}

/// "Free" must not be said where nobody could tell.
fn must_know_usage(inventory: &Inventory) -> Result<()> {
    if inventory.knows_usage {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, "a copied or made-up tree does not tell which VFs are free")
        .hint("leave --free or --root away"))
}

/// The namespace that is named on the command line.
fn netns_choice(args: &NetnsArgs) -> Option<NetnsChoice> {
    match args {
        NetnsArgs { netns: Some(name), .. } => Some(NetnsChoice::Named(name.clone())),
        NetnsArgs { pid: Some(pid), .. } => Some(NetnsChoice::Pid(*pid)),
        NetnsArgs { container: Some(id), .. } => Some(NetnsChoice::Container(id.clone())),
        _ => None,
    }
}

/// A MAC that `one` can have.
fn must_be_of_one(mac: Option<MacAddr>, one: &str) -> Result<()> {
    match mac.filter(|mac| mac.is_multicast() || mac.is_zero()) {
        Some(mac) => Err(Error::new(
            Kind::Usage,
            format!("{mac} cannot be the MAC of {one}: it is zero or names a group"),
        )),
        None => Ok(()),
    }
}

/// What the command line says of a VF's tag and port.
fn settings(tag: &TagArgs, port: &PortArgs) -> Result<VfSettings> {
    if let (Some(min), Some(max)) = (port.min_tx_rate, port.max_tx_rate)
        && max != 0
        && min > max
    {
        let text = format!("the lowest rate, {min}, is above the highest, {max}");
        return Err(Error::new(Kind::Usage, text));
    }
    let proto = tag.proto.map_or(VlanProto::Dot1q, VlanProto::from);
    let qos = tag.qos.unwrap_or(0);
    if tag.vlan.is_some_and(|id| id.0 == 0) && (qos != 0 || proto != VlanProto::Dot1q) {
        let text = "VLAN 0 means no tag, which has neither priority nor protocol";
        return Err(Error::new(Kind::Usage, text));
    }
    Ok(VfSettings {
        vlan: tag.vlan.map(|id| VlanTag { id, qos, proto }),
        min_tx_rate: port.min_tx_rate,
        max_tx_rate: port.max_tx_rate,
        spoofchk: port.spoofchk.map(bool::from),
        trust: port.trust.map(bool::from),
        link_state: port.link_state.map(LinkState::from),
        ..VfSettings::default()
    })
}

/// One step for people and scripts.
#[derive(serde::Serialize)]
struct StepView {
    text: String,
    shell: String,
}

/// Steps with the device called what people call it.
fn step_views(steps: &[Step], name: &str, pf_netdev: &str) -> Vec<StepView> {
    let view = |step: &Step| {
        let device = step.device().map(ToString::to_string);
        let vf = step.vf().map(ToString::to_string);
        let pf = step.pf().map(ToString::to_string);
        let text = step.to_string();
        let text = match (device.or(vf), pf) {
            (Some(device), _) => text.replace(&device, name),
            (None, Some(pf)) => text.replace(&pf, pf_netdev),
            (None, None) => text,
        };
        StepView { text, shell: step.shell(pf_netdev) }
    };
    steps.iter().map(view).collect()
}
