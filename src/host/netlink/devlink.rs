//! devlink by generic netlink: eswitch mode and firmware version (kernel: net/devlink/dev.c;
//! include/uapi/linux/devlink.h).

use netlink_packet_core::{NLM_F_ACK, NetlinkSerializable};

use super::attrs::{self, Attr, Attrs};
use super::{Netlink, Refused};
use crate::error::Result;
use crate::model::ids::DeviceId;
use crate::model::spec::Eswitch;

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const DEVLINK_CMD_ESWITCH_GET: u8 = 29;
const DEVLINK_CMD_ESWITCH_SET: u8 = 30;
const DEVLINK_CMD_INFO_GET: u8 = 51;
const DEVLINK_ATTR_BUS_NAME: u16 = 1;
const DEVLINK_ATTR_DEV_NAME: u16 = 2;
const DEVLINK_ATTR_ESWITCH_MODE: u16 = 25;
const DEVLINK_ATTR_INFO_VERSION_RUNNING: u16 = 101;
const DEVLINK_ATTR_INFO_VERSION_NAME: u16 = 103;
const DEVLINK_ATTR_INFO_VERSION_VALUE: u16 = 104;
/// Size of `struct genlmsghdr`.
pub(super) const GENLMSGHDR: usize = 4;

/// A generic netlink request: family, command, and attributes that are texts.
#[derive(Debug, Clone)]
struct Request {
    family: u16,
    payload: Vec<u8>,
}

impl Request {
    fn new(family: u16, command: u8, texts: &[(u16, &str)]) -> Self {
        let mut payload = vec![command, 1, 0, 0];
        for (kind, text) in texts {
            // A name longer than an attribute can be is no name of a device.
            let length = u16::try_from(attrs::HEADER + text.len() + 1).unwrap_or(0);
            payload.extend(length.to_ne_bytes());
            payload.extend(kind.to_ne_bytes());
            payload.extend(text.bytes());
            payload.push(0);
            payload.resize(attrs::align(payload.len()), 0);
        }
        Self { family, payload }
    }

    fn with_u16(mut self, kind: u16, value: u16) -> Self {
        self.payload.extend(6_u16.to_ne_bytes()); // header and value
        self.payload.extend(kind.to_ne_bytes());
        self.payload.extend(value.to_ne_bytes());
        self.payload.extend([0; 2]); // up to the next attribute
        self
    }
}

impl NetlinkSerializable for Request {
    fn message_type(&self) -> u16 {
        self.family
    }
    fn buffer_len(&self) -> usize {
        self.payload.len()
    }
    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.payload);
    }
}

/// A socket that speaks devlink.
pub struct Devlink {
    netlink: Netlink,
    family: u16,
}

impl Devlink {
    /// `None` where the kernel has no devlink.
    pub fn open() -> Result<Option<Self>> {
        let mut netlink = Netlink::generic()?;
        let name = [(CTRL_ATTR_FAMILY_NAME, "devlink")];
        let request = Request::new(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name);
        let family = ask(&mut netlink, request, |attrs| {
            attrs.find(CTRL_ATTR_FAMILY_ID).and_then(|id| id.u16_at(0))
        });
        Ok(family.ok().flatten().map(|family| Self { netlink, family }))
    }

    /// `legacy` or `switchdev`; `None` where the driver has no eswitch to tell of.
    pub fn eswitch_mode(&mut self, device: &DeviceId) -> Option<String> {
        self.get(DEVLINK_CMD_ESWITCH_GET, device, mode)
    }

    /// Sets that mode.
    pub fn set_eswitch_mode(
        &mut self,
        device: &DeviceId,
        mode: Eswitch,
    ) -> std::result::Result<(), Refused> {
        let value = match mode {
            Eswitch::Legacy => 0,
            Eswitch::Switchdev => 1,
        };
        let names = [(DEVLINK_ATTR_BUS_NAME, device.bus()), (DEVLINK_ATTR_DEV_NAME, device.name())];
        let request = Request::new(self.family, DEVLINK_CMD_ESWITCH_SET, &names)
            .with_u16(DEVLINK_ATTR_ESWITCH_MODE, value);
        ask(&mut self.netlink, request, |_| None::<()>).map(drop)
    }

    /// The running version of the device's main firmware (`fw`, else the first that is named so).
    pub fn firmware(&mut self, device: &DeviceId) -> Option<String> {
        self.get(DEVLINK_CMD_INFO_GET, device, firmware)
    }

    fn get<T>(
        &mut self,
        command: u8,
        device: &DeviceId,
        read: impl Fn(Attrs<'_>) -> Option<T>,
    ) -> Option<T> {
        let names = [(DEVLINK_ATTR_BUS_NAME, device.bus()), (DEVLINK_ATTR_DEV_NAME, device.name())];
        let request = Request::new(self.family, command, &names);
        // A driver without this command refuses; that only means "unknown".
        ask(&mut self.netlink, request, read).ok().flatten()
    }
}

pub(super) fn mode(attrs: Attrs<'_>) -> Option<String> {
    let mode = attrs.find(DEVLINK_ATTR_ESWITCH_MODE).and_then(|mode| mode.u16_at(0))?;
    Some(match mode {
        0 => "legacy".to_owned(),
        1 => "switchdev".to_owned(),
        2 => "switchdev_inactive".to_owned(),
        other => format!("mode {other}"),
    })
}

pub(super) fn firmware(attrs: Attrs<'_>) -> Option<String> {
    let running = attrs.filter(|attr| attr.kind == DEVLINK_ATTR_INFO_VERSION_RUNNING);
    let text = |attr: Attr<'_>, kind| attr.nested().find(kind).map(Attr::text);
    let versions: Vec<(String, String)> = running
        .filter_map(|attr| {
            let name = text(attr, DEVLINK_ATTR_INFO_VERSION_NAME)?;
            Some((name, text(attr, DEVLINK_ATTR_INFO_VERSION_VALUE)?))
        })
        .collect();
    let exact = versions.iter().find(|(name, _)| name == "fw");
    let close = || versions.iter().find(|(name, _)| name.starts_with("fw"));
    exact.or_else(close).map(|(_, value)| value.clone())
}

fn ask<T>(
    netlink: &mut Netlink,
    request: Request,
    read: impl Fn(Attrs<'_>) -> Option<T>,
) -> std::result::Result<Option<T>, Refused> {
    let mut found = None;
    netlink.exchange(request, NLM_F_ACK, &mut |_, payload| {
        let attrs = Attrs::new(payload.get(GENLMSGHDR..).unwrap_or_default());
        found = read(attrs).or(found.take());
    })?;
    Ok(found)
}
