//! Reads a schema, its references and the imports that every registry knows: `.proto` texts, or descriptors in base64, which
//! Confluent's serializers for Python and .NET register.

use std::collections::{HashMap, HashSet};
use std::mem;

use base64_simd::STANDARD;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FileDescriptor};
use protox::Compiler;
use protox::Error as ProtoxError;
use protox::file::{File, FileResolver, GoogleFileResolver};

use crate::decode_error::DecodeError;
use crate::protobuf::built_in::built_in;
use crate::protobuf::edition::{self, Features};
use crate::protobuf::edition_descriptor;
use crate::protobuf::edition_text::{AsProto3, as_proto3, take_features};
use crate::protobuf::json_names::as_compiled;
use crate::protobuf::tokens::{TokenKind, tokens};
use crate::schema_error::SchemaError;

/// The path of the schema itself, which registries don't name.
const MAIN: &str = "schema.proto";

/// The most levels of braces, brackets and angles. The reader calls itself for each.
const MAX_LEVELS: usize = 100;

/// The most files of a schema.
const MAX_FILES: usize = 500;

/// A schema with everything that it imports.
pub(crate) struct Sources {
    pub(crate) files: DescriptorPool,
    /// The schema's own file.
    pub(crate) main: FileDescriptor,
    /// Of the files that are of an edition.
    pub(crate) features: Features,
}

/// Reads a schema with its references, each the path that is imported and its text.
pub(crate) fn read_files<'s>(
    text: &'s str,
    references: impl Iterator<Item = (&'s str, &'s str)>,
) -> Result<Sources, SchemaError> {
    let google = GoogleFileResolver::new();
    let mut files = Files { files: HashMap::new(), features: Features::default(), google };
    for (path, text) in references.chain([(MAIN, text)]) {
        if has_too_many_levels(text) {
            return Err(SchemaError::TooLarge { limit: MAX_LEVELS, unit: "levels" });
        }
        files.add(path, text)?;
    }
    files.add_built_in()?;
    if files.files.len() > MAX_FILES {
        return Err(SchemaError::TooLarge { limit: MAX_FILES, unit: "files" });
    }
    let order = files.order()?;
    let features = mem::take(&mut files.features);
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true);
    for path in order {
        compiler.open_file(path).map_err(|error| SchemaError::Proto(error.into()))?;
    }
    let pool = compiler.descriptor_pool();
    let main = pool.get_file_by_name(MAIN).ok_or(SchemaError::NoMessage)?;
    Ok(Sources { files: pool, main, features })
}

struct Files {
    files: HashMap<String, File>,
    features: Features,
    google: GoogleFileResolver,
}

