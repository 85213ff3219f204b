//! Files of other programs that change VFs: where they are.

use std::collections::HashSet;

use super::{Look, name_of};
use crate::model::doctor::traces::{self, Kind, Trace};
use crate::order;

/// Directories of one kind, those that count first before the others: a file hides one of the same
/// name in a later one. The ends of names that count; none: all do.
type Places = (Kind, &'static [&'static str], &'static [&'static str]);

const DIRS: [Places; 9] = [
    (
        Kind::Systemd,
        &[
            "/etc/systemd/network",
            "/run/systemd/network",
            "/usr/local/lib/systemd/network",
            "/usr/lib/systemd/network",
            "/lib/systemd/network",
        ],
        &[".link", ".network"],
    ),
    (
        Kind::Connection,
        &[
            "/etc/NetworkManager/system-connections",
            "/run/NetworkManager/system-connections",
            "/usr/lib/NetworkManager/system-connections",
        ],
        &[],
    ),
    (
        Kind::ManagerConf,
        &[
            "/etc/NetworkManager/conf.d",
            "/run/NetworkManager/conf.d",
            "/usr/lib/NetworkManager/conf.d",
        ],
        &[".conf"],
    ),
    (
        Kind::Netplan,
        &["/etc/netplan", "/run/netplan", "/usr/lib/netplan", "/lib/netplan"],
        &[".yaml"],
    ),
    (Kind::Driverctl, &["/etc/driverctl.d"], &[]),
    (Kind::Operator, &["/etc/sriov-operator/pci"], &[]),
    (Kind::Libvirt, &["/etc/libvirt/qemu/networks"], &[".xml"]),
    (
        Kind::Udev,
        &[
            "/etc/udev/rules.d",
            "/run/udev/rules.d",
            "/usr/local/lib/udev/rules.d",
            "/usr/lib/udev/rules.d",
            "/lib/udev/rules.d",
        ],
        &[".rules"],
    ),
    (
        Kind::ModuleOption,
        &[
            "/etc/modprobe.d",
            "/run/modprobe.d",
            "/usr/local/lib/modprobe.d",
            "/usr/lib/modprobe.d",
            "/lib/modprobe.d",
        ],
        &[".conf"],
    ),
];

/// What is run, or read, at boot.
const BOOT_FILES: [&str; 5] = [
    "/etc/rc.local",
    "/etc/rc.d/rc.local",
    "/etc/network/interfaces",
    "/etc/crontab",
    "/etc/sysfs.conf",
];
const BOOT_DIRS: [&str; 10] = [
    "/etc/network/interfaces.d",
    "/etc/network/if-pre-up.d",
    "/etc/network/if-up.d",
    "/etc/NetworkManager/dispatcher.d",
    "/etc/networkd-dispatcher/routable.d",
    "/etc/cron.d",
    "/etc/local.d",
    "/etc/sysfs.d",
    "/etc/tmpfiles.d",
    "/var/spool/cron/crontabs",
];

/// Where units are, the first that has one counts.
const UNITS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

