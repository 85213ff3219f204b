use super::*;
use crate::model::doctor::only;

const CONF: &str = "/etc/cni/net.d/10-vfs.conf";

fn link(what: PluginKind) -> Plugin {
    Plugin { path: "/opt/cni/bin/sriov".to_owned(), what, is_link: true }
}

/// A runtime with this program as its plugin, and one network.
fn cni(network: &str) -> Cni {
    Cni {
        dirs: vec!["/opt/cni/bin".to_owned()],
        is_used: true,
        plugin: Some(link(PluginKind::This)),
        programs: vec!["host-local".to_owned(), "dhcp".to_owned()],
        elsewhere: vec!["/usr/lib/cni/static".to_owned()],
        configs: if network.is_empty() { Vec::new() } else { vec![Config::read(CONF, network)] },
        has_dhcp_daemon: false,
    }
}

fn said(cni: Cni) -> Vec<Finding> {
    let found = judge(&Inventory::default(), &Facts { cni, ..Facts::default() });
    found.into_iter().filter(|finding| finding.severity > Severity::Ok).collect()
}

#[track_caller]
fn one(found: &[Finding], id: Id, severity: Severity, subject: &str, fix: &str) {
    assert_eq!(only(found, id, severity, fix).subject, subject);
}

#[test]
fn where_no_runtime_is_nothing_is_asked_for() {
    let found = judge(&Inventory::default(), &Facts::default());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].severity), (Id::CniReady, Severity::Ok));
    assert_eq!(said(cni("")), []);
}

#[test]
fn the_plugin_is_this_program_or_it_says_which() {
    let network = r#"{"type": "sriov", "dpdk": {}, "pool": ["no such"]}"#;
    let plugin = |plugin: Option<Plugin>, network: &str| {
        let mut found = said(Cni { plugin, ..cni(network) });
        found.retain(|finding| finding.id != Id::CniConfigUnknownDevice);
        found
    };
    let (error, note) = (Severity::Error, Severity::Note);
    let at = "/opt/cni/bin/sriov";
    let install = "sriovctl cni --install";
    one(&plugin(None, network), Id::CniLinkMissing, error, "/opt/cni/bin", install);
    one(&plugin(None, ""), Id::CniLinkMissing, note, "/opt/cni/bin", install);
    let other = |what| plugin(Some(link(what)), network);
    one(&other(PluginKind::Broken), Id::CniLinkBroken, error, at, install);
    one(&other(PluginKind::OtherCopy), Id::CniOtherCopy, note, at, install);
    one(&other(PluginKind::NotExecutable), Id::CniNotExecutable, error, at, "chmod 0755");
    let file = Plugin { is_link: false, ..link(PluginKind::Other(Some("somebody"))) };
    let found = plugin(Some(file), network);
    let aside = "mv /opt/cni/bin/sriov /opt/cni/bin/sriov.old && sriovctl cni --install";
    one(&found, Id::CniOtherProgram, note, at, aside);
    assert!(found[0].text.contains("somebody's"));
    let elsewhere = Cni { plugin: None, dirs: vec!["/usr/libexec/cni".to_owned()], ..cni("") };
    let found = said(elsewhere);
    one(&found, Id::CniLinkMissing, note, "/usr/libexec/cni", "--install /usr/libexec/cni");
}

#[test]
fn ipam_plugins_of_configurations_must_be_there() {
    let of = |kind: &str| {
        let network =
            format!(r#"{{"type": "sriov", "pool": ["x"], "ipam": {{"type": "{kind}"}}}}"#);
        let mut found = said(cni(&network));
        found.retain(|finding| finding.id != Id::CniConfigUnknownDevice);
        found
    };
    let (id, error) = (Id::IpamMissing, Severity::Error);
    assert_eq!(of("host-local"), []);
    assert_eq!(of("fixipam"), []);
    one(&of("static"), id, error, CONF, "ln -s /usr/lib/cni/static /opt/cni/bin/");
    one(&of("whereabouts"), id, error, CONF, "k8snetworkplumbingwg/whereabouts");
    one(&of("host-locl"), id, error, CONF, "did you mean host-local?");
    one(&of("nothing-like-it"), id, error, CONF, "name another");
    one(&of("dhcp"), Id::DhcpDaemonMissing, Severity::Warning, CONF, "/opt/cni/bin/dhcp daemon &");
}

#[test]
fn configurations_must_be_such_and_name_what_is_there() {
    let (error, warning) = (Severity::Error, Severity::Warning);
    one(&said(cni(r#"{"type": "sriov","#)), Id::CniConfigBroken, error, CONF, "json.tool");
    one(&said(cni(r#"{"type": "bridge","#)), Id::CniConfigBroken, warning, CONF, "json.tool");
    let unknown = said(cni(r#"{"type": "sriov", "master": "eth7"}"#));
    one(&unknown, Id::CniConfigUnknownDevice, error, CONF, "list-pfs");
    assert!(unknown[0].text.contains("eth7"), "{}", unknown[0].text);
    one(&said(cni(r#"{"type": "sriov"}"#)), Id::CniConfigNoDevice, Severity::Note, CONF, "pool");
}
