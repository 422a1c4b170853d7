//! Signatures of files, which `gpg` checks, or `openssl` for plain public keys.

use std::path::Path;

use base64::Engine as _;
use salt_proto::Value;

use super::source::{self, Failure};
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::system::{Command, Observe};

/// What a state says about the signature of one of its files.
pub(crate) struct Demand<'a> {
    /// The arguments of the state: who has to have signed, and where the keys are.
    pub(crate) args: &'a Args,
    /// Where detached signatures are, or `true` for content that carries its own.
    pub(crate) signature: &'a Value,
    /// The environment that signatures of the state tree are taken from.
    pub(crate) saltenv: &'a str,
}

impl Demand<'_> {
    /// Whether content is signed by those who have to have signed it.
    ///
    /// # Errors
    ///
    /// Signatures that cannot be fetched, an unknown `sig_backend`, and `asymmetric`
    /// without keys.
    pub(crate) fn is_met(&self, content: &[u8], context: &Context<'_>) -> Result<bool, Failure> {
        let mut sheets = Vec::new();
        if !matches!(self.signature, Value::Bool(true)) {
            for address in texts(Some(self.signature)) {
                sheets.push(self.sheet(&address, context)?);
            }
        }
        let any = texts(self.args.given("signed_by_any"));
        let all = texts(self.args.given("signed_by_all"));
        let backend = self.args.optional_text("sig_backend").unwrap_or_default();
        match backend.as_str() {
            "gpg" => {
                let home = self.args.optional_text("gnupghome");
                let keyring = self.args.optional_text("keyring");
                let sheet = sheets.first().map(Vec::as_slice);
                let system = context.system;
                let signers = verify(content, sheet, home.as_deref(), keyring.as_deref(), system);
                let Some(signers) = signers else {
                    return Ok(false);
                };
                // Only a whole fingerprint names a key beyond doubt.
                Ok(is_enough(&any, &all, |key| signers.contains(key)))
            }
            "asymmetric" => {
                if any.is_empty() && all.is_empty() {
                    return Err(Failure::Foreseen(
                        "Missing pubkey(s) to check against".to_owned(),
                    ));
                }
                Ok(is_enough(&any, &all, |key| {
                    let key = match context.system.read(Path::new(key)) {
                        Ok(Some(pem)) if key.starts_with('/') => pem,
                        _ => key.clone().into_bytes(),
                    };
                    sheets
                        .iter()
                        .any(|sheet| is_signed_with(&key, content, sheet, context.system))
                }))
            }
            other => Err(Failure::Foreseen(format!(
                "Signature verification requires the {other} module, which could not be found. Make sure you have the necessary tools and libraries intalled"
            ))),
        }
    }

    fn sheet(&self, address: &str, context: &Context<'_>) -> Result<Vec<u8>, Failure> {
        if source::local_path(address).is_some_and(|path| !path.is_absolute()) {
            return Err(Failure::Foreseen(format!(
                "Path '{address}' is not absolute"
            )));
        }
        let verify_ssl = self.args.get("verify_ssl").is_none_or(Value::is_true);
        let found = source::fetched(address, self.saltenv, verify_ssl, context)?;
        found.ok_or_else(|| {
            Failure::Foreseen(format!(
                "Source file {} not found",
                source::redacted(address)
            ))
        })
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(one) if one.is_true() => vec![python::str(one)],
        _ => Vec::new(),
    }
}

/// One of `any` has to have signed, and every one of `all`; none are asked for where a
/// list is empty.
fn is_enough(any: &[String], all: &[String], has_signed: impl Fn(&String) -> bool) -> bool {
    (any.is_empty() || any.iter().any(&has_signed)) && all.iter().all(has_signed)
}

/// Whether a signature of content was made with the private half of a key in PEM. The
/// signature is as it was made, or in base64.
fn is_signed_with(key: &[u8], content: &[u8], sheet: &[u8], system: &dyn Observe) -> bool {
    let compact: Vec<u8> = sheet
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let sheet = base64::engine::general_purpose::STANDARD
        .decode(&compact)
        .unwrap_or_else(|_| sheet.to_vec());
    // Ed25519 and Ed448 sign the content itself, the others its digest.
    let script = "d=$(mktemp -d) || exit 2; trap 'rm -rf \"$d\"' EXIT; \
                  head -c \"$1\" > \"$d/key\"; head -c \"$2\" > \"$d/sig\"; cat > \"$d/data\"; \
                  openssl dgst -sha256 -verify \"$d/key\" -signature \"$d/sig\" \"$d/data\" || \
                  openssl pkeyutl -verify -rawin -pubin -inkey \"$d/key\" -sigfile \"$d/sig\" \
                  -in \"$d/data\"";
    let mut input = key.to_vec();
    input.extend_from_slice(&sheet);
    input.extend_from_slice(content);
    let command = Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(key.len().to_string())
        .arg(sheet.len().to_string())
        .stdin(input);
    system
        .query(&command)
        .is_ok_and(|output| output.is_success())
}

