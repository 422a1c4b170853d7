//! `event.*`: telling the master something on the way.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

pub(super) fn register(registry: &mut Registry) {
    for name in ["event.send", "event.fire_master"] {
        registry.add_state(
            name,
            "send(name, data=None, preload=None, with_env=False, with_grains=False, with_pillar=False, show_changed=True, **kwargs)",
            "Puts an event on the master's bus.",
            send,
        );
    }
    registry.add_state(
        "event.mod_watch",
        "mod_watch(name, data=None, preload=None, with_env=False, with_grains=False, with_pillar=False, show_changed=True, sfun=None, **kwargs)",
        "Puts an event on the master's bus.",
        send,
    );
    registry.add_state(
        "event.wait",
        "wait(name, sfun=None, data=None)",
        "Puts an event on the master's bus when something it watches changes.",
        |_, _| Ok(Plan::unchanged("")),
    );
}

fn send(args: &Args, _: &Check<'_>) -> Result<Plan, CallError> {
    let tag = args.text("name")?;
    let data = args.get("data").cloned().unwrap_or_default();
    let changes = if args.is_true("show_changed") {
        Changes::from(Map::from([
            ("tag", Value::from(tag.as_str())),
            ("data", data.clone()),
        ]))
    } else {
        Changes::none()
    };
    let mut call = Args::new().with(tag).keyword("data", data);
    for name in ["preload", "with_env", "with_grains", "with_pillar"] {
        if let Some(value) = args.given(name) {
            call = call.keyword(name, value.clone());
        }
    }
    for (key, value) in args.keywords() {
        if key.as_str() != Some("__reqs__") {
            call = call.keyword(&crate::python::str(key), value.clone());
        }
    }
    Ok(Plan::change("Event fired", changes, move |context| {
        let fired = context.registry.call("event.send", &call, context)?;
        Ok(Done::as_planned().result(fired.is_true()))
    })
    .when_testing("Event would have been fired"))
}
