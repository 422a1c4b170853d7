//! How to reach a master, or where to be one, in a line of text.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;

use crate::address::{Channel, MasterAddr};
#[cfg(feature = "rendezvous")]
use crate::rendezvous::{FleetName, Rendezvous};
#[cfg(any(feature = "quic", feature = "ws"))]
use crate::stream::HandshakeLimits;
use crate::stream::{AnyDial, AnyOf, Tcp, Unix};
#[cfg(feature = "tls")]
use crate::stream::{Authorities, Tls, TlsAccept, TlsConfig, TlsError, TlsIdentity};
#[cfg(feature = "ws")]
use crate::stream::{Dial, ThroughProxy, Ws};
#[cfg(feature = "ziti")]
use crate::ziti;

/// A stream and its parameters, in the form that `master` and `--listen` of the programs take.
///
/// | text | streams |
/// |---|---|
/// | `tcp://host[:request][?publish=port]` | plain TCP, Salt's ports |
/// | `unix:/run/salt` | the sockets `request.sock` and `publish.sock` of a directory |
/// | `tls://host[:request]?ca=…&certificate=…&key=…[&name=…][&publish=port]` | TLS 1.3 over TCP |
/// | `ws://host[:80]` | bytes in WebSocket messages, both channels at one port |
/// | `wss://host[:443]?ca=…&certificate=…&key=…[&name=…][&proxy=host:port]` | the same in TLS |
/// | `quic://host[:4506]?ca=…&certificate=…&key=…[&name=…]` | QUIC |
/// | `ziti:service?identity=…` | the services `<service>-publish` and `<service>-request` of an OpenZiti overlay |
/// | `rendezvous://relay[:443][,relay…]/fleet?ca=…&certificate=…&key=…[&name=…]` | through relays, TLS inside TLS |
///
/// `ca`, `certificate` and `key` are files in PEM, `name` is the name that the master's certificate has to carry,
/// by default the host or the fleet. With `rendezvous` they are those of minion and master, and also those shown to
/// the relay unless `relay-ca`, `relay-certificate` and `relay-key` say otherwise; `relay-name` is the name of the
/// relays' certificates, by default each one's host. Values may be percent-encoded. A form whose feature is not built is refused by name.
///
/// ```
/// use salt_transport::Route;
///
/// let route: Route = "tcp://salt.example.com:5506?publish=5505".parse()?;
/// assert_eq!(route.scheme(), "tcp");
/// assert_eq!(route.master()?.request_port, 5506);
/// assert_eq!(route.to_string(), "tcp://salt.example.com:5506?publish=5505");
/// # Ok::<(), salt_transport::RouteError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    scheme: Scheme,
    /// What stands between the scheme and the parameters.
    place: String,
    parameters: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Tcp,
    Unix,
    Tls,
    Ws,
    Wss,
    Quic,
    Rendezvous,
    Ziti,
}

impl Scheme {
    const ALL: [Self; 8] = [
        Self::Tcp,
        Self::Unix,
        Self::Tls,
        Self::Ws,
        Self::Wss,
        Self::Quic,
        Self::Rendezvous,
        Self::Ziti,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
            Self::Rendezvous => "rendezvous",
            Self::Ziti => "ziti",
        }
    }

    /// What it may be followed by.
    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Tcp => &["publish"],
            Self::Unix => &["mode"],
            Self::Tls => &["publish", "ca", "certificate", "key", "name"],
            Self::Ws => &["proxy"],
            Self::Wss => &["ca", "certificate", "key", "name", "proxy"],
            Self::Quic => &["ca", "certificate", "key", "name"],
            Self::Ziti => &["identity"],
            Self::Rendezvous => &[
                "ca",
                "certificate",
                "key",
                "name",
                "relay-ca",
                "relay-certificate",
                "relay-key",
                "relay-name",
            ],
        }
    }

    /// Whether a host and ports follow.
    fn has_host(self) -> bool {
        !matches!(self, Self::Unix | Self::Ziti)
    }
}

