//! The wheel functions about keys, over the request port.

use salt_proto::Facts;
use salt_proto::{Map, MinionId, Target, Value};
use salt_transport::pki::{KeyStatus, MinionKeys};
use salt_transport::{Called, RunnerCall};

/// `key.list_all`, `key.accept`, `key.reject`, `key.delete`.
pub(super) fn wheel(keys: MinionKeys) -> impl Fn(&RunnerCall<'_>) -> Option<Called> + Send + Sync {
    move |call| {
        let result = match call.function {
            "key.list_all" => list(&keys),
            "key.accept" => change(
                &keys,
                call,
                &[KeyStatus::Pending],
                Some(KeyStatus::Accepted),
            ),
            "key.reject" => change(
                &keys,
                call,
                &[KeyStatus::Pending],
                Some(KeyStatus::Rejected),
            ),
            "key.delete" => change(&keys, call, &KeyStatus::ALL, None),
            _ => return None,
        };
        Some(match result {
            Ok(value) => Called {
                value: value.into(),
                success: true,
            },
            Err(error) => Called {
                value: error.to_string().into(),
                success: false,
            },
        })
    }
}

fn list(keys: &MinionKeys) -> std::io::Result<Map> {
    let mut all = Map::from([(
        "local",
        Value::List(vec!["master.pem".into(), "master.pub".into()]),
    )]);
    for status in [
        KeyStatus::Pending,
        KeyStatus::Rejected,
        KeyStatus::Accepted,
        KeyStatus::Denied,
    ] {
        let ids: Value = keys.list(status)?.iter().map(MinionId::as_str).collect();
        all.insert(status.directory(), ids);
    }
    Ok(all)
}

fn change(
    keys: &MinionKeys,
    call: &RunnerCall<'_>,
    from: &[KeyStatus],
    to: Option<KeyStatus>,
) -> std::io::Result<Map> {
    let wanted = call
        .kwargs
        .str("match")
        .or_else(|| call.args.first().and_then(Value::as_str))
        .unwrap_or_default();
    let target = Target::glob(wanted);
    let nothing = Map::new();
    let mut changed = Map::new();
    for status in from {
        for id in keys.list(*status)? {
            let facts = Facts {
                id: id.as_str(),
                grains: &nothing,
                pillar: &nothing,
                nodegroups: &nothing,
            };
            if !target.matches(&facts) {
                continue;
            }
            let done = match to {
                Some(to) => keys.change(&id, *status, to)?,
                None => keys.delete(&id, *status)?,
            };
            if done {
                let shown = to.unwrap_or(*status).directory();
                if let Value::List(ids) =
                    changed.get_or_insert_with(shown, || Value::List(Vec::new()))
                {
                    ids.push(id.as_str().into());
                }
            }
        }
    }
    Ok(changed)
}
