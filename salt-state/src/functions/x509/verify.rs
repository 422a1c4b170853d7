//! Whether a signature is one: of RSA (PKCS #1 v1.5), of ECDSA on NIST's curves and of
//! Ed25519 (RFC 8032).
//!
//! Everything here is public, so nothing has to take the same time for every value.

use num_bigint::{BigInt, BigUint, Sign};
use sha2::Digest as _;

use super::der;
use super::digest::Digest;
use super::key::{Curve, PublicKey};

/// Whether `signature` over `message` is of this key; `None` when that cannot be told.
pub(super) fn verify(
    key: &PublicKey,
    digest: Option<Digest>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let valid = match key {
        PublicKey::Rsa { modulus, exponent } => {
            digest.and_then(|digest| rsa(modulus, exponent, digest, message, signature))
        }
        PublicKey::Ec { curve, point } => {
            digest.and_then(|digest| ecdsa(*curve, point, digest, message, signature))
        }
        PublicKey::Ed25519(bytes) => ed25519(bytes, message, signature),
        PublicKey::Other => None,
    };
    valid == Some(true)
}

fn rsa(
    modulus: &BigUint,
    exponent: &BigUint,
    digest: Digest,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let size = usize::try_from(modulus.bits().div_ceil(8)).ok()?;
    // Both come from a peer; larger ones than anybody uses only cost time.
    if signature.len() != size || size > 2048 || exponent.bits() > 64 {
        return Some(false);
    }
    let opened = BigUint::from_bytes_be(signature).modpow(exponent, modulus);
    let info = der::sequence(&[
        der::sequence(&[der::oid(digest.oid())?, der::tlv(der::NULL, &[])]),
        der::tlv(der::OCTET_STRING, &digest.of(message)),
    ]);
    let filling = size.checked_sub(info.len() + 3)?;
    let mut expected = vec![0, 1];
    expected.extend(std::iter::repeat_n(0xff, filling));
    expected.push(0);
    expected.extend(info);
    Some(BigUint::from_bytes_be(&expected) == opened)
}

fn hex(text: &str) -> BigUint {
    BigUint::parse_bytes(text.as_bytes(), 16).unwrap_or_default()
}

/// A curve `y² = x³ - 3x + b` over a prime.
struct Weierstrass {
    p: BigUint,
    b: BigUint,
    n: BigUint,
    g: (BigUint, BigUint),
}

impl Weierstrass {
    fn of(curve: Curve) -> Self {
        let (p, b, n, x, y) = match curve {
            Curve::P256 => (
                "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
                "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
                "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
                "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
                "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
            ),
            Curve::P384 => (
                "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
                "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
                "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
                "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
                "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
            ),
            Curve::P521 => (
                "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
                "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
                "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
                "011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
            ),
        };
        Self {
            p: hex(p),
            b: hex(b),
            n: hex(n),
            g: (hex(x), hex(y)),
        }
    }

    fn minus(&self, a: &BigUint, b: &BigUint) -> BigUint {
        (a + &self.p - b % &self.p) % &self.p
    }

    fn has(&self, (x, y): &(BigUint, BigUint)) -> bool {
        let right = self.minus(&(x * x * x + &self.b), &(x * 3u8));
        x < &self.p && y < &self.p && (y * y) % &self.p == right
    }
}

/// A point in Jacobian coordinates; `z` zero is infinity.
#[derive(Clone)]
struct Point {
    x: BigUint,
    y: BigUint,
    z: BigUint,
}

impl Point {
    fn infinity() -> Self {
        Self {
            x: BigUint::from(1u8),
            y: BigUint::from(1u8),
            z: BigUint::ZERO,
        }
    }

    fn of((x, y): &(BigUint, BigUint)) -> Self {
        Self {
            x: x.clone(),
            y: y.clone(),
            z: BigUint::from(1u8),
        }
    }

