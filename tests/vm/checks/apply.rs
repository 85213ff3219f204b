//! `apply` and `export` on the real kernel: what a file says is so, the second time nothing is written,
//! and what a host is can be written down and applied without changing it.

use std::time::Duration;

use serde_json::Value;

use super::attach::{differences, records, state};
use super::netdevsim::simulate;
use crate::guest::{Done, KEPT, eventually, is_within, ok, sh, sriovctl};

/// Both cards: drivers, owners, settings of ranges and of one, and one without drivers.
const HOST: &str = "version: 1
pfs:
  - pf: '0000:01:00.0'
    mac: 52:54:00:aa:00:00
    up: on
    numvfs: 5
    vfs:
      - vfs: all
        vlan: 100
        qos: 3
        spoofchk: off
      - vfs: 0-1
        driver: vfio-pci
        owner: '4711:nogroup'
        mode: 0640
      - vfs: 3
        mac: 02:00:00:00:00:33
        vlan: 7
        trust: on
        mtu: 1400
        max_tx_rate: 500
  - pf: eth1
    autoprobe: off
    numvfs: 2
";

fn write(name: &str, text: &str) -> String {
    let path = format!("/tmp/{name}");
    std::fs::write(&path, text).unwrap();
    path
}

fn apply(text: &str, more: &[&str]) -> Done {
    let path = write("file.yaml", text);
    sriovctl(&[&["apply", &path], more].concat())
}

#[track_caller]
fn unchanged(before: &Value, what: &str) {
    let now = state();
    assert!(now == *before, "{what}: {}", differences(before, &now));
}

fn is_so() {
    let links: Value = serde_json::from_str(&ok("ip -d -j link show eth0")).unwrap();
    let vfs = links[0]["vfinfo_list"].as_array().unwrap();
    assert_eq!(vfs.len(), 5);
    for (nth, vf) in vfs.iter().enumerate() {
        let (vlan, qos) = if nth == 3 { (7, 0) } else { (100, 3) };
        let tag = &vf["vlan_list"][0];
        let qos_is = tag["qos"].as_u64().unwrap_or(0);
        assert_eq!((tag["vlan"].as_u64(), qos_is), (Some(vlan), qos), "VF {nth}: {vf}");
        assert_eq!(vf["spoofchk"], false, "VF {nth}");
        assert_eq!(vf["trust"], nth == 3, "VF {nth}");
    }
    assert_eq!(vfs[3]["address"], "02:00:00:00:00:33");
    assert_eq!(vfs[3]["rate"]["max_tx"], 500);
    let third = ok("ip link show $(ls /sys/class/net/eth0/device/virtfn3/net)");
    assert!(third.contains("mtu 1400") && third.contains("02:00:00:00:00:33"), "{third}");
    let drivers = ok(
        "for v in 0 1 2; do basename $(readlink /sys/class/net/eth0/device/virtfn$v/driver); done",
    );
    assert_eq!(drivers, "vfio-pci\nvfio-pci\nigbvf");
    assert_eq!(ok("stat -c '%u:%G %a' /dev/vfio/[0-9]* | uniq -c | xargs"), "2 4711:nogroup 640");
    assert_eq!(
        ok(
            "cat /sys/class/net/eth1/device/sriov_numvfs /sys/class/net/eth1/device/sriov_drivers_autoprobe"
        ),
        "2\n0"
    );
    assert_eq!(ok("ls -d /sys/class/net/eth1/device/virtfn*/driver 2>/dev/null | wc -l"), "0");
}

