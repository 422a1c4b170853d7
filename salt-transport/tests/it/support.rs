//! What the suites share: a server that echoes, and time limits.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use salt_transport::{
    Listen, MasterAddr, Publication, RequestChannel, Requests, ServeLimits, Server, Subscription,
    SubscriptionEvent, Tcp, TcpListen, Wire,
};
use tokio::task::JoinHandle;

pub(crate) const WIRES: [Wire; 2] = [Wire::Zeromq, Wire::Tcp];

/// MessagePack of an envelope, which the `tcp` wire nests: here `{"n": text}`.
pub(crate) fn envelope(text: &str) -> Bytes {
    let mut bytes = b"\x81\xa1n\xda".to_vec();
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}

/// Fails the test rather than hanging it.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("nothing happened in 20 s")
}

/// A free port of this machine, and its address as a master's.
pub(crate) async fn tcp() -> (TcpListen, MasterAddr) {
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, MasterAddr::new("127.0.0.1").ports(port, port))
}

/// Answers every request with itself.
pub(crate) fn echo(listener: impl Listen, wire: Wire, limits: ServeLimits) -> Echo {
    let (requests, serving) = Server::new(wire, limits).requests(listener);
    Echo {
        serving: tokio::spawn(serving),
        answering: tokio::spawn(answer(requests)),
    }
}

pub(crate) struct Echo {
    pub(crate) serving: JoinHandle<()>,
    answering: JoinHandle<()>,
}

impl Echo {
    /// Ends at once, as a killed process does.
    pub(crate) async fn kill(self) {
        self.serving.abort();
        self.answering.abort();
        assert!(self.serving.await.unwrap_err().is_cancelled());
    }
}

async fn answer(mut requests: Requests) {
    while let Some(request) = requests.next().await {
        let body = request.body().clone();
        request.reply(body);
    }
}

/// Asks with a time limit no working server needs.
pub(crate) async fn ask(channel: &RequestChannel, text: &str) {
    let body = envelope(text);
    let reply = channel.request(body.clone(), Duration::from_secs(20)).await;
    assert_eq!(reply.unwrap(), body);
}

pub(crate) async fn connected(subscription: &mut Subscription) {
    loop {
        match soon(subscription.next()).await {
            SubscriptionEvent::Connected => return,
            SubscriptionEvent::Disconnected(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn message(subscription: &mut Subscription) -> Bytes {
    match soon(subscription.next()).await {
        SubscriptionEvent::Message { body, .. } => body,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn publication(body: impl Into<Bytes>) -> Publication {
    Publication {
        classic: body.into(),
        ..Publication::default()
    }
}

/// Waits until something that happens elsewhere is so.
pub(crate) async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
