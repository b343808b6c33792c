//! Access: roles that may do what the functions and people need and no more, and the functions' own credentials.

mod api_keys;
mod credential;
mod mappings;
pub mod roles;
mod users;

use search_client::auth::SecretKind;
use search_client::engine::Engine;

use crate::files::Who;
use crate::product::Product;
use crate::provision::{Rotation, Run};
use crate::refusal::{CallError, shortened};
use crate::report::{Outcome, Report, StepError};
use crate::settings::{FunctionAuth, Settings};
use credential::{Credential, Stored, names};

/// Most that is told of what Secrets Manager said.
const MAX_REASON: usize = 400;

/// Whose credentials are made: people get none.
const FUNCTIONS: [Who; 2] = [Who::Writer, Who::Replayer];

fn lacking(product: Product) -> &'static str {
    match product.engine {
        Engine::OpenSearch => {
            "this OpenSearch has no security plugin, so whoever reaches it may do everything: install and configure \
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
    for who in [Who::Writer, Who::Replayer, Who::Reader] {
        let role = who.role(run.settings);
        let applied = roles::apply(run, who).await;
        let has_role = match &applied {
            Ok(_) => HasRole::Yes,
            Err(StepError::Call(CallError::Lacking { .. })) => HasRole::ClusterHasNone,
            Err(_) => HasRole::Failed,
        };
        report.record(format!("role {role}"), applied, lacking(run.product));
        if report.given_up() {
            return;
        }
        if has_role != HasRole::Failed && FUNCTIONS.contains(&who) {
            apply_login(run, who, has_role, report).await;
        }
        if who == Who::Reader && has_role == HasRole::Yes && !run.settings.reader_backend_roles.is_empty() {
            let what = format!("people of the role {role}");
            report.record(what, mappings::apply_readers(run).await, lacking(run.product));
        }
        if report.given_up() {
            return;
        }
    }
}

/// Whether a role is there for a credential to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HasRole {
    Yes,
    ClusterHasNone,
    Failed,
}

/// Lets a function in.
async fn apply_login(run: &Run<'_>, who: Who, has_role: HasRole, report: &mut Report) {
    let role = who.role(run.settings);
    let kind = match run.settings.function_auth {
        FunctionAuth::None => return,
        FunctionAuth::SigV4 => {
            if has_role == HasRole::Yes {
                let what = format!("IAM role in {role}");
                report.record(what, mappings::apply_function(run, who).await, lacking(run.product));
            }
            return;
        }
        FunctionAuth::Basic => SecretKind::Basic,
        FunctionAuth::ApiKey => SecretKind::ApiKey,
    };
    let what = match kind {
        SecretKind::Basic => format!("user of {role}"),
        SecretKind::ApiKey => format!("API key of {role}"),
    };
    let (secret_id, setting) = secret_of(run.settings, who);
    let Some(secret_id) = secret_id else {
        let why = format!(
            "no secret is named to store it in: set {setting} to the id of one in Secrets Manager, or give the function \
             a credential of this role by hand"
        );
        return report.add(what, Outcome::NotApplied(why));
    };
    match apply_credential(run, who, kind, secret_id, has_role).await {
        Ok((outcome, note)) => report.add_with_note(what, outcome, note),
        // A function that can't log in is no matter of a plugin that may be missing.
        Err(StepError::Call(CallError::Lacking { .. })) => {
            let why = no_credentials(run.product, kind).to_owned();
            report.fail(what, StepError::Other(why), "");
        }
        Err(error) => report.fail(what, error, ""),
    }
}

fn no_credentials(product: Product, kind: SecretKind) -> &'static str {
    match (product.engine, kind) {
        (Engine::OpenSearch, SecretKind::ApiKey) => {
            "this OpenSearch has no API keys: use 3.7 or newer with config.dynamic.api_tokens.enabled, or FunctionAuth \
             `basic`"
        }
        (Engine::Elasticsearch, SecretKind::ApiKey) => {
            "this Elasticsearch has no API keys: set xpack.security.authc.api_key.enabled, or FunctionAuth `basic`"
        }
        _ => lacking(product),
    }
}

fn secret_of(settings: &Settings, who: Who) -> (Option<&str>, &'static str) {
    match who {
        Who::Replayer => (settings.replayer_secret_id.as_deref(), "ReplayerSecretId"),
        _ => (settings.writer_secret_id.as_deref(), "WriterSecretId"),
    }
}

