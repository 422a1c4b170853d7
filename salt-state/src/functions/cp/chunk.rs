//! `cp.recv_chunked`: a file that somebody sends piece by piece (`salt-cp --chunked`).

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{WriteOptions, errno_text};

/// What one piece may come to: 256 MiB, of which Salt sends one at a time.
const LARGEST: u64 = 256 << 20;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "cp.recv_chunked",
        "recv_chunked(dest, chunk, append=False, compressed=True, mode=None)",
        "Writes a piece of a file, in base64 and mostly packed by gzip. append: after what is there. Without a chunk it makes a directory.",
        receive,
    );
}

fn receive(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let dest = args.text("dest")?;
    let path = Path::new(&dest);
    let told = |error: std::io::Error| -> Value { errno_text(&error, Some(path)).into() };
    let Some(chunk) = args.given("chunk") else {
        return Ok(match context.system.create_dir_all(path, 0o755) {
            Ok(()) => true.into(),
            Err(error) => told(error),
        });
    };
    let mut content = decoded(&python::str(chunk))?;
    if args.is_true("compressed") && !content.is_empty() {
        content = match unpacked(&content) {
            Ok(content) => content,
            Err(complaint) => return Ok(complaint.into()),
        };
    }
    let append = args.is_true("append");
    let mode = args.get("mode").and_then(Value::as_int);
    let mut options = WriteOptions::new();
    if let Some(mode) = mode
        .filter(|_| !append)
        .and_then(|mode| u32::try_from(mode).ok())
    {
        options = options.mode(mode & 0o7777);
    }
    let written = (|| {
        if let Some(parent) = path.parent() {
            context.system.create_dir_all(parent, 0o755)?;
        }
        if append && let Some(mut before) = context.system.read(path)? {
            before.append(&mut content);
            content = before;
        }
        context.system.write(path, &content, &options)
    })();
    Ok(match written {
        Ok(()) => true.into(),
        Err(error) => told(error),
    })
}

/// Base64 as Python reads it: over what does not belong there.
fn decoded(text: &str) -> Result<Vec<u8>, CallError> {
    let known = |letter: &char| letter.is_ascii_alphanumeric() || "+/=".contains(*letter);
    let text: String = text.chars().filter(known).collect();
    STANDARD
        .decode(text)
        .map_err(|_| CallError::exception("binascii.Error", "Incorrect padding"))
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, String> {
    if !packed.starts_with(&[0x1f, 0x8b]) {
        let start = packed.get(..2).unwrap_or(packed).to_vec();
        let shown = python::repr(&Value::Bytes(start));
        return Err(format!("Not a gzipped file ({shown})"));
    }
    let mut content = Vec::new();
    let read = GzDecoder::new(packed)
        .take(LARGEST + 1)
        .read_to_end(&mut content);
    match read {
        Err(error) => Err(error.to_string()),
        Ok(_) if content.len() as u64 > LARGEST => Err(format!("more than {LARGEST} bytes")),
        Ok(_) => Ok(content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::{FakeSystem, Observe};

    // What 3008.3 answered.
    #[test]
    fn pieces_are_put_together_as_salt_puts_them() {
        let (registry, minion) = (Registry::builtin(), MinionData::default());
        let machine = FakeSystem::new().directory("/d");
        let context = Context::new(&registry, &machine, &minion);
        let call = |dest: &str, chunk: Value, more: &[(&str, Value)]| {
            let mut args = Args::new().with(dest).with(chunk);
            for (key, value) in more {
                args = args.keyword(key, value.clone());
            }
            registry.call("cp.recv_chunked", &args, &context)
        };
        let plain = ("compressed", Value::from(false));
        let packed = "H4sIAJoIA2sC/8tIzcnJBwCGphA2BQAAAA==";
        let text = |path: &str| machine.text(Path::new(path)).unwrap();

        assert_eq!(call("/d/a", packed.into(), &[]).unwrap(), true.into());
        assert_eq!(text("/d/a").as_deref(), Some("hello"));
        let append = ("append", Value::from(true));
        call("/d/a", "bW9yZQ==".into(), &[plain.clone(), append]).unwrap();
        assert_eq!(text("/d/a").as_deref(), Some("hellomore"));
        call("/d/new/x", "".into(), &[]).unwrap();
        assert_eq!(text("/d/new/x").as_deref(), Some(""));
        call("/d/empty", Value::Null, &[]).unwrap();
        assert!(machine.is_dir(Path::new("/d/empty")));
        let mode = ("mode", Value::from(0o600));
        call("/d/m", "bW9yZQ==".into(), &[plain.clone(), mode]).unwrap();
        let found = machine.metadata(Path::new("/d/m")).unwrap().unwrap();
        assert_eq!(found.mode & 0o777, 0o600);

        assert_eq!(
            call("/d/b", "eJzLSM3JyQcABiwCFQ==".into(), &[]).unwrap(),
            "Not a gzipped file (b'x\\x9c')".into()
        );
        let short = call("/d/b", "abc".into(), &[]).unwrap_err();
        assert_eq!(short.to_string(), "Incorrect padding");
    }
}
