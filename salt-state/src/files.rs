//! Working on files: what `file.*` states and functions share.

pub(crate) mod attributes;
pub(crate) mod backup;
pub(crate) mod block;
pub(crate) mod cache;
pub(crate) mod configparser;
pub(crate) mod edit;
pub(crate) mod encoding;
pub(crate) mod hash;
pub(crate) mod line;
pub(crate) mod perms;
pub(crate) mod regex;
pub(crate) mod signature;
pub(crate) mod source;
pub(crate) mod text;
pub(crate) mod tree;
