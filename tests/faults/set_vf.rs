//! `set-vf` when steps are refused, when a driver drops what it accepted, and when the program dies: each
//! setting is told as what it is, and all or nothing is all or nothing.

use std::time::Duration;

use sriovctl::engine::attach::{Choice, attach};
use sriovctl::engine::bind::bind;
use sriovctl::engine::set_vf::{Options, Outcome, Report, set, shortcoming};
use sriovctl::engine::state;
use sriovctl::engine::{Progress, Silent};
use sriovctl::model::ids::{MacAddr, VlanId};
use sriovctl::model::link::{LinkState, VfSettings, VlanProto, VlanTag};
use sriovctl::model::plan::set_vf::Request;
use sriovctl::model::plan::{attach as attaching, bind as binding};
use sriovctl::model::usage::User;
use sriovctl::{Kind, Result};

use super::kernel::{FakeKernel, Faults, VfState, device_of, netns};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const BLUE: u64 = 100;
const OPTIONS: Options =
    Options { timeout: Duration::from_secs(9), strict: false, force: false, dry_run: false };
const STRICT: Options = Options { strict: true, ..OPTIONS };

fn kernel() -> FakeKernel {
    let kernel = FakeKernel::with_vfs(4);
    kernel.world.borrow_mut().namespaces.insert(BLUE, ["lo".to_owned()].into());
    kernel
}

fn everything() -> Request {
    Request {
        settings: VfSettings {
            trust: Some(true),
            vlan: Some(VlanTag { id: VlanId(100), qos: 3, proto: VlanProto::Dot1q }),
            max_tx_rate: Some(500),
            spoofchk: Some(false),
            link_state: Some(LinkState::Enable),
            ..VfSettings::default()
        },
        mac: Some(MAC),
        mtu: Some(1400),
        ..Request::default()
    }
}

/// What several VFs can have.
fn shared() -> Request {
    Request { mac: None, ..everything() }
}

fn trust() -> Request {
    let settings = VfSettings { trust: Some(true), ..VfSettings::default() };
    Request { settings, ..Request::default() }
}

fn mac_only() -> Request {
    Request { mac: Some(MAC), ..Request::default() }
}

fn run(kernel: &FakeKernel, vfs: &str, request: &Request, options: Options) -> Result<Report> {
    set(kernel, &[vfs.parse().unwrap()], request, options, &Silent)
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    report.vfs.iter().flat_map(|vf| &vf.settings).map(|done| done.outcome).collect()
}

fn vf(kernel: &FakeKernel, index: u16) -> VfState {
    kernel.world().vfs[&index].clone()
}

/// Names of settings with an outcome.
fn named(report: &Report, outcome: Outcome) -> Vec<&'static str> {
    let all = report.vfs.iter().flat_map(|vf| &vf.settings);
    all.filter(|done| done.outcome == outcome).map(|done| done.what.name()).collect()
}

#[test]
fn everything_is_set_and_a_second_time_nothing_is_written() {
    let kernel = kernel();
    let report = run(&kernel, "eth0#1", &everything(), OPTIONS).unwrap();
    assert!(shortcoming(&report).is_none());
    assert_eq!(outcomes(&report), [Outcome::Applied; 7]);
    let is = vf(&kernel, 1);
    let netdev = is.netdev.as_ref().unwrap();
    assert_eq!((netdev.mac, netdev.mtu, is.settings.mac), (MAC, 1400, Some(MAC)));
    assert_eq!((is.settings.trust, is.settings.spoofchk), (Some(true), Some(false)));
    assert_eq!(
        (is.settings.vlan, is.settings.max_tx_rate),
        (everything().settings.vlan, Some(500))
    );
    assert_eq!(is.settings.link_state, Some(LinkState::Enable));
    kernel.begin_with(Faults::default());
    let again = run(&kernel, "eth0#1", &everything(), OPTIONS).unwrap();
    assert_eq!(outcomes(&again), [Outcome::Unchanged; 7]);
    assert_eq!((kernel.applied.get(), again.changed()), (0, false));
}

#[test]
fn a_dry_run_says_the_steps_and_takes_none() {
    let kernel = kernel();
    let before = kernel.world();
    let report = run(&kernel, "eth0", &shared(), Options { dry_run: true, ..OPTIONS }).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Untried; 24]);
    assert!(report.vfs.iter().flat_map(|vf| &vf.settings).all(|done| done.steps.len() == 1));
    assert_eq!(kernel.world(), before);
    assert!(!report.changed() && kernel.bindings.borrow().is_empty());
}

