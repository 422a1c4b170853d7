//! `ssh.*`: known hosts.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use salt_proto::{Map, Value};
use sha2::{Digest, Sha256};

use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, User, WriteOptions};

type Answer = Result<Value, CallError>;

/// How often a host is asked for its keys before that is given up.
const ATTEMPTS: usize = 5;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "ssh.get_known_host_entries",
        "get_known_host_entries(user, hostname, config=None, port=None, fingerprint_hash_type=None)",
        "The known keys of a host.",
        |args, context| {
            let host = Host::from_args(args)?;
            let place = match Place::of(context.system, args)? {
                Ok(place) => place,
                Err(error) => return Ok(error.into()),
            };
            let found = stored(context.system, &place, &host)?;
            Ok(if found.is_empty() {
                Value::Null
            } else {
                found.into_iter().map(Entry::into_map).collect()
            })
        },
    );
    add(
        "ssh.recv_known_host_entries",
        "recv_known_host_entries(hostname, enc=None, port=None, hash_known_hosts=True, timeout=5, fingerprint_hash_type=None)",
        "The keys that a host shows.",
        |args, context| {
            let host = Host::from_args(args)?;
            let (found, _) = received(context, &host, args)?;
            Ok(if found.is_empty() {
                Value::Null
            } else {
                found.into_iter().map(Entry::into_map).collect()
            })
        },
    );
    add(
        "ssh.check_known_host",
        "check_known_host(user=None, hostname=None, key=None, fingerprint=None, config=None, port=None, fingerprint_hash_type=None)",
        "Whether the key of a host is to be added (add), updated (update) or is there (exists).",
        |args, context| {
            if args.given("hostname").is_none() {
                return Ok(failure("hostname argument required").into());
            }
            let host = Host::from_args(args)?;
            Ok(match Place::of(context.system, args)? {
                Ok(place) => standing(context.system, &place, &host, args)?.into(),
                Err(error) => error.into(),
            })
        },
    );
    add(
        "ssh.set_known_host",
        "set_known_host(user=None, hostname=None, fingerprint=None, key=None, port=None, enc=None, config=None, hash_known_hosts=True, timeout=5, fingerprint_hash_type=None)",
        "Learns the keys of a host, or a key that is stated.",
        |args, context| Ok(set(args, context)?.into()),
    );
    add(
        "ssh.rm_known_host",
        "rm_known_host(user=None, hostname=None, config=None, port=None)",
        "Forgets the keys of a host.",
        |args, context| Ok(remove(args, context)?.into()),
    );
    add(
        "ssh.hash_known_hosts",
        "hash_known_hosts(user=None, config=None)",
        "Hides the names in a file of known hosts.",
        |args, context| {
            let place = match Place::of(context.system, args)? {
                Ok(place) => place,
                Err(error) => return Ok(error.into()),
            };
            if !context.system.is_file(&place.path) {
                return Ok(missing(&place).into());
            }
            let said = hash(context, &place)?;
            Ok(Map::from([("status", "updated".to_owned()), ("comment", said)]).into())
        },
    );
    add(
        "ssh.host_keys",
        "host_keys(keydir=None, private=True, certs=True)",
        "The keys of this host.",
        host_keys,
    );
    add(
        "ssh.user_keys",
        "user_keys(user=None, pubfile=None, prvfile=None)",
        "The keys of a user, or of several.",
        user_keys,
    );
    add(
        "ssh.key_is_encrypted",
        "key_is_encrypted(key)",
        "Whether a private key needs a passphrase.",
        |args, context| {
            let path = args.text("key")?;
            let text = context.system.text(Path::new(&path))?.unwrap_or_default();
            Ok(text.contains("Proc-Type: 4,ENCRYPTED").into())
        },
    );
}

fn failure(text: &str) -> Map {
    Map::from([("status", "error"), ("error", text)])
}

fn missing(place: &Place) -> Map {
    failure(&format!(
        "Known hosts file {} does not exist",
        place.path.display()
    ))
}

/// A host as it is known, with its port where that is stated.
pub(crate) struct Host {
    name: String,
    port: Option<String>,
    md5: bool,
}

