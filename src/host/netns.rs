//! Other network namespaces: which there are, who is in them, and what is in them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};

use super::netlink::Netlink;
use super::sysfs;
use crate::error::{Error, Result};
use crate::model::link::{Link, Netns};

/// Directories in which namespaces are kept by name.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Device and inode of this process's own namespace.
pub fn own() -> Result<(u64, u64)> {
    identity(Path::new("/proc/self/ns/net"))
        .map_err(|error| Error::io("reading /proc/self/ns/net", &error))
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Every other namespace, found by name or by a process in it.
pub fn others() -> Result<Vec<Netns>> {
    let own = own()?;
    let mut found: HashMap<u64, Netns> = HashMap::new();
    for dir in NAMED {
        for name in sysfs::names(Path::new(dir)) {
            let path = format!("{dir}/{name}");
            // A file that is no (or no longer a) namespace lies on another file system.
            let Ok((device, inode)) = identity(Path::new(&path)) else { continue };
            if device == own.0 && inode != own.1 {
                found.entry(inode).or_insert_with(|| Netns {
                    inode,
                    path,
                    name: Some(name),
                    ..Netns::default()
                });
            }
        }
    }
    let mut pids: Vec<u32> =
        sysfs::names(Path::new("/proc")).iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        let path = format!("/proc/{pid}/ns/net");
        let Ok((_, inode)) = identity(Path::new(&path)) else { continue };
        if inode == own.1 {
            continue;
        }
        let netns = found.entry(inode).or_insert_with(|| Netns { inode, path, ..Netns::default() });
        if netns.pid.is_none() {
            netns.pid = Some(pid);
            netns.comm = sysfs::text(Path::new(&format!("/proc/{pid}/comm")));
            netns.container = sysfs::text(Path::new(&format!("/proc/{pid}/cgroup")))
                .and_then(|cgroup| container_of(&cgroup));
        }
    }
    let mut all: Vec<Netns> = found.into_values().collect();
    all.sort_by_key(|netns| netns.inode);
    Ok(all)
}

/// The container id in the text of a `/proc/PID/cgroup`: 64 hexadecimal digits, which docker,
/// containerd, CRI-O and podman each dress in their own way (`docker-ID.scope`,
/// `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`, `/docker/ID`).
pub fn container_of(cgroup: &str) -> Option<String> {
    cgroup.split(|c: char| !c.is_ascii_hexdigit()).find(|part| part.len() == 64).map(str::to_owned)
}

/// The interfaces in another namespace, each marked with it.
pub fn links_in(netns: Netns) -> Result<Vec<Link>> {
    let what = format!("entering the network namespace {}", netns.path);
    let path = netns.path.clone();
    // On a thread of its own: there is nothing to switch back, whatever fails.
    let read = move || -> Result<Vec<Link>> {
        let file = fs::File::open(&path).map_err(|error| Error::io(&what, &error))?;
        setns(&file, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::os(&what, errno as i32))?;
        Netlink::route()?.links(false)
    };
    let joined = std::thread::scope(|scope| scope.spawn(read).join());
    let mut links = joined.unwrap_or_else(|_| Ok(Vec::new()))?;
    let netns = Arc::new(netns);
    for link in &mut links {
        link.netns = Some(Arc::clone(&netns));
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_are_found_in_every_runtimes_dress() {
        let id = "0123456789abcdef".repeat(4);
        for cgroup in [
            format!("0::/system.slice/docker-{id}.scope"),
            format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("12:devices:/docker/{id}\n0::/"),
            format!("0::/machine.slice/libpod-{id}.scope/container"),
        ] {
            assert_eq!(container_of(&cgroup).as_deref(), Some(id.as_str()), "{cgroup}");
        }
        assert_eq!(container_of("0::/user.slice/user-0.slice"), None);
    }
}
