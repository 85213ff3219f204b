//! What a pool has to give, see [`crate::model::stock`]: the cost is one dump of the host's interfaces,
//! the names of files, and a link or two for each VF of these PFs alone.

use std::collections::{HashMap, HashSet};

use super::sysfs::{self, Dir};
use super::{Host, links, pci, state};
use crate::engine::Surroundings;
use crate::engine::store::Shelf;
use crate::error::Result;
use crate::model::assemble::is_userspace_driver;
use crate::model::ids::{DeviceId, IfName};
use crate::model::link::{Link, is_representor};
use crate::model::stock::{Item, PfName, State, Stock};

impl Host {
    /// What the PFs have; `None` where one of these names is no PF's, or has yet to be looked for.
    pub(super) fn stock_of(&self, pfs: &[PfName<'_>]) -> Result<Option<Vec<Stock>>> {
        // Netlink would speak of another host.
        if !self.is_live() {
            return Ok(None);
        }
        let mut links = self.sockets.here()?.names()?;
        links::name_parents(&self.root.join("sys"), &mut links);
        self.stock_by(pfs, &links)
    }

    /// The same, with the host's interfaces.
    fn stock_by(&self, pfs: &[PfName<'_>], links: &[Link]) -> Result<Option<Vec<Stock>>> {
        let signs = Signs::new(links, self.written_down()?);
        let stock = |name: &PfName<'_>| {
            let device = self.pf_called(*name)?;
            let dir =
                Dir::open(&self.device_dir(&device)).filter(|dir| dir.has("sriov_totalvfs"))?;
            Some(signs.stock(device, &dir))
        };
        Ok(pfs.iter().map(stock).collect())
    }

    /// The device of a PF by a name that leads to it at once.
    fn pf_called(&self, name: PfName<'_>) -> Option<DeviceId> {
        let name = match name {
            PfName::Pci(address) => return Some(DeviceId::from(address)),
            PfName::Netdev(name) => name.parse::<IfName>().ok()?,
        };
        // Representors may share the PF's device (Linux 5.8), and each stands for one VF.
        let port = self.root.join("sys/class/net").join(name.as_str()).join("phys_port_name");
        let is_rep = sysfs::value(&port).is_some_and(|port| is_representor(&port));
        if is_rep { None } else { self.device_of(name.as_str()) }
    }

    /// Names of files that are kept of attachments, and of allocations: whose they are, and whether they
    /// still hold, is only in them.
    fn written_down(&self) -> Result<HashSet<String>> {
        let mut names: HashSet<String> = self.allocated_devices().into_iter().collect();
        names.extend(self.names_on(Shelf::Attachments)?);
        Ok(names)
    }
}

/// What speaks for a VF's being in use.
struct Signs<'a> {
    by_device: HashMap<&'a DeviceId, Vec<&'a Link>>,
    /// Numbers of interfaces with others on top.
    lower: HashSet<u32>,
    written_down: HashSet<String>,
}

impl<'a> Signs<'a> {
    fn new(links: &'a [Link], written_down: HashSet<String>) -> Self {
        let mut by_device: HashMap<_, Vec<&Link>> = HashMap::new();
        for link in links {
            if let Some(device) = &link.parent {
                by_device.entry(device).or_default().push(link);
            }
        }
        let own = |link: &Link| link.lower.filter(|lower| *lower != link.ifindex);
        Self { by_device, lower: links.iter().filter_map(own).collect(), written_down }
    }

    fn stock(&self, pf: DeviceId, dir: &Dir) -> Stock {
        let is_network = dir.hex("class").is_none_or(|class| class >> 16 == 0x02);
        let items = pci::list_vfs(dir).into_iter().filter_map(|vf| {
            let device = vf.device?;
            let driver = || dir.link_name(&format!("{}/driver", vf.link));
            let state = self.state(&device, || {
                is_network && driver().is_some_and(|driver| !is_userspace_driver(&driver))
            });
            Some(Item { index: vf.index, device, state })
        });
        Stock { pf, numa_node: dir.number("numa_node"), vfs: items.collect() }
    }

    /// What a VF seems to be; `has_netdev`: whether its driver makes an interface of it, which then is
    /// elsewhere if it is not here.
    fn state(&self, device: &DeviceId, has_netdev: impl FnOnce() -> bool) -> State {
        let links = self.by_device.get(device);
        let in_use = |link: &&Link| {
            link.up == Some(true) || link.master.is_some() || self.lower.contains(&link.ifindex)
        };
        if links.map_or_else(has_netdev, |links| links.iter().any(in_use)) {
            return State::Used;
        }
        let is_written = self.written_down.contains(&state::file_name(device))
            || self.written_down.contains(device.name());
        if is_written { State::Recorded } else { State::Free }
    }
}

#[cfg(test)]
#[path = "stock_tests.rs"]
mod tests;
