//! What each beacon looks at. Values and keys of the events are Salt 3008.3's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use salt_proto::{Map, Value};

use crate::python;
use crate::system::{Command, Observe};

/// The beacons there are.
pub(crate) const NAMES: [&str; 8] = [
    "diskusage",
    "load",
    "memusage",
    "network_info",
    "ps",
    "service",
    "status",
    "swapusage",
];

/// What a beacon has to tell; `tag` is what it adds to the event's tag.
pub(super) fn look(
    module: &str,
    config: &Map,
    seen: &mut BTreeMap<String, Value>,
    machine: &dyn Observe,
) -> Vec<Map> {
    match module {
        "diskusage" => diskusage(config, machine),
        "load" => load(config, seen, machine),
        "memusage" => memory(config, "memusage", "MemTotal", "MemAvailable", machine),
        "network_info" => network(config, seen, machine),
        "ps" => processes(config, machine),
        "service" => services(config, seen, machine),
        "status" => status(config, machine),
        "swapusage" => memory(config, "swapusage", "SwapTotal", "SwapFree", machine),
        _ => Vec::new(),
    }
}

fn text(machine: &dyn Observe, path: &str) -> String {
    let bytes = machine.read(Path::new(path)).ok().flatten();
    bytes
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// `90%`, `90` or 90.
fn percent(value: &Value) -> Option<f64> {
    python::str(value)
        .trim()
        .trim_end_matches('%')
        .trim()
        .parse()
        .ok()
}

fn share(used: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share of one decimal")]
    let share = used as f64 / whole as f64 * 100.0;
    (share * 10.0).round() / 10.0
}

fn memory(config: &Map, name: &str, whole: &str, free: &str, machine: &dyn Observe) -> Vec<Map> {
    let table = text(machine, "/proc/meminfo");
    let amount = |key: &str| -> Option<u64> {
        let line = table
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let seen = || {
        let limit = percent(config.get("percent")?)?;
        let whole = amount(whole).filter(|whole| *whole > 0)?;
        let used = share(whole.saturating_sub(amount(free)?), whole);
        (used >= limit).then(|| Map::from([(name, used)]))
    };
    seen().into_iter().collect()
}

fn diskusage(config: &Map, machine: &dyn Observe) -> Vec<Map> {
    let mounts = text(machine, "/proc/mounts");
    let places: BTreeSet<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let mut all = Vec::new();
    for (pattern, limit) in config {
        let (Some(pattern), Some(limit)) = (pattern.as_str(), percent(limit)) else {
            continue;
        };
        if !pattern.starts_with(['/', '^', '.']) {
            continue;
        }
        let regex = regex::Regex::new(&format!("^(?:{pattern})"));
        let meant: Vec<&str> = match places.contains(pattern) {
            true => vec![pattern],
            false => {
                let Ok(regex) = regex else { continue };
                places
                    .iter()
                    .copied()
                    .filter(|place| regex.is_match(place))
                    .collect()
            }
        };
        for place in meant {
            let Ok(usage) = machine.filesystem(Path::new(place)) else {
                continue;
            };
            let used = usage.blocks.saturating_sub(usage.blocks_free);
            let whole = used.saturating_add(usage.blocks_available);
            if whole == 0 {
                continue;
            }
            let used = share(used, whole);
            if used >= limit {
                all.push(Map::from([
                    ("diskusage", Value::from(used)),
                    ("mount", place.into()),
                ]));
            }
        }
    }
    all
}

fn averages(machine: &dyn Observe) -> Option<[f64; 3]> {
    let table = text(machine, "/proc/loadavg");
    let mut words = table
        .split_ascii_whitespace()
        .map(|word| word.parse::<f64>().ok());
    Some([words.next()??, words.next()??, words.next()??])
}

fn load(config: &Map, seen: &mut BTreeMap<String, Value>, machine: &dyn Observe) -> Vec<Map> {
    let Some(now) = averages(machine) else {
        return Vec::new();
    };
    let flag = |key: &str, usual: bool| config.get(key).map_or(usual, Value::is_true);
    let is_first = seen.is_empty();
    let mut tells = false;
    for (key, now) in ["1m", "5m", "15m"].into_iter().zip(now) {
        let limits = config
            .get("averages")
            .and_then(|all| all.get(key)?.as_list());
        let limit =
            |at: usize| limits.and_then(|limits| python::str(limits.get(at)?).parse::<f64>().ok());
        let (Some(low), Some(high)) = (limit(0), limit(1)) else {
            continue;
        };
        let outside = now < low || now > high;
        let before = seen.insert(key.to_owned(), outside.into());
        tells |= match (flag("onchangeonly", false), before) {
            (false, _) => outside,
            (true, None) => flag("emitatstartup", true) && is_first,
            (true, Some(before)) => before != outside.into(),
        };
    }
    if !tells {
        return Vec::new();
    }
    let [one, five, fifteen] = now;
    vec![Map::from([("1m", one), ("5m", five), ("15m", fifteen)])]
}

fn status(config: &Map, machine: &dyn Observe) -> Vec<Map> {
    let wanted = |name: &str| -> Option<Vec<String>> {
        match config.get(name)? {
            Value::List(items) => Some(items.iter().map(python::str).collect()),
            one => Some(vec![python::str(one)]),
        }
    };
    let stated = config
        .keys()
        .any(|key| !matches!(key.as_str(), Some("interval" | "enabled" | "beacon_module")));
    let mut data = Map::new();
    let asked = wanted("loadavg").or_else(|| (!stated).then(|| vec!["all".to_owned()]));
    if let (Some(asked), Some(now)) = (asked, averages(machine)) {
        let all = ["1-min", "5-min", "15-min"].into_iter().zip(now);
        let is_asked = |name: &str| asked.iter().any(|asked| asked == "all" || asked == name);
        let found: Map = all.filter(|(name, _)| is_asked(name)).collect();
        data.insert("loadavg", found);
    }
    if data.is_empty() {
        return Vec::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds of our age fit")]
    let now = machine
        .now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| crate::jinja::DateTime::from_unix(since.as_micros() as f64 / 1e6))
        .map(|at| at.iso('T'))
        .unwrap_or_default();
    vec![Map::from([
        ("tag", Value::from(now)),
        ("data", data.into()),
    ])]
}

fn processes(config: &Map, machine: &dyn Observe) -> Vec<Map> {
    let mut running = BTreeSet::new();
    for entry in machine.list(Path::new("/proc")).unwrap_or_default() {
        let Some(pid) = entry
            .to_str()
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        let name = text(machine, &format!("/proc/{pid}/comm"));
        running.insert(name.trim_end().to_owned());
    }
    let Some(Value::Map(wanted)) = config.get("processes") else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, state) in wanted {
        let name = python::str(name);
        // The kernel keeps fifteen characters of a name.
        let short: String = name.chars().take(15).collect();
        let runs = running.contains(&name) || running.contains(&short);
        let said = match (state.as_str(), runs) {
            (Some("running"), true) => "Running",
            (Some("stopped"), false) => "Stopped",
            _ => continue,
        };
        all.push(Map::from([(name, said)]));
    }
    all
}

fn services(config: &Map, seen: &mut BTreeMap<String, Value>, machine: &dyn Observe) -> Vec<Map> {
    let Some(Value::Map(services)) = config.get("services") else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, options) in services {
        let name = python::str(name);
        let asked = Command::new("systemctl").arg("is-active").arg(&name);
        let Ok(said) = machine.query(&asked) else {
            continue;
        };
        let runs = said.is_success();
        let flag = |key: &str, usual: bool| options.get(key).map_or(usual, Value::is_true);
        let before = seen.insert(name.clone(), runs.into());
        let tells = match (flag("onchangeonly", false), before) {
            (false, _) => true,
            (true, None) => flag("emitatstartup", true),
            (true, Some(before)) => before != runs.into(),
        };
        if tells {
            all.push(Map::from([
                ("tag", Value::from(name.as_str())),
                (name.as_str(), Map::from([("running", runs)]).into()),
                ("service_name", name.as_str().into()),
            ]));
        }
    }
    all
}

