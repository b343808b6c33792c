//! Dashboards: saved objects for OpenSearch Dashboards and Kibana, imported by the API of saved objects.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use search_client::engine::Engine;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::files::{FileError, dashboards};
use crate::product::Product;
use crate::provision::Run;
use crate::refusal::{CallError, shortened};
use crate::report::{Outcome, Report, StepError};
use crate::settings::Settings;

/// Stands between the parts of the form; no saved object has it.
const BOUNDARY: &str = "kafka-to-search-saved-objects-7d3f1c";

const WHAT: &str = "dashboards";

/// The saved objects.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn objects(product: Product, settings: &Settings) -> Result<Vec<Value>, FileError> {
    dashboards(product.engine).lines(settings)
}

/// Imports the saved objects, over those of the same ids. People's own have other ids, and stay.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    if run.settings.dashboards_endpoint.is_none() {
        let why = "no DashboardsEndpoint is given: set it to the URL of OpenSearch Dashboards or Kibana and run this again, \
                   or import the file of infra/search/dashboards by hand";
        return report.add(WHAT, Outcome::NotApplied(why.into()));
    }
    match import(run).await {
        Ok((outcome, n_objects)) => {
            report.add_with_note(WHAT, outcome, Some(format!("{n_objects} saved objects")));
        }
        Err(error) => fail(report, error),
    }
}

/// Deletes the saved objects.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    if run.settings.dashboards_endpoint.is_none() {
        return;
    }
    match delete_objects(run).await {
        Ok(0) => {}
        Ok(n) => report.add_with_note(WHAT, Outcome::Deleted, Some(format!("{n} saved objects"))),
        Err(error) => fail(report, error),
    }
}

/// Dashboards out of reach are no reason to give the cluster up.
fn fail(report: &mut Report, error: StepError) {
    let error = StepError::Other(format!("DashboardsEndpoint: {error}"));
    report.fail(WHAT, error, "");
}

async fn import(run: &Run<'_>) -> Result<(Outcome, usize), StepError> {
    let objects = objects(run.product, run.settings).map_err(|error| StepError::Other(error.to_string()))?;
    let n_objects = objects.len();
    if run.is_dry() {
        return Ok((Outcome::WouldApply, n_objects));
    }
    let ndjson: String = objects.iter().map(|object| format!("{object}\n")).collect();
    let mut headers = headers(run.product.engine);
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&content_type).expect("the boundary is plain"));
    let path = "api/saved_objects/_import?overwrite=true";
    let answer = connect(run).await?.post_with(path, &headers, form(&ndjson)).await?;
    check(&answer, n_objects, path)?;
    Ok((Outcome::Applied, n_objects))
}

/// A form with one file, as the API takes it.
fn form(ndjson: &str) -> Bytes {
    let disposition = "Content-Disposition: form-data; name=\"file\"; filename=\"objects.ndjson\"";
    let form = format!(
        "--{BOUNDARY}\r\n{disposition}\r\nContent-Type: application/ndjson\r\n\r\n{ndjson}\r\n--{BOUNDARY}--\r\n"
    );
    form.into()
}

/// The API answers 200 also when it took only some.
fn check(answer: &Value, n_objects: usize, path: &str) -> Result<(), CallError> {
    let n_taken = answer.get("successCount").and_then(Value::as_u64);
    if answer.get("success") == Some(&Value::Bool(true)) && n_taken == Some(n_objects as u64) {
        return Ok(());
    }
    let errors = answer.get("errors").unwrap_or(answer).to_string();
    Err(CallError::Refused {
        request: format!("POST /{path}"),
        status: 200,
        said: format!(
            "{} of {n_objects} objects were taken: {}",
            n_taken.unwrap_or(0),
            shortened(&errors, 400)
        ),
    })
}

async fn delete_objects(run: &Run<'_>) -> Result<usize, StepError> {
    let objects = objects(run.product, run.settings).map_err(|error| StepError::Other(error.to_string()))?;
    let (cluster, headers) = (connect(run).await?, headers(run.product.engine));
    let mut n_deleted = 0;
    // Those that others refer to come first in the file, so they go last.
    for object in objects.iter().rev() {
        let member = |name: &str| object.get(name).and_then(Value::as_str);
        let (Some(kind), Some(id)) = (member("type"), member("id")) else { continue };
        let path = format!("api/saved_objects/{kind}/{id}?force=true");
        n_deleted += usize::from(cluster.delete_with(&path, &headers).await?);
    }
    Ok(n_deleted)
}

async fn connect(run: &Run<'_>) -> Result<Cluster, StepError> {
    let endpoint = run.settings.dashboards_endpoint.clone().expect("it was looked for");
    let client =
        run.search.connect_to(endpoint).await.map_err(|error| StepError::Other(error.to_string()))?;
    Ok(Cluster::new(client, run.cluster.until()))
}

/// Headers without which each product refuses a change. OpenSearch Dashboards takes the tenant that all see.
fn headers(engine: Engine) -> HeaderMap {
    let (name, more) = match engine {
        Engine::OpenSearch => ("osd-xsrf", Some(("securitytenant", "global"))),
        Engine::Elasticsearch => ("kbn-xsrf", None),
    };
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static(name), HeaderValue::from_static("true"));
    if let Some((name, value)) = more {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_has_the_objects_as_one_file() {
        let form = form("{}\n");
        let text = std::str::from_utf8(&form).unwrap();
        assert!(text.starts_with(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename="
        )));
        assert!(text.ends_with(&format!("\r\n\r\n{{}}\n\r\n--{BOUNDARY}--\r\n")));
    }

    #[test]
    fn an_import_that_took_only_some_has_failed() {
        assert!(check(&json!({"success": true, "successCount": 2}), 2, "p").is_ok());
        let answer = json!({"success": false, "successCount": 1, "errors": [{"id": "x", "error": {"type": "conflict"}}]});
        let error = check(&answer, 2, "p").unwrap_err().to_string();
        assert!(error.contains("1 of 2 objects were taken") && error.contains("conflict"), "{error}");
        assert!(check(&json!({"success": true, "successCount": 1}), 2, "p").is_err());
    }
}
