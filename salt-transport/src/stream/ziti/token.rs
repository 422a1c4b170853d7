//! One-time enrolment tokens: a signed JWT that names the controller and holds a secret.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::edge::printable;
use super::error::ZitiError;
use super::url::Origin;

/// The longest token that is read.
const MAX: usize = 16 * 1024;

/// A one-time token, as an overlay's operator hands it out (a `.jwt` file).
///
/// Nothing in it is believed before its signature was compared with the certificate of the server that it names.
pub struct EnrolmentToken {
    pub(crate) issuer: Origin,
    pub(crate) issuer_url: String,
    pub(crate) subject: String,
    pub(crate) secret: Zeroizing<String>,
    pub(crate) controllers: Vec<String>,
    expires: u64,
    algorithm: &'static dyn VerificationAlgorithm,
    signed: String,
    signature: Vec<u8>,
}

impl EnrolmentToken {
    /// Reads a token without believing it.
    ///
    /// # Errors
    ///
    /// It is no JWT, of another algorithm than RS256, ES256, ES384 and ES512, not for one-time enrolment, or
    /// lacks something.
    pub fn parse(token: &str) -> Result<Self, ZitiError> {
        let bad = |what: &str| ZitiError::Token(what.to_owned());
        let token = token.trim();
        if token.len() > MAX {
            return Err(bad("too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| bad("no JWT"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| bad("no JWT"))?;
        let decode = |part: &str| {
            let part = part.trim_end_matches('=');
            URL_SAFE_NO_PAD.decode(part).map_err(|_| bad("no JWT"))
        };
        let json = |part: &str| -> Result<Value, ZitiError> {
            let bytes = Zeroizing::new(decode(part)?);
            serde_json::from_slice(&bytes).map_err(|_| bad("no JWT"))
        };
        let (header, claims) = (json(header)?, json(claims)?);
        let algorithm: &'static dyn VerificationAlgorithm =
            match header.get("alg").and_then(Value::as_str) {
                Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
                Some("ES256") => &ECDSA_P256_SHA256_FIXED,
                Some("ES384") => &ECDSA_P384_SHA384_FIXED,
                Some("ES512") => &ECDSA_P521_SHA512_FIXED,
                _ => {
                    return Err(bad(
                        "signed by another algorithm than RS256 or ES256 to ES512",
                    ));
                }
            };
        let text = |name: &str| {
            let value = claims.get(name).and_then(Value::as_str);
            value.ok_or_else(|| ZitiError::Token(format!("it has no `{name}`")))
        };
        match text("em")? {
            "ott" => {}
            other => {
                let other = printable(other);
                return Err(ZitiError::Token(format!(
                    "for the method `{other}`, not `ott`"
                )));
            }
        }
        let issuer_url = text("iss")?.trim_end_matches('/').to_owned();
        let (issuer, _) = Origin::https(&issuer_url).ok_or_else(|| bad("`iss` is no address"))?;
        let subject = text("sub")?;
        if subject.is_empty() || subject.len() > 64 || subject.chars().any(char::is_control) {
            return Err(bad("`sub` is no name"));
        }
        let expires = claims.get("exp").and_then(Value::as_u64);
        let controllers = claims.get("ctrls").and_then(Value::as_array);
        let controllers = controllers.into_iter().flatten().filter_map(Value::as_str);
        Ok(Self {
            issuer,
            subject: subject.to_owned(),
            secret: Zeroizing::new(text("jti")?.to_owned()),
            controllers: controllers
                .filter(|url| Origin::https(url).is_some())
                .take(16)
                .map(str::to_owned)
                .collect(),
            expires: expires.ok_or_else(|| bad("it has no `exp`"))?,
            algorithm,
            signed: signed.to_owned(),
            signature: decode(signature)?,
            issuer_url,
        })
    }

    /// Whether the key of this certificate signed the token, and its time is not over.
    pub(crate) fn verify(&self, certificate: &[u8], unix_time: u64) -> Result<(), ZitiError> {
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|_| ZitiError::TokenSignature)?;
        let key = &certificate.public_key().subject_public_key.data;
        UnparsedPublicKey::new(self.algorithm, key)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| ZitiError::TokenSignature)?;
        if unix_time >= self.expires {
            return Err(ZitiError::TokenExpired);
        }
        Ok(())
    }
}

/// Nothing of the secret.
impl std::fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrolmentToken")
            .field("issuer", &self.issuer_url)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, RSA_PKCS1_SHA256,
        RsaKeyPair,
    };
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn unsigned(algorithm: &str, claims: &Value) -> String {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!(
            "{}.{}",
            encode(&json!({"alg": algorithm, "typ": "JWT"})),
            encode(claims)
        )
    }

    fn claims() -> Value {
        json!({
            "iss": "https://127.0.0.1:1280", "sub": "kJ3.x", "em": "ott", "jti": "one-time-secret",
            "exp": NOW + 60, "ctrls": ["https://other:1", "nonsense"],
        })
    }

    fn ecdsa(
        algorithm: &str,
        rcgen: &'static rcgen::SignatureAlgorithm,
        signing: &'static EcdsaSigningAlgorithm,
        claims: &Value,
    ) -> (String, Vec<u8>) {
        let key = rcgen::KeyPair::generate_for(rcgen).unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let unsigned = unsigned(algorithm, claims);
        let key = EcdsaKeyPair::from_pkcs8(signing, &key.serialize_der()).unwrap();
        let signature = key.sign(&SystemRandom::new(), unsigned.as_bytes()).unwrap();
        let token = format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature));
        (token, certificate.der().to_vec())
    }

    fn es256(claims: &Value) -> (String, Vec<u8>) {
        ecdsa(
            "ES256",
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            claims,
        )
    }

    #[test]
    fn tokens_of_all_algorithms_are_verified() {
        let tokens = [
            es256(&claims()),
            ecdsa(
                "ES384",
                &rcgen::PKCS_ECDSA_P384_SHA384,
                &ECDSA_P384_SHA384_FIXED_SIGNING,
                &claims(),
            ),
            ecdsa(
                "ES512",
                &rcgen::PKCS_ECDSA_P521_SHA512,
                &ECDSA_P521_SHA512_FIXED_SIGNING,
                &claims(),
            ),
        ];
        for (token, certificate) in tokens {
            let token = EnrolmentToken::parse(&token).unwrap();
            token.verify(&certificate, NOW).unwrap();
            assert_eq!(token.subject, "kJ3.x");
            assert_eq!(token.controllers, ["https://other:1"]);
        }
    }

    #[test]
    fn tokens_by_rsa_are_verified() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let unsigned = unsigned("RS256", &claims());
        let key = RsaKeyPair::from_pkcs8(&key.serialize_der()).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            unsigned.as_bytes(),
            &mut signature,
        )
        .unwrap();
        let token = format!("{unsigned}.{}\n", URL_SAFE_NO_PAD.encode(signature));
        let token = EnrolmentToken::parse(&token).unwrap();
        token.verify(certificate.der(), NOW).unwrap();
    }

    #[test]
    fn another_servers_token_is_refused() {
        let (token, _) = es256(&claims());
        let (_, other) = es256(&claims());
        let token = EnrolmentToken::parse(&token).unwrap();
        for certificate in [&other[..], b"no certificate"] {
            assert!(matches!(
                token.verify(certificate, NOW),
                Err(ZitiError::TokenSignature)
            ));
        }
    }

    #[test]
    fn changed_claims_do_not_verify() {
        let (token, certificate) = es256(&claims());
        let mut changed = claims();
        changed["sub"] = "somebody".into();
        let signature = token.rsplit_once('.').unwrap().1;
        let forged = format!("{}.{signature}", unsigned("ES256", &changed));
        let forged = EnrolmentToken::parse(&forged).unwrap();
        assert!(matches!(
            forged.verify(&certificate, NOW),
            Err(ZitiError::TokenSignature)
        ));
    }

    #[test]
    fn an_expired_token_is_refused() {
        let (token, certificate) = es256(&claims());
        let token = EnrolmentToken::parse(&token).unwrap();
        let late = token.verify(&certificate, NOW + 60);
        assert!(matches!(late, Err(ZitiError::TokenExpired)));
    }

    #[test]
    fn what_is_no_token_for_us_is_refused() {
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            format!("{}.AAAA", unsigned("ES256", &claims))
        };
        let tokens = [
            String::new(),
            "a.b".to_owned(),
            "a.b.c".to_owned(),
            format!("{}.AAAA", unsigned("none", &claims())),
            format!("{}.AAAA", unsigned("HS256", &claims())),
            with("em", "ca".into()),
            with("iss", "http://plain".into()),
            with("sub", 7.into()),
            with("sub", "a\nb".into()),
            with("jti", Value::Null),
            with("exp", "soon".into()),
            "x".repeat(MAX + 1),
        ];
        for token in tokens {
            let refused = EnrolmentToken::parse(&token);
            assert!(matches!(refused, Err(ZitiError::Token(_))), "{token}");
        }
    }

    // N-06
    #[test]
    fn the_secret_is_not_shown() {
        let (token, _) = es256(&claims());
        let shown = format!("{:?}", EnrolmentToken::parse(&token).unwrap());
        assert!(!shown.contains("one-time-secret") && shown.contains("kJ3.x"));
    }
}
