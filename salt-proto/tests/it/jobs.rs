//! Published jobs: invariants C-03, R-03, R-05 and F6 on the minion, F5 and
//! topics on the master, and rotation of the publish key between them.

use salt_crypto::{Identity, Purpose, SessionKey, Signing, Suite};
use salt_proto::master::Broadcast;
use salt_proto::minion::Dropped;
use salt_proto::{
    GCM_TOPIC, Jid, JidLog, Job, Map, MasterEvent, MinionConfig, MinionEvent, MinionLink, Profile,
    Target, Value, envelope, msgpack,
};

use crate::machines::{
    Pair, SECOND, Seeded, UNIX, core, decoded, encoded, id, master_config, master_identity,
    minion_config, minion_identity, other_master_identity, seeded,
};

fn jid(n: u64) -> Jid {
    Jid::from_unix_micros(UNIX * 1_000_000 + n)
}

fn job(n: u64) -> Job {
    Job::new(
        jid(n),
        "test.echo",
        vec!["hé".into(), n.into()],
        Target::glob("*"),
    )
}

fn jids(jobs: &[Job]) -> Vec<Jid> {
    jobs.iter().map(|job| job.jid.clone()).collect()
}

/// A publish by hand: what is sealed, by whom it is signed, how that is named.
struct Forgery {
    key: SessionKey,
    signer: Option<Identity>,
    signing: Signing,
    name: Option<&'static str>,
}

impl Forgery {
    /// As the master does it.
    fn honest(pair: &Pair) -> Self {
        Self {
            key: pair.master.publish_key().clone(),
            signer: Some(master_identity()),
            signing: Signing::Pkcs1v15Sha224,
            name: Some(Signing::Pkcs1v15Sha224.name()),
        }
    }

    fn publish(&self, load: &Map) -> Vec<u8> {
        let mut sealed = Vec::new();
        let rng = &mut Seeded(1);
        let plain = encoded(load.clone());
        self.key.seal(
            Suite::Classic,
            Purpose::Publish,
            None,
            &plain,
            rng,
            &mut sealed,
        );
        let signature = self
            .signer
            .as_ref()
            .map(|signer| signer.sign(self.signing, &sealed, rng).unwrap());
        let mut body = Vec::new();
        let signature = self.name.zip(signature.as_deref());
        envelope::publish(&sealed, signature, &mut body);
        body
    }
}

fn load(n: u64, serial: u64) -> Map {
    let mut job = job(n);
    job.serial = Some(serial);
    job.to_map()
}

#[test]
fn a_published_job_reaches_the_minion_as_it_was_made() {
    for gcm in [true, false] {
        let mut config = minion_config("web1", 0);
        if !gcm {
            config.profile = Profile::strict().without_aes_gcm();
        }
        let mut pair = Pair::with(master_config(), config).ready();
        let mut sent = job(1);
        sent.kwargs = Map::from([("k", Value::Null)]);
        sent.metadata = Some("m".into());
        sent.user = "root".into();

        let broadcast = pair.publish(&sent);
        match (&broadcast.gcm, gcm) {
            (Some(body), true) => pair.deliver(Some(GCM_TOPIC.as_bytes()), body),
            (None, false) => pair.deliver(None, &broadcast.classic),
            other => panic!("{other:?}"),
        }

        let jobs = pair.jobs();
        assert_eq!(jobs.len(), 1, "{:?}", pair.events);
        assert_eq!(jobs[0].minion, Some(id("web1")));
        assert_eq!(jobs[0].serial, None, "the machine has checked it");
        sent.minion = Some(id("web1"));
        assert_eq!(jobs[0], sent);
    }
}

