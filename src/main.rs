//! The door: by name and environment it is decided who comes in.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use sriovctl::host::{limits, rights};
use sriovctl::model::rights::{CNI, LIST, NONE, Rights};
use sriovctl::{cli, cni, commands, host};

fn main() -> ExitCode {
    // Before anything of the caller's is read.
    if rights::are_borrowed() {
        return commands::refuse(&rights::borrowed());
    }
    let args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().and_then(|name| Path::new(name).file_name()?.to_str());
    // Before anything else: a runtime waits for this a hundred times when a node starts.
    match name {
        Some("sriov") => return plugin(),
        Some("fixipam") => return fixipam(),
        _ if args.len() <= 1 && std::env::var_os("CNI_COMMAND").is_some() => return plugin(),
        _ => {}
    }
    if commands::complete::is_asked() {
        return complete(args);
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

fn plugin() -> ExitCode {
    if let Err(error) = give_up(CNI, true) {
        return error;
    }
    // What it has open goes with the process, faster than one by one.
    let host = ManuallyDrop::new(host::Host::new(Path::new("/")));
    cni::run(&env, &mut std::io::stdin().lock(), &mut std::io::stdout().lock(), &*host)
}

fn fixipam() -> ExitCode {
    if let Err(error) = give_up(NONE, false) {
        return error;
    }
    cni::run_fixipam(&env, &mut std::io::stdin().lock(), &mut std::io::stdout().lock())
}

/// What only says which versions it speaks has no time for it.
fn give_up(needs: Rights, starts_programs: bool) -> Result<(), ExitCode> {
    if std::env::var_os("CNI_COMMAND").is_some_and(|command| command == "VERSION") {
        return Ok(());
    }
    rights::keep_only(needs, starts_programs)
        .map_err(|error| cni::refuse_all(&mut std::io::stdout().lock(), error))
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
