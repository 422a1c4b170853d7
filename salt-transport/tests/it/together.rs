//! A minion and a master, over both wires.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salt_crypto::{FingerprintHash, Identity};
use salt_proto::minion::Waits;
use salt_proto::{
    Event, Job, KeyState, Map, MemoryKeyStore, MinionConfig, MinionId, Profile, Return, Target,
    Value,
};
use salt_transport::events::{EventBus, EventBusConfig};
use salt_transport::jobs::JobCache;
use salt_transport::{
    Channel, Dial, Error, Handler, Master, MasterAddr, MasterBuilder, MasterSettings, MemoryDial,
    Minion, MinionBuilder, MinionHandle, MinionSettings, MinionStatus, PkiDir, Tcp, Wire, blocking,
    memory,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::support::{WIRES, soon, tcp, until};

#[tokio::test]
async fn a_job_reaches_its_minions_and_their_returns_the_master() {
    for wire in WIRES {
        let mut site = Site::start(wire);
        let mut minions = Vec::new();
        for name in ["web-1", "web-2", "db-1"] {
            minions.push(site.minion(name, functions).await);
        }

        let pinged = returns(&site.master, "*", "test.ping", vec![]).await;
        let long: Value = "ü€".repeat(50_000).into();
        let echoed = returns(&site.master, "web-*", "test.echo", vec![long.clone()]).await;
        let unknown = returns(&site.master, "db-1", "no.such", vec![]).await;

        assert_eq!(names(&pinged), ["db-1", "web-1", "web-2"]);
        assert!(
            pinged
                .iter()
                .all(|ret| ret.value == true.into() && ret.is_success())
        );
        assert_eq!(names(&echoed), ["web-1", "web-2"]);
        assert!(echoed.iter().all(|ret| ret.value == long));
        assert_eq!(unknown[0].value, "'no.such' is not available.".into());
        assert_eq!(unknown[0].exit_code(), 1);
    }
}

#[tokio::test]
async fn two_real_sockets_do_as_well() {
    let (publish, publish_at) = tcp().await;
    let (request, request_at) = tcp().await;
    let at = request_at
        .clone()
        .ports(request_at.request_port, publish_at.publish_port);
    let (master, serving) = Master::builder(identity(0), accepting())
        .serve(publish, request)
        .unwrap();
    let _serving = tokio::spawn(serving);
    let minion = builder("web-1")
        .handler(functions)
        .connect(Tcp, at)
        .await
        .unwrap();
    let handle = minion.handle();
    let _running = tokio::spawn(minion.run());
    soon(handle.until_receiving()).await;

    let pinged = returns(&master, "*", "test.ping", vec![]).await;

    assert_eq!(names(&pinged), ["web-1"]);
}

#[tokio::test]
async fn a_minion_waits_until_its_key_is_accepted() {
    let site = Site::with(Wire::Zeromq, MemoryKeyStore::new());
    let minion = builder("web-1").build(site.dial(), any()).unwrap();
    let handle = minion.handle();
    let _running = tokio::spawn(minion.run());
    soon(handle.until(MinionStatus::Pending)).await;

    let id: MinionId = "web-1".parse().unwrap();
    site.master.keys(|keys| {
        let KeyState::Pending(key) = keys.state(&id).unwrap() else {
            panic!("not pending");
        };
        keys.accept(&id, &key).unwrap();
    });

    soon(handle.until_receiving()).await;
}

// K-05
#[tokio::test]
async fn a_minion_whose_key_is_removed_is_served_no_more() {
    let mut site = Site::start(Wire::Zeromq);
    let handle = site.minion("web-1", functions).await;

    site.master.revoke(handle.id()).unwrap();
    let id = handle.id().clone();
    site.master
        .keys(|keys| keys.reject(&id, identity(1).public_key()).unwrap());
    let answer = soon(handle.request(Map::from([("cmd", "_file_envs")]))).await;

    assert!(matches!(answer, Err(Error::Request(_))), "{answer:?}");
    assert_eq!(handle.status(), MinionStatus::Rejected);
}

#[tokio::test]
async fn pillar_and_grains_are_what_targets_mean() {
    let mut site = Site::build(Wire::Zeromq, |master| {
        master.pillar(|query| Map::from([("role", format!("role of {}", query.id.as_str()))]))
    });
    let handle = site
        .minion_of(builder("web-1").grains(Map::from([("os", "Debian")])))
        .await;
    site.minion_of(builder("web-2").grains(Map::from([("os", "Fedora")])))
        .await;
    soon(async {
        while handle.pillar().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(handle.pillar().str("role"), Some("role of web-1"));

    for (kind, expression) in [
        ("grain", "os:Debian"),
        ("pillar", "role:role of web-1"),
        ("compound", "G@os:Debian and web-*"),
        ("list", "web-1,db-7"),
    ] {
        let target = Target::parse(kind, &expression.into(), ":").unwrap();
        let mut job = site
            .master
            .publish(target, "test.ping", vec![])
            .await
            .unwrap();
        let first = soon(job.next()).await.map(|ret| ret.id.to_string());
        assert_eq!(first.as_deref(), Some("web-1"), "{kind} {expression}");
    }
}

#[tokio::test]
async fn a_master_with_new_keys_finds_its_minions_again() {
    for wire in WIRES {
        let mut site = Site::start(wire);
        let handle = site.minion("web-1", functions).await;
        assert_eq!(
            names(&returns(&site.master, "*", "test.ping", vec![]).await),
            ["web-1"]
        );

        site.master.rotate_publish_key();

        let pinged = returns(&site.master, "*", "test.ping", vec![]).await;
        assert_eq!(names(&pinged), ["web-1"]);
        assert_eq!(handle.status(), MinionStatus::Ready);
    }
}

#[tokio::test]
async fn a_return_in_hand_survives_the_restart_of_the_master() {
    for wire in WIRES {
        let jobs = Scratch::new();
        let master = || {
            Master::builder(identity(0), accepting()).settings(MasterSettings {
                jobs: Some(JobCache::new(&jobs.0)),
                ..MasterSettings::default()
            })
        };
        let mut site = Site::of(wire, master());
        let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (at_begin, at_finish) = (Arc::clone(&begun), Arc::clone(&finish));
        let handler = move |job: Job| {
            let (begun, finish) = (Arc::clone(&at_begin), Arc::clone(&at_finish));
            async move {
                begun.notify_one();
                finish.notified().await;
                job.ok("after the restart")
            }
        };
        let _handle = site.minion("web-1", handler).await;
        let job = site
            .master
            .publish(Target::glob("*"), "slow.job", vec![])
            .await
            .unwrap();
        soon(begun.notified()).await;

        site.restart(master());
        finish.notify_one();

        let kept = JobCache::new(&jobs.0);
        until(|| !kept.returns(job.jid()).unwrap().is_empty()).await;
        let returned = kept.returns(job.jid()).unwrap();
        let returned = returned
            .get("web-1")
            .and_then(|ret| ret.get("return"))
            .cloned();
        assert_eq!(returned, Some("after the restart".into()));
    }
}

#[tokio::test]
async fn a_minion_tells_that_it_started_and_that_it_is_back() {
    let dir = Scratch::new();
    let (bus, carrying) = EventBus::bind(EventBusConfig::master(&dir.0)).unwrap();
    let _carrying = tokio::spawn(carrying);
    let mut events = bus.listen(100);
    let master = || {
        Master::builder(identity(0), accepting()).settings(MasterSettings {
            events: Some(bus.clone()),
            ..MasterSettings::default()
        })
    };
    let mut site = Site::of(Wire::Zeromq, master());
    let settings = MinionSettings {
        legacy_start_event: true,
        ..MinionSettings::default()
    };
    site.minion_of(builder("web-1").settings(settings)).await;
    let started = soon(starts(&mut events, 2)).await;

    site.restart(master());
    let back = soon(starts(&mut events, 1)).await;

    assert_eq!(started, ["minion_start", "salt/minion/web-1/start"]);
    assert_eq!(back, ["salt/minion/web-1/start"]);
}

async fn starts(events: &mut mpsc::Receiver<Event>, n: usize) -> Vec<String> {
    let mut tags = Vec::new();
    while tags.len() < n {
        let event = events.recv().await.unwrap();
        if event.tag.ends_with("start") {
            assert!(
                event
                    .data
                    .str("data")
                    .unwrap()
                    .starts_with("Minion web-1 started at ")
            );
            tags.push(event.tag);
        }
    }
    tags
}

#[tokio::test]
async fn a_broken_handler_breaks_only_its_job() {
    let mut site = Site::start(Wire::Zeromq);
    let _handle = site
        .minion("web-1", |job: Job| async move {
            assert_ne!(job.function.as_str(), "test.break", "as asked");
            job.ok(true)
        })
        .await;
    let _blocking = site
        .minion_of(builder("web-2").handler(blocking(|job: &Job| {
            assert_ne!(job.function.as_str(), "test.break", "as asked");
            job.ok(true)
        })))
        .await;

    let broken = returns(&site.master, "*", "test.break", vec![]).await;
    let pinged = returns(&site.master, "*", "test.ping", vec![]).await;

    assert_eq!(broken.len(), 2);
    for ret in &broken {
        assert_eq!(
            ret.value,
            "The minion function caused an exception: it panicked".into()
        );
        assert!(!ret.is_success());
    }
    assert_eq!(pinged.len(), 2);
}

#[tokio::test]
async fn running_jobs_can_be_seen_and_aborted() {
    let mut site = Site::start(Wire::Zeromq);
    let handle = site
        .minion("web-1", |job: Job| async move {
            std::future::pending::<()>().await;
            job.ok(true)
        })
        .await;
    let mut job = site
        .master
        .publish(Target::glob("*"), "test.hang", vec![])
        .await
        .unwrap();
    until(|| {
        handle
            .running()
            .iter()
            .any(|running| running.jid == *job.jid())
    })
    .await;

    assert!(handle.abort(job.jid()).await);

    let ret = soon(job.next()).await.unwrap();
    assert_eq!(
        ret.value,
        "The minion function caused an exception: it was aborted".into()
    );
    assert!(handle.running().is_empty());
    assert!(!handle.abort(job.jid()).await);
}

#[tokio::test]
async fn jobs_beyond_the_limit_wait_in_order_and_the_queue_is_bounded() {
    let mut site = Site::start(Wire::Zeromq);
    let order = Arc::new(Mutex::new(Vec::new()));
    let (seen, gate) = (Arc::clone(&order), Arc::new(Notify::new()));
    let passing = Arc::clone(&gate);
    let settings = MinionSettings {
        max_jobs: 1,
        max_waiting_jobs: 2,
        ..MinionSettings::default()
    };
    let handler = move |job: Job| {
        let (seen, gate) = (Arc::clone(&seen), Arc::clone(&passing));
        async move {
            seen.lock().unwrap().push(job.args[0].clone());
            gate.notified().await;
            job.ok(job.args[0].clone())
        }
    };
    let _handle = site
        .minion_of(builder("web-1").settings(settings).handler(handler))
        .await;
    let mut jobs = Vec::new();
    for n in 0..4 {
        let target = Target::glob("*");
        jobs.push(
            site.master
                .publish(target, "test.echo", vec![n.into()])
                .await
                .unwrap(),
        );
    }

    let refused = soon(jobs[3].next()).await.unwrap();
    assert!(refused.value.as_str().unwrap().contains("too many jobs"));
    for (n, job) in jobs.iter_mut().take(3).enumerate() {
        gate.notify_one();
        assert_eq!(soon(job.next()).await.unwrap().value, n.into());
    }
    assert_eq!(*order.lock().unwrap(), [0.into(), 1.into(), 2.into()]);
}

#[tokio::test]
async fn a_stopped_minion_finishes_what_it_runs() {
    let mut site = Site::start(Wire::Zeromq);
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at_begin, at_finish) = (Arc::clone(&begun), Arc::clone(&finish));
    let handler = move |job: Job| {
        let (begun, finish) = (Arc::clone(&at_begin), Arc::clone(&at_finish));
        async move {
            begun.notify_one();
            finish.notified().await;
            job.ok("done")
        }
    };
    let handle = site.minion("web-1", handler).await;
    let mut job = site
        .master
        .publish(Target::glob("*"), "slow.job", vec![])
        .await
        .unwrap();
    soon(begun.notified()).await;

    handle.stop().await;
    finish.notify_one();

    assert_eq!(soon(job.next()).await.unwrap().value, "done".into());
    soon(site.minions.pop().unwrap()).await.unwrap().unwrap();
    let answer = handle.request(Map::from([("cmd", "_file_envs")])).await;
    assert!(matches!(answer, Err(Error::Closed)));
}

// K-09
#[test]
fn a_minion_that_knows_nothing_of_its_master_does_not_start() {
    let (dial, _publish, _request) = memory(1000);

    let built = Minion::builder("web-1".parse().unwrap(), identity(1)).build(dial, any());

    assert!(matches!(built, Err(Error::Configuration(_))));
}

// K-09, R-03, P-06: what has to be remembered is, owner-only.
#[tokio::test]
async fn the_masters_key_outlives_the_process_and_no_job_runs_twice() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = Scratch::new();
    let (pki, cache) = (dir.0.join("pki"), dir.0.join("cache"));
    let fingerprint = identity(0)
        .public_key()
        .fingerprint(FingerprintHash::Sha256);
    let remembering = || {
        let pki = PkiDir::open(&pki).unwrap();
        Minion::builder("web-1".parse().unwrap(), identity(1))
            .config(quick)
            .keep_in(pki, &cache)
            .unwrap()
            .handler(functions)
    };
    let mut site = Site::start(Wire::Zeromq);
    site.minion_of(remembering().master_fingerprint(fingerprint))
        .await;
    returns(&site.master, "*", "test.ping", vec![]).await;
    site.minions.pop().unwrap().abort();

    // The key is stored now and needs no fingerprint any more.
    site.minion_of(remembering()).await;
    returns(&site.master, "*", "test.ping", vec![]).await;
    site.minions.pop().unwrap().abort();

    let seen = std::fs::metadata(cache.join("jobs_seen")).unwrap();
    assert_eq!(seen.permissions().mode() & 0o777, 0o600);
    let other = identity(1)
        .public_key()
        .fingerprint(FingerprintHash::Sha256);
    let built = remembering()
        .master_fingerprint(other)
        .build(site.dial(), any());
    assert!(matches!(built, Err(Error::Configuration(_))));
    // Another master under the same address is not believed.
    let rogue = Site::of(Wire::Zeromq, Master::builder(identity(2), accepting()));
    let minion = remembering().build(rogue.dial(), any()).unwrap();
    let handle = minion.handle();
    let _running = tokio::spawn(minion.run());
    let believed = tokio::time::timeout(Duration::from_millis(200), handle.until_receiving()).await;
    assert!(believed.is_err());
}

#[tokio::test]
async fn the_suite_is_chosen_by_both_ends() {
    for profile in [
        Profile::strict(),
        Profile::strict().without_aes_gcm(),
        Profile::compat(),
    ] {
        let mut site = Site::start(Wire::Zeromq);
        site.minion_of(builder("ours").profile(profile)).await;
        site.minion_of(builder("other").profile(Profile::strict().without_aes_gcm()))
            .await;

        let pinged = returns(&site.master, "*", "test.ping", vec![]).await;

        assert_eq!(names(&pinged), ["other", "ours"]);
    }
}

#[tokio::test]
async fn topics_reach_those_who_filter_and_those_who_do_not() {
    let mut site = Site::build(Wire::Zeromq, |master| {
        master.settings(MasterSettings {
            topics: true,
            ..MasterSettings::default()
        })
    });
    site.minion_of(
        builder("filters")
            .profile(Profile::strict().without_aes_gcm())
            .config(|it| {
                it.filtering = true;
            }),
    )
    .await;
    site.minion_of(builder("takes-all").profile(Profile::strict().without_aes_gcm()))
        .await;
    site.minion_of(builder("gcm")).await;

    for (target, expected) in [
        ("*", vec!["filters", "gcm", "takes-all"]),
        ("filters", vec!["filters"]),
        ("gcm", vec!["gcm"]),
        ("takes-*", vec!["takes-all"]),
    ] {
        let pinged = returns(&site.master, target, "test.ping", vec![]).await;
        assert_eq!(names(&pinged), expected, "{target}");
    }
    let target = Target::parse("compound", &"* and not gcm".into(), ":").unwrap();
    let mut job = site
        .master
        .publish(target, "test.ping", vec![])
        .await
        .unwrap();
    let both = [
        soon(job.next()).await.unwrap(),
        soon(job.next()).await.unwrap(),
    ];
    assert!(both.iter().all(|ret| ret.id.as_str() != "gcm"));
}

// G-01, G-02: pillar is compiled for who asks, and no field says how.
#[tokio::test]
async fn nothing_a_pillar_request_says_chooses_whose_pillar_it_is() {
    let mut site = Site::build(Wire::Zeromq, |master| {
        master.pillar(|query| Map::from([("for", query.id.as_str())]))
    });
    let handle = site.minion("web-1", functions).await;
    let other = Map::from([("id", Value::from("db-1")), ("role", "db".into())]);
    let ext = Map::from([("cmd_yaml", "echo owned: true")]);

    for (field, value) in [
        ("grains", Value::from(other.clone())),
        ("minion_id", "db-1".into()),
        ("minion", "db-1".into()),
        ("user", "root".into()),
        ("ext", ext.clone().into()),
        ("ext_pillar", vec![Value::from(ext.clone())].into()),
        ("ext_pillar_extra_data_keys", ext.into()),
        ("extra_minion_data", other.into()),
        ("saltenv", "../../etc".into()),
        ("pillarenv", "__env__".into()),
        ("pillar_roots", "/".into()),
        ("git_pillar_base", "https://example.org/x".into()),
        ("clean_cache", "/".into()),
    ] {
        let mut load = Map::from([
            ("cmd", Value::from("_pillar")),
            ("grains", Map::new().into()),
            ("ver", "2".into()),
        ]);
        load.insert(field, value);

        let answer = soon(handle.request(load)).await;

        // Refused or answered, but with nobody else's.
        if let Ok(Value::Map(pillar)) = &answer {
            assert_eq!(pillar, &Map::from([("for", "web-1")]), "{field}");
        }
    }
    let mine = soon(handle.refresh_pillar()).await.unwrap();
    assert_eq!(*mine, Map::from([("for", "web-1")]));
}

// E-03: what a minion says is data, whatever it looks like.
#[tokio::test]
async fn nothing_a_minion_says_names_a_file_of_the_master() {
    let scratch = Scratch::new();
    let inside = scratch.0.join("master");
    let (cache, jobs) = (inside.join("cache"), inside.join("jobs"));
    let mut site = Site::build(Wire::Zeromq, |master| {
        master.settings(MasterSettings {
            cache_dir: Some(cache.clone()),
            jobs: Some(JobCache::new(&jobs)),
            ..MasterSettings::default()
        })
    });
    let handle = site.minion("web-1", functions).await;
    let names = [
        "../../../owned",
        "/tmp/owned",
        "a/../../owned",
        "{{ 1 + 1 }}",
        "salt://../owned",
        "owned\0",
    ];
    for name in names {
        let data = Map::from([(name, Value::from(name))]);
        let loads = [
            Map::from([("cmd", Value::from("_mine")), ("data", data.clone().into())]),
            Map::from([
                ("cmd", Value::from("_return")),
                ("jid", "20260101000000000000".into()),
                ("fun", name.into()),
                ("fun_args", vec![Value::from(name)].into()),
                ("return", data.clone().into()),
                ("out", name.into()),
            ]),
            Map::from([
                ("cmd", Value::from("_return")),
                ("jid", name.into()),
                ("fun", "test.ping".into()),
                ("return", true.into()),
            ]),
            Map::from([
                ("cmd", Value::from("_minion_event")),
                ("tag", name.into()),
                ("data", data.clone().into()),
            ]),
            Map::from([("cmd", Value::from("_pillar")), ("grains", data.into())]),
            Map::from([
                ("cmd", Value::from("_file_recv")),
                ("path", vec![Value::from(name)].into()),
                ("loc", 0.into()),
                ("data", "owned".into()),
            ]),
        ];
        for load in loads {
            // Refused or not; what is on the disk counts.
            let _answer = soon(handle.request(load)).await;
        }
    }

    let mut outside = std::fs::read_dir(&scratch.0).unwrap();
    assert_eq!(outside.next().unwrap().unwrap().file_name(), "master");
    assert!(outside.next().is_none());
    let written = files_below(&inside);
    assert!(written.iter().any(|name| name == "web-1.p"), "{written:?}");
    assert!(
        written
            .iter()
            .all(|name| !name.contains("owned") && !name.contains("{{")),
        "{written:?}"
    );
}

/// The names of all files and directories.
fn files_below(dir: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            names.extend(files_below(&entry.path()));
        }
    }
    names
}

