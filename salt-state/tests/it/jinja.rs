//! Templates from a grammar, rendered here and by Python.
//!
//! The judge is Python's Jinja 2, alone and as Salt sets it up
//! (`tests/tools/jinja_judge.py`). Its answers to a sample of templates are
//! recorded in `tests/vectors/jinja/sample.jsonl`, which is replayed always.
//! With the Python of a Salt in `SALT_PYTHON`, templates of `JINJA_SEEDS`
//! (numbers between commas; `1`), `JINJA_CASES` (3000) of each, are rendered by
//! both and must agree; `JINJA_RECORD` (a number) writes that many of them as the
//! new sample. `JINJA_TEMPLATES` names a file of cases to compare instead, one JSON
//! object (`{"template": …, "salt": true}`) on a line:
//!
//! ```sh
//! SALT_PYTHON=/opt/saltstack/salt/bin/python3 JINJA_SEEDS=1,2,3 \
//!     cargo test -p salt-state --test it jinja -- --nocapture
//! ```

//! What differs on purpose, or cannot agree, and is therefore not generated or not
//! counted:
//!
//! - There are no complex numbers: `(-8) ** 0.5` is an error here.
//! - Where Python runs out of stack or of the judge's patience is up to Python;
//!   both must fail.
//! - The order of a set, and of what Salt makes from one (`unique` of text,
//!   `compare_dicts`), is that of insertion here and arbitrary in Python; the
//!   generator sorts.
//! - Jinja computes constant expressions while it compiles, so that a mistake in one
//!   (`{}.x ~ 'a'`) is an error even where it never runs, and one without a line,
//!   for which Salt dies of `'NoneType' object is not subscriptable` in its own error
//!   handling. Here it is an error with a line, when it runs.
//! - A constant that is infinite becomes the name `inf`, which Python does not know.
//!   Here it is infinite.
//! - In a block whose `autoescape` is not a literal, Jinja escapes constants as
//!   outside of the block. Here they are escaped as inside.
//! - Jinja shows `include … without context` before the filter, set or call block that
//!   it stands in, and a macro with one prints as a generator. Here it is shown where
//!   it stands.
//! - A filter block that gives no text is an error in both, but the number in
//!   `sequence item 0: expected str instance` counts pieces of Jinja's compiled code.
//! - An unknown filter in a part of a child template that is never shown is an error
//!   here, and not in Jinja, which does not compile the part.
//! - Salt's `xml` fails with an index error on empty lists and on lists of short texts,
//!   where it looks into the first item. Here lists become elements.
//! - What YAML cannot represent (`range(3)|yaml`) is `NULL` in Salt and `null` here,
//!   which is read as the same.
//! - What stands in parentheses on the left of an assignment is read as an expression
//!   by Jinja, and as names here; both refuse what is none, in their own words.
//! - Errors are compared without the Python traceback that Salt prints after some.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value as Json;

mod case;
mod generate;
mod limits;

#[test]
fn recorded_templates_render_as_python_rendered_them() {
    let text = fs::read_to_string(sample()).expect("the sample is there");
    let mut lines = text.lines().map(read);
    let common = lines.next().expect("the first line holds what cases share");

    let mut count = 0;
    let mut different = Vec::new();
    for mut line in lines {
        let theirs = line["answer"].take();
        let case = whole(line, &common);
        different.extend(case::difference(&case, &case::answer(&case), &theirs));
        count += 1;
    }

    println!("{count} recorded templates");
    assert!(count >= 300, "the sample is nearly empty");
    fail_on(&different, count);
}

#[test]
fn generated_templates_render_as_python_renders_them() {
    let Ok(python) = std::env::var("SALT_PYTHON") else {
        println!("SALT_PYTHON is not set: only the recorded templates were compared");
        // What is left to show: generating and rendering end without a panic.
        for n in 0..200 {
            case::answer(&generate::case(1, n));
        }
        return;
    };
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let seeds = std::env::var("JINJA_SEEDS").unwrap_or_else(|_| "1".to_owned());
    let cases: u64 = number("JINJA_CASES", 3000);

    let mut all = Vec::new();
    match std::env::var("JINJA_TEMPLATES") {
        Ok(file) => {
            let text = fs::read_to_string(file).expect("JINJA_TEMPLATES is a file");
            let common = generate::case(1, 1);
            all.extend(text.lines().map(|line| whole(read(line), &common)));
        }
        Err(_) => {
            for seed in seeds.split(',') {
                let seed = seed.trim().parse().expect("a seed is a number");
                all.extend((0..cases).map(|n| generate::case(seed, n)));
            }
        }
    }
    let theirs = judge(&python, &all);
    let mut different = Vec::new();
    let mut texts = 0;
    for (case, theirs) in all.iter().zip(&theirs) {
        texts += usize::from(theirs.get("text").is_some());
        different.extend(case::difference(case, &case::answer(case), theirs));
    }

    println!(
        "{} generated templates: {texts} render, {} fail, {} differ",
        all.len(),
        all.len() - texts,
        different.len()
    );
    let wanted = number("JINJA_RECORD", 0);
    if wanted > 0 && different.is_empty() {
        record(&all, &theirs, usize::try_from(wanted).unwrap_or(0));
    }
    fail_on(&different, all.len());
}

fn fail_on(different: &[String], of: usize) {
    let shown: Vec<_> = different.iter().take(400).cloned().collect();
    let shown = shown.join("\n\n");
    let n = different.len();
    assert!(n == 0, "{n} of {of} templates differ\n\n{shown}");
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/jinja/sample.jsonl")
}

fn read(line: &str) -> Json {
    serde_json::from_str(line).expect("a line is JSON")
}

/// A recorded case with what all cases share.
fn whole(mut case: Json, common: &Json) -> Json {
    for name in ["context", "templates"] {
        if case.get(name).is_none() {
            case[name] = common[name].clone();
        }
    }
    case
}

/// The judge's answers, one for each case.
fn judge(python: &str, cases: &[Json]) -> Vec<Json> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/jinja_judge.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("SALT_PYTHON runs");
    let mut input = child.stdin.take().expect("piped");
    let output = thread::scope(|scope| {
        scope.spawn(move || {
            for case in cases {
                writeln!(input, "{case}").expect("the judge listens");
            }
        });
        child.wait_with_output().expect("the judge answers")
    });
    assert!(output.status.success(), "the judge failed");
    let text = String::from_utf8(output.stdout).expect("the judge writes UTF-8");
    let answers: Vec<Json> = text.lines().map(read).collect();
    assert_eq!(answers.len(), cases.len());
    answers
}

/// Writes a new sample: as many cases as wanted, spread over all of them.
fn record(cases: &[Json], answers: &[Json], wanted: usize) {
    let common = serde_json::json!({
        "context": cases[0]["context"],
        "templates": cases[0]["templates"],
    });
    let mut text = format!("{common}\n");
    let step = (cases.len() / wanted).max(1);
    for (case, answer) in cases.iter().zip(answers).step_by(step).take(wanted) {
        let mut line = case.clone();
        let object = line.as_object_mut().expect("a case is an object");
        object.remove("context");
        object.remove("templates");
        let mut answer = answer.clone();
        answer.as_object_mut().expect("an object").remove("id");
        if let Some(message) = answer.pointer_mut("/error/message") {
            // Tracebacks name files of the machine.
            *message = case::normal(message.as_str().unwrap_or("")).into();
        }
        object.insert("answer".to_owned(), answer);
        text += &format!("{line}\n");
    }
    fs::create_dir_all(sample().parent().expect("it has one")).expect("can be made");
    fs::write(sample(), text).expect("can be written");
}
