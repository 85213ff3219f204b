//! The command line: types only. A doc comment is the help text.

mod attach;
mod fleet;
mod settings;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::ids::{Guid, MacAddr, VlanId};
use crate::model::selector::Selector;
use crate::model::spec::{Driver, Mode};

pub use self::attach::{Attach, Detach, NetnsArgs};
pub use self::fleet::{Apply, Export, ExportForm};
pub use self::settings::{Carrier, OnOff, PortArgs, Proto, TagArgs};
pub use self::watch::{Top, Watch};

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
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/",
        hide_default_value = true,
        help_heading = "Everywhere"
    )]
    pub root: PathBuf,
    /// When to use colours (auto: on a terminal, unless NO_COLOR is set)
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        help_heading = "Everywhere"
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
    /// Set what a PF keeps of its VFs: MAC, VLAN, trust, spoof checking, rates and the like
    SetVf(Box<SetVf>),
    /// Give VFs to vfio-pci or another driver, for DPDK and virtual machines, and back
    #[command(visible_alias = "bind")]
    BindDpdk(Box<BindDpdk>),
    /// Give a VF to a network namespace, set up as asked for
    Attach(Box<Attach>),
    /// Get a VF back from wherever it is, as it was before
    Detach(Detach),
    /// Show who has which VF, and whether that is still true; repair what is not
    InspectState(InspectState),
    /// Make this host what files say: numbers of VFs, drivers, settings
    Apply(Apply),
    /// Write such a file from this host, or what Kubernetes must know of its VFs
    Export(Export),
    /// Show what passes through each VF, now or as metrics
    Top(Top),
    /// Tell what happens to PFs and VFs, as it happens
    Watch(Watch),
    /// Tell whether this host is ready for SR-IOV and DPDK, and what stands in the way
    Doctor(Doctor),
    /// Serve a container runtime as its CNI plugin, or become one
    Cni(Cni),
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
    /// The PF (asked for at a terminal)
    pub pf: Option<Selector>,
    /// How many VFs it shall have (asked for at a terminal)
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=65535))]
    pub count: Option<u32>,
    /// Bind every VF to this driver
    #[arg(long, value_name = "NAME", conflicts_with = "no_autoprobe", value_parser = driver_name)]
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

/// `set-vf`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Each setting is a message of its own, in an order that is safe, and looked at afterwards: applied, \
unchanged (it was so already), unsupported or failed. What fails keeps nothing else from being set, unless --strict asks for all \
or nothing: then everything that was changed is put back. VFs that are attached or bound belong to somebody; giving them back \
resets what is set meanwhile, so they are refused without --force. Nothing is written down: Ctrl-C leaves what was set (with \
--strict it is undone first), and what was not is set by running it again.

Examples:
  sriovctl set-vf 'eth0#3' --mac 02:00:00:00:00:01 --vlan 100 --trust on
  sriovctl set-vf 'eth0#0-3,7' --max-tx-rate 1000 --spoofchk on --strict
  sriovctl set-vf eth0 --reset
  sriovctl set-vf 'eth0#3' --vlan 0 --dry-run"
)]
pub struct SetVf {
    /// VFs, or all VFs of these PFs
    #[arg(value_name = "VF", required = true)]
    pub vfs: Vec<Selector>,
    /// MAC that the PF keeps, and that the interface gets
    #[arg(long, value_name = "MAC")]
    pub mac: Option<MacAddr>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub tag: TagArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub port: PortArgs,
    /// Whether the VF may read the PF's RSS table and key
    #[arg(long, value_name = "ON|OFF")]
    pub query_rss: Option<OnOff>,
    /// MTU in bytes of the VF's interface on the host, at most the PF's
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65535))]
    pub mtu: Option<u32>,
    /// InfiniBand node GUID
    #[arg(long, value_name = "GUID")]
    pub node_guid: Option<Guid>,
    /// InfiniBand port GUID
    #[arg(long, value_name = "GUID")]
    pub port_guid: Option<Guid>,
    /// Interrupt vectors of a VF without a driver (0: as many as the PF's driver gives it)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=2048))]
    pub msix_count: Option<u32>,
    /// Everything else as on a new VF: no MAC, VLAN and rates, untrusted, spoof checking on, MTU 1500
    #[arg(long)]
    pub reset: bool,
    /// All or nothing: at the first that cannot be set put back what was
    #[arg(long)]
    pub strict: bool,
    /// VFs that are attached or bound too
    #[arg(long)]
    pub force: bool,
    /// How long to wait for the kernel, and for another change of the same VF
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: u64,
    /// Only print what would be done, as shell commands
    #[arg(long)]
    pub dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `bind-dpdk`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "All operands are looked at before the first change; each is a transaction of its own: when a step \
fails, the device has its old driver, override and name. How it was is written down; --restore gets it back so.

