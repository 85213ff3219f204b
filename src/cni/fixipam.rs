//! The IPAM plugin of hustcat/sriov-cni: the address comes from CNI_ARGS `IP`.

use std::net::IpAddr;

use serde_json::Value;

use super::call::Call;
use super::config::Config;
use super::failure::{Code, Failure};
use super::reply::{Ip, Reply, Route};
use crate::model::ids::Cidr;

/// As configurations name it.
pub const NAME: &str = "fixipam";

/// The address that CNI_ARGS has, if it lies in the subnet and is not the gateway's.
pub fn add(config: &Config, call: &Call) -> Result<Reply, Failure> {
    let ipam = config.raw.get("ipam").cloned().unwrap_or(Value::Null);
    let text = |key: &str| ipam.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let required = |key: &str| {
        text(key).ok_or_else(|| Failure::new(Code::Config, format!("fixipam needs ipam.{key}")))
    };
    let subnet = required("subnet")?;
    let net: Cidr = subnet.parse().map_err(|_| {
        Failure::config("ipam.subnet", format!("\"{subnet}\""), "a subnet, such as 10.0.0.0/24")
    })?;
    let gateway = required("gateway")?;
    let gateway: IpAddr = gateway.parse().map_err(|_| {
        Failure::config("ipam.gateway", format!("\"{gateway}\""), "an address, such as 10.0.0.1")
    })?;
    if !is_host(net, gateway) {
        let allowed = format!("an address of an interface in the subnet {subnet}");
        return Err(Failure::config("ipam.gateway", format!("\"{gateway}\""), &allowed));
    }
    let wanted = call.args.get("IP").map(String::as_str).unwrap_or_default();
    let bad = |why: &str| {
        Failure::new(Code::Environment, format!("CNI_ARGS IP: \"{wanted}\" is not allowed"))
            .details(why)
    };
    // With or without a prefix length: the subnet's is meant.
    let address = match wanted.parse::<Cidr>() {
        Ok(cidr) => Some(cidr.address),
        Err(_) => wanted.parse::<IpAddr>().ok(),
    };
    let address = address
        .ok_or_else(|| bad("fixipam gives out the address that CNI_ARGS names: IP=ADDRESS"))?;
    if !net.contains(address) {
        return Err(bad(&format!("it does not lie in the subnet {subnet}")));
    }
    if !is_host(net, address) {
        return Err(bad(&format!("it is the address of {subnet} itself, or of all in it")));
    }
    if address == gateway {
        return Err(bad("it is the gateway's"));
    }
    let routes = match ipam.get("routes") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(routes)) => routes.clone(),
        Some(other) => {
            return Err(Failure::config("ipam.routes", other, "a list of objects with dst and gw"));
        }
    };
    let route = |route: &Value| {
        let part = |key: &str| route.get(key).and_then(Value::as_str).map(str::to_owned);
        let dst = part("dst").filter(|dst| dst.parse::<Cidr>().is_ok());
        let gw = part("gw").filter(|gw| !gw.is_empty());
        let is_hop = gw.as_ref().is_none_or(|gw| gw.parse::<IpAddr>().is_ok());
        let dst = dst.filter(|_| is_hop).ok_or_else(|| {
            Failure::config("ipam.routes", route, "objects with dst, a CIDR, and gw, an address")
        })?;
        Ok(Route { dst, gw, attributes: Vec::new() })
    };
    Ok(Reply {
        ips: vec![Ip {
            interface: None,
            address: Cidr { address, prefix: net.prefix },
            gateway: Some(gateway.to_string()),
        }],
        routes: routes.iter().map(route).collect::<Result<_, Failure>>()?,
        ..Reply::default()
    })
}

/// Whether an interface in the network can have the address: neither its own nor that of all in it.
fn is_host(net: Cidr, address: IpAddr) -> bool {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    // Of two addresses, or of one, each is an interface's (RFC 3021, RFC 6164).
    if net.prefix + 1 >= bits {
        return net.contains(address);
    }
    let is_last = match (address, net.network().address) {
        (IpAddr::V4(address), IpAddr::V4(first)) => {
            u32::from(address) == u32::from(first) | (u32::MAX >> net.prefix)
        }
        _ => false, // IPv6 has none for all
    };
    net.contains(address) && net.network().address != address && !is_last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_interfaces_in_its_subnet_or_not() {
        for (net, address, is_in) in [
            ("10.0.0.0/24", "10.0.0.5", true),
            ("10.0.0.0/24", "10.0.1.5", false),
            ("10.0.0.0/24", "10.0.0.0", false),
            ("10.0.0.0/24", "10.0.0.255", false),
            ("10.0.0.0/31", "10.0.0.0", true),
            ("10.0.0.0/0", "192.0.2.1", true),
            ("10.0.0.7/32", "10.0.0.7", true),
            ("fd00::/64", "fd00::5", true),
            ("fd00::/64", "fd00::", false),
            ("fd00::/64", "fd01::5", false),
            ("::/0", "fd01::5", true),
            ("10.0.0.0/24", "fd00::5", false),
        ] {
            let (net, address) = (net.parse().unwrap(), address.parse().unwrap());
            assert_eq!(is_host(net, address), is_in, "{net} {address}");
        }
    }
}
