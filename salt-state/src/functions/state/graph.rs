//! `state.graph*` and `state.show_state_usage`: what depends on what, and which SLS of the
//! tree are used at all.

use salt_proto::{Map, Value};

use super::with;
use crate::args::Args;
use crate::compile::{self, Inputs, NO_MATCH};
use crate::context::Context;
use crate::diagnostic::Diagnostic;
use crate::python;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "state.graph",
        "graph(mods, queue=None, saltenv=None, pillarenv=None, **kwargs)",
        "Shows what depends on what in the given SLS, in the language DOT.",
        |args, context| with(args, context, Some("mods"), dot),
    );
    registry.add(
        "state.graph_highstate",
        "graph_highstate(queue=None, **kwargs)",
        "Shows what depends on what in the highstate, in the language DOT.",
        |args, context| with(args, context, None, dot),
    );
    registry.add(
        "state.show_state_usage",
        "show_state_usage(queue=None, **kwargs)",
        "Shows which SLS of the tree the highstate names, and which not.",
        usage,
    );
}

fn dot(inputs: &Inputs<'_>) -> Result<Value, Vec<Diagnostic>> {
    let edges = match compile::dependencies(inputs) {
        Ok(edges) => edges,
        Err(errors) if errors.iter().all(|error| error.message == NO_MATCH) => {
            compile::Dependencies::default()
        }
        Err(errors) => return Err(errors),
    };
    let mut out = String::from("digraph G {\n");
    for (tag, label) in &edges.nodes {
        out.push_str(&format!("  \"{tag}\" [label=\"{label}\"];\n"));
    }
    for (from, to, kind) in &edges.edges {
        out.push_str(&format!("  \"{from}\" -> \"{to}\" [label=\"{kind}\"];\n"));
    }
    out.push('}');
    Ok(out.into())
}

