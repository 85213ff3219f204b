//! `apply`: what a file says beside what the host is, and what must be changed about it.

use super::set_vf::{self, What};
use crate::error::Error;
use crate::model::facts::VfFacts;
use crate::model::ids::{DeviceId, MacAddr, VfIndex};
use crate::model::inventory::{Inventory, Pf, Vf};
use crate::model::link::Link;
use crate::model::record::Original;
use crate::model::selector::SelectError;
use crate::model::spec::{Eswitch, PfSpec, Spec, Switch, VfsSpec};
use crate::model::step::{LinkSet, Place, Step};

use super::replay::fresh_settings;

/// A PF, and how it shall be.
#[derive(Debug, Clone)]
pub struct Target {
    /// As it is.
    pub pf: Pf,
    /// As it shall be.
    pub spec: PfSpec,
    /// Where that is said.
    pub place: String,
}

/// Why a file does not fit the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such PF, or no PF of that name.
    Select(SelectError),
    /// Another card is in its slot.
    OtherCard {
        /// The PF.
        pf: String,
        /// The permanent MAC it should have.
        wanted: MacAddr,
        /// The one it has.
        has: Option<MacAddr>,
    },
    /// Another entry says how it shall be.
    Twice {
        /// The PF.
        pf: String,
        /// Where.
        first: String,
    },
    /// It has no driver.
    NoDriver(String),
    /// A MAC or GUID for VFs of several PFs.
    Shared(String),
}

/// What is said of the host, PF by PF, beside what cannot be meant; both with the place.
#[derive(Debug, Default)]
pub struct Resolved {
    /// PFs that are there.
    pub targets: Vec<Target>,
    /// Entries that fit nothing.
    pub refused: Vec<(String, Refusal)>,
    /// Entries that may be missing and are, by place and name.
    pub missing: Vec<(String, String)>,
}

/// Finds the PFs that files speak of; each comes with what it is called.
pub fn resolve(inventory: &Inventory, specs: &[(String, Spec)]) -> Resolved {
    let mut all = Resolved::default();
    for (file, spec) in specs {
        for (nth, entry) in spec.pfs.iter().enumerate() {
            all.add(inventory, entry, &format!("{file}: pfs[{nth}]"));
        }
    }
    all
}

impl Resolved {
    fn add(&mut self, inventory: &Inventory, entry: &PfSpec, place: &str) {
        let found = match entry.pf.pfs(inventory) {
            Ok(found) => found,
            Err(SelectError::Unknown { .. }) if entry.optional => {
                return self.missing.push((place.to_owned(), entry.pf.to_string()));
            }
            Err(error) => return self.refused.push((place.to_owned(), Refusal::Select(error))),
        };
        if found.len() > 1 && entry.vfs.iter().any(VfsSpec::has_own) {
            let refusal = Refusal::Shared(entry.pf.to_string());
            return self.refused.push((place.to_owned(), refusal));
        }
        for pf in found {
            if let Some(wanted) = entry.mac.filter(|mac| !has_mac(pf, *mac)) {
                if entry.optional {
                    self.missing.push((place.to_owned(), format!("{} with {wanted}", entry.pf)));
                    continue;
                }
                let has = pf.netdev().and_then(|link| link.perm_mac.or(link.mac));
                let refusal = Refusal::OtherCard { pf: pf.name(), wanted, has };
                self.refused.push((place.to_owned(), refusal));
                continue;
            }
            let same = |target: &&Target| target.pf.facts.device == pf.facts.device;
            if let Some(first) = self.targets.iter().find(same) {
                let refusal = Refusal::Twice { pf: pf.name(), first: first.place.clone() };
                self.refused.push((place.to_owned(), refusal));
                continue;
            }
            if pf.facts.driver.is_none() {
                self.refused.push((place.to_owned(), Refusal::NoDriver(pf.name())));
                continue;
            }
            let (pf, spec) = (pf.clone(), entry.clone());
            self.targets.push(Target { pf, spec, place: place.to_owned() });
        }
    }
}

/// Its permanent MAC where the kernel tells, else the present one.
fn has_mac(pf: &Pf, mac: MacAddr) -> bool {
    pf.netdevs.iter().any(|link| link.perm_mac.or(link.mac) == Some(mac))
}

