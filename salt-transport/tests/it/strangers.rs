//! Strangers, one bad peer beside good ones, and input nobody should send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use salt_transport::{
    Channel, Dial, MasterAddr, MemoryDial, RequestChannel, ServeLimits, Server, Tcp, Wire, memory,
};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{WIRES, ask, echo, soon, tcp};

const GREETING: &[u8; 64] =
    b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const READY_REQ: &[u8] = b"\x04\x26\x05READY\x0bSocket-Type\0\0\0\x03REQ\x08Identity\0\0\0\0";

fn hostile() -> Vec<Vec<u8>> {
    let zmtp = |rest: &[u8]| [GREETING.as_slice(), READY_REQ, rest].concat();
    let announce = |flags: u8, len: u64| [&[flags][..], &len.to_be_bytes()].concat();
    let mut inputs = vec![
        b"GET / HTTP/1.1\r\nHost: salt\r\n\r\n".to_vec(),
        vec![0; 4096],
        vec![0xff; 4096],
        (0..=255).cycle().take(4096).collect(),
        zmtp(&announce(2, 1 << 30)),
        zmtp(&announce(2, 1 << 40)),
        zmtp(&announce(3, 1 << 62)),
        zmtp(&announce(6, 1 << 63)),
        zmtp(&announce(2, u64::MAX)),
        [GREETING.as_slice(), &announce(6, 1 << 40)].concat(),
        zmtp(&[0x08, 0]),
        zmtp(&[0x05, 1, 0]),
        zmtp(&b"\x01\x00".repeat(100_000)),
        zmtp(b"\x00\x01x"),
        zmtp(b"\x04\x00"),
    ];
    let tcp = b"\x82\xa4head\x80\xa4body";
    for rest in [
        &b"\xdb\xff\xff\xff\xff"[..],
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc1",
        &[0x91; 1000],
    ] {
        inputs.push([tcp, rest].concat());
    }
    inputs
}

// T-01, T-04: the peer is closed, the server goes on.
#[tokio::test]
async fn hostile_input_costs_only_its_sender() {
    for wire in WIRES {
        let (dial, _publish, request) = memory(64 * 1024);
        let _server = echo(request, wire, ServeLimits::default());
        let good = RequestChannel::new(dial.clone(), MasterAddr::new("any"), wire);

        for input in hostile() {
            let mut stream = raw(&dial).await;
            // The other wire's bytes are hostile as well; either way the end comes.
            let _refused = stream.write_all(&input).await;
            let _half_closed = stream.shutdown().await;
            let mut rest = Vec::new();
            soon(stream.read_to_end(&mut rest)).await.unwrap();
            ask(&good, "still there").await;
        }
    }
}

// T-02, T-07: silence ends with the handshake's time, on both wires.
#[tokio::test(start_paused = true)]
async fn a_silent_stranger_is_closed_after_the_handshake_time() {
    for wire in WIRES {
        let (dial, _publish, request) = memory(4096);
        let _server = echo(request, wire, ServeLimits::default());
        let mut silent = raw(&dial).await;
        let began = tokio::time::Instant::now();

        let mut rest = Vec::new();
        silent.read_to_end(&mut rest).await.unwrap();

        assert_eq!(began.elapsed().as_secs(), 30);
    }
}

// T-02: a slow drip does not pin what it sent.
#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_get_on_is_closed() {
    for (wire, begin) in [
        (
            Wire::Zeromq,
            [GREETING.as_slice(), READY_REQ, b"\x02\0\0\0\0\0\x10\0\0"].concat(),
        ),
        (
            Wire::Tcp,
            b"\x82\xa4head\x80\xa4body\xdb\x00\x10\x00\x00".to_vec(),
        ),
    ] {
        let (dial, _publish, request) = memory(4096);
        let limits = ServeLimits {
            heartbeat: None,
            ..ServeLimits::default()
        };
        let _server = echo(request, wire, limits);
        let mut drip = raw(&dial).await;
        drip.write_all(&begin).await.unwrap();
        let began = tokio::time::Instant::now();

        while drip.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }

        assert!((29..=32).contains(&began.elapsed().as_secs()));
    }
}

// T-07
#[tokio::test]
async fn strangers_in_any_number_do_not_keep_the_others_out() {
    let (dial, _publish, request) = memory(4096);
    let limits = ServeLimits {
        max_handshaking: 16,
        max_connections: 64,
        ..ServeLimits::default()
    };
    let _server = echo(request, Wire::Zeromq, limits);
    let mut strangers = Vec::new();
    for _ in 0..1000 {
        strangers.push(raw(&dial).await);
        tokio::task::yield_now().await;
    }

    let channel = RequestChannel::new(dial, MasterAddr::new("any"), Wire::Zeromq);
    soon(ask(&channel, "in")).await;
}

