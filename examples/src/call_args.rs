//! Functions and their arguments as they are typed: `test.arg 1 name=value`, and several
//! at once, `test.ping,test.echo , hello`.

use salt_proto::Value;
use salt_state::Args;

/// One function with its arguments, as a job carries them.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its name.
    pub function: String,
    /// Its arguments; the keywords are in one mapping at the end, marked `__kwarg__`.
    pub arg: Vec<Value>,
}

/// Reads a function and the words behind it as Salt 3008.3 does.
///
/// Words are read by [`salt_state::args::read_value`]; `name=value` is a keyword.
/// Several functions are separated by commas, and their arguments by `separator`
/// (Salt's `--args-separator`, `,` unless stated), which may stand alone or within words.
/// `no_parse` names the keywords whose value stays text.
///
/// # Errors
///
/// Salt's sentence when there are several functions and not as many groups of
/// arguments.
pub fn read(
    function: &str,
    words: &[String],
    separator: &str,
    no_parse: &[&str],
) -> Result<Vec<Call>, String> {
    let call = |function: &str, words: &[String]| Call {
        function: function.to_owned(),
        arg: Args::from_words(words, no_parse).to_job(),
    };
    if !function.contains(',') {
        return Ok(vec![call(function, words)]);
    }
    let functions: Vec<&str> = function.split(',').map(str::trim).collect();
    let mut groups = vec![Vec::new()];
    for word in words {
        for (at, piece) in word.split(separator).enumerate() {
            if at > 0 {
                groups.push(Vec::new());
            }
            if !piece.is_empty()
                && let Some(group) = groups.last_mut()
            {
                group.push(piece.to_owned());
            }
        }
    }
    if groups.len() != functions.len() {
        return Err("Cannot execute compound command without defining all arguments.".to_owned());
    }
    Ok(functions
        .iter()
        .zip(&groups)
        .map(|(function, words)| call(function, words))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use salt_proto::Map;

    fn words(line: &str) -> Vec<String> {
        line.split('|')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn keywords(name: &str, value: impl Into<Value>) -> Value {
        Map::from([("__kwarg__", Value::from(true)), (name, value.into())]).into()
    }

    #[test]
    fn keywords_are_gathered_at_the_end() {
        let calls = read("test.arg", &words("a=b|1|{x: 1}|c: d"), ",", &[]).unwrap();

        assert_eq!(
            calls[0].arg,
            [
                Value::Int(1),
                Map::from([("x", 1)]).into(),
                "c: d".into(),
                keywords("a", "b"),
            ]
        );
    }

    // Recorded from the jobs that Salt 3008.3's `salt` published.
    #[test]
    fn several_functions_take_their_arguments_in_groups() {
        let calls = read(
            "test.ping,test.echo,test.arg",
            &words(",|foo|,|1|a=b"),
            ",",
            &[],
        )
        .unwrap();
        assert_eq!(calls[0].arg, []);
        assert_eq!(calls[1].arg, ["foo".into()]);
        assert_eq!(calls[2].arg, [1.into(), keywords("a", "b")]);

        let calls = read(
            "test.arg,test.echo,test.ping",
            &words("cat x,,foo"),
            ",",
            &[],
        )
        .unwrap();
        assert_eq!(calls[0].arg, ["cat x".into()]);
        assert_eq!(calls[1].arg, []);
        assert_eq!(calls[2].arg, ["foo".into()]);

        let calls = read("test.arg,test.echo", &words("1|::|5,6"), "::", &[]).unwrap();
        assert_eq!(calls[1].arg, ["5,6".into()]);
    }

    #[test]
    fn a_missing_group_is_refused_in_salts_words() {
        assert_eq!(
            read("test.arg,test.echo", &words("1|2"), ",", &[]).unwrap_err(),
            "Cannot execute compound command without defining all arguments."
        );
    }

    #[test]
    fn a_comma_means_nothing_for_one_function() {
        let calls = read("test.echo", &words("a,b"), ",", &[]).unwrap();
        assert_eq!(calls[0].arg, ["a,b".into()]);
    }
}
