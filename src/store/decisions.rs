//! Per link and field: the agreed value, and per member the base. Values cross this border as JSON.

use jiff::Timestamp;
use rusqlite::params;
use serde_json::Value as Json;

use super::{Result, Store, StoreError, time_opt, time_text};

/// The agreed value of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct AgreedRow {
    /// The field's name.
    pub field: String,
    /// Counts decisions, from 1.
    pub number: u64,
    /// The value, stored form.
    pub value: Json,
    /// Names of the sides whose change made it.
    pub origin: Vec<String>,
    /// Their record's stamp then.
    pub stamp: Option<Timestamp>,
}

/// The base of one member and field.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseRow {
    /// The side's name.
    pub side: String,
    /// The field's name.
    pub field: String,
    /// The value, stored form.
    pub value: Json,
    /// The agreed value that it stands for.
    pub stands: u64,
    /// The lens it was made under.
    pub lens: String,
}

fn json(what: &str, text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|e| StoreError::Damaged(what.into(), e.to_string()))
}

fn number(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

impl Store {
    /// The agreed values of a link.
    ///
    /// # Errors
    /// When the state file cannot be used or a row is damaged.
    pub fn agreed(&self, link: i64) -> Result<Vec<AgreedRow>> {
        let rows = self.all(
            "SELECT field, number, value, origin, stamp FROM agreed WHERE link = ?1",
            [link],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, Option<String>>(4)?,
                ))
            },
        )?;
        rows.into_iter()
            .map(|(field, n, value, origin, stamp)| {
                Ok(AgreedRow {
                    value: json("agreed.value", &value)?,
                    field,
                    number: number(n),
                    origin: origin.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
                    stamp: time_opt(stamp)?,
                })
            })
            .collect()
    }

    /// Stores the agreed value of a field; nothing is written when it is the one that stands there.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_agreed(&self, link: i64, row: &AgreedRow, rule: &str, at: Timestamp) -> Result<()> {
        self.run(
            "INSERT INTO agreed (link, field, number, value, origin, stamp, rule, decided_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (link, field) DO UPDATE SET number = excluded.number, \
             value = excluded.value, origin = excluded.origin, stamp = excluded.stamp, rule = excluded.rule, \
             decided_at = excluded.decided_at \
             WHERE agreed.number <> excluded.number OR agreed.value <> excluded.value",
            params![
                link,
                row.field,
                i64::try_from(row.number).unwrap_or(i64::MAX),
                row.value.to_string(),
                row.origin.join(","),
                row.stamp.map(time_text),
                rule,
                time_text(at)
            ],
        )?;
        Ok(())
    }

    /// How the agreed value of a field was decided, in one sentence.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn agreed_rule(&self, link: i64, field: &str) -> Result<Option<String>> {
        let sql = "SELECT rule FROM agreed WHERE link = ?1 AND field = ?2";
        self.maybe(sql, params![link, field], |row| row.get(0))
    }

    /// The bases of a link's members.
    ///
    /// # Errors
    /// When the state file cannot be used or a row is damaged.
    pub fn bases(&self, link: i64) -> Result<Vec<BaseRow>> {
        let rows =
            self.all("SELECT side, field, value, stands, lens FROM base WHERE link = ?1", [link], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, i64>(3)?,
                    row.get::<_, String>(4)?,
                ))
            })?;
        rows.into_iter()
            .map(|(side, field, value, stands, lens)| {
                Ok(BaseRow { value: json("base.value", &value)?, side, field, stands: number(stands), lens })
            })
            .collect()
    }

    /// Stores the base of a member and field; nothing is written when it is the one that stands there.
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn set_base(&self, link: i64, row: &BaseRow, at: Timestamp) -> Result<()> {
        self.run(
            "INSERT INTO base (link, side, field, value, stands, lens, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (link, side, field) DO UPDATE SET value = excluded.value, stands = excluded.stands, \
             lens = excluded.lens, at = excluded.at \
             WHERE base.value <> excluded.value OR base.stands <> excluded.stands OR base.lens <> excluded.lens",
            params![
                link,
                row.side,
                row.field,
                row.value.to_string(),
                i64::try_from(row.stands).unwrap_or(i64::MAX),
                row.lens,
                time_text(at)
            ],
        )?;
        Ok(())
    }

    /// No base of any link is trusted any more: the state file is older than the systems' view (P14).
    ///
    /// # Errors
    /// When the state file cannot be used.
    pub fn distrust_bases(&self) -> Result<()> {
        self.run("UPDATE base SET lens = ''", [])?;
        Ok(())
    }
}
