//! Behaviour of the crate through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "tls")]
mod certificates;
#[cfg(any(feature = "rendezvous", feature = "ziti"))]
mod checks;
mod custom_stream;
mod forwarding;
mod loopback;
mod other_peer;
#[cfg(feature = "ziti")]
mod overlay;
mod peers;
#[cfg(feature = "quic")]
mod quic;
mod reconnect;
#[cfg(feature = "rendezvous")]
mod rendezvous;
mod shutdown;
mod slow_peer;
mod strangers;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod together;
#[cfg(feature = "ws")]
mod ws;
#[cfg(feature = "ziti")]
mod ziti;
