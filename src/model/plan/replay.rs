//! Putting VF settings back after the VFs were created anew: which steps lead from what a VF is
//! to what it shall be.

use serde::{Deserialize, Serialize};

use super::mac::{MacStep, set_mac};
use crate::model::assemble::is_userspace_driver;
use crate::model::facts::VfFacts;
use crate::model::ids::{DeviceId, Guid, MacAddr, VfIndex};
use crate::model::inventory::{Pf, Vf};
use crate::model::link::{Link, LinkState, VfSettings, VlanTag};
use crate::model::step::{LinkAttr, LinkSet, Place, Step, Subject, VfAttr, VfRef};

/// How a VF was, or shall be. What is `None` is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedVf {
    /// Which VF.
    pub index: VfIndex,
    /// Settings in the PF.
    pub settings: Option<VfSettings>,
    /// Present MAC of its interface.
    pub mac: Option<MacAddr>,
    /// MTU of its interface.
    pub mtu: Option<u32>,
    /// Name of its interface.
    pub name: Option<String>,
    /// Alternative names of its interface.
    #[serde(default)]
    pub altnames: Vec<String>,
    /// Whether its interface was up.
    #[serde(default)]
    pub up: bool,
    /// Its driver.
    pub driver: WantedDriver,
    /// Its `driver_override`.
    pub driver_override: Option<String>,
}

/// Which driver a VF shall have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedDriver {
    /// Whichever the kernel gives it.
    Any,
    /// None.
    None,
    /// This one, which it had before.
    Named(String),
    /// This one, because somebody asked for it.
    Asked(String),
}

impl SavedVf {
    /// The VF as it is.
    pub fn of(vf: &Vf) -> Self {
        // An interface in another namespace belongs to whoever is there: its name and MTU are no
        // property of the VF on this host.
        let netdev = vf.netdev().filter(|link| link.netns.is_none());
        Self {
            index: vf.index(),
            settings: vf.settings.clone(),
            mac: netdev.and_then(|link| link.mac),
            mtu: netdev.and_then(|link| link.mtu),
            name: netdev.map(|link| link.name.clone()),
            altnames: netdev.map(|link| link.altnames.clone()).unwrap_or_default(),
            up: netdev.is_some_and(|link| link.up == Some(true)),
            driver: match &vf.facts.driver {
                Some(driver) => WantedDriver::Named(driver.clone()),
                None => WantedDriver::None,
            },
            driver_override: vf.facts.driver_override.clone(),
        }
    }

    /// A new VF of which only the driver is settled.
    pub fn with_driver(index: u16, driver: WantedDriver) -> Self {
        Self {
            index: VfIndex(index),
            settings: None,
            mac: None,
            mtu: None,
            name: None,
            altnames: Vec::new(),
            up: false,
            driver,
            driver_override: None,
        }
    }
}

/// The settings of a VF as a driver makes it.
pub fn fresh_settings() -> VfSettings {
    VfSettings {
        mac: Some(MacAddr::ZERO),
        vlan: Some(VlanTag::default()),
        min_tx_rate: Some(0),
        max_tx_rate: Some(0),
        spoofchk: Some(true),
        trust: Some(false),
        link_state: Some(LinkState::Auto),
        query_rss: Some(false),
        ..VfSettings::default()
    }
}

/// The PF with VFs as a driver makes them, to tell beforehand which settings will be put back.
pub fn freshly_made(pf: &Pf, wanted: &[SavedVf]) -> Pf {
    let settings = fresh_settings();
    let probed = |want: &SavedVf| match &want.driver {
        WantedDriver::Named(driver) if !is_userspace_driver(driver) => {
            Some(driver.clone()).filter(|_| pf.facts.autoprobe != Some(false))
        }
        _ => None,
    };
    let vfs = wanted.iter().map(|want| Vf {
        facts: VfFacts {
            driver: probed(want),
            device: pf.vf(want.index).and_then(|vf| vf.facts.device.clone()),
            ..VfFacts::without_device(want.index)
        },
        // Only the kernel knows what the interface will be called; its settings are put back.
        netdevs: want
            .name
            .iter()
            .map(|name| Link { name: name.clone(), mtu: Some(1500), ..Link::default() })
            .collect(),
        representor: None,
        settings: Some(settings.clone()),
        stats: None,
        users: Vec::new(),
    });
    Pf { facts: pf.facts.clone(), netdevs: pf.netdevs.clone(), vfs: vfs.collect() }
}