impl Host {
    fn from_args(args: &Args) -> Result<Self, CallError> {
        Self::named(args.text("hostname")?, args)
    }

    /// A host of that name; everything else is in the arguments.
    pub(crate) fn named(name: String, args: &Args) -> Result<Self, CallError> {
        if name.starts_with('-') {
            return Err(CallError::execution(format!("{name} is no name of a host")));
        }
        Ok(Self {
            name,
            port: args.optional_text("port"),
            md5: args.optional_text("fingerprint_hash_type").as_deref() == Some("md5"),
        })
    }

    fn shown(&self) -> String {
        match &self.port {
            Some(port) if port != "22" => format!("[{}]:{port}", self.name),
            _ => self.name.clone(),
        }
    }
}

/// A file of known hosts and whose it is.
pub(crate) struct Place {
    path: PathBuf,
    owner: Option<User>,
}

impl Place {
    /// The file that arguments name; the inner error is one that Salt returns.
    pub(crate) fn of(machine: &dyn Observe, args: &Args) -> Result<Result<Self, Map>, CallError> {
        let user = args.optional_text("user").filter(|user| !user.is_empty());
        let config = args.optional_text("config");
        let Some(user) = user else {
            let path = config.unwrap_or_else(|| "/etc/ssh/ssh_known_hosts".to_owned());
            return Ok(Ok(Self {
                path: path.into(),
                owner: None,
            }));
        };
        let Some(owner) = machine.user(&user)? else {
            return Ok(Err(failure(&format!("User {user} does not exist"))));
        };
        let config = config.unwrap_or_else(|| ".ssh/known_hosts".to_owned());
        Ok(Ok(Self {
            path: owner.home.join(config),
            owner: Some(owner),
        }))
    }
}

/// A line of a file of known hosts.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    host: String,
    enc: String,
    key: String,
    fingerprint: Option<String>,
}

impl Entry {
    fn parse(line: &str, md5: bool) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let mut words = line.split_whitespace();
        let (host, enc, key) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            host: host.to_owned(),
            enc: enc.to_owned(),
            key: key.to_owned(),
            fingerprint: print_of(key, md5),
        })
    }

    pub(crate) fn into_map(self) -> Map {
        Map::from([
            ("hostname", Value::from(self.host)),
            ("key", self.key.into()),
            ("enc", self.enc.into()),
            ("fingerprint", self.fingerprint.into()),
        ])
    }
}

fn print_of(key: &str, md5: bool) -> Option<String> {
    let bytes = STANDARD.decode(key).ok()?;
    let digest: Vec<String> = if md5 {
        Md5::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    } else {
        Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    Some(digest.join(":"))
}

fn keygen(machine: &dyn Observe, verb: &[&str], place: &Place) -> crate::system::Command {
    tool::named(machine, "ssh-keygen")
        .args(verb.iter().copied())
        .arg("-f")
        .arg(&place.path)
}

/// What the file says of a host.
pub(crate) fn stored(
    machine: &dyn Observe,
    place: &Place,
    host: &Host,
) -> Result<Vec<Entry>, CallError> {
    let output = tool::ask(machine, &keygen(machine, &["-F", &host.shown()], place))?;
    Ok(output
        .stdout_text()
        .lines()
        .filter_map(|line| Entry::parse(line, host.md5))
        .collect())
}

/// What the host says of itself, as entries and as lines of a file.
fn received(
    context: &Context<'_>,
    host: &Host,
    args: &Args,
) -> Result<(Vec<Entry>, String), CallError> {
    let mut command = tool::named(context.system, "ssh-keyscan");
    if let Some(port) = &host.port {
        command = command.args(["-p", port]);
    }
    if let Some(enc) = args.optional_text("enc") {
        command = command.args(["-t", &enc]);
    }
    if args.is_true("hash_known_hosts") {
        command = command.arg("-H");
    }
    let limit = args
        .optional_text("timeout")
        .unwrap_or_else(|| "5".to_owned());
    let command = command.args(["-T", &limit, &host.name]);
    for _ in 0..ATTEMPTS {
        let text = tool::ask(context.system, &command)?.stdout_text();
        let found: Vec<Entry> = text
            .lines()
            .filter_map(|line| Entry::parse(line, host.md5))
            .collect();
        if !found.is_empty() {
            let lines: String = text
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(|line| format!("{line}\n"))
                .collect();
            return Ok((found, lines));
        }
    }
    Ok((Vec::new(), String::new()))
}

/// `add`, `update` or `exists`.
pub(crate) fn standing(
    machine: &dyn Observe,
    place: &Place,
    host: &Host,
    args: &Args,
) -> Result<&'static str, CallError> {
    let known = stored(machine, place, host)?;
    let key = args.optional_text("key");
    let print = args.optional_text("fingerprint");
    let is_known = match (&key, &print) {
        (Some(key), _) => known.iter().any(|entry| entry.key == *key),
        (None, Some(print)) => known
            .iter()
            .any(|entry| entry.fingerprint.as_deref() == Some(print.as_str())),
        (None, None) => true,
    };
    Ok(if known.is_empty() {
        "add"
    } else if is_known {
        "exists"
    } else {
        "update"
    })
}

