//! `salt-call`: runs a function on this minion, with a master or without one.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use salt_proto::{Jid, Map, Value};
use salt_state::grains::{Grains, gather_lazily};
use salt_state::{
    Args, CallError, Context, Host, MinionData, Observe, Registry, Rooted, Sources, System,
};
use salt_transport::{FileClient, MinionHandle, MinionSettings, MinionStatus};

use crate::config::MinionConfig;
use crate::jobs::ProcDir;
use crate::options::{Opt, Parsed};
use crate::output::{self, States, Style};
use crate::{Failure, bridge, daemon, minion, tree};

mod progress;

use progress::ProgressLine;

/// The options: Salt's own, and `--root`.
pub const OPTIONS: &[Opt] = &[
    Opt::flag(&["--version"], "show program's version number and exit"),
    Opt::flag(&["-h", "--help"], "show this help message and exit"),
    Opt::value(
        &["-c", "--config-dir"],
        "CONFIG_DIR",
        "Pass in an alternative configuration directory. Default: '/etc/salt'.",
    ),
    Opt::value(
        &["-l", "--log-level"],
        "LOG_LEVEL",
        "Console logging log level. Default: 'warning'.",
    ),
    Opt::value(
        &["--log-file"],
        "LOG_FILE",
        "Log to this file instead of standard error.",
    ),
    Opt::flag(
        &["--local"],
        "Run salt-call locally, as if there was no master running.",
    ),
    Opt::value(&["--id"], "ID", "Specify the minion id to use."),
    Opt::value(
        &["--root"],
        "DIR",
        "Work on the machine whose files are below this directory (an image, a container): commands are run by chroot; configuration and trees are those outside.",
    ),
    Opt::value(&["--master"], "MASTER", "Specify the master to use."),
    Opt::value(
        &["--file-root"],
        "DIR",
        "Set this directory as the base file root.",
    ),
    Opt::value(
        &["--pillar-root"],
        "DIR",
        "Set this directory as the base pillar root.",
    ),
    Opt::value(
        &["--return"],
        "RETURNER",
        "Accepted; 'none' keeps the result from the master.",
    ),
    Opt::flag(&["-g", "--grains"], "Print the grains."),
    Opt::flag(
        &["-d", "--doc", "--documentation"],
        "Print the documentation of the function, or of all.",
    ),
    Opt::flag(
        &["--retcode-passthrough"],
        "Exit with the retcode of the function.",
    ),
    Opt::flag(
        &["--metadata"],
        "Print out the execution metadata as well as the return.",
    ),
    Opt::flag(&["--skip-grains"], "Do not load grains."),
    Opt::flag(
        &["--refresh-grains-cache"],
        "Accepted for compatibility: grains are always fresh.",
    ),
    Opt::value(
        &["--no-parse"],
        "NAMES",
        "Comma-separated names of keyword arguments that stay text.",
    ),
    Opt::value(&["--cachedir"], "DIR", "Cache directory."),
    Opt::value(
        &["-t", "--timeout"],
        "SECONDS",
        "How long to wait for the master's answer to a sign-in.",
    ),
    Opt::flag(
        &["--no-return-event"],
        "Accepted; keeps the result from the master, as --return=none.",
    ),
    Opt::value(
        &["--out", "--output"],
        "OUTPUT",
        "Print with this outputter.",
    ),
    Opt::value(
        &["--out-indent", "--output-indent"],
        "N",
        "Indentation of that output.",
    ),
    Opt::value(
        &["--out-file", "--output-file"],
        "FILE",
        "Write the output to a file.",
    ),
    Opt::flag(
        &["--out-file-append", "--output-file-append"],
        "Append to that file.",
    ),
    Opt::value(
        &["--state-output", "--state_output"],
        "STATE_OUTPUT",
        "How much of states to print: full, terse, mixed or changes, each also with _id.",
    ),
    Opt::value(
        &["--state-verbose", "--state_verbose"],
        "STATE_VERBOSE",
        "Whether to print states that changed nothing.",
    ),
    Opt::flag(&["--no-color", "--no-colour"], "No colours."),
    Opt::flag(
        &["--force-color", "--force-colour"],
        "Colours even when the output is no terminal.",
    ),
];

