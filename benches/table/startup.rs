//! What starting costs: a runtime asks for the version of every plugin, again and again.

use crate::measure::{self, Program, Times, ms, ratio};
use crate::report::Row;

pub fn rows(sriovctl: &str, is_real: bool) -> Vec<Row> {
    let rounds = if is_real { 1000 } else { 3 };
    let version = Program::new([sriovctl, "cni"]).env("CNI_COMMAND", "VERSION");
    let nothing = Program::new(["/bin/true"]);
    let [hello, anywhere] =
        ["-static", "-static-pie"].map(|how| Program::new([measure::compile("hello", how)]));
    println!("\nStart-up, {rounds} runs each in turn; memory when it ends");
    println!("{:>22} {:>10} {:>10} {:>10}", "", "min ms", "median ms", "KiB");
    let all = [
        ("sriovctl cni (VERSION)", &version),
        ("/bin/true", &nothing),
        ("static C", &hello),
        ("static C, anywhere", &anywhere),
    ];
    let times = measure::in_turn(&all.map(|(_, program)| program), rounds);
    let mut resident = Vec::new();
    for ((name, program), Times { min, median }) in all.iter().zip(&times) {
        resident.push(program.resident());
        let kib = resident[resident.len() - 1];
        println!("{name:>22} {:>10.3} {:>10.3} {kib:>10}", ms(*min), ms(*median));
    }
    let [ours, nothing, hello, anywhere] = times[..] else { unreachable!("four programs") };
    let text = |times: Times| format!("{:.3} / {:.3} ms", ms(times.min), ms(times.median));
    let against = |name: &str, other: Times| {
        Row::new(
            &format!("VERSION against {name}, min / median"),
            text(ours),
            text(other),
            Some(ratio(ours.min, other.min)),
        )
    };
    vec![
        against("a static C program", hello).goal("1.2"),
        against("the same at any address (PIE)", anywhere),
        against("/bin/true", nothing),
        Row::new(
            "VERSION, resident",
            format!("{} KiB", resident[0]),
            format!("{} KiB", resident[2]),
            None,
        )
        .goal("2048 KiB"),
        size(sriovctl),
    ]
}

/// Of the file.
fn size(sriovctl: &str) -> Row {
    let bytes = std::fs::metadata(sriovctl).expect("the program under test").len();
    Row::new("binary", format!("{bytes} bytes"), "", None).goal("3145728 bytes")
}
