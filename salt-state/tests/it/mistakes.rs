//! Mistakes of the kinds in Salt's bug reports: each is pointed at exactly.
//!
//! In the trees below `»` stands before the place that must be named; it is taken out
//! before compiling. The full reports are in `tests/vectors/mistakes/`; with
//! `UPDATE_SNAPSHOTS=1` they are written anew.

use std::fs;
use std::path::PathBuf;

use salt_proto::{Map, Value};
use salt_state::compile::{Inputs, What, compile};
use salt_state::render::{NoFunctions, World};
use salt_state::{MemorySources, MinionData};

/// A tree of one or more files; the first is what is compiled, unless there is a `top.sls`.
type Tree = &'static [(&'static str, &'static str)];

const MISTAKES: &[(&str, Tree)] = &[
    (
        "a_tab_indents",
        &[("web.sls", "nginx:\n»\tpkg.installed\n")],
    ),
    (
        "an_item_is_indented_less",
        &[("web.sls", "nginx:\n  test.nop:\n    - a: 1\n   »- b: 2\n")],
    ),
    (
        "the_id_lacks_its_colon",
        &[("web.sls", "nginx\n  pkg.installed»:\n    - version: 1\n")],
    ),
    (
        "an_argument_lacks_its_colon",
        &[("web.sls", "nginx:\n  pkg.installed:\n    - »version 1.2\n")],
    ),
    (
        "a_value_has_a_colon",
        &[("web.sls", "note:\n  test.nop:\n    - text: see»: below\n")],
    ),
    (
        "a_quote_is_not_closed",
        &[(
            "web.sls",
            "hello:\n  cmd.run:\n    - name: »\"echo hi\n    - cwd: /tmp\n",
        )],
    ),
    (
        "a_bracket_is_not_closed",
        &[(
            "web.sls",
            "all:\n  pkg.installed:\n    - pkgs: »[a, b\nnext:\n  test.nop\n",
        )],
    ),
    (
        "an_id_is_there_twice",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed\nphp:\n  pkg.installed\n»nginx:\n  service.running\n",
        )],
    ),
    (
        "a_value_begins_with_an_at_sign",
        &[("web.sls", "mail:\n  test.nop:\n    - to: »@admins\n")],
    ),
    (
        "a_value_begins_with_a_star",
        &[("web.sls", "all:\n  test.nop:\n    - match: *»\n")],
    ),
    (
        "braces_were_not_rendered",
        &[(
            "web.sls",
            "#!yaml\nport:\n  test.nop:\n    - port: {»{ port }}\n",
        )],
    ),
    (
        "a_variable_is_undefined",
        &[(
            "web.sls",
            "{% set port = 80 %}\nweb:\n  test.nop:\n    - port: {{ »prot }}\n",
        )],
    ),
    (
        "a_variable_in_an_imported_map_is_undefined",
        &[
            (
                "web.sls",
                "{% from 'map.jinja' import settings with context %}\nweb:\n  test.nop\n",
            ),
            (
                "map.jinja",
                "{% set base = {'port': 80} %}\n{% set settings = {'port': »basse.port} %}\n",
            ),
        ],
    ),
    (
        "a_macro_of_another_file_fails",
        &[
            (
                "web.sls",
                "{% from 'lib.jinja' import vhost %}\n{{ vhost('a') }}\n",
            ),
            (
                "lib.jinja",
                "{% macro vhost(name) %}\n{{ name }}:\n  test.nop:\n    - root: {{ »rooot }}\n{% endmacro %}\n",
            ),
        ],
    ),
    (
        "a_filter_is_unknown",
        &[(
            "web.sls",
            "web:\n  test.nop:\n    - name: {{ 'a' | »uper }}\n",
        )],
    ),
    (
        "a_block_is_not_closed",
        &[("web.sls", "web:\n  test.nop:\n»{% if True %}\n    - a: 1\n")],
    ),
    (
        "a_grain_is_misspelled",
        &[(
            "web.sls",
            "web:\n  test.nop:\n    - os: {{ grains.»os_famly }}\n",
        )],
    ),
    (
        "an_imported_file_is_missing",
        &[(
            "web.sls",
            "{% from »'web/map.jinja' import settings %}\nweb:\n  test.nop\n",
        )],
    ),
    (
        "an_included_sls_is_missing",
        &[
            (
                "web.sls",
                "include:\n  - php\n  - »nignx\nweb:\n  test.nop\n",
            ),
            ("nginx.sls", "n:\n  test.nop\n"),
            ("php.sls", "p:\n  test.nop\n"),
        ],
    ),
    (
        "the_include_is_no_list",
        &[
            ("web.sls", "»include: php\nweb:\n  test.nop\n"),
            ("php.sls", "p:\n  test.nop\n"),
        ],
    ),
    (
        "two_files_declare_one_id",
        &[
            (
                "web.sls",
                "include:\n  - php\nconfig:\n  test.nop:\n    - a: 1\n",
            ),
            (
                "php.sls",
                "php:\n  test.nop\n»config:\n  test.nop:\n    - b: 1\n",
            ),
        ],
    ),
    (
        "a_requisite_names_the_wrong_module",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed\nconf:\n  file.managed:\n    - require:\n      - »service: nginx\n",
        )],
    ),
    (
        "a_requisite_is_misspelled",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed\nconf:\n  file.managed:\n    - require:\n      - »pkg: ngnix\n",
        )],
    ),
    (
        "a_requisite_from_a_loop_is_wrong",
        &[(
            "web.sls",
            "{% for name in ['a', 'b'] %}\n{{ name }}:\n  test.nop:\n    - require:\n      - »test: {{ name }}x\n{% endfor %}\n",
        )],
    ),
    (
        "a_requisite_is_no_list",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed\nconf:\n  file.managed:\n    - »require:\n        pkg: nginx\n",
        )],
    ),
    (
        "a_requisite_has_a_dot",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed\nconf:\n  file.managed:\n    - require:\n      - »pkg.installed: nginx\n",
        )],
    ),
    (
        "an_argument_lacks_its_dash",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed\nconf:\n  file.managed:\n    - require:\n      - pkg: nginx\n      »mode: 644\n",
        )],
    ),
    (
        "the_function_is_missing",
        &[("web.sls", "nginx:\n  »pkg:\n    - version: 1\n")],
    ),
    (
        "there_are_two_functions",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed:\n    - name: nginx\n    - »latest\n",
        )],
    ),
    (
        "a_short_state_has_a_colon",
        &[("web.sls", "nginx:\n  »pkg.installed:\n")],
    ),
    (
        "arguments_are_no_list",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed:\n    »version: 1\n    refresh: true\n",
        )],
    ),
    (
        "one_module_is_there_twice",
        &[(
            "web.sls",
            "web:\n  file.directory:\n    - mode: 755\n  »file.managed:\n    - mode: 644\n",
        )],
    ),
    (
        "an_extended_id_is_missing",
        &[(
            "web.sls",
            "nginx:\n  pkg.installed\nextend:\n  »ngnix:\n    pkg:\n      - version: 2\n",
        )],
    ),
    (
        "two_states_require_each_other",
        &[(
            "web.sls",
            "a:\n  test.nop:\n    - require:\n      - test: b\nb:\n  test.nop:\n    - require:\n      - »test: a\n",
        )],
    ),
    ("an_id_is_a_number", &[("web.sls", "»8080:\n  test.nop\n")]),
    (
        "an_include_goes_beyond_the_top",
        &[("web.sls", "include:\n  - »..common\nweb:\n  test.nop\n")],
    ),
    ("the_sls_is_a_list", &[("web.sls", "»- nginx\n- php\n")]),
    (
        "the_top_file_lacks_a_dash",
        &[
            ("top.sls", "base:\n  '*':\n    »web\n"),
            ("web.sls", "w:\n  test.nop\n"),
        ],
    ),
];