#[test]
fn what_fails_keeps_nothing_else_from_being_set() {
    // Two VFs, six settings each: whichever step is refused, all the others are so.
    for nth in 0..12 {
        for (errno, outcome) in [(95, Outcome::Unsupported), (5, Outcome::Failed)] {
            let kernel = kernel();
            kernel.begin_with(Faults { refuse: Some((nth, errno)), ..Faults::default() });
            let report = run(&kernel, "eth0#1-2", &shared(), OPTIONS).unwrap();
            let mut wanted = [Outcome::Applied; 12];
            wanted[nth] = outcome;
            assert_eq!(outcomes(&report), wanted, "step {nth}");
            let error = shortcoming(&report).unwrap();
            assert_eq!(error.kind(), Kind::Partial);
            assert!(error.next_step().is_some(), "{error}");
            let failed: Vec<_> = report.vfs.iter().flat_map(|vf| &vf.settings).collect();
            assert!(failed[nth].error.is_some() && report.changed());
        }
    }
}

#[test]
fn what_a_driver_cannot_is_unsupported_and_only_that_is_no_partial_success() {
    let kernel = kernel();
    kernel.begin_with(Faults { refuses_vlan: true, ..Faults::default() });
    let vlan = VfSettings { vlan: everything().settings.vlan, ..VfSettings::default() };
    let request = Request { settings: vlan, ..Request::default() };
    let report = run(&kernel, "eth0#1-2", &request, OPTIONS).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Unsupported; 2]);
    let error = shortcoming(&report).unwrap();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(!report.changed());
    let report = run(&kernel, "eth0#1", &everything(), OPTIONS).unwrap();
    assert_eq!(named(&report, Outcome::Unsupported), ["vlan"]);
    assert_eq!(shortcoming(&report).unwrap().kind(), Kind::Partial);
}

#[test]
fn what_is_accepted_and_dropped_is_no_success() {
    let kernel = kernel();
    kernel.begin_with(Faults { drops_trust: true, ..Faults::default() });
    let report = run(&kernel, "eth0#1", &trust(), OPTIONS).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Unsupported]);
    let error = shortcoming(&report).unwrap();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(error.message(), "trust of eth0#1 is off, though the driver accepted on");
}

#[test]
fn strict_puts_everything_back_whichever_step_is_refused() {
    for start in [kernel(), busy()] {
        for nth in 0..20 {
            let kernel = busy_or_not(&start);
            let before = kernel.world();
            kernel.begin_with(Faults { refuse: Some((nth, 5)), ..Faults::default() });
            let report = run(&kernel, "eth0#1-2", &shared(), STRICT).unwrap();
            if kernel.applied.get() <= nth {
                assert_eq!(shortcoming(&report), None);
                continue;
            }
            assert_eq!(kernel.world(), before, "step {nth}");
            assert!(report.rolled_back && !report.changed() && report.left.is_empty());
            let error = shortcoming(&report).unwrap();
            assert_eq!(error.kind(), Kind::Failed);
            let said = "everything that was set is as it was before";
            assert!(error.detail_lines().iter().any(|line| line == said), "{error:?}");
            assert_eq!(named(&report, Outcome::Applied), [""; 0]);
        }
    }
}

/// VFs that are set up otherwise.
fn busy() -> FakeKernel {
    let kernel = kernel();
    for index in [1, 2] {
        kernel.change_vf(index, |vf| {
            let netdev = vf.netdev.as_mut().unwrap();
            (netdev.mtu, netdev.up) = (1450, true);
            vf.settings.vlan = Some(VlanTag { id: VlanId(7), ..VlanTag::default() });
            vf.settings.min_tx_rate = Some(10);
            vf.settings.mac = Some(netdev.mac);
        });
    }
    kernel
}

fn busy_or_not(like: &FakeKernel) -> FakeKernel {
    let kernel = kernel();
    *kernel.world.borrow_mut() = like.world();
    kernel
}

