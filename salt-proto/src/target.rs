//! Who a job is for.
//!
//! A [`Target`] is read in two ways. Minions decide for themselves whether they
//! are meant ([`Target::matches`]), with all their facts at hand. The master
//! estimates whom to wait for ([`Target::select`]), with the facts it has cached.
//! The two differ in places, and both are Salt's: the tables recorded from Salt
//! 3006.27, 3007.15 and 3008.3 are the tests.
//!
//! What cannot be resolved matches nothing and says why ([`TargetError`]).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::value::{Map, Value};

mod address;
mod compound;
mod data;
mod glob;
mod pattern;

use address::Subnet;
use compound::{Compound, Ids, Rules, Term};
use data::{Comparison, Expression};
use glob::Glob;
use pattern::Pattern;

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
    /// A range, `%name`, which needs a library that Salt does not ship. Inside a
    /// compound expression it makes the whole of it match nobody.
    #[error("range expressions are not supported")]
    Range,
    /// No such nodegroup.
    #[error("unknown nodegroup `{0}`")]
    UnknownNodegroup(String),
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
///
/// Cheap to clone; patterns are compiled once, when it is parsed.
///
/// ```
/// use salt_proto::{Facts, Map, Target};
///
/// let target: Target = "web* and G@os:Debian".parse()?;
/// let grains = Map::from([("os", "Debian")]);
/// let minion = Facts { id: "web1", grains: &grains, pillar: &Map::new(), nodegroups: &Map::new() };
/// assert!(target.matches(&minion));
/// # Ok::<(), salt_proto::target::TargetError>(())
/// ```
#[derive(Clone)]
pub struct Target {
    kind: TargetKind,
    expression: Value,
    delimiter: String,
    plan: Arc<Plan>,
}

/// A target, compiled as far as it can be without knowing the nodegroups.
enum Plan {
    Term(Term),
    NodeGroup(String),
    Words(Vec<String>),
    /// A compound expression without nodegroups, as Salt 3008 reads it and as
    /// older releases do.
    Compound {
        current: Compound,
        older: Compound,
    },
    Never,
}

impl Target {
    /// The longest expression in bytes.
    pub const MAX_LEN: usize = 1 << 20;

    /// A shell pattern over ids.
    pub fn glob(pattern: &str) -> Self {
        Self {
            kind: TargetKind::Glob,
            expression: pattern.into(),
            delimiter: ":".to_owned(),
            plan: Arc::new(Plan::Term(Term::Glob(Glob::new(pattern)))),
        }
    }

    /// A list of ids.
    pub fn list<I: AsRef<str>>(ids: impl IntoIterator<Item = I>) -> Self {
        let ids: Vec<String> = ids.into_iter().map(|id| id.as_ref().to_owned()).collect();
        Self {
            kind: TargetKind::List,
            expression: ids.iter().collect(),
            delimiter: ":".to_owned(),
            plan: Arc::new(Plan::Term(Term::List(Ids::new(ids)))),
        }
    }

