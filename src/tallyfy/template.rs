//! A Tallyfy template: its kick-off fields, steps and form fields, and how a name finds one of them.
//!
//! Pure: reads the JSON of a template and answers questions about names. Nothing here fetches it.

use serde_json::Value as Json;

use super::json::{items, member, text, truthy, unwrap};
use super::shape::{Choice, Kind};

/// A template with everything that names can point to.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Stable over versions.
    pub id: String,
    /// For people.
    pub title: String,
    /// Fields of the kick-off form.
    pub kickoff: Vec<Field>,
    /// Steps in their order.
    pub steps: Vec<Step>,
}

/// A step; a task of a process is made from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Stable over versions; a task names it as `step_id`.
    pub id: String,
    /// Readable slug.
    pub alias: Option<String>,
    /// For people.
    pub title: String,
    /// Completing it needs a decision.
    pub approval: bool,
    /// Its place among the steps.
    pub place: usize,
    /// The fields of its form.
    pub fields: Vec<Field>,
}

/// A field of a kick-off form or of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Stable over versions; values are keyed by it.
    pub id: String,
    /// Readable slug.
    pub alias: Option<String>,
    /// For people.
    pub label: String,
    /// Its type.
    pub kind: Kind,
    /// A launch without it is refused.
    pub required: bool,
    /// Tallyfy fills it when nothing is sent.
    pub has_default: bool,
    /// The options of a choice.
    pub options: Vec<Choice>,
}

/// Something that can be named by id, alias or label.
pub trait Named {
    /// The id.
    fn id(&self) -> &str;
    /// The alias.
    fn alias(&self) -> Option<&str>;
    /// The label or title.
    fn label(&self) -> &str;
}

impl Named for Field {
    fn id(&self) -> &str {
        &self.id
    }
    fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }
    fn label(&self) -> &str {
        &self.label
    }
}

impl Named for Step {
    fn id(&self) -> &str {
        &self.id
    }
    fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }
    fn label(&self) -> &str {
        &self.title
    }
}

impl Template {
    /// Reads a template. `steps` come from the template's own answer or from its `/steps`.
    ///
    /// # Errors
    /// One sentence when the JSON is not a template.
    pub fn read(template: &Json, steps: &[Json]) -> Result<Self, String> {
        let template = unwrap(template);
        let id = text(template, "id").ok_or("the answer has no template id")?;
        Ok(Self {
            id,
            title: text(template, "title").unwrap_or_default(),
            kickoff: items(template.get("prerun")).iter().filter_map(Field::read).collect(),
            steps: steps.iter().enumerate().filter_map(|(place, step)| Step::read(place, step)).collect(),
        })
    }

    /// A field of the kick-off form.
    ///
    /// # Errors
    /// One sentence that names the template and the nearest valid names.
    pub fn kickoff_field(&self, name: &str) -> Result<&Field, String> {
        pick(name, &self.kickoff)
            .map_err(|miss| miss.say("kick-off field", name, &format!("the template `{}`", self.title)))
    }

    /// A step.
    ///
    /// # Errors
    /// As above.
    pub fn step(&self, name: &str) -> Result<&Step, String> {
        pick(name, &self.steps)
            .map_err(|miss| miss.say("step", name, &format!("the template `{}`", self.title)))
    }

    /// A field of the form of a step.
    ///
    /// # Errors
    /// As above.
    pub fn form_field(&self, step: &str, name: &str) -> Result<(&Step, &Field), String> {
        let step = self.step(step)?;
        pick(name, &step.fields).map(|field| (step, field)).map_err(|miss| {
            miss.say(
                "form field",
                name,
                &format!("the step `{}` of the template `{}`", step.title, self.title),
            )
        })
    }
}

impl Field {
    fn read(field: &Json) -> Option<Self> {
        Some(Self {
            id: text(field, "id")?,
            alias: text(field, "alias"),
            label: text(field, "label").unwrap_or_default(),
            kind: Kind::named(&text(field, "field_type").unwrap_or_default()),
            required: truthy(field.get("required")),
            has_default: truthy(field.get("default_value_enabled")),
            options: items(field.get("options"))
                .iter()
                .filter_map(|option| match option {
                    Json::Object(_) => Some(Choice {
                        id: member(option, "id").cloned().unwrap_or(Json::Null),
                        text: text(option, "text")?,
                    }),
                    bare => Some(Choice { id: Json::Null, text: super::json::scalar(bare)? }),
                })
                .collect(),
        })
    }
}

impl Step {
    fn read(place: usize, step: &Json) -> Option<Self> {
        Some(Self {
            place,
            id: text(step, "id")?,
            alias: text(step, "alias"),
            title: text(step, "title").unwrap_or_default(),
            approval: text(step, "step_type").is_some_and(|kind| kind == "approval"),
            fields: items(step.get("captures")).iter().filter_map(Field::read).collect(),
        })
    }
}

/// Why a name found nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// No such thing; the nearest names.
    Unknown(Vec<String>),
    /// Several; their ids.
    Several(Vec<String>),
}

