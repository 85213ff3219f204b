//! Who uses a VF: what must be known before it is destroyed or given away.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::facts::{Holder, VfFacts};
use super::ids::DeviceId;
use super::link::{Link, Netns};

/// One reason why a VF counts as in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// It is attached, or being attached, for somebody.
    Record(String),
    /// Its interface is in another network namespace.
    Netns(Arc<Netns>),
    /// It has a network driver, but its interface is in no namespace that can be seen.
    Unseen,
    /// A process holds its device node open.
    Process(Holder),
    /// Its interface belongs to a bond, bridge or VRF.
    Master(String),
    /// Another interface (VLAN, macvlan, ...) sits on top of it.
    Upper(String),
    /// Its interface carries an address.
    Address(String),
    /// A route goes through it.
    Route(String),
    /// Its interface is up.
    Up,
}

/// The interfaces, addresses, routes and processes that usage is judged by, each where it is looked
/// for, so that the cost does not grow with the square of the VFs.
#[derive(Debug, Default)]
pub struct Witnesses<'a> {
    names: HashMap<u32, &'a str>,
    uppers: HashMap<u32, Vec<&'a str>>,
    addresses: HashMap<u32, Vec<&'a str>>,
    routes: HashMap<u32, Vec<&'a str>>,
    holders: &'a [Holder],
    owners: HashMap<&'a DeviceId, &'a str>,
}

impl<'a> Witnesses<'a> {
    /// With the owners of recorded devices.
    #[must_use]
    pub fn with_owners(mut self, owners: &'a [(DeviceId, String)]) -> Self {
        self.owners = owners.iter().map(|(device, owner)| (device, owner.as_str())).collect();
        self
    }

    /// Of the links only those of this namespace count: the same numbers mean others elsewhere.
    /// Addresses and routes are by ifindex.
    pub fn new(
        links: &'a [Link],
        addresses: &'a [(u32, String)],
        routes: &'a [(u32, String)],
        holders: &'a [Holder],
    ) -> Self {
        let mut all = Self { holders, ..Self::default() };
        for link in links.iter().filter(|link| link.netns.is_none()) {
            all.names.insert(link.ifindex, &link.name);
            if let Some(lower) = link.lower.filter(|lower| *lower != link.ifindex) {
                all.uppers.entry(lower).or_default().push(&link.name);
            }
        }
        for (ifindex, text) in addresses {
            all.addresses.entry(*ifindex).or_default().push(text);
        }
        for (ifindex, text) in routes {
            all.routes.entry(*ifindex).or_default().push(text);
        }
        all
    }
}

/// Every reason why the VF is in use, the weightiest first; empty means free.
///
/// `must_have_netdev` says that a VF with this driver has an interface somewhere, so that its
/// absence is a reason too.
pub fn users(
    vf: &VfFacts,
    netdevs: &[Link],
    must_have_netdev: bool,
    witnesses: &Witnesses<'_>,
) -> Vec<User> {
    let mut users = Vec::new();
    let owner = vf.device.as_ref().and_then(|device| witnesses.owners.get(device));
    users.extend(owner.map(|owner| User::Record((*owner).to_owned())));
    if let Some(node) = &vf.node {
        let holds = |holder: &&Holder| &holder.node == node;
        users.extend(witnesses.holders.iter().filter(holds).cloned().map(User::Process));
    }
    if netdevs.is_empty() && must_have_netdev {
        users.push(User::Unseen);
    }
    for link in netdevs {
        if let Some(netns) = &link.netns {
            users.push(User::Netns(Arc::clone(netns)));
            continue; // what it carries there is that namespace's business
        }
        users.extend(of_host_interface(link, witnesses));
    }
    users
}

fn of_host_interface(link: &Link, witnesses: &Witnesses<'_>) -> Vec<User> {
    let named = |map: &HashMap<u32, Vec<&str>>| -> Vec<String> {
        map.get(&link.ifindex).into_iter().flatten().map(|text| (*text).to_owned()).collect()
    };
    let mut users = Vec::new();
    users.extend(link.master.map(|master| {
        let name = witnesses.names.get(&master).map(|name| (*name).to_owned());
        User::Master(name.unwrap_or_else(|| format!("interface {master}")))
    }));
    users.extend(named(&witnesses.uppers).into_iter().map(User::Upper));
    users.extend(named(&witnesses.addresses).into_iter().map(User::Address));
    users.extend(named(&witnesses.routes).into_iter().map(User::Route));
    users.extend((link.up == Some(true)).then_some(User::Up));
    users
}

