//! `group.*`: groups and their members.

use std::collections::BTreeSet;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::group as tools;
use crate::functions::group_info;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::states::user::rehearsed;
use crate::system::Group;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "group.present",
        "present(name, gid=None, system=False, addusers=None, delusers=None, members=None, non_unique=False, local=False)",
        "Makes sure that a group exists, with a number and with members.",
        present,
    );
    registry.add_state(
        "group.absent",
        "absent(name, local=False)",
        "Makes sure that a group does not exist.",
        absent,
    );
}

/// What has to be changed of a group that exists.
#[derive(Default)]
struct Differences {
    gid: Option<Value>,
    bad_gid: bool,
    add: Option<Vec<String>>,
    remove: Option<Vec<String>>,
    members: Option<Vec<String>>,
    /// All members have to leave, which Salt says in another way.
    clear: bool,
}

impl Differences {
    fn is_empty(&self) -> bool {
        self.gid.is_none()
            && !self.bad_gid
            && self.add.is_none()
            && self.remove.is_none()
            && self.members.is_none()
    }

    /// As Salt names them.
    fn into_map(self) -> Map {
        let list = |names: Vec<String>| names.into_iter().collect::<Value>();
        let mut map = Map::new();
        if self.bad_gid {
            map.insert("result", false);
            map.insert("comment", "Invalid gid");
            return map;
        }
        if let Some(gid) = self.gid {
            map.insert("gid", gid);
        }
        if let Some(members) = self.members {
            map.insert("members", list(members));
        }
        if let Some(add) = self.add {
            map.insert("addusers", list(add));
        }
        if let Some(remove) = self.remove {
            map.insert("delusers", list(remove));
        }
        map
    }

    /// The group as it will be.
    fn facts(&self, group: &Group) -> Map {
        let mut members = self
            .members
            .clone()
            .unwrap_or_else(|| group.members.clone());
        members.extend(self.add.iter().flatten().cloned());
        members.retain(|name| !self.remove.iter().flatten().any(|gone| gone == name));
        let gid = self.gid.clone().unwrap_or_else(|| group.gid.into());
        Map::from([("gid", gid), ("members", members.into_iter().collect())])
    }

    fn text(&self) -> String {
        let mut text = String::from("The following group attributes are set to be changed:\n");
        let mut line = |key: &str, value: String| {
            text.push_str(key);
            text.push_str(": ");
            text.push_str(&value);
            text.push('\n');
        };
        let list = |names: &[String]| python::repr(&names.iter().collect());
        if self.bad_gid {
            line("result", "False".to_owned());
            line("comment", "Invalid gid".to_owned());
            return text;
        }
        if let Some(gid) = &self.gid {
            line("gid", python::str(gid));
        }
        if let Some(members) = &self.members {
            line("members", list(members));
        }
        if let Some(add) = &self.add {
            line("addusers", list(add));
        }
        if let Some(remove) = &self.remove {
            let names = list(remove);
            let names = if self.clear {
                format!("{{{}}}", names.trim_matches(['[', ']']))
            } else {
                names
            };
            line("delusers", names);
        }
        text
    }
}

/// The number somebody asked for; `None` when it is no number.
fn number(gid: &Value) -> Option<i64> {
    match gid {
        Value::Int(n) => Some(*n),
        other => python::str(other).trim().parse().ok(),
    }
}

fn differences(group: &Group, wanted: &Wanted) -> Differences {
    let mut found = Differences::default();
    if let Some(gid) = &wanted.gid {
        match number(gid) {
            None => {
                found.bad_gid = true;
                return found;
            }
            Some(n) if n != i64::from(group.gid) => found.gid = Some(n.into()),
            Some(_) => {}
        }
    }
    let there: BTreeSet<&String> = group.members.iter().collect();
    if let Some(members) = &wanted.members {
        if members.is_empty() {
            if !there.is_empty() {
                found.remove = Some(there.into_iter().cloned().collect());
                found.clear = true;
            }
        } else if members.iter().collect::<BTreeSet<_>>() != there {
            found.members = Some(members.clone());
        }
        return found;
    }
    let missing: Vec<String> = wanted
        .add
        .iter()
        .filter(|name| !there.contains(name))
        .cloned()
        .collect();
    let extra: Vec<String> = wanted
        .remove
        .iter()
        .filter(|name| there.contains(name))
        .cloned()
        .collect();
    found.add = (!missing.is_empty()).then_some(missing);
    found.remove = (!extra.is_empty()).then_some(extra);
    found
}

#[derive(Clone)]
struct Wanted {
    name: String,
    gid: Option<Value>,
    system: bool,
    shared: bool,
    add: Vec<String>,
    remove: Vec<String>,
    members: Option<Vec<String>>,
}

