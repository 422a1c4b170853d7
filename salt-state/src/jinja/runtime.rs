//! One rendering: its budget and what it has loaded.

use std::cell::Cell;

use super::{Environment, Error, Exception, Kind, Result};

/// One rendering, as filters, functions and objects see it.
pub struct Runtime<'e> {
    environment: &'e Environment<'e>,
    steps: Cell<u64>,
    depth: Cell<u32>,
    stack_base: usize,
}

impl<'e> Runtime<'e> {
    pub(crate) fn new(environment: &'e Environment<'e>) -> Self {
        let here = 0_u8;
        Self {
            environment,
            steps: Cell::new(0),
            depth: Cell::new(0),
            stack_base: (&raw const here).addr(),
        }
    }

    /// The environment.
    pub fn environment(&self) -> &'e Environment<'e> {
        self.environment
    }

    /// Counts work against the limit on steps: one step for each thing done,
    /// or for each 32 bytes made.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn charge(&self, steps: usize) -> Result<()> {
        let used = self.steps.get().saturating_add(steps as u64);
        self.steps.set(used);
        if used > self.environment.options().limits.steps {
            return Err(Error::new(Kind::Limit, "the template takes too many steps"));
        }
        Ok(())
    }

    /// Counts the bytes of a string about to be made.
    pub(crate) fn charge_bytes(&self, bytes: usize) -> Result<()> {
        if bytes > self.environment.options().limits.output {
            return Err(Error::new(Kind::Limit, "the template makes too much text"));
        }
        self.charge(bytes / 32)
    }

    /// Notes one more level of calls; the level ends when the guard is dropped.
    pub(crate) fn enter(&self) -> Result<Level<'_>> {
        let limits = &self.environment.options().limits;
        let here = 0_u8;
        let used = self.stack_base.abs_diff((&raw const here).addr());
        if self.depth.get() >= limits.depth || used > limits.stack {
            return Err(Error::python(
                Exception::RecursionError,
                "maximum recursion depth exceeded",
            ));
        }
        self.depth.set(self.depth.get() + 1);
        Ok(Level(&self.depth))
    }
}

/// One level of calls.
pub(crate) struct Level<'r>(&'r Cell<u32>);

impl Drop for Level<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
