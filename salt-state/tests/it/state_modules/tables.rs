//! `/etc/hosts` and the tables of cron.

use salt_state::{FakeSystem, Output};

use super::{Bench, accounts, put, text};

#[test]
fn names_of_addresses_end_as_with_salt() {
    let machine = FakeSystem::new().file("/etc/hosts", "127.0.0.1\t\tlocalhost runsc vm\n");
    let bench = Bench::new(machine);

    // Salt goes through several addresses in the order of a set; here it is the stated one.
    bench.replay(include_str!("../../vectors/states/host.json"), |_, _| true);

    // As the file was after the recording.
    assert_eq!(
        text(&bench.machine, "/etc/hosts"),
        "127.0.0.1\t\tlocalhost runsc vm\n10.0.0.2\t\th1 h5\n10.0.0.3\t\th3 # dd\n\
         notip\t\th3\n10.0.0.9\t\th9 h10\n"
    );
}

#[test]
fn tables_of_cron_end_as_with_salt() {
    let bench = Bench::new(cron(accounts::tools(
        FakeSystem::new().file("/etc/shadow", ""),
    )));

    bench.replay(include_str!("../../vectors/states/cron.json"), |_, _| true);

    assert_eq!(
        text(&bench.machine, "/var/spool/cron/crontabs/cr"),
        "# Lines below here are managed by Salt, do not edit\nX=\"\"\n\
         # SALT_CRON_IDENTIFIER:/bin/d %Y\n* * 1 2 3 /bin/d %Y\n\
         # SALT_CRON_IDENTIFIER:/bin/f\n* * * * * /bin/f\n"
    );
}

#[test]
fn grains_end_as_with_salt() {
    let mut bench = Bench::new(FakeSystem::new().directory("/etc/salt"));
    bench.minion.grains = salt_proto::Map::from([
        ("gg", salt_proto::Value::from("v")),
        ("gl", ["x"].into_iter().collect()),
        ("gd", salt_proto::Map::from([("a", 1)]).into()),
    ])
    .into();

    bench.replay(include_str!("../../vectors/states/grains.json"), |_, _| {
        true
    });
}

#[test]
fn what_is_mounted_at_boot_ends_as_with_salt() {
    let machine = FakeSystem::new().file("/etc/fstab", "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n");
    let bench = Bench::new(machine);

    bench.replay(include_str!("../../vectors/states/mount.json"), |_, _| true);

    assert_eq!(
        text(&bench.machine, "/etc/fstab"),
        "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n"
    );
}

fn cron(machine: FakeSystem) -> FakeSystem {
    machine.effect(|command, machine| {
        if command.program != "crontab" {
            return None;
        }
        let words: Vec<String> = command
            .args
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let user = match words.iter().position(|word| word == "-u") {
            Some(at) => words[at + 1].clone(),
            None => "root".to_owned(),
        };
        if !text(machine, "/etc/passwd").contains(&format!("{user}:")) {
            return Some(Output::failure(
                1,
                format!("crontab:  user `{user}' unknown\n"),
            ));
        }
        let path = format!("/var/spool/cron/crontabs/{user}");
        if words.last().is_some_and(|word| word == "-l") {
            let table = text(machine, &path);
            return Some(if table.is_empty() {
                Output::failure(1, format!("no crontab for {user}\n"))
            } else {
                Output::success(table)
            });
        }
        let table = String::from_utf8(command.stdin.clone()?).ok()?;
        put(machine, &path, &table);
        Some(Output::success(""))
    })
}