    /// Reads `tgt` as a `tgt_type` says.
    ///
    /// `delimiter`, usually `:`, separates the keys of `grain`, `grain_pcre` and
    /// `pillar` targets; the other types always use `:`, as minions do.
    ///
    /// # Errors
    ///
    /// If the target can match nobody, whatever the minions are. A compound
    /// expression that only a master understands is no error: minions match
    /// nothing with it.
    pub fn parse(tgt_type: &str, tgt: &Value, delimiter: &str) -> Result<Self, TargetError> {
        let kind = TargetKind::from_name(tgt_type)
            .ok_or_else(|| TargetError::UnknownKind(tgt_type.chars().take(64).collect()))?;
        let length = match tgt {
            Value::Str(text) => text.len(),
            Value::List(items) => items
                .iter()
                .map(|item| item.as_str().map_or(0, str::len))
                .sum(),
            _ => return Err(TargetError::Type),
        };
        if length.saturating_add(delimiter.len()) > Self::MAX_LEN {
            return Err(TargetError::TooLarge);
        }
        let text = || tgt.as_str().ok_or(TargetError::Type);
        let term = match kind {
            TargetKind::Glob => Term::Glob(Glob::new(text()?)),
            TargetKind::Pcre => Term::Regex(Pattern::new(text()?)?),
            TargetKind::List => Term::List(Ids::new(match tgt {
                Value::Str(text) => compound::list_of(text),
                // Ids that are not text are nobody's.
                other => other
                    .as_list()
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|id| id.as_str().map(str::to_owned))
                    .collect(),
            })),
            TargetKind::Grain => {
                Term::Grain(Expression::new(text()?, delimiter, Comparison::Glob)?)
            }
            TargetKind::GrainPcre => {
                Term::Grain(Expression::new(text()?, delimiter, Comparison::Regex)?)
            }
            TargetKind::Pillar => {
                Term::Pillar(Expression::new(text()?, delimiter, Comparison::Glob)?)
            }
            TargetKind::PillarPcre => {
                Term::Pillar(Expression::new(text()?, ":", Comparison::Regex)?)
            }
            TargetKind::PillarExact => {
                Term::Pillar(Expression::new(text()?, ":", Comparison::Exact)?)
            }
            TargetKind::IpCidr => Term::Subnet(Subnet::new(text()?)?),
            TargetKind::NodeGroup
            | TargetKind::Compound
            | TargetKind::CompoundPillarExact
            | TargetKind::Range => Term::Never,
        };
        let plan = match kind {
            TargetKind::NodeGroup => Plan::NodeGroup(text()?.to_owned()),
            TargetKind::Range => Plan::Never,
            TargetKind::Compound | TargetKind::CompoundPillarExact => {
                let words = compound::words(tgt)?;
                if compound::has_nodegroups(&words) {
                    Plan::Words(words)
                } else {
                    let groups = Map::new();
                    let current = Compound::new(&words, &groups, rules(kind, Release::V3008))?;
                    let older = Compound::new(&words, &groups, rules(kind, Release::V3007))?;
                    Plan::Compound { current, older }
                }
            }
            _ => Plan::Term(term),
        };
        Ok(Self {
            kind,
            expression: tgt.clone(),
            delimiter: delimiter.to_owned(),
            plan: Arc::new(plan),
        })
    }

    /// A compound expression with every `N@name` written out.
    ///
    /// Minions know no nodegroups, so whoever publishes does this first, as Salt's command line does. A group
    /// that another group names and nobody defines stands for nothing.
    ///
    /// # Errors
    ///
    /// [`TargetError::UnknownNodegroup`], or an expression that is too large when it is written out.
    pub fn write_out_nodegroups(expression: &str, groups: &Map) -> Result<String, TargetError> {
        compound::write_out(expression, groups)
    }

    /// How the expression is read.
    pub fn kind(&self) -> TargetKind {
        self.kind
    }

    /// The expression: text or a list.
    pub fn to_value(&self) -> Value {
        self.expression.clone()
    }

    /// The expression: text or a list.
    pub fn expression(&self) -> &Value {
        &self.expression
    }

    /// What separates keys.
    pub fn delimiter(&self) -> &str {
        &self.delimiter
    }

    /// Whether a minion with these facts is meant: the minion's reading, as of
    /// Salt 3008.
    pub fn matches(&self, minion: &Facts<'_>) -> bool {
        self.matches_as(minion, Release::default())
    }

    /// The same as a minion of that release reads it.
    pub fn matches_as(&self, minion: &Facts<'_>, release: Release) -> bool {
        // A minion has no matcher of this name; masters use it for permissions.
        if self.kind == TargetKind::CompoundPillarExact {
            return false;
        }
        if let Plan::Term(term) = &*self.plan {
            return term.matches(minion, release);
        }
        let Some(compound) = self.compound(minion.nodegroups, release) else {
            return false;
        };
        let Some(tree) = &compound.minion else {
            return false;
        };
        let holds = |index: usize| {
            compound
                .terms
                .get(index)
                .is_some_and(|term| term.matches(minion, release))
        };
        tree.evaluate(&holds).unwrap_or(false)
    }

    /// Whom the master expects to answer: the master's reading.
    ///
    /// `candidates` are the minions with accepted keys.
    pub fn select(&self, candidates: &[Candidate<'_>], reading: &Reading<'_>) -> Selection {
        if let Plan::Term(term) = &*self.plan {
            let mut missing = Vec::new();
            term.add_missing(candidates, &mut missing);
            let meant = |candidate: &&Candidate<'_>| term.selects(candidate, reading);
            return Selection {
                minions: ids(candidates.iter().filter(meant)),
                missing,
            };
        }
        let compound = self.compound(reading.nodegroups, reading.release);
        let Some((compound, tree)) = compound
            .as_ref()
            .and_then(|c| Some((c, c.master.as_ref()?)))
        else {
            return Selection::default();
        };
        if tree.stops_a_master() {
            return Selection::default();
        }
        let meant = |candidate: &&Candidate<'_>| {
            let holds = |index: usize| {
                compound
                    .terms
                    .get(index)
                    .is_some_and(|term| term.selects(candidate, reading))
            };
            tree.evaluate(&holds).unwrap_or(false)
        };
        let minions = ids(candidates.iter().filter(meant));
        let mut missing = Vec::new();
        for (term, negated) in compound.terms.iter().zip(&compound.negated) {
            if !negated {
                term.add_missing(candidates, &mut missing);
            }
        }
        Selection { minions, missing }
    }

    /// The compound expression this stands for, or `None` if it is none.
    fn compound(&self, groups: &Map, release: Release) -> Option<Cow<'_, Compound>> {
        let rules = rules(self.kind, release);
        match &*self.plan {
            Plan::Term(_) | Plan::Never => None,
            Plan::Compound { current, .. } if release >= Release::V3008 => {
                Some(Cow::Borrowed(current))
            }
            Plan::Compound { older, .. } => Some(Cow::Borrowed(older)),
            Plan::Words(words) => Compound::new(words, groups, rules).ok().map(Cow::Owned),
            Plan::NodeGroup(name) => {
                let words = compound::nodegroup(name, groups).ok()?;
                Compound::new(&words, groups, rules).ok().map(Cow::Owned)
            }
        }
    }
}

