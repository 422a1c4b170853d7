//! Tokens to the syntax tree: statements.

use std::rc::Rc;

use super::ast::{
    BlockDef, Branch, Entry, Expr, For, Format, FromImport, Function, Import, ImportData, Include,
    LoopFilter, MacroDef, Name, Node, Param, Piece, Pos, SetBlock, Slot, Stmt, StmtKind, Target,
};
use super::lexer::{Tok, Token, is_space};
use super::value::repr_str;
use super::{Error, Kind, Result};

mod expression;

/// How deep tags and brackets may nest.
const MAX_DEPTH: u32 = 120;
/// How high an expression's tree may be.
const MAX_HEIGHT: u16 = 300;

/// What the parser makes of a template.
pub(crate) struct Parsed {
    pub(crate) body: Vec<Stmt>,
    pub(crate) blocks: Vec<BlockDef>,
}

/// Parses tokens; `mistake` is what keeps them from being all.
///
/// # Errors
/// Jinja's syntax errors, with their place.
pub(crate) fn parse(
    tokens: Vec<Token>,
    mistake: Option<Error>,
    salt: bool,
    stack: usize,
) -> Result<Parsed> {
    let here = 0_u8;
    let mut parser = Parser {
        at_end: tokens.len() <= 1,
        tokens,
        at: 0,
        salt,
        depth: 0,
        stack_base: (&raw const here).addr(),
        stack,
        open_tags: Vec::new(),
        wanted: Vec::new(),
        blocks: Vec::new(),
    };
    let body = parser.body(&[]);
    if let Some(mistake) = mistake
        && parser.at_end
    {
        return Err(mistake);
    }
    Ok(Parsed {
        body: body?,
        blocks: parser.blocks,
    })
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// The last token was reached.
    at_end: bool,
    salt: bool,
    depth: u32,
    stack_base: usize,
    stack: usize,
    open_tags: Vec<String>,
    wanted: Vec<&'static [&'static str]>,
    blocks: Vec<BlockDef>,
}

fn name(text: &str) -> Name {
    Name {
        name: text.into(),
        slot: Slot::default(),
    }
}

impl Parser {
    fn token(&self) -> &Tok {
        self.tokens.get(self.at).map_or(&Tok::Eof, |t| &t.kind)
    }

    fn ahead(&self) -> &Tok {
        self.tokens.get(self.at + 1).map_or(&Tok::Eof, |t| &t.kind)
    }

    /// Where the current token stands; the end stands at the last token.
    fn pos(&self) -> Pos {
        let last = self.tokens.len().saturating_sub(2);
        let at = if *self.token() == Tok::Eof {
            last
        } else {
            self.at
        };
        self.tokens
            .get(at)
            .map_or_else(|| Pos::at(1, 1), |t| Pos::at(t.line, t.column))
    }

