//! `cmd.*`: running commands.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::files::encoding::decode_lossy;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, CommandError, Output, WriteOptions, errno_text};

mod chroot;
mod script;
mod words;

pub(crate) use words::split_words;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "cmd.run",
        "run(cmd, cwd=None, stdin=None, runas=None, group=None, shell=None, python_shell=None, env=None, clean_env=False, template=None, rstrip=True, umask=None, output_encoding=None, output_loglevel='debug', log_callback=None, hide_output=False, timeout=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, use_vt=False, redirect_stderr=True, bg=False, password=None, encoded_cmd=False, raise_err=False, prepend_path=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        RUN_DOC,
        run,
    );
    add(
        "cmd.run_all",
        "run_all(cmd, cwd=None, stdin=None, runas=None, group=None, shell=None, python_shell=None, env=None, clean_env=False, template=None, rstrip=True, umask=None, output_encoding=None, output_loglevel='debug', log_callback=None, hide_output=False, timeout=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, use_vt=False, redirect_stderr=False, password=None, encoded_cmd=False, prepend_path=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Runs a command; returns pid, retcode, stdout and stderr. Arguments as cmd.run.",
        |args, context| Ok(Request::new(args, context)?.finish(context)?.all()),
    );
    add(
        "cmd.run_stdout",
        "run_stdout(cmd, cwd=None, stdin=None, runas=None, group=None, shell=None, python_shell=None, env=None, clean_env=False, template=None, rstrip=True, umask=None, output_encoding=None, output_loglevel='debug', log_callback=None, hide_output=False, timeout=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, use_vt=False, password=None, prepend_path=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Runs a command; returns its standard output. Arguments as cmd.run.",
        |args, context| Ok(Request::new(args, context)?.finish(context)?.stdout.into()),
    );
    add(
        "cmd.run_stderr",
        "run_stderr(cmd, cwd=None, stdin=None, runas=None, group=None, shell=None, python_shell=None, env=None, clean_env=False, template=None, rstrip=True, umask=None, output_encoding=None, output_loglevel='debug', log_callback=None, hide_output=False, timeout=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, use_vt=False, password=None, prepend_path=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Runs a command; returns its standard error. Arguments as cmd.run.",
        |args, context| Ok(Request::new(args, context)?.finish(context)?.stderr.into()),
    );
    add(
        "cmd.retcode",
        "retcode(cmd, cwd=None, stdin=None, runas=None, group=None, shell=None, python_shell=None, env=None, clean_env=False, template=None, umask=None, output_encoding=None, output_loglevel='debug', log_callback=None, timeout=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, use_vt=False, password=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Runs a command; returns its exit code. Arguments as cmd.run.",
        |args, context| {
            let mut request = Request::new(args, context)?;
            request.command.merge_stderr = true;
            Ok(request.finish(context)?.retcode.into())
        },
    );
    add(
        "cmd.shell",
        "shell(cmd, cwd=None, stdin=None, runas=None, group=None, shell=None, env=None, clean_env=False, template=None, rstrip=True, umask=None, output_encoding=None, output_loglevel='debug', log_callback=None, hide_output=False, timeout=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, use_vt=False, bg=False, password=None, prepend_path=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Runs a line of the shell; returns its output. Arguments as cmd.run.",
        |args, context| {
            let mut args = args.clone();
            args.named.insert("python_shell", true);
            args.named.insert("redirect_stderr", true);
            run(&args, context)
        },
    );
    add(
        "cmd.run_bg",
        "run_bg(cmd, cwd=None, runas=None, group=None, shell=None, python_shell=None, env=None, clean_env=False, template=None, umask=None, timeout=None, output_encoding=None, output_loglevel='debug', log_callback=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, password=None, prepend_path=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Starts a command in the background; returns its pid. Arguments as cmd.run.",
        |args, context| {
            let request = Request::new(args, context)?;
            let pid = context.system.start(&request.command);
            let pid = pid.map_err(|error| request.failure(&error))?;
            Ok(Map::from([("pid", pid)]).into())
        },
    );
    chroot::register(registry);
    script::register(registry);
    words::register(registry);
}

