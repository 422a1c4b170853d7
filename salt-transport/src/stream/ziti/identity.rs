//! Who this process is on an overlay: the identity file, and how it is got by enrolment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use zeroize::Zeroizing;

use super::error::ZitiError;
use super::url::Origin;
use crate::stream::tls::name_in;
use crate::stream::{Authorities, TlsConfig, TlsIdentity};

/// The largest identity file.
const MAX: u64 = 1 << 20;
/// How many addresses of controllers are tried.
const MAX_CONTROLLERS: usize = 16;

/// An identity file, taken apart: nothing was read that it refers to.
pub struct IdentityFile {
    controllers: Vec<Origin>,
    certificate: Source,
    key: Source,
    authorities: Source,
}

/// A piece of PEM, or the file with it.
enum Source {
    Pem(Zeroizing<String>),
    File(PathBuf),
}

impl IdentityFile {
    /// Reads the JSON of an identity file: `ztAPI`, perhaps `ztAPIs`, and `id` with `cert`, `key` and `ca`.
    ///
    /// # Errors
    ///
    /// It is none, or refers to keys in hardware.
    pub fn parse(json: &[u8]) -> Result<Self, ZitiError> {
        let bad = |what: &str| ZitiError::Identity(what.to_owned());
        let file: Value = serde_json::from_slice(json).map_err(|_| bad("no JSON"))?;
        let mut controllers = Vec::new();
        let more = file.get("ztAPIs").and_then(Value::as_array);
        let urls = file
            .get("ztAPI")
            .into_iter()
            .chain(more.into_iter().flatten());
        for url in urls.filter_map(Value::as_str).take(MAX_CONTROLLERS) {
            let (origin, _) =
                Origin::https(url).ok_or_else(|| bad("a controller's address is not https"))?;
            if !controllers.contains(&origin) {
                controllers.push(origin);
            }
        }
        if controllers.is_empty() {
            return Err(bad("no controller (`ztAPI`)"));
        }
        let source = |name: &str| {
            let text = file
                .get("id")
                .and_then(|id| id.get(name))
                .and_then(Value::as_str);
            let text = text.filter(|text| !text.is_empty());
            let text = text.ok_or_else(|| ZitiError::Identity(format!("no `id.{name}`")))?;
            Source::of(name, text)
        };
        Ok(Self {
            controllers,
            certificate: source("cert")?,
            key: source("key")?,
            authorities: source("ca")?,
        })
    }
}

impl Source {
    fn of(name: &str, text: &str) -> Result<Self, ZitiError> {
        let pem = |text: &str| Self::Pem(Zeroizing::new(text.to_owned()));
        if let Some(text) = text.strip_prefix("pem:") {
            return Ok(pem(text));
        }
        if text.trim_start().starts_with("-----BEGIN ") {
            return Ok(pem(text));
        }
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::File(path.into()));
        }
        // A scheme, unless it is a path with a colon in it.
        match text.split_once(':') {
            Some((scheme, _)) if !scheme.contains(['/', '.', '\\']) => Err(ZitiError::Unsupported(
                format!("`id.{name}` of another kind than PEM or a file"),
            )),
            _ => Ok(Self::File(text.into())),
        }
    }

    fn load(&self, directory: &Path) -> Result<Zeroizing<Vec<u8>>, ZitiError> {
        match self {
            Self::Pem(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
            Self::File(path) => read(&directory.join(path)),
        }
    }
}

/// Nothing of the key.
impl std::fmt::Debug for IdentityFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityFile")
            .field("controllers", &self.controllers)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ZitiError> {
    let failed = |source| ZitiError::Read {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX {
        return Err(ZitiError::Identity("a file too large".to_owned()));
    }
    Ok(Zeroizing::new(std::fs::read(path).map_err(failed)?))
}

/// Who this process is on an overlay, and where its controllers are.
///
/// Never shown: [`Debug`](std::fmt::Debug) tells nothing of the key.
#[derive(Clone)]
pub struct Identity {
    pub(crate) controllers: Vec<Origin>,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) router_tls: Arc<rustls::ClientConfig>,
    /// The end of the certificate's time, in unix seconds.
    pub(crate) expires: Option<i64>,
    /// The name in the certificate.
    pub(crate) name: Option<String>,
}

