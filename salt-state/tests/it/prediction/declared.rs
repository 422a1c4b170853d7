//! Generated states of files, users, groups and commands, with what is there before them.
//!
//! Every state has a place of its own (`@` in its texts becomes its number), so that what
//! one does never changes what another finds, and asks only for what can be settled: run
//! again it has nothing left to do.

use proptest::prelude::*;
use proptest::sample::select;

/// What is on the machine before a run.
#[derive(Clone, Debug)]
pub(super) enum Planted {
    File(String, String, u32),
    Directory(String, u32),
    Link(String, String),
    /// A line of `/etc/passwd`, and one of `/etc/group` for the group of the same name.
    User(String, String),
    Group(String),
}

/// A state and the machine it finds.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) planted: Vec<Planted>,
    /// `module.function`.
    pub(super) function: &'static str,
    /// The arguments, each a line of YAML.
    pub(super) arguments: Vec<String>,
}

impl Declared {
    fn new(function: &'static str, planted: Vec<Planted>, arguments: Vec<String>) -> Self {
        Self {
            planted,
            function,
            arguments,
        }
    }

    /// At its own place.
    pub(super) fn numbered(mut self, number: usize) -> Self {
        let own = |text: &mut String| *text = text.replace('@', &number.to_string());
        self.arguments.iter_mut().for_each(own);
        for planted in &mut self.planted {
            match planted {
                Planted::File(one, two, _) | Planted::Link(one, two) | Planted::User(one, two) => {
                    own(one);
                    own(two);
                }
                Planted::Directory(one, _) | Planted::Group(one) => own(one),
            }
        }
        self
    }

    /// As it stands in an SLS.
    pub(super) fn sls(&self, number: usize) -> String {
        let lines: String = self
            .arguments
            .iter()
            .map(|argument| format!("    - {argument}\n"))
            .collect();
        format!("s{number}:\n  {}:\n{lines}", self.function)
    }
}

const PATH: &str = "/t/@/file";

/// Lines of which none is there twice: what finds one of two may find the other next time.
fn text() -> impl Strategy<Value = String> {
    let lines = vec!["a = 1", "b = 2", "# c = 3", "ä", "", "  indented", "end @"];
    let some = prop::sample::subsequence(lines, 0..5).prop_shuffle();
    (some, any::<bool>()).prop_map(|(lines, ends)| {
        let mut text = lines.join("\n");
        if ends && !text.is_empty() {
            text.push('\n');
        }
        text
    })
}

fn mode() -> impl Strategy<Value = u32> {
    select(vec![0o644, 0o600, 0o755, 0o4755, 0o640])
}

/// What may be at the place of a file.
fn anything() -> impl Strategy<Value = Vec<Planted>> {
    let path = || PATH.to_owned();
    prop_oneof![
        2 => Just(Vec::new()),
        1 => Just(vec![Planted::Directory("/t/@".to_owned(), 0o755)]),
        6 => (text(), mode()).prop_map(move |(text, mode)| vec![Planted::File(path(), text, mode)]),
        1 => mode().prop_map(move |mode| vec![Planted::Directory(path(), mode)]),
        1 => text().prop_map(move |text| vec![
            Planted::Directory(path(), 0o755),
            Planted::File(format!("{PATH}/child"), text, 0o644),
        ]),
        1 => Just(vec![
            Planted::File("/t/@/target".to_owned(), "there\n".to_owned(), 0o644),
            Planted::Link(path(), "/t/@/target".to_owned()),
        ]),
        1 => Just(vec![
            Planted::Directory("/t/@".to_owned(), 0o755),
            Planted::Link(path(), "/nowhere/@".to_owned()),
        ]),
    ]
}

/// A file that is there, for states that change text.
fn a_file() -> impl Strategy<Value = Vec<Planted>> {
    prop_oneof![
        1 => Just(Vec::new()),
        8 => (text(), mode()).prop_map(|(text, mode)| vec![Planted::File(
            PATH.to_owned(), text, mode
        )]),
    ]
}

