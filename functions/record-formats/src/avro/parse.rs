//! Reads an Avro schema and its references into types.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::avro::model::{Field, Type, TypeId, Types};
use crate::avro::schema_text;
use crate::date_time::Precision;
use crate::output::append_text;
use crate::schema_error::SchemaError;

/// Reads a schema and its references, each a name and a text, in any order. A name that the schema itself defines counts more than
/// a reference's.
pub(crate) fn parse<'s>(
    text: &str,
    references: impl Iterator<Item = (&'s str, &'s str)>,
) -> Result<Types, SchemaError> {
    let mut parser = Parser::default();
    let root = parser.text(&schema_text::read(text, None)?)?;
    for (name, text) in references {
        parser.text(&schema_text::read(text, Some(name))?)?;
    }
    parser.finish(root)
}

#[derive(Default)]
struct Parser {
    types: Vec<Type>,
    /// The named types by their full names.
    names: HashMap<String, TypeId>,
    /// The full names that the text being read has defined.
    defined_here: HashSet<String>,
    /// Types that stand for a name until all texts are read.
    links: Vec<Link>,
}

/// A name where it is used.
struct Link {
    id: TypeId,
    name: String,
    namespace: String,
}

impl Parser {
    fn text(&mut self, json: &Value) -> Result<TypeId, SchemaError> {
        self.defined_here.clear();
        self.schema(json, "", "the schema")
    }

    /// Reads a schema in a namespace; `of` is what has it, for errors.
    fn schema(&mut self, json: &Value, namespace: &str, of: &str) -> Result<TypeId, SchemaError> {
        match json {
            Value::String(name) => Ok(self.named(name, namespace)),
            Value::Array(branches) => self.union(branches, namespace, of),
            Value::Object(attributes) => self.object(attributes, namespace, of),
            _ => Err(attribute(of, "type")),
        }
    }

    fn add(&mut self, each: Type) -> TypeId {
        self.types.push(each);
        self.types.len() - 1
    }

    /// A primitive type, or a name that is defined somewhere.
    fn named(&mut self, name: &str, namespace: &str) -> TypeId {
        if let Some(primitive) = primitive(name) {
            return self.add(primitive);
        }
        let id = self.add(Type::Null);
        self.links.push(Link { id, name: name.to_owned(), namespace: namespace.to_owned() });
        id
    }

    fn union(&mut self, branches: &[Value], namespace: &str, of: &str) -> Result<TypeId, SchemaError> {
        let mut ids = Vec::with_capacity(branches.len());
        for branch in branches {
            if branch.is_array() {
                return Err(SchemaError::UnionInUnion);
            }
            ids.push(self.schema(branch, namespace, of)?);
        }
        Ok(self.add(Type::Union(ids)))
    }

    fn object(
        &mut self,
        json: &Map<String, Value>,
        namespace: &str,
        of: &str,
    ) -> Result<TypeId, SchemaError> {
        let Some(Value::String(kind)) = json.get("type") else {
            // A schema within a schema, such as {"type": {"type": "string"}}.
            let inner = json.get("type").ok_or_else(|| attribute(of, "type"))?;
            return self.schema(inner, namespace, of);
        };
        match kind.as_str() {
            "record" | "error" | "enum" | "fixed" => self.definition(kind, json, namespace, of),
            "array" => {
                let items = json.get("items").ok_or_else(|| attribute(of, "items"))?;
                let items = self.schema(items, namespace, of)?;
                Ok(self.add(Type::Array(items)))
            }
            "map" => {
                let values = json.get("values").ok_or_else(|| attribute(of, "values"))?;
                let values = self.schema(values, namespace, of)?;
                Ok(self.add(Type::Map(values)))
            }
            name => match primitive(name) {
                Some(plain) => {
                    let logical = logical(&plain, json).unwrap_or(plain);
                    Ok(self.add(logical))
                }
                None => Ok(self.named(name, namespace)),
            },
        }
    }

    /// A record, enum or fixed.
    fn definition(
        &mut self,
        kind: &str,
        json: &Map<String, Value>,
        namespace: &str,
        of: &str,
    ) -> Result<TypeId, SchemaError> {
        let (full_name, namespace) = full_name(json, namespace).ok_or_else(|| attribute(of, "name"))?;
        let id = self.add(Type::Null);
        if !self.defined_here.insert(full_name.clone()) {
            return Err(SchemaError::DefinedTwice(full_name));
        }
        self.names.entry(full_name.clone()).or_insert(id);
        let definition = match kind {
            "enum" => Type::Enum(symbols(json).ok_or_else(|| attribute(&full_name, "symbols"))?),
            "fixed" => {
                let size =
                    json.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let plain = Type::Fixed(size.ok_or_else(|| attribute(&full_name, "size"))?);
                logical(&plain, json).unwrap_or(plain)
            }
            _ => Type::Record(self.fields(json, &namespace, &full_name)?),
        };
        if let Some(place) = self.types.get_mut(id) {
            *place = definition;
        }
        Ok(id)
    }

