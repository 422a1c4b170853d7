//! `salt-call`: runs a function on this minion, with a master or without one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use salt_proto::{Jid, Map, Value};
use salt_state::{Args, CallError, Context, Host, MinionData, Registry};
use salt_transport::{MinionHandle, MinionSettings, MinionStatus, Tcp};

use crate::config::MinionConfig;
use crate::options::{Opt, Parsed};
use crate::output::{self, Style};
use crate::{Failure, daemon, minion};

/// The options, Salt's own.
pub const OPTIONS: &[Opt] = &[
    Opt::flag(&["--version"], "show program's version number and exit"),
    Opt::flag(&["-h", "--help"], "show this help message and exit"),
    Opt::value(&["-c", "--config-dir"], "CONFIG_DIR", "Pass in an alternative configuration directory. Default: '/etc/salt'."),
    Opt::value(&["-l", "--log-level"], "LOG_LEVEL", "Console logging log level. Default: 'warning'."),
    Opt::value(&["--log-file"], "LOG_FILE", "Log to this file instead of standard error."),
    Opt::flag(&["--local"], "Run salt-call locally, as if there was no master running."),
    Opt::value(&["--id"], "ID", "Specify the minion id to use."),
    Opt::value(&["--master"], "MASTER", "Specify the master to use."),
    Opt::value(&["--file-root"], "DIR", "Set this directory as the base file root."),
    Opt::value(&["--pillar-root"], "DIR", "Set this directory as the base pillar root."),
    Opt::value(&["--return"], "RETURNER", "Accepted; 'none' keeps the result from the master."),
    Opt::flag(&["-g", "--grains"], "Print the grains."),
    Opt::flag(&["-d", "--doc"], "Print the documentation of the function, or of all."),
    Opt::flag(&["--retcode-passthrough"], "Exit with the retcode of the function."),
    Opt::flag(&["--metadata"], "Print out the execution metadata as well as the return."),
    Opt::flag(&["--skip-grains"], "Do not load grains."),
    Opt::flag(&["--refresh-grains-cache"], "Accepted for compatibility: grains are always fresh."),
    Opt::value(&["--out", "--output"], "OUTPUT", "Print with this outputter."),
    Opt::value(&["--out-indent", "--output-indent"], "N", "Indentation of that output."),
    Opt::flag(&["--no-color", "--no-colour"], "No colours."),
    Opt::flag(&["--force-color", "--force-colour"], "Colours even when the output is no terminal."),
];

/// Does what the command line asks; the exit status of the function only with `--retcode-passthrough`.
///
/// # Errors
///
/// What kept the function from being called, in a sentence.
pub fn run(parsed: &Parsed) -> Result<u8, Failure> {
    let mut overrides = Map::new();
    for (option, key) in [("--id", "id"), ("--master", "master")] {
        if let Some(value) = parsed.value(option) {
            overrides.insert(key, value);
        }
    }
    for (option, key) in [("--file-root", "file_roots"), ("--pillar-root", "pillar_roots")] {
        if let Some(dir) = parsed.value(option) {
            overrides.insert(key, Map::from([("base", Value::List(vec![dir.into()]))]));
        }
    }
    if parsed.has("--local") {
        overrides.insert("file_client", "local");
    }
    let host = Host::new();
    let dir = PathBuf::from(parsed.value("-c").unwrap_or("/etc/salt"));
    let config =
        MinionConfig::read(&dir, &overrides, &host).map_err(|error| Failure::new(error.to_string()))?;
    daemon::start_logging(parsed, &config.log_level)?;
    let mut words = parsed.words.iter();
    let function = match (words.next(), parsed.has("-g"), parsed.has("-d")) {
        (_, true, _) => "grains.items".to_owned(),
        (None, _, true) => "sys.doc".to_owned(),
        (Some(name), _, false) => name.clone(),
        (Some(_), _, true) => "sys.doc".to_owned(),
        (None, ..) => {
            return Err(Failure::new("Usage: salt-call [options] <function> [arguments]\n\nfunction missing").with_code(64));
        }
    };
    let arguments: Vec<Value> = match parsed.has("-d") {
        true => parsed.words.iter().map(Value::from).collect(),
        false => words.map(Value::from).collect(),
    };
    let registry = Registry::builtin();
    let grains = match parsed.has("--skip-grains") {
        true => Map::new(),
        false => salt_state::grains::gather(&host, &config.opts, &config.config_dir),
    };
    let call = Call { parsed, config, host, registry, grains, function, arguments };
    if call.config.local { call.local() } else { call.with_master() }
}

struct Call<'a> {
    parsed: &'a Parsed,
    config: MinionConfig,
    host: Host,
    registry: Registry,
    grains: Map,
    function: String,
    arguments: Vec<Value>,
}

/// What a call came to.
struct Outcome {
    value: Value,
    retcode: i64,
    outputter: Option<String>,
}