const RUN_DOC: &str = "
    Runs a command and returns its output, standard error included.

    cmd: the command; a list is a program and its arguments
    cwd: where it runs; default: the home directory of the user it runs as
    runas, group: whom it runs as, with that user's groups
    python_shell: pass it to `shell`; default: only when a user typed it
    shell: default: the minion's $SHELL, else /bin/sh
    env: a mapping of variables, or a list of mappings; clean_env: nothing but those
    stdin: what it reads; `\\\\n` becomes a line break unless stdin_raw_newlines
    timeout: seconds, after which it and its children are ended
    umask: octal
    success_retcodes, success_stdout, success_stderr: what counts as success too
    ignore_retcode: a failure of the command is no failure of the job
    raise_err: a failure of the command is an error
    redirect_stderr, rstrip, hide_output, bg, prepend_path, reset_system_locale

    CLI Example:

        salt '*' cmd.run 'ls -l' cwd=/tmp
    ";

fn run(args: &Args, context: &Context<'_>) -> Answer {
    let mut request = Request::new(args, context)?;
    request.command.merge_stderr = args.is_true("redirect_stderr");
    if args.is_true("bg") {
        let started = context.system.start(&request.command);
        started.map_err(|error| request.failure(&error))?;
        return Ok("".into());
    }
    let raise = args.is_true("raise_err");
    let done = request.finish(context)?;
    if raise && done.retcode != 0 {
        return Err(CallError::Execution(done.stdout));
    }
    Ok(done.stdout.into())
}

/// A command as a user asks for it.
pub(super) struct Request {
    pub(super) command: Command,
    /// What a message calls it: the words as Python prints them, or the line.
    shown: String,
    /// It is a line that a shell reads.
    through_shell: bool,
    timeout: Value,
    strip: bool,
    hide: bool,
    ignore_retcode: bool,
    encoding: Option<String>,
    success_retcodes: Vec<i64>,
    success_stdout: Vec<String>,
    success_stderr: Vec<String>,
}

/// How it ended, as Salt shows it.
pub(super) struct Done {
    pub(super) pid: u32,
    pub(super) retcode: i64,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Done {
    pub(super) fn all(self) -> Value {
        Map::from([
            ("pid", Value::from(self.pid)),
            ("retcode", self.retcode.into()),
            ("stdout", self.stdout.into()),
            ("stderr", self.stderr.into()),
        ])
        .into()
    }
}

/// The variables that make programs speak plainly, set unless `env` sets them
/// (`reset_system_locale`).
const LOCALE: &[&str] = &[
    "LC_CTYPE",
    "LC_NUMERIC",
    "LC_TIME",
    "LC_COLLATE",
    "LC_MONETARY",
    "LC_MESSAGES",
    "LC_PAPER",
    "LC_NAME",
    "LC_ADDRESS",
    "LC_TELEPHONE",
    "LC_MEASUREMENT",
    "LC_IDENTIFICATION",
    "LANGUAGE",
];

impl Request {
    /// Reads the arguments that all of `cmd.*` share.
    pub(super) fn new(args: &Args, context: &Context<'_>) -> Result<Self, CallError> {
        let cmd = args.get("cmd").cloned().unwrap_or_default();
        plain_template(args, &python::str(&cmd))?;
        let shell = shell(args, context);
        // Whoever types a command expects a shell; a module that calls one does not.
        let typed = args.keywords().contains_key("__pub_jid")
            || context.minion.config.get("cmd_safe") == Some(&Value::Bool(false));
        let through_shell = match args.given("python_shell") {
            Some(stated) => stated.is_true(),
            None => typed,
        };
        if through_shell && context.system.which(&shell).is_none() {
            return Err(CallError::execution(format!(
                "The shell {shell} is not available"
            )));
        }
        let (words, shown) = command_words(&cmd, through_shell.then_some(shell.as_str()))?;
        let mut words = words.into_iter();
        let program = words
            .next()
            .ok_or_else(|| CallError::exception("IndexError", "list index out of range"))?;
        let command = Command::new(program).args(words);
        let mut request = Self::around(command, shown, args, context)?;
        request.through_shell = through_shell;
        Ok(request)
    }

