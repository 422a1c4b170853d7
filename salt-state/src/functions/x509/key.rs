//! Keys: made, read and used by the `openssl` program, so that no private number is ever
//! handled here.

use std::path::PathBuf;

use num_bigint::BigUint;
use salt_proto::Value;
use sha1::{Digest as _, Sha1};

use super::der;
use super::digest::Digest;
use super::{invocation, pem};
use crate::registry::CallError;
use crate::system::{Command, CommandError, Observe, Output, System, WriteOptions};

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
pub(super) const ED25519: &str = "1.3.101.112";

/// How a passphrase reaches the program: in its environment, which only its owner reads.
const PASSPHRASE: &str = "SALT_X509_PASSPHRASE";

const ENCRYPTED: &str = "Private key is encrypted. Please provide a password.";
const WRONG: &str = "Bad decrypt - is the password correct?";

/// A curve of NIST's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn of(oid: &str) -> Option<Self> {
        Some(match oid {
            "1.2.840.10045.3.1.7" => Self::P256,
            "1.3.132.0.34" => Self::P384,
            "1.3.132.0.35" => Self::P521,
            _ => return None,
        })
    }

    fn bits(self) -> i64 {
        match self {
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }
}

/// A public key, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa {
        modulus: BigUint,
        exponent: BigUint,
    },
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    /// One that nothing here can use.
    Other,
}

impl PublicKey {
    /// From a `SubjectPublicKeyInfo`.
    pub(super) fn read(spki: &[u8]) -> Option<Self> {
        let parts = der::only(spki)?.parts_of(der::SEQUENCE)?;
        let [algorithm, bits] = parts.as_slice() else {
            return None;
        };
        let algorithm = algorithm.parts_of(der::SEQUENCE)?;
        let bits = bits.bits()?;
        Some(match algorithm.first()?.oid()?.as_str() {
            RSA => {
                let numbers = der::only(bits)?.parts_of(der::SEQUENCE)?;
                let [modulus, exponent] = numbers.as_slice() else {
                    return None;
                };
                let modulus = BigUint::from_bytes_be(modulus.body);
                if modulus == BigUint::ZERO {
                    return None;
                }
                Self::Rsa {
                    modulus,
                    exponent: BigUint::from_bytes_be(exponent.body),
                }
            }
            EC => match algorithm.get(1).and_then(|oid| Curve::of(&oid.oid()?)) {
                Some(curve) => Self::Ec {
                    curve,
                    point: bits.to_vec(),
                },
                None => Self::Other,
            },
            ED25519 => Self::Ed25519(bits.to_vec()),
            _ => Self::Other,
        })
    }

    /// Salt's name of the algorithm.
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "rsa",
            Self::Ec { .. } => "ec",
            Self::Ed25519(_) => "ed25519",
            Self::Other => "unknown",
        }
    }

    /// How many bits, where that says anything.
    pub(super) fn bits(&self) -> Option<i64> {
        match self {
            Self::Rsa { modulus, .. } => i64::try_from(modulus.bits()).ok(),
            Self::Ec { curve, .. } => Some(curve.bits()),
            _ => None,
        }
    }

    /// The algorithm of a signature with this key: its identifier, encoded.
    ///
    /// # Errors
    ///
    /// For keys that cannot sign here.
    pub(super) fn signature_algorithm(&self, digest: Digest) -> Result<Vec<u8>, CallError> {
        let (oid, null) = match self {
            Self::Rsa { .. } => (digest.with_rsa(), true),
            Self::Ec { .. } => (digest.with_ecdsa(), false),
            Self::Ed25519(_) => (ED25519, false),
            Self::Other => {
                return Err(CallError::execution(
                    "keys other than RSA, NIST's curves and Ed25519 are not offered here",
                ));
            }
        };
        let mut parts = vec![der::oid(oid).unwrap_or_default()];
        if null {
            parts.push(der::tlv(der::NULL, &[]));
        }
        Ok(der::sequence(&parts))
    }
}

/// What certificates identify a key by: the SHA-1 of its bits.
pub(super) fn identifier(spki: &[u8]) -> Option<Vec<u8>> {
    let parts = der::only(spki)?.parts_of(der::SEQUENCE)?;
    Some(Sha1::digest(parts.get(1)?.bits()?).to_vec())
}

