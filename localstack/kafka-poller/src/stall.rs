//! Finds the partitions that have records and make no progress, with the reason. Pure: time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::status::{PartitionStatus, Trouble};

/// How long a partition may make no progress before that is reported, unless `serve` is given another time. The retries of a
/// batch are at most ten seconds apart, so the function has failed several times by then.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long an invocation may run before it is taken for a stall. Lambda's longest for a mapping of Kafka is 14 minutes.
const LONGEST_INVOCATION: Duration = Duration::from_secs(15 * 60);
/// How long after its last report an error of the client that repeats counts as over.
const REPEATED_WITHIN: Duration = Duration::from_secs(30);

/// What keeps records from being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What happens, in a few words without a full stop.
    pub what: String,
    /// What ends it: a sentence.
    pub fix: &'static str,
}

/// A problem of the whole client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientProblem {
    /// It may concern some brokers alone: it is the reason of a stall, and none by itself.
    Reason,
    /// Nothing can be read while it repeats, whether or not records wait.
    WhileRepeated,
    /// Nothing can be read, and the client reports it once.
    UntilProgress,
}

/// Partitions that make no progress for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The partitions. None if the client can't read any.
    pub partitions: Vec<i32>,
    /// Since when the first of them makes no progress.
    pub since: Instant,
    /// Records that wait, as far as it is known.
    pub waiting: i64,
    /// The reason.
    pub obstacle: Obstacle,
}

/// Watches the partitions of one mapping.
#[derive(Debug)]
pub struct Stalls {
    patience: Duration,
    /// How long records are gathered, which is no stall.
    window: Duration,
    partitions: BTreeMap<i32, Watched>,
    client: Option<ClientObstacle>,
}

#[derive(Debug)]
struct Watched {
    committed: Option<i64>,
    waiting: i64,
    in_flight: bool,
    /// Since when it has records and has not moved.
    since: Instant,
    obstacle: Option<Obstacle>,
}

#[derive(Debug)]
struct ClientObstacle {
    problem: ClientProblem,
    obstacle: Obstacle,
    since: Instant,
    last: Instant,
}

impl Stalls {
    /// Watches a mapping that gathers records for `window`.
    #[must_use]
    pub fn new(patience: Duration, window: Duration) -> Self {
        Self { patience, window, partitions: BTreeMap::new(), client: None }
    }

    /// Takes the status of all assigned partitions.
    pub fn watch(&mut self, partitions: &[PartitionStatus], now: Instant) {
        self.partitions.retain(|known, _| partitions.iter().any(|it| it.partition == *known));
        for status in partitions {
            let waiting = status.lag().unwrap_or_default();
            let fresh = || Watched {
                committed: status.committed,
                waiting,
                in_flight: status.in_flight,
                since: now,
                obstacle: None,
            };
            let watched = self.partitions.entry(status.partition).or_insert_with(fresh);
            if watched.committed != status.committed || waiting == 0 {
                *watched = fresh();
            }
            (watched.waiting, watched.in_flight) = (waiting, status.in_flight);
        }
    }

    /// Records what kept records of a partition from being done.
    pub fn hindered(&mut self, partition: i32, obstacle: &Obstacle) {
        if let Some(watched) = self.partitions.get_mut(&partition) {
            watched.obstacle = Some(obstacle.clone());
        }
    }

    /// Records a problem of the whole client.
    pub fn client_hindered(&mut self, problem: ClientProblem, obstacle: Obstacle, now: Instant) {
        let since = match &self.client {
            // What can't be read for one reason is not read because of another one that says less.
            Some(known) if known.is_over(now) => now,
            Some(known) if known.problem == problem => known.since,
            Some(known) if known.problem != ClientProblem::Reason && problem == ClientProblem::Reason => {
                return;
            }
            _ => now,
        };
        self.client = Some(ClientObstacle { problem, obstacle, since, last: now });
    }

    /// Records that the brokers let the client read or commit.
    pub fn client_works(&mut self) {
        self.client = None;
    }

