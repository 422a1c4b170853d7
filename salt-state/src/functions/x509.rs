//! `x509.*`: keys, certificates, requests and revocation lists, as Salt's second `x509`
//! module (3008.3) has them.
//!
//! What is encoded is encoded here; private keys are made, read and used by the `openssl`
//! program alone. PKCS #7, PKCS #12, Ed448 and signing by another minion (`ca_server`) are
//! refused with a sentence that says so.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, System, WriteOptions};

mod certificate;
mod der;
mod digest;
mod extension;
mod general;
mod key;
mod name;
mod pem;
pub(crate) mod plan;
mod verify;

use certificate::{Certificate, Request, RevocationList};
use key::{PrivateKey, PublicKey, Wanted};
use plan::Made;

type Answer = Result<Value, CallError>;

const CREATE_CERTIFICATE: &str = "create_certificate(ca_server=None, signing_policy=None, encoding='pem', append_certs=None, pkcs12_passphrase=None, pkcs12_encryption_compat=False, pkcs12_friendlyname=None, path=None, overwrite=True, raw=False, **kwargs)";

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "x509.create_private_key",
        "create_private_key(algo='rsa', keysize=None, passphrase=None, encoding='pem', pkcs12_encryption_compat=False, path=None, raw=False, **kwargs)",
        "Makes a private key: rsa, ec or ed25519.",
        |args, context| {
            let algorithm = args.text("algo")?;
            // A size that means nothing is passed over here, though not by the state.
            let size = match algorithm.as_str() {
                "ed25519" => None,
                _ => args.optional_int("keysize")?,
            };
            let wanted = Wanted::of(&algorithm, size)?;
            let der = plan::is_der(args.str("encoding")?)?;
            let passphrase = args.optional_text("passphrase");
            let made = PrivateKey::generate(wanted, passphrase.as_deref(), der, context.system)?;
            handed_out(made, der, 0o400, args, context)
        },
    );
    add(
        "x509.create_certificate",
        CREATE_CERTIFICATE,
        "Makes a certificate: signing_private_key signs, signing_cert is its certificate; subject, extensions and times by keyword.",
        |args, context| {
            let made = plan::certificate(&flat(args), context.system, context.minion, None)?;
            let made = made.sign(context.system)?;
            handed_out(made, is_der(args)?, 0o644, args, context)
        },
    );
    add(
        "x509.create_csr",
        "create_csr(private_key, private_key_passphrase=None, digest='sha256', encoding='pem', path=None, raw=False, **kwargs)",
        "Makes a request for a certificate.",
        |args, context| {
            let made = plan::request(&flat(args), context.system)?;
            let made = made.sign(context.system)?;
            handed_out(made, is_der(args)?, 0o644, args, context)
        },
    );
    add(
        "x509.create_crl",
        "create_crl(signing_private_key, revoked, signing_cert=None, signing_private_key_passphrase=None, include_expired=False, days_valid=None, digest='sha256', encoding='pem', extensions=None, path=None, raw=False, **kwargs)",
        "Makes a revocation list.",
        |args, context| {
            let made = plan::revocations(&flat(args), context.system, None)?;
            let made = made.sign(context.system)?;
            handed_out(made, is_der(args)?, 0o644, args, context)
        },
    );
    register_readers(registry);
    register_questions(registry);
    register_refusals(registry);
    register_forms(registry);
}

