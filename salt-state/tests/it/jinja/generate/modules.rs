//! Inheritance, includes and imports.

use super::Source;

impl Source {
    /// A template that extends another.
    pub(super) fn child(&mut self) -> String {
        let parent = self.pick(&["base.j", "base.j", "middle.j", "loop.j", "none.j"]);
        let mut text = match self.below(6) {
            0 => format!("{{% set parent = '{parent}' %}}{{% extends parent %}}"),
            1 => format!("{{% if flag %}}{{% extends '{parent}' %}}{{% endif %}}"),
            _ => format!("{{% extends '{parent}' %}}"),
        };
        text += &self.body(1);
        for block in ["one", "two", "item", "must"] {
            if self.below(2) == 0 {
                let known = self.names.len();
                let body = self.body(1);
                self.names.truncate(known);
                let flags = self.pick(&["", "", " scoped"]);
                let parent = self.pick(&[
                    "",
                    "{{ super() }}",
                    "{{ self.one() }}",
                    "{{ super()|upper }}",
                    "{{ e|default('no e') }}",
                ]);
                let end = self.pick(&["", block]);
                text +=
                    &format!("{{% block {block}{flags} %}}{body}{parent}{{% endblock {end} %}}");
            }
        }
        text
    }

    /// An import, an include, or a block.
    pub(super) fn module(&mut self) -> String {
        match self.below(16) {
            0 | 1 => {
                let args = self.expression(1);
                format!(
                    "{{% import 'lib.j' as lib %}}{{{{ lib.exported }}}}{{{{ lib.greet({args}) }}}}"
                )
            }
            2 => "{% from 'lib.j' import greet, seen with context %}{{ greet(s, '?', 1, 2) }}{{ seen() }}".to_owned(),
            3 => "{% from 'lib.j' import outer as o, seen %}{% call o() %}c{% endcall %}{{ seen() }}".to_owned(),
            4 => "{% set local = 1 %}{% include 'part.j' %}{{ a }}".to_owned(),
            5 | 6 => "{% include ['none.j', 'part.j'] ignore missing %}".to_owned(),
            7 => {
                let name = self.pick(&["none.j", "fails.j", "wrong.j", "dir/one.j", "part.j"]);
                let missing = self.pick(&["", " ignore missing", " ignore missing with context"]);
                format!("{{% include '{name}'{missing} %}}")
            }
            8 => {
                let name = self.pick(&["none.j", "fails.j", "wrong.j", "part.j"]);
                let context = self.pick(&["", " with context", " without context"]);
                format!("{{% import '{name}' as part{context} %}}{{{{ part }}}}")
            }
            9 => {
                let what = self.pick(&["gone", "_hidden", "exported", "greet as g, exported"]);
                format!("{{% from 'lib.j' import {what} %}}{{{{ {} }}}}", self.pick(&["gone", "exported", "g('x')"]))
            }
            10 => {
                let name = self.expression(1);
                format!("{{% include {name} ignore missing %}}")
            }
            11 => "{% import 'lib.j' as lib with context %}{{ lib.seen() }}{{ lib.gone is defined }}{{ lib.greet.name }}{{ lib.greet.arguments }}".to_owned(),
            12 => "{% set files = ['part.j', 'lib.j'] %}{% for f in files %}{% include f %}{% endfor %}".to_owned(),
            13 => {
                let body = self.pick(&["{{ a }}", "{{ local|default('l') }}", "{{ loop is defined }}"]);
                format!("{{% set local = 'L' %}}{{% block b{} %}}{body}{{% endblock %}}", self.below(3))
            }
            14 => "{% block shown %}S{{ a }}{% endblock %}{{ self.shown() }}{{ self.shown()|lower }}".to_owned(),
            _ => "{% from 'lib.j' import greet %}{{ [1, 2]|map('string')|map('upper')|map('replace', '1', greet('z'))|join }}".to_owned(),
        }
    }
}
