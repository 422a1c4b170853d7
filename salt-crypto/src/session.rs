use std::{fmt, ops::Range, sync::Arc};

use base64ct::{Base64, Encoding};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Error, Nonce, Result, Secret, hex};

mod classic;
mod gcm;

/// A key that seals and opens messages after sign-in.
///
/// The same kind of key serves as the publish key that all minions share, as
/// the session key of one minion, and inside private boxes. On the wire it is
/// the standard base64 text of 56 bytes, 76 characters on one line. Cloning is
/// cheap and shares one copy, wiped when the last is dropped.
///
/// Both directions append to a buffer of the caller's. Apart from that buffer
/// growing, [`seal`](Self::seal) and [`open`](Self::open) allocate nothing
/// (the first use of [`Suite::Aes256Gcm`] with a key allocates that suite's
/// key once).
///
/// ```
/// use salt_crypto::{Nonce, Purpose, SessionKey, Suite};
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
///
/// let key = SessionKey::generate(&mut rng);
/// let nonce = Nonce::generate(&mut rng);
///
/// let mut sealed = Vec::new();
/// key.seal(Suite::Classic, Purpose::Reply, Some(&nonce), b"\xc3", &mut rng, &mut sealed);
///
/// let mut plain = Vec::new();
/// let opened = key.open(Purpose::Reply, Some(&nonce), &sealed, &mut plain)?;
/// assert_eq!(opened.body.map(|body| &plain[body]), Some(&b"\xc3"[..]));
/// # Ok::<(), salt_crypto::Error>(())
/// ```
///
/// ```compile_fail
/// let key = salt_crypto::SessionKey::from_text("")?;
/// println!("{key}"); // has no Display
/// # Ok::<(), salt_crypto::Error>(())
/// ```
///
/// ```compile_fail
/// let key = salt_crypto::SessionKey::from_text("")?;
/// assert!(key == key); // `==` is not constant-time
/// # Ok::<(), salt_crypto::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionKey(Arc<Inner>);

struct Inner {
    text: Secret<String>,
    classic: classic::Keys,
    gcm: gcm::Keys,
}

/// How a message is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Suite {
    /// Salt's own: AES-192-CBC, then HMAC-SHA256. All peers speak it.
    #[default]
    Classic,
    /// AES-256-GCM under a key of its own for each message; between peers of
    /// this crate that agreed on it, see [`negotiate`](crate::negotiate).
    Aes256Gcm,
}

impl Suite {
    /// The name in [`negotiate`](crate::negotiate).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }

    /// The suite of this name.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`].
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "classic" => Ok(Self::Classic),
            "aes-256-gcm" => Ok(Self::Aes256Gcm),
            _ => Err(Error::UnknownAlgorithm),
        }
    }

    /// Which suite `sealed` claims to be in.
    ///
    /// A claim, not a fact: only [`SessionKey::open`] proves it.
    pub fn of(sealed: &[u8]) -> Self {
        if sealed.starts_with(gcm::MAGIC) {
            Self::Aes256Gcm
        } else {
            Self::Classic
        }
    }
}

/// What a sealed message is for.
///
/// [`Suite::Aes256Gcm`] authenticates it, so that a message made for one
/// purpose is refused in every other. Salt's own format has no room for it;
/// there the two ends have to agree, and [`Suite::Classic`] ignores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// From a minion to its master.
    Request,
    /// The answer to a request.
    Reply,
    /// From the master to all its minions.
    Publish,
    /// A minion's introduction on the publish channel (`tcp` and `ws`).
    Announce,
    /// The inner box of a private reply, pillar above all.
    Pillar,
}

impl Purpose {
    /// The byte that stands for it in the associated data of [`Suite::Aes256Gcm`].
    const fn byte(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::Publish => 3,
            Self::Announce => 4,
            Self::Pillar => 5,
        }
    }
}

/// What [`SessionKey::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The suite the message was sealed in.
    ///
    /// A receiver that agreed on one with its peer refuses the other.
    pub suite: Suite,
    /// Where the body (`MessagePack`) lies in the buffer it was appended to.
    ///
    /// `None` if the peer sealed something that is no message (Salt's
    /// `pickle::` marker is missing); Salt reads that as an empty map.
    pub body: Option<Range<usize>>,
}

/// Precedes the body in [`Suite::Classic`], a relic of Salt's first format.
const MARKER: &[u8] = b"pickle::";

impl SessionKey {
    /// Length of [`to_text`](Self::to_text).
    pub const TEXT_LEN: usize = 76;

