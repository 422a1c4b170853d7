//! Copying and moving files and directories.

use std::io;
use std::path::Path;

use crate::system::{FileKind, Metadata, System, WriteOptions};

/// Copies a file, or a directory with all that is in it; the links in it stay links. The
/// copy belongs to us and has the mode of the original; with `preserve` also its times.
pub(crate) fn copy(from: &Path, to: &Path, preserve: bool, system: &dyn System) -> io::Result<()> {
    let found = system.metadata(from)?.ok_or(rustix::io::Errno::NOENT)?;
    copy_found(from, to, &found, preserve, system)
}

fn copy_found(
    from: &Path,
    to: &Path,
    found: &Metadata,
    preserve: bool,
    system: &dyn System,
) -> io::Result<()> {
    match found.kind {
        FileKind::Directory => {
            // Closed until everything is in it, if it shall be read-only.
            system.create_dir(to, found.mode | 0o700)?;
            for name in system.list(from)? {
                let inner = from.join(&name);
                if let Some(own) = system.link_metadata(&inner)? {
                    copy_found(&inner, &to.join(&name), &own, preserve, system)?;
                }
            }
            system.set_mode(to, found.mode)?;
        }
        FileKind::Symlink => return system.symlink(&system.read_link(from)?, to),
        FileKind::File => {
            let mut content = system.open(from)?.ok_or(rustix::io::Errno::NOENT)?;
            let us = system.identity();
            let options = WriteOptions::new().mode(found.mode).owner(us.uid, us.gid);
            system.write_from(to, &mut content, &options)?;
        }
        _ => return Err(rustix::io::Errno::INVAL.into()),
    }
    if preserve {
        system.set_times(to, Some(found.accessed), Some(found.modified))?;
    }
    Ok(())
}

/// Moves a file or directory, over file systems too.
pub(crate) fn rename(from: &Path, to: &Path, system: &dyn System) -> io::Result<()> {
    match system.rename(from, to) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error()) => {
            let own = system
                .link_metadata(from)?
                .ok_or(rustix::io::Errno::NOENT)?;
            copy_found(from, to, &own, true, system)?;
            if !own.is_link() {
                system.set_owner(to, Some(own.uid), Some(own.gid), false)?;
                system.set_mode(to, own.mode)?;
            }
            system.remove_all(from)
        }
        other => other,
    }
}
