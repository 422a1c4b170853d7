//! What each stream costs: requests and bytes per CPU second, both ends in one thread.
//!
//! A request is 1 KiB and its echo, over the ZeroMQ wire; bytes go one way in pieces of 16 KiB. The thread's CPU
//! time counts, so a busy machine changes little; the kernel's part of loopback is in it, and for `rendezvous` the
//! relay's, which is another machine's in earnest. The rounds of all streams take turns, and the best of each counts.
//! The share of `tls` in what `tcp` manages is the figure to watch: at least 75 %.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on says so")]
#![expect(clippy::print_stdout, reason = "a program")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use salt_benches::thread_cpu;
use salt_transport::rendezvous::{Fleet, Relay, RelayConfig, Rendezvous};
use salt_transport::{
    AnyDial, AnyOf, Authorities, Channel, Dial as _, HandshakeLimits, Listen as _, MasterAddr,
    Quic, RequestChannel, ServeLimits, Server, Tcp, Tls, TlsAccept, TlsConfig, TlsIdentity, Wire,
    Ws, memory,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const MASTER: &str = "fleet-a";
const PIECE: usize = 16 << 10;

fn main() -> ExitCode {
    // `cargo test --benches` runs this too; a look is enough then.
    let quick = !std::env::args().any(|arg| arg == "--bench");
    let (rounds, requests, bytes) = if quick {
        (1, 20, 1 << 20)
    } else {
        (7, 2_000, 64 << 20)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let names = ["memory", "tcp", "tls", "wss", "quic", "rendezvous"];
        let certificates = Certificates::new();
        let mut best = [(0_f64, 0_f64); 6];
        for _ in 0..rounds {
            for (name, best) in names.iter().zip(&mut best) {
                let asked = asked(ends(name, &certificates).await, requests).await;
                let moved = moved(ends(name, &certificates).await, bytes).await;
                *best = (best.0.max(asked), best.1.max(moved));
            }
        }
        let tcp = best.get(1).copied().unwrap_or_default();
        println!(
            "{:<12} {:>16} {:>8} {:>14} {:>8}",
            "stream", "requests/CPU s", "of tcp", "MB/CPU s", "of tcp"
        );
        for (name, (asked, moved)) in names.iter().zip(best) {
            println!(
                "{name:<12} {asked:>16.0} {:>7.0}% {:>14.0} {:>7.0}%",
                100. * asked / tcp.0,
                moved / 1e6,
                100. * moved / tcp.1
            );
        }
        let tls = best.get(2).map_or(0., |tls| tls.0) / tcp.0;
        let held = tls >= 0.75;
        let verdict = if held { "held" } else { "missed" };
        println!(
            "tls manages {:.0} % of tcp's requests per CPU second (75 asked): {verdict}",
            100. * tls
        );
        if held || quick {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

/// Both ends of a kind of stream.
struct Ends {
    dial: AnyDial,
    listen: AnyOf,
    master: MasterAddr,
    driving: tokio::task::JoinSet<()>,
}

async fn ends(name: &str, certificates: &Certificates) -> Ends {
    let mut driving = tokio::task::JoinSet::new();
    let minion = certificates.of("web-01").server_name(MASTER);
    let master = certificates.of(MASTER);
    let bind = async || {
        let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, MasterAddr::new("127.0.0.1").ports(port, port))
    };
    let limits = HandshakeLimits::default();
    let (dial, listen, master) = match name {
        "memory" => {
            let (dial, _, listener) = memory(256 << 10);
            (
                AnyDial::new(dial),
                AnyOf::new().and(listener),
                MasterAddr::new("any"),
            )
        }
        "tcp" => {
            let (listener, at) = bind().await;
            (AnyDial::new(Tcp), AnyOf::new().and(listener), at)
        }
        "tls" => {
            let (listener, at) = bind().await;
            let listener = TlsAccept::over(listener, &master).unwrap();
            let dial = AnyDial::new(Tls::over(Tcp, &minion).unwrap());
            (dial, AnyOf::new().and(listener), at)
        }
        "wss" => {
            let (listener, at) = bind().await;
            let both = Ws::accept(TlsAccept::over(listener, &master).unwrap(), limits);
            driving.spawn(both.accepting);
            let dial = AnyDial::new(Ws::over(Tls::over(Tcp, &minion).unwrap()));
            (dial, AnyOf::new().and(both.request), at)
        }
        "quic" => {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let both = Quic::listen(any, &master, limits).unwrap();
            let at = MasterAddr::new("127.0.0.1").ports(both.address.port(), both.address.port());
            driving.spawn(both.accepting);
            let dial = AnyDial::new(Quic::new(&minion).unwrap());
            (dial, AnyOf::new().and(both.request), at)
        }
        _ => {
            let (listener, at) = bind().await;
            let fleet: salt_transport::rendezvous::FleetName = MASTER.parse().unwrap();
            let config = RelayConfig::default().fleet(fleet.clone(), Fleet::new(MASTER));
            let relay = Relay::tls(listener, &certificates.of("relay"), config).unwrap();
            let handle = relay.handle();
            driving.spawn(relay.serve());
            let way = |config: TlsConfig| {
                Rendezvous::tls([at.clone()], &config.server_name("relay")).unwrap()
            };
            let (_publish, request, running) =
                way(certificates.of(MASTER)).host(fleet, &master).unwrap();
            driving.spawn(running);
            let dial = way(certificates.of("web-01")).dial(&certificates.of("web-01"));
            while handle.stats().names == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (
                AnyDial::new(dial.unwrap()),
                AnyOf::new().and(request),
                MasterAddr::new(MASTER),
            )
        }
    };
    Ends {
        dial,
        listen,
        master,
        driving,
    }
}

/// Requests per CPU second.
async fn asked(mut ends: Ends, requests: u32) -> f64 {
    let (mut incoming, serving) =
        Server::new(Wire::Zeromq, ServeLimits::default()).requests(ends.listen);
    ends.driving.spawn(serving);
    ends.driving.spawn(async move {
        while let Some(request) = incoming.next().await {
            let body = request.body().clone();
            request.reply(body);
        }
    });
    let channel = RequestChannel::new(ends.dial, ends.master, Wire::Zeromq);
    let body = Bytes::from(vec![0x2a; 1 << 10]);
    let patience = Duration::from_secs(20);
    for _ in 0..20 {
        channel.request(body.clone(), patience).await.unwrap();
    }
    let began = thread_cpu();
    for _ in 0..requests {
        channel.request(body.clone(), patience).await.unwrap();
    }
    f64::from(requests) / thread_cpu().saturating_sub(began).as_secs_f64()
}

/// Bytes per CPU second.
async fn moved(mut ends: Ends, bytes: u32) -> f64 {
    let accepting = async {
        let (mut far, _) = ends.listen.accept().await.unwrap();
        far.read_u8().await.unwrap();
        far
    };
    let dialing = async {
        let mut near = ends
            .dial
            .dial(&ends.master, Channel::Request)
            .await
            .unwrap();
        near.write_all(b"!").await.unwrap();
        near.flush().await.unwrap();
        near
    };
    let (mut near, mut far) = tokio::join!(dialing, accepting);
    let began = thread_cpu();
    let sending = async {
        let piece = vec![0x2a; PIECE];
        for _ in 0..bytes as usize / PIECE {
            near.write_all(&piece).await.unwrap();
        }
        near.flush().await.unwrap();
    };
    let receiving = async {
        let mut piece = vec![0; 4 * PIECE];
        let mut left = bytes as usize;
        while left > 0 {
            left = left.saturating_sub(far.read(&mut piece).await.unwrap());
        }
    };
    tokio::join!(sending, receiving);
    f64::from(bytes) / thread_cpu().saturating_sub(began).as_secs_f64()
}

/// An authority, which believes itself.
struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    authority: Authorities,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            authority: Authorities::from_pem(pem.as_bytes()).unwrap(),
        }
    }

    fn of(&self, name: &str) -> TlsConfig {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        let identity = TlsIdentity::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
        TlsConfig::new(identity, self.authority.clone())
    }
}
