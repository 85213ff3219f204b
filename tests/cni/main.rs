//! The CNI plugin on the kernel in memory: a case is a directory below `cases/`.
//!
//! | file | what |
//! |---|---|
//! | `env` | `NAME=VALUE` lines; `CNI_PATH` is `plugins/` here unless it is given |
//! | `stdin` | the configuration |
//! | `world` | optional: what is there before, a line each (see [`World::make`]) |
//! | `stdout` | what is printed, or nothing; JSON is compared as JSON |
//! | `exit` | the exit code |
//! | `after` | what is so afterwards: drivers, places and settings of the VFs that are not as made |
//!
//! `UPDATE=1 cargo test --test cni` writes the last three; look at them before committing.

#[allow(dead_code, reason = "every test binary uses another part of it")]
#[path = "../faults/kernel.rs"]
mod kernel;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use sriovctl::cni;

use self::kernel::{FakeKernel, VfState};

/// Containers' namespaces.
const NAMESPACES: [u64; 2] = [100, 200];

fn dir() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cni")
}

fn environment(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let mut env: BTreeMap<String, String> =
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let plugins = dir().join("plugins").display().to_string();
    env.entry("CNI_PATH".to_owned()).or_insert(plugins);
    env
}

/// One call; returns its standard output and exit code.
fn call(kernel: &FakeKernel, env: &BTreeMap<String, String>, stdin: &str) -> (String, u8) {
    let mut out = Vec::new();
    let get = |name: &str| env.get(name).cloned();
    let code = cni::run(&get, &mut stdin.as_bytes(), &mut out, kernel);
    (String::from_utf8(out).unwrap(), u8::from(code != ExitCode::SUCCESS))
}

/// What is there before the call.
fn world(text: &str) -> FakeKernel {
    let kernel = FakeKernel::with_vfs(4);
    {
        let mut world = kernel.world.borrow_mut();
        for inode in NAMESPACES {
            world.namespaces.insert(inode, ["lo".to_owned(), "eth0".to_owned()].into());
        }
        world.host_others.insert("eth0".to_owned());
    }
    for line in text.lines() {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        match what {
            // add CONTAINER IFNAME NETNS JSON: an ADD that succeeds
            "add" => {
                let parts: Vec<&str> = rest.splitn(4, ' ').collect();
                let (out, code) = call(&kernel, &add_env(parts[0], parts[1], parts[2]), parts[3]);
                assert_eq!(code, 0, "{line}: {out}");
            }
            // theirs CONTAINER IFNAME NETNS JSON: another plugin attached it; one that keeps its
            // record below the inode of the namespace says so by the key `inode`
            "theirs" => {
                let parts: Vec<&str> = rest.splitn(4, ' ').collect();
                let says: Value = serde_json::from_str(parts[3]).unwrap();
                let inode = says["inode"].as_u64();
                let says = sriovctl::model::neighbour::Neighbour::parse(&says).unwrap();
                // One file a name, whoever writes it.
                let name = format!("{}-{}", parts[0], parts[1]);
                kernel.neighbours.borrow_mut().retain(|found| found.path != name);
                kernel.neighbours.borrow_mut().push(sriovctl::engine::neighbours::Found {
                    name: format!("{}-{}", parts[0], parts[1]),
                    netns: Some(format!("/run/netns/{}", parts[2])),
                    of_this_boot: true,
                    inode,
                    path: format!("{}-{}", parts[0], parts[1]),
                    says,
                });
                let index = line.split("0000:01:10.").nth(1).unwrap()[..1].parse().unwrap();
                kernel.change_vf(index, |vf| {
                    let netdev = vf.netdev.as_mut().unwrap();
                    (netdev.name, netdev.netns) =
                        (parts[1].into(), Some(parts[2].parse().unwrap()));
                    (netdev.up, netdev.mtu) = (true, 1400);
                });
            }
            // twoport VF: its device has a second port
            "twoport" => kernel.add_second_port(words[0].parse().unwrap()),
            // taken NETNS NAME: an interface of that name is in the namespace
            "taken" => {
                let mut world = kernel.world.borrow_mut();
                let names = world.namespaces.get_mut(&words[0].parse().unwrap());
                names.unwrap().insert(words[1].to_owned());
            }
            // gone NETNS: the namespace is deleted
            "gone" => kernel.delete_netns(words[0].parse().unwrap()),
            // vfio VF: it is on vfio-pci
            "vfio" => kernel.change_vf(words[0].parse().unwrap(), |vf| {
                (vf.driver, vf.netdev) = (Some("vfio-pci".into()), None);
            }),
            // used VF: the host uses it
            "used" => kernel.change_vf(words[0].parse().unwrap(), |vf| {
                vf.users = vec![sriovctl::model::usage::User::Address("192.0.2.1/24".into())];
            }),
            // change VF WHAT: somebody changed it
            "change" => kernel.change_vf(words[0].parse().unwrap(), |vf| change(vf, words[1])),
            // refuse N ERRNO: the N-th step is refused
            "refuse" => kernel.begin_with(kernel::Faults {
                refuse: Some((words[0].parse().unwrap(), words[1].parse().unwrap())),
                ..kernel::Faults::default()
            }),
            other => panic!("{other} is no word of a world"),
        }
    }
    kernel
}

