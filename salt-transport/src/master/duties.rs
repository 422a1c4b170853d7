//! What minions ask: pillar, files, returns, events, mine, peers.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use salt_proto::event::{Event, tag};
use salt_proto::master::{Authorised, ReplyTicket};
use salt_proto::message::{
    AesRequest, FileReceive, LoadError, MasterOpts, MineGet, MinionPublish, PillarRequest,
};
use salt_proto::target::Release;
use salt_proto::{Jid, Map, MinionId, Return, SaltUrl, Target, Value};

use super::data::Bank;
use super::{Master, blocking, rng, unix_micros};
use crate::jobs::Stored;

/// What a pillar is compiled for.
#[derive(Debug)]
pub struct PillarQuery<'a> {
    /// The minion, as it signed in: the one thing here that is proved (G-01).
    pub id: &'a MinionId,
    /// What it says of itself.
    pub grains: &'a Map,
    /// The environment it asks for.
    pub saltenv: Option<&'a str>,
    /// The pillar environment it asks for.
    pub pillarenv: Option<&'a str>,
    /// Values to lay over the result, from the command line of the job.
    pub pillar_override: Option<&'a Map>,
}

/// Files from minions (`file_recv`).
#[derive(Clone, Debug)]
pub struct ReceiveLimits {
    /// They go to `<dir>/<id>/files/…`.
    pub dir: PathBuf,
    /// The largest file, in bytes. Salt's `file_recv_max_size` is 100 MiB.
    pub max_file: u64,
    /// All files of one minion together, in bytes.
    pub max_minion: u64,
}

/// What to answer.
enum Answer {
    Value(Value),
    /// For the minion alone, and signed.
    Private(Map),
}

impl Master {
    /// Acts on a minion's request and seals the reply. `None` only when the process is ending.
    pub(super) async fn attend(&self, load: Authorised) -> Option<Vec<u8>> {
        let Authorised {
            minion,
            load,
            reply,
            ..
        } = load;
        let request = match AesRequest::from_map(load) {
            Ok(request) => request,
            Err(error) => {
                tracing::info!(%minion, %error, "request not understood");
                let value = match error {
                    LoadError::UnknownCommand => Value::from(Map::new()),
                    _ => Value::from(""),
                };
                return Some(reply.seal(&value, &mut rng()));
            }
        };
        match request {
            // Memory only, or one small append.
            AesRequest::MinionEvent(request) => {
                let fired = request.fired(&minion);
                for tag in &fired.refused {
                    tracing::info!(%minion, tag, "event with a reserved tag refused");
                }
                for event in fired.events {
                    self.fire(event);
                }
                Some(reply.seal(&Value::Null, &mut rng()))
            }
            AesRequest::MinionPub(request) => {
                let value = self.publish_for(&minion, &request).await?;
                Some(reply.seal(&value, &mut rng()))
            }
            AesRequest::MinionPublish(request) => {
                let value = self.publish_and_wait_for(&minion, &request).await?;
                Some(reply.seal(&value, &mut rng()))
            }
            request => {
                let master = self.clone();
                blocking(move || master.attend_blocking(&minion, request, &reply)).await
            }
        }
    }

