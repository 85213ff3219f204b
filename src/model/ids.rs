//! Typed identifiers: what passes the door has its final shape.
//!
//! Every type parses from what an administrator or the kernel writes and prints the kernel's own
//! spelling, so that output can be pasted back as input.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not the identifier it was taken for.
///
/// Reads as a sentence about the text, e.g. `"01:00" is not a PCI address (want 0000:01:00.0)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {what}")]
pub struct ParseIdError {
    text: String,
    what: &'static str,
}

impl ParseIdError {
    fn new(text: &str, what: &'static str) -> Self {
        Self { text: text.escape_debug().to_string(), what }
    }
}

/// Serde by way of `Display` and `FromStr`.
macro_rules! string_serde {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.to_string()
            }
        }
    };
}

/// Where a device sits on the PCI bus: `domain:bus:device.function`.
///
/// The domain is 0000 on most machines, but not behind Intel VMD or on Hyper-V, where it may have
/// more than four digits (kernel: `pci_name`, `%04x:%02x:%02x.%d`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}
string_serde!(PciAddress);

impl PciAddress {
    /// The function number, which port a multi-port card counts by.
    pub fn function(self) -> u8 {
        self.function
    }

    /// Bus, device and function in one number, within its domain (PCI Express 5.0 section 2.2.4.2).
    pub fn routing_id(self) -> u32 {
        u32::from(self.bus) << 8 | u32::from(self.device) << 3 | u32::from(self.function)
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: of the time of a long list, the general way took a twentieth.
        let mut text = *b"00000000:00:00.0";
        let mut put = |end: usize, digits: usize, mut value: u32| {
            for digit in text[end - digits..end].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(value & 0xf) as usize];
                value >>= 4;
            }
        };
        put(8, 8, self.domain);
        put(11, 2, self.bus.into());
        put(14, 2, self.device.into());
        put(16, 1, self.function.into());
        // Four digits of the domain at least.
        let zeros = (self.domain.leading_zeros() / 4).min(4) as usize;
        f.write_str(str::from_utf8(&text[zeros..]).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for PciAddress {
    type Err = ParseIdError;

    /// Takes the kernel's form and, as lspci does, the short one without a domain.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "a PCI address (want 0000:01:00.0)");
        let is_hex = |part: &str, digits: std::ops::RangeInclusive<usize>| {
            digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let byte = |part: &str, digits: usize| {
            let valid = is_hex(part, digits..=digits);
            valid.then(|| u8::from_str_radix(part, 16).ok()).flatten().ok_or_else(error)
        };
        let (rest, function) = text.rsplit_once('.').ok_or_else(error)?;
        let (rest, device) = rest.rsplit_once(':').ok_or_else(error)?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0000", rest));
        let (bus, device, function) = (byte(bus, 2)?, byte(device, 2)?, byte(function, 1)?);
        if device > 0x1f || function > 7 || !is_hex(domain, 4..=8) {
            return Err(error());
        }
        let domain = u32::from_str_radix(domain, 16).map_err(|_| error())?;
        Ok(Self { domain, bus, device, function })
    }
}

/// Which VF of its PF: the `N` in `virtfnN` and in `ip link set PF vf N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VfIndex(pub u16);

impl fmt::Display for VfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An Ethernet hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);
string_serde!(MacAddr);

impl MacAddr {
    /// What a PF reports for a VF whose MAC the host never set.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether this is [`Self::ZERO`].
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Whether the address names a group (broadcast included), which no interface may carry.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "a MAC address (want 02:00:00:00:00:01)");
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(error)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(error()),
        }
    }
}

/// An InfiniBand GUID, written as `ip link` writes it: eight bytes, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guid(pub u64);
string_serde!(Guid);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_be_bytes().map(|byte| format!("{byte:02x}")).join(":"))
    }
}

impl FromStr for Guid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "a GUID (want 00:11:22:33:44:55:66:77)");
        let mut bytes = [0; 8];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(error)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        match parts.next() {
            None => Ok(Self(u64::from_be_bytes(bytes))),
            Some(_) => Err(error()),
        }
    }
}

/// A VLAN identifier as it stands on a VF; 0 means untagged.
///
/// The kernel takes 4095 from `ip link`, though IEEE 802.1Q reserves it: it can be read, never
/// asked for ([`FromStr`] ends at 4094).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct VlanId(pub u16);

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VlanId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse()
            .ok()
            .filter(|id| *id <= 4094)
            .map(Self)
            .ok_or_else(|| ParseIdError::new(text, "a VLAN (0-4094, 0 = untagged)"))
    }
}

/// An address with its prefix length, `10.0.0.1/24`: an interface's, or a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// How many bits of it name the network.
    pub prefix: u8,
}
string_serde!(Cidr);

