//! Runs that are going on: which there are, whether another may start, pausing, resuming
//! and stopping them.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use salt_proto::target::Release;
use salt_proto::{Map, Value, msgpack};

use crate::args::Args;
use crate::context::Context;
use crate::engine::control::{pause_file, read_pauses};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::WriteOptions;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "state.running",
        "running(concurrent=False)",
        "Lists the state functions that run on this minion now.",
        |args, context| {
            if args.is_true("concurrent") {
                return Ok(Value::List(Vec::new()));
            }
            Ok(running(context).into_iter().collect())
        },
    );
    registry.add(
        "state.pause",
        "pause(jid, state_id=None, duration=None)",
        "Pauses a run before its next state, or before the given ID; for so many seconds, or until state.resume.",
        |args, context| {
            change(args, context, |pauses, id| {
                let mut pause = Map::new();
                if let Some(duration) = args.given("duration") {
                    pause.insert("duration", duration.clone());
                }
                pauses.insert(id, pause);
            })
        },
    );
    registry.add(
        "state.soft_kill",
        "soft_kill(jid, state_id=None)",
        "Ends a run before its next state, or before the given ID.",
        |args, context| {
            change(args, context, |pauses, id| {
                pauses.insert(id, Map::from([("kill", true)]));
            })
        },
    );
    registry.add(
        "state.resume",
        "resume(jid, state_id=None)",
        "Lets a paused run go on.",
        resume,
    );
    registry.add(
        "state.clear_cache",
        "clear_cache()",
        "Removes states that were kept for later runs, and lists them.",
        |_, context| {
            let cache = context.setting("cachedir");
            let directory = Path::new(cache.unwrap_or("/var/cache/salt/minion"));
            let names = context.system.list(directory).unwrap_or_default();
            let mut removed: Vec<String> = names
                .iter()
                .map(|name| name.to_string_lossy().into_owned())
                .filter(|name| name.ends_with(".cache.p"))
                .filter(|name| context.system.is_file(&directory.join(name)))
                .collect();
            removed.sort();
            for name in &removed {
                context.system.remove(&directory.join(name))?;
            }
            Ok(removed.into_iter().collect())
        },
    );
    registry.add(
        "state.get_pauses",
        "get_pauses(jid=None)",
        "Shows what is paused, by job.",
        pauses,
    );
}

fn wrong_jid(jid: &str) -> CallError {
    CallError::invocation(format!("{jid} is not a jid"))
}

fn change(args: &Args, context: &Context<'_>, edit: impl FnOnce(&mut Map, &str)) -> Answer {
    let jid = args.text("jid")?;
    let path = pause_file(&jid, context).ok_or_else(|| wrong_jid(&jid))?;
    let id = args.optional_text("state_id");
    let mut pauses = read_pauses(&path, context).unwrap_or_default();
    edit(&mut pauses, id.as_deref().unwrap_or("__all__"));
    if let Some(parent) = path.parent() {
        context.system.create_dir_all(parent, 0o755)?;
    }
    let mut bytes = Vec::new();
    msgpack::encode(&Value::Map(pauses), msgpack::Dialect::Bin, &mut bytes);
    context.system.write(&path, &bytes, &WriteOptions::new())?;
    Ok(Value::Null)
}

fn resume(args: &Args, context: &Context<'_>) -> Answer {
    let jid = args.text("jid")?;
    let path = pause_file(&jid, context).ok_or_else(|| wrong_jid(&jid))?;
    let Some(mut pauses) = read_pauses(&path, context) else {
        return Ok(Value::Null);
    };
    match args.optional_text("state_id") {
        Some(id) => pauses.remove(&id),
        None => {
            pauses = Map::new();
            None
        }
    };
    if pauses.is_empty() {
        context.system.remove(&path)?;
        return Ok(Value::Null);
    }
    let mut bytes = Vec::new();
    msgpack::encode(&Value::Map(pauses), msgpack::Dialect::Bin, &mut bytes);
    context.system.write(&path, &bytes, &WriteOptions::new())?;
    Ok(Value::Null)
}

fn pauses(args: &Args, context: &Context<'_>) -> Answer {
    let mut found = Map::new();
    let jids = match args.optional_text("jid") {
        Some(jid) => vec![jid],
        None => {
            let some = pause_file("0", context);
            let directory = some.as_deref().and_then(Path::parent);
            let listed = directory.and_then(|directory| context.system.list(directory).ok());
            let listed = listed.unwrap_or_default().into_iter();
            listed
                .map(|name| name.to_string_lossy().into_owned())
                .collect()
        }
    };
    for jid in jids {
        if let Some(path) = pause_file(&jid, context)
            && let Some(pauses) = read_pauses(&path, context)
        {
            found.insert(jid, pauses);
        }
    }
    Ok(found.into())
}