/// Sees to it that the secret holds a credential that works.
async fn apply_credential(
    run: &Run<'_>,
    who: Who,
    kind: SecretKind,
    secret_id: &str,
    has_role: HasRole,
) -> Result<(Outcome, Option<String>), StepError> {
    let (_, setting) = secret_of(run.settings, who);
    let of_secret = |reason: String| {
        StepError::Other(format!(
            "{setting}: {}; name a secret that exists, and let the function's role read and write it",
            shortened(&reason, MAX_REASON)
        ))
    };
    let text = run.secrets.read(secret_id).await.map_err(of_secret)?;
    let stored = text.as_ref().and_then(|text| Stored::parse(kind, text));
    if has_role == HasRole::ClusterHasNone {
        // The credential was made elsewhere, if there is one.
        return match stored {
            Some(_) => {
                let why = "the cluster manages no users here; the one in the secret is left as it is, and the cluster's own \
                           administration must give it its rights";
                Ok((Outcome::NotApplied(why.into()), None))
            }
            None => Err(StepError::Other(format!(
                "the secret `{secret_id}` holds no credential, and none can be made: {}",
                lacking(run.product)
            ))),
        };
    }
    let Some(why) = why_anew(run, who, kind, stored.as_ref()).await? else {
        return Ok((Outcome::Unchanged, None));
    };
    if run.is_dry() {
        return Ok((Outcome::WouldApply, Some(why.into())));
    }
    let made = match kind {
        SecretKind::Basic => users::make(run, who, stored.as_ref()).await?,
        SecretKind::ApiKey => api_keys::make(run, who, stored.as_ref()).await?,
    };
    run.secrets.write(secret_id, &made.text()).await.map_err(of_secret)?;
    if kind == SecretKind::ApiKey {
        api_keys::invalidate_older(run, who, &made, stored.as_ref()).await?;
    }
    Ok((Outcome::Applied, Some(why.into())))
}

/// Why a credential is made anew; `None` if the one that is stored stays.
async fn why_anew(
    run: &Run<'_>,
    who: Who,
    kind: SecretKind,
    stored: Option<&Stored>,
) -> Result<Option<&'static str>, StepError> {
    let Some(stored) = stored else { return Ok(Some("the secret held none")) };
    if run.request.rotation == Rotation::Asked {
        return Ok(Some("made anew as asked; the one before stays valid until the next time"));
    }
    let role = who.role(run.settings);
    if stored.role.as_ref().is_some_and(|of| *of != role) {
        return Ok(Some("the secret held one of another role"));
    }
    // What a person put there has no revision, and stays until one is asked for.
    let (held, wanted) = (&stored.revision, &run.settings.credential_revision);
    let has_revision = stored.role.is_some() || run.request.rotation == Rotation::RevisionChanged;
    if has_revision && wanted.is_some() && held != wanted {
        return Ok(Some("CredentialRevision changed; the one before stays valid until the next time"));
    }
    match kind {
        SecretKind::Basic => {
            let works = users::works(run, stored).await?;
            Ok((!works).then_some("the one in the secret does not work"))
        }
        SecretKind::ApiKey => api_keys::why_anew(run, who, stored).await,
    }
}

/// Takes credentials, mappings and roles away. The secrets keep their text: they belong to whoever made them.
pub async fn delete(run: &Run<'_>, report: &mut Report) {
    for who in [Who::Writer, Who::Replayer, Who::Reader] {
        let role = who.role(run.settings);
        if FUNCTIONS.contains(&who) {
            for name in names(&role) {
                let deleted = run.cluster.delete(&users::path(run.product, &name)).await;
                report.record_deleted(format!("user {name}"), deleted);
            }
            let invalidated = api_keys::invalidate_all(run, who).await;
            report.record_deleted(format!("API keys of {role}"), invalidated);
        }
        let deleted = run.cluster.delete(&mappings::path(run.product, &role)).await;
        report.record_deleted(format!("mapping of the role {role}"), deleted);
        let deleted = run.cluster.delete(&roles::path(run.product, &role)).await;
        report.record_deleted(format!("role {role}"), deleted);
        if report.given_up() {
            return;
        }
    }
}

/// Asks the cluster who the credential is, as itself.
async fn asked_as(run: &Run<'_>, credential: &Credential) -> Result<Option<serde_json::Value>, CallError> {
    let path = match run.product.engine {
        Engine::OpenSearch => "_plugins/_security/authinfo",
        Engine::Elasticsearch => "_security/_authenticate",
    };
    run.cluster.as_other(credential.auth()).get(path).await
}
