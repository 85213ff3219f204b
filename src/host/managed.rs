//! Other programs that manage a device, by the traces they leave.

use std::path::Path;

use super::sysfs;
use crate::model::ids::PciAddress;

/// Who manages the PF with this address and these interfaces.
pub fn by(root: &Path, address: Option<PciAddress>, ifindexes: &[u32]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(address) = address {
        if root.join(format!("etc/sriov-operator/pci/{address}")).exists() {
            found.push("sriov-network-operator".to_owned());
        }
        if root.join(format!("etc/driverctl.d/pci-{address}")).exists() {
            found.push("driverctl".to_owned());
        }
    }
    // The state files of the two daemons, a line a fact.
    let says = |path: &str, lines: &[&str]| {
        let text = sysfs::text(&root.join(path))?;
        Some(text.lines().any(|line| lines.contains(&line)))
    };
    for ifindex in ifindexes {
        let state = format!("run/NetworkManager/devices/{ifindex}");
        if says(&state, &["managed=true", "managed=1"]) == Some(true) {
            found.push("NetworkManager".to_owned());
        }
        let state = format!("run/systemd/netif/links/{ifindex}");
        if says(&state, &["ADMIN_STATE=unmanaged"]) == Some(false) {
            found.push("systemd-networkd".to_owned());
        }
    }
    found.dedup();
    found
}
