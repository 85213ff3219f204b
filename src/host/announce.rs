//! Telling neighbours whose addresses moved: gratuitous ARP (RFC 5227 section 3) and unsolicited
//! neighbour advertisements (RFC 4861 section 7.2.6), so that traffic finds a reused address at
//! once instead of after minutes.
//!
//! An address that the kernel still probes for duplicates is not announced here: a NIC that hands a
//! frame back to its sender would make the probe fail. The kernel announces it afterwards
//! (`ndisc_notify`).
#![allow(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;

use super::moves::ifindex_here;
use super::netlink::Netlink;
use super::netns;
use crate::model::ids::{Cidr, DeviceId, MacAddr};
use crate::model::record::NetnsId;

/// Without carrier nothing would be heard; longer than this nobody is kept waiting.
const CARRIER_WITHIN: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(10);
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;

/// Announces each address of the device's interface. Whatever fails, nothing depends on it.
pub fn announce(device: &DeviceId, at: &NetnsId, addresses: &[Cidr]) {
    if addresses.is_empty() {
        return;
    }
    let work = || {
        let mut netlink = Netlink::route()?;
        if let Some(ifindex) = ifindex_here(device)?
            && let Some(mac) = wait_for_carrier(&mut netlink, ifindex)
        {
            let probed = netlink.tentative(ifindex)?;
            for cidr in addresses.iter().filter(|cidr| !probed.contains(&cidr.address)) {
                let (ethertype, frame) = match cidr.address {
                    IpAddr::V4(v4) => (ETH_P_ARP, arp(mac, v4)),
                    IpAddr::V6(v6) => (ETH_P_IPV6, advertisement(mac, v6)),
                };
                send(ifindex, ethertype, &frame);
            }
        }
        Ok(())
    };
    let _ = netns::enter(&at.path, Some(at), work);
}

fn wait_for_carrier(netlink: &mut Netlink, ifindex: u32) -> Option<MacAddr> {
    let end = std::time::Instant::now() + CARRIER_WITHIN;
    loop {
        let link = netlink.link(ifindex).ok()?;
        if link.operstate.as_deref() == Some("up") || std::time::Instant::now() >= end {
            return link.mac;
        }
        std::thread::sleep(POLL);
    }
}

fn send(ifindex: u32, ethertype: u16, frame: &[u8]) {
    // SAFETY: a plain system call; the descriptor is owned from here on.
    let fd = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let fd = libc::socket(libc::AF_PACKET, kind, 0);
        if fd < 0 {
            return;
        }
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: all of the structure is plain numbers, for which zero is a value.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET.cast_unsigned().try_into().unwrap_or_default();
    to.sll_protocol = ethertype.to_be();
    to.sll_ifindex = ifindex.cast_signed();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
    // SAFETY: frame and address are valid for the lengths given. Its result is of no consequence.
    unsafe {
        let (frame, frame_len) = (frame.as_ptr().cast(), frame.len());
        libc::sendto(fd.as_raw_fd(), frame, frame_len, 0, (&raw const to).cast(), length);
    }
}

/// "Address is at MAC", asked and answered by itself, to all.
fn arp(mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], mac, ETH_P_ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]); // Ethernet, IPv4, lengths, request
    frame.extend(mac.0);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// "Address is at MAC, forget what you knew", to all nodes.
fn advertisement(mac: MacAddr, address: Ipv6Addr) -> Vec<u8> {
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap_or(Ipv6Addr::UNSPECIFIED);
    let mut icmp = vec![136, 0, 0, 0, 0x20, 0, 0, 0]; // neighbour advertisement, override
    icmp.extend(address.octets());
    icmp.extend([2, 1]); // target link-layer address, in units of eight bytes
    icmp.extend(mac.0);
    let sum = icmp_checksum(address, all_nodes, &icmp).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);

    let mut frame = ethernet([0x33, 0x33, 0, 0, 0, 1], mac, ETH_P_IPV6);
    let length = u16::try_from(icmp.len()).unwrap_or_default();
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([58, 255]); // ICMPv6; only a hop limit of 255 is believed
    frame.extend(address.octets());
    frame.extend(all_nodes.octets());
    frame.extend(icmp);
    frame
}

fn ethernet(to: [u8; 6], from: MacAddr, ethertype: u16) -> Vec<u8> {
    [&to[..], &from.0, &ethertype.to_be_bytes()].concat()
}

/// RFC 4443 section 2.3: over the pseudo-header and the message.
fn icmp_checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    let all = [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, 58], message].concat();
    let sum: u32 = all
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arp_frame_is_as_rfc_826_lays_it_out() {
        let frame = arp(MacAddr([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 1));
        let expected = "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 \
                        020000000001 0a000001 000000000000 0a000001";
        let hex: Vec<String> = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.concat(), expected.replace(' ', ""));
    }

    #[test]
    fn an_advertisement_sums_up() {
        let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let frame = advertisement(MacAddr([2, 0, 0, 0, 0, 1]), address);
        assert_eq!((frame.len(), &frame[12..14], frame[54]), (86, &[0x86, 0xdd][..], 136));
        // Summed with its checksum in place, a right message gives zero.
        let all_nodes = "ff02::1".parse().unwrap();
        assert_eq!(icmp_checksum(address, all_nodes, &frame[54..]), 0);
    }
}
