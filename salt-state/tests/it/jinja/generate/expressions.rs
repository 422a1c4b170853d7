//! Expressions of a kind, and wild ones.

use super::Source;

impl Source {
    pub(super) fn expression(&mut self, depth: u32) -> String {
        if self.below(6) == 0 {
            return self.wild(depth);
        }
        if self.salt && depth > 0 && self.below(4) == 0 {
            self.fuel -= 1;
            return self.salt_expression(depth);
        }
        match self.below(9) {
            0 | 1 => self.number(depth),
            2..=4 => self.text(depth),
            5 | 6 => self.list(depth),
            7 => self.dict(depth),
            _ => self.truth(depth),
        }
    }

    /// An expression that is a number.
    pub(super) fn number(&mut self, depth: u32) -> String {
        self.fuel -= 1;
        if depth == 0 || self.fuel < 0 {
            return self
                .pick(&[
                    "a", "b", "n", "x", "1", "0", "12", "2.5", "d.num", "items[0]", "-3", "1e3",
                ])
                .to_owned();
        }
        let d = depth - 1;
        match self.below(9) {
            0..=2 => {
                let op = self.pick(&["+", "-", "*", "/", "//", "%"]);
                format!("({} {op} {})", self.number(d), self.number(d))
            }
            3 => format!(
                "{} ** {}",
                self.pick(&["a", "2", "n", "1.5"]),
                self.pick(&["2", "3", "n", "-1", "0.5", "62", "70"])
            ),
            4 => format!("{}|{}", self.list(d), self.pick(&["length", "count"])),
            5 => format!(
                "{}|{}",
                self.text(d),
                self.pick(&["length", "int", "float", "int(9)", "wordcount"])
            ),
            6 => {
                let filter = self.pick(&[
                    "abs",
                    "round",
                    "round(1)",
                    "round(1, 'ceil')",
                    "int",
                    "float",
                    "round(-1)",
                    "round(2, 'floor')",
                ]);
                format!("({})|{filter}", self.number(d))
            }
            7 => format!("-{}", self.number(0)),
            _ => format!(
                "[{}, {}]|{}",
                self.number(d),
                self.number(d),
                self.pick(&["sum", "max", "min", "first", "last"])
            ),
        }
    }

    /// An expression that is text.
    pub(super) fn text(&mut self, depth: u32) -> String {
        self.fuel -= 1;
        if depth == 0 || self.fuel < 0 {
            return self
                .pick(&[
                    "s",
                    "words[0]",
                    "'abc'",
                    "\"it's\"",
                    "'a b c'",
                    "words[2]",
                    "d.key",
                    "''",
                    "'12'",
                    "'Ünï'",
                    "'x\\ty\\nz'",
                    "'<b>&'",
                ])
                .to_owned();
        }
        let d = depth - 1;
        match self.below(12) {
            0 => format!("{} ~ {}", self.text(d), self.expression(d)),
            1 => format!("({} + {})", self.text(d), self.text(d)),
            2..=4 => {
                let filter = self.pick(&[
                    "upper",
                    "lower",
                    "title",
                    "capitalize",
                    "trim",
                    "replace('l', 'L')",
                    "replace('a', '')",
                    "center(12)",
                    "indent(2)",
                    "indent(3, true)",
                    "indent(1, blank=true)",
                    "truncate(6)",
                    "truncate(5, true)",
                    "truncate(6, false, '~', 1)",
                    "wordwrap(5)",
                    "wordwrap(3, false)",
                    "urlencode",
                    "e",
                    "striptags",
                    "string",
                    "reverse",
                    "default('d')",
                    "default('d', true)",
                    "tojson",
                    "pprint",
                    "forceescape",
                    "trim('a')",
                    "urlize",
                    "safe",
                    "e|upper",
                    "e ~ '<'",
                ]);
                format!("{}|{filter}", self.text(d))
            }
            5..=7 => {
                let method = self.pick(&[
                    "upper()",
                    "lower()",
                    "title()",
                    "capitalize()",
                    "swapcase()",
                    "strip()",
                    "lstrip('Ha')",
                    "rstrip()",
                    "replace('l', 'LL', 1)",
                    "zfill(9)",
                    "center(9, '*')",
                    "ljust(8)",
                    "rjust(8, '.')",
                    "join(words)",
                    "join(['x', 'y'])",
                    "casefold()",
                    "expandtabs(4)",
                    "removeprefix('He')",
                    "removesuffix('ld')",
                    "format(1)",
                ]);
                format!("{}.{method}", self.text(0))
            }
            8 => format!("{}|join('{}')", self.list(d), self.pick(&["", ",", "-"])),
            9 => self.formatted(),
            10 => format!("{} * {}", self.text(0), self.pick(&["0", "2", "n", "3"])),
            _ => format!(
                "{}[{}]",
                self.text(0),
                self.pick(&["0:3", ":-1", "::2", "::-1", "-3:", "1:2", "n:"])
            ),
        }
    }

