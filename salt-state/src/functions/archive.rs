//! What is in archives, and taking it out: with the machine's `tar` and `unzip`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::registry::CallError;
use crate::system::{Command, FileKind, Observe, Output};

use super::tool;

mod calls;
mod zip;

pub(super) fn register(registry: &mut crate::registry::Registry) {
    calls::register(registry);
}

/// The formats that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Tar,
    Zip,
    Rar,
}

impl Format {
    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "tar" => Some(Self::Tar),
            "zip" => Some(Self::Zip),
            "rar" => Some(Self::Rar),
            _ => None,
        }
    }

    /// By how the name of a file ends.
    pub(crate) fn guess(source: &str) -> Option<Self> {
        let source = source.split('?').next().unwrap_or_default().to_lowercase();
        let tars = [
            ".tar",
            ".tgz",
            ".tbz2",
            ".tbz",
            ".txz",
            ".tlz",
            ".tar.gz",
            ".tar.bz2",
            ".tar.xz",
            ".tar.lzma",
            ".tar.zst",
            ".tar.lz",
        ];
        if tars.iter().any(|end| source.ends_with(end)) {
            Some(Self::Tar)
        } else if source.ends_with(".zip") || source.ends_with(".jar") || source.ends_with(".war") {
            Some(Self::Zip)
        } else if source.ends_with(".rar") {
            Some(Self::Rar)
        } else {
            None
        }
    }
}

/// Where the bytes of an archive are.
#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    /// In a file of this machine.
    File(PathBuf),
    /// Fetched.
    Fetched(Vec<u8>),
}

/// One thing in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path as the archive has it; a zip's directories end in a slash.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: FileKind,
}

impl Entry {
    /// Its path without slashes around it and without `./` before it.
    pub(crate) fn path(&self) -> &str {
        let mut path = self.name.trim_end_matches('/');
        while let Some(rest) = path.strip_prefix("./") {
            path = rest;
        }
        if path == "." { "" } else { path }
    }
}

/// What is in an archive; `None` when it cannot be read.
///
/// # Errors
///
/// When a program cannot be started.
pub(crate) fn list(
    bytes: &Bytes,
    format: Format,
    machine: &dyn Observe,
) -> Result<Option<Vec<Entry>>, CallError> {
    match format {
        Format::Zip => {
            let content = match bytes {
                Bytes::Fetched(content) => content.clone(),
                Bytes::File(path) => match machine.read(path) {
                    Ok(Some(content)) => content,
                    _ => return Ok(None),
                },
            };
            Ok(zip_entries(&content))
        }
        Format::Tar => {
            let command = tar(
                machine,
                bytes,
                &[
                    "--list",
                    "--verbose",
                    "--numeric-owner",
                    "--quoting-style=literal",
                ],
            );
            let output = tool::ask(machine, &command)?;
            Ok(output
                .is_success()
                .then(|| output.stdout_text().lines().filter_map(tar_entry).collect()))
        }
        Format::Rar => Ok(None),
    }
}

/// A `tar` command on an archive; one that was fetched comes by standard input, where the
/// program cannot look for itself how it is compressed.
fn tar(machine: &dyn Observe, bytes: &Bytes, words: &[&str]) -> Command {
    let command = tool::named(machine, "tar").args(words);
    match bytes {
        Bytes::File(path) => command.arg("-f").arg(path),
        Bytes::Fetched(content) => {
            let filter = match content.as_slice() {
                [0x1f, 0x8b, ..] => Some("--gzip"),
                [b'B', b'Z', b'h', ..] => Some("--bzip2"),
                [0xfd, b'7', b'z', b'X', b'Z', ..] => Some("--xz"),
                [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("--zstd"),
                _ => None,
            };
            command
                .args(filter)
                .args(["-f", "-"])
                .stdin(content.clone())
        }
    }
}

/// A line of `tar --list --verbose`: permissions, owner, size, date, time, name.
fn tar_entry(line: &str) -> Option<Entry> {
    let kind = match line.as_bytes().first()? {
        b'd' => FileKind::Directory,
        b'l' => FileKind::Symlink,
        b'-' | b'h' => FileKind::File,
        b'c' => FileKind::CharDevice,
        b'b' => FileKind::BlockDevice,
        b'p' => FileKind::Fifo,
        _ => return None,
    };
    let mut rest = line;
    for _ in 0..5 {
        rest = rest.trim_start_matches(' ').split_once(' ')?.1;
    }
    let name = match kind {
        FileKind::Symlink => rest.split_once(" -> ").map_or(rest, |(name, _)| name),
        _ if line.starts_with('h') => rest.split_once(" link to ").map_or(rest, |(name, _)| name),
        _ => rest,
    };
    Some(Entry {
        name: name.trim_end_matches('/').to_owned(),
        kind,
    })
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    field.iter().rev().try_fold(0_usize, |sum, byte| {
        Some(sum.checked_mul(256)? + usize::from(*byte))
    })
}

/// The table of contents at the end of a zip archive.
fn zip_entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let entry = |record: zip::Record<'_>| {
        let kind = if record.name.ends_with('/') {
            FileKind::Directory
        } else if record.is_link() {
            FileKind::Symlink
        } else {
            FileKind::File
        };
        Entry {
            name: record.name,
            kind,
        }
    };
    Some(zip::table(bytes)?.into_iter().map(entry).collect())
}