/// Each wanted VF that exists, beside what it is now.
fn pairs<'a>(
    now: &'a Pf,
    wanted: &'a [SavedVf],
) -> impl Iterator<Item = (&'a Vf, &'a SavedVf, VfRef)> {
    let reference = |index| VfRef { pf: DeviceId::clone(&now.facts.device), index };
    wanted.iter().filter_map(move |want| Some((now.vf(want.index)?, want, reference(want.index))))
}

/// Steps for the settings that the PF keeps, MAC excepted.
pub fn pf_side(now: &Pf, wanted: &[SavedVf]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (vf, want, reference) in pairs(now, wanted) {
        let (Some(has), Some(want)) = (&vf.settings, &want.settings) else { continue };
        let set = |attr| Step::SetVf { vf: reference.clone(), attr };
        steps.extend(differences(has, want).into_iter().map(set));
    }
    steps
}

/// What must be set so that `has` becomes `want`, MAC excepted; what is unknown is left alone.
///
/// Settings that make some drivers reset the VF come first (i40e, ice: trust, VLAN).
pub fn differences(has: &VfSettings, want: &VfSettings) -> Vec<VfAttr> {
    let rate = |settings: &VfSettings| Some((settings.min_tx_rate?, settings.max_tx_rate?));
    let attrs = [
        differs(has.trust, want.trust).map(VfAttr::Trust),
        differs(has.vlan, want.vlan).map(VfAttr::Vlan),
        differs(rate(has), rate(want)).map(|(min, max)| VfAttr::Rate { min, max }),
        differs(has.spoofchk, want.spoofchk).map(VfAttr::Spoofchk),
        differs(has.link_state, want.link_state).map(VfAttr::LinkState),
        differs(has.query_rss, want.query_rss).map(VfAttr::QueryRss),
        differs(has.node_guid, want.node_guid).map(|guid| VfAttr::NodeGuid(Guid(guid))),
        differs(has.port_guid, want.port_guid).map(|guid| VfAttr::PortGuid(Guid(guid))),
    ];
    attrs.into_iter().flatten().collect()
}

fn differs<T: PartialEq + Copy>(has: Option<T>, want: Option<T>) -> Option<T> {
    want.filter(|_| has != want)
}

/// Steps for drivers: the override first, so that nothing else can take the VF in between.
pub fn drivers(now: &Pf, wanted: &[SavedVf]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (vf, want, reference) in pairs(now, wanted) {
        let has = vf.facts.driver.as_ref();
        let of = Subject::Vf(reference);
        let set_override = |driver: Option<String>| Step::SetOverride { of: of.clone(), driver };
        match &want.driver {
            // An override forces any driver onto a device, also one that crashes on it. That is for
            // those that take every device; others must find it in their own list of devices.
            WantedDriver::Asked(driver) if !is_userspace_driver(driver) => {
                if has != Some(driver) {
                    steps.extend(has.map(|_| Step::Unbind { of: of.clone() }));
                    steps.push(Step::Bind { of: of.clone(), driver: driver.clone() });
                }
            }
            WantedDriver::Named(driver) | WantedDriver::Asked(driver) if has != Some(driver) => {
                steps.push(set_override(Some(driver.clone())));
                steps.extend(has.map(|_| Step::Unbind { of: of.clone() }));
                steps.push(Step::Bind { of: of.clone(), driver: driver.clone() });
                if want.driver_override.as_ref() != Some(driver) {
                    steps.push(set_override(want.driver_override.clone()));
                }
            }
            WantedDriver::None => {
                if want.driver_override != vf.facts.driver_override {
                    steps.push(set_override(want.driver_override.clone()));
                }
                steps.extend(has.map(|_| Step::Unbind { of: of.clone() }));
            }
            WantedDriver::Any | WantedDriver::Named(_)
                if want.driver_override != vf.facts.driver_override =>
            {
                steps.push(set_override(want.driver_override.clone()));
            }
            WantedDriver::Any | WantedDriver::Named(_) | WantedDriver::Asked(_) => {}
        }
    }
    steps
}

/// Steps for the administrative MAC of VFs that have no interface here: it must be there before a
/// user-space driver starts, which takes its MAC from it.
pub fn macs_without_netdev(now: &Pf, wanted: &[SavedVf]) -> Vec<Step> {
    pairs(now, wanted)
        .filter(|(vf, _, _)| vf.netdev().is_none())
        .filter_map(|(vf, want, reference)| {
            let has = vf.settings.as_ref()?.mac;
            let mac = want.settings.as_ref()?.mac?;
            (has != Some(mac)).then_some(Step::SetVf { vf: reference, attr: VfAttr::Mac(mac) })
        })
        .collect()
}

