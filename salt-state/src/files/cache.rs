//! What the minion keeps of the files it fetched, where Salt keeps it.

use std::path::{Path, PathBuf};

use super::hash::Checksum;
use super::source::{self, Failure, os_error};
use crate::context::{Context, MinionData};
use crate::plan::{Done, Plan};
use crate::registry::CallError;
use crate::system::WriteOptions;

/// Where the cache has, or would have, a file; `None` for files of this machine and for
/// addresses that lead out of the cache.
pub(crate) fn place(url: &str, saltenv: &str, minion: &MinionData) -> Option<PathBuf> {
    let cache = minion
        .config
        .str("cachedir")
        .unwrap_or("/var/cache/salt/minion");
    let cache = Path::new(cache);
    if let Some(rest) = url.strip_prefix("salt://") {
        let (path, environment) = match rest.split_once("?saltenv=") {
            Some((path, environment)) => (path, environment),
            None => (rest, saltenv),
        };
        return Some(cache.join("files").join(environment).join(path));
    }
    if !source::is_remote(url) {
        return None;
    }
    let (_, rest) = url.split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.replace(':', "");
    let below = format!("{host}/{}", path.replacen('?', "-", 1));
    let plain = below
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..");
    plain.then(|| cache.join("extrn_files").join(saltenv).join(below))
}

/// The file beside a kept one that has its `ETag`.
fn tag_of(kept: &Path) -> PathBuf {
    let mut name = kept.as_os_str().to_owned();
    name.push(".etag");
    name.into()
}

/// A file of a web server.
pub(crate) struct Fetched {
    /// What is in it.
    pub(crate) content: Vec<u8>,
    /// What has to be kept of it; nothing when it came from the cache.
    pub(crate) keep: Option<Keep>,
}

/// How a file of a web server is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// What it has to be; a kept file that is so is not fetched again.
    pub(crate) sum: Option<&'a Checksum>,
    /// Ask only for what has changed since it was kept.
    pub(crate) use_etag: bool,
    /// Without a checksum, what is kept is good enough.
    pub(crate) trust_kept: bool,
    /// The server has to prove who it is.
    pub(crate) verify_ssl: bool,
}

/// Fetches a file of a web server, unless what is kept of it will do.
///
/// # Errors
///
/// What the server says, and files that cannot be read.
pub(crate) fn fetch(
    url: &str,
    saltenv: &str,
    ask: Ask<'_>,
    context: &Context<'_>,
) -> Result<Fetched, Failure> {
    let to = place(url, saltenv, context.minion);
    let kept = match &to {
        Some(to) => context
            .system
            .read(to)
            .map_err(|error| os_error(error, to))?,
        None => None,
    };
    if let (Some(kept), Some(sum)) = (&kept, ask.sum)
        && sum.fits(kept)?
    {
        return Ok(Fetched {
            content: kept.clone(),
            keep: None,
        });
    }
    if !ask.use_etag {
        if ask.trust_kept
            && ask.sum.is_none()
            && let Some(kept) = kept
        {
            return Ok(Fetched {
                content: kept,
                keep: None,
            });
        }
        let content = source::download(url, ask.verify_ssl, context)?;
        return Ok(Fetched {
            keep: to.map(|to| Keep::new(to, &content, None)),
            content,
        });
    }
    let known = match (&to, &kept) {
        (Some(to), Some(_)) => context.system.text(&tag_of(to)).ok().flatten(),
        _ => None,
    };
    let answer = source::download_changed(url, ask.verify_ssl, known.as_deref(), context)?;
    Ok(match (answer, kept) {
        (source::Changed::No, Some(kept)) => Fetched {
            content: kept,
            keep: None,
        },
        // Nobody has what has not changed: ask for all of it.
        (source::Changed::No, None) => Fetched {
            content: source::download(url, ask.verify_ssl, context)?,
            keep: None,
        },
        (source::Changed::Yes { content, etag }, _) => Fetched {
            keep: to.map(|to| Keep::new(to, &content, etag)),
            content,
        },
    })
}

/// Fetches a file of a web server into the cache; `None` for an address that leads out
/// of it.
pub(crate) fn take(
    url: &str,
    saltenv: &str,
    context: &Context<'_>,
) -> Result<Option<PathBuf>, CallError> {
    let Some(to) = place(url, saltenv, context.minion) else {
        return Ok(None);
    };
    let content = source::download(url, true, context)?;
    Keep::new(to.clone(), &content, None).write(context)?;
    Ok(Some(to))
}

/// A file to keep.
pub(crate) struct Keep {
    to: PathBuf,
    content: Vec<u8>,
    etag: Option<String>,
}

impl Keep {
    fn new(to: PathBuf, content: &[u8], etag: Option<String>) -> Self {
        Self {
            to,
            content: content.to_vec(),
            etag,
        }
    }

