//! The RSA operations of a sign-in, by key size.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]

use divan::{Bencher, black_box};
use salt_benches::rng;
use salt_crypto::{Encryption, Identity, SessionKey, Signing, handshake, token};

fn main() {
    divan::main();
}

const BITS: [usize; 2] = [2048, 4096];

#[divan::bench(args = BITS, sample_count = 10)]
fn sign(bencher: Bencher<'_, '_>, bits: usize) {
    let mut rng = rng();
    let identity = Identity::generate(bits, &mut rng).unwrap();
    bencher.bench_local(|| {
        identity
            .sign(Signing::Pkcs1v15Sha224, black_box(b"load"), &mut rng)
            .unwrap()
    });
}

#[divan::bench(args = BITS, sample_count = 10)]
fn decrypt(bencher: Bencher<'_, '_>, bits: usize) {
    let mut rng = rng();
    let identity = Identity::generate(bits, &mut rng).unwrap();
    let wrapped = identity
        .public_key()
        .encrypt(Encryption::OaepSha224, &[7; 76], &mut rng)
        .unwrap();
    bencher.bench_local(|| {
        identity
            .decrypt(Encryption::OaepSha224, black_box(&wrapped), &mut rng)
            .unwrap()
    });
}

#[divan::bench(args = BITS, sample_count = 10)]
fn check_token(bencher: Bencher<'_, '_>, bits: usize) {
    let mut rng = rng();
    let identity = Identity::generate(bits, &mut rng).unwrap();
    let proof = token::prove(&identity, &mut rng).unwrap();
    bencher.bench_local(|| token::check(identity.public_key(), black_box(&proof)).unwrap());
}

/// What a master computes to accept one minion that sends no token, without the signature over its answer.
#[divan::bench(args = BITS, sample_count = 10)]
fn grant(bencher: Bencher<'_, '_>, bits: usize) {
    let mut rng = rng();
    let master = Identity::generate(bits, &mut rng).unwrap();
    let minion = Identity::generate(bits, &mut rng).unwrap();
    let publish = SessionKey::generate(&mut rng);
    let session = SessionKey::generate(&mut rng);
    let proof = handshake::PublishKeyProof::new(&master, &publish, &mut rng).unwrap();
    bencher.bench_local(|| {
        handshake::grant(
            &master,
            minion.public_key(),
            Encryption::OaepSha224,
            &proof,
            &session,
            None,
            &mut rng,
        )
        .unwrap()
    });
}
