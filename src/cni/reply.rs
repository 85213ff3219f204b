//! Results, in the shape of every version: read from IPAM plugins and previous plugins, and written.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::failure::{Code, Failure};
use super::version::Version;
use crate::model::ids::Cidr;
use crate::model::step;

/// A result, as version 1.1.0 has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Addresses.
    pub ips: Vec<Ip>,
    /// Routes.
    pub routes: Vec<Route>,
    /// DNS settings, passed on as they are.
    pub dns: Value,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// MAC.
    pub mac: Option<String>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Path of its namespace; `None`: it is on the host.
    pub sandbox: Option<String>,
    /// PCI address.
    pub pci_id: Option<String>,
    /// Socket of a vhost-user interface, passed on.
    pub socket_path: Option<String>,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// Index of its interface.
    pub interface: Option<u64>,
    /// Address with prefix length.
    pub address: Cidr,
    /// Gateway.
    pub gateway: Option<String>,
}

/// A route with the attributes that 1.1.0 knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Destination, a CIDR.
    pub dst: String,
    /// Next hop.
    pub gw: Option<String>,
    /// `mtu`, `advmss`, `priority`, `table`, `scope`, by name.
    pub attributes: Vec<(String, u64)>,
}

/// Attributes of routes with the highest value that the kernel has for them.
const ATTRIBUTES: [(&str, u64); 5] = [
    ("mtu", u32::MAX as u64),
    ("advmss", u32::MAX as u64),
    ("priority", u32::MAX as u64),
    ("table", u32::MAX as u64),
    ("scope", u8::MAX as u64),
];

impl Reply {
    /// Reads a result of any version.
    pub fn parse(value: &Value) -> Result<Self, Failure> {
        let bad = |what: &str| Failure::new(Code::Decode, format!("the result has {what}"));
        let object = value.as_object().ok_or_else(|| bad("no object"))?;
        let version = object.get("cniVersion").and_then(Value::as_str).unwrap_or("0.1.0");
        let version: Version =
            version.parse().map_err(|()| bad(&format!("the unknown version {version}")))?;
        let mut reply =
            Self { dns: object.get("dns").cloned().unwrap_or(Value::Null), ..Self::default() };
        if version < Version::V030 {
            for key in ["ip4", "ip6"] {
                if let Some(old) = object.get(key).filter(|old| !old.is_null()) {
                    reply.ips.push(Ip {
                        interface: None,
                        address: cidr(old.get("ip"), key)?,
                        gateway: next_hop(old.get("gateway"), "gateway")?,
                    });
                    reply.routes.extend(routes(old.get("routes"))?);
                }
            }
            return Ok(reply);
        }
        for interface in list(object.get("interfaces")) {
            reply.interfaces.push(Interface {
                name: text(interface.get("name"))
                    .ok_or_else(|| bad("an interface without a name"))?,
                mac: text(interface.get("mac")),
                mtu: interface
                    .get("mtu")
                    .and_then(Value::as_u64)
                    .and_then(|mtu| mtu.try_into().ok()),
                sandbox: text(interface.get("sandbox")),
                pci_id: text(interface.get("pciID")),
                socket_path: text(interface.get("socketPath")),
            });
        }
        for ip in list(object.get("ips")) {
            reply.ips.push(Ip {
                interface: ip.get("interface").and_then(Value::as_u64),
                address: cidr(ip.get("address"), "ips")?,
                gateway: next_hop(ip.get("gateway"), "gateway")?,
            });
        }
        reply.routes = routes(object.get("routes"))?;
        Ok(reply)
    }

    /// Writes it as `version` has it.
    pub fn render(&self, version: Version) -> Value {
        let mut document = Map::new();
        document.insert("cniVersion".into(), version.text().into());
        if version < Version::V030 {
            self.render_old(&mut document);
        } else {
            if !self.interfaces.is_empty() {
                let all = self.interfaces.iter().map(|interface| interface.render(version));
                document.insert("interfaces".into(), all.collect());
            }
            if !self.ips.is_empty() {
                document
                    .insert("ips".into(), self.ips.iter().map(|ip| ip.render(version)).collect());
            }
            if !self.routes.is_empty() {
                let all = self.routes.iter().map(|route| route.render(version));
                document.insert("routes".into(), all.collect());
            }
        }
        let dns = if self.dns.is_object() { self.dns.clone() } else { json!({}) };
        document.insert("dns".into(), dns);
        Value::Object(document)
    }

