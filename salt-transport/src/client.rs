//! What a command line uses to talk to a running master, ours or Salt's.
//!
//! A [`Client`] lives on the master's host: it proves its right to publish with a key file below the master's cache
//! directory, and hears the answers on the master's event bus.
//!
//! ```no_run
//! use salt_transport::client::{Answer, Client, ClientConfig, Publish};
//! use salt_transport::{MasterAddr, Tcp};
//!
//! # async fn run() -> salt_transport::Result<()> {
//! let config = ClientConfig::new("/var/cache/salt/master", "/var/run/salt/master");
//! let client = Client::new(config, Tcp, MasterAddr::new("127.0.0.1"));
//!
//! let mut answers = client.run(&Publish::new("web-*", "glob", "test.ping")).await?;
//! while let Some(answer) = answers.next().await? {
//!     match answer {
//!         Answer::Return(ret) => println!("{}: {}", ret.id, ret.value),
//!         Answer::Missing(id) => println!("{id} did not return"),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```

mod answers;
mod batch;
mod batch_run;
mod call;
mod hearing;
mod publish;
mod waiting;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use salt_crypto::Secret;
use salt_proto::{Limits, Map, Value, envelope, msgpack};

use crate::address::MasterAddr;
use crate::error::{Error, Result};
use crate::events::{EventListener, MASTER_PUB, PUBLISH_PULL};
use crate::pki::RootKey;
use crate::request::RequestChannel;
use crate::stream::Dial;
use crate::wire::Wire;
use hearing::Hearing;

pub use answers::{Answer, Answers};
pub use batch::{Batch, BatchSize, InvalidBatchSize};
pub use batch_run::{BatchAnswer, BatchOptions, BatchRun};
pub use call::{Call, Started};
pub use publish::{Credentials, Publish, Published};

/// Where a master keeps what its command line needs, and how long to be patient with it.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The framing of the request channel: Salt's `transport`. Default ZeroMQ.
    pub wire: Wire,
    /// The master's `cachedir`, with the key file in it.
    pub cache_dir: PathBuf,
    /// The master's `sock_dir`, with the sockets of its event bus.
    pub sock_dir: PathBuf,
    /// Who asks, as the job's `user` says it: a name, or `sudo_<name>`. Default `root`.
    pub user: String,
    /// Whose key file is read: `<cachedir>/.<key_user>_key`. Default `root`.
    pub key_user: String,
    /// How long the master may take to answer a request. Default 15 s.
    pub request_timeout: Duration,
    /// How long a minion may be silent before it is asked whether it is working: Salt's `timeout`. Default 5 s.
    pub timeout: Duration,
    /// How long to wait for the answers to that: Salt's `gather_job_timeout`. Default 10 s.
    pub gather_job_timeout: Duration,
    /// What is believed of an answer's size.
    pub limits: Limits,
}

impl ClientConfig {
    /// The defaults, for a master with these directories.
    pub fn new(cache_dir: impl Into<PathBuf>, sock_dir: impl Into<PathBuf>) -> Self {
        Self {
            wire: Wire::default(),
            cache_dir: cache_dir.into(),
            sock_dir: sock_dir.into(),
            user: "root".to_owned(),
            key_user: "root".to_owned(),
            request_timeout: Duration::from_secs(15),
            timeout: Duration::from_secs(5),
            gather_job_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}

/// Publishes jobs and asks for runners, wheel functions and tokens, in the clear, on the master's own host.
///
/// Clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: ClientConfig,
    master: MasterAddr,
    channel: RequestChannel,
}

impl Client {
    /// A client that has not connected yet; it does with the first request.
    pub fn new(config: ClientConfig, dial: impl Dial, master: MasterAddr) -> Self {
        let channel = RequestChannel::new(dial, master.clone(), config.wire);
        Self {
            inner: Arc::new(Inner {
                config,
                master,
                channel,
            }),
        }
    }

    /// How it was set up.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// Whom it asks.
    pub fn master(&self) -> &MasterAddr {
        &self.inner.master
    }

    /// Publishes a job and waits for nothing but the master's word that it did.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`], [`Error::NobodyMatched`], [`Error::Refused`] with Salt's words, or why the master could
    /// not be asked.
    pub async fn publish(&self, publish: &Publish) -> Result<Published> {
        self.check_running()?;
        let reply = self
            .ask_with_key(&publish.credentials, |key| {
                publish.load(key, &self.inner.config)
            })
            .await?;
        Published::from_reply(reply)
    }

    /// Publishes a job and hears its answers.
    ///
    /// The bus is joined before the job is published, so no answer is missed.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and when the bus cannot be joined.
    pub async fn run(&self, publish: &Publish) -> Result<Answers> {
        let listener = self.listen().await?;
        let published = self.publish(publish).await?;
        let hearing = Hearing::new(self.clone(), listener, publish);
        Ok(Answers::new(hearing, published))
    }

