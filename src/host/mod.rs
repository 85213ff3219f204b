//! TOUCH: the only room that meets the operating system, and never decides.

mod accounts;
mod announce;
mod apply;
mod beneath;
mod calls;
mod doctor;
mod drivers;
mod ethtool;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod ground;
mod holders;
mod inspect;
mod install;
mod kept;
mod kmsg;
pub mod limits;
mod links;
mod lock;
mod managed;
mod modules;
mod moves;
mod neighbours;
pub mod netlink;
mod netns;
mod opened;
mod parallel;
mod pci;
pub mod pci_ids;
mod persist;
mod ports;
mod recent;
pub mod rights;
pub mod signals;
mod sockets;
mod state;
mod stock;
mod sysfs;
mod uppers;
mod vectors;
mod write;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use self::beneath::OpenDirs;
use self::netlink::devlink::Devlink;
use self::opened::LastOpened;
use self::recent::Recent;
use self::sockets::Sockets;
use crate::engine::neighbours::{Found, Neighbours, Place};
use crate::engine::watch::Listen;
use crate::engine::{Account, Kernel, NetnsChoice, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::assemble::{self, is_userspace_driver};
use crate::model::binding::{DriverState, Ground, HugePages, Platform};
use crate::model::facts::{Facts, PfFacts, Scope, Vectors};
use crate::model::ids::{Cidr, DeviceId};
use crate::model::inventory::Inventory;
use crate::model::link::{Link, Netns};
use crate::model::persist::Persistent;
use crate::model::record::NetnsId;
use crate::model::seen::{Seen, Target};
use crate::model::step::{Outcome, Step};
use crate::model::stock::{PfName, Stock};
use crate::order;

/// This host, or a tree that looks like one.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    started: Instant,
    aliases: OnceLock<String>,
    /// Of the kernel that runs.
    boot_id: OnceLock<String>,
    /// Sockets in this and other namespaces.
    sockets: Sockets,
    /// Directories of records.
    dirs: OpenDirs,
    /// The device that was looked at last.
    opened: LastOpened,
    /// What the next step asks for again.
    recent: Recent,
}

