//! The syntax tree. The resolver fills in where variables live.

use std::rc::Rc;

use super::value::{Str, Value};

/// Where a node stands, and the line Jinja counts for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pos {
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// The line number Python's Jinja gives the node.
    pub(crate) reported: u32,
}

impl Pos {
    pub(crate) fn at(line: u32, column: u32) -> Self {
        Self {
            line,
            column,
            reported: line,
        }
    }
}

/// A variable's place: how many functions up, and which slot there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) up: u16,
    pub(crate) index: u32,
}

/// A name in an expression or as a target.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) name: Rc<str>,
    pub(crate) slot: Slot,
}

/// An expression.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) node: Node,
    pub(crate) pos: Pos,
    /// How deep the nodes below nest.
    pub(crate) height: u16,
}

impl Expr {
    pub(crate) fn new(node: Node, pos: Pos) -> Self {
        let height = node.height().saturating_add(1);
        Self { node, pos, height }
    }
}

#[derive(Debug)]
pub(crate) enum Node {
    Const(Value),
    Name(Name),
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// `then if test else otherwise`.
    Cond(Box<Cond>),
    Filter(Box<Applied>),
    Test(Box<Applied>),
    Call(Box<Call>),
    Attribute(Box<Expr>, Str),
    Item(Box<Expr>, Box<Expr>),
    /// `x[start:stop:step]`.
    Slice(Box<Slice>),
    Concat(Vec<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
}

impl Node {
    fn height(&self) -> u16 {
        fn most<'a>(all: impl Iterator<Item = &'a Expr>) -> u16 {
            all.map(|expr| expr.height).max().unwrap_or(0)
        }
        match self {
            Self::Const(_) | Self::Name(_) => 0,
            Self::Tuple(items) | Self::List(items) | Self::Concat(items) => most(items.iter()),
            Self::Dict(items) => most(items.iter().flat_map(|(k, v)| [k, v])),
            Self::Cond(cond) => most([&cond.test, &cond.then].into_iter().chain(&cond.otherwise)),
            Self::Filter(it) | Self::Test(it) => most(it.target.iter()).max(it.args.height()),
            Self::Call(call) => call.callee.height.max(call.args.height()),
            Self::Attribute(x, _) | Self::Negative(x) | Self::Positive(x) | Self::Not(x) => {
                x.height
            }
            Self::Item(a, b) | Self::Binary(_, a, b) | Self::And(a, b) | Self::Or(a, b) => {
                a.height.max(b.height)
            }
            Self::Slice(it) => {
                let parts = [&it.start, &it.stop, &it.step].into_iter().flatten();
                most(std::iter::once(&it.target).chain(parts))
            }
            Self::Compare(first, rest) => first.height.max(most(rest.iter().map(|(_, expr)| expr))),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Cond {
    pub(crate) test: Expr,
    pub(crate) then: Expr,
    pub(crate) otherwise: Option<Expr>,
}

/// A filter or test with its arguments.
#[derive(Debug)]
pub(crate) struct Applied {
    /// What it is applied to; `None` is the body of a filter block.
    pub(crate) target: Option<Expr>,
    pub(crate) name: Rc<str>,
    pub(crate) args: CallArgs,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) callee: Expr,
    pub(crate) args: CallArgs,
}

#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) target: Expr,
    pub(crate) start: Option<Expr>,
    pub(crate) stop: Option<Expr>,
    pub(crate) step: Option<Expr>,
}

#[derive(Debug, Default)]
pub(crate) struct CallArgs {
    pub(crate) positional: Vec<Expr>,
    pub(crate) named: Vec<(Str, Expr)>,
    pub(crate) star: Option<Box<Expr>>,
    pub(crate) double_star: Option<Box<Expr>>,
}

impl CallArgs {
    fn height(&self) -> u16 {
        let named = self.named.iter().map(|(_, expr)| expr);
        let stars = [&self.star, &self.double_star].into_iter().flatten();
        let all = self
            .positional
            .iter()
            .chain(named)
            .chain(stars.map(|x| &**x));
        all.map(|expr| expr.height).max().unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

/// What can be assigned to.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Name),
    /// `namespace.attribute`.
    Namespace {
        namespace: Name,
        attribute: Str,
    },
    Tuple(Vec<Self>),
}

/// A statement.
#[derive(Debug)]
pub(crate) struct Stmt {
    pub(crate) kind: StmtKind,
    pub(crate) pos: Pos,
}

#[derive(Debug)]
pub(crate) enum StmtKind {
    Output(Vec<Piece>),
    For(Rc<For>),
    If(Vec<Branch>, Option<Vec<Stmt>>),
    Macro {
        target: Name,
        def: Rc<MacroDef>,
        exported: bool,
    },
    CallBlock {
        call: Expr,
        def: Rc<MacroDef>,
    },
    FilterBlock {
        filter: Expr,
        body: Vec<Stmt>,
        entry: Entry,
    },
    Set {
        target: Target,
        value: Expr,
        export: Vec<Name>,
    },
    SetBlock(Box<SetBlock>),
    With {
        targets: Vec<(Target, Expr)>,
        body: Vec<Stmt>,
        entry: Entry,
    },
    Autoescape {
        value: Expr,
        body: Vec<Stmt>,
        entry: Entry,
    },
    Include(Box<Include>),
    Import(Box<Import>),
    FromImport(Box<FromImport>),
    Extends(Expr),
    Block(Box<BlockCall>),
    Do(Expr),
    Break,
    Continue,
    /// Salt's `load_yaml` and its kin.
    Load {
        format: Format,
        target: Target,
        def: Rc<MacroDef>,
        export: Vec<Name>,
    },
    /// Salt's `import_yaml` and its kin.
    ImportData(Box<ImportData>),
}

/// A part of an output statement.
#[derive(Debug)]
pub(crate) enum Piece {
    Data { text: Box<str>, pos: Pos },
    Expr(Expr),
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) test: Expr,
    pub(crate) body: Vec<Stmt>,
    pub(crate) pos: Pos,
}

/// What happens to variables when a scope is entered, in order.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) loads: Vec<(u32, Load)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Load {
    /// Looked up in the context.
    Resolve(Rc<str>),
    /// Copied from an outer scope.
    Alias(Slot),
    /// Not there yet.
    Missing,
}

