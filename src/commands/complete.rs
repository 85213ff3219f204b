//! Live completions: what a shell's completion script asks this program for while a command is typed.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Arg, Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::cli::Cli;
use crate::engine::Kernel;
use crate::engine::state::{self, Entry};
use crate::engine::store::{Shelf, Store};
use crate::model::facts::Scope;
use crate::model::inventory::{Inventory, Pf, Vf};
use crate::order;

/// The variable by which a completion script says which shell asks.
pub const VARIABLE: &str = "SRIOVCTL_COMPLETE";

/// What an operand or option names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Pf,
    PfOrVf,
    /// A VF that nobody uses.
    FreeVf,
    /// Something that was attached, or is away.
    Attached,
    /// A VF to bind, or with --restore one that was bound.
    ToBind,
    Recorded,
    Netns,
    Container,
    Driver,
}

/// Which operand or option of which subcommand names what.
const VALUES: [(&str, &str, What); 19] = [
    ("list-pfs", "pfs", What::Pf),
    ("list-pfs", "driver", What::Driver),
    ("list-vfs", "vfs", What::PfOrVf),
    ("list-vfs", "driver", What::Driver),
    ("set-numvfs", "pf", What::Pf),
    ("set-numvfs", "driver", What::Driver),
    ("set-vf", "vfs", What::PfOrVf),
    ("doctor", "pfs", What::Pf),
    ("bind-dpdk", "vfs", What::ToBind),
    ("bind-dpdk", "driver", What::Driver),
    ("attach", "vf", What::FreeVf),
    ("attach", "pf", What::Pf),
    ("attach", "pool", What::PfOrVf),
    ("attach", "netns", What::Netns),
    ("attach", "container", What::Container),
    ("detach", "vfs", What::Attached),
    ("detach", "netns", What::Netns),
    ("detach", "container", What::Container),
    ("inspect-state", "only", What::Recorded),
];

/// Whether a shell asks.
pub fn is_asked() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty() && shell != "0")
}

/// Answers the shell, on standard output. What cannot be found out is not offered: whoever presses
/// the tabulator has no use for an error.
pub fn answer<K: Kernel + Store + Send + Sync + 'static>(
    kernel: K,
    words: Vec<OsString>,
) -> ExitCode {
    let kernel = Arc::new(kernel);
    let restores = words.iter().any(|word| word == "--restore" || word == "-r");
    let here = std::env::current_dir().ok();
    let is_option = typed(&words).to_string_lossy().starts_with('-');
    let factory = || {
        let command = with_values(Cli::command(), &kernel, restores);
        if is_option { command } else { operands_first(command) }
    };
    match CompleteEnv::with_factory(factory).var(VARIABLE).try_complete(words, here.as_deref()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => super::usage(&error, std::iter::empty()),
    }
}

/// The word that is being typed. fish does not say which one it is: it is the last.
fn typed(words: &[OsString]) -> OsString {
    let line: Vec<&OsString> = words.iter().skip_while(|word| *word != "--").skip(1).collect();
    let at = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|at| at.parse::<usize>().ok());
    let word = at.map_or(line.last(), |at| line.get(at));
    word.map(|word| OsString::clone(word)).unwrap_or_default()
}

/// Options only where there is nothing else to offer: thirty of them would hide four VFs.
fn operands_first(command: Command) -> Command {
    let hide = |arg: Arg| if arg.is_positional() { arg } else { arg.hide(true) };
    command.mut_args(hide).mut_subcommands(|subcommand| subcommand.mut_args(hide))
}

fn with_values<K>(command: Command, kernel: &Arc<K>, restores: bool) -> Command
where
    K: Kernel + Store + Send + Sync + 'static,
{
    VALUES.iter().fold(command, |command, (subcommand, id, what)| {
        let kernel = Arc::clone(kernel);
        let find = move || candidates(kernel.as_ref(), *what, restores);
        command.mut_subcommand(*subcommand, |subcommand| {
            // One by one `mut_arg` would put each behind the others: operands have an order.
            subcommand.mut_args(|arg| {
                let is_it = arg.get_id() == *id;
                if is_it { arg.add(ArgValueCandidates::new(find.clone())) } else { arg }
            })
        })
    })
}

