//! Certificates that could be signed.

use salt_proto::{Map, Value};

use super::{
    Comparison, MISMATCH, Made, compared, days, digest_of, encoding, form_changes, positive_bytes,
    replaced,
};
use crate::context::{Context, MinionData};
use crate::functions::x509::certificate::{Body, Certificate, Signed, positive};
use crate::functions::x509::digest::Digest;
use crate::functions::x509::extension::{Around, Extension};
use crate::functions::x509::key::PrivateKey;
use crate::functions::x509::name::Name;
use crate::functions::x509::{
    encoded, extension, invocation, later, load_certificate, load_request, pem, public_key, text,
    when,
};
use crate::registry::CallError;
use crate::system::{Observe, System};

/// A signing policy by name: of the configuration, else of the pillar.
pub(in crate::functions::x509) fn policy(name: &str, minion: &MinionData) -> Option<Map> {
    let of = |all: &Map| match all.get("x509_signing_policies")?.get(name)? {
        Value::Map(policy) => Some(policy.clone()),
        Value::List(items) => {
            let mut policy = Map::new();
            for item in items {
                policy.extend(item.as_map()?.clone());
            }
            Some(policy)
        }
        _ => None,
    };
    of(&minion.config).or_else(|| of(&minion.pillar))
}

/// Certificates to put behind one.
pub(in crate::functions::x509) fn chain(
    asked: Option<&Value>,
    system: &dyn Observe,
) -> Result<Vec<Certificate>, CallError> {
    let asked = match asked {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::List(all)) => all.clone(),
        Some(one) => vec![one.clone()],
    };
    let mut all = Vec::new();
    for one in asked {
        all.push(load_certificate(&one, system)?);
    }
    Ok(all)
}

/// A certificate that could be signed.
#[derive(Debug)]
pub(in crate::functions::x509) struct CertificatePlan {
    key: PrivateKey,
    pub(in crate::functions::x509) digest: Digest,
    authority: Option<Certificate>,
    pub(in crate::functions::x509) subject: Name,
    pub(in crate::functions::x509) spki: Vec<u8>,
    pub(in crate::functions::x509) extensions: Vec<Extension>,
    serial: Option<Vec<u8>>,
    not_before: Option<i64>,
    not_after: Option<i64>,
    days_valid: i64,
    append: Vec<Certificate>,
    der: bool,
}

/// Plans a certificate.
///
/// # Errors
///
/// In Salt's words, before anything is done.
pub(in crate::functions::x509) fn certificate(
    args: &Map,
    system: &dyn Observe,
    minion: &MinionData,
    missing_key: Option<&str>,
) -> Result<CertificatePlan, CallError> {
    let mut args = args.clone();
    if text(&args, "ca_server").is_some() {
        return Err(CallError::execution(
            "certificates signed by another minion (ca_server) are not offered here",
        ));
    }
    if let Some(name) = text(&args, "signing_policy")
        && let Some(policy) = policy(&name, minion)
    {
        for (key, value) in &policy {
            if key.as_str() != Some("minions") {
                args.insert(key.clone(), value.clone());
            }
        }
    }
    let Some(signing) = args.get("signing_private_key").filter(|key| !key.is_null()) else {
        return Err(invocation(missing_key.unwrap_or(
            "Creating a certificate locally at least requires a signing private key.",
        )));
    };
    let passphrase = text(&args, "signing_private_key_passphrase");
    let key = PrivateKey::load(signing, passphrase.as_deref(), system)?;
    let given = |name: &str| args.get(name).filter(|value| !value.is_null());
    let authority = given("signing_cert")
        .map(|certificate| load_certificate(certificate, system))
        .transpose()?;
    if authority
        .as_ref()
        .is_some_and(|authority| authority.public != key.public)
    {
        return Err(invocation(MISMATCH));
    }
    let request = given("csr")
        .map(|request| load_request(request, system))
        .transpose()?;
    let spki = match &authority {
        None => key.spki.clone(),
        Some(_) => {
            if let Some(public) = given("public_key") {
                public_key(public, None, system)?.0
            } else if let Some(private) = given("private_key") {
                let passphrase = text(&args, "private_key_passphrase");
                PrivateKey::load(private, passphrase.as_deref(), system)?.spki
            } else if let Some(request) = &request {
                request.spki.clone()
            } else {
                return Err(invocation(
                    "This certificate is not self-signed (signing_cert is set) and thus needs public_key, private_key or csr to derive public key to sign",
                ));
            }
        }
    };
    let digest = digest_of(&args)?;
    let subject = Name::wanted(args.get("subject"), &args)?;
    let serial = text(&args, "serial_number")
        .map(|serial| serial_of(&serial))
        .transpose()?;
    let time = |key: &str| text(&args, key).map(|text| when(&text)).transpose();
    let mut plan = CertificatePlan {
        digest,
        subject,
        serial,
        not_before: time("not_before")?,
        not_after: time("not_after")?,
        days_valid: days(&args, "days_valid", 365)?,
        append: chain(args.get("append_certs"), system)?,
        der: encoding(&args)?,
        extensions: Vec::new(),
        key,
        authority,
        spki,
    };
    let asked: Map = args
        .iter()
        .filter(|(key, _)| key.as_str().is_some_and(extension::is_name))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    plan.extensions = extension::wanted(&asked, &plan.around())?;
    for requested in request
        .map(|request| request.extensions)
        .unwrap_or_default()
    {
        if !plan.extensions.iter().any(|one| one.oid == requested.oid) {
            plan.extensions.push(requested);
        }
    }
    Ok(plan)
}

