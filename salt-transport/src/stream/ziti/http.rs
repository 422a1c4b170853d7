//! The smallest HTTP/1.1 client: one request for each connection, everything bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::controller::{Request, Response};
use super::url::Origin;
use crate::stream::tls;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request and its answer may take.
const ANSWER: Duration = Duration::from_secs(30);
const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 4 << 20;

/// TCP and TLS to a controller or router.
pub(crate) async fn connect(
    origin: &Origin,
    config: &Arc<rustls::ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let connecting = async {
        let name = tls::server_name(&origin.host)?;
        let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await?;
        stream.set_nodelay(true)?;
        tls::connect(config, name, stream).await
    };
    timeout(CONNECT, connecting)
        .await
        .unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no connection in time",
            ))
        })
        .map_err(|error| io::Error::new(error.kind(), format!("{origin}: {error}")))
}

/// Asks, on a connection of its own.
pub(crate) async fn call(
    origin: &Origin,
    config: &Arc<rustls::ClientConfig>,
    request: &Request,
) -> io::Result<Response> {
    let mut stream = connect(origin, config).await?;
    exchange(&mut stream, origin, request).await
}

/// The certificate that the server showed.
pub(crate) fn certificate(stream: &TlsStream<TcpStream>) -> Option<CertificateDer<'static>> {
    let (_, session) = stream.get_ref();
    Some(session.peer_certificates()?.first()?.clone().into_owned())
}

/// Asks, on a connection that is used once.
pub(crate) async fn exchange(
    stream: &mut TlsStream<TcpStream>,
    origin: &Origin,
    request: &Request,
) -> io::Result<Response> {
    let asking = async {
        stream.write_all(&request.bytes(origin)).await?;
        stream.flush().await?;
        response(stream).await
    };
    timeout(ANSWER, asking)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
        .map_err(|error| io::Error::new(error.kind(), format!("{origin}: {error}")))
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Bytes that came, and how to get more of them.
struct Input<'a, S> {
    stream: &'a mut S,
    bytes: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Input<'_, S> {
    /// Waits for more; `false` at the end.
    async fn more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 8192];
        let read = self.stream.read(&mut buffer).await?;
        self.bytes.extend(buffer.iter().take(read));
        Ok(read > 0)
    }

    /// A line without its end.
    async fn line(&mut self, max: usize) -> io::Result<String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                if end > max {
                    return Err(broken("a line too long"));
                }
                let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return String::from_utf8(line).map_err(|_| broken("a head that is no text"));
            }
            if self.bytes.len() > max {
                return Err(broken("a line too long"));
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// So many bytes, onto `to`.
    async fn exactly(&mut self, count: usize, to: &mut Vec<u8>) -> io::Result<()> {
        while self.bytes.len() < count {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        to.extend(self.bytes.drain(..count));
        Ok(())
    }
}

/// Reads an answer.
async fn response(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Response> {
    let mut input = Input {
        stream,
        bytes: Vec::new(),
    };
    let (status, headers) = loop {
        let (status, headers) = head(&mut input).await?;
        // Only after 1xx there is another.
        if status >= 200 {
            break (status, headers);
        }
    };
    let mut answer = Response {
        status,
        headers,
        body: Vec::new(),
    };
    let body = &mut Vec::new();
    let chunked = answer
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    if chunked {
        chunks(&mut input, body).await?;
    } else if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().map_err(|_| broken("a broken length"))?;
        if length > MAX_BODY {
            return Err(broken("an answer too large"));
        }
        input.exactly(length, body).await?;
    } else if status != 204 && status != 304 {
        while input.more().await? {
            if input.bytes.len() > MAX_BODY {
                return Err(broken("an answer too large"));
            }
        }
        body.append(&mut input.bytes);
    }
    answer.body = std::mem::take(body);
    Ok(answer)
}

async fn head<S: AsyncRead + Unpin>(
    input: &mut Input<'_, S>,
) -> io::Result<(u16, Vec<(String, String)>)> {
    let first = input.line(MAX_HEAD).await?;
    let mut words = first.split(' ');
    let known = words
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().and_then(|status| status.parse().ok());
    let status = status.filter(|status| known && (100..600).contains(status));
    let status = status.ok_or_else(|| broken("not an answer of HTTP"))?;
    let mut headers = Vec::new();
    let mut room = MAX_HEAD.saturating_sub(first.len());
    loop {
        let line = input.line(room).await?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        room = room.saturating_sub(line.len() + 1);
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| broken("a broken head"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

async fn chunks<S: AsyncRead + Unpin>(
    input: &mut Input<'_, S>,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    let mut room = MAX_HEAD;
    loop {
        let line = input.line(1024).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| broken("a broken chunk"))?;
        if size == 0 {
            break;
        }
        if size > MAX_BODY.saturating_sub(body.len()) {
            return Err(broken("an answer too large"));
        }
        input.exactly(size, body).await?;
        if !input.line(2).await?.is_empty() {
            return Err(broken("a broken chunk"));
        }
    }
    // Trailers, of which nothing is used.
    loop {
        let line = input.line(room).await?;
        if line.is_empty() {
            return Ok(());
        }
        room = room.saturating_sub(line.len() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: impl AsRef<[u8]>) -> io::Result<Response> {
        response(&mut bytes.as_ref()).await
    }

    #[tokio::test]
    async fn bodies_of_all_kinds_are_read() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello and more",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n",
            "HTTP/1.0 200\r\n\r\nhello",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        ] {
            let answer = read(answer).await.unwrap();
            assert_eq!(
                (answer.status, answer.body.as_slice()),
                (200, &b"hello"[..])
            );
        }
        let answer = read("HTTP/1.1 302 Found\r\nLocation:  /x \r\n\r\n")
            .await
            .unwrap();
        assert_eq!(answer.header("location"), Some("/x"));
    }

    #[tokio::test]
    async fn answers_cut_short_are_errors() {
        for answer in [
            "",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            let error = read(answer).await.map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_answer_is_refused() {
        let long = "x".repeat(MAX_HEAD);
        let many = "a: b\r\n".repeat(MAX_HEAD / 4);
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n".to_owned(),
            "SSH-2.0-x\r\n\r\n".to_owned(),
            "HTTP/1.1 999 x\r\n\r\n".to_owned(),
            format!("HTTP/1.1 200 {long}\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
            "HTTP/1.1 200 OK\r\nno-colon\r\n\r\n".to_owned(),
        ] {
            let error = read(&answer).await.map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{:.60}", answer);
        }
        let endless = [
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            vec![b'x'; MAX_BODY + 1],
        ]
        .concat();
        assert!(read(endless).await.is_err());
    }
}
