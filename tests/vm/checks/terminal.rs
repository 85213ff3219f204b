//! The program as somebody at a terminal sees it.

use crate::guest::{SRIOVCTL, eventually, ok, sh, sriovctl};
use crate::terminal::Terminal;

/// Four VFs, of which one is away, and a directory with the program in `PATH`.
fn host() {
    ok(&format!(
        "echo 4 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue; ip netns add 'a$(reboot)'
        mkdir -p /tmp/bin; ln -sf {SRIOVCTL} /tmp/bin/sriovctl"
    ));
    sriovctl(&["attach", "eth0#1", "--netns", "blue"]).exits(0);
}

/// What is typed at a shell and completed: free VFs only, namespaces, and nothing that a shell would run.
fn completes(shell: &str, set_up: &[&str]) {
    host();
    let terminal = Terminal::open(shell);
    let completions = concat!(env!("CARGO_MANIFEST_DIR"), "/completions");
    for line in set_up {
        terminal.text(&line.replace("COMPLETIONS", completions));
        terminal.press("Enter");
    }
    terminal.text("echo re''ady");
    terminal.press("Enter");
    terminal.shows("ready\n");
    terminal.press("C-l");
    // The first one completes what all have in common, the second lists.
    terminal.text("sriovctl attach ");
    terminal.press("Tab");
    terminal.press("Tab");
    let screen = terminal.shows("eth0#3");
    assert!(screen.contains("eth0#0") && screen.contains("eth0#2"), "{screen}");
    assert!(!screen.contains("eth0#1"), "one that is in use is offered:\n{screen}");
    terminal.press("C-c");
    terminal.press("C-l");
    terminal.text("sriovctl detach --netns ");
    terminal.press("Tab");
    let screen = terminal.shows("--netns blue");
    assert!(!screen.contains("reboot"), "{screen}");
    println!("    {shell}: sriovctl attach <TAB> offers eth0#0 eth0#2 eth0#3");
}

pub fn bash_completes_with_what_is_free() {
    let path = "PATH=/tmp/bin:$PATH PS1='$ '";
    completes("bash --norc --noprofile -i", &[path, ". COMPLETIONS/sriovctl.bash"]);
}

pub fn zsh_completes_with_what_is_free() {
    let path = "PATH=/tmp/bin:$PATH PS1='$ '";
    // Without the thousand completions of other programs, through which the guest takes a minute.
    let load = "fpath=(COMPLETIONS ${(M)fpath:#*(Base|Zsh|Misc|Completion)}); autoload -Uz compinit; compinit -u -D";
    completes("zsh -f -i", &[path, load]);
}

pub fn fish_completes_with_what_is_free() {
    let path = "set -gx PATH /tmp/bin $PATH; function fish_prompt; echo '$ '; end";
    completes("fish --no-config -i", &[path, "source COMPLETIONS/sriovctl.fish"]);
}

/// A shell at a terminal that finds the program.
fn shell() -> Terminal {
    let terminal = Terminal::open("bash --norc --noprofile -i");
    terminal.text("PATH=/tmp/bin:$PATH PS1='$ '; clear; echo re''ady");
    terminal.press("Enter");
    terminal.shows("ready\n$");
    terminal
}

/// Types a command on an empty screen.
fn types(terminal: &Terminal, command: &str) {
    terminal.text(&format!("clear; {command}"));
    terminal.press("Enter");
}

/// A udev that has never done with an interface: what waits for that goes on.
fn udev_begins() {
    ok("mkdir -p /run/udev; mkfifo /run/udev/control");
}

fn udev_goes() {
    ok("rm /run/udev/control");
}

