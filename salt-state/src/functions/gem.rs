//! `gem.*`: packages of Ruby.

use std::collections::BTreeMap;

use salt_proto::Value;

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "gem.list",
        "list_(prefix='', ruby=None, runas=None, gem_bin=None)",
        "The installed gems with their versions.",
        |args, context| {
            let prefix = args.optional_text("prefix").unwrap_or_default();
            let all = list(context.system, &prefix, args, "runas")?;
            Ok(all
                .into_iter()
                .map(|(name, versions)| (name, versions.into_iter().collect::<Value>()))
                .collect::<salt_proto::Map>()
                .into())
        },
    );
    add(
        "gem.install",
        "install(gems, ruby=None, gem_bin=None, runas=None, version=None, rdoc=False, ri=False, pre_releases=False, proxy=None, source=None)",
        "Installs gems.",
        |args, context| {
            let names = words(args, "gems");
            Ok(install(context, &names, args, "runas")?.into())
        },
    );
    add(
        "gem.uninstall",
        "uninstall(gems, ruby=None, runas=None, gem_bin=None)",
        "Removes gems.",
        |args, context| {
            let names = words(args, "gems");
            Ok(uninstall(context, &names, args, "runas")?.into())
        },
    );
    add(
        "gem.update",
        "update(gems, ruby=None, runas=None, gem_bin=None)",
        "Updates gems.",
        |args, context| {
            let command = gem(context.system, args, "runas")
                .arg("update")
                .args(words(args, "gems"));
            Ok(told(&tool::run(context, &command)?)?.into())
        },
    );
    add(
        "gem.version",
        "version(ruby=None, runas=None, gem_bin=None)",
        "The version of gem.",
        |args, context| {
            let command = gem(context.system, args, "runas").arg("--version");
            Ok(told(&tool::ask(context.system, &command)?)?.trim().into())
        },
    );
    add(
        "gem.sources_list",
        "sources_list(ruby=None, runas=None, gem_bin=None)",
        "Where gems come from.",
        |args, context| {
            Ok(sources(context.system, args, "runas")?
                .into_iter()
                .collect())
        },
    );
    add(
        "gem.sources_add",
        "sources_add(source_uri, ruby=None, runas=None, gem_bin=None)",
        "Adds a place where gems come from.",
        |args, context| {
            let url = args.text("source_uri")?;
            Ok(change_source(context, "--add", &url, args, "runas")?.into())
        },
    );
    add(
        "gem.sources_remove",
        "sources_remove(source_uri, ruby=None, runas=None, gem_bin=None)",
        "Removes a place where gems come from.",
        |args, context| {
            let url = args.text("source_uri")?;
            Ok(change_source(context, "--remove", &url, args, "runas")?.into())
        },
    );
}

/// Names: a list, or text that is split at blanks.
fn words(args: &Args, name: &str) -> Vec<String> {
    match args.given(name) {
        Some(Value::List(names)) => names.iter().map(crate::python::str).collect(),
        Some(text) => super::split_words(&crate::python::str(text)).unwrap_or_default(),
        None => Vec::new(),
    }
}

/// gem, as the user that an argument of that name states.
fn gem(machine: &dyn Observe, args: &Args, user: &str) -> Command {
    let program = args.optional_text("gem_bin");
    let mut command = tool::named(machine, program.as_deref().unwrap_or("gem"));
    command.user = args.optional_text(user);
    command
}

fn told(output: &Output) -> Result<String, CallError> {
    if output.is_success() {
        return Ok(output.stdout_text().trim_end().to_owned());
    }
    Err(CallError::execution(output.stderr_text().trim().to_owned()))
}

/// The installed gems whose name matches, with their versions.
pub(crate) fn list(
    machine: &dyn Observe,
    prefix: &str,
    args: &Args,
    user: &str,
) -> Result<BTreeMap<String, Vec<String>>, CallError> {
    let mut command = gem(machine, args, user).arg("list");
    if !prefix.is_empty() {
        command = command.arg(prefix);
    }
    let text = told(&tool::ask(machine, &command)?)?;
    let mut all = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, versions)) = line.split_once(" (")
            && let Some(versions) = versions.trim_end().strip_suffix(')')
        {
            let versions = versions.split(',').map(|version| version.trim().to_owned());
            all.insert(name.to_owned(), versions.collect());
        }
    }
    Ok(all)
}

/// Whether this gem takes one option for both kinds of documentation, as since 3.0.
fn has_document_option(machine: &dyn Observe, args: &Args, user: &str) -> Result<bool, CallError> {
    let command = gem(machine, args, user).arg("--version");
    let text = told(&tool::ask(machine, &command)?)?;
    let major = text
        .trim()
        .split('.')
        .next()
        .and_then(|part| part.parse::<u32>().ok());
    Ok(major.is_none_or(|major| major >= 3))
}

/// Installs gems, with the options that a call states.
pub(crate) fn install(
    context: &Context<'_>,
    names: &[String],
    args: &Args,
    user: &str,
) -> Result<String, CallError> {
    let mut command = gem(context.system, args, user).arg("install").args(names);
    if let Some(version) = args.optional_text("version") {
        command = command.args(["--version", &version]);
    }
    let (rdoc, ri) = (args.is_true("rdoc"), args.is_true("ri"));
    if has_document_option(context.system, args, user)? {
        if !rdoc || !ri {
            command = command.arg("--no-document");
        }
    } else {
        if !rdoc {
            command = command.arg("--no-rdoc");
        }
        if !ri {
            command = command.arg("--no-ri");
        }
    }
    if args.is_true("pre_releases") {
        command = command.arg("--prerelease");
    }
    if let Some(proxy) = args.optional_text("proxy") {
        command = command.args(["-p", &proxy]);
    }
    if let Some(source) = args.optional_text("source") {
        command = command.args(["--source", &source]);
    }
    told(&tool::run(context, &command)?)
}

/// Removes gems with all their versions and programs.
pub(crate) fn uninstall(
    context: &Context<'_>,
    names: &[String],
    args: &Args,
    user: &str,
) -> Result<String, CallError> {
    let command = gem(context.system, args, user)
        .arg("uninstall")
        .args(names)
        .args(["-a", "-x"]);
    told(&tool::run(context, &command)?)
}

/// Where gems come from.
pub(crate) fn sources(
    machine: &dyn Observe,
    args: &Args,
    user: &str,
) -> Result<Vec<String>, CallError> {
    let text = told(&tool::ask(
        machine,
        &gem(machine, args, user).arg("sources"),
    )?)?;
    Ok(text.lines().skip(2).map(str::to_owned).collect())
}

/// Adds (`--add`) or removes (`--remove`) a place where gems come from.
pub(crate) fn change_source(
    context: &Context<'_>,
    verb: &str,
    url: &str,
    args: &Args,
    user: &str,
) -> Result<String, CallError> {
    let command = gem(context.system, args, user).args(["sources", verb, url]);
    told(&tool::run(context, &command)?)
}
