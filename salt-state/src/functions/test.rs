//! `test.*`: is anybody there, and do arguments arrive.

use std::time::{Duration, Instant};

use salt_proto::{Map, Value};
use sha2::Digest;

use crate::args::Args;
use crate::context::Context;
use crate::grains::{VERSION, salt_release};
use crate::python;
use crate::registry::{CallError, Registry};

/// The longest wait a function accepts: a year.
const LONGEST: i64 = 366 * 86_400;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "test.ping",
        "ping()",
        "Says that the minion is up and answering. Not an ICMP ping.",
        |_, _| Ok(true.into()),
    );
    add(
        "test.deprecation_warning",
        "deprecation_warning()",
        "Returns true; warnings about what will go are for Python's modules.",
        |_, _| Ok(true.into()),
    );
    add("test.true", "true_()", "Returns true.", |_, _| {
        Ok(true.into())
    });
    add("test.false", "false_()", "Returns false.", |_, _| {
        Ok(false.into())
    });
    add(
        "test.echo",
        "echo(text)",
        "Returns its argument.",
        |args, _| Ok(args.get("text").cloned().unwrap_or_default()),
    );
    add(
        "test.arg",
        "arg(*args, **kwargs)",
        "Returns its arguments, those that Salt adds about the job too.",
        |args, _| Ok(arguments(args.positional(), args.keywords())),
    );
    add(
        "test.arg_clean",
        "arg_clean(*args, **kwargs)",
        "Returns its arguments without those that Salt adds.",
        |args, _| Ok(arguments(args.positional(), &args.clean_keywords())),
    );
    add(
        "test.arg_repr",
        "arg_repr(*args, **kwargs)",
        "Returns its arguments as Python would print them.",
        arg_repr,
    );
    add(
        "test.arg_type",
        "arg_type(*args, **kwargs)",
        "Returns the types of its arguments as Python names them.",
        arg_type,
    );
    add(
        "test.kwarg",
        "kwarg(**kwargs)",
        "Returns its keyword arguments, those that Salt adds about the job too.",
        |args, _| Ok(args.keywords().clone().into()),
    );
    add(
        "test.sleep",
        "sleep(length)",
        "Waits that many seconds.",
        |args, context| sleep(args.int("length")?, context),
    );
    add(
        "test.rand_sleep",
        "rand_sleep(max=60)",
        "Waits a random number of seconds up to `max`.",
        |args, context| sleep(random_below(args.int("max")?, context), context),
    );
    add(
        "test.rand_str",
        "rand_str(size=9999999999, hash_type=None)",
        "The older name of test.random_hash.",
        random_hash,
    );
    add(
        "test.random_hash",
        "random_hash(size=9999999999, hash_type=None)",
        "Returns the hash of a random number between 1 and `size`.",
        random_hash,
    );
    add(
        "test.version",
        "version()",
        "Returns the release of Salt that this minion follows.",
        |_, context| Ok(salt_release(&context.minion.config).into()),
    );
    add(
        "test.versions_information",
        "versions_information()",
        "Returns the versions of this program and of the system.",
        |_, context| Ok(versions(context).into()),
    );
    for name in ["test.versions_report", "test.versions"] {
        add(
            name,
            "versions_report()",
            "Returns the versions of this program and of the system as text.",
            |_, context| Ok(versions_report(context).into()),
        );
    }
    add(
        "test.fib",
        "fib(num)",
        "Returns the given Fibonacci number and how long it took in seconds.",
        fib,
    );
    add(
        "test.collatz",
        "collatz(start)",
        "Follows the Collatz sequence down from `start`; also says how long it took in seconds.",
        collatz,
    );
    add(
        "test.exception",
        "exception(message='Test Exception')",
        "Fails with an exception.",
        |args, _| Err(CallError::exception("Exception", args.text("message")?)),
    );
    add(
        "test.raise_exception",
        "raise_exception(name, *args, **kwargs)",
        "Fails with an exception of the given name: a built-in one of Python or one of Salt's.",
        raise_exception,
    );
    add(
        "test.retcode",
        "retcode(code=42)",
        "Returns true with this return code.",
        |args, context| {
            context.set_retcode(args.int("code")?);
            Ok(true.into())
        },
    );
    add(
        "test.outputter",
        "outputter(data)",
        "Returns its argument, to try outputters with.",
        |args, _| Ok(args.get("data").cloned().unwrap_or_default()),
    );
    add(
        "test.try",
        "try_(module, return_try_exception=False, **kwargs)",
        "Calls a function and returns nothing where it fails, or the failure.",
        try_call,
    );
    add(
        "test.cross_test",
        "cross_test(func, args=None)",
        "Calls another function with a list of arguments.",
        |args, context| {
            let list = match args.given("args") {
                Some(Value::List(items)) => items.clone(),
                _ => Vec::new(),
            };
            let call = list.into_iter().fold(Args::new(), Args::with);
            context.registry.call(args.str("func")?, &call, context)
        },
    );
    add(
        "test.assertion",
        "assertion(assertion)",
        "Fails when its argument is false.",
        |args, _| {
            if args.is_true("assertion") {
                Ok(Value::Null)
            } else {
                Err(CallError::exception("AssertionError", ""))
            }
        },
    );
    add(
        "test.not_loaded",
        "not_loaded()",
        "Lists modules that could not be loaded; here there are none.",
        |_, _| Ok(Value::List(Vec::new())),
    );
    add(
        "test.providers",
        "providers()",
        "Returns the modules and the names they answer to.",
        |_, context| {
            let all = super::modules(context.registry);
            Ok(all
                .into_iter()
                .map(|name| (name.clone(), name))
                .collect::<Map>()
                .into())
        },
    );
    add(
        "test.provider",
        "provider(module)",
        "Returns what provides a module, nothing when it is not there.",
        |args, context| {
            let module = args.text("module")?;
            let known = super::modules(context.registry).contains(&module);
            Ok(if known { module.into() } else { "".into() })
        },
    );
    add(
        "test.conf_test",
        "conf_test()",
        "Returns the setting test.foo, or `unconfigured`.",
        |_, context| {
            let setting = context.minion.config.get("test.foo");
            Ok(setting.cloned().unwrap_or_else(|| "unconfigured".into()))
        },
    );
    add(
        "test.get_opts",
        "get_opts()",
        "Returns the configuration of this minion.",
        |_, context| Ok(context.minion.config.clone().into()),
    );
    add(
        "test.opts_pkg",
        "opts_pkg()",
        "Returns the configuration of this minion with its grains.",
        |_, context| {
            let mut all = context.minion.config.clone();
            all.insert("grains", Map::from(context.minion.grains.clone()));
            Ok(all.into())
        },
    );
    add(
        "test.attr_call",
        "attr_call()",
        "Returns the grains, through a call of another function.",
        |_, context| context.registry.call("grains.items", &Args::new(), context),
    );
    add(
        "test.tty",
        "tty(*args, **kwargs)",
        "Moved to cmd.tty.",
        |_, _| Ok("ERROR: This function has been moved to cmd.tty".into()),
    );
    registry.outputter("test.outputter", "txt");
    for name in ["test.versions_report", "test.versions"] {
        registry.outputter(name, "txt");
    }
}

