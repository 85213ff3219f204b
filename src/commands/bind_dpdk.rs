//! `bind-dpdk`.

use std::io::Write;

use super::bind_view::{DeviceView, View, write_text};
use super::console::{Bar, Console};
use super::{bind_status, interrupt, must_be_of_one, write_json, writing};
use crate::cli::BindDpdk;
use crate::engine::bind::{self as engine, Back, Bound};
use crate::engine::store::Store;
use crate::engine::{Kernel, Progress, Surroundings};
use crate::error::{Error, Kind, Result};
use crate::model::assemble::is_userspace_driver;
use crate::model::facts::Scope;
use crate::model::ids::{DeviceId, VlanId};
use crate::model::inventory::{Inventory, Pf, Vf};
use crate::model::link::{LinkState, VfSettings, VlanProto, VlanTag};
use crate::model::persist::Persistent;
use crate::model::plan::bind::{Request, Session};
use crate::model::selector::{SelectError, Selector};
use crate::model::step::Outcome;

const DEFAULT_DRIVER: &str = "vfio-pci";

/// Binds, gives back, or shows; what could not be done comes back as an error that was not yet said.
pub fn run<K: Kernel + Store + Surroundings>(
    args: &BindDpdk,
    kernel: &K,
    console: &Console,
    out: &mut dyn Write,
) -> Result<Option<Error>> {
    if args.status {
        return bind_status::run(args, kernel, console, out).map(|()| None);
    }
    if args.from_udev {
        return from_udev(args, kernel).map(|()| None);
    }
    let inventory = kernel.observe(Scope { all_classes: true, ..Scope::default() })?;
    let (devices, driver) = if args.vfs.is_empty() {
        ask(args, kernel, console, &inventory)?
    } else {
        (devices(args, kernel, &inventory)?, args.driver.clone())
    };
    if args.mac.is_some() && devices.len() > 1 {
        let text = format!("--mac is the MAC of one VF, and these are {}", devices.len());
        return Err(Error::new(Kind::Usage, text).hint("bind them one by one"));
    }
    let job = Job {
        kernel,
        back: args.restore.then(|| Back { driver: args.driver.clone(), no_reset: args.no_reset }),
        persist: args.persist,
        request: Request {
            driver: driver.unwrap_or_else(|| DEFAULT_DRIVER.to_owned()),
            together: devices.clone(),
            ..request(args, kernel)?
        },
    };
    let proposals = job.look_at_all(&devices)?;
    let (views, failures) = if args.dry_run {
        let would = |bound: &Bound| DeviceView::new(bound, job.word(bound, true));
        (proposals.iter().map(would).collect(), Vec::new())
    } else {
        job.run_all(&proposals, console)
    };
    if args.json {
        write_json(out, &View::new(views, args.dry_run))?;
    } else {
        write_text(out, &views, args).map_err(|error| writing(&error))?;
    }
    Ok(one_error(failures, devices.len()))
}

/// Called by udev when a device has appeared.
fn from_udev<K: Kernel + Store + Surroundings>(args: &BindDpdk, kernel: &K) -> Result<()> {
    for selector in &args.vfs {
        let device: DeviceId = selector
            .to_string()
            .parse()
            .map_err(|error| Error::new(Kind::Usage, format!("{error}")))?;
        engine::appeared(kernel, &device)?;
    }
    Ok(())
}

struct Job<'a, K> {
    kernel: &'a K,
    /// Going back, rather than binding.
    back: Option<Back>,
    /// For every time that the device appears.
    persist: bool,
    request: Request,
}

