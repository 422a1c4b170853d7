//! Agreeing on a session suite during sign-in, as pure decisions.
//!
//! The rules and why they hold are on the [crate page](crate#negotiation).
//! Peers that do not know them take no part and lose nothing: a stock master
//! ignores the extra key of the request, a stock minion the extra keys of the
//! answer.
//!
//! ```
//! use salt_crypto::{Suite, negotiate::{self, Answer}};
//!
//! // The minion offers, in its `_auth` request:
//! let offered = negotiate::offer(true);
//!
//! // The master sees the offer and puts `suite` and `suites` into its signed answer:
//! let seen = negotiate::seen(offered);
//! let chosen = negotiate::choose(&seen, true);
//! assert_eq!(chosen, Suite::Aes256Gcm);
//!
//! // The minion compares, after it has verified the signature:
//! let answer = Answer { suite: Some(chosen.name()), suites: Some(&seen) };
//! assert_eq!(negotiate::check(offered, answer, false)?, Suite::Aes256Gcm);
//!
//! // Somebody on the path took the offer away:
//! let answer = Answer { suite: Some("classic"), suites: Some(&[]) };
//! assert!(negotiate::check(offered, answer, false).is_err());
//! # Ok::<(), salt_crypto::Error>(())
//! ```

use crate::{Error, Result, Suite};

/// The key of the offer in the request, and of its echo in the answer: a list of names.
pub const SUITES: &str = "suites";

/// The key of the choice in the answer: one name.
pub const SUITE: &str = "suite";

/// The longest offer that is considered, in names.
pub const MAX_OFFER: usize = 16;

/// The longest name that is considered, in bytes.
pub const MAX_NAME: usize = 32;

/// What the minion offers beyond [`Suite::Classic`], which is always understood.
///
/// With the switch off it offers nothing and leaves the key out.
pub const fn offer(enabled: bool) -> &'static [&'static str] {
    if enabled {
        const { &[Suite::Aes256Gcm.name()] }
    } else {
        &[]
    }
}

/// The offer as the master will echo it: the names as they came.
///
/// An offer beyond [`MAX_OFFER`] or [`MAX_NAME`] counts as none, so that a
/// stranger cannot have long answers signed; its sender notices.
pub fn seen<'a>(
    offered: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>,
) -> Vec<&'a str> {
    let mut names = Vec::new();
    for name in offered {
        let name = name.as_ref();
        if names.len() == MAX_OFFER || name.len() > MAX_NAME {
            return Vec::new();
        }
        names.push(name);
    }
    names
}

/// The master's choice: the strongest of what was offered and is switched on.
pub fn choose(seen: &[impl AsRef<str>], enabled: bool) -> Suite {
    if enabled
        && seen
            .iter()
            .any(|name| name.as_ref() == Suite::Aes256Gcm.name())
    {
        Suite::Aes256Gcm
    } else {
        Suite::Classic
    }
}

/// What the master's *verified* answer says about suites.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// The choice, absent from stock masters.
    pub suite: Option<&'a str>,
    /// The offer as the master saw it, absent from stock masters.
    pub suites: Option<&'a [&'a str]>,
}

/// The minion's verdict on an answer whose signature and nonce were verified.
///
/// `expected` says that the minion knows this master to take part (it did
/// before, or the operator demands it), so that an answer without the keys is
/// not from it. Where that is not known, such an answer is a stock master's.
///
/// # Errors
/// [`Error::Downgrade`] if the offer did not arrive as it was made, if the
/// choice was not offered, or if an expected answer is missing.
pub fn check(offered: &[&str], answer: Answer<'_>, expected: bool) -> Result<Suite> {
    let refuse = |reason| Err(Error::Downgrade { reason });
    match (answer.suite, answer.suites) {
        (None, None) if expected => refuse("the answer names no suite"),
        (None, None) => Ok(Suite::Classic),
        (Some(_), None) | (None, Some(_)) => refuse("the answer is incomplete"),
        (Some(chosen), Some(seen)) => {
            if seen != offered {
                return refuse("the master saw another offer than was made");
            }
            match Suite::from_name(chosen) {
                Ok(Suite::Classic) => Ok(Suite::Classic),
                Ok(suite) if offered.contains(&suite.name()) => Ok(suite),
                _ => refuse("the choice was not offered"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GCM: &[&str] = &["aes-256-gcm"];

    fn check_answer(
        offered: &[&str],
        suite: Option<&str>,
        suites: Option<&[&str]>,
    ) -> Result<Suite> {
        check(offered, Answer { suite, suites }, false)
    }

    #[test]
    fn both_ends_switched_on_agree_on_gcm_and_otherwise_on_classic() {
        for minion in [true, false] {
            for master in [true, false] {
                let offered = offer(minion);
                let seen = seen(offered);
                let chosen = choose(&seen, master);

                let agreed = check_answer(offered, Some(chosen.name()), Some(&seen)).unwrap();

                let both = minion && master;
                assert_eq!(
                    agreed,
                    if both {
                        Suite::Aes256Gcm
                    } else {
                        Suite::Classic
                    }
                );
            }
        }
    }

    #[test]
    fn a_stock_master_means_classic() {
        assert_eq!(check_answer(GCM, None, None).unwrap(), Suite::Classic);
        assert_eq!(check_answer(&[], None, None).unwrap(), Suite::Classic);
    }

    // K-07
    #[test]
    fn k07_an_offer_stripped_or_changed_on_its_way_is_noticed() {
        for arrived in [
            &[][..],
            &["classic"],
            &["aes-256-gcm", "rot13"],
            &["AES-256-GCM"],
        ] {
            let chosen = choose(arrived, true);
            let verdict = check_answer(GCM, Some(chosen.name()), Some(arrived));
            assert!(
                matches!(verdict, Err(Error::Downgrade { .. })),
                "{arrived:?}"
            );
        }
        let added = check_answer(&[], Some("classic"), Some(GCM));
        assert!(matches!(added, Err(Error::Downgrade { .. })));
    }

    // K-07
    #[test]
    fn k07_a_choice_that_was_not_offered_is_refused() {
        for chosen in ["aes-256-gcm", "rot13", ""] {
            assert!(
                check_answer(&[], Some(chosen), Some(&[])).is_err(),
                "{chosen}"
            );
        }
        assert!(check_answer(GCM, Some("rot13"), Some(GCM)).is_err());
    }

    // K-07
    #[test]
    fn k07_a_known_master_cannot_be_turned_into_a_stock_one() {
        assert!(check(GCM, Answer::default(), true).is_err());
        assert!(check_answer(GCM, Some("aes-256-gcm"), None).is_err());
        assert!(check_answer(GCM, None, Some(GCM)).is_err());
    }

    #[test]
    fn a_flood_of_names_counts_as_no_offer() {
        let many = vec!["aes-256-gcm"; MAX_OFFER + 1];
        let long = ["x".repeat(MAX_NAME + 1)];

        assert!(seen(&many).is_empty());
        assert!(seen(&long).is_empty());
        assert_eq!(seen(&many[1..]).len(), MAX_OFFER);
    }
}
