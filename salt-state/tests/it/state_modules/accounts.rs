//! Users, groups and their keys, with imitations of the tools of shadow.

use std::path::Path;

use salt_state::{Command, FakeSystem, Observe, Output, System};

use super::{Bench, put, text};

#[test]
fn users_and_groups_end_as_with_salt() {
    bench().replay(
        include_str!("../../vectors/states/accounts.json"),
        // A field that usermod refuses is found out only then.
        |_, args| args.str("fullname") != Some("a:b"),
    );
}

#[test]
fn authorized_keys_end_as_with_salt() {
    let mut bench = bench();
    bench.sources = salt_state::MemorySources::new().file(
        "base",
        "k.pub",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 root@one\n# comment\n\
         no-pty ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBq2 two words\n\n",
    );

    bench.replay(
        include_str!("../../vectors/states/ssh_auth.json"),
        |_, _| true,
    );

    let path = Path::new("/home/s1/.ssh/authorized_keys");
    let found = bench.machine.metadata(path).unwrap().unwrap();
    assert_eq!((found.mode, found.uid), (0o600, 1001));
}

/// As the machine on which the calls were recorded.
fn bench() -> Bench {
    let machine = FakeSystem::new()
        .file(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nhost:x:1000:1000::/home/host:/bin/sh\n",
        )
        .file(
            "/etc/group",
            "root:x:0:\nhost:x:1000:\nsystemd-journal:x:999:\nsystemd-network:x:998:\n\
             systemd-timesync:x:997:\npolkitd:x:996:\n",
        )
        .file("/etc/shadow", "root:*:19000:0:99999:7:::\n")
        .file("/etc/login.defs", "USERGROUPS_ENAB yes\nUID_MIN 1000\n")
        .directory("/home");
    // The day of the recording.
    let day = std::time::Duration::from_secs(20_779 * 86_400 - 1_700_000_000);
    machine.sleep(day);
    Bench::new(tools(machine))
}

pub(crate) fn tools(machine: FakeSystem) -> FakeSystem {
    let names = [
        "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "gpasswd", "chage",
        "chpasswd", "passwd",
    ];
    let machine = names.iter().fold(machine, |machine, name| {
        machine.program(format!("/usr/sbin/{name}"))
    });
    machine.effect(move |command, machine| {
        let program = Path::new(&command.program)
            .file_name()?
            .to_string_lossy()
            .into_owned();
        if program == "rm" {
            let path = command.args.last()?.to_string_lossy().into_owned();
            machine.remove_all(Path::new(&path)).ok()?;
            return Some(Output::success(""));
        }
        let words = Words::of(command);
        Some(match names.iter().find(|name| **name == program)? {
            &"useradd" => useradd(&words, machine),
            &"usermod" => usermod(&words, machine),
            &"userdel" => userdel(&words, machine),
            &"groupadd" | &"groupmod" => group(&words, machine, program == "groupadd"),
            &"groupdel" => groupdel(&words, machine),
            &"gpasswd" => gpasswd(&words, machine),
            &"chage" => chage(&words, machine),
            &"chpasswd" => chpasswd(command, machine),
            _ => passwd(&words, machine),
        })
    })
}

/// The words of a command: options that take a value, options that do not, and the rest.
struct Words {
    all: Vec<String>,
}

impl Words {
    fn of(command: &Command) -> Self {
        Self {
            all: command
                .args
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
        }
    }

    fn has(&self, flag: &str) -> bool {
        self.all.iter().any(|word| word == flag)
    }

    fn value(&self, flag: &str) -> Option<&str> {
        let at = self.all.iter().position(|word| word == flag)?;
        self.all.get(at + 1).map(String::as_str)
    }

    fn last(&self) -> &str {
        self.all.last().map(String::as_str).unwrap_or_default()
    }
}

type Rows = Vec<Vec<String>>;

fn rows(machine: &FakeSystem, path: &str) -> Rows {
    text(machine, path)
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect()
}

fn store(machine: &FakeSystem, path: &str, rows: &Rows) {
    let lines: String = rows.iter().map(|row| row.join(":") + "\n").collect();
    put(machine, path, &lines);
}

fn number(rows: &Rows, low: u32, high: u32) -> u32 {
    let taken: Vec<u32> = rows.iter().filter_map(|row| row[2].parse().ok()).collect();
    if high < 1000 {
        let lowest = taken.iter().filter(|n| (low..=high).contains(n)).min();
        return lowest.map_or(high, |n| n - 1);
    }
    let highest = taken.iter().filter(|n| (low..=high).contains(n)).max();
    highest.map_or(low, |n| n + 1)
}

