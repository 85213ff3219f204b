//! The program as somebody at a terminal sees it.

use crate::guest::{SRIOVCTL, ok, sriovctl};
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
