//! Tokens to a tree of raw nodes, anchors already followed.
//!
//! Nodes live in one vector, so an alias is the same index as its anchor and
//! the identity that Python code relies on survives.

use std::borrow::Cow;
use std::collections::HashMap;

use super::Limits;
use super::error::{Error, Kind, Mark};
use super::resolve::{self, tag};
use super::scanner::{Scanner, Style, Token, TokenData};

/// Index of a node in its [`Tree`].
pub(super) type NodeId = usize;

#[derive(Debug)]
pub(super) struct Raw {
    pub(super) start: Mark,
    pub(super) end: Mark,
    pub(super) tag: Cow<'static, str>,
    pub(super) kind: RawKind,
}

#[derive(Debug)]
pub(super) enum RawKind {
    Scalar(String),
    Sequence(Vec<NodeId>),
    Mapping(Vec<(NodeId, NodeId)>),
}

impl RawKind {
    /// PyYAML's word for the kind of node.
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "scalar",
            Self::Sequence(_) => "sequence",
            Self::Mapping(_) => "mapping",
        }
    }
}

/// The nodes of one document.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Raw>,
    /// Whether a node can have several parents: there is an alias or a merge key.
    pub(super) shared: bool,
}

/// Reads the one document of `text`; `None` when there is none.
pub(super) fn read(text: &str, limits: &Limits) -> Result<(Tree, Option<NodeId>), Error> {
    let mut reader = Reader {
        scanner: Scanner::new(text),
        tree: Tree::default(),
        anchors: HashMap::new(),
        open_anchors: Vec::new(),
        cycle: None,
        handles: Vec::new(),
        depth: 0,
        limits,
    };
    let root = reader.document(true)?;
    if let Some(root) = root
        && let Some(mark) = reader.another_document()?
    {
        let start = reader
            .tree
            .nodes
            .get(root)
            .map_or_else(Mark::default, |n| n.start);
        return Err(Error::with_context(
            Kind::Composer,
            "expected a single document in the stream",
            start,
            "but found another document",
            mark,
        ));
    }
    if let Some(mark) = reader.cycle {
        return Err(Error::plain(
            Kind::Constructor,
            "found unconstructable recursive node",
            mark,
        ));
    }
    Ok((reader.tree, root))
}

struct Reader<'a, 't> {
    scanner: Scanner<'t>,
    tree: Tree,
    anchors: HashMap<String, NodeId>,
    /// Nodes that carry an anchor and are not finished: an alias to one is a cycle.
    open_anchors: Vec<NodeId>,
    /// The first alias that stands inside its own anchor.
    cycle: Option<Mark>,
    handles: Vec<(String, String)>,
    depth: usize,
    limits: &'a Limits,
}

/// What stands before a node's content.
struct Properties {
    anchor: Option<String>,
    tag: Option<Cow<'static, str>>,
    start: Mark,
    end: Mark,
}

impl Reader<'_, '_> {
    fn at(&mut self, data: &TokenData) -> Result<bool, Error> {
        Ok(self.scanner.peek()?.data == *data)
    }

    /// Begins a document and reads its root.
    fn document(&mut self, first: bool) -> Result<Option<NodeId>, Error> {
        if !first {
            while self.at(&TokenData::DocumentEnd)? {
                self.scanner.take()?;
            }
        }
        let explicit = matches!(
            self.scanner.peek()?.data,
            TokenData::VersionDirective(..)
                | TokenData::TagDirective(..)
                | TokenData::DocumentStart
                | TokenData::StreamEnd
        );
        if self.at(&TokenData::StreamEnd)? {
            return Ok(None);
        }
        self.directives()?;
        if explicit || !first {
            let token = self.scanner.peek()?;
            if token.data != TokenData::DocumentStart {
                return Err(Error::plain(
                    Kind::Parser,
                    "did not find expected <document start>",
                    token.start,
                ));
            }
            self.scanner.take()?;
        }
        let token = self.scanner.peek()?;
        let mark = token.start;
        let empty = matches!(
            token.data,
            TokenData::VersionDirective(..)
                | TokenData::TagDirective(..)
                | TokenData::DocumentStart
                | TokenData::DocumentEnd
                | TokenData::StreamEnd
        );
        let root = if empty && (explicit || !first) {
            self.empty(mark)?
        } else {
            self.node(true, false)?
        };
        if self.at(&TokenData::DocumentEnd)? {
            self.scanner.take()?;
        }
        Ok(Some(root))
    }

