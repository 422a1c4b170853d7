//! Templates that would take for ever, or all memory, end within their limits.

use salt_state::jinja::{Environment, Kind, Limits, Options, Vars};

/// What is done to a value that holds itself twice, and so on down.
const ONE: [&str; 5] = [
    "{{ ns.a|json }}",
    "{{ ns.a|flatten|length }}",
    "{{ ns.a|json_query('[][][]') }}",
    "{{ {ns.a: 1} }}",
    "{{ ns.a|json_encode_list }}",
];

/// What is done to two such values.
const TWO: [&str; 2] = ["{{ ns.a == ns.b }}", "{{ ns.a < ns.b }}"];

/// Other ways to be large or slow.
const OTHERS: [&str; 53] = [
    "{{ 'x'*100000000 }}",
    "{{ ('x'*60000000)*3 }}",
    "{{ [0]*100000000 }}",
    "{{ 'x'.center(10**12) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ 9**9**9 }}",
    "{{ 2**100000000 }}",
    "{{ range(10**9)|list }}",
    "{{ 'x'|indent(10**9) }}",
    "{{ lipsum(n=1000000) }}",
    "{{ 'a'|center(10**10) }}",
    "{{ ('a'*1000)|replace('a','a'*100000) }}",
    "{{ ('ab'*20)|combinations(20)|list }}",
    "{{ ('ab'*20)|permutations|list }}",
    "{{ range(1000)|product(repeat=5)|list }}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set x=[] %}{% do x.append(x) %}{{ x }}{{ x|json }}",
    "{{ '(a+)+$'|regex_search('x') }}{{ ('a'*40)|regex_search('^(a+)+$b') }}",
    "{{ 'x'|regex_replace('x{1000}{1000}{1000}','') }}",
    "{{ '0.0.0.0/0'|network_hosts }}",
    "{{ '::/0'|network_hosts }}",
    "{{ 'x'.zfill(10**12) }}",
    "{{ 1.5|round(10**6) }}",
    "{{ '1e999999999'|float }}",
    "{{ 10**5000|int }}",
    "{{ 'x'.join(['y']*1000000)*100 }}",
    "{{ '1'*5000|int }}",
    "{{ ('1'*5000)|int }}",
    "{{ (10**4000)**4 }}",
    "{{ 'x'|wordwrap(0) }}",
    "{{ 'x'|truncate(-1) }}",
    "{{ [1]|batch(0)|list }}",
    "{{ [1]|slice(10**9)|list }}",
    "{{ [1]|batch(10**9,'x')|list }}",
    "{{ 'x'.expandtabs(10**10) }}",
    "{{ '\t'.expandtabs(10**10) }}",
    "{{ 'x'|random_str }}{{ 10**9|random_str }}",
    "{{ 10**8|gen_mac }}",
    "{% set x = 'x'*1000000 %}{% for i in range(100000) %}{{ x }}{% endfor %}",
    "{{ ((('['*10000))|load_json) }}",
    "{{ ('['*10000)|load_yaml }}",
    "{{ ('a'*100000)|urlize }}",
    "{{ ('a '*100000)|wordwrap(3)|length }}",
    "{{ ('<a'*50000)|striptags|length }}",
    "{{ ('a.'*50000)|urlize|length }}",
    "{{ ('('*1000)|regex_search('('*1000) }}",
    "{{ 'a'|regex_search('(a|b)'*5000) }}",
    "{{ '1'|human_to_bytes(10) }}",
    "{{ 1e308*10|int }}",
    "{{ (1e308*10)|int }}",
    "{{ 1|strftime('%Y'*100000)|length }}",
];

fn render(template: &str) -> Result<usize, (Kind, String)> {
    let options = Options {
        limits: Limits {
            steps: 200_000,
            output: 1 << 20,
            ..Limits::default()
        },
        ..Options::default()
    };
    let rendered = Environment::salt(options).render_str(template, Vars::new());
    match rendered {
        Ok(rendered) => Ok(rendered.text.len()),
        Err(error) => Err((error.kind(), error.to_string())),
    }
}

fn assert_it_ends(template: &str) {
    match render(template) {
        Ok(length) => assert!(length <= 1 << 20, "{template}"),
        Err((_, message)) => assert!(!message.is_empty(), "{template}"),
    }
}

#[test]
fn a_value_that_doubles_sixty_times_is_used_within_the_limits() {
    let starts = [
        ("[1]", "[ns.a, ns.a]"),
        ("(1,)", "(ns.a, ns.a)"),
        ("{'k': 1}", "{'x': ns.a, 'y': ns.a}"),
    ];
    for (start, double) in starts {
        for one in ONE {
            assert_it_ends(&format!(
                "{{% set ns = namespace(a={start}) %}}{{% for i in range(60) %}}\
                 {{% set ns.a = {double} %}}{{% endfor %}}{one}"
            ));
        }
    }
}

#[test]
fn two_values_that_double_sixty_times_are_compared_within_the_limits() {
    for two in TWO {
        assert_it_ends(&format!(
            "{{% set ns = namespace(a=[1], b=[1]) %}}{{% for i in range(60) %}}\
             {{% set ns.a = [ns.a, ns.a] %}}{{% set ns.b = [ns.b, ns.b] %}}{{% endfor %}}{two}"
        ));
    }
}

#[test]
fn other_large_things_stay_within_the_limits() {
    for template in OTHERS {
        assert_it_ends(template);
    }
}

#[test]
fn a_loop_of_too_many_steps_is_an_error_that_says_so() {
    let loops = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";

    let (kind, message) = render(loops).unwrap_err();

    assert_eq!(kind, Kind::Limit);
    assert_eq!(message, "the template takes too many steps");
}
