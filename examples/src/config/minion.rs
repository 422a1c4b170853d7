//! What a minion needs to know.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salt_proto::{Map, Value};
use salt_state::Observe;

use super::{ConfigError, Raw, Role, Roots, SecurityProfile};
use crate::tunnel::Way;

/// The configuration of `salt-minion` and `salt-call`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MinionConfig {
    /// The minion's id.
    pub id: String,
    /// The masters, in the order to try them.
    pub masters: Vec<MasterAddress>,
    /// The master's publish port; `None`: the one it names when we sign in.
    pub publish_port: Option<u16>,
    /// `zeromq` or `tcp`.
    pub transport: String,
    /// Where all other paths are below.
    pub root_dir: PathBuf,
    /// Where the configuration was read.
    pub config_dir: PathBuf,
    /// Our keys and the master's.
    pub pki_dir: PathBuf,
    /// Files from the master, running jobs.
    pub cachedir: PathBuf,
    /// Sockets.
    pub sock_dir: PathBuf,
    /// Where the daemon writes its process id.
    pub pidfile: PathBuf,
    /// Where the log goes; may be an address (`udp://…`).
    pub log_file: PathBuf,
    /// `warning`, `info`, …
    pub log_level: String,
    /// Local state tree, for `file_client: local`.
    pub file_roots: Roots,
    /// Local pillar tree, for `file_client: local`.
    pub pillar_roots: Roots,
    /// Files and pillar come from this machine, no master is asked.
    pub local: bool,
    /// The hash of files: `sha256`.
    pub hash_type: String,
    /// The fingerprint that the master's key must have.
    pub master_finger: Option<String>,
    /// Check the master's signing key, `master_sign.pub`.
    pub verify_master_pubkey_sign: bool,
    /// Name of that key's file without `.pub`.
    pub master_sign_key_name: String,
    /// Sign returns.
    pub minion_sign_messages: bool,
    /// Receive only publishes that are meant for us.
    pub zmq_filtering: bool,
    /// The encryption of keys that a file asks for (`OAEP-SHA224`).
    pub encryption_algorithm: Option<String>,
    /// The signatures that a file asks for (`PKCS1v15-SHA224`).
    pub signing_algorithm: Option<String>,
    /// Bits of a new key.
    pub keysize: usize,
    /// How long to wait for the answer to a sign-in.
    pub auth_timeout: Duration,
    /// How often to try to sign in before giving a master up.
    pub auth_tries: usize,
    /// How long to wait between offers of a key that is not accepted yet.
    pub acceptance_wait_time: Duration,
    /// The longest such wait; zero: always the same.
    pub acceptance_wait_time_max: Duration,
    /// The longest random wait before signing in again.
    pub random_reauth_delay: Duration,
    /// How long to wait for any other answer.
    pub request_channel_timeout: Duration,
    /// How often to ask.
    pub request_channel_tries: usize,
    /// Send the mine at all.
    pub mine_enabled: bool,
    /// How often to send it.
    pub mine_interval: Duration,
    /// What is in it.
    pub mine_functions: Map,
    /// Grains from the configuration.
    pub grains: Map,
    /// Fire `minion_start` besides `salt/minion/<id>/start`.
    pub enable_legacy_startup_events: bool,
    /// How many jobs may run at once; zero: any number.
    pub process_count_max: usize,
    /// How many finished jobs are remembered.
    pub minion_jid_queue_hwm: usize,
    /// What is tolerated on the wire.
    pub security_profile: SecurityProfile,
    /// Believe the first key a master shows. Only in the profile `compat`.
    pub trust_on_first_use: bool,
    /// Offer the AES-256-GCM suite (our own; default true).
    pub aes_gcm: bool,
    /// Everything, as Salt's `opts`.
    pub opts: Map,
    /// What deserves a look but stops nothing.
    pub warnings: Vec<String>,
}

