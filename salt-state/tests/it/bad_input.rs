//! Trees that are broken or made to break something: an error that names the place, or what
//! Salt makes of them, and nothing that could be applied by half.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use salt_state::compile::{Compiled, Inputs, What, compile};
use salt_state::render::{NoFunctions, World};
use salt_state::{MemorySources, MinionData, Roots, Sources};

mod arguments;
mod deep;
mod disk;
mod output;
mod recorded;
mod swaps;
mod types;

fn compiled(tree: &dyn Sources, sls: &str) -> Compiled {
    let minion = MinionData {
        id: "minion".into(),
        ..MinionData::default()
    };
    let world = World::new(&minion, tree, &NoFunctions);
    let mut inputs = Inputs::new(&world);
    inputs.what = What::Sls {
        environment: "base".into(),
        names: vec![sls.into()],
    };
    let done = compile(&inputs);
    assert!(
        done.errors.is_empty() || done.low.as_ref().is_none_or(Vec::is_empty),
        "applied by half: {:?}",
        done.errors
    );
    done
}

fn one(content: impl Into<Vec<u8>>) -> MemorySources {
    MemorySources::new().file("base", "web.sls", content)
}

/// The number of chunks, when there is no error.
#[track_caller]
fn chunks(tree: &dyn Sources, sls: &str) -> usize {
    let done = compiled(tree, sls);
    assert!(done.errors.is_empty(), "{:?}", done.errors);
    done.low.expect("chunks").len()
}

/// The first error's text and its place as `file:line:column`.
#[track_caller]
fn refused(tree: &dyn Sources) -> (String, String) {
    let done = compiled(tree, "web");
    let error = done.errors.first().expect("an error");
    let place = error
        .place
        .as_ref()
        .map(|place| format!("{}:{}:{}", place.file, place.line, place.column));
    (error.message.clone(), place.unwrap_or_default())
}

/// A directory that is gone when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("salt-bad-input-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn sls_that_include_each_other_are_each_rendered_once() {
    let tree = MemorySources::new()
        .file("base", "web.sls", "include: [php]\nw:\n  test.nop\n")
        .file("base", "php.sls", "include: [web]\np:\n  test.nop\n");

    assert_eq!(chunks(&tree, "web"), 2);
}

#[test]
fn templates_that_import_each_other_are_refused_at_the_import() {
    let tree = one("{% import 'a.jinja' as a %}\nw:\n  test.nop\n")
        .file("base", "a.jinja", "{% import 'b.jinja' as b %}")
        .file("base", "b.jinja", "{% import 'a.jinja' as a %}");

    let (message, place) = refused(&tree);

    assert!(
        message.starts_with("Rendering SLS 'base:web' failed"),
        "{message}"
    );
    assert!(
        place.contains(".jinja:1:") || place.starts_with("web.sls:1:"),
        "{place}"
    );
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
    for n in 1..12 {
        let last = format!("*x{}", n - 1);
        text += &format!("x{n}: &x{n} [{}]\n", [last.as_str(); 10].join(", "));
    }
    text += "w:\n  test.nop:\n    - a: *x11\n";

    let (message, place) = refused(&one(text));

    assert!(
        message.contains("failed: YAML aliases expand to too many nodes"),
        "{message}"
    );
    assert_eq!(place, "web.sls:7:5", "{message}");
}