impl Look<'_> {
    pub(super) fn traces(&mut self) -> Vec<Trace> {
        let mut found = Vec::new();
        for (kind, dirs, ends) in DIRS {
            let mut seen = HashSet::new();
            let paths: Vec<String> = dirs.iter().flat_map(|dir| self.paths(dir)).collect();
            for path in paths {
                let name = name_of(&path).to_owned();
                // Rules that this program writes are about drivers.
                let is_ours = name.starts_with("70-sriovctl-");
                let has_end = ends.is_empty() || ends.iter().any(|end| name.ends_with(end));
                if has_end && !is_ours && seen.insert(name) {
                    found.extend(self.trace(kind, &path));
                }
            }
        }
        found.extend(self.trace(Kind::ManagerConf, "/etc/NetworkManager/NetworkManager.conf"));
        let scripts: Vec<String> = BOOT_DIRS.iter().flat_map(|dir| self.paths(dir)).collect();
        for path in BOOT_FILES.iter().map(|path| (*path).to_owned()).chain(scripts) {
            found.extend(self.trace(Kind::BootScript, &path));
        }
        for unit in self.enabled() {
            found.extend(self.unit(&unit));
        }
        found
    }

    fn trace(&mut self, kind: Kind, path: &str) -> Option<Trace> {
        let text = self.text(path)?;
        traces::read(kind, path, &text)
    }

    /// Names of services that start by themselves: those that another unit wants.
    fn enabled(&mut self) -> Vec<String> {
        let wants = self.paths("/etc/systemd/system").into_iter();
        let is_list = |path: &String| {
            path.rsplit_once('.').is_some_and(|(_, end)| ["wants", "requires"].contains(&end))
        };
        let wants = wants.filter(is_list);
        let units: Vec<String> = wants.flat_map(|dir| self.paths(&dir)).collect();
        let mut names: Vec<String> = units.iter().map(|path| name_of(path).to_owned()).collect();
        names.retain(|name| name.ends_with(".service"));
        order::sort(&mut names);
        names.dedup();
        names
    }

    /// A service, or the first script it starts, that writes the number of VFs.
    fn unit(&mut self, name: &str) -> Option<Trace> {
        // A template's instance has the template's file.
        let file = match (name.split_once('@'), name.rsplit_once('.')) {
            (Some((template, _)), Some((_, end))) => format!("{template}@.{end}"),
            _ => name.to_owned(),
        };
        let paths = UNITS.iter().map(|dir| format!("{dir}/{file}"));
        let path = paths.into_iter().find(|path| self.exists(path))?;
        let text = self.text(&path)?;
        if name.starts_with("sriov-config") {
            return traces::read(Kind::Operator, &path, &text);
        }
        let own = traces::read(Kind::Unit, &path, &text);
        let started = || {
            let scripts = traces::scripts(&text).into_iter();
            scripts.into_iter().find_map(|script| {
                let text = self.text(&script)?;
                traces::read(Kind::Unit, &script, &text)
            })
        };
        let trace = own.or_else(started)?;
        Some(Trace { key: Some(name.to_owned()), ..trace })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::doctor::Area;

    #[test]
    fn files_hide_others_of_their_name_and_only_enabled_units_count() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let link = "[Link]\nSR-IOVVirtualFunctions=4\n";
        write("usr/lib/systemd/network/10.link", link);
        write("usr/lib/systemd/network/20.link", link);
        write("usr/lib/systemd/network/README", link);
        write("etc/systemd/network/20.link", "[Link]\n");
        write("etc/udev/rules.d/70-sriovctl-x.rules", "ATTR{sriov_numvfs}=\"4\"");
        write("etc/rc.local", "echo 4 > /sys/class/net/eth0/device/sriov_numvfs\n");
        let unit = "[Service]\nExecStart=/usr/local/bin/vfs.sh\n";
        for name in ["on", "off"] {
            write(&format!("etc/systemd/system/{name}.service"), unit);
        }
        write("etc/systemd/system/multi-user.target.wants/on.service", "");
        write(
            "usr/lib/systemd/system/port@.service",
            "[Service]\nExecStart=sh -c 'echo %i > x/sriov_numvfs'\n",
        );
        write("etc/systemd/system/multi-user.target.wants/port@eth0.service", "");
        write(
            "usr/local/bin/vfs.sh",
            "#!/bin/sh\necho 4 > /sys/class/net/eth0/device/sriov_numvfs\n",
        );
        let mut look = Look { root: root.path(), area: Area::Conflicts, unseen: Vec::new() };
        let traces = look.traces();
        let found: Vec<(&str, Option<&str>)> =
            traces.iter().map(|trace| (trace.path.as_str(), trace.key.as_deref())).collect();
        assert_eq!(
            found,
            [
                ("/usr/lib/systemd/network/10.link", None),
                ("/etc/rc.local", None),
                ("/usr/local/bin/vfs.sh", Some("on.service")),
                ("/usr/lib/systemd/system/port@.service", Some("port@eth0.service")),
            ]
        );
    }
}
