//! Events: a tag and a map, as they travel over the local buses.

use crate::error::DecodeError;
use crate::id::MinionId;
use crate::jid::Jid;
use crate::limits::Limits;
use crate::msgpack::{self, Dialect};
use crate::value::{DateTime, Map, Value};

/// One event.
///
/// Its bytes are the tag, two line feeds, and the data in the bin dialect of
/// MessagePack. On the sockets they travel in frames, see
/// [`frame::encode_event`](crate::frame::encode_event).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened, as a path: `salt/job/20240229123456000789/ret/web1`.
    pub tag: String,
    /// The facts.
    pub data: Map,
}

/// Why bytes are not an event, or an event has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// No tag, or one that would be read back as another.
    #[error("the tag is empty or contains an empty line")]
    Tag,
    /// The tag is not UTF-8.
    #[error("the tag is not text")]
    TagNotText,
    /// No two line feeds end the tag.
    #[error("no empty line ends the tag")]
    NoTagEnd,
    /// The data is not a map.
    #[error("the data is not a map")]
    DataNotAMap,
    /// The data is not MessagePack within the limits.
    #[error("undecodable data")]
    Decode(#[from] DecodeError),
}

impl Event {
    /// An event from its parts.
    pub fn new(tag: impl Into<String>, data: Map) -> Self {
        Self {
            tag: tag.into(),
            data,
        }
    }

    /// Adds `_stamp`, the moment the event was fired, unless it is there already.
    pub fn stamp(&mut self, now: DateTime, style: StampStyle) {
        if !self.data.contains_key("_stamp") {
            self.data.insert("_stamp", style.format(now));
        }
    }

    /// The bytes of the event.
    ///
    /// # Errors
    ///
    /// If the tag is empty or contains two line feeds in a row.
    pub fn pack(&self) -> Result<Vec<u8>, EventError> {
        if self.tag.is_empty() || self.tag.contains("\n\n") || self.tag.ends_with('\n') {
            return Err(EventError::Tag);
        }
        let mut bytes = Vec::with_capacity(self.tag.len() + 64);
        bytes.extend_from_slice(self.tag.as_bytes());
        bytes.extend_from_slice(b"\n\n");
        msgpack::encode_map(&self.data, Dialect::Bin, &mut bytes);
        Ok(bytes)
    }

    /// Reads the bytes of one event.
    ///
    /// # Errors
    ///
    /// If there is no tag, no end of the tag, or no map after it.
    pub fn unpack(bytes: &[u8], limits: &Limits) -> Result<Self, EventError> {
        let (tag, data) = split(bytes)?;
        match msgpack::decode_utf8(data, limits)? {
            Value::Map(data) => Ok(Self {
                tag: tag.to_owned(),
                data,
            }),
            _ => Err(EventError::DataNotAMap),
        }
    }

    /// Only the tag, without decoding the data, for subscribers that filter.
    ///
    /// # Errors
    ///
    /// If there is no tag or no end of it.
    pub fn tag_of(bytes: &[u8]) -> Result<&str, EventError> {
        Ok(split(bytes)?.0)
    }
}

fn split(bytes: &[u8]) -> Result<(&str, &[u8]), EventError> {
    let end = bytes
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .ok_or(EventError::NoTagEnd)?;
    let (tag, rest) = bytes.split_at_checked(end).ok_or(EventError::NoTagEnd)?;
    if tag.is_empty() {
        return Err(EventError::Tag);
    }
    let tag = std::str::from_utf8(tag).map_err(|_| EventError::TagNotText)?;
    Ok((tag, rest.get(2..).unwrap_or_default()))
}

/// How `_stamp` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StampStyle {
    /// `2026-01-02T03:04:05.678901`, Salt 3006 and 3007.
    Naive,
    /// `2026-01-02T03:04:05.678901+00:00`, Salt 3008.
    #[default]
    Utc,
}

impl StampStyle {
    /// `now`, which is UTC, in this style.
    pub fn format(self, now: DateTime) -> String {
        match self {
            Self::Naive => now.to_string(),
            Self::Utc => format!("{now}+00:00"),
        }
    }
}

/// Joins the non-empty parts with `/`, as Salt's `tagify`.
///
/// ```
/// use salt_proto::event::tagify;
///
/// assert_eq!(tagify(&["20240101", "new"], "job", "salt"), "salt/job/20240101/new");
/// assert_eq!(tagify(&[""], "auth", "salt"), "salt/auth");
/// ```
pub fn tagify(suffix: &[&str], prefix: &str, base: &str) -> String {
    let mut tag = String::new();
    for part in [base, prefix].iter().chain(suffix) {
        if !part.is_empty() {
            if !tag.is_empty() {
                tag.push('/');
            }
            tag.push_str(part);
        }
    }
    tag
}

