//! External pillars: data from elsewhere, merged with that of the tree.

use salt_proto::{Map, Value};

use super::{Compiler, Externals};
use crate::yaml;

/// One call of an external pillar.
#[derive(Clone, Debug)]
pub struct Call<'c> {
    /// The minion's id.
    pub id: &'c str,
    /// Arguments by position, from a list or a single value in the configuration.
    pub positional: Vec<Value>,
    /// Arguments by name, from a mapping in the configuration.
    pub named: Map,
}

/// An external pillar. It is given the pillar as far as it is known, and what it changes
/// in that stays changed; its answer is merged afterwards.
pub type External = dyn Fn(&mut Map, &Call<'_>) -> Result<Value, String>;

impl Compiler<'_, '_> {
    /// Calls all configured external pillars in order.
    pub(super) fn external(&mut self, pillar: &mut Map) {
        let Some(entries) = self.option("ext_pillar") else {
            return;
        };
        let Value::List(entries) = entries else {
            if entries.is_true() {
                self.error("The \"ext_pillar\" option is malformed");
            }
            return;
        };
        for entry in entries {
            let Value::Map(entry) = entry else {
                self.error("The \"ext_pillar\" option is malformed");
                continue;
            };
            for (name, arguments) in entry {
                let name = crate::python::str(name);
                let Some(external) = self.inputs.external.and_then(|all| all.get(&name)) else {
                    // Salt only logs a name that it does not know.
                    continue;
                };
                let mut call = Call {
                    id: &self.world().minion.id,
                    positional: Vec::new(),
                    named: Map::new(),
                };
                match arguments {
                    Value::Map(named) => call.named.clone_from(named),
                    Value::List(positional) => call.positional.clone_from(positional),
                    one => call.positional.push(one.clone()),
                }
                match external(pillar, &call) {
                    Ok(Value::Map(more)) => {
                        *pillar = self.strategy.merge(std::mem::take(pillar), more);
                    }
                    Ok(_) => {}
                    Err(problem) => {
                        self.error(format!("Failed to load ext_pillar {name}: {problem}"));
                    }
                }
            }
        }
    }
}

/// An external pillar that is always the same.
pub fn fixed(data: Map) -> Box<External> {
    Box::new(move |_, _| Ok(Value::Map(data.clone())))
}

/// `static`, which Salt does not have: the mapping in the configuration itself.
pub fn stated() -> Box<External> {
    Box::new(|_, call| Ok(Value::Map(call.named.clone())))
}

/// The external pillars of this crate by name: `cmd_yaml`, `cmd_json` and `static`.
pub fn shipped(run: impl Fn(&str) -> Result<String, String> + Clone + 'static) -> Externals {
    Externals::from([
        ("cmd_yaml".to_owned(), cmd_yaml(Box::new(run.clone()))),
        ("cmd_json".to_owned(), cmd_json(Box::new(run))),
        ("static".to_owned(), stated()),
    ])
}

/// Runs a shell command and gives its output.
pub type Run = dyn Fn(&str) -> Result<String, String>;

/// `cmd_yaml`: a command whose output is YAML. `%s` in it stands for the minion's id.
/// Output that is not YAML gives nothing, as in Salt.
pub fn cmd_yaml(run: Box<Run>) -> Box<External> {
    Box::new(move |_, call| {
        let output = run(&command(call)?)?;
        Ok(yaml::load(&output).unwrap_or_else(|_| Value::Map(Map::new())))
    })
}

/// `cmd_json`: a command whose output is JSON. `%s` in it stands for the minion's id.
/// Output that is not JSON gives nothing, as in Salt.
pub fn cmd_json(run: Box<Run>) -> Box<External> {
    Box::new(move |_, call| {
        let output = run(&command(call)?)?;
        Ok(crate::render::json::parse(&output, 0)
            .map_or_else(|_| Value::Map(Map::new()), |node| node.to_value()))
    })
}

fn command(call: &Call<'_>) -> Result<String, String> {
    let given = call
        .positional
        .first()
        .or_else(|| call.named.get("command"))
        .and_then(Value::as_str);
    match given {
        Some(text) => Ok(text.replace("%s", call.id)),
        None => Err("ext_pillar() missing 1 required positional argument: 'command'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_output_is_read_and_knows_the_minion() {
        let external = cmd_yaml(Box::new(|command| Ok(format!("ran: {command}"))));
        let call = Call {
            id: "web1",
            positional: vec![Value::from("facts %s")],
            named: Map::new(),
        };

        let answer = external(&mut Map::new(), &call);

        assert_eq!(answer, Ok(Value::Map(Map::from([("ran", "facts web1")]))));
    }
}
