//! `attach` and `detach` when steps are refused, when the program dies, and when others meddle with
//! the VF in between: the VF is as it was, or where it was meant to be, and never anything else.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use proptest::prelude::*;
use sriovctl::engine::Silent;
use sriovctl::engine::attach::{Attached, Choice, attach, configure, has_free};
use sriovctl::engine::detach::{Detached, detach};
use sriovctl::engine::state::{self, Verdict};
use sriovctl::model::ids::{MacAddr, VlanId};
use sriovctl::model::link::{LinkState, VfSettings, VlanProto, VlanTag};
use sriovctl::model::plan::attach::Request;
use sriovctl::model::record::{Owner, Record, Resize};
use sriovctl::model::selector::Selector;
use sriovctl::model::step::IpConfig;
use sriovctl::model::usage::User;
use sriovctl::{Kind, Result};

use super::kernel::{FakeKernel, Faults, PF, SECOND_PORT, World, device_of, netns};
use super::{CASES, count_case};

static ATTACHES: AtomicU32 = AtomicU32::new(0);
static DETACHES: AtomicU32 = AtomicU32::new(0);

const BLUE: u64 = 100;
const RED: u64 = 200;
/// VF 1 is the one that is attached.
const VF: u16 = 1;

pub fn kernel() -> FakeKernel {
    let kernel = FakeKernel::with_vfs(4);
    {
        let mut world = kernel.world.borrow_mut();
        world.namespaces.insert(BLUE, ["lo".to_owned()].into());
        world.namespaces.insert(RED, ["lo".to_owned(), "eth2".to_owned()].into());
        world.host_others.insert("eth0".to_owned());
    }
    kernel.change_vf(VF, |vf| {
        vf.netdev.as_mut().unwrap().altnames = vec!["one".into(), "uno".into()];
    });
    kernel
}

pub fn plain() -> Request {
    Request {
        owner: Owner::manual(),
        name: Some("net1".parse().unwrap()),
        mac: None,
        mtu: None,
        settings: VfSettings::default(),
        config: IpConfig::default(),
        driver: None,
        told: Vec::new(),
    }
}

pub fn everything() -> Request {
    Request {
        mac: Some(MacAddr([2, 0, 0, 0, 0, 9])),
        mtu: Some(1400),
        settings: VfSettings {
            vlan: Some(VlanTag { id: VlanId(100), qos: 3, proto: VlanProto::Dot1q }),
            trust: Some(true),
            spoofchk: Some(false),
            max_tx_rate: Some(100),
            link_state: Some(LinkState::Enable),
            ..VfSettings::default()
        },
        config: IpConfig { addresses: vec!["10.0.0.1/24".parse().unwrap()], routes: Vec::new() },
        ..plain()
    }
}

fn attach_to(kernel: &FakeKernel, inode: u64, request: &Request) -> Result<Attached> {
    let choice = Choice::Vf("eth0#1".parse().unwrap());
    attach(kernel, &choice, &netns(inode), request, false, &Silent)
}

fn give_back(kernel: &FakeKernel) -> Result<Detached> {
    detach(kernel, &device_of(VF), &|_| true, &Silent)
}

/// What an administrator does after a crash: everything that is not as it should be is put right.
fn repair(kernel: &FakeKernel) {
    kernel.begin_with(Faults::default());
    for entry in state::examine(kernel).unwrap() {
        state::repair(kernel, &entry, &Silent).unwrap();
    }
}

#[test]
fn addresses_are_not_given_to_what_somebody_else_has_by_now() {
    let kernel = kernel();
    let first = attach_to(&kernel, BLUE, &plain()).unwrap();
    // While its addresses are asked for, its namespace ends, and another gets the VF.
    kernel.delete_netns(BLUE);
    let other = Request { owner: Owner { network: "b".into(), ..Owner::manual() }, ..everything() };
    attach_to(&kernel, RED, &other).unwrap();
    let (world, records) = (kernel.world(), kernel.records.borrow().clone());
    let config = IpConfig { addresses: vec!["10.0.0.9/24".parse().unwrap()], routes: Vec::new() };
    let error = configure(&kernel, first, &plain(), config, &Silent).unwrap_err();
    assert!(error.message().contains("given back meanwhile"), "{error}");
    assert_eq!(kernel.world(), world);
    assert_eq!(*kernel.records.borrow(), records);
}

