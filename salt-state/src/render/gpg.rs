//! The `gpg` stage: replaces PGP messages by what they hide.

use salt_proto::Value;

use super::{Output, RenderError, World};
use crate::yaml::{Data, Entry, Node};

const BEGIN: &str = "-----BEGIN PGP MESSAGE-----";
const END: &str = "-----END PGP MESSAGE-----";

/// Decrypts every armoured message in text or data. A message that cannot be
/// decrypted stays as it is, unless `gpg_decrypt_must_succeed` is set.
pub(super) fn render(world: &World<'_>, flow: Output) -> Result<Output, RenderError> {
    Ok(match flow {
        Output::Text(text) => Output::Text(decrypt_text(world, &text)?),
        Output::Data(node) => Output::Data(decrypt_node(world, &node)?),
    })
}

/// Decrypts every message inside a value.
pub(crate) fn decrypt_value(world: &World<'_>, value: &Value) -> Result<Value, String> {
    let node = Node::from_value(value, crate::yaml::Span::default());
    decrypt_node(world, &node)
        .map(|node| node.to_value())
        .map_err(|error| error.message)
}

fn decrypt_node(world: &World<'_>, node: &Node) -> Result<Node, RenderError> {
    Ok(match &node.data {
        Data::Scalar(Value::Str(text)) if text.contains(BEGIN) => {
            let text = decrypt_text(world, text)?;
            Node::at(Data::Scalar(Value::Str(text)), node.span)
        }
        Data::Scalar(_) => node.clone(),
        Data::List(items) => {
            let items: Result<Vec<_>, _> = items
                .borrow()
                .iter()
                .map(|item| decrypt_node(world, item))
                .collect();
            Node::list(items?, node.span)
        }
        Data::Map(map) => {
            let mut entries = crate::yaml::NodeMap::new();
            for (key, entry) in map.borrow().iter() {
                let value = decrypt_node(world, &entry.value)?;
                entries.insert(
                    key.clone(),
                    Entry {
                        key: entry.key,
                        value,
                    },
                );
            }
            Node::map(entries, node.span)
        }
    })
}

fn decrypt_text(world: &World<'_>, text: &str) -> Result<String, RenderError> {
    let must = world
        .minion
        .config
        .get("gpg_decrypt_must_succeed")
        .is_some_and(Value::is_true);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let Some(length) = rest.get(start..).and_then(|tail| tail.find(END)) else {
            break;
        };
        let end = start + length + END.len();
        out.push_str(rest.get(..start).unwrap_or_default());
        let block = rest.get(start..end).unwrap_or_default();
        let answer = match (world.decrypt, world.machine) {
            (Some(decrypt), _) => decrypt(block),
            (None, Some(machine)) => machine.decrypt(block),
            (None, None) => Err("gpg is not available".to_owned()),
        };
        match answer {
            Ok(plain) => out.push_str(&plain),
            Err(problem) if must => {
                return Err(RenderError::exception(format!(
                    "Could not decrypt cipher {}, received {problem}",
                    crate::python::repr(&Value::Bytes(block.as_bytes().to_vec()))
                )));
            }
            Err(_) => out.push_str(block),
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}
