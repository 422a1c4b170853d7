//! `service.*`: what runs, and what is started at boot.

use std::time::Duration;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "service.running",
        "running(name, enable=None, sig=None, init_delay=None, **kwargs)",
        "Makes sure that a service runs, and is or is not started at boot.",
        running,
    );
    registry.add_state(
        "service.dead",
        "dead(name, enable=None, sig=None, init_delay=None, **kwargs)",
        "Makes sure that a service does not run, and is or is not started at boot.",
        dead,
    );
    registry.add_state(
        "service.enabled",
        "enabled(name, **kwargs)",
        "Makes sure that a service is started at boot, whether or not it runs now.",
        |args, check| at_boot(args, check, true),
    );
    registry.add_state(
        "service.disabled",
        "disabled(name, **kwargs)",
        "Makes sure that a service is not started at boot, whether or not it runs now.",
        |args, check| at_boot(args, check, false),
    );
    registry.add_state(
        "service.masked",
        "masked(name, runtime=False)",
        "Makes sure that a service cannot be started.",
        |args, check| masked(args, check, true),
    );
    registry.add_state(
        "service.unmasked",
        "unmasked(name, runtime=False)",
        "Makes sure that a service can be started.",
        |args, check| masked(args, check, false),
    );
    registry.add_state(
        "service.mod_watch",
        "mod_watch(name, sfun=None, sig=None, reload=False, full_restart=False, init_delay=None, force=False, **kwargs)",
        "Restarts, reloads or stops a service because something it watches changed.",
        mod_watch,
    );
}

const OFFLINE: &str = "Running in OFFLINE mode. Nothing to do";

fn is_offline(check: &Check<'_>) -> bool {
    crate::functions::service::is_offline(check.system)
}

fn can_mask(check: &Check<'_>) -> bool {
    crate::functions::service::can_mask(check.system, check.minion)
}

fn asks(check: &Check<'_>, function: &str, args: &Args) -> Result<bool, CallError> {
    Ok(check.query(function, args)?.is_true())
}

fn now(context: &Context<'_>, function: &str, name: &str, sig: Option<&Value>) -> bool {
    let mut args = Args::new().with(name);
    if let Some(sig) = sig {
        args = args.keyword("sig", sig.clone());
    }
    context
        .registry
        .call(function, &args, context)
        .is_ok_and(|answer| answer.is_true())
}

/// What the functions of the service manager are told beside the name.
fn options(args: &Args) -> Vec<(&'static str, Value)> {
    ["no_block", "unmask", "unmask_runtime"]
        .into_iter()
        .filter_map(|key| Some((key, args.keywords().get(key)?.clone())))
        .collect()
}

