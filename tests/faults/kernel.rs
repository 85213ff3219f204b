//! A kernel with one PF, small enough to be obviously right.
#![allow(clippy::cast_possible_truncation)] // VF numbers are below 8
#![allow(clippy::too_many_lines)] // one arm a step

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sriovctl::engine::neighbours::{Found, Neighbours, Place as Where};
use sriovctl::engine::store::{Shelf, Store, Stored};
use sriovctl::engine::{Account, Kernel, NetnsChoice, Surroundings};
use sriovctl::model::binding::{DriverState, Ground, Group, HugePages, Member, NoIommu, Platform};
use sriovctl::model::explain;
use sriovctl::model::facts::{PfFacts, Scope, Vectors, VfFacts};
use sriovctl::model::ids::{Cidr, DeviceId, MacAddr, PciAddress, PciId, VfIndex};
use sriovctl::model::inventory::{Inventory, Pf, Vf};
use sriovctl::model::link::{Link, LinkState, Netns, VfSettings, VlanTag};
use sriovctl::model::neighbour::Neighbour;
use sriovctl::model::persist::Persistent;
use sriovctl::model::plan::attach::Moment;
use sriovctl::model::record::{NetnsId, Record, Resize, VfOf};
use sriovctl::model::seen::{Seen, Target};
use sriovctl::model::step::{
    LinkAttr, LinkSet, Outcome, Place, Route, Step, Subject, VfAttr, VfRef,
};
use sriovctl::model::stock::{Item, PfName, State, Stock};
use sriovctl::model::usage::User;
use sriovctl::{Error, Kind, Result};

pub const PF: &str = "0000:01:00.0";
const VF_DRIVER: &str = "igbvf";

/// What a test compares before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    pub total: u32,
    pub autoprobe: Option<bool>,
    pub vfs: BTreeMap<u16, VfState>,
    /// Namespaces by inode, with the names of other interfaces in each.
    pub namespaces: BTreeMap<u64, BTreeSet<String>>,
    /// Names of other interfaces of the host.
    pub host_others: BTreeSet<String>,
    /// Whether VFIO takes devices without an IOMMU.
    pub noiommu: bool,
    /// Drivers that are loaded, or could be.
    pub drivers: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct VfState {
    pub settings: VfSettings,
    pub driver: Option<String>,
    pub driver_override: Option<String>,
    pub netdev: Option<Netdev>,
    pub users: Vec<User>,
    /// IOMMU group.
    pub group: Option<u32>,
    /// Owner and mode of the node that a driver for user space makes.
    pub node: Option<(u32, u32, u32)>,
    /// Whether a program in user space left something in the device.
    pub dirty: bool,
    /// Which of the VFs that this number has had.
    pub incarnation: u64,
    /// How many interrupt vectors it has, where its PF's driver can change that.
    pub vectors: Option<u32>,
}

#[derive(Debug, Clone)]
pub struct Netdev {
    pub name: String,
    pub mac: MacAddr,
    pub mtu: u32,
    pub altnames: Vec<String>,
    pub up: bool,
    pub promisc: bool,
    /// Inode of its namespace; `None`: the host's.
    pub netns: Option<u64>,
    pub addresses: Vec<String>,
    pub routes: Vec<String>,
    pub ifindex: u32,
    /// When it can be seen.
    pub appears: Duration,
}

/// A node comes and goes with the driver, and what is left in a device is asked for by itself.
impl PartialEq for VfState {
    fn eq(&self, other: &Self) -> bool {
        let known =
            |vf: &Self| (vf.settings.clone(), vf.driver.clone(), vf.driver_override.clone());
        let more = |vf: &Self| (vf.netdev.clone(), vf.users.clone(), vf.group, vf.vectors);
        known(self) == known(other) && more(self) == more(other)
    }
}

/// The number of an interface does not survive, nor does anyone expect it to.
impl PartialEq for Netdev {
    fn eq(&self, other: &Self) -> bool {
        let known = |n: &Self| (n.name.clone(), n.mac, n.mtu, n.altnames.clone(), n.up);
        let more = |n: &Self| (n.promisc, n.netns, n.addresses.clone(), n.routes.clone());
        known(self) == known(other) && more(self) == more(other)
    }
}

/// How the kernel misbehaves.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The n-th step from now (0 is the next) is refused with this number; nothing changes.
    pub refuse: Option<(usize, i32)>,
    /// The driver makes only so many VFs and says nothing.
    pub makes_at_most: Option<u32>,
    /// A new interface comes after this time.
    pub netdev_delay: Duration,
    /// The interface of this VF comes only when its driver is bound a second time.
    pub stuck: Option<u16>,
    /// No interface ever comes.
    pub no_netdevs: bool,
    /// A setting that the driver accepts and drops.
    pub drops_trust: bool,
    /// Trust that the driver does not take away again.
    pub drops_trust_off: bool,
    /// A setting that the driver does not know.
    pub refuses_vlan: bool,
    /// Settings of a VF are taken several at once, up to the first that is refused.
    pub takes_many: bool,
    /// The driver takes no administrative MAC away.
    pub refuses_zero_mac: bool,
    /// An interface has the MAC that its driver found when it was bound, and takes no other.
    pub keeps_own_mac: bool,
    /// A write of the number of VFs never ends.
    pub stalls: bool,
    /// The n-th write of a record from now fails: the disk is full.
    pub full: Option<usize>,
    /// The program dies at the n-th operation from now, steps and records alike: before it is
    /// done, or right after.
    pub dies: Option<(usize, bool)>,
}

type JournalAndRecord = (Option<Record>, Option<Record>);

