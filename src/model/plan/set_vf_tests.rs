//! What is decided about each setting.

use super::*;
use crate::model::facts::{PfFacts, VfFacts};
use crate::model::ids::{Guid, VfIndex, VlanId};
use crate::model::link::{LinkState, Netns, VlanProto, VlanTag};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);

fn pf() -> Pf {
    Pf {
        facts: PfFacts {
            driver: Some("igb".into()),
            total_vfs: Some(7),
            ..PfFacts::of("0000:01:00.0".parse().unwrap())
        },
        netdevs: vec![Link { name: "eth0".into(), mtu: Some(1500), ..Link::default() }],
        vfs: Vec::new(),
    }
}

fn vf() -> Vf {
    let own = Some(MacAddr([2, 0, 0, 0, 0, 1]));
    Vf {
        facts: VfFacts {
            device: Some("0000:01:10.0".parse().unwrap()),
            driver: Some("igbvf".into()),
            ..VfFacts::without_device(VfIndex(1))
        },
        netdevs: vec![Link { mac: own, mtu: Some(1500), ..Link::default() }],
        representor: None,
        settings: Some(VfSettings { query_rss: None, ..fresh_settings() }),
        stats: None,
        users: Vec::new(),
    }
}

/// One line a thing that is asked for.
fn lines(request: &Request, pf: &Pf, vf: &Vf, vectors: Vectors) -> Vec<String> {
    let line = |item: Item| {
        let from = item.from.unwrap_or_else(|| "?".into());
        let head = format!("{} {from} -> {}", item.what.name(), item.what.value());
        match item.steps {
            Err(refusal) => format!("{head}: {refusal:?}"),
            Ok(steps) => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                format!("{head}: [{}]", steps.join("; "))
            }
        }
    };
    plan(request, pf, vf, Some(vectors)).into_iter().map(line).collect()
}

fn planned(request: &Request, vf: &Vf) -> Vec<String> {
    lines(request, &pf(), vf, Vectors::default())
}

#[test]
fn what_resets_a_vf_comes_first_and_the_mac_last() {
    let request = Request {
        settings: VfSettings {
            trust: Some(true),
            vlan: Some(VlanTag { id: VlanId(100), qos: 3, proto: VlanProto::Dot1ad }),
            max_tx_rate: Some(500),
            spoofchk: Some(false),
            link_state: Some(LinkState::Enable),
            query_rss: Some(true),
            ..VfSettings::default()
        },
        mac: Some(MAC),
        mtu: Some(1400),
        ..Request::default()
    };
    let set = |what: &str| format!("set {what} on 0000:01:00.0#1");
    let own = |what: &str| format!("set {what} on the interface of 0000:01:00.0#1");
    assert_eq!(
        planned(&request, &vf()),
        [
            format!("trust off -> on: [{}]", set("trust on")),
            format!("vlan 0 -> 100 qos 3 proto 802.1ad: [{}]", set("vlan 100 qos 3 proto 802.1ad")),
            format!(
                "tx_rate min 0 max 0 -> min 0 max 500: [{}]",
                set("min_tx_rate 0 max_tx_rate 500")
            ),
            format!("spoofchk on -> off: [{}]", set("spoofchk off")),
            format!("link_state auto -> enable: [{}]", set("state enable")),
            format!("query_rss ? -> on: [{}]", set("query_rss on")),
            format!("mtu 1500 -> 1400: [{}]", own("mtu 1400")),
            format!(
                "mac 00:00:00:00:00:00 -> {MAC}: [{}; {}]",
                own(&format!("address {MAC}")),
                set(&format!("mac {MAC}"))
            ),
        ]
    );
}

#[test]
fn what_is_so_has_no_steps() {
    let request = Request {
        settings: VfSettings { trust: Some(false), min_tx_rate: Some(0), ..VfSettings::default() },
        mtu: Some(1500),
        ..Request::default()
    };
    assert!(planned(&request, &vf()).iter().all(|line| line.ends_with(": []")));
}

#[test]
fn a_mac_is_so_when_both_are() {
    let request = Request { mac: Some(MAC), ..Request::default() };
    let mut vf = vf();
    vf.settings.as_mut().unwrap().mac = Some(MAC);
    // An untrusted VF may not change its own while its PF has set one.
    assert_eq!(plan(&request, &pf(), &vf, None)[0].steps.as_ref().unwrap().len(), 3);
    vf.netdevs[0].mac = Some(MAC);
    assert_eq!(plan(&request, &pf(), &vf, None)[0].steps, Ok(Vec::new()));
    // Of an interface that is elsewhere only the PF's counts.
    vf.netdevs[0].netns = Some(Netns::default().into());
    vf.netdevs[0].mac = None;
    assert_eq!(plan(&request, &pf(), &vf, None)[0].steps, Ok(Vec::new()));
}

