//! How the caller proves who he is.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use salt_crypto::Secret;
use salt_transport::client::{Client, Credentials};
use salt_transport::pki::RootKey;

use super::command::Command;
use super::{EX_NO_RETURN, Exit};

/// The credentials a command line stands for.
///
/// A key file that the caller may read counts most, then a token he keeps, then what he says
/// about himself with `-a`; what he does not say he is asked for.
///
/// # Errors
///
/// What to print when an external service does not know him.
pub(super) async fn find(command: &Command, client: &Client) -> Result<Credentials, Exit> {
    let Some(eauth) = &command.eauth else {
        let config = client.config();
        if RootKey::read(&config.cache_dir, &config.key_user).is_err()
            && let Some(token) = token_file().and_then(|path| read_token(&path))
        {
            return Ok(Credentials::Token(token));
        }
        return Ok(Credentials::Key);
    };
    let failed = |error: io::Error| Exit::failed(EX_NO_RETURN, format!("{error}\n"));
    let username = match &command.username {
        Some(name) => name.clone(),
        None => ask("username: ", true).map_err(failed)?,
    };
    let password = match &command.password {
        Some(password) => password.clone(),
        None => Secret::new(ask("password: ", false).map_err(failed)?),
    };
    let fields = vec![
        ("username".to_owned(), Secret::new(username)),
        ("password".to_owned(), password),
    ];
    if !command.make_token {
        return Ok(Credentials::External {
            eauth: eauth.clone(),
            fields,
        });
    }
    let unknown = || Exit::failed(EX_NO_RETURN, "ERROR: Authentication failed\n".to_owned());
    let reply = client
        .make_token(eauth, &fields)
        .await
        .map_err(|_| unknown())?;
    let token = Secret::new(reply.str("token").ok_or_else(unknown)?.to_owned());
    if let Some(path) = token_file() {
        keep_token(&path, &token).map_err(failed)?;
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

/// Asks the terminal. What is not to be seen is not echoed.
fn ask(prompt: &str, echo: bool) -> io::Result<String> {
    let terminal = io::stdin().is_terminal();
    let echoing = |on: bool| {
        let mode = if on { "echo" } else { "-echo" };
        let mut stty = Process::new("stty");
        stty.arg(mode).stdin(Stdio::inherit());
        stty.stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    if terminal {
        io::stderr().write_all(prompt.as_bytes())?;
        if !echo {
            echoing(false)?;
        }
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if terminal && !echo {
        echoing(true)?;
        io::stderr().write_all(b"\n")?;
    }
    if read? == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("no answer to '{}'", prompt.trim()),
        ));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
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
