//! Python's names for encodings, as far as files of configurations have them.

/// A name without what Python ignores in it.
fn plain(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Utf8,
    Utf8Sig,
    Ascii,
    Latin1,
    Cp1252,
    Utf16(Order),
    Utf32(Order),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Marked,
    Little,
    Big,
}

fn kind(name: &str) -> Result<Kind, String> {
    Ok(match plain(name).as_str() {
        "utf8" | "u8" | "utf" => Kind::Utf8,
        "utf8sig" => Kind::Utf8Sig,
        "ascii" | "usascii" | "646" => Kind::Ascii,
        "latin1" | "iso88591" | "latin" | "l1" | "8859" | "cp819" => Kind::Latin1,
        "cp1252" | "windows1252" | "1252" => Kind::Cp1252,
        "utf16" | "u16" => Kind::Utf16(Order::Marked),
        "utf16le" => Kind::Utf16(Order::Little),
        "utf16be" => Kind::Utf16(Order::Big),
        "utf32" | "u32" => Kind::Utf32(Order::Marked),
        "utf32le" => Kind::Utf32(Order::Little),
        "utf32be" => Kind::Utf32(Order::Big),
        _ => return Err(format!("unknown encoding: {name}")),
    })
}

/// The letters that Windows-1252 has where Latin-1 has control characters.
const CP1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
    '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}',
    '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// Text in an encoding; `errors` is Python's `strict`, `ignore`, `replace`, …
///
/// # Errors
///
/// In Python's words.
pub(crate) fn encode(text: &str, encoding: &str, errors: &str) -> Result<Vec<u8>, String> {
    let (name, limit) = match kind(encoding)? {
        Kind::Utf8 => return Ok(text.as_bytes().to_vec()),
        Kind::Utf8Sig => {
            let mut out = vec![0xef, 0xbb, 0xbf];
            out.extend_from_slice(text.as_bytes());
            return Ok(out);
        }
        Kind::Utf16(order) => {
            let mut out = Vec::with_capacity(text.len() * 2 + 2);
            let mark = (order == Order::Marked).then_some(0xfeff);
            for unit in mark.into_iter().chain(text.encode_utf16()) {
                out.extend(match order {
                    Order::Big => unit.to_be_bytes(),
                    Order::Little | Order::Marked => unit.to_le_bytes(),
                });
            }
            return Ok(out);
        }
        Kind::Utf32(order) => {
            let mut out = Vec::with_capacity(text.len() * 4 + 4);
            let mark = (order == Order::Marked).then_some(0xfeff);
            for unit in mark.into_iter().chain(text.chars().map(u32::from)) {
                out.extend(match order {
                    Order::Big => unit.to_be_bytes(),
                    Order::Little | Order::Marked => unit.to_le_bytes(),
                });
            }
            return Ok(out);
        }
        Kind::Ascii => ("ascii", 128),
        Kind::Latin1 => ("latin-1", 256),
        Kind::Cp1252 => ("charmap", 256),
    };
    let mut out = Vec::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        let code = u32::from(c);
        let byte = if name == "charmap" {
            match CP1252.iter().position(|known| *known == c) {
                Some(at) => u8::try_from(at + 0x80).ok(),
                None => u8::try_from(code)
                    .ok()
                    .filter(|byte| !(0x80..0xa0).contains(byte)),
            }
        } else {
            u8::try_from(code).ok().filter(|_| code < limit)
        };
        match (byte, errors) {
            (Some(byte), _) => out.push(byte),
            (None, "ignore") => {}
            (None, "replace") => out.push(b'?'),
            (None, "xmlcharrefreplace") => out.extend(format!("&#{code};").bytes()),
            (None, "backslashreplace") => out.extend(escaped(c).bytes()),
            (None, _) => {
                let shown = escaped(c);
                return Err(if name == "charmap" {
                    format!(
                        "'charmap' codec can't encode character '{shown}' in position {at}: character maps to <undefined>"
                    )
                } else {
                    format!(
                        "'{name}' codec can't encode character '{shown}' in position {at}: ordinal not in range({limit})"
                    )
                });
            }
        }
    }
    Ok(out)
}

fn escaped(c: char) -> String {
    match u32::from(c) {
        code @ ..=0xff => format!("\\x{code:02x}"),
        code @ ..=0xffff => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    }
}

