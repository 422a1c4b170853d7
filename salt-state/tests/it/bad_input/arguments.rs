//! Every state with arguments of any kind: no panic, no end of the run, and what comes
//! back is an entry as Salt's states return it. (A comment is what a state of `test` was
//! told to say, whatever that is.)

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use salt_proto::{Map, Value};
use salt_state::{Args, Context, FakeSystem, MemorySources, MinionData, Registry};

/// How many calls each state gets.
const CALLS: u64 = 24;

/// How long the calls of one state may take.
const LONGEST: Duration = Duration::from_secs(120);

/// A generator that gives the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap();
        usize::try_from(self.roll() % count).unwrap()
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn text(&mut self) -> String {
        let known = [
            "",
            " ",
            "/",
            "/t",
            "/t/f",
            "/t/d",
            "/t/l",
            "/t/new",
            "t/f",
            "../..",
            "/t/../etc",
            "~",
            "~x/y",
            "root",
            "nosuch",
            "a b",
            "a=b",
            "-x",
            "--",
            "0",
            "-1",
            "0644",
            "99999",
            "1e400",
            "nan",
            "ä\u{1f600}",
            "\u{0}",
            "a\nb",
            "\r\n",
            "\u{202e}",
            "salt://f",
            "salt://nosuch",
            "salt://",
            "https://127.0.0.1:1/x",
            "ftp://",
            "file:///t/f",
            "://",
            "*",
            "[",
            "(",
            "(?P<",
            "\\",
            "{{ x",
            "{% if",
            "%s",
            "%",
            "{}",
            "[]",
            "null",
            "yes",
            "2020-01-01",
            "10.0.0.0/99",
            "::1",
            "1.2.3.4.5",
            "sha256=abc",
            "md5",
            "md5=",
            "present",
            "file",
            "all",
            "None",
            "é\u{301}",
            "'",
            "\"",
            ":",
            "a:b:c",
        ];
        match self.below(12) {
            0 => "x".repeat(self.below(5000)),
            1 => (0..self.below(40))
                .filter_map(|_| char::from_u32(u32::try_from(self.below(0x11_0000)).unwrap()))
                .collect(),
            _ => self.one(&known).to_owned(),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 8 } else { 12 }) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => self
                .one(&[0, 1, -1, 7, 644, 0o644, 65_536, i64::MAX, i64::MIN])
                .into(),
            3 => Value::Float(self.one(&[0.0, -1.5, 1e300, f64::NAN, f64::INFINITY])),
            4 => Value::Bytes(vec![0xff, 0, b'a']),
            5..8 => self.text().into(),
            8..10 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let entries = (0..self.below(4)).map(|_| {
                    let key = match self.below(4) {
                        0 => self.value(0),
                        _ => self.text().into(),
                    };
                    (key, self.value(depth - 1))
                });
                Value::Map(entries.collect::<Map>())
            }
        }
    }
}

fn machine() -> FakeSystem {
    let mut machine = FakeSystem::new()
        .directory("/t/d/s")
        .file("/t/f", "one\ntwo\n")
        .file("/t/d/x", [0xff, 0, b'x', b'\n'])
        .link("/t/l", "f")
        .link("/t/loop", "loop")
        .file("/etc/hosts", "127.0.0.1 localhost\n")
        .file("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n")
        .file("/etc/shadow", "root:*:19000:0:99999:7:::\n")
        .file("/proc/mounts", "/dev/sda1 / ext4 rw 0 0\n");
    for program in [
        "sh",
        "bash",
        "git",
        "tar",
        "gzip",
        "unzip",
        "iptables",
        "iptables-save",
        "nft",
        "gem",
        "npm",
        "psql",
        "crontab",
        "systemctl",
        "dpkg",
        "dpkg-query",
        "apt-get",
        "apt-cache",
        "useradd",
        "usermod",
        "groupadd",
        "update-alternatives",
        "ssh-keygen",
        "ssh-keyscan",
        "pip",
        "virtualenv",
        "locale-gen",
        "debconf-set-selections",
        "modprobe",
        "lsmod",
        "mount",
        "umount",
        "sysctl",
        "timedatectl",
        "chattr",
        "lsattr",
        "patch",
    ] {
        machine = machine.program(format!("/usr/bin/{program}"));
    }
    machine
}

