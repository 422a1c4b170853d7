//! Tokens to the syntax tree: expressions.

use crate::jinja::ast::{
    Applied, Binary, Call, CallArgs, Comparison, Cond, Expr, Node, Pos, Slice,
};
use crate::jinja::lexer::Tok;
use crate::jinja::value::{Value, repr_str};
use crate::jinja::{Error, Kind, Result};

use super::{Parser, name};

/// An item between brackets: an index or a slice.
enum Subscript {
    Index(Expr),
    Slice([Option<Expr>; 3]),
}

fn operator(tok: &Tok) -> Option<(Binary, u8)> {
    let Tok::Op(op) = tok else { return None };
    Some(match *op {
        "+" => (Binary::Add, 1),
        "-" => (Binary::Sub, 1),
        "*" => (Binary::Mul, 3),
        "/" => (Binary::Div, 3),
        "//" => (Binary::FloorDiv, 3),
        "%" => (Binary::Mod, 3),
        "**" => (Binary::Pow, 4),
        _ => return None,
    })
}

/// An operation, which for a negative constant to a power is not what it seems:
/// Jinja folds constants before it writes Python, where `-2 ** n` is `-(2 ** n)`.
/// With a constant power it folds the whole rightly.
fn operation(op: Binary, left: Expr, right: Expr) -> Node {
    let negative = op == Binary::Pow
        && folded(&left).is_some_and(|left| left < 0.0)
        && folded(&right).is_none();
    if !negative {
        return Node::Binary(op, Box::new(left), Box::new(right));
    }
    let pos = left.pos;
    let positive = Expr::new(Node::Negative(Box::new(left)), pos);
    let power = Node::Binary(op, Box::new(positive), Box::new(right));
    Node::Negative(Box::new(Expr::new(power, pos)))
}

/// About the value of a number that is constant.
fn folded(expr: &Expr) -> Option<f64> {
    match &expr.node {
        Node::Const(Value::Int(n)) => Some(*n as f64),
        Node::Const(Value::Float(x)) => Some(*x),
        Node::Const(Value::Bool(b)) => Some(f64::from(u8::from(*b))),
        Node::Negative(inner) => folded(inner).map(|x| -x),
        Node::Positive(inner) => folded(inner),
        Node::Binary(Binary::Add, a, b) => Some(folded(a)? + folded(b)?),
        Node::Binary(Binary::Sub, a, b) => Some(folded(a)? - folded(b)?),
        Node::Binary(Binary::Mul, a, b) => Some(folded(a)? * folded(b)?),
        _ => None,
    }
}