pub struct FakeKernel {
    pub world: RefCell<World>,
    pub faults: RefCell<Faults>,
    pub applied: Cell<usize>,
    /// How often everything was looked at.
    pub observed: Cell<usize>,
    pub pauses: Cell<usize>,
    pub locked: Cell<bool>,
    pub boot_id: RefCell<String>,
    /// What the PF's interface is called.
    pub pf_name: RefCell<String>,
    pub records: RefCell<BTreeMap<DeviceId, (bool, Record)>>,
    /// Journals and complete records of bindings.
    pub bindings: RefCell<BTreeMap<DeviceId, JournalAndRecord>>,
    pub persistent: RefCell<BTreeMap<DeviceId, Persistent>>,
    /// What other plugins wrote down.
    pub neighbours: RefCell<Vec<Found>>,
    pub resizes: RefCell<BTreeMap<DeviceId, Resize>>,
    /// Whether the PF is an InfiniBand card.
    pub infiniband: Cell<bool>,
    /// VFs whose MAC the PF has set, and not merely lists.
    pf_set: RefCell<BTreeSet<u16>>,
    operations: Cell<usize>,
    writes: Cell<usize>,
    dead: Cell<bool>,
    clock: Cell<Duration>,
    next: Cell<u32>,
}

pub struct Unlock;

impl FakeKernel {
    /// A PF that allows seven VFs and has `count`, as its driver makes them.
    pub fn with_vfs(count: u32) -> Self {
        let kernel = Self {
            world: RefCell::new(World {
                total: 7,
                autoprobe: Some(true),
                vfs: BTreeMap::new(),
                namespaces: BTreeMap::new(),
                host_others: BTreeSet::new(),
                noiommu: false,
                drivers: ["igbvf", "vfio-pci", "uio_pci_generic", "e1000e", "some_vfio_pci"]
                    .map(str::to_owned)
                    .into(),
            }),
            faults: RefCell::default(),
            applied: Cell::new(0),
            observed: Cell::new(0),
            pauses: Cell::new(0),
            locked: Cell::new(false),
            boot_id: RefCell::new("boot".into()),
            pf_name: RefCell::new("eth0".into()),
            records: RefCell::default(),
            bindings: RefCell::default(),
            persistent: RefCell::default(),
            neighbours: RefCell::default(),
            resizes: RefCell::default(),
            infiniband: Cell::new(false),
            pf_set: RefCell::default(),
            operations: Cell::new(0),
            writes: Cell::new(0),
            dead: Cell::new(false),
            clock: Cell::new(Duration::ZERO),
            next: Cell::new(10),
        };
        for index in 0..count {
            kernel.make_vf(index as u16);
        }
        kernel
    }

    pub fn world(&self) -> World {
        self.world.borrow().clone()
    }

    pub fn change_vf(&self, index: u16, change: impl FnOnce(&mut VfState)) {
        change(self.world.borrow_mut().vfs.get_mut(&index).unwrap());
    }

    /// Sets faults that count from now, for a program that is started anew.
    pub fn begin_with(&self, faults: Faults) {
        *self.faults.borrow_mut() = faults;
        self.applied.set(0);
        self.operations.set(0);
        self.writes.set(0);
        self.dead.set(false);
    }

    /// A namespace dies: what was in it comes back to the host under the name it had there.
    pub fn delete_netns(&self, inode: u64) {
        let mut world = self.world.borrow_mut();
        world.namespaces.remove(&inode);
        let mut taken = names_in(&world, None);
        for netdev in world.vfs.values_mut().filter_map(|vf| vf.netdev.as_mut()) {
            if netdev.netns == Some(inode) {
                netdev.netns = None;
                netdev.up = false;
                netdev.addresses.clear();
                netdev.routes.clear();
                if taken.contains(&netdev.name) {
                    let mut free = (0..).map(|n| format!("dev{n}"));
                    netdev.name = free.find(|name| !taken.contains(name)).unwrap();
                }
                netdev.altnames.retain(|alt| !taken.contains(alt));
                taken.insert(netdev.name.clone());
                taken.extend(netdev.altnames.iter().cloned());
            }
        }
    }

    /// The machine starts anew: VFs as their driver makes them, other namespaces; records are kept.
    #[allow(dead_code, reason = "of histories")]
    pub fn reboot(&self) {
        let count = self.world.borrow().vfs.len();
        self.world.borrow_mut().vfs.clear();
        (0..count).for_each(|index| self.make_vf(index as u16));
        self.boot_id.borrow_mut().push('+');
        self.neighbours.borrow_mut().iter_mut().for_each(|found| found.of_this_boot = false);
    }

    /// An operation that writes to the disk.
    fn write(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.operation(|| {
            let nth = self.writes.replace(self.writes.get() + 1);
            if self.faults.borrow().full == Some(nth) {
                return Err(Error::os("writing a record", 28));
            }
            work()
        })
    }