/// A route cannot be read or taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The text begins with no scheme that is known.
    #[error("`{0}` begins with none of {known}", known = schemes())]
    Scheme(String),
    /// What follows the scheme is no host, directory or service.
    #[error("`{text}`: {problem}")]
    Place {
        /// The whole text.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A parameter that there is not, stands twice, or cannot be read.
    #[error("parameter `{name}`: {problem}")]
    Parameter {
        /// Which.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// This program was built without it.
    #[error("`{scheme}:` is not built in (feature `{feature}`)")]
    NotBuilt {
        /// The scheme.
        scheme: &'static str,
        /// What to build with.
        feature: &'static str,
    },
    /// Certificates or keys cannot be used.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The overlay's identity cannot be used, or it does not host the service.
    #[cfg(feature = "ziti")]
    #[error(transparent)]
    Ziti(#[from] ziti::ZitiError),
    /// It cannot be listened there.
    #[error("cannot listen on {place}")]
    Listen {
        /// Where: an address and port, or the route.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn schemes() -> String {
    let names: Vec<String> = Scheme::ALL
        .iter()
        .map(|scheme| format!("{}:", scheme.name()))
        .collect();
    names.join(", ")
}

impl FromStr for Route {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let text = text.trim();
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| RouteError::Scheme(text.to_owned()))?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|known| known.name() == scheme)
            .ok_or_else(|| RouteError::Scheme(text.to_owned()))?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let place = match scheme.has_host() {
            true => place.strip_suffix('/').unwrap_or(place),
            false => place,
        };
        let mut parameters = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = |problem: String| RouteError::Parameter {
                name: name.to_owned(),
                problem,
            };
            if !scheme.parameters().contains(&name) {
                let known = scheme.parameters().join(", ");
                return Err(wrong(format!("{} takes {known}", scheme.name())));
            }
            let value = decoded(value).ok_or_else(|| wrong("not percent-encoded".to_owned()))?;
            if parameters.insert(name.to_owned(), value).is_some() {
                return Err(wrong("stands twice".to_owned()));
            }
        }
        let route = Self {
            scheme,
            place: place.to_owned(),
            parameters,
        };
        route.master()?;
        Ok(route)
    }
}

/// Resolves `%41`; other bytes stand for themselves.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// What cannot stand for itself in a value.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' | '&' | '?' | '#' | ' ' | '+' => {
                encoded.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c => encoded.push(c),
        }
    }
    encoded
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slashes = if self.scheme.has_host() { "//" } else { "" };
        write!(f, "{}:{slashes}{}", self.scheme.name(), self.place)?;
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            let sign = if at == 0 { '?' } else { '&' };
            write!(f, "{sign}{name}={}", encoded(value))?;
        }
        Ok(())
    }
}

/// The two channels of a master, where a [`Route`] is listened on.
#[non_exhaustive]
pub struct Listeners {
    /// The publish channel.
    pub publish: AnyOf,
    /// The request channel.
    pub request: AnyOf,
    /// Has to run as long as they should accept; returns when it cannot go on.
    pub driver: Driver,
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}

impl Listeners {
    /// These and others, as one. It cannot go on when one of them cannot.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let (one, another) = (self.driver, other.driver);
        Self {
            publish: self.publish.join(other.publish),
            request: self.request.join(other.request),
            driver: Box::pin(async {
                tokio::select! {
                    () = one => {}
                    () = another => {}
                }
            }),
        }
    }

    fn of(publish: AnyOf, request: AnyOf) -> Self {
        Self::driven(publish, request, std::future::pending())
    }

    fn driven(
        publish: AnyOf,
        request: AnyOf,
        driver: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            publish,
            request,
            driver: Box::pin(driver),
        }
    }
}

impl Route {
    /// Whether a text is meant to be a route, and not a plain host name.
    pub fn is_meant(text: &str) -> bool {
        let text = text.trim();
        text.contains("://")
            || text.split_once(':').is_some_and(|(scheme, rest)| {
                Scheme::ALL.iter().any(|known| known.name() == scheme)
                    && !rest.chars().all(|c| c.is_ascii_digit())
            })
    }