impl Miss {
    /// The sentence for the user.
    pub fn say(&self, what: &str, name: &str, place: &str) -> String {
        match self {
            Self::Unknown(near) if near.is_empty() => {
                format!("there is no {what} `{name}`: {place} has none at all")
            }
            Self::Unknown(near) => format!(
                "there is no {what} `{name}` in {place}; the nearest are {}",
                near.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
            Self::Several(ids) => format!(
                "{what} `{name}` is ambiguous in {place}: {} have that name; name it by its id ({})",
                ids.len(),
                ids.join(", ")
            ),
        }
    }
}

/// Finds the one thing that a name means. Exact spellings win over lenient ones: id, alias, label, alias
/// without its number, then without case, then the label as a slug. Several at one level are ambiguous.
///
/// # Errors
/// A [`Miss`].
pub fn pick<'a, T: Named>(name: &str, among: &'a [T]) -> Result<&'a T, Miss> {
    let same = |left: &str, right: &str| left.to_lowercase() == right.to_lowercase();
    let slug_of_name = slug(name);
    let levels: [&dyn Fn(&T) -> bool; 7] = [
        &|one| one.id() == name,
        &|one| one.alias() == Some(name),
        &|one| one.label() == name,
        &|one| one.alias().is_some_and(|alias| without_number(alias) == Some(name)),
        &|one| same(one.label().trim(), name.trim()) || one.alias().is_some_and(|alias| same(alias, name)),
        &|one| {
            one.alias()
                .and_then(without_number)
                .is_some_and(|alias| same(alias, name) || alias == slug_of_name)
        },
        &|one| slug(one.label()) == slug_of_name,
    ];
    for level in levels {
        let found: Vec<&T> = among.iter().filter(|one| level(one)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => return Err(Miss::Several(several.iter().map(|one| one.id().to_owned()).collect())),
        }
    }
    Err(Miss::Unknown(nearest(name, among)))
}

/// `order-number-3321` without `-3321`.
fn without_number(alias: &str) -> Option<&str> {
    let (slug, number) = alias.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !slug.is_empty()).then_some(slug)
}

/// The slug that Tallyfy makes of a label: lower case, everything else a single hyphen.
fn slug(label: &str) -> String {
    let mut out = String::with_capacity(label.len());
    for character in label.chars().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() {
            out.push(character);
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// Up to five names, nearest first.
fn nearest<T: Named>(name: &str, among: &[T]) -> Vec<String> {
    let wanted = slug(name);
    let mut scored: Vec<(f64, String)> = among
        .iter()
        .map(|one| {
            let shown = if one.label().is_empty() { one.id() } else { one.label() };
            let by_label = strsim::jaro_winkler(&wanted, &slug(shown));
            let by_alias = one.alias().map_or(0.0, |alias| strsim::jaro_winkler(&wanted, alias));
            (by_label.max(by_alias), shown.to_owned())
        })
        .collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0));
    scored.into_iter().take(5).map(|(_, shown)| shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template() -> Template {
        let body = json!({"data": {"id": "t1", "title": "Order approval", "prerun": [
            {"id": "f1", "alias": "order-number-3321", "label": "Order number", "field_type": "text", "required": true},
            {"id": "f2", "alias": "amount-11", "label": "Amount", "field_type": "text"},
            {"id": "f3", "alias": "note-1", "label": "Note", "field_type": "textarea"},
            {"id": "f4", "alias": "note-2", "label": "Note", "field_type": "textarea"},
            {"id": "f5", "alias": "priority-9", "label": "Priority", "field_type": "dropdown",
             "options": [{"id": 1, "text": "Low"}]}
        ]}});
        let steps =
            [json!({"id": "s1", "alias": "credit-check-5", "title": "Credit check", "step_type": "approval",
            "captures": {"data": [{"id": "c1", "label": "Credit limit", "field_type": "text"}]}})];
        Template::read(&body, &steps).unwrap()
    }

    #[test]
    fn a_name_is_an_id_an_alias_a_label_or_nearly() {
        let template = template();
        for name in [
            "f1",
            "order-number-3321",
            "Order number",
            "order-number",
            "order NUMBER",
            "Order-Number",
            "ORDER  number",
        ] {
            assert_eq!(template.kickoff_field(name).map(|field| field.id.as_str()), Ok("f1"), "{name}");
        }
        let (step, field) = template.form_field("credit-check", "credit-limit").unwrap();
        assert_eq!((step.id.as_str(), field.id.as_str(), step.approval), ("s1", "c1", true));
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_and_the_template() {
        let error = template().kickoff_field("ordernumber").unwrap_err();
        assert!(error.contains("`ordernumber`") && error.contains("`Order approval`"), "{error}");
        assert!(error.contains("nearest are `Order number`"), "{error}");
        assert!(template().form_field("Credit check", "x").unwrap_err().contains("step `Credit check`"));
        assert!(template().step("nowhere").unwrap_err().contains("step `nowhere`"));
    }

    #[test]
    fn an_ambiguous_name_is_refused_but_its_alias_is_not() {
        let error = template().kickoff_field("Note").unwrap_err();
        assert!(error.contains("ambiguous") && error.contains("f3, f4"), "{error}");
        assert_eq!(template().kickoff_field("note-2").unwrap().id, "f4");
        assert!(template().kickoff_field("note").unwrap_err().contains("ambiguous"));
    }
}
