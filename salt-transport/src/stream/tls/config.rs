//! Certificates, keys, and who is believed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No certificate in what should hold some.
    #[error("no certificate in PEM in {0}")]
    NoCertificate(String),
    /// No private key in what should hold one.
    #[error("no private key in PEM in {0}")]
    NoKey(String),
    /// A certificate or key that cannot be used, or they do not belong together.
    #[error("certificate or key cannot be used")]
    Unusable(#[source] rustls::Error),
    /// The authorities cannot be used to check anybody.
    #[error("authorities cannot be used: {0}")]
    Authorities(String),
}

/// A certificate with the authorities in between, and its private key.
///
/// Never shown: [`Debug`](std::fmt::Debug) tells nothing of the key.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for TlsIdentity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Reads PEM: certificates, the own one first, and a key in PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    ///
    /// There are none in it.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::named(certificates, "the certificate", key, "the key")
    }

    /// Reads two files in PEM; both may be the same.
    ///
    /// # Errors
    ///
    /// They cannot be read, or hold no certificate or no key.
    pub fn read(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let (certificates, key) = (certificates.as_ref(), key.as_ref());
        Self::named(
            &read(certificates)?,
            &certificates.display().to_string(),
            &read(key)?,
            &key.display().to_string(),
        )
    }

    fn named(
        certificates: &[u8],
        certificates_of: &str,
        key: &[u8],
        key_of: &str,
    ) -> Result<Self, TlsError> {
        let chain = certificates_in(certificates)
            .ok_or_else(|| TlsError::NoCertificate(certificates_of.to_owned()))?;
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey(key_of.to_owned()))?;
        Ok(Self { chain, key })
    }

    /// The own certificate, as DER.
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().map_or(&[], |leaf| leaf.as_ref())
    }
}

/// The certificate authorities whose word is taken: the operator's own, never the public web's.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    ///
    /// There is none in it, or one is no certificate.
    pub fn from_pem(certificates: &[u8]) -> Result<Self, TlsError> {
        Self::named(certificates, "the authorities")
    }

    /// Reads a file of certificates in PEM.
    ///
    /// # Errors
    ///
    /// It cannot be read, holds none, or one is no certificate.
    pub fn read(certificates: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = certificates.as_ref();
        Self::named(&read(path)?, &path.display().to_string())
    }

    fn named(certificates: &[u8], of: &str) -> Result<Self, TlsError> {
        let certificates =
            certificates_in(certificates).ok_or_else(|| TlsError::NoCertificate(of.to_owned()))?;
        Self::of(certificates)
    }

    /// Of certificates as DER.
    pub(crate) fn of(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).map_err(TlsError::Unusable)?;
        }
        if roots.is_empty() {
            return Err(TlsError::Authorities("there is none".to_owned()));
        }
        Ok(Self(Arc::new(roots)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn certificates_in(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates.ok().filter(|found| !found.is_empty())
}

const ONLY_TLS13: &[&SupportedProtocolVersion] = &[&version::TLS13];
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// Who this side is and whom it believes. The same for both sides of a stream.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    identity: TlsIdentity,
    authorities: Authorities,
    server_name: Option<String>,
    protocols: Vec<Vec<u8>>,
    tls12: bool,
}

impl TlsConfig {
    /// TLS 1.3, with certificates both ways.
    pub fn new(identity: TlsIdentity, authorities: Authorities) -> Self {
        Self {
            identity,
            authorities,
            server_name: None,
            protocols: Vec::new(),
            tls12: false,
        }
    }

    /// The name that the master's certificate has to carry. Default the host that is dialed.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Insists on an application protocol (ALPN, RFC 7301). Default none.
    #[must_use]
    pub fn protocol(mut self, name: &[u8]) -> Self {
        self.protocols.push(name.to_vec());
        self
    }

    /// Takes TLS 1.2 too, for peers that are stock Salt on an old OpenSSL.
    #[must_use]
    pub fn danger_allow_tls12(mut self) -> Self {
        self.tls12 = true;
        self
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        if self.tls12 { BOTH } else { ONLY_TLS13 }
    }

    pub(crate) fn client(&self) -> Result<ClientConfig, TlsError> {
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(self.versions())
                .map_err(TlsError::Unusable)?
                .with_root_certificates(Arc::clone(&self.authorities.0))
                .with_client_auth_cert(self.identity.chain.clone(), self.identity.key.clone_key())
                .map_err(TlsError::Unusable)?;
        config.alpn_protocols.clone_from(&self.protocols);
        // Every connection is checked in full: a resumed one would outlive its certificate.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    pub(crate) fn server(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&self.authorities.0),
            Arc::clone(&provider),
        )
        .build()
        .map_err(|error| TlsError::Authorities(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions())
            .map_err(TlsError::Unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.identity.chain.clone(), self.identity.key.clone_key())
            .map_err(TlsError::Unusable)?;
        config.alpn_protocols.clone_from(&self.protocols);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}
