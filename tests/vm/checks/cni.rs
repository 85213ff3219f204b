//! The CNI plugin on the real kernel, called as runtimes call it.

use std::time::Duration;

use serde_json::{Value, json};

use super::attach::{differences, records, state};
use crate::cri::{self, Message};
use crate::guest::{Done, SRIOVCTL, eventually, is_within, ok, sh};

/// Where the plugins are for these checks.
pub const BIN: &str = "/run/cni-bin";

/// Four VFs on eth0, two namespaces, the plugin under its name, and host-local beside it.
pub fn node() {
    ok(&format!(
        "echo 4 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue; ip netns add red
        mkdir -p {BIN}; ln -sf {SRIOVCTL} {BIN}/sriov; ln -sf $LAB_PROGRAMS/usr/lib/cni/host-local {BIN}/host-local
        rm -rf /var/lib/cni/networks"
    ));
}

/// One call; what it prints is JSON or nothing.
pub fn call(command: &str, container: &str, netns: &str, config: &Value) -> Done {
    let netns = if netns.is_empty() { String::new() } else { format!("/run/netns/{netns}") };
    let done = sh(&format!(
        "export CNI_COMMAND={command} CNI_CONTAINERID={container} CNI_IFNAME=net1 CNI_NETNS={netns} CNI_PATH={BIN} CNI_ARGS=\"$ARGS\"
        {BIN}/sriov <<'END'\n{config}\nEND"
    ));
    assert!(
        done.out.is_empty() || serde_json::from_str::<Value>(&done.out).is_ok(),
        "{}",
        done.out
    );
    done
}

#[allow(clippy::needless_pass_by_value)] // it is written in place everywhere
pub fn config(more: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "blue", "type": "sriov",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd01::/64"}]],
                 "routes": [{"dst": "0.0.0.0/0"}]},
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

pub fn inside(netns: &str) -> Value {
    let links: Value = serde_json::from_str(&ok(&format!("ip -n {netns} -d -j addr"))).unwrap();
    let net1 = links.as_array().unwrap().iter().find(|link| link["ifname"] == "net1");
    net1.cloned().unwrap_or(Value::Null)
}

/// Addresses that host-local has given out.
pub fn leases() -> String {
    ok(
        "mkdir -p /var/lib/cni; cd /var/lib/cni; find . -path './networks/*' -type f -name '*[.:]*' ! -name 'last*'",
    )
}

/// Devices that are allocated, as sriov-cni writes it down; what a killed write left beside is none.
pub fn allocations() -> String {
    ok(
        "mkdir -p /var/lib/cni; cd /var/lib/cni; find . -path './sriov/pci/*:*' ! -path '*/vf_lock/*' ! -name '.*'",
    )
}

#[track_caller]
pub fn assert_clean(before: &Value) {
    let now = state();
    assert!(now == *before, "not as before:\n{}", differences(before, &now));
    assert_eq!(records(), "", "records left");
    assert_eq!(leases(), "", "leases left");
}

pub fn each_dialect_adds_checks_and_gives_back() {
    node();
    let before = state();
    for (more, vf) in [
        (
            json!({"deviceID": "0000:01:10.2", "vlan": 100, "mac": "02:00:00:00:00:77", "trust": "on", "spoofchk": "off", "mtu": 1400}),
            1,
        ),
        (json!({"master": "eth0", "cniVersion": "0.3.1"}), 0),
        (json!({"if0": "eth0", "vlan": 9, "cniVersion": "0.4.0"}), 0),
        (json!({"pool": ["eth0#2-3"]}), 2),
    ] {
        let config = config(more);
        let done = call("ADD", "c1", "blue", &config).exits(0);
        let result = done.json();
        let link = inside("blue");
        assert_eq!(result["interfaces"][0]["mac"], link["address"], "{result} {link}");
        let told: Vec<&str> = result["ips"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|ip| ip["address"].as_str())
            .collect();
        for address in &told {
            let bare = address.split('/').next().unwrap();
            assert!(link.to_string().contains(&format!("\"{bare}\"")), "{address} {link}");
        }
        assert_eq!(told.len(), 2, "{result}");
        assert!(ok("ip -n blue route").contains("default via 10.1.0.1 dev net1"));
        if result["cniVersion"] == "1.1.0" {
            assert_eq!(result["interfaces"][0]["pciID"], format!("0000:01:10.{}", vf * 2));
            assert_eq!(result["interfaces"][0]["mtu"], link["mtu"]);
        }
        let pf = ok(&format!("ip link show eth0 | grep 'vf {vf} '"));
        for (key, said) in
            [("vlan", "vlan"), ("trust", "trust on"), ("spoofchk", "spoof checking off")]
        {
            assert!(config.get(key).is_none() || pf.contains(said), "{pf}");
        }
        if config["cniVersion"] != "0.3.1" {
            call("CHECK", "c1", "blue", &config).exits(0);
        }
        let second = call("ADD", "c2", "red", &config);
        if config.get("deviceID").is_some() {
            let error = second.exits(1).json();
            let said = error["msg"].as_str().unwrap().to_owned();
            assert!(said.starts_with("pci address 0000:01:10.2 is already allocated"), "{said}");
        } else {
            second.exits(0);
            call("DEL", "c2", "red", &config).exits(0);
        }
        call("DEL", "c1", "blue", &config).exits(0);
        call("DEL", "c1", "", &config).exits(0);
        assert_clean(&before);
    }
}