    /// Its first word: `tcp`, `tls`, …
    pub fn scheme(&self) -> &'static str {
        self.scheme.name()
    }

    /// Where the master is, for the dialer.
    ///
    /// # Errors
    ///
    /// What follows the scheme is no host.
    pub fn master(&self) -> Result<MasterAddr, RouteError> {
        let problem = |problem: &'static str| RouteError::Place {
            text: self.to_string(),
            problem,
        };
        if !self.scheme.has_host() {
            if self.place.is_empty() {
                return Err(problem("no directory or service"));
            }
            return Ok(MasterAddr::new(&self.place));
        }
        if self.scheme == Scheme::Rendezvous {
            let (relays, fleet) = self
                .place
                .rsplit_once('/')
                .ok_or_else(|| problem("expected relay[:port][,relay…]/fleet"))?;
            for relay in relays.split(',') {
                self.relay(relay)?;
            }
            return Ok(MasterAddr::new(fleet));
        }
        let has_port = match self.place.rsplit_once(']') {
            Some((_, rest)) => rest.starts_with(':'),
            None => self.place.matches(':').count() == 1,
        };
        let mut master: MasterAddr = self
            .place
            .parse()
            .map_err(|_| problem("expected a host, host:port or [address]:port"))?;
        match self.scheme {
            Scheme::Ws if !has_port => master.request_port = 80,
            Scheme::Wss if !has_port => master.request_port = 443,
            _ => {}
        }
        match self.parameters.get("publish") {
            Some(port) => {
                master.publish_port = port.parse().map_err(|_| RouteError::Parameter {
                    name: "publish".to_owned(),
                    problem: format!("`{port}` is no port"),
                })?;
            }
            // Where both channels share a port.
            None if matches!(self.scheme, Scheme::Ws | Scheme::Wss | Scheme::Quic) => {
                master.publish_port = master.request_port;
            }
            None => {}
        }
        Ok(master)
    }

    /// One of the relays.
    fn relay(&self, text: &str) -> Result<MasterAddr, RouteError> {
        let mut relay: MasterAddr = text.parse().map_err(|_| RouteError::Place {
            text: self.to_string(),
            problem: "expected relay[:port][,relay…]/fleet",
        })?;
        let bare = text.strip_suffix(']').is_some() || text.matches(':').count() != 1;
        if bare && !text.contains("]:") {
            relay.request_port = 443;
        }
        Ok(relay)
    }

    /// The dialer that takes this route to a master. Reads the files it names.
    ///
    /// # Errors
    ///
    /// The files cannot be read or used, or this program is built without what it takes.
    pub fn dialer(&self) -> Result<AnyDial, RouteError> {
        match self.scheme {
            Scheme::Tcp => Ok(AnyDial::new(Tcp)),
            Scheme::Unix => Ok(AnyDial::new(Unix)),
            Scheme::Tls => self.tls_dialer(),
            Scheme::Ws | Scheme::Wss => self.ws_dialer(),
            Scheme::Quic => self.quic_dialer(),
            Scheme::Rendezvous => self.rendezvous_dialer(),
            Scheme::Ziti => self.ziti_dialer(),
        }
    }

    /// Listens as a master on this route: its host is the interface then.
    ///
    /// # Errors
    ///
    /// The files cannot be read or used, the place is taken or not of this machine, or this program is built without
    /// what it takes.
    pub async fn listen(&self) -> Result<Listeners, RouteError> {
        match self.scheme {
            Scheme::Tcp => {
                let master = self.master()?;
                let publish = self.tcp(&master, Channel::Publish).await?;
                let request = self.tcp(&master, Channel::Request).await?;
                Ok(Listeners::of(
                    AnyOf::new().and(publish),
                    AnyOf::new().and(request),
                ))
            }
            Scheme::Unix => {
                let mode = self.parameters.get("mode").map_or("0600", String::as_str);
                let mode = u32::from_str_radix(mode, 8).map_err(|_| RouteError::Parameter {
                    name: "mode".to_owned(),
                    problem: format!("`{mode}` is no mode, such as 0660"),
                })?;
                let socket = async |channel| {
                    let path = Unix::path(Path::new(&self.place), channel);
                    let bound = Unix::bind(&path, mode).await;
                    bound.map_err(|source| self.cannot_listen(source))
                };
                Ok(Listeners::of(
                    AnyOf::new().and(socket(Channel::Publish).await?),
                    AnyOf::new().and(socket(Channel::Request).await?),
                ))
            }
            Scheme::Tls => self.tls_listeners().await,
            Scheme::Ws | Scheme::Wss => self.ws_listeners().await,
            Scheme::Quic => self.quic_listeners().await,
            Scheme::Rendezvous => self.rendezvous_listeners(),
            Scheme::Ziti => self.ziti_listeners().await,
        }
    }

    fn cannot_listen(&self, source: io::Error) -> RouteError {
        RouteError::Listen {
            place: self.to_string(),
            source,
        }
    }

    async fn tcp(
        &self,
        master: &MasterAddr,
        channel: Channel,
    ) -> Result<crate::stream::TcpListen, RouteError> {
        let port = master.port(channel);
        Tcp::bind((master.host.as_str(), port))
            .await
            .map_err(|source| RouteError::Listen {
                place: MasterAddr::new(&master.host).ports(port, port).to_string(),
                source,
            })
    }
}

