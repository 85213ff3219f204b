//! `set-numvfs` when the kernel, the driver or the VFs do not do as they should.
#![allow(clippy::cast_possible_truncation)] // VF numbers are below 8

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use proptest::prelude::*;
use sriovctl::engine::Silent;
use sriovctl::engine::numvfs::{Options, Report, recover, set};
use sriovctl::engine::state;
use sriovctl::model::ids::{MacAddr, VlanId};
use sriovctl::model::link::{VlanProto, VlanTag};
use sriovctl::model::plan::numvfs::Request;
use sriovctl::model::usage::User;
use sriovctl::{Kind, Result};

use super::kernel::{FakeKernel, Faults, PF, VfState, World};
use super::{CASES, count_case};

static RESIZES: AtomicU32 = AtomicU32::new(0);
static KILLED: AtomicU32 = AtomicU32::new(0);

const OPTIONS: Options = Options { timeout: Duration::from_secs(60), wait: true };

fn request(count: u32) -> Request {
    Request { count, driver: None, no_autoprobe: false, force: false }
}

fn run(kernel: &FakeKernel, request: &Request) -> Result<Report> {
    set(kernel, &PF.parse().unwrap(), request, OPTIONS, &Silent)
}

/// A PF with VFs that an administrator has set up.
pub fn configured(count: u32) -> FakeKernel {
    let kernel = FakeKernel::with_vfs(count);
    for index in 0..count as u16 {
        kernel.change_vf(index, |vf| configure(vf, index));
    }
    kernel
}

fn configure(vf: &mut VfState, index: u16) {
    let mac = MacAddr([2, 0, 0, 0, 7, index as u8]);
    vf.settings.mac = Some(mac);
    vf.settings.vlan = Some(VlanTag { id: VlanId(100 + index), qos: 3, proto: VlanProto::Dot1q });
    vf.settings.trust = Some(index.is_multiple_of(2));
    vf.settings.spoofchk = Some(index % 2 == 1);
    vf.settings.max_tx_rate = Some(100);
    let netdev = vf.netdev.as_mut().unwrap();
    netdev.mac = mac;
    netdev.mtu = 1400;
    netdev.name = format!("vf{}", 7 - index);
    netdev.altnames = vec![format!("alt{index}"), format!("other{index}")];
}

#[test]
fn the_same_number_changes_nothing_and_says_so() {
    let kernel = configured(4);
    let before = kernel.world();
    let report = run(&kernel, &request(4)).unwrap();
    assert!(!report.changed);
    assert_eq!((kernel.world(), kernel.applied.get()), (before, 0));
}

#[test]
fn a_resize_keeps_the_settings_of_the_vfs_that_stay() {
    for (from, to) in [(4, 7), (7, 4), (1, 2), (2, 1)] {
        let kernel = configured(from);
        let before = kernel.world();
        let report = run(&kernel, &request(to)).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        let after = kernel.world();
        assert_eq!(after.vfs.len(), to as usize);
        for (index, vf) in before.vfs.iter().filter(|(index, _)| u32::from(**index) < to) {
            assert_eq!(after.vfs[index], *vf, "VF {index}, {from} to {to}");
        }
    }
}

#[test]
fn vfs_that_swapped_names_get_their_own_back() {
    let kernel = FakeKernel::with_vfs(3);
    for (index, name) in [(0, "eth2"), (1, "eth3"), (2, "eth1")] {
        kernel.change_vf(index, |vf| vf.netdev.as_mut().unwrap().name = name.into());
    }
    let report = run(&kernel, &request(4)).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let names: Vec<_> =
        kernel.world().vfs.values().map(|vf| vf.netdev.clone().unwrap().name).collect();
    assert_eq!(names[..3], ["eth2", "eth3", "eth1"]);
}

#[test]
fn too_many_are_refused_before_anything_is_written() {
    let kernel = configured(4);
    let before = kernel.world();
    let error = run(&kernel, &request(8)).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.message().contains("at most 7 VFs, not 8"), "{error}");
    assert_eq!((kernel.world(), kernel.applied.get()), (before, 0));
}

