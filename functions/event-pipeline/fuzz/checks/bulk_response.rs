//! The response to a bulk request: an item counts as written exactly if serde_json reads a well-formed one.

use event_pipeline::bulk_response::read_bulk_response;
use event_pipeline::item_result::{ItemAction, ItemResult};
use serde_json::Value;
use serde_json::value::RawValue;

use super::reading::{Pairs, value_and_duplicates};

/// The first byte of `data` says what was sent, the rest is the response.
pub(crate) fn check(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let Some(items) = items(body) else {
        let nothing = read_bulk_response(body, std::iter::repeat_n(ItemAction::Create, 1));
        assert!(nothing.is_err(), "a response without a list of items is taken");
        return;
    };
    let sent: Vec<ItemAction> = (0..items.len()).map(|i| action(first >> (i % 8) & 1)).collect();
    assert!(read_bulk_response(body, vec![ItemAction::Create; items.len() + 1].into_iter()).is_err());
    let Ok(results) = read_bulk_response(body, sent.iter().copied()) else { return };
    assert_eq!(results.len(), items.len());
    for ((item, sent), result) in items.into_iter().zip(sent).zip(results) {
        let written = written(item.get(), sent);
        let is_written = matches!(result, ItemResult::Indexed | ItemResult::Deleted);
        assert_eq!(is_written, written, "{result:?} for {item}");
        if result == ItemResult::Duplicate {
            assert!(status(item.get(), sent) == Some(409), "{item}");
        }
    }
}

fn action(bit: u8) -> ItemAction {
    if bit == 0 { ItemAction::Create } else { ItemAction::Delete }
}

fn items(body: &[u8]) -> Option<Vec<&RawValue>> {
    let Pairs(members) = serde_json::from_slice::<Pairs<&RawValue>>(body).ok()?;
    let mut lists = members.iter().filter(|(name, _)| name == "items");
    let (_, list) = lists.next()?;
    if lists.next().is_some() {
        return None;
    }
    serde_json::from_str(list.get()).ok()
}

/// The item's operation, if it is the one that was sent and the only one, without a member twice that counts.
fn operation(item: &str, sent: ItemAction) -> Option<Pairs<&RawValue>> {
    let Pairs(operations) = serde_json::from_str::<Pairs<&RawValue>>(item).ok()?;
    let [(name, operation)] = &operations[..] else { return None };
    let name_sent = match sent {
        ItemAction::Create => "create",
        ItemAction::Delete => "delete",
        ItemAction::Index => "index",
    };
    let operation = serde_json::from_str::<Pairs<&RawValue>>(operation.get()).ok()?;
    let counts = |name: &str| operation.0.iter().filter(|(key, _)| key == name).count() <= 1;
    (name == name_sent && ["status", "error", "failure_store"].into_iter().all(counts)).then_some(operation)
}

fn status(item: &str, sent: ItemAction) -> Option<u64> {
    let (status, _) = value_and_duplicates(operation(item, sent)?.last("status")?.get().as_bytes())?;
    status.as_u64()
}

fn written(item: &str, sent: ItemAction) -> bool {
    let Some(operation) = operation(item, sent) else { return false };
    let is_null = |name| operation.last(name).is_none_or(|raw| raw.get() == "null");
    let is_in_index = operation.last("failure_store").is_none_or(|raw| {
        matches!(
            serde_json::from_str(raw.get()),
            Ok(Value::Null) | Ok(Value::String(_)) if matches!(
                serde_json::from_str::<Option<String>>(raw.get()).unwrap().as_deref(),
                None | Some("not_applicable_or_unknown" | "not_enabled")
            )
        )
    });
    matches!(status(item, sent), Some(200 | 201)) && is_null("error") && is_in_index
}
