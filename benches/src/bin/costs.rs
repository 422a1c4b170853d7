//! CPU time of serialize-and-seal, of open-and-decode and of sealing alone, one JSON line a figure: `costs [SIZE...]`.
//! `compare` runs it beside Salt's own code.

#![expect(clippy::print_stdout, reason = "a program")]

use std::hint::black_box;

use salt_benches::{SIZES, cost, return_load, rng};
use salt_crypto::{Nonce, Purpose, SessionKey, Suite};
use salt_proto::Limits;
use salt_proto::msgpack::{self, Dialect};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes = std::env::args()
        .skip(1)
        .map(|arg| arg.parse())
        .collect::<Result<Vec<usize>, _>>()?;
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    let mut rng = rng();
    let key = SessionKey::generate(&mut rng);
    let nonce = Nonce::from_text(&"0".repeat(Nonce::LEN))?;
    let limits = Limits::default();
    for size in sizes {
        let load = return_load(size);
        for (suite, suffix) in [(Suite::Classic, ""), (Suite::Aes256Gcm, " gcm")] {
            let (mut body, mut sealed, mut plain) = (Vec::new(), Vec::new(), Vec::new());
            let seal = cost(|| {
                body.clear();
                sealed.clear();
                msgpack::encode_map(black_box(&load), Dialect::Raw, &mut body);
                key.seal(
                    suite,
                    Purpose::Reply,
                    Some(&nonce),
                    &body,
                    &mut rng,
                    &mut sealed,
                );
            });
            let alone = cost(|| {
                sealed.clear();
                key.seal(
                    suite,
                    Purpose::Reply,
                    Some(&nonce),
                    black_box(&body),
                    &mut rng,
                    &mut sealed,
                );
            });
            let mut failed = None;
            let open = cost(|| {
                plain.clear();
                let opened = key.open(Purpose::Reply, Some(&nonce), black_box(&sealed), &mut plain);
                match opened.map(|opened| {
                    plain
                        .get(opened.body.unwrap_or_default())
                        .map(|body| msgpack::decode(body, &limits))
                }) {
                    Ok(Some(Ok(value))) => drop(black_box(value)),
                    other => failed = Some(format!("{other:?}")),
                }
            });
            if let Some(failed) = failed {
                return Err(failed.into());
            }
            for (what, ns) in [("seal", seal), ("open", open), ("only seal", alone)] {
                println!(
                    "{}",
                    serde_json::json!({"what": format!("{what}{suffix}"), "size": size, "ns": ns})
                );
            }
        }
    }
    Ok(())
}
