//! The mapped paths of processes, resolved against a template.
//!
//! Pure. A binding is made anew each time an entity is opened, so that a renamed field is found again or
//! reported; nothing here reads or writes a process.

use crate::connector::api::{EntityRequest, Failure, FailureClass};
use crate::tallyfy::path::{Member, RunPath, TaskPart};
use crate::tallyfy::template::{Field, Step, Template};

/// What a path points to, by ids.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// A member of the process.
    Member(Member),
    /// A custom field by key.
    Custom(String),
    /// A kick-off field.
    Kickoff(Field),
    /// A field of the form of a task.
    Form(StepRef, Field),
    /// A part of a task.
    Task(StepRef, TaskPart),
}

/// What is needed of a step to find its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    /// Id; a task names it as `step_id`.
    pub id: String,
    /// Alias; a task repeats it.
    pub alias: Option<String>,
    /// For people.
    pub title: String,
    /// Completing it needs a decision.
    pub approval: bool,
    /// Its place among the steps of the template.
    pub place: usize,
}

impl StepRef {
    fn of(step: &Step) -> Self {
        Self {
            id: step.id.clone(),
            alias: step.alias.clone(),
            title: step.title.clone(),
            approval: step.approval,
            place: step.place,
        }
    }
}

/// A path as requested, and what it means.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// The text of the path; the key of its value in a record.
    pub text: String,
    /// What it means.
    pub bound: Bound,
}

/// Where the mark of a launch is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Marker {
    /// In a kick-off field.
    Kickoff(Field),
    /// At the end of the process name.
    Name,
}

/// The requested paths of one template.
#[derive(Debug, Clone, PartialEq)]
pub struct Bindings {
    /// The template.
    pub template: Template,
    /// One per requested path, in that order.
    pub all: Vec<Binding>,
    /// The marker, or why there is none: only a launch needs it.
    pub marker: Result<Marker, String>,
}

impl Bindings {
    /// Resolves every requested path.
    ///
    /// # Errors
    /// Class `Invalid` with every path that cannot be resolved or, though it is to be written, not written.
    pub fn resolve(template: Template, request: &EntityRequest, attempted: &str) -> Result<Self, Failure> {
        let mut all = Vec::new();
        let mut problems = Vec::new();
        let mut fields = Vec::new();
        for text in &request.paths {
            match resolve(&template, text) {
                Ok(binding) => all.push(binding),
                Err(why) => {
                    problems.push(why);
                    fields.push(text.clone());
                }
            }
        }
        for text in &request.written {
            let binding = match all.iter().find(|binding| binding.text == *text) {
                Some(binding) => Ok(binding.clone()),
                None if fields.contains(text) => continue,
                None => resolve(&template, text),
            };
            if let Err(why) = binding.and_then(|binding| writable(&binding)) {
                problems.push(why);
                fields.push(text.clone());
            }
        }
        if !problems.is_empty() {
            let mut failure = Failure::new(FailureClass::Invalid, attempted, problems.join("; "));
            failure.fields = fields;
            return Err(failure);
        }
        let marker = marker(&template, request);
        Ok(Self { template, all, marker })
    }

    /// The binding of a path that is mapped, or of one that only a default names.
    ///
    /// # Errors
    /// One sentence when the path means nothing in this template.
    pub fn get(&self, text: &str) -> Result<Binding, String> {
        match self.all.iter().find(|binding| binding.text == text) {
            Some(binding) => Ok(binding.clone()),
            None => resolve(&self.template, text),
        }
    }

    /// The steps whose tasks are needed, without repeats.
    pub fn steps(&self) -> Vec<&StepRef> {
        let mut steps: Vec<&StepRef> = Vec::new();
        for binding in &self.all {
            if let Bound::Form(step, _) | Bound::Task(step, _) = &binding.bound
                && !steps.iter().any(|known| known.id == step.id)
            {
                steps.push(step);
            }
        }
        steps
    }

    /// The form fields of a step that are needed.
    pub fn forms_of(&self, step: &str) -> Vec<&Field> {
        self.all
            .iter()
            .filter_map(|binding| match &binding.bound {
                Bound::Form(of, field) if of.id == step => Some(field),
                _ => None,
            })
            .collect()
    }

