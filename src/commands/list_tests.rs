//! The lists on a host that no made-up tree can be: VF settings, namespaces and processes come from
//! netlink and /proc.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::Value;

use super::console::Console;
use super::{list_pfs, list_vfs};
use crate::cli::{Cli, Command};
use crate::engine::{Kernel, NetnsChoice};
use crate::error::Result;
use crate::model::assemble;
use crate::model::facts::{Facts, Holder, PfFacts, Scope, VfFacts};
use crate::model::ids::{Cidr, DeviceId, PciId, VfIndex, VlanId};
use crate::model::inventory::Inventory;
use crate::model::link::{
    Link, LinkState, Netns, VfReport, VfSettings, VfStats, VlanProto, VlanTag,
};
use crate::model::record::NetnsId;
use crate::model::seen::{Seen, Target};
use crate::model::step::{Outcome, Step};

/// A host that can only be looked at.
struct Still(Facts);

impl Kernel for Still {
    type Guard = ();

    fn observe(&self, scope: Scope) -> Result<Inventory> {
        let mut facts = self.0.clone();
        facts.pfs.retain(|pf| scope.all_classes || pf.class.is_none_or(|class| class >> 16 == 2));
        Ok(assemble::inventory(facts))
    }

    fn apply(&self, _: &Step, _: Duration) -> Result<Outcome> {
        unreachable!()
    }
    fn lock_pf(&self, _: &DeviceId, _: Duration) -> Result<()> {
        unreachable!()
    }
    fn lock_device(&self, _: &DeviceId, _: Option<&DeviceId>, _: Duration) -> Result<()> {
        unreachable!()
    }
    fn lock_call(&self, _: &str, _: &str, _: Duration) -> Result<()> {
        unreachable!()
    }
    fn inspect(&self, _: &DeviceId, _: Option<&NetnsId>) -> Result<Seen> {
        unreachable!()
    }

    fn inspect_with_ip(&self, _: &DeviceId, _: Option<&NetnsId>) -> Result<Seen> {
        unreachable!()
    }
    fn pf_of(&self, _: &DeviceId) -> Option<DeviceId> {
        unreachable!()
    }
    fn find_netns(&self, _: &NetnsChoice) -> Result<NetnsId> {
        unreachable!()
    }
    fn namespaces(&self) -> Result<Vec<Netns>> {
        unreachable!()
    }
    fn look_into(&self, _: &NetnsId, _: &[String]) -> Result<Option<Target>> {
        unreachable!()
    }
    fn announce(&self, _: &DeviceId, _: &NetnsId, _: &[Cidr]) {}
    fn is_named(&self, _: u32) -> bool {
        unreachable!()
    }
    fn num_vfs(&self, _: &DeviceId) -> Result<Option<u32>> {
        Ok(None)
    }

    fn pause(&self, _: Duration) {}
    fn now(&self) -> Duration {
        unreachable!()
    }
}

fn device(text: &str) -> DeviceId {
    text.parse().unwrap()
}

fn pf(at: &str, driver: Option<&str>, vfs: Vec<VfFacts>) -> PfFacts {
    let pci = device(at).pci().is_some();
    PfFacts {
        class: pci.then_some(0x02_0000),
        id: pci.then_some(PciId { vendor: 0x8086, device: 0x10c9 }),
        vf_device: Some(0x10ca),
        model: pci.then(|| "Intel Corporation 82576 Gigabit Network Connection".into()),
        driver: driver.map(str::to_owned),
        total_vfs: pci.then_some(7),
        autoprobe: pci.then_some(true),
        iommu_group: Some(1),
        num_vfs: u32::try_from(vfs.len()).ok(),
        vfs,
        ..PfFacts::of(device(at))
    }
}

fn vf(index: u16, at: &str, driver: Option<&str>) -> VfFacts {
    VfFacts {
        index: VfIndex(index),
        device: Some(device(at)),
        driver: driver.map(str::to_owned),
        driver_override: None,
        iommu_group: Some(10 + u32::from(index)),
        node: (driver == Some("vfio-pci")).then(|| format!("/dev/vfio/{}", 10 + index)),
    }
}

fn link(ifindex: u32, name: &str, parent: Option<&str>) -> Link {
    Link {
        ifindex,
        name: name.into(),
        mac: format!("02:00:00:00:00:{ifindex:02x}").parse().ok(),
        mtu: Some(1500),
        up: Some(false),
        operstate: Some("down".into()),
        parent: parent.map(device),
        ..Link::default()
    }
}

fn up(link: Link) -> Link {
    Link { up: Some(true), operstate: Some("up".into()), speed_mbps: Some(2500), ..link }
}

