//! Directories whose content is not trusted: everything in them is reached from a descriptor of the
//! directory, by one name and never through a link, so that nothing in them leads out of them.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::fs::{self as rfs, OFlags, ResolveFlags, openat2};

use super::sysfs;
use crate::error::{Error, Kind, Result, libc_errno};

/// No record is nearly so long; whatever is, is none.
const LONGEST: u64 = 1 << 20;

/// An open directory.
#[derive(Debug, Clone)]
pub struct Dir {
    fd: Arc<File>,
    path: PathBuf,
    looks: Option<Looks>,
}

/// What an open directory looks like.
#[derive(Debug, Clone)]
struct Looks {
    /// Who but root may write it, in words.
    of_others: Option<String>,
    /// Whether nobody but its owner comes through it to what is in it.
    is_closed: bool,
    /// Whether other directories are in it than those that were known, where its file system counts them (as does
    /// all but btrfs and overlayfs).
    has_others: Option<bool>,
}

/// Directories that were opened, and looked at, a moment ago: they are not opened again for every file
/// in them.
#[derive(Debug, Default)]
pub struct OpenDirs(Mutex<Vec<(String, Instant, Dir)>>);

/// Whoever puts another one in its place meanwhile is not of this program.
const A_MOMENT: Duration = Duration::from_secs(10);

impl OpenDirs {
    /// The directory, opened by `open` where that was not done a moment ago; `None`: it is missing.
    pub fn get(
        &self,
        name: &str,
        open: impl FnOnce() -> Result<Option<Dir>>,
    ) -> Result<Option<Dir>> {
        let is_it =
            |(of, opened, _): &&(String, Instant, Dir)| of == name && opened.elapsed() < A_MOMENT;
        if let Some((.., dir)) = self.all().iter().find(is_it) {
            return Ok(Some(dir.clone()));
        }
        let Some(dir) = open()? else { return Ok(None) };
        let mut all = self.all();
        all.retain(|(of, ..)| of != name);
        all.push((name.to_owned(), Instant::now(), dir.clone()));
        Ok(Some(dir))
    }

    /// Closes all.
    pub fn close(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, Vec<(String, Instant, Dir)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that was read.
#[derive(Debug)]
pub struct Content {
    pub text: Vec<u8>,
    /// When it was written, in seconds since 1970.
    pub mtime: i64,
}

/// A file that is made, and not one that somebody put there.
const NEW: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_CREAT)
    .union(OFlag::O_EXCL)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

impl Dir {
    /// Opens a directory, through links: whoever made those above it may; `None`: it is missing.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        Self::opened(open(path, DIRECTORY, Mode::empty()), path.to_owned())
    }

    /// Opens it, and makes it where it is missing. The caller's umask is no matter: runtimes have 0.
    pub fn make(path: &Path) -> Result<Self> {
        if let Some(dir) = Self::open(path)? {
            return Ok(dir);
        }
        let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
        made.map_err(|error| failed("making the directory", path, &error))?;
        Self::open(path)?.ok_or_else(|| Self::missing(path))
    }

    /// Opens a directory in it; `None`: it is missing.
    pub fn dir(&self, name: &str) -> Result<Option<Self>> {
        let path = self.path(name)?;
        Self::opened(openat(&self.fd, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty()), path)
    }

    /// Opens a directory in it, and makes it where it is missing.
    pub fn make_dir(&self, name: &str, mode: u32) -> Result<Self> {
        if let Some(dir) = self.dir(name)? {
            return Ok(dir);
        }
        let path = self.path(name)?;
        match mkdirat(&self.fd, name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(errno) => return Err(failed("making the directory", &path, &errno.into())),
        }
        self.dir(name)?.ok_or_else(|| Self::missing(&path))
    }

    fn missing(path: &Path) -> Error {
        Error::os(format_args!("opening {}", path.display()), libc_errno::ENOENT)
    }

