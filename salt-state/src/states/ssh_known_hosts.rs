//! `ssh_known_hosts.*`: the keys of other hosts.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::ssh::known::{self, Host, Place};
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "ssh_known_hosts.present",
        "present(name, user=None, fingerprint=None, key=None, port=None, enc=None, config=None, hash_known_hosts=True, timeout=5, fingerprint_hash_type=None)",
        "Makes sure that the keys of a host are known.",
        present,
    );
    registry.add_state(
        "ssh_known_hosts.absent",
        "absent(name, user=None, config=None)",
        "Makes sure that no key of a host is known.",
        absent,
    );
}

/// The file as comments call it.
fn shown(args: &Args) -> String {
    let config = args
        .optional_text("config")
        .filter(|config| !config.is_empty());
    config.unwrap_or_else(|| {
        match args.given("user").is_some_and(Value::is_true) {
            true => ".ssh/known_hosts",
            false => "/etc/ssh/ssh_known_hosts",
        }
        .to_owned()
    })
}

/// The same arguments for the functions, which call the name of the host differently.
fn renamed(args: &Args) -> Result<Args, CallError> {
    let mut renamed = Args::new().keyword("hostname", args.text("name")?);
    for name in [
        "user",
        "fingerprint",
        "key",
        "port",
        "enc",
        "config",
        "hash_known_hosts",
        "timeout",
        "fingerprint_hash_type",
    ] {
        if let Some(value) = args.get(name) {
            renamed = renamed.keyword(name, value.clone());
        }
    }
    Ok(renamed)
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let file = shown(args);
    let (key, print) = (args.optional_text("key"), args.optional_text("fingerprint"));
    if key.is_some() && print.is_some() {
        return Ok(Plan::fail(
            "Specify either \"key\" or \"fingerprint\", not both.",
        ));
    }
    let enc = args.optional_text("enc");
    if key.is_some() && enc.is_none() {
        return Ok(Plan::fail(
            "Required argument \"enc\" if using \"key\" argument.",
        ));
    }
    let renamed = renamed(args)?;
    let host = Host::named(name.clone(), &renamed)?;
    let place = match Place::of(check.system, &renamed)? {
        Ok(place) => place,
        Err(error) => return Ok(Plan::fail(error.str("error").unwrap_or_default())),
    };
    let (would, result) = match known::standing(check.system, &place, &host, &renamed)? {
        "exists" => (format!("Host {name} is already in {file}"), Some(true)),
        "add" => (format!("Key for {name} is set to be added to {file}"), None),
        _ => (
            format!("Key for {name} is set to be updated in {file}"),
            None,
        ),
    };
    // What a host shows is known only once it is asked.
    Ok(Plan::change("", Changes::none(), move |context| {
        let answer = known::set(&renamed, context)?;
        let text = |key: &str| answer.str(key).unwrap_or_default().to_owned();
        Ok(match text("status").as_str() {
            "error" => Done::failed(text("error")),
            "exists" => Done::with_comment(format!("{name} already exists in {file}")),
            _ => {
                let comment = if let Some(key) = key {
                    format!("{name}'s key saved to {file} (key: {key})")
                } else if let Some(print) = print {
                    format!("{name}'s key saved to {file} (fingerprint: {print})")
                } else if let Some(enc) = enc {
                    let first = answer
                        .get("new")
                        .and_then(Value::as_list)
                        .and_then(|new| new.first())
                        .and_then(|entry| entry.get("key"))
                        .and_then(Value::as_str)
                        .unwrap_or_default();
                    format!("{name}'s {enc} key saved to {file} (key: {first})")
                } else {
                    format!("{name}'s key(s) saved to {file}")
                };
                let part = |key: &str| answer.get(key).cloned().unwrap_or_default();
                Done::with_comment(comment)
                    .changes(Map::from([("old", part("old")), ("new", part("new"))]))
            }
        })
    })
    .when_testing(would)
    .test_result(result))
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let file = shown(args);
    let renamed = renamed(args)?;
    let host = Host::named(name.clone(), &renamed)?;
    let would = format!("Key for {name} is set to be removed from {file}");
    let place = match Place::of(check.system, &renamed)? {
        Ok(place) => place,
        Err(error) => {
            let text = error.str("error").unwrap_or_default().to_owned();
            let plan = Plan::change("", Changes::none(), move |_| Ok(Done::failed(text)));
            return Ok(plan.when_testing(would));
        }
    };
    let found = known::stored(check.system, &place, &host)?;
    if found.is_empty() {
        return Ok(Plan::unchanged("Host is already absent"));
    }
    let old: Value = found.into_iter().map(known::Entry::into_map).collect();
    let changes = Changes::none().with("old", old).with("new", Value::Null);
    Ok(Plan::change("", changes, move |context| {
        let answer = known::remove(&renamed, context)?;
        Ok(match answer.str("error") {
            Some(error) => Done::failed(error),
            None => Done::with_comment(answer.str("comment").unwrap_or_default()),
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
