//! A TCP proxy that can be cut: what goes through it breaks off, and nothing new gets through, until it is joined again.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running proxy. It stops when dropped.
#[derive(Debug)]
pub struct Cut {
    address: SocketAddr,
    state: watch::Sender<Line>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Whole,
    Cut,
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cut {
    /// Starts a proxy on a free port in front of `upstream`, an address.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(upstream: &str) -> Result<Self> {
        let upstream = upstream.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(Line::Whole);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (upstream, watched) = (upstream.clone(), watched.clone());
                // An error means that either side closed the connection.
                tokio::spawn(async move { serve(connection, &upstream, watched).await });
            }
        });
        Ok(Self { address, state, task })
    }

    /// The port of the proxy.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Breaks all connections, and every new one.
    pub fn cut(&self) {
        self.state.send_replace(Line::Cut);
    }

    /// Lets connections through again.
    pub fn join(&self) {
        self.state.send_replace(Line::Whole);
    }
}

async fn serve(mut connection: TcpStream, upstream: &str, mut state: watch::Receiver<Line>) -> Result<()> {
    if *state.borrow_and_update() == Line::Cut {
        return Ok(());
    }
    let mut server = TcpStream::connect(upstream).await?;
    tokio::select! {
        copied = copy_bidirectional(&mut connection, &mut server) => Ok(copied.map(drop)?),
        _ = state.wait_for(|line| *line == Line::Cut) => Ok(()),
    }
}
