//! Text to expressions.

use crate::jinja::value::Value;
use crate::jinja::{Result, Runtime, json};

use super::{Node, error};

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Quoted(String),
    Literal(Value),
    Number(i64),
    Op(&'static str),
    End,
}

const OPERATORS: [&str; 24] = [
    "||", "&&", "==", "!=", "<=", ">=", "[]", "[?", "<", ">", "!", "|", "&", ".", "*", "[", "]",
    "{", "}", "(", ")", ",", ":", "@",
];

fn tokens(rt: &Runtime<'_>, text: &str) -> Result<Vec<(usize, Token)>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(c) = rest.chars().next() else { break };
        if c.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let (token, len) = if c == '_' || c.is_ascii_alphabetic() {
            let len = rest.find(|c| !word(c)).unwrap_or(rest.len());
            (Token::Name(rest.get(..len).unwrap_or("").to_owned()), len)
        } else if c.is_ascii_digit() || c == '-' {
            let digits = rest.get(1..).unwrap_or("");
            let len = 1 + digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            match rest.get(..len).unwrap_or("").parse() {
                Ok(number) => (Token::Number(number), len),
                Err(_) => return Err(bad(text, at, "Unknown token '-'")),
            }
        } else if c == '"' || c == '\'' || c == '`' {
            quoted(rt, text, rest, at, c)?
        } else if let Some(op) = OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            (Token::Op(op), op.len())
        } else {
            return Err(bad(
                text,
                at,
                &match c {
                    '=' => "Unknown token '='".to_owned(),
                    c => format!("Unknown token {c}"),
                },
            ));
        };
        tokens.push((at, token));
        at += len;
    }
    tokens.push((text.len(), Token::End));
    Ok(tokens)
}

fn quoted(
    rt: &Runtime<'_>,
    text: &str,
    rest: &str,
    at: usize,
    quote: char,
) -> Result<(Token, usize)> {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find_map(|(at, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    });
    let Some(end) = end else {
        return Err(bad(text, at, &format!("Unclosed {quote} delimiter")));
    };
    let inner = rest.get(1..end).unwrap_or("");
    let token = match quote {
        '\'' => Token::Literal(Value::text(inner.replace("\\'", "'"))),
        '"' => {
            let name = json::load(rt, rest.get(..=end).unwrap_or(""))?;
            Token::Quoted(name.str()?)
        }
        _ => {
            let inner = inner.replace("\\`", "`");
            let inner = inner.trim();
            // Text without quotes was allowed once and still is.
            let value = json::load(rt, inner).or_else(|_| json::load(rt, &format!("\"{inner}\"")));
            Token::Literal(value.map_err(|_| bad(text, at, &format!("Bad token {inner}")))?)
        }
    };
    Ok((token, end + 1))
}

/// What is no token.
fn bad(text: &str, at: usize, what: &str) -> crate::jinja::Error {
    error(format!(
        "Bad jmespath expression: {what}:\n{text}\n{}^",
        " ".repeat(column(text, at))
    ))
}

fn column(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).chars().count()
}

/// Parses an expression.
pub(super) fn parse(rt: &Runtime<'_>, text: &str) -> Result<Node> {
    let mut parser = Parser {
        rt,
        text,
        tokens: tokens(rt, text)?,
        at: 0,
    };
    let node = parser.expression(0)?;
    if *parser.token() != Token::End {
        return parser.fail();
    }
    Ok(node)
}

struct Parser<'a, 'r, 'e> {
    rt: &'r Runtime<'e>,
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    at: usize,
}

/// The name of an operator in messages.
fn name_of(op: &str) -> &'static str {
    match op {
        "." => "DOT",
        "*" => "STAR",
        "|" => "PIPE",
        "||" => "OR",
        "&&" => "AND",
        "!" => "NOT",
        "==" => "EQ",
        "!=" => "NE",
        "<" => "LT",
        "<=" => "LTE",
        ">" => "GT",
        ">=" => "GTE",
        "(" => "LPAREN",
        ")" => "RPAREN",
        "[" => "LBRACKET",
        "]" => "RBRACKET",
        "{" => "LBRACE",
        "}" => "RBRACE",
        "," => "COMMA",
        ":" => "COLON",
        "&" => "EXPREF",
        "@" => "CURRENT",
        "[?" => "FILTER",
        _ => "FLATTEN",
    }
}

