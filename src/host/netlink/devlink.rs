//! devlink by generic netlink: eswitch mode and firmware version (kernel: net/devlink/dev.c;
//! include/uapi/linux/devlink.h).

use netlink_packet_core::{DefaultNla, NLM_F_ACK};

use super::attrs::{Attr, Attrs};
use super::request::{Request, text};
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

fn named(device: &DeviceId) -> [DefaultNla; 2] {
    [text(DEVLINK_ATTR_BUS_NAME, device.bus()), text(DEVLINK_ATTR_DEV_NAME, device.name())]
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
        let name = [text(CTRL_ATTR_FAMILY_NAME, "devlink")];
        let request = Request::generic(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name);
        let family = ask(&mut netlink, &request, |attrs| {
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
        let value: u16 = match mode {
            Eswitch::Legacy => 0,
            Eswitch::Switchdev => 1,
        };
        let value = DefaultNla::new(DEVLINK_ATTR_ESWITCH_MODE, value.to_ne_bytes().to_vec());
        let [bus, name] = named(device);
        let request = Request::generic(self.family, DEVLINK_CMD_ESWITCH_SET, &[bus, name, value]);
        ask(&mut self.netlink, &request, |_| None::<()>).map(drop)
    }

    /// The running version of the device's main firmware (`fw`, else the first that is named so).
    pub fn firmware(&mut self, device: &DeviceId) -> Option<String> {
        self.get(DEVLINK_CMD_INFO_GET, device, firmware)
    }

    fn get<T>(
        &mut self,
        command: u8,
        device: &DeviceId,
        read: impl Fn(&Attrs<'_>) -> Option<T>,
    ) -> Option<T> {
        let request = Request::generic(self.family, command, &named(device));
        // A driver without this command refuses; that only means "unknown".
        ask(&mut self.netlink, &request, read).ok().flatten()
    }
}

pub(super) fn mode(attrs: &Attrs<'_>) -> Option<String> {
    let mode = attrs.find(DEVLINK_ATTR_ESWITCH_MODE).and_then(|mode| mode.u16_at(0))?;
    Some(match mode {
        0 => "legacy".to_owned(),
        1 => "switchdev".to_owned(),
        2 => "switchdev_inactive".to_owned(),
        other => format!("mode {other}"),
    })
}

pub(super) fn firmware(attrs: &Attrs<'_>) -> Option<String> {
    let running = attrs.clone().filter(|attr| attr.kind == DEVLINK_ATTR_INFO_VERSION_RUNNING);
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
    request: &Request,
    read: impl Fn(&Attrs<'_>) -> Option<T>,
) -> std::result::Result<Option<T>, Refused> {
    let mut found = None;
    netlink.exchange(request, NLM_F_ACK, &mut |_, payload| {
        let attrs = Attrs::new(payload.get(GENLMSGHDR..).unwrap_or_default());
        found = read(&attrs).or(found.take());
    })?;
    Ok(found)
}
