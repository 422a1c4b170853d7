//! `ssh.*`: authorized keys and known hosts.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use salt_proto::{Map, Value};
use sha2::{Digest, Sha256};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, User, WriteOptions, errno_text};

pub(crate) mod known;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    known::register(registry);
    register_files(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "ssh.auth_keys",
        "auth_keys(user=None, config='.ssh/authorized_keys', fingerprint_hash_type=None)",
        "The authorized keys of a user, or of several.",
        auth_keys,
    );
    add(
        "ssh.check_key",
        "check_key(user, key, enc, comment, options, config='.ssh/authorized_keys', cache_keys=None, fingerprint_hash_type=None)",
        "Whether a key is to be added (add), updated (update) or is there (exists).",
        |args, context| {
            let key = Key::from_args(args)?;
            let file = file(context.system, &args.text("user")?, &args.text("config")?)?;
            Ok(state_of(&file, &key).word().into())
        },
    );
    add(
        "ssh.set_auth_key",
        "set_auth_key(user, key, enc='ssh-rsa', comment='', options=None, config='.ssh/authorized_keys', cache_keys=None, fingerprint_hash_type=None)",
        "Adds a key to the authorized keys of a user, or updates it.",
        |args, context| {
            let key = Key::from_args(args)?;
            Ok(set(context, &args.text("user")?, &args.text("config")?, &key)?.into())
        },
    );
    add(
        "ssh.rm_auth_key",
        "rm_auth_key(user, key, config='.ssh/authorized_keys', fingerprint_hash_type=None)",
        "Removes a key from the authorized keys of a user.",
        |args, context| {
            Ok(remove(
                context,
                &args.text("user")?,
                &args.text("config")?,
                &args.text("key")?,
            )?
            .into())
        },
    );
}

fn register_files(registry: &mut Registry) {
    registry.add(
        "ssh.check_key_file",
        "check_key_file(user, source, config='.ssh/authorized_keys', saltenv='base', fingerprint_hash_type=None)",
        "How the keys of a file stand to those of a user: add, update or exists.",
        |args, context| {
            let keys = keys_of_source(args, context)?.ok_or_else(|| {
                CallError::execution(format!(
                    "Problem reading ssh key file {}",
                    args.optional_text("source").unwrap_or_default()
                ))
            })?;
            let file = file(context.system, &args.text("user")?, &args.text("config")?)?;
            Ok(keys
                .iter()
                .map(|key| (key.key.as_str(), state_of(&file, key).word()))
                .collect::<Map>()
                .into())
        },
    );
    registry.add(
        "ssh.set_auth_key_from_file",
        "set_auth_key_from_file(user, source, config='.ssh/authorized_keys', saltenv='base', fingerprint_hash_type=None, **kwargs)",
        "Adds the keys of a file to the authorized keys of a user.",
        |args, context| {
            let mut said = Vec::new();
            for key in keys_of_source(args, context)?.ok_or_else(not_pulled)? {
                said.push(set(context, &args.text("user")?, &args.text("config")?, &key)?);
            }
            let word = ["fail", "replace", "new"];
            let found = word.into_iter().find(|word| said.iter().any(|one| one == word));
            Ok(found.unwrap_or("no change").into())
        },
    );
    registry.add(
        "ssh.rm_auth_key_from_file",
        "rm_auth_key_from_file(user, source, config='.ssh/authorized_keys', saltenv='base', fingerprint_hash_type=None)",
        "Removes the keys of a file from the authorized keys of a user.",
        |args, context| {
            let mut said = Vec::new();
            for key in keys_of_source(args, context)?.ok_or_else(not_pulled)? {
                let (user, config) = (args.text("user")?, args.text("config")?);
                said.push(remove(context, &user, &config, &key.key)?);
            }
            let word = ["Key removed", "Key not present"];
            let found = word.into_iter().find(|word| said.iter().any(|one| one == word));
            Ok(found.unwrap_or("Key not present").into())
        },
    );
}

fn not_pulled() -> CallError {
    CallError::execution("Failed to pull key file from salt file server")
}

/// The keys of a file of this machine or of the tree; `None` when it is not there.
fn keys_of_source(args: &Args, context: &Context<'_>) -> Result<Option<Vec<Key>>, CallError> {
    let call = Args::new()
        .with(args.text("source")?)
        .keyword("saltenv", args.text("saltenv")?);
    let cached = match context.registry.call("cp.cache_file", &call, context) {
        Ok(Value::Str(path)) if !path.is_empty() => path,
        _ => return Ok(None),
    };
    let Ok(Some(text)) = context.system.text(Path::new(&cached)) else {
        return Ok(None);
    };
    let keys = text.lines().filter_map(|line| Key::parse(line, ""));
    Ok(Some(keys.filter(|key| !key.enc.is_empty()).collect()))
}

/// A line of an authorized keys file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The key in base64.
    pub(crate) key: String,
    /// The kind of key.
    pub(crate) enc: String,
    /// What stands behind it.
    pub(crate) comment: String,
    /// What stands before it.
    pub(crate) options: Vec<String>,
}

