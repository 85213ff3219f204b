//! A kernel with one PF, small enough to be obviously right.
#![allow(clippy::cast_possible_truncation)] // VF numbers are below 8

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use sriovctl::engine::Kernel;
use sriovctl::model::explain;
use sriovctl::model::facts::{PfFacts, Scope, VfFacts};
use sriovctl::model::ids::{DeviceId, MacAddr, PciAddress, VfIndex};
use sriovctl::model::inventory::{Inventory, Pf, Vf};
use sriovctl::model::link::{Link, LinkState, VfSettings, VlanTag};
use sriovctl::model::step::{LinkAttr, Outcome, Step, VfAttr};
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
}

#[derive(Debug, Clone, PartialEq)]
pub struct VfState {
    pub settings: VfSettings,
    pub driver: Option<String>,
    pub driver_override: Option<String>,
    pub netdev: Option<Netdev>,
    pub users: Vec<User>,
}

#[derive(Debug, Clone)]
pub struct Netdev {
    pub name: String,
    pub mac: MacAddr,
    pub mtu: u32,
    pub ifindex: u32,
    /// When it can be seen.
    pub appears: Duration,
}

/// The number of an interface does not survive, nor does anyone expect it to.
impl PartialEq for Netdev {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.mac, self.mtu) == (&other.name, other.mac, other.mtu)
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
    /// A setting that the driver does not know.
    pub refuses_vlan: bool,
    /// A write of the number of VFs never ends.
    pub stalls: bool,
}

pub struct FakeKernel {
    pub world: RefCell<World>,
    pub faults: RefCell<Faults>,
    pub applied: Cell<usize>,
    pub pauses: Cell<usize>,
    pub locked: Cell<bool>,
    clock: Cell<Duration>,
    next: Cell<u32>,
}

pub struct Unlock;

