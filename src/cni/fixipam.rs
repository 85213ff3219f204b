//! The IPAM plugin of hustcat/sriov-cni: the address comes from CNI_ARGS `IP`.

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
    let gateway: std::net::IpAddr = gateway.parse().map_err(|_| {
        Failure::config("ipam.gateway", format!("\"{gateway}\""), "an address, such as 10.0.0.1")
    })?;
    let wanted = call.args.get("IP").map(String::as_str).unwrap_or_default();
    let bad = |why: &str| {
        Failure::new(Code::Environment, format!("CNI_ARGS IP: \"{wanted}\" is not allowed"))
            .details(why)
    };
    // With or without a prefix length: the subnet's is meant.
    let address = wanted.split('/').next().unwrap_or_default();
    let address: std::net::IpAddr = address
        .parse()
        .map_err(|_| bad("fixipam gives out the address that CNI_ARGS names: IP=ADDRESS"))?;
    if !contains(net, address) {
        return Err(bad(&format!("it does not lie in the subnet {subnet}")));
    }
    if address == gateway {
        return Err(bad("it is the gateway's"));
    }
    let routes = ipam.get("routes").and_then(Value::as_array).cloned().unwrap_or_default();
    let route = |route: &Value| {
        let part = |key: &str| route.get(key).and_then(Value::as_str).map(str::to_owned);
        let dst = part("dst").filter(|dst| dst.parse::<Cidr>().is_ok());
        let dst = dst.ok_or_else(|| {
            Failure::config("ipam.routes", route, "objects with dst, a CIDR, and gw")
        })?;
        Ok(Route { dst, gw: part("gw"), attributes: Vec::new() })
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

fn contains(net: Cidr, address: std::net::IpAddr) -> bool {
    use std::net::IpAddr::{V4, V6};
    match (net.address, address) {
        (V4(net_address), V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(net.prefix)).unwrap_or(0);
            u32::from(net_address) & mask == u32::from(address) & mask
        }
        (V6(net_address), V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(net.prefix)).unwrap_or(0);
            u128::from(net_address) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_subnet_or_not() {
        for (net, address, is_in) in [
            ("10.0.0.0/24", "10.0.0.5", true),
            ("10.0.0.0/24", "10.0.1.5", false),
            ("10.0.0.0/0", "192.0.2.1", true),
            ("10.0.0.7/32", "10.0.0.7", true),
            ("fd00::/64", "fd00::5", true),
            ("fd00::/64", "fd01::5", false),
            ("::/0", "fd01::5", true),
            ("10.0.0.0/24", "fd00::5", false),
        ] {
            assert_eq!(
                contains(net.parse().unwrap(), address.parse().unwrap()),
                is_in,
                "{net} {address}"
            );
        }
    }
}
