//! How people name PFs and VFs: interface, altname, PCI address, `PF#3`, `PF#0-3,7`,
//! `vendor:device`, MAC.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::{DeviceId, MacAddr, PciAddress, PciId, VfIndex};
use super::inventory::{Inventory, Pf, Vf};
use super::stock::PfName;
use super::text::shell_word;

/// A parsed operand. Prints as it was typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Pci(PciAddress),
    Device(DeviceId),
    Id(PciId),
    Mac(MacAddr),
    Name,
    /// Some VFs of the PF that the inner selector names.
    Of(Box<Selector>, Vec<RangeInclusive<u16>>),
}

/// Why an operand names nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Nothing on this host is called that.
    #[error("no PF or VF is called \"{text}\"")]
    Unknown {
        /// What was typed.
        text: String,
        /// The nearest name there is.
        nearest: Option<String>,
    },
    /// An interface of that name exists, but has nothing to do with SR-IOV.
    #[error("{text} exists, but its device has no SR-IOV capability and is no VF")]
    NotSriov {
        /// What was typed.
        text: String,
    },
    /// A VF was named where a PF is wanted.
    #[error("{text} is VF {index} of {pf}; this needs a PF")]
    IsVf {
        /// What was typed.
        text: String,
        /// Its PF.
        pf: String,
        /// Its number.
        index: VfIndex,
    },
    /// The PF has no VF of that number.
    #[error("{pf} has no VF {index}{}", match count { 0 => "; it has no VFs".to_owned(), n => format!(" (it has {n} VFs)") })]
    NoSuchVf {
        /// The PF.
        pf: String,
        /// The number asked for.
        index: VfIndex,
        /// How many VFs it has.
        count: usize,
    },
    /// Several devices match where exactly one is wanted.
    #[error("{text} names {} devices: {}", .matches.len(), .matches.join(", "))]
    Ambiguous {
        /// What was typed.
        text: String,
        /// What it matches.
        matches: Vec<String>,
    },
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a PF or VF cannot be empty".to_owned());
        }
        let what = if let Some((pf, list)) = text.rsplit_once('#') {
            What::Of(Box::new(pf.parse()?), ranges(list)?)
        } else {
            let pci = || text.parse().ok().map(What::Pci);
            let mac = || text.parse().ok().map(What::Mac);
            let id = || text.parse().ok().map(What::Id);
            let device = || text.parse().ok().map(What::Device);
            pci().or_else(mac).or_else(id).or_else(device).unwrap_or(What::Name)
        };
        Ok(Self { text: text.to_owned(), what })
    }
}

impl Selector {
    /// The one that names just this device, on any bus.
    pub fn of_device(device: &DeviceId) -> Result<Self, String> {
        let of_pci = device.pci().is_some();
        if of_pci { device.to_string() } else { String::from(device.clone()) }.parse()
    }
}

impl TryFrom<String> for Selector {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text
    }
}

/// `3`, `0-3`, `0-3,7`.
pub(super) fn ranges(list: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    let error = || format!("\"{list}\" is not a list of VF numbers (want 3, 0-3 or 0-3,7)");
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten().ok_or_else(error)
    };
    list.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last { Err(error()) } else { Ok(first..=last) }
        })
        .collect()
}

impl Selector {
    /// The device, where it names one by its address.
    pub fn address(&self) -> Option<DeviceId> {
        match &self.what {
            What::Pci(address) => Some(DeviceId::from(*address)),
            _ => None,
        }
    }

    /// The PF and which of its VFs (none given: all), where it names a PF as one is found at once.
    /// Whether there is such a PF, and VFs of these numbers, is not said.
    pub fn of_pf(&self) -> Option<(PfName<'_>, &[RangeInclusive<u16>])> {
        match &self.what {
            What::Pci(address) => Some((PfName::Pci(*address), &[])),
            What::Name => Some((PfName::Netdev(&self.text), &[])),
            What::Of(pf, ranges) => match pf.of_pf()? {
                (name, []) => Some((name, ranges)),
                _ => None,
            },
            What::Device(_) | What::Id(_) | What::Mac(_) => None,
        }
    }

