//! Values as a file spells them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::model::ids::VfIndex;
use crate::model::selector::ranges;

/// On or off; also `true`, `false`, `on` and `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl From<Switch> for bool {
    fn from(switch: Switch) -> Self {
        switch.0
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { "on" } else { "off" })
    }
}

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0)
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnOff)
    }
}

struct OnOff;

impl Visitor<'_> for OnOff {
    type Value = Switch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("on or off")
    }
    fn visit_bool<E>(self, on: bool) -> Result<Switch, E> {
        Ok(Switch(on))
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Switch, E> {
        match text {
            "on" => Ok(Switch(true)),
            "off" => Ok(Switch(false)),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
}

/// Mode of a PF's embedded switch (kernel: Documentation/networking/devlink/devlink-eswitch-attr.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Eswitch {
    /// By MAC and VLAN.
    Legacy,
    /// By rules, with a representor for each VF.
    Switchdev,
}

impl fmt::Display for Eswitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Switchdev => "switchdev",
        })
    }
}

/// Permission bits: in a file an octal text, since YAML's numbers are decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(pub u32);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        let mode = mode.filter(|mode| *mode <= 0o777);
        mode.map(Self).ok_or_else(|| "want an octal mode, such as 0660".to_owned())
    }
}

impl TryFrom<String> for Mode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        format!("{:04o}", mode.0)
    }
}

/// Name of a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Driver(pub String);

impl FromStr for Driver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !text.is_empty() && text.bytes().all(valid) {
            return Ok(Self(text.to_owned()));
        }
        Err("a driver's name has letters, digits, - and _".to_owned())
    }
}

impl TryFrom<String> for Driver {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Driver> for String {
    fn from(driver: Driver) -> Self {
        driver.0
    }
}

/// Which VFs of a PF: `all`, `3`, `0-3,7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbers {
    /// All.
    All,
    /// These.
    Some(Vec<RangeInclusive<u16>>),
}

impl Numbers {
    /// The shortest way to name these, which rise.
    pub fn of(numbers: &[u16]) -> Self {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some(last) if last.end().checked_add(1) == Some(*number) => {
                    *last = *last.start()..=*number;
                }
                _ => ranges.push(*number..=*number),
            }
        }
        Self::Some(ranges)
    }

    /// Whether the VF is one of them.
    pub fn has(&self, index: VfIndex) -> bool {
        match self {
            Self::All => true,
            Self::Some(ranges) => ranges.iter().any(|range| range.contains(&index.0)),
        }
    }

    /// The highest number that is named.
    pub fn last(&self) -> Option<u16> {
        match self {
            Self::All => None,
            Self::Some(ranges) => ranges.iter().map(|range| *range.end()).max(),
        }
    }

    /// Whether it names one VF only.
    pub fn is_one(&self) -> bool {
        matches!(self, Self::Some(ranges)
            if matches!(ranges.as_slice(), [one] if one.start() == one.end()))
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Some(ranges) = self else { return f.write_str("all") };
        let range = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        f.write_str(&ranges.iter().map(range).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            text => ranges(text).map(Self::Some),
        }
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Which)
    }
}

struct Which;

impl Visitor<'_> for Which {
    type Value = Numbers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VF numbers (all, 3, 0-3 or 0-3,7)")
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Numbers, E> {
        let number = u16::try_from(number).map_err(|_| E::custom("no PF has so many VFs"))?;
        Ok(Numbers::of(&[number]))
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Numbers, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_they_are_read() {
        for text in ["all", "3", "0-3", "0-3,7"] {
            assert_eq!(text.parse::<Numbers>().unwrap().to_string(), text);
        }
        assert_eq!(Numbers::of(&[0, 1, 2, 5, 7, 8]).to_string(), "0-2,5,7-8");
        for text in ["", "some", "3-1", "1,", "70000"] {
            assert!(text.parse::<Numbers>().is_err(), "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!("0660".parse(), Ok(Mode(0o660)));
        assert_eq!(String::from(Mode(0o640)), "0640");
        for text in ["", "0888", "rw", "7777"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }
}
