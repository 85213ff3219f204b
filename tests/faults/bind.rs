//! `bind-dpdk` when steps are refused, when the program dies, and when others meddle with the
//! device in between: it is bound as asked for, or as it was, and has a driver either way.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use proptest::prelude::*;
use sriovctl::engine::Silent;
use sriovctl::engine::attach::{Choice, attach};
use sriovctl::engine::bind::{Back, Bound, back, bind, propose};
use sriovctl::engine::detach::detach;
use sriovctl::engine::numvfs;
use sriovctl::engine::state::{self, Verdict};
use sriovctl::engine::store::Shelf;
use sriovctl::model::facts::Holder;
use sriovctl::model::ids::{MacAddr, VlanId};
use sriovctl::model::link::{LinkState, VfSettings, VlanProto, VlanTag};
use sriovctl::model::plan::bind::{Request, Session};
use sriovctl::model::plan::{attach as attaching, numvfs as numbers};
use sriovctl::model::step::NodeAccess;
use sriovctl::model::usage::User;
use sriovctl::{Error, Kind, Result};

use super::kernel::{FakeKernel, Faults, PF, World, device_of, netns};
use super::{CASES, count_case};

static BINDS: AtomicU32 = AtomicU32::new(0);
static BACKS: AtomicU32 = AtomicU32::new(0);

/// VF 1 is the one that is bound.
const VF: u16 = 1;
const BLUE: u64 = 100;

pub fn kernel() -> FakeKernel {
    let kernel = FakeKernel::with_vfs(4);
    {
        let mut world = kernel.world.borrow_mut();
        world.namespaces.insert(BLUE, ["lo".to_owned()].into());
        world.host_others.insert("eth0".to_owned());
    }
    kernel.change_vf(VF, |vf| {
        let netdev = vf.netdev.as_mut().unwrap();
        (netdev.altnames, netdev.mtu) = (vec!["one".into()], 1400);
        netdev.name = "blue".into();
    });
    kernel
}

fn to(driver: &str) -> Request {
    Request { driver: driver.into(), ..Request::default() }
}

pub fn everything() -> Request {
    Request {
        mac: Some(MacAddr([2, 0, 0, 0, 0, 9])),
        settings: VfSettings {
            vlan: Some(VlanTag { id: VlanId(100), qos: 0, proto: VlanProto::Dot1q }),
            trust: Some(true),
            spoofchk: Some(false),
            link_state: Some(LinkState::Enable),
            ..VfSettings::default()
        },
        node: Some(NodeAccess { uid: Some(1000), gid: Some(1001), mode: Some(0o660) }),
        keep_override: true,
        ..to("vfio-pci")
    }
}

fn bind_it(kernel: &FakeKernel, request: &Request) -> Result<Bound> {
    bind(kernel, &device_of(VF), request, &Silent)
}

fn give_back(kernel: &FakeKernel) -> Result<Bound> {
    back(kernel, &device_of(VF), &Back::default(), &Silent)
}

fn repair(kernel: &FakeKernel) {
    kernel.begin_with(Faults::default());
    for entry in state::examine(kernel).unwrap() {
        state::repair(kernel, &entry, &Silent).unwrap();
    }
}

fn assert_restored(kernel: &FakeKernel, before: &World) {
    assert_eq!(kernel.world(), *before);
    assert!(kernel.bindings.borrow().is_empty(), "a record is left");
    assert!(kernel.world().vfs.values().all(|vf| !vf.dirty), "it was not reset");
}

/// Refused, and nothing changed.
fn refused(kernel: &FakeKernel, request: &Request) -> Error {
    let before = kernel.world();
    let proposed = propose(kernel, &device_of(VF), request).unwrap_err();
    let error = bind_it(kernel, request).unwrap_err();
    assert_eq!(error.message(), proposed.message(), "the dry run says the same");
    assert_restored(kernel, &before);
    error
}

