//! `set-vf`: which steps make a VF what is asked for, setting by setting, and which settings cannot be.

use super::mac::{MacStep, set_mac};
use super::replay::{differences, fresh_settings};
use crate::model::facts::Vectors;
use crate::model::ids::MacAddr;
use crate::model::inventory::{Pf, Vf};
use crate::model::link::{Link, VfSettings};
use crate::model::step::{LinkAttr, Step, VfAttr, VfRef};

/// MTU of an interface as a driver makes it.
const FRESH_MTU: u32 = 1500;

/// What is asked for; `None` is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Settings that the PF keeps, its MAC left out.
    pub settings: VfSettings,
    /// Administrative MAC, and the interface's.
    pub mac: Option<MacAddr>,
    /// MTU of the interface.
    pub mtu: Option<u32>,
    /// Interrupt vectors, 0: as many as the driver gives it.
    pub vectors: Option<u32>,
    /// Everything that is not named, as a driver makes it.
    pub reset: bool,
}

impl Request {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One thing that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A setting in the PF.
    Setting(VfAttr),
    /// Administrative MAC, and the interface's; zero: none is set by the host.
    Mac(MacAddr),
    /// MTU of the interface.
    Mtu(u32),
    /// Interrupt vectors.
    Vectors(u32),
}

/// One thing that is asked for, and what is to be done about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What.
    pub what: What,
    /// How it is; `None`: nobody says.
    pub from: Option<String>,
    /// Its steps, none where it is so, or why there are none.
    pub steps: Result<Vec<Step>, Refusal>,
}

/// Why something is not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The PF's interface is in this namespace, or it has none: `None`.
    NoPf(Option<String>),
    /// GUIDs are InfiniBand's.
    NotInfiniband,
    /// The lowest rate would be above the highest.
    RateAbove {
        /// The lowest.
        min: u32,
        /// The highest.
        max: u32,
    },
    /// The VF's interface is in this namespace.
    Away(String),
    /// The VF has no interface; with this driver, or none.
    NoInterface(Option<String>),
    /// Larger than the PF's.
    MtuAbovePf(u32),
    /// The number of vectors is fixed.
    FixedVectors,
    /// The number of vectors can be changed only without a driver.
    HasDriver(String),
}

/// Decides about every thing that is asked for, in the order in which it is safe to set them: what
/// makes some drivers reset the VF first ([`differences`]), the MAC last (see [`set_mac`]; igbvf makes
/// its own known again when its MTU changes).
pub fn plan(request: &Request, pf: &Pf, vf: &Vf, vectors: Option<Vectors>) -> Vec<Item> {
    let wanted = wanted(request, vf);
    let vectors = vectors.unwrap_or_default();
    let mut all = Vec::new();
    all.extend(request.vectors.map(What::Vectors));
    all.extend(differences(&VfSettings::default(), &wanted).into_iter().map(What::Setting));
    all.extend(mtu(request, pf, vf).map(What::Mtu));
    all.extend(wanted.mac.map(What::Mac));
    let item = |what: What| Item {
        what,
        from: what.present(vf, vectors),
        steps: match what.is_so(vf, vectors) {
            Some(true) => Ok(Vec::new()),
            _ => steps(what, pf, vf, vectors),
        },
    };
    all.into_iter().map(item).collect()
}

/// The settings asked for; what must be sent together is filled up from the present. What a driver
/// does not say of a VF it need not be told to be as it makes it.
fn wanted(request: &Request, vf: &Vf) -> VfSettings {
    let has = vf.settings.clone().unwrap_or_default();
    let mut want = VfSettings { mac: request.mac, ..request.settings.clone() };
    if request.reset {
        let fresh = fresh_settings();
        want.mac = want.mac.or(fresh.mac.filter(|_| has.mac.is_some()));
        want.vlan = want.vlan.or(fresh.vlan.filter(|_| has.vlan.is_some()));
        want.min_tx_rate =
            want.min_tx_rate.or(fresh.min_tx_rate.filter(|_| has.min_tx_rate.is_some()));
        want.max_tx_rate =
            want.max_tx_rate.or(fresh.max_tx_rate.filter(|_| has.max_tx_rate.is_some()));
        want.spoofchk = want.spoofchk.or(fresh.spoofchk.filter(|_| has.spoofchk.is_some()));
        want.trust = want.trust.or(fresh.trust.filter(|_| has.trust.is_some()));
        want.link_state = want.link_state.or(fresh.link_state.filter(|_| has.link_state.is_some()));
        want.query_rss = want.query_rss.or(fresh.query_rss.filter(|_| has.query_rss.is_some()));
    }
    if want.min_tx_rate.is_some() || want.max_tx_rate.is_some() {
        want.min_tx_rate = want.min_tx_rate.or(has.min_tx_rate).or(Some(0));
        want.max_tx_rate = want.max_tx_rate.or(has.max_tx_rate).or(Some(0));
    }
    want
}

fn mtu(request: &Request, pf: &Pf, vf: &Vf) -> Option<u32> {
    let fresh = || {
        let largest = pf.netdev().and_then(|link| link.mtu).unwrap_or(FRESH_MTU);
        FRESH_MTU.min(largest)
    };
    request.mtu.or_else(|| (request.reset && on_host(vf).is_some()).then(fresh))
}

/// The interface of the VF, when it is on the host.
pub fn on_host(vf: &Vf) -> Option<&Link> {
    vf.netdev().filter(|link| link.netns.is_none())
}