/// What needs certificates.
#[cfg(feature = "tls")]
impl Route {
    fn file(&self, name: &'static str) -> Result<&str, RouteError> {
        self.parameters
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| RouteError::Parameter {
                name: name.to_owned(),
                problem: format!("{} needs it: a file in PEM", self.scheme.name()),
            })
    }

    fn tls(&self) -> Result<TlsConfig, RouteError> {
        let identity = TlsIdentity::read(self.file("certificate")?, self.file("key")?)?;
        let mut config = TlsConfig::new(identity, Authorities::read(self.file("ca")?)?);
        if let Some(name) = self.parameters.get("name") {
            config = config.server_name(name);
        }
        Ok(config)
    }

    fn tls_dialer(&self) -> Result<AnyDial, RouteError> {
        Ok(AnyDial::new(Tls::over(Tcp, &self.tls()?)?))
    }

    async fn tls_listeners(&self) -> Result<Listeners, RouteError> {
        let (master, config) = (self.master()?, self.tls()?);
        let publish = TlsAccept::over(self.tcp(&master, Channel::Publish).await?, &config)?;
        let request = TlsAccept::over(self.tcp(&master, Channel::Request).await?, &config)?;
        Ok(Listeners::of(
            AnyOf::new().and(publish),
            AnyOf::new().and(request),
        ))
    }
}

#[cfg(not(feature = "tls"))]
impl Route {
    fn tls_dialer(&self) -> Result<AnyDial, RouteError> {
        Err(self.not_built("tls"))
    }

    async fn tls_listeners(&self) -> Result<Listeners, RouteError> {
        Err(self.not_built("tls"))
    }
}

#[cfg(feature = "ws")]
impl Route {
    fn ws_dialer(&self) -> Result<AnyDial, RouteError> {
        match self.parameters.get("proxy") {
            None => self.ws_over(Tcp),
            Some(proxy) => {
                let wrong = || RouteError::Parameter {
                    name: "proxy".to_owned(),
                    problem: format!("`{proxy}` is no host:port"),
                };
                let plain = proxy.strip_prefix("http://").unwrap_or(proxy);
                let (host, port) = plain
                    .trim_end_matches('/')
                    .rsplit_once(':')
                    .ok_or_else(wrong)?;
                let port = port.parse().map_err(|_| wrong())?;
                self.ws_over(ThroughProxy::new(Tcp, host, port))
            }
        }
    }

    fn ws_over(&self, beneath: impl Dial) -> Result<AnyDial, RouteError> {
        if self.scheme == Scheme::Wss {
            return Ok(AnyDial::new(Ws::over(Tls::over(beneath, &self.tls()?)?)));
        }
        Ok(AnyDial::new(Ws::over(beneath)))
    }

    async fn ws_listeners(&self) -> Result<Listeners, RouteError> {
        let listener = self.tcp(&self.master()?, Channel::Request).await?;
        let limits = HandshakeLimits::default();
        if self.scheme == Scheme::Wss {
            let both = Ws::accept(TlsAccept::over(listener, &self.tls()?)?, limits);
            return Ok(Listeners::driven(
                AnyOf::new().and(both.publish),
                AnyOf::new().and(both.request),
                both.accepting,
            ));
        }
        let both = Ws::accept(listener, limits);
        Ok(Listeners::driven(
            AnyOf::new().and(both.publish),
            AnyOf::new().and(both.request),
            both.accepting,
        ))
    }
}

#[cfg(not(feature = "ws"))]
impl Route {
    fn ws_dialer(&self) -> Result<AnyDial, RouteError> {
        Err(self.not_built("ws"))
    }

    async fn ws_listeners(&self) -> Result<Listeners, RouteError> {
        Err(self.not_built("ws"))
    }
}

