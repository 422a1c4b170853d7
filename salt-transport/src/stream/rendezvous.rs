//! Rendezvous: master and minions both dial out, and meet at a relay.
//!
//! ```text
//! master ──TLS──► relay ◄──TLS── minion         outer TLS: who may use the relay
//!    └═══════ inner TLS 1.3, mutual ═══════┘    inner TLS: who talks to whom
//! ```
//!
//! The master owns no listening socket. It keeps a control stream at every relay, under a name that the relay gives
//! to its certificate alone; a minion asks a relay for the name, the relay offers it to the master, and the master
//! fetches it with a second stream. From then on the relay copies bytes, which are TLS between the two: it can
//! refuse, delay, cut, count and time, but neither read nor alter nor replay nor be one of them.
//!
//! [`Rendezvous`] makes both ends, [`Relay`] is the place where they meet.
//!
//! ```
//! # use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as For, IsCa, Issuer, KeyPair};
//! use salt_transport::rendezvous::{Fleet, Relay, RelayConfig, Rendezvous};
//! use salt_transport::{Authorities, Channel, Dial, Listen, MasterAddr, Tcp, TlsConfig, TlsIdentity};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # fn authority() -> (Issuer<'static, KeyPair>, String) {
//! #     let mut params = CertificateParams::default();
//! #     params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
//! #     let key = KeyPair::generate().unwrap();
//! #     let pem = params.self_signed(&key).unwrap().pem();
//! #     (Issuer::new(params, key), pem)
//! # }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (issuer, ca) = authority();
//! # let of = |name: &str| -> Result<TlsConfig, Box<dyn std::error::Error>> {
//! #     let mut params = CertificateParams::new([name.to_owned()])?;
//! #     params.extended_key_usages = vec![For::ClientAuth, For::ServerAuth];
//! #     let key = KeyPair::generate()?;
//! #     let pem = params.signed_by(&key, &issuer)?.pem();
//! #     let identity = TlsIdentity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes())?;
//! #     Ok(TlsConfig::new(identity, Authorities::from_pem(ca.as_bytes())?))
//! # };
//! // `of(name)` is a certificate of that name; here one authority made those for both layers.
//! let listener = Tcp::bind("127.0.0.1:0").await?;
//! let port = listener.local_addr()?.port();
//! let config = RelayConfig::default().fleet("fleet-a".parse()?, Fleet::new("fleet-a"));
//! tokio::spawn(Relay::tls(listener, &of("relay.example")?, config)?.serve());
//! let relay = || [MasterAddr::new("127.0.0.1").ports(port, port)];
//!
//! let outer = of("fleet-a")?.server_name("relay.example");
//! let (_publish, mut request, running) =
//!     Rendezvous::tls(relay(), &outer)?.host("fleet-a".parse()?, &of("fleet-a")?)?;
//! tokio::spawn(running);
//!
//! let outer = of("web-01")?.server_name("relay.example");
//! let dial = Rendezvous::tls(relay(), &outer)?.dial(&of("web-01")?)?;
//! tokio::spawn(async move {
//!     let (mut far, peer) = request.accept().await.unwrap();
//!     assert_eq!(peer.name(), Some("web-01"));
//!     far.write_all(b"hello").await.unwrap();
//!     far.shutdown().await.unwrap();
//! });
//! let mut near = loop {
//!     match dial.dial(&MasterAddr::new("fleet-a"), Channel::Request).await {
//!         Ok(near) => break near,
//!         // The master is not registered yet.
//!         Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
//!     }
//! };
//! let mut heard = String::new();
//! near.read_to_string(&mut heard).await?;
//! assert_eq!(heard, "hello");
//! # Ok(()) }
//! ```

mod control;
mod dial;
mod failure;
mod frame;
mod io;
mod listen;
mod relay;

use std::future::Future;
use std::sync::Arc;

use super::{ChannelListen, Dial, Tcp, Tls, TlsAccept, TlsConfig, TlsError};
use crate::address::MasterAddr;

pub use dial::RendezvousDial;
pub use frame::{FleetName, Frame, FrameError, Refusal, Ticket};
pub use relay::{Fleet, Minions, Relay, RelayConfig, RelayHandle, RelayLimits, RelayStats};

