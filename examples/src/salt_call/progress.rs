//! What a state run is at, in one line of a terminal that comes when it takes a while.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long nothing is shown: most runs are over by then.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the time in the line moves on.
const BEAT: Duration = Duration::from_millis(500);

/// The line. It goes away with its owner.
pub(super) struct ProgressLine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    now: Mutex<Now>,
    ended: Condvar,
}

/// What there is to show.
#[derive(Default)]
struct Now {
    at: Option<At>,
    over: bool,
}

/// How many are done, how many there are, and which began when.
struct At {
    done: usize,
    total: usize,
    what: String,
    since: Instant,
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the line until it is over; then removes it.
    fn show(&self, out: &mut dyn Write, patience: Duration) {
        let began = Instant::now();
        let mut shown = false;
        loop {
            let line = match &*self.now() {
                Now { over: true, .. } => break,
                Now { at: Some(at), .. } if began.elapsed() >= patience => Some(at.line()),
                _ => None,
            };
            // Nobody waits for a terminal that stands still.
            if let Some(line) = line {
                drop(write!(out, "\r\u{1b}[K{line}"));
                drop(out.flush());
                shown = true;
            }
            let now = self.now();
            if !now.over {
                drop(self.ended.wait_timeout(now, BEAT));
            }
        }
        if shown {
            drop(write!(out, "\r\u{1b}[K"));
            drop(out.flush());
        }
    }

    fn end(&self) {
        self.now().over = true;
        self.ended.notify_all();
    }
}

impl At {
    fn new(done: usize, total: usize, tag: &str) -> Self {
        Self {
            done,
            total,
            what: told(tag),
            since: Instant::now(),
        }
    }

    fn line(&self) -> String {
        let seconds = self.since.elapsed().as_secs();
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let Self {
            done, total, what, ..
        } = self;
        format!("[{done}/{total}] {minutes}:{seconds:02} {what}")
    }
}

impl ProgressLine {
    /// A line on standard error, if that is a terminal.
    pub(super) fn new(terminal: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = terminal.then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.show(&mut std::io::stderr(), PATIENCE))
        });
        Self { shared, thread }
    }

    /// Says which chunk begins.
    pub(super) fn at(&self, done: usize, total: usize, tag: &str) {
        if self.thread.is_some() {
            self.shared.now().at = Some(At::new(done, total, tag));
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            // It prints and waits; there is nothing to learn from how it ended.
            drop(thread.join());
        }
    }
}

/// Function and ID of a tag, short enough for a line.
fn told(tag: &str) -> String {
    let parts: Vec<&str> = tag.split("_|-").collect();
    let what = match parts.as_slice() {
        [state, id, _, function] => format!("{state}.{function} {id}"),
        _ => tag.to_owned(),
    };
    what.chars()
        .filter(|letter| !letter.is_control())
        .take(60)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_removed_when_the_run_is_over() {
        let shared = Arc::new(Shared::default());
        shared.now().at = Some(At::new(3, 10, "cmd_|-slow\u{1b}_|-sleep_|-run"));
        let other = Arc::clone(&shared);
        let shower = std::thread::spawn(move || {
            let mut out = Vec::new();
            other.show(&mut out, Duration::ZERO);
            out
        });
        std::thread::sleep(Duration::from_millis(50));
        shared.end();

        let out = shower.join().expect("it ends");

        let text = String::from_utf8(out).expect("text");
        assert!(
            text.starts_with("\r\u{1b}[K[3/10] 0:00 cmd.run slow"),
            "{text:?}"
        );
        assert!(text.ends_with("\r\u{1b}[K"), "{text:?}");
    }

    #[test]
    fn a_run_that_is_quick_shows_nothing() {
        let shared = Shared::default();
        shared.now().at = Some(At::new(0, 1, "test_|-a_|-a_|-nop"));
        shared.end();
        let mut out = Vec::new();

        shared.show(&mut out, PATIENCE);

        assert!(out.is_empty());
    }
}
