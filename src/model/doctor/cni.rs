//! What a container runtime finds when it starts a container with a VF.

use super::cni_config::{Config, Network};
use super::facts::{Cni, Facts, Plugin, PluginKind};
use super::{Finding, Id, Severity, count};
use crate::model::inventory::Inventory;
use crate::model::selector::{SelectError, Selector, nearest};
use crate::model::text::shell_word;

/// The plugins for addresses of the CNI project, and the one that clusters add.
const KNOWN_IPAM: [&str; 4] = ["host-local", "dhcp", "static", "whereabouts"];

/// All that there is to say.
pub fn judge(inventory: &Inventory, facts: &Facts) -> Vec<Finding> {
    let cni = &facts.cni;
    let mut found = Vec::new();
    if !cni.is_used && cni.plugin.is_none() {
        let text = "no container runtime uses CNI here";
        return vec![Finding::new(Id::CniReady, Severity::Ok, "CNI", text)];
    }
    let networks: Vec<(&Config, &Network)> = cni
        .configs
        .iter()
        .flat_map(|config| config.networks.iter().flatten().map(move |network| (config, network)))
        .collect();
    found.push(plugin(cni, !networks.is_empty()));
    for config in &cni.configs {
        found.extend(broken(config));
    }
    for (config, network) in &networks {
        found.extend(ipam(config, network, cni));
        found.extend(devices(config, network, inventory));
    }
    let networks = count(networks.len(), "network", "networks");
    let at = cni.plugin.as_ref().map_or("no plugin sriov", |plugin| &plugin.path);
    let text = format!("{at}, {networks} of type sriov");
    found.push(Finding::new(Id::CniReady, Severity::Ok, "CNI", text));
    found
}

/// The command that makes the links, in the first directory where the runtime looks.
fn install(dir: &str) -> String {
    match dir {
        "/opt/cni/bin" => "sriovctl cni --install".to_owned(),
        dir => format!("sriovctl cni --install {}", shell_word(dir)),
    }
}

fn plugin(cni: &Cni, is_wanted: bool) -> Finding {
    let dir = cni.dirs.first().map_or("/opt/cni/bin", String::as_str);
    let Some(Plugin { path, what, is_link }) = &cni.plugin else {
        let (severity, text) = if is_wanted {
            (Severity::Error, "there is no plugin sriov, which a configuration names")
        } else {
            (Severity::Note, "there is no plugin sriov")
        };
        return Finding::new(Id::CniLinkMissing, severity, dir, text).run(install(dir));
    };
    let at = path.rsplit_once('/').map_or(dir, |(dir, _)| dir);
    let quoted = shell_word(path);
    // The links are made over links only: what is a file may be another's.
    let anew =
        if *is_link { install(at) } else { format!("mv {quoted} {quoted}.old && {}", install(at)) };
    let finding = |id, severity, text: &str| Finding::new(id, severity, path, text);
    match what {
        PluginKind::This => finding(Id::CniLinkReady, Severity::Ok, "it is this program"),
        PluginKind::OtherCopy => finding(
            Id::CniOtherCopy,
            Severity::Note,
            "it is another copy of sriovctl than this one",
        )
        .run(anew),
        PluginKind::Broken => {
            finding(Id::CniLinkBroken, Severity::Error, "it is a link that leads nowhere").run(anew)
        }
        PluginKind::NotExecutable => {
            finding(Id::CniNotExecutable, Severity::Error, "it may not be executed")
                .run(format!("chmod 0755 {quoted}"))
        }
        PluginKind::Other(whose) => {
            // What these keep is read (`model::neighbour`).
            let text = whose.map_or("it is another program".to_owned(), |whose| {
                format!("it is {whose}'s; its pods can be taken over as they are")
            });
            finding(Id::CniOtherProgram, Severity::Note, &text).run(anew)
        }
    }
}

fn broken(config: &Config) -> Option<Finding> {
    let why = config.networks.as_ref().err()?;
    let severity = if config.is_ours { Severity::Error } else { Severity::Warning };
    let finding = Finding::new(
        Id::CniConfigBroken,
        severity,
        &config.path,
        format!("is no configuration: {why}"),
    );
    Some(finding.run(format!("python3 -m json.tool {}", shell_word(&config.path))))
}

fn ipam(config: &Config, network: &Network, cni: &Cni) -> Option<Finding> {
    let kind = network.ipam.as_deref()?;
    let subject = &config.path;
    let is_there = |name: &str| cni.programs.iter().any(|program| program == name);
    // This one is built in.
    if is_there(kind) || kind == "fixipam" {
        if kind == "dhcp" && !cni.has_dhcp_daemon {
            let text = "asks for addresses by DHCP, and the daemon of that plugin does not run";
            let dir = cni.dirs.first().map_or("/opt/cni/bin", String::as_str);
            let start = format!("{} daemon &", shell_word(&format!("{dir}/dhcp")));
            return Some(
                Finding::new(Id::DhcpDaemonMissing, Severity::Warning, subject, text).run(start),
            );
        }
        let text = format!("its IPAM plugin {kind} is there");
        return Some(Finding::new(Id::IpamReady, Severity::Ok, subject, text));
    }
    let text = format!("names the IPAM plugin {kind}, which is not in {}", cni.dirs.join(" or "));
    let finding = Finding::new(Id::IpamMissing, Severity::Error, subject, text);
    let ends = |path: &&String| path.rsplit('/').next() == Some(kind);
    if let (Some(path), Some(dir)) = (cni.elsewhere.iter().find(ends), cni.dirs.first()) {
        return Some(finding.run(format!("ln -s {} {}/", shell_word(path), shell_word(dir))));
    }
    let names = cni.programs.iter().map(String::as_str).chain(KNOWN_IPAM);
    Some(match (kind, nearest(kind, names)) {
        ("whereabouts", _) => {
            finding.advise("install it: github.com/k8snetworkplumbingwg/whereabouts")
        }
        (kind, _) if KNOWN_IPAM.contains(&kind) => {
            finding.advise("install the package containernetworking-plugins")
        }
        (_, Some(near)) => finding.advise(format!("did you mean {near}?")),
        _ => finding.advise("install that plugin, or name another"),
    })
}

fn devices(config: &Config, network: &Network, inventory: &Inventory) -> Vec<Finding> {
    if network.devices.is_empty() {
        let text = "names no VF and nothing to take one from: it works only through Multus with a device plugin";
        let next = "add \"pool\": [\"PF\"] where there is none";
        return vec![
            Finding::new(Id::CniConfigNoDevice, Severity::Note, &config.path, text).advise(next),
        ];
    }
    let unknown = |name: &String| {
        let selector: Result<Selector, String> = name.parse();
        // Where there are fewer VFs than named the plugin takes what there is; where there is no such
        // device every ADD fails.
        let why = match selector.map(|selector| selector.vfs(inventory).map(|_| ())) {
            Ok(Ok(()) | Err(SelectError::NoSuchVf { .. })) => {
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(why) => why,
        };
        let text = format!("no ADD can succeed: {why}");
        let finding = Finding::new(Id::CniConfigUnknownDevice, Severity::Error, &config.path, text);
        Some(finding.run("sriovctl list-pfs"))
    };
    network.devices.iter().filter_map(unknown).collect()
}

#[cfg(test)]
#[path = "cni_tests.rs"]
mod tests;
