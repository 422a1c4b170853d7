//! `ps.*`: processes, and how much of the machine is in use.
//!
//! Salt asks the library psutil (7.2 with Salt 3008.3), which reads `/proc`.

use std::path::Path;
use std::time::Duration;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::files::regex::{Flags, Pattern};
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

mod facts;
mod process;
mod signals;
mod usage;

pub(super) use facts::endpoint;
use process::Process;

type Answer = Result<Value, CallError>;

/// The longest that `ps.cpu_percent` and `ps.top` watch: an hour.
const LONGEST: f64 = 3600.0;

pub(super) fn register(registry: &mut Registry) {
    usage::register(registry);
    signals::register(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "ps.get_pid_list",
        "get_pid_list()",
        "The ids of all processes.",
        |_, context| Ok(process::ids(context.system).into_iter().collect()),
    );
    add(
        "ps.status",
        "status(status)",
        "The processes in a state: running, sleeping, disk_sleep, stopped, tracing_stop,\n\
         zombie, dead, wake_kill, waking, parked, idle.",
        |args, context| {
            let wanted = args.get("status").filter(|status| status.is_true());
            let Some(wanted) = wanted.map(python::str) else {
                return Err(CallError::invocation("Filter is required for ps.status"));
            };
            let all = process::all(context.system);
            let fitting = all.iter().filter(|one| one.status() == wanted);
            Ok(fitting
                .map(|one| Map::from([("pid", Value::from(one.pid)), ("name", one.name().into())]))
                .collect())
        },
    );
    add(
        "ps.proc_info",
        "proc_info(pid, attrs=None)",
        "What is known of a process; of some attributes.",
        facts::proc_info,
    );
    add(
        "ps.top",
        "top(num_processes=5, interval=3)",
        "The processes that use the most of the processors' time while watched for some\n\
         seconds.",
        top,
    );
    add(
        "ps.psaux",
        "psaux(name)",
        "The lines of ps(1) in which a regular expression is found, and how many.",
        |args, context| {
            let name = args.text("name")?;
            let pattern = Pattern::new(&name, Flags::default())?;
            let table = said(context, "ps", &["aux"])?;
            let mut found = Vec::new();
            for line in table.lines() {
                if pattern.is_match(line)? {
                    found.push(line);
                }
            }
            let count = format!("{} occurrence(s).", found.len());
            let found: Value = found.into_iter().collect();
            Ok([name.into(), found, count.into()]
                .into_iter()
                .collect::<Value>())
        },
    );
    add(
        "ps.lsof",
        "lsof(name)",
        "What lsof(8) says of the files of the processes of a name.",
        |args, context| {
            let name = args.text("name")?;
            let table = said(context, "lsof", &["-c", &name])?;
            Ok([name, table].into_iter().collect())
        },
    );
    add(
        "ps.netstat",
        "netstat(name)",
        "The lines of netstat(8) that name a process.",
        |args, context| lines_with(args, context, "netstat", "-nap"),
    );
    add(
        "ps.ss",
        "ss(name)",
        "The lines of ss(8) that name a process.",
        |args, context| lines_with(args, context, "ss", "-neap"),
    );
}

/// What a program says, its complaints too.
fn said(context: &Context<'_>, program: &str, arguments: &[&str]) -> Result<String, CallError> {
    tool::words_said(context, program, arguments)
}

fn lines_with(args: &Args, context: &Context<'_>, program: &str, flags: &str) -> Answer {
    let name = args.text("name")?;
    let table = said(context, program, &[flags])?;
    let found: Value = table.lines().filter(|line| line.contains(&name)).collect();
    Ok([name.into(), found].into_iter().collect())
}

/// Numbers of the kernel, one after the other; what is none counts as zero.
fn numbers(line: &str) -> Vec<u64> {
    let words = line.split_whitespace();
    words.map(|word| word.parse().unwrap_or(0)).collect()
}

fn text(machine: &dyn Observe, path: impl AsRef<Path>) -> String {
    let found = machine.text(path.as_ref());
    found.ok().flatten().unwrap_or_default()
}

/// Seconds of the kernel's ticks, of which there are a hundred in each.
#[expect(clippy::cast_precision_loss, reason = "Python divides as floats too")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / 100.0
}

/// The share that one number has of another in percent.
#[expect(clippy::cast_precision_loss, reason = "Python divides as floats too")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64) * 100.0
}

/// Rounded to one digit.
fn rounded(x: f64) -> f64 {
    format!("{x:.1}").parse().unwrap_or(x)
}

/// Python's complaint about comparing what has no order.
fn no_order(operator: &str, left: &str, right: &str) -> CallError {
    CallError::exception(
        "TypeError",
        format!("'{operator}' not supported between instances of '{left}' and '{right}'"),
    )
}

fn top(args: &Args, context: &Context<'_>) -> Answer {
    let count = match args.get("num_processes") {
        None | Some(Value::Null) => 5,
        Some(Value::Int(count)) => usize::try_from(*count).unwrap_or(0),
        Some(other) => return Err(no_order(">=", "int", other.type_name())),
    };
    let time = match args.get("interval") {
        None => 3.0,
        Some(other) => number(other).ok_or_else(|| {
            let kind = other.type_name();
            let text = format!("'{kind}' object cannot be interpreted as an integer");
            CallError::exception("TypeError", text)
        })?,
    };
    if time < 0.0 {
        let text = "sleep length must be non-negative";
        return Err(CallError::exception("ValueError", text));
    }
    let machine = context.system;
    let used = |one: &Process<'_>| {
        let [user, system, ..] = one.cpu_ticks();
        user + system
    };
    let before: Vec<_> = process::all(machine)
        .into_iter()
        .map(|one| (one.pid, one.started(), used(&one)))
        .collect();
    machine.sleep(Duration::from_secs_f64(time.min(LONGEST)));
    let mut all: Vec<(u64, Process<'_>)> = process::all(machine)
        .into_iter()
        .filter_map(|one| {
            let then = before
                .iter()
                .find(|(pid, started, _)| *pid == one.pid && *started == one.started());
            then.map(|(_, _, then)| (used(&one).saturating_sub(*then), one))
        })
        .collect();
    all.sort_by_key(|(grown, _)| std::cmp::Reverse(*grown));
    let boot = usage::boot_time(machine);
    let shown = all.iter().take(count).map(|(_, one)| {
        let words = one.words();
        let cmd: Value = if words.is_empty() {
            one.name().into()
        } else {
            words.into_iter().collect()
        };
        let times = one.cpu_ticks().map(|ticks| Value::from(seconds(ticks)));
        let memory = one.memory().map(Value::from);
        Map::from([
            ("cmd", cmd),
            ("user", one.username().into()),
            ("status", one.status().into()),
            ("pid", one.pid.into()),
            ("create_time", one.create_time(boot).into()),
            (
                "cpu",
                facts::CPU.into_iter().zip(times).collect::<Map>().into(),
            ),
            (
                "mem",
                facts::MEMORY
                    .into_iter()
                    .zip(memory)
                    .collect::<Map>()
                    .into(),
            ),
        ])
    });
    Ok(shown.collect())
}

/// A number as a float.
#[expect(clippy::cast_precision_loss, reason = "seconds")]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::UInt(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        _ => None,
    }
}
