//! K-10: whether the time of a refusal tells why it was refused.
//!
//! Messages that are refused for different reasons come in random order, the thread's CPU time of each refusal is
//! taken, and every reason is compared with the first by Welch's t test, slowest tenth left out (the method of
//! dudect, Reparaz, Balasch and Verbauwhede 2016). Above 4.5 the reasons can be told apart. It is no test of
//! `cargo test`, because a busy machine can make it fail; the exit status says how it went.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]
#![expect(clippy::print_stdout, reason = "a program")]

use std::hint::black_box;
use std::process::ExitCode;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use rsa::hazmat::rsa_encrypt;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, RsaPublicKey};
use salt_benches::{rng, thread_cpu};
use salt_crypto::{Encryption, Identity, Nonce, Provider, Purpose, SessionKey, Suite};
use sha1::{Digest as _, Sha1};

/// 20,000 malformed wraps in all, as `security.md` asks.
const WRAPS: usize = 20_000;
const SEALED: usize = 200_000;
const LEAKS: f64 = 4.5;

fn main() -> ExitCode {
    // `cargo test --benches` runs this too; a look is enough then.
    let quick = !std::env::args().any(|arg| arg == "--bench");
    let (wraps, sealed) = if quick { (80, 800) } else { (WRAPS, SEALED) };
    println!(
        "{:60} {:>9} {:>10} {:>7}",
        "refusals", "samples", "median ns", "t"
    );
    let mut worst = 0_f64;
    for provider in Provider::ALL {
        worst = worst.max(decryption(*provider, wraps));
    }
    for suite in [Suite::Classic, Suite::Aes256Gcm] {
        worst = worst.max(opening(suite, sealed));
    }
    let held = worst < LEAKS;
    let verdict = if held { "held" } else { "broken" };
    println!("K-10 {verdict}: largest |t| {worst:.2}, limit {LEAKS}");
    if held || quick {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Times refusals of `reasons` in random order; the largest |t| against the first reason.
fn compare(
    title: &str,
    reasons: &[(&str, Vec<Vec<u8>>)],
    samples: usize,
    rng: &mut StdRng,
    mut refuse: impl FnMut(&[u8], &mut StdRng) -> bool,
) -> f64 {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); reasons.len()];
    for n in 0..samples + samples / 10 {
        let which = rng.random_range(0..reasons.len());
        let messages = &reasons[which].1;
        let message = messages[rng.random_range(0..messages.len())].clone();
        let began = thread_cpu();
        let refused = refuse(black_box(&message), rng);
        let took = thread_cpu().saturating_sub(began);
        assert!(refused, "{title}, {}: not refused", reasons[which].0);
        // The first tenth warms up.
        if n >= samples / 10 {
            times[which].push(took.as_nanos() as f64);
        }
    }
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let slow = all[all.len() * 9 / 10];
    for times in &mut times {
        times.retain(|time| *time <= slow);
        times.sort_by(f64::total_cmp);
    }
    let mut worst = 0_f64;
    for ((name, _), these) in reasons.iter().zip(&times) {
        let t = welch(&times[0], these);
        let median = these.get(these.len() / 2).copied().unwrap_or(f64::NAN);
        println!(
            "{:60} {:9} {median:10.0} {t:7.2}",
            format!("{title}: {name}"),
            these.len()
        );
        worst = worst.max(t.abs());
    }
    worst
}

fn welch(a: &[f64], b: &[f64]) -> f64 {
    let moments = |x: &[f64]| {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance / n)
    };
    let ((a, a_error), (b, b_error)) = (moments(a), moments(b));
    (b - a) / (a_error + b_error).sqrt()
}

/// OAEP-SHA1 paddings that are wrong in different places.
fn decryption(provider: Provider, samples: usize) -> f64 {
    let mut rng = rng();
    let identity = Identity::generate(2048, &mut rng).unwrap();
    let public = RsaPublicKey::from_public_key_pem(identity.public_key().as_pem()).unwrap();
    let identity = identity.with_provider(provider).unwrap();
    let mut wraps = |first: u8, label: bool, separator: bool| {
        (0..64)
            .map(|_| wrap(&public, first, label, separator, &mut rng))
            .collect::<Vec<_>>()
    };
    let reasons = [
        ("wrong hash of the label", wraps(0, false, true)),
        ("no separator", wraps(0, true, false)),
        ("neither", wraps(0, false, false)),
        ("first byte not zero", wraps(1, true, true)),
        ("nothing right", wraps(1, false, false)),
    ];
    compare(
        &format!("decrypt, {provider:?}"),
        &reasons,
        samples,
        &mut rng,
        |message, rng| {
            identity
                .decrypt(Encryption::OaepSha1, message, rng)
                .is_err()
        },
    )
}

/// A message padded by OAEP-SHA1 (RFC 8017 §7.1.1) with mistakes, and encrypted.
fn wrap(key: &RsaPublicKey, first: u8, label: bool, separator: bool, rng: &mut StdRng) -> Vec<u8> {
    const HASH: usize = 20;
    let mut block = vec![0; key.size()];
    block[0] = first;
    rng.fill_bytes(&mut block[1..=HASH]);
    let (seed, data) = block[1..].split_at_mut(HASH);
    if label {
        data[..HASH].copy_from_slice(&Sha1::digest(b""));
    } else {
        rng.fill_bytes(&mut data[..HASH]);
    }
    let message = data.len() - 16;
    if separator {
        data[message - 1] = 1;
    }
    rng.fill_bytes(&mut data[message..]);
    mask(data, seed);
    mask(seed, data);
    let number = BoxedUint::from_be_slice(&block, key.n_bits_precision()).unwrap();
    let sealed = rsa_encrypt(key, &number).unwrap().to_be_bytes();
    sealed[sealed.len() - key.size()..].to_vec()
}

/// MGF1-SHA1.
fn mask(to: &mut [u8], seed: &[u8]) {
    for (chunk, counter) in to.chunks_mut(20).zip(0_u32..) {
        let hash = Sha1::new()
            .chain_update(seed)
            .chain_update(counter.to_be_bytes())
            .finalize();
        chunk
            .iter_mut()
            .zip(hash)
            .for_each(|(to, from)| *to ^= from);
    }
}

/// Sealed messages with one bit wrong in different places.
fn opening(suite: Suite, samples: usize) -> f64 {
    let mut rng = rng();
    let key = SessionKey::generate(&mut rng);
    let nonce = Nonce::generate(&mut rng);
    let mut good = Vec::new();
    key.seal(
        suite,
        Purpose::Reply,
        Some(&nonce),
        &[7; 1000],
        &mut rng,
        &mut good,
    );
    let tag = match suite {
        Suite::Classic => 32,
        Suite::Aes256Gcm => 16,
    };
    let bent = |at: usize| {
        let mut bent = good.clone();
        bent[at] ^= 1;
        vec![bent]
    };
    let reasons = [
        ("first byte of the tag", bent(good.len() - tag)),
        ("last byte of the tag", bent(good.len() - 1)),
        ("first block of the text", bent(40)),
        ("last block of the text", bent(good.len() - tag - 1)),
    ];
    let mut plain = Vec::with_capacity(good.len());
    compare(
        &format!("open, {}", suite.name()),
        &reasons,
        samples,
        &mut rng,
        |message, _| {
            plain.clear();
            key.open(Purpose::Reply, Some(&nonce), message, &mut plain)
                .is_err()
        },
    )
}
