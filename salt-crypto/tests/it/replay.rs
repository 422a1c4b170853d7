//! Replays the fuzz targets' corpora.

use std::{fs, path::Path};

#[path = "fuzz_entries.rs"]
mod fuzz_entries;

/// Runs `entry` over every file of a corpus, and over damaged copies of each.
#[track_caller]
fn replay(target: &str, entry: impl Fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        println!("skipped: a published crate does not contain its fuzz targets");
        return;
    }
    let corpus = fuzz.join("corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&corpus)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", corpus.display());

    for file in &files {
        let bytes = fs::read(file).unwrap();
        entry(&bytes);
        entry(&bytes[..bytes.len() / 2]);
        for at in (0..bytes.len()).step_by(bytes.len() / 8 + 1) {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            entry(&bent);
        }
    }
    println!("corpus replayed: {target}: {} files", files.len());
}

#[test]
fn the_corpus_of_keys_is_survived() {
    replay("pem", fuzz_entries::pem);
}

#[test]
fn the_corpus_of_sealed_messages_is_survived() {
    replay("session_open", fuzz_entries::session_open);
}

#[test]
fn the_corpus_of_tokens_is_survived() {
    replay("recover", fuzz_entries::recover);
}