impl FakeKernel {
    /// A PF that allows seven VFs and has `count`, as its driver makes them.
    pub fn with_vfs(count: u32) -> Self {
        let kernel = Self {
            world: RefCell::new(World { total: 7, autoprobe: Some(true), vfs: BTreeMap::new() }),
            faults: RefCell::default(),
            applied: Cell::new(0),
            pauses: Cell::new(0),
            locked: Cell::new(false),
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

    fn new_netdev(&self, index: u16) -> Option<Netdev> {
        let faults = self.faults.borrow();
        if faults.no_netdevs || faults.stuck == Some(index) {
            return None;
        }
        let taken: Vec<String> = {
            let world = self.world.borrow();
            world.vfs.values().filter_map(|vf| vf.netdev.as_ref()).map(|n| n.name.clone()).collect()
        };
        let name = (1..1000).map(|n| format!("eth{n}")).find(|name| !taken.contains(name)).unwrap();
        let ifindex = self.next.get();
        self.next.set(ifindex + 1);
        let [_, _, c, d] = ifindex.to_be_bytes();
        Some(Netdev {
            name,
            mac: MacAddr([0xf2, 0xaa, 0, 0, c, d]), // as random as igbvf's
            mtu: 1500,
            ifindex,
            appears: self.clock.get() + faults.netdev_delay,
        })
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
        };
        self.world.borrow_mut().vfs.insert(index, vf);
    }

    fn refused(step: &Step, errno: i32) -> Error {
        explain::step(step, errno, "eth0", Some("igb"))
    }

    fn change(&self, step: &Step) -> Result<()> {
        let faults = self.faults.borrow().clone();
        let mut world = self.world.borrow_mut();
        let vf = step.vf().map(|vf| vf.index.0);
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
            Step::SetOverride { driver, .. } => vf.unwrap()?.driver_override.clone_from(driver),
            Step::Unbind { .. } => {
                let vf = vf.unwrap()?;
                (vf.driver, vf.netdev) = (None, None);
            }
            Step::Bind { driver, vf: of } => {
                let vf = vf.unwrap()?;
                if vf.driver_override.as_ref().is_some_and(|only| only != driver) {
                    return Err(Self::refused(step, 19));
                }
                vf.driver = Some(driver.clone());
                if driver == VF_DRIVER {
                    drop(world);
                    self.faults.borrow_mut().stuck = None;
                    let netdev = self.new_netdev(of.index.0);
                    self.change_vf(of.index.0, |vf| {
                        vf.netdev = netdev;
                        // A VF driver takes the MAC that the PF has set.
                        let admin = vf.settings.mac.filter(|mac| !mac.is_zero());
                        if let (Some(netdev), Some(mac)) = (&mut vf.netdev, admin) {
                            netdev.mac = mac;
                        }
                    });
                }
            }
            Step::SetVf { attr, .. } => {
                let settings = &mut vf.unwrap()?.settings;
                match *attr {
                    VfAttr::Mac(mac) => settings.mac = Some(mac),
                    VfAttr::Vlan(_) if faults.refuses_vlan => return Err(Self::refused(step, 95)),
                    VfAttr::Vlan(tag) => settings.vlan = Some(tag),
                    VfAttr::Rate { min, max } => {
                        (settings.min_tx_rate, settings.max_tx_rate) = (Some(min), Some(max));
                    }
                    VfAttr::Spoofchk(on) => settings.spoofchk = Some(on),
                    VfAttr::Trust(_) if faults.drops_trust => {}
                    VfAttr::Trust(on) => settings.trust = Some(on),
                    VfAttr::LinkState(state) => settings.link_state = Some(state),
                    VfAttr::QueryRss(on) => settings.query_rss = Some(on),
                }
            }
            Step::SetLink { attr, vf: of } => {
                if let LinkAttr::Name(name) = attr {
                    let taken = world.vfs.iter().any(|(index, vf)| {
                        *index != of.index.0
                            && vf.netdev.as_ref().is_some_and(|netdev| netdev.name == *name)
                    });
                    if taken {
                        return Err(Self::refused(step, 17));
                    }
                }
                let vf = world.vfs.get_mut(&of.index.0).unwrap();
                let admin = vf.settings.mac.filter(|mac| !mac.is_zero());
                let trusted = vf.settings.trust == Some(true);
                let netdev = vf.netdev.as_mut().ok_or_else(|| Self::refused(step, 19))?;
                match attr {
                    // igb: once the PF has set it, an untrusted VF may not change its own.
                    LinkAttr::Mac(_) if admin.is_some() && !trusted => {
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
        }
        Ok(())
    }
}

impl Kernel for FakeKernel {
    type Guard = Unlock;

    fn observe(&self, _: Scope) -> Result<Inventory> {
        let world = self.world.borrow();
        let device: DeviceId = PF.parse::<PciAddress>().unwrap().into();
        let vfs = world.vfs.iter().map(|(index, vf)| {
            let seen = vf.netdev.as_ref().filter(|netdev| netdev.appears <= self.clock.get());
            Vf {
                facts: VfFacts {
                    index: VfIndex(*index),
                    device: format!("0000:01:10.{}", index % 8).parse().ok(),
                    driver: vf.driver.clone(),
                    driver_override: vf.driver_override.clone(),
                    iommu_group: None,
                    node: None,
                },
                netdevs: seen
                    .map(|netdev| Link {
                        ifindex: netdev.ifindex,
                        name: netdev.name.clone(),
                        mac: Some(netdev.mac),
                        mtu: Some(netdev.mtu),
                        up: Some(false),
                        ..Link::default()
                    })
                    .into_iter()
                    .collect(),
                representor: None,
                settings: Some(vf.settings.clone()),
                stats: None,
                users: vf.users.clone(),
            }
        });
        let pf = Pf {
            facts: PfFacts {
                device,
                class: Some(0x02_0000),
                id: None,
                vf_device: None,
                model: None,
                vf_model: None,
                driver: Some("igb".into()),
                total_vfs: Some(world.total),
                autoprobe: world.autoprobe,
                numa_node: None,
                iommu_group: None,
                rdma: Vec::new(),
                eswitch_mode: None,
                firmware: None,
                managed_by: Vec::new(),
                num_vfs: u32::try_from(world.vfs.len()).ok(),
                vfs: Vec::new(),
            },
            netdevs: vec![Link {
                ifindex: 2,
                name: "eth0".into(),
                up: Some(true),
                ..Link::default()
            }],
            vfs: vfs.collect(),
        };
        Ok(Inventory { pfs: vec![pf], ..Inventory::default() })
    }

    fn apply(&self, step: &Step, _: Duration) -> Result<Outcome> {
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

    fn lock_pf(&self, pf: &DeviceId, _: Duration) -> Result<Unlock> {
        if self.locked.get() {
            return Err(Error::new(Kind::Busy, format!("{pf} is being changed")));
        }
        Ok(Unlock)
    }

    fn is_named(&self, _: u32) -> bool {
        true
    }

    fn pause(&self, time: Duration) {
        self.pauses.set(self.pauses.get() + 1);
        self.clock.set(self.clock.get() + time);
    }

    fn now(&self) -> Duration {
        self.clock.get()
    }
}
