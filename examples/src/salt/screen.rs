//! Where a program's lines go.

use std::io::{self, Write};

/// Standard output and standard error, or what stands in for them in a test.
///
/// What is written is seen at once: returns are shown as they come.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl<'a> Screen<'a> {
    /// Two destinations.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err }
    }

    /// Writes to standard output.
    ///
    /// # Errors
    ///
    /// When nobody reads it.
    pub fn out(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes to standard error.
    ///
    /// # Errors
    ///
    /// When nobody reads it.
    pub fn err(&mut self, text: &str) -> io::Result<()> {
        self.err.write_all(text.as_bytes())?;
        self.err.flush()
    }
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}
