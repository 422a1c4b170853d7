//! Revocation lists that could be signed.

use salt_proto::{Map, Value};

use super::{
    Comparison, MISMATCH, Made, compared, days, digest_of, encoding, form_changes, positive_bytes,
    replaced,
};
use crate::context::Context;
use crate::functions::x509::certificate::{RevocationList, Revoked, Signed, positive};
use crate::functions::x509::digest::Digest;
use crate::functions::x509::extension::{Around, Extension};
use crate::functions::x509::key::PrivateKey;
use crate::functions::x509::name::Name;
use crate::functions::x509::{
    colons, encoded, extension, invocation, later, load_certificate, pem, text, when,
};
use crate::registry::CallError;
use crate::system::{Observe, System};

/// A revocation list that could be signed.
#[derive(Debug)]
pub(in crate::functions::x509) struct RevocationPlan {
    key: PrivateKey,
    digest: Digest,
    issuer: Name,
    revoked: Vec<(Revoked, bool)>,
    extensions: Vec<Extension>,
    /// The number counts up by itself, so it is no difference.
    counts: bool,
    days_valid: i64,
    der: bool,
}

/// Plans a revocation list after an older one.
///
/// # Errors
///
/// In Salt's words.
pub(in crate::functions::x509) fn revocations(
    args: &Map,
    system: &dyn Observe,
    old: Option<&RevocationList>,
) -> Result<RevocationPlan, CallError> {
    let signing = args.get("signing_private_key").cloned().unwrap_or_default();
    let passphrase = text(args, "signing_private_key_passphrase");
    let key = PrivateKey::load(&signing, passphrase.as_deref(), system)?;
    let authority = match args.get("signing_cert") {
        None | Some(Value::Null) => {
            return Err(CallError::exception(
                "ValueError",
                "A CRL must have an issuer name",
            ));
        }
        Some(certificate) => load_certificate(certificate, system)?,
    };
    if authority.public != key.public {
        return Err(invocation(MISMATCH));
    }
    let around = Around {
        spki: &key.spki,
        issuer_spki: &key.spki,
        issuer_key_id: authority.key_id(),
        issuer_name: Some(&authority.issuer),
        issuer_serial: positive(&authority.serial),
        issuer_alt: authority.extension(extension::SUBJECT_ALT),
    };
    let now = later(system, 0);
    let expired_too = args.get("include_expired").is_some_and(Value::is_true);
    let mut revoked: Vec<(Revoked, bool)> = Vec::new();
    let listed = args.get("revoked").and_then(Value::as_list);
    for one in listed.unwrap_or_default() {
        if let Some(entry) = revocation(one, now, expired_too, &around, system)? {
            revoked.push(entry);
        }
    }
    let mut asked = match args.get("extensions") {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::new(),
    };
    let counts = asked.str("cRLNumber") == Some("auto");
    if counts {
        let last = old.and_then(RevocationList::number).unwrap_or(0);
        asked.insert("cRLNumber", last.saturating_add(1));
    }
    Ok(RevocationPlan {
        extensions: extension::wanted(&asked, &around)?,
        digest: digest_of(args)?,
        issuer: authority.subject.clone(),
        revoked,
        counts,
        days_valid: days(args, "days_valid", 100)?,
        der: encoding(args)?,
        key,
    })
}

/// One entry, and whether its date was stated; `None` for what is past its time.
fn revocation(
    one: &Value,
    now: i64,
    expired_too: bool,
    around: &Around<'_>,
    system: &dyn Observe,
) -> Result<Option<(Revoked, bool)>, CallError> {
    // The older form: a list of one mapping under a name.
    let named = match one {
        Value::Map(map) if map.len() == 1 => match map.values().next() {
            Some(Value::List(parts)) => {
                let mut all = Map::new();
                for part in parts {
                    all.extend(part.as_map().cloned().unwrap_or_default());
                }
                Some(all)
            }
            Some(Value::Map(inner)) => Some(inner.clone()),
            _ => None,
        },
        _ => None,
    };
    let Some(entry) = named.as_ref().or_else(|| one.as_map()) else {
        return Err(invocation("Revoked certificates must be mappings"));
    };
    let (serial, not_after) = if let Some(certificate) = entry.get("certificate") {
        let found = load_certificate(certificate, system)?;
        (positive(&found.serial).to_vec(), Some(found.not_after))
    } else if let Some(serial) = text(entry, "serial_number") {
        let bytes = pem::hexadecimal(&serial)
            .ok_or_else(|| invocation(format!("Invalid serial number: {serial}")))?;
        (positive_bytes(&bytes), None)
    } else {
        return Err(invocation("Need serial_number or certificate"));
    };
    let stated = text(entry, "not_after")
        .map(|text| when(&text))
        .transpose()?;
    if !expired_too && stated.or(not_after).is_some_and(|at| at <= now) {
        return Ok(None);
    }
    let date = text(entry, "revocation_date")
        .map(|text| when(&text))
        .transpose()?;
    let mut asked = match entry.get("extensions") {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::new(),
    };
    if let Some(reason) = text(entry, "reason") {
        asked.insert("CRLReason", reason);
    }
    let revoked = Revoked {
        serial,
        at: date.unwrap_or(now),
        extensions: extension::wanted(&asked, around)?,
    };
    Ok(Some((revoked, date.is_some())))
}

