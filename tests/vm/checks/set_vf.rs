//! `set-vf` on the real kernel: what is set is what `ip` and sysfs say, and what cannot be set is said.

use serde_json::Value;

use super::attach::{assert_restored, differences, records, state};
use super::netdevsim::simulate;
use crate::guest::{Done, SRIOVCTL, ok, sh, sriovctl};
use crate::inject::{Fault, Invocation, run};

const MAC: &str = "02:00:00:00:00:77";

/// Four VFs on eth0, and a namespace.
fn four_vfs() {
    ok("echo 4 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue");
}

fn netdev(vf: u8) -> String {
    ok(&format!("ls /sys/class/net/eth0/device/virtfn{vf}/net"))
}

fn set(args: &[&str]) -> Done {
    sriovctl(&[&["set-vf"], args].concat())
}

/// What became of the settings of a run with --json.
fn results(done: &Done) -> Vec<(String, String)> {
    let json = done.json();
    let vfs = json["vfs"].as_array().unwrap().clone();
    let all = vfs.iter().flat_map(|vf| vf["attributes"].as_array().unwrap().clone());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.map(|one| (text(&one["attribute"]), text(&one["result"]))).collect()
}

/// A VF as `ip` shows it on its PF.
fn on_pf(pf: &str, vf: usize) -> Value {
    let links: Value = serde_json::from_str(&ok(&format!("ip -d -j link show {pf}"))).unwrap();
    links[0]["vfinfo_list"][vf].clone()
}

#[track_caller]
fn unchanged(before: &Value, what: &str) {
    let now = state();
    assert!(now == *before, "{what}: {}", differences(before, &now));
}

/// The same but for MACs: igb lists one that it merely heard of as if it had set it, until it is taken away.
#[track_caller]
fn alike_but_macs(before: &Value) {
    let diff = differences(before, &state());
    assert!(diff.lines().all(|line| line.contains("\"address\"")), "{diff}");
}

const EVERYTHING: [&str; 14] = [
    "--trust",
    "on",
    "--vlan",
    "100",
    "--qos",
    "3",
    "--max-tx-rate",
    "500",
    "--spoofchk",
    "off",
    "--mtu",
    "1400",
    "--mac",
    MAC,
];

pub fn each_setting_is_seen_by_ip() {
    four_vfs();
    let fresh = state();
    let json = set(&[&["eth0#1"], &EVERYTHING[..], &["--json"]].concat()).exits(0).valid("set-vf");
    assert_eq!(json.json()["changed"], true);
    let names = ["trust", "vlan", "tx_rate", "spoofchk", "mtu", "mac"];
    assert_eq!(results(&json), names.map(|name| (name.to_owned(), "applied".to_owned())));
    let vf = on_pf("eth0", 1);
    assert_eq!(vf["address"], MAC);
    assert_eq!((&vf["trust"], &vf["spoofchk"]), (&true.into(), &false.into()));
    assert_eq!((&vf["vlan_list"][0]["vlan"], &vf["vlan_list"][0]["qos"]), (&100.into(), &3.into()));
    assert_eq!(vf["rate"]["max_tx"], 500);
    let own = ok(&format!("ip link show {}", netdev(1)));
    assert!(own.contains(MAC) && own.contains("mtu 1400"), "{own}");
    // The others are as they were.
    assert_eq!(on_pf("eth0", 2)["trust"], false);

    let before = state();
    let again = set(&[&["eth0#1"], &EVERYTHING[..], &["--json"]].concat()).exits(0).valid("set-vf");
    assert_eq!(again.json()["changed"], false);
    assert!(results(&again).iter().all(|(_, result)| result == "unchanged"));
    unchanged(&before, "a second time");
    let text = set(&[&["eth0#1"], &EVERYTHING[..]].concat()).exits(0).out;
    assert_eq!(text, "eth0#1: 6 were so already; nothing was changed\n");

    let text = set(&["eth0#1", "--reset"]).exits(0).out;
    assert!(text.contains("eth0#1  trust     on -> off\n"), "{text}");
    assert!(text.contains("eth0#1: 6 applied"), "{text}");
    let vf = on_pf("eth0", 1);
    assert_eq!((&vf["trust"], &vf["spoofchk"]), (&false.into(), &true.into()));
    assert_eq!(vf["address"], "00:00:00:00:00:00");
    // The interface keeps the MAC that it was given; all else is as after its making.
    alike_but_macs(&fresh);
    assert_eq!(records(), "");
    // A VF that its PF has taken the MAC from may choose its own.
    ok(&format!("ip link set {} address 02:00:00:00:00:78", netdev(1)));
}

