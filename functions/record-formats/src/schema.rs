//! A schema as a registry holds it, compiled to write records as JSON.

use crate::avro::Avro;
use crate::decode_error::{DecodeError, DecodeErrorKind};
use crate::frame::Framed;
use crate::limits::Limits;
use crate::notes::Notes;
use crate::protobuf::Protobuf;
use crate::schema_error::SchemaError;

/// The longest text of a schema with its references, in bytes.
const MAX_TEXT: usize = 16 * 1024 * 1024;

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaType {
    /// Avro: JSON text.
    Avro,
    /// Protobuf: `.proto` text.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl SchemaType {
    /// The type that a registry's API calls `name`: Confluent's `schemaType` (which it leaves out for Avro) or Glue's `DataFormat`.
    pub fn from_registry(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("AVRO") => Some(Self::Avro),
            Some("PROTOBUF") => Some(Self::Protobuf),
            Some("JSON") => Some(Self::Json),
            Some(_) => None,
        }
    }

    /// The name in a registry's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }
}

/// A schema as a registry holds it, with everything that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaSource {
    /// Its language.
    pub schema_type: SchemaType,
    /// Its text.
    pub text: String,
    /// All schemas that it refers to, and those that they refer to, in any order.
    pub references: Vec<Reference>,
}

/// A schema that another refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name that the other schema uses: for Protobuf the imported path, for Avro the full name of a type.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A schema that records were written with, ready to read them. Cheap to share in an `Arc`.
#[derive(Debug)]
pub struct Schema {
    language: Language,
}

#[derive(Debug)]
enum Language {
    Avro(Avro),
    Protobuf(Protobuf),
    Json,
}

impl Schema {
    /// Compiles a schema; an error says what is wrong with it.
    pub fn compile(source: &SchemaSource) -> Result<Self, SchemaError> {
        let references = source.references.iter().map(|reference| reference.text.len());
        if references.fold(source.text.len(), usize::saturating_add) > MAX_TEXT {
            return Err(SchemaError::TooLarge { limit: MAX_TEXT, unit: "bytes" });
        }
        let references = || source.references.iter().map(|it| (it.name.as_str(), it.text.as_str()));
        let language = match source.schema_type {
            SchemaType::Avro => Language::Avro(Avro::compile(&source.text, references())?),
            SchemaType::Protobuf => Language::Protobuf(Protobuf::compile(&source.text, references())?),
            SchemaType::Json => Language::Json,
        };
        Ok(Self { language })
    }

    /// The schema's language.
    pub fn schema_type(&self) -> SchemaType {
        match self.language {
            Language::Avro(_) => SchemaType::Avro,
            Language::Protobuf(_) => SchemaType::Protobuf,
            Language::Json => SchemaType::Json,
        }
    }

    /// Appends a record as JSON. The bytes must fit the schema to their end; on an error `json` is as it was.
    ///
    /// A body of JSON Schema is JSON already: it is appended as it is, and not validated.
    pub fn append_json(
        &self,
        framed: &Framed<'_>,
        limits: &Limits,
        json: &mut Vec<u8>,
    ) -> Result<Notes, DecodeError> {
        let start = json.len();
        let result = match &self.language {
            Language::Avro(avro) => avro.append_json(&framed.body, limits, json),
            Language::Protobuf(protobuf) => protobuf.append_json(framed, limits, json),
            Language::Json if framed.body.len() > limits.max_json_bytes => {
                Err(DecodeError::new(DecodeErrorKind::JsonBytes(limits.max_json_bytes), 0))
            }
            Language::Json => {
                json.extend_from_slice(&framed.body);
                Ok(Notes::default())
            }
        };
        if result.is_err() {
            json.truncate(start);
        }
        result
    }
}