#[test]
fn a_job_for_others_is_passed_over_in_silence() {
    let mut pair = Pair::new().ready();
    pair.link
        .set_facts(Map::from([("os", "Debian")]), Map::from([("role", "web")]));
    for (tgt_type, tgt, meant) in [
        ("glob", "web*", true),
        ("glob", "db*", false),
        ("grain", "os:debian", true),
        ("grain", "os:suse", false),
        ("pillar", "role:web", true),
        ("compound", "web1 and not G@os:suse", true),
        ("compound", "web1 and", false),
    ] {
        let target = match Target::parse(tgt_type, &tgt.into(), ":") {
            Ok(target) => target,
            Err(_) if !meant => continue,
            Err(error) => panic!("{error}"),
        };
        let mut job = job(tgt.len() as u64);
        job.target = target;
        let broadcast = pair.publish(&job);
        pair.deliver(None, &broadcast.classic);
        assert_eq!(pair.jobs().len(), usize::from(meant), "{tgt_type} {tgt}");
        assert_eq!(pair.dropped(), []);
    }
}

// C-03
#[test]
fn c03_only_what_the_master_signed_in_an_accepted_way_is_acted_on() {
    let base = {
        let pair = Pair::new().ready();
        Forgery::honest(&pair)
    };
    let by = |change: fn(&mut Forgery)| {
        let mut forgery = Forgery {
            key: base.key.clone(),
            signer: base.signer.clone(),
            ..base
        };
        change(&mut forgery);
        forgery.publish(&load(1, u64::MAX >> 1))
    };
    let over_other_bytes = {
        let mut other = decoded(&by(|_| {}));
        let more = decoded(&base.publish(&load(2, u64::MAX >> 1)));
        let map = other.as_map_mut().unwrap();
        map.insert("load", more.get("load").cloned().unwrap());
        encoded(other)
    };
    let in_the_clear = encoded(Map::from([
        ("enc", Value::from("clear")),
        ("load", load(1, u64::MAX >> 1).into()),
    ]));
    for (what, body, reason) in [
        ("in the clear", in_the_clear, Dropped::Unsigned),
        (
            "without a signature",
            by(|it| it.signer = None),
            Dropped::Unsigned,
        ),
        ("over other bytes", over_other_bytes, Dropped::BadSignature),
        (
            "by another minion",
            by(|it| it.signer = Some(minion_identity(1))),
            Dropped::BadSignature,
        ),
        (
            "by another master",
            by(|it| it.signer = Some(other_master_identity())),
            Dropped::BadSignature,
        ),
        (
            "with an unknown algorithm",
            by(|it| it.name = Some("PKCS1v15-MD5")),
            Dropped::Algorithm,
        ),
        (
            "with SHA-1 under strict",
            by(|it| {
                it.signing = Signing::Pkcs1v15Sha1;
                it.name = Some(it.signing.name());
            }),
            Dropped::Algorithm,
        ),
        (
            "with a false name",
            by(|it| it.signing = Signing::Pkcs1v15Sha1),
            Dropped::BadSignature,
        ),
        ("garbage", b"\xc1\x00".to_vec(), Dropped::Malformed),
    ] {
        let mut pair = Pair::new().ready();
        pair.deliver(None, &body);
        assert_eq!(pair.jobs(), [], "{what}");
        assert_eq!(pair.dropped(), [reason], "{what}");
        assert_eq!(
            pair.link.poll_transmit(pair.now, pair.unix),
            None,
            "{what}: no answer"
        );
        // And what was dropped does not stand in the way of the honest one.
        pair.deliver(
            None,
            &Forgery::honest(&pair).publish(&load(1, u64::MAX >> 1)),
        );
        assert_eq!(pair.jobs().len(), 1, "{what}: {:?}", pair.events);
    }
}

// C-03
#[test]
fn c03_compat_accepts_sha1_signatures_and_still_no_unsigned_publish() {
    let mut pair = Pair::compat().ready();
    let mut forgery = Forgery::honest(&pair);
    forgery.signing = Signing::Pkcs1v15Sha1;
    forgery.name = Some(forgery.signing.name());
    let serial = u64::MAX >> 1;

    pair.deliver(None, &forgery.publish(&load(1, serial)));
    assert_eq!(pair.jobs().len(), 1);
    forgery.signer = None;
    pair.deliver(None, &forgery.publish(&load(2, serial + 1)));
    assert_eq!(pair.dropped(), [Dropped::Unsigned]);
}

