//! `saltutil.sync_*`: a tree's own Python modules, fetched into `extension_modules`, when
//! there is a `python_bridge` that can run them.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::bridge::BridgeSettings;
use crate::context::Context;
use crate::fnmatch;
use crate::foreign::{self, ForeignKind};
use crate::registry::{CallError, Registry};
use crate::system::WriteOptions;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    const SIGNATURE: &str = "sync(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None, clean_pillar_cache=False)";
    let add = &mut |name, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, SIGNATURE, doc, function);
    };
    add(
        "saltutil.sync_modules",
        "Fetches a tree's own execution modules, if `python_bridge` is set to run them. Returns what is new.",
        |args, context| one(ForeignKind::Modules, args, context),
    );
    add(
        "saltutil.sync_states",
        "Fetches a tree's own state modules, if `python_bridge` is set to run them. Returns what is new.",
        |args, context| one(ForeignKind::States, args, context),
    );
    add(
        "saltutil.sync_utils",
        "Fetches a tree's own utility modules, if `python_bridge` is set to run them. Returns what is new.",
        |args, context| one(ForeignKind::Utils, args, context),
    );
    add(
        "saltutil.sync_grains",
        "Fetches a tree's own grains modules, if `python_bridge` is set to run them. Returns what is new.",
        |args, context| one(ForeignKind::Grains, args, context),
    );
}

fn one(kind: ForeignKind, args: &Args, context: &Context<'_>) -> Answer {
    let fetched = fetch(kind, args, context)?;
    if args.get("refresh").is_none_or(Value::is_true) {
        let tag = match kind {
            ForeignKind::Grains => "grains_refresh",
            _ => "module_refresh",
        };
        if !fetched.is_empty() {
            context.fire(tag, Map::new());
        }
    }
    Ok(fetched.into())
}

/// Brings `extension_modules` to what the tree has of one kind, and names what is new or
/// different. Nothing without a bridge.
pub(super) fn fetch(
    kind: ForeignKind,
    args: &Args,
    context: &Context<'_>,
) -> Result<Vec<Value>, CallError> {
    let config = &context.minion.config;
    let (Some(sources), Some(extensions)) = (context.sources, config.str("extension_modules"))
    else {
        return Ok(Vec::new());
    };
    if BridgeSettings::of(config).is_none() {
        return Ok(Vec::new());
    }
    let mut environments = args.words("saltenv");
    if environments.is_empty() {
        environments = foreign::environments(sources, config);
    }
    let place = Path::new(extensions).join(kind.name());
    let prefix = format!("_{}/", kind.name());
    let (mut kept, mut fetched) = (Vec::<PathBuf>::new(), Vec::new());
    for environment in environments {
        for file in sources.files(&environment)? {
            let Some(path) = file.strip_prefix(&prefix) else {
                continue;
            };
            let target = place.join(path);
            let name = format!("{}.{}", kind.name(), dotted(path));
            if kept.contains(&target) || !wanted(&name, args) {
                continue;
            }
            let Some(text) = sources.read(&environment, &file)? else {
                continue;
            };
            if context.system.read(&target)?.as_ref() != Some(&text) {
                if let Some(parent) = target.parent() {
                    context.system.create_dir_all(parent, 0o755)?;
                }
                let options = WriteOptions::new().mode(0o600);
                context.system.write(&target, &text, &options)?;
                fetched.push(name);
            }
            kept.push(target);
        }
    }
    if config
        .get("clean_dynamic_modules")
        .is_none_or(Value::is_true)
    {
        clean(&place, &kept, context)?;
    }
    fetched.sort();
    Ok(fetched.into_iter().map(Value::from).collect())
}

/// `sub/mine.py` as Salt names it: `sub.mine`.
fn dotted(path: &str) -> String {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    stem.replace('/', ".")
}

/// Whether the caller's lists of modules let one through.
fn wanted(name: &str, args: &Args) -> bool {
    let name = name.split_once('.').map_or(name, |(_, name)| name);
    let listed = |key| args.words(key).iter().any(|glob| fnmatch(name, glob));
    let open = args.words("extmod_whitelist").is_empty();
    (open || listed("extmod_whitelist")) && !listed("extmod_blacklist")
}

/// Removes what the tree does not have any more.
fn clean(directory: &Path, kept: &[PathBuf], context: &Context<'_>) -> Result<(), CallError> {
    let system = context.system;
    if !system.is_dir(directory) || system.is_link(directory) {
        return Ok(());
    }
    for name in system.list(directory)? {
        let path = directory.join(name);
        if kept.contains(&path) {
            continue;
        }
        if kept.iter().any(|kept| kept.starts_with(&path)) {
            clean(&path, kept, context)?;
        } else {
            system.remove_all(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::sources::MemorySources;
    use crate::system::{FakeSystem, Observe};

    #[test]
    fn a_trees_modules_are_fetched_once_and_removed_when_they_are_gone() {
        let (registry, machine) = (Registry::builtin(), FakeSystem::new());
        let minion = MinionData {
            config: Map::from([("extension_modules", "/ext"), ("python_bridge", "auto")]),
            ..MinionData::default()
        };
        let call = |tree: &MemorySources, args: Args| {
            let mut context = Context::new(&registry, &machine, &minion);
            context.sources = Some(tree);
            registry.call("saltutil.sync_modules", &args, &context)
        };
        let tree = MemorySources::new()
            .file("base", "_modules/mine.py", "a = 1\n")
            .file("base", "_modules/sub/other.py", "");
        let names = |names: &[&str]| Ok(names.iter().copied().collect::<Value>());

        let blacklist = Args::new().keyword("extmod_blacklist", "o*, sub*");
        assert_eq!(call(&tree, blacklist), names(&["modules.mine"]));
        assert_eq!(call(&tree, Args::new()), names(&["modules.sub.other"]));
        assert_eq!(call(&tree, Args::new()), names(&[]));
        assert_eq!(
            machine.text(Path::new("/ext/modules/mine.py")).unwrap(),
            Some("a = 1\n".to_owned())
        );

        let smaller = MemorySources::new().file("base", "_modules/mine.py", "a = 2\n");
        assert_eq!(call(&smaller, Args::new()), names(&["modules.mine"]));
        assert!(!machine.exists(Path::new("/ext/modules/sub")));
    }

    #[test]
    fn without_a_bridge_nothing_is_fetched() {
        let (registry, machine) = (Registry::builtin(), FakeSystem::new());
        let minion = MinionData {
            config: Map::from([("extension_modules", "/ext")]),
            ..MinionData::default()
        };
        let tree = MemorySources::new().file("base", "_modules/mine.py", "");
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);

        let fetched = registry.call("saltutil.sync_modules", &Args::new(), &context);

        assert_eq!(fetched, Ok(Value::List(Vec::new())));
        assert!(!machine.exists(Path::new("/ext")));
    }
}