#[test]
fn vfs_in_use_are_named_and_kept_unless_forced() {
    let kernel = configured(4);
    kernel.change_vf(2, |vf| vf.users = vec![User::Address("10.0.0.1/24".into()), User::Up]);
    let before = kernel.world();
    let error = run(&kernel, &request(7)).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert_eq!(error.detail_lines(), ["eth0#2: 10.0.0.1/24, up"]);
    assert_eq!((kernel.world(), kernel.applied.get()), (before, 0));

    let report = run(&kernel, &Request { force: true, ..request(7) }).unwrap();
    assert_eq!(report.destroyed.len(), 1);
    assert_eq!(report.destroyed[0].name, "eth0#2");
    assert_eq!(kernel.world().vfs.len(), 7);
}

#[test]
fn a_change_that_is_under_way_keeps_others_out() {
    let kernel = configured(4);
    kernel.locked.set(true);
    let before = kernel.world();
    assert_eq!(run(&kernel, &request(7)).unwrap_err().kind(), Kind::Busy);
    assert_eq!((kernel.world(), kernel.applied.get()), (before, 0));
}

#[test]
fn a_driver_that_makes_fewer_is_found_out_and_the_former_number_restored() {
    let kernel = configured(4);
    let before = kernel.world();
    kernel.faults.borrow_mut().makes_at_most = Some(4);
    let error = run(&kernel, &request(6)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.detail_lines().iter().any(|line| line.contains("former 4 VFs")), "{error:?}");
    assert_eq!(kernel.world(), before);
}

#[test]
fn a_write_that_does_not_end_is_not_followed_by_another() {
    let kernel = configured(4);
    kernel.faults.borrow_mut().stalls = true;
    let error = run(&kernel, &request(6)).unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
    assert_eq!(kernel.applied.get(), 1);
}

#[test]
fn interfaces_that_come_late_are_waited_for() {
    let kernel = FakeKernel::with_vfs(0);
    kernel.faults.borrow_mut().netdev_delay = Duration::from_secs(3);
    let report = run(&kernel, &request(4)).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.pf.vfs.iter().all(|vf| vf.netdev().is_some()));

    let kernel = FakeKernel::with_vfs(0);
    kernel.faults.borrow_mut().netdev_delay = Duration::from_secs(3);
    let options = Options { wait: false, ..OPTIONS };
    set(&kernel, &PF.parse().unwrap(), &request(4), options, &Silent).unwrap();
    assert_eq!(kernel.pauses.get(), 0, "--no-wait waits for nothing");
}

#[test]
fn a_stuck_vf_is_bound_again_once() {
    let kernel = FakeKernel::with_vfs(0);
    kernel.faults.borrow_mut().stuck = Some(2);
    let report = run(&kernel, &request(4)).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(kernel.world().vfs.values().all(|vf| vf.netdev.is_some()));
}

#[test]
fn interfaces_that_never_come_end_in_a_list_of_those_without() {
    let kernel = FakeKernel::with_vfs(0);
    kernel.faults.borrow_mut().no_netdevs = true;
    let report = run(&kernel, &request(2)).unwrap();
    assert_eq!(report.problems.len(), 1);
    let problem = &report.problems[0];
    assert_eq!(problem.kind(), Kind::TimedOut);
    assert_eq!(
        problem.detail_lines(),
        [
            "eth0#0 has the driver igbvf, but no interface",
            "eth0#1 has the driver igbvf, but no interface"
        ]
    );
    assert_eq!(kernel.world().vfs.len(), 2, "they exist and are kept");
}

#[test]
fn settings_that_cannot_be_put_back_are_said_and_the_rest_is_put_back() {
    let kernel = configured(2);
    kernel.faults.borrow_mut().refuses_vlan = true;
    let report = run(&kernel, &request(3)).unwrap();
    let said: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("vlan 100 qos 3 on eth0#0"), "{said:?}");
    assert_eq!(kernel.world().vfs[&0].settings.max_tx_rate, Some(100));
}

#[test]
fn a_setting_that_the_driver_accepts_and_drops_is_found_out() {
    let kernel = configured(2);
    kernel.faults.borrow_mut().drops_trust = true;
    let report = run(&kernel, &request(3)).unwrap();
    let said: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["could not set trust on on eth0#0: the driver accepted it, but it is not so"]
    );
}

