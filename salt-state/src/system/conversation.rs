//! A program that stays and answers line by line.

use std::time::Duration;

use super::CommandError;

/// A running program that answers one line for each line it is given.
///
/// When this is dropped the program's input is closed, and after a moment its process
/// group ended.
pub trait Conversation: Send {
    /// Gives it a line and waits for the line it answers; both without the line break.
    ///
    /// After an error there is nothing left to talk to: the process group was ended.
    ///
    /// # Errors
    ///
    /// [`CommandError::TimedOut`] when no whole line came in time,
    /// [`CommandError::Stream`] when it ended or the line is longer than `limit` bytes.
    fn ask(
        &mut self,
        line: &[u8],
        timeout: Option<Duration>,
        limit: usize,
    ) -> Result<Vec<u8>, CommandError>;

    /// The end of what it wrote to its standard error.
    fn complaints(&mut self) -> String;
}
