//! `loop.*`: a function called until it returns what is expected.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "loop.until",
        "until(name, m_args=None, m_kwargs=None, condition=None, period=1, timeout=60)",
        "Calls a function until an expression of Python holds, which is not done here: the\n\
         state fails and names loop.until_no_eval.",
        until,
    );
    registry.add_state(
        "loop.until_no_eval",
        "until_no_eval(name, expected, compare_operator='eq', timeout=60, period=1, init_wait=0, args=None, kwargs=None)",
        "Calls a function until it returns what is expected, for timeout seconds, with\n\
         period seconds in between.",
        until_no_eval,
    );
}

fn until(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if !check.has_function(&name) {
        return Ok(Plan::fail(format!("Cannot find module {name}")));
    }
    let Some(condition) = args.optional_text("condition").filter(|it| !it.is_empty()) else {
        return Ok(Plan::fail("An exit condition must be specified"));
    };
    Ok(Plan::fail(format!(
        "The condition {condition} is Python, which is not evaluated here; use loop.until_no_eval"
    ))
    .when_testing(format!("The execution module {name} will be run"))
    .test_result(None))
}

/// How a result is compared with what is expected.
#[derive(Clone)]
enum Comparison {
    /// As a function of Python's module `operator`.
    Operator(&'static str),
    /// As an execution function says that gets both.
    Function(String),
}

const OPERATORS: [&str; 9] = [
    "eq", "ne", "lt", "le", "gt", "ge", "contains", "is_", "is_not",
];

impl Comparison {
    fn named(name: &str, context: &Context<'_>) -> Option<Self> {
        if context.registry.contains(name) {
            return Some(Self::Function(name.to_owned()));
        }
        let known = OPERATORS.iter().find(|known| **known == name)?;
        Some(Self::Operator(known))
    }

    fn holds(
        &self,
        got: &Value,
        expected: &Value,
        context: &Context<'_>,
    ) -> Result<bool, CallError> {
        let name = match self {
            Self::Function(name) => {
                let args = Args::new().with(got.clone()).with(expected.clone());
                return Ok(context.registry.call(name, &args, context)?.is_true());
            }
            Self::Operator(name) => *name,
        };
        let same_kind = got.type_name() == expected.type_name();
        Ok(match name {
            "eq" => got == expected,
            "ne" => got != expected,
            "is_" => same_kind && got == expected,
            "is_not" => !(same_kind && got == expected),
            "contains" => contained(got, expected)?,
            "lt" => ordered(got, expected, "<")? == Ordering::Less,
            "le" => ordered(got, expected, "<=")? != Ordering::Greater,
            "gt" => ordered(got, expected, ">")? == Ordering::Greater,
            _ => ordered(got, expected, ">=")? != Ordering::Less,
        })
    }
}

fn contained(all: &Value, one: &Value) -> Result<bool, CallError> {
    Ok(match (all, one) {
        (Value::List(all), one) => all.contains(one),
        (Value::Map(all), one) => all.keys().any(|key| key == one),
        (Value::Str(all), Value::Str(one)) => all.contains(one.as_str()),
        (Value::Str(_), other) => {
            return Err(CallError::exception(
                "TypeError",
                format!(
                    "'in <string>' requires string as left operand, not {}",
                    other.type_name()
                ),
            ));
        }
        (other, _) => {
            return Err(CallError::exception(
                "TypeError",
                format!("argument of type '{}' is not iterable", other.type_name()),
            ));
        }
    })
}

/// Numbers and texts have an order among themselves.
fn ordered(one: &Value, other: &Value, sign: &str) -> Result<Ordering, CallError> {
    #[expect(clippy::cast_precision_loss, reason = "only the order is asked for")]
    let number = |value: &Value| match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Int(number) => Some(*number as f64),
        Value::UInt(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    let found = match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Str(one), Value::Str(other)) => Some(one.cmp(other)),
        (one, other) => number(one)
            .zip(number(other))
            .and_then(|(one, other)| one.partial_cmp(&other)),
    };
    found.ok_or_else(|| {
        CallError::exception(
            "TypeError",
            format!(
                "'{sign}' not supported between instances of '{}' and '{}'",
                one.type_name(),
                other.type_name()
            ),
        )
    })
}

