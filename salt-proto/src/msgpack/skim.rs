//! Reading without building: headers, selected keys, where a message ends.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;

/// What one marker announces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token {
    Null,
    Bool(bool),
    /// A non-negative integer.
    UInt(u64),
    /// A negative integer.
    Int(i64),
    Float(f64),
    /// Text or `raw` of that many bytes.
    Str(usize),
    /// Bytes of that many bytes.
    Bin(usize),
    /// An extension of that type and length.
    Ext(i8, usize),
    /// A list of that many values.
    List(usize),
    /// A map of that many entries.
    Map(usize),
}

/// A cursor over encoded values that borrows what it finds.
///
/// ```
/// use salt_proto::Limits;
/// use salt_proto::msgpack::Reader;
///
/// let mut reader = Reader::new(b"\x82\xa1a\x01\xa1b\x93\x01\x02\x03", &Limits::default())?;
/// assert_eq!(reader.map()?, 2);
/// assert_eq!(reader.string()?, b"a");
/// reader.skip()?;
/// assert_eq!(reader.string()?, b"b");
/// assert_eq!(reader.skip()?, b"\x93\x01\x02\x03");
/// reader.end()?;
/// # Ok::<(), salt_proto::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// If `bytes` is longer than the limit.
    pub fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        if bytes.len() > limits.max_message {
            return Err(DecodeError {
                kind: DecodeErrorKind::TooLong,
                offset: limits.max_message,
            });
        }
        Ok(Self {
            bytes,
            at: 0,
            items: limits.max_items,
            depth: limits.depth(),
        })
    }

    /// How far the cursor has come, in bytes.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The header of a map: how many entries follow.
    ///
    /// # Errors
    ///
    /// If something else follows.
    pub fn map(&mut self) -> Result<usize, DecodeError> {
        let start = self.at;
        match self.token()? {
            Token::Map(len) => Ok(len),
            _ => Err(DecodeError {
                kind: DecodeErrorKind::Unexpected,
                offset: start,
            }),
        }
    }

    /// The header of a list: how many values follow.
    ///
    /// # Errors
    ///
    /// If something else follows.
    pub fn list(&mut self) -> Result<usize, DecodeError> {
        let start = self.at;
        match self.token()? {
            Token::List(len) => Ok(len),
            _ => Err(DecodeError {
                kind: DecodeErrorKind::Unexpected,
                offset: start,
            }),
        }
    }

    /// Text or bytes, which the network does not tell apart.
    ///
    /// # Errors
    ///
    /// If something else follows.
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        match self.token()? {
            Token::Str(len) | Token::Bin(len) => self.take(len),
            _ => Err(DecodeError {
                kind: DecodeErrorKind::Unexpected,
                offset: start,
            }),
        }
    }

    /// Steps over one whole value and returns its encoding.
    ///
    /// # Errors
    ///
    /// If it is malformed, cut short or beyond the limits.
    pub fn skip(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        // How many values are left on each level that is open.
        let mut open: Vec<usize> = Vec::new();
        loop {
            let at = self.at;
            let children = match self.token()? {
                Token::Str(len) | Token::Bin(len) | Token::Ext(_, len) => {
                    self.take(len)?;
                    0
                }
                Token::List(len) => {
                    self.may_nest(open.len(), at)?;
                    len
                }
                Token::Map(len) => {
                    self.may_nest(open.len(), at)?;
                    len.saturating_mul(2)
                }
                _ => 0,
            };
            if children > 0 {
                open.push(children);
            } else {
                while let Some(left) = open.last_mut() {
                    *left -= 1;
                    if *left > 0 {
                        break;
                    }
                    open.pop();
                }
            }
            if open.is_empty() {
                return Ok(self.bytes.get(start..self.at).unwrap_or_default());
            }
        }
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    ///
    /// If something does.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.error(DecodeErrorKind::Trailing))
        }
    }

    fn may_nest(&self, level: usize, offset: usize) -> Result<(), DecodeError> {
        if level >= self.depth {
            return Err(DecodeError {
                kind: DecodeErrorKind::TooDeep,
                offset,
            });
        }
        Ok(())
    }

    pub(super) fn max_depth(&self) -> usize {
        self.depth
    }

    /// A cursor over the payload of an extension, charged to the same budget.
    pub(super) fn within(&self, payload: &'a [u8]) -> Self {
        Self {
            bytes: payload,
            at: 0,
            items: self.items,
            depth: self.depth,
        }
    }

    /// Takes over what [`within`](Self::within) has used of the budget.
    pub(super) fn charge(&mut self, inner: &Self) {
        self.items = inner.items;
    }

    pub(super) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            kind,
            offset: self.at,
        }
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self
            .at
            .checked_add(len)
            .and_then(|end| self.bytes.get(self.at..end));
        match taken {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => Err(DecodeError {
                kind: DecodeErrorKind::Truncated,
                offset: self.bytes.len(),
            }),
        }
    }

    /// A string of up to 31 bytes, if one follows; the common case of
    /// [`token`](Self::token), without its detours.
    #[inline]
    pub(super) fn short_string(&mut self) -> Option<Result<&'a [u8], DecodeError>> {
        let marker = *self.bytes.get(self.at)?;
        if !(0xa0..=0xbf).contains(&marker) {
            return None;
        }
        let Some(items) = self.items.checked_sub(1) else {
            return Some(Err(self.error(DecodeErrorKind::TooManyItems)));
        };
        self.items = items;
        self.at += 1;
        Some(self.take(usize::from(marker & 0x1f)))
    }

    /// The next marker with what belongs to it, except the content of strings.
    ///
    /// Counts against the budget, and refuses a container that announces more
    /// values than there are bytes left.
    #[inline]
    pub(super) fn token(&mut self) -> Result<Token, DecodeError> {
        let start = self.at;
        let (token, used) = token_of(self.bytes.get(start..).unwrap_or_default()).map_err(
            |failure| match failure {
                Failure::Short => DecodeError {
                    kind: DecodeErrorKind::Truncated,
                    offset: self.bytes.len(),
                },
                Failure::Reserved => DecodeError {
                    kind: DecodeErrorKind::Reserved,
                    offset: start,
                },
            },
        )?;
        self.items = self.items.checked_sub(1).ok_or(DecodeError {
            kind: DecodeErrorKind::TooManyItems,
            offset: start,
        })?;
        self.at += used;
        let announced = match token {
            Token::List(len) => len,
            Token::Map(len) => len.saturating_mul(2),
            _ => return Ok(token),
        };
        if announced > self.bytes.len() - self.at {
            return Err(DecodeError {
                kind: DecodeErrorKind::Truncated,
                offset: self.bytes.len(),
            });
        }
        if announced > self.items {
            return Err(DecodeError {
                kind: DecodeErrorKind::TooManyItems,
                offset: start,
            });
        }
        Ok(token)
    }
}

