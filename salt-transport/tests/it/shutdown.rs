//! Ends in order.

use std::time::Duration;

use bytes::Bytes;
use salt_transport::{
    Error, MasterAddr, RequestChannel, ServeLimits, Server, Subscription, SubscriptionEvent, memory,
};

use crate::support::{WIRES, connected, envelope, message, publication, soon, until};

#[tokio::test]
async fn what_was_asked_before_the_stop_is_answered() {
    for wire in WIRES {
        let (dial, _publish, request) = memory(1000);
        let (mut requests, serving) = Server::new(wire, ServeLimits::default()).requests(request);
        let serving = tokio::spawn(serving);
        let channel = RequestChannel::new(dial, MasterAddr::new("any"), wire);
        let asking = {
            let channel = channel.clone();
            tokio::spawn(async move {
                channel
                    .request(envelope("?"), Duration::from_secs(20))
                    .await
            })
        };
        let request = soon(requests.next()).await.unwrap();

        requests.stop();
        tokio::time::sleep(Duration::from_millis(10)).await;
        request.reply(envelope("!"));

        assert_eq!(soon(asking).await.unwrap().unwrap(), envelope("!"));
        assert!(soon(requests.next()).await.is_none());
        soon(serving).await.unwrap();
        let refused = channel
            .request(envelope("?"), Duration::from_millis(50))
            .await;
        assert!(matches!(refused, Err(Error::TimedOut)));
    }
}

#[tokio::test]
async fn what_was_published_before_the_end_is_delivered() {
    for wire in WIRES {
        let (dial, publish, _request) = memory(500);
        let (publisher, _presences, serving) =
            Server::new(wire, ServeLimits::default()).publications(publish);
        let serving = tokio::spawn(serving);
        let any = MasterAddr::new("any");
        let mut subscription = Subscription::new(dial, any, wire, Bytes::new(), vec![Bytes::new()]);
        connected(&mut subscription).await;
        until(|| publisher.stats().subscribed == 1).await;

        for n in 0..30_u8 {
            publisher.publish(publication(vec![n; 200])).await.unwrap();
        }
        drop(publisher);

        for n in 0..30_u8 {
            assert_eq!(message(&mut subscription).await, vec![n; 200]);
        }
        assert!(matches!(
            soon(subscription.next()).await,
            SubscriptionEvent::Disconnected(_)
        ));
        soon(serving).await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_driver_takes_its_connections_along() {
    for wire in WIRES {
        let (dial, publish, _request) = memory(500);
        let (_publisher, _presences, serving) =
            Server::new(wire, ServeLimits::default()).publications(publish);
        let serving = tokio::spawn(serving);
        let any = MasterAddr::new("any");
        let mut subscription = Subscription::new(dial, any, wire, Bytes::new(), vec![Bytes::new()]);
        connected(&mut subscription).await;

        serving.abort();

        assert!(matches!(
            soon(subscription.next()).await,
            SubscriptionEvent::Disconnected(_)
        ));
    }
}
