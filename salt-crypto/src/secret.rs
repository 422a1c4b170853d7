use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that must not be shown, and is wiped when dropped.
///
/// There is no `Display`, no `PartialEq` and no way to take the value out; the
/// only way in is [`expose`](Self::expose), which a reviewer can search for.
///
/// ```compile_fail
/// let key = salt_crypto::Secret::new(vec![1_u8]);
/// println!("{key}"); // has no Display
/// ```
///
/// ```compile_fail
/// let key = salt_crypto::Secret::new(vec![1_u8]);
/// let same = key == key; // `==` is not constant-time; ct_eq is
/// ```
///
/// ```
/// let key = salt_crypto::Secret::new(b"hunter2".to_vec());
/// assert_eq!(format!("{key:?}"), "[secret]");
/// assert!(key.ct_eq(b"hunter2"));
/// ```
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes charge of `value`.
    ///
    /// Copies made before are the caller's to wipe.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether the bytes are equal, in time that depends only on the lengths.
    pub fn ct_eq(&self, other: impl AsRef<[u8]>) -> bool {
        self.0.as_ref().ct_eq(other.as_ref()).into()
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    struct Probe(Arc<AtomicBool>);

    impl Zeroize for Probe {
        fn zeroize(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    // C-06
    #[test]
    fn c06_a_secret_is_wiped_when_it_is_dropped() {
        let wiped = Arc::new(AtomicBool::new(false));

        drop(Secret::new(Probe(Arc::clone(&wiped))));

        assert!(wiped.load(Ordering::Relaxed));
    }

    #[test]
    fn secrets_of_other_length_or_content_differ() {
        let secret = Secret::new(vec![1_u8, 2, 3]);

        assert!(secret.ct_eq([1, 2, 3]));
        assert!(!secret.ct_eq([1, 2, 4]));
        assert!(!secret.ct_eq([1, 2]));
    }
}