fn arguments(positional: &[Value], keywords: &Map) -> Value {
    Map::from([
        ("args", Value::List(positional.to_vec())),
        ("kwargs", keywords.clone().into()),
    ])
    .into()
}

fn arg_repr(args: &Args, _: &Context<'_>) -> Answer {
    let inside: Vec<String> = args.positional().iter().map(python::repr).collect();
    // A tuple of one has a comma.
    let comma = if inside.len() == 1 { "," } else { "" };
    Ok(Map::from([
        ("args", format!("({}{comma})", inside.join(", "))),
        ("kwargs", python::repr(&args.keywords().clone().into())),
    ])
    .into())
}

fn arg_type(args: &Args, _: &Context<'_>) -> Answer {
    let class = |value: &Value| Value::from(format!("<class '{}'>", value.type_name()));
    let keywords: Map = args
        .keywords()
        .iter()
        .map(|(key, value)| (key.clone(), class(value)))
        .collect();
    let types: Vec<Value> = args.positional().iter().map(class).collect();
    Ok(arguments(&types, &keywords))
}

fn sleep(seconds: i64, context: &Context<'_>) -> Answer {
    let Some(seconds) = u64::try_from(seconds).ok().filter(|_| seconds <= LONGEST) else {
        let text = "sleep length must be non-negative";
        return Err(CallError::exception("ValueError", text));
    };
    context.system.sleep(Duration::from_secs(seconds));
    Ok(true.into())
}

