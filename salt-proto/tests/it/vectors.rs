//! What real Salt was recorded to do. Every entry of every file is checked.

#![expect(
    clippy::print_stdout,
    reason = "how much was checked is part of the result"
)]

use std::path::Path;

use salt_proto::msgpack::{self, Dialect};
use salt_proto::target::{Candidate, Reading, Release};
use salt_proto::{DateTime, Event, Facts, Jid, Limits, Map, MinionId, Target, Value};
use serde_json::Value as Json;

pub(crate) fn read(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} in base64"),
    };
    let text: Vec<u8> = text.bytes().filter(|c| *c != b'=').collect();
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, c| bits << 6 | u32::from(digit(*c)))
            << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

/// Numbers, text and containers, with the tags for what JSON cannot say.
/// `None` for an integer that no MessagePack integer holds.
pub(crate) fn value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i64() {
            Some(n) => Value::Int(n),
            None => Value::Float(n.as_f64().unwrap()),
        },
        Json::String(text) => text.into(),
        Json::Array(items) => Value::List(items.iter().map(value).collect::<Option<_>>()?),
        Json::Object(map) => match map.iter().next().map(|(tag, inner)| (tag.as_str(), inner)) {
            Some(("$bin", inner)) => Value::Bytes(base64(inner.as_str().unwrap())),
            Some(("$int", inner)) => {
                let text = inner.as_str().unwrap();
                match text.parse::<i64>() {
                    Ok(n) => Value::Int(n),
                    Err(_) => Value::UInt(text.parse().ok()?),
                }
            }
            Some(("$float", inner)) => Value::Float(inner.as_str().unwrap().parse().unwrap()),
            Some(("$tuple" | "$set", inner)) => return value(inner),
            Some(("$datetime" | "$date", inner)) => Value::DateTime(date(inner.as_str().unwrap())),
            Some(("$map", inner)) => {
                let mut out = Map::new();
                for pair in inner.as_array().unwrap() {
                    out.insert(value(&pair[0])?, value(&pair[1])?);
                }
                Value::Map(out)
            }
            Some(("$other", inner)) => {
                let text = inner.as_str().unwrap();
                let seconds = text.strip_prefix("Timestamp:Timestamp(seconds=").unwrap();
                let seconds: i64 = seconds.split(',').next().unwrap().parse().unwrap();
                Value::DateTime(DateTime::from_unix_micros(seconds * 1_000_000).unwrap())
            }
            _ => {
                let mut out = Map::new();
                for (key, inner) in map {
                    out.insert(key, value(inner)?);
                }
                Value::Map(out)
            }
        },
    })
}

fn date(iso: &str) -> DateTime {
    let mut numbers = iso
        .split(['-', 'T', ':', '.'])
        .map(|n| n.parse::<u32>().unwrap());
    let mut next = || numbers.next().unwrap_or(0);
    DateTime {
        year: next().try_into().unwrap(),
        month: next().try_into().unwrap(),
        day: next().try_into().unwrap(),
        hour: next().try_into().unwrap(),
        minute: next().try_into().unwrap(),
        second: next().try_into().unwrap(),
        microsecond: next(),
    }
}

/// Integers beyond 64 bits are their decimal text, which the caller of our
/// encoder has to write as such: the value type cannot hold them.
fn with_big_integers_as_text(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(with_big_integers_as_text).collect(),
        Json::Object(map) => match map.get("$int") {
            Some(_) if value(json).is_none() => map["$int"].clone(),
            _ => map
                .iter()
                .map(|(k, v)| (k.clone(), with_big_integers_as_text(v)))
                .collect(),
        },
        other => other.clone(),
    }
}

fn is_error(json: &Json) -> bool {
    json.get("$error").is_some()
}

fn deep() -> Limits {
    Limits {
        max_depth: Limits::DEPTH_CEILING,
        ..Limits::default()
    }
}

#[track_caller]
fn check_bytes(name: &str, expected: &Json, actual: &[u8]) {
    match expected {
        Json::String(text) => assert_eq!(actual, base64(text), "{name}"),
        summary => {
            let head = base64(summary["head"].as_str().unwrap());
            assert_eq!(
                actual.len() as u64,
                summary["len"].as_u64().unwrap(),
                "{name}"
            );
            assert_eq!(&actual[..head.len()], head, "{name}");
        }
    }
}

type Decoder = fn(&[u8], &Limits) -> Result<Value, salt_proto::DecodeError>;

