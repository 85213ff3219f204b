//! Interfaces of a copied or made-up tree, where netlink would speak of another host.

use std::path::Path;

use super::sysfs;
use crate::model::ids::{DeviceId, PciAddress};
use crate::model::link::Link;

/// The interfaces of a device by its `net/` directory.
pub fn of_device(dir: &Path, device: &DeviceId) -> Vec<Link> {
    sysfs::names(&dir.join("net"))
        .into_iter()
        .map(|name| read(&dir.join("net").join(&name), name, device))
        .collect()
}

fn read(dir: &Path, name: String, device: &DeviceId) -> Link {
    let flags = sysfs::hex(&dir.join("flags"));
    Link {
        ifindex: sysfs::number(&dir.join("ifindex")).unwrap_or(0),
        mac: sysfs::text(&dir.join("address")).and_then(|mac| mac.parse().ok()),
        mtu: sysfs::number(&dir.join("mtu")),
        up: flags.map(|flags| flags & 1 != 0),
        operstate: sysfs::text(&dir.join("operstate")),
        speed_mbps: speed(dir),
        phys_port_name: sysfs::text(&dir.join("phys_port_name")),
        phys_switch_id: sysfs::text(&dir.join("phys_switch_id")),
        parent: Some(device.clone()),
        name,
        ..Link::default()
    }
}

/// Speed in Mbit/s of the interface whose directory this is; the kernel says -1 or refuses where
/// there is none.
pub fn speed(dir: &Path) -> Option<u32> {
    sysfs::number(&dir.join("speed")).filter(|speed| *speed > 0 && *speed != u32::MAX)
}

/// The interfaces of some devices that have none among `links`: kernels before 5.14 do not name
/// the device behind an interface (`IFLA_PARENT_DEV_NAME`).
pub fn name_parents(sys: &Path, links: &mut [Link]) {
    for link in links.iter_mut().filter(|link| link.parent.is_none() && link.kind.is_none()) {
        let device = sysfs::link_name(&sys.join("class/net").join(&link.name).join("device"));
        let address = device.and_then(|name| name.parse::<PciAddress>().ok());
        link.parent = address.map(DeviceId::from);
    }
}
