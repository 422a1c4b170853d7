//! The overlay's routers: channels, terminators, circuits.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use salt_transport::ziti::message::{Message, MessageLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Shared, State, broken, pki};

const HELLO: u32 = 0;
const RESULT: u32 = 2;
const LATENCY: u32 = 3;
const CONNECT: u32 = 60783;
const CONNECTED: u32 = 60784;
const CLOSED: u32 = 60785;
const DATA: u32 = 60786;
const DIAL: u32 = 60787;
const DIAL_SUCCESS: u32 = 60788;
const DIAL_FAILED: u32 = 60789;
const BIND: u32 = 60790;
const UNBIND: u32 = 60791;
const BIND_SUCCESS: u32 = 60800;
const UPDATE_TOKEN: u32 = 60803;

const REPLY_FOR: u32 = 1;
const SUCCESS: u32 = 2;
const VERSION: u32 = 4;
const REFLECTED: u32 = 128;
const CONN: u32 = 1000;
const TOKEN: u32 = 1002;
const KEY: u32 = 1003;
const CALLER: u32 = 1008;
const FLAGS: u32 = 1010;
const GIVEN_CONN: u32 = 1012;
const CONFIRMS: u32 = 1024;
const CIRCUIT: u32 = 1026;
const DIALER_ID: u32 = 1034;
const DIALER_NAME: u32 = 1035;

/// A client's channel.
pub(crate) struct Chan {
    number: u64,
    pub(crate) router: usize,
    identity: String,
    send: mpsc::Sender<Message>,
    pub(crate) cut: Notify,
}

struct Terminator {
    service: String,
    channel: Arc<Chan>,
    conn: u32,
    key: Option<Bytes>,
    gives_conn: bool,
}

/// A dial that the host has not answered.
struct Dialing {
    dialer: Arc<Chan>,
    conn: u32,
    sequence: u32,
    key: Option<Bytes>,
}

/// One end of a connection: the channel's number and the id on it.
type End = (u64, u32);

#[derive(Default)]
pub(crate) struct Circuits {
    terminators: Vec<Terminator>,
    /// By channel and the sequence of the Dial on it.
    dialing: HashMap<(u64, u32), Dialing>,
    ends: HashMap<End, (Arc<Chan>, u32)>,
    /// Messages that wait for the one that is to go before them.
    kept: HashMap<End, Message>,
}

pub(crate) async fn serve(listener: TcpListener, at: usize, shared: Arc<Shared>) {
    let acceptor = TlsAcceptor::from(shared.pki.server(Some(b"ziti-edge")));
    let mut clients = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        clients.spawn(client(acceptor.clone(), stream, at, Arc::clone(&shared)));
        while clients.try_join_next().is_some() {}
    }
}

type Reading = ReadHalf<TlsStream<TcpStream>>;