/// A private key: its file's content and its public half.
pub(super) struct PrivateKey {
    content: Vec<u8>,
    passphrase: Option<String>,
    /// A `SubjectPublicKeyInfo`.
    pub(super) spki: Vec<u8>,
    pub(super) public: PublicKey,
    /// Whether its content is encrypted.
    pub(super) encrypted: bool,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// Why a private key cannot be used.
#[derive(Debug)]
pub(super) enum Unreadable {
    NoKey,
    NoPassphrase,
    WrongPassphrase,
    Program(CallError),
}

impl From<Unreadable> for CallError {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::NoKey => invocation("Could not deserialize binary data"),
            Unreadable::NoPassphrase => Self::execution(ENCRYPTED),
            Unreadable::WrongPassphrase => Self::execution(WRONG),
            Unreadable::Program(error) => error,
        }
    }
}

fn failed(error: CommandError) -> CallError {
    match error {
        CommandError::Start { .. } => CallError::CommandNotFound(
            "x509 functions need the program openssl for their keys".to_owned(),
        ),
        error => error.into(),
    }
}

fn openssl(passphrase: Option<&str>) -> Command {
    Command::new("openssl").env(PASSPHRASE, passphrase.unwrap_or_default())
}

fn said(output: &Output) -> String {
    let text = output.stderr_text();
    text.lines().next().unwrap_or_default().to_owned()
}

impl PrivateKey {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub(super) fn read(
        content: Vec<u8>,
        passphrase: Option<&str>,
        system: &dyn Observe,
    ) -> Result<Self, Unreadable> {
        let encrypted = is_encrypted(&content).ok_or(Unreadable::NoKey)?;
        if encrypted && passphrase.is_none() {
            return Err(Unreadable::NoPassphrase);
        }
        let format = if pem::is_pem(&content) { "PEM" } else { "DER" };
        let command = openssl(passphrase)
            .args(["pkey", "-inform", format, "-in", "/dev/stdin", "-passin"])
            .arg(format!("env:{PASSPHRASE}"))
            .args(["-pubout", "-outform", "DER"])
            .stdin(content.clone());
        let output = system
            .query(&command)
            .map_err(|error| Unreadable::Program(failed(error)))?;
        let public = PublicKey::read(&output.stdout);
        match public.filter(|_| output.is_success()) {
            Some(public) => Ok(Self {
                content,
                passphrase: passphrase.map(str::to_owned),
                spki: output.stdout,
                public,
                encrypted,
            }),
            None if encrypted => Err(Unreadable::WrongPassphrase),
            None => Err(Unreadable::NoKey),
        }
    }

    /// The key a caller means.
    ///
    /// # Errors
    ///
    /// When it cannot be found or used.
    pub(super) fn load(
        value: &Value,
        passphrase: Option<&str>,
        system: &dyn Observe,
    ) -> Result<Self, CallError> {
        let content = pem::load(value, system)?;
        Ok(Self::read(content, passphrase, system)?)
    }

    /// Makes a key, as PEM or DER.
    ///
    /// # Errors
    ///
    /// What the program says.
    pub(super) fn generate(
        wanted: Wanted,
        passphrase: Option<&str>,
        der: bool,
        system: &dyn System,
    ) -> Result<Vec<u8>, CallError> {
        let mut command = openssl(passphrase).args(["genpkey", "-algorithm"]);
        command = match wanted {
            Wanted::Rsa(bits) => command
                .args(["RSA", "-pkeyopt"])
                .arg(format!("rsa_keygen_bits:{bits}")),
            Wanted::Ec(bits) => command
                .args(["EC", "-pkeyopt"])
                .arg(format!("ec_paramgen_curve:P-{bits}"))
                .args(["-pkeyopt", "ec_param_enc:named_curve"]),
            Wanted::Ed25519 => command.arg("ED25519"),
        };
        if passphrase.is_some() {
            command = command
                .args(["-aes-256-cbc", "-pass"])
                .arg(format!("env:{PASSPHRASE}"));
        }
        if der {
            command = command.args(["-outform", "DER"]);
        }
        let output = system.run(&command).map_err(failed)?;
        if output.is_success() && !output.stdout.is_empty() {
            return Ok(output.stdout);
        }
        Err(CallError::execution(format!(
            "openssl made no key: {}",
            said(&output)
        )))
    }

