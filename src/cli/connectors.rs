//! `connectors`: the definitions that are built in or the user's own, and what each can guarantee.

use serde_json::{Value as Json, json};

use super::args::Global;
use super::output::{Look, print, print_json};
use super::place::read_config;
use super::{FINE, Failed, Outcome};
use crate::connector::api::Capabilities;
use crate::connector::card::{CardLine, card};
use crate::connector::definition::{Catalog, load_definitions};
use crate::connector::system::{Description, describe};

const TALLYFY: &str = "tallyfy";
/// How a description names the entities that it does not name.
const ANY: &str = "any";
/// What the numbers on a card are.
pub const PROMISES: &str = "P1 to P11 are the promises in docs/guarantees.md.";
const TALLYFY_NOTE: &str = "Tallyfy has its own adapter. Its section takes organization, auth (token, password, refresh or \
                            client_credentials), base_url, api (organizations or v1) and budget; see docs/connectors.md.";

/// `connectors [NAME]`.
pub fn connectors(global: &Global, look: Look, name: Option<&str>) -> Outcome {
    let catalog = catalog(global)?;
    let Some(name) = name else {
        let described = catalog.all().map(|definition| describe(definition));
        let all: Vec<Description> = std::iter::once(own_adapter()).chain(described).collect();
        if global.json {
            print_json(&Json::Array(all.iter().map(brief_json).collect()));
        } else {
            print(&list_text(look, &all));
        }
        return Ok(FINE);
    };
    if name == TALLYFY {
        if global.json {
            print_json(&full_json(&own_adapter()));
        } else {
            print(&full_text(look, &own_adapter()));
        }
        return Ok(FINE);
    }
    let definition = catalog.get(name).ok_or_else(|| Failed::config(unknown(name, &catalog)))?;
    let description = describe(definition);
    if global.json {
        print_json(&full_json(&description));
    } else {
        print(&full_text(look, &description));
    }
    Ok(FINE)
}

/// Tallyfy, which has an adapter of its own instead of a definition.
fn own_adapter() -> Description {
    let capabilities = crate::tallyfy::all_capabilities();
    Description {
        id: TALLYFY.to_owned(),
        title: "Tallyfy".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        note: Some(TALLYFY_NOTE.to_owned()),
        vars: Vec::new(),
        auth: ["token", "password", "refresh", "client_credentials"].map(str::to_owned).into(),
        entities: capabilities.iter().map(|(entity, _)| entity.clone()).collect(),
        any_entity: false,
        capabilities,
    }
}

/// What is built in and, where there is a sound config that names a folder, the user's own.
pub fn catalog(global: &Global) -> Result<Catalog, Failed> {
    let own = read_config(global).ok().and_then(|config| config.connectors_dir);
    load_definitions(own.as_deref()).map_err(|problems| Failed::config(problems.join("\n")))
}

/// What is said about a name that is no connector.
pub fn unknown(name: &str, catalog: &Catalog) -> String {
    let names: Vec<&str> = catalog.all().map(|definition| definition.connector.id.as_str()).collect();
    let near = names
        .iter()
        .chain(&[TALLYFY])
        .map(|known| (strsim::jaro_winkler(known, name), *known))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let hint = near.map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_else(|| ".".to_owned());
    format!("there is no connector {name:?}{hint} There are: {TALLYFY}, {}", names.join(", "))
}

fn entities(description: &Description) -> String {
    let mut names = description.entities.clone();
    if description.any_entity {
        names.push("any other by its name".to_owned());
    }
    names.join(", ")
}

fn list_text(look: Look, all: &[Description]) -> String {
    let rows = all.iter().map(|one| vec![one.id.clone(), one.title.clone(), entities(one)]);
    let table = look.table(&["connector", "title", "entities"], rows);
    format!("{table}\ntallysync connectors NAME shows its vars and guarantees\n")
}

fn brief_json(one: &Description) -> Json {
    json!({
        "id": one.id,
        "title": one.title,
        "version": one.version,
        "entities": one.entities,
        "any_entity": one.any_entity,
    })
}

