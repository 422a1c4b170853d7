//! OpenZiti, by an overlay in this process: enrolment, log-in, dialing, hosting, and what may go wrong.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rand::SeedableRng as _;
use salt_proto::{Job, MemoryKeyStore, Target};
use salt_transport::ziti::{self, Identity, ZitiError};
use salt_transport::{
    AcceptError, Channel, Dial as _, Listen as _, Master, MasterAddr, Minion, Peer, Principal,
    RequestChannel, ServeLimits, check_streams, peer_is_minion,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::checks;
use crate::overlay::Overlay;
use crate::support::{WIRES, ask, echo, envelope, soon, until};

/// An identity that has joined, with its driver running.
fn joined(overlay: &Overlay, name: &str) -> ziti::Overlay {
    join(overlay.identity(name))
}

fn join(identity: Identity) -> ziti::Overlay {
    let (joined, driver) = ziti::connect(identity);
    tokio::spawn(driver);
    joined
}

/// A dialed stream and its other end.
async fn meet(
    dialer: &ziti::Overlay,
    listener: &mut ziti::Listener,
) -> (ziti::Stream, ziti::Stream, Peer) {
    soon(async {
        let dialing = async { dialer.dial("salt-request").await.unwrap() };
        let (near, far) = tokio::join!(dialing, listener.accept());
        let (far, peer) = far.unwrap();
        (near, far, peer)
    })
    .await
}

/// 100 KiB each way, and then one half after the other ends.
async fn exchange(near: &mut ziti::Stream, far: &mut ziti::Stream) {
    let there: Vec<u8> = (0..25_600_u32).flat_map(u32::to_le_bytes).collect();
    let back: Vec<u8> = there.iter().rev().copied().collect();
    soon(async {
        let (mut first, mut second) = (vec![0; there.len()], vec![0; back.len()]);
        let (mut near_read, mut near_write) = tokio::io::split(&mut *near);
        let (mut far_read, mut far_write) = tokio::io::split(&mut *far);
        tokio::try_join!(
            near_write.write_all(&there),
            far_write.write_all(&back),
            far_read.read_exact(&mut first),
            near_read.read_exact(&mut second),
        )
        .unwrap();
        assert!(first == there && second == back);
    })
    .await;
    half_close(near, far).await;
}

async fn half_close(
    near: &mut (impl AsyncRead + AsyncWrite + Unpin),
    far: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    soon(async {
        near.write_all(b"last words").await.unwrap();
        near.shutdown().await.unwrap();
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        far.write_all(b"answer").await.unwrap();
        far.shutdown().await.unwrap();
        heard.clear();
        near.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
    })
    .await;
}

#[tokio::test]
async fn a_dialer_reaches_a_host_and_the_router_says_who_it_is() {
    let overlay = Overlay::start(1).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();

    let (mut near, mut far, peer) = meet(&minion, &mut listener).await;

    let Some(Principal::Overlay { name, id }) = &peer.principal else {
        panic!("{peer:?}");
    };
    assert_eq!(name, "web-01");
    assert_eq!(peer.label, format!("ziti web-01 (id {id})"));
    exchange(&mut near, &mut far).await;
    assert_eq!(overlay.not_understood(), [""; 0]);
    // Both have measured how far the router is.
    until(|| overlay.counts().probes == 2).await;
}

// N-03
#[tokio::test]
async fn what_a_dialer_says_of_itself_is_never_its_name() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| behaviour.hide_dialers = true);
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();

    let (_near, _far, peer) = meet(&minion, &mut listener).await;

    assert_eq!(peer.principal, None);
    assert_eq!(peer.label, "ziti, unnamed (it says it is web-01)");
}

#[tokio::test]
async fn routers_as_in_2022_are_served_too() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| behaviour.as_in_2022 = true);
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    for _ in 0..3 {
        let (mut near, mut far, _) = meet(&minion, &mut listener).await;
        exchange(&mut near, &mut far).await;
    }
}