/// How a key stands to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is missing.
    Add,
    /// It is there with another kind, comment or options.
    Update,
    /// It is there.
    Exists,
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Exists => "exists",
        }
    }
}

impl Key {
    fn from_args(args: &Args) -> Result<Self, CallError> {
        Ok(Self {
            key: args.text("key")?,
            enc: refine(&args.text("enc")?)?.to_owned(),
            comment: args.optional_text("comment").unwrap_or_default(),
            options: args.words("options"),
        })
    }

    /// A line, or the text that somebody named as a key: with or without its kind, its
    /// options and a comment. `enc` is the kind where none is stated.
    pub(crate) fn parse(text: &str, enc: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let words = words(text);
        let at = words.iter().position(|word| is_kind(word));
        let (options, enc, rest) = match at {
            Some(0) => (Vec::new(), words.first()?.as_str(), words.get(1..)?),
            Some(1) => (
                split_options(words.first()?),
                words.get(1)?.as_str(),
                words.get(2..)?,
            ),
            _ => (Vec::new(), enc, words.as_slice()),
        };
        let (key, comment) = rest.split_first()?;
        Some(Self {
            key: key.clone(),
            enc: enc.to_owned(),
            comment: comment.join(" "),
            options,
        })
    }

    /// As a line of a file.
    fn line(&self) -> String {
        let mut line = String::new();
        if !self.options.is_empty() {
            line.push_str(&self.options.join(","));
            line.push(' ');
        }
        line.push_str(&format!("{} {} {}\n", self.enc, self.key, self.comment));
        line
    }

    /// The SHA-256 of the key, two digits at a time; `None` when it is no base64.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        fingerprint(&self.key)
    }

    fn into_map(self) -> Map {
        let fingerprint = self.fingerprint();
        Map::from([
            ("enc", Value::from(self.enc)),
            ("comment", self.comment.into()),
            ("options", self.options.into_iter().collect()),
            ("fingerprint", fingerprint.into()),
        ])
    }
}

/// The SHA-256 of a key in base64, as two digits at a time with colons.
pub(crate) fn fingerprint(key: &str) -> Option<String> {
    let bytes = STANDARD
        .decode(key)
        .ok()
        .filter(|bytes| !bytes.is_empty())?;
    let digest: Vec<String> = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(digest.join(":"))
}

fn is_kind(word: &str) -> bool {
    word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-")
}

/// Splits at blanks outside double quotes.
fn words(text: &str) -> Vec<String> {
    split(text, char::is_whitespace)
}

fn split_options(text: &str) -> Vec<String> {
    split(text, |c| c == ',')
}

fn split(text: &str, is_separator: impl Fn(char) -> bool) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if c == '"' {
            quoted = !quoted;
        }
        if is_separator(c) && !quoted {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The full name of a kind of key.
///
/// # Errors
///
/// In Salt's words when there is no such kind.
pub(crate) fn refine(enc: &str) -> Result<&str, CallError> {
    Ok(match enc {
        "r" | "rsa" | "ssh-rsa" => "ssh-rsa",
        "d" | "dsa" | "dss" | "ssh-dss" => "ssh-dss",
        "e" | "ecdsa" | "ecdsa-sha2-nistp256" => "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => enc,
        "ed25519" | "ssh-ed25519" => "ssh-ed25519",
        "sk-ssh-ed25519@openssh.com" | "sk-ecdsa-sha2-nistp256@openssh.com" => enc,
        other => {
            return Err(CallError::execution(format!(
                "Incorrect encryption key type '{other}'."
            )));
        }
    })
}

/// A file of authorized keys.
pub(crate) struct KeyFile {
    path: PathBuf,
    user: Option<User>,
    text: String,
}

/// The file of a user's keys; `%u`, `%h` and `%%` in its name stand for the user, the home
/// directory and a per cent sign.
pub(crate) fn file(machine: &dyn Observe, user: &str, config: &str) -> Result<KeyFile, CallError> {
    let refused =
        |error: std::io::Error, path: &Path| CallError::execution(errno_text(&error, Some(path)));
    let known = machine
        .user(user)
        .map_err(|error| refused(error, Path::new("/etc/passwd")))?;
    let home = known.as_ref().map(|user| user.home.clone());
    let mut name = String::new();
    let mut letters = config.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            name.push(c);
            continue;
        }
        match letters.next() {
            Some('u') => name.push_str(user),
            Some('h') => name.push_str(&home.clone().unwrap_or_default().to_string_lossy()),
            Some('%') | None => name.push('%'),
            Some(other) => {
                name.push('%');
                name.push(other);
            }
        }
    }
    let path = home.unwrap_or_default().join(name);
    let text = if known.is_some() {
        machine
            .text(&path)
            .map_err(|error| refused(error, &path))?
            .unwrap_or_default()
    } else {
        String::new()
    };
    Ok(KeyFile {
        path,
        user: known,
        text,
    })
}

