//! The extensions of certificates, requests and revocation lists: from what an SLS says to
//! what is encoded (RFC 5280), and from there to what Salt shows.

use salt_proto::{Map, Value};

use super::der::{self, Element};
use super::general;
use super::key::identifier;
use super::name::Name;
use super::{colons, invocation, pem};
use crate::python;
use crate::registry::CallError;

/// One extension as it is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) oid: String,
    pub(super) critical: bool,
    pub(super) value: Vec<u8>,
}

/// What an extension may refer to.
pub(super) struct Around<'a> {
    /// The key that is certified.
    pub(super) spki: &'a [u8],
    /// The key that signs, and the certificate it belongs to unless it signs for itself.
    pub(super) issuer_spki: &'a [u8],
    pub(super) issuer_key_id: Option<Vec<u8>>,
    pub(super) issuer_name: Option<&'a Name>,
    pub(super) issuer_serial: &'a [u8],
    pub(super) issuer_alt: Option<&'a [u8]>,
}

/// Salt's name, the standard's (which changes are reported by), the identifier.
const KNOWN: &[(&str, &str, &str)] = &[
    ("basicConstraints", "basicConstraints", "2.5.29.19"),
    ("keyUsage", "keyUsage", "2.5.29.15"),
    ("extendedKeyUsage", "extendedKeyUsage", "2.5.29.37"),
    ("subjectKeyIdentifier", "subjectKeyIdentifier", "2.5.29.14"),
    (
        "authorityKeyIdentifier",
        "authorityKeyIdentifier",
        "2.5.29.35",
    ),
    ("issuerAltName", "issuerAltName", "2.5.29.18"),
    (
        "authorityInfoAccess",
        "authorityInfoAccess",
        "1.3.6.1.5.5.7.1.1",
    ),
    ("subjectAltName", "subjectAltName", SUBJECT_ALT),
    (
        "crlDistributionPoints",
        "cRLDistributionPoints",
        "2.5.29.31",
    ),
    ("certificatePolicies", "certificatePolicies", "2.5.29.32"),
    ("policyConstraints", "policyConstraints", "2.5.29.36"),
    ("inhibitAnyPolicy", "inhibitAnyPolicy", "2.5.29.54"),
    ("nameConstraints", "nameConstraints", "2.5.29.30"),
    ("noCheck", "OCSPNoCheck", "1.3.6.1.5.5.7.48.1.5"),
    ("tlsfeature", "TLSFeature", "1.3.6.1.5.5.7.1.24"),
    ("cRLNumber", "cRLNumber", CRL_NUMBER),
    ("deltaCRLIndicator", "deltaCRLIndicator", "2.5.29.27"),
    ("CRLReason", "cRLReason", "2.5.29.21"),
    ("invalidityDate", "invalidityDate", "2.5.29.24"),
];

pub(super) const SUBJECT_ALT: &str = "2.5.29.17";
pub(super) const KEY_ID: &str = "2.5.29.14";
pub(super) const CRL_NUMBER: &str = "2.5.29.20";

/// Those of a certificate or a request.
pub(super) const OF_CERTIFICATES: usize = 15;

/// Extensions that Salt makes and that are not made here.
const NOT_OFFERED: &[&str] = &[
    "issuingDistributionPoint",
    "freshestCRL",
    "certificateIssuer",
];

