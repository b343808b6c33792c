//! Avro: random schemas and values that apache-avro writes, and any bytes that it reads.

use std::borrow::Cow;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Days, Decimal, Duration, Millis, Months, Schema as TheirSchema, Uuid};
use base64_simd::STANDARD;
use record_formats::frame::{Framed, SchemaId};
use record_formats::limits::Limits;
use record_formats::schema::{Schema, SchemaSource, SchemaType};
use serde_json::{Value as Json, json};

use super::choices::Choices;
use super::leaves::{self, Tree};

const MAX_DEPTH: u8 = 4;

pub(crate) fn check(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut maker = Maker { names: 0 };
    let (schema, value) = maker.record(&mut choices, 0);
    let text = schema.to_string();
    let theirs = TheirSchema::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let source = SchemaSource { schema_type: SchemaType::Avro, text: text.clone(), references: Vec::new() };
    let ours = Schema::compile(&source).unwrap_or_else(|error| panic!("{error}: {text}"));

    let body =
        GenericDatumWriter::builder(&theirs).build().unwrap().write_value_to_vec(value.clone()).unwrap();
    let json = decode(&ours, &body).unwrap_or_else(|error| panic!("{error}: {text} {value:?}"));
    assert_eq!(leaves::read(&json), tree(&value, &schema).unwrap(), "{text}");

    for cut in 0..body.len() {
        check_bytes(&ours, &theirs, &schema, &body[..cut]);
    }
    let place = usize::from(choices.byte()) % body.len().max(1);
    let mut changed = body.clone();
    if let Some(byte) = changed.get_mut(place) {
        *byte ^= choices.byte();
    }
    check_bytes(&ours, &theirs, &schema, &changed);
    check_bytes(&ours, &theirs, &schema, choices.rest());
}

/// Any bytes are JSON or an error; where apache-avro reads them to their end, they are the JSON of what it reads.
fn check_bytes(ours: &Schema, theirs: &TheirSchema, schema: &Json, body: &[u8]) {
    let json = decode(ours, body);
    let tree_of_json = json.as_ref().ok().map(|json| leaves::read(json));
    // apache-avro reserves memory for the items that a block claims.
    if body.len() > 64 {
        return;
    }
    let mut rest = body;
    let Ok(value) = GenericDatumReader::builder(theirs).build().unwrap().read_value(&mut rest) else {
        return;
    };
    let Some(tree) = tree(&value, schema).filter(|_| rest.is_empty()) else { return };
    match tree_of_json {
        Some(ours) => assert_eq!(ours, tree, "{schema} {body:?}"),
        None => assert!(is_stricter(&json.unwrap_err().to_string()), "{schema} {body:?} {value:?}"),
    }
}

/// What apache-avro reads and we don't. It takes a union or a string that is missing at the end for null.
fn is_stricter(error: &str) -> bool {
    error.contains("the bytes end within a value")
        || error.contains("more than there are")
        || error.contains("items without bytes")
        || error.contains("a number of more than 64 bits")
        || error.contains("a block of")
        || error.contains("out of range")
}

fn decode(schema: &Schema, body: &[u8]) -> Result<Vec<u8>, record_formats::decode_error::DecodeError> {
    let framed = Framed { id: SchemaId::Confluent(1), message_indexes: None, body: Cow::Borrowed(body) };
    let limits = Limits { max_json_bytes: 1024 * 1024, max_empty_items: 1000, ..Limits::default() };
    let mut json = Vec::new();
    schema.append_json(&framed, &limits, &mut json).map(|_| json)
}

/// Makes schemas with values that fit them.
struct Maker {
    names: u32,
}

