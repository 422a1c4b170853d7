//! `http.*`: what a web server has to answer.

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::functions::http as tools;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "http.query",
        "query(name, match=None, match_type='string', status=None, status_type='string', wait_for=None, **kwargs)",
        "Makes sure that a web server answers with a text or a status.",
        |args: &Args, _: &Check<'_>| query(args, args.optional_int("wait_for")?),
    );
    registry.add_state(
        "http.wait_for_successful_query",
        "wait_for_successful_query(name, wait_for=300, **kwargs)",
        "Waits until a web server answers with a text or a status.",
        |args: &Args, _: &Check<'_>| {
            query(args, Some(args.optional_int("wait_for")?.unwrap_or(300)))
        },
    );
}

/// What is looked for, as the comment calls it and as it is found.
struct Wanted {
    text: Option<(String, bool)>,
    status: Option<Status>,
}

enum Status {
    Text(String),
    Pattern(String),
    /// Any of several, and how they are shown.
    OneOf(Vec<Value>, String),
    /// Of a kind that there is not: neither found nor missed.
    Unknown,
}

fn verdict(shown: &str, found: bool) -> String {
    let words = if found { "was" } else { "was not" };
    format!("{shown} {words} found.")
}

fn matches(pattern: &str, text: &str) -> Result<bool, CallError> {
    let pattern = fancy_regex::Regex::new(pattern)
        .map_err(|error| CallError::execution(error.to_string()))?;
    Ok(pattern.is_match(text).unwrap_or_default())
}

impl Wanted {
    fn of(args: &Args) -> Self {
        let kind = |name: &str| args.optional_text(name).unwrap_or_default();
        let text = args.given("match").map(python::str);
        let text = match kind("match_type").as_str() {
            "string" => text.map(|text| (text, false)),
            "pcre" => text.map(|text| (text, true)),
            _ => None,
        };
        let status =
            args.given("status")
                .map(|status| match (kind("status_type").as_str(), status) {
                    ("string", status) => Status::Text(python::str(status)),
                    ("pcre", status) => Status::Pattern(python::str(status)),
                    ("list", Value::List(list)) => {
                        Status::OneOf(list.clone(), python::repr(&list.iter().cloned().collect()))
                    }
                    // A text is a list of its letters, as in Python.
                    ("list", one) => Status::OneOf(Vec::new(), python::str(one)),
                    _ => Status::Unknown,
                });
        Self { text, status }
    }

    /// The comment about an answer (`None`: none was asked for) and whether all is well.
    fn judge(&self, answer: Option<(&str, &Value)>) -> Result<(String, Option<bool>), CallError> {
        let mut texts = Vec::new();
        let mut result = None;
        let note = |found: bool, result: &mut Option<bool>| {
            *result = Some(result.unwrap_or(true) && found);
        };
        if let Some((text, is_pattern)) = &self.text {
            let found = match answer {
                Some((body, _)) if *is_pattern => matches(text, body)?,
                Some((body, _)) => body.contains(text.as_str()),
                None => false,
            };
            note(found, &mut result);
            let kind = if *is_pattern { "pattern" } else { "text" };
            texts.push(verdict(&format!("Match {kind} \"{text}\""), found));
        }
        let status = answer
            .map(|(_, status)| python::str(status))
            .unwrap_or_default();
        match &self.status {
            Some(Status::Text(wanted)) => {
                let found = answer.is_some() && status == *wanted;
                note(found, &mut result);
                texts.push(verdict(&format!("Status {wanted}"), found));
            }
            Some(Status::Pattern(wanted)) => {
                let found = answer.is_some() && matches(wanted, &status)?;
                note(found, &mut result);
                texts.push(verdict(&format!("Status pattern \"{wanted}\""), found));
            }
            Some(Status::OneOf(list, shown)) => {
                let found = list
                    .iter()
                    .any(|one| answer.is_some() && python::str(one) == status);
                note(found, &mut result);
                texts.push(if found {
                    format!("Status {status} was found.")
                } else {
                    format!("Statuses {shown} were not found.")
                });
            }
            Some(Status::Unknown) | None => {}
        }
        Ok((texts.join(" "), result))
    }
}

fn ask(args: &Args, limit: Option<i64>, context: &Context<'_>) -> Result<Done, CallError> {
    let wanted = Wanted::of(args);
    let mut request = Args::new().keyword("url", args.text("name")?);
    for (key, value) in args.keywords() {
        request = request.keyword(&python::str(key), value.clone());
    }
    for (name, wants) in [("match", "text"), ("status", "status")] {
        if args.given(name).is_some() {
            request = request.keyword(wants, true);
        }
    }
    let answer = match limit {
        Some(limit) => tools::wait(&request, limit, context)?,
        None => tools::query(&request, context)?,
    };
    let nothing = Value::from("");
    let status = answer.get("status").unwrap_or(&nothing);
    let text = answer
        .get("text")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (comment, result) = wanted.judge(Some((text, status)))?;
    Ok(Done::with_comment(comment)
        .result(result)
        .changes(Changes::none()))
}

fn query(args: &Args, limit: Option<i64>) -> Answer {
    if args.given("match").is_none() && args.given("status").is_none() {
        return Ok(Plan::fail(
            " Either match text (match) or a status code (status) is required.",
        ));
    }
    let (comment, _) = Wanted::of(args).judge(None)?;
    let args = args.clone();
    Ok(Plan::change("", Changes::none(), move |context| {
        ask(&args, limit, context)
    })
    .when_testing(format!("{comment} (TEST MODE)")))
}