/// A directory that goes with the test.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("salt-transport-{}-{n}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A master in memory with its minions.
struct Site {
    wire: Wire,
    master: Master,
    serving: JoinHandle<()>,
    dial: Current,
    minions: Vec<JoinHandle<Result<(), Error>>>,
}

impl Site {
    fn start(wire: Wire) -> Self {
        Self::with(wire, accepting())
    }

    fn with(wire: Wire, keys: MemoryKeyStore) -> Self {
        Self::of(wire, Master::builder(identity(0), keys))
    }

    fn build(wire: Wire, change: impl FnOnce(MasterBuilder) -> MasterBuilder) -> Self {
        Self::of(wire, change(Master::builder(identity(0), accepting())))
    }

    fn of(wire: Wire, builder: MasterBuilder) -> Self {
        let dial = Current::default();
        let (master, serving) = serve(wire, builder, &dial);
        Self {
            wire,
            master,
            serving,
            dial,
            minions: Vec::new(),
        }
    }

    /// Another process with the same key and no memory takes the master's place.
    fn restart(&mut self, builder: MasterBuilder) {
        self.serving.abort();
        (self.master, self.serving) = serve(self.wire, builder, &self.dial);
    }

    fn dial(&self) -> Current {
        self.dial.clone()
    }

    async fn minion(&mut self, name: &str, handler: impl Handler) -> MinionHandle {
        self.minion_of(builder(name).handler(handler)).await
    }

