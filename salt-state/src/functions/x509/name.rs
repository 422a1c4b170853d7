//! Distinguished names: how they are written in SLS files, on the wire, and as text.

use salt_proto::{Map, Value};
use sha1::{Digest as _, Sha1};

use super::der::{self, Element};
use super::{colons, invocation};
use crate::python;
use crate::registry::CallError;

/// What an attribute may be called, what RFC 4514 calls it (if it does), what Salt does,
/// its identifier and string type.
struct Attribute {
    salt: &'static str,
    also: &'static [&'static str],
    standard: bool,
    oid: &'static str,
    tag: u8,
}

const fn attribute(
    salt: &'static str,
    also: &'static [&'static str],
    standard: bool,
    oid: &'static str,
    tag: u8,
) -> Attribute {
    Attribute {
        salt,
        also,
        standard,
        oid,
        tag,
    }
}

/// How many of them can be keywords; the others stand in texts only.
const KEYWORDS: usize = 11;

/// In the order in which keywords become a name.
const ATTRIBUTES: &[Attribute] = &[
    attribute("C", &["countryName"], true, "2.5.4.6", der::PRINTABLE),
    attribute(
        "ST",
        &["SP", "stateOrProvinceName"],
        true,
        "2.5.4.8",
        der::UTF8,
    ),
    attribute("L", &["localityName"], true, "2.5.4.7", der::UTF8),
    attribute("STREET", &["streetAddress"], true, "2.5.4.9", der::UTF8),
    attribute("O", &["organizationName"], true, "2.5.4.10", der::UTF8),
    attribute(
        "OU",
        &["organizationalUnitName"],
        true,
        "2.5.4.11",
        der::UTF8,
    ),
    attribute("CN", &["commonName"], true, "2.5.4.3", der::UTF8),
    attribute(
        "MAIL",
        &["Email", "emailAddress"],
        false,
        "1.2.840.113549.1.9.1",
        der::IA5,
    ),
    attribute("SN", &["surname"], false, "2.5.4.4", der::UTF8),
    attribute("GN", &["givenName"], false, "2.5.4.42", der::UTF8),
    attribute(
        "UID",
        &["userID"],
        true,
        "0.9.2342.19200300.100.1.1",
        der::UTF8,
    ),
    attribute(
        "SERIALNUMBER",
        &["serialNumber"],
        false,
        "2.5.4.5",
        der::PRINTABLE,
    ),
    attribute(
        "DC",
        &["domainComponent"],
        true,
        "0.9.2342.19200300.100.1.25",
        der::IA5,
    ),
];

fn find(name: &str) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|attribute| {
        attribute.salt == name || attribute.also.contains(&name) || attribute.oid == name
    })
}

/// A name as it is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) der: Vec<u8>,
}

impl Name {
    fn of(parts: &[(&Attribute, String)]) -> Result<Self, CallError> {
        let mut sets = Vec::new();
        for (attribute, text) in parts {
            if attribute.salt == "C" && text.chars().count() != 2 {
                return Err(CallError::exception(
                    "ValueError",
                    "Country code must be a 2 character alpha-2 country code",
                ));
            }
            let oid = der::oid(attribute.oid).unwrap_or_default();
            let value = der::tlv(attribute.tag, text.as_bytes());
            sets.push(der::around(der::SET, &[der::sequence(&[oid, value])]));
        }
        Ok(Self {
            der: der::sequence(&sets),
        })
    }