// C-03
#[test]
fn c03_every_flipped_bit_of_a_publish_is_noticed() {
    let mut pair = Pair::new().ready();
    let honest = pair.publish(&job(1)).classic;
    let mut rng = Seeded(3);
    for _ in 0..300 {
        let mut body = honest.to_vec();
        let at = usize::try_from(rng.below(body.len() as u64)).unwrap();
        body[at] ^= 1 << rng.below(8);
        pair.deliver(None, &body);
    }
    assert_eq!(pair.jobs(), []);
    assert_eq!(pair.dropped().len(), 300);
    assert_eq!(pair.link.poll_transmit(pair.now, pair.unix), None);
}

#[test]
fn a_publish_before_the_sign_in_is_dropped() {
    let mut pair = Pair::new();
    let body = pair.publish(&job(1)).classic;
    pair.deliver(None, &body);
    assert_eq!(pair.dropped(), [Dropped::NotSignedIn]);
}

#[test]
fn a_signed_publish_that_is_no_job_is_dropped() {
    let mut pair = Pair::new().ready();
    let forgery = Forgery::honest(&pair);
    let serial = u64::MAX >> 1;
    for (n, key) in ["fun", "arg", "tgt", "jid"].into_iter().enumerate() {
        let mut load = load(1, serial + n as u64);
        load.remove(key);
        pair.deliver(None, &forgery.publish(&load));
        assert_eq!(pair.dropped(), [Dropped::Malformed], "{key}");
    }
    let mut load = load(1, serial + 10);
    load.insert("jid", "../../x");
    pair.deliver(None, &forgery.publish(&load));
    assert_eq!(pair.dropped(), [Dropped::Malformed]);
}

// Z-04
#[test]
fn z04_a_target_that_cannot_be_resolved_means_nobody() {
    let mut pair = Pair::new().ready();
    let forgery = Forgery::honest(&pair);
    for (n, (tgt_type, tgt)) in [
        ("nope", Value::from("*")),
        ("pcre", "(".into()),
        ("ipcidr", "10.0.0.1/8".into()),
        ("compound", "( web1".into()),
        ("compound", "web1 web1".into()),
        ("glob", 5.into()),
    ]
    .into_iter()
    .enumerate()
    {
        let mut load = load(n as u64, (u64::MAX >> 1) + n as u64);
        load.extend([("tgt_type", Value::from(tgt_type)), ("tgt", tgt.clone())]);
        pair.deliver(None, &forgery.publish(&load));
        assert_eq!(pair.jobs(), [], "{tgt_type} {tgt:?}");
        // Some mistakes inside a compound expression only make it match nobody.
        let dropped = pair.dropped();
        let silent = tgt_type == "compound" && dropped.is_empty();
        assert!(
            silent || dropped == [Dropped::Malformed],
            "{tgt_type} {tgt:?}"
        );
    }
}

// F6
#[test]
fn f6_a_serial_never_goes_back_under_one_key_also_after_signing_in_again() {
    let mut pair = Pair::new().ready();
    let first = pair.publish(&job(1)).classic;
    let second = pair.publish(&job(2)).classic;
    pair.deliver(None, &second);
    assert_eq!(pair.jobs().len(), 1);

    pair.deliver(None, &first);
    pair.link.sign_in_again();
    pair.settle();
    pair.deliver(None, &first);
    pair.deliver(None, &second);

    assert_eq!(pair.dropped(), [Dropped::OldSerial; 3]);
    assert_eq!(pair.jobs(), []);
}

