//! What became of PFs and VFs between two looks.

use super::ids::{DeviceId, Guid};
use super::inventory::{Inventory, Pf, Vf};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// What the PF is called.
    pub pf: String,
    /// `PF#index`, where it is about a VF.
    pub vf: Option<String>,
    /// The device it is about; `None`: a VF without one of its own.
    pub device: Option<DeviceId>,
    /// What changed, of [`Kind::Changed`].
    pub attribute: Option<&'static str>,
    /// How it was; `None`: nobody says, or there was none.
    pub from: Option<String>,
    /// How it is.
    pub to: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Something about it is other than before.
    Changed,
}

impl Kind {
    /// A stable word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// A fact about a device, by its name.
type Fact = (&'static str, Option<String>);

/// What happened, PF by PF, what went before what came.
pub fn between(before: &Inventory, now: &Inventory) -> Vec<Event> {
    let mut events = Vec::new();
    for old in &before.pfs {
        if now.pfs.iter().all(|pf| pf.facts.device != old.facts.device) {
            events.extend(old.vfs.iter().map(|vf| of_vf(Kind::Removed, old, vf)));
            events.push(of_pf(Kind::Removed, old));
        }
    }
    for pf in &now.pfs {
        let Some(old) = before.pfs.iter().find(|old| old.facts.device == pf.facts.device) else {
            events.push(of_pf(Kind::Added, pf));
            events.extend(pf.vfs.iter().map(|vf| of_vf(Kind::Added, pf, vf)));
            continue;
        };
        let changed = of_pf(Kind::Changed, pf);
        events.extend(differences(&changed, &pf_facts(old), &pf_facts(pf)));
        let gone = |vf: &&Vf| pf.vf(vf.index()).is_none();
        events.extend(old.vfs.iter().filter(gone).map(|vf| of_vf(Kind::Removed, pf, vf)));
        for vf in &pf.vfs {
            match old.vf(vf.index()) {
                None => events.push(of_vf(Kind::Added, pf, vf)),
                Some(was) => {
                    let changed = of_vf(Kind::Changed, pf, vf);
                    events.extend(differences(&changed, &vf_facts(was), &vf_facts(vf)));
                }
            }
        }
    }
    events
}

fn of_pf(kind: Kind, pf: &Pf) -> Event {
    Event {
        kind,
        pf: pf.name(),
        vf: None,
        device: Some(pf.facts.device.clone()),
        attribute: None,
        from: None,
        to: None,
    }
}

fn of_vf(kind: Kind, pf: &Pf, vf: &Vf) -> Event {
    Event { vf: Some(pf.vf_name(vf.index())), device: vf.facts.device.clone(), ..of_pf(kind, pf) }
}

fn differences(changed: &Event, before: &[Fact], now: &[Fact]) -> Vec<Event> {
    let pairs = before.iter().zip(now).filter(|(old, new)| old.1 != new.1);
    let event = |((name, from), (_, to)): (&Fact, &Fact)| Event {
        attribute: Some(*name),
        from: from.clone(),
        to: to.clone(),
        ..changed.clone()
    };
    pairs.map(event).collect()
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn switch(value: Option<bool>) -> Option<String> {
    value.map(|on| if on { "on" } else { "off" }.to_owned())
}

fn pf_facts(pf: &Pf) -> Vec<Fact> {
    let link = pf.netdev();
    vec![
        ("driver", pf.facts.driver.clone()),
        ("netdev", link.map(|link| link.name.clone())),
        ("netns", link.and_then(|link| link.netns.as_ref()).map(|netns| netns.label())),
        ("eswitch_mode", pf.facts.eswitch_mode.clone()),
        ("autoprobe", switch(pf.facts.autoprobe)),
        ("vfs", Some(pf.vfs.len().to_string())),
        ("mac", link.and_then(|link| text(link.mac))),
        ("mtu", link.and_then(|link| text(link.mtu))),
        ("up", link.and_then(|link| switch(link.up))),
        ("operstate", link.and_then(|link| link.operstate.clone())),
    ]
}

fn vf_facts(vf: &Vf) -> Vec<Fact> {
    let link = vf.netdev();
    let settings = vf.settings.clone().unwrap_or_default();
    let users: Vec<String> = vf.users.iter().map(ToString::to_string).collect();
    vec![
        ("driver", vf.facts.driver.clone()),
        ("netdev", link.map(|link| link.name.clone())),
        ("netns", vf.netns().map(|netns| netns.label())),
        ("used_by", (!users.is_empty()).then(|| users.join(", "))),
        ("admin_mac", text(settings.mac)),
        ("mac", text(vf.mac())),
        ("vlan", settings.vlan.map(|tag| tag.id.to_string())),
        ("vlan_qos", settings.vlan.map(|tag| tag.qos.to_string())),
        ("vlan_proto", settings.vlan.map(|tag| tag.proto.to_string())),
        ("trust", switch(settings.trust)),
        ("spoofchk", switch(settings.spoofchk)),
        ("link_state", text(settings.link_state)),
        ("min_tx_rate", text(settings.min_tx_rate)),
        ("max_tx_rate", text(settings.max_tx_rate)),
        ("query_rss", switch(settings.query_rss)),
        ("node_guid", text(settings.node_guid.map(Guid))),
        ("port_guid", text(settings.port_guid.map(Guid))),
        ("mtu", link.and_then(|link| text(link.mtu))),
        ("up", link.and_then(|link| switch(link.up))),
        ("operstate", link.and_then(|link| link.operstate.clone())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{PfFacts, VfFacts};
    use crate::model::ids::VfIndex;
    use crate::model::link::{Link, VfSettings};

    fn host(vfs: &[(u16, Option<&str>, Option<bool>)]) -> Inventory {
        let vf = |(index, driver, trust): &(u16, Option<&str>, Option<bool>)| Vf {
            facts: VfFacts {
                driver: driver.map(str::to_owned),
                ..VfFacts::without_device(VfIndex(*index))
            },
            netdevs: Vec::new(),
            representor: None,
            settings: Some(VfSettings { trust: *trust, ..VfSettings::default() }),
            stats: None,
            users: Vec::new(),
        };
        let pf = Pf {
            facts: PfFacts::of("0000:01:00.0".parse().unwrap()),
            netdevs: vec![Link { name: "eth0".into(), ..Link::default() }],
            vfs: vfs.iter().map(vf).collect(),
        };
        Inventory { pfs: vec![pf], ..Inventory::default() }
    }

    fn words(events: &[Event]) -> Vec<String> {
        let word = |event: &Event| {
            let what = event.vf.as_ref().unwrap_or(&event.pf);
            match event.attribute {
                None => format!("{what} {}", event.kind.word()),
                Some(attribute) => format!("{what} {attribute} {:?} {:?}", event.from, event.to),
            }
        };
        events.iter().map(word).collect()
    }

    #[test]
    fn what_came_went_and_changed_is_told_once() {
        let before = host(&[(0, Some("igbvf"), Some(false)), (1, None, None)]);
        let now = host(&[(0, Some("vfio-pci"), Some(true)), (2, None, None)]);
        assert_eq!(
            words(&between(&before, &now)),
            [
                "eth0#1 removed",
                "eth0#0 driver Some(\"igbvf\") Some(\"vfio-pci\")",
                "eth0#0 trust Some(\"off\") Some(\"on\")",
                "eth0#2 added",
            ]
        );
        assert_eq!(between(&now, &now), []);
        // Every setting of a VF is one whose change is told.
        let settings = |text| serde_json::from_str::<VfSettings>(text).unwrap();
        let mut other = host(&[(0, Some("vfio-pci"), Some(true)), (2, None, None)]);
        other.pfs[0].vfs[0].settings = Some(settings(
            r#"{"mac":"02:00:00:00:00:01","vlan":{"id":5,"qos":1,"proto":"802.1ad"},"min_tx_rate":1,
            "max_tx_rate":2,"spoofchk":true,"trust":false,"link_state":"disable","query_rss":true,
            "node_guid":1,"port_guid":2}"#,
        ));
        let told: Vec<&str> =
            between(&now, &other).iter().filter_map(|event| event.attribute).collect();
        let all = "admin_mac vlan vlan_qos vlan_proto trust spoofchk link_state min_tx_rate max_tx_rate \
            query_rss node_guid port_guid";
        assert_eq!(told.join(" "), all);
        let none = Inventory::default();
        assert_eq!(words(&between(&none, &before)), ["eth0 added", "eth0#0 added", "eth0#1 added"]);
        assert_eq!(
            words(&between(&before, &none)),
            ["eth0#0 removed", "eth0#1 removed", "eth0 removed"]
        );
    }
}
