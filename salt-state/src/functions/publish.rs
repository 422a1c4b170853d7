//! `publish.*`: jobs for other minions, if the master lets this one have them (`peer`).

use std::time::Duration;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "publish.publish",
        "publish(tgt, fun, arg=None, tgt_type='glob', returner='', timeout=5, via_master=None)",
        "Has other minions run a function, and returns what they answer.",
        |args, context| by_args(args, false, context),
    );
    add(
        "publish.full_data",
        "full_data(tgt, fun, arg=None, tgt_type='glob', returner='', timeout=5)",
        "Has other minions run a function, and returns their whole returns.",
        |args, context| by_args(args, true, context),
    );
    add(
        "publish.runner",
        "runner(fun, arg=None, timeout=5)",
        "Has the master run a runner, if its peer_run allows that.",
        |args, context| {
            if context.master.is_none() {
                return Ok(
                    "No access to master. If using salt-call with --local, please remove.".into(),
                );
            }
            let load = Map::from([
                ("cmd", Value::from("minion_runner")),
                ("fun", args.text("fun")?.into()),
                ("arg", parsed(args).into()),
                ("tmo", args.int("timeout")?.into()),
                ("id", context.minion.id.as_str().into()),
                ("no_parse", Value::List(Vec::new())),
            ]);
            context.ask_master(load)
        },
    );
}

fn by_args(args: &Args, full: bool, context: &Context<'_>) -> Answer {
    publish(
        &args.text("fun")?,
        parsed(args),
        &args.text("tgt")?,
        &args.text("tgt_type")?,
        args.int("timeout")?,
        full,
        context,
    )
}

/// `arg` as a list: Salt splits a text at its commas.
fn parsed(args: &Args) -> Vec<Value> {
    match args.given("arg") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(items)) => items.clone(),
        Some(Value::Str(text)) if text.is_empty() => Vec::new(),
        Some(Value::Str(text)) => text.split(',').map(Value::from).collect(),
        Some(other) => vec![other.clone()],
    }
}

/// Has the meant minions run a function, waits for them, and returns their answers by id;
/// empty when the master does not allow it or nobody answers.
pub(super) fn publish(
    function: &str,
    arg: Vec<Value>,
    target: &str,
    target_type: &str,
    timeout: i64,
    full: bool,
    context: &Context<'_>,
) -> Answer {
    let nothing = || Ok(Map::new().into());
    if context.master.is_none() || function == "publish.publish" {
        return nothing();
    }
    let timeout = timeout.clamp(0, 3_600);
    let load = Map::from([
        ("cmd", Value::from("minion_pub")),
        ("fun", function.into()),
        ("arg", arg.into()),
        ("tgt", target.into()),
        ("tgt_type", target_type.into()),
        ("ret", "".into()),
        ("tmo", timeout.into()),
        ("form", if full { "full" } else { "clean" }.into()),
        ("id", context.minion.id.as_str().into()),
        ("no_parse", Value::List(Vec::new())),
    ]);
    let published = context.ask_master(load)?;
    let Some(jid) = published.get("jid").filter(|jid| jid.is_true()).cloned() else {
        return nothing();
    };
    let expected = match published.get("minions") {
        Some(Value::List(minions)) => minions.len(),
        _ => usize::MAX,
    };
    let mut waited = 0;
    loop {
        let load = Map::from([
            ("cmd", Value::from("pub_ret")),
            ("id", context.minion.id.as_str().into()),
            ("jid", python::str(&jid).into()),
        ]);
        let answers = context.ask_master(load)?;
        let count = answers.as_map().map_or(0, Map::len);
        if count >= expected || waited >= timeout {
            return Ok(clean(answers, full));
        }
        std::thread::sleep(Duration::from_secs(1));
        waited += 1;
    }
}

/// The answers alone, unless all of the returns is wanted.
fn clean(answers: Value, full: bool) -> Value {
    let Value::Map(answers) = answers else {
        return Map::new().into();
    };
    if full {
        return answers.into();
    }
    let all = answers.into_iter().map(|(minion, said)| {
        let ret = said.get("ret").cloned();
        (minion, ret.unwrap_or(said))
    });
    all.collect::<Map>().into()
}
