//! Steps in words: as the shell commands that do the same, and as phrases for people.

use std::fmt;

use super::ids::{Cidr, DeviceId};
use super::step::{LinkAttr, LinkSet, NodeAccess, Place, Route, Step, Subject, VfAttr};
use super::text::shell_word;

impl Step {
    /// The command an administrator would type for it; `pf_netdev` is the PF's interface. Names are
    /// quoted: whoever is in a namespace may call an interface `$(reboot)`.
    pub fn shell(&self, pf_netdev: &str) -> String {
        let pf_netdev = shell_word(pf_netdev);
        match self {
            Self::SetNumVfs { pf, count } => {
                format!("echo {count} > /sys/{}/sriov_numvfs", pf.sysfs_dir())
            }
            Self::SetAutoprobe { pf, on } => {
                format!("echo {} > /sys/{}/sriov_drivers_autoprobe", u8::from(*on), pf.sysfs_dir())
            }
            Self::SetEswitch { pf, mode } => {
                format!("devlink dev eswitch set {}/{} mode {mode}", pf.bus(), pf.name())
            }
            Self::LoadDriver { driver } => format!("modprobe {driver}"),
            Self::AllowNoIommu { on } => format!(
                "echo {} > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
                if *on { "Y" } else { "N" }
            ),
            Self::SetOverride { of, driver } => {
                let driver = driver.as_deref().unwrap_or("''");
                format!("echo {driver} > {}/driver_override", dir(of))
            }
            Self::Unbind { of } => format!("{} > {}/driver/unbind", say_address(of), dir(of)),
            Self::Bind { of, driver } => {
                format!("{} > /sys/bus/{}/drivers/{driver}/bind", say_address(of), bus(of))
            }
            Self::Reset { device } => {
                let reset = format!("/sys/{}/reset", device.sysfs_dir());
                format!("[ ! -e {reset} ] || echo 1 > {reset}")
            }
            Self::SetNode { device, access } => node_shell(device, *access),
            Self::SetVf { vf, attr } => {
                format!("ip link set dev {pf_netdev} vf {} {attr}", vf.index)
            }
            Self::SetVectors { vf, count } => {
                let dir = dir(&Subject::Vf(vf.clone()));
                format!("echo {count} > {dir}/sriov_vf_msix_count")
            }
            Self::SetLink { vf, attr } => {
                format!(
                    "ip link set dev $(ls {}/net | head -1) {attr}",
                    dir(&Subject::Vf(vf.clone()))
                )
            }
            Self::Link { device, at, set } => {
                format!("{} link set dev {} {set}", ip(at), interface(at, device))
            }
            Self::BringHome { device, at, name, .. } => {
                let at = Place::Netns(at.clone());
                let (ip, interface, name) = (ip(&at), interface(&at, device), shell_word(name));
                format!(
                    "{ip} link set dev {interface} down name {name} && {ip} link set dev {name} netns 1"
                )
            }
            Self::AltNames { device, at, add, remove } => {
                let words = |verb: &str, names: &[String]| {
                    let names = names.iter().map(|name| format!(" altname {}", shell_word(name)));
                    let ip =
                        format!("{} link property {verb} dev {}", ip(at), interface(at, device));
                    ip + &names.collect::<String>()
                };
                let lines = [
                    (!remove.is_empty()).then(|| words("del", remove)),
                    (!add.is_empty()).then(|| words("add", add)),
                ];
                lines.into_iter().flatten().collect::<Vec<_>>().join(" && ")
            }
            Self::Configure { device, at, config } => {
                let at = Place::Netns(at.clone());
                let (ip, interface) = (ip(&at), interface(&at, device));
                let addresses = config.addresses.iter();
                let addresses = addresses.map(|a| format!("{ip} address add {a} dev {interface}"));
                let routes = config.routes.iter();
                let routes = routes.map(|r| format!("{ip} route add {r} dev {interface}"));
                let up = format!("{ip} link set dev {interface} up");
                addresses.chain([up]).chain(routes).collect::<Vec<_>>().join(" && ")
            }
        }
    }
}

/// The sysfs directory of a device.
fn dir(of: &Subject) -> String {
    match of {
        Subject::Vf(vf) => format!("/sys/{}/virtfn{}", vf.pf.sysfs_dir(), vf.index),
        Subject::Device(device) => format!("/sys/{}", device.sysfs_dir()),
    }
}

/// The command that prints a device's address.
fn say_address(of: &Subject) -> String {
    match of {
        Subject::Vf(_) => format!("basename $(readlink {})", dir(of)),
        Subject::Device(device) => format!("echo {}", device.name()),
    }
}