    /// What makes no progress at `now`.
    #[must_use]
    pub fn stalls(&self, now: Instant) -> Vec<Stall> {
        let mut stalls: Vec<Stall> = Vec::new();
        let client = self.client.as_ref().filter(|client| !client.is_over(now));
        if let Some(client) = client
            && client.problem != ClientProblem::Reason
            && now.saturating_duration_since(client.since) >= self.patience
        {
            let waiting = self.partitions.values().map(|it| it.waiting).sum();
            let (since, obstacle) = (client.since, client.obstacle.clone());
            return vec![Stall { partitions: Vec::new(), since, waiting, obstacle }];
        }
        for (partition, watched) in &self.partitions {
            let known = watched.obstacle.as_ref().or_else(|| client.map(|client| &client.obstacle));
            let patience = match known {
                None if watched.in_flight => LONGEST_INVOCATION,
                _ => self.patience,
            };
            let is_stalled = watched.waiting > 0
                && now.saturating_duration_since(watched.since) >= patience.saturating_add(self.window);
            if !is_stalled {
                continue;
            }
            let obstacle = known.cloned().unwrap_or_else(|| unknown(watched.in_flight));
            match stalls.iter_mut().find(|stall| stall.obstacle == obstacle) {
                Some(stall) => {
                    stall.partitions.push(*partition);
                    stall.since = stall.since.min(watched.since);
                    stall.waiting += watched.waiting;
                }
                None => stalls.push(Stall {
                    partitions: vec![*partition],
                    since: watched.since,
                    waiting: watched.waiting,
                    obstacle,
                }),
            }
        }
        stalls
    }
}

impl ClientObstacle {
    fn is_over(&self, now: Instant) -> bool {
        self.problem != ClientProblem::UntilProgress
            && now.saturating_duration_since(self.last) > REPEATED_WITHIN
    }
}

impl Stall {
    /// What `/health` says of it at `now`.
    #[must_use]
    pub fn trouble(&self, now: Instant) -> Trouble {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        let numbers: Vec<String> = self.partitions.iter().map(i32::to_string).collect();
        let who = match numbers.as_slice() {
            [] => "nothing can be read".to_owned(),
            [one] => format!("partition {one} makes no progress"),
            several => format!("partitions {} make no progress", several.join(", ")),
        };
        let wait = match self.waiting {
            0 => String::new(),
            1 => ", 1 record waits".to_owned(),
            n => format!(", {n} records wait"),
        };
        let what = format!("{who} for {seconds} s{wait}: {}", self.obstacle.what);
        Trouble { what, fix: self.obstacle.fix.to_owned() }
    }
}

