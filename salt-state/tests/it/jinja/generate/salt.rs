//! What only Salt's templates have.

use super::Source;

impl Source {
    /// A statement of Salt's own.
    pub(super) fn salt_statement(&mut self, depth: u32) -> String {
        match self.below(9) {
            0 => {
                let text = self.pick(&["a: 1\nb: [1, two, null]", "- x\n- 0644\n- on", "{{ d|yaml }}", "[1, 2", "{{ d|json }}", "a: 1\n b: 2", "'{{ s }}': {{ n }}", "", "2021-01-02"]);
                format!("{{% load_yaml as v %}}\n{text}\n{{% endload %}}{{{{ v }}}}")
            }
            1 => {
                let text = self.pick(&["{\"k\": [1, 2.5e3, \"\\u00e9\", null, true]}", "[1, 2", "{{ d|json }}", "{'a': 1}", "3", "{{ items }}", "NaN", "\"x\ty\""]);
                format!("{{% load_json as v %}}{text}{{% endload %}}{{{{ v }}}}")
            }
            2 => {
                let body = self.body(depth.saturating_sub(1));
                format!("{{% load_text as v %}}{body}{{% endload %}}{{{{ v|length }}}}")
            }
            3 => {
                let name = self.pick(&["map.yaml", "bad.yaml", "none.yaml", "data.json"]);
                let context = self.pick(&["", " with context", " without context"]);
                format!("{{% import_yaml '{name}' as v{context} %}}{{{{ v }}}}")
            }
            4 => {
                let name = self.pick(&["data.json", "map.yaml", "none.json"]);
                format!("{{% import_json '{name}' as v %}}{{{{ v.k|default(v) }}}}")
            }
            5 => {
                let name = self.pick(&["data.json", "part.j", "lib.j", "fails.j"]);
                format!("{{% import_text '{name}' as v %}}{{{{ v }}}}")
            }
            6 => {
                let body = self.body(depth.saturating_sub(1));
                format!("{{% profile as 'p' %}}{body}{{% endprofile %}}")
            }
            7 => match self.below(4) {
                0 => format!("{{{{ raise({}) }}}}", self.text(1)),
                1 => "{% do raise('stop\\nhere') if flag and n > 1 %}".to_owned(),
                2 => "{{ odict([('b', 1), ('a', [2])]) }}{{ odict(z=1)|yaml(false) }}".to_owned(),
                _ => "{% set o = odict() %}{% do o.update({'b': 1}) %}{% do o.update({'a': o}) if false %}{{ o }}{{ o|json }}{{ o.items()|list }}".to_owned(),
            },
            _ => {
                let test = self.pick(&["match('H')", "match('h', ignorecase=True)", "match('W')", "match('(?i)hello')", "equalto('Hello World')", "list", "match('^d', multiline=True)"]);
                format!("{{{{ {} is {test} }}}}", self.pick(&["s", "words", "words[0]", "lines", "n"]))
            }
        }
    }

    /// An expression with one of Salt's filters.
    pub(super) fn salt_expression(&mut self, depth: u32) -> String {
        let d = depth.saturating_sub(1);
        match self.below(8) {
            0 | 1 => {
                let filter = self.salt_text_filter();
                format!("{}|{filter}", self.text(d))
            }
            2 => {
                let filter = self.salt_data_filter();
                match self.below(4) {
                    0 => format!("{}|{filter}", self.list(d)),
                    1 => format!("deep|{filter}"),
                    _ => format!("{}|{filter}", self.dict(d)),
                }
            }
            3 => {
                let filter = self.salt_list_filter();
                format!("{}|{filter}", self.list(d))
            }
            4 => {
                if self.below(12) == 0 {
                    let net =
                        self.pick(&["10.0.0.0/28", "192.168.1.1", "x", "10.0.0.4/31", "::/126"]);
                    return format!("'{net}'|network_hosts");
                }
                let filter = self.salt_network_filter();
                let value = self.pick(&[
                    "addresses",
                    "addresses[0]",
                    "addresses[3]",
                    "addresses[6]",
                    "'10.1.2.3/24'",
                    "'fe80::1/64'",
                    "'::ffff:1.2.3.4'",
                    "'300.1.1.1'",
                    "''",
                    "s",
                    "'127.0.0.1'",
                    "'224.0.0.5'",
                    "'0.0.0.0'",
                    "'10.0.0.1 '",
                    "'192.168.0.0/30'",
                    "n",
                    "nothing",
                    "['10.0.0.1', '8.8.8.8']",
                    "'00:11:22:aa:bb:cc'",
                ]);
                format!("{value}|{filter}")
            }
            5 => {
                let filter = self.salt_number_filter();
                let value = match self.below(3) {
                    0 => self.number(d),
                    1 => self
                        .pick(&[
                            "'12'", "'1.5'", "'0x1f'", "'ten'", "'1k'", "'2.5 GB'", "'10MiB'",
                            "''", "nothing", "flag", "'yes'", "'True'", "'no'", "big", "'-7'",
                            "' 8 '",
                        ])
                        .to_owned(),
                    _ => self.text(d),
                };
                format!("{value}|{filter}")
            }
            6 => {
                let filter = self.pick(&[
                    "load_yaml",
                    "load_json",
                    "load_text",
                    "load_yaml|json",
                    "load_yaml|yaml(false)",
                    "load_yaml|to_entries",
                    "load_json|length",
                ]);
                let value = self.pick(&[
                    "document",
                    "'[1, two, 3.0]'",
                    "'{\"a\": 1}'",
                    "'a: b: c'",
                    "lines",
                    "s",
                    "''",
                    "'0o17'",
                    "'~'",
                    "n",
                    "'1_000'",
                    "'0x1F'",
                    "'yes'",
                    "'1:30'",
                ]);
                format!("{value}|{filter}")
            }
            _ => {
                let filter = self.pick(&[
                    "strftime('%Y-%m-%d')",
                    "date_format",
                    "strftime('%H:%M:%S')",
                    "date_format('%d.%m.%y')",
                    "strftime('%A %B %j')",
                ]);
                let value = self.pick(&[
                    "0",
                    "1700000000",
                    "1e9",
                    "'2002-12-25'",
                    "'2002/12/25'",
                    "'1700000000'",
                    "'not a date'",
                    "'2002-12-25 13:14:15'",
                    "-1",
                ]);
                format!("{value}|{filter}")
            }
        }
    }

