use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let value = load(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(crate::python::repr(&value), expected, "{text:?}");
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = load(text).expect_err(text);
    assert_eq!(error.to_string(), expected, "{text:?}");
}

#[test]
fn integers_follow_salts_rule_for_leading_zeros() {
    check(
        "[0644, -0644, +0644, 010, 00, 0_7, 0888, 0o17, 0x1F, 0b101, 1_000]",
        "[644, -420, 420, 10, 0, 7, '0888', '0o17', 31, 5, 1000]",
    );
}

#[test]
fn sexagesimals_are_numbers_as_in_yaml_1_1() {
    check(
        "[1:30, 1:60, 01:30, 1:30.5, 80:80]",
        "[90, '1:60', '01:30', 90.5, '80:80']",
    );
}

#[test]
fn escaped_line_breaks_vanish_and_others_fold() {
    check("\"a\\\n   b\"", "'ab'");
    check("\"a\n   b\n\n c\"", "'a b\\nc'");
    check("a:\n  b\n  c", "{'a': 'b c'}");
}

#[test]
fn a_block_scalar_may_end_the_input() {
    check("- |\n a", "['a']");
    check("- |+\n a\n\n", "['a\\n\\n']");
    check("|", "''");
    check(">-\n  a\n  b\n", "'a b'");
}

#[test]
fn aliases_share_one_object() {
    let node = parse("a: &x [1]\nb: *x", 0, &Limits::default())
        .expect("valid")
        .expect("a document");
    let map = node.as_map().expect("a mapping").borrow();
    let list = |key: &str| map.get(&Text(key)).expect("the key").value.clone();

    list("a")
        .as_list()
        .expect("a list")
        .borrow_mut()
        .push(Node::scalar(2));

    assert_eq!(crate::python::repr(&list("b").to_value()), "[1, 2]");
}

#[test]
fn errors_have_pyyamls_words() {
    check_error(
        "'a'b",
        "did not find expected <document start>\n  in \"<unicode string>\", line 1, column 4",
    );
    check_error(
        "{a: ?}",
        "while parsing a flow node\ndid not find expected node content\n  in \"<unicode string>\", line 1, column 5",
    );
    check_error(
        "[!foo, b]",
        "could not determine a constructor for the tag '!foo'\n  in \"<unicode string>\", line 1, column 2",
    );
    check_error(
        "\"\\ud83d\"",
        "while parsing a quoted scalar\n  in \"<unicode string>\", line 1, column 1\nfound invalid Unicode character escape code\n  in \"<unicode string>\", line 1, column 4",
    );
    check_error(
        "--- a\n--- b",
        "expected a single document in the stream\n  in \"<unicode string>\", line 1, column 5\nbut found another document\n  in \"<unicode string>\", line 2, column 1",
    );
    check_error(
        "a: \u{1}b",
        "unacceptable character #x0001: control characters are not allowed\n  in \"<unicode string>\", position 3",
    );
    check_error(
        "a: =",
        "could not determine a constructor for the tag 'tag:yaml.org,2002:value'\n  in \"<unicode string>\", line 1, column 4",
    );
}

#[test]
fn the_outermost_duplicate_is_reported_first() {
    check_error(
        "a: {x: 1, x: 2}\nb: 1\nb: 2",
        "while constructing a mapping\n  in \"<unicode string>\", line 1, column 1\nfound conflicting ID 'b'\n  in \"<unicode string>\", line 3, column 1",
    );
}

#[test]
fn bombs_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        bomb.push_str(&format!(
            "a{i}: &a{i} [{}]\n",
            vec![format!("*a{}", i - 1); 10].join(", ")
        ));
    }
    assert_eq!(load(&bomb).expect_err("a bomb").kind(), Kind::Limit);

    let mut merge = "a0: &a0 {x: 1}\n".to_owned();
    for i in 1..40 {
        merge.push_str(&format!("a{i}: &a{i} {{<<: [*a{0}, *a{0}]}}\n", i - 1));
    }
    assert!(load(&merge).is_err());
    assert_eq!(
        load(&"[".repeat(100_000)).expect_err("deep").kind(),
        Kind::Limit
    );
    assert!(load("&a [*a]").is_err());
}