pub fn set_numvfs_asks_and_takes_no_for_an_answer() {
    host();
    let terminal = shell();
    types(&terminal, "sriovctl set-numvfs");
    terminal.looks("set-numvfs-pf");
    terminal.press("Enter");
    terminal.shows("Number of VFs of eth0, 0 to 7");
    terminal.press("BSpace");
    terminal.text("9");
    terminal.press("Enter");
    terminal.shows("at most 7");
    terminal.press("BSpace");
    terminal.text("2");
    terminal.press("Enter");
    terminal.looks("set-numvfs-refused");
    terminal.text("n");
    terminal.shows("nothing was changed");
    assert_eq!(ok("cat /sys/class/net/eth0/device/sriov_numvfs"), "4");
    // The stage could be over before anybody has looked.
    udev_begins();
    types(&terminal, "sriovctl set-numvfs eth0 7 --force; echo exit $?");
    terminal.shows("waiting for VF interfaces");
    udev_goes();
    terminal.looks("set-numvfs-done");
    assert_eq!(ok("cat /sys/class/net/eth0/device/sriov_numvfs"), "7");
}

pub fn an_interrupted_question_changes_nothing_and_leaves_the_terminal_as_it_was() {
    host();
    let before = super::attach::state();
    let terminal = shell();
    for (command, question) in [
        ("sriovctl attach --netns blue", "VF to attach"),
        ("sriovctl detach", "What to detach"),
        ("sriovctl set-numvfs", "PF:"),
        ("sriovctl set-numvfs eth0", "Number of VFs"),
        ("sriovctl set-numvfs eth0 0", "Go on?"),
    ] {
        types(&terminal, &format!("{command}; echo re''ady"));
        terminal.shows(question);
        terminal.press("C-c");
        terminal.press("Enter");
        terminal.text("stty -a | grep -o ' echo '; echo ag''ain");
        terminal.press("Enter");
        let screen = terminal.shows("again\n");
        assert!(screen.contains("\n echo\n"), "{command}: no echo:\n{screen}");
        assert!(terminal.has_cursor(), "{command}: the cursor is hidden:\n{screen}");
        let now = super::attach::state();
        assert!(now == before, "{command}: {}", super::attach::differences(&before, &now));
    }
}

pub fn attach_and_detach_ask_for_what_is_missing() {
    host();
    let terminal = shell();
    types(&terminal, "sriovctl attach; echo exit $?");
    terminal.looks("attach-vf");
    terminal.press("Down");
    terminal.press("Enter");
    terminal.shows("Network namespace");
    terminal.press("Down");
    terminal.press("Enter");
    terminal.shows("exit 0");
    assert_ne!(
        ok("ls /sys/bus/pci/devices/0000:01:10.4/net | wc -l; ip -n blue -o link | wc -l"),
        "1\n2"
    );
    types(&terminal, "sriovctl detach; echo exit $?");
    terminal.looks("detach");
    terminal.press("Space");
    terminal.press("Enter");
    terminal.shows("exit 0");
    let left = ok("ls /var/lib/cni/sriov/sriovctl/attached");
    assert_eq!(left.lines().count(), 1, "{left}");
}

/// Ctrl-C, and what a lost connection or a stopped unit sends.
pub fn an_interrupted_change_is_undone() {
    host();
    sriovctl(&["detach", "eth0#1"]).exits(0);
    let before = super::attach::state();
    let terminal = shell();
    for signal in ["C-c", "TERM", "HUP"] {
        // The change goes on until it is interrupted.
        udev_begins();
        types(&terminal, "sriovctl set-numvfs eth0 7; echo exit $?");
        terminal.shows("waiting for VF interfaces");
        match signal {
            "C-c" => terminal.press(signal),
            _ => drop(ok(&format!("pkill -{signal} -x sriovctl"))),
        }
        terminal.shows("restoring the former VFs");
        udev_goes();
        let screen = terminal.shows("exit 1");
        assert!(screen.contains("sriovctl: interrupted\n"), "{screen}");
        let text = "the former 4 VFs of eth0 were restored with their settings";
        assert!(screen.contains(text), "{screen}");
        let now = super::attach::state();
        assert!(now == before, "{signal}: {}", super::attach::differences(&before, &now));
    }
}

