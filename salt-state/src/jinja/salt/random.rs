//! Filters that choose at random; with a seed, as Python chooses.

use sha2::{Digest, Sha512};

use crate::jinja::filters::{Builtin, integer, random_below};
use crate::jinja::value::Value;
use crate::jinja::{Error, Result, Runtime};

use super::hash::{bytes_of, digest_hex, hex};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "random_sample" => |rt, args| {
            let [value, size, seed] = args.bind("sample", ["value", "size", "seed"], 2)?;
            let items = value.unwrap_or_default().items(rt)?;
            let size = integer(&size.unwrap_or_default())?;
            sample(rt, items, size, seed)
        },
        "random_shuffle" => |rt, args| {
            let [value, seed] = args.bind("shuffle", ["value", "seed"], 1)?;
            let items = value.unwrap_or_default().items(rt)?;
            let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
            sample(rt, items, size, seed)
        },
        "random_str" => |rt, args| {
            const LETTERS: &[u8] =
                b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
            let [size] = args.bind("random", ["size"], 0)?;
            let size = size.as_ref().map_or(Ok(32), integer)?;
            let size = usize::try_from(size).unwrap_or(0);
            rt.charge_bytes(size.saturating_mul(32))?;
            let mut text = String::with_capacity(size);
            for _ in 0..size {
                let at = random_below(rt, LETTERS.len())?;
                text.extend(LETTERS.get(at).map(|byte| char::from(*byte)));
            }
            Ok(Value::text(text))
        },
        "random_hash" | "rand_str" => |rt, args| {
            let names = ["size", "hash_type"];
            let [_, kind] = args.bind("random_hash", names, 0)?;
            let kind = kind.filter(|kind| !kind.is_none());
            let kind = kind.map_or(Ok("sha256".to_owned()), |kind| kind.str())?;
            let mut bytes = [0; 32];
            rt.environment().host().random(&mut bytes)?;
            Ok(Value::text(match kind.as_str() {
                "md5" => digest_hex::<md5::Md5>(&bytes),
                "sha1" => digest_hex::<sha1::Sha1>(&bytes),
                "sha256" => digest_hex::<sha2::Sha256>(&bytes),
                "sha512" => digest_hex::<Sha512>(&bytes),
                other => {
                    return Err(Error::value_error(format!("unsupported hash type {other}")));
                }
            }))
        },
        "gen_mac" => |rt, args| {
            let [prefix] = args.bind("gen_mac", ["prefix"], 0)?;
            let prefix = prefix.map_or(Ok("AC:DE:48".to_owned()), |prefix| prefix.str())?;
            let mut bytes = [0; 3];
            rt.environment().host().random(&mut bytes)?;
            let tail: Vec<String> = bytes
                .iter()
                .map(|byte| hex(&[*byte]).to_uppercase())
                .collect();
            Ok(Value::text(format!("{prefix}:{}", tail.join(":"))))
        },
        _ => return None,
    })
}

/// Where the numbers of a sample come from.
enum Numbers<'r, 'e> {
    Host(&'r Runtime<'e>),
    Seeded(Box<Twister>),
}

impl Numbers<'_, '_> {
    /// A number below `n`, as Python's `_randbelow`.
    fn below(&mut self, n: usize) -> Result<usize> {
        match self {
            Self::Host(rt) => random_below(rt, n),
            Self::Seeded(twister) => {
                let n = u32::try_from(n).unwrap_or(u32::MAX);
                let bits = 32 - n.leading_zeros();
                loop {
                    let number = twister.next() >> (32 - bits.max(1));
                    if number < n {
                        return Ok(number as usize);
                    }
                }
            }
        }
    }
}

