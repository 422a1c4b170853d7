//! What the command line asks its own master, in the clear.

use super::{LoadError, load};
use crate::jid::Jid;
use crate::job::Functions;
use crate::message::field::{self, Field};
use crate::value::{Map, Value};

load! {
    /// `publish`: start a job.
    PublishRequest = "publish" {
        /// Who is meant: text or a list.
        tgt: Value = "tgt",
        /// What to call.
        function: Functions = "fun",
        /// The arguments, as in a job.
        arg: Vec<Value> = "arg",
        /// The content of a key file on the master's host. A secret.
        key: Option<String> = "key",
        /// How to read `tgt`; absent means glob.
        tgt_type: Option<String> = "tgt_type",
        /// Returners besides the master, comma-separated.
        ret: Option<String> = "ret",
        /// A job id to use; empty or absent asks for one.
        jid: Option<String> = "jid",
        /// Further settings: `delimiter`, `metadata`, and the secrets `token`,
        /// `username`, `password` with `eauth`.
        kwargs: Option<Map> = "kwargs",
        /// Who asks. Grants nothing by itself.
        user: Option<String> = "user",
        /// The timeout that syndics pass on.
        to: Option<Value> = "to",
    }
}

/// The load of the answer to [`PublishRequest`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishReply {
    /// The job, or `None` if nobody matched.
    pub jid: Option<Jid>,
    /// Who is expected to answer.
    pub minions: Vec<String>,
    /// Who was listed and is not accepted.
    pub missing: Vec<String>,
    /// Why nothing was published.
    pub error: Option<String>,
}

impl PublishReply {
    /// The answer when nobody matches, in Salt's words.
    pub fn nobody(target: &Value) -> Self {
        Self {
            error: Some(format!(
                "Master could not resolve minions for target {target}"
            )),
            ..Self::default()
        }
    }

    /// Reads the load.
    ///
    /// # Errors
    ///
    /// If a field has the wrong type.
    pub fn from_map(mut map: Map) -> Result<Self, LoadError> {
        let refused = |field| LoadError::Field {
            command: "an answer to publish",
            field,
        };
        let jid = match map.remove("jid") {
            None | Some(Value::Null) => None,
            Some(jid) => Some(Jid::try_from(&jid).map_err(|_| refused("jid"))?),
        };
        let mut ids = |key| {
            let ids: Option<Option<Vec<String>>> = Field::read(map.remove(key));
            ids.map(Option::unwrap_or_default)
                .ok_or_else(|| refused(key))
        };
        Ok(Self {
            jid,
            minions: ids("minions")?,
            missing: ids("missing")?,
            error: map.remove("error").and_then(field::text),
        })
    }

    /// The load.
    pub fn to_map(&self) -> Map {
        let mut map = Map::from([
            ("jid", Value::from(self.jid.as_ref())),
            ("minions", self.minions.iter().collect()),
        ]);
        match &self.error {
            Some(error) => map.insert("error", error),
            None => map.insert("missing", self.missing.iter().collect::<Value>()),
        };
        map
    }
}

load! {
    /// `runner`: start a runner; its result appears on the bus.
    RunnerRequest = "runner" {
        /// The runner, `jobs.list_jobs`.
        function: String = "fun",
        /// Keyword arguments.
        kwarg: Option<Map> = "kwarg",
        /// Positional arguments.
        arg: Option<Vec<Value>> = "arg",
        /// The content of a key file on the master's host. A secret.
        key: Option<String> = "key",
        /// A token. A secret.
        token: Option<String> = "token",
        /// The service that knows the credentials in `extra`.
        eauth: Option<String> = "eauth",
        /// Who asks. Grants nothing by itself.
        user: Option<String> = "user",
    }
}

load! {
    /// `wheel`: run a wheel function and wait; its arguments are in `extra`.
    WheelRequest = "wheel" {
        /// The function, `key.list_all`.
        function: String = "fun",
        /// The content of a key file on the master's host. A secret.
        key: Option<String> = "key",
        /// A token. A secret.
        token: Option<String> = "token",
        /// The service that knows the credentials in `extra`.
        eauth: Option<String> = "eauth",
        /// Who asks. Grants nothing by itself.
        user: Option<String> = "user",
    }
}

load! {
    /// `mk_token`: exchange credentials, which are in `extra`, for a token.
    MkToken = "mk_token" {
        /// The service that knows the credentials.
        eauth: Option<String> = "eauth",
        /// How long the token shall live, in seconds.
        token_expire: Option<Value> = "token_expire",
    }
}

load! {
    /// `get_token`: what is known about a token.
    GetToken = "get_token" {
        /// The token. A secret, and not checked yet.
        token: Option<String> = "token",
    }
}
