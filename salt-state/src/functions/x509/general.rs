//! General names: hosts, addresses, mail boxes and what else a certificate may speak for.

use std::net::IpAddr;

use ipnet::IpNet;
use salt_proto::Value;

use super::der::{self, Element};
use super::name::Name;
use crate::registry::CallError;

/// A list of names, encoded.
///
/// # Errors
///
/// In Salt's words.
pub(super) fn names(asked: &[String]) -> Result<Vec<u8>, CallError> {
    let all = asked
        .iter()
        .map(|one| name(one))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(der::sequence(&all))
}

fn typed(text: &str) -> Result<(String, &str), CallError> {
    let (kind, rest) = text
        .split_once(':')
        .ok_or_else(|| CallError::execution(format!("GeneralName {text} has no type")))?;
    Ok((kind.trim().to_lowercase(), rest.trim()))
}

/// One name, encoded: `dns:…`, `ip:…`, `email:…`, `uri:…`, `rid:…`, `dirName:…`.
///
/// # Errors
///
/// In Salt's words.
pub(super) fn name(text: &str) -> Result<Vec<u8>, CallError> {
    let (kind, value) = typed(text)?;
    Ok(match kind.as_str() {
        "ip" => match value.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => der::tlv(0x87, &address.octets()),
            Ok(IpAddr::V6(address)) => der::tlv(0x87, &address.octets()),
            Err(_) => {
                return Err(CallError::execution(format!(
                    "'{value}' does not appear to be an IPv4 or IPv6 address"
                )));
            }
        },
        _ => not_an_address(&kind, value, text)?,
    })
}

fn not_an_address(kind: &str, value: &str, text: &str) -> Result<Vec<u8>, CallError> {
    let ascii = |tag: u8| {
        if value.is_ascii() {
            Ok(der::tlv(tag, value.as_bytes()))
        } else {
            Err(CallError::execution(format!(
                "names beyond ASCII are written in their encoded form (xn--…): {value}"
            )))
        }
    };
    Ok(match kind {
        "email" | "mail" => ascii(0x81)?,
        "dns" => ascii(0x82)?,
        "uri" => ascii(0x86)?,
        "dirname" => der::tlv(0xa4, &Name::parse(value)?.der),
        "rid" => {
            let oid = der::oid(value)
                .ok_or_else(|| CallError::execution(format!("Invalid oid: {value}")))?;
            let body = der::only(&oid).map(|oid| oid.body.to_vec());
            der::tlv(0x88, &body.unwrap_or_default())
        }
        "othername" => {
            return Err(CallError::execution("otherName is not offered here"));
        }
        _ => {
            let (kind, _) = text.split_once(':').unwrap_or((text, ""));
            return Err(CallError::execution(format!(
                "GeneralName type {} is invalid",
                kind.trim()
            )));
        }
    })
}

/// A name in a constraint, where addresses are networks.
///
/// # Errors
///
/// In Salt's words.
pub(super) fn constraint(text: &str) -> Result<Vec<u8>, CallError> {
    let (kind, value) = typed(text)?;
    if kind != "ip" {
        return not_an_address(&kind, value, text);
    }
    let refused = || {
        CallError::execution(format!(
            "'{value}' does not appear to be an IPv4 or IPv6 network"
        ))
    };
    let (address, mask) = value.split_once('/').ok_or_else(refused)?;
    let address: IpAddr = address.trim().parse().map_err(|_| refused())?;
    let length: u8 = match mask.trim().parse::<u8>() {
        Ok(length) => length,
        Err(_) => {
            let mask: IpAddr = mask.trim().parse().map_err(|_| refused())?;
            ipnet::ip_mask_to_prefix(mask).map_err(|_| refused())?
        }
    };
    let network = IpNet::new(address, length).map_err(|_| refused())?;
    Ok(match (network.network(), network.netmask()) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => {
            der::tlv(0x87, &[address.octets(), mask.octets()].concat())
        }
        (IpAddr::V6(address), IpAddr::V6(mask)) => {
            der::tlv(0x87, &[address.octets(), mask.octets()].concat())
        }
        _ => return Err(refused()),
    })
}

/// The type of a name and what it says.
pub(super) fn parts(element: &Element<'_>) -> Option<(&'static str, String)> {
    let text = || String::from_utf8_lossy(element.body).into_owned();
    Some(match element.tag {
        0x81 => ("mail", text()),
        0x82 => ("DNS", text()),
        0x86 => ("URI", text()),
        0x87 => ("IP", written_out(address(element.body)?)),
        0x88 => ("RID", der::oid_text(element.body)?),
        0xa4 => ("dirName", Name::read(element.parts()?.first()?)?.text()),
        _ => return None,
    })
}

/// With all digits, as Python's `exploded` has it.
fn written_out(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:04x}"));
            groups.join(":")
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?))
}

/// All names of a list, as Salt shows them.
pub(super) fn shown_all(list: &Element<'_>) -> Option<Vec<Value>> {
    list.parts()?
        .iter()
        .map(|name| {
            let (kind, text) = parts(name)?;
            Some(Value::from(format!("{kind}:{text}")))
        })
        .collect()
}

/// A name of a constraint, as Salt shows it.
pub(super) fn shown_constraint(name: &Element<'_>) -> Option<Value> {
    if name.tag != 0x87 {
        let (kind, text) = parts(name)?;
        return Some(format!("{kind}:{text}").into());
    }
    let (network, mask) = name.body.split_at_checked(name.body.len() / 2)?;
    let length = ipnet::ip_mask_to_prefix(address(mask)?).ok()?;
    Some(format!("IP:{}/{length}", written_out(address(network)?)).into())
}