impl Maker {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("N{}", self.names)
    }

    fn record(&mut self, choices: &mut Choices<'_>, depth: u8) -> (Json, Value) {
        let name = self.name();
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        for i in 0..choices.below(5) {
            let (schema, value) = self.any(choices, depth + 1);
            fields.push(json!({"name": format!("f{i}"), "type": schema}));
            values.push((format!("f{i}"), value));
        }
        (json!({"type": "record", "name": name, "namespace": "a.b", "fields": fields}), Value::Record(values))
    }

    fn any(&mut self, choices: &mut Choices<'_>, depth: u8) -> (Json, Value) {
        let n_kinds = if depth < MAX_DEPTH { 29 } else { 24 };
        let long = |name: &str| json!({"type": "long", "logicalType": name});
        // Years that everyone writes with four digits.
        let millis =
            |choices: &mut Choices<'_>| choices.long().rem_euclid(200_000_000_000_000) - 50_000_000_000_000;
        match choices.below(n_kinds) {
            0 => (json!("null"), Value::Null),
            1 => (json!("boolean"), Value::Boolean(choices.below(2) == 1)),
            2 => (json!("int"), Value::Int(choices.int())),
            3 => (json!({"type": "long"}), Value::Long(choices.long())),
            4 => (json!("float"), Value::Float(f32::from_bits(choices.int() as u32))),
            5 => (json!("double"), Value::Double(f64::from_bits(choices.long() as u64))),
            6 => (
                json!("bytes"),
                Value::Bytes({
                    let len = choices.below(9);
                    choices.bytes(len.into())
                }),
            ),
            7 | 8 => (json!("string"), Value::String(choices.text())),
            9 => {
                let (name, size) = (self.name(), usize::from(choices.below(5)));
                (
                    json!({"type": "fixed", "name": name, "size": size}),
                    Value::Fixed(size, choices.bytes(size)),
                )
            }
            10 => {
                let symbols = ["A", "B_2", "c"];
                let index = choices.below(3);
                let name = self.name();
                (
                    json!({"type": "enum", "name": name, "symbols": symbols}),
                    Value::Enum(index.into(), symbols[usize::from(index)].to_owned()),
                )
            }
            11 => (
                json!({"type": "int", "logicalType": "date"}),
                Value::Date(choices.int().rem_euclid(2_000_000) - 500_000),
            ),
            12 => (
                json!({"type": "int", "logicalType": "time-millis"}),
                Value::TimeMillis(choices.int().rem_euclid(86_400_000)),
            ),
            13 => (long("time-micros"), Value::TimeMicros(choices.long().rem_euclid(86_400_000_000))),
            14 => (long("timestamp-millis"), Value::TimestampMillis(millis(choices))),
            15 => (long("timestamp-micros"), Value::TimestampMicros(millis(choices) * 1000 + 7)),
            16 => (long("timestamp-nanos"), Value::TimestampNanos(choices.long())),
            17 => (long("local-timestamp-millis"), Value::LocalTimestampMillis(millis(choices))),
            18 => (long("local-timestamp-micros"), Value::LocalTimestampMicros(millis(choices) * 1000 + 7)),
            19 => (long("local-timestamp-nanos"), Value::LocalTimestampNanos(choices.long())),
            20 => {
                let name = self.name();
                let uuid = Uuid::from_slice(&choices.bytes(16)).unwrap();
                (json!({"type": "fixed", "name": name, "size": 16, "logicalType": "uuid"}), Value::Uuid(uuid))
            }
            21 => {
                let name = self.name();
                let mut part = || choices.long() as u32;
                let value = Duration::new(Months::new(part()), Days::new(part()), Millis::new(part()));
                (
                    json!({"type": "fixed", "name": name, "size": 12, "logicalType": "duration"}),
                    Value::Duration(value),
                )
            }
            22 => {
                let scale = choices.below(20);
                let len = 1 + choices.below(16);
                let unscaled = choices.bytes(len.into());
                let schema =
                    json!({"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": scale});
                (schema, Value::Decimal(Decimal::from(unscaled)))
            }
            23 => {
                let (name, scale) = (self.name(), choices.below(6));
                let schema = json!({"type": "fixed", "name": name, "size": 9, "logicalType": "decimal", "precision": 20, "scale": scale});
                (schema, Value::Decimal(Decimal::from(choices.bytes(9))))
            }
            24 => {
                let (schema, value) = self.any(choices, depth + 1);
                let n = usize::from(choices.below(4));
                (json!({"type": "array", "items": schema}), Value::Array(vec![value; n]))
            }
            25 => {
                let (schema, value) = self.any(choices, depth + 1);
                let keys: Vec<String> = (0..choices.below(12)).map(|_| choices.text()).collect();
                (
                    json!({"type": "map", "values": schema}),
                    Value::Map(keys.into_iter().map(|key| (key, value.clone())).collect()),
                )
            }
            26 | 27 => {
                let (schema, value) = self.any(choices, depth + 1);
                // No branch may be a union, or null twice.
                if schema.is_array() || schema == json!("null") {
                    return (schema, value);
                }
                match choices.below(2) {
                    0 => (json!(["null", schema]), Value::Union(0, Box::new(Value::Null))),
                    _ => (json!(["null", schema]), Value::Union(1, Box::new(value))),
                }
            }
            _ => self.record(choices, depth + 1),
        }
    }
}

