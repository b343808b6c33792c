//! The running stack: addresses and processes, as `localstack/servers/stack.py` reports them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::cpu_time::{TICKS_PER_SECOND, cpu_ticks};

/// Longer than a deployment that builds the functions first, on a busy machine.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(900);

/// A server of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The broker, or a cluster's first one.
    Kafka,
    /// A cluster's second broker.
    Kafka2,
    /// A cluster's third broker.
    Kafka3,
    /// The search cluster, or its first node.
    OpenSearch,
    /// The search cluster's second node.
    OpenSearch2,
    /// The search cluster's third node.
    OpenSearch3,
    /// Lambda and its event source mappings.
    LocalStack,
    /// The process that serves the mappings.
    Poller,
}

impl Server {
    /// The brokers of a cluster.
    pub const BROKERS: [Self; 3] = [Self::Kafka, Self::Kafka2, Self::Kafka3];
    /// The nodes of a search cluster: `node-1` to `node-3`.
    pub const SEARCH_NODES: [Self; 3] = [Self::OpenSearch, Self::OpenSearch2, Self::OpenSearch3];
    const SINGLE: [Self; 4] = [Self::Kafka, Self::OpenSearch, Self::LocalStack, Self::Poller];
    const CLUSTERS: [Self; 8] = [
        Self::Kafka,
        Self::Kafka2,
        Self::Kafka3,
        Self::OpenSearch,
        Self::OpenSearch2,
        Self::OpenSearch3,
        Self::LocalStack,
        Self::Poller,
    ];

    /// The broker with this node id.
    ///
    /// # Errors
    /// When it is not that of one of three brokers.
    pub fn broker(id: i32) -> Result<Self> {
        let place = usize::try_from(id - 1)?;
        Self::BROKERS.get(place).copied().context("the brokers are numbered from 1")
    }

    /// The search node of a name in the cluster, such as `node-2`.
    ///
    /// # Errors
    /// When it is not the name of one of three nodes.
    pub fn search_node(name: &str) -> Result<Self> {
        let number: usize = name.strip_prefix("node-").context("a node's name")?.parse()?;
        let place = number.checked_sub(1).context("the nodes are numbered from 1")?;
        Self::SEARCH_NODES.get(place).copied().context("one of three nodes")
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Kafka2 => "kafka-2",
            Self::Kafka3 => "kafka-3",
            Self::OpenSearch => "opensearch",
            Self::OpenSearch2 => "opensearch-2",
            Self::OpenSearch3 => "opensearch-3",
            Self::LocalStack => "localstack",
            Self::Poller => "poller",
        }
    }
}

/// How a server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// With SIGKILL.
    Kill,
    /// With SIGTERM.
    Terminate,
}

/// The stack that `STACK_INSTANCE` names.
#[derive(Clone, Debug)]
pub struct Stack {
    instance: String,
    repository: PathBuf,
    /// `HOST:PORT` of the broker, or of all brokers.
    pub bootstrap_servers: String,
    /// URL of OpenSearch, or of the search cluster's first node.
    pub search_endpoint: String,
    /// URLs of the search cluster's nodes, the first one included.
    pub search_endpoints: Vec<String>,
    /// URL of LocalStack.
    pub aws_endpoint: String,
}

/// A second poller beside the stack's own. It is killed when dropped.
#[derive(Debug)]
pub struct SecondPoller(tokio::process::Child);

impl SecondPoller {
    /// Terminates it and waits until it has left its consumer groups.
    ///
    /// # Errors
    /// When it does not exit successfully.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.0.id().context("the second poller ended by itself")?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        let status = tokio::time::timeout(Duration::from_secs(90), self.0.wait()).await??;
        ensure!(status.success(), "the second poller ended with {status}");
        Ok(())
    }
}

impl Stack {
    /// Finds the stack and starts its stopped servers.
    ///
    /// # Errors
    /// When there is none, or a server does not start.
    pub async fn ready() -> Result<Self> {
        Self::with(&Server::SINGLE).await
    }

    /// Finds the stack whose brokers and search nodes are clusters, and starts its stopped servers.
    ///
    /// # Errors
    /// When there is none, or a server does not start.
    pub async fn clustered() -> Result<Self> {
        Self::with(&Server::CLUSTERS).await
    }

