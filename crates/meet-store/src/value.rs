//! Values on their way into statements and out of rows, the same for both drivers.
//!
//! Ids, texts and whole numbers only: times are milliseconds, flags are 0 and 1, digests are
//! hexadecimal. What a driver can do beyond that is not used.

use std::{error::Error, str::FromStr};

use bytes::BytesMut;
use meet_api::{
    ChosenStatus, InviteId, Kind, Media, MessageId, Role, RoomId, SessionId, TenantId, Timestamp, UserId, Visibility,
};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::{Digest, StoreError, keys::TenantKind};

/// One parameter of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Param<'a> {
    /// SQL's NULL.
    Null,
    /// A whole number, a time or a flag.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// An id, written in its canonical form.
    Id(Uuid),
    /// A digest, written in hexadecimal.
    Digest(&'a [u8; 32]),
    /// The words of a text: Postgres only.
    Words(&'a [String]),
}

/// What can stand as a parameter.
pub(crate) trait Bind<'a> {
    /// The value as a parameter.
    fn param(self) -> Param<'a>;
}

/// Makes the parameters of a statement, in the order of their numbers.
macro_rules! params {
    ($($value:expr),* $(,)?) => { [$($crate::value::Bind::param($value)),*] };
}
pub(crate) use params;

impl<'a, T: Bind<'a>> Bind<'a> for Option<T> {
    fn param(self) -> Param<'a> {
        self.map_or(Param::Null, Bind::param)
    }
}

impl<'a, T> Bind<'a> for &'a Option<T>
where
    &'a T: Bind<'a>,
{
    fn param(self) -> Param<'a> {
        self.as_ref().param()
    }
}

/// Values that are copied, and references to them.
macro_rules! copied {
    ($($type:ty: $value:ident => $param:expr),* $(,)?) => {$(
        impl<'a> Bind<'a> for $type {
            fn param(self) -> Param<'a> {
                let $value = self;
                $param
            }
        }

        impl<'a> Bind<'a> for &$type {
            fn param(self) -> Param<'a> {
                (*self).param()
            }
        }
    )*};
}

/// Values that are borrowed.
macro_rules! borrowed {
    ($($type:ty: $value:ident => $param:expr),* $(,)?) => {$(
        impl<'a> Bind<'a> for &'a $type {
            fn param(self) -> Param<'a> {
                let $value = self;
                $param
            }
        }
    )*};
}

copied! {
    i64: number => Param::Int(number),
    u64: number => Param::Int(i64::try_from(number).unwrap_or(i64::MAX)),
    u32: number => Param::Int(i64::from(number)),
    bool: flag => Param::Int(i64::from(flag)),
    Timestamp: time => Param::Int(time.millis()),
    TenantId: id => Param::Id(id.uuid()),
    RoomId: id => Param::Id(id.uuid()),
    MessageId: id => Param::Id(id.uuid()),
    UserId: id => Param::Id(id.uuid()),
    SessionId: id => Param::Id(id.uuid()),
    InviteId: id => Param::Id(id.uuid()),
    Kind: word => Param::Text(word.as_str()),
    Role: word => Param::Text(word.as_str()),
    ChosenStatus: word => Param::Text(word.as_str()),
    Visibility: word => Param::Text(word.as_str()),
    Media: word => Param::Text(word.as_str()),
    TenantKind: word => Param::Text(word.as_str()),
}

borrowed! {
    str: text => Param::Text(text),
    String: text => Param::Text(text),
    Digest: digest => Param::Digest(&digest.0),
    Value: value => match value {
        Value::Integer(number) => Param::Int(*number),
        Value::Text(text) => Param::Text(text),
        _ => Param::Null,
    },
}

/// Writes a digest in hexadecimal.
fn hex<'b>(digest: &[u8; 32], buffer: &'b mut [u8; 64]) -> &'b [u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in buffer.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    buffer
}

