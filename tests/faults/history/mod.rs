//! Histories: everything that the program and others do to a few VFs, in any order, with steps that
//! are refused and programs that are killed. After every step a small model says what must be so;
//! after the last one everything is given back, and must be as nobody had touched it.

mod act;
mod compare;
mod demand;
mod model;
mod other;
mod sight;
mod stay;
mod steps;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sriovctl::engine::Silent;
use sriovctl::engine::bind::{Back, back};
use sriovctl::engine::detach::detach;

use self::compare::{differing, do_without, is_taken};
use self::model::Model;
use self::sight::Sight;
use self::steps::{Act, Fault, NAMESPACES, Step, VFS};
use super::kernel::{FakeKernel, Faults};

/// How many, unless `SRIOVCTL_HISTORIES` says.
const HISTORIES: u32 = 3600;

#[derive(Default)]
struct Counts {
    histories: AtomicU64,
    steps: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    killed: AtomicU64,
    compared: AtomicU64,
    unknown: AtomicU64,
}

static COUNTS: Counts = Counts {
    histories: AtomicU64::new(0),
    steps: AtomicU64::new(0),
    done: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    killed: AtomicU64::new(0),
    compared: AtomicU64::new(0),
    unknown: AtomicU64::new(0),
};

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

fn histories() -> u32 {
    let asked = std::env::var("SRIOVCTL_HISTORIES").ok();
    asked.map_or(HISTORIES, |text| text.parse().expect("SRIOVCTL_HISTORIES is a number"))
}

fn begin() -> FakeKernel {
    let kernel = FakeKernel::with_vfs(u32::from(VFS));
    for inode in NAMESPACES {
        other::make(&kernel, inode);
    }
    kernel.world.borrow_mut().host_others.insert("eth0".to_owned());
    kernel
}

fn faults(fault: Fault) -> Faults {
    let mut faults = Faults::default();
    match fault {
        Fault::None => {}
        Fault::Refused(nth, errno) => faults.refuse = Some((nth, errno)),
        Fault::Full(nth) => faults.full = Some(nth),
        Fault::Killed(nth, after) => faults.dies = Some((nth, after)),
    }
    faults
}

fn run(history: &[Step], told: &mut Vec<String>) -> Result<(), String> {
    let kernel = begin();
    let mut model = Model::new(&Sight::of(&kernel));
    for (nth, step) in history.iter().enumerate() {
        let before = Sight::of(&kernel);
        count(&COUNTS.steps, 1);
        if let Act::Other(what) = &step.act {
            kernel.begin_with(Faults::default());
            let name = |vf| model.vfs.get(&vf)?.base.netdev.as_ref().map(|n| n.name.clone());
            other::meddle(&kernel, what, &name);
            model.meddled(what, &before, &Sight::of(&kernel));
            told.push(String::new());
            continue;
        }
        kernel.begin_with(faults(step.fault));
        let said = act::perform(&kernel, &step.act);
        let killed = kernel.died();
        told.push(match &said {
            Err(why) => why.clone(),
            Ok(_) => "done".to_owned(),
        });
        count(&COUNTS.killed, u64::from(killed));
        let struck = matches!(step.fault, Fault::Refused(..) | Fault::Full(_));
        count(&COUNTS.refused, u64::from(struck && said.is_err()));
        count(&COUNTS.done, u64::from(said.is_ok()));
        model.done(step, &said, killed, &before, &Sight::of(&kernel)).map_err(|why| {
            format!("step {nth}, {:?}, {:?} said {said:?}: {why}", step.act, step.fault)
        })?;
    }
    undo_all(&kernel, &mut model).map_err(|why| format!("at the end: {why}"))?;
    count(&COUNTS.histories, 1);
    count(&COUNTS.compared, model.compared);
    count(&COUNTS.unknown, model.murky);
    Ok(())
}

