//! Measures the whole function, beside one that is written as usual (`tests/plain-handler`): a release `bootstrap` that gets full
//! payloads from a stand-in for the Lambda Runtime API and writes to a bulk endpoint that only counts. Both are in this program: with
//! real servers, they would dominate.
//!
//! Prints CPU seconds per million events (user and system time of the function's process), peak memory, the size of
//! the binary and the time from exec to the first request for an invocation. Fails at the end if size or start is beyond its limit.

#![expect(clippy::print_stdout, reason = "printing its figures is what a benchmark is for")]

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use event_producer::payload::{Payload, RecordHeaders, payload};
use flate2::read::GzDecoder;
use integration_tests::cpu_time::{TICKS_PER_SECOND, cpu_ticks};

/// Measures a function's binary from `/next` to its response.
#[derive(Parser)]
struct Arguments {
    /// The release binary of index-events; by default the one next to this program.
    binary: Option<PathBuf>,
    /// The release binary of plain-handler; by default the one next to this program.
    #[arg(long)]
    plain: Option<PathBuf>,
    /// Invocations measured, each a full payload.
    #[arg(long, default_value_t = 60)]
    invocations: usize,
    /// Payload in bytes; Lambda's limit is 6 MB.
    #[arg(long, default_value_t = 6 * 1024 * 1024)]
    payload_bytes: usize,
}

/// Lambda fetches the binary at each cold start.
const MAX_BYTES: u64 = 14_000_000;
const MAX_START: Duration = Duration::from_millis(30);
const PLAIN_ROUNDS: usize = 3;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let here = std::env::current_exe()?;
    let binary = arguments.binary.unwrap_or_else(|| here.with_file_name("index-events"));
    let plain = arguments.plain.unwrap_or_else(|| here.with_file_name("plain-handler"));
    let size = fs::metadata(&binary).with_context(|| format!("{}", binary.display()))?.len();
    println!("bootstrap                    {:8.2} MB", size as f64 / 1e6);
    let start = best_start(&binary)?;
    println!("exec to first /next, best    {:8.1} ms", start.as_secs_f64() * 1e3);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let mut cpu_a_byte = Vec::new();
    for headers in [RecordHeaders::None, RecordHeaders::TraceAndCorrelation] {
        let payload = payload(1, now_ms, arguments.payload_bytes, headers);
        println!(
            "\n{} events of {} bytes a payload, {}",
            payload.n_records,
            payload.value_bytes / payload.n_records,
            if headers == RecordHeaders::None { "no headers" } else { "two headers" }
        );
        for compression in ["gzip", "none"] {
            println!("  {compression}: {}", measure(&binary, arguments.invocations, &payload, compression)?);
        }
        // In turns, so that a noisy machine affects both alike.
        let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
        for _ in 0..PLAIN_ROUNDS {
            let invocations = arguments.invocations.div_ceil(PLAIN_ROUNDS);
            ours = ours.min(measure(&binary, invocations, &payload, "none")?.cpu_s());
            let measured = measure(&plain, invocations, &payload, "none")?;
            if measured.cpu_s() < theirs {
                theirs = measured.cpu_s();
                println!("  a plain handler, none: {measured}");
            }
        }
        println!("  a plain handler takes {:.1} times the CPU", theirs / ours);
        cpu_a_byte.push(ours * payload.n_records as f64 / payload.json.len() as f64);
    }
    if let [without, with] = cpu_a_byte[..] {
        println!("\nwith two headers, {:.2} times the CPU a byte of payload", with / without);
    }
    ensure!(
        size < MAX_BYTES,
        "the bootstrap has {size} bytes, and may have {MAX_BYTES}: see what has become part of it"
    );
    ensure!(start < MAX_START, "the function took {start:?} to start, and may take {MAX_START:?}");
    Ok(())
}

struct Measured {
    /// Per million events.
    user_s: f64,
    /// Per million events.
    system_s: f64,
    events_per_s: f64,
    /// Of bulk requests.
    bytes_an_event: f64,
    peak_rss_mb: f64,
}

impl Measured {
    /// Per million events.
    fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:5.2} CPU s per million events ({:.2} user, {:.2} system), {:.0} events/s, {:.0} bytes an event sent, peak RSS {:.1} MB",
            self.cpu_s(),
            self.user_s,
            self.system_s,
            self.events_per_s,
            self.bytes_an_event,
            self.peak_rss_mb
        )
    }
}

fn best_start(binary: &Path) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let counter = BulkCounter::start()?;
        let started = Instant::now();
        let mut function = Function::start(binary, "gzip", counter.port)?;
        function.wait_until_ready()?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}