    async fn minion_of(&mut self, builder: MinionBuilder) -> MinionHandle {
        let minion = builder.wire(self.wire).connect(self.dial(), any());
        let minion = soon(minion).await.unwrap();
        let handle = minion.handle();
        self.minions.push(tokio::spawn(minion.run()));
        soon(handle.until_receiving()).await;
        // The master has to have read the subscription, or the announcement, too.
        let id = handle.id();
        match self.wire {
            Wire::Tcp => until(|| self.master.present().contains(id)).await,
            _ => {
                let all = self.minions.iter().filter(|it| !it.is_finished()).count();
                until(|| self.master.publish_stats().subscribed >= all).await;
            }
        }
        handle
    }
}

fn serve(wire: Wire, builder: MasterBuilder, dial: &Current) -> (Master, JoinHandle<()>) {
    let (to, publish, request) = memory(64 * 1024);
    *dial.0.lock().unwrap() = Some(to);
    let (master, serving) = builder.wire(wire).serve(publish, request).unwrap();
    (master, tokio::spawn(serving))
}

/// Dials whichever master stands at the moment.
#[derive(Clone, Default)]
struct Current(Arc<Mutex<Option<MemoryDial>>>);

impl Dial for Current {
    type Stream = tokio::io::DuplexStream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<Self::Stream> {
        let current = self.0.lock().unwrap().clone();
        let current = current.ok_or(io::ErrorKind::ConnectionRefused)?;
        Dial::dial(&current, master, channel).await
    }
}