pub fn dpdk_and_the_pf_itself_come_back() {
    node();
    let before = state();
    let dpdk = json!({"if0": "eth0", "vlan": 7, "dpdk": {"kernel_driver": "igbvf", "dpdk_driver": "vfio-pci", "dpdk_tool": "/none"}});
    let result = call("ADD", "c1", "blue", &config(dpdk.clone())).exits(0).json();
    assert_eq!(result["interfaces"][0]["pciID"], "0000:01:10.0");
    assert_eq!(result.get("ips"), None);
    assert_eq!(ok("basename $(readlink /sys/class/net/eth0/device/virtfn0/driver)"), "vfio-pci");
    assert!(ok("ip link show eth0 | grep 'vf 0 '").contains("vlan 7"));
    call("DEL", "c1", "", &config(dpdk)).exits(0);
    assert_clean(&before);

    let pf = json!({"master": "eth0", "pfOnly": true});
    ok("echo 0 > /sys/class/net/eth0/device/sriov_numvfs");
    let before = state();
    call("ADD", "c1", "blue", &config(pf.clone())).exits(0);
    assert_eq!(inside("blue")["address"], "52:54:00:aa:00:00");
    call("DEL", "c1", "blue", &config(pf)).exits(0);
    assert_clean(&before);
}

pub fn whatever_fails_leaves_neither_lease_nor_change() {
    node();
    let before = state();
    let all = json!({"deviceID": "0000:01:10.2", "vlan": 100, "mac": "02:00:00:00:00:77", "trust": "on", "mtu": 1400});
    // The kernel refuses one message after the other.
    let config_text = config(all.clone()).to_string();
    let mut failed = 0;
    for nth in 1..=40 {
        let done = sh(&format!(
            "export CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/blue CNI_PATH={BIN}
            strace -o /dev/null -e trace=sendto -e inject=sendto:error=ENOBUFS:when={nth} {BIN}/sriov <<'END'\n{config_text}\nEND"
        ));
        if done.code == 0 {
            call("DEL", "c1", "blue", &config(all.clone())).exits(0);
        } else {
            failed += 1;
            assert!(done.json()["msg"].is_string(), "{}", done.out);
        }
        assert_clean(&before);
    }
    println!("    {failed} of 40 ADDs failed");
    assert!(failed >= 10, "only {failed}");
    // An IPAM plugin that fails, and one that is not there.
    for ipam in [
        json!({"type": "no-such"}),
        json!({"type": "host-local", "subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}),
    ] {
        let error =
            call("ADD", "c1", "blue", &config(json!({"deviceID": "0000:01:10.2", "ipam": ipam})))
                .exits(1)
                .json();
        assert_eq!(error["code"], 108, "{error}");
        assert_clean(&before);
    }
}

pub fn check_tells_each_drift_and_writes_nothing() {
    node();
    let config = config(
        json!({"deviceID": "0000:01:10.2", "vlan": 100, "mac": "02:00:00:00:00:77", "mtu": 1400}),
    );
    for (change, said) in [
        (
            "ip -n blue link set net1 down; ip -n blue link set net1 name net7; ip -n blue link set net7 up",
            "name is net7",
        ),
        ("ip -n blue link set net1 netns red", "namespace is /run/netns/red"),
        ("ip -n blue link set net1 mtu 1300", "MTU is 1300"),
        ("ip link set eth0 vf 1 vlan 5", "vlan 5, not vlan 100"),
        ("ip -n blue addr del 10.1.0.2/24 dev net1", "address is missing, not 10.1.0.2/24"),
        ("ip -n blue route del default", "route is missing"),
        ("ip -n blue link set net1 down", "link is down"),
    ] {
        call("ADD", "c1", "blue", &config).exits(0);
        call("CHECK", "c1", "blue", &config).exits(0);
        ok(change);
        let error = call("CHECK", "c1", "blue", &config).exits(1).json();
        assert!(error["msg"].as_str().unwrap().contains(said), "{change}: {error}");
        call("DEL", "c1", "blue", &config).exits(0);
        ok("ip netns del blue; ip netns add blue; rm -rf /var/lib/cni/networks");
    }
    call("ADD", "c1", "blue", &config).exits(0);
    ok(&format!(
        "export CNI_COMMAND=CHECK CNI_CONTAINERID=c1 CNI_IFNAME=net1 CNI_NETNS=/run/netns/blue CNI_PATH=/none
        sed 's/,\"ipam\".*//' <<< '' ; strace -f -o /tmp/trace -e trace=openat,rename,renameat,unlink,unlinkat,mkdir,mkdirat {BIN}/sriov <<'END'\n{}\nEND",
        json!({"cniVersion": "1.1.0", "name": "blue", "type": "sriov", "deviceID": "0000:01:10.2"})
    ));
    let written = ok(
        "grep -E 'O_WRONLY|O_RDWR|O_CREAT|rename|unlink|mkdir' /tmp/trace | grep -v /dev/null || true",
    );
    assert_eq!(written, "");
    call("DEL", "c1", "blue", &config).exits(0);
}

pub fn gc_gives_back_what_is_not_listed() {
    node();
    let before = state();
    let of = |vf: u8, name: &str| {
        config(json!({"deviceID": format!("0000:01:10.{}", vf * 2), "name": name}))
    };
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        call("ADD", "c1", "blue", &of(0, "blue")).exits(0);
        call("ADD", "c2", "red", &of(1, "blue")).exits(0);
        ok("ip netns add green");
        call("ADD", "c3", "green", &of(2, "other")).exits(0);
        let mut gc = of(0, "blue");
        gc[key] = json!([{"containerID": "c1", "ifname": "net1"}]);
        call("GC", "", "", &gc).exits(0);
        let left = records();
        assert!(
            left.contains("10.0.json") && left.contains("10.4.json") && !left.contains("10.2.json"),
            "{left}"
        );
        gc[key] = json!([]);
        call("GC", "", "", &gc).exits(0);
        assert!(
            !records().contains("10.0.json") && records().contains("10.4.json"),
            "{}",
            records()
        );
        call("DEL", "c3", "green", &of(2, "other")).exits(0);
        ok("ip netns del green");
        assert_clean(&before);
    }
}

pub fn the_namespace_may_be_gone_before_del() {
    node();
    let before = state();
    let config =
        config(json!({"deviceID": "0000:01:10.2", "vlan": 100, "mac": "02:00:00:00:00:77"}));
    call("ADD", "c1", "blue", &config).exits(0);
    ok("ip netns del blue");
    call("DEL", "c1", "", &config).exits(0);
    call("DEL", "c1", "", &config).exits(0);
    assert_clean(&before);
}

/// The plugin sees the interface at ADD, and still at DEL, when it gives its lease back.
pub fn dhcp_works_through_the_interface() {
    node();
    ok("ip addr add 10.5.0.1/24 dev eth0; ip link set eth0 up");
    eventually("the PF has carrier", || ok("cat /sys/class/net/eth0/carrier") == "1");
    ok(&format!(
        "ln -sf $LAB_PROGRAMS/usr/lib/cni/dhcp {BIN}/dhcp; rm -f /tmp/leases; : > /tmp/leases
        cat > /tmp/udhcpd.conf <<'END'
start 10.5.0.10
end 10.5.0.50
max_leases 41
interface eth0
lease_file /tmp/leases
option subnet 255.255.255.0
option router 10.5.0.1
END
        /run/lab/busybox udhcpd -f /tmp/udhcpd.conf > /tmp/udhcpd.log 2>&1 &
        echo $! > /tmp/check.pids
        {BIN}/dhcp daemon > /tmp/dhcp.log 2>&1 &
        echo $! >> /tmp/check.pids"
    ));
    eventually("the plugin's daemon listens", || sh("test -S /run/cni/dhcp.sock").code == 0);
    let before = state();
    let config = json!({"cniVersion": "1.0.0", "name": "blue", "type": "sriov", "if0": "eth0", "ipam": {"type": "dhcp"}});
    let result = call("ADD", "c1", "blue", &config).exits(0).json();
    let address = result["ips"][0]["address"].as_str().unwrap();
    assert!(address.starts_with("10.5.0."), "{result}");
    assert!(inside("blue").to_string().contains(address.split('/').next().unwrap()));
    ok("ip netns exec blue ping -c 1 -W 5 10.5.0.1");
    call("DEL", "c1", "blue", &config).exits(0);
    let said = ok("cat /tmp/dhcp.log");
    assert!(said.contains("releasing lease") && !said.contains("failed to release"), "{said}");
    assert_clean(&before);
}

pub fn the_hosts_log_gets_the_lines() {
    node();
    ok(
        "rm -f /tmp/syslog; /run/lab/busybox syslogd -n -O /tmp/syslog > /dev/null 2>&1 & echo $! > /tmp/check.pids",
    );
    eventually("syslog listens", || sh("test -S /dev/log").code == 0);
    let config = config(json!({"deviceID": "0000:01:10.2", "syslog": true}));
    let done = call("ADD", "c1", "blue", &config).exits(0);
    assert_eq!(done.err, "");
    call("DEL", "c1", "blue", &config).exits(0);
    let said =
        "cmd=ADD containerID=c1 ifname=net1 pci=0000:01:10.2 msg=\\\"attached eth0#1 as net1";
    eventually("it is written", || {
        sh(&format!("grep 'daemon.info sriov.*{said}' /tmp/syslog")).code == 0
    });
}

/// containerd with what it needs, and seven VFs; the containers' root is busybox.
fn containerd() {
    node();
    ok("echo 0 > /sys/class/net/eth0/device/sriov_numvfs; echo 7 > /sys/class/net/eth0/device/sriov_numvfs
        p=$LAB_PROGRAMS; mkdir -p /opt/cni/bin /etc/cni/net.d /var/lib/containerd /tmp/rootfs/bin
        mount -t tmpfs tmpfs /opt/cni/bin; mount -t tmpfs tmpfs /var/lib/containerd
        $S cni --install; cp $p/usr/lib/cni/{host-local,loopback} /opt/cni/bin/
        cp /run/lab/busybox /tmp/rootfs/bin/; for a in sh sleep ping; do ln -sf busybox /tmp/rootfs/bin/$a; done
        cat > /etc/cni/net.d/10-sriov.conflist <<'END'
        {\"cniVersion\": \"1.0.0\", \"name\": \"blue\", \"plugins\": [{\"type\": \"sriov\", \"pool\": [\"eth0\"],
          \"ipam\": {\"type\": \"host-local\", \"subnet\": \"10.1.0.0/24\"}}]}
END
        cat > /tmp/containerd.toml <<'END'
        version = 2
        [plugins.'io.containerd.grpc.v1.cri']
        sandbox_image = 'pause:lab'
END
        export PATH=$PATH:$p/usr/bin:$p/usr/sbin LD_LIBRARY_PATH=$p/usr/lib/x86_64-linux-gnu:$p/lib/x86_64-linux-gnu
        containerd --config /tmp/containerd.toml > /tmp/containerd.log 2>&1 &
        echo $! > /tmp/check.pids");
    eventually("containerd answers", || ctr("version").code == 0);
}

/// Ends containerd, so that the checks after it see nothing of it; everything must be as `before`.
#[track_caller]
fn end_containerd(before: &Value) {
    ok("pkill containerd || true");
    // One that is late would remove the next one's socket.
    eventually("it ends", || sh("pgrep containerd").code != 0);
    ok("umount /opt/cni/bin; umount -l /var/lib/containerd
        rm /etc/cni/net.d/10-sriov.conflist /tmp/check.pids");
    assert_clean(before);
}

fn ctr(command: &str) -> Done {
    sh(&format!(
        "p=$LAB_PROGRAMS; export PATH=$PATH:$p/usr/bin:$p/usr/sbin LD_LIBRARY_PATH=$p/usr/lib/x86_64-linux-gnu:$p/lib/x86_64-linux-gnu
        ctr {command}"
    ))
}

pub fn containerd_starts_seven_containers_that_ping_each_other() {
    containerd();
    let before = state();
    for nth in 1..=7 {
        ctr(&format!(
            "run --cni --rootfs /tmp/rootfs c{nth} /bin/sleep 1000 > /tmp/c{nth}.log 2>&1 & echo $! >> /tmp/check.pids"
        ));
    }
    let attached = || ok("ls /var/lib/cni/sriov/sriovctl/attached 2>/dev/null | wc -l || true");
    // Under emulation seven shims take half a minute to start, on a busy machine more.
    let all = is_within(Duration::from_secs(150), || attached() == "7");
    assert!(
        all,
        "{} have VFs: {}",
        attached(),
        ok("tail -n 4 /tmp/c?.log; tail -n 30 /tmp/containerd.log; ps ax | tail -40")
    );
    let listed = sh("$S inspect-state").exits(0).out;
    assert_eq!(listed.matches("default-c").count(), 7, "{listed}");
    let all_run = || ctr("tasks ls").out.matches("RUNNING").count() == 7;
    assert!(is_within(Duration::from_secs(90), all_run), "{}", ctr("tasks ls").out);
    for nth in 2..=7 {
        // host-local gives them out one after the other.
        let mut tries = 0;
        eventually("it is reached", || {
            tries += 1;
            let ping = format!("/bin/ping -c 1 -W 1 10.1.0.{}", nth + 1);
            ctr(&format!("tasks exec --exec-id p{nth}-{tries} c1 {ping}")).code == 0
        });
    }
    // Some end by themselves, others are killed; with the last process the namespace is gone
    // before the runtime sends DEL.
    for nth in 1..=7 {
        let signal = if nth % 2 == 0 { "KILL" } else { "TERM" };
        ctr(&format!("tasks kill -s {signal} c{nth}"));
        ctr(&format!("tasks kill -s KILL c{nth}"));
    }
    eventually("all were given back", || attached() == "0");
    end_containerd(&before);
}

/// A pod's sandbox, as kubelet has it started.
struct Pod {
    name: String,
    id: String,
    ip: String,
    /// The pause process, and the path of its network namespace.
    pid: u64,
    netns: String,
}

/// PodSandboxConfig: metadata (name, uid, namespace) and hostname.
fn pod_config(name: &str) -> Message {
    let metadata = Message::default().with(1, name).with(2, name).with(3, "default");
    Message::default().with(1, metadata).with(2, name)
}

fn run_pod(name: &str) -> Result<Pod, String> {
    let id =
        cri::call("RuntimeService/RunPodSandbox", &Message::default().with(1, pod_config(name)))?
            .text(&[1]);
    let status = pod_status(&id);
    assert_eq!(status.number(&[1, 3]), 0, "it is not ready");
    // What CRI does not have a field for, containerd tells as JSON.
    let info: Value = serde_json::from_str(&status.text(&[2, 2])).unwrap();
    let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array().unwrap();
    let netns = namespaces.iter().find(|namespace| namespace["type"] == "network").unwrap();
    let pid = info["pid"].as_u64().unwrap();
    ok(&format!("echo {pid} >> /tmp/check.pids"));
    Ok(Pod {
        name: name.to_owned(),
        id,
        ip: status.text(&[1, 5, 1]),
        pid,
        netns: netns["path"].as_str().unwrap().to_owned(),
    })
}

/// PodSandboxStatusResponse: status (state in 3, network with the IP in 5) and info.
fn pod_status(id: &str) -> Message {
    let request = Message::default().with(1, id).with_number(2, 1);
    cri::call("RuntimeService/PodSandboxStatus", &request).unwrap()
}

#[track_caller]
fn of_pod(method: &str, pod: &Pod) {
    let request = Message::default().with(1, &pod.id);
    cri::call(&format!("RuntimeService/{method}"), &request).unwrap();
}

/// Starts busybox in a pod; its id.
fn run_container(pod: &Pod) -> String {
    let image = Message::default().with(1, "pause:lab");
    let config = Message::default().with(1, Message::default().with(1, "main")).with(2, image);
    let request =
        Message::default().with(1, &pod.id).with(2, config).with(3, pod_config(&pod.name));
    let id = cri::call("RuntimeService/CreateContainer", &request).unwrap().text(&[1]);
    cri::call("RuntimeService/StartContainer", &Message::default().with(1, &id)).unwrap();
    id
}

/// What each returns, all of them running at the same time.
fn at_once<T: Send>(calls: impl Iterator<Item = impl FnOnce() -> T + Send>) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = calls.map(|call| scope.spawn(call)).collect();
        let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        // With its own message.
        ended.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// containerd 1.6 calls ADD and DEL only, the latter again and again, and without a namespace when its
/// path is gone.
pub fn pods_of_containerd_ping_each_other_and_leave_nothing() {
    containerd();
    ok("cd /tmp && tar -C rootfs -cf layer.tar . && sum=$(sha256sum < layer.tar | cut -d ' ' -f 1)
        echo '{\"architecture\": \"amd64\", \"os\": \"linux\", \"config\": {\"Entrypoint\": [\"/bin/sleep\", \"1000\"]},
               \"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"sha256:'$sum'\"]}}' > config.json
        echo '[{\"Config\": \"config.json\", \"RepoTags\": [\"pause:lab\"], \"Layers\": [\"layer.tar\"]}]' > manifest.json
        tar -cf pause.tar layer.tar config.json manifest.json");
    ctr("-n k8s.io images import /tmp/pause.tar").exits(0);
    let image = Message::default().with(1, Message::default().with(1, "pause:lab"));
    eventually("CRI has heard of the image", || {
        cri::call("ImageService/ImageStatus", &image)
            .is_ok_and(|answer| !answer.text(&[1, 1]).is_empty())
    });
    let before = state();
    // Eight at once for seven VFs: one is told why, and containerd leaves nothing of it.
    let started = at_once((0..8).map(|nth| move || run_pod(&format!("p{nth}"))));
    let (pods, refused): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
    let refused: Vec<String> = refused.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("no VF of eth0 is free"), "{}", refused[0]);
    let pods: Vec<Pod> = pods.into_iter().filter_map(Result::ok).collect();
    let listed = sh("$S inspect-state --json").exits(0).out;
    let ips: Vec<&str> = pods.iter().map(|pod| pod.ip.as_str()).collect();
    for (nth, pod) in pods.iter().enumerate() {
        assert!(listed.contains(&pod.id), "{listed}");
        assert!(pod.ip.starts_with("10.1.0.") && !ips[..nth].contains(&pod.ip.as_str()), "{ips:?}");
    }
    let all = format!("for ip in {}; do ping -c 1 -W 1 $ip || exit 1; done", ips.join(" "));
    for pod in &pods {
        eventually("all are reached", || {
            sh(&format!("nsenter --net={} bash -c '{all}'", pod.netns)).code == 0
        });
    }
    // And from a container in one of them.
    let container = run_container(&pods[0]);
    let exec = Message::default().with(1, &container).with(2, "sh").with(2, "-c").with(2, &all);
    let answer = cri::call("RuntimeService/ExecSync", &exec).unwrap();
    assert_eq!(answer.number(&[3]), 0, "{}{}", answer.text(&[1]), answer.text(&[2]));
    assert_eq!(answer.text(&[1]).matches("1 packets received").count(), 7);

    // However a pod ends, its VF comes back, and the next one can have it.
    let [running, killed, unnamed, gone, not_stopped, rest @ ..] = pods.as_slice() else {
        panic!("{} pods", pods.len())
    };
    let unname = |pod: &Pod| ok(&format!("umount {0} && rm {0}", pod.netns));
    let kill = |pod: &Pod| {
        ok(&format!("kill -KILL {}", pod.pid));
        eventually("containerd has noticed", || pod_status(&pod.id).number(&[1, 3]) == 1);
    };
    kill(killed);
    unname(unnamed);
    unname(gone);
    kill(gone);
    let ends = [("running", running), ("killed", killed), ("unnamed", unnamed), ("gone", gone)];
    for (end, pod) in ends {
        of_pod("StopPodSandbox", pod);
        assert!(!sh("$S inspect-state --json").out.contains(&pod.id), "{end}: it still has its VF");
        // kubelet says it more than once.
        of_pod("StopPodSandbox", pod);
        of_pod("RemovePodSandbox", pod);
    }
    let next = run_pod("next").unwrap();
    of_pod("RemovePodSandbox", not_stopped);
    at_once(rest.iter().chain([&next]).map(|pod| {
        move || {
            of_pod("StopPodSandbox", pod);
            of_pod("RemovePodSandbox", pod);
        }
    }));
    // The namespaces are gone, and what containerd and the plugin have written down.
    let written = "find /var/lib/cni/{results,sriov} -type f ! -path '*/vf_lock/*' ! -name lock";
    assert_eq!(ok(written), "");
    assert_eq!(ok("ls /run/netns"), "blue\nred");
    end_containerd(&before);
}

/// As k8snetworkplumbingwg/sriov-cni 2.10 and xftony/sriov-cni write them down.
pub fn what_other_plugins_attached_is_given_back_from_their_records() {
    node();
    let before = state();
    let theirs = "/var/lib/cni/sriov";
    let files =
        "cd /var/lib/cni/sriov && find . -type f ! -path './pci/vf_lock/*' ! -path './sriovctl/*'";
    let mac = ok("cat /sys/class/net/eth2/address");
    // What the PF lists, be it that it has only heard of it.
    let admin = ok("ip -d -j link show eth0 | jq -r '.[0].vfinfo_list[1].address'");
    for how in ["DEL", "GC", "gone", "another ADD"] {
        ok(&format!(
            "ip link set eth0 vf 1 vlan 100; ip link set eth0 vf 1 trust on
            ip link set eth2 address 02:00:00:00:00:77; ip link set eth0 vf 1 mac 02:00:00:00:00:77
            ip link set eth2 netns blue name net1; ip -n blue link set net1 mtu 1400 up
            mkdir -p {theirs}/pci; printf /run/netns/blue > {theirs}/pci/0000:01:10.2
            cat > {theirs}/c7-net1 <<'END'
            {{\"cniVersion\":\"0.3.1\",\"name\":\"blue\",\"type\":\"sriov\",\"deviceID\":\"0000:01:10.2\",\"vlan\":100,
             \"OrigVfState\":{{\"HostIFName\":\"eth2\",\"SpoofChk\":true,\"Trust\":false,\"AdminMAC\":\"{admin}\",
             \"EffectiveMAC\":\"{mac}\",\"Vlan\":0,\"VlanQoS\":0,\"VlanProto\":33024,\"MinTxRate\":0,\"MaxTxRate\":0,\"LinkState\":0,
             \"MTU\":1500}},\"DPDKMode\":false,\"Master\":\"eth0\",\"VFID\":1,\"MTU\":1400}}
END"
        ));
        let mut config = config(json!({"deviceID": "0000:01:10.2"}));
        config.as_object_mut().unwrap().remove("ipam");
        let error = call("ADD", "c8", "red", &config).exits(1).json();
        assert!(
            error["msg"]
                .as_str()
                .unwrap()
                .starts_with("pci address 0000:01:10.2 is already allocated"),
            "{error}"
        );
        call("CHECK", "c7", "blue", &config).exits(0);
        match how {
            "DEL" => drop(call("DEL", "c7", "blue", &config).exits(0)),
            "GC" => {
                config["cni.dev/valid-attachments"] = json!([]);
                call("GC", "", "", &config).exits(0);
            }
            "gone" => {
                ok("ip netns del blue; ip netns add blue2; ip netns add blue");
                call("DEL", "c7", "", &config).exits(0);
            }
            _ => {
                ok("ip netns del blue");
                call("ADD", "c8", "red", &config).exits(0);
                assert_eq!(inside("red")["mtu"], 1500);
                call("DEL", "c8", "red", &config).exits(0);
                ok("ip netns add blue");
            }
        }
        assert_eq!(ok(files), "", "{how}: files are left");
        assert_clean(&before);
    }
    // xftony: below the inode of the namespace, with the driver to go back to.
    ok(&format!(
        "modprobe vfio-pci; d={theirs}/$(stat -Lc %i /run/netns/blue); mkdir -p $d
        echo '{{\"pci_addr\":\"0000:01:10.2\",\"ifname\":\"net0\",\"kernel_driver\":\"igbvf\",\"dpdk_driver\":\"vfio-pci\",\"vfid\":1}}' > $d/c7-net0.json
        ip link set eth0 vf 1 vlan 9; cd /sys/bus/pci/devices/0000:01:10.2; echo vfio-pci > driver_override
        echo 0000:01:10.2 > driver/unbind; echo 0000:01:10.2 > /sys/bus/pci/drivers/vfio-pci/bind; echo > driver_override"
    ));
    let dpdk = json!({"if0": "eth0", "if0name": "net0", "dpdk": {"kernel_driver": "igbvf", "dpdk_driver": "vfio-pci"}});
    call("DEL", "c7", "", &config(dpdk)).exits(0);
    assert_eq!(ok("basename $(readlink /sys/class/net/eth0/device/virtfn1/driver)"), "igbvf");
    assert!(!ok("ip link show eth0 | grep 'vf 1 '").contains("vlan"));
    assert_eq!(ok(files), "");
    assert_eq!(ok(&format!("ls {theirs}")), "pci\nsriovctl");
    // And as xftony's, so that the container finds its device by itself.
    let told = config(json!({"if0": "eth0", "cniDir": "/run/cni-dir"}));
    call("ADD", "c1", "blue", &told).exits(0);
    let found = ok(
        "ip netns exec blue bash -c 'cat /run/cni-dir/$(readlink /proc/self/ns/net | tr -dc 0-9)/*.json'",
    );
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!((&found["pci_addr"], &found["vfid"]), (&json!("0000:01:10.0"), &json!(0)));
    call("DEL", "c1", "blue", &told).exits(0);
    assert_eq!(ok("find /run/cni-dir -type f"), "");
    // And what is attached here another plugin finds, should the node be switched back.
    let ours = config(json!({"deviceID": "0000:01:10.4"}));
    call("ADD", "c1", "blue", &ours).exits(0);
    assert_eq!(ok(&format!("cat {theirs}/pci/0000:01:10.4")), "/run/netns/blue");
    let told: Value = serde_json::from_str(&ok(&format!("cat {theirs}/c1-net1"))).unwrap();
    assert_eq!(told["OrigVfState"]["HostIFName"], "eth3", "{told}");
    call("DEL", "c1", "blue", &ours).exits(0);
    assert_eq!(ok(files), "");
}

/// What an independent review broke.
pub fn odd_files_late_calls_and_odd_plugins_do_no_harm() {
    node();
    let before = state();
    let of = |vf: u8| config(json!({"deviceID": format!("0000:01:10.{}", vf * 2)}));
    // What is no file in a directory that others write to is not waited for, and fails nothing.
    ok("mkdir -p /var/lib/cni/sriov/pci; mkfifo /var/lib/cni/sriov/pci/0000:01:10.2 /var/lib/cni/sriov/fifo-net1
        ln -s /etc /var/lib/cni/sriov/4711; ln -s /etc/passwd /var/lib/cni/sriov/c9-net1
        for s in all default; do ip netns exec blue sysctl -qw net.ipv6.conf.$s.disable_ipv6=1; done");
    let added = call("ADD", "c1", "blue", &of(1)).exits(0).json();
    assert_eq!(added["ips"].as_array().unwrap().len(), 2);
    assert!(inside("blue").to_string().contains("fd01::"), "though IPv6 was off there");
    call("DEL", "c9", "", &of(1)).exits(0);
    let mut gc = of(1);
    gc["cni.dev/valid-attachments"] = json!([{"containerID": "c1", "ifname": "net1"}]);
    call("GC", "", "", &gc).exits(0);
    assert!(!inside("blue").is_null());
    call("DEL", "c1", "blue", &of(1)).exits(0);
    ok("rm -rf /var/lib/cni/sriov/{pci,fifo-net1,4711,c9-net1}; test -s /etc/passwd");
    // The late DEL of a former owner takes nothing of the next one's.
    call("ADD", "old", "blue", &of(1)).exits(0);
    ok("ip netns del blue; ip netns add blue");
    call("ADD", "new", "red", &of(1)).exits(0);
    call("DEL", "old", "", &of(1)).exits(0);
    assert_eq!(ok("cat /var/lib/cni/sriov/pci/0000:01:10.2"), "/run/netns/red");
    assert!(!inside("red").is_null());
    call("DEL", "new", "red", &of(1)).exits(0);
    // Nor does it touch what an administrator did with the VF since.
    ok("ip link set eth0 vf 1 vlan 77");
    call("DEL", "old", "", &of(1)).exits(0);
    assert!(ok("ip link show eth0 | grep 'vf 1 '").contains("vlan 77"));
    ok("ip link set eth0 vf 1 vlan 0");
    // Four at once: each allocation names its own namespace.
    let add = |vf: u8| {
        format!(
            "ip netns add n{vf}; CNI_COMMAND=ADD CNI_CONTAINERID=p{vf} CNI_IFNAME=net1 CNI_NETNS=/run/netns/n{vf} \
             CNI_PATH={BIN} {BIN}/sriov <<< '{}' > /dev/null 2>&1 &",
            of(vf)
        )
    };
    ok(&format!("{}\nwait", (0..4).map(add).collect::<Vec<_>>().join("\n")));
    for vf in 0..4 {
        let path = format!("cat /var/lib/cni/sriov/pci/0000:01:10.{}", vf * 2);
        assert_eq!(ok(&path), format!("/run/netns/n{vf}"));
        call("DEL", &format!("p{vf}"), &format!("n{vf}"), &of(vf)).exits(0);
        ok(&format!("ip netns del n{vf}"));
    }
    // An IPAM plugin that gives an address out and answers rubbish.
    ok(&format!(
        "cat > {BIN}/odd <<'END'
#!/bin/sh
[ $CNI_COMMAND = ADD ] || exec {BIN}/host-local
{BIN}/host-local > /dev/null; echo rubbish
END
        chmod 755 {BIN}/odd"
    ));
    let mut odd = of(1);
    odd["cniVersion"] = json!("1.0.0");
    odd["ipam"]["type"] = json!("odd");
    let error = call("ADD", "c1", "blue", &odd).exits(1).json();
    assert!(error["msg"].as_str().unwrap().contains("answered no JSON"), "{error}");
    assert_clean(&before);
}