#[test]
fn a_reset_asks_for_what_the_driver_tells_and_named_things_win() {
    let request = Request {
        settings: VfSettings { trust: Some(true), ..VfSettings::default() },
        reset: true,
        ..Request::default()
    };
    let mut vf = vf();
    let has = vf.settings.as_mut().unwrap();
    (has.mac, has.vlan) = (Some(MAC), Some(VlanTag { id: VlanId(7), ..VlanTag::default() }));
    (has.max_tx_rate, has.spoofchk) = (Some(100), Some(false));
    vf.netdevs[0].mtu = Some(1400);
    let lines = planned(&request, &vf);
    let heads: Vec<&str> =
        lines.iter().filter_map(|line| Some(line.split_once(": [")?.0)).collect();
    assert_eq!(
        heads,
        [
            "trust off -> on",
            "vlan 7 -> 0",
            "tx_rate min 0 max 100 -> min 0 max 0",
            "spoofchk off -> on",
            "link_state auto -> auto",
            "mtu 1400 -> 1500",
            "mac 02:00:00:00:00:07 -> 00:00:00:00:00:00",
        ]
    );
    assert!(lines[6].ends_with("[set mac 00:00:00:00:00:00 on 0000:01:00.0#1]"), "{lines:?}");
}

#[test]
fn what_cannot_be_is_told_before_anything_is_sent() {
    let guid = Some(Guid(1).0);
    let request = Request {
        settings: VfSettings {
            node_guid: guid,
            port_guid: guid,
            min_tx_rate: Some(9),
            ..VfSettings::default()
        },
        mtu: Some(9000),
        vectors: Some(8),
        ..Request::default()
    };
    let mut vf = vf();
    vf.settings.as_mut().unwrap().max_tx_rate = Some(5);
    let said = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.rsplit_once(": ").unwrap().1.to_owned()).collect()
    };
    let all = lines(&request, &pf(), &vf, Vectors::default());
    assert!(all[1].ends_with("RateAbove { min: 9, max: 5 }"), "{all:?}");
    let all = said(all);
    assert_eq!((&*all[0], &*all[2], &*all[3]), ("FixedVectors", "NotInfiniband", "NotInfiniband"));
    assert_eq!(all[4], "MtuAbovePf(1500)");

    let vectors = Vectors { count: Some(4), can_change: true };
    let only = Request { vectors: Some(8), mtu: Some(1400), ..Request::default() };
    let all = said(lines(&only, &pf(), &vf, vectors));
    assert_eq!(all, ["HasDriver(\"igbvf\")", "[set mtu 1400 on the interface of 0000:01:00.0#1]"]);
    vf.facts.driver = None;
    vf.netdevs.clear();
    let all = said(lines(&only, &pf(), &vf, vectors));
    assert_eq!(all, ["[give 0000:01:00.0#1 8 interrupt vectors]", "NoInterface(None)"]);
    vf.netdevs.push(Link {
        netns: Some(Netns { name: Some("blue".into()), ..Netns::default() }.into()),
        ..Link::default()
    });
    assert_eq!(said(lines(&only, &pf(), &vf, vectors))[1], "Away(\"blue\")");
}

#[test]
fn a_pf_that_is_not_here_sets_nothing() {
    let request = Request {
        settings: VfSettings { trust: Some(true), ..VfSettings::default() },
        mac: Some(MAC),
        ..Request::default()
    };
    let (mut pf, vf) = (pf(), vf());
    pf.netdevs[0].netns = Some(Netns { name: Some("red".into()), ..Netns::default() }.into());
    for item in plan(&request, &pf, &vf, None) {
        assert_eq!(item.steps, Err(Refusal::NoPf(Some("red".into()))));
    }
    pf.netdevs.clear();
    assert_eq!(plan(&request, &pf, &vf, None)[0].steps, Err(Refusal::NoPf(None)));
}

#[test]
fn guids_are_infinibands() {
    let settings = VfSettings { node_guid: Some(1), port_guid: Some(2), ..VfSettings::default() };
    let request = Request { settings, ..Request::default() };
    let (mut pf, mut vf) = (pf(), vf());
    pf.netdevs[0].infiniband = true;
    vf.settings.as_mut().unwrap().port_guid = Some(2);
    let all = plan(&request, &pf, &vf, None);
    assert_eq!(all[0].steps.as_ref().map(Vec::len), Ok(1));
    assert_eq!(
        (all[1].steps.as_ref().map(Vec::len), all[1].from.as_deref()),
        (Ok(0), Some("00:00:00:00:00:00:00:02"))
    );
}
