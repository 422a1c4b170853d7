//! An overlay of OpenZiti's kind in one process: a controller and routers, made for faults.

#[path = "overlay/controller.rs"]
mod controller;
#[path = "overlay/http.rs"]
mod http;
#[path = "overlay/pki.rs"]
mod pki;
#[path = "overlay/router.rs"]
mod router;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use salt_transport::ziti::{Identity, IdentityFile};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use pki::Pki;
use router::{Chan, Circuits};

/// How the overlay behaves. By default as one of 2026 should.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    /// As in 2022: hosts choose ids, nothing says who calls or that a bind is reachable.
    pub(crate) as_in_2022: bool,
    /// Log-in by OIDC is offered.
    pub(crate) oidc: bool,
    /// A bind is never confirmed.
    pub(crate) withhold_bind_success: bool,
    /// Routers refuse every Hello.
    pub(crate) refuse_hello: bool,
    /// Routers never answer a Hello.
    pub(crate) ignore_hello: bool,
    /// Routers do not answer when they are asked whether they live.
    pub(crate) mute: bool,
    /// Each second message of a connection goes before the one it follows.
    pub(crate) reorder: bool,
    /// Routers send everything twice.
    pub(crate) repeat: bool,
    /// Routers end a direction after its first message, in the sender's name.
    pub(crate) forge_end: bool,
    /// Routers change a byte of what they carry.
    pub(crate) corrupt: bool,
    /// Routers say another name to hosts than the one that is known, or what the dialer claims only.
    pub(crate) hide_dialers: bool,
    /// Every answer of the controller comes so late.
    pub(crate) late: Duration,
    /// Routers do not take renewed tokens.
    pub(crate) refuse_tokens: bool,
    /// How many seconds a log-in by OIDC is good for.
    pub(crate) expires_in: Option<u64>,
    /// Lists come one entry at a time.
    pub(crate) small_pages: bool,
    /// Enrolment is answered in plain PEM.
    pub(crate) plain_pem: bool,
}

/// What was asked of the overlay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) log_ins: usize,
    pub(crate) sessions: usize,
    pub(crate) hellos: usize,
    pub(crate) binds: usize,
    pub(crate) probes: usize,
    pub(crate) updated_tokens: usize,
    pub(crate) refreshed: usize,
}

pub(crate) struct Service {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) encrypted: bool,
}

/// The right of one identity to one service.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) identity: String,
    pub(crate) service: String,
    pub(crate) bind: bool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) behaviour: Behaviour,
    pub(crate) counts: Counts,
    /// Names by id.
    pub(crate) identities: HashMap<String, String>,
    /// Ids by one-time secret.
    pub(crate) tokens: HashMap<String, String>,
    /// Ids by the token of a log-in.
    pub(crate) log_ins: HashMap<String, String>,
    pub(crate) sessions: HashMap<String, Session>,
    pub(crate) services: Vec<Service>,
    pub(crate) routers: Vec<(SocketAddr, bool)>,
    pub(crate) oidc: controller::Oidc,
    pub(crate) circuits: Circuits,
    pub(crate) channels: Vec<Arc<Chan>>,
    pub(crate) not_understood: Vec<String>,
    changes: usize,
    last: u64,
}

impl State {
    /// A number nobody else has.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn changes(&self) -> usize {
        self.changes
    }
}

pub(crate) struct Shared {
    pub(crate) pki: Pki,
    /// The address of the controller.
    address: SocketAddr,
    state: Mutex<State>,
}

impl Shared {
    /// Of the controller.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// The whole of it; dropped, it ends.
pub(crate) struct Overlay {
    pub(crate) shared: Arc<Shared>,
    controller: JoinHandle<()>,
    routers: Vec<Option<JoinHandle<()>>>,
}

impl Overlay {
    /// With so many routers, and the services `salt-publish` and `salt-request`.
    pub(crate) async fn start(routers: usize) -> Self {
        Self::start_at("127.0.0.1", routers).await
    }

