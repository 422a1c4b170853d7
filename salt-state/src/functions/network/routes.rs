//! The kernel's routing tables.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::grains::{routes4, routes6};
use crate::registry::{CallError, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "network.routes",
        "routes(family=None)",
        "The routes, of one family (inet, inet6) or both.",
        |args, context| Ok(routes(args, context)?.into_iter().collect()),
    );
    registry.add(
        "network.default_route",
        "default_route(family=None)",
        "The routes that are taken when no other fits, of one family or both.",
        |args, context| {
            Ok(routes(args, context)?
                .into_iter()
                .filter(|route| matches!(route.str("destination"), Some("0.0.0.0" | "::/0")))
                .collect())
        },
    );
}

fn routes(args: &Args, context: &Context<'_>) -> Result<Vec<Map>, CallError> {
    let family = args.optional_text("family");
    let (v4, v6) = match family.as_deref() {
        None => (true, true),
        Some("inet") => (true, false),
        Some("inet6") => (false, true),
        Some(other) => {
            return Err(CallError::execution(format!(
                "Invalid address family {other}"
            )));
        }
    };
    let mut all = Vec::new();
    if v4 {
        all.extend(routes4(context.system).into_iter().map(|route| {
            Map::from([
                ("addr_family", Value::from("inet")),
                ("destination", route.destination.to_string().into()),
                ("gateway", route.gateway.to_string().into()),
                ("netmask", route.mask.to_string().into()),
                ("flags", letters(route.flags).into()),
                ("interface", route.interface.into()),
            ])
        }));
    }
    if v6 {
        all.extend(routes6(context.system).into_iter().map(|route| {
            let destination = format!("{}/{}", route.destination, route.prefix);
            Map::from([
                ("addr_family", Value::from("inet6")),
                ("destination", destination.into()),
                ("gateway", route.gateway.to_string().into()),
                ("netmask", "".into()),
                ("flags", letters(route.flags).into()),
                ("interface", route.interface.into()),
            ])
        }));
    }
    Ok(all)
}

/// The flags of `linux/route.h` and `linux/ipv6_route.h` as `netstat(8)` writes them.
fn letters(flags: u32) -> String {
    const LETTERS: [(u32, char); 11] = [
        (0x1, 'U'),
        (0x200, '!'),
        (0x2, 'G'),
        (0x4, 'H'),
        (0x8, 'R'),
        (0x10, 'D'),
        (0x20, 'M'),
        (0x4_0000, 'A'),
        (0x100_0000, 'C'),
        (0x20_0000, 'n'),
        (0x40_0000, 'e'),
    ];
    LETTERS
        .into_iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, letter)| letter)
        .collect()
}