fn candidates<K: Kernel + Store>(
    kernel: &K,
    what: What,
    restores: bool,
) -> Vec<CompletionCandidate> {
    let look =
        |here_only| kernel.observe(Scope { here_only, ..Scope::default() }).unwrap_or_default();
    let found = match what {
        What::Netns => namespaces(kernel),
        What::Container => containers(kernel),
        What::Attached => recorded(kernel, Some(Shelf::Attachments)),
        What::ToBind if restores => recorded(kernel, Some(Shelf::Bindings)),
        What::Recorded => recorded(kernel, None),
        What::Pf => look(true).pfs.iter().map(of_pf).collect(),
        What::PfOrVf => {
            let inventory = look(false);
            inventory.pfs.iter().map(of_pf).chain(inventory.vfs().map(of_vf)).collect()
        }
        What::FreeVf | What::ToBind => {
            look(false).vfs().filter(|(_, vf)| vf.users.is_empty()).map(of_vf).collect()
        }
        What::Driver => drivers(&look(false)),
    };
    let offer = |(value, help): (String, String)| {
        CompletionCandidate::new(value).help((!help.is_empty()).then(|| help.into()))
    };
    found.into_iter().filter(|(value, _)| is_harmless(value)).map(offer).collect()
}

/// Shells put what is offered into the line as it is: whoever may name a namespace shall not write
/// commands for root.
fn is_harmless(value: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._:#/@+-".contains(c);
    !value.starts_with('-') && value.chars().all(harmless)
}

type Found = Vec<(String, String)>;

fn of_pf(pf: &Pf) -> (String, String) {
    let driver = pf.facts.driver.as_deref().unwrap_or("no driver");
    (pf.name(), format!("{driver}, {}", pf.count()))
}

fn of_vf((pf, vf): (&Pf, &Vf)) -> (String, String) {
    let driver = vf.facts.driver.as_deref().unwrap_or("no driver");
    let user = vf.users.first().map_or_else(|| "free".to_owned(), ToString::to_string);
    (pf.vf_name(vf.index()), format!("{user}, {driver}"))
}

/// Those that VFs have, and those that user space works with.
fn drivers(inventory: &Inventory) -> Found {
    let used = inventory.vfs().filter_map(|(_, vf)| vf.facts.driver.as_deref());
    let mut names: Vec<&str> = used.chain(["vfio-pci", "uio_pci_generic"]).collect();
    order::sort(&mut names);
    names.dedup();
    names.into_iter().map(|name| (name.to_owned(), String::new())).collect()
}

fn recorded<K: Kernel + Store>(kernel: &K, shelf: Option<Shelf>) -> Found {
    let entries = state::examine(kernel).unwrap_or_default().into_iter();
    let wanted = entries.filter(|entry| shelf.is_none_or(|shelf| entry.shelf == shelf));
    let owner = |entry: &Entry| entry.record.as_ref().map(|record| record.owner.to_string());
    let of = |entry: Entry| {
        let help = format!("{}, {}", entry.verdict.word(), owner(&entry).unwrap_or_default());
        (entry.name, help.trim_end_matches(", ").to_owned())
    };
    wanted.map(of).collect()
}

fn namespaces<K: Kernel>(kernel: &K) -> Found {
    let all = kernel.namespaces().unwrap_or_default().into_iter();
    all.filter_map(|netns| Some((netns.name?, String::new()))).collect()
}

fn containers<K: Kernel>(kernel: &K) -> Found {
    let all = kernel.namespaces().unwrap_or_default().into_iter();
    all.filter_map(|netns| Some((netns.container?, netns.comm.unwrap_or_default()))).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Cli, VALUES, is_harmless};

    #[test]
    fn what_has_live_values_is_there() {
        let cli = Cli::command();
        for (subcommand, id, _) in VALUES {
            let subcommand = cli.find_subcommand(subcommand).expect(subcommand);
            assert!(subcommand.get_arguments().any(|arg| arg.get_id() == id), "{id}");
        }
    }

    #[test]
    fn what_a_shell_would_run_is_not_offered() {
        for bad in ["a$(reboot)", "a;b", "a b", "`x`", "--force", "a\nb", "\u{1b}[2J", "~root", "*"]
        {
            assert!(!is_harmless(bad), "{bad}");
        }
        for good in ["eth0#3", "0000:3b:00.0", "blue", "/run/netns/x", "3f2a91c0"] {
            assert!(is_harmless(good), "{good}");
        }
    }
}
