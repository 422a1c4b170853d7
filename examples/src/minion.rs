//! `salt-minion`: the minion of `salt-transport` with Salt's configuration, functions and directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salt_crypto::{Encryption, Fingerprint, Signing};
use salt_proto::{Job, Map, MinionId, Profile, Return, Value};
use salt_state::grains::Grains;
use salt_state::{Context, Engines, Host, MinionData, Observe, Registry, Sources, System, Zone};
use salt_transport::pki::KeyPairOptions;
use salt_transport::{
    AnyDial, FileClient, MasterAddr, Minion, MinionBuilder, MinionHandle, MinionSettings, PkiDir,
    Tcp, Wire, blocking,
};

use crate::config::{MasterAddress, MinionConfig, SecurityProfile};
use crate::jobs::ProcDir;
use crate::{Failure, bridge, daemon, rng, signals, tree};

mod engines;

/// Salt's exit status of a minion whose key is rejected.
const EX_NOPERM: u8 = 77;
/// Salt's exit status of a minion whose master has another fingerprint than it was told.
const EX_OTHER_MASTER: u8 = 42;

/// Runs a minion until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
///
/// What keeps it from starting, or ends it, in a sentence for the operator.
pub async fn run(config: MinionConfig) -> Result<(), Failure> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let config = Arc::new(config);
    let host = Host::new();
    let grains = grains(&config);
    let builder = builder(&config)?.grains(grains);
    let handle = builder.handle();
    let (dial, address) = way(&config)?;
    let worker = Arc::new(Worker {
        config: Arc::clone(&config),
        handle: handle.clone(),
        registry: Registry::builtin(),
        engines: Engines::new(Zone::local(&host)),
        host: Arc::new(host),
        proc_dir: ProcDir::of_daemon(&config.cachedir),
    });
    let jobs = Arc::clone(&worker);
    let minion = builder
        .handler(blocking(move |job: &Job| jobs.run(job)))
        .build(dial, address)
        .map_err(|error| start_failure(&error, &config))?;
    daemon::write_pidfile(&config.pidfile);
    tracing::info!(
        id = config.id,
        profile = config.security_profile.name(),
        "salt-minion {} is running",
        env!("CARGO_PKG_VERSION"),
    );

    let scheduled = Arc::clone(&worker).run_schedule();
    let watching = Arc::clone(&worker).run_beacons();
    let waiting = Arc::clone(&worker).run_queued();
    let stop = handle.clone();
    let stopping = async {
        signals::terminated().await;
        tracing::info!("stopping");
        stop.stop().await;
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        result = minion.run() => result.map_err(|error| match error {
            salt_transport::Error::Rejected => Failure::new(
                "the master rejected this minion's key; `salt-key -d` on the master and restart to offer it again",
            )
            .with_code(EX_NOPERM),
            error => Failure::from(error),
        }),
        () = scheduled => Ok(()),
        () = watching => Ok(()),
        () = waiting => Ok(()),
        () = stopping => Ok(()),
    };
    fs::remove_file(&config.pidfile).ok();
    result
}

/// What the machine and the modules in `extension_modules` say. Those of the master's tree
/// come there by `saltutil.sync_grains`.
fn grains(config: &MinionConfig) -> Map {
    let host = Arc::new(Host::new());
    let grains = salt_state::grains::gather(host.as_ref(), &config.opts, &config.config_dir);
    let mut grains = Grains::from(grains);
    let bridge = bridge::new(config, host, None, grains.clone());
    bridge::add_grains(bridge.as_ref(), &mut grains);
    grains.into()
}

