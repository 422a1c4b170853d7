//! `archive.*` on real files, against what Salt 3008.3's own functions answered and left.
//!
//! `zip`, `unzip`, `rar` and `unrar` are small scripts that tell how they were called.

#![expect(
    clippy::unwrap_used,
    reason = "a recording that cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use salt_proto::{Map, Value};
use salt_state::{Args, CallError, Context, Host, MemorySources, MinionData, Observe, Registry};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../vectors/functions/archive.jsonl");

/// Where the recording was made.
const THERE: &str = "/tmp/ar";

const SCRIPT: &str = "#!/bin/sh
echo \"${0##*/} $*\"
pwd
for word in \"$@\"; do
  case $word in
    *fail*) echo \"failed on purpose\" >&2; exit 3;;
    *many*) i=0; while [ $i -lt 120 ]; do echo \"line $i\"; i=$((i+1)); done;;
  esac
done
";

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

impl Place {
    fn new(number: usize, fixtures: &BTreeMap<String, Vec<u8>>) -> Self {
        let name = format!("archive-functions-{}-{number}", std::process::id());
        // As deep as where the recording was made.
        let this = Self(Path::new("/tmp").join(name));
        let top = &this.0;
        for directory in ["bin", "d/s", "e"] {
            fs::create_dir_all(top.join(directory)).unwrap();
        }
        for program in ["rar", "unrar", "zip", "unzip"] {
            write(&top.join("bin").join(program), SCRIPT, 0o755);
        }
        for (name, text, mode) in [
            ("d/x", "x\n", 0o600),
            ("d/s/z", "z\n", 0o644),
            ("y", "y\n", 0o755),
            ("x", "x\n", 0o644),
            ("a b", "ab\n", 0o644),
            ("bad.tar", "junk\n", 0o644),
            ("bad.zip", "junk\n", 0o644),
            ("bad.gz", "junk\n", 0o644),
        ] {
            write(&top.join(name), text, mode);
        }
        for name in ["d", "d/s", "e", "bin"] {
            fs::set_permissions(top.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink("x", top.join("d/l")).unwrap();
        for words in [
            &[
                "czf",
                "one.tar.gz",
                "--no-recursion",
                "d",
                "d/x",
                "d/l",
                "d/s",
                "d/s/z",
            ][..],
            &["cf", "many.tar", "x", "y"],
            &["cf", "dot.tar", "--no-recursion", "./d", "./d/x"],
        ] {
            let status = Command::new("tar").args(words).current_dir(top).status();
            assert!(status.unwrap().success());
        }
        let packed = Command::new("gzip")
            .args(["-nc", "x"])
            .current_dir(top)
            .output();
        write(&top.join("k.gz"), packed.unwrap().stdout, 0o644);
        for (name, content) in fixtures {
            if name != "some.tar" {
                write(&top.join(name), content, 0o644);
            }
        }
        this
    }

    /// What is there, as the recording has it.
    fn look(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut left = vec![self.0.clone()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&self.0).unwrap().display().to_string();
                if name == "bin" {
                    continue;
                }
                let found = fs::symlink_metadata(&path).unwrap();
                let mode = found.permissions().mode() & 0o7777;
                let shown = if found.is_symlink() {
                    format!("-> {}", fs::read_link(&path).unwrap().display())
                } else if found.is_dir() {
                    left.push(path.clone());
                    format!("{mode:o}/")
                } else {
                    let text = String::from_utf8(fs::read(&path).unwrap()).ok();
                    let text = text.filter(|text| !text.contains('\0'));
                    format!("{mode:o} {}", text.as_deref().unwrap_or("(binary)"))
                };
                all.insert(name, shown);
            }
        }
        all
    }
}

fn moved(json: &Json, place: &Path) -> Json {
    let host = Host::new();
    let user = host.user_by_id(host.identity().uid).unwrap().unwrap();
    let home = user.home.display().to_string();
    let top = place.to_string_lossy();
    let text = json
        .to_string()
        .replace("\"/root\"", &format!("\"{home}\""))
        .replace("    /root\"", &format!("    {home}\""))
        .replace(THERE, "@TOP@")
        // What archives have inside is without the first slash.
        .replace(THERE.trim_start_matches('/'), top.trim_start_matches('/'))
        .replace("@TOP@", &top);
    serde_json::from_str(&text).unwrap()
}