#[test]
fn what_is_bound_is_as_asked_for_and_comes_back_as_it_was() {
    for request in [to("vfio-pci"), to("uio_pci_generic"), everything()] {
        let kernel = kernel();
        let before = kernel.world();
        let own = before.vfs[&VF].netdev.as_ref().unwrap().mac;
        let bound = bind_it(&kernel, &request).unwrap();
        assert!(bound.changed);
        let vf = kernel.world().vfs[&VF].clone();
        assert_eq!(vf.driver.as_ref(), Some(&request.driver));
        assert_eq!(vf.settings.mac, Some(request.mac.unwrap_or(own)), "DPDK sees the host's MAC");
        let kept = request.keep_override.then(|| request.driver.clone());
        assert_eq!(vf.driver_override, kept);
        if request.node.is_some() {
            assert_eq!(vf.node, Some((1000, 1001, 0o660)));
            assert_eq!((vf.settings.vlan, vf.settings.trust), (request.settings.vlan, Some(true)));
        }
        assert_eq!(state::examine(&kernel).unwrap()[0].verdict, Verdict::Ok);
        if request.node.is_none() {
            assert!(!bind_it(&kernel, &request).unwrap().changed, "a second time");
        }
        give_back(&kernel).unwrap();
        assert_restored(&kernel, &before);
        assert!(!give_back(&kernel).unwrap().changed, "a second time");
        assert_restored(&kernel, &before);
    }
}

