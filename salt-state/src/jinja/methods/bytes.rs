//! The few methods of `bytes` that templates use.

use crate::jinja::value::{Args, Method, Value, keyword_args, native_args};
use crate::jinja::{Error, Exception, Result, Runtime};

pub(super) fn find(name: &str) -> Option<Method> {
    Some(match name {
        "decode" => decode,
        "hex" => |_, this, args| {
            let [] = native_args(args, "bytes.hex", 0)?;
            let text: String = receiver(this)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            Ok(Value::text(text))
        },
        "upper" => |_, this, args| {
            let [] = native_args(args, "bytes.upper", 0)?;
            Ok(Value::Bytes(receiver(this).to_ascii_uppercase().into()))
        },
        "lower" => |_, this, args| {
            let [] = native_args(args, "bytes.lower", 0)?;
            Ok(Value::Bytes(receiver(this).to_ascii_lowercase().into()))
        },
        "startswith" => |_, this, args| affix(this, args, true),
        "endswith" => |_, this, args| affix(this, args, false),
        "strip" => |_, this, args| {
            let [] = native_args(args, "strip", 0)?;
            Ok(Value::Bytes(receiver(this).trim_ascii().into()))
        },
        _ => return None,
    })
}

fn receiver(this: &Value) -> &[u8] {
    match this {
        Value::Bytes(bytes) => bytes,
        _ => &[],
    }
}

fn affix(this: &Value, args: Args, start: bool) -> Result<Value> {
    let name = if start { "startswith" } else { "endswith" };
    let [affix] = native_args(args, name, 1)?;
    match affix {
        Some(Value::Bytes(affix)) if start => Ok(Value::Bool(receiver(this).starts_with(&affix))),
        Some(Value::Bytes(affix)) => Ok(Value::Bool(receiver(this).ends_with(&affix))),
        other => Err(Error::type_error(format!(
            "{name} first arg must be bytes or a tuple of bytes, not {}",
            other.unwrap_or_default().type_name()
        ))),
    }
}

fn decode(_: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    let [encoding, errors] = keyword_args(args, "decode", ["encoding", "errors"], 0)?;
    let encoding = encoding.map_or(Ok("utf-8".to_owned()), |value| value.str())?;
    let errors = errors.map_or(Ok("strict".to_owned()), |value| value.str())?;
    let bytes = receiver(this);
    match encoding.to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" => decode_utf8(bytes, &errors).map(Value::text),
        "latin-1" | "latin1" | "iso-8859-1" => Ok(Value::text(
            bytes.iter().map(|b| char::from(*b)).collect::<String>(),
        )),
        "ascii" | "us-ascii" => match bytes.iter().position(|byte| !byte.is_ascii()) {
            None => decode_utf8(bytes, &errors).map(Value::text),
            Some(at) if errors == "strict" => Err(Error::python(
                Exception::UnicodeDecodeError,
                format!(
                    "'ascii' codec can't decode byte 0x{:02x} in position {at}: \
                     ordinal not in range(128)",
                    bytes.get(at).copied().unwrap_or(0)
                ),
            )),
            Some(_) => {
                let keep = bytes.iter().filter(|b| b.is_ascii() || errors == "replace");
                let text = keep.map(|b| {
                    if b.is_ascii() {
                        char::from(*b)
                    } else {
                        '\u{fffd}'
                    }
                });
                Ok(Value::text(text.collect::<String>()))
            }
        },
        _ => Err(Error::python(
            Exception::LookupError,
            format!("unknown encoding: {encoding}"),
        )),
    }
}

/// Bytes as UTF-8, or as the error handler says.
pub(crate) fn decode_utf8(bytes: &[u8], errors: &str) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) if errors == "replace" => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Err(_) if errors == "ignore" => {
            Ok(bytes.utf8_chunks().map(|chunk| chunk.valid()).collect())
        }
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or(0);
            let reason = match error.error_len() {
                None => "unexpected end of data",
                Some(_) if byte >= 0xf5 || (0x80..0xc2).contains(&byte) => "invalid start byte",
                Some(_) => "invalid continuation byte",
            };
            Err(Error::python(
                Exception::UnicodeDecodeError,
                format!("'utf-8' codec can't decode byte 0x{byte:02x} in position {at}: {reason}"),
            ))
        }
    }
}
