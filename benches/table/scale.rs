//! What grows with the VFs and with the records, and how: whole processes on made-up hosts. The files
//! are in memory, so that reading one is cheaper here than in a live sysfs.

use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use sriovctl::cni;
use sriovctl::engine::store::Store;
use sriovctl::host::Host;
use sriovctl::model::record::Owner;

use crate::measure::{self, Program, Times, ms};
use crate::plot::Line;
use crate::records;
use crate::report::Row;
use crate::support::named::{mixed_4k, scale};
use crate::support::tree::Tree;

/// What is asked of each host.
const ASKED: [&str; 7] = [
    "list-pfs",
    "list-vfs",
    LIVE,
    "inspect-state",
    "STATUS of a pool on a tree",
    "GC, nothing to do",
    "records that an ADD reads",
];

/// With the tree in place of this machine's sysfs. Interfaces come by netlink, which has none for these VFs, so that they are
/// looked for in all namespaces; the rest, processes and the list of PCI ids, is this machine's.
const LIVE: &str = "list-vfs, live";
/// The host that counts for it.
const MIXED: &str = "16 x 256";

/// Times a program in a mount namespace with the tree's sysfs, or without; `None` where there can be none.
fn time(program: &Program, tree: &Tree, is_live: bool, rounds: usize) -> Option<Times> {
    if !is_live {
        return Some(measure::in_turn(&[program], rounds)[0]);
    }
    let live = || {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).ok()?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).ok()?;
        mount(Some(&tree.path("sys")), "/sys", none, MsFlags::MS_BIND, none).ok()?;
        Some(measure::in_turn(&[program], rounds)[0])
    };
    // A thread can have a namespace of its own, and it ends with it.
    std::thread::scope(|scope| scope.spawn(live).join().expect("times"))
}

fn program(sriovctl: &str, what: &str, tree: &Tree) -> Program {
    let root = tree.root().display().to_string();
    let own = std::env::current_exe().expect("this program").display().to_string();
    let child = |what: &str| Program::new([&own, "--child", what, &root]);
    let listed = |what: &str| Program::new([sriovctl, "--root", &root, what, "--json"]);
    match what {
        "STATUS of a pool on a tree" => child("STATUS"),
        "GC, nothing to do" => child("GC"),
        "records that an ADD reads" => child("records"),
        // It exits with another status, since it finds that all of them are over.
        "inspect-state" => listed(what).may_fail(),
        LIVE => Program::new([sriovctl, "list-vfs", "--json"]),
        listing => listed(listing),
    }
}

/// What the plugin does for a call on another root than `/`, which the command line does not offer.
pub fn child(what: &str, root: &str) -> std::process::ExitCode {
    let host = Host::new(Path::new(root));
    if what == "records" {
        let owner = |container: &str| Owner {
            network: "blue".to_owned(),
            container: Some(container.to_owned()),
            ifname: Some("net1".to_owned()),
        };
        let of = |container| host.stored_of_call(&owner(container)).expect("records").len();
        // That of a call which has one, and of one that has none, as mostly.
        assert_eq!((of("other-0"), of("another")), (1, 0));
        return std::process::ExitCode::SUCCESS;
    }
    let env = |name: &str| match name {
        "CNI_COMMAND" => Some(what.to_owned()),
        "CNI_PATH" => Some("/none".to_owned()),
        _ => None,
    };
    let input = br#"{"cniVersion":"1.1.0","name":"blue","type":"sriov","pool":["ens0"],"cni.dev/valid-attachments":[]}"#;
    cni::run(&env, &mut input.as_slice(), &mut std::io::stdout().lock(), &host)
}

/// Every VF of a tree.
fn devices(tree: &Tree) -> Vec<String> {
    let all = std::fs::read_dir(tree.path("sys/bus/pci/devices")).expect("devices");
    let all = all.map(|entry| entry.expect("an entry"));
    let vfs = all.filter(|entry| entry.path().join("physfn").exists());
    vfs.map(|entry| entry.file_name().into_string().expect("an address")).collect()
}

fn host(tree: Tree) -> Tree {
    // Of a former boot, so that nothing but the record says what became of it.
    tree.write("proc/sys/kernel/random/boot_id", "now\n");
    records::write(tree.root(), &devices(&tree), "former");
    tree
}

pub fn rows(sriovctl: &str, is_real: bool) -> (Vec<Row>, Vec<Line>) {
    let sizes: &[u16] = if is_real { &[1, 16, 64, 256, 1024, 4096] } else { &[1, 16] };
    let mut hosts: Vec<(String, u16, Tree)> =
        sizes.iter().map(|size| (size.to_string(), *size, host(scale(*size)))).collect();
    if is_real {
        hosts.push((MIXED.to_owned(), 4096, host(mixed_4k())));
    }
    println!("\nAs many records as VFs, whole processes, min / median ms");
    print!("{:>26}", "VFs");
    for (name, ..) in &hosts {
        print!(" {name:>15}");
    }
    println!(" {:>12}", "us per VF");
    let mut lines = Vec::new();
    let mut live = None;
    for what in ASKED {
        print!("{what:>26}");
        let mut points: Vec<(u16, Times)> = Vec::new();
        for (name, size, tree) in &hosts {
            let rounds = if is_real { if *size > 256 { 9 } else { 25 } } else { 1 };
            let program = program(sriovctl, what, tree);
            let Some(times) = time(&program, tree, what == LIVE, rounds) else {
                print!(" {:>15}", "not permitted");
                continue;
            };
            if what == LIVE && name == MIXED {
                let text = format!("{:.1} / {:.1} ms", ms(times.min), ms(times.median));
                let row = Row::new(&format!("{LIVE}, {MIXED}"), text, "", None);
                live = Some(row.goal("60 ms"));
            }
            print!(" {:>15}", format!("{:.2} / {:.2}", ms(times.min), ms(times.median)));
            points.push((*size, times));
        }
        points.truncate(sizes.len());
        if points.is_empty() {
            println!();
            continue;
        }
        println!(" {:>12.2}", per_vf(&points));
        lines.push(Line {
            name: what.to_owned(),
            points: points.iter().map(|(size, times)| (f64::from(*size), ms(times.min))).collect(),
        });
    }
    (lines.iter().map(row).chain(live).collect(), lines)
}

/// What each VF beyond the first costs, at the largest host.
fn per_vf(points: &[(u16, Times)]) -> f64 {
    let (first, last) = (points[0], points[points.len() - 1]);
    let more = last.1.min.saturating_sub(first.1.min);
    more.as_secs_f64() * 1e6 / f64::from(last.0 - first.0)
}

/// The largest beside a quarter of it: 4 is linear, 1 is independent, 16 quadratic.
fn row(line: &Line) -> Row {
    let [.., (fewer, before), (most, last)] = line.points[..] else { unreachable!("two sizes") };
    let what = line.name.as_str();
    let goal = match what {
        "records that an ADD reads" => "independent (1)",
        _ => "linear (4)",
    };
    let text = |size: f64, time: f64| format!("{time:.2} ms at {size:.0}");
    Row::new(
        &format!("{what}, by VFs and records"),
        text(most, last),
        text(fewer, before),
        Some(last / before),
    )
    .goal(goal)
}
