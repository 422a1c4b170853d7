//! Every message of the recorded sessions, read and written again.

#![expect(
    clippy::print_stdout,
    reason = "how much was checked is part of the result"
)]

use salt_proto::envelope::{self, Enc, Envelope, EnvelopeError, Load};
use salt_proto::message::{AesRequest, AuthReply, ClearRequest, Proof, PublishReply};
use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Event, Job, Limits, Map, MinionId, Value};
use serde_json::Value as Json;

use crate::vectors::{base64, read, value};

const SESSIONS: [&str; 9] = [
    "3006.27-tcp",
    "3006.27-zeromq",
    "3007.15-tcp",
    "3007.15-ws",
    "3007.15-zeromq",
    "3008.3-tcp",
    "3008.3-ws",
    "3008.3-zeromq-hardened",
    "3008.3-zeromq",
];

fn limits() -> Limits {
    Limits::default()
}

fn events(session: &str) -> Vec<Json> {
    let mut file = read(&format!("session-{session}.json"));
    match file["events"].take() {
        Json::Array(events) => events,
        other => panic!("{other}"),
    }
}

/// The encoded envelope, or answer, inside one recorded unit.
fn body(event: &Json) -> Vec<u8> {
    if let Some(frames) = event["frames"].as_array() {
        return base64(frames.last().unwrap().as_str().unwrap());
    }
    let is_publication = event["link"] == "minion-pub" && event["dir"] == "s2c";
    let outer = match event["payload"].as_str() {
        Some(payload) => base64(payload),
        None => {
            let frame = base64(event["raw"].as_str().unwrap());
            let [body] = msgpack::skim(&frame, ["body"], &limits()).unwrap().unwrap();
            body.unwrap().to_vec()
        }
    };
    // Publications are encoded twice on ws, and on tcp since 3007.
    match msgpack::content(&outer) {
        Some(inner) if is_publication => inner.to_vec(),
        _ => outer,
    }
}

fn map(json: &Json) -> Option<Map> {
    match value(json) {
        Some(Value::Map(map)) => Some(map),
        _ => None,
    }
}

/// Writes an envelope again with the function that a peer would use for it.
fn again(message: &Envelope<'_>, sent_by_client: bool) -> Vec<u8> {
    let mut out = Vec::new();
    match (message.enc, message.load) {
        (Enc::Clear, Load::Map(_)) if sent_by_client => {
            envelope::clear_request(&message.clear_load(&limits()).unwrap(), &mut out);
        }
        (Enc::Clear, Load::Map(_)) => {
            envelope::clear_reply(&message.clear_load(&limits()).unwrap(), &mut out);
        }
        (Enc::Clear, Load::Bytes(load)) => {
            envelope::signed_reply(load, message.sig.unwrap(), &mut out);
        }
        (Enc::Aes, Load::Bytes(sealed)) => match (message.id, message.sig) {
            (Some(_), _) => envelope::aes_request(
                sealed,
                &message.minion_id().unwrap(),
                message.enc_algo.unwrap(),
                message.sig_algo.unwrap(),
                &mut out,
            ),
            (None, None) => envelope::announcement(sealed, &mut out),
            (None, Some(sig)) => {
                envelope::publish(sealed, Some((message.sig_algo.unwrap(), sig)), &mut out);
            }
        },
        (Enc::Aes, Load::Map(_)) => panic!("a sealed map"),
    }
    out
}

