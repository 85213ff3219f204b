//! ADD: a VF into the container, with addresses; or nothing at all.

use serde_json::Value;

use super::dialect::{Source, Wish, not_there};
use super::failure::{Code, Failure};
use super::ipam::Ipam;
use super::log::Level;
use super::reply::{Interface, Reply};
use super::{Command, Job};
use crate::engine::attach::{self as engine, Attached, Choice};
use crate::engine::neighbours::{Found, Neighbours, give_back, namespace_at, taken_over};
use crate::engine::store::{Shelf, Store, Stored};
use crate::engine::{Kernel, NetnsChoice, Surroundings};
use crate::error::{Kind, libc_errno};
use crate::model::facts::Scope;
use crate::model::ids::{Cidr, DeviceId};
use crate::model::neighbour::Neighbour;
use crate::model::plan::attach::Request;
use crate::model::record::{NetnsId, Record};
use crate::model::selector::{SelectError, Selector};
use crate::model::step::{IpConfig, Place, Route, RouteOptions};

/// Attaches; the result has the shape of the configuration's version.
pub fn add<K: Kernel + Store + Surroundings + Neighbours>(
    job: &Job<'_, K>,
) -> Result<Value, Failure> {
    let wish = Wish::read(job.config, job.call)?;
    for warning in &wish.warnings {
        job.log.line(Level::Warning, warning);
    }
    let _call = job.lock()?;
    let netns = netns(job)?;
    let former = job.stored_of_call()?;
    has_none(job, &former)?;
    not_of_another_plugin(job)?;
    let choice = choice(job, &wish)?;
    let ipam = if wish.addresses { Ipam::of(job.config, job.call, job.input)? } else { None };
    end_former(job, ipam.as_ref(), &former)?;
    let request = request(job, &wish, &netns);
    let attached = {
        let hold = match &wish.source {
            Source::Device(address) => Some(hold(job, &DeviceId::from(*address))?),
            _ => None,
        };
        let attached = engine::attach(job.kernel, &choice, &netns, &request, false, job.log)
            .map_err(|error| refusal(job, &wish, error))?;
        tell(job, &netns, &attached, hold.is_some());
        attached
    };
    let record = attached.record.clone();
    job.log.of_device(&record.device);
    // Only now: an IPAM plugin may want to see the interface (dhcp, those that look for duplicates),
    // and nobody else is kept waiting for it.
    let given = match &ipam {
        Some(ipam) => {
            // A plugin may take a minute: nothing that is open here keeps the namespace alive.
            job.kernel.let_go();
            ipam.add().map_err(|failure| undo(job, &record, None, failure))?
        }
        None => Reply::default(),
    };
    let attached = ip_config(&given)
        .and_then(|config| {
            let done = engine::configure(job.kernel, attached, &request, config, job.log);
            done.map_err(Failure::from)
        })
        .map_err(|failure| undo(job, &record, ipam.as_ref(), failure))?;
    job.log.line(Level::Info, &format!("attached {} as {}", attached.name, wish.ifname));
    Ok(reply(job, &wish, &netns, &attached, given).render(job.config.version))
}

/// What is left of a former attachment of the name is in nobody's way; one that holds is.
fn has_none<K: Kernel + Store>(job: &Job<'_, K>, former: &[Stored]) -> Result<(), Failure> {
    for stored in former {
        if let Stored::Attached(record) = stored
            && !engine::is_over(job.kernel, record)?
        {
            let text = format!(
                "container {} has the attachment {} already: {}",
                job.call.container, job.call.ifname, record.device
            );
            return Err(Failure::new(Code::Config, text).details("DEL it first"));
        }
    }
    Ok(())
}

/// Another plugin's record of the same attachment, which ours would take the place of: it is all that
/// says how its VF was.
fn not_of_another_plugin<K: Kernel + Store + Neighbours>(job: &Job<'_, K>) -> Result<(), Failure> {
    let Some(found) = job.kernel.neighbour(&job.place())?.filter(|found| !found.says.ours) else {
        return Ok(());
    };
    let device = &found.says.device;
    let there = found.netns.as_ref().and_then(|path| namespace_at(job.kernel, path));
    let seen = job.kernel.inspect(device, there.as_ref())?;
    let is_alive = match &seen.link {
        Some((Place::Netns(at), link)) => {
            link.name == job.place().ifname || there.is_some_and(|there| there.inode == at.inode)
        }
        Some((Place::Host, _)) => false,
        None => there.is_some() && found.of_this_boot && seen.is_userspace(),
    };
    if is_alive {
        let text = format!(
            "container {} has the attachment {} already, by another plugin: {device}",
            job.call.container, job.call.ifname
        );
        return Err(Failure::new(Code::Config, text).details("DEL it first"));
    }
    job.log.line(Level::Info, &format!("{} is left over from another plugin", found.path));
    Ok(give_back(job.kernel, &found, None, job.place().dir, job.log)?)
}