    /// Runs one operation unless the program is, or comes to be, dead.
    fn operation<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let died = || Err(Error::new(Kind::Failed, "the program is dead"));
        let nth = self.operations.replace(self.operations.get() + 1);
        let dies = self.faults.borrow().dies.filter(|(at, _)| *at == nth);
        if self.dead.get() || dies == Some((nth, false)) {
            self.dead.set(true);
            return died();
        }
        let done = work();
        if dies.is_some() {
            self.dead.set(true);
            return died();
        }
        done
    }

    /// Whether the program died on the way.
    pub fn died(&self) -> bool {
        self.dead.get()
    }

    fn new_netdev(&self, index: u16) -> Option<Netdev> {
        let faults = self.faults.borrow();
        if faults.no_netdevs || faults.stuck == Some(index) {
            return None;
        }
        let taken = names_in(&self.world.borrow(), None);
        // By its place, as udev names them.
        let by_place = Some(index + 1).filter(|number| *number < 8);
        let mut names = by_place.into_iter().chain(1..1000).map(|n| format!("eth{n}"));
        let name = names.find(|name| !taken.contains(name)).unwrap();
        let ifindex = self.next.get();
        self.next.set(ifindex + 1);
        let [_, _, c, d] = ifindex.to_be_bytes();
        Some(Netdev {
            name,
            mac: MacAddr([0xf2, 0xaa, 0, 0, c, d]), // as random as igbvf's
            mtu: 1500,
            altnames: Vec::new(),
            up: false,
            promisc: false,
            netns: None,
            addresses: Vec::new(),
            routes: Vec::new(),
            ifindex,
            appears: self.clock.get() + faults.netdev_delay,
        })
    }

    /// Gives the device of a VF a second port.
    pub fn add_second_port(&self, index: u16) {
        self.make_vf(index + SECOND_PORT);
    }

    fn make_vf(&self, index: u16) {
        let probes = self.world.borrow().autoprobe != Some(false);
        let netdev = probes.then(|| self.new_netdev(index)).flatten();
        let vf = VfState {
            settings: VfSettings {
                mac: Some(MacAddr::ZERO),
                vlan: Some(VlanTag::default()),
                min_tx_rate: Some(0),
                max_tx_rate: Some(0),
                spoofchk: Some(true),
                trust: Some(false),
                link_state: Some(LinkState::Auto),
                ..VfSettings::default()
            },
            driver: probes.then(|| VF_DRIVER.to_owned()),
            driver_override: None,
            netdev,
            users: Vec::new(),
            group: Some(u32::from(index)),
            node: None,
            dirty: false,
            incarnation: u64::from(self.next.replace(self.next.get() + 1)),
            vectors: None,
        };
        self.pf_set.borrow_mut().remove(&index);
        self.world.borrow_mut().vfs.insert(index, vf);
    }

    fn apply_alive(&self, step: &Step) -> Result<Outcome> {
        let nth = self.applied.replace(self.applied.get() + 1);
        if let Some((_, errno)) = self.faults.borrow().refuse.filter(|(at, _)| *at == nth) {
            return Err(Self::refused(step, errno));
        }
        let before = self.world();
        if let Step::SetNumVfs { count, .. } = step
            && before.vfs.len() == *count as usize
        {
            return Ok(Outcome::AlreadySo);
        }
        self.change(step)?;
        Ok(if self.world() == before { Outcome::AlreadySo } else { Outcome::Changed })
    }

    fn users(&self, index: u16, vf: &VfState) -> Vec<User> {
        let mut users = vf.users.clone();
        if self.records.borrow().contains_key(&device_of(index)) {
            users.push(User::Record("somebody".into()));
        }
        if let Some(netdev) = &vf.netdev {
            let away = netdev.netns.map(|inode| Arc::new(Netns { inode, ..Netns::default() }));
            users.extend(away.map(User::Netns));
            users.extend((netdev.up && netdev.netns.is_none()).then_some(User::Up));
        }
        users
    }

    fn refused(step: &Step, errno: i32) -> Error {
        explain::step(step, errno, "eth0", Some("igb"))
    }

    fn change(&self, step: &Step) -> Result<()> {
        let faults = self.faults.borrow().clone();
        let mut world = self.world.borrow_mut();
        if let Some((index, step)) = of_driver(step) {
            drop(world);
            return self.change_driver(step, index);
        }
        if let Some(device) = step.device() {
            let index = index_of(device);
            let pf_set = self.pf_set.borrow().contains(&index);
            let fixed = pf_set || faults.keeps_own_mac;
            return Self::change_interface(&mut world, step, index, fixed);
        }
        if let Step::LoadDriver { driver } = step
            && !world.drivers.contains(driver)
        {
            return Err(explain::no_driver(driver, None));
        }
        let vf = step.vf().map(index_of_vf);
        let vf = vf.map(|index| world.vfs.get_mut(&index).ok_or_else(|| Self::refused(step, 19)));
        match step {
            Step::SetNumVfs { count, .. } => {
                if faults.stalls {
                    return Err(Error::new(Kind::TimedOut, "the write does not end"));
                }
                world.vfs.clear();
                drop(world);
                let made = faults.makes_at_most.unwrap_or(u32::MAX).min(*count);
                (0..made).for_each(|index| self.make_vf(index as u16));
                if made != *count {
                    return Err(Error::new(Kind::Unsupported, "accepted, but made fewer"));
                }
            }
            Step::SetAutoprobe { on, .. } => world.autoprobe = Some(*on),
            Step::LoadDriver { .. } => {}
            Step::AllowNoIommu { on } => world.noiommu = *on,
            Step::SetVf { attr, .. } => {
                let settings = &mut vf.unwrap()?.settings;
                match *attr {
                    VfAttr::Mac(MacAddr::ZERO) if faults.refuses_zero_mac => {
                        return Err(Self::refused(step, 22));
                    }
                    VfAttr::Mac(mac) => {
                        settings.mac = Some(mac);
                        let index = index_of_vf(step.vf().unwrap());
                        let mut pf_set = self.pf_set.borrow_mut();
                        let _ = if mac.is_zero() {
                            pf_set.remove(&index)
                        } else {
                            pf_set.insert(index)
                        };
                    }
                    VfAttr::Vlan(_) if faults.refuses_vlan => return Err(Self::refused(step, 95)),
                    VfAttr::Vlan(tag) => settings.vlan = Some(tag),
                    VfAttr::Rate { min, max } => {
                        (settings.min_tx_rate, settings.max_tx_rate) = (Some(min), Some(max));
                    }
                    VfAttr::Spoofchk(on) => settings.spoofchk = Some(on),
                    VfAttr::Trust(_) if faults.drops_trust => {}
                    VfAttr::Trust(false) if faults.drops_trust_off => {}
                    VfAttr::Trust(on) => settings.trust = Some(on),
                    VfAttr::LinkState(state) => settings.link_state = Some(state),
                    VfAttr::QueryRss(on) => settings.query_rss = Some(on),
                    VfAttr::NodeGuid(guid) => settings.node_guid = Some(guid.0),
                    VfAttr::PortGuid(guid) => settings.port_guid = Some(guid.0),
                }
            }
            Step::SetVectors { count, .. } => {
                let vf = vf.unwrap()?;
                match &mut vf.vectors {
                    None => return Err(Self::refused(step, 95)),
                    Some(_) if vf.driver.is_some() => return Err(Self::refused(step, 16)),
                    Some(has) => *has = *count,
                }
            }
            Step::SetLink { attr, vf: of } => {
                if let LinkAttr::Name(name) = attr {
                    // An altname keeps others from the name, and its own interface, too.
                    let mut others = world.clone();
                    let own = others.vfs.remove(&of.index.0).and_then(|vf| vf.netdev);
                    let is_own = own.is_some_and(|netdev| netdev.altnames.contains(name));
                    if is_own || names_in(&others, None).contains(name) {
                        return Err(Self::refused(step, 17));
                    }
                }
                let vf = world.vfs.get_mut(&of.index.0).unwrap();
                let pf_set = self.pf_set.borrow().contains(&of.index.0);
                let trusted = vf.settings.trust == Some(true);
                let netdev = vf.netdev.as_mut().ok_or_else(|| Self::refused(step, 19))?;
                match attr {
                    // igb: once the PF has set it, an untrusted VF may not change its own.
                    LinkAttr::Mac(_) if faults.keeps_own_mac || (pf_set && !trusted) => {
                        return Err(Self::refused(step, 99));
                    }
                    LinkAttr::Mac(mac) => {
                        netdev.mac = *mac;
                        vf.settings.mac = Some(*mac); // and igb lists it as if the host had
                    }
                    LinkAttr::Mtu(mtu) => netdev.mtu = *mtu,
                    LinkAttr::Name(name) => netdev.name.clone_from(name),
                }
            }
            _ => unreachable!("is about a device"),
        }
        Ok(())
    }

    fn change_driver(&self, step: &Step, index: u16) -> Result<()> {
        let mut world = self.world.borrow_mut();
        let noiommu = world.noiommu;
        let pf_set = self.pf_set.borrow().contains(&index);
        let refused = |errno| Err(Self::refused(step, errno));
        let Some(vf) = world.vfs.get_mut(&index) else { return refused(19) };
        match step {
            Step::SetOverride { driver, .. } => vf.driver_override.clone_from(driver),
            // What the interface told the PF is forgotten with it.
            Step::Unbind { .. } => {
                (vf.driver, vf.netdev, vf.node) = (None, None, None);
                vf.settings.mac =
                    vf.settings.mac.map(|mac| if pf_set { mac } else { MacAddr::ZERO });
            }
            Step::Reset { .. } => vf.dirty = false,
            Step::SetNode { access, .. } => {
                let Some((uid, gid, mode)) = &mut vf.node else { return refused(2) };
                *uid = access.uid.unwrap_or(*uid);
                *gid = access.gid.unwrap_or(*gid);
                *mode = access.mode.unwrap_or(*mode);
            }
            Step::Bind { driver, .. } => {
                if vf.driver.is_some() {
                    return refused(16);
                }
                if vf.driver_override.as_ref().is_some_and(|only| only != driver) {
                    return refused(19);
                }
                let forced = vf.driver_override.as_ref() == Some(driver);
                match driver.as_str() {
                    VF_DRIVER => {}
                    "vfio-pci" | "some_vfio_pci" if vf.group.is_none() && !noiommu => {
                        return refused(22);
                    }
                    "vfio-pci" | "some_vfio_pci" | "uio_pci_generic" if forced => {
                        vf.node = Some((0, 0, 0o600));
                        vf.dirty = true; // whatever runs there leaves something behind
                    }
                    _ => return refused(19),
                }
                vf.driver = Some(driver.clone());
                if driver == VF_DRIVER {
                    drop(world);
                    self.faults.borrow_mut().stuck = None;
                    let netdev = self.new_netdev(index);
                    self.change_vf(index, |vf| {
                        vf.netdev = netdev;
                        // A VF driver takes the MAC that the PF has set.
                        let admin = vf.settings.mac.filter(|mac| !mac.is_zero());
                        if let (Some(netdev), Some(mac)) = (&mut vf.netdev, admin) {
                            netdev.mac = mac;
                        }
                    });
                }
            }
            _ => unreachable!("is about a driver"),
        }
        Ok(())
    }

    fn change_interface(world: &mut World, step: &Step, index: u16, pf_set: bool) -> Result<()> {
        let refused = |errno| Err(Self::refused(step, errno));
        let place = |at: &Place| match at {
            Place::Host => None,
            Place::Netns(id) => Some(id.inode),
        };
        let at = match step {
            Step::Link { at, .. } | Step::AltNames { at, .. } => place(at),
            Step::BringHome { at, .. } | Step::Configure { at, .. } => Some(at.inode),
            _ => unreachable!("is about a device"),
        };
        let taken = |world: &World, place: Option<u64>| -> BTreeSet<String> {
            let mut others = world.clone();
            others.vfs.remove(&index);
            names_in(&others, place)
        };
        let there = taken(world, at);
        let on_host = taken(world, None);
        let target = match step {
            Step::Link { set: LinkSet { to: Some(to), .. }, .. } => {
                if !world.namespaces.contains_key(&to.inode) {
                    return refused(2);
                }
                Some((to.inode, taken(world, Some(to.inode))))
            }
            _ => None,
        };
        let Some(vf) = world.vfs.get_mut(&index) else { return refused(19) };
        let settings = &mut vf.settings;
        let Some(netdev) = vf.netdev.as_mut().filter(|netdev| netdev.netns == at) else {
            return refused(19);
        };
        match step {
            Step::Link { set, .. } => {
                if let Some(name) = &set.name {
                    let names = target.as_ref().map_or(&there, |(_, names)| names);
                    if names.contains(name) || netdev.altnames.contains(name) {
                        return refused(17);
                    }
                }
                if let Some(mac) = set.mac {
                    if pf_set && settings.trust != Some(true) {
                        return refused(99);
                    }
                    netdev.mac = mac;
                    settings.mac = Some(mac);
                }
                if let Some(mtu) = set.mtu {
                    netdev.mtu = mtu;
                    tell_own_mac(settings, netdev); // igbvf resets
                }
                if set.quiet {
                    netdev.promisc = false;
                }
                if let Some(up) = set.up {
                    netdev.up = up;
                    tell_own_mac(settings, netdev);
                }
                if let Some((inode, _)) = target {
                    netdev.netns = Some(inode);
                    netdev.up = false;
                    netdev.addresses.clear();
                    netdev.routes.clear();
                }
                if let Some(name) = &set.name {
                    netdev.name.clone_from(name);
                }
            }
            Step::BringHome { name, detour, .. } => {
                let in_the_way = there.contains(name) || netdev.altnames.contains(name);
                if on_host.contains(name) || (in_the_way && !detour && netdev.name != *name) {
                    return refused(17);
                }
                netdev.altnames.retain(|alt| alt != name);
                if netdev.altnames.iter().any(|alt| on_host.contains(alt)) {
                    return refused(17);
                }
                netdev.name.clone_from(name);
                netdev.netns = None;
                netdev.up = false;
                netdev.addresses.clear();
                netdev.routes.clear();
            }
            Step::AltNames { add, remove, .. } => {
                netdev.altnames.retain(|alt| !remove.contains(alt));
                for alt in add {
                    if there.contains(alt) || netdev.name == *alt {
                        return refused(17);
                    }
                    netdev.altnames.push(alt.clone());
                }
            }
            Step::Configure { config, .. } => {
                netdev.addresses = config.addresses.iter().map(ToString::to_string).collect();
                netdev.routes = config.routes.iter().map(Route::listed).collect();
                netdev.up = true;
                tell_own_mac(settings, netdev);
            }
            _ => unreachable!("is about a device"),
        }
        Ok(())
    }
}