/// The next message.
async fn next(read: &mut Reading, input: &mut BytesMut) -> io::Result<Message> {
    loop {
        let message = Message::read(input, MessageLimits::KNOWN);
        if let Some(message) = message.map_err(|error| broken(&error.to_string()))? {
            return Ok(message);
        }
        if read.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn client(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    at: usize,
    shared: Arc<Shared>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = pki::common_name(stream.get_ref().1).unwrap_or_default();
    let (mut read, write) = tokio::io::split(stream);
    let mut input = BytesMut::new();
    let hello = next(&mut read, &mut input).await?;
    let token = hello.text(TOKEN).unwrap_or_default().to_owned();
    let (send, outgoing) = mpsc::channel(64);
    let (accepted, channel) = {
        let mut state = shared.state();
        state.counts.hellos += 1;
        let known = state.log_ins.get(&token) == Some(&certificate);
        let accepted = hello.content == HELLO && known && !state.behaviour.refuse_hello;
        let channel = Arc::new(Chan {
            number: state.next(),
            router: at,
            identity: certificate,
            send,
            cut: Notify::new(),
        });
        state.channels.push(Arc::clone(&channel));
        (accepted, channel)
    };
    if shared.state().behaviour.ignore_hello {
        return std::future::pending().await;
    }
    let answer = reply(&hello, RESULT, if accepted { "" } else { "invalid token" });
    let answer = answer
        .with(SUCCESS, vec![u8::from(accepted)])
        .with(VERSION, "{}".as_bytes());
    drop(channel.send.send(answer).await);
    let reading = async {
        if !accepted {
            return std::future::pending().await;
        }
        loop {
            let message = next(&mut read, &mut input).await?;
            let carried = shared.state().take(&channel, message);
            for (to, message) in carried {
                // One that does not read holds its channel up, as in a real network.
                to.send
                    .reserve()
                    .await
                    .map(|place| place.send(message))
                    .ok();
            }
        }
    };
    let ended: io::Result<()> = tokio::select! {
        ended = reading => ended,
        ended = sending(write, outgoing, accepted) => ended,
        () = channel.cut.notified() => Ok(()),
    };
    shared.state().lost(&channel);
    ended
}

async fn sending(
    mut write: WriteHalf<TlsStream<TcpStream>>,
    mut outgoing: mpsc::Receiver<Message>,
    goes_on: bool,
) -> io::Result<()> {
    let mut sequence = 0;
    let mut bytes = BytesMut::new();
    while let Some(mut message) = outgoing.recv().await {
        // A Dial has its sequence already: what answers it says it.
        if message.content != DIAL {
            sequence += 1;
            message.sequence = sequence;
        }
        message.write(&mut bytes);
        write.write_all_buf(&mut bytes).await?;
        write.flush().await?;
        if !goes_on {
            break;
        }
    }
    write.shutdown().await
}

fn reply(to: &Message, content: u32, body: &str) -> Message {
    Message::new(content, body.as_bytes().to_vec()).with_u32(REPLY_FOR, to.sequence)
}

fn closed(conn: u32, why: &str) -> Message {
    Message::new(CLOSED, why.as_bytes().to_vec()).with_u32(CONN, conn)
}

/// The same message with other ids.
fn renamed(message: &Message, conn: u32) -> Message {
    let mut renamed = Message::new(message.content, message.body.clone()).with_u32(CONN, conn);
    for (id, value) in message.headers() {
        if id != CONN && id != REPLY_FOR {
            renamed = renamed.with(id, value.clone());
        }
    }
    renamed
}

type Out = Vec<(Arc<Chan>, Message)>;

impl State {
    fn take(&mut self, from: &Arc<Chan>, message: Message) -> Out {
        let conn = message.u32(CONN).unwrap_or_default();
        let back = |message| vec![(Arc::clone(from), message)];
        match message.content {
            LATENCY if self.behaviour.mute => Vec::new(),
            LATENCY => {
                self.counts.probes += 1;
                let mut answer = reply(&message, RESULT, "").with_flag(SUCCESS);
                if let Some(clock) = message.header(REFLECTED) {
                    answer = answer.with(REFLECTED, clock.clone());
                }
                back(answer)
            }
            CONNECT => self.connect(from, conn, &message),
            BIND => self.bind(from, conn, &message),
            UNBIND => {
                self.circuits
                    .terminators
                    .retain(|at| at.channel.number != from.number || at.conn != conn);
                back(reply(&message, CLOSED, "unbound").with_u32(CONN, conn))
            }
            DIAL_SUCCESS => self.dialed(from, &message),
            DIAL_FAILED => {
                let answered = message.u32(REPLY_FOR).unwrap_or_default();
                let Some(dialing) = self.circuits.dialing.remove(&(from.number, answered)) else {
                    return Vec::new();
                };
                let refusal = Message::new(CLOSED, message.body.clone())
                    .with_u32(REPLY_FOR, dialing.sequence)
                    .with_u32(CONN, dialing.conn);
                vec![(dialing.dialer, refusal)]
            }
            DATA | CLOSED => self.carry(from, conn, &message),
            UPDATE_TOKEN => {
                let token = String::from_utf8_lossy(&message.body).into_owned();
                let known = self.log_ins.get(&token) == Some(&from.identity);
                self.counts.updated_tokens += 1;
                let good = known && !self.behaviour.refuse_tokens;
                back(reply(&message, if good { 60801 } else { 60802 }, ""))
            }
            RESULT | 5 | 60799 => Vec::new(),
            other => {
                self.not_understood.push(format!("content {other}"));
                Vec::new()
            }
        }
    }

    fn connect(&mut self, from: &Arc<Chan>, conn: u32, message: &Message) -> Out {
        let refuse = |why: &str| {
            let refusal = reply(message, CLOSED, why).with_u32(CONN, conn);
            vec![(Arc::clone(from), refusal)]
        };
        let token = String::from_utf8_lossy(&message.body).into_owned();
        let session = self.sessions.get(&token);
        let session = session.filter(|session| session.identity == from.identity && !session.bind);
        let Some(service) = session.map(|session| session.service.clone()) else {
            return refuse("invalid session");
        };
        let number = self.next();
        // The last one that was bound, of those that are there.
        let found = self
            .circuits
            .terminators
            .iter()
            .rev()
            .find(|at| at.service == service);
        let Some(found) = found else {
            return refuse(&format!("service {service} has no terminators"));
        };
        let sequence = u32::try_from(0x10_0000 + number).unwrap();
        let mut dial = Message::new(DIAL, Bytes::from(token))
            .with_u32(CONN, found.conn)
            .with(CIRCUIT, format!("circuit-{number}"));
        dial.sequence = sequence;
        for id in [KEY, CALLER, 1011, 1025] {
            if let Some(value) = message.header(id) {
                dial = dial.with(id, value.clone());
            }
        }
        if !self.behaviour.as_in_2022 {
            if found.gives_conn {
                dial = dial.with_u32(GIVEN_CONN, (1 << 31) + u32::try_from(number).unwrap());
            }
            if !self.behaviour.hide_dialers {
                let name = self
                    .identities
                    .get(&from.identity)
                    .cloned()
                    .unwrap_or_default();
                dial = dial
                    .with(DIALER_ID, from.identity.clone())
                    .with(DIALER_NAME, name);
            }
        }
        let host = Arc::clone(&found.channel);
        let dialing = Dialing {
            dialer: Arc::clone(from),
            conn,
            sequence: message.sequence,
            key: found.key.clone(),
        };
        self.circuits
            .dialing
            .insert((host.number, sequence), dialing);
        vec![(host, dial)]
    }

    fn bind(&mut self, from: &Arc<Chan>, conn: u32, message: &Message) -> Out {
        self.counts.binds += 1;
        let token = String::from_utf8_lossy(&message.body).into_owned();
        let session = self.sessions.get(&token);
        let session = session.filter(|session| session.identity == from.identity && session.bind);
        let Some(service) = session.map(|session| session.service.clone()) else {
            let refusal = reply(message, CLOSED, "invalid session").with_u32(CONN, conn);
            return vec![(Arc::clone(from), refusal)];
        };
        self.circuits.terminators.push(Terminator {
            service,
            channel: Arc::clone(from),
            conn,
            key: message.header(KEY).cloned(),
            gives_conn: message.flag(GIVEN_CONN),
        });
        let connected = reply(message, CONNECTED, "").with_u32(CONN, conn);
        let mut out = vec![(Arc::clone(from), connected)];
        let withheld = self.behaviour.as_in_2022 || self.behaviour.withhold_bind_success;
        if message.flag(CONFIRMS) && !withheld {
            let confirmed = Message::new(BIND_SUCCESS, Bytes::new()).with_u32(CONN, conn);
            out.push((Arc::clone(from), confirmed));
        }
        out
    }

    fn dialed(&mut self, host: &Arc<Chan>, message: &Message) -> Out {
        let answered = message.u32(REPLY_FOR).unwrap_or_default();
        let new = message.body.as_ref().try_into().map(u32::from_le_bytes);
        let dialing = self.circuits.dialing.remove(&(host.number, answered));
        let (Some(dialing), Ok(new)) = (dialing, new) else {
            return Vec::new();
        };
        let (near, far) = ((dialing.dialer.number, dialing.conn), (host.number, new));
        self.circuits.ends.insert(near, (Arc::clone(host), new));
        self.circuits
            .ends
            .insert(far, (Arc::clone(&dialing.dialer), dialing.conn));
        let mut connected = Message::new(CONNECTED, Bytes::new())
            .with_u32(REPLY_FOR, dialing.sequence)
            .with_u32(CONN, dialing.conn)
            .with(CIRCUIT, "circuit".as_bytes());
        if let Some(key) = message.header(KEY).or(dialing.key.as_ref()) {
            connected = connected.with(KEY, key.clone());
        }
        let mut out = vec![(dialing.dialer, connected)];
        if new < 1 << 31 {
            let known = reply(message, CONNECTED, "").with_u32(CONN, new);
            out.push((Arc::clone(host), known));
        }
        out
    }

    fn carry(&mut self, from: &Arc<Chan>, conn: u32, message: &Message) -> Out {
        let end = (from.number, conn);
        let Some((to, other)) = self.circuits.ends.get(&end).cloned() else {
            if message.content == DATA {
                return vec![(Arc::clone(from), closed(conn, "invalid conn id"))];
            }
            return Vec::new();
        };
        let mut carried = renamed(message, other);
        if message.content == CLOSED {
            self.circuits.ends.remove(&end);
            self.circuits.ends.remove(&(to.number, other));
            return vec![(to, carried)];
        }
        // Stream headers are left alone: 24 bytes.
        if message.body.len() > 24 {
            if self.behaviour.corrupt {
                let mut body = carried.body.to_vec();
                body[20] ^= 1;
                carried.body = body.into();
            }
            if self.behaviour.repeat {
                return vec![(Arc::clone(&to), carried.clone()), (to, carried)];
            }
            if self.behaviour.forge_end {
                let end = Message::new(DATA, Bytes::new())
                    .with_u32(CONN, other)
                    .with_u32(FLAGS, 1);
                return vec![(to, end)];
            }
            if self.behaviour.reorder {
                return match self.circuits.kept.remove(&end) {
                    None => {
                        self.circuits.kept.insert(end, carried);
                        Vec::new()
                    }
                    Some(first) => vec![(Arc::clone(&to), carried), (to, first)],
                };
            }
        }
        vec![(to, carried)]
    }

    /// A router has gone, and whoever served its channels.
    pub(crate) fn lost_with(&mut self, router: usize) {
        let gone = self.channels.iter();
        let gone: Vec<_> = gone.filter(|at| at.router == router).cloned().collect();
        for channel in gone {
            self.lost(&channel);
        }
    }

    /// A channel has gone, with everything on it. The other ends are told.
    fn lost(&mut self, channel: &Arc<Chan>) {
        let number = channel.number;
        self.channels.retain(|other| other.number != number);
        self.circuits
            .terminators
            .retain(|at| at.channel.number != number);
        let mut out = Vec::new();
        self.circuits.dialing.retain(|(host, _), dialing| {
            let gone = dialing.dialer.number == number;
            if *host == number && !gone {
                let refusal = closed(dialing.conn, "the terminator was lost")
                    .with_u32(REPLY_FOR, dialing.sequence);
                out.push((Arc::clone(&dialing.dialer), refusal));
            }
            *host != number && !gone
        });
        let mine: Vec<End> = self
            .circuits
            .ends
            .keys()
            .filter(|end| end.0 == number)
            .copied()
            .collect();
        for end in mine {
            if let Some((to, other)) = self.circuits.ends.remove(&end) {
                self.circuits.ends.remove(&(to.number, other));
                out.push((to, closed(other, "the circuit was lost")));
            }
        }
        for (to, message) in out {
            drop(to.send.try_send(message));
        }
    }
}