pub(super) enum Failure {
    Short,
    Reserved,
}

/// Reads one marker and the fixed-size part behind it.
#[inline(always)]
pub(super) fn token_of(bytes: &[u8]) -> Result<(Token, usize), Failure> {
    let (&marker, rest) = bytes.split_first().ok_or(Failure::Short)?;
    let token = match marker {
        0x00..=0x7f => (Token::UInt(u64::from(marker)), 1),
        0x80..=0x8f => (Token::Map(usize::from(marker & 0x0f)), 1),
        0x90..=0x9f => (Token::List(usize::from(marker & 0x0f)), 1),
        0xa0..=0xbf => (Token::Str(usize::from(marker & 0x1f)), 1),
        0xc0 => (Token::Null, 1),
        0xc1 => return Err(Failure::Reserved),
        0xc2 => (Token::Bool(false), 1),
        0xc3 => (Token::Bool(true), 1),
        0xc4 => (Token::Bin(usize::from(u8::from_be_bytes(fixed(rest)?))), 2),
        0xc5 => (Token::Bin(usize::from(u16::from_be_bytes(fixed(rest)?))), 3),
        0xc6 => (Token::Bin(len_of(fixed(rest)?)), 5),
        0xc7 => {
            let [len, code] = fixed(rest)?;
            (Token::Ext(code.cast_signed(), usize::from(len)), 3)
        }
        0xc8 => {
            let [a, b, code] = fixed(rest)?;
            (
                Token::Ext(code.cast_signed(), usize::from(u16::from_be_bytes([a, b]))),
                4,
            )
        }
        0xc9 => {
            let [a, b, c, d, code] = fixed(rest)?;
            (Token::Ext(code.cast_signed(), len_of([a, b, c, d])), 6)
        }
        0xca => (Token::Float(f64::from(f32::from_be_bytes(fixed(rest)?))), 5),
        0xcb => (Token::Float(f64::from_be_bytes(fixed(rest)?)), 9),
        0xcc => (Token::UInt(u64::from(u8::from_be_bytes(fixed(rest)?))), 2),
        0xcd => (Token::UInt(u64::from(u16::from_be_bytes(fixed(rest)?))), 3),
        0xce => (Token::UInt(u64::from(u32::from_be_bytes(fixed(rest)?))), 5),
        0xcf => (Token::UInt(u64::from_be_bytes(fixed(rest)?)), 9),
        0xd0 => (Token::Int(i64::from(i8::from_be_bytes(fixed(rest)?))), 2),
        0xd1 => (Token::Int(i64::from(i16::from_be_bytes(fixed(rest)?))), 3),
        0xd2 => (Token::Int(i64::from(i32::from_be_bytes(fixed(rest)?))), 5),
        0xd3 => (Token::Int(i64::from_be_bytes(fixed(rest)?)), 9),
        0xd4..=0xd8 => {
            let [code] = fixed(rest)?;
            (Token::Ext(code.cast_signed(), 1 << (marker - 0xd4)), 2)
        }
        0xd9 => (Token::Str(usize::from(u8::from_be_bytes(fixed(rest)?))), 2),
        0xda => (Token::Str(usize::from(u16::from_be_bytes(fixed(rest)?))), 3),
        0xdb => (Token::Str(len_of(fixed(rest)?)), 5),
        0xdc => (
            Token::List(usize::from(u16::from_be_bytes(fixed(rest)?))),
            3,
        ),
        0xdd => (Token::List(len_of(fixed(rest)?)), 5),
        0xde => (Token::Map(usize::from(u16::from_be_bytes(fixed(rest)?))), 3),
        0xdf => (Token::Map(len_of(fixed(rest)?)), 5),
        0xe0..=0xff => (Token::Int(i64::from(marker.cast_signed())), 1),
    };
    Ok(token)
}

