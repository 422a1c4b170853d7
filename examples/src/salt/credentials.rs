//! How the caller proves who he is.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use salt_crypto::Secret;
use salt_transport::client::{Client, Credentials};
use salt_transport::pki::RootKey;

use super::command::Command;
use super::{EX_NO_RETURN, Exit};

/// What an external service is told about the caller.
pub(super) struct Told {
    eauth: String,
    fields: Vec<(String, Secret<String>)>,
}

/// What the caller says about himself with `-a`; what he does not say he is asked for.
///
/// Blocks while it asks, and leaves it to the system to end the program meanwhile.
///
/// # Errors
///
/// What to print when there is no answer.
pub(super) fn told(command: &Command) -> Result<Option<Told>, Exit> {
    let Some(eauth) = &command.eauth else {
        return Ok(None);
    };
    let failed = |error: io::Error| Exit::failed(EX_NO_RETURN, format!("{error}\n"));
    let username = match &command.username {
        Some(name) => Secret::new(name.clone()),
        None => ask("username: ", true).map_err(failed)?,
    };
    let password = match &command.password {
        Some(password) => password.clone(),
        None => ask("password: ", false).map_err(failed)?,
    };
    Ok(Some(Told {
        eauth: eauth.clone(),
        fields: vec![
            ("username".to_owned(), username),
            ("password".to_owned(), password),
        ],
    }))
}

/// The credentials a command line stands for: what the caller told, else a key file that he may read, else a token
/// he keeps.
///
/// # Errors
///
/// What to print when an external service does not know him.
pub(super) async fn find(
    told: Option<Told>,
    make_token: bool,
    client: &Client,
) -> Result<Credentials, Exit> {
    let Some(Told { eauth, fields }) = told else {
        let config = client.config();
        if RootKey::read(&config.cache_dir, &config.key_user).is_err()
            && let Some(token) = token_file().and_then(|path| read_token(&path))
        {
            return Ok(Credentials::Token(token));
        }
        return Ok(Credentials::Key);
    };
    if !make_token {
        return Ok(Credentials::External { eauth, fields });
    }
    let unknown = || Exit::failed(EX_NO_RETURN, "ERROR: Authentication failed\n".to_owned());
    let reply = client
        .make_token(&eauth, &fields)
        .await
        .map_err(|_| unknown())?;
    let token = Secret::new(reply.str("token").ok_or_else(unknown)?.to_owned());
    if let Some(path) = token_file() {
        keep_token(&path, &token)
            .map_err(|error| Exit::failed(EX_NO_RETURN, format!("{error}\n")))?;
    }
    Ok(Credentials::Token(token))
}

/// `~/.salt_token`.
fn token_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(".salt_token"))
}

fn read_token(path: &Path) -> Option<Secret<String>> {
    let token = fs::read_to_string(path).ok()?;
    let token = Secret::new(token.trim().to_owned());
    (!token.expose().is_empty()).then_some(token)
}

/// Writes a token for nobody but its owner.
fn keep_token(path: &Path, token: &Secret<String>) -> io::Result<()> {
    // A file of that name may be readable by others, or not be ours at all.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(token.expose().as_bytes())
}

/// Asks the terminal, if there is one; what is not to be seen is not echoed.
fn ask(prompt: &str, echo: bool) -> io::Result<Secret<String>> {
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        io::stderr().write_all(prompt.as_bytes())?;
    }
    let line = match is_terminal && !echo {
        true => read_unseen()?,
        false => {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            Secret::new(line)
        }
    };
    let answer = line.expose().trim_end_matches(['\r', '\n']).to_owned();
    if answer.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("no answer to '{}'", prompt.trim()),
        ));
    }
    Ok(Secret::new(answer))
}

/// Reads a line from the terminal without echo. A shell does it, because it also turns the echo on again when the
/// user interrupts.
fn read_unseen() -> io::Result<Secret<String>> {
    const SCRIPT: &str = "trap 'stty echo; echo >&2' 0; trap 'exit 130' 2 15; stty -echo; \
                          IFS= read -r line; printf %s \"$line\"";
    let mut child = Process::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut line)?;
    }
    child.wait()?;
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_kept_for_its_owner_only_and_replaced_whole() {
        let path = std::env::temp_dir().join(format!("salt-token-{}", std::process::id()));
        fs::write(&path, "an older and longer token").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

        keep_token(&path, &Secret::new("abc".to_owned())).unwrap();

        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(read_token(&path).unwrap().ct_eq("abc"));
        fs::remove_file(&path).unwrap();
        assert!(read_token(&path).is_none());
    }
}