/// The fingerprints of the keys that signed content well, upper case; `None` when the
/// signature is bad, its key is unknown or there is no `gpg`.
///
/// Without a detached signature the content carries its own.
pub(crate) fn verify(
    content: &[u8],
    detached: Option<&[u8]>,
    home: Option<&str>,
    keyring: Option<&str>,
    system: &dyn Observe,
) -> Option<Vec<String>> {
    let mut options = vec![
        "--batch".to_owned(),
        "--status-fd".to_owned(),
        "1".to_owned(),
    ];
    let home = match home {
        Some(home) => Some(home.to_owned()),
        // Salt keeps its own keys for this.
        None => Some("/etc/salt/gpgkeys".to_owned()).filter(|home| system.is_dir(Path::new(home))),
    };
    if let Some(home) = home {
        options.extend(["--homedir".to_owned(), home]);
    }
    if let Some(keyring) = keyring {
        options.extend([
            "--no-default-keyring".to_owned(),
            "--keyring".to_owned(),
            keyring.to_owned(),
        ]);
    }
    let command = match detached {
        None => Command::new("gpg")
            .args(options)
            .arg("--verify")
            .stdin(content),
        // Both as one input: the signature's length in the first line tells them apart.
        Some(signature) => {
            let script = "d=$(mktemp -d) || exit 2; trap 'rm -rf \"$d\"' EXIT; \
                          n=$1; shift; head -c \"$n\" > \"$d/sig\"; cat > \"$d/data\"; \
                          gpg \"$@\" --verify \"$d/sig\" \"$d/data\"";
            let mut input = signature.to_vec();
            input.extend_from_slice(content);
            Command::new("/bin/sh")
                .args(["-c", script, "sh"])
                .arg(signature.len().to_string())
                .args(options)
                .stdin(input)
        }
    };
    let output = system.query(&command).ok()?;
    let said = output.stdout_text();
    let status = |line: &str, word: &str| line.split_whitespace().nth(1) == Some(word);
    let bad = ["BADSIG", "ERRSIG", "EXPSIG", "REVKEYSIG", "EXPKEYSIG"];
    if said
        .lines()
        .any(|line| bad.iter().any(|word| status(line, word)))
    {
        return None;
    }
    let keys: Vec<String> = said
        .lines()
        .filter(|line| line.starts_with("[GNUPG:]") && status(line, "VALIDSIG"))
        .flat_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // The key that signed, and the one it belongs to.
            [words.get(2).copied(), words.last().copied()]
        })
        .flatten()
        .map(str::to_uppercase)
        .collect();
    (!keys.is_empty()).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{FakeSystem, Output};

    #[test]
    fn one_of_any_and_every_one_of_all_has_to_have_signed() {
        let list = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let judge =
            |any: &[&str], all: &[&str]| is_enough(&list(any), &list(all), |key| key == "me");

        assert!(judge(&[], &[]));
        assert!(judge(&["other", "me"], &[]));
        assert!(judge(&["me"], &["me"]));
        assert!(!judge(&["other"], &[]));
        assert!(!judge(&["other"], &["me"]));
        assert!(!judge(&["me"], &["me", "other"]));
    }

    #[test]
    fn only_a_good_signature_has_keys() {
        let says =
            |text: &'static str| FakeSystem::new().command("gpg", move |_| Output::success(text));
        let good = says("[GNUPG:] GOODSIG AB me\n[GNUPG:] VALIDSIG 00ab 2026 0 4 0 1 8 00 00cd\n");
        assert_eq!(
            verify(b"x", None, None, None, &good),
            Some(vec!["00AB".to_owned(), "00CD".to_owned()])
        );
        let bad = says("[GNUPG:] BADSIG AB me\n");
        assert_eq!(verify(b"x", None, None, None, &bad), None);
        assert_eq!(verify(b"x", None, None, None, &FakeSystem::new()), None);
    }
}
