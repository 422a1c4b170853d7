//! Keys as text: what is read, and what is written.

use base64ct::{Base64, Encoding};
use rand_core::CryptoRng;
use rsa::{
    pkcs1::{self, UintRef, der::Encode},
    pkcs8::{
        self, PrivateKeyInfoRef, SubjectPublicKeyInfoRef,
        der::{Decode, asn1::BitStringRef},
    },
};
use zeroize::Zeroizing;

use crate::{Error, MAX_KEY_BITS, MIN_KEY_BITS, Result, Secret};

mod encrypted;

/// Texts beyond this are not looked at. The longest key takes a tenth of it.
const MAX_TEXT: usize = 64 * 1024;

const fn malformed(reason: &'static str) -> Error {
    Error::MalformedKey { reason }
}

/// A key's text as Salt compares, stores and sends it: no white space around it,
/// `\n` between its lines.
///
/// Salt's `clean_key`.
pub fn clean_key(text: &str) -> String {
    // One allocation, so that no copy of a private key is left behind.
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text.trim();
    while let Some((line, next)) = rest.split_once(['\r', '\n']) {
        cleaned.push_str(line);
        cleaned.push('\n');
        let is_crlf = rest.as_bytes().get(line.len()..line.len() + 2) == Some(b"\r\n");
        rest = if is_crlf {
            next.strip_prefix('\n').unwrap_or(next)
        } else {
            next
        };
    }
    cleaned.push_str(rest);
    cleaned
}

/// One PEM block (RFC 7468, with the headers of RFC 1421).
struct Block<'a> {
    label: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    der: Zeroizing<Vec<u8>>,
}

impl<'a> Block<'a> {
    /// Reads the first block of a cleaned text. Text may stand before it, as
    /// some tools put it there, but only if `preamble` allows it.
    fn read(text: &'a str, preamble: bool) -> Result<Self> {
        let mut lines = text.split('\n').map(str::trim_end);
        let begin = |line: &'a str| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----");
        let label = loop {
            let line = lines.next().ok_or(malformed("no BEGIN line"))?;
            match begin(line) {
                Some(label) => break label,
                None if preamble => {}
                None => return Err(malformed("text before the BEGIN line")),
            }
        };

        let mut headers = Vec::new();
        let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
        loop {
            let line = lines.next().ok_or(malformed("no END line"))?;
            if let Some(end) = line.strip_prefix("-----END ") {
                if end.strip_suffix("-----") != Some(label) {
                    return Err(malformed("BEGIN and END differ"));
                }
                break;
            }
            match line.split_once(':') {
                Some((name, value)) if base64.is_empty() => headers.push((name, value.trim())),
                Some(_) => return Err(malformed("a header after the data")),
                None => base64.push_str(line),
            }
        }
        if lines.any(|line| !line.is_empty()) && !preamble {
            return Err(malformed("text after the END line"));
        }

        let mut der = Zeroizing::new(vec![0; base64.len() / 4 * 3]);
        let len = match Base64::decode(base64.as_str(), &mut der) {
            Ok(decoded) => decoded.len(),
            Err(_) => return Err(malformed("bad base64")),
        };
        der.truncate(len);
        Ok(Self {
            label,
            headers,
            der,
        })
    }
}

/// Lines of 64 characters and a final newline, as OpenSSL writes them.
pub(crate) fn write(label: &str, der: &[u8]) -> Secret<String> {
    let base64 = Zeroizing::new(Base64::encode_string(der));
    let mut text = String::with_capacity(base64.len() / 64 + base64.len() + 2 * label.len() + 64);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = next;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    Secret::new(text)
}

/// A public key whose size and exponent were checked.
#[derive(Clone)]
pub(crate) struct PublicNumbers {
    /// Big-endian, without leading zeros.
    pub(crate) modulus: Vec<u8>,
    pub(crate) bits: usize,
    /// PKCS#1 DER.
    pub(crate) pkcs1: Vec<u8>,
}