// F6
#[test]
fn f6_a_publish_must_have_a_serial_under_strict() {
    for (mut pair, runs) in [(Pair::new().ready(), 0), (Pair::compat().ready(), 1)] {
        let mut load = load(1, 1);
        load.remove("serial");
        pair.deliver(None, &Forgery::honest(&pair).publish(&load));
        assert_eq!(pair.jobs().len(), runs);
        for malformed in [Value::Null, "7".into(), (-1).into(), 1.5.into()] {
            load.insert("serial", malformed);
            pair.deliver(None, &Forgery::honest(&pair).publish(&load));
            assert_eq!(pair.jobs(), []);
        }
    }
}

// F6
#[test]
fn f6_the_masters_serials_grow_through_rotation_and_restart() {
    let mut core = core(master_config());
    let mut last = 0;
    for round in 0..6_u64 {
        let serial = core.publish(&job(round), &[]).serial();
        assert!(serial > last);
        last = serial;
        if round % 2 == 1 {
            core.rotate_publish_key(UNIX + round);
        }
    }
    let mut config = master_config();
    config.publish_key = Some(core.publish_key().clone());
    let store = Box::new(salt_proto::MemoryKeyStore::new());
    let mut restarted = salt_proto::MasterCore::new(config, store, seeded(1), UNIX + 60).unwrap();
    assert!(restarted.publish(&job(9), &[]).serial() > last);
}

//
#[test]
fn r03_a_job_starts_once_whatever_happens_in_between() {
    let mut pair = Pair::new().ready();
    let old = pair.publish(&job(1)).classic;
    pair.deliver(None, &old);
    assert_eq!(pair.jobs().len(), 1);
    pair.deliver(None, &old);

    let forgery = Forgery::honest(&pair);
    for n in 0..3 {
        // The same job under a serial of its own, as a master would not send it.
        pair.deliver(None, &forgery.publish(&load(1, (u64::MAX >> 1) + n)));
    }
    assert_eq!(pair.jobs(), []);

    // A restart with what was stored.
    let stored = pair.link.jobs().to_map();
    let mut config = minion_config("web1", 0);
    config.jobs = JidLog::from_map(&stored, MinionConfig::JOBS_REMEMBERED);
    pair.link = MinionLink::new(config, seeded(8)).unwrap();
    let mut pair = pair.ready();
    pair.deliver(None, &old);
    assert_eq!(pair.dropped(), [Dropped::Repeated]);
}

//
#[test]
fn r03_jobs_older_than_the_mark_are_refused_unseen() {
    let mut config = minion_config("web1", 0);
    config.jobs = JidLog::new(5);
    let mut pair = Pair::with(master_config(), config).ready();
    for n in 10..30 {
        let body = pair.publish(&job(n)).classic;
        pair.deliver(None, &body);
    }
    assert_eq!(pair.jobs().len(), 20);
    let never_seen = pair.publish(&job(9)).classic;
    pair.deliver(None, &never_seen);
    assert_eq!(pair.dropped(), [Dropped::Repeated]);
}

//
#[test]
fn r03_a_job_that_was_not_meant_is_not_remembered() {
    let mut pair = Pair::new().ready();
    let mut other = job(1);
    other.target = Target::glob("db*");
    for sent in [&other, &job(1)] {
        let body = pair.publish(sent).classic;
        pair.deliver(None, &body);
    }
    assert_eq!(pair.jobs().len(), 1);
}

//
#[test]
fn r05_a_gap_in_the_serials_is_reported() {
    let mut pair = Pair::new().ready();
    let bodies: Vec<_> = (0..7).map(|n| pair.publish(&job(n)).classic).collect();
    for n in [0, 1, 4, 5, 6] {
        pair.deliver(None, &bodies[n]);
    }
    let missed: Vec<_> = pair
        .events
        .iter()
        .filter_map(|event| match event {
            MinionEvent::Gap { missed } => Some(*missed),
            _ => None,
        })
        .collect();
    assert_eq!(missed, [2]);
}