/// The number behind `--strip-components`.
pub(crate) fn stripped(options: &str) -> usize {
    let mut words = options
        .split([' ', '=', '\t'])
        .filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        if matches!(word, "--strip" | "--strip-components") {
            let number = words.next().unwrap_or_default();
            return number.trim_matches(['"', '\'']).parse().unwrap_or_default();
        }
    }
    0
}

/// What is left of entries whose first `count` directories are taken off.
pub(crate) fn strip(entries: Vec<Entry>, count: usize) -> Vec<Entry> {
    if count == 0 {
        return entries;
    }
    entries
        .into_iter()
        .filter_map(|entry| {
            let name = entry.path().splitn(count + 1, '/').nth(count)?.to_owned();
            (!name.is_empty()).then_some(Entry { name, ..entry })
        })
        .collect()
}

/// The first parts of all paths: those of directories and those of files.
pub(crate) fn top_level(entries: &[Entry]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut directories, mut files) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        match entry.path().split_once('/') {
            Some((first, _)) => directories.insert(first.to_owned()),
            None if entry.path().is_empty() => false,
            None if entry.kind == FileKind::Directory => {
                directories.insert(entry.path().to_owned())
            }
            None => files.insert(entry.path().to_owned()),
        };
    }
    (directories, files)
}

/// Takes an archive out below a directory.
///
/// # Errors
///
/// When a program or a file is not there.
pub(crate) fn extract(
    context: &Context<'_>,
    bytes: &Bytes,
    format: Format,
    below: &Path,
    options: &[String],
) -> Result<Output, CallError> {
    let machine = context.system;
    match format {
        Format::Tar => {
            let (long, short): (Vec<&String>, Vec<&String>) =
                options.iter().partition(|option| option.starts_with("--"));
            let mut action = "x".to_owned();
            for letters in short {
                action.push_str(letters.trim_start_matches('-'));
            }
            // What it takes out is reported where options may leave some out.
            if !options.is_empty() && !action.contains('v') {
                action.push('v');
            }
            let words: Vec<&str> = std::iter::once(action.as_str())
                .chain(long.into_iter().map(String::as_str))
                .collect();
            tool::run(context, &tar(machine, bytes, &words).cwd(below))
        }
        Format::Zip | Format::Rar => {
            let unpack = |path: &Path| {
                let program = if format == Format::Zip {
                    "unzip"
                } else {
                    "unrar"
                };
                let command = tool::named(machine, program);
                let command = if format == Format::Zip {
                    command
                        .arg("-o")
                        .args(options)
                        .arg(path)
                        .arg("-d")
                        .arg(below)
                } else {
                    command.args(["x", "-idp", "-o+"]).arg(path).arg(below)
                };
                tool::run(context, &command)
            };
            match bytes {
                Bytes::File(path) => unpack(path),
                Bytes::Fetched(content) => {
                    let mut random = [0_u8; 8];
                    machine.random(&mut random);
                    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                    let path = Path::new("/tmp").join(format!(".archive-{name}"));
                    let options = crate::system::WriteOptions::new().mode(0o600);
                    machine.write(&path, content, &options)?;
                    let output = unpack(&path);
                    machine.remove(&path)?;
                    output
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: FileKind) -> Entry {
        Entry {
            name: name.to_owned(),
            kind,
        }
    }

    #[test]
    fn lines_of_tar_are_read_with_blanks_and_links() {
        let read = |line| tar_entry(line).unwrap();

        assert_eq!(
            read("drwxr-xr-x 0/0               0 2026-11-22 07:56 d/"),
            entry("d", FileKind::Directory)
        );
        assert_eq!(
            read("-rw-r--r-- 0/0               2 2026-11-22 07:56 d/a b"),
            entry("d/a b", FileKind::File)
        );
        assert_eq!(
            read("lrwxrwxrwx 0/0               0 2026-11-22 07:56 d/l -> x"),
            entry("d/l", FileKind::Symlink)
        );
        assert_eq!(tar_entry("tar: nonsense"), None);
    }

    #[test]
    fn damaged_zip_archives_have_no_contents() {
        assert_eq!(zip_entries(b""), None);
        assert_eq!(zip_entries(b"PK\x05\x06"), None);
        let mut end = b"PK\x05\x06".to_vec();
        end.extend([0xff; 18]);
        assert_eq!(zip_entries(&end), None);
    }

    #[test]
    fn stripped_directories_are_taken_off() {
        let entries = vec![
            entry("d", FileKind::Directory),
            entry("d/x", FileKind::File),
        ];

        assert_eq!(stripped("-v --strip-components=1"), 1);
        assert_eq!(strip(entries, 1), [entry("x", FileKind::File)]);
    }
}