pub fn a_file_makes_a_host_and_the_second_time_nothing_is_written() {
    let before = state();
    let said = apply(HOST, &["--dry-run", "--diff"]).exits(0).out;
    for line in [
        "@@ eth0 @@",
        "-numvfs: 0",
        "+numvfs: 5",
        "@@ eth0#0-1 @@",
        "+driver: vfio-pci",
        "+autoprobe: off",
    ] {
        assert!(said.lines().any(|said| said == line), "no {line}: {said}");
    }
    assert!(said.contains("2 PFs: ") && said.contains("to make; nothing was changed"), "{said}");
    unchanged(&before, "a dry run");
    let done = apply(HOST, &["--json"]).exits(0).valid("apply").json();
    assert_eq!((&done["changed"], &done["failed"]), (&true.into(), &Value::Array(vec![])));
    is_so();
    sriovctl(&["inspect-state"]).exits(0);

    let made = state();
    let again =
        sh("strace -f -o /tmp/trace $S apply /tmp/file.yaml --json").exits(0).valid("apply");
    assert_eq!(again.json()["changed"], false, "{}", again.out);
    assert_eq!(again.json()["changes"], Value::Array(vec![]));
    unchanged(&made, "a second time");
    // No message that sets anything, and no file that is opened for writing, made, renamed or removed.
    let wrote = ok(
        "grep -E 'RTM_SETLINK|RTM_NEWLINK, nlmsg_flags=NLM_F_REQUEST|O_WRONLY|O_RDWR|O_CREAT|rename|unlink|mkdir' /tmp/trace | grep -vE '\"/dev/(tty|null)\"' | wc -l",
    );
    assert_eq!(wrote, "0", "{}", ok("grep -E 'O_WRONLY|O_RDWR|O_CREAT' /tmp/trace | cut -c1-200"));
    let text = sriovctl(&["apply", "/tmp/file.yaml"]).exits(0).out;
    assert_eq!(text, "2 PFs: as it says already; nothing was changed\n");

    // What drifted comes back, and nothing else is touched.
    ok("ip link set eth0 vf 4 vlan 9; ip link set eth0 vf 4 trust on");
    let text = sriovctl(&["apply", "/tmp/file.yaml"]).exits(0).out;
    assert!(text.starts_with("eth0#4  vlan  9 -> 100 qos 3\n2 PFs: 1 change\n"), "{text}");
    // Another number keeps what VFs are set to, and bindings.
    let text = apply(&HOST.replace("numvfs: 5", "numvfs: 6"), &["--force"]).exits(0).out;
    assert!(text.contains("eth0      numvfs    5 -> 6\n"), "{text}");
    // The nodes are new ones.
    assert!(text.contains("eth0#0-1  owner     0:0 0600 -> 4711:65534 0640\n"), "{text}");
    let to_kernel = HOST.replace("driver: vfio-pci", "driver: igbvf");
    let to_kernel = to_kernel.replace("        owner: '4711:nogroup'\n        mode: 0640\n", "");
    let to_kernel = to_kernel.replace("numvfs: 5", "numvfs: 6");
    let text = apply(&to_kernel, &[]).exits(0).out;
    assert!(text.contains("eth0#0-1  driver  vfio-pci -> igbvf\n"), "{text}");
    assert_eq!(records(), "");
    ok("echo 1 > /sys/class/net/eth1/device/sriov_drivers_autoprobe");
}