#[tokio::test]
async fn services_without_encryption_are_encrypted_all_the_same_between_us() {
    let overlay = Overlay::start(1).await;
    overlay.service("plain", false);
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("plain")).await.unwrap();
    let dialing = async { minion.dial("plain").await.unwrap() };
    let (mut near, far) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
    exchange(&mut near, &mut far.unwrap().0).await;
}

#[tokio::test]
async fn streams_of_an_overlay_behave() {
    let overlay = Overlay::start(2).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let listener = soon(master.host("salt-request")).await.unwrap();
    let dialer = minion.dialer();
    let checked = check_streams(dialer, listener, &MasterAddr::new("salt")).await;
    checked.unwrap();
}

#[tokio::test]
async fn the_host_of_an_address_names_the_services() {
    let overlay = Overlay::start(1).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut publish = soon(master.host("salt-publish")).await.unwrap();
    let addr = MasterAddr::new("salt");
    let dialer = minion.dialer();
    let dialing = dialer.dial(&addr, Channel::Publish);
    let (near, far) = soon(async { tokio::join!(dialing, publish.accept()) }).await;
    half_close(&mut near.unwrap(), &mut far.unwrap().0).await;

    let named = minion.dialer_to("salt-publish", "nowhere");
    let any = MasterAddr::new("any");
    let dialing = named.dial(&any, Channel::Publish);
    let (near, far) = soon(async { tokio::join!(dialing, publish.accept()) }).await;
    half_close(&mut near.unwrap(), &mut far.unwrap().0).await;
}

#[tokio::test]
async fn errors_say_in_one_line_what_is_wrong() {
    let overlay = Overlay::start(1).await;
    overlay.service("forbidden", true);
    let minion = joined(&overlay, "web-01");
    let error = soon(minion.dial("nothere")).await.unwrap_err();
    assert!(matches!(&error, ZitiError::ServiceUnknown(name) if name == "nothere"));
    let error = soon(minion.dial("forbidden")).await.unwrap_err();
    assert!(matches!(error, ZitiError::NotPermitted { act: "dial", .. }));
    let error = soon(minion.host("forbidden")).await.unwrap_err();
    assert!(matches!(error, ZitiError::NotPermitted { act: "host", .. }));

    let addr = MasterAddr::new("salt");
    let error = soon(minion.dialer().dial(&addr, Channel::Request))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(error.to_string(), "nobody hosts the service `salt-request`");
}

#[tokio::test]
async fn an_identity_of_another_overlay_is_refused() {
    let (overlay, other) = (Overlay::start(1).await, Overlay::start(1).await);
    let file = other
        .identity_file("web-01")
        .replace(&other.url(), &overlay.url());
    let file = ziti::IdentityFile::parse(file.as_bytes()).unwrap();
    let stranger = join(Identity::from_file(&file, std::path::Path::new("")).unwrap());
    let error = soon(stranger.log_in()).await.unwrap_err();
    assert!(
        error.to_string().contains("invalid peer certificate"),
        "{error}"
    );
}

#[tokio::test]
async fn an_identity_that_was_deleted_is_told_to_enrol_again() {
    for oidc in [false, true] {
        let overlay = Overlay::start(1).await;
        overlay.behave(|behaviour| behaviour.oidc = oidc);
        let deleted = joined(&overlay, "deleted");
        overlay.forget_identity("deleted");
        let error = soon(deleted.log_in()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the controller does not let this identity log in (status 401: INVALID_AUTH the test overlay says no): if \
             it was deleted or its certificate has run out, enrol it again"
        );
    }
}

#[tokio::test]
async fn a_controller_that_is_gone_is_said_to_be_gone() {
    let overlay = Overlay::start(1).await;
    let identity = overlay.identity("web-01");
    drop(overlay);
    tokio::task::yield_now().await;
    let error = soon(join(identity).dial("salt-request")).await.unwrap_err();
    assert!(matches!(error, ZitiError::Controller(_)), "{error}");
}

#[tokio::test]
async fn a_service_on_a_later_page_is_found() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| behaviour.small_pages = true);
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    meet(&minion, &mut listener).await;
}

