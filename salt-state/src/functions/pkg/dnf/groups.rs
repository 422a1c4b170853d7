//! Groups of packages, as dnf knows them.

use salt_proto::{Map, Value};

use super::{FAMILY, dnf, items, needs_rpm, own_arch, repo_options, versions};
use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

type Answer = Result<Value, CallError>;

/// How packages belong to a group.
const KINDS: [&str; 4] = ["mandatory", "optional", "default", "conditional"];

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add_for(FAMILY, name, signature, doc, function);
    };
    add(
        "pkg.group_list",
        "group_list()",
        "The groups of packages that there are, by whether they are installed.",
        |_, context| {
            needs_rpm(context, "pkg.group_list")?;
            list(context.system)
        },
    );
    add(
        "pkg.group_info",
        "group_info(name, expand=False, ignore_groups=None, **kwargs)",
        "What belongs to a group of packages.",
        |args, context| {
            needs_rpm(context, "pkg.group_info")?;
            let ignored = args.given("ignore_groups").map(items).unwrap_or_default();
            let (name, expand) = (args.text("name")?, args.is_true("expand"));
            let group = Group::find(context.system, &name, expand, ignored, &repo_options(args))?;
            Ok(group.to_map().into())
        },
    );
    add(
        "pkg.group_diff",
        "group_diff(name, **kwargs)",
        "Which packages of a group are installed and which are not.",
        |args, context| {
            needs_rpm(context, "pkg.group_diff")?;
            let own = own_arch(&context.minion.grains);
            let now = versions(context.system, own)?;
            let found = difference(
                context.system,
                &now,
                &args.text("name")?,
                &repo_options(args),
            )?;
            Ok(found.into())
        },
    );
    for name in ["pkg.group_install", "pkg.groupinstall"] {
        add(
            name,
            "group_install(name, skip=(), include=(), **kwargs)",
            "Installs groups of packages and returns what changed.",
            install,
        );
    }
}

/// A group of packages, or one of groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    is_environment: bool,
    name: String,
    id: Option<String>,
    description: String,
    /// The members by [`KINDS`].
    members: [Vec<String>; 4],
}