fn bus(of: &Subject) -> &str {
    match of {
        Subject::Vf(vf) => vf.pf.bus(),
        Subject::Device(device) => device.bus(),
    }
}

fn node_shell(device: &DeviceId, access: NodeAccess) -> String {
    let dir = format!("/sys/{}", device.sysfs_dir());
    let nodes = format!("/dev/vfio/$(basename $(readlink {dir}/iommu_group))");
    let owner = access.uid.map(|uid| uid.to_string()).unwrap_or_default();
    let group = access.gid.map(|gid| format!(":{gid}")).unwrap_or_default();
    let own = (owner.len() + group.len() > 0).then(|| format!("chown {owner}{group} {nodes}"));
    let allow = access.mode.map(|mode| format!("chmod {mode:o} {nodes}"));
    own.into_iter().chain(allow).collect::<Vec<_>>().join(" && ")
}

/// The command of iproute2 for a place.
fn ip(at: &Place) -> String {
    match at {
        Place::Host => "ip".to_owned(),
        Place::Netns(netns) => format!("nsenter --net={} ip", shell_word(&netns.path)),
    }
}

/// The interface of a device in a shell command, asked for in the place where it is.
fn interface(at: &Place, device: &DeviceId) -> String {
    let pick = format!(".[]|select(.parentdev==\"{}\").ifname", device.name());
    format!("$({} -j -d link | jq -r '{pick}')", ip(at))
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// As `ip link set PF vf N ...` spells it.
impl fmt::Display for VfAttr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "mac {mac}"),
            Self::Vlan(tag) => {
                write!(f, "vlan {}", tag.id)?;
                if tag.qos != 0 {
                    write!(f, " qos {}", tag.qos)?;
                }
                if tag.proto != super::link::VlanProto::Dot1q {
                    write!(f, " proto {}", tag.proto)?;
                }
                Ok(())
            }
            Self::Rate { min, max } => write!(f, "min_tx_rate {min} max_tx_rate {max}"),
            Self::Spoofchk(on) => write!(f, "spoofchk {}", on_off(*on)),
            Self::Trust(on) => write!(f, "trust {}", on_off(*on)),
            Self::LinkState(state) => write!(f, "state {state}"),
            Self::QueryRss(on) => write!(f, "query_rss {}", on_off(*on)),
            Self::NodeGuid(guid) => write!(f, "node_guid {guid}"),
            Self::PortGuid(guid) => write!(f, "port_guid {guid}"),
        }
    }
}

/// As `ip link set NAME ...` spells it.
impl fmt::Display for LinkAttr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "address {mac}"),
            Self::Mtu(mtu) => write!(f, "mtu {mtu}"),
            Self::Name(name) => write!(f, "name {}", shell_word(name)),
        }
    }
}

/// As `ip link set NAME ...` spells it.
impl fmt::Display for LinkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.up.map(|up| if up { "up" } else { "down" }.to_owned()),
            self.quiet.then(|| "promisc off allmulticast off".to_owned()),
            self.mac.map(|mac| format!("address {mac}")),
            self.mtu.map(|mtu| format!("mtu {mtu}")),
            self.to.as_ref().map(|to| format!("netns {}", shell_word(&to.path))),
            self.name.as_ref().map(|name| format!("name {}", shell_word(name))),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// As `ip route add` spells it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to)?;
        let words = [
            ("via", self.via.map(|via| via.to_string())),
            ("mtu", self.options.mtu.map(|mtu| mtu.to_string())),
            ("advmss", self.options.advmss.map(|mss| mss.to_string())),
            ("metric", self.options.priority.map(|metric| metric.to_string())),
            ("table", self.options.table.map(|table| table.to_string())),
            ("scope", self.options.scope.map(|scope| scope.to_string())),
        ];
        words
            .into_iter()
            .filter_map(|(word, value)| Some((word, value?)))
            .try_for_each(|(word, value)| write!(f, " {word} {value}"))
    }
}