    /// From `subject`, or from keywords (`CN`, `O`, …) when there is none.
    pub(super) fn wanted(subject: Option<&Value>, keywords: &Map) -> Result<Self, CallError> {
        let attributes = |map: &Map| -> Vec<(&'static Attribute, String)> {
            let mut parts = Vec::new();
            for attribute in ATTRIBUTES.iter().take(KEYWORDS) {
                let named = std::iter::once(&attribute.salt).chain(attribute.also);
                let found = named
                    .filter_map(|name| map.get(name))
                    .find(|value| !value.is_null());
                match found {
                    Some(Value::List(all)) => {
                        parts.extend(all.iter().map(|one| (attribute, python::str(one))));
                    }
                    Some(one) => parts.push((attribute, python::str(one))),
                    None => {}
                }
            }
            parts
        };
        match subject {
            None | Some(Value::Null) => Self::of(&attributes(keywords)),
            Some(Value::Map(map)) => Self::of(&attributes(map)),
            Some(Value::Str(text)) => Self::parse(text),
            Some(Value::List(parts)) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(pairs(&python::str(part))?);
                }
                Self::of(&all)
            }
            Some(_) => Err(invocation("subject must be a text, a list or a mapping")),
        }
    }

    /// Reads RFC 4514: the last part of the text is the first of the name.
    pub(super) fn parse(text: &str) -> Result<Self, CallError> {
        let mut parts = pairs(text)?;
        parts.reverse();
        Self::of(&parts)
    }

    /// Takes a name out of something that was read.
    pub(super) fn read(element: &Element<'_>) -> Option<Self> {
        attributes_of(element)?;
        Some(Self {
            der: element.whole.to_vec(),
        })
    }

    fn attributes(&self) -> Vec<(String, String)> {
        der::only(&self.der)
            .and_then(|element| attributes_of(&element))
            .unwrap_or_default()
    }

    /// As RFC 4514 writes it.
    pub(super) fn text(&self) -> String {
        let mut parts: Vec<String> = self
            .attributes()
            .into_iter()
            .map(|(oid, value)| {
                let name = match find(&oid) {
                    Some(attribute) if attribute.standard => attribute.salt,
                    _ => oid.as_str(),
                };
                format!("{name}={}", escaped(&value))
            })
            .collect();
        parts.reverse();
        parts.join(",")
    }

    /// As a mapping, by Salt's names.
    pub(super) fn map(&self) -> Map {
        let mut map = Map::new();
        let all = self.attributes();
        for attribute in ATTRIBUTES {
            let found = all.iter().find(|(oid, _)| oid == attribute.oid);
            if let Some((_, value)) = found {
                map.insert(attribute.salt, value.as_str());
            }
        }
        map
    }

    /// The common name.
    pub(super) fn common(&self) -> Option<String> {
        let all = self.attributes();
        all.into_iter()
            .find(|(oid, _)| oid == "2.5.4.3")
            .map(|(_, value)| value)
    }

    /// OpenSSL's number for a name.
    pub(super) fn hash(&self) -> String {
        let digest = Sha1::digest(&self.der);
        let mut bytes: Vec<u8> = digest.iter().copied().take(4).collect();
        bytes.reverse();
        colons(&bytes)
    }
}

fn attributes_of(element: &Element<'_>) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    for set in element.parts_of(der::SEQUENCE)? {
        for pair in set.parts_of(der::SET)? {
            let parts = pair.parts_of(der::SEQUENCE)?;
            let [oid, value] = parts.as_slice() else {
                return None;
            };
            all.push((oid.oid()?, value.text()));
        }
    }
    Some(all)
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        let edge = (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ');
        if edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        if c == '\0' {
            out.push_str("\\00");
        } else {
            out.push(c);
        }
    }
    out
}

fn pairs(text: &str) -> Result<Vec<(&'static Attribute, String)>, CallError> {
    let refused = || CallError::execution(format!("Failed parsing rfc4514 dirName string: {text}"));
    let mut parts = Vec::new();
    let (mut current, mut quoted) = (String::new(), false);
    let mut take = |part: &str| -> Result<(), CallError> {
        if part.trim().is_empty() {
            return Ok(());
        }
        let (name, value) = part.split_once('=').ok_or_else(refused)?;
        let attribute = find(name.trim()).ok_or_else(refused)?;
        parts.push((attribute, value.trim_start().to_owned()));
        Ok(())
    };
    for c in text.chars() {
        if quoted {
            current.push(c);
            quoted = false;
        } else if c == '\\' {
            quoted = true;
        } else if matches!(c, ',' | '+') {
            take(&current)?;
            current.clear();
        } else {
            current.push(c);
        }
    }
    take(&current)?;
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_backwards_and_hashed_as_openssl_does() {
        let keywords = Map::from([("CN", "My CA")]);
        let name = Name::wanted(None, &keywords).unwrap();
        assert_eq!(name.text(), "CN=My CA");
        assert_eq!(name.hash(), "27:2A:74:C2");

        let keywords = Map::from([
            ("Email", "a@b.c"),
            ("CN", "www"),
            ("C", "DE"),
            ("O", "a, b"),
        ]);
        let name = Name::wanted(None, &keywords).unwrap();
        assert_eq!(
            name.text(),
            "1.2.840.113549.1.9.1=a@b.c,CN=www,O=a\\, b,C=DE"
        );
        assert_eq!(name.map().str("MAIL"), Some("a@b.c"));
    }

    #[test]
    fn texts_lists_and_mappings_name_the_same() {
        let text = Name::parse("CN=y,O=x,C=DE").unwrap();
        let list = Value::List(vec!["C=DE".into(), "O=x".into(), "CN=y".into()]);
        assert_eq!(Name::wanted(Some(&list), &Map::new()).unwrap(), text);
        assert_eq!(text.hash(), "E1:E6:CB:98");
        assert!(Name::parse("nonsense").is_err());
        assert!(Name::parse("C=Germany").is_err());
    }
}
