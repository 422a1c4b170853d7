//! One publication to a hundred subscribers: ours beside the `zeromq` crate, in deliveries per CPU second.
//!
//! Each publisher has a thread of its own with a runtime of one thread, so that the CPU time of that thread is all
//! it costs. The subscribers are plain sockets on another thread, the same for both. "One by one" waits until
//! everybody has a publication before the next, as a master's jobs come; "bursts" publishes fifty at a time.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]
#![expect(clippy::print_stdout, reason = "a program")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use salt_benches::thread_cpu;
use salt_transport::{Publication, Publisher, ServeLimits, Server, Tcp, Wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use zeromq::{PubSocket, Socket as _, SocketSend as _};

const SUBSCRIBERS: usize = 100;
/// A signed job publication is about this long.
const BODY: usize = 600;
/// Flags, eight bytes of length, body.
const ON_THE_WIRE: usize = 9 + BODY;
const ROUNDS: usize = 5;

const GREETING: &[u8; 64] =
    b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const READY_SUB: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB";
const SUBSCRIBE_ALL: &[u8] = b"\x00\x01\x01";

fn main() {
    // `cargo test --benches` runs this too; a look is enough then.
    let quick = !std::env::args().any(|arg| arg == "--bench");
    println!(
        "publish_fanout: {SUBSCRIBERS} subscribers, {BODY} bytes; deliveries per CPU second of the publisher"
    );
    println!(
        "{:12} {:>12} {:>12} {:>7}",
        "", "ours", "zeromq 0.7", "ratio"
    );
    for (name, burst, bursts) in [("one by one", 1, 500), ("bursts", 50, 40)] {
        let (rounds, bursts) = if quick { (1, 2) } else { (ROUNDS, bursts) };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(on_a_thread(move || measure(Ours::bind, burst, bursts)));
            theirs.push(on_a_thread(move || measure(Theirs::bind, burst, bursts)));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!("{name:12} {ours:12.0} {theirs:12.0} {:7.2}", ours / theirs);
    }
}

fn on_a_thread(work: impl FnOnce() -> f64 + Send + 'static) -> f64 {
    std::thread::spawn(work).join().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

trait Publish: Sized {
    /// Serves subscribers at a free port.
    async fn bind() -> (Self, u16);
    async fn publish(&mut self, body: Bytes);
}

struct Ours(Publisher);

impl Publish for Ours {
    async fn bind() -> (Self, u16) {
        let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let limits = ServeLimits {
            max_handshaking_per_address: SUBSCRIBERS,
            heartbeat: None,
            ..ServeLimits::default()
        };
        let (publisher, _, serving) = Server::new(Wire::Zeromq, limits).publications(listener);
        drop(tokio::spawn(serving));
        (Self(publisher), port)
    }

    async fn publish(&mut self, body: Bytes) {
        let publication = Publication {
            classic: body,
            ..Publication::default()
        };
        self.0.publish(publication).await.unwrap();
    }
}

struct Theirs(PubSocket);

impl Publish for Theirs {
    async fn bind() -> (Self, u16) {
        let mut socket = PubSocket::new();
        let zeromq::Endpoint::Tcp(_, port) = socket.bind("tcp://127.0.0.1:0").await.unwrap() else {
            unreachable!("bound to a tcp address")
        };
        (Self(socket), port)
    }

    async fn publish(&mut self, body: Bytes) {
        self.0.send(body.into()).await.unwrap();
    }
}

/// Deliveries per CPU second of this thread.
fn measure<P, B>(bind: B, burst: usize, bursts: usize) -> f64
where
    P: Publish,
    B: AsyncFnOnce() -> (P, u16),
{
    runtime().block_on(async {
        let (mut publisher, port) = bind().await;
        let (done, mut everybody) = mpsc::unbounded_channel();
        std::thread::spawn(move || runtime().block_on(subscribers(port, burst, done)));
        // The first says that all are connected.
        everybody.recv().await.unwrap();
        let body = Bytes::from(vec![7; BODY]);
        let mut began = thread_cpu();
        for n in 0..=bursts {
            if n == 1 {
                // The first burst warmed up.
                began = thread_cpu();
            }
            for _ in 0..burst {
                publisher.publish(body.clone()).await;
            }
            everybody.recv().await.unwrap();
        }
        let took = thread_cpu().saturating_sub(began);
        (SUBSCRIBERS * burst * bursts) as f64 / took.as_secs_f64()
    })
}

/// Reads bursts until the publisher goes, and says so each time when everybody has all of one.
async fn subscribers(port: u16, burst: usize, done: mpsc::UnboundedSender<()>) {
    let waiting = Arc::new(AtomicUsize::new(SUBSCRIBERS));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..SUBSCRIBERS {
        let mut stream = subscribe(port).await;
        let (waiting, done) = (Arc::clone(&waiting), done.clone());
        tasks.spawn(async move {
            let mut bytes = vec![0; burst * ON_THE_WIRE];
            while stream.read_exact(&mut bytes).await.is_ok() {
                if waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
                    waiting.store(SUBSCRIBERS, Ordering::Relaxed);
                    let _gone = done.send(());
                }
            }
        });
    }
    // Nothing tells when a publisher has taken a subscription in.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _gone = done.send(());
    drop(done);
    while tasks.join_next().await.is_some() {}
}

async fn subscribe(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(GREETING).await.unwrap();
    stream.read_exact(&mut [0; 64]).await.unwrap();
    stream.write_all(READY_SUB).await.unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    let mut ready = vec![0; usize::from(head[1])];
    stream.read_exact(&mut ready).await.unwrap();
    stream.write_all(SUBSCRIBE_ALL).await.unwrap();
    stream
}