impl Cidr {
    /// The network it lies in: without the bits beyond the prefix.
    #[must_use]
    pub fn network(self) -> Self {
        let (bits, prefix) = (u32::from(self.prefix), self.prefix);
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        };
        Self { address, prefix }
    }

    /// Whether an address lies in that network.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && self.network() == Self { address, ..self }.network()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = ParseIdError;

    /// `default` is the destination of everything by IPv4.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new(text, "an address with prefix length (want 10.0.0.1/24)");
        let text = if text == "default" { "0.0.0.0/0" } else { text };
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let is_number = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = is_number.then(|| prefix.parse().ok()).flatten();
        let prefix = prefix.filter(|prefix| *prefix <= longest).ok_or_else(error)?;
        Ok(Self { address, prefix })
    }
}

/// A name that an interface can have: 1-15 bytes, no `/`, `:` or white space, not `.` or `..`
/// (kernel: net/core/dev.c, `dev_valid_name`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);
string_serde!(IfName);

impl IfName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for IfName {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bad = |c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control();
        // `all` and `default` are directories of net.ipv4.conf: a netdev of that name cannot be
        // registered (net/ipv4/devinet.c, inetdev_init).
        let reserved = [".", "..", "all", "default"].contains(&text);
        let valid = (1..=15).contains(&text.len()) && !reserved && !text.contains(bad);
        let error =
            || ParseIdError::new(text, "an interface name (1-15 characters, no / : % or space)");
        valid.then(|| Self(text.to_owned())).ok_or_else(error)
    }
}

/// `vendor:device` as the PCI configuration space has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciId {
    /// Vendor, e.g. `0x8086`.
    pub vendor: u16,
    /// Device, e.g. `0x10c9`.
    pub device: u16,
}

impl fmt::Display for PciId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

impl FromStr for PciId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let hex = |part: &str| {
            (part.len() == 4 && part.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| u16::from_str_radix(part, 16).ok())
                .flatten()
        };
        text.split_once(':')
            .and_then(|(vendor, device)| Some(Self { vendor: hex(vendor)?, device: hex(device)? }))
            .ok_or_else(|| ParseIdError::new(text, "a vendor:device pair (want 8086:10c9)"))
    }
}

/// A device of any bus, as sysfs names it: `pci/0000:01:00.0`, `netdevsim/netdevsim7`.
///
/// Steps and records name devices by this, since it survives what interface names and ifindexes
/// do not. Some NICs have several ports behind one PCI address, each with an interface of its own
/// (mlx4): all but the first are named with their number, `0000:01:00.0+1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId {
    bus: String,
    name: String,
    /// Which of its ports, from 0.
    port: u16,
}
string_serde!(DeviceId);

impl DeviceId {
    /// A device called `name` on `bus`; `None` where either could leave its sysfs directory, or the
    /// name is none that the bus gives.
    pub fn new(bus: &str, name: &str) -> Option<Self> {
        if bus == "pci" {
            return Self::on_pci(name).ok();
        }
        let bad = |c: char| c == '/' || c.is_control();
        let is_safe =
            |part: &str| !part.is_empty() && !part.contains(bad) && !part.starts_with('.');
        (is_safe(bus) && is_safe(name)).then(|| Self {
            bus: bus.to_owned(),
            name: name.to_owned(),
            port: 0,
        })
    }

    /// An address, or one with the number of a further port.
    fn on_pci(text: &str) -> Result<Self, ParseIdError> {
        let wrong =
            || ParseIdError::new(text, "a device (want an address, +1 for its second port)");
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten().filter(|port| *port > 0).ok_or_else(wrong)
        };
        let (address, port) = text.split_once('+').map_or((text, None), |(a, p)| (a, Some(p)));
        let device = Self::from(address.parse::<PciAddress>()?);
        Ok(Self { port: port.map_or(Ok(0), number)?, ..device })
    }

    /// Which of its ports this is about, from 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same device, another of its ports.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { port, ..self.clone() }
    }

    /// The bus, e.g. `pci`.
    pub fn bus(&self) -> &str {
        &self.bus
    }

    /// The name on the bus, e.g. `0000:01:00.0`, which all of its ports share.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address, where the bus is PCI.
    pub fn pci(&self) -> Option<PciAddress> {
        (self.bus == "pci").then(|| self.name.parse().ok()).flatten()
    }

    /// The directory below `/sys`, without a leading slash.
    pub fn sysfs_dir(&self) -> String {
        format!("bus/{}/devices/{}", self.bus, self.name)
    }
}

impl From<PciAddress> for DeviceId {
    fn from(address: PciAddress) -> Self {
        Self { bus: "pci".to_owned(), name: address.to_string(), port: 0 }
    }
}

