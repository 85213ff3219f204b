//! What may happen next.

use proptest::prelude::*;
use sriovctl::model::ids::{MacAddr, VlanId};
use sriovctl::model::link::{LinkState, VfSettings, VlanProto, VlanTag};
use sriovctl::model::plan::{attach, bind};
use sriovctl::model::record::Owner;
use sriovctl::model::step::{IpConfig, NodeAccess};

/// VFs at the beginning.
pub const VFS: u16 = 4;
/// Namespaces by name.
pub const NAMESPACES: [u64; 3] = [100, 200, 300];

/// One thing that somebody does.
#[derive(Debug, Clone)]
pub struct Step {
    pub act: Act,
    pub fault: Fault,
}

/// What goes wrong while this program does it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    /// The kernel refuses the n-th change.
    Refused(usize, i32),
    /// The n-th write of a record fails.
    Full(usize),
    /// Killed at the n-th change, before or right after it.
    Killed(usize, bool),
}

#[derive(Debug, Clone)]
pub enum Act {
    Attach { of: Pick, ns: u64, ask: Ask },
    Detach(u16),
    Add { of: Pick, of_call: OfCall, ns: u64, ask: Ask },
    Del(OfCall),
    Check(OfCall, u64),
    Gc(u8),
    Bind { vf: u16, ask: BindAsk },
    Restore(u16),
    Resize { count: u32, force: bool },
    Repair { foreign: bool },
    Other(Other),
}

/// Which VF.
#[derive(Debug, Clone, Copy)]
pub enum Pick {
    Vf(u16),
    Pool,
}

/// A container and an interface of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfCall {
    pub container: u8,
    pub ifname: u8,
}

/// How an attachment shall be.
#[derive(Debug, Clone)]
pub struct Ask {
    pub name: Option<String>,
    pub mac: Option<MacAddr>,
    pub mtu: Option<u32>,
    pub settings: VfSettings,
    pub address: bool,
    pub driver: Option<&'static str>,
}

/// How a binding shall be.
#[derive(Debug, Clone)]
pub struct BindAsk {
    pub driver: &'static str,
    pub mac: Option<MacAddr>,
    pub settings: VfSettings,
    pub keep: bool,
    pub node: bool,
}

/// What others do.
#[derive(Debug, Clone)]
pub enum Other {
    Rename(u16, u8),
    /// It gets the name that another VF has, or will have again.
    NameOf(u16, u16),
    Altname(u16, u8),
    Move(u16, Option<u64>),
    Mac(u16, u8),
    Mtu(u16, u32),
    Up(u16, bool),
    Promisc(u16),
    Settings(u16, VfSettings),
    AdminMac(u16, u8),
    Drive(u16, Option<&'static str>),
    Reserve(u16, Option<&'static str>),
    DeleteNs(u64),
    /// Deleted, and another one made with its name; perhaps with its inode.
    RemakeNs(u64, bool),
    MakeNs(u64),
    Reboot,
    RenamePf,
}

impl Ask {
    pub fn request(&self, owner: Owner) -> attach::Request {
        let address = self.address.then(|| "10.0.0.1/24".parse().unwrap());
        attach::Request {
            owner,
            name: self.name.as_ref().map(|name| name.parse().unwrap()),
            mac: self.mac,
            mtu: self.mtu,
            settings: self.settings.clone(),
            config: IpConfig { addresses: address.into_iter().collect(), routes: Vec::new() },
            driver: self.driver.map(str::to_owned),
            told: Vec::new(),
        }
    }
}

impl BindAsk {
    pub fn request(&self) -> bind::Request {
        let node = NodeAccess { uid: Some(1000), gid: None, mode: Some(0o660) };
        bind::Request {
            driver: self.driver.to_owned(),
            mac: self.mac,
            settings: self.settings.clone(),
            keep_override: self.keep,
            node: self.node.then_some(node),
            ..bind::Request::default()
        }
    }
}

fn one_of<T: Clone + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(all.to_vec())
}

fn ns() -> impl Strategy<Value = u64> {
    one_of(&NAMESPACES)
}

fn vf() -> impl Strategy<Value = u16> {
    prop_oneof![9 => 0..VFS, 1 => VFS..6]
}

pub fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, last])
}

fn settings() -> impl Strategy<Value = VfSettings> {
    (
        prop::option::of(1_u16..5),
        prop::option::of(any::<bool>()),
        prop::option::of(any::<bool>()),
        prop::option::of(one_of(&[0, 100, 200])),
        prop::option::of(one_of(&[LinkState::Enable, LinkState::Disable, LinkState::Auto])),
    )
        .prop_map(|(vlan, trust, spoofchk, max_tx_rate, link_state)| VfSettings {
            vlan: vlan.map(|id| VlanTag { id: VlanId(id), qos: 0, proto: VlanProto::Dot1q }),
            trust,
            spoofchk,
            max_tx_rate,
            link_state,
            ..VfSettings::default()
        })
}

