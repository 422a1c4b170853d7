//! `http.query`: what a server answers.
//!
//! The machine's `curl` asks. All that is secret or comes from a caller reaches it on its
//! standard input, so that nothing of it stands in the list of processes.

use std::time::Duration;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::render::json;
use crate::system::{Command, Output};
use crate::yaml;

type Answer = Result<Value, CallError>;

/// How many seconds Salt waits for a connection and for an answer.
const CONNECT_TIMEOUT: i64 = 20;
const REQUEST_TIMEOUT: i64 = 3600;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "http.query",
        "query(url, **kwargs)",
        "Asks a server and returns its answer: `body`, or `dict` and `text` with decode. method, params, data, data_file, header_dict, header_list, username, password, cert, verify_ssl, ca_bundle, decode, decode_type (auto, json, yaml, plain), text, status, headers, text_out, raise_error, agent, port, test.",
        query,
    );
    registry.add(
        "http.wait_for_successful_query",
        "wait_for_successful_query(url, wait_for=300, **kwargs)",
        "Asks a server until it answers without an error, or for so many seconds.",
        |args: &Args, context: &Context<'_>| {
            wait(args, args.optional_int("wait_for")?.unwrap_or(300), context)
        },
    );
}

/// A configuration file for `curl`, line by line.
struct Config(String);

impl Config {
    fn flag(&mut self, name: &str) {
        self.0.push_str(name);
        self.0.push('\n');
    }

    fn set(&mut self, name: &str, value: &str) {
        self.0.push_str(name);
        self.0.push_str(" = \"");
        for letter in value.chars() {
            match letter {
                '"' | '\\' => self.0.extend(['\\', letter]),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                '\u{b}' => self.0.push_str("\\v"),
                // Nothing that follows a NUL would be read.
                '\0' => {}
                letter => self.0.push(letter),
            }
        }
        self.0.push_str("\"\n");
    }
}

/// Asks until there is no error, for at most so many seconds; the last answer.
pub(crate) fn wait(args: &Args, limit: i64, context: &Context<'_>) -> Answer {
    let limit = Duration::from_secs(limit.try_into().unwrap_or_default());
    let pause = args
        .keywords()
        .get("request_interval")
        .and_then(Value::as_int)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(1)
        .max(1);
    let begun = context.system.now();
    loop {
        let answer = query(args, context)?;
        let passed = context
            .system
            .now()
            .duration_since(begun)
            .unwrap_or_default();
        let stops = context.system.interrupted().is_some();
        if answer.get("error").is_none() || passed >= limit || stops {
            return Ok(answer);
        }
        context.system.sleep(Duration::from_secs(pause));
    }
}

/// One request.
pub(crate) fn query(args: &Args, context: &Context<'_>) -> Answer {
    let url = args.text("url")?;
    let wants = |key: &str| args.keywords().get(key).is_some_and(Value::is_true);
    if wants("test") {
        return Ok(Map::new().into());
    }
    let input = request(&url, args, context)?;
    let mut command = Command::new("curl")
        .args(["--config", "-"])
        .stdin(input.0.into_bytes());
    let seconds = number(context, "http_request_timeout", REQUEST_TIMEOUT);
    command = command.timeout(Duration::from_secs(seconds.saturating_add(60)));
    let output = context.system.query(&command)?;
    let mut answer = Map::new();
    let raises = args
        .keywords()
        .get("raise_error")
        .is_none_or(Value::is_true);
    if !output.is_success() {
        if wants("status") {
            answer.insert("status", 0);
        }
        answer.insert("error", trouble(&output));
        return Ok(answer.into());
    }
    let Some(reply) = Reply::read(&output.stdout) else {
        return Err(CallError::execution("the server's answer cannot be read"));
    };
    let body = String::from_utf8_lossy(reply.body).into_owned();
    if reply.status >= 400 && raises {
        answer.insert("status", reply.status);
        answer.insert("error", format!("HTTP {}: {}", reply.status, reply.reason));
        answer.insert("body", body);
        return Ok(answer.into());
    }
    answer.insert("body", body.as_str());
    if wants("status") {
        answer.insert("status", reply.status);
    }
    if wants("headers") {
        answer.insert("headers", reply.headers.clone());
    }
    if let Some(path) = args.keywords().get("text_out").and_then(Value::as_str) {
        let options = crate::system::WriteOptions::new();
        context
            .system
            .write(std::path::Path::new(path), reply.body, &options)?;
    }
    let mut shows_text = wants("text");
    if wants("decode") {
        match decoded(&body, &reply, args)? {
            Some(value) => {
                answer.insert("dict", value);
            }
            None => shows_text = true,
        }
    }
    if shows_text {
        answer.insert("text", body);
    }
    Ok(answer.into())
}

fn number(context: &Context<'_>, key: &str, usual: i64) -> u64 {
    let stated = context.minion.config.get(key).and_then(Value::as_int);
    u64::try_from(stated.unwrap_or(usual)).unwrap_or(0)
}

