//! Hears what the bus says of one job, and asks the silent whether they are working.

use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Instant;

use salt_proto::{Event, Jid, Return, Value};

use super::waiting::{Step, Waiting};
use super::{Client, Publish, Published};
use crate::error::{Error, Result};
use crate::events::EventListener;
use crate::wire::now;

/// A publish under way. It is kept here and in no future of a caller, so that a caller may stop waiting and go on.
pub(super) type Publishing = Pin<Box<dyn Future<Output = Result<Published>> + Send>>;

/// Publishes `publish`; the future holds all it needs.
pub(super) fn publishing(client: &Client, publish: Publish) -> Publishing {
    let client = client.clone();
    Box::pin(async move { client.publish(&publish).await })
}

pub(super) struct Hearing {
    client: Client,
    listener: EventListener,
    /// The job's right to publish, for the question whether it is running.
    question: Publish,
    /// The job; not known before it was published.
    jid: Option<Jid>,
    waiting: Waiting,
    asking: Option<Publishing>,
    /// The job id of the last question.
    asked: Option<Jid>,
    answered: BTreeSet<String>,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// The first return of a minion.
    Return(Box<Return>),
    /// A minion says that it is working.
    Working(String),
    /// These say nothing.
    Late(Vec<String>),
    /// It is as late as the caller wanted to be told.
    Tick,
}

impl Hearing {
    pub(super) fn new(client: Client, listener: EventListener, publish: &Publish) -> Self {
        let config = client.config();
        Self {
            waiting: Waiting::new(config.timeout, config.gather_job_timeout),
            question: publish.asking("saltutil.find_job"),
            client,
            listener,
            jid: None,
            asking: None,
            asked: None,
            answered: BTreeSet::new(),
        }
    }

    /// Waits for these minions of a job.
    pub(super) fn expect(&mut self, jid: &Jid, ids: &[String]) {
        self.jid = Some(jid.clone());
        self.waiting.expect(ids.iter().map(String::as_str), now());
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_done()
    }

    /// Who has not answered, sorted.
    pub(super) fn unanswered(&self) -> Vec<String> {
        self.waiting.unanswered()
    }

    pub(super) fn has_answered(&self, id: &str) -> bool {
        self.answered.contains(id)
    }

    /// The next thing heard, at the latest at `until`. Cancel-safe.
    pub(super) async fn next(&mut self, until: Option<Instant>) -> Result<Heard> {
        loop {
            if self.asking.is_none() {
                match self.waiting.poll_step(now()) {
                    Some(Step::Late(ids)) => return Ok(Heard::Late(ids)),
                    Some(Step::Ask(ids)) => self.ask(&ids),
                    None => {}
                }
            }
            let asking = self.asking.is_some();
            let wake = match asking {
                true => until,
                false => [self.waiting.poll_timeout(), until]
                    .into_iter()
                    .flatten()
                    .min(),
            };
            tokio::select! {
                biased;
                // What the minions say meanwhile waits in the socket.
                published = publish_or_never(&mut self.asking) => {
                    self.asking = None;
                    self.waiting.handle_asked(now());
                    match published {
                        Ok(published) => self.asked = Some(published.jid),
                        // Then nobody says that he is working.
                        Err(error) => tracing::debug!(%error, "saltutil.find_job was not published"),
                    }
                }
                event = self.listener.next(), if !asking => {
                    let event = event.map_err(Error::io("reading the event bus"))?;
                    if let Some(heard) = self.handle_event(event.ok_or(Error::Closed)?) {
                        return Ok(heard);
                    }
                }
                () = sleep_until(wake) => {
                    if until.is_some_and(|until| until <= now()) {
                        return Ok(Heard::Tick);
                    }
                }
            }
        }
    }

    fn ask(&mut self, ids: &[String]) {
        let Some(jid) = &self.jid else { return };
        let question = self.question.to_minions(ids).args(vec![jid.into()]);
        self.asked = None;
        self.asking = Some(publishing(&self.client, question));
    }

    fn handle_event(&mut self, event: Event) -> Option<Heard> {
        let parts: Vec<&str> = event.tag.split('/').collect();
        let is =
            |jid: &Option<Jid>, text: &str| jid.as_ref().is_some_and(|jid| jid.as_str() == text);
        match parts.as_slice() {
            ["salt", "job", jid, "ret", id] if is(&self.jid, jid) => {
                let ret = match Return::from_map(event.data) {
                    Ok(ret) if ret.id == *id => ret,
                    Ok(_) => return None,
                    Err(error) => {
                        tracing::debug!(tag = event.tag, %error, "not a return");
                        return None;
                    }
                };
                self.answered.insert((*id).to_owned());
                self.waiting
                    .handle_return(id)
                    .then(|| Heard::Return(Box::new(ret)))
            }
            ["salt", "job", jid, "ret", id] if is(&self.asked, jid) => {
                // An empty map: it does not know the job.
                let works =
                    matches!(event.data.get("return"), Some(Value::Map(job)) if !job.is_empty());
                if !works || self.answered.contains(*id) {
                    return None;
                }
                self.waiting.handle_working(id, now());
                Some(Heard::Working((*id).to_owned()))
            }
            // Masters of masters tell of further minions this way.
            ["salt", "job", jid, "new"] | [jid] if is(&self.jid, jid) => {
                let ids = event.data.get("minions").and_then(Value::as_list);
                let ids = ids.unwrap_or_default().iter().filter_map(Value::as_str);
                self.waiting.expect(ids, now());
                None
            }
            _ => None,
        }
    }
}

/// Waits for a publish; it stays where it is.
async fn publish_or_never(publishing: &mut Option<Publishing>) -> Result<Published> {
    match publishing {
        Some(publishing) => publishing.as_mut().await,
        None => pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await,
        None => pending().await,
    }
}
