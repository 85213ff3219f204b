use super::*;

#[derive(Serialize)]
struct Row {
    name: &'static str,
    address: Option<&'static str>,
    count: Option<u64>,
}

const COLUMNS: &[Column<Row>] = &[
    Column::table(0, "name", "NAME", |row: &Row| Text::plain(row.name)),
    Column::table(2, "address", "ADDRESS", |row: &Row| Text::of(row.address)),
    Column::table(1, "count", "COUNT", |row: &Row| {
        Text(row.count.map(|count| count.to_string()).unwrap_or_default(), Tone::Good)
    }),
];

fn row(name: &'static str, address: Option<&'static str>, count: Option<u64>) -> Row {
    Row { name, address, count }
}

fn columns() -> Vec<&'static Column<Row>> {
    COLUMNS.iter().collect()
}

fn sorted(mut rows: Vec<Row>, by: &str) -> Vec<&'static str> {
    sort(&mut rows, &columns(), by).unwrap();
    rows.iter().map(|row| row.name).collect()
}

fn console(width: Option<u16>, out_color: bool) -> Console {
    let mut console = Console::default();
    (console.width, console.out_color) = (width, out_color);
    console
}

fn drawn(rows: &[Row], console: Console, wide: bool) -> String {
    let mut out = Vec::new();
    write_table(&mut out, &console, rows, &columns(), wide, true).unwrap();
    String::from_utf8(out).unwrap()
}

/// A line as a terminal shows it, without the colours.
fn visible(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn addresses_sort_as_the_hexadecimal_numbers_they_are() {
    let pci = ["0000:1a:00.0", "10000:01:00.0", "0000:09:00.0", "0000:0b:00.0"];
    let rows = pci.map(|address| row(address, Some(address), None)).into();
    let order = ["0000:09:00.0", "0000:0b:00.0", "0000:1a:00.0", "10000:01:00.0"];
    assert_eq!(sorted(rows, "address"), order);
    let macs = ["52:54:00:aa:00:1a", "52:54:00:aa:00:09", "0c:42:a1:00:00:00"];
    let rows = macs.map(|address| row(address, Some(address), None)).into();
    assert_eq!(sorted(rows, "-address"), [macs[0], macs[1], macs[2]]);
}

#[test]
fn numbers_in_names_sort_as_numbers_and_unknown_stands_last_either_way() {
    let rows = || {
        vec![row("eth10", None, Some(2)), row("eth9", None, None), row("eth9#2", None, Some(10))]
    };
    assert_eq!(sorted(rows(), "name"), ["eth9", "eth9#2", "eth10"]);
    assert_eq!(sorted(rows(), "count"), ["eth10", "eth9#2", "eth9"]);
    assert_eq!(sorted(rows(), "-COUNT"), ["eth9#2", "eth10", "eth9"]);
    let error = sort(&mut rows(), &columns(), "colour").unwrap_err();
    assert_eq!(error.next_step(), Some("sort by one of: name, address, count"));
}

#[test]
fn two_spaces_stand_between_columns_and_none_at_the_end() {
    let rows = [row("eth0", None, Some(7)), row("a\x1b[31m", Some("02"), None)];
    let plain = "NAME         ADDRESS  COUNT\neth0         -        7\na\\u{1b}[31m  02       -\n";
    assert_eq!(drawn(&rows, Console::default(), false), plain);
}

#[test]
fn colours_change_nothing_that_is_seen() {
    let rows = [row("eth0", None, Some(7)), row("eth1", Some("02"), None)];
    let colored = drawn(&rows, console(None, true), false);
    assert!(colored.contains("\x1b["), "{colored:?}");
    let seen: Vec<String> = colored.lines().map(visible).collect();
    let plain = drawn(&rows, Console::default(), false);
    assert_eq!(seen, plain.lines().collect::<Vec<_>>());
}

#[test]
fn what_does_not_fit_goes_by_rank_and_never_wraps() {
    let rows = [row("eth0", Some("0000:01:00.0"), Some(7)), row("eth1", None, None)];
    for (width, headers) in [
        (80, "NAME ADDRESS COUNT"),
        (25, "NAME ADDRESS COUNT"),
        (24, "NAME COUNT"),
        (11, "NAME COUNT"),
        (10, "NAME"),
        (1, "NAME"),
    ] {
        for out_color in [false, true] {
            let text = drawn(&rows, console(Some(width), out_color), false);
            let seen: Vec<String> = text.lines().map(visible).collect();
            assert_eq!(
                seen[0].split_whitespace().collect::<Vec<_>>().join(" "),
                headers,
                "{width}"
            );
            if width >= 4 {
                assert!(seen.iter().all(|line| line.len() <= usize::from(width)), "{seen:?}");
            }
        }
    }
    let text = drawn(&rows, console(Some(10), false), true);
    assert!(text.contains("ADDRESS"), "wide drops nothing");
}

#[test]
fn csv_quotes_and_leaves_unknown_empty() {
    let rows = [row("a,b", None, Some(7)), row("eth1", Some("02"), None)];
    let mut out = Vec::new();
    write_csv(&mut out, &Console::default(), &rows, &columns(), true).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "name,address,count\n\"a,b\",,7\neth1,02,\n");
}

#[test]
fn programs_get_names_as_they_are_and_terminals_do_not() {
    let name = "a\x1b[31m";
    for (stdout, shown) in [(false, name), (true, "a\\u{1b}[31m")] {
        let console = &mut Console::default();
        console.stdout = stdout;
        let mut out = Vec::new();
        write_names(&mut out, console, [name].into_iter()).unwrap();
        write_csv(&mut out, console, &[row(name, None, Some(7))], &columns(), false).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{shown}\n{shown},,7\n"));
    }
}

#[test]
fn json_keeps_names_as_its_own_escapes() {
    let mut out = Vec::new();
    write_jsonl(&mut out, &[row("a\x1b\u{9b}\u{202e}\x7f", None, None)]).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(r"a\u001b\u009b\u202e\u007f"), "{text:?}");
}
