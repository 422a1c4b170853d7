//! The keys that sources of packages are signed with: in apt's own keyring, which
//! `apt-key` keeps, or each in a file of its own.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::manager::Manager;
use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

/// Where keys in files of their own belong.
const PLACE: &str = "/etc/apt/keyrings";

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "pkg.add_repo_key",
        "add_repo_key(path=None, text=None, keyserver=None, keyid=None, saltenv='base', aptkey=True, keydir=None, keyfile=None)",
        "Adds a key of a source of packages, from a file, a text or a server of keys.",
        add,
    );
    registry.add(
        "pkg.del_repo_key",
        "del_repo_key(name=None, aptkey=True, keydir=None, **kwargs)",
        "Removes a key of a source of packages.",
        remove,
    );
    registry.add(
        "pkg.get_repo_keys",
        "get_repo_keys(aptkey=True, keydir=None)",
        "What is known of the keys of sources of packages, by id.",
        |args, context| {
            apt(context, "pkg.get_repo_keys")?;
            if args.is_true("aptkey") {
                return Ok(trusted(context)?.into());
            }
            match files(context.system, &place(args)) {
                Some(files) => Ok(in_files(context, &files)?
                    .into_iter()
                    .flat_map(|(_, keys)| keys)
                    .collect::<Map>()
                    .into()),
                None => Ok(false.into()),
            }
        },
    );
}

fn apt(context: &Context<'_>, function: &str) -> Result<(), CallError> {
    match Manager::of(context, function)? {
        Manager::Apt => Ok(()),
        _ => Err(CallError::Unavailable(function.to_owned())),
    }
}

fn place(args: &Args) -> PathBuf {
    let stated = args.optional_text("keydir").filter(|text| !text.is_empty());
    stated.map_or_else(|| PathBuf::from(PLACE), PathBuf::from)
}

/// The files of a directory, sorted; `None` when it is not there.
fn files(machine: &dyn Observe, place: &Path) -> Option<Vec<PathBuf>> {
    let mut names = machine.list(place).ok()?;
    names.sort();
    Some(names.into_iter().map(|name| place.join(name)).collect())
}

/// Runs a command and says whether it went well.
fn went_well(context: &Context<'_>, command: &crate::system::Command) -> Result<bool, CallError> {
    let output = tool::run(context, command)?;
    if !output.is_success() {
        context.set_retcode(output.exit.code().into());
    }
    Ok(output.is_success())
}

fn add(args: &Args, context: &Context<'_>) -> Answer {
    apt(context, "pkg.add_repo_key")?;
    let aptkey = args.is_true("aptkey");
    let text = |key: &str| args.optional_text(key).filter(|text| !text.is_empty());
    let place = place(args);
    if !aptkey && !context.system.exists(&place) {
        context
            .system
            .create_dir_all(&place, 0o755)
            .map_err(|error| CallError::execution(errno_text(&error, Some(&place))))?;
    }
    let apt_key = || tool::named(context.system, "apt-key");
    let id = text("keyid");
    if let Some(id) = &id {
        let keys = if aptkey {
            vec![trusted(context)?]
        } else {
            let files = files(context.system, &place).unwrap_or_default();
            let keys = in_files(context, &files)?;
            keys.into_iter().map(|(_, keys)| keys).collect()
        };
        if keys.iter().any(|keys| has(keys, id)) {
            return Ok(true.into());
        }
    }
    if let Some(path) = text("path") {
        let Some(file) = cached(&path, args, context)? else {
            return Ok(false.into());
        };
        if aptkey {
            return Ok(went_well(context, &apt_key().args(["add", &file]))?.into());
        }
        let file = Path::new(&file);
        let name = text("keyfile").map(std::ffi::OsString::from);
        let Some(name) = name.or_else(|| file.file_name().map(ToOwned::to_owned)) else {
            return Ok(false.into());
        };
        return copy(context, file, &place.join(name));
    }
    if let Some(key) = text("text") {
        return Ok(went_well(context, &apt_key().args(["add", "-"]).stdin(key))?.into());
    }
    let Some(server) = text("keyserver") else {
        let Some(id) = id else {
            return Err(CallError::Arguments(
                "add_repo_key() takes at least 1 argument (0 given)".to_owned(),
            ));
        };
        return Err(CallError::invocation(format!(
            "No keyserver specified for keyid: {id}"
        )));
    };
    let Some(id) = id else {
        return Err(CallError::invocation(format!(
            "No keyid or keyid too short for keyserver: {server}"
        )));
    };
    if aptkey {
        let command = apt_key().args(["adv", "--batch", "--keyserver", &server, "--recv", &id]);
        return Ok(went_well(context, &command)?.into());
    }
    let Some(name) = text("keyfile") else {
        tracing::error!("a key from a server needs the name of the file that it becomes");
        return Ok(false.into());
    };
    let command = tool::named(context.system, "gpg")
        .args(["--no-default-keyring", "--keyring"])
        .arg(place.join(name))
        .args(["--keyserver", &server, "--recv-keys", &id]);
    Ok(went_well(context, &command)?.into())
}

/// Whether there is a key of that id, long or short.
fn has(keys: &Map, id: &str) -> bool {
    let mut known = keys.keys().filter_map(Value::as_str);
    matches!(id.len(), 8 | 16) && known.any(|known| known.ends_with(id))
}

/// The local copy of a key; `None` when it cannot be had.
fn cached(path: &str, args: &Args, context: &Context<'_>) -> Result<Option<String>, CallError> {
    if path.starts_with('/') {
        return Ok(Some(path.to_owned()));
    }
    let call = Args::new().with(path);
    let call = match args.given("saltenv") {
        Some(saltenv) => call.with(saltenv.clone()),
        None => call,
    };
    let local = context.registry.call("cp.cache_file", &call, context)?;
    Ok(local
        .as_str()
        .filter(|local| !local.is_empty())
        .map(str::to_owned))
}