#[test]
fn strict_puts_macs_back_too() {
    let before = busy();
    for drops in [true, false] {
        let kernel = busy_or_not(&before);
        let request = Request { mac: Some(MAC), mtu: Some(1400), ..trust() };
        kernel.begin_with(Faults { drops_trust: drops, ..Faults::default() });
        if !drops {
            // The last of all steps: trust, MTU, and the MAC's two or three.
            kernel.begin_with(Faults { refuse: Some((4, 5)), ..Faults::default() });
        }
        let report = run(&kernel, "eth0#1", &request, STRICT).unwrap();
        assert!(report.rolled_back, "{report:?}");
        assert_eq!(kernel.world(), before.world());
    }
}

#[test]
fn strict_begins_nothing_when_it_knows_better() {
    let kernel = kernel();
    let before = kernel.world();
    let request = Request { mtu: Some(9000), ..trust() };
    let report = run(&kernel, "eth0#1", &request, STRICT).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Untried, Outcome::Failed]);
    assert_eq!((kernel.world(), kernel.applied.get()), (before, 0));
    let error = shortcoming(&report).unwrap();
    assert!(
        error.message().contains("could not set mtu 9000 on eth0#1: its PF's is 1500"),
        "{error}"
    );
    let report = run(&kernel, "eth0#1", &request, OPTIONS).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Applied, Outcome::Failed]);
}

#[test]
fn what_cannot_be_put_back_is_said() {
    let kernel = kernel();
    // VLAN is refused after trust was set; trust cannot be taken away again.
    kernel.begin_with(Faults { refuses_vlan: true, ..Faults::default() });
    let settings =
        VfSettings { vlan: everything().settings.vlan, trust: Some(true), ..VfSettings::default() };
    let request = Request { settings, ..Request::default() };
    let report = {
        kernel.faults.borrow_mut().drops_trust_off = true;
        run(&kernel, "eth0#1", &request, STRICT).unwrap()
    };
    assert!(report.changed() && report.left.len() == 1, "{report:?}");
    let error = shortcoming(&report).unwrap();
    assert_eq!(error.kind(), Kind::Partial);
    assert!(
        error.detail_lines().iter().any(|line| line.starts_with("not put back: ")),
        "{error:?}"
    );
}

#[test]
fn vfs_that_belong_to_somebody_are_refused() {
    let kernel = kernel();
    let request = attaching::Request { name: None, ..super::attach::plain() };
    let choice = Choice::Vf("eth0#1".parse().unwrap());
    attach(&kernel, &choice, &netns(BLUE), &request, false, &Silent).unwrap();
    let to_vfio = binding::Request { driver: "vfio-pci".into(), ..binding::Request::default() };
    bind(&kernel, &device_of(2), &to_vfio, &Silent).unwrap();
    let before = kernel.world();
    for (vf, owner, hint) in [
        ("eth0#1", "manual has it in /run/netns/100", "sriovctl detach 0000:01:10.1"),
        ("eth0#2", "bind-dpdk gave it to vfio-pci", "sriovctl bind-dpdk --restore 0000:01:10.2"),
    ] {
        let report = run(&kernel, vf, &trust(), OPTIONS).unwrap();
        let error = shortcoming(&report).unwrap();
        assert_eq!(error.kind(), Kind::Busy);
        assert!(error.message().contains(owner), "{error}");
        let said = error.next_step().unwrap();
        assert!(said.contains(hint) && said.contains("--force"), "{said}");
    }
    assert_eq!(kernel.world(), before);
    // The others of a range are set all the same, unless it is all or nothing.
    let report = run(&kernel, "eth0#0-2", &trust(), STRICT).unwrap();
    assert_eq!((kernel.world(), report.rolled_back), (before, false));
    let report = run(&kernel, "eth0#0-2", &trust(), OPTIONS).unwrap();
    assert_eq!(shortcoming(&report).unwrap().kind(), Kind::Partial);
    assert_eq!(vf(&kernel, 0).settings.trust, Some(true));
    let force = Options { force: true, ..OPTIONS };
    assert!(shortcoming(&run(&kernel, "eth0#0-2", &trust(), force).unwrap()).is_none());
    assert_eq!(vf(&kernel, 1).settings.trust, Some(true));
    assert_eq!(kernel.records.borrow().len() + kernel.bindings.borrow().len(), 2, "records stay");
}

#[test]
fn what_another_one_changes_is_left_to_them() {
    let kernel = kernel();
    kernel.locked.set(true);
    let report = run(&kernel, "eth0#1", &trust(), OPTIONS).unwrap();
    assert_eq!(shortcoming(&report).unwrap().kind(), Kind::Busy);
    assert_eq!(kernel.applied.get(), 0);
}

