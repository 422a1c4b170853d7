//! Finding processes by a pattern, and sending signals to them.

use salt_proto::{Map, Value};

use super::process::{self, Process};
use super::{Answer, no_order};
use crate::args::Args;
use crate::context::Context;
use crate::files::regex::{Flags, Pattern};
use crate::python;
use crate::registry::{CallError, Registry};

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "ps.pgrep",
        "pgrep(pattern, user=None, full=False, pattern_is_regex=False)",
        "The ids of the processes whose name, or with full whose command line, holds a\n\
         text; only a user's. Nothing when there is none.",
        |args, context| {
            let found = fitting(args, context)?;
            if found.is_empty() {
                return Ok(Value::Null);
            }
            Ok(found.iter().map(|one| one.pid).collect())
        },
    );
    add(
        "ps.pkill",
        "pkill(pattern, user=None, signal=15, full=False)",
        "Sends a signal to the processes whose name, or with full whose command line,\n\
         holds a text; only to a user's. The ids of those that got it.",
        |args, context| {
            let mut killed = Vec::new();
            for one in fitting(args, context)? {
                let signal = signal(args)?;
                if send(context, &one, signal)? {
                    killed.push(Value::from(one.pid));
                }
            }
            if killed.is_empty() {
                return Ok(Value::Null);
            }
            Ok(Map::from([("killed", Value::List(killed))]).into())
        },
    );
    add(
        "ps.kill_pid",
        "kill_pid(pid, signal=15)",
        "Sends a signal to a process; whether there is one of that id.",
        |args, context| match of_argument(args, context)? {
            Some(one) => Ok(send(context, &one, signal(args)?)?.into()),
            None => Ok(false.into()),
        },
    );
}

/// The process that the argument `pid` names, if there is one.
pub(super) fn of_argument<'a>(
    args: &Args,
    context: &Context<'a>,
) -> Result<Option<Process<'a>>, CallError> {
    match args.get("pid") {
        Some(Value::Int(pid)) if *pid < 0 => Err(CallError::exception(
            "ValueError",
            format!("pid must be a positive integer (got {pid})"),
        )),
        Some(Value::Int(pid)) => {
            let pid = u32::try_from(*pid).ok();
            Ok(pid.and_then(|pid| Process::of(context.system, pid)))
        }
        Some(Value::UInt(_)) => Ok(None),
        None | Some(Value::Null) => Ok(Process::of(context.system, context.system.identity().pid)),
        Some(other) => Err(no_order("<", other.type_name(), "int")),
    }
}

fn signal(args: &Args) -> Result<i32, CallError> {
    let given = args.get("signal").cloned().unwrap_or(Value::Int(15));
    let read = match &given {
        Value::Int(signal) => i32::try_from(*signal).ok(),
        Value::Str(text) => text.trim().parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| {
        let text = python::repr(&given);
        let text = format!("invalid literal for int() with base 10: {text}");
        CallError::exception("ValueError", text)
    })
}

/// Sends a signal; false when the process is gone.
fn send(context: &Context<'_>, to: &Process<'_>, signal: i32) -> Result<bool, CallError> {
    use std::io::ErrorKind;
    let gone = rustix::io::Errno::SRCH.raw_os_error();
    match context.system.signal(to.pid, signal) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(gone) => Ok(false),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let name = python::repr_str(&to.name());
            let text = format!("(pid={}, name={name})", to.pid);
            Err(CallError::exception("psutil.AccessDenied", text))
        }
        Err(error) => Err(CallError::exception(
            "OSError",
            crate::system::errno_text(&error, None),
        )),
    }
}

fn fitting<'a>(args: &Args, context: &Context<'a>) -> Result<Vec<Process<'a>>, CallError> {
    let wanted = args.get("pattern").cloned().unwrap_or_default();
    let regex = match args.is_true("pattern_is_regex") {
        true => Some(Pattern::new(&python::str(&wanted), Flags::default())?),
        false => None,
    };
    let user = args.get("user").filter(|user| user.is_true());
    let mut found = Vec::new();
    for one in process::all(context.system) {
        let text = if args.is_true("full") {
            one.words().join(" ")
        } else {
            one.name()
        };
        let fits = match (&regex, &wanted) {
            (Some(regex), _) => regex.is_match(&text)?,
            (None, Value::Str(part)) => text.contains(part.as_str()),
            (None, other) => {
                let kind = other.type_name();
                return Err(CallError::exception(
                    "TypeError",
                    format!("'in <string>' requires string as left operand, not {kind}"),
                ));
            }
        };
        if fits && user.is_none_or(|user| user.as_str() == Some(&one.username())) {
            found.push(one);
        }
    }
    Ok(found)
}
