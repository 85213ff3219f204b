//! The rows of lists as JSON has them: types of their own, so that a change of the model changes no
//! shape by accident. See `schemas/`.

use serde::Serialize;

use crate::model::ids::Guid;
use crate::model::inventory::{Pf, Vf};
use crate::model::link::{Link, LinkState, Netns, VfStats};
use crate::model::usage::User;

/// A PF.
#[derive(Debug, Serialize)]
pub struct PfRow {
    pub name: String,
    pub pci_address: Option<String>,
    pub device: String,
    pub class: Option<String>,
    pub vendor_id: Option<String>,
    pub device_id: Option<String>,
    pub model: Option<String>,
    pub driver: Option<String>,
    pub netdevs: Vec<NetdevView>,
    pub mac: Option<String>,
    pub mtu: Option<u32>,
    pub operstate: Option<String>,
    pub speed_mbps: Option<u32>,
    pub vfs_total: Option<u32>,
    pub vfs_enabled: usize,
    pub vfs_in_use: Option<usize>,
    pub autoprobe: Option<bool>,
    pub eswitch_mode: Option<String>,
    pub numa_node: Option<u32>,
    pub iommu_group: Option<u32>,
    pub rdma_devices: Vec<String>,
    pub firmware: Option<String>,
    pub managed_by: Option<Vec<String>>,
}

/// One interface of a PF.
#[derive(Debug, Serialize)]
pub struct NetdevView {
    pub name: String,
    pub altnames: Vec<String>,
    pub ifindex: u32,
    pub mac: Option<String>,
    pub mtu: Option<u32>,
    pub up: Option<bool>,
    pub operstate: Option<String>,
    pub speed_mbps: Option<u32>,
    pub phys_port_name: Option<String>,
    pub phys_switch_id: Option<String>,
    pub netns: NetnsView,
}

/// A network namespace.
#[derive(Debug, Serialize)]
pub struct NetnsView {
    pub host: bool,
    pub name: Option<String>,
    pub path: Option<String>,
    pub inode: Option<u64>,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub container: Option<String>,
}

/// A VF.
#[derive(Debug, Serialize)]
pub struct VfRow {
    pub vf: String,
    pub pf: String,
    pub pf_device: String,
    pub index: u16,
    pub pci_address: Option<String>,
    pub driver: Option<String>,
    pub model: Option<String>,
    pub netdev: Option<String>,
    pub netdevs: Vec<String>,
    pub altnames: Vec<String>,
    pub netns: Option<NetnsView>,
    pub representor: Option<String>,
    pub admin_mac: Option<String>,
    pub mac: Option<String>,
    pub mtu: Option<u32>,
    pub up: Option<bool>,
    pub operstate: Option<String>,
    pub vlan: Option<u16>,
    pub vlan_qos: Option<u8>,
    pub vlan_proto: Option<String>,
    pub min_tx_rate: Option<u32>,
    pub max_tx_rate: Option<u32>,
    pub spoofchk: Option<bool>,
    pub trust: Option<bool>,
    pub link_state: Option<LinkState>,
    pub query_rss: Option<bool>,
    pub node_guid: Option<String>,
    pub port_guid: Option<String>,
    pub numa_node: Option<u32>,
    pub iommu_group: Option<u32>,
    pub device_node: Option<String>,
    pub in_use: Option<bool>,
    pub used_by: Vec<UserView>,
    pub stats: Option<StatsView>,
}

/// A reason why a VF is in use.
#[derive(Debug, Serialize)]
pub struct UserView {
    pub kind: &'static str,
    pub text: String,
    pub pid: Option<u32>,
}

/// Counters of a VF.
#[derive(Debug, Serialize)]
pub struct StatsView {
    pub rx_packets: Option<u64>,
    pub tx_packets: Option<u64>,
    pub rx_bytes: Option<u64>,
    pub tx_bytes: Option<u64>,
    pub rx_dropped: Option<u64>,
    pub tx_dropped: Option<u64>,
    pub broadcast: Option<u64>,
    pub multicast: Option<u64>,
}

