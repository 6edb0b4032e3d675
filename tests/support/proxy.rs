//! A TCP proxy that is a bad network: it cuts, delays, throttles, truncates and swallows, for one connection or all.
//!
//! It works on streams, so a lost packet is what TCP makes of it: what was lost and everything behind it comes one
//! retransmission later. A black hole reads and forgets, and passes no end on: each side believes the other silent.

mod pump;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Sockets waiting to be accepted.
const BACKLOG: u32 = 4096;

/// What happens to the bytes of a connection, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rules {
    /// One way; `jitter` more or less.
    pub delay: Duration,
    pub jitter: Duration,
    /// Share of the segments that are lost once and come a retransmission later.
    pub loss: f64,
    /// In each direction.
    pub bytes_per_second: Option<u32>,
    /// Cut in the middle of a frame: so many more bytes towards the server are passed on, then the connection ends.
    pub cut_after: Option<u64>,
    pub black_hole: bool,
    /// What goes this way is not lost, it waits until the rule is lifted: a cut as TCP has it, which repeats until somebody
    /// hears.
    pub holds: Option<Held>,
    /// A client's end of its stream reaches the server so much later.
    pub close_delay: Duration,
}

/// What a cut holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Towards the server.
    Requests,
    /// Towards the client.
    Answers,
    Both,
}

/// A listening proxy; its connections end when it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    target: SocketAddr,
    rules: watch::Sender<Rules>,
    refuses: AtomicBool,
    made: AtomicUsize,
    held: Arc<AtomicUsize>,
    links: Mutex<Vec<Arc<Link>>>,
}

/// One connection through the proxy.
pub struct Link {
    /// The client's address: how a test finds the connection it made.
    client: SocketAddr,
    rules: watch::Sender<Rules>,
    cut: CancellationToken,
    server_closed: Mutex<Option<Instant>>,
    held: Arc<AtomicUsize>,
}

impl Proxy {
    /// A proxy in front of `target` that does nothing bad yet.
    pub async fn start(target: SocketAddr) -> Proxy {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            rules: watch::Sender::new(Rules::default()),
            refuses: AtomicBool::new(false),
            made: AtomicUsize::new(0),
            held: Arc::default(),
            links: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Proxy { address, shared, _tasks: tasks }
    }

    /// New rules for every connection, those to come included.
    pub fn set(&self, rules: Rules) {
        self.shared.rules.send_replace(rules);
        self.shared.links.lock().iter().for_each(|link| link.set(rules));
    }

    /// Ends new connections at once, or no longer.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::Release);
    }

    /// Cuts every connection there is; how many.
    pub fn cut_all(&self) -> usize {
        let links = std::mem::take(&mut *self.shared.links.lock());
        links.iter().for_each(|link| link.cut.cancel());
        links.len()
    }

    /// Cuts the connection that is there for longest; false if there is none.
    pub fn cut_oldest(&self) -> bool {
        let mut links = self.shared.links.lock();
        if links.is_empty() {
            return false;
        }
        links.remove(0).cut.cancel();
        true
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.made.load(Ordering::Relaxed)
    }

    /// How many segments have been held back so far.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::Relaxed)
    }

    /// The connection that was made from this address.
    pub async fn link(&self, client: SocketAddr) -> Arc<Link> {
        let find = || self.shared.links.lock().iter().rev().find(|link| link.client == client).cloned();
        super::soon("the proxy has the connection", async {
            loop {
                match find() {
                    Some(link) => return link,
                    None => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        })
        .await
    }
}

impl Link {
    /// New rules for this connection alone.
    pub fn set(&self, rules: Rules) {
        self.rules.send_replace(rules);
    }

    /// When the server ended its side.
    pub fn server_closed(&self) -> Option<Instant> {
        *self.server_closed.lock()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, from)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if !shared.refuses.load(Ordering::Acquire) {
            connections.spawn(serve(client, from, shared.clone()));
        }
    }
}

async fn serve(client: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    let link = Arc::new(Link {
        client: from,
        rules: watch::Sender::new(*shared.rules.borrow()),
        cut: CancellationToken::new(),
        server_closed: Mutex::new(None),
        held: shared.held.clone(),
    });
    shared.made.fetch_add(1, Ordering::Relaxed);
    shared.links.lock().push(link.clone());
    tokio::select! {
        () = link.cut.cancelled() => {}
        () = pump::both(client, shared.target, &link) => {}
    }
    shared.links.lock().retain(|other| !Arc::ptr_eq(other, &link));
}
