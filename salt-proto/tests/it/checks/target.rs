//! What must hold for any text taken for a target; shared with the fuzz target.

use salt_proto::target::{Candidate, Reading, Release};
use salt_proto::{Facts, Map, Target, Value};

/// The first byte chooses the kind, the rest is the expression.
///
/// # Panics
///
/// When a target does not survive being printed, or selects ids from nowhere.
pub(crate) fn target(data: &[u8]) {
    const KINDS: [&str; 13] = [
        "glob",
        "pcre",
        "list",
        "grain",
        "grain_pcre",
        "pillar",
        "pillar_pcre",
        "pillar_exact",
        "ipcidr",
        "nodegroup",
        "compound",
        "compound_pillar_exact",
        "range",
    ];
    let Some((kind, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let Ok(target) = Target::parse(kind, &text.into(), ":") else {
        return;
    };
    assert_eq!(
        Target::parse(target.kind().name(), &target.to_value(), target.delimiter()),
        Ok(target.clone())
    );
    assert_eq!(target.to_string(), text);

    let grains = Map::from([
        ("os", Value::from("Debian")),
        ("roles", vec![Value::from("web"), "db".into()].into()),
        ("a", Map::from([("b", Map::from([("c", 1)]))]).into()),
        ("ipv4", vec![Value::from("10.0.0.1")].into()),
    ]);
    let nodegroups = Map::from([
        ("g", "web* and not N@h"),
        ("h", "N@g or db1"),
        ("l", "web1 db1"),
    ]);
    for release in [Release::V3006, Release::V3008] {
        target.matches_as(
            &Facts {
                id: "web1",
                grains: &grains,
                pillar: &grains,
                nodegroups: &nodegroups,
            },
            release,
        );
        let candidates = [
            Candidate {
                id: "web1",
                grains: Some(&grains),
                pillar: None,
            },
            Candidate {
                id: "db1",
                grains: None,
                pillar: Some(&grains),
            },
        ];
        let reading = Reading {
            nodegroups: &nodegroups,
            greedy: true,
            data_cache: true,
            release,
        };
        let selection = target.select(&candidates, &reading);
        assert!(
            selection
                .minions
                .iter()
                .all(|id| id == "web1" || id == "db1")
        );
        assert!(
            !selection
                .missing
                .iter()
                .any(|id| id == "web1" || id == "db1")
        );
    }
}
