//! Replays the dead letters of a filter, page by page.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::dead_letter_page::replay_page;
use crate::page_size::{HITS, PageSize};
use crate::reader::ReadError;
use crate::replayer::Replayer;
use crate::response::{Problem, ReplayResponse, Run};
use crate::search::{DeadLetterSearch, Hit};
use crate::selection::Filter;
use crate::stored::{MAX_PAGE_BYTES, stored_in};
use crate::time_budget::TimeBudget;
use crate::walk::{Step, Stopped, Walk, walk};

/// Replays the dead letters that `filter` finds behind the sort values `after`.
///
/// # Errors
/// [`ReadError`] when the first dead letters can't be read. What fails later is in the response.
pub(crate) async fn replay_dead_letters<C: Cluster + 'static>(
    replayer: &Replayer<C>,
    filter: &Filter,
    after: Option<Vec<Value>>,
    budget: &mut TimeBudget,
) -> Result<Run<ReplayResponse>, ReadError> {
    let reader = replayer.reader(budget.deadline());
    let search = DeadLetterSearch::prepare(reader, &replayer.settings().dead_letter_prefix, filter).await?;
    let response = ReplayResponse::default();
    let mut pages = DeadLetterWalk { replayer, search, page_size: PageSize::default(), response };
    let Stopped { after, end } = walk(&mut pages, after, budget).await;
    Ok(Run { response: pages.response.ended(end)?, after: after.map(Value::from) })
}

struct DeadLetterWalk<'r, C> {
    replayer: &'r Replayer<C>,
    search: DeadLetterSearch<'r, C>,
    page_size: PageSize,
    response: ReplayResponse,
}

impl<C: Cluster + 'static> Walk for DeadLetterWalk<'_, C> {
    type Item = Hit;
    type Position = Vec<Value>;
    type Error = ReadError;

    async fn list(&mut self, after: Option<&Vec<Value>>) -> Result<Vec<Hit>, ReadError> {
        self.search.hits(after.map(Vec::as_slice), HITS).await
    }

    fn position(hit: &Hit) -> Vec<Value> {
        hit.sort.clone()
    }

    async fn process(&mut self, hits: &[Hit], budget: &TimeBudget) -> Result<Step, ReadError> {
        let page = self.page_size.page(hits);
        let Some(text) = self.search.get(page).await? else {
            self.page_size = PageSize::after_too_large(page.len());
            let [hit] = page else { return Ok(Step::Processed(0)) };
            self.keep_too_large(hit);
            return Ok(Step::Processed(1));
        };
        let mut replayed = replay_page(self.replayer, &stored_in(&text, page.len())?, budget).await;
        replayed.log(text.len());
        let error = replayed.error.take();
        replayed.add_to(&mut self.response);
        if let Some(error) = error {
            return Ok(Step::Failed(format!("the cluster can't continue now: {error}")));
        }
        self.page_size = PageSize::after(page.len(), text.len());
        Ok(Step::Processed(page.len()))
    }
}

impl<C> DeadLetterWalk<'_, C> {
    fn keep_too_large(&mut self, hit: &Hit) {
        let reason = format!("it is larger than {MAX_PAGE_BYTES} bytes, which no event of Lambda is");
        self.response.counts.read += 1;
        self.response.counts.refused += 1;
        self.response.show(Problem::new(&hit.id, "not_a_dead_letter", &reason));
    }
}
