//! Private keys that could be made.

use salt_proto::{Map, Value};

use crate::functions::x509::key::{PrivateKey, Unreadable, Wanted};
use crate::functions::x509::{invocation, pem, text};
use crate::python;
use crate::registry::CallError;
use crate::system::{Observe, System};

/// What to make of a private key.
#[derive(Clone, Debug)]
pub(crate) struct KeyWanted {
    wanted: Wanted,
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
            wanted: Wanted::of(&algorithm, size)?,
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