#[cfg(feature = "quic")]
impl Route {
    fn quic_dialer(&self) -> Result<AnyDial, RouteError> {
        Ok(AnyDial::new(crate::stream::Quic::new(&self.tls()?)?))
    }

    async fn quic_listeners(&self) -> Result<Listeners, RouteError> {
        let (master, config) = (self.master()?, self.tls()?);
        let host = (master.host.as_str(), master.request_port);
        let found = tokio::net::lookup_host(host).await;
        let address = found
            .and_then(|mut found| {
                found
                    .next()
                    .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
            })
            .map_err(|source| self.cannot_listen(source))?;
        let both = crate::stream::Quic::listen(address, &config, HandshakeLimits::default())
            .map_err(|source| self.cannot_listen(source))?;
        Ok(Listeners::driven(
            AnyOf::new().and(both.publish),
            AnyOf::new().and(both.request),
            both.accepting,
        ))
    }
}

#[cfg(not(feature = "quic"))]
impl Route {
    fn quic_dialer(&self) -> Result<AnyDial, RouteError> {
        Err(self.not_built("quic"))
    }

    async fn quic_listeners(&self) -> Result<Listeners, RouteError> {
        Err(self.not_built("quic"))
    }
}

#[cfg(feature = "rendezvous")]
impl Route {
    /// The way to the relays, and what is shown inside.
    fn rendezvous(&self) -> Result<(Rendezvous<Tls<Tcp>>, TlsConfig, FleetName), RouteError> {
        let inner = self.tls()?;
        let own = |name: &'static str, usual: &'static str| match self.parameters.get(name) {
            Some(file) => Ok(file.as_str()),
            None => self.file(usual),
        };
        let identity = TlsIdentity::read(
            own("relay-certificate", "certificate")?,
            own("relay-key", "key")?,
        )?;
        let mut outer = TlsConfig::new(identity, Authorities::read(own("relay-ca", "ca")?)?);
        if let Some(name) = self.parameters.get("relay-name") {
            outer = outer.server_name(name);
        }
        let (relays, fleet) = self.place.rsplit_once('/').unwrap_or_default();
        let relays: Result<Vec<_>, _> = relays.split(',').map(|one| self.relay(one)).collect();
        let fleet = fleet.parse().map_err(|_| RouteError::Place {
            text: self.to_string(),
            problem: "a fleet is 1 to 64 of a-z, 0-9, - and .",
        })?;
        Ok((Rendezvous::tls(relays?, &outer)?, inner, fleet))
    }

    fn rendezvous_dialer(&self) -> Result<AnyDial, RouteError> {
        let (rendezvous, inner, _) = self.rendezvous()?;
        Ok(AnyDial::new(rendezvous.dial(&inner)?))
    }

    fn rendezvous_listeners(&self) -> Result<Listeners, RouteError> {
        let (rendezvous, inner, fleet) = self.rendezvous()?;
        let (publish, request, running) = rendezvous.host(fleet, &inner)?;
        Ok(Listeners::driven(
            AnyOf::new().and(publish),
            AnyOf::new().and(request),
            running,
        ))
    }
}

#[cfg(not(feature = "rendezvous"))]
impl Route {
    fn rendezvous_dialer(&self) -> Result<AnyDial, RouteError> {
        Err(self.not_built("rendezvous"))
    }

    fn rendezvous_listeners(&self) -> Result<Listeners, RouteError> {
        Err(self.not_built("rendezvous"))
    }
}

#[cfg(feature = "ziti")]
impl Route {
    fn overlay(&self) -> Result<(ziti::Overlay, Driver), RouteError> {
        let identity = self
            .parameters
            .get("identity")
            .ok_or_else(|| RouteError::Parameter {
                name: "identity".to_owned(),
                problem: "ziti needs it: the file of an enrolled identity".to_owned(),
            })?;
        let (overlay, driver) = ziti::connect(ziti::Identity::read(identity)?);
        Ok((overlay, Box::pin(driver)))
    }

    fn ziti_dialer(&self) -> Result<AnyDial, RouteError> {
        let (overlay, driver) = self.overlay()?;
        Ok(AnyDial::driven(overlay.dialer(), driver))
    }