/// Reads `PUBLIC KEY` (`SubjectPublicKeyInfo`) and `RSA PUBLIC KEY` (PKCS#1)
/// from a cleaned text.
pub(crate) fn public(text: &str) -> Result<PublicNumbers> {
    if text.len() > MAX_TEXT {
        return Err(malformed("too long"));
    }
    let block = Block::read(text, false)?;
    if !block.headers.is_empty() {
        return Err(malformed("unexpected headers"));
    }
    match block.label {
        "RSA PUBLIC KEY" => public_pkcs1(&block.der),
        "PUBLIC KEY" => {
            let info = SubjectPublicKeyInfoRef::from_der(&block.der)
                .map_err(|_| malformed("bad public key structure"))?;
            if info.algorithm.oid != pkcs1::ALGORITHM_OID {
                return Err(malformed("not an RSA key"));
            }
            let key = info.subject_public_key.as_bytes();
            public_pkcs1(key.ok_or(malformed("bad public key structure"))?)
        }
        "RSA PRIVATE KEY" | "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
            Err(malformed("a private key where a public one belongs"))
        }
        _ => Err(malformed("neither PUBLIC KEY nor RSA PUBLIC KEY")),
    }
}

fn public_pkcs1(der: &[u8]) -> Result<PublicNumbers> {
    let key = pkcs1::RsaPublicKeyRef::from_der(der)
        .map_err(|_| malformed("bad RSA public key structure"))?;
    public_numbers(key.modulus.as_bytes(), key.public_exponent.as_bytes())
}

fn public_numbers(modulus: &[u8], exponent: &[u8]) -> Result<PublicNumbers> {
    let leading = modulus.first().map_or(8, |it| it.leading_zeros());
    let bits = (8 * modulus.len()).saturating_sub(leading as usize);
    if !(MIN_KEY_BITS..=MAX_KEY_BITS).contains(&bits) {
        return Err(Error::KeySize { bits });
    }
    if exponent != [1, 0, 1] {
        return Err(Error::KeyExponent);
    }
    if modulus.last().is_none_or(|it| it % 2 == 0) {
        return Err(malformed("the modulus is even"));
    }
    let number = |bytes| UintRef::new(bytes).map_err(|_| malformed("bad number"));
    let key = pkcs1::RsaPublicKeyRef {
        modulus: number(modulus)?,
        public_exponent: number(exponent)?,
    };
    let pkcs1 = key.to_der().map_err(|_| malformed("bad number"))?;
    Ok(PublicNumbers {
        modulus: modulus.to_vec(),
        bits,
        pkcs1,
    })
}

/// The text under which Salt stores and sends this key.
pub(crate) fn write_public(key: &PublicNumbers) -> Result<String> {
    let info = SubjectPublicKeyInfoRef {
        algorithm: pkcs1::ALGORITHM_ID,
        subject_public_key: BitStringRef::from_bytes(&key.pkcs1)
            .map_err(|_| malformed("bad number"))?,
    };
    let der = info.to_der().map_err(|_| malformed("bad number"))?;
    Ok(clean_key(write("PUBLIC KEY", &der).expose()))
}

/// A private key whose size, exponent and structure were checked, and its public half.
pub(crate) struct PrivateNumbers {
    /// PKCS#1 DER.
    pub(crate) pkcs1: Secret<Vec<u8>>,
    pub(crate) public: PublicNumbers,
}

/// Reads `RSA PRIVATE KEY` (PKCS#1, in the clear or encrypted the traditional
/// way), `PRIVATE KEY` and `ENCRYPTED PRIVATE KEY` (PKCS#8).
pub(crate) fn private(text: &str, passphrase: Option<&str>) -> Result<PrivateNumbers> {
    if text.len() > MAX_TEXT {
        return Err(malformed("too long"));
    }
    let text = Zeroizing::new(clean_key(text));
    let block = Block::read(&text, true)?;
    match block.label {
        "RSA PRIVATE KEY" if block.headers.is_empty() => private_pkcs1(&block.der),
        "RSA PRIVATE KEY" => {
            let passphrase = passphrase.ok_or(Error::PassphraseNeeded)?;
            let der = encrypted::open_traditional(&block.headers, &block.der, passphrase)?;
            // A wrong passphrase that passes the padding shows here.
            private_pkcs1(&der).map_err(wrong_passphrase)
        }
        "PRIVATE KEY" => private_pkcs8(&block.der),
        "ENCRYPTED PRIVATE KEY" => {
            let passphrase = passphrase.ok_or(Error::PassphraseNeeded)?;
            let der = encrypted::open_pkcs8(&block.der, passphrase)?;
            private_pkcs8(&der).map_err(wrong_passphrase)
        }
        _ => Err(malformed("neither RSA PRIVATE KEY nor PRIVATE KEY")),
    }
}

