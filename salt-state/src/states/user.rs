//! `user.*`: users, their groups and their passwords.

use salt_proto::Value;

use crate::args::Args;
use crate::functions::user::change::{self as tools, FACTS, NewUser};
use crate::functions::user::{gid_of, info, memberships};
use crate::functions::{group, shadow};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Observe, User};

mod create;
pub(super) mod rehearsed;
mod update;

type Answer = Result<Plan, CallError>;

/// What stands for a password in whatever is shown.
const REDACTED: &str = "XXX-REDACTED-XXX";

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "user.present",
        "present(name, uid=None, gid=None, usergroup=None, groups=None, optional_groups=None, remove_groups=True, home=None, createhome=True, persist_home=False, password=None, hash_password=False, enforce_password=True, empty_password=False, shell=None, unique=True, system=False, fullname=None, roomnumber=None, workphone=None, homephone=None, other=None, loginclass=None, date=None, mindays=None, maxdays=None, inactdays=None, warndays=None, expire=None, win_homedrive=None, win_profile=None, win_logonscript=None, win_description=None, nologinit=False, allow_uid_change=False, allow_gid_change=False, password_lock=None, local=False)",
        "Makes sure that a user exists, with all that is stated.",
        present,
    );
    registry.add_state(
        "user.absent",
        "absent(name, purge=False, force=False, local=False)",
        "Makes sure that a user does not exist; with purge, nor the home directory.",
        absent,
    );
}

/// What `user.present` was told.
#[derive(Clone)]
struct Wanted {
    user: NewUser,
    /// The number as it was written.
    uid: Option<Value>,
    /// The primary group as it was written.
    gid: Option<Value>,
    groups: Option<Vec<String>>,
    optional_groups: Option<Vec<String>>,
    remove_groups: bool,
    persist_home: bool,
    password: Option<String>,
    enforce_password: bool,
    empty_password: bool,
    password_lock: Option<bool>,
    facts: Vec<(&'static str, Value)>,
    ages: Vec<(shadow::Age, Value)>,
    allow_uid_change: bool,
    allow_gid_change: bool,
}

impl Wanted {
    fn new(args: &Args, check: &Check<'_>) -> Result<Self, CallError> {
        let mut user = NewUser::new(args)?;
        user.groups.clear();
        let mut password = args
            .optional_text("password")
            .filter(|password| !password.is_empty());
        if let Some(plain) = password.as_ref().filter(|_| args.is_true("hash_password")) {
            let call = Args::new().keyword("password", plain.as_str());
            password = Some(python::str(&check.query("shadow.gen_password", &call)?));
        }
        let facts = FACTS
            .into_iter()
            .filter_map(|key| Some((key, args.given(key)?.clone())))
            .collect();
        let ages = shadow::Age::ALL
            .into_iter()
            .filter_map(|age| Some((age, args.given(age.argument())?.clone())))
            .collect();
        Ok(Self {
            user,
            uid: args.given("uid").cloned(),
            gid: args.given("gid").cloned(),
            groups: names(args, "groups"),
            optional_groups: names(args, "optional_groups"),
            remove_groups: args.is_true("remove_groups"),
            persist_home: args.is_true("persist_home"),
            password,
            enforce_password: args.is_true("enforce_password"),
            empty_password: args.is_true("empty_password"),
            password_lock: args.given("password_lock").map(Value::is_true),
            facts,
            ages,
            allow_uid_change: args.is_true("allow_uid_change"),
            allow_gid_change: args.is_true("allow_gid_change"),
        })
    }

