//! The channel to one router: connecting, pumping, connecting again.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::channel::{Asked, Channel, ChannelError, Event};
use super::conn::{Conn, ConnError, MAX_TEXT};
use super::controller::Access;
use super::edge::{self, Caller, ROUTER_IDS, Reason, content};
use super::http;
use super::message::Message;
use super::pipe::{INBOX, Outgoing, Pipe, Ready, Stream, UNACCEPTED};
use super::seal::{HEADER, KeyPair, Side};
use super::url::Origin;
use crate::random;
use crate::stream::{Peer, Principal};

/// How much waits to be sent on the channel before connections are asked for more.
const OUT: usize = 128 * 1024;
/// How long one that does not read may stop everybody.
const STALL: Duration = Duration::from_secs(2);
/// Waits between attempts to connect: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(160));

/// Keeps the driver alive while somebody holds it.
pub(crate) type Alive = Arc<dyn Send + Sync>;

/// Why a router did not give a connection.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// The router says so.
    Said(Reason),
    /// There is no channel.
    Down(String),
}

/// What happens to a bind.
#[derive(Clone, Debug)]
pub(crate) enum BindEvent {
    /// The router took it.
    Accepted,
    /// Callers can reach it.
    Confirmed,
    /// It has ended.
    Ended(Refusal),
}

pub(crate) enum Command {
    Connect {
        id: u32,
        token: Zeroizing<String>,
        caller: String,
        encrypted: bool,
        alive: Alive,
        reply: oneshot::Sender<Result<Stream, Refusal>>,
    },
    Bind {
        id: u32,
        token: Zeroizing<String>,
        listener: [u8; 32],
        encrypted: bool,
        alive: Alive,
        incoming: mpsc::Sender<(Stream, Peer)>,
        events: mpsc::Sender<BindEvent>,
    },
    Unbind(u32),
}

/// Whether there is a channel.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// None; after so many attempts, and why the last one failed.
    Down {
        attempts: u64,
        why: String,
    },
    Up {
        latency: Option<Duration>,
    },
}

/// A router, as those see it who want something of it.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    pub(crate) origin: Origin,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) status: watch::Receiver<Status>,
    hurry: Arc<Notify>,
    ids: Arc<AtomicU32>,
}

impl Router {
    /// Do not wait any longer before the next attempt.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// An id for a connection of ours.
    pub(crate) fn id(&self) -> u32 {
        self.ids.fetch_add(1, Ordering::Relaxed) % (ROUTER_IDS - 1) + 1
    }
}

/// What a router's task is given.
pub(crate) struct RouterTask {
    origin: Origin,
    tls: Arc<rustls::ClientConfig>,
    access: watch::Receiver<Option<Access>>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    hurry: Arc<Notify>,
    /// Told when the status changes.
    pub(crate) changed: Arc<Notify>,
    /// Told when a router does not know our log-in.
    pub(crate) suspect: Arc<Notify>,
}

/// A router, and the task that has to be run for it.
pub(crate) fn router(
    origin: Origin,
    tls: Arc<rustls::ClientConfig>,
    access: watch::Receiver<Option<Access>>,
    changed: Arc<Notify>,
    suspect: Arc<Notify>,
) -> (Router, RouterTask) {
    let (commands, received) = mpsc::channel(64);
    let (status, seen) = watch::channel(Status::Down {
        attempts: 0,
        why: "not connected yet".to_owned(),
    });
    let hurry = Arc::new(Notify::new());
    let router = Router {
        origin: origin.clone(),
        commands,
        status: seen,
        hurry: Arc::clone(&hurry),
        ids: Arc::new(AtomicU32::new(0)),
    };
    let task = RouterTask {
        origin,
        tls,
        access,
        commands: received,
        status,
        hurry,
        changed,
        suspect,
    };
    (router, task)
}

