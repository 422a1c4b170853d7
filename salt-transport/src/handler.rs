//! What runs the jobs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use salt_proto::{Job, Return};

/// Answers jobs on a minion.
///
/// Async closures from a [`Job`] to a [`Return`] are handlers; [`blocking`]
/// makes one of a function that may take its time.
///
/// ```
/// use salt_proto::Job;
/// use salt_transport::Handler;
///
/// fn is_handler(_: impl Handler) {}
///
/// is_handler(|job: Job| async move {
///     match job.function.as_str() {
///         "test.ping" => job.ok(true),
///         _ => job.unknown_function(),
///     }
/// });
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Runs one job. Several may run at a time.
    ///
    /// The future is dropped when the job is aborted; when it panics, the job
    /// is answered as one whose function broke.
    fn run(&self, job: Job) -> impl Future<Output = Return> + Send;
}

impl<F, Fut> Handler for F
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Return> + Send,
{
    fn run(&self, job: Job) -> impl Future<Output = Return> + Send {
        self(job)
    }
}

/// A handler from a function that blocks: each job runs on a thread of tokio's
/// blocking pool, where it may wait for disks and children.
///
/// A job that runs there cannot be aborted.
///
/// ```
/// use salt_proto::Job;
/// use salt_transport::blocking;
///
/// let handler = blocking(|job: &Job| match job.function.as_str() {
///     "test.ping" => job.ok(true),
///     _ => job.unknown_function(),
/// });
/// # fn is_handler(_: impl salt_transport::Handler) {}
/// # is_handler(handler);
/// ```
pub fn blocking(run: impl Fn(&Job) -> Return + Send + Sync + 'static) -> impl Handler {
    Blocking(Arc::new(run))
}

struct Blocking<F>(Arc<F>);

impl<F: Fn(&Job) -> Return + Send + Sync + 'static> Handler for Blocking<F> {
    async fn run(&self, job: Job) -> Return {
        let run = Arc::clone(&self.0);
        let at_hand = job.clone();
        match tokio::task::spawn_blocking(move || run(&at_hand)).await {
            Ok(ret) => ret,
            Err(error) => job.exception(describe(&error)),
        }
    }
}

/// What the publisher of a job may know about a handler that broke.
pub(crate) fn describe(error: &tokio::task::JoinError) -> &'static str {
    if error.is_panic() {
        "it panicked"
    } else {
        "it was aborted"
    }
}

/// The twin of [`Handler`] that can be held as "some handler".
pub(crate) trait ErasedHandler: Send + Sync + 'static {
    fn run(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Return> + Send>>;
}

impl<H: Handler> ErasedHandler for H {
    fn run(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Return> + Send>> {
        Box::pin(async move { Handler::run(&*self, job).await })
    }
}
