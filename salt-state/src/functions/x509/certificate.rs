//! Certificates, requests and revocation lists, taken apart and put together.

use md5::Md5;
use salt_proto::{Map, Value};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::der::{self, Element};
use super::digest::{self, Digest};
use super::extension::{self, Extension};
use super::key::{PrivateKey, PublicKey};
use super::name::Name;
use super::{colons, pem, verify};
use crate::registry::CallError;
use crate::system::System;

/// Where extensions are in a request.
const REQUESTED: &str = "1.2.840.113549.1.9.14";

/// What is signed, with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) der: Vec<u8>,
    body: Vec<u8>,
    /// The identifier of the algorithm.
    pub(super) algorithm: String,
    signature: Vec<u8>,
}

impl Signed {
    fn read(bytes: &[u8]) -> Option<Self> {
        let element = der::only(bytes)?;
        let parts = element.parts_of(der::SEQUENCE)?;
        let [body, algorithm, signature] = parts.as_slice() else {
            return None;
        };
        Some(Self {
            der: element.whole.to_vec(),
            body: body.whole.to_vec(),
            algorithm: algorithm.parts_of(der::SEQUENCE)?.first()?.oid()?,
            signature: signature.bits()?.to_vec(),
        })
    }

    /// Signs a body.
    pub(super) fn sign(
        body: &[u8],
        key: &PrivateKey,
        digest: Digest,
        system: &dyn System,
    ) -> Result<Vec<u8>, CallError> {
        let algorithm = key.public.signature_algorithm(digest)?;
        let signature = key.sign(body, digest, system)?;
        Ok(der::sequence(&[
            body.to_vec(),
            algorithm,
            der::bits(&signature),
        ]))
    }

    /// Whether a key made the signature.
    pub(super) fn is_by(&self, key: &PublicKey) -> bool {
        verify::verify(key, self.digest(), &self.body, &self.signature)
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        Digest::of_signature(&self.algorithm)
    }

    fn body(&self) -> Option<Vec<Element<'_>>> {
        der::only(&self.body)?.parts_of(der::SEQUENCE)
    }
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) signed: Signed,
    version: i64,
    pub(super) serial: Vec<u8>,
    pub(super) issuer: Name,
    pub(super) subject: Name,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) spki: Vec<u8>,
    pub(super) public: PublicKey,
    pub(super) extensions: Vec<Extension>,
}

impl Certificate {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let signed = Signed::read(bytes)?;
        let parts = signed.body()?;
        let mut rest = parts.as_slice();
        let mut version = 1;
        if let Some((first, after)) = rest.split_first().filter(|(first, _)| first.tag == 0xa0) {
            version = 1 + first.parts()?.first()?.small()?;
            rest = after;
        }
        let [serial, _, issuer, validity, subject, spki, optional @ ..] = rest else {
            return None;
        };
        let times = validity.parts_of(der::SEQUENCE)?;
        let [not_before, not_after] = times.as_slice() else {
            return None;
        };
        let extensions = match optional.iter().find(|part| part.tag == 0xa3) {
            Some(part) => Extension::read_all(part.parts()?.first()?)?,
            None => Vec::new(),
        };
        Some(Self {
            version,
            serial: serial.body.to_vec(),
            issuer: Name::read(issuer)?,
            subject: Name::read(subject)?,
            not_before: not_before.time()?,
            not_after: not_after.time()?,
            public: PublicKey::read(spki.whole)?,
            spki: spki.whole.to_vec(),
            extensions,
            signed,
        })
    }

    /// What the extension of that identifier says, undone from its octet string.
    pub(super) fn extension(&self, oid: &str) -> Option<&[u8]> {
        let found = self.extensions.iter().find(|one| one.oid == oid)?;
        Some(&found.value)
    }

    /// The identifier that the certificate gives its key.
    pub(super) fn key_id(&self) -> Option<Vec<u8>> {
        Some(der::only(self.extension(extension::KEY_ID)?)?.body.to_vec())
    }

    /// As `x509.read_certificate` shows it.
    pub(super) fn shown(&self) -> Map {
        let der = &self.signed.der;
        let fingerprints = Map::from([
            ("sha1", colons(&Sha1::digest(der))),
            ("sha256", colons(&Sha256::digest(der))),
            ("md5", colons(&Md5::digest(der))),
        ]);
        Map::from([
            ("version", Value::from(self.version)),
            ("key_size", self.public.bits().into()),
            ("key_type", self.public.algorithm().into()),
            ("serial_number", colons(positive(&self.serial)).into()),
            ("fingerprints", fingerprints.into()),
            ("subject", self.subject.map().into()),
            ("subject_hash", self.subject.hash().into()),
            ("subject_str", self.subject.text().into()),
            ("issuer", self.issuer.map().into()),
            ("issuer_hash", self.issuer.hash().into()),
            ("issuer_str", self.issuer.text().into()),
            ("not_before", der::time_text(self.not_before).into()),
            ("not_after", der::time_text(self.not_after).into()),
            ("public_key", pem::encode("PUBLIC KEY", &self.spki).into()),
            ("extensions", shown(&self.extensions).into()),
            (
                "signature_algorithm",
                digest::signature_name(&self.signed.algorithm).into(),
            ),
        ])
    }
}