/// Text of bytes in an encoding.
///
/// # Errors
///
/// In Python's words.
pub(crate) fn decode(bytes: &[u8], encoding: &str) -> Result<String, String> {
    let kind = kind(encoding)?;
    let broken = || format!("'{encoding}' codec can't decode bytes: invalid data");
    match kind {
        Kind::Utf8 => utf8(bytes).map(str::to_owned),
        Kind::Utf8Sig => {
            utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).map(str::to_owned)
        }
        Kind::Ascii => match bytes.iter().position(|byte| !byte.is_ascii()) {
            None => utf8(bytes).map(str::to_owned),
            Some(at) => Err(format!(
                "'ascii' codec can't decode byte 0x{:02x} in position {at}: ordinal not in range(128)",
                bytes.get(at).copied().unwrap_or_default()
            )),
        },
        Kind::Latin1 => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Kind::Cp1252 => Ok(bytes
            .iter()
            .map(|byte| match byte {
                0x80..=0x9f => CP1252.get(usize::from(byte - 0x80)).copied().unwrap_or(' '),
                byte => char::from(*byte),
            })
            .collect()),
        Kind::Utf16(order) => {
            let (big, bytes) = ordered(bytes, order, &[0xff, 0xfe], &[0xfe, 0xff]);
            let units = bytes.chunks(2).map(|pair| match pair {
                [a, b] if big => u16::from_be_bytes([*a, *b]),
                [a, b] => u16::from_le_bytes([*a, *b]),
                _ => 0xd800,
            });
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .map_err(|_| broken())
        }
        Kind::Utf32(order) => {
            let marks: (&[u8], &[u8]) = (&[0xff, 0xfe, 0, 0], &[0, 0, 0xfe, 0xff]);
            let (big, bytes) = ordered(bytes, order, marks.0, marks.1);
            bytes
                .chunks(4)
                .map(|unit| {
                    let unit: [u8; 4] = unit.try_into().ok()?;
                    char::from_u32(if big {
                        u32::from_be_bytes(unit)
                    } else {
                        u32::from_le_bytes(unit)
                    })
                })
                .collect::<Option<String>>()
                .ok_or_else(broken)
        }
    }
}

/// As [`decode`], with U+FFFD for what is none of the encoding's.
///
/// # Errors
///
/// An encoding that is not known, in Python's words.
pub(crate) fn decode_lossy(bytes: &[u8], encoding: &str) -> Result<String, String> {
    Ok(match kind(encoding)? {
        Kind::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
        Kind::Ascii => bytes
            .iter()
            .map(|byte| match byte.is_ascii() {
                true => char::from(*byte),
                false => char::REPLACEMENT_CHARACTER,
            })
            .collect(),
        Kind::Utf16(order) => {
            let (big, bytes) = ordered(bytes, order, &[0xff, 0xfe], &[0xfe, 0xff]);
            let units = bytes.chunks(2).map(|pair| match pair {
                [a, b] if big => u16::from_be_bytes([*a, *b]),
                [a, b] => u16::from_le_bytes([*a, *b]),
                _ => 0xfffd,
            });
            char::decode_utf16(units)
                .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        _ => {
            decode(bytes, encoding).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned())
        }
    })
}

fn ordered<'b>(bytes: &'b [u8], order: Order, little: &[u8], big: &[u8]) -> (bool, &'b [u8]) {
    match order {
        Order::Big => (true, bytes),
        Order::Little => (false, bytes),
        Order::Marked => match (bytes.strip_prefix(little), bytes.strip_prefix(big)) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => (false, bytes),
        },
    }
}

/// UTF-8 with Python's complaint.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        let reason = match (error.error_len(), byte) {
            (None, _) => "unexpected end of data",
            (Some(_), 0x80..=0xc1 | 0xf5..=0xff) => "invalid start byte",
            (Some(_), _) => "invalid continuation byte",
        };
        format!("'utf-8' codec can't decode byte 0x{byte:02x} in position {at}: {reason}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_its_encodings() {
        for encoding in [
            "utf-8",
            "UTF-16",
            "utf-16-le",
            "utf_32",
            "utf-32-be",
            "utf-8-sig",
        ] {
            let bytes = encode("für € 🦀\n", encoding, "strict").unwrap();
            assert_eq!(
                decode(&bytes, encoding).unwrap(),
                "für € 🦀\n",
                "{encoding}"
            );
        }
        assert_eq!(encode("ü€", "cp1252", "strict").unwrap(), [0xfc, 0x80]);
        assert_eq!(decode(&[0xfc, 0x80], "cp1252").unwrap(), "ü€");
        assert_eq!(
            encode("ü\n", "utf-16", "strict").unwrap(),
            b"\xff\xfe\xfc\0\n\0"
        );
    }

    #[test]
    fn what_does_not_fit_is_complained_about_as_python_does() {
        assert_eq!(
            encode("aü", "ascii", "strict").unwrap_err(),
            "'ascii' codec can't encode character '\\xfc' in position 1: ordinal not in range(128)"
        );
        assert_eq!(encode("aü", "ascii", "ignore").unwrap(), b"a");
        assert_eq!(encode("aü", "ascii", "replace").unwrap(), b"a?");
        assert_eq!(
            encode("", "nosuch", "strict").unwrap_err(),
            "unknown encoding: nosuch"
        );
        assert_eq!(
            utf8(b"\xff").unwrap_err(),
            "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
        );
    }
}
