//! `lvm.*`: volumes that LVM2 makes of devices.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::lvm as tools;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.needs_program("lvm", "lvm");
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "lvm.pv_present",
        "pv_present(name, **kwargs)",
        "Makes sure that a device is a physical volume.",
        pv_present,
    );
    add(
        "lvm.pv_absent",
        "pv_absent(name)",
        "Makes sure that a device is no physical volume.",
        pv_absent,
    );
    add(
        "lvm.vg_present",
        "vg_present(name, devices=None, **kwargs)",
        "Makes sure that there is a volume group of these devices.",
        vg_present,
    );
    add(
        "lvm.vg_absent",
        "vg_absent(name)",
        "Makes sure that there is no such volume group.",
        vg_absent,
    );
    add(
        "lvm.lv_present",
        "lv_present(name, vgname=None, size=None, extents=None, snapshot=None, pv='', thinvolume=False, thinpool=False, force=False, resizefs=False, **kwargs)",
        "Makes sure that there is a logical volume of a size.",
        lv_present,
    );
    add(
        "lvm.lv_absent",
        "lv_absent(name, vgname=None)",
        "Makes sure that there is no such logical volume.",
        lv_absent,
    );
}

fn call(context: &Context<'_>, function: &str, args: &Args) -> Result<Value, CallError> {
    context.registry.call(function, args, context)
}

/// Arguments with what the state was told beside its own.
fn with_options(args: &Args, mut call: Args) -> Args {
    for (key, value) in &args.clean_keywords() {
        if let Some(key) = key.as_str() {
            call = call.keyword(key, value.clone());
        }
    }
    call
}

