//! The rows of the threat table that concern rendezvous: what a relay can do, and what it cannot.

use std::io;
use std::time::Duration;

use salt_transport::rendezvous::Rendezvous;
use salt_transport::{
    AcceptError, Channel, Dial, Listen, MasterAddr, Peer, Principal, Tls, TlsAccept, TlsConfig,
    memory,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::hostile_relay::{HostileRelay, Passing};
use super::{FLEET, Network, Site, fleet, hear};
use crate::certificates::Authority;
use crate::support::soon;

type Request = TlsAccept<salt_transport::ChannelListen<DuplexStream>>;

/// A master behind this way.
fn host(
    way: &Rendezvous<salt_transport::MemoryDial>,
    inner: &TlsConfig,
) -> (Request, JoinHandle<()>) {
    let (publish, request, running) = way.host(FLEET.parse().unwrap(), inner).unwrap();
    let running = tokio::spawn(async move {
        running.await;
        drop(publish);
    });
    (request, running)
}

#[track_caller]
fn lost<S>(accepted: Result<(S, Peer), AcceptError>) -> String {
    match accepted {
        Err(AcceptError::Peer(error)) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok((_, peer)) => panic!("{peer} was handed up"),
    }
}

/// Runs a minion that says `text` to a master, through a relay that does this; what the master hears.
async fn hears(text: &[u8], passing: Passing) -> io::Result<Vec<u8>> {
    let inner = Authority::new();
    let (relay, way) = HostileRelay::new();
    let _relay = tokio::spawn(relay.serve(passing));
    let (mut request, _running) = host(&way, &inner.config(FLEET));
    let dial = way.dial(&inner.config("web-01")).unwrap();
    let text = text.to_vec();
    let saying = tokio::spawn(async move {
        let mut near = loop {
            // Until the master is registered.
            match dial.dial(&fleet(), Channel::Request).await {
                Ok(near) => break near,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(error) => return Err(error),
            }
        };
        near.write_all(&text).await?;
        near.shutdown().await?;
        near.read_to_end(&mut Vec::new()).await
    });
    let mut heard = Vec::new();
    let read = async {
        let (mut far, _) = match request.accept().await {
            Ok(accepted) => accepted,
            Err(AcceptError::Peer(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        };
        far.read_to_end(&mut heard).await?;
        far.shutdown().await
    };
    soon(read).await?;
    drop(soon(saying).await.unwrap());
    Ok(heard)
}

const MARKER: &[u8] = b"the quick brown fox jumps over the lazy dog";

// Row "reads/alters traffic in the middle": the relay is blind.
#[tokio::test]
async fn traffic_in_the_middle_is_not_read() {
    let passing = Passing::default();
    let text = MARKER.repeat(100);
    let heard = hears(&text, passing.clone()).await.unwrap();
    assert_eq!(heard, text);
    let seen = passing.seen.lock().unwrap();
    assert!(seen.0.len() > text.len(), "the relay saw all of it");
    for bytes in [&seen.0, &seen.1] {
        for secret in [&MARKER[..16], b"web-01"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{}", String::from_utf8_lossy(secret));
        }
    }
}

// Row "reads/alters traffic in the middle": wherever a bit is changed, nothing wrong is heard.
#[tokio::test]
async fn traffic_in_the_middle_is_not_altered() {
    let passing = Passing::default();
    let text = MARKER.repeat(10);
    hears(&text, passing.clone()).await.unwrap();
    let length = passing.seen.lock().unwrap().0.len();
    let (mut tried, mut without_effect) = (0, 0);
    for at in (0..length).step_by(length / 40) {
        let passing = Passing {
            flip: Some(at),
            ..Passing::default()
        };
        tried += 1;
        // A few bytes mean nothing in TLS 1.3, such as a record's version.
        if let Ok(heard) = hears(&text, passing).await {
            assert!(heard == text, "byte {at} of {length}");
            without_effect += 1;
        }
    }
    assert!(without_effect * 10 <= tried, "{without_effect} of {tried}");
}

// Row "truncation goes unnoticed": no.
#[tokio::test]
async fn truncation_does_not_go_unnoticed() {
    let passing = Passing::default();
    let text = MARKER.repeat(1000);
    hears(&text, passing.clone()).await.unwrap();
    let length = passing.seen.lock().unwrap().0.len();
    // During the handshake, amid the text, and in the record that says the end. Signatures differ by some bytes.
    for cut in [100, length / 2, length - 12] {
        let passing = Passing {
            cut: Some(cut),
            ..Passing::default()
        };
        let heard = hears(&text, passing).await;
        let heard = heard.map(|heard| heard.len());
        assert!(heard.is_err(), "cut at {cut} of {length}: {heard:?}");
    }
}

// "refuse, delay, cut, count and time": a delay is a delay, and no more.
#[tokio::test(start_paused = true)]
async fn a_relay_that_delays_is_waited_for_and_no_longer_than_a_handshake_may_take() {
    let passing = Passing {
        delay: Duration::from_secs(2),
        ..Passing::default()
    };
    assert_eq!(hears(MARKER, passing).await.unwrap(), MARKER);
    let passing = Passing {
        delay: Duration::from_secs(11),
        ..Passing::default()
    };
    let error = hears(MARKER, passing).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

// Row "replay of recorded bytes": TLS.
#[tokio::test]
async fn replay_of_recorded_bytes_is_refused() {
    let inner = Authority::new();
    let (mut relay, way) = HostileRelay::new();
    let (mut request, _running) = host(&way, &inner.config(FLEET));
    relay.registered().await;
    let dial = way.dial(&inner.config("web-01")).unwrap();

    let passing = Passing::default();
    let addr = fleet();
    let meeting = async {
        let (near, far) = tokio::join!(dial.dial(&addr, Channel::Request), request.accept());
        let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
        near.write_all(MARKER).await.unwrap();
        near.shutdown().await.unwrap();
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, MARKER);
        far.shutdown().await.unwrap();
    };
    let copying = async {
        let (minion, master) = relay.pair().await;
        passing.clone().copy(minion, master).await;
    };
    soon(async { tokio::join!(meeting, copying) }).await;
    let (from_minion, from_master) = passing.seen.lock().unwrap().clone();

    // A whole session of a minion, once more, to the master.
    let replaying = async {
        let mut master = relay.fetched("web-01").await;
        master.write_all(&from_minion).await.unwrap();
        let mut heard = Vec::new();
        let _ended = master.read_to_end(&mut heard).await;
    };
    let (accepted, ()) = soon(async { tokio::join!(request.accept(), replaying) }).await;
    lost(accepted);

    // And what the master said, to a minion.
    let replaying = async {
        let mut minion = relay.asked().await;
        minion.write_all(b"\x07\x00\x00").await.unwrap();
        minion.write_all(&from_master).await.unwrap();
        let _ended = minion.read_to_end(&mut Vec::new()).await;
    };
    let dialing = dial.dial(&addr, Channel::Request);
    let (dialed, ()) = soon(async { tokio::join!(dialing, replaying) }).await;
    assert!(dialed.is_err());
}

// Row "peer's name known before any Salt byte": from the inner certificate, whoever the relay says it is.
#[tokio::test]
async fn streams_of_two_minions_that_a_relay_swaps_have_their_own_names() {
    let inner = Authority::new();
    let (mut relay, way) = HostileRelay::new();
    let (mut request, _running) = host(&way, &inner.config(FLEET));
    relay.registered().await;
    let addr = fleet();
    let first = way.dial(&inner.config("web-01")).unwrap();
    let second = way.dial(&inner.config("web-02")).unwrap();

    let relaying = async {
        let mut minions = (relay.asked().await, relay.asked().await);
        let mut masters = (relay.fetched("web-01").await, relay.fetched("web-02").await);
        minions.0.write_all(b"\x07\x00\x00").await.unwrap();
        minions.1.write_all(b"\x07\x00\x00").await.unwrap();
        // Each with what was fetched for the other, until both have shaken hands.
        let shaking = async {
            tokio::join!(
                tokio::io::copy_bidirectional(&mut minions.0, &mut masters.1),
                tokio::io::copy_bidirectional(&mut minions.1, &mut masters.0),
            )
        };
        let _unfinished = tokio::time::timeout(Duration::from_millis(500), shaking).await;
        (minions, masters)
    };
    let accepting = async {
        let one = request.accept().await.unwrap();
        let other = request.accept().await.unwrap();
        (one, other)
    };
    let (near, other_near, accepted, streams) = soon(async {
        tokio::join!(
            first.dial(&addr, Channel::Request),
            second.dial(&addr, Channel::Request),
            accepting,
            relaying,
        )
    })
    .await;
    let (mut near, mut other_near) = (near.unwrap(), other_near.unwrap());
    let ((mut far, peer), (mut other_far, other_peer)) = accepted;
    for peer in [&peer, &other_peer] {
        let name = peer.name().unwrap();
        let lie = if name == "web-01" { "web-02" } else { "web-01" };
        // Its label has both: what was proved, and what the relay says.
        assert_eq!(
            peer.label,
            format!("tls {name} (rendezvous hostile:4506 ({lie}))")
        );
        assert!(matches!(
            peer.principal,
            Some(Principal::Certificate { .. })
        ));
    }
    assert_ne!(peer.name(), other_peer.name());
    assert_ne!(peer.binding, other_peer.binding);

    // In the midst of it, nobody hears a byte that was meant for the other.
    let ((mut a, mut b), (mut c, mut d)) = streams;
    let _swapping = tokio::spawn(async move {
        tokio::join!(
            tokio::io::copy_bidirectional(&mut a, &mut c),
            tokio::io::copy_bidirectional(&mut b, &mut d),
        )
    });
    for stream in [&mut near, &mut other_near] {
        stream.write_all(MARKER).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut heard = Vec::new();
    assert!(soon(far.read_to_end(&mut heard)).await.is_err());
    assert!(soon(other_far.read_to_end(&mut heard)).await.is_err());
    assert!(heard.is_empty());
}

// Row "stranger can send a byte to Salt's parser": no, inner TLS first.
#[tokio::test]
async fn garbage_after_go_reaches_nobodys_parser() {
    let inner = Authority::new();
    let (mut relay, way) = HostileRelay::new();
    let (mut request, _running) = host(&way, &inner.config(FLEET));
    relay.registered().await;
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    greeting.resize(64, 0);
    for garbage in [
        greeting,
        vec![0; 70_000],
        b"\x16\x03\x01\xff\xff".repeat(20_000),
    ] {
        let sending = async {
            let mut stream = relay.fetched("garbage").await;
            let _ended = stream.write_all(&garbage).await;
            let _ended = stream.shutdown().await;
            let mut heard = Vec::new();
            let _ended = stream.read_to_end(&mut heard).await;
            // A TLS alert at most.
            assert!(heard.len() <= 7, "{heard:?}");
        };
        let (accepted, ()) = soon(async { tokio::join!(request.accept(), sending) }).await;
        lost(accepted);

        let dial = way.dial(&inner.config("web-01")).unwrap();
        let addr = fleet();
        let sending = async {
            let mut stream = relay.asked().await;
            stream.write_all(b"\x07\x00\x00").await.unwrap();
            let _ended = stream.write_all(&garbage).await;
            let _ended = stream.shutdown().await;
            let _ended = stream.read_to_end(&mut Vec::new()).await;
        };
        let dialing = dial.dial(&addr, Channel::Request);
        let (dialed, ()) = soon(async { tokio::join!(dialing, sending) }).await;
        assert!(dialed.is_err());
    }
}

/// One end of a pair as a dialer or listener, so that a relay can put TLS of its own on it.
struct Only(tokio::sync::Mutex<Option<DuplexStream>>);

impl Only {
    fn new(stream: DuplexStream) -> Self {
        Self(tokio::sync::Mutex::new(Some(stream)))
    }
}

impl Dial for Only {
    type Stream = DuplexStream;

    async fn dial(&self, _: &MasterAddr, _: Channel) -> io::Result<DuplexStream> {
        let stream = self.0.lock().await.take();
        stream.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

impl Listen for Only {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> Result<(DuplexStream, Peer), AcceptError> {
        let stream = self.0.get_mut().take().ok_or(AcceptError::Closed)?;
        Ok((stream, Peer::new("only")))
    }
}

// Row "who must be trusted for secrecy": the own authority, and not the relay.
#[tokio::test]
async fn a_relay_cannot_be_the_master() {
    let (inner, outer) = (Authority::new(), Authority::new());
    let dial_config = inner.config("web-01");
    // Its own authority's word for the name; and a genuine certificate of a minion.
    let forged = TlsConfig::new(outer.identity(FLEET), inner.authorities());
    for (config, says) in [
        (forged, "UnknownIssuer"),
        (inner.config("web-02"), "not valid for name"),
    ] {
        let (mut relay, way) = HostileRelay::new();
        let dial = way.dial(&dial_config).unwrap();
        let posing = async {
            let mut stream = relay.asked().await;
            stream.write_all(b"\x07\x00\x00").await.unwrap();
            let mut posing = TlsAccept::over(Only::new(stream), &config).unwrap();
            posing.accept().await
        };
        let addr = fleet();
        let dialing = dial.dial(&addr, Channel::Request);
        let (dialed, posed) = soon(async { tokio::join!(dialing, posing) }).await;
        let told = dialed.map(drop).unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
        lost(posed);
    }
}

// Row "who must be trusted for secrecy": the own authority, and not the relay.
#[tokio::test]
async fn a_relay_cannot_be_a_minion() {
    let (inner, outer) = (Authority::new(), Authority::new());
    let (mut relay, way) = HostileRelay::new();
    let (mut request, _running) = host(&way, &inner.config(FLEET));
    relay.registered().await;
    let forged = TlsConfig::new(outer.identity("web-01"), inner.authorities());
    let posing = async {
        let stream = relay.fetched("web-01").await;
        let dial = Tls::over(Only::new(stream), &forged).unwrap();
        let mut stream = dial.dial(&fleet(), Channel::Request).await?;
        stream.read_u8().await
    };
    let (accepted, posed) = soon(async { tokio::join!(request.accept(), posing) }).await;
    assert!(lost(accepted).contains("UnknownIssuer"));
    assert!(posed.is_err());
}

// Row "forward secrecy": TLS 1.3 or nothing.
#[tokio::test]
async fn a_relay_cannot_talk_anybody_down_to_an_older_tls() {
    let inner = Authority::new();
    let (mut relay, way) = HostileRelay::new();
    let (mut request, _running) = host(&way, &inner.config(FLEET));
    relay.registered().await;
    let mut roots = rustls::RootCertStore::empty();
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(inner.pem().as_bytes());
    roots.add(der.unwrap()).unwrap();
    let old = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::aws_lc_rs::default_provider().into(),
    )
    .with_protocol_versions(&[&rustls::version::TLS12])
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let posing = async {
        let stream = relay.fetched("web-01").await;
        let name = rustls::pki_types::ServerName::try_from(FLEET).unwrap();
        tokio_rustls::TlsConnector::from(std::sync::Arc::new(old))
            .connect(name, stream)
            .await
    };
    let (accepted, posed) = soon(async { tokio::join!(request.accept(), posing) }).await;
    lost(accepted);
    let told = posed.map(drop).unwrap_err().to_string();
    assert!(told.contains("ProtocolVersion"), "{told}");
}

// Row "flood": the master sees only offers, capped, and other relays are not touched.
#[tokio::test]
async fn a_flood_of_offers_is_capped_and_blocks_no_other_relay() {
    let site = Site::new();
    let good = site.relay("good");
    let mut flooding = site.network.listen("flooding");
    // No TLS to the hostile one, or it would need a certificate: the outer layer is not what is tried.
    let network = ByHost(site.network.clone(), site.outer(FLEET));
    let relays = ["flooding", "good"].map(MasterAddr::new);
    let (_publish, mut request, running) = Rendezvous::over(network, relays)
        .waiting(4)
        .host(FLEET.parse().unwrap(), &site.inner.config(FLEET))
        .unwrap();
    let _running = tokio::spawn(running);
    good.until_registered().await;

    let (mut control, _) = soon(flooding.accept()).await.unwrap();
    hear(&mut control).await.unwrap();
    control.write_all(b"\x02\x00\x00").await.unwrap();
    let flood = tokio::spawn(async move {
        let mut offer = vec![4, 0, 33];
        offer.extend([7; 33]);
        offer[35] = 0;
        for _ in 0..10_000 {
            control.write_all(&offer).await.unwrap();
        }
        control
    });
    let control = soon(flood).await.unwrap();

    let dial = site.way("web-01", &["good"]);
    let dial = dial.dial(&site.inner.config("web-01")).unwrap();
    let addr = fleet();
    let (near, far) =
        soon(async { tokio::join!(dial.dial(&addr, Channel::Request), request.accept()) }).await;
    near.unwrap();
    assert_eq!(far.unwrap().1.name(), Some("web-01"));
    // Ten thousand offers, and as many data streams as may wait.
    let mut fetched = Vec::new();
    while let Ok(Ok(accepted)) =
        tokio::time::timeout(Duration::from_millis(200), flooding.accept()).await
    {
        fetched.push(accepted);
    }
    assert_eq!(fetched.len(), 4);
    drop(control);
}

/// Dials honest relays with TLS, and the others plainly.
struct ByHost(Network, TlsConfig);

impl Dial for ByHost {
    type Stream = salt_transport::AnyStream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<Self::Stream> {
        let plain = salt_transport::AnyDial::new(self.0.clone());
        if master.host == "good" {
            let stream = Tls::over(plain, &self.1)
                .unwrap()
                .dial(master, channel)
                .await?;
            return Ok(salt_transport::AnyStream::new(stream));
        }
        plain.dial(master, channel).await
    }
}

// "refuse, delay, cut, count and time": a relay that drops all it gets costs only time.
#[tokio::test]
async fn a_relay_that_drops_blocks_no_other() {
    let site = Site::new();
    let good = site.relay("good");
    let mut dropping = site.network.listen("dropping");
    let _dropping = tokio::spawn(async move { while dropping.accept().await.is_ok() {} });
    let (_publish, mut request, running) = site
        .way(FLEET, &["dropping", "good"])
        .host(FLEET.parse().unwrap(), &site.inner.config(FLEET))
        .unwrap();
    let _running = tokio::spawn(running);
    good.until_registered().await;
    let addr = fleet();

    let both = site.way("web-01", &["dropping", "good"]);
    let both = both.dial(&site.inner.config("web-01")).unwrap();
    let (near, far) =
        soon(async { tokio::join!(both.dial(&addr, Channel::Request), request.accept()) }).await;
    near.unwrap();
    far.unwrap();

    let alone = site.way("web-01", &["dropping"]);
    let alone = alone.dial(&site.inner.config("web-01")).unwrap();
    let error = soon(alone.dial(&addr, Channel::Request)).await;
    let told = error.map(drop).unwrap_err().to_string();
    assert!(
        told.starts_with("no way to `fleet-a`; relay dropping:4506: "),
        "{told}"
    );
}

// Row "code exposed to strangers": what a relay may say to a master before `Go` is nine bounded frames.
#[tokio::test]
async fn a_relay_that_says_what_no_relay_says_is_left() {
    for said in [
        b"\x04\xff\xff".as_slice(),
        b"\x0a\x00\x00",
        b"HTTP/1.1 200 OK\r\n",
        b"\x07\x00\x00",
        b"\x06\x00\x01\x02",
    ] {
        let (dial, _publish, mut listener) = memory(64 * 1024);
        let way = Rendezvous::over(dial, [MasterAddr::new("hostile")]);
        let (_publish, _request, running) =
            way.danger_host_without_inner_tls(FLEET.parse().unwrap());
        let _running = tokio::spawn(running);
        let (mut control, _) = soon(listener.accept()).await.unwrap();
        hear(&mut control).await.unwrap();
        control.write_all(said).await.unwrap();
        // It closes, and comes again later.
        let mut rest = Vec::new();
        soon(control.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
        soon(listener.accept()).await.unwrap();

        let mut asking = tokio::spawn(async move {
            let dial = way.danger_dial_without_inner_tls();
            dial.dial(&fleet(), Channel::Request).await.map(drop)
        });
        let mut held = Vec::new();
        let error = soon(async {
            loop {
                tokio::select! {
                    done = &mut asking => break done.unwrap(),
                    accepted = listener.accept() => {
                        let (mut stream, _) = accepted.unwrap();
                        // `Go` is what a minion waits for; everything else ends it.
                        let said = if said == b"\x07\x00\x00" { b"\x02\x00\x00" } else { said };
                        stream.write_all(said).await.unwrap();
                        held.push(stream);
                    }
                }
            }
        })
        .await;
        let told = error.unwrap_err().to_string();
        assert!(!told.contains('\n'), "{told}");
    }
}
