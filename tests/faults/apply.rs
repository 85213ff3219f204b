//! `apply` when steps are refused and when the program dies: what was done is told, nothing that was not
//! asked for is touched, and applying again reaches what the file says.

use std::cell::Cell;
use std::time::Duration;

use sriovctl::engine::apply::{Options, Report, apply, shortcoming};
use sriovctl::engine::attach::{Choice, attach};
use sriovctl::engine::state::Verdict;
use sriovctl::engine::{Progress, Silent, bind, export, state};
use sriovctl::model::ids::{MacAddr, VlanId};
use sriovctl::model::plan::{attach as attaching, bind as binding, export as exporting};
use sriovctl::model::spec::{self, Spec};
use sriovctl::{Error, Kind, Result};

use super::kernel::{FakeKernel, Faults, device_of, netns};

const OPTIONS: Options = Options {
    timeout: Duration::from_secs(60),
    wait: Duration::ZERO,
    force: false,
    keep_going: false,
    dry_run: false,
    session: None,
};

/// Five VFs of which two go to user space, and one is unlike the others.
const HOST: &str = "version: 1
pfs:
- pf: 0000:01:00.0
  numvfs: 5
  vfs:
  - vfs: all
    vlan: 100
    spoofchk: off
  - vfs: 0-1
    driver: vfio-pci
  - vfs: 3
    mac: 02:00:00:00:00:33
    vlan: 7
    trust: on
    mtu: 1400
";

fn read(text: &str) -> Vec<(String, Spec)> {
    vec![("host.yaml".to_owned(), spec::read(text).unwrap())]
}

fn run(kernel: &FakeKernel, text: &str) -> Result<Report> {
    apply(kernel, &read(text), &OPTIONS, &Silent)
}

fn exported(kernel: &FakeKernel) -> String {
    let pfs = export::pfs(kernel, &[]).unwrap();
    exporting::spec(&pfs, &export::kept(kernel, &pfs).unwrap()).to_yaml()
}

fn is_so(kernel: &FakeKernel) {
    let world = kernel.world();
    assert_eq!(world.vfs.len(), 5);
    for (index, vf) in &world.vfs {
        let vlan = if *index == 3 { 7 } else { 100 };
        assert_eq!(vf.settings.vlan.unwrap().id, VlanId(vlan), "VF {index}");
        assert_eq!(vf.settings.spoofchk, Some(false), "VF {index}");
        let driver = if *index < 2 { "vfio-pci" } else { "igbvf" };
        assert_eq!(vf.driver.as_deref(), Some(driver), "VF {index}");
    }
    let third = &world.vfs[&3];
    assert_eq!(third.settings.mac, Some(MacAddr([2, 0, 0, 0, 0, 0x33])));
    assert_eq!(third.netdev.as_ref().unwrap().mtu, 1400);
}

#[test]
fn the_second_time_no_step_is_taken_and_nothing_is_told_as_changed() {
    let kernel = FakeKernel::with_vfs(2);
    let report = run(&kernel, HOST).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    is_so(&kernel);
    kernel.begin_with(Faults::default());
    let again = run(&kernel, HOST).unwrap();
    assert_eq!((again.changes, kernel.applied.get()), (Vec::new(), 0));
}

#[test]
fn a_dry_run_tells_what_is_then_done() {
    let kernel = FakeKernel::with_vfs(2);
    let before = kernel.world();
    let options = Options { dry_run: true, ..OPTIONS };
    let would = apply(&kernel, &read(HOST), &options, &Silent).unwrap();
    assert_eq!((kernel.world(), kernel.applied.get()), (before, 0));
    let does = run(&kernel, HOST).unwrap();
    let words = |report: &Report| {
        let word = |change: &sriovctl::model::plan::apply::Change| {
            format!("{} {} {}", change.device, change.what, change.to)
        };
        let mut all: Vec<String> = report.changes.iter().map(word).collect();
        all.sort();
        all
    };
    assert_eq!(words(&would), words(&does));
}