impl Param<'_> {
    /// Binds the parameter to a place of an SQLite statement.
    pub(crate) fn bind(&self, statement: &mut rusqlite::Statement<'_>, place: usize) -> rusqlite::Result<()> {
        let text = |bytes| ToSqlOutput::Borrowed(ValueRef::Text(bytes));
        match self {
            Self::Null | Self::Words(_) => statement.raw_bind_parameter(place, rusqlite::types::Null),
            Self::Int(number) => statement.raw_bind_parameter(place, number),
            Self::Text(value) => statement.raw_bind_parameter(place, text(value.as_bytes())),
            Self::Id(id) => {
                let mut buffer = Uuid::encode_buffer();
                let id = id.hyphenated().encode_lower(&mut buffer);
                statement.raw_bind_parameter(place, text(id.as_bytes()))
            }
            Self::Digest(digest) => statement.raw_bind_parameter(place, text(hex(digest, &mut [0; 64]))),
        }
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Int(number) if *kind == Type::INT8 => return number.to_sql(kind, out),
            Self::Text(text) if *kind == Type::TEXT => return text.to_sql(kind, out),
            Self::Id(id) if *kind == Type::TEXT => {
                out.extend_from_slice(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
            }
            Self::Digest(digest) if *kind == Type::TEXT => out.extend_from_slice(hex(digest, &mut [0; 64])),
            Self::Words(words) if *kind == Type::TEXT_ARRAY => return words.to_sql(kind, out),
            _ => return Err(format!("a parameter of another type than the statement's {kind}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// One row of an answer, read where it stands.
pub(crate) enum Row<'r> {
    /// A row of SQLite.
    Sqlite(&'r rusqlite::Row<'r>),
    /// A row of Postgres.
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// A text.
    pub(crate) fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.text_or_null(column)?.ok_or(StoreError::Unreadable { what: "text" })
    }

    /// A text that may be absent.
    pub(crate) fn text_or_null(&self, column: usize) -> Result<Option<&str>, StoreError> {
        match self {
            Self::Sqlite(row) => {
                row.get_ref(column)?.as_str_or_null().map_err(|_| StoreError::Unreadable { what: "text" })
            }
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// A whole number.
    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.int_or_null(column)?.ok_or(StoreError::Unreadable { what: "number" })
    }

    /// A whole number that may be absent.
    pub(crate) fn int_or_null(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => {
                row.get_ref(column)?.as_i64_or_null().map_err(|_| StoreError::Unreadable { what: "number" })
            }
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// A number that counts something.
    pub(crate) fn count(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| StoreError::Unreadable { what: "count" })
    }

    /// A number that counts something, if there is one.
    pub(crate) fn count_or_null(&self, column: usize) -> Result<Option<u64>, StoreError> {
        let number = self.int_or_null(column)?;
        number.map(|number| u64::try_from(number).map_err(|_| StoreError::Unreadable { what: "count" })).transpose()
    }

    /// A flag.
    pub(crate) fn flag(&self, column: usize) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    /// A time.
    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_millis)
    }

    /// A time that may be absent.
    pub(crate) fn time_or_null(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_or_null(column)?.map(Timestamp::from_millis))
    }

    /// An id.
    pub(crate) fn id<T: FromStr>(&self, column: usize) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| StoreError::Unreadable { what: "id" })
    }

    /// An id that may be absent.
    pub(crate) fn id_or_null<T: FromStr>(&self, column: usize) -> Result<Option<T>, StoreError> {
        let text = self.text_or_null(column)?;
        text.map(|text| text.parse().map_err(|_| StoreError::Unreadable { what: "id" })).transpose()
    }

    /// One of the words of `read`.
    pub(crate) fn word<T>(&self, column: usize, read: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        read(self.text(column)?).ok_or(StoreError::Unreadable { what: "word" })
    }

    /// Whatever stands there, for copying a table.
    pub(crate) fn value(&self, column: usize) -> Result<Value, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) if *row.columns()[column].type_() == Type::INT8 => {
                Ok(row.try_get::<_, Option<i64>>(column)?.map_or(Value::Null, Value::Integer))
            }
            Self::Postgres(row) => Ok(row.try_get::<_, Option<String>>(column)?.map_or(Value::Null, Value::Text)),
        }
    }
}
