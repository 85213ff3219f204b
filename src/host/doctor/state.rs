//! The directories of records, and the disk that they are on.

use std::fs;

use nix::sys::statvfs::{FsFlags, statvfs};

use super::Look;
use crate::host::{beneath, neighbours};
use crate::model::doctor::facts::{Disk, StateDir};

impl Look<'_> {
    pub(super) fn state_dirs(&mut self) -> Vec<StateDir> {
        let base = format!("/{}", neighbours::DIR);
        let ours = format!("{base}/sriovctl");
        let mut found = Vec::new();
        for path in [base, ours] {
            // The first may be a link: an administrator made it.
            match fs::metadata(self.place(&path)) {
                Ok(meta) => found.push(StateDir { path, fault: beneath::of_others(&meta) }),
                Err(error) => self.missed(&path, &error),
            }
        }
        found
    }

    /// The disk of the nearest directory that is there.
    pub(super) fn disk(&self) -> Option<Disk> {
        let base = self.root.join(neighbours::DIR);
        let there = base.ancestors().find(|dir| dir.exists())?;
        let stat = statvfs(there).ok()?;
        // Neither is counted by a file system without such a limit (tmpfs without size, btrfs).
        let free = if stat.blocks() == 0 {
            u64::MAX
        } else {
            stat.blocks_free().saturating_mul(stat.fragment_size())
        };
        let free_files = (stat.files() > 0).then(|| stat.files_free());
        let read_only = stat.flags().contains(FsFlags::ST_RDONLY);
        Some(Disk { path: there.display().to_string(), read_only, free, free_files })
    }
}