    /// An expression that is a list.
    pub(super) fn list(&mut self, depth: u32) -> String {
        self.fuel -= 1;
        if depth == 0 || self.fuel < 0 {
            return self
                .pick(&[
                    "items",
                    "words",
                    "nested",
                    "[1, 2]",
                    "[]",
                    "['b', 'A']",
                    "d.list",
                    "[3, 1.5, -2]",
                    "[[1, 2], [3]]",
                ])
                .to_owned();
        }
        let d = depth - 1;
        match self.below(11) {
            0..=3 => {
                let filter = self.pick(&[
                    "sort",
                    "reverse|list",
                    "unique|list|sort",
                    "map('string')|list",
                    "select|list",
                    "reject('none')|list",
                    "batch(2)|list",
                    "batch(2, 'f')|list",
                    "slice(2)|list",
                    "slice(3, 'q')|list",
                    "list",
                    "map('upper')|list",
                    "select('defined')|list",
                    "map('default', 'q')|list",
                    "sort(reverse=true)",
                    "select('string')|list",
                    "tojson|list",
                    "map('length')|list",
                ]);
                let list = self.list(d);
                format!("{list}|{filter}")
            }
            4 => {
                let filter = self.pick(&[
                    "map(attribute='name')|list",
                    "selectattr('age', 'gt', 26)|list",
                    "rejectattr('tags')|list",
                    "sort(attribute='age')",
                    "sort(attribute='name,age')",
                    "groupby('age')",
                    "groupby('name')|map('first')|list",
                    "selectattr('tags')|map(attribute='tags.1')|list",
                    "sum(attribute='age')",
                    "max(attribute='age')",
                    "min(attribute='name')",
                    "unique(attribute='age')|list|length",
                    "map(attribute='none', default='-')|list",
                    "join(',', attribute='name')",
                    "map(attribute='tags')|sum(start=[])",
                ]);
                format!("nested|{filter}")
            }
            5 => format!(
                "{}.{}",
                self.text(0),
                self.pick(&[
                    "split()",
                    "split('l')",
                    "split('l', 1)",
                    "rsplit('l', 1)",
                    "splitlines()",
                    "partition('l')",
                    "rpartition(' ')"
                ])
            ),
            6 => format!("({} + {})", self.list(d), self.list(d)),
            7 => format!(
                "{}[{}]",
                self.list(0),
                self.pick(&["1:", ":2", "::-1", "::2", "-1:", "5:"])
            ),
            8 => format!(
                "{}|{}",
                self.dict(d),
                self.pick(&[
                    "list",
                    "dictsort",
                    "items|list",
                    "dictsort(true, 'value')",
                    "sort"
                ])
            ),
            9 => format!(
                "{}.{}",
                self.dict(0),
                self.pick(&[
                    "items()|list",
                    "keys()|list",
                    "values()|list",
                    "items()",
                    "keys()"
                ])
            ),
            _ => format!("[{}, {}]", self.expression(d), self.expression(d)),
        }
    }

    /// An expression that is a dict.
    pub(super) fn dict(&mut self, depth: u32) -> String {
        self.fuel -= 1;
        if depth == 0 || self.fuel < 0 {
            return self
                .pick(&["d", "nested[0]", "{'x': 1}", "{}", "{'b': 2, 'a': [1]}"])
                .to_owned();
        }
        let d = depth - 1;
        match self.below(4) {
            0 => format!(
                "{{'p': {}, {}: {}}}",
                self.expression(d),
                self.number(0),
                self.expression(d)
            ),
            1 => format!("dict({}, z={})", self.dict(d), self.expression(d)),
            2 => format!("{}.copy()", self.dict(0)),
            _ => self.dict(0),
        }
    }

