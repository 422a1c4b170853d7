//! Processes, sessions, protocol counters, and everything at once.

use std::path::Path;
use std::time::Duration;

use salt_proto::{Map, Value};

use super::{number, text};
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

type Answer = Result<Value, CallError>;

/// What `status.all_status` gathers, in its order.
const ALL: &[&str] = &[
    "cpuinfo",
    "cpustats",
    "diskstats",
    "diskusage",
    "loadavg",
    "meminfo",
    "netdev",
    "netstats",
    "uptime",
    "vmstats",
    "w",
];

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "status.netstats",
        "netstats()",
        "The counters of the network protocols.",
        |_, context| Ok(netstats(&text(context.system, "/proc/net/netstat")).into()),
    );
    registry.add("status.w", "w()", "Who is logged in.", |_, context| {
        Ok(logged_in(context.system))
    });
    registry.add(
        "status.procs",
        "procs()",
        "The processes: user and command line by id.",
        |_, context| Ok(procs(context.system).into()),
    );
    registry.add(
        "status.all_status",
        "all_status()",
        "Everything of this module.",
        |_, context| {
            let mut all = Map::new();
            for name in ALL {
                all.insert(*name, gathered(name, context)?);
            }
            Ok(all.into())
        },
    );
    registry.add(
        "status.custom",
        "custom()",
        "What the settings status.<function> name of the results of this module's functions.",
        custom,
    );
    registry.add(
        "status.master",
        "master(master=None, connected=True)",
        "Nothing: the connection to the master is watched by the minion itself.",
        |_, _| Ok(Value::Null),
    );
    registry.add(
        "status.proxy_reconnect",
        "proxy_reconnect(proxy_name, opts=None)",
        "False: this is no proxy minion.",
        |_, _| Ok(false.into()),
    );
    registry.add(
        "status.ping_master",
        "ping_master(master)",
        "Whether the master answers.",
        |_, context| {
            let load = Map::from([("cmd", "ping")]);
            Ok((context.master.is_some() && context.ask_master(load).is_ok()).into())
        },
    );
}

fn gathered(name: &str, context: &Context<'_>) -> Answer {
    let function = format!("status.{name}");
    context.registry.call(&function, &Args::new(), context)
}

fn custom(_: &Args, context: &Context<'_>) -> Answer {
    let mut found = Map::new();
    for (key, wanted) in &context.minion.config {
        let name = key.as_str().and_then(|key| key.strip_prefix("status."));
        let (Some(name), Some(wanted)) = (name, wanted.as_list()) else {
            continue;
        };
        if !ALL.contains(&name) {
            continue;
        }
        let all = gathered(name, context)?;
        for key in wanted {
            let value = all.as_map().and_then(|all| all.get_value(key));
            found.insert(key.clone(), value.cloned().unwrap_or_default());
        }
    }
    Ok(found.into())
}

/// For each protocol, the file has a line of names and a line of numbers.
fn netstats(table: &str) -> Map {
    let mut all = Map::new();
    let mut names: Option<(&str, Vec<&str>)> = None;
    for line in table.lines() {
        let Some((protocol, rest)) = line.split_once(':') else {
            continue;
        };
        match names.take() {
            Some((known, names)) if known == protocol => {
                let words = rest.split_whitespace().map(number);
                all.insert(protocol, names.into_iter().zip(words).collect::<Map>());
            }
            _ => names = Some((protocol, rest.split_whitespace().collect())),
        }
    }
    all
}

fn logged_in(machine: &dyn Observe) -> Value {
    let ask = Command::new("w")
        .arg("-fh")
        .timeout(Duration::from_secs(10));
    let asked = machine.query(&ask).ok().filter(Output::is_success);
    let table = asked.map(|asked| asked.stdout_text()).unwrap_or_default();
    table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let mut next = || words.next();
            let (user, tty, login) = (next()?, next()?, next()?);
            let (idle, jcpu, pcpu) = (next()?, next()?, next()?);
            let what = words.collect::<Vec<_>>().join(" ");
            Some(Map::from([
                ("idle", idle),
                ("jcpu", jcpu),
                ("login", login),
                ("pcpu", pcpu),
                ("tty", tty),
                ("user", user),
                ("what", &what),
            ]))
        })
        .collect()
}

fn procs(machine: &dyn Observe) -> Map {
    let users = machine.users().unwrap_or_default();
    let names = machine.list(Path::new("/proc")).unwrap_or_default();
    let mut ids: Vec<u32> = names
        .iter()
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    ids.sort_unstable();
    ids.into_iter()
        .filter_map(|id| {
            let directory = format!("/proc/{id}");
            let uid = machine.metadata(Path::new(&directory)).ok()??.uid;
            let line = text(machine, &format!("{directory}/cmdline"));
            let mut line = line.replace('\0', " ").trim_end().to_owned();
            if line.is_empty() {
                // The kernel's own have no command line.
                line = format!("[{}]", text(machine, &format!("{directory}/comm")).trim());
            }
            let user = users.iter().find(|user| user.uid == uid);
            let user = user.map_or_else(|| uid.to_string(), |user| user.name.clone());
            let facts = Map::from([("user", user), ("cmd", line)]);
            Some((id.to_string(), facts))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;

    fn call(machine: &FakeSystem, name: &str, config: Map) -> Value {
        let registry = Registry::builtin();
        let minion = MinionData {
            config,
            ..MinionData::default()
        };
        let context = Context::new(&registry, machine, &minion);
        registry.call(name, &Args::new(), &context).unwrap()
    }

    #[test]
    fn protocol_counters_are_paired_with_their_names() {
        let machine = FakeSystem::new().file(
            "/proc/net/netstat",
            "TcpExt: A B\nTcpExt: 1 2\nIpExt: C\nIpExt: 3\nLone: D\n",
        );

        let found = call(&machine, "status.netstats", Map::new());

        let expected = crate::yaml::load("{TcpExt: {A: 1, B: 2}, IpExt: {C: 3}}").unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn processes_without_a_command_line_are_the_kernels() {
        let machine = FakeSystem::new()
            .file("/proc/1/cmdline", "init\0--x\0")
            .file("/proc/2/cmdline", "")
            .file("/proc/2/comm", "kthreadd\n");

        let found = call(&machine, "status.procs", Map::new());

        let expected = "{'1': {user: root, cmd: init --x}, '2': {user: root, cmd: '[kthreadd]'}}";
        assert_eq!(found, crate::yaml::load(expected).unwrap());
    }

    #[test]
    fn settings_choose_what_is_shown() {
        let machine = FakeSystem::new().file("/proc/loadavg", "0.50 0.25 1.50 1/100 1\n");
        let wanted: Value = ["1-min"].into_iter().collect();

        let found = call(
            &machine,
            "status.custom",
            Map::from([("status.loadavg", wanted)]),
        );

        assert_eq!(found, Map::from([("1-min", 0.5)]).into());
    }
}
