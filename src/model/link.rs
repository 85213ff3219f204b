//! A network interface and the VF settings that a PF's interface reports.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{DeviceId, MacAddr, VfIndex, VlanId};

/// One network interface, as netlink (or, for a copied tree, sysfs) reports it.
///
/// `None` means unknown: the kernel, the driver or the tree does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Link {
    /// Number of the interface in its namespace.
    pub ifindex: u32,
    /// Name, with bytes that are not UTF-8 replaced.
    pub name: String,
    /// Alternative names, in the kernel's order.
    pub altnames: Vec<String>,
    /// Present hardware address; `None` also for addresses that are not Ethernet's.
    pub mac: Option<MacAddr>,
    /// The one that its device was made with (`IFLA_PERM_ADDRESS`), which no setting changes.
    pub perm_mac: Option<MacAddr>,
    /// Whether it is InfiniBand's (`ARPHRD_INFINIBAND`).
    pub infiniband: bool,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Administratively up (`IFF_UP`).
    pub up: Option<bool>,
    /// Promiscuous by somebody's wish (`IFF_PROMISC`).
    pub promisc: bool,
    /// Takes all multicast by somebody's wish (`IFF_ALLMULTI`).
    pub allmulti: bool,
    /// RFC 2863 state: `up`, `down`, `lowerlayerdown`, ...
    pub operstate: Option<String>,
    /// Speed in Mbit/s; filled for PFs only.
    pub speed_mbps: Option<u32>,
    /// Interface index of the bond, bridge or VRF this interface belongs to.
    pub master: Option<u32>,
    /// Interface index of the interface below this one (VLAN, macvlan, ...).
    pub lower: Option<u32>,
    /// Index of the interface it sits on, and the number that its namespace knows the other one's
    /// by, where that is in another namespace.
    pub lower_elsewhere: Option<(u32, i32)>,
    /// Kind of a software interface, e.g. `vlan`; `None` for hardware.
    pub kind: Option<String>,
    /// The device behind the interface.
    pub parent: Option<DeviceId>,
    /// `IFLA_PHYS_PORT_NAME`, e.g. `p0` or `pf0vf3`.
    pub phys_port_name: Option<String>,
    /// `IFLA_PHYS_SWITCH_ID` in hexadecimal: set in switchdev mode.
    pub phys_switch_id: Option<String>,
    /// How many VFs the kernel counts behind this interface (`IFLA_NUM_VF`).
    pub num_vf: Option<u32>,
    /// What the interface itself counts (`IFLA_STATS64`).
    pub stats: Option<VfStats>,
    /// VFs as the PF's driver reports them, by rising index; may have holes.
    pub vfs: Vec<VfReport>,
    /// The namespace, when it is not the one this program runs in.
    pub netns: Option<Arc<Netns>>,
}

/// What a PF's driver says of one VF (`IFLA_VF_INFO`).
#[derive(Debug, Clone, PartialEq)]
pub struct VfReport {
    /// Which VF.
    pub index: VfIndex,
    /// Its settings.
    pub settings: VfSettings,
    /// Its counters, where they were asked for and the driver has them.
    pub stats: Option<VfStats>,
}

/// The settings of a VF that live in its PF.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfSettings {
    /// Administrative MAC; zero: never set by the host.
    pub mac: Option<MacAddr>,
    /// VLAN that the NIC inserts and strips.
    pub vlan: Option<VlanTag>,
    /// Lowest guaranteed rate in Mbit/s, 0 = none.
    pub min_tx_rate: Option<u32>,
    /// Highest rate in Mbit/s, 0 = no limit.
    pub max_tx_rate: Option<u32>,
    /// Whether frames with a foreign source MAC are dropped.
    pub spoofchk: Option<bool>,
    /// Whether the VF may change its MAC, become promiscuous and the like.
    pub trust: Option<bool>,
    /// What the VF sees as carrier.
    pub link_state: Option<LinkState>,
    /// Whether the VF may read the PF's RSS table and key.
    pub query_rss: Option<bool>,
    /// InfiniBand node GUID.
    pub node_guid: Option<u64>,
    /// InfiniBand port GUID.
    pub port_guid: Option<u64>,
}

/// VLAN of a VF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanTag {
    /// Identifier, 0 = untagged.
    pub id: VlanId,
    /// Priority, 0-7.
    pub qos: u8,
    /// Ethertype of the tag.
    pub proto: VlanProto,
}