fn report(index: u16, settings: VfSettings) -> VfReport {
    let stats = VfStats { rx_packets: Some(u64::from(index)), ..VfStats::default() };
    VfReport { index: VfIndex(index), settings, stats: Some(stats) }
}

fn settings(mac: &str, tag: (u16, u8, VlanProto), rates: (u32, u32)) -> VfSettings {
    VfSettings {
        mac: mac.parse().ok(),
        vlan: Some(VlanTag { id: VlanId(tag.0), qos: tag.1, proto: tag.2 }),
        min_tx_rate: Some(rates.0),
        max_tx_rate: Some(rates.1),
        spoofchk: Some(true),
        trust: None,
        link_state: Some(LinkState::Auto),
        node_guid: Some(0x11),
        ..VfSettings::default()
    }
}

/// `eth0`: VF 0 in a container whose interface has a hostile name, VF 1 on vfio and held, VF 2 up in
/// a bond, VF 3 idle. A card with two ports on one address. A PF without a driver. netdevsim.
fn host() -> Still {
    let (pf0, pf1) = (Some("0000:01:00.0"), Some("0000:02:00.0"));
    let igb = vec![
        vf(0, "0000:01:10.0", Some("igbvf")),
        vf(1, "0000:01:10.2", Some("vfio-pci")),
        vf(2, "0000:01:10.4", Some("igbvf")),
        vf(3, "0000:01:10.6", Some("igbvf")),
    ];
    let (q, ad) = (VlanProto::Dot1q, VlanProto::Dot1ad);
    let reports = vec![
        report(0, settings("02:00:00:00:01:00", (100, 3, ad), (0, 1000))),
        report(1, settings("00:00:00:00:00:00", (0, 0, q), (0, 0))),
        report(2, settings("02:00:00:00:01:02", (5, 0, q), (10, 20))),
    ];
    let netns = Netns {
        inode: 4_026_532_001,
        path: "/proc/77/ns/net".into(),
        pid: Some(77),
        comm: Some("redis".into()),
        ..Netns::default()
    };
    let holder = Holder { node: "/dev/vfio/11".into(), pid: 4711, comm: "qemu\x1b[2J".into() };
    let sim = vec![report(0, VfSettings::default())];
    Still(Facts {
        pfs: vec![
            pf("0000:01:00.0", Some("igb"), igb),
            pf("0000:02:00.0", Some("mlx4_core"), Vec::new()),
            pf("0000:03:00.0", None, Vec::new()),
            pf("netdevsim/netdevsim7", Some("netdevsim"), Vec::new()),
        ],
        links: vec![
            Link { vfs: reports, altnames: vec!["enp1s0".into()], ..up(link(2, "eth0", pf0)) },
            link(3, "ib0", pf1),
            link(4, "ib1", pf1),
            Link { vfs: sim, ..up(link(5, "sim0", Some("netdevsim/netdevsim7"))) },
            Link { netns: Some(Arc::new(netns)), ..link(9, "a\x1b[31m", Some("0000:01:10.0")) },
            Link { master: Some(7), ..up(link(6, "eth6", Some("0000:01:10.4"))) },
            link(7, "bond0", None),
            link(8, "eth8", Some("0000:01:10.6")),
        ],
        addresses: vec![(6, "10.0.0.1/24".into())],
        holders: vec![holder],
        knows_usage: true,
        ..Facts::default()
    })
}

fn printed_in(console: Console, args: &[&str]) -> String {
    let cli = Cli::parse_from([&["sriovctl"], args].concat());
    let mut out = Vec::new();
    match cli.command {
        Command::ListPfs(args) => list_pfs::run(&args, &host(), &console, &mut out),
        Command::ListVfs(args) => list_vfs::run(&args, &host(), &console, &mut out),
        other => panic!("{other:?} is no list"),
    }
    .unwrap();
    String::from_utf8(out).unwrap()
}

fn printed(args: &[&str]) -> String {
    printed_in(Console::default(), args)
}

