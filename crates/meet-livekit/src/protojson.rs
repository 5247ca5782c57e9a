//! The JSON of Protobuf messages where it differs from serde's: `null` and absent are the default, 64-bit integers are
//! text, integers may be text, enums are names or numbers, and an unknown name is as if nothing were said.

use serde::{Deserialize, Deserializer, de::Error};

/// An enum of the protocol: each value with its number and its name.
pub(crate) trait Named: Copy + Default + PartialEq + 'static {
    /// All of them; what is not listed reads as the default.
    const NAMES: &'static [(i64, &'static str, Self)];

    /// The name, in capitals.
    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, _, value)| *value == self).map_or("", |(_, name, _)| name)
    }

    /// The value of a name in any case.
    fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(_, _, value)| *value)
    }

    /// The value of a number.
    fn by_number(number: i64) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _, _)| *known == number).map(|(_, _, value)| *value)
    }
}

/// Reads a value that may be `null`.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// A number in either of its forms, or the name of an enum.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(i64),
    Text(String),
}

/// Reads an integer of any width.
pub(crate) fn integer<'de, D: Deserializer<'de>, T: Default + TryFrom<i64>>(from: D) -> Result<T, D::Error> {
    let number = match Option::<Scalar>::deserialize(from)? {
        None => return Ok(T::default()),
        Some(Scalar::Number(number)) => number,
        Some(Scalar::Text(text)) => text.parse().map_err(|_| D::Error::custom("not an integer"))?,
    };
    T::try_from(number).map_err(|_| D::Error::custom("an integer out of its range"))
}

/// A point in time as a 64-bit integer, which is written as text.
pub(crate) mod seconds {
    use serde::{Deserializer, Serializer};

    use crate::UnixSeconds;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn serialize<S: Serializer>(time: &UnixSeconds, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&time.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixSeconds, D::Error> {
        super::integer(from)
    }
}

/// A point in time of which 0 says that there is none.
pub(crate) mod optional_seconds {
    use serde::{Deserializer, Serializer};

    use crate::UnixSeconds;

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(crate) fn serialize<S: Serializer>(time: &Option<UnixSeconds>, to: S) -> Result<S::Ok, S::Error> {
        super::seconds::serialize(&time.unwrap_or_default(), to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UnixSeconds>, D::Error> {
        let time: UnixSeconds = super::integer(from)?;
        Ok((time != UnixSeconds::default()).then_some(time))
    }
}

/// An enum as Protobuf's JSON has it: its name in capitals.
pub(crate) mod named {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Named, Scalar};

    pub(crate) fn serialize<S: Serializer, T: Named>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Named>(from: D) -> Result<T, D::Error> {
        let value = match Option::<Scalar>::deserialize(from)? {
            None => None,
            Some(Scalar::Number(number)) => T::by_number(number),
            Some(Scalar::Text(name)) => T::by_name(&name),
        };
        Ok(value.unwrap_or_default())
    }
}

/// An enum as tokens have it: its name in small letters.
pub(crate) mod lower {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Named;

    pub(crate) fn serialize<S: Serializer, T: Named>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.name().to_ascii_lowercase())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Named>(from: D) -> Result<T, D::Error> {
        let name = Option::<String>::deserialize(from)?;
        Ok(name.as_deref().and_then(T::by_name).unwrap_or_default())
    }
}