/// Things that are read.
fn register_readers(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "x509.read_certificate",
        "read_certificate(certificate)",
        "Shows what a certificate says.",
        |args, context| {
            Ok(
                load_certificate(required(args, "certificate")?, context.system)?
                    .shown()
                    .into(),
            )
        },
    );
    add(
        "x509.read_certificates",
        "read_certificates(glob_path)",
        "Shows what all certificates in files that match a glob say.",
        |args, context| {
            let mut all = Map::new();
            for path in matching(args, context)? {
                let read = load_certificate(&path.as_str().into(), context.system);
                if let Ok(found) = read {
                    all.insert(path, found.shown());
                }
            }
            Ok(all.into())
        },
    );
    add(
        "x509.read_csr",
        "read_csr(csr)",
        "Shows what a request says.",
        |args, context| {
            Ok(load_request(required(args, "csr")?, context.system)?
                .shown()
                .into())
        },
    );
    add(
        "x509.read_crl",
        "read_crl(crl)",
        "Shows what a revocation list says.",
        |args, context| {
            Ok(load_list(required(args, "crl")?, context.system)?
                .shown()
                .into())
        },
    );
    add(
        "x509.get_public_key",
        "get_public_key(key, passphrase=None, asObj=None)",
        "Returns the public key of a certificate, a request, a private or a public key.",
        |args, context| {
            let passphrase = args.optional_text("passphrase");
            let key = required(args, "key")?;
            let (spki, _) = public_key(key, passphrase.as_deref(), context.system)?;
            Ok(pem::encode("PUBLIC KEY", &spki).into())
        },
    );
    add(
        "x509.get_private_key_size",
        "get_private_key_size(private_key, passphrase=None)",
        "Returns the bits of a private key.",
        |args, context| {
            let passphrase = args.optional_text("passphrase");
            let key = required(args, "private_key")?;
            let key = PrivateKey::load(key, passphrase.as_deref(), context.system)?;
            Ok(key.public.bits().into())
        },
    );
    add(
        "x509.get_signing_policy",
        "get_signing_policy(signing_policy, ca_server=None)",
        "Returns a signing policy of this minion's configuration or pillar (x509_signing_policies).",
        |args, context| {
            let policy = plan::policy(&args.text("signing_policy")?, context.minion);
            Ok(policy.unwrap_or_default().into())
        },
    );
}

/// What another minion would have to do. Nothing is signed for others here.
fn register_refusals(registry: &mut Registry) {
    registry.add(
        "x509.sign_remote_certificate",
        "sign_remote_certificate(signing_policy, kwargs, get_signing_policy_only=False, **more_kwargs)",
        "Says that nothing is signed for another minion.",
        |args: &Args, context: &Context<'_>| {
            let name = args.optional_text("signing_policy").unwrap_or_default();
            let complaint = if plan::policy(&name, context.minion).is_none() {
                "signing_policy must be specified and defined on signing minion"
            } else {
                "this minion signs nothing for others"
            };
            let errors = Value::List(vec![complaint.into()]);
            Ok(Map::from([("data", Value::Null), ("errors", errors)]).into())
        },
    );
    registry.add(
        "x509.create_certificate_ssh",
        "create_certificate_ssh(ca_server=None, signing_policy=None, encoding='pem', append_certs=None, pkcs12_passphrase=None, pkcs12_encryption_compat=False, pkcs12_friendlyname=None, path=None, overwrite=True, raw=False, **kwargs)",
        "Makes a certificate as x509.create_certificate does; a ca_server is not asked.",
        |args: &Args, context: &Context<'_>| {
            if args.optional_text("ca_server").is_some() {
                return Err(CallError::invocation(
                    if args.optional_text("signing_policy").is_some() {
                        "ca_server did not respond. Salt master must permit peers to call the sign_remote_certificate function."
                    } else {
                        "signing_policy must be specified to request a certificate from a remote ca_server"
                    },
                ));
            }
            context
                .registry
                .call("x509.create_certificate", args, context)
        },
    );
}

