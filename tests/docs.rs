//! What is written about the tool agrees with the tool.

#[path = "../examples/docs/generate.rs"]
mod generate;

#[path = "docs/dependencies.rs"]
mod dependencies;

use std::path::Path;

use clap::CommandFactory;
use sriovctl::cli::Cli;

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn completions_and_man_pages_are_the_generated_ones() {
    for (path, text) in generate::all() {
        let checked_in = read(&path);
        assert!(
            checked_in.as_bytes() == text,
            "{} is not what `make docs` writes: run it and commit the result",
            path.display()
        );
    }
}

#[test]
fn readme_and_changelog_know_every_subcommand() {
    let (readme, changelog) = (read("README.md"), read("CHANGELOG.md"));
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(readme.contains(&format!("sriovctl {name}")), "README.md lacks {name}");
        assert!(changelog.contains(name), "CHANGELOG.md lacks {name}");
    }
}

#[test]
fn every_sriovctl_command_of_the_readme_is_one_that_parses() {
    use clap::Parser;
    let readme = read("README.md");
    let commands: Vec<&str> = readme
        .lines()
        .map(|line| line.trim().trim_start_matches("$ "))
        .filter(|line| line.starts_with("sriovctl "))
        .collect();
    assert!(commands.len() >= 10, "the README shows too few commands: {commands:?}");
    for line in commands {
        let words = line.split_whitespace().map(|word| word.trim_matches(['\'', '"']));
        let words: Vec<&str> = words.take_while(|word| !["|", "#", ">"].contains(word)).collect();
        if let Err(error) = Cli::try_parse_from(&words) {
            let is_help = matches!(
                error.kind(),
                clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
            );
            assert!(is_help, "{line}: {error}");
        }
    }
}

#[test]
fn each_room_touches_only_what_it_may() {
    let forbidden: [(&str, &[&str]); 5] = [
        (
            "src/cni",
            &["crate::host", "println!", "netlink", "dialoguer", "indicatif", "comfy_table"],
        ),
        (
            "src/model",
            &[
                "std::fs",
                "std::env",
                "std::process",
                "std::net::Tcp",
                "std::net::Udp",
                "std::os",
                "println!",
                "crate::host",
            ],
        ),
        ("src/host", &["clap", "println!", "comfy_table", "crate::commands"]),
        ("src/engine", &["std::fs", "std::path", "println!", "crate::host", "crate::commands"]),
        ("src/commands", &["crate::host", "std::fs", "println!", "netlink"]),
    ];
    for (room, words) in forbidden {
        let files = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(room));
        assert!(!files.is_empty(), "{room} is empty");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            // What a unit test needs to look at the result is no part of the room.
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap();
                if let Some(word) = words.iter().find(|word| code.contains(**word)) {
                    panic!("{}:{} uses {word}", file.display(), number + 1);
                }
            }
        }
    }
}

/// Texts of the system become harmless in the few places that print.
#[test]
fn commands_print_only_through_the_places_that_make_texts_harmless() {
    let printing = ["mod.rs", "say.rs", "table.rs", "console.rs", "screen.rs", "metrics.rs"];
    for file in files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let prints = ["writeln!", "write!(out", "write_all"].iter().any(|word| text.contains(word));
        assert!(printing.contains(&name) || !prints, "{name}: print with line!, or as a table");
    }
}

/// Each `unsafe` has its line in SECURITY.md, with a reason.
#[test]
fn unsafe_is_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for file in files_below(&root.join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        let words = |line: &str| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|w| *w == "unsafe")
                .count()
        };
        let times: usize = code.map(words).sum();
        if times > 0 {
            found.push(format!("{} {times}", file.strip_prefix(root).unwrap().display()));
        }
    }
    found.sort_unstable();
    let table = read("SECURITY.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `src/"));
    let mut allowed = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(cells[2].len() > 20, "{}: no reason", cells[0]);
        allowed.push(format!("src/{} {}", cells[0].trim_end_matches('`'), cells[1]));
    }
    assert_eq!(found, allowed, "in the code, and in SECURITY.md");
}

/// SECURITY.md promises tests: they are there.
#[test]
fn security_names_tests_that_there_are() {
    let checks = read("tests/vm/checks/mod.rs");
    let security = read("SECURITY.md");
    let words: Vec<&str> = security.split('`').filter(|word| word.contains("::")).collect();
    assert!(words.len() > 8, "{words:?}");
    for word in words {
        let file = format!("src/{}.rs", word.replace("::", "/"));
        let is_module = Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists();
        assert!(is_module || checks.contains(&format!("{word},")), "no test {word}");
    }
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn schemas_ask_for_every_key_and_explain_each() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")).unwrap() {
        let path = entry.unwrap().path();
        let schema = serde_json::from_str(&read(&path)).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        // What people write need not say everything.
        let is_input = path.ends_with("host.schema.json");
        check_objects(&schema, &path.display().to_string(), is_input);
    }
}

/// Every object says which keys it has, demands all of them, allows no other and explains each.
fn check_objects(schema: &serde_json::Value, place: &str, is_input: bool) {
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], false, "{place}");
        let required: Vec<&str> =
            schema["required"].as_array().unwrap().iter().filter_map(|key| key.as_str()).collect();
        let is_whole = properties.keys().eq(required.iter());
        assert!(is_whole || is_input, "{place}: required is not all keys");
        for (key, value) in properties {
            let explained = value["description"].is_string() || value["$ref"].is_string();
            assert!(explained || value["type"] == "object", "{place}: {key} is not explained");
        }
    }
    match schema {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                check_objects(value, &format!("{place}/{key}"), is_input);
            }
        }
        serde_json::Value::Array(members) => {
            for value in members {
                check_objects(value, place, is_input);
            }
        }
        _ => {}
    }
}
