//! Expressions and templates: MiniJinja, sandboxed, strict, with typed values.
//!
//! Nothing here is guessed: an unknown name, an undefined result and a comparison of text with numbers are
//! errors. Numbers are exact decimals throughout (`rewrite.rs` says how). No I/O is reachable from an
//! expression, and a fuel limit ends every loop.

mod objects;
mod ops;
mod rewrite;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::{Environment, UndefinedBehavior, value::Value as Dynamic};
use serde_json::Value as Json;

use super::record::Values;
use super::value::Value;

/// Far more than any config needs, and a fraction of a second.
const FUEL: u64 = 200_000;

/// The name under which a [`Template`] stands in its environment.
const TEMPLATE: &str = "template";

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    /// As written.
    pub source: String,
    compiled: Arc<minijinja::Expression<'static, 'static>>,
    roots: BTreeSet<String>,
    paths: BTreeSet<String>,
}

/// A compiled template.
#[derive(Clone)]
pub struct Template {
    /// As written.
    pub source: String,
    form: Form,
    roots: BTreeSet<String>,
    paths: BTreeSet<String>,
}

#[derive(Clone)]
enum Form {
    /// A text without any `{{ }}`.
    Plain,
    /// Exactly one `{{ }}`: its value keeps its type.
    Typed(Box<Expression>),
    /// Anything else is rendered as text.
    Text(Arc<Environment<'static>>),
}

/// The names that an expression sees, with their values.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    names: Arc<BTreeMap<String, Dynamic>>,
}

impl Scope {
    /// No names.
    pub fn new() -> Scope {
        Scope::default()
    }

    fn with(mut self, name: &str, value: Dynamic) -> Scope {
        Arc::make_mut(&mut self.names).insert(name.to_owned(), value);
        self
    }

    /// Adds a typed value: a field of the sync, or `value` for a lens.
    pub fn value(self, name: &str, value: &Value) -> Scope {
        self.with(name, objects::from_value(value))
    }

    /// Adds a raw value, wrapped and not copied.
    pub fn json(self, name: &str, raw: Json) -> Scope {
        self.with(name, objects::from_json(&raw))
    }

    /// Adds a record by its paths: `record.owner.name`, `record["kickoff.order-number"]`.
    pub fn record(self, name: &str, values: Arc<Values>) -> Scope {
        self.with(name, objects::from_record(values))
    }