impl PfRow {
    /// The row of a PF; `wide` says that firmware and managers were read, `knows_usage` that a VF
    /// without users has none.
    pub fn new(pf: &Pf, wide: bool, knows_usage: bool) -> Self {
        let first = pf.netdev();
        let facts = &pf.facts;
        Self {
            name: pf.name(),
            pci_address: text(pf.pci()),
            device: facts.device.to_string(),
            class: facts.class.map(|class| format!("{class:#08x}")),
            vendor_id: facts.id.map(|id| format!("{:04x}", id.vendor)),
            device_id: facts.id.map(|id| format!("{:04x}", id.device)),
            model: facts.model.clone(),
            driver: facts.driver.clone(),
            netdevs: pf.netdevs.iter().map(NetdevView::new).collect(),
            mac: first.and_then(|link| text(link.mac)),
            mtu: first.and_then(|link| link.mtu),
            operstate: first.and_then(|link| link.operstate.clone()),
            speed_mbps: first.and_then(|link| link.speed_mbps),
            vfs_total: facts.total_vfs,
            vfs_enabled: pf.vfs.len(),
            vfs_in_use: knows_usage.then(|| pf.vfs_in_use()),
            autoprobe: facts.autoprobe,
            eswitch_mode: facts.eswitch_mode.clone(),
            numa_node: facts.numa_node,
            iommu_group: facts.iommu_group,
            rdma_devices: facts.rdma.clone(),
            firmware: facts.firmware.clone(),
            managed_by: wide.then(|| facts.managed_by.clone()),
        }
    }
}

impl NetdevView {
    fn new(link: &Link) -> Self {
        Self {
            name: link.name.clone(),
            altnames: link.altnames.clone(),
            ifindex: link.ifindex,
            mac: text(link.mac),
            mtu: link.mtu,
            up: link.up,
            operstate: link.operstate.clone(),
            speed_mbps: link.speed_mbps,
            phys_port_name: link.phys_port_name.clone(),
            phys_switch_id: link.phys_switch_id.clone(),
            netns: NetnsView::of(link),
        }
    }
}

impl NetnsView {
    fn of(link: &Link) -> Self {
        match &link.netns {
            Some(netns) => Self::new(netns),
            None => Self {
                host: true,
                name: None,
                path: None,
                inode: None,
                pid: None,
                comm: None,
                container: None,
            },
        }
    }

    fn new(netns: &Netns) -> Self {
        Self {
            host: false,
            name: netns.name.clone(),
            path: Some(netns.path.clone()),
            inode: Some(netns.inode),
            pid: netns.pid,
            comm: netns.comm.clone(),
            container: netns.container.clone(),
        }
    }
}

impl VfRow {
    /// The row of a VF.
    pub fn new(pf: &Pf, vf: &Vf, knows_usage: bool) -> Self {
        let settings = vf.settings.clone().unwrap_or_default();
        let link = vf.netdev();
        Self {
            vf: pf.vf_name(vf.index()),
            pf: pf.name(),
            pf_device: pf.facts.device.to_string(),
            index: vf.index().0,
            pci_address: text(vf.pci()),
            driver: vf.facts.driver.clone(),
            model: pf.facts.vf_model.clone(),
            netdev: link.map(|link| link.name.clone()),
            netdevs: vf.netdevs.iter().map(|link| link.name.clone()).collect(),
            altnames: link.map(|link| link.altnames.clone()).unwrap_or_default(),
            netns: link.map(NetnsView::of),
            representor: vf.representor.clone(),
            admin_mac: text(settings.mac),
            mac: text(vf.mac()),
            mtu: link.and_then(|link| link.mtu),
            up: link.and_then(|link| link.up),
            operstate: link.and_then(|link| link.operstate.clone()),
            vlan: settings.vlan.map(|tag| tag.id.0),
            vlan_qos: settings.vlan.map(|tag| tag.qos),
            vlan_proto: settings.vlan.map(|tag| tag.proto.to_string()),
            min_tx_rate: settings.min_tx_rate,
            max_tx_rate: settings.max_tx_rate,
            spoofchk: settings.spoofchk,
            trust: settings.trust,
            link_state: settings.link_state,
            query_rss: settings.query_rss,
            node_guid: text(settings.node_guid.map(Guid)),
            port_guid: text(settings.port_guid.map(Guid)),
            numa_node: pf.facts.numa_node,
            iommu_group: vf.facts.iommu_group,
            device_node: vf.facts.node.clone(),
            // Somebody is somebody; nobody means nobody only where all was looked at.
            in_use: (knows_usage || !vf.users.is_empty()).then_some(!vf.users.is_empty()),
            used_by: vf.users.iter().map(UserView::new).collect(),
            stats: vf.stats.map(StatsView::new),
        }
    }
}

impl UserView {
    pub fn new(user: &User) -> Self {
        let pid = match user {
            User::Process(holder) => Some(holder.pid),
            User::Netns(netns) => netns.pid,
            _ => None,
        };
        Self { kind: user.kind(), text: user.to_string(), pid }
    }
}

impl StatsView {
    pub fn new(stats: VfStats) -> Self {
        let VfStats {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            broadcast,
            multicast,
            rx_dropped,
            tx_dropped,
        } = stats;
        Self {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            rx_dropped,
            tx_dropped,
            broadcast,
            multicast,
        }
    }
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}
