//! Shows which dead letters a replay would process, and changes nothing.

use event_pipeline::event::read_batch;

use crate::cluster::Cluster;
use crate::dead_letter::{DeadLetter, DeadLetterError, event_of};
use crate::reader::ReadError;
use crate::replayer::Replayer;
use crate::response::{DryRunResponse, MAX_NAMED, NONE, Problem, Sample, shortened};
use crate::search::DeadLetterSearch;
use crate::selection::Filter;
use crate::stored::{StoredDocument, stored_in};
use crate::time_budget::TimeBudget;

/// Counts the dead letters that `filter` finds, and shows the first.
///
/// # Errors
/// [`ReadError`] when they can't be read.
pub(crate) async fn preview_dead_letters<C: Cluster + 'static>(
    replayer: &Replayer<C>,
    filter: &Filter,
    budget: &TimeBudget,
) -> Result<DryRunResponse, ReadError> {
    let settings = replayer.settings();
    let reader = replayer.reader(budget.deadline());
    let search = DeadLetterSearch::prepare(reader, &settings.dead_letter_prefix, filter).await?;
    let overview = search.overview(MAX_NAMED).await?;
    let mut response = DryRunResponse { complete: true, matched: overview.total, ..DryRunResponse::empty() };
    for (service, error_type, count) in overview.groups {
        *response.by_service.entry(service).or_default().entry(error_type).or_default() += count;
    }
    for hit in &overview.first {
        let Some(text) = search.get(std::slice::from_ref(hit)).await? else { continue };
        for stored in stored_in(&text, 1)? {
            match sample(&stored, replayer, budget).await {
                Ok(sample) => response.sample.push(sample),
                Err(error) => {
                    response.show(Problem::new(&stored.id, "not_a_dead_letter", &error.to_string()));
                }
            }
        }
    }
    Ok(response)
}

async fn sample<C: Cluster + 'static>(
    stored: &StoredDocument<'_>,
    replayer: &Replayer<C>,
    budget: &TimeBudget,
) -> Result<Sample, DeadLetterError> {
    let dead_letter = DeadLetter::parse(stored.source)?;
    let event = event_of([&dead_letter.record(&stored.id)?]);
    let batch = read_batch(event.as_bytes())?;
    let mut encoder = replayer.encoder_for(&batch, budget.deadline()).await;
    let address = batch.first().and_then(|item| encoder.document_address(item).ok().flatten());
    Ok(Sample {
        id: stored.id.clone(),
        service: dead_letter.service().unwrap_or(NONE).to_owned(),
        error_type: dead_letter.error_type().unwrap_or(NONE).to_owned(),
        reason: shortened(dead_letter.reason().unwrap_or_default()),
        index: address.map(|address| address.index.into_owned()),
    })
}
