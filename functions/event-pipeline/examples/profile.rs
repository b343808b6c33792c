use event_pipeline::{bulk::*, document::Encoder, envelope::read_batch, settings::Settings};
use event_producer::payload::*;
fn main() {
    let h = if std::env::args().nth(1).is_some() {
        RecordHeaders::TraceAndCorrelation
    } else {
        RecordHeaders::None
    };
    let p = payload(1, 1_772_360_430_123, 6 << 20, h);
    eprintln!("{} records, {} avg value", p.n_records, p.value_bytes / p.n_records);
    let mut e = Encoder::new(Settings::default());
    let mut r = BulkRequest::default();
    for _ in 0..5 {
        r.clear();
        for (i, en) in read_batch(&p.json).unwrap().iter().enumerate() {
            let rec = en.record.as_ref().unwrap();
            while r.push(i, BulkLimits::default(), |b| e.append(rec, b).map(drop)).unwrap() == Pushed::Full {
                r.clear();
            }
        }
    }
}