fn unknown(in_flight: bool) -> Obstacle {
    if in_flight {
        let what = "an invocation does not end".to_owned();
        return Obstacle { what, fix: "See whether the function hangs; its timeout should end it." };
    }
    let what = "no record of it reaches the function".to_owned();
    Obstacle {
        what,
        fix: "Kafka delivers no records, or they wait for the schema registry: the log says which.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stalls() -> Stalls {
        Stalls::new(PATIENCE, Duration::ZERO)
    }

    fn at(partition: i32, committed: i64, end: i64) -> PartitionStatus {
        PartitionStatus { partition, committed: Some(committed), end: Some(end), pending: 0, in_flight: true }
    }

    fn failed() -> Obstacle {
        Obstacle { what: "the function failed: Unhandled".to_owned(), fix: "Its log says why." }
    }

    fn text(stalls: &Stalls, now: Instant) -> Vec<String> {
        stalls.stalls(now).iter().map(|stall| stall.trouble(now).what).collect()
    }

    #[test]
    fn a_partition_whose_batch_fails_again_and_again_is_stalled_until_it_moves() {
        let start = Instant::now();
        let mut stalls = stalls();
        stalls.watch(&[at(0, 7, 7), at(2, 20, 30)], start);
        stalls.hindered(2, &failed());
        assert_eq!(text(&stalls, start + PATIENCE - SECOND), Vec::<String>::new());
        stalls.watch(&[at(0, 7, 7), at(2, 20, 35)], start + 70 * SECOND);
        let expected =
            "partition 2 makes no progress for 75 s, 15 records wait: the function failed: Unhandled";
        assert_eq!(text(&stalls, start + 75 * SECOND), [expected]);
        assert_eq!(stalls.stalls(start + 75 * SECOND)[0].trouble(start).fix, "Its log says why.");
        // One record of it is done: the others have as much time as it had.
        stalls.watch(&[at(0, 7, 7), at(2, 21, 35)], start + 80 * SECOND);
        assert_eq!(text(&stalls, start + 80 * SECOND), Vec::<String>::new());
    }

    #[test]
    fn partitions_that_fail_for_the_same_reason_are_one_stall() {
        let start = Instant::now();
        let mut stalls = stalls();
        stalls.watch(&[at(0, 1, 2), at(1, 1, 4)], start);
        stalls.hindered(0, &failed());
        stalls.hindered(1, &failed());
        let expected =
            "partitions 0, 1 make no progress for 60 s, 4 records wait: the function failed: Unhandled";
        assert_eq!(text(&stalls, start + PATIENCE), [expected]);
    }

    #[test]
    fn a_partition_without_records_and_one_that_was_given_back_are_not_stalled() {
        let start = Instant::now();
        let mut stalls = stalls();
        stalls.watch(&[at(0, 7, 7), at(1, 7, 9)], start);
        stalls.watch(&[at(0, 7, 7)], start + SECOND);
        assert_eq!(text(&stalls, start + 10 * PATIENCE), Vec::<String>::new());
        // Records that come after a long silence have the whole time.
        stalls.watch(&[at(0, 7, 7)], start + 10 * PATIENCE);
        stalls.watch(&[at(0, 7, 8)], start + 10 * PATIENCE + SECOND);
        stalls.hindered(0, &failed());
        assert_eq!(text(&stalls, start + 11 * PATIENCE - SECOND), Vec::<String>::new());
        assert_eq!(text(&stalls, start + 11 * PATIENCE).len(), 1);
    }

    #[test]
    fn a_long_invocation_and_a_long_window_are_no_stall() {
        let start = Instant::now();
        let mut stalls = Stalls::new(PATIENCE, 300 * SECOND);
        let gathering = PartitionStatus { in_flight: false, ..at(0, 0, 5) };
        stalls.watch(&[gathering, at(1, 0, 5)], start);
        assert_eq!(text(&stalls, start + 359 * SECOND), Vec::<String>::new());
        let waits =
            "partition 0 makes no progress for 360 s, 5 records wait: no record of it reaches the function";
        assert_eq!(text(&stalls, start + 360 * SECOND), [waits]);
        let hangs = "partition 1 makes no progress for 1200 s, 5 records wait: an invocation does not end";
        assert_eq!(
            text(&stalls, start + 300 * SECOND + LONGEST_INVOCATION),
            [waits.replace("360", "1200"), hangs.to_owned()]
        );
    }

    #[test]
    fn a_client_that_may_read_nothing_is_stalled_whether_or_not_records_are_known() {
        let start = Instant::now();
        let denied = Obstacle { what: "Topic authorization failed".to_owned(), fix: "Allow it." };
        let mut stalls = stalls();
        stalls.client_hindered(ClientProblem::UntilProgress, denied, start);
        let broker = Obstacle { what: "a broker is down".to_owned(), fix: "Start it." };
        stalls.client_hindered(ClientProblem::Reason, broker.clone(), start + SECOND);
        let expected = "nothing can be read for 90 s: Topic authorization failed";
        assert_eq!(text(&stalls, start + 90 * SECOND), [expected]);
        stalls.client_works();
        assert_eq!(text(&stalls, start + 90 * SECOND), Vec::<String>::new());

        // A broker that is down stalls nothing by itself; while records wait, it is the reason.
        stalls.client_hindered(ClientProblem::Reason, broker, start + 90 * SECOND);
        assert_eq!(text(&stalls, start + 95 * SECOND), Vec::<String>::new());
        stalls.watch(&[PartitionStatus { in_flight: false, ..at(0, 7, 9) }], start + 31 * SECOND);
        let expected = "partition 0 makes no progress for 64 s, 2 records wait: a broker is down";
        assert_eq!(text(&stalls, start + 95 * SECOND), [expected]);
    }

    #[test]
    fn an_error_that_is_no_longer_repeated_is_over() {
        let start = Instant::now();
        let mut stalls = stalls();
        let down = Obstacle { what: "all brokers are down".to_owned(), fix: "Start them." };
        for second in (0..=70).step_by(10) {
            stalls.client_hindered(ClientProblem::WhileRepeated, down.clone(), start + second * SECOND);
        }
        assert_eq!(
            text(&stalls, start + 70 * SECOND),
            ["nothing can be read for 70 s: all brokers are down"]
        );
        assert_eq!(text(&stalls, start + 101 * SECOND), Vec::<String>::new());
        stalls.client_hindered(ClientProblem::WhileRepeated, down, start + 200 * SECOND);
        assert_eq!(text(&stalls, start + 220 * SECOND), Vec::<String>::new(), "it begins anew");
    }
}
