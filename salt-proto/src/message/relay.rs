//! What minions tell the master and, through it, each other.

use super::load;
use crate::event::{self, Event};
use crate::id::MinionId;
use crate::job::Functions;
use crate::value::{Map, Value};

load! {
    /// `_minion_event`: one event, or a batch of them.
    EventRequest = "_minion_event" {
        /// The tag of a single event.
        tag: Option<String> = "tag",
        /// Its data, any value: the event on the bus is the whole load.
        data: Option<Value> = "data",
        /// A base to put before the tags of a batch: text or nil.
        pretag: Option<Value> = "pretag",
        /// The batch: maps with `tag` and `data`.
        events: Option<Vec<Value>> = "events",
    }
}

/// What becomes of an [`EventRequest`] on the master's bus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FiredEvents {
    /// The events to fire, in order.
    pub events: Vec<Event>,
    /// Tags that were refused: reserved for the master, or malformed.
    pub refused: Vec<String>,
}

impl EventRequest {
    /// The most events one request may hold.
    pub const MAX_EVENTS: usize = 10_000;

    /// The events this request stands for, by its authenticated sender.
    ///
    /// Every tag, of every form of the request, passes
    /// [`is_reserved_tag`](event::is_reserved_tag).
    pub fn fired(&self, sender: &MinionId) -> FiredEvents {
        let mut fired = FiredEvents::default();
        let mut fire = |tag: String, data: Map| {
            if event::is_reserved_tag(&tag, sender) {
                fired.refused.push(tag);
            } else {
                fired.events.push(Event { tag, data });
            }
        };
        if let Some(batch) = &self.events {
            let pretag = self
                .pretag
                .as_ref()
                .and_then(Value::as_str)
                .filter(|pretag| !pretag.is_empty());
            for entry in batch.iter().take(Self::MAX_EVENTS) {
                let Some((entry, tag)) =
                    entry.as_map().and_then(|map| Some((map, map.str("tag")?)))
                else {
                    continue;
                };
                let data = match entry.get("data") {
                    Some(Value::Map(data)) => data,
                    Some(_) => continue,
                    None => entry,
                };
                if let Some(pretag) = pretag {
                    fire(event::tagify(&[tag], "", pretag), data.clone());
                }
                fire(tag.to_owned(), data.clone());
            }
        } else if let Some(tag) = &self.tag {
            let mut data = self.to_map();
            data.insert("id", sender);
            fire(tag.clone(), data);
        }
        fired
    }
}

load! {
    /// `_mine`: store results of functions where other minions may read them.
    MineUpdate = "_mine" {
        /// Results by function or alias.
        data: Map = "data",
        /// Whether to drop what was stored before.
        clear: bool = "clear",
    }
}

load! {
    /// `_mine_get`: read other minions' mines.
    MineGet = "_mine_get" {
        /// Whose.
        tgt: Value = "tgt",
        /// Which functions: text, comma-separated, or a list.
        fun: Value = "fun",
        /// How to read `tgt`; absent means glob.
        tgt_type: Option<String> = "tgt_type",
        /// The old name of `tgt_type`.
        expr_form: Option<String> = "expr_form",
    }
}

load! {
    /// `_mine_delete`: remove one function from the own mine.
    MineDelete = "_mine_delete" {
        /// The function.
        fun: String = "fun",
    }
}

load! {
    /// `_mine_flush`: empty the own mine.
    MineFlush = "_mine_flush" {}
}

load! {
    /// `minion_pub` and `minion_publish`: publish to peers, where allowed.
    MinionPublish = "minion_pub" {
        /// What to call.
        function: Functions = "fun",
        /// The arguments: a list, or text split at blanks.
        arg: Value = "arg",
        /// Who is meant.
        tgt: Value = "tgt",
        /// How to read `tgt`; absent means glob.
        tgt_type: Option<String> = "tgt_type",
        /// Returners besides the master.
        ret: Option<String> = "ret",
        /// How long to wait, in seconds.
        tmo: Option<Value> = "tmo",
        /// The same for `minion_publish`.
        timeout: Option<Value> = "timeout",
        /// `clean` for bare results, `full` for whole returns.
        form: Option<String> = "form",
        /// Arguments that are not to be read as YAML.
        no_parse: Option<Vec<Value>> = "no_parse",
    }
}

