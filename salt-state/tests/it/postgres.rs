//! `postgres_*` on a server of this machine, where it has one, against what Salt 3008.3's
//! own made of another.

#![expect(
    clippy::unwrap_used,
    reason = "a recording that cannot be read fails the test"
)]

use std::path::{Path, PathBuf};

use salt_proto::Map;
use salt_state::{Command, Context, Host, MinionData, Observe, Registry, System};
use serde_json::Value as Json;

use crate::golden::{decode, step_arguments};

const RECORDED: &str = include_str!("../vectors/states/postgres.json");

/// What stands before every case.
const RESET: &str = "drop database if exists d1; drop schema if exists s1; \
                     drop extension if exists pgcrypto; drop role if exists u1; \
                     drop role if exists g1; drop role if exists own; create role own;";

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
        let host = Host::with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())]);
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
        for one in text.split_inclusive(';') {
            let command = Command::new("psql")
                .args(["-q", "-U", "postgres", "-d", "postgres", "-h"])
                .arg(&self.place)
                .args(["-c", one.trim()])
                .cwd("/");
            self.host.run(&command).unwrap();
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
    let cases: Vec<Json> = serde_json::from_str(RECORDED).unwrap();
    let registry = Registry::builtin();
    let minion = MinionData {
        id: "m1".to_owned(),
        config: Map::from([
            ("postgres.host", server.place.to_string_lossy().into_owned()),
            ("postgres.user", "postgres".to_owned()),
            ("postgres.maintenance_db", "postgres".to_owned()),
        ]),
        ..MinionData::default()
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in &cases {
        server.sql(RESET);
        for line in case["setup"].as_array().unwrap() {
            server.sql(line.as_str().unwrap());
        }
        let call = case["call"].as_str().unwrap();
        for step in case["steps"].as_array().unwrap() {
            let context = Context::new(&registry, &server.host, &minion);
            let is_call = step["mode"] == "call";
            let args = step_arguments(case, step);
            count += 1;
            let expected = decode(&step["ret"]);
            let got = if is_call {
                registry.call(call, &args, &context).unwrap()
            } else {
                let ret = registry.call("state.single", &args, &context).unwrap();
                let entry = ret.as_map().unwrap().values().next().unwrap().clone();
                let part = |key: &str| entry.get(key).cloned().unwrap_or_default();
                Map::from([
                    ("result", part("result")),
                    ("changes", part("changes")),
                    ("comment", part("comment")),
                ])
                .into()
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
    assert!(count > 100);
}
