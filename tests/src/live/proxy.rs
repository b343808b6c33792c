//! A proxy between the function and OpenSearch that breaks responses as networks, gateways and dying nodes do.
//!
//! It is only for faults that a real server can't be made to show.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to the response of a bulk request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset in the middle of the response.
    Reset,
    /// The response ends before its Content-Length.
    CutShort,
    /// An HTML page instead of JSON, with status 200.
    NotJson,
    /// One item less than the request has operations, all successful.
    WrongItemCount,
    /// A response after this many milliseconds.
    Slow(u64),
    /// No response at all; the connection stays open.
    Silence,
    /// A response with this status.
    Status(u16),
}

/// Whether the request with the broken response reached the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It did, and wrote the documents: sent again, they are duplicates.
    Written,
    /// It did not: whoever takes them for written loses them.
    NotWritten,
}

/// A running proxy. It stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    state: Arc<State>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    upstream: String,
    http: reqwest::Client,
    faults: Mutex<Faults>,
    /// Delay of every unbroken response, in milliseconds.
    delay_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Faults {
    planned: VecDeque<(Fault, Reached)>,
    injected: Vec<(Fault, Reached)>,
    passed: usize,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts a proxy on a free port.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(upstream: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            http,
            faults: Mutex::default(),
            delay_ms: AtomicU64::new(0),
        });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                // Broken connections are the purpose.
                tokio::spawn(async move { state.serve(connection).await });
            }
        });
        Ok(Self { state, address, task })
    }

    /// URL of the proxy.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Plans one fault for each of the next bulk requests; later requests pass.
    pub fn plan(&self, faults: impl IntoIterator<Item = (Fault, Reached)>) {
        self.state.faults().planned.extend(faults);
    }

    /// Delays every unbroken response, so that there are always invocations in flight.
    pub fn slow_down(&self, delay: Duration) {
        self.state.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The faults injected so far, and how many bulk requests passed.
    #[must_use]
    pub fn injected(&self) -> (Vec<(Fault, Reached)>, usize) {
        let state = self.state.faults();
        (state.injected.clone(), state.passed)
    }
}

impl State {
    fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, connection: TcpStream) -> Result<()> {
        let mut connection = BufStream::new(connection);
        while let Some(request) = Request::read(&mut connection).await? {
            let fault = if request.is_check() {
                None
            } else {
                let mut faults = self.faults();
                let fault = faults.planned.pop_front();
                match fault {
                    Some(fault) => faults.injected.push(fault),
                    None => faults.passed += 1,
                }
                fault
            };
            let Some((fault, reached)) = fault else {
                let (status, body) = self.forward(&request).await?;
                tokio::time::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))).await;
                respond(&mut connection, status, &body, body.len()).await?;
                continue;
            };
            let (status, body) = match reached {
                Reached::Written => self.forward(&request).await?,
                Reached::NotWritten => (200, request.all_created()?),
            };
            match fault {
                Fault::Reset => {
                    respond(&mut connection, status, half(&body), body.len()).await?;
                    connection.get_ref().set_zero_linger()?;
                    return Ok(());
                }
                Fault::CutShort => return respond(&mut connection, status, half(&body), body.len()).await,
                Fault::NotJson => {
                    let page = b"<html><body>Welcome</body></html>";
                    respond(&mut connection, 200, page, page.len()).await?;
                }
                Fault::WrongItemCount => {
                    let body = one_item_less(&body)?;
                    respond(&mut connection, 200, &body, body.len()).await?;
                }
                Fault::Slow(delay_ms) => {
                    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                    respond(&mut connection, status, &body, body.len()).await?;
                }
                Fault::Silence => {
                    // Until the client closes the connection.
                    while connection.read_u8().await.is_ok() {}
                    return Ok(());
                }
                Fault::Status(status) => {
                    let body =
                        br#"{"error":{"type":"rejected_execution_exception","reason":"by the proxy"}}"#;
                    respond(&mut connection, status, body, body.len()).await?;
                }
            }
        }
        Ok(())
    }

    async fn forward(&self, request: &Request) -> Result<(u16, Bytes)> {
        let mut forwarded =
            self.http.request(request.method.clone(), format!("{}{}", self.upstream, request.path));
        forwarded = forwarded.body(request.body.clone());
        for (name, value) in &request.headers {
            if matches!(name.as_str(), "content-type" | "content-encoding" | "accept" | "authorization") {
                forwarded = forwarded.header(name, value);
            }
        }
        let response = forwarded.send().await?;
        Ok((response.status().as_u16(), response.bytes().await?))
    }
}

struct Request {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Request {
    /// Reads a request, whose body is empty without a Content-Length; `None` when the connection was closed before it.
    async fn read(connection: &mut BufStream<TcpStream>) -> Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match connection.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && head.is_empty() => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let head = String::from_utf8(head)?;
        let mut lines = head.lines();
        let mut words = lines.next().context("a request line")?.split(' ');
        let method = words.next().context("a method")?.parse()?;
        let path = words.next().context("a path")?.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(Ok(0), |(_, value)| value.parse())?;
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await?;
        Ok(Some(Self { method, path, headers, body: body.into() }))
    }

    /// Whether it only finds out whether the cluster is there.
    fn is_check(&self) -> bool {
        self.method == Method::GET
    }

    /// The response of a cluster that wrote everything, although this one wrote nothing.
    fn all_created(&self) -> Result<Bytes> {
        let compressed =
            self.headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip");
        let mut text = Vec::new();
        if compressed {
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&self.body[..]), &mut text)?;
        } else {
            text.extend_from_slice(&self.body);
        }
        let n_items = text.iter().filter(|byte| **byte == b'\n').count() / 2;
        let items = vec![r#"{"create":{"status":201}}"#; n_items].join(",");
        Ok(format!(r#"{{"errors":false,"items":[{items}]}}"#).into())
    }
}

async fn respond(
    connection: &mut BufStream<TcpStream>,
    status: u16,
    body: &[u8],
    length: usize,
) -> Result<()> {
    let head =
        format!("HTTP/1.1 {status} .\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body).await?;
    connection.flush().await?;
    Ok(())
}

fn half(body: &[u8]) -> &[u8] {
    body.split_at(body.len() / 2).0
}

fn one_item_less(body: &[u8]) -> Result<Bytes> {
    let mut response: Value = serde_json::from_slice(body)?;
    let items = response["items"].as_array_mut().context("a bulk response has items")?;
    ensure!(items.pop().is_some(), "a bulk response has an item");
    Ok(response.to_string().into())
}
