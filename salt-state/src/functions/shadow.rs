//! `shadow.*`: passwords and their ages.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, errno_text};

use super::tool;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "shadow.default_hash",
        "default_hash()",
        "What stands for a password that cannot be typed.",
        |_, _| Ok("!".into()),
    );
    add(
        "shadow.info",
        "info(name, root=None)",
        "Returns what the shadow file has of a user; empty texts when there is none.",
        |args, context| {
            let entry = info(context.system, &args.text("name")?)?;
            let known = !entry.name.is_empty();
            let mut map = entry.into_map();
            if !known {
                for (_, value) in map.iter_mut() {
                    *value = "".into();
                }
            }
            Ok(map.into())
        },
    );
    add(
        "shadow.list_users",
        "list_users(root=None)",
        "Lists the names of the users in the shadow file.",
        |_, context| {
            let mut names: Vec<String> = entries(context.system)?
                .into_iter()
                .map(|entry| entry.name)
                .collect();
            names.sort();
            Ok(names.into_iter().collect())
        },
    );
    add(
        "shadow.set_password",
        "set_password(name, password, use_usermod=False, root=None)",
        "Sets the hash of a user's password.",
        |args, context| {
            Ok(set_password(context, &args.text("name")?, &args.text("password")?)?.into())
        },
    );
    add(
        "shadow.del_password",
        "del_password(name, root=None)",
        "Makes a user's password empty.",
        |args, context| Ok(clear_password(context, &args.text("name")?)?.into()),
    );
    add(
        "shadow.lock_password",
        "lock_password(name, root=None)",
        "Makes a user's password unusable, in a way that can be undone.",
        |args, context| Ok(set_lock(context, &args.text("name")?, true)?.into()),
    );
    add(
        "shadow.unlock_password",
        "unlock_password(name, root=None)",
        "Makes a locked password usable again.",
        |args, context| Ok(set_lock(context, &args.text("name")?, false)?.into()),
    );
    registry.add(
        "shadow.gen_password",
        "gen_password(password, crypt_salt=None, algorithm='sha512')",
        "Returns the hash of a password for the shadow file: sha512, sha256 or md5.",
        super::random::shadow::hash,
    );
    ages(registry);
}

fn ages(registry: &mut Registry) {
    type Entry = (
        &'static str,
        &'static str,
        &'static str,
        fn(&Args, &Context<'_>) -> Answer,
    );
    const AGES: [Entry; 6] = [
        (
            "shadow.set_date",
            "set_date(name, date, root=None)",
            "Sets the day of the last change of a password.",
            |args, context| age(args, context, Age::Date),
        ),
        (
            "shadow.set_mindays",
            "set_mindays(name, mindays, root=None)",
            "Sets how many days a password has to be kept.",
            |args, context| age(args, context, Age::MinDays),
        ),
        (
            "shadow.set_maxdays",
            "set_maxdays(name, maxdays, root=None)",
            "Sets how many days a password may be kept.",
            |args, context| age(args, context, Age::MaxDays),
        ),
        (
            "shadow.set_inactdays",
            "set_inactdays(name, inactdays, root=None)",
            "Sets how many days after its end a password still lets in.",
            |args, context| age(args, context, Age::InactDays),
        ),
        (
            "shadow.set_warndays",
            "set_warndays(name, warndays, root=None)",
            "Sets how many days before its end a password warns.",
            |args, context| age(args, context, Age::WarnDays),
        ),
        (
            "shadow.set_expire",
            "set_expire(name, expire, root=None)",
            "Sets the day on which an account ends.",
            |args, context| age(args, context, Age::Expire),
        ),
    ];
    for (name, signature, doc, function) in AGES {
        registry.add(name, signature, doc, function);
    }
}

/// The numbers of a shadow entry that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// The day of the last change.
    Date,
    /// Days a password has to be kept.
    MinDays,
    /// Days a password may be kept.
    MaxDays,
    /// Days after its end that it still lets in.
    InactDays,
    /// Days before its end that it warns.
    WarnDays,
    /// The day the account ends.
    Expire,
}

impl Age {
    /// All, in the order in which Salt sets them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Date,
        Self::MinDays,
        Self::MaxDays,
        Self::InactDays,
        Self::WarnDays,
        Self::Expire,
    ];

    /// The argument that states it.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::MinDays => "mindays",
            Self::MaxDays => "maxdays",
            Self::InactDays => "inactdays",
            Self::WarnDays => "warndays",
            Self::Expire => "expire",
        }
    }

    /// Its name in what `shadow.info` returns.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Date => "lstchg",
            Self::MinDays => "min",
            Self::MaxDays => "max",
            Self::InactDays => "inact",
            Self::WarnDays => "warn",
            Self::Expire => "expire",
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Self::Date => "-d",
            Self::MinDays => "-m",
            Self::MaxDays => "-M",
            Self::InactDays => "-I",
            Self::WarnDays => "-W",
            Self::Expire => "-E",
        }
    }
}

