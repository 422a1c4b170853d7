//! Sign-in: what a minion offers and what it is answered.

use std::fmt;

use super::field::Field;
use super::{LoadError, load};
use crate::value::{Map, Value};

load! {
    /// `_auth`: a minion offers its key. Always in the clear.
    AuthRequest = "_auth" {
        /// The minion's name, not checked yet: an invalid one is answered with
        /// a refusal, not with an error.
        id: String = "id",
        /// 32 hexadecimal digits that come back in the signed answer. Versions 0 and 1 have none.
        nonce: Option<String> = "nonce",
        /// The encryption wanted for the keys in the answer. Absent means OAEP-SHA1.
        enc_algo: Option<String> = "enc_algo",
        /// The signature wanted on the answer. Absent means PKCS1v15-SHA1.
        sig_algo: Option<String> = "sig_algo",
        /// Grains that a master may accept a key for without an operator.
        autosign_grains: Option<Map> = "autosign_grains",
        /// A secret of the minion, encrypted for the master it knows, which
        /// comes back encrypted for the minion.
        token: Option<Vec<u8>> = "token",
        /// The minion's public key, PEM without the final line feed.
        pub_pem: String = "pub",
    }
}

/// The inner map of an answer to [`AuthRequest`].
#[derive(Clone, PartialEq)]
pub struct AuthReply {
    /// The decision.
    pub answer: AuthAnswer,
    /// The request's nonce, in signed answers.
    pub nonce: Option<String>,
    /// Every other key, as it came.
    pub extra: Map,
}

/// A master's decision about a key.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum AuthAnswer {
    /// Accepted: here are the keys.
    Granted(Box<Grant>),
    /// The key is not accepted yet; ask again later.
    Pending,
    /// No.
    Rejected,
    /// The master serves as many minions as it may.
    Full,
    /// The wanted encryption is not supported. Never signed.
    BadEncAlgo,
    /// The wanted signature is not supported. Never signed.
    BadSigAlgo,
}

/// What an accepted minion receives.
#[derive(Clone, PartialEq)]
pub struct Grant {
    /// The master's public key, PEM without the final line feed.
    pub pub_key: String,
    /// The port of the publish channel.
    pub publish_port: u64,
    /// The signature of the master's signing key over `pub_key`: base64 with a
    /// final line feed.
    pub pub_sig: Option<String>,
    /// The minion's token, encrypted for the minion.
    pub token: Option<Vec<u8>>,
    /// The publish key string, encrypted for the minion.
    pub aes: Vec<u8>,
    /// The minion's session key string, encrypted for the minion. Absent from
    /// masters older than version 3.
    pub session: Option<Vec<u8>>,
    /// The master's X9.31 block of the hex SHA-256 of the publish key string.
    pub sig: Vec<u8>,
}

impl AuthReply {
    /// An answer to a request with that nonce.
    pub fn new(answer: AuthAnswer, nonce: Option<String>) -> Self {
        Self {
            answer,
            nonce,
            extra: Map::new(),
        }
    }

    /// Reads the inner map.
    ///
    /// # Errors
    ///
    /// If it is neither a decision nor a complete grant.
    pub fn from_map(mut map: Map) -> Result<Self, LoadError> {
        let refused = |field| LoadError::Field {
            command: "an answer to _auth",
            field,
        };
        let nonce = match map.remove("nonce") {
            None | Some(Value::Null) => None,
            Some(Value::Str(nonce)) => Some(nonce),
            Some(_) => return Err(refused("nonce")),
        };
        if map.contains_key("pub_key") {
            let grant = Grant::take(&mut map)?;
            map.remove("enc");
            return Ok(Self {
                answer: AuthAnswer::Granted(Box::new(grant)),
                nonce,
                extra: map,
            });
        }
        let answer = match map.remove("ret") {
            Some(Value::Bool(true)) => AuthAnswer::Pending,
            Some(Value::Bool(false)) => AuthAnswer::Rejected,
            Some(Value::Str(word)) => match word.as_str() {
                "full" => AuthAnswer::Full,
                "bad enc algo" => AuthAnswer::BadEncAlgo,
                "bad sig algo" => AuthAnswer::BadSigAlgo,
                _ => return Err(refused("ret")),
            },
            _ => return Err(refused("ret")),
        };
        Ok(Self {
            answer,
            nonce,
            extra: map,
        })
    }

    /// The inner map, in the order stock masters write its keys.
    pub fn to_map(&self) -> Map {
        let mut map = match &self.answer {
            AuthAnswer::Granted(grant) => grant.to_map(),
            AuthAnswer::Pending => Map::from([("ret", true)]),
            AuthAnswer::Rejected => Map::from([("ret", false)]),
            AuthAnswer::Full => Map::from([("ret", "full")]),
            AuthAnswer::BadEncAlgo => Map::from([("ret", "bad enc algo")]),
            AuthAnswer::BadSigAlgo => Map::from([("ret", "bad sig algo")]),
        };
        if let Some(nonce) = &self.nonce {
            map.insert("nonce", nonce);
        }
        map.extend(self.extra.iter().map(|(k, v)| (k.clone(), v.clone())));
        map
    }
}

impl Grant {
    fn take(map: &mut Map) -> Result<Self, LoadError> {
        fn field<T: Field>(map: &mut Map, field: &'static str) -> Result<T, LoadError> {
            let refused = LoadError::Field {
                command: "an answer to _auth",
                field,
            };
            T::read(map.remove(field)).ok_or(refused)
        }
        Ok(Self {
            pub_key: field(map, "pub_key")?,
            publish_port: field(map, "publish_port")?,
            pub_sig: field(map, "pub_sig")?,
            token: field(map, "token")?,
            aes: field(map, "aes")?,
            session: field(map, "session")?,
            sig: field(map, "sig")?,
        })
    }

    fn to_map(&self) -> Map {
        let mut map = Map::from([("enc", "pub"), ("pub_key", &self.pub_key)]);
        map.insert("publish_port", self.publish_port);
        if let Some(pub_sig) = &self.pub_sig {
            map.insert("pub_sig", pub_sig);
        }
        if let Some(token) = &self.token {
            map.insert("token", token.as_slice());
        }
        map.insert("aes", self.aes.as_slice());
        if let Some(session) = &self.session {
            map.insert("session", session.as_slice());
        }
        map.insert("sig", self.sig.as_slice());
        map
    }
}

impl fmt::Debug for AuthReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthReply")
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Granted(_) => "Granted",
            Self::Pending => "Pending",
            Self::Rejected => "Rejected",
            Self::Full => "Full",
            Self::BadEncAlgo => "BadEncAlgo",
            Self::BadSigAlgo => "BadSigAlgo",
        })
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("publish_port", &self.publish_port)
            .finish_non_exhaustive()
    }
}