/// Ethertype of a VLAN tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VlanProto {
    /// 0x8100, the customer tag.
    #[default]
    #[serde(rename = "802.1q")]
    Dot1q,
    /// 0x88a8, the service tag.
    #[serde(rename = "802.1ad")]
    Dot1ad,
}

impl VlanProto {
    /// The ethertype in host byte order.
    pub fn ethertype(self) -> u16 {
        match self {
            Self::Dot1q => 0x8100,
            Self::Dot1ad => 0x88a8,
        }
    }
}

impl fmt::Display for VlanProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dot1q => "802.1q",
            Self::Dot1ad => "802.1ad",
        })
    }
}

/// Carrier of a VF as the PF sets it (`IFLA_VF_LINK_STATE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Follows the PF's.
    Auto,
    /// Always up.
    Enable,
    /// Always down.
    Disable,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Enable => "enable",
            Self::Disable => "disable",
        })
    }
}

/// Counters of a VF as its PF's driver keeps them (`IFLA_VF_STATS`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct VfStats {
    pub rx_packets: Option<u64>,
    pub tx_packets: Option<u64>,
    pub rx_bytes: Option<u64>,
    pub tx_bytes: Option<u64>,
    pub broadcast: Option<u64>,
    pub multicast: Option<u64>,
    pub rx_dropped: Option<u64>,
    pub tx_dropped: Option<u64>,
}

/// A network namespace other than the one this program runs in, and who holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Netns {
    /// Inode of the namespace: what `readlink /proc/PID/ns/net` shows.
    pub inode: u64,
    /// A path by which the namespace can be opened, e.g. `/run/netns/blue`.
    pub path: String,
    /// Name, when it is a named namespace (`ip netns`).
    pub name: Option<String>,
    /// A process in it.
    pub pid: Option<u32>,
    /// That process's command name.
    pub comm: Option<String>,
    /// Container that process belongs to, from its cgroup.
    pub container: Option<String>,
}

impl Netns {
    /// What a person would call it: its name, container, process, or path, in that order.
    pub fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        if let Some(container) = &self.container {
            return format!("container {}", container.get(..12).unwrap_or(container));
        }
        match (self.pid, &self.comm) {
            (Some(pid), Some(comm)) => format!("{comm}[{pid}]"),
            (Some(pid), None) => format!("pid {pid}"),
            _ => self.path.clone(),
        }
    }
}

/// The VF index in a representor's port name: `pf0vf3`, `c1pf0vf3` (kernel:
/// Documentation/networking/representors.rst).
pub fn representor_vf(phys_port_name: &str) -> Option<(u16, VfIndex)> {
    let rest = match phys_port_name.strip_prefix('c') {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => phys_port_name,
    };
    let (pf, vf) = rest.strip_prefix("pf")?.split_once("vf")?;
    Some((pf.parse().ok()?, VfIndex(vf.parse().ok()?)))
}

/// Whether a port name belongs to a representor of a PF, VF or subfunction rather than to the
/// uplink (`p0`) or to a device without a switch.
pub fn is_representor(phys_port_name: &str) -> bool {
    let rest = match phys_port_name.strip_prefix('c') {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => phys_port_name,
    };
    rest.strip_prefix("pf").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn representors_are_told_from_uplinks() {
        assert_eq!(representor_vf("pf0vf3"), Some((0, VfIndex(3))));
        assert_eq!(representor_vf("c1pf0vf12"), Some((0, VfIndex(12))));
        for (name, is) in [
            ("p0", false),
            ("p1", false),
            ("", false),
            ("pf0", true),
            ("pf0vf3", true),
            ("pf0sf88", true),
            ("c1pf0", true),
            ("pfx", false),
            ("c", false),
            ("P1", false),
        ] {
            assert_eq!(is_representor(name), is, "{name}");
        }
        for name in ["p0", "pf0", "pf0sf1", "pf0vf", "pfvf1", "pf0vf70000"] {
            assert_eq!(representor_vf(name), None, "{name}");
        }
    }

    #[test]
    fn a_namespace_is_called_by_its_most_telling_name() {
        let mut netns = Netns { path: "/proc/7/ns/net".into(), pid: Some(7), ..Netns::default() };
        assert_eq!(netns.label(), "pid 7");
        netns.comm = Some("sleep".into());
        assert_eq!(netns.label(), "sleep[7]");
        netns.container = Some("0123456789abcdef".into());
        assert_eq!(netns.label(), "container 0123456789ab");
        netns.name = Some("blue".into());
        assert_eq!(netns.label(), "blue");
    }
}
