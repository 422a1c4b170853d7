//! What a master remembers of its minions: grains, pillar, mine.
//!
//! On disk one file for each minion and kind, `<cachedir>/<bank>/<id>.p` in the bin dialect of MessagePack, as Salt
//! 3008 keeps them, so that its `salt-run` reads them too. In memory for masters without a cache directory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use salt_proto::msgpack::{self, Dialect};
use salt_proto::{Limits, Map, MinionId, Value};

use crate::pki::{make_dir, replace_file};

/// The longest encoded entry of one minion in one bank; more is refused (E-04).
pub(super) const MAX_ENTRY: usize = 8 << 20;

/// One kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Bank {
    Grains,
    Pillar,
    Mine,
}

impl Bank {
    const ALL: [Self; 3] = [Self::Grains, Self::Pillar, Self::Mine];

    fn name(self) -> &'static str {
        match self {
            Self::Grains => "grains",
            Self::Pillar => "pillar",
            Self::Mine => "mine",
        }
    }
}

/// The data of all minions.
#[derive(Debug)]
pub(super) struct MinionData(Store);

#[derive(Debug)]
enum Store {
    Memory(Mutex<HashMap<(Bank, MinionId), Vec<u8>>>),
    Disk(PathBuf),
}

impl MinionData {
    pub(super) fn in_memory() -> Self {
        Self(Store::Memory(Mutex::default()))
    }

    pub(super) fn on_disk(cache_dir: PathBuf) -> Self {
        Self(Store::Disk(cache_dir))
    }

    pub(super) fn load(&self, bank: Bank, id: &MinionId) -> Option<Map> {
        let bytes = match &self.0 {
            Store::Memory(entries) => {
                let entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
                entries.get(&(bank, id.clone()))?.clone()
            }
            Store::Disk(root) => fs::read(path(root, bank, id)).ok()?,
        };
        match msgpack::decode_utf8(&bytes, &Limits::default()).ok()? {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// # Errors
    ///
    /// When the entry is too large or cannot be written.
    pub(super) fn store(&self, bank: Bank, id: &MinionId, map: &Map) -> io::Result<()> {
        let mut bytes = Vec::new();
        msgpack::encode_map(map, Dialect::Bin, &mut bytes);
        if bytes.len() > MAX_ENTRY {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "more than a minion may store",
            ));
        }
        match &self.0 {
            Store::Memory(entries) => {
                let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
                entries.insert((bank, id.clone()), bytes);
                Ok(())
            }
            Store::Disk(root) => {
                make_dir(&root.join(bank.name()))?;
                replace_file(&path(root, bank, id), &bytes, 0o600)
            }
        }
    }

    /// Changes one entry as a whole.
    ///
    /// # Errors
    ///
    /// When the entry is too large or cannot be written.
    pub(super) fn change(
        &self,
        bank: Bank,
        id: &MinionId,
        change: impl FnOnce(&mut Map),
    ) -> io::Result<()> {
        let mut map = self.load(bank, id).unwrap_or_default();
        change(&mut map);
        self.store(bank, id, &map)
    }

    pub(super) fn remove(&self, bank: Bank, id: &MinionId) -> bool {
        match &self.0 {
            Store::Memory(entries) => {
                let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
                entries.remove(&(bank, id.clone())).is_some()
            }
            Store::Disk(root) => fs::remove_file(path(root, bank, id)).is_ok(),
        }
    }

    /// Forgets a minion, so that whoever gets its id next inherits nothing (K-05).
    pub(super) fn forget(&self, id: &MinionId) {
        for bank in Bank::ALL {
            self.remove(bank, id);
        }
    }

    /// Forgets everybody whose id `keep` does not say.
    pub(super) fn retain(&self, keep: impl Fn(&MinionId) -> bool) {
        match &self.0 {
            Store::Memory(entries) => {
                entries
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .retain(|(_, id), _| keep(id));
            }
            Store::Disk(root) => {
                for bank in Bank::ALL {
                    let Ok(entries) = fs::read_dir(root.join(bank.name())) else {
                        continue;
                    };
                    for entry in entries.flatten() {
                        let name = entry.file_name();
                        let id = name.to_str().and_then(|name| name.strip_suffix(".p"));
                        if let Some(Ok(id)) = id.map(str::parse::<MinionId>)
                            && !keep(&id)
                        {
                            self.remove(bank, &id);
                        }
                    }
                }
            }
        }
    }
}

fn path(root: &std::path::Path, bank: Bank, id: &MinionId) -> PathBuf {
    root.join(bank.name()).join(format!("{id}.p"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::testing::Dir;

    #[test]
    fn data_is_kept_by_minion_and_bank_until_it_is_forgotten() {
        let dir = Dir::new("minion-data");
        let (web, db): (MinionId, MinionId) = ("web1".parse().unwrap(), "db1".parse().unwrap());
        for data in [MinionData::in_memory(), MinionData::on_disk(dir.0.clone())] {
            data.store(Bank::Grains, &web, &Map::from([("os", "Debian")]))
                .unwrap();
            data.store(Bank::Mine, &db, &Map::from([("x", 1)])).unwrap();
            data.change(Bank::Mine, &db, |mine| drop(mine.insert("y", 2)))
                .unwrap();

            assert_eq!(
                data.load(Bank::Grains, &web),
                Some(Map::from([("os", "Debian")]))
            );
            assert_eq!(
                data.load(Bank::Mine, &db),
                Some(Map::from([("x", 1), ("y", 2)]))
            );
            assert_eq!(data.load(Bank::Pillar, &web), None);
            data.forget(&web);
            assert_eq!(data.load(Bank::Grains, &web), None);
            data.retain(|id| *id != db);
            assert_eq!(data.load(Bank::Mine, &db), None);
        }
    }

    // E-04
    #[test]
    fn a_minion_cannot_store_more_than_its_share() {
        let data = MinionData::in_memory();
        let map = Map::from([("x", "x".repeat(MAX_ENTRY))]);

        assert!(
            data.store(Bank::Mine, &"web1".parse().unwrap(), &map)
                .is_err()
        );
        assert_eq!(data.load(Bank::Mine, &"web1".parse().unwrap()), None);
    }
}
