//! TLS over streams: who gets in, who does not, and what the master is told of who did.

use std::io;
use std::time::Duration;

use salt_transport::{
    AcceptError, Channel, Dial, HandshakeLimits, Listen, MasterAddr, Memory, MemoryDial, Peer,
    Principal, Tls, TlsAccept, TlsConfig, TlsIdentity, check_streams, memory,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::Authority;
use crate::support::{soon, tcp};

const MASTER: &str = "salt.example.com";

fn master() -> MasterAddr {
    MasterAddr::new(MASTER)
}

/// What both sides see of one connection.
async fn meet(
    client: &TlsConfig,
    server: &TlsConfig,
) -> (io::Result<()>, Result<Peer, AcceptError>) {
    let (dial, _publish, request) = memory(64 * 1024);
    let dial = Tls::over(dial, client).unwrap();
    let mut listener = TlsAccept::over(request, server).unwrap();
    let dialing = async {
        let mut stream = dial.dial(&master(), Channel::Request).await?;
        // With TLS 1.3 a client learns that it was refused from what it reads.
        stream.write_all(b"?").await?;
        stream.read_exact(&mut [0; 1]).await.map(drop)
    };
    let accepting = async {
        let (mut stream, peer) = listener.accept().await?;
        stream
            .read_exact(&mut [0; 1])
            .await
            .map_err(AcceptError::Peer)?;
        stream.write_all(b"!").await.map_err(AcceptError::Peer)?;
        stream.flush().await.map_err(AcceptError::Peer)?;
        Ok(peer)
    };
    soon(async { tokio::join!(dialing, accepting) }).await
}

#[tokio::test]
async fn tls_behaves_over_memory_and_tcp() {
    let authority = Authority::new();
    let (client, server) = (authority.config("web-01"), authority.config(MASTER));

    let (dial, _publish, request) = memory(4096);
    let dial = Tls::over(dial, &client).unwrap();
    let listener = TlsAccept::over(request, &server).unwrap();
    check_streams(dial, listener, &master()).await.unwrap();

    let (listener, addr) = tcp().await;
    let dial = Tls::over(salt_transport::Tcp, &client.server_name(MASTER)).unwrap();
    let listener = TlsAccept::over(listener, &server).unwrap();
    check_streams(dial, listener, &addr).await.unwrap();
}

#[tokio::test]
async fn the_master_is_told_the_name_of_the_certificate() {
    let authority = Authority::new();
    let (client, server) = (authority.config("web-01"), authority.config(MASTER));

    let (near, far) = meet(&client, &server).await;

    near.unwrap();
    let peer = far.unwrap();
    assert_eq!(peer.name(), Some("web-01"));
    assert!(matches!(
        peer.principal,
        Some(Principal::Certificate { .. })
    ));
    assert!(peer.binding.is_some());
    assert_eq!(peer.label, "tls web-01 (memory)");
}

#[tokio::test]
async fn each_connection_has_a_binding_of_its_own() {
    let authority = Authority::new();
    let (client, server) = (authority.config("web-01"), authority.config(MASTER));

    let first = meet(&client, &server).await.1.unwrap().binding;
    let second = meet(&client, &server).await.1.unwrap().binding;

    assert_ne!(first, second);
}

/// Neither side gets a byte of the other, and both say why.
#[track_caller]
fn refused(met: (io::Result<()>, Result<Peer, AcceptError>), client_says: &str, server_says: &str) {
    let (near, far) = met;
    let near = near.unwrap_err().to_string();
    let far = match far.unwrap_err() {
        AcceptError::Peer(error) => error.to_string(),
        other => other.to_string(),
    };
    assert!(near.contains(client_says), "the client says: {near}");
    assert!(far.contains(server_says), "the server says: {far}");
}

// T-05
#[tokio::test]
async fn a_minion_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let stranger = TlsConfig::new(theirs.identity("web-01"), ours.authorities());
    let met = meet(&stranger, &ours.config(MASTER)).await;
    refused(met, "UnknownCA", "UnknownIssuer");
}

// T-05
#[tokio::test]
async fn a_master_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let impostor = TlsConfig::new(theirs.identity(MASTER), ours.authorities());
    let met = meet(&ours.config("web-01"), &impostor).await;
    refused(met, "UnknownIssuer", "UnknownCA");
}

// T-05
#[tokio::test]
async fn expired_certificates_are_refused() {
    let authority = Authority::new();
    let expired = |name: &str| {
        let (certificate, key) = authority.issue(name, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        });
        let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        TlsConfig::new(identity, authority.authorities())
    };
    let met = meet(&expired("web-01"), &authority.config(MASTER)).await;
    refused(met, "CertificateExpired", "expired");
    let met = meet(&authority.config("web-01"), &expired(MASTER)).await;
    refused(met, "expired", "CertificateExpired");
}

// T-05
#[tokio::test]
async fn a_master_with_another_name_is_refused() {
    let authority = Authority::new();
    let met = meet(
        &authority.config("web-01"),
        &authority.config("other.example.com"),
    )
    .await;
    refused(met, "not valid for name", "");
}