#[test]
fn a_wished_driver_is_bound_to_all_and_autoprobe_left_as_it_was() {
    let kernel = FakeKernel::with_vfs(0);
    let wish = Request { driver: Some("vfio-pci".into()), ..request(4) };
    run(&kernel, &wish).unwrap();
    let world = kernel.world();
    assert_eq!(world.autoprobe, Some(true));
    for vf in world.vfs.values() {
        assert_eq!((vf.driver.as_deref(), &vf.driver_override), (Some("vfio-pci"), &None));
    }
    assert_eq!(kernel.pauses.get(), 0, "no interface is expected of vfio-pci");
}

#[test]
fn without_autoprobe_the_new_vfs_have_no_driver_and_later_ones_will() {
    let kernel = FakeKernel::with_vfs(2);
    run(&kernel, &Request { no_autoprobe: true, ..request(4) }).unwrap();
    let world = kernel.world();
    assert_eq!(world.autoprobe, Some(true));
    assert!(world.vfs.values().all(|vf| vf.driver.is_none()));
}

#[test]
fn a_vf_on_vfio_is_on_vfio_again_after_a_resize() {
    let kernel = configured(3);
    kernel.change_vf(1, |vf| {
        (vf.driver, vf.netdev) = (Some("vfio-pci".into()), None);
        vf.driver_override = Some("vfio-pci".into());
    });
    let before = kernel.world();
    let report = run(&kernel, &request(5)).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    for (index, vf) in &before.vfs {
        assert_eq!(kernel.world().vfs[index], *vf, "VF {index}");
    }
}

#[test]
fn a_vf_stays_reserved_for_a_driver_after_a_resize() {
    let kernel = FakeKernel::with_vfs(3);
    kernel.change_vf(0, |vf| vf.driver_override = Some("vfio-pci".into()));
    kernel.change_vf(1, |vf| {
        (vf.driver, vf.netdev) = (None, None);
        vf.driver_override = Some("vfio-pci".into());
    });
    let before = kernel.world();
    run(&kernel, &request(5)).unwrap();
    for (index, vf) in &before.vfs {
        assert_eq!(kernel.world().vfs[index], *vf, "VF {index}");
    }
}

#[test]
fn a_resize_that_was_cut_off_is_undone_though_some_vfs_have_no_interface() {
    for driver in [None, Some("vfio-pci".to_owned())] {
        let kernel = configured(3);
        kernel.change_vf(0, |vf| (vf.driver, vf.netdev) = (driver, None));
        let before = kernel.world();
        kernel.begin_with(Faults { dies: Some((0, true)), ..Faults::default() });
        run(&kernel, &request(5)).unwrap_err();
        kernel.begin_with(Faults::default());
        recover(&kernel, &PF.parse().unwrap(), &Silent).unwrap();
        assert_eq!((kernel.world(), kernel.resizes.borrow().len()), (before, 0));
    }
}

