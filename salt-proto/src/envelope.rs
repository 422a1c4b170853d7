//! The outermost map of every network message: clear or sealed, by whom, how.

use crate::error::DecodeError;
use crate::id::MinionId;
use crate::limits::Limits;
use crate::msgpack::{self, Dialect};
use crate::value::{Map, Value};

/// How a load travels. A closed set: any other word is refused before another
/// field of the message is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enc {
    /// In the clear: sign-in, and what the command line sends to its own master.
    Clear,
    /// Sealed with a session or the publish key.
    Aes,
}

impl Enc {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Aes => "aes",
        }
    }

    fn from_bytes(word: &[u8]) -> Option<Self> {
        match word {
            b"clear" => Some(Self::Clear),
            b"aes" => Some(Self::Aes),
            _ => None,
        }
    }
}

/// The load, still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load<'a> {
    /// A map in the clear: the bytes of its MessagePack encoding.
    Map(&'a [u8]),
    /// Bytes: sealed, or the signed encoding of a map in a sign-in answer.
    Bytes(&'a [u8]),
}

/// One message as it came from the network, borrowing from its bytes.
///
/// Reading it builds no tree: a master decides from here whether the load is
/// worth opening. Unknown keys are ignored; of a repeated key the last counts,
/// as everywhere in Salt.
///
/// ```
/// use salt_proto::envelope::{self, Enc, Envelope};
/// use salt_proto::{Limits, Map};
///
/// let mut bytes = Vec::new();
/// envelope::clear_request(&Map::from([("cmd", "ping")]), &mut bytes);
///
/// let message = Envelope::parse(&bytes, &Limits::default())?;
/// assert_eq!((message.enc, message.version), (Enc::Clear, 3));
/// # Ok::<(), salt_proto::envelope::EnvelopeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Clear or sealed.
    pub enc: Enc,
    /// The protocol version: an integer or a text that reads as one, else 0.
    /// Stock 3006 to 3008 send 3. Negative and oversized numbers are clamped
    /// to `u32`, which puts them on the same side of every comparison.
    pub version: u32,
    /// The outer minion id, which names the session key of a sealed request.
    /// Not checked yet: see [`minion_id`](Self::minion_id).
    pub id: Option<&'a [u8]>,
    /// The name of the encryption the sender wants, for the answer.
    pub enc_algo: Option<&'a str>,
    /// The name of the signature algorithm: wanted in the answer, or used for `sig`.
    pub sig_algo: Option<&'a str>,
    /// The signature over the bytes of the load, on publishes and signed answers.
    pub sig: Option<&'a [u8]>,
    /// The load.
    pub load: Load<'a>,
}

/// Why a message is refused before its load is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not MessagePack within the limits.
    #[error("undecodable message")]
    Decode(#[from] DecodeError),
    /// Not a map.
    #[error("the message is not a map")]
    NotAMap,
    /// `enc` is missing or none of the known words.
    #[error("an unknown kind of envelope")]
    UnknownEnc,
    /// `load` is missing.
    #[error("the message has no load")]
    NoLoad,
    /// `load` is neither a map nor bytes, or not the one of them that `enc` demands.
    #[error("the load has the wrong type")]
    LoadType,
    /// The outer id is missing or is no minion id.
    #[error("the envelope names no minion")]
    Id,
}

impl EnvelopeError {
    /// What a master answers: the same texts as stock Salt's.
    pub fn reply(&self) -> &'static str {
        match self {
            Self::LoadType => "payload and load must be a dict",
            _ => "bad load",
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads the outer map of `bytes`.
    ///
    /// # Errors
    ///
    /// In this order: undecodable, no map, unknown `enc`, no `load`, a `load` of
    /// a type that nothing sends.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, EnvelopeError> {
        const KEYS: [&str; 7] = [
            "enc", "load", "version", "id", "enc_algo", "sig_algo", "sig",
        ];
        let [enc, load, version, id, enc_algo, sig_algo, sig] =
            msgpack::skim(bytes, KEYS, limits)?.ok_or(EnvelopeError::NotAMap)?;
        let enc = enc
            .and_then(msgpack::content)
            .and_then(Enc::from_bytes)
            .ok_or(EnvelopeError::UnknownEnc)?;
        let load = load.ok_or(EnvelopeError::NoLoad)?;
        let load = match (msgpack::content(load), enc) {
            (Some(bytes), _) => Load::Bytes(bytes),
            (None, Enc::Clear) if msgpack::is_map(load) => Load::Map(load),
            _ => return Err(EnvelopeError::LoadType),
        };
        let text = |field: Option<&'a [u8]>| {
            field
                .and_then(msgpack::content)
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
        };
        Ok(Self {
            enc,
            version: version.map_or(0, read_version),
            id: id.and_then(msgpack::content),
            enc_algo: text(enc_algo),
            sig_algo: text(sig_algo),
            sig: sig.and_then(msgpack::content),
            load,
        })
    }

    /// The outer id, checked.
    ///
    /// # Errors
    ///
    /// If it is missing or breaks the rule of [`MinionId`].
    pub fn minion_id(&self) -> Result<MinionId, EnvelopeError> {
        self.id
            .and_then(|id| std::str::from_utf8(id).ok())
            .and_then(|id| MinionId::parse(id).ok())
            .ok_or(EnvelopeError::Id)
    }

    /// The load of a clear request as a map.
    ///
    /// # Errors
    ///
    /// If the load is bytes, or breaks the limits.
    pub fn clear_load(&self, limits: &Limits) -> Result<Map, EnvelopeError> {
        match (self.enc, self.load) {
            (Enc::Clear, Load::Map(bytes)) => match msgpack::decode(bytes, limits)? {
                Value::Map(load) => Ok(load),
                _ => Err(EnvelopeError::LoadType),
            },
            _ => Err(EnvelopeError::LoadType),
        }
    }

    /// The bytes of a sealed load, or of a signed answer.
    ///
    /// # Errors
    ///
    /// If the load is a map.
    pub fn load_bytes(&self) -> Result<&'a [u8], EnvelopeError> {
        match self.load {
            Load::Bytes(bytes) => Ok(bytes),
            Load::Map(_) => Err(EnvelopeError::LoadType),
        }
    }
}

