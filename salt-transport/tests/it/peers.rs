//! A master that asks who the peer of a stream is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng as _;
use salt_crypto::Identity;
use salt_proto::{Job, MemoryKeyStore, MinionId, Target};
use salt_transport::{
    AcceptError, Listen, Master, MasterAddr, Memory, Minion, MinionStatus, Peer, Principal, memory,
    peer_is_minion,
};
use tokio::io::DuplexStream;

use crate::support::{soon, until};

/// Vouches for everybody under one name.
struct Overlay(Memory, &'static str);

impl Listen for Overlay {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> Result<(DuplexStream, Peer), AcceptError> {
        let (stream, peer) = self.0.accept().await?;
        let mut principal = None;
        if !self.1.is_empty() {
            let certificate = Principal::Certificate {
                name: self.1.to_owned(),
                fingerprint: [0; 32],
            };
            principal = Some(certificate);
        }
        Ok((
            stream,
            match principal {
                Some(principal) => peer.with_principal(principal),
                None => peer,
            },
        ))
    }
}

fn identity(seed: u8) -> Identity {
    let mut rng = rand::rngs::StdRng::from_seed([seed; 32]);
    Identity::generate(2048, &mut rng).unwrap()
}

/// Whether a minion of this id gets in where the stream's peer has this name, and whether a key was stored for it.
async fn signs_in(peer: &'static str, id: &str) -> (bool, bool) {
    let (dial, publish, request) = memory(64 * 1024);
    let master_key = identity(1);
    let known = master_key.public_key().clone();
    let (master, serving) =
        Master::builder(master_key, MemoryKeyStore::new().danger_accept_everyone())
            .require_peer(peer_is_minion)
            .serve(Overlay(publish, peer), Overlay(request, peer))
            .unwrap();
    let _serving = tokio::spawn(serving);
    let id: MinionId = id.parse().unwrap();
    let minion = Minion::builder(id.clone(), identity(2))
        .master_key(known)
        .handler(|job: Job| async move { job.ok(true) })
        .build(dial, MasterAddr::new("any"))
        .unwrap();
    let handle = minion.handle();
    let _running = tokio::spawn(minion.run());
    let signed_in = soon(async {
        tokio::select! {
            () = handle.until_receiving() => true,
            () = handle.until(MinionStatus::Rejected) => false,
        }
    })
    .await;
    if signed_in {
        until(|| master.publish_stats().subscribed == 1).await;
        let mut job = master
            .publish(Target::glob("*"), "test.ping", vec![])
            .await
            .unwrap();
        assert_eq!(soon(job.next()).await.unwrap().id, id);
    }
    let stored = master.keys(|keys| keys.accepted().unwrap().contains(&id));
    (signed_in, stored)
}

// T-05
#[tokio::test]
async fn a_minion_is_who_its_stream_says() {
    assert_eq!(signs_in("web-01", "web-01").await, (true, true));
    assert_eq!(signs_in("web-02", "web-01").await, (false, false));
    assert_eq!(signs_in("", "web-01").await, (false, false));
}

// T-05
#[tokio::test]
async fn the_rule_is_asked_for_every_load() {
    let (dial, publish, request) = memory(64 * 1024);
    let master_key = identity(1);
    let known = master_key.public_key().clone();
    let allowed = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&allowed);
    let (master, serving) =
        Master::builder(master_key, MemoryKeyStore::new().danger_accept_everyone())
            .require_peer(move |_, _| asked.load(Ordering::Relaxed))
            .serve(publish, request)
            .unwrap();
    let _serving = tokio::spawn(serving);
    let minion = Minion::builder("web-01".parse().unwrap(), identity(2))
        .master_key(known)
        .handler(|job: Job| async move { job.ok(true) })
        .build(dial, MasterAddr::new("any"))
        .unwrap();
    let handle = minion.handle();
    let _running = tokio::spawn(minion.run());
    soon(handle.until_receiving()).await;
    until(|| master.publish_stats().subscribed == 1).await;

    allowed.store(false, Ordering::Relaxed);
    let mut job = master
        .publish(Target::glob("*"), "test.ping", vec![])
        .await
        .unwrap();
    let returned = tokio::time::timeout(Duration::from_millis(300), job.next()).await;
    assert!(!matches!(returned, Ok(Some(_))), "a load was taken");
}