fn assert_restored(kernel: &FakeKernel, before: &World) {
    assert_eq!(kernel.world(), *before);
    assert!(kernel.records.borrow().is_empty(), "a record is left");
}

#[test]
fn what_is_attached_is_as_asked_for_and_comes_back_as_it_was() {
    for request in [plain(), everything()] {
        let kernel = kernel();
        let before = kernel.world();
        attach_to(&kernel, BLUE, &request).unwrap();
        let vf = kernel.world().vfs[&VF].clone();
        let netdev = vf.netdev.unwrap();
        assert_eq!((netdev.name.as_str(), netdev.netns, netdev.up), ("net1", Some(BLUE), true));
        assert_eq!(netdev.mtu, request.mtu.unwrap_or(1500));
        if let Some(mac) = request.mac {
            assert_eq!((netdev.mac, vf.settings.mac), (mac, Some(mac)));
            assert_eq!(vf.settings.vlan, request.settings.vlan);
            assert_eq!(netdev.addresses, ["10.0.0.1/24"]);
        }
        let entries = state::examine(&kernel).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].verdict, Verdict::Ok);
        assert!(matches!(give_back(&kernel).unwrap(), Detached::Done(_)));
        assert_restored(&kernel, &before);
        assert!(matches!(give_back(&kernel).unwrap(), Detached::NotAttached(_)), "a second time");
        assert_restored(&kernel, &before);
    }
}

#[test]
fn of_settings_that_are_made_at_once_the_refused_one_is_named_and_all_are_undone() {
    let kernel = kernel();
    let before = kernel.world();
    let takes_many = Faults { takes_many: true, ..Faults::default() };
    kernel.begin_with(Faults { refuses_vlan: true, ..takes_many.clone() });
    let error = attach_to(&kernel, BLUE, &everything()).unwrap_err();
    assert!(error.message().contains("vlan 100"), "{error}");
    assert_restored(&kernel, &before);
    // What is refused once only is made one by one.
    for nth in 0..5 {
        kernel.begin_with(Faults { refuse: Some((nth, 16)), ..takes_many.clone() });
        attach_to(&kernel, BLUE, &everything()).unwrap();
        give_back(&kernel).unwrap();
        assert_restored(&kernel, &before);
    }
}

#[test]
fn refusals_name_the_holder_or_the_reason_and_change_nothing() {
    let kernel = kernel();
    attach_to(&kernel, BLUE, &plain()).unwrap();
    let before = kernel.world();
    let error = attach_to(&kernel, RED, &plain()).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.message().contains("manual has it as net1 in /run/netns/100"), "{error}");
    assert_eq!(kernel.world(), before);

    let kernel = self::kernel();
    let before = kernel.world();
    let taken = Request { name: Some("eth2".parse().unwrap()), ..plain() };
    let too_large = Request { mtu: Some(9000), ..plain() };
    for (inode, request, said) in [
        (RED, &taken, "has an interface called eth2 already"),
        (BLUE, &too_large, "more than its PF's 1500"),
        (300, &plain(), "is gone"),
    ] {
        let error = attach_to(&kernel, inode, request).unwrap_err();
        assert!(error.message().contains(said), "{error}");
        assert_restored(&kernel, &before);
    }
}

#[test]
fn a_former_owners_detach_takes_nothing_from_the_next() {
    let kernel = kernel();
    attach_to(&kernel, RED, &plain()).unwrap();
    let before = kernel.world();
    let of_blue = |record: &Record| record.netns.inode == BLUE;
    let done = detach(&kernel, &device_of(VF), &of_blue, &Silent).unwrap();
    assert!(matches!(done, Detached::NotAttached(_)));
    assert_eq!(kernel.world(), before);
    assert_eq!(kernel.records.borrow().len(), 1);
}

