//! What operators ask: publish, runners, wheel functions; and publishing from inside.

use std::collections::BTreeSet;
use std::collections::HashSet;

use salt_proto::event::{Event, tag};
use salt_proto::job::Functions;
use salt_proto::master::{Broadcast, Operation, OperationKind};
use salt_proto::message::PublishReply;
use salt_proto::target::{Candidate, Reading, Release, Selection, TargetKind};
use salt_proto::{Jid, Job, Map, MinionId, Target, Value};

use super::data::Bank;
use super::returns::JobReturns;
use super::{Master, blocking, rng, topic, unix_micros};
use crate::error::{Error, Result};
use crate::publish::Publication;
use crate::wire::Wire;

/// A call of a runner or wheel function.
#[derive(Debug)]
pub struct RunnerCall<'a> {
    /// The function: `jobs.list_jobs`, `key.list_all`.
    pub function: &'a str,
    /// Its positional arguments.
    pub args: &'a [Value],
    /// Its keyword arguments.
    pub kwargs: &'a Map,
    /// The user the request names: a claim, good for records only.
    pub user: &'a str,
}

/// What such a call came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// The result, or the text of the error.
    pub value: Value,
    /// Whether it went well.
    pub success: bool,
}

/// A job that is on its way.
pub(super) struct Published {
    pub(super) jid: Jid,
    pub(super) minions: Vec<String>,
    pub(super) missing: Vec<String>,
    pub(super) returns: JobReturns,
}

impl Master {
    /// Publishes a job from inside the process; its returns come as they arrive.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when nobody matches, [`Error::Closed`] when the master has stopped.
    pub async fn publish(
        &self,
        target: Target,
        function: impl Into<Functions>,
        args: Vec<Value>,
    ) -> Result<JobReturns> {
        let mut load = Map::from([
            ("fun", function.into().to_value()),
            ("arg", args.into()),
            ("tgt", target.to_value()),
            ("tgt_type", target.kind().name().into()),
            ("user", "root".into()),
        ]);
        if target.delimiter() != ":" {
            load.insert("kwargs", Map::from([("delimiter", target.delimiter())]));
        }
        let published = self.publish_load(load, "root").await.ok_or(Error::Closed)?;
        published
            .map(|published| published.returns)
            .ok_or_else(|| Error::Refused {
                name: "SaltClientError".to_owned(),
                message: PublishReply::nobody(&target.to_value())
                    .error
                    .unwrap_or_default(),
            })
    }

    /// Acts on an operator's request. `None` only when the process is ending.
    pub(super) async fn operate(&self, operation: Operation) -> Option<Vec<u8>> {
        let user = operation.operator.user().to_owned();
        let value = match operation.kind {
            OperationKind::Publish => {
                let tgt = operation.load.get("tgt").cloned().unwrap_or_default();
                let reply = match self.publish_load(operation.load.clone(), &user).await? {
                    Some(published) => PublishReply {
                        jid: Some(published.jid),
                        minions: published.minions,
                        missing: published.missing,
                        error: None,
                    },
                    None => PublishReply::nobody(&tgt),
                };
                Map::from([
                    ("enc", Value::from("clear")),
                    ("load", reply.to_map().into()),
                ])
                .into()
            }
            OperationKind::Runner => self.run(&operation.load, &user, true).await?,
            OperationKind::Wheel => self.run(&operation.load, &user, false).await?,
        };
        Some(operation.reply(&value))
    }

    /// Whom a target means, among the accepted minions.
    pub(super) fn select(&self, target: &Target, greedy: bool) -> Selection {
        let accepted = self.core().keys().accepted().unwrap_or_default();
        // Names need no data; everything else might.
        let needs_data = !matches!(
            target.kind(),
            TargetKind::Glob | TargetKind::Pcre | TargetKind::List
        );
        let load = |bank, id: &MinionId| {
            if needs_data {
                self.inner.data.load(bank, id)
            } else {
                None
            }
        };
        let data: Vec<_> = accepted
            .iter()
            .map(|id| (id, load(Bank::Grains, id), load(Bank::Pillar, id)))
            .collect();
        let candidates: Vec<_> = data
            .iter()
            .map(|(id, grains, pillar)| Candidate {
                id: id.as_str(),
                grains: grains.as_ref(),
                pillar: pillar.as_ref(),
            })
            .collect();
        let settings = self.settings();
        let reading = Reading {
            nodegroups: &settings.nodegroups,
            greedy,
            data_cache: true,
            release: settings.release,
        };
        target.select(&candidates, &reading)
    }

