//! Replays dead letters page by page: read, indexed by the same pipeline, removed where that succeeded.
//!
//! A dead letter is removed after its record is indexed, never before. So a run that ends anywhere, run again, meets
//! what it indexed as duplicates, removes those dead letters, and ends in the same place.

use std::convert::Infallible;
use std::sync::Arc;

use event_pipeline::address::{Address, Version, append_delete};
use event_pipeline::bulk::BulkLimits;
use event_pipeline::encoder::Encoder;
use event_pipeline::event::read_batch;
use event_pipeline::item_result::ItemResult;
use event_pipeline::outcome::Outcome;
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use indexing::bulk_sender::BulkSender;
use indexing::bulk_writer::{BULK_RETRIES, BulkStats};
use indexing::config::Config;
use indexing::indexer::{IndexedBatch, Indexer};
use search_client::backoff::Backoff;
use serde_json::Value;
use tracing::{info, warn};

use crate::answer::{Answer, Counts, MAX_NAMED, Preview, Problem, Sample, count_one, shortened};
use crate::cluster::{Cluster, Place, ReadError, Reader, Stored, found};
use crate::letter::{Letter, RecordText, event};
use crate::pace::Pace;
use crate::query::{NONE, indices, is_daily, overview, page, search_path};
use crate::request::Filter;

/// Places in one search: small, as they come without the dead letters themselves.
const PLACES: usize = 1000;
/// Dead letters that are read at once: at first, and at most.
const FIRST_PAGE: usize = 16;
const MAX_PAGE: usize = 500;
/// What a page of dead letters is meant to take, and what it may take: JSON text, of which the records, the event and
/// the bulk request are made besides. The largest dead letter, of an event of 6 MB, is below the second.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;

/// Replays into one cluster.
pub struct Replayer<C> {
    cluster: Arc<C>,
    indexer: Indexer<C>,
    settings: Settings,
    limits: BulkLimits,
    backoff: Backoff,
}

/// What became of one page.
#[derive(Default)]
struct Page {
    counts: Counts,
    stats: BulkStats,
    refused: Vec<(String, Problem)>,
    failure: Option<WriteError>,
}

/// A dead letter to be removed, and why.
struct Removal<'p> {
    stored: &'p Stored<'p>,
    reason: Reason,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Its record is indexed.
    Indexed,
    /// Its record was refused again, and now has a dead letter in another place.
    Moved,
}

