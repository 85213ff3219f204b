use super::*;
use crate::model::doctor::facts::{Loader, Machine};
use crate::model::doctor::only;
use crate::model::facts::{PfFacts, VfFacts};
use crate::model::ids::VfIndex;
use crate::model::link::{Link, Netns};

const PF: &str = "0000:01:00.0";

/// An igb with 7 VFs possible, up, and `count` VFs on igbvf with an interface each.
fn pf(count: u16) -> Pf {
    let link = |name: &str, device: &str| Link {
        name: name.to_owned(),
        up: Some(true),
        parent: Some(device.parse().unwrap()),
        ..Link::default()
    };
    let vf = |index: u16| {
        let device = format!("0000:01:10.{index}");
        let facts = VfFacts {
            index: VfIndex(index),
            device: Some(device.parse().unwrap()),
            driver: Some("igbvf".to_owned()),
            driver_override: None,
            iommu_group: Some(u32::from(index)),
            node: None,
        };
        let netdevs = vec![link(&format!("eth0v{index}"), &device)];
        Vf { facts, netdevs, representor: None, settings: None, stats: None, users: Vec::new() }
    };
    let facts = PfFacts {
        class: Some(0x02_0000),
        id: "8086:10c9".parse().ok(),
        driver: Some("igb".to_owned()),
        total_vfs: Some(7),
        autoprobe: Some(true),
        num_vfs: Some(u32::from(count)),
        ..PfFacts::of(PF.parse().unwrap())
    };
    Pf { facts, netdevs: vec![link("eth0", PF)], vfs: (0..count).map(vf).collect() }
}

fn judged(pf: &Pf, facts: &Facts) -> Vec<Finding> {
    let natives = [(pf.facts.device.clone(), vec!["igb".to_owned()])];
    let given = Given { pfs: &[pf], knows_namespaces: true, natives: &natives, facts };
    judge(&given)
}

/// What is said of a PF with two VFs that is fine but for one thing.
fn said(change: impl Fn(&mut Pf)) -> Vec<Finding> {
    let mut pf = pf(2);
    change(&mut pf);
    let found = judged(&pf, &Facts::default());
    found.into_iter().filter(|finding| finding.severity > Severity::Ok).collect()
}

#[track_caller]
fn one(found: &[Finding], id: Id, severity: Severity, subject: &str, fix: &str) {
    let finding = only(found, id, severity, fix);
    assert_eq!(finding.subject, subject);
    assert_eq!(finding.device.as_ref().map(DeviceId::name), Some(PF));
}

#[test]
fn a_pf_that_is_fine_is_said_to_be() {
    let found = judged(&pf(2), &Facts::default());
    assert_eq!(
        found.iter().map(|finding| finding.id).collect::<Vec<_>>(),
        [Id::PfReady, Id::SriovReady]
    );
    assert_eq!(found[0].text, "has 2 of 7 VFs, driver igb");
    assert_eq!(found[1].text, "1 PF, 2 of 7 VFs");
}

#[test]
fn without_a_pf_that_is_all() {
    let given = Given { pfs: &[], knows_namespaces: true, natives: &[], facts: &Facts::default() };
    let found = judge(&given);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].severity), (Id::NoPf, Severity::Error));
}

#[test]
fn of_a_pf_each_thing_is_found_alone() {
    let (warning, note) = (Severity::Warning, Severity::Note);
    let found = said(|pf| *pf = super::tests::pf(0));
    one(&found, Id::PfNoVfs, note, "eth0", "sriovctl set-numvfs eth0 4");
    let found = said(|pf| {
        *pf = super::tests::pf(0);
        pf.facts.driver = None;
        pf.netdevs.clear();
    });
    let probe = "modprobe igb && echo 0000:01:00.0 > /sys/bus/pci/drivers_probe";
    one(&found, Id::PfNoDriver, warning, PF, probe);
    let found = said(|pf| {
        *pf = super::tests::pf(0);
        pf.facts.total_vfs = Some(0);
    });
    one(&found, Id::PfTotalvfsZero, warning, "eth0", "firmware setup");
    let found = said(|pf| {
        *pf = super::tests::pf(0);
        (pf.facts.total_vfs, pf.facts.driver) = (Some(0), Some("mlx5_core".to_owned()));
    });
    one(&found, Id::PfTotalvfsZero, warning, "eth0", "mstconfig -d 0000:01:00.0 set SRIOV_EN=1");
    let found = said(|pf| pf.netdevs[0].up = Some(false));
    one(&found, Id::PfDown, warning, "eth0", "ip link set eth0 up");
    assert!(found[0].text.contains("no carrier"));
    let found = said(|pf| {
        *pf = super::tests::pf(0);
        (pf.netdevs[0].up, pf.facts.driver) = (Some(false), Some("bnxt_en".to_owned()));
    });
    one(&found, Id::PfDown, warning, "eth0", "ip link set eth0 up");
    assert!(found[0].text.contains("creates VFs only while it is up"));
    let found = said(|pf| pf.facts.num_vfs = Some(3));
    let again = "sriovctl set-numvfs eth0 0 && sriovctl set-numvfs eth0 3";
    one(&found, Id::VfMissing, warning, "eth0", again);
}

