//! A load balancer in front of connectors.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Passes each new connection on to a connector that takes it.
pub struct Balancer {
    pub address: SocketAddr,
    _tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Balancer {
    /// Begins with the next connector for each connection.
    pub async fn start(targets: Vec<SocketAddr>) -> Balancer {
        Balancer::turning(targets, 1).await
    }

    /// Takes the first connector for as long as it is there.
    pub async fn preferring(targets: Vec<SocketAddr>) -> Balancer {
        Balancer::turning(targets, 0).await
    }

    async fn turning(targets: Vec<SocketAddr>, by: usize) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Arc::new(Mutex::new(JoinSet::new()));
        let spawner = Arc::downgrade(&tasks);
        tasks.lock().spawn(async move {
            let mut next = 0;
            while let Ok((mut near, _)) = listener.accept().await {
                let Some(tasks) = spawner.upgrade() else { return };
                next += by;
                let order: Vec<SocketAddr> =
                    (0..targets.len()).map(|at| targets[(next + at) % targets.len()]).collect();
                tasks.lock().spawn(async move {
                    for target in order {
                        if let Ok(mut far) = TcpStream::connect(target).await {
                            _ = copy_bidirectional(&mut near, &mut far).await;
                            return;
                        }
                    }
                });
            }
        });
        Balancer { address, _tasks: tasks }
    }

    pub fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }
}