impl User {
    /// The process that has its node open, if that is the reason.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Process(holder) => Some(holder),
            _ => None,
        }
    }

    /// A stable word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Record(_) => "record",
            Self::Netns(_) => "netns",
            Self::Unseen => "unseen",
            Self::Process(_) => "process",
            Self::Master(_) => "master",
            Self::Upper(_) => "upper",
            Self::Address(_) => "address",
            Self::Route(_) => "route",
            Self::Up => "up",
        }
    }
}

/// A short phrase that continues "eth0#3 is used by: ...".
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(owner) => write!(f, "attached ({owner})"),
            Self::Netns(netns) => write!(f, "netns {}", netns.label()),
            Self::Unseen => f.write_str("unseen netns"),
            Self::Process(holder) => write!(f, "{}[{}]", holder.comm, holder.pid),
            Self::Master(name) => write!(f, "master {name}"),
            Self::Upper(name) => write!(f, "{name} on top"),
            Self::Address(address) => f.write_str(address),
            Self::Route(route) => write!(f, "route {route}"),
            Self::Up => f.write_str("up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::VfIndex;

    fn vf(node: Option<&str>) -> VfFacts {
        VfFacts {
            index: VfIndex(0),
            device: None,
            driver: None,
            driver_override: None,
            iommu_group: None,
            node: node.map(str::to_owned),
        }
    }

    fn link(ifindex: u32, name: &str) -> Link {
        Link { ifindex, name: name.into(), up: Some(false), ..Link::default() }
    }

    fn nobody() -> Witnesses<'static> {
        Witnesses::default()
    }

    #[test]
    fn a_down_interface_with_nothing_on_it_is_free() {
        assert_eq!(users(&vf(None), &[link(3, "eth3")], true, &nobody()), []);
    }

    #[test]
    fn each_sign_of_use_is_named() {
        let netdev = Link { up: Some(true), master: Some(9), ..link(3, "eth3") };
        let links = [
            netdev.clone(),
            link(9, "br0"),
            Link { lower: Some(3), ..link(10, "eth3.7") },
            // the same numbers in another namespace mean other interfaces
            Link { lower: Some(3), netns: Some(Arc::default()), ..link(9, "foreign") },
        ];
        let addresses = [(3, "10.0.0.1/24".into()), (4, "10.0.0.2/24".into())];
        let routes = [(3, "default".into())];
        let witnesses = Witnesses::new(&links, &addresses, &routes, &[]);
        let said: Vec<_> =
            users(&vf(None), &[netdev], true, &witnesses).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["master br0", "eth3.7 on top", "10.0.0.1/24", "route default", "up"]);
    }

    #[test]
    fn a_vf_in_another_namespace_is_in_use_whatever_it_carries() {
        let netns = Arc::new(Netns { name: Some("blue".into()), ..Netns::default() });
        let netdev = Link { netns: Some(netns), ..link(3, "net1") };
        let addresses = [(3, "10.0.0.1/24".into())];
        let witnesses = Witnesses::new(&[], &addresses, &[], &[]);
        let said = users(&vf(None), &[netdev], true, &witnesses);
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].to_string(), "netns blue");
    }

    #[test]
    fn a_missing_interface_counts_only_where_there_must_be_one() {
        assert_eq!(users(&vf(None), &[], true, &nobody()), [User::Unseen]);
        assert_eq!(users(&vf(None), &[], false, &nobody()), []);
    }

    #[test]
    fn only_the_holder_of_this_vfs_node_counts() {
        let holder = |node: &str| Holder { node: node.into(), pid: 7, comm: "dpdk".into() };
        let holders = [holder("/dev/vfio/1"), holder("/dev/vfio/11")];
        let witnesses = Witnesses::new(&[], &[], &[], &holders);
        let said = users(&vf(Some("/dev/vfio/11")), &[], false, &witnesses);
        assert_eq!(said, [User::Process(holder("/dev/vfio/11"))]);
        assert_eq!(said[0].to_string(), "dpdk[7]");
    }
}