fn rules(kind: TargetKind, release: Release) -> Rules {
    Rules {
        release,
        pillar_exact: kind == TargetKind::CompoundPillarExact,
    }
}

fn ids<'a>(candidates: impl Iterator<Item = &'a Candidate<'a>>) -> Vec<String> {
    candidates
        .map(|candidate| candidate.id.to_owned())
        .collect()
}

impl Term {
    /// Whether it holds for a minion that knows itself.
    fn matches(&self, minion: &Facts<'_>, release: Release) -> bool {
        match self {
            Self::Grain(expression) => expression.matches(minion.grains, release),
            Self::Pillar(expression) => expression.matches(minion.pillar, release),
            Self::Subnet(subnet) => subnet.matches(minion.grains),
            _ => self.matches_id(minion.id),
        }
    }

    /// Whether it may hold for a minion as the master knows it.
    fn selects(&self, minion: &Candidate<'_>, reading: &Reading<'_>) -> bool {
        let cached = |data: Option<&Map>, unknown: bool, holds: &dyn Fn(&Map) -> bool| match data {
            _ if !reading.data_cache => reading.greedy,
            Some(data) => holds(data),
            None => unknown,
        };
        match self {
            Self::Grain(expression) => cached(minion.grains, false, &|grains| {
                expression.matches(grains, reading.release)
            }),
            Self::Pillar(expression) => cached(minion.pillar, false, &|pillar| {
                expression.matches(pillar, reading.release)
            }),
            Self::Subnet(subnet) => cached(minion.grains, reading.greedy, &|grains| {
                subnet.matches(grains)
            }),
            _ => self.matches_id(minion.id),
        }
    }

    fn matches_id(&self, id: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(id),
            Self::Regex(pattern) => pattern.matches(id),
            Self::List(ids) => ids.known.contains(id),
            Self::Id(own) => own == id,
            _ => false,
        }
    }

    /// Adds the listed ids that no candidate has.
    fn add_missing(&self, candidates: &[Candidate<'_>], missing: &mut Vec<String>) {
        let Self::List(ids) = self else { return };
        let known: HashSet<&str> = candidates.iter().map(|candidate| candidate.id).collect();
        missing.extend(
            ids.ordered
                .iter()
                .filter(|id| !known.contains(id.as_str()))
                .cloned(),
        );
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
