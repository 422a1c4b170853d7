//! Signatures of files, which `gpg` checks.

use std::path::Path;

use crate::system::{Command, Observe};

/// The fingerprints of the keys that signed content well, upper case; `None` when the
/// signature is bad, its key is unknown or there is no `gpg`.
///
/// Without a detached signature the content carries its own.
pub(crate) fn verify(
    content: &[u8],
    detached: Option<&[u8]>,
    home: Option<&str>,
    keyring: Option<&str>,
    system: &dyn Observe,
) -> Option<Vec<String>> {
    let mut options = vec![
        "--batch".to_owned(),
        "--status-fd".to_owned(),
        "1".to_owned(),
    ];
    let home = match home {
        Some(home) => Some(home.to_owned()),
        // Salt keeps its own keys for this.
        None => Some("/etc/salt/gpgkeys".to_owned()).filter(|home| system.is_dir(Path::new(home))),
    };
    if let Some(home) = home {
        options.extend(["--homedir".to_owned(), home]);
    }
    if let Some(keyring) = keyring {
        options.extend([
            "--no-default-keyring".to_owned(),
            "--keyring".to_owned(),
            keyring.to_owned(),
        ]);
    }
    let command = match detached {
        None => Command::new("gpg")
            .args(options)
            .arg("--verify")
            .stdin(content),
        // Both as one input: the signature's length in the first line tells them apart.
        Some(signature) => {
            let script = "d=$(mktemp -d) || exit 2; trap 'rm -rf \"$d\"' EXIT; \
                          n=$1; shift; head -c \"$n\" > \"$d/sig\"; cat > \"$d/data\"; \
                          gpg \"$@\" --verify \"$d/sig\" \"$d/data\"";
            let mut input = signature.to_vec();
            input.extend_from_slice(content);
            Command::new("/bin/sh")
                .args(["-c", script, "sh"])
                .arg(signature.len().to_string())
                .args(options)
                .stdin(input)
        }
    };
    let output = system.query(&command).ok()?;
    let said = output.stdout_text();
    let status = |line: &str, word: &str| line.split_whitespace().nth(1) == Some(word);
    let bad = ["BADSIG", "ERRSIG", "EXPSIG", "REVKEYSIG", "EXPKEYSIG"];
    if said
        .lines()
        .any(|line| bad.iter().any(|word| status(line, word)))
    {
        return None;
    }
    let keys: Vec<String> = said
        .lines()
        .filter(|line| line.starts_with("[GNUPG:]") && status(line, "VALIDSIG"))
        .flat_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // The key that signed, and the one it belongs to.
            [words.get(2).copied(), words.last().copied()]
        })
        .flatten()
        .map(str::to_uppercase)
        .collect();
    (!keys.is_empty()).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{FakeSystem, Output};

    #[test]
    fn only_a_good_signature_has_keys() {
        let says =
            |text: &'static str| FakeSystem::new().command("gpg", move |_| Output::success(text));
        let good = says("[GNUPG:] GOODSIG AB me\n[GNUPG:] VALIDSIG 00ab 2026 0 4 0 1 8 00 00cd\n");
        assert_eq!(
            verify(b"x", None, None, None, &good),
            Some(vec!["00AB".to_owned(), "00CD".to_owned()])
        );
        let bad = says("[GNUPG:] BADSIG AB me\n");
        assert_eq!(verify(b"x", None, None, None, &bad), None);
        assert_eq!(verify(b"x", None, None, None, &FakeSystem::new()), None);
    }
}