// T-07: one address fills its own share and no more.
#[tokio::test]
async fn one_address_gets_its_share_of_handshakes() {
    let (listener, master) = tcp().await;
    let limits = ServeLimits {
        max_handshaking_per_address: 4,
        ..ServeLimits::default()
    };
    let _server = echo(listener, Wire::Zeromq, limits);

    let mut open = 0;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = Dial::dial(&Tcp, &master, Channel::Request).await.unwrap();
        // Who was admitted is greeted, who was not is closed.
        let greeted = soon(stream.read(&mut [0; 64])).await;
        open += usize::from(greeted.is_ok_and(|n| n > 0));
        streams.push(stream);
    }

    assert_eq!(open, 4);
}

// T-07: ten thousand strangers from another address, as fast as they can, beside
// a hundred who proved themselves before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_does_not_keep_the_known_waiting() {
    const KNOWN: usize = 100;
    let (listener, master) = tcp().await;
    let (mut requests, serving) =
        Server::new(Wire::Zeromq, ServeLimits::default()).requests(listener);
    let _serving = tokio::spawn(serving);
    let _answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            request.trust();
            let body = request.body().clone();
            request.reply(body);
        }
    });
    let known = |master: &MasterAddr| RequestChannel::new(Tcp, master.clone(), Wire::Zeromq);
    ask(&known(&master), "known from now on").await;
    let port = master.request_port;
    let flood = std::thread::spawn(move || flood(port, 10_000));

    let mut asking = tokio::task::JoinSet::new();
    for n in 0..KNOWN {
        let channel = known(&master);
        asking.spawn(async move {
            // Spread over the flood's time.
            tokio::time::sleep(Duration::from_millis(n as u64 * 5)).await;
            let began = Instant::now();
            ask(&channel, "in spite of them").await;
            began.elapsed()
        });
    }
    let slowest = asking.join_all().await.into_iter().max().unwrap();
    let came = flood.join().unwrap();

    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(came > 9_000, "{came} strangers got as far as a connection");
}

/// Connects from 127.0.0.2 again and again, and leaves in several ways; how often it succeeded.
fn flood(port: u16, times: usize) -> usize {
    let garbage = [0x5a; 4096];
    let mut staying = std::collections::VecDeque::new();
    let mut came = 0;
    for n in 0..times {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // No waiting ports are left behind.
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())
            .unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        if socket.connect(&to.into()).is_err() {
            continue;
        }
        came += 1;
        let said: &[u8] = match n % 4 {
            0 => b"",
            1 => GREETING,
            2 => &garbage,
            _ => {
                staying.push_back(socket);
                if staying.len() > 500 {
                    staying.pop_front();
                }
                continue;
            }
        };
        // Who was refused at once is told so here.
        let _refused = socket.send(said);
    }
    came
}

// T-06: seen in a process of its own, because other tests of this one listen.
#[test]
fn a_server_on_streams_in_memory_listens_nowhere() {
    const CHILD: &str = "SALT_TRANSPORT_T06_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let name = "strangers::a_server_on_streams_in_memory_listens_nowhere";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
        return;
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let (dial, _publish, request) = memory(4096);
            let _server = echo(request, Wire::Zeromq, ServeLimits::default());
            let channel = RequestChannel::new(dial, MasterAddr::new("any"), Wire::Zeromq);
            ask(&channel, "works").await;

            assert_eq!(listening(), [""; 0]);
            let (listener, _) = tcp().await;
            assert_eq!(listening().len(), 1, "the check itself works");
            drop(listener);
        });
}

/// Inodes of this process's listening TCP sockets.
fn listening() -> Vec<String> {
    let ours: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            Some(link.strip_suffix(']')?.to_owned())
        })
        .collect();
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let listening = *fields.get(3)? == "0A";
            let inode = (*fields.get(9)?).to_owned();
            (listening && ours.contains(&inode)).then_some(inode)
        })
        .collect()
}

async fn raw(dial: &MemoryDial) -> tokio::io::DuplexStream {
    Dial::dial(dial, &MasterAddr::new("any"), Channel::Request)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_body_of_any_bytes_comes_back_over_zeromq() {
    let (dial, _publish, request) = memory(4096);
    let _server = echo(request, Wire::Zeromq, ServeLimits::default());
    let channel = RequestChannel::new(dial, MasterAddr::new("any"), Wire::Zeromq);

    for body in [Bytes::new(), Bytes::from(vec![0xff; 300_000])] {
        let reply = channel.request(body.clone(), Duration::from_secs(20)).await;
        assert_eq!(reply.unwrap(), body);
    }
}
