//! Statements.

use super::Source;

impl Source {
    pub(super) fn body(&mut self, depth: u32) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(3) {
            text += &self.statement(depth);
            if self.below(6) == 0 {
                text += self.pick(&["\n", "\n", "\n  ", "\r\n"]);
            }
        }
        text
    }

    pub(super) fn open(&mut self) -> &'static str {
        match self.below(12) {
            0 => "{%-",
            1 => "{%+",
            _ => "{%",
        }
    }

    pub(super) fn close(&mut self) -> &'static str {
        if self.below(12) == 0 { "-%}" } else { "%}" }
    }

    pub(super) fn tag(&mut self, text: &str) -> String {
        format!("{} {text} {}", self.open(), self.close())
    }

    pub(super) fn statement(&mut self, depth: u32) -> String {
        self.fuel -= 1;
        if depth == 0 || self.fuel < 0 {
            return self.print();
        }
        if self.salt && self.below(9) == 0 {
            return self.salt_statement(depth);
        }
        match self.below(27) {
            0..=5 => self.print(),
            6 => self
                .pick(&[" ", "\n", "text\n", "  x: ", "\n\n", "\t- "])
                .to_owned(),
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
                    2 => {
                        text += self.pick(&[
                            "{{ caller() if caller else '' }}",
                            "{{ caller(1) if caller else '' }}",
                            "{{ caller(a, t=2) if caller is defined else '-' }}",
                            "{{ caller() }}",
                        ]);
                    }
                    _ => {}
                }
                self.names.truncate(known);
                text += &self.tag("endmacro");
                self.macros
                    .push((name, usize::try_from(params).unwrap_or(0)));
                text
            }
            14 => match self.macros.last().cloned() {
                Some((name, params)) => {
                    let args = self.arguments(params);
                    let body = self.body(depth - 1);
                    let own = self.pick(&["", "", "(u)", "(u, t=1)"]);
                    format!("{{% call{own} {name}({args}) %}}{body}{{% endcall %}}")
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
                let filter =
                    self.pick(&["upper", "trim", "indent(2)", "replace('a', 'b')", "title"]);
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
                // A list that grows while a loop walks over it must stop growing.
                let grown = "items|length > 20 or words|length > 20";
                self.tag(&format!("do none if {grown} else {change}"))
            }
            19 | 22 => self.module(),
            21 => self.recursive_loop(),
            23 => {
                let names = self.pick(&["v, w", "v, (w, y)", "v, w, y", "(v, w)"]);
                let value = match self.below(3) {
                    0 => self.expression(1),
                    _ => self
                        .pick(&[
                            "1, 2",
                            "(1, 2)",
                            "[1, [2, 3]]",
                            "'ab'",
                            "1, (2, 3)",
                            "d.items()|first",
                            "words[:3]",
                        ])
                        .to_owned(),
                };
                self.names.extend(["v", "w"]);
                self.tag(&format!("set {names} = {value}"))
            }
            24 => {
                let name = self.new_name();
                let filter = self.pick(&[
                    "upper",
                    "trim",
                    "replace('a', 'b')|title",
                    "indent(2)",
                    "list",
                    "length",
                ]);
                let body = self.body(depth - 1);
                self.names.push(name);
                format!("{{% set {name} | {filter} %}}{body}{{% endset %}}{{{{ {name} }}}}")
            }
            25 => {
                // Salt's YAML does not read escaped text.
                let on = if self.salt {
                    "false"
                } else {
                    self.pick(&["true", "false"])
                };
                let body = self.body(depth - 1);
                format!("{{% autoescape {on} %}}{{{{ '<i>' }}}}{body}{{% endautoescape %}}")
            }
            26 => self.counted(),
            20 => {
                let name = self.new_name();
                self.names.push(name);
                format!(
                    "{{% set {name} = namespace(v={}) %}}{{% set {name}.v = {} %}}{{{{ {name}.v }}}}",
                    self.expression(1),
                    self.expression(1)
                )
            }
            _ => match self.below(8) {
                0 => "{# a comment #}".to_owned(),
                1 => "{% raw %}{{ raw }}{% endraw %}".to_owned(),
                2 => " {#- a\ncomment -#} x".to_owned(),
                3 => "a {%- raw -%} {% if %} {%- endraw -%} b".to_owned(),
                4 => "\n%% set lined = a\n%% if lined:\n  yes ## no\n%% endif\n## comment\n"
                    .to_owned(),
                5 => "{{- a -}} {{+ b }}\n  {{- s }}".to_owned(),
                6 => "  {%- if flag +%}\n  in\n  {%+ endif -%}\n  out".to_owned(),
                _ => "{% if loop is defined %}{{ loop.index }}{% endif %}".to_owned(),
            },
        }
    }

    pub(super) fn new_name(&mut self) -> &'static str {
        self.pick(&["v", "w", "y", "z", "a", "local", "s"])
    }

    pub(super) fn for_loop(&mut self, depth: u32) -> String {
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

    pub(super) fn print(&mut self) -> String {
        format!("{{{{ {} }}}}", self.expression(3))
    }

    pub(super) fn arguments(&mut self, wanted: usize) -> String {
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

    /// A loop that calls itself.
    fn recursive_loop(&mut self) -> String {
        let shown = self.pick(&[
            "loop.depth",
            "loop.depth0",
            "loop.index",
            "loop.first",
            "loop.last",
            "loop.length",
            "loop.previtem is defined",
            "x",
        ]);
        let call = self.pick(&[
            "loop(e.below)",
            "loop(e.below)|trim",
            "loop(e.below) if e.below",
            "loop(e.below[:1])",
            "loop(e.n)",
            "loop()",
        ]);
        let filter = self.pick(&["", "", " if e.n != 2", " if e.n is odd"]);
        let end = self.pick(&["", "{% else %}."]);
        format!(
            "{{% for e in tree{filter} recursive %}}[{{{{ e.n }}}}{{{{ {shown} }}}}{{{{ {call} }}}}]{end}{{% endfor %}}"
        )
    }

    /// A loop that counts in ways that templates have.
    fn counted(&mut self) -> String {
        match self.below(9) {
            0 => "{% set ns = namespace(n=0, l=[]) %}{% for e in items %}{% set ns.n = ns.n + e %}{% do ns.l.append(e) %}{% endfor %}{{ ns.n }}{{ ns.l }}{{ ns }}".to_owned(),
            1 => "{% set count = 0 %}{% for e in items %}{% set count = count + e %}{{ count }}{% endfor %}{{ count }}".to_owned(),
            2 => "{% for e in [1, 1, 2] %}{% if loop.changed(e) %}c{{ e }}{% endif %}{% endfor %}".to_owned(),
            3 => "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{% do c.reset() %}{{ c.next() }}".to_owned(),
            4 => "{% set j = joiner('; ') %}{% for e in words %}{{ j() }}{{ e }}{% endfor %}".to_owned(),
            5 => "{% for e in range(6) %}{% if e == 1 %}{% continue %}{% elif e > 3 %}{% break %}{% endif %}{{ e }}{{ loop.index }}{% else %}none{% endfor %}".to_owned(),
            6 => "{% for e in items %}{% set outer = loop %}{% for f in words %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}".to_owned(),
            7 => "{% macro m(a, b=a, *c) %}{{ a }}{% endmacro %}".to_owned(),
            _ => {
                let args = self.pick(&["1", "1, 2, 3", "x=4", "q=1", "1, p=2", "*items", "**d", "*words, **{'x': 2}", ""]);
                format!("{{% macro m(p, q=p|default('dq')) %}}{{{{ p }}}}/{{{{ q }}}}/{{{{ varargs }}}}/{{{{ kwargs }}}}{{% endmacro %}}{{{{ m({args}) }}}}")
            }
        }
    }
}
