//! `saltutil.*`: the minion itself: its jobs, its caches, its refreshes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::fnmatch;
use crate::foreign::ForeignKind;
use crate::python;
use crate::registry::{CallError, Registry};

mod masters;
mod sync;

type Answer = Result<Value, CallError>;

/// The kinds of modules that Salt distributes, in the order in which `sync_all` names them.
const KINDS: &[&str] = &[
    "tops",
    "clouds",
    "beacons",
    "modules",
    "states",
    "sdb",
    "grains",
    "renderers",
    "returners",
    "output",
    "utils",
    "log_handlers",
    "executors",
    "proxymodules",
    "engines",
    "thorium",
    "serializers",
    "matchers",
    "resources",
    "pillar",
    "wrapper",
];

/// The functions that fetch one kind.
const SYNC: &[(&str, &str)] = &[
    (
        "saltutil.sync_beacons",
        "sync_beacons(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_clouds",
        "sync_clouds(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_engines",
        "sync_engines(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_executors",
        "sync_executors(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_log_handlers",
        "sync_log_handlers(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_matchers",
        "sync_matchers(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_output",
        "sync_output(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_outputters",
        "sync_outputters(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_pillar",
        "sync_pillar(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None, clean_pillar_cache=False)",
    ),
    (
        "saltutil.sync_proxymodules",
        "sync_proxymodules(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_renderers",
        "sync_renderers(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_resources",
        "sync_resources(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_returners",
        "sync_returners(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_sdb",
        "sync_sdb(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_serializers",
        "sync_serializers(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_thorium",
        "sync_thorium(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_tops",
        "sync_tops(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
    (
        "saltutil.sync_wrapper",
        "sync_wrapper(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None)",
    ),
];

pub(super) fn register(registry: &mut Registry) {
    register_jobs(registry);
    register_refreshes(registry);
    register_caches(registry);
    for (name, signature) in SYNC {
        registry.add(
            name,
            signature,
            "Fetches modules of a tree that are Python code. There is nothing to run them here, so nothing is fetched.",
            |_, _| Ok(Value::List(Vec::new())),
        );
    }
    sync::register(registry);
    masters::register(registry);
    registry.add(
        "saltutil.sync_all",
        "sync_all(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None, clean_pillar_cache=False)",
        "Fetches modules of all kinds; see saltutil.sync_modules.",
        |args, context| {
            let mut all: Map = KINDS
                .iter()
                .map(|kind| (*kind, Value::List(Vec::new())))
                .collect();
            for kind in ForeignKind::ALL {
                let fetched = sync::fetch(kind, args, context)?;
                if kind == ForeignKind::Grains && !fetched.is_empty() {
                    context.fire("grains_refresh", Map::new());
                }
                all.insert(kind.name(), fetched);
            }
            context.fire("module_refresh", Map::new());
            context.fire("pillar_refresh", Map::new());
            Ok(all.into())
        },
    );
    registry.add(
        "saltutil.list_extmods",
        "list_extmods()",
        "Lists the modules that were fetched; here there are none.",
        |_, _| Ok(Map::new().into()),
    );
}

fn register_jobs(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "saltutil.running",
        "running()",
        "Returns the jobs that run on this minion.",
        |_, context| Ok(running(context).into_iter().collect()),
    );
    add(
        "saltutil.find_job",
        "find_job(jid)",
        "Returns a job that runs on this minion, an empty mapping when it does not.",
        |args, context| {
            let jid = args.text("jid")?;
            let found = running(context)
                .into_iter()
                .find(|job| of(job, "jid") == jid);
            Ok(found.unwrap_or_default().into())
        },
    );
    add(
        "saltutil.is_running",
        "is_running(fun)",
        "Returns the running jobs whose function matches a glob.",
        |args, context| {
            let glob = args.text("fun")?;
            Ok(running(context)
                .into_iter()
                .filter(|job| fnmatch(&of(job, "fun"), &glob))
                .collect())
        },
    );
    add(
        "saltutil.signal_job",
        "signal_job(jid, sig)",
        "Sends a signal to a running job.",
        |args, context| {
            let signal = i32::try_from(args.int("sig")?).unwrap_or(0);
            signal_job(&args.text("jid")?, signal, context)
        },
    );
    add(
        "saltutil.term_job",
        "term_job(jid)",
        "Asks a running job to end.",
        |args, context| signal_job(&args.text("jid")?, 15, context),
    );
    add(
        "saltutil.kill_job",
        "kill_job(jid)",
        "Ends a running job at once.",
        |args, context| signal_job(&args.text("jid")?, 9, context),
    );
    add(
        "saltutil.term_all_jobs",
        "term_all_jobs()",
        "Asks all other running jobs to end.",
        |_, context| signal_all(15, context),
    );
    add(
        "saltutil.kill_all_jobs",
        "kill_all_jobs()",
        "Ends all other running jobs at once.",
        |_, context| signal_all(9, context),
    );
}

