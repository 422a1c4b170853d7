//! A job to publish, and what the master says to it.

use std::fmt;

use salt_crypto::Secret;
use salt_proto::message::{PublishReply, PublishRequest};
use salt_proto::{Functions, Jid, Map, Value};

use super::ClientConfig;
use crate::error::{Error, Result};

/// How the right to publish is proved.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// By the key file that the master keeps for this user.
    #[default]
    Key,
    /// By a token that the master gave out.
    Token(Secret<String>),
    /// By what an external service knows.
    External {
        /// Salt's name of the service: `pam`, `ldap`, …
        eauth: String,
        /// What it wants to know, usually `username` and `password`.
        fields: Vec<(String, Secret<String>)>,
    },
}

impl Credentials {
    /// Adds what a request carries besides the key.
    pub(super) fn put(&self, map: &mut Map) {
        match self {
            Self::Key => {}
            Self::Token(token) => {
                map.insert("token", token.expose());
            }
            Self::External { eauth, fields } => {
                map.insert("eauth", eauth);
                for (name, value) in fields {
                    map.insert(name, value.expose());
                }
            }
        }
    }
}

/// A job to publish.
#[derive(Clone)]
pub struct Publish {
    /// Who is meant: text, or a list of ids.
    pub target: Value,
    /// How `target` is read: `glob`, `list`, `grain`, `compound`, …
    pub target_kind: String,
    /// What separates keys in grain and pillar targets. Default `:`.
    pub delimiter: String,
    /// What to call.
    pub function: Functions,
    /// The positional arguments. Of several functions: one list for each.
    pub args: Vec<Value>,
    /// The keyword arguments. Of several functions they belong into the lists of `args`.
    pub kwargs: Map,
    /// Returners besides the master, comma-separated. Default none.
    pub ret: String,
    /// A job id to use. Default: the master makes one.
    pub jid: Option<Jid>,
    /// The timeout in seconds that masters pass on to syndics. Default none.
    pub to: Option<u64>,
    /// Further settings of the publish: `metadata`, `ret_config`, `module_executors`, `show_jid`, …
    pub settings: Map,
    /// How the right to publish is proved.
    pub credentials: Credentials,
}

impl Publish {
    /// A job without arguments, proved by the key file.
    pub fn new(
        target: impl Into<Value>,
        target_kind: impl Into<String>,
        function: impl Into<Functions>,
    ) -> Self {
        Self {
            target: target.into(),
            target_kind: target_kind.into(),
            delimiter: ":".to_owned(),
            function: function.into(),
            args: Vec::new(),
            kwargs: Map::new(),
            ret: String::new(),
            jid: None,
            to: None,
            settings: Map::new(),
            credentials: Credentials::Key,
        }
    }

    /// The same with positional arguments.
    #[must_use]
    pub fn args(self, args: Vec<Value>) -> Self {
        Self { args, ..self }
    }

    /// The same job for these minions only.
    pub(super) fn to_minions(&self, ids: &[String]) -> Self {
        Self {
            target: ids.iter().collect(),
            target_kind: "list".to_owned(),
            ..self.clone()
        }
    }

    /// Another function for the same target, without arguments.
    pub(super) fn asking(&self, function: &str) -> Self {
        Self {
            delimiter: self.delimiter.clone(),
            credentials: self.credentials.clone(),
            ..Self::new(self.target.clone(), self.target_kind.clone(), function)
        }
    }

    /// The load of the request.
    pub(super) fn load(&self, key: Option<&Secret<String>>, config: &ClientConfig) -> Map {
        let mut args = self.args.clone();
        if !self.kwargs.is_empty() {
            let mut kwargs = Map::from([("__kwarg__", true)]);
            kwargs.extend(self.kwargs.iter().map(|(k, v)| (k.clone(), v.clone())));
            args.push(kwargs.into());
        }
        let mut settings = self.settings.clone();
        settings.insert("delimiter", &self.delimiter);
        self.credentials.put(&mut settings);
        PublishRequest {
            tgt: self.target.clone(),
            function: self.function.clone(),
            arg: args,
            key: key.map(|key| key.expose().clone()),
            tgt_type: Some(self.target_kind.clone()),
            ret: Some(self.ret.clone()),
            jid: Some(self.jid.as_ref().map(Jid::to_string).unwrap_or_default()),
            kwargs: Some(settings),
            user: Some(config.user.clone()),
            to: self.to.map(Value::from),
            extra: Map::new(),
        }
        .to_map()
    }
}

