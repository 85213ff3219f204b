//! Interfaces of a copied or made-up tree, where netlink would speak of another host.

use std::path::Path;

use super::sysfs::{self, Dir};
use crate::model::ids::{DeviceId, PciAddress};
use crate::model::link::Link;

/// The interfaces of a device by the `net/` of its directory, `at` in another one; of a VF only what
/// lists show of one.
pub fn of_device(dir: &Dir, at: &str, device: &DeviceId, is_vf: bool) -> Vec<Link> {
    let Some((net, names)) = dir.dir_with_names(&format!("{at}/net")) else { return Vec::new() };
    // What tells several of a VF apart.
    let has_number = !is_vf || names.len() > 1;
    names.into_iter().map(|name| read(&net, name, device, is_vf, has_number)).collect()
}

fn read(net: &Dir, name: String, device: &DeviceId, is_vf: bool, has_number: bool) -> Link {
    let text = |file: &str| net.text(&format!("{name}/{file}"));
    let of_pf = |file: &str| if is_vf { None } else { text(file) };
    let flags = text("flags").and_then(|flags| sysfs::parse_hex(&flags));
    Link {
        ifindex: has_number.then(|| text("ifindex")?.parse().ok()).flatten().unwrap_or(0),
        mac: text("address").and_then(|mac| mac.parse().ok()),
        mtu: text("mtu").and_then(|mtu| mtu.parse().ok()),
        up: flags.map(|flags| flags & 1 != 0),
        operstate: text("operstate"),
        speed_mbps: of_pf("speed").and_then(|speed| valid_speed(&speed)),
        phys_port_name: of_pf("phys_port_name"),
        phys_switch_id: of_pf("phys_switch_id"),
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