fn hash(context: &Context<'_>, place: &Place) -> Result<String, CallError> {
    let output = tool::run(context, &keygen(context.system, &["-H"], place))?;
    Ok(tool::said_both(&output))
}

/// Writes the file with the directories above it, as its owner's.
fn write(context: &Context<'_>, place: &Place, text: &str) -> Result<(), CallError> {
    let machine = context.system;
    let options = match &place.owner {
        Some(owner) => {
            if let Some(directory) = place.path.parent()
                && !machine.exists(directory)
            {
                machine.create_dir_all(directory, 0o700)?;
                machine.set_owner(directory, Some(owner.uid), Some(owner.gid), true)?;
            }
            WriteOptions::new().mode(0o600).owner(owner.uid, owner.gid)
        }
        None => {
            if let Some(directory) = place.path.parent() {
                machine.create_dir_all(directory, 0o755)?;
            }
            WriteOptions::new()
        }
    };
    machine.write(&place.path, text.as_bytes(), &options)?;
    Ok(())
}

/// Learns the keys of a host: Salt's answer with `status`.
pub(crate) fn set(args: &Args, context: &Context<'_>) -> Result<Map, CallError> {
    if args.given("hostname").is_none() {
        return Ok(failure("hostname argument required"));
    }
    let host = Host::from_args(args)?;
    let place = match Place::of(context.system, args)? {
        Ok(place) => place,
        Err(error) => return Ok(error),
    };
    let known = stored(context.system, &place, &host)?;
    let known_keys = || -> Value { known.iter().map(|entry| entry.key.as_str()).collect() };
    let exists = |keys: Value| Map::from([("status", Value::from("exists")), ("keys", keys)]);
    let key = args.optional_text("key");
    let print = args.optional_text("fingerprint");
    let (new, lines): (Vec<Map>, String) = if let Some(key) = &key {
        if known.iter().any(|entry| entry.key == *key) {
            return Ok(exists(known_keys()));
        }
        let enc = args.given("enc").cloned().unwrap_or_default();
        let mut entry = Map::from([
            ("hostname", Value::from(host.name.as_str())),
            ("enc", enc.clone()),
            ("key", key.as_str().into()),
        ]);
        if let Some(port) = args.given("port") {
            entry.insert("port", port.clone());
        }
        let line = format!("{} {} {key}\n", host.shown(), crate::python::str(&enc));
        (vec![entry], line)
    } else {
        let is_known = |entry: &Entry| print.is_some() && entry.fingerprint == print;
        if known.iter().any(is_known) {
            return Ok(exists(known_keys()));
        }
        let (found, lines) = received(context, &host, args)?;
        if found.is_empty() {
            return Ok(failure("Unable to receive remote host keys"));
        }
        if print.is_some() && !found.iter().any(is_known) {
            return Ok(failure(
                "Remote host public keys found but none of their fingerprints match the one you have provided",
            ));
        }
        if found
            .iter()
            .all(|entry| known.iter().any(|known| known.key == entry.key))
        {
            return Ok(exists(known_keys()));
        }
        (found.into_iter().map(Entry::into_map).collect(), lines)
    };
    let keys: Vec<&str> = new.iter().filter_map(|entry| entry.str("key")).collect();
    let replaced: Vec<&Entry> = known
        .iter()
        .filter(|entry| keys.contains(&entry.key.as_str()))
        .collect();
    let before = context.system.text(&place.path)?.unwrap_or_default();
    let mut text: String = before
        .split_inclusive('\n')
        .filter(|line| {
            let parsed = Entry::parse(line, host.md5);
            !parsed.is_some_and(|line| {
                replaced
                    .iter()
                    .any(|entry| entry.host == line.host && entry.key == line.key)
            })
        })
        .collect();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&lines);
    write(context, &place, &text)?;
    if key.is_some() && args.is_true("hash_known_hosts") {
        hash(context, &place)?;
    }
    let old: Value = known.into_iter().map(Entry::into_map).collect();
    Ok(Map::from([
        ("status", Value::from("updated")),
        ("old", if old.is_true() { old } else { Value::Null }),
        ("new", new.into_iter().collect()),
    ]))
}

