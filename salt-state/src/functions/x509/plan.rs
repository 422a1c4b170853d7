//! What is to be signed, decided before anything is: so that a state can compare it with
//! what is there.

use salt_proto::{Map, Value};

use super::certificate::{Body, Certificate, Request, RevocationList, Revoked, Signed, positive};
use super::digest::Digest;
use super::extension::{self, Around, Extension};
use super::key::{PrivateKey, PublicKey};
use super::name::Name;
use super::{
    colons, encoded, invocation, later, load_certificate, load_request, pem, public_key, text, when,
};
use crate::context::{Context, MinionData};
use crate::python;
use crate::registry::CallError;
use crate::system::{Observe, System};

const MISMATCH: &str = "Signing private key does not match the certificate's public key";

/// Whether an encoding is DER; the alternative is PEM.
///
/// # Errors
///
/// For other encodings.
pub(crate) fn is_der(encoding: &str) -> Result<bool, CallError> {
    match encoding {
        "pem" => Ok(false),
        "der" => Ok(true),
        "pkcs12" | "pkcs7_der" | "pkcs7_pem" => Err(invocation(format!(
            "the encoding {encoding} is not offered here; der and pem are"
        ))),
        other => Err(invocation(format!(
            "Invalid value '{other}' for encoding. Valid: der, pem"
        ))),
    }
}

/// Something that can be signed.
pub(super) trait Made {
    /// Signs and encodes it.
    fn sign(&self, system: &dyn System) -> Result<Vec<u8>, CallError>;
}

fn digest_of(args: &Map) -> Result<Digest, CallError> {
    Digest::from_name(&text(args, "digest").unwrap_or_else(|| "sha256".to_owned()))
}

fn encoding(args: &Map) -> Result<bool, CallError> {
    is_der(&text(args, "encoding").unwrap_or_else(|| "pem".to_owned()))
}

fn days(args: &Map, key: &str, usual: i64) -> Result<i64, CallError> {
    match args.get(key) {
        None | Some(Value::Null) => Ok(usual),
        Some(Value::Int(days)) => Ok(*days),
        Some(other) => python::str(other)
            .trim()
            .parse()
            .map_err(|_| CallError::Arguments(format!("{key} must be a number of days"))),
    }
}

