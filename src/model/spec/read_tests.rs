use super::*;
use crate::model::ids::{VfIndex, VlanId};
use crate::model::link::VlanProto;
use crate::model::spec::{Eswitch, Switch};

fn fault(text: &str) -> String {
    read(&format!("version: 1\n{text}")).unwrap_err().to_string()
}

#[test]
fn every_key_is_read_and_later_entries_have_the_last_word() {
    let spec = read(
        "version: 1
pfs:
- pf: '0000:3b:00.0'
  mac: 52:54:00:aa:00:00
  eswitch_mode: legacy
  mtu: 9000
  up: on
  autoprobe: off
  numvfs: 8
  vfs:
  - vfs: all
    trust: off
    spoofchk: true
    vlan: 100
    qos: 3
    max_tx_rate: 1000
  - vfs: 0-3,7
    driver: vfio-pci
    owner: 'dpdk:dpdk'
    mode: 0660
  - vfs: 3
    mac: 02:00:00:00:00:03
    vlan: 7
    proto: 802.1ad
    link_state: enable
",
    )
    .unwrap();
    let pf = &spec.pfs[0];
    assert_eq!(pf.eswitch_mode, Some(Eswitch::Legacy));
    assert_eq!((pf.autoprobe, pf.up), (Some(Switch(false)), Some(Switch(true))));
    let third = pf.of_vf(VfIndex(3));
    assert_eq!(third.vlan, Some(VlanId(7)));
    // The tag of another entry does not lend its priority.
    let tag = third.settings().vlan.unwrap();
    assert_eq!((tag.qos, tag.proto), (0, VlanProto::Dot1ad));
    assert_eq!(third.mode.unwrap().0, 0o660);
    assert_eq!(third.trust, Some(Switch(false)));
    let fifth = pf.of_vf(VfIndex(5));
    assert_eq!((fifth.driver, fifth.max_tx_rate), (None, Some(1000)));
}

#[test]
fn what_is_written_is_read_again() {
    let text = "version: 1
pfs:
  - pf: \"0000:01:00.0\"
    mac: \"52:54:00:aa:00:00\"
    autoprobe: on
    numvfs: 7
    vfs:
      - vfs: \"0-3\"
        driver: vfio-pci
        owner: \"1000:1000\"
        mode: \"0660\"
      - vfs: all
        vlan: 100
        proto: \"802.1ad\"
        trust: off
        link_state: auto
";
    let spec = read(text).unwrap();
    assert_eq!(spec.to_yaml(), text);
    // JSON is the same in other words.
    let json = serde_json::to_string_pretty(&spec).unwrap();
    assert_eq!(read(&json).unwrap(), spec);
}

#[test]
fn words_that_some_reader_takes_for_something_else_are_quoted() {
    for word in ["no", "On", "1e3", "0660", "0x10", "12:30:45", "~", "", "a b", "a#b", "null"] {
        let mut spec = read("version: 1\npfs:\n- pf: x\n").unwrap();
        let Ok(selector) = word.parse() else { continue };
        spec.pfs[0].pf = selector;
        let yaml = spec.to_yaml();
        assert!(yaml.contains(&format!("pf: \"{word}\"")), "{yaml}");
    }
}

#[test]
fn a_fault_names_its_place() {
    for (text, says) in [
        ("pfs:\n- pf: eth0\n  nmvfs: 7\n", "pfs[0]: unknown field `nmvfs`"),
        ("pfs:\n- pf: eth0\n  numvfs: many\n", "pfs[0].numvfs: invalid type: string \"many\""),
        ("pfs:\n- pf: eth0\n  pf: eth1\n", "duplicate field `pf`"),
        ("pfs:\n- numvfs: 1\n", "missing field `pf`"),
        ("pfs:\n- pf: eth0#3\n", "VFs are named below it"),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 9-1\n    vlan: 1\n", "is not a list of VF numbers"),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 1\n    vlan: 5000\n", "vlan is 0 to 4094"),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 1\n    trust: maybe\n", "on or off"),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 1\n    trsut: on\n", "unknown field `trsut`"),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 1\n", "pfs[0].vfs[0]: it says nothing"),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 0-1\n    mac: 02:00:00:00:00:01\n", "that of one VF"),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 1\n    mac: 01:00:00:00:00:01\n", "names a group"),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 1\n    qos: 1\n", "needs a vlan"),
        (
            "pfs:\n- pf: eth0\n  numvfs: 4\n  vfs:\n  - vfs: 0-4\n    vlan: 1\n",
            "no VF 4: numvfs is 4",
        ),
        ("pfs:\n- pf: eth0\n  vfs:\n  - vfs: 1\n    owner: alice\n", "VF 1 has owner"),
        (
            "pfs:\n- pf: eth0\n  vfs:\n  - vfs: all\n    mtu: 1400\n  - vfs: 2-3\n    driver: vfio-pci\n",
            "VF 2 has an mtu",
        ),
        (
            "pfs:\n- pf: eth0\n  vfs:\n  - vfs: all\n    min_tx_rate: 10\n  - vfs: 2\n    max_tx_rate: 5\n",
            "VF 2 has a lowest rate, 10, above",
        ),
    ] {
        let said = fault(text);
        assert!(said.contains(says), "{text}: {said}");
    }
    assert!(read("").unwrap_err().to_string().contains("it is empty"));
    assert!(read("version: 2\n").unwrap_err().to_string().contains("version 2"));
    assert!(read("{\"version\": 1, \"pf\": []}").unwrap_err().to_string().contains("line 1"));
}

#[test]
fn what_would_grow_without_end_is_refused() {
    let list = |name: char, of: &str| format!("{name}: &{name} [{}]\n", [of; 9].join(","));
    let aliases = "bcdefghi".chars().zip('a'..).map(|(name, of)| list(name, &format!("*{of}")));
    let bomb = format!("version: 1\n{}{}", list('a', "x"), aliases.collect::<String>());
    assert!(read(&bomb).is_err());
    assert!(read(&("version: 1\npfs: ".to_owned() + &"[".repeat(100_000))).is_err());
    assert!(read(&("{\"version\": 1, \"pfs\": ".to_owned() + &"[".repeat(100_000))).is_err());
}