impl Call<'_> {
    fn local(self) -> Result<u8, Failure> {
        let pillar = Map::new();
        let outcome = call(&self.registry, &self.host, &self.config, &self.grains, pillar, &self.function, &self.arguments, None);
        self.finish(outcome)
    }

    fn with_master(self) -> Result<u8, Failure> {
        let runtime = daemon::runtime()?;
        let outcome = runtime.block_on(async {
            let builder = minion::builder(&self.config)?
                .grains(self.grains.clone())
                .settings(MinionSettings { subscribe: false, start_event: false, ..MinionSettings::default() });
            let handle = builder.handle();
            let address = minion::address(&self.config)?;
            let running = builder
                .build(Tcp, address)
                .map_err(|error| minion::start_failure(&error, &self.config))?;
            let running = tokio::spawn(running.run());
            let ready = async {
                tokio::select! {
                    () = handle.until(MinionStatus::Ready) => Ok(()),
                    () = handle.until(MinionStatus::Pending) => Err(Failure::new(
                        "The Salt Master has cached the public key for this node. If this is the first time connecting \
                         to this master then this key may need to be accepted using 'salt-key -a {id}' on the salt \
                         master.",
                    ).with_code(2)),
                    () = handle.until(MinionStatus::Rejected) => Err(Failure::new(
                        "The Salt Master has rejected this minion's public key.",
                    ).with_code(77)),
                }
            };
            tokio::time::timeout(Duration::from_secs(60), ready)
                .await
                .map_err(|_| Failure::new("the master did not answer within 60 seconds").with_code(2))??;
            let pillar = handle.refresh_pillar().await.map(|pillar| Map::clone(&pillar)).unwrap_or_default();
            let (registry, config, grains, function, arguments) = (
                self.registry.clone(),
                Arc::new(self.config.clone()),
                self.grains.clone(),
                self.function.clone(),
                self.arguments.clone(),
            );
            let master = handle.clone();
            let outcome = tokio::task::spawn_blocking(move || {
                call(&registry, &Host::new(), &config, &grains, pillar, &function, &arguments, Some(&master))
            })
            .await?;
            if let Ok(outcome) = &outcome
                && self.parsed.value("--return") != Some("none")
            {
                let returned = handle.request(self.load(outcome)).await;
                if let Err(error) = returned {
                    tracing::warn!(%error, "the master did not take the result");
                }
            }
            handle.stop().await;
            running.await.ok();
            Ok::<_, Failure>(outcome)
        })?;
        self.finish(outcome)
    }

    /// What the master is told.
    fn load(&self, outcome: &Outcome) -> Map {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let jid = Jid::from_unix_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        Map::from([
            ("cmd", Value::from("_return")),
            ("id", self.config.id.as_str().into()),
            ("jid", (&jid).into()),
            ("fun", self.function.as_str().into()),
            ("fun_args", self.arguments.clone().into()),
            ("return", outcome.value.clone()),
            ("retcode", outcome.retcode.into()),
            ("success", (outcome.retcode == 0).into()),
        ])
    }

    fn finish(&self, outcome: Result<Outcome, CallError>) -> Result<u8, Failure> {
        let outcome = outcome.map_err(|error| match &error {
            CallError::Unavailable(_) => Failure::new(format!("Function {} is not available: {error}", self.function)),
            CallError::Execution(_) => Failure::new(format!("Error running '{}': {error}", self.function)),
            _ => Failure::new(format!("Error running '{}': {error}", self.function)),
        })?;
        let mut local = Map::new();
        if self.parsed.has("--metadata") {
            let load = self.load(&outcome);
            let told = ["jid", "fun", "fun_args", "return", "retcode", "id"];
            let told: Map = told.into_iter().filter_map(|key| Some((key, load.get(key)?.clone()))).collect();
            local.insert("local", told);
        } else {
            local.insert("local", outcome.value.clone());
        }
        let outputter = self.parsed.value("--out").or(outcome.outputter.as_deref()).unwrap_or("nested");
        let indent = self.parsed.number("--out-indent").map_err(Failure::new)?;
        println!("{}", output::show(&local.into(), outputter, Style { color: self.parsed.has("--force-color"), indent }));
        Ok(if self.parsed.has("--retcode-passthrough") {
            u8::try_from(outcome.retcode.rem_euclid(256)).unwrap_or(1)
        } else {
            0
        })
    }
}

#[expect(clippy::too_many_arguments, reason = "both ways of calling share it")]
fn call(
    registry: &Registry,
    host: &Host,
    config: &MinionConfig,
    grains: &Map,
    pillar: Map,
    function: &str,
    arguments: &[Value],
    master: Option<&MinionHandle>,
) -> Result<Outcome, CallError> {
    let data = MinionData { id: config.id.clone(), grains: grains.clone(), pillar, config: config.opts.clone() };
    let mut context = Context::new(registry, host, &data);
    let ask = |load: Map| {
        let master = master.ok_or_else(|| CallError::execution("no master"))?;
        master.blocking_request(load).map_err(|error| CallError::execution(error.to_string()))
    };
    if master.is_some() {
        context.master = Some(&ask);
    }
    let args = Args::from_job(arguments);
    let value = registry.call(function, &args, &context)?;
    let retcode = match context.retcode() {
        0 if salt_state::says_failure(&value) => 1,
        code => code,
    };
    let outputter = registry.outputter_of(function).map(str::to_owned);
    Ok(Outcome { value, retcode, outputter })
}