    /// The PFs it names: all of them for `vendor:device`.
    pub fn pfs<'a>(&self, inventory: &'a Inventory) -> Result<Vec<&'a Pf>, SelectError> {
        let found: Vec<_> = inventory.pfs.iter().filter(|pf| self.is_pf(pf)).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        match self.find_vfs(inventory).first() {
            Some((pf, vf)) => {
                Err(SelectError::IsVf { text: self.text.clone(), pf: pf.name(), index: vf.index() })
            }
            None => Err(self.unknown(inventory)),
        }
    }

    /// The one PF it names.
    pub fn pf<'a>(&self, inventory: &'a Inventory) -> Result<&'a Pf, SelectError> {
        match self.pfs(inventory)?.as_slice() {
            [one] => Ok(one),
            many => Err(SelectError::Ambiguous {
                text: self.text.clone(),
                matches: many.iter().map(|pf| pf.name()).collect(),
            }),
        }
    }

    /// The VFs it names, with their PFs: all of a PF's for the PF itself, possibly none.
    pub fn vfs<'a>(&self, inventory: &'a Inventory) -> Result<Vec<(&'a Pf, &'a Vf)>, SelectError> {
        if let What::Of(pf, ranges) = &self.what {
            return some_of(&pf.pfs(inventory)?, ranges);
        }
        let pfs: Vec<_> = inventory.pfs.iter().filter(|pf| self.is_pf(pf)).collect();
        if !pfs.is_empty() {
            return Ok(pfs.iter().flat_map(|pf| pf.vfs.iter().map(|vf| (*pf, vf))).collect());
        }
        let found = self.find_vfs(inventory);
        if found.is_empty() { Err(self.unknown(inventory)) } else { Ok(found) }
    }

    fn is_pf(&self, pf: &Pf) -> bool {
        match &self.what {
            What::Pci(address) => pf.pci() == Some(*address),
            What::Device(device) => pf.facts.device == *device,
            What::Id(id) => pf.facts.id == Some(*id),
            What::Mac(mac) => {
                pf.netdevs.iter().any(|link| [link.mac, link.perm_mac].contains(&Some(*mac)))
            }
            What::Name => pf.is_called(&self.text) || pf.facts.device.name() == self.text,
            What::Of(..) => false,
        }
    }

    fn is_vf(&self, pf: &Pf, vf: &Vf) -> bool {
        match &self.what {
            What::Pci(address) => vf.pci() == Some(*address),
            What::Device(device) => vf.facts.device.as_ref() == Some(device),
            What::Id(id) => pf.vf_id() == Some(*id),
            What::Mac(mac) => {
                let admin = vf.settings.as_ref().and_then(|settings| settings.mac);
                vf.netdevs.iter().map(|link| link.mac).chain([admin]).any(|has| has == Some(*mac))
            }
            What::Name => {
                vf.netdevs.iter().any(|link| link.is_called(&self.text))
                    || vf.representor.as_deref() == Some(&self.text)
            }
            What::Of(inner, ranges) => {
                inner.is_pf(pf) && ranges.iter().any(|range| range.contains(&vf.index().0))
            }
        }
    }

    fn find_vfs<'a>(&self, inventory: &'a Inventory) -> Vec<(&'a Pf, &'a Vf)> {
        inventory.vfs().filter(|(pf, vf)| self.is_vf(pf, vf)).collect()
    }

    fn unknown(&self, inventory: &Inventory) -> SelectError {
        let text = match &self.what {
            What::Of(pf, _) if !inventory.pfs.iter().any(|found| pf.is_pf(found)) => {
                return pf.unknown(inventory);
            }
            _ => self.text.clone(),
        };
        if inventory.others.contains(&text) {
            return SelectError::NotSriov { text };
        }
        let links = inventory
            .pfs
            .iter()
            .flat_map(|pf| pf.netdevs.iter().chain(pf.vfs.iter().flat_map(|vf| &vf.netdevs)));
        let names = links.flat_map(|link| link.altnames.iter().chain([&link.name]));
        let nearest = nearest(&text, names.map(String::as_str)).map(str::to_owned);
        SelectError::Unknown { text, nearest }
    }
}

/// The VFs of `pfs` whose numbers lie in `ranges`, in the order they were asked for. Single
/// numbers must exist; a range takes what there is, but at least one.
fn some_of<'a>(
    pfs: &[&'a Pf],
    ranges: &[RangeInclusive<u16>],
) -> Result<Vec<(&'a Pf, &'a Vf)>, SelectError> {
    let mut found: Vec<(&Pf, &Vf)> = Vec::new();
    for pf in pfs {
        for range in ranges {
            let new = |vf: &&Vf| {
                range.contains(&vf.index().0)
                    && !found
                        .iter()
                        .any(|(p, v)| p.facts.device == pf.facts.device && v.index() == vf.index())
            };
            let some: Vec<_> = pf.vfs.iter().filter(new).map(|vf| (*pf, vf)).collect();
            found.extend(some);
            // A range must not pass over a number that is missing at its end unsaid: `0-9` on a
            // PF with four VFs is a mistake, not a wish for four.
            let missing = [*range.start(), *range.end()]
                .into_iter()
                .find(|number| pf.vf(VfIndex(*number)).is_none());
            if let Some(number) = missing {
                return Err(SelectError::NoSuchVf {
                    pf: pf.name(),
                    index: VfIndex(number),
                    count: pf.vfs.len(),
                });
            }
        }
    }
    Ok(found)
}

/// Names as they are typed, those of one PF in one word: `'eth0#0,1,3'`.
pub fn together<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut words: Vec<(String, Vec<&str>)> = Vec::new();
    for name in names {
        let (pf, index) = name.rsplit_once('#').map_or((name, None), |(pf, n)| (pf, Some(n)));
        match words.iter_mut().find(|(known, list)| known == pf && !list.is_empty()) {
            Some((_, list)) => list.extend(index),
            None => words.push((pf.to_owned(), index.into_iter().collect())),
        }
    }
    let word = |(pf, list): &(String, Vec<&str>)| match list.as_slice() {
        [] => shell_word(pf).into_owned(),
        list => shell_word(&format!("{pf}#{}", list.join(","))).into_owned(),
    };
    words.iter().map(word).collect()
}

/// The candidate that `text` is most likely a slip of the keyboard for.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = text.len().div_ceil(3).min(3);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate))
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