/// The digits of an integer that is not negative.
pub(super) fn positive(body: &[u8]) -> &[u8] {
    match body {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    }
}

fn shown(extensions: &[Extension]) -> Map {
    extensions.iter().map(Extension::shown).collect()
}

/// What a certificate is to say.
pub(super) struct Body<'a> {
    pub(super) serial: &'a [u8],
    pub(super) issuer: &'a Name,
    pub(super) subject: &'a Name,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) spki: &'a [u8],
    pub(super) extensions: &'a [Extension],
}

impl Body<'_> {
    /// The part that is signed.
    pub(super) fn encode(&self, algorithm: Vec<u8>) -> Vec<u8> {
        let mut parts = vec![
            der::tlv(0xa0, &der::number(2)),
            der::unsigned(self.serial),
            algorithm,
            self.issuer.der.clone(),
            der::sequence(&[der::time(self.not_before), der::time(self.not_after)]),
            self.subject.der.clone(),
            self.spki.to_vec(),
        ];
        if !self.extensions.is_empty() {
            parts.push(der::tlv(0xa3, &encoded(self.extensions)));
        }
        der::sequence(&parts)
    }
}

fn encoded(extensions: &[Extension]) -> Vec<u8> {
    let all: Vec<Vec<u8>> = extensions.iter().map(Extension::encode).collect();
    der::sequence(&all)
}

/// A request for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) signed: Signed,
    pub(super) subject: Name,
    pub(super) spki: Vec<u8>,
    pub(super) public: PublicKey,
    pub(super) extensions: Vec<Extension>,
}

impl Request {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let signed = Signed::read(bytes)?;
        let parts = signed.body()?;
        let [_, subject, spki, rest @ ..] = parts.as_slice() else {
            return None;
        };
        let mut extensions = Vec::new();
        for attribute in rest.first().map(Element::parts).unwrap_or_default()? {
            let parts = attribute.parts_of(der::SEQUENCE)?;
            let [oid, values] = parts.as_slice() else {
                return None;
            };
            if oid.oid().as_deref() == Some(REQUESTED) {
                extensions = Extension::read_all(values.parts()?.first()?)?;
            }
        }
        Some(Self {
            subject: Name::read(subject)?,
            public: PublicKey::read(spki.whole)?,
            spki: spki.whole.to_vec(),
            extensions,
            signed,
        })
    }

    /// The part that is signed.
    pub(super) fn body(subject: &Name, spki: &[u8], extensions: &[Extension]) -> Vec<u8> {
        let mut attributes = Vec::new();
        if !extensions.is_empty() {
            let values = der::tlv(der::SET, &encoded(extensions));
            let oid = der::oid(REQUESTED).unwrap_or_default();
            attributes = der::sequence(&[oid, values]);
        }
        der::sequence(&[
            der::number(0),
            subject.der.clone(),
            spki.to_vec(),
            der::tlv(0xa0, &attributes),
        ])
    }

    /// As `x509.read_csr` shows it.
    pub(super) fn shown(&self) -> Map {
        Map::from([
            ("key_size", Value::from(self.public.bits())),
            ("key_type", self.public.algorithm().into()),
            ("subject", self.subject.map().into()),
            ("subject_hash", self.subject.hash().into()),
            ("subject_str", self.subject.text().into()),
            (
                "public_key_hash",
                super::key::identifier(&self.spki)
                    .map(|id| colons(&id))
                    .into(),
            ),
            ("extensions", shown(&self.extensions).into()),
        ])
    }
}

