//! The command line: types only. A doc comment is the help text.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::selector::Selector;

/// Lists, creates and hands out SR-IOV virtual functions (VFs), and never loses one
///
/// A PF or VF is named by interface (eth0), altname, PCI address (0000:3b:00.0 or 3b:00.0),
/// PF#3, PF#0-3,7, vendor:device (8086:1572) or MAC.
#[derive(Debug, Parser)]
#[command(name = "sriovctl", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 2 usage, 3 not found, 4 busy or refused, 5 unsupported, \
6 partly done, 7 timed out, 8 not permitted, 1 anything else."
)]
pub struct Cli {
    /// Read a copied or made-up tree below DIR: no netlink, no changes
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide_default_value = true)]
    pub root: PathBuf,
    /// When to use colours (auto: on a terminal, unless NO_COLOR is set)
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub color: ColorWhen,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List devices that can have VFs (PFs)
    #[command(visible_alias = "pfs")]
    ListPfs(ListPfs),
    /// List VFs: where each is, how it is set up, who uses it
    #[command(visible_alias = "vfs")]
    ListVfs(ListVfs),
    /// Give a PF a number of VFs, and wait until they can be used
    SetNumvfs(SetNumvfs),
}

/// How a list is printed.
#[derive(Debug, Args)]
pub struct ListOutput {
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table", hide_default_value = true)]
    pub output: Form,
    /// Short for --output json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
    /// Leave out the header line of tables and CSV
    #[arg(long)]
    pub no_headers: bool,
    /// Sort by a column, named as in the CSV header; -COLUMN sorts the other way round
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub sort: Option<String>,
}

impl ListOutput {
    /// The form that was asked for either way.
    pub fn form(&self) -> Form {
        if self.json { Form::Json } else { self.output }
    }
}

/// Form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The most important columns that fit the terminal
    Table,
    /// All columns
    Wide,
    /// One JSON document
    Json,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values, all columns
    Csv,
    /// Names only, one a line
    Name,
}

/// `list-pfs`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sriovctl list-pfs
  sriovctl list-pfs -o wide
  sriovctl list-pfs --free -o name       PFs that have a free VF
  sriovctl list-pfs --all-classes --json")]
pub struct ListPfs {
    /// Only these PFs
    #[arg(value_name = "PF")]
    pub pfs: Vec<Selector>,
    /// Storage, GPUs and others too, not only network devices
    #[arg(long)]
    pub all_classes: bool,
    /// Only PFs with this driver
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
    /// Only PFs that have a free VF
    #[arg(long, conflicts_with = "in_use")]
    pub free: bool,
    /// Only PFs that have a VF in use
    #[arg(long)]
    pub in_use: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub list: ListOutput,
}

/// `list-vfs`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sriovctl list-vfs
  sriovctl list-vfs eth0
  sriovctl list-vfs 'eth0#0-3,7' -o wide
  sriovctl list-vfs --free -o name       free VFs, one a line
  sriovctl list-vfs --in-use             who has which
  sriovctl list-vfs eth0 --stats -o csv")]
pub struct ListVfs {
    /// Only these VFs, or the VFs of these PFs
    #[arg(value_name = "PF|VF")]
    pub vfs: Vec<Selector>,
    /// Add each VF's counters, as far as the PF's driver keeps them
    #[arg(long)]
    pub stats: bool,
    /// VFs of storage devices, GPUs and others too
    #[arg(long)]
    pub all_classes: bool,
    /// Only VFs with this driver
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
    /// Only VFs that nobody uses
    #[arg(long, conflicts_with = "in_use")]
    pub free: bool,
    /// Only VFs that somebody uses
    #[arg(long)]
    pub in_use: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub list: ListOutput,
}

/// `set-numvfs`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The kernel destroys every VF of a PF when their number changes. VFs in use make it refuse; what was \
set on the others (MAC, VLAN, trust, spoof checking, rates, name, MTU, driver) is put back. When it fails, the former VFs are \
restored.

Examples:
  sriovctl set-numvfs eth0 4
  sriovctl set-numvfs eth0 8 --driver vfio-pci
  sriovctl set-numvfs 0000:3b:00.0 16 --dry-run
  sriovctl set-numvfs eth0 0 --force"
)]
pub struct SetNumvfs {
    /// The PF
    pub pf: Selector,
    /// How many VFs it shall have
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=65535))]
    pub count: u32,
    /// Bind every VF to this driver
    #[arg(long, value_name = "NAME", conflicts_with = "no_autoprobe")]
    pub driver: Option<String>,
    /// Leave the VFs without a driver
    #[arg(long)]
    pub no_autoprobe: bool,
    /// Destroy VFs that are in use
    #[arg(long)]
    pub force: bool,
    /// How long to wait for the kernel, and for the VFs
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: u64,
    /// Return as soon as the VFs exist, before they have drivers and interfaces
    #[arg(long)]
    pub no_wait: bool,
    /// Only print what would be done, as shell commands
    #[arg(long)]
    pub dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

impl Command {
    /// Whether the caller reads JSON, and so an error as JSON too.
    pub fn wants_json(&self) -> bool {
        let is_json = |list: &ListOutput| matches!(list.form(), Form::Json | Form::Jsonl);
        match self {
            Self::ListPfs(args) => is_json(&args.list),
            Self::ListVfs(args) => is_json(&args.list),
            Self::SetNumvfs(args) => args.json,
        }
    }
}