fn serial_of(text: &str) -> Result<Vec<u8>, CallError> {
    let number = text.parse::<u64>().ok().filter(|_| !text.contains(':'));
    let bytes = match number {
        Some(number) if text.len() < 20 => Some(number.to_be_bytes().to_vec()),
        _ => pem::hexadecimal(text),
    };
    let bytes = bytes.ok_or_else(|| invocation(format!("Invalid serial number: {text}")))?;
    Ok(positive_bytes(&bytes))
}

impl CertificatePlan {
    fn around(&self) -> Around<'_> {
        let authority = self.authority.as_ref();
        Around {
            spki: &self.spki,
            issuer_spki: &self.key.spki,
            issuer_key_id: authority.and_then(Certificate::key_id),
            issuer_name: authority.map(|authority| &authority.issuer),
            issuer_serial: authority.map_or(&[], |authority| positive(&authority.serial)),
            issuer_alt: authority.and_then(|authority| authority.extension(extension::SUBJECT_ALT)),
        }
    }

    fn issuer(&self) -> &Name {
        match &self.authority {
            Some(authority) => &authority.subject,
            None => &self.subject,
        }
    }

    /// How a certificate with its chain differs from this, in Salt's shape; `der` is the
    /// encoding it has.
    pub(in crate::functions::x509) fn differences(
        &self,
        args: &Map,
        (old, chain, der): (&Certificate, &[Certificate], bool),
        system: &dyn Observe,
    ) -> Result<Map, CallError> {
        let mut changes = form_changes((&old.signed, der), self.der, self.digest, &self.key.public);
        if old.not_after < later(system, days(args, "days_remaining", 90)?) {
            changes.insert("expiration", true);
        }
        if old.spki != self.spki {
            changes.insert("private_key", true);
        }
        if let Some(authority) = &self.authority
            && !old.signed.is_by(&authority.public)
        {
            changes.insert("signing_private_key", true);
        }
        if let Some(serial) = &self.serial
            && positive(&old.serial) != serial.as_slice()
        {
            changes.insert("serial_number", text(args, "serial_number"));
        }
        if old.subject != self.subject {
            changes.insert("subject_name", self.subject.text());
        }
        if old.issuer != *self.issuer() {
            changes.insert("issuer_name", self.issuer().text());
        }
        if let Some(difference) = extension::difference(&old.extensions, &self.extensions) {
            changes.insert("extensions", difference);
        }
        if chain != self.append.as_slice() {
            changes.insert("additional_certs", true);
        }
        Ok(changes)
    }
}

impl Made for CertificatePlan {
    fn sign(&self, system: &dyn System) -> Result<Vec<u8>, CallError> {
        let mut random = [0; 20];
        system.random(&mut random);
        // Positive, and never zero.
        if let Some(first) = random.first_mut() {
            *first = (*first & 0x7f).max(1);
        }
        let not_before = self.not_before.unwrap_or_else(|| later(system, 0));
        let body = Body {
            serial: self.serial.as_deref().unwrap_or(&random),
            issuer: self.issuer(),
            subject: &self.subject,
            not_before,
            not_after: self.not_after.unwrap_or_else(|| {
                not_before.saturating_add(self.days_valid.saturating_mul(86_400))
            }),
            spki: &self.spki,
            extensions: &self.extensions,
        };
        let algorithm = self.key.public.signature_algorithm(self.digest)?;
        let signed = Signed::sign(&body.encode(algorithm), &self.key, self.digest, system)?;
        let mut out = encoded("CERTIFICATE", &signed, self.der);
        if !self.der {
            for more in &self.append {
                out.extend(encoded("CERTIFICATE", &more.signed.der, false));
            }
        }
        Ok(out)
    }
}

const LOAD: &str = "Could not load provided source. You need to pass an existing file, (PEM|hex|base64)-encoded string or raw bytes.";

/// Compares a file with the certificate that is wanted.
///
/// # Errors
///
/// What keeps that from being made.
pub(crate) fn compare_certificate(
    name: &str,
    content: &[u8],
    args: &Map,
    system: &dyn Observe,
    minion: &MinionData,
) -> Result<Comparison, CallError> {
    let plan = certificate(args, system, minion, Some(LOAD))?;
    let der = !pem::is_pem(content);
    let found: Option<Vec<Certificate>> = if der {
        Certificate::read(content).map(|one| vec![one])
    } else {
        pem::blocks(content)
            .iter()
            .map(|block| Certificate::read(&block.der))
            .collect()
    };
    let Some((old, chain)) = found.as_deref().and_then(|all| all.split_first()) else {
        return Ok(replaced(name, plan.der));
    };
    let changes = plan.differences(args, (old, chain, der), system)?;
    Ok(compared(changes, true, plan.der))
}

/// Makes the certificate that is wanted.
///
/// # Errors
///
/// What keeps it from being made.
pub(crate) fn make_certificate(args: &Map, context: &Context<'_>) -> Result<Vec<u8>, CallError> {
    certificate(args, context.system, context.minion, Some(LOAD))?.sign(context.system)
}
