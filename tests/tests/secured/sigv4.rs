//! Requests signed with AWS Signature Version 4, on a real OpenSearch behind a gateway that computes the signature itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use search_client::client::SearchClient;
use serde_json::json;
use testing::sigv4::Signer;

use crate::gateway::Gateway;
use crate::servers::{DAY, OPENSEARCH, Server, batch, configuration, id, invoke};

const TOPIC: &str = "order.events";

fn signer(session_token: Option<&str>) -> Signer {
    Signer {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: session_token.map(str::to_owned),
        region: "eu-central-1".to_owned(),
        service: "es".to_owned(),
    }
}

/// Invokes the function as Lambda does: with the credentials of its role in the environment.
async fn invoke_with(
    gateway: &Gateway,
    role: &Signer,
    prefix: &str,
    more: &[(&str, &str)],
) -> Result<Option<String>> {
    let mut variables = vec![
        ("SEARCH_AUTH", "sigv4"),
        ("AWS_ACCESS_KEY_ID", &role.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &role.secret_access_key),
        ("AWS_REGION", &role.region),
    ];
    if let Some(token) = &role.session_token {
        variables.push(("AWS_SESSION_TOKEN", token));
    }
    variables.extend_from_slice(more);
    let config = configuration(gateway.endpoint(), prefix, &variables)?;
    let client: SearchClient =
        config.indexing.search.connect(&lambda_support::aws::secrets_manager()).await?;
    let payload = batch(TOPIC, &[json!({"orderId": "o-1"}), json!({"orderId": "größer als 1 €"})]);
    Ok(invoke(client, config, &payload, Duration::from_secs(20)).await)
}

#[tokio::test]
async fn a_batch_that_the_functions_role_signed_is_written() -> Result<()> {
    let cluster = Server::find(OPENSEARCH).await?;
    for (prefix, compression) in [("signed-gzip", "gzip"), ("signed-plain", "none")] {
        let role = signer(Some("a-session/token+of=the-role"));
        let gateway = Gateway::start(&cluster, role.clone()).await?;

        let error = invoke_with(&gateway, &role, prefix, &[("BULK_COMPRESSION", compression)]).await?;

        let outcomes = gateway.outcomes();
        ensure!(error.is_none(), "{error:?} {outcomes:?}");
        ensure!(outcomes.rejected.is_empty() && outcomes.forwarded == ["POST _bulk"], "{outcomes:?}");
        let ids: Vec<_> =
            cluster.documents(&format!("{prefix}-{DAY}")).await?.into_iter().map(|it| it.0).collect();
        ensure!(ids == [id(TOPIC, 0), id(TOPIC, 1)], "{ids:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_another_key_signed_fails_and_is_no_dead_letter() -> Result<()> {
    let cluster = Server::find(OPENSEARCH).await?;
    let prefix = "signed-wrongly";
    let right = signer(None);
    let gateway = Gateway::start(&cluster, right.clone()).await?;
    let wrong_key = Signer { secret_access_key: "another".to_owned(), ..right.clone() };
    let wrong_region = Signer { region: "us-east-1".to_owned(), ..right.clone() };
    let unexpected_token = Signer { session_token: Some("token".to_owned()), ..right };

    for (n_rejected, role) in [wrong_key, wrong_region, unexpected_token].iter().enumerate() {
        let error = invoke_with(&gateway, role, prefix, &[]).await?.context("the invocation fails")?;

        ensure!(
            error.starts_with("2 of 2 records failed, the first at order.events-0 offset 0: "),
            "{error}"
        );
        ensure!(error.contains("403"), "{error}");
        let outcomes = gateway.outcomes();
        ensure!(outcomes.rejected.len() == n_rejected + 1 && outcomes.forwarded.is_empty(), "{outcomes:?}");
    }
    for index in [format!("{prefix}-*"), format!("dead-letters-{prefix}-*")] {
        let documents = cluster.documents(&index).await?;
        ensure!(documents.is_empty(), "{index} has {documents:?}");
    }
    Ok(())
}