/// One thing that is, or would be, other than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The PF or VF.
    pub device: String,
    /// What, as the file calls it.
    pub what: String,
    /// How it was; `None`: nobody says, or it was not there.
    pub from: Option<String>,
    /// How it is.
    pub to: String,
}

/// What must be changed about a PF itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PfPlan {
    /// Changes before the VFs are made, each with its step.
    pub steps: Vec<(Change, Step)>,
    /// Its number of VFs, where that is another one, and the change.
    pub count: Option<(u32, Change)>,
}

impl PfPlan {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.count.is_none()
    }
}

/// Decides about the PF itself.
pub fn of_pf(target: &Target) -> Result<PfPlan, String> {
    let Target { pf, spec, .. } = target;
    let (name, device) = (pf.name(), &pf.facts.device);
    let change = |what: &str, from: Option<String>, to: String| Change {
        device: name.clone(),
        what: what.to_owned(),
        from,
        to,
    };
    let mut plan = PfPlan::default();
    let link = |set: LinkSet| Step::Link { device: device.clone(), at: Place::Host, set };
    let here = pf.netdev().filter(|link| link.netns.is_none());
    if (spec.mtu.is_some() || spec.up.is_some()) && here.is_none() {
        return Err("it has no interface on the host".to_owned());
    }
    if let Some(mtu) = spec.mtu.filter(|mtu| here.and_then(|link| link.mtu) != Some(*mtu)) {
        let from = here.and_then(|link| link.mtu).map(|mtu| mtu.to_string());
        let step = link(LinkSet { mtu: Some(mtu), ..LinkSet::default() });
        plan.steps.push((change("mtu", from, mtu.to_string()), step));
    }
    let word = |on: bool| Switch(on).to_string();
    let up = spec.up.map(bool::from);
    if let Some(up) = up.filter(|up| here.and_then(|link| link.up) != Some(*up)) {
        let step = link(LinkSet { up: Some(up), ..LinkSet::default() });
        plan.steps.push((change("up", Some(word(!up)), word(up)), step));
    }
    // A driver without a switch to set is what "legacy" means.
    let has = pf.facts.eswitch_mode.clone().unwrap_or_else(|| Eswitch::Legacy.to_string());
    if let Some(mode) = spec.eswitch_mode.filter(|mode| mode.to_string() != has) {
        if pf.facts.eswitch_mode.is_none() {
            let driver = pf.facts.driver.as_deref().unwrap_or("its driver");
            return Err(format!("{driver} has no eswitch mode but legacy"));
        }
        let step = Step::SetEswitch { pf: device.clone(), mode };
        plan.steps.push((change("eswitch_mode", Some(has), mode.to_string()), step));
    }
    let autoprobe = spec.autoprobe.map(bool::from);
    if let Some(on) = autoprobe.filter(|on| pf.facts.autoprobe != Some(*on)) {
        if pf.facts.autoprobe.is_none() {
            return Err("this kernel gives no choice of autoprobe for it".to_owned());
        }
        let step = Step::SetAutoprobe { pf: device.clone(), on };
        plan.steps.push((change("autoprobe", Some(word(!on)), word(on)), step));
    }
    let before = pf.num_vfs();
    plan.count = spec
        .numvfs
        .filter(|count| *count != before)
        .map(|count| (count, change("numvfs", Some(before.to_string()), count.to_string())));
    Ok(plan)
}

/// The PF as it will be when its VFs are made and set.
pub fn as_planned(target: &Target) -> Pf {
    let mut pf = target.pf.clone();
    if let Some(link) = pf.netdevs.first_mut() {
        link.mtu = target.spec.mtu.or(link.mtu);
        link.up = target.spec.up.map(bool::from).or(link.up);
    }
    pf
}

/// What must be changed about settings of a VF, and what of it is known to be impossible.
pub fn of_settings(
    name: &str,
    spec: &VfsSpec,
    pf: &Pf,
    vf: &Vf,
) -> (Vec<Change>, Vec<(What, set_vf::Refusal)>) {
    let (mut changes, mut refused) = (Vec::new(), Vec::new());
    for item in set_vf::plan(&spec.request(), pf, vf, None) {
        match item.steps {
            Ok(steps) if steps.is_empty() => {}
            Ok(_) => changes.push(setting(name, item.what, item.from)),
            Err(refusal) => refused.push((item.what, refusal)),
        }
    }
    (changes, refused)
}