#[test]
fn every_mistake_is_pointed_at_exactly() {
    let mut wrong = Vec::new();
    for (name, tree) in MISTAKES {
        if let Err(difference) = check(name, tree) {
            wrong.push(format!("{name}: {difference}"));
        }
    }

    println!(
        "{} of {} mistakes pointed at exactly",
        MISTAKES.len() - wrong.len(),
        MISTAKES.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(name: &str, tree: Tree) -> Result<(), String> {
    let mut expected = String::new();
    let mut sources = MemorySources::new();
    for (path, marked) in tree {
        if let Some((before, _)) = marked.split_once('»') {
            let line = before.matches('\n').count() + 1;
            let column = before
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .count()
                + 1;
            expected = format!("{path}:{line}:{column}");
        }
        sources = sources.file("base", *path, marked.replace('»', ""));
    }
    let minion = MinionData {
        id: "minion".into(),
        grains: Map::from([("os", "Ubuntu"), ("os_family", "Debian")]).into(),
        ..MinionData::default()
    };
    let world = World::new(&minion, &sources, &NoFunctions);
    let mut inputs = Inputs::new(&world);
    let first = tree
        .first()
        .map_or("", |(path, _)| path)
        .trim_end_matches(".sls");
    if first != "top" {
        inputs.what = What::Sls {
            environment: "base".into(),
            names: vec![Value::from(first)],
        };
    }

    let done = compile(&inputs);

    let Some(error) = done.errors.first() else {
        return Err("no error at all".into());
    };
    let report = error.report();
    let place = error
        .place
        .as_ref()
        .map(|place| format!("{}:{}:{}", place.file, place.line, place.column));
    if place.as_deref() != Some(&expected) {
        return Err(format!("expected {expected}, found {place:?}\n{report}"));
    }
    snapshot(name, &report)
}

fn snapshot(name: &str, report: &str) -> Result<(), String> {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.push("tests/vectors/mistakes");
    path.push(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, report).map_err(|error| error.to_string())?;
        return Ok(());
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    if known == report {
        Ok(())
    } else {
        Err(format!(
            "the report changed\n--- known\n{known}\n--- now\n{report}"
        ))
    }
}
