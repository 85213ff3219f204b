//! From facts to an inventory: which interface belongs to which device, and who uses it.

use std::collections::HashMap;

use super::facts::{Facts, PfFacts, VfFacts};
use super::ids::{DeviceId, VfIndex};
use super::inventory::{Inventory, Pf, Vf};
use super::link::{Link, VfReport, is_representor, representor_vf};
use super::usage::{self, Witnesses};
use crate::order;

/// Drivers that hand a device to user space or keep it from being used: no interface comes of them.
pub const USERSPACE_DRIVERS: [&str; 7] = [
    "vfio-pci",
    "uio_pci_generic",
    "igb_uio",
    "pci-stub",
    "pciback",
    "xen-pciback",
    "mlx5_vfio_pci",
];

/// Whether `driver` is known to make no interface of a device.
pub fn is_userspace_driver(driver: &str) -> bool {
    USERSPACE_DRIVERS.contains(&driver)
        || driver.ends_with("vfio_pci")
        || driver.ends_with("vfio-pci")
}

/// Concludes the inventory.
///
/// On a live host a VF with a network driver has an interface somewhere: where none is seen, be it
/// that not every namespace could be looked into, it counts as in use. Knowing less must not make
/// a VF look free.
pub fn inventory(facts: Facts) -> Inventory {
    let Facts { pfs, links, addresses, routes, holders, owners, warnings, knows_usage } = facts;
    let witnesses = Witnesses::new(&links, &addresses, &routes, &holders).with_owners(&owners);
    let by_device = Index::new(&links);
    let mut pfs: Vec<Pf> =
        pfs.into_iter().map(|pf| assemble_pf(pf, &by_device, knows_usage, &witnesses)).collect();
    order::sort_by(&mut pfs, |a, b| a.facts.device.cmp(&b.facts.device));

    let taken: std::collections::HashSet<&DeviceId> = pfs
        .iter()
        .flat_map(|pf| {
            let vfs = pf.vfs.iter().filter_map(|vf| vf.facts.device.as_ref());
            vfs.chain([&pf.facts.device])
        })
        .collect();
    let others = links
        .iter()
        .filter(|link| link.parent.as_ref().is_none_or(|device| !taken.contains(device)))
        .flat_map(|link| link.altnames.iter().chain([&link.name]).cloned())
        .collect();
    Inventory { pfs, others, warnings, knows_usage }
}

/// Interfaces by the device behind them.
struct Index<'a> {
    links: &'a [Link],
    by_parent: HashMap<&'a DeviceId, Vec<&'a Link>>,
}

impl<'a> Index<'a> {
    fn new(links: &'a [Link]) -> Self {
        let mut by_parent: HashMap<_, Vec<&Link>> = HashMap::new();
        for link in links {
            if let Some(device) = &link.parent {
                by_parent.entry(device).or_default().push(link);
            }
        }
        for of_one in by_parent.values_mut() {
            order::sort_by_key(of_one, |link| link.ifindex);
        }
        Self { links, by_parent }
    }

    fn of(&self, device: &DeviceId) -> &[&'a Link] {
        self.by_parent.get(device).map_or(&[], Vec::as_slice)
    }
}

fn assemble_pf(
    mut facts: PfFacts,
    index: &Index<'_>,
    must_be_somewhere: bool,
    witnesses: &Witnesses<'_>,
) -> Pf {
    let of_device = index.of(&facts.device);
    let is_rep = |link: &&&Link| link.phys_port_name.as_deref().is_some_and(is_representor);
    // Since 5.8 representors share the PF's net/ directory; the one that is none is the PF's own.
    let netdevs: Vec<Link> =
        of_device.iter().filter(|l| !is_rep(l)).map(|l| (**l).clone()).collect();
    let representors = representors(&facts, of_device, &netdevs, index.links);

    let vf_facts = std::mem::take(&mut facts.vfs);
    let reports: HashMap<VfIndex, &VfReport> =
        netdevs.iter().flat_map(|link| &link.vfs).map(|report| (report.index, report)).collect();
    let is_network = facts.class.is_none_or(|class| class >> 16 == 0x02);

    let mut vfs: Vec<Vf> = if facts.device.pci().is_some() {
        vf_facts
    } else {
        let mut indexes: Vec<_> = reports.keys().copied().collect();
        order::sort(&mut indexes);
        indexes.into_iter().map(VfFacts::without_device).collect()
    }
    .into_iter()
    .map(|vf| {
        let netdevs: Vec<Link> = vf
            .device
            .as_ref()
            .map(|device| index.of(device).iter().map(|link| (**link).clone()).collect())
            .unwrap_or_default();
        let has_net_driver =
            is_network && vf.driver.as_deref().is_some_and(|driver| !is_userspace_driver(driver));
        let users = usage::users(&vf, &netdevs, must_be_somewhere && has_net_driver, witnesses);
        let report = reports.get(&vf.index);
        Vf {
            representor: representors.get(&vf.index).cloned(),
            settings: report.map(|report| report.settings.clone()),
            stats: report.and_then(|report| report.stats),
            facts: vf,
            netdevs,
            users,
        }
    })
    .collect();
    order::sort_by_key(&mut vfs, Vf::index);
    Pf { facts, netdevs, vfs }
}

/// Names of the VFs' representors: on the PF's own device, or anywhere on the same switch under
/// the PF's number where the driver gives representors no parent.
fn representors(
    facts: &PfFacts,
    of_device: &[&Link],
    netdevs: &[Link],
    links: &[Link],
) -> HashMap<VfIndex, String> {
    let switch = netdevs.iter().find_map(|link| link.phys_switch_id.as_deref());
    let mut found = HashMap::new();
    if let (Some(switch), Some(address)) = (switch, facts.device.pci()) {
        for link in links.iter().filter(|link| link.parent.is_none()) {
            let port = link.phys_port_name.as_deref().and_then(representor_vf);
            if let (Some((pf, vf)), true) = (port, link.phys_switch_id.as_deref() == Some(switch))
                && pf == u16::from(address.function())
            {
                found.insert(vf, link.name.clone());
            }
        }
    }
    for link in of_device {
        if let Some((_, vf)) = link.phys_port_name.as_deref().and_then(representor_vf) {
            found.insert(vf, link.name.clone());
        }
    }
    found
}

impl VfFacts {
    /// A VF that only its PF's interface knows of (netdevsim).
    pub fn without_device(index: VfIndex) -> Self {
        Self {
            index,
            device: None,
            driver: None,
            driver_override: None,
            iommu_group: None,
            node: None,
        }
    }
}
