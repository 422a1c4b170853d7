//! How much of a peer's message is believed.

/// Bounds that every decoder here enforces before it allocates.
///
/// The defaults let everything through that Salt itself sends in practice.
/// A short valid message can describe a value dozens of times its size, so
/// `max_items` is the bound that limits memory; the others limit time and stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message in bytes. Default 100 MiB, as Salt's own stream reader.
    pub max_message: usize,
    /// How deep lists and maps may nest. Default 128; values above
    /// [`Limits::DEPTH_CEILING`] count as that ceiling.
    pub max_depth: usize,
    /// How many values one message may hold, keys and containers included.
    /// Default 1,000,000, which is at most about 64 MiB of decoded scalars.
    pub max_items: usize,
}

impl Limits {
    /// The deepest nesting any decoder follows, whatever `max_depth` says, so that
    /// decoding, comparing and dropping a value fit a 2 MiB stack.
    pub const DEPTH_CEILING: usize = 1536;

    /// The effective depth limit.
    pub fn depth(&self) -> usize {
        self.max_depth.min(Self::DEPTH_CEILING)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 100 << 20,
            max_depth: 128,
            max_items: 1_000_000,
        }
    }
}
