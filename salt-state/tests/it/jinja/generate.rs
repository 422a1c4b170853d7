//! Templates from a grammar, the same for the same seed.

use serde_json::{Value as Json, json};

/// The `n`th case of a seed.
pub(crate) fn case(seed: u64, n: u64) -> Json {
    let mut source = Source {
        state: seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(n.wrapping_mul(0xd134_2543_de82_ef95))
            .wrapping_add(1),
        names: vec![
            "a", "b", "s", "n", "x", "items", "d", "words", "nested", "flag", "nothing",
        ],
        loops: 0,
        macros: Vec::new(),
        fuel: 60,
    };
    let salt = source.below(2) == 0;
    let template = source.template();
    let mut case = json!({
        "id": format!("{seed}-{n}"),
        "template": template,
        "context": context(),
        "templates": templates(),
        "salt": salt,
    });
    if !salt {
        let undefined = source.pick(&["default", "strict", "chainable", "debug"]);
        let mut options = json!({"undefined": undefined});
        for option in ["trim_blocks", "lstrip_blocks", "keep_trailing_newline"] {
            if source.below(4) == 0 {
                options[option] = json!(true);
            }
        }
        case["options"] = options;
    }
    case
}

fn context() -> Json {
    json!({
        "a": 7, "b": -3, "s": "Hello World", "n": 2, "x": 1.5,
        "items": [3, 1, 2],
        "d": {"key": "value", "num": 42, "list": [1, "two", null], "it's": true},
        "words": ["alpha", "Beta", "gamma-delta", ""],
        "nested": [{"name": "bob", "age": 30, "tags": ["x", "y"]}, {"name": "Al", "age": 25, "tags": []}],
        "flag": true,
        "nothing": null,
    })
}

fn templates() -> Json {
    json!({
        "lib.j": "{% set exported = 'lib' %}{% macro greet(name, mark='!') %}hi {{ name }}{{ mark }}{{ varargs|length }}{% endmacro %}{% macro outer() %}{{ caller() if caller else 'none' }}{% endmacro %}{% macro seen() %}[{{ a|default('no a') }}]{% endmacro %}",
        "part.j": "<{{ a|default('?') }}:{{ local|default('-') }}>{% set a = 'changed' %}",
        "base.j": "base({% block one %}one{% endblock %}|{% block two scoped %}two {{ a|default('') }}{% endblock %})",
    })
}

struct Source {
    state: u64,
    names: Vec<&'static str>,
    loops: u32,
    macros: Vec<(String, usize)>,
    fuel: i32,
}

