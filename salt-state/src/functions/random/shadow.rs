//! Hashes of passwords as the shadow file has them: `random.shadow_hash` and
//! `shadow.gen_password`. The machine's `openssl` makes them; the password reaches it on
//! its standard input, so that it stands in no list of processes.

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::functions::test::random_below;
use crate::functions::tool;
use crate::registry::CallError;

/// The letters of a salt.
const LETTERS: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What Salt says it knows.
const KNOWN: &str = "['sha512', 'sha256', 'blowfish', 'md5', 'crypt']";

/// The hash of the argument `password`, a random one when there is none, with `crypt_salt`
/// by `algorithm`.
///
/// # Errors
///
/// For an algorithm that is not known or that `openssl` does not do, and a password of
/// several lines.
pub(crate) fn hash(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let algorithm = args.text("algorithm")?;
    let (option, longest) = match algorithm.as_str() {
        "sha512" => ("-6", 16),
        "sha256" => ("-5", 16),
        "md5" => ("-1", 8),
        "blowfish" | "crypt" => {
            return Err(CallError::execution(format!(
                "'{algorithm}' hashes are not made: they are too weak, or openssl does not make them"
            )));
        }
        _ => {
            return Err(CallError::invocation(format!(
                "Cannot hash using '{algorithm}' hash algorithm. Natively supported algorithms \
                 are: {KNOWN}. If passlib is installed (False), the supported algorithms are: \
                 {KNOWN}."
            )));
        }
    };
    let random = |length| -> String { (0..length).map(|_| letter(context)).collect() };
    let password = match args.given("password") {
        Some(password) => crate::python::str(password),
        None => random(20),
    };
    if password.contains(['\n', '\r', '\0']) {
        return Err(CallError::execution("a password has one line"));
    }
    let salt = args
        .optional_text("crypt_salt")
        .unwrap_or_else(|| random(longest));
    // What the C library answers.
    if salt.contains(|c: char| !c.is_ascii_graphic() || "!*:;\\".contains(c)) {
        return Ok("*0".into());
    }
    let command = tool::plain(tool::program(context.system, "openssl")?)
        .args(["passwd", option, "-salt", &salt, "-stdin"])
        .stdin(format!("{password}\n"));
    let output = tool::ask(context.system, &command)?;
    let hash = output.stdout_text().trim().to_owned();
    if !output.is_success() || hash.is_empty() {
        return Err(CallError::execution(tool::said(&output)));
    }
    Ok(hash.into())
}

fn letter(context: &Context<'_>) -> char {
    let at = random_below(63, context);
    let letter = usize::try_from(at).ok().and_then(|at| LETTERS.get(at));
    letter.copied().map_or('.', char::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::registry::Registry;
    use crate::system::{FakeSystem, Host, Output};

    fn call(context: &Context<'_>, args: &[&str]) -> Result<Value, CallError> {
        let args = args.iter().fold(Args::new(), |args, one| args.with(*one));
        context.registry.call("random.shadow_hash", &args, context)
    }

    // What 3008.3 answered.
    #[test]
    fn hashes_are_those_of_salt() {
        let (registry, minion) = (Registry::builtin(), MinionData::default());
        let machine = Host::new();
        let context = Context::new(&registry, &machine, &minion);
        if tool::program(&machine, "openssl").is_err() {
            return;
        }
        for (args, hash) in [
            (
                ["abcdefgh", "secret", "sha512"],
                "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
            ),
            (
                ["abcdefgh", "secret", "sha256"],
                "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
            ),
            (
                ["abcdefgh", "secret", "md5"],
                "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
            ),
            (["a b", "x", "sha512"], "*0"),
        ] {
            assert_eq!(call(&context, &args).unwrap(), hash.into());
        }
        let known = "Cannot hash using 'nosuch' hash algorithm. Natively supported";
        let unknown = call(&context, &["a", "b", "nosuch"]).unwrap_err();
        assert!(unknown.to_string().starts_with(known), "{unknown}");
    }

    #[test]
    fn a_password_is_no_argument_of_a_program_and_is_not_cut() {
        let (registry, minion) = (Registry::builtin(), MinionData::default());
        let machine =
            FakeSystem::new()
                .program("/usr/bin/openssl")
                .command("/usr/bin/openssl", |command| {
                    assert!(!command.line().contains("secret"));
                    assert_eq!(command.stdin.as_deref(), Some(b"secret\n".as_slice()));
                    Output::success("$6$ab$x\n")
                });
        let context = Context::new(&registry, &machine, &minion);

        assert_eq!(call(&context, &["ab", "secret"]).unwrap(), "$6$ab$x".into());
        assert!(call(&context, &["ab", "secret\nmore"]).is_err());
    }
}