/// Where a master is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterAddress {
    /// At a host, as Salt has it.
    Host {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// Its request port.
        port: u16,
    },
    /// Over another stream than plain TCP (our own).
    Way(Way),
}

impl MinionConfig {
    /// Reads the configuration in `dir`; `overrides` win over the files. The machine is
    /// asked for an id when no file states one.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn read(dir: &Path, overrides: &Map, machine: &dyn Observe) -> Result<Self, ConfigError> {
        let mut raw = Raw::read(Role::Minion, dir, overrides)?;
        let id = match raw.text("id")? {
            id if id.is_empty() => unstated_id(&raw, dir, machine),
            id => id,
        };
        raw.opts.insert("id", id.as_str());
        let publish_port = match raw.opts.get("publish_port") {
            None | Some(Value::Null) => None,
            Some(_) => Some(raw.port("publish_port")?),
        };
        let minutes = raw.number("mine_interval", 0)?.unsigned_abs();
        let trust_on_first_use = raw.bool("trust_on_first_use")?;
        let security_profile = raw.profile()?;
        if trust_on_first_use && security_profile == SecurityProfile::Strict {
            return Err(raw.invalid(
                "trust_on_first_use",
                "false in the profile `strict`; set `security_profile: compat` to trust the first key seen",
            ));
        }
        Ok(Self {
            masters: masters(&raw)?,
            publish_port,
            transport: raw.transport()?,
            root_dir: raw.path("root_dir")?,
            config_dir: raw.path("config_dir")?,
            pki_dir: raw.path("pki_dir")?,
            cachedir: raw.path("cachedir")?,
            sock_dir: raw.path("sock_dir")?,
            pidfile: raw.path("pidfile")?,
            log_file: raw.path("log_file")?,
            log_level: raw.log_level()?,
            file_roots: raw.roots("file_roots")?,
            pillar_roots: raw.roots("pillar_roots")?,
            local: raw.text("file_client")? == "local",
            hash_type: raw.text("hash_type")?,
            master_finger: raw.stated_text("master_finger")?,
            verify_master_pubkey_sign: raw.bool("verify_master_pubkey_sign")?,
            master_sign_key_name: raw.text("master_sign_key_name")?,
            minion_sign_messages: raw.bool("minion_sign_messages")?,
            zmq_filtering: raw.bool("zmq_filtering")?,
            encryption_algorithm: raw.stated_text("encryption_algorithm")?,
            signing_algorithm: raw.stated_text("signing_algorithm")?,
            keysize: raw.count("keysize")?,
            auth_timeout: raw.seconds("auth_timeout")?,
            auth_tries: raw.count("auth_tries")?,
            acceptance_wait_time: raw.seconds("acceptance_wait_time")?,
            acceptance_wait_time_max: raw.seconds("acceptance_wait_time_max")?,
            random_reauth_delay: raw.seconds("random_reauth_delay")?,
            request_channel_timeout: raw.seconds("request_channel_timeout")?,
            request_channel_tries: raw.count("request_channel_tries")?,
            mine_enabled: raw.bool("mine_enabled")?,
            mine_interval: Duration::from_secs(minutes.saturating_mul(60)),
            mine_functions: mine_functions(&raw)?,
            grains: raw.map("grains")?,
            enable_legacy_startup_events: raw.bool("enable_legacy_startup_events")?,
            process_count_max: usize::try_from(raw.number("process_count_max", -1)?).unwrap_or(0),
            minion_jid_queue_hwm: raw.count("minion_jid_queue_hwm")?,
            security_profile,
            trust_on_first_use,
            aes_gcm: match raw.opts.get("aes_gcm") {
                None => true,
                Some(_) => raw.bool("aes_gcm")?,
            },
            id,
            warnings: raw.warnings,
            opts: raw.opts,
        })
    }
}