fn change(vf: &mut VfState, what: &str) {
    let netdev = vf.netdev.as_mut().unwrap();
    match what {
        "name" => netdev.name = "other".into(),
        "mac" => netdev.mac.0[5] ^= 1,
        "mtu" => netdev.mtu -= 100,
        "down" => netdev.up = false,
        "addresses" => netdev.addresses.clear(),
        "routes" => netdev.routes.clear(),
        "gateway" => netdev.routes = vec!["default via 10.0.0.2".into(), "10.9.0.0/16".into()],
        "netns" => netdev.netns = Some(200),
        "home" => netdev.netns = None,
        "vlan" => vf.settings.vlan = Some(sriovctl::model::link::VlanTag::default()),
        "trust" => vf.settings.trust = vf.settings.trust.map(|on| !on),
        other => panic!("{other} is no change"),
    }
}

fn add_env(container: &str, ifname: &str, netns: &str) -> BTreeMap<String, String> {
    environment(&format!(
        "CNI_COMMAND=ADD\nCNI_CONTAINERID={container}\nCNI_IFNAME={ifname}\nCNI_NETNS=/run/netns/{netns}"
    ))
}

/// The VFs that are not as they were made, a line each.
fn after(kernel: &FakeKernel) -> String {
    let fresh = FakeKernel::with_vfs(4);
    (0..4).for_each(|index| fresh.add_second_port(index));
    let fresh = fresh.world();
    let mut lines = Vec::new();
    for (index, vf) in &kernel.world().vfs {
        if *vf == fresh.vfs[index] {
            continue;
        }
        let has = &vf.settings;
        let mut words = vec![format!("{index}:")];
        words.push(vf.driver.clone().unwrap_or_else(|| "no driver".into()));
        if let Some(netdev) = &vf.netdev {
            let place = netdev.netns.map_or("host".into(), |inode| inode.to_string());
            let up = if netdev.up { "up" } else { "down" };
            words
                .push(format!("{} in {place} {up} {} mtu {}", netdev.name, netdev.mac, netdev.mtu));
            words.extend(netdev.addresses.iter().cloned());
            words.extend(netdev.routes.iter().map(|route| format!("route {route}")));
        }
        let was = &fresh.vfs[index].settings;
        if has != was {
            words.push(format!(
                "| mac {} vlan {:?} spoofchk {:?} trust {:?} rates {:?} {:?} state {:?}",
                has.mac.unwrap(),
                has.vlan.unwrap(),
                has.spoofchk.unwrap(),
                has.trust.unwrap(),
                has.min_tx_rate.unwrap(),
                has.max_tx_rate.unwrap(),
                has.link_state.unwrap()
            ));
        }
        lines.push(words.join(" "));
    }
    let records = kernel.records.borrow();
    lines.extend(records.iter().map(|(device, (done, record))| {
        let word = if *done { "record" } else { "journal" };
        format!("{word} {device} {}", record.owner)
    }));
    let theirs = kernel.neighbours.borrow();
    lines.extend(theirs.iter().map(|found| format!("told {} {}", found.path, found.says.device)));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Standard output on a disk that is full, or closed.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_add_whose_answer_cannot_be_told_is_undone() {
    let kernel = world("");
    let stdin = r#"{"cniVersion":"1.0.0","name":"blue","type":"sriov","deviceID":"0000:01:10.1","vlan":100}"#;
    let env = add_env("c1", "net1", "100");
    let get = |name: &str| env.get(name).cloned();
    let code = cni::run(&get, &mut stdin.as_bytes(), &mut Full, &kernel);
    assert!(code != ExitCode::SUCCESS);
    assert_eq!(after(&kernel), "");
}

#[test]
fn every_case_is_as_it_is_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut names: Vec<_> =
        fs::read_dir(dir().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 150, "only {} cases", names.len());
    let mut wrong = Vec::new();
    for case in &names {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let read = |file: &str| fs::read_to_string(case.join(file)).unwrap_or_default();
        let kernel = world(&read("world"));
        let (stdout, code) = call(&kernel, &environment(&read("env")), &read("stdin"));
        let plugins = dir().join("plugins").display().to_string();
        let stdout = stdout.replace(&plugins, "PLUGINS");
        assert!(stdout.lines().count() <= 1, "{name}: more than one document: {stdout}");
        let after = after(&kernel);
        if update {
            let pretty = |text: &str| match serde_json::from_str::<Value>(text) {
                Ok(value) => format!("{value:#}\n"),
                Err(_) => text.to_owned(),
            };
            fs::write(case.join("stdout"), pretty(&stdout)).unwrap();
            fs::write(case.join("exit"), format!("{code}\n")).unwrap();
            fs::write(case.join("after"), &after).unwrap();
            continue;
        }
        let json = |text: &str| serde_json::from_str::<Value>(text).ok();
        let same = json(&stdout) == json(&read("stdout"))
            && stdout.is_empty() == read("stdout").is_empty();
        if !same || read("exit").trim() != code.to_string() || read("after") != after {
            wrong.push(format!("{name}: exit {code}\n{stdout}{after}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}
