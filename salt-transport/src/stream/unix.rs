//! Unix sockets: a master without a port.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::{AcceptError, Dial, Listen, Peer, Principal};
use crate::address::{Channel, MasterAddr};

/// Dials `<host>/request.sock` and `<host>/publish.sock`, the host being a directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unix;

impl Unix {
    /// The socket of one channel in a directory.
    pub fn path(directory: &Path, channel: Channel) -> PathBuf {
        directory.join(match channel {
            Channel::Request => "request.sock",
            Channel::Publish => "publish.sock",
        })
    }

    /// Listens on a path, with the given mode from the first instant.
    ///
    /// A socket nobody listens on any more is replaced.
    ///
    /// # Errors
    ///
    /// Somebody listens there already, or the directory does not allow it.
    pub async fn bind(path: &Path, mode: u32) -> io::Result<UnixListen> {
        let listener = bind(path, mode).await?;
        Ok(UnixListen {
            listener,
            path: path.to_owned(),
        })
    }
}

/// Binds beside the path and renames, so that nobody can connect before the
/// mode is set and a path is never without a listener in between.
pub(crate) async fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::from(io::ErrorKind::AddrInUse));
    }
    // The kernel allows 107 bytes for the whole path, so the suffix is short.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push("~");
    let fresh = PathBuf::from(fresh);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(&fresh)?)?;
    // Not listening yet, so nobody gets in before this.
    std::fs::set_permissions(&fresh, Permissions::from_mode(mode))?;
    socket.listen(1000)?;
    std::fs::rename(&fresh, path)?;
    UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into())
}

impl Dial for Unix {
    type Stream = UnixStream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<UnixStream> {
        UnixStream::connect(Self::path(Path::new(&master.host), channel)).await
    }
}

/// A Unix socket that accepts; its path is removed when it is dropped.
#[derive(Debug)]
pub struct UnixListen {
    listener: UnixListener,
    path: PathBuf,
}

impl Listen for UnixListen {
    type Stream = UnixStream;

    async fn accept(&mut self) -> Result<(UnixStream, Peer), AcceptError> {
        let (stream, _) = self.listener.accept().await?;
        let mut peer = Peer::new("unix");
        if let Ok(process) = stream.peer_cred() {
            peer.label = format!("unix uid {}", process.uid());
            peer.principal = Some(Principal::Process {
                uid: process.uid(),
                gid: process.gid(),
            });
        }
        Ok((stream, peer))
    }
}

impl Drop for UnixListen {
    fn drop(&mut self) {
        // Whoever comes next replaces it, so a failure costs nothing.
        let _gone = std::fs::remove_file(&self.path);
    }
}
