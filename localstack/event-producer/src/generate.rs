//! Generates the events that three services of a shop would publish about its orders.
//!
//! It needs no Kafka, clock or environment: the same seed and `now` generate the same events.

mod catalogue;
mod story;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use story::Story;

pub use crate::event::{Event, INVENTORY_TOPIC, NOTIFICATION_TOPIC, ORDER_TOPIC, TOPICS};

/// How many orders are active at once, so that the events of different stories interleave.
const STORIES_UNDER_WAY: usize = 40;

/// An endless stream of events.
#[derive(Debug)]
pub struct Generator {
    rng: Xoshiro256PlusPlus,
    now_ms: i64,
    next_order: u32,
    under_way: Vec<Story>,
}

impl Generator {
    /// Starts a stream. `seed` determines everything but the times, which are in the half hour before `now_ms`.
    #[must_use]
    pub fn new(seed: u64, now_ms: i64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        // Order ids of different seeds differ, so that a second run adds orders instead of repeating them.
        let next_order = rng.random_range(1_000_000..90_000_000);
        let mut generator =
            Self { rng, now_ms, next_order, under_way: Vec::with_capacity(STORIES_UNDER_WAY) };
        for _ in 0..STORIES_UNDER_WAY {
            let story = generator.new_story();
            generator.under_way.push(story);
        }
        generator
    }

    fn new_story(&mut self) -> Story {
        self.next_order += 1;
        Story::begin(&mut self.rng, self.next_order, self.now_ms)
    }
}

impl Iterator for Generator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            let chosen = self.rng.random_range(0..self.under_way.len());
            let story = self.under_way.get_mut(chosen)?;
            if let Some(event) = story.next_event(&mut self.rng, self.now_ms) {
                return Some(event);
            }
            let fresh = self.new_story();
            *self.under_way.get_mut(chosen)? = fresh;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    const NOW_MS: i64 = 1_764_000_000_000;

    fn sample(n: usize) -> Vec<Event> {
        Generator::new(7, NOW_MS).take(n).collect()
    }

    #[test]
    fn the_same_seed_and_now_generate_the_same_events() {
        assert_eq!(sample(500), sample(500));
        let other: Vec<Event> = Generator::new(8, NOW_MS).take(500).collect();
        assert_ne!(sample(500), other);
    }

    #[test]
    fn sizes_are_those_of_real_events() {
        let sizes: Vec<usize> = sample(20_000).iter().map(|event| event.value.len()).collect();
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        let (min, max) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        assert!(*min >= 250 && *max <= 700, "sizes from {min} to {max} bytes");
        assert!((440..=480).contains(&mean), "mean size {mean} bytes");
    }

    #[test]
    fn every_value_is_a_json_object_with_a_type_and_a_time() {
        for event in sample(5_000) {
            let value: serde_json::Value = serde_json::from_str(&event.value).unwrap();
            assert!(value["eventType"].is_string(), "{}", event.value);
            let time = ["timestamp", "occurredAt", "eventTime"].iter().find_map(|name| value[name].as_str());
            let time = chrono::DateTime::parse_from_rfc3339(time.unwrap()).unwrap();
            assert_eq!(time.timestamp_millis(), event.timestamp_ms);
            assert!(event.timestamp_ms <= NOW_MS && event.timestamp_ms > NOW_MS - 1_800_000);
        }
    }

    #[test]
    fn each_service_publishes_several_types_under_its_own_keys() {
        let mut types: HashMap<&str, HashSet<String>> = HashMap::new();
        for event in sample(20_000) {
            let value: serde_json::Value = serde_json::from_str(&event.value).unwrap();
            types.entry(event.topic).or_default().insert(value["eventType"].as_str().unwrap().to_owned());
            let key_field = match event.topic {
                ORDER_TOPIC => "orderId",
                INVENTORY_TOPIC => "sku",
                _ => "customerId",
            };
            assert_eq!(value[key_field].as_str(), Some(event.key.as_str()), "{}", event.value);
        }
        for topic in TOPICS {
            assert!(types[topic].len() >= 4, "{topic}: {:?}", types[topic]);
        }
    }

    #[test]
    fn an_orders_story_runs_through_all_services_in_order_under_one_correlation_id_and_trace() {
        let mut stories: HashMap<String, Vec<Event>> = HashMap::new();
        for event in sample(5_000) {
            stories.entry(event.correlation_id.clone()).or_default().push(event);
        }
        let whole = stories.values().filter(|story| story.len() >= 6).count();
        assert!(whole > 200, "{whole} stories of six events or more");
        for story in stories.values() {
            assert!(story.is_sorted_by_key(|event| event.timestamp_ms));
            let traces: HashSet<&str> =
                story.iter().map(|event| event.traceparent.get(3..35).unwrap()).collect();
            assert_eq!(traces.len(), 1);
            if story.len() >= 6 {
                let topics: HashSet<&str> = story.iter().map(|event| event.topic).collect();
                assert_eq!(topics.len(), 3, "{story:?}");
            }
        }
    }

    #[test]
    fn trace_context_is_well_formed() {
        for event in sample(1_000) {
            let parts: Vec<&str> = event.traceparent.split('-').collect();
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [2, 32, 16, 2]);
            assert!(parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit())));
        }
    }
}
