//! `ssh_auth.*`: the keys with which a user may log in.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::ssh::{self, Key, Standing};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

const INVALID: &str = "Invalid public ssh key, most likely has spaces or invalid syntax";
const FAILED: &str = "Failed to add the ssh key. Is the home directory available, and/or does \
                      the key file exist?";

pub(super) fn register(registry: &mut Registry) {
    registry.add_rehearsed("ssh_auth");
    registry.add_state(
        "ssh_auth.present",
        "present(name, user, enc='ssh-rsa', comment='', source='', options=None, config='.ssh/authorized_keys', fingerprint_hash_type=None, **kwargs)",
        "Makes sure that a user may log in with a key.",
        |args, check| present(&Wanted::new(args)?, check),
    );
    registry.add_state(
        "ssh_auth.absent",
        "absent(name, user, enc='ssh-rsa', comment='', source='', options=None, config='.ssh/authorized_keys', fingerprint_hash_type=None)",
        "Makes sure that a user may not log in with a key.",
        |args, check| absent(&Wanted::new(args)?, check),
    );
    registry.add_state(
        "ssh_auth.manage",
        "manage(name, ssh_keys, user, enc='ssh-rsa', comment='', source='', options=None, config='.ssh/authorized_keys', fingerprint_hash_type=None, **kwargs)",
        "Makes sure that a user may log in with some keys, and no others.",
        manage,
    );
}

#[derive(Clone)]
struct Wanted {
    name: String,
    user: String,
    enc: String,
    comment: String,
    source: String,
    options: Vec<String>,
    config: String,
}

impl Wanted {
    fn new(args: &Args) -> Result<Self, CallError> {
        Ok(Self {
            name: args.text("name")?,
            user: args.text("user")?,
            enc: args.text("enc")?,
            comment: args.optional_text("comment").unwrap_or_default(),
            source: args.optional_text("source").unwrap_or_default(),
            options: args.words("options"),
            config: args.text("config")?,
        })
    }

    /// The key that the name states: alone, with a comment, or as a whole line.
    fn key(&self) -> Result<Key, CallError> {
        let (key, whole) = match Key::parse(&self.name, "") {
            Some(key) => {
                let whole = !key.enc.is_empty() || !key.comment.is_empty();
                (key, whole)
            }
            None => (
                Key {
                    key: self.name.clone(),
                    enc: String::new(),
                    comment: String::new(),
                    options: Vec::new(),
                },
                false,
            ),
        };
        let enc = if key.enc.is_empty() {
            &self.enc
        } else {
            &key.enc
        };
        let enc = ssh::refine(enc)?.to_owned();
        Ok(if whole {
            Key {
                enc,
                comment: if key.comment.is_empty() {
                    self.comment.clone()
                } else {
                    key.comment
                },
                options: if key.options.is_empty() {
                    self.options.clone()
                } else {
                    key.options
                },
                key: key.key,
            }
        } else {
            Key {
                key: key.key,
                enc,
                comment: self.comment.clone(),
                options: self.options.clone(),
            }
        })
    }

    /// The keys of the source file, `None` when there is no such file.
    fn source_keys(&self, check: &Check<'_>) -> Result<Option<Vec<Key>>, CallError> {
        let Some(content) = check.source(&self.source)? else {
            return Ok(None);
        };
        let enc = ssh::refine(&self.enc)?;
        Ok(Some(
            String::from_utf8_lossy(&content)
                .lines()
                .filter_map(|line| Key::parse(line, enc))
                .collect(),
        ))
    }
}

