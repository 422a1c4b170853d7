//! `salt://` addresses: no way out of the tree.

use std::fmt;
use std::str::FromStr;

/// The address of a file on the master's file server: `salt://path?saltenv=dev`.
///
/// The path is a list of plain components: nothing in it leads upwards, is
/// absolute, or is empty. A backslash separates like a slash, as in Salt. Only
/// `?saltenv=` is special; any other `?` belongs to the name, and so does `#`.
/// A `|` before the path (Salt's escape for names with a query) is kept by
/// [`Display`](fmt::Display) and is no part of [`path`](Self::path).
/// Observed on Salt 3008.3, `salt.utils.url`.
///
/// ```
/// use salt_proto::SaltUrl;
///
/// let url: SaltUrl = "salt://web/nginx.conf?saltenv=dev".parse()?;
/// assert_eq!(url.path(), "web/nginx.conf");
/// assert_eq!(url.saltenv(), Some("dev"));
/// assert!("salt://../etc/shadow".parse::<SaltUrl>().is_err());
/// # Ok::<(), salt_proto::InvalidUrl>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaltUrl {
    path: String,
    saltenv: Option<String>,
    escaped: bool,
}

/// Why a text is not the address of a file on the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// Another scheme, or none.
    #[error("the address does not start with salt://")]
    Scheme,
    /// `..` as a component.
    #[error("the path leads out of the tree")]
    Escapes,
    /// No component at all.
    #[error("the path is empty")]
    Empty,
    /// NUL, which no file name holds.
    #[error("the path contains a null byte")]
    Nul,
    /// `?saltenv=` inside the path, which no address can express.
    #[error("the path contains a query")]
    Query,
    /// An environment name that could be read as a path out of a directory.
    #[error("the environment name is not usable")]
    Saltenv,
}

const SCHEME: &str = "salt://";
const QUERY: &str = "?saltenv=";

impl SaltUrl {
    /// An address from a path relative to the tree and an environment.
    ///
    /// Empty and `.` components are dropped, so `a//./b/` is `a/b`.
    ///
    /// # Errors
    ///
    /// If the path is empty or leads upwards, or the environment is not usable.
    pub fn new(path: &str, saltenv: Option<&str>) -> Result<Self, InvalidUrl> {
        if path.contains(QUERY) {
            return Err(InvalidUrl::Query);
        }
        let path = plain(path)?;
        Ok(Self {
            saltenv: saltenv
                .filter(|env| !env.is_empty())
                .map(environment)
                .transpose()?,
            // Printed bare, the name's own bar would be read as the escape.
            escaped: path.starts_with('|'),
            path,
        })
    }

    /// The path: one or more plain components joined by `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The components of the path, none of them empty, `.` or `..`.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.path.split('/')
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The environment, if the address names one.
    pub fn saltenv(&self) -> Option<&str> {
        self.saltenv.as_deref()
    }
}

fn plain(path: &str) -> Result<String, InvalidUrl> {
    if path.contains('\0') {
        return Err(InvalidUrl::Nul);
    }
    let mut plain = String::with_capacity(path.len());
    for component in path.split(['/', '\\']) {
        match component {
            "" | "." => {}
            ".." => return Err(InvalidUrl::Escapes),
            name => {
                if !plain.is_empty() {
                    plain.push('/');
                }
                plain.push_str(name);
            }
        }
    }
    if plain.is_empty() {
        return Err(InvalidUrl::Empty);
    }
    Ok(plain)
}

/// Environment names become directory names: `feature/x` is one (git branches
/// are environments), anything that climbs or hides is not.
fn environment(name: &str) -> Result<String, InvalidUrl> {
    let usable = name.len() <= 255
        && !name.contains(|c: char| c == '\\' || c.is_control())
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if usable {
        Ok(name.to_owned())
    } else {
        Err(InvalidUrl::Saltenv)
    }
}

impl FromStr for SaltUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidUrl::Scheme)?;
        let (path, saltenv) = match rest.split_once(QUERY) {
            Some((path, env)) => (path, Some(env)),
            None => (rest, None),
        };
        let unescaped = path.strip_prefix('|');
        let mut url = Self::new(unescaped.unwrap_or(path), saltenv)?;
        url.escaped |= unescaped.is_some();
        Ok(url)
    }
}

impl fmt::Display for SaltUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = if self.escaped { "|" } else { "" };
        write!(f, "{SCHEME}{escape}{}", self.path)?;
        match &self.saltenv {
            Some(env) => write!(f, "{QUERY}{env}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, saltenv: Option<&str>) {
        let url: SaltUrl = text.parse().unwrap();
        assert_eq!((url.path(), url.saltenv()), (path, saltenv), "{text}");
        assert_eq!(url.to_string().parse(), Ok(url), "{text}");
    }

    #[test]
    fn addresses_are_read_as_salt_reads_them() {
        check("salt://a/b", "a/b", None);
        check("salt:///a", "a", None);
        check("salt://a//./b/", "a/b", None);
        check("salt://a\\b", "a/b", None);
        check("salt://a b?x=1", "a b?x=1", None);
        check("salt://a#f?saltenv=x", "a#f", Some("x"));
        check("salt://|a?b", "a?b", None);
        check("salt://||a", "|a", None);
        check("salt:///|a", "|a", None);
        check("salt://|a?saltenv=dev", "a", Some("dev"));
        check("salt://a?saltenv=", "a", None);
        check("salt://a?saltenv=feature/x", "a", Some("feature/x"));
        check("salt://a%2e%2e/b", "a%2e%2e/b", None);
    }

    // P-01, P-02
    #[test]
    fn nothing_leads_out_of_the_tree() {
        for (text, why) in [
            ("salt://../a", InvalidUrl::Escapes),
            ("salt://a/../b", InvalidUrl::Escapes),
            ("salt://a\\..\\b", InvalidUrl::Escapes),
            ("salt://|../a", InvalidUrl::Escapes),
            ("salt://", InvalidUrl::Empty),
            ("salt://|", InvalidUrl::Empty),
            ("salt://./", InvalidUrl::Empty),
            ("salt://a\0b", InvalidUrl::Nul),
            ("http://a", InvalidUrl::Scheme),
            ("|salt://a", InvalidUrl::Scheme),
            ("salt://a?saltenv=../x", InvalidUrl::Saltenv),
            ("salt://a?saltenv=/x", InvalidUrl::Saltenv),
            ("salt://a?saltenv=x\n", InvalidUrl::Saltenv),
        ] {
            assert_eq!(text.parse::<SaltUrl>(), Err(why), "{text:?}");
        }
    }
}