impl Host {
    /// The host below `root`. Any root but `/` is only read, and netlink is not asked: it would
    /// speak of another host.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            started: Instant::now(),
            aliases: OnceLock::new(),
            boot_id: OnceLock::new(),
            sockets: Sockets::default(),
            dirs: OpenDirs::default(),
            opened: LastOpened::default(),
            recent: Recent::default(),
        }
    }

    fn lock_dir(&self) -> PathBuf {
        self.root.join("run/sriovctl/lock")
    }

    fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    fn read(&self, scope: Scope) -> Result<Facts> {
        if !self.root.is_dir() {
            let root = self.root.display();
            return Err(Error::new(Kind::NotFound, format!("--root {root} is no directory")));
        }
        let devices = pci::read(&self.root, scope, !self.is_live())?;
        let mut facts = Facts { pfs: devices.pfs, links: devices.links, ..Facts::default() };
        if self.is_live() {
            self.read_live(&mut facts, scope, &devices.node_aliases)?;
        } else {
            self.add_other_links(&mut facts.links);
        }
        if scope.wide {
            for pf in &mut facts.pfs {
                let own =
                    facts.links.iter().filter(|link| link.parent.as_ref() == Some(&pf.device));
                let ifindexes: Vec<u32> = own.map(|link| link.ifindex).collect();
                pf.managed_by = managed::by(&self.root, pf.device.pci(), &ifindexes);
            }
        }
        Ok(facts)
    }

    /// Of interfaces that are neither a PF's nor a VF's it is enough to know that they are there.
    fn add_other_links(&self, links: &mut Vec<Link>) {
        let mut others = sysfs::names(&self.root.join("sys/class/net"));
        let known: HashSet<&str> = links.iter().map(|link| link.name.as_str()).collect();
        others.retain(|name| !known.contains(name.as_str()));
        links.extend(others.into_iter().map(|name| Link { name, ..Link::default() }));
    }

    /// What only a running kernel tells.
    fn read_live(
        &self,
        facts: &mut Facts,
        scope: Scope,
        node_aliases: &HashMap<String, String>,
    ) -> Result<()> {
        let mut netlink = self.sockets.here()?;
        facts.links = netlink.links(scope.stats)?;
        links::name_parents(&self.root.join("sys"), &mut facts.links);
        self.add_other_buses(facts);
        if !scope.here_only {
            add_other_namespaces(facts, scope.stats);
        }
        facts.addresses = netlink.addresses()?;
        facts.owners = self.owners();
        facts.knows_usage = !scope.here_only;
        if scope.change {
            facts.routes = netlink.routes()?;
        }
        let has_node = |pf: &PfFacts| pf.vfs.iter().any(|vf| vf.node.is_some());
        if !scope.here_only && facts.pfs.iter().any(has_node) {
            facts.holders = holders::read(node_aliases);
        }
        self.add_link_speeds(facts);
        add_devlink(facts, scope)?;
        Ok(())
    }

    /// Devices of other buses whose interfaces report VFs (netdevsim).
    fn add_other_buses(&self, facts: &mut Facts) {
        let mut devices: Vec<&DeviceId> = facts
            .links
            .iter()
            .filter_map(|link| link.parent.as_ref())
            .filter(|device| device.bus() != "pci")
            .collect();
        order::sort(&mut devices);
        devices.dedup();
        let found: Vec<PfFacts> =
            devices.into_iter().filter_map(|device| pci::read_other(&self.root, device)).collect();
        facts.pfs.extend(found);
    }

    fn add_link_speeds(&self, facts: &mut Facts) {
        let net = self.root.join("sys/class/net");
        let pfs: HashSet<&DeviceId> = facts.pfs.iter().map(|pf| &pf.device).collect();
        for link in &mut facts.links {
            let is_pf = link.parent.as_ref().is_some_and(|device| pfs.contains(device));
            if is_pf && link.netns.is_none() && link.up == Some(true) {
                link.speed_mbps = links::speed(&net.join(&link.name));
            }
        }
    }
}

/// Looks into the other namespaces, if an interface is missing here that must be somewhere.
fn add_other_namespaces(facts: &mut Facts, stats: bool) {
    let here: HashSet<&DeviceId> =
        facts.links.iter().filter_map(|link| link.parent.as_ref()).collect();
    let has_net_driver = |driver: &Option<String>| {
        driver.as_deref().is_some_and(|driver| !is_userspace_driver(driver))
    };
    let missing = facts.pfs.iter().filter(|pf| pf.class.is_none_or(|c| c >> 16 == 2)).any(|pf| {
        (has_net_driver(&pf.driver) && !here.contains(&pf.device))
            || pf.vfs.iter().any(|vf| {
                has_net_driver(&vf.driver)
                    && vf.device.as_ref().is_some_and(|device| !here.contains(device))
            })
    });
    if !missing {
        return;
    }
    let others = match netns::others() {
        Ok(others) => others,
        Err(error) => return facts.warnings.push(error.to_string()),
    };
    for netns in others {
        match netns::links_in(netns, stats) {
            Ok(links) => facts.links.extend(links),
            Err(error) => facts.warnings.push(error.to_string()),
        }
    }
}

/// Eswitch modes, and firmware where wanted: devlink's word, else the driver's by ethtool.
fn add_devlink(facts: &mut Facts, scope: Scope) -> Result<()> {
    let mut devlink = Devlink::open()?;
    for pf in &mut facts.pfs {
        if let Some(devlink) = &mut devlink {
            pf.eswitch_mode = devlink.eswitch_mode(&pf.device);
            pf.firmware = scope.wide.then(|| devlink.firmware(&pf.device)).flatten();
        }
        if scope.wide && pf.firmware.is_none() {
            let own =
                |link: &&Link| link.parent.as_ref() == Some(&pf.device) && link.netns.is_none();
            let netdev = facts.links.iter().find(own);
            pf.firmware = netdev.and_then(|link| ethtool::firmware(&link.name));
        }
    }
    Ok(())
}

