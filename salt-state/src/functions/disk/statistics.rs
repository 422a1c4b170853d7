//! What programs tell of devices: their use and their parameters.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::mount::device_of;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "disk.iostat",
        "iostat(interval=1, count=5, disks=None)",
        "The use of the processors and of disks, as iostat(1) tells: averages of some\n\
         looks with seconds between.",
        iostat,
    );
    add(
        "disk.hdparms",
        "hdparms(disks, args='aAbBcCdgHiJkMmNnQrRuW')",
        "The parameters of disks, as hdparm(8) tells.",
        |args, context| {
            let flags: String = args.get("args").map(letters).unwrap_or_default();
            let mut all = Map::new();
            for disk in listed(args.get("disks")) {
                let disk = if disk.starts_with("/dev") {
                    disk
                } else {
                    format!("/dev/{disk}")
                };
                let command = tool::plain("hdparm").arg(format!("-{flags}")).arg(&disk);
                let output = tool::ask(context.system, &command)?;
                all.insert(disk, parameters(&output.stdout_text()));
            }
            Ok(all.into())
        },
    );
    add(
        "disk.get_fstype_from_path",
        "get_fstype_from_path(path)",
        "The kind of the file system of a path.",
        |args, context| {
            let device = device_of(context.system, &args.text("path")?)?;
            let device = device.unwrap_or_else(|| "None".to_owned());
            let asked = |program: &str, flags: &[&str]| {
                let command = tool::plain(program).args(flags).arg(&device);
                let answer = tool::answer(context.system, &command).unwrap_or_default();
                // The first line has the names of the columns.
                let line = answer.trim_end().lines().skip(1).last();
                line.unwrap_or_default().to_owned()
            };
            let kind = asked("lsblk", &["-o", "fstype"]);
            let kind = kind.trim();
            if !kind.is_empty() {
                return Ok(kind.into());
            }
            Ok(asked("df", &["-T"]).into())
        },
    );
}

/// The words of a list, or one word.
fn listed(value: Option<&Value>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(all)) => all.iter().map(python::str).collect(),
        Some(one) => vec![python::str(one)],
    }
}

fn letters(value: &Value) -> String {
    listed(Some(value)).concat()
}

fn iostat(args: &Args, context: &Context<'_>) -> Answer {
    let disks = listed(args.given("disks"));
    let flags = if disks.is_empty() { "-x" } else { "-xd" };
    let command = tool::plain("iostat")
        .args([
            flags.to_owned(),
            args.text("interval")?,
            args.text("count")?,
        ])
        .args(disks);
    let output = tool::ask(context.system, &command)?;
    Ok(averages(&output.stdout_text()).into())
}

/// A column, the sum of its values and how many they are.
type Sum = (String, f64, u32);

/// The averages of all looks, by device; those of the processors under `sys`.
fn averages(table: &str) -> Map {
    let mut all: Vec<(String, Vec<Sum>)> = Vec::new();
    let mut add = |name: &str, columns: &[&str], values: &[&str]| {
        let at = all.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| {
            all.push((name.to_owned(), Vec::new()));
            all.len() - 1
        });
        let Some((_, rows)) = all.get_mut(at) else {
            return;
        };
        for (column, value) in columns.iter().zip(values) {
            let Ok(value) = value.replace(',', ".").parse::<f64>() else {
                continue;
            };
            match rows.iter_mut().find(|(known, ..)| known == column) {
                Some((_, sum, count)) => {
                    *sum += value;
                    *count += 1;
                }
                None => rows.push(((*column).to_owned(), value, 1)),
            }
        }
    };
    let mut columns: Vec<&str> = Vec::new();
    let mut of_processors = false;
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((first, rest)) = words.split_first() else {
            columns.clear();
            continue;
        };
        if matches!(*first, "avg-cpu:" | "Device:") {
            of_processors = *first == "avg-cpu:";
            columns = rest.to_vec();
        } else if columns.is_empty() {
            // The line about the machine.
        } else if of_processors {
            add("sys", &columns, &words);
        } else {
            add(first, &columns, rest);
        }
    }
    all.into_iter()
        .map(|(name, rows)| {
            let rows: Map = rows
                .into_iter()
                .map(|(column, sum, count)| (column, rounded(sum / f64::from(count))))
                .collect();
            (name, rows)
        })
        .collect()
}

/// Rounded to two digits.
fn rounded(x: f64) -> f64 {
    format!("{x:.2}").parse().unwrap_or(x)
}

/// The parameters in what hdparm(8) says: numbers and words, one or several.
fn parameters(table: &str) -> Map {
    table
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once('=').or_else(|| line.split_once(':'))?;
            let name = name.trim();
            let name = name.strip_suffix(" is").unwrap_or(name);
            let value = value.trim();
            let name = name.to_lowercase().replace(' ', "_");
            (!value.is_empty()).then(|| (name, parameter(value)))
        })
        .collect()
}

fn parameter(text: &str) -> Value {
    let (main, meaning) = match text.split_once('(') {
        Some((main, meaning)) => (main, Some(meaning)),
        None => (text, None),
    };
    let word = |word: &str| -> Value {
        let word = word.trim();
        word.parse::<i64>()
            .map_or_else(|_| word.into(), Value::from)
    };
    let mut parts = main.split(',');
    let mut all: Vec<Value> = parts
        .next()
        .unwrap_or_default()
        .split('/')
        .map(word)
        .collect();
    let mut named = Map::new();
    for part in parts {
        match part.split_once('=') {
            Some((name, value)) => {
                named.insert(name.trim(), value.trim());
            }
            None => all.push(part.trim().into()),
        }
    }
    if !named.is_empty() {
        all.push(named.into());
    }
    let meaning = meaning.and_then(|text| text.split_whitespace().next());
    if let Some(meaning) = meaning {
        all.push(meaning.trim_end_matches(')').into());
    }
    if all.len() == 1 {
        return all.pop().unwrap_or_default();
    }
    Value::List(all)
}