/// Things that are true or not.
fn register_questions(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "x509.expired",
        "expired(certificate)",
        "Tells whether a certificate is past its time.",
        |args, context| ends_before(args, 0, "expired", context),
    );
    add(
        "x509.will_expire",
        "will_expire(certificate, days)",
        "Tells whether a certificate will be past its time in some days.",
        |args, context| {
            let days = args.int("days")?;
            let Value::Map(told) = ends_before(args, days, "will_expire", context)? else {
                return Ok(Value::Null);
            };
            let mut all = Map::from([("check_days", days)]);
            all.extend(told);
            Ok(all.into())
        },
    );
    add(
        "x509.expires",
        "expires(certificate, days=0)",
        "Returns whether a certificate is past its time in some days.",
        |args, context| {
            let found = load_certificate(required(args, "certificate")?, context.system)?;
            let days = args.int("days")?;
            Ok((found.not_after <= later(context.system, days)).into())
        },
    );
    add(
        "x509.verify_private_key",
        "verify_private_key(private_key, public_key, passphrase=None)",
        "Tells whether a private key belongs to a public key or certificate.",
        |args, context| {
            let passphrase = args.optional_text("passphrase");
            let private = required(args, "private_key")?;
            let private = PrivateKey::load(private, passphrase.as_deref(), context.system)?;
            let (_, public) = public_key(required(args, "public_key")?, None, context.system)?;
            Ok((private.public == public).into())
        },
    );
    add(
        "x509.verify_signature",
        "verify_signature(certificate, signing_pub_key=None, signing_pub_key_passphrase=None)",
        "Tells whether a certificate was signed by a key, its own unless one is named.",
        |args, context| {
            let found = load_certificate(required(args, "certificate")?, context.system)?;
            let passphrase = args.optional_text("signing_pub_key_passphrase");
            let public = match args.given("signing_pub_key") {
                Some(key) => public_key(key, passphrase.as_deref(), context.system)?.1,
                None => found.public.clone(),
            };
            Ok(found.signed.is_by(&public).into())
        },
    );
    add(
        "x509.verify_crl",
        "verify_crl(crl, cert)",
        "Tells whether a revocation list was signed by the key of a certificate.",
        |args, context| {
            let list = load_list(required(args, "crl")?, context.system)?;
            let (_, public) = public_key(required(args, "cert")?, None, context.system)?;
            Ok(list.signed.is_by(&public).into())
        },
    );
}

/// Other forms of what there is.
fn register_forms(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "x509.encode_certificate",
        "encode_certificate(certificate, encoding='pem', append_certs=None, private_key=None, private_key_passphrase=None, pkcs12_passphrase=None, pkcs12_encryption_compat=False, pkcs12_friendlyname=None, raw=False)",
        "Returns a certificate as PEM or DER.",
        |args, context| {
            let found = load_certificate(required(args, "certificate")?, context.system)?;
            let mut out = encoded("CERTIFICATE", &found.signed.der, is_der(args)?);
            for more in plan::chain(args.given("append_certs"), context.system)? {
                out.extend(encoded("CERTIFICATE", &more.signed.der, false));
            }
            Ok(text_of(out, is_der(args)?))
        },
    );
    add(
        "x509.encode_csr",
        "encode_csr(csr, encoding='pem', raw=False)",
        "Returns a request as PEM or DER.",
        |args, context| {
            let found = load_request(required(args, "csr")?, context.system)?;
            let der = is_der(args)?;
            Ok(text_of(
                encoded("CERTIFICATE REQUEST", &found.signed.der, der),
                der,
            ))
        },
    );
    add(
        "x509.encode_crl",
        "encode_crl(crl, encoding='pem', raw=False)",
        "Returns a revocation list as PEM or DER.",
        |args, context| {
            let found = load_list(required(args, "crl")?, context.system)?;
            let der = is_der(args)?;
            Ok(text_of(encoded("X509 CRL", &found.signed.der, der), der))
        },
    );
    add(
        "x509.encode_private_key",
        "encode_private_key(private_key, encoding='pem', passphrase=None, private_key_passphrase=None, pkcs12_encryption_compat=False, raw=False)",
        "Returns a private key as PEM or DER, encrypted with passphrase if there is one.",
        |args, context| {
            let old = args.optional_text("private_key_passphrase");
            let key = required(args, "private_key")?;
            let key = PrivateKey::load(key, old.as_deref(), context.system)?;
            let (new, der) = (args.optional_text("passphrase"), is_der(args)?);
            Ok(text_of(
                key.encode(new.as_deref(), der, context.system)?,
                der,
            ))
        },
    );
    add(
        "x509.get_pem_entry",
        "get_pem_entry(text, pem_type=None)",
        "Returns the PEM block in a text, in proper lines.",
        |args, context| {
            let kind = args.optional_text("pem_type");
            pem_entry(required(args, "text")?, kind.as_deref(), context.system).map(Value::from)
        },
    );
    add(
        "x509.get_pem_entries",
        "get_pem_entries(glob_path)",
        "Returns the PEM blocks of all files that match a glob.",
        |args, context| {
            let mut all = Map::new();
            for path in matching(args, context)? {
                let entry = pem_entry(&path.as_str().into(), None, context.system);
                if let Ok(entry) = entry {
                    all.insert(path, entry);
                }
            }
            Ok(all.into())
        },
    );
    add(
        "x509.write_pem",
        "write_pem(text, path, overwrite=True, pem_type=None)",
        "Writes the PEM block of a text to a file.",
        |args, context| {
            let kind = args.optional_text("pem_type");
            let entry = pem_entry(required(args, "text")?, kind.as_deref(), context.system)?;
            let path = args.text("path")?;
            let secret = entry.contains("PRIVATE KEY");
            let mode = if secret { 0o400 } else { 0o644 };
            write(&path, entry.as_bytes(), mode, context.system)?;
            Ok(format!("PEM written to {path}").into())
        },
    );
}