impl RouterTask {
    /// Runs until nobody holds the [`Router`].
    pub(crate) async fn run(mut self) {
        let mut attempts: u64 = 0;
        let mut wait = BACKOFF.0;
        loop {
            let begun = Instant::now();
            let Some(ended) = self.once().await else {
                return;
            };
            attempts = attempts.saturating_add(1);
            tracing::info!(router = %self.origin, "channel lost: {ended}");
            self.status.send_replace(Status::Down {
                attempts,
                why: ended.to_string(),
            });
            self.changed.notify_waiters();
            if begun.elapsed() > BACKOFF.1 {
                wait = BACKOFF.0;
            }
            let delay = jitter(wait);
            wait = (wait * 2).min(BACKOFF.1);
            if !self.pause(delay).await {
                return;
            }
        }
    }

    /// Waits for the next attempt; `false` when nobody wants any more.
    async fn pause(&mut self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                () = self.hurry.notified() => return true,
                command = self.commands.recv() => match command {
                    Some(command) => turn_away(command, "there is no channel to the router"),
                    None => return false,
                },
            }
        }
    }

    /// One channel, from its beginning to its end; `None` when nobody wants it any more.
    async fn once(&mut self) -> Option<Lost> {
        let token = loop {
            let access = self.access.borrow_and_update().clone();
            if let Some(access) = access {
                break Zeroizing::new(access.token().to_owned());
            }
            tokio::select! {
                changed = self.access.changed() => changed.ok()?,
                command = self.commands.recv() => turn_away(command?, "not logged in"),
            }
        };
        let stream = match http::connect(&self.origin, &self.tls).await {
            Ok(stream) => stream,
            Err(error) => return Some(Lost::Io(error)),
        };
        let (read, write) = tokio::io::split(stream);
        let now = Instant::now().into_std();
        let mut live = Live {
            channel: Channel::new(&token, now),
            ready: Arc::new(Ready::default()),
            conns: HashMap::new(),
            pending: HashMap::new(),
            binds: HashMap::new(),
            input: BytesMut::new(),
            stalled: None,
            up: false,
        };
        let ended = self.pump(&mut live, read, write).await;
        let ended = ended.err();
        if let Some(Lost::Channel(ChannelError::Refused(_)) | Lost::Token) = &ended {
            self.suspect.notify_one();
        }
        let unknown = live.channel.unknown();
        if unknown > 0 {
            tracing::debug!(router = %self.origin, unknown, "messages that were not understood");
        }
        ended
    }

    async fn pump(
        &mut self,
        live: &mut Live,
        mut read: ReadHalf<TlsStream<TcpStream>>,
        mut write: WriteHalf<TlsStream<TcpStream>>,
    ) -> Result<(), Lost> {
        let mut unflushed = false;
        loop {
            live.process()?;
            live.drain();
            self.tell(live);
            live.input.reserve(16 * 1024);
            let mut deadline = Instant::from_std(live.channel.deadline());
            if let Some((_, until)) = live.stalled {
                deadline = deadline.min(until);
            }
            let Live {
                channel,
                ready,
                input,
                stalled,
                ..
            } = &mut *live;
            let out = channel.out();
            let writing = !out.is_empty() || unflushed;
            // What is read may have to be answered.
            let reading = stalled.is_none() && out.len() < 2 * OUT;
            let sending = async {
                if out.is_empty() {
                    write.flush().await?;
                    return Ok(false);
                }
                write.write_buf(out).await?;
                io::Result::Ok(true)
            };
            tokio::select! {
                sent = sending, if writing => unflushed = sent.map_err(Lost::Io)?,
                received = read.read_buf(input), if reading => {
                    if received.map_err(Lost::Io)? == 0 {
                        return Err(Lost::Io(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
                () = ready.changed() => {}
                command = self.commands.recv() => match command {
                    Some(command) => live.command(command),
                    None => return Ok(()),
                },
                changed = self.access.changed() => {
                    // Nobody logs in any more when that is gone, but what stands may go on.
                    if changed.is_err() {
                        return Ok(());
                    }
                    let access = self.access.borrow_and_update().clone();
                    if let Some(Access::Bearer { access, .. }) = access {
                        live.channel.ask(edge::update_token(&access), Asked::Token);
                    }
                }
                () = sleep_until(deadline) => {
                    live.channel.tick(Instant::now().into_std())?;
                    live.unstall();
                }
            }
        }
    }

    /// Tells what those wait for who want to dial.
    fn tell(&self, live: &Live) {
        if !live.up {
            return;
        }
        let latency = live.channel.latency();
        let changed = self.status.send_if_modified(|status| match status {
            Status::Up { latency: known } if *known == latency => false,
            status => {
                *status = Status::Up { latency };
                true
            }
        });
        if changed {
            self.changed.notify_waiters();
        }
    }
}

/// A wait between nothing and the whole.
pub(crate) fn jitter(wait: Duration) -> Duration {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random::u64() % millis.max(1))
}

fn turn_away(command: Command, why: &str) {
    let down = Refusal::Down(why.to_owned());
    match command {
        // Who asked may have gone.
        Command::Connect { reply, .. } => drop(reply.send(Err(down))),
        Command::Bind { events, .. } => drop(events.try_send(BindEvent::Ended(down))),
        Command::Unbind(_) => {}
    }
}

/// Why a channel has ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Io(io::Error),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("the router did not take our renewed token")]
    Token,
}

/// A connection that was asked for.
struct Pending {
    key: KeyPair,
    encrypted: bool,
    alive: Alive,
    reply: oneshot::Sender<Result<Stream, Refusal>>,
}

/// A service that is hosted.
struct Bound {
    token: Zeroizing<String>,
    encrypted: bool,
    alive: Alive,
    incoming: mpsc::Sender<(Stream, Peer)>,
    events: mpsc::Sender<BindEvent>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        let lost = Refusal::Down("the channel to the router was lost".to_owned());
        // Told twice does no harm: who listens stops at the first.
        drop(self.events.try_send(BindEvent::Ended(lost)));
    }
}

