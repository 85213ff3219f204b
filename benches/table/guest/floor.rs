//! ADD and DEL beside a program that only sends what the kernel needs (`benches/floor.c`).

use std::path::Path;

use serde_json::{Value, json};

use super::{BIN, call, sh};
use crate::measure::{Program, Times, in_turn, ms, ratio};
use crate::report::Row;

/// The VF that all of this is about: eth0's second.
const VF: usize = 1;

pub fn rows(_: &str, floor: &str) -> Vec<Row> {
    let local = json!({"type": "host-local", "subnet": "10.1.0.0/24"});
    let fixed = json!({"type": "static", "addresses": [{"address": "10.1.0.5/24"}]});
    println!("\nADD and DEL beside the floor, in turn on one VF, min / median ms");
    let mut rows = Vec::new();
    for (name, ipam, rounds) in
        [("", Value::Null, 25), (" + static", fixed, 10), (" + host-local", local, 10)]
    {
        let pair = Pair::new(floor, &ipam);
        if ipam.is_null() {
            rows.push(pair.end_states());
        }
        let times = in_turn(&[&pair.add, &pair.del, &pair.floor_add, &pair.floor_del], rounds);
        for (command, ours, least) in [("ADD", times[0], times[2]), ("DEL", times[1], times[3])] {
            let text = |times: Times| format!("{:.1} / {:.1}", ms(times.min), ms(times.median));
            println!(
                "{:>20} {:>16} floor {:>16}",
                format!("{command}{name}"),
                text(ours),
                text(least)
            );
            let row = Row::new(
                &format!("{command}{name} against the floor (lab)"),
                format!("{} ms", text(ours)),
                format!("{} ms", text(least)),
                Some(ratio(ours.min, least.min)),
            );
            rows.push(row.goal("1.15"));
        }
    }
    rows
}

struct Pair {
    add: Program,
    del: Program,
    floor_add: Program,
    floor_del: Program,
}

impl Pair {
    fn new(floor: &str, ipam: &Value) -> Self {
        let (add, del) = (call("ADD", VF, ipam), call("DEL", VF, ipam));
        let netdev = sh(&format!("ls /sys/class/net/eth0/device/virtfn{VF}/net"));
        let mac = sh(&format!("cat /sys/class/net/{netdev}/address"));
        let netns = format!("/run/netns/n{VF}");
        let wanted = format!("02:00:00:00:00:{VF:02x}");
        let vf = VF.to_string();
        let plugin = ipam["type"].as_str().map(|name| format!("{BIN}/{name}"));
        let least = |of: &Program, words: &[&str]| {
            let mut args: Vec<&str> = [&[floor], words].concat();
            args.extend(plugin.as_deref());
            Program { env: of.env.clone(), ..Program::new(args) }
                .stdin(of.stdin.as_deref().unwrap_or(Path::new("/dev/null")))
        };
        let floor_add =
            least(&add, &["add", "eth0", &vf, &wanted, "100", "0", "1", &netdev, &netns, "net1"]);
        let none = "00:00:00:00:00:00";
        let floor_del =
            least(&del, &["del", "eth0", &vf, none, "0", "1", "0", &netdev, &netns, "net1", &mac]);
        Self { add, del, floor_add, floor_del }
    }

    /// Whether both end in the same.
    fn end_states(&self) -> Row {
        // Once, since igbvf reads its permanent address anew when it has been up.
        self.add.time();
        self.del.time();
        let both = [(&self.add, &self.del), (&self.floor_add, &self.floor_del)];
        let [ours, floor] = both.map(|(add, del)| {
            add.time();
            let there = state(true);
            del.time();
            (there, state(false))
        });
        let differences = |ours: &Value, floor: &Value| {
            if ours == floor {
                return "the same".to_owned();
            }
            println!("end states differ:\n  {ours}\n  {floor}");
            "differs".to_owned()
        };
        let after = [differences(&ours.0, &floor.0), differences(&ours.1, &floor.1)];
        Row::new("end state after ADD, after DEL", after.join(", "), "the floor's", None)
            .goal("the same")
    }
}

/// The interface and its PF, without what depends on the carrier.
fn state(is_there: bool) -> Value {
    let netns = if is_there { format!("-n n{VF}") } else { String::new() };
    let links: Value =
        serde_json::from_str(&sh(&format!("ip {netns} -d -j link; true"))).expect("JSON");
    let pf: Value = serde_json::from_str(&sh("ip -d -j link show eth0")).expect("JSON");
    let of = |link: &Value| {
        let mut link = link.clone();
        for key in ["operstate", "qdisc"] {
            link.as_object_mut().expect("an object").remove(key);
        }
        let carrier = ["NO-CARRIER", "LOWER_UP"].map(Value::from);
        link["flags"].as_array_mut().expect("flags").retain(|flag| !carrier.contains(flag));
        link
    };
    let all = links.as_array().expect("links").iter().chain(pf.as_array().expect("a link"));
    all.map(of).collect()
}
