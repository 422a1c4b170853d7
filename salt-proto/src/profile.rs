//! How much of the classic wire's weaknesses is tolerated: one value, in one place.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use salt_crypto::{Encryption, Signing};

/// What both ends insist on. Everything that could be weakened is derived from it.
///
/// | | [`strict`](Self::strict) (default) | [`compat`](Self::compat) |
/// |---|---|---|
/// | envelope version | 3 only | 3 only |
/// | publishes | signed only | signed only |
/// | requests | time stamp within 120 s, each nonce once | time stamp within 10 min, each nonce once |
/// | OAEP and signatures | SHA-224 forms only | SHA-224 forms preferred, SHA-1 forms accepted |
/// | master's key | pinned, or a fingerprint, or signed by a known signing key | also trust on first use, where [switched on](Self::danger_trust_on_first_use) |
///
/// Stock Salt peers use the SHA-1 forms unless `signing_algorithm`,
/// `encryption_algorithm` and `publish_signing_algorithm` are set to the
/// SHA-224 ones, so a fleet with stock peers at their defaults needs `compat`.
///
/// ```
/// use salt_proto::Profile;
///
/// assert_eq!(Profile::default(), Profile::strict());
/// assert_eq!("compat".parse::<Profile>().unwrap(), Profile::compat());
/// assert!(!Profile::compat().trusts_on_first_use());
/// assert!(Profile::compat().danger_trust_on_first_use().trusts_on_first_use());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    level: Level,
    first_use: bool,
    aes_gcm: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Level {
    Strict,
    Compat,
}

/// The text names no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a security profile is `strict` or `compat`")]
pub struct UnknownProfile;

impl Profile {
    /// The lowest version of a request envelope that is answered, in every profile.
    pub const MINIMUM_VERSION: i64 = 3;

    /// For our own peers, and for stock ones configured with the SHA-224 forms.
    pub const fn strict() -> Self {
        Self {
            level: Level::Strict,
            first_use: false,
            aes_gcm: true,
        }
    }

    /// For fleets in which stock peers run at their defaults.
    pub const fn compat() -> Self {
        Self {
            level: Level::Compat,
            ..Self::strict()
        }
    }

    /// Lets a minion that knows nothing of its master believe the first key it is shown.
    ///
    /// Whoever answers first owns the minion. Has no effect in `strict`, where
    /// a minion without a pin refuses to start whatever was asked for.
    #[must_use]
    pub const fn danger_trust_on_first_use(self) -> Self {
        Self {
            first_use: true,
            ..self
        }
    }

    /// Switches the AES-256-GCM suite between our own peers off: it is neither
    /// offered nor chosen. On by default.
    #[must_use]
    pub const fn without_aes_gcm(self) -> Self {
        Self {
            aes_gcm: false,
            ..self
        }
    }

    /// `strict` or `compat`: what is printed at start and labels metrics.
    pub const fn name(self) -> &'static str {
        match self.level {
            Level::Strict => "strict",
            Level::Compat => "compat",
        }
    }

    /// Whether this is `strict`.
    pub const fn is_strict(self) -> bool {
        matches!(self.level, Level::Strict)
    }

    /// Whether keys may travel under this algorithm.
    pub const fn accepts_encryption(self, algorithm: Encryption) -> bool {
        !self.is_strict() || !algorithm.is_legacy()
    }

    /// Whether signatures of this kind count.
    pub const fn accepts_signing(self, algorithm: Signing) -> bool {
        !self.is_strict() || !algorithm.is_legacy()
    }

    /// How far the time stamp of a request may be from the master's clock, in
    /// either direction.
    pub const fn max_skew(self) -> Duration {
        match self.level {
            Level::Strict => Duration::from_secs(120),
            Level::Compat => Duration::from_secs(600),
        }
    }

    /// Whether a minion may take the first key it is shown for its master's.
    pub const fn trusts_on_first_use(self) -> bool {
        self.first_use && !self.is_strict()
    }

    /// Whether the AES-256-GCM suite is offered by minions and chosen by masters.
    pub const fn offers_aes_gcm(self) -> bool {
        self.aes_gcm
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::strict()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    /// Reads the value of the key `security_profile`.
    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        match name {
            "strict" => Ok(Self::strict()),
            "compat" => Ok(Self::compat()),
            _ => Err(UnknownProfile),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // K-07
    #[test]
    fn strict_knows_no_sha1_and_compat_does() {
        for algorithm in Encryption::ALL {
            assert_eq!(
                Profile::strict().accepts_encryption(algorithm),
                !algorithm.is_legacy()
            );
            assert!(Profile::compat().accepts_encryption(algorithm));
        }
        for algorithm in Signing::ALL {
            assert_eq!(
                Profile::strict().accepts_signing(algorithm),
                !algorithm.is_legacy()
            );
            assert!(Profile::compat().accepts_signing(algorithm));
        }
    }

    // K-09
    #[test]
    fn first_use_is_trusted_only_outside_strict_and_only_by_name() {
        assert!(!Profile::strict().trusts_on_first_use());
        assert!(
            !Profile::strict()
                .danger_trust_on_first_use()
                .trusts_on_first_use()
        );
        assert!(!Profile::compat().trusts_on_first_use());
    }

    #[test]
    fn no_other_name_is_a_profile() {
        for name in ["", "Strict", "legacy", "none", "open"] {
            assert_eq!(name.parse::<Profile>(), Err(UnknownProfile), "{name}");
        }
    }
}