//
#[test]
fn r05_where_others_publishes_are_filtered_out_gaps_mean_nothing() {
    let mut config = minion_config("web1", 0);
    config.filtering = true;
    let mut pair = Pair::with(master_config(), config).ready();
    for n in 0..5 {
        let broadcast = pair.publish(&job(n));
        if n % 2 == 0 {
            pair.deliver(Some(GCM_TOPIC.as_bytes()), &broadcast.gcm.unwrap());
        }
    }
    assert_eq!(pair.count(|it| matches!(it, MinionEvent::Gap { .. })), 0);
    assert_eq!(pair.jobs().len(), 3);
}

#[test]
fn only_subscribed_topics_are_read() {
    // By sha1sum.
    const OWN: &[u8] = b"977588a87e10582032716712ccf5d85d18a5fccf";
    let mut config = minion_config("web1", 0);
    config.filtering = true;
    config.profile = Profile::strict().without_aes_gcm();
    let mut pair = Pair::with(master_config(), config).ready();
    let topics = pair.link.subscriptions();
    assert_eq!(topics[0], b"broadcast");
    assert_eq!(topics[1], OWN);

    let broadcast = pair.publish(&job(1));
    let recipients = broadcast.recipients.clone().unwrap();
    assert_eq!(recipients[0].topic.as_bytes(), topics[1]);
    for topic in [
        &b""[..],
        b"broadcas",
        b"broadcastx",
        &topics[1][..39],
        b"syndic",
    ] {
        pair.deliver(Some(topic), &broadcast.classic);
        assert_eq!(pair.dropped(), [Dropped::OtherTopic]);
    }
    pair.deliver(Some(&topics[1]), &broadcast.classic);
    assert_eq!(pair.jobs().len(), 1);
    let everybody = pair.publish(&job(2)).classic;
    pair.deliver(Some(b"broadcast"), &everybody);
    assert_eq!(pair.jobs().len(), 1);
}

#[test]
fn what_to_subscribe_to_follows_the_suite() {
    let subscriptions = |profile: Profile, filtering| {
        let mut config = minion_config("web1", 0);
        config.profile = profile;
        config.filtering = filtering;
        let pair = Pair::with(master_config(), config).ready();
        pair.link.subscriptions()
    };
    let classic = Profile::strict().without_aes_gcm();
    assert_eq!(subscriptions(classic, false), [b""]);
    assert_eq!(
        subscriptions(Profile::strict(), false),
        [GCM_TOPIC.as_bytes()]
    );
    assert_eq!(
        subscriptions(Profile::strict(), true)[0],
        GCM_TOPIC.as_bytes()
    );
    assert_eq!(subscriptions(Profile::strict(), true).len(), 3);
}

// F5
#[test]
fn f5_only_the_known_extra_keys_of_a_job_are_published() {
    let mut core = core(master_config());
    let mut sent = job(1);
    sent.extra = Map::from([
        ("to", Value::from(5)),
        ("ret_config", "x".into()),
        ("key", "the root key".into()),
        ("token", "t".into()),
        ("password", "p".into()),
        ("serial2", 1.into()),
    ]);
    let publication = core.publish(&sent, &[]);
    let load = publication.load();
    assert!(load.contains_key("to") && load.contains_key("ret_config"));
    for secret in ["key", "token", "password", "serial2"] {
        assert!(!load.contains_key(secret), "{secret}");
    }
}

#[test]
fn targets_by_id_have_recipients_and_others_go_to_everybody() {
    let mut core = core(master_config());
    let ids = [id("web1"), id("web2")];
    for (tgt_type, tgt, addressed) in [
        ("glob", "web*", true),
        ("pcre", "web.*", true),
        ("list", "web1,web2", true),
        ("grain", "os:x", false),
        ("compound", "web1 or web2", false),
        ("ipcidr", "10.0.0.0/8", false),
    ] {
        let mut job = job(1);
        job.target = Target::parse(tgt_type, &tgt.into(), ":").unwrap();
        let broadcast = core.publish(&job, &ids).seal(&mut Seeded(1)).unwrap();
        assert_eq!(broadcast.recipients.is_some(), addressed, "{tgt_type}");
        let nobody = core.publish(&job, &[]).seal(&mut Seeded(1)).unwrap();
        assert!(nobody.recipients.is_none());
    }
}