fn measure(binary: &Path, invocations: usize, payload: &Payload, compression: &str) -> Result<Measured> {
    let counter = BulkCounter::start()?;
    let mut function = Function::start(binary, compression, counter.port)?;
    function.wait_until_ready()?;
    // The first invocations open the connection and fault the memory in.
    for _ in 0..3 {
        function.invoke(&payload.json)?;
    }
    let (user_before, system_before) = function.cpu_ticks()?;
    let count = || {
        let Received { documents, bytes } = &*counter.received;
        (documents.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    };
    let (documents_before, bytes_before) = count();
    let started = Instant::now();
    for _ in 0..invocations {
        function.invoke(&payload.json)?;
    }
    let elapsed = started.elapsed();
    let (user, system) = function.cpu_ticks()?;
    let n_events = (invocations * payload.n_records) as u64;
    let (documents, bytes) = count();
    let n_documents = documents - documents_before;
    ensure!(n_documents == n_events, "{n_documents} documents arrived of {n_events} events");
    let per_million = |ticks: u64| ticks as f64 / TICKS_PER_SECOND / n_events as f64 * 1e6;
    Ok(Measured {
        user_s: per_million(user - user_before),
        system_s: per_million(system - system_before),
        events_per_s: n_events as f64 / elapsed.as_secs_f64(),
        bytes_an_event: (bytes - bytes_before) as f64 / n_events as f64,
        peak_rss_mb: function.peak_rss_mb()?,
    })
}

/// The function's process and its Runtime API.
struct Function {
    process: Child,
    payloads: Sender<Arc<Vec<u8>>>,
    responses: Receiver<(String, String)>,
    ready: Receiver<()>,
}

impl Function {
    fn start(binary: &Path, compression: &str, bulk_port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (payloads, next) = channel::<Arc<Vec<u8>>>();
        let (response, responses) = channel();
        let (is_ready, ready) = channel();
        let api = Arc::new(RuntimeApi { next: Mutex::new(next), response, is_ready });
        std::thread::spawn(move || {
            // A client may open a connection before it has released the last one.
            for stream in listener.incoming().flatten() {
                let api = Arc::clone(&api);
                std::thread::spawn(move || api.serve(stream));
            }
        });
        let process = Command::new(binary)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}")),
                ("AWS_LAMBDA_FUNCTION_NAME", "index-events".into()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".into()),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".into()),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "bench".into()),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".into()),
                ("SEARCH_ENDPOINT", format!("http://127.0.0.1:{bulk_port}")),
                ("BULK_COMPRESSION", compression.into()),
                // As in the template.
                ("MALLOC_ARENA_MAX", "1".into()),
            ])
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} can't be started", binary.display()))?;
        Ok(Self { process, payloads, responses, ready })
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        self.ready
            .recv_timeout(Duration::from_secs(10))
            .context("the function requested no invocation in 10 s")
    }

    fn invoke(&mut self, payload: &[u8]) -> Result<()> {
        self.payloads.send(Arc::new(payload.to_vec()))?;
        let (path, body) =
            self.responses.recv_timeout(Duration::from_secs(60)).context("no response in 60 s")?;
        ensure!(path.ends_with("/response") && body == r#"{"batchItemFailures":[]}"#, "{path}: {body}");
        Ok(())
    }

    fn cpu_ticks(&self) -> Result<(u64, u64)> {
        cpu_ticks(Path::new(&format!("/proc/{}", self.process.id())))
    }

    fn peak_rss_mb(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in status")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024.0 / 1e6)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Runtime API: sends payloads and receives responses.
struct RuntimeApi {
    next: Mutex<Receiver<Arc<Vec<u8>>>>,
    response: Sender<(String, String)>,
    is_ready: Sender<()>,
}

impl RuntimeApi {
    /// Serves a connection until it is closed or there are no more payloads.
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::with_capacity(1 << 20, stream);
        while let Ok(request) = read_request(&mut reader) {
            let responded = if request.path.ends_with("/next") {
                let _ = self.is_ready.send(());
                let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
                let Ok(payload) = next.recv() else { return };
                drop(next);
                respond(reader.get_mut(), "200 OK", &invocation_headers(), &payload)
            } else {
                let responded = respond(reader.get_mut(), "202 Accepted", "", b"{}");
                let body = String::from_utf8_lossy(&request.body).into_owned();
                if self.response.send((request.path, body)).is_err() {
                    return;
                }
                responded
            };
            if responded.is_err() {
                return;
            }
        }
    }
}

fn invocation_headers() -> String {
    let deadline_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() + 60_000;
    format!(
        "Lambda-Runtime-Aws-Request-Id: {deadline_ms}\r\nLambda-Runtime-Deadline-Ms: {deadline_ms}\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:0:function:index-events\r\n\
         Lambda-Runtime-Trace-Id: none\r\n"
    )
}

/// A bulk endpoint that counts documents and responds that each was created.
struct BulkCounter {
    port: u16,
    received: Arc<Received>,
}

#[derive(Default)]
struct Received {
    documents: AtomicU64,
    /// Bodies as they were sent, compressed or not.
    bytes: AtomicU64,
}

impl BulkCounter {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let received = Arc::new(Received::default());
        let counter = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || count_bulk_requests(stream, &counter));
            }
        });
        Ok(Self { port, received })
    }
}

fn count_bulk_requests(stream: TcpStream, counter: &Received) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    while let Ok(request) = read_request(&mut reader) {
        let mut body = request.body;
        counter.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        if request.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
            let mut text = Vec::with_capacity(body.len() * 8);
            if GzDecoder::new(&body[..]).read_to_end(&mut text).is_err() {
                return;
            }
            body = text;
        }
        let n_documents = body.iter().filter(|byte| **byte == b'\n').count() / 2;
        counter.documents.fetch_add(n_documents as u64, Ordering::Relaxed);
        let items = vec![r#"{"create":{"status":201}}"#; n_documents].join(",");
        let response = format!(r#"{{"errors":false,"items":[{items}]}}"#);
        if respond(reader.get_mut(), "200 OK", "Content-Type: application/json\r\n", response.as_bytes())
            .is_err()
        {
            return;
        }
    }
}

struct Request {
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

fn read_request(reader: &mut impl BufRead) -> Result<Request> {
    let mut line = String::new();
    ensure!(reader.read_line(&mut line)? > 0, "the connection is closed");
    let path = line.split(' ').nth(1).context("a request line has a path")?.to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    if headers.contains_key("transfer-encoding") {
        bail!("bodies must have a Content-Length");
    }
    let length = headers.get("content-length").map_or(Ok(0), |text| text.parse())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { path, headers, body })
}

fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let mut response =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    response.extend_from_slice(body);
    stream.write_all(&response)
}