fn ask() -> impl Strategy<Value = Ask> {
    (
        prop::option::of(one_of(&["net0", "net1", "eth2", "m1"])),
        prop::option::of(1_u8..4),
        prop::option::of(one_of(&[1400, 1500, 9000])),
        settings(),
        any::<bool>(),
        prop_oneof![8 => Just(None), 1 => Just(Some("vfio-pci")), 1 => Just(Some("igbvf"))],
    )
        .prop_map(|(name, last, mtu, settings, address, driver)| Ask {
            name: name.map(str::to_owned),
            mac: last.map(mac),
            mtu,
            settings,
            address,
            driver,
        })
}

fn bind_ask() -> impl Strategy<Value = BindAsk> {
    let drivers = one_of(&["vfio-pci", "vfio-pci", "uio_pci_generic", "igbvf", "e1000e"]);
    (drivers, prop::option::of(1_u8..4), settings(), any::<bool>(), any::<bool>()).prop_map(
        |(driver, last, settings, keep, node)| BindAsk {
            driver,
            mac: last.map(mac),
            settings: VfSettings { max_tx_rate: None, ..settings }, // it has no such option
            keep,
            node,
        },
    )
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![3 => vf().prop_map(Pick::Vf), 1 => Just(Pick::Pool)]
}

fn of_call() -> impl Strategy<Value = OfCall> {
    (0..3_u8, 0..2_u8).prop_map(|(container, ifname)| OfCall { container, ifname })
}

fn other() -> impl Strategy<Value = Other> {
    let driver = || one_of(&[None, Some("vfio-pci"), Some("igbvf")]);
    prop_oneof![
        (vf(), 0..4_u8).prop_map(|(vf, n)| Other::Rename(vf, n)),
        (vf(), vf()).prop_map(|(vf, of)| Other::NameOf(vf, of)),
        (vf(), 0..4_u8).prop_map(|(vf, n)| Other::Altname(vf, n)),
        (vf(), prop::option::of(ns())).prop_map(|(vf, to)| Other::Move(vf, to)),
        (vf(), 0..4_u8).prop_map(|(vf, n)| Other::Mac(vf, n)),
        (vf(), one_of(&[900, 1450])).prop_map(|(vf, mtu)| Other::Mtu(vf, mtu)),
        (vf(), any::<bool>()).prop_map(|(vf, up)| Other::Up(vf, up)),
        vf().prop_map(Other::Promisc),
        (vf(), settings()).prop_map(|(vf, settings)| Other::Settings(vf, settings)),
        (vf(), 0..4_u8).prop_map(|(vf, n)| Other::AdminMac(vf, n)),
        (vf(), driver()).prop_map(|(vf, driver)| Other::Drive(vf, driver)),
        (vf(), driver()).prop_map(|(vf, driver)| Other::Reserve(vf, driver)),
        ns().prop_map(Other::DeleteNs),
        (ns(), any::<bool>()).prop_map(|(ns, same)| Other::RemakeNs(ns, same)),
        ns().prop_map(Other::MakeNs),
        ns().prop_map(Other::MakeNs),
        Just(Other::Reboot),
        Just(Other::RenamePf),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (pick(), ns(), ask()).prop_map(|(of, ns, ask)| Act::Attach { of, ns, ask }),
        4 => vf().prop_map(Act::Detach),
        4 => (pick(), of_call(), ns(), ask())
            .prop_map(|(of, of_call, ns, ask)| Act::Add { of, of_call, ns, ask }),
        3 => of_call().prop_map(Act::Del),
        1 => (of_call(), ns()).prop_map(|(of_call, ns)| Act::Check(of_call, ns)),
        1 => any::<u8>().prop_map(Act::Gc),
        4 => (vf(), bind_ask()).prop_map(|(vf, ask)| Act::Bind { vf, ask }),
        3 => vf().prop_map(Act::Restore),
        1 => (0_u32..7, any::<bool>()).prop_map(|(count, force)| Act::Resize { count, force }),
        2 => any::<bool>().prop_map(|foreign| Act::Repair { foreign }),
        7 => other().prop_map(Act::Other),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        5 => Just(Fault::None),
        3 => (0_usize..12, one_of(&[5, 12, 16, 22, 95])).prop_map(|(n, no)| Fault::Refused(n, no)),
        1 => (0_usize..3).prop_map(Fault::Full),
        3 => (0_usize..14, any::<bool>()).prop_map(|(n, after)| Fault::Killed(n, after)),
    ]
}

pub fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = (act(), fault()).prop_map(|(act, fault)| Step { act, fault });
    prop::collection::vec(step, 1..60)
}
