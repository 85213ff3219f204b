//! What a configuration asks for, in any of the dialects, which may be mixed where they agree.
//!
//! | dialect | its keys |
//! |---|---|
//! | hustcat/sriov-cni | `master`, `pfOnly`; CNI_ARGS `VF`, `VLAN`, `MAC`, `IP` |
//! | Intel, 2017 | `if0`, `if0name`, `l2enable`, `vlan`, `cniDir`, `dpdk` |
//! | xftony/sriov-cni | Intel's and `pfOnly` |
//! | k8snetworkplumbingwg/sriov-cni | `deviceID`, `vlan`, `vlanQoS`, `vlanProto`, `mac`, `spoofchk`, ... |
//! | ours | `mtu`, `driver`, `pool` |

use serde_json::{Map, Value};

use super::call::{Call, is_ifname};
use super::config::Config;
use super::failure::{Code, Failure};
use crate::model::ids::{IfName, MacAddr, PciAddress, VlanId};
use crate::model::link::{LinkState, VfSettings, VlanProto, VlanTag};
use crate::model::selector::{Selector, nearest};

/// What shall be attached, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Where it comes from.
    pub source: Source,
    /// The key that says so.
    pub key: String,
    /// What the device must be of, where that is named beside it, and the key.
    pub within: Option<(&'static str, Vec<Selector>)>,
    /// Name in the container.
    pub ifname: IfName,
    /// MAC.
    pub mac: Option<MacAddr>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Settings in the PF.
    pub settings: VfSettings,
    /// Driver for the time of the attachment.
    pub driver: Option<String>,
    /// Driver that a DPDK attachment goes back to, where the configuration names it.
    pub kernel_driver: Option<String>,
    /// Whether the IPAM plugin is asked.
    pub addresses: bool,
    /// What is odd about the configuration but no error.
    pub warnings: Vec<String>,
}

/// Where the device comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// This one.
    Device(PciAddress),
    /// This VF of a PF.
    Vf(Selector),
    /// The PF itself.
    Pf(Selector),
    /// A free VF of these.
    AnyOf(Vec<Selector>),
}