impl<C: Cluster + 'static> Replayer<C> {
    /// Makes a replayer that writes as index-events would.
    pub fn new(cluster: Arc<C>, config: Config, backoff: Backoff) -> Self {
        let Config { settings, limits, .. } = config;
        let indexer = Indexer::new(Arc::clone(&cluster), settings.clone(), limits, BULK_RETRIES);
        Self { cluster, indexer, settings, limits, backoff }
    }

    /// The settings that documents are made by.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Indexes the batch of an on-failure record.
    pub(crate) async fn index<'p>(
        &self,
        payload: &'p [u8],
        pace: &Pace,
    ) -> Result<IndexedBatch<'p>, event_pipeline::event::EventError> {
        self.indexer.index(payload, pace.index_until()).await
    }

    /// Replays the dead letters that `filter` finds behind `after`; `going_on` makes the event that goes on.
    ///
    /// # Errors
    /// [`ReadError`] when the first ones can't be read. What fails later is told by the answer.
    pub(crate) async fn replay(
        &self,
        filter: &Filter,
        mut after: Option<Vec<Value>>,
        going_on: impl Fn(Option<Value>) -> Value,
        pace: &mut Pace,
    ) -> Result<Answer, ReadError> {
        let mut answer = Answer::default();
        let ended = self.replay_pages(filter, &mut after, &mut answer, pace).await;
        match ended {
            Ok(Ended::Complete) => answer.complete = true,
            Ok(Ended::OutOfTime) => answer.stopped = Some("the invocation's time is over".into()),
            Ok(Ended::Failed(failure)) => {
                answer.stopped = Some(format!("the cluster can't go on now: {failure}"));
            }
            Err(error) if answer.counts.read == 0 => return Err(error),
            Err(error) => answer.stopped = Some(error.to_string()),
        }
        if !answer.complete {
            answer.next = Some(going_on(after.map(Value::Array)));
        }
        Ok(answer)
    }

    /// Works until there is nothing left, the time is over or a page fails. `after` is behind the last page that went
    /// well.
    async fn replay_pages(
        &self,
        filter: &Filter,
        after: &mut Option<Vec<Value>>,
        answer: &mut Answer,
        pace: &mut Pace,
    ) -> Result<Ended, ReadError> {
        let reader = self.reader(pace);
        let path = search_path(&self.settings.dead_letter_prefix);
        let mut page_size = FIRST_PAGE;
        let indices = self.indices(&reader, filter).await?;
        if indices.is_empty() {
            return Ok(Ended::Complete);
        }
        loop {
            let body = page(&indices, filter, after.as_deref(), PLACES);
            let places = reader.places(&path, &body).await?;
            if places.is_empty() {
                return Ok(Ended::Complete);
            }
            let mut rest = places.as_slice();
            while !rest.is_empty() {
                if !pace.begin_page() {
                    return Ok(Ended::OutOfTime);
                }
                let asked = rest.get(..page_size.min(rest.len())).unwrap_or(rest);
                let Some(text) = reader.get(asked, MAX_PAGE_BYTES).await? else {
                    if let [place] = asked {
                        answer.problems.push(too_large(place));
                        answer.counts += Counts { read: 1, refused: 1, ..Counts::default() };
                        rest = rest.get(1..).unwrap_or_default();
                        *after = Some(place.sort.clone());
                    }
                    page_size = asked.len().div_ceil(4).max(1);
                    continue;
                };
                let page = self.replay_page(&found(&text, asked.len())?, pace).await;
                pace.end_page();
                tell(&page, text.len());
                page.add_to(answer);
                if let Some(failure) = page.failure {
                    return Ok(Ended::Failed(failure));
                }
                *after = asked.last().map(|place| place.sort.clone());
                rest = rest.get(asked.len()..).unwrap_or_default();
                page_size = next_page_size(asked.len(), text.len());
            }
        }
    }

    async fn replay_page(&self, letters: &[Stored<'_>], pace: &Pace) -> Page {
        let mut page =
            Page { counts: Counts { read: letters.len(), ..Counts::default() }, ..Page::default() };
        let mut records = Vec::new();
        for stored in letters {
            match record_of(stored) {
                Ok(record) => records.push((stored, record)),
                Err((service, problem)) => {
                    page.counts.refused += 1;
                    page.refused.push((service, problem));
                }
            }
        }
        let event = event(records.iter().map(|(_, record)| record));
        let batch = match self.indexer.index(event.as_bytes(), pace.index_until()).await {
            Ok(batch) if batch.items.len() == records.len() => batch,
            odd => {
                let reason = match odd {
                    Ok(batch) => format!("{} records were made of {}", batch.items.len(), records.len()),
                    Err(error) => error.to_string(),
                };
                page.counts.failed += records.len();
                page.failure = Some(WriteError { kind: ErrorKind::Page, status: None, reason });
                return page;
            }
        };
        page.stats += batch.stats;
        let mut encoder = Encoder::new(self.settings.clone());
        let mut removals = Vec::new();
        for (((stored, _), entry), outcome) in records.iter().zip(&batch.items).zip(&batch.outcomes) {
            match outcome {
                Outcome::Indexed => page.counts.indexed += 1,
                Outcome::Duplicate => page.counts.duplicates += 1,
                Outcome::DeadLettered(fault) => {
                    page.counts.refused += 1;
                    page.refused.push((service_of(stored), problem(stored, fault)));
                    // Under other settings than it was written by, a record may now have its dead letter elsewhere.
                    let address = encoder.dead_letter_address(entry);
                    if address.id.is_some() && address != address_of(stored) {
                        removals.push(Removal { stored, reason: Reason::Moved });
                    }
                    continue;
                }
                Outcome::Failed(failure) => {
                    page.counts.failed += 1;
                    page.failure.get_or_insert_with(|| failure.clone());
                    continue;
                }
            }
            removals.push(Removal { stored, reason: Reason::Indexed });
        }
        self.remove(&removals, pace, &mut page).await;
        page
    }

    /// Removes dead letters, each only if it still is the one that was read.
    async fn remove(&self, removals: &[Removal<'_>], pace: &Pace, page: &mut Page) {
        let mut sender =
            BulkSender::new(Arc::clone(&self.cluster), self.limits, BULK_RETRIES, pace.deadline());
        for (position, Removal { stored, .. }) in removals.iter().enumerate() {
            let address = address_of(stored);
            let version = Version { seq_no: stored.seq_no, primary_term: stored.primary_term };
            let write = |body: &mut Vec<u8>| Ok::<_, Infallible>(append_delete(body, &address, version));
            let Ok(()) = sender.push(position, write).await;
        }
        let (settled, stats) = sender.finish().await;
        page.stats += stats;
        for (position, settlement) in settled {
            let is_removed = match &settlement {
                // Not found: removed by a request whose response was lost, or by another replay.
                ItemResult::Deleted | ItemResult::NotFound => true,
                // Changed: it was replaced meanwhile, and the new one is for the next run.
                ItemResult::Changed | ItemResult::Rejected(_) | ItemResult::Failed(_) => false,
                ItemResult::Indexed | ItemResult::Duplicate => false,
            };
            match removals.get(position).map(|removal| removal.reason) {
                Some(Reason::Indexed) if is_removed => page.counts.removed += 1,
                Some(Reason::Indexed) => page.counts.not_removed += 1,
                Some(Reason::Moved) | None => {}
            }
            // A conflict settles itself; what could not be asked for is asked for in the next run.
            if let ItemResult::Failed(failure) = settlement {
                page.failure.get_or_insert(failure);
            }
        }
    }

    /// Shows what a replay would take, and changes nothing.
    ///
    /// # Errors
    /// [`ReadError`] when the dead letters can't be searched.
    pub(crate) async fn preview(&self, filter: &Filter, pace: &Pace) -> Result<Preview, ReadError> {
        let reader = self.reader(pace);
        let prefix = &self.settings.dead_letter_prefix;
        let indices = self.indices(&reader, filter).await?;
        if indices.is_empty() {
            return Ok(Preview { dry_run: true, complete: true, ..Preview::default() });
        }
        let found_overview =
            reader.overview(&search_path(prefix), &overview(&indices, filter, MAX_NAMED)).await?;
        let mut preview =
            Preview { dry_run: true, complete: true, matched: found_overview.total, ..Preview::default() };
        for (service, kind, count) in found_overview.groups {
            *preview.by_service.entry(service).or_default().entry(kind).or_default() += count;
        }
        let mut encoder = Encoder::new(self.settings.clone());
        for place in &found_overview.first {
            let Some(text) = reader.get(std::slice::from_ref(place), MAX_PAGE_BYTES).await? else { continue };
            for stored in found(&text, 1)? {
                match record_of(&stored) {
                    Ok(record) => preview.sample.push(sample(&stored, &record, &mut encoder)),
                    Err((_, problem)) => preview.problems.push(problem),
                }
            }
        }
        Ok(preview)
    }

    /// The indices of our own dead letters among those that the search finds.
    async fn indices(&self, reader: &Reader<'_, C>, filter: &Filter) -> Result<Vec<String>, ReadError> {
        let prefix = &self.settings.dead_letter_prefix;
        let mut names = reader.indices(&search_path(prefix), &indices(filter)).await?;
        names.retain(|name| is_daily(prefix, name));
        Ok(names)
    }

    fn reader(&self, pace: &Pace) -> Reader<'_, C> {
        Reader { cluster: self.cluster.as_ref(), backoff: self.backoff, deadline: pace.deadline() }
    }
}