    /// An expression that is true or false.
    pub(super) fn truth(&mut self, depth: u32) -> String {
        self.fuel -= 1;
        if depth == 0 || self.fuel < 0 {
            return self
                .pick(&[
                    "flag",
                    "true",
                    "false",
                    "a > 3",
                    "'key' in d",
                    "missing is defined",
                    "s == 'abc'",
                ])
                .to_owned();
        }
        let d = depth - 1;
        match self.below(8) {
            0 => format!(
                "{} {} {}",
                self.number(d),
                self.pick(&["==", "!=", "<", "<=", ">", ">="]),
                self.number(d)
            ),
            1 => format!("1 < {} <= {}", self.number(0), self.number(0)),
            2 => format!(
                "{} {} {}",
                self.text(d),
                self.pick(&["==", "!=", "<", "in", "not in"]),
                self.text(d)
            ),
            3 => format!(
                "{} {} {}",
                self.expression(0),
                self.pick(&["in", "not in"]),
                self.list(d)
            ),
            4 => format!("not {}", self.truth(d)),
            5 => format!(
                "({} {} {})",
                self.truth(d),
                self.pick(&["and", "or"]),
                self.expression(d)
            ),
            6 => {
                let test = self.pick(&[
                    "none",
                    "string",
                    "number",
                    "mapping",
                    "sequence",
                    "iterable",
                    "defined",
                    "boolean",
                    "integer",
                    "float",
                    "callable",
                    "sameas none",
                    "undefined",
                    "true",
                    "escaped",
                    "in words",
                ]);
                let not = if self.below(4) == 0 { "not " } else { "" };
                format!("({}) is {not}{test}", self.expression(d))
            }
            _ => format!(
                "{} is {}",
                self.number(0),
                self.pick(&[
                    "odd",
                    "even",
                    "divisibleby 3",
                    "gt 2",
                    "eq 7",
                    "lessthan(5)",
                    "ge(1)"
                ])
            ),
        }
    }

    pub(super) fn wild(&mut self, depth: u32) -> String {
        self.fuel -= 1;
        if depth == 0 || self.fuel < 0 {
            return self.atom();
        }
        let d = depth - 1;
        match self.below(20) {
            0..=2 => self.atom(),
            3 | 4 => {
                let op = self.pick(&["+", "-", "*", "/", "//", "%", "**", "~"]);
                let a = self.operand(d, op);
                // A large exponent would keep Python busy for ever.
                let b = match op {
                    "**" => self.pick(&["2", "3", "n", "-1", "10"]).to_owned(),
                    op => self.operand(0, op),
                };
                format!("{a} {op} {b}")
            }
            5 => {
                let op = self.pick(&["==", "!=", "<", "<=", ">", ">=", "in", "not in"]);
                format!("{} {op} {}", self.expression(d), self.expression(d))
            }
            6 => {
                let op = self.pick(&["and", "or"]);
                format!("{} {op} {}", self.expression(d), self.expression(d))
            }
            7 => format!("not {}", self.expression(d)),
            8 => format!(
                "({} if {} else {})",
                self.expression(d),
                self.expression(d),
                self.expression(d)
            ),
            9..=12 => {
                let filter = self.filter();
                format!("{}|{filter}", self.primary(d))
            }
            13 => {
                let test = self.pick(&[
                    "defined",
                    "none",
                    "string",
                    "number",
                    "mapping",
                    "sequence",
                    "iterable",
                    "odd",
                    "even",
                    "divisibleby(3)",
                    "in items",
                    "sameas none",
                    "lower",
                    "upper",
                    "true",
                    "boolean",
                    "integer",
                    "float",
                    "callable",
                    "eq 1",
                    "undefined",
                    "gt 1",
                ]);
                let not = if self.below(4) == 0 { "not " } else { "" };
                format!("{} is {not}{test}", self.primary(d))
            }
            14 | 15 => {
                let method = self.method();
                format!("{}.{method}", self.primary(0))
            }
            16 => match self.below(3) {
                0 => format!("{}[{}]", self.name(), self.expression(0)),
                1 => format!(
                    "{}.{}",
                    self.name(),
                    self.pick(&["key", "name", "num", "list", "items", "missing"])
                ),
                _ => {
                    let start = self.pick(&["", "0", "1", "-2", "n"]);
                    let stop = self.pick(&["", "2", "-1", "10"]);
                    let step = self.pick(&["", ":2", ":-1"]);
                    format!("{}[{start}:{stop}{step}]", self.name())
                }
            },
            17 => match self.macros.last().cloned() {
                Some((name, params)) => format!("{name}({})", self.arguments(params)),
                None => self.atom(),
            },
            18 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.expression(d)).collect();
                match self.below(3) {
                    0 => format!("[{}]", items.join(", ")),
                    1 if items.len() > 1 => format!("({})", items.join(", ")),
                    _ => {
                        let pairs: Vec<String> = items
                            .iter()
                            .enumerate()
                            .map(|(n, item)| format!("'k{n}': {item}"))
                            .collect();
                        format!("{{{}}}", pairs.join(", "))
                    }
                }
            }
            _ => self.formatted(),
        }
    }
}
