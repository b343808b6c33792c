//! Events of random names, depths and types, which clash with each other: each is indexed and found.

use anyhow::{Context, Result};

use crate::cases::seed;
use crate::servers::Server;
use crate::shapes::{Conflict, Event, Kept, SERVERS, Shapes};

/// Indices of a server that are filled.
const INDICES: usize = 3;
/// Events of an index.
const EVENTS: usize = 100;
/// Events of a batch.
const BATCH: usize = 25;

/// Few names, so that they clash.
const NAMES: [&str; 29] = [
    "a",
    "b",
    "c",
    "user",
    "level",
    "status",
    "orderId",
    "error",
    "tags",
    "message",
    "service",
    "trace",
    "trace.id",
    "original",
    "conflict",
    "_source",
    "a.b",
    "a.b.c",
    "user.name",
    "error.stack",
    "x-y z",
    "größe",
    "a\\\"b",
    "*",
    "*note",
    "**.a",
    "_links",
    "\\u005fclass",
    "_a.b",
];
/// Names that engines refuse.
const REFUSED: [&str; 9] = ["", " ", ".", "..", "a..b", ".a", "a.", "\\u0000", "../../x"];
const TEXTS: [&str; 8] =
    ["plain", "two words", "12", "true", "2026", "NaN", "größer", "tab\\tand\\u0041escape"];
const NUMBERS: [&str; 15] = [
    "0",
    "1",
    "-7",
    "3.25",
    "1e3",
    "-0",
    "123456789012345678901234567890",
    "1e400",
    "9007199254740993",
    "0.1",
    "9223372036854775808",
    "-9223372036854775809",
    "-1e999",
    "1e-999",
    "0e5",
];

/// Makes events.
struct Generator {
    random: fastrand::Rng,
}

impl Generator {
    fn event(&mut self, number: usize) -> Event {
        let mut value = self.object(0);
        if self.random.u8(..) < 4 {
            let depth = self.random.usize(90..1300);
            value = format!("{{\"deep\":{}{value}{}}}", "{\"d\":[".repeat(depth / 2), "]}".repeat(depth / 2));
        }
        Event {
            name: format!("event {number}, {}", value.chars().take(300).collect::<String>()),
            key: None,
            value: value.into_bytes(),
            day: "2026.11.28".to_owned(),
            tags: Vec::new(),
            conflict: Conflict::May,
            kept: Kept::Members,
        }
    }

    fn object(&mut self, depth: usize) -> String {
        let mut names: Vec<String> = (0..self.random.usize(0..4)).map(|_| self.name()).collect();
        names.sort();
        names.dedup();
        self.random.shuffle(&mut names);
        let members: Vec<_> =
            names.into_iter().map(|name| format!("\"{name}\":{}", self.value(depth))).collect();
        format!("{{{}}}", members.join(","))
    }

    fn name(&mut self) -> String {
        match self.random.u8(0..100) {
            0..92 => self.random.choice(NAMES).unwrap_or_default().to_owned(),
            92..97 => self.random.choice(REFUSED).unwrap_or_default().to_owned(),
            97 => "n".repeat(self.random.usize(200..40_000)),
            98 => vec!["p"; self.random.usize(2..700)].join("."),
            _ => format!("new{}", self.random.u16(..)),
        }
    }

    fn value(&mut self, depth: usize) -> String {
        match self.random.u8(0..100) {
            0..40 => self.text(),
            40..58 => self.random.choice(NUMBERS).unwrap_or_default().to_owned(),
            58..60 => self.long_number(),
            60..66 => "true".to_owned(),
            66..70 => "null".to_owned(),
            _ if depth > 3 => "{}".to_owned(),
            70..82 => {
                let elements: Vec<_> = (0..self.random.usize(0..4)).map(|_| self.value(depth + 1)).collect();
                format!("[{}]", elements.join(","))
            }
            _ => self.object(depth + 1),
        }
    }

    /// A number of up to 1,200 digits, more than a double or the engines' parser takes.
    fn long_number(&mut self) -> String {
        let mut digits = |max| {
            let count = self.random.usize(1..max);
            (0..count).map(|_| char::from(self.random.u8(b'1'..=b'9'))).collect::<String>()
        };
        let whole = digits(600);
        format!("{whole}.{}", digits(600))
    }

    fn text(&mut self) -> String {
        let text = match self.random.u8(0..100) {
            0..60 => self.random.choice(TEXTS).unwrap_or_default().to_owned(),
            60..97 => format!("word{}", self.random.u16(..)),
            97 => "long ".repeat(self.random.usize(1..20_000)),
            98 => "x".repeat(self.random.usize(1..40_000)),
            _ => "9".repeat(self.random.usize(1..2000)),
        };
        format!("\"{text}\"")
    }
}

#[tokio::test]
async fn every_event_is_indexed_and_found_whatever_its_names_depth_and_types() -> Result<()> {
    let seed = seed()?;
    for (name, mapping) in SERVERS {
        let server = Server::find(name).await?;
        Shapes::provision(&server, "random", mapping).await?;
        let mut generator = Generator { random: fastrand::Rng::with_seed(seed) };
        for number in 1..=INDICES {
            let events: Vec<Event> = (0..EVENTS).map(|number| generator.event(number)).collect();
            let shapes = Shapes::fresh(&server, format!("random-{number}")).await?;
            for (number, batch) in events.chunks(BATCH).enumerate() {
                let batch: Vec<&Event> = batch.iter().collect();
                let topic = format!("t{number}.events");
                shapes.index(&topic, &batch).await.with_context(|| format!("{name}, {topic}"))?;
            }
            shapes.remove().await?;
        }
    }
    Ok(())
}