/// Code with its own variables: a template, block, macro or recursive loop.
#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(crate) body: Vec<Stmt>,
    pub(crate) entry: Entry,
    pub(crate) slots: u32,
    /// The slot of `self` when it is used.
    pub(crate) own: Option<u32>,
    /// The slot of `super` when it is used.
    pub(crate) parent: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) iter: Expr,
    pub(crate) filter: Option<LoopFilter>,
    pub(crate) body: Vec<Stmt>,
    pub(crate) entry: Entry,
    pub(crate) otherwise: Option<(Vec<Stmt>, Entry)>,
    /// The slot of `loop` when it is used.
    pub(crate) loop_slot: Option<u32>,
    /// `recursive`: the loop is a function of this many slots.
    pub(crate) recursive: Option<u32>,
    pub(crate) pos: Pos,
}

/// The `if` of a loop, a function of its own in Jinja.
#[derive(Debug)]
pub(crate) struct LoopFilter {
    pub(crate) test: Expr,
    pub(crate) target: Target,
    pub(crate) entry: Entry,
    pub(crate) slots: u32,
}

#[derive(Debug)]
pub(crate) struct MacroDef {
    /// `None` for the body of a call block.
    pub(crate) name: Option<Rc<str>>,
    pub(crate) params: Vec<Param>,
    pub(crate) function: Function,
    pub(crate) caller: Option<u32>,
    pub(crate) kwargs: Option<u32>,
    pub(crate) varargs: Option<u32>,
    /// `caller` is one of the parameters.
    pub(crate) explicit_caller: bool,
    pub(crate) pos: Pos,
}

#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: Rc<str>,
    pub(crate) slot: u32,
    pub(crate) default: Option<Expr>,
}

#[derive(Debug)]
pub(crate) struct SetBlock {
    pub(crate) target: Target,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Vec<Stmt>,
    pub(crate) entry: Entry,
    pub(crate) export: Vec<Name>,
}

/// Local variables handed to another template.
pub(crate) type Locals = Vec<(Rc<str>, Slot)>;

#[derive(Debug)]
pub(crate) struct Include {
    pub(crate) template: Expr,
    pub(crate) ignore_missing: bool,
    pub(crate) with_context: bool,
    pub(crate) locals: Locals,
}

#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) template: Expr,
    pub(crate) target: Name,
    pub(crate) with_context: bool,
    pub(crate) locals: Locals,
    pub(crate) toplevel: bool,
}

#[derive(Debug)]
pub(crate) struct FromImport {
    pub(crate) template: Expr,
    pub(crate) names: Vec<(Rc<str>, Name)>,
    pub(crate) with_context: bool,
    pub(crate) locals: Locals,
    pub(crate) toplevel: bool,
}

#[derive(Debug)]
pub(crate) struct ImportData {
    pub(crate) format: Format,
    pub(crate) template: Expr,
    pub(crate) target: Name,
    pub(crate) with_context: bool,
    pub(crate) locals: Locals,
    pub(crate) export: bool,
}

/// A data format of Salt's tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Yaml,
    Json,
    Text,
}

/// The place in a template where a block is shown.
#[derive(Debug)]
pub(crate) struct BlockCall {
    pub(crate) name: Rc<str>,
    pub(crate) scoped: bool,
    pub(crate) required: bool,
    pub(crate) toplevel: bool,
    pub(crate) locals: Locals,
}

/// A block's code.
#[derive(Debug)]
pub(crate) struct BlockDef {
    pub(crate) name: Rc<str>,
    pub(crate) function: Function,
    pub(crate) pos: Pos,
}