/// A number from 0 to `most`.
pub(super) fn random_below(most: i64, context: &Context<'_>) -> i64 {
    let mut bytes = [0; 8];
    context.system.random(&mut bytes);
    let span = most.max(0).unsigned_abs().saturating_add(1);
    i64::try_from(u64::from_ne_bytes(bytes) % span).unwrap_or(0)
}

fn random_hash(args: &Args, context: &Context<'_>) -> Answer {
    let size = args.int("size")?.max(1);
    let number = 1 + random_below(size - 1, context);
    let kind = args
        .optional_text("hash_type")
        .or_else(|| context.setting("hash_type").map(str::to_owned))
        .unwrap_or_else(|| "sha256".to_owned());
    hash(&kind, number.to_string().as_bytes()).map(Value::from)
}

/// A digest in hex by its Python name.
pub(crate) fn hash(kind: &str, bytes: &[u8]) -> Result<String, CallError> {
    let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(match kind {
        "sha1" => hex(&sha1::Sha1::digest(bytes)),
        "sha224" => hex(&sha2::Sha224::digest(bytes)),
        "sha256" => hex(&sha2::Sha256::digest(bytes)),
        "sha384" => hex(&sha2::Sha384::digest(bytes)),
        "sha512" => hex(&sha2::Sha512::digest(bytes)),
        "md5" => hex(&md5::Md5::digest(bytes)),
        _ => {
            let text = format!("module 'hashlib' has no attribute '{kind}'");
            return Err(CallError::exception("AttributeError", text));
        }
    })
}

fn versions(context: &Context<'_>) -> Map {
    let kernel = context.system.kernel();
    let grain = |name: &str| {
        context
            .minion
            .grains
            .get(name)
            .map(python::str)
            .unwrap_or_default()
    };
    let system: Map = Map::from([
        (
            "dist",
            [
                grain("os").to_lowercase(),
                grain("osrelease"),
                grain("oscodename"),
            ]
            .join(" ")
            .trim()
            .to_owned(),
        ),
        ("machine", kernel.machine.clone()),
        ("release", kernel.release),
        ("system", kernel.name),
        (
            "version",
            [grain("osfullname"), grain("osrelease"), grain("oscodename")]
                .join(" ")
                .trim()
                .to_owned(),
        ),
    ]);
    Map::from([
        (
            "Salt Version",
            Map::from([
                ("Salt", salt_release(&context.minion.config)),
                ("salt-rs", VERSION.to_owned()),
            ]),
        ),
        ("System Versions", system),
    ])
}

/// The versions with their names right-aligned in the longest one's width.
fn versions_report(context: &Context<'_>) -> String {
    let versions = versions(context);
    let width = versions
        .values()
        .filter_map(Value::as_map)
        .flat_map(Map::keys)
        .map(|name| python::str(name).len())
        .max()
        .unwrap_or(0)
        + 6;
    let mut lines = Vec::new();
    for (title, group) in &versions {
        lines.push(format!("{}:", python::str(title)));
        for (name, version) in group.as_map().into_iter().flatten() {
            lines.push(format!(
                "{:>width$}: {}",
                python::str(name),
                python::str(version)
            ));
        }
        lines.push(" ".to_owned());
    }
    lines.pop();
    lines.join("\n")
}

