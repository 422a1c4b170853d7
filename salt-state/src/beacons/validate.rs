//! What Salt's beacons say of a configuration that they cannot use.

use salt_proto::{Map, Value};

/// The complaint about a configuration, in the words of Salt's beacon.
pub(crate) fn validate(module: &str, config: &Map) -> Option<String> {
    let needs = |key: &str| {
        (!config.contains_key(key))
            .then(|| format!("Configuration for {module} beacon requires {key}."))
    };
    match module {
        "memusage" | "swapusage" => needs("percent"),
        "ps" => needs("processes").or_else(|| {
            let is_map = config
                .get("processes")
                .is_some_and(|all| all.as_map().is_some());
            (!is_map).then(|| "Processes for ps beacon must be a dictionary.".to_owned())
        }),
        "service" => needs("services").or_else(|| match config.get("services") {
            Some(Value::Map(services)) => services
                .values()
                .any(|service| service.as_map().is_none())
                .then(|| {
                    "Configuration for service beacon must be a list of dictionaries.".to_owned()
                }),
            _ => Some(
                "Services configuration item for service beacon must be a dictionary.".to_owned(),
            ),
        }),
        "load" => load(config),
        _ => None,
    }
}

fn load(config: &Map) -> Option<String> {
    for option in ["emitatstartup", "onchangeonly"] {
        if config
            .get(option)
            .is_some_and(|value| value.as_bool().is_none())
        {
            return Some(format!(
                "Configuration for load beacon option {option} must be a boolean."
            ));
        }
    }
    let Some(averages) = config.get("averages") else {
        return Some("Averages configuration is required for load beacon.".to_owned());
    };
    let stated: Vec<&Value> = ["1m", "5m", "15m"]
        .into_iter()
        .filter_map(|key| averages.get(key))
        .collect();
    if stated.is_empty() {
        return Some(
            "Averages configuration for load beacon must contain 1m, 5m or 15m items.".to_owned(),
        );
    }
    stated
        .into_iter()
        .any(|limits| limits.as_list().is_none_or(|limits| limits.len() != 2))
        .then(|| {
            "Configuration for load beacon: 1m, 5m and 15m items must be a list of two items."
                .to_owned()
        })
}
