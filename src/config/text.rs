//! Small texts of the config: durations, time zones, schedules, nearest names, lists for messages.
//!
//! Pure functions over texts; nothing here knows a section or a key.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reads `10s`, `5m`, `1h`, `2d`.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

/// Writes a duration in the largest unit that fits.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (size, unit) in [(86_400, 'd'), (3600, 'h'), (60, 'm')] {
        if seconds > 0 && seconds.is_multiple_of(size) {
            return format!("{}{unit}", seconds / size);
        }
    }
    format!("{seconds}s")
}

/// `did you mean "type"?` for the nearest of these names, if one is near.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, known).map(|name| format!("did you mean \"{name}\"?"))
}

/// The nearest of these names, if one is near enough to be meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let limit = (wrong.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `"a", "b" and "c"`.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// A path that counts from the folder of the config file.
pub fn absolute(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}

/// Whether a text is a name that can stand in commands, file names and metrics.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Checks a five-field Unix cron text; the error says what is wrong with it.
///
/// # Errors
/// When it is not five fields, or a field is not what cron allows there.
pub fn check_cron(text: &str) -> Result<(), String> {
    const FIELDS: [(&str, u32, u32); 5] =
        [("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7)];
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!(
            "a schedule has five fields (minute hour day month weekday), this one has {}",
            parts.len()
        ));
    }
    for (part, (name, low, high)) in parts.iter().zip(FIELDS) {
        for item in part.split(',') {
            check_cron_item(item, name, low, high)?;
        }
    }
    Ok(())
}

fn check_cron_item(item: &str, name: &str, low: u32, high: u32) -> Result<(), String> {
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    if let Some(step) = step
        && !step.parse::<u32>().is_ok_and(|step| step > 0 && step <= high)
    {
        return Err(format!("\"{item}\" is no {name}: the step after / must be from 1 to {high}"));
    }
    if range == "*" {
        return Ok(());
    }
    let bounds: Result<Vec<u32>, String> =
        range.split('-').map(|bound| cron_number(bound, name, low, high)).collect();
    match bounds?.as_slice() {
        [_] => Ok(()),
        [from, to] if from <= to => Ok(()),
        _ => Err(format!("\"{range}\" is no range of the {name}: it must run from low to high")),
    }
}

fn cron_number(text: &str, name: &str, low: u32, high: u32) -> Result<u32, String> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let lower = text.to_ascii_lowercase();
    let named = match name {
        "month" => MONTHS.iter().position(|month| *month == lower).map(|at| at + 1),
        "day of week" => DAYS.iter().position(|day| *day == lower),
        _ => None,
    };
    named
        .and_then(|at| u32::try_from(at).ok())
        .or_else(|| text.parse().ok())
        .filter(|number| (low..=high).contains(number))
        .ok_or_else(|| format!("\"{text}\" is no {name}: it goes from {low} to {high}"))
}
