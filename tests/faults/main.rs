//! The engine on a kernel in memory that fails, stalls and lies on demand. No root needed.
//!
//! What is asserted is the state of that kernel and what the caller is told, never which calls
//! were made in which order.

mod apply;
mod attach;
mod bind;
mod history;
mod interrupted;
mod kernel;
mod numvfs;
mod set_vf;

/// How many cases each generated test runs.
const CASES: u32 = 7000;

/// Counts a case, and says how many there were after the last one, past the capturing of output:
/// the number is a result.
fn count_case(counter: &std::sync::atomic::AtomicU32, what: &str) {
    use std::io::Write;
    let nth = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
    if nth == CASES {
        let _ = writeln!(std::io::stderr(), "{nth} generated cases: {what}");
    }
}