/// The order in which a directory is listed is nobody's choice.
fn sorted(value: &Value) -> Value {
    match value {
        Value::List(items) => {
            let mut items: Vec<String> = items
                .iter()
                .map(|item| salt_state::python::str(&sorted(item)))
                .collect();
            items.sort();
            items.into_iter().collect()
        }
        Value::Str(text) if text.contains(" a -idp ") || text.contains("zip -r ") => {
            let mut words: Vec<&str> = text.split(' ').collect();
            words.sort_unstable();
            words.join(" ").into()
        }
        other => other.clone(),
    }
}

fn kind(error: &CallError) -> String {
    match error {
        CallError::Execution(_) => "CommandExecutionError",
        CallError::Invocation(_) => "SaltInvocationError",
        CallError::CommandNotFound(_) => "CommandNotFoundError",
        CallError::Arguments(_) => "TypeError",
        CallError::Exception { kind, .. } => kind,
        other => panic!("{other:?}"),
    }
    .to_owned()
}

#[test]
fn archives_are_made_listed_and_taken_out_as_with_salt() {
    let mut lines = RECORDED.lines();
    let first: Json = serde_json::from_str(lines.next().unwrap()).unwrap();
    let fixtures: BTreeMap<String, Vec<u8>> = first["fixtures"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, text)| {
            let engine = base64::engine::general_purpose::STANDARD;
            (name.clone(), engine.decode(text.as_str().unwrap()).unwrap())
        })
        .collect();
    let registry = Registry::builtin();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (number, line) in lines.enumerate() {
        let place = Place::new(number, &fixtures);
        let top = place.0.to_string_lossy().into_owned();
        let case = moved(&serde_json::from_str(line).unwrap(), &place.0);
        let tree = MemorySources::new().file("base", "some.tar", fixtures["some.tar"].clone());
        let minion = MinionData {
            id: "m1".to_owned(),
            grains: Map::from([("id", "m1")]).into(),
            config: Map::from([("cachedir", format!("{top}/bin/cache"))]),
            ..MinionData::default()
        };
        let host = Host::with_environment(vec![
            ("PATH".into(), format!("{top}/bin:/usr/bin:/bin").into()),
            ("HOME".into(), "/root".into()),
        ]);
        for step in case["steps"].as_array().unwrap() {
            let mut args = Args::new();
            for value in step["args"].as_array().unwrap() {
                args = args.with(decode(value));
            }
            for (key, value) in step["kw"].as_object().unwrap() {
                args = args.keyword(key, decode(value));
            }
            let before = place.look();
            let mut context = Context::new(&registry, &host, &minion);
            context.sources = Some(&tree);
            let answer = registry.call(step["call"].as_str().unwrap(), &args, &context);
            count += 1;
            let (got, wanted) = match (&answer, step.get("raised")) {
                (Ok(value), None) => (sorted(value), sorted(&decode(&step["ret"]))),
                (Err(error), Some(raised)) => (
                    vec![Value::from(kind(error)), error.to_string().into()]
                        .into_iter()
                        .collect(),
                    [decode(raised), decode(&step["text"])]
                        .into_iter()
                        .collect(),
                ),
                (Ok(value), Some(raised)) => (value.clone(), decode(raised)),
                (Err(error), None) => (error.to_string().into(), decode(&step["ret"])),
            };
            let after = place.look();
            let names: std::collections::BTreeSet<&String> =
                before.keys().chain(after.keys()).collect();
            let changed: Map = names
                .into_iter()
                .filter(|name| before.get(*name) != after.get(*name))
                .map(|name| {
                    let now = after.get(name).map(|text| Value::from(text.as_str()));
                    (name.as_str(), now.unwrap_or_default())
                })
                .collect();
            let same = |a: &Map, b: &Map| {
                let sort = |map: &Map| {
                    map.iter()
                        .map(|(key, value)| format!("{key:?} {value:?}"))
                        .collect::<std::collections::BTreeSet<_>>()
                };
                sort(a) == sort(b)
            };
            let expected = decode(&step["changed"]);
            if got != wanted || !same(&changed, expected.as_map().unwrap()) {
                wrong.push(format!(
                    "{} {} {}\nexpected {wanted:?} {expected:?}\n     got {got:?} {changed:?}",
                    step["call"], step["args"], step["kw"]
                ));
                break;
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
    assert!(count > 220, "{count}");
}