/// The JSON of a value; `None` where apache-avro's value says too little.
fn tree(value: &Value, schema: &Json) -> Option<Tree> {
    let text = |text: String| Some(Tree::leaf(text));
    let time = |seconds: i64, nanos: u32, format: &str| {
        let time = chrono::DateTime::from_timestamp(seconds, nanos)?;
        let year = chrono::Datelike::year(&time);
        (0..=9999).contains(&year).then(|| Tree::leaf(time.format(format).to_string()))
    };
    let split = |units: i64, per_second: i64| {
        (units.div_euclid(per_second), (units.rem_euclid(per_second) * (1_000_000_000 / per_second)) as u32)
    };
    let timestamp = |units: i64, per_second: i64, format: &str| {
        let (seconds, nanos) = split(units, per_second);
        time(seconds, nanos, format)
    };
    match value {
        Value::Null => Some(Tree::leaf(())),
        Value::Boolean(it) => Some(Tree::leaf(it)),
        Value::Int(it) => Some(Tree::leaf(it)),
        Value::Long(it) => Some(Tree::leaf(it)),
        Value::Float(it) => Some(Tree::leaf(it)),
        Value::Double(it) => Some(Tree::leaf(it)),
        Value::Bytes(it) | Value::Fixed(_, it) => text(STANDARD.encode_to_string(it)),
        Value::String(it) | Value::Enum(_, it) => text(it.clone()),
        Value::Union(index, it) => tree(it, &schema[*index as usize]),
        Value::Array(items) => {
            Some(Tree::Array(items.iter().map(|it| tree(it, &schema["items"])).collect::<Option<_>>()?))
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, it)| Some((key.clone(), tree(it, &schema["values"])?)));
            Some(Tree::Object(entries.collect::<Option<_>>()?))
        }
        Value::Record(fields) => {
            let fields = fields.iter().enumerate();
            let fields =
                fields.map(|(i, (name, it))| Some((name.clone(), tree(it, &schema["fields"][i]["type"])?)));
            Some(Tree::Object(fields.collect::<Option<_>>()?))
        }
        Value::Date(days) => time(i64::from(*days) * 86_400, 0, "%Y-%m-%d"),
        Value::Decimal(decimal) => {
            let bytes: Vec<u8> = decimal.try_into().ok()?;
            Some(Tree::Leaf(decimal_text(&bytes, schema["scale"].as_u64()? as usize)?))
        }
        Value::TimeMillis(it) => timestamp((*it).into(), 1000, "%H:%M:%S%.3f"),
        Value::TimeMicros(it) => timestamp(*it, 1_000_000, "%H:%M:%S%.6f"),
        Value::TimestampMillis(it) => timestamp(*it, 1000, "%Y-%m-%dT%H:%M:%S%.3fZ"),
        Value::TimestampMicros(it) => timestamp(*it, 1_000_000, "%Y-%m-%dT%H:%M:%S%.6fZ"),
        Value::TimestampNanos(it) => timestamp(*it, 1_000_000_000, "%Y-%m-%dT%H:%M:%S%.9fZ"),
        Value::LocalTimestampMillis(it) => timestamp(*it, 1000, "%Y-%m-%dT%H:%M:%S%.3f"),
        Value::LocalTimestampMicros(it) => timestamp(*it, 1_000_000, "%Y-%m-%dT%H:%M:%S%.6f"),
        Value::LocalTimestampNanos(it) => timestamp(*it, 1_000_000_000, "%Y-%m-%dT%H:%M:%S%.9f"),
        Value::Uuid(uuid) => text(uuid.to_string()),
        Value::Duration(it) => {
            let bytes: [u8; 12] = it.into();
            let part = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().unwrap());
            text(duration_text(part(0), part(4), part(8)))
        }
        Value::BigDecimal(_) => None,
    }
}

fn decimal_text(bytes: &[u8], scale: usize) -> Option<String> {
    let start = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    let short = bytes.len() <= 16;
    let unscaled = bytes.iter().fold(start, |number: i128, byte| number << 8 | i128::from(*byte));
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if start == -1 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    short.then(|| format!("{sign}{whole}{point}{fraction}"))
}

fn duration_text(months: u32, days: u32, millis: u32) -> String {
    let part = |number: u32, unit: &str| if number > 0 { format!("{number}{unit}") } else { String::new() };
    let seconds = match (millis / 1000, millis % 1000) {
        (0, 0) if months > 0 || days > 0 => String::new(),
        (seconds, 0) => format!("T{seconds}S"),
        (seconds, millis) => format!("T{seconds}.{millis:03}S"),
    };
    format!("P{}{}{seconds}", part(months, "M"), part(days, "D"))
}
