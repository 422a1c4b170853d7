//! `postgres_*` on a server of this machine, where it has one, against what Salt 3008.3's
//! own made of another.

#![expect(
    clippy::unwrap_used,
    reason = "a recording that cannot be read fails the test"
)]

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};
use salt_state::{Command, Context, Host, MinionData, Observe, Registry, System};
use serde_json::Value as Json;

use crate::golden::{decode, step_arguments};

const RECORDED: [&str; 2] = [
    include_str!("../vectors/states/postgres.json"),
    include_str!("../vectors/states/postgres_more.json"),
];

/// What stands before every case.
const RESET: &str = "drop table if exists t1, t2; drop sequence if exists q1; \
                     drop function if exists f1(int); drop database if exists d1; \
                     drop schema if exists s1 cascade; drop extension if exists pgcrypto; \
                     drop extension if exists hstore; drop tablespace if exists ts1; \
                     drop tablespace if exists ts2; drop owned by u1; drop owned by u2; \
                     drop owned by g1; drop owned by own; drop role if exists u1; \
                     drop role if exists u2; drop role if exists g1; drop role if exists own; \
                     create extension if not exists plpgsql; create role own; ";

/// Where a recording names the directory of the server.
const PLACE: &str = "@PLACE@";

/// A server of its own, in a directory that is removed with it.
struct Server {
    programs: PathBuf,
    place: PathBuf,
    host: Host,
    user: Option<String>,
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|path| path.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop()
}

impl Server {
    fn start() -> Option<Self> {
        let programs = programs()?;
        // Its own `psql` first: Debian's is a script that looks for it, much more slowly.
        let path = format!("{}:/usr/bin:/bin", programs.display());
        let host = Host::with_environment(vec![("PATH".into(), path.into())]);
        let place = std::env::temp_dir().join(format!("postgres-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        // It refuses to run as root.
        let user = if host.identity().uid == 0 {
            let owner = host.user("postgres").unwrap()?;
            std::os::unix::fs::chown(&place, Some(owner.uid), Some(owner.gid)).unwrap();
            Some(owner.name)
        } else {
            None
        };
        let this = Self {
            programs,
            place,
            host,
            user,
        };
        let data = this.place.join("data");
        let initdb = [
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ];
        this.run("initdb", &initdb, &data);
        let options = format!(
            "-k {} -c listen_addresses= -c fsync=off",
            this.place.display()
        );
        let log = this.place.join("log");
        let log = log.to_string_lossy();
        this.run(
            "pg_ctl",
            &["-o", &options, "-l", &log, "-w", "start", "-D"],
            &data,
        );
        Some(this)
    }

    fn run(&self, program: &str, words: &[&str], data: &Path) {
        let mut command = Command::new(self.programs.join(program))
            .args(words.iter().copied())
            .arg(data)
            .cwd("/");
        command.user.clone_from(&self.user);
        let output = self.host.run(&command).unwrap();
        assert!(output.is_success(), "{program}: {}", output.stderr_text());
    }

    fn sql(&self, text: &str) {
        let command = Command::new("psql")
            .args(["-q", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(&self.place)
            .args(["-f", "-"])
            .cwd("/")
            .stdin(text);
        self.host.run(&command).unwrap();
    }

    /// Everything as it stands before a case.
    fn reset(&self, setup: &[Json]) {
        let lines = setup.iter().map(|line| line.as_str().unwrap());
        let lines: Vec<&str> = lines.collect();
        let text = format!("{RESET}{}", lines.join("\n"));
        self.sql(&text.replace(PLACE, &self.place.to_string_lossy()));
    }

    /// The empty directories that a case may use.
    fn directories(&self) {
        for name in ["ts1", "ts2", "dd"] {
            let path = self.place.join(name);
            let _absent = std::fs::remove_dir_all(&path);
            if name != "dd" {
                std::fs::create_dir(&path).unwrap();
                let user = self.user.as_deref();
                if let Some(owner) = user.and_then(|name| self.host.user(name).unwrap()) {
                    std::os::unix::fs::chown(&path, Some(owner.uid), Some(owner.gid)).unwrap();
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run(
            "pg_ctl",
            &["-m", "immediate", "stop", "-D"],
            &self.place.join("data"),
        );
        let _gone = std::fs::remove_dir_all(&self.place);
    }
}

#[test]
fn what_a_database_server_holds_is_made_as_salt_makes_it() {
    let Some(server) = Server::start() else {
        println!("there is no PostgreSQL server on this machine");
        return;
    };
    let place = server.place.to_string_lossy().into_owned();
    let registry = Registry::builtin();
    let minion = MinionData {
        id: "m1".to_owned(),
        config: Map::from([
            ("postgres.host", place.clone()),
            ("postgres.user", "postgres".to_owned()),
            ("postgres.maintenance_db", "postgres".to_owned()),
            (
                "postgres.bins_dir",
                server.programs.to_string_lossy().into_owned(),
            ),
        ]),
        ..MinionData::default()
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    let cases = RECORDED
        .iter()
        .flat_map(|recorded| -> Vec<Json> { serde_json::from_str(recorded).unwrap() });
    for case in cases {
        let uses_directories = case.to_string().contains(PLACE);
        if uses_directories {
            // What the server still holds in them is dropped first.
            server.sql("drop table if exists t1; drop tablespace if exists ts1; drop tablespace if exists ts2;");
            server.directories();
        }
        server.reset(case["setup"].as_array().unwrap());
        let case: Json = serde_json::from_str(&case.to_string().replace(PLACE, &place)).unwrap();
        let call = case["call"].as_str().unwrap();
        for step in case["steps"].as_array().unwrap() {
            let context = Context::new(&registry, &server.host, &minion);
            let is_call = step["mode"] == "call";
            let args = step_arguments(&case, step);
            count += 1;
            let got = if is_call {
                match registry.call(call, &args, &context) {
                    Ok(value) => value,
                    Err(error) => Map::from([("error", error.to_string())]).into(),
                }
            } else {
                let ret = registry.call("state.single", &args, &context).unwrap();
                let entry = ret.as_map().unwrap().values().next().unwrap().clone();
                let part = |key: &str| entry.get(key).cloned().unwrap_or_default();
                Map::from([
                    ("result", part("result")),
                    ("changes", part("changes")),
                    ("comment", raised(part("comment"))),
                ])
                .into()
            };
            let expected = match step["error"].as_str() {
                Some(error) => {
                    let (_, text) = error.split_once(": ").unwrap();
                    Map::from([("error", text)]).into()
                }
                None => decode(&step["ret"]),
            };
            let got = if call == "postgres.get_installed_extension" {
                without_numbers(got)
            } else {
                got
            };
            if got != expected {
                let mode = &step["mode"];
                wrong.push(format!(
                    "{case}\n{mode} expected {expected:?}\n     got {got:?}"
                ));
            }
        }
    }
    println!("{count} recorded calls checked");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    assert!(count > 700);
}

/// Of a traceback its last line, which is what a recording has of one.
fn raised(comment: Value) -> Value {
    match comment.as_str() {
        Some(text) if text.contains("Traceback (most recent call last)") => {
            let last = text.trim_end().lines().last().unwrap_or_default();
            format!("Traceback: {last}").into()
        }
        _ => comment,
    }
}

/// Without what differs from server to server.
fn without_numbers(value: Value) -> Value {
    match value {
        Value::Map(mut all) => {
            for key in ["oid", "extowner", "extnamespace"] {
                assert!(all.remove(key).is_some(), "{key}");
            }
            Value::Map(all)
        }
        other => other,
    }
}
