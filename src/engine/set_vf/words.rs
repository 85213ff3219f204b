//! What could not be set, in an administrator's words.

use super::{Done, OneVf, Outcome, Report};
use crate::error::{Error, Kind};
use crate::model::inventory::{Pf, Vf};
use crate::model::plan::set_vf::{Refusal, What};
use crate::model::record::Record;
use crate::model::selector::together;
use crate::model::text::shell_word;

/// How many reasons are told at once; a PF may have hundreds of VFs, which mostly have the same.
const TOLD: usize = 8;

/// Why a VF that belongs to somebody is left alone.
pub(in crate::engine) fn owned(name: &str, owner: &str, hint: &str) -> Error {
    let text = format!(
        "{name} belongs to somebody: {owner}; what is set now is lost when it is given back"
    );
    Error::new(Kind::Busy, text)
        .device(name)
        .hint(format!("{hint}; or set it all the same with --force"))
}

/// Who has a VF that was bound, as [`owned`] says it.
pub(in crate::engine) fn bound_owner(record: &Record) -> String {
    let driver = record.wanted.driver.as_deref().unwrap_or("another driver");
    format!("bind-dpdk gave it to {driver}")
}

/// Why something is not tried.
pub(in crate::engine) fn refusal_error(
    name: &str,
    pf: &Pf,
    vf: &Vf,
    what: What,
    refusal: &Refusal,
) -> Error {
    let thing = what.option();
    let pf_name = pf.name();
    let pf_word = shell_word(&pf_name);
    let address = vf.pci().map(|pci| pci.to_string()).unwrap_or_default();
    let cannot = |kind, why: String| {
        Error::new(kind, format!("could not set {thing} {} on {name}: {why}", what.value()))
    };
    let error = match refusal {
        Refusal::NoPf(None) => {
            let driver = pf.facts.driver.as_deref().unwrap_or("no driver");
            cannot(Kind::Unsupported, format!("its PF has no interface ({driver} has it)"))
        }
        Refusal::NoPf(Some(netns)) => {
            cannot(Kind::Busy, format!("its PF's interface is in the network namespace {netns}"))
                .hint("move it back to the host first")
        }
        Refusal::NotInfiniband => cannot(
            Kind::Unsupported,
            format!("{pf_name} is an Ethernet card, and GUIDs are InfiniBand's"),
        ),
        Refusal::RateAbove { min, max } => {
            cannot(Kind::Busy, format!("the lowest rate, {min}, would be above the highest, {max}"))
                .hint("set both: --min-tx-rate and --max-tx-rate")
        }
        Refusal::Away(netns) => cannot(
            Kind::Busy,
            format!("its interface is in the network namespace {netns}"),
        )
        .hint(format!("bring it back first: sriovctl inspect-state --repair {}", shell_word(name))),
        Refusal::NoInterface(None) => {
            let error =
                cannot(Kind::Busy, "it has no interface, since it has no driver".to_owned());
            if address.is_empty() {
                error.with_kind(Kind::Unsupported)
            } else {
                error.hint(format!("give it its own: sriovctl bind-dpdk --restore {address}"))
            }
        }
        Refusal::NoInterface(Some(driver)) => {
            cannot(Kind::Busy, format!("it has no interface on the host: {driver} has it"))
                .hint(format!("see where it is: sriovctl list-vfs {}", shell_word(name)))
        }
        Refusal::MtuAbovePf(largest) => cannot(Kind::Busy, format!("its PF's is {largest}"))
            .hint(format!("raise the PF's first: ip link set {pf_word} mtu {}", what.value())),
        Refusal::FixedVectors => {
            let driver = pf.facts.driver.as_deref().unwrap_or("its PF's driver");
            cannot(Kind::Unsupported, format!("{driver} gives each VF a fixed number"))
        }
        Refusal::HasDriver(driver) => cannot(
            Kind::Busy,
            format!("{driver} has it, and the kernel takes their number only while none has"),
        )
        .hint(format!(
            "take it away for that: echo {address} > /sys/bus/pci/devices/{address}/driver/unbind"
        )),
    };
    error.device(name)
}

/// It was accepted, and is not so.
pub(super) fn not_so(name: &str, what: What, present: Option<&str>) -> Error {
    let (thing, value) = (what.option(), what.value());
    let present = present.unwrap_or("unknown");
    let text = format!("{thing} of {name} is {present}, though the driver accepted {value}");
    Error::new(Kind::Unsupported, text).device(name)
}

/// What could not be done, as one error.
pub fn shortcoming(report: &Report) -> Option<Error> {
    let of = |vf: &OneVf| -> Vec<Error> {
        let settings = vf.settings.iter().filter_map(|done| done.error.clone());
        vf.error.iter().cloned().chain(settings).collect()
    };
    let errors: Vec<Error> = report.vfs.iter().flat_map(of).collect();
    let first = errors.first()?;
    let all = || report.vfs.iter().flat_map(|vf| &vf.settings);
    let was_done = |done: &Done| matches!(done.outcome, Outcome::Applied | Outcome::Unchanged);
    let some_done = all().any(was_done) && !report.options.strict && !report.options.dry_run;
    let telling = errors.iter().find(|error| error.kind() != Kind::Unsupported).unwrap_or(first);
    let error = if errors.len() == 1 {
        first.clone()
    } else {
        let text = format!("{} settings or VFs could not be set", errors.len());
        let more = errors.len().saturating_sub(TOLD);
        // What to do about all of them is said once.
        let hint =
            first.next_step().filter(|hint| errors.iter().all(|e| e.next_step() == Some(hint)));
        let error = Error::new(telling.kind(), text)
            .details(errors.iter().take(TOLD).flat_map(|error| error.lines(hint.is_none())))
            .details((more > 0).then(|| format!("and {more} more")));
        hint.map_or(error.clone(), |hint| error.hint(hint))
    };
    let error = if error.next_step().is_none() {
        let failed = report.vfs.iter().filter(|vf| !of(vf).is_empty());
        let names = together(failed.map(|vf| vf.name.as_str())).join(" ");
        error.hint(format!("see how it is set up: sriovctl list-vfs -o wide {names}"))
    } else {
        error
    };
    let error = error.details(put_back(report));
    let is_partial = some_done || !report.left.is_empty() || all().any(|done| done.is_other);
    Some(if is_partial { error.with_kind(Kind::Partial) } else { error })
}

/// What became of what was put back.
pub(super) fn put_back(report: &Report) -> Vec<String> {
    if report.rolled_back && report.left.is_empty() {
        return vec!["everything that was set is as it was before".to_owned()];
    }
    report.left.iter().map(|error| format!("not put back: {error}")).collect()
}
