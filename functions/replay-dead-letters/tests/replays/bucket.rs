//! A bucket in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use replay_dead_letters::s3::{ObjectStore, S3Error};

/// Objects in memory, by key.
#[derive(Default)]
pub(crate) struct Bucket(Mutex<BTreeMap<String, String>>);

impl Bucket {
    /// A bucket of these keys and objects.
    pub(crate) fn of<const N: usize>(objects: [(&str, String); N]) -> Self {
        Self(Mutex::new(objects.map(|(key, object)| (key.to_owned(), object)).into()))
    }
}

impl ObjectStore for Bucket {
    async fn list(&self, _bucket: &str, prefix: &str, after: Option<&str>) -> Result<Vec<String>, S3Error> {
        let objects = self.0.lock().unwrap();
        let is_behind = |key: &&String| after.is_none_or(|after| key.as_str() > after);
        Ok(objects.keys().filter(|key| key.starts_with(prefix)).filter(is_behind).take(2).cloned().collect())
    }

    async fn get(&self, _bucket: &str, key: &str) -> Result<Bytes, S3Error> {
        let objects = self.0.lock().unwrap();
        objects.get(key).map(|object| object.clone().into()).ok_or(S3Error::NotSet("the object"))
    }

    async fn delete(&self, _bucket: &str, key: &str) -> Result<(), S3Error> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }
}
