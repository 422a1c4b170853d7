//! `match.*`: does a target mean this minion.

use salt_proto::target::{Facts, Target};
use salt_proto::{Map, Value};

use super::layered;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "match.glob",
        "glob(tgt, minion_id=None)",
        "Returns whether the id matches a glob.",
        |args, context| simple("glob", args, context),
    );
    add(
        "match.pcre",
        "pcre(tgt, minion_id=None)",
        "Returns whether the id matches a regular expression.",
        |args, context| simple("pcre", args, context),
    );
    add(
        "match.list",
        "list_(tgt, minion_id=None)",
        "Returns whether the id is in a list.",
        |args, context| simple("list", args, context),
    );
    add(
        "match.compound",
        "compound(tgt, minion_id=None)",
        "Returns whether a compound expression means this minion.",
        |args, context| simple("compound", args, context),
    );
    add(
        "match.grain",
        "grain(tgt, delimiter=':')",
        "Returns whether a grain matches a glob: `os:Debian`.",
        |args, context| simple("grain", args, context),
    );
    add(
        "match.grain_pcre",
        "grain_pcre(tgt, delimiter=':')",
        "Returns whether a grain matches a regular expression.",
        |args, context| simple("grain_pcre", args, context),
    );
    add(
        "match.pillar",
        "pillar(tgt, delimiter=':')",
        "Returns whether a value of the pillar matches a glob.",
        |args, context| simple("pillar", args, context),
    );
    add(
        "match.pillar_pcre",
        "pillar_pcre(tgt, delimiter=':')",
        "Returns whether a value of the pillar matches a regular expression.",
        |args, context| simple("pillar_pcre", args, context),
    );
    add(
        "match.ipcidr",
        "ipcidr(tgt)",
        "Returns whether this minion has an address in a network.",
        |args, context| simple("ipcidr", args, context),
    );
    add(
        "match.data",
        "data(tgt)",
        "Returns whether a setting of the minion matches a glob.",
        |args, context| {
            // The rules are those of grains, over other data.
            let nothing = Map::new();
            let facts = Facts {
                id: &context.minion.id,
                grains: &context.minion.config,
                pillar: &nothing,
                nodegroups: &nothing,
            };
            let target = args.get("tgt").cloned().unwrap_or_default();
            let target = Target::parse("grain", &target, ":");
            Ok(target.is_ok_and(|target| target.matches(&facts)).into())
        },
    );
    add(
        "match.filter_by",
        "filter_by(lookup, tgt_type='compound', minion_id=None, merge=None, merge_lists=False, default='default')",
        "Returns the entry of a mapping whose key, taken as a target, means this minion.",
        filter_by,
    );
    add(
        "match.search_by",
        "search_by(lookup, tgt_type='compound', minion_id=None)",
        "Returns the keys of a mapping of lists of targets that mean this minion.",
        search_by,
    );
    add(
        "match.ifelse",
        "ifelse(*args, tgt_type='compound', minion_id=None, merge=None, merge_lists=False)",
        "Takes targets and values in turn, and a default at the end: returns the value of the first target that means this minion.",
        ifelse,
    );
}

/// Whether a target means this minion; one that cannot be read means nobody.
pub(super) fn matches(
    kind: &str,
    target: &Value,
    delimiter: &str,
    id: Option<&str>,
    context: &Context<'_>,
) -> bool {
    let nodegroups = context
        .minion
        .config
        .get("nodegroups")
        .and_then(Value::as_map);
    let nothing = Map::new();
    let facts = Facts {
        id: id.unwrap_or(&context.minion.id),
        grains: &context.minion.grains,
        pillar: &context.minion.pillar,
        nodegroups: nodegroups.unwrap_or(&nothing),
    };
    Target::parse(kind, target, delimiter).is_ok_and(|target| target.matches(&facts))
}

fn simple(kind: &str, args: &Args, context: &Context<'_>) -> Answer {
    let id = args.optional_text("minion_id").filter(|id| !id.is_empty());
    let delimiter = args
        .optional_text("delimiter")
        .unwrap_or_else(|| ":".to_owned());
    let target = args.get("tgt").cloned().unwrap_or_default();
    Ok(matches(kind, &target, &delimiter, id.as_deref(), context).into())
}

fn of_args(target: &Value, args: &Args, context: &Context<'_>) -> bool {
    let kind = args
        .optional_text("tgt_type")
        .unwrap_or_else(|| "compound".to_owned());
    let id = args.optional_text("minion_id").filter(|id| !id.is_empty());
    matches(&kind, target, ":", id.as_deref(), context)
}

fn lookup(args: &Args) -> Result<&Map, CallError> {
    args.get("lookup")
        .and_then(Value::as_map)
        .ok_or_else(|| CallError::Arguments("the lookup must be a dictionary".to_owned()))
}

fn filter_by(args: &Args, context: &Context<'_>) -> Answer {
    let lookup = lookup(args)?;
    let default = args.text("default")?;
    let found = lookup
        .iter()
        .find(|(target, _)| of_args(target, args, context))
        .map(|(_, value)| value)
        .or_else(|| lookup.get(&default));
    layered(
        lookup,
        found,
        args.given("merge"),
        None,
        args.is_true("merge_lists"),
    )
}

fn search_by(args: &Args, context: &Context<'_>) -> Answer {
    let found: Vec<Value> = lookup(args)?
        .iter()
        .filter(|(_, targets)| {
            let targets = targets.as_list().unwrap_or_default();
            targets.iter().any(|target| of_args(target, args, context))
        })
        .map(|(key, _)| key.clone())
        .collect();
    Ok(if found.is_empty() {
        Value::Null
    } else {
        found.into()
    })
}

fn ifelse(args: &Args, context: &Context<'_>) -> Answer {
    let [pairs @ .., default] = args.positional() else {
        return Ok(Value::Null);
    };
    if pairs.len() % 2 != 0 {
        return Err(CallError::exception(
            "salt.exceptions.SaltException",
            "The ifelse function must have an odd number of arguments!",
        ));
    }
    let found = pairs
        .chunks_exact(2)
        .find(|pair| {
            pair.first()
                .is_some_and(|target| of_args(target, args, context))
        })
        .and_then(|pair| pair.last());
    let found = found.unwrap_or(default);
    layered(
        &Map::new(),
        Some(found),
        args.given("merge"),
        None,
        args.is_true("merge_lists"),
    )
}