/// The VF of a step about a driver.
fn of_driver(step: &Step) -> Option<(u16, &Step)> {
    let index = |of: &Subject| match of {
        Subject::Vf(vf) => vf.index.0,
        Subject::Device(device) => index_of(device),
    };
    match step {
        Step::SetOverride { of, .. } | Step::Unbind { of } | Step::Bind { of, .. } => {
            Some((index(of), step))
        }
        Step::Reset { device } | Step::SetNode { device, .. } => Some((index_of(device), step)),
        _ => None,
    }
}

/// A VF that resets or comes up makes its own MAC known to the PF, which lists it as if the host
/// had set it.
fn tell_own_mac(settings: &mut VfSettings, netdev: &Netdev) {
    if settings.mac == Some(MacAddr::ZERO) {
        settings.mac = Some(netdev.mac);
    }
}

/// Names and altnames in a namespace.
pub fn names_in(world: &World, place: Option<u64>) -> BTreeSet<String> {
    let others = match place {
        None => Some(&world.host_others),
        Some(inode) => world.namespaces.get(&inode),
    };
    let netdevs = world.vfs.values().filter_map(|vf| vf.netdev.as_ref());
    let here = netdevs.filter(|netdev| netdev.netns == place);
    let names = here.flat_map(|netdev| netdev.altnames.iter().chain([&netdev.name]));
    names.chain(others.into_iter().flatten()).cloned().collect()
}