impl<K: Kernel + Store + Surroundings> Job<'_, K> {
    /// Each device by itself; what failed comes back beside the views.
    fn run_all(&self, proposals: &[Bound], console: &Console) -> (Vec<DeviceView>, Vec<Error>) {
        let bar = Bar::new(console);
        let of = proposals.len();
        let mut done: Vec<(DeviceView, Option<Error>)> = Vec::new();
        for (nth, bound) in proposals.iter().enumerate() {
            done.push(self.run(bound, &Counted { bar: &bar, nth: nth + 1, of }));
        }
        // Names that devices had from each other are free once all of them are back.
        for (nth, bound) in proposals.iter().enumerate() {
            let (view, error) = &done[nth];
            let is_partial = error.as_ref().is_some_and(|error| error.kind() == Kind::Partial);
            if self.back.is_some() && of > 1 && is_partial && view.result == "failed" {
                done[nth] = self.run(bound, &Counted { bar: &bar, nth: nth + 1, of });
            }
        }
        bar.clear();
        let (views, errors): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        (views, errors.into_iter().flatten().collect())
    }

    /// Decides about every device before the first is changed.
    fn look_at_all(&self, devices: &[DeviceId]) -> Result<Vec<Bound>> {
        let look = |device: &DeviceId| match &self.back {
            Some(back) => engine::propose_back(self.kernel, device, back),
            None => engine::propose(self.kernel, device, &self.request),
        };
        let (proposals, mut refused) = (devices.iter().map(look)).fold(
            (Vec::new(), Vec::new()),
            |(mut good, mut bad), looked| {
                match looked {
                    Ok(bound) => good.push(bound),
                    Err(error) => bad.push(error),
                }
                (good, bad)
            },
        );
        match refused.len() {
            0 => Ok(proposals),
            1 if devices.len() == 1 => Err(refused.remove(0)),
            n => {
                let what = if self.back.is_some() { "given back" } else { "bound" };
                let of = devices.len();
                let text = format!("{n} of {of} cannot be {what}; nothing was changed");
                Err(Error::new(refused[0].kind(), text)
                    .details(refused.iter().flat_map(|error| error.lines(true))))
            }
        }
    }

    fn run(&self, before: &Bound, progress: &dyn Progress) -> (DeviceView, Option<Error>) {
        let device = &before.device;
        if let Some(error) = interrupt::before(&before.name) {
            return (DeviceView::failed(before, None, &error), Some(error));
        }
        let done = match &self.back {
            Some(back) => engine::back(self.kernel, device, back, progress),
            None => engine::bind(self.kernel, device, &self.request, progress),
        };
        let bound = match done {
            Ok(bound) => bound,
            Err(error) => {
                let now = self.kernel.inspect(device, None).ok();
                let driver = now.and_then(|seen| seen.driver);
                return (DeviceView::failed(before, driver, &error), Some(error));
            }
        };
        let kept = self.keep(device, &bound);
        let was_kept = matches!(kept, Ok((Outcome::Changed, _)));
        let bound = Bound { changed: bound.changed || was_kept, ..bound };
        let mut view = DeviceView::new(&bound, self.word(&bound, false));
        match kept {
            Ok((_, note)) => {
                view.notes.extend(note);
                (view, None)
            }
            Err(error) => {
                view.message = Some(error.message().to_owned());
                (view, Some(error))
            }
        }
    }

    /// Keeps the binding, or no longer; returns what there is to know.
    fn keep(&self, device: &DeviceId, bound: &Bound) -> Result<(Outcome, Option<String>)> {
        if !self.persist {
            // What cannot be read binds nothing either.
            let kept = self.back.is_some()
                && self.kernel.persistent(device).is_ok_and(|kept| kept.is_some());
            let note = kept.then(|| {
                "it is bound again when it appears the next time; not so with: --restore --persist"
                    .to_owned()
            });
            return Ok((Outcome::AlreadySo, note));
        }
        let id = bound.ground.id.map(|id| id.to_string()).unwrap_or_default();
        let kept = Persistent::new(device.clone(), id, &self.request);
        let kept = self.back.is_none().then_some(&kept);
        let done = self.kernel.persist(device, kept).map_err(|error| {
            let done = if kept.is_some() {
                "bound, but will not be when it appears the next time"
            } else {
                "given back, but will be bound when it appears the next time"
            };
            Error::new(Kind::Partial, format!("{} is {done}: {error}", bound.name))
                .device(bound.name.clone())
                .hint("run it again once that is mended")
        })?;
        Ok((done, None))
    }

    fn word(&self, bound: &Bound, dry_run: bool) -> &'static str {
        match (bound.changed, self.back.is_some(), dry_run) {
            (false, ..) => "unchanged",
            (true, true, true) => "would_restore",
            (true, true, false) => "restored",
            (true, false, true) => "would_bind",
            (true, false, false) => "bound",
        }
    }
}

