//! Properties shared with the fuzz targets, and the inputs that are kept.

#[cfg(feature = "rendezvous")]
pub(crate) mod rendezvous_frame;
#[cfg(feature = "ziti")]
pub(crate) mod ziti_identity;
#[cfg(feature = "ziti")]
pub(crate) mod ziti_message;

/// The kept inputs of one fuzz target.
pub(crate) fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut inputs: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!inputs.is_empty(), "no inputs in {}", dir.display());
    inputs.sort();
    inputs
}
