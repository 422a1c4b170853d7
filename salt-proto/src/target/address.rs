//! Addresses and networks in the grains `ipv4` and `ipv6`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::TargetError;
use crate::value::{Map, Value};

/// An address, or a network without bits behind its mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subnet {
    Address(IpAddr),
    Network(IpNet),
}

impl Subnet {
    /// Reads `10.0.0.1`, `10.0.0.0/24`, `10.0.0.0/255.255.255.0`,
    /// `10.0.0.0/0.0.0.255` and the same in IPv6 as Python's `ipaddress` does.
    ///
    /// # Errors
    ///
    /// If it is neither, or has bits behind its mask.
    pub(crate) fn new(text: &str) -> Result<Self, TargetError> {
        Self::read(text).ok_or_else(|| TargetError::Address(text.to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        let Some((address, mask)) = text.split_once('/') else {
            return text.parse().ok().map(Self::Address);
        };
        let network = match address.parse().ok()? {
            IpAddr::V4(address) => IpNet::V4(Ipv4Net::new(address, prefix_v4(mask)?).ok()?),
            IpAddr::V6(address) => IpNet::V6(Ipv6Net::new(address, digits(mask)?).ok()?),
        };
        (network.addr() == network.network()).then_some(Self::Network(network))
    }

    /// Whether a minion with these grains has the address or one in the network.
    pub(crate) fn matches(&self, grains: &Map) -> bool {
        let grain = match self {
            Self::Address(IpAddr::V4(_)) | Self::Network(IpNet::V4(_)) => "ipv4",
            Self::Address(IpAddr::V6(_)) | Self::Network(IpNet::V6(_)) => "ipv6",
        };
        let Some(value) = grains.get(grain) else {
            return false;
        };
        match (self, value) {
            (Self::Address(address), Value::List(items)) => {
                let text = address.to_string();
                items.iter().any(|item| item.as_str() == Some(&text))
            }
            (Self::Address(address), Value::Str(text)) => text.contains(&address.to_string()),
            (Self::Network(network), Value::List(items)) => items.iter().any(|item| {
                item.as_str()
                    .is_some_and(|address| in_network(network, address))
            }),
            (Self::Network(network), Value::Str(address)) => in_network(network, address),
            _ => false,
        }
    }
}

fn in_network(network: &IpNet, address: &str) -> bool {
    address
        .parse::<IpAddr>()
        .is_ok_and(|address| network.contains(&address))
}

fn digits(text: &str) -> Option<u8> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A prefix length, a netmask, or a host mask.
fn prefix_v4(mask: &str) -> Option<u8> {
    if let Some(prefix) = digits(mask) {
        return Some(prefix);
    }
    let bits = u32::from(mask.parse::<Ipv4Addr>().ok()?);
    let ones = bits.leading_ones();
    if ones + bits.trailing_zeros() >= 32 {
        return u8::try_from(ones).ok();
    }
    let zeros = bits.leading_zeros();
    (zeros + bits.trailing_ones() >= 32).then_some(u8::try_from(zeros).ok()?)
}
