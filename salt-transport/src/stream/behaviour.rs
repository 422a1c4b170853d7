//! What every stream has to do, as one call for whoever writes one.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::{AcceptError, Dial, Listen};
use crate::address::{Channel, MasterAddr};

/// How long anything may take here that should take no time.
const SOON: Duration = Duration::from_secs(20);
/// Within this, a peer has to learn that the other end was dropped.
const DROPPED: Duration = Duration::from_secs(5);
/// More than any stream may hold of what nobody reads.
const MUCH: usize = 64 << 20;

/// A stream does not do what the wires rely on.
#[derive(Debug, thiserror::Error)]
#[error("{rule}: {found}")]
#[non_exhaustive]
pub struct Misbehaviour {
    /// What it should do.
    pub rule: &'static str,
    /// What it did.
    pub found: String,
}

/// Runs every rule over fresh streams of a dialer and its listener.
///
/// Both wires of Salt rely on these and on nothing else:
///
/// - bytes arrive whole and in order, both ways at once;
/// - `shutdown` ends one direction: the other end reads the end, and may go on writing;
/// - a dropped stream reaches its peer as end or error within 5 s, and writing to it fails;
/// - who does not read stops who writes, after at most 64 MiB;
/// - ten thousand small writes take no longer than a few large ones, in the main;
/// - a write whose future was dropped has taken none of its bytes or all that it said.
///
/// Real time passes: some seconds over a good stream. `master` is what is dialed.
///
/// ```
/// use std::io;
/// use salt_transport::{
///     AcceptError, Channel, Dial, Listen, MasterAddr, Peer, check_streams,
/// };
/// use tokio::io::{DuplexStream, duplex};
/// use tokio::sync::mpsc;
///
/// /// A network of one's own: pipes that are handed over in a queue.
/// struct Pipes(mpsc::Sender<DuplexStream>);
/// struct PipeEnds(mpsc::Receiver<DuplexStream>);
///
/// impl Dial for Pipes {
///     type Stream = DuplexStream;
///
///     async fn dial(&self, _: &MasterAddr, _: Channel) -> io::Result<DuplexStream> {
///         let (near, far) = duplex(16 * 1024);
///         let sent = self.0.send(far).await;
///         sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
///         Ok(near)
///     }
/// }
///
/// impl Listen for PipeEnds {
///     type Stream = DuplexStream;
///
///     async fn accept(&mut self) -> Result<(DuplexStream, Peer), AcceptError> {
///         let stream = self.0.recv().await.ok_or(AcceptError::Closed)?;
///         Ok((stream, Peer::new("pipe")))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, receiver) = mpsc::channel(8);
/// check_streams(Pipes(sender), PipeEnds(receiver), &MasterAddr::new("any")).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// The first rule that does not hold, and what happened instead.
pub async fn check_streams(
    dial: impl Dial,
    listen: impl Listen,
    master: &MasterAddr,
) -> Result<(), Misbehaviour> {
    let mut pairs = Pairs {
        dial,
        listen,
        master,
    };
    whole_and_in_order(&mut pairs).await?;
    one_half_ends(&mut pairs).await?;
    a_drop_is_noticed(&mut pairs).await?;
    small_writes_are_joined(&mut pairs).await?;
    dropped_writes_send_nothing_twice(&mut pairs).await?;
    unread_bytes_stop_the_writer(&mut pairs).await
}

struct Pairs<'a, D, L> {
    dial: D,
    listen: L,
    master: &'a MasterAddr,
}

impl<D: Dial, L: Listen> Pairs<'_, D, L> {
    /// Both ends of a new stream. Some listeners see a stream only when its first byte comes, so one is sent.
    async fn next(&mut self) -> Result<(D::Stream, L::Stream), Misbehaviour> {
        const RULE: &str = "a dialed stream is accepted";
        let dialing = async {
            let mut near = self
                .dial
                .dial(self.master, Channel::Request)
                .await
                .map_err(broken(RULE))?;
            near.write_all(b"!").await.map_err(broken(RULE))?;
            near.flush().await.map_err(broken(RULE))?;
            Ok::<_, Misbehaviour>(near)
        };
        let accepting = async {
            let mut far = loop {
                match self.listen.accept().await {
                    Ok((far, _)) => break far,
                    Err(error @ AcceptError::Closed) => return Err(broken(RULE)(error)),
                    // Of another peer, perhaps.
                    Err(_) => {}
                }
            };
            far.read_exact(&mut [0; 1]).await.map_err(broken(RULE))?;
            Ok(far)
        };
        soon(RULE, async { tokio::try_join!(dialing, accepting) }).await?
    }
}

fn broken<E: std::fmt::Display>(rule: &'static str) -> impl Fn(E) -> Misbehaviour {
    move |found| Misbehaviour {
        rule,
        found: found.to_string(),
    }
}

fn fault<T>(rule: &'static str, found: impl Into<String>) -> Result<T, Misbehaviour> {
    Err(Misbehaviour {
        rule,
        found: found.into(),
    })
}

async fn soon<T>(rule: &'static str, work: impl Future<Output = T>) -> Result<T, Misbehaviour> {
    match timeout(SOON, work).await {
        Ok(done) => Ok(done),
        Err(_) => fault(rule, format!("nothing for {SOON:?}")),
    }
}