Examples:
  sriovctl bind-dpdk 'eth0#0-3'
  sriovctl bind-dpdk 'eth0#0' --owner alice:dpdk --mode 0660
  sriovctl bind-dpdk 'eth0#1' --driver uio_pci_generic --vlan 100 --trust on
  sriovctl bind-dpdk --restore 'eth0#0-3'
  sriovctl bind-dpdk --status"
)]
pub struct BindDpdk {
    /// VFs, or all VFs of these PFs; other network cards by address or interface
    #[arg(value_name = "VF")]
    pub vfs: Vec<Selector>,
    /// The driver (default: vfio-pci); with --restore the kernel driver, where none is recorded
    #[arg(short = 'b', long, value_name = "NAME", value_parser = driver_name)]
    pub driver: Option<String>,
    /// Give them back to the driver they had, with their names and settings
    #[arg(short = 'r', long, conflicts_with_all = ["mac", "vlan", "trust", "spoofchk", "link_state", "owner", "mode", "allow_noiommu", "force"])]
    pub restore: bool,
    /// Show which driver, IOMMU group and device node each VF has, who uses it, and the hugepages
    #[arg(short = 's', long, conflicts_with_all = ["restore", "driver", "mac", "vlan", "trust", "spoofchk", "link_state", "owner", "mode", "allow_noiommu", "force", "dry_run", "no_reset", "pf_only"])]
    pub status: bool,
    /// Bind the PF itself, not its VFs
    #[arg(long)]
    pub pf_only: bool,
    /// MAC that the DPDK program shall see (default: the one that the interface has)
    #[arg(long, value_name = "MAC")]
    pub mac: Option<MacAddr>,
    /// VLAN that the NIC inserts and strips, 0-4094 (0: none)
    #[arg(long, value_name = "ID")]
    pub vlan: Option<VlanId>,
    /// Whether the VF may change its MAC, become promiscuous and the like
    #[arg(long, value_name = "ON|OFF")]
    pub trust: Option<OnOff>,
    /// Whether frames with a foreign source MAC are dropped
    #[arg(long, value_name = "ON|OFF")]
    pub spoofchk: Option<OnOff>,
    /// What the VF sees as carrier
    #[arg(long, value_name = "STATE")]
    pub link_state: Option<Carrier>,
    /// Who may open the device nodes: names or numbers (:GROUP alone is possible)
    #[arg(short = 'o', long, value_name = "USER[:GROUP]")]
    pub owner: Option<String>,
    /// Permissions of the device nodes, octal (default: 0600, with a group 0660)
    #[arg(long, value_name = "MODE", value_parser = octal_mode)]
    pub mode: Option<u32>,
    /// Bind to vfio-pci without an IOMMU too: nothing protects the memory then
    #[arg(long)]
    pub allow_noiommu: bool,
    /// Do not reset the device when it changes hands
    #[arg(long)]
    pub no_reset: bool,
    /// Bind them whenever they appear, also after a reboot; with --restore: no longer
    #[arg(long, conflicts_with = "status")]
    pub persist: bool,
    /// Make the persistent binding of a device that has just appeared
    #[arg(long, hide = true)]
    pub from_udev: bool,
    /// Bind what the host uses, what DPDK drives as it is (mlx5), what shares its IOMMU group
    #[arg(long)]
    pub force: bool,
    /// Only print what would be done, as shell commands
    #[arg(long)]
    pub dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

fn octal_mode(text: &str) -> Result<u32, String> {
    text.parse::<Mode>().map(|mode| mode.0)
}

fn driver_name(text: &str) -> Result<String, String> {
    text.parse::<Driver>().map(String::from)
}

/// `inspect-state`.
#[derive(Debug, Args)]
#[command(visible_alias = "state")]
#[command(after_help = "Examples:
  sriovctl inspect-state
  sriovctl inspect-state 'eth0#3' --json
  sriovctl inspect-state --repair        put right what is not ok

States: ok; drift (which field, wanted and actual); stale (its owner is gone); unfinished (cut off while
it was made); corrupt (what is kept is no record); foreign (a VF that is away without a record).
The exit code is 0 only if everything is ok.")]
pub struct InspectState {
    /// Only these VFs, or those of this container (its id, or the beginning of it)
    #[arg(value_name = "VF|CONTAINER")]
    pub only: Vec<Selector>,
    /// Put right what is not ok; foreign VFs only when they are named, or after a question
    #[arg(long, conflicts_with = "watch")]
    pub repair: bool,
    /// Go on, and print whatever changes
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub list: ListOutput,
}

/// `doctor`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "It only looks, and needs no rights; what it may not look at it says. Each finding has the next command to type, \
unless nothing can be typed. Errors come first, then warnings and notes (which may be meant so), then a line for each area without \
errors and warnings.

The exit code is 0 without errors and warnings, 1 with warnings, 4 with errors.

Examples:
  sriovctl doctor
  sriovctl doctor eth0 --dpdk
  sriovctl doctor --cni --all
  sriovctl doctor --json"
)]
pub struct Doctor {
    /// Only these PFs
    #[arg(value_name = "PF")]
    pub pfs: Vec<Selector>,
    /// Only what DPDK needs: PFs and VFs, IOMMU, vfio-pci, hugepages, and what is in conflict
    #[arg(long)]
    pub dpdk: bool,
    /// Only what a container runtime needs: PFs and VFs, the plugin, its configurations, records, and
    /// what is in conflict
    #[arg(long)]
    pub cni: bool,
    /// What is fine, too
    #[arg(long)]
    pub all: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `cni`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "As a CNI plugin (specification 0.1.0 to 1.1.0) it is called by a container runtime: with CNI_COMMAND and the \
other variables in its environment, and the configuration on standard input. It is one as well when it is called by the name \
sriov, or fixipam for that IPAM plugin. It reads the configurations of hustcat/sriov-cni, of Intel's sriov-cni of 2017, of \
xftony/sriov-cni and of k8snetworkplumbingwg/sriov-cni.

Examples:
  sriovctl cni --install
  CNI_COMMAND=VERSION sriovctl cni"
)]
pub struct Cni {
    /// Make the links sriov and fixipam to this program in DIR, and end
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "/opt/cni/bin")]
    pub install: Option<String>,
}

impl Command {
    /// Whether the caller reads JSON, and so an error as JSON too.
    pub fn wants_json(&self) -> bool {
        let is_json = |list: &ListOutput| matches!(list.form(), Form::Json | Form::Jsonl);
        match self {
            Self::ListPfs(args) => is_json(&args.list),
            Self::ListVfs(args) => is_json(&args.list),
            Self::SetNumvfs(args) => args.json,
            Self::SetVf(args) => args.json,
            Self::BindDpdk(args) => args.json,
            Self::Attach(args) => args.json,
            Self::Detach(args) => args.json,
            Self::InspectState(args) => is_json(&args.list),
            Self::Apply(args) => args.json,
            Self::Top(args) => args.json,
            Self::Watch(args) => args.json,
            Self::Doctor(args) => args.json,
            // What is exported goes to another program.
            Self::Cni(_) | Self::Export(_) => false,
        }
    }
}
