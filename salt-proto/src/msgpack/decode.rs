//! Bytes to values.

use super::skim::{Reader, Token};
use super::{EXT_CONSTANT, EXT_DATETIME, EXT_TIMESTAMP};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::value::{DateTime, Map, Value};

/// What becomes of text and bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Both become text where they are UTF-8, bytes elsewhere.
    Network,
    /// Both stay bytes.
    Raw,
    /// Text becomes text, bytes stay bytes, and text that is not UTF-8 ends it.
    Utf8,
}

/// Decodes a network message: text and bytes become text where they are valid
/// UTF-8 and stay bytes elsewhere, in keys too.
///
/// The type of a string therefore depends on its content. Compare and read such
/// fields with [`Value::as_bytes`].
///
/// # Errors
///
/// If `bytes` is not exactly one value within the limits.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    whole(bytes, limits, Mode::Network)
}

/// Decodes without any conversion: every string and key is bytes.
///
/// What Salt does with `_serve_file` replies.
///
/// # Errors
///
/// If `bytes` is not exactly one value within the limits.
pub fn decode_raw(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    whole(bytes, limits, Mode::Raw)
}

/// Decodes an event or a file of the job cache: text is text and bytes are bytes.
///
/// If any text is not UTF-8 the whole message is decoded as by [`decode_raw`]
/// instead, as in Salt.
///
/// # Errors
///
/// If `bytes` is not exactly one value within the limits.
pub fn decode_utf8(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    match decode_in(bytes, limits, Mode::Utf8) {
        Err(Stop::NotText) => whole(bytes, limits, Mode::Raw),
        Err(Stop::Failed(error)) => Err(error),
        Ok(value) => Ok(value),
    }
}

enum Stop {
    Failed(DecodeError),
    NotText,
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Failed(error)
    }
}

fn whole(bytes: &[u8], limits: &Limits, mode: Mode) -> Result<Value, DecodeError> {
    decode_in(bytes, limits, mode).map_err(|stop| match stop {
        Stop::Failed(error) => error,
        // Only Mode::Utf8 stops so.
        Stop::NotText => DecodeError {
            kind: DecodeErrorKind::Unexpected,
            offset: 0,
        },
    })
}

fn decode_in(bytes: &[u8], limits: &Limits, mode: Mode) -> Result<Value, Stop> {
    let mut reader = Reader::new(bytes, limits)?;
    let value = value(&mut reader, mode, 0)?;
    reader.end()?;
    Ok(value)
}

/// How many elements are reserved for a header that announces `len`; the rest
/// grows as values actually arrive. The deeper the fewer, because a message of
/// nothing but headers within each other has as many of them as levels.
fn reserve(len: usize, level: usize) -> usize {
    len.min(256 >> level.min(5))
}

fn value(reader: &mut Reader<'_>, mode: Mode, level: usize) -> Result<Value, Stop> {
    // Half of all values are short strings.
    if let Some(bytes) = reader.short_string() {
        return string(bytes?, mode);
    }
    let start = reader.position();
    match reader.token()? {
        Token::List(len) => list(reader, mode, level, start, len),
        Token::Map(len) => map(reader, mode, level, start, len),
        token => scalar(reader, token, mode, level, start),
    }
}

fn may_nest(reader: &Reader<'_>, level: usize, offset: usize) -> Result<(), DecodeError> {
    if level >= reader.max_depth() {
        return Err(DecodeError {
            kind: DecodeErrorKind::TooDeep,
            offset,
        });
    }
    Ok(())
}

fn list(
    reader: &mut Reader<'_>,
    mode: Mode,
    level: usize,
    start: usize,
    len: usize,
) -> Result<Value, Stop> {
    may_nest(reader, level, start)?;
    let mut items = Vec::with_capacity(reserve(len, level));
    for _ in 0..len {
        items.push(value(reader, mode, level + 1)?);
    }
    Ok(Value::List(items))
}

fn map(
    reader: &mut Reader<'_>,
    mode: Mode,
    level: usize,
    start: usize,
    len: usize,
) -> Result<Value, Stop> {
    may_nest(reader, level, start)?;
    let mut map = Map::with_capacity(reserve(len, level));
    for _ in 0..len {
        let at = reader.position();
        let key = match reader.short_string() {
            Some(bytes) => string(bytes?, mode)?,
            None => match reader.token()? {
                Token::List(_) | Token::Map(_) => {
                    return Err(DecodeError {
                        kind: DecodeErrorKind::BadKey,
                        offset: at,
                    }
                    .into());
                }
                token => scalar(reader, token, mode, level, at)?,
            },
        };
        if matches!(key, Value::List(_) | Value::Map(_)) {
            // The value of a named constant.
            return Err(DecodeError {
                kind: DecodeErrorKind::BadKey,
                offset: at,
            }
            .into());
        }
        let value = value(reader, mode, level + 1)?;
        map.insert(key, value);
    }
    Ok(Value::Map(map))
}