    fn advance(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
            self.at_end |= self.at + 1 == self.tokens.len();
        }
    }

    fn fail<T>(&self, message: impl Into<String>, pos: Pos) -> Result<T> {
        Err(Error::new(Kind::Syntax, message).at_pos(pos))
    }

    fn is_name(&self, text: &str) -> bool {
        matches!(self.token(), Tok::Name(name) if name == text)
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.token(), Tok::Op(found) if *found == op)
    }

    fn skip_name(&mut self, text: &str) -> bool {
        let found = self.is_name(text);
        if found {
            self.advance();
        }
        found
    }

    fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        if found {
            self.advance();
        }
        found
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let expected = repr_str(expected);
        let message = match self.token() {
            Tok::Eof => format!("unexpected end of template, expected {expected}."),
            other => format!(
                "expected token {expected}, got {}",
                repr_str(&other.describe())
            ),
        };
        self.fail(message, self.pos())
    }

    fn expect_op(&mut self, op: &str) -> Result<()> {
        if self.skip_op(op) {
            Ok(())
        } else {
            self.unexpected(op)
        }
    }

    fn expect_keyword(&mut self, text: &str) -> Result<()> {
        if self.skip_name(text) {
            Ok(())
        } else {
            self.unexpected(text)
        }
    }

    fn expect_tag(&mut self, tag: &Tok) -> Result<()> {
        if self.token() == tag {
            self.advance();
            Ok(())
        } else {
            self.unexpected(&tag.describe())
        }
    }

    fn expect_name(&mut self) -> Result<String> {
        match self.token() {
            Tok::Name(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => self.unexpected("name"),
        }
    }

    /// Goes one level deeper.
    fn deeper(&mut self) -> Result<()> {
        let here = 0_u8;
        let used = self.stack_base.abs_diff((&raw const here).addr());
        self.depth += 1;
        if self.depth > MAX_DEPTH || used > self.stack {
            return self.fail("the template nests too deeply", self.pos());
        }
        Ok(())
    }

    fn make(&self, node: Node, pos: Pos) -> Result<Expr> {
        let expr = Expr::new(node, pos);
        if expr.height > MAX_HEIGHT {
            return self.fail("the expression nests too deeply", pos);
        }
        Ok(expr)
    }

    /// Statements up to one of the end tags, which is then the current token,
    /// or to the end of the template.
    fn body(&mut self, ends: &'static [&'static str]) -> Result<Vec<Stmt>> {
        self.deeper()?;
        if !ends.is_empty() {
            self.wanted.push(ends);
        }
        let mut body = Vec::new();
        let mut pieces: Vec<Piece> = Vec::new();
        loop {
            let pos = self.pos();
            match self.token() {
                Tok::Data(text) => {
                    let text = text.as_str().into();
                    pieces.push(Piece::Data { text, pos });
                    self.advance();
                }
                Tok::VariableBegin => {
                    self.advance();
                    pieces.push(Piece::Expr(self.tuple(true, false)?));
                    self.expect_tag(&Tok::VariableEnd)?;
                }
                Tok::BlockBegin => {
                    flush(&mut pieces, &mut body);
                    self.advance();
                    if matches!(self.token(), Tok::Name(name) if ends.contains(&name.as_str())) {
                        break;
                    }
                    self.statement(&mut body)?;
                    self.expect_tag(&Tok::BlockEnd)?;
                }
                _ => break,
            }
        }
        flush(&mut pieces, &mut body);
        if !ends.is_empty() {
            self.wanted.pop();
        }
        self.depth -= 1;
        Ok(body)
    }

    /// The rest of a tag and its body up to one of the end tags.
    fn statements(&mut self, ends: &'static [&'static str], drop_end: bool) -> Result<Vec<Stmt>> {
        self.skip_op(":");
        self.expect_tag(&Tok::BlockEnd)?;
        let body = self.body(ends)?;
        if *self.token() == Tok::Eof {
            self.wanted.push(ends);
            return self.fail_tag(None, self.pos());
        }
        if drop_end {
            self.advance();
        }
        Ok(body)
    }

    /// An unknown tag, or the end of the template inside one.
    fn fail_tag<T>(&self, tag: Option<&str>, pos: Pos) -> Result<T> {
        let mut message = match tag {
            Some(tag) => format!("Encountered unknown tag {}.", repr_str(tag)),
            None => "Unexpected end of template.".to_owned(),
        };
        if let Some(ends) = self.wanted.last() {
            let quoted: Vec<String> = ends.iter().map(|end| repr_str(end)).collect();
            let looking = quoted.join(" or ");
            let expected = |tag: &str| self.wanted.iter().any(|ends| ends.contains(&tag));
            if tag.is_some_and(expected) {
                message += &format!(
                    " You probably made a nesting mistake. Jinja is expecting this tag, \
                     but currently looking for {looking}."
                );
            } else {
                message += &format!(" Jinja was looking for the following tags: {looking}.");
            }
        }
        if let Some(open) = self.open_tags.last() {
            message += &format!(
                " The innermost block that needs to be closed is {}.",
                repr_str(open)
            );
        }
        self.fail(message, pos)
    }

    fn statement(&mut self, body: &mut Vec<Stmt>) -> Result<()> {
        let pos = self.pos();
        let Tok::Name(tag) = self.token() else {
            return self.fail("tag name expected", pos);
        };
        let tag = tag.clone();
        self.open_tags.push(tag.clone());
        let kind = match tag.as_str() {
            "for" => self.for_loop(pos)?,
            "if" => self.if_block()?,
            "block" => self.block(pos)?,
            "extends" => {
                self.advance();
                StmtKind::Extends(self.expression()?)
            }
            "print" => self.print()?,
            "macro" => self.macro_block(pos)?,
            "include" => self.include()?,
            "from" => self.import_names()?,
            "import" => self.import()?,
            "set" => self.set()?,
            "with" => self.with()?,
            "autoescape" => {
                self.advance();
                StmtKind::Autoescape {
                    value: self.expression()?,
                    body: self.statements(&["endautoescape"], true)?,
                    entry: Entry::default(),
                }
            }
            "call" => self.call_block(pos)?,
            "filter" => {
                self.advance();
                StmtKind::FilterBlock {
                    filter: self.filter_of_block()?,
                    body: self.statements(&["endfilter"], true)?,
                    entry: Entry::default(),
                }
            }
            "do" => {
                self.advance();
                StmtKind::Do(self.tuple(true, false)?)
            }
            "break" => {
                self.advance();
                StmtKind::Break
            }
            "continue" => {
                self.advance();
                StmtKind::Continue
            }
            "load_yaml" if self.salt => self.load(Format::Yaml, pos)?,
            "load_json" if self.salt => self.load(Format::Json, pos)?,
            "load_text" if self.salt => self.load(Format::Text, pos)?,
            "import_yaml" if self.salt => self.import_data(Format::Yaml)?,
            "import_json" if self.salt => self.import_data(Format::Json)?,
            "import_text" if self.salt => self.import_data(Format::Text)?,
            "profile" if self.salt => {
                // Salt measures and logs; the body is as if it stood alone.
                self.advance();
                self.expect_keyword("as")?;
                self.expression()?;
                body.extend(self.statements(&["endprofile"], true)?);
                self.open_tags.pop();
                return Ok(());
            }
            other => {
                self.open_tags.pop();
                return self.fail_tag(Some(other), pos);
            }
        };
        self.open_tags.pop();
        body.push(Stmt { kind, pos });
        Ok(())
    }

    fn for_loop(&mut self, pos: Pos) -> Result<StmtKind> {
        self.advance();
        let start = self.at;
        let target = self.target(false)?;
        let end = self.at;
        self.expect_keyword("in")?;
        let iter = self.tuple(false, false)?;
        let filter = if self.skip_name("if") {
            // The filter is a function of its own with its own copy of the target.
            let test = self.expression()?;
            let back = std::mem::replace(&mut self.at, start);
            let target = self.target(false)?;
            debug_assert_eq!(self.at, end, "the same tokens give the same target");
            self.at = back;
            Some(LoopFilter {
                test,
                target,
                entry: Entry::default(),
                slots: 0,
            })
        } else {
            None
        };
        let recursive = self.skip_name("recursive").then_some(0);
        let body = self.statements(&["endfor", "else"], false)?;
        let has_else = self.is_name("else");
        self.advance();
        let otherwise = if has_else {
            let body = self.statements(&["endfor"], true)?;
            Some((body, Entry::default()))
        } else {
            None
        };
        Ok(StmtKind::For(Rc::new(For {
            target,
            iter,
            filter,
            body,
            entry: Entry::default(),
            otherwise,
            loop_slot: None,
            recursive,
            pos,
        })))
    }

    fn if_block(&mut self) -> Result<StmtKind> {
        let mut branches = Vec::new();
        let mut pos = self.pos();
        self.advance();
        loop {
            let test = self.tuple(false, false)?;
            let body = self.statements(&["elif", "else", "endif"], false)?;
            branches.push(Branch { test, body, pos });
            if self.is_name("elif") {
                self.advance();
                pos = self.pos();
                continue;
            }
            let has_else = self.is_name("else");
            self.advance();
            let otherwise = if has_else {
                Some(self.statements(&["endif"], true)?)
            } else {
                None
            };
            return Ok(StmtKind::If(branches, otherwise));
        }
    }

    fn block(&mut self, pos: Pos) -> Result<StmtKind> {
        self.advance();
        let block = self.expect_name()?;
        let scoped = self.skip_name("scoped");
        let required = self.skip_name("required");
        if self.is_op("-") {
            return self.fail(
                "Block names in Jinja have to be valid Python identifiers and may not \
                 contain hyphens, use an underscore instead.",
                self.pos(),
            );
        }
        let body = self.statements(&["endblock"], true)?;
        let blank = |stmt: &Stmt| match &stmt.kind {
            StmtKind::Output(pieces) => pieces.iter().all(
                |piece| matches!(piece, Piece::Data { text, .. } if text.chars().all(is_space)),
            ),
            _ => false,
        };
        if required && !body.iter().all(blank) {
            let message = "Required blocks can only contain comments or whitespace";
            return self.fail(message, self.pos());
        }
        self.skip_name(&block);
        let block: Rc<str> = block.into();
        if self.blocks.iter().any(|other| other.name == block) {
            let message = format!("block {} defined twice", repr_str(&block));
            return Err(Error::new(Kind::Assertion, message).at_pos(pos));
        }
        self.blocks.push(BlockDef {
            name: Rc::clone(&block),
            function: Function {
                body,
                ..Function::default()
            },
            pos,
        });
        Ok(StmtKind::Block(Box::new(super::ast::BlockCall {
            name: block,
            scoped,
            required,
            toplevel: false,
            locals: Vec::new(),
        })))
    }

    fn print(&mut self) -> Result<StmtKind> {
        self.advance();
        let mut pieces = Vec::new();
        while *self.token() != Tok::BlockEnd {
            if !pieces.is_empty() {
                self.expect_op(",")?;
            }
            pieces.push(Piece::Expr(self.expression()?));
        }
        Ok(StmtKind::Output(pieces))
    }

    fn macro_block(&mut self, pos: Pos) -> Result<StmtKind> {
        self.advance();
        let target = self.assignable_name()?;
        let params = self.signature()?;
        let body = self.statements(&["endmacro"], true)?;
        let def = macro_def(Some(Rc::clone(&target.name)), params, body, pos);
        Ok(StmtKind::Macro {
            target,
            def: Rc::new(def),
            exported: false,
        })
    }

    fn call_block(&mut self, pos: Pos) -> Result<StmtKind> {
        self.advance();
        let params = if self.is_op("(") {
            self.signature()?
        } else {
            Vec::new()
        };
        let call = self.expression()?;
        if !matches!(call.node, Node::Call(_)) {
            return self.fail("expected call", pos);
        }
        let body = self.statements(&["endcall"], true)?;
        let def = Rc::new(macro_def(None, params, body, pos));
        Ok(StmtKind::CallBlock { call, def })
    }

    fn signature(&mut self) -> Result<Vec<Param>> {
        self.expect_op("(")?;
        let mut params: Vec<Param> = Vec::new();
        while !self.is_op(")") {
            if !params.is_empty() {
                self.expect_op(",")?;
            }
            let param = self.assignable_name()?;
            let default = if self.skip_op("=") {
                Some(self.expression()?)
            } else if params.iter().any(|param| param.default.is_some()) {
                let message = "non-default argument follows default argument";
                return self.fail(message, self.pos());
            } else {
                None
            };
            params.push(Param {
                name: param.name,
                slot: 0,
                default,
            });
        }
        self.advance();
        Ok(params)
    }

    fn include(&mut self) -> Result<StmtKind> {
        self.advance();
        let template = self.expression()?;
        let ignore_missing =
            self.is_name("ignore") && matches!(self.ahead(), Tok::Name(name) if name == "missing");
        if ignore_missing {
            self.advance();
            self.advance();
        }
        Ok(StmtKind::Include(Box::new(Include {
            template,
            ignore_missing,
            with_context: self.import_context().unwrap_or(true),
            locals: Vec::new(),
        })))
    }

    /// `with context` or `without context`.
    fn import_context(&mut self) -> Option<bool> {
        let with = self.is_name("with");
        let follows = matches!(self.ahead(), Tok::Name(name) if name == "context");
        if follows && (with || self.is_name("without")) {
            self.advance();
            self.advance();
            return Some(with);
        }
        None
    }

    fn import(&mut self) -> Result<StmtKind> {
        self.advance();
        let template = self.expression()?;
        self.expect_keyword("as")?;
        let target = self.assignable_name()?;
        Ok(StmtKind::Import(Box::new(Import {
            template,
            target,
            with_context: self.import_context().unwrap_or(false),
            locals: Vec::new(),
            toplevel: false,
        })))
    }

    fn import_names(&mut self) -> Result<StmtKind> {
        self.advance();
        let template = self.expression()?;
        self.expect_keyword("import")?;
        let mut names: Vec<(Rc<str>, Name)> = Vec::new();
        let context = loop {
            if !names.is_empty() {
                self.expect_op(",")?;
            }
            if !matches!(self.token(), Tok::Name(_)) {
                return self.unexpected("name");
            }
            let context = self.import_context();
            if context.is_some() {
                break context;
            }
            let pos = self.pos();
            let found = self.assignable_name()?;
            if found.name.starts_with('_') {
                let message = "names starting with an underline can not be imported";
                return Err(Error::new(Kind::Assertion, message).at_pos(pos));
            }
            let alias = if self.skip_name("as") {
                self.assignable_name()?
            } else {
                name(&found.name)
            };
            names.push((found.name, alias));
            let context = self.import_context();
            if context.is_some() || !self.is_op(",") {
                break context;
            }
        };
        Ok(StmtKind::FromImport(Box::new(FromImport {
            template,
            names,
            with_context: context.unwrap_or(false),
            locals: Vec::new(),
            toplevel: false,
        })))
    }

    fn set(&mut self) -> Result<StmtKind> {
        self.advance();
        let target = self.target(true)?;
        if self.skip_op("=") {
            return Ok(StmtKind::Set {
                target,
                value: self.tuple(true, false)?,
                export: Vec::new(),
            });
        }
        let filter = if self.is_op("|") {
            Some(self.filters_of_set()?)
        } else {
            None
        };
        let body = self.statements(&["endset"], true)?;
        Ok(StmtKind::SetBlock(Box::new(SetBlock {
            target,
            filter,
            body,
            entry: Entry::default(),
            export: Vec::new(),
        })))
    }

    fn with(&mut self) -> Result<StmtKind> {
        self.advance();
        let mut targets = Vec::new();
        while *self.token() != Tok::BlockEnd {
            if !targets.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target(false)?;
            self.expect_op("=")?;
            targets.push((target, self.expression()?));
        }
        Ok(StmtKind::With {
            targets,
            body: self.statements(&["endwith"], true)?,
            entry: Entry::default(),
        })
    }

    fn load(&mut self, format: Format, pos: Pos) -> Result<StmtKind> {
        self.advance();
        self.expect_keyword("as")?;
        let target = self.target(false)?;
        let body = self.statements(&["endload"], true)?;
        Ok(StmtKind::Load {
            format,
            target,
            def: Rc::new(macro_def(None, Vec::new(), body, pos)),
            export: Vec::new(),
        })
    }

    fn import_data(&mut self, format: Format) -> Result<StmtKind> {
        self.advance();
        let template = self.expression()?;
        self.expect_keyword("as")?;
        let target = self.assignable_name()?;
        Ok(StmtKind::ImportData(Box::new(ImportData {
            format,
            template,
            target,
            with_context: self.import_context().unwrap_or(false),
            locals: Vec::new(),
            export: false,
        })))
    }

    fn assignable_name(&mut self) -> Result<Name> {
        let pos = self.pos();
        let found = self.expect_name()?;
        if is_constant(&found) {
            return self.fail("can't assign to 'name'", pos);
        }
        Ok(name(&found))
    }

    /// What is assigned to: names, and tuples of names.
    ///
    /// A comma before `in` begins another name, which is `in` then, as in Jinja 3.1.
    fn target(&mut self, namespaces: bool) -> Result<Target> {
        let mut all = Vec::new();
        let mut is_tuple = false;
        let start = self.pos();
        loop {
            if !all.is_empty() {
                self.expect_op(",")?;
            }
            if self.is_tuple_end() {
                break;
            }
            all.push(self.one_target(namespaces)?);
            if self.is_op(",") {
                is_tuple = true;
            } else {
                break;
            }
        }
        if is_tuple {
            return Ok(Target::Tuple(all));
        }
        match all.pop() {
            Some(target) => Ok(target),
            None => {
                let got = repr_str(&self.token().describe());
                self.fail(format!("Expected an expression, got {got}"), start)
            }
        }
    }

    fn one_target(&mut self, namespaces: bool) -> Result<Target> {
        let pos = self.pos();
        match self.token() {
            Tok::Name(found) => {
                let found = found.clone();
                if is_constant(&found) {
                    return self.fail("can't assign to 'const'", pos);
                }
                self.advance();
                if namespaces && self.skip_op(".") {
                    return Ok(Target::Namespace {
                        namespace: name(&found),
                        attribute: self.expect_name()?.into(),
                    });
                }
                Ok(Target::Name(name(&found)))
            }
            Tok::Op("(") => {
                self.deeper()?;
                self.advance();
                let target = if self.is_op(")") {
                    Target::Tuple(Vec::new())
                } else {
                    self.target(namespaces)?
                };
                self.expect_op(")")?;
                self.depth -= 1;
                Ok(target)
            }
            Tok::Op("[") => self.fail("can't assign to 'list'", pos),
            Tok::Op("{") => self.fail("can't assign to 'dict'", pos),
            Tok::Str(_) | Tok::Int(_) | Tok::Float(_) => self.fail("can't assign to 'const'", pos),
            other => {
                let message = format!("unexpected {}", repr_str(&other.describe()));
                self.fail(message, pos)
            }
        }
    }

    fn is_tuple_end(&self) -> bool {
        matches!(
            self.token(),
            Tok::VariableEnd | Tok::BlockEnd | Tok::Op(")")
        )
    }
}

fn flush(pieces: &mut Vec<Piece>, body: &mut Vec<Stmt>) {
    let pos = match pieces.first() {
        None => return,
        Some(Piece::Data { pos, .. }) => *pos,
        Some(Piece::Expr(expr)) => expr.pos,
    };
    body.push(Stmt {
        kind: StmtKind::Output(std::mem::take(pieces)),
        pos,
    });
}

fn macro_def(name: Option<Rc<str>>, params: Vec<Param>, body: Vec<Stmt>, pos: Pos) -> MacroDef {
    MacroDef {
        name,
        params,
        function: Function {
            body,
            ..Function::default()
        },
        caller: None,
        kwargs: None,
        varargs: None,
        explicit_caller: false,
        pos,
    }
}

fn is_constant(name: &str) -> bool {
    matches!(name, "true" | "false" | "none" | "True" | "False" | "None")
}
