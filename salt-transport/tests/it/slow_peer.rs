//! Peers that do not keep up cost only themselves.

use std::time::Duration;

use bytes::Bytes;
use salt_transport::{Channel, Dial, MasterAddr, ServeLimits, Server, Subscription, Wire, memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{connected, message, publication, soon, until};

const GREETING: &[u8; 64] =
    b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const READY_SUB: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB";
const SUBSCRIBE_ALL: &[u8] = b"\x00\x01\x01";

// T-04
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_stops_reading_is_cut_and_others_lose_nothing() {
    let (dial, publish, _request) = memory(16 * 1024);
    let limits = ServeLimits {
        max_queued: 50,
        heartbeat: None,
        ..ServeLimits::default()
    };
    let (publisher, _presences, serving) = Server::new(Wire::Zeromq, limits).publications(publish);
    let _serving = tokio::spawn(serving);
    let any = MasterAddr::new("any");
    let mut stuck = Dial::dial(&dial, &any, Channel::Publish).await.unwrap();
    stuck.write_all(GREETING).await.unwrap();
    stuck.write_all(READY_SUB).await.unwrap();
    stuck.write_all(SUBSCRIBE_ALL).await.unwrap();
    let mut good = Subscription::new(dial, any, Wire::Zeromq, Bytes::new(), vec![Bytes::new()]);
    connected(&mut good).await;
    until(|| publisher.stats().subscribed == 2).await;

    for n in 0..500_u32 {
        let mut body = n.to_be_bytes().to_vec();
        body.resize(1000, 0);
        publisher.publish(publication(body)).await.unwrap();
        assert_eq!(message(&mut good).await[..4], n.to_be_bytes());
    }
    let stats = publisher.stats();
    assert!(stats.dropped > 400 && stats.dropped < 500, "{stats:?}");

    tokio::time::sleep(Duration::from_secs(31)).await;
    until(|| publisher.stats().subscribed == 1).await;
    assert_eq!(publisher.stats().cut, 1);
}

#[tokio::test]
async fn what_waited_for_a_slow_subscriber_arrives_whole_and_in_order() {
    let (dial, publish, _request) = memory(700);
    let (publisher, _presences, serving) =
        Server::new(Wire::Zeromq, ServeLimits::default()).publications(publish);
    let _serving = tokio::spawn(serving);
    let any = MasterAddr::new("any");
    let mut slow = Subscription::new(dial, any, Wire::Zeromq, Bytes::new(), vec![Bytes::new()]);
    connected(&mut slow).await;
    until(|| publisher.stats().subscribed == 1).await;

    let bodies: Vec<_> = (0..200_u8).map(|n| Bytes::from(vec![n; 300])).collect();
    for body in &bodies {
        publisher.publish(publication(body.clone())).await.unwrap();
    }

    for body in &bodies {
        assert_eq!(&message(&mut slow).await, body);
    }
}

// T-02: what waits for one subscriber is bounded in bytes too.
#[tokio::test]
async fn the_queue_of_a_subscriber_is_bounded_in_bytes() {
    let (dial, publish, _request) = memory(1000);
    let limits = ServeLimits {
        max_queued_bytes: 100_000,
        ..ServeLimits::default()
    };
    let (publisher, _presences, serving) = Server::new(Wire::Zeromq, limits).publications(publish);
    let _serving = tokio::spawn(serving);
    let any = MasterAddr::new("any");
    let mut stuck = Dial::dial(&dial, &any, Channel::Publish).await.unwrap();
    stuck.write_all(GREETING).await.unwrap();
    stuck.write_all(READY_SUB).await.unwrap();
    stuck.write_all(SUBSCRIBE_ALL).await.unwrap();
    until(|| publisher.stats().subscribed == 1).await;

    for _ in 0..10 {
        publisher
            .publish(publication(vec![0; 60_000]))
            .await
            .unwrap();
    }

    until(|| publisher.stats().delivered + publisher.stats().dropped == 10).await;
    assert_eq!(publisher.stats().delivered, 1);
    let mut bytes = vec![0; 60_000];
    soon(stuck.read_exact(&mut bytes)).await.unwrap();
}