/// A connection that stands.
struct Entry {
    conn: Conn,
    pipe: Arc<Pipe>,
    /// Nothing may be sent before the router knows the connection.
    held: Option<Vec<Message>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.pipe.broken(
            io::ErrorKind::ConnectionReset,
            "the channel to the router was lost",
        );
    }
}

/// A channel, with everything on it.
struct Live {
    channel: Channel,
    ready: Arc<Ready>,
    conns: HashMap<u32, Entry>,
    pending: HashMap<u32, Pending>,
    binds: HashMap<u32, Bound>,
    input: BytesMut,
    /// The connection that holds everybody up, and until when it may.
    stalled: Option<(u32, Instant)>,
    up: bool,
}

impl Live {
    /// Takes messages until there is none, or one connection has to be waited for.
    fn process(&mut self) -> Result<(), Lost> {
        loop {
            if let Some((id, _)) = self.stalled {
                if self
                    .conns
                    .get(&id)
                    .is_some_and(|entry| entry.pipe.is_full())
                {
                    return Ok(());
                }
                self.stalled = None;
            }
            let limits = self.channel.limits();
            let message = Message::read(&mut self.input, limits).map_err(ChannelError::from)?;
            let Some(message) = message else {
                return Ok(());
            };
            let now = Instant::now().into_std();
            match self.channel.receive(message, now)? {
                None => {}
                Some(Event::Greeted) => self.up = true,
                Some(Event::TokenRefused(_)) => return Err(Lost::Token),
                Some(Event::Reply(asked, message)) => self.replied(asked, &message),
                Some(Event::Of(conn, message)) => self.concerns(conn, &message),
            }
        }
    }