    fn salt_text_filter(&mut self) -> &'static str {
        self.pick(&[
            "quote",
            "regex_escape",
            "regex_search('l+(o)?')",
            "regex_search('(?P<x>[a-z])(.)')",
            "regex_match('(H)(e)')",
            "regex_match('.*d$')",
            "regex_search('h', ignorecase=True)",
            "regex_replace('l(.)', '<\\\\1>')",
            "regex_replace('^', '> ', multiline=True)",
            "regex_replace('[aeiou]', '')",
            "regex_replace('(?P<v>o)', '[\\\\g<v>]')",
            "regex_replace('H', 'j', ignorecase=True)",
            "regex_replace('x*', '-')",
            "regex_search('(')",
            "to_snake_case",
            "to_camelcase",
            "to_camelcase(uppercamel=True)",
            "contains_whitespace",
            "is_hex",
            "to_bytes",
            "substring_in_list(words)",
            "check_whitelist_blacklist(whitelist=['H*', 'b*'])",
            "check_whitelist_blacklist(blacklist=['*o*'])",
            "yaml_encode",
            "yaml_dquote",
            "yaml_squote",
            "skip",
            "uuid",
            "to_bool",
            "md5",
            "sha1",
            "sha256",
            "sha512",
            "base64_encode",
            "base64_encode|base64_decode",
            "hmac('k', 'ZGVm')",
            "hmac_compute('secret')",
            "path_join('b', '/c')",
            "path_join('x')",
            "json",
            "yaml",
            "tojson",
            "sequence",
            "is_list",
            "is_iter",
            "method_call('upper')",
            "method_call('split', 'l', 1)",
            "method_call('nope')",
            "indent",
            "python",
            "json_query('a')",
            "union('abc')|sort",
            "unique|sort",
            "traverse('x', 'dflt')",
            "string|to_bool",
            "length|to_bool",
            "yaml(false)",
            "json(indent=2)",
            "tojson(2)",
            "xml",
            "str_to_num",
            "exactly_one_true",
            "flatten",
            "mysql_to_dict('id')",
            "to_snake_case|to_camelcase",
        ])
    }

    fn salt_data_filter(&mut self) -> &'static str {
        self.pick(&[
            "json",
            "json(sort_keys=False)",
            "json(indent=2)",
            "json(False, 1)",
            "tojson",
            "tojson(2)",
            "yaml",
            "yaml(False)",
            "yaml(flow_style=False)",
            "python",
            "dict_to_sls_yaml_params",
            "dict_to_sls_yaml_params(true)",
            "traverse('list:1')",
            "traverse('one:two:three:1:four')",
            "traverse('nope:x', 'dflt')",
            "traverse('one,x', 'd', ',')",
            "traverse(['one', 'two'])",
            "set_dict_key_value('key', 1)",
            "set_dict_key_value('p:q', [1])",
            "append_dict_key_value('list', 'z')",
            "append_dict_key_value('new:l', 1)",
            "extend_dict_key_value('list', [4, 5])",
            "update_dict_key_value('p', {'r': 1})",
            "update_dict_key_value('one:two', {'t': 2})",
            "compare_dicts({'key': 'other', 'x': 1})|dictsort",
            "compare_dicts(d)|dictsort",
            "to_entries",
            "to_entries|from_entries",
            "json_encode_dict",
            "json_decode_dict",
            "json_query('list[0]')",
            "json_query('one.two.three[1].four')",
            "json_query('keys(@)|sort(@)')",
            "json_query('*')",
            "json_query('length(@)')",
            "json_query('[?age > `26`].name')",
            "json_query('[].{n: name}')",
            "json_query('bad[')",
            "is_iter",
            "is_list",
            "sequence",
            "length",
            "to_bool",
            "method_call('get', 'key')",
            "method_call('keys')|list",
            "json|load_json",
            "yaml|load_yaml",
            "yaml(False)|indent(2)",
            "string",
            "union(d)|sort",
            "xml",
            "flatten",
            "load_text",
            "regex_search('a')",
            "md5",
            "base64_encode",
            "quote",
            "yaml_encode",
            "yaml_dquote",
            "path_join('x')",
        ])
    }

    fn salt_list_filter(&mut self) -> &'static str {
        self.pick(&[
            "unique",
            "unique|sort",
            "union([9, 1])",
            "intersect([1, 2])",
            "difference([1, 'two'])",
            "symmetric_difference([1, 7])",
            "min",
            "max",
            "avg",
            "flatten",
            "flatten(levels=1)",
            "flatten(preserve_nulls=True)",
            "sequence",
            "sorted_ignorecase",
            "is_list",
            "is_iter",
            "exactly_n_true(1)",
            "exactly_n_true(2)",
            "exactly_one_true",
            "combinations(2)|list",
            "permutations(2)|list|length",
            "product([1, 2])|list",
            "zip(items)|list",
            "zip_longest(items, fillvalue='-')|list",
            "zip_longest(words, items)|list",
            "compress([1, 0, 1])|list",
            "combinations_with_replacement(2)|list",
            "compare_lists([1, 2, 4])",
            "json_encode_list",
            "json_decode_list",
            "json",
            "yaml",
            "yaml(False)",
            "python",
            "tojson",
            "to_entries",
            "from_entries",
            "traverse('0')",
            "traverse('0:name', 'd')",
            "random_shuffle(seed='x')|sort",
            "random_sample(1, seed='x')|length",
            "substring_in_list(words)",
            "map('to_bool')|list",
            "map('quote')|join(' ')",
            "map('regex_replace', 'a', 'b')|list",
            "select('match', 'a')|list",
            "select('equalto', 1)|list",
            "reject('match', '.*a')|list",
            "json_query('[0]')",
            "json_query('[*].name')",
            "json_query('sort(@)')",
            "json_query('[::-1]')",
            "length|to_bool",
            "to_bool",
            "sum",
            "join('|')|quote",
            "first|to_num",
            "list|json",
            "dict_to_sls_yaml_params",
            "path_join('x')",
            "unique|length",
            "mysql_to_dict('name')",
            "filter_by_networks(['10.0.0.0/8'])",
            "sort|yaml",
            "product(repeat=2)|list|length",
        ])
    }

    fn salt_network_filter(&mut self) -> &'static str {
        self.pick(&[
            "is_ip",
            "is_ipv4",
            "is_ipv6",
            "ipaddr",
            "ipv4",
            "ipv6",
            "ipwrap",
            "ip_host",
            "network_size",
            "filter_by_networks(['10.0.0.0/8', '::/64'])",
            "is_ip('private')",
            "is_ipv4('loopback')",
            "ipaddr('public')",
            "ipv4('private')",
            "ipv6('global')",
            "is_ipv4(options='multicast')",
            "is_ip(options='reserved')",
            "is_ip('unspecified')",
            "mac_str_to_bytes",
            "ipaddr('private, loopback')",
            "first|ipwrap",
            "is_ip('nonsense')",
            "map('is_ipv4')|list",
        ])
    }

    fn salt_number_filter(&mut self) -> &'static str {
        self.pick(&[
            "to_num",
            "str_to_num",
            "human_to_bytes",
            "human_to_bytes(default_unit='M')",
            "human_to_bytes(default_unit='K', handle_metric=True)",
            "to_bool",
            "json",
            "yaml",
            "tojson",
            "python",
            "is_list",
            "sequence",
            "string|to_num",
            "int|to_bool",
            "quote",
            "yaml_encode",
            "yaml_dquote",
            "yaml_squote",
            "md5",
            "is_hex",
            "regex_search('1')",
            "skip",
            "uuid",
            "is_iter",
            "avg",
            "min",
            "to_num|string",
            "base64_encode",
            "exactly_n_true(1)",
            "load_yaml",
            "to_bytes",
            "path_join('x')",
            "regex_replace('1', 'x')",
            "to_snake_case",
        ])
    }
}
