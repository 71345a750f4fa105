//! Rewrites an expression so that its operators become calls of ours.
//!
//! MiniJinja computes with floats and compares unlike things by kind; its values cannot bring operators of their
//! own. So the source is parsed with MiniJinja's own parser and printed again, with `a >= 10.5` as
//! `__compare(a, ">=", __number("10.5"))`. On the way the paths behind `record` are collected, and
//! `record.owner.name` becomes the one look-up `record["owner.name"]`.

use std::collections::BTreeSet;

use minijinja::machinery::{ast, parse, parse_expr};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;

use super::super::convert::exact_number;

/// The name behind which raw paths stand.
const RECORD: &str = "record";

/// The printed source and what was found in it.
pub(super) struct Rewritten {
    pub(super) source: String,
    pub(super) paths: BTreeSet<String>,
    /// A template that is exactly one `{{ }}`: the expression in it.
    pub(super) only: Option<String>,
}

struct Printer<'s> {
    original: &'s str,
    out: String,
    paths: BTreeSet<String>,
}

type Printed = Result<(), String>;

pub(super) fn expression(source: &str) -> Result<Rewritten, String> {
    let tree = parse_expr(source).map_err(|e| super::plain(&e))?;
    let mut printer = Printer { original: source, out: String::new(), paths: BTreeSet::new() };
    printer.expr(&tree)?;
    Ok(Rewritten { source: printer.out, paths: printer.paths, only: None })
}

pub(super) fn template(source: &str) -> Result<Rewritten, String> {
    let tree = parse(source, super::TEMPLATE, SyntaxConfig::default()).map_err(|e| super::plain(&e))?;
    let mut printer = Printer { original: source, out: String::new(), paths: BTreeSet::new() };
    let ast::Stmt::Template(root) = &tree else { return Err("this is no template".to_owned()) };
    if let [ast::Stmt::EmitExpr(only)] = root.children.as_slice() {
        printer.expr(&only.expr)?;
        return Ok(Rewritten { source: String::new(), paths: printer.paths, only: Some(printer.out) });
    }
    printer.body(&root.children)?;
    Ok(Rewritten { source: printer.out, paths: printer.paths, only: None })
}

/// A text as a literal of the language.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// One step of a path; quoted where it holds what would end it.
fn step(name: &str) -> String {
    if name.contains(['.', ' ']) && !name.starts_with('"') { format!("\"{name}\"") } else { name.to_owned() }
}

/// The path of `record.a.b`, `record["a.b"]`, `record.a["b c"]`: constant steps only.
fn path_of(expr: &ast::Expr) -> Option<String> {
    let (before, name) = match expr {
        ast::Expr::GetAttr(get) => (&get.expr, get.name.to_owned()),
        ast::Expr::GetItem(get) => match &get.subscript_expr {
            ast::Expr::Const(constant) => (&get.expr, constant.value.as_str()?.to_owned()),
            _ => return None,
        },
        _ => return None,
    };
    match before {
        // The first step may be a whole path, spelled as in the config.
        ast::Expr::Var(var) if var.id == RECORD => Some(name),
        _ => path_of(before).map(|start| format!("{start}.{}", step(&name))),
    }
}