#[inline]
fn scalar(
    reader: &mut Reader<'_>,
    token: Token,
    mode: Mode,
    level: usize,
    start: usize,
) -> Result<Value, Stop> {
    Ok(match token {
        Token::Null => Value::Null,
        Token::Bool(b) => Value::Bool(b),
        Token::UInt(n) => Value::from(n),
        Token::Int(n) => Value::Int(n),
        Token::Float(x) => Value::Float(x),
        Token::Str(len) => string(reader.take(len)?, mode)?,
        Token::Bin(len) => plain(reader.take(len)?, mode),
        Token::Ext(code, len) => {
            let payload = reader.take(len)?;
            extension(reader, code, payload, mode, level, start)?
        }
        Token::List(_) | Token::Map(_) => {
            return Err(DecodeError {
                kind: DecodeErrorKind::Unexpected,
                offset: start,
            }
            .into());
        }
    })
}

#[inline]
fn string(bytes: &[u8], mode: Mode) -> Result<Value, Stop> {
    Ok(match mode {
        Mode::Network => text_or_bytes(bytes),
        Mode::Raw => Value::Bytes(bytes.to_vec()),
        Mode::Utf8 => Value::Str(
            std::str::from_utf8(bytes)
                .map_err(|_| Stop::NotText)?
                .to_owned(),
        ),
    })
}

fn plain(bytes: &[u8], mode: Mode) -> Value {
    match mode {
        Mode::Network => text_or_bytes(bytes),
        Mode::Raw | Mode::Utf8 => Value::Bytes(bytes.to_vec()),
    }
}

#[inline]
fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Str(text.to_owned()),
        Err(_) => Value::Bytes(bytes.to_vec()),
    }
}

#[inline(never)]
fn extension<'a>(
    reader: &mut Reader<'a>,
    code: i8,
    payload: &'a [u8],
    mode: Mode,
    level: usize,
    start: usize,
) -> Result<Value, Stop> {
    let bad = || {
        Stop::Failed(DecodeError {
            kind: DecodeErrorKind::BadExtension,
            offset: start,
        })
    };
    match code {
        EXT_DATETIME => datetime(payload).map(Value::DateTime).ok_or_else(bad),
        EXT_TIMESTAMP => timestamp(payload).map(Value::DateTime).ok_or_else(bad),
        EXT_CONSTANT => {
            // [name, value]: the name says which constant it is in Salt's own
            // code and means nothing here.
            may_nest(reader, level, start)?;
            let mut inner = reader.within(payload);
            if !matches!(inner.list(), Ok(2)) || inner.string().is_err() {
                return Err(bad());
            }
            // The message is whole, whatever is in here: what is cut off inside
            // is malformed, and no more bytes would mend it.
            let value = value(&mut inner, mode, level + 1).map_err(|stop| match stop {
                Stop::Failed(error)
                    if matches!(
                        error.kind,
                        DecodeErrorKind::Truncated
                            | DecodeErrorKind::Reserved
                            | DecodeErrorKind::Unexpected
                    ) =>
                {
                    bad()
                }
                stop => stop,
            })?;
            inner.end().map_err(|_| bad())?;
            reader.charge(&inner);
            Ok(value)
        }
        _ => Ok(plain(payload, mode)),
    }
}

/// `YYYYMMDDThh:mm:ss.ffffff`.
fn datetime(payload: &[u8]) -> Option<DateTime> {
    let payload: &[u8; 24] = payload.try_into().ok()?;
    if [payload[8], payload[11], payload[14], payload[17]] != *b"T::." {
        return None;
    }
    let number = |from: usize, to: usize| {
        payload.get(from..to)?.iter().try_fold(0_u32, |n, digit| {
            digit
                .is_ascii_digit()
                .then(|| n * 10 + u32::from(digit - b'0'))
        })
    };
    let at = DateTime {
        year: u16::try_from(number(0, 4)?).ok()?,
        month: u8::try_from(number(4, 6)?).ok()?,
        day: u8::try_from(number(6, 8)?).ok()?,
        hour: u8::try_from(number(9, 11)?).ok()?,
        minute: u8::try_from(number(12, 14)?).ok()?,
        second: u8::try_from(number(15, 17)?).ok()?,
        microsecond: number(18, 24)?,
    };
    at.is_valid().then_some(at)
}

/// MessagePack specification, "Timestamp extension type", to the microsecond.
fn timestamp(payload: &[u8]) -> Option<DateTime> {
    let (seconds, nanos) = if let Ok(seconds) = <[u8; 4]>::try_from(payload) {
        (i64::from(u32::from_be_bytes(seconds)), 0)
    } else if let Ok(both) = <[u8; 8]>::try_from(payload) {
        let both = u64::from_be_bytes(both);
        (
            i64::try_from(both & 0x3_ffff_ffff).ok()?,
            u32::try_from(both >> 34).ok()?,
        )
    } else {
        let (nanos, seconds) = payload.split_first_chunk::<4>()?;
        (
            i64::from_be_bytes(seconds.try_into().ok()?),
            u32::from_be_bytes(*nanos),
        )
    };
    if nanos > 999_999_999 {
        return None;
    }
    DateTime::from_unix_micros(
        seconds
            .checked_mul(1_000_000)?
            .checked_add(i64::from(nanos / 1000))?,
    )
}
