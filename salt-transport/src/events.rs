//! The local event bus: two Unix sockets, one to listen on and one to submit to.
//!
//! Salt's programs talk to a running master through it: `salt` waits for returns on
//! `master_event_pub.ipc`, `salt-key` and `salt-run` submit what they did to `master_event_pull.ipc`.
//! Whoever can open the second socket is trusted with every tag (its mode is 0600).

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use salt_proto::event::{Event, StampStyle};
use salt_proto::frame::{FrameDecoder, Framing, encode_event};
use salt_proto::{DateTime, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// The name of the socket that listeners of a master's bus connect to.
pub const MASTER_PUB: &str = "master_event_pub.ipc";
/// The name of the socket that takes events for a master's bus.
pub const MASTER_PULL: &str = "master_event_pull.ipc";
/// The name whose existence tells Salt's command line that a master is there.
pub const PUBLISH_PULL: &str = "publish_pull.ipc";

/// How the bus is laid out and bounded.
#[derive(Clone, Debug)]
pub struct EventBusConfig {
    /// The socket of the listeners, made with mode 0660.
    pub listen: PathBuf,
    /// The socket of the submitters, made with mode 0600.
    pub submit: PathBuf,
    /// How listeners expect events to be delimited: by release of the command line. Default: 3007 and 3008.
    pub framing: Framing,
    /// How the time stamp of an event is written. Default: 3008.
    pub stamps: StampStyle,
    /// How many bytes may wait for one listener before it is cut off. Default 16 MiB.
    pub max_waiting: usize,
    /// The longest event, in bytes. Default 16 MiB.
    pub max_event: usize,
    /// How many connections the two sockets serve at a time. Default 256.
    pub max_connections: usize,
}

impl EventBusConfig {
    /// A master's bus in its socket directory.
    pub fn master(sock_dir: &Path) -> Self {
        Self::at(sock_dir.join(MASTER_PUB), sock_dir.join(MASTER_PULL))
    }

    /// A bus on two socket paths.
    pub fn at(listen: PathBuf, submit: PathBuf) -> Self {
        Self {
            listen,
            submit,
            framing: Framing::Bare,
            stamps: StampStyle::default(),
            max_waiting: 16 << 20,
            max_event: 16 << 20,
            max_connections: 256,
        }
    }
}

/// The bus of a daemon, to fire events into and to listen to from inside.
#[derive(Clone)]
pub struct EventBus {
    shared: Arc<Shared>,
}

struct Shared {
    framing: Framing,
    stamps: StampStyle,
    max_waiting: usize,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    sockets: HashMap<u64, Waiting>,
    inside: Vec<mpsc::Sender<Event>>,
}

/// What is queued for one socket.
struct Waiting {
    queue: mpsc::UnboundedSender<Bytes>,
    bytes: Arc<AtomicUsize>,
    /// Dropped with this entry, which ends the task even in the middle of a write.
    _cut: oneshot::Sender<()>,
}

/// The delivering end of [`Waiting`].
struct Delivery {
    key: u64,
    queue: mpsc::UnboundedReceiver<Bytes>,
    bytes: Arc<AtomicUsize>,
    cut: oneshot::Receiver<()>,
}

impl EventBus {
    /// Opens the two sockets. Stale ones of a former process are replaced.
    ///
    /// The future serves them until it is dropped.
    ///
    /// # Errors
    ///
    /// When a socket cannot be made, for example because its path is longer than 107 bytes.
    pub fn bind(config: EventBusConfig) -> io::Result<(Self, impl Future<Output = ()> + Send)> {
        let listen = bind(&config.listen, 0o660)?;
        let submit = bind(&config.submit, 0o600)?;
        let bus = Self {
            shared: Arc::new(Shared {
                framing: config.framing,
                stamps: config.stamps,
                max_waiting: config.max_waiting,
                listeners: Mutex::default(),
            }),
        };
        let serving = serve(
            bus.clone(),
            listen,
            submit,
            config.max_event,
            config.max_connections,
        );
        Ok((bus, serving))
    }

    /// Stamps the event and hands it to every listener. Never waits.
    ///
    /// A listener that has more than its share of bytes waiting is cut off.
    pub fn fire(&self, mut event: Event) {
        event.stamp(now(), self.shared.stamps);
        match event.pack() {
            Ok(bytes) => self.forward(&bytes, Some(event)),
            Err(error) => tracing::warn!(tag = event.tag, %error, "event not fired"),
        }
    }

    /// Listens from inside the process. Events beyond `queue` unread ones are lost to this listener.
    pub fn listen(&self, queue: usize) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        self.listeners().inside.push(sender);
        receiver
    }

    /// How many sockets are listening.
    pub fn listener_count(&self) -> usize {
        self.listeners().sockets.len()
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        self.shared
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands packed event bytes on as they are.
    fn forward(&self, packed: &[u8], event: Option<Event>) {
        let mut listeners = self.listeners();
        if !listeners.sockets.is_empty() {
            let framed = encode_event(self.shared.framing, packed);
            let max = self.shared.max_waiting;
            listeners.sockets.retain(|_, waiting| {
                let before = waiting.bytes.fetch_add(framed.len(), Ordering::Relaxed);
                // One event always fits, however large it is.
                (before == 0 || before + framed.len() <= max)
                    && waiting.queue.send(framed.clone()).is_ok()
            });
        }
        if !listeners.inside.is_empty() {
            let event = match event {
                Some(event) => event,
                None => match Event::unpack(packed, &Limits::default()) {
                    Ok(event) => event,
                    Err(_) => return,
                },
            };
            listeners.inside.retain(|sender| {
                !matches!(
                    sender.try_send(event.clone()),
                    Err(mpsc::error::TrySendError::Closed(_))
                )
            });
        }
    }

    fn join(&self) -> Delivery {
        let (sender, queue) = mpsc::unbounded_channel();
        let (keep, cut) = oneshot::channel();
        let bytes = Arc::new(AtomicUsize::new(0));
        let mut listeners = self.listeners();
        let key = listeners.next;
        listeners.next += 1;
        let waiting = Waiting {
            queue: sender,
            bytes: Arc::clone(&bytes),
            _cut: keep,
        };
        listeners.sockets.insert(key, waiting);
        Delivery {
            key,
            queue,
            bytes,
            cut,
        }
    }

    fn leave(&self, key: u64) {
        self.listeners().sockets.remove(&key);
    }
}

impl std::fmt::Debug for EventBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventBus")
            .field("listeners", &self.listener_count())
            .finish_non_exhaustive()
    }
}