const USAGES: &[&str] = &[
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

const PURPOSES: &[(&str, &str)] = &[
    ("serverAuth", "1.3.6.1.5.5.7.3.1"),
    ("clientAuth", "1.3.6.1.5.5.7.3.2"),
    ("codeSigning", "1.3.6.1.5.5.7.3.3"),
    ("emailProtection", "1.3.6.1.5.5.7.3.4"),
    ("timeStamping", "1.3.6.1.5.5.7.3.8"),
    ("OCSPSigning", "1.3.6.1.5.5.7.3.9"),
    ("anyExtendedKeyUsage", "2.5.29.37.0"),
    ("smartcardLogon", "1.3.6.1.4.1.311.20.2.2"),
    ("kerberosPKINITKDC", "1.3.6.1.5.2.3.5"),
    ("ipsecIKE", "1.3.6.1.5.5.7.3.17"),
];

const REASONS: &[(&str, u64)] = &[
    ("unspecified", 0),
    ("keyCompromise", 1),
    ("cACompromise", 2),
    ("CACompromise", 2),
    ("affiliationChanged", 3),
    ("superseded", 4),
    ("cessationOfOperation", 5),
    ("certificateHold", 6),
    ("removeFromCRL", 8),
    ("privilegeWithdrawn", 9),
    ("aACompromise", 10),
    ("AACompromise", 10),
];

impl Extension {
    /// Reads the list of them.
    pub(super) fn read_all(list: &Element<'_>) -> Option<Vec<Self>> {
        list.parts_of(der::SEQUENCE)?
            .iter()
            .map(|one| {
                let parts = one.parts_of(der::SEQUENCE)?;
                let (oid, rest) = parts.split_first()?;
                let value = rest.last().filter(|value| value.tag == der::OCTET_STRING)?;
                Some(Self {
                    oid: oid.oid()?,
                    critical: rest.len() == 2 && rest.first()?.body != [0],
                    value: value.body.to_vec(),
                })
            })
            .collect()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut parts = vec![der::oid(&self.oid).unwrap_or_default()];
        if self.critical {
            parts.push(der::boolean(true));
        }
        parts.push(der::tlv(der::OCTET_STRING, &self.value));
        der::sequence(&parts)
    }

    /// What changes of it are reported under.
    pub(super) fn name(&self) -> &str {
        let known = KNOWN.iter().find(|(_, _, oid)| *oid == self.oid);
        known.map_or(&self.oid, |(_, name, _)| *name)
    }

    /// Under which name Salt shows it, and how.
    pub(super) fn shown(&self) -> (String, Value) {
        let known = KNOWN.iter().find(|(_, _, oid)| *oid == self.oid);
        let name = known.map_or(self.oid.as_str(), |(name, _, _)| *name);
        let mut map = Map::from([("critical", self.critical)]);
        match describe(name, &self.value) {
            Some(described) => map.extend(described),
            None => {
                map.insert("value", colons(&self.value));
            }
        }
        (name.to_owned(), map.into())
    }
}

/// The extensions that a mapping of Salt's names asks for, in Salt's order; `known` says
/// how many of the table count.
///
/// # Errors
///
/// In Salt's words where it has some.
pub(super) fn wanted(asked: &Map, around: &Around<'_>) -> Result<Vec<Extension>, CallError> {
    if let Some(name) = NOT_OFFERED
        .iter()
        .find(|name| asked.get(name).is_some_and(Value::is_true))
    {
        return Err(CallError::execution(format!(
            "the extension {name} is not offered here"
        )));
    }
    let mut all = Vec::new();
    for (name, _, oid) in KNOWN {
        let Some(value) = asked.get(name).filter(|value| !value.is_null()) else {
            continue;
        };
        let (critical, value) = split_critical(value);
        if *name == "noCheck" && !value.is_true() {
            continue;
        }
        let encoded = build(name, &value, around)?;
        all.push(Extension {
            oid: (*oid).to_owned(),
            critical,
            value: encoded,
        });
    }
    Ok(all)
}

/// Takes the word `critical` out of what is asked for.
fn split_critical(value: &Value) -> (bool, Value) {
    match value {
        Value::Str(text) => {
            let words = words(text);
            let critical = words.iter().any(|word| word == "critical");
            let rest: Vec<String> = words
                .into_iter()
                .filter(|word| word != "critical")
                .collect();
            (critical, rest.join(", ").into())
        }
        Value::List(items) => {
            let is_critical = |item: &Value| item.as_str() == Some("critical");
            let rest = items.iter().filter(|item| !is_critical(item)).cloned();
            (items.iter().any(is_critical), rest.collect())
        }
        Value::Map(map) => {
            let mut map = map.clone();
            let critical = map.remove("critical");
            (
                critical.is_some_and(|critical| critical.is_true()),
                map.into(),
            )
        }
        other => (false, other.clone()),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(',')
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// The parts of a value: of a list, of text at its commas, of a mapping's `value`.
fn items(value: &Value) -> Vec<String> {
    match value {
        Value::Str(text) => words(text),
        Value::List(items) => items
            .iter()
            .flat_map(|item| match item {
                Value::Str(text) => vec![text.trim().to_owned()],
                Value::Map(map) => map
                    .iter()
                    .map(|(key, value)| format!("{}:{}", python::str(key), python::str(value)))
                    .collect(),
                other => vec![python::str(other)],
            })
            .collect(),
        Value::Map(map) => map.get("value").map(items).unwrap_or_default(),
        other => vec![python::str(other)],
    }
}

/// Numbers by name: `{name: n}` or `name:n` in text.
fn named_number(value: &Value, name: &str) -> Result<Option<u64>, CallError> {
    let text = match value {
        Value::Map(map) => map.get(name).filter(|n| !n.is_null()).map(python::str),
        other => items(other).iter().find_map(|item| {
            let (key, n) = item.split_once(':')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| n.trim().to_owned())
        }),
    };
    text.map(|text| {
        text.parse().map_err(|_| {
            CallError::exception(
                "ValueError",
                format!(
                    "invalid literal for int() with base 10: {}",
                    python::repr_str(&text)
                ),
            )
        })
    })
    .transpose()
}

fn build(name: &str, value: &Value, around: &Around<'_>) -> Result<Vec<u8>, CallError> {
    Ok(match name {
        "basicConstraints" => {
            let ca = match value {
                Value::Map(map) => map.get("ca").is_some_and(Value::is_true),
                other => items(other)
                    .iter()
                    .any(|item| item.replace(' ', "").eq_ignore_ascii_case("ca:true")),
            };
            let mut parts = Vec::new();
            if ca {
                parts.push(der::boolean(true));
                if let Some(length) = named_number(value, "pathlen")? {
                    parts.push(der::number(length));
                }
            }
            der::sequence(&parts)
        }
        "keyUsage" => {
            let asked = items(value);
            let has = |usage: &str| asked.iter().any(|item| item == usage);
            if (has("encipherOnly") || has("decipherOnly")) && !has("keyAgreement") {
                return Err(invocation(
                    "encipher_only and decipher_only can only be true when key_agreement is true",
                ));
            }
            let flags: Vec<bool> = USAGES.iter().map(|usage| has(usage)).collect();
            der::flag_bits(&flags)
        }
        "extendedKeyUsage" => {
            let oids = items(value)
                .iter()
                .map(|item| {
                    let known = PURPOSES.iter().find(|(purpose, _)| purpose == item);
                    der::oid(known.map_or(item, |(_, oid)| oid))
                        .ok_or_else(|| CallError::execution(format!("Invalid oid: {item}")))
                })
                .collect::<Result<Vec<_>, _>>()?;
            der::sequence(&oids)
        }
        "subjectKeyIdentifier" => {
            let text = items(value).join("");
            let bytes = if text == "hash" {
                identifier(around.spki)
            } else {
                pem::hexadecimal(&text)
            };
            let bytes = bytes.ok_or_else(|| {
                CallError::execution(format!("Value must be precomputed hash, not {text}"))
            })?;
            der::tlv(der::OCTET_STRING, &bytes)
        }
        "authorityKeyIdentifier" => authority(&items(value), around)?,
        "subjectAltName" => general::names(&items(value))?,
        "issuerAltName" => {
            let asked = items(value);
            match (asked.as_slice(), around.issuer_alt) {
                ([copy], Some(names)) if copy == "issuer:copy" => names.to_vec(),
                _ => general::names(&asked)?,
            }
        }
        "authorityInfoAccess" => {
            let mut parts = Vec::new();
            for item in items(value) {
                let refused =
                    || CallError::execution(format!("Invalid authorityInfoAccess: {item}"));
                let (method, place) = item
                    .split_once(';')
                    .or_else(|| item.split_once(':'))
                    .ok_or_else(refused)?;
                let oid = match method.trim() {
                    "OCSP" => "1.3.6.1.5.5.7.48.1",
                    "caIssuers" => "1.3.6.1.5.5.7.48.2",
                    other => other,
                };
                let oid = der::oid(oid).ok_or_else(refused)?;
                parts.push(der::sequence(&[oid, general::name(place.trim())?]));
            }
            der::sequence(&parts)
        }
        "crlDistributionPoints" => distribution_points(value)?,
        "certificatePolicies" => policies(value)?,
        "policyConstraints" => {
            let mut parts = Vec::new();
            for (tag, name) in [
                (0x80, "requireExplicitPolicy"),
                (0x81, "inhibitPolicyMapping"),
            ] {
                if let Some(n) = named_number(value, name)? {
                    parts.push(der::tlv(tag, &der::unsigned_body(&n.to_be_bytes())));
                }
            }
            der::sequence(&parts)
        }
        "inhibitAnyPolicy" | "cRLNumber" | "deltaCRLIndicator" => {
            let text = items(value).join("");
            let n: u64 = text.parse().map_err(|_| {
                CallError::execution(format!("{name} must be an integer, not {text}"))
            })?;
            der::number(n)
        }
        "nameConstraints" => name_constraints(value)?,
        "noCheck" => der::tlv(der::NULL, &[]),
        "tlsfeature" => {
            let numbers = items(value)
                .iter()
                .map(|item| match item.as_str() {
                    "status_request" => Ok(der::number(5)),
                    "status_request_v2" => Ok(der::number(17)),
                    other => Err(CallError::execution(format!(
                        "Unknown TLS feature: {other}"
                    ))),
                })
                .collect::<Result<Vec<_>, _>>()?;
            der::sequence(&numbers)
        }
        "CRLReason" => {
            let text = items(value).join("");
            let known = REASONS.iter().find(|(reason, _)| *reason == text);
            let (_, n) =
                known.ok_or_else(|| CallError::execution(format!("Unknown CRL reason: {text}")))?;
            der::tlv(der::ENUMERATED, &der::unsigned_body(&n.to_be_bytes()))
        }
        "invalidityDate" => {
            let text = items(value).join("");
            let unix = super::when(&text)?;
            let encoded = der::time_text(unix).replace(['-', ':', ' '], "");
            der::tlv(der::GENERALIZED_TIME, format!("{encoded}Z").as_bytes())
        }
        other => {
            return Err(CallError::execution(format!(
                "the extension {other} is not offered here"
            )));
        }
    })
}

fn authority(asked: &[String], around: &Around<'_>) -> Result<Vec<u8>, CallError> {
    let asks = |what: &str, always: bool| {
        asked.iter().any(|item| {
            let (name, rest) = item.split_once(':').unwrap_or((item, ""));
            name.trim() == what && (!always || rest.trim() == "always")
        })
    };
    let mut parts = Vec::new();
    if asks("keyid", false) {
        let own = around.issuer_key_id.clone();
        if let Some(id) = own.or_else(|| identifier(around.issuer_spki)) {
            parts.push(der::tlv(0x80, &id));
        }
    }
    if asks("issuer", true) || (asks("issuer", false) && parts.is_empty()) {
        let Some(name) = around.issuer_name else {
            return Err(invocation(
                "authorityKeyIdentifier: issuer needs a signing certificate",
            ));
        };
        let directory = der::tlv(0xa4, &name.der);
        parts.push(der::tlv(0xa1, &directory));
        parts.push(der::tlv(0x82, &der::unsigned_body(around.issuer_serial)));
    }
    Ok(der::sequence(&parts))
}

fn distribution_points(value: &Value) -> Result<Vec<u8>, CallError> {
    let list = match value {
        Value::List(items) => items.clone(),
        Value::Str(text) => words(text).into_iter().map(Value::from).collect(),
        Value::Map(map) => match map.get("value") {
            Some(Value::List(items)) => items.clone(),
            _ => vec![value.clone()],
        },
        other => vec![other.clone()],
    };
    let mut points = Vec::new();
    for point in list {
        let names = |key: &str| -> Result<Option<Vec<u8>>, CallError> {
            let found = point.get(key).filter(|value| value.is_true());
            found.map(|value| general::names(&items(value))).transpose()
        };
        let mut parts = Vec::new();
        let full = match &point {
            Value::Map(_) => names("fullname")?,
            other => Some(general::names(&items(other))?),
        };
        if let Some(full) = full {
            parts.push(der::tlv(0xa0, &retagged(0xa0, &full)));
        }
        if let Some(reasons) = point.get("reasons").filter(|value| value.is_true()) {
            let asked = items(reasons);
            // Bit 7 of the list is withdrawn privilege, 8 a compromised attribute authority.
            let flags: Vec<bool> = [0, 1, 2, 3, 4, 5, 6, 9, 10]
                .into_iter()
                .map(|n| {
                    REASONS
                        .iter()
                        .any(|(name, number)| *number == n && asked.iter().any(|one| one == name))
                })
                .collect();
            parts.push(retagged(0x81, &der::flag_bits(&flags)));
        }
        if let Some(issuer) = names("crlissuer")? {
            parts.push(retagged(0xa2, &issuer));
        }
        points.push(der::sequence(&parts));
    }
    Ok(der::sequence(&points))
}

fn retagged(tag: u8, element: &[u8]) -> Vec<u8> {
    let body = der::only(element).map(|element| element.body);
    der::tlv(tag, body.unwrap_or_default())
}

fn policies(value: &Value) -> Result<Vec<u8>, CallError> {
    let refused = |text: &str| CallError::execution(format!("Invalid oid: {text}"));
    let mut all = Vec::new();
    let mut add = |oid: &str, notices: &[String]| -> Result<(), CallError> {
        let mut parts = vec![der::oid(oid).ok_or_else(|| refused(oid))?];
        let mut qualifiers = Vec::new();
        for place in notices {
            let cps = der::oid("1.3.6.1.5.5.7.2.1").unwrap_or_default();
            qualifiers.push(der::sequence(&[cps, der::tlv(der::IA5, place.as_bytes())]));
        }
        if !qualifiers.is_empty() {
            parts.push(der::sequence(&qualifiers));
        }
        all.push(der::sequence(&parts));
        Ok(())
    };
    let list = match value {
        Value::List(list) => list.clone(),
        Value::Str(text) => words(text).into_iter().map(Value::from).collect(),
        other => vec![other.clone()],
    };
    for policy in list {
        match policy {
            Value::Map(map) => {
                for (oid, qualifiers) in &map {
                    let places = match qualifiers {
                        Value::List(list) if list.iter().all(|one| one.as_str().is_some()) => {
                            list.iter().map(python::str).collect()
                        }
                        Value::Null => Vec::new(),
                        Value::Str(one) => vec![one.clone()],
                        _ => {
                            return Err(CallError::execution(
                                "user notices of certificatePolicies are not offered here",
                            ));
                        }
                    };
                    add(&python::str(oid), &places)?;
                }
            }
            other => add(&python::str(&other), &[])?,
        }
    }
    Ok(der::sequence(&all))
}

fn name_constraints(value: &Value) -> Result<Vec<u8>, CallError> {
    let mut lists: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
    let [permitted, excluded] = &mut lists;
    let tree = |name: &str| -> Result<Vec<u8>, CallError> {
        Ok(der::sequence(&[general::constraint(name)?]))
    };
    match value {
        Value::Map(map) => {
            for (key, list) in [("permitted", &mut *permitted), ("excluded", &mut *excluded)] {
                for name in map.get(key).map(items).unwrap_or_default() {
                    list.push(tree(&name)?);
                }
            }
        }
        other => {
            for item in items(other) {
                match item.split_once(';') {
                    Some((kind, name)) if kind.trim() == "permitted" => permitted.push(tree(name)?),
                    Some((kind, name)) if kind.trim() == "excluded" => excluded.push(tree(name)?),
                    _ => {
                        return Err(CallError::execution(format!(
                            "Invalid nameConstraints: {item}"
                        )));
                    }
                }
            }
        }
    }
    let [permitted, excluded] = &lists;
    let mut parts = Vec::new();
    for (tag, list) in [(0xa0, permitted), (0xa1, excluded)] {
        if !list.is_empty() {
            parts.push(der::around(tag, list));
        }
    }
    Ok(der::sequence(&parts))
}

/// How Salt shows what an extension says; `None` when it cannot be read.
fn describe(name: &str, value: &[u8]) -> Option<Map> {
    let element = der::only(value)?;
    let one = |value: Value| Map::from([("value", value)]);
    Some(match name {
        "basicConstraints" => {
            let parts = element.parts_of(der::SEQUENCE)?;
            let ca = parts
                .iter()
                .any(|part| part.tag == der::BOOLEAN && part.body != [0]);
            let length = parts.iter().find(|part| part.tag == der::INTEGER);
            Map::from([
                ("ca", Value::Bool(ca)),
                ("pathlen", length.and_then(Element::small).into()),
            ])
        }
        "keyUsage" => {
            let (_, bytes) = element.body.split_first()?;
            let flag = |at: usize| {
                let byte = bytes.get(at / 8).copied().unwrap_or(0);
                byte & (0x80 >> (at % 8)) != 0
            };
            let mut map = Map::new();
            let mut names: Vec<(usize, &str)> = USAGES.iter().copied().enumerate().collect();
            names.sort_by_key(|(_, name)| *name);
            for (at, name) in names {
                map.insert(name, flag(at));
            }
            map
        }
        "extendedKeyUsage" => one(element
            .parts_of(der::SEQUENCE)?
            .iter()
            .map(|part| {
                let oid = part.oid()?;
                let known = PURPOSES.iter().find(|(_, known)| *known == oid);
                Some(known.map_or(oid, |(name, _)| (*name).to_owned()))
            })
            .collect::<Option<Value>>()?),
        "subjectKeyIdentifier" => one(colons(element.body).into()),
        "authorityKeyIdentifier" => {
            let parts = element.parts_of(der::SEQUENCE)?;
            let part = |tag: u8| parts.iter().find(|part| part.tag == tag);
            let issuer = match part(0xa1) {
                Some(names) => Value::from(general::shown_all(names)?),
                None => Value::Null,
            };
            let text = |tag| Value::from(part(tag).map(|part| colons(part.body)));
            Map::from([
                ("keyid", text(0x80)),
                ("issuer", issuer),
                ("issuer_sn", text(0x82)),
            ])
        }
        "issuerAltName" | "subjectAltName" => one(general::shown_all(&element)?.into()),
        "authorityInfoAccess" => one(element
            .parts_of(der::SEQUENCE)?
            .iter()
            .map(|part| {
                let parts = part.parts_of(der::SEQUENCE)?;
                let [method, place] = parts.as_slice() else {
                    return None;
                };
                let method = match method.oid()?.as_str() {
                    "1.3.6.1.5.5.7.48.1" => "OCSP".to_owned(),
                    "1.3.6.1.5.5.7.48.2" => "caIssuers".to_owned(),
                    other => other.to_owned(),
                };
                let (_, place) = general::parts(place)?;
                Some(Value::from(Map::from([(method, place)])))
            })
            .collect::<Option<Vec<_>>>()?
            .into()),
        "crlDistributionPoints" => one(element
            .parts_of(der::SEQUENCE)?
            .iter()
            .map(described_point)
            .collect::<Option<Vec<_>>>()?
            .into()),
        "certificatePolicies" => one(element
            .parts_of(der::SEQUENCE)?
            .iter()
            .map(|policy| {
                let parts = policy.parts_of(der::SEQUENCE)?;
                let mut places = Vec::new();
                if let Some(qualifiers) = parts.get(1) {
                    for qualifier in qualifiers.parts()? {
                        places.push(Value::from(qualifier.parts()?.get(1)?.text()));
                    }
                }
                let oid = parts.first()?.oid()?;
                Some(Value::from(Map::from([(oid, Value::List(places))])))
            })
            .collect::<Option<Vec<_>>>()?
            .into()),
        "policyConstraints" => {
            let parts = element.parts_of(der::SEQUENCE)?;
            let number = |tag: u8| -> Value {
                let found = parts.iter().find(|part| part.tag == tag);
                found.and_then(|part| der::small(part.body)).into()
            };
            Map::from([
                ("inhibitPolicyMapping", number(0x81)),
                ("requireExplicitPolicy", number(0x80)),
            ])
        }
        "inhibitAnyPolicy" | "cRLNumber" | "deltaCRLIndicator" => one(element.small()?.into()),
        "nameConstraints" => {
            let parts = element.parts_of(der::SEQUENCE)?;
            let list = |tag: u8| -> Option<Value> {
                let Some(found) = parts.iter().find(|part| part.tag == tag) else {
                    return Some(Value::List(Vec::new()));
                };
                let names = found.parts()?;
                let names = names
                    .iter()
                    .map(|tree| general::shown_constraint(tree.parts()?.first()?));
                Some(names.collect::<Option<Vec<_>>>()?.into())
            };
            Map::from([("excluded", list(0xa1)?), ("permitted", list(0xa0)?)])
        }
        "noCheck" => one(true.into()),
        "tlsfeature" => one(element
            .parts_of(der::SEQUENCE)?
            .iter()
            .map(|part| {
                Some(match part.small()? {
                    5 => "status_request".to_owned(),
                    17 => "status_request_v2".to_owned(),
                    other => other.to_string(),
                })
            })
            .collect::<Option<Value>>()?),
        "CRLReason" => {
            let n = u64::try_from(der::small(element.body)?).ok()?;
            let (name, _) = REASONS.iter().find(|(_, number)| *number == n)?;
            one((*name).into())
        }
        "invalidityDate" => one(der::time_text(element.time()?).into()),
        _ => return None,
    })
}

fn described_point(point: &Element<'_>) -> Option<Value> {
    let parts = point.parts_of(der::SEQUENCE)?;
    let names = |element: Option<&Element<'_>>| match element {
        Some(element) => general::shown_all(element),
        None => Some(Vec::new()),
    };
    let place = parts.iter().find(|part| part.tag == 0xa0);
    let full = match place {
        Some(place) => place.parts()?.into_iter().find(|part| part.tag == 0xa0),
        None => None,
    };
    let issuer = parts.iter().find(|part| part.tag == 0xa2);
    let reasons: Vec<Value> = match parts.iter().find(|part| part.tag == 0x81) {
        Some(flags) => {
            let (_, bytes) = flags.body.split_first()?;
            [0, 1, 2, 3, 4, 5, 6, 9, 10]
                .into_iter()
                .enumerate()
                .filter(|(at, _)| {
                    bytes
                        .get(at / 8)
                        .is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
                })
                .filter_map(|(_, n)| REASONS.iter().find(|(_, number)| *number == n))
                .map(|(name, _)| Value::from(*name))
                .collect()
        }
        None => Vec::new(),
    };
    Some(
        Map::from([
            ("crlissuer", Value::from(names(issuer)?)),
            ("fullname", names(full.as_ref())?.into()),
            ("reasons", reasons.into()),
            ("relativename", Value::Null),
        ])
        .into(),
    )
}

/// What was added, changed and removed, by name.
pub(super) fn difference(old: &[Extension], new: &[Extension]) -> Option<Map> {
    let of = |all: &[Extension], oid: &str| all.iter().find(|one| one.oid == oid).cloned();
    let names = |all: Vec<&Extension>| -> Value {
        all.into_iter().map(|one| Value::from(one.name())).collect()
    };
    let added: Vec<&Extension> = new
        .iter()
        .filter(|one| of(old, &one.oid).is_none())
        .collect();
    let removed: Vec<&Extension> = old
        .iter()
        .filter(|one| of(new, &one.oid).is_none())
        .collect();
    let changed: Vec<&Extension> = new
        .iter()
        .filter(|one| of(old, &one.oid).is_some_and(|old| old != **one))
        .collect();
    if added.is_empty() && changed.is_empty() && removed.is_empty() {
        return None;
    }
    Some(Map::from([
        ("added", names(added)),
        ("changed", names(changed)),
        ("removed", names(removed)),
    ]))
}

/// The keys of a mapping that name extensions of certificates.
pub(super) fn is_name(key: &str) -> bool {
    NOT_OFFERED.contains(&key)
        || KNOWN
            .iter()
            .take(OF_CERTIFICATES)
            .any(|(name, _, _)| *name == key)
}