fn wrong_passphrase(error: Error) -> Error {
    match error {
        Error::MalformedKey { .. } => Error::WrongPassphrase,
        error => error,
    }
}

fn private_pkcs8(der: &[u8]) -> Result<PrivateNumbers> {
    let info =
        PrivateKeyInfoRef::from_der(der).map_err(|_| malformed("bad private key structure"))?;
    if info.algorithm.oid != pkcs1::ALGORITHM_OID {
        return Err(malformed("not an RSA key"));
    }
    private_pkcs1(info.private_key.as_bytes())
}

pub(crate) fn private_pkcs1(der: &[u8]) -> Result<PrivateNumbers> {
    let key = pkcs1::RsaPrivateKeyRef::from_der(der)
        .map_err(|_| malformed("bad RSA private key structure"))?;
    let public = public_numbers(key.modulus.as_bytes(), key.public_exponent.as_bytes())?;
    Ok(PrivateNumbers {
        pkcs1: Secret::new(der.to_vec()),
        public,
    })
}

/// The text in which Salt stores a private key: PKCS#1.
pub(crate) fn write_private(pkcs1: &[u8]) -> Secret<String> {
    write("RSA PRIVATE KEY", pkcs1)
}

/// PKCS#8 under a passphrase.
pub(crate) fn write_encrypted(
    pkcs1: &[u8],
    passphrase: &str,
    rng: &mut dyn CryptoRng,
) -> Result<Secret<String>> {
    let info = pkcs8::der::asn1::OctetStringRef::new(pkcs1)
        .map(|key| PrivateKeyInfoRef::new(pkcs1::ALGORITHM_ID, key))
        .and_then(|info| info.to_der())
        .map(Zeroizing::new)
        .map_err(|_| malformed("bad RSA private key structure"))?;
    let der = encrypted::seal_pkcs8(&info, passphrase, rng)?;
    Ok(write("ENCRYPTED PRIVATE KEY", &der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_needs_both_of_its_ends() {
        for text in [
            "",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY",
            "-----BEGIN PUBLIC KEY-----\nA:A\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        ] {
            assert!(
                matches!(public(text), Err(Error::MalformedKey { .. })),
                "{text}"
            );
            assert!(private(text, Some("x")).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for len in [0, 1, 47, 48, 49, 96, 500] {
            let der: Vec<u8> = (0..len).map(|it| it as u8).collect();
            let text = clean_key(write("X", &der).expose());

            let block = Block::read(&text, false).unwrap();

            assert_eq!((block.label, &**block.der), ("X", &*der));
            assert!(text.lines().all(|line| line.len() <= 64));
        }
    }

    #[test]
    fn only_a_private_key_file_may_have_text_around_it() {
        let text = format!("Bag Attributes\n{}\nmore", write("X", b"abc").expose());

        assert!(Block::read(&text, true).is_ok());
        assert!(Block::read(&text, false).is_err());
    }

    // K-08
    #[test]
    fn k08_sizes_and_exponents_out_of_bounds_are_refused() {
        let modulus = |bits: usize| {
            let mut bytes = vec![0xff_u8; bits.div_ceil(8)];
            bytes[0] >>= bytes.len() * 8 - bits;
            bytes
        };
        for bits in [1, 512, 1024, 2040, 2047, 8193, 16384] {
            let refused = public_numbers(&modulus(bits), &[1, 0, 1]);
            assert!(matches!(refused, Err(Error::KeySize { bits: found }) if found == bits));
        }
        for exponent in [
            &[][..],
            &[1],
            &[3],
            &[17],
            &[1, 0, 3],
            &[1, 0, 0, 1],
            &[0xff; 40],
        ] {
            let refused = public_numbers(&modulus(2048), exponent);
            assert!(matches!(refused, Err(Error::KeyExponent)), "{exponent:?}");
        }
        for bits in [2048, 3072, 4096, 8192] {
            assert_eq!(
                public_numbers(&modulus(bits), &[1, 0, 1]).unwrap().bits,
                bits
            );
        }
        let mut even = modulus(2048);
        even[255] -= 1;
        assert!(public_numbers(&even, &[1, 0, 1]).is_err());
    }
}