#[test]
fn a_record_of_another_boot_is_cleared_and_in_nobodys_way() {
    let kernel = kernel();
    attach_to(&kernel, BLUE, &plain()).unwrap();
    *kernel.boot_id.borrow_mut() = "another".into();
    kernel.delete_netns(BLUE);
    kernel.world.borrow_mut().namespaces.insert(BLUE, ["lo".to_owned()].into());
    kernel.change_vf(VF, |vf| vf.netdev.as_mut().unwrap().name = "eth2".into());
    attach_to(&kernel, BLUE, &plain()).unwrap();
    assert_eq!(kernel.records.borrow()[&device_of(VF)].1.boot_id, "another");
}

#[test]
fn a_change_of_numbers_that_a_power_cut_ended_is_in_nobodys_way() {
    let kernel = kernel();
    let resize = Resize {
        format: 1,
        boot_id: "the last one".to_owned(),
        since: 1,
        pf: PF.parse().unwrap(),
        before: 4,
        autoprobe: None,
        saved: Vec::new(),
        ended: false,
    };
    let keep =
        |resize: &Resize| kernel.resizes.borrow_mut().insert(resize.pf.clone(), resize.clone());
    keep(&resize);
    attach_to(&kernel, BLUE, &plain()).unwrap();
    give_back(&kernel).unwrap();
    let entries = state::examine(&kernel).unwrap();
    assert!(entries[0].verdict.details()[0].contains("before the last boot"), "{entries:?}");
    let boot_id = kernel.boot_id.borrow().clone();
    keep(&Resize { boot_id, ..resize });
    let error = attach_to(&kernel, BLUE, &plain()).unwrap_err();
    assert!(error.message().contains("was cut off"), "{error}");
}

#[test]
fn the_owner_of_a_deleted_namespace_is_in_nobodys_way() {
    let kernel = kernel();
    let before = kernel.world();
    attach_to(&kernel, BLUE, &everything()).unwrap();
    kernel.delete_netns(BLUE);
    attach_to(&kernel, RED, &plain()).unwrap();
    give_back(&kernel).unwrap();
    let mut after = kernel.world();
    after.namespaces = before.namespaces.clone();
    assert_eq!(after, before, "the first one's settings are gone too");
}

