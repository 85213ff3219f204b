//! Files that say what a host shall be.

use clap::{Args, ValueEnum};

use crate::model::selector::Selector;
use crate::model::spec::KEPT_IN;

/// `apply`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "A file names PFs, and says how many VFs each has and how these are set up; what it does not say is left alone. \
What is so already is not touched, so that applying it twice writes nothing the second time. What can be known to be impossible \
before the first change keeps everything from being changed, unless --keep-going asks for the rest. VFs that are attached stay as \
they are: it is compared how they will come back.

Examples:
  sriovctl export > host.yaml
  sriovctl apply host.yaml --dry-run --diff
  sriovctl apply host.yaml --persist
  sriovctl apply --json"
)]
pub struct Apply {
    /// YAML or JSON files, directories of them, or - for standard input
    #[arg(value_name = "FILE|DIR|-", default_value = KEPT_IN)]
    pub files: Vec<String>,
    /// Only tell what would be changed
    #[arg(long)]
    pub dry_run: bool,
    /// Tell it as lines that go and lines that come
    #[arg(long, conflicts_with = "json")]
    pub diff: bool,
    /// Keep the file in /etc/sriovctl, and apply what is there at every boot
    #[arg(long, conflicts_with = "dry_run")]
    pub persist: bool,
    /// Do the rest, where something cannot be as a file says
    #[arg(long)]
    pub keep_going: bool,
    /// Destroy VFs that are in use where their number changes, and bind what the host uses
    #[arg(long)]
    pub force: bool,
    /// How long to wait for PFs that are not there yet, or have no driver yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86400))]
    pub wait: u64,
    /// How long to wait for the kernel, and for the VFs
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `export`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "What apply reads is made as the host is now, attached VFs as they will come back: applying it changes nothing. \
The other two forms hand the VFs of this host to Kubernetes: a pool for each driver that the VFs of a PF have.

Examples:
  sriovctl export > host.yaml
  sriovctl export eth0 --format json
  sriovctl export --format device-plugin > config.json
  sriovctl export --format nad | kubectl apply -f -"
)]
pub struct Export {
    /// Only these PFs
    #[arg(value_name = "PF")]
    pub pfs: Vec<Selector>,
    /// What is made
    #[arg(short, long, value_name = "FORM", default_value = "yaml", hide_default_value = true)]
    pub format: ExportForm,
    /// Prefix of the resources' names
    #[arg(long, value_name = "PREFIX", default_value = "intel.com")]
    pub prefix: String,
    /// Namespace of the NetworkAttachmentDefinitions
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    /// A file for apply
    Yaml,
    /// The same as JSON
    Json,
    /// Configuration of the sriov-network-device-plugin
    DevicePlugin,
    /// NetworkAttachmentDefinitions for Multus
    Nad,
}
