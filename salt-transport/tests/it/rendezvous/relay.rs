//! An honest relay, and peers that are not.

use std::io;
use std::time::Duration;

use salt_transport::rendezvous::{Frame, Refusal, Relay, RelayConfig, Rendezvous, Ticket};
use salt_transport::{Channel, Dial, Listen as _, MasterAddr, Tcp, TlsConfig, memory};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{FLEET, Site, fleet, hear, say};
use crate::certificates::Authority;
use crate::support::{soon, tcp, until};

fn register(waiting: u8) -> Frame {
    Frame::Register {
        name: FLEET.parse().unwrap(),
        waiting,
    }
}

fn ask() -> Frame {
    Frame::Ask {
        channel: Channel::Publish,
        name: FLEET.parse().unwrap(),
    }
}

async fn end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    assert_eq!(hear(stream).await, None);
}

/// Says one frame as a client of this name, and hears one.
async fn answer(site: &Site, name: &str, frame: &Frame) -> Option<Frame> {
    let mut stream = site.raw(name, "relay").await;
    say(&mut stream, frame).await;
    hear(&mut stream).await
}

/// What a minion's dial fails with.
async fn failure(way: &Rendezvous<impl Dial>, inner: &TlsConfig) -> io::Error {
    let dial = way.dial(inner).unwrap();
    let dialed = soon(dial.dial(&fleet(), Channel::Request)).await;
    dialed.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_name_is_taken_over_by_the_same_certificate() {
    let site = Site::new();
    let relay = site.relay("relay");
    let mut first = site.raw(FLEET, "relay").await;
    say(&mut first, &register(8)).await;
    assert_eq!(hear(&mut first).await, Some(Frame::Registered));
    // Somebody waits for the first, who does not come.
    let mut asker = site.raw("web-01", "relay").await;
    say(&mut asker, &ask()).await;
    assert!(matches!(hear(&mut first).await, Some(Frame::Offer { .. })));

    let mut second = site.raw(FLEET, "relay").await;
    say(&mut second, &register(8)).await;

    assert_eq!(hear(&mut second).await, Some(Frame::Registered));
    end(&mut first).await;
    drop(first);
    let Some(Frame::Offer { ticket, .. }) = hear(&mut second).await else {
        panic!("who waits is offered to the second");
    };
    let mut data = site.raw(FLEET, "relay").await;
    say(&mut data, &Frame::Take(ticket)).await;
    assert_eq!(hear(&mut data).await, Some(Frame::Go));
    assert_eq!(hear(&mut asker).await, Some(Frame::Go));
    assert_eq!(relay.handle.stats().names, 1);
}

#[tokio::test]
async fn a_name_is_refused_to_other_certificates() {
    let site = Site::new();
    let relay = site.relay("relay");
    for other in ["web-01", "fleet-b"] {
        let refused = Some(Frame::Refuse(Refusal::NotAllowed));
        assert_eq!(answer(&site, other, &register(1)).await, refused);
    }
    assert_eq!(relay.handle.stats().names, 0);
}

#[tokio::test]
async fn an_unknown_name_is_called_so() {
    let site = Site::new();
    let _relay = site.relay("relay");
    let refused = Some(Frame::Refuse(Refusal::UnknownName));
    assert_eq!(answer(&site, "web-01", &ask()).await, refused);
}

#[tokio::test]
async fn a_ticket_is_good_once_and_for_its_time_and_none_can_be_invented() {
    let site = Site::new();
    let _relay = site.relay_with("relay", |limits| {
        limits.before_go = Duration::from_millis(500);
    });
    let mut master = site.raw(FLEET, "relay").await;
    say(&mut master, &register(8)).await;
    assert_eq!(hear(&mut master).await, Some(Frame::Registered));
    let expired = Some(Frame::Refuse(Refusal::Expired));

    let invented = Frame::Take(Ticket::new([7; 32]));
    assert_eq!(answer(&site, FLEET, &invented).await, expired);

    let mut asker = site.raw("web-01", "relay").await;
    say(&mut asker, &ask()).await;
    let Some(Frame::Offer { ticket, from, .. }) = hear(&mut master).await else {
        panic!("no offer");
    };
    assert_eq!(from, "tls web-01 (memory)");
    let take = Frame::Take(ticket);
    // Overheard by somebody else, it is of no use to him.
    let not_allowed = Some(Frame::Refuse(Refusal::NotAllowed));
    assert_eq!(answer(&site, "web-02", &take).await, not_allowed);
    assert_eq!(answer(&site, "fleet-b", &take).await, expired);
    let mut data = site.raw(FLEET, "relay").await;
    say(&mut data, &take).await;
    assert_eq!(hear(&mut data).await, Some(Frame::Go));
    assert_eq!(hear(&mut asker).await, Some(Frame::Go));
    assert_eq!(answer(&site, FLEET, &take).await, expired);

    let mut asker = site.raw("web-01", "relay").await;
    say(&mut asker, &ask()).await;
    let Some(Frame::Offer { ticket, .. }) = hear(&mut master).await else {
        panic!("no offer");
    };
    assert_eq!(hear(&mut asker).await, expired);
    assert_eq!(answer(&site, FLEET, &Frame::Take(ticket)).await, expired);
}

#[tokio::test]
async fn what_is_no_frame_ends_the_stream_and_is_held_to_a_kibibyte() {
    let site = Site::new();
    let relay = site.relay("relay");
    for bytes in [
        // Oversize, though a short part of it is there; an unknown type; another protocol; a frame out of place.
        b"\x04\x04\x01xxx".as_slice(),
        b"\x01\xff\xff",
        b"\x0a\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x07\x00\x00",
        b"\x02\x00\x00",
        b"\x08\x00\x0801234567",
    ] {
        let mut stream = site.raw("web-01", "relay").await;
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
        let refused = Some(Frame::Refuse(Refusal::BadFrame));
        assert_eq!(hear(&mut stream).await, refused, "{bytes:?}");
        end(&mut stream).await;
    }
    until(|| relay.handle.stats().streams == 0).await;
}

#[tokio::test]
async fn nothing_may_be_said_before_go() {
    let site = Site::new();
    let relay = site.relay("relay");
    let mut master = site.raw(FLEET, "relay").await;
    say(&mut master, &register(8)).await;
    assert_eq!(hear(&mut master).await, Some(Frame::Registered));

    let mut asker = site.raw("web-01", "relay").await;
    say(&mut asker, &ask()).await;
    assert!(matches!(hear(&mut master).await, Some(Frame::Offer { .. })));
    asker.write_all(b"impatient").await.unwrap();
    asker.flush().await.unwrap();
    let refused = Some(Frame::Refuse(Refusal::BadFrame));
    assert_eq!(hear(&mut asker).await, refused);

    // Nor by a master on its control stream, but for signs of life.
    say(&mut master, &Frame::Ping([5; 8])).await;
    assert_eq!(hear(&mut master).await, Some(Frame::Pong([5; 8])));
    say(&mut master, &ask()).await;
    assert_eq!(hear(&mut master).await, refused);
    until(|| relay.handle.stats().streams == 0).await;
}

#[tokio::test]
async fn who_waits_for_a_master_that_leaves_is_told() {
    let site = Site::new();
    let _relay = site.relay("relay");
    let mut master = site.raw(FLEET, "relay").await;
    say(&mut master, &register(8)).await;
    assert_eq!(hear(&mut master).await, Some(Frame::Registered));
    let mut asker = site.raw("web-01", "relay").await;
    say(&mut asker, &ask()).await;
    assert!(matches!(hear(&mut master).await, Some(Frame::Offer { .. })));

    drop(master);

    let refused = Some(Frame::Refuse(Refusal::UnknownName));
    assert_eq!(hear(&mut asker).await, refused);
}

#[tokio::test]
async fn a_control_stream_without_a_sign_of_life_is_dead() {
    let site = Site::new();
    let relay = site.relay_with("relay", |limits| {
        limits.silence = Duration::from_millis(100);
    });
    let mut master = site.raw(FLEET, "relay").await;
    say(&mut master, &register(8)).await;
    assert_eq!(hear(&mut master).await, Some(Frame::Registered));

    end(&mut master).await;

    assert_eq!(relay.handle.stats().names, 0);
}

#[tokio::test]
async fn nobody_waits_for_streams_that_say_nothing_or_half_or_do_not_read() {
    let site = Site::new();
    let relay = site.relay("relay");
    let mut held = Vec::new();
    for n in 0..40 {
        let mut stream = site.raw("hostile", "relay").await;
        let bytes = ask().encode();
        let cut = n % bytes.len();
        stream.write_all(&bytes[..cut]).await.unwrap();
        stream.flush().await.unwrap();
        held.push(stream);
    }
    let (_publish, mut request, running) = site
        .way(FLEET, &["relay"])
        .host(FLEET.parse().unwrap(), &site.inner.config(FLEET))
        .unwrap();
    let _running = tokio::spawn(running);
    relay.until_registered().await;
    // One pair whose far end does not read what the near one never stops to write.
    let stuck = site.way("stuck", &["relay"]);
    let stuck = stuck.dial(&site.inner.config("stuck")).unwrap();
    let addr = fleet();
    let (near, far) = tokio::join!(stuck.dial(&addr, Channel::Request), request.accept());
    let (mut near, _unread) = (near.unwrap(), far.unwrap());
    let writing = tokio::spawn(async move { while near.write_all(&[0; 65_536]).await.is_ok() {} });

    let dial = site.way("web-01", &["relay"]);
    let dial = dial.dial(&site.inner.config("web-01")).unwrap();
    let begun = std::time::Instant::now();
    let (near, far) =
        soon(async { tokio::join!(dial.dial(&addr, Channel::Request), request.accept()) }).await;
    let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
    near.write_all(b"through").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = String::new();
    soon(far.read_to_string(&mut heard)).await.unwrap();

    assert_eq!(heard, "through");
    assert!(begun.elapsed() < Duration::from_secs(5));
    writing.abort();
}

#[tokio::test]
async fn who_does_not_come_so_far_in_time_is_let_go() {
    let site = Site::new();
    let relay = site.relay_with("relay", |limits| {
        limits.before_go = Duration::from_millis(100);
    });
    let mut silent = site.raw("web-01", "relay").await;
    let expired = Some(Frame::Refuse(Refusal::Expired));
    assert_eq!(hear(&mut silent).await, expired);
    until(|| relay.handle.stats().streams == 0).await;
}

// Fair for each fleet: who has all of it gives to who has less.
#[tokio::test]
async fn a_fleet_that_uses_all_of_a_relay_gives_to_another() {
    let site = Site::new();
    let relay = site.relay_with("relay", |limits| limits.max_pairs = 3);
    let mut masters = Vec::new();
    for fleet in [FLEET, "fleet-b"] {
        let mut master = site.raw(fleet, "relay").await;
        let register = Frame::Register {
            name: fleet.parse().unwrap(),
            waiting: 8,
        };
        say(&mut master, &register).await;
        assert_eq!(hear(&mut master).await, Some(Frame::Registered));
        masters.push((fleet, master));
    }
    let mut pairs = Vec::new();
    for (at, who) in [(0, "a-1"), (0, "a-2"), (0, "a-3"), (1, "b-1")] {
        let (fleet, master) = &mut masters[at];
        let mut asker = site.raw(who, "relay").await;
        let ask = Frame::Ask {
            channel: Channel::Request,
            name: fleet.parse().unwrap(),
        };
        say(&mut asker, &ask).await;
        let Some(Frame::Offer { ticket, .. }) = hear(master).await else {
            panic!("no offer for {who}");
        };
        let mut data = site.raw(fleet, "relay").await;
        say(&mut data, &Frame::Take(ticket)).await;
        assert_eq!(hear(&mut data).await, Some(Frame::Go));
        assert_eq!(hear(&mut asker).await, Some(Frame::Go));
        pairs.push((asker, data));
    }

    // The youngest of the first fleet has ended on both sides, and the others stand.
    let (mut asker, mut data) = pairs.remove(2);
    end(&mut asker).await;
    end(&mut data).await;
    for (asker, data) in &mut pairs {
        asker.write_all(b"!").await.unwrap();
        asker.flush().await.unwrap();
        assert_eq!(soon(data.read_u8()).await.unwrap(), b'!');
    }
    assert_eq!(relay.handle.stats().joined, 3);
    let mut fourth = site.raw("a-4", "relay").await;
    say(&mut fourth, &ask()).await;
    let busy = Some(Frame::Refuse(Refusal::Busy));
    assert_eq!(hear(&mut fourth).await, busy);
}

#[tokio::test]
async fn strangers_that_say_nothing_make_room_for_who_comes() {
    let site = Site::new();
    let relay = site.relay_with("relay", |limits| limits.max_before_go = 3);
    let mut oldest = site.raw("hostile", "relay").await;
    let _second = site.raw("hostile", "relay").await;
    until(|| relay.handle.stats().streams == 2).await;
    let _patient = site.raw("web-01", "relay").await;
    until(|| relay.handle.stats().streams == 3).await;

    let refused = Some(Frame::Refuse(Refusal::UnknownName));
    assert_eq!(answer(&site, "web-02", &ask()).await, refused);

    end(&mut oldest).await;
    until(|| relay.handle.stats().streams == 2).await;
}

// The minion says in one line what is wrong.
#[tokio::test]
async fn each_failure_is_said_in_one_line() {
    let site = Site::new();
    let inner = site.inner.config("web-01");
    let lines = async |way: &Rendezvous<_>, contains: &str, kind: io::ErrorKind| {
        let error = failure(way, &inner).await;
        let text = error.to_string();
        assert!(text.contains(contains) && !text.contains('\n'), "{text}");
        assert_eq!(error.kind(), kind, "{text}");
    };

    let way = site.way("web-01", &["no-such-relay"]);
    lines(&way, "connection refused", io::ErrorKind::ConnectionRefused).await;
    let way = site.way("web-01", &[]);
    lines(&way, "there is no relay", io::ErrorKind::InvalidInput).await;

    let _relay = site.relay("relay");
    let way = site.way("web-01", &["relay"]);
    lines(&way, "unknown name", io::ErrorKind::NotFound).await;

    // A relay at which this minion has no business.
    let config = RelayConfig::default().fleet(
        FLEET.parse().unwrap(),
        salt_transport::rendezvous::Fleet::new(FLEET).minions(
            salt_transport::rendezvous::Minions::Named(["db-1".to_owned()].into()),
        ),
    );
    let listener = site.network.listen("strict");
    let strict = Relay::tls(listener, &site.outer.config("strict"), config).unwrap();
    let _strict = tokio::spawn(strict.serve());
    let way = site.way("web-01", &["strict"]);
    lines(&way, "not allowed", io::ErrorKind::PermissionDenied).await;

    // One whose certificate is of somebody else, and one that does not believe ours.
    let other = Authority::new();
    let stranger = Site {
        outer: other,
        inner: Authority::new(),
        network: site.network.clone(),
    };
    let _foreign = stranger.relay("foreign");
    let way = site.way("web-01", &["foreign"]);
    lines(&way, "certificate", io::ErrorKind::PermissionDenied).await;
    let listener = site.network.listen("distrusting");
    let distrusting = TlsConfig::new(
        site.outer.identity("distrusting"),
        stranger.outer.authorities(),
    );
    let distrusting = Relay::tls(listener, &distrusting, RelayConfig::default()).unwrap();
    let _distrusting = tokio::spawn(distrusting.serve());
    let way = site.way("web-01", &["distrusting"]);
    lines(&way, "UnknownCA", io::ErrorKind::PermissionDenied).await;

    // All of them at once, each with its own words.
    let way = site.way("web-01", &["no-such-relay", "strict", "relay"]);
    let text = failure(&way, &inner).await.to_string();
    assert_eq!(
        text,
        "no way to `fleet-a`; relay no-such-relay:4506: connection refused; \
         relay strict:4506: not allowed for this certificate; \
         relay relay:4506: unknown name: no master is registered under it"
    );
}

#[tokio::test]
async fn a_relays_host_that_does_not_resolve_is_called_dns() {
    let site = Site::new();
    let relays = [MasterAddr::new("no-such-host.invalid")];
    let way = Rendezvous::over(Tcp, relays);
    let text = failure(&way, &site.inner.config("web-01"))
        .await
        .to_string();
    assert!(text.contains("DNS: "), "{text}");
}

#[tokio::test]
async fn a_full_relay_is_called_busy() {
    let site = Site::new();
    let _relay = site.relay("relay");
    let mut master = site.raw(FLEET, "relay").await;
    say(&mut master, &register(0)).await;
    assert_eq!(hear(&mut master).await, Some(Frame::Registered));
    let way = site.way("web-01", &["relay"]);
    let error = failure(&way, &site.inner.config("web-01")).await;
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().ends_with("busy"), "{error}");
}

