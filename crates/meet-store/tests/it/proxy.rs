//! A proxy before Postgres that does to a connection what a bad day does.

use std::sync::{Arc, Mutex, PoisonError};

use meet_store::{Location, SecretUrl};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

/// What becomes of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// Nothing, but it is told that it passed.
    Watched,
    /// It is cut off on its way to the server, and the connection with it.
    Lost,
    /// It arrives; its answer and the connection are lost.
    Unanswered,
    /// It arrives; its answer is an error of this severity and code, and the connection ends.
    Answered(&'static str, &'static str),
    /// It never arrives; its answer is an error of this severity and code, and the connection ends.
    Refused(&'static str, &'static str),
}

/// What happens to the next statement that has these bytes in it.
type Next = Option<(&'static str, Fate)>;

/// A proxy before a database of Postgres.
pub(crate) struct Proxy {
    pub(crate) location: Location,
    next: Arc<Mutex<Next>>,
    met: mpsc::UnboundedReceiver<()>,
    tasks: JoinSet<()>,
}

impl Proxy {
    /// Stands before the database at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxied = format!("postgres://{user}@{}/{database}", listener.local_addr().unwrap());
        let next = Arc::new(Mutex::new(None));
        let (tell, met) = mpsc::unbounded_channel();
        let (server, fates) = (server.to_owned(), Arc::clone(&next));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(carry(client, server.clone(), Arc::clone(&fates), tell.clone()));
            }
        });
        Self { location: Location::Postgres(SecretUrl::new(proxied)), next, met, tasks }
    }

    /// Decides what becomes of the next statement with `text` in it.
    pub(crate) fn decide(&self, text: &'static str, fate: Fate) {
        *self.next.lock().unwrap() = Some((text, fate));
    }

    /// Waits until what was decided has happened.
    pub(crate) async fn happened(&mut self) {
        self.met.recv().await.unwrap();
    }

    /// Ends every connection.
    pub(crate) async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

/// What is to happen to these bytes.
fn fate_of(bytes: &[u8], next: &Mutex<Next>) -> Option<Fate> {
    let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
    next.take_if(|(text, _)| bytes.windows(text.len()).any(|window| window == text.as_bytes())).map(|(_, fate)| fate)
}

/// An error as a server writes it.
fn error(severity: &str, code: &str) -> Vec<u8> {
    let fields = format!("S{severity}\0V{severity}\0C{code}\0Mthe proxy says so\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap();
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

/// Carries one connection, until it ends or something is decided that ends it.
async fn carry(mut client: TcpStream, server: String, next: Arc<Mutex<Next>>, tell: mpsc::UnboundedSender<()>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let fate = fate_of(&up[..count], &next);
                if let None | Some(Fate::Watched | Fate::Unanswered | Fate::Answered(..)) = fate {
                    server.write_all(&up[..count]).await.unwrap();
                }
                if let Some(Fate::Unanswered | Fate::Answered(..)) = fate {
                    // The answer arrives here, and no further.
                    let _ = server.read(&mut down).await;
                }
                if let Some(Fate::Answered(severity, code) | Fate::Refused(severity, code)) = fate {
                    let _ = client.write_all(&error(severity, code)).await;
                }
                if let Some(fate) = fate {
                    let _ = tell.send(());
                    if !matches!(fate, Fate::Watched) {
                        return;
                    }
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
