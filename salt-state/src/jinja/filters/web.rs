//! Filters for HTML, URLs and JSON.

use std::rc::Rc;

use crate::jinja::value::{Args, Str, Value, repr_str};
use crate::jinja::{Error, Result, Runtime, access, json};

use super::{Builtin, flag, integer};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "e" | "escape" => |_, args| {
            let [value] = args.bind("escape", ["s"], 1)?;
            escape(&value.unwrap_or_default())
        },
        "forceescape" => |_, args| {
            let [value] = args.bind("do_forceescape", ["value"], 1)?;
            let text = value.unwrap_or_default().str()?;
            Ok(Value::Str(Str::markup(escape_text(&text))))
        },
        "safe" => |_, args| {
            let [value] = args.bind("do_mark_safe", ["value"], 1)?;
            Ok(Value::Str(Str::markup(value.unwrap_or_default().str()?)))
        },
        "striptags" => |_, args| {
            let [value] = args.bind("do_striptags", ["value"], 1)?;
            let text = value.unwrap_or_default().str()?;
            Ok(Value::text(striptags(&text)))
        },
        "urlencode" => urlencode,
        "urlize" => urlize,
        "xmlattr" => xmlattr,
        "tojson" => tojson,
        _ => return None,
    })
}

/// Replaces what has a meaning in HTML, as `MarkupSafe` does.
pub(crate) fn escape_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

fn escape(value: &Value) -> Result<Value> {
    Ok(Value::Str(match value {
        Value::Str(text) if text.is_markup() => text.clone(),
        Value::Object(object) if object.is_markup() => Str::markup(object.str()?),
        other => Str::markup(escape_text(&other.str()?)),
    }))
}

fn striptags(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let tag = rest.get(start..).unwrap_or("");
        let end = match tag.strip_prefix("<!--") {
            Some(comment) => comment.find("-->").map(|at| at + 7),
            None => tag.find('>').map(|at| at + 1),
        };
        let Some(end) = end else { break };
        kept.push_str(rest.get(..start).unwrap_or(""));
        rest = tag.get(end..).unwrap_or("");
    }
    kept.push_str(rest);
    let words: Vec<&str> = kept
        .split(crate::jinja::lexer::is_space)
        .filter(|word| !word.is_empty())
        .collect();
    unescape(&words.join(" "))
}

/// Resolves the entities that `escape` makes, and numeric ones.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(rest.get(..at).unwrap_or(""));
        let entity = rest.get(at + 1..).unwrap_or("");
        let end = entity.find(';').filter(|end| *end < 12);
        let resolved = end.and_then(|end| entity_char(entity.get(..end)?));
        match (resolved, end) {
            (Some(c), Some(end)) => {
                out.push(c);
                rest = entity.get(end + 1..).unwrap_or("");
            }
            _ => {
                out.push('&');
                rest = entity;
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity_char(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "copy" => '©',
        "laquo" => '«',
        "raquo" => '»',
        "mdash" => '—',
        "ndash" => '–',
        "hellip" => '…',
        _ => return None,
    })
}