#[tokio::test]
async fn the_relay_that_worked_is_asked_first_and_a_silent_one_is_not_waited_for() {
    let site = Site::new();
    // Takes what comes, and says nothing.
    let mut silent = site.network.listen("silent");
    let (asked, mut count) = tokio::sync::mpsc::unbounded_channel();
    let _taking = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
            asked.send(()).unwrap();
        }
    });
    let relay = site.relay("relay");
    let (_publish, mut request, running) = site
        .way(FLEET, &["relay"])
        .host(FLEET.parse().unwrap(), &site.inner.config(FLEET))
        .unwrap();
    let _running = tokio::spawn(running);
    relay.until_registered().await;
    let dial = site.way("web-01", &["silent", "relay"]);
    let dial = dial.dial(&site.inner.config("web-01")).unwrap();
    let addr = fleet();

    for _ in 0..3 {
        let (near, far) =
            soon(async { tokio::join!(dial.dial(&addr, Channel::Request), request.accept()) })
                .await;
        near.unwrap();
        far.unwrap();
    }

    let mut asked = 0;
    while count.try_recv().is_ok() {
        asked += 1;
    }
    assert_eq!(asked, 1, "only the first dial tried the silent one");
}

#[tokio::test]
async fn plain_bytes_and_other_certificates_do_not_reach_the_frames() {
    let site = Site::new();
    let (dial, _publish, request) = memory(64 * 1024);
    let config = site.outer.config("relay");
    let relay = Relay::tls(request, &config, RelayConfig::default()).unwrap();
    let handle = relay.handle();
    let _serving = tokio::spawn(relay.serve());
    let mut plain = dial.dial(&fleet(), Channel::Request).await.unwrap();
    plain.write_all(&register(1).encode()).await.unwrap();
    let mut heard = Vec::new();
    soon(plain.read_to_end(&mut heard)).await.unwrap();
    // One TLS alert at most.
    assert!(heard.len() <= 7, "{heard:?}");
    assert_eq!(handle.stats().streams, 0);
}

// N-06
#[tokio::test]
async fn nothing_that_is_shown_has_a_key_or_a_ticket_in_it() {
    let authority = Authority::new();
    let (listener, addr) = tcp().await;
    let config = RelayConfig::default();
    let relay = Relay::tls(listener, &authority.config("relay"), config).unwrap();
    let way = Rendezvous::tls([addr], &authority.config("web-01")).unwrap();
    let dial = way.dial(&authority.config("web-01")).unwrap();
    let shown = format!("{relay:?} {:?} {way:?} {dial:?}", relay.handle());
    assert!(
        !shown.contains("PRIVATE") && !shown.contains("PrivateKey("),
        "{shown}"
    );
    let ticket = Ticket::new(*b"an unguessable ticket of 32 byte");
    let shown = format!("{ticket:?} {:?}", Frame::Take(ticket.clone()));
    assert_eq!(shown, "Ticket Take(Ticket)");
}