    async fn with(servers: &[Server]) -> Result<Self> {
        let instance = std::env::var("STACK_INSTANCE")
            .context("STACK_INSTANCE is not set, so there are no servers to test on: run `make test-live`")?;
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let mut stack = Self {
            instance,
            repository,
            bootstrap_servers: String::new(),
            search_endpoint: String::new(),
            search_endpoints: Vec::new(),
            aws_endpoint: String::new(),
        };
        let info = stack.info().await?;
        let stopped: Vec<&str> = servers
            .iter()
            .map(|server| server.name())
            .filter(|name| info.pointer(&format!("/{name}/running")) != Some(&Value::Bool(true)))
            .collect();
        if !stopped.is_empty() {
            stack.run(&[&["start"], stopped.as_slice()].concat()).await?;
        }
        let info = stack.info().await?;
        let text = |pointer: &str| {
            let text = info.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            text.with_context(|| format!("`stack.py info` has no {pointer}: {info}"))
        };
        stack.bootstrap_servers = text("/kafka/bootstrap_servers")?;
        stack.search_endpoint = text("/opensearch/endpoint")?;
        let nodes = Server::SEARCH_NODES.iter().filter(|node| servers.contains(node));
        stack.search_endpoints =
            nodes.map(|node| text(&format!("/{}/endpoint", node.name()))).collect::<Result<_>>()?;
        stack.aws_endpoint = text("/localstack/endpoint")?;
        Ok(stack)
    }

    /// Starts a server; returns when it responds.
    ///
    /// # Errors
    /// When it does not respond.
    pub async fn start(&self, server: Server) -> Result<()> {
        self.run(&["start", server.name()]).await.map(drop)
    }

    /// Starts several servers at once; returns when all respond.
    ///
    /// # Errors
    /// When one does not respond.
    pub async fn start_all(&self, servers: &[Server]) -> Result<()> {
        let names: Vec<&str> = servers.iter().map(|server| server.name()).collect();
        self.run(&[&["start"], names.as_slice()].concat()).await.map(drop)
    }

    /// Starts OpenSearch with lines added to its `opensearch.yml`, for this start only.
    ///
    /// # Errors
    /// When it does not respond.
    pub async fn start_opensearch_with(&self, settings: &str) -> Result<()> {
        self.start_node_with(Server::OpenSearch, settings).await
    }

    /// The same with a node of the search cluster.
    ///
    /// # Errors
    /// When it does not respond.
    pub async fn start_node_with(&self, node: Server, settings: &str) -> Result<()> {
        self.run_with(&["start", node.name()], &[("OPENSEARCH_SETTINGS", settings)]).await.map(drop)
    }

    /// Where a server keeps its data.
    ///
    /// # Errors
    /// When it was not started.
    pub async fn data_folder(&self, server: Server) -> Result<PathBuf> {
        let log = self.log(server).await?;
        Ok(log.parent().context("a log is in its server's folder")?.join("data"))
    }

    /// Stops a server and waits until it has exited.
    ///
    /// # Errors
    /// When `stack.py` fails.
    pub async fn stop(&self, server: Server) -> Result<()> {
        self.run(&["stop", server.name()]).await.map(drop)
    }

    /// Kills a server with SIGKILL.
    ///
    /// # Errors
    /// When `stack.py` fails.
    pub async fn kill(&self, server: Server) -> Result<()> {
        self.run(&["kill", server.name()]).await.map(drop)
    }

    /// Ends a server in either way.
    ///
    /// # Errors
    /// When `stack.py` fails.
    pub async fn end(&self, server: Server, stop: Stop) -> Result<()> {
        match stop {
            Stop::Kill => self.kill(server).await,
            Stop::Terminate => self.stop(server).await,
        }
    }

    /// Deploys the template, with parameter overrides `NAME=VALUE`.
    ///
    /// # Errors
    /// When the deployment fails.
    pub async fn deploy(&self, overrides: &[&str]) -> Result<()> {
        self.run(&[&["deploy", "--"], overrides].concat()).await.map(drop)
    }

    /// Deploys other rules of topics with the functions that are built.
    ///
    /// # Errors
    /// When the deployment fails.
    pub async fn deploy_rules(&self, file: &Path) -> Result<()> {
        let file = file.to_str().context("the path is UTF-8")?;
        self.run(&["rules", file]).await.map(drop)
    }