    /// Publishes what a load asks for: target resolved, job numbered, stored, told, sealed and sent, in this order.
    ///
    /// `None` outside: the process is ending. `None` inside: nobody matches.
    pub(super) async fn publish_load(&self, load: Map, user: &str) -> Option<Option<Published>> {
        let Some(job) = self.job_of(&load, user) else {
            return Some(None);
        };
        let master = self.clone();
        let prepared = blocking(move || {
            let selected = master.select(&job.target, true);
            if selected.minions.is_empty() {
                return Ok(None);
            }
            let ids = Self::ids(&selected.minions);
            if let Some(jobs) = &master.settings().jobs {
                jobs.store_job(&job.jid, &stored_load(&job, &load), &ids)?;
            }
            Ok(Some((job, selected, ids)))
        })
        .await?;
        let (job, selected, ids) = match prepared {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return Some(None),
            Err(error) => {
                let error: std::io::Error = error;
                tracing::error!(%error, "job not stored, so not published");
                return Some(None);
            }
        };
        self.tell_new(&job, &selected);
        let returns = self.inner.waiting.expect(job.jid.clone(), ids.clone());
        let Selection { minions, missing } = selected;
        let jid = job.jid.clone();

        let ordered = self.inner.order.lock().await;
        let ids: Vec<MinionId> = ids.into_iter().collect();
        let publication = self.core().publish(&job, &ids);
        if self.settings().release != Release::V3006 {
            self.fire(Event::new(
                tag::job_publish(&jid),
                publication.load().clone(),
            ));
        }
        let broadcast = blocking(move || publication.seal(&mut rng())).await?;
        match broadcast {
            Ok(broadcast) => {
                if self
                    .inner
                    .publisher
                    .publish(self.addressed(broadcast))
                    .await
                    .is_err()
                {
                    return None;
                }
            }
            Err(error) => {
                tracing::error!(%error, %jid, "job not sealed");
                return Some(None);
            }
        }
        drop(ordered);
        Some(Some(Published {
            jid,
            minions,
            missing,
            returns,
        }))
    }

    /// The job of a publish load, from known fields only (F5). `None` when it can mean nobody.
    fn job_of(&self, load: &Map, user: &str) -> Option<Job> {
        let mut map = Map::new();
        for key in ["fun", "arg", "tgt", "tgt_type", "ret", "to", "id"] {
            if let Some(value) = load.get(key).filter(|value| !value.is_null()) {
                map.insert(key, value.clone());
            }
        }
        map.get_or_insert_with("arg", || Value::List(Vec::new()));
        map.insert("user", user);
        let given = load
            .str("jid")
            .filter(|jid| !jid.is_empty())
            .and_then(|jid| jid.parse::<Jid>().ok());
        map.insert(
            "jid",
            given.unwrap_or_else(|| Jid::from_unix_micros(unix_micros())),
        );
        if let Some(kwargs) = load.get("kwargs").and_then(Value::as_map) {
            for key in [
                "delimiter",
                "metadata",
                "ret_config",
                "ret_kwargs",
                "module_executors",
                "executor_opts",
                "start_event",
            ] {
                if let Some(value) = kwargs.get(key).filter(|value| !value.is_null()) {
                    map.insert(key, value.clone());
                }
            }
        }
        match Job::from_map(map) {
            Ok(job) => Some(job),
            Err(error) => {
                tracing::info!(%error, "publish that can mean nobody");
                None
            }
        }
    }

    fn tell_new(&self, job: &Job, selected: &Selection) {
        let minions: Value = selected.minions.iter().map(String::as_str).collect();
        if self.has_bare_job_event() {
            self.fire(Event::new(
                job.jid.as_str(),
                Map::from([("minions", minions.clone())]),
            ));
        }
        let published = job.to_map();
        let mut data = Map::from([("jid", Value::from(&job.jid))]);
        for key in ["tgt_type", "tgt", "user", "fun", "arg"] {
            data.insert(key, published.get(key).cloned().unwrap_or_default());
        }
        data.insert("minions", minions);
        data.insert(
            "missing",
            selected
                .missing
                .iter()
                .map(String::as_str)
                .collect::<Value>(),
        );
        self.fire(Event::new(tag::job_new(&job.jid), data));
    }