/// Does what the command line asks. The exit status is 1 when the function failed, its own code with
/// `--retcode-passthrough`.
///
/// # Errors
///
/// What kept the function from being called, in a sentence.
pub fn run(parsed: &Parsed) -> Result<u8, Failure> {
    let mut overrides = Map::new();
    for (option, key) in [
        ("--id", "id"),
        ("--master", "master"),
        ("--cachedir", "cachedir"),
    ] {
        if let Some(value) = parsed.value(option) {
            overrides.insert(key, value);
        }
    }
    for (option, key) in [
        ("--file-root", "file_roots"),
        ("--pillar-root", "pillar_roots"),
    ] {
        if let Some(dir) = parsed.value(option) {
            overrides.insert(key, Map::from([("base", Value::List(vec![dir.into()]))]));
        }
    }
    if let Some(seconds) = parsed.number::<i64>("-t").map_err(Failure::new)? {
        overrides.insert("auth_timeout", seconds);
    }
    if parsed.has("--local") {
        overrides.insert("file_client", "local");
    }
    let host = Host::new();
    let dir = PathBuf::from(parsed.value("-c").unwrap_or("/etc/salt"));
    let config = MinionConfig::read(&dir, &overrides, &host)
        .map_err(|error| Failure::new(error.to_string()))?;
    daemon::start_logging(parsed, &config.log_level)?;
    let registry = Registry::builtin();
    if parsed.has("-d") {
        print_docs(&registry, &parsed.words);
        return Ok(0);
    }
    let mut words = parsed.words.iter();
    let function = match words.next() {
        _ if parsed.has("-g") => "grains.items".to_owned(),
        Some(name) => name.clone(),
        None => {
            return Err(Failure::new(
                "Usage: salt-call [options] <function> [arguments]\n\nsalt-call: error: Requires function, --grains or --doc",
            )
            .with_code(64));
        }
    };
    let verbatim: Vec<&str> = parsed
        .value("--no-parse")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .collect();
    let arguments = match parsed.has("-g") {
        true => Args::new(),
        false => Args::from_words(words, &verbatim),
    };
    let machine: Arc<dyn System> = match parsed.value("--root") {
        Some(dir) => Arc::new(
            Rooted::new(dir).map_err(|error| Failure::new(format!("--root {dir}: {error}")))?,
        ),
        None => Arc::new(host),
    };
    let grains = match parsed.has("--skip-grains") {
        true => Grains::default(),
        false => {
            let machine: Arc<dyn Observe> = Arc::<dyn System>::clone(&machine);
            gather_lazily(machine, &config.opts, &config.config_dir)
        }
    };
    let call = Call {
        parsed,
        config: Arc::new(config),
        registry: Arc::new(registry),
        machine,
        grains,
        jid: crate::jobs::new_jid(),
        function,
        arguments,
    };
    if call.config.local {
        call.local()
    } else {
        call.with_master()
    }
}