    /// All groups that are asked for, as far as they exist where they may be missing.
    fn all_groups(&self, machine: &dyn Observe) -> Option<Vec<String>> {
        if self.groups.is_none() && self.optional_groups.is_none() {
            return None;
        }
        let mut all = self.groups.clone().unwrap_or_default();
        for name in self.optional_groups.iter().flatten() {
            if !all.contains(name) && matches!(group::find(machine, name), Ok(Some(_))) {
                all.push(name.clone());
            }
        }
        Some(all)
    }
}

/// A list of names. Text in its place is a list of its letters, as in Python.
fn names(args: &Args, key: &str) -> Option<Vec<String>> {
    Some(match args.given(key)? {
        Value::List(items) => items.iter().map(python::str).collect(),
        Value::Str(text) => text.chars().map(String::from).collect(),
        other => vec![python::str(other)],
    })
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let wanted = Wanted::new(args, check)?;
    for (key, value) in &wanted.facts {
        let text = python::str(value);
        if text.contains(',') && *key != "other" {
            return Ok(Plan::fail(format!(
                "Invalid character in {key}: a comma separates it from what follows"
            )));
        }
    }
    let missing: Vec<String> = wanted
        .groups
        .iter()
        .flatten()
        .filter(|name| !matches!(group::find(check.system, name), Ok(Some(_))))
        .cloned()
        .collect();
    match tools::find(check.system, &wanted.user.name)? {
        Some(user) => update::plan(&user, wanted, &missing, check),
        None => create::plan(wanted, &missing, check),
    }
}

/// Why nothing can be done while groups are missing.
fn missing_groups(missing: &[String]) -> String {
    format!(
        "The following group(s) are not present: {}",
        missing.join(",")
    )
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let Some(user) = tools::find(check.system, &name)? else {
        return Ok(Plan::unchanged(format!("User {name} is not present")));
    };
    let (purge, force) = (args.is_true("purge"), args.is_true("force"));
    let would = format!("User {name} set for removal");
    let own_group = group::find(check.system, &name)?
        .is_some_and(|group| group.members.iter().all(|member| *member == name))
        && user_groups(check.system);
    let mut changes = Changes::none();
    if own_group {
        changes = changes.with(&format!("{name} group"), "removed");
    }
    changes = changes.with(&name, "removed");
    let (gone, home) = (name.clone(), purge.then_some(user.home));
    Ok(
        Plan::change(format!("Removed user {name}"), changes, move |context| {
            let had_group = group::find(context.system, &name)?.is_some();
            if !tools::delete(context, &name, purge, force)? {
                return Ok(Done::failed(format!("Failed to remove user {name}")));
            }
            let mut changes = Changes::none();
            if had_group && group::find(context.system, &name)?.is_none() {
                changes = changes.with(&format!("{name} group"), "removed");
            }
            Ok(Done::as_planned().changes(changes.with(&name, "removed")))
        })
        .when_testing(would)
        .test_changes(Changes::none())
        .when_rehearsing(move |context| {
            rehearsed::without_user(context, &gone, own_group, home.as_deref())
        }),
    )
}

/// Whether the tools make and remove a group for every user.
fn user_groups(machine: &dyn Observe) -> bool {
    let text = machine
        .text(std::path::Path::new("/etc/login.defs"))
        .ok()
        .flatten()
        .unwrap_or_default();
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("USERGROUPS_ENAB") && words.next() == Some("yes")
    })
}

/// The password as far as it may be shown, and the number of its last change.
fn shadow_changes(
    mut changes: Changes,
    before: &shadow::Entry,
    after: &shadow::Entry,
    skip: &[shadow::Age],
) -> Changes {
    if before.password() != after.password() {
        changes.insert("passwd", REDACTED);
    }
    for age in [
        shadow::Age::Date,
        shadow::Age::MinDays,
        shadow::Age::MaxDays,
        shadow::Age::WarnDays,
        shadow::Age::InactDays,
        shadow::Age::Expire,
    ] {
        if before.age(age) != after.age(age) && !skip.contains(&age) {
            changes.insert(age.key(), after.age(age));
        }
    }
    changes
}

/// What Salt shows of a user that changed: what is different in `user.info`.
fn info_changes(
    machine: &dyn Observe,
    before: &salt_proto::Map,
    name: &str,
) -> Result<Changes, CallError> {
    let mut changes = Changes::none();
    if let Some(user) = tools::find(machine, name)? {
        for (key, value) in &info(&user, machine)? {
            if before.get_value(key) != Some(value) {
                changes.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(changes)
}

/// The name of a user's primary group; its number where it has no name.
fn primary(machine: &dyn Observe, gid: u32) -> Result<String, CallError> {
    let group = machine
        .group_by_id(gid)
        .map_err(|error| CallError::execution(crate::system::errno_text(&error, None)))?;
    Ok(group.map_or_else(|| gid.to_string(), |group| group.name))
}

/// The further groups of a user as they are compared: without the primary group, and
/// without the group of the user's name unless that is asked for.
fn further_groups(
    machine: &dyn Observe,
    user: &User,
    wanted: &[String],
) -> Result<Vec<String>, CallError> {
    let primary = primary(machine, user.gid)?;
    let mut now = memberships(machine, &user.name)?;
    now.retain(|name| *name != primary && (*name != user.name || wanted.contains(name)));
    now.sort();
    Ok(now)
}

/// The number of the primary group that is asked for.
fn wanted_gid(machine: &dyn Observe, gid: &Value) -> Result<Option<u32>, CallError> {
    gid_of(machine, &python::str(gid))
}