    /// Adds everything but the command itself.
    pub(super) fn around(
        mut command: Command,
        shown: String,
        args: &Args,
        context: &Context<'_>,
    ) -> Result<Self, CallError> {
        run_as(&mut command, args, context)?;
        command.cwd = Some(directory(args, context)?);
        environment(&mut command, args, context);
        command.umask = umask(args)?;
        command.timeout = timeout(args)?;
        command.stdin = args.optional_text("stdin").map(|text| {
            let raw = args.is_true("stdin_raw_newlines");
            let text = if raw { text } else { text.replace("\\n", "\n") };
            text.into_bytes()
        });
        command.merge_stderr = args.is_true("redirect_stderr");
        Ok(Self {
            command,
            shown,
            through_shell: false,
            timeout: args.get("timeout").cloned().unwrap_or_default(),
            strip: args.get("rstrip").is_none_or(Value::is_true),
            hide: args.is_true("hide_output"),
            ignore_retcode: args.is_true("ignore_retcode"),
            encoding: args.optional_text("output_encoding"),
            success_retcodes: integers(args, "success_retcodes")?,
            success_stdout: texts(args, "success_stdout"),
            success_stderr: texts(args, "success_stderr"),
        })
    }

    /// Runs it, sets the job's return code and cuts the output to shape.
    pub(super) fn finish(self, context: &Context<'_>) -> Result<Done, CallError> {
        let words = std::iter::once(&self.command.program).chain(&self.command.args);
        let variables = self.command.env.iter();
        let variables = variables.flat_map(|(name, value)| [Some(name), value.as_ref()]);
        if words
            .chain(variables.flatten())
            .any(|word| word.as_encoded_bytes().contains(&0))
        {
            return Err(CallError::exception("ValueError", "embedded null byte"));
        }
        let output = match context.system.run(&self.command) {
            Ok(output) => output,
            Err(CommandError::TimedOut { output, .. }) => return Ok(self.timed_out(&output)),
            Err(error) => return Err(self.failure(&error)),
        };
        let text = |bytes: Vec<u8>| {
            let mut text = match &self.encoding {
                Some(encoding) => decode_lossy(&bytes, encoding)
                    .map_err(|text| CallError::exception("LookupError", text))?,
                None => crate::system::lossy(bytes),
            };
            if self.strip {
                text.truncate(text.trim_end().len());
            }
            Ok::<_, CallError>(text)
        };
        let (mut stdout, mut stderr) = (text(output.stdout)?, text(output.stderr)?);
        let mut retcode = i64::from(output.exit.code());
        if self.success_retcodes.contains(&retcode)
            || self
                .success_stdout
                .iter()
                .any(|good| stdout.contains(good.as_str()))
            || self
                .success_stderr
                .iter()
                .any(|good| stderr.contains(good.as_str()))
        {
            retcode = 0;
        }
        context.set_retcode(if self.ignore_retcode { 0 } else { retcode });
        if self.hide {
            stdout.clear();
            stderr.clear();
        }
        Ok(Done {
            pid: output.pid,
            retcode,
            stdout,
            stderr,
        })
    }

    fn timed_out(&self, output: &Output) -> Done {
        Done {
            pid: output.pid,
            retcode: 1,
            stdout: format!(
                "{} : Timed out after {} seconds",
                self.shown,
                python::str(&self.timeout)
            ),
            stderr: String::new(),
        }
    }