    /// At an address of this machine.
    pub(crate) async fn start_at(host: &str, routers: usize) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let shared = Arc::new(Shared {
            pki: Pki::new(host),
            address: listener.local_addr().unwrap(),
            state: Mutex::default(),
        });
        let controller = tokio::spawn(controller::serve(listener, Arc::clone(&shared)));
        let mut overlay = Self {
            shared,
            controller,
            routers: Vec::new(),
        };
        for at in 0..routers {
            let listener = TcpListener::bind((host, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            overlay.shared.state().routers.push((address, true));
            let serving = router::serve(listener, at, Arc::clone(&overlay.shared));
            overlay.routers.push(Some(tokio::spawn(serving)));
        }
        overlay.service("salt-publish", true);
        overlay.service("salt-request", true);
        overlay
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.state().behaviour);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shared.state().counts.clone()
    }

    pub(crate) fn service(&self, name: &str, encrypted: bool) {
        let mut state = self.shared.state();
        let id = format!("svc-{}", state.next());
        state.changes += 1;
        state.services.push(Service {
            id,
            name: name.to_owned(),
            encrypted,
        });
    }

    pub(crate) fn url(&self) -> String {
        self.shared.url()
    }

    fn id(&self, name: &str) -> String {
        let mut state = self.shared.state();
        let id = format!("id-{}", state.next());
        state.identities.insert(id.clone(), name.to_owned());
        id
    }

    /// An identity file for a new identity.
    pub(crate) fn identity_file(&self, name: &str) -> String {
        let id = self.id(name);
        let (certificate, key) = self.shared.pki.client(&id);
        serde_json::json!({
            "ztAPI": self.url(),
            "id": {
                "cert": format!("pem:{certificate}"),
                "key": format!("pem:{key}"),
                "ca": format!("pem:{}", self.shared.pki.ca_pem()),
            },
        })
        .to_string()
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let file = IdentityFile::parse(self.identity_file(name).as_bytes()).unwrap();
        Identity::from_file(&file, std::path::Path::new("")).unwrap()
    }

    /// A one-time token for a new identity.
    pub(crate) fn token(&self, name: &str) -> String {
        let id = self.id(name);
        let secret = format!("ott-{}", self.shared.state().next());
        let claims = serde_json::json!({
            "iss": self.url(), "sub": id, "em": "ott", "jti": secret, "exp": 4_000_000_000_u64,
            "aud": "", "ctrls": [self.url()],
        });
        self.shared.state().tokens.insert(secret, id);
        self.shared.pki.jwt(&claims)
    }

    /// Ends a router, with every channel to it.
    pub(crate) async fn stop_router(&mut self, at: usize) {
        if let Some(task) = self.routers[at].take() {
            task.abort();
            drop(task.await);
        }
        self.shared.state().lost_with(at);
    }

    /// Brings it back at the same address.
    pub(crate) async fn start_router(&mut self, at: usize) {
        let address = self.shared.state().routers[at].0;
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let serving = router::serve(listener, at, Arc::clone(&self.shared));
        self.routers[at] = Some(tokio::spawn(serving));
    }

    /// Cuts the channels of one router, or of all.
    pub(crate) fn drop_channels(&self, of: Option<usize>) {
        let state = self.shared.state();
        for channel in &state.channels {
            if of.is_none_or(|router| channel.router == router) {
                channel.cut.notify_one();
            }
        }
    }

    /// As after a policy change: log-ins, or sessions, are not known any more.
    pub(crate) fn forget_log_ins(&self) {
        self.shared.state().log_ins.clear();
    }

    /// As after somebody deleted an identity.
    pub(crate) fn forget_identity(&self, name: &str) {
        self.shared
            .state()
            .identities
            .retain(|_, known| known != name);
    }

    pub(crate) fn forget_sessions(&self) {
        self.shared.state().sessions.clear();
    }

    /// Calls of clients that the overlay has no answer for.
    pub(crate) fn not_understood(&self) -> Vec<String> {
        self.shared.state().not_understood.clone()
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        self.controller.abort();
        for router in self.routers.iter().flatten() {
            router.abort();
        }
        self.drop_channels(None);
    }
}

pub(crate) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
