//! The directory that a server keeps everything in.

use std::path::{Path, PathBuf};

use super::Answer;
use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions};

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "postgres.datadir_exists",
        "datadir_exists(name)",
        "Whether a directory holds what a server keeps.",
        |args, context| Ok(exists(context.system, &args.text("name")?).into()),
    );
    add(
        "postgres.datadir_init",
        "datadir_init(name, auth='password', user=None, password=None, encoding='UTF8', locale=None, waldir=None, checksums=False, runas=None)",
        "Makes such a directory, with `initdb`; false when it is one.",
        |args, context| Ok(create(args, context)?.into()),
    );
}

/// Whether the directory is one of a server.
pub(crate) fn exists(machine: &dyn Observe, directory: &str) -> bool {
    machine.is_file(&Path::new(directory).join("PG_VERSION"))
}

/// Where `initdb` is: where the minion is told, else in the usual places, else with the
/// newest server that Debian installed.
fn initdb(context: &Context<'_>) -> PathBuf {
    let machine = context.system;
    let told = context.minion.config.get("postgres.bins_dir");
    if let Some(place) = told.map(python::str).filter(|place| !place.is_empty()) {
        return Path::new(&place).join("initdb");
    }
    if let Some(found) = machine.which("initdb") {
        return found;
    }
    let all = Path::new("/usr/lib/postgresql");
    let mut servers: Vec<(u32, PathBuf)> = machine
        .list(all)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|version| {
            let program = all.join(&version).join("bin/initdb");
            let number = version.to_str()?.split('.').next()?.parse().ok()?;
            machine.is_file(&program).then_some((number, program))
        })
        .collect();
    servers.sort();
    servers
        .pop()
        .map_or_else(|| "initdb".into(), |(_, program)| program)
}

/// Makes the directory that the arguments describe; whether that worked.
pub(crate) fn create(args: &Args, context: &Context<'_>) -> Result<bool, CallError> {
    let machine = context.system;
    let directory = args.text("name")?;
    if exists(machine, &directory) {
        return Ok(false);
    }
    let is_root = machine.identity().uid == 0;
    let owner = args.optional_text("runas").or_else(|| {
        let there = machine.user("postgres").ok().flatten().is_some();
        (is_root && there).then(|| "postgres".to_owned())
    });
    let mut command = tool::plain(initdb(context)).arg(format!("--pgdata={directory}"));
    for (option, argument) in [
        ("--username", "user"),
        ("--auth", "auth"),
        ("--encoding", "encoding"),
        ("--locale", "locale"),
        ("--waldir", "waldir"),
    ] {
        if let Some(value) = args.optional_text(argument) {
            command = command.arg(format!("{option}={value}"));
        }
    }
    if args.is_true("checksums") {
        command = command.arg("--data-checksums");
    }
    command.user.clone_from(&owner);
    command = command.cwd("/");
    let Some(password) = args.optional_text("password") else {
        return Ok(tool::run(context, &command)?.is_success());
    };
    // A file, since the list of processes is read by everybody.
    let mut random = [0; 16];
    machine.random(&mut random);
    let unpredictable: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = PathBuf::from("/tmp").join(format!("initdb-{unpredictable}"));
    let mut options = WriteOptions::new().mode(0o600);
    if let Some(user) = owner.as_deref().and_then(|name| machine.user(name).ok()?) {
        options = options.owner(user.uid, user.gid);
    }
    let written = machine.write(&file, format!("{password}\n").as_bytes(), &options);
    let ran = match written {
        Ok(()) => tool::run(
            context,
            &command.arg(format!("--pwfile={}", file.display())),
        ),
        Err(error) => Err(CallError::execution(error.to_string())),
    };
    let removed = machine.remove(&file);
    let worked = ran?.is_success();
    removed.map_err(|error| CallError::execution(error.to_string()))?;
    Ok(worked)
}