#[test]
fn every_recorded_envelope_is_read_and_written_to_the_same_bytes() {
    for session in SESSIONS {
        let (mut envelopes, mut answers) = (0, 0);
        for event in events(session)
            .iter()
            .filter(|event| event["kind"] == "message")
        {
            let bytes = body(event);
            if event["message"]["enc"].is_string() {
                let message = Envelope::parse(&bytes, &limits()).unwrap();
                let ours = again(&message, event["dir"] == "c2s");
                if session.ends_with("tcp") {
                    // Stock tcp clients and servers write whole frames, with the
                    // envelope in it, in the bin dialect: the values are the same.
                    let value = |bytes: &[u8]| msgpack::decode(bytes, &limits()).unwrap();
                    assert_eq!(value(&ours), value(&bytes), "{session} at {}", event["t"]);
                } else {
                    assert_eq!(ours, bytes, "{session} at {}", event["t"]);
                }
                let is_request = event["dir"] == "c2s";
                assert_eq!(
                    message.version,
                    if is_request { envelope::VERSION } else { 0 }
                );
                envelopes += 1;
            } else {
                // A sealed answer or a bare value.
                let dialect = if session.ends_with("tcp") {
                    Dialect::Bin
                } else {
                    Dialect::Raw
                };
                let mut out = Vec::new();
                msgpack::encode(
                    &msgpack::decode_utf8(&bytes, &limits()).unwrap(),
                    dialect,
                    &mut out,
                );
                assert_eq!(out, bytes, "{session} at {}", event["t"]);
                answers += 1;
            }
        }
        println!("session-{session}.json: {envelopes} envelopes, {answers} other answers");
        assert!(envelopes > 50);
    }
}

/// Compares what a view writes with what it read; a `nil` may have become an
/// absent key where the view says that both mean the same.
#[track_caller]
fn check_same(what: &str, sent: &Map, mut written: Map) {
    for (key, value) in sent {
        let ours = written.remove_value(key);
        assert!(
            ours.as_ref() == Some(value) || (value.is_null() && ours.is_none()),
            "{what}: {key}"
        );
    }
    assert_eq!(written, Map::new(), "{what}");
}

#[test]
fn every_recorded_load_is_read_and_written_to_the_same_map() {
    for session in SESSIONS {
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for event in events(session) {
            let mut count = |what: &str| *counts.entry(what.to_owned()).or_default() += 1;
            let message = &event["message"];
            let decrypted = &event["decrypted"]["value"];
            match (
                event["link"].as_str().unwrap_or(""),
                event["dir"].as_str().unwrap_or(""),
            ) {
                ("minion-ret" | "cli-ret", "c2s") if message["enc"] == "clear" => {
                    let load = map(&message["load"]).unwrap();
                    let request = ClearRequest::from_map(load.clone()).unwrap();
                    check_same(request.command().name(), &load, request.to_map());
                    count(request.command().name());
                }
                ("minion-ret", "c2s") if decrypted.is_object() => {
                    let sent = map(decrypted).unwrap();
                    let mut load = sent.clone();
                    let proof = Proof::take(&mut load).unwrap();
                    assert_eq!(proof.id, Some(MinionId::parse("cap1").unwrap()));
                    assert_eq!(proof.nonce.as_ref().map(Vec::len), Some(32));
                    assert!(proof.ts.is_some() && proof.tok.is_some());

                    let request = AesRequest::from_map(load).unwrap();
                    let mut written = request.to_map();
                    proof.put(&mut written);
                    check_same(request.command().name(), &sent, written);
                    count(request.command().name());
                }
                ("minion-pub", "s2c") if decrypted.is_object() => {
                    let sent = map(decrypted).unwrap();
                    let job = Job::from_map(sent.clone()).unwrap();
                    assert_eq!(job.to_map(), sent, "{session}");
                    count("job");
                }
                ("minion-ret", "s2c") if event["signed_load"].is_object() => {
                    let sent = map(&event["signed_load"]).unwrap();
                    let reply = AuthReply::from_map(sent.clone()).unwrap();
                    // The answer's own bytes are what was signed: the order counts.
                    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                    msgpack::encode_map(&reply.to_map(), Dialect::Raw, &mut ours);
                    msgpack::encode_map(&sent, Dialect::Raw, &mut theirs);
                    assert_eq!(ours, theirs, "{session}");
                    count("answer to _auth");
                }
                ("cli-ret", "s2c") if message["load"].is_object() => {
                    let sent = map(&message["load"]).unwrap();
                    check_same(
                        "answer to publish",
                        &sent,
                        PublishReply::from_map(sent.clone()).unwrap().to_map(),
                    );
                    count("answer to publish");
                }
                _ => {}
            }
        }
        println!("session-{session}.json: {counts:?}");
        for necessary in [
            "_auth",
            "publish",
            "_return",
            "_pillar",
            "_minion_event",
            "job",
            "answer to _auth",
        ] {
            assert!(counts.contains_key(necessary), "{session}: no {necessary}");
        }
    }
}