#[test]
fn a_name_taken_on_the_host_keeps_the_record_until_it_is_free() {
    let kernel = kernel();
    let before = kernel.world();
    attach_to(&kernel, BLUE, &plain()).unwrap();
    kernel.world.borrow_mut().host_others.insert("eth2".into());
    let error = give_back(&kernel).unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
    assert!(error.detail_lines()[0].contains("name eth2"), "{error:?}");
    let netdev = kernel.world().vfs[&VF].netdev.clone().unwrap();
    assert_eq!((netdev.netns, netdev.name.as_str()), (None, "sriov0"), "it can be used already");
    assert_eq!(kernel.records.borrow().len(), 1);

    kernel.world.borrow_mut().host_others.remove("eth2");
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn an_altname_that_the_host_has_keeps_nothing_in_the_container() {
    let kernel = kernel();
    let before = kernel.world();
    attach_to(&kernel, BLUE, &plain()).unwrap();
    kernel.change_vf(VF, |vf| vf.netdev.as_mut().unwrap().altnames = vec!["eth0".into()]);
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn the_mac_of_one_that_user_space_drives_is_set_again() {
    let kernel = kernel();
    let request = Request { driver: Some("vfio-pci".into()), ..everything() };
    attach_to(&kernel, BLUE, &request).unwrap();
    let attached = kernel.world();
    kernel.change_vf(VF, |vf| vf.settings.mac = Some(MacAddr([2, 0, 0, 0, 0, 7])));
    repair(&kernel);
    assert_eq!(kernel.world(), attached);
}

#[test]
fn a_pool_gives_each_vf_once_and_then_says_that_none_is_free() {
    let kernel = kernel();
    let choice = Choice::AnyOf { pool: vec!["eth0".parse().unwrap()], numa: None };
    let mut taken = Vec::new();
    for n in 0..4 {
        let request = Request { name: Some(format!("net{n}").parse().unwrap()), ..plain() };
        let done = attach(&kernel, &choice, &netns(BLUE), &request, false, &Silent).unwrap();
        assert!(!taken.contains(&done.record.device));
        taken.push(done.record.device);
    }
    assert_eq!(kernel.observed.get(), 0);
    let error = attach(&kernel, &choice, &netns(BLUE), &plain(), false, &Silent).unwrap_err();
    assert_eq!(error.message(), "no VF of eth0 is free");
}

/// Takes one of `eth0`'s VFs, and returns its number and how often everything was looked at.
fn take_one(kernel: &FakeKernel) -> (u16, usize) {
    let pool: [Selector; 1] = ["eth0".parse().unwrap()];
    assert!(has_free(kernel, &pool) || kernel.world().vfs.values().any(|vf| !vf.users.is_empty()));
    let choice = Choice::AnyOf { pool: pool.to_vec(), numa: None };
    let name = format!("of{}", kernel.applied.get());
    let request = Request { name: Some(name.parse().unwrap()), ..plain() };
    let done = attach(kernel, &choice, &netns(RED), &request, false, &Silent).unwrap();
    let index = (0..7).find(|index| device_of(*index) == done.record.device).unwrap();
    (index, kernel.observed.get())
}

#[test]
fn of_a_pool_one_that_is_up_is_not_taken() {
    let kernel = kernel();
    kernel.change_vf(0, |vf| vf.netdev.as_mut().unwrap().up = true);
    assert_eq!(take_one(&kernel), (1, 0));
}

#[test]
fn of_a_pool_everything_is_looked_at_only_after_some_were_refused() {
    for (in_use, observed) in [(3, 0), (4, 1), (6, 1)] {
        let kernel = FakeKernel::with_vfs(7);
        kernel.world.borrow_mut().namespaces.insert(RED, BTreeSet::new());
        for index in 0..in_use {
            kernel.change_vf(index, |vf| vf.users = vec![User::Address("10.0.0.1/24".into())]);
        }
        assert_eq!(take_one(&kernel), (in_use, observed));
    }
}

#[test]
fn of_a_pool_one_that_a_dead_container_left_is_taken_last() {
    let kernel = kernel();
    for index in 0..4 {
        let choice = Choice::Vf(device_of(index).to_string().parse().unwrap());
        let request = Request { name: Some(format!("net{index}").parse().unwrap()), ..plain() };
        let to = if index == 3 { RED } else { BLUE };
        attach(&kernel, &choice, &netns(to), &request, false, &Silent).unwrap();
    }
    detach(&kernel, &device_of(2), &|_| true, &Silent).unwrap();
    kernel.delete_netns(BLUE);
    assert_eq!([take_one(&kernel), take_one(&kernel)], [(2, 0), (0, 0)]);
}

#[test]
fn drift_is_told_by_field_and_set_again() {
    let kernel = kernel();
    attach_to(&kernel, BLUE, &everything()).unwrap();
    let attached = kernel.world();
    kernel.change_vf(VF, |vf| {
        vf.settings.vlan = Some(VlanTag::default());
        let netdev = vf.netdev.as_mut().unwrap();
        (netdev.mtu, netdev.name) = (1300, "other".into());
    });
    let entries = state::examine(&kernel).unwrap();
    let said = entries[0].verdict.details();
    assert_eq!(
        said,
        [
            "name is other, not net1",
            "MTU is 1300, not 1400",
            "setting is vlan 0, not vlan 100 qos 3"
        ]
    );
    kernel.begin_with(Faults::default());
    repair(&kernel);
    assert_eq!(kernel.world(), attached);
    // The interface, and the setting: addresses and routes are as they should be, and let be.
    assert_eq!(kernel.applied.get(), 2);
}

#[test]
fn a_foreign_vf_is_told_and_comes_home_clean() {
    let kernel = kernel();
    let before = kernel.world();
    kernel.change_vf(VF, |vf| {
        vf.settings.vlan = Some(VlanTag { id: VlanId(7), ..VlanTag::default() });
        vf.netdev.as_mut().unwrap().netns = Some(BLUE);
    });
    let entries = state::examine(&kernel).unwrap();
    assert_eq!(entries[0].verdict.word(), "foreign");
    repair(&kernel);
    assert_restored(&kernel, &before);
}

/// What others do to an attached VF before it is given back.
#[derive(Debug, Clone, Copy)]
enum Meddling {
    Nothing,
    DeleteNamespace,
    Rename,
    TakeHostNameInContainer,
    AddAltname,
    ChangeMac,
    ChangeMtu,
    Promisc,
    ChangeSettings,
    BindVfio,
    Down,
}

fn meddle(kernel: &FakeKernel, how: Meddling) {
    let on_netdev = |change: &dyn Fn(&mut super::kernel::Netdev)| {
        kernel.change_vf(VF, |vf| vf.netdev.iter_mut().for_each(change));
    };
    match how {
        Meddling::Nothing => {}
        Meddling::DeleteNamespace => kernel.delete_netns(BLUE),
        Meddling::Rename => on_netdev(&|netdev| netdev.name = "renamed".into()),
        Meddling::TakeHostNameInContainer => {
            let mut world = kernel.world.borrow_mut();
            world.namespaces.entry(BLUE).or_default().insert("eth2".into());
        }
        Meddling::AddAltname => {
            on_netdev(&|netdev| netdev.altnames = vec!["eth2".into(), "x".into()]);
        }
        Meddling::ChangeMac => on_netdev(&|netdev| netdev.mac = MacAddr([6, 6, 6, 6, 6, 6])),
        Meddling::ChangeMtu => on_netdev(&|netdev| netdev.mtu = 900),
        Meddling::Promisc => on_netdev(&|netdev| netdev.promisc = true),
        Meddling::Down => on_netdev(&|netdev| netdev.up = false),
        Meddling::ChangeSettings => kernel.change_vf(VF, |vf| {
            vf.settings.vlan = Some(VlanTag { id: VlanId(9), ..VlanTag::default() });
            vf.settings.trust = Some(true);
            vf.settings.mac = Some(MacAddr([2, 2, 2, 2, 2, 2]));
        }),
        Meddling::BindVfio => kernel.change_vf(VF, |vf| {
            (vf.driver, vf.netdev) = (Some("vfio-pci".into()), None);
            vf.driver_override = Some("vfio-pci".into());
        }),
    }
}

fn meddling() -> impl Strategy<Value = Meddling> {
    use Meddling::{
        AddAltname, BindVfio, ChangeMac, ChangeMtu, ChangeSettings, DeleteNamespace, Down, Nothing,
        Promisc, Rename, TakeHostNameInContainer,
    };
    prop::sample::select(vec![
        Nothing,
        DeleteNamespace,
        Rename,
        TakeHostNameInContainer,
        AddAltname,
        ChangeMac,
        ChangeMtu,
        Promisc,
        ChangeSettings,
        BindVfio,
        Down,
    ])
}

fn faults() -> impl Strategy<Value = Faults> {
    let errno = prop::sample::select(vec![5, 12, 16, 22, 95]);
    let refused = (0usize..20, errno)
        .prop_map(|(at, errno)| Faults { refuse: Some((at, errno)), ..Faults::default() });
    let dies = (0usize..24, any::<bool>())
        .prop_map(|dies| Faults { dies: Some(dies), ..Faults::default() });
    (prop_oneof![refused, dies], any::<bool>())
        .prop_map(|(faults, takes_many)| Faults { takes_many, ..faults })
}

fn request() -> impl Strategy<Value = Request> {
    prop::collection::vec(any::<bool>(), 9).prop_map(|on| {
        let all = everything();
        let settings = VfSettings {
            vlan: all.settings.vlan.filter(|_| on[0]),
            trust: all.settings.trust.filter(|_| on[1]),
            spoofchk: all.settings.spoofchk.filter(|_| on[2]),
            max_tx_rate: all.settings.max_tx_rate.filter(|_| on[3]),
            link_state: all.settings.link_state.filter(|_| on[4]),
            ..VfSettings::default()
        };
        Request {
            mac: all.mac.filter(|_| on[5]),
            mtu: all.mtu.filter(|_| on[6]),
            name: all.name.clone().filter(|_| on[7]),
            config: if on[8] { all.config.clone() } else { IpConfig::default() },
            settings,
            ..all
        }
    })
}

/// VFs as they may be before anything is done: managed or not, up or not.
fn prepare(kernel: &FakeKernel, managed: bool, up: bool) {
    kernel.change_vf(VF, |vf| {
        let netdev = vf.netdev.as_mut().unwrap();
        netdev.up = up;
        if managed || up {
            vf.settings.mac = Some(netdev.mac);
        }
        if managed {
            vf.settings.vlan = Some(VlanTag { id: VlanId(50), ..VlanTag::default() });
            netdev.mtu = 1450;
        }
    });
}

/// A second port, with an altname as the first one.
fn add_second_port(kernel: &FakeKernel) {
    kernel.add_second_port(VF);
    kernel.change_vf(VF + SECOND_PORT, |vf| {
        vf.netdev.as_mut().unwrap().altnames = vec!["two".into()];
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn an_attach_that_fails_or_dies_leaves_the_vf_as_it_was(
        request in request(), faults in faults(), managed: bool, up: bool, two_ports: bool,
    ) {
        let kernel = kernel();
        prepare(&kernel, managed, up);
        if two_ports {
            add_second_port(&kernel);
        }
        let before = kernel.world();
        kernel.begin_with(faults);
        let result = attach_to(&kernel, BLUE, &request);
        if kernel.died() {
            repair(&kernel);
        }
        count_case(&ATTACHES, "attach refused or killed at a step");
        let forgotten = kernel.records.borrow().is_empty();
        if forgotten {
            prop_assert!(result.is_err());
            prop_assert_eq!(kernel.world(), before);
        } else {
            // It died after all was done, and nothing was amiss.
            let entries = state::examine(&kernel).unwrap();
            prop_assert_eq!(entries.len(), 1 + usize::from(two_ports));
            prop_assert!(entries.iter().all(|entry| entry.verdict == Verdict::Ok));
        }
    }

    #[test]
    fn a_detach_that_fails_or_dies_is_finished_by_the_next(
        request in request(), faults in faults(), how in meddling(), managed: bool, up: bool,
        two_ports: bool,
    ) {
        let kernel = kernel();
        prepare(&kernel, managed, up);
        if two_ports {
            add_second_port(&kernel);
        }
        let mut before = kernel.world();
        attach_to(&kernel, BLUE, &request).unwrap();
        meddle(&kernel, how);
        before.namespaces = kernel.world().namespaces;
        kernel.begin_with(faults);
        let first = give_back(&kernel);
        if first.is_err() {
            prop_assert_eq!(kernel.records.borrow().is_empty(), forgot(&kernel));
            kernel.begin_with(Faults::default());
            give_back(&kernel).unwrap();
        }
        prop_assert_eq!(kernel.world(), before);
        prop_assert!(kernel.records.borrow().is_empty());
        count_case(&DETACHES, "detach refused or killed at a step, after meddling");
    }
}

/// Whether it died only after the record was gone, with everything done.
fn forgot(kernel: &FakeKernel) -> bool {
    kernel.died() && kernel.records.borrow().is_empty()
}

#[test]
fn waiting_for_an_interface_takes_no_longer_than_it_must() {
    let kernel = kernel();
    let before = kernel.world();
    attach_to(&kernel, BLUE, &plain()).unwrap();
    meddle(&kernel, Meddling::BindVfio);
    kernel.begin_with(Faults { netdev_delay: Duration::from_secs(3), ..Faults::default() });
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn what_was_so_already_is_told_apart_from_what_was_set() {
    let kernel = kernel();
    let own = kernel.world().vfs[&VF].netdev.as_ref().unwrap().mac;
    kernel.change_vf(VF, |vf| {
        (vf.settings.trust, vf.settings.mac) = (Some(true), Some(own));
    });
    let request = Request { mac: Some(own), ..everything() };
    let done = attach_to(&kernel, BLUE, &request).unwrap();
    assert_eq!(done.already_so, ["trust on".to_owned(), format!("mac {own}")]);
}
