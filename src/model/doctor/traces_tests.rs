use super::*;

/// Lines, value, names and key of what a file does; `None`: nothing.
type Said<'a> = Option<(&'a [usize], Option<&'a str>, &'a [&'a str], Option<&'a str>)>;

#[track_caller]
fn check(kind: Kind, path: &str, text: &str, expected: Said<'_>) {
    let read = read(kind, path, text);
    let names: Vec<&str> = read.iter().flat_map(|trace| &trace.names).map(String::as_str).collect();
    let said = read.as_ref().map(|trace| {
        (trace.lines.as_slice(), trace.value.as_deref(), names.as_slice(), trace.key.as_deref())
    });
    assert_eq!(said, expected, "{text}");
}

#[test]
fn link_files_of_systemd() {
    let text = "[Match]\nOriginalName=eth0 eth1\n\n[Link]\nName=lan0\n# SR-IOVVirtualFunctions=9\nSR-IOVVirtualFunctions=4\n\n[SR-IOV]\nVirtualFunction=0\nTrust=yes\n";
    let said = (&[7, 9, 10, 11][..], Some("4"), &["eth0", "eth1"][..], None);
    check(Kind::Systemd, "/etc/systemd/network/10.link", text, Some(said));
    check(Kind::Systemd, "x.link", "[Match]\nName=eth0\n[Link]\nName=lan0\n", None);
    check(Kind::Systemd, "x.link", "[Match]\nName=eth0\n#[SR-IOV]\n", None);
}

#[test]
fn connections_of_network_manager() {
    let text = "[connection]\nid=uplink\ninterface-name=eth0\n\n[sriov]\nautoprobe-drivers=1\ntotal-vfs=4\n";
    let said = (&[5, 6, 7][..], Some("4"), &["eth0"][..], Some("uplink"));
    check(Kind::Connection, "uplink.nmconnection", text, Some(said));
    check(Kind::Connection, "x.nmconnection", "[connection]\nid=x\n", None);
    let conf = "[device-eth0]\nmatch-device=interface-name:eth0\nsriov-num-vfs=4\n";
    check(Kind::ManagerConf, "x.conf", conf, Some((&[3], Some("4"), &[], None)));
}

#[test]
fn netplans_yaml() {
    let text = "network:\n  ethernets:\n    \"eth0\":\n      # many\n      dhcp4: false\n      virtual-function-count: 8 # all\n    eth1:\n      dhcp4: true\n";
    check(Kind::Netplan, "a.yaml", text, Some((&[6], Some("8"), &["eth0"], None)));
    check(Kind::Netplan, "a.yaml", "network:\n  # virtual-function-count: 8\n", None);
}

#[test]
fn networks_of_libvirt() {
    let text = "<network>\n  <name>vfs</name>\n  <forward mode='hostdev' managed='yes'>\n    <pf dev='eth0'/>\n  </forward>\n</network>\n";
    check(Kind::Libvirt, "vfs.xml", text, Some((&[], None, &["eth0"], Some("vfs"))));
    check(
        Kind::Libvirt,
        "nat.xml",
        "<network><name>x</name><forward mode=\"nat\"/></network>",
        None,
    );
}

#[test]
fn rules_units_and_scripts() {
    let rule =
        "# sriov_numvfs\nACTION==\"add\", KERNEL==\"eth0\", ATTR{device/sriov_numvfs}=\"4\"\n";
    check(Kind::Udev, "x.rules", rule, Some((&[2], None, &["eth0"], None)));
    let only_looks = "ATTR{device/sriov_numvfs}==\"0\", ENV{ID_PF}=\"1\"\nATTR{sriov_numvfs}!=\"0\", RUN+=\"/bin/x\"\n";
    check(Kind::Udev, "x.rules", only_looks, None);
    let unit =
        "[Service]\nExecStart=/bin/sh -c 'echo 4 > /sys/class/net/eth1/device/sriov_numvfs'\n";
    check(Kind::Unit, "x.service", unit, Some((&[2], None, &["eth1"], None)));
    let script = "#!/bin/sh\nfor f in /sys/class/net/*/device/sriov_numvfs; do\n  echo 2 > $f\ndone\necho 4 > /sys/bus/pci/devices/0000:01:00.0/sriov_numvfs\n";
    check(
        Kind::BootScript,
        "/etc/rc.local",
        script,
        Some((&[3, 5], None, &["0000:01:00.0"], None)),
    );
    check(Kind::BootScript, "/etc/rc.local", "cat /sys/class/net/eth0/device/sriov_numvfs\n", None);
    let unit = "[Unit]\nDescription=/opt/x\n[Service]\nExecStartPre=-/usr/local/bin/vfs.sh eth0\nExecStart=/bin/sh /opt/vfs/up\n";
    assert_eq!(scripts(unit), ["/usr/local/bin/vfs.sh", "/opt/vfs/up"]);
}

