//! The entries of a map, of which Protobuf writes each one whole: in JSON they are the map.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serializer};

use crate::message::{MadeSubscription, SubscribeResult};

/// Writes the entries as a map.
pub(crate) fn serialize<S: Serializer>(entries: &[MadeSubscription], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|entry| (&entry.key, &entry.value)))
}

/// Takes the entries of a map.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<MadeSubscription>, D::Error> {
    let map = BTreeMap::<String, Option<SubscribeResult>>::deserialize(deserializer)?;
    Ok(map.into_iter().map(|(key, value)| MadeSubscription { key, value }).collect())
}
