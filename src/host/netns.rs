//! Other network namespaces: which there are, who is in them, and what is in them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use nix::sched::{CloneFlags, setns};

use super::netlink::Netlink;
use super::sysfs;
use crate::engine::NetnsChoice;
use crate::error::{Error, Kind, Result};
use crate::model::link::{Link, Netns};
use crate::model::record::NetnsId;
use crate::model::selector::nearest;
use crate::order;

/// Directories in which namespaces are kept by name.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// The namespace that this program runs in, opened once: whoever visits another comes back to it.
pub struct Home {
    file: fs::File,
    id: (u64, u64),
}

impl Home {
    /// Opens it.
    pub fn get() -> Result<&'static Self> {
        static HOME: OnceLock<Home> = OnceLock::new();
        if let Some(home) = HOME.get() {
            return Ok(home);
        }
        let path = "/proc/self/ns/net";
        let open = || -> std::io::Result<_> {
            let file = fs::File::open(path)?;
            let meta = file.metadata()?;
            Ok(Self { file, id: (meta.dev(), meta.ino()) })
        };
        let home = open().map_err(|error| Error::io(format_args!("opening {path}"), &error))?;
        Ok(HOME.get_or_init(|| home))
    }

    /// The open file.
    pub fn file(&self) -> &fs::File {
        &self.file
    }
}

/// Device and inode of this process's own namespace.
pub fn own() -> Result<(u64, u64)> {
    Home::get().map(|home| home.id)
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
    for pid in pids() {
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
    order::sort_by_key(&mut all, |netns| netns.inode);
    Ok(all)
}

/// The container id in the text of a `/proc/PID/cgroup`: 64 hexadecimal digits, which docker,
/// containerd, CRI-O and podman each dress in their own way (`docker-ID.scope`,
/// `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`, `/docker/ID`).
pub fn container_of(cgroup: &str) -> Option<String> {
    cgroup.split(|c: char| !c.is_ascii_hexdigit()).find(|part| part.len() == 64).map(str::to_owned)
}

/// The interfaces in another namespace, each marked with it.
pub fn links_in(netns: Netns, stats: bool) -> Result<Vec<Link>> {
    // A process by which it was found may be in another one by now.
    let id = id_of(&netns)?;
    let mut links =
        enter(&netns.path, Some(&id), || Netlink::route()?.links(stats))?.unwrap_or_default();
    let netns = Arc::new(netns);
    for link in &mut links {
        link.netns = Some(Arc::clone(&netns));
    }
    Ok(links)
}

/// Does something in a namespace, on a thread of its own: there is nothing to switch back, whatever
/// fails. `None`: the namespace is gone, or its path leads to another one than is `expected`.
pub fn enter<T: Send>(
    path: &str,
    expected: Option<&NetnsId>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<Option<T>> {
    let Some(file) = open(path, expected)? else { return Ok(None) };
    let inside = move || -> Result<T> {
        setns(&file, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::os(entering(path), errno as i32))?;
        work()
    };
    let joined = std::thread::scope(|scope| scope.spawn(inside).join());
    let done = joined.unwrap_or_else(|_| Err(Error::new(Kind::Failed, "a thread died")))?;
    Ok(Some(done))
}

/// Whether it was seen that this process may come back: one in a user namespace of its own may enter others
/// only.
static COMES_BACK: OnceLock<()> = OnceLock::new();

/// Does something short in a namespace and comes back, on this thread: a tenth of what a thread costs.
pub fn visit<T>(there: &fs::File, path: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let home = Home::get()?.file();
    if COMES_BACK.get().is_none() {
        let coming = || format!("coming back from the network namespace {path}");
        setns(home, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::os(coming(), errno as i32))?;
        let _ = COMES_BACK.set(());
    }
    setns(there, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| Error::os(entering(path), errno as i32))?;
    let _back = Back(home);
    work()
}

/// Comes back when it is dropped, or not at all: whatever was done next would be done in a container.
struct Back(&'static fs::File);

impl Drop for Back {
    fn drop(&mut self) {
        let back = || setns(self.0, CloneFlags::CLONE_NEWNET).is_ok();
        assert!((0..3).any(|_| back()), "the host's network namespace cannot be entered again");
    }
}

fn entering(path: &str) -> String {
    format!("entering the network namespace {path}")
}

/// Opens a namespace; `None`: it is gone, or its path leads to another one.
pub fn open(path: &str, expected: Option<&NetnsId>) -> Result<Option<fs::File>> {
    let gone = |error: &std::io::Error| {
        let errno = error.raw_os_error();
        errno == Some(nix::libc::ENOENT) || errno == Some(nix::libc::ESRCH)
    };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(Error::io(entering(path), &error)),
    };
    let meta = file.metadata().map_err(|error| Error::io(entering(path), &error))?;
    let is_it = expected.is_none_or(|id| (meta.dev(), meta.ino()) == (id.device, id.inode));
    Ok(is_it.then_some(file))
}

/// The lasting identity of a namespace that was found.
pub fn id_of(netns: &Netns) -> Result<NetnsId> {
    let (device, _) = own()?;
    Ok(NetnsId { path: netns.path.clone(), device, inode: netns.inode })
}

/// Whatever can be said of a namespace by its identity.
pub fn described(id: &NetnsId) -> Netns {
    let all = others().unwrap_or_default();
    let found = all.into_iter().find(|netns| netns.inode == id.inode);
    found.unwrap_or_else(|| Netns { inode: id.inode, path: id.path.clone(), ..Netns::default() })
}

/// The namespace that is meant, open.
pub fn find(choice: &NetnsChoice) -> Result<(NetnsId, fs::File)> {
    match choice {
        NetnsChoice::Named(name) if name.contains('/') => of_path(name.clone()),
        NetnsChoice::Named(name) => {
            let places = NAMED.iter().map(|dir| format!("{dir}/{name}"));
            let found = places.clone().find(|path| Path::new(path).exists());
            found.map_or_else(|| Err(no_such(name)), of_path)
        }
        NetnsChoice::Pid(pid) => of_path(format!("/proc/{pid}/ns/net")),
        NetnsChoice::Container(id) => of_container(id),
    }
}

fn of_path(path: String) -> Result<(NetnsId, fs::File)> {
    // Whatever else is there is not waited for.
    let open = || -> std::io::Result<_> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path)?;
        let meta = file.metadata()?;
        Ok((file, meta.dev(), meta.ino()))
    };
    let (file, device, inode) = match open() {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_such(&path)),
        Err(error) => return Err(Error::io(entering(&path), &error)),
    };
    if device != own()?.0 {
        return Err(Error::new(Kind::Usage, format!("{path} is no network namespace"))
            .hint("name one of: ip netns list, or give a process with --pid"));
    }
    Ok((NetnsId { path, device, inode }, file))
}

