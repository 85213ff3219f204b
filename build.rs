//! What the linker leaves out of the release binary: an eighth of it, which nothing reads.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// Tables by which a panic unwinds, and by which a debugger finds its way up a stack. Here a panic ends the program after its
/// message, and the names that a backtrace would be made of are stripped. Builds for tests keep both.
const WITHOUT_UNWINDING: &str = "SECTIONS {
  /DISCARD/ : { *(.eh_frame .eh_frame.* .gcc_except_table .gcc_except_table.*) }
} INSERT BEFORE .rodata;
";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| env::var(name).unwrap_or_default();
    let is_static =
        of("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    let is_ours = of("CARGO_CFG_TARGET_ENV") == "gnu" && is_static && of("PROFILE") == "release";
    if !is_ours {
        return;
    }
    let script = PathBuf::from(of("OUT_DIR")).join("without-unwinding.ld");
    fs::write(&script, WITHOUT_UNWINDING).expect("a linker script below OUT_DIR");
    argument("--no-eh-frame-hdr");
    argument(&format!("-T,{}", script.display()));
    if relocates_packed() {
        argument("-z,pack-relative-relocs");
    }
}

fn argument(argument: &str) {
    println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
}

/// Addresses that are set right at the start, as a map of bits (`DT_RELR`) in place of 24 bytes each. A static program
/// does that with its own C library, which can since 2.36; with an older one it would not start.
fn relocates_packed() -> bool {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let mut numbers = text.trim().trim_start_matches("glibc ").split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (2, 36),
        _ => false,
    }
}
