//! `jobs.*`: what the job cache knows.

use std::collections::BTreeMap;

use salt_proto::{Jid, Map, Value};
use salt_state::{Args, python};
use salt_transport::client::{Answer, Publish};
use salt_transport::jobs::StoredJob;

use super::events::matches_any;
use super::{Failure, Outcome, World};
use crate::salt::report::missing_text;

/// The job id of a call: a number, or text. One that is none is of no job.
fn jid(args: &Args) -> Result<(String, Option<Jid>), Failure> {
    let text = args.text("jid")?;
    let jid = text.parse().ok();
    Ok((text, jid))
}

/// The returns of a job, by the outputter that they wanted.
pub(super) fn lookup_jid(world: &World<'_>, args: &Args) -> Result<Outcome, Failure> {
    let (_, Some(jid)) = jid(args)? else {
        return Ok(Value::from(Map::new()).into());
    };
    let mut shown = Map::new();
    let mut outputter = String::new();
    let returns = world.jobs.returns(&jid)?;
    if args.is_true("returned") {
        for (id, ret) in &returns {
            if let Some(out) = ret.get("out").and_then(Value::as_str) {
                out.clone_into(&mut outputter);
            }
            shown.insert(id.clone(), ret.get("return").cloned().unwrap_or_default());
        }
    }
    if args.is_true("missing")
        && let Some(job) = world.jobs.job(&jid)?
    {
        for id in job.minions {
            if !returns.contains_key(&id) {
                shown.insert(id, missing_text(&jid));
            }
        }
    }
    Ok(Outcome {
        value: shown.into(),
        outputter,
    })
}

/// Whether each return went well: by its exit code, or else by the `success` it states.
pub(super) fn exit_success(world: &World<'_>, args: &Args) -> Result<Value, Failure> {
    let mut shown = Map::new();
    if let (_, Some(jid)) = jid(args)? {
        for (id, ret) in &world.jobs.returns(&jid)? {
            let success = match (ret.get("retcode"), ret.get("success")) {
                (Some(code), _) => !code.is_true(),
                (None, Some(success)) => success.is_true(),
                (None, None) => true,
            };
            shown.insert(id.clone(), success);
        }
    }
    Ok(shown.into())
}

/// A job as Salt describes it.
fn describe(load: &Map) -> Map {
    let or = |key: &str, default: &str| match load.get(key) {
        None | Some(Value::Null) => Value::from(default),
        Some(value) => value.clone(),
    };
    let args = load.get("arg").filter(|args| args.as_list().is_some());
    let mut described = Map::from([
        ("Function", or("fun", "unknown-function")),
        (
            "Arguments",
            args.cloned().unwrap_or_else(|| Value::List(Vec::new())),
        ),
        ("Target", or("tgt", "unknown-target")),
        ("Target-type", or("tgt_type", "list")),
        ("User", or("user", "root")),
    ]);
    let metadata = load
        .get("metadata")
        .or_else(|| load.get("kwargs")?.get("metadata"));
    if let Some(metadata) = metadata {
        described.insert("Metadata", metadata.clone());
    }
    described
}

fn described_with_returns(world: &World<'_>, parsed: Option<&Jid>) -> Result<Map, Failure> {
    let job = match parsed {
        Some(jid) => world.jobs.job(jid)?,
        None => None,
    };
    let mut described = match job {
        Some(StoredJob { load, minions, .. }) => {
            let mut described = describe(&load);
            described.insert("Minions", minions.iter().collect::<Value>());
            described
        }
        None => Map::from([("Error", "Cannot contact returner or no job with this jid")]),
    };
    let time = parsed.map(Jid::display_time).unwrap_or_default();
    described.insert("StartTime", time);
    let returns = match parsed {
        Some(jid) => world.jobs.returns(jid)?,
        None => Map::new(),
    };
    described.insert("Result", returns);
    Ok(described)
}

/// A job and its returns.
pub(super) fn list_job(world: &World<'_>, args: &Args) -> Result<Value, Failure> {
    let (text, parsed) = jid(args)?;
    let mut listed = Map::from([("jid", text.as_str())]);
    listed.extend(described_with_returns(world, parsed.as_ref())?);
    Ok(listed.into())
}

