//! Which processes hold VFIO and UIO nodes open: a VF in such hands is in use, and destroying it
//! blocks in the kernel until they let go.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::sysfs;
use crate::model::facts::Holder;
use crate::order;

/// Everyone who holds such a node, under the name of the node that VFs are listed with.
pub fn read(aliases: &HashMap<String, String>) -> Vec<Holder> {
    let mut holders = Vec::new();
    for pid in sysfs::names(Path::new("/proc")).iter().filter_map(|name| name.parse::<u32>().ok()) {
        // Processes end while they are looked at, and belong to others: neither is an error.
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let mut nodes: Vec<String> = entries
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .filter_map(|target| target.to_str().map(str::to_owned))
            .filter(|target| is_node(target))
            .map(|node| aliases.get(&node).cloned().unwrap_or(node))
            .collect();
        order::sort(&mut nodes);
        nodes.dedup();
        if nodes.is_empty() {
            continue;
        }
        let comm = sysfs::text(Path::new(&format!("/proc/{pid}/comm")));
        let comm = comm.unwrap_or_else(|| "?".to_owned());
        holders.extend(nodes.into_iter().map(|node| Holder { node, pid, comm: comm.clone() }));
    }
    order::sort_by_key(&mut holders, |holder| holder.pid);
    holders
}

/// `/dev/vfio/vfio` is the container that every user opens, not a device.
pub(super) fn is_node(target: &str) -> bool {
    (target.starts_with("/dev/vfio/") && target != "/dev/vfio/vfio")
        || target.strip_prefix("/dev/uio").is_some_and(|rest| rest.parse::<u32>().is_ok())
}