const COUNTERS: [(&str, usize); 8] = [
    ("bytes_sent", 8),
    ("bytes_recv", 0),
    ("packets_sent", 9),
    ("packets_recv", 1),
    ("errin", 2),
    ("errout", 10),
    ("dropin", 3),
    ("dropout", 11),
];

fn network(config: &Map, seen: &mut BTreeMap<String, Value>, machine: &dyn Observe) -> Vec<Map> {
    let Some(Value::Map(interfaces)) = config.get("interfaces") else {
        return Vec::new();
    };
    let table = text(machine, "/proc/net/dev");
    let mut all = Vec::new();
    for (interface, limits) in interfaces {
        let interface = python::str(interface);
        let line = table.lines().find_map(|line| {
            line.trim_start()
                .strip_prefix(interface.as_str())?
                .strip_prefix(':')
        });
        let Some(line) = line else { continue };
        let numbers: Vec<i64> = line
            .split_ascii_whitespace()
            .map(|word| word.parse().unwrap_or(0))
            .collect();
        let now: Map = COUNTERS
            .into_iter()
            .map(|(name, at)| (name, numbers.get(at).copied().unwrap_or(0)))
            .collect();
        let kind = limits.get("type").and_then(Value::as_str);
        let stated = COUNTERS
            .into_iter()
            .filter_map(|(name, _)| Some((name, limits.get(name)?.as_int()?)));
        let tells = match kind {
            Some(kind) => stated.into_iter().any(|(name, limit)| {
                let now = now.get(name).and_then(Value::as_int).unwrap_or(0);
                (kind == "equal" && now == limit) || (kind == "greater" && now > limit)
            }),
            None => {
                let before = seen.insert(interface.clone(), now.clone().into());
                before.is_none_or(|before| before != now.clone().into())
            }
        };
        if tells {
            all.push(Map::from([
                ("interface", Value::from(interface.as_str())),
                ("network_info", now.into()),
            ]));
        }
    }
    all
}
