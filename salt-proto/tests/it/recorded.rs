//! The recorded sessions of stock masters, minions and command lines, unit by
//! unit. The raw bytes are read; of what was decoded for human readers, nothing.

use std::collections::HashMap;

use salt_crypto::{Identity, SessionKey};
use salt_proto::{Limits, Value, msgpack};
use serde_json::Value as Json;

use crate::vectors::{self, base64};

/// All of them.
pub(crate) const SESSIONS: [&str; 9] = [
    "session-3006.27-tcp.json",
    "session-3006.27-zeromq.json",
    "session-3007.15-tcp.json",
    "session-3007.15-ws.json",
    "session-3007.15-zeromq.json",
    "session-3008.3-tcp.json",
    "session-3008.3-ws.json",
    "session-3008.3-zeromq-hardened.json",
    "session-3008.3-zeromq.json",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Zeromq,
    Tcp,
    Ws,
}

/// What happened, in order.
#[derive(Debug)]
pub(crate) enum Unit {
    /// A request envelope and the encoded reply. The recording of the command
    /// line that gave up has requests without one.
    Exchange {
        request: Vec<u8>,
        reply: Option<Vec<u8>>,
        from_minion: bool,
    },
    /// A publish envelope, with its topic.
    Publish {
        topic: Option<Vec<u8>>,
        body: Vec<u8>,
    },
    /// What a `tcp` minion says on the publish connection.
    Announcement(Vec<u8>),
}

pub(crate) struct Session {
    pub(crate) hardened: bool,
    pub(crate) minion_id: String,
    pub(crate) master: Identity,
    pub(crate) master_signing: Option<Identity>,
    pub(crate) minion: Identity,
    pub(crate) root_key: String,
    pub(crate) publish_keys: Vec<SessionKey>,
    pub(crate) session_key: SessionKey,
    pub(crate) units: Vec<Unit>,
}

impl Session {
    pub(crate) fn read(name: &'static str) -> Self {
        let file = vectors::read(name);
        let wire = match file["transport"].as_str().unwrap() {
            "zeromq" => Wire::Zeromq,
            "tcp" => Wire::Tcp,
            "ws" => Wire::Ws,
            other => panic!("{other}"),
        };
        let keys = &file["keys"];
        let identity = |name: &str| Identity::from_pem(keys[name].as_str().unwrap(), None).unwrap();
        let session_keys = |name: &str| -> Vec<SessionKey> {
            let texts = keys[name].as_array().unwrap().iter();
            texts
                .map(|it| SessionKey::from_text(it.as_str().unwrap()).unwrap())
                .collect()
        };
        let [session_key] = session_keys("session").try_into().unwrap();
        Self {
            hardened: name.contains("hardened"),
            minion_id: file["minion_id"].as_str().unwrap().to_owned(),
            master: identity("master_pem"),
            master_signing: keys
                .get("master_sign_pem")
                .map(|_| identity("master_sign_pem")),
            minion: identity("minion_pem"),
            root_key: keys["root_key"].as_str().unwrap().to_owned(),
            publish_keys: session_keys("aes"),
            session_key,
            units: units(&file, wire),
        }
    }

    pub(crate) fn exchanges(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>, bool)> {
        self.units.iter().filter_map(|unit| match unit {
            Unit::Exchange {
                request,
                reply,
                from_minion,
            } => Some((request.as_slice(), reply.as_deref(), *from_minion)),
            _ => None,
        })
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Unit) -> bool) -> usize {
        self.units.iter().filter(|unit| wanted(unit)).count()
    }
}

/// Names a request until its reply comes: connection, and `mid` over tcp.
type Asked = (u64, Vec<u8>);

fn units(file: &Json, wire: Wire) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut open: HashMap<Asked, usize> = HashMap::new();
    for event in file["events"].as_array().unwrap() {
        let link = event["link"].as_str().unwrap_or_default();
        let is_network = matches!(link, "minion-ret" | "minion-pub" | "cli-ret");
        if !is_network || event["kind"] != "message" {
            continue;
        }
        let to_master = event["dir"] == "c2s";
        let raw = base64(event["raw"].as_str().unwrap());
        let (head, body) = unframed(&raw, wire);
        match (link, to_master) {
            ("minion-pub", true) => units.push(Unit::Announcement(body)),
            ("minion-pub", false) => units.push(Unit::Publish {
                topic: head,
                // Encoded twice over tcp and ws, except by 3006, whose tcp
                // publishes are plain maps.
                body: match (wire, msgpack::content(&body)) {
                    (Wire::Tcp | Wire::Ws, Some(inner)) => inner.to_vec(),
                    _ => body,
                },
            }),
            (_, true) => {
                let asked = (event["conn"].as_u64().unwrap(), head.unwrap_or_default());
                assert_eq!(open.insert(asked, units.len()), None);
                units.push(Unit::Exchange {
                    request: body,
                    reply: None,
                    from_minion: link == "minion-ret",
                });
            }
            (_, false) => {
                let asked = (event["conn"].as_u64().unwrap(), head.unwrap_or_default());
                match &mut units[open.remove(&asked).unwrap()] {
                    Unit::Exchange { reply, .. } => *reply = Some(body),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    units
}

/// Takes the body out of a unit, and beside it the topic or the message id.
fn unframed(raw: &[u8], wire: Wire) -> (Option<Vec<u8>>, Vec<u8>) {
    match wire {
        Wire::Zeromq => {
            let mut frames = Vec::new();
            let mut rest = raw;
            while let [flags, tail @ ..] = rest {
                let (len, tail) = match flags & 2 {
                    0 => (usize::from(tail[0]), &tail[1..]),
                    _ => {
                        let (len, tail) = tail.split_first_chunk::<8>().unwrap();
                        (usize::try_from(u64::from_be_bytes(*len)).unwrap(), tail)
                    }
                };
                frames.push(tail[..len].to_vec());
                rest = &tail[len..];
            }
            let body = frames.pop().unwrap();
            assert!(frames.len() < 2);
            (frames.pop().filter(|topic| !topic.is_empty()), body)
        }
        Wire::Tcp => {
            let limits = Limits::default();
            let [head, body] = msgpack::skim(raw, ["head", "body"], &limits)
                .unwrap()
                .unwrap();
            let head = msgpack::decode(head.unwrap(), &limits).unwrap();
            let mid = head
                .get("mid")
                .and_then(Value::as_bytes)
                .map(<[u8]>::to_vec);
            (mid, body.unwrap().to_vec())
        }
        Wire::Ws => {
            assert_eq!(raw[0], 0x82, "a whole binary message");
            let (len, rest) = match raw[1] & 0x7f {
                126 => (usize::from(u16::from_be_bytes([raw[2], raw[3]])), &raw[4..]),
                127 => panic!("larger than any recorded"),
                len => (usize::from(len), &raw[2..]),
            };
            if raw[1] & 0x80 == 0 {
                assert_eq!(rest.len(), len);
                return (None, rest.to_vec());
            }
            let (mask, masked) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(masked.len(), len);
            let unmasked = masked
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask);
            (None, unmasked.collect())
        }
    }
}