#[test]
fn a_mac_that_a_driver_takes_only_when_it_is_bound() {
    let keeps = || Faults { keeps_own_mac: true, ..Faults::default() };
    let kernel = kernel();
    kernel.change_vf(1, |vf| {
        let netdev = vf.netdev.as_mut().unwrap();
        (netdev.name, netdev.altnames, netdev.mtu) = ("blue".into(), vec!["one".into()], 1400);
    });
    kernel.begin_with(keeps());
    let before = vf(&kernel, 1);
    let report = run(&kernel, "eth0#1", &mac_only(), OPTIONS).unwrap();
    assert!(shortcoming(&report).is_none(), "{report:?}");
    assert!(report.vfs[0].settings[0].note.as_ref().unwrap().contains("bound anew"));
    let now = vf(&kernel, 1);
    let (was, is) = (before.netdev.unwrap(), now.netdev.unwrap());
    assert_eq!((is.mac, now.settings.mac, now.driver), (MAC, Some(MAC), before.driver));
    assert_eq!((is.name, is.altnames, is.mtu, is.up), (was.name, was.altnames, was.mtu, was.up));
    assert!(kernel.bindings.borrow().is_empty(), "a record is left");

    // One that is in use keeps its own, and that is said.
    let kernel = self::kernel();
    kernel.change_vf(1, |vf| {
        vf.users = vec![User::Address("192.0.2.1/24".into())];
        vf.netdev.as_mut().unwrap().up = true;
    });
    kernel.begin_with(keeps());
    let own = vf(&kernel, 1).netdev.unwrap().mac;
    let report = run(&kernel, "eth0#1", &mac_only(), OPTIONS).unwrap();
    assert!(shortcoming(&report).is_none());
    let note = report.vfs[0].settings[0].note.clone().unwrap();
    assert!(note.contains("in use (192.0.2.1/24)") && note.contains(&own.to_string()), "{note}");
    assert_eq!(vf(&kernel, 1).netdev.unwrap().mac, own);
    assert_eq!(vf(&kernel, 1).settings.mac, Some(MAC));
}

#[test]
fn of_an_interface_elsewhere_only_the_pfs_mac_is_set() {
    let kernel = kernel();
    kernel.change_vf(1, |vf| vf.netdev.as_mut().unwrap().netns = Some(BLUE));
    let own = vf(&kernel, 1).netdev.unwrap().mac;
    let request = Request { mtu: Some(1400), ..mac_only() };
    let report = run(&kernel, "eth0#1", &request, OPTIONS).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Failed, Outcome::Applied]);
    assert!(report.vfs[0].settings[1].note.as_ref().unwrap().contains("keeps its own"));
    let is = vf(&kernel, 1);
    assert_eq!((is.settings.mac, is.netdev.unwrap().mac), (Some(MAC), own));
}

#[test]
fn a_mac_that_is_refused_leaves_the_former_one() {
    for nth in 0..3 {
        let kernel = busy();
        let before = kernel.world();
        kernel.begin_with(Faults { refuse: Some((nth, 5)), ..Faults::default() });
        let report = run(&kernel, "eth0#1", &mac_only(), OPTIONS).unwrap();
        // The interface's may be refused: then it has the PF's once its driver is bound again.
        if nth == 2 {
            assert_eq!(outcomes(&report), [Outcome::Failed]);
            assert_eq!(kernel.world(), before);
        } else {
            assert_eq!(outcomes(&report), [Outcome::Applied], "step {nth}");
            assert_eq!(vf(&kernel, 1).settings.mac, Some(MAC));
        }
    }
}

#[test]
fn a_reset_makes_a_vf_as_new_and_named_things_win() {
    let kernel = kernel();
    let fresh = vf(&kernel, 1).settings;
    run(&kernel, "eth0#1", &everything(), OPTIONS).unwrap();
    let reset = Request { reset: true, ..Request::default() };
    let report = run(&kernel, "eth0#1", &reset, OPTIONS).unwrap();
    assert!(shortcoming(&report).is_none(), "{report:?}");
    assert_eq!((vf(&kernel, 1).settings, vf(&kernel, 1).netdev.unwrap().mtu), (fresh, 1500));
    let again = run(&kernel, "eth0#1", &reset, OPTIONS).unwrap();
    assert!(!again.changed());
    let request = Request { reset: true, ..trust() };
    run(&kernel, "eth0#1", &request, OPTIONS).unwrap();
    assert_eq!(vf(&kernel, 1).settings.trust, Some(true));
}