fn register_refreshes(registry: &mut Registry) {
    for name in ["saltutil.refresh_pillar", "saltutil.pillar_refresh"] {
        registry.add(
            name,
            "refresh_pillar(wait=False, timeout=30, clean_cache=True)",
            "Asks the minion to fetch its pillar anew.",
            |_, context| Ok(context.fire("pillar_refresh", Map::new()).into()),
        );
    }
    registry.add(
        "saltutil.refresh_grains",
        "refresh_grains(**kwargs)",
        "Asks the minion to gather its grains anew, and to fetch its pillar unless refresh_pillar is false.",
        |args, context| {
            context.fire("grains_refresh", Map::new());
            if args.get("refresh_pillar").is_none_or(Value::is_true) {
                context.fire("pillar_refresh", Map::new());
            }
            Ok(true.into())
        },
    );
    registry.add(
        "saltutil.refresh_modules",
        "refresh_modules(**kwargs)",
        "Asks the minion to load its modules anew.",
        |_, context| refresh("module_refresh", context),
    );
    registry.add(
        "saltutil.refresh_beacons",
        "refresh_beacons()",
        "Asks the minion to load its beacons anew.",
        |_, context| refresh("beacons_refresh", context),
    );
    registry.add(
        "saltutil.refresh_matchers",
        "refresh_matchers()",
        "Asks the minion to load its matchers anew.",
        |_, context| refresh("matchers_refresh", context),
    );
    registry.add(
        "saltutil.refresh_resources",
        "refresh_resources()",
        "Asks the minion to load its resources anew.",
        |_, context| refresh("resource_refresh", context),
    );
}

fn refresh(tag: &str, context: &Context<'_>) -> Answer {
    Ok(context.fire(tag, Map::new()).into())
}

fn register_caches(registry: &mut Registry) {
    registry.add(
        "saltutil.clear_cache",
        "clear_cache()",
        "Removes all files below the cache directory.",
        |_, context| {
            let cache = cache(context);
            Ok(empty(&cache, &|_| true, context).is_ok().into())
        },
    );
    registry.add(
        "saltutil.clear_job_cache",
        "clear_job_cache(hours=24)",
        "Removes the minion's own records of jobs that are older.",
        |args, context| {
            let hours = u64::try_from(args.int("hours")?).unwrap_or(0);
            let age = Duration::from_secs(hours.saturating_mul(3600));
            let now = context.system.now();
            let old =
                |modified: SystemTime| now.duration_since(modified).is_ok_and(|gone| gone > age);
            let jobs = cache(context).join("minion_jobs");
            Ok(empty(&jobs, &old, context).is_ok().into())
        },
    );
    registry.add(
        "saltutil.find_cached_job",
        "find_cached_job(jid)",
        "Returns the minion's own record of a job (cache_jobs). None are kept here.",
        |_, _| {
            Ok("Local jobs cache directory not found; you may need to enable cache_jobs on this minion".into())
        },
    );
    registry.add(
        "saltutil.revoke_auth",
        "revoke_auth(preserve_minion_cache=False)",
        "Asks the master to delete this minion's key.",
        |args, context| {
            let load = Map::from([
                ("cmd", Value::from("revoke_auth")),
                ("id", context.minion.id.as_str().into()),
                (
                    "preserve_minion_cache",
                    args.is_true("preserve_minion_cache").into(),
                ),
            ]);
            context.ask_master(load)
        },
    );
}

fn running(context: &Context<'_>) -> Vec<Map> {
    context.running.map(|running| running()).unwrap_or_default()
}

fn of(job: &Map, key: &str) -> String {
    job.get(key).map(python::str).unwrap_or_default()
}

fn signal_job(jid: &str, signal: i32, context: &Context<'_>) -> Answer {
    let Some(job) = running(context)
        .into_iter()
        .find(|job| of(job, "jid") == jid)
    else {
        return Ok("".into());
    };
    let pid = of(&job, "pid");
    let sent = match context.signal_job {
        Some(send) => send(jid, signal),
        None => Err(CallError::execution("jobs cannot be signalled here")),
    };
    Ok(match sent {
        Ok(()) => format!("Signal {signal} sent to job {jid} at pid {pid}").into(),
        Err(_) => format!("Job {jid} was not running and job data has been  cleaned up").into(),
    })
}

/// Every running job except the one that asks.
fn signal_all(signal: i32, context: &Context<'_>) -> Answer {
    let own = of(&context.job, "jid");
    running(context)
        .iter()
        .map(|job| of(job, "jid"))
        .filter(|jid| *jid != own)
        .map(|jid| signal_job(&jid, signal, context))
        .collect::<Result<Vec<_>, _>>()
        .map(Value::from)
}

fn cache(context: &Context<'_>) -> PathBuf {
    PathBuf::from(
        context
            .setting("cachedir")
            .unwrap_or("/var/cache/salt/minion"),
    )
}

/// Removes the files below a directory for whose time `old` holds. Links are removed,
/// never followed.
fn empty(
    directory: &Path,
    old: &dyn Fn(SystemTime) -> bool,
    context: &Context<'_>,
) -> std::io::Result<()> {
    if !context.system.is_dir(directory) || context.system.is_link(directory) {
        return Ok(());
    }
    for name in context.system.list(directory)? {
        let path = directory.join(name);
        match context.system.link_metadata(&path)? {
            Some(found) if found.is_dir() => empty(&path, old, context)?,
            Some(found) if old(found.modified.into()) => context.system.remove(&path)?,
            _ => {}
        }
    }
    Ok(())
}