    /// Runs a job on a few of the targeted minions at a time.
    ///
    /// The target is pinged first; those who answer get the job, all under one job id.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_batch(&self, publish: &Publish, options: BatchOptions) -> Result<BatchRun> {
        let pinging = self.run(&publish.asking("test.ping")).await?;
        Ok(BatchRun::new(
            self.clone(),
            publish.clone(),
            options,
            pinging,
        ))
    }

    /// At most `n` random minions of the target, out of those that have every function of the job; sorted.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); [`Error::NobodyMatched`] when no minion has them.
    pub async fn subset(&self, publish: &Publish, n: usize) -> Result<Vec<String>> {
        let question = publish.asking("sys.list_functions");
        let mut answers = self.run(&question).await?;
        let mut able = Vec::new();
        while let Some(answer) = answers.next().await? {
            let Answer::Return(ret) = answer else {
                continue;
            };
            let has = |name: &str| {
                let known = ret.value.as_list().unwrap_or_default();
                known.iter().any(|known| known.as_str() == Some(name))
            };
            if publish.function.names().all(has) {
                able.push(ret.id.as_str().to_owned());
            }
        }
        if able.is_empty() {
            return Err(Error::NobodyMatched);
        }
        // The first n of a Fisher-Yates shuffle.
        let len = able.len();
        for at in 0..n.min(len) {
            let rest = u64::try_from(len - at).unwrap_or(u64::MAX);
            let other = at + usize::try_from(crate::random::u64() % rest).unwrap_or(0);
            able.swap(at, other);
        }
        able.truncate(n);
        able.sort();
        Ok(able)
    }

    /// Joins the master's event bus. Everything fired from now on is heard.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`], or the socket cannot be connected to.
    pub async fn listen(&self) -> Result<EventListener> {
        self.check_running()?;
        EventListener::connect(&self.inner.config.sock_dir.join(MASTER_PUB))
            .await
            .map_err(Error::io("connecting to the event bus"))
    }

    /// The same test as Salt's programs make before they send anything.
    fn check_running(&self) -> Result<()> {
        let sock_dir = &self.inner.config.sock_dir;
        match sock_dir.join(PUBLISH_PULL).try_exists() {
            Ok(true) => Ok(()),
            _ => Err(Error::NotRunning {
                sock_dir: sock_dir.clone(),
            }),
        }
    }

    /// Sends a load and reads the reply. When it is empty the key file has perhaps changed: it is read once more, and
    /// if so, the load is sent once more.
    async fn ask_with_key(
        &self,
        credentials: &Credentials,
        load: impl Fn(Option<&Secret<String>>) -> Map,
    ) -> Result<Map> {
        let mut key = self.key(credentials);
        for last in [false, true] {
            let reply = self.ask(&load(key.as_ref())).await?;
            match reply {
                Value::Map(reply) if !reply.is_empty() => return refusal(reply),
                // Salt answers an empty map or text when it will not say why.
                _ if last => break,
                _ => {}
            }
            let again = self.key(credentials);
            let changed = match (&key, &again) {
                (Some(key), Some(again)) => !key.ct_eq(again.expose()),
                (None, Some(_)) => true,
                _ => false,
            };
            if !changed {
                break;
            }
            key = again;
        }
        Err(Error::Refused {
            name: "EauthAuthenticationError".to_owned(),
            message: NOT_PERMITTED.to_owned(),
        })
    }

    /// Sends one load in the clear.
    async fn ask(&self, load: &Map) -> Result<Value> {
        let config = &self.inner.config;
        let mut body = Vec::new();
        envelope::clear_request(load, &mut body);
        let reply = self
            .inner
            .channel
            .request(Bytes::from(body), config.request_timeout)
            .await?;
        msgpack::decode(&reply, &config.limits)
            .map_err(|_| Error::Protocol("an answer that is not MessagePack"))
    }

    /// The content of the key file; none for who comes with other credentials, or may not read it.
    fn key(&self, credentials: &Credentials) -> Option<Secret<String>> {
        match credentials {
            Credentials::Key => {}
            Credentials::Token(_) | Credentials::External { .. } => return None,
        }
        let config = &self.inner.config;
        match RootKey::read(&config.cache_dir, &config.key_user) {
            Ok(key) => Some(key),
            Err(error) => {
                tracing::debug!(%error, "no key file");
                None
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

/// Salt's text for an answer that says nothing.
const NOT_PERMITTED: &str = "Failed to authenticate! This is most likely because this user is not permitted to \
                             execute commands, but there is a small possibility that a disk error occurred \
                             (check disk/inode usage).";

/// A reply with an `error` is one.
fn refusal(mut reply: Map) -> Result<Map> {
    let text = |error: &Map, key: &str| error.str(key).unwrap_or_default().to_owned();
    let (name, message) = match reply.remove("error") {
        None | Some(Value::Null) => return Ok(reply),
        Some(Value::Map(error)) => (text(&error, "name"), text(&error, "message")),
        Some(Value::Str(message)) => (String::new(), message),
        Some(_) => return Err(Error::Protocol("an error that is neither a map nor text")),
    };
    Err(Error::Refused { name, message })
}

#[cfg(test)]
mod tests;