    /// The start of a further document.
    fn another_document(&mut self) -> Result<Option<Mark>, Error> {
        while self.at(&TokenData::DocumentEnd)? {
            self.scanner.take()?;
        }
        let token = self.scanner.peek()?;
        let mark = token.start;
        match token.data {
            TokenData::StreamEnd => Ok(None),
            _ => {
                self.directives()?;
                let token = self.scanner.peek()?;
                if token.data == TokenData::DocumentStart {
                    Ok(Some(mark))
                } else {
                    Err(Error::plain(
                        Kind::Parser,
                        "did not find expected <document start>",
                        token.start,
                    ))
                }
            }
        }
    }

    fn directives(&mut self) -> Result<(), Error> {
        self.handles.clear();
        let mut version = false;
        loop {
            let token = self.scanner.peek()?;
            let start = token.start;
            match token.data.clone() {
                TokenData::VersionDirective(major, minor) => {
                    if version {
                        return Err(Error::plain(
                            Kind::Parser,
                            "found duplicate %YAML directive",
                            start,
                        ));
                    }
                    if major != 1 || !matches!(minor, 1 | 2) {
                        return Err(Error::plain(
                            Kind::Parser,
                            "found incompatible YAML document",
                            start,
                        ));
                    }
                    version = true;
                }
                TokenData::TagDirective(handle, prefix) => {
                    if self.handles.iter().any(|(known, _)| *known == handle) {
                        return Err(Error::plain(
                            Kind::Parser,
                            "found duplicate %TAG directive",
                            start,
                        ));
                    }
                    self.handles.push((handle, prefix));
                }
                _ => return Ok(()),
            }
            self.scanner.take()?;
        }
    }

    fn add(&mut self, raw: Raw) -> Result<NodeId, Error> {
        if self.tree.nodes.len() >= self.limits.nodes {
            return Err(Error::plain(Kind::Limit, "too many YAML nodes", raw.start));
        }
        self.tree.nodes.push(raw);
        Ok(self.tree.nodes.len() - 1)
    }

    fn empty(&mut self, mark: Mark) -> Result<NodeId, Error> {
        self.add(Raw {
            start: mark,
            end: mark,
            tag: Cow::Borrowed(tag::NULL),
            kind: RawKind::Scalar(String::new()),
        })
    }

    fn properties(&mut self) -> Result<Properties, Error> {
        let start = self.scanner.peek()?.start;
        let mut found = Properties {
            anchor: None,
            tag: None,
            start,
            end: start,
        };
        let mut tag = None;
        loop {
            let token = self.scanner.peek()?;
            match &token.data {
                TokenData::Anchor(_) if found.anchor.is_none() => {}
                TokenData::Tag(..) if tag.is_none() => {}
                _ => break,
            }
            let token = self.scanner.take()?;
            found.end = token.end;
            match token.data {
                TokenData::Anchor(name) => found.anchor = Some(name),
                TokenData::Tag(handle, suffix) => tag = Some((handle, suffix, token.start)),
                _ => {}
            }
        }
        if let Some((handle, suffix, mark)) = tag {
            found.tag = Some(self.full_tag(&handle, suffix, found.start, mark)?);
        }
        Ok(found)
    }