/// The same below its id.
pub(super) fn print_job(world: &World<'_>, args: &Args) -> Result<Value, Failure> {
    let (text, parsed) = jid(args)?;
    let described = described_with_returns(world, parsed.as_ref())?;
    Ok(Map::from([(text, described)]).into())
}

/// Which jobs are looked for.
struct Search<'a> {
    function: Option<&'a Value>,
    target: Option<&'a Value>,
    metadata: Option<&'a Map>,
}

impl Search<'_> {
    fn finds(&self, load: &Map) -> bool {
        let each = |key: &str, patterns: &Value| match load.get(key) {
            Some(Value::List(names)) => names
                .iter()
                .any(|name| matches_any(&python::str(name), patterns)),
            Some(name) => matches_any(&python::str(name), patterns),
            None => false,
        };
        let has = |wanted: &Map| {
            let metadata = load
                .get("metadata")
                .or_else(|| load.get("kwargs")?.get("metadata"))
                .and_then(Value::as_map);
            metadata.is_some_and(|metadata| {
                wanted
                    .iter()
                    .any(|(key, value)| metadata.get_value(key) == Some(value))
            })
        };
        self.function.is_none_or(|patterns| each("fun", patterns))
            && self.target.is_none_or(|patterns| each("tgt", patterns))
            && self.metadata.is_none_or(has)
    }
}

/// All jobs, oldest first.
pub(super) fn list_jobs(world: &World<'_>, args: &Args) -> Result<Value, Failure> {
    let search = Search {
        function: args.given("search_function"),
        target: args.given("search_target"),
        metadata: args.given("search_metadata").and_then(Value::as_map),
    };
    let mut listed = Map::new();
    for jid in world.jobs.list()? {
        if let Some(job) = world.jobs.job(&jid)?
            && search.finds(&job.load)
        {
            let mut described = describe(&job.load);
            described.insert("StartTime", jid.display_time());
            listed.insert(&jid, described);
        }
    }
    Ok(listed.into())
}

/// The youngest job.
pub(super) fn last_run(world: &World<'_>, args: &Args) -> Result<Value, Failure> {
    let search = Search {
        function: args.given("function"),
        target: args.given("target"),
        metadata: args.given("metadata").and_then(Value::as_map),
    };
    for jid in world.jobs.list()?.into_iter().rev() {
        if let Some(job) = world.jobs.job(&jid)?
            && search.finds(&job.load)
        {
            let described = described_with_returns(world, Some(&jid))?;
            return Ok(Map::from([(jid.as_str(), described)]).into());
        }
    }
    Ok(false.into())
}

/// What all minions say that they are working on, by job.
pub(super) async fn active(world: &World<'_>) -> Result<Value, Failure> {
    let mut answers = world
        .client
        .run(&Publish::new("*", "glob", "saltutil.running"))
        .await?;
    let mut running: BTreeMap<String, (Map, Vec<Value>)> = BTreeMap::new();
    while let Some(answer) = answers.next().await? {
        let Answer::Return(ret) = answer else {
            continue;
        };
        for job in ret.value.as_list().unwrap_or_default() {
            let Some(job) = job.as_map() else { continue };
            let Some(jid) = job.str("jid") else { continue };
            let pid = job.get("pid").cloned().unwrap_or_default();
            let (_, minions) = running
                .entry(jid.to_owned())
                .or_insert_with(|| (describe(job), Vec::new()));
            minions.push(Map::from([(ret.id.as_str(), pid)]).into());
        }
    }
    let mut shown = Map::new();
    for (text, (mut described, minions)) in running {
        let parsed: Option<Jid> = text.parse().ok();
        let returns = match &parsed {
            Some(jid) => world.jobs.returns(jid)?,
            None => Map::new(),
        };
        let time = parsed.as_ref().map(Jid::display_time).unwrap_or_default();
        described.insert("StartTime", time);
        described.insert("Running", minions);
        described.insert("Returned", returns.keys().cloned().collect::<Value>());
        shown.insert(text, described);
    }
    Ok(shown.into())
}