fn fib(args: &Args, _: &Context<'_>) -> Answer {
    let n = args.int("num")?;
    if n < 0 {
        return Err(CallError::exception(
            "ValueError",
            "Negative number is not allowed!",
        ));
    }
    let begun = Instant::now();
    let (mut a, mut b) = (0_u64, 1_u64);
    for _ in 0..n {
        let next = a.checked_add(b);
        let Some(next) = next else {
            let text = "Python int too large to convert to a 64-bit integer";
            return Err(CallError::exception("OverflowError", text));
        };
        (a, b) = (b, next);
    }
    Ok([Value::from(a), begun.elapsed().as_secs_f64().into()]
        .into_iter()
        .collect())
}

fn collatz(args: &Args, _: &Context<'_>) -> Answer {
    let start = args.int("start")?;
    if start < 1 {
        // The sequence never reaches one from here.
        let text = "start must be at least 1";
        return Err(CallError::exception("ValueError", text));
    }
    let begun = Instant::now();
    let mut here = u128::from(start.unsigned_abs());
    // Python's division makes a float, and what is computed from a float is one.
    let mut halved = false;
    let mut steps = Vec::new();
    while here != 1 {
        #[expect(clippy::cast_precision_loss, reason = "as in Python")]
        steps.push(match i64::try_from(here) {
            Ok(n) if !halved => Value::Int(n),
            _ => Value::Float(here as f64),
        });
        if here % 2 == 0 {
            here /= 2;
            halved = true;
        } else {
            here = here.saturating_mul(3).saturating_add(1);
        }
    }
    Ok([Value::List(steps), begun.elapsed().as_secs_f64().into()]
        .into_iter()
        .collect())
}

/// The exceptions of Python that a user may want to see raised.
const BUILTIN: &[&str] = &[
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BufferError",
    "EOFError",
    "Exception",
    "FileExistsError",
    "FileNotFoundError",
    "ImportError",
    "IndexError",
    "KeyError",
    "LookupError",
    "MemoryError",
    "NameError",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "PermissionError",
    "RuntimeError",
    "SyntaxError",
    "SystemError",
    "TimeoutError",
    "TypeError",
    "UnicodeError",
    "ValueError",
    "ZeroDivisionError",
];

fn raise_exception(args: &Args, _: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let text = match args.positional() {
        [] => String::new(),
        // A KeyError shows its key as Python prints it.
        [one] if name == "KeyError" => python::repr(one),
        [one] => python::str(one),
        [Value::Int(code), text] if name == "OSError" => {
            format!("[Errno {code}] {}", python::str(text))
        }
        many => format!(
            "({})",
            many.iter().map(python::repr).collect::<Vec<_>>().join(", ")
        ),
    };
    let salts = name.strip_prefix("salt.exceptions.");
    Err(match salts.unwrap_or(&name) {
        "CommandExecutionError" if salts.is_some() => CallError::Execution(text),
        "SaltInvocationError" if salts.is_some() => CallError::Invocation(text),
        "CommandNotFoundError" if salts.is_some() => CallError::CommandNotFound(text),
        "TypeError" => CallError::Arguments(text),
        _ if salts.is_some() || BUILTIN.contains(&name.as_str()) => {
            CallError::exception(name, text)
        }
        _ => return Ok(false.into()),
    })
}

fn try_call(args: &Args, context: &Context<'_>) -> Answer {
    let module = args.str("module")?;
    let call = args
        .clean_keywords()
        .iter()
        .filter_map(|(key, value)| Some((key.as_str()?, value.clone())))
        .fold(Args::new(), |call, (key, value)| call.keyword(key, value));
    match context.registry.call(module, &call, context) {
        Ok(value) => Ok(value),
        Err(error) if args.is_true("return_try_exception") => {
            let text = python::repr_str(&error.to_string());
            let kind = match &error {
                CallError::Exception { kind, .. } | CallError::Raised { kind, .. } => kind.as_str(),
                CallError::Arguments(_) => "TypeError",
                CallError::Invocation(_) => "SaltInvocationError",
                CallError::Unavailable(_) | CallError::Foreign { .. } => "KeyError",
                CallError::CommandNotFound(_) => "CommandNotFoundError",
                _ => "CommandExecutionError",
            };
            Ok(format!("{kind}({text})").into())
        }
        Err(_) => Ok(Value::Null),
    }
}
