//! What the machine answers with.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// A point in time as the file system stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        match at.duration_since(UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanos: since.subsec_nanos(),
            },
            Err(before) => {
                let before = before.duration();
                let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Self {
                        seconds: -whole,
                        nanos: 0,
                    },
                    nanos => Self {
                        seconds: -whole - 1,
                        nanos: 1_000_000_000 - nanos,
                    },
                }
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        let whole = Duration::from_secs(at.seconds.unsigned_abs());
        let base = if at.seconds >= 0 {
            UNIX_EPOCH.checked_add(whole)
        } else {
            UNIX_EPOCH.checked_sub(whole)
        };
        base.and_then(|base| base.checked_add(Duration::from_nanos(u64::from(at.nanos))))
            .unwrap_or(UNIX_EPOCH)
    }
}

/// Facts about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// The permission bits with set-id and sticky, `0o0000` to `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// The device that holds the file.
    pub device: u64,
    /// Its number on that device.
    pub inode: u64,
    /// How many names it has.
    pub links: u64,
    /// Major and minor number, when it is a device.
    pub node: (u32, u32),
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of content.
    pub modified: Timestamp,
    /// Last change of content or of the facts above.
    pub changed: Timestamp,
}

impl Metadata {
    /// An empty file that has just been made.
    pub(crate) fn of_new_file(mode: u32, by: &Identity) -> Self {
        Self {
            kind: FileKind::File,
            mode,
            uid: by.uid,
            gid: by.gid,
            size: 0,
            device: 0,
            inode: 0,
            links: 1,
            node: (0, 0),
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
        }
    }

    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// Whether this is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind == FileKind::File
    }

    /// Whether this is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.kind == FileKind::Symlink
    }
}

/// Size and use of a file system, in bytes and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// The unit in which it allocates.
    pub block_size: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks, those kept for root included.
    pub blocks_free: u64,
    /// Free blocks for everybody.
    pub blocks_available: u64,
    /// All inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
}

impl FilesystemUsage {
    /// All bytes.
    pub fn total(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size)
    }

    /// Bytes that anybody may still write.
    pub fn available(&self) -> u64 {
        self.blocks_available.saturating_mul(self.block_size)
    }
}

/// As whom and where a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Process id.
    pub pid: u32,
    /// Working directory.
    pub cwd: PathBuf,
    /// The running program.
    pub program: PathBuf,
}

/// `uname(2)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// `Linux`.
    pub name: String,
    /// The host name.
    pub node: String,
    /// `6.1.0-18-amd64`.
    pub release: String,
    /// Build number and date.
    pub version: String,
    /// `x86_64`.
    pub machine: String,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name, `eth0`.
    pub name: String,
    /// The kernel's number for it.
    pub index: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// Hardware address in lower-case hex with colons, when it has one.
    pub hardware: Option<String>,
    /// Number of the interface below it (VLANs, veth pairs).
    pub parent: Option<u32>,
    /// Its addresses in the kernel's order.
    pub addresses: Vec<InterfaceAddress>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Bits of the network part.
    pub prefix: u8,
    /// Broadcast address, IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// The label (`eth0:1`), IPv4 only.
    pub label: Option<String>,
    /// `global`, `link`, `host` or the number.
    pub scope: String,
    /// Added later to the same network (an alias address).
    pub secondary: bool,
}

/// A name/value list of the environment.
pub(crate) type Environment = Vec<(OsString, OsString)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_the_way_through_system_time() {
        for (seconds, nanos) in [(0, 0), (1_700_000_000, 5), (-1, 999_999_999), (-5, 0)] {
            let at = Timestamp { seconds, nanos };
            assert_eq!(Timestamp::from(SystemTime::from(at)), at);
        }
    }
}
