//! DOOR for people: one file a subcommand.
