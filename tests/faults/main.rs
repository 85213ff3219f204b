//! The engine on a kernel in memory that fails, stalls and lies on demand. No root needed.
//!
//! What is asserted is the state of that kernel and what the caller is told, never which calls
//! were made in which order.

mod kernel;
mod numvfs;