/// One certificate that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revoked {
    /// Without zeros in front.
    pub(super) serial: Vec<u8>,
    pub(super) at: i64,
    pub(super) extensions: Vec<Extension>,
}

/// A revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevocationList {
    pub(super) signed: Signed,
    pub(super) issuer: Name,
    pub(super) this_update: i64,
    pub(super) next_update: Option<i64>,
    pub(super) revoked: Vec<Revoked>,
    pub(super) extensions: Vec<Extension>,
}

impl RevocationList {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let signed = Signed::read(bytes)?;
        let parts = signed.body()?;
        let mut rest = parts.as_slice();
        if let Some((_, after)) = rest
            .split_first()
            .filter(|(first, _)| first.tag == der::INTEGER)
        {
            rest = after;
        }
        let [_, issuer, this_update, optional @ ..] = rest else {
            return None;
        };
        let mut revoked = Vec::new();
        if let Some(list) = optional.iter().find(|part| part.tag == der::SEQUENCE) {
            for one in list.parts()? {
                let parts = one.parts_of(der::SEQUENCE)?;
                let [serial, at, rest @ ..] = parts.as_slice() else {
                    return None;
                };
                revoked.push(Revoked {
                    serial: positive(serial.body).to_vec(),
                    at: at.time()?,
                    extensions: match rest.first() {
                        Some(list) => Extension::read_all(list)?,
                        None => Vec::new(),
                    },
                });
            }
        }
        let extensions = match optional.iter().find(|part| part.tag == 0xa0) {
            Some(part) => Extension::read_all(part.parts()?.first()?)?,
            None => Vec::new(),
        };
        Some(Self {
            issuer: Name::read(issuer)?,
            this_update: this_update.time()?,
            next_update: optional.iter().find_map(Element::time),
            revoked,
            extensions,
            signed,
        })
    }

    /// The part that is signed.
    pub(super) fn body(
        issuer: &Name,
        (this_update, next_update): (i64, i64),
        revoked: &[Revoked],
        extensions: &[Extension],
        algorithm: Vec<u8>,
    ) -> Vec<u8> {
        let mut parts = vec![
            der::number(1),
            algorithm,
            issuer.der.clone(),
            der::time(this_update),
            der::time(next_update),
        ];
        if !revoked.is_empty() {
            let all: Vec<Vec<u8>> = revoked
                .iter()
                .map(|one| {
                    let mut parts = vec![der::unsigned(&one.serial), der::time(one.at)];
                    if !one.extensions.is_empty() {
                        parts.push(encoded(&one.extensions));
                    }
                    der::sequence(&parts)
                })
                .collect();
            parts.push(der::sequence(&all));
        }
        if !extensions.is_empty() {
            parts.push(der::tlv(0xa0, &encoded(extensions)));
        }
        der::sequence(&parts)
    }

    /// The number of the list, if it has one.
    pub(super) fn number(&self) -> Option<i64> {
        let found = self
            .extensions
            .iter()
            .find(|one| one.oid == extension::CRL_NUMBER)?;
        der::only(&found.value)?.small()
    }

    /// As `x509.read_crl` shows it.
    pub(super) fn shown(&self) -> Map {
        let revoked: Map = self
            .revoked
            .iter()
            .map(|one| {
                let serial = colons(&one.serial).replace(':', "");
                let entry = Map::from([
                    ("revocation_date", Value::from(der::time_text(one.at))),
                    ("extensions", shown(&one.extensions).into()),
                ]);
                (serial, entry)
            })
            .collect();
        Map::from([
            ("issuer", Value::from(self.issuer.map())),
            ("last_update", der::time_text(self.this_update).into()),
            ("next_update", self.next_update.map(der::time_text).into()),
            ("revoked_certificates", revoked.into()),
            ("extensions", shown(&self.extensions).into()),
            (
                "signature_algorithm",
                digest::signature_name(&self.signed.algorithm).into(),
            ),
        ])
    }
}