    /// What reads or writes the disk, or computes for long.
    fn attend_blocking(
        &self,
        minion: &MinionId,
        request: AesRequest,
        reply: &ReplyTicket,
    ) -> Vec<u8> {
        let answer = match request {
            AesRequest::Pillar(request) => Answer::Private(self.pillar(minion, &request)),
            AesRequest::ServeFile(request) => Answer::Value(self.settings().files.serve(&request)),
            AesRequest::File(command, request) => {
                Answer::Value(self.settings().files.about(command, &request))
            }
            AesRequest::List(command, request) => {
                Answer::Value(self.settings().files.list(command, &request))
            }
            AesRequest::FileEnvs(_) => {
                Answer::Value(self.settings().files.envs().into_iter().collect())
            }
            AesRequest::Return(ret) => Answer::Value(self.take_return(minion, *ret)),
            AesRequest::Mine(request) => {
                let stored = self.inner.data.change(Bank::Mine, minion, |mine| {
                    if request.clear {
                        *mine = Map::new();
                    }
                    mine.extend(request.data);
                });
                Answer::Value(self.stored(minion, "mine", stored).into())
            }
            AesRequest::MineDelete(request) => {
                let changed = self
                    .inner
                    .data
                    .change(Bank::Mine, minion, |mine| drop(mine.remove(&request.fun)));
                Answer::Value(self.stored(minion, "mine", changed).into())
            }
            AesRequest::MineFlush(_) => {
                Answer::Value(self.inner.data.remove(Bank::Mine, minion).into())
            }
            AesRequest::MineGet(request) => Answer::Value(self.mine(&request)),
            AesRequest::FileReceive(request) => {
                Answer::Value(self.receive(minion, &request).into())
            }
            AesRequest::PublishReturns(request) => {
                Answer::Value(self.peer_returns(minion, &request.jid))
            }
            AesRequest::MasterOpts(request) => Answer::Value(self.options(&request).into()),
            // No module of ours adds to top files; runners are not for minions.
            AesRequest::MasterTops(_) | AesRequest::MinionRunner(_) => {
                Answer::Value(Map::new().into())
            }
            AesRequest::RegisterResources(_) => Answer::Value(true.into()),
            // Internal to Salt's masters; syndics are not served.
            AesRequest::VerifyMinion(_) | AesRequest::SyndicReturn(_) => Answer::Value("".into()),
            // Handled by the core, or before this.
            AesRequest::RevokeAuth(_)
            | AesRequest::MinionEvent(_)
            | AesRequest::MinionPub(_)
            | AesRequest::MinionPublish(_) => Answer::Value("".into()),
        };
        let mut rng = rng();
        match answer {
            Answer::Value(value) => reply.seal(&value, &mut rng),
            Answer::Private(map) => reply.seal_private(&map, &mut rng).unwrap_or_else(|error| {
                tracing::error!(%minion, %error, "pillar not sealed");
                reply.seal_failure(&mut rng)
            }),
        }
    }

    fn stored(&self, minion: &MinionId, what: &str, result: io::Result<()>) -> bool {
        if let Err(error) = &result {
            tracing::warn!(%minion, %error, "{what} not stored");
        }
        result.is_ok()
    }

    /// Compiles the pillar, and remembers it with the grains for targeting.
    fn pillar(&self, minion: &MinionId, request: &PillarRequest) -> Map {
        let Some(grains) = &request.grains else {
            return Map::new();
        };
        if request.ext.as_ref().is_some_and(Value::is_true) {
            tracing::warn!(%minion, "external pillar on demand is not offered");
        }
        let text =
            |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        let pillar = (self.settings().pillar)(&PillarQuery {
            id: minion,
            grains,
            saltenv: text(&request.saltenv).as_deref(),
            pillarenv: text(&request.pillarenv).as_deref(),
            pillar_override: request.pillar_override.as_ref().and_then(Value::as_map),
        });
        let data = &self.inner.data;
        self.stored(minion, "grains", data.store(Bank::Grains, minion, grains));
        // What was laid over it for one job is not the minion's pillar.
        if request
            .pillar_override
            .as_ref()
            .and_then(Value::as_map)
            .is_none_or(Map::is_empty)
        {
            self.stored(minion, "pillar", data.store(Bank::Pillar, minion, &pillar));
        }
        let refreshed = Map::from([("Minion data cache refresh", minion.as_str())]);
        self.fire(Event::new(tag::minion_refresh(minion), refreshed));
        pillar
    }