/// What is added to the number of a VF for the second port of its device, which is kept as a VF of
/// its own.
pub const SECOND_PORT: u16 = 1000;

/// The device of a VF.
pub fn device_of(index: u16) -> DeviceId {
    let first: DeviceId = format!("0000:01:10.{}", index % SECOND_PORT).parse().unwrap();
    first.with_port(index / SECOND_PORT)
}

fn index_of(device: &DeviceId) -> u16 {
    let index: u16 = device.name().rsplit('.').next().unwrap().parse().unwrap();
    index + device.port() * SECOND_PORT
}

/// The VF that a setting is of.
fn index_of_vf(vf: &VfRef) -> u16 {
    vf.index.0 + vf.pf.port() * SECOND_PORT
}

/// A namespace by its inode. Those that had a name one after the other differ by this.
pub const NEXT_OF_THE_NAME: u64 = 1000;

/// A namespace by its inode.
pub fn netns(inode: u64) -> NetnsId {
    let name = inode % NEXT_OF_THE_NAME;
    NetnsId { path: format!("/run/netns/{name}"), device: 4, inode }
}

fn link_of(netdev: &Netdev) -> Link {
    Link {
        ifindex: netdev.ifindex,
        name: netdev.name.clone(),
        altnames: netdev.altnames.clone(),
        mac: Some(netdev.mac),
        mtu: Some(netdev.mtu),
        up: Some(netdev.up),
        promisc: netdev.promisc,
        netns: netdev.netns.map(|inode| Arc::new(Netns { inode, ..Netns::default() })),
        ..Link::default()
    }
}

