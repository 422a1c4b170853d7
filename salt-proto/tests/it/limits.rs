//! Hostile messages, and the invariants of security.md they stand for.

use std::time::{Duration, Instant};

use salt_proto::envelope::{self, Envelope, EnvelopeError};
use salt_proto::message::{AesCommand, AesRequest, ClearCommand, ClearRequest, LoadError};
use salt_proto::msgpack::{self, Scanner};
use salt_proto::{DecodeErrorKind, Limits, Map, MinionId, Value, event};

/// Every reader there is, and what it says.
fn kinds(bytes: &[u8], limits: &Limits) -> [DecodeErrorKind; 6] {
    [
        msgpack::decode(bytes, limits).unwrap_err().kind,
        msgpack::decode_raw(bytes, limits).unwrap_err().kind,
        msgpack::decode_utf8(bytes, limits).unwrap_err().kind,
        msgpack::skim(bytes, ["cmd"], limits).unwrap_err().kind,
        msgpack::Reader::new(bytes, limits)
            .and_then(|mut reader| reader.skip().map(drop))
            .unwrap_err()
            .kind,
        match Scanner::new().advance(bytes, limits) {
            Err(error) => error.kind,
            // A stream may still bring what is announced.
            Ok(None) => DecodeErrorKind::Truncated,
            Ok(Some(len)) => panic!("a message of {len} bytes"),
        },
    ]
}

#[track_caller]
fn check(bytes: &[u8], limits: &Limits, kind: DecodeErrorKind) {
    #[expect(clippy::disallowed_methods, reason = "measures that refusal is quick")]
    let start = Instant::now();
    assert_eq!(kinds(bytes, limits), [kind; 6]);
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "took {:?}",
        start.elapsed()
    );
}

// T-01, T-03
#[test]
fn ten_million_nested_lists_are_refused() {
    check(
        &vec![0x91; 10_000_000],
        &Limits::default(),
        DecodeErrorKind::TooDeep,
    );
}

// T-01, T-03
#[test]
fn three_million_nested_maps_are_refused() {
    check(
        &b"\x81\xa1a".repeat(3_000_000),
        &Limits::default(),
        DecodeErrorKind::TooDeep,
    );
}

// T-02
#[test]
fn announced_lengths_are_not_believed() {
    let truncated = [
        &b"\xdd\xff\xff\xff\xff\x00"[..],
        b"\xdf\xff\xff\xff\xff\x00",
        b"\xc6\xff\xff\xff\xff\x00",
        b"\xdb\xff\xff\xff\xff\x00",
        b"\xc9\xff\xff\xff\xff\x05\x00",
    ];
    for bytes in truncated {
        let limits = Limits {
            max_message: usize::MAX,
            max_items: usize::MAX,
            ..Limits::default()
        };
        check(bytes, &limits, DecodeErrorKind::Truncated);
        // A stream is not waited for when it cannot become a message.
        let error = Scanner::new()
            .advance(bytes, &Limits::default())
            .unwrap_err();
        assert!(matches!(
            error.kind,
            DecodeErrorKind::TooLong | DecodeErrorKind::TooManyItems
        ));
    }
}

// T-03
#[test]
fn ten_megabytes_of_nil_exceed_the_budget_of_values() {
    let mut bytes = b"\xdd\x00\x98\x96\x80".to_vec();
    bytes.resize(bytes.len() + 10_000_000, 0xc0);
    check(&bytes, &Limits::default(), DecodeErrorKind::TooManyItems);

    // Nested a little, so that no single list announces too much.
    let mut inner = b"\xdd\x00\x00\x10\x00".to_vec();
    inner.resize(inner.len() + 0x1000, 0xc0);
    let mut bytes = b"\xdc\x04\x00".to_vec();
    bytes.extend(inner.repeat(0x400));
    check(&bytes, &Limits::default(), DecodeErrorKind::TooManyItems);
}

// T-02
#[test]
fn a_message_longer_than_the_limit_is_refused_unread() {
    let limits = Limits {
        max_message: 1000,
        ..Limits::default()
    };
    let mut bytes = b"\xda\x03\xe6".to_vec();
    bytes.resize(3 + 998, b'a');
    check(&bytes, &limits, DecodeErrorKind::TooLong);
}

// T-03
#[test]
fn the_limits_are_reached_exactly() {
    let nested = |depth: usize| [vec![0x91; depth - 1], vec![0x90]].concat();
    let limits = Limits {
        max_depth: 3,
        max_items: 3,
        ..Limits::default()
    };
    assert!(msgpack::decode(&nested(3), &limits).is_ok());
    assert_eq!(msgpack::complete_len(&nested(3), &limits), Ok(Some(3)));
    check(
        &nested(4),
        &Limits {
            max_items: 9,
            ..limits
        },
        DecodeErrorKind::TooDeep,
    );
    assert!(msgpack::decode(b"\x92\x01\x02", &limits).is_ok());
    check(b"\x93\x01\x02\x03", &limits, DecodeErrorKind::TooManyItems);
}