enum Ended {
    Complete,
    OutOfTime,
    Failed(WriteError),
}

impl Page {
    fn add_to(&self, answer: &mut Answer) {
        answer.counts += self.counts;
        answer.stats += self.stats;
        for (service, problem) in &self.refused {
            count_one(&mut answer.refused_by_service, service, &problem.kind);
        }
        let room = MAX_NAMED.saturating_sub(answer.problems.len());
        answer.problems.extend(self.refused.iter().take(room).map(|(_, problem)| problem.clone()));
    }
}

fn tell(page: &Page, n_bytes: usize) {
    let Page { counts, stats, refused, failure } = page;
    info!(
        n_read = counts.read,
        n_indexed = counts.indexed,
        n_duplicates = counts.duplicates,
        n_refused = counts.refused,
        n_failed = counts.failed,
        n_removed = counts.removed,
        n_not_removed = counts.not_removed,
        n_requests = stats.requests,
        n_retries = stats.retries,
        n_bytes,
        first_refused = refused.first().map(|(_, problem)| problem.reason.as_str()),
        "page of dead letters replayed"
    );
    if let Some(failure) = failure {
        warn!(reason = %failure, "page not replayed whole");
    }
}

/// The next page's size: as many as would fill a page if they were like these, and not suddenly many more.
fn next_page_size(n_letters: usize, n_bytes: usize) -> usize {
    let fitting = n_letters * PAGE_BYTES / n_bytes.max(1);
    fitting.clamp(1, (2 * n_letters).clamp(FIRST_PAGE, MAX_PAGE))
}