/// Steps for the VFs' interfaces, and their administrative MACs.
///
/// See [`set_mac`] for their order.
pub fn netdevs(now: &Pf, wanted: &[SavedVf]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (vf, want, reference) in pairs(now, wanted) {
        let Some(link) = vf.netdev().filter(|link| link.netns.is_none()) else { continue };
        let set_link = |attr| Step::SetLink { vf: reference.clone(), attr };
        let admin = want.settings.as_ref().and_then(|settings| settings.mac);
        let has_admin = vf.settings.as_ref().and_then(|settings| settings.mac);

        // Before the MAC: igbvf resets on it, and so makes its own MAC known to the PF again.
        let mtu = want.mtu.filter(|mtu| link.mtu != Some(*mtu));
        steps.extend(mtu.map(|mtu| set_link(LinkAttr::Mtu(mtu))));
        let mac = want.mac.or(link.mac).unwrap_or(MacAddr::ZERO);
        let vf = admin.map(|_| reference.clone());
        let steps_of_mac = set_mac(vf, has_admin, link.mac, mac, admin.unwrap_or(MacAddr::ZERO));
        steps.extend(steps_of_mac.into_iter().map(|step| match step {
            MacStep::Admin(vf, mac) => Step::SetVf { vf, attr: VfAttr::Mac(mac) },
            MacStep::Own(mac) => set_link(LinkAttr::Mac(mac)),
        }));
    }
    steps.extend(renames(now, wanted));
    steps.extend(altnames_and_up(now, wanted));
    steps
}

/// After the names, which an altname may be in the way of.
fn altnames_and_up(now: &Pf, wanted: &[SavedVf]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (vf, want, _) in pairs(now, wanted) {
        let link = vf.netdev().filter(|link| link.netns.is_none());
        let (Some(link), Some(device)) = (link, &vf.facts.device) else { continue };
        let has = |name: &&String| link.altnames.contains(name) || link.name == **name;
        let add: Vec<String> = want.altnames.iter().filter(|name| !has(name)).cloned().collect();
        let (device, at) = (device.clone(), Place::Host);
        if !add.is_empty() {
            let (device, at) = (device.clone(), at.clone());
            steps.push(Step::AltNames { device, at, add, remove: Vec::new() });
        }
        if want.up && link.up != Some(true) {
            let set = LinkSet { up: Some(true), ..LinkSet::default() };
            steps.push(Step::Link { device, at, set });
        }
    }
    steps
}

/// Renames. New VFs may have each other's former names: whoever holds a name that another one
/// wants steps aside first, under a name that nothing else can have.
fn renames(now: &Pf, wanted: &[SavedVf]) -> Vec<Step> {
    let todo: Vec<(&Link, &String, VfRef)> = pairs(now, wanted)
        .filter_map(|(vf, want, reference)| {
            let link = vf.netdev().filter(|link| link.netns.is_none())?;
            let name = want.name.as_ref().filter(|name| **name != link.name)?;
            Some((link, name, reference))
        })
        .collect();
    let rename =
        |vf: &VfRef, name: String| Step::SetLink { vf: vf.clone(), attr: LinkAttr::Name(name) };
    let is_wanted = |name: &String| todo.iter().any(|(_, wanted, _)| *wanted == name);
    let all = now.vfs.iter().filter_map(|vf| {
        let link = vf.netdev().filter(|link| link.netns.is_none() && is_wanted(&link.name))?;
        Some((link, VfRef { pf: now.facts.device.clone(), index: vf.index() }))
    });
    let in_the_way: Vec<(&Link, VfRef)> = all.collect();
    let aside = in_the_way.iter();
    let aside = aside.map(|(link, vf)| rename(vf, format!("sriov{}", link.ifindex)));
    let final_names = todo.iter().map(|(_, name, vf)| rename(vf, (*name).clone()));
    // A new VF that stood in the way takes a name that became free.
    let is_new = |vf: &VfRef| todo.iter().all(|(_, _, of)| of != vf);
    let free = todo.iter().map(|(link, _, _)| &link.name).filter(|name| !is_wanted(name));
    let displaced = in_the_way.iter().filter(|(_, vf)| is_new(vf)).zip(free);
    let displaced = displaced.map(|((_, vf), name)| rename(vf, name.clone()));
    aside.chain(final_names).chain(displaced).collect()
}