impl Surroundings for Host {
    fn ground(&self, device: &DeviceId) -> Result<Ground> {
        Ok(self.ground_of(device))
    }

    fn vectors(&self, device: &DeviceId) -> Result<Vectors> {
        Ok(self.vectors_of(device))
    }

    fn platform(&self) -> Result<Platform> {
        Ok(self.platform_facts())
    }

    fn driver_state(&self, driver: &str) -> Result<DriverState> {
        Ok(self.state_of_driver(driver))
    }

    fn device_of(&self, netdev: &str) -> Option<DeviceId> {
        let link = self.root.join("sys/class/net").join(netdev).join("device");
        DeviceId::new("pci", &sysfs::link_name(&link)?).filter(|device| device.pci().is_some())
    }

    fn uppers_elsewhere(&self, ifindex: u32) -> Result<Vec<String>> {
        uppers::elsewhere(ifindex)
    }

    fn account(&self, name: &str, kind: Account) -> Result<u32> {
        accounts::number(&self.root, name, kind)
    }

    fn persistent(&self, device: &DeviceId) -> Result<Option<Persistent>> {
        self.kept_binding(device)
    }

    fn persist(&self, device: &DeviceId, kept: Option<&Persistent>) -> Result<Outcome> {
        self.keep_binding(device, kept)
    }

    fn texts(&self, path: &str) -> Result<Vec<(String, String)>> {
        kept::texts(&self.root, path)
    }

    fn apply_at_boot(&self, name: &str, text: &str) -> Result<Vec<String>> {
        self.must_be_live()?;
        kept::at_boot(&self.root, name, text)
    }

    fn link_to_program(&self, dir: &str, names: &[&str]) -> Result<Vec<String>> {
        install::links(&self.root, dir, names)
    }

    fn hugepages(&self) -> Result<Vec<HugePages>> {
        Ok(self.huge_pages())
    }

    fn host_netns(&self) -> Result<NetnsId> {
        let (device, inode) = netns::own()?;
        Ok(NetnsId { path: "/proc/self/ns/net".to_owned(), device, inode })
    }
}

impl Neighbours for Host {
    type Hold = Vec<std::fs::File>;

    fn neighbour(&self, place: &Place<'_>) -> Result<Option<Found>> {
        self.neighbour_of(place)
    }

    fn neighbours(&self, dir: Option<&str>) -> Result<Vec<Found>> {
        self.all_neighbours(dir)
    }

    fn tell_neighbours(
        &self,
        place: &Place<'_>,
        device: &DeviceId,
        netns: &str,
        written: (&serde_json::Value, bool),
    ) -> Result<()> {
        self.write_neighbour(place, device, netns, written)
    }

    fn tell_container(
        &self,
        place: &Place<'_>,
        inode: u64,
        document: &serde_json::Value,
    ) -> Result<String> {
        self.write_for_container(place, inode, document)
    }

    fn container_told_at(&self, place: &Place<'_>, inode: u64) -> String {
        self.container_path(place, inode).display().to_string()
    }

    fn told_at(&self, place: &Place<'_>) -> String {
        self.neighbour_path(place)
    }

    fn hold(&self, device: &DeviceId, timeout: Duration) -> Result<Self::Hold> {
        self.lock_for_neighbours(device, timeout)
    }
}

impl Listen for Host {
    type Events = events::Events;

    fn listen(&self) -> Result<Self::Events> {
        self.must_be_live()?;
        events::listen()
    }

    fn hear(&self, events: &mut Self::Events, within: Duration) -> Result<bool> {
        self.let_go();
        events.hear(within)
    }
}

impl Kernel for Host {
    type Guard = lock::Guard;