/// How strongly an operator binds; projections end below 10.
fn strength(token: &Token) -> u8 {
    match token {
        Token::Op("|") => 1,
        Token::Op("||") => 2,
        Token::Op("&&") => 3,
        Token::Op("==" | "!=" | "<" | "<=" | ">" | ">=") => 5,
        Token::Op("[]") => 9,
        Token::Op("*") => 20,
        Token::Op("[?") => 21,
        Token::Op(".") => 40,
        Token::Op("[") => 55,
        Token::Op("(") => 60,
        _ => 0,
    }
}

impl Parser<'_, '_, '_> {
    fn token(&self) -> &Token {
        self.tokens
            .get(self.at)
            .map_or(&Token::End, |(_, token)| token)
    }

    fn ahead(&self, n: usize) -> &Token {
        self.tokens
            .get(self.at + n)
            .map_or(&Token::End, |(_, token)| token)
    }

    fn take(&mut self) -> Token {
        let token = self.token().clone();
        self.at += 1;
        token
    }

    fn fail<T>(&self) -> Result<T> {
        let (at, token) = match self.tokens.get(self.at.min(self.tokens.len() - 1)) {
            Some((at, token)) => (*at, token.clone()),
            None => (self.text.len(), Token::End),
        };
        let text = self.text;
        let column = column(text, at);
        let pointer = " ".repeat(column + 1);
        let (kind, value) = match token {
            Token::End => {
                return Err(error(format!(
                    "Invalid jmespath expression: Incomplete expression:\n\"{text}\"\n{pointer}^"
                )));
            }
            Token::Name(name) => ("UNQUOTED_IDENTIFIER", name),
            Token::Quoted(name) => ("QUOTED_IDENTIFIER", name),
            Token::Literal(value) => ("LITERAL", value.str()?),
            Token::Number(number) => ("NUMBER", number.to_string()),
            Token::Op(op) => (name_of(op), op.to_owned()),
        };
        Err(error(format!(
            "Unexpected token: {value}: Parse error at column {column}, token \"{value}\" ({kind}), for expression:\n\"{text}\"\n{pointer}^"
        )))
    }

    fn expect(&mut self, op: &'static str) -> Result<()> {
        if *self.token() == Token::Op(op) {
            self.at += 1;
            Ok(())
        } else {
            self.fail()
        }
    }

    fn expression(&mut self, binding: u8) -> Result<Node> {
        let _level = self.rt.enter()?;
        let mut left = self.prefix()?;
        while binding < strength(self.token()) {
            self.rt.charge(1)?;
            left = self.infix(left)?;
        }
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Node> {
        Ok(match self.take() {
            Token::Literal(value) => Node::Literal(value),
            Token::Name(name) => Node::Field(name),
            Token::Quoted(name) => {
                if *self.token() == Token::Op("(") {
                    return self.fail();
                }
                Node::Field(name)
            }
            Token::Op("*") => {
                let each = self.projected(20)?;
                Node::Values(Box::new(Node::Current), Box::new(each))
            }
            Token::Op("[?") => self.filter(Node::Current)?,
            Token::Op("{") => self.multi_map()?,
            Token::Op("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                inner
            }
            Token::Op("[]") => {
                let flat = Node::Flatten(Box::new(Node::Current));
                let each = self.projected(9)?;
                Node::Project(Box::new(flat), Box::new(each))
            }
            Token::Op("!") => Node::Not(Box::new(self.expression(45)?)),
            Token::Op("@") => Node::Current,
            Token::Op("&") => Node::Reference(Box::new(self.expression(0)?)),
            Token::Op("[") => match self.token() {
                Token::Number(_) | Token::Op(":") => self.index(Node::Current)?,
                Token::Op("*") if *self.ahead(1) == Token::Op("]") => {
                    self.at += 2;
                    let each = self.projected(20)?;
                    Node::Project(Box::new(Node::Current), Box::new(each))
                }
                _ => self.multi_list()?,
            },
            _ => {
                self.at -= 1;
                return self.fail();
            }
        })
    }

    fn infix(&mut self, left: Node) -> Result<Node> {
        let token = self.take();
        let binding = strength(&token);
        let left = Box::new(left);
        Ok(match token {
            Token::Op(".") => {
                if *self.token() == Token::Op("*") {
                    self.at += 1;
                    let each = self.projected(20)?;
                    Node::Values(left, Box::new(each))
                } else {
                    Node::Sub(left, Box::new(self.after_dot(40)?))
                }
            }
            Token::Op("|") => {
                let right = self.expression(1)?;
                // A pipe goes on with null too.
                Node::Sub(left, Box::new(right))
            }
            Token::Op("||") => Node::Or(left, Box::new(self.expression(2)?)),
            Token::Op("&&") => Node::And(left, Box::new(self.expression(3)?)),
            Token::Op("(") => {
                let Node::Field(name) = *left else {
                    return self.fail();
                };
                let mut args = Vec::new();
                while *self.token() != Token::Op(")") {
                    args.push(self.expression(0)?);
                    if *self.token() == Token::Op(",") {
                        self.at += 1;
                    }
                }
                self.expect(")")?;
                Node::Call(name, args)
            }
            Token::Op("[?") => self.filter(*left)?,
            Token::Op("[]") => {
                let each = self.projected(9)?;
                Node::Project(Box::new(Node::Flatten(left)), Box::new(each))
            }
            Token::Op("[") => match self.token() {
                Token::Number(_) | Token::Op(":") => self.index(*left)?,
                _ => {
                    self.expect("*")?;
                    self.expect("]")?;
                    let each = self.projected(20)?;
                    Node::Project(left, Box::new(each))
                }
            },
            Token::Op(op @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => {
                Node::Compare(op, left, Box::new(self.expression(binding)?))
            }
            _ => {
                self.at -= 1;
                return self.fail();
            }
        })
    }

    fn filter(&mut self, left: Node) -> Result<Node> {
        let test = self.expression(0)?;
        self.expect("]")?;
        let each = if *self.token() == Token::Op("[]") {
            Node::Current
        } else {
            self.projected(21)?
        };
        Ok(Node::Filter(Box::new(left), Box::new(test), Box::new(each)))
    }

    /// `0]` or `start:stop:step]`.
    fn index(&mut self, left: Node) -> Result<Node> {
        let mut parts = [None; 3];
        let mut at = 0;
        loop {
            match self.token() {
                Token::Op("]") => break,
                Token::Op(":") => at += 1,
                Token::Number(number) => {
                    if let Some(part) = parts.get_mut(at) {
                        *part = Some(*number);
                    }
                }
                _ => return self.fail(),
            }
            if at > 2 {
                return self.fail();
            }
            self.at += 1;
        }
        self.expect("]")?;
        let [start, ..] = parts;
        if at == 0 {
            let index = Node::Index(start.unwrap_or(0));
            return Ok(Node::Sub(Box::new(left), Box::new(index)));
        }
        let slice = Node::Sub(Box::new(left), Box::new(Node::Slice(parts)));
        let each = self.projected(20)?;
        Ok(Node::Project(Box::new(slice), Box::new(each)))
    }

    /// What is applied to each item of a projection.
    fn projected(&mut self, binding: u8) -> Result<Node> {
        match self.token() {
            token if strength(token) < 10 => Ok(Node::Current),
            Token::Op("[" | "[?") => self.expression(binding),
            Token::Op(".") => {
                self.at += 1;
                self.after_dot(binding)
            }
            _ => self.fail(),
        }
    }

    fn after_dot(&mut self, binding: u8) -> Result<Node> {
        match self.token() {
            Token::Name(_) | Token::Quoted(_) | Token::Op("*") => self.expression(binding),
            Token::Op("[") => {
                self.at += 1;
                self.multi_list()
            }
            Token::Op("{") => {
                self.at += 1;
                self.multi_map()
            }
            _ => self.fail(),
        }
    }

    fn multi_list(&mut self) -> Result<Node> {
        let mut nodes = Vec::new();
        loop {
            nodes.push(self.expression(0)?);
            if *self.token() == Token::Op("]") {
                break;
            }
            self.expect(",")?;
        }
        self.expect("]")?;
        Ok(Node::List(nodes))
    }

    fn multi_map(&mut self) -> Result<Node> {
        let mut nodes = Vec::new();
        loop {
            let (Token::Name(name) | Token::Quoted(name)) = self.take() else {
                self.at -= 1;
                return self.fail();
            };
            self.expect(":")?;
            nodes.push((name, self.expression(0)?));
            if *self.token() == Token::Op("}") {
                break;
            }
            self.expect(",")?;
        }
        self.expect("}")?;
        Ok(Node::Map(nodes))
    }
}
