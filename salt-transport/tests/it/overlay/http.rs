//! Just enough of a server of HTTP.

use std::io;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::io::{BufReader, ReadHalf};

use super::broken;

pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A field of the query or of a form, decoded.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let form = String::from_utf8_lossy(&self.body).into_owned();
        let fields = self.query.split('&').chain(form.split('&'));
        let (_, value) = fields
            .filter_map(|field| field.split_once('='))
            .find(|(field, _)| *field == name)?;
        let mut bytes = Vec::new();
        let mut rest = value.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                b'+' => b' ',
                other => other,
            });
        }
        String::from_utf8(bytes).ok()
    }
}

/// The next request; `None` when there is no other.
pub(crate) async fn asked<S: AsyncRead>(
    stream: &mut BufReader<ReadHalf<S>>,
) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().ok_or_else(|| broken("no target"))?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken("a head"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked {
        method,
        path,
        query,
        headers,
        body: Vec::new(),
    };
    let length = asked.header("content-length").map_or(Ok(0), str::parse);
    let length: usize = length.map_err(|_| broken("a length"))?;
    asked.body.resize(length.min(1 << 20), 0);
    if asked.header("transfer-encoding") == Some("chunked") {
        asked.body = chunks(stream).await?;
    } else {
        stream.read_exact(&mut asked.body).await?;
    }
    Ok(Some(asked))
}

async fn chunks<S: AsyncRead>(stream: &mut BufReader<ReadHalf<S>>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(|_| broken("a chunk"))?;
        let mut chunk = vec![0; size.min(1 << 20)];
        stream.read_exact(&mut chunk).await?;
        stream.read_line(&mut String::new()).await?;
        body.extend(chunk);
        if size == 0 {
            return Ok(body);
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, json: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: json.to_string().into_bytes(),
        }
    }

    pub(crate) fn text(kind: &str, body: String) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", kind.to_owned())],
            body: body.into_bytes(),
        }
    }

    pub(crate) fn redirect(to: String) -> Self {
        Self {
            status: 302,
            headers: vec![("location", to)],
            body: Vec::new(),
        }
    }

    pub(crate) async fn send(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        // Some clients crash without the instance's id.
        let mut head = format!(
            "HTTP/1.1 {} .\r\nziti-instance-id: test\r\ncontent-length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        to.write_all(head.as_bytes()).await?;
        to.write_all(&self.body).await?;
        to.flush().await
    }
}