fn request(url: &str, args: &Args, context: &Context<'_>) -> Result<Config, CallError> {
    let given = |key: &str| args.keywords().get(key).filter(|value| value.is_true());
    let text = |key: &str| given(key).map(python::str);
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(CallError::execution(format!(
            "Unsupported url scheme: {url}"
        )));
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(CallError::execution(format!(
            "Unsupported url scheme: {url}"
        )));
    }
    let mut config = Config(String::new());
    for flag in ["silent", "show-error", "location", "globoff"] {
        config.flag(flag);
    }
    config.set("dump-header", "-");
    config.set("proto-redir", "=http,https");
    let connect = number(context, "http_connect_timeout", CONNECT_TIMEOUT);
    config.set("connect-timeout", &connect.to_string());
    let most = number(context, "http_request_timeout", REQUEST_TIMEOUT);
    config.set("max-time", &most.to_string());
    let agent = text("agent").unwrap_or_else(|| {
        let release = context.minion.grains.str("saltversion").unwrap_or_default();
        format!("Salt/{release} http.query()")
    });
    config.set("user-agent", &agent);
    let method = text("method").unwrap_or_else(|| "GET".to_owned());
    match method.as_str() {
        "HEAD" => config.flag("head"),
        method => config.set("request", method),
    }
    let mut headers: Vec<String> = Vec::new();
    if let Some(Value::Map(all)) = given("header_dict") {
        let pairs = all.iter();
        headers.extend(
            pairs.map(|(key, value)| format!("{}: {}", python::str(key), python::str(value))),
        );
    }
    if let Some(Value::List(all)) = given("header_list") {
        headers.extend(all.iter().map(python::str));
    }
    let data = match text("data_file") {
        Some(path) => {
            let bytes = context.system.read(std::path::Path::new(&path))?;
            let bytes = bytes.ok_or_else(|| {
                CallError::exception(
                    "FileNotFoundError",
                    format!("[Errno 2] No such file or directory: '{path}'"),
                )
            })?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        None => given("data").map(|data| match data {
            Value::Map(form) => form_text(form),
            other => python::str(other),
        }),
    };
    if let Some(data) = data {
        config.set("data-raw", &data);
        let typed = |line: &String| line.to_ascii_lowercase().starts_with("content-type:");
        if method != "POST" && !headers.iter().any(typed) {
            config.set("header", "Content-Type:");
        }
    }
    for line in headers {
        config.set("header", &line.replace(['\r', '\n'], " "));
    }
    if let Some(user) = text("username") {
        let password = text("password").unwrap_or_default();
        config.set("user", &format!("{user}:{password}"));
        config.flag("basic");
    }
    match args.keywords().get("verify_ssl") {
        Some(verify) if !verify.is_true() => config.flag("insecure"),
        _ => {}
    }
    if let Some(bundle) = text("ca_bundle") {
        config.set("cacert", &bundle);
    }
    match given("cert") {
        Some(Value::List(parts)) => {
            for (name, part) in ["cert", "key"].into_iter().zip(parts) {
                config.set(name, &python::str(part));
            }
        }
        Some(one) => config.set("cert", &python::str(one)),
        None => {}
    }
    let mut target = with_port(scheme, rest, given("port").and_then(Value::as_int));
    if let Some(Value::Map(params)) = given("params") {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&form_text(params));
    }
    config.set("url", &target);
    Ok(config)
}

/// The URL, with the port if it has none of its own.
fn with_port(scheme: &str, rest: &str, port: Option<i64>) -> String {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let own = host.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit())
    });
    match port {
        Some(port) if !own => format!("{scheme}://{host}:{port}{path}"),
        _ => format!("{scheme}://{rest}"),
    }
}

/// A mapping as a form sends it.
fn form_text(form: &Map) -> String {
    let mut out = String::new();
    let add = |out: &mut String, text: &str| {
        for byte in text.bytes() {
            match byte {
                b' ' => out.push('+'),
                b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
                byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
                byte => out.push_str(&format!("%{byte:02X}")),
            }
        }
    };
    for (key, value) in form {
        if !out.is_empty() {
            out.push('&');
        }
        add(&mut out, &python::str(key));
        out.push('=');
        add(&mut out, &python::str(value));
    }
    out
}

/// Why there is no answer, in the words of Salt where they are known.
fn trouble(output: &Output) -> String {
    match output.exit.code() {
        6 => "[Errno -2] Name or service not known".to_owned(),
        7 => "[Errno 111] Connection refused".to_owned(),
        60 => "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed".to_owned(),
        _ => {
            let said = output.stderr_text();
            let said = said.trim();
            let text = said.strip_prefix("curl: ").unwrap_or(said);
            match text.split_once(") ") {
                Some((code, text)) if code.starts_with('(') => text.to_owned(),
                _ => text.to_owned(),
            }
        }
    }
}

