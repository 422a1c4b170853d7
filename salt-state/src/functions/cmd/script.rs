//! Scripts from the state tree, and code in any language.

use std::path::Path;

use salt_proto::{Map, Value};

use super::{Request, put_script, shell, split_words};
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Command;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "cmd.script",
        "script(source, args=None, cwd=None, stdin=None, runas=None, group=None, shell=None, python_shell=None, env=None, template=None, umask=None, output_encoding=None, output_loglevel='debug', log_callback=None, hide_output=False, timeout=None, reset_system_locale=True, saltenv=None, use_vt=False, bg=False, password=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Fetches a script (salt://, or a path of this machine) and runs it; returns pid, retcode, stdout and stderr. Arguments as cmd.run.",
        |args, context| match script(args, context)? {
            Some(done) => Ok(done),
            None => Ok(Map::from([
                ("pid", Value::from(0)),
                ("retcode", 1.into()),
                ("stdout", "".into()),
                ("stderr", "".into()),
                ("cache_error", true.into()),
            ])
            .into()),
        },
    );
    registry.add(
        "cmd.script_retcode",
        "script_retcode(source, args=None, cwd=None, stdin=None, runas=None, group=None, shell=None, python_shell=None, env=None, template='jinja', umask=None, timeout=None, reset_system_locale=True, saltenv=None, output_encoding=None, output_loglevel='debug', log_callback=None, use_vt=False, password=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Fetches a script and runs it; returns its exit code. Arguments as cmd.script.",
        |args, context| {
            let done = script(args, context)?;
            Ok(done.and_then(|done| done.get("retcode").cloned()).unwrap_or_else(|| 1.into()))
        },
    );
    registry.add(
        "cmd.exec_code",
        "exec_code(lang, code, cwd=None, args=None, **kwargs)",
        "Runs code with an interpreter (`sh`, `python3`, …) and returns its standard output. Further arguments as cmd.run.",
        |args, context| {
            let done = exec_code(args, context)?;
            Ok(done.get("stdout").cloned().unwrap_or_default())
        },
    );
    registry.add(
        "cmd.exec_code_all",
        "exec_code_all(lang, code, cwd=None, args=None, **kwargs)",
        "Runs code with an interpreter; returns pid, retcode, stdout and stderr. Further arguments as cmd.run.",
        exec_code,
    );
}

/// Fetches, runs and removes a script; `None` when there is none.
fn script(args: &Args, context: &Context<'_>) -> Result<Option<Value>, CallError> {
    let source = args.text("source")?;
    let saltenv = args.optional_text("saltenv");
    let Some(content) = super::super::cp::content(&source, saltenv.as_deref(), context)? else {
        return Ok(None);
    };
    super::plain_template(args, &String::from_utf8_lossy(&content))?;
    let suffix = Path::new(&source)
        .extension()
        .map(|extension| format!(".{}", extension.to_string_lossy()))
        .unwrap_or_default();
    let cwd = args.optional_text("cwd");
    let runas = args.optional_text("runas");
    let path = put_script(
        &content,
        &suffix,
        cwd.as_deref().map(Path::new),
        runas.as_deref(),
        context,
    )?;
    let done = run_script(&path, args, context);
    let removed = context.system.remove(&path);
    let done = done?;
    removed.map_err(|error| CallError::execution(error.to_string()))?;
    Ok(Some(done))
}

fn run_script(path: &Path, args: &Args, context: &Context<'_>) -> Answer {
    let shell = shell(args, context);
    let mut line = format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    let mut command = Command::new(&shell).args(["-c"]);
    match args.given("args") {
        Some(Value::List(items)) => {
            // The words reach the script as they are, through the shell's own arguments.
            command = command.arg(format!("{line} \"$@\"")).arg(&shell);
            command = command.args(items.iter().map(python::str));
        }
        Some(text) => {
            line = format!("{line} {}", python::str(text));
            command = command.arg(&line);
        }
        None => command = command.arg(&line),
    }
    let request = Request::around(command, line, args, context)?;
    if args.is_true("bg") {
        let pid = context.system.start(&request.command);
        let pid = pid.map_err(|error| request.failure(&error))?;
        return Ok(Map::from([("pid", pid)]).into());
    }
    Ok(request.finish(context)?.all())
}

fn exec_code(args: &Args, context: &Context<'_>) -> Answer {
    let code = match args.get("code") {
        Some(Value::Str(code)) => code.clone(),
        Some(other) => {
            return Err(CallError::Arguments(format!(
                "expected str, bytes, or bytearray not <class '{}'>",
                other.type_name()
            )));
        }
        None => String::new(),
    };
    let mut all = args.clone();
    for (key, value) in args.keywords() {
        if let Some(key) = key.as_str() {
            all.named.insert(key, value.clone());
        }
    }
    let words = match args.given("args") {
        None => Vec::new(),
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(text) => split_words(&python::str(text))
            .ok_or_else(|| CallError::exception("ValueError", "No closing quotation"))?,
    };
    let runas = all.optional_text("runas");
    let path = put_script(code.as_bytes(), "", None, runas.as_deref(), context)?;
    let command = Command::new(args.text("lang")?)
        .arg(path.as_os_str())
        .args(words);
    let shown = super::words::shown_list(&command);
    let done =
        Request::around(command, shown, &all, context).and_then(|request| request.finish(context));
    let removed = context.system.remove(&path);
    let done = done?;
    removed.map_err(|error| CallError::execution(error.to_string()))?;
    Ok(done.all())
}
