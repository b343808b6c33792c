//! Leaves out the entries of a JSON object that a later entry with the same key replaces.

/// Where the entries of the maps that are open begin, innermost last. Few need no allocation.
#[derive(Debug, Default)]
pub(crate) struct MapKeys {
    /// The entries, while there are at most `MAX_FEW`.
    few: [Entry; MAX_FEW],
    n_few: usize,
    /// All entries, once there are more.
    many: Vec<Entry>,
}

const MAX_FEW: usize = 16;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Where the entry begins in the JSON, behind its comma. Limits keep the JSON of a record below 4 GB.
    start: u32,
    /// Length of the key as it is written, with its quotes.
    key_len: u32,
}

/// A map of up to this many entries is compared pair by pair.
const MAX_PAIRWISE: usize = 8;

impl MapKeys {
    /// Opens a map; `close` takes what this returns.
    #[inline]
    pub(crate) fn open(&self) -> usize {
        self.n_few + self.many.len()
    }

    /// Adds an entry whose key has been written from `start` to `end` of the record's JSON.
    #[inline]
    pub(crate) fn add(&mut self, start: usize, end: usize) {
        let entry = Entry { start: start as u32, key_len: (end - start) as u32 };
        match self.few.get_mut(self.n_few) {
            Some(place) if self.many.is_empty() => {
                *place = entry;
                self.n_few += 1;
            }
            _ => {
                self.many.extend_from_slice(self.few.get(..self.n_few).unwrap_or_default());
                self.n_few = 0;
                self.many.push(entry);
            }
        }
    }

    fn entries(&self) -> &[Entry] {
        if self.many.is_empty() { self.few.get(..self.n_few).unwrap_or_default() } else { &self.many }
    }

    /// Closes the map that ends the JSON, before its closing brace: `json` is the record's, and loses the entries that
    /// others replaced. Returns how many.
    pub(crate) fn close(&mut self, open: usize, json: &mut Vec<u8>, record_start: usize) -> u32 {
        let entries = self.entries().get(open..).unwrap_or_default();
        let text = json.get(record_start..).unwrap_or_default();
        let replaced = match entries.len() {
            0 | 1 => Vec::new(),
            len if len <= MAX_PAIRWISE => replaced_pairwise(entries, text),
            _ => replaced_sorted(entries, text),
        };
        if !replaced.is_empty() {
            remove(entries, &replaced, json, record_start);
        }
        self.n_few = self.n_few.min(open);
        self.many.truncate(open);
        replaced.len() as u32
    }
}

fn key(entry: Entry, text: &[u8]) -> &[u8] {
    let start = entry.start as usize;
    text.get(start..start + entry.key_len as usize).unwrap_or_default()
}

/// Indexes of the entries whose key comes again, in order.
fn replaced_pairwise(entries: &[Entry], text: &[u8]) -> Vec<u32> {
    let mut replaced = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let later = entries.get(i + 1..).unwrap_or_default();
        if later.iter().any(|it| it.key_len == entry.key_len && key(*it, text) == key(*entry, text)) {
            replaced.push(i as u32);
        }
    }
    replaced
}

/// The same, for many entries.
fn replaced_sorted(entries: &[Entry], text: &[u8]) -> Vec<u32> {
    let key_at = |i: u32| entries.get(i as usize).map_or(&[][..], |entry| key(*entry, text));
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    order.sort_unstable_by(|a, b| key_at(*a).cmp(key_at(*b)).then(a.cmp(b)));
    let pairs = order.iter().zip(order.iter().skip(1));
    let mut replaced: Vec<u32> = pairs.filter(|(a, b)| key_at(**a) == key_at(**b)).map(|(a, _)| *a).collect();
    replaced.sort_unstable();
    replaced
}

/// Closes the gaps that the replaced entries leave.
fn remove(entries: &[Entry], replaced: &[u32], json: &mut Vec<u8>, record_start: usize) {
    let place = |i: usize| entries.get(i).map(|entry| record_start + entry.start as usize);
    let Some(mut target) = place(0) else { return };
    let mut replaced = replaced.iter().peekable();
    let end = json.len();
    let mut is_first = true;
    for i in 0..entries.len() {
        let Some(start) = place(i) else { break };
        // Each entry ends before the comma of the next one.
        let entry_end = place(i + 1).map_or(end, |next| next - 1);
        if replaced.next_if(|it| **it as usize == i).is_some() {
            continue;
        }
        // A kept entry moves with the comma before it, but for the first one.
        let from = if is_first { start } else { start - 1 };
        is_first = false;
        json.copy_within(from..entry_end, target);
        target += entry_end - from;
    }
    json.truncate(target);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn written(entries: &[(String, u32)]) -> (Vec<u8>, u32) {
        let mut json = b"[{".to_vec();
        let mut keys = MapKeys::default();
        let open = keys.open();
        for (i, (key, value)) in entries.iter().enumerate() {
            if i > 0 {
                json.push(b',');
            }
            let start = json.len();
            json.extend(serde_json::to_vec(key).unwrap());
            keys.add(start - 1, json.len() - 1);
            json.extend(format!(":{value}").bytes());
        }
        let n_replaced = keys.close(open, &mut json, 1);
        json.push(b'}');
        (json, n_replaced)
    }

    proptest! {
        #[test]
        fn the_last_entry_of_a_key_stays(entries in prop::collection::vec(("[a-d]{0,2}", 0..9_u32), 0..30)) {
            let (json, n_replaced) = written(&entries);
            let theirs: Map<String, Value> = entries.iter().map(|(key, value)| (key.clone(), (*value).into())).collect();
            let text = str::from_utf8(&json[1..]).unwrap();
            prop_assert_eq!(serde_json::from_str::<Map<String, Value>>(text).unwrap(), theirs.clone());
            prop_assert_eq!(text.matches(':').count(), theirs.len());
            prop_assert_eq!(n_replaced as usize, entries.len() - theirs.len());
        }
    }
}
