//! The programs together, in one process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::print_stdout,
    reason = "the counts of recorded cases are shown"
)]

mod command_line;
mod salt_call;
mod unreachable;
