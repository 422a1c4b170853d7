//! Templates from a grammar, the same for the same seed.

use serde_json::{Value as Json, json};

mod expressions;
mod modules;
mod salt;
mod statements;
mod words;

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
        salt: false,
        loops: 0,
        macros: Vec::new(),
        fuel: 60,
    };
    source.salt = source.below(2) == 0;
    let mut template = source.template();
    let mut case = json!({
        "id": format!("{seed}-{n}"),
        "context": context(),
        "templates": templates(),
        "salt": source.salt,
    });
    if !source.salt {
        case["options"] = source.options();
    } else if source.below(10) == 0 {
        let option = source.pick(&["trim_blocks", "lstrip_blocks"]);
        case["options"] = json!({"jinja_sls_env": {option: true}});
    }
    // What an unknown filter is depends on whether a child would ever show it.
    if source.below(16) == 0 && !template.contains("extends") {
        template = source.broken(&template);
    }
    case["template"] = json!(template);
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
        "tree": [{"n": 1, "below": [{"n": 2, "below": []}, {"n": 3, "below": [{"n": 4, "below": []}]}]}, {"n": 5, "below": []}],
        "deep": {"one": {"two": {"three": [1, {"four": "5"}]}, "x": null}, "é": "ü\n\tz"},
        "addresses": ["10.0.0.1", "192.168.1.20", "::1", "2001:db8::5", "8.8.8.8", "nope", "10.0.0.0/28"],
        "big": 12_345_678_901_234_567_i64,
        "lines": "first\n  second\n\nlast",
        "document": "a: 1\nb: [x, 'y', 0644]\nc: {d: true}\n",
    })
}

fn templates() -> Json {
    json!({
        "lib.j": "{% set exported = 'lib' %}{% set _hidden = 1 %}\n{% macro greet(name, mark='!') %}hi {{ name }}{{ mark }}{{ varargs|length }}{% endmacro %}{% macro outer() %}{{ caller() if caller else 'none' }}{% endmacro %}{% macro seen() %}[{{ a|default('no a') }}]{% endmacro %}",
        "part.j": "<{{ a|default('?') }}:{{ local|default('-') }}>\n{% set a = 'changed' %}",
        "base.j": "base({% block one %}one{% endblock %}|{% block two scoped %}two {{ a|default('') }}{% endblock %})",
        "middle.j": "{% extends 'base.j' %}{% block one %}middle {{ super() }}{% endblock %}{% set local = 'm' %}",
        "loop.j": "{% for e in [1, 2] %}{% block item scoped %}{{ e }}{% endblock %}{% endfor %}{% block must required %}{% endblock %}",
        "fails.j": "line one\n{{ a }}\n  {{ gone.attribute }}\n",
        "wrong.j": "fine\n{% if a %}\nno end",
        "map.yaml": "a: 1\nb:\n  - {{ a|default('x') }}\n  - c: null\n",
        "data.json": "{\"k\": [1, 2.5, null, \"é\"]}",
        "bad.yaml": "a: [1\nb: 2",
        "dir/one.j": "one {% include 'dir/two.j' %}",
        "dir/two.j": "two {{ tpldir|default('-') }}",
    })
}

struct Source {
    state: u64,
    names: Vec<&'static str>,
    salt: bool,
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

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len.max(1) as u64)).unwrap_or(0)
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let at = self.index(all.len());
        all.get(at).copied().unwrap_or("")
    }

    /// Options of Jinja's own environment.
    fn options(&mut self) -> Json {
        let undefined = self.pick(&["default", "strict", "chainable", "debug"]);
        let mut options = json!({"undefined": undefined});
        for option in ["trim_blocks", "lstrip_blocks", "keep_trailing_newline"] {
            if self.below(4) == 0 {
                options[option] = json!(true);
            }
        }
        if self.below(12) == 0 {
            options["line_statement_prefix"] = json!("%%");
            options["line_comment_prefix"] = json!("##");
        }
        if self.below(12) == 0 {
            options["autoescape"] = json!(true);
        }
        if self.below(20) == 0 {
            options["newline_sequence"] = json!("\r\n");
        }
        options
    }

    fn template(&mut self) -> String {
        let mut text = match self.below(14) {
            0 => self.child(),
            _ => self.body(3),
        };
        if self.below(20) == 0 {
            text += "{% set local = 1 %}{% include 'part.j' without context %}{{ local }}";
        }
        if self.below(3) == 0 {
            text.push('\n');
        }
        text
    }

    /// The template with a mistake: a piece lost, doubled or put elsewhere.
    fn broken(&mut self, template: &str) -> String {
        let starts: Vec<usize> = template
            .char_indices()
            .filter(|(at, c)| !c.is_alphanumeric() || *at == 0)
            .map(|(at, _)| at)
            .collect();
        let at = self.index(starts.len());
        let start = starts.get(at).copied().unwrap_or(0);
        let end = starts.get(at + 1).copied().unwrap_or(template.len());
        let (before, rest) = template.split_at(start);
        let (piece, after) = rest.split_at(end - start);
        match self.below(4) {
            0 => format!("{before}{piece}{piece}{after}"),
            1 => {
                let extra = self.pick(&[
                    "%}", "{{", "|", "(", "]", "'", "endif", " in ", ",", "=", "~", "{#", "$", ".",
                    "_x", "0x",
                ]);
                format!("{before}{extra}{piece}{after}")
            }
            _ => format!("{before}{after}"),
        }
    }
}