#[inline]
fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Failure> {
    bytes.first_chunk().copied().ok_or(Failure::Short)
}

fn len_of(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}

/// Finds the values under `keys` in an encoded map, without decoding anything.
///
/// Gives each value's encoding, or `None` where the key is absent; of a repeated
/// key the last counts. `Ok(None)` if the value is not a map. The whole message
/// is checked against the limits, so a header is only believed if what follows
/// it is well-formed.
///
/// # Errors
///
/// If `bytes` is not exactly one value within the limits.
pub fn skim<'a, const N: usize>(
    bytes: &'a [u8],
    keys: [&str; N],
    limits: &Limits,
) -> Result<Option<[Option<&'a [u8]>; N]>, DecodeError> {
    let mut reader = Reader::new(bytes, limits)?;
    let mut found = [None; N];
    let Token::Map(entries) = reader.clone().token()? else {
        reader.skip()?;
        reader.end()?;
        return Ok(None);
    };
    reader.token()?;
    // The map itself is one level.
    reader.depth = reader.depth.saturating_sub(1);
    for _ in 0..entries {
        let at = reader.at;
        let key = reader.skip()?;
        if is_container(key) {
            return Err(DecodeError {
                kind: DecodeErrorKind::BadKey,
                offset: at,
            });
        }
        let value = reader.skip()?;
        let Some(key) = content(key) else { continue };
        if let Some(slot) = keys.iter().position(|wanted| wanted.as_bytes() == key)
            && let Some(slot) = found.get_mut(slot)
        {
            *slot = Some(value);
        }
    }
    reader.end()?;
    Ok(Some(found))
}