fn steps(what: What, pf: &Pf, vf: &Vf, vectors: Vectors) -> Result<Vec<Step>, Refusal> {
    let reference = VfRef { pf: pf.facts.device.clone(), index: vf.index() };
    let by_pf = || match pf.netdev() {
        None => Err(Refusal::NoPf(None)),
        Some(Link { netns: Some(netns), .. }) => Err(Refusal::NoPf(Some(netns.label()))),
        Some(link) => Ok(link),
    };
    match what {
        What::Setting(VfAttr::Rate { min, max }) if max != 0 && min > max => {
            Err(Refusal::RateAbove { min, max })
        }
        What::Setting(attr) => {
            let pf = by_pf()?;
            if matches!(attr, VfAttr::NodeGuid(_) | VfAttr::PortGuid(_)) && !pf.infiniband {
                return Err(Refusal::NotInfiniband);
            }
            Ok(vec![Step::SetVf { vf: reference, attr }])
        }
        What::Mac(mac) => {
            by_pf()?;
            let has = vf.settings.as_ref().and_then(|settings| settings.mac);
            Ok(mac_steps(&reference, has, on_host(vf), mac))
        }
        What::Mtu(mtu) => {
            let Some(link) = vf.netdev() else {
                return Err(Refusal::NoInterface(vf.facts.driver.clone()));
            };
            if let Some(netns) = &link.netns {
                return Err(Refusal::Away(netns.label()));
            }
            match pf.netdev().and_then(|link| link.mtu).filter(|largest| mtu > *largest) {
                Some(largest) => Err(Refusal::MtuAbovePf(largest)),
                None => Ok(vec![Step::SetLink { vf: reference, attr: LinkAttr::Mtu(mtu) }]),
            }
        }
        What::Vectors(_) if !vectors.can_change => Err(Refusal::FixedVectors),
        What::Vectors(count) => match &vf.facts.driver {
            Some(driver) => Err(Refusal::HasDriver(driver.clone())),
            None => Ok(vec![Step::SetVectors { vf: reference, count }]),
        },
    }
}

/// Both MACs; the PF's alone where there is no interface on the host, or none is to be set by the host.
fn mac_steps(
    vf: &VfRef,
    has: Option<MacAddr>,
    interface: Option<&Link>,
    mac: MacAddr,
) -> Vec<Step> {
    let admin = |mac| Step::SetVf { vf: vf.clone(), attr: VfAttr::Mac(mac) };
    let Some(link) = interface.filter(|_| !mac.is_zero()) else { return vec![admin(mac)] };
    let steps = set_mac(Some(vf.clone()), has, link.mac, mac, mac);
    let step = |step| match step {
        MacStep::Admin(_, mac) => admin(mac),
        MacStep::Own(mac) => Step::SetLink { vf: vf.clone(), attr: LinkAttr::Mac(mac) },
    };
    steps.into_iter().map(step).collect()
}

impl What {
    /// Its name, as its option has it.
    pub fn option(self) -> String {
        self.name().replace('_', "-")
    }

    /// Its name, as in the keys of `list-vfs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Setting(attr) => match attr {
                VfAttr::Mac(_) => "mac",
                VfAttr::Vlan(_) => "vlan",
                VfAttr::Rate { .. } => "tx_rate",
                VfAttr::Spoofchk(_) => "spoofchk",
                VfAttr::Trust(_) => "trust",
                VfAttr::LinkState(_) => "link_state",
                VfAttr::QueryRss(_) => "query_rss",
                VfAttr::NodeGuid(_) => "node_guid",
                VfAttr::PortGuid(_) => "port_guid",
            },
            Self::Mac(_) => "mac",
            Self::Mtu(_) => "mtu",
            Self::Vectors(_) => "msix_count",
        }
    }

    /// What it shall be.
    pub fn value(self) -> String {
        match self {
            Self::Setting(attr) => value(attr),
            Self::Mac(mac) => mac.to_string(),
            Self::Vectors(0) => "the driver's default".to_owned(),
            Self::Mtu(number) | Self::Vectors(number) => number.to_string(),
        }
    }

    /// What it is; `None` where nobody says.
    pub fn present(self, vf: &Vf, vectors: Vectors) -> Option<String> {
        let settings = vf.settings.as_ref();
        match self {
            Self::Setting(attr) => settings.and_then(|has| attr.now_in(has)).map(value),
            Self::Mac(_) => settings.and_then(|has| has.mac).map(|mac| mac.to_string()),
            Self::Mtu(_) => vf.netdev().and_then(|link| link.mtu).map(|mtu| mtu.to_string()),
            Self::Vectors(_) => vectors.count.map(|count| count.to_string()),
        }
    }

    /// Whether the VF is so; `None` where nobody says.
    pub fn is_so(self, vf: &Vf, vectors: Vectors) -> Option<bool> {
        let settings = vf.settings.as_ref();
        match self {
            Self::Setting(attr) => attr.is_set_in(settings?),
            Self::Mac(mac) => {
                let own = on_host(vf).filter(|_| !mac.is_zero()).and_then(|link| link.mac);
                Some(settings?.mac? == mac && own.is_none_or(|own| own == mac))
            }
            Self::Mtu(mtu) => Some(vf.netdev()?.mtu? == mtu),
            Self::Vectors(0) => None,
            Self::Vectors(count) => Some(vectors.count? == count),
        }
    }
}

/// The value as `ip link` spells it, without the word before it.
fn value(attr: VfAttr) -> String {
    if let VfAttr::Rate { min, max } = attr {
        return format!("min {min} max {max}");
    }
    let text = attr.to_string();
    text.split_once(' ').map_or(text.clone(), |(_, value)| value.to_owned())
}

#[cfg(test)]
#[path = "set_vf_tests.rs"]
mod tests;