async fn functions(job: Job) -> Return {
    match job.function.as_str() {
        "test.ping" => job.ok(true),
        "test.echo" => job.ok(job.args[0].clone()),
        _ => job.unknown_function(),
    }
}

/// What comes back from everybody meant.
async fn returns(master: &Master, glob: &str, function: &str, args: Vec<Value>) -> Vec<Return> {
    let job = master.publish(Target::glob(glob), function, args).await;
    let mut job = job.unwrap().within(Duration::from_secs(20));
    let mut returns = Vec::new();
    while let Some(ret) = job.next().await {
        returns.push(ret);
    }
    assert_eq!(job.missing().count(), 0, "{returns:?}");
    returns
}

fn names(returns: &[Return]) -> Vec<&str> {
    let mut names: Vec<_> = returns.iter().map(|ret| ret.id.as_str()).collect();
    names.sort_unstable();
    names
}

fn accepting() -> MemoryKeyStore {
    MemoryKeyStore::new().danger_accept_everyone()
}

/// A minion that knows its master and does not wait for seconds.
fn builder(name: &str) -> MinionBuilder {
    Minion::builder(name.parse().unwrap(), identity(1))
        .master_key(identity(0).public_key().clone())
        .handler(functions)
        .config(quick)
}

fn quick(config: &mut MinionConfig) {
    let short = Duration::from_millis(20);
    config.waits = Waits {
        pending: short,
        failure: short,
        rejected: Some(short),
        ..Waits::default()
    };
}

fn any() -> MasterAddr {
    MasterAddr::new("any")
}

/// Keys take long to make, so the tests of this process share three.
fn identity(n: usize) -> Identity {
    static KEYS: OnceLock<[Identity; 3]> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let mut rng = StdRng::from_seed([7; 32]);
        std::array::from_fn(|_| Identity::generate(2048, &mut rng).unwrap())
    });
    keys[n].clone()
}
