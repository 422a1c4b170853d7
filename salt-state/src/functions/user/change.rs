//! `user.*` as far as it changes users: through `useradd`, `usermod` and `userdel`.

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, User, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "user.add",
        "add(name, uid=None, gid=None, groups=None, home=None, shell=None, unique=True, system=False, fullname='', roomnumber='', workphone='', homephone='', other='', createhome=True, loginclass=None, nologinit=False, root=None, usergroup=None, local=False)",
        "Makes a user.",
        |args, context| Ok(create(context, &NewUser::new(args)?)?.into()),
    );
    add(
        "user.delete",
        "delete(name, remove=False, force=False, root=None, local=False)",
        "Removes a user; with remove, the home directory and mail too.",
        |args, context| {
            Ok(delete(
                context,
                &args.text("name")?,
                args.is_true("remove"),
                args.is_true("force"),
            )?
            .into())
        },
    );
    add(
        "user.chuid",
        "chuid(name, uid)",
        "Gives a user another number.",
        |args, context| change(args, context, "uid", &["-u"]),
    );
    add(
        "user.chgid",
        "chgid(name, gid, root=None)",
        "Gives a user another primary group.",
        |args, context| change(args, context, "gid", &["-g"]),
    );
    add(
        "user.chshell",
        "chshell(name, shell, root=None)",
        "Gives a user another login shell.",
        |args, context| change(args, context, "shell", &["-s"]),
    );
    add(
        "user.chhome",
        "chhome(name, home, persist=False, root=None)",
        "Gives a user another home directory; with persist, moves its content there.",
        |args, context| {
            let flags: &[&str] = if args.is_true("persist") {
                &["-m", "-d"]
            } else {
                &["-d"]
            };
            change(args, context, "home", flags)
        },
    );
    add(
        "user.chgroups",
        "chgroups(name, groups, append=False, root=None)",
        "Makes a user a member of groups, and of no other unless append is set.",
        |args, context| {
            let name = args.text("name")?;
            let groups = args.words("groups");
            let append = args.is_true("append");
            let mut now = super::memberships(context.system, &name)?;
            now.retain(|group| append || groups.contains(group));
            if now.len() == groups.len() && groups.iter().all(|group| now.contains(group)) {
                return Ok(true.into());
            }
            Ok(set_groups(context, &name, &groups, append)?.into())
        },
    );
    facts(registry);
    registry.add(
        "user.chloginclass",
        "chloginclass(name, loginclass, root=None)",
        "Login classes are OpenBSD's; there are none here.",
        |_, _| Ok(false.into()),
    );
    registry.add(
        "user.rename",
        "rename(name, new_name, root=None)",
        "Gives a user another login name.",
        |args, context| {
            let (name, new) = (args.text("name")?, args.text("new_name")?);
            if find(context.system, &name)?.is_none() {
                return Err(CallError::execution(format!(
                    "User '{name}' does not exist"
                )));
            }
            if find(context.system, &new)?.is_some() {
                return Err(CallError::execution(format!("User '{new}' already exists")));
            }
            modify(context, &name, &["-l", &new])?;
            Ok(find(context.system, &new)?.is_some().into())
        },
    );
}

/// The parts of the GECOS field.
pub(crate) const FACTS: [&str; 5] = ["fullname", "roomnumber", "workphone", "homephone", "other"];