    /// Draws a fresh key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self::new(&bytes, Secret::new(Base64::encode_string(bytes.as_slice())))
    }

    /// Reads a key: the base64 text of 56 bytes, exactly 76 characters.
    ///
    /// # Errors
    /// [`Error::MalformedSessionKey`].
    pub fn from_text(text: &str) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        match Base64::decode(text, bytes.as_mut_slice()) {
            Ok(decoded) if decoded.len() == KEY_LEN => {}
            _ => return Err(Error::MalformedSessionKey),
        }
        Ok(Self::new(&bytes, Secret::new(text.to_owned())))
    }

    fn new(bytes: &[u8; KEY_LEN], text: Secret<String>) -> Self {
        Self(Arc::new(Inner {
            text,
            classic: classic::Keys::new(bytes),
            gcm: gcm::Keys::default(),
        }))
    }

    /// The text that travels to a minion under its RSA key.
    pub fn to_text(&self) -> Secret<String> {
        self.0.text.clone()
    }

    /// Hexadecimal SHA-256 of the text: what the master proves in the `sig` of
    /// its sign-in answer.
    pub fn sha256_hex(&self) -> String {
        hex(&Sha256::digest(self.0.text.expose()))
    }

    /// Whether both are the same key, in constant time.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.text.ct_eq(other.0.text.expose())
    }

    /// Seals `body` and appends the result to `out`.
    ///
    /// `nonce` is the requester's, for a [`Purpose::Reply`]; it goes in front
    /// of the body. The other purposes have none: a request carries its nonce
    /// in its load.
    ///
    /// A body of 64 GiB or more cannot be sealed in [`Suite::Aes256Gcm`]; then
    /// nothing is appended.
    pub fn seal(
        &self,
        suite: Suite,
        purpose: Purpose,
        nonce: Option<&Nonce>,
        body: &[u8],
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
    ) {
        match suite {
            Suite::Classic => self.0.classic.seal(nonce, body, rng, out),
            Suite::Aes256Gcm => self.gcm().seal(purpose, nonce, body, rng, out),
        }
    }

    /// Authenticates `sealed`, decrypts it and appends the plaintext to `out`.
    ///
    /// `out` grows by at most the length of `sealed`, and not at all on an
    /// error. With a `nonce`, only a reply that carries it is accepted.
    ///
    /// # Errors
    /// [`Error::Refused`] for everything that was not sealed with this key (or
    /// for another purpose, where the suite can tell);
    /// [`Error::NonceMismatch`] for an authentic message without this nonce.
    pub fn open(
        &self,
        purpose: Purpose,
        nonce: Option<&Nonce>,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened> {
        let start = out.len();
        let suite = Suite::of(sealed);
        let opened = match suite {
            Suite::Classic => self.0.classic.open(nonce, sealed, out),
            Suite::Aes256Gcm => self.gcm().open(purpose, nonce, sealed, out),
        };
        match opened {
            Ok(body) => Ok(Opened { suite, body }),
            Err(error) => {
                if let Some(rest) = out.get_mut(start..) {
                    zeroize::Zeroize::zeroize(rest);
                }
                out.truncate(start);
                Err(error)
            }
        }
    }

    fn gcm(&self) -> &gcm::Cipher {
        self.0.gcm.of(self.0.text.expose())
    }
}

/// 24 bytes for AES-192, 32 for HMAC-SHA256.
const KEY_LEN: usize = 56;

/// Appends in pieces that stay below the size from which the C library copies
/// by a string instruction. On some processors that is many times slower: 16 KiB
/// took 5.3 µs whole and 0.2 µs in pieces on one of AMD's.
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    const PIECE: usize = 2048;
    out.reserve(bytes.len());
    for piece in bytes.chunks(PIECE) {
        out.extend_from_slice(piece);
    }
}

/// Checks and cuts off the nonce that a reply begins with.
fn body_after_nonce(
    nonce: Option<&Nonce>,
    plain: &[u8],
    range: Range<usize>,
) -> Result<Range<usize>> {
    let Some(nonce) = nonce else { return Ok(range) };
    let found = plain.get(range.clone()).and_then(|it| it.get(..Nonce::LEN));
    if found.is_some_and(|found| nonce.ct_eq(found)) {
        Ok(range.start + Nonce::LEN..range.end)
    } else {
        Err(Error::NonceMismatch)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey([secret])")
    }
}

/// Remembers the highest serial a key was seen with.
///
/// Publishes carry a `serial` that grows under one publish key. A minion that
/// drops those not above the mark runs no publish twice; it keeps the mark as
/// long as the key, also through another sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SerialMark {
    last: u64,
}

impl SerialMark {
    /// Whether `serial` is new; if so it is the mark from now on.
    pub const fn admit(&mut self, serial: u64) -> bool {
        if serial <= self.last {
            return false;
        }
        self.last = serial;
        true
    }