/// Python's `urllib.parse.quote`.
pub(crate) fn quote_url(bytes: &[u8], safe: &str) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "_.-~".contains(c) || (c.is_ascii() && safe.contains(c)) {
            out.push(c);
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

fn quote_value(value: &Value, query: bool) -> Result<String> {
    let text;
    let bytes: &[u8] = match value {
        Value::Bytes(bytes) => bytes,
        other => {
            text = other.str()?;
            text.as_bytes()
        }
    };
    Ok(if query {
        quote_url(bytes, "").replace("%20", "+")
    } else {
        quote_url(bytes, "/")
    })
}

fn urlencode(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [value] = args.bind("do_urlencode", ["value"], 1)?;
    let value = value.unwrap_or_default();
    let pairs = match access::mapping_entries(rt, &value)? {
        Some(entries) => entries,
        None if matches!(value, Value::Str(_)) => {
            return quote_value(&value, false).map(Value::text);
        }
        None => {
            let Ok(items) = value.items(rt) else {
                return quote_value(&value, false).map(Value::text);
            };
            let mut pairs = Vec::with_capacity(items.len());
            for item in items {
                let parts = item.items(rt).map_err(|error| {
                    if error.message().ends_with("object is not iterable") {
                        let name = item.type_name();
                        Error::type_error(format!("cannot unpack non-iterable {name} object"))
                    } else {
                        error
                    }
                })?;
                let [key, value] = parts.as_slice() else {
                    let n = parts.len();
                    return Err(Error::value_error(if n < 2 {
                        format!("not enough values to unpack (expected 2, got {n})")
                    } else {
                        "too many values to unpack (expected 2)".to_owned()
                    }));
                };
                pairs.push((key.clone(), value.clone()));
            }
            pairs
        }
    };
    let mut parts = Vec::with_capacity(pairs.len());
    for (key, value) in &pairs {
        parts.push(format!(
            "{}={}",
            quote_value(key, true)?,
            quote_value(value, true)?
        ));
    }
    Ok(Value::text(parts.join("&")))
}

fn xmlattr(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [dict, autospace] = args.bind_after(1, "do_xmlattr", ["d", "autospace"], 1)?;
    let autospace = autospace.map_or(Ok(true), |value| value.is_true())?;
    let dict = dict.unwrap_or_default();
    let Some(entries) = access::mapping_entries(rt, &dict)? else {
        return Err(match &dict {
            Value::Undefined(undefined) => undefined.error(),
            other => access::no_attribute(other, "items"),
        });
    };
    let mut items = Vec::new();
    for (key, value) in entries {
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let key = match key {
            Value::Str(key) => key,
            other => {
                let name = other.type_name();
                return Err(Error::type_error(format!(
                    "expected string or bytes-like object, got '{name}'"
                )));
            }
        };
        if key.contains(|c: char| c.is_whitespace() || "/>=".contains(c)) {
            return Err(Error::value_error(format!(
                "Invalid character in attribute name: {}",
                repr_str(&key)
            )));
        }
        let value = escape(&value)?.str()?;
        items.push(format!("{}=\"{value}\"", escape_text(&key)));
    }
    let mut text = items.join(" ");
    if autospace && !text.is_empty() {
        text.insert(0, ' ');
    }
    Ok(Value::Str(if rt.autoescape() {
        Str::markup(text)
    } else {
        text.into()
    }))
}

fn tojson(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let [value, indent] = args.bind_after(1, "do_tojson", ["value", "indent"], 1)?;
    let style = json::Style {
        sort_keys: true,
        indent: indent.filter(|indent| !indent.is_none()),
        ascii: true,
        ..json::Style::default()
    };
    let text = json::dump(rt, &value.unwrap_or_default(), &style)?;
    Ok(Value::Str(Str::markup(html_safe(&text))))
}

/// JSON that can stand in a script element.
pub(crate) fn html_safe(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\'', "\\u0027")
}