impl Printer<'_> {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn wrapped(&mut self, expr: &ast::Expr) -> Printed {
        self.push("(");
        self.expr(expr)?;
        self.push(")");
        Ok(())
    }

    fn call(&mut self, function: &str, operands: &[&ast::Expr]) -> Printed {
        self.push(function);
        self.push("(");
        self.separated(operands)?;
        self.push(")");
        Ok(())
    }

    fn separated(&mut self, items: &[&ast::Expr]) -> Printed {
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.push(", ");
            }
            self.expr(item)?;
        }
        Ok(())
    }

    fn expr(&mut self, expr: &ast::Expr) -> Printed {
        if let Some(path) = path_of(expr) {
            self.push(RECORD);
            self.push("[");
            self.push(&quoted(&path));
            self.push("]");
            self.paths.insert(path);
            return Ok(());
        }
        match expr {
            ast::Expr::Var(var) => self.push(var.id),
            ast::Expr::Const(constant) => self.constant(constant)?,
            ast::Expr::Slice(slice) => self.slice(slice)?,
            ast::Expr::UnaryOp(operation) => match operation.op {
                ast::UnaryOpKind::Not => {
                    self.push("(not ");
                    self.wrapped(&operation.expr)?;
                    self.push(")");
                }
                ast::UnaryOpKind::Neg => self.call("__negate", &[&operation.expr])?,
            },
            ast::Expr::BinOp(operation) => self.binary(operation)?,
            ast::Expr::Compare(compare) => self.compare(compare)?,
            ast::Expr::IfExpr(choice) => self.choice(choice)?,
            ast::Expr::Filter(filter) => self.filter(filter)?,
            ast::Expr::Test(test) => self.test(test)?,
            ast::Expr::GetAttr(get) => {
                self.wrapped(&get.expr)?;
                self.push(&format!("[{}]", quoted(get.name)));
            }
            ast::Expr::GetItem(get) => {
                self.wrapped(&get.expr)?;
                self.push("[");
                self.expr(&get.subscript_expr)?;
                self.push("]");
            }
            ast::Expr::Call(call) => self.function(call)?,
            ast::Expr::List(list) => {
                self.push("[");
                self.separated(&list.items.iter().collect::<Vec<_>>())?;
                self.push("]");
            }
            ast::Expr::Tuple(tuple) => {
                self.push("[");
                self.separated(&tuple.items.iter().collect::<Vec<_>>())?;
                self.push("]");
            }
            ast::Expr::Map(map) => {
                self.push("{");
                for (key, value) in map.keys.iter().zip(&map.values) {
                    self.expr(key)?;
                    self.push(": ");
                    self.expr(value)?;
                    self.push(", ");
                }
                self.push("}");
            }
        }
        Ok(())
    }

    fn compare(&mut self, compare: &ast::Compare) -> Printed {
        self.push("__compare(");
        self.expr(&compare.expr)?;
        for next in &compare.ops {
            self.push(&format!(", {}, ", quoted(comparison(next.op))));
            self.expr(&next.expr)?;
        }
        self.push(")");
        Ok(())
    }

    fn filter(&mut self, filter: &ast::Filter) -> Printed {
        let Some(input) = &filter.expr else { return Err("a filter without a value".to_owned()) };
        self.push("(");
        self.wrapped(input)?;
        self.push("|");
        self.push(filter.name);
        self.arguments(&filter.args)?;
        self.push(")");
        Ok(())
    }

    fn test(&mut self, test: &ast::Test) -> Printed {
        self.push("(");
        self.wrapped(&test.expr)?;
        self.push(" is ");
        self.push(test.name);
        if !test.args.is_empty() {
            self.arguments(&test.args)?;
        }
        self.push(")");
        Ok(())
    }

    fn constant(&mut self, constant: &minijinja::machinery::ast::Spanned<ast::Const>) -> Printed {
        let value = &constant.value;
        match value.kind() {
            ValueKind::None => self.push("none"),
            ValueKind::Bool => self.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::String => self.push(&quoted(value.as_str().unwrap_or_default())),
            ValueKind::Number if value.is_integer() => self.push(&value.to_string()),
            ValueKind::Number => {
                // As written: the parser has already made a float of it.
                let span = constant.span();
                let range = span.start_offset as usize..span.end_offset as usize;
                let text = self.original.get(range).unwrap_or_default().replace('_', "");
                exact_number(&text)?;
                self.push(&format!("__number({})", quoted(&text)));
            }
            other => return Err(format!("a constant of kind {other}")),
        }
        Ok(())
    }

    fn slice(&mut self, slice: &ast::Slice) -> Printed {
        self.wrapped(&slice.expr)?;
        self.push("[");
        for (place, bound) in [&slice.start, &slice.stop, &slice.step].into_iter().enumerate() {
            if place > 0 {
                self.push(":");
            }
            match bound {
                Some(bound) => self.expr(bound)?,
                None if place == 2 => self.push("1"),
                None => {}
            }
        }
        self.push("]");
        Ok(())
    }

    fn binary(&mut self, operation: &ast::BinOp) -> Printed {
        use ast::BinOpKind as Kind;
        let (left, right) = (&operation.left, &operation.right);
        let infix = match operation.op {
            Kind::ScAnd => "and",
            Kind::ScOr => "or",
            Kind::Concat => "~",
            Kind::Add => return self.call("__add", &[left, right]),
            Kind::Sub => return self.call("__subtract", &[left, right]),
            Kind::Mul => return self.call("__multiply", &[left, right]),
            Kind::Div => return self.call("__divide", &[left, right]),
            Kind::FloorDiv => return self.call("__floor_divide", &[left, right]),
            Kind::Rem => return self.call("__remainder", &[left, right]),
            Kind::Pow => return self.call("__power", &[left, right]),
            Kind::Eq => return self.comparison("==", left, right),
            Kind::Ne => return self.comparison("!=", left, right),
            Kind::Lt => return self.comparison("<", left, right),
            Kind::Lte => return self.comparison("<=", left, right),
            Kind::Gt => return self.comparison(">", left, right),
            Kind::Gte => return self.comparison(">=", left, right),
            Kind::In => return self.comparison("in", left, right),
        };
        self.push("(");
        self.wrapped(left)?;
        self.push(&format!(" {infix} "));
        self.wrapped(right)?;
        self.push(")");
        Ok(())
    }

    fn comparison(&mut self, operator: &str, left: &ast::Expr, right: &ast::Expr) -> Printed {
        self.push("__compare(");
        self.expr(left)?;
        self.push(&format!(", {}, ", quoted(operator)));
        self.expr(right)?;
        self.push(")");
        Ok(())
    }

    fn choice(&mut self, choice: &ast::IfExpr) -> Printed {
        self.push("(");
        self.wrapped(&choice.true_expr)?;
        self.push(" if ");
        self.wrapped(&choice.test_expr)?;
        if let Some(otherwise) = &choice.false_expr {
            self.push(" else ");
            self.wrapped(otherwise)?;
        }
        self.push(")");
        Ok(())
    }

    fn function(&mut self, call: &ast::Call) -> Printed {
        match &call.expr {
            ast::Expr::Var(var) => self.push(var.id),
            ast::Expr::GetAttr(get) => {
                self.wrapped(&get.expr)?;
                self.push(".");
                self.push(get.name);
            }
            other => self.wrapped(other)?,
        }
        self.arguments(&call.args)
    }

    fn arguments(&mut self, arguments: &[ast::CallArg]) -> Printed {
        self.push("(");
        for (place, argument) in arguments.iter().enumerate() {
            if place > 0 {
                self.push(", ");
            }
            match argument {
                ast::CallArg::Pos(value) => self.expr(value)?,
                ast::CallArg::Kwarg(name, value) => {
                    self.push(name);
                    self.push("=");
                    self.expr(value)?;
                }
                ast::CallArg::PosSplat(_) | ast::CallArg::KwargSplat(_) => {
                    return Err("* and ** before an argument are not available here".to_owned());
                }
            }
        }
        self.push(")");
        Ok(())
    }

    fn body(&mut self, statements: &[ast::Stmt]) -> Printed {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn block(&mut self, start: &str, head: &ast::Expr) -> Printed {
        self.push(start);
        self.expr(head)?;
        self.push(" %}");
        Ok(())
    }

    fn statement(&mut self, statement: &ast::Stmt) -> Printed {
        match statement {
            // As a literal, so that no text can be taken for a block when it is read again.
            ast::Stmt::EmitRaw(raw) => self.push(&format!("{{{{ {} }}}}", quoted(raw.raw))),
            ast::Stmt::EmitExpr(emit) => {
                self.push("{{ ");
                self.expr(&emit.expr)?;
                self.push(" }}");
            }
            ast::Stmt::IfCond(condition) => {
                self.block("{% if ", &condition.expr)?;
                self.body(&condition.true_body)?;
                self.push("{% else %}");
                self.body(&condition.false_body)?;
                self.push("{% endif %}");
            }
            ast::Stmt::ForLoop(each) if !each.recursive => {
                self.push("{% for ");
                self.target(&each.target)?;
                self.push(" in ");
                self.wrapped(&each.iter)?;
                if let Some(filter) = &each.filter_expr {
                    self.push(" if ");
                    self.wrapped(filter)?;
                }
                self.push(" %}");
                self.body(&each.body)?;
                self.push("{% else %}");
                self.body(&each.else_body)?;
                self.push("{% endfor %}");
            }
            ast::Stmt::Set(set) => {
                self.push("{% set ");
                self.target(&set.target)?;
                self.push(" = ");
                self.expr(&set.expr)?;
                self.push(" %}");
            }
            ast::Stmt::WithBlock(with) => {
                self.push("{% with ");
                for (place, (target, value)) in with.assignments.iter().enumerate() {
                    if place > 0 {
                        self.push(", ");
                    }
                    self.target(target)?;
                    self.push(" = ");
                    self.expr(value)?;
                }
                self.push(" %}");
                self.body(&with.body)?;
                self.push("{% endwith %}");
            }
            _ => return Err("only {{ }}, if, for, set and with are available in a template".to_owned()),
        }
        Ok(())
    }

    fn target(&mut self, target: &ast::Expr) -> Printed {
        let names: Vec<&ast::Expr> = match target {
            ast::Expr::Var(var) => {
                self.push(var.id);
                return Ok(());
            }
            ast::Expr::Tuple(tuple) => tuple.items.iter().collect(),
            ast::Expr::List(list) => list.items.iter().collect(),
            _ => return Err("a name was expected before \"in\" or \"=\"".to_owned()),
        };
        for (place, name) in names.into_iter().enumerate() {
            if place > 0 {
                self.push(", ");
            }
            self.target(name)?;
        }
        Ok(())
    }
}

fn comparison(operator: ast::CompareOpKind) -> &'static str {
    match operator {
        ast::CompareOpKind::Eq => "==",
        ast::CompareOpKind::Ne => "!=",
        ast::CompareOpKind::Lt => "<",
        ast::CompareOpKind::Lte => "<=",
        ast::CompareOpKind::Gt => ">",
        ast::CompareOpKind::Gte => ">=",
        ast::CompareOpKind::In => "in",
        ast::CompareOpKind::NotIn => "not in",
    }
}
