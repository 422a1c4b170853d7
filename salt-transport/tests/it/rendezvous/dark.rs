//! N-01: the master's process has no listening socket, looked at from outside.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::SeedableRng as _;
use salt_crypto::{Identity, PublicKey};
use salt_proto::{Job, MemoryKeyStore, Target};
use salt_transport::rendezvous::{Fleet, Relay, RelayConfig, Rendezvous};
use salt_transport::{Authorities, Master, MasterAddr, Minion, Tcp, TlsConfig, TlsIdentity};

use super::{FLEET, Site, fleet};
use crate::support::{soon, until};

/// Says to the process that runs the test what it is, and where its files are.
const MASTER: &str = "SALT_TEST_DARK_MASTER";
const NAME: &str = "rendezvous::dark::the_masters_process_has_no_listening_socket";

// N-01
#[tokio::test]
async fn the_masters_process_has_no_listening_socket() {
    if let Ok(dir) = std::env::var(MASTER) {
        return master(Path::new(&dir)).await;
    }
    let site = Site::new();
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = RelayConfig::default().fleet(FLEET.parse().unwrap(), Fleet::new(FLEET));
    let relay = Relay::tls(listener, &site.outer.config("relay"), config).unwrap();
    let handle = relay.handle();
    let _relay = tokio::spawn(relay.serve());

    let dir = Scratch::new();
    let write = |name: &str, text: &str| std::fs::write(dir.0.join(name), text).unwrap();
    for (layer, authority) in [("outer", &site.outer), ("inner", &site.inner)] {
        let (certificate, key) = authority.issue(FLEET, |_| {});
        write(&format!("{layer}.pem"), &certificate);
        write(&format!("{layer}.key"), &key);
        write(&format!("{layer}.ca"), authority.pem());
    }
    write("port", &port.to_string());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(MASTER, &dir.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (said, mut hear) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if said.send(line).is_err() {
                return;
            }
        }
    });
    let _child = Child(child);
    let mut hear = async |what: &str| loop {
        let line = soon(hear.recv()).await.expect("the master has ended");
        if let Some(rest) = line.strip_prefix(what) {
            return rest.to_owned();
        }
    };
    hear("key").await;
    let key = std::fs::read_to_string(dir.0.join("master.pub")).unwrap();
    until(|| handle.stats().names == 1).await;

    let outer = site.outer.config("web-01").server_name("relay");
    let relays = [MasterAddr::new("127.0.0.1").ports(port, port)];
    let way = Rendezvous::tls(relays, &outer).unwrap();
    let dial = way.dial(&site.inner.config("web-01")).unwrap();
    let mut rng = rand::rngs::StdRng::from_seed([12; 32]);
    let minion = Minion::builder(
        "web-01".parse().unwrap(),
        Identity::generate(2048, &mut rng).unwrap(),
    )
    .master_key(PublicKey::from_pem(&key).unwrap())
    .handler(|job: Job| async move { job.ok(true) })
    .build(dial, fleet())
    .unwrap();
    let minion_handle = minion.handle();
    let _minion = tokio::spawn(minion.run());
    soon(minion_handle.until_receiving()).await;

    // It works, and while it does nobody could connect to it.
    assert_eq!(hear("pinged ").await, "web-01");
    assert_eq!(open_to_strangers(&pid.to_string()), BTreeSet::new());
    // This process has the relay's port, so the look would have found one.
    let ours = open_to_strangers("self");
    assert!(
        ours.iter()
            .any(|socket| socket.ends_with(&format!(":{port:04X}"))),
        "{ours:?}"
    );
}

/// What the child does: a master that pings until it is killed.
#[expect(
    clippy::print_stdout,
    reason = "it speaks to the process that started it"
)]
async fn master(dir: &Path) {
    let config = |layer: &str| {
        let file = |kind: &str| dir.join(format!("{layer}.{kind}"));
        let identity = TlsIdentity::read(file("pem"), file("key")).unwrap();
        TlsConfig::new(identity, Authorities::read(file("ca")).unwrap())
    };
    let port = std::fs::read_to_string(dir.join("port")).unwrap();
    let port = port.parse().unwrap();
    let relays = [MasterAddr::new("127.0.0.1").ports(port, port)];
    let way = Rendezvous::tls(relays, &config("outer").server_name("relay")).unwrap();
    let (publish, request, running) = way.host(FLEET.parse().unwrap(), &config("inner")).unwrap();
    let _running = tokio::spawn(running);
    let mut rng = rand::rngs::StdRng::from_seed([13; 32]);
    let identity = Identity::generate(2048, &mut rng).unwrap();
    std::fs::write(dir.join("master.pub"), identity.public_key().as_pem()).unwrap();
    let keys = MemoryKeyStore::new().danger_accept_everyone();
    let (master, serving) = Master::builder(identity, keys)
        .serve(publish, request)
        .unwrap();
    let _serving = tokio::spawn(serving);
    println!("\nkey");
    let mut parent = tokio::time::interval(Duration::from_millis(100));
    loop {
        parent.tick().await;
        if !dir.exists() {
            return;
        }
        let job = master.publish(Target::glob("*"), "test.ping", vec![]).await;
        // Until the minion is there, nobody is meant.
        let Ok(job) = job else { continue };
        let mut job = job.within(Duration::from_secs(1));
        while let Some(ret) = job.next().await {
            println!("\npinged {}", ret.id);
        }
    }
}

/// Local addresses on which a process listens (TCP) or that it has bound (UDP).
fn open_to_strangers(pid: &str) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    for descriptor in std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
    {
        let target = std::fs::read_link(descriptor.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        if let Some(inode) = target.strip_prefix("socket:[") {
            own.insert(inode.trim_end_matches(']').to_owned());
        }
    }
    let mut open = BTreeSet::new();
    for kind in ["tcp", "tcp6", "udp", "udp6"] {
        let Ok(table) = std::fs::read_to_string(format!("/proc/{pid}/net/{kind}")) else {
            continue;
        };
        for line in table.lines().skip(1) {
            let columns: Vec<_> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) =
                (columns.get(1), columns.get(3), columns.get(9))
            else {
                continue;
            };
            // 0A is LISTEN.
            if own.contains(*inode) && (kind.starts_with("udp") || *state == "0A") {
                open.insert(format!("{kind} {local}"));
            }
        }
    }
    open
}

/// A directory that goes with the test.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("salt-dark-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