#[test]
fn only_what_writes_counts() {
    let at = "/sys/class/net/eth9/device/sriov_numvfs";
    for text in [
        format!("[ -e {at} ] || exit 0\nn=$(cat {at})\n"),
        format!("if [ \"$(cat {at} 2>/dev/null)\" = 4 ]; then\ntrue\nfi\n"),
        format!("cat {at} > /tmp/n; cat {at}\ncat {at} | tee /tmp/n\n"),
        format!("n=`cat {at}`\necho $n > /tmp/n\n"),
        format!("f={at}\ncat $f > /tmp/n\n"),
        format!("with open('{at}') as file:\n"),
    ] {
        check(Kind::BootScript, "/etc/rc.local", &text, None);
    }
    let eth9: &[&str] = &["eth9"];
    for (text, lines) in [
        (format!("if [ -e {at} ]; then\n  echo 4 > {at}\nfi\n"), &[2][..]),
        (format!("[ -e {at} ] && echo 4 >{at}\n"), &[1]),
        (format!("echo 4 | sudo tee {at} > /dev/null\n"), &[1]),
        (format!("echo 4 \\\n  > \"{at}\"\n"), &[1, 2]),
        (format!("f={at}\necho 0 > \"$f\"\necho 4 > ${{f}}\n"), &[2, 3]),
        (format!("with open('{at}', 'w') as file:\n"), &[1]),
        (format!("{} = 4\n", &at[5..]), &[1]),
        (format!("w {at} - - - - 4\n"), &[1]),
    ] {
        check(Kind::BootScript, "/etc/rc.local", &text, Some((lines, None, eth9, None)));
    }
}

#[test]
fn a_rule_is_all_its_lines() {
    let rule = "ACTION==\"add\", KERNEL==\"eth9\", \\\n# four\n  ATTR{device/sriov_numvfs}=\"4\"\n";
    check(Kind::Udev, "x.rules", rule, Some((&[1, 3], None, &["eth9"], None)));
    let run = "KERNEL==\"eth9\", RUN+=\"/bin/sh -c 'echo 4 > /sys/class/net/eth9/device/sriov_numvfs'\"\n";
    check(Kind::Udev, "x.rules", run, Some((&[1], None, &["eth9"], None)));
    let test = "TEST==\"device/sriov_numvfs\", ENV{N}=\"$attr{device/sriov_numvfs}\"\n";
    check(Kind::Udev, "x.rules", test, None);
}

#[test]
fn options_overrides_and_what_the_operator_left() {
    let text = "# options igb max_vfs=7\noptions igb max_vfs=7\noptions mlx4_core port=1 num_vfs=4,4,0\noptions ixgbe max_vfs=0\n";
    let said = (&[2, 3][..], Some("4,4,0"), &["igb", "mlx4_core"][..], None);
    check(Kind::ModuleOption, "x.conf", text, Some(said));
    check(Kind::ModuleOption, "x.conf", "options igb InterruptThrottleRate=0\n", None);
    let said = (&[][..], Some("vfio-pci"), &["0000:01:10.0"][..], None);
    check(Kind::Driverctl, "/etc/driverctl.d/pci-0000:01:10.0", "vfio-pci\n", Some(said));
    let said = (&[][..], None, &["0000:01:00.0"][..], None);
    check(Kind::Operator, "/etc/sriov-operator/pci/0000:01:00.0", "{}", Some(said));
}
