//! Being told to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ends with the first SIGTERM, SIGINT or SIGHUP.
pub(crate) async fn terminated() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        // Without a handler the signal ends the process all the same.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
