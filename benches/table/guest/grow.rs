//! What a call costs beside many other attachments, and many other VFs.

use std::path::Path;

use serde_json::Value;

use super::{call, of_device, sh, system_calls};
use crate::measure::{Program, Times, in_turn, ms, ratio};
use crate::records;
use crate::report::Row;
use crate::support::named::scale;

/// A thousand take an ADD seconds here.
const SIZES: [usize; 5] = [1, 16, 64, 256, 1024];

pub fn rows(sriovctl: &str, _: &str) -> Vec<Row> {
    let mut rows = beside_records();
    rows.push(beside_vfs());
    rows.push(listing(sriovctl));
    rows
}

/// One ADD and one DEL on a node with so many attachments of others.
fn beside_records() -> Vec<Row> {
    println!("\nOne ADD and DEL beside records of other attachments, min / median ms");
    println!("{:>8} {:>18} {:>18} {:>22}", "records", "ADD", "DEL", "system calls of ADD");
    let boot_id = sh("cat /proc/sys/kernel/random/boot_id");
    let (add, del) = (call("ADD", 1, &Value::Null), call("DEL", 1, &Value::Null));
    let mut all = Vec::new();
    for size in SIZES {
        records::write(Path::new("/"), &records::addresses(size), &boot_id);
        let times = in_turn(&[&add, &del], 3);
        let calls = system_calls(&[], &add);
        del.time();
        let text = |times: Times| format!("{:.1} / {:.1}", ms(times.min), ms(times.median));
        println!("{size:>8} {:>18} {:>18} {calls:>22}", text(times[0]), text(times[1]));
        all.push((times[0], calls));
    }
    sh("rm -rf /var/lib/cni/sriov");
    let ((few, few_calls), (many, many_calls)) = (all[0], all[all.len() - 1]);
    let ms = |times: Times| format!("{:.1} ms", ms(times.min));
    vec![
        Row::new(
            "ADD beside 1024 records against 1 (lab)",
            ms(many),
            ms(few),
            Some(ratio(many.min, few.min)),
        )
        .goal("independent (1)"),
        Row::new(
            "the same, system calls",
            many_calls.to_string(),
            few_calls.to_string(),
            Some(of_counts(many_calls, few_calls)),
        )
        .goal("independent (1)"),
    ]
}

#[allow(clippy::cast_precision_loss)] // thousands
fn of_counts(many: usize, few: usize) -> f64 {
    many as f64 / few as f64
}

/// What an ADD does until it finds that its VF, the one in the middle, has no interface: made-up sysfs, real
/// everything else.
fn beside_vfs() -> Row {
    println!("\nSystem calls of an ADD that is refused, since its VF is made up, by VFs of the PF");
    let mut all = Vec::new();
    for size in [1_u16, 16, 64, 256, 1024] {
        let tree = scale(size);
        let device = sh(&format!(
            "basename $(readlink {}/sys/bus/pci/devices/0000:80:00.0/virtfn{})",
            tree.root().display(),
            size / 2
        ));
        let add = of_device("ADD", 1, &device, &Value::Null);
        let script = "mount --bind \"$0/sys\" /sys && exec \"$@\"";
        let root = tree.root().display().to_string();
        let calls = system_calls(&["unshare", "-m", "bash", "-c", script, &root], &add.may_fail());
        println!("{size:>8} VFs {calls:>8}");
        all.push(calls);
    }
    let (few, many) = (all[0], all[all.len() - 1]);
    Row::new(
        "ADD beside 1024 VFs against 1, system calls",
        many.to_string(),
        few.to_string(),
        Some(of_counts(many, few)),
    )
    .goal("independent (1)")
}

/// Lists of VFs that the kernel simulates: what netlink costs.
fn listing(sriovctl: &str) -> Row {
    println!("\nlist-vfs of netdevsim's VFs, with every setting by netlink, min / median ms");
    sh("modprobe psample; modprobe netdevsim; echo '7 1 4' > /sys/bus/netdevsim/new_device");
    let list = Program::new([sriovctl, "list-vfs", "netdevsim/netdevsim7", "--json"]);
    let mut all = Vec::new();
    for size in [1, 16, 64, 256, 512] {
        sh(&format!(
            "d=/sys/bus/netdevsim/devices/netdevsim7; echo 0 > $d/sriov_numvfs
            echo {size} > /sys/kernel/debug/netdevsim/netdevsim7/max_vfs; echo {size} > $d/sriov_numvfs"
        ));
        let times = in_turn(&[&list], 7)[0];
        println!("{size:>8} VFs {:>10.1} / {:.1}", ms(times.min), ms(times.median));
        all.push(times.min);
    }
    let (fewer, most) = (all[all.len() - 2], all[all.len() - 1]);
    let text = |time| format!("{:.1} ms", ms(time));
    Row::new(
        "list-vfs of 512 by netlink against 256 (lab)",
        text(most),
        text(fewer),
        Some(ratio(most, fewer)),
    )
    .goal("linear (2)")
}