fn call(
    context: &Context<'_>,
    function: &str,
    name: &str,
    options: &[(&'static str, Value)],
) -> Result<bool, CallError> {
    let takes = context.registry.signature(function);
    let mut args = Args::new().with(name);
    for (key, value) in options {
        if takes.is_some_and(|takes| takes.parameters().iter().any(|known| known.name == *key)) {
            args = args.keyword(key, value.clone());
        }
    }
    Ok(context.registry.call(function, &args, context)?.is_true())
}

/// What a service is told, and what is known of it.
struct Service {
    name: String,
    enable: Option<bool>,
    sig: Option<Value>,
    delay: Option<Value>,
    options: Vec<(&'static str, Value)>,
}

impl Service {
    fn new(args: &Args) -> Result<Self, CallError> {
        let enable = match args.given("enable") {
            Some(Value::Str(text)) => Some(text.eq_ignore_ascii_case("true")),
            Some(other) => Some(other.is_true()),
            None => None,
        };
        Ok(Self {
            name: args.text("name")?,
            enable,
            sig: args.given("sig").filter(|sig| sig.is_true()).cloned(),
            delay: args
                .given("init_delay")
                .filter(|delay| delay.is_true())
                .cloned(),
            options: options(args),
        })
    }

    fn args(&self) -> Args {
        Args::new().with(self.name.as_str())
    }

    fn is_available(&self, check: &Check<'_>) -> Result<bool, CallError> {
        asks(check, "service.available", &self.args())
    }

    fn runs(&self, check: &Check<'_>) -> Result<bool, CallError> {
        let mut args = self.args();
        if let Some(sig) = &self.sig {
            args = args.keyword("sig", sig.clone());
        }
        asks(check, "service.status", &args)
    }

    fn is_enabled(&self, check: &Check<'_>) -> Result<bool, CallError> {
        asks(check, "service.enabled", &self.args())
    }

    /// Whether it has to be enabled or disabled.
    fn boot_differs(&self, check: &Check<'_>) -> Result<bool, CallError> {
        match self.enable {
            None => Ok(false),
            Some(enable) => Ok(self.is_enabled(check)? != enable),
        }
    }

    /// Waits as long as was asked for, and says so.
    fn wait(&self, context: &Context<'_>, comment: &mut String) {
        let Some(delay) = &self.delay else {
            return;
        };
        let text = crate::python::str(delay);
        if let Ok(seconds) = text.parse::<f64>()
            && let Ok(time) = Duration::try_from_secs_f64(seconds)
        {
            context.system.sleep(time);
            comment.push_str(&format!(" Delayed return for {text} seconds"));
        }
    }
}

/// What masks a unit, and whether that will be undone.
fn unmasking(args: &Args, check: &Check<'_>, name: &str) -> Result<(String, String), CallError> {
    let (mut would, mut said) = (String::new(), String::new());
    if !can_mask(check) {
        return Ok((would, said));
    }
    for (key, runtime, word) in [
        ("unmask", false, "unmasked"),
        ("unmask_runtime", true, "runtime unmasked"),
    ] {
        if !args.keywords().get(key).is_some_and(Value::is_true) {
            continue;
        }
        let ask = Args::new().with(name).keyword("runtime", runtime);
        if asks(check, "service.masked", &ask)? {
            would.push_str(&format!("\nService {name} would be {word}"));
            said.push_str(&format!("\nService {name} was {word}"));
        } else {
            let already = format!("\nService {name} was already {word}");
            would.push_str(&already);
            said.push_str(&already);
        }
    }
    Ok((would, said))
}

/// How a service stands while it is enabled or disabled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It was as it should be.
    AsBefore,
    Running,
    Dead,
}

/// What happened to a service at boot time, and whether it went well.
struct Boot {
    comment: String,
    changes: Changes,
    result: bool,
}

/// Enables or disables a service, and says so in Salt's words.
fn set_boot(
    context: &Context<'_>,
    service: &Service,
    enable: bool,
    stands: Stands,
    result: bool,
) -> Boot {
    let name = &service.name;
    let word = if enable { "enabled" } else { "disabled" };
    let and = match stands {
        Stands::AsBefore => "and is in the desired state",
        Stands::Running => "and is running",
        Stands::Dead => "and is dead",
    };
    let changes = match stands {
        Stands::AsBefore => Changes::none(),
        _ if !result => Changes::none(),
        _ => Changes::of(name, stands == Stands::Running),
    };
    let is = |enable: bool| now(context, "service.enabled", name, None) == enable;
    if is(enable) {
        return Boot {
            comment: format!("Service {name} is already {word}, {and}"),
            changes,
            result,
        };
    }
    let function = if enable {
        "service.enable"
    } else {
        "service.disable"
    };
    let mut why = None;
    let done = match call(context, function, name, &service.options) {
        Ok(done) => done,
        Err(error) => {
            why = Some(error.to_string());
            false
        }
    };
    if done && is(enable) {
        return Boot {
            comment: format!("Service {name} has been {word}, {and}"),
            changes: Changes::of(name, true),
            result,
        };
    }
    let (to, but) = if enable {
        (
            "start at boot",
            match stands {
                Stands::AsBefore => ", but the service was already running",
                Stands::Running => ", but the service is running",
                Stands::Dead => ", and the service is dead",
            },
        )
    } else {
        (
            "not start at boot",
            match stands {
                Stands::AsBefore => ", but the service was already running",
                Stands::Running => ", and is running",
                Stands::Dead => ", and the service is dead",
            },
        )
    };
    let mut comment = format!("Failed when setting service {name} to {to}{but}");
    if let Some(why) = why {
        comment.push_str(&format!(". Additional information follows:\n\n{why}"));
    }
    Boot {
        comment,
        changes,
        result: false,
    }
}

fn running(args: &Args, check: &Check<'_>) -> Answer {
    if is_offline(check) {
        return Ok(Plan::unchanged(OFFLINE));
    }
    let service = Service::new(args)?;
    let name = service.name.clone();
    if !service.is_available(check)? {
        return Ok(
            Plan::fail(format!("The named service {name} is not available"))
                .when_testing(format!(
                    "Service {name} not present; if created in this state run, it would have \
                     been started"
                ))
                .test_result(None),
        );
    }
    let (would_unmask, unmasked) = unmasking(args, check, &name)?;
    if service.runs(check)? {
        return boot_of(service, check, "already running", &would_unmask, unmasked);
    }
    let comment = match service.enable {
        Some(enable) => {
            let word = if enable { "enabled" } else { "disabled" };
            if service.is_enabled(check)? == enable {
                format!("Service {name} is already {word}, and is running")
            } else {
                format!("Service {name} has been {word}, and is running")
            }
        }
        None => format!("Started service {name}"),
    };
    let would = format!("Service {name} is set to start{would_unmask}");
    let changes = Changes::of(&name, true);
    Ok(
        Plan::change(format!("{comment}{unmasked}"), changes, move |context| {
            start(context, &service, &unmasked)
        })
        .when_testing(would)
        .test_changes(Changes::none()),
    )
}

fn start(context: &Context<'_>, service: &Service, unmasked: &str) -> Result<Done, CallError> {
    let name = &service.name;
    let started = match call(context, "service.start", name, &service.options) {
        Ok(started) => started,
        Err(error @ (CallError::Execution(_) | CallError::CommandNotFound(_))) => {
            return Ok(Done::failed(error.to_string()));
        }
        Err(error) => return Err(error),
    };
    let mut ignored = String::new();
    service.wait(context, &mut ignored);
    let no_block = service
        .options
        .iter()
        .any(|(key, value)| *key == "no_block" && value.is_true());
    let runs = started && (no_block || now(context, "service.status", name, service.sig.as_ref()));
    let (stands, result) = if runs {
        (Stands::Running, true)
    } else {
        (Stands::Dead, false)
    };
    let mut boot = match service.enable {
        Some(enable) => set_boot(context, service, enable, stands, result),
        None if runs => Boot {
            comment: format!("Started service {name}"),
            changes: Changes::of(name, true),
            result,
        },
        None => Boot {
            comment: format!("Service {name} failed to start"),
            changes: Changes::none(),
            result,
        },
    };
    boot.comment.push_str(unmasked);
    boot.comment.push_str(&ignored);
    Ok(Done::with_comment(boot.comment)
        .changes(boot.changes)
        .result(boot.result))
}

/// A service that runs or does not as it should; perhaps it has to be enabled or disabled.
fn boot_of(
    service: Service,
    check: &Check<'_>,
    is: &str,
    would_unmask: &str,
    unmasked: String,
) -> Answer {
    let name = service.name.clone();
    let differs = service.boot_differs(check)?;
    let Some(enable) = service.enable.filter(|_| differs) else {
        return Ok(
            Plan::unchanged(format!("The service {name} is {is}{unmasked}"))
                .when_testing(format!("The service {name} is {is}{would_unmask}")),
        );
    };
    let word = if enable { "enabled" } else { "disabled" };
    let would = format!("Service {name} set to be {word}{would_unmask}");
    Ok(Plan::change(
        format!("Service {name} has been {word}, and is in the desired state{unmasked}"),
        Changes::of(&name, true),
        move |context| {
            let boot = set_boot(context, &service, enable, Stands::AsBefore, true);
            Ok(Done::with_comment(format!("{}{unmasked}", boot.comment))
                .changes(boot.changes)
                .result(boot.result))
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn dead(args: &Args, check: &Check<'_>) -> Answer {
    if is_offline(check) {
        return Ok(Plan::unchanged(OFFLINE));
    }
    let service = Service::new(args)?;
    let name = service.name.clone();
    if !service.is_available(check)? {
        return Ok(
            Plan::unchanged(format!("The named service {name} is not available"))
                .when_testing(format!(
                    "Service {name} not present; if created in this state run, it would have \
                     been stopped"
                ))
                .test_result(None),
        );
    }
    if !service.runs(check)? {
        return boot_of(service, check, "already dead", "", String::new());
    }
    let (comment, changes) = match service.enable {
        Some(enable) => {
            let word = if enable { "enabled" } else { "disabled" };
            let already = service.is_enabled(check)? == enable;
            let has = if already { "is already" } else { "has been" };
            (
                format!("Service {name} {has} {word}, and is dead"),
                Changes::of(&name, !already),
            )
        }
        None => (
            format!("Service {name} was killed"),
            Changes::of(&name, false),
        ),
    };
    let would = format!("Service {name} is set to be killed");
    Ok(
        Plan::change(comment, changes, move |context| stop(context, &service))
            .when_testing(would)
            .test_changes(Changes::none()),
    )
}

fn stop(context: &Context<'_>, service: &Service) -> Result<Done, CallError> {
    let name = &service.name;
    let stopped = match call(context, "service.stop", name, &service.options) {
        Ok(stopped) => stopped,
        Err(error @ (CallError::Execution(_) | CallError::CommandNotFound(_))) => {
            return Ok(Done::failed(error.to_string()));
        }
        Err(error) => return Err(error),
    };
    let mut delayed = String::new();
    service.wait(context, &mut delayed);
    let runs = now(context, "service.status", name, service.sig.as_ref());
    let result = stopped && !runs;
    let stands = if runs { Stands::Running } else { Stands::Dead };
    let mut boot = match service.enable {
        Some(enable) => set_boot(context, service, enable, stands, result),
        None if result => Boot {
            comment: format!("Service {name} was killed"),
            changes: Changes::of(name, false),
            result,
        },
        None => Boot {
            comment: format!("Service {name} failed to die"),
            changes: Changes::none(),
            result,
        },
    };
    boot.comment.push_str(&delayed);
    Ok(Done::with_comment(boot.comment)
        .changes(boot.changes)
        .result(boot.result))
}

fn at_boot(args: &Args, check: &Check<'_>, enable: bool) -> Answer {
    let mut service = Service::new(args)?;
    service.enable = Some(enable);
    let name = service.name.clone();
    let word = if enable { "enabled" } else { "disabled" };
    let is_available = match service.is_available(check) {
        Ok(is_available) => is_available,
        Err(error @ CallError::Execution(_)) => return Ok(Plan::fail(error.to_string())),
        Err(error) => return Err(error),
    };
    if !is_available {
        let text = format!("The named service {name} is not available");
        return Ok(if enable {
            Plan::fail(text)
                .when_testing(format!(
                    "Service {name} not present; if created in this state run, it would have \
                     been enabled"
                ))
                .test_result(None)
        } else {
            Plan::unchanged(text)
        });
    }
    if !service.boot_differs(check)? {
        return Ok(Plan::unchanged(format!(
            "Service {name} is already {word}, and is in the desired state"
        )));
    }
    let would = format!("Service {name} set to be {word}");
    Ok(Plan::change(
        format!("Service {name} has been {word}, and is in the desired state"),
        Changes::of(&name, true),
        move |context| {
            let boot = set_boot(context, &service, enable, Stands::AsBefore, true);
            Ok(Done::with_comment(boot.comment)
                .changes(boot.changes)
                .result(boot.result))
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn masked(args: &Args, check: &Check<'_>, mask: bool) -> Answer {
    if !can_mask(check) {
        return Ok(Plan::fail("Service masking not available on this minion"));
    }
    let (name, runtime) = (args.text("name")?, args.is_true("runtime"));
    let word = if runtime { "runtime masked" } else { "masked" };
    let undone = if runtime {
        "runtime unmasked"
    } else {
        "unmasked"
    };
    let ask = Args::new().with(name.as_str()).keyword("runtime", runtime);
    let is = asks(check, "service.masked", &ask)?;
    if is == mask {
        return Ok(Plan::unchanged(if mask {
            format!("Service {name} is already {word}")
        } else {
            format!("Service {name} was already {undone}")
        }));
    }
    let new = if mask { word } else { undone };
    let would = format!("Service {name} would be {new}");
    Ok(Plan::change(
        format!("Service {name} was {new}"),
        Changes::none().with(word, Map::from([("old", is), ("new", mask)])),
        move |context| {
            let function = if mask {
                "service.mask"
            } else {
                "service.unmask"
            };
            match context.registry.call(function, &ask, context) {
                Ok(_) => {}
                Err(error @ (CallError::Execution(_) | CallError::CommandNotFound(_))) => {
                    return Ok(Done::failed(error.to_string()));
                }
                Err(error) => return Err(error),
            }
            let now = context
                .registry
                .call("service.masked", &ask, context)?
                .is_true();
            if now == mask {
                return Ok(Done::as_planned());
            }
            // Salt does not call this a failure.
            let verb = if mask { "mask" } else { "unmask" };
            Ok(
                Done::with_comment(format!("Failed to {verb} service {name}"))
                    .changes(Changes::none()),
            )
        },
    )
    .when_testing(would))
}

fn mod_watch(args: &Args, check: &Check<'_>) -> Answer {
    let service = Service::new(args)?;
    let name = service.name.clone();
    let declared = args.optional_text("sfun").unwrap_or_default();
    let runs = service.runs(check)?;
    let (verb, past) = match declared.as_str() {
        "dead" if runs => ("stop", "stopped"),
        "dead" => return Ok(Plan::unchanged("Service is already stopped")),
        "running" if !runs => ("start", "started"),
        "running" if args.is_true("reload") && args.is_true("force") => {
            ("force_reload", "forcefully reloaded")
        }
        "running" if args.is_true("reload") => ("reload", "reloaded"),
        "running" if args.is_true("full_restart") => ("full_restart", "restarted"),
        "running" => ("restart", "restarted"),
        other => {
            return Ok(Plan::fail(format!(
                "Unable to trigger watch for service.{other}"
            )));
        }
    };
    let verb = if verb == "full_restart" && !check.has_function("service.full_restart") {
        "restart"
    } else {
        verb
    };
    let would = format!("Service is set to be {past}");
    Ok(Plan::change(
        format!("Service {past}"),
        Changes::of(&name, true),
        move |context| {
            if verb == "start" && now(context, "service.status", &name, service.sig.as_ref()) {
                call(context, "service.stop", &name, &service.options)?;
            }
            let done = match call(context, &format!("service.{verb}"), &name, &service.options) {
                Ok(done) => done,
                Err(error @ (CallError::Execution(_) | CallError::CommandNotFound(_))) => {
                    return Ok(Done::failed(error.to_string()));
                }
                Err(error) => return Err(error),
            };
            let mut comment = if done {
                format!("Service {past}")
            } else {
                format!("Failed to {} the service", verb.replace('_', " "))
            };
            service.wait(context, &mut comment);
            Ok(Done::with_comment(comment)
                .changes(Changes::of(&name, done))
                .result(done))
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
