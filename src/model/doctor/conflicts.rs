//! Other programs that change VFs: what each will do, and how to keep it from that.

use super::facts::{Facts, comment_out};
use super::traces::{Kind, Trace};
use super::{Finding, Fix, Id, Severity};
use crate::model::inventory::{Inventory, Pf};
use crate::model::text::shell_word;

/// All that there is to say of the PFs that are asked about.
pub fn judge(pfs: &[&Pf], inventory: &Inventory, facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = facts
        .traces
        .iter()
        .filter(|trace| !is_of_others(trace, pfs, inventory))
        .map(finding)
        .collect();
    if found.is_empty() {
        let text = "nothing was found that changes VFs by itself";
        found.push(Finding::new(Id::NoConflicts, Severity::Ok, "conflicts", text));
    }
    found
}

/// Whether it names PFs of this host, and none of those asked about.
fn is_of_others(trace: &Trace, pfs: &[&Pf], inventory: &Inventory) -> bool {
    let is_named = |pf: &Pf| {
        let says = |name: &String| {
            pf.is_called(name)
                || pf.facts.device.name() == name
                || name.strip_prefix("pci-").is_some_and(|name| name == pf.facts.device.name())
                || pf
                    .vfs
                    .iter()
                    .any(|vf| vf.facts.device.as_ref().is_some_and(|d| d.name() == name))
        };
        trace.names.iter().any(says)
    };
    inventory.pfs.iter().any(is_named) && !pfs.iter().any(|pf| is_named(pf))
}

fn finding(trace: &Trace) -> Finding {
    let Trace { path, value, .. } = trace;
    let whose = match trace.names.as_slice() {
        [] => "VFs".to_owned(),
        names => format!("the VFs of {}", names.join(", ")),
    };
    let count = value.as_ref().map(|value| format!(" to {value}")).unwrap_or_default();
    let key = trace.key.as_deref().unwrap_or(path);
    let comment = |dir| Fix::Run(comment_out(path, &trace.lines, dir));
    let line = trace.lines.first().copied().unwrap_or(1);
    let (id, text, fix) = match trace.kind {
        Kind::Systemd => (
            Id::ConflictSystemd,
            format!("systemd sets {whose}{count} whenever the interface appears"),
            comment(Some("/etc/systemd/network")),
        ),
        Kind::Connection => (
            Id::ConflictNetworkManager,
            format!("NetworkManager sets {whose}{count} with this connection, and destroys them when it goes down"),
            Fix::Run(format!("nmcli connection modify {} remove sriov", shell_word(key))),
        ),
        Kind::ManagerConf => (
            Id::ConflictNetworkManager,
            format!("NetworkManager sets {whose}{count} when it starts"),
            comment(Some("/etc/NetworkManager/conf.d")),
        ),
        Kind::Netplan => (
            Id::ConflictNetplan,
            format!("netplan sets {whose}{count} at boot and at every netplan apply"),
            comment(Some("/etc/netplan")),
        ),
        Kind::Driverctl => (
            Id::ConflictDriverctl,
            format!(
                "driverctl gives {} to {} whenever it appears",
                trace.names.first().unwrap_or(path),
                value.as_deref().unwrap_or("a driver")
            ),
            Fix::Run(match trace.names.first() {
                Some(device) => format!("driverctl --noprobe unset-override {}", shell_word(device)),
                None => format!("rm {}", shell_word(path)),
            }),
        ),
        Kind::Operator => (
            Id::ConflictOperator,
            "sriov-network-operator sets VFs to what its policies say, at boot and whenever they differ"
                .to_owned(),
            Fix::Do("put externallyManaged: true into its policy, or take the node out of that".to_owned()),
        ),
        Kind::Libvirt => (
            Id::ConflictLibvirt,
            format!("libvirt gives {whose} to guests of its network {key}"),
            Fix::Run(format!("virsh net-edit {}", shell_word(key))),
        ),
        Kind::Udev => (
            Id::ConflictUdev,
            format!("a udev rule (line {line}) sets {whose} whenever the device appears"),
            comment(Some("/etc/udev/rules.d")),
        ),
        Kind::Unit => (
            Id::ConflictUnit,
            format!("{key} (line {line}) sets {whose} at boot"),
            Fix::Run(format!("systemctl disable {}", shell_word(key))),
        ),
        Kind::BootScript => (
            Id::ConflictBootScript,
            format!("line {line} sets {whose} at boot"),
            if is_table(path) { comment(None) } else { Fix::Do(take_out(&trace.lines)) },
        ),
        Kind::ModuleOption => (
            Id::ConflictModuleOption,
            format!("creates VFs ({}) when {} is loaded", value.as_deref().unwrap_or("some"), trace.names.join(", ")),
            comment(Some("/etc/modprobe.d")),
        ),
    };
    // These two leave the number of VFs alone, and may well be meant so.
    let severity = match trace.kind {
        Kind::Driverctl | Kind::Libvirt => Severity::Note,
        _ => Severity::Warning,
    };
    Finding::new(id, severity, path, text).fix(fix)
}