fn set_members(machine: &FakeSystem, user: &str, groups: &str) -> bool {
    let mut all = rows(machine, "/etc/group");
    let wanted: Vec<&str> = groups.split(',').filter(|name| !name.is_empty()).collect();
    if wanted
        .iter()
        .any(|name| !all.iter().any(|row| row[0] == **name))
    {
        return false;
    }
    for row in &mut all {
        let mut members: Vec<&str> = row[3].split(',').filter(|name| !name.is_empty()).collect();
        members.retain(|name| *name != user);
        if wanted.contains(&row[0].as_str()) {
            members.push(user);
        }
        row[3] = members.join(",");
    }
    store(machine, "/etc/group", &all);
    true
}

fn group_number(machine: &FakeSystem, group: &str) -> Option<String> {
    let all = rows(machine, "/etc/group");
    let row = all.iter().find(|row| row[0] == group || row[2] == group)?;
    Some(row[2].clone())
}

fn useradd(words: &Words, machine: &FakeSystem) -> Output {
    let name = words.last();
    let mut users = rows(machine, "/etc/passwd");
    if users.iter().any(|row| row[0] == name) {
        return Output::failure(9, format!("useradd: user '{name}' already exists\n"));
    }
    let system = words.has("-r");
    let uid = match words.value("-u") {
        Some(uid) if uid.parse::<u32>().is_err() => {
            return Output::failure(3, format!("useradd: invalid user ID '{uid}'\n"));
        }
        Some(uid) if !words.has("-o") && users.iter().any(|row| row[2] == uid) => {
            return Output::failure(4, format!("useradd: UID {uid} is not unique\n"));
        }
        Some(uid) => uid.to_owned(),
        None if system => number(&users, 100, 999).to_string(),
        None => number(&users, 1000, 60000).to_string(),
    };
    let gid = match words.value("-g") {
        Some(group) => match group_number(machine, group) {
            Some(gid) => gid,
            None => {
                return Output::failure(6, format!("useradd: group '{group}' does not exist\n"));
            }
        },
        None => {
            let mut groups = rows(machine, "/etc/group");
            let (low, high) = if system { (100, 999) } else { (1000, 60000) };
            let taken = groups.iter().any(|row| row[2] == uid);
            let in_range = uid.parse().is_ok_and(|uid| (low..=high).contains(&uid));
            let gid = if in_range && !taken {
                uid.clone()
            } else {
                number(&groups, low, high).to_string()
            };
            groups.push([name, "x", &gid, ""].map(str::to_owned).to_vec());
            store(machine, "/etc/group", &groups);
            gid
        }
    };
    let home = words
        .value("-d")
        .map_or_else(|| format!("/home/{name}"), str::to_owned);
    let shell = words.value("-s").unwrap_or("/bin/sh");
    users.push(
        [name, "x", &uid, &gid, "", &home, shell]
            .map(str::to_owned)
            .to_vec(),
    );
    store(machine, "/etc/passwd", &users);
    let mut shadow = rows(machine, "/etc/shadow");
    shadow.push(
        [name, "!", "20779", "0", "99999", "7", "", "", ""]
            .map(str::to_owned)
            .to_vec(),
    );
    store(machine, "/etc/shadow", &shadow);
    if words.has("-m") {
        machine
            .create_dir_all(Path::new(&home), 0o755)
            .expect("a home");
        let number = |text: &str| text.parse().ok();
        machine
            .set_owner(Path::new(&home), number(&uid), number(&gid), true)
            .expect("an owner");
    }
    Output::success("")
}

fn usermod(words: &Words, machine: &FakeSystem) -> Output {
    let name = words.last();
    let mut users = rows(machine, "/etc/passwd");
    let gid = match words.value("-g") {
        Some(group) => match group_number(machine, group) {
            Some(gid) => Some(gid),
            None => {
                return Output::failure(6, format!("usermod: group '{group}' does not exist\n"));
            }
        },
        None => None,
    };
    if let Some(gecos) = words.value("-c").filter(|gecos| gecos.contains(':')) {
        return Output::failure(3, format!("usermod: invalid field '{gecos}'\n"));
    }
    let Some(row) = users.iter_mut().find(|row| row[0] == name) else {
        return Output::failure(6, format!("usermod: user '{name}' does not exist\n"));
    };
    for (flag, field) in [("-u", 2), ("-c", 4), ("-d", 5), ("-s", 6)] {
        if let Some(value) = words.value(flag) {
            value.clone_into(&mut row[field]);
        }
    }
    if let Some(gid) = gid {
        row[3] = gid;
    }
    store(machine, "/etc/passwd", &users);
    if let Some(groups) = words.value("-G")
        && !set_members(machine, name, groups)
    {
        return Output::failure(6, "usermod: a group does not exist\n");
    }
    Output::success("")
}

fn userdel(words: &Words, machine: &FakeSystem) -> Output {
    let name = words.last();
    let mut users = rows(machine, "/etc/passwd");
    let Some(at) = users.iter().position(|row| row[0] == name) else {
        return Output::failure(6, format!("userdel: user '{name}' does not exist\n"));
    };
    let row = users.remove(at);
    store(machine, "/etc/passwd", &users);
    set_members(machine, name, "");
    let mut groups = rows(machine, "/etc/group");
    groups.retain(|group| !(group[0] == name && group[2] == row[3] && group[3].is_empty()));
    store(machine, "/etc/group", &groups);
    if words.has("-r") {
        machine.remove_all(Path::new(&row[5])).expect("no home");
    }
    Output::success("")
}