    /// The highest serial admitted so far, 0 at first.
    pub const fn last(self) -> u64 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    const PURPOSES: [Purpose; 5] = [
        Purpose::Request,
        Purpose::Reply,
        Purpose::Publish,
        Purpose::Announce,
        Purpose::Pillar,
    ];

    fn sealed(key: &SessionKey, suite: Suite, purpose: Purpose, nonce: Option<&Nonce>) -> Vec<u8> {
        let mut sealed = Vec::new();
        key.seal(
            suite,
            purpose,
            nonce,
            b"\x81\xa1x\x01",
            &mut rng(),
            &mut sealed,
        );
        sealed
    }

    #[test]
    fn a_key_text_of_another_length_is_no_key() {
        for len in [0, 24, 48, 55, 57, 64] {
            let text = Base64::encode_string(&vec![7; len]);
            assert!(
                matches!(
                    SessionKey::from_text(&text),
                    Err(Error::MalformedSessionKey)
                ),
                "{len}"
            );
        }
        assert!(SessionKey::from_text(&"!".repeat(76)).is_err());
        assert!(SessionKey::from_text(&Base64::encode_string(&[7; 56])).is_ok());
    }

    #[test]
    fn both_ends_append_to_the_buffer_they_get() {
        let key = SessionKey::generate(&mut rng());
        for suite in [Suite::Classic, Suite::Aes256Gcm] {
            let mut sealed = b"head".to_vec();
            key.seal(
                suite,
                Purpose::Request,
                None,
                b"body",
                &mut rng(),
                &mut sealed,
            );
            let mut plain = b"before".to_vec();

            let opened = key
                .open(Purpose::Request, None, &sealed[4..], &mut plain)
                .unwrap();

            assert_eq!(&sealed[..4], b"head");
            assert_eq!(&plain[..6], b"before");
            assert_eq!(&plain[opened.body.unwrap()], b"body");
            assert_eq!(opened.suite, suite);
        }
    }

    #[test]
    fn a_refused_message_leaves_the_buffer_as_it_was() {
        let key = SessionKey::generate(&mut rng());
        let nonce = Nonce::generate(&mut rng());
        for suite in [Suite::Classic, Suite::Aes256Gcm] {
            let sealed = sealed(
                &key,
                suite,
                Purpose::Reply,
                Some(&Nonce::generate(&mut rng())),
            );
            let mut plain = b"before".to_vec();

            let refused = key.open(Purpose::Reply, Some(&nonce), &sealed, &mut plain);

            assert!(matches!(refused, Err(Error::NonceMismatch)));
            assert_eq!(plain, b"before");
        }
    }

    // K-07: the stronger suite ties a message to its purpose.
    #[test]
    fn k07_a_gcm_message_serves_no_other_purpose() {
        let key = SessionKey::generate(&mut rng());
        for made in PURPOSES {
            let sealed = sealed(&key, Suite::Aes256Gcm, made, None);
            for used in PURPOSES {
                let opened = key.open(used, None, &sealed, &mut Vec::new());
                assert_eq!(opened.is_ok(), made == used, "{made:?} as {used:?}");
            }
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let one = SessionKey::generate(&mut rng());
        let other = SessionKey::generate(&mut rng());
        for suite in [Suite::Classic, Suite::Aes256Gcm] {
            let sealed = sealed(&one, suite, Purpose::Publish, None);
            let refused = other.open(Purpose::Publish, None, &sealed, &mut Vec::new());
            assert!(matches!(refused, Err(Error::Refused)));
        }
    }

    #[test]
    fn a_message_claims_its_suite_by_its_first_bytes() {
        let key = SessionKey::generate(&mut rng());
        for suite in [Suite::Classic, Suite::Aes256Gcm] {
            assert_eq!(Suite::of(&sealed(&key, suite, Purpose::Reply, None)), suite);
            assert_eq!(Suite::from_name(suite.name()).unwrap(), suite);
        }
        assert_eq!(Suite::of(b""), Suite::Classic);
        assert_eq!(Suite::of(b"SaltGCM"), Suite::Classic);
    }

    #[test]
    fn a_serial_is_admitted_once_and_only_upwards() {
        let mut mark = SerialMark::default();

        let admitted = [1, 2, 2, 1, 5, 4, 6, 0].map(|serial| mark.admit(serial));

        assert_eq!(
            admitted,
            [true, true, false, false, true, false, true, false]
        );
        assert_eq!(mark.last(), 6);
    }

    // C-06
    #[test]
    fn c06_a_session_key_prints_nothing_of_itself() {
        let key = SessionKey::generate(&mut rng());
        let printed = format!("{key:?} {:?}", key.to_text());

        assert_eq!(printed, "SessionKey([secret]) [secret]");
    }
}
