//! Compares the template engine with Python's Jinja.
//!
//! ```text
//! jinja_judge generate SEED COUNT > cases.jsonl       templates from a grammar
//! jinja_judge render < cases.jsonl > ours.jsonl       our answers
//! python tests/tools/jinja_judge.py < cases.jsonl > theirs.jsonl
//! jinja_judge compare cases.jsonl ours.jsonl theirs.jsonl
//! jinja_judge run PYTHON JUDGE SEED COUNT             all of it at once
//! ```

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use serde_json::Value as Json;

#[path = "../tests/it/jinja/case.rs"]
mod case;
#[path = "../tests/it/jinja/generate.rs"]
mod generate;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["generate", seed, count] => generate_cases(seed, count),
        ["render"] => render(),
        ["compare", cases, ours, theirs] => compare(cases, ours, theirs),
        ["run", python, judge, seed, count] => run(python, judge, seed, count),
        _ => Err("usage: jinja_judge generate|render|compare|run …".into()),
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

type Outcome = Result<usize, Box<dyn std::error::Error>>;

fn cases(seed: &str, count: &str) -> Result<Vec<Json>, Box<dyn std::error::Error>> {
    let (seed, count): (u64, u64) = (seed.parse()?, count.parse()?);
    Ok((0..count).map(|n| generate::case(seed, n)).collect())
}

fn generate_cases(seed: &str, count: &str) -> Outcome {
    for case in cases(seed, count)? {
        println!("{case}");
    }
    Ok(0)
}

fn render() -> Outcome {
    for line in std::io::stdin().lock().lines() {
        println!("{}", case::answer(&serde_json::from_str(&line?)?));
    }
    Ok(0)
}

fn lines(path: &str) -> Result<Vec<Json>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

fn compare(cases: &str, ours: &str, theirs: &str) -> Outcome {
    let (cases, ours, theirs) = (lines(cases)?, lines(ours)?, lines(theirs)?);
    let mut different = 0;
    for ((case, ours), theirs) in cases.iter().zip(&ours).zip(&theirs) {
        different += report(case, ours, theirs);
    }
    println!("{} cases, {different} different", cases.len());
    Ok(different)
}

fn report(case: &Json, ours: &Json, theirs: &Json) -> usize {
    match case::difference(case, ours, theirs) {
        Some(text) => {
            println!("{text}\n");
            1
        }
        None => 0,
    }
}

fn run(python: &str, judge: &str, seed: &str, count: &str) -> Outcome {
    let cases = cases(seed, count)?;
    let mut child = Command::new(python)
        .arg(judge)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no input")?;
    let sent = cases.clone();
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        for case in sent {
            writeln!(input, "{case}")?;
        }
        Ok(())
    });
    let output = child.stdout.take().ok_or("no output")?;
    let mut different = 0;
    let (mut errors, mut done) = (0, 0);
    for (case, line) in cases.iter().zip(BufReader::new(output).lines()) {
        let theirs: Json = serde_json::from_str(&line?)?;
        errors += usize::from(theirs.get("error").is_some());
        different += report(case, &case::answer(case), &theirs);
        done += 1;
    }
    child.wait()?;
    writer.join().map_err(|_| "the writer failed")??;
    println!("{done} cases ({errors} of them errors), {different} different");
    Ok(different)
}
