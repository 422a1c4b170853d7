//! What is said of a master that cannot be reached: once, not at every attempt.

use std::time::{Duration, Instant};

/// The same cause is said again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// The cause that was said last.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    said: Option<(String, Instant)>,
}

impl Complaint {
    /// The line for a failure, unless it was said lately.
    pub(crate) fn about(&mut self, error: &dyn std::error::Error, now: Instant) -> Option<String> {
        let cause = causes(error);
        let lately = |(said, at): &(String, Instant)| *said == cause && now < *at + AGAIN;
        if self.said.as_ref().is_some_and(lately) {
            return None;
        }
        self.said = Some((cause.clone(), now));
        Some(cause)
    }

    /// It works again: the next failure is news.
    pub(crate) fn forget(&mut self) {
        self.said = None;
    }
}

/// An error and what it came from, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        // Many an error repeats what it came from.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = source.source();
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::Error;

    fn refused(text: &str) -> Error {
        Error::io("connecting")(io::Error::other(text.to_owned()))
    }

    #[test]
    fn a_cause_is_one_line_with_all_of_it() {
        assert_eq!(
            causes(&refused("no such\nname")),
            "connecting failed: no such name"
        );
    }

    #[test]
    fn the_same_cause_is_said_once_a_minute_and_another_one_at_once() {
        let now = crate::wire::now();
        let mut complaint = Complaint::default();

        assert!(complaint.about(&refused("a"), now).is_some());
        assert_eq!(complaint.about(&refused("a"), now + AGAIN / 2), None);
        assert!(complaint.about(&refused("b"), now + AGAIN / 2).is_some());
        assert!(complaint.about(&refused("b"), now + AGAIN * 2).is_some());
        complaint.forget();
        assert!(complaint.about(&refused("b"), now + AGAIN * 2).is_some());
    }
}
