//! Addresses of controllers and routers.

use std::fmt;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// Reads `https://host:port/path` as an origin and what follows it.
    pub(crate) fn https(url: &str) -> Option<(Self, &str)> {
        let rest = url.strip_prefix("https://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        Some((Self::of(authority, Some(443))?, path))
    }

    /// Reads `tls://host:port` or `tls:host:port`, a router's address.
    pub(crate) fn tls(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("tls:")?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        Self::of(rest.trim_end_matches('/'), None)
    }

    fn of(authority: &str, default: Option<u16>) -> Option<Self> {
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            (
                host,
                if rest.is_empty() {
                    None
                } else {
                    Some(rest.strip_prefix(':')?)
                },
            )
        } else {
            match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(fine) || host.len() > 253 {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => default?,
        };
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Percent-encodes a value of a query or form (RFC 3986: all but the unreserved).
pub(crate) fn encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(HEX.get(usize::from(digit)).copied().map(char::from));
            }
        }
    }
    out
}

/// The value of one field of a query, decoded.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let fields = query.split('&').filter_map(|field| field.split_once('='));
    let (_, value) = fields.into_iter().find(|(field, _)| *field == name)?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(host: &str, port: u16) -> Origin {
        Origin {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn addresses_are_read() {
        let read = Origin::https("https://ctrl.example:1280/edge?x");
        assert_eq!(read, Some((origin("ctrl.example", 1280), "/edge?x")));
        assert_eq!(
            Origin::https("https://[::1]"),
            Some((origin("::1", 443), ""))
        );
        assert_eq!(Origin::tls("tls://r1:3022"), Some(origin("r1", 3022)));
        assert_eq!(Origin::tls("tls:r1:3022"), Some(origin("r1", 3022)));
        assert_eq!(origin("::1", 1).to_string(), "[::1]:1");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "http://a",
            "https://",
            "https://a:b",
            "https://u@h",
            "https://a b",
            "https://a\r\nb:1",
        ] {
            assert_eq!(Origin::https(text), None, "{text:?}");
        }
        for text in ["tls://r1", "tls:", "tcp://r1:1", "tls://r1:99999"] {
            assert_eq!(Origin::tls(text), None, "{text:?}");
        }
    }

    #[test]
    fn queries_are_encoded_and_decoded() {
        let text = "name=\"salt & pepper\"/ä";
        let query = format!("a=1&b={}", encoded(text));
        assert!(query.is_ascii() && !query.contains(' '));
        assert_eq!(query_value(&query, "b").as_deref(), Some(text));
        assert_eq!(query_value(&query, "c"), None);
        assert_eq!(query_value("b=%4", "b"), None);
    }
}
