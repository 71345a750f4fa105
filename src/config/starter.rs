//! The commented `sync.toml` that `init` writes for the chosen systems.
//!
//! It is a beginning, not a finished config: what only the user knows stands there as a plain placeholder,
//! and every secret by reference. It always loads without a problem.

use std::fmt::Write;

/// What is known about a connector in advance.
struct Known {
    id: &'static str,
    /// `erp` or `crm`.
    side: &'static str,
    /// The entity that an order is there.
    entity: &'static str,
    /// The lines of the system's section below `connector`.
    system: &'static str,
    /// Paths of order number, amount, date and memo; empty where the system has none.
    paths: [&'static str; 4],
}

const KNOWN: [Known; 3] = [
    Known {
        id: "netsuite",
        side: "erp",
        entity: "salesOrder",
        system: "vars = { account = \"1234567\", client_id = { env = \"NS_CLIENT_ID\" }, cert_id = { env = \"NS_CERT_ID\" }, private_key = { file = \"ns.pem\" } }",
        paths: ["tranId", "total", "shipDate", "memo"],
    },
    Known {
        id: "tryton",
        side: "erp",
        entity: "sale.sale",
        system: "base_url = \"https://erp.corp.example\"\nvars = { database = \"corp\", username = \"sync\", password = { env = \"TRYTON_PASSWORD\" } }",
        paths: ["number", "untaxed_amount", "sale_date", "description"],
    },
    Known {
        id: "salesforce",
        side: "crm",
        entity: "Opportunity",
        system: "vars = { client_id = { env = \"SF_CLIENT_ID\" }, username = \"sync@corp.example\", private_key = { file = \"sf.pem\" } }",
        paths: ["ERP_Order__c", "Amount", "CloseDate", "Description"],
    },
];

/// One chosen system on its way into the text.
struct Chosen {
    name: String,
    connector: String,
    entity: &'static str,
    system: &'static str,
    paths: [&'static str; 4],
}

/// The text of a commented `sync.toml` that keeps orders equal between Tallyfy and these connectors, by id.
/// A connector about which nothing is known in advance gets placeholders to fill in.
pub fn starter(connectors: &[&str]) -> String {
    let chosen = choose(connectors);
    let mut text = HEAD.to_owned();
    for side in &chosen {
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "[systems.{}]\nconnector = \"{}\"\n{}\n", side.name, side.connector, side.system);
    }
    text.push_str(SYNC);
    for side in &chosen {
        let _ = writeln!(text, "[sync.sides.{}]\nentity = \"{}\"\n", side.name, side.entity);
    }
    let creators: Vec<String> = chosen.iter().take(1).map(|side| format!("\"{}\"", side.name)).collect();
    text.push_str(&TALLYFY_SIDE.replace("CREATORS", &creators.join(", ")));
    for (place, (head, tallyfy)) in FIELDS.iter().enumerate() {
        let _ = write!(text, "\n{head}tallyfy = \"{tallyfy}\"\n");
        for side in &chosen {
            if let Some(path) = side.paths.get(place).filter(|path| !path.is_empty()) {
                let _ = writeln!(text, "{} = \"{path}\"", side.name);
            }
        }
    }
    text
}

fn choose(connectors: &[&str]) -> Vec<Chosen> {
    let mut chosen: Vec<Chosen> = Vec::new();
    for id in connectors.iter().filter(|id| **id != "tallyfy") {
        let known = KNOWN.iter().find(|known| known.id == *id);
        let wanted = known.map_or_else(|| id.replace('.', "-"), |known| known.side.to_owned());
        let taken = chosen.iter().any(|side| side.name == wanted);
        let name = if taken { format!("{wanted}-{}", chosen.len() + 1) } else { wanted };
        chosen.push(Chosen {
            name,
            connector: (*id).to_owned(),
            entity: known.map_or("ENTITY", |known| known.entity),
            system: known
                .map_or("# `tallysync connectors NAME` lists the vars it needs", |known| known.system),
            paths: known.map_or(["number", "amount", "date", "memo"], |known| known.paths),
        });
    }
    chosen
}

const HEAD: &str = r#"# sync.toml, written by `tallysync init`. Go through it from top to bottom, then run `tallysync check`.
# Nothing is written anywhere until you have seen the plan (`tallysync plan`) and accepted it.

[state]
path = "state.db"

[daemon]
timezone = "UTC"                  # the zone that schedules are read in

# Secrets never stand in this file, only their place: { env = "NAME" }, { file = "PATH" } or
# { credential = "NAME" } (systemd's credentials directory).

[systems.tallyfy]
connector    = "tallyfy"
base_url     = "https://go.tallyfy.com/api"
organization = "0123456789abcdef0123456789abcdef"   # Tallyfy: Settings > Organization > ID
auth         = { kind = "token", token = { env = "TALLYFY_TOKEN" } }
budget       = { per_minute = 100 }

"#;

const SYNC: &str = r#"[[sync]]
name     = "orders"
schedule = "*/5 * * * *"          # look for changes
sweep    = "0 3 * * *"            # complete listing: finds deletes and whatever was missed
settle   = "10s"                  # a changed record must stay unchanged this long before its change travels
# where  = "amount >= 10000"      # which records take part, over the fields below
first    = "ask"                  # fields that differ when records are first linked: a person decides

"#;

const TALLYFY_SIDE: &str = r#"[sync.sides.tallyfy]
entity   = "runs"
template = "Order approval"       # title, alias or id of your template
create   = [CREATORS]              # launch a run for each of its records that has none
defaults = { name = "Order {{ order_no }}" }
marker   = "kickoff.sync-id"      # a kick-off field of the template that nobody else uses
"#;

const FIELDS: [(&str, &str); 4] = [
    (
        "[sync.fields.order_no]\nkey = true                        # recognises the same thing on first sight\n",
        "kickoff.order-number",
    ),
    ("[sync.fields.amount]\ntype = \"decimal(2)\"\n", "kickoff.amount"),
    ("[sync.fields.ship_date]\ntype = \"date\"\n", "kickoff.ship-date"),
    (
        "[sync.fields.memo]                # no conflict rule: a person decides with `tallysync resolve`\n",
        "kickoff.memo",
    ),
];
