//! Numbers of users and groups. A static program cannot load the C library's plugins for accounts
//! (NSS), so the files are read here, and `getent` is asked for what they do not have.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::engine::Account;
use crate::error::{Error, Kind, Result};

/// The number of a user or group: `name` may be that number.
pub fn number(root: &Path, name: &str, kind: Account) -> Result<u32> {
    let (what, file) = match kind {
        Account::User => ("user", "passwd"),
        Account::Group => ("group", "group"),
    };
    // The highest number means "leave it alone" to chown.
    if let Some(number) = name.parse().ok().filter(|number| *number != u32::MAX) {
        return Ok(number);
    }
    let text = fs::read_to_string(root.join("etc").join(file)).unwrap_or_default();
    if let Some(number) = text.lines().find_map(|line| entry(line, name)) {
        return Ok(number);
    }
    let known = Command::new("getent").args([file, name]).output();
    let known = known.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    known.unwrap_or_default().lines().find_map(|line| entry(line, name)).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("there is no {what} called {name}"))
            .hint(format!("see which there are: getent {file}; a number will do as well"))
    })
}

/// `name:password:number:...`
pub(super) fn entry(line: &str, name: &str) -> Option<u32> {
    let mut fields = line.split(':');
    let is_it = fields.next() == Some(name);
    is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_taken() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:\nalice:x:1000:1001::/:\n")
            .unwrap();
        fs::write(root.path().join("etc/group"), "dpdk:x:1001:alice\n").unwrap();
        assert_eq!(number(root.path(), "alice", Account::User), Ok(1000));
        assert_eq!(number(root.path(), "dpdk", Account::Group), Ok(1001));
        assert_eq!(number(root.path(), "4711", Account::User), Ok(4711));
        for name in ["no-such-account-here", "", "alice:x", "4294967295"] {
            let error = number(root.path(), name, Account::User).unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound, "{name}");
        }
    }
}