/// Everything about identity, master and security, by the configuration. `salt-call` uses it too.
///
/// # Errors
///
/// What is wrong with the configuration or the keys.
pub fn builder(config: &MinionConfig) -> Result<MinionBuilder, Failure> {
    let id: MinionId = config
        .id
        .parse()
        .map_err(|error| Failure::new(format!("`id: {}`: {error}", config.id)))?;
    let pki = PkiDir::open(&config.pki_dir)?;
    let options = KeyPairOptions {
        bits: config.keysize,
        passphrase: None,
    };
    let identity = pki.identity("minion", &options, &mut rng())?;
    let signing_key = match config.verify_master_pubkey_sign {
        true => Some(pki.public_key(&config.master_sign_key_name)?.ok_or_else(|| {
            Failure::new(format!(
                "`verify_master_pubkey_sign` needs the master's signing key: copy {}.pub from the master's pki_dir to {}",
                config.master_sign_key_name,
                config.pki_dir.display()
            ))
        })?),
        false => None,
    };
    let encryption = algorithm(
        "encryption_algorithm",
        config.encryption_algorithm.as_deref(),
        Encryption::from_name,
    )?;
    let signing = algorithm(
        "signing_algorithm",
        config.signing_algorithm.as_deref(),
        Signing::from_name,
    )?;
    let mut builder = Minion::builder(id, identity)
        .profile(profile(config))
        .keep_in(pki, &config.cachedir)?
        .settings(MinionSettings {
            wire: if config.transport == "tcp" {
                Wire::Tcp
            } else {
                Wire::Zeromq
            },
            legacy_start_event: config.enable_legacy_startup_events,
            max_jobs: if config.process_count_max == 0 {
                64
            } else {
                config.process_count_max
            },
            saltenv: config.opts.str("saltenv").map(str::to_owned),
            ..MinionSettings::default()
        })
        .config(|machine| {
            machine.master_signing_key = signing_key;
            // The strong forms are asked for unless the file says otherwise: every supported master has them.
            if let Some(encryption) = encryption {
                machine.encryption = encryption;
            }
            if let Some(signing) = signing {
                machine.signing = signing;
            }
            machine.sign_messages = config.minion_sign_messages;
            machine.filtering = config.zmq_filtering;
            machine.autosign_grains = autosign_grains(config);
            machine.waits.pending = config.acceptance_wait_time;
            machine.waits.pending_longest = config
                .acceptance_wait_time_max
                .max(config.acceptance_wait_time);
        });
    if let Some(finger) = &config.master_finger {
        let finger: Fingerprint = finger
            .parse()
            .map_err(|error| Failure::new(format!("`master_finger: {finger}`: {error}")))?;
        builder = builder.master_fingerprint(finger);
    }
    Ok(builder)
}

/// The way to the first configured master: what dials, and where.
///
/// # Errors
///
/// When there is none, or a tunnel's files cannot be used.
pub fn way(config: &MinionConfig) -> Result<(AnyDial, MasterAddr), Failure> {
    let master = config
        .masters
        .first()
        .ok_or_else(|| Failure::new("`master` is empty"))?;
    if config.masters.len() > 1 {
        tracing::warn!("several masters are configured; the first one is used");
    }
    match master {
        MasterAddress::Host { host, port } => {
            let address = MasterAddr::new(host).ports(*port, config.publish_port.unwrap_or(0));
            Ok((AnyDial::new(Tcp), address))
        }
        MasterAddress::Way(way) => way.dialer(),
    }
}

/// What to do about a minion that cannot be built, above all one that knows nothing of its master (K-09).
pub fn start_failure(error: &salt_transport::Error, config: &MinionConfig) -> Failure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if text.contains("fingerprint") || text.contains("pinned") || text.contains("no key") {
        let file = config.config_dir.join("minion");
        return Failure::new(format!(
            "{text}\n\nOn the master, run\n\n    salt-key -F master\n\nand write the fingerprint of its public key \
             (master.pub) into {}:\n\n    master_finger: 'xx:xx:…'\n\nTo believe the first key that is shown instead, \
             write both `security_profile: compat` and `trust_on_first_use: true`.",
            file.display()
        ))
        .with_code(EX_OTHER_MASTER);
    }
    Failure::new(text)
}