    /// Says by topic or by connection who a broadcast is for.
    fn addressed(&self, broadcast: Broadcast) -> Publication {
        let Broadcast {
            recipients,
            classic,
            gcm,
        } = broadcast;
        let topics = match (&recipients, self.settings().topics) {
            (_, false) => Vec::new(),
            (Some(recipients), true) => recipients.iter().map(|one| topic(&one.topic)).collect(),
            (None, true) => vec![topic("broadcast")],
        };
        let only = match recipients {
            // Over `tcp` a job for named minions goes to those who said they are them.
            Some(recipients) if self.settings().wire == Wire::Tcp => {
                let meant: BTreeSet<&MinionId> = recipients.iter().map(|one| &one.id).collect();
                let present = self
                    .inner
                    .present
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                Some(
                    present
                        .iter()
                        .filter(|(_, id)| meant.contains(id))
                        .map(|(at, _)| *at)
                        .collect::<HashSet<_>>(),
                )
            }
            _ => None,
        };
        Publication {
            classic,
            gcm,
            topics,
            only,
        }
    }

    /// Runs a runner or wheel function, and tells about it on the bus.
    async fn run(&self, load: &Map, user: &str, is_runner: bool) -> Option<Value> {
        let (kind, source) = if is_runner {
            ("runner", self.settings().runners.clone())
        } else {
            ("wheel", self.settings().wheels.clone())
        };
        let function = load
            .str("fun")
            .unwrap_or_default()
            .trim_start_matches(&format!("{kind}."))
            .to_owned();
        let jid = Jid::from_unix_micros(unix_micros());
        let base = if is_runner {
            format!("salt/run/{jid}")
        } else {
            format!("salt/wheel/{jid}")
        };
        let args = load
            .get("arg")
            .and_then(Value::as_list)
            .unwrap_or_default()
            .to_vec();
        let mut kwargs = match load.get("kwarg") {
            Some(Value::Map(kwargs)) => kwargs.clone(),
            _ => Map::new(),
        };
        if !is_runner {
            // Arguments of wheel functions stand beside the others.
            let known = [
                "cmd", "fun", "user", "kwarg", "arg", "eauth", "token", "username", "password",
            ];
            let rest = load
                .iter()
                .filter(|(key, _)| key.as_str().is_some_and(|key| !known.contains(&key)));
            kwargs.extend(rest.map(|(key, value)| (key.clone(), value.clone())));
        }
        let mut data = Map::from([
            ("fun", Value::from(format!("{kind}.{function}"))),
            ("jid", (&jid).into()),
            ("user", user.into()),
            ("fun_args", args.clone().into()),
        ]);
        self.fire(Event::new(format!("{base}/new"), data.clone()));
        let caller = user.to_owned();
        let called = blocking(move || {
            let call = RunnerCall {
                function: &function,
                args: &args,
                kwargs: &kwargs,
                user: &caller,
            };
            source(&call).unwrap_or_else(|| Called {
                value: format!("'{function}' is not available.").into(),
                success: false,
            })
        })
        .await?;
        data.insert("return", called.value);
        data.insert("success", called.success);
        self.fire(Event::new(format!("{base}/ret"), data.clone()));
        Some(if is_runner {
            Map::from([("tag", Value::from(base)), ("jid", (&jid).into())]).into()
        } else {
            Map::from([("tag", Value::from(base)), ("data", data.into())]).into()
        })
    }
}

/// What the job cache keeps of a publish: known fields only, and no credentials (F5).
fn stored_load(job: &Job, load: &Map) -> Map {
    let published = job.to_map();
    let mut stored = Map::from([("cmd", "publish")]);
    for key in ["tgt", "fun", "arg", "tgt_type", "ret", "jid"] {
        stored.insert(key, published.get(key).cloned().unwrap_or_default());
    }
    if let Some(Value::Map(kwargs)) = load.get("kwargs") {
        let mut kwargs = kwargs.clone();
        for secret in ["token", "username", "password", "eauth", "key"] {
            kwargs.remove(secret);
        }
        stored.insert("kwargs", kwargs);
    }
    stored.insert("user", &job.user);
    stored
}