#[test]
fn every_recorded_event_is_read_and_written_to_the_same_bytes() {
    for session in SESSIONS {
        let mut checked = 0;
        for event in events(session)
            .iter()
            .filter(|event| event["kind"] == "event")
        {
            let raw = base64(event["raw"].as_str().unwrap());
            let frame = if raw[0] == 0 { &raw[4..] } else { &raw[..] };
            let [body] = msgpack::skim(frame, ["body"], &limits()).unwrap().unwrap();
            let bytes = msgpack::content(body.unwrap()).unwrap();

            let parsed = Event::unpack(bytes, &limits()).unwrap();
            assert_eq!(parsed.tag, event["event"]["tag"].as_str().unwrap());
            assert_eq!(parsed.pack().unwrap(), bytes, "{session} {}", parsed.tag);
            checked += 1;
        }
        println!("session-{session}.json: {checked} events");
        assert!(checked > 20);
    }
}

#[cfg(feature = "session")]
#[test]
fn recorded_signatures_of_minions_verify_over_our_bytes() {
    use salt_crypto::{PublicKey, Signing};

    let file = read("session-3008.3-zeromq-hardened.json");
    let pem = file["keys"]["minion_pub"].as_str().unwrap();
    let minion = PublicKey::from_pem(pem).unwrap();
    let mut verified = 0;
    for event in file["events"].as_array().unwrap() {
        let decrypted = &event["decrypted"]["value"];
        if event["dir"] != "c2s" || decrypted["cmd"] != "_return" {
            continue;
        }
        // The recording shows other paths than were signed.
        if decrypted.to_string().contains("/oracle/") {
            continue;
        }
        let load = map(decrypted).unwrap();
        let sig = load.get("sig").and_then(Value::as_bytes).unwrap();
        let signed = salt_proto::ret::signed_bytes(&load);
        minion
            .verify(Signing::Pkcs1v15Sha224, &signed, sig)
            .unwrap();
        verified += 1;
    }
    println!("session-3008.3-zeromq-hardened.json: {verified} signatures");
    assert_eq!(verified, 11);
}

/// What masters answered to malformed envelopes, and what we would.
#[test]
fn envelopes_that_masters_refused_are_refused() {
    for version in ["3006.27", "3007.15", "3008.3"] {
        let file = read(&format!("probes-{version}.json"));
        let (mut refused, mut read_well) = (0, 0);
        for probe in file["probes"].as_array().unwrap() {
            let Some(request) = probe["request"].as_str() else {
                continue;
            };
            let bytes = base64(request);
            let name = probe["name"].as_str().unwrap();
            let parsed = Envelope::parse(&bytes, &limits());
            let expected = match name {
                "raw/not-a-map" => Some("bad load"),
                "raw/no-load" => Some("bad load"),
                "raw/load-not-map" => Some("payload and load must be a dict"),
                // Stock masters answer this one, with what F1 is about.
                "raw/unknown-enc" => Some("bad load"),
                "raw/empty" | "raw/junk" => Some("bad load"),
                _ => None,
            };
            match expected {
                Some(text) => {
                    let error = match parsed {
                        // A clear load that is no map is refused when it is opened.
                        Ok(message) => message.clear_load(&limits()).unwrap_err(),
                        Err(error) => error,
                    };
                    assert_eq!(error.reply(), text, "{name}");
                    if name.ends_with("unknown-enc") {
                        assert_eq!(error, EnvelopeError::UnknownEnc);
                    }
                    refused += 1;
                }
                None => {
                    let message = parsed.unwrap_or_else(|error| panic!("{name}: {error}"));
                    let version = match name {
                        "auth/version-2"
                        | "aes/v2-with-aes-key"
                        | "aes/v2-no-token"
                        | "aes/v2-session-key"
                        | "min3/auth-v2" => 2,
                        "auth/version-1" => 1,
                        "auth/no-version" | "auth/version-junk" => 0,
                        _ if name == "auth/version-string" => message.version,
                        _ => 3,
                    };
                    assert_eq!(message.version, version, "{name}");
                    read_well += 1;
                }
            }
        }
        println!("probes-{version}.json: {read_well} read, {refused} refused");
    }
}