/// How Jinja recognises a link (`jinja2.utils`), without its limits on the
/// length of a label, which make the expression very large.
const LINK: &str = r"(?xi)^(?:
    (?:https?://|www\.) (?:(?:[\w%-]+\.)+)? (?:[a-z]{2,63}|xn--[\w%]{2,})
    | (?:[\w%-]{2,}\.)+ (?:com|net|int|edu|gov|org|info|mil)
    | https?:// (?: [0-9]{1,3}(?:\.[0-9]{1,3}){3} | \[(?:[0-9a-f]{0,4}:){2}(?:[0-9a-f]{0,4}:?){1,6}\] )
    ) (?::[0-9]{1,5})? (?:[/?\#]\S*)? $";
const EMAIL: &str = r"^\S+@\w[\w.-]*\.\w+$";

fn matches(regex: &fancy_regex::Regex, text: &str) -> bool {
    regex.is_match(text).unwrap_or(false)
}

struct Links {
    link: Rc<fancy_regex::Regex>,
    email: Rc<fancy_regex::Regex>,
    limit: Option<usize>,
    attributes: String,
    schemes: Vec<String>,
}

fn urlize(rt: &Runtime<'_>, args: Args) -> Result<Value> {
    let names = [
        "value",
        "trim_url_limit",
        "nofollow",
        "target",
        "rel",
        "extra_schemes",
    ];
    let [value, limit, nofollow, target, rel, schemes] =
        args.bind_after(1, "do_urlize", names, 1)?;
    let text = value.unwrap_or_default();
    let text = escape(&text)?.str()?;
    rt.charge(text.len())?;
    let some = |value: Option<Value>| value.filter(|value| !value.is_none());
    let mut rels: std::collections::BTreeSet<String> = match some(rel) {
        Some(rel) => rel.str()?.split_whitespace().map(str::to_owned).collect(),
        None => std::collections::BTreeSet::new(),
    };
    if flag(nofollow)? {
        rels.insert("nofollow".to_owned());
    }
    rels.insert("noopener".to_owned());
    let rels: Vec<String> = rels.into_iter().collect();
    let mut attributes = format!(" rel=\"{}\"", escape_text(&rels.join(" ")));
    if let Some(target) = some(target) {
        attributes += &format!(" target=\"{}\"", escape_text(&target.str()?));
    }
    let mut extra = Vec::new();
    if let Some(schemes) = some(schemes) {
        for scheme in schemes.items(rt)? {
            let scheme = scheme.str()?;
            let known = rt.regex(r"^[\w.+-]{2,}:(?:/){0,2}$")?;
            if !matches(&known, &scheme) {
                let scheme = repr_str(&scheme);
                return Err(super::argument_error(format!(
                    "{scheme} is not a valid URI scheme prefix."
                )));
            }
            extra.push(scheme);
        }
    }
    let limit = some(limit).as_ref().map(integer).transpose()?;
    let links = Links {
        link: rt.regex(LINK)?,
        email: rt.regex(EMAIL)?,
        limit: limit.map(|limit| usize::try_from(limit).unwrap_or(0)),
        attributes,
        schemes: extra,
    };
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest
            .find(crate::jinja::lexer::is_space)
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        out += &links.word(word);
        let blank = tail.len() - tail.trim_start_matches(crate::jinja::lexer::is_space).len();
        out += tail.get(..blank).unwrap_or("");
        rest = tail.get(blank..).unwrap_or("");
    }
    Ok(Value::Str(if rt.autoescape() {
        Str::markup(out)
    } else {
        out.into()
    }))
}

impl Links {
    fn word(&self, word: &str) -> String {
        let mut middle = word;
        while let Some(rest) = ["(", "<", "&lt;"]
            .iter()
            .find_map(|p| middle.strip_prefix(*p))
        {
            middle = rest;
        }
        let head = word.get(..word.len() - middle.len()).unwrap_or("");
        let whole = middle;
        while let Some(rest) = [")", ">", ".", ",", "\n", "&gt;"]
            .iter()
            .find_map(|s| middle.strip_suffix(*s))
        {
            middle = rest;
        }
        let mut cut = middle.len();
        for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let body = whole.get(..cut).unwrap_or("");
            let opened = body.matches(open).count();
            if opened <= body.matches(close).count() {
                continue;
            }
            let tail = whole.get(cut..).unwrap_or("");
            for _ in 0..opened.min(tail.matches(close).count()) {
                let tail = whole.get(cut..).unwrap_or("");
                cut += tail.find(close).map_or(0, |at| at + close.len());
            }
        }
        let (middle, tail) = whole.split_at(cut);
        format!("{head}{}{tail}", self.linked(middle))
    }

    fn linked(&self, text: &str) -> String {
        let attributes = &self.attributes;
        if matches(&self.link, text) {
            let shown = match self.limit {
                Some(limit) if text.chars().count() > limit => {
                    text.chars().take(limit).collect::<String>() + "..."
                }
                _ => text.to_owned(),
            };
            let scheme = if text.starts_with("https://") || text.starts_with("http://") {
                ""
            } else {
                "https://"
            };
            return format!("<a href=\"{scheme}{text}\"{attributes}>{shown}</a>");
        }
        if let Some(address) = text.strip_prefix("mailto:")
            && matches(&self.email, address)
        {
            return format!("<a href=\"{text}\">{address}</a>");
        }
        let address = text.contains('@') && !text.contains(':') && !text.starts_with('@');
        if address && !text.starts_with("www.") && matches(&self.email, text) {
            return format!("<a href=\"mailto:{text}\">{text}</a>");
        }
        let scheme =
            |scheme: &&String| text != scheme.as_str() && text.starts_with(scheme.as_str());
        if self.schemes.iter().any(|own| scheme(&own)) {
            return format!("<a href=\"{text}\"{attributes}>{text}</a>");
        }
        text.to_owned()
    }
}
