//! What `salt-minion` says when it cannot get to its master: one line, with the cause in it, and it goes on trying.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use salt_transport::rendezvous::{Fleet, Relay, RelayConfig};
use salt_transport::{AcceptError, Authorities, Listen as _, Route, Tcp, TlsConfig, TlsIdentity};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("salt-unreachable-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Parameters of a route with a certificate of `name`, made by the authority `by`, and trusting `trusted`.
    fn identity(&self, by: &Authority, name: &str, trusted: &Authority) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let certificate = params.signed_by(&key, &by.issuer).unwrap().pem();
        let ca = self.file("ca", &trusted.pem);
        let certificate = self.file("certificate", &certificate);
        let key = self.file("key", &key.serialize_pem());
        format!("?ca={ca}&certificate={certificate}&key={key}")
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn identity(&self, name: &str) -> TlsConfig {
        let scratch = Scratch::new(name);
        scratch.identity(self, name, self);
        let file = |name: &str| scratch.0.join(name);
        let identity = TlsIdentity::read(file("certificate"), file("key")).unwrap();
        TlsConfig::new(
            identity,
            Authorities::from_pem(self.pem.as_bytes()).unwrap(),
        )
    }
}

struct Minion(Child);

impl Drop for Minion {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Minion {
    fn start(dir: &Path, master: &str) -> Self {
        let root = dir.display();
        let config = format!(
            "id: web-01\nmaster: '{master}'\nroot_dir: {root}\npki_dir: {root}/pki\ncachedir: {root}/cache\n\
             sock_dir: {root}/run\npidfile: {root}/pid\nsecurity_profile: compat\ntrust_on_first_use: true\n\
             keysize: 2048\n"
        );
        fs::write(dir.join("minion"), config).unwrap();
        let minion = Command::new(env!("CARGO_BIN_EXE_salt-minion"))
            .arg("-c")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(minion)
    }

    /// Its lines until one says that the master cannot be reached, and whether it still runs then.
    fn complaint(&mut self) -> (Vec<String>, bool) {
        let errors = BufReader::new(self.0.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = Vec::new();
        while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            let found = line.contains("cannot be reached");
            seen.push(line);
            if found {
                // The next attempts fail in the same way, and nothing is said of them.
                while let Ok(line) = lines.recv_timeout(Duration::from_secs(2)) {
                    seen.push(line);
                }
                break;
            }
        }
        (seen, self.0.try_wait().unwrap().is_none())
    }
}

#[track_caller]
fn check(dir: &Scratch, master: &str, says: &[&str]) {
    let (lines, runs) = Minion::start(&dir.0, master).complaint();
    let complaints: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("cannot be reached"))
        .collect();
    let [complaint] = complaints.as_slice() else {
        panic!("one line is expected: {lines:#?}");
    };
    assert!(
        says.iter().all(|word| complaint.contains(word)),
        "{lines:#?}"
    );
    assert!(runs, "it gave up: {lines:#?}");
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

#[test]
fn a_name_that_is_none_is_said_to_be_one_of_dns() {
    let dir = Scratch::new("dns");
    check(&dir, "salt.invalid", &["failed to lookup address"]);
    let authority = Authority::new("ours");
    let identity = dir.identity(&authority, "web-01", &authority);
    let master = format!("rendezvous://relay.invalid/fleet-a{identity}");
    check(
        &dir,
        &master,
        &["relay relay.invalid:443: DNS: failed to lookup"],
    );
}

#[test]
fn a_closed_port_is_said_to_refuse() {
    let dir = Scratch::new("refused");
    let port = closed_port();
    check(&dir, &format!("127.0.0.1:{port}"), &["refused"]);
    let authority = Authority::new("ours");
    let identity = dir.identity(&authority, "web-01", &authority);
    let master = format!("rendezvous://127.0.0.1:{port}/fleet-a{identity}");
    check(
        &dir,
        &master,
        &["no way to `fleet-a`", "connection refused"],
    );
}

#[tokio::test]
async fn a_certificate_of_strangers_is_said_to_be_the_cause_whoever_refuses_it() {
    let dir = Scratch::new("certificate");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let masters = Scratch::new("certificate-master");
    let port = closed_port();
    let identity = masters.identity(&ours, "127.0.0.1", &ours);
    let publish = closed_port();
    let route = format!("tls://127.0.0.1:{port}{identity}&publish={publish}");
    let listening = route.parse::<Route>().unwrap().listen().await.unwrap();
    let mut request = listening.request;
    tokio::spawn(async move {
        // What is refused concerns one peer only.
        while !matches!(request.accept().await, Err(AcceptError::Closed)) {}
    });
    let dial = move |identity: &str| format!("tls://127.0.0.1:{port}{identity}");
    tokio::task::spawn_blocking(move || {
        let identity = dir.identity(&ours, "web-01", &theirs);
        check(
            &dir,
            &dial(&identity),
            &["invalid peer certificate: UnknownIssuer"],
        );
        let identity = dir.identity(&ours, "web-01", &ours) + "&name=other.example";
        check(
            &dir,
            &dial(&identity),
            &["certificate not valid for name", "other.example"],
        );
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_fleet_that_is_unknown_and_a_minion_that_is_are_told_apart() {
    let dir = Scratch::new("fleet");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let listener = Tcp::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = RelayConfig::default().fleet("fleet-a".parse().unwrap(), Fleet::new("salt"));
    let relay = Relay::tls(listener, &ours.identity("relay"), config).unwrap();
    tokio::spawn(relay.serve());
    tokio::task::spawn_blocking(move || {
        let dial = |identity: String| {
            format!("rendezvous://127.0.0.1:{port}/fleet-a{identity}&relay-name=relay")
        };
        let identity = dir.identity(&ours, "web-01", &ours);
        check(
            &dir,
            &dial(identity),
            &["unknown name: no master is registered"],
        );
        let identity = dir.identity(&theirs, "web-01", &ours);
        check(
            &dir,
            &dial(identity),
            &["certificate or TLS: received fatal alert"],
        );
    })
    .await
    .unwrap();
}

#[test]
fn a_file_that_is_missing_ends_the_minion_with_its_name() {
    let dir = Scratch::new("file");
    let mut minion = Minion::start(
        &dir.0,
        "tls://salt.example?ca=/none/ca.pem&certificate=/none/web.pem&key=/none/web.key",
    );
    let status = minion.0.wait().unwrap();
    let errors = BufReader::new(minion.0.stderr.take().unwrap());
    let lines: Vec<String> = errors.lines().map_while(Result::ok).collect();
    assert!(!status.success());
    let said: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("/none/"))
        .collect();
    assert_eq!(
        said,
        ["salt-minion: cannot read /none/web.pem: No such file or directory (os error 2)"],
        "{lines:#?}"
    );
}