fn present(wanted: &Wanted, check: &Check<'_>) -> Answer {
    if !wanted.source.is_empty() {
        return present_source(wanted, check);
    }
    let key = wanted.key()?;
    let file = ssh::file(check.system, &wanted.user, &wanted.config)?;
    let (name, user) = (key.key.clone(), wanted.user.clone());
    let (would, change) = match ssh::state_of(&file, &key) {
        Standing::Exists => {
            return Ok(Plan::unchanged(format!(
                "The authorized host key {name} is already present for user {user}"
            )));
        }
        Standing::Add => ("set to be added", "New"),
        Standing::Update => ("set to be updated", "Updated"),
    };
    let would = format!("Key {name} for user {user} is {would}");
    let changes = Changes::of(&name, change);
    let comment = said(&name, &user, change);
    let wanted = wanted.clone();
    Ok(Plan::change(comment, changes, move |context| {
        let word = ssh::set(context, &wanted.user, &wanted.config, &key)?;
        Ok(finished(&name, &wanted.user, word))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn said(name: &str, user: &str, change: &str) -> String {
    let verb = if change == "New" { "added" } else { "updated" };
    format!("The authorized host key {name} for user {user} was {verb}")
}

/// How setting a key ended.
fn finished(name: &str, user: &str, word: &str) -> Done {
    match word {
        "new" => Done::with_comment(said(name, user, "New")).changes(Changes::of(name, "New")),
        "replace" => {
            Done::with_comment(said(name, user, "Updated")).changes(Changes::of(name, "Updated"))
        }
        "no change" => Done::with_comment(present_already(name, user)).changes(Changes::none()),
        "invalid" => Done::failed(INVALID),
        _ => Done::failed(FAILED),
    }
}

fn present_already(name: &str, user: &str) -> String {
    format!("The authorized host key {name} is already present for user {user}")
}

fn present_source(wanted: &Wanted, check: &Check<'_>) -> Answer {
    let source = &wanted.source;
    let Some(keys) = wanted.source_keys(check)? else {
        let missing = format!("Failed to add the ssh key. Source file {source} is missing");
        // A dry run finds no key in a file that is not there, as with Salt.
        return Ok(Plan::fail(missing)
            .when_testing(format!(
                "All host keys in file {source} are already present"
            ))
            .test_result(true));
    };
    let file = ssh::file(check.system, &wanted.user, &wanted.config)?;
    let mut would = String::new();
    let mut change = None;
    for key in &keys {
        match ssh::state_of(&file, key) {
            Standing::Exists => {}
            Standing::Add => {
                would.push_str(&format!("Set to add: {}\n", key.key));
                change = Some("New");
            }
            Standing::Update => {
                would.push_str(&format!("Set to update: {}\n", key.key));
                change = change.or(Some("Updated"));
            }
        }
    }
    let (name, user) = (wanted.name.clone(), wanted.user.clone());
    let Some(change) = change else {
        return Ok(Plan::unchanged(format!(
            "The authorized host key {name} is already present for user {user}"
        ))
        .when_testing(format!(
            "All host keys in file {source} are already present"
        )));
    };
    let config = wanted.config.clone();
    Ok(Plan::change(
        said(&name, &user, change),
        Changes::of(&name, change),
        move |context| {
            let mut ended = "no change";
            for key in &keys {
                let word = ssh::set(context, &user, &config, key)?;
                ended = match (ended, word) {
                    ("fail", _) | (_, "fail") => "fail",
                    ("invalid", _) | (_, "invalid") => "invalid",
                    ("new", _) | (_, "new") => "new",
                    ("replace", _) | (_, "replace") => "replace",
                    _ => "no change",
                };
            }
            Ok(finished(&name, &user, ended))
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn absent(wanted: &Wanted, check: &Check<'_>) -> Answer {
    let from_source = !wanted.source.is_empty();
    let keys = if from_source {
        match wanted.source_keys(check)? {
            Some(keys) => keys,
            None => {
                return Ok(Plan::fail(format!(
                    "Failed to remove the ssh key. Source file {} is missing",
                    wanted.source
                )));
            }
        }
    } else {
        vec![wanted.key()?]
    };
    let file = ssh::file(check.system, &wanted.user, &wanted.config)?;
    let known = ssh::keys(&file);
    let found: Vec<&Key> = keys
        .iter()
        .filter(|key| known.iter().any(|known| known.key == key.key))
        .collect();
    if found.is_empty() {
        let would = if from_source {
            format!("All host keys in file {} are already absent", wanted.source)
        } else {
            "Key is already absent".to_owned()
        };
        return Ok(Plan::unchanged("Key not present").when_testing(would));
    }
    let would = if from_source {
        found
            .iter()
            .map(|key| format!("Set to remove: {}\n", key.key))
            .collect()
    } else {
        let key = found.first().map(|key| key.key.as_str());
        let key = key.unwrap_or_default();
        format!("Key {key} for user {} is set for removal", wanted.user)
    };
    let name = match keys.first() {
        Some(key) if !from_source => key.key.clone(),
        _ => wanted.name.clone(),
    };
    let names: Vec<String> = keys.iter().map(|key| key.key.clone()).collect();
    let (user, config) = (wanted.user.clone(), wanted.config.clone());
    Ok(Plan::change(
        "Key removed",
        Changes::of(&name, "Removed"),
        move |context| {
            for name in &names {
                ssh::remove(context, &user, &config, name)?;
            }
            Ok(())
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn manage(args: &Args, check: &Check<'_>) -> Answer {
    let base = Wanted::new(args)?;
    let stated: Vec<String> = match args.get("ssh_keys") {
        Some(Value::List(keys)) => keys.iter().map(python::str).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![python::str(one)],
    };
    let of = |name: &str| Wanted {
        name: name.to_owned(),
        source: String::new(),
        ..base.clone()
    };
    let mut keys = Vec::new();
    for name in &stated {
        keys.push(of(name).key()?);
    }
    let file = ssh::file(check.system, &base.user, &base.config)?;
    let mut known = ssh::keys(&file);
    let is_kept = |known: &Key| keys.iter().any(|key| key.key == known.key);
    let surplus: Vec<String> = known
        .iter()
        .filter(|known| !is_kept(known))
        .map(|known| known.key.clone())
        .collect();
    known.retain(is_kept);
    let mut would: Vec<String> = surplus
        .iter()
        .map(|key| format!("{key} Key set for removal"))
        .collect();
    let mut changes = Map::new();
    for key in &surplus {
        changes.insert(key.as_str(), "Key removed");
    }
    let mut quiet = Vec::new();
    for (name, key) in stated.iter().zip(&keys) {
        let plan = present(&of(name), check)?;
        would.push(python::str(
            plan.test_comment.as_ref().unwrap_or(&plan.comment),
        ));
        // The same key may be stated twice; each time it is written anew.
        match ssh::standing(&known, key) {
            Standing::Exists => quiet.push(python::str(&plan.comment)),
            Standing::Add => {
                changes.insert(key.key.as_str(), "New");
            }
            Standing::Update => {
                changes.insert(key.key.as_str(), "Updated");
            }
        }
        known.retain(|known| known.key != key.key);
        known.push(key.clone());
    }
    if changes.is_empty() {
        return Ok(Plan::unchanged(would.join("\n")));
    }
    let (user, config) = (base.user, base.config);
    Ok(
        Plan::change(quiet.join("\n"), Changes::from(changes), move |context| {
            carry_out(context, &user, &config, &surplus, &keys)
        })
        .when_testing(would.join("\n"))
        .test_changes(Changes::none()),
    )
}

fn carry_out(
    context: &Context<'_>,
    user: &str,
    config: &str,
    surplus: &[String],
    keys: &[Key],
) -> Result<Done, CallError> {
    let mut changes = Map::new();
    for key in surplus {
        let said = ssh::remove(context, user, config, key)?;
        changes.insert(key.as_str(), said);
    }
    let mut comments = Vec::new();
    let mut result = true;
    for key in keys {
        let word = ssh::set(context, user, config, key)?;
        match word {
            "new" => {
                changes.insert(key.key.as_str(), "New");
            }
            "replace" => {
                changes.insert(key.key.as_str(), "Updated");
            }
            "no change" => comments.push(present_already(&key.key, user)),
            "invalid" => {
                result = false;
                comments.push(INVALID.to_owned());
            }
            _ => {
                result = false;
                comments.push(FAILED.to_owned());
            }
        }
    }
    Ok(Done::with_comment(comments.join("\n"))
        .changes(Changes::from(changes))
        .result(result))
}