#[test]
fn a_mac_that_the_pf_only_heard_of_is_set() {
    let kernel = kernel();
    kernel.change_vf(VF, |vf| {
        let netdev = vf.netdev.as_mut().unwrap();
        netdev.up = true;
        vf.settings.mac = Some(netdev.mac); // it came up and said so
    });
    let before = kernel.world();
    let own = before.vfs[&VF].netdev.as_ref().unwrap().mac;
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    assert_eq!(kernel.world().vfs[&VF].settings.mac, Some(own));
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn from_one_driver_to_the_next_and_back_to_the_first() {
    let kernel = kernel();
    let before = kernel.world();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    bind_it(&kernel, &to("uio_pci_generic")).unwrap();
    bind_it(&kernel, &to("some_vfio_pci")).unwrap();
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);

    // Naming the kernel driver is the same as giving it back.
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    bind_it(&kernel, &to("igbvf")).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn a_failed_second_binding_leaves_the_first() {
    let kernel = kernel();
    let before = kernel.world();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    let bound = kernel.world();
    let error = bind_it(&kernel, &to("e1000e")).unwrap_err();
    assert!(error.message().contains("e1000e does not take this device"), "{error}");
    assert_eq!(kernel.world(), bound);
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn without_a_record_the_kernels_own_driver_takes_it() {
    let kernel = kernel();
    let before = kernel.world();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    kernel.bindings.borrow_mut().clear();
    kernel.world.borrow_mut().autoprobe = Some(false);
    give_back(&kernel).unwrap();
    let vf = kernel.world().vfs[&VF].clone();
    assert_eq!((vf.driver.as_deref(), vf.driver_override), (Some("igbvf"), None));
    assert!(vf.netdev.is_some() && !vf.dirty);
    assert_eq!(kernel.world().vfs[&0], before.vfs[&0]);
    assert!(kernel.bindings.borrow().is_empty());
}

#[test]
fn a_vf_without_a_driver_goes_back_to_none() {
    let kernel = kernel();
    kernel.change_vf(VF, |vf| (vf.driver, vf.netdev) = (None, None));
    let before = kernel.world();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn a_vf_that_had_no_driver_is_reset_though_its_way_back_was_cut_off() {
    for at in 0..6 {
        for after in [false, true] {
            let kernel = kernel();
            kernel.change_vf(VF, |vf| (vf.driver, vf.netdev) = (None, None));
            bind_it(&kernel, &to("vfio-pci")).unwrap();
            kernel.begin_with(Faults { dies: Some((at, after)), ..Faults::default() });
            let _ = give_back(&kernel);
            repair(&kernel);
            let vf = kernel.world().vfs[&VF].clone();
            assert_eq!(vf.dirty, vf.driver.is_some(), "killed at {at}, {after}");
        }
    }
}

#[test]
fn every_refusal_names_its_reason_and_changes_nothing() {
    let address = || User::Address("192.0.2.1/24".into());
    let holder = || Holder { node: "/dev/vfio/1".into(), pid: 7, comm: "dpdk".into() };

    let error = refused(&kernel(), &to("no-such"));
    assert_eq!(
        (error.kind(), error.message().contains("no driver no-such")),
        (Kind::NotFound, true)
    );

    let kernel_with = |user: User| {
        let kernel = kernel();
        kernel.change_vf(VF, |vf| vf.users.push(user));
        kernel
    };
    let error = refused(&kernel_with(address()), &to("vfio-pci"));
    assert!(error.message().contains("the host would lose: 192.0.2.1/24"), "{error}");
    let arrives_at = |address: &str, interface: Option<&str>| Request {
        session: Some(Session {
            address: address.parse().unwrap(),
            interface: interface.map(str::to_owned),
        }),
        ..to("vfio-pci")
    };
    let session = arrives_at("::ffff:192.0.2.1", None);
    let error = refused(&kernel_with(address()), &session);
    assert!(error.message().contains("this SSH session comes in through eth0#1"), "{error}");
    let link_local = arrives_at("fe80::1", Some("blue"));
    let error = refused(&kernel(), &link_local);
    assert!(error.message().contains("this SSH session comes in through eth0#1"), "{error}");
    bind_it(&kernel(), &arrives_at("fe80::1", Some("eth9"))).unwrap();
    for user in
        [User::Master("bond0".into()), User::Route("default".into()), User::Upper("v7".into())]
    {
        let error = refused(&kernel_with(user.clone()), &to("vfio-pci"));
        assert!(error.message().contains(&user.to_string()), "{error}");
    }
    // It would have to be waited for, for ever.
    let forced = Request { force: true, ..to("vfio-pci") };
    let error = refused(&kernel_with(User::Process(holder())), &forced);
    assert!(error.message().contains("dpdk[7] has /dev/vfio/1 open"), "{error}");
    bind_it(&kernel_with(address()), &forced).unwrap();

    let kernel = self::kernel();
    kernel.change_vf(VF, |vf| vf.group = None);
    let error = refused(&kernel, &to("vfio-pci"));
    assert!(error.message().contains("no IOMMU group"), "{error}");
    assert!(error.next_step().unwrap().contains("--allow-noiommu"), "{error:?}");
    bind_it(&kernel, &to("uio_pci_generic")).unwrap();

    let kernel = self::kernel();
    kernel.change_vf(VF, |vf| vf.group = Some(2));
    let error = refused(&kernel, &to("vfio-pci"));
    assert_eq!(error.detail_lines(), ["0000:01:10.2: igbvf"]);
    let both = Request { together: vec![device_of(1), device_of(2)], ..to("vfio-pci") };
    bind_it(&kernel, &both).unwrap();
}

#[test]
fn without_an_iommu_only_when_asked_and_not_left_on_for_nothing() {
    let kernel = kernel();
    kernel.change_vf(VF, |vf| vf.group = None);
    let before = kernel.world();
    let request = Request { allow_noiommu: true, ..to("vfio-pci") };
    // The bind itself is refused: load, switch, MAC, override, unbind, reset come before it.
    kernel.begin_with(Faults { refuse: Some((6, 5)), ..Faults::default() });
    bind_it(&kernel, &request).unwrap_err();
    assert_restored(&kernel, &before);
    let bound = bind_it(&kernel, &request).unwrap();
    assert!(kernel.world().noiommu);
    assert!(bound.notes[0].contains("tainted"), "{:?}", bound.notes);
}

#[test]
fn an_attached_vf_is_not_bound_and_a_bound_one_can_be_attached() {
    let attach_it = |kernel: &FakeKernel| {
        let request = attaching::Request {
            settings: VfSettings { trust: Some(true), ..VfSettings::default() },
            ..super::attach::plain()
        };
        let choice = Choice::Vf("eth0#1".parse().unwrap());
        attach(kernel, &choice, &netns(BLUE), &request, false, &Silent)
    };
    let kernel = kernel();
    let before = kernel.world();
    attach_it(&kernel).unwrap();
    let error = bind_it(&kernel, &to("vfio-pci")).unwrap_err();
    assert!(error.message().contains("is attached: manual has it as net1"), "{error}");
    detach(&kernel, &device_of(VF), &|_| true, &Silent).unwrap();
    assert_restored(&kernel, &before);

    bind_it(&kernel, &to("vfio-pci")).unwrap();
    let bound = kernel.world();
    attach_it(&kernel).unwrap();
    assert_eq!(kernel.world().vfs[&VF].settings.trust, Some(true));
    assert!(give_back(&kernel).is_err(), "it is attached");
    detach(&kernel, &device_of(VF), &|_| true, &Silent).unwrap();
    assert_eq!(kernel.world(), bound);
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn a_binding_outlives_an_attachment_with_another_driver() {
    let kernel = kernel();
    let before = kernel.world();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    let request = attaching::Request { driver: Some("igbvf".into()), ..super::attach::plain() };
    let choice = Choice::Vf("eth0#1".parse().unwrap());
    attach(&kernel, &choice, &netns(BLUE), &request, false, &Silent).unwrap();
    let entries = state::examine(&kernel).unwrap();
    assert!(entries.iter().all(|entry| entry.verdict == Verdict::Ok), "{entries:?}");
    repair(&kernel);
    bind_it(&kernel, &to("vfio-pci")).unwrap_err();
    detach(&kernel, &device_of(VF), &|_| true, &Silent).unwrap();
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn a_binding_outlives_a_change_of_the_number_that_could_not_begin() {
    let kernel = kernel();
    let before = kernel.world();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    // An attachment has another driver meanwhile.
    kernel.change_vf(VF, |vf| vf.driver = Some("igbvf".into()));
    let bindings = kernel.bindings.borrow().clone();
    kernel.begin_with(Faults { full: Some(0), ..Faults::default() });
    let options = numvfs::Options { timeout: Duration::from_secs(5), wait: true };
    let request = numbers::Request { count: 0, driver: None, no_autoprobe: false, force: true };
    numvfs::set(&kernel, &PF.parse().unwrap(), &request, options, &Silent).unwrap_err();
    assert_eq!(*kernel.bindings.borrow(), bindings);
    kernel.begin_with(Faults::default());
    kernel.change_vf(VF, |vf| vf.driver = Some("vfio-pci".into()));
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn a_binding_outlives_a_change_of_the_number_that_was_cut_off() {
    let full = (0..6).map(|nth| Faults { full: Some(nth), ..Faults::default() });
    let dies = (0..30).flat_map(|nth| [(nth, false), (nth, true)]);
    let dies = dies.map(|dies| Faults { dies: Some(dies), ..Faults::default() });
    for faults in full.chain(dies) {
        for count in [1, 2, 6] {
            let kernel = kernel();
            let before = kernel.world().vfs[&VF].clone();
            bind_it(&kernel, &to("vfio-pci")).unwrap();
            kernel.begin_with(faults.clone());
            let options = numvfs::Options { timeout: Duration::from_secs(5), wait: true };
            let request =
                numbers::Request { count, driver: None, no_autoprobe: false, force: true };
            let _ = numvfs::set(&kernel, &PF.parse().unwrap(), &request, options, &Silent);
            repair(&kernel);
            if kernel.world().vfs.contains_key(&VF) {
                give_back(&kernel).unwrap();
                assert_eq!(kernel.world().vfs[&VF], before, "{count} VFs, {faults:?}");
            }
            assert!(kernel.bindings.borrow().is_empty(), "{count} VFs, {faults:?}");
        }
    }
}

#[test]
fn a_way_back_that_is_cut_off_twice_leaves_no_binding_that_holds() {
    for at in 0..9 {
        for again in 0..12 {
            let kernel = kernel();
            bind_it(&kernel, &Request { keep_override: true, ..everything() }).unwrap();
            let bound = kernel.world();
            kernel.begin_with(Faults { dies: Some((at, true)), ..Faults::default() });
            let _ = give_back(&kernel);
            kernel.begin_with(Faults { dies: Some((again, true)), ..Faults::default() });
            repair_somehow(&kernel);
            let bindings = kernel.bindings.borrow();
            let holds =
                bindings.values().any(|(journal, done)| journal.is_none() && done.is_some());
            assert!(!holds || kernel.world() == bound, "killed at {at} and {again}");
        }
    }
}

/// As far as it comes.
fn repair_somehow(kernel: &FakeKernel) {
    for entry in state::examine(kernel).unwrap() {
        let _ = state::repair(kernel, &entry, &Silent);
    }
}

#[test]
fn what_others_bound_is_reset_on_a_way_back_that_was_cut_off() {
    for at in 0..7 {
        let kernel = kernel();
        bind_it(&kernel, &to("vfio-pci")).unwrap();
        kernel.bindings.borrow_mut().clear();
        kernel.begin_with(Faults { dies: Some((at, false)), ..Faults::default() });
        let _ = give_back(&kernel);
        kernel.begin_with(Faults::default());
        repair(&kernel);
        let vf = kernel.world().vfs[&VF].clone();
        assert!(vf.driver.as_deref() == Some("vfio-pci") || !vf.dirty, "killed at {at}");
    }
}

#[test]
fn a_forced_change_of_the_number_keeps_no_half_of_a_detach() {
    for at in 0..6 {
        let kernel = kernel();
        let request = attaching::Request {
            name: None,
            driver: Some("vfio-pci".into()),
            ..super::attach::plain()
        };
        let choice = Choice::Vf("eth0#1".parse().unwrap());
        attach(&kernel, &choice, &netns(BLUE), &request, false, &Silent).unwrap();
        kernel.begin_with(Faults { dies: Some((at, true)), ..Faults::default() });
        let _ = detach(&kernel, &device_of(VF), &|_| true, &Silent);
        kernel.begin_with(Faults::default());
        let options = numvfs::Options { timeout: Duration::from_secs(5), wait: true };
        let request = numbers::Request { count: 5, driver: None, no_autoprobe: false, force: true };
        numvfs::set(&kernel, &PF.parse().unwrap(), &request, options, &Silent).unwrap();
        assert!(kernel.world().vfs[&VF].driver.is_some(), "killed at {at}");
    }
}

#[test]
fn what_was_changed_without_another_driver_goes_back_too() {
    let kernel = kernel();
    let before = kernel.world();
    bind_it(&kernel, &Request { keep_override: true, ..to("igbvf") }).unwrap();
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn what_fails_on_a_vf_in_another_namespace_leaves_it_there() {
    let kernel = kernel();
    kernel.change_vf(VF, |vf| vf.netdev.as_mut().unwrap().netns = Some(BLUE));
    let before = kernel.world();
    let request = Request { node: everything().node, ..to("igbvf") };
    bind_it(&kernel, &request).unwrap_err();
    assert_restored(&kernel, &before);
}

/// The VF of a number is destroyed and made again, as by `echo 0` and `echo 4`.
fn make_anew(kernel: &FakeKernel) {
    let fresh = FakeKernel::with_vfs(4);
    let mut vf = fresh.world().vfs[&VF].clone();
    vf.incarnation = 1000;
    vf.netdev.as_mut().unwrap().name = "anew".into();
    kernel.change_vf(VF, |old| *old = vf);
}

#[test]
fn what_is_written_of_a_vf_that_was_destroyed_is_not_for_the_next() {
    let vlan = |id| Some(VlanTag { id: VlanId(id), qos: 0, proto: VlanProto::Dot1q });
    for driverless in [false, true] {
        let kernel = kernel();
        kernel.change_vf(VF, |vf| vf.settings.vlan = vlan(77));
        bind_it(&kernel, &to("vfio-pci")).unwrap();
        make_anew(&kernel);
        kernel.change_vf(VF, |vf| {
            vf.settings.vlan = vlan(33);
            if driverless {
                (vf.driver, vf.netdev) = (None, None);
            }
        });
        let before = kernel.world();
        let entries = state::examine(&kernel).unwrap();
        let said = "its VF was destroyed, and another one made";
        assert_eq!(entries[0].verdict, Verdict::Stale(said.into()));
        bind_it(&kernel, &to("vfio-pci")).unwrap();
        give_back(&kernel).unwrap();
        assert_restored(&kernel, &before);

        // Likewise of one that was cut off.
        kernel.begin_with(Faults { dies: Some((5, true)), ..Faults::default() });
        bind_it(&kernel, &to("vfio-pci")).unwrap_err();
        make_anew(&kernel);
        kernel.change_vf(VF, |vf| vf.settings.vlan = vlan(34));
        kernel.change_vf(VF, |vf| vf.incarnation = 2000);
        let before = kernel.world();
        repair(&kernel);
        assert_restored(&kernel, &before);
    }
}

#[test]
fn without_its_driver_a_device_keeps_the_one_it_has() {
    let kernel = kernel();
    let before = kernel.world();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    let bound = kernel.world();
    let records = kernel.bindings.borrow().clone();
    kernel.world.borrow_mut().drivers.remove("igbvf");
    let error = give_back(&kernel).unwrap_err();
    assert!(error.message().contains("there is no driver igbvf"), "{error}");
    assert_eq!(kernel.world().vfs, bound.vfs);
    assert_eq!(*kernel.bindings.borrow(), records, "nothing was begun");

    // It died right after it had begun, and the driver went away.
    kernel.world.borrow_mut().drivers.insert("igbvf".into());
    kernel.begin_with(Faults { dies: Some((1, true)), ..Faults::default() });
    give_back(&kernel).unwrap_err();
    kernel.begin_with(Faults::default());
    kernel.world.borrow_mut().drivers.remove("igbvf");
    for entry in state::examine(&kernel).unwrap() {
        state::repair(&kernel, &entry, &Silent).unwrap_err();
    }
    assert_eq!(kernel.world().vfs[&VF].driver.as_deref(), Some("vfio-pci"), "it has a driver");
    kernel.world.borrow_mut().drivers.insert("igbvf".into());
    repair(&kernel);
    assert_restored(&kernel, &before);
}

#[test]
fn what_was_bound_by_other_means_goes_back_to_the_kernels_driver_with_its_settings() {
    for driver in ["vfio-pci", "uio_pci_generic"] {
        let kernel = kernel();
        bind_it(&kernel, &to("vfio-pci")).unwrap();
        kernel.bindings.borrow_mut().clear();
        let before = kernel.world().vfs[&VF].settings.clone();
        let request = Request { settings: everything().settings, ..to(driver) };
        bind_it(&kernel, &request).unwrap();
        assert_eq!(kernel.world().vfs[&VF].settings.trust, Some(true));
        give_back(&kernel).unwrap();
        let vf = kernel.world().vfs[&VF].clone();
        assert_eq!((vf.driver.as_deref(), vf.settings), (Some("igbvf"), before));
    }
}

#[test]
fn what_a_process_works_with_does_not_change_below_it() {
    let kernel = kernel();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    let holder = Holder { node: "/dev/vfio/1".into(), pid: 7, comm: "dpdk".into() };
    kernel.change_vf(VF, |vf| vf.users.push(User::Process(holder)));
    let before = kernel.world();
    let error = bind_it(&kernel, &Request { force: true, ..everything() }).unwrap_err();
    assert!(error.message().contains("dpdk[7] has /dev/vfio/1 open"), "{error}");
    assert_eq!(kernel.world(), before);
    assert!(!bind_it(&kernel, &to("vfio-pci")).unwrap().changed, "there was nothing to change");
}

#[test]
fn a_name_that_is_taken_keeps_nobody_from_the_device() {
    let kernel = kernel();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    kernel.world.borrow_mut().host_others.insert("blue".into());
    let error = give_back(&kernel).unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
    assert!(error.detail_lines()[0].contains("name blue"), "{error:?}");
    assert_eq!(kernel.world().vfs[&VF].driver.as_deref(), Some("igbvf"));
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    give_back(&kernel).unwrap();
    assert!(kernel.bindings.borrow().is_empty());
}

#[test]
fn an_override_that_would_take_it_again_goes_too() {
    let kernel = kernel();
    let before = kernel.world();
    kernel.change_vf(VF, |vf| vf.driver_override = Some("vfio-pci".into()));
    give_back(&kernel).unwrap();
    assert_restored(&kernel, &before);
}

#[test]
fn what_others_did_to_a_bound_vf_is_told_and_cleared() {
    // Given back by other means: the record is no longer anybody's.
    let kernel = kernel();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    kernel.change_vf(VF, |vf| (vf.driver, vf.dirty) = (Some("igbvf".into()), false));
    let entries = state::examine(&kernel).unwrap();
    assert_eq!(entries[0].verdict, Verdict::Stale("igbvf has it now".into()));
    let as_they_left_it = kernel.world();
    repair(&kernel);
    assert_restored(&kernel, &as_they_left_it);

    // Left without a driver: it gets its own.
    let kernel = self::kernel();
    let before = kernel.world();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    kernel.change_vf(VF, |vf| (vf.driver, vf.node) = (None, None));
    repair(&kernel);
    assert_eq!(kernel.world().vfs[&VF].driver, before.vfs[&VF].driver);
    assert_eq!(kernel.world().vfs[&VF].netdev, before.vfs[&VF].netdev);
    assert!(kernel.bindings.borrow().is_empty());

    // Its settings were changed: they are set again.
    let kernel = self::kernel();
    bind_it(&kernel, &everything()).unwrap();
    let bound = kernel.world();
    kernel.change_vf(VF, |vf| vf.settings.trust = Some(false));
    assert!(matches!(state::examine(&kernel).unwrap()[0].verdict, Verdict::Drift(_)));
    repair(&kernel);
    assert_eq!(kernel.world(), bound);
}

#[test]
fn a_change_of_the_number_ends_the_bindings_of_vfs_that_go() {
    let kernel = kernel();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    let options = numvfs::Options { timeout: Duration::from_secs(5), wait: true };
    let resize = |count| {
        let request = numbers::Request { count, driver: None, no_autoprobe: false, force: false };
        numvfs::set(&kernel, &PF.parse().unwrap(), &request, options, &Silent).unwrap();
    };
    resize(6);
    assert_eq!(kernel.world().vfs[&VF].driver.as_deref(), Some("vfio-pci"), "it stays bound");
    assert_eq!(kernel.bindings.borrow().len(), 1);
    resize(1);
    assert!(kernel.bindings.borrow().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    /// A step is refused, or the program dies at an operation: the device is as it was, at the
    /// latest after a repair.
    #[test]
    fn a_binding_is_whole_or_not_at_all(
        driver in prop::sample::select(vec!["vfio-pci", "uio_pci_generic", "e1000e", "igbvf"]),
        all in any::<bool>(),
        autoprobe in any::<bool>(),
        bound_before in any::<bool>(),
        reserved in any::<bool>(),
        up in any::<bool>(),
        refuse in prop::option::of((0..14_usize, prop::sample::select(vec![5, 16, 19, 22, 95]))),
        dies in prop::option::of((0..18_usize, any::<bool>())),
    ) {
        count_case(&BINDS, "bind-dpdk, a step refused or killed");
        let kernel = kernel();
        kernel.world.borrow_mut().autoprobe = Some(autoprobe);
        if reserved {
            kernel.change_vf(VF, |vf| vf.driver_override = Some("igbvf".into()));
        }
        if up {
            kernel.change_vf(VF, |vf| {
                let netdev = vf.netdev.as_mut().unwrap();
                netdev.up = true;
                vf.settings.mac = Some(netdev.mac);
            });
        }
        if bound_before {
            bind_it(&kernel, &to("vfio-pci")).unwrap();
        }
        let before = kernel.world();
        let records = kernel.bindings.borrow().clone();
        kernel.begin_with(Faults { refuse, dies, ..Faults::default() });
        let request = Request { driver: driver.into(), ..if all { everything() } else { to("") } };
        let done = bind_it(&kernel, &request);
        let died = kernel.died();
        repair(&kernel);
        let now = kernel.world();
        let is_bound = now.vfs[&VF].driver.as_deref() == Some(driver);
        if done.is_ok() {
            prop_assert!(is_bound);
        } else if !(is_bound && (died || driver == "igbvf")) {
            prop_assert_eq!(&now, &before);
            prop_assert_eq!(&*kernel.bindings.borrow(), &records);
        }
        prop_assert!(now.vfs[&VF].driver.is_some(), "without a driver");
        // And whatever came of it, it can be given back.
        give_back(&kernel).unwrap();
        let vf = kernel.world().vfs[&VF].clone();
        prop_assert_eq!(vf.driver.as_deref(), Some("igbvf"));
        prop_assert_eq!(vf.netdev.unwrap().name, "blue");
        prop_assert!(kernel.bindings.borrow().is_empty());
    }

    /// The same on the way back.
    #[test]
    fn the_way_back_comes_to_its_end(
        all in any::<bool>(),
        autoprobe in any::<bool>(),
        refuse in prop::option::of((0..14_usize, prop::sample::select(vec![5, 16, 19, 22]))),
        dies in prop::option::of((0..18_usize, any::<bool>())),
    ) {
        count_case(&BACKS, "bind-dpdk --restore, a step refused or killed");
        let kernel = kernel();
        kernel.world.borrow_mut().autoprobe = Some(autoprobe);
        let before = kernel.world();
        bind_it(&kernel, &if all { everything() } else { to("vfio-pci") }).unwrap();
        kernel.begin_with(Faults { refuse, dies, ..Faults::default() });
        let done = give_back(&kernel);
        if refuse.is_some() {
            // A reset that is refused is said, and does not keep the device from its driver.
            kernel.change_vf(VF, |vf| vf.dirty = false);
        }
        if done.is_ok() {
            assert_restored(&kernel, &before);
        }
        repair(&kernel);
        if kernel.bindings.borrow().is_empty() {
            assert_restored(&kernel, &before);
        } else {
            // It had not begun: still bound, as recorded.
            let driver = kernel.world().vfs[&VF].driver.clone();
            prop_assert_eq!(driver.as_deref(), Some("vfio-pci"));
            give_back(&kernel).unwrap();
            assert_restored(&kernel, &before);
        }
    }
}

#[test]
fn the_shelves_are_apart() {
    let kernel = kernel();
    bind_it(&kernel, &to("vfio-pci")).unwrap();
    let entries = state::examine(&kernel).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].shelf, Shelf::Bindings);
}