impl Source {
    /// The splitmix64 generator.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(all.len() as u64)).unwrap_or(0);
        all.get(at).copied().unwrap_or("")
    }

    fn template(&mut self) -> String {
        if self.below(14) == 0 {
            let mut text = String::from("{% extends 'base.j' %}");
            text += &self.body(1);
            let block = self.pick(&["one", "two"]);
            let body = self.body(1);
            text += &format!("{{% block {block} %}}{body}{{{{ super() }}}}{{% endblock %}}");
            return text;
        }
        let mut text = self.body(3);
        if self.below(3) == 0 {
            text.push('\n');
        }
        text
    }

    fn body(&mut self, depth: u32) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(3) {
            text += &self.statement(depth);
        }
        text
    }

    fn open(&mut self) -> &'static str {
        match self.below(12) {
            0 => "{%-",
            1 => "{%+",
            _ => "{%",
        }
    }

    fn close(&mut self) -> &'static str {
        if self.below(12) == 0 { "-%}" } else { "%}" }
    }

    fn tag(&mut self, text: &str) -> String {
        format!("{} {text} {}", self.open(), self.close())
    }

    fn statement(&mut self, depth: u32) -> String {
        self.fuel -= 1;
        if depth == 0 || self.fuel < 0 {
            return self.print();
        }
        match self.below(22) {
            0..=5 => self.print(),
            6 => self.pick(&[" ", "\n", "text\n", "  x: ", "\n\n", "\t- "]).to_owned(),
            7 | 8 => {
                let name = self.new_name();
                let value = self.expression(2);
                let set = self.tag(&format!("set {name} = {value}"));
                self.names.push(name);
                set
            }
            9 => {
                let test = self.expression(2);
                let mut text = self.tag(&format!("if {test}"));
                text += &self.body(depth - 1);
                if self.below(3) == 0 {
                    let test = self.expression(1);
                    text += &self.tag(&format!("elif {test}"));
                    text += &self.body(depth - 1);
                }
                if self.below(2) == 0 {
                    text += &self.tag("else");
                    text += &self.body(depth - 1);
                }
                text + &self.tag("endif")
            }
            10..=12 => self.for_loop(depth),
            13 => {
                let name = format!("m{}", self.macros.len());
                let params = self.below(3);
                let mut signature = String::new();
                let known = self.names.len();
                for n in 0..params {
                    if n > 0 {
                        signature += ", ";
                    }
                    let param = ["p", "q", "r"][usize::try_from(n).unwrap_or(0)];
                    signature += param;
                    if n + 1 == params && self.below(2) == 0 {
                        signature += &format!("={}", self.expression(1));
                    }
                    self.names.push(param);
                }
                let mut text = self.tag(&format!("macro {name}({signature})"));
                text += &self.body(depth - 1);
                match self.below(5) {
                    0 => text += "{{ varargs }}",
                    1 => text += "{{ kwargs }}",
                    2 => text += "{{ caller() if caller else '' }}",
                    _ => {}
                }
                self.names.truncate(known);
                text += &self.tag("endmacro");
                self.macros.push((name, usize::try_from(params).unwrap_or(0)));
                text
            }
            14 => match self.macros.last().cloned() {
                Some((name, params)) => {
                    let args = self.arguments(params);
                    let body = self.body(depth - 1);
                    format!("{{% call {name}({args}) %}}{body}{{% endcall %}}")
                }
                None => self.print(),
            },
            15 => {
                let name = self.new_name();
                let value = self.expression(2);
                let mut text = self.tag(&format!("with {name} = {value}"));
                let known = self.names.len();
                self.names.push(name);
                text += &self.body(depth - 1);
                self.names.truncate(known);
                text + &self.tag("endwith")
            }
            16 => {
                let filter = self.pick(&["upper", "trim", "indent(2)", "replace('a', 'b')", "title"]);
                let body = self.body(depth - 1);
                format!("{{% filter {filter} %}}{body}{{% endfilter %}}")
            }
            17 => {
                let name = self.new_name();
                let body = self.body(depth - 1);
                self.names.push(name);
                format!("{{% set {name} %}}{body}{{% endset %}}")
            }
            18 => {
                let change = self.pick(&[
                    "items.append(9)",
                    "d.update({'z': 1})",
                    "items.sort()",
                    "items.reverse()",
                    "d.pop('key', none)",
                    "words.extend(['q', 'r'])",
                    "items.insert(0, 5)",
                    "d.setdefault('new', []).append(a)",
                    "nested[0].update(name='eve')",
                ]);
                self.tag(&format!("do {change}"))
            }
            19 => match self.below(5) {
                0 => "{% import 'lib.j' as lib %}{{ lib.exported }}{{ lib.greet(a) }}".to_owned(),
                1 => "{% from 'lib.j' import greet, seen with context %}{{ greet(s, '?', 1, 2) }}{{ seen() }}".to_owned(),
                2 => "{% from 'lib.j' import outer as o, seen %}{% call o() %}c{% endcall %}{{ seen() }}".to_owned(),
                3 => "{% set local = 1 %}{% include 'part.j' %}{{ a }}".to_owned(),
                _ => "{% include ['none.j', 'part.j'] ignore missing %}".to_owned(),
            },
            20 => {
                let name = self.new_name();
                self.names.push(name);
                format!(
                    "{{% set {name} = namespace(v={}) %}}{{% set {name}.v = {} %}}{{{{ {name}.v }}}}",
                    self.expression(1),
                    self.expression(1)
                )
            }
            _ => match self.below(3) {
                0 => "{# a comment #}".to_owned(),
                1 => "{% raw %}{{ raw }}{% endraw %}".to_owned(),
                _ => "{% if loop is defined %}{{ loop.index }}{% endif %}".to_owned(),
            },
        }
    }

    fn new_name(&mut self) -> &'static str {
        self.pick(&["v", "w", "y", "z", "a", "local", "s"])
    }

    fn for_loop(&mut self, depth: u32) -> String {
        let known = self.names.len();
        let (target, iter) = match self.below(6) {
            0 => {
                self.names.extend(["k", "v"]);
                (
                    "k, v",
                    self.pick(&[
                        "d.items()",
                        "d|dictsort",
                        "[(1, 2), (3, 4)]",
                        "words|map('list')",
                    ])
                    .to_owned(),
                )
            }
            1 => {
                self.names.push("e");
                ("e", "range(4)".to_owned())
            }
            2 => {
                self.names.push("e");
                ("e", self.expression(1))
            }
            _ => {
                self.names.push("e");
                (
                    "e",
                    self.pick(&[
                        "items",
                        "words",
                        "nested",
                        "d",
                        "s",
                        "items|map('string')",
                        "[]",
                        "d.values()",
                    ])
                    .to_owned(),
                )
            }
        };
        let filter = if self.below(5) == 0 {
            format!(" if {}", self.expression(1))
        } else {
            String::new()
        };
        self.loops += 1;
        let mut text = self.tag(&format!("for {target} in {iter}{filter}"));
        text += &self.body(depth - 1);
        match self.below(6) {
            0 => text += "{{ loop.index }}/{{ loop.length }}",
            1 => text += "{% if loop.last %}.{% else %},{% endif %}",
            2 => text += "{% if loop.index > 1 %}{% break %}{% endif %}",
            3 => text += "{{ loop.cycle('o', 'e') }}{{ loop.revindex0 }}",
            4 => text += "{{ loop.previtem|default('^') }}{{ loop.nextitem|default('$') }}",
            _ => {}
        }
        self.loops -= 1;
        if self.below(4) == 0 {
            text += &self.tag("else");
            text += &self.body(depth - 1);
        }
        self.names.truncate(known);
        text + &self.tag("endfor")
    }

    fn print(&mut self) -> String {
        format!("{{{{ {} }}}}", self.expression(3))
    }

    fn arguments(&mut self, wanted: usize) -> String {
        let mut args = Vec::new();
        for _ in 0..wanted {
            args.push(self.expression(1));
        }
        match self.below(8) {
            0 => args.push(self.expression(1)),
            1 => {
                args.pop();
            }
            2 => args.push(format!("k={}", self.expression(1))),
            _ => {}
        }
        args.join(", ")
    }

    fn expression(&mut self, depth: u32) -> String {
        if self.below(6) == 0 {
            return self.wild(depth);
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
    fn number(&mut self, depth: u32) -> String {
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
    fn text(&mut self, depth: u32) -> String {
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
    fn list(&mut self, depth: u32) -> String {
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
                    "unique|list",
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
                    "unique(attribute='age')|list",
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
    fn dict(&mut self, depth: u32) -> String {
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
    fn truth(&mut self, depth: u32) -> String {
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

    fn wild(&mut self, depth: u32) -> String {
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
                0 => format!("{}[{}]", self.primary(0), self.expression(0)),
                1 => format!(
                    "{}.{}",
                    self.primary(0),
                    self.pick(&["key", "name", "num", "list", "items", "missing"])
                ),
                _ => {
                    let start = self.pick(&["", "0", "1", "-2", "n"]);
                    let stop = self.pick(&["", "2", "-1", "10"]);
                    let step = self.pick(&["", ":2", ":-1"]);
                    format!("{}[{start}:{stop}{step}]", self.primary(0))
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

    /// An operand whose kind often fits the operator.
    fn operand(&mut self, depth: u32, op: &str) -> String {
        if op == "~" || self.below(5) == 0 {
            return self.primary(depth);
        }
        if op == "**" {
            return self
                .pick(&["2", "3", "n", "-1", "0.5", "x", "10"])
                .to_owned();
        }
        self.pick(&[
            "a",
            "b",
            "n",
            "x",
            "1",
            "2",
            "7",
            "-3",
            "0",
            "2.5",
            "10",
            "items|length",
            "d.num",
            "(a * 3)",
            "(b - 1)",
            "1e3",
            "true",
        ])
        .to_owned()
    }

    fn primary(&mut self, depth: u32) -> String {
        if depth == 0 || self.below(3) > 0 {
            return self.atom();
        }
        format!("({})", self.expression(depth - 1))
    }

    fn atom(&mut self) -> String {
        if self.below(5) > 1 {
            let at = usize::try_from(self.below(self.names.len() as u64)).unwrap_or(0);
            return self.names.get(at).copied().unwrap_or("a").to_owned();
        }
        self.pick(&[
            "0",
            "1",
            "-1",
            "3",
            "42",
            "1.5",
            "-0.25",
            "1e20",
            "true",
            "false",
            "none",
            "''",
            "'abc'",
            "\"it's\"",
            "'a\\nb'",
            "'Ünïcode'",
            "[]",
            "{}",
            "()",
            "[1, 2]",
            "('t',)",
            "{'x': 1}",
            "'%s-%d'",
            "missing",
            "10 ** 20",
            "'12'",
            "' pad '",
            "range(3)",
            "[[1, 2], [3]]",
        ])
        .to_owned()
    }

    fn filter(&mut self) -> String {
        let arg = self.atom();
        let filter = self.pick(&[
            "abs",
            "capitalize",
            "center(12)",
            "default('dflt')",
            "default('d', true)",
            "dictsort",
            "dictsort(by='value')",
            "e",
            "escape",
            "filesizeformat",
            "first",
            "float",
            "float(1.5)",
            "groupby('age')",
            "groupby('name')",
            "indent",
            "indent(2, true)",
            "int",
            "int(7)",
            "join",
            "join(', ')",
            "join('-', attribute='name')",
            "last",
            "length",
            "list",
            "lower",
            "map('upper')|list",
            "map(attribute='name')|list",
            "map('default', 'q')|list",
            "max",
            "min",
            "map(attribute='tags.0', default='none')|list",
            "pprint",
            "reject('odd')|list",
            "items|list",
            "rejectattr('tags')|list",
            "replace('l', 'L')",
            "replace('o', '0', 1)",
            "reverse|list",
            "round",
            "round(1)",
            "round(2, 'floor')",
            "round(method='ceil')",
            "safe",
            "select|list",
            "select('string')|list",
            "select('gt', 1)|list",
            "selectattr('age', 'gt', 26)|list",
            "slice(2)|list",
            "batch(2)|list",
            "batch(2, 'f')|list",
            "sort",
            "sort(reverse=true)",
            "sort(attribute='age')",
            "sort(case_sensitive=true)",
            "string",
            "striptags",
            "sum",
            "sum(attribute='age')",
            "title",
            "tojson",
            "tojson(2)",
            "trim",
            "truncate(7)",
            "truncate(5, true, '..', 0)",
            "unique|list",
            "upper",
            "urlencode",
            "wordcount",
            "wordwrap(6)",
            "xmlattr",
            "count",
            "d('x')",
            "reverse",
            "map('int')|sum",
            "list|last",
            "forceescape",
            "format(1, 2)",
            "format('q')",
            "attr('name')",
            "first|first",
            "length|string",
            "wordwrap(4, false)",
            "map('length')|list",
            "select('defined')|list",
            "center(20)|trim",
        ]);
        if self.below(12) == 0 {
            return format!("default({arg})");
        }
        filter.to_owned()
    }

    fn method(&mut self) -> &'static str {
        self.pick(&[
            "upper()",
            "lower()",
            "title()",
            "capitalize()",
            "swapcase()",
            "split()",
            "split(' ')",
            "split('l', 1)",
            "rsplit('l', 1)",
            "strip()",
            "lstrip('H')",
            "rstrip('d')",
            "startswith('H')",
            "endswith(('d', 'x'))",
            "replace('l', 'L')",
            "find('o')",
            "rfind('o')",
            "index('l')",
            "count('l')",
            "join(['a', 'b'])",
            "zfill(14)",
            "center(15, '*')",
            "ljust(12)",
            "rjust(13, '.')",
            "partition(' ')",
            "rpartition('l')",
            "splitlines()",
            "isdigit()",
            "isalpha()",
            "isupper()",
            "format(1)",
            "encode('utf-8')",
            "casefold()",
            "expandtabs()",
            "removeprefix('He')",
            "removesuffix('ld')",
            "isalnum()",
            "istitle()",
            "items()|list",
            "keys()|list",
            "values()|list",
            "get('key')",
            "get('nope', 5)",
            "get('nope')",
            "copy()",
            "pop()",
            "pop(0)",
            "index(2)",
            "count(1)",
            "is_integer()",
            "bit_length()",
            "items()",
            "keys()",
            "values()",
            "append",
            "nothing()",
            "real",
            "update({'k': 1})",
            "append(1)",
        ])
    }

    fn formatted(&mut self) -> String {
        let arg = if self.below(3) == 0 {
            self.atom()
        } else {
            self.number(1)
        };
        match self.below(3) {
            0 => {
                let format = self.pick(&[
                    "%s", "%r", "%5s|", "%-6s|", "%.2s", "%d", "%05d", "%+d", "%x", "%#o", "%.2f",
                    "%8.3f", "%e", "%g", "%G", "%%%s", "%c", "%i", "% d", "%s %s", "%.3g",
                    "%-8.1f|", "%X", "%a",
                ]);
                format!("'{format}' % {arg}")
            }
            1 => {
                let format = self.pick(&[
                    "{}",
                    "{0}",
                    "{!r}",
                    "{:>8}|",
                    "{:<8}|",
                    "{:^9}|",
                    "{:*^9}",
                    "{:05d}",
                    "{:+}",
                    "{:,}",
                    "{:.2f}",
                    "{:.3}",
                    "{:e}",
                    "{:g}",
                    "{:x}",
                    "{:#x}",
                    "{:b}",
                    "{:%}",
                    "{0}{0}",
                    "{{}}",
                    "{:_}",
                    "{:08.2f}",
                    "{:n}",
                    "{!s:>5}",
                    "{0[0]}",
                    "{0.name}",
                    "{:s}",
                    "{:d}",
                    "{} {}",
                    "{",
                    "{:,.2f}",
                    "{:=+8}",
                    "{:#o}",
                    "{:.0f}",
                    "{:10.3e}|",
                    "{:c}",
                    "{!a}",
                ]);
                format!("'{format}'.format({arg})")
            }
            _ => {
                let format = self.pick(&["%(key)s", "%(num)05d", "%(nope)s", "%(key)r %(num)s"]);
                format!("'{format}' % d")
            }
        }
    }
}
