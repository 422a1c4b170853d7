//! An independent implementation of ZMTP at the other end: the `zeromq` crate,
//! which announces version 3.0.

use std::time::Duration;

use bytes::Bytes;
use salt_transport::{
    MasterAddr, RequestChannel, ServeLimits, Server, Subscription, SubscriptionEvent, Tcp, Wire,
};
use zeromq::{
    PubSocket, RepSocket, ReqSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage,
};

use crate::support::{ask, connected, echo, publication, soon, tcp, until};

fn no_heartbeat() -> ServeLimits {
    // That implementation takes a PING for an error.
    ServeLimits {
        heartbeat: None,
        ..ServeLimits::default()
    }
}

#[tokio::test]
async fn its_requests_are_answered() {
    let (listener, master) = tcp().await;
    let _server = echo(listener, Wire::Zeromq, no_heartbeat());
    let mut req = ReqSocket::new();
    req.connect(&endpoint(&master)).await.unwrap();

    for body in [vec![], b"hello".to_vec(), vec![7; 300], vec![7; 1 << 20]] {
        req.send(body.clone().into()).await.unwrap();
        let reply = soon(req.recv()).await.unwrap();
        assert_eq!(reply.into_vec(), [Bytes::from(body)]);
    }
}

#[tokio::test]
async fn it_answers_our_requests() {
    let mut rep = RepSocket::new();
    let bound = rep.bind("tcp://127.0.0.1:0").await.unwrap();
    let _answering = tokio::spawn(async move {
        while let Ok(question) = rep.recv().await {
            rep.send(question).await.unwrap();
        }
    });
    let channel = RequestChannel::new(Tcp, of(&bound), Wire::Zeromq);

    for len in [1, 255, 60_000] {
        soon(ask(&channel, &"q".repeat(len))).await;
    }
}

#[tokio::test]
async fn its_subscriptions_are_served() {
    let (listener, master) = tcp().await;
    let (publisher, _presences, serving) =
        Server::new(Wire::Zeromq, no_heartbeat()).publications(listener);
    let _serving = tokio::spawn(serving);
    let mut sub = SubSocket::new();
    sub.connect(&endpoint(&master)).await.unwrap();
    sub.subscribe("broad").await.unwrap();
    until(|| publisher.stats().subscribed == 1).await;

    let mut message = publication(vec![3; 5000]);
    message.topics = vec![
        Bytes::from_static(b"other"),
        Bytes::from_static(b"broadcast"),
    ];
    publisher.publish(message).await.unwrap();

    let received = soon(sub.recv()).await.unwrap().into_vec();
    assert_eq!(
        received,
        [Bytes::from_static(b"broadcast"), Bytes::from(vec![3; 5000])]
    );
}

#[tokio::test]
async fn it_serves_our_subscriptions() {
    let mut publisher = PubSocket::new();
    let bound = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut subscription = Subscription::new(
        Tcp,
        of(&bound),
        Wire::Zeromq,
        Bytes::from_static(b"web-1"),
        vec![Bytes::from_static(b"broadcast")],
    );
    connected(&mut subscription).await;

    let message = ZmqMessage::try_from(vec![
        Bytes::from_static(b"broadcast"),
        Bytes::from_static(b"job"),
    ])
    .unwrap();
    let received = soon(async {
        loop {
            // It says nothing when a subscription has arrived.
            publisher.send(message.clone()).await.unwrap();
            let wait = tokio::time::timeout(Duration::from_millis(50), subscription.next());
            if let Ok(event) = wait.await {
                return event;
            }
        }
    });
    match received.await {
        SubscriptionEvent::Message { topic, body } => {
            assert_eq!(topic.as_deref(), Some(&b"broadcast"[..]));
            assert_eq!(body, "job");
        }
        other => panic!("{other:?}"),
    }
}

fn endpoint(master: &MasterAddr) -> String {
    format!("tcp://{}:{}", master.host, master.request_port)
}

fn of(endpoint: &zeromq::Endpoint) -> MasterAddr {
    match endpoint {
        zeromq::Endpoint::Tcp(host, port) => MasterAddr::new(host.to_string()).ports(*port, *port),
        other => panic!("{other}"),
    }
}
