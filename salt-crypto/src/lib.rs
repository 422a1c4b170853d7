//! Salt's cryptography as pure types: who a master or a minion is, the
//! cryptographic steps of sign-in, and the sealing of messages after it.
//!
//! Everything here computes on bytes it is given. Nothing opens a file or a
//! socket, reads a clock, logs, or draws randomness of its own: callers pass a
//! [`CryptoRng`]. Messages (`MessagePack`) are `salt-proto`'s business, key
//! directories `salt-transport`'s.
//!
//! | type | what it is |
//! |---|---|
//! | [`Identity`], [`PublicKey`], [`Fingerprint`] | RSA keys, their texts, and what an operator compares |
//! | [`Encryption`], [`Signing`] | the algorithm names of the wire |
//! | [`handshake`] | the steps of sign-in and of private replies |
//! | [`token`] | `tok`, the proof that comes with every request |
//! | [`SessionKey`], [`Nonce`], [`Purpose`], [`Suite`] | sealing and opening messages |
//! | [`negotiate`] | agreeing on a stronger [`Suite`] |
//! | [`Secret`] | what cannot be printed and is wiped on drop |
//! | [`Error`] | what went wrong; one [`Refused`](Error::Refused) for all that depends on secrets |
//!
//! # A sign-in between two parties
//!
//! ```
//! use salt_crypto::{
//!     CryptoRng, Encryption, Error, Identity, Nonce, Purpose, SessionKey, Signing, Suite,
//!     handshake::{self, PublishKeyProof, Token},
//!     token,
//! };
//! let rng: &mut dyn CryptoRng = &mut rand_core::UnwrapErr(getrandom::SysRng);
//!
//! // Both have an identity and know the other's public key: the master accepted
//! // the minion's, the minion stored or was given the master's.
//! let master = Identity::generate(2048, rng)?;
//! let minion = Identity::generate(2048, rng)?;
//! let (encryption, signing) = (Encryption::OaepSha224, Signing::Pkcs1v15Sha224);
//!
//! // Master, at start: the publish key, and the proof that it is the master's.
//! let publish = SessionKey::generate(rng);
//! let proof = PublishKeyProof::new(&master, &publish, rng)?;
//!
//! // Minion: the `_auth` request carries its public key, a nonce and a token
//! // that only the real master can return.
//! let nonce = Nonce::generate(rng);
//! let challenge = Token::generate(rng);
//! let offer = challenge.offer(master.public_key(), encryption, rng)?;
//!
//! // Master: it knows this key, so it hands out a session key and signs the
//! // whole answer. (A load is MessagePack; here its fields are just joined.)
//! let session = SessionKey::generate(rng);
//! let grant = handshake::grant(
//!     &master, minion.public_key(), encryption, &proof, &session, Some(&offer), rng,
//! )?;
//! let load = [nonce.as_bytes().as_slice(), &grant.aes, &grant.session, &grant.sig].concat();
//! let signature = master.sign(signing, &load, rng)?;
//!
//! // Minion: signature and nonce first, then the content.
//! master.public_key().verify(signing, &load, &signature)?;
//! assert!(nonce.ct_eq(&load[..Nonce::LEN]));
//! handshake::check_master(master.public_key(), master.public_key())?;
//! let keys = handshake::accept(
//!     &grant, &minion, master.public_key(), encryption, Some(&challenge), rng,
//! )?;
//!
//! // From now on requests and replies are sealed with the session key.
//! let tok = token::prove(&minion, rng)?;
//! let mut sealed = Vec::new();
//! keys.session.seal(Suite::Classic, Purpose::Request, None, &tok, rng, &mut sealed);
//!
//! let mut load = Vec::new();
//! let opened = session.open(Purpose::Request, None, &sealed, &mut load)?;
//! let tok = opened.body.and_then(|body| load.get(body)).unwrap_or_default();
//! token::check(minion.public_key(), tok)?;
//!
//! // A publish is sealed once for all minions, and signed.
//! sealed.clear();
//! publish.seal(Suite::Classic, Purpose::Publish, None, b"a job", rng, &mut sealed);
//! let signature = master.sign(signing, &sealed, rng)?;
//! master.public_key().verify(signing, &sealed, &signature)?;
//! assert!(keys.publish.open(Purpose::Publish, None, &sealed, &mut Vec::new()).is_ok());
//! # Ok::<(), Error>(())
//! ```
//!
//! # Which RSA
//!
//! Two implementations stand behind [`Identity`] and [`PublicKey`], and pass
//! the same tests:
//!
//! * The default is the pure-Rust `rsa` crate. It needs no C library and no C
//!   compiler. Its private operations are not known to be free of timing
//!   leaks: [RUSTSEC-2023-0071] (the "Marvin" attack) lists no fixed version.
//!   This crate blinds every private operation, which takes away the
//!   correlation that attack needs, and returns one error for every failed
//!   decryption; neither is a proof. A private operation of 2048 bits takes
//!   about 1.8 ms of CPU.
//! * With the feature `openssl`, the system's OpenSSL (3.0 or later) does the
//!   arithmetic: constant-time, and about four times faster (0.45 ms).
//!
//! A minion, a client or a small master is fine with the default. **A large
//! master, and any master that strangers can reach, should use `openssl`**:
//! it decrypts bytes that strangers send before it knows them (`token` in
//! `_auth`), and ten thousand minions that sign in after a restart cost it 8
//! instead of 36 seconds of CPU. With the feature on, [`Provider`] still lets a
//! caller choose for one key.
//!
//! Keys are generated by the `rsa` crate in either case, from the caller's
//! randomness. OpenSSL draws its blinding and padding from its own generator.
//!
//! Either way, an operation with a private key blocks for milliseconds: run it
//! on a pool for blocking work, and limit how often a stranger can ask for one.
//!
//! [RUSTSEC-2023-0071]: https://rustsec.org/advisories/RUSTSEC-2023-0071
//!
//! # Features
//!
//! * `openssl`, off by default: see above. The library is the system's; it is
//!   never built along.
//!
//! # The classic suite
//!
//! What Salt 3006, 3007 and 3008 speak. The key is 56 bytes, 24 for AES-192
//! and 32 for HMAC-SHA256; as text, their standard base64.
//!
//! ```text
//! plaintext = "pickle::" ‖ [nonce, 32 bytes] ‖ body
//! sealed    = iv (16 random bytes) ‖ c ‖ HMAC-SHA256(iv ‖ c)
//! c         = AES-192-CBC(iv, plaintext padded by PKCS#7)
//! ```
//!
//! The nonce is there in replies. The tag is checked before anything else is
//! looked at; then the length, then the whole of the padding (Salt's reader
//! only looks at its last byte; a message whose padding is otherwise wrong is
//! read as an empty map there and refused here).
//!
//! # The AES-256-GCM suite
//!
//! For sessions between two peers of this crate. This section and the next are
//! its specification; names in capitals are bytes, `‖` joins.
//!
//! **Key.** From the same 56 bytes, by HKDF-SHA256 ([RFC 5869]):
//!
//! ```text
//! K = HKDF(salt = none, IKM = the 56 bytes, info = "SaltGCM1 session key", L = 32)
//! ```
//!
//! **Message.** With `MAGIC = "SaltGCM1"` (8 bytes ASCII; the digit is the
//! version) and `N`, 24 random bytes drawn for each message:
//!
//! ```text
//! sealed    = MAGIC ‖ N ‖ XAES-256-GCM(K, N, plaintext, AD)      (tag of 16 bytes at the end)
//! plaintext = [nonce, 32 bytes] ‖ body
//! AD        = MAGIC ‖ PURPOSE ‖ REPLY                             (10 bytes)
//! PURPOSE   = 1 request, 2 reply, 3 publish, 4 announce, 5 private box (pillar)
//! REPLY     = 1 if the plaintext begins with a nonce, else 0
//! ```
//!
//! [XAES-256-GCM] seals each message with AES-256-GCM under a key of its own:
//! that key is derived from `K` and the first 12 bytes of `N` by two AES
//! blocks (CMAC as a KDF, NIST SP 800-108), and the last 12 bytes of `N` are
//! the GCM nonce. `N` is drawn, never counted, so there is no state to lose:
//! a restarted, copied or rolled-back machine does not repeat one, and even
//! 2^80 messages under one key leave the chance of that below 2^-32.
//!
//! A receiver tells the suites apart by `MAGIC`; a sealer in the classic suite
//! draws another IV should one begin with it (by chance, one in 2^64). The
//! receiver authenticates first, then compares the nonce of a reply in constant
//! time. Every failure but a wrong nonce is one refusal. `body` is what it is
//! in the classic suite, without the `pickle::` marker. There is no padding;
//! lengths show, as they do within 16 bytes in the classic suite.
//!
//! [RFC 5869]: https://www.rfc-editor.org/rfc/rfc5869
//! [XAES-256-GCM]: https://c2sp.org/XAES-256-GCM
//!
//! # Negotiation
//!
//! Done anew at every sign-in; [`negotiate`] has the decisions as functions.
//!
//! 1. A minion that takes part puts the list of the suites it speaks besides
//!    the classic one into its `_auth` request: `suites: ["aes-256-gcm"]`.
//!    Stock masters ignore the key.
//! 2. A master that takes part puts two keys into **every** accepting answer,
//!    inside the load that its signature covers, to every minion:
//!    `suite`, its choice (`"aes-256-gcm"` if that was offered and is switched
//!    on, else `"classic"`), and `suites`, the offer exactly as it arrived (an
//!    empty list if none did, or if it had more than 16 names or one of more
//!    than 32 bytes). Stock minions ignore both.
//! 3. The minion verifies signature and nonce, and then: both keys missing
//!    means a stock master, so classic; one missing is an error; `suites` must
//!    equal what it offered, `suite` must be `"classic"` or in its offer.
//!
//! So nobody on the path can lower the choice. Taking the offer away, or
//! changing it, makes the signed echo differ; adding, changing or removing the
//! choice breaks the signature; the nonce keeps an old answer from serving
//! again. An answer without the keys can only be made by the master itself, so
//! it means one that does not take part. A minion that knows its master to do
//! so, because it did before or because the operator says so, passes
//! `expected` and refuses such an answer. (All this rests on the master's key
//! being known, as everything in a sign-in does.)
//!
//! The choice holds for this session: requests, replies and the private boxes
//! inside them are sealed in it and **both ends refuse the other suite** (see
//! [`Opened::suite`]). The publish key is shared by all minions, so a master
//! may publish in `aes-256-gcm` only while every minion that holds the current
//! publish key agreed on it, and else publishes in the classic suite; a minion
//! opens both, for a publish is signed in any case. Turning the suite off is
//! one switch at either end: [`negotiate::offer`] and [`negotiate::choose`]
//! take it.

mod algorithm;
mod error;
mod fingerprint;
pub mod handshake;
mod identity;
pub mod negotiate;
mod nonce;
mod pem;
mod provider;
mod public_key;
mod secret;
mod session;
#[cfg(test)]
mod testing;
pub mod token;

pub use rand_core::CryptoRng;

pub use crate::{
    algorithm::{Encryption, Signing},
    error::{Error, MAX_KEY_BITS, MIN_KEY_BITS, Result},
    fingerprint::{Fingerprint, FingerprintHash},
    identity::Identity,
    nonce::Nonce,
    pem::clean_key,
    provider::Provider,
    public_key::PublicKey,
    secret::Secret,
    session::{Opened, Purpose, SerialMark, SessionKey, Suite},
};

/// Lowercase hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _infallible = write!(digits, "{byte:02x}");
    }
    digits
}

// Its examples are compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
