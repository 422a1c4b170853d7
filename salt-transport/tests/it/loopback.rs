//! Requests and publications over both wires, in memory and over TCP.

use std::collections::HashSet;

use bytes::Bytes;
use salt_proto::GCM_TOPIC;
use salt_transport::{
    Dial, Listen, MasterAddr, Presence, Presences, Publisher, RequestChannel, ServeLimits, Server,
    Subscription, Tcp, Unix, Wire, memory,
};

use crate::support::{
    WIRES, ask, connected, echo, envelope, message, publication, soon, tcp, until,
};

#[tokio::test]
async fn requests_are_answered_over_every_wire_and_stream() {
    for wire in WIRES {
        let (dial, _, request) = memory(1000);
        let _server = echo(request, wire, ServeLimits::default());
        request_suite(dial, MasterAddr::new("any"), wire).await;

        let (listener, master) = tcp().await;
        let _server = echo(listener, wire, ServeLimits::default());
        request_suite(Tcp, master, wire).await;

        let dir = std::env::temp_dir().join(format!("salt-t-{}-{wire:?}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = Unix::path(&dir, salt_transport::Channel::Request);
        let listener = Unix::bind(&path, 0o600).await.unwrap();
        let _server = echo(listener, wire, ServeLimits::default());
        request_suite(Unix, MasterAddr::new(dir.to_str().unwrap()), wire).await;
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

async fn request_suite(dial: impl Dial, master: MasterAddr, wire: Wire) {
    let channel = RequestChannel::new(dial, master, wire);
    for len in [0, 1, 255, 256, 20_000, 65_535] {
        ask(&channel, &"x".repeat(len)).await;
    }
    // More at a time than connections are kept.
    let asking: Vec<_> = (0..50)
        .map(|n| {
            let channel = channel.clone();
            tokio::spawn(async move { ask(&channel, &format!("request {n}")).await })
        })
        .collect();
    for asked in asking {
        soon(asked).await.unwrap();
    }
}

#[tokio::test]
async fn publications_reach_every_subscriber_in_order() {
    for wire in WIRES {
        let (dial, publish, _) = memory(1000);
        publish_suite(dial, publish, MasterAddr::new("any"), wire).await;

        let (listener, master) = tcp().await;
        publish_suite(Tcp, listener, master, wire).await;
    }
}

async fn publish_suite(
    dial: impl Dial + Clone,
    listener: impl Listen,
    master: MasterAddr,
    wire: Wire,
) {
    let (publisher, _presences, serving) =
        Server::new(wire, ServeLimits::default()).publications(listener);
    let _serving = tokio::spawn(serving);
    let mut subscriptions = Vec::new();
    for _ in 0..20 {
        let mut subscription = everything(dial.clone(), &master, wire);
        connected(&mut subscription).await;
        subscriptions.push(subscription);
    }
    subscribed(&publisher, 20).await;

    let bodies: Vec<_> = (0..100).map(|n| envelope(&"y".repeat(n * 50))).collect();
    for body in &bodies {
        publisher.publish(publication(body.clone())).await.unwrap();
    }

    for subscription in &mut subscriptions {
        for body in &bodies {
            assert_eq!(&message(subscription).await, body);
        }
    }
    assert_eq!(publisher.stats().dropped, 0);
}

#[tokio::test]
async fn topics_are_prefixes_and_each_subscriber_gets_its_own_copy() {
    let (dial, publish, _) = memory(64 * 1024);
    let (publisher, _presences, serving) =
        Server::new(Wire::Zeromq, ServeLimits::default()).publications(publish);
    let _serving = tokio::spawn(serving);
    let web1 = Bytes::from_static(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    let web2 = Bytes::from_static(b"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    let mut subscriptions = Vec::new();
    for topics in [
        vec![Bytes::from_static(b"broadcast"), web1.clone()],
        vec![Bytes::from_static(b"broadcast"), web2.clone()],
        vec![Bytes::new()],
        vec![Bytes::from_static(b"aa")],
    ] {
        let mut subscription = subscribe(dial.clone(), Wire::Zeromq, topics);
        connected(&mut subscription).await;
        subscriptions.push(subscription);
    }
    subscribed(&publisher, 4).await;

    let mut to_web1 = publication("one");
    to_web1.topics = vec![web1];
    publisher.publish(to_web1).await.unwrap();
    let mut to_both = publication("both");
    to_both.topics = vec![Bytes::from_static(b"broadcast")];
    publisher.publish(to_both).await.unwrap();

    let [first, second, all, prefix] = subscriptions.as_mut_slice() else {
        panic!("four subscriptions");
    };
    assert_eq!(message(first).await, "one");
    assert_eq!(message(first).await, "both");
    assert_eq!(message(second).await, "both");
    assert_eq!(message(all).await, "one");
    assert_eq!(message(all).await, "both");
    assert_eq!(message(prefix).await, "one");
}

#[tokio::test]
async fn each_subscriber_gets_exactly_one_of_two_forms() {
    let (dial, publish, _) = memory(64 * 1024);
    let (publisher, _presences, serving) =
        Server::new(Wire::Zeromq, ServeLimits::default()).publications(publish);
    let _serving = tokio::spawn(serving);
    let mut stock = subscribe(dial.clone(), Wire::Zeromq, vec![Bytes::new()]);
    let mut ours = subscribe(
        dial,
        Wire::Zeromq,
        vec![Bytes::from_static(GCM_TOPIC.as_bytes())],
    );
    connected(&mut stock).await;
    connected(&mut ours).await;
    subscribed(&publisher, 2).await;

    for n in ["1", "2"] {
        let mut both = publication(format!("classic {n}"));
        both.gcm = Some(format!("gcm {n}").into());
        publisher.publish(both).await.unwrap();
    }

    assert_eq!(message(&mut stock).await, "classic 1");
    assert_eq!(message(&mut stock).await, "classic 2");
    assert_eq!(message(&mut ours).await, "gcm 1");
    assert_eq!(message(&mut ours).await, "gcm 2");
}

#[tokio::test]
async fn an_announced_subscriber_can_be_the_only_one_served() {
    let (dial, publish, _) = memory(64 * 1024);
    let (publisher, mut presences, serving) =
        Server::new(Wire::Tcp, ServeLimits::default()).publications(publish);
    let _serving = tokio::spawn(serving);
    let mut silent = subscribe(dial.clone(), Wire::Tcp, vec![]);
    let mut announced = subscribe(dial, Wire::Tcp, vec![]);
    connected(&mut silent).await;
    connected(&mut announced).await;
    announced.announce(&envelope("it is me"));
    // Nothing is written while nobody waits.
    let waiting = tokio::spawn(async move { message(&mut announced).await });
    let id = announcement(&mut presences).await;

    let mut only = publication("for one");
    only.only = Some(HashSet::from([id]));
    publisher.publish(only).await.unwrap();
    publisher.publish(publication("for all")).await.unwrap();

    assert_eq!(message(&mut silent).await, "for all");
    assert_eq!(waiting.await.unwrap(), "for one");
}

async fn announcement(presences: &mut Presences) -> salt_transport::ConnectionId {
    match soon(presences.next()).await {
        Some(Presence::Announced(id, body)) => {
            assert_eq!(body, envelope("it is me"));
            id
        }
        other => panic!("{other:?}"),
    }
}

/// Waits until the server knows so many subscribers and their topics.
async fn subscribed(publisher: &Publisher, subscribers: usize) {
    until(|| publisher.stats().subscribed == subscribers).await;
}

fn everything(dial: impl Dial, master: &MasterAddr, wire: Wire) -> Subscription {
    Subscription::new(dial, master.clone(), wire, Bytes::new(), vec![Bytes::new()])
}

fn subscribe(dial: impl Dial, wire: Wire, topics: Vec<Bytes>) -> Subscription {
    Subscription::new(dial, MasterAddr::new("any"), wire, Bytes::new(), topics)
}