    /// The parts of the task of a step that are needed.
    pub fn needs(&self, step: &str, part: TaskPart) -> bool {
        self.all.iter().any(
            |binding| matches!(&binding.bound, Bound::Task(of, needed) if of.id == step && *needed == part),
        )
    }

    /// A member of the process is mapped.
    pub fn has(&self, member: Member) -> bool {
        self.all.iter().any(|binding| binding.bound == Bound::Member(member))
    }

    /// A kick-off field is mapped.
    pub fn has_kickoff(&self) -> bool {
        self.all.iter().any(|binding| matches!(binding.bound, Bound::Kickoff(_)))
    }

    /// A form value is mapped.
    pub fn has_forms(&self) -> bool {
        self.all.iter().any(|binding| matches!(binding.bound, Bound::Form(..)))
    }

    /// The text that changes when a path comes to mean something else.
    pub fn form(&self, organization: &str) -> String {
        let mut text = format!("tallyfy/runs/1 {organization} {}", self.template.id);
        for binding in &self.all {
            text.push('\n');
            text.push_str(&binding.text);
            text.push_str(" = ");
            match &binding.bound {
                Bound::Member(member) => text.push_str(&format!("{member:?}")),
                Bound::Custom(key) => text.push_str(key),
                Bound::Kickoff(field) => text.push_str(&format!("{} {:?}", field.id, field.kind)),
                Bound::Form(step, field) => {
                    text.push_str(&format!("{} {} {:?}", step.id, field.id, field.kind));
                }
                Bound::Task(step, part) => text.push_str(&format!("{} {part}", step.id)),
            }
        }
        text
    }
}

fn resolve(template: &Template, text: &str) -> Result<Binding, String> {
    let path = RunPath::parse(text).map_err(|error| error.to_string())?;
    let bound = match path {
        RunPath::Member(member) => Bound::Member(member),
        RunPath::Custom(key) => Bound::Custom(key),
        RunPath::Kickoff(field) => Bound::Kickoff(template.kickoff_field(&field)?.clone()),
        RunPath::Form { step, field } => {
            let (step, field) = template.form_field(&step, &field)?;
            Bound::Form(StepRef::of(step), field.clone())
        }
        RunPath::Task { step, part } => Bound::Task(StepRef::of(template.step(&step)?), part),
    };
    Ok(Binding { text: text.to_owned(), bound })
}

/// Whether a path that is to be written can be.
fn writable(binding: &Binding) -> Result<(), String> {
    let text = &binding.text;
    let path = RunPath::parse(text).map_err(|error| error.to_string())?;
    if let Some(why) = path.read_only() {
        return Err(format!("`{text}` is read-only: {why}"));
    }
    match &binding.bound {
        Bound::Kickoff(field) | Bound::Form(_, field) => match field.kind.read_only() {
            Some(why) => Err(format!("`{text}` is read-only: {why}")),
            None => Ok(()),
        },
        Bound::Task(step, TaskPart::Approved) if !step.approval => Err(format!(
            "`{text}` cannot be written: the step `{}` is not an approval; write `completed` instead",
            step.title
        )),
        _ => Ok(()),
    }
}

fn marker(template: &Template, request: &EntityRequest) -> Result<Marker, String> {
    let Some(text) = &request.marker else {
        return Err(format!(
            "the side says no `marker`; without one a launch whose answer is lost could not be found again. \
             Add a text field to the kick-off form of `{}` and name it, for example marker = \"kickoff.sync-id\"",
            template.title
        ));
    };
    if request.paths.contains(text) {
        return Err(format!("marker `{text}` is also mapped as a field; the mark needs a place of its own"));
    }
    match resolve(template, text)?.bound {
        Bound::Member(Member::Name) => Ok(Marker::Name),
        Bound::Kickoff(field)
            if matches!(
                field.kind,
                crate::tallyfy::shape::Kind::Text | crate::tallyfy::shape::Kind::TextArea
            ) =>
        {
            Ok(Marker::Kickoff(field))
        }
        _ => Err(format!("marker `{text}` must be a text field of the kick-off form, or `name`")),
    }
}
