//! A job on a few minions at a time.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use salt_proto::{Jid, Return};

use super::answers::{Answer, Answers};
use super::batch::{Batch, BatchSize};
use super::hearing::{Heard, Hearing, Publishing, publishing};
use super::{Client, Publish, Published};
use crate::error::{Error, Result};
use crate::wire::now;

/// How a batch goes on.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// How many minions work at a time.
    pub size: BatchSize,
    /// How long a place stays empty after a minion has ended. Default none.
    pub wait: Duration,
    /// Whether the first return with another exit code than 0 ends it. Default `false`.
    pub failhard: bool,
}

impl BatchOptions {
    /// A batch of that size with the defaults.
    pub fn new(size: BatchSize) -> Self {
        Self {
            size,
            wait: Duration::ZERO,
            failhard: false,
        }
    }
}

/// What happens in a batch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BatchAnswer {
    /// A minion did not answer the ping; it gets no job.
    Absent(String),
    /// These minions got the job.
    Started(Vec<String>),
    /// A minion returned.
    Return(Box<Return>),
    /// A minion got the job, and neither returned nor said that it is working.
    Missing(String),
    /// A return failed and `failhard` was asked for: nothing more comes.
    Stopped,
}

/// The answers of a batch, as they come.
pub struct BatchRun {
    client: Client,
    publish: Publish,
    options: BatchOptions,
    stage: Stage,
    /// To be told before anything else happens.
    told: VecDeque<BatchAnswer>,
    /// To be told once the places they freed are taken: as in Salt 3008, the next start comes before the answer.
    held: VecDeque<BatchAnswer>,
}

enum Stage {
    Pinging {
        answers: Box<Answers>,
        present: Vec<String>,
    },
    Working(Box<Working>),
    Ended,
}

struct Working {
    batch: Batch,
    hearing: Hearing,
    starting: Option<(Vec<String>, Publishing)>,
}

impl BatchRun {
    pub(super) fn new(
        client: Client,
        publish: Publish,
        options: BatchOptions,
        pinging: Answers,
    ) -> Self {
        let stage = Stage::Pinging {
            answers: Box::new(pinging),
            present: Vec::new(),
        };
        Self {
            client,
            publish,
            options,
            stage,
            told: VecDeque::new(),
            held: VecDeque::new(),
        }
    }

    /// The job, once the first minions have got it.
    pub fn jid(&self) -> Option<&Jid> {
        self.publish.jid.as_ref()
    }

    /// The next answer, or `None` at the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the job cannot be published, or the event bus ends.
    pub async fn next(&mut self) -> Result<Option<BatchAnswer>> {
        loop {
            if let Some(answer) = self.told.pop_front() {
                return Ok(Some(answer));
            }
            match &mut self.stage {
                Stage::Ended => return Ok(None),
                Stage::Pinging { answers, present } => match answers.next().await? {
                    Some(Answer::Return(ret)) => present.push(ret.id.as_str().to_owned()),
                    Some(Answer::Missing(id)) => return Ok(Some(BatchAnswer::Absent(id))),
                    Some(Answer::Working(_)) => {}
                    None => {
                        let listener = self.client.listen().await?;
                        let mut present = std::mem::take(present);
                        present.sort();
                        let hearing = Hearing::new(self.client.clone(), listener, &self.publish);
                        let batch = Batch::new(present, self.options.size, self.options.wait);
                        self.stage = Stage::Working(Box::new(Working {
                            batch,
                            hearing,
                            starting: None,
                        }));
                    }
                },
                Stage::Working(working) => {
                    if working.starting.is_none()
                        && let Some(ids) = working.batch.poll_start(now())
                    {
                        let publish = self.publish.to_minions(&ids);
                        working.starting = Some((ids, publishing(&self.client, publish)));
                    }
                    if working.starting.is_some() {
                        self.started().await?;
                    } else {
                        self.told.append(&mut self.held);
                        if self.told.is_empty() {
                            self.hear().await?;
                        }
                    }
                }
            }
        }
    }

    /// Waits for the publish under way.
    async fn started(&mut self) -> Result<()> {
        let Stage::Working(working) = &mut self.stage else {
            return Ok(());
        };
        let Some((_, publishing)) = &mut working.starting else {
            return Ok(());
        };
        let published = match publishing.as_mut().await {
            Ok(published) => Some(published),
            // The keys of all of them were deleted meanwhile.
            Err(Error::NobodyMatched) => None,
            Err(error) => {
                self.stage = Stage::Ended;
                return Err(error);
            }
        };
        let ids = working
            .starting
            .take()
            .map(|(ids, _)| ids)
            .unwrap_or_default();
        let minions = match &published {
            Some(Published { jid, minions, .. }) => {
                working.hearing.expect(jid, minions);
                // All the others get the job under the same id.
                self.publish.jid.get_or_insert_with(|| jid.clone());
                minions.as_slice()
            }
            None => &[],
        };
        for id in &ids {
            if !minions.contains(id) {
                working.batch.handle_end(id, now());
                self.held.push_back(BatchAnswer::Missing(id.clone()));
            }
        }
        self.told.push_back(BatchAnswer::Started(ids));
        Ok(())
    }

    /// Waits for what the working say.
    async fn hear(&mut self) -> Result<()> {
        let Stage::Working(working) = &mut self.stage else {
            return Ok(());
        };
        if working.batch.is_done() {
            self.stage = Stage::Ended;
            return Ok(());
        }
        match working.hearing.next(working.batch.poll_timeout()).await? {
            Heard::Return(ret) => {
                working.batch.handle_end(ret.id.as_str(), now());
                if self.options.failhard && ret.exit_code() != 0 {
                    self.told
                        .extend([BatchAnswer::Return(ret), BatchAnswer::Stopped]);
                    self.stage = Stage::Ended;
                } else {
                    self.held.push_back(BatchAnswer::Return(ret));
                }
            }
            Heard::Late(ids) => {
                for id in ids {
                    working.batch.handle_end(&id, now());
                    self.held.push_back(BatchAnswer::Missing(id));
                }
            }
            Heard::Working(_) | Heard::Tick => {}
        }
        Ok(())
    }
}

impl fmt::Debug for BatchRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRun")
            .field("publish", &self.publish)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