/// Everything is given back, once nobody has anybody's name any more.
fn undo_all(kernel: &FakeKernel, model: &mut Model) -> Result<(), String> {
    kernel.begin_with(Faults::default());
    let mut said = Vec::new();
    for _ in 0..4 {
        said.clear();
        free_names(kernel, model);
        said.extend(act::repair(kernel, false).err());
        let attached: Vec<_> = kernel.records.borrow().keys().cloned().collect();
        for device in attached {
            let done = detach(kernel, &device, &|_| true, &Silent);
            said.extend(done.err().map(|error| format!("{error:?}")));
        }
        let bound: Vec<_> = kernel.bindings.borrow().keys().cloned().collect();
        for device in bound {
            let done = back(kernel, &device, &Back::default(), &Silent);
            said.extend(done.err().map(|error| format!("{error:?}")));
        }
        if Sight::of(kernel).is_empty() && kernel.resizes.borrow().is_empty() {
            break;
        }
    }
    let now = Sight::of(kernel);
    let resizes = kernel.resizes.borrow();
    if !now.is_empty() || !resizes.is_empty() {
        let records = (now.records.keys(), now.bindings.keys(), resizes.keys());
        return Err(format!("something is left: {records:?} {:?} {said:#?}", now.told));
    }
    for (vf, known) in &model.vfs {
        let Some(is) = now.world.vfs.get(vf) else { continue };
        let mut base = known.base.clone();
        do_without(&now.host_names(*vf), &mut base, is);
        if !known.murky && base != *is {
            return Err(format!("VF {vf}: {}", differing(is, &base)));
        }
    }
    Ok(())
}

impl Sight {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.bindings.is_empty()
            && self.told.is_empty()
            && self.resizes.is_empty()
    }
}

/// VFs on the host that have names that others will want back get names of their own: two that have
/// each other's could not get them.
fn free_names(kernel: &FakeKernel, model: &mut Model) {
    let now = Sight::of(kernel);
    let vfs: Vec<u16> = model.vfs.keys().copied().collect();
    for vf in vfs {
        let has_record = now.attachment(vf).is_some() || now.binding(vf).is_some();
        let Some(netdev) = now.world.vfs.get(&vf).and_then(|vf| vf.netdev.as_ref()) else {
            continue;
        };
        if has_record && netdev.netns.is_some() {
            continue;
        }
        let names = netdev.altnames.iter().chain([&netdev.name]).cloned().collect();
        if model.vfs.iter().any(|(other, known)| {
            *other != vf
                && (is_taken(&known.base, &names)
                    || is_taken(&known.home, &names)
                    || now.is_claimed(*other, &names))
        }) {
            kernel.change_vf(vf, |is| {
                let netdev = is.netdev.as_mut().unwrap();
                (netdev.name, netdev.altnames) = (format!("zz{vf}"), Vec::new());
            });
            // Of what has a record that one says what it shall be called, as does one of the former VFs.
            if !has_record && !now.is_resizing() {
                model.adopt(vf, &Sight::of(kernel));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: histories(),
        max_shrink_iters: 6000,
        // The same ones each time, unless more are asked for.
        rng_seed: match std::env::var("SRIOVCTL_HISTORIES") {
            Ok(_) => RngSeed::Random,
            Err(_) => RngSeed::Fixed(1),
        },
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_no_vf_is_lost(history in steps::history()) {
        let mut told = Vec::new();
        if let Err(why) = run(&history, &mut told) {
            told.resize(history.len(), "not reached".to_owned());
            let steps = history.iter().zip(told).map(|(step, told)| format!("{step:?}: {told}"));
            let steps: Vec<String> = steps.collect();
            prop_assert!(false, "{}\nof the history\n{}", why, steps.join("\n"));
        }
        if COUNTS.histories.load(Ordering::Relaxed) == u64::from(histories()) {
            report();
        }
    }
}

/// Past the capturing of output: the numbers are a result.
fn report() {
    use std::io::Write;
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let all = &COUNTS;
    let _ = writeln!(
        std::io::stderr(),
        "{} histories: {} steps, {} done, {} failed by a fault, {} killed; {} VFs compared, {} unknown",
        get(&all.histories),
        get(&all.steps),
        get(&all.done),
        get(&all.refused),
        get(&all.killed),
        get(&all.compared),
        get(&all.unknown),
    );
    assert!(get(&all.steps) >= 100_000 || histories() < HISTORIES, "too few steps");
}
