//! The programs together, in one process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command_line;