    /// One that holds everybody up for too long is given up.
    fn unstall(&mut self) {
        let Some((id, until)) = self.stalled else {
            return;
        };
        if Instant::now() < until {
            return;
        }
        self.stalled = None;
        if self
            .conns
            .get(&id)
            .is_some_and(|entry| entry.pipe.is_full())
        {
            self.give_up(id, io::ErrorKind::ConnectionAborted, "receiver too slow");
        }
    }

    fn give_up(&mut self, id: u32, kind: io::ErrorKind, why: &str) {
        if let Some(entry) = self.conns.remove(&id) {
            entry.pipe.broken(kind, why);
            self.channel.send(edge::closed(id, why));
        }
    }

    /// Sends what the connections have, in turns.
    fn drain(&mut self) {
        while self.channel.out().len() < OUT {
            let Some(id) = self.ready.pop() else {
                return;
            };
            let Some(entry) = self.conns.get_mut(&id) else {
                continue;
            };
            // It is put back when the router knows the connection.
            if entry.held.is_some() {
                continue;
            }
            match entry.pipe.take(MAX_TEXT) {
                Outgoing::Nothing => continue,
                Outgoing::Text(text) => match entry.conn.send(&text) {
                    Ok(message) => {
                        self.channel.send(message);
                    }
                    Err(error) => self.failed(id, error),
                },
                Outgoing::Finish => {
                    if let Some(message) = entry.conn.finish() {
                        self.channel.send(message);
                    }
                }
                Outgoing::Close => {
                    self.conns.remove(&id);
                    self.channel.forget(id);
                    self.channel.send(edge::closed(id, ""));
                    continue;
                }
            }
            self.ready.push(id);
        }
        // There may be more; the next round begins when this one was sent.
    }

