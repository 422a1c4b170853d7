//! Interfaces and addresses from the kernel itself (`rtnetlink(7)`), so that no
//! `ip` or `ifconfig` has to be installed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use crate::system::{Interface, InterfaceAddress};

const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
const GET_ADDR: u16 = 22;
const NEW_ADDR: u16 = 20;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const REQUEST_DUMP: u16 = 0x1 | 0x300;
const HEADER: usize = 16;

/// All interfaces with their addresses.
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut all = Vec::new();
    dump(GET_LINK, NEW_LINK, 16, |body| all.extend(link(body)))?;
    dump(GET_ADDR, NEW_ADDR, 8, |body| {
        if let Some((index, address)) = address(body)
            && let Some(interface) = all.iter_mut().find(|one| one.index == index)
        {
            interface.addresses.push(address);
        }
    })?;
    Ok(all)
}

/// Asks for a table and hands over the body of each answer of type `wanted`.
fn dump(request: u16, wanted: u16, body: u32, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    // `None` is protocol 0, which is NETLINK_ROUTE.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let length = HEADER as u32 + body;
    let mut message = Vec::with_capacity(length as usize);
    message.extend(length.to_ne_bytes());
    message.extend(request.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    message.resize(length as usize, 0);
    send(&socket, &message, SendFlags::empty())?;

    let mut buffer = vec![0; 64 << 10];
    // The kernel ends its answer; the bound only keeps a fault from becoming a loop.
    for _ in 0..10_000 {
        let (received, _) = recv(&socket, &mut *buffer, RecvFlags::empty())?;
        let mut rest = buffer.get(..received).unwrap_or_default();
        while let Some(length) = number(rest, 0) {
            let length = length as usize;
            let Some(one) = rest.get(..length).filter(|_| length >= HEADER) else {
                break;
            };
            let kind = one.get(4..6).and_then(|at| at.try_into().ok());
            match kind.map(u16::from_ne_bytes) {
                Some(DONE) => return Ok(()),
                Some(ERROR) => return Err(io::Error::other("the kernel refused to list")),
                Some(kind) if kind == wanted => each(one.get(HEADER..).unwrap_or_default()),
                _ => {}
            }
            rest = rest.get(aligned(length)..).unwrap_or_default();
        }
    }
    Err(io::Error::other("the kernel's list does not end"))
}

/// `struct ifinfomsg` and its attributes.
fn link(body: &[u8]) -> Option<Interface> {
    let flags = number(body, 8)?;
    let mut interface = Interface {
        index: number(body, 4)?,
        up: flags & 0x1 != 0,
        loopback: flags & 0x8 != 0,
        ..Interface::default()
    };
    for (kind, data) in attributes(body.get(16..)?) {
        match kind {
            1 if !data.is_empty() => interface.hardware = Some(hardware(data)),
            3 => interface.name = text(data),
            5 => interface.parent = number(data, 0),
            _ => {}
        }
    }
    (!interface.name.is_empty()).then_some(interface)
}

/// `struct ifaddrmsg` and its attributes.
fn address(body: &[u8]) -> Option<(u32, InterfaceAddress)> {
    let (prefix, flags, scope) = (*body.get(1)?, *body.get(2)?, *body.get(3)?);
    let index = number(body, 4)?;
    let (mut local, mut peer, mut broadcast, mut label) = (None, None, None, None);
    for (kind, data) in attributes(body.get(8..)?) {
        match kind {
            1 => peer = ip(data),
            2 => local = ip(data),
            3 => label = Some(text(data)),
            4 => broadcast = ip(data),
            _ => {}
        }
    }
    Some((
        index,
        InterfaceAddress {
            address: local.or(peer)?,
            prefix,
            broadcast: broadcast.and_then(|found| match found {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            }),
            label,
            scope: match scope {
                0 => "global".to_owned(),
                200 => "site".to_owned(),
                253 => "link".to_owned(),
                254 => "host".to_owned(),
                other => other.to_string(),
            },
            secondary: flags & 1 != 0,
        },
    ))
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let data = rest.get(4..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        // The two top bits are flags.
        Some((kind & 0x3fff, data))
    })
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn number(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn text(data: &[u8]) -> String {
    let end = data.iter().position(|byte| *byte == 0);
    let name = data.get(..end.unwrap_or(data.len())).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn hardware(data: &[u8]) -> String {
    data.iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

fn ip(data: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(data).ok()?;
    Some(Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_among_the_interfaces() {
        let all = interfaces().unwrap();

        let lo = all.iter().find(|one| one.name == "lo").unwrap();
        assert!(lo.loopback);
        assert_eq!(lo.hardware.as_deref(), Some("00:00:00:00:00:00"));
    }

    #[test]
    fn truncated_messages_yield_nothing() {
        let mut body = vec![0; 16];
        body.extend([9, 0, 3, 0, b'e', b't', b'h', b'0', 0]);
        assert_eq!(link(&body).unwrap().name, "eth0");
        for end in 0..body.len() {
            assert_eq!(link(&body[..end]), None, "{end}");
            assert_eq!(address(&body[..end]).map(|_| ()), None);
        }
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
    }
}