#[test]
fn msgpack_is_what_salt_writes_and_reads() {
    let file = read("msgpack.json");
    let (mut encoded, mut decoded) = (0, 0);
    for entry in file["encode"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let plain = value(&with_big_integers_as_text(&entry["value"])).unwrap();
        for (dialect, dumps) in [(Dialect::Raw, "dumps_raw"), (Dialect::Bin, "dumps_bin")] {
            let mut bytes = Vec::new();
            msgpack::encode(&plain, dialect, &mut bytes);
            check_bytes(name, &entry[dumps], &bytes);
            encoded += 1;

            let readers: [(&str, Decoder); 2] = [
                ("loads", msgpack::decode),
                ("loads_utf8", msgpack::decode_utf8),
            ];
            for (loads, decode) in readers {
                let expected = &entry[format!("{loads}_of_{dumps}")];
                let expected = match expected.as_str() {
                    // Long texts come back as they went in.
                    Some("roundtrip") => plain.clone(),
                    _ => value(expected).unwrap(),
                };
                assert_eq!(
                    decode(&bytes, &deep()).unwrap(),
                    expected,
                    "{name} {loads} of {dumps}"
                );
                decoded += 1;
            }
        }
        // What minion signatures cover is the bin dialect, without conversions.
        if !is_error(&entry["serializer"]) {
            let mut bytes = Vec::new();
            msgpack::encode(&plain, Dialect::Bin, &mut bytes);
            check_bytes(name, &entry["serializer"], &bytes);
            encoded += 1;
        }
    }
    for entry in file["decode"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let bytes = base64(entry["bytes"].as_str().unwrap());
        let readers: [(&str, Decoder); 3] = [
            ("loads", msgpack::decode),
            ("loads_raw", msgpack::decode_raw),
            ("loads_utf8", msgpack::decode_utf8),
        ];
        for (loads, decode) in readers {
            let expected = &entry[loads];
            match decode(&bytes, &deep()) {
                Ok(actual) if expected == "ok" => {
                    // Too deep to be written down; it encodes to what it came from.
                    let mut again = Vec::new();
                    msgpack::encode(&actual, Dialect::Raw, &mut again);
                    assert_eq!(again, bytes, "{name} {loads}");
                }
                Ok(actual) => {
                    assert!(!is_error(expected), "{name} {loads}: {actual}");
                    assert_eq!(actual, value(expected).unwrap(), "{name} {loads}");
                }
                Err(error) => assert!(is_error(expected), "{name} {loads}: {error}"),
            }
            decoded += 1;
        }
    }
    println!("msgpack.json: {encoded} encodings, {decoded} decodings");
    assert!(encoded > 150 && decoded > 250);
}

#[test]
fn ids_jids_tags_and_events_are_salts() {
    let file = read("misc.json");
    let list = |key: &str| file[key].as_array().unwrap().clone();
    let mut checked = 0;

    for entry in list("minion_ids") {
        let id = value(&entry["id"]).unwrap();
        let valid = entry["valid"].as_bool().unwrap();
        assert_eq!(
            id.as_str().is_some_and(MinionId::valid_in_salt),
            valid,
            "{id}"
        );
        // Ours are some of Salt's.
        assert!(valid || MinionId::try_from(&id).is_err(), "{id}");
        checked += 1;
    }
    for entry in list("jids") {
        let jid = value(&with_big_integers_as_text(&entry["in"])).unwrap();
        let is_text = entry["in"].is_string();
        let parsed = Jid::try_from(&jid);
        assert_eq!(
            is_text && parsed.is_ok(),
            entry["is_jid"].as_bool().unwrap(),
            "{jid}"
        );
        if let (Ok(jid), true) = (parsed, is_text) {
            assert_eq!(jid.display_time(), entry["time"].as_str().unwrap());
            assert_eq!(
                Jid::from_unix_micros(jid.unix_micros().unwrap()).as_str(),
                &jid.as_str()[..20]
            );
        }
        checked += 1;
    }
    for entry in list("tagify") {
        let suffix: Vec<&str> = match &entry["suffix"] {
            Json::Array(parts) => parts.iter().map(|part| part.as_str().unwrap()).collect(),
            part => vec![part.as_str().unwrap()],
        };
        let (prefix, base) = (
            entry["prefix"].as_str().unwrap(),
            entry["base"].as_str().unwrap(),
        );
        assert_eq!(
            salt_proto::event::tagify(&suffix, prefix, base),
            entry["tag"].as_str().unwrap()
        );
        checked += 1;
    }
    for entry in list("event_pack") {
        let Some(Value::Map(data)) = value(&with_big_integers_as_text(&entry["data"])) else {
            panic!("{entry}")
        };
        let event = Event::new(entry["tag"].as_str().unwrap(), data);
        let bytes = base64(entry["bytes"].as_str().unwrap());
        assert_eq!(event.pack().unwrap(), bytes);
        assert_eq!(Event::unpack(&bytes, &Limits::default()).unwrap(), event);
        assert_eq!(Event::tag_of(&bytes).unwrap(), event.tag);
        checked += 1;
    }
    for entry in list("frames") {
        let bytes = base64(entry["bytes"].as_str().unwrap());
        let body = if bytes[0] == 0 {
            &bytes[4..]
        } else {
            &bytes[..]
        };
        assert_eq!(
            msgpack::complete_len(body, &Limits::default()),
            Ok(Some(body.len()))
        );
        let [head, body] = msgpack::skim(body, ["head", "body"], &Limits::default())
            .unwrap()
            .unwrap();
        assert!(msgpack::is_map(head.unwrap()) && body.is_some());
        checked += 1;
    }
    println!("misc.json: {checked} entries");
}