impl Identity {
    /// Reads an identity file, as every OpenZiti enroller writes it.
    ///
    /// # Errors
    ///
    /// It cannot be read, is none, or its certificate and key cannot be used.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ZitiError> {
        let path = path.as_ref();
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        Self::from_file(&IdentityFile::parse(&read(path)?)?, directory)
    }

    /// The same of a file's content; `directory` is where relative names in it begin.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn from_file(file: &IdentityFile, directory: &Path) -> Result<Self, ZitiError> {
        let certificate = file.certificate.load(directory)?;
        let identity = TlsIdentity::from_pem(&certificate, &file.key.load(directory)?)?;
        let authorities = Authorities::from_pem(&file.authorities.load(directory)?)?;
        let expires = x509_parser::parse_x509_certificate(identity.certificate())
            .ok()
            .map(|(_, certificate)| certificate.validity().not_after.timestamp());
        let name = name_in(identity.certificate());
        // Older controllers and routers end at 1.2.
        let config = TlsConfig::new(identity, authorities).danger_allow_tls12();
        let tls = Arc::new(config.client()?);
        let router_tls = Arc::new(config.protocol(b"ziti-edge").client()?);
        Ok(Self {
            controllers: file.controllers.clone(),
            tls,
            router_tls,
            expires,
            name,
        })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("controllers", &self.controllers)
            .finish_non_exhaustive()
    }
}

/// A request for a certificate for this name, in PEM.
pub(crate) fn signing_request(subject: &str, key: &KeyPair) -> Result<String, ZitiError> {
    let failed = |_| ZitiError::Token("no certificate can be asked for its name".to_owned());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    let request = params.serialize_request(key).map_err(failed)?;
    request.pem().map_err(failed)
}

/// The JSON of a new identity file.
pub(crate) fn new_file(
    controllers: &[String],
    certificate: &str,
    key: &str,
    authorities: &str,
) -> Zeroizing<String> {
    let file = json!({
        "ztAPI": controllers.first(),
        "ztAPIs": controllers,
        "id": {
            "cert": format!("pem:{certificate}"),
            "key": format!("pem:{key}"),
            "ca": format!("pem:{authorities}"),
        },
    });
    Zeroizing::new(format!("{file:#}\n"))
}

/// The certificates in a certificates-only PKCS#7, given in base64 with or without line breaks (RFC 7030).
pub(crate) fn certificates_in_pkcs7(base64: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let text: Vec<u8> = base64
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let der = STANDARD.decode(text).ok()?;
    // ContentInfo { contentType, [0] SignedData { version, digests, content, [0] certificates, … } }
    let content_info = inside(&der, Tag::Sequence)?;
    let (rest, _content_type) = Any::from_der(content_info).ok()?;
    let content = inside(rest, Tag(0))?;
    let mut fields = inside(content, Tag::Sequence)?;
    while !fields.is_empty() {
        let (rest, field) = Any::from_der(fields).ok()?;
        if field.header.is_contextspecific() && field.header.tag() == Tag(0) {
            return certificates(field.data);
        }
        fields = rest;
    }
    None
}

fn inside(der: &[u8], tag: Tag) -> Option<&[u8]> {
    let (_, any) = Any::from_der(der).ok()?;
    (any.header.tag() == tag).then_some(any.data)
}

fn certificates(mut der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (rest, _) = Any::from_der(der).ok()?;
        let length = der.len().checked_sub(rest.len())?;
        found.push(CertificateDer::from(der.get(..length)?.to_vec()));
        der = rest;
    }
    (!found.is_empty()).then_some(found)
}

