//! Operands, filters, methods and formats.

use super::Source;

impl Source {
    /// An operand whose kind often fits the operator.
    pub(super) fn operand(&mut self, depth: u32, op: &str) -> String {
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

    pub(super) fn primary(&mut self, depth: u32) -> String {
        if depth == 0 || self.below(3) > 0 {
            return self.atom();
        }
        format!("({})", self.expression(depth - 1))
    }

    /// A variable that is set, or was.
    pub(super) fn name(&mut self) -> &'static str {
        let at = self.index(self.names.len());
        self.names.get(at).copied().unwrap_or("a")
    }

    pub(super) fn atom(&mut self) -> String {
        if self.below(5) > 1 {
            return self.name().to_owned();
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

    pub(super) fn filter(&mut self) -> String {
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
            "unique|list|sort",
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

    pub(super) fn method(&mut self) -> &'static str {
        // In a loop over the same list it would never end.
        if self.loops == 0 && self.below(30) == 0 {
            return "append(1)";
        }
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
        ])
    }

    pub(super) fn formatted(&mut self) -> String {
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