#[test]
fn a_driver_that_takes_no_mac_away_is_no_failure_of_a_reset() {
    let kernel = kernel();
    run(&kernel, "eth0#1", &everything(), OPTIONS).unwrap();
    kernel.begin_with(Faults { refuses_zero_mac: true, ..Faults::default() });
    let reset = Request { reset: true, ..Request::default() };
    let report = run(&kernel, "eth0#1", &reset, STRICT).unwrap();
    assert!(shortcoming(&report).is_none(), "{report:?}");
    let mac = report.vfs[0].settings.last().unwrap();
    assert_eq!((mac.outcome, vf(&kernel, 1).settings.mac), (Outcome::Unchanged, Some(MAC)));
    assert!(mac.note.as_ref().unwrap().starts_with("left as it is: "));
}

#[test]
fn vectors_are_changed_without_a_driver_only() {
    let eight = Request { vectors: Some(8), ..Request::default() };
    let kernel = kernel();
    let report = run(&kernel, "eth0#1", &eight, OPTIONS).unwrap();
    assert_eq!(shortcoming(&report).unwrap().kind(), Kind::Unsupported);
    kernel.change_vf(1, |vf| vf.vectors = Some(4));
    let report = run(&kernel, "eth0#1", &eight, OPTIONS).unwrap();
    let error = shortcoming(&report).unwrap();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.message().contains("igbvf has it"), "{error}");
    kernel.change_vf(1, |vf| (vf.driver, vf.netdev) = (None, None));
    let report = run(&kernel, "eth0#1", &eight, OPTIONS).unwrap();
    assert_eq!((outcomes(&report), vf(&kernel, 1).vectors), (vec![Outcome::Applied], Some(8)));
    // And back, where all or nothing is asked for.
    let request = Request { vectors: Some(2), ..trust() };
    kernel.begin_with(Faults { drops_trust: true, ..Faults::default() });
    let report = run(&kernel, "eth0#1", &request, STRICT).unwrap();
    assert_eq!((report.rolled_back, vf(&kernel, 1).vectors), (true, Some(8)));
}

#[test]
fn guids_are_for_infiniband() {
    let settings = VfSettings { node_guid: Some(7), port_guid: Some(8), ..VfSettings::default() };
    let request = Request { settings, ..Request::default() };
    let kernel = kernel();
    let report = run(&kernel, "eth0#1", &request, OPTIONS).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Unsupported; 2]);
    assert_eq!(kernel.applied.get(), 0);
    kernel.infiniband.set(true);
    let report = run(&kernel, "eth0#1", &request, OPTIONS).unwrap();
    assert_eq!(outcomes(&report), [Outcome::Applied; 2]);
    assert_eq!(vf(&kernel, 1).settings.node_guid, Some(7));
    assert!(report.vfs[0].settings[0].note.as_ref().unwrap().contains("bound the next time"));
}

/// Killed at any operation: a VF may have some of its settings, has a driver, and run again it has all.
#[test]
fn killed_at_any_point_it_can_be_run_again() {
    let mut deaths = 0;
    for at in 0..16 {
        for flags in 0..8 {
            let [done, keeps_own_mac, strict] = [1, 2, 4].map(|flag| flags & flag != 0);
            let kernel = kernel();
            let options = Options { strict, ..OPTIONS };
            let dies = Some((at, done));
            kernel.begin_with(Faults { keeps_own_mac, dies, ..Faults::default() });
            let _ = run(&kernel, "eth0#1", &everything(), options);
            deaths += usize::from(kernel.died());
            kernel.begin_with(Faults { keeps_own_mac, ..Faults::default() });
            for entry in state::examine(&kernel).unwrap() {
                state::repair(&kernel, &entry, &Silent).unwrap();
            }
            assert!(vf(&kernel, 1).driver.is_some(), "no driver after {at}");
            let report = run(&kernel, "eth0#1", &everything(), options).unwrap();
            assert!(shortcoming(&report).is_none(), "{at}: {report:?}");
            let is = vf(&kernel, 1);
            assert_eq!((is.settings.mac, is.netdev.unwrap().mac), (Some(MAC), MAC), "{at}");
            assert!(kernel.bindings.borrow().is_empty(), "a journal is left by {at}");
        }
    }
    assert!(deaths > 80, "it died {deaths} times only");
}

