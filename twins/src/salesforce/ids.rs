//! Record ids: 15 case-sensitive characters, and 3 more that say which of them are capitals.
//!
//! This file must not know which records exist.

/// The digits of an id, in the order in which ids grow.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SUFFIX: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// The part of every id that names the server's instance.
const INSTANCE: &str = "5g0";

/// The id of the record with that number, with its suffix.
pub(super) fn make(prefix: &str, number: u64) -> String {
    let mut digits = Vec::new();
    let mut rest = number;
    for _ in 0..9 {
        let digit = usize::try_from(rest % 62).ok().and_then(|at| DIGITS.get(at));
        digits.push(char::from(digit.copied().unwrap_or(b'0')));
        rest /= 62;
    }
    let counted: String = digits.into_iter().rev().collect();
    let short = format!("{prefix}{INSTANCE}{counted}");
    format!("{short}{}", suffix(&short))
}

/// The 18 characters of an id of 15 or 18; nothing when the text is no id.
pub(super) fn full(text: &str) -> Option<String> {
    if !text.is_ascii() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match text.len() {
        15 => Some(format!("{text}{}", suffix(text))),
        18 => {
            let (short, given) = text.split_at_checked(15)?;
            let wanted = suffix(short);
            wanted.eq_ignore_ascii_case(given).then(|| format!("{short}{wanted}"))
        }
        _ => None,
    }
}

/// Three characters, one for each five of the id: a bit for each capital, the first of the five lowest.
fn suffix(short: &str) -> String {
    let chunk = |five: &[u8]| {
        let bits =
            five.iter().rev().fold(0_usize, |bits, byte| bits * 2 + usize::from(byte.is_ascii_uppercase()));
        char::from(SUFFIX.get(bits).copied().unwrap_or(b'A'))
    };
    short.as_bytes().chunks(5).map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_is_the_one_that_salesforce_computes() {
        // The worked example of the vendor's knowledge article on 15 and 18 characters.
        assert_eq!(full("00530000003M49x").as_deref(), Some("00530000003M49xAAC"));
        assert_eq!(full("00530000003M49xAAC").as_deref(), Some("00530000003M49xAAC"));
        assert_eq!(full("00530000003M49xaac").as_deref(), Some("00530000003M49xAAC"));
    }

    #[test]
    fn what_is_no_id_is_not_taken_for_one() {
        for text in ["", "00530000003M49", "00530000003M49xAAD", "00530000003M4-x", "ä0530000003M49"] {
            assert_eq!(full(text), None, "{text:?}");
        }
    }

    #[test]
    fn ids_grow_with_their_numbers() {
        let ids: Vec<String> = [1, 9, 10, 61, 62, 3843, 3844].map(|number| make("006", number)).to_vec();
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| full(id).as_ref() == Some(id)));
    }
}
