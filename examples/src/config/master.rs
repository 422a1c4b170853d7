//! What a master needs to know.

use std::path::{Path, PathBuf};
use std::time::Duration;

use salt_proto::{Map, Value};
use salt_transport::Route;

use super::{ConfigError, Raw, Role, Roots, SecurityProfile};

/// The configuration of `salt-master` and the tools beside it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MasterConfig {
    /// The address to listen on.
    pub interface: String,
    /// Where minions listen for jobs.
    pub publish_port: u16,
    /// Where minions send requests.
    pub ret_port: u16,
    /// Where to listen instead (our own; default empty: `interface` and the two ports).
    pub listen: Vec<Route>,
    /// A peer that a tunnel names may only be the minion of that name (our own; default false).
    pub peer_is_minion: bool,
    /// `zeromq` or `tcp`.
    pub transport: String,
    /// The user it runs as.
    pub user: String,
    /// Where all other paths are below.
    pub root_dir: PathBuf,
    /// Where the configuration was read.
    pub config_dir: PathBuf,
    /// Keys.
    pub pki_dir: PathBuf,
    /// Jobs, grains and pillar of minions.
    pub cachedir: PathBuf,
    /// Sockets.
    pub sock_dir: PathBuf,
    /// Where the daemon writes its process id.
    pub pidfile: PathBuf,
    /// Where the log goes; may be an address (`udp://…`).
    pub log_file: PathBuf,
    /// `warning`, `info`, …
    pub log_level: String,
    /// The state tree.
    pub file_roots: Roots,
    /// The pillar tree.
    pub pillar_roots: Roots,
    /// The hash of files: `sha256`.
    pub hash_type: String,
    /// How much of a file goes into one message.
    pub file_buffer_size: usize,
    /// Receive files from minions.
    pub file_recv: bool,
    /// The largest such file in MiB.
    pub file_recv_max_size: usize,
    /// How long the command line waits for returns before it looks whether a job runs.
    pub timeout: Duration,
    /// How long it waits for the answer to that.
    pub gather_job_timeout: Duration,
    /// How long jobs are kept.
    pub keep_jobs: Duration,
    /// Keep jobs at all.
    pub job_cache: bool,
    /// Accept every key.
    pub auto_accept: bool,
    /// Accept every key and replace known ones.
    pub open_mode: bool,
    /// A file of ids to accept.
    pub autosign_file: Option<PathBuf>,
    /// A file of ids to reject.
    pub autoreject_file: Option<PathBuf>,
    /// A directory of grains to accept by.
    pub autosign_grains_dir: Option<PathBuf>,
    /// The most minions; zero: any number.
    pub max_minions: usize,
    /// Bits of a new key.
    pub keysize: usize,
    /// Sign publishes.
    pub sign_pub_messages: bool,
    /// Publish only to those who are meant.
    pub zmq_filtering: bool,
    /// Refuse unsigned returns.
    pub require_minion_sign_messages: bool,
    /// Refuse wrongly signed returns.
    pub drop_messages_signature_fail: bool,
    /// Prove our key by a signing key.
    pub master_sign_pubkey: bool,
    /// Name of that key's files.
    pub master_sign_key_name: String,
    /// The signature of publishes that a file asks for (`PKCS1v15-SHA224`).
    pub publish_signing_algorithm: Option<String>,
    /// Make a new session key when a minion's key is deleted or rejected.
    pub rotate_aes_key: bool,
    /// How long a session key is used.
    pub publish_session: Duration,
    /// A minion may delete its own key.
    pub allow_minion_key_revoke: bool,
    /// The longest time a request may be under way; zero: the profile's.
    pub request_server_ttl: Duration,
    /// Named targets.
    pub nodegroups: Map,
    /// What minions may run on each other.
    pub peer: Map,
    /// Who besides the master's user may publish.
    pub publisher_acl: Map,
    /// Send our settings to minions in their pillar.
    pub pillar_opts: bool,
    /// What is tolerated on the wire.
    pub security_profile: SecurityProfile,
    /// Choose the AES-256-GCM suite with peers that offer it (our own; default true).
    pub aes_gcm: bool,
    /// Everything, as Salt's `opts`.
    pub opts: Map,
    /// What deserves a look but stops nothing.
    pub warnings: Vec<String>,
}