#[test]
fn gcm_is_sealed_only_when_somebody_agreed_on_it() {
    let mut pair = Pair::new();
    assert!(pair.publish(&job(1)).gcm.is_none());
    let mut pair = pair.ready();
    let Broadcast { classic, gcm, .. } = pair.publish(&job(2));
    let suite =
        |body: &[u8]| Suite::of(decoded(body).get("load").and_then(Value::as_bytes).unwrap());
    assert_eq!(suite(&classic), Suite::Classic);
    assert_eq!(suite(&gcm.unwrap()), Suite::Aes256Gcm);
}

// K-08
#[test]
fn k08_a_publish_under_a_new_key_is_kept_until_the_minion_has_it() {
    let mut pair = Pair::new().ready();
    pair.master.rotate_publish_key(UNIX);
    assert!(
        std::iter::from_fn(|| pair.master.poll_event()).any(|it| match it {
            MasterEvent::Bus(event) => event.tag == "key",
            _ => false,
        })
    );
    let bodies: Vec<_> = (0..3).map(|n| pair.publish(&job(n)).classic).collect();
    for body in &bodies {
        pair.deliver(None, body);
    }
    assert_eq!(pair.jobs(), []);

    pair.settle();

    assert_eq!(jids(&pair.jobs()), [jid(0), jid(1), jid(2)]);
    assert_eq!(
        pair.count(|it| matches!(it, MinionEvent::Ready { .. })),
        1,
        "one sign-in for all"
    );
}

#[test]
fn a_publish_that_waited_too_long_for_keys_does_not_start_out_of_the_blue() {
    for rejected in [false, true] {
        let mut pair = Pair::new().ready();
        pair.master.rotate_publish_key(UNIX);
        let body = pair.publish(&job(1)).classic;
        pair.deliver(None, &body);
        if rejected {
            // The key is gone when the minion asks, and back later.
            pair.master.keys_mut().remove(&id("web1")).unwrap();
            pair.settle();
            pair.accept();
        }
        let unanswered = pair.link.poll_transmit(pair.now, pair.unix);
        assert_eq!(unanswered.is_some(), !rejected);
        pair.pass(SECOND * 121);
        pair.pass(SECOND * 60);
        pair.settle();

        assert!(pair.link.is_ready());
        assert_eq!(pair.jobs(), []);
        assert_eq!(pair.dropped(), [Dropped::TooLate]);
    }
}

// K-08
#[test]
fn k08_a_publish_under_the_old_key_on_its_way_during_rotation_is_not_lost() {
    let mut pair = Pair::new().ready();
    let old = pair.publish(&job(1)).classic;
    let long_ago = pair.publish(&job(2)).classic;
    pair.master.rotate_publish_key(UNIX);
    pair.link.sign_in_again();
    pair.settle();

    pair.deliver(None, &old);
    assert_eq!(jids(&pair.jobs()), [jid(1)]);
    pair.pass(SECOND * 61);
    pair.deliver(None, &long_ago);
    assert_eq!(pair.jobs(), [], "the old key does not count for ever");
}

#[test]
fn a_recorded_publish_cannot_keep_a_minion_signing_in() {
    let mut pair = Pair::new().ready();
    // Signed by this very master under a key nobody gets any more.
    let mut forgery = Forgery::honest(&pair);
    forgery.key = SessionKey::generate(&mut Seeded(77));
    let recorded = forgery.publish(&load(1, u64::MAX >> 1));
    let mut sign_ins = 0;
    for _ in 0..600 {
        pair.deliver(None, &recorded);
        let before = pair.exchanges.len();
        pair.settle();
        sign_ins += pair.exchanges.len() - before;
        pair.pass(SECOND);
    }
    assert!(
        (3..40).contains(&sign_ins),
        "{sign_ins} sign-ins in ten minutes"
    );
    assert!(pair.dropped().iter().all(|it| *it == Dropped::UnknownKey));

    // And the next true rotation is noticed all the same.
    pair.master.rotate_publish_key(pair.unix);
    let body = pair.publish(&job(5)).classic;
    pair.deliver(None, &body);
    for _ in 0..61 {
        pair.settle();
        pair.pass(SECOND);
    }
    assert_eq!(jids(&pair.jobs()), [jid(5)]);
}