impl Surroundings for FakeKernel {
    fn ground(&self, device: &DeviceId) -> Result<Ground> {
        let world = self.world.borrow();
        let vf = world.vfs.get(&index_of(device));
        let member = |(index, vf): (&u16, &VfState)| Member {
            device: device_of(*index),
            driver: vf.driver.clone(),
            bridge: false,
        };
        let group = vf.and_then(|vf| vf.group).map(|number| Group {
            number,
            noiommu: false,
            members: world
                .vfs
                .iter()
                .filter(|(_, vf)| vf.group == Some(number))
                .map(member)
                .collect(),
        });
        Ok(Ground {
            pf_driver: Some("igb".into()),
            id: Some(PciId { vendor: 0x8086, device: 0x10ca }),
            group,
            native: vec![VF_DRIVER.into()],
            can_reset: true,
            ..Ground::default()
        })
    }

    fn vectors(&self, device: &DeviceId) -> Result<Vectors> {
        let count = self.world.borrow().vfs.get(&index_of(device)).and_then(|vf| vf.vectors);
        Ok(Vectors { count, can_change: count.is_some() })
    }

    fn platform(&self) -> Result<Platform> {
        let noiommu = if self.world.borrow().noiommu { NoIommu::On } else { NoIommu::Off };
        Ok(Platform { noiommu, ..Platform::default() })
    }

    fn driver_state(&self, driver: &str) -> Result<DriverState> {
        let known = self.world.borrow().drivers.contains(driver);
        Ok(if known { DriverState::Loaded } else { DriverState::Unknown(None) })
    }

    fn device_of(&self, _: &str) -> Option<DeviceId> {
        None
    }

    fn uppers_elsewhere(&self, _: u32) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn account(&self, name: &str, _: Account) -> Result<u32> {
        Err(Error::new(Kind::NotFound, name))
    }

    fn persistent(&self, device: &DeviceId) -> Result<Option<Persistent>> {
        Ok(self.persistent.borrow().get(device).cloned())
    }

    fn persist(&self, device: &DeviceId, kept: Option<&Persistent>) -> Result<Outcome> {
        match kept {
            Some(kept) => drop(self.persistent.borrow_mut().insert(device.clone(), kept.clone())),
            None => drop(self.persistent.borrow_mut().remove(device)),
        }
        Ok(Outcome::Changed)
    }

    fn texts(&self, path: &str) -> Result<Vec<(String, String)>> {
        Err(Error::new(Kind::NotFound, path))
    }