/// Each step refused in turn, or the program dead at it: what could not be done is told, and the next
/// run does it.
#[test]
fn whatever_fails_or_dies_applying_again_gets_there() {
    let mut cases = 0;
    for dies in [None, Some(false), Some(true)] {
        for nth in 0.. {
            let kernel = FakeKernel::with_vfs(2);
            kernel.begin_with(match dies {
                None => Faults { refuse: Some((nth, 5)), ..Faults::default() },
                Some(after) => Faults { dies: Some((nth, after)), ..Faults::default() },
            });
            let outcome = run(&kernel, HOST);
            let was_hit = match dies {
                None => kernel.applied.get() > nth,
                Some(_) => kernel.died(),
            };
            if !was_hit {
                assert!(outcome.unwrap().problems.is_empty());
                break;
            }
            cases += 1;
            if dies.is_none() {
                // A refused step is told, unless what it was for is so all the same.
                let told = outcome.as_ref().map_or(true, |report| !report.problems.is_empty());
                assert!(told || is_done(&kernel), "step {nth}: {outcome:?}");
            }
            kernel.begin_with(Faults::default());
            let again = run(&kernel, HOST).unwrap();
            assert!(again.problems.is_empty(), "{dies:?} {nth}: {:?}", again.problems);
            is_so(&kernel);
            let left = state::examine(&kernel).unwrap();
            assert!(
                left.iter().all(|entry| entry.verdict == Verdict::Ok),
                "{dies:?} {nth}: {left:?}"
            );
            kernel.begin_with(Faults::default());
            assert_eq!(run(&kernel, HOST).unwrap().changes, [], "{dies:?} {nth}");
        }
    }
    assert!(cases > 60, "{cases}");
}

fn is_done(kernel: &FakeKernel) -> bool {
    apply(kernel, &read(HOST), &Options { dry_run: true, ..OPTIONS }, &Silent)
        .is_ok_and(|report| report.changes.is_empty())
}

#[test]
fn what_a_host_is_is_applied_without_a_step() {
    let kernel = super::numvfs::configured(6);
    kernel.world.borrow_mut().namespaces.insert(100, ["lo".to_owned()].into());
    bind::bind(
        &kernel,
        &device_of(2),
        &binding::Request { driver: "vfio-pci".into(), ..binding::Request::default() },
        &Silent,
    )
    .unwrap();
    let request = attaching::Request { mtu: Some(1300), ..super::attach::everything() };
    attach(&kernel, &Choice::Vf("eth0#4".parse().unwrap()), &netns(100), &request, false, &Silent)
        .unwrap();
    let before = kernel.world();
    kernel.begin_with(Faults::default());
    let yaml = exported(&kernel);
    let report = run(&kernel, &yaml).unwrap();
    assert_eq!((report.changes, kernel.applied.get()), (Vec::new(), 0), "{yaml}");
    assert_eq!(kernel.world(), before);
    assert_eq!(exported(&kernel), yaml);
}

#[test]
fn an_attached_vf_is_left_alone_and_the_rest_is_done_where_that_is_wanted() {
    let kernel = FakeKernel::with_vfs(5);
    kernel.world.borrow_mut().namespaces.insert(100, ["lo".to_owned()].into());
    let request = super::attach::everything();
    attach(&kernel, &Choice::Vf("eth0#4".parse().unwrap()), &netns(100), &request, false, &Silent)
        .unwrap();
    let attached = kernel.world().vfs[&4].clone();
    let before = kernel.world();
    let error = run(&kernel, HOST).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.to_string().contains("eth0#4 belongs to"), "{error}");
    assert_eq!(kernel.world(), before);
    let options = Options { keep_going: true, ..OPTIONS };
    let report = apply(&kernel, &read(HOST), &options, &Silent).unwrap();
    let said = shortcoming(&report).unwrap();
    assert_eq!((said.kind(), report.problems.len()), (Kind::Partial, 1), "{said:?}");
    assert_eq!(kernel.world().vfs[&4], attached);
    assert_eq!(kernel.world().vfs[&0].driver.as_deref(), Some("vfio-pci"));
    // A change of the number would destroy it.
    let error = run(&kernel, &HOST.replace("numvfs: 5", "numvfs: 6")).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}

/// Wants it to end from the n-th time on that it is asked.
struct After(Cell<usize>);

impl Progress for After {
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
fn interrupted_anywhere_it_says_so_and_can_be_run_again() {
    for nth in 0.. {
        let kernel = FakeKernel::with_vfs(2);
        let progress = After(Cell::new(nth));
        let report = apply(&kernel, &read(HOST), &OPTIONS, &progress).unwrap();
        let Some(error) = shortcoming(&report) else {
            assert!(nth > 5, "{nth}");
            return;
        };
        let is_said = |error: &Error| {
            let lines = error.detail_lines().join(" ");
            format!("{error} {lines}").contains("interrupted")
        };
        assert!(is_said(&error), "{nth}: {error:?}");
        assert!(run(&kernel, HOST).unwrap().problems.is_empty());
        is_so(&kernel);
    }
}