fn profile(config: &MinionConfig) -> Profile {
    let mut profile = match config.security_profile {
        SecurityProfile::Strict => Profile::strict(),
        SecurityProfile::Compat => Profile::compat(),
    };
    if config.trust_on_first_use {
        tracing::warn!("`trust_on_first_use` is on: the first master that answers is believed");
        profile = profile.danger_trust_on_first_use();
    }
    if config.aes_gcm {
        profile
    } else {
        profile.without_aes_gcm()
    }
}

fn algorithm<T>(
    key: &str,
    stated: Option<&str>,
    from_name: impl Fn(&str) -> salt_crypto::Result<T>,
) -> Result<Option<T>, Failure> {
    stated
        .map(|name| {
            from_name(name)
                .map_err(|_| Failure::new(format!("`{key}: {name}` is not an algorithm of Salt's")))
        })
        .transpose()
}

/// The grains named by `autosign_grains`, for the master's decision about the key.
fn autosign_grains(config: &MinionConfig) -> Map {
    let Some(Value::List(names)) = config.opts.get("autosign_grains") else {
        return Map::new();
    };
    let grains = salt_state::grains::gather(&Host::new(), &config.opts, &config.config_dir);
    names
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|name| Some((name, grains.get(name)?.clone())))
        .collect()
}

/// The file that was queued first; the time is in its name.
fn oldest(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let names = entries.map(|entry| entry.path());
    let queued = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| name.starts_with("queued_") && name.ends_with(".p"))
    };
    names.filter(queued).min()
}

fn read_job(path: &Path) -> Option<Job> {
    let bytes = fs::read(path).ok()?;
    match salt_proto::msgpack::decode(&bytes, &salt_proto::Limits::default()) {
        Ok(Value::Map(map)) => Job::from_map(map).ok(),
        _ => None,
    }
}

/// Runs jobs. Everything a job needs of the daemon.
struct Worker {
    config: Arc<MinionConfig>,
    handle: MinionHandle,
    registry: Registry,
    engines: Engines,
    host: Arc<Host>,
    proc_dir: ProcDir,
}

impl Worker {
    fn data(&self) -> MinionData {
        MinionData {
            id: self.config.id.clone(),
            grains: Map::clone(&self.handle.grains()).into(),
            pillar: Map::clone(&self.handle.pillar()),
            config: self.config.opts.clone(),
        }
    }

    /// Runs a published job, one function or several, on a blocking thread.
    fn run(&self, job: &Job) -> Return {
        let running = self.proc_dir.enter(&job.jid, job.to_map());
        // As in Salt, what a job sets in its environment is gone with it.
        let host = Arc::new(
            Host::with_environment(self.host.environment()).for_job(Arc::clone(&running.children)),
        );
        let calls = job.calls();
        let mut outcomes = calls
            .iter()
            .map(|call| self.call(job, &host, call.function, &call.args, &call.kwargs));
        match &job.function {
            salt_proto::Functions::One(_) => {
                let Some(outcome) = outcomes.next() else {
                    return job.unknown_function();
                };
                let mut ret = job.ok(outcome.value).with_retcode(outcome.retcode);
                ret.success = Some(outcome.success.into());
                ret.out = outcome.outputter;
                ret
            }
            salt_proto::Functions::Several(names) => {
                let outcomes: Vec<_> = outcomes.collect();
                let by_name = |value: fn(&salt_state::JobOutcome) -> Value| -> Map {
                    names
                        .iter()
                        .zip(&outcomes)
                        .map(|(name, outcome)| (name, value(outcome)))
                        .collect()
                };
                let mut ret = job.ok(by_name(|outcome| outcome.value.clone()));
                ret.retcode = by_name(|outcome| outcome.retcode.into()).into();
                ret.success = Some(by_name(|outcome| outcome.success.into()).into());
                ret
            }
        }
    }

    fn call(
        &self,
        job: &Job,
        host: &Arc<Host>,
        function: &str,
        args: &[Value],
        kwargs: &Map,
    ) -> salt_state::JobOutcome {
        let mut args = args.to_vec();
        if !kwargs.is_empty() {
            let mut map = Map::from([("__kwarg__", true)]);
            map.extend(kwargs.clone());
            args.push(map.into());
        }
        self.in_context(job, host, |registry, context| {
            registry.run_job(function, &args, context)
        })
    }

