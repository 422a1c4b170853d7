//! `salt-master`: the master of `salt-transport` with Salt's configuration and directories.

mod keys;
mod pillar;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use salt_crypto::Signing;
use salt_proto::event::StampStyle;
use salt_proto::frame::Framing;
use salt_proto::master::{OperatorKeys, PeerRule, PeerRules};
use salt_proto::target::Release;
use salt_proto::{Map, Profile, Value};
use salt_transport::events::{EventBus, EventBusConfig, PUBLISH_PULL};
use salt_transport::files::{FileHash, FileServer, FileServerConfig};
use salt_transport::jobs::JobCache;
use salt_transport::pki::{AutoSignPolicy, KeyPairOptions, RootKey};
use salt_transport::{
    Listeners, Master, MasterBuilder, MasterSettings, PeerCheck, PkiDir, ReceiveLimits, Route,
    Wire, peer_is_minion,
};

use crate::config::{MasterConfig, SecurityProfile};
use crate::{Failure, daemon, rng, signals};

/// Runs a master until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
///
/// What keeps it from starting, in a sentence for the operator.
pub async fn run(config: MasterConfig) -> Result<(), Failure> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let release = release(&config)?;

    make_private_dir(&config.sock_dir)?;
    let routes = routes(&config)?;
    let listeners = listen(&routes).await?;
    let bus = EventBusConfig {
        framing: if release == Release::V3006 {
            Framing::Prefixed
        } else {
            Framing::Bare
        },
        stamps: if release == Release::V3008 {
            StampStyle::Utc
        } else {
            StampStyle::Naive
        },
        ..EventBusConfig::master(&config.sock_dir)
    };
    let (bus, bussing) = EventBus::bind(bus)?;
    // Salt's command line asks whether this name exists before it talks to a master.
    fs::write(config.sock_dir.join(PUBLISH_PULL), [])?;

    let builder = builder(&config, release, bus)?;
    let (master, serving) = builder
        .serve(listeners.publish, listeners.request)
        .map_err(|error| Failure::new(format!("{error}: {}", algorithm_hint())))?;
    daemon::write_pidfile(&config.pidfile);
    tracing::info!(
        listening = routes
            .iter()
            .map(Route::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        profile = config.security_profile.name(),
        "salt-master {} is running",
        env!("CARGO_PKG_VERSION"),
    );

    let stopping = async {
        signals::terminated().await;
        tracing::info!("stopping");
        master.stop();
        std::future::pending::<()>().await;
    };
    let mut driver = listeners.driver;
    let accepting = tokio::select! {
        () = serving => true,
        () = bussing => true,
        () = &mut driver => false,
        () = stopping => true,
    };
    if accepting {
        daemon::farewell(driver).await;
    } else {
        tracing::error!("nothing accepts any more");
    }
    fs::remove_file(config.sock_dir.join(PUBLISH_PULL)).ok();
    fs::remove_file(&config.pidfile).ok();
    Ok(())
}

/// Where minions come in: the two ports of Salt, or the routes of `listen` and a socket for the master's own command
/// line.
fn routes(config: &MasterConfig) -> Result<Vec<Route>, Failure> {
    if !config.listen.is_empty() {
        let mut routes = config.listen.clone();
        routes.push(format!("unix:{}", config.sock_dir.display()).parse()?);
        return Ok(routes);
    }
    let host = match config.interface.as_str() {
        "*" => "0.0.0.0".to_owned(),
        interface if interface.contains(':') => format!("[{interface}]"),
        interface => interface.to_owned(),
    };
    let (request, publish) = (config.ret_port, config.publish_port);
    Ok(vec![
        format!("tcp://{host}:{request}?publish={publish}").parse()?,
    ])
}

/// Accepts on all of them.
async fn listen(routes: &[Route]) -> Result<Listeners, Failure> {
    let mut all: Option<Listeners> = None;
    for route in routes {
        let one = route.listen().await?;
        all = Some(match all {
            Some(all) => all.and(one),
            None => one,
        });
    }
    all.ok_or_else(|| Failure::new("`listen` is empty"))
}