    /// Before 0.3.0 there was one address of each kind, with the routes of its kind.
    fn render_old(&self, document: &mut Map<String, Value>) {
        for (key, v4) in [("ip4", true), ("ip6", false)] {
            let is_of_kind = |ip: &&Ip| ip.address.address.is_ipv4() == v4;
            let Some(ip) = self.ips.iter().find(is_of_kind) else { continue };
            let mut old = Map::new();
            old.insert("ip".into(), ip.address.to_string().into());
            if let Some(gateway) = &ip.gateway {
                old.insert("gateway".into(), gateway.clone().into());
            }
            let routes = self.routes.iter().filter(|route| route.dst.contains(':') != v4);
            let routes: Vec<Value> = routes.map(|route| route.render(Version::V020)).collect();
            if !routes.is_empty() {
                old.insert("routes".into(), routes.into());
            }
            document.insert(key.into(), Value::Object(old));
        }
    }
}

impl Interface {
    fn render(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), self.name.clone().into());
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(key.into(), value);
            }
        };
        put("mac", self.mac.clone().map(Value::from));
        if version >= Version::V110 {
            put("mtu", self.mtu.map(Value::from));
        }
        put("sandbox", self.sandbox.clone().map(Value::from));
        if version >= Version::V110 {
            put("pciID", self.pci_id.clone().map(Value::from));
            put("socketPath", self.socket_path.clone().map(Value::from));
        }
        Value::Object(object)
    }
}

impl Ip {
    fn render(&self, version: Version) -> Value {
        let mut object = Map::new();
        if version < Version::V100 {
            let kind = if self.address.address.is_ipv4() { "4" } else { "6" };
            object.insert("version".into(), kind.into());
        }
        if let Some(interface) = self.interface {
            object.insert("interface".into(), interface.into());
        }
        object.insert("address".into(), self.address.to_string().into());
        if let Some(gateway) = &self.gateway {
            object.insert("gateway".into(), gateway.clone().into());
        }
        Value::Object(object)
    }
}

impl Route {
    fn render(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("dst".into(), self.dst.clone().into());
        if let Some(gw) = &self.gw {
            object.insert("gw".into(), gw.clone().into());
        }
        if version >= Version::V110 {
            let all = self.attributes.iter();
            object.extend(all.map(|(key, value)| (key.clone(), Value::from(*value))));
        }
        Value::Object(object)
    }