fn record_of(stored: &Stored<'_>) -> Result<RecordText, (String, Problem)> {
    let source = stored.source.map_or("{}", |source| source.get());
    Letter::parse(source).and_then(|letter| letter.record(&stored.id)).map_err(|fault| {
        let problem =
            Problem { id: stored.id.clone(), kind: "not_a_dead_letter".into(), reason: fault.to_string() };
        (service_of(stored), problem)
    })
}

fn service_of(stored: &Stored<'_>) -> String {
    let letter = stored.source.and_then(|source| Letter::parse(source.get()).ok());
    letter.and_then(|letter| letter.service().map(str::to_owned)).unwrap_or_else(|| NONE.to_owned())
}

fn problem(stored: &Stored<'_>, fault: &WriteError) -> Problem {
    Problem { id: stored.id.clone(), kind: fault.kind.to_string(), reason: shortened(&fault.reason) }
}

fn too_large(place: &Place) -> Problem {
    let reason = format!("it is larger than {MAX_PAGE_BYTES} bytes, which no event of Lambda is");
    Problem { id: place.id.clone(), kind: "not_a_dead_letter".into(), reason }
}

fn sample(stored: &Stored<'_>, record: &RecordText, encoder: &mut Encoder) -> Sample {
    let letter = stored.source.and_then(|source| Letter::parse(source.get()).ok());
    let text = |part: Option<&str>| part.unwrap_or(NONE).to_owned();
    let event = event([record]);
    let index = read_batch(event.as_bytes()).ok().and_then(|batch| {
        encoder.document_address(batch.first()?).ok().map(|address| address.index.into_owned())
    });
    Sample {
        id: stored.id.clone(),
        service: text(letter.as_ref().and_then(Letter::service)),
        error_type: text(letter.as_ref().and_then(Letter::error_type)),
        reason: shortened(letter.as_ref().and_then(Letter::reason).unwrap_or_default()),
        index,
    }
}

fn address_of<'s>(stored: &'s Stored<'_>) -> Address<'s> {
    Address { index: stored.index.as_str().into(), id: Some(stored.id.as_str().into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_slowly_and_shrink_at_once() {
        assert_eq!(next_page_size(16, 16 * 1000), 32, "no more than twice as many");
        assert_eq!(next_page_size(400, 400 * 1000), MAX_PAGE);
        assert_eq!(next_page_size(16, 16 * 1024 * 1024), 4);
        assert_eq!(next_page_size(1, 20 * 1024 * 1024), 1);
        assert_eq!(next_page_size(1, 1000), FIRST_PAGE);
    }
}