    /// A file of the repository.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        self.repository.join(path)
    }

    /// The process id of a running server.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn pid(&self, server: Server) -> Result<u32> {
        let info = self.info().await?;
        let pid = info.pointer(&format!("/{}/pid", server.name())).and_then(Value::as_u64);
        let pid = pid.with_context(|| format!("{} does not run: {info}", server.name()))?;
        Ok(u32::try_from(pid)?)
    }

    /// Suspends a server with SIGSTOP until [`Stack::resume`].
    ///
    /// # Errors
    /// When it does not run.
    pub async fn hang(&self, server: Server) -> Result<()> {
        self.signal(server, "-STOP").await
    }

    /// Resumes a suspended server.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn resume(&self, server: Server) -> Result<()> {
        self.signal(server, "-CONT").await
    }

    async fn signal(&self, server: Server, signal: &str) -> Result<()> {
        let pid = self.pid(server).await?.to_string();
        let status = Command::new("kill").args([signal, &pid]).status().await?;
        ensure!(status.success(), "{} could not be sent {signal}", server.name());
        Ok(())
    }

    /// Where a server writes its log.
    ///
    /// # Errors
    /// When it was not started.
    pub async fn log(&self, server: Server) -> Result<PathBuf> {
        let info = self.info().await?;
        let log = info.pointer(&format!("/{}/log", server.name())).and_then(Value::as_str);
        Ok(log.with_context(|| format!("{} was not started: {info}", server.name()))?.into())
    }

    /// Starts a second poller of the same program as the stack's own.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn second_poller(&self, log: &Path) -> Result<SecondPoller> {
        let program = std::fs::read_link(format!("/proc/{}/exe", self.pid(Server::Poller).await?))?;
        let log = std::fs::File::create(log)?;
        let child = Command::new(program)
            .args(["serve", "--endpoint-url", &self.aws_endpoint])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .env("AWS_REGION", "us-east-1")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(SecondPoller(child))
    }

    /// Kills the processes of a test's own function with SIGKILL; returns how many.
    ///
    /// # Errors
    /// When the processes can't be listed.
    pub async fn kill_function(&self, function: &str) -> Result<usize> {
        self.signal_function(function, "-KILL").await
    }

    /// Suspends the processes of a test's own function with SIGSTOP; returns how many. Lambda kills them at their timeout.
    ///
    /// # Errors
    /// When the processes can't be listed.
    pub async fn hang_function(&self, function: &str) -> Result<usize> {
        self.signal_function(function, "-STOP").await
    }

    async fn signal_function(&self, function: &str, signal: &str) -> Result<usize> {
        // Other stacks on this machine may run a function of the template's name.
        ensure!(function.starts_with("test-"), "{function} is not a test's own");
        let mut signalled = 0;
        for folder in processes_with(&[&format!("AWS_LAMBDA_FUNCTION_NAME={function}")])? {
            let pid = folder.file_name().unwrap_or_default();
            signalled += usize::from(Command::new("kill").arg(signal).arg(pid).status().await?.success());
        }
        Ok(signalled)
    }

    /// CPU time, user and system, of this stack's running processes of a function.
    ///
    /// # Errors
    /// When the processes can't be read.
    pub fn function_cpu(&self, function: &str) -> Result<Duration> {
        let variables = [
            &format!("AWS_LAMBDA_FUNCTION_NAME={function}"),
            &format!("SEARCH_ENDPOINT={}", self.search_endpoint),
        ];
        let mut ticks = 0;
        for folder in processes_with(&variables.map(String::as_str))? {
            let (user, system) = cpu_ticks(&folder)?;
            ticks += user + system;
        }
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
    }

    /// The folder for logs of this run.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn log_folder(&self) -> Result<PathBuf> {
        let state = std::env::var_os("KAFKA_TO_SEARCH_STATE")
            .map_or_else(|| self.repository.join(".stack"), PathBuf::from);
        let folder = state.join(&self.instance).join("tests");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    async fn info(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["info"]).await?)?)
    }

    /// Runs a command of `stack.py` and returns what it printed.
    async fn run(&self, words: &[&str]) -> Result<String> {
        self.run_with(words, &[]).await
    }

    async fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Result<String> {
        let servers = self.repository.join("localstack/servers");
        let (command, rest) = words.split_first().context("a command is named")?;
        let running = Command::new(servers.join("python.sh"))
            .arg(servers.join("stack.py"))
            .args([command, "--instance", &self.instance])
            .args(rest)
            .envs(variables.iter().copied())
            .current_dir(&self.repository)
            .stdin(std::process::Stdio::null())
            .output();
        let output = tokio::time::timeout(COMMAND_TIMEOUT, running)
            .await
            .with_context(|| format!("`stack.py {}` does not finish", words.join(" ")))??;
        ensure!(
            output.status.success(),
            "`stack.py {}` ended with {}:\n{}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The folders under `/proc` of the functions' processes that have all these variables, `NAME=value`.
fn processes_with(variables: &[&str]) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let folder = entry?.path();
        // Exited, or another user's.
        let (Ok(environment), Ok(program)) =
            (std::fs::read(folder.join("environ")), std::fs::read_link(folder.join("exe")))
        else {
            continue;
        };
        let has = |variable: &str| environment.split(|byte| *byte == 0).any(|it| it == variable.as_bytes());
        let is_function = program.file_name().is_some_and(|name| name == "bootstrap");
        if is_function && variables.iter().all(|variable| has(variable)) {
            folders.push(folder);
        }
    }
    Ok(folders)
}
