//! Versions of the CNI specification, each of which a result has its own shape in.

use std::fmt;
use std::str::FromStr;

/// A version that this plugin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1.0; also what a configuration without `cniVersion` means.
    V010,
    /// 0.2.0.
    V020,
    /// 0.3.0.
    V030,
    /// 0.3.1.
    V031,
    /// 0.4.0: CHECK, `prevResult` for DEL.
    V040,
    /// 1.0.0: addresses without `version`.
    V100,
    /// 1.1.0: GC, STATUS, `mtu` and `pciID` of interfaces.
    V110,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 7] =
        [Self::V010, Self::V020, Self::V030, Self::V031, Self::V040, Self::V100, Self::V110];

    /// As configurations spell it.
    pub fn text(self) -> &'static str {
        match self {
            Self::V010 => "0.1.0",
            Self::V020 => "0.2.0",
            Self::V030 => "0.3.0",
            Self::V031 => "0.3.1",
            Self::V040 => "0.4.0",
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|version| version.text() == text).ok_or(())
    }
}
