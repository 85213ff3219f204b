//! The packages, and every command that the documents show.

use std::collections::BTreeSet;

use clap::CommandFactory;
use sriovctl::cli::Cli;

use super::attach::records;
use crate::guest::{Done, SRIOVCTL, ok, sh};

/// Where a package leaves something.
const PLACES: &str = "/usr/sbin /usr/share/man/man8 /usr/share/bash-completion/completions /usr/share/zsh /usr/share/fish \
    /lib/systemd/system /usr/share/doc/sriovctl /usr/share/licenses /etc/sriovctl /etc/sriovctl.* /etc/udev/rules.d \
    /etc/systemd/system /opt/cni /var/lib/cni";

/// Where every package has these.
const FILES: [&str; 6] = [
    "/usr/sbin/sriovctl",
    "/usr/share/man/man8/sriovctl-apply.8.gz",
    "/usr/share/bash-completion/completions/sriovctl",
    "/usr/share/fish/vendor_completions.d/sriovctl.fish",
    "/lib/systemd/system/sriovctl.service",
    "/etc/sriovctl",
];

fn files() -> BTreeSet<String> {
    let found = ok(&format!("find {PLACES} 2>/dev/null | sort"));
    found.lines().map(str::to_owned).collect()
}

/// Makes a package twice, which must be the same, and leaves it as `/tmp/a/*.deb`, or `*.rpm`.
fn made_twice(kind: &str) {
    let here = env!("CARGO_MANIFEST_DIR");
    ok(&format!(
        "cd {here}; strip -o /tmp/sriovctl.bin $S; mkdir -p /tmp/a /tmp/b; export SOURCE_DATE_EPOCH=1700000000 LEVEL=0
        packaging/{kind} /tmp/sriovctl.bin /tmp/a; packaging/{kind} /tmp/sriovctl.bin /tmp/b; cmp /tmp/a/*.{kind} /tmp/b/*.{kind}"
    ));
}

/// Uses what was installed so that it leaves all that it can.
fn used() {
    ok("cmp /tmp/sriovctl.bin /usr/sbin/sriovctl
        systemd-analyze verify --man=no /lib/systemd/system/sriovctl.service
        printf 'version: 1\\npfs:\\n- pf: eth0\\n  numvfs: 2\\n' > /tmp/host.yaml
        /usr/sbin/sriovctl apply /tmp/host.yaml --persist; /usr/sbin/sriovctl cni --install
        /usr/sbin/sriovctl bind-dpdk --persist 'eth0#1'; /usr/sbin/sriovctl bind-dpdk --restore 'eth0#1'
        CNI_COMMAND=VERSION /opt/cni/bin/sriov < /dev/null > /dev/null");
    // The package's unit is the one that is enabled.
    let unit = "/etc/systemd/system/multi-user.target.wants/sriovctl.service";
    let units = ok(&format!("test ! -e /etc/systemd/system/sriovctl.service && readlink {unit}"));
    let place = units.strip_suffix("/systemd/system/sriovctl.service");
    assert!(place == Some("/lib") || place == Some("/usr/lib"), "{units}");
}

/// What is there now and was not before, but for directories that others use as well.
fn left_behind(before: &BTreeSet<String>) -> Vec<String> {
    let made_before = [
        "/opt/cni",
        "/opt/cni/bin",
        "/var/lib/cni",
        "/etc/udev/rules.d",
        // RPM's distributions have these.
        "/usr/share/licenses",
        "/usr/share/zsh/site-functions",
    ];
    let now = files();
    let left = now.difference(before).filter(|path| !made_before.contains(&path.as_str()));
    left.cloned().collect()
}

pub fn it_installs_works_and_purges_clean() {
    made_twice("deb");
    let before = files();
    ok("dpkg -i /tmp/a/*.deb");
    let new = files();
    for path in FILES.into_iter().chain(["/usr/share/zsh/vendor-completions/_sriovctl"]) {
        assert!(new.contains(path), "no {path}");
    }
    used();
    ok("dpkg --purge sriovctl");
    let left = left_behind(&before);
    assert!(left.is_empty(), "left behind: {left:?}");
    ok("rm -rf /tmp/a /tmp/b");
}

pub fn the_rpm_installs_works_and_erases_clean() {
    made_twice("rpm");
    let before = files();
    // A database of its own: this machine has dpkg's, which knows the shell that scripts need.
    let rpm = "rpm --dbpath /tmp/rpmdb --nodeps";
    ok(&format!("{rpm} --install /tmp/a/*.rpm; {rpm} --verify sriovctl"));
    let new = files();
    let own = ["/usr/share/zsh/site-functions/_sriovctl", "/usr/share/licenses/sriovctl/LICENSE"];
    for path in FILES.into_iter().chain(own) {
        assert!(new.contains(path), "no {path}");
    }
    used();
    // An update takes nothing away: the links, the rules and what is applied at boot stay.
    let used = files();
    ok(&format!("{rpm} --upgrade --replacepkgs --replacefiles /tmp/a/*.rpm"));
    assert_eq!(files(), used);
    ok(&format!("{rpm} --erase sriovctl"));
    // What rpm's users expect of what an administrator wrote.
    ok("cmp /tmp/host.yaml /etc/sriovctl.rpmsave/host.yaml; rm -r /etc/sriovctl.rpmsave");
    let left = left_behind(&before);
    assert!(left.is_empty(), "left behind: {left:?}");
    ok("rm -rf /tmp/a /tmp/b /tmp/rpmdb");
}

/// A host as the documents have it: its names, its users, its container.
fn documented_host() {
    ok("ip link set eth0 down; ip link set eth0 name ens1f0; ip link set ens1f0 up
        ip link property add dev ens1f0 altname eth0
        grep -q ^alice: /etc/passwd || { echo 'alice:x:4711:4711::/:/bin/sh' >> /etc/passwd; echo 'dpdk:x:4712:' >> /etc/group; }
        mkdir -p /tmp/bin /tmp/work; mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null; true");
    ok(&format!("ln -sf {SRIOVCTL} /tmp/bin/sriovctl"));
}

/// Sixty-four digits, as runtimes have them.
fn container() -> String {
    format!("3f2a91c4d0e7{}", "a".repeat(52))
}

/// As before every block of examples: seven VFs that nobody has, two namespaces, and a container.
fn fresh() {
    ok(&format!(
        "cd /tmp/work; for p in $(cat /tmp/check.pids 2>/dev/null); do kill -9 $p 2>/dev/null; done
        sriovctl=/tmp/bin/sriovctl; ip -all netns delete; $sriovctl detach --all-stale > /dev/null 2>&1; $sriovctl inspect-state --repair > /dev/null 2>&1
        rm -rf /etc/sriovctl /etc/udev/rules.d/70-sriovctl-*
        for v in /sys/bus/pci/drivers/vfio-pci/0000:01:*; do [ -e $v ] && $sriovctl bind-dpdk --restore ${{v##*/}} > /dev/null; done
        $sriovctl set-numvfs ens1f0 7 > /dev/null || {{ $sriovctl inspect-state; exit 1; }}
        ip netns add blue; ip netns add red
        g=/sys/fs/cgroup/docker-{}.scope; mkdir -p $g
        unshare -n sleep 1000 > /dev/null 2>&1 & echo $! > /tmp/check.pids; echo $! > $g/cgroup.procs",
        container()
    ));
}