pub fn a_range_is_set_and_the_printed_shell_does_the_same() {
    four_vfs();
    let args = ["eth0#0,2-3", "--trust", "on", "--vlan", "7"];
    let before = state();
    let shell = set(&[&args[..], &["--dry-run"]].concat()).exits(0).out;
    unchanged(&before, "a dry run");
    let script: Vec<&str> = shell.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(script.len(), 6, "{shell}");
    let json = set(&[&args[..], &["--dry-run", "--json"]].concat()).exits(0).valid("set-vf");
    assert_eq!((&json.json()["changed"], &json.json()["dry_run"]), (&true.into(), &true.into()));
    ok(&script.join("\n"));
    let by_shell = state();
    let done = set(&args).exits(0);
    assert_eq!(done.out, "3 VFs: 6 were so already; nothing was changed\n");
    unchanged(&by_shell, "after the shell");
    set(&["eth0", "--reset"]).exits(0);
    alike_but_macs(&before);
    let done = set(&args).exits(0);
    assert!(done.out.ends_with("see them: sriovctl list-vfs 'eth0#0,2,3'\n"), "{}", done.out);
    alike_but_macs(&by_shell);
    let mac = "$S set-vf 0000:01:10.0 --mac 02:00:00:00:00:31 --mtu 1300";
    let shell = ok(&format!("{mac} --dry-run | grep -v '^#'"));
    ok(&shell);
    assert_eq!(ok(mac), "eth0#0: 2 were so already; nothing was changed");
}

pub fn what_igb_cannot_is_unsupported_with_its_reason() {
    four_vfs();
    let before = state();
    let tried: [(&[&str], i32, &str); 9] = [
        (&["--link-state", "enable"], 5, "igb cannot set this"),
        (&["--query-rss", "on"], 5, "igb cannot set this"),
        (&["--vlan", "7", "--proto", "802.1ad"], 5, "igb knows no such VLAN protocol"),
        (&["--min-tx-rate", "10"], 5, "igb does not take this rate"),
        (&["--node-guid", "00:11:22:33:44:55:66:77"], 5, "eth0 is an Ethernet card"),
        (&["--port-guid", "00:11:22:33:44:55:66:77"], 5, "GUIDs are InfiniBand's"),
        (&["--msix-count", "2"], 5, "igb gives each VF a fixed number"),
        (&["--mtu", "9000"], 4, "its PF's is 1500"),
        (&["--link-state", "enable", "--query-rss", "on"], 5, "2 settings or VFs could not be set"),
    ];
    for (args, code, said) in tried {
        let json = set(&[&["eth0#1"], args, &["--json"]].concat()).exits(code).valid("set-vf");
        assert_eq!(json.json()["changed"], false);
        json.says(said).says("try: ");
        unchanged(&before, &args.join(" "));
    }
    // The number of vectors is read from the device: as many as it has is no change.
    let has = ok("lspci -vv -s 0000:01:10.2 | sed -n 's/.*MSI-X: .*Count=\\([0-9]*\\).*/\\1/p'");
    set(&["eth0#1", "--msix-count", &has]).exits(0);
    let done = set(&["eth0#1", "--trust", "on", "--link-state", "enable", "--json"]).exits(6);
    let done = done.valid("set-vf");
    let pair = |name: &str, result: &str| (name.to_owned(), result.to_owned());
    assert_eq!(results(&done), [pair("trust", "applied"), pair("link_state", "unsupported")]);
    assert_eq!(done.json()["vfs"][0]["attributes"][1]["error"]["code"], "unsupported");
    assert_eq!(on_pf("eth0", 1)["trust"], true);
}