load! {
    /// `minion_runner`: run a runner on the master, where allowed.
    MinionRunner = "minion_runner" {
        /// The runner.
        function: String = "fun",
        /// The arguments: a list, or text split at blanks.
        arg: Value = "arg",
        /// How long to wait, in seconds.
        tmo: Option<Value> = "tmo",
        /// Arguments that are not to be read as YAML.
        no_parse: Option<Vec<Value>> = "no_parse",
    }
}

load! {
    /// `pub_ret`: the returns of a peer publish of the sender.
    PublishReturns = "pub_ret" {
        /// The job, not checked yet.
        jid: String = "jid",
    }
}

load! {
    /// `revoke_auth`: delete the sender's key.
    RevokeAuth = "revoke_auth" {
        /// Whether the master keeps what it cached about the minion.
        preserve_minion_cache: Option<bool> = "preserve_minion_cache",
    }
}

load! {
    /// `_register_resources` (3008): resources a minion manages.
    RegisterResources = "_register_resources" {
        /// Resource ids by type.
        resources: Option<Map> = "resources",
        /// Grains by resource.
        resource_grains: Option<Map> = "resource_grains",
    }
}

load! {
    /// `_syndic_return`: results of the minions below a syndic, one job or several.
    SyndicReturn = "_syndic_return" {
        /// The load of the job, or the list of whole entries for several jobs.
        load: Option<Value> = "load",
        /// The job.
        jid: Option<String> = "jid",
        /// What was called.
        function: Option<Functions> = "fun",
        /// Return maps by minion.
        ret: Option<Map> = "return",
    }
}

load! {
    /// `verify_minion`: internal to Salt's masters, answered as an error.
    VerifyMinion = "verify_minion" {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> MinionId {
        MinionId::parse("web1").unwrap()
    }

    fn request(map: Map) -> EventRequest {
        EventRequest::from_map(map).unwrap()
    }

    // E-01, F4
    #[test]
    fn a_reserved_tag_is_refused_in_every_form_of_the_request() {
        let entry = |tag: &str| -> Value {
            vec![Value::from(Map::from([
                ("tag", Value::from(tag)),
                ("data", Map::new().into()),
            ]))]
            .into()
        };
        for tag in [
            "salt/key",
            "salt/job/20240229123456000789/ret/web1",
            "key",
            "salt/auth",
        ] {
            for map in [
                Map::from([("tag", tag)]),
                Map::from([("tag", Value::from(tag)), ("data", Map::new().into())]),
                Map::from([("events", entry(tag))]),
                Map::from([("events", entry(tag)), ("pretag", "".into())]),
            ] {
                let fired = request(map).fired(&sender());
                assert_eq!(fired.events, [], "{tag}");
                assert_eq!(fired.refused, [tag]);
            }
        }
        let split = request(Map::from([
            ("events", entry("key")),
            ("pretag", "salt".into()),
        ]));
        assert_eq!(split.fired(&sender()).refused, ["salt/key", "key"]);
    }

    #[test]
    fn a_single_event_is_the_whole_load_and_a_batch_its_data() {
        let single = request(Map::from([("tag", "acme/x"), ("data", "text")]));
        let fired = single.fired(&sender()).events;
        assert_eq!(fired[0].data.str("data"), Some("text"));
        assert_eq!(fired[0].data.str("id"), Some("web1"));

        let entry = Map::from([
            ("tag", Value::from("x")),
            ("data", Map::from([("a", 1)]).into()),
        ]);
        let batch = request(Map::from([
            ("events", Value::List(vec![entry.into()])),
            ("pretag", "acme".into()),
        ]));
        let fired = batch.fired(&sender()).events;
        assert_eq!(
            fired.iter().map(|e| e.tag.as_str()).collect::<Vec<_>>(),
            ["acme/x", "x"]
        );
        assert_eq!(fired[0].data, Map::from([("a", 1)]));
    }
}