fn no_such(name: &str) -> Error {
    let named: Vec<String> = NAMED.iter().flat_map(|dir| sysfs::names(Path::new(dir))).collect();
    let error = Error::new(Kind::NotFound, format!("there is no network namespace {name}"));
    match nearest(name, named.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("see which there are: ip netns list"),
    }
}

/// By the cgroup of its processes, which every runtime names after the container: no daemon is
/// asked. The first process is the container's init.
fn of_container(id: &str) -> Result<(NetnsId, fs::File)> {
    let is_hex = id.len() >= 4 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex {
        let message = format!("\"{id}\" is not a container id (4 to 64 hexadecimal digits)");
        return Err(Error::new(Kind::Usage, message)
            .hint("see it with: docker ps, podman ps, crictl ps or ctr containers list"));
    }
    let mut found: Vec<(String, u32)> = Vec::new();
    for pid in pids() {
        let cgroup = sysfs::text(Path::new(&format!("/proc/{pid}/cgroup")));
        let container = cgroup.and_then(|cgroup| container_of(&cgroup));
        if let Some(container) = container.filter(|container| container.starts_with(id))
            && !found.iter().any(|(known, _)| *known == container)
        {
            found.push((container, pid));
        }
    }
    match found.as_slice() {
        [] => Err(Error::new(Kind::NotFound, format!("no process of a container {id} runs here"))),
        [(_, pid)] => of_path(format!("/proc/{pid}/ns/net")),
        many => {
            Err(Error::new(Kind::Usage, format!("{id} is the beginning of several containers"))
                .details(many.iter().map(|(container, _)| container.clone()))
                .hint("give more of its id"))
        }
    }
}

/// Processes by number, in which order the first of a container comes first.
fn pids() -> Vec<u32> {
    let names = sysfs::names(Path::new("/proc"));
    let mut pids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    order::sort(&mut pids);
    pids
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