/// Wants it to end after so many questions.
struct Impatient(std::cell::Cell<usize>);

impl Progress for Impatient {
    fn stage(&self, _: &str, _: u64) {}
    fn done(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn is_interrupted(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left == 0
    }
}

#[test]
fn an_interrupt_leaves_the_rest_untried_and_is_said_once() {
    for options in [OPTIONS, STRICT] {
        let kernel = kernel();
        let before = kernel.world();
        let vfs = ["eth0#1-2".parse().unwrap()];
        let report = set(&kernel, &vfs, &trust_and_mtu(), options, &Impatient(1.into())).unwrap();
        let first = if options.strict { Outcome::Undone } else { Outcome::Applied };
        let rest = [Outcome::Failed, Outcome::Untried, Outcome::Untried];
        assert_eq!(outcomes(&report)[..1], [first]);
        assert_eq!(outcomes(&report)[1..], rest);
        let error = shortcoming(&report).unwrap();
        assert_eq!(error.message(), "interrupted");
        assert_eq!(error.next_step(), Some("run it again to set the rest"));
        assert_eq!((kernel.world() == before, report.changed()), (options.strict, !options.strict));
    }
}

fn trust_and_mtu() -> Request {
    Request { mtu: Some(1400), ..trust() }
}

#[test]
fn a_mac_that_is_not_taken_is_put_back_and_is_no_nothing() {
    // Of the driver that is bound anew no interface comes.
    let kernel = busy();
    kernel.change_vf(1, |vf| vf.netdev.as_mut().unwrap().up = false);
    let before = vf(&kernel, 1).settings.mac;
    let faults = Faults { keeps_own_mac: true, no_netdevs: true, ..Faults::default() };
    kernel.begin_with(faults);
    let report = run(&kernel, "eth0#1", &mac_only(), OPTIONS).unwrap();
    assert!(report.changed(), "{report:?}");
    let error = shortcoming(&report).unwrap();
    assert_eq!(error.kind(), Kind::Partial);
    let says = |what: &str| error.detail_lines().iter().any(|line| line.contains(what));
    if kernel.bindings.borrow().is_empty() {
        assert!(says("its former MAC was put back"), "{error:?}");
        assert_eq!(vf(&kernel, 1).settings.mac, before);
    } else {
        assert!(says("its PF keeps"), "{error:?}");
        assert_eq!(vf(&kernel, 1).settings.mac, Some(MAC));
    }
}

#[test]
fn forced_no_record_of_a_driver_is_lost() {
    for finished in [true, false] {
        let kernel = kernel();
        let to_vfio = binding::Request { driver: "vfio-pci".into(), ..binding::Request::default() };
        bind(&kernel, &device_of(2), &to_vfio, &Silent).unwrap();
        let record = kernel.bindings.borrow()[&device_of(2)].1.clone();
        let kept = if finished { (None, record) } else { (record, None) };
        // As if it had its own driver again, and this did not yet say so.
        let kernel = self::kernel();
        kernel.bindings.borrow_mut().insert(device_of(2), kept.clone());
        kernel.begin_with(Faults { keeps_own_mac: true, ..Faults::default() });
        let force = Options { force: true, ..OPTIONS };
        let report = run(&kernel, "eth0#2", &mac_only(), force).unwrap();
        let note = report.vfs[0].settings[0].note.clone().unwrap();
        assert!(note.contains("until its driver is bound the next time"), "{note}");
        assert!(kernel.bindings.borrow()[&device_of(2)] == kept);
        assert_eq!(vf(&kernel, 2).settings.mac, Some(MAC));
    }
}

#[test]
fn strict_claims_no_more_than_it_can_know() {
    let kernel = kernel();
    kernel.change_vf(1, |vf| vf.settings.trust = None);
    kernel.begin_with(Faults { refuse: Some((1, 5)), ..Faults::default() });
    let report = run(&kernel, "eth0#1", &trust_and_mtu(), STRICT).unwrap();
    assert!(report.rolled_back && report.changed(), "{report:?}");
    let left: Vec<String> = report.left.iter().map(ToString::to_string).collect();
    assert_eq!(left, ["trust of eth0#1: nobody said what it was"]);
    assert_eq!(shortcoming(&report).unwrap().kind(), Kind::Partial);
}