    fn failed(&mut self, id: u32, error: ConnError) {
        self.give_up(id, io::ErrorKind::InvalidData, &error.to_string());
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Connect { id, .. } | Command::Bind { id, .. }
                if !self.up || self.knows(id) =>
            {
                turn_away(command, "there is no channel to the router");
            }
            Command::Connect {
                id,
                token,
                caller,
                encrypted,
                alive,
                reply,
            } => {
                // Nobody waits for these any more.
                let given_up = |pending: &Pending| pending.reply.is_closed();
                for (id, _) in self.pending.extract_if(|_, pending| given_up(pending)) {
                    self.channel.forget(id);
                }
                let key = KeyPair::from_random(random::seed());
                let marker = format!("{:08x}", random::u64() >> 32);
                let message = edge::connect(id, key.public(), &caller, &marker, &token);
                self.channel.ask(message, Asked::Connect(id));
                let pending = Pending {
                    key,
                    encrypted,
                    alive,
                    reply,
                };
                self.pending.insert(id, pending);
            }
            Command::Bind {
                id,
                token,
                listener,
                encrypted,
                alive,
                incoming,
                events,
            } => {
                let key = KeyPair::from_random(random::seed());
                let message = edge::bind(id, key.public(), &listener, &token);
                self.channel.ask(message, Asked::Bind(id));
                let bound = Bound {
                    token,
                    encrypted,
                    alive,
                    incoming,
                    events,
                };
                self.binds.insert(id, bound);
            }
            Command::Unbind(id) => {
                if let Some(bound) = self.binds.remove(&id) {
                    self.channel.forget(id);
                    self.channel.send(edge::unbind(id, &bound.token));
                }
            }
        }
    }

    fn knows(&self, id: u32) -> bool {
        self.conns.contains_key(&id)
            || self.pending.contains_key(&id)
            || self.binds.contains_key(&id)
    }

    fn replied(&mut self, asked: Asked, message: &Message) {
        let connected = message.content == content::STATE_CONNECTED;
        match asked {
            Asked::Connect(id) => {
                let Some(pending) = self.pending.remove(&id) else {
                    // Nobody waits for it any more.
                    if connected {
                        self.channel.send(edge::closed(id, ""));
                    }
                    return;
                };
                let result = if connected {
                    self.connected(id, &pending, message)
                } else {
                    Err(Refusal::Said(Reason::of(message)))
                };
                // Dropped unheard, the stream closes the connection.
                drop(pending.reply.send(result));
            }
            Asked::Bind(id) => {
                if connected {
                    self.bind_event(id, BindEvent::Accepted);
                } else {
                    self.unbound(id, Reason::of(message));
                }
            }
            Asked::Took(id) => {
                let Some(entry) = self.conns.get_mut(&id) else {
                    return;
                };
                if !connected {
                    self.conns.remove(&id);
                    return;
                }
                for message in entry.held.take().into_iter().flatten() {
                    self.channel.send(message);
                }
                self.ready.push(id);
            }
            Asked::Hello | Asked::Probe | Asked::Token => {}
        }
    }

    /// The other end of what we dialed.
    fn connected(
        &mut self,
        id: u32,
        pending: &Pending,
        message: &Message,
    ) -> Result<Stream, Refusal> {
        let peer = edge::public_key(message);
        let made = conn(id, &pending.key, Side::Dialer, peer, pending.encrypted);
        let (conn, first) = made.map_err(|why| {
            self.channel.send(edge::closed(id, &why));
            Refusal::Said(Reason {
                text: why,
                is_final: false,
            })
        })?;
        if let Some(first) = first {
            self.channel.send(first);
        }
        let pipe = Pipe::new(id, Arc::clone(&self.ready), INBOX);
        let stream = Stream::new(Arc::clone(&pipe), Arc::clone(&pending.alive));
        let entry = Entry {
            conn,
            pipe,
            held: None,
        };
        self.conns.insert(id, entry);
        Ok(stream)
    }

    fn bind_event(&mut self, id: u32, event: BindEvent) {
        if let Some(bound) = self.binds.get(&id) {
            // Who hosts may have gone; the unbind is under way then.
            drop(bound.events.try_send(event));
        }
    }

    fn unbound(&mut self, id: u32, reason: Reason) {
        if let Some(bound) = self.binds.remove(&id) {
            drop(
                bound
                    .events
                    .try_send(BindEvent::Ended(Refusal::Said(reason))),
            );
        }
    }

    /// A message of one connection.
    fn concerns(&mut self, id: u32, message: &Message) {
        match message.content {
            content::DIAL => self.dialed(id, message),
            content::BIND_SUCCESS => self.bind_event(id, BindEvent::Confirmed),
            content::STATE_CLOSED => self.closed(id, message),
            content::CONN_INSPECT_REQUEST if self.knows(id) => {
                let bound = self.binds.contains_key(&id);
                self.channel.send(edge::inspected(message, id, bound));
            }
            content::DATA => {
                let Some(entry) = self.conns.get_mut(&id) else {
                    self.channel.send(edge::closed(id, "no such connection"));
                    return;
                };
                match entry.conn.receive(message) {
                    Ok(received) => {
                        entry.pipe.deliver(received.texts, received.end);
                        if entry.pipe.is_full() {
                            self.stalled = Some((id, Instant::now() + STALL));
                        }
                    }
                    Err(error) => self.failed(id, error),
                }
            }
            _ if self.knows(id) => {}
            _ => {
                self.channel.send(edge::closed(id, "no such connection"));
            }
        }
    }

    fn closed(&mut self, id: u32, message: &Message) {
        let reason = Reason::of(message);
        self.channel.forget(id);
        if let Some(entry) = self.conns.remove(&id) {
            if reason.text.is_empty() {
                entry.pipe.closed();
            } else {
                let why = format!("closed by the peer: {}", reason.text);
                entry.pipe.broken(io::ErrorKind::ConnectionReset, &why);
            }
        } else if let Some(pending) = self.pending.remove(&id) {
            drop(pending.reply.send(Err(Refusal::Said(reason))));
        } else {
            self.unbound(id, reason);
        }
    }

    /// Somebody calls a service that we host.
    fn dialed(&mut self, bind: u32, message: &Message) {
        let refuse = |live: &mut Self, why: &str| {
            live.channel.send(edge::dial_failed(message, bind, why));
        };
        let Some(bound) = self.binds.get(&bind) else {
            return refuse(self, "not hosted here");
        };
        let Ok(place) = bound.incoming.clone().try_reserve_owned() else {
            return refuse(self, "busy");
        };
        let caller = Caller::of(message);
        let given = caller.conn.is_some();
        let id = caller.conn.unwrap_or_else(|| self.free_id());
        if self.knows(id) {
            return refuse(self, "the connection's id is taken");
        }
        let key = KeyPair::from_random(random::seed());
        let made = conn(id, &key, Side::Host, caller.key, bound.encrypted);
        let (conn, first) = match made {
            Ok(made) => made,
            Err(why) => return refuse(self, &why),
        };
        let pipe = Pipe::new(id, Arc::clone(&self.ready), UNACCEPTED);
        let stream = Stream::new(Arc::clone(&pipe), Arc::clone(&bound.alive));
        let success = edge::dial_success(message, bind, key.public(), id);
        let mut entry = Entry {
            conn,
            pipe,
            held: None,
        };
        if given {
            self.channel.send(success);
            if let Some(first) = first {
                self.channel.send(first);
            }
        } else {
            // An older router: it says when it knows the connection.
            self.channel.ask(success, Asked::Took(id));
            entry.held = Some(first.into_iter().collect());
        }
        self.conns.insert(id, entry);
        place.send((stream, peer_of(&caller)));
    }

    /// An id that nothing here has, for older routers. Ours are given away from below; these from above.
    fn free_id(&self) -> u32 {
        let ids = (1..ROUTER_IDS).rev();
        let mut free = ids.filter(|id| !self.knows(*id));
        free.next().unwrap_or_default()
    }
}