// T-05
#[tokio::test]
async fn certificates_are_for_what_they_were_made_for() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(MASTER, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let minion_as_master = TlsConfig::new(identity, authority.authorities());
    let met = meet(&authority.config("web-01"), &minion_as_master).await;
    refused(met, "certificate", "");
}

#[tokio::test]
async fn a_protocol_that_is_insisted_on_has_to_be_offered() {
    let authority = Authority::new();
    let (plain, server) = (authority.config("web-01"), authority.config(MASTER));
    let insisting = server.clone().protocol(b"salt-test/1");

    let (near, far) = meet(&plain.clone().protocol(b"salt-test/1"), &insisting).await;
    near.unwrap();
    far.unwrap();

    let met = meet(&plain, &insisting).await;
    assert!(met.0.is_err());
    let said = met.1.unwrap_err();
    assert!(matches!(said, AcceptError::Peer(error) if error.to_string().contains("salt-test/1")));

    let (near, _far) = meet(&plain.protocol(b"salt-test/1"), &server).await;
    assert!(near.unwrap_err().to_string().contains("salt-test/1"));
}

// T-05
#[tokio::test]
async fn a_minion_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let (dial, _publish, request) = memory(64 * 1024);
    let mut listener = TlsAccept::over(request, &authority.config(MASTER)).unwrap();
    let accepting = listener.accept();
    let bare = async {
        let mut roots = rustls::RootCertStore::empty();
        let der = rustls::pki_types::pem::PemObject::from_pem_slice(authority.pem().as_bytes());
        roots.add(der.unwrap()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = dial.dial(&master(), Channel::Request).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from(MASTER).unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.read(&mut [0; 1]).await.unwrap_err()
    };
    let (accepted, told) = soon(async { tokio::join!(accepting, bare) }).await;
    assert!(matches!(accepted, Err(AcceptError::Peer(_))));
    assert!(told.to_string().contains("CertificateRequired"), "{told}");
}

// T-05
#[tokio::test]
async fn plain_bytes_on_a_tls_port_are_refused_and_answered_by_nothing_of_salt() {
    let authority = Authority::new();
    let (dial, _publish, request) = memory(64 * 1024);
    let mut listener = TlsAccept::over(request, &authority.config(MASTER)).unwrap();
    let plain = async {
        let mut stream = dial.dial(&master(), Channel::Request).await.unwrap();
        // A ZeroMQ greeting.
        let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
        greeting.resize(64, 0);
        stream.write_all(&greeting).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let (accepted, heard) = soon(async { tokio::join!(listener.accept(), plain) }).await;
    assert!(matches!(accepted, Err(AcceptError::Peer(_))));
    // One TLS alert at most.
    assert!(
        heard.len() <= 7 && heard.first().is_none_or(|first| *first == 21),
        "{heard:?}"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_peer_that_does_not_shake_hands() {
    let authority = Authority::new();
    let (dial, _publish, request) = memory(64 * 1024);
    let silent: Vec<_> = silent(&dial, 50).await;
    let dial = Tls::over(dial, &authority.config("web-01")).unwrap();
    let mut listener = TlsAccept::over(request, &authority.config(MASTER)).unwrap();

    let addr = master();
    let (near, far) =
        soon(async { tokio::join!(dial.dial(&addr, Channel::Request), listener.accept()) }).await;

    near.unwrap();
    assert_eq!(far.unwrap().1.name(), Some("web-01"));
    drop(silent);
}

async fn silent(dial: &MemoryDial, count: usize) -> Vec<tokio::io::DuplexStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(dial.dial(&master(), Channel::Request).await.unwrap());
    }
    streams
}

#[tokio::test(start_paused = true)]
async fn handshakes_have_a_deadline() {
    let authority = Authority::new();
    let (dial, _publish, request) = memory(64 * 1024);
    let _silent = silent(&dial, 1).await;
    let mut listener = TlsAccept::over(request, &authority.config(MASTER)).unwrap();

    let begun = tokio::time::Instant::now();
    let error = listener.accept().await.unwrap_err();

    assert!(matches!(error, AcceptError::Peer(error) if error.kind() == io::ErrorKind::TimedOut));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

// T-07
#[tokio::test]
async fn more_handshakes_than_allowed_end_the_oldest() {
    let authority = Authority::new();
    let (dial, _publish, request): (_, Memory, _) = memory(64 * 1024);
    let mut silent = silent(&dial, 5).await;
    let limits = HandshakeLimits {
        max: 4,
        ..HandshakeLimits::default()
    };
    let config = authority.config(MASTER);
    let mut listener = TlsAccept::with_limits(request, &config, limits).unwrap();

    let oldest = silent.first_mut().unwrap();
    let mut byte = [0; 1];
    let ended = soon(async {
        tokio::select! {
            _ = listener.accept() => panic!("nobody shook hands"),
            read = oldest.read(&mut byte) => read,
        }
    })
    .await;

    assert_eq!(ended.unwrap(), 0);
}