/// Two VFs in namespaces that ping each other without end.
fn traffic() {
    ok(&format!(
        "echo 4 > /sys/class/net/eth0/device/sriov_numvfs; ip netns add blue; ip netns add red
        mkdir -p /tmp/bin; ln -sf {SRIOVCTL} /tmp/bin/sriovctl"
    ));
    for (vf, netns, address) in
        [("eth0#0", "blue", "10.9.0.1/24"), ("eth0#1", "red", "10.9.0.2/24")]
    {
        let args = ["attach", vf, "--netns", netns, "--name", "net1", "--address", address];
        sriovctl(&args).exits(0);
    }
    ok(
        "ip netns exec blue ping -q -i 0.2 -s 1000 10.9.0.2 > /dev/null 2>&1 & echo $! > /tmp/check.pids",
    );
    eventually("they hear each other", || {
        sh("ip netns exec red ping -q -c 1 -W 1 10.9.0.1").code == 0
    });
}

pub fn top_shows_what_passes_and_leaves_the_terminal_as_it_was() {
    traffic();
    let done = sriovctl(&["top", "--once", "--json", "--interval", "1"]).exits(0).valid("top");
    let vfs = done.json()["vfs"].as_array().unwrap().clone();
    let bits = |vf: usize| vfs[vf]["rates"]["rx_bits_per_second"].as_f64().unwrap();
    assert!(bits(0) > 1000.0 && bits(1) > 1000.0, "{}", done.out);
    assert_eq!((bits(2), &vfs[0]["source"]), (0.0, &"interface".into()), "{}", done.out);
    assert!(vfs[0]["used_by"][0].as_str().unwrap().contains("attached"), "{}", done.out);

    let metrics = sriovctl(&["top", "--openmetrics"]).exits(0).out;
    let line = metrics.lines().find(|line| {
        line.starts_with("sriov_vf_receive_bytes_total{pf=\"eth0\",pf_device=\"0000:01:00.0\",vf=\"1\",device=\"0000:01:10.2\"")
    });
    let count: u64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let of_kernel = ok("ip -n red -j -s link show net1 | jq '.[0].stats64.rx.bytes'");
    let of_kernel: u64 = of_kernel.parse().unwrap();
    assert!(count > 0 && count <= of_kernel, "{count} of {of_kernel}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    // Not on a terminal it says what is for programs.
    sriovctl(&["top"]).exits(2).says("sriovctl top --once");

    for end in ["q", "C-c", "TERM"] {
        let terminal = shell();
        types(&terminal, "sriovctl top --interval 0.5; stty -a | grep -o ' echo '; echo ag''ain");
        terminal.shows("RX-BIT/S");
        terminal.shows("4 VFs, 2 in use   RX ");
        if end == "q" {
            // The busiest come first, then only those in use, then only one.
            terminal.text("r");
            terminal.shows("by received");
            terminal.text("u");
            let screen = terminal.shows("by received, in use");
            assert!(!screen.contains("eth0#3"), "{screen}");
            terminal.text("/red");
            terminal.shows("filter: red_");
            terminal.press("Enter");
            let screen = terminal.shows("in use, /red");
            assert!(screen.contains("eth0#1") && !screen.contains("eth0#0"), "{screen}");
            println!(
                "    top on 80x24:\n{}",
                screen.lines().take(3).collect::<Vec<_>>().join("\n")
            );
            // Stopped and brought back.
            terminal.press("C-z");
            terminal.shows("Stopped");
            assert!(terminal.has_cursor(), "the cursor is hidden while it is stopped");
            terminal.text("fg");
            terminal.press("Enter");
            terminal.shows("in use, /red");
        }
        match end {
            "TERM" => drop(ok("pkill -TERM -x sriovctl")),
            key => terminal.press(key),
        }
        let screen = terminal.shows("again\n");
        assert!(screen.lines().any(|line| line.trim_end() == " echo"), "{end}: no echo:\n{screen}");
        assert!(!screen.contains("RX-BIT/S"), "{end}: the screen is not the one before:\n{screen}");
        assert!(terminal.has_cursor(), "{end}: the cursor is hidden:\n{screen}");
    }
}