    /// Salt's text for a command that could not be started.
    pub(super) fn failure(&self, error: &CommandError) -> CallError {
        let command = &self.command;
        match error {
            CommandError::Start { program, source } => {
                let shell = python::repr(&Value::Bool(self.through_shell));
                let cwd = command.cwd.clone().unwrap_or_default();
                CallError::execution(format!(
                    "Unable to run command '{}' with the context '{{'cwd': '{}', 'shell': {shell}, \
                     'stdout': -1, 'stderr': {}, 'with_communicate': True, 'timeout': {}, 'bg': False, \
                     'close_fds': True}}', reason: {}",
                    self.shown,
                    cwd.display(),
                    if command.merge_stderr { -2 } else { -1 },
                    python::repr(&self.timeout),
                    errno_text(source, Some(Path::new(program))),
                ))
            }
            CommandError::UnknownUser(name) => unknown_user(name),
            CommandError::RunAs { user, source } => CallError::execution(format!(
                "Unable to run as {user}: {}",
                errno_text(source, None)
            )),
            other => CallError::execution(other.to_string()),
        }
    }
}

/// The words of a command, and how messages show it.
fn command_words(cmd: &Value, shell: Option<&str>) -> Result<(Vec<OsString>, String), CallError> {
    let plain = |words: &[String]| words.iter().map(OsString::from).collect::<Vec<_>>();
    match (cmd, shell) {
        (Value::List(items), None) => {
            let words: Vec<String> = items.iter().map(python::str).collect();
            Ok((plain(&words), python::repr(cmd)))
        }
        (Value::List(items), Some(shell)) => {
            // As `bash -c echo a b`: the further words are the script's own arguments.
            let mut words = vec![shell.to_owned(), "-c".to_owned()];
            words.extend(items.iter().map(python::str));
            Ok((plain(&words), python::repr(cmd)))
        }
        (Value::Str(line), None) => {
            let words = split_words(line)
                .ok_or_else(|| CallError::exception("ValueError", "No closing quotation"))?;
            let shown = words.iter().map(Value::from).collect::<Value>();
            Ok((plain(&words), python::repr(&shown)))
        }
        (other, None) => {
            let line = python::str(other);
            Ok((vec![OsString::from(&line)], line))
        }
        (other, Some(shell)) => {
            let line = python::str(other);
            Ok((
                plain(&[shell.to_owned(), "-c".to_owned(), line.clone()]),
                line,
            ))
        }
    }
}

/// The shell: the argument, else what the minion was started from, else `/bin/sh`.
pub(super) fn shell(args: &Args, context: &Context<'_>) -> String {
    args.optional_text("shell")
        .or_else(|| context.minion.grains.str("shell").map(str::to_owned))
        .or_else(|| {
            context
                .system
                .env("SHELL")
                .map(|shell| shell.to_string_lossy().into_owned())
        })
        .filter(|shell| !shell.is_empty())
        .unwrap_or_else(|| "/bin/sh".to_owned())
}

/// A template that has nothing to render is what it is; anything else needs a renderer
/// of text, which `cmd.*` does not have.
pub(super) fn plain_template(args: &Args, text: &str) -> Result<(), CallError> {
    match args.optional_text("template").as_deref() {
        None | Some("") => Ok(()),
        Some("jinja") if !["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) => Ok(()),
        Some("jinja") => Err(CallError::execution(
            "template=jinja is not supported here: render the text in a state, or with slsutil.renderer",
        )),
        Some(engine) => Err(CallError::execution(format!(
            "Attempted to render file paths with unavailable engine {engine}"
        ))),
    }
}

fn unknown_user(name: &str) -> CallError {
    CallError::execution(format!("User '{name}' is not available"))
}

fn run_as(command: &mut Command, args: &Args, context: &Context<'_>) -> Result<(), CallError> {
    if let Some(Value::Int(_)) = args.given("runas") {
        return Err(CallError::exception(
            "TypeError",
            "getpwnam() argument must be str, not int",
        ));
    }
    if let Some(name) = args.optional_text("runas") {
        let user = context.system.user(&name).ok().flatten();
        let user = user.ok_or_else(|| unknown_user(&name))?;
        for (variable, value) in [
            ("HOME", user.home.into_os_string()),
            ("SHELL", user.shell.into()),
            ("USER", name.as_str().into()),
            ("LOGNAME", name.as_str().into()),
        ] {
            command.env.push((variable.into(), Some(value)));
        }
        command.user = Some(name);
    }
    if let Some(name) = args.optional_text("group") {
        if context.system.group(&name).ok().flatten().is_none() {
            return Err(CallError::execution(format!(
                "Group '{name}' is not available"
            )));
        }
        command.group = Some(name);
    }
    Ok(())
}

/// Where it runs: `cwd`, else the user's home, else `/` when there is no such directory.
fn directory(args: &Args, context: &Context<'_>) -> Result<PathBuf, CallError> {
    if let Some(cwd) = args.optional_text("cwd").filter(|cwd| !cwd.is_empty()) {
        let path = PathBuf::from(&cwd);
        if !path.is_absolute() || !context.system.is_dir(&path) {
            return Err(CallError::execution(format!(
                "Specified cwd '{cwd}' either not absolute or does not exist"
            )));
        }
        return Ok(path);
    }
    let name = args.optional_text("runas");
    let user = match &name {
        Some(name) => context.system.user(name),
        None => context.system.user_by_id(context.system.identity().uid),
    };
    let home = user.ok().flatten().map(|user| user.home);
    Ok(home
        .filter(|home| home.is_absolute() && context.system.is_dir(home))
        .unwrap_or_else(|| PathBuf::from("/")))
}

fn environment(command: &mut Command, args: &Args, context: &Context<'_>) {
    let mut wanted = Map::new();
    match args.given("env") {
        Some(Value::Map(map)) => wanted = map.clone(),
        Some(Value::List(items)) => {
            for map in items.iter().filter_map(Value::as_map) {
                wanted.extend(map.clone());
            }
        }
        // Salt logs a complaint and goes on without.
        _ => {}
    }
    if args.get("reset_system_locale").is_none_or(Value::is_true) {
        for name in LOCALE {
            if !wanted.contains_key(name) {
                command.env.push(((*name).into(), Some("C".into())));
            }
        }
    }
    if let Some(first) = args.optional_text("prepend_path") {
        let path = match wanted.get("PATH") {
            Some(path) => python::str(path),
            None => context
                .system
                .env("PATH")
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        };
        wanted.insert("PATH", format!("{first}:{path}"));
    }
    for (name, value) in &wanted {
        let value = match value {
            Value::Null => String::new(),
            value => python::str(value),
        };
        command
            .env
            .push((python::str(name).into(), Some(value.into())));
    }
    command.clear_env = args.is_true("clean_env");
}

fn umask(args: &Args) -> Result<Option<u32>, CallError> {
    let Some(text) = args.optional_text("umask") else {
        return Ok(None);
    };
    let digits = text.strip_prefix("0o").unwrap_or(&text);
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if mask <= 0o777 => Ok(Some(mask)),
        _ => Err(CallError::execution(format!(
            "Invalid umask: {}",
            python::repr_str(&text)
        ))),
    }
}

fn timeout(args: &Args) -> Result<Option<Duration>, CallError> {
    let Some(value) = args.given("timeout") else {
        return Ok(None);
    };
    let text = python::str(value);
    let seconds = text.trim().parse::<f64>().ok();
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(Some)
        .ok_or_else(|| {
            CallError::exception(
                "TimedProcTimeoutError",
                format!("Error: timeout {text} must be a number"),
            )
        })
}

/// A list of integers: a list, one, or text with commas.
fn integers(args: &Args, name: &str) -> Result<Vec<i64>, CallError> {
    let all: Vec<Value> = match args.given(name) {
        None => return Ok(Vec::new()),
        Some(Value::List(items)) => items.clone(),
        Some(Value::Str(text)) => text.split(',').map(|part| part.trim().into()).collect(),
        Some(one) => vec![one.clone()],
    };
    all.iter()
        .map(|one| python::str(one).trim().parse().ok())
        .collect::<Option<_>>()
        .ok_or_else(|| CallError::invocation(format!("{name} must be a list of integers")))
}

/// A list of texts: a list, or text with commas.
fn texts(args: &Args, name: &str) -> Vec<String> {
    match args.given(name) {
        None => Vec::new(),
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(one) => python::str(one).split(',').map(str::to_owned).collect(),
    }
}

/// Puts a script where the user it runs as can run it, and says where.
fn put_script(
    content: &[u8],
    suffix: &str,
    cwd: Option<&Path>,
    runas: Option<&str>,
    context: &Context<'_>,
) -> Result<PathBuf, CallError> {
    let mut salt = [0; 6];
    context.system.random(&mut salt);
    let salt: String = salt.iter().map(|byte| format!("{byte:02x}")).collect();
    let directory = match cwd {
        Some(cwd) => cwd.to_owned(),
        None => context
            .system
            .env("TMPDIR")
            .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from),
    };
    let path = directory.join(format!("__salt.tmp.{salt}{suffix}"));
    let mut options = WriteOptions::new().mode(0o500);
    if let Some(name) = runas {
        let user = context.system.user(name).ok().flatten();
        let user = user.ok_or_else(|| unknown_user(name))?;
        options = options.owner(user.uid, user.gid);
    }
    context
        .system
        .write(&path, content, &options)
        .map_err(|error| {
            CallError::exception("FileNotFoundError", errno_text(&error, Some(&path)))
        })?;
    Ok(path)
}
