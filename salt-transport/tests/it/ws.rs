//! Tunnels in WebSocket messages, and through an HTTP proxy.

use std::io;

use salt_crypto::Secret;
use salt_transport::{
    Channel, Dial, HandshakeLimits, Listen, MasterAddr, Tcp, ThroughProxy, Tls, TlsAccept, Ws,
    check_streams, memory,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::certificates::Authority;
use crate::support::{soon, tcp};

const MASTER: &str = "salt.example.com";

#[tokio::test]
async fn websockets_behave_plain_and_in_tls() {
    let (dial, _publish, request) = memory(4096);
    let listeners = Ws::accept(request, HandshakeLimits::default());
    let _accepting = tokio::spawn(listeners.accepting);
    check_streams(Ws::over(dial), listeners.request, &MasterAddr::new(MASTER))
        .await
        .unwrap();

    let authority = Authority::new();
    let (listener, addr) = tcp().await;
    let listener = TlsAccept::over(listener, &authority.config(MASTER)).unwrap();
    let listeners = Ws::accept(listener, HandshakeLimits::default());
    let _accepting = tokio::spawn(listeners.accepting);
    let config = authority.config("web-01").server_name(MASTER);
    let dial = Ws::over(Tls::over(Tcp, &config).unwrap());
    check_streams(dial, listeners.request, &addr).await.unwrap();
}

#[tokio::test]
async fn both_channels_come_through_one_port_with_the_name_of_the_certificate() {
    let authority = Authority::new();
    let (listener, addr) = tcp().await;
    let listener = TlsAccept::over(listener, &authority.config(MASTER)).unwrap();
    let mut listeners = Ws::accept(listener, HandshakeLimits::default());
    let _accepting = tokio::spawn(listeners.accepting);
    let config = authority.config("web-01").server_name(MASTER);
    let dial = Ws::over(Tls::over(Tcp, &config).unwrap());

    for (channel, listener) in [
        (Channel::Publish, &mut listeners.publish),
        (Channel::Request, &mut listeners.request),
    ] {
        let (near, far) =
            soon(async { tokio::join!(dial.dial(&addr, channel), listener.accept()) }).await;
        near.unwrap();
        assert_eq!(far.unwrap().1.name(), Some("web-01"));
    }
}

/// What a server answers to some bytes.
async fn answer_to(request: &str) -> String {
    let (dial, _publish, listener) = memory(4096);
    let listeners = Ws::accept(listener, HandshakeLimits::default());
    let _accepting = tokio::spawn(listeners.accepting);
    let mut stream = dial
        .dial(&MasterAddr::new(MASTER), Channel::Request)
        .await
        .unwrap();
    // The server may have hung up already.
    stream.write_all(request.as_bytes()).await.ok();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn other_paths_and_subprotocols_are_refused_as_http_has_it() {
    let upgrade = |path: &str, subprotocol: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        )
    };
    let answer = answer_to(&upgrade("/", "salt-tunnel.1")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = answer_to(&upgrade("/salt-tunnel/request", "chat")).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn what_is_no_websocket_is_dropped() {
    answer_to("\u{1}\u{2}\u{3} not HTTP\r\n\r\n").await;
    answer_to(&format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(5_000))).await;
}

/// A proxy that wants this authorization, and connects to where it is told.
async fn proxy(wants: Option<&'static str>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(near.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                if wants.is_some_and(|wants| !head.contains(wants)) {
                    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                    near.write_all(refusal).await.unwrap();
                    return;
                }
                let target = head.strip_prefix("CONNECT ").unwrap();
                let target = target.split(' ').next().unwrap();
                let mut far = tokio::net::TcpStream::connect(target).await.unwrap();
                near.write_all(b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n")
                    .await
                    .unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far)
                    .await
                    .ok();
            });
        }
    });
    port
}

#[tokio::test]
async fn a_proxy_is_passed() {
    let authority = Authority::new();
    let config = authority.config("web-01").server_name(MASTER);
    // `ann:secret`
    for (wants, secret) in [
        (None, None),
        (Some("Basic YW5uOnNlY3JldA=="), Some("secret")),
    ] {
        let (listener, addr) = tcp().await;
        let listener = TlsAccept::over(listener, &authority.config(MASTER)).unwrap();
        let listeners = Ws::accept(listener, HandshakeLimits::default());
        let _accepting = tokio::spawn(listeners.accepting);
        let mut through = ThroughProxy::new(Tcp, "127.0.0.1", proxy(wants).await);
        if let Some(secret) = secret {
            through = through.credentials("ann", &Secret::new(secret.to_owned()));
        }
        assert!(!format!("{through:?}").contains("YW5u"));
        let dial = Ws::over(Tls::over(through, &config).unwrap());
        check_streams(dial, listeners.request, &addr).await.unwrap();
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_said_in_a_line() {
    let port = proxy(Some("Basic nobody")).await;
    let through = ThroughProxy::new(Tcp, "127.0.0.1", port);
    let error = through
        .dial(&MasterAddr::new("salt.example.com"), Channel::Request)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(
        error.to_string(),
        format!("the proxy 127.0.0.1:{port} answered that it wants a name and a password (407)")
    );
}