fn group(words: &Words, machine: &FakeSystem, new: bool) -> Output {
    let name = words.last();
    let mut groups = rows(machine, "/etc/group");
    let gid = words.value("-g");
    if let Some(gid) = gid
        && !words.has("-o")
        && groups.iter().any(|row| row[2] == gid)
    {
        return Output::failure(4, format!("groupmod: GID '{gid}' already exists\n"));
    }
    if name.contains(' ') {
        return Output::failure(3, format!("groupadd: '{name}' is not a valid group name\n"));
    }
    if new {
        let gid = match gid {
            Some(gid) => gid.to_owned(),
            None if words.has("-r") => number(&groups, 100, 999).to_string(),
            None => number(&groups, 1000, 60000).to_string(),
        };
        groups.push([name, "x", &gid, ""].map(str::to_owned).to_vec());
    } else if let Some(row) = groups.iter_mut().find(|row| row[0] == name)
        && let Some(gid) = gid
    {
        gid.clone_into(&mut row[2]);
    }
    store(machine, "/etc/group", &groups);
    Output::success("")
}

fn groupdel(words: &Words, machine: &FakeSystem) -> Output {
    let name = words.last();
    let mut groups = rows(machine, "/etc/group");
    let gid = group_number(machine, name).unwrap_or_default();
    if let Some(row) = rows(machine, "/etc/passwd")
        .iter()
        .find(|row| row[3] == gid)
    {
        return Output::failure(
            8,
            format!(
                "groupdel: cannot remove the primary group of user '{}'\n",
                row[0]
            ),
        );
    }
    groups.retain(|row| row[0] != name);
    store(machine, "/etc/group", &groups);
    Output::success("")
}

fn gpasswd(words: &Words, machine: &FakeSystem) -> Output {
    let name = words.last();
    let users = rows(machine, "/etc/passwd");
    let mut groups = rows(machine, "/etc/group");
    let row = groups
        .iter_mut()
        .find(|row| row[0] == name)
        .expect("the group");
    let mut members: Vec<String> = row[3]
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if let Some(stated) = words.value("--members") {
        members = stated
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
    }
    if let Some(user) = words.value("--add") {
        members.push(user.to_owned());
    }
    if let Some(user) = words.value("--del") {
        members.retain(|name| name != user);
    }
    if let Some(unknown) = members
        .iter()
        .find(|name| !users.iter().any(|row| row[0] == **name))
    {
        return Output::failure(3, format!("gpasswd: user '{unknown}' does not exist\n"));
    }
    row[3] = members.join(",");
    store(machine, "/etc/group", &groups);
    Output::success("")
}

fn with_shadow(machine: &FakeSystem, name: &str, change: impl FnOnce(&mut Vec<String>)) -> Output {
    let mut all = rows(machine, "/etc/shadow");
    if let Some(row) = all.iter_mut().find(|row| row[0] == name) {
        change(row);
    }
    store(machine, "/etc/shadow", &all);
    Output::success("")
}

fn chage(words: &Words, machine: &FakeSystem) -> Output {
    with_shadow(machine, words.last(), |row| {
        for (flag, field) in [
            ("-d", 2),
            ("-m", 3),
            ("-M", 4),
            ("-W", 5),
            ("-I", 6),
            ("-E", 7),
        ] {
            if let Some(value) = words.value(flag) {
                value.clone_into(&mut row[field]);
            }
        }
    })
}

fn chpasswd(command: &Command, machine: &FakeSystem) -> Output {
    let input = String::from_utf8(command.stdin.clone().unwrap_or_default()).expect("text");
    let (name, hash) = input.trim_end().split_once(':').expect("name and hash");
    with_shadow(machine, name, |row| {
        hash.clone_into(&mut row[1]);
        "20779".clone_into(&mut row[2]);
    })
}

fn passwd(words: &Words, machine: &FakeSystem) -> Output {
    with_shadow(machine, words.last(), |row| {
        if words.has("-d") {
            row[1].clear();
        }
    })
}

#[test]
fn a_password_never_is_an_argument() {
    let bench = bench();
    bench.run(&["useradd", "kim"]);
    let registry = salt_state::Registry::builtin();
    let context = salt_state::Context::new(&registry, &bench.machine, &bench.minion);

    let args = salt_state::Args::new().with("kim").with("$6$salt$hash");
    let done = registry.call("shadow.set_password", &args, &context);

    assert_eq!(done, Ok(true.into()));
    assert!(
        bench
            .machine
            .commands()
            .iter()
            .all(|command| !command.line().contains("$6$"))
    );
}
