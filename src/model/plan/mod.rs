//! Decisions: a request and what the host looks like give steps or a refusal.

pub mod numvfs;
pub mod replay;
