//! What `doctor` looks at beside the devices. Everything is only read, and what cannot be read is
//! told.

mod cni;
mod conflicts;
mod look;
mod machine;
mod state;

use self::look::{Look, name_of};
use super::Host;
use super::kmsg;
use crate::engine::doctor::Checkup;
use crate::model::doctor::Area;
use crate::model::doctor::facts::Facts;

impl Checkup for Host {
    fn look(&self, areas: &[Area]) -> Facts {
        let mut facts = Facts { is_root: nix::unistd::geteuid().is_root(), ..Facts::default() };
        for &area in areas {
            let mut look = Look { root: &self.root, area, unseen: Vec::new() };
            match area {
                Area::Sriov => facts.log = look.log(self.is_live()),
                Area::Iommu | Area::Dpdk => {}
                Area::Cni => facts.cni = look.cni(),
                Area::State => {
                    facts.state_dirs = look.state_dirs();
                    facts.disk = self.is_live().then(|| look.disk()).flatten();
                }
                Area::Conflicts => facts.traces = look.traces(),
            }
            facts.unseen.append(&mut look.unseen);
        }
        // Boot parameters help to say what to do in other areas as well.
        let mut look = Look { root: &self.root, area: Area::Iommu, unseen: Vec::new() };
        facts.machine = look.machine();
        facts.unseen.append(&mut look.unseen);
        facts
    }
}

impl Look<'_> {
    /// What the kernel logged about SR-IOV. A made-up tree may have a plain file of it.
    fn log(&mut self, is_live: bool) -> Vec<String> {
        let path = self.root.join("dev/kmsg");
        if !is_live && !path.is_file() {
            return Vec::new();
        }
        match kmsg::logged(&path) {
            Ok(mut lines) => {
                lines.retain(|line| line.contains("SR-IOV") || line.contains("out of range of"));
                lines
            }
            Err(error) => {
                self.missed("/dev/kmsg", &error);
                Vec::new()
            }
        }
    }
}