/// Says which device of how many a stage is about.
struct Counted<'a> {
    bar: &'a Bar,
    nth: usize,
    of: usize,
}

impl Progress for Counted<'_> {
    fn stage(&self, what: &str, total: u64) {
        match self.of {
            1 => self.bar.stage(what, total),
            of => self.bar.stage(&format!("[{}/{of}] {what}", self.nth), total),
        }
    }
    fn done(&self, count: u64) {
        self.bar.done(count);
    }
    fn note(&self, text: &str) {
        self.bar.note(text);
    }
    fn is_interrupted(&self) -> bool {
        self.bar.is_interrupted()
    }
}

fn request<K: Kernel + Surroundings>(args: &BindDpdk, kernel: &K) -> Result<Request> {
    must_be_of_one(args.mac, "a VF")?;
    let tag = |id: VlanId| VlanTag { id, qos: 0, proto: VlanProto::Dot1q };
    Ok(Request {
        mac: args.mac,
        settings: VfSettings {
            vlan: args.vlan.map(tag),
            spoofchk: args.spoofchk.map(bool::from),
            trust: args.trust.map(bool::from),
            link_state: args.link_state.map(LinkState::from),
            ..VfSettings::default()
        },
        force: args.force,
        keep_override: args.persist,
        allow_noiommu: args.allow_noiommu,
        no_reset: args.no_reset,
        node: engine::node_access(kernel, args.owner.as_deref(), args.mode, "--owner")?,
        session: session(),
        ..Request::default()
    })
}

/// Where the caller's SSH session arrives: `client port server port` (sshd(8)), a link-local
/// address as `fe80::1%eth0`.
pub(super) fn session() -> Option<Session> {
    let connection = std::env::var("SSH_CONNECTION").ok()?;
    let server = connection.split(' ').nth(2)?;
    let (address, interface) = server.split_once('%').unwrap_or((server, ""));
    let interface = Some(interface.to_owned()).filter(|name| !name.is_empty());
    Some(Session { address: address.parse().ok()?, interface })
}

/// The devices that are named, each once.
pub(super) fn devices<K: Kernel + Surroundings>(
    args: &BindDpdk,
    kernel: &K,
    inventory: &Inventory,
) -> Result<Vec<DeviceId>> {
    let mut all = Vec::new();
    for selector in &args.vfs {
        let found = match named(args, inventory, selector) {
            Ok(found) => found,
            // Any other card will do as well.
            Err(Failed::Select(error)) => match other(kernel, &error, selector) {
                Some(device) => vec![device],
                None => match is_kept_only(args, kernel, selector)? {
                    Some(device) => vec![device],
                    None => return Err(error.into()),
                },
            },
            Err(Failed::Other(error)) => return Err(error),
        };
        for device in found {
            if !all.contains(&device) {
                all.push(device);
            }
        }
    }
    Ok(all)
}

enum Failed {
    Select(SelectError),
    Other(Error),
}

fn named(
    args: &BindDpdk,
    inventory: &Inventory,
    selector: &Selector,
) -> std::result::Result<Vec<DeviceId>, Failed> {
    if args.pf_only {
        let pf = selector.pf(inventory).map_err(Failed::Select)?;
        return Ok(vec![pf.facts.device.clone()]);
    }
    let vfs = selector.vfs(inventory).map_err(Failed::Select)?;
    if let (true, true, Ok(pf)) = (vfs.is_empty(), args.restore, selector.pf(inventory)) {
        return Ok(vec![pf.facts.device.clone()]); // nothing else can be meant
    }
    if vfs.is_empty() {
        return Err(Failed::Other(
            Error::new(Kind::NotFound, format!("{selector} has no VFs")).hint(format!(
                "create some with: sriovctl set-numvfs {selector} N; bind itself with: --pf-only"
            )),
        ));
    }
    let device = |(pf, vf): &(&Pf, &Vf)| {
        vf.facts.device.clone().filter(|device| device.pci().is_some()).ok_or_else(|| {
            let name = pf.vf_name(vf.index());
            let text = format!("{name} has no device that a driver could be bound to");
            Failed::Other(Error::new(Kind::Unsupported, text).device(name))
        })
    };
    vfs.iter().map(device).collect()
}