    fn double(&self, curve: &Weierstrass) -> Self {
        let p = &curve.p;
        if self.z == BigUint::ZERO || self.y == BigUint::ZERO {
            return Self::infinity();
        }
        let delta = &self.z * &self.z % p;
        let gamma = &self.y * &self.y % p;
        let beta = &self.x * &gamma % p;
        let alpha = curve.minus(&self.x, &delta) * (&self.x + &delta) * 3u8 % p;
        let x = curve.minus(&(&alpha * &alpha), &(&beta * 8u8));
        let z = (&self.y * &self.z * 2u8) % p;
        let y = curve.minus(
            &(&alpha * curve.minus(&(&beta * 4u8), &x)),
            &(&gamma * &gamma * 8u8),
        );
        Self { x, y, z }
    }

    fn plus(&self, other: &Self, curve: &Weierstrass) -> Self {
        let p = &curve.p;
        if self.z == BigUint::ZERO {
            return other.clone();
        }
        if other.z == BigUint::ZERO {
            return self.clone();
        }
        let z1z1 = &self.z * &self.z % p;
        let z2z2 = &other.z * &other.z % p;
        let u1 = &self.x * &z2z2 % p;
        let u2 = &other.x * &z1z1 % p;
        let s1 = &self.y * &other.z * &z2z2 % p;
        let s2 = &other.y * &self.z * &z1z1 % p;
        if u1 == u2 {
            return if s1 == s2 {
                self.double(curve)
            } else {
                Self::infinity()
            };
        }
        let h = curve.minus(&u2, &u1);
        let r = curve.minus(&s2, &s1);
        let hh = &h * &h % p;
        let hhh = &hh * &h % p;
        let v = &u1 * &hh % p;
        let x = curve.minus(&(&r * &r), &(&hhh + &v * 2u8));
        let y = curve.minus(&(&r * curve.minus(&v, &x)), &(&s1 * &hhh));
        let z = &self.z * &other.z * &h % p;
        Self { x, y, z }
    }
}

fn ecdsa(
    curve: Curve,
    point: &[u8],
    digest: Digest,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let parts = der::only(signature)?.parts_of(der::SEQUENCE)?;
    let [r, s] = parts.as_slice() else {
        return None;
    };
    let curve = Weierstrass::of(curve);
    let (r, s) = (
        BigUint::from_bytes_be(r.body),
        BigUint::from_bytes_be(s.body),
    );
    let zero = BigUint::ZERO;
    if r == zero || s == zero || r >= curve.n || s >= curve.n {
        return Some(false);
    }
    let (kind, coordinates) = point.split_first()?;
    if *kind != 4 {
        return None;
    }
    let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
    let key = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
    if !curve.has(&key) {
        return Some(false);
    }
    let hash = digest.of(message);
    let mut e = BigUint::from_bytes_be(&hash);
    let surplus = u64::try_from(hash.len() * 8)
        .ok()?
        .saturating_sub(curve.n.bits());
    e >>= surplus;
    let inverse = s.modpow(&(&curve.n - 2u8), &curve.n);
    let (u1, u2) = (e * &inverse % &curve.n, &r * &inverse % &curve.n);
    let (g, q) = (Point::of(&curve.g), Point::of(&key));
    let both = g.plus(&q, &curve);
    let mut sum = Point::infinity();
    for bit in (0..curve.n.bits()).rev() {
        sum = sum.double(&curve);
        match (u1.bit(bit), u2.bit(bit)) {
            (true, true) => sum = sum.plus(&both, &curve),
            (true, false) => sum = sum.plus(&g, &curve),
            (false, true) => sum = sum.plus(&q, &curve),
            (false, false) => {}
        }
    }
    if sum.z == zero {
        return Some(false);
    }
    let z_inverse = sum.z.modpow(&(&curve.p - 2u8), &curve.p);
    let x = sum.x * &z_inverse * &z_inverse % &curve.p;
    Some(x % &curve.n == r)
}

/// The field and constants of Ed25519.
struct Edwards {
    p: BigInt,
    d: BigInt,
}

/// A point in extended coordinates.
#[derive(Clone)]
struct Extended {
    x: BigInt,
    y: BigInt,
    z: BigInt,
    t: BigInt,
}

impl Edwards {
    fn new() -> Self {
        let p = (BigInt::from(1u8) << 255u32) - 19;
        let inverse = BigInt::from(121_666).modpow(&(&p - 2), &p);
        let d = modulo(&(BigInt::from(-121_665) * inverse), &p);
        Self { p, d }
    }