/// Runs `request` on `kernel` with the n-th step refused, and demands that the world is as
/// before, or what was asked for with every shortcoming said.
fn check_refusal_at(kernel: &FakeKernel, request: &Request, at: usize, errno: i32) {
    let before = kernel.world();
    *kernel.faults.borrow_mut() = Faults { refuse: Some((at, errno)), ..Faults::default() };
    match run(kernel, request) {
        Err(error) => {
            let after = kernel.world();
            assert_eq!(after, before, "step {at}, {request:?}: {error:?}");
            assert!(kernel.resizes.borrow().is_empty(), "a record is left");
        }
        Ok(report) => {
            let after: World = kernel.world();
            assert_eq!(after.vfs.len(), request.count as usize);
            assert_eq!(after.autoprobe, before.autoprobe);
            // A setting that was refused once is set at the second try; nothing is lost unsaid.
            let kept =
                after.vfs.iter().filter(|_| request.driver.is_none() && !request.no_autoprobe);
            let kept = kept.filter_map(|(index, vf)| Some((before.vfs.get(index)?, vf)));
            let lost = kept.filter(|(before, after)| before != after).count();
            assert_eq!(lost > 0, !report.problems.is_empty(), "step {at}: {:?}", report.problems);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn whichever_step_is_refused_nothing_is_lost(
        from in 0u32..=7,
        to in 0u32..=7,
        at in 0usize..40,
        errno in prop::sample::select(vec![5, 12, 16, 22, 95]),
        driver in prop::option::of(prop::sample::select(vec!["vfio-pci", "igbvf"])),
        no_autoprobe: bool,
        autoprobe: bool,
        vfio_vf in prop::option::of(0u16..7),
    ) {
        let kernel = configured(from);
        if !autoprobe {
            kernel.world.borrow_mut().autoprobe = Some(false);
            for index in 0..from as u16 {
                kernel.change_vf(index, |vf| (vf.driver, vf.netdev) = (None, None));
            }
        }
        if let Some(index) = vfio_vf.filter(|index| u32::from(*index) < from) {
            kernel.change_vf(index, |vf| {
                (vf.driver, vf.netdev) = (Some("vfio-pci".into()), None);
                vf.driver_override = Some("vfio-pci".into());
            });
        }
        let driver = driver.map(str::to_owned).filter(|_| !no_autoprobe);
        check_refusal_at(&kernel, &Request { driver, no_autoprobe, ..request(to) }, at, errno);
        count_case(&RESIZES, "resize refused at a step");
    }

    #[test]
    fn killed_anywhere_the_former_vfs_or_the_new_ones_are_there(
        from in 0u32..=7,
        to in 0u32..=7,
        dies in (0usize..40, any::<bool>()),
        driver in prop::option::of(prop::sample::select(vec!["vfio-pci", "igbvf"])),
        no_autoprobe: bool,
        by_repair: bool,
    ) {
        let kernel = configured(from);
        let before = kernel.world();
        kernel.begin_with(Faults { dies: Some(dies), ..Faults::default() });
        let driver = driver.map(str::to_owned).filter(|_| !no_autoprobe);
        let asked = Request { driver, no_autoprobe, ..request(to) };
        let result = run(&kernel, &asked);
        let died = kernel.died();
        let written_down = !kernel.resizes.borrow().is_empty();
        kernel.begin_with(Faults::default());
        if by_repair {
            for entry in state::examine(&kernel).unwrap() {
                state::repair(&kernel, &entry, &Silent).unwrap();
            }
        } else if died {
            recover(&kernel, &PF.parse().unwrap(), &Silent).unwrap();
        }
        let after = kernel.world();
        prop_assert!(kernel.resizes.borrow().is_empty(), "a record is left");
        prop_assert_eq!(after.autoprobe, before.autoprobe);
        if written_down || result.is_err() && !died {
            prop_assert_eq!(after, before);
        } else if after != before {
            // It died after all was done, when its record was gone.
            prop_assert_eq!(after.vfs.len(), to as usize);
        }
        count_case(&KILLED, "resize killed at a step");
    }
}

#[test]
fn a_resize_whose_journal_cannot_be_removed_is_done_and_stays_done() {
    let kernel = configured(4);
    // The first write keeps what would be lost, the second removes it.
    kernel.faults.borrow_mut().full = Some(1);
    let report = run(&kernel, &request(6)).unwrap();
    let said: Vec<String> =
        report.problems.iter().flat_map(|error| error.detail_lines().to_vec()).collect();
    assert!(said.iter().any(|line| line.contains("says that it ended")), "{said:?}");
    let after = kernel.world();
    assert_eq!(after.vfs.len(), 6);
    let [entry] = &state::examine(&kernel).unwrap()[..] else { panic!("one entry") };
    assert!(matches!(&entry.verdict, state::Verdict::Unfinished(why) if why.contains("ended")));

    recover(&kernel, &entry.device, &Silent).unwrap();
    assert_eq!(kernel.world(), after);
    assert_eq!(state::examine(&kernel).unwrap().len(), 0);
}

#[test]
fn a_resize_that_was_undone_and_whose_journal_cannot_be_removed_says_both() {
    let kernel = configured(4);
    let before = kernel.world();
    kernel.faults.borrow_mut().makes_at_most = Some(4);
    kernel.faults.borrow_mut().full = Some(1);
    let error = run(&kernel, &request(6)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    let lines = error.detail_lines();
    assert!(lines.iter().any(|line| line.contains("former 4 VFs")), "{error:?}");
    assert!(lines.iter().any(|line| line.contains("writing a record")), "{error:?}");
    assert_eq!(kernel.world(), before);
}
