//! `cmd.*`: running commands.
//!
//! What a command does cannot be predicted, so a dry run says only that it would run.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::split_words;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::WriteOptions;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "cmd.run",
        "run(name, cwd=None, root=None, runas=None, password=None, shell=None, env=None, prepend_path=None, stateful=False, output_loglevel='debug', hide_output=False, timeout=None, ignore_timeout=False, use_vt=False, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Runs a command.",
        run,
    );
    registry.add_state(
        "cmd.script",
        "script(name, source=None, template=None, cwd=None, runas=None, password=None, shell=None, env=None, stateful=False, timeout=None, use_vt=False, output_loglevel='debug', hide_output=False, defaults=None, context=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Fetches a script and runs it.",
        script,
    );
    for name in ["cmd.wait", "cmd.watch"] {
        registry.add_state(
            name,
            "wait(name, cwd=None, root=None, runas=None, shell=None, env=[], stateful=False, output_loglevel='debug', hide_output=False, use_vt=False, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
            "Runs a command when something it watches changes.",
            |_, _| Ok(Plan::unchanged("")),
        );
    }
    registry.add_state(
        "cmd.wait_script",
        "wait_script(name, source=None, template=None, cwd=None, runas=None, shell=None, env=None, stateful=False, use_vt=False, output_loglevel='debug', hide_output=False, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Fetches a script and runs it when something it watches changes.",
        |_, _| Ok(Plan::unchanged("")),
    );
    registry.add_state(
        "cmd.call",
        "call(name, func, args=[], kws=None, output_loglevel='debug', hide_output=False, use_vt=False, **kwargs)",
        "Calls a Python object, which only the pydsl renderer can name.",
        |args, _| Err(not_callable(args)),
    );
    registry.add_state(
        "cmd.wait_call",
        "wait_call(name, func, args=[], kws=None, stateful=False, use_vt=False, output_loglevel='debug', hide_output=False, **kwargs)",
        "As cmd.call, when something it watches changes.",
        |_, _| Ok(Plan::unchanged("")),
    );
    registry.add_state(
        "cmd.mod_watch",
        "mod_watch(name, **kwargs)",
        "Runs what was waiting.",
        mod_watch,
    );
}

fn not_callable(args: &Args) -> CallError {
    let kind = args.get("func").map_or("NoneType", Value::type_name);
    CallError::exception("TypeError", format!("'{kind}' object is not callable"))
}

/// The arguments of the execution function: the state's own, under its names.
fn arguments(args: &Args, names: &[&str], check: &Check<'_>) -> Args {
    let mut call = Args::new();
    for (key, value) in args.keywords() {
        call = call.keyword(&python::str(key), value.clone());
    }
    for name in names {
        if let Some(value) = args.given(name) {
            call = call.keyword(name, value.clone());
        }
    }
    if let Some(umask) = check.low.get("umask") {
        call = call.keyword("umask", umask.clone());
    }
    call.keyword("python_shell", true)
}

fn env_is_formed(args: &Args) -> bool {
    args.given("env")
        .is_none_or(|env| matches!(env, Value::List(_) | Value::Map(_) | Value::Str(_)))
}

const BAD_ENV: &str = "Invalidly-formatted 'env' parameter. See documentation.";