#[test]
fn deep_nesting_is_refused_where_it_is_too_deep() {
    let (message, place) = refused(&one(format!(
        "w:\n  test.nop:\n    - a: {}\n",
        "[".repeat(100_000)
    )));
    assert!(
        message.contains("Rendering SLS 'base:web' failed"),
        "{message}"
    );
    assert!(place.starts_with("web.sls:3:"), "{place}");

    let expression = format!(
        "w: {{{{ {}1{} }}}}\n",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    let (_, place) = refused(&one(expression));
    assert!(place.starts_with("web.sls:1:"), "{place}");

    let blocks = "{% if 1 %}".repeat(50_000);
    let (_, place) = refused(&one(blocks));
    assert!(place.starts_with("web.sls:1:"), "{place}");
}

#[test]
fn scalars_of_megabytes_are_taken_and_files_of_more_refused() {
    let megabytes = "x".repeat(4 << 20);
    assert_eq!(
        chunks(
            &one(format!("w:\n  test.nop:\n    - text: {megabytes}\n")),
            "web"
        ),
        1
    );
    assert_eq!(
        chunks(
            &one(format!(
                "w:\n  test.nop:\n    - text: |\n        {megabytes}\n"
            )),
            "web"
        ),
        1
    );

    let (message, place) = refused(&one("x".repeat(33 << 20)));

    assert!(message.contains("web.sls is larger than"), "{message}");
    assert!(place.is_empty() || place.starts_with("web.sls"), "{place}");
}

#[test]
fn bytes_that_are_no_utf_8_are_refused_with_the_file() {
    let (message, place) = refused(&one(b"w:\n  test.nop:\n    - a: \xff\xfe\n".as_slice()));

    assert!(
        message.contains("'utf-8' codec can't decode byte 0xff in position 24: invalid start byte"),
        "{message}"
    );
    assert!(message.contains("web"), "{message}");
    assert!(place.is_empty() || place.starts_with("web.sls:"), "{place}");
}

#[test]
fn a_byte_order_mark_and_returns_are_read_over() {
    assert_eq!(chunks(&one("\u{feff}w:\n  test.nop\n"), "web"), 1);
    assert_eq!(
        chunks(
            &one("w:\r\n  test.nop:\r\n    - a: |\r\n        b\r\n"),
            "web"
        ),
        1
    );
    assert_eq!(chunks(&one("w:\r  test.nop\r"), "web"), 1);
}

#[test]
fn a_tab_is_refused_where_it_is() {
    let (message, place) = refused(&one("w:\n  test.nop:\n\t- a: 1\n"));

    assert!(
        message.contains("found character '\\t' that cannot start any token")
            || message.contains("cannot start any token"),
        "{message}"
    );
    assert_eq!(place, "web.sls:3:1");
}

#[test]
fn missing_files_are_named_where_they_are_asked_for() {
    let (message, place) = refused(&one("include:\n  - nothere\n"));
    assert!(
        message.contains("Specified SLS nothere in saltenv base is not available"),
        "{message}"
    );
    assert_eq!(place, "web.sls:2:5");

    let (message, place) = refused(&one("w:\n  test.nop\n{% include 'nothere.jinja' %}\n"));
    assert!(message.contains("nothere.jinja"), "{message}");
    assert!(place.starts_with("web.sls:3:"), "{place}");
}

/// A tree of which a directory and a file cannot be read.
struct Unreadable;

impl Sources for Unreadable {
    fn environments(&self) -> io::Result<Vec<String>> {
        Ok(vec!["base".to_owned()])
    }

    fn files(&self, _: &str) -> io::Result<Vec<String>> {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "/srv/salt/private: Permission denied",
        ))
    }

    fn directories(&self, environment: &str) -> io::Result<Vec<String>> {
        self.files(environment)
    }

    fn open(&self, _: &str, path: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        match path {
            "web.sls" => Ok(Some(Box::new(
                b"include: ['private.*']\nw:\n  test.nop\n".as_slice(),
            ))),
            "secret.sls" => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "Permission denied",
            )),
            _ => Ok(None),
        }
    }
}

#[test]
fn unreadable_directories_and_files_are_named() {
    let (message, _) = refused(&Unreadable);
    assert!(
        message.contains("/srv/salt/private: Permission denied"),
        "{message}"
    );

    let done = compiled(&Unreadable, "secret");
    let told = done
        .errors
        .iter()
        .any(|error| error.message.contains("secret.sls: Permission denied"));
    assert!(told, "{:?}", done.errors);
}

#[test]
fn links_that_lead_round_are_walked_once() {
    let directory = Directory::new("links");
    let root = &directory.0;
    fs::write(
        root.join("web.sls"),
        "include: ['*.deep']\nw:\n  test.nop\n",
    )
    .expect("written");
    fs::create_dir(root.join("sub")).expect("made");
    fs::write(root.join("sub/deep.sls"), "d:\n  test.nop\n").expect("written");
    symlink("..", root.join("sub/up")).expect("linked");
    symlink("self.sls", root.join("self.sls")).expect("linked");
    let tree = Roots::new().root("base", root);

    assert_eq!(chunks(&tree, "web"), 2);
    let done = compiled(&tree, "self");
    assert_eq!(
        done.errors.first().map(|error| error.message.as_str()),
        Some("No matching sls found for 'self' in env 'base'")
    );
}

#[test]
fn nothing_outside_of_the_tree_is_read() {
    let directory = Directory::new("outside");
    fs::write(directory.0.join("secret.sls"), "s:\n  test.nop\n").expect("written");
    let root = directory.0.join("tree");
    fs::create_dir(&root).expect("made");
    let tree = |text: &str| {
        fs::write(root.join("web.sls"), text).expect("written");
        Roots::new().root("base", &root)
    };

    for include in [
        "'../secret'",
        "'.../secret'",
        "/etc/passwd",
        "'salt://../secret'",
        "'a/../../secret'",
    ] {
        let (message, place) = refused(&tree(&format!("include:\n  - {include}\n")));
        assert!(message.contains("SLS"), "{message}");
        assert!(place.starts_with("web.sls:2:"), "{include}: {place}");
    }
    for import in [
        "'../secret.sls'",
        "'/../secret.sls'",
        "'salt://../secret.sls'",
        "'x/../../secret.sls'",
    ] {
        let (message, place) = refused(&tree(&format!("{{% import_yaml {import} as x %}}\n")));
        assert!(message.contains("secret.sls"), "{message}");
        assert!(place.starts_with("web.sls:1:"), "{import}: {place}");
    }
}