#[test]
fn publishes_waiting_for_keys_are_bounded() {
    let mut pair = Pair::new().ready();
    pair.master.rotate_publish_key(UNIX);
    let large = Job::new(
        jid(1),
        "test.echo",
        vec![vec![7; 1 << 20].into()],
        Target::glob("*"),
    );
    let large = pair.publish(&large).classic;
    for _ in 0..6 {
        pair.deliver(None, &large);
    }
    assert!(pair.dropped().contains(&Dropped::TooMany));
}

#[test]
fn a_tcp_minion_introduces_itself_and_is_counted_by_connections() {
    let mut config = master_config();
    config.presence_events = true;
    let mut pair = Pair::with(config, minion_config("web1", 0)).ready();
    let announcement = pair.link.announcement().unwrap();
    let fired = |pair: &mut Pair| {
        std::iter::from_fn(|| pair.master.poll_event())
            .filter_map(|event| match event {
                MasterEvent::Bus(event) if event.tag == "salt/presence/change" => Some(event.data),
                _ => None,
            })
            .collect::<Vec<_>>()
    };

    for _ in 0..2 {
        let said = pair.master.handle_announcement(&announcement, UNIX);
        assert_eq!(said, Some(id("web1")));
    }
    let change = |new: &[&str], lost: &[&str]| {
        Map::from([
            ("new", Value::from_iter(new.iter().copied())),
            ("lost", Value::from_iter(lost.iter().copied())),
        ])
    };
    assert_eq!(fired(&mut pair), [change(&["web1"], &[])]);
    pair.master.handle_departure(&id("web1"));
    assert_eq!(pair.master.present().collect::<Vec<_>>(), [&id("web1")]);
    pair.master.handle_departure(&id("web1"));
    pair.master.handle_departure(&id("web1"));
    assert_eq!(fired(&mut pair), [change(&[], &["web1"])]);

    // Nobody else can say it, and not under an old key.
    let mut broken = announcement.clone();
    *broken.last_mut().unwrap() ^= 1;
    let len = broken.len();
    broken[len - 40] ^= 1;
    assert_eq!(pair.master.handle_announcement(&broken, UNIX), None);
    pair.master.rotate_publish_key(UNIX);
    assert_eq!(pair.master.handle_announcement(&announcement, UNIX), None);
}

// K-03
#[test]
fn k03_an_introduction_with_another_minions_token_is_refused() {
    let mut pair = Pair::new().ready();
    let key = minion_identity(1).public_key().clone();
    pair.master.keys_mut().accept(&id("web2"), &key).unwrap();
    let token = salt_crypto::token::prove(&minion_identity(0), &mut Seeded(1)).unwrap();
    let load = Map::from([("id", Value::from("web2")), ("tok", token.into())]);
    let mut sealed = Vec::new();
    let publish_key = pair.master.publish_key().clone();
    publish_key.seal(
        Suite::Classic,
        Purpose::Announce,
        None,
        &encoded(load),
        &mut Seeded(1),
        &mut sealed,
    );
    let mut body = Vec::new();
    envelope::announcement(&sealed, &mut body);
    assert_eq!(pair.master.handle_announcement(&body, UNIX), None);
}

#[test]
fn a_publish_is_one_string_on_the_ws_wire() {
    // What the driver has to unwrap, so that the machine sees one form only.
    let mut pair = Pair::new().ready();
    let body = pair.publish(&job(1)).classic;
    let wrapped = encoded(body.to_vec());
    pair.deliver(None, msgpack::content(&wrapped).unwrap());
    assert_eq!(pair.jobs().len(), 1);
}