// T-03
#[test]
fn the_deepest_message_any_limit_allows_fits_a_small_stack() {
    let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
        let limits = Limits {
            max_depth: usize::MAX,
            ..Limits::default()
        };
        let deep = [b"\x81\xa1a".repeat(Limits::DEPTH_CEILING - 1), vec![0x80]].concat();
        let value = msgpack::decode(&deep, &limits).unwrap();
        let mut again = Vec::new();
        msgpack::encode(&value, msgpack::Dialect::Raw, &mut again);
        assert_eq!(again, deep);
        assert_eq!(value.clone(), value);
        assert!(value.to_string().len() > Limits::DEPTH_CEILING);
        assert!(msgpack::decode(&b"\x81\xa1a".repeat(Limits::DEPTH_CEILING + 1), &limits).is_err());
    });
    worker.unwrap().join().unwrap();
}

// T-03
#[test]
fn keys_that_are_no_scalars_are_refused() {
    for bytes in [
        &b"\x81\x91\x01\x02"[..],
        b"\x81\x80\x02",
        b"\x81\xc7\x05\x4f\x92\xa1a\x90\x01",
    ] {
        let error = msgpack::decode(bytes, &Limits::default()).unwrap_err();
        assert!(
            matches!(
                error.kind,
                DecodeErrorKind::BadKey | DecodeErrorKind::BadExtension
            ),
            "{error}"
        );
    }
}

// F1
#[test]
fn an_unknown_enc_is_refused_before_anything_else_is_looked_at() {
    for enc in ["", "Aes", "clear ", "pub", "none", "aes\0"] {
        let mut bytes = Vec::new();
        let message = Map::from([("load", Value::from(5)), ("enc", enc.into())]);
        msgpack::encode_map(&message, msgpack::Dialect::Raw, &mut bytes);
        let error = Envelope::parse(&bytes, &Limits::default()).unwrap_err();
        assert_eq!(
            (error, error.reply()),
            (EnvelopeError::UnknownEnc, "bad load")
        );
    }
    for enc in [
        Value::Null,
        true.into(),
        1.into(),
        vec![Value::from("aes")].into(),
    ] {
        let mut bytes = Vec::new();
        msgpack::encode_map(
            &Map::from([("load", Value::Null), ("enc", enc)]),
            msgpack::Dialect::Raw,
            &mut bytes,
        );
        assert_eq!(
            Envelope::parse(&bytes, &Limits::default()),
            Err(EnvelopeError::UnknownEnc)
        );
    }
}

#[test]
fn versions_are_read_as_salt_reads_them() {
    for (version, expected) in [
        (Value::Int(3), 3),
        ("3".into(), 3),
        (" 2 ".into(), 2),
        ("x".into(), 0),
        (Value::Null, 0),
        (Value::Int(-1), 0),
        (Value::Int(i64::MAX), u32::MAX),
        (vec![Value::Int(3)].into(), 0),
    ] {
        let mut bytes = Vec::new();
        let message = Map::from([
            ("enc", Value::from("clear")),
            ("load", Map::new().into()),
            ("version", version.clone()),
        ]);
        msgpack::encode_map(&message, msgpack::Dialect::Raw, &mut bytes);
        assert_eq!(
            Envelope::parse(&bytes, &Limits::default()).unwrap().version,
            expected,
            "{version}"
        );
    }
}

// C-05: an extension becomes a date or stays bytes; none names a type to build.
#[test]
fn no_extension_makes_an_object() {
    let payload = b"20260101T00:00:00.000000";
    for code in 0..=u8::MAX {
        let len = u8::try_from(payload.len()).unwrap();
        let bytes = [&[0xc7, len, code][..], payload].concat();

        let value = msgpack::decode_utf8(&bytes, &Limits::default());

        match code {
            // Salt's date.
            78 => assert!(matches!(value, Ok(Value::DateTime(_)))),
            // Salt's named constant, and MessagePack's own time stamp: this is neither.
            79 | 255 => assert_eq!(value.unwrap_err().kind, DecodeErrorKind::BadExtension),
            _ => assert_eq!(value, Ok(Value::Bytes(payload.to_vec())), "{code}"),
        }
    }
    // A constant is its value; its name reaches nothing.
    let constant = b"\xc7\x0b\x4f\x92\xa8os.popen\x01";
    assert_eq!(
        msgpack::decode(constant, &Limits::default()),
        Ok(Value::Int(1))
    );
}