fn required<'a>(args: &'a Args, name: &str) -> Result<&'a Value, CallError> {
    args.given(name)
        .ok_or_else(|| CallError::Arguments(format!("Missing argument: {name}")))
}

/// The files that `glob_path` matches.
fn matching(args: &Args, context: &Context<'_>) -> Result<Vec<String>, CallError> {
    let pattern = args.text("glob_path")?;
    let found = super::file::glob(Path::new(&pattern), context);
    Ok(found
        .iter()
        .map(|path| path.display().to_string())
        .collect())
}

/// All arguments by name, those of `**kwargs` too.
pub(crate) fn flat(args: &Args) -> Map {
    let mut all = args.clean_keywords();
    for (key, value) in &args.named {
        all.insert(key.clone(), value.clone());
    }
    all
}

fn is_der(args: &Args) -> Result<bool, CallError> {
    plan::is_der(args.str("encoding")?)
}

/// DER, or PEM around it.
fn encoded(label: &str, der: &[u8], as_der: bool) -> Vec<u8> {
    if as_der {
        der.to_vec()
    } else {
        pem::encode(label, der).into_bytes()
    }
}

/// What a function returns: text, of DER as base64.
fn text_of(bytes: Vec<u8>, der: bool) -> Value {
    use base64::Engine as _;
    if der {
        return base64::engine::general_purpose::STANDARD
            .encode(bytes)
            .into();
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Returns what was made, or writes it to `path` and says so.
fn handed_out(made: Vec<u8>, der: bool, mode: u32, args: &Args, context: &Context<'_>) -> Answer {
    let Some(path) = args.optional_text("path") else {
        return Ok(text_of(made, der));
    };
    if args.get("overwrite").is_some_and(|value| !value.is_true())
        && context.system.exists(Path::new(&path))
    {
        return Ok(format!("The file at {path} exists and overwrite was set to false").into());
    }
    write(&path, &made, mode, context.system)?;
    let form = if der { "DER" } else { "PEM" };
    Ok(format!("{form} written to {path}").into())
}

fn write(path: &str, bytes: &[u8], mode: u32, system: &dyn System) -> Result<(), CallError> {
    let path = Path::new(path);
    let mut options = WriteOptions::new();
    if !system.exists(path) {
        options = options.mode(mode);
    }
    Ok(system.write(path, bytes, &options)?)
}

fn pem_entry(text: &Value, kind: Option<&str>, system: &dyn Observe) -> Result<String, CallError> {
    let bytes = pem::load(text, system)?;
    let mut found = pem::blocks(&bytes);
    if let Some(kind) = kind {
        found.retain(|block| block.label == kind);
    }
    match found.as_slice() {
        [one] => Ok(pem::encode(&one.label, &one.der)),
        [first, ..] if kind.is_none() => Ok(pem::encode(&first.label, &first.der)),
        _ => Err(invocation(format!(
            "PEM does not contain a single entry of type {}:\n{}",
            kind.unwrap_or_default(),
            String::from_utf8_lossy(&bytes)
        ))),
    }
}

/// The PEM text that a state keeps in a file.
///
/// # Errors
///
/// When there is none.
pub(crate) fn pem_text(text: &Value, system: &dyn Observe) -> Result<String, CallError> {
    pem_entry(text, None, system)
}

fn ends_before(args: &Args, days: i64, key: &str, context: &Context<'_>) -> Answer {
    let named = required(args, "certificate")?;
    let found = load_certificate(named, context.system)?;
    let mut told = Map::new();
    let is_path = named
        .as_str()
        .is_some_and(|path| path.starts_with('/') && context.system.is_file(Path::new(path)));
    if is_path {
        told.insert("path", named.clone());
    }
    told.insert("cn", found.subject.common());
    told.insert(key, found.not_after <= later(context.system, days));
    Ok(told.into())
}

/// Now and some days, in seconds since 1970.
fn later(system: &dyn Observe, days: i64) -> i64 {
    let now = system
        .now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(now)
        .unwrap_or(i64::MAX)
        .saturating_add(days.saturating_mul(86_400))
}

/// Seconds since 1970 of a time as an SLS states it.
fn when(text: &str) -> Result<i64, CallError> {
    der::parse_time(text).ok_or_else(|| {
        CallError::execution(format!(
            "time data '{text}' does not match format '%Y-%m-%d %H:%M:%S'"
        ))
    })
}

fn load_certificate(value: &Value, system: &dyn Observe) -> Result<Certificate, CallError> {
    let bytes = pem::load(value, system)?;
    pem::der_of(&bytes, &["CERTIFICATE", "X509 CERTIFICATE"])
        .and_then(|der| Certificate::read(&der))
        .ok_or_else(|| CallError::execution("Could not load certificate"))
}

fn load_request(value: &Value, system: &dyn Observe) -> Result<Request, CallError> {
    let bytes = pem::load(value, system)?;
    pem::der_of(&bytes, &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])
        .and_then(|der| Request::read(&der))
        .ok_or_else(|| CallError::execution("Could not load CSR"))
}

fn load_list(value: &Value, system: &dyn Observe) -> Result<RevocationList, CallError> {
    let bytes = pem::load(value, system)?;
    pem::der_of(&bytes, &["X509 CRL"])
        .and_then(|der| RevocationList::read(&der))
        .ok_or_else(|| CallError::execution("Could not load CRL"))
}

/// The public key of anything that has one.
fn public_key(
    value: &Value,
    passphrase: Option<&str>,
    system: &dyn Observe,
) -> Result<(Vec<u8>, PublicKey), CallError> {
    let refused = || {
        CallError::execution("Could not load key as certificate, public key, private key or CSR")
    };
    let bytes = pem::load(value, system).map_err(|_| refused())?;
    let der = |labels: &[&str]| pem::der_of(&bytes, labels);
    if let Some(found) = der(&["CERTIFICATE"]).and_then(|der| Certificate::read(&der)) {
        return Ok((found.spki, found.public));
    }
    if let Some(spki) = der(&["PUBLIC KEY"])
        && let Some(public) = PublicKey::read(&spki)
    {
        return Ok((spki, public));
    }
    if let Some(found) = der(&["CERTIFICATE REQUEST"]).and_then(|der| Request::read(&der)) {
        return Ok((found.spki, found.public));
    }
    match PrivateKey::read(bytes, passphrase, system) {
        Ok(key) => Ok((key.spki.clone(), key.public)),
        Err(key::Unreadable::NoKey) => Err(refused()),
        Err(why) => Err(why.into()),
    }
}

fn invocation(text: impl Into<String>) -> CallError {
    CallError::invocation(text)
}

/// `AB:CD:…`
fn colons(bytes: &[u8]) -> String {
    let all: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    all.join(":")
}

/// A text argument of a mapping of arguments.
fn text(args: &Map, key: &str) -> Option<String> {
    args.get(key)
        .filter(|value| !value.is_null())
        .map(python::str)
}
