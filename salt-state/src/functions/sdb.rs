//! `sdb.*`: values that are kept elsewhere, by `sdb://profile/key`.
//!
//! A profile is a mapping in the configuration that names a driver. Of Salt's drivers
//! `env` is here: the variables of the minion's environment.

use std::ffi::OsStr;

use salt_proto::Value;

use super::test::random_below;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

/// The longest text that is made up.
const LONGEST: i64 = 4096;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "sdb.get",
        "get(uri, strict=False)",
        "Returns the value that an address stands for; what is no such address as it is. strict: a profile that is missing is an error.",
        |args, context| get(args.get("uri"), args.is_true("strict"), context),
    );
    registry.add(
        "sdb.set",
        "set(uri, value)",
        "Sets the value that an address stands for.",
        set,
    );
    registry.add(
        "sdb.delete",
        "delete(uri)",
        "Removes the value that an address stands for.",
        |args, context| match place(args.get("uri"), context) {
            Some(place) => Err(lacks(&place.driver, "delete")),
            None => Ok(false.into()),
        },
    );
    registry.add(
        "sdb.get_or_set_hash",
        "get_or_set_hash(uri, length=8, chars='abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)')",
        "Returns the value that an address stands for; makes one up if there is none.",
        |args, context| {
            let uri = args.get("uri");
            let now = get(uri, false, context)?;
            if now != Value::Null {
                return Ok(now);
            }
            let letters: Vec<char> = args.text("chars")?.chars().collect();
            let last = i64::try_from(letters.len()).unwrap_or(i64::MAX) - 1;
            if last < 0 {
                return Err(CallError::exception("IndexError", "Cannot choose from an empty sequence"));
            }
            let made: String = (0..args.int("length")?.clamp(0, LONGEST))
                .filter_map(|_| {
                    let at = usize::try_from(random_below(last, context)).ok()?;
                    letters.get(at)
                })
                .collect();
            let call = Args::new()
                .keyword("uri", uri.cloned().unwrap_or_default())
                .keyword("value", made.as_str());
            set(&call, context)?;
            Ok(made.into())
        },
    );
}

/// What an address says.
struct Place {
    driver: String,
    key: String,
}

/// `None` for what is no address, or one whose profile is not in the configuration.
fn place(uri: Option<&Value>, context: &Context<'_>) -> Option<Place> {
    let (profile, key) = parts(uri)?;
    let profile = context.minion.config.get(profile).and_then(Value::as_map)?;
    Some(Place {
        driver: profile.get("driver").map(python::str).unwrap_or_default(),
        key: key.to_owned(),
    })
}

fn parts(uri: Option<&Value>) -> Option<(&str, &str)> {
    uri?.as_str()?.strip_prefix("sdb://")?.split_once('/')
}

fn lacks(driver: &str, function: &str) -> CallError {
    CallError::exception("KeyError", format!("'{driver}.{function}'"))
}

fn get(uri: Option<&Value>, is_strict: bool, context: &Context<'_>) -> Answer {
    let Some(place) = place(uri, context) else {
        return match parts(uri) {
            Some((profile, _)) if is_strict => Err(CallError::invocation(format!(
                "SDB profile \"{profile}\" wasnt found in the minion configuration"
            ))),
            _ => Ok(uri.cloned().unwrap_or_default()),
        };
    };
    match place.driver.as_str() {
        "env" => Ok(context
            .system
            .env(&place.key)
            .map(|value| value.to_string_lossy().into_owned().into())
            .unwrap_or_default()),
        driver => Err(lacks(driver, "get")),
    }
}

fn set(args: &Args, context: &Context<'_>) -> Answer {
    let Some(place) = place(args.get("uri"), context) else {
        return Ok(false.into());
    };
    match place.driver.as_str() {
        "env" => {
            let value = args.get("value").map(python::str).unwrap_or_default();
            let name = OsStr::new(&place.key);
            context.system.set_env(name, Some(OsStr::new(&value)));
            Ok(value.into())
        }
        driver => Err(lacks(driver, "set_")),
    }
}

#[cfg(test)]
mod tests {
    use salt_proto::Map;

    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;

    #[test]
    fn a_profile_of_the_environment_is_read_and_set() {
        let machine = FakeSystem::new().variable("TOKEN", "s3");
        let registry = Registry::builtin();
        let minion = MinionData {
            config: Map::from([("osenv", Map::from([("driver", "env")]))]),
            ..MinionData::default()
        };
        let context = Context::new(&registry, &machine, &minion);
        let call = |name: &str, args: Args| registry.call(name, &args, &context).unwrap();

        let of = |key: &str| Args::new().with(format!("sdb://osenv/{key}"));
        assert_eq!(call("sdb.get", of("TOKEN")), "s3".into());
        assert_eq!(call("sdb.get", of("NONE")), Value::Null);
        let made = call("sdb.get_or_set_hash", of("NONE").keyword("length", 12));
        assert_eq!(made.as_str().map(str::len), Some(12));
        assert_eq!(call("sdb.get", of("NONE")), made);
    }
}
