//! What a story changes about the usual config. Plain text lines; the world puts them together.

use std::collections::BTreeMap;
use std::path::Path;

use super::cast::Actor;
use super::world::{SIDES, SYNC};

/// What a story changes about the usual config.
#[derive(Clone)]
pub struct Setup {
    /// Lines of `[[sync]]`.
    pub sync: Vec<String>,
    /// Lines of a side, by its name.
    pub sides: BTreeMap<String, Vec<String>>,
    /// Name and options of every field.
    pub fields: Vec<(String, String)>,
    /// Lines of `[sync.guard]`.
    pub guard: Vec<String>,
    /// Sides that lack a field, by its name.
    pub lacking: BTreeMap<String, Vec<String>>,
    /// Sides that the sync does not have now.
    pub absent: Vec<String>,
    /// Whole tables before the sync: syncs that it refers to.
    pub before: String,
    /// `auth` of a side's system, where it is not the personal token of its actor.
    pub auth: BTreeMap<String, String>,
}

impl Default for Setup {
    fn default() -> Setup {
        let fields = [
            ("order_no", "key = true"),
            ("amount", "type = \"decimal(2)\""),
            ("ship_date", "type = \"date\""),
            ("memo", ""),
        ];
        Setup {
            sync: Vec::new(),
            sides: BTreeMap::new(),
            fields: fields.map(|(name, options)| (name.to_owned(), options.to_owned())).into(),
            guard: Vec::new(),
            lacking: BTreeMap::new(),
            absent: Vec::new(),
            before: String::new(),
            auth: BTreeMap::new(),
        }
        .side("tallyfy", "create = [\"erp\"]")
        .side("crm", "create = [\"erp\"]")
    }
}

impl Setup {
    /// One more line of `[[sync]]`.
    pub fn sync(mut self, line: &str) -> Setup {
        self.sync.push(line.to_owned());
        self
    }

    /// One more line of a side.
    pub fn side(mut self, side: &str, line: &str) -> Setup {
        self.sides.entry(side.to_owned()).or_default().push(line.to_owned());
        self
    }

    /// The options of a field, which is added when it is not there.
    pub fn field(mut self, name: &str, options: &str) -> Setup {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => options.clone_into(known),
            None => self.fields.push((name.to_owned(), options.to_owned())),
        }
        self
    }

    /// A side that has no such field.
    pub fn lacks(mut self, side: &str, field: &str) -> Setup {
        self.lacking.entry(field.to_owned()).or_default().push(side.to_owned());
        self
    }

    /// The sync has no such side.
    pub fn without_side(mut self, side: &str) -> Setup {
        self.absent.push(side.to_owned());
        self
    }

    /// Another sync, which this one refers to.
    pub fn before(mut self, tables: &str) -> Setup {
        self.before += tables;
        self
    }

    /// One more line of `[sync.guard]`.
    pub fn guard(mut self, line: &str) -> Setup {
        self.guard.push(line.to_owned());
        self
    }

    /// No counterpart is ever made.
    pub fn without_creates(mut self) -> Setup {
        for lines in self.sides.values_mut() {
            lines.retain(|line| !line.starts_with("create"));
        }
        self
    }

    /// The config of this setup for a cast that is reached at these addresses. Tokens and the state file stand
    /// in the folder.
    pub fn config_text(
        &self,
        cast: &[Actor],
        addresses: &[&str],
        folder: &Path,
        epoch: Option<&Path>,
    ) -> String {
        let mut text = format!("[state]\npath = \"{}/state.db\"\n", folder.display());
        if let Some(epoch) = epoch {
            text += &format!("epoch = \"{}\"\n", epoch.display());
        }
        for ((name, actor), address) in SIDES.iter().zip(cast).zip(addresses) {
            let token = folder.join(format!("{name}.token"));
            std::fs::write(&token, actor.token()).expect("the token is stored");
            text += &format!(
                "[systems.{name}]\n{}base_url = \"{address}\"\nbudget = {{ per_minute = 100000 }}\n\
                 auth = {}\n",
                actor.system(),
                self.auth.get(*name).cloned().unwrap_or_else(|| format!(
                    "{{ kind = \"token\", token = {{ file = \"{}\" }} }}",
                    token.display()
                ))
            );
        }
        text += &self.before;
        text += &format!("[[sync]]\nname = \"{SYNC}\"\n{}\n", self.sync.join("\n"));
        for (name, actor) in SIDES.iter().zip(cast) {
            let lines = self.sides.get(*name).map(|lines| lines.join("\n")).unwrap_or_default();
            text += &format!("[sync.sides.{name}]\n{}{lines}\n", actor.side());
        }
        for (field, options) in &self.fields {
            text += &format!("[sync.fields.{field}]\n{options}\n");
            for (name, actor) in SIDES.iter().zip(cast) {
                let has_own = options.lines().any(|line| line.trim_start().starts_with(&format!("{name} =")));
                let lacks =
                    self.lacking.get(field).is_some_and(|sides| sides.iter().any(|side| side == name));
                if !has_own && !lacks {
                    text += &format!("{name} = \"{}\"\n", actor.path(field));
                }
            }
        }
        if !self.guard.is_empty() {
            text += &format!("[sync.guard]\n{}\n", self.guard.join("\n"));
        }
        text
    }
}
