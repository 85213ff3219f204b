//! What others do, with the kernel's own means.

use std::time::Duration;

use sriovctl::engine::Kernel;
use sriovctl::model::ids::MacAddr;
use sriovctl::model::link::VfSettings;
use sriovctl::model::plan::replay::differences;
use sriovctl::model::step::{LinkSet, Place, Step, Subject, VfAttr};

use super::super::kernel::{FakeKernel, NEXT_OF_THE_NAME, Netdev, device_of, names_in, netns};
use super::steps::{Other, mac};

/// Does it, where the kernel lets them.
pub fn meddle(kernel: &FakeKernel, what: &Other, homes: &dyn Fn(u16) -> Option<String>) {
    let rename = |vf: u16, name: String| {
        let taken = others_near(kernel, vf).contains(&name);
        on_netdev(kernel, vf, |netdev| {
            if !taken && !netdev.altnames.contains(&name) {
                netdev.name = name;
            }
        });
    };
    // On the host it would be in that one's way for good.
    let is_away = |vf| place(kernel, vf).flatten().is_some();
    match what {
        Other::Rename(vf, n) => rename(*vf, format!("m{n}")),
        Other::NameOf(vf, of) => {
            if let Some(name) = homes(*of).filter(|_| is_away(*vf)) {
                rename(*vf, name);
            }
        }
        Other::Altname(vf, n) => {
            let name = format!("m{n}");
            let taken = others_near(kernel, *vf).contains(&name);
            on_netdev(kernel, *vf, |netdev| {
                if !taken && netdev.name != name && !netdev.altnames.contains(&name) {
                    netdev.altnames.push(name);
                }
            });
        }
        Other::Move(vf, to) => carry(kernel, *vf, *to),
        Other::Mac(vf, n) => {
            link(kernel, *vf, LinkSet { mac: Some(mac(*n)), ..LinkSet::default() });
        }
        Other::Mtu(vf, mtu) => link(kernel, *vf, LinkSet { mtu: Some(*mtu), ..LinkSet::default() }),
        Other::Up(vf, up) => link(kernel, *vf, LinkSet { up: Some(*up), ..LinkSet::default() }),
        // Only while it is away: on the host it is not written down, and is quiet when it is back.
        Other::Promisc(vf) => {
            let has = kernel.records.borrow().contains_key(&device_of(*vf));
            on_netdev(kernel, *vf, |netdev| netdev.promisc |= has && netdev.netns.is_some());
        }
        Other::Settings(vf, settings) => {
            let settings =
                VfSettings { min_tx_rate: settings.max_tx_rate.map(|_| 0), ..settings.clone() };
            for attr in differences(&VfSettings::default(), &settings) {
                set(kernel, *vf, attr);
            }
        }
        Other::AdminMac(vf, n) => {
            set(kernel, *vf, VfAttr::Mac(if *n == 0 { MacAddr::ZERO } else { mac(*n) }));
        }
        Other::Drive(vf, driver) => {
            let of = || Subject::Device(device_of(*vf));
            let driver = driver.map(str::to_owned);
            let _ = kernel.apply(&Step::Unbind { of: of() }, Duration::ZERO);
            let only = driver.clone().filter(|driver| driver != "igbvf");
            let _ = kernel.apply(&Step::SetOverride { of: of(), driver: only }, Duration::ZERO);
            if let Some(driver) = driver {
                let _ = kernel.apply(&Step::Bind { of: of(), driver }, Duration::ZERO);
            }
        }
        Other::Reserve(vf, driver) => {
            let of = Subject::Device(device_of(*vf));
            let driver = driver.map(str::to_owned);
            let _ = kernel.apply(&Step::SetOverride { of, driver }, Duration::ZERO);
        }
        Other::DeleteNs(name) => {
            if let Some(inode) = called(kernel, *name) {
                kernel.delete_netns(inode);
            }
        }
        Other::RemakeNs(name, same) => {
            if let Some(inode) = called(kernel, *name) {
                kernel.delete_netns(inode);
                make(kernel, if *same { inode } else { inode + NEXT_OF_THE_NAME });
            }
        }
        Other::MakeNs(name) => {
            if called(kernel, *name).is_none() {
                make(kernel, *name);
            }
        }
        Other::Reboot => kernel.reboot(),
        Other::RenamePf => {
            let name = if *kernel.pf_name.borrow() == "eth0" { "uplink" } else { "eth0" };
            *kernel.pf_name.borrow_mut() = name.into();
        }
    }
}

pub fn make(kernel: &FakeKernel, inode: u64) {
    kernel.world.borrow_mut().namespaces.insert(inode, ["lo".to_owned(), "eth0".to_owned()].into());
}

fn called(kernel: &FakeKernel, name: u64) -> Option<u64> {
    let world = kernel.world.borrow();
    let mut all = world.namespaces.keys().copied();
    all.find(|inode| inode % NEXT_OF_THE_NAME == name)
}

fn on_netdev(kernel: &FakeKernel, vf: u16, change: impl FnOnce(&mut Netdev)) {
    let mut world = kernel.world.borrow_mut();
    if let Some(netdev) = world.vfs.get_mut(&vf).and_then(|vf| vf.netdev.as_mut()) {
        change(netdev);
    }
}

/// Where its interface is, if it has one; `None` within: on the host.
#[allow(clippy::option_option)] // both are asked about
fn place(kernel: &FakeKernel, vf: u16) -> Option<Option<u64>> {
    Some(kernel.world.borrow().vfs.get(&vf)?.netdev.as_ref()?.netns)
}

/// Names of the other interfaces where the VF's is.
fn others_near(kernel: &FakeKernel, vf: u16) -> std::collections::BTreeSet<String> {
    let mut world = kernel.world();
    let at = place(kernel, vf).flatten();
    world.vfs.remove(&vf);
    names_in(&world, at)
}

fn link(kernel: &FakeKernel, vf: u16, set: LinkSet) {
    let Some(at) = place(kernel, vf) else { return };
    let at = at.map_or(Place::Host, |inode| Place::Netns(netns(inode)));
    let _ = kernel.apply(&Step::Link { device: device_of(vf), at, set }, Duration::ZERO);
}

fn set(kernel: &FakeKernel, vf: u16, attr: VfAttr) {
    if !kernel.world.borrow().vfs.contains_key(&vf) {
        return;
    }
    let of = sriovctl::model::step::VfRef {
        pf: super::super::kernel::PF.parse().unwrap(),
        index: sriovctl::model::ids::VfIndex(vf),
    };
    let _ = kernel.apply(&Step::SetVf { vf: of, attr }, Duration::ZERO);
}

/// `ip link set DEV netns NS`, or back to the host's: not where its names are taken.
fn carry(kernel: &FakeKernel, vf: u16, to: Option<u64>) {
    let to = match to {
        None => None,
        Some(name) => match called(kernel, name) {
            None => return,
            inode => inode,
        },
    };
    let mut world = kernel.world();
    world.vfs.remove(&vf);
    let taken = names_in(&world, to);
    on_netdev(kernel, vf, |netdev| {
        let mut names = netdev.altnames.iter().chain([&netdev.name]);
        if netdev.netns != to && !names.any(|name| taken.contains(name)) {
            (netdev.netns, netdev.up, netdev.promisc) = (to, false, false);
            netdev.addresses.clear();
            netdev.routes.clear();
        }
    });
}