#[test]
fn a_pf_elsewhere_is_brought_back_by_name_by_process_or_by_path() {
    for (name, pid, fix) in [
        (Some("blue"), Some(7), "ip -n blue link set eth0 netns 1"),
        (None, Some(7), "nsenter -t 7 -n ip link set eth0 netns 1"),
        (None, None, "nsenter --net=/x ip link set eth0 netns 1"),
    ] {
        let found = said(|pf| {
            let (name, path) = (name.map(str::to_owned), "/x".to_owned());
            let netns = Netns { inode: 1, path, name, pid, comm: None, container: None };
            pf.netdevs[0].netns = Some(std::sync::Arc::new(netns));
        });
        one(&found, Id::PfElsewhere, Severity::Warning, "eth0", fix);
    }
}

#[test]
fn vfs_without_driver_or_interface_are_named_together() {
    let idle = |pf: &mut Pf| {
        for vf in &mut pf.vfs {
            (vf.facts.driver, vf.netdevs) = (None, Vec::new());
        }
    };
    let found = said(idle);
    one(&found, Id::VfNoDriver, Severity::Warning, "eth0#0-1", "bind-dpdk --restore 'eth0#0-1'");
    let found = said(|pf| {
        idle(pf);
        pf.facts.autoprobe = Some(false);
    });
    one(&found, Id::VfNoDriver, Severity::Note, "eth0#0-1", "bind-dpdk --restore");
    let found = said(|pf| pf.vfs[1].netdevs.clear());
    one(&found, Id::VfNoNetdev, Severity::Warning, "eth0#1", "dmesg | grep 0000:01:10.1");
    // What user space drives has none, and VFs of netdevsim have no device.
    let found = said(|pf| {
        (pf.vfs[1].netdevs, pf.vfs[1].facts.driver) = (Vec::new(), Some("vfio-pci".to_owned()));
        (pf.vfs[0].facts.device, pf.vfs[0].facts.driver) = (None, None);
    });
    assert_eq!(found, []);
    let mut holes = pf(6);
    holes.vfs.remove(4);
    holes.vfs.remove(1);
    assert_eq!(some(&holes, &holes.vfs.iter().collect::<Vec<_>>()), "eth0#0,2-3,5");
}

#[test]
fn the_kernels_log_explains_what_is_missing() {
    let log = |line: &str, count| {
        let machine = Machine { loader: Loader::Other, ..Machine::default() };
        let log = vec![line.to_owned(), "unrelated".to_owned()];
        let found = judged(&pf(count), &Facts { machine, log, ..Facts::default() });
        found.into_iter().filter(|finding| finding.severity > Severity::Ok).collect::<Vec<_>>()
    };
    let line = "igb 0000:01:00.0: not enough MMIO resources for SR-IOV";
    one(&log(line, 0), Id::VfNoMmio, Severity::Warning, "eth0", "pci=realloc");
    one(&log(line, 2), Id::VfNoMmio, Severity::Note, "eth0", "pci=realloc");
    let line = "igb 0000:01:00.0: can't enable 7 VFs (bus 03 out of range of [bus 01-02])";
    one(&log(line, 0), Id::VfNoBus, Severity::Warning, "eth0", "pci=assign-busses");
    assert_eq!(log("igb 0000:02:00.0: not enough MMIO resources for SR-IOV", 2), []);
}

#[test]
fn a_pf_on_vfio_pci_may_have_to_be_allowed() {
    let mut pf = pf(0);
    pf.facts.driver = Some("vfio-pci".to_owned());
    let mut facts = Facts::default();
    facts.machine.vfio_creates_vfs = Some(false);
    assert_eq!(judged(&pf, &facts)[0].id, Id::PfVfioNoVfs);
    facts.machine.vfio_creates_vfs = Some(true);
    assert_eq!(judged(&pf, &facts)[0].id, Id::PfNoVfs);
}