pub fn strict_leaves_nothing_half_set() {
    four_vfs();
    ok(
        "ip link set eth0 vf 1 vlan 9 qos 1; ip link set eth0 vf 2 max_tx_rate 100; ip link set eth0 vf 3 spoofchk off",
    );
    ok(&format!(
        "ip link set {} mtu 1450 up; ip link set eth0 vf 2 mac 02:00:00:00:00:22",
        netdev(1)
    ));
    let before = state();
    let asked = [
        "--trust",
        "on",
        "--vlan",
        "7",
        "--max-tx-rate",
        "300",
        "--link-state",
        "enable",
        "--strict",
    ];
    let done = set(&[&["eth0"], &asked[..]].concat()).exits(5);
    done.says("could not set state enable on eth0#0: igb cannot set this");
    unchanged(&before, "strict");
    let done = set(&[&["eth0#1-3"], &asked[..], &["--json"]].concat()).exits(5).valid("set-vf");
    let done = done.says("everything that was set is as it was before");
    assert_eq!(
        (&done.json()["changed"], &done.json()["rolled_back"]),
        (&false.into(), &true.into())
    );
    let words: Vec<String> = results(&done).into_iter().map(|(_, result)| result).collect();
    assert_eq!(words[..5], ["undone", "undone", "undone", "unsupported", "untried"]);
    unchanged(&before, "strict, on three");
    // A MAC that was set is taken back as well: the next VF's MTU is known to be too large only by then.
    ok(
        "ip netns exec blue true; ip link set dev $(ls /sys/class/net/eth0/device/virtfn3/net) netns blue",
    );
    let before = state();
    let done = set(&["eth0#1", "eth0#3", "--mtu", "1400", "--strict"]).exits(4);
    done.says("its interface is in the network namespace blue");
    unchanged(&before, "refused beforehand");
    set(&["eth0#0-2", "--trust", "on", "--max-tx-rate", "300", "--strict"]).exits(0);
    assert_eq!(on_pf("eth0", 2)["rate"]["max_tx"], 300);
}

pub fn a_vf_that_belongs_to_somebody_is_refused() {
    four_vfs();
    let fresh = state();
    sriovctl(&["attach", "eth0#1", "--netns", "blue"]).exits(0);
    sriovctl(&["bind-dpdk", "eth0#2"]).exits(0);
    let before = state();
    let done = set(&["eth0#1", "--trust", "on"]).exits(4);
    done.says("eth0#1 belongs to somebody: manual has it in /run/netns/blue")
        .says("sriovctl detach 0000:01:10.2; or set it all the same with --force");
    let done = set(&["eth0#2", "--trust", "on", "--json"]).exits(4).valid("set-vf");
    done.says("bind-dpdk gave it to vfio-pci").says("sriovctl bind-dpdk --restore 0000:01:10.4");
    unchanged(&before, "refused");
    set(&["eth0#0-2", "--trust", "on", "--strict"]).exits(4);
    unchanged(&before, "refused, strict");
    let done = set(&["eth0#0-2", "--trust", "on"]).exits(6);
    let is_refused = |line: &str| line.starts_with("eth0#1  ") && line.ends_with("  refused");
    assert!(done.out.lines().any(is_refused), "{}", done.out);
    set(&["eth0#0-2", "--trust", "on", "--force"]).exits(0);
    assert_eq!(on_pf("eth0", 1)["trust"], true);
    set(&["eth0#0", "--trust", "off"]).exits(0);
    // Giving them back is what resets it.
    sriovctl(&["detach", "eth0#1"]).exits(0);
    sriovctl(&["bind-dpdk", "--restore", "eth0#2"]).exits(0);
    assert_restored(&fresh);
    // While another one changes it.
    let held =
        "flock /run/sriovctl/lock/pci-0000:01:10.0.lock $S set-vf eth0#0 --trust on --timeout 1";
    sh(held).exits(4).says("is being changed by");
    assert_restored(&fresh);
}