    /// A result: kept, told on the bus, handed to whoever waits for it.
    fn take_return(&self, minion: &MinionId, mut ret: Return) -> Value {
        // The load's id has been checked to be this one (K-03); extra fields may not name another.
        ret.id = minion.clone();
        let standalone = ret.jid.is_none();
        let jid = ret
            .jid
            .get_or_insert_with(|| Jid::from_unix_micros(unix_micros()))
            .clone();
        let load = ret.to_map();
        let mut told = tag::job_ret(&jid, minion);
        if let Some(jobs) = &self.settings().jobs {
            let stored = match jobs.store_return(&jid, minion, &load) {
                Ok(Stored::Unsolicited) => match jobs.job(&jid) {
                    // Meant for others. Whoever waits for them must not take this for an answer (E-02).
                    Ok(Some(_)) => {
                        told = format!("salt/job/{jid}/unsolicited/{minion}");
                        tracing::info!(%minion, %jid, "return for a job that was not for this minion");
                        jobs.store_unsolicited(&jid, minion, &load).map(drop)
                    }
                    // A `salt-call`, which makes its own job.
                    Ok(None) => jobs.store_unsolicited(&jid, minion, &load).map(drop),
                    Err(error) => Err(error),
                },
                Ok(Stored::Conflict) => {
                    tracing::warn!(%minion, %jid, "a second, different return; kept beside the first");
                    Ok(())
                }
                // A retry after a lost answer: everybody has been told.
                Ok(Stored::Again) => return Value::Null,
                Ok(Stored::First) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = stored {
                // Without an answer the minion keeps the return and sends it again.
                tracing::error!(%minion, %jid, %error, "return not stored");
                return Value::Bool(false);
            }
        }
        self.fire(Event::new(told, load));
        if !standalone {
            self.inner.waiting.hand_on(&ret);
        }
        Value::Null
    }

    /// `_mine_get`. Only what minions put there, and only of minions that are accepted.
    fn mine(&self, request: &MineGet) -> Value {
        let functions: Vec<String> = match &request.fun {
            Value::Str(names) => names
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            Value::List(names) => names
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => return Map::new().into(),
        };
        // Pillar is secret: a minion may ask whether a value is this, not what begins with it.
        let kind = match request
            .tgt_type
            .as_deref()
            .or(request.expr_form.as_deref())
            .unwrap_or("glob")
        {
            "pillar" | "pillar_pcre" => "pillar_exact",
            "compound" => "compound_pillar_exact",
            kind => kind,
        };
        let Ok(target) = Target::parse(kind, &request.tgt, ":") else {
            return Map::new().into();
        };
        let selected = self.select(&target, false).minions;
        let mut by_function = Map::new();
        for id in selected {
            let Some(mine) = id
                .parse()
                .ok()
                .and_then(|id| self.inner.data.load(Bank::Mine, &id))
            else {
                continue;
            };
            for function in &functions {
                if let Some(value) = mine.get(function) {
                    let value = unwrapped(value);
                    let entry =
                        by_function.get_or_insert_with(function.as_str(), || Map::new().into());
                    if let Value::Map(entry) = entry {
                        entry.insert(id.as_str(), value);
                    }
                }
            }
        }
        match functions.as_slice() {
            [only] if request.fun.as_str().is_some() => by_function
                .remove(only)
                .unwrap_or_else(|| Map::new().into()),
            _ => by_function.into(),
        }
    }

    /// Writes a part of a file from a minion below its own directory (P-04).
    fn receive(&self, minion: &MinionId, request: &FileReceive) -> bool {
        let Some(limits) = &self.settings().receive else {
            return false;
        };
        match receive(limits, minion, request) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%minion, %error, "file from a minion refused");
                false
            }
        }
    }

    fn options(&self, request: &MasterOpts) -> Map {
        let roots: Map = self
            .settings()
            .files
            .envs()
            .into_iter()
            .map(|env| (env, Value::List(Vec::new())))
            .collect();
        let mut options = Map::from([
            ("file_roots", Value::from(roots)),
            ("top_file_merging_strategy", "merge".into()),
            ("env_order", Value::List(Vec::new())),
            ("default_top", "base".into()),
        ]);
        for key in ["top_file_merging_strategy", "env_order", "default_top"] {
            if let Some(value) = self.settings().options.get(key) {
                options.insert(key, value.clone());
            }
        }
        if request.env_only == Some(true) {
            return options;
        }
        options.extend([
            ("renderer", Value::from("jinja|yaml")),
            ("failhard", false.into()),
            ("state_top", "top.sls".into()),
            ("state_top_saltenv", Value::Null),
            ("nodegroups", self.settings().nodegroups.clone().into()),
            ("state_auto_order", true.into()),
            ("state_events", false.into()),
            ("state_aggregate", false.into()),
            ("jinja_env", Map::new().into()),
            ("jinja_sls_env", Map::new().into()),
            ("jinja_lstrip_blocks", false.into()),
            ("jinja_trim_blocks", false.into()),
        ]);
        for (key, value) in self.settings().options.iter() {
            if options.get_value(key).is_some() {
                options.insert(key.clone(), value.clone());
            }
        }
        options
    }

    /// `minion_pub`: a peer publish that the core found to be allowed.
    async fn publish_for(&self, minion: &MinionId, request: &MinionPublish) -> Option<Value> {
        let Some(load) = peer_load(minion, request) else {
            return Some(Map::new().into());
        };
        let Some(published) = self.publish_load(load, minion.as_str()).await? else {
            return Some(Map::new().into());
        };
        if let Some(dir) = &self.settings().cache_dir {
            let dir = dir.join("publish_auth");
            let noted = crate::pki::make_dir(&dir).and_then(|()| {
                let path = dir.join(published.jid.as_str());
                crate::pki::replace_file(&path, minion.as_str().as_bytes(), 0o600)
            });
            self.stored(minion, "peer publish", noted);
        }
        Some(
            Map::from([
                ("jid", Value::from(&published.jid)),
                ("minions", published.minions.iter().collect()),
            ])
            .into(),
        )
    }

    /// `minion_publish`: the same, answered with the results.
    async fn publish_and_wait_for(
        &self,
        minion: &MinionId,
        request: &MinionPublish,
    ) -> Option<Value> {
        let Some(load) = peer_load(minion, request) else {
            return Some(Map::new().into());
        };
        let seconds = [&request.timeout, &request.tmo]
            .into_iter()
            .flatten()
            .find_map(|value| match value {
                Value::Int(n) => u64::try_from(*n).ok(),
                Value::Str(text) => text.parse().ok(),
                _ => None,
            });
        let wait = Duration::from_secs(seconds.unwrap_or(5).min(60));
        let Some(published) = self.publish_load(load, minion.as_str()).await? else {
            return Some(Map::new().into());
        };
        let mut returns = published.returns.within(wait);
        let full = request.form.as_deref() == Some("full");
        let mut results = Map::new();
        while let Some(ret) = returns.next().await {
            let value = if full {
                let mut full = Map::from([("ret", ret.value)]);
                if let Some(out) = ret.out {
                    full.insert("out", out);
                }
                full.into()
            } else {
                ret.value
            };
            results.insert(ret.id.as_str(), value);
        }
        Some(results.into())
    }

    /// `pub_ret`: the returns of a peer publish, for the minion that made it.
    fn peer_returns(&self, minion: &MinionId, jid: &str) -> Value {
        let nothing = || Value::from(Map::new());
        let (Ok(jid), Some(dir), Some(jobs)) = (
            jid.parse::<Jid>(),
            &self.settings().cache_dir,
            &self.settings().jobs,
        ) else {
            return nothing();
        };
        let owner =
            fs::read_to_string(dir.join("publish_auth").join(jid.as_str())).unwrap_or_default();
        if owner != minion.as_str() {
            return nothing();
        }
        let returns = jobs.returns(&jid).unwrap_or_default();
        let shape = |ret: &Value| {
            let mut map = Map::from([("ret", ret.get("return").cloned().unwrap_or_default())]);
            if let Some(out) = ret.get("out") {
                map.insert("out", out.clone());
            }
            map
        };
        returns
            .iter()
            .map(|(id, ret)| (id.clone(), shape(ret)))
            .collect::<Map>()
            .into()
    }
}

