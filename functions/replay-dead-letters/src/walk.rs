//! Walks through dead letters or objects in steps, until all are processed, time runs out or a step fails.

use crate::time_budget::TimeBudget;

/// What a walk goes through, and what it does there.
pub(crate) trait Walk: Send {
    /// A dead letter or an object.
    type Item: Send + Sync;
    /// A place in the order of the items. A later walk continues behind it.
    type Position: Send + Sync;
    /// Why items can't be read.
    type Error: Send;

    /// Lists the next items behind `after`, in order. No items means that the walk is complete.
    fn list(
        &mut self,
        after: Option<&Self::Position>,
    ) -> impl Future<Output = Result<Vec<Self::Item>, Self::Error>> + Send;

    /// Returns the position of `item`.
    fn position(item: &Self::Item) -> Self::Position;

    /// Processes one step: as many of `items`, from the first on, as it sees fit.
    fn process(
        &mut self,
        items: &[Self::Item],
        budget: &TimeBudget,
    ) -> impl Future<Output = Result<Step, Self::Error>> + Send;
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// This many items are processed. With 0, the same items are in the next step.
    Processed(usize),
    /// The items could not be processed, for this reason. A later walk starts with them.
    Failed(String),
}

/// Where a walk stopped, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped<P, E> {
    /// Position of the last processed item; `None` if no walk has processed any.
    pub(crate) after: Option<P>,
    /// Why it stopped.
    pub(crate) end: End<E>,
}

/// Why a walk stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End<E> {
    /// Everything is processed.
    Complete,
    /// Another step might not have ended in time.
    OutOfTime,
    /// A step failed, for this reason.
    Failed(String),
    /// Items could not be read.
    Unreadable(E),
}

impl<E: std::error::Error> End<E> {
    /// Whether everything is processed, and the reason if not, for the response of a walk that read `n_read` items.
    ///
    /// # Errors
    /// The walk's own error if nothing was read before it.
    pub(crate) fn summary(self, n_read: usize) -> Result<(bool, Option<String>), E> {
        match self {
            Self::Complete => Ok((true, None)),
            Self::OutOfTime => Ok((false, Some("the invocation's time is over".into()))),
            Self::Failed(reason) => Ok((false, Some(reason))),
            Self::Unreadable(error) if n_read == 0 => Err(error),
            Self::Unreadable(error) => Ok((false, Some(error.to_string()))),
        }
    }
}

/// Goes through the items behind `after`, within `budget`.
pub(crate) async fn walk<W: Walk>(
    walk: &mut W,
    after: Option<W::Position>,
    budget: &mut TimeBudget,
) -> Stopped<W::Position, W::Error> {
    let mut after = after;
    let end = walk_to_end(walk, &mut after, budget).await.unwrap_or_else(End::Unreadable);
    Stopped { after, end }
}

async fn walk_to_end<W: Walk>(
    walk: &mut W,
    after: &mut Option<W::Position>,
    budget: &mut TimeBudget,
) -> Result<End<W::Error>, W::Error> {
    loop {
        let items = walk.list(after.as_ref()).await?;
        if items.is_empty() {
            return Ok(End::Complete);
        }
        let mut rest = items.as_slice();
        while !rest.is_empty() {
            if !budget.begin_step() {
                return Ok(End::OutOfTime);
            }
            let step = walk.process(rest, budget).await?;
            budget.end_step();
            let n_processed = match step {
                Step::Processed(n_processed) => n_processed,
                Step::Failed(reason) => return Ok(End::Failed(reason)),
            };
            let Some((processed, others)) = rest.split_at_checked(n_processed) else { break };
            if let Some(last) = processed.last() {
                *after = Some(W::position(last));
            }
            rest = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// Goes through the numbers from 1 to 9, listed by four and processed by three, each step in ten seconds.
    #[derive(Default)]
    struct Numbers {
        processed: Vec<u32>,
        fails_at: Option<u32>,
        unreadable_behind: Option<u32>,
    }

    impl Walk for Numbers {
        type Item = u32;
        type Position = u32;
        type Error = &'static str;

        async fn list(&mut self, after: Option<&u32>) -> Result<Vec<u32>, &'static str> {
            let after = after.copied().unwrap_or(0);
            if self.unreadable_behind == Some(after) {
                return Err("unreadable");
            }
            Ok((after + 1..10).take(4).collect())
        }

        fn position(item: &u32) -> u32 {
            *item
        }

        async fn process(&mut self, items: &[u32], _budget: &TimeBudget) -> Result<Step, &'static str> {
            sleep(Duration::from_secs(10)).await;
            let step = &items[..items.len().min(3)];
            if self.fails_at.is_some_and(|number| step.contains(&number)) {
                return Ok(Step::Failed("full".into()));
            }
            self.processed.extend(step);
            Ok(Step::Processed(step.len()))
        }
    }

    async fn walk_for(
        seconds: u64,
        numbers: &mut Numbers,
        after: Option<u32>,
    ) -> (Option<u32>, End<&'static str>) {
        let mut budget = TimeBudget::until(Instant::now() + Duration::from_secs(seconds));
        let Stopped { after, end } = walk(numbers, after, &mut budget).await;
        (after, end)
    }

    #[tokio::test(start_paused = true)]
    async fn every_item_is_processed_once_and_in_order() {
        let mut numbers = Numbers::default();
        assert_eq!(walk_for(600, &mut numbers, None).await, (Some(9), End::Complete));
        assert_eq!(numbers.processed, (1..10).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_that_ran_out_of_time_is_continued_behind_the_last_item() {
        let mut numbers = Numbers::default();
        let (after, end) = walk_for(35, &mut numbers, None).await;
        assert_eq!((after, end), (Some(4), End::OutOfTime));
        assert_eq!(walk_for(600, &mut numbers, after).await, (Some(9), End::Complete));
        assert_eq!(numbers.processed, (1..10).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_step_is_first_in_the_next_walk() {
        let mut numbers = Numbers { fails_at: Some(6), ..Numbers::default() };
        let (after, end) = walk_for(600, &mut numbers, None).await;
        assert_eq!((after, end), (Some(4), End::Failed("full".into())));
        numbers.fails_at = None;
        assert_eq!(walk_for(600, &mut numbers, after).await, (Some(9), End::Complete));
        assert_eq!(numbers.processed, (1..10).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_processed_counts_though_the_rest_is_unreadable() {
        let mut numbers = Numbers { unreadable_behind: Some(4), ..Numbers::default() };
        assert_eq!(walk_for(600, &mut numbers, None).await, (Some(4), End::Unreadable("unreadable")));
        assert_eq!(walk_for(600, &mut numbers, Some(4)).await, (Some(4), End::Unreadable("unreadable")));
        assert_eq!(numbers.processed, [1, 2, 3, 4]);
    }
}
