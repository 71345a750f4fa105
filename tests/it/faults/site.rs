//! A place where the real program works: a folder with its config and state file, and three twins on loopback
//! that the test process serves, in real time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use twins::kit::Running;

use crate::support::cast::{Actor, is_write};
use crate::support::process::Tallysync;
use crate::support::twins::serve;
use crate::support::world::SIDES;

/// Folder, config, state file, twins.
pub struct Site {
    /// Who plays each side, in the order of [`SIDES`].
    pub cast: Vec<Actor>,
    served: Vec<Running>,
    folder: tempfile::TempDir,
    fields: Vec<(&'static str, &'static str)>,
}

impl Site {
    /// Three Tallyfy organisations and these fields; nothing is accepted yet.
    pub fn new(fields: &[(&'static str, &'static str)]) -> Site {
        let cast = vec![Actor::tallyfy(11), Actor::tallyfy(22), Actor::tallyfy(33)];
        for actor in &cast {
            actor.hub().world().use_real_time();
        }
        let served = cast.iter().map(|actor| serve(actor.hub())).collect();
        let folder = tempfile::tempdir().expect("a folder for the program");
        let site = Site { cast, served, folder, fields: fields.to_vec() };
        site.write_config("");
        site
    }

    /// A site with the usual fields and one order in the ERP, accepted and linked everywhere.
    pub fn with_order() -> Site {
        let site = Site::new(&[("order_no", "key = true"), ("memo", "")]);
        site.add("erp", "SO-1", "hello");
        site.tallysync(["accept", "--all", "--yes"]).succeed();
        site.tallysync(["sync"]).succeed();
        for side in SIDES {
            assert_eq!(site.shows(side, "SO-1", "memo"), "hello", "{side}");
        }
        site
    }

    /// Writes the config, with these lines in `[[sync]]`.
    pub fn write_config(&self, lines: &str) {
        let mut text = String::from("[state]\npath = \"state/state.db\"\n");
        for ((name, actor), served) in SIDES.iter().zip(&self.cast).zip(&self.served) {
            let token = self.folder.path().join(format!("{name}.token"));
            std::fs::write(token, actor.token()).expect("the token is stored");
            text += &format!(
                "[systems.{name}]\n{}base_url = \"{}\"\nbudget = {{ per_minute = 100000 }}\n\
                 auth = {{ kind = \"token\", token = {{ file = \"{name}.token\" }} }}\n",
                actor.system(),
                served.base_url
            );
        }
        let schedule =
            if lines.contains("schedule") { "" } else { "schedule = \"* * * * *\"\nsettle = \"0s\"\n" };
        text += &format!("[[sync]]\nname = \"orders\"\n{schedule}{lines}\n");
        for (name, actor) in SIDES.iter().zip(&self.cast) {
            let create = if *name == "erp" { "" } else { "create = [\"erp\"]\nsearch_lag = \"1s\"\n" };
            text += &format!("[sync.sides.{name}]\n{}{create}", actor.side());
        }
        for (field, options) in &self.fields {
            text += &format!("[sync.fields.{field}]\n{options}\n");
            for (name, actor) in SIDES.iter().zip(&self.cast) {
                text += &format!("{name} = \"{}\"\n", actor.path(field));
            }
        }
        std::fs::write(self.path().join("sync.toml"), text).expect("the config is written");
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The state file.
    pub fn state(&self) -> PathBuf {
        self.path().join("state/state.db")
    }

    /// A command line in the folder.
    pub fn tallysync<const N: usize>(&self, words: [&str; N]) -> Tallysync {
        Tallysync::inside(self.path()).args(words)
    }

    /// Who plays a side.
    pub fn on(&self, side: &str) -> &Actor {
        let place = SIDES.iter().position(|name| *name == side);
        &self.cast[place.unwrap_or_else(|| panic!("there is no side {side}"))]
    }

    /// Somebody enters an order.
    pub fn add(&self, side: &str, number: &str, memo: &str) -> String {
        self.on(side).add(&[("order_no", Value::from(number)), ("memo", Value::from(memo))])
    }

    /// Ids of all records with that order number on a side.
    pub fn ids(&self, side: &str, number: &str) -> Vec<String> {
        let actor = self.on(side);
        actor.ids().into_iter().filter(|id| actor.shows(id, "order_no") == number).collect()
    }

    /// The only record with that order number on a side.
    pub fn id(&self, side: &str, number: &str) -> String {
        let mut ids = self.ids(side, number);
        assert_eq!(ids.len(), 1, "records of {number} in {side}: {ids:?}");
        ids.remove(0)
    }

    /// Somebody edits a field of an order.
    pub fn edit(&self, side: &str, number: &str, field: &str, value: &str) {
        self.on(side).edit(&self.id(side, number), field, Value::from(value));
    }

    /// What a side shows.
    pub fn shows(&self, side: &str, number: &str, field: &str) -> String {
        self.on(side).shows(&self.id(side, number), field)
    }

    /// Write requests so far, by side.
    pub fn writes(&self) -> BTreeMap<&'static str, usize> {
        let count = |actor: &Actor| actor.hub().world().requests().iter().filter(|r| is_write(r)).count();
        SIDES.iter().zip(&self.cast).map(|(side, actor)| (*side, count(actor))).collect()
    }

    /// What `sqlite3` would answer to a question with one column.
    pub fn ask(&self, sql: &str) -> Vec<String> {
        let path = self.state();
        let connection =
            rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = statement
            .query_map([], |row| {
                row.get::<_, rusqlite::types::Value>(0).map(|value| match value {
                    rusqlite::types::Value::Text(text) => text,
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    other => format!("{other:?}"),
                })
            })
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.map(|row| row.unwrap_or_else(|error| panic!("{sql}: {error}"))).collect()
    }

    /// The state file is sound in the eyes of SQLite.
    pub fn assert_sound(&self) {
        assert_eq!(self.ask("PRAGMA integrity_check"), ["ok"]);
        assert_eq!(self.ask("SELECT count(*) FROM pragma_foreign_key_check"), ["0"]);
    }
}
