//! Data that is JSON itself: in the JSON form it stands in a message as it is, in Protobuf as bytes.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

/// Embeds the bytes. A line break between two tokens is left out, because it would end the frame.
pub(crate) fn serialize<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    let text = std::str::from_utf8(data).map_err(ser::Error::custom)?;
    let raw: &RawValue = serde_json::from_str(text).map_err(ser::Error::custom)?;
    if !text.contains(['\n', '\r']) {
        return raw.serialize(serializer);
    }
    // In JSON a raw line break never stands inside a token.
    let joined = text.replace(['\n', '\r'], "");
    RawValue::from_string(joined).map_err(ser::Error::custom)?.serialize(serializer)
}

/// Whether the bytes are a value of JSON.
pub(crate) fn is_json(data: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(data).is_ok()
}

/// Takes the bytes of whatever value stands there; `null` is nothing.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(if raw.get() == "null" { Bytes::new() } else { Bytes::from(String::from(Box::<str>::from(raw))) })
}

/// Bytes that stand in JSON as a string: the frame inside an emulated command.
pub(crate) mod string {
    use super::{Bytes, Deserialize, Deserializer, Serializer, de, ser};

    /// Writes the bytes as a string.
    pub(crate) fn serialize<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(data).map_err(ser::Error::custom)?)
    }

    /// Takes the bytes of a string.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer).map_err(de::Error::custom)?;
        Ok(Bytes::from(text))
    }
}
