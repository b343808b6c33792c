//! The whole system on clusters: three brokers, three OpenSearch nodes, the deployed function with the URLs of all nodes.
//!
//! All tests share one stack and run one at a time (`--test-threads=1`), since each stops some of its nodes. Each test has its own
//! topic and mapping, streams events while nodes fail, and ends with every event indexed exactly once.

mod cluster_flow;
mod disks;
mod kafka_nodes;
mod search_cuts;
mod search_nodes;
mod shards;
