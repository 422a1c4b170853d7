//! End-to-end encryption of one connection: libsodium's key exchange and secret stream.
//!
//! The crate `crypto_kx` has the two halves of the exchanged keys the wrong way round, so the exchange is
//! made here: X25519, then BLAKE2b-512 over the shared secret and both public keys. The vectors in the tests
//! were computed by libsodium.

use blake2::{Blake2b512, Digest as _};
use crypto_secretstream::aead::rand_core::{CryptoRng, Error as NoRandomness, RngCore};
use crypto_secretstream::{Header, Key, PullStream, PushStream, Stream, Tag};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Bytes of the header that begins each direction.
pub(crate) const HEADER: usize = Header::BYTES;
/// Bytes that sealing adds to a text.
pub(crate) const OVERHEAD: usize = Stream::ABYTES;

/// Why a connection's encryption failed; it says nothing of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// The public key leaves no secret: all the same to everybody.
    #[error("the peer's public key is unusable")]
    WeakKey,
    /// The direction did not begin with its header.
    #[error("no stream header")]
    NoHeader,
    /// Not what the peer sealed, or not in its order.
    #[error("a message does not decrypt")]
    Broken,
}

/// A key pair of one connection or of one bind.
#[derive(Clone)]
pub(crate) struct KeyPair {
    secret: StaticSecret,
    public: [u8; 32],
}

impl KeyPair {
    /// From 32 random bytes.
    pub(crate) fn from_random(random: [u8; 32]) -> Self {
        let secret = StaticSecret::from(random);
        let public = PublicKey::from(&secret).to_bytes();
        Self { secret, public }
    }

    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The keys of both directions.
    pub(crate) fn exchange(&self, side: Side, peer: &[u8; 32]) -> Result<Keys, SealError> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(*peer));
        if !shared.was_contributory() {
            return Err(SealError::WeakKey);
        }
        let (dialer, host) = match side {
            Side::Dialer => (&self.public, peer),
            Side::Host => (peer, &self.public),
        };
        let mut hash = Blake2b512::new();
        hash.update(shared.as_bytes());
        hash.update(dialer);
        hash.update(host);
        let hash = Zeroizing::new(<[u8; 64]>::from(hash.finalize()));
        let (low, high) = hash.split_at(32);
        let (receive, send) = match side {
            Side::Dialer => (low, high),
            Side::Host => (high, low),
        };
        let mut keys = Keys {
            receive: Zeroizing::new([0; 32]),
            send: Zeroizing::new([0; 32]),
        };
        keys.receive.copy_from_slice(receive);
        keys.send.copy_from_slice(send);
        Ok(keys)
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Dialer,
    Host,
}

/// One key for each direction.
pub(crate) struct Keys {
    pub(crate) receive: Zeroizing<[u8; 32]>,
    pub(crate) send: Zeroizing<[u8; 32]>,
}

/// Seals what goes out.
pub(crate) struct Sender {
    stream: PushStream,
}

impl Sender {
    /// `header` is 24 random bytes; it goes out first, as it is.
    pub(crate) fn new(key: &[u8; 32], header: [u8; HEADER]) -> Self {
        let (_, stream) = PushStream::init(Chosen(header), &Key::from(*key));
        Self { stream }
    }

    /// One message; it is longer by [`OVERHEAD`].
    pub(crate) fn seal(&mut self, text: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(text.len().saturating_add(OVERHEAD));
        sealed.extend_from_slice(text);
        self.stream
            .push(&mut sealed, &[], Tag::Message)
            .map_err(|_| SealError::Broken)?;
        Ok(sealed)
    }
}

/// Opens what comes in.
pub(crate) struct Receiver {
    key: Zeroizing<[u8; 32]>,
    stream: Option<PullStream>,
}

impl Receiver {
    pub(crate) fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { key, stream: None }
    }

    /// What one message says; nothing if it was the header alone.
    pub(crate) fn open(&mut self, body: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let (stream, sealed) = match &mut self.stream {
            Some(stream) => (stream, body),
            slot => {
                let (header, sealed) = body
                    .split_first_chunk::<HEADER>()
                    .ok_or(SealError::NoHeader)?;
                let stream = PullStream::init(Header::from(*header), &Key::from(*self.key));
                let stream = slot.insert(stream);
                if sealed.is_empty() {
                    return Ok(None);
                }
                (stream, sealed)
            }
        };
        if sealed.len() < OVERHEAD {
            return Err(SealError::Broken);
        }
        let mut text = sealed.to_vec();
        stream.pull(&mut text, &[]).map_err(|_| SealError::Broken)?;
        Ok(Some(text))
    }
}

