//! The one small interface that every operation is written over: statements in, rows out.
//!
//! It knows no tables, opens no transactions and picks no connection; the drivers do.

use deadpool_postgres::{Client, Transaction};
use futures_util::future::{BoxFuture, try_join_all};
use rusqlite::Connection;
use tokio_postgres::{Statement, types::ToSql};

use crate::{
    StoreError,
    value::{Param, Row},
};

/// An operation: a plain function of a connection and its input, so that a driver can run it where
/// the connection lives, and again when the database asks for that.
pub(crate) type Operation<I, T> = for<'c, 'd> fn(&'c mut Conn<'d>, &'c I) -> BoxFuture<'c, Result<T, StoreError>>;

/// How many rows are fetched at once by those who may have enough before the last one.
const FETCH: i32 = 64;

/// A connection in the midst of an operation.
pub(crate) enum Conn<'d> {
    /// SQLite, on a thread that may block.
    Sqlite(&'d mut Connection),
    /// Postgres, each statement by itself.
    Client(&'d Client),
    /// Postgres, inside a transaction.
    Transaction(&'d Transaction<'d>),
}

/// Runs the same expression on a client and on a transaction of Postgres.
macro_rules! postgres {
    ($conn:expr, $sqlite:ident => $local:expr, $client:ident => $remote:expr) => {
        match $conn {
            Conn::Sqlite($sqlite) => $local,
            Conn::Client(client) => {
                let $client = &**client;
                $remote
            }
            Conn::Transaction(transaction) => {
                let $client = &**transaction;
                $remote
            }
        }
    };
}

/// A function that reads a row.
pub(crate) trait Read<T>: FnMut(&Row<'_>) -> Result<T, StoreError> + Send {}
impl<T, F: FnMut(&Row<'_>) -> Result<T, StoreError> + Send> Read<T> for F {}

impl Conn<'_> {
    /// Whether the database is SQLite, for the few statements that have a dialect.
    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// All rows of a query.
    pub(crate) async fn rows<T: Send>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        mut read: impl Read<T>,
    ) -> Result<Vec<T>, StoreError> {
        postgres!(self, conn => sqlite_rows(conn, sql, params, usize::MAX, &mut read), client => {
            let statement = client.prepare_cached(sql).await?;
            let rows = client.query(&statement, &references(params)).await?;
            rows.iter().map(|row| read(&Row::Postgres(row))).collect()
        })
    }

    /// The rows of a query, one after another, until `read` says that it has enough; on Postgres inside a
    /// transaction only, and some rows are fetched before it is asked.
    pub(crate) async fn rows_until(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        mut read: impl Read<bool>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(sql)?;
                bind(&mut statement, params)?;
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    if read(&Row::Sqlite(row))? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Client(_) => Err(StoreError::internal("rows are read one by one outside a transaction")),
            Self::Transaction(transaction) => {
                let statement = transaction.prepare_cached(sql).await?;
                let portal = transaction.bind(&statement, &references(params)).await?;
                loop {
                    let rows = transaction.query_portal(&portal, FETCH).await?;
                    for row in &rows {
                        if read(&Row::Postgres(row))? {
                            return Ok(());
                        }
                    }
                    if rows.len() < FETCH as usize {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The first row of a query, if there is one.
    pub(crate) async fn one<T: Send>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        mut read: impl Read<T>,
    ) -> Result<Option<T>, StoreError> {
        postgres!(self, conn => Ok(sqlite_rows(conn, sql, params, 1, &mut read)?.pop()), client => {
            let statement = client.prepare_cached(sql).await?;
            let rows = client.query(&statement, &references(params)).await?;
            rows.first().map(|row| read(&Row::Postgres(row))).transpose()
        })
    }

    /// Runs a statement and tells how many rows it touched.
    pub(crate) async fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        postgres!(self, conn => sqlite_execute(conn, sql, params), client => {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.execute(&statement, &references(params)).await?)
        })
    }

    /// Runs a statement once for each set of parameters, in their order, without waiting for one
    /// answer before sending the next.
    pub(crate) async fn execute_many<'p, S: AsRef<[Param<'p>]> + Sync>(
        &mut self,
        sql: &str,
        sets: &[S],
    ) -> Result<u64, StoreError> {
        if sets.is_empty() {
            return Ok(0);
        }
        postgres!(self, conn => {
            let mut touched = 0;
            let mut statement = conn.prepare_cached(sql)?;
            for set in sets {
                bind(&mut statement, set.as_ref())?;
                touched += statement.raw_execute()? as u64;
            }
            Ok(touched)
        }, client => {
            let statement = client.prepare_cached(sql).await?;
            let statement: &Statement = &statement;
            let each = sets.iter().map(|set| async move { client.execute(statement, &references(set.as_ref())).await });
            Ok(try_join_all(each).await?.into_iter().sum())
        })
    }

    /// Runs a query once for each set of parameters, in their order, and gives the first row of each.
    pub(crate) async fn one_of_many<'p, S: AsRef<[Param<'p>]> + Sync, T: Send>(
        &mut self,
        sql: &str,
        sets: &[S],
        mut read: impl Read<T>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        postgres!(self, conn => {
            sets.iter().map(|set| Ok(sqlite_rows(conn, sql, set.as_ref(), 1, &mut read)?.pop())).collect()
        }, client => {
            let statement = client.prepare_cached(sql).await?;
            let statement: &Statement = &statement;
            let each = sets.iter().map(|set| async move { client.query(statement, &references(set.as_ref())).await });
            let answers = try_join_all(each).await?;
            answers.iter().map(|rows| rows.first().map(|row| read(&Row::Postgres(row))).transpose()).collect()
        })
    }
}

/// Parameters as the Postgres driver takes them.
fn references<'p>(params: &'p [Param<'p>]) -> Vec<&'p (dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

/// Binds `$N` to the N-th parameter: SQLite itself numbers `$N` by first appearance, so each place
/// is asked for its name.
fn bind(statement: &mut rusqlite::Statement<'_>, params: &[Param<'_>]) -> Result<(), StoreError> {
    for place in 1..=statement.parameter_count() {
        let number = statement.parameter_name(place).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let param = number.and_then(|number| params.get(number.checked_sub(1)?));
        param
            .ok_or_else(|| StoreError::internal("a statement has a parameter that was not given"))?
            .bind(statement, place)?;
    }
    Ok(())
}

/// Up to `most` rows of a query on SQLite.
fn sqlite_rows<T>(
    conn: &Connection,
    sql: &str,
    params: &[Param<'_>],
    most: usize,
    read: &mut impl Read<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    let mut rows = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        if all.len() < most {
            all.push(read(&Row::Sqlite(row))?);
        }
    }
    Ok(all)
}

/// Runs a statement on SQLite; one with `RETURNING` is run to its end as well.
fn sqlite_execute(conn: &Connection, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    Ok(statement.raw_execute()? as u64)
}