/// A card without SR-IOV.
fn other<K: Kernel + Surroundings>(
    kernel: &K,
    error: &SelectError,
    selector: &Selector,
) -> Option<DeviceId> {
    if !matches!(error, SelectError::Unknown { .. } | SelectError::NotSriov { .. }) {
        return None;
    }
    let text = selector.to_string();
    let by_address = text.parse::<crate::model::ids::PciAddress>().ok().map(DeviceId::from);
    by_address
        .filter(|device| kernel.inspect(device, None).is_ok_and(|seen| seen.exists))
        .or_else(|| kernel.device_of(&text))
}

/// A device that is not there now, but would be bound when it appears.
fn is_kept_only<K: Surroundings>(
    args: &BindDpdk,
    kernel: &K,
    selector: &Selector,
) -> Result<Option<DeviceId>> {
    let device = selector.to_string().parse::<crate::model::ids::PciAddress>().map(DeviceId::from);
    match device {
        Ok(device) if args.restore && args.persist && kernel.persistent(&device)?.is_some() => {
            Ok(Some(device))
        }
        _ => Ok(None),
    }
}

fn ask<K: Kernel + Surroundings>(
    args: &BindDpdk,
    kernel: &K,
    console: &Console,
    inventory: &Inventory,
) -> Result<(Vec<DeviceId>, Option<String>)> {
    if !console.can_ask() {
        return Err(Error::new(Kind::Usage, "the VFs are missing")
            .hint("name some, e.g. 'eth0#0-3'; see what there is: sriovctl bind-dpdk --status"));
    }
    let all = inventory.vfs();
    let all: Vec<_> = all.filter(|(_, vf)| vf.pci().is_some() && vf.users.is_empty()).collect();
    let is_bound = |vf: &Vf| vf.facts.driver.as_deref().is_some_and(is_userspace_driver);
    let all: Vec<_> = all.into_iter().filter(|(_, vf)| !args.restore || is_bound(vf)).collect();
    if all.is_empty() && args.restore {
        return Err(Error::new(Kind::NotFound, "no VF is bound that could be given back")
            .hint("see what there is: sriovctl bind-dpdk --status"));
    }
    if all.is_empty() {
        return Err(Error::new(Kind::Busy, "no VF is free")
            .hint("see who has which: sriovctl list-vfs --in-use"));
    }
    let line = |(pf, vf): &(&Pf, &Vf)| {
        let pci = vf.pci().map(|pci| pci.to_string()).unwrap_or_default();
        let driver = vf.facts.driver.as_deref().unwrap_or("no driver");
        format!("{:<12} {pci}  {driver}", pf.vf_name(vf.index()))
    };
    let lines: Vec<String> = all.iter().map(line).collect();
    let question = if args.restore { "VFs to give back" } else { "VFs to bind" };
    let chosen = Console::select_some(question, &lines)?;
    let devices: Vec<DeviceId> =
        chosen.iter().filter_map(|nth| all[*nth].1.facts.device.clone()).collect();
    if args.restore || args.driver.is_some() {
        return Ok((devices, args.driver.clone()));
    }
    let ground = kernel.ground(&devices[0])?;
    let drivers = bind_status::available(&bind_status::for_user_space(kernel)?, &ground);
    let nth = Console::select("Driver", &drivers)?;
    Ok((devices, Some(drivers[nth].clone())))
}

fn one_error(mut failures: Vec<Error>, of: usize) -> Option<Error> {
    match failures.len() {
        0 => None,
        1 if of == 1 => failures.pop(),
        n => {
            // Partly done is only what was done in part.
            let kind = if n == of { failures[0].kind() } else { Kind::Partial };
            let lines: Vec<String> = failures.iter().flat_map(|error| error.lines(true)).collect();
            Some(Error::new(kind, format!("{n} of {of} failed")).details(lines))
        }
    }
}