async fn whole_and_in_order<D: Dial, L: Listen>(
    pairs: &mut Pairs<'_, D, L>,
) -> Result<(), Misbehaviour> {
    const RULE: &str = "bytes arrive whole and in order, both ways at once";
    let (near, far) = pairs.next().await?;
    let there: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    let back: Vec<u8> = there.iter().rev().copied().collect();
    let (sent, received) = soon(RULE, async {
        tokio::join!(exchange(near, &there), exchange(far, &back))
    })
    .await?;
    if sent.map_err(broken(RULE))? != back || received.map_err(broken(RULE))? != there {
        return fault(RULE, "other bytes");
    }
    Ok(())
}

async fn exchange(stream: impl AsyncRead + AsyncWrite, send: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut received = vec![0; send.len()];
    let sending = async {
        write.write_all(send).await?;
        write.flush().await
    };
    tokio::try_join!(sending, read.read_exact(&mut received))?;
    Ok(received)
}

async fn one_half_ends<D: Dial, L: Listen>(
    pairs: &mut Pairs<'_, D, L>,
) -> Result<(), Misbehaviour> {
    const RULE: &str = "one half ends, and the other goes on";
    let (mut near, mut far) = pairs.next().await?;
    let heard = soon(RULE, async {
        near.write_all(b"last words").await?;
        near.shutdown().await?;
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await?;
        far.write_all(b"answer").await?;
        far.flush().await?;
        let mut answer = [0; 6];
        near.read_exact(&mut answer).await?;
        heard.extend(answer);
        std::io::Result::Ok(heard)
    })
    .await?
    .map_err(broken(RULE))?;
    if heard != b"last wordsanswer" {
        return fault(RULE, "other bytes");
    }
    Ok(())
}

async fn a_drop_is_noticed<D: Dial, L: Listen>(
    pairs: &mut Pairs<'_, D, L>,
) -> Result<(), Misbehaviour> {
    const RULE: &str = "a dropped stream reaches its peer within 5 s";
    let (near, mut far) = pairs.next().await?;
    drop(near);
    match timeout(DROPPED, far.read(&mut [0; 1])).await {
        Ok(Ok(0) | Err(_)) => {}
        Ok(Ok(_)) => return fault(RULE, "a byte that nobody wrote"),
        Err(_) => return fault(RULE, "nothing"),
    }
    const WRITE: &str = "a write to a peer that is gone fails";
    soon(WRITE, async {
        while far.write_all(&[0; 1024]).await.is_ok() && far.flush().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    let (mut near, far) = pairs.next().await?;
    drop(far);
    match timeout(DROPPED, near.read(&mut [0; 1])).await {
        Ok(Ok(0) | Err(_)) => Ok(()),
        Ok(Ok(_)) => fault(RULE, "a byte that nobody wrote"),
        Err(_) => fault(RULE, "nothing, after the accepting end was dropped"),
    }
}

async fn small_writes_are_joined<D: Dial, L: Listen>(
    pairs: &mut Pairs<'_, D, L>,
) -> Result<(), Misbehaviour> {
    const RULE: &str = "ten thousand small writes are no ten thousand packets";
    const COUNT: usize = 10_000;
    let (mut near, mut far) = pairs.next().await?;
    let sending = async {
        for at in 0..COUNT {
            near.write_all(&at.to_le_bytes()).await?;
        }
        near.flush().await?;
        std::io::Result::Ok(near)
    };
    let mut received = vec![0; COUNT * size_of::<usize>()];
    // A round trip for each of them, or a delayed acknowledgement for each, is far above this.
    let done = soon(RULE, async {
        tokio::try_join!(sending, far.read_exact(&mut received))
    });
    done.await?.map_err(broken(RULE))?;
    let expected = (0..COUNT).flat_map(usize::to_le_bytes);
    if !expected.eq(received) {
        return fault(RULE, "other bytes");
    }
    Ok(())
}

async fn dropped_writes_send_nothing_twice<D: Dial, L: Listen>(
    pairs: &mut Pairs<'_, D, L>,
) -> Result<(), Misbehaviour> {
    const RULE: &str = "a write that was dropped sends nothing twice";
    let (mut near, mut far) = pairs.next().await?;
    let total: usize = 2 << 20;
    let bytes: Vec<u8> = (0..251).cycle().take(total).collect();
    let sending = async {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let piece = rest.get(..48 * 1024).unwrap_or(rest);
            // Dropped whenever it waits.
            tokio::select! {
                biased;
                taken = near.write(piece) => at += taken?,
                () = tokio::task::yield_now() => {}
            }
        }
        near.flush().await?;
        std::io::Result::Ok(near)
    };
    let mut received = vec![0; total];
    let done = soon(RULE, async {
        tokio::try_join!(sending, far.read_exact(&mut received))
    });
    done.await?.map_err(broken(RULE))?;
    if received != bytes {
        return fault(RULE, "other bytes");
    }
    Ok(())
}

async fn unread_bytes_stop_the_writer<D: Dial, L: Listen>(
    pairs: &mut Pairs<'_, D, L>,
) -> Result<(), Misbehaviour> {
    const RULE: &str = "who does not read stops who writes";
    let (mut near, far) = pairs.next().await?;
    let mut written = 0;
    let endless = async {
        while written < MUCH {
            match near.write(&[0; 65_536]).await {
                Ok(taken) => written += taken,
                // A stream may give up a peer that does not read, too.
                Err(_) => return std::future::pending().await,
            }
        }
    };
    let stopped = timeout(Duration::from_millis(500), endless).await;
    drop(far);
    if stopped.is_ok() {
        return fault(RULE, format!("{MUCH} bytes were taken"));
    }
    Ok(())
}