/// Lines with one space between words: how wide columns are is the table's business.
fn squeezed(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[track_caller]
fn check(schema: &str, document: &str) -> Value {
    let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let document = serde_json::from_str(document).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    document
}

#[test]
fn pfs_as_a_table() {
    assert_eq!(
        squeezed(&printed(&["list-pfs"])),
        [
            "PF PCI VFS LINK DRIVER NUMA ESWITCH AUTOPROBE MTU MAC MODEL",
            "sim0 - 0/1/- up 2.5G netdevsim - - - 1500 02:00:00:00:00:05 -",
            "eth0 0000:01:00.0 3/4/7 up 2.5G igb - - on 1500 02:00:00:00:00:02 Intel 82576 Gigabit",
            "ib0,ib1 0000:02:00.0 0/0/7 down mlx4_core - - on 1500 02:00:00:00:00:03 Intel 82576 Gigabit",
            "0000:03:00.0 0000:03:00.0 0/0/7 - - - - on - - Intel 82576 Gigabit",
        ]
    );
}

#[test]
fn vfs_as_a_table() {
    assert_eq!(
        squeezed(&printed(&["list-vfs"])),
        [
            "VF PCI DRIVER NETDEV NETNS USED-BY ADMIN-MAC MAC VLAN TRUST SPOOF STATE RATE IOMMU NODE",
            "sim0#0 - - - - free - - - - - - - - -",
            "eth0#0 0000:01:10.0 igbvf a\\u{1b}[31m /proc/77/ns/net netns redis[77] \
             02:00:00:00:01:00 02:00:00:00:00:09 100/3 ad - on auto <=1000M 10 -",
            "eth0#1 0000:01:10.2 vfio-pci - - qemu\\u{1b}[2J[4711] unset - none - on auto - 11 \
             /dev/vfio/11",
            "eth0#2 0000:01:10.4 igbvf eth6 host master bond0, 10.0.0.1/24 +1 02:00:00:00:01:02 \
             02:00:00:00:00:06 5 - on auto 10-20M 12 -",
            "eth0#3 0000:01:10.6 igbvf eth8 host free - 02:00:00:00:00:08 - - - - - 13 -",
        ]
    );
}

#[test]
fn eighty_columns_keep_what_matters() {
    let text = printed_in(Console::default().with_width(80), &["list-vfs", "eth0"]);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(squeezed(&text)[0], "VF PCI DRIVER NETDEV USED-BY");
}

#[test]
fn everything_that_only_a_live_host_tells_is_as_the_schemas_say() {
    let pfs = check(
        include_str!("../../schemas/list-pfs.schema.json"),
        &printed(&["list-pfs", "--json"]),
    );
    assert_eq!(pfs["pfs"].as_array().map(Vec::len), Some(4));
    for stats in [&["list-vfs", "--json"][..], &["list-vfs", "--json", "--stats"]] {
        let vfs = check(include_str!("../../schemas/list-vfs.schema.json"), &printed(stats));
        let first = &vfs["vfs"][1];
        assert_eq!(first["netns"]["pid"], 77);
        assert_eq!(first["netdev"], "a\u{1b}[31m");
        assert_eq!(first["node_guid"], "00:00:00:00:00:00:00:11");
        assert_eq!(first["trust"], Value::Null, "the driver does not say");
        assert_eq!(vfs["vfs"][0]["pci_address"], Value::Null);
    }
}

#[test]
fn filters_know_who_is_in_use() {
    assert_eq!(printed(&["list-vfs", "--free", "-o", "name"]), "sim0#0\neth0#3\n");
    assert_eq!(printed(&["list-vfs", "--in-use", "-o", "name"]), "eth0#0\neth0#1\neth0#2\n");
    assert_eq!(printed(&["list-pfs", "--in-use", "-o", "name"]), "eth0\n");
    let by_rate = ["list-vfs", "eth0", "--sort", "-max_tx_rate", "-o", "name"];
    assert_eq!(printed(&by_rate), "eth0#0\neth0#2\neth0#1\neth0#3\n");
}

#[test]
fn an_empty_list_says_how_to_fill_it_with_a_name_that_can_be_typed() {
    let inventory = host().observe(Scope::default()).unwrap();
    let said = |operands: &[&str]| {
        let operands: Vec<_> = operands.iter().map(|text| text.parse().unwrap()).collect();
        list_vfs::no_vfs(&inventory, &operands)
    };
    let hint = |pf: &str| format!("sriovctl set-numvfs {pf} N");
    assert_eq!(said(&["02:00.0"]), ("ib0 has no VFs".into(), hint("ib0")));
    assert_eq!(
        said(&["ib1", "0000:03:00.0", "ib0"]),
        ("ib0, 0000:03:00.0 have no VFs".into(), hint("ib0"))
    );
    assert_eq!(said(&[]), ("there are no VFs here".into(), hint("sim0")));
}

#[test]
fn csv_has_no_hole_where_a_table_joins_values() {
    let text = printed(&["list-vfs", "eth0#2", "-o", "csv"]);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let keys = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let field = |key: &str| row.get(keys.iter().position(|has| has == key).unwrap());
    assert_eq!(field("vlan"), Some("5"));
    assert_eq!(field("min_tx_rate"), Some("10"));
    assert_eq!(field("used_by"), Some("master bond0; 10.0.0.1/24; up"));
    assert_eq!(field("trust"), Some(""));
}