impl Parser {
    /// Any expression but a bare tuple.
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.deeper()?;
        let reported = self.pos().reported;
        let mut then = self.or()?;
        let mut reported = reported;
        while self.is_name("if") {
            let pos = self.pos();
            self.advance();
            let test = self.or()?;
            let otherwise = if self.skip_name("else") {
                Some(self.expression()?)
            } else {
                None
            };
            let cond = Cond {
                test,
                then,
                otherwise,
            };
            then = self.make(Node::Cond(Box::new(cond)), Pos { reported, ..pos })?;
            reported = self.pos().reported;
        }
        self.depth -= 1;
        Ok(then)
    }

    /// An expression or a tuple without parentheses.
    ///
    /// `conditional`: whether `a if b else c` is allowed; `empty`: whether
    /// nothing is a tuple too.
    pub(super) fn tuple(&mut self, conditional: bool, empty: bool) -> Result<Expr> {
        let start = self.pos();
        let mut reported = start.reported;
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            if !items.is_empty() {
                self.expect_op(",")?;
            }
            if self.is_tuple_end() {
                break;
            }
            items.push(if conditional {
                self.expression()?
            } else {
                self.unconditional()?
            });
            if self.is_op(",") {
                is_tuple = true;
            } else {
                break;
            }
            reported = self.pos().reported;
        }
        if !is_tuple {
            if let Some(only) = items.pop() {
                return Ok(only);
            }
            if !empty {
                let got = repr_str(&self.token().describe());
                return self.fail(format!("Expected an expression, got {got}"), self.pos());
            }
        }
        self.make(Node::Tuple(items), Pos { reported, ..start })
    }

    fn unconditional(&mut self) -> Result<Expr> {
        self.deeper()?;
        let expr = self.or()?;
        self.depth -= 1;
        Ok(expr)
    }

    fn or(&mut self) -> Result<Expr> {
        let mut reported = self.pos().reported;
        let mut left = self.and()?;
        while self.is_name("or") {
            let pos = self.pos();
            self.advance();
            let right = self.and()?;
            let node = Node::Or(Box::new(left), Box::new(right));
            left = self.make(node, Pos { reported, ..pos })?;
            reported = self.pos().reported;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut reported = self.pos().reported;
        let mut left = self.not()?;
        while self.is_name("and") {
            let pos = self.pos();
            self.advance();
            let right = self.not()?;
            let node = Node::And(Box::new(left), Box::new(right));
            left = self.make(node, Pos { reported, ..pos })?;
            reported = self.pos().reported;
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        let pos = self.pos();
        if !self.skip_name("not") {
            return self.comparison();
        }
        self.deeper()?;
        let inner = self.not()?;
        self.depth -= 1;
        self.make(Node::Not(Box::new(inner)), pos)
    }

    fn comparison(&mut self) -> Result<Expr> {
        let mut reported = self.pos().reported;
        let first = self.arithmetic(1)?;
        let mut rest = Vec::new();
        let mut pos = self.pos();
        loop {
            let here = self.pos();
            let Some((comparison, tokens)) = self.comparison_operator() else {
                break;
            };
            if rest.is_empty() {
                pos = here;
            }
            for _ in 0..tokens {
                self.advance();
            }
            rest.push((comparison, self.arithmetic(1)?));
            reported = self.pos().reported;
        }
        if rest.is_empty() {
            return Ok(first);
        }
        let node = Node::Compare(Box::new(first), rest);
        self.make(node, Pos { reported, ..pos })
    }

    fn comparison_operator(&self) -> Option<(Comparison, u8)> {
        Some(match self.token() {
            Tok::Op("==") => (Comparison::Eq, 1),
            Tok::Op("!=") => (Comparison::Ne, 1),
            Tok::Op("<") => (Comparison::Lt, 1),
            Tok::Op("<=") => (Comparison::Le, 1),
            Tok::Op(">") => (Comparison::Gt, 1),
            Tok::Op(">=") => (Comparison::Ge, 1),
            Tok::Name(name) if name == "in" => (Comparison::In, 1),
            Tok::Name(name) if name == "not" => match self.ahead() {
                Tok::Name(name) if name == "in" => (Comparison::NotIn, 2),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Arithmetic of this binding strength and stronger; all of it binds to
    /// the left. Strength 2 is `~`, which takes any number of operands at once.
    fn arithmetic(&mut self, strength: u8) -> Result<Expr> {
        let mut reported = self.pos().reported;
        let mut left = match strength {
            4 => self.unary(true)?,
            weaker => self.arithmetic(weaker + 1)?,
        };
        if strength == 2 {
            let pos = self.pos();
            if !self.is_op("~") {
                return Ok(left);
            }
            let mut parts = vec![left];
            while self.skip_op("~") {
                parts.push(self.arithmetic(3)?);
            }
            return self.make(Node::Concat(parts), Pos { reported, ..pos });
        }
        while let Some((op, found)) = operator(self.token())
            && found == strength
        {
            let pos = self.pos();
            self.advance();
            let right = match strength {
                4 => self.unary(true)?,
                weaker => self.arithmetic(weaker + 1)?,
            };
            let node = operation(op, left, right);
            left = self.make(node, Pos { reported, ..pos })?;
            reported = self.pos().reported;
        }
        Ok(left)
    }

    fn unary(&mut self, filters: bool) -> Result<Expr> {
        let pos = self.pos();
        let expr = if self.is_op("-") || self.is_op("+") {
            let negative = self.is_op("-");
            self.deeper()?;
            self.advance();
            let inner = Box::new(self.unary(false)?);
            self.depth -= 1;
            let node = if negative {
                Node::Negative(inner)
            } else {
                Node::Positive(inner)
            };
            self.make(node, pos)?
        } else {
            self.primary()?
        };
        let expr = self.postfix(expr)?;
        if filters {
            self.filters(expr)
        } else {
            Ok(expr)
        }
    }

    fn primary(&mut self) -> Result<Expr> {
        let pos = self.pos();
        let node = match self.token() {
            Tok::Name(found) => {
                let node = match found.as_str() {
                    "true" | "True" => Node::Const(Value::Bool(true)),
                    "false" | "False" => Node::Const(Value::Bool(false)),
                    "none" | "None" => Node::Const(Value::None),
                    other => Node::Name(name(other)),
                };
                self.advance();
                node
            }
            Tok::Str(text) => {
                let mut text = text.clone();
                self.advance();
                while let Tok::Str(more) = self.token() {
                    text += more;
                    self.advance();
                }
                Node::Const(Value::text(text))
            }
            Tok::Int(n) => {
                let node = Node::Const(n.clone());
                self.advance();
                node
            }
            Tok::Float(x) => {
                let node = Node::Const(Value::Float(*x));
                self.advance();
                node
            }
            Tok::Op("(") => {
                self.advance();
                self.deeper()?;
                let expr = self.tuple(true, true)?;
                self.depth -= 1;
                self.expect_op(")")?;
                return Ok(expr);
            }
            Tok::Op("[") => {
                self.advance();
                let mut items = Vec::new();
                while !self.is_op("]") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                    }
                    if self.is_op("]") {
                        break;
                    }
                    items.push(self.expression()?);
                }
                self.expect_op("]")?;
                Node::List(items)
            }
            Tok::Op("{") => {
                self.advance();
                let mut items = Vec::new();
                while !self.is_op("}") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                    }
                    if self.is_op("}") {
                        break;
                    }
                    let key = self.expression()?;
                    self.expect_op(":")?;
                    items.push((key, self.expression()?));
                }
                self.expect_op("}")?;
                Node::Dict(items)
            }
            other => {
                let message = format!("unexpected {}", repr_str(&other.describe()));
                return self.fail(message, pos);
            }
        };
        self.make(node, pos)
    }

    fn postfix(&mut self, mut expr: Expr) -> Result<Expr> {
        loop {
            expr = match self.token() {
                Tok::Op(".") => self.attribute(expr)?,
                Tok::Op("[") => self.subscript(expr)?,
                Tok::Op("(") => self.call(expr)?,
                _ => return Ok(expr),
            };
        }
    }

    fn attribute(&mut self, target: Expr) -> Result<Expr> {
        let reported = self.pos().reported;
        self.advance();
        let pos = Pos {
            reported,
            ..self.pos()
        };
        let node = match self.token() {
            Tok::Name(found) => {
                let found = found.as_str().into();
                Node::Attribute(Box::new(target), found)
            }
            Tok::Int(n) => {
                let index = Expr::new(Node::Const(n.clone()), pos);
                Node::Item(Box::new(target), Box::new(index))
            }
            _ => return self.fail("expected name or number", self.pos()),
        };
        self.advance();
        self.make(node, pos)
    }

    fn subscript(&mut self, target: Expr) -> Result<Expr> {
        let bracket = self.pos();
        self.advance();
        let pos = Pos {
            reported: bracket.reported,
            ..self.pos()
        };
        let mut parts = Vec::new();
        while !self.is_op("]") {
            if !parts.is_empty() {
                self.expect_op(",")?;
            }
            parts.push(self.one_subscript()?);
        }
        self.advance();
        if parts.len() == 1
            && let Some(Subscript::Slice([start, stop, step])) = parts.pop_if(|p| p.is_slice())
        {
            let slice = Slice {
                target,
                start,
                stop,
                step,
            };
            return self.make(Node::Slice(Box::new(slice)), pos);
        }
        let mut items = Vec::new();
        for part in parts {
            match part {
                Subscript::Index(expr) => items.push(expr),
                Subscript::Slice(_) => return self.fail("invalid syntax", pos),
            }
        }
        let key = match items.pop() {
            Some(only) if items.is_empty() => only,
            Some(last) => {
                items.push(last);
                self.make(Node::Tuple(items), pos)?
            }
            None => self.make(Node::Tuple(items), pos)?,
        };
        self.make(Node::Item(Box::new(target), Box::new(key)), pos)
    }

    fn one_subscript(&mut self) -> Result<Subscript> {
        let start = if self.is_op(":") {
            None
        } else {
            let expr = self.expression()?;
            if !self.is_op(":") {
                return Ok(Subscript::Index(expr));
            }
            Some(expr)
        };
        self.advance();
        let stop = self.slice_part()?;
        let step = if self.skip_op(":") {
            self.slice_part()?
        } else {
            None
        };
        Ok(Subscript::Slice([start, stop, step]))
    }

    fn slice_part(&mut self) -> Result<Option<Expr>> {
        if self.is_op(":") || self.is_op("]") || self.is_op(",") {
            return Ok(None);
        }
        self.expression().map(Some)
    }

    fn call(&mut self, callee: Expr) -> Result<Expr> {
        let pos = Pos {
            reported: self.pos().reported,
            ..callee.pos
        };
        let args = self.call_args()?;
        self.make(Node::Call(Box::new(Call { callee, args })), pos)
    }

    fn call_args(&mut self) -> Result<CallArgs> {
        let open = self.pos();
        self.expect_op("(")?;
        let mut args = CallArgs::default();
        let mut comma = false;
        let invalid = |parser: &Self| -> Result<()> {
            parser.fail("invalid syntax for function call expression", open)
        };
        while !self.is_op(")") {
            if comma {
                self.expect_op(",")?;
                if self.is_op(")") {
                    break;
                }
            }
            comma = true;
            if self.is_op("*") {
                if args.star.is_some() || args.double_star.is_some() {
                    invalid(self)?;
                }
                self.advance();
                args.star = Some(Box::new(self.expression()?));
            } else if self.is_op("**") {
                if args.double_star.is_some() {
                    invalid(self)?;
                }
                self.advance();
                args.double_star = Some(Box::new(self.expression()?));
            } else if let Tok::Name(key) = self.token()
                && *self.ahead() == Tok::Op("=")
            {
                let key = key.clone();
                if args.double_star.is_some() {
                    invalid(self)?;
                }
                let pos = self.pos();
                self.advance();
                self.advance();
                if args.named.iter().any(|(name, _)| **name == *key) {
                    // Python itself refuses the code that Jinja makes of it.
                    let message = format!("keyword argument repeated: {key}");
                    return Err(Error::new(Kind::Syntax, message).at_pos(pos));
                }
                let value = self.expression()?;
                args.named.push((key.into(), value));
            } else {
                if args.star.is_some() || args.double_star.is_some() || !args.named.is_empty() {
                    invalid(self)?;
                }
                args.positional.push(self.expression()?);
            }
        }
        self.expect_op(")")?;
        Ok(args)
    }

    /// Filters, tests and calls after an expression.
    fn filters(&mut self, mut expr: Expr) -> Result<Expr> {
        loop {
            expr = match self.token() {
                Tok::Op("|") => {
                    self.advance();
                    self.filter(Some(expr))?
                }
                Tok::Name(name) if name == "is" => self.test(expr)?,
                Tok::Op("(") => self.call(expr)?,
                _ => return Ok(expr),
            };
        }
    }

    /// `filter name(…)|more`: the filters of a filter block.
    pub(super) fn filter_of_block(&mut self) -> Result<Expr> {
        let mut expr = self.filter(None)?;
        while self.skip_op("|") {
            expr = self.filter(Some(expr))?;
        }
        Ok(expr)
    }

    /// `|name(…)|more`: the filters of a set block.
    pub(super) fn filters_of_set(&mut self) -> Result<Expr> {
        self.expect_op("|")?;
        self.filter_of_block()
    }

    fn filter(&mut self, target: Option<Expr>) -> Result<Expr> {
        let pos = self.pos();
        let name = self.dotted_name()?;
        let args = if self.is_op("(") {
            self.call_args()?
        } else {
            CallArgs::default()
        };
        let name = name.into();
        let applied = Applied { target, name, args };
        self.make(Node::Filter(Box::new(applied)), pos)
    }

    fn dotted_name(&mut self) -> Result<String> {
        let mut name = self.expect_name()?;
        while self.skip_op(".") {
            name.push('.');
            name += &self.expect_name()?;
        }
        Ok(name)
    }

    fn test(&mut self, target: Expr) -> Result<Expr> {
        let reported = self.pos().reported;
        self.advance();
        let negated = self.skip_name("not");
        let pos = Pos {
            reported,
            ..self.pos()
        };
        let name = self.dotted_name()?;
        let takes_argument = match self.token() {
            Tok::Name(name) => !matches!(name.as_str(), "else" | "or" | "and"),
            Tok::Str(_) | Tok::Int(_) | Tok::Float(_) | Tok::Op("[" | "{") => true,
            _ => false,
        };
        let mut args = CallArgs::default();
        if self.is_op("(") {
            args = self.call_args()?;
        } else if takes_argument {
            if self.is_name("is") {
                return self.fail("You cannot chain multiple tests with is", self.pos());
            }
            let argument = self.primary()?;
            args.positional.push(self.postfix(argument)?);
        }
        let applied = Applied {
            target: Some(target),
            name: name.into(),
            args,
        };
        let test = self.make(Node::Test(Box::new(applied)), pos)?;
        if negated {
            return self.make(Node::Not(Box::new(test)), pos);
        }
        Ok(test)
    }
}

impl Subscript {
    fn is_slice(&self) -> bool {
        matches!(self, Self::Slice(_))
    }
}
