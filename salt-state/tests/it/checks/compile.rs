//! What must hold for any files that are compiled as a tree.

use salt_state::compile::{Inputs, compile};
use salt_state::render::{NoFunctions, World};
use salt_state::{MemorySources, MinionData};

/// The bytes are up to four files separated by NUL: `top.sls`, `a.sls`, `b/init.sls` and
/// `m.jinja`. Compiling ends; with errors there is nothing to apply, and every error has
/// a text and a place in a file that exists.
pub(crate) fn compile_tree(data: &[u8]) {
    let names = ["a.sls", "b/init.sls", "m.jinja", "top.sls"];
    let mut tree =
        MemorySources::new().file("base", "top.sls", "base:\n  '*':\n    - a\n    - b\n");
    for (name, content) in names.iter().zip(data.split(|byte| *byte == 0)) {
        tree = tree.file("base", *name, content);
    }
    let minion = MinionData {
        id: "minion".into(),
        ..MinionData::default()
    };
    let world = World::new(&minion, &tree, &NoFunctions);

    let done = compile(&Inputs::new(&world));

    for error in &done.errors {
        assert!(!error.report().is_empty());
        if let Some(place) = &error.place {
            assert!(place.line > 0 && place.column > 0, "{}", error.report());
        }
    }
    for chunk in done.low.unwrap_or_default() {
        assert!(!chunk.tag().is_empty());
        let _place = world.place(chunk.origin.id);
    }
}
