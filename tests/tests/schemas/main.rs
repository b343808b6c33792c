//! Records with schemas of a registry, on the whole stack that STACK_INSTANCE names: `make test-schemas`.
#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, which the assertions find"
)]

mod deployment;
mod same_documents;

use anyhow::{Context, Result};

/// Parameters of the template for both ways to decode, where neither is used: SAM keeps a parameter that it is not given.
const TOPICS: &str = "Topics=order.events,inventory.events,notification.events";
const NO_MAPPING_REGISTRY: &str = r#"SchemaRegistryUri="""#;
const NO_FUNCTION_REGISTRY: &str = r#"FunctionRegistryUrl="""#;

/// The registry of the stack.
fn registry() -> Result<String> {
    std::env::var("SCHEMA_REGISTRY_URL").context("SCHEMA_REGISTRY_URL names a registry")
}
