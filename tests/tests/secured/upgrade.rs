//! The day on which a cluster gets another index template: its daily indices have the mapping of the old one.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use event_pipeline::outcome::Outcome;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::servers::{OPENSEARCH_PLAIN, Server};
use crate::shapes::{Event, Mapping, Shapes};

/// The index template before events of any shape were taken, at commit ba0af57.
const OLD_TEMPLATE: &str = include_str!("../../fixtures/upgrade/index-template.json");

#[tokio::test]
async fn no_event_is_refused_on_the_day_of_an_upgrade_and_old_events_stay_readable() -> Result<()> {
    let server = Server::find(OPENSEARCH_PLAIN).await?;
    let shapes = Shapes::fresh(&server, "upgrade".to_owned()).await?;
    let events = cases(Mapping::Objects)?;
    let days: BTreeSet<&str> = events.iter().map(|event| event.day.as_str()).collect();
    let old: Value = serde_json::from_str(OLD_TEMPLATE)?;
    for day in &days {
        let path = format!("upgrade-{day}");
        server.request(Method::PUT, &path, Some(&old["template"])).await?;
        let event = json!({"orderId": "before-the-upgrade", "source": {"service": "shop"}, "total": 12.5});
        server.request(Method::PUT, &format!("{path}/_doc/old?refresh=true"), Some(&event)).await?;
    }

    Shapes::provision(&server, "upgrade", Mapping::Objects).await?;
    let events: Vec<&Event> = events.iter().collect();
    let outcomes = shapes.write("first.events", &events).await?;
    for (event, outcome) in events.iter().zip(&outcomes) {
        ensure!(matches!(outcome, Outcome::Indexed | Outcome::Rescued(_)), "{}: {outcome:?}", event.name);
    }
    let query = json!({"query": {"match": {"orderId": "before-the-upgrade"}}, "size": 0});
    let found = server.request(Method::POST, "upgrade-*/_search", Some(&query)).await?;
    let n_found = found["hits"]["total"]["value"].as_u64().context("a count")?;
    ensure!(n_found == days.len() as u64, "{n_found} of {} old events are found", days.len());
    shapes.remove().await
}