impl Group {
    /// What dnf tells of a group.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub(crate) fn find(
        machine: &dyn Observe,
        name: &str,
        expand: bool,
        mut ignored: Vec<String>,
        options: &[String],
    ) -> Result<Self, CallError> {
        let mut group = Self::ask(machine, name, options)?;
        if !(expand && group.is_environment) {
            return Ok(group);
        }
        let mut all: [Vec<String>; 4] = Default::default();
        for members in std::mem::take(&mut group.members) {
            for member in members {
                if ignored.contains(&member) {
                    continue;
                }
                ignored.push(member.clone());
                let inner = match Self::ask(machine, &format!("@{member}"), options) {
                    Ok(inner) => inner,
                    Err(_) => Self::ask(machine, &member, options)?,
                };
                for (into, more) in all.iter_mut().zip(inner.members) {
                    into.extend(more);
                }
            }
        }
        for list in &mut all {
            list.sort();
            list.dedup();
        }
        group.members = all;
        Ok(group)
    }

    fn ask(machine: &dyn Observe, name: &str, options: &[String]) -> Result<Self, CallError> {
        let command = dnf(["--quiet"]).args(options).args(["groupinfo", name]);
        let text = tool::ask(machine, &command)?.stdout_text();
        let mut group = Self::default();
        let mut into = None;
        let mut is_known = false;
        for line in text.lines() {
            let (key, value) = match line.trim().split_once(':') {
                Some((key, value)) => (key.trim().to_lowercase(), value.trim()),
                None => (line.trim().to_lowercase(), ""),
            };
            let kind = KINDS.iter().position(|kind| {
                key.strip_prefix(kind)
                    .is_some_and(|rest| matches!(rest.trim(), "packages" | "groups"))
            });
            match key.as_str() {
                "group" | "environment group" => {
                    group.is_environment = key == "environment group";
                    value.clone_into(&mut group.name);
                    is_known = true;
                }
                "group-id" | "environment-id" => group.id = Some(value.to_owned()),
                "description" => value.clone_into(&mut group.description),
                _ if kind.is_some() => into = kind,
                _ => {
                    let members = into.and_then(|kind| group.members.get_mut(kind));
                    let member = line.trim();
                    if let (Some(members), false) = (members, member.is_empty()) {
                        // yum marks what is installed, or would be.
                        let member = member.trim_start_matches(['+', '-', '=']);
                        members.push(member.to_owned());
                    }
                }
            }
        }
        if !is_known {
            return Err(CallError::execution(format!("Group '{name}' not found")));
        }
        for list in &mut group.members {
            list.sort();
            list.dedup();
        }
        Ok(group)
    }

    fn to_map(&self) -> Map {
        let kind = if self.is_environment {
            "environment group"
        } else {
            "package group"
        };
        let mut map: Map = KINDS
            .into_iter()
            .zip(&self.members)
            .map(|(kind, members)| (kind, members.iter().collect::<Value>()))
            .collect();
        map.insert("type", kind);
        map.insert("group", self.name.as_str());
        map.insert("id", Value::from(self.id.clone()));
        map.insert("description", self.description.as_str());
        map
    }

    /// The members of a kind.
    fn of(&self, kind: &str) -> &[String] {
        KINDS
            .iter()
            .position(|known| *known == kind)
            .and_then(|at| self.members.get(at))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

/// Which packages of a group are installed and which are not, by kind.
pub(crate) fn difference(
    machine: &dyn Observe,
    now: &super::Versions,
    name: &str,
    options: &[String],
) -> Result<Map, CallError> {
    let group = Group::find(machine, name, true, Vec::new(), options)?;
    Ok(KINDS
        .into_iter()
        .map(|kind| {
            let (there, missing): (Vec<&String>, Vec<&String>) = group
                .of(kind)
                .iter()
                .partition(|member| now.contains_key(*member));
            let map = Map::from([
                ("installed", there.into_iter().collect::<Value>()),
                ("not installed", missing.into_iter().collect()),
            ]);
            (kind, map)
        })
        .collect())
}

/// All groups, by whether they are installed.
fn list(machine: &dyn Observe) -> Answer {
    let output = tool::ask(machine, &dnf(["grouplist", "hidden"]))?;
    let mut lists: [(&str, &str, Vec<String>); 4] = [
        ("installed groups:", "installed", Vec::new()),
        ("available groups:", "available", Vec::new()),
        (
            "installed environment groups:",
            "installed environments",
            Vec::new(),
        ),
        (
            "available environment groups:",
            "available environments",
            Vec::new(),
        ),
    ];
    let mut languages = Map::new();
    let mut into = None;
    let mut in_languages = false;
    for line in output.stdout_text().lines() {
        let heading = line.trim().to_lowercase();
        if let Some(at) = lists.iter().position(|(known, ..)| *known == heading) {
            (into, in_languages) = (Some(at), false);
        } else if heading == "available language groups:" {
            (into, in_languages) = (None, true);
        } else if heading.ends_with(':') {
            (into, in_languages) = (None, false);
        } else if !heading.is_empty() && line.starts_with([' ', '\t']) {
            let name = line.trim();
            if in_languages {
                // Afrikaans Support [af]
                if let Some((_, short)) = name.split_once('[') {
                    let short = short.trim_end_matches(']');
                    languages.insert(name, Map::from([("name", name), ("language", short)]));
                }
            } else if let Some((.., names)) = into.and_then(|at| lists.get_mut(at)) {
                names.push(name.to_owned());
            }
        }
    }
    let mut map: Map = lists
        .into_iter()
        .map(|(_, key, names)| (key, names.into_iter().collect::<Value>()))
        .collect();
    map.insert("available languages", languages);
    Ok(map.into())
}

/// The packages to install for groups, without those to skip and with some more.
fn chosen(
    context: &Context<'_>,
    groups: &[String],
    skip: &[String],
    include: Vec<String>,
    options: &[String],
) -> Result<Vec<String>, CallError> {
    let mut names = Vec::new();
    for name in groups {
        let group = Group::find(context.system, name, false, Vec::new(), options)?;
        names.extend(group.of("mandatory").iter().cloned());
        let usual = group.of("default").iter();
        names.extend(usual.filter(|member| !skip.contains(member)).cloned());
    }
    names.extend(include);
    Ok(names)
}

fn install(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "pkg.group_install")?;
    let groups = match args.get("name") {
        Some(value @ (Value::List(_) | Value::Str(_))) => items(value),
        _ => {
            return Err(CallError::invocation("'groups' must be a list"));
        }
    };
    let list = |name: &str| args.given(name).map(items).unwrap_or_default();
    let names = chosen(
        context,
        &groups,
        &list("skip"),
        list("include"),
        &repo_options(args),
    )?;
    let own = own_arch(&context.minion.grains);
    let now = versions(context.system, own)?;
    let missing: Value = names
        .into_iter()
        .filter(|name| !now.contains_key(name))
        .collect();
    if missing.as_list().is_none_or(<[Value]>::is_empty) {
        return Ok(Map::new().into());
    }
    let mut call = Args::new().keyword("pkgs", missing);
    for (key, value) in &args.clean_keywords() {
        call = call.keyword(&python::str(key), value.clone());
    }
    context.registry.call("pkg.install", &call, context)
}
