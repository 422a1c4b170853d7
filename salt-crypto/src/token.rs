//! The "I hold this private key" token, and the X9.31 blocks it is made of.
//!
//! Every sealed request carries such a token as `tok`. It proves possession of
//! the minion's key, but it is the same bytes every time, so it proves no
//! freshness. Making one costs a private operation: make it once for a key.
//! Checking costs a public operation: a master may remember those it has
//! checked, by key and bytes.
//!
//! ANSI X9.31 with message recovery is old and nobody else's choice any more;
//! Salt has it from OpenSSL's `RSA_private_encrypt`.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use crate::{Error, Identity, PublicKey, Result};

/// What a token says.
const STATEMENT: &[u8] = b"salt";

/// Makes the token of this key.
///
/// # Errors
/// [`Error::Rsa`] if the implementation fails.
pub fn prove(identity: &Identity, rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
    identity.prove(STATEMENT, rng)
}

/// Checks that the holder of `key` made `token`.
///
/// # Errors
/// [`Error::BadSignature`].
pub fn check(key: &PublicKey, token: &[u8]) -> Result<()> {
    if key.recover(token)?.ct_eq(STATEMENT).into() {
        Ok(())
    } else {
        Err(Error::BadSignature)
    }
}

const HEADER: u8 = 0x6b;
const HEADER_WITHOUT_FILLER: u8 = 0x6a;
const FILLER: u8 = 0xbb;
const END_OF_FILLER: u8 = 0xba;
const TRAILER: u8 = 0xcc;

/// The block of `len` bytes to be raised to the private exponent.
pub(crate) fn block(data: &[u8], len: usize) -> Result<Vec<u8>> {
    let filler = len.checked_sub(data.len() + 2).ok_or(Error::TooLong)?;
    let mut block = Vec::with_capacity(len);
    if filler == 0 {
        block.push(HEADER_WITHOUT_FILLER);
    } else {
        block.push(HEADER);
        block.resize(filler, FILLER);
        block.push(END_OF_FILLER);
    }
    block.extend_from_slice(data);
    block.push(TRAILER);
    Ok(block)
}

/// The data in a block, if it is one.
pub(crate) fn data(block: &[u8]) -> Option<&[u8]> {
    let (&TRAILER, block) = block.split_last()? else {
        return None;
    };
    match block.split_first()? {
        (&HEADER_WITHOUT_FILLER, data) => Some(data),
        (&HEADER, block) => {
            let filler = block.iter().take_while(|it| **it == FILLER).count();
            let (&END_OF_FILLER, data) = block.get(filler..)?.split_first()? else {
                return None;
            };
            // OpenSSL, and so Salt, does not recover a block without filler
            // that says it has one.
            (filler > 0).then_some(data)
        }
        _ => None,
    }
}

/// The signature of a power: the smaller of it and its complement.
pub(crate) fn smaller(power: Vec<u8>, modulus: &[u8]) -> Vec<u8> {
    let other = complement(&power, modulus);
    power.min(other)
}

/// The power of a signature: of it and its complement the one that can be a
/// block, which ends in `c`.
pub(crate) fn ending_in_c(power: Vec<u8>, modulus: &[u8]) -> Vec<u8> {
    match power.last() {
        Some(last) if last & 15 == TRAILER & 15 => power,
        _ => complement(&power, modulus),
    }
}

/// `modulus - number`, for a number below it and of the same length.
fn complement(number: &[u8], modulus: &[u8]) -> Vec<u8> {
    let mut difference = modulus.to_vec();
    let mut borrow = false;
    for (from, byte) in difference.iter_mut().zip(number).rev() {
        let (once, under) = from.overflowing_sub(*byte);
        let (twice, under_again) = once.overflowing_sub(u8::from(borrow));
        *from = twice;
        borrow = under || under_again;
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_its_length_and_gives_its_data_back() {
        for len in 0..=62 {
            let data_in = vec![0xbb; len];
            let block = block(&data_in, 64).unwrap();

            assert_eq!(block.len(), 64);
            // With 61 bytes there is no room for filler and its end.
            let expected = if len == 61 { None } else { Some(&*data_in) };
            assert_eq!(data(&block), expected, "{len}");
        }
        assert!(matches!(block(&[0; 63], 64), Err(Error::TooLong)));
    }

    #[test]
    fn a_block_is_the_one_recorded_from_salt() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/rsa.json")).unwrap();

        let block = block(b"salt", 256).unwrap();

        assert_eq!(
            crate::hex(&block),
            vectors["x931_block_of_first"].as_str().unwrap()
        );
    }

    #[test]
    fn other_blocks_are_none() {
        for block in [
            &[][..],
            &[0xcc],
            &[0x6b, 0xcc],
            &[0x6b, 0xbb, 0xcc],
            &[0x6b, 0xba, 1, 0xcc],
            &[0x6b, 0xbb, 0xbc, 0xba, 1, 0xcc],
            &[0x6b, 0xbb, 0xba, 1, 0xcd],
            &[0x6c, 0xbb, 0xba, 1, 0xcc],
        ] {
            assert_eq!(data(block), None, "{block:?}");
        }
    }

    #[test]
    fn a_number_and_its_complement_add_up_to_the_modulus() {
        let modulus = 0xdead_beef_0000_0001_u64;
        for number in [
            0_u64,
            1,
            2,
            0xff,
            0x100,
            0xdead_beef_0000_0000,
            0x1234_5678_9abc_def0,
        ] {
            let difference = complement(&number.to_be_bytes(), &modulus.to_be_bytes());
            assert_eq!(difference, (modulus - number).to_be_bytes());
        }
    }
}
