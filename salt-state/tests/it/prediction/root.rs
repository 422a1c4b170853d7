//! A small machine below a directory of this one: accounts, a shell and the tools of
//! shadow, with the libraries they need.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the tools of shadow are told about numbers and groups.
pub(super) const LOGIN_DEFS: &str = "USERGROUPS_ENAB yes\nUID_MIN 1000\nUID_MAX 60000\n\
     GID_MIN 1000\nGID_MAX 60000\nSYS_UID_MIN 100\nSYS_UID_MAX 999\n\
     SYS_GID_MIN 100\nSYS_GID_MAX 999\n";

/// What `useradd` takes where nothing is stated.
pub(super) const USERADD: &str = "SHELL=/bin/sh\n";

const PROGRAMS: [&str; 13] = [
    "sh", "touch", "rm", "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel",
    "gpasswd", "chage", "chpasswd", "passwd",
];

pub(super) struct Root {
    path: PathBuf,
    can_run: bool,
}

impl Root {
    pub(super) fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Every file is synced; in memory that costs nothing.
        let shared = Path::new("/dev/shm");
        let base = if shared.is_dir() {
            shared.to_owned()
        } else {
            std::env::temp_dir()
        };
        let path = base.join(format!("salt-prediction-{}-{number}", std::process::id()));
        for directory in [
            "etc/default",
            "t",
            "usr/bin",
            "usr/lib",
            "tmp",
            "home",
            "root",
            "dev",
        ] {
            fs::create_dir_all(path.join(directory)).expect("a directory");
        }
        let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("a file");
        write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        write("etc/group", "root:x:0:\nusers:x:100:\n");
        write("etc/shadow", "root:*:19000:0:99999:7:::\n");
        write("etc/gshadow", "root:*::\nusers:*::\n");
        write("etc/login.defs", LOGIN_DEFS);
        write("etc/default/useradd", USERADD);
        write(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\n",
        );
        write("dev/null", "");
        for (link, target) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/bin"),
            ("lib", "usr/lib"),
            ("lib64", "usr/lib"),
            ("usr/sbin", "bin"),
            ("usr/lib64", "lib"),
        ] {
            symlink(target, path.join(link)).expect("a link");
        }
        let can_run =
            rustix::process::geteuid().is_root() && PROGRAMS.iter().all(|name| copy(name, &path));
        Self { path, can_run }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether commands can run in it.
    pub(super) fn can_run(&self) -> bool {
        self.can_run
    }

    /// Everything in it that states may change: types, modes, owners and content.
    pub(super) fn tree(&self) -> BTreeMap<PathBuf, String> {
        let mut tree = BTreeMap::new();
        let mut todo = vec![self.path.clone()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let found = fs::symlink_metadata(&path).expect("facts");
                let text = if found.is_symlink() {
                    format!(
                        "link to {}",
                        fs::read_link(&path).expect("a link").display()
                    )
                } else if found.is_dir() {
                    "directory".to_owned()
                } else {
                    let content = fs::read(&path).expect("a file");
                    if content.len() < 4096 {
                        format!("file {:?}", String::from_utf8_lossy(&content))
                    } else {
                        format!("file of {} bytes", content.len())
                    }
                };
                let inside = Path::new("/").join(path.strip_prefix(&self.path).expect("inside"));
                // The tools of shadow leave locks and older versions.
                if inside.starts_with("/etc") && inside.to_string_lossy().ends_with('-') {
                    continue;
                }
                if found.is_dir() {
                    todo.push(path);
                }
                let facts = format!(
                    "{:04o} {}:{} {text}",
                    found.mode() & 0o7777,
                    found.uid(),
                    found.gid()
                );
                tree.insert(inside, facts);
            }
        }
        tree
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.path);
    }
}

/// Copies a program of this machine and its libraries; whether all of it is there.
fn copy(program: &str, root: &Path) -> bool {
    let places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let Some(found) = places
        .iter()
        .map(|place| Path::new(place).join(program))
        .find(|path| path.is_file())
    else {
        return false;
    };
    let Ok(output) = Command::new("ldd").arg(&found).output() else {
        return false;
    };
    if fs::copy(&found, root.join("usr/bin").join(program)).is_err() {
        return false;
    }
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .all(|library| {
            let name = Path::new(library).file_name().unwrap_or_default();
            let at = root.join("usr/lib").join(name);
            at.exists() || fs::copy(library, at).is_ok()
        })
}