/// Whether each line stands for itself, unlike those of a script.
fn is_table(path: &str) -> bool {
    ["/etc/sysfs.", "/etc/tmpfiles.d/", "/etc/network/interfaces", "/etc/cron", "/var/spool/cron/"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// What to do to a script: a line less may leave an `if` or a loop empty, which is a syntax error.
fn take_out(lines: &[usize]) -> String {
    let numbers: Vec<String> = lines.iter().map(usize::to_string).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    format!(
        "remove what writes sriov_numvfs ({word} {}); an if or a loop that is left empty needs a colon there",
        numbers.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::traces::read;
    use super::*;

    #[test]
    fn each_is_named_with_its_file_and_what_to_type() {
        let etc = "/etc/systemd/network/10.link";
        for (kind, path, text, id, said, fix) in [
            (
                Kind::Systemd,
                etc,
                "[Match]\nOriginalName=eth0\n[Link]\nSR-IOVVirtualFunctions=4\n",
                Id::ConflictSystemd,
                "VFs of eth0 to 4",
                "sed -i '4s/^/# /' /etc/systemd/network/10.link",
            ),
            (
                Kind::Connection,
                "/etc/x.nmconnection",
                "[connection]\nid=my uplink\n[sriov]\ntotal-vfs=2\n",
                Id::ConflictNetworkManager,
                "sets VFs to 2",
                "nmcli connection modify 'my uplink' remove sriov",
            ),
            (
                Kind::ManagerConf,
                "/etc/x.conf",
                "[device]\nsriov-num-vfs=2\n",
                Id::ConflictNetworkManager,
                "when it starts",
                "sed -i '2s/^/# /' /etc/x.conf",
            ),
            (
                Kind::Netplan,
                "/etc/netplan/a.yaml",
                "eth0:\n  virtual-function-count: 8\n",
                Id::ConflictNetplan,
                "VFs of eth0 to 8",
                "sed -i '2s/^/# /' /etc/netplan/a.yaml",
            ),
            (
                Kind::Driverctl,
                "/etc/driverctl.d/pci-0000:01:10.0",
                "vfio-pci\n",
                Id::ConflictDriverctl,
                "0000:01:10.0 to vfio-pci",
                "driverctl --noprobe unset-override 0000:01:10.0",
            ),
            (
                Kind::Operator,
                "/etc/sriov-operator/pci/0000:01:00.0",
                "",
                Id::ConflictOperator,
                "policies",
                "externallyManaged",
            ),
            (
                Kind::Libvirt,
                "/etc/libvirt/qemu/networks/v.xml",
                "<name>v</name><forward mode='hostdev'><pf dev='eth0'/>",
                Id::ConflictLibvirt,
                "VFs of eth0 to guests of its network v",
                "virsh net-edit v",
            ),
            (
                Kind::Udev,
                "/lib/udev/rules.d/9.rules",
                "ATTR{sriov_numvfs}=\"4\"",
                Id::ConflictUdev,
                "udev rule (line 1)",
                "sed '1s/^/# /' /lib/udev/rules.d/9.rules > /etc/udev/rules.d/9.rules",
            ),
            (
                Kind::BootScript,
                "/etc/rc.local",
                "\necho 4 > /sys/class/net/eth0/device/sriov_numvfs",
                Id::ConflictBootScript,
                "line 2 sets the VFs of eth0 at boot",
                "remove what writes sriov_numvfs (line 2);",
            ),
            (
                Kind::ModuleOption,
                "/etc/modprobe.d/igb.conf",
                "options igb max_vfs=7",
                Id::ConflictModuleOption,
                "creates VFs (7) when igb is loaded",
                "sed -i '1s/^/# /' /etc/modprobe.d/igb.conf",
            ),
        ] {
            let found = finding(&read(kind, path, text).unwrap());
            assert_eq!((found.id, found.subject.as_str()), (id, path));
            assert!(found.text.contains(said), "{}", found.text);
            let Some(Fix::Run(command) | Fix::Do(command)) = &found.fix else {
                panic!("{found:?}")
            };
            assert!(command.contains(fix), "{command}");
        }
        let mut unit =
            read(Kind::Unit, "/etc/vfs.sh", "echo 4 > /sys/class/net/e/device/sriov_numvfs")
                .unwrap();
        unit.key = Some("vfs.service".to_owned());
        let found = finding(&unit);
        assert_eq!(found.text, "vfs.service (line 1) sets the VFs of e at boot");
        assert_eq!(found.fix, Some(Fix::Run("systemctl disable vfs.service".to_owned())));
    }

    #[test]
    fn only_lines_that_stand_for_themselves_are_commented_out() {
        let fix = |kind, path, text| finding(&read(kind, path, text).unwrap()).fix.unwrap();
        let script = "if true; then\necho 4 > /sys/class/net/e/device/sriov_numvfs\nfi\n";
        assert!(matches!(fix(Kind::BootScript, "/etc/rc.local", script), Fix::Do(_)));
        let table = "class/net/eth0/device/sriov_numvfs = 4";
        let command = "sed -i '1s/^/# /' /etc/sysfs.d/a.conf".to_owned();
        assert_eq!(fix(Kind::BootScript, "/etc/sysfs.d/a.conf", table), Fix::Run(command));
        let rule = "KERNEL==\"eth0\", \\\n ATTR{device/sriov_numvfs}=\"4\"";
        let command = "sed -i '1s/^/# /; 2s/^/# /' /etc/udev/rules.d/9.rules".to_owned();
        assert_eq!(fix(Kind::Udev, "/etc/udev/rules.d/9.rules", rule), Fix::Run(command));
    }
}
