//! What the parsers and the planners take of it, without the kernel and without a process: `cargo bench
//! --bench micro`. `cargo test --all-targets` runs each once.

#[allow(dead_code, reason = "every test binary uses another part of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use divan::{Bencher, black_box};
use sriovctl::engine::Kernel;
use sriovctl::host::Host;
use sriovctl::host::netlink::link;
use sriovctl::model::facts::Scope;
use sriovctl::model::ids::{MacAddr, VfIndex, VlanId};
use sriovctl::model::inventory::Inventory;
use sriovctl::model::link::{Link, VfSettings, VlanProto, VlanTag};
use sriovctl::model::plan::{attach, numvfs};
use sriovctl::model::record::{NetnsId, Owner, Record, VfOf};
use sriovctl::model::seen::{Seen, Target};
use sriovctl::model::selector::Selector;
use sriovctl::model::step::{IpConfig, Place};
use support::named::scale;

fn main() {
    divan::main();
}

/// One attribute of netlink: length, type, value, and nothing to fill up with.
fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).expect("a length").to_ne_bytes();
    let mut attr = [length, kind.to_ne_bytes()].concat();
    attr.extend(value);
    attr.resize(attr.len().next_multiple_of(4), 0);
    attr
}

/// What the kernel says of a PF with so many VFs (include/uapi/linux/if_link.h): name, number of VFs,
/// and of each VF MAC, VLAN, spoof checking, link state, rates and trust.
fn message(vfs: u32) -> Vec<u8> {
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let mut head = vec![0; 16];
    head[2] = 1; // ARPHRD_ETHER
    let vf = |n: u32| {
        let mac = [&words(&[n])[..], &[2, 0, 0, 0, 0, 7], &[0; 26]].concat();
        let settings = [
            attr(1, &mac),
            attr(2, &words(&[n, 100, 0])),
            attr(4, &words(&[n, 1])),
            attr(5, &words(&[n, 0])),
            attr(6, &words(&[n, 0, 1000])),
            attr(9, &words(&[n, 1])),
        ];
        attr(1, &settings.concat())
    };
    let list: Vec<u8> = (0..vfs).flat_map(vf).collect();
    [head, attr(3, b"ens0\0"), attr(21, &words(&[vfs])), attr(22, &list)].concat()
}

#[divan::bench(args = [1, 16, 256])]
fn netlink_link_with_vfs(bencher: Bencher<'_, '_>, vfs: u32) {
    let message = message(vfs);
    let read = link::parse(&message).expect("a link");
    assert_eq!(read.vfs.len(), vfs as usize);
    bencher.bench(|| link::parse(black_box(&message)));
}

/// STATUS of a configuration that names no device: it is read, and nobody is asked for anything.
#[divan::bench]
fn cni_configuration(bencher: Bencher<'_, '_>) {
    let host = Host::new(std::path::Path::new("/nowhere"));
    let config = br#"{"cniVersion":"1.1.0","name":"blue","type":"sriov","vlan":100,
        "vlanQoS":3,"spoofchk":"off","trust":"on","min_tx_rate":0,"max_tx_rate":1000,"link_state":"enable",
        "mac":"02:00:00:00:00:77","capabilities":{"mac":true,"ips":true},"runtimeConfig":{"mac":"02:00:00:00:00:78"}}"#;
    let env = |name: &str| (name == "CNI_COMMAND").then(|| "STATUS".to_owned());
    bencher.bench(|| {
        let mut out = Vec::new();
        sriovctl::cni::run(&env, &mut black_box(&config[..]), &mut out, &host);
        assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
    });
}

#[divan::bench]
fn record(bencher: Bencher<'_, '_>) {
    let seen = seen();
    let planned = attach::plan(&request(), &seen, &target(), None, &moment()).expect("a plan");
    let text = sriovctl::model::json::text(&planned.record).expect("JSON");
    let text = text.as_bytes();
    bencher.bench(|| serde_json::from_slice::<Record>(black_box(text)).expect("a record"));
}

#[divan::bench(args = ["eth0#3", "0000:3b:00.0#0-3,7", "8086:1572", "52:54:00:aa:00:01"])]
fn selector(text: &str) -> Selector {
    black_box(text).parse().expect("a selector")
}

#[divan::bench]
fn plan_attach(bencher: Bencher<'_, '_>) {
    let (request, seen, target, moment) = (request(), seen(), target(), moment());
    bencher.bench(|| {
        attach::plan(black_box(&request), &seen, &target, None, &moment).expect("a plan")
    });
}

#[divan::bench(args = [16, 256, 4096])]
fn plan_numvfs(bencher: Bencher<'_, '_>, vfs: u16) {
    let tree = scale(vfs);
    let inventory: Inventory = Host::new(tree.root()).observe(Scope::default()).expect("a host");
    let request = numvfs::Request { count: 0, driver: None, no_autoprobe: false, force: true };
    bencher.bench(|| numvfs::plan(black_box(&inventory.pfs[0]), &request).expect("a plan"));
}

const WANTED: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x77]);

fn request() -> attach::Request {
    attach::Request {
        owner: Owner {
            network: "blue".into(),
            container: Some("c1".into()),
            ifname: Some("net1".into()),
        },
        name: Some("net1".parse().expect("a name")),
        mac: Some(WANTED),
        mtu: Some(1400),
        settings: VfSettings {
            vlan: Some(tag(100)),
            trust: Some(true),
            spoofchk: Some(false),
            ..VfSettings::default()
        },
        config: IpConfig::default(),
        driver: None,
        told: vec!["/var/lib/cni/sriov/c1-net1".into()],
    }
}

fn tag(id: u16) -> VlanTag {
    VlanTag { id: VlanId(id), qos: 0, proto: VlanProto::Dot1q }
}

fn netns(path: &str, inode: u64) -> NetnsId {
    NetnsId { path: path.into(), device: 4, inode }
}

fn target() -> Target {
    Target { netns: netns("/run/netns/blue", 2), is_host: false, taken: BTreeSet::new() }
}

fn moment() -> attach::Moment {
    attach::Moment { boot_id: "1d458eff-f91f-4a42-8c8d-877a8f08d8d9".into(), time: 1_795_773_071 }
}

/// An idle VF.
fn seen() -> Seen {
    let link = Link {
        name: "eth2".into(),
        mac: Some(MacAddr([2, 0, 0, 0, 0, 1])),
        mtu: Some(1500),
        up: Some(false),
        ..Link::default()
    };
    let settings = VfSettings {
        mac: Some(MacAddr([0; 6])),
        vlan: Some(tag(0)),
        trust: Some(false),
        spoofchk: Some(true),
        ..VfSettings::default()
    };
    Seen {
        device: "0000:01:10.2".parse().expect("a device"),
        exists: true,
        incarnation: Some(15_500),
        vf_of: Some(VfOf { pf: "0000:01:00.0".parse().expect("a device"), index: VfIndex(1) }),
        name: "eth0#1".into(),
        pf_netdev: Some("eth0".into()),
        pf_mtu: Some(1500),
        driver: Some("igbvf".into()),
        driver_override: None,
        link: Some((Place::Host, link)),
        ports: Vec::new(),
        node: None,
        addresses: Vec::new(),
        routes: Vec::new(),
        settings: Some(settings),
        host_names: BTreeSet::from(["eth0".to_owned()]),
        there_names: BTreeSet::new(),
        users: Vec::new(),
    }
}