fn now() -> DateTime {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    DateTime::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX)).unwrap_or(DateTime::MAX)
}

/// A listening socket with its final mode; it appears under its name only with that mode.
fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let mut hidden = path.as_os_str().to_owned();
    hidden.push("~");
    let hidden = PathBuf::from(hidden);
    for stale in [&hidden, path] {
        match std::fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let listener = UnixListener::bind(&hidden).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {}: {error}", path.display()),
        )
    })?;
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&hidden, path)?;
    Ok(listener)
}

async fn serve(
    bus: EventBus,
    listen: UnixListener,
    submit: UnixListener,
    max_event: usize,
    max_connections: usize,
) {
    let mut connections = JoinSet::new();
    loop {
        let room = connections.len() < max_connections;
        tokio::select! {
            accepted = listen.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    // Joined before the next accept, so that nothing fired after the connection is missed.
                    let delivery = bus.join();
                    let bus = bus.clone();
                    connections.spawn(async move {
                        let key = delivery.key;
                        deliver(stream, delivery).await;
                        bus.leave(key);
                    });
                }
                Err(error) => pause(&error).await,
            },
            accepted = submit.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(take(bus.clone(), stream, max_event));
                }
                Err(error) => pause(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Out of descriptors is no reason to spin.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "event bus cannot accept");
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}

/// Writes a listener's queue until it is cut off or goes away.
async fn deliver(stream: UnixStream, delivery: Delivery) {
    let Delivery {
        mut queue,
        bytes,
        mut cut,
        ..
    } = delivery;
    let (mut read, mut write) = stream.into_split();
    let writing = async {
        while let Some(event) = queue.recv().await {
            if write.write_all(&event).await.is_err() {
                return;
            }
            bytes.fetch_sub(event.len(), Ordering::Relaxed);
        }
    };
    // A listener says nothing; the end of its stream is the end of it.
    let reading = async {
        let mut sink = [0; 256];
        while matches!(read.read(&mut sink).await, Ok(n) if n > 0) {}
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
        _ = &mut cut => {}
    }
}

/// Reads what a submitter sends until it goes away or sends nonsense.
async fn take(bus: EventBus, mut stream: UnixStream, max_event: usize) {
    let mut decoder = FrameDecoder::new(Framing::Prefixed, max_event);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => buffer.get(..n).unwrap_or_default(),
            _ => return,
        };
        decoder.handle_input(read);
        loop {
            match decoder.poll_frame() {
                Ok(Some(frame)) => match frame.payload() {
                    Some(event) if Event::tag_of(&event).is_ok() => bus.forward(&event, None),
                    _ => tracing::warn!("a submitted event without a tag was dropped"),
                },
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "submitter of events cut off");
                    return;
                }
            }
        }
    }
}

/// A listener on the bus of another process.
#[derive(Debug)]
pub struct EventListener {
    stream: UnixStream,
    decoder: FrameDecoder,
}

/// The longest event a listener takes.
const MAX_HEARD: usize = 64 << 20;

