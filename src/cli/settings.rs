//! Options for what a PF keeps of a VF, which several subcommands have.

use clap::{Args, ValueEnum};

use crate::model::ids::VlanId;
use crate::model::link::{LinkState, VlanProto};

/// A VLAN tag.
#[derive(Debug, Args)]
pub struct TagArgs {
    /// VLAN that the NIC inserts and strips, 0-4094 (0: none)
    #[arg(long, value_name = "ID")]
    pub vlan: Option<VlanId>,
    /// Priority in the VLAN tag, 0-7
    #[arg(long, value_name = "PRIO", requires = "vlan", value_parser = clap::value_parser!(u8).range(0..=7))]
    pub qos: Option<u8>,
    /// Protocol of the VLAN tag
    #[arg(long, value_name = "PROTO", requires = "vlan")]
    pub proto: Option<Proto>,
}

/// What else there is of a VF's port.
#[derive(Debug, Args)]
pub struct PortArgs {
    /// Whether frames with a foreign source MAC are dropped
    #[arg(long, value_name = "ON|OFF")]
    pub spoofchk: Option<OnOff>,
    /// Whether the VF may change its MAC, become promiscuous and the like
    #[arg(long, value_name = "ON|OFF")]
    pub trust: Option<OnOff>,
    /// What the VF sees as carrier
    #[arg(long, value_name = "STATE")]
    pub link_state: Option<Carrier>,
    /// Lowest guaranteed rate in Mbit/s (0: none)
    #[arg(long, value_name = "MBPS")]
    pub min_tx_rate: Option<u32>,
    /// Highest rate in Mbit/s (0: no limit)
    #[arg(long, value_name = "MBPS")]
    pub max_tx_rate: Option<u32>,
}

/// on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// Switched on
    On,
    /// Switched off
    Off,
}

impl From<OnOff> for bool {
    fn from(value: OnOff) -> Self {
        value == OnOff::On
    }
}

impl From<Carrier> for LinkState {
    fn from(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Auto => Self::Auto,
            Carrier::Enable => Self::Enable,
            Carrier::Disable => Self::Disable,
        }
    }
}

/// Protocol of a VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Proto {
    /// The customer tag
    #[value(name = "802.1q", alias = "802.1Q")]
    Dot1q,
    /// The service tag
    #[value(name = "802.1ad", alias = "802.1AD")]
    Dot1ad,
}

/// Carrier of a VF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Carrier {
    /// The PF's
    Auto,
    /// Always up
    Enable,
    /// Always down
    Disable,
}

impl From<Proto> for VlanProto {
    fn from(proto: Proto) -> Self {
        match proto {
            Proto::Dot1q => Self::Dot1q,
            Proto::Dot1ad => Self::Dot1ad,
        }
    }
}
