//! The file server's commands.

use super::{AesCommand, load};

load! {
    /// `_serve_file`: a part of a file.
    ServeFile = "_serve_file" {
        /// The path relative to the environment's roots, not checked yet.
        path: String = "path",
        /// The environment; absent means `base`.
        saltenv: Option<String> = "saltenv",
        /// Where the part starts, in bytes.
        loc: u64 = "loc",
        /// The gzip level to compress the part with, 1 to 9.
        gzip: Option<u64> = "gzip",
    }
}

load! {
    /// A question about one file: `_file_find`, `_file_hash`, `_file_hash_and_stat`.
    FileRequest = "_file_hash" {
        /// The path relative to the environment's roots, not checked yet.
        path: String = "path",
        /// The environment; absent means `base`.
        saltenv: Option<String> = "saltenv",
    }
}

load! {
    /// A question about an environment: `_file_list`, `_file_list_emptydirs`,
    /// `_dir_list`, `_symlink_list`.
    ListRequest = "_file_list" {
        /// The environment; absent means `base`.
        saltenv: Option<String> = "saltenv",
        /// Only what is below this path.
        prefix: Option<String> = "prefix",
    }
}

load! {
    /// `_file_envs`: the environments.
    FileEnvs = "_file_envs" {}
}

load! {
    /// `_file_recv`: a part of a file for the master, where that is switched on.
    FileReceive = "_file_recv" {
        /// The components of the path, not checked yet.
        path: Vec<String> = "path",
        /// The size of the whole file in bytes.
        size: Option<u64> = "size",
        /// Where the part goes; 0 starts the file anew.
        loc: u64 = "loc",
        /// The part.
        data: Vec<u8> = "data",
    }
}

/// Which question a [`FileRequest`] asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileCommand {
    /// Where the file is.
    Find,
    /// Its hash.
    Hash,
    /// Its hash and status.
    HashAndStat,
}

impl FileCommand {
    /// The command on the wire.
    pub fn command(self) -> AesCommand {
        match self {
            Self::Find => AesCommand::FileFind,
            Self::Hash => AesCommand::FileHash,
            Self::HashAndStat => AesCommand::FileHashAndStat,
        }
    }
}