    fn fields(
        &mut self,
        json: &Map<String, Value>,
        namespace: &str,
        of: &str,
    ) -> Result<Vec<Field>, SchemaError> {
        let Some(Value::Array(all)) = json.get("fields") else { return Err(attribute(of, "fields")) };
        let mut fields = Vec::with_capacity(all.len());
        let mut names = HashSet::new();
        for field in all {
            let Some(name) = field.get("name").and_then(Value::as_str) else {
                return Err(attribute(of, "name"));
            };
            let path = format!("{of}.{name}");
            if !names.insert(name) {
                return Err(SchemaError::DefinedTwice(path));
            }
            let schema = field.get("type").ok_or_else(|| attribute(&path, "type"))?;
            // A logical type beside the field's type means nothing, as in Avro's own libraries: it belongs into the type.
            let value = self.schema(schema, namespace, &path)?;
            let mut opening = vec![if fields.is_empty() { b'{' } else { b',' }];
            append_text(&mut opening, name);
            opening.push(b':');
            fields.push(Field { name: name.into(), opening: opening.into(), value });
        }
        Ok(fields)
    }

    /// Puts what the names stand for in their places.
    fn finish(mut self, root: TypeId) -> Result<Types, SchemaError> {
        let mut targets: HashMap<TypeId, TypeId> = HashMap::new();
        for link in &self.links {
            let target = self.target(link).ok_or_else(|| SchemaError::UndefinedName(link.name.clone()))?;
            targets.insert(link.id, target);
        }
        let resolved = |id: &mut TypeId| {
            if let Some(target) = targets.get(id) {
                *id = *target;
            }
        };
        for each in &mut self.types {
            match each {
                Type::Record(fields) => fields.iter_mut().for_each(|field| resolved(&mut field.value)),
                Type::Array(id) | Type::Map(id) => resolved(id),
                Type::Union(ids) => ids.iter_mut().for_each(resolved),
                _ => {}
            }
        }
        let mut root = root;
        resolved(&mut root);
        Ok(Types { all: self.types, root })
    }

    fn target(&self, link: &Link) -> Option<TypeId> {
        if let Some(name) = link.name.strip_prefix('.') {
            return self.names.get(name).copied();
        }
        let full_name = match link.name.contains('.') || link.namespace.is_empty() {
            true => None,
            false => self.names.get(&format!("{}.{}", link.namespace, link.name)),
        };
        full_name.or_else(|| self.names.get(&link.name)).copied()
    }
}

fn attribute(of: &str, attribute: &'static str) -> SchemaError {
    SchemaError::Attribute { of: of.to_owned(), attribute }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::String,
        _ => return None,
    })
}

/// The full name of a definition, and the namespace in it.
fn full_name(json: &Map<String, Value>, namespace: &str) -> Option<(String, String)> {
    let name = json.get("name")?.as_str()?;
    match name.rsplit_once('.') {
        // A dot in front alone: without a namespace, in Java's library.
        Some(("", name)) => return Some((name.to_owned(), String::new())),
        Some((namespace, _)) => return Some((name.to_owned(), namespace.to_owned())),
        None => {}
    }
    let namespace = json.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    let full_name = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") };
    Some((full_name, namespace.to_owned()))
}

fn symbols(json: &Map<String, Value>) -> Option<Vec<Box<[u8]>>> {
    let symbol = |symbol: &Value| {
        let mut json = Vec::new();
        append_text(&mut json, symbol.as_str()?);
        Some(json.into_boxed_slice())
    };
    json.get("symbols")?.as_array()?.iter().map(symbol).collect()
}

/// The logical type, if it is one we know and valid; Avro's specification says that others are ignored.
fn logical(plain: &Type, json: &Map<String, Value>) -> Option<Type> {
    let name = json.get("logicalType")?.as_str()?;
    Some(match (name, plain) {
        ("decimal", Type::Bytes) => Type::DecimalBytes(scale(json)?),
        ("decimal", Type::Fixed(size)) => Type::DecimalFixed { size: *size, scale: scale(json)? },
        ("big-decimal", Type::Bytes) => Type::BigDecimal,
        ("uuid", Type::Fixed(16)) => Type::Uuid,
        ("duration", Type::Fixed(12)) => Type::Duration,
        ("date", Type::Int) => Type::Date,
        ("time-millis", Type::Int) => Type::TimeMillis,
        ("time-micros", Type::Long) => Type::TimeMicros,
        ("timestamp-millis", Type::Long) => Type::Timestamp(Precision::Millis),
        ("timestamp-micros", Type::Long) => Type::Timestamp(Precision::Micros),
        ("timestamp-nanos", Type::Long) => Type::Timestamp(Precision::Nanos),
        ("local-timestamp-millis", Type::Long) => Type::LocalTimestamp(Precision::Millis),
        ("local-timestamp-micros", Type::Long) => Type::LocalTimestamp(Precision::Micros),
        ("local-timestamp-nanos", Type::Long) => Type::LocalTimestamp(Precision::Nanos),
        _ => return None,
    })
}

/// The scale of a valid decimal.
fn scale(json: &Map<String, Value>) -> Option<i64> {
    let precision = json.get("precision")?.as_i64()?;
    let scale = json.get("scale").map_or(Some(0), Value::as_i64)?;
    (precision > 0 && (0..=precision).contains(&scale)).then_some(scale)
}
