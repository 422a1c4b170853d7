//! What a client asks the master itself: runners, wheel functions, tokens.

use std::fmt;
use std::time::Duration;

use salt_crypto::Secret;
use salt_proto::message::{GetToken, MkToken, RunnerRequest, WheelRequest};
use salt_proto::{Jid, Map, Value};

use super::{Client, Credentials, NOT_PERMITTED, refusal};
use crate::error::{Error, Result};

/// A runner or wheel function to call on the master.
#[derive(Clone)]
pub struct Call {
    /// `jobs.list_jobs`, `key.list_all`, …
    pub function: String,
    /// Positional arguments; wheel functions take none.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Map,
    /// How the right to call it is proved.
    pub credentials: Credentials,
}

impl Call {
    /// A call without arguments, proved by the key file.
    pub fn new(function: impl Into<String>) -> Self {
        Self {
            function: function.into(),
            args: Vec::new(),
            kwargs: Map::new(),
            credentials: Credentials::Key,
        }
    }

    fn token(&self) -> Option<String> {
        match &self.credentials {
            Credentials::Token(token) => Some(token.expose().clone()),
            _ => None,
        }
    }

    /// The name of the external service, and what it wants to know.
    fn external(&self) -> (Option<String>, Map) {
        match &self.credentials {
            Credentials::External { eauth, fields } => (Some(eauth.clone()), exposed(fields)),
            _ => (None, Map::new()),
        }
    }
}

impl fmt::Debug for Call {
    /// Without arguments, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

fn exposed(fields: &[(String, Secret<String>)]) -> Map {
    fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose().as_str()))
        .collect()
}

/// A runner that the master has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its job.
    pub jid: Jid,
    /// What its events begin with: `salt/run/<jid>`.
    pub tag: String,
}

impl Client {
    /// Starts a runner; its result appears on the bus and in the job cache.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with Salt's words, or why the master could not be asked.
    pub async fn start_runner(&self, call: &Call) -> Result<Started> {
        let reply = self
            .ask_with_key(&call.credentials, |key| {
                let (eauth, extra) = call.external();
                RunnerRequest {
                    function: call.function.clone(),
                    kwarg: Some(call.kwargs.clone()),
                    arg: Some(call.args.clone()),
                    key: key.map(|key| key.expose().clone()),
                    token: call.token(),
                    eauth,
                    user: Some(self.config().user.clone()),
                    extra,
                }
                .to_map()
            })
            .await?;
        let jid = reply.get("jid").and_then(|jid| Jid::try_from(jid).ok());
        let jid = jid.ok_or(Error::Protocol("an answer to runner without a jid"))?;
        let tag = match reply.str("tag") {
            Some(tag) => tag.to_owned(),
            None => format!("salt/run/{jid}"),
        };
        Ok(Started { jid, tag })
    }

    /// Runs a runner and waits for its end: `fun`, `jid`, `return`, `success`, `user`, …
    ///
    /// # Errors
    ///
    /// As [`start_runner`](Self::start_runner); [`Error::TimedOut`] after `timeout`.
    pub async fn run_runner(&self, call: &Call, timeout: Duration) -> Result<Map> {
        let mut listener = self.listen().await?;
        let started = self.start_runner(call).await?;
        let tag = format!("{}/ret", started.tag);
        let hearing = async {
            loop {
                let event = listener.next().await;
                match event.map_err(Error::io("reading the event bus"))? {
                    Some(event) if event.tag == tag => return Ok(event.data),
                    Some(_) => {}
                    None => return Err(Error::Closed),
                }
            }
        };
        tokio::time::timeout(timeout, hearing)
            .await
            .unwrap_or(Err(Error::TimedOut))
    }

    /// Runs a wheel function: `fun`, `jid`, `return`, `success`, `user`, …
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with Salt's words, or why the master could not be asked.
    pub async fn wheel(&self, call: &Call) -> Result<Map> {
        let mut reply = self
            .ask_with_key(&call.credentials, |key| {
                let (eauth, mut extra) = call.external();
                extra.extend(call.kwargs.clone());
                WheelRequest {
                    function: call.function.clone(),
                    key: key.map(|key| key.expose().clone()),
                    token: call.token(),
                    eauth,
                    user: Some(self.config().user.clone()),
                    extra,
                }
                .to_map()
            })
            .await?;
        match reply.remove("data") {
            Some(Value::Map(data)) => Ok(data),
            _ => Err(Error::Protocol("an answer to wheel without data")),
        }
    }

    /// Exchanges what an external service knows for a token: `token`, `start`, `expire`, `name`, `eauth`, …
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when the service does not know it.
    pub async fn make_token(
        &self,
        eauth: &str,
        fields: &[(String, Secret<String>)],
    ) -> Result<Map> {
        let request = MkToken {
            eauth: Some(eauth.to_owned()),
            token_expire: None,
            extra: exposed(fields),
        };
        self.token_map(&request.to_map()).await
    }

    /// What the master knows of a token: `name`, `eauth`, `expire`, …
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when it knows nothing.
    pub async fn token(&self, token: &Secret<String>) -> Result<Map> {
        let request = GetToken {
            token: Some(token.expose().clone()),
            extra: Map::new(),
        };
        self.token_map(&request.to_map()).await
    }

    async fn token_map(&self, load: &Map) -> Result<Map> {
        match self.ask(load).await? {
            Value::Map(reply) if !reply.is_empty() => refusal(reply),
            _ => Err(Error::Refused {
                name: "EauthAuthenticationError".to_owned(),
                message: NOT_PERMITTED.to_owned(),
            }),
        }
    }
}