pub fn what_is_exported_is_applied_without_a_change() {
    ok("echo 5 > /sys/class/net/eth0/device/sriov_numvfs; echo 0 > /sys/class/net/eth1/device/sriov_drivers_autoprobe
        echo 1 > /sys/class/net/eth1/device/sriov_numvfs; ip netns add blue
        ip link set eth0 vf 1 vlan 50 qos 2; ip link set eth0 vf 2 trust on
        ip link set eth0 mtu 1600; ip link set $(ls /sys/class/net/eth0/device/virtfn2/net) mtu 1550");
    // The MTU took its link down for a moment, and igb takes no rate without.
    eventually("eth0 has its carrier again", || sh("cat /sys/class/net/eth0/carrier").out == "1\n");
    sriovctl(&["set-vf", "eth0#4", "--mac", "02:00:00:00:00:44", "--max-tx-rate", "100"]).exits(0);
    sriovctl(&["bind-dpdk", "eth0#3", "--owner", "4711:nogroup", "--vlan", "3"]).exits(0);
    let attached = ["attach", "eth0#1", "--netns", "blue", "--vlan", "9", "--mtu", "1400"];
    sriovctl(&attached).exits(0);
    let before = state();
    let yaml = sriovctl(&["export"]).exits(0).out;
    for line in [
        "  - pf: \"0000:01:00.0\"",
        "    mac: \"52:54:00:aa:00:00\"",
        "    mtu: 1600",
        "    numvfs: 5",
        "      - vfs: \"3\"",
        "        driver: vfio-pci",
        "        owner: \"4711:65534\"",
        // As it comes back, not as it is attached.
        "        vlan: 50",
        "        mac: \"02:00:00:00:00:44\"",
        "        mtu: 1550",
        "    autoprobe: off",
    ] {
        assert!(yaml.lines().any(|said| said == line), "no {line}: {yaml}");
    }
    assert!(!yaml.contains("vlan: 9"), "{yaml}");
    for form in ["yaml", "json"] {
        let done = sh(&format!("$S export --format {form} | $S apply - --json")).exits(0);
        assert_eq!(done.valid("apply").json()["changed"], false, "{form}");
    }
    unchanged(&before, "export and apply");
    // An attached VF is not changed below its container, and nothing else either.
    let other = yaml.replace("vlan: 50", "vlan: 51");
    apply(&other, &[]).exits(4).says("eth0#1 belongs to manual in /run/netns/blue, and would come back with vlan 50 qos 2 instead of 51 qos 2");
    unchanged(&before, "a refusal");
    apply(&other.replace("trust: on", "trust: off"), &["--keep-going"])
        .exits(6)
        .says("eth0#1 belongs to");
    assert_eq!(sriovctl(&["list-vfs", "eth0#2", "--json"]).json()["vfs"][0]["trust"], false);
    sriovctl(&["detach", "eth0#1"]).exits(0);
    apply(&other, &[]).exits(0);
    let json = sriovctl(&["list-vfs", "eth0#1", "--json"]).json();
    assert_eq!(json["vfs"][0]["vlan"], 51);
    sriovctl(&["bind-dpdk", "--restore", "eth0#3"]).exits(0);
    ok("ip link set eth0 mtu 1500; echo 1 > /sys/class/net/eth1/device/sriov_drivers_autoprobe");
}

pub fn what_cannot_be_keeps_everything_from_being_changed() {
    ok("echo 2 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue");
    sriovctl(&["attach", "eth0#0", "--netns", "blue"]).exits(0);
    let before = state();
    let fine = "version: 1\npfs:\n- pf: eth1\n  numvfs: 3\n";
    for (more, code, says) in [
        ("- pf: eth9\n  numvfs: 1\n", 3, "pfs[1]: no PF or VF is called \"eth9\""),
        (
            "- pf: eth1\n  numvfs: 1\n",
            2,
            "pfs[1]: eth1 is spoken of twice, first by /tmp/file.yaml: pfs[0]",
        ),
        (
            "- pf: eth0\n  mac: 52:54:00:ff:ff:ff\n",
            4,
            "eth0 is another card: its permanent MAC is 52:54:00:aa:00:00",
        ),
        ("- pf: eth0\n  numvfs: 8\n", 4, "at most 7 VFs, not 8"),
        ("- pf: eth0\n  numvfs: 3\n", 4, "1 of the 2 VFs of eth0 is in use"),
        ("- pf: eth0\n  vfs:\n  - vfs: 2\n    vlan: 1\n", 2, "it has no VF 2"),
        ("- pf: eth0\n  eswitch_mode: switchdev\n", 5, "igb has no eswitch mode but legacy"),
        ("- pf: eth0\n  vfs:\n  - vfs: 1\n    driver: no-such\n", 3, "there is no driver no-such"),
        ("- pf: eth0\n  vfs:\n  - vfs: 0\n    driver: vfio-pci\n", 4, "eth0#0 belongs to manual"),
        ("- pf: eth0\n  nmvfs: 1\n", 2, "unknown field `nmvfs`"),
    ] {
        let done = apply(&format!("{fine}{more}"), &[]);
        assert_eq!(done.out, "", "{more}");
        done.exits(code).says(says);
        unchanged(&before, more);
    }
    // What may be missing is no reason; what is not as it says is told, and the rest done where that is
    // asked for.
    let more = "- pf: eth9\n  optional: true\n  numvfs: 1\n- pf: eth0\n  numvfs: 3\n";
    let done = apply(&format!("{fine}{more}"), &["--keep-going"]).exits(6);
    done.says("eth9 is not there, and need not be").says("is in use");
    assert_eq!(
        ok("cat /sys/class/net/eth1/device/sriov_numvfs /sys/class/net/eth0/device/sriov_numvfs"),
        "3\n2"
    );
    sriovctl(&["apply"])
        .exits(3)
        .says("/etc/sriovctl has no file to apply")
        .says("sriovctl export > host.yaml");
    // Its name on the host is free again then.
    ok("echo 0 > /sys/class/net/eth1/device/sriov_numvfs");
    sriovctl(&["detach", "eth0#0"]).exits(0);
}

pub fn the_eswitch_mode_is_set_where_there_is_one() {
    let pf = simulate(3);
    ok("cd /sys/bus/netdevsim/devices/netdevsim7; echo 0 > sriov_numvfs; echo 2 > sriov_numvfs");
    let file = |mode: &str| {
        format!(
            "version: 1\npfs:\n- pf: netdevsim/netdevsim7\n  eswitch_mode: {mode}\n  numvfs: 3\n  vfs:\n  - vfs: 0\n    vlan: 5\n"
        )
    };
    let said = apply(&file("switchdev"), &["--dry-run"]).exits(0).out;
    assert!(said.contains(&format!("{pf}    eswitch_mode  legacy -> switchdev\n")), "{said}");
    let json = apply(&file("switchdev"), &["--json"]);
    let listed = sriovctl(&["list-pfs", &pf, "--json"]).json();
    assert_eq!(listed["pfs"][0]["eswitch_mode"], "switchdev", "{} {}", json.out, json.err);
    assert_eq!(listed["pfs"][0]["vfs_enabled"], 3, "{listed}");
    apply(&file("legacy"), &[]).exits(0);
    let listed = sriovctl(&["list-pfs", &pf, "--json"]).json();
    assert_eq!(listed["pfs"][0]["eswitch_mode"], "legacy");
    assert_eq!(sriovctl(&["list-vfs", &pf, "--json"]).json()["vfs"][0]["vlan"], 5);
    ok("echo 7 > /sys/bus/netdevsim/del_device");
}

/// What outlives a boot of this host's disk.
fn on_kept_disk() {
    let kept = std::env::var(KEPT).expect("the lab says where");
    ok(&format!(
        "mkdir -p {kept}/sriovctl {kept}/units /etc/sriovctl /etc/systemd/system
        mount --bind {kept}/sriovctl /etc/sriovctl; mount --bind {kept}/units /etc/systemd/system"
    ));
}

pub fn what_is_kept_when_the_power_goes() {
    on_kept_disk();
    let file =
        HOST.lines().take_while(|line| !line.contains("eth1")).collect::<Vec<_>>().join("\n");
    let path = write("host.yaml", &file);
    let said = sriovctl(&["apply", &path, "--persist"]).exits(0).out;
    for made in ["made /etc/sriovctl/host.yaml", "made /etc/systemd/system/sriovctl.service"] {
        assert!(said.contains(made), "{said}");
    }
    ok("systemd-analyze verify --man=no /etc/systemd/system/sriovctl.service");
    // The same is kept once only, and a second file may not speak of the same PF.
    let again = sriovctl(&["apply", &path, "--persist", "--json"]).exits(0).valid("apply").json();
    assert_eq!(again["changed"], false, "{again}");
    let other = write("other.yaml", "version: 1\npfs:\n- pf: eth0\n  numvfs: 5\n");
    sriovctl(&["apply", &other, "--persist"]).exits(2).says("eth0 is spoken of twice");
    assert_eq!(ok("ls /etc/sriovctl"), "host.yaml");
}

pub fn comes_back_at_boot() {
    on_kept_disk();
    assert_eq!(ok("cat /sys/class/net/eth0/device/sriov_numvfs"), "0");
    // systemd as the first process of its own namespaces, with nothing but this unit to start.
    ok("unshare --mount --pid --fork --mount-proc -- bash -c '
            mount -t tmpfs run /run; mount -t cgroup2 cgroup /sys/fs/cgroup 2> /dev/null
            exec env container=lab /lib/systemd/systemd --system --unit=sriovctl.service \\
                --log-target=console --show-status=no' > /tmp/systemd.log 2>&1 < /dev/null & echo $! > /tmp/check.pids");
    let is_so = || sh("[ \"$($S apply --dry-run --json | jq .changed)\" = false ]").code == 0;
    let said = || ok("$S apply --dry-run; tail -20 /tmp/systemd.log");
    assert!(is_within(Duration::from_secs(300), is_so), "{}", said());
    let links = ok("ip -j -d link show eth0 | jq -c '[.[0].vfinfo_list[3] | .address, .trust]'");
    assert_eq!(links, "[\"02:00:00:00:00:33\",true]");
    assert_eq!(ok("stat -c '%u:%G %a' /dev/vfio/[0-9]* | uniq -c | xargs"), "2 4711:nogroup 640");
    sriovctl(&["bind-dpdk", "--restore", "eth0#0-1"]).exits(0);
    ok("pkill -KILL -f '[l]ib/systemd/systemd'; umount /etc/sriovctl /etc/systemd/system");
}
