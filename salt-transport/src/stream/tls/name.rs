//! The name in a certificate that has been verified.

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Longer names are none.
const MAX: usize = 255;

/// The first DNS name among the subject's alternative names, else its common name.
pub(crate) fn name_in(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let dns = alternatives.and_then(|names| {
        names
            .value
            .general_names
            .iter()
            .find_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            })
    });
    let common = || {
        let mut names = certificate.subject().iter_common_name();
        names.next()?.as_str().ok()
    };
    let name = dns.or_else(common)?;
    let is_plain = !name.is_empty() && name.len() <= MAX && !name.contains(char::is_control);
    is_plain.then(|| name.to_owned())
}
