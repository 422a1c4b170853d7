//! What holds for every value: writing and reading are inverse.

use proptest::collection::vec;
use proptest::prelude::*;
use salt_proto::envelope::{self, Enc, Envelope, Load};
use salt_proto::message::{AesCommand, AesRequest, ClearCommand, ClearRequest, LoadError};
use salt_proto::msgpack::{self, Dialect, Reader, Scanner};
use salt_proto::{
    DateTime, DecodeErrorKind, Event, Functions, Jid, Job, Limits, Map, MinionId, Return, SaltUrl,
    Target, Value,
};

use crate::checks;

fn limits() -> Limits {
    Limits::default()
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-200_i64..70_000).prop_map(Value::Int),
        (1_u64 << 63..).prop_map(Value::UInt),
        any::<f64>().prop_map(Value::Float),
        any::<String>().prop_map(Value::Str),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        "[a-z]{0,300}".prop_map(Value::Str),
        (-62_135_596_800_000_000_i64..=253_402_300_799_999_999)
            .prop_map(|micros| Value::DateTime(DateTime::from_unix_micros(micros).unwrap())),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 16, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec((scalar(), inner), 0..6)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    })
}

fn map() -> impl Strategy<Value = Map> {
    vec(
        (
            prop_oneof!["[a-z_]{1,8}".prop_map(Value::Str), scalar()],
            any_value(),
        ),
        0..6,
    )
    .prop_map(|entries| entries.into_iter().collect())
}

fn encoded(value: &Value, dialect: Dialect) -> Vec<u8> {
    let mut bytes = Vec::new();
    msgpack::encode(value, dialect, &mut bytes);
    bytes
}