/// A mine entry of stock minions may be wrapped together with who may read it; such an entry is for nobody here.
fn unwrapped(value: &Value) -> Value {
    match value.get("__saltmine__acl__") {
        Some(_) => Value::Null,
        None => value.clone(),
    }
}

/// What a peer publish becomes: only known fields, and the name of who asked.
fn peer_load(minion: &MinionId, request: &MinionPublish) -> Option<Map> {
    let args = match &request.arg {
        Value::List(args) => args.clone(),
        Value::Str(text) => text.split_whitespace().map(Value::from).collect(),
        Value::Null => Vec::new(),
        _ => return None,
    };
    Some(Map::from([
        ("fun", request.function.to_value()),
        ("arg", args.into()),
        ("tgt", request.tgt.clone()),
        (
            "tgt_type",
            request.tgt_type.as_deref().unwrap_or("glob").into(),
        ),
        ("ret", request.ret.as_deref().unwrap_or("").into()),
        ("id", minion.as_str().into()),
    ]))
}

fn receive(limits: &ReceiveLimits, minion: &MinionId, request: &FileReceive) -> io::Result<()> {
    let refused = |text: &str| io::Error::new(io::ErrorKind::PermissionDenied, text.to_owned());
    let end = request.loc.saturating_add(request.data.len() as u64);
    if end > limits.max_file || request.size.is_some_and(|size| size > limits.max_file) {
        return Err(refused("larger than file_recv_max_size"));
    }
    if request.path.iter().any(|component| component.contains('/')) {
        return Err(refused("not a list of plain names"));
    }
    let url = SaltUrl::new(&request.path.join("/"), None)
        .map_err(|_| refused("a path out of the directory"))?;
    let root = limits.dir.join(minion.as_str()).join("files");
    if used(&root)?.saturating_add(request.data.len() as u64) > limits.max_minion {
        return Err(refused("more than one minion may store"));
    }
    let mut components: Vec<&str> = url.components().collect();
    let name = components.pop().ok_or_else(|| refused("no name"))?;
    let mut dir = root;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)?;
    for component in components {
        dir.push(component);
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Only this process writes here, and it makes no links.
        if !fs::symlink_metadata(&dir)?.is_dir() {
            return Err(refused("a file where a directory should be"));
        }
    }
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(request.loc == 0)
        .mode(0o600)
        .custom_flags(no_follow);
    let mut file = options.open(dir.join(name))?;
    let written = file.metadata()?.len();
    if request.loc > written {
        return Err(refused("a part behind a missing one"));
    }
    file.seek(SeekFrom::Start(request.loc))?;
    file.write_all(&request.data)
}