    fn opened(fd: nix::Result<OwnedFd>, path: PathBuf) -> Result<Option<Self>> {
        use nix::errno::Errno;
        match fd {
            Ok(fd) => Ok(Some(Self { fd: Arc::new(fd.into()), path, looks: None })),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                let text = format!("{} is no directory (a link is not followed)", path.display());
                Err(Error::new(Kind::Failed, text)
                    .hint(format!("see what put it there, and move it: ls -ld {}", path.display())))
            }
            Err(errno) => Err(failed("opening", &path, &errno.into())),
        }
    }

    /// The directory, looked at; so many directories in it are known.
    pub fn looked_at(mut self, known: u64) -> Result<Self> {
        if self.looks.is_none() {
            let meta = self.fd.metadata().map_err(|error| failed("reading", &self.path, &error))?;
            self.looks = Some(Looks {
                of_others: of_others(&meta),
                is_closed: meta.mode().trailing_zeros() >= 6,
                has_others: meta.nlink().checked_sub(2).map(|subdirs| subdirs != known),
            });
        }
        Ok(self)
    }

    /// The directory, if nobody but root may change what is in it.
    pub fn of_root(self) -> Result<Self> {
        let dir = self.looked_at(0)?;
        let Some(why) = dir.looks.as_ref().and_then(|looks| looks.of_others.clone()) else {
            return Ok(dir);
        };
        let path = dir.path.display();
        Err(Error::new(Kind::Failed, format!("{path} is not used: {why}"))
            .hint(format!("see what is in it, then: chown root: {path} && chmod go-w {path}")))
    }

    /// Whether it is known that others do not come to what is in it, whatever rights that gives them.
    pub fn is_closed(&self) -> bool {
        self.looks.as_ref().is_some_and(|looks| looks.is_closed)
    }

    /// Whether other directories are in it than those that were known; `None`: that is not known.
    pub fn has_others(&self) -> Option<bool> {
        self.looks.as_ref()?.has_others
    }

    /// Opens it anew.
    pub(super) fn again(&self) -> io::Result<File> {
        Ok(openat(&self.fd, ".", DIRECTORY, Mode::empty())?.into())
    }

    pub(super) fn fd(&self) -> &File {
        &self.fd
    }

    /// The path of something in it, for words only; an error where the name would lead elsewhere.
    pub(super) fn path(&self, name: &str) -> Result<PathBuf> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            let text = format!("\"{name}\" is no name of a file in {}", self.path.display());
            return Err(Error::new(Kind::Failed, text));
        }
        Ok(self.path.join(name))
    }

    /// Reads a file; `None`: there is none, `Err` in it: why it is not taken for one of ours.
    pub fn read(&self, name: &str) -> Result<Option<std::result::Result<Content, String>>> {
        use nix::errno::Errno;
        let path = self.path(name)?;
        // A FIFO is not waited for.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP) => return Ok(Some(Err("it is a symbolic link".to_owned()))),
            Err(Errno::ENXIO) => return Ok(Some(Err("it is no file".to_owned()))),
            Err(errno) => return Err(failed("reading", &path, &errno.into())),
        };
        let meta = file.metadata().map_err(|error| failed("reading", &path, &error))?;
        if !meta.is_file() {
            return Ok(Some(Err("it is no file".to_owned())));
        }
        if let Some(why) = of_others(&meta) {
            return Ok(Some(Err(why)));
        }
        let length = usize::try_from(meta.len().min(LONGEST)).unwrap_or_default();
        let mut text = vec![0; length + 1];
        let mut file = file.take(LONGEST + 1);
        let read = file.read(&mut text).and_then(|read| {
            text.truncate(read);
            // A file hands out all there is; one that was as long as it could be has grown.
            if read > length { file.read_to_end(&mut text) } else { Ok(read) }
        });
        Ok(Some(match read {
            Err(error) => Err(format!("it cannot be read: {error}")),
            Ok(_) if text.len() as u64 > LONGEST => Err("it is longer than any record".to_owned()),
            Ok(_) => Ok(Content { text, mtime: meta.mtime() }),
        }))
    }

    /// Writes a file beside its place and renames it: it is there whole or not at all. What is opened is
    /// new: nothing that somebody put there is written through.
    pub fn write(&self, name: &str, text: &[u8], mode: u32) -> Result<()> {
        self.write_new(name, text, mode, false)
    }

    /// Writes a short file in its place where there is none yet, else as [`Dir::write`].
    pub fn write_at_once(&self, name: &str, text: &[u8], mode: u32) -> Result<()> {
        let path = self.path(name)?;
        match openat(&self.fd, name, NEW, Mode::from_bits_truncate(mode)) {
            Ok(fd) => (File::from(fd).write_all(text)).map_err(|error| {
                let _ = self.unlink(name);
                failed("writing", &path, &error)
            }),
            // What is said of it is what is said of writing it beside its place.
            Err(_) => self.write(name, text, mode),
        }
    }

    /// As [`Dir::write`], and safe on disk when this returns.
    pub fn write_to_disk(&self, name: &str, text: &[u8], mode: u32) -> Result<()> {
        self.write_new(name, text, mode, true)?;
        // What is refused is not there.
        self.sync().inspect_err(|_| drop(self.unlink(name)))
    }

    fn write_new(&self, name: &str, text: &[u8], mode: u32, synced: bool) -> Result<()> {
        let path = self.path(name)?;
        let new = format!(".{name}.new");
        let mode = Mode::from_bits_truncate(mode);
        let create = || openat(&self.fd, new.as_str(), NEW, mode);
        let write = || -> io::Result<()> {
            let created = match create() {
                Err(nix::errno::Errno::EEXIST) => {
                    self.unlink(&new)?; // left by one that died
                    create()
                }
                created => created,
            };
            let mut file = File::from(created?);
            file.write_all(text)?;
            if synced {
                file.sync_all()?;
            }
            Ok(renameat(&self.fd, new.as_str(), &self.fd, name)?)
        };
        write().map_err(|error| {
            let _ = self.unlink(&new); // what is said is why it could not be written
            failed("writing", &path, &error)
        })
    }

    /// Opens a file in a directory of it, to lock it; the directory is made where it is missing.
    pub fn lock_file(&self, dir: &str, name: &str) -> Result<File> {
        let path = self.path(dir)?.join(name);
        self.path(name)?;
        let within = Path::new(dir).join(name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        if let Ok(file) =
            openat2(&self.fd, &within, flags, rfs::Mode::from_raw_mode(0o600), resolve)
        {
            return Ok(file.into());
        }
        // The directory is missing, or the kernel is one before 5.6; else it says again why not.
        let inner = self.make_dir(dir, 0o755)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(&inner.fd, name, flags, Mode::from_bits_truncate(0o600));
        opened.map(File::from).map_err(|errno| failed("locking", &path, &errno.into()))
    }

    /// Moves a file of it.
    pub fn rename(&self, from: &str, to: &Self, name: &str) -> Result<()> {
        let (old, new) = (self.path(from)?, to.path(name)?);
        renameat(&self.fd, from, &to.fd, name).map_err(|errno| {
            let error = io::Error::from(errno);
            Error::io(format_args!("renaming {} to {}", old.display(), new.display()), &error)
        })
    }

    /// Removes a file; whether it was there.
    pub fn remove(&self, name: &str) -> Result<bool> {
        let path = self.path(name)?;
        self.unlink(name).map_err(|error| failed("removing", &path, &error))
    }

    fn unlink(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(true),
            Err(nix::errno::Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a directory that is empty.
    pub fn remove_dir_if_empty(&self, name: &str) {
        // One that is not empty, or not there, is as it should be.
        let _ = self.path(name).map(|_| unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir));
    }

    /// What is in it, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let read = || -> io::Result<Vec<String>> {
            // Opened anew: what is read of this one starts where somebody else has stopped.
            match sysfs::entries(&self.again()?) {
                (names, None) => Ok(names),
                (_, Some(error)) => Err(error),
            }
        };
        read().map_err(|error| failed("reading", &self.path, &error))
    }

    /// Makes what was renamed and removed in it last.
    pub fn sync(&self) -> Result<()> {
        self.fd.sync_all().map_err(|error| failed("syncing the directory", &self.path, &error))
    }

    /// Where it is, for words.
    pub fn place(&self) -> &Path {
        &self.path
    }
}

/// Who but root may write it, in words.
pub(super) fn of_others(meta: &std::fs::Metadata) -> Option<String> {
    let (owner, mode) = (meta.uid(), meta.mode() & 0o7777);
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Some(format!("it belongs to user {owner}, not to root"));
    }
    (mode & 0o022 != 0).then(|| format!("others than root may write it (mode {mode:04o})"))
}

pub(super) fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::io(format_args!("{what} {}", path.display()), error)
}

#[cfg(test)]
#[path = "beneath_tests.rs"]
mod tests;
