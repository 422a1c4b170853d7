//! `salt-key`: accepts, rejects, deletes and shows the keys of minions, in the master's key directory.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use salt_crypto::FingerprintHash;
use salt_proto::{Event, Facts, Map, MinionId, Target, Value};
use salt_transport::PkiDir;
use salt_transport::events::{self, MASTER_PULL};
use salt_transport::pki::{KeyPairOptions, KeyStatus, MinionKeys, RotationRequest};

use crate::config::MasterConfig;
use crate::options::{Opt, Parsed};
use crate::output::{self, Style};
use crate::{Failure, rng};

/// The options, Salt's own.
pub const OPTIONS: &[Opt] = &[
    Opt::flag(&["--version"], "show program's version number and exit"),
    Opt::flag(&["-h", "--help"], "show this help message and exit"),
    Opt::value(
        &["-c", "--config-dir"],
        "CONFIG_DIR",
        "Pass in an alternative configuration directory. Default: '/etc/salt'.",
    ),
    Opt::value(&["--log-level"], "LOG_LEVEL", "Console logging log level."),
    Opt::value(
        &["-l", "--list"],
        "ARG",
        "List the public keys: 'pre', 'un' or 'unaccepted'; 'acc' or 'accepted'; 'rej' or 'rejected'; 'den' or 'denied'; 'all'.",
    ),
    Opt::flag(&["-L", "--list-all"], "List all public keys."),
    Opt::value(
        &["-a", "--accept"],
        "ACCEPT",
        "Accept the specified public key; globs are supported.",
    ),
    Opt::flag(&["-A", "--accept-all"], "Accept all pending keys."),
    Opt::value(
        &["-r", "--reject"],
        "REJECT",
        "Reject the specified public key; globs are supported.",
    ),
    Opt::flag(&["-R", "--reject-all"], "Reject all pending keys."),
    Opt::flag(
        &["--include-all"],
        "Include rejected/accepted keys when accepting/rejecting.",
    ),
    Opt::flag(
        &["--include-accepted"],
        "Include accepted keys when rejecting.",
    ),
    Opt::flag(
        &["--include-rejected"],
        "Include rejected keys when accepting.",
    ),
    Opt::flag(
        &["--include-denied"],
        "Include denied keys when accepting/rejecting.",
    ),
    Opt::value(
        &["-p", "--print"],
        "PRINT",
        "Print the specified public key.",
    ),
    Opt::flag(&["-P", "--print-all"], "Print all public keys."),
    Opt::value(
        &["-d", "--delete"],
        "DELETE",
        "Delete the specified key; globs are supported.",
    ),
    Opt::flag(&["-D", "--delete-all"], "Delete all keys."),
    Opt::value(
        &["-f", "--finger"],
        "FINGER",
        "Print the specified key's fingerprint.",
    ),
    Opt::flag(
        &["-F", "--finger-all"],
        "Print all keys' fingerprints, the master's own first.",
    ),
    Opt::value(&["--gen-keys"], "NAME", "Generate a key pair of this name."),
    Opt::value(
        &["--gen-keys-dir"],
        "DIR",
        "The directory for --gen-keys. Default: '.'.",
    ),
    Opt::value(
        &["--keysize"],
        "BITS",
        "The size for --gen-keys. Default: 2048.",
    ),
    Opt::flag(&["-y", "--yes"], "Answer yes to all questions."),
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
    Opt::flag(&["--no-color", "--no-colour"], "No colours."),
    Opt::flag(
        &["--force-color", "--force-colour"],
        "Colours even when the output is no terminal.",
    ),
    Opt::flag(&["-q", "--quiet"], "Print nothing but what was asked for."),
];