impl fmt::Debug for Publish {
    /// Without arguments and settings, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("target", &self.target)
            .field("target_kind", &self.target_kind)
            .field("function", &self.function)
            .field("jid", &self.jid)
            .finish_non_exhaustive()
    }
}

/// What the master published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The job.
    pub jid: Jid,
    /// Who is expected to answer.
    pub minions: Vec<String>,
    /// Who was listed and is not accepted.
    pub missing: Vec<String>,
}

impl Published {
    pub(super) fn from_reply(mut reply: Map) -> Result<Self> {
        let Some(Value::Map(load)) = reply.remove("load") else {
            return Err(Error::Protocol("an answer to publish without a load"));
        };
        let load = PublishReply::from_map(load)
            .map_err(|_| Error::Protocol("an answer to publish that is none"))?;
        match load.jid {
            Some(jid) if !load.minions.is_empty() => Ok(Self {
                jid,
                minions: load.minions,
                missing: load.missing,
            }),
            _ => Err(Error::NobodyMatched),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ClientConfig {
        ClientConfig::new("/cache", "/run")
    }

    // Recorded: `salt 'L@cap1 …' test.arg a 1 '{x: [1, null]}' k=v` of 3006.27 and 3008.3.
    #[test]
    fn the_load_is_the_one_that_salts_command_line_sends() {
        let mut publish = Publish::new("L@cap1 and not G@role:db", "compound", "test.arg");
        publish.args = vec!["a".into(), 1.into()];
        publish.kwargs.insert("k", "v");
        publish.settings.insert("show_timeout", true);
        publish.settings.insert("show_jid", false);
        let key = Secret::new("KEY".to_owned());

        let load = publish.load(Some(&key), &config());

        let kwargs = Map::from([("__kwarg__", Value::from(true)), ("k", "v".into())]);
        let settings = Map::from([
            ("show_timeout", Value::from(true)),
            ("show_jid", false.into()),
            ("delimiter", ":".into()),
        ]);
        let expected: Vec<(&str, Value)> = vec![
            ("cmd", "publish".into()),
            ("tgt", "L@cap1 and not G@role:db".into()),
            ("fun", "test.arg".into()),
            (
                "arg",
                Value::List(vec!["a".into(), 1.into(), kwargs.into()]),
            ),
            ("key", "KEY".into()),
            ("tgt_type", "compound".into()),
            ("ret", "".into()),
            ("jid", "".into()),
            ("kwargs", settings.into()),
            ("user", "root".into()),
        ];
        let load: Vec<_> = load
            .iter()
            .map(|(key, value)| (key.as_str().unwrap(), value.clone()))
            .collect();
        assert_eq!(load, expected);
    }

    #[test]
    fn credentials_stand_in_for_the_key_and_are_never_shown() {
        let mut publish = Publish::new("*", "glob", "test.ping");
        publish.credentials = Credentials::External {
            eauth: "pam".to_owned(),
            fields: vec![("password".to_owned(), Secret::new("hunter2".to_owned()))],
        };

        let load = publish.load(None, &config());

        assert_eq!(load.get("key"), None);
        assert_eq!(
            load.get("kwargs").unwrap().get("password"),
            Some(&"hunter2".into())
        );
        assert!(!format!("{publish:?} {:?}", publish.credentials).contains("hunter2"));
    }

    #[test]
    fn an_answer_without_minions_matched_nobody() {
        let load = Map::from([
            ("jid", Value::Null),
            ("minions", Value::List(Vec::new())),
            (
                "error",
                "Master could not resolve minions for target x".into(),
            ),
        ]);
        let reply = Map::from([("enc", Value::from("clear")), ("load", load.into())]);

        assert!(matches!(
            Published::from_reply(reply),
            Err(Error::NobodyMatched)
        ));
        assert!(matches!(
            Published::from_reply(Map::new()),
            Err(Error::Protocol(_))
        ));
    }
}