/// Some of the arguments, each with one of its values.
fn some(arguments: &[(&str, &[&str])]) -> impl Strategy<Value = Vec<String>> + use<> {
    arguments
        .iter()
        .map(|(name, values)| {
            let lines: Vec<String> = values
                .iter()
                .map(|value| format!("{name}: {value}"))
                .collect();
            prop::option::of(select(lines))
        })
        .collect::<Vec<_>>()
        .prop_map(|lines| lines.into_iter().flatten().collect())
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A state at the usual place with these arguments beside its name.
fn at_path(
    function: &'static str,
    planted: impl Strategy<Value = Vec<Planted>> + 'static,
    arguments: impl Strategy<Value = Vec<String>> + 'static,
) -> BoxedStrategy<Declared> {
    (planted, arguments)
        .prop_map(move |(planted, mut arguments)| {
            arguments.insert(0, format!("name: {PATH}"));
            Declared::new(function, planted, arguments)
        })
        .boxed()
}

fn with_text(
    key: &'static str,
    others: &[(&str, &[&str])],
) -> impl Strategy<Value = Vec<String>> + use<> {
    (text(), some(others)).prop_map(move |(text, mut arguments)| {
        arguments.push(format!("{key}: {}", quoted(&text)));
        arguments
    })
}

fn managed() -> BoxedStrategy<Declared> {
    let options: &[(&str, &[&str])] = &[
        ("mode", &["'0644'", "'0600'", "keep", "'4755'"]),
        ("makedirs", &["true", "false"]),
        ("dir_mode", &["'0750'"]),
        ("replace", &["true", "false"]),
        ("create", &["false"]),
        ("backup", &["minion"]),
        ("force", &["true"]),
        ("show_changes", &["false"]),
        ("user", &["root", "nobody here"]),
        ("group", &["root"]),
        ("follow_symlinks", &["false"]),
        ("contents_newline", &["false"]),
        ("newline", &["true"]),
    ];
    let source = select(vec![
        "source: salt://plain",
        "source: [salt://missing, salt://plain]",
        "source: salt://missing",
    ]);
    prop_oneof![
        4 => at_path("file.managed", anything(), with_text("contents", options)),
        2 => at_path("file.managed", anything(), (source, some(options)).prop_map(
            |(source, mut arguments)| { arguments.push(source.to_owned()); arguments }
        )),
        2 => at_path("file.managed", anything(), some(options).prop_map(|mut arguments| {
            arguments.extend(["source: salt://greeting".to_owned(), "template: jinja".to_owned(),
                "context: {who: place @}".to_owned()]);
            arguments
        })),
        1 => at_path("file.managed", anything(), some(options)),
    ]
    .boxed()
}

fn whole_files() -> BoxedStrategy<Declared> {
    prop_oneof![
        2 => at_path("file.directory", anything(), some(&[
            ("mode", &["'0755'", "'0700'"]),
            ("makedirs", &["true", "false"]),
            ("force", &["true"]),
            ("clean", &["true"]),
            ("user", &["root"]),
            ("recurse", &["[mode]", "[user, group]"]),
            ("file_mode", &["'0640'"]),
            ("exclude_pat", &["'*child'"]),
        ])),
        2 => at_path("file.absent", anything(), Just(Vec::new())),
        2 => at_path("file.symlink", anything(), some(&[
            ("makedirs", &["true"]),
            ("force", &["true"]),
            ("backupname", &["file.bak"]),
        ]).prop_map(|mut arguments| {
            arguments.push("target: /t/@/target".to_owned());
            arguments
        })),
        1 => at_path("file.exists", anything(), Just(Vec::new())),
        1 => at_path("file.missing", anything(), Just(Vec::new())),
        // With `force` the same file is copied each time.
        1 => at_path("file.copy", anything(), some(&[
            ("makedirs", &["true"]),
            ("preserve", &["true"]),
            ("mode", &["'0600'"]),
        ]).prop_map(|mut arguments| {
            arguments.push("source: /t/source".to_owned());
            arguments
        })),
        1 => at_path("file.rename", anything(), some(&[
            ("force", &["true"]),
            ("makedirs", &["true"]),
        ]).prop_map(|mut arguments| {
            arguments.push("source: /t/@/other".to_owned());
            arguments
        })),
        1 => at_path("file.hardlink", anything(), some(&[
            ("makedirs", &["true"]),
            ("force", &["true"]),
        ]).prop_map(|mut arguments| {
            arguments.push("target: /t/source".to_owned());
            arguments
        })),
        1 => at_path("file.serialize", anything(), some(&[
            ("makedirs", &["true"]),
            ("mode", &["'0600'"]),
            ("create", &["false"]),
        ]).prop_flat_map(|arguments| select(vec!["json", "yaml"]).prop_map(move |form| {
            let mut arguments = arguments.clone();
            arguments.push(format!("serializer: {form}"));
            arguments.push("dataset: {a: 1, b: [x, y], c: {d: null}}".to_owned());
            arguments
        }))),
        1 => at_path("file.recurse", anything(), some(&[
            ("clean", &["true"]),
            ("include_empty", &["true"]),
            ("file_mode", &["'0600'", "keep"]),
            ("dir_mode", &["'0700'"]),
            ("exclude_pat", &["plain"]),
            ("makedirs", &["true"]),
        ]).prop_map(|mut arguments| {
            arguments.push("source: salt://tree".to_owned());
            arguments
        })),
    ]
    .boxed()
}

fn parts_of_files() -> BoxedStrategy<Declared> {
    // Whoever appends a text that ends in empty lines, appends it each time.
    let text_list = Just(vec!["text: [b = 2, end @]".to_owned()]);
    prop_oneof![
        at_path(
            "file.append",
            a_file(),
            with_text("text", &[("makedirs", &["true"])])
        ),
        at_path("file.append", a_file(), text_list),
        at_path(
            "file.prepend",
            a_file(),
            with_text("text", &[("makedirs", &["true"])])
        ),
        at_path(
            "file.replace",
            a_file(),
            some(&[
                ("append_if_not_found", &["true"]),
                ("prepend_if_not_found", &["true"]),
                ("not_found_content", &["'a = 7'"]),
                ("backup", &["false", "'.old'"]),
                ("ignore_if_missing", &["true"]),
                ("show_changes", &["false"]),
                ("flags", &["[IGNORECASE, MULTILINE]"]),
            ])
            .prop_map(|mut arguments| {
                arguments.extend([
                    "pattern: '^a = [^7].*$'".to_owned(),
                    "repl: 'a = 7'".to_owned(),
                ]);
                arguments
            })
        ),
        at_path(
            "file.line",
            a_file(),
            select(vec![
                vec!["mode: ensure", "content: 'z = 9'", "after: '^a = 1'"],
                vec!["mode: ensure", "content: 'z = 9'", "before: '^b = 2'"],
                vec!["mode: delete", "content: 'b = 2'"],
                vec!["mode: delete", "match: '^a'"],
                vec!["mode: replace", "content: 'b = 3'", "match: '^b = 2'"],
                vec![
                    "mode: ensure",
                    "content: 'z = 9'",
                    "after: '^a = 1'",
                    "create: true"
                ],
            ])
            // What is indented after the line before it is another line, as with Salt, and
            // is put in again.
            .prop_map(|lines| {
                let lines = lines.into_iter().chain(["indent: false"]);
                lines.map(str::to_owned).collect()
            })
        ),
        at_path(
            "file.comment",
            a_file(),
            some(&[
                ("char", &["';'"]),
                ("backup", &["false", "'.bak'"]),
                ("ignore_missing", &["true"]),
            ])
            .prop_map(|mut arguments| {
                arguments.push("regex: '^a = 1'".to_owned());
                arguments
            })
        ),
        at_path(
            "file.uncomment",
            a_file(),
            some(&[("backup", &["false", "'.bak'"])]).prop_map(|mut arguments| {
                arguments.push("regex: '^c = 3'".to_owned());
                arguments
            })
        ),
        at_path(
            "file.blockreplace",
            a_file(),
            with_text(
                "content",
                &[
                    ("append_if_not_found", &["true"]),
                    ("prepend_if_not_found", &["true"]),
                    ("backup", &["false", "'.bak'"]),
                    ("append_newline", &["true", "false"]),
                    ("show_changes", &["false"]),
                ]
            )
            .prop_map(|mut arguments| {
                arguments.extend([
                    "marker_start: '# from'".to_owned(),
                    "marker_end: '# to'".to_owned(),
                ]);
                arguments
            })
        ),
        at_path(
            "file.keyvalue",
            // What is appended to a last line without an end becomes part of it, as with
            // Salt, and is appended again.
            a_file().prop_map(|mut planted| {
                if let Some(Planted::File(_, text, _)) = planted.first_mut() {
                    text.push('\n');
                }
                planted
            }),
            some(&[
                ("append_if_not_found", &["true"]),
                ("prepend_if_not_found", &["true"]),
                ("uncomment", &["'#'"]),
                ("search_only", &["true"]),
                ("show_changes", &["false"]),
                ("create_if_missing", &["true"]),
            ])
            .prop_map(|mut arguments| {
                arguments.extend([
                    "key_values: {a: 5, c: 6}".to_owned(),
                    "separator: ' = '".to_owned(),
                ]);
                arguments
            })
        ),
    ]
    .boxed()
}

fn commands() -> BoxedStrategy<Declared> {
    let guard = select(vec![
        "creates: /t/@/made",
        "unless: test -e /t/@/made",
        "onlyif: test ! -e /t/@/made",
    ]);
    (guard, any::<bool>(), select(vec!["cmd.run", "cmd.wait"]))
        .prop_map(|(guard, made, function)| {
            let mut planted = vec![Planted::Directory("/t/@".to_owned(), 0o755)];
            if made {
                planted.push(Planted::File("/t/@/made".to_owned(), String::new(), 0o644));
            }
            let arguments = vec![
                "name: touch /t/@/made".to_owned(),
                "shell: /bin/sh".to_owned(),
                guard.to_owned(),
            ];
            Declared::new(function, planted, arguments)
        })
        .boxed()
}

fn accounts() -> BoxedStrategy<Declared> {
    let user = || {
        Planted::User(
            "user@".to_owned(),
            "x:103@:103@:,,,:/t/home@:/bin/sh".to_owned(),
        )
    };
    let there =
        move || any::<bool>().prop_map(move |there| if there { vec![user()] } else { Vec::new() });
    let named = |function: &'static str,
                 name: &'static str,
                 planted: BoxedStrategy<Vec<Planted>>,
                 arguments: BoxedStrategy<Vec<String>>| {
        (planted, arguments)
            .prop_map(move |(planted, mut arguments)| {
                arguments.insert(0, format!("name: {name}"));
                Declared::new(function, planted, arguments)
            })
            .boxed()
    };
    let facts = some(&[
        ("gid", &["0"]),
        ("home", &["/t/home@", "/t/elsewhere@"]),
        ("shell", &["/bin/sh", "/bin/dash"]),
        ("fullname", &["Some Body"]),
        ("roomnumber", &["'12'"]),
        ("groups", &["[]", "[users]", "[users, no such group]"]),
        ("optional_groups", &["[users, no such group]"]),
        ("remove_groups", &["false"]),
        ("createhome", &["false"]),
        ("password", &["'$6$abc$def'"]),
        ("system", &["true"]),
    ])
    .prop_map(|mut arguments| {
        arguments.push("uid: 103@".to_owned());
        arguments
    });
    let group = prop_oneof![
        Just(Vec::new()),
        Just(vec![Planted::Group("group@".to_owned())])
    ];
    prop_oneof![
        4 => named("user.present", "user@", there().boxed(), facts.boxed()),
        1 => named("user.absent", "user@", there().boxed(), some(&[
            ("purge", &["true"]),
            ("force", &["true"]),
        ]).boxed()),
        1 => named("group.absent", "group@", group.clone().boxed(), Just(Vec::new()).boxed()),
        2 => named("group.present", "group@", group.boxed(), some(&[
            ("gid", &["104@", "105@"]),
            ("addusers", &["[root]"]),
            ("members", &["[root]", "[]"]),
            ("system", &["true"]),
        ]).boxed()),
    ]
    .boxed()
}

/// A state of files.
pub(super) fn of_files() -> BoxedStrategy<Declared> {
    prop_oneof![3 => managed(), 3 => whole_files(), 4 => parts_of_files()].boxed()
}

/// A state of files, commands, users or groups.
pub(super) fn of_all() -> BoxedStrategy<Declared> {
    prop_oneof![5 => of_files(), 1 => commands(), 2 => accounts()].boxed()
}