/// A connection, sealed if both ends have a key, and its first message.
fn conn(
    id: u32,
    own: &KeyPair,
    side: Side,
    peer: Option<[u8; 32]>,
    encrypted: bool,
) -> Result<(Conn, Option<Message>), String> {
    let Some(peer) = peer else {
        return if encrypted {
            Err("the service is encrypted, and the peer gave no key".to_owned())
        } else {
            Ok((Conn::plain(id), None))
        };
    };
    let keys = own
        .exchange(side, &peer)
        .map_err(|error| error.to_string())?;
    let mut random = [0; HEADER];
    for (to, from) in random.iter_mut().zip(random::seed()) {
        *to = from;
    }
    let (conn, first) = Conn::sealed(id, keys, random);
    Ok((conn, Some(first)))
}

/// What is known of a caller. Its own claim is for the log alone.
fn peer_of(caller: &Caller) -> Peer {
    match &caller.identity {
        Some((name, id)) => {
            let shown = (edge::printable(name), edge::printable(id));
            Peer::new(format!("ziti {} (id {})", shown.0, shown.1)).with_principal(
                Principal::Overlay {
                    name: name.clone(),
                    id: id.clone(),
                },
            )
        }
        None => Peer::new(match &caller.claimed {
            Some(claimed) => format!("ziti, unnamed (it says it is {claimed})"),
            None => "ziti, unnamed".to_owned(),
        }),
    }
}

/// How long until something that failed is tried again: doubled up to `last`, with jitter.
pub(crate) struct Backoff {
    next: Duration,
    last: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, last: Duration) -> Self {
        Self { next: first, last }
    }

    pub(crate) async fn wait(&mut self) {
        let wait = self.next;
        self.next = (wait * 2).min(self.last);
        // At least half: several that failed together do not come back together.
        sleep(wait / 2 + jitter(wait / 2)).await;
    }
}
