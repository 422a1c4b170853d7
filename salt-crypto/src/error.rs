use crate::Fingerprint;

/// What went wrong, for the caller's log.
///
/// Whatever depends on secret data is one variant, [`Refused`](Self::Refused),
/// with one text: a peer that sends forged or malformed bytes learns nothing
/// from which of the checks it failed. Texts never contain keys, tokens,
/// plaintext or any other bytes of a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A sealed message, an encrypted key or a token was not accepted.
    ///
    /// Sealed messages: wrong key, damaged, truncated, wrong purpose, bad
    /// padding. RSA decryption: every failure. This is the error that makes a
    /// minion sign in again.
    #[error("refused")]
    Refused,

    /// The message is authentic but answers another question.
    ///
    /// Only after the message was authenticated, so a stranger cannot cause
    /// it. Salt's clients treat it as an error of the request and do not sign
    /// in again.
    #[error("the reply carries another request's nonce")]
    NonceMismatch,

    /// A signature does not verify with this key over these bytes.
    #[error("the signature does not verify")]
    BadSignature,

    /// No algorithm goes by this name on the wire, or it is not one we speak.
    ///
    /// The name is not repeated here, because it comes from a peer.
    #[error("unknown algorithm name")]
    UnknownAlgorithm,

    /// The text is not a key in any of the forms that are read.
    #[error("not a readable RSA key: {reason}")]
    MalformedKey {
        /// What the reader stumbled over.
        reason: &'static str,
    },

    /// The modulus is shorter or longer than allowed.
    #[error("RSA keys must have {MIN_KEY_BITS} to {MAX_KEY_BITS} bits, this one has {bits}")]
    KeySize {
        /// Length of the modulus.
        bits: usize,
    },

    /// The public exponent is not 65537.
    #[error("the RSA public exponent is not 65537")]
    KeyExponent,

    /// The private key is encrypted and no passphrase was given.
    #[error("the private key is encrypted and needs a passphrase")]
    PassphraseNeeded,

    /// The passphrase does not open the private key, or its file is damaged.
    #[error("the passphrase does not open the private key")]
    WrongPassphrase,

    /// The private key is encrypted in a way that is not read here.
    #[error("the private key is encrypted with an unsupported scheme")]
    UnsupportedEncryption,

    /// A session key's text is not base64 of 56 bytes.
    #[error("a session key must be base64 text of 56 bytes")]
    MalformedSessionKey,

    /// A nonce's text is not 32 hexadecimal digits.
    #[error("a nonce must be 32 hexadecimal digits")]
    MalformedNonce,

    /// A fingerprint's text is not pairs of hexadecimal digits of a known length.
    #[error("a fingerprint must be pairs of hexadecimal digits joined by colons")]
    MalformedFingerprint,

    /// The data is longer than this key can sign or encrypt in one block.
    #[error("the data does not fit the RSA key")]
    TooLong,

    /// The master answers with a key other than the known one.
    ///
    /// Either its key was replaced or someone is in between. Compare
    /// fingerprints before removing the stored key.
    #[error("the master's key changed from {known} to {offered}")]
    MasterKeyChanged {
        /// SHA-256 fingerprint of the stored or pinned key.
        known: Box<Fingerprint>,
        /// SHA-256 fingerprint of the key that was sent.
        offered: Box<Fingerprint>,
    },

    /// The master did not return the minion's token, so it did not prove that
    /// it holds the private half of the known key.
    #[error("the master did not return the token")]
    TokenMismatch,

    /// The publish key is not the one the master signed.
    #[error("the publish key does not match the master's proof")]
    PublishKeyMismatch,

    /// The offer of session suites was changed on its way, or the answer to it
    /// cannot come from an honest master.
    #[error("the negotiation of the session suite was tampered with: {reason}")]
    Downgrade {
        /// Which rule of [`negotiate`](crate::negotiate) was broken.
        reason: &'static str,
    },

    /// The RSA implementation failed for a reason of its own.
    #[error("the RSA implementation failed while {doing}")]
    Rsa {
        /// What it was asked to do.
        doing: &'static str,
        /// What it reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The shortest RSA modulus that is accepted, in bits.
pub const MIN_KEY_BITS: usize = 2048;

/// The longest RSA modulus that is accepted, in bits.
pub const MAX_KEY_BITS: usize = 8192;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
