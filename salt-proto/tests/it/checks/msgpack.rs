//! What must hold for any bytes taken for a value; shared with the fuzz target.

use salt_proto::msgpack::{self, Dialect, Reader, Scanner};
use salt_proto::{DecodeErrorKind, Limits, Value};

/// Decodes `data` in every way there is.
///
/// # Panics
///
/// When two decoders disagree, or a value does not survive encoding.
pub(crate) fn msgpack(data: &[u8]) {
    let limits = Limits {
        max_message: 1 << 20,
        max_depth: 64,
        max_items: 10_000,
    };
    let skipped = Reader::new(data, &limits).and_then(|mut reader| {
        reader.skip()?;
        reader.end()
    });
    let length = msgpack::complete_len(data, &limits);
    for decode in [msgpack::decode, msgpack::decode_raw, msgpack::decode_utf8] {
        match decode(data, &limits) {
            Ok(value) => {
                assert!(skipped.is_ok());
                assert_eq!(length, Ok(Some(data.len())));
                survives(&value, &limits);
            }
            // These are about meaning; the others are about form, on which all
            // readers agree.
            Err(error)
                if matches!(
                    error.kind,
                    DecodeErrorKind::BadKey
                        | DecodeErrorKind::BadExtension
                        | DecodeErrorKind::TooManyItems
                        | DecodeErrorKind::TooDeep
                ) => {}
            Err(_) => assert!(skipped.is_err()),
        }
    }
    // However the bytes arrive, the message ends in the same place.
    let mut scanner = Scanner::new();
    let mut end = Ok(None);
    for cut in 1..=data.len().min(4096) {
        end = scanner.advance(&data[..cut], &limits);
        if end != Ok(None) {
            break;
        }
    }
    if data.len() <= 4096 {
        assert_eq!(end, length);
    }
    if let Ok(Some([found, _])) = msgpack::skim(data, ["cmd", "id"], &limits)
        && let Ok(Value::Map(map)) = msgpack::decode(data, &limits)
    {
        let decoded = found.map(|bytes| msgpack::decode(bytes, &limits).unwrap());
        assert_eq!(decoded.as_ref(), map.get("cmd"));
    }
}

fn survives(value: &Value, limits: &Limits) {
    let mut bytes = Vec::new();
    msgpack::encode(value, Dialect::Bin, &mut bytes);
    let again = msgpack::decode_utf8(
        &bytes,
        &Limits {
            max_message: bytes.len(),
            ..*limits
        },
    )
    .unwrap();
    assert_eq!(&again, value);
    let mut raw = Vec::new();
    msgpack::encode(value, Dialect::Raw, &mut raw);
    let raw_limits = Limits {
        max_message: raw.len(),
        ..*limits
    };
    let value = msgpack::decode(&raw, &raw_limits).unwrap();
    let mut again = Vec::new();
    msgpack::encode(&value, Dialect::Raw, &mut again);
    // Bytes that are text, as keys beside the same text, become one key.
    if again.len() == raw.len() {
        assert_eq!(again, raw);
    } else {
        assert!(again.len() < raw.len());
    }
}