impl Files {
    fn add(&mut self, path: &str, text: &str) -> Result<(), SchemaError> {
        let file = match (descriptor(text), as_proto3(text)) {
            (Some((bytes, descriptor)), _) => self.of_descriptor(path, &bytes, descriptor)?,
            (None, Some(edition)) => self.of_edition(path, &edition)?,
            (None, None) => source(path, text)?,
        };
        let file = match as_compiled(file.file_descriptor_proto(), &mut self.features) {
            Some(compiled) => File::from_file_descriptor_proto(compiled),
            None => file,
        };
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    fn of_descriptor(
        &mut self,
        path: &str,
        bytes: &[u8],
        mut file: FileDescriptorProto,
    ) -> Result<File, SchemaError> {
        // A reference's name is what others import it by.
        file.name = Some(path.to_owned());
        if file.syntax() == edition::SYNTAX {
            let unreadable = |error: DecodeError| SchemaError::Proto(error.into());
            edition::check(&edition_descriptor::edition(bytes).map_err(unreadable)?)?;
            edition_descriptor::add_features(bytes, &mut self.features).map_err(unreadable)?;
            file.syntax = None;
        }
        Ok(File::from_file_descriptor_proto(file))
    }

    fn of_edition(&mut self, path: &str, edition: &AsProto3) -> Result<File, SchemaError> {
        edition::check(&edition.edition)?;
        let mut file = source(path, &edition.text)?.file_descriptor_proto().clone();
        take_features(&mut file, &mut self.features);
        Ok(File::from_file_descriptor_proto(file))
    }

    /// Adds the imports that are there without a reference, none of which imports another of its kind.
    fn add_built_in(&mut self) -> Result<(), SchemaError> {
        let imports =
            self.files.values().flat_map(|file| file.file_descriptor_proto().dependency.iter().cloned());
        let missing: HashSet<String> = imports.filter(|path| !self.files.contains_key(path)).collect();
        for path in missing {
            if let Some(text) = built_in(&path) {
                self.add(&path, text)?;
            }
        }
        Ok(())
    }

    /// The files that the schema needs, each behind those that it imports. The compiler calls itself for an import that it hasn't
    /// seen: in this order it never does.
    fn order(&self) -> Result<Vec<String>, SchemaError> {
        let mut needed = HashSet::from([MAIN]);
        let mut to_visit = vec![MAIN];
        while let Some(path) = to_visit.pop() {
            to_visit.extend(self.imports(path).filter(|import| needed.insert(import)));
        }
        let mut order: Vec<String> = Vec::new();
        let mut done = HashSet::new();
        while !needed.is_empty() {
            let mut ready: Vec<&str> = needed
                .iter()
                .copied()
                .filter(|path| self.imports(path).all(|import| done.contains(import)))
                .collect();
            if ready.is_empty() {
                return Err(SchemaError::ImportCircle);
            }
            ready.sort_unstable();
            for path in ready {
                needed.remove(path);
                done.insert(path);
                order.push(path.to_owned());
            }
        }
        Ok(order)
    }

    /// The imports of a file that are none of Google's and not missing: the compiler finds those, or reports them.
    fn imports(&self, path: &str) -> impl Iterator<Item = &str> {
        let imports = self.files.get(path).map(|file| file.file_descriptor_proto().dependency.as_slice());
        let imports = imports.unwrap_or_default().iter().map(String::as_str);
        imports.filter(|import| self.files.contains_key(*import))
    }
}

impl FileResolver for Files {
    /// Google's files count more than references: JSON has forms of their own for them.
    fn open_file(&self, name: &str) -> Result<File, ProtoxError> {
        match self.google.open_file(name) {
            Ok(file) => Ok(file),
            Err(_) => self.files.get(name).cloned().ok_or_else(|| ProtoxError::file_not_found(name)),
        }
    }
}

fn source(path: &str, text: &str) -> Result<File, SchemaError> {
    File::from_source(path, text).map_err(|error| SchemaError::Proto(error.into()))
}

/// The `FileDescriptorProto` that `text` is in base64, and its bytes. No `.proto` text is one: that has braces or a semicolon.
fn descriptor(text: &str) -> Option<(Vec<u8>, FileDescriptorProto)> {
    let bytes = STANDARD.decode_to_vec(text.trim()).ok().filter(|bytes| !bytes.is_empty())?;
    let file = FileDescriptorProto::decode(bytes.as_slice()).ok()?;
    Some((bytes, file))
}

/// Whether the text, without its comments and strings, is nested deeper than `MAX_LEVELS`.
fn has_too_many_levels(text: &str) -> bool {
    let mut level = 0_usize;
    tokens(text).any(|token| {
        match token.kind {
            TokenKind::Mark(b'{' | b'[' | b'<' | b'(') => level += 1,
            TokenKind::Mark(b'}' | b']' | b'>' | b')') => level = level.saturating_sub(1),
            TokenKind::Mark(_) | TokenKind::Word | TokenKind::Text => {}
        }
        level > MAX_LEVELS
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str, references: &[(&str, &str)]) -> Result<DescriptorPool, SchemaError> {
        Ok(read_files(text, references.iter().copied())?.files)
    }

    #[test]
    fn imports_are_references_or_known_everywhere() {
        let text = r#"syntax = "proto3"; import "b.proto"; import "confluent/meta.proto"; import "google/protobuf/timestamp.proto";
            import "confluent/type/decimal.proto";
            message A { B b = 1 [(confluent.field_meta).doc = "kept apart"]; google.protobuf.Timestamp at = 2;
            confluent.type.Decimal price = 3; }"#;
        let references = [
            ("b.proto", r#"syntax = "proto3"; import "c/c.proto"; message B { c.C c = 1; }"#),
            ("c/c.proto", r#"syntax = "proto3"; package c; message C { int32 i = 1; }"#),
        ];
        assert!(compile(text, &references).unwrap().get_message_by_name("c.C").is_some());
        assert!(matches!(compile(text, &references[..1]), Err(SchemaError::Proto(_))));
    }

    #[test]
    fn everything_that_confluents_serializers_know_can_be_imported() {
        let names = "calendar_period color date datetime dayofweek decimal expr fraction interval latlng money month phone_number \
            postal_address quaternion timeofday";
        let imports = names.split_whitespace().map(|name| format!("import \"google/type/{name}.proto\";"));
        let imports: String =
            imports.chain(["import \"confluent/types/decimal.proto\";".to_owned()]).collect();
        let text = format!(
            "syntax = \"proto3\"; {imports} message A {{ google.type.Money m = 1; google.type.DateTime t = 2; }}"
        );
        let pool = compile(&text, &[]).unwrap();
        let money = pool.get_message_by_name("google.type.Money").unwrap();
        assert_eq!(money.get_field_by_name("nanos").unwrap().number(), 3);
        let own = r#"syntax = "proto3"; package google.type; message Money { string mine = 9; }"#;
        let text =
            r#"syntax = "proto3"; import "google/type/money.proto"; message A { google.type.Money m = 1; }"#;
        let pool = compile(text, &[("google/type/money.proto", own)]).unwrap();
        assert!(
            pool.get_message_by_name("google.type.Money").unwrap().get_field(9).is_some(),
            "a reference counts more"
        );
    }

    #[test]
    fn a_descriptor_in_base64_is_read_as_its_text_is() {
        let descriptor = |path: &str, text: &str| {
            let mut file = File::from_source(path, text).unwrap().file_descriptor_proto().clone();
            file.name = Some(format!("python/{path}"));
            format!("{}\n", STANDARD.encode_to_string(file.encode_to_vec()))
        };
        let main = r#"syntax = "proto3"; package shop; import "b.proto"; import "google/protobuf/timestamp.proto";
            message A { B b = 1; map<string, B> bs = 2; google.protobuf.Timestamp at = 3; message Inner { int32 i = 1; } }"#;
        let imported = r#"syntax = "proto3"; package shop; message B { string name = 1; }"#;
        let (main, imported) = (descriptor("main.proto", main), descriptor("b.proto", imported));
        let pool = compile(&main, &[("b.proto", imported.as_str())]).unwrap();
        let message = pool.get_message_by_name("shop.A").unwrap();
        assert!(message.get_field_by_name("bs").unwrap().is_map());
        assert_eq!(
            message.get_field_by_name("b").unwrap().kind().as_message().unwrap().full_name(),
            "shop.B"
        );
        assert!(matches!(compile(&main, &[]), Err(SchemaError::Proto(_))), "its import is missing");
    }

    #[test]
    fn a_schema_that_is_no_schema_is_an_error() {
        for text in [
            "message",
            "{}",
            "message A { B b = 1; }",
            "message A { int32 a = 1; int32 b = 1; }",
            "\u{0}",
            "messages",
        ] {
            assert!(matches!(compile(text, &[]), Err(SchemaError::Proto(_))), "{text}");
        }
    }

    #[test]
    fn a_deep_schema_is_an_error_and_a_less_deep_one_is_not() {
        let nested = |levels: usize| format!("{}{}", "message A { ".repeat(levels), "}".repeat(levels));
        assert!(compile(&nested(30), &[]).is_ok());
        assert!(compile(&nested(MAX_LEVELS), &[]).is_err());
        assert!(matches!(compile(&nested(100_000), &[]), Err(SchemaError::TooLarge { .. })));
        let comments = format!(
            "// {0}\n/* {0} */ message A {{ optional string a = 1 [default = \"{0}\\\"{{\"]; }}",
            "{".repeat(200)
        );
        assert!(compile(&comments, &[]).is_ok());
    }

    #[test]
    fn a_long_chain_of_imports_is_read_and_a_circle_is_an_error() {
        let text = |i: usize| {
            format!("syntax = \"proto3\"; import \"{}.proto\"; message M{i} {{ M{} m = 1; }}", i + 1, i + 1)
        };
        let mut files: Vec<(String, String)> =
            (1..MAX_FILES - 1).map(|i| (format!("{i}.proto"), text(i))).collect();
        let last = files.len() + 1;
        files.push((format!("{last}.proto"), format!("syntax = \"proto3\"; message M{last} {{}}")));
        let references: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert!(compile(&text(0), &references).is_ok());
        let circle =
            [("1.proto", &*text(1)), ("2.proto", "syntax = \"proto3\"; import \"1.proto\"; message M2 {}")];
        assert!(matches!(compile(&text(0), &circle), Err(SchemaError::ImportCircle)));
    }
}
