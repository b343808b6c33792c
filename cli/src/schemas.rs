//! Schemas from files, in place of a registry.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use event_pipeline::decoder::KnownSchemas;
use record_formats::frame::SchemaId;
use record_formats::schema::{Schema, SchemaSource, SchemaType};
use record_formats::schema_error::SchemaError;
use thiserror::Error;

use crate::setup::{SetupError, read_text};

/// A schema's id and file: `17=order.avsc`. The name's end is its language: `.avsc`, `.proto`, or `.json` for JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFile {
    id: SchemaId,
    schema_type: SchemaType,
    path: PathBuf,
}

/// Why a text names no schema.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SchemaFileError {
    /// It has another form.
    #[error("not `ID=FILE`, such as `17=order.avsc`: the id is a number of a registry with Confluent's API")]
    Form,
    /// The language is not known.
    #[error("the file's name ends neither in .avsc (Avro), .proto (Protobuf) nor .json (JSON Schema)")]
    Language,
}

/// Why a schema can't be used.
#[derive(Debug, Error)]
pub enum SchemasError {
    /// The file can't be read.
    #[error(transparent)]
    Read(#[from] SetupError),
    /// The schema is not one, or refers to another.
    #[error("{}: {source}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SchemaError,
    },
}

impl FromStr for SchemaFile {
    type Err = SchemaFileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, path) = text.split_once('=').ok_or(SchemaFileError::Form)?;
        let id = SchemaId::Confluent(id.trim().parse().map_err(|_| SchemaFileError::Form)?);
        let path = PathBuf::from(path);
        let schema_type = match path.extension().and_then(|extension| extension.to_str()) {
            Some("avsc") => SchemaType::Avro,
            Some("proto") => SchemaType::Protobuf,
            Some("json") => SchemaType::Json,
            _ => return Err(SchemaFileError::Language),
        };
        Ok(Self { id, schema_type, path })
    }
}

/// Reads `ID=FILE` where the file is named as seen from `folder`.
///
/// # Errors
/// [`SchemaFileError`]
pub fn parse_in(folder: &Path, text: &str) -> Result<SchemaFile, SchemaFileError> {
    let file: SchemaFile = text.parse()?;
    Ok(SchemaFile { path: folder.join(file.path), ..file })
}

/// Reads and compiles the schemas.
///
/// # Errors
/// [`SchemasError`] for the first that can't be used. A schema that refers to others can't: only a registry has all of them.
pub fn compile(files: &[SchemaFile]) -> Result<KnownSchemas, SchemasError> {
    let mut known = KnownSchemas::new();
    for SchemaFile { id, schema_type, path } in files {
        let source =
            SchemaSource { schema_type: *schema_type, text: read_text(path)?, references: Vec::new() };
        let schema =
            Schema::compile(&source).map_err(|source| SchemasError::Schema { path: path.clone(), source })?;
        known.insert(*id, Ok(Arc::new(schema)));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_files_name_is_its_language() {
        let file: SchemaFile = "17=a/order.avsc".parse().unwrap();
        let expected = SchemaFile {
            id: SchemaId::Confluent(17),
            schema_type: SchemaType::Avro,
            path: PathBuf::from("a/order.avsc"),
        };
        assert_eq!(file, expected);
        assert_eq!("order.avsc".parse::<SchemaFile>(), Err(SchemaFileError::Form));
        assert_eq!("x=order.avsc".parse::<SchemaFile>(), Err(SchemaFileError::Form));
        assert_eq!("1=order.txt".parse::<SchemaFile>(), Err(SchemaFileError::Language));
    }

    #[test]
    fn a_schema_that_is_none_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.avsc");
        std::fs::write(&path, "{}").unwrap();
        let file: SchemaFile = format!("1={}", path.display()).parse().unwrap();
        assert!(compile(&[file]).unwrap_err().to_string().starts_with(path.to_str().unwrap()));
    }
}