impl MasterConfig {
    /// Reads the configuration in `dir`; `overrides` win over the files.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn read(dir: &Path, overrides: &Map) -> Result<Self, ConfigError> {
        let mut raw = Raw::read(Role::Master, dir, overrides)?;
        if raw.text("interface")?.is_empty() {
            // Whoever configures nothing at all is trying things out, and opens no port
            // to the network by that.
            let all = if raw.files == 0 {
                "127.0.0.1"
            } else {
                "0.0.0.0"
            };
            raw.opts.insert("interface", all);
        }
        let optional_path = |key: &str| -> Result<Option<PathBuf>, ConfigError> {
            raw.stated_text(key)?.map(|_| raw.path(key)).transpose()
        };
        let keep_jobs = match raw.opts.get("keep_jobs_seconds") {
            // The older setting counts hours, and counts when only it is stated.
            _ if raw.is_stated("keep_jobs") && !raw.is_stated("keep_jobs_seconds") => {
                raw.seconds("keep_jobs")?.saturating_mul(3600)
            }
            None | Some(Value::Null) => Duration::from_secs(86_400),
            Some(_) => raw.seconds("keep_jobs_seconds")?,
        };
        Ok(Self {
            interface: raw.text("interface")?,
            publish_port: raw.port("publish_port")?,
            ret_port: raw.port("ret_port")?,
            listen: listen(&raw)?,
            peer_is_minion: match raw.opts.get("peer_is_minion") {
                None => false,
                Some(_) => raw.bool("peer_is_minion")?,
            },
            transport: raw.transport()?,
            user: raw.text("user")?,
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
            hash_type: raw.text("hash_type")?,
            file_buffer_size: raw.count("file_buffer_size")?,
            file_recv: raw.bool("file_recv")?,
            file_recv_max_size: raw.count("file_recv_max_size")?,
            timeout: raw.seconds("timeout")?,
            gather_job_timeout: raw.seconds("gather_job_timeout")?,
            keep_jobs,
            job_cache: raw.bool("job_cache")?,
            auto_accept: raw.bool("auto_accept")?,
            open_mode: raw.bool("open_mode")?,
            autosign_file: optional_path("autosign_file")?,
            autoreject_file: optional_path("autoreject_file")?,
            autosign_grains_dir: optional_path("autosign_grains_dir")?,
            max_minions: raw.count("max_minions")?,
            keysize: raw.count("keysize")?,
            sign_pub_messages: raw.bool("sign_pub_messages")?,
            zmq_filtering: raw.bool("zmq_filtering")?,
            require_minion_sign_messages: raw.bool("require_minion_sign_messages")?,
            drop_messages_signature_fail: raw.bool("drop_messages_signature_fail")?,
            master_sign_pubkey: raw.bool("master_sign_pubkey")?,
            master_sign_key_name: raw.text("master_sign_key_name")?,
            publish_signing_algorithm: raw.stated_text("publish_signing_algorithm")?,
            rotate_aes_key: raw.bool("rotate_aes_key")?,
            publish_session: raw.seconds("publish_session")?,
            allow_minion_key_revoke: raw.bool("allow_minion_key_revoke")?,
            request_server_ttl: raw.seconds("request_server_ttl")?,
            nodegroups: raw.map("nodegroups")?,
            peer: raw.map("peer")?,
            publisher_acl: raw.map("publisher_acl")?,
            pillar_opts: raw.bool("pillar_opts")?,
            security_profile: raw.profile()?,
            aes_gcm: match raw.opts.get("aes_gcm") {
                None => true,
                Some(_) => raw.bool("aes_gcm")?,
            },
            warnings: raw.warnings,
            opts: raw.opts,
        })
    }
}

/// A route, or a list of them.
fn listen(raw: &Raw) -> Result<Vec<Route>, ConfigError> {
    let one = |value: &Value| {
        let text = value.as_str().ok_or_else(|| {
            raw.invalid(
                "listen",
                "a route such as tls://0.0.0.0, or a list of those",
            )
        })?;
        text.parse()
            .map_err(|error: salt_transport::RouteError| raw.invalid("listen", &error.to_string()))
    };
    match raw.opts.get("listen") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::List(all)) => all.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}
