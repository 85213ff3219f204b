//! The door: by name and environment it is decided who comes in.

#![no_main]

mod start;

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use sriovctl::host::{limits, rights};
use sriovctl::model::rights::{CNI, LIST, NONE, Rights};
use sriovctl::{cli, cni, commands, host};

/// Who comes in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// A container runtime, to the plugin.
    Runtime,
    /// A container runtime, to the plugin for addresses.
    RuntimeForAddresses,
    /// Anybody else.
    People,
}

fn run() -> ExitCode {
    // Before anything of the caller's is read.
    if rights::are_borrowed() {
        return refuse_borrowed();
    }
    let caller = caller();
    // Before anything else: a runtime waits for this a hundred times when a node starts. Nothing of the host is needed, and
    // no right is there for longer than that.
    if caller != Caller::People && std::env::var_os("CNI_COMMAND").is_some_and(|is| is == "VERSION")
    {
        return cni::say_versions(&env, &mut std::io::stdout());
    }
    match caller {
        Caller::Runtime => plugin(),
        Caller::RuntimeForAddresses => fixipam(),
        Caller::People => people(),
    }
}

/// By its name, or as `sriovctl cni`. The whole command line, which knows `cni` among options too, takes longer to build
/// than all the rest of an answer to VERSION.
fn caller() -> Caller {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    match name.as_encoded_bytes().rsplit(|byte| *byte == b'/').next() {
        Some(b"sriov") => return Caller::Runtime,
        Some(b"fixipam") => return Caller::RuntimeForAddresses,
        _ => {}
    }
    let is_plain = args.next().is_none_or(|word| word == "cni" && args.next().is_none());
    let is_called = is_plain && std::env::var_os("CNI_COMMAND").is_some();
    if is_called { Caller::Runtime } else { Caller::People }
}

// Each of them has much to say, and none of it shall be brought in from the disk for VERSION.

#[inline(never)]
fn refuse_borrowed() -> ExitCode {
    commands::refuse(&rights::borrowed())
}

#[inline(never)]
fn people() -> ExitCode {
    if commands::complete::is_asked() {
        return complete(std::env::args_os().collect());
    }
    match cli::Cli::try_parse() {
        Ok(cli) if commands::serves(&cli) => plugin(),
        Ok(cli) => {
            if matches!(cli.command, cli::Command::SetVf(_) | cli::Command::Apply(_)) {
                limits::raise_open_files();
            }
            let (needs, starts_programs) = commands::rights(&cli);
            match rights::keep_only(needs, starts_programs) {
                Ok(()) => {
                    if commands::changes(&cli) {
                        commands::interrupt::catch(host::signals::is_ignored());
                    }
                    commands::run(&cli, &host::Host::new(&cli.root))
                }
                Err(error) => commands::refuse(&error),
            }
        }
        Err(error) => commands::usage(&error, std::env::args_os()),
    }
}

/// A shell asks what could come next, on the host or on the tree that its words name.
fn complete(words: Vec<OsString>) -> ExitCode {
    if let Err(error) = rights::keep_only(LIST, false) {
        return commands::refuse(&error);
    }
    let root = words.windows(2).find(|two| two[0] == "--root").map(|two| two[1].clone());
    let joined = || words.iter().find_map(|word| word.to_str()?.strip_prefix("--root="));
    let root = root.or_else(|| joined().map(OsString::from)).unwrap_or_else(|| "/".into());
    commands::complete::answer(host::Host::new(Path::new(&root)), words)
}

#[inline(never)]
fn plugin() -> ExitCode {
    if let Err(error) = give_up(CNI, true) {
        return error;
    }
    // What it has open goes with the process, faster than one by one.
    let host = ManuallyDrop::new(host::Host::new(Path::new("/")));
    cni::run(&env, &mut std::io::stdin().lock(), &mut std::io::stdout().lock(), &*host)
}

#[inline(never)]
fn fixipam() -> ExitCode {
    if let Err(error) = give_up(NONE, false) {
        return error;
    }
    cni::run_fixipam(&env, &mut std::io::stdin().lock(), &mut std::io::stdout().lock())
}

fn give_up(needs: Rights, starts_programs: bool) -> Result<(), ExitCode> {
    rights::keep_only(needs, starts_programs)
        .map_err(|error| cni::refuse_all(&mut std::io::stdout().lock(), error))
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
