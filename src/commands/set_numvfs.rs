//! `set-numvfs`: asks where it must, shows progress, says what was done.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::console::{Bar, Console};
use super::say::line;
use super::{StepView, write_json, writing};
use crate::cli::SetNumvfs;
use crate::engine::numvfs::{self, Options, Proposal, Report};
use crate::engine::store::Store;
use crate::engine::{Kernel, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::facts::Scope;
use crate::model::inventory::{Inventory, Pf};
use crate::model::plan::numvfs::{InUse, Plan, Refusal, Request};
use crate::model::selector::Selector;

/// The JSON document, see `schemas/set-numvfs.schema.json`.
#[derive(Serialize)]
struct View {
    schema_version: u32,
    changed: bool,
    dry_run: bool,
    pf: String,
    device: String,
    before: u32,
    after: u32,
    vfs: Vec<String>,
    destroyed: Vec<InUseView>,
    restored: Vec<String>,
    bound: Vec<String>,
    failed: Vec<FailureView>,
    steps: Vec<StepView>,
}

#[derive(Serialize)]
struct InUseView {
    vf: String,
    used_by: Vec<String>,
}

#[derive(Serialize)]
struct FailureView {
    message: String,
    details: Vec<String>,
    hint: Option<String>,
}

/// Runs it; what could not be done although the number is right comes back as an error that was
/// not yet said.
pub fn run<K: Kernel + Store + Surroundings>(
    args: &SetNumvfs,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    let (pf, count) = operands(args, kernel, console)?;
    let mut request = Request {
        count,
        driver: args.driver.clone(),
        no_autoprobe: args.no_autoprobe,
        force: args.force,
    };
    if args.dry_run {
        return dry_run(args, kernel, &pf, &request, out).map(|()| None);
    }
    let asks = !request.force && !args.json && console.can_ask();
    if asks && let Some(vfs) = in_use(kernel, &pf, &request)? {
        request.force = Console::confirm(&question(&vfs))?;
        if !request.force {
            return Err(Error::new(Kind::Busy, "nothing was changed"));
        }
    }
    let options = Options { timeout: timeout(args), wait: !args.no_wait };
    let bar = Bar::new(console);
    let report = numvfs::set(kernel, &pf, &request, options, &bar);
    bar.clear();
    let report = report?;
    if args.json {
        write_json(out, &View::done(&report))?;
    } else {
        write_text(out, &report, args)?;
    }
    Ok(shortcoming(&report, args.json))
}

fn timeout(args: &SetNumvfs) -> Duration {
    Duration::from_secs(args.timeout)
}

/// The PF and the number; somebody at a terminal is asked for what is missing.
fn operands<K: Kernel>(args: &SetNumvfs, kernel: &K, console: &Console) -> Result<(Selector, u32)> {
    if let (Some(pf), Some(count)) = (&args.pf, args.count) {
        return Ok((pf.clone(), count));
    }
    if !console.can_ask() || args.json {
        let what = if args.pf.is_none() { "the PF is missing" } else { "the number is missing" };
        return Err(Error::new(Kind::Usage, what)
            .hint("say both: sriovctl set-numvfs PF N; see the PFs: sriovctl list-pfs"));
    }
    let inventory = kernel.observe(Scope { change: true, ..Scope::default() })?;
    let pf = match &args.pf {
        Some(pf) => pf.pf(&inventory)?,
        None => ask_for_pf(&inventory)?,
    };
    let count = match args.count {
        Some(count) => count,
        None => ask_for_count(pf)?,
    };
    let selector = match &args.pf {
        Some(selector) => selector.clone(),
        None => numvfs::by_device(&pf.facts.device)?,
    };
    Ok((selector, count))
}

fn ask_for_pf(inventory: &Inventory) -> Result<&Pf> {
    let pfs: Vec<&Pf> = inventory.pfs.iter().collect();
    if pfs.is_empty() {
        return Err(Error::new(Kind::NotFound, "no device of this host can have VFs")
            .hint("look for the reason: dmesg | grep -i -e sr-iov -e iommu"));
    }
    let line = |pf: &&Pf| {
        let driver = pf.facts.driver.as_deref().unwrap_or("no driver");
        let used = pf.vfs.iter().filter(|vf| !vf.users.is_empty()).count();
        let (name, device, count) = (pf.name(), &pf.facts.device, pf.count());
        format!("{name:<12} {device}  {driver}  {count}, {used} in use")
    };
    let lines: Vec<String> = pfs.iter().map(line).collect();
    Ok(pfs[Console::select("PF", &lines)?])
}

fn ask_for_count(pf: &Pf) -> Result<u32> {
    let most = pf.facts.total_vfs.unwrap_or(u32::from(u16::MAX));
    let question = format!("Number of VFs of {}, 0 to {most}", pf.name());
    Console::number(&question, pf.num_vfs(), most)
}

fn in_use<K: Kernel>(kernel: &K, pf: &Selector, request: &Request) -> Result<Option<Vec<InUse>>> {
    match numvfs::propose(kernel, pf, request)?.plan {
        Err(Refusal::InUse(vfs)) => Ok(Some(vfs)),
        _ => Ok(None),
    }
}

fn question(vfs: &[InUse]) -> Vec<String> {
    let them = if vfs.len() == 1 { "This VF is" } else { "These VFs are" };
    let first = format!("{them} in use and will be destroyed:");
    let vfs = vfs.iter().map(|vf| format!("  {vf}"));
    [first].into_iter().chain(vfs).chain(["Go on?".to_owned()]).collect()
}

fn dry_run<K: Kernel>(
    args: &SetNumvfs,
    kernel: &K,
    selector: &Selector,
    request: &Request,
    out: &mut dyn Write,
) -> Result<()> {
    let Proposal { pf, plan } = numvfs::propose(kernel, selector, request)?;
    let plan = plan.map_err(|refusal| numvfs::refusal_error(&pf, &refusal))?;
    let replay = numvfs::replay_preview(&pf, &plan);
    let (name, address) = (pf.name(), pf.facts.device.to_string());
    let steps: Vec<_> = plan.create.iter().chain(&replay).cloned().collect();
    let steps: Vec<StepView> = steps
        .iter()
        .map(|step| StepView {
            text: step.to_string().replace(&address, &name),
            shell: step.shell(&name),
        })
        .collect();
    if args.json {
        let view = View::proposed(name, address, &plan, steps);
        return write_json(out, &view);
    }
    write_steps(out, &name, &plan, &steps).map_err(|error| writing(&error))
}

fn write_steps(
    out: &mut dyn Write,
    name: &str,
    plan: &Plan,
    steps: &[StepView],
) -> std::io::Result<()> {
    if steps.is_empty() {
        return line!(out, "{name} has {} VFs already; nothing would be changed", plan.after);
    }
    line!(out, "# {name}: {} VFs -> {} VFs; nothing was changed", plan.before, plan.after)?;
    for vf in &plan.destroys {
        line!(out, "# destroys {vf}")?;
    }
    for step in steps {
        line!(out, "{}", step.shell)?;
    }
    Ok(())
}

fn write_text(out: &mut dyn Write, report: &Report, args: &SetNumvfs) -> Result<()> {
    let (name, count) = (report.pf.name(), report.pf.vfs.len());
    let mut write = || -> std::io::Result<()> {
        if !report.changed {
            line!(out, "{name} has {} already; nothing was changed", vfs(count))?;
            let unlike = |driver: &String| {
                report.pf.vfs.iter().any(|vf| vf.facts.driver.as_ref() != Some(driver))
            };
            if args.driver.as_ref().is_some_and(unlike) {
                line!(out, "  --driver applies to VFs that are created; these were there")?;
            }
            return Ok(());
        }
        line!(out, "{name} has {} (had {})", vfs(count), report.before)?;
        for vf in &report.destroyed {
            line!(out, "  destroyed {vf}")?;
        }
        if !report.restored.is_empty() {
            let kept: std::collections::BTreeSet<_> =
                report.restored.iter().filter_map(|text| text.rsplit(' ').next()).collect();
            line!(out, "  kept the settings of {}", vfs(kept.len()))?;
        }
        if !report.bound.is_empty() {
            line!(out, "  bound {}", report.bound.join(", "))?;
        }
        if count > 0 {
            line!(out, "  see them: sriovctl list-vfs {name}")?;
        }
        Ok(())
    };
    write().map_err(|error| writing(&error))
}

fn vfs(count: usize) -> String {
    match count {
        0 => "no VFs".to_owned(),
        1 => "1 VF".to_owned(),
        n => format!("{n} VFs"),
    }
}

/// The number is right, but not everything else: said as one error.
fn shortcoming(report: &Report, json: bool) -> Option<Error> {
    let [first, rest @ ..] = report.problems.as_slice() else { return None };
    if rest.is_empty() && first.kind() == Kind::TimedOut {
        return Some(first.clone());
    }
    let late = report.problems.iter().any(|problem| problem.kind() == Kind::TimedOut);
    let kind = if late { Kind::TimedOut } else { Kind::Partial };
    let name = report.pf.name();
    let message =
        format!("{name} has its {}, but not all of it was done", vfs(report.pf.vfs.len()));
    let lines = report.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let error = Error::new(kind, message).details(lines).device(name.clone());
    Some(if json { error } else { error.hint(format!("look at it: sriovctl list-vfs {name}")) })
}

impl From<&InUse> for InUseView {
    fn from(vf: &InUse) -> Self {
        Self { vf: vf.name.clone(), used_by: vf.users.iter().map(ToString::to_string).collect() }
    }
}

impl View {
    fn done(report: &Report) -> Self {
        let pf = &report.pf;
        Self {
            schema_version: 1,
            changed: report.changed,
            dry_run: false,
            pf: pf.name(),
            device: pf.facts.device.to_string(),
            before: report.before,
            after: u32::try_from(pf.vfs.len()).unwrap_or(u32::MAX),
            vfs: pf.vfs.iter().map(|vf| pf.vf_name(vf.index())).collect(),
            destroyed: report.destroyed.iter().map(InUseView::from).collect(),
            restored: report.restored.clone(),
            bound: report.bound.clone(),
            failed: report
                .problems
                .iter()
                .map(|problem| FailureView {
                    message: problem.message().to_owned(),
                    details: problem.detail_lines().to_vec(),
                    hint: problem.next_step().map(str::to_owned),
                })
                .collect(),
            steps: Vec::new(),
        }
    }

    fn proposed(name: String, device: String, plan: &Plan, steps: Vec<StepView>) -> Self {
        Self {
            schema_version: 1,
            changed: !steps.is_empty(),
            dry_run: true,
            pf: name,
            device,
            before: plan.before,
            after: plan.after,
            vfs: Vec::new(),
            destroyed: plan.destroys.iter().map(InUseView::from).collect(),
            restored: Vec::new(),
            bound: Vec::new(),
            failed: Vec::new(),
            steps,
        }
    }
}
