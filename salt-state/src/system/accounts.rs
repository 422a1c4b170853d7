//! Users and groups as `/etc/passwd` and `/etc/group` state them.

use std::path::PathBuf;

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// The password field, `x` when it is in the shadow file.
    pub password: String,
    /// Number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// Full name and the other comma-separated facts.
    pub gecos: String,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: String,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// The password field.
    pub password: String,
    /// Number.
    pub gid: u32,
    /// Login names of its members, primary members not listed.
    pub members: Vec<String>,
}

/// The users of a passwd file; lines that are not of its form are passed over, as the C
/// library does.
pub(super) fn parse_users(content: &[u8]) -> Vec<User> {
    lines(content)
        .filter_map(|line| parse_user(&line))
        .collect()
}

/// One line of a passwd file.
pub(super) fn parse_user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let mut next = || fields.next().map(str::to_owned);
    let name = next().filter(|name| !name.is_empty())?;
    let password = next()?;
    let uid = next()?.parse().ok()?;
    let gid = next()?.parse().ok()?;
    Some(User {
        name,
        password,
        uid,
        gid,
        gecos: next().unwrap_or_default(),
        home: next().unwrap_or_default().into(),
        shell: next().unwrap_or_default(),
    })
}

/// The groups of a group file.
pub(super) fn parse_groups(content: &[u8]) -> Vec<Group> {
    lines(content)
        .filter_map(|line| parse_group(&line))
        .collect()
}

/// One line of a group file.
pub(super) fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let password = fields.next()?.to_owned();
    let gid = fields.next()?.parse().ok()?;
    let members = fields
        .next()
        .unwrap_or_default()
        .split(',')
        .filter(|member| !member.is_empty())
        .map(str::to_owned)
        .collect();
    Some(Group {
        name,
        password,
        gid,
        members,
    })
}

fn lines(content: &[u8]) -> impl Iterator<Item = String> {
    content
        .split(|byte| *byte == b'\n')
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .filter(|line| !line.starts_with(['#', '+', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_lines_are_passed_over() {
        let users = parse_users(
            b"root:x:0:0:root:/root:/bin/bash\nbroken\n#c\n::1:1:::\na:x:1:b:::\nu:*:7:8\n",
        );

        assert_eq!(users.len(), 2);
        assert_eq!(users[0].shell, "/bin/bash");
        assert_eq!((users[1].uid, users[1].gid), (7, 8));
    }

    #[test]
    fn members_of_a_group_are_split_at_commas() {
        let groups = parse_groups(b"sudo:x:27:a,b\nempty:x:3:\n");

        assert_eq!(groups[0].members, ["a", "b"]);
        assert!(groups[1].members.is_empty());
    }
}