/// Does what the command line asks.
///
/// # Errors
///
/// What went wrong, in a sentence.
pub fn run(parsed: &Parsed) -> Result<(), Failure> {
    if let Some(name) = parsed.value("--gen-keys") {
        return generate(parsed, name);
    }
    let dir = PathBuf::from(parsed.value("-c").unwrap_or("/etc/salt"));
    let config =
        MasterConfig::read(&dir, &Map::new()).map_err(|error| Failure::new(error.to_string()))?;
    let pki = PkiDir::open(&config.pki_dir)?;
    let tool = Tool {
        parsed,
        keys: pki.minion_keys(),
        pki,
        config: &config,
    };
    let all = || "*".to_owned();
    let glob = |name: &str| parsed.value(name).map(str::to_owned);
    if let Some(glob) = glob("-a").or_else(|| parsed.has("-A").then(all)) {
        let mut from = vec![KeyStatus::Pending];
        from.extend(tool.including(KeyStatus::Rejected, "--include-rejected"));
        from.extend(parsed.has("--include-denied").then_some(KeyStatus::Denied));
        tool.change(&glob, &from, Some(KeyStatus::Accepted), "accepted")
    } else if let Some(glob) = glob("-r").or_else(|| parsed.has("-R").then(all)) {
        let mut from = vec![KeyStatus::Pending];
        from.extend(tool.including(KeyStatus::Accepted, "--include-accepted"));
        from.extend(parsed.has("--include-denied").then_some(KeyStatus::Denied));
        tool.change(&glob, &from, Some(KeyStatus::Rejected), "rejected")
    } else if let Some(glob) = glob("-d").or_else(|| parsed.has("-D").then(all)) {
        tool.change(&glob, &KeyStatus::ALL, None, "deleted")
    } else if let Some(glob) = glob("-f").or_else(|| parsed.has("-F").then(all)) {
        tool.fingerprints(&glob, parsed.has("-F"))
    } else if let Some(glob) = glob("-p").or_else(|| parsed.has("-P").then(all)) {
        tool.print(&glob)
    } else {
        tool.list(parsed.value("-l").unwrap_or("all"))
    }
}

fn generate(parsed: &Parsed, name: &str) -> Result<(), Failure> {
    let bits = parsed
        .number("--keysize")
        .map_err(Failure::new)?
        .unwrap_or(2048);
    let pki = PkiDir::open(parsed.value("--gen-keys-dir").unwrap_or("."))?;
    if pki
        .existing_identity(name, &KeyPairOptions::default())?
        .is_some()
    {
        return Err(Failure::new(format!(
            "{name}.pem is there already, and is not replaced"
        )));
    }
    pki.identity(
        name,
        &KeyPairOptions {
            bits,
            ..KeyPairOptions::default()
        },
        &mut rng(),
    )?;
    Ok(())
}

struct Tool<'a> {
    parsed: &'a Parsed,
    config: &'a MasterConfig,
    pki: PkiDir,
    keys: MinionKeys,
}