/// Everything a master is made of, by its configuration.
fn builder(
    config: &MasterConfig,
    release: Release,
    bus: EventBus,
) -> Result<MasterBuilder, Failure> {
    let mut rng = rng();
    let pki = PkiDir::open(&config.pki_dir)?;
    let options = KeyPairOptions {
        bits: config.keysize,
        passphrase: config.opts.str("key_pass").map(str::to_owned),
    };
    let identity = pki.identity("master", &options, &mut rng)?;
    let signing_identity = match config.master_sign_pubkey {
        true => Some(pki.identity(&config.master_sign_key_name, &options, &mut rng)?),
        false => None,
    };
    if config.open_mode {
        return Err(Failure::new(
            "`open_mode` is set, and this master has none: it would let any key take over any minion's id. Remove the \
             setting; `auto_accept: true` accepts new ids without asking",
        ));
    }
    make_private_dir(&config.cachedir)?;
    // Salt's runners note in it that they run.
    make_private_dir(&config.cachedir.join("proc"))?;
    let mut operators = OperatorKeys::none();
    let current = crate::user_name();
    for user in BTreeSet::from([config.user.as_str(), &current, "root"]) {
        operators.insert(user, RootKey::create(&config.cachedir, user, &mut rng)?);
    }
    if !config.publisher_acl.is_empty() {
        tracing::warn!(
            "`publisher_acl` grants nothing here: only the users of the master itself may publish"
        );
    }

    let settings = MasterSettings {
        wire: wire(&config.transport),
        topics: config.zmq_filtering,
        release,
        files: FileServer::new(FileServerConfig {
            roots: config.file_roots.clone(),
            chunk: config.file_buffer_size.clamp(1, 64 << 20),
            hash: FileHash::from_name(&config.hash_type).ok_or_else(|| {
                Failure::new(format!(
                    "`hash_type: {}` is not offered; sha256, or one of sha1, sha224, sha384, sha512",
                    config.hash_type
                ))
            })?,
        }),
        pillar: Arc::new(pillar::source(config)),
        wheels: Arc::new(keys::wheel(pki.minion_keys())),
        jobs: config.job_cache.then(|| JobCache::new(config.cachedir.join("jobs"))),
        keep_jobs: config.keep_jobs,
        events: Some(bus),
        cache_dir: Some(config.cachedir.clone()),
        id: config.opts.str("id").unwrap_or("salt").to_owned(),
        nodegroups: config.nodegroups.clone(),
        options: config.opts.clone(),
        require_peer: config
            .peer_is_minion
            .then(|| Arc::new(peer_is_minion) as Arc<PeerCheck>),
        receive: config.file_recv.then(|| ReceiveLimits {
            dir: config.cachedir.join("minions"),
            max_file: (config.file_recv_max_size as u64) << 20,
            max_minion: (config.file_recv_max_size as u64).saturating_mul(10) << 20,
        }),
        ..MasterSettings::default()
    };
    let auto_sign = AutoSignPolicy {
        accept_everyone: config.auto_accept,
        autosign_file: config.autosign_file.clone(),
        autoreject_file: config.autoreject_file.clone(),
        autosign_grains_dir: config.autosign_grains_dir.clone(),
        ..AutoSignPolicy::default()
    };
    if config.auto_accept {
        tracing::warn!("`auto_accept` is on: whoever comes first under a new id owns it");
    }
    let publish_signing = publish_signing(config)?;
    let peers = peer_rules(config, "peer")?;
    let peer_runners = peer_rules(config, "peer_run")?;
    Ok(
        Master::builder(identity, pki.minion_keys().with_auto_sign(auto_sign))
            .profile(profile(config))
            .operators(operators)
            .core(|core| {
                core.signing_identity = signing_identity;
                core.publish_port = config.publish_port;
                core.publish_signing = publish_signing;
                core.peers = peers;
                core.peer_runners = peer_runners;
                core.max_minions = config.max_minions;
                core.session_lifetime = config.publish_session.max(Duration::from_secs(60));
                core.max_skew =
                    (!config.request_server_ttl.is_zero()).then_some(config.request_server_ttl);
                core.require_signed_returns = config.require_minion_sign_messages;
                core.minions_may_revoke = config.allow_minion_key_revoke;
            })
            .settings(settings),
    )
}

fn profile(config: &MasterConfig) -> Profile {
    let profile = match config.security_profile {
        SecurityProfile::Strict => Profile::strict(),
        SecurityProfile::Compat => Profile::compat(),
    };
    if config.aes_gcm {
        profile
    } else {
        profile.without_aes_gcm()
    }
}

fn wire(transport: &str) -> Wire {
    if transport == "tcp" {
        Wire::Tcp
    } else {
        Wire::Zeromq
    }
}

/// The signature of publishes: what is configured, else the strong form, which every supported minion verifies.
fn publish_signing(config: &MasterConfig) -> Result<Signing, Failure> {
    match config.publish_signing_algorithm.as_deref() {
        None => Ok(Signing::Pkcs1v15Sha224),
        Some(name) => Signing::from_name(name).map_err(|_| {
            Failure::new(format!(
                "`publish_signing_algorithm: {name}` is unknown; PKCS1v15-SHA224"
            ))
        }),
    }
}

fn algorithm_hint() -> &'static str {
    "set `publish_signing_algorithm: PKCS1v15-SHA224`, or `security_profile: compat`"
}

/// The release whose command line is used on this host (`salt_release`, our own key; default 3008).
fn release(config: &MasterConfig) -> Result<Release, Failure> {
    let stated = config.opts.get("salt_release").map(|value| match value {
        Value::Int(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        value => value.as_str().unwrap_or_default().to_owned(),
    });
    match stated
        .as_deref()
        .map(|text| text.split('.').next().unwrap_or_default())
    {
        None | Some("3008") => Ok(Release::V3008),
        Some("3007") => Ok(Release::V3007),
        Some("3006") => Ok(Release::V3006),
        Some(other) => Err(Failure::new(format!(
            "`salt_release: {other}` must be 3006, 3007 or 3008"
        ))),
    }
}

/// `peer` and `peer_run`: which minions may call which functions.
fn peer_rules(config: &MasterConfig, key: &str) -> Result<PeerRules, Failure> {
    let mut rules = Vec::new();
    let Some(Value::Map(stated)) = config.opts.get(key) else {
        return Ok(PeerRules::default());
    };
    for (minions, functions) in stated {
        let functions: Vec<&str> = match functions {
            Value::List(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Str(name) => vec![name],
            _ => Vec::new(),
        };
        let minions = minions.as_str().unwrap_or_default();
        let rule = PeerRule::new(minions, functions)
            .map_err(|error| Failure::new(format!("`{key}`: `{minions}`: {error}")))?;
        rules.push(rule);
    }
    Ok(rules.into_iter().collect())
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// What the master's configuration looks like in a minion's pillar (`pillar_opts`); nothing that is a secret.
pub(crate) fn shown_options(options: &Map) -> Map {
    let mut shown = options.clone();
    shown.retain(|key, _| {
        let key = key.as_str().unwrap_or_default();
        !["pass", "secret", "token", "key"]
            .iter()
            .any(|word| key.contains(word))
    });
    shown
}
