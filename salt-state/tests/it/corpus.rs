//! What fuzzing found, and some ordinary inputs, once more.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[path = "checks/compile.rs"]
mod compile;
#[path = "checks/jinja.rs"]
mod jinja;
#[path = "checks/yaml.rs"]
mod yaml;

fn replay(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(directory).expect("the corpus is there") {
        check(&fs::read(entry.expect("readable").path()).expect("readable"));
        count += 1;
    }
    assert!(count > 10, "the corpus of {target} is nearly empty");
}

#[test]
fn the_corpus_of_yaml_holds() {
    replay("yaml", yaml::yaml);
}

#[test]
fn the_corpus_of_compile_holds() {
    replay("compile", compile::compile_tree);
}

#[test]
fn the_corpus_of_jinja_holds() {
    replay("jinja", jinja::render);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_text_of_yamls_own_letters_loads_or_fails(text in "[-a:?,\\[\\]{}&*!|>'\"%@` \n\t#0-9.~=<]{0,60}") {
        yaml::yaml(text.as_bytes());
    }

    #[test]
    fn any_tree_compiles_or_fails(text in "(include|extend|x|test\\.nop|- |: |require|\n|  |\\{\\{|\\}\\}|\\{%|%\\}|for|if|[a-z]|\0){0,60}") {
        compile::compile_tree(text.as_bytes());
    }
}