    fn apply_at_boot(&self, _: &str, _: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn link_to_program(&self, _: &str, _: &[&str]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn hugepages(&self) -> Result<Vec<HugePages>> {
        Ok(Vec::new())
    }

    fn host_netns(&self) -> Result<NetnsId> {
        Ok(netns(1))
    }
}

impl Kernel for FakeKernel {
    type Guard = Unlock;

    fn observe(&self, _: Scope) -> Result<Inventory> {
        self.observed.set(self.observed.get() + 1);
        let world = self.world.borrow();
        let device: DeviceId = PF.parse::<PciAddress>().unwrap().into();
        let first_ports = world.vfs.iter().filter(|(index, _)| **index < SECOND_PORT);
        let vfs = first_ports.map(|(index, vf)| {
            let seen = vf.netdev.as_ref().filter(|netdev| netdev.appears <= self.clock.get());
            Vf {
                facts: VfFacts {
                    index: VfIndex(*index),
                    device: Some(device_of(*index)),
                    driver: vf.driver.clone(),
                    driver_override: vf.driver_override.clone(),
                    iommu_group: None,
                    node: None,
                },
                netdevs: seen.map(link_of).into_iter().collect(),
                representor: None,
                settings: Some(vf.settings.clone()),
                stats: None,
                users: self.users(*index, vf),
            }
        });
        let pf = Pf {
            facts: PfFacts {
                class: Some(0x02_0000),
                driver: Some("igb".into()),
                total_vfs: Some(world.total),
                autoprobe: world.autoprobe,
                ..PfFacts::of(device)
            },
            netdevs: vec![Link {
                ifindex: 2,
                name: self.pf_name.borrow().clone(),
                up: Some(true),
                mtu: Some(1500),
                infiniband: self.infiniband.get(),
                ..Link::default()
            }],
            vfs: vfs.collect(),
        };
        Ok(Inventory { pfs: vec![pf], ..Inventory::default() })
    }

    fn stock(&self, pfs: &[PfName<'_>]) -> Result<Option<Vec<Stock>>> {
        let pf = PF.parse::<PciAddress>().unwrap();
        let world = self.world.borrow();
        let first_ports = world.vfs.iter().filter(|(index, _)| **index < SECOND_PORT);
        let items = first_ports.map(|(index, vf)| {
            let device = device_of(*index);
            let netdev = vf.netdev.as_ref();
            let state = if netdev.is_some_and(|netdev| netdev.up || netdev.netns.is_some()) {
                State::Used
            } else if self.records.borrow().contains_key(&device) {
                State::Recorded
            } else {
                State::Free
            };
            Item { index: VfIndex(*index), device, state }
        });
        let stock = Stock { pf: pf.into(), numa_node: None, vfs: items.collect() };
        let is_it = |name: &PfName<'_>| match name {
            PfName::Pci(address) => *address == pf,
            PfName::Netdev(name) => *name == *self.pf_name.borrow(),
        };
        Ok(pfs.iter().map(|name| is_it(name).then(|| stock.clone())).collect())
    }

    fn apply(&self, step: &Step, _: Duration) -> Result<Outcome> {
        self.operation(|| self.apply_alive(step))
    }

    /// As the real one: nothing is believed to have changed but where the interface is, and the settings.
    fn inspect_moved(
        &self,
        before: &Seen,
        at: &NetnsId,
        ifname: &str,
        with_ip: bool,
    ) -> Result<Seen> {
        let look = if with_ip { Self::inspect_with_ip } else { Self::inspect };
        let now = look(self, &before.device, Some(at))?;
        let is_there = |(place, link): &(Place, Link)| {
            *place == Place::Netns(at.clone()) && link.name == ifname
        };
        if !now.link.as_ref().is_some_and(is_there) {
            return Ok(now);
        }
        let Seen { link, addresses, routes, settings, .. } = now;
        Ok(Seen { link, addresses, routes, settings, ..before.clone() })
    }

    fn apply_at_once(&self, steps: &[Step]) -> bool {
        let takes_many = self.faults.borrow().takes_many;
        takes_many && steps.iter().all(|step| self.apply(step, Duration::MAX).is_ok())
    }

    fn lock_pf(&self, pf: &DeviceId, _: Duration) -> Result<Unlock> {
        if self.locked.get() {
            return Err(Error::new(Kind::Busy, format!("{pf} is being changed")));
        }
        Ok(Unlock)
    }

    fn lock_device(&self, device: &DeviceId, _: Option<&DeviceId>, _: Duration) -> Result<Unlock> {
        self.lock_pf(device, Duration::ZERO)
    }

    fn lock_call(&self, _: &str, _: &str, _: Duration) -> Result<Unlock> {
        Ok(Unlock)
    }

    fn inspect(&self, device: &DeviceId, hint: Option<&NetnsId>) -> Result<Seen> {
        let seen = self.inspect_with_ip(device, hint)?;
        Ok(Seen { addresses: Vec::new(), routes: Vec::new(), ..seen })
    }

    fn inspect_with_ip(&self, device: &DeviceId, hint: Option<&NetnsId>) -> Result<Seen> {
        let world = self.world.borrow();
        let index = index_of(device);
        let vf = world.vfs.get(&index);
        let netdev = vf.and_then(|vf| vf.netdev.as_ref());
        let netdev = netdev.filter(|netdev| netdev.appears <= self.clock.get());
        let mut others = world.clone();
        others.vfs.remove(&index);
        let place =
            netdev.map(|netdev| netdev.netns.map_or(Place::Host, |i| Place::Netns(netns(i))));
        Ok(Seen {
            device: device.clone(),
            exists: vf.is_some(),
            incarnation: vf.map(|vf| vf.incarnation),
            vf_of: Some(VfOf {
                pf: PF.parse::<DeviceId>().unwrap().with_port(device.port()),
                index: VfIndex(index % SECOND_PORT),
            }),
            name: match device.port() {
                0 => format!("{}#{index}", self.pf_name.borrow()),
                port => format!("eth{port}#{}", index % SECOND_PORT),
            },
            pf_netdev: Some(self.pf_name.borrow().clone()),
            pf_mtu: Some(1500),
            driver: vf.and_then(|vf| vf.driver.clone()),
            driver_override: vf.and_then(|vf| vf.driver_override.clone()),
            link: place.zip(netdev.map(link_of)),
            ports: {
                let second = device_of(index % SECOND_PORT + SECOND_PORT);
                let has = world.vfs.get(&index_of(&second)).and_then(|vf| vf.netdev.as_ref());
                let is_here =
                    device.port() == 0 && has.is_some_and(|netdev| netdev.netns.is_none());
                is_here.then_some(second).into_iter().collect()
            },
            node: None,
            addresses: netdev
                .map(|netdev| netdev.addresses.iter().map(|text| text.parse().unwrap()).collect())
                .unwrap_or_default(),
            routes: netdev.map(|netdev| netdev.routes.clone()).unwrap_or_default(),
            settings: vf.map(|vf| vf.settings.clone()),
            host_names: names_in(&others, None),
            there_names: netdev
                .filter(|netdev| netdev.netns.is_some())
                .map(|netdev| names_in(&others, netdev.netns))
                .unwrap_or_default(),
            // As the real one: who uses it is looked for only where it is not known whose it is.
            users: vf
                .filter(|_| hint.is_none())
                .map(|vf| self.users(index, vf))
                .unwrap_or_default()
                .into_iter()
                .filter(|user| !matches!(user, User::Record(_)))
                .collect(),
        })
    }

    fn pf_of(&self, device: &DeviceId) -> Option<DeviceId> {
        let is_there = self.world.borrow().vfs.contains_key(&index_of(device));
        (device.name() != PF && is_there).then(|| PF.parse().unwrap())
    }

    fn find_netns(&self, choice: &NetnsChoice) -> Result<NetnsId> {
        let none = || Error::new(Kind::NotFound, format!("there is no namespace {choice:?}"));
        let NetnsChoice::Named(path) = choice else { return Err(none()) };
        let name: Option<u64> = path.rsplit('/').next().and_then(|name| name.parse().ok());
        let world = self.world.borrow();
        let mut all = world.namespaces.keys().copied();
        let inode = all.find(|inode| Some(inode % NEXT_OF_THE_NAME) == name);
        inode.map(netns).ok_or_else(none)
    }

    fn namespaces(&self) -> Result<Vec<Netns>> {
        let world = self.world.borrow();
        let one =
            |inode: &u64| Netns { inode: *inode, path: netns(*inode).path, ..Netns::default() };
        Ok(world.namespaces.keys().map(one).collect())
    }

    fn look_into(&self, id: &NetnsId, _: &[String]) -> Result<Option<Target>> {
        let world = self.world.borrow();
        let is_there = world.namespaces.contains_key(&id.inode);
        let names = names_in(&world, Some(id.inode));
        Ok(is_there.then(|| Target { netns: id.clone(), is_host: false, taken: names }))
    }

    fn announce(&self, _: &DeviceId, _: &NetnsId, _: &[Cidr]) {}

    fn is_named(&self, _: u32) -> bool {
        true
    }

    fn num_vfs(&self, _: &DeviceId) -> Result<Option<u32>> {
        Ok(u32::try_from(self.world.borrow().vfs.len()).ok())
    }

    fn pause(&self, time: Duration) {
        self.pauses.set(self.pauses.get() + 1);
        self.clock.set(self.clock.get() + time);
    }

    fn now(&self) -> Duration {
        self.clock.get()
    }
}

impl Neighbours for FakeKernel {
    type Hold = ();

    fn neighbour(&self, place: &Where<'_>) -> Result<Option<Found>> {
        let is_it = |found: &&Found| found.is_of(place.container, place.ifname);
        Ok(self.neighbours.borrow().iter().find(is_it).cloned())
    }

    fn neighbours(&self, _: Option<&str>) -> Result<Vec<Found>> {
        Ok(self.neighbours.borrow().clone())
    }

    fn tell_neighbours(
        &self,
        place: &Where<'_>,
        _: &DeviceId,
        netns: &str,
        (document, _): (&serde_json::Value, bool),
    ) -> Result<()> {
        let path = self.told_at(place);
        self.write(|| {
            let mut all = self.neighbours.borrow_mut();
            all.retain(|found| found.path != path);
            all.push(Found {
                name: path.clone(),
                netns: Some(netns.to_owned()),
                of_this_boot: true,
                inode: None,
                path: path.clone(),
                says: Neighbour::parse(document).unwrap(),
            });
            Ok(())
        })
    }

    fn tell_container(
        &self,
        place: &Where<'_>,
        inode: u64,
        _: &serde_json::Value,
    ) -> Result<String> {
        Ok(self.container_told_at(place, inode))
    }

    fn container_told_at(&self, place: &Where<'_>, inode: u64) -> String {
        format!("{inode}/{}-{}.json", place.container, place.ifname)
    }

    fn told_at(&self, place: &Where<'_>) -> String {
        format!("{}-{}", place.container, place.ifname)
    }

    fn hold(&self, _: &DeviceId, _: Duration) -> Result<()> {
        Ok(())
    }
}

impl Store for FakeKernel {
    fn stored(&self, shelf: Shelf, device: &DeviceId) -> Result<Option<Stored>> {
        Ok(match shelf {
            Shelf::Attachments => {
                self.records.borrow().get(device).cloned().map(|(finished, record)| {
                    if finished { Stored::Attached(record) } else { Stored::Unfinished(record) }
                })
            }
            Shelf::Bindings => {
                self.bindings.borrow().get(device).cloned().and_then(|(journal, complete)| {
                    journal.map(Stored::Unfinished).or(complete.map(Stored::Attached))
                })
            }
        })
    }

    fn all_stored(&self, shelf: Shelf) -> Result<Vec<Stored>> {
        let devices: Vec<DeviceId> = match shelf {
            Shelf::Attachments => self.records.borrow().keys().cloned().collect(),
            Shelf::Bindings => self.bindings.borrow().keys().cloned().collect(),
        };
        Ok(devices.iter().filter_map(|device| self.stored(shelf, device).unwrap()).collect())
    }

    fn begin(&self, shelf: Shelf, record: &Record) -> Result<()> {
        let (device, record) = (record.device.clone(), record.clone());
        self.write(|| {
            match shelf {
                Shelf::Attachments => {
                    self.records.borrow_mut().insert(device, (false, record));
                }
                Shelf::Bindings => {
                    self.bindings.borrow_mut().entry(device).or_default().0 = Some(record);
                }
            }
            Ok(())
        })
    }

    fn commit(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        self.write(|| {
            match shelf {
                Shelf::Attachments => self.records.borrow_mut().get_mut(device).unwrap().0 = true,
                Shelf::Bindings => {
                    let mut bindings = self.bindings.borrow_mut();
                    let kept = bindings.get_mut(device).unwrap();
                    kept.1 = kept.0.take();
                }
            }
            Ok(())
        })
    }

    fn abandon(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        self.write(|| {
            match shelf {
                Shelf::Attachments => {
                    self.records.borrow_mut().retain(|of, (done, _)| of != device || *done);
                }
                Shelf::Bindings => {
                    let mut bindings = self.bindings.borrow_mut();
                    if let Some(kept) = bindings.get_mut(device) {
                        kept.0 = None;
                    }
                    bindings.retain(|_, (journal, record)| journal.is_some() || record.is_some());
                }
            }
            Ok(())
        })
    }

    fn forget(&self, shelf: Shelf, device: &DeviceId) -> Result<()> {
        self.write(|| {
            match shelf {
                Shelf::Attachments => drop(self.records.borrow_mut().remove(device)),
                Shelf::Bindings => drop(self.bindings.borrow_mut().remove(device)),
            }
            Ok(())
        })
    }

    fn allocated(&self, device: &DeviceId) -> Option<String> {
        let all = self.neighbours.borrow();
        all.iter().rev().find(|found| found.says.device == *device)?.netns.clone()
    }

    fn untell(&self, path: &str, _: &DeviceId, _: Option<&str>) -> Result<()> {
        self.write(|| {
            self.neighbours.borrow_mut().retain(|found| found.path != path);
            Ok(())
        })
    }

    fn set_aside(&self, _: Shelf, _: &DeviceId) -> Result<String> {
        unreachable!("records in memory are always whole")
    }

    fn begin_resize(&self, resize: &Resize) -> Result<()> {
        self.write(|| {
            self.resizes.borrow_mut().insert(resize.pf.clone(), resize.clone());
            Ok(())
        })
    }

    fn resizes(&self) -> Result<Vec<Resize>> {
        Ok(self.resizes.borrow().values().cloned().collect())
    }

    fn end_resize(&self, pf: &DeviceId) -> Result<()> {
        self.write(|| {
            self.resizes.borrow_mut().remove(pf);
            Ok(())
        })
    }

    fn moment(&self) -> Result<Moment> {
        Ok(Moment { boot_id: self.boot_id.borrow().clone(), time: 1 })
    }
}