    fn full_tag(
        &self,
        handle: &str,
        suffix: String,
        start: Mark,
        mark: Mark,
    ) -> Result<Cow<'static, str>, Error> {
        if handle.is_empty() {
            return Ok(Cow::Owned(suffix));
        }
        let known = self
            .handles
            .iter()
            .find(|(known, _)| known == handle)
            .map(|(_, prefix)| prefix.as_str());
        let prefix = match (known, handle) {
            (Some(prefix), _) => prefix,
            (None, "!") => "!",
            (None, "!!") => tag::PREFIX,
            (None, _) => {
                return Err(Error::with_context(
                    Kind::Parser,
                    "while parsing a node",
                    start,
                    "found undefined tag handle",
                    mark,
                ));
            }
        };
        Ok(Cow::Owned(format!("{prefix}{suffix}")))
    }

    fn alias(&mut self, name: &str, mark: Mark) -> Result<NodeId, Error> {
        self.tree.shared = true;
        let Some(&id) = self.anchors.get(name) else {
            return Err(Error::plain(Kind::Composer, "found undefined alias", mark));
        };
        if self.open_anchors.contains(&id) && self.cycle.is_none() {
            self.cycle = Some(mark);
        }
        Ok(id)
    }

    fn node(&mut self, block: bool, indentless: bool) -> Result<NodeId, Error> {
        if matches!(self.scanner.peek()?.data, TokenData::Alias(_)) {
            let token = self.scanner.take()?;
            let TokenData::Alias(name) = token.data else {
                return self.empty(token.start);
            };
            return self.alias(&name, token.start);
        }
        let properties = self.properties()?;
        let token = self.scanner.peek()?;
        let (token_start, token_end) = (token.start, token.end);
        let empty_collection = |kind| Raw {
            start: properties.start,
            end: token_end,
            tag: match &properties.tag {
                Some(tag) if tag != "!" => tag.clone(),
                _ => Cow::Borrowed(match kind {
                    RawKind::Mapping(_) => tag::MAP,
                    _ => tag::SEQ,
                }),
            },
            kind,
        };
        let sequence = || empty_collection(RawKind::Sequence(Vec::new()));
        let mapping = || empty_collection(RawKind::Mapping(Vec::new()));
        match &token.data {
            TokenData::BlockEntry if indentless => {
                let raw = sequence();
                self.collection(
                    raw,
                    properties.anchor,
                    token_start,
                    Self::indentless_sequence,
                )
            }
            TokenData::Scalar(..) => {
                let token = self.scanner.take()?;
                self.scalar(token, properties, true)
            }
            TokenData::FlowSequenceStart => {
                let raw = sequence();
                self.collection(raw, properties.anchor, token_start, Self::flow_sequence)
            }
            TokenData::FlowMappingStart => {
                let raw = mapping();
                self.collection(raw, properties.anchor, token_start, Self::flow_mapping)
            }
            TokenData::BlockSequenceStart if block => {
                let raw = sequence();
                self.collection(raw, properties.anchor, token_start, Self::block_sequence)
            }
            TokenData::BlockMappingStart if block => {
                let raw = mapping();
                self.collection(raw, properties.anchor, token_start, Self::block_mapping)
            }
            _ if properties.anchor.is_some() || properties.tag.is_some() => {
                let token = Token {
                    data: TokenData::Scalar(String::new(), Style::Plain),
                    start: properties.start,
                    end: properties.end,
                };
                let written = properties.tag.is_none();
                self.scalar(token, properties, written)
            }
            _ => {
                let context = if block {
                    "while parsing a block node"
                } else {
                    "while parsing a flow node"
                };
                Err(Error::with_context(
                    Kind::Parser,
                    context,
                    properties.start,
                    "did not find expected node content",
                    token_start,
                ))
            }
        }
    }

    fn scalar(
        &mut self,
        token: Token,
        properties: Properties,
        written: bool,
    ) -> Result<NodeId, Error> {
        let TokenData::Scalar(text, style) = token.data else {
            return self.empty(token.start);
        };
        let plain = style == Style::Plain;
        let tag = match properties.tag {
            Some(tag) if tag != "!" => tag,
            // An explicit `!` resolves even quoted text, but not what is absent.
            given => Cow::Borrowed(if written && (plain || given.is_some()) {
                resolve::plain(&text)
            } else {
                tag::STR
            }),
        };
        if tag == tag::MERGE {
            self.tree.shared = true;
        }
        let id = self.add(Raw {
            start: properties.start,
            end: token.end,
            tag,
            kind: RawKind::Scalar(text),
        })?;
        if let Some(name) = properties.anchor {
            self.register(name, id)?;
        }
        Ok(id)
    }

    fn register(&mut self, name: String, id: NodeId) -> Result<(), Error> {
        let start = |id: NodeId| {
            self.tree
                .nodes
                .get(id)
                .map_or_else(Mark::default, |n| n.start)
        };
        if let Some(&first) = self.anchors.get(&name) {
            return Err(Error::with_context(
                Kind::Composer,
                "found duplicate anchor; first occurrence",
                start(first),
                "second occurrence",
                start(id),
            ));
        }
        self.anchors.insert(name, id);
        Ok(())
    }

    /// Registers a collection, then fills it by `read`.
    fn collection(
        &mut self,
        raw: Raw,
        anchor: Option<String>,
        mark: Mark,
        read: impl FnOnce(&mut Self, NodeId, Mark) -> Result<(), Error>,
    ) -> Result<NodeId, Error> {
        if self.depth >= self.limits.depth {
            return Err(Error::plain(
                Kind::Limit,
                "YAML is nested too deep",
                raw.start,
            ));
        }
        let id = self.add(raw)?;
        let anchored = anchor.is_some();
        if let Some(name) = anchor {
            self.register(name, id)?;
            self.open_anchors.push(id);
        }
        self.depth += 1;
        read(self, id, mark)?;
        self.depth -= 1;
        if anchored {
            self.open_anchors.pop();
        }
        Ok(id)
    }

    fn push_item(&mut self, id: NodeId, item: NodeId) {
        if let Some(Raw {
            kind: RawKind::Sequence(items),
            ..
        }) = self.tree.nodes.get_mut(id)
        {
            items.push(item);
        }
    }

    fn push_pair(&mut self, id: NodeId, key: NodeId, value: NodeId) {
        if let Some(Raw {
            kind: RawKind::Mapping(pairs),
            ..
        }) = self.tree.nodes.get_mut(id)
        {
            pairs.push((key, value));
        }
    }

    fn block_sequence(&mut self, id: NodeId, mark: Mark) -> Result<(), Error> {
        self.scanner.take()?;
        loop {
            let token = self.scanner.peek()?;
            match token.data {
                TokenData::BlockEntry => {
                    let end = token.end;
                    self.scanner.take()?;
                    let item = match self.scanner.peek()?.data {
                        TokenData::BlockEntry | TokenData::BlockEnd => self.empty(end)?,
                        _ => self.node(true, false)?,
                    };
                    self.push_item(id, item);
                }
                TokenData::BlockEnd => {
                    self.scanner.take()?;
                    return Ok(());
                }
                _ => {
                    return Err(Error::with_context(
                        Kind::Parser,
                        "while parsing a block collection",
                        mark,
                        "did not find expected '-' indicator",
                        token.start,
                    ));
                }
            }
        }
    }

    fn indentless_sequence(&mut self, id: NodeId, _: Mark) -> Result<(), Error> {
        while self.at(&TokenData::BlockEntry)? {
            let end = self.scanner.take()?.end;
            let item = match self.scanner.peek()?.data {
                TokenData::BlockEntry | TokenData::Key | TokenData::Value | TokenData::BlockEnd => {
                    self.empty(end)?
                }
                _ => self.node(true, false)?,
            };
            self.push_item(id, item);
        }
        Ok(())
    }

    /// A key's or value's node in a block mapping, whose mark has been taken.
    fn block_part(&mut self, end: Mark) -> Result<NodeId, Error> {
        match self.scanner.peek()?.data {
            TokenData::Key | TokenData::Value | TokenData::BlockEnd => self.empty(end),
            _ => self.node(true, true),
        }
    }

    fn block_mapping(&mut self, id: NodeId, mark: Mark) -> Result<(), Error> {
        self.scanner.take()?;
        loop {
            let token = self.scanner.peek()?;
            match token.data {
                TokenData::Key => {
                    let end = token.end;
                    self.scanner.take()?;
                    let key = self.block_part(end)?;
                    let token = self.scanner.peek()?;
                    let value = if token.data == TokenData::Value {
                        let end = token.end;
                        self.scanner.take()?;
                        self.block_part(end)?
                    } else {
                        let start = token.start;
                        self.empty(start)?
                    };
                    self.push_pair(id, key, value);
                }
                TokenData::BlockEnd => {
                    self.scanner.take()?;
                    return Ok(());
                }
                _ => {
                    return Err(Error::with_context(
                        Kind::Parser,
                        "while parsing a block mapping",
                        mark,
                        "did not find expected key",
                        token.start,
                    ));
                }
            }
        }
    }

    fn flow_sequence(&mut self, id: NodeId, mark: Mark) -> Result<(), Error> {
        self.scanner.take()?;
        let mut first = true;
        loop {
            if self.at(&TokenData::FlowSequenceEnd)? {
                break;
            }
            if !first {
                self.flow_comma(
                    "while parsing a flow sequence",
                    "did not find expected ',' or ']'",
                    mark,
                )?;
            }
            first = false;
            match self.scanner.peek()?.data {
                TokenData::FlowSequenceEnd => break,
                TokenData::Key => {
                    let item = self.flow_pair()?;
                    self.push_item(id, item);
                }
                _ => {
                    let item = self.node(false, false)?;
                    self.push_item(id, item);
                }
            }
        }
        self.scanner.take()?;
        Ok(())
    }

    fn flow_comma(
        &mut self,
        context: &'static str,
        problem: &'static str,
        mark: Mark,
    ) -> Result<(), Error> {
        let token = self.scanner.peek()?;
        if token.data != TokenData::FlowEntry {
            return Err(Error::with_context(
                Kind::Parser,
                context,
                mark,
                problem,
                token.start,
            ));
        }
        self.scanner.take()?;
        Ok(())
    }

    /// `key: value` written directly inside a flow sequence.
    fn flow_pair(&mut self) -> Result<NodeId, Error> {
        let opening = self.scanner.take()?;
        let id = self.add(Raw {
            start: opening.start,
            end: opening.end,
            tag: Cow::Borrowed(tag::MAP),
            kind: RawKind::Mapping(Vec::new()),
        })?;
        let key = match self.scanner.peek()?.data {
            TokenData::Value | TokenData::FlowEntry | TokenData::FlowSequenceEnd => {
                // libyaml drops the token here, so `[? : x]` is an error there too.
                let end = self.scanner.take()?.end;
                self.empty(end)?
            }
            _ => self.node(false, false)?,
        };
        let value = if self.at(&TokenData::Value)? {
            self.scanner.take()?;
            let token = self.scanner.peek()?;
            let start = token.start;
            match token.data {
                TokenData::FlowEntry | TokenData::FlowSequenceEnd => self.empty(start)?,
                _ => self.node(false, false)?,
            }
        } else {
            let start = self.scanner.peek()?.start;
            self.empty(start)?
        };
        self.push_pair(id, key, value);
        Ok(id)
    }

    fn flow_mapping(&mut self, id: NodeId, mark: Mark) -> Result<(), Error> {
        self.scanner.take()?;
        let mut first = true;
        loop {
            if self.at(&TokenData::FlowMappingEnd)? {
                break;
            }
            if !first {
                self.flow_comma(
                    "while parsing a flow mapping",
                    "did not find expected ',' or '}'",
                    mark,
                )?;
            }
            first = false;
            let token = self.scanner.peek()?;
            match token.data {
                TokenData::FlowMappingEnd => break,
                TokenData::Key => {
                    self.scanner.take()?;
                    let token = self.scanner.peek()?;
                    let start = token.start;
                    let key = match token.data {
                        TokenData::Value | TokenData::FlowEntry | TokenData::FlowMappingEnd => {
                            self.empty(start)?
                        }
                        _ => self.node(false, false)?,
                    };
                    let value = self.flow_value()?;
                    self.push_pair(id, key, value);
                }
                _ => {
                    let key = self.node(false, false)?;
                    let start = self.scanner.peek()?.start;
                    let value = self.empty(start)?;
                    self.push_pair(id, key, value);
                }
            }
        }
        self.scanner.take()?;
        Ok(())
    }

    fn flow_value(&mut self) -> Result<NodeId, Error> {
        if self.at(&TokenData::Value)? {
            self.scanner.take()?;
            if !matches!(
                self.scanner.peek()?.data,
                TokenData::FlowEntry | TokenData::FlowMappingEnd
            ) {
                return self.node(false, false);
            }
        }
        let start = self.scanner.peek()?.start;
        self.empty(start)
    }
}