/// The tags of the master's own events.
pub mod tag {
    use super::{Jid, MinionId};

    /// A key was offered, accepted, refused.
    pub const AUTH: &str = "salt/auth";
    /// A key was changed by `salt-key`.
    pub const KEY: &str = "salt/key";
    /// The publish key was rotated.
    pub const ROTATE: &str = "key";
    /// Which minions are connected.
    pub const PRESENCE: &str = "salt/presence/present";
    /// Which minions came and went.
    pub const PRESENCE_CHANGE: &str = "salt/presence/change";

    /// A job was created.
    pub fn job_new(jid: &Jid) -> String {
        format!("salt/job/{jid}/new")
    }

    /// A job was published (Salt 3007 and later).
    pub fn job_publish(jid: &Jid) -> String {
        format!("salt/job/{jid}/publish")
    }

    /// A minion returned.
    pub fn job_ret(jid: &Jid, id: &MinionId) -> String {
        format!("salt/job/{jid}/ret/{id}")
    }

    /// A minion reports progress, step `n`.
    pub fn job_progress(jid: &Jid, id: &MinionId, n: &str) -> String {
        format!("salt/job/{jid}/prog/{id}/{n}")
    }

    /// A job could not be published.
    pub fn job_error(jid: &Jid) -> String {
        format!("salt/job/{jid}/error")
    }

    /// A state of a `state.*` job failed; `fun` is the job's or the state's function.
    pub fn job_sub_error(jid: &Jid, id: &MinionId, fun: &str) -> String {
        format!("salt/job/{jid}/sub/{id}/error/{fun}")
    }

    /// A minion started.
    pub fn minion_start(id: &MinionId) -> String {
        format!("salt/minion/{id}/start")
    }

    /// The cached grains or pillar of a minion changed.
    pub fn minion_refresh(id: &MinionId) -> String {
        format!("minion/refresh/{id}")
    }

    /// A runner started.
    pub fn run_new(jid: &Jid) -> String {
        format!("salt/run/{jid}/new")
    }

    /// A runner ended.
    pub fn run_ret(jid: &Jid) -> String {
        format!("salt/run/{jid}/ret")
    }

    /// A wheel function started.
    pub fn wheel_new(jid: &Jid) -> String {
        format!("salt/wheel/{jid}/new")
    }

    /// A wheel function ended.
    pub fn wheel_ret(jid: &Jid) -> String {
        format!("salt/wheel/{jid}/ret")
    }
}

/// Whether only the master may fire `tag`: a minion that sends it is refused.
///
/// Applies to every form of `_minion_event`, to the tag as it stands and to the
/// tag made with the caller's `pretag`. Reserved are all of `salt/`, the tags
/// core components act on outside of it (`key`, bare job ids, `minion/refresh/`,
/// `syndic/`), and other minions' names. Left to the minion are, with its own
/// authenticated id in its place:
///
/// * `minion_start`, `salt/minion/<id>/start` and what else is below `salt/minion/<id>/`,
/// * `salt/job/<jid>/prog/<id>/…` and `salt/job/<jid>/start/<id>`,
/// * `salt/beacon/<id>/…` and `salt/state_result/<jid>/<id>/…`,
/// * everything that is not Salt's: `acme/deployed`.
///
/// Stock masters reserve less, and only in the batch form.
pub fn is_reserved_tag(tag: &str, sender: &MinionId) -> bool {
    if tag.is_empty() || tag.contains("\n\n") || tag.ends_with('\n') || tag == "key" {
        return true;
    }
    let is_own = |part: &str| part == sender.as_str();
    let is_jid = |part: &str| part.parse::<Jid>().is_ok();
    let parts: Vec<&str> = tag.split('/').collect();
    match parts.as_slice() {
        ["salt", "minion" | "beacon", id, _, ..] => !is_own(id),
        ["salt", "job", jid, "prog", id, _, ..] | ["salt", "job", jid, "start", id] => {
            !(is_own(id) && is_jid(jid))
        }
        ["salt", "state_result", jid, id, ..] => !(is_own(id) && is_jid(jid)),
        ["salt" | "syndic", ..] | ["minion", "refresh", ..] => true,
        [first, ..] => is_jid(first),
        [] => true,
    }
}
