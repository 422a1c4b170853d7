//! `log.*`: lines in the minion's log, from templates.

use crate::registry::Registry;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "log.debug",
        "debug(message)",
        "Logs a message as debug.",
        |args, _| {
            tracing::debug!(target: "salt", "{}", args.text("message")?);
            Ok(true.into())
        },
    );
    registry.add(
        "log.info",
        "info(message)",
        "Logs a message as info.",
        |args, _| {
            tracing::info!(target: "salt", "{}", args.text("message")?);
            Ok(true.into())
        },
    );
    registry.add(
        "log.warning",
        "warning(message)",
        "Logs a message as warning.",
        |args, _| {
            tracing::warn!(target: "salt", "{}", args.text("message")?);
            Ok(true.into())
        },
    );
    for name in ["log.error", "log.critical", "log.exception"] {
        registry.add(
            name,
            "error(message)",
            "Logs a message as error.",
            |args, _| {
                tracing::error!(target: "salt", "{}", args.text("message")?);
                Ok(true.into())
            },
        );
    }
}
