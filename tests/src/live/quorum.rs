//! Asks the brokers about the quorum of controllers: its leader, and how far its voters are. The client library has no such request.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

const DESCRIBE_QUORUM: i16 = 55;
const TOPIC: &str = "__cluster_metadata";
const TIMEOUT: Duration = Duration::from_secs(10);

/// The quorum of controllers, as its leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The node id of the active controller.
    pub leader: i32,
    /// The offset up to which a majority has the metadata.
    pub high_watermark: i64,
    /// The offset up to which each voter has the metadata, by node id.
    pub voters: BTreeMap<i32, i64>,
}

impl Quorum {
    /// The voters that do not have the metadata up to `offset`.
    #[must_use]
    pub fn behind(&self, offset: i64) -> Vec<i32> {
        self.voters.iter().filter(|(_, end)| **end < offset).map(|(id, _)| *id).collect()
    }
}

/// The node id of the controller that leads the quorum, as one of the brokers (`HOST:PORT,HOST:PORT`) knows it.
///
/// # Errors
/// When no broker responds, or there is no leader at the moment.
pub async fn active_controller(bootstrap_servers: &str) -> Result<i32> {
    Ok(quorum(bootstrap_servers).await?.leader)
}

/// The quorum, as one of the brokers (`HOST:PORT,HOST:PORT`) describes it.
///
/// # Errors
/// When no broker responds, or there is no leader at the moment.
pub async fn quorum(bootstrap_servers: &str) -> Result<Quorum> {
    let mut last = None;
    for broker in bootstrap_servers.split(',') {
        match timeout(TIMEOUT, ask(broker)).await {
            Ok(Ok(quorum)) => return Ok(quorum),
            Ok(Err(error)) => last = Some(error),
            Err(elapsed) => last = Some(elapsed.into()),
        }
    }
    Err(last.context("a broker is named")?)
}

/// Sends DescribeQuorum, version 0: <https://kafka.apache.org/protocol#The_Messages_DescribeQuorum>.
async fn ask(broker: &str) -> Result<Quorum> {
    let mut request = Vec::new();
    request.extend(DESCRIBE_QUORUM.to_be_bytes());
    request.extend(0_i16.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    // No client id, no tagged fields of the header.
    request.extend((-1_i16).to_be_bytes());
    request.push(0);
    // An array or a string of n is announced as n + 1.
    request.push(2);
    request.push(u8::try_from(TOPIC.len() + 1)?);
    request.extend(TOPIC.as_bytes());
    request.push(2);
    request.extend(0_i32.to_be_bytes());
    // No tagged fields of the partition, the topic and the request.
    request.extend([0, 0, 0]);

    let mut connection = TcpStream::connect(broker).await?;
    connection.write_all(&i32::try_from(request.len())?.to_be_bytes()).await?;
    connection.write_all(&request).await?;
    let _length = connection.read_i32().await?;
    let _correlation = connection.read_i32().await?;
    let _tags = connection.read_u8().await?;
    let error = connection.read_i16().await?;
    ensure!(error == 0, "{broker} responds to DescribeQuorum with error {error}");
    let n_topics = connection.read_u8().await?;
    ensure!(n_topics == 2, "the quorum has one topic");
    let name_length = connection.read_u8().await?.saturating_sub(1);
    let mut name = vec![0; usize::from(name_length)];
    connection.read_exact(&mut name).await?;
    let n_partitions = connection.read_u8().await?;
    ensure!(n_partitions == 2, "the topic has one partition");
    let _partition = connection.read_i32().await?;
    let error = connection.read_i16().await?;
    ensure!(error == 0, "{broker} knows no leader of the quorum: error {error}");
    let leader = connection.read_i32().await?;
    ensure!(leader >= 0, "the quorum has no leader");
    let _epoch = connection.read_i32().await?;
    let high_watermark = connection.read_i64().await?;
    let n_voters = connection.read_u8().await?.saturating_sub(1);
    let mut voters = BTreeMap::new();
    for _ in 0..n_voters {
        let id = connection.read_i32().await?;
        voters.insert(id, connection.read_i64().await?);
        let tags = connection.read_u8().await?;
        ensure!(tags == 0, "a voter has no tagged fields");
    }
    Ok(Quorum { leader, high_watermark, voters })
}