#[tokio::test]
async fn lost_log_ins_and_sessions_are_got_again() {
    let overlay = Overlay::start(1).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    meet(&minion, &mut listener).await;
    let before = overlay.counts();

    overlay.forget_sessions();
    meet(&minion, &mut listener).await;
    assert_eq!(overlay.counts().sessions, before.sessions + 1);

    overlay.forget_sessions();
    overlay.forget_log_ins();
    meet(&minion, &mut listener).await;
    assert_eq!(overlay.counts().log_ins, before.log_ins + 1);
}

#[tokio::test]
async fn a_bind_that_is_never_confirmed_is_taken_for_bound() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| behaviour.withhold_bind_success = true);
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let begun = tokio::time::Instant::now();
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(5));
    meet(&minion, &mut listener).await;
}

#[tokio::test]
async fn a_router_that_comes_back_is_used_again() {
    let mut overlay = Overlay::start(1).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    let (mut near, mut far, _) = meet(&minion, &mut listener).await;

    overlay.stop_router(0).await;
    for stream in [&mut near, &mut far] {
        let error = soon(stream.read(&mut [0; 1])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(stream.write_all(b"x").await.is_err());
    }
    overlay.start_router(0).await;

    let binds = overlay.counts().binds;
    until(|| overlay.counts().binds > binds).await;
    let (mut near, mut far, _) = meet(&minion, &mut listener).await;
    exchange(&mut near, &mut far).await;
}

#[tokio::test]
async fn a_second_router_takes_over() {
    let mut overlay = Overlay::start(2).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    until(|| overlay.counts().binds == 2).await;
    meet(&minion, &mut listener).await;

    overlay.stop_router(0).await;
    let (mut near, mut far, _) = meet(&minion, &mut listener).await;
    exchange(&mut near, &mut far).await;
    overlay.start_router(0).await;
    until(|| overlay.counts().binds == 3).await;
    overlay.stop_router(1).await;
    let (mut near, mut far, _) = meet(&minion, &mut listener).await;
    exchange(&mut near, &mut far).await;
}

#[tokio::test]
async fn a_router_that_refuses_us_is_named_with_its_reason() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| behaviour.refuse_hello = true);
    let minion = joined(&overlay, "web-01");
    let error = soon(minion.dial("salt-request")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the router refused us: invalid token"),
        "{error}"
    );
}

#[tokio::test]
async fn a_router_that_never_answers_is_given_up() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| behaviour.ignore_hello = true);
    let minion = joined(&overlay, "web-01");
    let error = soon(minion.dial("salt-request")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the router did not answer in time"),
        "{error}"
    );
}

#[tokio::test]
async fn late_answers_of_the_controller_are_waited_for() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| behaviour.late = Duration::from_millis(300));
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    meet(&minion, &mut listener).await;
}

