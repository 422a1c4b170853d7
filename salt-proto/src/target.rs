//! Who a job is for.

use std::fmt;
use std::str::FromStr;

use crate::value::{Map, Value};

/// How an expression is read. The names are those of `tgt_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetKind {
    /// `glob`: a shell pattern over the whole id.
    Glob,
    /// `pcre`: a regular expression anchored at the start of the id.
    Pcre,
    /// `list`: ids, as a list or comma-separated.
    List,
    /// `grain`: `key:pattern`, a shell pattern over a grain.
    Grain,
    /// `grain_pcre`: `key:expression`, a regular expression over a grain.
    GrainPcre,
    /// `pillar`: `key:pattern`, a shell pattern over the pillar.
    Pillar,
    /// `pillar_pcre`: `key:expression`, a regular expression over the pillar.
    PillarPcre,
    /// `pillar_exact`: `key:value`, equality in the pillar.
    PillarExact,
    /// `ipcidr`: an address or a network.
    IpCidr,
    /// `nodegroup`: a named compound expression.
    NodeGroup,
    /// `compound`: terms with `and`, `or`, `not` and parentheses.
    Compound,
    /// `compound_pillar_exact`: the same with exact pillar terms.
    CompoundPillarExact,
    /// `range`: needs a library that Salt does not ship; never matches.
    Range,
}

impl TargetKind {
    /// The kind of that `tgt_type`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "glob" => Self::Glob,
            "pcre" => Self::Pcre,
            "list" => Self::List,
            "grain" => Self::Grain,
            "grain_pcre" => Self::GrainPcre,
            "pillar" => Self::Pillar,
            "pillar_pcre" => Self::PillarPcre,
            "pillar_exact" => Self::PillarExact,
            "ipcidr" => Self::IpCidr,
            "nodegroup" => Self::NodeGroup,
            "compound" => Self::Compound,
            "compound_pillar_exact" => Self::CompoundPillarExact,
            "range" => Self::Range,
            _ => return None,
        })
    }

    /// The `tgt_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Glob => "glob",
            Self::Pcre => "pcre",
            Self::List => "list",
            Self::Grain => "grain",
            Self::GrainPcre => "grain_pcre",
            Self::Pillar => "pillar",
            Self::PillarPcre => "pillar_pcre",
            Self::PillarExact => "pillar_exact",
            Self::IpCidr => "ipcidr",
            Self::NodeGroup => "nodegroup",
            Self::Compound => "compound",
            Self::CompoundPillarExact => "compound_pillar_exact",
            Self::Range => "range",
        }
    }
}

/// Which line of Salt's releases to agree with where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Release {
    /// 3006: keys of maps are compared with the pattern as it is written.
    V3006,
    /// 3007.
    V3007,
    /// 3008: compound terms `M@` (a minion id) and `T@` (a resource) exist.
    #[default]
    V3008,
}

/// Why a target can match nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// No such `tgt_type`.
    #[error("unknown kind of target `{0}`")]
    UnknownKind(String),
    /// The expression is neither text nor, where that is allowed, a list of texts.
    #[error("the target has the wrong type")]
    Type,
    /// The regular expression is not one, or too large.
    #[error("bad regular expression `{0}`")]
    Regex(String),
    /// Not an address and not a network, or one with bits behind its mask.
    #[error("`{0}` is neither an address nor a network")]
    Address(String),
    /// The compound expression is malformed.
    #[error("malformed compound expression")]
    Syntax,
    /// Longer than [`Target::MAX_LEN`] or nested too deeply.
    #[error("the target is too large")]
    TooLarge,
}

/// What a target is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The minion's id.
    pub id: &'a str,
    /// Its grains.
    pub grains: &'a Map,
    /// Its pillar.
    pub pillar: &'a Map,
    /// Named groups. Minions have none; the master expands them.
    pub nodegroups: &'a Map,
}

/// A minion as the master knows it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The id of an accepted key.
    pub id: &'a str,
    /// The grains it last sent, if any are cached.
    pub grains: Option<&'a Map>,
    /// The pillar last compiled for it, if any is cached.
    pub pillar: Option<&'a Map>,
}

/// How the master reads a target.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Named groups.
    pub nodegroups: &'a Map,
    /// Whether minions without cached data may be meant, as for a publish; the
    /// mine asks without.
    pub greedy: bool,
    /// Whether the master caches grains and pillar at all (`minion_data_cache`);
    /// without, every minion matches a grain or pillar target.
    pub data_cache: bool,
    /// The release to agree with.
    pub release: Release,
}

/// Whom the master expects to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The ids, in the order of the candidates.
    pub minions: Vec<String>,
    /// Ids the target lists that have no accepted key, in the order listed.
    pub missing: Vec<String>,
}

/// Whom a job is for.
#[derive(Clone)]
pub struct Target {
    kind: TargetKind,
    expression: Value,
    delimiter: String,
}

impl Target {
    /// The longest expression in bytes.
    pub const MAX_LEN: usize = 1 << 20;

    /// A shell pattern over ids.
    pub fn glob(pattern: &str) -> Self {
        let _ = pattern;
        unimplemented!()
    }

    /// A list of ids.
    pub fn list<I: AsRef<str>>(ids: impl IntoIterator<Item = I>) -> Self {
        let _ = ids.into_iter();
        unimplemented!()
    }

    /// Reads `tgt` as a `tgt_type` says; `delimiter` (usually `:`) separates keys
    /// of grain and pillar targets.
    ///
    /// # Errors
    ///
    /// If the target can match nobody, whatever the minions are.
    pub fn parse(tgt_type: &str, tgt: &Value, delimiter: &str) -> Result<Self, TargetError> {
        let _ = (tgt_type, tgt, delimiter);
        unimplemented!()
    }

    /// How the expression is read.
    pub fn kind(&self) -> TargetKind {
        self.kind
    }

    /// The expression: text or a list.
    pub fn to_value(&self) -> Value {
        self.expression.clone()
    }

    /// What separates keys.
    pub fn delimiter(&self) -> &str {
        &self.delimiter
    }

    /// Whether a minion with these facts is meant: the minion's reading.
    pub fn matches(&self, minion: &Facts<'_>) -> bool {
        self.matches_as(minion, Release::default())
    }

    /// The same as a minion of that release reads it.
    pub fn matches_as(&self, minion: &Facts<'_>, release: Release) -> bool {
        let _ = (minion, release);
        unimplemented!()
    }

    /// Whom the master expects to answer: the master's reading.
    pub fn select(&self, candidates: &[Candidate<'_>], reading: &Reading<'_>) -> Selection {
        let _ = (candidates, reading);
        unimplemented!()
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.expression, &self.delimiter)
            == (other.kind, &other.expression, &other.delimiter)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({} {})", self.kind.name(), self.expression)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.expression, f)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// A compound expression.
    fn from_str(expression: &str) -> Result<Self, TargetError> {
        Self::parse("compound", &expression.into(), ":")
    }
}