/// What a peer of the network makes of a value: bytes that are text are text.
fn over_the_network(value: &Value) -> Value {
    match value {
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => value.clone(),
        },
        Value::List(items) => items.iter().map(over_the_network).collect(),
        Value::Map(map) => Value::Map(
            map.iter()
                .map(|(k, v)| (over_the_network(k), over_the_network(v)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn minion_id() -> impl Strategy<Value = MinionId> {
    "[a-zA-Z0-9éü_ @-][a-zA-Z0-9éü_. @-]{0,40}"
        .prop_filter_map("two dots", |id| MinionId::parse(&id).ok())
}

fn jid() -> impl Strategy<Value = Jid> {
    (
        0..253_402_300_800_000_000_u64,
        proptest::option::of(any::<u32>()),
    )
        .prop_map(|(micros, pid)| match pid {
            None => Jid::from_unix_micros(micros),
            Some(pid) => Jid::from_unix_micros_and_pid(micros, pid),
        })
}

fn functions() -> impl Strategy<Value = Functions> {
    let name = "[a-z]{1,8}\\.[a-z_]{1,8}";
    prop_oneof![
        name.prop_map(Functions::One),
        vec(name, 0..4).prop_map(Functions::Several),
    ]
}

proptest! {
    #[test]
    fn a_value_survives_the_bin_dialect(value in any_value()) {
        let bytes = encoded(&value, Dialect::Bin);
        let decoded = msgpack::decode_utf8(&bytes, &limits()).unwrap();
        prop_assert_eq!(encoded(&decoded, Dialect::Bin), bytes);
        prop_assert_eq!(decoded, value);
    }

    #[test]
    fn a_value_survives_the_raw_dialect_but_for_bytes_that_are_text(value in any_value()) {
        let bytes = encoded(&value, Dialect::Raw);
        prop_assert_eq!(msgpack::decode(&bytes, &limits()).unwrap(), over_the_network(&value));

        let raw = msgpack::decode_raw(&bytes, &limits()).unwrap();
        prop_assert!(encoded(&raw, Dialect::Raw).len() <= bytes.len());
    }

    #[test]
    fn the_end_of_a_value_is_found_however_it_arrives(value in any_value(), cut in any::<prop::sample::Index>(), tail in vec(any::<u8>(), 0..9)) {
        let bytes = encoded(&value, Dialect::Raw);
        let cut = cut.index(bytes.len());
        prop_assert_eq!(msgpack::complete_len(&bytes[..cut], &limits()), Ok(None));
        prop_assert_eq!(
            msgpack::decode(&bytes[..cut], &limits()).unwrap_err().kind,
            DecodeErrorKind::Truncated
        );

        let mut stream = bytes.clone();
        stream.extend_from_slice(&tail);
        let mut scanner = Scanner::new();
        prop_assert_eq!(scanner.advance(&stream[..cut], &limits()), Ok(None));
        prop_assert_eq!(scanner.advance(&stream, &limits()), Ok(Some(bytes.len())));

        let mut reader = Reader::new(&stream, &limits()).unwrap();
        prop_assert_eq!(reader.skip().unwrap(), &bytes[..]);
        prop_assert_eq!(reader.end().is_ok(), tail.is_empty());
        if !tail.is_empty() {
            prop_assert_eq!(msgpack::decode(&stream, &limits()).unwrap_err().kind, DecodeErrorKind::Trailing);
        }
    }

    #[test]
    fn skimming_finds_what_decoding_finds(map in map()) {
        let bytes = encoded(&Value::Map(map.clone()), Dialect::Bin);
        let key = map.keys().find_map(Value::as_str).unwrap_or("none").to_owned();
        let [found, absent] = msgpack::skim(&bytes, [&key, "not there"], &limits()).unwrap().unwrap();
        // A key in bytes that spells the same text counts as the same.
        if !map.keys().any(|other| matches!(other, Value::Bytes(_))) {
            let found = found.map(|bytes| msgpack::decode_utf8(bytes, &limits()).unwrap());
            prop_assert_eq!(found.as_ref(), map.get(&key));
        }
        prop_assert_eq!(absent, None);
    }

    // T-01, T-03
    #[test]
    fn any_bytes_are_read_alike_by_every_reader(data in vec(any::<u8>(), 0..200)) {
        checks::msgpack::msgpack(&data);
        checks::envelope::envelope(&data);
        checks::event::event(&data);
    }

    // T-01
    #[test]
    fn a_damaged_message_is_read_alike_by_every_reader(value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut data = encoded(&value, Dialect::Raw);
        let at = at.index(data.len());
        data[at] = byte;
        checks::msgpack::msgpack(&data);
        checks::envelope::envelope(&data);
    }

    #[test]
    fn an_envelope_carries_what_was_put_in(sealed in vec(any::<u8>(), 0..400), sig in vec(any::<u8>(), 0..300), id in minion_id(), load in map()) {
        let mut bytes = Vec::new();
        envelope::aes_request(&sealed, &id, "OAEP-SHA1", "PKCS1v15-SHA224", &mut bytes);
        let message = Envelope::parse(&bytes, &limits()).unwrap();
        prop_assert_eq!((message.enc, message.version, message.load), (Enc::Aes, 3, Load::Bytes(&sealed)));
        prop_assert_eq!(message.minion_id().unwrap(), id);
        prop_assert_eq!((message.enc_algo, message.sig_algo), (Some("OAEP-SHA1"), Some("PKCS1v15-SHA224")));

        let mut bytes = Vec::new();
        envelope::publish(&sealed, Some(("PKCS1v15-SHA1", &sig)), &mut bytes);
        let message = Envelope::parse(&bytes, &limits()).unwrap();
        prop_assert_eq!((message.load_bytes().unwrap(), message.sig), (&sealed[..], Some(&sig[..])));

        let mut bytes = Vec::new();
        envelope::clear_request(&load, &mut bytes);
        let message = Envelope::parse(&bytes, &limits()).unwrap();
        prop_assert_eq!(Value::Map(message.clear_load(&limits()).unwrap()), over_the_network(&Value::Map(load)));
    }

    #[test]
    fn an_event_survives_the_bus(tag in "[a-z/0-9é]{1,40}", data in map()) {
        let event = Event::new(tag, data);
        let bytes = event.pack().unwrap();
        prop_assert_eq!(Event::unpack(&bytes, &limits()).unwrap(), event);
    }

    #[test]
    fn a_jid_survives_being_text(jid in jid()) {
        prop_assert_eq!(jid.to_string().parse::<Jid>().unwrap(), jid.clone());
        let micros = jid.unix_micros().unwrap();
        let plain = Jid::from_unix_micros(micros);
        prop_assert_eq!(plain.as_str(), &jid.as_str()[..20]);
    }

    // K-02
    #[test]
    fn no_text_becomes_an_id_that_is_a_path(text in "\\PC*|[./\\\\a\\x00-\\x20]{0,12}|.{0,300}") {
        match MinionId::parse(&text) {
            Ok(id) => {
                prop_assert!((1..=255).contains(&text.len()));
                prop_assert!(!text.contains(['/', '\\', '\0']) && !text.contains("..") && !text.starts_with('.'));
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert!(MinionId::valid_in_salt(&text));
                prop_assert_eq!(id.to_string().parse::<MinionId>().unwrap(), id);
            }
            Err(_) if MinionId::valid_in_salt(&text) => {
                prop_assert!(text.len() > 255 || text.starts_with('.') || text.contains("..") || text.chars().any(|c| !c.is_alphanumeric()));
            }
            Err(_) => {}
        }
    }

    // P-01
    #[test]
    fn an_address_never_leaves_the_tree(path in "[./\\\\|a-c?= ]{0,20}", env in proptest::option::of("[a-z./]{0,8}")) {
        let text = match &env {
            None => format!("salt://{path}"),
            Some(env) => format!("salt://{path}?saltenv={env}"),
        };
        if let Ok(url) = text.parse::<SaltUrl>() {
            prop_assert!(url.components().all(|part| !matches!(part, "" | "." | "..") && !part.contains(['/', '\\'])));
            prop_assert_eq!(url.to_string().parse::<SaltUrl>().unwrap(), url);
        }
    }

    #[test]
    fn a_target_survives_being_printed(kind in any::<u8>(), text in "[a-z*?\\[\\]!()|:,@GPIJLNSERTM0-9./\\\\ ]{0,30}|\\PC{0,20}") {
        let mut data = vec![kind];
        data.extend_from_slice(text.as_bytes());
        checks::target::target(&data);
    }

    #[test]
    fn a_target_survives_being_published(ids in vec("[a-z0-9.]{0,8}", 0..6), jid in jid()) {
        let target = Target::list(&ids);
        let job = Job::new(jid, "test.ping", vec![], target.clone());
        prop_assert_eq!(Job::from_map(job.to_map()).unwrap().target, target);
    }

    #[test]
    fn a_job_survives_being_published(
        jid in jid(),
        function in "[a-z]{1,8}\\.[a-z_]{1,8}",
        args in vec(scalar(), 0..4),
        kwargs in vec(("[a-z]{1,6}", any_value()), 0..4),
        user in "[a-z]{0,6}",
        serial in proptest::option::of(any::<u64>()),
        extra in vec(("x[a-z]{1,6}", any_value()), 0..4),
    ) {
        let mut job = Job::new(jid, function, args, Target::glob("web*"));
        job.kwargs = kwargs.into_iter().collect();
        job.user = user;
        job.serial = serial;
        job.extra = extra.into_iter().collect();
        prop_assert_eq!(Job::from_map(job.to_map()).unwrap(), job);
    }

    #[test]
    fn a_return_survives_the_wire(id in minion_id(), jid in proptest::option::of(jid()), function in functions(), value in any_value(), retcode in any::<i64>(), extra in vec(("x[a-z]{1,6}", any_value()), 0..4)) {
        let mut ret = Return::new(id, jid, function, value).with_retcode(retcode);
        ret.extra = extra.into_iter().collect();
        prop_assert_eq!(&Return::from_map(ret.to_map()).unwrap(), &ret);

        let request = AesRequest::from_map(ret.to_map()).unwrap();
        prop_assert_eq!(request, AesRequest::Return(Box::new(ret)));
    }

    // K-01
    #[test]
    fn only_listed_commands_are_requests(name in "[a-z_]{0,20}") {
        let load = Map::from([("cmd", name.as_str())]);
        if ClearCommand::from_name(&name).is_none() {
            prop_assert_eq!(ClearRequest::from_map(load.clone()), Err(LoadError::UnknownCommand));
        }
        if AesCommand::from_name(&name).is_none() {
            prop_assert_eq!(AesRequest::from_map(load), Err(LoadError::UnknownCommand));
        }
    }
}