fn usage(args: &Args, context: &Context<'_>) -> Answer {
    let selected = with(args, context, None, |inputs| {
        Ok(match compile::matches(inputs) {
            Ok(matches) => matches
                .into_iter()
                .map(|(environment, names)| (environment, Value::List(names)))
                .collect::<Map>()
                .into(),
            Err(_) => Map::new().into(),
        })
    })?;
    let Some(sources) = context.sources else {
        return Ok(selected);
    };
    let mut shown = Map::new();
    for environment in sources.environments()? {
        let listed = Args::new().with(environment.as_str());
        let listed = context.registry.call("cp.list_states", &listed, context)?;
        let all: Vec<String> = listed
            .as_list()
            .unwrap_or_default()
            .iter()
            .map(python::str)
            .collect();
        let named: Vec<String> = selected
            .get(&environment)
            .and_then(Value::as_list)
            .unwrap_or_default()
            .iter()
            .map(python::str)
            .collect();
        // A glob of the top file counts for nothing here.
        let (used, unused): (Vec<&String>, Vec<&String>) =
            all.iter().partition(|name| named.contains(name));
        let texts = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Value>();
        shown.insert(
            environment,
            Map::from([
                ("used", texts(&used)),
                ("unused", texts(&unused)),
                ("count_all", all.len().into()),
                ("count_used", used.len().into()),
                ("count_unused", unused.len().into()),
            ]),
        );
    }
    Ok(shown.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::sources::MemorySources;
    use crate::system::FakeSystem;

    fn call(function: &str, args: &Args, tree: &MemorySources) -> Value {
        let registry = Registry::builtin();
        let machine = FakeSystem::new();
        let minion = MinionData {
            id: "m1".into(),
            ..MinionData::default()
        };
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(tree);
        registry.call(function, args, &context).expect(function)
    }

    /// States of single letters, with what they require.
    fn sls_of(edges: &[(&str, &str, &str)], order: &str) -> String {
        let mut sls = String::new();
        for id in order.chars().map(|id| id.to_string()) {
            sls.push_str(&format!("{id}:\n  test.nop:\n    - k: v\n"));
            let mut kinds: indexmap::IndexMap<&str, Vec<String>> = indexmap::IndexMap::new();
            for (_, kind, target) in edges.iter().filter(|(own, _, _)| *own == id) {
                let target = format!("{{test: {target}}}");
                kinds.entry(kind).or_default().push(target);
            }
            for (kind, targets) in kinds {
                sls.push_str(&format!("    - {kind}: [{}]\n", targets.join(", ")));
            }
        }
        sls
    }

    /// The edges that `state.graph` shows, shortly; a dry run has a mark.
    fn shown(edges: &[(&str, &str, &str)], order: &str) -> String {
        let sls = sls_of(edges, order);
        let tree = MemorySources::new().file("base", "s.sls", sls.as_str());
        let value = call("state.graph", &Args::new().with("s"), &tree);
        let text = value.as_str().expect("a graph").to_owned();
        let mut lines = Vec::new();
        for line in text.lines().filter(|line| line.contains("->")) {
            let short = |part: &str| {
                let id = part.trim().trim_matches('"');
                let test = if id.ends_with("__prereq_test__") {
                    "'"
                } else {
                    ""
                };
                format!("{}{test}", id.split("_|-").nth(1).expect("an ID"))
            };
            let (from, rest) = line.split_once(" -> ").expect("an edge");
            let (to, label) = rest.split_once(" [label=\"").expect("a label");
            let kind = label.trim_end_matches("\"];");
            lines.push(format!("{}{} {kind}", short(from), short(to)));
        }
        lines.join(", ")
    }

    // Recorded from `state.graph` of 3008.3.
    #[test]
    fn edges_are_made_in_salts_order() {
        let edges = [
            ("A", "require", "B"),
            ("A", "require", "E"),
            ("C", "prereq", "A"),
            ("E", "require", "B"),
        ];
        assert_eq!(
            shown(&edges, "ABCE"),
            "BA require, BA' require, BE require, CA require, EA require, EA' require, A'C prereq"
        );
        assert_eq!(
            shown(&edges, "CABE"),
            "CA require, BA' require, BA require, BE require, EA' require, EA require, A'C prereq"
        );
        let chain = [
            ("A", "prereq", "B"),
            ("B", "require", "D"),
            ("E", "require", "D"),
            ("C", "prereq", "A"),
            ("F", "require", "D"),
            ("A", "require", "D"),
        ];
        assert_eq!(
            shown(&chain, "FAEBCD"),
            "AB require, CA require, DF require, DA require, DE require, DB' require, DB require, DA' require, B'A prereq, A'C prereq"
        );
        let nested = [
            ("A", "prereq", "B"),
            ("B", "prereq", "C"),
            ("B", "require", "D"),
            ("E", "prereq", "B"),
            ("C", "watch", "D"),
        ];
        assert_eq!(
            shown(&nested, "ABCDE"),
            "AB require, BC require, DB' require, DB require, DC' watch, DC watch, EB require, B'A prereq, B'E prereq, C'B prereq, C'B' prereq"
        );
        let circle = [("A", "prereq", "B"), ("B", "require", "A")];
        assert_eq!(shown(&circle, "AB"), "AB require, AB' require, B'A prereq");
    }

    /// The circle that a highstate of such a tree is refused for.
    fn circle(edges: &[(&str, &str, &str)], order: &str) -> String {
        let sls = sls_of(edges, order);
        let tree = MemorySources::new()
            .file("base", "s.sls", sls.as_str())
            .file("base", "top.sls", "base:\n  '*': [s]\n");
        let value = call("state.show_lowstate", &Args::new(), &tree);
        let text = value.as_list().and_then(|all| all.first()?.as_str());
        let text = text.expect("an error").replace("'SLS': 's', ", "");
        text.replace("Recursive requisites were found: ", "")
            .replace("{'ID': '", "")
            .replace("'}", "")
            .replace(['\'', ','], "")
    }

    // Recorded from `state.show_lowstate` of 3008.3.
    #[test]
    fn circles_are_told_as_salt_tells_them() {
        let around = [
            ("A", "prereq_in", "C"),
            ("B", "require_in", "A"),
            ("C", "prereq", "B"),
            ("E", "require", "B"),
            ("E", "require_in", "A"),
        ];
        assert_eq!(
            circle(&around, "ABCE"),
            "(A require B) (C prereq A) (B prereq C)"
        );
        let requiring = [
            ("A", "require", "B"),
            ("C", "prereq", "B"),
            ("C", "prereq", "A"),
            ("B", "require", "D"),
        ];
        assert_eq!(
            circle(&requiring, "ABCD"),
            "(A require B) (C prereq A) (B require C)"
        );
        let watching = [
            ("A", "require", "B"),
            ("C", "prereq", "B"),
            ("C", "prereq", "A"),
            ("B", "watch", "D"),
        ];
        assert_eq!(
            circle(&watching, "ABCD"),
            "(A require B) (C prereq A) (B prereq C)"
        );
        let longer = [
            ("A", "prereq", "B"),
            ("C", "prereq", "B"),
            ("B", "require", "D"),
            ("D", "require", "C"),
            ("D", "require", "A"),
        ];
        assert_eq!(
            circle(&longer, "ABCD"),
            "(D require A) (B require D) (A prereq B)"
        );
        let mixed = [
            ("D", "prereq", "A"),
            ("C", "prereq", "B"),
            ("B", "require", "D"),
            ("A", "watch", "C"),
            ("A", "require", "B"),
        ];
        assert_eq!(
            circle(&mixed, "ABCD"),
            "(A require B) (D prereq A) (B require D)"
        );
    }

    // Recorded from `state.show_lowstate` of 3008.3: an ID without that state is passed over
    // for the one state of another ID that has the name as an argument.
    #[test]
    fn a_reference_turned_around_finds_a_name_behind_the_same_id() {
        let b = "B:\n  cmd.run:\n    - name: echo B\n    - require_in: [{test: A}]\n";
        let a = "A:\n  cmd.run:\n    - name: echo A\n";
        let low = |more: &str| {
            let tree = MemorySources::new()
                .file("base", "s.sls", format!("{a}{more}{b}").as_str())
                .file("base", "top.sls", "base:\n  '*': [s]\n");
            let value = call("state.show_lowstate", &Args::new(), &tree);
            let owner = value
                .as_list()
                .unwrap_or_default()
                .iter()
                .find(|chunk| chunk.get("require").is_some());
            owner.and_then(|chunk| Some(chunk.get("__id__")?.as_str()?.to_owned()))
        };

        assert_eq!(
            low("X:\n  test.nop:\n    - name: A\n").as_deref(),
            Some("X")
        );
        assert_eq!(low("X:\n  test.nop:\n    - foo: A\n").as_deref(), Some("X"));
        assert_eq!(low("X:\n  test.nop:\n    - names: [A, Q]\n"), None);
        assert_eq!(
            low("X:\n  test.nop:\n    - name: A\nY:\n  test.nop:\n    - name: A\n"),
            None
        );
    }

    // Recorded from 3008.3.
    #[test]
    fn nodes_are_labelled_with_function_id_and_name() {
        let tree = MemorySources::new()
            .file("base", "a.sls", "A:\n  test.nop:\n    - require: [{test: B}]\n    - watch: [{test: B}, {test: nowhere}]\nB: test.nop\ne f'\\:\n  test.nop:\n    - name: 'x\\y \"z\"'\n")
            .file("base", "top.sls", "base:\n  'zz*': [a]\n");

        assert_eq!(
            call("state.graph", &Args::new().with("a"), &tree).as_str(),
            Some(
                "digraph G {\n  \"test_|-A_|-A_|-nop\" [label=\"test.nop\\nA\"];\n  \"test_|-B_|-B_|-nop\" [label=\"test.nop\\nB\"];\n  \"test_|-e f'\\_|-x\\y \"z\"_|-nop\" [label=\"test.nop\\ne f'\\\\n(x\\y \"z\")\"];\n  \"test_|-B_|-B_|-nop\" -> \"test_|-A_|-A_|-nop\" [label=\"require\"];\n  \"test_|-B_|-B_|-nop\" -> \"test_|-A_|-A_|-nop\" [label=\"watch\"];\n}"
            )
        );
        assert_eq!(
            call("state.graph_highstate", &Args::new(), &tree).as_str(),
            Some("digraph G {\n}")
        );
        assert_eq!(
            call("state.graph", &Args::new().with("nope"), &tree),
            Value::List(vec![
                "No matching sls found for 'nope' in env 'base'".into()
            ])
        );
    }

    // Recorded from 3008.3.
    #[test]
    fn what_a_top_file_names_is_used() {
        let tree = MemorySources::new()
            .file("base", "top.sls", "base:\n  '*': [a, d.*, nope]\n")
            .file("base", "a.sls", "a: test.nop\n")
            .file("base", "d/init.sls", "d: test.nop\n")
            .file("base", "d/e.sls", "e: test.nop\n");

        let shown = call("state.show_state_usage", &Args::new(), &tree);

        assert_eq!(
            crate::render::json::dump(&shown),
            r#"{"base": {"used": ["a"], "unused": ["d", "d.e", "top"], "count_all": 4, "count_used": 1, "count_unused": 3}}"#
        );
    }
}
