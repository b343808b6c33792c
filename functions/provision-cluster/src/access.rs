//! Access: roles with the rights that the functions and people need, and the functions' own credentials.

mod api_keys;
mod credential;
mod identity;
mod mappings;
pub mod roles;
mod users;

use lambda_support::secrets::StoreError;
use search_client::auth::CredentialType;
use search_client::engine::Engine;

use crate::call_error::CallError;
use crate::product::Product;
use crate::report::{Outcome, Report, StepError};
use crate::role::Role;
use crate::run::{Rotation, Run};
use crate::settings::{FunctionAuth, Settings};
use crate::text::truncated;
use credential::{StoredCredential, names};

/// Most that is reported of an error of Secrets Manager.
const MAX_STORE_ERROR_BYTES: usize = 400;

/// Roles that get a credential. People get none.
const FUNCTION_ROLES: [Role; 2] = [Role::Writer, Role::Replayer];

/// Says what a cluster without the API lacks, and the fix.
fn missing_api(product: Product) -> &'static str {
    match product.engine {
        Engine::OpenSearch => {
            "this OpenSearch has no security plugin, so everyone who can reach it may do everything: install and configure \
             opensearch-security and run this again"
        }
        Engine::Elasticsearch => {
            "this Elasticsearch manages no roles and users: turn its security on, or use a distribution and a licence that \
             have it, and run this again"
        }
    }
}

/// Applies roles, credentials and role mappings.
pub async fn apply(run: &Run<'_>, report: &mut Report) {
    for role in Role::ALL {
        let name = role.name(run.settings);
        let result = roles::apply(run, role).await;
        let role_state = match &result {
            Ok(_) => RoleState::Exists,
            Err(StepError::Call(CallError::MissingApi { .. })) => RoleState::Unsupported,
            Err(_) => RoleState::Failed,
        };
        report.record(format!("role {name}"), result, missing_api(run.product));
        if report.given_up() {
            return;
        }
        if role_state != RoleState::Failed && FUNCTION_ROLES.contains(&role) {
            apply_function_login(run, role, role_state, report).await;
        }
        if role == Role::Reader
            && role_state == RoleState::Exists
            && !run.settings.reader_backend_roles.is_empty()
        {
            let what = format!("people of the role {name}");
            report.record(what, mappings::apply_readers(run).await, missing_api(run.product));
        }
        if report.given_up() {
            return;
        }
    }
}

/// Whether the cluster has the role of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RoleState {
    Exists,
    /// The cluster has no roles.
    Unsupported,
    Failed,
}

/// Applies what a function logs in with.
async fn apply_function_login(run: &Run<'_>, role: Role, role_state: RoleState, report: &mut Report) {
    let name = role.name(run.settings);
    let kind = match run.settings.function_auth {
        FunctionAuth::None => return,
        FunctionAuth::SigV4 => {
            if role_state == RoleState::Exists {
                let what = format!("IAM role in {name}");
                report.record(what, mappings::apply_function(run, role).await, missing_api(run.product));
            }
            return;
        }
        FunctionAuth::Basic => CredentialType::Basic,
        FunctionAuth::ApiKey => CredentialType::ApiKey,
    };
    let what = match kind {
        CredentialType::Basic => format!("user of {name}"),
        CredentialType::ApiKey => format!("API key of {name}"),
    };
    let (secret_id, setting) = secret_of(run.settings, role);
    let Some(secret_id) = secret_id else {
        let reason = format!(
            "there is no secret to store it in: set {setting} to the id of one in Secrets Manager, or give the function a \
             credential of this role yourself"
        );
        return report.add(what, Outcome::NotApplied(reason));
    };
    match apply_credential(run, role, kind, secret_id, role_state).await {
        Ok((outcome, note)) => report.add_with_note(what, outcome, note),
        // A function that can't log in is a failure, unlike other things that a cluster lacks.
        Err(StepError::Call(CallError::MissingApi { .. })) => {
            let reason = no_credentials(run.product, kind).to_owned();
            report.fail(what, StepError::Other(reason), "");
        }
        Err(error) => report.fail(what, error, ""),
    }
}

fn no_credentials(product: Product, kind: CredentialType) -> &'static str {
    match (product.engine, kind) {
        (Engine::OpenSearch, CredentialType::ApiKey) => {
            "this OpenSearch has no API keys: use 3.7 or newer with config.dynamic.api_tokens.enabled, or FunctionAuth \
             `basic`"
        }
        (Engine::Elasticsearch, CredentialType::ApiKey) => {
            "this Elasticsearch has no API keys: set xpack.security.authc.api_key.enabled, or FunctionAuth `basic`"
        }
        _ => missing_api(product),
    }
}