/// A change of a setting.
pub fn setting(name: &str, what: What, from: Option<String>) -> Change {
    Change { device: name.to_owned(), what: what.name().to_owned(), from, to: what.value() }
}

/// A change of a driver, if it is one.
pub fn driver(name: &str, has: Option<&str>, wanted: Option<&str>) -> Option<Change> {
    let wanted = wanted.filter(|wanted| has != Some(*wanted))?;
    Some(Change {
        device: name.to_owned(),
        what: "driver".to_owned(),
        from: Some(has.unwrap_or("none").to_owned()),
        to: wanted.to_owned(),
    })
}

/// A VF that is yet to be made, as its driver makes it.
pub fn fresh(index: VfIndex) -> Vf {
    Vf {
        facts: VfFacts::without_device(index),
        netdevs: vec![Link { mtu: Some(1500), ..Link::default() }],
        representor: None,
        settings: Some(fresh_settings()),
        stats: None,
        users: Vec::new(),
    }
}

/// A VF as it will be once whoever has it gives it back.
pub fn given_back(vf: &Vf, original: &Original) -> Vf {
    let link = original.name.as_ref().map(|name| Link {
        name: name.clone(),
        mac: original.mac,
        mtu: original.mtu,
        ..Link::default()
    });
    Vf {
        facts: VfFacts { driver: original.driver.clone(), ..vf.facts.clone() },
        netdevs: link.into_iter().collect(),
        representor: vf.representor.clone(),
        settings: original.settings.clone(),
        stats: None,
        users: Vec::new(),
    }
}

/// Of a PF all VFs that are spoken of and will be there, with what is said.
pub fn vfs(target: &Target) -> Vec<(VfIndex, VfsSpec)> {
    let count = target.spec.numvfs.unwrap_or_else(|| {
        // Indexes may have holes.
        target.pf.vfs.last().map_or(0, |vf| u32::from(vf.index().0) + 1)
    });
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    let all = (0..count).map(VfIndex).map(|index| (index, target.spec.of_vf(index)));
    all.filter(|(_, spec)| !spec.is_empty()).collect()
}

/// A VF that is named, but will not be there.
pub fn beyond(target: &Target) -> Option<u16> {
    let last = target.spec.vfs.iter().filter_map(|entry| entry.vfs.last()).max()?;
    let count = target.spec.numvfs.unwrap_or_else(|| target.pf.num_vfs());
    (u32::from(last) >= count).then_some(last)
}

impl Refusal {
    /// In an administrator's words.
    pub fn error(self, place: &str) -> Error {
        use crate::error::Kind;
        match self {
            Self::Select(error) => {
                let error = Error::from(error);
                let hint = error.next_step().map(str::to_owned);
                let new = Error::new(error.kind(), format!("{place}: {}", error.message()));
                new.hint(hint.unwrap_or_else(|| "see what there is: sriovctl list-pfs".to_owned()))
            }
            Self::OtherCard { pf, wanted, has } => {
                let has = has.map_or_else(|| "none that can be seen".to_owned(), |m| m.to_string());
                let text = format!(
                    "{place}: {pf} is another card: its permanent MAC is {has}, not {wanted}"
                );
                Error::new(Kind::Busy, text)
                    .device(pf)
                    .hint("correct or remove mac in the file, if this card is meant")
            }
            Self::Twice { pf, first } => Error::new(
                Kind::Usage,
                format!("{place}: {pf} is spoken of twice, first by {first}"),
            )
            .device(pf)
            .hint("say all of a PF in one place"),
            Self::Shared(pf) => {
                let text =
                    format!("{place}: {pf} names several PFs, and a MAC or GUID is that of one VF");
                Error::new(Kind::Usage, text).hint("name each PF by its address")
            }
            Self::NoDriver(pf) => {
                let text =
                    format!("{place}: {pf} has no driver, and only its driver can create VFs");
                Error::new(Kind::Busy, text).device(pf).hint("see it: sriovctl list-pfs -o wide")
            }
        }
    }
}

/// The device of the VF, where it has one that a driver could be bound to.
pub fn bindable(vf: &Vf) -> Option<&DeviceId> {
    vf.facts.device.as_ref().filter(|device| device.pci().is_some())
}