/// A time in seconds; `None` when it is none.
fn seconds(args: &Args, key: &str) -> Option<Duration> {
    let value = args.get(key)?;
    let number = match value {
        Value::Map(_) | Value::List(_) | Value::Null => return None,
        other => python::str(other).trim().parse::<f64>().ok()?,
    };
    Some(Duration::try_from_secs_f64(number).unwrap_or_default())
}

struct Wait {
    name: String,
    call: Args,
    expected: Value,
    comparison: Comparison,
    timeout: Duration,
    period: Duration,
    first: Duration,
}

impl Wait {
    /// Calls until it is so or the time is over; how often, and whether it is so. What the
    /// clock of the machine says counts, and what was slept where it stands still.
    fn run(&self, context: &Context<'_>) -> Result<(u64, bool), CallError> {
        let machine = context.system;
        if !self.first.is_zero() {
            machine.sleep(self.first);
        }
        let began = Instant::now();
        let (mut attempts, mut slept) = (0, Duration::ZERO);
        while slept.max(began.elapsed()) < self.timeout && machine.interrupted().is_none() {
            attempts += 1;
            let got = match context.registry.call(&self.name, &self.call, context) {
                Ok(got) => got,
                Err(error) => return Err(self.failed(&error)),
            };
            if self.comparison.holds(&got, &self.expected, context)? {
                return Ok((attempts, true));
            }
            let pause = self.period.max(Duration::from_millis(1));
            machine.sleep(pause);
            slept += pause;
        }
        Ok((attempts, false))
    }

    fn failed(&self, error: &CallError) -> CallError {
        let whole = error.traceback();
        let last = whole.trim_end().lines().last().unwrap_or_default();
        let kind = last.split(':').next().unwrap_or_default();
        CallError::execution(format!(
            "Exception occurred while executing {}: <class '{kind}'>:{error}",
            self.name
        ))
    }
}

fn until_no_eval(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let expected = args.get("expected").cloned().unwrap_or_default();
    let would = format!(
        "Would have waited for \"{name}\" to produce \"{}\".",
        python::str(&expected)
    );
    let settled = |text: String| {
        Ok(Plan::fail(text)
            .when_testing(would.clone())
            .test_result(None))
    };
    if !check.has_function(&name) {
        return settled(format!("Module.function \"{name}\" is unavailable."));
    }
    let operator = args.text("compare_operator")?;
    let Some(comparison) = Comparison::named(&operator, check.context) else {
        return settled(format!("Invalid operator \"{operator}\" supplied."));
    };
    let Some(timeout) = seconds(args, "timeout") else {
        return settled("Timeout must be specified as a float in seconds".to_owned());
    };
    let Some(period) = seconds(args, "period") else {
        return settled("Period must be specified as a float in seconds".to_owned());
    };
    let mut call = Args::new();
    match args.given("args") {
        Some(Value::List(all)) => {
            for one in all {
                call = call.with(one.clone());
            }
        }
        Some(Value::Str(text)) => {
            for letter in text.chars() {
                call = call.with(letter.to_string());
            }
        }
        _ => {}
    }
    let named: Map = match args.given("kwargs") {
        Some(Value::Map(named)) => named.clone(),
        Some(other) if other.is_true() => {
            return settled(format!(
                "Exception occurred while executing {name}: <class 'TypeError'>:salt.loaded.int.module.{name}() argument after ** must be a mapping, not {}",
                other.type_name()
            ));
        }
        _ => Map::new(),
    };
    for (key, value) in &named {
        call = call.keyword(&python::str(key), value.clone());
    }
    let wait = Wait {
        name,
        call,
        expected,
        comparison,
        timeout,
        period,
        first: seconds(args, "init_wait").unwrap_or_default(),
    };
    let done = "Call provided the expected results in 1 attempts";
    Ok(Plan::change(done, Changes::none(), move |context| {
        Ok(match wait.run(context) {
            Ok((attempts, true)) => Done::with_comment(format!(
                "Call provided the expected results in {attempts} attempts"
            )),
            Ok((attempts, false)) => Done::failed(format!(
                "Call did not produce the expected result after {attempts} attempts"
            )),
            Err(CallError::Execution(text)) => Done::failed(text),
            Err(error) => return Err(error),
        })
    })
    .when_testing(would))
}
