//! N-04: what a peer makes the tunnel hold before it is known, counted by the allocator.
//!
//! A binary with a single test, because the count is the whole process's.

#![cfg(feature = "rendezvous")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use peak_alloc::PeakAlloc;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use salt_transport::rendezvous::{
    Fleet, Frame, Relay, RelayConfig, RelayLimits, Rendezvous, Ticket,
};
use salt_transport::{
    Authorities, Channel, Dial, Listen, MasterAddr, Memory, MemoryDial, TlsConfig, TlsIdentity,
    memory,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const PEERS: usize = 200;
const KIB: usize = 1024;
/// Both directions of a stream in memory, which hold what is on its way: no part of what is counted.
const PIPE: usize = 4 * KIB;

/// Certificates of one authority for both layers.
fn config(name: &str) -> TlsConfig {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let key = key.serialize_pem();
    let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    TlsConfig::new(
        identity,
        Authorities::from_pem(authority.as_bytes()).unwrap(),
    )
}

fn relay_config() -> RelayConfig {
    let mut config = RelayConfig::default().fleet("fleet".parse().unwrap(), Fleet::new("master"));
    config.limits = RelayLimits {
        max_before_go_per_source: 2 * PEERS,
        ..RelayLimits::default()
    };
    config
}

#[test]
fn a_peer_that_is_not_known_yet_makes_a_tunnel_hold_16_kib_at_most() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // The beginning of the longest frame there is; of a TLS record as large as there can be; nothing.
        let long_frame = [b"\x04\x04\x00".as_slice(), &[0; 1020]].concat();
        let record = [
            b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03".as_slice(),
            &[0; 2000],
        ]
        .concat();
        for begin in [b"".as_slice(), &long_frame, &record] {
            for tls in [false, true] {
                let (dial, _publish, request) = memory(PIPE / 2);
                let held = if tls {
                    let relay = Relay::tls(request, &config("relay"), relay_config()).unwrap();
                    held(&dial, begin, relay.serve()).await
                } else {
                    held(&dial, begin, Relay::new(request, relay_config()).serve()).await
                };
                assert!(held <= 16 * KIB + PIPE, "relay, tls {tls}: {held} bytes");
            }
        }
        let held = held_by_offers(&record).await;
        assert!(held <= 16 * KIB + PIPE, "master: {held} bytes");
    });
}

/// What each of many peers that say `begin` makes the one that serves hold.
async fn held(
    dial: &MemoryDial,
    begin: &[u8],
    serving: impl Future<Output = ()> + Send + 'static,
) -> usize {
    let serving = tokio::spawn(serving);
    let any = MasterAddr::new("any");
    let mut peers = Vec::with_capacity(PEERS);
    // What is made once is made by the first.
    let mut first = dial.dial(&any, Channel::Request).await.unwrap();
    first.write_all(begin).await.unwrap();
    settle().await;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    for _ in 0..PEERS {
        let mut peer = dial.dial(&any, Channel::Request).await.unwrap();
        let _closed = peer.write_all(begin).await;
        peers.push(peer);
    }
    settle().await;
    let held = MEMORY.peak_usage().saturating_sub(before);
    drop(peers);
    serving.abort();
    assert!(serving.await.is_err_and(|error| error.is_cancelled()));
    held / PEERS
}

/// The same for a master whose relay offers it peers that are nobody.
async fn held_by_offers(begin: &[u8]) -> usize {
    let (dial, _publish, mut relay) = memory(PIPE / 2);
    let way = Rendezvous::over(dial, [MasterAddr::new("relay")]).waiting(255);
    let (publish, mut request, running) = way
        .host("fleet".parse().unwrap(), &config("fleet"))
        .unwrap();
    let _publish = publish;
    let running = tokio::spawn(running);
    let accepting = tokio::spawn(async move { while request.accept().await.is_err() {} });
    let (mut control, _) = relay.accept().await.unwrap();
    control
        .write_all(&Frame::Registered.encode())
        .await
        .unwrap();
    let mut peers = vec![offered(&mut relay, &mut control, 255, begin).await];
    settle().await;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    for n in 0..PEERS {
        let n = u8::try_from(n).unwrap();
        peers.push(offered(&mut relay, &mut control, n, begin).await);
    }
    settle().await;
    let held = MEMORY.peak_usage().saturating_sub(before);
    running.abort();
    accepting.abort();
    held / PEERS
}

async fn offered(
    relay: &mut Memory,
    control: &mut DuplexStream,
    n: u8,
    begin: &[u8],
) -> DuplexStream {
    let ticket = Ticket::new([n; 32]);
    let offer = Frame::Offer {
        ticket: ticket.clone(),
        channel: Channel::Request,
        from: "nobody".to_owned(),
    };
    control.write_all(&offer.encode()).await.unwrap();
    let (mut peer, _) = relay.accept().await.unwrap();
    let mut take = vec![0; Frame::Take(ticket).encode().len()];
    peer.read_exact(&mut take).await.unwrap();
    peer.write_all(&Frame::Go.encode()).await.unwrap();
    let write = peer.write_all(begin);
    let _closed = tokio::time::timeout(Duration::from_secs(1), write).await;
    peer
}

async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}