/// What runs besides this call, in Salt's words.
fn running(context: &Context<'_>) -> Vec<String> {
    let Some(running) = context.running else {
        return Vec::new();
    };
    let own = context.job.get("jid").map(python::str);
    let mut found = Vec::new();
    for job in running() {
        let part = |key| job.get(key).map(python::str).unwrap_or_default();
        let (function, jid) = (part("fun"), part("jid"));
        if !is_state_run(&function) || own.as_deref() == Some(jid.as_str()) {
            continue;
        }
        found.push(format!(
            "The function \"{function}\" is running as PID {} and was started at {} with jid {jid}",
            part("pid"),
            started(&jid),
        ));
    }
    found
}

/// Functions of `state` that change nothing and so stand in nobody's way.
fn is_harmless(function: &str) -> bool {
    let name = function.strip_prefix("state.").unwrap_or(function);
    name.starts_with("show_")
        || matches!(
            name,
            "running"
                | "pause"
                | "resume"
                | "soft_kill"
                | "get_pauses"
                | "sls_exists"
                | "id_exists"
                | "list_disabled"
                | "disable"
                | "enable"
                | "check_request"
                | "clear_request"
                | "clear_cache"
                | "event"
                | "graph"
                | "graph_highstate"
        )
}

/// The time in a jid as Salt prints it: `2026, Nov 22 06:49:37.317722`.
fn started(jid: &str) -> String {
    let part = |from: usize, to: usize| jid.get(from..to).unwrap_or_default();
    let month = match part(4, 6) {
        "01" => "Jan",
        "02" => "Feb",
        "03" => "Mar",
        "04" => "Apr",
        "05" => "May",
        "06" => "Jun",
        "07" => "Jul",
        "08" => "Aug",
        "09" => "Sep",
        "10" => "Oct",
        "11" => "Nov",
        "12" => "Dec",
        _ => return String::new(),
    };
    format!(
        "{}, {month} {} {}:{}:{}.{}",
        part(0, 4),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14),
        part(14, 20)
    )
}

/// Whether a job of this function keeps other runs of states waiting: it changes the
/// machine by states.
pub fn is_state_run(function: &str) -> bool {
    function.starts_with("state.") && !is_harmless(function)
}

/// Where runs wait for their turn, one job a file.
pub fn queue_directory(config: &Map) -> PathBuf {
    let cache = config.str("cachedir").unwrap_or("/var/cache/salt/minion");
    Path::new(cache).join("queues/salt/state_queue")
}

/// What stands in the way of a run that may not share the machine with another: the answer
/// to give instead of running.
pub(super) fn conflict(args: &Args, context: &Context<'_>) -> Option<Value> {
    if args.is_true("concurrent") {
        return None;
    }
    loop {
        let running = running(context);
        if running.is_empty() {
            return None;
        }
        let wanted = args
            .given("queue")
            .or_else(|| context.minion.config.get("state_queue"));
        let most = match wanted {
            Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(0),
            Some(wanted) if wanted.is_true() => usize::MAX,
            _ => 0,
        };
        // Only a daemon comes back to what waits in a file; a call of its own waits here.
        let kept = context.fire_local.is_some()
            && crate::grains::followed(&context.minion.config) >= Release::V3008;
        let waiting = if kept {
            queued(context)
        } else {
            running.len() - 1
        };
        if waiting >= most || context.system.interrupted().is_some() {
            context.set_retcode(1);
            return Some(running.into_iter().collect());
        }
        if kept {
            match queue(context) {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::warn!(%error, "a run cannot be queued, and waits"),
            }
        }
        context.system.sleep(std::time::Duration::from_secs(1));
    }
}

/// How many runs wait in files.
fn queued(context: &Context<'_>) -> usize {
    let directory = queue_directory(&context.minion.config);
    context.system.list(&directory).map_or(0, |names| {
        let jobs = names.iter();
        jobs.filter(|name| name.to_string_lossy().starts_with("queued_"))
            .count()
    })
}

