//! `saltutil.*` that are about the master and about the minion's keys.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    for (name, signature) in [
        (
            "saltutil.cmd",
            "cmd(tgt, fun, arg=[], timeout=None, tgt_type='glob', ret='', kwarg=None, ssh=False, **kwargs)",
        ),
        (
            "saltutil.cmd_iter",
            "cmd_iter(tgt, fun, arg=[], timeout=None, tgt_type='glob', ret='', kwarg=None, ssh=False, **kwargs)",
        ),
    ] {
        add(
            name,
            signature,
            "Publishes a job with the master's own client. Works only where the master's is at hand; see publish.publish.",
            |_, _| {
                Err(CallError::execution(
                    "The salt master could not be contacted. Is master running?",
                ))
            },
        );
    }
    add(
        "saltutil.runner",
        "runner(name, arg=None, kwarg=None, full_return=False, saltenv='base', jid=None, **kwargs)",
        "Runs a runner. Runners are the master's; see publish.runner.",
        |args, _| {
            let name = args.text("name")?;
            Err(CallError::execution(format!(
                "Runner '{name}' cannot be run on a minion: runners are the master's (publish.runner asks it)"
            )))
        },
    );
    add(
        "saltutil.wheel",
        "wheel(name, *args, **kwargs)",
        "Runs a wheel function. They are the master's.",
        |args, _| {
            let name = args.text("name")?;
            Err(CallError::execution(format!(
                "Wheel function '{name}' cannot be run on a minion: wheel functions are the master's"
            )))
        },
    );
    add(
        "saltutil.mmodule",
        "mmodule(saltenv, fun, *args, **kwargs)",
        "Calls an execution function with the modules of an environment.",
        |args, context| {
            let mut inner = Args::new();
            inner.positional = args.positional().get(2..).unwrap_or_default().to_vec();
            inner.keywords = args.clean_keywords();
            inner.keywords.remove("saltenv");
            inner.keywords.remove("fun");
            context.registry.call(&args.text("fun")?, &inner, context)
        },
    );
    add(
        "saltutil.regen_keys",
        "regen_keys()",
        "Removes this minion's keys; new ones are made when it starts again, and have to be accepted.",
        |_, context| {
            let Some(directory) = context.setting("pki_dir") else {
                return Ok(Value::Null);
            };
            for name in ["minion.pem", "minion.pub"] {
                let path = Path::new(directory).join(name);
                if context.system.is_file(&path) {
                    context.system.remove(&path)?;
                }
            }
            Ok(Value::Null)
        },
    );
    add(
        "saltutil.update",
        "update(version=None)",
        "Updates a minion that was packaged with Esky, which none is any more.",
        |_, _| Ok(Map::from([("_error", "Esky not available as import")]).into()),
    );
    add(
        "saltutil.sync_pillar",
        "sync_pillar(saltenv=None, refresh=True, extmod_whitelist=None, extmod_blacklist=None, clean_pillar_cache=False)",
        "Fetches pillar modules, which only a masterless minion has a use for. There is nothing to run them here, so nothing is fetched.",
        |_, context| match context.master {
            Some(_) => Err(CallError::execution(
                "Pillar modules can only be synced to masterless minions",
            )),
            None => Ok(Value::List(Vec::new())),
        },
    );
}