    fn write(&self, context: &Context<'_>) -> Result<(), CallError> {
        let options = WriteOptions::new().mode(0o644);
        if let Some(parent) = self.to.parent() {
            context
                .system
                .create_dir_all(parent, 0o700)
                .map_err(|error| os_error(error, parent))?;
        }
        let put = |path: &Path, content: &[u8]| {
            context
                .system
                .write(path, content, &options)
                .map_err(|error| os_error(error, path))
        };
        put(&self.to, &self.content)?;
        match &self.etag {
            Some(etag) => put(&tag_of(&self.to), etag.as_bytes()),
            None => Ok(()),
        }
    }
}

/// What a state does in the cache after its own work.
#[derive(Default)]
pub(crate) enum Afterwards {
    /// Nothing.
    #[default]
    Nothing,
    /// Has the cache take a file of the state tree, where the state changed something.
    Take(String),
    /// Keeps what was fetched, whether the state changed something or not.
    Keep(Keep),
    /// Forgets what is kept.
    Forget(PathBuf),
}

impl Afterwards {
    fn happen(&self, context: &Context<'_>) -> Result<(), CallError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Take(url) => {
                let call = crate::args::Args::new().keyword("path", url.as_str());
                context.registry.call("cp.cache_file", &call, context)?;
                Ok(())
            }
            Self::Keep(keep) => keep.write(context),
            Self::Forget(path) => match context.system.link_metadata(path) {
                Ok(Some(_)) => Ok(context.system.remove(path)?),
                _ => Ok(()),
            },
        }
    }

    /// Adds this to a plan: what is kept is no change, and a dry run keeps nothing.
    pub(crate) fn follow(self, mut plan: Plan) -> Plan {
        let applies = plan.apply.take();
        match (&self, applies) {
            (Self::Nothing, applies) => plan.apply = applies,
            (_, Some(apply)) => {
                plan.apply = Some(Box::new(move |context| {
                    let done = apply(context)?;
                    if done.result != Some(Some(false)) {
                        self.happen(context)?;
                    }
                    Ok(done)
                }));
            }
            (Self::Keep(_) | Self::Forget(_), None) if plan.result == Some(true) => {
                plan.test_result.get_or_insert(Some(true));
                plan.apply = Some(Box::new(move |context| {
                    self.happen(context)?;
                    Ok(Done::as_planned())
                }));
            }
            (_, None) => {}
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use salt_proto::{Map, Value};

    use super::*;
    use crate::plan::Changes;
    use crate::registry::Registry;
    use crate::system::{FakeSystem, Observe, Output};

    fn minion() -> MinionData {
        MinionData {
            config: Map::from([("cachedir", Value::from("/cache"))]),
            ..MinionData::default()
        }
    }

    #[test]
    fn what_is_kept_has_the_place_that_salt_gives_it() {
        let place = |url: &str| {
            place(url, "base", &minion()).map(|path| path.to_string_lossy().into_owned())
        };

        assert_eq!(
            place("http://u:p@h:80/a/b.txt").as_deref(),
            Some("/cache/extrn_files/base/h80/a/b.txt")
        );
        assert_eq!(
            place("https://h/a?b=c").as_deref(),
            Some("/cache/extrn_files/base/h/a-b=c")
        );
        assert_eq!(
            place("salt://a?saltenv=dev").as_deref(),
            Some("/cache/files/dev/a")
        );
        assert_eq!(place("http://h/../../etc/passwd"), None);
        assert_eq!(place("/etc/passwd"), None);
    }

    #[test]
    fn a_file_that_has_not_changed_is_taken_from_the_cache() {
        let machine = FakeSystem::new()
            .file("/cache/extrn_files/base/h/a", "kept")
            .file("/cache/extrn_files/base/h/a.etag", "\"1\"")
            .command("curl", |command| {
                assert!(command.line().contains("If-None-Match: \"1\""));
                let mut output = Output::success("");
                output.stderr = b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec();
                output
            });
        let (registry, minion) = (Registry::new(), minion());
        let context = Context::new(&registry, &machine, &minion);
        let ask = Ask {
            sum: None,
            use_etag: true,
            trust_kept: false,
            verify_ssl: true,
        };

        let fetched = fetch("http://h/a", "base", ask, &context).unwrap();

        assert_eq!(fetched.content, b"kept");
        assert!(fetched.keep.is_none());
    }

    #[test]
    fn what_was_fetched_is_kept_with_its_tag_though_nothing_changes() {
        let machine = FakeSystem::new();
        let (registry, minion) = (Registry::new(), minion());
        let context = Context::new(&registry, &machine, &minion);
        let keep = Keep::new(
            "/cache/extrn_files/base/h/a".into(),
            b"new",
            Some("\"2\"".into()),
        );
        let plan = Afterwards::Keep(keep).follow(Plan::unchanged("there"));

        let outcome = plan.carry_out(&context).unwrap();

        assert_eq!(outcome.changes, Changes::none());
        let text = |path: &str| machine.text(Path::new(path)).unwrap();
        assert_eq!(text("/cache/extrn_files/base/h/a").as_deref(), Some("new"));
        assert_eq!(
            text("/cache/extrn_files/base/h/a.etag").as_deref(),
            Some("\"2\"")
        );
    }
}
