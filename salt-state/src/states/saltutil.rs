//! `saltutil.*`: modules of a tree, fetched.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

/// The kinds of modules that have a function of their own.
const KINDS: [&str; 23] = [
    "saltutil.sync_all",
    "saltutil.sync_beacons",
    "saltutil.sync_clouds",
    "saltutil.sync_engines",
    "saltutil.sync_executors",
    "saltutil.sync_grains",
    "saltutil.sync_log_handlers",
    "saltutil.sync_matchers",
    "saltutil.sync_modules",
    "saltutil.sync_output",
    "saltutil.sync_outputters",
    "saltutil.sync_pillar",
    "saltutil.sync_proxymodules",
    "saltutil.sync_renderers",
    "saltutil.sync_resources",
    "saltutil.sync_returners",
    "saltutil.sync_sdb",
    "saltutil.sync_serializers",
    "saltutil.sync_states",
    "saltutil.sync_thorium",
    "saltutil.sync_tops",
    "saltutil.sync_utils",
    "saltutil.sync_wrapper",
];

pub(super) fn register(registry: &mut Registry) {
    for name in KINDS {
        registry.add_state(
            name,
            "sync(name, **kwargs)",
            "Fetches modules of the tree, as the execution function of that name does.",
            sync,
        );
    }
}

fn sync(args: &Args, check: &Check<'_>) -> Result<Plan, CallError> {
    let fun = check.low.str("fun").unwrap_or("sync_all").to_owned();
    let mut keywords = args.clean_keywords();
    keywords.remove("name");
    let would = format!("saltutil.{fun} would have been run");
    Ok(
        Plan::change("No updates to sync", Changes::none(), move |context| {
            let mut asked = Args::new();
            asked.keywords = keywords;
            let fetched = context
                .registry
                .call(&format!("saltutil.{fun}"), &asked, context);
            let fetched = match fetched {
                Ok(fetched) => fetched,
                Err(error @ (CallError::Execution(_) | CallError::Invocation(_))) => {
                    return Ok(Done::failed(format!("Failed to run {fun}: {error}")));
                }
                Err(error) => return Err(error),
            };
            let mut changes = Map::new();
            match fetched {
                Value::Map(kinds) => {
                    for (kind, names) in kinds {
                        if names.is_true() {
                            changes.insert(kind, names);
                        }
                    }
                }
                names if names.is_true() => {
                    let kind = fun.trim_start_matches("sync_");
                    changes.insert(kind, names);
                }
                _ => {}
            }
            Ok(if changes.is_empty() {
                Done::as_planned()
            } else {
                Done::with_comment("Sync performed").changes(changes)
            })
        })
        .when_testing(would)
        .test_result(None),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Context, MinionData};
    use crate::sources::MemorySources;
    use crate::system::FakeSystem;

    #[test]
    fn modules_are_fetched_once_and_a_dry_run_fetches_none() {
        let (registry, machine) = (Registry::builtin(), FakeSystem::new());
        let minion = MinionData {
            config: Map::from([("extension_modules", "/ext"), ("python_bridge", "auto")]),
            ..MinionData::default()
        };
        let tree = MemorySources::new().file("base", "_modules/mine.py", "a = 1\n");
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);
        let run = |fun: &str, test: bool| {
            let low = Map::from([("fun", fun), ("name", "x")]);
            let check = Check::new(&context, &low, test);
            let args = Args::new().keyword("name", "x");
            let plan = registry
                .check(&format!("saltutil.{fun}"), &args, &check)
                .unwrap();
            let outcome = match test {
                true => plan.predicted(),
                false => plan.carry_out(&context).unwrap(),
            };
            let changes = outcome.changes.into_map();
            (outcome.result, outcome.comment, changes)
        };
        // Recorded from Salt 3008.3, but for the module.
        let would = Value::from("saltutil.sync_all would have been run");
        assert_eq!(run("sync_all", true), (None, would, Map::new()));
        let fetched = Map::from([("modules", vec![Value::from("modules.mine")])]);
        assert_eq!(
            run("sync_all", false),
            (Some(true), "Sync performed".into(), fetched)
        );
        let nothing = (Some(true), "No updates to sync".into(), Map::new());
        assert_eq!(run("sync_modules", false), nothing);
        assert_eq!(run("sync_tops", false), nothing);
    }
}
