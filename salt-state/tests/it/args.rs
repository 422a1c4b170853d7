//! Arguments against Salt 3008.3's own reading of them.

use proptest::prelude::*;
use salt_proto::Value;
use salt_state::args::read_value;
use salt_state::{Args, Signature};
use serde_json::Value as Json;

use crate::golden::decode;

const RECORDED: &str = include_str!("../vectors/args/values.jsonl");

#[test]
fn texts_get_the_types_salt_gives_them() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let row: Json = serde_json::from_str(line).expect("JSON");
        let text = row[0].as_str().expect("a text");
        let (found, expected) = (read_value(text), decode(&row[1]));
        count += 1;
        if found != expected || found.type_name() != expected.type_name() {
            wrong.push(format!("{text:?}: {found:?}, not {expected:?}"));
        }
    }
    println!("{count} recorded arguments checked");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

proptest! {
    #[test]
    fn any_text_can_be_an_argument(text in ".{0,40}") {
        let args = Args::from_words([&text], &[]);
        prop_assert_eq!(args.positional().len() + args.keywords().len(), 1);
    }

    #[test]
    fn a_job_gives_back_what_was_put_in(
        texts in proptest::collection::vec("[^=]{0,10}", 0..5),
        keywords in proptest::collection::btree_map("[a-z]{1,5}", any::<i64>(), 0..5),
    ) {
        let mut args = Args::new();
        for text in &texts {
            args = args.with(text.as_str());
        }
        for (name, value) in &keywords {
            args = args.keyword(name, *value);
        }
        prop_assert_eq!(Args::from_job(&args.to_job()), args);
    }

    #[test]
    fn a_signature_names_every_argument_or_says_why_not(
        given in 0_usize..6,
        keyword in "[abcd]",
    ) {
        let signature = Signature::parse("f(a, b, c=3)").expect("a signature");
        let mut args = Args::new();
        for n in 0..given {
            args = args.with(n);
        }
        let args = args.keyword(&keyword, "k");
        if let Ok(bound) = signature.bind(&args) {
            prop_assert!(["a", "b", "c"].iter().all(|name| bound.get(name).is_some()));
            prop_assert_eq!(bound.get(&keyword), Some(&Value::from("k")));
            prop_assert!(given <= 2);
        }
    }
}