fn pv_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if tools::is_physical(check.system, &name)? {
        return Ok(Plan::unchanged(format!(
            "Physical Volume {name} already present"
        )));
    }
    let create = with_options(args, Args::new().with(name.as_str()));
    let would = format!("Physical Volume {name} is set to be created");
    Ok(Plan::change(
        format!("Created Physical Volume {name}"),
        Changes::of("created", true),
        move |context| {
            call(context, "lvm.pvcreate", &create)?;
            Ok(if tools::is_physical(context.system, &name)? {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to create Physical Volume {name}"))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn pv_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if !tools::is_physical(check.system, &name)? {
        return Ok(Plan::unchanged(format!(
            "Physical Volume {name} does not exist"
        )));
    }
    let would = format!("Physical Volume {name} is set to be removed");
    Ok(Plan::change(
        format!("Removed Physical Volume {name}"),
        Changes::of("removed", true),
        move |context| {
            call(context, "lvm.pvremove", &Args::new().with(name.as_str()))?;
            Ok(if tools::is_physical(context.system, &name)? {
                Done::failed(format!("Failed to remove Physical Volume {name}"))
            } else {
                Done::as_planned()
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn vg_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if !tools::groups(check.system, &name)?.is_empty() {
        return vg_extended(args, check, name);
    }
    let devices = args.get("devices").cloned().unwrap_or_default();
    let create = with_options(args, Args::new().with(name.as_str()).with(devices));
    let would = format!("Volume Group {name} is set to be created");
    Ok(Plan::change(
        format!("Created Volume Group {name}"),
        Changes::of("created", name.as_str()),
        move |context| {
            let answer = call(context, "lvm.vgcreate", &create)?;
            Ok(if tools::groups(context.system, &name)?.is_empty() {
                Done::failed(format!("Failed to create Volume Group {name}"))
            } else {
                Done::as_planned().changes(Changes::of("created", answer))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// A volume group that is there: devices that are of no group are put into it. Salt does
/// so in a dry run, too; here it says that it would.
fn vg_extended(args: &Args, check: &Check<'_>, name: String) -> Answer {
    let stated = args.get("devices");
    if stated.is_none_or(Value::is_null) {
        return Err(CallError::exception(
            "TypeError",
            "'NoneType' object is not iterable",
        ));
    }
    let mut comment = format!("Volume Group {name} already present");
    let mut failed = false;
    let mut todo = Vec::new();
    let mut changes = Changes::none();
    for stated in tools::devices(stated) {
        let device = tools::device(check.system, &stated);
        match tools::group_of(check.system, &device)? {
            None => {
                comment.push_str(&format!("\npv {stated} is not present"));
                failed = true;
            }
            Some(group) if group == name => {
                comment.push_str(&format!("\n{stated} is part of Volume Group"));
            }
            Some(group) if group.is_empty() || group == "#orphans_lvm2" => {
                changes.insert(stated.as_str(), format!("added to {name}"));
                todo.push((stated, device));
            }
            Some(group) => {
                comment.push_str(&format!("\n{stated} is part of {group}"));
                failed = true;
            }
        }
    }
    if todo.is_empty() {
        return Ok(if failed {
            Plan::fail(comment)
        } else {
            Plan::unchanged(comment)
        });
    }
    let told = comment.clone();
    Ok(Plan::change(comment, changes, move |context| {
        let (mut comment, mut failed) = (told, failed);
        let mut changes = Changes::none();
        for (stated, device) in &todo {
            let extend = Args::new().with(name.as_str()).with(device.as_str());
            call(context, "lvm.vgextend", &extend)?;
            if tools::group_of(context.system, device)?.as_deref() == Some(name.as_str()) {
                changes.insert(stated.as_str(), format!("added to {name}"));
            } else {
                comment.push_str(&format!("\n{stated} could not be added"));
                failed = true;
            }
        }
        Ok(Done::with_comment(comment)
            .changes(changes)
            .result(Some(!failed)))
    }))
}

fn vg_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if tools::groups(check.system, &name)?.is_empty() {
        return Ok(Plan::unchanged(format!(
            "Volume Group {name} already absent"
        )));
    }
    let would = format!("Volume Group {name} is set to be removed");
    Ok(Plan::change(
        format!("Removed Volume Group {name}"),
        Changes::of("removed", name.as_str()),
        move |context| {
            let said = call(context, "lvm.vgremove", &Args::new().with(name.as_str()))?;
            Ok(if tools::groups(context.system, &name)?.is_empty() {
                Done::as_planned().changes(Changes::of("removed", said))
            } else {
                Done::failed(format!("Failed to remove Volume Group {name}"))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// A size in sectors of 512 bytes: megabytes, or what the letter behind it says.
fn sectors(size: &Value) -> Result<i64, CallError> {
    let refused = |text: String| CallError::exception("salt.exceptions.ArgumentValueError", text);
    let text = python::str(size).to_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(refused(format!("Size {text} is invalid.")));
    }
    let factor: i64 = match unit {
        "s" => 1,
        "" | "m" => 2048,
        "g" => 2048 << 10,
        "t" => 2048 << 20,
        "p" => 2048 << 30,
        _ => return Err(refused(format!("Unit {unit} is invalid."))),
    };
    let number: i64 = digits.parse().map_err(|_| {
        let text = python::repr_str(digits);
        CallError::exception(
            "ValueError",
            format!("invalid literal for int() with base 10: {text}"),
        )
    })?;
    number
        .checked_mul(factor)
        .ok_or_else(|| refused(format!("Size {text} is invalid.")))
}

fn number(map: &Map, key: &str) -> Option<i64> {
    map.str(key)?.trim().parse().ok()
}

/// Whether a volume that is there has to grow or shrink.
enum Fit {
    Same,
    Larger,
    Smaller,
}

fn fit(now: i64, wanted: i64) -> Fit {
    match now.cmp(&wanted) {
        std::cmp::Ordering::Equal => Fit::Same,
        std::cmp::Ordering::Less => Fit::Larger,
        std::cmp::Ordering::Greater => Fit::Smaller,
    }
}

fn lv_present(args: &Args, check: &Check<'_>) -> Answer {
    let is_stated = |key: &str| args.get(key).filter(|value| value.is_true());
    let (size, extents) = (is_stated("size"), is_stated("extents"));
    if size.is_some() && extents.is_some() {
        return Ok(Plan::fail("Only one of extents or size can be specified."));
    }
    let wanted = size.map(sectors).transpose()?;
    let own = args.text("name")?;
    // A snapshot is a volume by that name, of the one that is named.
    let (name, of) = match is_stated("snapshot") {
        Some(snapshot) => (python::str(snapshot), Value::from(own)),
        None => (own, Value::Null),
    };
    let group = python::str(args.get("vgname").unwrap_or(&Value::Null));
    let first = if args.is_true("thinvolume") {
        group.split('/').next().unwrap_or_default()
    } else {
        group.as_str()
    };
    let path = format!("/dev/{first}/{name}");
    let known = tools::logical(check.system, &path)?;
    let Some(now) = known.get(&path).and_then(Value::as_map) else {
        return created(args, &name, &path, of);
    };
    let there = format!("Logical Volume {name} already present");
    let fit = match (wanted, extents) {
        (Some(wanted), _) => number(now, "Logical Volume Size").map(|now| fit(now, wanted)),
        (None, Some(Value::Str(text))) if text.contains('%') => {
            return Ok(Plan::unchanged(format!(
                "{there}, {text} won't be resized."
            )));
        }
        (None, Some(Value::Int(wanted))) => {
            number(now, "Current Logical Extents Associated").map(|now| fit(now, *wanted))
        }
        (None, Some(other)) => {
            return Err(CallError::exception(
                "TypeError",
                format!(
                    "'<' not supported between instances of '{}' and 'int'",
                    other.type_name()
                ),
            ));
        }
        (None, None) => Some(Fit::Same),
    };
    match fit {
        Some(Fit::Same) | None => Ok(Plan::unchanged(there)),
        Some(Fit::Smaller) if !args.is_true("force") => Ok(Plan::fail(
            "To reduce a Logical Volume option 'force' must be True.",
        )),
        Some(_) => Ok(resized(
            args,
            name,
            path,
            number(now, "Logical Volume Size"),
        )),
    }
}

fn created(args: &Args, name: &str, path: &str, of: Value) -> Answer {
    let mut create = Args::new()
        .with(name)
        .with(python::str(args.get("vgname").unwrap_or(&Value::Null)))
        .keyword("snapshot", of);
    for key in ["size", "extents", "pv", "thinvolume", "thinpool", "force"] {
        if let Some(value) = args.get(key) {
            create = create.keyword(key, value.clone());
        }
    }
    let create = with_options(args, create);
    let would = format!("Logical Volume {name} is set to be created");
    let (name, path) = (name.to_owned(), path.to_owned());
    Ok(Plan::change(
        format!("Created Logical Volume {name}"),
        Changes::of("created", path.as_str()),
        move |context| {
            let answer = call(context, "lvm.lvcreate", &create)?;
            if !tools::logical(context.system, &path)?.is_empty() {
                return Ok(Done::as_planned().changes(Changes::of("created", answer)));
            }
            let Some(map) = answer.as_map() else {
                return Err(CallError::exception(
                    "TypeError",
                    "string indices must be integers, not 'str'",
                ));
            };
            let said = map.str("Output from lvcreate").unwrap_or_default();
            Ok(Done::failed(format!(
                "Failed to create Logical Volume {name}. Error: {said}"
            )))
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn resized(args: &Args, name: String, path: String, before: Option<i64>) -> Plan {
    let mut resize = Args::new().keyword("lvpath", path.as_str());
    for key in ["size", "extents", "force", "resizefs"] {
        if let Some(value) = args.get(key).filter(|value| value.is_true()) {
            resize = resize.keyword(key, value.clone());
        }
    }
    let would = format!("Logical Volume {name} is set to be resized");
    let text = format!("Logical volume \"{path}\" successfully resized.");
    let changes = Changes::of("resized", Map::from([("Output from lvresize", text)]));
    Plan::change(
        format!("Resized Logical Volume {name}"),
        changes,
        move |context| {
            let answer = call(context, "lvm.lvresize", &resize)?;
            let known = tools::logical(context.system, &path)?;
            let after = known
                .get(&path)
                .and_then(Value::as_map)
                .and_then(|map| number(map, "Logical Volume Size"));
            if after.is_some() && after != before {
                return Ok(Done::as_planned().changes(Changes::of("resized", answer)));
            }
            let said = answer
                .as_map()
                .and_then(|map| map.str("Output from lvresize"));
            Ok(Done::failed(format!(
                "Failed to resize Logical Volume {name}.\nError: {}",
                said.unwrap_or_default()
            )))
        },
    )
    .when_testing(would)
    .test_changes(Changes::none())
}

fn lv_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let group = python::str(args.get("vgname").unwrap_or(&Value::Null));
    let path = format!("/dev/{group}/{name}");
    if tools::logical(check.system, &path)?.is_empty() {
        return Ok(Plan::unchanged(format!(
            "Logical Volume {name} already absent"
        )));
    }
    let would = format!("Logical Volume {name} is set to be removed");
    Ok(Plan::change(
        format!("Removed Logical Volume {name}"),
        Changes::of("removed", path.as_str()),
        move |context| {
            let remove = Args::new().with(name.as_str()).with(group.as_str());
            let said = call(context, "lvm.lvremove", &remove)?;
            Ok(if tools::logical(context.system, &path)?.is_empty() {
                Done::as_planned().changes(Changes::of("removed", said))
            } else {
                Done::failed(format!("Failed to remove Logical Volume {name}"))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