/// The keys of a file.
pub(crate) fn keys(file: &KeyFile) -> Vec<Key> {
    file.text
        .lines()
        .filter_map(|line| {
            // A line without a kind is none that sshd would take.
            let key = Key::parse(line, "")?;
            (!key.enc.is_empty()).then_some(key)
        })
        .collect()
}

/// Whether a key is in a file.
pub(crate) fn state_of(file: &KeyFile, key: &Key) -> Standing {
    standing(&keys(file), key)
}

/// Whether a key is among others.
pub(crate) fn standing(known: &[Key], key: &Key) -> Standing {
    match known.iter().rfind(|known| known.key == key.key) {
        None => Standing::Add,
        Some(known) if *known == *key => Standing::Exists,
        Some(_) => Standing::Update,
    }
}

fn auth_keys(args: &Args, context: &Context<'_>) -> Answer {
    let config = args.text("config")?;
    let of = |user: &str| -> Result<Map, CallError> {
        let mut map = Map::new();
        for key in keys(&file(context.system, user, &config)?) {
            map.insert(key.key.clone(), key.into_map());
        }
        Ok(map)
    };
    match args.given("user") {
        Some(Value::Str(user)) => Ok(of(user)?.into()),
        Some(Value::List(users)) => {
            let mut all = Map::new();
            for user in users {
                let found = of(&crate::python::str(user))?;
                if !found.is_empty() {
                    all.insert(user.clone(), found);
                }
            }
            Ok(all.into())
        }
        _ => {
            let mut all = Map::new();
            let users = context
                .system
                .users()
                .map_err(|error| CallError::execution(errno_text(&error, None)))?;
            for user in users {
                let found = of(&user.name)?;
                if !found.is_empty() {
                    all.insert(user.name, found);
                }
            }
            Ok(all.into())
        }
    }
}

/// Adds or updates a key. The answer is Salt's: `new`, `replace`, `no change`, `invalid`
/// or `fail`.
pub(crate) fn set(
    context: &Context<'_>,
    user: &str,
    config: &str,
    key: &Key,
) -> Result<&'static str, CallError> {
    let file = file(context.system, user, config)?;
    let Some(owner) = file.user.as_ref() else {
        return Ok("fail");
    };
    if key.fingerprint().is_none() || key.line().trim_end().contains('\n') {
        return Ok("invalid");
    }
    match state_of(&file, key) {
        Standing::Exists => Ok("no change"),
        Standing::Update => {
            let text: String = file
                .text
                .split_inclusive('\n')
                .map(|line| match Key::parse(line, "") {
                    Some(known) if known.key == key.key => key.line(),
                    _ => line.to_owned(),
                })
                .collect();
            write(context, &file, owner, &text)?;
            Ok("replace")
        }
        Standing::Add => {
            if !context.system.is_dir(&owner.home) && !Path::new(config).is_absolute() {
                return Ok("fail");
            }
            make_directory(context, &file, owner)?;
            let mut text = file.text.clone();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&key.line());
            write(context, &file, owner, &text)?;
            Ok("new")
        }
    }
}

/// Removes a key. The answer is Salt's: `Key removed`, `Key not present` or why it could
/// not be.
pub(crate) fn remove(
    context: &Context<'_>,
    user: &str,
    config: &str,
    key: &str,
) -> Result<&'static str, CallError> {
    let file = file(context.system, user, config)?;
    let Some(owner) = file.user.as_ref() else {
        return Ok("Key not present");
    };
    if !keys(&file).iter().any(|known| known.key == key) {
        return Ok("Key not present");
    }
    let text: String = file
        .text
        .split_inclusive('\n')
        .filter(|line| !matches!(Key::parse(line, ""), Some(known) if known.key == key))
        .collect();
    write(context, &file, owner, &text)?;
    Ok("Key removed")
}

fn make_directory(context: &Context<'_>, file: &KeyFile, owner: &User) -> Result<(), CallError> {
    let machine = context.system;
    let Some(directory) = file.path.parent() else {
        return Ok(());
    };
    if machine.is_dir(directory) {
        return Ok(());
    }
    let failed = |error: std::io::Error| CallError::execution(errno_text(&error, Some(directory)));
    machine.create_dir_all(directory, 0o700).map_err(failed)?;
    machine
        .set_owner(directory, Some(owner.uid), Some(owner.gid), true)
        .map_err(failed)
}

/// Writes the file; a new one belongs to the user alone.
fn write(context: &Context<'_>, file: &KeyFile, owner: &User, text: &str) -> Result<(), CallError> {
    let exists = context.system.exists(&file.path);
    let options = WriteOptions {
        follow: true,
        ..WriteOptions::new()
    };
    let options = if exists {
        options
    } else {
        options.mode(0o600).owner(owner.uid, owner.gid)
    };
    context
        .system
        .write(&file.path, text.as_bytes(), &options)
        .map_err(|error| CallError::execution(errno_text(&error, Some(&file.path))))
}