/// The application protocol (ALPN, RFC 7301) of the outer TLS.
pub const ALPN: &[u8] = b"salt-rendezvous/1";

/// The outer TLS insists on being a relay's.
fn outer(config: &TlsConfig) -> TlsConfig {
    config.clone().protocol(ALPN)
}

/// A way to relays, and both ends that use it.
///
/// What [`dial`](Self::dial) and [`host`](Self::host) make has TLS between minion and master inside, so that the
/// relay is trusted with nothing. Its certificates may come from other authorities than those of the outer TLS, and
/// should: who runs the relay needs no say in who is a minion.
#[derive(Clone, Debug)]
pub struct Rendezvous<D> {
    dial: Arc<D>,
    relays: Vec<MasterAddr>,
    waiting: u8,
}

impl Rendezvous<Tls<Tcp>> {
    /// Relays behind TLS, each at the request port of its address. Every relay's certificate has to carry its host,
    /// or [`TlsConfig::server_name`].
    ///
    /// # Errors
    ///
    /// Certificate and key do not belong together.
    pub fn tls(
        relays: impl IntoIterator<Item = MasterAddr>,
        config: &TlsConfig,
    ) -> Result<Self, TlsError> {
        Ok(Self::over(Tls::over(Tcp, &outer(config))?, relays))
    }
}

impl<D: Dial> Rendezvous<D> {
    /// Relays that some dialer reaches.
    pub fn over(dial: D, relays: impl IntoIterator<Item = MasterAddr>) -> Self {
        Self {
            dial: Arc::new(dial),
            relays: relays.into_iter().collect(),
            waiting: u8::MAX,
        }
    }

    /// How many peers a master lets wait at each relay, and fetches at a time. Default 255, at least 1.
    #[must_use]
    pub fn waiting(self, waiting: u8) -> Self {
        Self { waiting, ..self }
    }

    /// The minion's end: dials the master whose name at the relays is the address's host, with TLS inside.
    ///
    /// The master's inner certificate has to carry that name, or [`TlsConfig::server_name`].
    ///
    /// # Errors
    ///
    /// Certificate and key do not belong together.
    pub fn dial(&self, inner: &TlsConfig) -> Result<Tls<RendezvousDial<D>>, TlsError> {
        Tls::over(self.danger_dial_without_inner_tls(), inner)
    }

    /// The master's end: the listeners of the publish and of the request channel, with TLS inside, and the future
    /// that keeps a control stream at every relay.
    ///
    /// Nobody is met until the future runs. It ends when both listeners are dropped; when it is dropped, the
    /// listeners end, and what was accepted goes on.
    ///
    /// # Errors
    ///
    /// Certificate and key do not belong together, or there is no authority to check minions by.
    #[expect(
        clippy::type_complexity,
        reason = "two listeners of one kind and a future"
    )]
    pub fn host(
        &self,
        name: FleetName,
        inner: &TlsConfig,
    ) -> Result<
        (
            TlsAccept<ChannelListen<D::Stream>>,
            TlsAccept<ChannelListen<D::Stream>>,
            impl Future<Output = ()> + Send + use<D>,
        ),
        TlsError,
    > {
        let (publish, request, running) = self.danger_host_without_inner_tls(name);
        let publish = TlsAccept::over(publish, inner)?;
        let request = TlsAccept::over(request, inner)?;
        Ok((publish, request, running))
    }

    /// The minion's end without TLS inside: the relay reads and forges what it likes, as far as Salt's own
    /// cryptography lets it. For putting something else over it.
    pub fn danger_dial_without_inner_tls(&self) -> RendezvousDial<D> {
        RendezvousDial::new(Arc::clone(&self.dial), self.relays.clone())
    }

    /// The master's end without TLS inside: the relay reads and forges what it likes, as far as Salt's own
    /// cryptography lets it, and nobody is known by name. For putting something else over it.
    pub fn danger_host_without_inner_tls(
        &self,
        name: FleetName,
    ) -> (
        ChannelListen<D::Stream>,
        ChannelListen<D::Stream>,
        impl Future<Output = ()> + Send + use<D>,
    ) {
        let (dial, relays) = (Arc::clone(&self.dial), self.relays.clone());
        listen::host(dial, relays, name, self.waiting)
    }
}