fn masters(raw: &Raw) -> Result<Vec<MasterAddress>, ConfigError> {
    let port = raw.port("master_port")?;
    let expected = "a host name, an address, `host:port`, or a list of those";
    let wrong = || raw.invalid("master", expected);
    let one = |value: &Value| match value.as_str() {
        Some(text) if Way::is_meant(text) => text
            .parse()
            .map(MasterAddress::Way)
            .map_err(|error: salt_transport::RouteError| raw.invalid("master", &error.to_string())),
        Some(text) => address(text, port).ok_or_else(wrong),
        None => Err(wrong()),
    };
    match raw.opts.get("master") {
        Some(Value::List(all)) if !all.is_empty() => all.iter().map(one).collect(),
        Some(text @ Value::Str(_)) => Ok(vec![one(text)?]),
        _ => Err(wrong()),
    }
}

/// `host`, `host:port`, an IPv6 address bare or in brackets with or without a port.
fn address(text: &str, port: u16) -> Option<MasterAddress> {
    let at = |host: &str, port| {
        (!host.is_empty()).then(|| MasterAddress::Host {
            host: host.to_owned(),
            port,
        })
    };
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if rest.is_empty() => port,
            None => return None,
        };
        return at(host, port);
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => at(text, port),
        Some((host, port)) => at(host, port.parse().ok().filter(|port| *port != 0)?),
        None => at(text, port),
    }
}

/// A mapping, or a list of names and of one-key mappings.
fn mine_functions(raw: &Raw) -> Result<Map, ConfigError> {
    let wrong = || {
        raw.invalid(
            "mine_functions",
            "a mapping of functions to their arguments",
        )
    };
    match raw.opts.get("mine_functions") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Map(map)) => Ok(map.clone()),
        Some(Value::List(items)) => {
            let mut all = Map::new();
            for item in items {
                match item {
                    Value::Str(name) => {
                        all.insert(name, Value::List(Vec::new()));
                    }
                    Value::Map(map) => all.extend(map.clone()),
                    _ => return Err(wrong()),
                }
            }
            Ok(all)
        }
        Some(_) => Err(wrong()),
    }
}

/// The id when no file states one: the one remembered in `minion_id`, else the host's name
/// as the hosts file completes it.
fn unstated_id(raw: &Raw, dir: &Path, machine: &dyn Observe) -> String {
    if raw.bool("minion_id_caching").unwrap_or(true)
        && let Ok(text) = fs::read_to_string(dir.join("minion_id"))
        && !text.trim().is_empty()
    {
        return text.trim().to_owned();
    }
    let mut id = salt_state::host_names(machine).fqdn;
    if raw.bool("minion_id_lowercase").unwrap_or(false) {
        id = id.to_lowercase();
    }
    if let Some(domain) = raw.opts.str("minion_id_remove_domain") {
        id = id
            .strip_suffix(&format!(".{domain}"))
            .unwrap_or(&id)
            .to_owned();
    } else if raw.bool("minion_id_remove_domain").unwrap_or(false) {
        id = id.split('.').next().unwrap_or_default().to_owned();
    }
    if let Some(domain) = raw.opts.str("append_domain")
        && !id.ends_with(domain)
    {
        id = format!("{id}.{domain}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_addresses_are_read_in_all_their_forms() {
        for (text, host, port) in [
            ("salt", "salt", 4506),
            ("10.0.0.1:5000", "10.0.0.1", 5000),
            ("fd00::1", "fd00::1", 4506),
            ("[fd00::1]", "fd00::1", 4506),
            ("[fd00::1]:5000", "fd00::1", 5000),
        ] {
            let found = address(text, 4506).unwrap();
            let expected = MasterAddress::Host {
                host: host.to_owned(),
                port,
            };
            assert_eq!(found, expected, "{text}");
        }
        for text in ["", ":1", "a:b", "a:0", "[a", "[a]x"] {
            assert_eq!(address(text, 4506), None, "{text}");
        }
    }
}
