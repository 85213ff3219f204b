//! Network configurations of a container runtime, as far as they name this plugin.

use serde_json::{Map, Value};

/// A file in `/etc/cni/net.d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it is.
    pub path: String,
    /// Its networks of type sriov, or why it is no configuration.
    pub networks: Result<Vec<Network>, String>,
    /// Whether the word sriov is in it, be it a configuration or not.
    pub is_ours: bool,
}

/// A network of type sriov.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The IPAM plugin that is asked.
    pub ipam: Option<String>,
    /// PFs and VFs that a VF is taken from.
    pub devices: Vec<String>,
}

impl Config {
    /// Reads one: a network, or a list of plugins (CNI specification, section 1).
    pub fn read(path: &str, text: &str) -> Self {
        let is_ours = text.contains("sriov");
        Self { path: path.to_owned(), networks: networks(path, text), is_ours }
    }
}

fn networks(path: &str, text: &str) -> Result<Vec<Network>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Value::Object(raw) = value else { return Err("it is no JSON object".to_owned()) };
    let plugins: Vec<&Map<String, Value>> = match raw.get("plugins") {
        None if path.ends_with(".conflist") => return Err("it has no list of plugins".to_owned()),
        None => vec![&raw],
        Some(Value::Array(plugins)) => plugins.iter().filter_map(Value::as_object).collect(),
        Some(_) => return Err("plugins is no list".to_owned()),
    };
    if plugins.iter().any(|plugin| !plugin.get("type").is_some_and(Value::is_string)) {
        return Err("a plugin has no type".to_owned());
    }
    Ok(plugins.into_iter().filter(|plugin| plugin["type"] == "sriov").map(network).collect())
}

fn network(plugin: &Map<String, Value>) -> Network {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    // Where no addresses are asked for, the IPAM plugin is not called (Intel's and xftony's keys).
    let is_without = plugin.get("l2enable") == Some(&Value::Bool(true))
        || plugin.get("dpdk").is_some_and(|dpdk| !dpdk.is_null());
    let ipam = plugin.get("ipam").and_then(|ipam| ipam.get("type")).and_then(text);
    let one =
        ["deviceID", "master", "if0"].iter().filter_map(|key| plugin.get(*key).and_then(text));
    let pool = plugin.get("pool").and_then(Value::as_array);
    let pool = pool.into_iter().flatten().filter_map(text);
    Network { ipam: ipam.filter(|_| !is_without), devices: one.chain(pool).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> Result<Vec<Network>, String> {
        Config::read(path, text).networks
    }

    #[test]
    fn only_networks_of_this_plugin_count() {
        let list = r#"{"cniVersion": "1.0.0", "name": "x", "plugins": [
            {"type": "bridge", "ipam": {"type": "dhcp"}},
            {"type": "sriov", "pool": ["eth0", "eth1#0-3"], "ipam": {"type": "host-local"}},
            {"type": "sriov", "master": "eth0", "l2enable": true, "ipam": {"type": "static"}},
            {"type": "sriov", "deviceID": "", "dpdk": {"dpdk_driver": "vfio-pci"}}]}"#;
        let network = |ipam: Option<&str>, devices: &[&str]| Network {
            ipam: ipam.map(str::to_owned),
            devices: devices.iter().map(|&device| device.to_owned()).collect(),
        };
        let all = [
            network(Some("host-local"), &["eth0", "eth1#0-3"]),
            network(None, &["eth0"]),
            network(None, &[]),
        ];
        assert_eq!(read("a.conflist", list).unwrap(), all);
        let one = r#"{"type": "sriov", "if0": "eth0", "ipam": {}}"#;
        assert_eq!(read("a.conf", one).unwrap(), [network(None, &["eth0"])]);
        assert_eq!(read("a.conf", r#"{"type": "ptp"}"#).unwrap(), []);
    }

    #[test]
    fn what_is_no_configuration_says_why() {
        for (path, text, why) in [
            ("a.conf", "{", "EOF while parsing"),
            ("a.conf", "[]", "no JSON object"),
            ("a.conf", "{}", "no type"),
            ("a.conflist", r#"{"type": "sriov"}"#, "no list of plugins"),
            ("a.conflist", r#"{"plugins": {}}"#, "plugins is no list"),
            ("a.conflist", r#"{"plugins": [{"type": 7}]}"#, "no type"),
        ] {
            let error = read(path, text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