/// What the lab's card has instead of the documents'.
fn here(command: &str) -> String {
    let pid = ok("cat /tmp/check.pids");
    [
        ("0000:3b:00.0", "0000:01:00.0"),
        ("set-numvfs ens1f0 8", "set-numvfs ens1f0 7"),
        ("set-numvfs eth0 8", "set-numvfs eth0 7"),
        ("set-numvfs 0000:01:00.0 8", "set-numvfs 0000:01:00.0 7"),
        ("set-numvfs ens1f0 16", "set-numvfs ens1f0 6"),
        ("set-numvfs 0000:01:00.0 16", "set-numvfs 0000:01:00.0 6"),
        ("#0-7'", "#0-6'"),
        ("#0-3,7'", "#0-3,6'"),
        ("--pid 4711", &format!("--pid {pid}")),
        ("--pool eth1", "--pool 'eth0#5'"),
        ("/var/lib/node_exporter/", "/tmp/work/"),
        ("kubectl apply -f -", "jq .kind"),
    ]
    .iter()
    .fold(command.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Runs one as it is typed; what draws or goes on is ended after a while.
#[track_caller]
fn runs(command: &str) {
    let typed = here(command);
    let goes_on = ["sriovctl top", "sriovctl watch", "sriovctl inspect-state --watch"];
    let is_endless = goes_on.iter().any(|start| typed.starts_with(start))
        && !["--once", "--openmetrics", "--for"].iter().any(|word| typed.contains(word));
    let run = |line: &str| -> Done { sh(&format!("cd /tmp/work; PATH=/tmp/bin:$PATH; {line}")) };
    let (done, fine): (Done, &[i32]) = if is_endless {
        let quoted = typed.replace('\'', r"'\''");
        (
            run(&format!(
                "timeout -s INT 4 script -qec '{quoted}' /dev/null < /dev/zero > /dev/null"
            )),
            &[0, 124, 130],
        )
    } else if typed.contains("doctor") {
        (run(&typed), &[0, 1, 4]) // by what it finds here
    } else {
        (run(&typed), &[0])
    };
    assert!(fine.contains(&done.code), "{command}: exit {}: {}{}", done.code, done.out, done.err);
}

pub fn every_recipe_of_the_readme_runs() {
    documented_host();
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut count = 0;
    let mut in_block = false;
    for line in readme.lines() {
        let Some(command) = line.strip_prefix("    $ ") else {
            in_block = false;
            continue;
        };
        if !in_block {
            fresh();
        }
        in_block = true;
        runs(command);
        count += 1;
    }
    assert!(count > 40, "{count}");
    println!("    {count} commands of the README");
    fresh();
    assert_eq!(records(), "");
}

/// What must have been done before the examples of a page.
fn before(page: &str) -> &'static str {
    match page {
        "detach" => {
            "sriovctl attach 'eth0#3' --netns blue --name net3; sriovctl attach 'eth0#2' --netns blue --name net1
             sriovctl attach 'eth0#1' --container 3f2a91"
        }
        "apply" => "sriovctl export > host.yaml; mkdir -p /etc/sriovctl; cp host.yaml /etc/sriovctl/",
        "inspect-state" => "sriovctl attach 'eth0#3' --netns blue",
        _ => "true",
    }
}

pub fn every_example_of_the_man_pages_runs() {
    documented_host();
    let mut root = Cli::command();
    root.build();
    let mut count = 0;
    for page in root.get_subcommands() {
        let help = page.get_after_long_help().or(page.get_after_help()).map(ToString::to_string);
        let help = help.unwrap_or_default();
        let Some((_, examples)) = help.split_once("Examples:") else { continue };
        let examples: Vec<&str> =
            examples.lines().map(str::trim).filter(|line| line.contains("sriovctl ")).collect();
        if page.get_name() == "cni" {
            ok("mkdir -p /opt/cni/bin");
        }
        for example in examples {
            // A remark stands behind three spaces.
            let command = example.split("   ").next().unwrap();
            fresh();
            ok(&format!("cd /tmp/work; PATH=/tmp/bin:$PATH; {}", before(page.get_name())));
            runs(command);
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
    println!("    {count} commands of the man pages");
    fresh();
}