/// The same container under the same name came and went without a DEL: its addresses would be refused
/// to it, and another VF of its would stay with nobody.
fn end_former<K: Kernel + Store + Neighbours>(
    job: &Job<'_, K>,
    ipam: Option<&Ipam<'_>>,
    former: &[Stored],
) -> Result<(), Failure> {
    for record in former.iter().filter_map(Stored::record) {
        super::del::release(job, record)?;
    }
    let given_back =
        ipam.filter(|_| !former.is_empty()).map(|ipam| job.pass_on(ipam, Command::Del));
    if let Some(Err(failure)) = given_back {
        let text = format!("the former addresses were not given back: {}", failure.msg);
        job.log.line(Level::Warning, &text);
    }
    Ok(())
}

/// After a failure: the addresses and the device are given back, and the failure says what could
/// not be.
fn undo<K: Kernel + Store + Neighbours>(
    job: &Job<'_, K>,
    record: &Record,
    ipam: Option<&Ipam<'_>>,
    failure: Failure,
) -> Failure {
    let addresses = ipam.map_or(Ok(()), |ipam| job.pass_on(ipam, Command::Del));
    let mut said = vec![failure.details.clone()];
    let mut left = |what: String| {
        job.log.line(Level::Warning, &what);
        said.push(what);
    };
    if let Err(also) = addresses {
        left(format!("the addresses were not given back: {}", also.msg));
    }
    match super::del::release(job, record) {
        Ok(()) => said.push(format!("{} is as it was before", record.device)),
        Err(also) => left(format!("{} was not given back: {}", record.device, also.msg)),
    }
    failure.details(said.join("\n").trim_start().to_owned())
}

/// Keeps other plugins from the VF, unless one of them has it.
fn hold<K: Kernel + Store + Neighbours>(
    job: &Job<'_, K>,
    device: &DeviceId,
) -> Result<K::Hold, Failure> {
    let is_there = |netns: &String| namespace_at(job.kernel, netns).is_some();
    let dir = job.place().dir;
    let records = || -> Result<Vec<Found>, Failure> {
        let all = job.kernel.neighbours(dir)?.into_iter();
        Ok(all.filter(|found| found.says.device == *device).collect())
    };
    let theirs = || -> Result<Option<String>, Failure> {
        if job.kernel.allocated(device).is_none() {
            return Ok(None);
        }
        let is_ours = match job.kernel.stored(Shelf::Attachments, device)? {
            None => false,
            Some(stored) => {
                stored.record().is_none_or(|record| taken_over(job.kernel, record).is_none())
            }
        };
        // What this program wrote for others is not theirs.
        let all = records()?;
        let by_us = !all.is_empty() && all.iter().all(|found| found.says.ours);
        // Asked last: a DEL takes the allocation away before the record.
        Ok(job.kernel.allocated(device).filter(|_| !is_ours && !by_us))
    };
    let mut hold = job.kernel.hold(device, engine::LOCK_WAIT)?;
    let mut found = theirs()?;
    // One that lost its owner is given back first, as it was before that one.
    if found.as_ref().is_some_and(|netns| !is_there(netns)) {
        drop(hold);
        for found in &records()? {
            job.log.line(Level::Info, &format!("{} is left over from another plugin", found.path));
            give_back(job.kernel, found, None, dir, job.log)?;
        }
        hold = job.kernel.hold(device, engine::LOCK_WAIT)?;
        found = theirs()?.filter(is_there);
    }
    let Some(netns) = found else { return Ok(hold) };
    let msg = format!("pci address {device} is already allocated: to {netns}, by another plugin");
    Err(Failure::new(Code::Busy, msg).details("DEL it there first"))
}

