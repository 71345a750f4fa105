//! Tests of the merge, rule by rule.
