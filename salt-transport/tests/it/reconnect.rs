//! Peers that come back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use salt_transport::{
    Channel, Dial, Error, Listen, MasterAddr, MemoryDial, RequestChannel, ServeLimits, Server,
    Subscription, Wire, memory,
};
use tokio::sync::Mutex;

use crate::support::{WIRES, ask, connected, echo, envelope, message, publication, soon, until};

/// Dials whichever master stands at the moment.
#[derive(Clone)]
struct Current(Arc<Mutex<Option<MemoryDial>>>);

impl Dial for Current {
    type Stream = tokio::io::DuplexStream;

    async fn dial(&self, master: &MasterAddr, channel: Channel) -> io::Result<Self::Stream> {
        match &*self.0.lock().await {
            Some(dial) => Dial::dial(dial, master, channel).await,
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restarted_master_is_asked_again() {
    for wire in WIRES {
        let current = Current(Arc::default());
        let channel = RequestChannel::new(current.clone(), MasterAddr::new("any"), wire);
        let waiting = {
            let channel = channel.clone();
            tokio::spawn(async move { ask(&channel, "early").await })
        };
        for _ in 0..3 {
            let (dial, _publish, request) = memory(1000);
            *current.0.lock().await = Some(dial);
            let server = echo(request, wire, ServeLimits::default());
            ask(&channel, "question").await;
            server.kill().await;
        }
        waiting.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_restarted_master_is_subscribed_to_again() {
    for wire in WIRES {
        let current = Current(Arc::default());
        let master = MasterAddr::new("any");
        let mut subscription = Subscription::new(
            current.clone(),
            master,
            wire,
            Bytes::new(),
            vec![Bytes::new()],
        );
        for round in 0..3 {
            let (dial, publish, _request) = memory(1000);
            *current.0.lock().await = Some(dial);
            let (publisher, _presences, serving) =
                Server::new(wire, ServeLimits::default()).publications(publish);
            let serving = tokio::spawn(serving);
            connected(&mut subscription).await;
            until(|| publisher.stats().subscribed == 1).await;

            let body = envelope(&format!("round {round}"));
            publisher.publish(publication(body.clone())).await.unwrap();

            assert_eq!(message(&mut subscription).await, body);
            serving.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_does_not_answer_the_next_request() {
    for wire in WIRES {
        let (dial, _publish, request) = memory(1000);
        let (mut requests, serving) = Server::new(wire, ServeLimits::default()).requests(request);
        let _serving = tokio::spawn(serving);
        let channel = RequestChannel::new(dial, MasterAddr::new("any"), wire);

        let slow = channel.request(envelope("slow"), Duration::from_secs(5));
        let (slow, late) = tokio::join!(slow, soon(requests.next()));
        assert!(matches!(slow, Err(Error::TimedOut)));
        late.unwrap().reply(envelope("late"));

        let next = channel.request(envelope("next"), Duration::from_secs(5));
        let answering = async {
            let request = soon(requests.next()).await.unwrap();
            assert_eq!(*request.body(), envelope("next"));
            request.reply(envelope("right"));
        };
        let (next, ()) = tokio::join!(next, answering);
        assert_eq!(next.unwrap(), envelope("right"));
    }
}

#[tokio::test]
async fn a_request_given_up_by_its_caller_answers_nobody_else() {
    let (dial, _publish, request) = memory(1000);
    let (mut requests, serving) =
        Server::new(Wire::Zeromq, ServeLimits::default()).requests(request);
    let _serving = tokio::spawn(serving);
    let channel = RequestChannel::new(dial, MasterAddr::new("any"), Wire::Zeromq);

    let given_up = {
        let channel = channel.clone();
        tokio::spawn(async move { channel.request(envelope("1"), Duration::from_secs(9)).await })
    };
    let first = soon(requests.next()).await.unwrap();
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    first.reply(envelope("for the first"));

    let second = channel.request(envelope("2"), Duration::from_secs(9));
    let answering = async {
        soon(requests.next())
            .await
            .unwrap()
            .reply(envelope("for the second"));
    };
    let (second, ()) = tokio::join!(second, answering);
    assert_eq!(second.unwrap(), envelope("for the second"));
}

#[tokio::test]
async fn a_request_nobody_answers_ends_with_its_connection() {
    for wire in WIRES {
        let (dial, _publish, request) = memory(1000);
        let (mut requests, serving) = Server::new(wire, ServeLimits::default()).requests(request);
        let _serving = tokio::spawn(serving);
        let channel = RequestChannel::new(dial, MasterAddr::new("any"), wire);

        let asked = channel.request(envelope("x"), Duration::from_secs(60));
        let dropping = async { drop(soon(requests.next()).await) };
        let (asked, ()) = tokio::join!(asked, dropping);

        assert!(matches!(asked, Err(Error::Closed)), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_grow() {
    #[derive(Clone, Default)]
    struct Nobody(Arc<AtomicUsize>);

    impl Dial for Nobody {
        type Stream = tokio::io::DuplexStream;

        async fn dial(&self, _: &MasterAddr, _: Channel) -> io::Result<Self::Stream> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }

    let nobody = Nobody::default();
    let channel = RequestChannel::new(nobody.clone(), MasterAddr::new("any"), Wire::Zeromq);

    let asked = channel
        .request(envelope("x"), Duration::from_secs(60))
        .await;

    assert!(matches!(asked, Err(Error::TimedOut)));
    let attempts = nobody.0.load(Ordering::Relaxed);
    assert!((8..=30).contains(&attempts), "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_not_used_for_long() {
    let (dial, _publish, mut request) = memory(1000);
    let (forward, _publish, listener) = memory(1000);
    let _server = echo(listener, Wire::Zeromq, ServeLimits::default());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&accepted);
    let _forwarding = tokio::spawn(async move {
        while let Ok((mut near, _)) = request.accept().await {
            counting.fetch_add(1, Ordering::Relaxed);
            let mut far = Dial::dial(&forward, &MasterAddr::new("any"), Channel::Request)
                .await
                .unwrap();
            tokio::spawn(async move {
                let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let channel = RequestChannel::new(dial, MasterAddr::new("any"), Wire::Zeromq);

    ask(&channel, "1").await;
    ask(&channel, "2").await;
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    ask(&channel, "3").await;

    assert_eq!(accepted.load(Ordering::Relaxed), 2);
}
