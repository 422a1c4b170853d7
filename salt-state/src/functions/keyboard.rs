//! `keyboard.*`: the layout of the keyboard.

use salt_proto::Value;

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "keyboard.get_sys",
        "get_sys()",
        "The layout on the console.",
        |_, context| Ok(on_console(context.system)?.into()),
    );
    add(
        "keyboard.set_sys",
        "set_sys(layout)",
        "Sets the layout on the console.",
        |args, context| {
            let layout = args.text("layout")?;
            set_on_console(context, &layout)?;
            Ok(layout.into())
        },
    );
    add(
        "keyboard.get_x",
        "get_x()",
        "The layout under X.",
        |_, context| Ok(under_x(context.system)?.into()),
    );
    add(
        "keyboard.set_x",
        "set_x(layout)",
        "Sets the layout under X.",
        |args, context| {
            let layout = args.text("layout")?;
            set_under_x(context, &layout)?;
            Ok(layout.into())
        },
    );
}

/// The word behind a label in what a program says.
fn labelled(machine: &dyn Observe, command: &Command, label: &str) -> Result<String, CallError> {
    let text = tool::ask(machine, command)?.stdout_text();
    let found = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(label)?.strip_prefix(':'));
    found
        .map(|layout| layout.trim().to_owned())
        .ok_or_else(|| CallError::exception("IndexError", "list index out of range"))
}

/// The layout on the console.
pub(crate) fn on_console(machine: &dyn Observe) -> Result<String, CallError> {
    labelled(machine, &tool::named(machine, "localectl"), "VC Keymap")
}

/// The layout under X.
pub(crate) fn under_x(machine: &dyn Observe) -> Result<String, CallError> {
    let command = tool::named(machine, "setxkbmap").arg("-query");
    labelled(machine, &command, "layout")
}

/// Sets the layout on the console; whether there is such a layout is not asked.
pub(crate) fn set_on_console(context: &Context<'_>, layout: &str) -> Result<(), CallError> {
    let command = tool::named(context.system, "localectl").args(["set-keymap", layout]);
    tool::run(context, &command).map(drop)
}

/// Sets the layout under X; whether there is such a layout is not asked.
pub(crate) fn set_under_x(context: &Context<'_>, layout: &str) -> Result<(), CallError> {
    let command = tool::named(context.system, "setxkbmap").arg(layout);
    tool::run(context, &command).map(drop)
}
