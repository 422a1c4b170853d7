//! The escapes of Python string literals.

/// Resolves backslash escapes as Python's `unicode-escape` codec does.
///
/// # Errors
/// The codec's message for a truncated or unknown escape.
pub(super) fn unescape(raw: &str, newline: &str) -> Result<String, &'static str> {
    let raw = if newline == "\n" {
        raw.to_owned()
    } else {
        raw.replace('\n', newline)
    };
    if !raw.contains('\\') {
        return Ok(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(c) = chars.next() else {
            return Err("\\ at end of string");
        };
        match c {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(c),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\u{b}'),
            'x' => out.push(code(&mut chars, 2, "truncated \\xXX escape")?),
            'u' => out.push(code(&mut chars, 4, "truncated \\uXXXX escape")?),
            'U' => out.push(code(&mut chars, 8, "truncated \\UXXXXXXXX escape")?),
            'N' => return Err("unknown Unicode character name"),
            '0'..='7' => {
                let mut value = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    match chars.peek().and_then(|c| c.to_digit(8)) {
                        Some(digit) => {
                            value = value * 8 + digit;
                            chars.next();
                        }
                        None => break,
                    }
                }
                out.push(char::from_u32(value).unwrap_or('\u{fffd}'));
            }
            other if other.is_ascii() => {
                out.push('\\');
                out.push(other);
            }
            // A character beyond ASCII was itself written as an escape before
            // the codec saw it, so the backslash escapes that escape's backslash.
            other => out.push_str(&crate::jinja::value::escape_non_ascii(&other.to_string())),
        }
    }
    Ok(out)
}

fn code(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    digits: usize,
    truncated: &'static str,
) -> Result<char, &'static str> {
    let mut value: u32 = 0;
    for _ in 0..digits {
        let digit = chars.peek().and_then(|c| c.to_digit(16));
        let Some(digit) = digit else {
            return Err(truncated);
        };
        chars.next();
        value = value.wrapping_mul(16).wrapping_add(digit);
    }
    if value > 0x10_ffff {
        return Err("illegal Unicode character");
    }
    // A lone surrogate has no place in a Rust string.
    Ok(char::from_u32(value).unwrap_or('\u{fffd}'))
}
