//! Rendezvous: honest relays, hostile ones, and fleets that meet at them.

mod dark;
mod fleet;
mod frames;
mod hostile;
mod hostile_relay;
mod relay;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use salt_transport::rendezvous::{
    ALPN, Fleet, Frame, Relay, RelayConfig, RelayHandle, RelayLimits, Rendezvous,
};
use salt_transport::{
    Channel, Dial, MasterAddr, Memory, MemoryDial, Tls, TlsConfig, check_streams, memory,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use crate::certificates::Authority;
use crate::support::{soon, tcp, until};

/// The name under which masters are found, and that of their certificates.
const FLEET: &str = "fleet-a";

fn fleet() -> MasterAddr {
    MasterAddr::new(FLEET)
}

/// Hosts by name, each reached through memory.
#[derive(Clone, Default)]
struct Network(Arc<Mutex<HashMap<String, MemoryDial>>>);

impl Network {
    /// A host of this name, in place of the one before.
    fn listen(&self, host: &str) -> Memory {
        let (dial, _publish, request) = memory(64 * 1024);
        self.0.lock().unwrap().insert(host.to_owned(), dial);
        request
    }
}

impl Dial for Network {
    type Stream = DuplexStream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<DuplexStream> {
        let dial = self.0.lock().unwrap().get(&master.host).cloned();
        let dial = dial.ok_or(io::ErrorKind::ConnectionRefused)?;
        Dial::dial(&dial, master, channel).await
    }
}

/// A relay that runs.
struct Running {
    handle: RelayHandle,
    serving: JoinHandle<()>,
}

impl Running {
    /// As a process that is killed.
    async fn kill(self) {
        self.serving.abort();
        assert!(self.serving.await.unwrap_err().is_cancelled());
    }

    async fn until_registered(&self) {
        until(|| self.handle.stats().names == 1).await;
    }
}

/// Two authorities, one for each layer, and a network with relays.
struct Site {
    outer: Authority,
    inner: Authority,
    network: Network,
}

impl Site {
    fn new() -> Self {
        Self {
            outer: Authority::new(),
            inner: Authority::new(),
            network: Network::default(),
        }
    }

    /// An honest relay of this name; the fleet's name belongs to the certificate of the same name.
    fn relay(&self, host: &str) -> Running {
        self.relay_with(host, |_| {})
    }

    fn relay_with(&self, host: &str, change: impl FnOnce(&mut RelayLimits)) -> Running {
        let fleet_b = "fleet-b".parse().unwrap();
        let mut config = RelayConfig::default()
            .fleet(FLEET.parse().unwrap(), Fleet::new(FLEET))
            .fleet(fleet_b, Fleet::new("fleet-b"));
        change(&mut config.limits);
        let listener = self.network.listen(host);
        let relay = Relay::tls(listener, &self.outer.config(host), config).unwrap();
        Running {
            handle: relay.handle(),
            serving: tokio::spawn(relay.serve()),
        }
    }

    fn outer(&self, name: &str) -> TlsConfig {
        self.outer.config(name).protocol(ALPN)
    }

    /// The way to these relays for whoever has this outer certificate.
    fn way(&self, name: &str, relays: &[&str]) -> Rendezvous<Tls<Network>> {
        let dial = Tls::over(self.network.clone(), &self.outer(name)).unwrap();
        Rendezvous::over(dial, relays.iter().map(|relay| MasterAddr::new(*relay)))
    }

    /// A stream to a relay on which nothing was said yet.
    async fn raw(
        &self,
        name: &str,
        relay: &str,
    ) -> impl AsyncRead + AsyncWrite + Send + Unpin + use<> {
        let dial = Tls::over(self.network.clone(), &self.outer(name)).unwrap();
        let relay = MasterAddr::new(relay);
        soon(dial.dial(&relay, Channel::Request)).await.unwrap()
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) {
    stream.write_all(&frame.encode()).await.unwrap();
    stream.flush().await.unwrap();
}

/// The next frame; `None` when the stream ends instead.
async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut bytes = Vec::new();
    loop {
        if let Some((frame, _)) = Frame::decode(&bytes).unwrap() {
            return Some(frame);
        }
        bytes.push(soon(stream.read_u8()).await.ok()?);
    }
}

#[tokio::test]
async fn streams_through_a_relay_behave_over_memory() {
    let site = Site::new();
    let relay = site.relay("relay");
    let (_publish, request, running) = site
        .way(FLEET, &["relay"])
        .host(FLEET.parse().unwrap(), &site.inner.config(FLEET))
        .unwrap();
    let _running = tokio::spawn(running);
    relay.until_registered().await;
    let dial = site.way("web-01", &["relay"]);
    let dial = dial.dial(&site.inner.config("web-01")).unwrap();

    check_streams(dial, request, &fleet()).await.unwrap();

    // Every pair that has ended is forgotten.
    until(|| relay.handle.stats().joined == 0).await;
}

#[tokio::test]
async fn streams_through_a_relay_behave_over_tcp() {
    let site = Site::new();
    let (listener, addr) = tcp().await;
    let config = RelayConfig::default().fleet(FLEET.parse().unwrap(), Fleet::new(FLEET));
    let relay = Relay::tls(listener, &site.outer.config("relay"), config).unwrap();
    let handle = relay.handle();
    let _serving = tokio::spawn(relay.serve());
    let way = |name: &str| {
        let outer = site.outer.config(name).server_name("relay");
        Rendezvous::tls([addr.clone()], &outer).unwrap()
    };
    let (_publish, request, running) = way(FLEET)
        .host(FLEET.parse().unwrap(), &site.inner.config(FLEET))
        .unwrap();
    let _running = tokio::spawn(running);
    until(|| handle.stats().names == 1).await;
    let dial = way("web-01").dial(&site.inner.config("web-01")).unwrap();

    check_streams(dial, request, &fleet()).await.unwrap();
}

#[tokio::test]
async fn each_channel_has_a_listener_and_both_one_control_stream() {
    use salt_transport::Listen as _;

    let site = Site::new();
    let relay = site.relay("relay");
    let (mut publish, mut request, running) = site
        .way(FLEET, &["relay"])
        .host(FLEET.parse().unwrap(), &site.inner.config(FLEET))
        .unwrap();
    let _running = tokio::spawn(running);
    relay.until_registered().await;
    assert_eq!(relay.handle.stats().streams, 1);
    let dial = site.way("web-01", &["relay"]);
    let dial = dial.dial(&site.inner.config("web-01")).unwrap();

    let addr = fleet();
    let (near, far) = tokio::join!(dial.dial(&addr, Channel::Publish), publish.accept());
    let (_near, (_far, peer)) = (near.unwrap(), far.unwrap());
    assert_eq!(peer.name(), Some("web-01"));
    // The relay's words are for the log, and the name is from the inner certificate.
    assert_eq!(
        peer.label,
        "tls web-01 (rendezvous relay:4506 (tls web-01 (memory)))"
    );
    let (near, far) = tokio::join!(dial.dial(&addr, Channel::Request), request.accept());
    let (_near, _far) = (near.unwrap(), far.unwrap());
    assert_eq!(relay.handle.stats().joined, 2);
}

#[tokio::test]
async fn the_listeners_end_with_the_future_and_the_future_with_them() {
    use salt_transport::{AcceptError, Listen as _};

    let site = Site::new();
    let relay = site.relay("relay");
    let way = site.way(FLEET, &["relay"]);
    let host = || way.danger_host_without_inner_tls(FLEET.parse().unwrap());

    let (mut publish, request, running) = host();
    let running = tokio::spawn(running);
    relay.until_registered().await;
    running.abort();
    assert!(running.await.is_err());
    assert!(matches!(publish.accept().await, Err(AcceptError::Closed)));
    drop(request);
    until(|| relay.handle.stats().streams == 0).await;

    let (publish, request, running) = host();
    let running = tokio::spawn(running);
    drop((publish, request));
    soon(running).await.unwrap();
}