impl Wanted {
    fn new(args: &Args) -> Result<Self, CallError> {
        Ok(Self {
            name: args.text("name")?,
            gid: args.given("gid").cloned(),
            system: args.is_true("system"),
            shared: args.is_true("non_unique"),
            add: args.words("addusers"),
            remove: args.words("delusers"),
            members: args.given("members").map(|_| args.words("members")),
        })
    }
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let wanted = Wanted::new(args)?;
    let has_members = wanted.members.as_ref().is_some_and(|all| !all.is_empty());
    if has_members && !(wanted.add.is_empty() && wanted.remove.is_empty()) {
        return Ok(Plan::answer(
            None,
            "Error: Conflicting options \"members\" with \"addusers\" and/or \"delusers\" can not be used together. ",
            Changes::none(),
        ));
    }
    if wanted.add.iter().any(|name| wanted.remove.contains(name)) {
        return Ok(Plan::answer(
            None,
            "Error. Same user(s) can not be added and deleted simultaneously",
            Changes::none(),
        ));
    }
    match tools::find(check.system, &wanted.name)? {
        Some(group) => change(&group, wanted),
        None => create(wanted, check),
    }
}

fn change(group: &Group, wanted: Wanted) -> Answer {
    let differences = differences(group, &wanted);
    if differences.is_empty() {
        return Ok(Plan::unchanged(format!(
            "Group {} is present and up to date",
            wanted.name
        )));
    }
    let text = differences.text();
    let (name, facts) = (wanted.name.clone(), differences.facts(group));
    let plan = Plan::change(
        text.clone(),
        Changes::of("Final", "All changes applied successfully"),
        move |context| {
            let name = &wanted.name;
            if let Some(gid) = &differences.gid {
                tools::set_gid(context, name, &python::str(gid), wanted.shared)?;
            }
            if let Some(members) = &differences.members {
                tools::set_members(context, name, members)?;
            }
            for user in differences.add.iter().flatten() {
                tools::member(context, name, "--add", user)?;
            }
            for user in differences.remove.iter().flatten() {
                tools::member(context, name, "--del", user)?;
            }
            let left = match tools::find(context.system, name)? {
                Some(group) => self::differences(&group, &wanted),
                None => Differences {
                    gid: differences.gid,
                    ..Differences::default()
                },
            };
            if left.is_empty() {
                return Ok(Done::as_planned());
            }
            Ok(
                Done::failed(format!("{text}Some changes could not be applied"))
                    .changes(Changes::of("Failed", left.into_map())),
            )
        },
    );
    Ok(plan
        .test_changes(Changes::none())
        .when_rehearsing(move |context| rehearsed::group(context, &name, &facts)))
}

fn create(wanted: Wanted, check: &Check<'_>) -> Answer {
    let name = wanted.name.clone();
    let would = format!("Group {name} set to be added");
    if let Some(gid) = wanted.gid.as_ref().and_then(number)
        && !wanted.shared
    {
        let groups = check.system.groups().unwrap_or_default();
        if let Some(other) = groups.iter().find(|group| i64::from(group.gid) == gid) {
            let refused = format!(
                "Group {name} is not present but gid {gid} is already taken by group {}",
                other.name
            );
            // A dry run does not look that far, as with Salt.
            return Ok(Plan::fail(refused).when_testing(would).test_result(None));
        }
    }
    let members = match &wanted.members {
        Some(members) => members.clone(),
        None => wanted.add.clone(),
    };
    let gid = match &wanted.gid {
        Some(gid) => number(gid).map_or(Value::Null, Value::from),
        None => next_gid(check, wanted.system).into(),
    };
    let changes = Changes::none()
        .with("name", name.as_str())
        .with("passwd", "x")
        .with("gid", gid)
        .with("members", members.iter().collect::<Value>());
    let (new, facts) = (name.clone(), changes.clone());
    let plan = Plan::change(
        format!("New group {name} created"),
        changes,
        move |context| {
            let name = &wanted.name;
            let gid = wanted.gid.as_ref().map(python::str);
            if !tools::create(context, name, gid.as_deref(), wanted.system, wanted.shared)? {
                return Ok(Done::failed(format!("Failed to create new group {name}")));
            }
            let key = if wanted.members.is_some() {
                "members"
            } else {
                "addusers"
            };
            let joined = members.is_empty() || tools::set_members(context, name, &members)?;
            let changes = tools::find(context.system, name)?
                .map(|group| Changes::from(group_info(&group)))
                .unwrap_or_default();
            if joined {
                Ok(Done::as_planned().changes(changes))
            } else {
                Ok(Done::failed(format!(
                    "Group {name} has been created but, some changes could not be applied"
                ))
                .changes(Changes::of(
                    "Failed",
                    Map::from([(key, members.iter().collect::<Value>())]),
                )))
            }
        },
    );
    Ok(plan
        .when_testing(would)
        .test_changes(Changes::none())
        .when_rehearsing(move |context| rehearsed::group(context, &new, &facts)))
}

/// The number that `groupadd` will choose.
fn next_gid(check: &Check<'_>, system: bool) -> u32 {
    let taken: Vec<u32> = check
        .system
        .groups()
        .unwrap_or_default()
        .iter()
        .map(|group| group.gid)
        .collect();
    crate::functions::next_number(check.system, "GID", &taken, system)
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if tools::find(check.system, &name)?.is_none() {
        return Ok(Plan::unchanged("Group not present"));
    }
    let would = format!("Group {name} is set for removal");
    let gone = name.clone();
    Ok(Plan::change(
        format!("Removed group {name}"),
        Changes::of(&name, ""),
        move |context| {
            Ok(if tools::delete(context, &name)? {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to remove group {name}"))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none())
    .when_rehearsing(move |context| rehearsed::without_group(context, &gone)))
}