    fn dynamic(&self) -> Dynamic {
        objects::from_scope(Arc::clone(&self.names))
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it cannot be read; the text shows where and why.
    pub fn compile(source: &str) -> Result<Expression, String> {
        let wrong = |why: String| format!("the expression {source:?} cannot be read: {why}");
        let rewritten = rewrite::expression(source).map_err(wrong)?;
        let compiled =
            environment().compile_expression_owned(rewritten.source).map_err(|e| wrong(plain(&e)))?;
        let roots = roots(compiled.undeclared_variables(false));
        Ok(Expression {
            source: source.to_owned(),
            compiled: Arc::new(compiled),
            roots,
            paths: rewritten.paths,
        })
    }

    /// The names that it uses: fields of the sync, `record`, `value`. The config checks that they exist.
    pub fn roots(&self) -> &BTreeSet<String> {
        &self.roots
    }

    /// The paths behind `record` that it uses; they are requested from the API.
    pub fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    /// Evaluates to JSON: decimals with every digit, dates and instants as ISO text.
    ///
    /// # Errors
    /// When a name is unknown or undefined, an operation does not fit its operands, or the fuel is used up.
    pub fn eval_json(&self, scope: &Scope) -> Result<Json, String> {
        objects::to_json(&self.dynamic(scope)?).map_err(|why| self.failed(&why))
    }

    /// Evaluates to a typed value; a list becomes a list of texts.
    ///
    /// # Errors
    /// As [`Expression::eval_json`], and when the result is an object.
    pub fn eval(&self, scope: &Scope) -> Result<Value, String> {
        objects::to_value(&self.dynamic(scope)?).map_err(|why| self.failed(&why))
    }

    /// Evaluates a condition.
    ///
    /// # Errors
    /// As [`Expression::eval_json`], and when the result is neither true nor false. Blank is false: a
    /// comparison with a field that is empty does not hold.
    pub fn condition(&self, scope: &Scope) -> Result<bool, String> {
        match self.eval(scope)? {
            Value::Boolean(flag) => Ok(flag),
            Value::Null => Ok(false),
            other => Err(self.failed(&format!("a condition must be true or false, and this is {other}"))),
        }
    }

    fn dynamic(&self, scope: &Scope) -> Result<Dynamic, String> {
        let result = self.compiled.eval(scope.dynamic()).map_err(|e| self.failed(&plain(&e)))?;
        if result.is_undefined() {
            return Err(self.failed("the result is undefined: a name or path that is not there"));
        }
        Ok(result)
    }

    fn failed(&self, why: &str) -> String {
        format!("the expression {:?} failed: {why}", self.source)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

impl Template {
    /// Compiles a template. `{{ }}`, `{% if %}`, `{% for %}`, `{% set %}` and `{% with %}` are there; including
    /// other templates, macros and blocks are not.
    ///
    /// # Errors
    /// When it cannot be read; the text shows where and why.
    pub fn compile(source: &str) -> Result<Template, String> {
        let wrong = |why: String| format!("the template {source:?} cannot be read: {why}");
        let make = |form, roots, paths| Template { source: source.to_owned(), form, roots, paths };
        if !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)) {
            return Ok(make(Form::Plain, BTreeSet::new(), BTreeSet::new()));
        }
        let rewritten = rewrite::template(source).map_err(wrong)?;
        if let Some(only) = rewritten.only {
            let compiled = environment().compile_expression_owned(only).map_err(|e| wrong(plain(&e)))?;
            let roots = roots(compiled.undeclared_variables(false));
            let expression = Expression {
                source: source.to_owned(),
                compiled: Arc::new(compiled),
                roots: roots.clone(),
                paths: rewritten.paths.clone(),
            };
            return Ok(make(Form::Typed(Box::new(expression)), roots, rewritten.paths));
        }
        let mut own = environment().clone();
        own.add_template_owned(TEMPLATE, rewritten.source).map_err(|e| wrong(plain(&e)))?;
        let names = own.get_template(TEMPLATE).map_err(|e| wrong(plain(&e)))?.undeclared_variables(false);
        Ok(make(Form::Text(Arc::new(own)), roots(names), rewritten.paths))
    }

    /// The names that it uses.
    pub fn roots(&self) -> &BTreeSet<String> {
        &self.roots
    }

    /// The paths behind `record` that it uses.
    pub fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    /// Renders; a template that is exactly one `{{ }}` keeps the type of its value, any other gives a text.
    ///
    /// # Errors
    /// As [`Expression::eval_json`].
    pub fn render(&self, scope: &Scope) -> Result<Json, String> {
        match &self.form {
            Form::Plain => Ok(Json::String(self.source.clone())),
            Form::Typed(expression) => expression.eval_json(scope),
            Form::Text(environment) => environment
                .get_template(TEMPLATE)
                .and_then(|template| template.render(scope.dynamic()))
                .map(Json::String)
                .map_err(|e| format!("the template {:?} failed: {}", self.source, plain(&e))),
        }
    }

    /// Renders to text, whatever the type.
    ///
    /// # Errors
    /// As [`Expression::eval_json`].
    pub fn render_text(&self, scope: &Scope) -> Result<String, String> {
        Ok(match self.render(scope)? {
            Json::String(text) => text,
            Json::Null => String::new(),
            other => other.to_string(),
        })
    }
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        ops::install(&mut environment);
        environment
    })
}

/// The names of an expression without those that the language itself brings.
fn roots(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let own: BTreeSet<&str> = environment().globals().map(|(name, _)| name).collect();
    names.into_iter().filter(|name| !own.contains(name.as_str())).collect()
}

/// The error without the position in the rewritten source, which nobody has seen.
fn plain(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
#[path = "expr_tests.rs"]
mod tests;
