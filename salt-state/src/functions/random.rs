//! `random.*`: values nobody can guess.

use base64::Engine;
use salt_proto::Value;

use super::test::{hash, random_below};
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};

pub(super) mod shadow;

type Answer = Result<Value, CallError>;

/// The longest text that is made: 1 MiB.
const LONGEST: i64 = 1 << 20;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "random.get_str",
        "get_str(length=20, chars=None, lowercase=True, uppercase=True, digits=True, punctuation=True, whitespace=False, printable=False)",
        "Returns a random text. chars: of these characters.",
        get_str,
    );
    add(
        "random.rand_int",
        "rand_int(start=1, end=10, seed=None)",
        "Returns a random number from `start` to `end`.",
        |args, context| {
            let (start, end) = (args.int("start")?, args.int("end")?);
            let span = end.checked_sub(start).filter(|span| *span >= 0);
            let Some(span) = span else {
                return Err(CallError::exception(
                    "ValueError",
                    "empty range for randrange()",
                ));
            };
            Ok(start.saturating_add(random_below(span, context)).into())
        },
    );
    add(
        "random.hash",
        "hash(value, algorithm='sha512')",
        "Returns the hash of a text.",
        |args, _| {
            let digest = hash(&args.text("algorithm")?, args.text("value")?.as_bytes());
            digest.map(Value::from).map_err(|_| {
                let text = "You must specify a valid algorithm.";
                CallError::exception("salt.exceptions.SaltException", text)
            })
        },
    );
    add(
        "random.seed",
        "seed(range=10, hash=None)",
        "Returns a number below `range` that is always the same for a text: that of the minion's id.",
        |args, context| {
            let range = args.int("range")?;
            if range <= 0 {
                return Err(CallError::exception(
                    "ValueError",
                    "empty range for randrange()",
                ));
            }
            let range = u32::try_from(range).unwrap_or(u32::MAX);
            let text = args
                .optional_text("hash")
                .unwrap_or_else(|| context.minion.id.clone());
            Ok(crate::jinja::salt::random::seeded_below(&text, range).into())
        },
    );
    add(
        "random.str_encode",
        "str_encode(value, encoder='base64')",
        "Returns a text in base64.",
        |args, _| match (args.get("value"), args.str("encoder")) {
            (Some(Value::Str(text)), Ok("base64")) => Ok(base64::engine::general_purpose::STANDARD
                .encode(text)
                .into()),
            _ => Err(CallError::invocation("Value must be an encode-able string")),
        },
    );
    add(
        "random.shuffle",
        "shuffle(value, seed=None)",
        "Returns a list in random order.",
        |args, context| {
            let mut items = list(args)?;
            for at in (1..items.len()).rev() {
                let other = random_below(i64::try_from(at).unwrap_or(0), context);
                items.swap(at, usize::try_from(other).unwrap_or(0));
            }
            Ok(items.into())
        },
    );
    add(
        "random.shadow_hash",
        "shadow_hash(crypt_salt=None, password=None, algorithm='sha512')",
        "Returns the hash of a password for the shadow file: sha512, sha256 or md5.",
        shadow::hash,
    );
    add(
        "random.sample",
        "sample(value, size, seed=None)",
        "Returns some elements of a list in random order.",
        |args, context| {
            let mut items = list(args)?;
            let size = usize::try_from(args.int("size")?).unwrap_or(0);
            if size > items.len() {
                let text = "Sample larger than population or is negative";
                return Err(CallError::exception("ValueError", text));
            }
            let mut chosen = Vec::with_capacity(size);
            for _ in 0..size {
                let at = random_below(i64::try_from(items.len()).unwrap_or(1) - 1, context);
                chosen.push(items.swap_remove(usize::try_from(at).unwrap_or(0)));
            }
            Ok(chosen.into())
        },
    );
}

fn list(args: &Args) -> Result<Vec<Value>, CallError> {
    match args.get("value") {
        Some(Value::List(items)) => Ok(items.clone()),
        Some(Value::Str(text)) => Ok(text.chars().map(|c| c.to_string().into()).collect()),
        _ => Err(CallError::exception("TypeError", "value must be a list")),
    }
}

fn get_str(args: &Args, context: &Context<'_>) -> Answer {
    let length = args.int("length")?;
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|_| (1..=LONGEST).contains(&length))
    else {
        let text = format!("The length argument must be at least 1 and at most {LONGEST}.");
        return Err(CallError::invocation(text));
    };
    let mut pool: Vec<char> = args
        .optional_text("chars")
        .unwrap_or_default()
        .chars()
        .collect();
    if pool.is_empty() {
        const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
        const WHITESPACE: &str = " \t\n\r\u{b}\u{c}";
        let all = args.is_true("printable");
        let mut add = |wanted: bool, more: &str| {
            if wanted || all {
                pool.extend(more.chars());
            }
        };
        add(args.is_true("lowercase"), "abcdefghijklmnopqrstuvwxyz");
        add(args.is_true("uppercase"), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        add(args.is_true("digits"), "0123456789");
        add(args.is_true("punctuation"), PUNCTUATION);
        add(args.is_true("whitespace"), WHITESPACE);
    }
    if pool.is_empty() {
        return Err(CallError::invocation("No characters to choose from"));
    }
    let last = i64::try_from(pool.len()).unwrap_or(1) - 1;
    Ok((0..length)
        .filter_map(|_| pool.get(usize::try_from(random_below(last, context)).unwrap_or(0)))
        .collect::<String>()
        .into())
}