/// Certificates as PEM.
pub(crate) fn pem_of(certificates: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at_checked(64).unwrap_or((rest, ""));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// The certificates in what an enrolment was answered with: `data.cert` and `data.ca`, or plain PEM.
pub(crate) fn enrolled(body: &[u8]) -> Option<(String, Option<String>)> {
    let has_certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).is_ok();
    let (certificate, authorities) = match serde_json::from_slice::<Value>(body) {
        Ok(json) => {
            let data = json.get("data")?;
            let text = |name: &str| Some(data.get(name)?.as_str()?.to_owned());
            (text("cert")?, text("ca"))
        }
        Err(_) => (String::from_utf8(body.to_vec()).ok()?, None),
    };
    let authorities = authorities.filter(|pem| has_certificate(pem));
    has_certificate(&certificate).then_some((certificate, authorities))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn self_signed() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn file(cert: &str, key: &str, ca: &str) -> Vec<u8> {
        let json = json!({"ztAPI": "https://c:1280", "id": {"cert": cert, "key": key, "ca": ca}});
        json.to_string().into_bytes()
    }

    #[test]
    fn all_ways_to_name_a_certificate_are_read() {
        let (certificate, key) = self_signed();
        let directory = std::env::temp_dir().join(format!("salt-ziti-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("ca.pem");
        std::fs::write(&path, &certificate).unwrap();
        let url = format!("file://{}", path.display());
        let pem = format!("pem:{certificate}");
        let results: Vec<_> = ["ca.pem", path.to_str().unwrap(), &url, &pem, &certificate]
            .into_iter()
            .map(|ca| {
                let file = IdentityFile::parse(&file(&certificate, &key, ca)).unwrap();
                Identity::from_file(&file, &directory).map(drop)
            })
            .collect();
        std::fs::remove_dir_all(&directory).unwrap();
        for result in results {
            result.unwrap();
        }
    }

    #[test]
    fn what_is_no_identity_file_is_refused() {
        let (certificate, _) = self_signed();
        let elsewhere = IdentityFile::parse(&file(&certificate, "pkcs11:token=x", &certificate));
        assert!(matches!(elsewhere, Err(ZitiError::Unsupported(_))));
        for json in [
            &b""[..],
            b"{}",
            br#"{"ztAPI": "http://plain", "id": {"cert": "a", "key": "b", "ca": "c"}}"#,
            br#"{"ztAPI": "https://c", "id": {"cert": "a", "key": "b"}}"#,
            br#"{"ztAPI": "https://c", "id": []}"#,
        ] {
            let refused = IdentityFile::parse(json);
            assert!(matches!(refused, Err(ZitiError::Identity(_))), "{json:?}");
        }
        let other = file(&certificate, &self_signed().1, &certificate);
        let other = IdentityFile::parse(&other).unwrap();
        let refused = Identity::from_file(&other, Path::new(""));
        assert!(matches!(refused, Err(ZitiError::Tls(_))), "another's key");
    }

    #[test]
    fn controllers_are_listed_once() {
        let json = br#"{"ztAPI": "https://a:1", "ztAPIs": ["https://a:1", "https://b:2/edge"],
            "id": {"cert": "x", "key": "x", "ca": "x"}}"#;
        let file = IdentityFile::parse(json).unwrap();
        let hosts: Vec<_> = file.controllers.iter().map(Origin::to_string).collect();
        assert_eq!(hosts, ["a:1", "b:2"]);
    }

    #[test]
    fn a_new_identity_file_can_be_read() {
        let (certificate, key) = self_signed();
        let controllers = ["https://c:1".to_owned()];
        let json = new_file(&controllers, &certificate, &key, &certificate);
        let file = IdentityFile::parse(json.as_bytes()).unwrap();
        let identity = Identity::from_file(&file, Path::new("")).unwrap();
        assert!(identity.expires.is_some());
        // N-06
        assert!(!format!("{file:?} {identity:?}").contains("BEGIN"));
    }

    #[test]
    fn certificates_come_out_of_pkcs7() {
        // Made with openssl crl2pkcs7 -nocrl of two certificates.
        let pem = include_str!("../../../tests/vectors/ziti/cacerts.p7.pem");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let certificates = certificates_in_pkcs7(base64.as_bytes()).unwrap();
        assert_eq!(certificates.len(), 2);
        assert!(Authorities::from_pem(pem_of(&certificates).as_bytes()).is_ok());
        let broken = [&b""[..], b"!", b"MAA=", b"MIIB", &base64.as_bytes()[..400]];
        for broken in broken {
            assert_eq!(certificates_in_pkcs7(broken), None);
        }
    }

    #[test]
    fn answers_to_an_enrolment_are_read() {
        let (certificate, _) = self_signed();
        let json = json!({"data": {"cert": certificate, "ca": certificate}}).to_string();
        let read = enrolled(json.as_bytes());
        assert_eq!(read, Some((certificate.clone(), Some(certificate.clone()))));
        let read = enrolled(certificate.as_bytes());
        assert_eq!(read, Some((certificate, None)));
        assert_eq!(enrolled(b"{\"data\": {\"cert\": \"x\"}}"), None);
        assert_eq!(enrolled(b"welcome"), None);
    }
}
