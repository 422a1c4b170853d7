//! Frames on a stream.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::frame::Frame;

/// Reads frames, and nothing of what comes after them.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    begun: Vec<u8>,
}

impl FrameReader {
    /// The next frame. Cancel-safe.
    ///
    /// Fails with [`io::ErrorKind::InvalidData`] on what is none.
    pub(super) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Frame> {
        loop {
            if let Some((frame, length)) = Frame::decode(&self.begun).map_err(invalid)? {
                self.begun.drain(..length);
                return Ok(frame);
            }
            let missing = Frame::wanted(&self.begun)
                .map_err(invalid)?
                .saturating_sub(self.begun.len());
            // Cancel-safe: either nothing was read, or it is in `begun`.
            let mut limited = (&mut *stream).take(u64::try_from(missing).unwrap_or_default());
            if limited.read_buf(&mut self.begun).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn invalid(error: super::FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    stream.write_all(&frame.encode()).await?;
    stream.flush().await
}

/// The same, for peers that may not read.
pub(super) async fn write_within(
    limit: Duration,
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> io::Result<()> {
    tokio::time::timeout(limit, write(stream, frame))
        .await
        .unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_follows_a_frame_stays_on_the_stream() {
        let mut bytes = Frame::Go.encode();
        bytes.extend(Frame::Ping([1; 8]).encode());
        bytes.extend(b"raw");
        let mut stream = bytes.as_slice();
        let mut reader = FrameReader::default();

        assert_eq!(reader.next(&mut stream).await.unwrap(), Frame::Go);
        assert_eq!(reader.next(&mut stream).await.unwrap(), Frame::Ping([1; 8]));

        assert_eq!(stream, b"raw");
    }

    #[tokio::test]
    async fn a_frame_that_comes_in_pieces_is_read_across_dropped_waits() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let mut reader = FrameReader::default();
        let bytes = Frame::Pong([7; 8]).encode();
        for piece in bytes.chunks(2) {
            near.write_all(piece).await.unwrap();
            tokio::select! {
                biased;
                frame = reader.next(&mut far) => {
                    assert_eq!(frame.unwrap(), Frame::Pong([7; 8]));
                    return;
                }
                () = tokio::task::yield_now() => {}
            }
        }
        panic!("no frame");
    }
}
