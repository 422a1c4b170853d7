//! What must hold for any bytes taken for an identity file or an enrolment token; shared with the fuzz target.

use salt_transport::ziti::{EnrolmentToken, IdentityFile};

pub(crate) fn ziti_identity(data: &[u8]) {
    match IdentityFile::parse(data) {
        Ok(file) => assert!(!format!("{file:?}").contains("BEGIN")),
        Err(error) => assert!(!error.to_string().contains("BEGIN")),
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match EnrolmentToken::parse(text) {
        // The signature and the secret in it are not shown.
        Ok(token) => assert!(!format!("{token:?}").contains("jti")),
        Err(error) => assert!(error.to_string().len() < 1024),
    }
}
