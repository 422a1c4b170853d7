//! Becoming a part of an overlay, by a one-time token.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use zeroize::Zeroizing;

use super::controller::Request;
use super::error::ZitiError;
use super::http;
use super::identity::{
    Identity, certificates_in_pkcs7, enrolled, new_file, pem_of, signing_request,
};
use super::token::EnrolmentToken;
use super::url::encoded;
use crate::{clock, random};

impl Identity {
    /// Enrols with a one-time token, and keeps the new identity in a file that only its owner can read.
    ///
    /// The token is spent then. The file is there before this succeeds; that it can be written is tried before
    /// the token is sent. A file that is there already is not replaced.
    ///
    /// # Errors
    ///
    /// The token is no good, the server is not the one that made it, it refuses, or the file cannot be written.
    pub async fn enrol(token: &str, path: impl AsRef<Path>) -> Result<Self, ZitiError> {
        let path = path.as_ref();
        let token = EnrolmentToken::parse(token)?;
        let authorities = pem_of(&authorities(&token).await?);
        let failed = |_| ZitiError::Token("no key can be made".to_owned());
        let key = KeyPair::generate().map_err(failed)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        let request = signing_request(&token.subject, &key)?;

        let file = NewFile::create(path)?;
        let (certificate, more) = send(&token, &authorities, request).await?;
        let authorities = more.unwrap_or(authorities);
        let mut controllers = vec![token.issuer_url.clone()];
        controllers.extend(token.controllers.iter().cloned());
        controllers.dedup();
        let json = new_file(&controllers, &certificate, &key_pem, &authorities);
        file.keep(json.as_bytes())?;
        Self::read(path)
    }
}

/// The authorities of the overlay, from the server that the token's signature proves to be meant.
async fn authorities(token: &EnrolmentToken) -> Result<Vec<CertificateDer<'static>>, ZitiError> {
    let mut stream = http::connect(&token.issuer, &Arc::new(by_token_alone()?))
        .await
        .map_err(ZitiError::Controller)?;
    let certificate = http::certificate(&stream).ok_or(ZitiError::TokenSignature)?;
    token.verify(&certificate, clock::unix_time())?;
    let request = Request::get("/.well-known/est/cacerts");
    let answer = http::exchange(&mut stream, &token.issuer, &request)
        .await
        .map_err(ZitiError::Controller)?;
    let call = "authorities";
    if answer.status != 200 {
        return Err(answer.refusal(call));
    }
    certificates_in_pkcs7(&answer.body).ok_or_else(|| ZitiError::answer(call, "no certificates"))
}

/// Sends the request for a certificate. The token is spent after that.
async fn send(
    token: &EnrolmentToken,
    authorities: &str,
    request: String,
) -> Result<(String, Option<String>), ZitiError> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pki_types::pem::PemObject::pem_slice_iter(authorities.as_bytes()) {
        let unusable = |_| ZitiError::answer("authorities", "broken certificates");
        roots
            .add(certificate.map_err(unusable)?)
            .map_err(|_| ZitiError::answer("authorities", "certificates that cannot be used"))?;
    }
    let config = builder()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let path = format!(
        "/edge/client/v1/enroll?method=ott&token={}",
        encoded(&token.secret)
    );
    let request = Request::post(path, "text/plain", request);
    let answer = http::call(&token.issuer, &Arc::new(config), &request)
        .await
        .map_err(ZitiError::Controller)?;
    let call = "enrolment";
    if !(200..300).contains(&answer.status) {
        return Err(answer.refusal(call));
    }
    enrolled(&answer.body).ok_or_else(|| ZitiError::answer(call, "no certificate"))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, ZitiError> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ZitiError::Tls(crate::stream::TlsError::Unusable(error)))
}

/// TLS whose server is checked by the token's signature afterwards, and by nothing else.
fn by_token_alone() -> Result<ClientConfig, ZitiError> {
    let verifier = DeferredToToken {
        algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
    };
    Ok(builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Checks that the server has the key of its certificate; whose that is, the token says.
///
/// Only for the one connection before an enrolment, over which nothing secret goes.
#[derive(Debug)]
struct DeferredToToken {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for DeferredToToken {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A file beside the one that is wanted, until it is whole.
struct NewFile {
    file: Option<File>,
    beside: PathBuf,
    path: PathBuf,
}

impl NewFile {
    fn create(path: &Path) -> Result<Self, ZitiError> {
        let failed = |source| ZitiError::Write {
            path: path.to_owned(),
            source,
        };
        if path.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.new", random::u64()));
        let beside = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&beside).map_err(failed)?;
        Ok(Self {
            file: Some(file),
            beside,
            path: path.to_owned(),
        })
    }

    fn keep(mut self, content: &[u8]) -> Result<(), ZitiError> {
        let written = (|| {
            if let Some(mut file) = self.file.take() {
                file.write_all(content)?;
                file.sync_all()?;
            }
            // Unlike a rename, a link replaces nothing that came meanwhile.
            std::fs::hard_link(&self.beside, &self.path)
        })();
        written.map_err(|source| ZitiError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It holds a key; what is wanted has its own name by now.
        drop(std::fs::remove_file(&self.beside));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_file_is_the_owners_alone_and_replaces_nothing() {
        let directory = std::env::temp_dir().join(format!("salt-enrol-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("ziti.json");

        drop(NewFile::create(&path).unwrap());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);

        NewFile::create(&path).unwrap().keep(b"secret").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        let names = std::fs::read_dir(&directory).unwrap().count();
        let content = std::fs::read(&path).unwrap();
        let again = NewFile::create(&path);
        std::fs::remove_dir_all(&directory).unwrap();

        assert_eq!(
            (mode & 0o777, names, content.as_slice()),
            (0o600, 1, &b"secret"[..])
        );
        assert!(matches!(again, Err(ZitiError::Write { .. })));
    }
}