    fn point(&self, x: BigInt, y: BigInt) -> Extended {
        Extended {
            t: modulo(&(&x * &y), &self.p),
            x,
            y,
            z: BigInt::from(1u8),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Option<Extended> {
        let mut little: [u8; 32] = bytes.try_into().ok()?;
        let last = little.last_mut()?;
        let odd = *last & 0x80 != 0;
        *last &= 0x7f;
        let y = BigInt::from_bytes_le(Sign::Plus, &little);
        if y >= self.p {
            return None;
        }
        let one = BigInt::from(1u8);
        let squared = &y * &y;
        let above = modulo(&(&squared - &one), &self.p);
        let below = modulo(&(&self.d * &squared + &one), &self.p);
        let square = modulo(&(above * below.modpow(&(&self.p - 2), &self.p)), &self.p);
        let mut x = square.modpow(&((&self.p + 3) / 8), &self.p);
        if modulo(&(&x * &x - &square), &self.p) != BigInt::ZERO {
            let root = BigInt::from(2u8).modpow(&((&self.p - 1) / 4), &self.p);
            x = modulo(&(x * root), &self.p);
        }
        if modulo(&(&x * &x - &square), &self.p) != BigInt::ZERO {
            return None;
        }
        if x == BigInt::ZERO && odd {
            return None;
        }
        if x.bit(0) != odd {
            x = &self.p - x;
        }
        Some(self.point(x, y))
    }

    fn plus(&self, a: &Extended, b: &Extended) -> Extended {
        let p = &self.p;
        let first = modulo(&((&a.y - &a.x) * (&b.y - &b.x)), p);
        let second = modulo(&((&a.y + &a.x) * (&b.y + &b.x)), p);
        let third = modulo(&(&a.t * 2 * &self.d * &b.t), p);
        let fourth = modulo(&(&a.z * 2 * &b.z), p);
        let (e, f) = (&second - &first, &fourth - &third);
        let (g, h) = (&fourth + &third, &second + &first);
        Extended {
            x: modulo(&(&e * &f), p),
            y: modulo(&(&g * &h), p),
            t: modulo(&(&e * &h), p),
            z: modulo(&(&f * &g), p),
        }
    }

    fn times(&self, n: &BigInt, point: &Extended) -> Extended {
        let mut sum = self.point(BigInt::ZERO, BigInt::from(1u8));
        for bit in (0..n.bits()).rev() {
            sum = self.plus(&sum, &sum);
            if n.bit(bit) {
                sum = self.plus(&sum, point);
            }
        }
        sum
    }

    fn same(&self, a: &Extended, b: &Extended) -> bool {
        let zero = BigInt::ZERO;
        modulo(&(&a.x * &b.z - &b.x * &a.z), &self.p) == zero
            && modulo(&(&a.y * &b.z - &b.y * &a.z), &self.p) == zero
    }
}

fn modulo(n: &BigInt, p: &BigInt) -> BigInt {
    let rest = n % p;
    if rest.sign() == Sign::Minus {
        rest + p
    } else {
        rest
    }
}

fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    let field = Edwards::new();
    let (r, s) = signature.split_at_checked(32)?;
    let (s, order) = (
        BigInt::from_bytes_le(Sign::Plus, s),
        (BigInt::from(1u8) << 252u32)
            + BigInt::parse_bytes(b"27742317777372353535851937790883648493", 10)?,
    );
    if signature.len() != 64 || s >= order {
        return Some(false);
    }
    let point = field.decode(key)?;
    let commitment = field.decode(r)?;
    let mut hash = sha2::Sha512::new();
    hash.update(r);
    hash.update(key);
    hash.update(message);
    let k = BigInt::from_bytes_le(Sign::Plus, &hash.finalize()) % &order;
    let fifth = BigInt::from(5u8).modpow(&(&field.p - 2), &field.p);
    let y = modulo(&(BigInt::from(4u8) * fifth), &field.p);
    let mut encoded = y.to_bytes_le().1;
    encoded.resize(32, 0);
    let base = field.decode(&encoded)?;
    let right = field.plus(&commitment, &field.times(&k, &point));
    Some(field.same(&field.times(&s, &base), &right))
}
