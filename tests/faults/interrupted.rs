//! A change that somebody wants to end, at each place where it asks whether they do.

use std::cell::Cell;
use std::time::Duration;

use sriovctl::engine::attach::{Choice, attach};
use sriovctl::engine::numvfs::{Options, set};
use sriovctl::engine::{Progress, bind, state};
use sriovctl::model::plan::numvfs::Request;
use sriovctl::{Kind, Result};

use super::kernel::{FakeKernel, PF, device_of, netns};

/// Wants it to end from the n-th time on that it is asked.
struct After {
    nth: usize,
    asked: Cell<usize>,
}

impl Progress for After {
    fn stage(&self, _: &str, _: u64) {}
    fn done(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn is_interrupted(&self) -> bool {
        self.asked.replace(self.asked.get() + 1) >= self.nth
    }
}

/// Interrupted at each place in turn, until it is not interrupted any more: as before, and no record.
fn is_undone_everywhere(
    make: impl Fn() -> FakeKernel,
    change: impl Fn(&FakeKernel, &dyn Progress) -> Result<()>,
) {
    for nth in 0.. {
        let kernel = make();
        let before = kernel.world();
        let Err(error) = change(&kernel, &After { nth, asked: Cell::new(0) }) else {
            assert!(nth >= 2, "it was asked at {nth} places only");
            return;
        };
        assert_eq!((error.kind(), error.message()), (Kind::Failed, "interrupted"), "at {nth}");
        assert_eq!(kernel.world(), before, "interrupted at {nth}: {error:?}");
        assert_eq!(state::examine(&kernel).unwrap().len(), 0, "interrupted at {nth}");
    }
}

#[test]
fn an_attach_that_is_interrupted_is_undone() {
    is_undone_everywhere(super::attach::kernel, |kernel, progress| {
        let choice = Choice::Vf("eth0#1".parse().unwrap());
        let request = super::attach::everything();
        attach(kernel, &choice, &netns(100), &request, false, progress).map(|_| ())
    });
}

#[test]
fn a_binding_that_is_interrupted_is_undone() {
    is_undone_everywhere(super::bind::kernel, |kernel, progress| {
        bind::bind(kernel, &device_of(1), &super::bind::everything(), progress).map(|_| ())
    });
}

#[test]
fn a_resize_that_is_interrupted_is_undone() {
    let make = || {
        let kernel = super::numvfs::configured(4);
        kernel.faults.borrow_mut().netdev_delay = Duration::from_secs(2);
        kernel
    };
    is_undone_everywhere(make, |kernel, progress| {
        let request = Request { count: 6, driver: None, no_autoprobe: false, force: false };
        let options = Options { timeout: Duration::from_secs(60), wait: true };
        set(kernel, &PF.parse().unwrap(), &request, options, progress).map(|_| ())
    });
}