/// The hash-bound parts of `misc.json` are checked where the hashes are.
#[test]
fn every_part_of_misc_json_is_claimed_by_a_test() {
    let file = read("misc.json");
    let here = ["minion_ids", "jids", "tagify", "event_pack", "frames"];
    let with_hashes = ["jid_dirs", "topic_sha1", "event_socket_hash"];
    for key in file.as_object().unwrap().keys() {
        let key = key.as_str();
        assert!(
            here.contains(&key)
                || with_hashes.contains(&key)
                || matches!(key, "schema" | "salt_version"),
            "{key}"
        );
    }
}

struct Fleet {
    minions: Vec<(String, Map, Map, bool)>,
    nodegroups: Map,
}

impl Fleet {
    fn new(file: &Json, minions: &Json) -> Self {
        let map = |json: &Json| match value(json) {
            Some(Value::Map(map)) => map,
            _ => panic!("{json}"),
        };
        let uncached: Vec<&str> = match &file["uncached_minions"] {
            Json::Array(ids) => ids.iter().map(|id| id.as_str().unwrap()).collect(),
            _ => Vec::new(),
        };
        Self {
            minions: minions["minions"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(id, facts)| {
                    let cached = !uncached.contains(&id.as_str());
                    (
                        id.clone(),
                        map(&facts["grains"]),
                        map(&facts["pillar"]),
                        cached,
                    )
                })
                .collect(),
            nodegroups: map(&file["nodegroups"]),
        }
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        self.minions
            .iter()
            .map(|(id, grains, pillar, cached)| Candidate {
                id,
                grains: cached.then_some(grains),
                pillar: cached.then_some(pillar),
            })
            .collect()
    }

    fn check(&self, kind: &str, entry: &Json, release: Release, delimiter: &str) -> usize {
        let target = Target::parse(kind, &value(&entry["tgt"]).unwrap(), delimiter);
        let what = format!("{kind} {} {release:?}", entry["tgt"]);
        let mut checked = 0;
        for (id, grains, pillar, _) in &self.minions {
            let expected = match &entry["minion"][id] {
                Json::Bool(matched) => *matched,
                // An exception in the minion: it does nothing.
                Json::Object(odd) => odd.get("match").and_then(Json::as_bool).unwrap_or(false),
                other => panic!("{other}"),
            };
            let facts = Facts {
                id,
                grains,
                pillar,
                nodegroups: &self.nodegroups,
            };
            let actual = target
                .as_ref()
                .is_ok_and(|target| target.matches_as(&facts, release));
            assert_eq!(actual, expected, "{what} on minion {id}: {target:?}");
            checked += 1;
        }
        for (key, greedy) in [("master", true), ("master_not_greedy", false)] {
            let reading = Reading {
                nodegroups: &self.nodegroups,
                greedy,
                data_cache: true,
                release,
            };
            let selection = match &target {
                Ok(target) => target.select(&self.candidates(), &reading),
                Err(_) => salt_proto::target::Selection::default(),
            };
            let mut minions = selection.minions;
            minions.sort();
            let strings = |json: &Json| -> Vec<String> {
                json.as_array()
                    .unwrap()
                    .iter()
                    .map(|id| id.as_str().unwrap().to_owned())
                    .collect()
            };
            let mut expected = strings(&entry[key]["minions"]);
            expected.sort();
            assert_eq!(minions, expected, "{what} on the {key}: {target:?}");
            assert_eq!(
                selection.missing,
                strings(&entry[key]["missing"]),
                "{what} missing on the {key}"
            );
            checked += 1;
        }
        checked
    }
}

/// `matchers` was chosen by hand; `compound` and `data` are random expressions
/// over random facts, put to the same code of the same releases.
fn check_matchers(version: &str, release: Release) {
    for (name, expected) in [("matchers", 210), ("compound", 400), ("data", 500)] {
        let name = format!("{name}-{version}.json");
        let file = read(&name);
        let fleet = Fleet::new(&file, &file);
        let (mut expressions, mut checked) = (0, 0);
        for (kind, entries) in file["expressions"].as_object().unwrap() {
            for entry in entries.as_array().unwrap() {
                let delimiter = entry["delimiter"].as_str().unwrap_or(":");
                checked += fleet.check(kind, entry, release, delimiter);
                expressions += 1;
            }
        }
        println!("{name}: {expressions} expressions, {checked} verdicts");
        assert_eq!(expressions, expected);
    }
}

// Z-04 among others: unknown kinds, bad expressions and empty groups match nothing.
#[test]
fn targets_match_as_in_salt_3006() {
    check_matchers("3006.27", Release::V3006);
}

#[test]
fn targets_match_as_in_salt_3007() {
    check_matchers("3007.15", Release::V3007);
}

#[test]
fn targets_match_as_in_salt_3008() {
    check_matchers("3008.3", Release::V3008);
}