// K-01
#[test]
fn the_commands_of_one_envelope_do_not_work_in_the_other() {
    let clear: Vec<&str> = ClearCommand::ALL
        .iter()
        .map(|command| command.name())
        .collect();
    assert_eq!(
        clear,
        [
            "_auth",
            "ping",
            "publish",
            "get_token",
            "mk_token",
            "wheel",
            "runner"
        ]
    );
    assert_eq!(AesCommand::ALL.len(), 27);
    for command in AesCommand::ALL {
        let load = Map::from([("cmd", command.name())]);
        assert_eq!(
            ClearRequest::from_map(load),
            Err(LoadError::UnknownCommand),
            "{command}"
        );
    }
    for command in ClearCommand::ALL {
        let load = Map::from([("cmd", command.name())]);
        assert_eq!(
            AesRequest::from_map(load),
            Err(LoadError::UnknownCommand),
            "{command}"
        );
    }
    for hostile in [
        "__init__",
        "_send_pub",
        "_prep_auth_info",
        "AUTH",
        "_auth ",
        "",
        "run_func",
        "get_method",
    ] {
        let load = Map::from([("cmd", hostile)]);
        assert_eq!(
            ClearRequest::from_map(load.clone()),
            Err(LoadError::UnknownCommand)
        );
        assert_eq!(AesRequest::from_map(load), Err(LoadError::UnknownCommand));
    }
    for odd in [Value::Null, 1.into(), vec![Value::from("ping")].into()] {
        let load = Map::from([("cmd", odd)]);
        assert_eq!(ClearRequest::from_map(load), Err(LoadError::UnknownCommand));
    }
}

// K-02
#[test]
fn the_id_of_an_envelope_is_an_id_or_nothing() {
    for id in ["../x", "a/b", "a\0b", ".", "", &"x".repeat(300)] {
        let mut bytes = Vec::new();
        let message = Map::from([
            ("enc", Value::from("aes")),
            ("load", "x".into()),
            ("id", id.into()),
        ]);
        msgpack::encode_map(&message, msgpack::Dialect::Raw, &mut bytes);
        let message = Envelope::parse(&bytes, &Limits::default()).unwrap();
        assert_eq!(message.minion_id(), Err(EnvelopeError::Id), "{id:?}");
    }
}

// E-01, F4
#[test]
fn a_minion_may_fire_only_what_is_its_own() {
    let web1 = MinionId::parse("web1").unwrap();
    let jid = "20240229123456000789";
    for tag in [
        "key",
        "salt/key",
        "salt/auth",
        "salt",
        "salt/",
        "salt/anything",
        "salt/minion/db1/start",
        "salt/minion/web1",
        "salt/presence/present",
        "salt/run/20240229123456000789/ret",
        "salt/wheel/20240229123456000789/new",
        "salt/cloud/x",
        "salt/batch/20240229123456000789/start",
        "minion/refresh/web1",
        "syndic/web1/20240229123456000789",
        "20240229123456000789",
        "20240229123456000789/x",
        "",
        "a\n\nsalt/key",
        "a\n",
    ] {
        assert!(event::is_reserved_tag(tag, &web1), "{tag:?}");
    }
    for tail in [
        "new",
        "publish",
        "ret/web1",
        "return",
        "error",
        "prog/db1/0",
        "prog/web1",
        "start/db1",
        "sub/web1/error/x",
    ] {
        assert!(
            event::is_reserved_tag(&format!("salt/job/{jid}/{tail}"), &web1),
            "{tail}"
        );
    }
    assert!(event::is_reserved_tag("salt/job/../prog/web1/0", &web1));
    for tag in [
        "minion_start",
        "salt/minion/web1/start",
        "salt/beacon/web1/load/",
        "salt/job/20240229123456000789/prog/web1/0",
        "salt/job/20240229123456000789/start/web1",
        "acme/deployed",
        "keys",
    ] {
        assert!(!event::is_reserved_tag(tag, &web1), "{tag:?}");
    }
}

#[test]
fn a_repeated_key_of_an_envelope_counts_as_its_last() {
    let mut bytes = Vec::new();
    envelope::clear_request(&Map::new(), &mut bytes);
    // A fourth entry: `enc` again.
    bytes[0] = 0x84;
    bytes.extend_from_slice(b"\xa3enc\xa3xyz");
    assert_eq!(
        Envelope::parse(&bytes, &Limits::default()),
        Err(EnvelopeError::UnknownEnc)
    );
}