/// A signing policy by name: of the configuration, else of the pillar.
pub(super) fn policy(name: &str, minion: &MinionData) -> Option<Map> {
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
pub(super) fn chain(
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
pub(super) struct CertificatePlan {
    key: PrivateKey,
    pub(super) digest: Digest,
    authority: Option<Certificate>,
    pub(super) subject: Name,
    pub(super) spki: Vec<u8>,
    pub(super) extensions: Vec<Extension>,
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
pub(super) fn certificate(
    args: &Map,
    system: &dyn Observe,
    context: &Context<'_>,
    missing_key: Option<&str>,
) -> Result<CertificatePlan, CallError> {
    plan_certificate(args, system, context.minion, missing_key)
}

/// As [`certificate`], for those who only know the minion.
pub(super) fn plan_certificate(
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

fn positive_bytes(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(skip..).unwrap_or_default().to_vec()
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
    pub(super) fn differences(
        &self,
        args: &Map,
        (old, chain, der): (&Certificate, &[Certificate], bool),
        system: &dyn Observe,
    ) -> Result<Map, CallError> {
        let mut changes = Map::new();
        if der != self.der {
            changes.insert("encoding", if self.der { "der" } else { "pem" });
        }
        let signs_with_digest = !matches!(self.key.public, PublicKey::Ed25519(_));
        if signs_with_digest
            && old
                .signed
                .digest()
                .is_some_and(|digest| digest != self.digest)
        {
            changes.insert("digest", self.digest.name());
        }
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

/// A request that could be signed.
#[derive(Debug)]
pub(super) struct RequestPlan {
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
pub(super) fn request(args: &Map, system: &dyn Observe) -> Result<RequestPlan, CallError> {
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
    pub(super) fn differences(&self, (old, der): (&Request, bool)) -> Map {
        let mut changes = Map::new();
        if der != self.der {
            changes.insert("encoding", if self.der { "der" } else { "pem" });
        }
        let signs_with_digest = !matches!(self.key.public, PublicKey::Ed25519(_));
        let differs = |digest| digest != self.digest;
        if signs_with_digest && old.signed.digest().is_some_and(differs) {
            changes.insert("digest", self.digest.name());
        }
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

/// A revocation list that could be signed.
#[derive(Debug)]
pub(super) struct RevocationPlan {
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
pub(super) fn revocations(
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
    pub(super) fn differences(
        &self,
        args: &Map,
        (old, der): (&RevocationList, bool),
        system: &dyn Observe,
    ) -> Result<Map, CallError> {
        let mut changes = Map::new();
        if der != self.der {
            changes.insert("encoding", if self.der { "der" } else { "pem" });
        }
        let signs_with_digest = !matches!(self.key.public, PublicKey::Ed25519(_));
        let differs = |digest| digest != self.digest;
        if signs_with_digest && old.signed.digest().is_some_and(differs) {
            changes.insert("digest", self.digest.name());
        }
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

/// What a state found and what it would make instead.
pub(crate) struct Comparison {
    /// What differs, in Salt's shape; nothing when all is well.
    pub(crate) changes: Map,
    /// The making has to be called `recreated`.
    pub(crate) again: bool,
    /// Whether the file is to be DER.
    pub(crate) der: bool,
}

fn replaced(name: &str, der: bool) -> Comparison {
    Comparison {
        changes: Map::from([("replaced", name)]),
        again: false,
        der,
    }
}

fn compared(changes: Map, again: bool, der: bool) -> Comparison {
    Comparison {
        changes,
        again,
        der,
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
    let plan = plan_certificate(args, system, minion, Some(LOAD))?;
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
    certificate(args, context.system, context, Some(LOAD))?.sign(context.system)
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

/// What to make of a private key.
#[derive(Clone, Debug)]
pub(crate) struct KeyWanted {
    wanted: super::key::Wanted,
    passphrase: Option<String>,
    der: bool,
}

impl KeyWanted {
    /// By the arguments of `x509.private_key_managed`.
    ///
    /// # Errors
    ///
    /// In Salt's words.
    pub(crate) fn of(args: &Map) -> Result<Self, CallError> {
        let der = match text(args, "encoding").as_deref() {
            Some("der") => true,
            None | Some("pem") => false,
            Some("pkcs12") => {
                return Err(invocation(
                    "the encoding pkcs12 is not offered here; der and pem are",
                ));
            }
            Some(other) => {
                return Err(invocation(format!(
                    "Invalid value '{other}' for encoding. Valid: der, pem, pkcs12"
                )));
            }
        };
        let size = match args.get("keysize") {
            None | Some(Value::Null) => None,
            Some(size) => Some(
                python::str(size)
                    .parse()
                    .map_err(|_| invocation(format!("Invalid key size: {}", python::str(size))))?,
            ),
        };
        let algorithm = text(args, "algo").unwrap_or_else(|| "rsa".to_owned());
        Ok(Self {
            wanted: super::key::Wanted::of(&algorithm, size)?,
            passphrase: text(args, "passphrase"),
            der,
        })
    }

    /// Compares a file with what is wanted. `Err` in the result is a refusal that the
    /// argument `overwrite` would lift.
    ///
    /// # Errors
    ///
    /// When the file cannot be looked at.
    pub(crate) fn compare(
        &self,
        name: &str,
        content: &[u8],
        overwrite: bool,
        system: &dyn Observe,
    ) -> Result<Result<Map, &'static str>, CallError> {
        use super::key::Unreadable;
        let again = |passphrase: bool, refusal: &'static str| {
            if !overwrite {
                return Ok(Err(refusal));
            }
            let mut changes = Map::new();
            if passphrase {
                changes.insert("passphrase", true);
            }
            changes.insert("created", name);
            Ok(Ok(changes))
        };
        let read = PrivateKey::read(content.to_vec(), self.passphrase.as_deref(), system);
        let key = match read {
            Ok(key) => key,
            Err(Unreadable::NoKey) => {
                return again(
                    false,
                    "The existing file does not seem to be a private key formatted as DER, PEM or embedded in PKCS12. Pass overwrite: true to force regeneration",
                );
            }
            Err(Unreadable::NoPassphrase) => {
                return again(
                    true,
                    "The existing file is encrypted. Pass overwrite: true to force regeneration without passphrase",
                );
            }
            Err(Unreadable::WrongPassphrase) => {
                return again(
                    true,
                    "The provided passphrase cannot decrypt the private key. Pass overwrite: true to force regeneration",
                );
            }
            Err(Unreadable::Program(error)) => return Err(error),
        };
        let mut changes = Map::new();
        if !key.encrypted && self.passphrase.is_some() {
            changes.insert("passphrase", true);
        }
        if key.public.algorithm() != self.wanted.algorithm() {
            changes.insert("algo", self.wanted.algorithm());
        } else if self.wanted.bits() != key.public.bits() {
            changes.insert("keysize", self.wanted.bits());
        }
        if pem::is_pem(content) == self.der {
            changes.insert("encoding", if self.der { "der" } else { "pem" });
        }
        Ok(Ok(changes))
    }

    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// What keeps it from being made.
    pub(crate) fn make(&self, system: &dyn System) -> Result<Vec<u8>, CallError> {
        PrivateKey::generate(self.wanted, self.passphrase.as_deref(), self.der, system)
    }
}