/// Prints the bare address for PCI and `bus/name` for the rest.
impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bus.as_str(), self.port) {
            ("pci", 0) => f.write_str(&self.name),
            ("pci", port) => write!(f, "{}+{port}", self.name),
            (bus, _) => write!(f, "{bus}/{}", self.name),
        }
    }
}

impl FromStr for DeviceId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if let Some((bus, name)) = text.split_once('/') {
            return Self::new(bus, name)
                .ok_or_else(|| ParseIdError::new(text, "a device (want bus/name)"));
        }
        Self::on_pci(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_print_as_the_kernel_prints_them() {
        for (text, printed) in [
            ("0000:01:00.0", "0000:01:00.0"),
            ("01:10.6", "0000:01:10.6"),
            ("10000:e1:00.0", "10000:e1:00.0"),
            ("fedcba98:ff:1f.7", "fedcba98:ff:1f.7"),
            ("00012345:0a:09.1", "12345:0a:09.1"),
            ("0abc:01:00.0", "0abc:01:00.0"),
            ("ABCD:0F:1f.7", "abcd:0f:1f.7"),
        ] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_not_a_pci_address_is_refused() {
        for text in [
            "",
            "01:00",
            "0000:01:00",
            "0000:01:20.0",
            "0000:01:00.8",
            "000:01:00.0",
            "0000:1:00.0",
            "0000:01:00.0 ",
            "+000:01:00.0",
            "0000:01:0.0",
            "../0000:01:00.0",
        ] {
            assert!(text.parse::<PciAddress>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn mac_addresses_compare_as_bytes() {
        let lower: MacAddr = "02:ab:cd:ef:00:01".parse().unwrap();
        assert_eq!("02-AB-CD-EF-00-01".parse::<MacAddr>().unwrap(), lower);
        assert_eq!(lower.to_string(), "02:ab:cd:ef:00:01");
        assert!("ff:ff:ff:ff:ff:ff".parse::<MacAddr>().unwrap().is_multicast());
        for text in
            ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "2:0:0:0:0:0", "02:00:00:00:00:0g"]
        {
            assert!(text.parse::<MacAddr>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_that_no_netdev_can_have_are_refused() {
        assert!("eth0.100".parse::<IfName>().is_ok());
        for text in
            ["", ".", "..", "all", "default", "a/b", "a:1", "a%d", "a b", "sixteen-letters-"]
        {
            assert!(text.parse::<IfName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn vlan_4095_is_refused_at_the_door() {
        assert_eq!("4094".parse(), Ok(VlanId(4094)));
        for text in ["4095", "-1", "65536", "x"] {
            assert!(text.parse::<VlanId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_device_id_cannot_leave_its_directory() {
        assert!(DeviceId::new("pci", "../x").is_none());
        assert!(DeviceId::new("..", "x").is_none());
        assert!("netdevsim/a/b".parse::<DeviceId>().is_err());
        assert!(DeviceId::new("netdevsim", "a\nb").is_none());
        let sim: DeviceId = "netdevsim/netdevsim7".parse().unwrap();
        assert_eq!(sim.sysfs_dir(), "bus/netdevsim/devices/netdevsim7");
        assert_eq!("01:00.0".parse::<DeviceId>().unwrap().to_string(), "0000:01:00.0");
    }

    #[test]
    fn on_the_pci_bus_only_addresses_are_devices() {
        // Such a name would print without its bus, and could then not be read again.
        for name in ["000", "0000:01:00.8", "0000:01:00.0#2", "0000:01:00.0++1", "eth0"] {
            assert_eq!(DeviceId::new("pci", name), None, "{name}");
        }
        let short: DeviceId = "pci/01:00.0".parse().unwrap();
        assert_eq!(short.name(), "0000:01:00.0");
    }

    #[test]
    fn further_ports_of_a_device_are_numbered() {
        let second: DeviceId = "0000:01:00.0+1".parse().unwrap();
        assert_eq!(second.to_string(), "0000:01:00.0+1");
        assert_eq!((second.name(), second.port()), ("0000:01:00.0", 1));
        assert_eq!(DeviceId::new("pci", "0000:01:00.0+1"), Some(second.clone()));
        assert_eq!(second.with_port(0), "0000:01:00.0".parse().unwrap());
        for text in [
            "0000:01:00.0+",
            "0000:01:00.0+0",
            "0000:01:00.0+x",
            "+1",
            "0000:01:00.0+-1",
            "0000:01:00.0++1",
        ] {
            assert!(text.parse::<DeviceId>().is_err(), "{text}");
        }
        assert!(DeviceId::new("pci", "0000:01:00.0+0").is_none());
    }
}
