//! Requests that could be signed.

use salt_proto::Map;

use super::{Comparison, Made, compared, digest_of, encoding, form_changes, replaced};
use crate::context::Context;
use crate::functions::x509::certificate::{Request, Signed};
use crate::functions::x509::digest::Digest;
use crate::functions::x509::extension::{Around, Extension};
use crate::functions::x509::key::PrivateKey;
use crate::functions::x509::name::Name;
use crate::functions::x509::{encoded, extension, pem, text};
use crate::registry::CallError;
use crate::system::{Observe, System};

/// A request that could be signed.
#[derive(Debug)]
pub(in crate::functions::x509) struct RequestPlan {
    key: PrivateKey,
    digest: Digest,
    subject: Name,
    extensions: Vec<Extension>,
    der: bool,
}

/// Plans a request.
///
/// # Errors
///
/// In Salt's words.
pub(in crate::functions::x509) fn request(
    args: &Map,
    system: &dyn Observe,
) -> Result<RequestPlan, CallError> {
    let private = args.get("private_key").cloned().unwrap_or_default();
    let passphrase = text(args, "private_key_passphrase");
    let key = PrivateKey::load(&private, passphrase.as_deref(), system)?;
    let asked: Map = args
        .iter()
        .filter(|(key, _)| key.as_str().is_some_and(extension::is_name))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let around = Around {
        spki: &key.spki,
        issuer_spki: &key.spki,
        issuer_key_id: None,
        issuer_name: None,
        issuer_serial: &[],
        issuer_alt: None,
    };
    Ok(RequestPlan {
        extensions: extension::wanted(&asked, &around)?,
        digest: digest_of(args)?,
        subject: Name::wanted(args.get("subject"), args)?,
        der: encoding(args)?,
        key,
    })
}

impl RequestPlan {
    /// How a request differs from this, in Salt's shape.
    pub(in crate::functions::x509) fn differences(&self, (old, der): (&Request, bool)) -> Map {
        let mut changes = form_changes((&old.signed, der), self.der, self.digest, &self.key.public);
        if old.spki != self.key.spki || !old.signed.is_by(&self.key.public) {
            changes.insert("private_key", true);
        }
        if old.subject != self.subject {
            changes.insert("subject_name", self.subject.text());
        }
        if let Some(difference) = extension::difference(&old.extensions, &self.extensions) {
            changes.insert("extensions", difference);
        }
        changes
    }
}

impl Made for RequestPlan {
    fn sign(&self, system: &dyn System) -> Result<Vec<u8>, CallError> {
        let body = Request::body(&self.subject, &self.key.spki, &self.extensions);
        let signed = Signed::sign(&body, &self.key, self.digest, system)?;
        Ok(encoded("CERTIFICATE REQUEST", &signed, self.der))
    }
}

/// Compares a file with the request that is wanted.
///
/// # Errors
///
/// What keeps that from being made.
pub(crate) fn compare_request(
    name: &str,
    content: &[u8],
    args: &Map,
    system: &dyn Observe,
) -> Result<Comparison, CallError> {
    let plan = request(args, system)?;
    let found = pem::der_of(content, &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])
        .and_then(|der| Request::read(&der));
    let Some(old) = found else {
        return Ok(replaced(name, plan.der));
    };
    let changes = plan.differences((&old, !pem::is_pem(content)));
    Ok(compared(changes, true, plan.der))
}

/// Makes the request that is wanted.
///
/// # Errors
///
/// What keeps it from being made.
pub(crate) fn make_request(args: &Map, context: &Context<'_>) -> Result<Vec<u8>, CallError> {
    request(args, context.system)?.sign(context.system)
}
