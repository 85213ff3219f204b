//! VFs of network namespaces.

use std::net::IpAddr;

use clap::Args;

use super::{PortArgs, TagArgs};
use crate::model::ids::{Cidr, IfName, MacAddr};
use crate::model::selector::Selector;
use crate::model::step::{Route, RouteOptions};

/// A network namespace.
#[derive(Debug, Args)]
pub struct NetnsArgs {
    /// Network namespace: a name (ip netns) or a path
    #[arg(long, value_name = "NAME|PATH", group = "namespace")]
    pub netns: Option<String>,
    /// The network namespace of this process
    #[arg(long, value_name = "PID", group = "namespace")]
    pub pid: Option<u32>,
    /// The network namespace of this container (docker, containerd, podman, CRI-O): its id, or the
    /// beginning of it
    #[arg(long, value_name = "ID", group = "namespace")]
    pub container: Option<String>,
}

/// `attach`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "How the VF was is written down before anything is changed: detach gets it back exactly so, whatever \
became of it meanwhile. When a step fails, everything is undone.

Examples:
  sriovctl attach 'eth0#3' --netns blue --name net1
  sriovctl attach --pf eth0 --container 3f2a91 --vlan 100 --address 10.0.0.5/24
  sriovctl attach --pool eth0 --pool eth1 --pid 4711 --mac 02:00:00:00:00:01 --trust on
  sriovctl attach 'eth0#3' --netns blue --dry-run"
)]
pub struct Attach {
    /// The VF (with --pf-only: the PF)
    #[arg(value_name = "VF", conflicts_with_all = ["pf", "pool"])]
    pub vf: Option<Selector>,
    /// Any free VF of this PF
    #[arg(long, value_name = "PF", conflicts_with = "pool")]
    pub pf: Option<Selector>,
    /// Any free VF of these PFs, or of these VFs; may be repeated
    #[arg(long, value_name = "PF|VF")]
    pub pool: Vec<Selector>,
    /// Of several, rather one on this NUMA node
    #[arg(long, value_name = "NODE")]
    pub numa: Option<u32>,
    /// Move the PF itself, not a VF of it
    #[arg(long, requires = "vf", conflicts_with_all = ["vlan", "spoofchk", "trust", "link_state", "min_tx_rate", "max_tx_rate"])]
    pub pf_only: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: NetnsArgs,
    /// Name of the interface there (default: its name here)
    #[arg(long, value_name = "NAME")]
    pub name: Option<IfName>,
    /// MAC of the interface; set in the PF as well
    #[arg(long, value_name = "MAC")]
    pub mac: Option<MacAddr>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub tag: TagArgs,
    /// MTU in bytes, at most the PF's
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65535))]
    pub mtu: Option<u32>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub port: PortArgs,
    /// Address of the interface; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub address: Vec<Cidr>,
    /// Default gateway; may be given for IPv4 and for IPv6
    #[arg(long, value_name = "IP", requires = "address")]
    pub gateway: Vec<IpAddr>,
    /// Route, CIDR via IP or CIDR on the link itself (10.1.0.0/16,10.0.0.1); may be repeated
    #[arg(long, value_name = "CIDR[,IP]", value_parser = parse_route)]
    pub route: Vec<Route>,
    /// Only print what would be done, as shell commands
    #[arg(long)]
    pub dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

fn parse_route(text: &str) -> Result<Route, String> {
    let (to, via) = match text.split_once(',') {
        None => (text, None),
        Some((to, via)) => (to, Some(via)),
    };
    let via = via.map(|via| via.parse().map_err(|_| format!("\"{via}\" is not an address")));
    let to = to.parse().map_err(|error| format!("{error}"))?;
    Ok(Route { to, via: via.transpose()?, options: RouteOptions::default() })
}

/// `detach`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sriovctl detach 'eth0#3'
  sriovctl detach --netns blue --name net1
  sriovctl detach --container 3f2a91
  sriovctl detach --all-stale            whatever lost its owner")]
pub struct Detach {
    /// VFs or PFs that were attached
    #[arg(value_name = "VF")]
    pub vfs: Vec<Selector>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub from: NetnsArgs,
    /// Only the one with this name there
    #[arg(long, value_name = "NAME", requires = "namespace")]
    pub name: Option<IfName>,
    /// Everything whose namespace is gone, or whose attaching was cut off
    #[arg(long, conflicts_with_all = ["vfs", "namespace"])]
    pub all_stale: bool,
    /// Only print what would be done, as shell commands
    #[arg(long)]
    pub dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
