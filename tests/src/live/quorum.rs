//! Asks the brokers which of them is the active controller. The client library has no such request.

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

const DESCRIBE_QUORUM: i16 = 55;
const TOPIC: &str = "__cluster_metadata";
const TIMEOUT: Duration = Duration::from_secs(10);

/// The node id of the controller that leads the quorum, as one of the brokers (`HOST:PORT,HOST:PORT`) knows it.
///
/// # Errors
/// When no broker responds, or there is no leader at the moment.
pub async fn active_controller(bootstrap_servers: &str) -> Result<i32> {
    let mut last = None;
    for broker in bootstrap_servers.split(',') {
        match timeout(TIMEOUT, ask(broker)).await {
            Ok(Ok(leader)) => return Ok(leader),
            Ok(Err(error)) => last = Some(error),
            Err(elapsed) => last = Some(elapsed.into()),
        }
    }
    Err(last.context("a broker is named")?)
}

/// Sends DescribeQuorum, version 0: <https://kafka.apache.org/protocol#The_Messages_DescribeQuorum>.
async fn ask(broker: &str) -> Result<i32> {
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
    Ok(leader)
}