/// Writes the attachment down for other plugins too: should the node be switched back to one, it
/// can give the VF back. Nothing here depends on it.
fn tell<K: Neighbours>(job: &Job<'_, K>, netns: &NetnsId, attached: &Attached, is_held: bool) {
    let record = &attached.record;
    let place = job.told_place();
    let document = Neighbour::write(&job.config.raw, record, attached.seen.pf_netdev.as_deref());
    let told =
        job.kernel.tell_neighbours(&place, &record.device, &netns.path, (&document, is_held));
    if let Err(error) = told {
        job.log.line(Level::Warning, &format!("not written down for other plugins: {error}"));
    }
    if !job.tells_container() {
        return;
    }
    let mut document = Neighbour::for_container(record);
    document["dpdk_tool"] =
        job.config.raw.get("dpdk").map_or("".into(), |dpdk| dpdk["dpdk_tool"].clone());
    match job.kernel.tell_container(&job.place(), netns.inode, &document) {
        Ok(path) => job.log.line(Level::Debug, &format!("written down for the container: {path}")),
        Err(error) => {
            job.log.line(Level::Warning, &format!("not written down for the container: {error}"));
        }
    }
}

/// The container's namespace: CNI_NETNS is a path.
pub fn netns<K: Kernel>(job: &Job<'_, K>) -> Result<NetnsId, Failure> {
    let path = &job.call.netns;
    if !path.contains('/') {
        return Err(Failure::new(Code::Environment, format!("CNI_NETNS \"{path}\" is no path")));
    }
    job.kernel
        .find_netns(&NetnsChoice::Named(path.clone()))
        .map_err(|error| Failure { code: Code::Environment, ..Failure::from(error) })
}

/// The key that names what is not there, if one does.
fn names_none<'a, K: Kernel>(job: &Job<'_, K>, wish: &'a Wish) -> Option<&'a str> {
    let scope = Scope { all_classes: true, ..Scope::default() };
    let inventory = job.kernel.observe(scope).ok()?;
    let why = match &wish.source {
        Source::Device(_) => None,
        Source::Pf(pf) => pf.pf(&inventory).err(),
        Source::Vf(vf) => vf.vfs(&inventory).err(),
        Source::AnyOf(pool) => pool.iter().find_map(|one| one.vfs(&inventory).err()),
    };
    match (why?, &wish.source) {
        (SelectError::NoSuchVf { .. }, Source::Vf(_)) => Some("CNI_ARGS VF"),
        _ => Some(&wish.key),
    }
}

fn refusal<K: Kernel + Store>(
    job: &Job<'_, K>,
    wish: &Wish,
    error: crate::error::Error,
) -> Failure {
    let kind = error.kind();
    // The name is taken in the container, whichever VF it would be.
    let is_lasting = error.errno() == Some(libc_errno::EEXIST);
    let failure = Failure::from(error);
    if kind == Kind::NotFound
        && let Some(key) = names_none(job, wish)
    {
        return not_there(key, failure);
    }
    match &wish.source {
        Source::AnyOf(_) if kind == Kind::Busy && !is_lasting => {
            Failure { code: Code::TryAgain, ..failure }
        }
        Source::Device(address) if kind == Kind::Busy => {
            let device = DeviceId::from(*address);
            let is_held = matches!(job.kernel.stored(Shelf::Attachments, &device), Ok(Some(_)));
            let text = format!("pci address {address} is already allocated: {}", failure.msg);
            if is_held { Failure { msg: text, ..failure } } else { failure }
        }
        _ => failure,
    }
}

fn choice<K: Kernel>(job: &Job<'_, K>, wish: &Wish) -> Result<Choice, Failure> {
    let address = match &wish.source {
        Source::Device(address) => *address,
        Source::Vf(vf) => return Ok(Choice::Vf(vf.clone())),
        Source::Pf(pf) => return Ok(Choice::Pf(pf.clone())),
        Source::AnyOf(pool) => return Ok(Choice::AnyOf { pool: pool.clone(), numa: None }),
    };
    let selector: Selector = address
        .to_string()
        .parse()
        .map_err(|why: String| Failure::config("deviceID", address, &why))?;
    if wish.within.is_none() && job.kernel.pf_of(&DeviceId::from(address)).is_some() {
        return Ok(Choice::Vf(selector));
    }
    let scope = Scope { here_only: true, all_classes: true, ..Scope::default() };
    let inventory = job.kernel.observe(scope)?;
    if inventory.pfs.iter().any(|pf| pf.pci() == Some(address)) {
        return Err(Failure::config("deviceID", address, "the address of a VF; this is a PF"));
    }
    let missing = |key: &str, why| not_there(key, Failure::from(crate::error::Error::from(why)));
    if let Some((key, of)) = &wish.within {
        let mut has = false;
        for selector in of {
            let vfs = selector.vfs(&inventory).map_err(|why| missing(key, why))?;
            has = has || vfs.iter().any(|(_, vf)| vf.pci() == Some(address));
        }
        if !has {
            let of: Vec<String> = of.iter().map(ToString::to_string).collect();
            let allowed = format!("{} has no such VF", of.join(", "));
            return Err(Failure::config(&wish.key, address, &allowed));
        }
    }
    selector.vfs(&inventory).map_err(|why| missing(&wish.key, why))?;
    Ok(Choice::Vf(selector))
}

