//! The steps end in the shipped schema, and a filled file goes through them without loss.

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::store::testing::{linked, orders};
use crate::store::{Store, StoreError};

/// Everything that a schema is made of, except the spelling of white space.
fn shape(conn: &Connection) -> Vec<(String, String, String)> {
    let mut statement =
        conn.prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name").unwrap();
    statement
        .query_map([], |row| {
            let sql: String = row.get(2)?;
            Ok((row.get(0)?, row.get(1)?, sql.split_whitespace().collect::<Vec<_>>().join(" ")))
        })
        .unwrap()
        .map(|row| row.unwrap())
        .collect()
}

#[test]
fn the_steps_end_in_the_shipped_schema() {
    let shipped = Connection::open_in_memory().unwrap();
    shipped.execute_batch(SCHEMA).unwrap();
    let mut stepped = Connection::open_in_memory().unwrap();
    bring_up(&mut stepped, Path::new("x")).unwrap();
    let (shipped, stepped) = (shape(&shipped), shape(&stepped));
    assert!(shipped.iter().any(|(kind, name, _)| (kind.as_str(), name.as_str()) == ("view", "problems")));
    for (one, other) in shipped.iter().zip(&stepped) {
        assert_eq!(one, other);
    }
    assert_eq!(shipped.len(), stepped.len());
}

#[test]
fn a_filled_file_of_an_older_version_is_upgraded_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    {
        let mut store = Store::open(&path).unwrap();
        store
            .transact(|store| {
                let streams = orders(store);
                for number in 0..50 {
                    linked(store, streams, &format!("r{number}"));
                }
                Ok(())
            })
            .unwrap();
    }
    let more = [
        STEPS,
        &["ALTER TABLE link ADD COLUMN note TEXT NOT NULL DEFAULT 'none'; UPDATE link SET note = 'old'"],
        &["CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT"],
    ]
    .concat();
    let mut conn = Connection::open(&path).unwrap();
    run_steps(&mut conn, &path, &more).unwrap();
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("PRAGMA user_version"), i64::try_from(more.len()).unwrap());
    assert_eq!(count("SELECT count(*) FROM link WHERE note = 'old'"), 50);
    assert_eq!(count("SELECT count(*) FROM record"), 100);
    assert_eq!(count("SELECT count(*) FROM change WHERE kind = 'created'"), 100);
    assert_eq!(count("SELECT count(*) FROM later"), 0);
    // A second start finds nothing to do.
    run_steps(&mut conn, &path, &more).unwrap();
    drop(conn);

    // The older program refuses the newer file, for reading too, and says what to do.
    for refused in [Store::open(&path).map(drop), Store::open_readonly(&path).map(drop)] {
        match refused {
            Err(StoreError::Open { why, .. }) => {
                assert!(why.contains("install the newer tallysync"), "{why}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_step_that_fails_leaves_the_file_as_before_it() {
    let mut conn = Connection::open_in_memory().unwrap();
    bring_up(&mut conn, Path::new("x")).unwrap();
    let before = shape(&conn);
    let broken = [STEPS, &["CREATE TABLE half (id INTEGER); INSERT INTO no_such_table VALUES (1)"]].concat();
    run_steps(&mut conn, Path::new("x"), &broken).unwrap_err();
    assert_eq!(shape(&conn), before);
    assert_eq!(check_version(&conn, Path::new("x")).unwrap(), newest(STEPS));
}