impl RevocationPlan {
    /// How a list differs from this, in Salt's shape.
    pub(in crate::functions::x509) fn differences(
        &self,
        args: &Map,
        (old, der): (&RevocationList, bool),
        system: &dyn Observe,
    ) -> Result<Map, CallError> {
        let mut changes = form_changes((&old.signed, der), self.der, self.digest, &self.key.public);
        let limit = later(system, days(args, "days_remaining", 30)?);
        if old.next_update.is_none_or(|next| next < limit) {
            changes.insert("expiration", true);
        }
        if old.issuer != self.issuer {
            changes.insert("issuer_name", self.issuer.text());
        }
        if !old.signed.is_by(&self.key.public) {
            changes.insert("signing_private_key", true);
        }
        if let Some(difference) = self.revocation_changes(old) {
            changes.insert("revocations", difference);
        }
        let counted = |all: &[Extension]| -> Vec<Extension> {
            all.iter()
                .filter(|one| !(self.counts && one.oid == extension::CRL_NUMBER))
                .cloned()
                .collect()
        };
        let difference =
            extension::difference(&counted(&old.extensions), &counted(&self.extensions));
        if let Some(difference) = difference {
            changes.insert("extensions", difference);
        }
        Ok(changes)
    }

    fn revocation_changes(&self, old: &RevocationList) -> Option<Map> {
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for (entry, dated) in &self.revoked {
            match old.revoked.iter().find(|one| one.serial == entry.serial) {
                None => added.push(Value::from(colons(&entry.serial))),
                Some(before)
                    if before.extensions != entry.extensions
                        || (*dated && before.at != entry.at) =>
                {
                    changed.push(Value::from(colons(&entry.serial)));
                }
                Some(_) => {}
            }
        }
        let removed: Vec<Value> = old
            .revoked
            .iter()
            .filter(|before| {
                !self
                    .revoked
                    .iter()
                    .any(|(one, _)| one.serial == before.serial)
            })
            .map(|before| colons(&before.serial).into())
            .collect();
        if added.is_empty() && changed.is_empty() && removed.is_empty() {
            return None;
        }
        Some(Map::from([
            ("added", Value::from(added)),
            ("changed", changed.into()),
            ("removed", removed.into()),
        ]))
    }
}

impl Made for RevocationPlan {
    fn sign(&self, system: &dyn System) -> Result<Vec<u8>, CallError> {
        let now = later(system, 0);
        let revoked: Vec<Revoked> = self.revoked.iter().map(|(one, _)| one.clone()).collect();
        let body = RevocationList::body(
            &self.issuer,
            (
                now,
                now.saturating_add(self.days_valid.saturating_mul(86_400)),
            ),
            &revoked,
            &self.extensions,
            self.key.public.signature_algorithm(self.digest)?,
        );
        let signed = Signed::sign(&body, &self.key, self.digest, system)?;
        Ok(encoded("X509 CRL", &signed, self.der))
    }
}

fn list_in(content: &[u8]) -> Option<RevocationList> {
    pem::der_of(content, &["X509 CRL"]).and_then(|der| RevocationList::read(&der))
}

/// Compares a file with the revocation list that is wanted.
///
/// # Errors
///
/// What keeps that from being made.
pub(crate) fn compare_list(
    name: &str,
    content: &[u8],
    args: &Map,
    system: &dyn Observe,
) -> Result<Comparison, CallError> {
    let found = list_in(content);
    let plan = revocations(args, system, found.as_ref())?;
    let Some(old) = found else {
        return Ok(replaced(name, plan.der));
    };
    let changes = plan.differences(args, (&old, !pem::is_pem(content)), system)?;
    // To Salt, a list without entries is as good as none.
    let again = !old.revoked.is_empty();
    Ok(compared(changes, again, plan.der))
}

/// Makes the revocation list that is wanted, after the one in a file.
///
/// # Errors
///
/// What keeps it from being made.
pub(crate) fn make_list(
    content: &[u8],
    args: &Map,
    context: &Context<'_>,
) -> Result<Vec<u8>, CallError> {
    let old = list_in(content);
    revocations(args, context.system, old.as_ref())?.sign(context.system)
}