/// Returns the id of a role's secret, and the setting that names it.
fn secret_of(settings: &Settings, role: Role) -> (Option<&str>, &'static str) {
    match role {
        Role::Replayer => (settings.replayer_secret_id.as_deref(), "ReplayerSecretId"),
        _ => (settings.writer_secret_id.as_deref(), "WriterSecretId"),
    }
}

/// Makes the secret hold a credential that works.
async fn apply_credential(
    run: &Run<'_>,
    role: Role,
    kind: CredentialType,
    secret_id: &str,
    role_state: RoleState,
) -> Result<(Outcome, Option<String>), StepError> {
    let (_, setting) = secret_of(run.settings, role);
    let store_error = |error: StoreError| {
        StepError::Other(format!(
            "{setting}: {}; name a secret that exists, and let the function's role read and write it",
            truncated(&error.to_string(), MAX_STORE_ERROR_BYTES)
        ))
    };
    let text = run.secrets.read(secret_id).await.map_err(store_error)?;
    let stored = text.as_ref().and_then(|text| StoredCredential::parse(kind, text));
    if role_state == RoleState::Unsupported {
        // If there is a credential, it was created elsewhere.
        return match stored {
            Some(_) => {
                let reason = "the cluster manages no users here; the one in the secret is left as it is, and the cluster's \
                              own administration must give it its rights";
                Ok((Outcome::NotApplied(reason.into()), None))
            }
            None => Err(StepError::Other(format!(
                "the secret `{secret_id}` holds no credential, and none can be created: {}",
                missing_api(run.product)
            ))),
        };
    }
    let Some(reason) = replacement_reason(run, role, kind, stored.as_ref()).await? else {
        return Ok((Outcome::Unchanged, None));
    };
    if run.is_dry() {
        return Ok((Outcome::WouldApply, Some(reason.into())));
    }
    let created = match kind {
        CredentialType::Basic => users::create(run, role, stored.as_ref()).await?,
        CredentialType::ApiKey => api_keys::create(run, role, stored.as_ref()).await?,
    };
    run.secrets.write(secret_id, &created.text()).await.map_err(store_error)?;
    if kind == CredentialType::ApiKey {
        api_keys::invalidate_older(run, role, &created, stored.as_ref()).await?;
    }
    Ok((Outcome::Applied, Some(reason.into())))
}

/// Returns why the stored credential must be replaced; `None` if it stays.
async fn replacement_reason(
    run: &Run<'_>,
    role: Role,
    kind: CredentialType,
    stored: Option<&StoredCredential>,
) -> Result<Option<&'static str>, StepError> {
    let Some(stored) = stored else { return Ok(Some("the secret held none")) };
    if run.options.rotation == Rotation::Requested {
        return Ok(Some("replaced as requested; the previous one stays valid until the next rotation"));
    }
    let name = role.name(run.settings);
    if stored.role.as_ref().is_some_and(|of| *of != name) {
        return Ok(Some("the secret held one of another role"));
    }
    // A credential that a person put there has no revision, and stays until a rotation is requested.
    let (stored_revision, revision) = (&stored.revision, &run.settings.credential_revision);
    let has_revision = stored.role.is_some() || run.options.rotation == Rotation::RevisionChanged;
    if has_revision && revision.is_some() && stored_revision != revision {
        return Ok(Some("CredentialRevision changed; the previous one stays valid until the next rotation"));
    }
    match kind {
        CredentialType::Basic => {
            let works = users::works(run, stored).await?;
            Ok((!works).then_some("the one in the secret does not work"))
        }
        CredentialType::ApiKey => api_keys::replacement_reason(run, role, stored).await,
    }
}

/// Deletes credentials, mappings and roles. The secrets keep their text: they belong to whoever created them.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    for role in Role::ALL {
        let name = role.name(run.settings);
        if FUNCTION_ROLES.contains(&role) {
            for user in names(&name) {
                let deleted = run.cluster.delete(&users::path(run.product, &user)).await;
                report.record_deleted(format!("user {user}"), deleted);
            }
            let invalidated = api_keys::invalidate_all(run, role).await;
            report.record_deleted(format!("API keys of {name}"), invalidated);
        }
        let deleted = run.cluster.delete(&mappings::path(run.product, &name)).await;
        report.record_deleted(format!("mapping of the role {name}"), deleted);
        let deleted = run.cluster.delete(&roles::path(run.product, &name)).await;
        report.record_deleted(format!("role {name}"), deleted);
        if report.given_up() {
            return;
        }
    }
}