/// An answer, taken apart.
#[derive(Debug, PartialEq)]
struct Reply<'a> {
    status: i64,
    reason: String,
    headers: Map,
    body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Reads what `curl` prints: the heads of all answers on the way, then the last body.
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        loop {
            let (head, body) = split_head(bytes)?;
            let head = String::from_utf8_lossy(head);
            let mut lines = head.lines();
            let mut first = lines.next()?.splitn(3, ' ');
            let (_, status) = (first.next()?, first.next()?.trim().parse::<i64>().ok()?);
            let reason = first.next().unwrap_or_default().trim().to_owned();
            let mut headers = Map::new();
            for (name, value) in lines.filter_map(|line| line.split_once(':')) {
                let (name, value) = (titled(name.trim()), value.trim());
                let value = match headers.str(&name) {
                    Some(before) => format!("{before},{value}"),
                    None => value.to_owned(),
                };
                headers.insert(name, value);
            }
            let moved = (300..400).contains(&status) && headers.get("Location").is_some();
            if (status < 200 || moved) && body.starts_with(b"HTTP/") {
                bytes = body;
                continue;
            }
            let reason = match reason.is_empty() {
                true => reason_of(status).to_owned(),
                false => reason,
            };
            return Some(Self {
                status,
                reason,
                headers,
                body,
            });
        }
    }
}

/// The words of a status, which HTTP/2 leaves out.
fn reason_of(status: i64) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if !bytes.starts_with(b"HTTP/") {
        return None;
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at(end);
    Some((head, rest.get(4..)?))
}

/// A header's name as it is commonly written.
fn titled(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first
            .into_iter()
            .chain(letters.map(|letter| letter.to_ascii_lowercase()))
            .collect::<String>()
    });
    parts.collect::<Vec<_>>().join("-")
}

/// The body as data; `None` when it is plain text.
fn decoded(body: &str, reply: &Reply<'_>, args: &Args) -> Result<Option<Value>, CallError> {
    let wanted = args.keywords().get("decode_type").map(python::str);
    let wanted = match wanted.as_deref() {
        None | Some("auto") => {
            let kind = reply.headers.str("Content-Type").unwrap_or_default();
            ["json", "xml", "yaml"]
                .into_iter()
                .find(|known| kind.contains(known))
                .unwrap_or("plain")
        }
        Some(stated) => stated,
    };
    match wanted {
        "json" => json::parse(body, 0)
            .map(|node| Some(node.to_value()))
            .map_err(|error| CallError::exception("ValueError", error.to_string())),
        "yaml" => yaml::load(body)
            .map(Some)
            .map_err(|error| CallError::exception("YAMLError", error.to_string())),
        "xml" => Err(CallError::execution(
            "answers in XML are not decoded here; use decode_type=plain",
        )),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;

    fn config(args: &Args) -> String {
        let registry = Registry::builtin();
        let system = FakeSystem::new();
        let minion = MinionData::default();
        let context = Context::new(&registry, &system, &minion);
        let made = request("http://h/p", args, &context).expect("a request");
        let own = [
            "silent",
            "show-error",
            "location",
            "globoff",
            "dump-header",
            "proto-redir",
            "connect-timeout",
            "max-time",
            "user-agent",
        ];
        let lines = made.0.lines();
        let lines = lines.filter(|line| !own.iter().any(|own| line.starts_with(own)));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_a_caller_says_stays_inside_its_quotes() {
        let args = Args::new()
            .keyword("method", "POST")
            .keyword("data", "a=\"b\"\nurl = \"http://evil\"\\")
            .keyword("header_list", Value::List(vec!["X: y\r\nZ: w".into()]));

        assert_eq!(
            config(&args),
            "request = \"POST\"\ndata-raw = \"a=\\\"b\\\"\\nurl = \\\"http://evil\\\"\\\\\"\nheader = \"X: y  Z: w\"\nurl = \"http://h/p\""
        );
    }

    #[test]
    fn parameters_follow_the_url_as_a_form() {
        let args = Args::new()
            .keyword("params", Map::from([("a b", "c&d"), ("e", "f")]))
            .keyword("port", 81);

        assert_eq!(
            config(&args),
            "request = \"GET\"\nurl = \"http://h:81/p?a+b=c%26d&e=f\""
        );
    }

    #[test]
    fn the_last_of_several_answers_counts() {
        let seen = b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nX-A: 1\r\nX-A: 2\r\n\r\nHTTP/ is not a head";

        let reply = Reply::read(seen).expect("an answer");

        assert_eq!((reply.status, reply.reason.as_str()), (200, "OK"));
        assert_eq!(reply.headers.str("X-A"), Some("1,2"));
        assert_eq!(reply.headers.str("Content-Type"), Some("text/plain"));
        assert_eq!(reply.body, b"HTTP/ is not a head");
        assert_eq!(Reply::read(b"HTTP/1.1 200"), None);
        assert_eq!(Reply::read(b""), None);
    }

    // `http.query http://127.0.0.1:1` of 3008.3 without and with `test`.
    #[test]
    fn nothing_is_asked_in_a_test() {
        let registry = Registry::builtin();
        let system = FakeSystem::new();
        let minion = MinionData::default();
        let context = Context::new(&registry, &system, &minion);
        let args = Args::new().with("http://h").keyword("test", true);

        let answer = registry.call("http.query", &args, &context);

        assert_eq!(answer.ok(), Some(Map::new().into()));
    }
}
