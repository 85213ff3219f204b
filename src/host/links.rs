//! Interfaces of a copied or made-up tree, where netlink would speak of another host.

use std::path::Path;

use super::sysfs::{self, Dir};
use crate::model::ids::{DeviceId, PciAddress};
use crate::model::link::Link;

/// The interfaces of a device by its `net/` directory; of a VF only what lists show of one.
pub fn of_device(dir: &Path, device: &DeviceId, is_vf: bool) -> Vec<Link> {
    let Some(dir) = Dir::open(dir) else { return Vec::new() };
    let names = dir.names("net").into_iter();
    let links =
        names.filter_map(|name| Some(read(&dir.dir(&format!("net/{name}"))?, name, device, is_vf)));
    links.collect()
}

fn read(dir: &Dir, name: String, device: &DeviceId, is_vf: bool) -> Link {
    let flags = dir.hex("flags");
    let of_pf = |text: fn(&Dir) -> Option<String>| if is_vf { None } else { text(dir) };
    Link {
        ifindex: dir.number("ifindex").unwrap_or(0),
        mac: dir.text("address").and_then(|mac| mac.parse().ok()),
        mtu: dir.number("mtu"),
        up: flags.map(|flags| flags & 1 != 0),
        operstate: dir.text("operstate"),
        speed_mbps: of_pf(|dir| dir.text("speed")).and_then(|speed| valid_speed(&speed)),
        phys_port_name: of_pf(|dir| dir.text("phys_port_name")),
        phys_switch_id: of_pf(|dir| dir.text("phys_switch_id")),
        parent: Some(device.clone()),
        name,
        ..Link::default()
    }
}

pub(super) fn valid_speed(text: &str) -> Option<u32> {
    text.parse().ok().filter(|speed| *speed > 0 && *speed != u32::MAX)
}

/// Speed in Mbit/s of the interface whose directory this is; the kernel says -1 or refuses where
/// there is none.
pub fn speed(dir: &Path) -> Option<u32> {
    valid_speed(&sysfs::text(&dir.join("speed"))?)
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