fn full_json(one: &Description) -> Json {
    let vars: Vec<Json> = one
        .vars
        .iter()
        .map(|var| {
            json!({
                "name": var.name,
                "type": var.kind,
                "required": var.required,
                "default": var.default,
                "note": var.note,
            })
        })
        .collect();
    let guarantees: Vec<Json> = one
        .capabilities
        .iter()
        .map(|(entity, capabilities)| json!({ "entity": entity, "lines": lines_json(capabilities, &one.id, entity) }))
        .collect();
    json!({
        "id": one.id,
        "title": one.title,
        "version": one.version,
        "note": one.note,
        "auth": one.auth,
        "vars": vars,
        "entities": one.entities,
        "any_entity": one.any_entity,
        "guarantees": guarantees,
    })
}

fn lines_json(capabilities: &Capabilities, system: &str, entity: &str) -> Vec<Json> {
    card(capabilities, system, entity)
        .into_iter()
        .map(|line| json!({ "promise": line.promise, "level": line.level.word(), "text": line.text }))
        .collect()
}

fn full_text(look: Look, one: &Description) -> String {
    let made = if one.id == TALLYFY { "adapter" } else { "definition" };
    let mut text = format!("{}  ({made} {})\n", look.heading(&one.title), one.version);
    if let Some(note) = &one.note {
        text.push_str(&format!("{note}\n"));
    }
    text.push_str(&format!("\nentities: {}\nauth: {}\n", entities(one), one.auth.join(", ")));
    let vars = one.vars.iter().map(|var| {
        vec![
            var.name.clone(),
            var.kind.clone(),
            var.required.clone(),
            var.default.clone().unwrap_or_default(),
            var.note.clone().unwrap_or_default(),
        ]
    });
    if !one.vars.is_empty() {
        text.push('\n');
        text.push_str(&look.table(&["var", "type", "required", "default", "note"], vars));
    }
    text.push_str(&cards_text(look, &one.id, &one.capabilities));
    text
}

/// One card for all entities that can do the same.
fn cards_text(look: Look, id: &str, entities: &[(String, Capabilities)]) -> String {
    let mut groups: Vec<(Vec<String>, Vec<CardLine>)> = Vec::new();
    for (entity, capabilities) in entities {
        let lines = card(capabilities, id, "a record");
        let entity = if entity == ANY { "any other entity".to_owned() } else { entity.clone() };
        match groups.iter_mut().find(|(_, known)| *known == lines) {
            Some((names, _)) => names.push(entity),
            None => groups.push((vec![entity], lines)),
        }
    }
    let mut text = String::new();
    for (names, lines) in groups {
        let heading = format!("What is guaranteed for {}", names.join(", "));
        text.push_str(&format!("\n{}\n", look.heading(&heading)));
        for line in lines {
            // `a record` stands where a name would stand, also at the beginning.
            let said = match line.text.strip_prefix("a record") {
                Some(rest) => format!("A record{rest}"),
                None => line.text,
            };
            text.push_str(&format!("  {:3} {:12} {said}\n", line.promise, line.level.word()));
        }
    }
    text.push_str(&format!("\n{PROMISES}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_connector_can_be_shown() {
        let catalog = Catalog::built_in().unwrap();
        assert!(catalog.all().count() > 0);
        for definition in catalog.all() {
            let one = describe(definition);
            let text = full_text(Look::PLAIN, &one);
            assert!(text.contains("\nVAR "), "{text}");
            assert!(text.contains("What is guaranteed for "), "{}: no guarantee card\n{text}", one.id);
            assert_eq!(full_json(&one)["id"], json!(one.id));
        }
    }

    #[test]
    fn entities_that_can_do_the_same_share_a_card() {
        let catalog = Catalog::built_in().unwrap();
        let text = full_text(Look::PLAIN, &describe(catalog.get("netsuite").unwrap()));
        assert_eq!(text.matches("What is guaranteed for ").count(), 1, "{text}");
        assert!(text.contains("salesOrder, vendorBill, any other entity\n"), "{text}");
        let tallyfy = full_text(Look::PLAIN, &own_adapter());
        assert!(tallyfy.contains("What is guaranteed for runs\n"), "{tallyfy}");
        assert!(tallyfy.contains("guests"), "{tallyfy}");
    }

    #[test]
    fn a_name_that_is_near_none_ends_its_sentence() {
        let text = unknown("foo", &Catalog::built_in().unwrap());
        assert!(text.starts_with("there is no connector \"foo\". There are: tallyfy, "), "{text}");
    }

    #[test]
    fn a_mistyped_name_gets_a_hint() {
        let text = unknown("netsiute", &Catalog::built_in().unwrap());
        assert!(text.contains("did you mean \"netsuite\"?"), "{text}");
        assert!(text.contains("tallyfy, "), "{text}");
    }
}
