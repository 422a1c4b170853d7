//! What is in the trees of one environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::open_below;

/// Deeper directories are not listed.
const MAX_DEPTH: usize = 64;
/// More entries of one environment are not listed.
const MAX_ENTRIES: usize = 1_000_000;

/// The files, directories and links of an environment, paths relative to its roots.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: BTreeSet<String>,
    pub(super) dirs: BTreeSet<String>,
    pub(super) empty_dirs: BTreeSet<String>,
    pub(super) links: BTreeMap<String, String>,
    /// Every directory that was read, and when it last changed: an entry cannot come or go without that.
    seen: Vec<(PathBuf, Option<SystemTime>)>,
    entries: usize,
}

impl Listing {
    /// Reads the trees.
    pub(super) fn of(roots: &[PathBuf]) -> Self {
        let mut listing = Self::default();
        for root in roots {
            listing.walk(root, "", &mut Vec::new());
        }
        listing
    }

    /// Whether no directory changed since.
    pub(super) fn is_current(&self) -> bool {
        self.seen.iter().all(|(path, at)| changed_at(path) == *at)
    }

    /// `above` are the directories on the way here, so that a link to one of them is not followed for ever.
    fn walk(&mut self, root: &Path, rel: &str, above: &mut Vec<(u64, u64)>) {
        let dir = root.join(rel);
        let Ok(metadata) = fs::metadata(&dir) else {
            return;
        };
        let place = (metadata.dev(), metadata.ino());
        if above.len() >= MAX_DEPTH || above.contains(&place) {
            return;
        }
        above.push(place);
        self.read(root, rel, &dir, above);
        above.pop();
    }

    fn read(&mut self, root: &Path, rel: &str, dir: &Path, above: &mut Vec<(u64, u64)>) {
        self.seen.push((dir.to_owned(), changed_at(dir)));
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        self.dirs.insert(if rel.is_empty() {
            ".".to_owned()
        } else {
            rel.to_owned()
        });
        let mut is_empty = true;
        for entry in entries.flatten() {
            is_empty = false;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return;
            }
            // A name that is no text cannot be asked for.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = if rel.is_empty() {
                name
            } else {
                format!("{rel}/{name}")
            };
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                self.walk(root, &path, above);
            } else if kind.is_file() {
                self.files.insert(path);
            } else if kind.is_symlink() {
                // What a link shows is served when it stays below the root, and listed then.
                let Some(shown) = open_below(root, &path)
                    .ok()
                    .and_then(|file| file.metadata().ok())
                else {
                    continue;
                };
                if let Ok(target) = fs::read_link(entry.path()) {
                    self.links
                        .insert(path.clone(), target.to_string_lossy().into_owned());
                }
                if shown.is_dir() {
                    self.walk(root, &path, above);
                } else if shown.is_file() {
                    self.files.insert(path);
                }
            }
        }
        if is_empty && !rel.is_empty() {
            self.empty_dirs.insert(rel.to_owned());
        }
    }
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}
