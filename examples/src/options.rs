//! Command lines as Salt's programs read them: options may stand anywhere, values follow as `--out json`,
//! `--out=json`, `-t 5` or `-t5`, and a unique beginning of a long option is enough.

use std::collections::HashMap;

/// One option of a program.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// All spellings, the first one being the key that [`Parsed`] answers to.
    pub names: &'static [&'static str],
    /// The placeholder of its value, when it takes one.
    pub value: Option<&'static str>,
    /// Whether the value has to be an integer.
    pub integer: bool,
    /// What it does, for `--help`.
    pub help: &'static str,
}

impl Opt {
    /// An option without a value.
    pub const fn flag(names: &'static [&'static str], help: &'static str) -> Self {
        Self {
            names,
            value: None,
            integer: false,
            help,
        }
    }

    /// An option with a value.
    pub const fn value(
        names: &'static [&'static str],
        placeholder: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            names,
            value: Some(placeholder),
            integer: false,
            help,
        }
    }

    /// An option whose value is an integer.
    pub const fn integer(
        names: &'static [&'static str],
        placeholder: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            names,
            value: Some(placeholder),
            integer: true,
            help,
        }
    }

    /// Refuses a value of the wrong kind; `spelling` is how the option was called.
    fn check(&self, spelling: &str, value: &str) -> Result<(), String> {
        if self.integer && value.trim().parse::<i64>().is_err() {
            return Err(format!(
                "option {spelling}: invalid integer value: '{value}'"
            ));
        }
        Ok(())
    }
}

/// What was on the command line.
#[derive(Debug, Default)]
pub struct Parsed {
    values: HashMap<&'static str, String>,
    /// The words that are not options, in order.
    pub words: Vec<String>,
}

impl Parsed {
    /// Whether an option was given.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The value of an option; the last one given counts.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of an option as a number.
    ///
    /// # Errors
    ///
    /// A sentence for the user when the value is not a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.value(name)
            .map(|text| {
                text.trim()
                    .parse()
                    .map_err(|_| format!("option {name}: invalid number: '{text}'"))
            })
            .transpose()
    }
}

/// Reads a command line.
///
/// # Errors
///
/// A sentence for the user, worded as Python's `optparse` words it.
pub fn parse(options: &[Opt], words: impl IntoIterator<Item = String>) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.words.extend(words);
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, given) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let option = find_long(options, name)?;
            let value = match (option.value, given) {
                (Some(_), Some(value)) => value,
                (Some(_), None) => words
                    .next()
                    .ok_or_else(|| format!("--{name} option requires 1 argument"))?,
                (None, Some(_)) => return Err(format!("--{name} option does not take a value")),
                (None, None) => String::new(),
            };
            let spelling = option
                .names
                .iter()
                .find(|known| known.starts_with(&format!("--{name}")))
                .unwrap_or(&option.names[0]);
            option.check(spelling, &value)?;
            parsed.values.insert(option.names[0], value);
        } else if word.len() > 1 && word.starts_with('-') {
            let letters = word[1..].char_indices();
            for (at, letter) in letters {
                let name = format!("-{letter}");
                let option = options
                    .iter()
                    .find(|option| option.names.contains(&name.as_str()))
                    .ok_or_else(|| format!("no such option: {name}"))?;
                if option.value.is_some() {
                    let rest = &word[1 + at + letter.len_utf8()..];
                    let value = if rest.is_empty() {
                        words
                            .next()
                            .ok_or_else(|| format!("{name} option requires 1 argument"))?
                    } else {
                        rest.to_owned()
                    };
                    option.check(&name, &value)?;
                    parsed.values.insert(option.names[0], value);
                    break;
                }
                parsed.values.insert(option.names[0], String::new());
            }
        } else {
            parsed.words.push(word);
        }
    }
    Ok(parsed)
}

fn find_long<'a>(options: &'a [Opt], name: &str) -> Result<&'a Opt, String> {
    let full = format!("--{name}");
    if let Some(option) = options
        .iter()
        .find(|option| option.names.contains(&full.as_str()))
    {
        return Ok(option);
    }
    let mut hits = options
        .iter()
        .filter(|option| option.names.iter().any(|known| known.starts_with(&full)));
    match (hits.next(), hits.next()) {
        (Some(option), None) => Ok(option),
        (Some(_), Some(_)) => Err(format!("ambiguous option: {full}")),
        _ => Err(format!("no such option: {full}")),
    }
}

/// The text of `--help`.
pub fn help(usage: &str, about: &str, options: &[Opt]) -> String {
    let mut text = format!("Usage: {usage}\n\n{about}\n\nOptions:\n");
    for option in options {
        let names = option
            .names
            .iter()
            .map(|name| match option.value {
                Some(value) if name.starts_with("--") => format!("{name}={value}"),
                Some(value) => format!("{name} {value}"),
                None => (*name).to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", ");
        if names.len() <= 21 {
            text.push_str(&format!("  {names:21} {}\n", wrap(option.help)));
        } else {
            text.push_str(&format!("  {names}\n{:24}{}\n", "", wrap(option.help)));
        }
    }
    text
}

fn wrap(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| line.len() + word.len() < 54);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{:24}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[Opt] = &[
        Opt::value(
            &["-c", "--config-dir"],
            "DIR",
            "Where the configuration is.",
        ),
        Opt::flag(&["-G", "--grain"], "Target by grain."),
        Opt::flag(&["-s", "--static"], "Wait for all."),
        Opt::value(&["--out", "--output"], "OUTPUTTER", "How to print."),
        Opt::value(&["--out-indent"], "N", "Indentation."),
        Opt::integer(&["-t", "--timeout"], "SECONDS", "Patience."),
    ];

    fn read(words: &[&str]) -> Result<Parsed, String> {
        parse(OPTIONS, words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn options_may_stand_anywhere_and_take_values_in_every_spelling() {
        let parsed = read(&[
            "-Gs",
            "os:*",
            "--out",
            "json",
            "-c/etc",
            "f",
            "--out-indent=2",
        ])
        .unwrap();

        assert!(parsed.has("-G") && parsed.has("-s"));
        assert_eq!(parsed.value("--out"), Some("json"));
        assert_eq!(parsed.value("-c"), Some("/etc"));
        assert_eq!(parsed.number::<i32>("--out-indent"), Ok(Some(2)));
        assert_eq!(parsed.words, ["os:*", "f"]);
    }

    #[test]
    fn a_unique_beginning_is_enough_and_an_exact_name_is_never_ambiguous() {
        assert_eq!(read(&["--conf", "x"]).unwrap().value("-c"), Some("x"));
        assert_eq!(read(&["--out=x"]).unwrap().value("--out"), Some("x"));
        assert_eq!(read(&["--ou=x"]).unwrap_err(), "ambiguous option: --ou");
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(read(&["--nope"]).unwrap_err(), "no such option: --nope");
        assert_eq!(read(&["-c"]).unwrap_err(), "-c option requires 1 argument");
        assert_eq!(
            read(&["--grain=x"]).unwrap_err(),
            "--grain option does not take a value"
        );
        assert_eq!(
            read(&["-t", "x"]).unwrap_err(),
            "option -t: invalid integer value: 'x'"
        );
        assert_eq!(
            read(&["--time=1.5"]).unwrap_err(),
            "option --timeout: invalid integer value: '1.5'"
        );
    }

    #[test]
    fn words_behind_two_dashes_are_words() {
        assert_eq!(read(&["--", "-G"]).unwrap().words, ["-G"]);
    }
}