/// One line of the shadow file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    name: String,
    password: String,
    changed: i64,
    min: i64,
    max: i64,
    warn: i64,
    inactive: i64,
    expire: i64,
}

impl Entry {
    fn missing() -> Self {
        Self {
            name: String::new(),
            password: String::new(),
            changed: -1,
            min: -1,
            max: -1,
            warn: -1,
            inactive: -1,
            expire: -1,
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let password = fields.next()?.to_owned();
        let mut number = || {
            fields
                .next()
                .and_then(|field| field.parse().ok())
                .unwrap_or(-1)
        };
        Some(Self {
            name,
            password,
            changed: number(),
            min: number(),
            max: number(),
            warn: number(),
            inactive: number(),
            expire: number(),
        })
    }

    /// The hash of the password.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// One of the numbers; -1 when it is not set.
    pub(crate) fn age(&self, age: Age) -> i64 {
        match age {
            Age::Date => self.changed,
            Age::MinDays => self.min,
            Age::MaxDays => self.max,
            Age::InactDays => self.inactive,
            Age::WarnDays => self.warn,
            Age::Expire => self.expire,
        }
    }

    /// As `shadow.info` returns it.
    pub(crate) fn into_map(self) -> Map {
        Map::from([
            ("name", Value::from(self.name)),
            ("passwd", self.password.into()),
            ("lstchg", self.changed.into()),
            ("min", self.min.into()),
            ("max", self.max.into()),
            ("warn", self.warn.into()),
            ("inact", self.inactive.into()),
            ("expire", self.expire.into()),
        ])
    }
}

fn entries(machine: &dyn Observe) -> Result<Vec<Entry>, CallError> {
    let path = Path::new("/etc/shadow");
    let text = machine
        .text(path)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?;
    Ok(text
        .unwrap_or_default()
        .lines()
        .filter_map(Entry::parse)
        .collect())
}

/// What the shadow file has of a user.
pub(crate) fn info(machine: &dyn Observe, name: &str) -> Result<Entry, CallError> {
    Ok(entries(machine)?
        .into_iter()
        .find(|entry| entry.name == name)
        .unwrap_or_else(Entry::missing))
}

fn age(args: &Args, context: &Context<'_>, age: Age) -> Answer {
    let value = args.get(age.argument()).cloned().unwrap_or_default();
    Ok(set_age(context, &args.text("name")?, age, &value)?.into())
}

/// Sets one of the numbers; whether it is that then.
pub(crate) fn set_age(
    context: &Context<'_>,
    name: &str,
    age: Age,
    value: &Value,
) -> Result<bool, CallError> {
    let value = crate::python::str(value);
    let before = info(context.system, name)?.age(age);
    if value.parse() == Ok(before) {
        return Ok(true);
    }
    let command = tool::named(context.system, "chage").args([age.flag(), &value, "--", name]);
    let output = tool::run(context, &command)?;
    let now = info(context.system, name)?.age(age);
    // Dates can be stated as text, which only `chage` reads.
    Ok(output.is_success() && value.parse().map_or(true, |value: i64| value == now))
}

/// Sets the hash of a password; whether it is that then. The hash is not shown to other
/// users, as an argument would be.
pub(crate) fn set_password(
    context: &Context<'_>,
    name: &str,
    password: &str,
) -> Result<bool, CallError> {
    if context.system.user(name).ok().flatten().is_none()
        || password.contains(['\n', ':'])
        || name.contains(['\n', ':'])
    {
        return Ok(false);
    }
    let command = tool::named(context.system, "chpasswd")
        .arg("-e")
        .stdin(format!("{name}:{password}\n"));
    tool::run(context, &command)?;
    Ok(info(context.system, name)?.password() == password)
}

/// Makes a password empty; whether it is that then.
pub(crate) fn clear_password(context: &Context<'_>, name: &str) -> Result<bool, CallError> {
    let command = tool::named(context.system, "passwd").args(["-d", name]);
    tool::run(context, &command)?;
    Ok(info(context.system, name)?.password().is_empty())
}

/// Locks or unlocks a password; whether that went well.
pub(crate) fn set_lock(context: &Context<'_>, name: &str, locked: bool) -> Result<bool, CallError> {
    let before = info(context.system, name)?;
    if before.name.is_empty() {
        return Ok(false);
    }
    if before.password().starts_with('!') == locked {
        return Ok(true);
    }
    let flag = if locked { "-l" } else { "-u" };
    tool::run(
        context,
        &tool::named(context.system, "passwd").args([flag, name]),
    )?;
    Ok(info(context.system, name)?.password().starts_with('!') == locked)
}