    async fn ziti_listeners(&self) -> Result<Listeners, RouteError> {
        let (overlay, mut driver) = self.overlay()?;
        let hosting = async {
            let publish = overlay.host(format!("{}-publish", self.place)).await?;
            let request = overlay.host(format!("{}-request", self.place)).await?;
            Ok::<_, RouteError>((publish, request))
        };
        let (publish, request) = tokio::select! {
            hosted = hosting => hosted?,
            () = &mut driver => {
                return Err(self.cannot_listen(io::Error::from(io::ErrorKind::ConnectionAborted)));
            }
        };
        Ok(Listeners::driven(
            AnyOf::new().and(publish),
            AnyOf::new().and(request),
            driver,
        ))
    }
}

#[cfg(not(feature = "ziti"))]
impl Route {
    fn ziti_dialer(&self) -> Result<AnyDial, RouteError> {
        Err(self.not_built("ziti"))
    }

    async fn ziti_listeners(&self) -> Result<Listeners, RouteError> {
        Err(self.not_built("ziti"))
    }
}

#[cfg(not(all(
    feature = "rendezvous",
    feature = "ws",
    feature = "quic",
    feature = "ziti"
)))]
impl Route {
    fn not_built(&self, feature: &'static str) -> RouteError {
        RouteError::NotBuilt {
            scheme: self.scheme.name(),
            feature,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, request: u16, publish: u16) {
        let route: Route = text.parse().unwrap();
        let master = route.master().unwrap();
        assert_eq!(
            (
                master.host.as_str(),
                master.request_port,
                master.publish_port
            ),
            (host, request, publish),
            "{text}"
        );
        assert_eq!(route.to_string().parse::<Route>().unwrap(), route, "{text}");
    }

    #[test]
    fn routes_are_read_and_written() {
        check("tcp://salt", "salt", 4506, 4505);
        check("tcp://salt:5506/?publish=5505", "salt", 5506, 5505);
        check(
            "tls://[2001:db8::1]:1?ca=/a&certificate=/b&key=/c",
            "2001:db8::1",
            1,
            4505,
        );
        check(
            "wss://salt?ca=/a%20b&certificate=/b&key=/c",
            "salt",
            443,
            443,
        );
        check("ws://salt:8080", "salt", 8080, 8080);
        check("quic://salt?ca=a&certificate=b&key=c", "salt", 4506, 4506);
        check(
            "rendezvous://a.example,b.example:444/fleet-a?ca=a&certificate=b&key=c",
            "fleet-a",
            4506,
            4505,
        );
        check("unix:/run/salt", "/run/salt", 4506, 4505);
        check("unix:///run/salt?mode=0660", "/run/salt", 4506, 4505);
    }

    #[track_caller]
    fn refused(text: &str, says: &str) {
        let error = text.parse::<Route>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }

    #[test]
    fn what_is_no_route_is_refused_with_what_would_be() {
        refused("salt", "begins with none of tcp:");
        refused("carrier-pigeon://salt", "begins with none of tcp:");
        refused("tcp://", "expected a host");
        refused("tcp://salt?ca=x", "`ca`: tcp takes publish");
        refused("tls://salt?ca=a&ca=b", "stands twice");
        refused("tcp://salt?publish=x", "`x` is no port");
        refused("tls://salt?ca=%zz", "not percent-encoded");
        refused("unix:", "no directory");
        refused("ziti:?identity=x", "no directory or service");
        refused("rendezvous://relay", "relay[:port][,relay…]/fleet");
    }

    #[test]
    fn a_host_with_a_port_is_no_route() {
        for text in [
            "salt",
            "salt:4506",
            "192.0.2.7:4506",
            "2001:db8::1",
            "unix:4506",
            "tls",
        ] {
            assert!(!Route::is_meant(text), "{text}");
        }
        for text in ["tcp://salt", "unix:/run/salt", "nonsense://x"] {
            assert!(Route::is_meant(text), "{text}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_missing_file_is_named() {
        let route: Route = "tls://salt?certificate=/none&key=/none".parse().unwrap();
        let error = route.dialer().unwrap_err().to_string();
        assert_eq!(error, "cannot read /none");
        let route: Route = "tls://salt".parse().unwrap();
        let error = route.dialer().unwrap_err().to_string();
        assert_eq!(
            error,
            "parameter `certificate`: tls needs it: a file in PEM"
        );
    }
}