#[tokio::test]
async fn changed_repeated_and_reordered_messages_are_errors_never_other_bytes() {
    for fault in ["corrupt", "repeat", "reorder"] {
        let overlay = Overlay::start(1).await;
        let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
        let mut listener = soon(master.host("salt-request")).await.unwrap();
        let (mut near, mut far, _) = meet(&minion, &mut listener).await;
        overlay.behave(|behaviour| match fault {
            "corrupt" => behaviour.corrupt = true,
            "repeat" => behaviour.repeat = true,
            _ => behaviour.reorder = true,
        });
        near.write_all(&[7; 100_000]).await.unwrap();
        let mut received = Vec::new();
        let error = soon(far.read_to_end(&mut received)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{fault}");
        // At most what was whole and in its place.
        assert!(received.len() <= 32 * 1024 && received.iter().all(|byte| *byte == 7));
        // The other end learns of it, too.
        let error = soon(near.read(&mut [0; 1])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{fault}");
    }
}

#[tokio::test]
async fn one_that_does_not_read_is_given_up_and_the_others_go_on() {
    let overlay = Overlay::start(1).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    let (mut slow, mut unread, _) = meet(&minion, &mut listener).await;
    let (mut near, mut far, _) = meet(&minion, &mut listener).await;

    let refused = soon(async {
        loop {
            if let Err(error) = slow.write_all(&[0; 65_536]).await {
                break error;
            }
        }
    });
    assert!(refused.await.to_string().contains("receiver too slow"));
    exchange(&mut near, &mut far).await;

    // What came before is still there, and then it is an error.
    let mut received = Vec::new();
    let error = soon(unread.read_to_end(&mut received)).await.unwrap_err();
    assert!(received.len() > 900 << 10 && received.len() < 1200 << 10);
    assert!(error.to_string().contains("receiver too slow"));
}

// T-07
#[tokio::test]
async fn callers_that_nobody_accepts_are_turned_away() {
    let overlay = Overlay::start(1).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    let mut waiting = Vec::new();
    let refused = soon(async {
        loop {
            match minion.dial("salt-request").await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        }
    });
    assert!(refused.await.to_string().contains("busy"));
    assert_eq!(waiting.len(), 128);
    soon(listener.accept()).await.unwrap();
    soon(minion.dial("salt-request")).await.unwrap();
}

#[tokio::test]
async fn a_listener_that_is_dropped_is_bound_no_more() {
    let overlay = Overlay::start(1).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let listener = soon(master.host("salt-request")).await.unwrap();
    drop(listener);
    let error = soon(async {
        loop {
            match minion.dial("salt-request").await {
                Ok(_) | Err(ZitiError::Router(_)) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => break error,
            }
        }
    });
    assert!(matches!(error.await, ZitiError::Unhosted(_)));
}

#[tokio::test]
async fn the_driver_lives_as_long_as_somebody_holds_a_part_of_it() {
    let overlay = Overlay::start(1).await;
    let master = joined(&overlay, "master");
    let (minion, driver) = ziti::connect(overlay.identity("web-01"));
    let driver = tokio::spawn(driver);
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    let (mut near, mut far, _) = meet(&minion, &mut listener).await;
    drop(minion);
    exchange(&mut near, &mut far).await;
    assert!(!driver.is_finished());
    drop(near);
    soon(driver).await.unwrap();

    // And with the driver everything ends.
    let (minion, driver) = ziti::connect(overlay.identity("web-02"));
    let driver = tokio::spawn(driver);
    let (mut near, _far, _) = meet(&minion, &mut listener).await;
    driver.abort();
    let error = soon(near.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(soon(minion.dial("salt-request")).await.is_err());
}

#[tokio::test]
async fn log_in_by_oidc_is_used_where_it_is_offered_and_renewed() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| {
        behaviour.oidc = true;
        behaviour.expires_in = Some(20);
    });
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    let (mut near, mut far, peer) = meet(&minion, &mut listener).await;
    assert_eq!(peer.name(), Some("web-01"));
    assert_eq!(overlay.counts().log_ins, 2);

    // At half of its time the token is renewed, and the routers are told.
    until(|| overlay.counts().refreshed >= 2 && overlay.counts().updated_tokens >= 2).await;
    exchange(&mut near, &mut far).await;
    assert_eq!(overlay.counts().hellos, 2);
}

#[tokio::test]
async fn a_router_that_refuses_the_renewed_token_is_greeted_anew() {
    let overlay = Overlay::start(1).await;
    overlay.behave(|behaviour| {
        behaviour.oidc = true;
        behaviour.expires_in = Some(20);
        behaviour.refuse_tokens = true;
    });
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    let (mut near, _far, _) = meet(&minion, &mut listener).await;
    let error = soon(near.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    until(|| overlay.counts().hellos >= 4).await;
}

#[tokio::test]
async fn enrolment_makes_an_identity_once() {
    let overlay = Overlay::start(1).await;
    let directory = std::env::temp_dir().join(format!("salt-ziti-enrol-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for (name, plain) in [("json.json", false), ("pem.json", true)] {
        overlay.behave(|behaviour| behaviour.plain_pem = plain);
        let (path, token) = (directory.join(name), overlay.token("web-01"));
        let identity = soon(Identity::enrol(&token, &path)).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        soon(join(identity).log_in()).await.unwrap();
        soon(join(Identity::read(&path).unwrap()).log_in())
            .await
            .unwrap();

        // The token is spent.
        let again = soon(Identity::enrol(&token, directory.join("again")))
            .await
            .unwrap_err();
        assert!(
            matches!(again, ZitiError::Refused { status: 404, .. }),
            "{again}"
        );
        // N-06
        assert!(!again.to_string().contains("ott-"));
        // And a file that is there stays, with the token unspent.
        let token = overlay.token("web-02");
        let there = soon(Identity::enrol(&token, &path)).await.unwrap_err();
        assert!(matches!(there, ZitiError::Write { .. }));
        let other = directory.join(format!("other-{name}"));
        soon(Identity::enrol(&token, &other)).await.unwrap();
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 4);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn a_token_is_not_sent_to_another_server() {
    let (overlay, impostor) = (Overlay::start(0).await, Overlay::start(0).await);
    // The impostor sits at the address that the token names, with a certificate of its own.
    let token = overlay.shared.pki.jwt(&serde_json::json!({
        "iss": impostor.url(), "sub": "id-1", "em": "ott", "jti": "ott-1", "exp": 4_000_000_000_u64,
    }));
    impostor
        .shared
        .state()
        .tokens
        .insert("ott-1".to_owned(), "id-1".to_owned());
    let path = std::env::temp_dir().join(format!("salt-ziti-impostor-{}", std::process::id()));
    let refused = soon(Identity::enrol(&token, &path)).await.unwrap_err();
    assert!(matches!(refused, ZitiError::TokenSignature), "{refused}");
    assert!(!path.exists());
    assert!(impostor.shared.state().tokens.contains_key("ott-1"));
}

// §8: an overlay can be put under TLS of one's own.
#[tokio::test]
async fn tls_over_an_overlay_keeps_routers_out() {
    let overlay = Overlay::start(1).await;
    let authority = crate::certificates::Authority::new();
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    let listener = soon(master.host("salt-request")).await.unwrap();
    let mut listener =
        salt_transport::TlsAccept::over(listener, &authority.config("salt")).unwrap();
    let dialer = salt_transport::Tls::over(minion.dialer(), &authority.config("web-01")).unwrap();
    let addr = MasterAddr::new("salt");
    let dialing = dialer.dial(&addr, Channel::Request);
    let (near, far) = soon(async { tokio::join!(dialing, listener.accept()) }).await;
    let (mut far, peer) = far.unwrap();
    assert!(matches!(
        peer.principal,
        Some(Principal::Certificate { .. })
    ));
    half_close(&mut near.unwrap(), &mut far).await;
}

#[tokio::test]
async fn accepting_ends_when_hosting_has_no_use() {
    let overlay = Overlay::start(1).await;
    let (master, driver) = ziti::connect(overlay.identity("master"));
    let driver = tokio::spawn(driver);
    let mut listener = soon(master.host("salt-request")).await.unwrap();
    driver.abort();
    assert!(matches!(
        soon(listener.accept()).await,
        Err(AcceptError::Closed)
    ));
}

// §8: an end of the stream is a hint, which a router can forge. No wire takes it for the end of a message.
#[tokio::test]
async fn a_forged_end_is_never_a_shorter_answer() {
    let overlay = Overlay::start(1).await;
    let (master, minion) = (joined(&overlay, "master"), joined(&overlay, "web-01"));
    for wire in WIRES {
        let listener = soon(master.host("salt-request")).await.unwrap();
        let server = echo(listener, wire, ServeLimits::default());
        let channel = RequestChannel::new(minion.dialer(), MasterAddr::new("salt"), wire);
        ask(&channel, &"x".repeat(10_000)).await;
        overlay.behave(|behaviour| behaviour.forge_end = true);
        let long = envelope(&"y".repeat(10_000));
        let answer = channel.request(long, Duration::from_secs(2)).await;
        assert!(answer.is_err(), "{answer:?}");
        overlay.behave(|behaviour| behaviour.forge_end = false);
        ask(&channel, &"z".repeat(10_000)).await;
        server.kill().await;
    }
}

#[test]
fn the_kept_fuzz_inputs_are_survived() {
    let corpus = checks::corpus;
    corpus("ziti_message")
        .iter()
        .for_each(|input| checks::ziti_message::ziti_message(input));
    corpus("ziti_identity")
        .iter()
        .for_each(|input| checks::ziti_identity::ziti_identity(input));
}

/// Names the identity file of a master in a process of its own.
const MASTER: &str = "SALT_TEST_ZITI_MASTER";

fn salt_key(seed: u8) -> salt_crypto::Identity {
    let mut rng = rand::rngs::StdRng::from_seed([seed; 32]);
    salt_crypto::Identity::generate(2048, &mut rng).unwrap()
}

// N-01
#[tokio::test]
async fn a_master_on_an_overlay_serves_its_minions_and_listens_nowhere() {
    if let Some(file) = std::env::var_os(MASTER) {
        // This is the process of the master.
        return dark_master(Identity::read(file).unwrap()).await;
    }
    let overlay = Overlay::start(2).await;
    let file = std::env::temp_dir().join(format!("salt-ziti-master-{}", std::process::id()));
    std::fs::write(&file, overlay.identity_file("master")).unwrap();
    let name = "ziti::a_master_on_an_overlay_serves_its_minions_and_listens_nowhere";
    let mut master = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(MASTER, &file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();

    // An impostor has an identity of the overlay, and another name.
    let mut running = Vec::new();
    for (at, name) in [(2, "web-01"), (3, "web-02"), (4, "impostor")] {
        let id = if name == "impostor" { "web-03" } else { name };
        let minion = Minion::builder(id.parse().unwrap(), salt_key(at))
            .master_key(salt_key(1).public_key().clone())
            .handler(|job: Job| async move { job.ok(true) })
            .build(joined(&overlay, name).dialer(), MasterAddr::new("salt"))
            .unwrap();
        running.push(tokio::spawn(minion.run()));
    }

    let ended = tokio::task::spawn_blocking(move || master.wait());
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    std::fs::remove_file(&file).unwrap();
    assert!(ended.unwrap().unwrap().unwrap().success());
}

async fn dark_master(identity: Identity) {
    let overlay = join(identity);
    let publish = soon(overlay.host("salt-publish")).await.unwrap();
    let request = soon(overlay.host("salt-request")).await.unwrap();
    let keys = MemoryKeyStore::new().danger_accept_everyone();
    let (master, serving) = Master::builder(salt_key(1), keys)
        .require_peer(peer_is_minion)
        .serve(publish, request)
        .unwrap();
    let _serving = tokio::spawn(serving);
    until(|| master.publish_stats().subscribed >= 2).await;

    let mut job = master
        .publish(Target::glob("*"), "test.ping", vec![])
        .await
        .unwrap();
    let mut answered = Vec::new();
    for _ in 0..2 {
        answered.push(soon(job.next()).await.unwrap().id.to_string());
    }
    answered.sort();
    assert_eq!(answered, ["web-01", "web-02"]);
    let impostor = "web-03".parse().unwrap();
    assert!(!master.keys(|keys| keys.accepted().unwrap().contains(&impostor)));

    assert_eq!(reachable_sockets(), [""; 0]);
    // And the look at the sockets is a good one.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(reachable_sockets(), ["tcp", "udp"]);
    drop((listener, socket));
}

/// The kinds of this process's sockets that somebody could send to: listening TCP, and bound UDP.
fn reachable_sockets() -> Vec<&'static str> {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = links.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let inodes: Vec<String> = links
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            Some(link.trim_end_matches(']').to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for (table, kind) in [
        ("tcp", "tcp"),
        ("tcp6", "tcp"),
        ("udp", "udp"),
        ("udp6", "udp"),
    ] {
        // Without IPv6 in the kernel there is no such table.
        let Ok(table) = std::fs::read_to_string(format!("/proc/self/net/{table}")) else {
            continue;
        };
        for line in table.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let open = kind == "udp" || words[3] == "0A";
            if open && inodes.iter().any(|inode| inode == words[9]) {
                found.push(kind);
            }
        }
    }
    found
}