/// The documentation of functions, of modules, or of all.
fn print_docs(registry: &Registry, wanted: &[String]) {
    let meant = |name: &str| {
        wanted.is_empty()
            || wanted.iter().any(|wanted| {
                name.strip_prefix(wanted.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
    };
    for name in registry.names().filter(|name| meant(name)) {
        println!(
            "{name}:\n\n    {}\n",
            registry.doc(name).unwrap_or_default().trim()
        );
    }
}

struct Call<'a> {
    parsed: &'a Parsed,
    config: Arc<MinionConfig>,
    registry: Arc<Registry>,
    machine: Arc<dyn System>,
    grains: Grains,
    jid: Jid,
    function: String,
    arguments: Args,
}

/// What a call came to.
struct Outcome {
    value: Value,
    retcode: i64,
    outputter: Option<String>,
}

impl Call<'_> {
    fn local(self) -> Result<u8, Failure> {
        let tree = Arc::new(tree::local(&self.config.file_roots));
        let outcome = self.asked().call(Map::new(), tree, None);
        self.finish(outcome)
    }

    /// All that a call needs, for another thread.
    fn asked(&self) -> Asked {
        Asked {
            registry: Arc::clone(&self.registry),
            config: Arc::clone(&self.config),
            machine: Arc::clone(&self.machine),
            grains: self.grains.clone(),
            jid: self.jid.clone(),
            function: self.function.clone(),
            arguments: self.arguments.clone(),
            own_grains: !self.parsed.has("--skip-grains"),
        }
    }

    fn with_master(self) -> Result<u8, Failure> {
        let runtime = daemon::runtime()?;
        let outcome = runtime.block_on(async {
            let builder = minion::builder(&self.config)?
                .grains(self.grains.clone().into())
                .settings(MinionSettings { subscribe: false, start_event: false, ..MinionSettings::default() });
            let handle = builder.handle();
            let (dial, address) = minion::way(&self.config)?;
            let running = builder
                .build(dial, address)
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
            let (asked, master) = (self.asked(), handle.clone());
            let outcome = tokio::task::spawn_blocking(move || {
                let client = FileClient::of(master.clone(), &asked.config.cachedir);
                asked.call(pillar, Arc::new(tree::MasterTree::new(client)), Some(&master))
            })
            .await?;
            if let Ok(outcome) = &outcome
                && self.parsed.value("--return") != Some("none")
                && !self.parsed.has("--no-return-event")
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
        Map::from([
            ("cmd", Value::from("_return")),
            ("id", self.config.id.as_str().into()),
            ("jid", (&self.jid).into()),
            ("fun", self.function.as_str().into()),
            ("fun_args", self.arguments.to_job().into()),
            ("return", outcome.value.clone()),
            ("retcode", outcome.retcode.into()),
            ("success", (outcome.retcode == 0).into()),
        ])
    }

    fn finish(&self, outcome: Result<Outcome, CallError>) -> Result<u8, Failure> {
        let mut outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => match self.explain(&error) {
                Ok(value) => Outcome {
                    value,
                    retcode: 1,
                    outputter: Some("nested".to_owned()),
                },
                Err(code) => return Ok(code),
            },
        };
        let mut shown = Map::new();
        if self.parsed.has("--metadata") {
            let load = self.load(&outcome);
            let told = ["jid", "fun", "fun_args", "return", "retcode", "id"];
            let told: Map = told
                .into_iter()
                .filter_map(|key| Some((key, load.get(key)?.clone())))
                .collect();
            shown.insert("local", told);
        } else {
            shown.insert("local", std::mem::take(&mut outcome.value));
        }
        let shown = shown.into();
        self.print(&shown, outcome.outputter.as_deref())?;
        // The process ends now: what it made of a large tree need not be taken apart first.
        std::mem::forget(shown);
        Ok(match outcome.retcode {
            0 => 0,
            code if self.parsed.has("--retcode-passthrough") => {
                u8::try_from(code.rem_euclid(256)).unwrap_or(1)
            }
            _ => 1,
        })
    }

    fn print(&self, value: &Value, outputter: Option<&str>) -> Result<(), Failure> {
        let outputter = match self.parsed.value("--out").or(outputter) {
            // 3008.3 has neither of these two any more.
            None | Some("quiet" | "newline_values_only") => "nested",
            Some(name) => name,
        };
        let indent = self.parsed.number("--out-indent").map_err(Failure::new)?;
        let file = self.parsed.value("--out-file");
        let terminal = file.is_none() && std::io::stdout().is_terminal();
        let color =
            self.parsed.has("--force-color") || (terminal && !self.parsed.has("--no-color"));
        let mut states = States::of(&self.config.opts);
        if let Some(detail) = self.parsed.value("--state-output") {
            states = states.with_output(detail);
        }
        if let Some(verbose) = self.parsed.value("--state-verbose") {
            states.verbose = matches!(verbose.to_lowercase().as_str(), "true" | "yes" | "1" | "on");
        }
        let text = output::show(
            value,
            outputter,
            Style {
                color,
                indent,
                states,
            },
        );
        match file {
            None => println!("{text}"),
            Some(path) => {
                let append = self.parsed.has("--out-file-append");
                let opened = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .append(append)
                    .truncate(!append)
                    .open(path);
                let written = opened.and_then(|mut file| writeln!(file, "{text}"));
                written
                    .map_err(|error| Failure::new(format!("cannot write to {path}: {error}")))?;
            }
        }
        Ok(())
    }

    /// Tells of a failed call as Salt 3008.3's `salt-call` does: a value that is printed like a result,
    /// or else the exit status.
    fn explain(&self, error: &CallError) -> Result<Value, u8> {
        let name = &self.function;
        if let (CallError::Unavailable(_), Some(docs)) = (error, self.registry.alternatives(name)) {
            return Ok(docs);
        }
        match error {
            CallError::Arguments(_) | CallError::Invocation(_) if !is_about_keywords(error) => {
                eprintln!("\nPassed invalid arguments: {error}.\n\nUsage:");
                println!("{}", self.registry.doc(name).unwrap_or_default());
            }
            CallError::Execution(_) => eprintln!("Error running '{name}': {error}"),
            CallError::CommandNotFound(_) => {
                eprintln!("Command required for '{name}' not found: {error}");
            }
            CallError::Exception { .. } | CallError::Raised { .. } => {
                eprintln!("{}", error.traceback().trim_end());
            }
            _ => eprintln!("{error}"),
        }
        Err(
            if matches!(error, CallError::Unavailable(_) | CallError::Foreign { .. }) {
                255
            } else {
                1
            },
        )
    }
}

/// Keywords that no parameter takes are refused before Salt's `salt-call` looks at the rest.
fn is_about_keywords(error: &CallError) -> bool {
    error
        .to_string()
        .starts_with("The following keyword arguments are not valid:")
}

/// A call, with all it needs.
struct Asked {
    registry: Arc<Registry>,
    config: Arc<MinionConfig>,
    machine: Arc<dyn System>,
    grains: Grains,
    jid: Jid,
    function: String,
    arguments: Args,
    /// Whether the tree's own modules may add grains.
    own_grains: bool,
}

impl Asked {
    fn call(
        self,
        pillar: Map,
        sources: Arc<dyn Sources>,
        master: Option<&MinionHandle>,
    ) -> Result<Outcome, CallError> {
        let mut grains = self.grains;
        let bridge = bridge::new(
            &self.config,
            Arc::clone(&self.machine),
            Some(Arc::clone(&sources)),
            grains.clone(),
        );
        if self.own_grains {
            bridge::add_grains(bridge.as_ref(), &mut grains);
        }
        let (machine, sources) = (self.machine.as_ref(), sources.as_ref());
        let mut data = MinionData {
            id: self.config.id.clone(),
            grains,
            pillar,
            config: self.config.opts.clone(),
        };
        if master.is_none() {
            let registry = bridge::registry(&self.registry, bridge.as_ref(), &data);
            let mut context = Context::new(&registry, machine, &data);
            context.sources = Some(sources);
            data.pillar =
                tree::local_pillar(&self.config.pillar_roots, &data, &Map::new(), &context)?;
        }
        let registry = bridge::registry(&self.registry, bridge.as_ref(), &data);
        let ask = |load: Map| {
            let master = master.ok_or_else(|| CallError::execution("no master"))?;
            master
                .blocking_request(load)
                .map_err(|error| CallError::execution(error.to_string()))
        };
        let compile = |wanted: &Map| match master {
            Some(_) => tree::masters_pillar(data.pillar.clone(), wanted),
            None => {
                let mut context = Context::new(&registry, machine, &data);
                context.sources = Some(sources);
                tree::local_pillar(&self.config.pillar_roots, &data, wanted, &context)
            }
        };
        let mut context = Context::new(&registry, machine, &data);
        context.sources = Some(sources);
        context.compile_pillar = Some(&compile);
        if master.is_some() {
            context.master = Some(&ask);
        }
        context.job = Map::from([
            ("fun", Value::from(self.function.as_str())),
            ("pid", std::process::id().into()),
            ("jid", (&self.jid).into()),
            ("tgt", "salt-call".into()),
        ]);
        let jobs = ProcDir::new(&self.config.cachedir);
        let entered = jobs.enter(&self.jid, context.job.clone());
        let running = || {
            let mut others = jobs.running();
            others.retain(|other| other.str("jid") != Some(self.jid.as_str()));
            others
        };
        context.running = Some(&running);
        let line = ProgressLine::new(std::io::stderr().is_terminal());
        let starting = |done: usize, total: usize, tag: &str| line.at(done, total, tag);
        context.starting = Some(&starting);
        let called = registry.call_outermost(&self.function, self.arguments, &context);
        drop(line);
        drop(entered);
        let (value, retcode) = called?;
        let outputter = self
            .registry
            .outputter_of(&self.function)
            .map(str::to_owned);
        Ok(Outcome {
            value,
            retcode,
            outputter,
        })
    }
}