/// An infinitive phrase: continues "could not ...".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetNumVfs { pf, count } => write!(f, "set the number of VFs of {pf} to {count}"),
            Self::SetAutoprobe { pf, on } => {
                write!(f, "switch driver autoprobe of {pf}'s VFs {}", on_off(*on))
            }
            Self::SetEswitch { pf, mode } => write!(f, "set the eswitch mode of {pf} to {mode}"),
            Self::LoadDriver { driver } => write!(f, "load the driver {driver}"),
            Self::AllowNoIommu { on } => {
                write!(f, "switch VFIO's mode without an IOMMU {}", on_off(*on))
            }
            Self::SetOverride { of, driver: Some(driver) } => {
                write!(f, "reserve {of} for the driver {driver}")
            }
            Self::SetOverride { of, driver: None } => {
                write!(f, "let {of} be taken by any driver")
            }
            Self::Unbind { of } => write!(f, "take {of} from its driver"),
            Self::Reset { device } => write!(f, "reset {device}"),
            Self::Bind { of, driver } => write!(f, "bind {of} to {driver}"),
            Self::SetNode { device, access } => write!(f, "set {access} on the node of {device}"),
            Self::SetVf { vf, attr } => write!(f, "set {attr} on {vf}"),
            Self::SetVectors { vf, count: 0 } => {
                write!(f, "give {vf} as many interrupt vectors as its driver would")
            }
            Self::SetVectors { vf, count } => write!(f, "give {vf} {count} interrupt vectors"),
            Self::SetLink { vf, attr } => write!(f, "set {attr} on the interface of {vf}"),
            Self::Link { device, set: LinkSet { to: Some(to), name, .. }, .. } => {
                let name = name.as_deref().unwrap_or("its present name");
                write!(f, "move {device} to {} as {name}", to.path)
            }
            Self::Link { device, set, .. } => write!(f, "set {set} on the interface of {device}"),
            Self::BringHome { device, name, .. } => {
                write!(f, "bring {device} back to the host as {name}")
            }
            Self::AltNames { device, add, remove, .. } if add.is_empty() => {
                write!(f, "remove the altnames {} of {device}", remove.join(", "))
            }
            Self::AltNames { device, add, .. } => {
                write!(f, "give {device} the altnames {}", add.join(", "))
            }
            Self::Configure { device, at, config } => {
                let addresses: Vec<_> = config.addresses.iter().map(Cidr::to_string).collect();
                write!(f, "bring {device} up in {}", at.path)?;
                if addresses.is_empty() {
                    Ok(())
                } else {
                    write!(f, " with {}", addresses.join(", "))
                }
            }
        }
    }
}

/// As chown and chmod spell it.
impl fmt::Display for NodeAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.uid.map(|uid| format!("owner {uid}")),
            self.gid.map(|gid| format!("group {gid}")),
            self.mode.map(|mode| format!("mode {mode:04o}")),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::NetnsId;

    /// Whoever is in a namespace names interfaces, and whoever makes one names that.
    #[test]
    fn no_name_is_run_by_the_shell_that_a_printed_command_is_pasted_into() {
        let dir = tempfile::tempdir().unwrap();
        let hit = dir.path().join("hit");
        let hostile = format!("$(touch {0})`touch {0}`;touch {0};'\"\n\x1b[31m", hit.display());
        let at = NetnsId { path: hostile.clone(), device: 4, inode: 7 };
        let device: DeviceId = "0000:01:10.0".parse().unwrap();
        let set =
            LinkSet { name: Some(hostile.clone()), to: Some(at.clone()), ..LinkSet::default() };
        let place = Place::Netns(at.clone());
        let names = vec![hostile.clone()];
        let vf = crate::model::step::VfRef {
            pf: "0000:01:00.0".parse().unwrap(),
            index: crate::model::ids::VfIndex(0),
        };
        for step in [
            Step::Link { device: device.clone(), at: place.clone(), set },
            Step::BringHome {
                device: device.clone(),
                at: at.clone(),
                name: hostile.clone(),
                detour: false,
            },
            Step::AltNames { device: device.clone(), at: place, add: names.clone(), remove: names },
            Step::Configure { device, at, config: crate::model::step::IpConfig::default() },
            Step::SetLink { vf: vf.clone(), attr: LinkAttr::Name(hostile.clone()) },
            Step::SetVf { vf, attr: VfAttr::Trust(true) },
        ] {
            let script = step.shell(&hostile);
            assert!(!script.contains(['\n', '\x1b']), "{script:?}");
            // Commands that are not found are no matter: what would be run besides is.
            let script = format!("PATH=/nowhere; touch() {{ : > {}; }}; {script}", hit.display());
            let bash =
                std::process::Command::new("/bin/bash").args(["-c", &script]).output().unwrap();
            let said = String::from_utf8_lossy(&bash.stderr);
            assert!(!said.contains("syntax error"), "{script}: {said}");
            assert!(!hit.exists(), "{script}");
        }
    }
}