fn minion() -> MinionData {
    let grains =
        "{os: Debian, os_family: Debian, kernel: Linux, osrelease: '12', osmajorrelease: 12,
        oscodename: bookworm, osfinger: Debian-12, osarch: amd64, id: m1, init: systemd,
        systemd: {version: '252'}, kernelrelease: 6.1.0-fake}";
    let Ok(Value::Map(grains)) = salt_state::yaml::load(grains) else {
        panic!("grains");
    };
    MinionData {
        id: "m1".to_owned(),
        grains: grains.into(),
        config: Map::from([("cachedir", "/var/cache/salt/minion")]),
        ..MinionData::default()
    }
}

/// What is wrong about an answer, if something is.
fn misshapen(answer: &Value) -> Option<String> {
    // What keeps a state from being run at all is a list of complaints.
    if let Value::List(complaints) = answer {
        let all_text = complaints.iter().all(|one| one.as_str().is_some());
        return (!all_text).then(|| format!("{answer:?}"));
    }
    let Some(entries) = answer.as_map().filter(|entries| !entries.is_empty()) else {
        return Some(format!("{answer:?}"));
    };
    entries
        .values()
        .find(|entry| {
            let is_good = matches!(entry.get("result"), Some(Value::Bool(_) | Value::Null))
                && matches!(entry.get("changes"), Some(Value::Map(_)))
                && entry.get("comment").is_some();
            !is_good
        })
        .map(|entry| format!("{entry:?}"))
}

/// Calls a state in many ways; what went wrong.
fn torment(state: &str, seed: u64) -> Vec<String> {
    let registry = Registry::builtin();
    let names: Vec<String> = registry
        .state_signature(state)
        .map(|signature| {
            signature
                .parameters()
                .iter()
                .map(|one| one.name.clone())
                .collect()
        })
        .unwrap_or_default();
    let tree = MemorySources::new().file("base", "f", "text {{ 1 }}\n");
    let minion = minion();
    let mut wrong = Vec::new();
    for call in 0..CALLS {
        let mut dice = Dice(seed.wrapping_mul(1000).wrapping_add(call));
        let mut args = Args::new().with(state);
        // What is named first is plausible in half of the calls, so that more is reached.
        let name = match call % 2 {
            0 => dice.one(&["/t/f", "/t/d", "/t/new", "root", "x"]).into(),
            _ => dice.value(2),
        };
        args = args.keyword("name", name);
        for name in names.iter().filter(|name| *name != "name") {
            if dice.below(3) == 0 {
                args = args.keyword(name, dice.value(3));
            }
        }
        if dice.below(8) == 0 {
            args = args.keyword("no_such_argument", dice.value(2));
        }
        for test in [true, false] {
            let args = args.clone().keyword("test", test);
            let machine = machine();
            let before = machine.tree();
            let mut context = Context::new(&registry, &machine, &minion);
            context.sources = Some(&tree);
            let answer = catch_unwind(AssertUnwindSafe(|| {
                registry.call("state.single", &args, &context)
            }));
            let complaint = match answer {
                Err(_) => Some("panicked".to_owned()),
                Ok(Ok(answer)) => misshapen(&answer),
                // Refused before it came to the state.
                Ok(Err(_)) => None,
            };
            if let Some(complaint) = complaint {
                wrong.push(format!("{state} {:?}: {complaint}", args.keywords()));
            }
            if test {
                let after = machine.tree();
                let is_new = |path: &&std::path::PathBuf| {
                    before.get(*path) != after.get(*path)
                        && !path.starts_with("/var/cache")
                        && !path.starts_with("/var")
                };
                if let Some(path) = before.keys().chain(after.keys()).find(is_new) {
                    wrong.push(format!(
                        "{state} {:?}: a dry run changed {}",
                        args.keywords(),
                        path.display()
                    ));
                }
            }
        }
    }
    wrong
}

#[test]
fn no_state_panics_whatever_it_is_given() {
    let states: Vec<String> = Registry::builtin()
        .state_names()
        .filter(|name| !name.ends_with(".mod_watch"))
        .map(str::to_owned)
        .collect();
    let count = states.len();
    let mut wrong = Vec::new();
    for (seed, state) in states.into_iter().enumerate() {
        let (done, wait) = mpsc::channel();
        let name = state.clone();
        let worker = std::thread::Builder::new()
            .stack_size(8 << 20)
            .spawn(move || {
                let seed = u64::try_from(seed).unwrap();
                done.send(torment(&name, seed)).ok();
            });
        assert!(worker.is_ok());
        match wait.recv_timeout(LONGEST) {
            Ok(complaints) => wrong.extend(complaints.into_iter().take(3)),
            Err(_) => wrong.push(format!("{state}: does not end")),
        }
    }
    println!(
        "{count} states, {} calls",
        u64::try_from(count).unwrap() * CALLS * 2
    );
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
