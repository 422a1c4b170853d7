//! The overlay's authority, its servers' certificates, and its signed tokens.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SignatureAlgorithm, SigningKey as _,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    /// RSA: some clients take no other token.
    server_key: KeyPair,
    server: CertificateDer<'static>,
}

/// Somebody else's key.
struct Foreign {
    key: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl PublicKeyData for Foreign {
    fn der_bytes(&self) -> &[u8] {
        &self.key
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl Pki {
    /// For servers at this address.
    pub(crate) fn new(host: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params
            .distinguished_name
            .push(DnType::CommonName, "Test overlay");
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let names = [host.to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let server = params
            .signed_by(&server_key, &issuer)
            .unwrap()
            .der()
            .clone();
        Self {
            issuer,
            ca,
            server_key,
            server,
        }
    }

    pub(crate) fn ca_pem(&self) -> String {
        pem(&self.ca)
    }

    fn params(id: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, id);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params
    }

    pub(crate) fn client(&self, id: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = Self::params(id).signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A certificate for whoever asks in PEM, in the name `id`.
    pub(crate) fn sign(&self, request: &[u8], id: &str) -> Option<String> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(request).ok()?;
        let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
        let info = &request.certification_request_info;
        assert!(
            info.subject.to_string().contains(id),
            "the token's name is asked for"
        );
        let key = info.subject_pki.subject_public_key.data.to_vec();
        let algorithm = match info.subject_pki.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.1" => &rcgen::PKCS_RSA_SHA256,
            _ if key.len() == 97 => &rcgen::PKCS_ECDSA_P384_SHA384,
            _ => &rcgen::PKCS_ECDSA_P256_SHA256,
        };
        let key = Foreign { key, algorithm };
        Some(Self::params(id).signed_by(&key, &self.issuer).ok()?.pem())
    }

    pub(crate) fn jwt(&self, claims: &serde_json::Value) -> String {
        let encode = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = serde_json::json!({"alg": "RS256", "typ": "JWT"});
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.server_key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The authority as a certificates-only PKCS#7, in base64 with line breaks.
    pub(crate) fn pkcs7(&self) -> String {
        let wrap = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82][..], &length, content].concat()
        };
        let signed_data = [
            &[2, 1, 1, 0x31, 0][..],
            &[0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1],
            &wrap(0xa0, &self.ca),
            &[0x31, 0],
        ]
        .concat();
        let content_info = [
            &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2][..],
            &wrap(0xa0, &wrap(0x30, &signed_data)),
        ]
        .concat();
        lines(&STANDARD.encode(wrap(0x30, &content_info)))
    }

    /// The servers' side of TLS. Controllers take clients without a certificate: to enrol.
    pub(crate) fn server(&self, alpn: Option<&[u8]>) -> Arc<rustls::ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = match alpn {
            Some(_) => verifier,
            None => verifier.allow_unauthenticated(),
        };
        let key = PrivateKeyDer::from_pem_slice(self.server_key.serialize_pem().as_bytes());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![self.server.clone(), self.ca.clone()], key.unwrap())
            .unwrap();
        config.alpn_protocols.extend(alpn.map(<[u8]>::to_vec));
        Arc::new(config)
    }
}

/// The common name of the certificate that a client showed.
pub(crate) fn common_name(session: &rustls::ServerConnection) -> Option<String> {
    let certificate = session.peer_certificates()?.first()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate
        .subject()
        .iter_common_name()
        .next()?
        .as_str()
        .ok()?;
    Some(name.to_owned())
}

fn lines(text: &str) -> String {
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    lines.join("\n") + "\n"
}

fn pem(der: &[u8]) -> String {
    let text = lines(&STANDARD.encode(der));
    format!("-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
}