pub fn a_mac_where_the_interface_is_used_elsewhere_or_by_nobody() {
    four_vfs();
    // In use on the host: igbvf takes it all the same.
    let eth = netdev(0);
    ok(&format!("ip addr add 192.0.2.1/24 dev {eth}; ip link set {eth} up"));
    set(&["eth0#0", "--mac", MAC]).exits(0);
    assert!(ok(&format!("ip link show {eth}")).contains(MAC));
    // Elsewhere without a record: the PF's alone.
    let eth = netdev(1);
    ok(&format!("ip link set {eth} netns blue"));
    let done = set(&["eth0#1", "--mac", "02:00:00:00:00:78"]).exits(0);
    assert!(done.out.contains("its interface, in blue, keeps its own"), "{}", done.out);
    assert_eq!(on_pf("eth0", 1)["address"], "02:00:00:00:00:78");
    set(&["eth0#1", "--mtu", "1400"])
        .exits(4)
        .says("its interface is in the network namespace blue");
    // Without a driver there is no interface, and without an interface no MTU.
    ok("echo 0000:01:10.4 > /sys/bus/pci/devices/0000:01:10.4/driver/unbind");
    set(&["eth0#2", "--mac", "02:00:00:00:00:79"]).exits(0);
    set(&["eth0#2", "--mtu", "1400"]).exits(4).says("it has no interface, since it has no driver");
    ok("echo 0000:01:10.4 > /sys/bus/pci/drivers/igbvf/bind");
    assert!(ok(&format!("ip link show {}", netdev(2))).contains("02:00:00:00:00:79"));
    // One that takes no other: its driver is bound anew, and its name comes back.
    let eth = netdev(3);
    ok(&format!("ip link set {eth} name vf-three; ip link set vf-three mtu 1450"));
    let json = sriovctl(&["list-vfs", "eth0#3", "--json"]).exits(0).json();
    assert_eq!(json["vfs"][0]["netdev"], "vf-three");
    let args = [SRIOVCTL, "set-vf", "eth0#3", "--mac", "02:00:00:00:00:80", "--json"];
    let invocation = Invocation { args: &args, env: Vec::new(), stdin: String::new() };
    let points = run(&Invocation { args: &args, ..invocation.clone() }, None);
    assert_eq!(points.code, 0, "{}", points.err);
    let first = points.points.iter().position(|point| point == "netlink message 19").unwrap();
    set(&["eth0#3", "--reset", "--mtu", "1450"]).exits(0);
    let args = [SRIOVCTL, "set-vf", "eth0#3", "--mac", "02:00:00:00:00:81", "--json"];
    let refused = Fault::Fail(99); // EADDRNOTAVAIL
    let traced = run(&Invocation { args: &args, ..invocation }, Some((first, refused)));
    assert_eq!(traced.code, 0, "{} {}", traced.out, traced.err);
    assert!(traced.out.contains("its driver was bound anew"), "{} {}", traced.out, traced.err);
    let own = ok("ip link show vf-three");
    assert!(own.contains("02:00:00:00:00:81") && own.contains("mtu 1450"), "{own}");
    assert_eq!(on_pf("eth0", 3)["address"], "02:00:00:00:00:81");
    assert_eq!(records(), "", "records left");
}

pub fn netdevsim_takes_what_igb_does_not() {
    let pf = simulate(4);
    let some = format!("{pf}#1-2");
    let asked = [
        "--link-state",
        "disable",
        "--query-rss",
        "on",
        "--min-tx-rate",
        "10",
        "--max-tx-rate",
        "500",
        "--vlan",
        "5",
        "--qos",
        "2",
        "--proto",
        "802.1ad",
        "--trust",
        "on",
    ];
    let done = set(&[&[some.as_str()], &asked[..], &["--json"]].concat()).exits(0).valid("set-vf");
    assert!(results(&done).iter().all(|(_, result)| result == "applied"), "{}", done.out);
    assert_eq!(done.json()["vfs"][0]["device"], Value::Null);
    for vf in [1, 2] {
        let vf = on_pf(&pf, vf);
        assert_eq!((&vf["link_state"], &vf["trust"]), (&"disable".into(), &true.into()));
        assert_eq!((&vf["rate"]["min_tx"], &vf["rate"]["max_tx"]), (&10.into(), &500.into()));
        assert_eq!(vf["query_rss_en"], true);
        assert_eq!(vf["vlan_list"][0]["protocol"], "802.1ad");
    }
    // One of both rates: the other one stays.
    let one = format!("{pf}#1");
    set(&[&one, "--max-tx-rate", "600"]).exits(0);
    assert_eq!(on_pf(&pf, 1)["rate"]["min_tx"], 10);
    set(&[&one, "--min-tx-rate", "700"]).exits(4).says("700, would be above the highest, 600");
    set(&[&one, "--mac", MAC]).exits(0);
    assert_eq!(on_pf(&pf, 1)["address"], MAC);
    set(&[&one, "--mtu", "1400"]).exits(5).says("it has no interface");
    set(&[&one, "--msix-count", "4"]).exits(5);
    let before = state();
    set(&[&some, "--trust", "off", "--mtu", "1400", "--strict"]).exits(5);
    unchanged(&before, "strict");
    set(&[&pf, "--reset"]).exits(0);
    let vf = on_pf(&pf, 1);
    assert_eq!((&vf["link_state"], &vf["trust"]), (&"auto".into(), &false.into()));
    assert_eq!((&vf["rate"]["max_tx"], &vf["query_rss_en"]), (&0.into(), &false.into()));
}