/// Leaves the job for the daemon to run when its turn has come.
fn queue(context: &Context<'_>) -> Answer {
    let directory = queue_directory(&context.minion.config);
    context.system.create_dir_all(&directory, 0o700)?;
    let now = context.system.now().duration_since(UNIX_EPOCH);
    let micros = now.unwrap_or_default().as_micros();
    let jid = context.job.get("jid").map(python::str).unwrap_or_default();
    let plain = jid.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    if jid.is_empty() || !plain {
        return Err(wrong_jid(&jid));
    }
    let mut bytes = Vec::new();
    msgpack::encode_map(&context.job, msgpack::Dialect::Bin, &mut bytes);
    // Pillar may stand in the arguments.
    let options = WriteOptions::new().mode(0o600);
    let path = directory.join(format!("queued_{micros}_{jid}.p"));
    context.system.write(&path, &bytes, &options)?;
    Ok(Map::from([
        ("result", Value::Bool(true)),
        ("comment", "Job queued for execution".into()),
        ("queued", true.into()),
        ("changes", Map::new().into()),
        ("__no_return__", true.into()),
    ])
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::sources::MemorySources;
    use crate::system::{FakeSystem, Observe};

    const JID: &str = "20261122102948377885";

    /// `state.sls quick` beside a run that is under way, on a minion.
    fn beside_another(machine: &FakeSystem, keyword: Option<(&str, Value)>) -> (Value, i64) {
        let registry = Registry::builtin();
        let minion = MinionData {
            id: "m1".into(),
            config: Map::from([("cachedir", "/cache")]),
            ..MinionData::default()
        };
        let tree = MemorySources::new().file("base", "quick.sls", "quick: test.nop\n");
        let running = || {
            vec![Map::from([
                ("fun", Value::from("state.sls")),
                ("pid", 14114.into()),
                ("jid", "20261122102909121810".into()),
            ])]
        };
        let fire = |_: &str, _: Map| true;
        let mut context = Context::new(&registry, machine, &minion);
        context.sources = Some(&tree);
        context.running = Some(&running);
        context.fire_local = Some(&fire);
        context.job = Map::from([("fun", Value::from("state.sls")), ("jid", JID.into())]);
        let mut args = Args::new().with("quick");
        if let Some((key, value)) = keyword {
            args = args.keyword(key, value);
        }
        let answer = registry.call("state.sls", &args, &context);
        (answer.expect("an answer"), context.retcode())
    }

    // Recorded from 3008.3.
    #[test]
    fn a_run_beside_another_is_refused_queued_or_runs() {
        let machine = FakeSystem::new();
        let refused: Value = Value::List(vec![
            "The function \"state.sls\" is running as PID 14114 and was started at 2026, Nov 22 10:29:09.121810 with jid 20261122102909121810".into(),
        ]);

        assert_eq!(beside_another(&machine, None), (refused.clone(), 1));
        let (answer, code) = beside_another(&machine, Some(("concurrent", true.into())));
        assert!(answer.get("test_|-quick_|-quick_|-nop").is_some() && code == 0);

        let (answer, code) = beside_another(&machine, Some(("queue", true.into())));
        assert_eq!(
            crate::render::json::dump(&answer),
            r#"{"result": true, "comment": "Job queued for execution", "queued": true, "changes": {}, "__no_return__": true}"#
        );
        assert_eq!(code, 0);
        let directory = Path::new("/cache/queues/salt/state_queue");
        let names = machine.list(directory).expect("a queue");
        let [name] = names.as_slice() else {
            panic!("{names:?}");
        };
        let name = name.to_string_lossy().into_owned();
        assert!(name.starts_with("queued_") && name.ends_with(&format!("_{JID}.p")));
        let bytes = machine.read(&directory.join(name)).expect("readable");
        let job = msgpack::decode(&bytes.expect("a job"), &salt_proto::Limits::default());
        assert_eq!(job.expect("a mapping").get("jid"), Some(&JID.into()));

        // One waits already.
        let answer = beside_another(&machine, Some(("queue", 1.into())));
        assert_eq!(answer, (refused, 1));
        let (answer, _) = beside_another(&machine, Some(("queue", 2.into())));
        assert_eq!(answer.get("queued"), Some(&true.into()));
    }

    // Recorded from 3008.3.
    #[test]
    fn an_sls_that_is_switched_off_is_refused() {
        let registry = Registry::builtin();
        let machine = FakeSystem::new();
        let minion = MinionData {
            grains: Map::from([("state_runs_disabled", Value::List(vec!["r".into()]))]).into(),
            ..MinionData::default()
        };
        let tree = MemorySources::new()
            .file("base", "r.sls", "r: test.nop\n")
            .file("base", "q.sls", "q: test.nop\n");
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);
        let call = |mods: &str| {
            let answer = registry.call("state.apply", &Args::new().with(mods), &context);
            answer.expect("an answer")
        };

        assert_eq!(
            call("r"),
            Value::List(vec![
                "The state file \"r\" is currently disabled, to re-enable, run state.enable r."
                    .into()
            ])
        );
        assert_eq!(context.retcode(), 1);
        assert!(call("q,r").get("test_|-r_|-r_|-nop").is_some());
    }
}