/// Where the device comes from, and what says so, as in [`Wish`].
pub struct Origin {
    pub source: Source,
    pub key: String,
    pub within: Option<(&'static str, Vec<Selector>)>,
}

/// A device that is not there, with the key that names it.
pub fn not_there(key: &str, failure: Failure) -> Failure {
    let allowed = match key {
        "master" | "if0" => "a PF of this host",
        "pool" => "PFs or VFs of this host",
        "CNI_ARGS VF" => "the number of a VF that the PF has",
        _ => "the PCI address of a VF of this host",
    };
    let msg = format!("{key}: {}", failure.msg);
    let details = format!("want {allowed}\n{}", failure.details);
    Failure { msg, ..failure }.details(details.trim_end())
}

/// Every key that means something, in any dialect or to the protocol.
const KEYS: [&str; 39] = [
    "cniVersion",
    "name",
    "type",
    "args",
    "ipMasq",
    "ipam",
    "dns",
    "prevResult",
    "capabilities",
    "runtimeConfig",
    "disableCheck",
    "disableGC",
    "disableEcho",
    "plugins",
    "master",
    "pfOnly",
    "if0",
    "if0name",
    "l2enable",
    "vlan",
    "cniDir",
    "dpdk",
    "deviceID",
    "vlanQoS",
    "vlanProto",
    "mac",
    "spoofchk",
    "trust",
    "link_state",
    "min_tx_rate",
    "max_tx_rate",
    "logLevel",
    "logFile",
    "syslog",
    "mtu",
    "driver",
    "pool",
    "containerRecord",
    "cni.dev/valid-attachments",
];

impl Wish {
    /// Reads it.
    pub fn read(config: &Config, call: &Call) -> Result<Self, Failure> {
        let keys = Keys { config, call };
        let mut warnings = unknown_keys(&config.raw);
        let pf_only = keys.flag("pfOnly")?.unwrap_or(false);
        let settings = keys.settings()?;
        let mac = keys.mac()?;
        let dpdk = keys.dpdk(&mut warnings)?;
        if pf_only && (mac.is_some() || settings != VfSettings::default()) {
            return Err(Failure::config(
                "pfOnly",
                "true beside mac, vlan or another setting of a VF",
                "a PF has no such settings",
            ));
        }
        let Origin { source, key, within } = keys.source(pf_only)?;
        keys.paths()?;
        if keys.config.runtime.get("infinibandGUID").is_some_and(|guid| !guid.is_null()) {
            warnings.push("runtimeConfig.infinibandGUID is not set: no GUIDs are here".to_owned());
        }
        let driver = match (keys.text("driver")?, dpdk.as_ref().map(|(_, driver)| driver)) {
            (Some(one), Some(other)) if one != other => {
                return Err(Failure::config(
                    "driver",
                    one,
                    &format!("dpdk.dpdk_driver names another, {other}"),
                ));
            }
            (one, other) => one.map(str::to_owned).or_else(|| other.cloned()),
        };
        let has_dpdk = dpdk.is_some();
        let l2 = keys.flag("l2enable")?.unwrap_or(false);
        Ok(Self {
            source,
            key,
            within,
            ifname: keys.ifname()?,
            mac,
            mtu: keys.number("mtu", 68, 65_535)?,
            settings,
            driver,
            kernel_driver: dpdk.map(|(kernel, _)| kernel),
            // Intel's plugin asks for no addresses where a DPDK program gets the VF.
            addresses: config.ipam.is_some() && !l2 && !has_dpdk,
            warnings,
        })
    }
}

impl Wish {
    /// Where devices come from; `None`: a runtime names one with each call.
    pub fn source_of(config: &Config, call: &Call) -> Result<Option<Origin>, Failure> {
        let keys = Keys { config, call };
        let names_some =
            ["master", "if0", "pool", "deviceID"].iter().any(|key| keys.get(key).is_some());
        if !names_some {
            return Ok(None);
        }
        let pf_only = keys.flag("pfOnly")?.unwrap_or(false);
        keys.source(pf_only).map(Some)
    }
}

/// Keys that mean nothing, each with the one that may be meant.
fn unknown_keys(raw: &Map<String, Value>) -> Vec<String> {
    let unknown =
        raw.keys().filter(|key| !KEYS.contains(&key.as_str()) && !key.starts_with("cni.dev/"));
    unknown
        .map(|key| match nearest(key, KEYS.into_iter()) {
            Some(near) => format!("the key {key} means nothing here; did you mean {near}?"),
            None => format!("the key {key} means nothing here"),
        })
        .collect()
}

struct Keys<'a> {
    config: &'a Config,
    call: &'a Call,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.config.raw.get(key).filter(|value| !value.is_null())
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(other) => Err(Failure::config(key, other, "true or false")),
        }
    }

    fn number(&self, key: &str, lowest: u32, highest: u32) -> Result<Option<u32>, Failure> {
        let allowed = format!("a number from {lowest} to {highest}");
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| (lowest..=highest).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(Failure::config(key, value, &allowed)),
        }
    }

    /// A text that is one of some.
    fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, Failure> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let text = value.as_str().unwrap_or_default();
        if text.is_empty() && value.is_string() {
            return Ok(None);
        }
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, choice)) = found {
            return Ok(Some(*choice));
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        Err(Failure::config(key, value, &format!("one of {}", names.join(", "))))
    }

    /// A value that a runtime may override: `runtimeConfig`, then, of the MAC, `args.cni`, which is the
    /// pod's own wish, then CNI_ARGS, then the configuration.
    fn overridden(&self, key: &str, arg: &str) -> Result<Option<(String, String)>, Failure> {
        let read = |name: String, value: Option<&Value>| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some((name, text.clone()))),
            Some(Value::Number(number)) => Ok(Some((name, number.to_string()))),
            Some(other) => Err(Failure::config(&name, other, "a text or a number")),
        };
        if let Some(found) = read(format!("runtimeConfig.{key}"), self.config.runtime.get(key))? {
            return Ok(Some(found));
        }
        let args = self.config.raw.get("args").and_then(|args| args.get("cni"));
        let of_pod = args.and_then(|args| args.get(key)).filter(|_| key == "mac");
        if let Some(found) = read(format!("args.cni.{key}"), of_pod)? {
            return Ok(Some(found));
        }
        if let Some(value) = self.call.args.get(arg).filter(|value| !value.is_empty()) {
            return Ok(Some((format!("CNI_ARGS {arg}"), value.clone())));
        }
        read(key.to_owned(), self.get(key))
    }

    /// A text, which must be one where the key is there.
    fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(other) => Err(Failure::config(key, other, "a text")),
        }
    }

    fn mac(&self) -> Result<Option<MacAddr>, Failure> {
        let Some((key, text)) = self.overridden("mac", "MAC")? else { return Ok(None) };
        let bad = |why: &str| Failure::config(&key, format!("\"{text}\""), why);
        let mac: MacAddr = text.parse().map_err(|_| bad("six bytes, such as 02:00:00:00:00:01"))?;
        if mac.is_multicast() || mac.is_zero() {
            return Err(bad("the MAC of an interface is neither zero nor that of a group"));
        }
        Ok(Some(mac))
    }

    fn settings(&self) -> Result<VfSettings, Failure> {
        let on_off = [("on", true), ("off", false)];
        let rate = |key| self.number(key, 0, u32::MAX - 1);
        let (min, max) = (rate("min_tx_rate")?, rate("max_tx_rate")?);
        if let (Some(min), Some(max)) = (min, max)
            && max != 0
            && min > max
        {
            return Err(Failure::config(
                "min_tx_rate",
                min,
                &format!("at most max_tx_rate, which is {max}"),
            ));
        }
        Ok(VfSettings {
            vlan: self.vlan()?,
            min_tx_rate: min,
            max_tx_rate: max,
            spoofchk: self.choice("spoofchk", &on_off)?,
            trust: self.choice("trust", &on_off)?,
            link_state: self.choice(
                "link_state",
                &[
                    ("auto", LinkState::Auto),
                    ("enable", LinkState::Enable),
                    ("disable", LinkState::Disable),
                ],
            )?,
            ..VfSettings::default()
        })
    }

    fn vlan(&self) -> Result<Option<VlanTag>, Failure> {
        let qos = self.number("vlanQoS", 0, 7)?;
        let protos = [("802.1q", VlanProto::Dot1q), ("802.1ad", VlanProto::Dot1ad)];
        let proto = self.choice("vlanProto", &protos)?;
        let id = match self.overridden("vlan", "VLAN")? {
            None => None,
            Some((key, text)) => Some(
                text.parse::<VlanId>()
                    .map_err(|_| Failure::config(&key, text, "a number from 0 to 4094"))?,
            ),
        };
        let Some(id) = id else {
            return match (qos, proto) {
                (None, None) => Ok(None),
                (Some(qos), _) => Err(Failure::config("vlanQoS", qos, "it needs the key vlan")),
                (None, Some(proto)) => {
                    Err(Failure::config("vlanProto", proto, "it needs the key vlan"))
                }
            };
        };
        let qos = u8::try_from(qos.unwrap_or(0)).unwrap_or(0);
        let proto = proto.unwrap_or(VlanProto::Dot1q);
        if id.0 == 0 && qos != 0 {
            return Err(Failure::config(
                "vlanQoS",
                qos,
                "VLAN 0 means no tag, which has no priority",
            ));
        }
        if id.0 == 0 && proto != VlanProto::Dot1q {
            return Err(Failure::config(
                "vlanProto",
                proto,
                "VLAN 0 means no tag, which has no protocol",
            ));
        }
        Ok(Some(VlanTag { id, qos, proto }))
    }

    /// Kernel driver and DPDK driver of Intel's `dpdk`; its tool is not needed.
    fn dpdk(&self, warnings: &mut Vec<String>) -> Result<Option<(String, String)>, Failure> {
        let Some(value) = self.get("dpdk") else { return Ok(None) };
        let text =
            |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_driver = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let (kernel, dpdk) = (text("kernel_driver"), text("dpdk_driver"));
        for (key, name) in [("dpdk.kernel_driver", &kernel), ("dpdk.dpdk_driver", &dpdk)] {
            if !is_driver(name) {
                return Err(Failure::config(key, format!("\"{name}\""), "the name of a driver"));
            }
        }
        let tool = text("dpdk_tool");
        if !tool.is_empty() {
            warnings.push(format!(
                "dpdk.dpdk_tool {tool} is not run: this plugin binds drivers itself"
            ));
        }
        Ok(Some((kernel, dpdk)))
    }

    fn ifname(&self) -> Result<IfName, Failure> {
        let name = match self.get("if0name") {
            None => self.call.ifname.as_str(),
            Some(value) => {
                let name = value.as_str().unwrap_or_default();
                // Intel's plugin refuses those that a container has from elsewhere.
                if !is_ifname(name) || ["eth0", "eth1", "lo"].contains(&name) {
                    return Err(Failure::config(
                        "if0name",
                        value,
                        "an interface name but eth0, eth1 and lo",
                    ));
                }
                name
            }
        };
        name.parse()
            .map_err(|error| Failure::new(Code::Environment, format!("CNI_IFNAME: {error}")))
    }

    /// Paths that would be looked for wherever a runtime happens to stand.
    fn paths(&self) -> Result<(), Failure> {
        match self.text("cniDir")? {
            Some(dir) if !dir.starts_with('/') => {
                Err(Failure::config("cniDir", format!("\"{dir}\""), "an absolute path"))
            }
            _ => Ok(()),
        }
    }

    fn source(&self, pf_only: bool) -> Result<Origin, Failure> {
        let selector = |key: &str, text: &str| {
            text.parse::<Selector>()
                .map_err(|why| Failure::config(key, format!("\"{text}\""), &why))
        };
        let pf = match (self.text("master")?, self.text("if0")?) {
            (Some(one), Some(other)) if one != other => {
                return Err(Failure::config(
                    "master",
                    one,
                    &format!("if0 names another PF, {other}"),
                ));
            }
            (one, other) => one.map(|pf| ("master", pf)).or(other.map(|pf| ("if0", pf))),
        };
        let pool = self.pool(pf_only)?;
        if let (Some((key, pf)), Some(pool)) = (pf, self.get("pool")) {
            let allowed = format!("{key} names the PF already, {pf}");
            return Err(Failure::config("pool", pool, &allowed));
        }
        let index = self.call.args.get("VF").filter(|index| !index.is_empty());
        let no_index = |why: &str| match index {
            Some(index) => Err(Failure::config("CNI_ARGS VF", index, why)),
            None => Ok(()),
        };
        if let Some((key, text)) = self.overridden("deviceID", "deviceID")? {
            if pf_only {
                return Err(Failure::config(
                    "pfOnly",
                    "true",
                    "deviceID names a VF, so that there is no PF to move",
                ));
            }
            no_index(&format!("{key} names the VF already, {text}"))?;
            let address = text.parse().map_err(|_| {
                Failure::config(
                    &key,
                    format!("\"{text}\""),
                    "the PCI address of a VF, such as 0000:3b:02.0",
                )
            })?;
            let within = match pf {
                Some((key, pf)) => Some((key, vec![selector(key, pf)?])),
                None => pool.map(|pool| ("pool", pool)),
            };
            return Ok(Origin { source: Source::Device(address), key, within });
        }
        let origin = |key: &str, source| Origin { source, key: key.to_owned(), within: None };
        if let Some((key, pf)) = pf {
            if pf_only {
                no_index("pfOnly moves the PF itself")?;
                return Ok(origin(key, Source::Pf(selector(key, pf)?)));
            }
            let Some(index) = index else {
                return Ok(origin(key, Source::AnyOf(vec![selector(key, pf)?])));
            };
            if index.parse::<u16>().is_err() {
                return Err(Failure::config("CNI_ARGS VF", index, "the number of a VF"));
            }
            selector(key, pf)?;
            return Ok(origin(key, Source::Vf(selector("CNI_ARGS VF", &format!("{pf}#{index}"))?)));
        }
        no_index("it is the number of a VF of master or if0, and neither is there")?;
        match pool {
            Some(pool) => Ok(origin("pool", Source::AnyOf(pool))),
            None => Err(Failure::new(Code::Config, "the configuration names no device").details(
                "deviceID is normally put in by Multus, from the device plugin's resource that the pod asks for: \
                 see the annotation k8s.v1.cni.cncf.io/resourceName of the network, and the pod's resource requests. \
                 Without a device plugin give master or pool.",
            )),
        }
    }

    fn pool(&self, pf_only: bool) -> Result<Option<Vec<Selector>>, Failure> {
        let one = |value: &Value| match value.as_str().map(str::parse::<Selector>) {
            Some(Ok(selector)) => Ok(selector),
            Some(Err(why)) => Err(Failure::config("pool", value, &why)),
            None => Err(Failure::config("pool", value, "PFs or VFs, such as eth0 or eth0#0-3")),
        };
        match self.get("pool") {
            None => Ok(None),
            Some(Value::Array(list)) if !list.is_empty() && !pf_only => {
                list.iter().map(one).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => {
                Err(Failure::config("pool", other, "a list of PFs or VFs, and not with pfOnly"))
            }
        }
    }
}
