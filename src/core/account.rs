//! What a member's base becomes after a write to it was accepted (rules 6 and 7).
//!
//! The one place that tells a system's own spelling of what we sent from somebody else's edit. Decides nothing
//! about the agreed value: an outside edit stays a difference from the base, and travels as a change.

use rust_decimal::Decimal;

use super::spec::{FieldSpec, Normalise, SideIx, Unit};
use super::value::{FieldType, Seen, Value};

/// Shorter texts than this are not taken for truncated ones: no system has so small a limit, and a person may
/// well have shortened a name.
const SHORTEST_TRUNCATION: usize = 20;

/// What is known after a write of one unit to one member.
#[derive(Debug, Clone)]
pub struct WriteBack<'a> {
    /// The fields of the sync.
    pub fields: &'a [FieldSpec],
    /// The unit.
    pub unit: &'a Unit,
    /// The side written.
    pub side: SideIx,
    /// The base before; for a record that was just created, one `Null` per field.
    pub base: &'a [Value],
    /// The number that the base stood for.
    pub stood: u64,
    /// What was sent, in the sync's domain; `None`: not sent.
    pub sent: &'a [Option<Value>],
    /// The number of the agreed value that was sent.
    pub number: u64,
    /// What the side shows now.
    pub shown: &'a [Seen],
    /// The answer, or the version, proves that this is exactly what our write produced.
    pub proven: bool,
}

/// What a write led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The new base, one value per field of the unit.
    pub base: Vec<Value>,
    /// The number that it stands for.
    pub stands: u64,
    /// What happened; the most remarkable of the fields' outcomes.
    pub outcome: Outcome,
}

/// How what the side shows relates to what was sent, from unremarkable to remarkable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It shows what was sent.
    AsSent,
    /// It shows another spelling of it; the text says which. Accepted as it is, never written again.
    Normalised(String),
    /// The write was accepted and provably changed nothing in a field: the system dropped it. Not written again
    /// before the next decision; a person should know.
    Ignored(String),
    /// It still shows what it showed before, and nothing proves that the read saw our write: still behind.
    Unchanged(String),
    /// Somebody else changed it meanwhile: the base is what was sent, and the difference travels as a change.
    OutsideEdit(String),
}

/// Accounts for a write that was accepted, from what the side showed afterwards.
pub fn after_write(back: &WriteBack) -> Account {
    let mut account =
        Account { base: Vec::with_capacity(back.base.len()), stands: back.number, outcome: Outcome::AsSent };
    for (place, index) in back.unit.fields.iter().enumerate() {
        let before = back.base.get(place).cloned().unwrap_or(Value::Null);
        let sent = back.sent.get(place).and_then(Option::as_ref);
        let (Some(sent), Some(field)) = (sent, back.fields.get(*index)) else {
            // Not sent: whatever it shows now is compared with the base that it had.
            account.base.push(before);
            continue;
        };
        let shown = back.shown.get(place).unwrap_or(&Seen::Absent);
        let (base, outcome) = account_field(field, back, &before, sent, shown);
        if matches!(outcome, Outcome::Unchanged(_)) {
            account.stands = back.stood;
        }
        account.base.push(base);
        account.outcome = account.outcome.max(outcome);
    }
    account
}

fn account_field(
    field: &FieldSpec,
    back: &WriteBack,
    before: &Value,
    sent: &Value,
    shown: &Seen,
) -> (Value, Outcome) {
    let lens = field.lenses.get(back.side).and_then(Option::as_ref);
    let expected = lens.and_then(|lens| lens.image(sent)).unwrap_or_else(|| sent.clone());
    let name = &field.name;
    let shown = match shown {
        Seen::Value(shown) => shown,
        // The answer does not carry the field; the next poll will, and is compared with what was sent.
        Seen::Absent => return (expected, Outcome::AsSent),
        Seen::Unknown(why) => {
            let text = format!("{name}: sent {sent}, and what it shows now cannot be read: {why}");
            return (expected, Outcome::OutsideEdit(text));
        }
    };
    let key = |value: &Value| value.key(&field.normalise);
    if key(shown) == key(&expected) || key(shown) == key(sent) {
        return (shown.clone(), Outcome::AsSent);
    }
    if let Some(how) = explains(&field.kind, &expected, shown) {
        return (shown.clone(), Outcome::Normalised(format!("{name}: sent {sent}, kept as {shown} ({how})")));
    }
    let stayed = key(shown) == key(before);
    match (back.proven, stayed) {
        (true, true) => (
            shown.clone(),
            Outcome::Ignored(format!("{name}: sent {sent}, accepted, but it still shows {shown}")),
        ),
        (true, false) => {
            (shown.clone(), Outcome::Normalised(format!("{name}: sent {sent}, the system made it {shown}")))
        }
        (false, true) => {
            (before.clone(), Outcome::Unchanged(format!("{name}: sent {sent}, but it still shows {shown}")))
        }
        (false, false) => (
            expected,
            Outcome::OutsideEdit(format!("{name}: sent {sent}, but somebody made it {shown} meanwhile")),
        ),
    }
}

/// What a system may have done to a value without changing its meaning; `None` when nothing explains the
/// difference.
pub fn explains(kind: &FieldType, sent: &Value, shown: &Value) -> Option<&'static str> {
    let same = |steps: &[Normalise]| sent.key(steps) == shown.key(steps);
    if same(&[Normalise::Nfc]) {
        return Some("another Unicode form");
    }
    if same(&[Normalise::Nfc, Normalise::Trim, Normalise::Collapse]) {
        return Some("white space trimmed");
    }
    if same(&[Normalise::Nfc, Normalise::Trim, Normalise::Collapse, Normalise::Lower]) {
        return Some("another case");
    }
    match (sent, shown) {
        (Value::Text(sent), Value::Text(shown)) if *kind == FieldType::Text => {
            let long = shown.chars().count() >= SHORTEST_TRUNCATION;
            (long && sent.trim_start().starts_with(shown.trim_start())).then_some("cut to its length")
        }
        (Value::Number(sent), Value::Number(shown)) => rounded(*sent, *shown).then_some("rounded"),
        (Value::Instant(sent), Value::Instant(shown)) => {
            let coarser = [1_000, 1_000_000, 60_000_000, 86_400_000_000_i64];
            let (sent, shown) = (sent.as_microsecond(), shown.as_microsecond());
            coarser.iter().any(|step| sent.div_euclid(*step) * step == shown).then_some("a coarser time")
        }
        _ => None,
    }
}

/// The shown number has fewer digits after the point and is the sent one cut or rounded to them.
fn rounded(sent: Decimal, shown: Decimal) -> bool {
    let (sent, shown) = (sent.normalize(), shown.normalize());
    if shown.scale() >= sent.scale() {
        return false;
    }
    let unit = Decimal::new(1, shown.scale());
    let limit = unit.checked_div(Decimal::TWO).unwrap_or(unit);
    sent.checked_sub(shown)
        .is_some_and(|gap| gap.abs() <= limit || shown == sent.trunc_with_scale(shown.scale()))
}
