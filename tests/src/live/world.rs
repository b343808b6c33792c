//! The servers of the stack, ready for a test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use event_producer::generate::TOPICS;
use reqwest::Method;
use serde_json::json;

use crate::live::kafka::Kafka;
use crate::live::lambda::{DEPLOYED, Lambda};
use crate::live::search::{DEAD_LETTERS, INDICES, Search};
use crate::live::stack::Stack;

/// The servers, each with a client.
#[derive(Clone, Debug)]
pub struct World {
    /// The processes.
    pub stack: Stack,
    /// OpenSearch.
    pub search: Search,
    /// Kafka.
    pub kafka: Kafka,
    /// LocalStack.
    pub lambda: Lambda,
}

impl World {
    /// Makes the stack ready: all servers run, and nothing is left over from a failed test.
    ///
    /// # Errors
    /// When there is no stack.
    pub async fn ready() -> Result<Self> {
        Self::of(Stack::ready().await?).await
    }

    /// Makes the stack of clusters ready: all of its nodes run, the search cluster is green, and nothing is left over from a
    /// failed test.
    ///
    /// # Errors
    /// When there is no such stack.
    pub async fn clustered() -> Result<Self> {
        let world = Self::of(Stack::clustered().await?).await?;
        world.search.wait_for_green().await?;
        Ok(world)
    }

    async fn of(stack: Stack) -> Result<Self> {
        let world = Self {
            search: Search::of_nodes(&stack.search_endpoints)?,
            kafka: Kafka::new(&stack.bootstrap_servers),
            lambda: Lambda::new(&stack.aws_endpoint)?,
            stack,
        };
        // LocalStack forgets everything when it stops.
        if !world.lambda.functions().await?.iter().any(|name| name == DEPLOYED) {
            world.stack.deploy(&[]).await?;
        }
        for mapping in world.lambda.mappings().await? {
            let topic = mapping["Topics"][0].as_str().unwrap_or_default();
            if !TOPICS.contains(&topic) {
                world.lambda.delete_mapping(mapping["UUID"].as_str().context("a mapping has an id")?).await?;
            }
        }
        for function in world.lambda.functions().await? {
            if function.starts_with("test-") {
                world.lambda.delete_function(&function).await?;
            }
        }
        world.reset_settings().await?;
        Ok(world)
    }

    /// Resets the settings that a failed test may have left.
    async fn reset_settings(&self) -> Result<()> {
        let cluster = json!({"transient": {"*": null}, "persistent": {"*": null}});
        self.search.request(Method::PUT, "_cluster/settings", Some(&cluster)).await?;
        let blocks = json!({"index.blocks.write": null, "index.blocks.read_only_allow_delete": null});
        let path = format!("{INDICES},{DEAD_LETTERS}/_settings?allow_no_indices=true");
        self.search.request(Method::PUT, &path, Some(&blocks)).await.map(drop)
    }
}

/// Now, in milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// A suffix that no other topic or function of this stack has.
pub(super) fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{count}", now_ms() % 0x1000_0000)
}