    /// Calls with everything that a function may use besides its arguments.
    fn in_context<T>(
        &self,
        job: &Job,
        host: &Arc<Host>,
        run: impl FnOnce(&Registry, &Context<'_>) -> T,
    ) -> T {
        let data = self.data();
        let files: Arc<dyn Sources> = Arc::new(tree::MasterTree::new(FileClient::of(
            self.handle.clone(),
            &self.config.cachedir,
        )));
        let bridge = bridge::new(
            &self.config,
            Arc::clone(host) as Arc<dyn System>,
            Some(Arc::clone(&files)),
            data.grains.clone(),
        );
        let registry = bridge::registry(&self.registry, bridge.as_ref(), &data);
        let mut context = Context::new(&registry, host.as_ref(), &data);
        let ask = |load: Map| self.ask(load);
        let fire = |tag: &str, _: Map| self.take_local(tag);
        // Salt's minion does not count the job that asks.
        let running = || {
            let mut jobs = self.proc_dir.running();
            jobs.retain(|other| other.str("jid") != Some(job.jid.as_str()));
            jobs
        };
        let signal = |jid: &str, signal: i32| self.proc_dir.signal(jid, signal);
        let compile = |wanted: &Map| {
            let fresh = self.handle.blocking_refresh_pillar();
            let fresh =
                fresh.map_err(|error| salt_state::CallError::execution(error.to_string()))?;
            tree::masters_pillar(Map::clone(&fresh), wanted)
        };
        context.master = Some(&ask);
        context.sources = Some(files.as_ref());
        context.compile_pillar = Some(&compile);
        context.fire_local = Some(&fire);
        context.running = Some(&running);
        context.signal_job = Some(&signal);
        context.engines = Some(&self.engines);
        context.job = job.to_map();
        run(&registry, &context)
    }

    fn ask(&self, load: Map) -> Result<Value, salt_state::CallError> {
        self.handle
            .blocking_request(load)
            .map_err(|error| salt_state::CallError::execution(error.to_string()))
    }

    /// What functions ask of the daemon by Salt's local events.
    fn take_local(&self, tag: &str) -> bool {
        match tag {
            "pillar_refresh" => self.handle.blocking_refresh_pillar().is_ok(),
            "grains_refresh" => {
                self.handle.set_grains(grains(&self.config));
                self.handle.blocking_refresh_pillar().is_ok()
            }
            // There are no modules to load again.
            "module_refresh" | "matchers_refresh" | "beacons_refresh" => true,
            _ => false,
        }
    }

    /// Runs what was queued, one after the other, whenever no run of states is under way:
    /// also what a former life of the daemon has left.
    async fn run_queued(self: Arc<Self>) {
        let directory = salt_state::functions::queue_directory(&self.config.opts);
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.handle.until_receiving().await;
        loop {
            interval.tick().await;
            let Some(path) = oldest(&directory) else {
                continue;
            };
            let busy = self.proc_dir.running().iter().any(|job| {
                job.str("fun")
                    .is_some_and(salt_state::functions::is_state_run)
            });
            if busy {
                continue;
            }
            let job = read_job(&path);
            // Gone before it runs, so that a run that ends the daemon is not begun again.
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a queued run stays where it is");
                continue;
            }
            let Some(job) = job else {
                tracing::warn!(path = %path.display(), "a queued run cannot be read");
                continue;
            };
            let this = Arc::clone(&self);
            let Ok(ret) = tokio::task::spawn_blocking(move || this.run(&job)).await else {
                continue;
            };
            if ret.value.get("__no_return__").is_some_and(Value::is_true) {
                continue;
            }
            if let Err(error) = self.handle.request(ret.to_map()).await {
                tracing::warn!(%error, "the master did not take the result of a queued run");
            }
        }
    }
}