/// The content of an encoded text or byte string; `None` for any other value.
pub fn content(encoded: &[u8]) -> Option<&[u8]> {
    match token_of(encoded).ok()? {
        (Token::Str(len) | Token::Bin(len), used) => {
            let content = encoded.get(used..)?;
            (content.len() == len).then_some(content)
        }
        _ => None,
    }
}

/// Whether an encoded value is a map.
pub fn is_map(encoded: &[u8]) -> bool {
    matches!(token_of(encoded), Ok((Token::Map(_), _)))
}

fn is_container(encoded: &[u8]) -> bool {
    matches!(token_of(encoded), Ok((Token::Map(_) | Token::List(_), _)))
}

/// Finds where the first value of a growing buffer ends.
///
/// Remembers how far it came, so a message that arrives in pieces is scanned
/// once. After [`advance`](Self::advance) gave a length the caller removes that
/// many bytes and starts with a new scanner.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    /// Everything before this is whole tokens.
    at: usize,
    items: usize,
    open: Vec<usize>,
}

impl Scanner {
    /// A scanner at the start of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scans on. `buffer` is the same message from its start, with more bytes than
    /// before. `Ok(None)` while the message is incomplete.
    ///
    /// # Errors
    ///
    /// If the message is malformed or beyond the limits; an announced length
    /// counts as soon as it is seen.
    pub fn advance(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, DecodeError> {
        loop {
            let offset = self.at;
            let fail = |kind| Err(DecodeError { kind, offset });
            let (token, used) = match token_of(buffer.get(offset..).unwrap_or_default()) {
                Ok(found) => found,
                Err(Failure::Reserved) => return fail(DecodeErrorKind::Reserved),
                Err(Failure::Short) if buffer.len() > limits.max_message => {
                    return fail(DecodeErrorKind::TooLong);
                }
                Err(Failure::Short) => return Ok(None),
            };
            let (len, children) = match token {
                Token::Str(len) | Token::Bin(len) | Token::Ext(_, len) => (len, 0),
                Token::List(len) => (0, len),
                Token::Map(len) => (0, len.saturating_mul(2)),
                _ => (0, 0),
            };
            let is_container = matches!(token, Token::List(_) | Token::Map(_));
            if is_container && self.open.len() >= limits.depth() {
                return fail(DecodeErrorKind::TooDeep);
            }
            // Each announced value takes a byte at least.
            let end = offset.saturating_add(used).saturating_add(len);
            if end.saturating_add(children) > limits.max_message {
                return fail(DecodeErrorKind::TooLong);
            }
            if self.items >= limits.max_items || children > limits.max_items - self.items {
                return fail(DecodeErrorKind::TooManyItems);
            }
            if end > buffer.len() {
                return Ok(None);
            }
            self.items += 1;
            self.at = end;
            if children > 0 {
                self.open.push(children);
            } else {
                while let Some(left) = self.open.last_mut() {
                    *left -= 1;
                    if *left > 0 {
                        break;
                    }
                    self.open.pop();
                }
            }
            if self.open.is_empty() {
                return Ok(Some(end));
            }
        }
    }
}

/// The length of the first value in `buffer`, or `None` if it is incomplete.
///
/// Starts from the beginning each time; a stream that delivers messages in
/// pieces keeps a [`Scanner`].
///
/// # Errors
///
/// As [`Scanner::advance`].
pub fn complete_len(buffer: &[u8], limits: &Limits) -> Result<Option<usize>, DecodeError> {
    Scanner::new().advance(buffer, limits)
}
