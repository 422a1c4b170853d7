//! QUIC streams.

use std::net::SocketAddr;

use salt_transport::{
    Channel, Dial, HandshakeLimits, Listen, MasterAddr, Quic, TlsConfig, check_streams,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::Authority;
use crate::support::soon;

const MASTER: &str = "salt.example.com";

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn at(address: SocketAddr) -> MasterAddr {
    MasterAddr::new(address.ip().to_string()).ports(address.port(), address.port())
}

#[tokio::test]
async fn quic_behaves() {
    let authority = Authority::new();
    let server = authority.config(MASTER);
    let listeners = Quic::listen(any(), &server, HandshakeLimits::default()).unwrap();
    let addr = at(listeners.address);
    let _accepting = tokio::spawn(listeners.accepting);
    let dial = Quic::new(&authority.config("web-01").server_name(MASTER)).unwrap();
    check_streams(dial, listeners.request, &addr).await.unwrap();
}

#[tokio::test]
async fn both_channels_share_a_connection_and_its_name() {
    let authority = Authority::new();
    let server = authority.config(MASTER);
    let mut listeners = Quic::listen(any(), &server, HandshakeLimits::default()).unwrap();
    let addr = at(listeners.address);
    let _accepting = tokio::spawn(listeners.accepting);
    let dial = Quic::new(&authority.config("web-01").server_name(MASTER)).unwrap();

    let mut bindings = Vec::new();
    for channel in [Channel::Publish, Channel::Request] {
        let listener = match channel {
            Channel::Publish => &mut listeners.publish,
            Channel::Request => &mut listeners.request,
        };
        let (near, far) =
            soon(async { tokio::join!(dial.dial(&addr, channel), listener.accept()) }).await;
        let (mut near, (mut far, peer)) = (near.unwrap(), far.unwrap());
        near.write_all(b"?").await.unwrap();
        assert_eq!(soon(far.read_u8()).await.unwrap(), b'?');
        assert_eq!(peer.name(), Some("web-01"));
        bindings.push(peer.binding.unwrap());
    }
    assert_eq!(bindings.first(), bindings.last());
}

#[tokio::test]
async fn a_master_that_came_back_is_dialed_anew() {
    let authority = Authority::new();
    let server = authority.config(MASTER);
    let listeners = Quic::listen(any(), &server, HandshakeLimits::default()).unwrap();
    let address = listeners.address;
    let addr = at(address);
    let accepting = tokio::spawn(listeners.accepting);
    let dial = Quic::new(&authority.config("web-01").server_name(MASTER)).unwrap();
    soon(dial.dial(&addr, Channel::Request)).await.unwrap();

    drop((listeners.publish, listeners.request));
    soon(accepting).await.unwrap();
    let mut again = Quic::listen(address, &server, HandshakeLimits::default()).unwrap();
    let _accepting = tokio::spawn(again.accepting);
    let near = soon(async {
        loop {
            if let Ok(near) = dial.dial(&addr, Channel::Request).await {
                return near;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let (near, far) = soon(async { tokio::join!(near, again.request.accept()) }).await;
    drop(near);
    far.unwrap();
}

async fn is_refused(client: &TlsConfig, server: &TlsConfig) {
    let listeners = Quic::listen(any(), server, HandshakeLimits::default()).unwrap();
    let addr = at(listeners.address);
    let _accepting = tokio::spawn(listeners.accepting);
    let dial = Quic::new(client).unwrap();
    let used = soon(async {
        let mut stream = dial.dial(&addr, Channel::Request).await?;
        stream.read_u8().await
    })
    .await;
    assert!(used.is_err());
    let mut request = listeners.request;
    let accepted = tokio::time::timeout(std::time::Duration::from_millis(100), request.accept());
    assert!(accepted.await.is_err(), "nothing is handed up");
}

// T-05
#[tokio::test]
async fn strangers_are_refused_both_ways() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let minion = ours.config("web-01").server_name(MASTER);

    let stranger = TlsConfig::new(theirs.identity("web-01"), ours.authorities());
    is_refused(&stranger.server_name(MASTER), &ours.config(MASTER)).await;

    let impostor = TlsConfig::new(theirs.identity(MASTER), ours.authorities());
    is_refused(&minion, &impostor).await;

    is_refused(&minion, &ours.config("other.example.com")).await;
}
