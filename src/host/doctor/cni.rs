//! What a container runtime finds: plugins and configurations.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{Look, name_of};
use crate::model::doctor::cni_config::Config;
use crate::model::doctor::facts::{Cni, Plugin, PluginKind};

/// Where runtimes look for plugins and configurations unless they are told otherwise.
const BIN: &str = "/opt/cni/bin";
const CONF: &str = "/etc/cni/net.d";

/// Where packages of distributions put plugins.
const PACKAGED: [&str; 3] = ["/usr/lib/cni", "/usr/libexec/cni", "/usr/local/lib/cni"];

/// No plugin is nearly so large.
const LARGEST: u64 = 256 << 20;

/// Whose a plugin is, by what a program built with Go says of its module.
const WHOSE: [(&str, &str); 5] = [
    ("k8snetworkplumbingwg/sriov-cni", "k8snetworkplumbingwg/sriov-cni"),
    ("hustcat/sriov-cni", "hustcat/sriov-cni"),
    ("xftony/sriov-cni", "xftony/sriov-cni"),
    ("intel/sriov-cni", "intel/sriov-cni"),
    ("Intel-Corp/sriov-cni", "intel/sriov-cni"),
];

/// What every copy of this program has in it.
const OURS: &str = "made setuid, setgid or given file capabilities; it would do for anybody";

impl Look<'_> {
    pub(super) fn cni(&mut self) -> Cni {
        let containerd = self.text("/etc/containerd/config.toml").unwrap_or_default();
        let dirs = told(&containerd, &["bin_dir", "bin_dirs"], BIN);
        let confs = told(&containerd, &["conf_dir"], CONF);
        let files: Vec<String> = confs.iter().flat_map(|dir| self.paths(dir)).collect();
        // libcni: `ConfFiles`.
        let is_conf =
            |path: &&String| [".conf", ".conflist", ".json"].iter().any(|end| path.ends_with(end));
        let mut configs = Vec::new();
        for path in files.iter().filter(is_conf) {
            configs.extend(self.text(path).map(|text| Config::read(path, &text)));
        }
        let found: Vec<String> = dirs.iter().flat_map(|dir| self.paths(dir)).collect();
        let programs = found.iter().filter(|path| self.is_program(path));
        let programs: Vec<String> = programs.map(|path| name_of(path).to_owned()).collect();
        let elsewhere = PACKAGED.iter().filter(|dir| !dirs.iter().any(|has| has == *dir));
        let elsewhere: Vec<String> = elsewhere.flat_map(|dir| self.paths(dir)).collect();
        Cni {
            is_used: !configs.is_empty() || dirs.iter().any(|dir| self.exists(dir)),
            plugin: found
                .iter()
                .find(|path| name_of(path) == "sriov")
                .map(|path| self.plugin(path)),
            programs,
            elsewhere,
            configs,
            has_dhcp_daemon: self.exists("/run/cni/dhcp.sock"),
            dirs,
        }
    }

    fn is_program(&self, path: &str) -> bool {
        let meta = fs::metadata(self.place(path));
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }

    fn plugin(&self, path: &str) -> Plugin {
        let link = self.root.join(path.trim_start_matches('/'));
        let is_link = link.is_symlink();
        Plugin { path: path.to_owned(), what: self.kind(path, &link), is_link }
    }

    fn kind(&self, path: &str, link: &Path) -> PluginKind {
        let this = std::env::current_exe().ok();
        if this.is_some() && fs::read_link(link).ok() == this {
            return PluginKind::This;
        }
        let place = self.place(path);
        let Ok(meta) = fs::metadata(&place) else { return PluginKind::Broken };
        let file = |meta: &fs::Metadata| (meta.dev(), meta.ino());
        let is_this = this.and_then(|this| fs::metadata(this).ok()).map(|this| file(&this));
        if is_this == Some(file(&meta)) {
            return PluginKind::This;
        }
        if !self.is_program(path) {
            return PluginKind::NotExecutable;
        }
        if meta.len() > LARGEST {
            return PluginKind::Other(None);
        }
        let bytes = fs::read(&place).unwrap_or_default();
        let has = |words: &str| bytes.windows(words.len()).any(|part| part == words.as_bytes());
        if has(OURS) {
            return PluginKind::OtherCopy;
        }
        PluginKind::Other(WHOSE.iter().find(|(module, _)| has(module)).map(|(_, whose)| *whose))
    }
}

/// The directories that one of these keys of containerd's configuration names, or the usual one.
fn told(toml: &str, keys: &[&str], usual: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in toml.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        if keys.contains(&key.trim()) {
            let paths = value.split(['"', '\'']).filter(|path| path.starts_with('/'));
            found.extend(paths.map(str::to_owned));
        }
    }
    if found.is_empty() { vec![usual.to_owned()] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_says_where_it_looks() {
        let keys = &["bin_dir", "bin_dirs"];
        assert_eq!(told("", keys, BIN), [BIN]);
        let one = "[plugins.cni]\n  bin_dir = \"/usr/lib/cni\"\n  #bin_dir = \"/x\"\n";
        assert_eq!(told(one, keys, BIN), ["/usr/lib/cni"]);
        let two = "bin_dirs = ['/a', \"/b\"]\nbin_dir = ''\n";
        assert_eq!(told(two, keys, BIN), ["/a", "/b"]);
    }
}