fn run(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if !env_is_formed(args) {
        return Ok(Plan::fail(BAD_ENV));
    }
    let stateful = args.given("stateful").filter(|stated| stated.is_true());
    let mut call = arguments(
        args,
        &[
            "cwd",
            "runas",
            "password",
            "shell",
            "env",
            "prepend_path",
            "hide_output",
            "timeout",
            "success_retcodes",
            "success_stdout",
            "success_stderr",
        ],
        check,
    );
    let command = match args.optional_text("root").filter(|root| !root.is_empty()) {
        None => args.get("name").cloned().unwrap_or_default(),
        Some(root) => {
            call.keywords.insert("python_shell", false);
            ["chroot", root.as_str(), "/bin/sh", "-c", name.as_str()]
                .into_iter()
                .collect()
        }
    };
    call.keywords.insert("cmd", command);

    let would = if let Some(stateful) = stateful {
        match test_command(stateful) {
            // A command that says what the other one would do.
            Some(line) if check.is_test() => {
                let mut asking = call.clone();
                asking.keywords.insert("cmd", line);
                asking.keywords.insert("ignore_retcode", true);
                let said = match check.query("cmd.run_all", &asking) {
                    Ok(said) => said,
                    Err(error) => return Ok(Plan::fail(error.to_string())),
                };
                let told = reinterpret(Finished::of(said, String::new()), true);
                return Ok(Plan::answer(told.result, told.comment, told.changes));
            }
            _ => (String::new(), Changes::none()),
        }
    } else {
        (
            format!("Command \"{name}\" would have been executed"),
            Changes::of("cmd", name.as_str()),
        )
    };
    let cwd = args.optional_text("cwd").filter(|cwd| !cwd.is_empty());
    let background = args.is_true("bg");
    let ignores_timeout = args.is_true("ignore_timeout");
    let is_stateful = stateful.is_some();
    let apply = move |context: &Context<'_>| {
        if let Some(cwd) = cwd
            && !context.system.is_dir(cwd.as_ref())
        {
            return Ok(Done::failed(format!(
                "Desired working directory \"{cwd}\" is not available"
            )));
        }
        let ran = if background {
            context
                .registry
                .call("cmd.run_bg", &call, context)
                .map(|started| {
                    let pid = started.get("pid").cloned().unwrap_or_default();
                    Map::from([
                        ("pid", pid),
                        ("retcode", Value::Null),
                        ("stdout", "".into()),
                        ("stderr", "".into()),
                    ])
                    .into()
                })
        } else {
            call.keywords.insert("ignore_retcode", true);
            context.registry.call("cmd.run_all", &call, context)
        };
        let mut ran = match ran {
            Ok(ran) => ran,
            Err(error @ (CallError::Execution(_) | CallError::Exception { .. })) => {
                return Ok(Done::failed(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        if ignores_timeout
            && timed_out(&ran)
            && let Some(map) = ran.as_map_mut()
        {
            map.insert("retcode", 0);
        }
        let mut finished = Finished::of(ran, format!("Command \"{name}\" run"));
        if is_stateful {
            finished = reinterpret(finished, false);
        }
        Ok(finished.into())
    };
    Ok(Plan::change("", Changes::none(), apply)
        .when_testing(would.0)
        .test_changes(would.1))
}

/// `stateful: [{test_name: command}]`.
fn test_command(stateful: &Value) -> Option<Value> {
    let found = |value: &Value| value.get("test_name").cloned();
    match stateful {
        Value::List(items) => items.iter().find_map(found),
        other => found(other),
    }
}

fn timed_out(ran: &Value) -> bool {
    let text = ran
        .get("stdout")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.contains(": Timed out after ")
}

/// How a command ended, as an entry tells it.
struct Finished {
    result: Option<bool>,
    comment: String,
    changes: Map,
}

impl Finished {
    fn of(ran: Value, comment: String) -> Self {
        let changes = match ran {
            Value::Map(map) => map,
            _ => Map::new(),
        };
        let failed = changes.get("retcode").is_some_and(Value::is_true);
        Self {
            result: Some(!failed),
            comment,
            changes,
        }
    }
}

impl From<Finished> for Done {
    fn from(finished: Finished) -> Self {
        Self::with_comment(finished.comment)
            .changes(finished.changes)
            .result(finished.result)
    }
}

/// Reads what a stateful command says of itself on the last line of its output.
fn reinterpret(finished: Finished, test: bool) -> Finished {
    let stdout = finished
        .changes
        .str("stdout")
        .unwrap_or_default()
        .to_owned();
    let (before, line) = match stdout.rfind('\n') {
        Some(at) => (
            stdout.get(..at).unwrap_or_default().to_owned(),
            stdout.get(at + 1..).unwrap_or_default(),
        ),
        // Salt cuts one letter where there is only one line.
        None => {
            let mut letters = stdout.chars();
            letters.next_back();
            (letters.as_str().to_owned(), stdout.as_str())
        }
    };
    let json = line.starts_with('{') && line.ends_with('}');
    let said = if json { read_json(line) } else { pairs(line) };
    let Some(mut said) = said else {
        return Finished {
            result: Some(false),
            comment:
                "Failed parsing script output! Stdout must be JSON or a line of name=value pairs."
                    .to_owned(),
            ..finished
        };
    };
    let comment = said.remove("comment").as_ref().map(python::str);
    let changed = said.get("changed").is_some_and(is_yes);
    let mut changes = Map::new();
    if changed {
        for (key, value) in &said {
            changes.insert(key.clone(), value.clone());
        }
        for (key, value) in &finished.changes {
            changes.insert(key.clone(), value.clone());
        }
        changes.insert("stdout", if json { String::new() } else { before });
    }
    let result = if test && changed {
        None
    } else {
        finished.result
    };
    Finished {
        result,
        comment: comment.unwrap_or_default(),
        changes,
    }
}

fn read_json(line: &str) -> Option<Map> {
    match crate::yaml::load(line) {
        Ok(Value::Map(map)) => Some(map),
        _ => None,
    }
}

fn pairs(line: &str) -> Option<Map> {
    let words = split_words(line)?;
    let mut map = Map::new();
    for word in words {
        let (key, value) = word.split_once('=')?;
        map.insert(key, value);
    }
    Some(map)
}

/// Salt's `is_true`.
fn is_yes(value: &Value) -> bool {
    match value {
        Value::Str(text) => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("yes"),
        other => other.is_true(),
    }
}

fn script(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let source = args.optional_text("source").unwrap_or_else(|| name.clone());
    for parameter in ["context", "defaults"] {
        let formed = args
            .get(parameter)
            .is_none_or(|given| !given.is_true() || matches!(given, Value::Map(_)));
        if !formed {
            return Ok(Plan::fail(format!(
                "Invalidly-formatted '{parameter}' parameter. Must be formed as a dict."
            )));
        }
    }
    if !env_is_formed(args) {
        return Ok(Plan::fail(BAD_ENV));
    }
    let mut call = arguments(
        args,
        &[
            "cwd",
            "runas",
            "password",
            "shell",
            "env",
            "hide_output",
            "timeout",
            "success_retcodes",
            "success_stdout",
            "success_stderr",
        ],
        check,
    );
    // The words behind the script's name are its arguments.
    if !call.keywords.contains_key("args")
        && let Some((_, words)) = name.split_once(' ')
    {
        call.keywords.insert("args", words);
    }
    let environment = check.environment().to_owned();
    let rendered = match args.optional_text("template") {
        Some(renderer) if !check.is_test() => match check.source(&source)? {
            Some(content) => {
                let mut extra = Map::new();
                for parameter in ["defaults", "context"] {
                    if let Some(Value::Map(more)) = args.get(parameter) {
                        extra.extend(more.clone());
                    }
                }
                let path = source.strip_prefix("salt://").unwrap_or(&source);
                let text = String::from_utf8_lossy(&content);
                match check.template(&renderer, &text, path, &extra) {
                    Ok(text) => Some(text),
                    Err(error) => return Ok(Plan::fail(error.to_string())),
                }
            }
            None => None,
        },
        _ => None,
    };
    let stateful = args.is_true("stateful");
    let cwd = args.optional_text("cwd").filter(|cwd| !cwd.is_empty());
    let would = format!("Command '{name}' would have been executed");
    Ok(Plan::change(
        format!("Command '{name}' run"),
        Changes::none(),
        move |context| {
            if let Some(cwd) = cwd
                && !context.system.is_dir(cwd.as_ref())
            {
                return Ok(Done::failed(format!(
                    "Desired working directory \"{cwd}\" is not available"
                )));
            }
            call.keywords.insert("ignore_retcode", true);
            call.keywords.insert("saltenv", environment.as_str());
            let ran = match rendered {
                Some(text) => run_text(&text, &call, context),
                None => {
                    call.keywords.insert("source", source.as_str());
                    context.registry.call("cmd.script", &call, context)
                }
            };
            let ran = match ran {
                Ok(ran) => ran,
                Err(error @ CallError::Execution(_)) => {
                    return Ok(Done::failed(error.to_string()));
                }
                Err(error) => return Err(error),
            };
            if ran.get("cache_error").is_some_and(Value::is_true) {
                let failed = Finished::of(
                    ran,
                    format!("Unable to cache script {source} from saltenv '{environment}'"),
                );
                return Ok(failed.into());
            }
            let mut finished = Finished::of(ran, format!("Command '{name}' run"));
            if stateful {
                finished = reinterpret(finished, false);
            }
            Ok(finished.into())
        },
    )
    .when_testing(would))
}

/// Runs a rendered script from a file that only we can read, and removes that.
fn run_text(text: &str, call: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let mut random = [0; 8];
    context.system.random(&mut random);
    let tail: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = std::path::PathBuf::from(format!("/tmp/salt-script-{tail}"));
    context
        .system
        .write(&path, text.as_bytes(), &WriteOptions::new().mode(0o700))?;
    let call = call
        .clone()
        .keyword("source", python::str(&path.display().to_string().into()));
    let ran = context.registry.call("cmd.script", &call, context);
    context.system.remove(&path)?;
    ran
}

fn mod_watch(args: &Args, check: &Check<'_>) -> Answer {
    let declared = args.keywords().get("sfun").map(python::str);
    let declared = declared.unwrap_or_default();
    let mut call = Args::new();
    for (key, value) in args.keywords().iter().chain(args.named.iter()) {
        let key = python::str(key);
        if !matches!(key.as_str(), "sfun" | "__reqs__") {
            call = call.keyword(&key, value.clone());
        }
    }
    match declared.as_str() {
        "wait" | "run" | "watch" => check.state("cmd.run", &call),
        "wait_script" | "script" => check.state("cmd.script", &call),
        "wait_call" | "call" => Err(not_callable(args)),
        other => Ok(Plan::fail(format!(
            "cmd.{other} does not work with the watch requisite, please use cmd.wait or cmd.wait_script"
        ))),
    }
}
