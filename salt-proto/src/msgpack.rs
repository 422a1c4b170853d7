//! [`Value`](crate::Value) to bytes and back, with Salt's habits.
//!
//! Salt mixes two dialects of MessagePack. Network messages use the one from
//! before 2013, in which text and bytes are the same ([`Dialect::Raw`]); the event
//! bus, the job cache and signatures of minions use the present one
//! ([`Dialect::Bin`]). Decoders accept every form. They differ in what they make
//! of text and bytes: see [`decode`], [`decode_raw`] and [`decode_utf8`].
//!
//! # Why a codec of our own
//!
//! `rmp-serde` works with [`Value`](crate::Value), which implements serde's traits, and suits
//! typed data. It cannot be the codec of the wire: it has no budget for the number
//! of values (ten million `nil` in a valid ten megabyte message become hundreds of
//! megabytes), and the two dialects and the fallback of [`decode_utf8`] need the
//! difference between text and bytes that serde hides. Headers are to be read
//! without building the tree: [`skim`] takes a fifth to a tenth of the time of
//! decoding. Encoding is about one and a half times as fast as through serde,
//! decoding the same, because both spend it in the allocator.
//!
//! Every function is bounded by [`Limits`](crate::Limits) before it allocates.

mod decode;
mod encode;
mod skim;

pub use decode::{decode, decode_raw, decode_utf8};
pub use encode::{encode, encode_bytes, encode_map, encode_selected, encode_str};
pub use skim::{Reader, Scanner, complete_len, content, is_map, skim};

/// How text and bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Text and bytes alike as `raw`: all network messages and what is sealed in them.
    Raw,
    /// Text as `str`, bytes as `bin`: event bus, job cache, minion signatures.
    Bin,
}

/// The extension type of a date and time: `YYYYMMDDThh:mm:ss.ffffff` in ASCII.
const EXT_DATETIME: i8 = 78;
/// The extension type of a named constant of Salt's: `[name, value]`.
const EXT_CONSTANT: i8 = 79;
/// MessagePack's own timestamp.
const EXT_TIMESTAMP: i8 = -1;
