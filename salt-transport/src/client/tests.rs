//! The client against a master made of a request channel in memory and a real event bus.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use salt_proto::{Event, Jid};
use tokio::task::JoinHandle;

use super::*;
use crate::events::{EventBus, EventBusConfig};
use crate::serve::{ServeLimits, Server};
use crate::stream::memory;

/// What a minion of the fake master does with a job.
#[derive(Clone, Copy, Debug)]
struct Minion {
    /// Says that it knows nothing of a job, or works on it; else it says nothing at all.
    alive: bool,
    /// How long it works; forever, when `None`.
    works: Option<Duration>,
    retcode: i64,
}

fn quick() -> Minion {
    works(Duration::ZERO)
}

fn works(time: Duration) -> Minion {
    Minion {
        alive: true,
        works: Some(time),
        retcode: 0,
    }
}

fn dead() -> Minion {
    Minion {
        alive: false,
        works: None,
        retcode: 0,
    }
}

struct Shared {
    dir: PathBuf,
    bus: EventBus,
    minions: BTreeMap<String, Minion>,
    seen: Mutex<Vec<Map>>,
    working: Mutex<(usize, usize)>,
    next: Mutex<u64>,
}

struct FakeMaster {
    shared: Arc<Shared>,
    client: Client,
    tasks: Vec<JoinHandle<()>>,
}

const KEY: &str = "the key";

