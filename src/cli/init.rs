//! `init`: writes a first `sync.toml`, from a few answers or from `--from`. It never writes over a file.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use super::args::Global;
use super::connectors::{catalog, unknown};
use super::output::print;
use super::{FINE, Failed, Outcome};
use crate::config::{load_text, starter};

/// What `starter` writes where only the user knows better.
const ORGANIZATION: &str = "0123456789abcdef0123456789abcdef";
const TEMPLATE: &str = "Order approval";

/// What a person answered; empty: leave the placeholder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    connectors: Vec<String>,
    organization: String,
    template: String,
}

/// `init [--from CONNECTOR]... [--output FILE]`.
pub fn init(global: &Global, from: Vec<String>, output: &Path) -> Outcome {
    if output.exists() {
        let text = format!("{} exists already; it is left alone (--output names another)", output.display());
        return Err(Failed::config(text));
    }
    let catalog = catalog(global)?;
    let known: Vec<String> = catalog.all().map(|definition| definition.connector.id.clone()).collect();
    let is_known = |name: &str| name == "tallyfy" || catalog.get(name).is_some();
    let answers = if from.is_empty() {
        if !std::io::stdin().is_terminal() {
            return Err(Failed::config(format!(
                "nobody can be asked here; say --from CONNECTOR, once per system: {}",
                known.join(", ")
            )));
        }
        questions(&mut std::io::stdin().lock(), &mut std::io::stdout(), &known)
            .map_err(|error| Failed::new(format!("no answer: {error}")))?
    } else {
        Answers { connectors: from, ..Answers::default() }
    };
    if let Some(name) = answers.connectors.iter().find(|name| !is_known(name)) {
        return Err(Failed::config(unknown(name, &catalog)));
    }
    let text = fill(&answers);
    load_text(output, &text, std::iter::empty(), &[])
        .map_err(|problems| Failed::new(format!("these answers make no sound config:\n{problems}")))?;
    write_new(output, &text)
        .map_err(|error| Failed::new(format!("{} cannot be written: {error}", output.display())))?;
    print(&format!(
        "{} is written. Go through it from top to bottom, then: tallysync --config {} check\n",
        output.display(),
        output.display()
    ));
    Ok(FINE)
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn questions(
    input: &mut impl BufRead,
    output: &mut impl Write,
    known: &[String],
) -> std::io::Result<Answers> {
    let mut question = |text: &str| -> std::io::Result<String> {
        write!(output, "{text}: ")?;
        output.flush()?;
        let mut answer = String::new();
        if input.read_line(&mut answer)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.trim().to_owned())
    };
    let names =
        question(&format!("Which systems besides Tallyfy, separated by commas ({})", known.join(", ")))?;
    let organization = question("Tallyfy organization id (Settings > Organization; empty: later)")?;
    let template = question(&format!("Title of the Tallyfy template (empty: {TEMPLATE})"))?;
    let connectors = names.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(Answers { connectors, organization, template })
}

fn fill(answers: &Answers) -> String {
    let connectors: Vec<&str> = answers.connectors.iter().map(String::as_str).collect();
    let mut text = starter(&connectors);
    for (placeholder, answer) in [(ORGANIZATION, &answers.organization), (TEMPLATE, &answers.template)] {
        if !answer.is_empty() {
            // The quoted text, so that a quote in the answer stays part of it.
            let quoted = toml::Value::String(answer.clone()).to_string();
            text = text.replacen(&format!("\"{placeholder}\""), &quoted, 1);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> crate::config::model::Config {
        load_text(Path::new("/nowhere/sync.toml"), text, std::iter::empty(), &[])
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    #[test]
    fn answers_find_their_places() {
        let mut asked = Vec::new();
        let input = "netsuite, salesforce\nabc\"def\nMy \\ \"order\"\n";
        let answers = questions(&mut input.as_bytes(), &mut asked, &["netsuite".to_owned()]).unwrap();
        assert_eq!(answers.connectors, ["netsuite", "salesforce"]);
        assert!(String::from_utf8(asked).unwrap().contains("(netsuite)"));
        let config = load(&fill(&answers));
        assert_eq!(config.systems["tallyfy"].organization.as_deref(), Some("abc\"def"));
        assert_eq!(config.syncs[0].sides[2].template.as_deref(), Some("My \\ \"order\""));
    }

    #[test]
    fn the_placeholders_are_those_of_the_starter() {
        let text = starter(&["netsuite"]);
        assert!(text.contains(&format!("\"{ORGANIZATION}\"")));
        assert!(text.contains(&format!("\"{TEMPLATE}\"")));
    }

    #[test]
    fn an_ended_input_is_no_answer() {
        assert!(questions(&mut "netsuite\n".as_bytes(), &mut Vec::new(), &[]).is_err());
    }

    #[test]
    fn a_file_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sync.toml");
        let global =
            Global { config: Some(folder.path().join("none")), state: None, json: false, verbose: 0 };
        assert_eq!(init(&global, vec!["salesforce".into()], &path), Ok(FINE));
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(load(&written).systems.len(), 2);
        assert_eq!(init(&global, vec!["netsuite".into()], &path).unwrap_err().code, 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
        let other = folder.path().join("other.toml");
        let refused = init(&global, vec!["netsiute".into()], &other).unwrap_err();
        assert!(refused.text.contains("netsuite"), "{}", refused.text);
        assert!(!other.exists());
    }
}
