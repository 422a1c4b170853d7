//! Streams carried on without looking into them.

use std::sync::Arc;
use std::time::Duration;

use salt_transport::{
    AcceptError, Channel, Dial, ForwardLimits, Listen, MasterAddr, Memory, RequestChannel,
    ServeLimits, check_streams, forward, memory,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::support::{WIRES, ask, echo, soon};

fn any() -> MasterAddr {
    MasterAddr::new("any")
}

#[tokio::test]
async fn what_goes_through_a_forwarder_behaves_as_a_stream() {
    let (near, _publish, local) = memory(4096);
    let (far, _publish, request) = memory(4096);
    let limits = ForwardLimits::default();
    tokio::spawn(forward(
        local,
        Arc::new(far),
        any(),
        Channel::Request,
        limits,
    ));
    check_streams(near, request, &any()).await.unwrap();
}

#[tokio::test]
async fn both_wires_go_through_two_forwarders() {
    for wire in WIRES {
        let (near, _publish, local) = memory(4096);
        let (between, _publish, remote) = memory(4096);
        let (far, _publish, request) = memory(4096);
        for (from, to) in [(local, between), (remote, far)] {
            let limits = ForwardLimits::default();
            tokio::spawn(forward(from, Arc::new(to), any(), Channel::Request, limits));
        }
        let _server = echo(request, wire, ServeLimits::default());
        let channel = RequestChannel::new(near, any(), wire);
        for len in [0, 1, 300, 60_000] {
            soon(ask(&channel, &"z".repeat(len))).await;
        }
    }
}

async fn dial(dial: &impl Dial<Stream = DuplexStream>) -> DuplexStream {
    dial.dial(&any(), Channel::Request).await.unwrap()
}

#[tokio::test]
async fn where_nobody_can_be_reached_the_stream_ends_unread() {
    let (near, _publish, local) = memory(4096);
    let (far, publish, request) = memory(4096);
    drop((publish, request));
    let limits = ForwardLimits::default();
    tokio::spawn(forward(
        local,
        Arc::new(far),
        any(),
        Channel::Request,
        limits,
    ));

    let mut stream = dial(&near).await;
    let mut heard = Vec::new();
    assert_eq!(soon(stream.read_to_end(&mut heard)).await.unwrap(), 0);
}

/// Answers nothing, and keeps what it accepts.
async fn accepted(listener: &mut Memory) -> Result<DuplexStream, AcceptError> {
    listener.accept().await.map(|(stream, _)| stream)
}

#[tokio::test]
async fn more_streams_than_allowed_wait_for_a_place() {
    let (near, _publish, local) = memory(4096);
    let (far, _publish, mut request) = memory(4096);
    let limits = ForwardLimits {
        max_streams: 2,
        ..ForwardLimits::default()
    };
    tokio::spawn(forward(
        local,
        Arc::new(far),
        any(),
        Channel::Request,
        limits,
    ));

    let streams = [dial(&near).await, dial(&near).await, dial(&near).await];
    let first = soon(accepted(&mut request)).await.unwrap();
    let _second = soon(accepted(&mut request)).await.unwrap();
    let third = tokio::time::timeout(Duration::from_millis(50), accepted(&mut request)).await;
    assert!(third.is_err());

    drop(first);
    let [mut gone, _, mut third_near] = streams;
    assert_eq!(soon(gone.read(&mut [0; 1])).await.unwrap(), 0);
    drop(gone);
    let mut third = soon(accepted(&mut request)).await.unwrap();
    third_near.write_all(b"x").await.unwrap();
    assert_eq!(soon(third.read_u8()).await.unwrap(), b'x');
}