    /// Destination and next hop.
    pub fn parsed(&self) -> Option<step::Route> {
        let to: Cidr = self.dst.parse().ok()?;
        let via = self.gw.as_deref().map(str::parse).transpose().ok()?;
        Some(step::Route { to: to.network(), via, options: step::RouteOptions::default() })
    }

    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<u64> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn cidr(value: Option<&Value>, place: &str) -> Result<Cidr, Failure> {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    text.parse().map_err(|_| {
        Failure::new(
            Code::Decode,
            format!("the result's {place} has \"{text}\", which is no address"),
        )
        .details("want an address with its prefix length, such as 10.0.0.5/24")
    })
}

fn next_hop(value: Option<&Value>, key: &str) -> Result<Option<String>, Failure> {
    let Some(value) = value.filter(|value| !value.is_null() && *value != "") else {
        return Ok(None);
    };
    let given = value.as_str().filter(|text| text.parse::<IpAddr>().is_ok());
    given.map(|text| Some(text.to_owned())).ok_or_else(|| {
        Failure::new(Code::Decode, format!("the result has the {key} {value}, which is no address"))
            .details("want an address without a prefix length, such as 10.0.0.1")
    })
}

fn routes(value: Option<&Value>) -> Result<Vec<Route>, Failure> {
    let read = |route: &Value| {
        let dst = route.get("dst").and_then(Value::as_str).unwrap_or_default();
        dst.parse::<Cidr>().map_err(|_| {
            Failure::new(Code::Decode, format!("the result has a route to \"{dst}\""))
                .details("want a CIDR, such as 0.0.0.0/0")
        })?;
        let given = ATTRIBUTES.iter().filter_map(|(name, most)| {
            Some((*name, *most, route.get(*name).filter(|value| !value.is_null())?))
        });
        let attributes = given
            .map(|(name, most, value)| match value.as_u64().filter(|number| *number <= most) {
                Some(number) => Ok((name.to_owned(), number)),
                None => Err(Failure::new(
                    Code::Decode,
                    format!("the result's route to {dst} has the {name} {value}"),
                )
                .details(format!("want a number from 0 to {most}"))),
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Route { dst: dst.to_owned(), gw: next_hop(route.get("gw"), "gw")?, attributes })
    };
    list(value).iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Reply {
        Reply {
            interfaces: vec![Interface {
                name: "net1".into(),
                mac: Some("02:00:00:00:00:01".into()),
                mtu: Some(1500),
                sandbox: Some("/run/netns/blue".into()),
                pci_id: Some("0000:01:10.0".into()),
                socket_path: None,
            }],
            ips: vec![
                Ip {
                    interface: Some(0),
                    address: "10.0.0.5/24".parse().unwrap(),
                    gateway: Some("10.0.0.1".into()),
                },
                Ip { interface: Some(0), address: "fd00::5/64".parse().unwrap(), gateway: None },
            ],
            routes: vec![
                Route {
                    dst: "0.0.0.0/0".into(),
                    gw: Some("10.0.0.1".into()),
                    attributes: vec![("mtu".into(), 1400)],
                },
                Route { dst: "fd01::/64".into(), ..Route::default() },
            ],
            dns: json!({"nameservers": ["10.0.0.1"]}),
        }
    }

    #[test]
    fn what_a_version_can_say_comes_back_from_it() {
        assert_eq!(Reply::parse(&whole().render(Version::V110)).unwrap(), whole());
        for version in Version::ALL {
            let again = Reply::parse(&whole().render(version)).unwrap();
            let addresses = |reply: &Reply| -> Vec<String> {
                reply.ips.iter().map(|ip| ip.address.to_string()).collect()
            };
            assert_eq!(addresses(&again), addresses(&whole()), "{version}");
            assert_eq!(again.routes.len(), 2, "{version}");
            assert_eq!(again.dns, whole().dns, "{version}");
            assert_eq!(again.interfaces.is_empty(), version < Version::V030, "{version}");
        }
    }

    #[test]
    fn each_version_has_its_own_shape() {
        let text = |version| whole().render(version).to_string();
        assert!(text(Version::V020).contains("\"ip4\":{\"ip\":\"10.0.0.5/24\""));
        assert!(text(Version::V040).contains("\"version\":\"4\""));
        assert!(!text(Version::V100).contains("\"version\""));
        assert!(!text(Version::V100).contains("pciID"));
        assert!(text(Version::V110).contains("\"pciID\":\"0000:01:10.0\""));
    }

    #[test]
    fn rubbish_is_told_from_a_result() {
        for text in [
            "[]",
            r#"{"cniVersion":"9.0.0"}"#,
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.5"}]}"#,
            r#"{"cniVersion":"1.0.0","routes":[{"dst":"everywhere"}]}"#,
            r#"{"cniVersion":"1.0.0","interfaces":[{}]}"#,
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.5/24","gateway":"x"}]}"#,
            r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/24","gateway":"10.0.0.1/24"}}"#,
            r#"{"cniVersion":"1.0.0","routes":[{"dst":"10.0.0.0/8","gw":7}]}"#,
            r#"{"cniVersion":"1.1.0","routes":[{"dst":"10.0.0.0/8","scope":256}]}"#,
            r#"{"cniVersion":"1.1.0","routes":[{"dst":"10.0.0.0/8","priority":-1}]}"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(Reply::parse(&value).unwrap_err().code, Code::Decode, "{text}");
        }
    }
}