    /// The key in another form: PEM or DER, encrypted or not.
    ///
    /// # Errors
    ///
    /// What the program says.
    pub(super) fn encode(
        &self,
        passphrase: Option<&str>,
        der: bool,
        system: &dyn Observe,
    ) -> Result<Vec<u8>, CallError> {
        const NEW: &str = "SALT_X509_NEW_PASSPHRASE";
        let format = if pem::is_pem(&self.content) {
            "PEM"
        } else {
            "DER"
        };
        let mut command = openssl(self.passphrase.as_deref())
            .args([
                "pkcs8",
                "-topk8",
                "-inform",
                format,
                "-in",
                "/dev/stdin",
                "-passin",
            ])
            .arg(format!("env:{PASSPHRASE}"))
            .args(["-outform", if der { "DER" } else { "PEM" }])
            .stdin(self.content.clone());
        command = match passphrase {
            Some(passphrase) => command
                .env(NEW, passphrase)
                .args(["-v2", "aes-256-cbc", "-passout"])
                .arg(format!("env:{NEW}")),
            None => command.arg("-nocrypt"),
        };
        let output = system.query(&command).map_err(failed)?;
        if output.is_success() {
            return Ok(output.stdout);
        }
        Err(CallError::execution(format!(
            "openssl could not write the key: {}",
            said(&output)
        )))
    }

    /// Signs. The key goes through a pipe; what is signed is no secret and lies in a file
    /// for as long as that takes.
    ///
    /// # Errors
    ///
    /// What the program says.
    pub(super) fn sign(
        &self,
        message: &[u8],
        digest: Digest,
        system: &dyn System,
    ) -> Result<Vec<u8>, CallError> {
        let mut random = [0; 8];
        system.random(&mut random);
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = PathBuf::from(format!("/tmp/.salt-x509-{name}"));
        system.write(&path, message, &WriteOptions::new().mode(0o600))?;
        let format = if pem::is_pem(&self.content) {
            "PEM"
        } else {
            "DER"
        };
        let mut command = openssl(self.passphrase.as_deref())
            .args(["pkeyutl", "-sign", "-rawin", "-keyform", format])
            .args(["-inkey", "/dev/stdin", "-passin"])
            .arg(format!("env:{PASSPHRASE}"))
            .arg("-in")
            .arg(&path)
            .stdin(self.content.clone());
        if !matches!(self.public, PublicKey::Ed25519(_)) {
            command = command.args(["-digest", digest.name()]);
        }
        let output = system.run(&command);
        system.remove(&path).ok();
        let output = output.map_err(failed)?;
        if output.is_success() && !output.stdout.is_empty() {
            return Ok(output.stdout);
        }
        Err(CallError::execution(format!(
            "openssl did not sign: {}",
            said(&output)
        )))
    }
}

/// Whether bytes are an encrypted private key; `None` when they are no private key.
fn is_encrypted(content: &[u8]) -> Option<bool> {
    if pem::is_pem(content) {
        let text = String::from_utf8_lossy(content);
        let known = [
            "PRIVATE KEY",
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
        ];
        let found = known
            .into_iter()
            .find(|label| text.contains(&format!("-----BEGIN {label}-----")))?;
        return Some(found.starts_with("ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED"));
    }
    let parts = der::only(content)?.parts_of(der::SEQUENCE)?;
    match parts.first()?.tag {
        der::SEQUENCE if parts.len() == 2 => Some(true),
        der::INTEGER => Some(false),
        _ => None,
    }
}

/// What kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Rsa(i64),
    Ec(i64),
    Ed25519,
}

impl Wanted {
    /// By Salt's arguments.
    ///
    /// # Errors
    ///
    /// In Salt's words.
    pub(super) fn of(algorithm: &str, size: Option<i64>) -> Result<Self, CallError> {
        match (algorithm, size) {
            ("rsa", size) => match size.unwrap_or(2048) {
                bits @ (2048 | 3072 | 4096) => Ok(Self::Rsa(bits)),
                _ => Err(invocation(
                    "RSA key size must be either 2048, 3072 or 4096 bits.",
                )),
            },
            ("ec", size) => match size.unwrap_or(256) {
                bits @ (256 | 384 | 521) => Ok(Self::Ec(bits)),
                _ => Err(invocation("EC key size must be either 256, 384, 521 bits.")),
            },
            ("ed25519" | "ed448", Some(_)) => Err(invocation(format!(
                "keysize is an invalid parameter for {algorithm}"
            ))),
            ("ed25519", None) => Ok(Self::Ed25519),
            ("ed448", None) => Err(invocation("ed448 keys are not offered here")),
            _ => Err(invocation(format!(
                "Invalid algorithm specified for generating private key: {algorithm}. Valid: rsa, ec, ed25519, ed448"
            ))),
        }
    }

    pub(super) fn algorithm(self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::Ec(_) => "ec",
            Self::Ed25519 => "ed25519",
        }
    }

    pub(super) fn bits(self) -> Option<i64> {
        match self {
            Self::Rsa(bits) | Self::Ec(bits) => Some(bits),
            Self::Ed25519 => None,
        }
    }
}
