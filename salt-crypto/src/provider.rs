/// Which implementation does the RSA arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// The `rsa` crate: pure Rust, always blinded.
    Rust,
    /// The system's OpenSSL: constant-time and about four times faster.
    #[cfg(feature = "openssl")]
    OpenSsl,
}