fn copy(context: &Context<'_>, from: &Path, to: &Path) -> Answer {
    let failed = |error: &std::io::Error, path: &Path| {
        CallError::exception("OSError", errno_text(error, Some(path)))
    };
    let content = match context.system.read(from) {
        Ok(Some(content)) => content,
        Ok(None) => {
            return Err(CallError::exception(
                "FileNotFoundError",
                format!(
                    "[Errno 2] No such file or directory: '{}'",
                    from.to_string_lossy()
                ),
            ));
        }
        Err(error) => return Err(failed(&error, from)),
    };
    context
        .system
        .write(to, &content, &WriteOptions::new().mode(0o644))
        .map_err(|error| failed(&error, to))?;
    Ok(true.into())
}

fn remove(args: &Args, context: &Context<'_>) -> Answer {
    apt(context, "pkg.del_repo_key")?;
    let keywords = args.keywords();
    if keywords.get("keyid_ppa").is_some_and(Value::is_true) {
        // Which key signs an archive of Launchpad's, only Launchpad knows.
        return Err(match args.optional_text("name") {
            Some(name) if name.starts_with("ppa:") => CallError::execution(format!(
                "The key of {name} has to be named: Launchpad is not asked for it"
            )),
            _ => CallError::invocation("keyid_ppa requires that a PPA be passed"),
        });
    }
    let Some(id) = keywords.get("keyid").map(python::str) else {
        return Err(CallError::invocation(
            "keyid or keyid_ppa and PPA name must be passed",
        ));
    };
    if args.is_true("aptkey") {
        let command = tool::named(context.system, "apt-key").args(["del", &id]);
        let output = tool::run(context, &command)?;
        if output.is_success() {
            return Ok(id.into());
        }
        context.set_retcode(output.exit.code().into());
        return Err(CallError::execution(format!(
            "Failed to remove keyid {id}: {}",
            tool::said(&output)
        )));
    }
    let Some(files) = files(context.system, &place(args)) else {
        return Ok(false.into());
    };
    for (file, keys) in in_files(context, &files)? {
        if has(&keys, &id) {
            context
                .system
                .remove(&file)
                .map_err(|error| CallError::execution(errno_text(&error, Some(&file))))?;
            return Ok(id.into());
        }
    }
    Ok(false.into())
}

/// The keys that apt trusts for every source.
fn trusted(context: &Context<'_>) -> Result<Map, CallError> {
    let command = tool::named(context.system, "apt-key").args([
        "adv",
        "--batch",
        "--list-public-keys",
        "--with-fingerprint",
        "--with-fingerprint",
        "--with-colons",
        "--fixed-list-mode",
    ]);
    let output = tool::ask(context.system, &command)?;
    if output.is_success() {
        return Ok(listed(&output.stdout_text()));
    }
    // Salt stumbles here over a variable of its own.
    context.set_retcode(output.exit.code().into());
    Err(CallError::execution(tool::said(&output)))
}

/// The keys of each file; a file that is no keyring has none.
fn in_files(context: &Context<'_>, files: &[PathBuf]) -> Result<Vec<(PathBuf, Map)>, CallError> {
    let mut all = Vec::new();
    for file in files {
        let command = tool::named(context.system, "gpg")
            .args(["--no-default-keyring", "--keyring"])
            .arg(file)
            .args(["--list-keys", "--with-colons"]);
        let output = tool::ask(context.system, &command)?;
        if output.is_success() {
            all.push((file.clone(), listed(&output.stdout_text())));
        } else {
            context.set_retcode(output.exit.code().into());
        }
    }
    Ok(all)
}

/// The keys of a listing with colons, by id.
///
/// The fields are those of GnuPG's `doc/DETAILS`: kind, validity, bits, algorithm, id,
/// creation, expiration, …, the name of a user as the tenth, what the key is good for as
/// the twelfth.
fn listed(text: &str) -> Map {
    let mut all = Map::new();
    let mut current: Option<String> = None;
    let mut in_subkey = false;
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        match field(0) {
            "pub" => {
                in_subkey = false;
                current = Some(field(4).to_owned());
                all.insert(field(4), described(&field));
            }
            "sub" => {
                in_subkey = true;
                if let Some(key) = entry(&mut all, current.as_deref()) {
                    key.insert("subkey", described(&field));
                }
            }
            "fpr" => {
                let Some(key) = entry(&mut all, current.as_deref()) else {
                    continue;
                };
                let owner = match key.get_mut("subkey").and_then(Value::as_map_mut) {
                    Some(subkey) if in_subkey => subkey,
                    _ => key,
                };
                owner.insert("fingerprint", field(9));
            }
            "uid" => {
                if let Some(key) = entry(&mut all, current.as_deref()) {
                    key.insert("uid", field(9));
                    key.insert("uid_hash", field(7));
                }
            }
            _ => {}
        }
    }
    all
}

fn entry<'a>(all: &'a mut Map, id: Option<&str>) -> Option<&'a mut Map> {
    all.get_mut(id?)?.as_map_mut()
}

/// What a line says of a key.
fn described<'a>(field: &impl Fn(usize) -> &'a str) -> Map {
    let number = |at: usize| field(at).parse::<i64>().map_or(Value::Null, Value::Int);
    Map::from([
        ("algorithm", number(3)),
        ("bits", number(2)),
        ("capability", field(11).into()),
        ("date_creation", number(5)),
        ("date_expiration", number(6)),
        ("keyid", field(4).into()),
        ("validity", field(1).into()),
    ])
}