/// Python's `random.sample`; Salt seeds with the SHA-512 of the seed in hexadecimal.
fn sample(rt: &Runtime<'_>, items: Vec<Value>, size: i64, seed: Option<Value>) -> Result<Value> {
    let count = usize::try_from(size)
        .ok()
        .filter(|count| *count <= items.len());
    let Some(count) = count else {
        return Err(Error::value_error(
            "Sample larger than population or is negative",
        ));
    };
    let mut numbers = match seed.filter(|seed| !seed.is_none()) {
        None => Numbers::Host(rt),
        Some(seed) => {
            let seed = match seed {
                seed @ (Value::Str(_) | Value::Bytes(_)) => bytes_of(&seed)?,
                _ => {
                    return Err(Error::type_error(
                        "object supporting the buffer API required",
                    ));
                }
            };
            let text = digest_hex::<Sha512>(&seed);
            Numbers::Seeded(Box::new(Twister::from_text(&text)))
        }
    };
    rt.charge(items.len())?;
    // Python takes from a pool when the population is small beside the sample,
    // and else draws until it finds one not drawn yet.
    let mut small: f64 = 21.0;
    if count > 5 {
        #[expect(clippy::cast_precision_loss, reason = "Python computes in floats too")]
        let exponent = ((count * 3) as f64).log(4.0).ceil();
        small += 4.0_f64.powf(exponent);
    }
    #[expect(clippy::cast_precision_loss, reason = "only compared")]
    let from_pool = items.len() as f64 <= small;
    let mut chosen = Vec::with_capacity(count);
    if from_pool {
        let mut pool = items;
        for _ in 0..count {
            let at = numbers.below(pool.len())?;
            if at < pool.len() {
                chosen.push(pool.swap_remove(at));
            }
        }
    } else {
        let mut seen = std::collections::HashSet::new();
        while chosen.len() < count {
            rt.charge(1)?;
            let at = numbers.below(items.len())?;
            if seen.insert(at) {
                chosen.extend(items.get(at).cloned());
            }
        }
    }
    Ok(Value::list(chosen))
}

/// A number below `n`, the one that Python's `Random(text).randrange(n)` comes to.
pub(crate) fn seeded_below(text: &str, n: u32) -> u32 {
    let mut twister = Twister::from_text(text);
    let bits = 32 - n.leading_zeros();
    loop {
        let number = twister.next() >> (32 - bits.max(1));
        if number < n || n == 0 {
            return number;
        }
    }
}

/// The Mersenne Twister MT19937, as Python's `random` uses it.
struct Twister {
    state: Vec<u32>,
    at: usize,
}

const N: usize = 624;
const M: usize = 397;

impl Twister {
    /// Python's seeding with a string: the text and its SHA-512 as one number.
    fn from_text(text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend(Sha512::digest(text.as_bytes()));
        let mut key = Vec::new();
        // The number's 32-bit digits, least significant first.
        for chunk in bytes.rchunks(4) {
            key.push(
                chunk
                    .iter()
                    .fold(0_u32, |word, byte| word << 8 | u32::from(*byte)),
            );
        }
        while key.len() > 1 && key.last() == Some(&0) {
            key.pop();
        }
        Self::from_key(&key)
    }

    fn seeded(seed: u32) -> Vec<u32> {
        let mut state = vec![seed];
        while state.len() < N {
            let last = state.last().copied().unwrap_or(0);
            let index = u32::try_from(state.len()).unwrap_or(0);
            let next = 1_812_433_253_u32
                .wrapping_mul(last ^ (last >> 30))
                .wrapping_add(index);
            state.push(next);
        }
        state
    }

    /// `init_by_array` of the reference implementation.
    fn from_key(key: &[u32]) -> Self {
        let mut state = Self::seeded(19_650_218);
        let get = |state: &[u32], at: usize| state.get(at).copied().unwrap_or(0);
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            let last = get(&state, i - 1);
            let mixed = (get(&state, i) ^ (last ^ (last >> 30)).wrapping_mul(1_664_525))
                .wrapping_add(get(key, j))
                .wrapping_add(u32::try_from(j).unwrap_or(0));
            if let Some(word) = state.get_mut(i) {
                *word = mixed;
            }
            i += 1;
            j += 1;
            if i >= N {
                let last = get(&state, N - 1);
                if let Some(word) = state.first_mut() {
                    *word = last;
                }
                i = 1;
            }
            if j >= key.len() {
                j = 0;
            }
        }
        for _ in 0..N - 1 {
            let last = get(&state, i - 1);
            let mixed = (get(&state, i) ^ (last ^ (last >> 30)).wrapping_mul(1_566_083_941))
                .wrapping_sub(u32::try_from(i).unwrap_or(0));
            if let Some(word) = state.get_mut(i) {
                *word = mixed;
            }
            i += 1;
            if i >= N {
                let last = get(&state, N - 1);
                if let Some(word) = state.first_mut() {
                    *word = last;
                }
                i = 1;
            }
        }
        if let Some(word) = state.first_mut() {
            *word = 0x8000_0000;
        }
        Self { state, at: N }
    }

    fn next(&mut self) -> u32 {
        if self.at >= N {
            for k in 0..N {
                let get = |at: usize| self.state.get(at % N).copied().unwrap_or(0);
                let y = get(k) & 0x8000_0000 | get(k + 1) & 0x7fff_ffff;
                let mut word = get(k + M) ^ (y >> 1);
                if y & 1 == 1 {
                    word ^= 0x9908_b0df;
                }
                if let Some(place) = self.state.get_mut(k) {
                    *place = word;
                }
            }
            self.at = 0;
        }
        let mut y = self.state.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}