impl EventListener {
    /// Connects to a bus. Everything fired from now on is seen.
    ///
    /// # Errors
    ///
    /// When nothing listens on that path.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(path).await?,
            // The first byte tells which release's bus this is.
            decoder: FrameDecoder::new(Framing::Detect, MAX_HEARD),
        })
    }

    /// The next event, or `None` when the bus ended. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the stream breaks or is not an event stream.
    pub async fn next(&mut self) -> io::Result<Option<Event>> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            while let Some(frame) = self.decoder.poll_frame().map_err(io::Error::other)? {
                // One bad event is not the end of the others.
                if let Some(event) = frame.payload()
                    && let Ok(event) = Event::unpack(&event, &Limits::default())
                {
                    return Ok(Some(event));
                }
            }
            match self.stream.read(&mut buffer).await? {
                0 => return Ok(None),
                n => self
                    .decoder
                    .handle_input(buffer.get(..n).unwrap_or_default()),
            }
        }
    }
}

/// Submits one event to the bus of another process.
///
/// # Errors
///
/// When nothing takes events there, or the event has no tag.
pub async fn submit(path: &Path, mut event: Event) -> io::Result<()> {
    event.stamp(now(), StampStyle::default());
    let packed = event.pack().map_err(io::Error::other)?;
    let mut stream = UnixStream::connect(path).await?;
    stream
        .write_all(&encode_event(Framing::Prefixed, &packed))
        .await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use salt_proto::Map;

    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("salt-events-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn numbered(n: usize) -> Event {
        Event::new("acme/tick", Map::from([("n", n)]))
    }

    async fn bus_with_listener(
        dir: &Dir,
        framing: Framing,
    ) -> (EventBus, EventListener, tokio::task::JoinHandle<()>) {
        let config = EventBusConfig {
            framing,
            max_waiting: 1 << 20,
            ..EventBusConfig::master(&dir.0)
        };
        let (bus, serving) = EventBus::bind(config).unwrap();
        let serving = tokio::spawn(serving);
        let listener = EventListener::connect(&dir.0.join(MASTER_PUB))
            .await
            .unwrap();
        while bus.listener_count() == 0 {
            tokio::task::yield_now().await;
        }
        (bus, listener, serving)
    }

    #[tokio::test]
    async fn listeners_of_both_framings_get_what_is_fired_and_what_is_submitted() {
        for (name, framing) in [("bare", Framing::Bare), ("length", Framing::Prefixed)] {
            let dir = Dir::new(name);
            let (bus, mut listener, serving) = bus_with_listener(&dir, framing).await;
            let mut inside = bus.listen(8);

            bus.fire(numbered(1));
            submit(&dir.0.join(MASTER_PULL), numbered(2)).await.unwrap();

            for n in [1, 2] {
                let outside = listener.next().await.unwrap().unwrap();
                assert_eq!(outside.tag, "acme/tick");
                assert_eq!(outside.data.get("n"), Some(&n.into()));
                assert!(outside.data.contains_key("_stamp"));
                assert_eq!(inside.recv().await.unwrap().data.get("n"), Some(&n.into()));
            }
            serving.abort();
        }
    }

    // P-06
    #[tokio::test]
    async fn the_sockets_have_their_modes() {
        let dir = Dir::new("modes");
        let (_bus, _serving) = EventBus::bind(EventBusConfig::master(&dir.0)).unwrap();

        let mode = |name| {
            std::fs::metadata(dir.0.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(MASTER_PUB), 0o660);
        assert_eq!(mode(MASTER_PULL), 0o600);
    }

    #[tokio::test]
    async fn a_listener_that_reads_nothing_is_cut_off_and_the_others_lose_nothing() {
        let dir = Dir::new("slow");
        let (bus, mut good, serving) = bus_with_listener(&dir, Framing::Bare).await;
        let slow = EventListener::connect(&dir.0.join(MASTER_PUB))
            .await
            .unwrap();
        while bus.listener_count() < 2 {
            tokio::task::yield_now().await;
        }

        let text = "x".repeat(64 << 10);
        for n in 0..64 {
            bus.fire(Event::new(
                "acme/big",
                Map::from([("n", n.to_string()), ("text", text.clone())]),
            ));
            let seen = good.next().await.unwrap().unwrap();
            assert_eq!(seen.data.str("n"), Some(n.to_string().as_str()));
        }

        assert_eq!(bus.listener_count(), 1);
        drop(slow);
        serving.abort();
    }

    #[tokio::test]
    async fn nonsense_on_the_submitting_socket_ends_that_connection_only() {
        let dir = Dir::new("nonsense");
        let (bus, mut listener, serving) = bus_with_listener(&dir, Framing::Bare).await;
        let mut bad = UnixStream::connect(dir.0.join(MASTER_PULL)).await.unwrap();

        bad.write_all(&[0xff; 64]).await.unwrap();
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), bad.read_to_end(&mut rest))
            .await
            .unwrap()
            .ok();
        bus.fire(numbered(3));

        assert_eq!(
            listener.next().await.unwrap().unwrap().data.get("n"),
            Some(&3.into())
        );
        serving.abort();
    }
}