impl Tool<'_> {
    fn including(&self, status: KeyStatus, option: &str) -> Option<KeyStatus> {
        (self.parsed.has(option) || self.parsed.has("--include-all")).then_some(status)
    }

    fn print_map(&self, map: Map) {
        let color = self.parsed.has("--force-color");
        let text = match self.parsed.value("--out") {
            Some(outputter) => {
                let indent = self.parsed.number("--out-indent").ok().flatten();
                output::show(
                    &map.into(),
                    outputter,
                    Style {
                        color,
                        indent,
                        ..Style::default()
                    },
                )
            }
            None => output::keys(&map, color),
        };
        println!("{text}");
    }

    /// The matching keys of a state.
    fn matching(&self, glob: &str, status: KeyStatus) -> io::Result<Vec<MinionId>> {
        let target = Target::glob(glob);
        let nothing = Map::new();
        let matches = |id: &MinionId| {
            glob.split(',').any(|name| name == id.as_str())
                || target.matches(&Facts {
                    id: id.as_str(),
                    grains: &nothing,
                    pillar: &nothing,
                    nodegroups: &nothing,
                })
        };
        Ok(self
            .keys
            .list(status)?
            .into_iter()
            .filter(matches)
            .collect())
    }

    fn list(&self, which: &str) -> Result<(), Failure> {
        let wanted: &[KeyStatus] = match which {
            "acc" | "accepted" => &[KeyStatus::Accepted],
            "pre" | "un" | "unaccepted" => &[KeyStatus::Pending],
            "rej" | "rejected" => &[KeyStatus::Rejected],
            "den" | "denied" => &[KeyStatus::Denied],
            // The order of Salt's JSON.
            "all" => &[
                KeyStatus::Pending,
                KeyStatus::Rejected,
                KeyStatus::Accepted,
                KeyStatus::Denied,
            ],
            other => {
                return Err(Failure::new(format!(
                    "'{other}' is not a valid argument to '--list'; one of acc, pre, un, rej, den, all"
                ))
                .with_code(64));
            }
        };
        let mut map = Map::new();
        for status in wanted {
            let ids: Value = self
                .keys
                .list(*status)?
                .iter()
                .map(MinionId::as_str)
                .collect();
            map.insert(status.directory(), ids);
        }
        self.print_map(map);
        Ok(())
    }

    /// Moves or deletes keys, after asking.
    fn change(
        &self,
        glob: &str,
        from: &[KeyStatus],
        to: Option<KeyStatus>,
        done: &str,
    ) -> Result<(), Failure> {
        let mut found = Vec::new();
        for status in from {
            found.extend(
                self.matching(glob, *status)?
                    .into_iter()
                    .map(|id| (id, *status)),
            );
        }
        if found.is_empty() {
            let names: Vec<&str> = match to {
                None => vec!["unaccepted"],
                Some(_) => from
                    .iter()
                    .map(|status| match status {
                        KeyStatus::Pending => "unaccepted",
                        KeyStatus::Accepted => "accepted",
                        KeyStatus::Rejected => "rejected",
                        KeyStatus::Denied => "denied",
                    })
                    .collect(),
            };
            println!(
                "The key glob '{glob}' does not match any {} keys.",
                names.join(" or ")
            );
            return Ok(());
        }
        let mut shown = Map::new();
        for (id, status) in &found {
            if let Value::List(ids) =
                shown.get_or_insert_with(status.directory(), || Value::List(Vec::new()))
            {
                ids.push(id.as_str().into());
            }
        }
        let quiet = self.parsed.value("--out").is_some() || self.parsed.has("-q");
        if !quiet {
            println!("The following keys are going to be {done}:");
            println!("{}", output::keys(&shown, false));
        }
        if !self.parsed.has("-y") && !quiet && !confirmed()? {
            return Ok(());
        }
        let mut changed = Map::new();
        for (id, status) in &found {
            let was_served = *status == KeyStatus::Accepted;
            let moved = match to {
                Some(to) => self.keys.change(id, *status, to)?,
                None => self.keys.delete(id, *status)?,
            };
            if !moved {
                continue;
            }
            if !quiet {
                println!("Key for minion {id} {done}.");
            }
            let place = to.unwrap_or(*status).directory();
            if let Value::List(ids) = changed.get_or_insert_with(place, || Value::List(Vec::new()))
            {
                ids.push(id.as_str().into());
            }
            if was_served && self.config.rotate_aes_key {
                // A master that runs replaces its publish key; one that does not makes a new one anyway.
                let id = self.config.opts.str("id").unwrap_or("salt");
                RotationRequest::create(&self.config.cachedir, id)?;
            }
            self.tell(id, done);
        }
        if self.parsed.value("--out").is_some() {
            self.print_map(changed);
        }
        Ok(())
    }

    /// Tells a running master's bus; without one there is nobody to tell.
    fn tell(&self, id: &MinionId, act: &str) {
        let data = Map::from([
            ("result", Value::from(true)),
            ("act", act.into()),
            ("id", id.as_str().into()),
        ]);
        let path = self.config.sock_dir.join(MASTER_PULL);
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
        else {
            return;
        };
        runtime
            .block_on(events::submit(&path, Event::new("salt/key", data)))
            .ok();
    }

    fn fingerprints(&self, glob: &str, with_local: bool) -> Result<(), Failure> {
        let hash = FingerprintHash::from_name(&self.config.hash_type).unwrap_or_default();
        let mut map = Map::new();
        if with_local && let Some(key) = self.pki.public_key("master")? {
            map.insert(
                "local",
                Map::from([("master.pub", key.fingerprint(hash).to_string())]),
            );
        }
        for status in KeyStatus::ALL {
            let mut section = Map::new();
            for id in self.matching(glob, status)? {
                if let Some(key) = self.keys.key(&id, status)? {
                    section.insert(id.as_str(), key.fingerprint(hash).to_string());
                }
            }
            if !section.is_empty() {
                map.insert(status.directory(), section);
            }
        }
        if map.is_empty() {
            return Ok(());
        }
        self.print_map(map);
        Ok(())
    }

    fn print(&self, glob: &str) -> Result<(), Failure> {
        let mut map = Map::new();
        for status in KeyStatus::ALL {
            let mut section = Map::new();
            for id in self.matching(glob, status)? {
                if let Some(key) = self.keys.key(&id, status)? {
                    section.insert(id.as_str(), key.as_pem());
                }
            }
            if !section.is_empty() {
                map.insert(status.directory(), section);
            }
        }
        if !map.is_empty() {
            self.print_map(map);
        }
        Ok(())
    }
}

fn confirmed() -> io::Result<bool> {
    print!("Proceed? [n/Y] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let answer = answer.trim().to_lowercase();
    Ok(answer.is_empty() || answer.starts_with('y'))
}