/// What the engine is asked for.
pub fn request<K: Neighbours>(job: &Job<'_, K>, wish: &Wish, netns: &NetnsId) -> Request {
    let mut told = vec![job.kernel.told_at(&job.told_place())];
    if job.tells_container() {
        told.push(job.kernel.container_told_at(&job.place(), netns.inode));
    }
    Request {
        told,
        owner: job.owner(),
        name: Some(wish.ifname.clone()),
        mac: wish.mac,
        mtu: wish.mtu,
        settings: wish.settings.clone(),
        config: IpConfig::default(),
        driver: wish.driver.clone(),
    }
}

/// Addresses and routes that an IPAM plugin gave. A route without a next hop goes through the
/// gateway of its kind, as the reference plugins have it.
fn ip_config(given: &Reply) -> Result<IpConfig, Failure> {
    let parse = |text: &str| {
        text.parse::<std::net::IpAddr>().map_err(|_| {
            Failure::new(Code::Ipam, format!("the IPAM plugin gave the gateway \"{text}\""))
        })
    };
    let gateway = |v4: bool| -> Result<Option<std::net::IpAddr>, Failure> {
        let of_kind = given.ips.iter().filter(|ip| ip.address.address.is_ipv4() == v4);
        of_kind.filter_map(|ip| ip.gateway.as_deref()).map(parse).next().transpose()
    };
    let mut routes = Vec::new();
    for route in &given.routes {
        let to: Cidr = route.dst.parse().map_err(|_| {
            Failure::new(Code::Ipam, format!("the IPAM plugin gave a route to \"{}\"", route.dst))
        })?;
        let to = to.network(); // the kernel takes no bits beyond the prefix
        let via = match &route.gw {
            Some(gw) => Some(parse(gw)?),
            None => gateway(to.address.is_ipv4())?,
        };
        let number = |name: &str| route.attribute(name).and_then(|value| value.try_into().ok());
        let options = RouteOptions {
            mtu: number("mtu"),
            advmss: number("advmss"),
            priority: number("priority"),
            table: number("table"),
            scope: route.attribute("scope").and_then(|value| value.try_into().ok()),
        };
        // Scope "link" has no next hop.
        let via = via.filter(|_| options.scope != Some(253));
        routes.push(Route { to, via, options });
    }
    Ok(IpConfig { addresses: given.ips.iter().map(|ip| ip.address).collect(), routes })
}

/// What earlier plugins of the chain made, and the interface with its addresses.
fn reply<K>(
    job: &Job<'_, K>,
    wish: &Wish,
    netns: &NetnsId,
    attached: &Attached,
    given: Reply,
) -> Reply {
    let mut reply = job.config.previous.clone().unwrap_or_default();
    let index = reply.interfaces.len() as u64;
    for attached in [attached].into_iter().chain(&attached.ports) {
        let link = attached.seen.link.as_ref().map(|(_, link)| link);
        let admin = attached.seen.settings.as_ref().and_then(|settings| settings.mac);
        let mac = link.and_then(|link| link.mac).or(admin.filter(|mac| !mac.is_zero()));
        let name = &attached.record.ifname;
        reply.interfaces.push(Interface {
            // Of a device that user space drives the name is the runtime's alone.
            name: if name.is_empty() { wish.ifname.to_string() } else { name.clone() },
            mac: mac.map(|mac| mac.to_string()),
            mtu: link.and_then(|link| link.mtu),
            sandbox: Some(netns.path.clone()),
            pci_id: attached.record.device.pci().map(|pci| pci.to_string()),
            socket_path: None,
        });
    }
    reply
        .ips
        .extend(given.ips.into_iter().map(|ip| super::reply::Ip { interface: Some(index), ..ip }));
    reply.routes.extend(given.routes);
    let own = job.config.raw.get("dns").filter(|dns| dns.is_object()).cloned();
    if !is_empty(&given.dns) {
        reply.dns = given.dns;
    } else if let (true, Some(own)) = (is_empty(&reply.dns), own) {
        reply.dns = own;
    }
    reply
}

fn is_empty(dns: &Value) -> bool {
    dns.as_object().is_none_or(serde_json::Map::is_empty)
}
