use super::*;
use crate::model::ids::VfIndex;
use crate::model::traffic::Reading;

fn reading(index: u16, used_by: &str) -> Reading {
    Reading {
        vf: format!("eth0#{index}"),
        pf: "eth0".into(),
        pf_device: "0000:01:00.0".parse().unwrap(),
        index: VfIndex(index),
        device: None,
        used_by: if used_by.is_empty() { vec![] } else { vec![used_by.to_owned()] },
        counters: None,
    }
}

fn rates(rx_bits: f64, dropped: f64) -> Rates {
    Rates { rx_bits, tx_bits: rx_bits / 2.0, rx_packets: 10.0, tx_packets: 5.0, dropped }
}

fn readings() -> Vec<Reading> {
    vec![
        reading(0, ""),
        reading(1, "attached (blue), netns blue"),
        reading(2, "dpdk-testpmd[4711] has /dev/vfio/12"),
        reading(10, "evil\x1b]0;title\x07"),
    ]
}

fn rows(readings: &[Reading]) -> Vec<Row<'_>> {
    let rates = [None, Some(rates(1.2e9, 0.0)), Some(rates(4000.0, 3.0)), Some(rates(0.0, 0.0))];
    readings.iter().zip(rates).collect()
}

fn page() -> Page {
    Page::new(Duration::from_secs(2), false, false)
}

/// Names of the rows that are shown, from the top.
fn names(page: &mut Page, readings: &[Reading]) -> Vec<String> {
    let lines = page.lines(&[], &rows(readings), (24, 80));
    let names = lines[2..].iter().filter(|line| line.starts_with("eth0"));
    names.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn a_screen_of_80x24_has_every_number_and_nothing_that_steers_it() {
    let readings = readings();
    let lines = page().lines(&[], &rows(&readings), (24, 80));
    assert_eq!(lines.len(), 24);
    assert_eq!(
        lines[..6],
        [
            "0 PFs, 4 VFs, 3 in use   RX 1.20Gbit/s  TX 600Mbit/s   every 2 s",
            "VF       USED-BY                      RX-BIT/S TX-BIT/S RX-PKT/S TX-PKT/S DROP/S",
            "eth0#0   free                                -        -        -        -      -",
            "eth0#1   attached (blue), netns blue     1.20G     600M       10        5      0",
            "eth0#2   dpdk-testpmd[4711] has /dev/    4.00k    2.00k       10        5      3",
            "eth0#10  evil\\u{1b}]0;title\\u{7}             0        0       10        5      0",
        ]
    );
    assert_eq!(lines[23], format!("by name   {KEYS}"));
    assert!(lines.iter().all(|line| !line.contains('\x1b') && line.chars().count() <= 80));
}

#[test]
fn keys_sort_filter_and_scroll() {
    let readings = readings();
    let mut page = page();
    assert_eq!(names(&mut page, &readings), ["eth0#0", "eth0#1", "eth0#2", "eth0#10"]);
    assert_eq!(page.press(Key::Char('r'), 4), Act::Draw);
    assert_eq!(names(&mut page, &readings), ["eth0#1", "eth0#2", "eth0#0", "eth0#10"]);
    page.press(Key::Char('r'), 4);
    assert_eq!(names(&mut page, &readings)[3], "eth0#1");
    page.press(Key::Char('d'), 4);
    assert_eq!(names(&mut page, &readings)[0], "eth0#2");
    page.press(Key::Char('u'), 4);
    assert_eq!(names(&mut page, &readings).len(), 3);
    for key in ['/', 'b', 'l', 'u', 'x', '\u{7f}', '\r'] {
        page.press(Key::Char(key), 4);
    }
    assert_eq!(names(&mut page, &readings), ["eth0#1"]);
    // A key that was typed into the filter is no command.
    assert!(page.in_use);
    page.press(Key::Escape, 4);
    page.press(Key::Char('u'), 4);
    assert_eq!(names(&mut page, &readings).len(), 4);
    page.press(Key::Down, 4);
    let lines = page.lines(&[], &rows(&readings), (6, 80));
    assert!(lines[2].starts_with("eth0#0"), "{lines:?}"); // by drops: 2, then 0
    assert!(lines[5].contains("2-4 of 4"), "{lines:?}");
}

#[test]
fn it_ends_and_stops_by_keys_and_intervals_have_bounds() {
    let mut page = page();
    for key in ['q', '\u{3}', '\u{4}'] {
        assert_eq!(page.press(Key::Char(key), 1), Act::Quit);
    }
    assert_eq!(page.press(Key::Char('\u{1a}'), 1), Act::Stop);
    assert_eq!(page.press(Key::Char('x'), 1), Act::Nothing);
    for _ in 0..20 {
        page.press(Key::Char('-'), 1);
    }
    assert_eq!(page.interval, Duration::from_millis(100));
    for _ in 0..20 {
        page.press(Key::Char('+'), 1);
    }
    assert_eq!(page.interval, Duration::from_secs(3600));
    page.press(Key::Char('/'), 1);
    assert_eq!(page.press(Key::Char('q'), 1), Act::Draw);
    assert_eq!(page.press(Key::Char('\u{3}'), 1), Act::Quit);
}