fn facts(registry: &mut Registry) {
    type Entry = (&'static str, &'static str, &'static str);
    const CHANGES: [Entry; 5] = [
        (
            "user.chfullname",
            "chfullname(name, fullname, root=None)",
            "Changes a user's full name.",
        ),
        (
            "user.chroomnumber",
            "chroomnumber(name, roomnumber, root=None)",
            "Changes a user's room number.",
        ),
        (
            "user.chworkphone",
            "chworkphone(name, workphone, root=None)",
            "Changes a user's telephone number at work.",
        ),
        (
            "user.chhomephone",
            "chhomephone(name, homephone, root=None)",
            "Changes a user's telephone number at home.",
        ),
        (
            "user.chother",
            "chother(name, other, root=None)",
            "Changes the last part of what is known of a user.",
        ),
    ];
    const FUNCTIONS: [fn(&Args, &Context<'_>) -> Answer; 5] = [
        |args, context| fact(args, context, 0),
        |args, context| fact(args, context, 1),
        |args, context| fact(args, context, 2),
        |args, context| fact(args, context, 3),
        |args, context| fact(args, context, 4),
    ];
    for ((name, signature, doc), function) in CHANGES.into_iter().zip(FUNCTIONS) {
        registry.add(name, signature, doc, function);
    }
}

fn fact(args: &Args, context: &Context<'_>, index: usize) -> Answer {
    let name = args.text("name")?;
    let key = FACTS.get(index).copied().unwrap_or_default();
    let Some(user) = find(context.system, &name)? else {
        return Ok(false.into());
    };
    let value = args.text(key)?;
    let mut parts = gecos(&user);
    if parts.get(index).is_some_and(|now| *now == value) {
        return Ok(true.into());
    }
    if let Some(part) = parts.get_mut(index) {
        part.clone_from(&value);
    }
    set_gecos(context, &name, &parts)?;
    let now = find(context.system, &name)?.map(|user| gecos(&user));
    Ok(now.is_some_and(|now| now.get(index) == Some(&value)).into())
}

/// Runs `usermod` with one value and says whether it arrived.
fn change(args: &Args, context: &Context<'_>, key: &str, flags: &[&str]) -> Answer {
    let name = args.text("name")?;
    let value = args.text(key)?;
    let read = |user: &User| match key {
        "uid" => user.uid.to_string(),
        "gid" => user.gid.to_string(),
        "shell" => user.shell.clone(),
        _ => user.home.to_string_lossy().into_owned(),
    };
    let wanted = match key {
        "gid" => match super::gid_of(context.system, &value)? {
            Some(gid) => gid.to_string(),
            None => value.clone(),
        },
        _ => value.clone(),
    };
    let Some(user) = find(context.system, &name)? else {
        return Err(CallError::execution(format!(
            "User '{name}' does not exist"
        )));
    };
    if read(&user) == wanted {
        return Ok(true.into());
    }
    let mut words = flags.to_vec();
    words.push(&value);
    modify(context, &name, &words)?;
    let now = find(context.system, &name)?;
    Ok(now.is_some_and(|user| read(&user) == wanted).into())
}

/// What `useradd` is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewUser {
    /// Login name.
    pub(crate) name: String,
    /// Number; default: chosen by `useradd`.
    pub(crate) uid: Option<String>,
    /// Primary group, by name or number; default: one of the user's name.
    pub(crate) gid: Option<String>,
    /// Further groups.
    pub(crate) groups: Vec<String>,
    /// Home directory.
    pub(crate) home: Option<String>,
    /// Login shell.
    pub(crate) shell: Option<String>,
    /// Whether the number must be free.
    pub(crate) unique: bool,
    /// Whether it is a system user.
    pub(crate) system: bool,
    /// The parts of the GECOS field.
    pub(crate) facts: [String; 5],
    /// Whether the home directory is made.
    pub(crate) create_home: bool,
    /// Whether the login databases are left alone.
    pub(crate) no_log_init: bool,
    /// Whether a group of the user's name is made; default: as `useradd` likes.
    pub(crate) user_group: Option<bool>,
    /// Whether the tools of libuser are used.
    pub(crate) local: bool,
}

impl NewUser {
    /// From the arguments that `user.add` and `user.present` share.
    pub(crate) fn new(args: &Args) -> Result<Self, CallError> {
        let text = |key: &str| args.optional_text(key).filter(|text| !text.is_empty());
        Ok(Self {
            name: args.text("name")?,
            uid: text("uid"),
            gid: text("gid"),
            groups: args.words("groups"),
            home: text("home"),
            shell: text("shell"),
            unique: args.is_true("unique"),
            system: args.is_true("system"),
            facts: FACTS.map(|key| args.optional_text(key).unwrap_or_default()),
            create_home: args.is_true("createhome"),
            no_log_init: args.is_true("nologinit"),
            user_group: args.given("usergroup").map(Value::is_true),
            local: args.is_true("local"),
        })
    }
}

/// The user of that name.
pub(crate) fn find(machine: &dyn Observe, name: &str) -> Result<Option<User>, CallError> {
    machine
        .user(name)
        .map_err(|error| CallError::execution(errno_text(&error, None)))
}

/// The parts of a user's GECOS field; five of them.
pub(crate) fn gecos(user: &User) -> Vec<String> {
    let mut parts: Vec<String> = user.gecos.splitn(5, ',').map(str::to_owned).collect();
    parts.resize(5, String::new());
    parts
}

/// Makes a user; whether that went well.
pub(crate) fn create(context: &Context<'_>, user: &NewUser) -> Result<bool, CallError> {
    let machine = context.system;
    let program = if user.local { "luseradd" } else { "useradd" };
    let mut command = tool::plain(tool::program(machine, program)?);
    if let Some(shell) = &user.shell {
        command = command.args(["-s", shell]);
    }
    if let Some(uid) = &user.uid {
        command = command.args(["-u", uid]);
    }
    if let Some(gid) = &user.gid {
        command = command.args(["-g", gid]);
    } else if let Some(group) = crate::functions::group::find(machine, &user.name)? {
        // A group of that name is there; `useradd` would not take it by itself.
        if !user.local {
            command = command.args(["-g", &group.gid.to_string()]);
        }
    } else if user.user_group == Some(true) {
        command = command.arg("-U");
    } else if user.user_group == Some(false) {
        command = command.arg("-N");
    }
    if user.create_home {
        command = command.arg("-m");
    } else {
        command = command.arg("-M");
    }
    if user.no_log_init {
        command = command.arg("-l");
    }
    if let Some(home) = &user.home {
        command = command.args(["-d", home]);
    }
    if !user.unique && !user.local {
        command = command.arg("-o");
    }
    if user.system {
        command = command.arg("-r");
    }
    if !succeeds(context, &command.arg("--").arg(&user.name))? {
        return Ok(false);
    }
    if user.facts.iter().any(|fact| !fact.is_empty()) {
        set_gecos(context, &user.name, &user.facts)?;
    }
    if !user.groups.is_empty() {
        set_groups(context, &user.name, &user.groups, false)?;
    }
    Ok(true)
}

/// Removes a user; whether that went well.
pub(crate) fn delete(
    context: &Context<'_>,
    name: &str,
    remove: bool,
    force: bool,
) -> Result<bool, CallError> {
    let mut command = tool::plain(tool::program(context.system, "userdel")?);
    if remove {
        command = command.arg("-r");
    }
    if force {
        command = command.arg("-f");
    }
    let output = tool::run(context, &command.arg("--").arg(name))?;
    // 12: the user is gone, its home directory or mail could not be.
    if output.is_success() || output.exit.code() == 12 && tool::said(&output).contains("not found")
    {
        return Ok(true);
    }
    context.set_retcode(output.exit.code().into());
    Ok(false)
}

/// Runs `usermod`; whether that went well.
pub(crate) fn modify(context: &Context<'_>, name: &str, words: &[&str]) -> Result<bool, CallError> {
    let command = tool::plain(tool::program(context.system, "usermod")?);
    succeeds(
        context,
        &command.args(words.iter().copied()).arg("--").arg(name),
    )
}

/// States what is known of a user beside the name.
pub(crate) fn set_gecos(
    context: &Context<'_>,
    name: &str,
    parts: &[String],
) -> Result<bool, CallError> {
    let text = parts.join(",");
    modify(context, name, &["-c", text.trim_end_matches(',')])
}

/// States a user's further groups.
pub(crate) fn set_groups(
    context: &Context<'_>,
    name: &str,
    groups: &[String],
    append: bool,
) -> Result<bool, CallError> {
    let groups = groups.join(",");
    if append {
        modify(context, name, &["-a", "-G", &groups])
    } else {
        modify(context, name, &["-G", &groups])
    }
}

fn succeeds(context: &Context<'_>, command: &Command) -> Result<bool, CallError> {
    let output = tool::run(context, command)?;
    if !output.is_success() {
        context.set_retcode(output.exit.code().into());
        tracing::error!(
            program = %command.program.to_string_lossy(),
            code = output.exit.code(),
            "the command failed"
        );
    }
    Ok(output.is_success())
}