impl FakeMaster {
    fn start(name: &str, minions: &[(&str, Minion)]) -> Self {
        let dir = std::env::temp_dir().join(format!("salt-client-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(PUBLISH_PULL), "").unwrap();
        let (bus, serving_bus) = EventBus::bind(EventBusConfig::master(&dir)).unwrap();
        let (dial, _publish, request) = memory(1 << 16);
        let (mut requests, serving) =
            Server::new(Wire::Zeromq, ServeLimits::default()).requests(request);
        let minions = minions
            .iter()
            .map(|(id, minion)| ((*id).to_owned(), *minion));
        let shared = Arc::new(Shared {
            bus,
            minions: minions.collect(),
            seen: Mutex::default(),
            working: Mutex::default(),
            next: Mutex::default(),
            dir: dir.clone(),
        });
        let answering = {
            let shared = Arc::clone(&shared);
            async move {
                while let Some(request) = requests.next().await {
                    let limits = Limits::default();
                    let envelope = envelope::Envelope::parse(request.body(), &limits).unwrap();
                    let load = envelope.clear_load(&limits).unwrap();
                    let reply = shared.answer(&load);
                    let mut bytes = Vec::new();
                    msgpack::encode(&reply, msgpack::Dialect::Raw, &mut bytes);
                    request.reply(bytes);
                }
            }
        };
        let this = Self {
            client: Client::new(ClientConfig::new(&dir, &dir), dial, MasterAddr::new("any")),
            shared,
            tasks: vec![
                tokio::spawn(serving_bus),
                tokio::spawn(serving),
                tokio::spawn(answering),
            ],
        };
        this.write_key(KEY);
        this
    }

    fn write_key(&self, key: &str) {
        let path = self.shared.dir.join(".root_key");
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The functions that were published, with whom they were for.
    fn published(&self) -> Vec<(String, Value)> {
        let seen = self.shared.seen.lock().unwrap();
        let entry = |load: &Map| {
            let target = load.get("tgt").cloned().unwrap_or_default();
            (load.str("fun").unwrap_or_default().to_owned(), target)
        };
        seen.iter().map(entry).collect()
    }
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        std::fs::remove_dir_all(&self.shared.dir).ok();
    }
}

impl Shared {
    fn answer(self: &Arc<Self>, load: &Map) -> Value {
        self.seen.lock().unwrap().push(load.clone());
        if load.str("key") != Some(KEY) {
            return Map::new().into();
        }
        match load.str("cmd") {
            Some("publish") => self.publish(load),
            Some("runner") => {
                let jid = self.jid();
                let tag = format!("salt/run/{jid}");
                let data = Map::from([("fun", "runner.test.arg"), ("return", "done")]);
                self.bus.fire(Event::new(format!("{tag}/ret"), data));
                Map::from([("tag", Value::from(tag)), ("jid", (&jid).into())]).into()
            }
            Some("wheel") => {
                let error = [("name", "UserAuthenticationError"), ("message", "no")];
                Map::from([("error", Map::from(error))]).into()
            }
            _ => Value::Str(String::new()),
        }
    }

    fn jid(&self) -> Jid {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        Jid::from_unix_micros(1_709_210_096_000_000 + *next)
    }

    fn publish(self: &Arc<Self>, load: &Map) -> Value {
        let listed = match load.get("tgt").unwrap() {
            Value::List(ids) => Some(
                ids.iter()
                    .map(|id| id.as_str().unwrap().to_owned())
                    .collect::<Vec<_>>(),
            ),
            _ => None,
        };
        let known = |id: &String| self.minions.contains_key(id);
        let (minions, missing): (Vec<_>, Vec<_>) = match listed {
            Some(ids) => ids.into_iter().partition(known),
            None => (self.minions.keys().cloned().collect(), Vec::new()),
        };
        let jid = match load.str("jid") {
            Some("") | None => self.jid(),
            Some(jid) => jid.parse().unwrap(),
        };
        let fun = load.str("fun").unwrap().to_owned();
        for id in &minions {
            tokio::spawn(Arc::clone(self).minion(id.clone(), jid.clone(), fun.clone()));
        }
        let mut reply = Map::from([
            ("jid", Value::from(&jid)),
            ("minions", minions.iter().collect()),
            ("missing", missing.iter().collect()),
        ]);
        if minions.is_empty() {
            reply.insert("jid", ());
        }
        Map::from([("enc", Value::from("clear")), ("load", reply.into())]).into()
    }

    async fn minion(self: Arc<Self>, id: String, jid: Jid, fun: String) {
        let minion = self.minions[&id];
        let value: Value = match fun.as_str() {
            "saltutil.find_job" if minion.alive => match minion.works {
                Some(Duration::ZERO) => Map::new().into(),
                _ => Map::from([("pid", 4711)]).into(),
            },
            "test.ping" if minion.alive => true.into(),
            "sys.list_functions" if minion.alive => {
                let mut names = vec!["test.ping".to_owned()];
                names.extend((minion.retcode == 0).then(|| "test.work".to_owned()));
                names.iter().collect()
            }
            "test.work" => {
                {
                    let mut working = self.working.lock().unwrap();
                    working.0 += 1;
                    working.1 = working.1.max(working.0);
                }
                let Some(time) = minion.works else { return };
                tokio::time::sleep(time).await;
                self.working.lock().unwrap().0 -= 1;
                "done".into()
            }
            _ => return,
        };
        self.fire_return(&id, &jid, &fun, value, minion.retcode);
    }

    fn fire_return(&self, id: &str, jid: &Jid, fun: &str, value: Value, retcode: i64) {
        let data = Map::from([
            ("cmd", Value::from("_return")),
            ("id", id.into()),
            ("jid", jid.into()),
            ("fun", fun.into()),
            ("fun_args", Value::List(Vec::new())),
            ("return", value),
            ("retcode", retcode.into()),
            ("success", (retcode == 0).into()),
        ]);
        self.bus
            .fire(Event::new(format!("salt/job/{jid}/ret/{id}"), data));
    }
}

fn job() -> Publish {
    Publish::new("*", "glob", "test.work")
}

/// `id` for a return, `!id` for a missing one, `id…` for one that says it is working.
fn sign(answer: &Answer) -> String {
    match answer {
        Answer::Return(ret) => ret.id.to_string(),
        Answer::Missing(id) => format!("!{id}"),
        Answer::Working(id) => format!("{id}…"),
    }
}

async fn signs(answers: &mut Answers) -> Vec<String> {
    let mut signs = Vec::new();
    while let Some(answer) = answers.next().await.unwrap() {
        signs.push(sign(&answer));
    }
    signs
}

#[tokio::test(start_paused = true)]
async fn answers_are_told_as_they_come_and_end_with_the_last() {
    let ids = [
        ("a", works(Duration::from_secs(3))),
        ("b", quick()),
        ("c", works(Duration::from_secs(1))),
    ];
    let master = FakeMaster::start("order", &ids);
    let begin = tokio::time::Instant::now();

    let mut answers = master.client.run(&job()).await.unwrap();

    assert_eq!(answers.published().minions, ["a", "b", "c"]);
    assert_eq!(signs(&mut answers).await, ["b", "c", "a"]);
    assert_eq!(begin.elapsed().as_secs(), 3);
    assert_eq!(
        master.published(),
        [("test.work".to_owned(), Value::from("*"))]
    );
}

#[tokio::test(start_paused = true)]
async fn a_working_minion_is_waited_for_and_a_silent_one_is_missing_in_the_end() {
    let ids = [
        ("busy", works(Duration::from_secs(33))),
        ("dead", dead()),
        ("quick", quick()),
    ];
    let master = FakeMaster::start("find-job", &ids);
    let begin = tokio::time::Instant::now();

    let mut answers = master.client.run(&job()).await.unwrap();
    let signs = signs(&mut answers).await;

    assert_eq!(signs, ["quick", "busy…", "busy…", "busy…", "busy", "!dead"]);
    assert_eq!(begin.elapsed().as_secs(), 33);
    let silent: Value = ["busy", "dead"].into_iter().collect();
    let asked = ("saltutil.find_job".to_owned(), silent);
    // After 5, 15 and 25 seconds.
    assert_eq!(
        master.published()[1..],
        [asked.clone(), asked.clone(), asked]
    );
    let questions = master.shared.seen.lock().unwrap();
    let jid = Value::from(answers.jid());
    assert_eq!(questions[1].get("arg"), Some(&Value::List(vec![jid])));
}

#[tokio::test(start_paused = true)]
async fn a_silent_minion_costs_the_timeout_and_the_gathering() {
    let master = FakeMaster::start("silent", &[("dead", dead())]);
    let begin = tokio::time::Instant::now();

    let mut answers = master.client.run(&job()).await.unwrap();

    assert_eq!(signs(&mut answers).await, ["!dead"]);
    assert_eq!(begin.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_waiting_loses_nothing() {
    let ids = [
        ("a", works(Duration::from_secs(12))),
        ("b", works(Duration::from_secs(1))),
    ];
    let master = FakeMaster::start("cancel", &ids);
    let mut answers = master.client.run(&job()).await.unwrap();
    let mut signs = Vec::new();

    loop {
        match tokio::time::timeout(Duration::from_millis(70), answers.next()).await {
            Ok(answer) => match answer.unwrap() {
                Some(answer) => signs.push(sign(&answer)),
                None => break,
            },
            Err(_) => continue,
        }
    }

    assert_eq!(signs, ["b", "a…", "a"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_return_of_a_minion_and_of_this_job_is_told() {
    let master = FakeMaster::start(
        "first",
        &[
            ("a", works(Duration::from_secs(2))),
            ("b", works(Duration::from_secs(3))),
        ],
    );
    let mut answers = master.client.run(&job()).await.unwrap();
    let shared = &master.shared;
    let jid = answers.jid().clone();
    let other: Jid = "20200101000000000000".parse().unwrap();

    shared.fire_return("b", &other, "test.work", "other".into(), 0);
    shared.bus.fire(Event::new(
        format!("salt/job/{jid}/ret/b"),
        Map::from([("id", "b")]),
    ));
    // A minion may only speak for itself; the tag says who spoke.
    let forged = Map::from([
        ("id", "b"),
        ("jid", jid.as_str()),
        ("fun", "x"),
        ("return", "forged"),
    ]);
    shared
        .bus
        .fire(Event::new(format!("salt/job/{jid}/ret/a"), forged));
    shared.fire_return("a", &jid, "test.work", "first".into(), 0);

    let mut told = Vec::new();
    while let Some(answer) = answers.next().await.unwrap() {
        if let Answer::Return(ret) = answer {
            told.push((ret.id.to_string(), ret.value));
        }
    }
    assert_eq!(
        told,
        [
            ("a".to_owned(), "first".into()),
            ("b".to_owned(), "done".into())
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_listed_and_not_accepted_is_missing() {
    let master = FakeMaster::start("listed", &[("a", quick())]);
    let target: Value = ["a", "zzz"].into_iter().collect();

    let mut answers = master
        .client
        .run(&Publish::new(target, "list", "test.work"))
        .await
        .unwrap();

    assert_eq!(signs(&mut answers).await, ["a", "!zzz"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_matched_is_an_error_of_its_own() {
    let master = FakeMaster::start("nobody", &[]);
    assert!(matches!(
        master.client.run(&job()).await,
        Err(Error::NobodyMatched)
    ));
}

#[tokio::test(start_paused = true)]
async fn without_a_master_nothing_is_sent() {
    let master = FakeMaster::start("down", &[("a", quick())]);
    std::fs::remove_file(master.shared.dir.join(PUBLISH_PULL)).unwrap();

    let error = master.client.publish(&job()).await.unwrap_err();

    assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
    assert!(master.published().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_empty_reply_is_asked_again_only_with_a_key_that_changed() {
    let master = FakeMaster::start("key", &[("a", quick())]);
    master.write_key("wrong");

    let error = master.client.publish(&job()).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { name, .. } if name == "EauthAuthenticationError"));
    assert_eq!(master.published().len(), 1);

    let client = master.client.clone();
    let key_path = master.shared.dir.join(".root_key");
    // The master restarts, with a new key, while the request is under way.
    let reply = client
        .ask_with_key(&Credentials::Key, |key| {
            let load = job().load(key, client.config());
            std::fs::write(&key_path, KEY).unwrap();
            load
        })
        .await;
    assert!(Published::from_reply(reply.unwrap()).is_ok());
    assert_eq!(master.published().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_runs_every_minion_once_and_never_too_many() {
    let mut ids: Vec<(String, Minion)> = (0..10)
        .map(|n| (format!("m{n}"), works(Duration::from_secs(1 + n % 3))))
        .collect();
    ids.push(("gone".to_owned(), dead()));
    let ids: Vec<_> = ids
        .iter()
        .map(|(id, minion)| (id.as_str(), *minion))
        .collect();
    let master = FakeMaster::start("batch", &ids);

    let options = BatchOptions::new("30%".parse().unwrap());
    let mut run = master.client.run_batch(&job(), options).await.unwrap();
    let (mut absent, mut started, mut returned) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(answer) = run.next().await.unwrap() {
        match answer {
            BatchAnswer::Absent(id) => absent.push(id),
            BatchAnswer::Started(ids) => started.push(ids),
            BatchAnswer::Return(ret) => returned.push(ret.id.to_string()),
            other => panic!("{other:?}"),
        }
    }

    assert_eq!(absent, ["gone"]);
    assert_eq!(started[0], ["m0", "m1", "m2"]);
    assert_eq!(started.concat().len(), 10);
    returned.sort();
    assert_eq!(
        returned,
        (0..10).map(|n| format!("m{n}")).collect::<Vec<_>>()
    );
    assert_eq!(master.shared.working.lock().unwrap().1, 3);
    let seen = master.shared.seen.lock().unwrap();
    let jids: Vec<_> = seen
        .iter()
        .filter(|load| load.str("fun") == Some("test.work"))
        .collect();
    assert!(
        jids[1..]
            .iter()
            .all(|load| load.str("jid") == Some(run.jid().unwrap().as_str()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_minion_that_dies_in_a_batch_frees_its_place() {
    let dies = Minion {
        alive: true,
        works: None,
        retcode: 0,
    };
    let ids = [("a", dies), ("b", quick())];
    let master = FakeMaster::start("batch-dies", &ids);
    let mut run = master
        .client
        .run_batch(&job(), BatchOptions::new(BatchSize::Count(1)))
        .await
        .unwrap();

    assert_eq!(
        run.next().await.unwrap(),
        Some(BatchAnswer::Started(vec!["a".to_owned()]))
    );
    // It answered the ping, and says that it works until it is cut off.
    let patience = tokio::time::timeout(Duration::from_secs(60), run.next()).await;
    assert!(patience.is_err(), "{patience:?}");
    master
        .shared
        .fire_return("a", run.jid().unwrap(), "test.work", "killed".into(), 1);
    assert_eq!(
        run.next().await.unwrap(),
        Some(BatchAnswer::Started(vec!["b".to_owned()]))
    );
}

#[tokio::test(start_paused = true)]
async fn failhard_ends_a_batch_with_the_first_failure() {
    let fails = Minion {
        retcode: 3,
        ..quick()
    };
    let master = FakeMaster::start("failhard", &[("a", fails), ("b", quick())]);
    let options = BatchOptions {
        failhard: true,
        ..BatchOptions::new(BatchSize::Count(1))
    };

    let mut run = master.client.run_batch(&job(), options).await.unwrap();
    let mut last = None;
    let mut count = 0;
    while let Some(answer) = run.next().await.unwrap() {
        count += 1;
        last = Some(answer);
    }

    assert_eq!((count, last), (3, Some(BatchAnswer::Stopped)));
    let functions: Vec<_> = master.published().into_iter().map(|(fun, _)| fun).collect();
    assert_eq!(functions, ["test.ping", "test.work"]);
}

#[tokio::test(start_paused = true)]
async fn a_subset_is_random_and_only_of_those_that_have_the_function() {
    let lacks = Minion {
        retcode: 1,
        ..quick()
    };
    let ids = [("a", quick()), ("b", quick()), ("c", lacks), ("d", dead())];
    let master = FakeMaster::start("subset", &ids);
    let mut chosen = std::collections::BTreeSet::new();

    for _ in 0..64 {
        let one = master.client.subset(&job(), 1).await.unwrap();
        assert_eq!(one.len(), 1);
        chosen.extend(one);
    }

    assert_eq!(chosen.iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(master.client.subset(&job(), 9).await.unwrap(), ["a", "b"]);
    let nobody = Publish::new("*", "glob", "acme.nope");
    assert!(matches!(
        master.client.subset(&nobody, 1).await,
        Err(Error::NobodyMatched)
    ));
}

#[tokio::test(start_paused = true)]
async fn runners_end_on_the_bus_and_refusals_are_in_salts_words() {
    let master = FakeMaster::start("runner", &[]);

    let ret = master
        .client
        .run_runner(&Call::new("test.arg"), Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(ret.str("return"), Some("done"));

    let refused = master
        .client
        .wheel(&Call::new("key.list_all"))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Refused { name, message } if name == "UserAuthenticationError" && message == "no")
    );

    let fields = [("password".to_owned(), Secret::new("x".to_owned()))];
    let refused = master.client.make_token("pam", &fields).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_bus_is_an_error() {
    let mut master = FakeMaster::start("end", &[("a", dead())]);
    let mut answers = master.client.run(&job()).await.unwrap();

    master.tasks.remove(0).abort();

    assert!(matches!(
        answers.next().await,
        Err(Error::Closed | Error::Io { .. })
    ));
}