/// Forgets a host: Salt's answer with `status`.
pub(crate) fn remove(args: &Args, context: &Context<'_>) -> Result<Map, CallError> {
    if args.given("hostname").is_none() {
        return Ok(failure("hostname argument required"));
    }
    let host = Host::from_args(args)?;
    let place = match Place::of(context.system, args)? {
        Ok(place) => place,
        Err(error) => return Ok(error),
    };
    if !context.system.is_file(&place.path) {
        return Ok(missing(&place));
    }
    let command = keygen(context.system, &["-R", &host.shown()], &place);
    let said = tool::said_both(&tool::run(context, &command)?);
    Ok(Map::from([
        ("status", "removed".to_owned()),
        ("comment", said),
    ]))
}

fn host_keys(args: &Args, context: &Context<'_>) -> Answer {
    let directory = args
        .optional_text("keydir")
        .unwrap_or_else(|| "/etc/ssh".to_owned());
    let path = Path::new(&directory);
    if !context.system.is_dir(path) {
        return Err(CallError::exception(
            "FileNotFoundError",
            format!("[Errno 2] No such file or directory: '{directory}'"),
        ));
    }
    let mut found = Map::new();
    for name in context.system.list(path)? {
        let name = name.to_string_lossy().into_owned();
        let Some((kind, tail)) = name
            .strip_prefix("ssh_host_")
            .and_then(|rest| rest.split_once("_key"))
        else {
            continue;
        };
        let wanted = match tail {
            "" => args.is_true("private"),
            ".pub" => true,
            "-cert.pub" => args.is_true("certs"),
            _ => false,
        };
        if !wanted {
            continue;
        }
        let text = context.system.text(&path.join(&name))?.unwrap_or_default();
        let label = match tail {
            "" => kind.to_owned(),
            "-cert.pub" => format!("{kind}-cert.pub"),
            other => format!("{kind}{other}"),
        };
        found.insert(label.as_str(), text.trim());
    }
    Ok(found.into())
}

fn user_keys(args: &Args, context: &Context<'_>) -> Answer {
    let names = match args.given("user") {
        Some(Value::List(users)) => users.iter().map(crate::python::str).collect(),
        Some(user) => vec![crate::python::str(user)],
        None => {
            let users = context.system.users()?;
            users.into_iter().map(|user| user.name).collect()
        }
    };
    let mut all = Map::new();
    for name in names {
        let Some(user) = context.system.user(&name)? else {
            continue;
        };
        let mut found = Map::new();
        for (argument, end) in [("pubfile", ".pub"), ("prvfile", "")] {
            let files = match args.given(argument) {
                Some(Value::Bool(false)) => continue,
                Some(file) => vec![crate::python::str(file)],
                None => ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"]
                    .iter()
                    .map(|name| format!(".ssh/{name}{end}"))
                    .collect(),
            };
            for file in files {
                let path = user.home.join(&file);
                if let Ok(Some(text)) = context.system.text(&path)
                    && let Some(name) = path.file_name()
                {
                    found.insert(name.to_string_lossy().as_ref(), text.trim());
                }
            }
        }
        if !found.is_empty() {
            all.insert(name.as_str(), found);
        }
    }
    Ok(all.into())
}