    fn observe(&self, scope: Scope) -> Result<Inventory> {
        let facts = self.read(scope)?;
        Ok(assemble::inventory(facts))
    }

    fn stock(&self, pfs: &[PfName<'_>]) -> Result<Option<Vec<Stock>>> {
        self.stock_of(pfs)
    }

    fn apply(&self, step: &Step, timeout: Duration) -> Result<Outcome> {
        self.apply_step(step, timeout)
    }

    fn apply_at_once(&self, steps: &[Step]) -> bool {
        self.set_vf_at_once(steps)
    }

    fn lock_pf(&self, pf: &DeviceId, timeout: Duration) -> Result<Self::Guard> {
        self.must_be_live()?;
        lock::exclusive(&self.lock_dir(), pf, timeout, &|| self.let_go())
    }

    fn lock_device(
        &self,
        device: &DeviceId,
        pf: Option<&DeviceId>,
        timeout: Duration,
    ) -> Result<Self::Guard> {
        self.must_be_live()?;
        lock::device(&self.lock_dir(), device, pf, timeout, &|| self.let_go())
    }

    fn lock_call(&self, container: &str, ifname: &str, timeout: Duration) -> Result<Self::Guard> {
        self.must_be_live()?;
        lock::call(&self.lock_dir(), container, ifname, timeout, &|| self.let_go())
    }

    fn inspect(&self, device: &DeviceId, hint: Option<&NetnsId>) -> Result<Seen> {
        self.must_be_live()?;
        self.inspect_device(device, hint, false)
    }

    fn inspect_with_ip(&self, device: &DeviceId, hint: Option<&NetnsId>) -> Result<Seen> {
        self.must_be_live()?;
        self.inspect_device(device, hint, true)
    }

    fn inspect_moved(
        &self,
        before: &Seen,
        at: &NetnsId,
        ifname: &str,
        with_ip: bool,
    ) -> Result<Seen> {
        self.must_be_live()?;
        match self.look_again(before, at, ifname, with_ip)? {
            Some(seen) => Ok(seen),
            None => self.inspect_device(&before.device, Some(at), with_ip),
        }
    }

    fn pf_of(&self, device: &DeviceId) -> Option<DeviceId> {
        self.recent.pf(device, || {
            DeviceId::new("pci", &sysfs::link_name(&self.device_dir(device).join("physfn"))?)
        })
    }

    fn find_netns(&self, choice: &NetnsChoice) -> Result<NetnsId> {
        self.must_be_live()?;
        self.sockets.find(choice)
    }

    fn look_into(&self, id: &NetnsId, names: &[String]) -> Result<Option<Target>> {
        let Some(mut netlink) = self.sockets.at(id)? else { return Ok(None) };
        let is_host = netns::own()? == (id.device, id.inode);
        let mut taken = BTreeSet::new();
        for name in names {
            let has = netlink.has_name(name);
            if has.map_err(|error| error.at(format!("looking into {}", id.path)))? {
                taken.insert(name.clone());
            }
        }
        Ok(Some(Target { netns: id.clone(), is_host, taken }))
    }

    fn namespaces(&self) -> Result<Vec<Netns>> {
        netns::others()
    }

    fn announce(&self, device: &DeviceId, at: &NetnsId, addresses: &[Cidr]) {
        announce::announce(device, at, addresses);
    }

    fn is_named(&self, ifindex: u32) -> bool {
        // udev writes down what it knows of an interface once it is done with it.
        !self.root.join("run/udev/control").exists()
            || self.root.join(format!("run/udev/data/n{ifindex}")).exists()
    }

    fn num_vfs(&self, pf: &DeviceId) -> Result<Option<u32>> {
        self.count_by_kernel(pf)
    }

    fn let_go(&self) {
        self.sockets.close();
        self.dirs.close();
        self.opened.close();
        self.recent.forget();
    }

    fn pause(&self, time: Duration) {
        self.let_go();
        std::thread::sleep(time);
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}