/// The bytes below a directory, without following links.
fn used(dir: &std::path::Path) -> io::Result<u64> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut total = 0_u64;
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let bytes = if metadata.is_dir() {
            used(&entry.path())?
        } else {
            metadata.len()
        };
        total = total.saturating_add(bytes);
    }
    Ok(total)
}

impl Master {
    /// Events that only some releases have.
    pub(super) fn has_bare_job_event(&self) -> bool {
        self.settings().release != Release::V3008
    }

    /// The ids a job was stored for, as a set.
    pub(super) fn ids(minions: &[String]) -> BTreeSet<MinionId> {
        minions.iter().filter_map(|id| id.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::testing::Dir;

    fn part(path: &[&str], loc: u64, data: &[u8]) -> FileReceive {
        FileReceive {
            path: path.iter().map(|name| (*name).to_owned()).collect(),
            size: None,
            loc,
            data: data.to_vec(),
            extra: Map::new(),
        }
    }

    // P-04
    #[test]
    fn files_from_a_minion_stay_in_its_directory_and_its_quota() {
        let dir = Dir::new("receive");
        let limits = ReceiveLimits {
            dir: dir.0.join("minions"),
            max_file: 8,
            max_minion: 12,
        };
        let id: MinionId = "web1".parse().unwrap();
        let take = |request: FileReceive| receive(&limits, &id, &request);

        take(part(&["tmp", "a"], 0, b"01234")).unwrap();
        take(part(&["tmp", "a"], 5, b"678")).unwrap();
        let stored = dir.0.join("minions/web1/files/tmp/a");
        assert_eq!(fs::read(&stored).unwrap(), b"01234678");

        assert!(take(part(&["tmp", "a"], 8, b"9")).is_err(), "over max_file");
        assert!(take(part(&["b"], 0, b"01234")).is_err(), "over max_minion");
        assert!(take(part(&["c"], 3, b"x")).is_err(), "a hole");
        for path in [
            &["..", "x"][..],
            &["a/b"],
            &["/etc/x"],
            &[],
            &["tmp", "..", "..", "x"],
        ] {
            assert!(take(part(path, 0, b"x")).is_err(), "{path:?}");
        }
        std::os::unix::fs::symlink("/tmp", dir.0.join("minions/web1/files/link")).unwrap();
        assert!(take(part(&["link", "x"], 0, b"x")).is_err(), "a link");
    }
}
