//! Dashboards: saved objects for OpenSearch Dashboards and Kibana, imported by the API of saved objects.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use search_client::endpoint::Endpoint;
use search_client::engine::Engine;
use serde_json::Value;

use crate::call_error::CallError;
use crate::cluster::Cluster;
use crate::files::{FileError, dashboards};
use crate::product::Product;
use crate::report::{Outcome, Report, StepError};
use crate::run::Run;
use crate::settings::Settings;
use crate::text::truncated;

/// Separates the parts of the form. No saved object contains it.
const BOUNDARY: &str = "kafka-to-search-saved-objects-7d3f1c";

const WHAT: &str = "dashboards";

/// Returns the saved objects.
///
/// # Errors
/// [`FileError`] when a file of `infra/search` can't be used.
pub fn objects(product: Product, settings: &Settings) -> Result<Vec<Value>, FileError> {
    dashboards(product.engine).lines(settings)
}

/// Imports the saved objects and overwrites those with the same ids. Objects that people created have other ids, and stay.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    let Some(endpoint) = &run.settings.dashboards_endpoint else {
        let reason = "no DashboardsEndpoint is given: set it to the URL of OpenSearch Dashboards or Kibana and run this again, \
                   or import the file of infra/search/dashboards by hand";
        return report.add(WHAT, Outcome::NotApplied(reason.into()));
    };
    match import(run, endpoint).await {
        Ok((outcome, n_objects)) => {
            report.add_with_note(WHAT, outcome, Some(format!("{n_objects} saved objects")));
        }
        Err(error) => fail(report, error),
    }
}

/// Deletes the saved objects.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    let Some(endpoint) = &run.settings.dashboards_endpoint else { return };
    match delete_objects(run, endpoint).await {
        Ok(0) => {}
        Ok(n) => report.add_with_note(WHAT, Outcome::Deleted, Some(format!("{n} saved objects"))),
        Err(error) => fail(report, error),
    }
}

/// Adds a failure. When Dashboards can't be reached the run still goes on.
fn fail(report: &mut Report, error: StepError) {
    let error = StepError::Other(format!("DashboardsEndpoint: {error}"));
    report.fail(WHAT, error, "");
}

async fn import(run: &Run<'_>, endpoint: &Endpoint) -> Result<(Outcome, usize), StepError> {
    let objects = objects(run.product, run.settings)?;
    let n_objects = objects.len();
    if run.is_dry() {
        return Ok((Outcome::WouldApply, n_objects));
    }
    let ndjson: String = objects.iter().map(|object| format!("{object}\n")).collect();
    let mut headers = headers(run.product.engine);
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&content_type).expect("the boundary is plain"));
    let path = "api/saved_objects/_import?overwrite=true";
    let cluster = connect(run, endpoint).await?;
    let response = cluster.post_with_headers(path, &headers, form(&ndjson)).await?;
    check(&response, n_objects, path)?;
    Ok((Outcome::Applied, n_objects))
}

/// Returns the form with one file that the API expects.
fn form(ndjson: &str) -> Bytes {
    let disposition = "Content-Disposition: form-data; name=\"file\"; filename=\"objects.ndjson\"";
    let form = format!(
        "--{BOUNDARY}\r\n{disposition}\r\nContent-Type: application/ndjson\r\n\r\n{ndjson}\r\n--{BOUNDARY}--\r\n"
    );
    form.into()
}

/// Returns an error unless all objects were imported. The API returns 200 even if it imported only some.
fn check(response: &Value, n_objects: usize, path: &str) -> Result<(), CallError> {
    let n_imported = response.get("successCount").and_then(Value::as_u64);
    if response.get("success") == Some(&Value::Bool(true)) && n_imported == Some(n_objects as u64) {
        return Ok(());
    }
    let errors = response.get("errors").unwrap_or(response).to_string();
    Err(CallError::Refused {
        request: format!("POST /{path}"),
        status: 200,
        message: format!(
            "{} of {n_objects} objects were imported: {}",
            n_imported.unwrap_or(0),
            truncated(&errors, 400)
        ),
    })
}

async fn delete_objects(run: &Run<'_>, endpoint: &Endpoint) -> Result<usize, StepError> {
    let objects = objects(run.product, run.settings)?;
    let (cluster, headers) = (connect(run, endpoint).await?, headers(run.product.engine));
    let mut n_deleted = 0;
    // Objects that others refer to come first in the file, so they are deleted last.
    for object in objects.iter().rev() {
        let member = |name: &str| object.get(name).and_then(Value::as_str);
        let (Some(kind), Some(id)) = (member("type"), member("id")) else { continue };
        let path = format!("api/saved_objects/{kind}/{id}?force=true");
        n_deleted += usize::from(cluster.delete_with_headers(&path, &headers).await?);
    }
    Ok(n_deleted)
}

/// Connects to Dashboards with the administrator's credential.
async fn connect(run: &Run<'_>, endpoint: &Endpoint) -> Result<Cluster, StepError> {
    let client = run.search.connect_to(endpoint.clone().into(), run.secrets).await?;
    Ok(Cluster::new(client, run.cluster.deadline()))
}

/// Returns the headers that each product requires for a change. In OpenSearch Dashboards everyone sees the global tenant.
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
    fn the_form_holds_the_objects_as_one_file() {
        let form = form("{}\n");
        let text = std::str::from_utf8(&form).unwrap();
        assert!(text.starts_with(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename="
        )));
        assert!(text.ends_with(&format!("\r\n\r\n{{}}\n\r\n--{BOUNDARY}--\r\n")));
    }

    #[test]
    fn an_incomplete_import_is_an_error() {
        assert!(check(&json!({"success": true, "successCount": 2}), 2, "p").is_ok());
        let response = json!({"success": false, "successCount": 1, "errors": [{"id": "x", "error": {"type": "conflict"}}]});
        let error = check(&response, 2, "p").unwrap_err().to_string();
        assert!(error.contains("1 of 2 objects were imported") && error.contains("conflict"), "{error}");
        assert!(check(&json!({"success": true, "successCount": 1}), 2, "p").is_err());
    }
}