/// Gives the secret stream the header it was told: randomness is the caller's.
struct Chosen([u8; HEADER]);

impl RngCore for Chosen {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, to: &mut [u8]) {
        for (to, from) in to.iter_mut().zip(self.0) {
            *to = from;
        }
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), NoRandomness> {
        self.fill_bytes(to);
        Ok(())
    }
}

impl CryptoRng for Chosen {}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> serde_json::Value {
        serde_json::from_str(include_str!("../../../tests/vectors/ziti/seal.json")).unwrap()
    }

    fn bytes(hex: &serde_json::Value) -> Vec<u8> {
        let hex = hex.as_str().unwrap();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn array<const N: usize>(hex: &serde_json::Value) -> [u8; N] {
        bytes(hex).try_into().unwrap()
    }

    #[test]
    fn keys_are_libsodiums() {
        let vectors = vectors();
        let exchanges = vectors["exchanges"].as_array().unwrap();
        assert_eq!(exchanges.len(), 3);
        for vector in exchanges {
            let dialer = KeyPair::from_random(array(&vector["dialer_secret"]));
            let host = KeyPair::from_random(array(&vector["host_secret"]));
            assert_eq!(dialer.public(), &array(&vector["dialer_public"]));
            assert_eq!(host.public(), &array(&vector["host_public"]));

            let dials = dialer.exchange(Side::Dialer, host.public()).unwrap();
            let hosts = host.exchange(Side::Host, dialer.public()).unwrap();

            assert_eq!(*dials.receive, array(&vector["dialer_receives"]));
            assert_eq!(*dials.send, array(&vector["dialer_sends"]));
            assert_eq!(*hosts.receive, *dials.send);
            assert_eq!(*hosts.send, *dials.receive);
        }
    }

    #[test]
    fn streams_are_libsodiums() {
        for vector in vectors()["streams"].as_array().unwrap() {
            let key: [u8; 32] = array(&vector["key"]);
            let header: [u8; HEADER] = array(&vector["header"]);
            let mut sender = Sender::new(&key, header);
            let mut receiver = Receiver::new(Zeroizing::new(key));
            assert_eq!(receiver.open(&header), Ok(None));
            for message in vector["messages"].as_array().unwrap() {
                let (text, sealed) = (bytes(&message["text"]), bytes(&message["sealed"]));
                assert_eq!(sender.seal(&text).unwrap(), sealed);
                assert_eq!(receiver.open(&sealed), Ok(Some(text)));
            }
        }
    }

    #[test]
    fn a_header_may_come_with_the_first_message() {
        let mut sender = Sender::new(&[1; 32], [2; HEADER]);
        let mut body = vec![2; HEADER];
        body.extend(sender.seal(b"hello").unwrap());
        let mut receiver = Receiver::new(Zeroizing::new([1; 32]));
        assert_eq!(receiver.open(&body), Ok(Some(b"hello".to_vec())));
    }

    #[test]
    fn changed_repeated_swapped_and_missing_messages_do_not_open() {
        let mut sender = Sender::new(&[1; 32], [2; HEADER]);
        let (first, second) = (sender.seal(b"first").unwrap(), sender.seal(b"2").unwrap());
        let open = |messages: &[&[u8]]| {
            let mut receiver = Receiver::new(Zeroizing::new([1; 32]));
            receiver.open(&[2; HEADER]).unwrap();
            messages
                .iter()
                .fold(None, |_, body| Some(receiver.open(body)))
        };
        assert_eq!(open(&[&first, &first]), Some(Err(SealError::Broken)));
        assert_eq!(open(&[&second]), Some(Err(SealError::Broken)));
        assert_eq!(open(&[b"short"]), Some(Err(SealError::Broken)));
        let mut changed = first.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(open(&[&changed]), Some(Err(SealError::Broken)));
        let mut receiver = Receiver::new(Zeroizing::new([1; 32]));
        assert_eq!(receiver.open(&first), Err(SealError::NoHeader));
    }

    #[test]
    fn keys_that_leave_no_secret_are_refused() {
        let own = KeyPair::from_random([7; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        for weak in [[0; 32], one] {
            for side in [Side::Dialer, Side::Host] {
                assert_eq!(own.exchange(side, &weak).err(), Some(SealError::WeakKey));
            }
        }
    }

    // N-06
    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(
            format!("{:?}", KeyPair::from_random([7; 32])),
            "KeyPair { .. }"
        );
    }
}