/// Python's `int()` of an integer or a text, and 0 where that fails.
fn read_version(encoded: &[u8]) -> u32 {
    let number = match msgpack::decode(encoded, &Limits::default()) {
        Ok(Value::Int(n)) => n,
        Ok(Value::UInt(_)) => i64::MAX,
        Ok(Value::Str(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    };
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// The version of the protocol that we and stock 3006 to 3008 send.
pub const VERSION: u32 = 3;

/// Appends a request in the clear, as stock clients order its keys.
pub fn clear_request(load: &Map, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x83\xa3enc\xa5clear\xa4load");
    msgpack::encode_map(load, Dialect::Raw, out);
    out.extend_from_slice(b"\xa7version\x03");
}

/// Appends a sealed request, as stock minions order its keys.
pub fn aes_request(
    sealed: &[u8],
    id: &MinionId,
    enc_algo: &str,
    sig_algo: &str,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\x86\xa3enc\xa3aes\xa4load");
    msgpack::encode_bytes(sealed, Dialect::Raw, out);
    out.extend_from_slice(b"\xa7version\x03\xa2id");
    msgpack::encode_str(id.as_str(), Dialect::Raw, out);
    out.extend_from_slice(b"\xa8enc_algo");
    msgpack::encode_str(enc_algo, Dialect::Raw, out);
    out.extend_from_slice(b"\xa8sig_algo");
    msgpack::encode_str(sig_algo, Dialect::Raw, out);
}

/// Appends what a `tcp` minion says on the publish connection: a sealed load
/// with its id and token, version 3 and no outer id.
pub fn announcement(sealed: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x83\xa3enc\xa3aes\xa4load");
    msgpack::encode_bytes(sealed, Dialect::Raw, out);
    out.extend_from_slice(b"\xa7version\x03");
}

/// Appends a clear answer `{"enc": "clear", "load": load}`, as `publish` and an
/// unsigned refusal of sign-in have it.
pub fn clear_reply(load: &Map, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x82\xa3enc\xa5clear\xa4load");
    msgpack::encode_map(load, Dialect::Raw, out);
}

/// Appends a signed answer to a sign-in: `load` is the encoded inner map, `sig`
/// the master's signature over exactly those bytes.
pub fn signed_reply(load: &[u8], sig: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x83\xa3enc\xa5clear\xa4load");
    msgpack::encode_bytes(load, Dialect::Raw, out);
    out.extend_from_slice(b"\xa3sig");
    msgpack::encode_bytes(sig, Dialect::Raw, out);
}

/// Appends a publish: a job sealed with the publish key, and with
/// `signature = Some((sig_algo, sig))` the master's signature over the sealed bytes.
pub fn publish(sealed: &[u8], signature: Option<(&str, &[u8])>, out: &mut Vec<u8>) {
    out.push(if signature.is_some() { 0x84 } else { 0x82 });
    out.extend_from_slice(b"\xa3enc\xa3aes\xa4load");
    msgpack::encode_bytes(sealed, Dialect::Raw, out);
    if let Some((sig_algo, sig)) = signature {
        out.extend_from_slice(b"\xa8sig_algo");
        msgpack::encode_str(sig_algo, Dialect::Raw, out);
        out.extend_from_slice(b"\xa3sig");
        msgpack::encode_bytes(sig, Dialect::Raw, out);
    }
}
