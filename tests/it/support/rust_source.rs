//! Rust files as text, taken apart into code, string literals and test code, for tests about the sources.
//!
//! A lexer, not a parser: enough to never mistake a comment or a string for code.

use std::path::Path;

use regex_lite::Regex;

/// One source file with its masks; every mask has the same line breaks as the text.
#[derive(Debug)]
pub struct SourceFile {
    /// Path from the repository root, with `/`.
    pub path: String,
    /// The text as it stands.
    pub text: String,
    /// The text with comments and the insides of literals blanked.
    pub code: String,
    /// The text with everything but the insides of string literals blanked.
    pub strings: String,
    test_lines: Vec<bool>,
}

impl SourceFile {
    /// Takes a text apart.
    pub fn new(path: &str, text: &str) -> SourceFile {
        let (code, strings) = masks(text);
        let test_lines = test_lines(path, &code);
        SourceFile { path: path.to_owned(), text: text.to_owned(), code, strings, test_lines }
    }

    /// The top-level module that the file belongs to: `core` for `src/core/merge.rs`, `main` for `src/main.rs`.
    pub fn top_module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = inside.split('/').next().unwrap_or(inside);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules deep the file stands under the crate root: 2 for `src/core/merge.rs`.
    pub fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let steps = inside.split('/').count();
        if inside.ends_with("/mod.rs") || inside == "lib.rs" || inside == "main.rs" {
            steps - 1
        } else {
            steps
        }
    }

    /// Is that line (from 1) test code?
    pub fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// The lines (from 1) of code where the pattern stands, each with what it matched.
    pub fn code_matches(&self, pattern: &str) -> Vec<(usize, String)> {
        matches(&self.code, pattern)
    }

    /// The same inside string literals.
    pub fn string_matches(&self, pattern: &str) -> Vec<(usize, String)> {
        matches(&self.strings, pattern)
    }
}

/// Every `.rs` file under a folder of the repository, in the order of their paths.
pub fn rust_files(folder: &str) -> Vec<SourceFile> {
    let root = super::repository();
    let mut found = Vec::new();
    collect(&root, &root.join(folder), &mut found);
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<SourceFile>) {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder can be read to its end").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).expect("inside the repository");
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            found.push(SourceFile::new(&relative.to_string_lossy().replace('\\', "/"), &text));
        }
    }
}

fn matches(text: &str, pattern: &str) -> Vec<(usize, String)> {
    let pattern = Regex::new(pattern).expect("the patterns of a test are valid");
    pattern
        .find_iter(text)
        .map(|found| (line_of(text, found.start()), found.as_str().replace('\n', " ")))
        .collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// What a stretch of source is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// The text twice: with only its code left, and with only the insides of its string literals left.
fn masks(text: &str) -> (String, String) {
    let tokens = Regex::new(concat!(
        r#"(?s)(?P<comment>//[^\n]*|/\*.*?\*/)"#,
        r####"|(?P<raw>\b(?:b|c)?r(?:"[^"]*"|#".*?"#|##".*?"##|###".*?"###|#{4}".*?"#{4}))"####,
        r#"|(?P<string>(?:\b[bc])?"(?:\\.|[^"\\])*")"#,
        r"|(?P<char>\bb?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^\\'\n])'|'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^\\'\n])')",
    ))
    .expect("the token pattern is valid");
    let mut pieces: Vec<(Kind, &str)> = Vec::new();
    let mut end = 0;
    for token in tokens.captures_iter(text) {
        let whole = token.get(0).expect("a match has a whole");
        pieces.push((Kind::Code, &text[end..whole.start()]));
        let is_text = token.name("raw").is_some() || token.name("string").is_some();
        pieces.push((if is_text { Kind::Text } else { Kind::Comment }, whole.as_str()));
        end = whole.end();
    }
    pieces.push((Kind::Code, &text[end..]));
    let keep = |kept: Kind| -> String {
        pieces
            .iter()
            .map(|(kind, piece)| if *kind == kept { (*piece).to_owned() } else { blank(piece) })
            .collect()
    };
    (keep(Kind::Code), keep(Kind::Text))
}

fn blank(piece: &str) -> String {
    piece.chars().map(|character| if character == '\n' { '\n' } else { ' ' }).collect()
}

/// Which lines belong to tests: a file of tests, or the block behind `#[cfg(test)] mod`.
fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let whole = name == "tests.rs" || name.ends_with("_tests.rs") || path.contains("tests/");
    let mut lines = vec![whole; code.matches('\n').count() + 1];
    let opening =
        Regex::new(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{")
            .expect("the pattern is valid");
    for found in opening.find_iter(code) {
        let mut depth = 0_usize;
        let behind = code[found.end() - 1..].char_indices().find(|(_, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let end = behind.map_or(code.len(), |(offset, _)| found.end() - 1 + offset);
        for line in line_of(code, found.start())..=line_of(code, end) {
            lines[line - 1] = true;
        }
    }
    lines
}

#[test]
fn comments_and_strings_are_not_code() {
    let text = "let a = \"crate::store \\\" x\"; // crate::store\n/* crate::store */ let c = 'x'; \
                let r = r#\"SELECT \"a\" FROM t\"#; fn f<'a>(x: &'a str) {} crate::core::X";
    let file = SourceFile::new("src/core/x.rs", text);
    assert_eq!(file.code_matches(r"crate::\w+"), [(2, "crate::core".to_owned())]);
    assert_eq!(file.string_matches(r"crate::\w+|SELECT").len(), 2);
    assert!(file.code.contains("fn f<'a>(x: &'a str)"), "lifetimes are code: {}", file.code);
}

#[test]
fn blocks_of_tests_are_known() {
    let file =
        SourceFile::new("src/core/x.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n");
    let tests: Vec<usize> = (1..=6).filter(|line| file.is_test(*line)).collect();
    assert_eq!(tests, [2, 3, 4, 5]);
    assert!(SourceFile::new("src/core/x_tests.rs", "fn a() {}").is_test(1));
}

#[test]
fn a_file_knows_where_it_stands() {
    let place = |path: &str| {
        let file = SourceFile::new(path, "");
        (file.top_module().to_owned(), file.depth())
    };
    assert_eq!(place("src/core/merge.rs"), ("core".to_owned(), 2));
    assert_eq!(place("src/core/mod.rs"), ("core".to_owned(), 1));
    assert_eq!(place("src/ports.rs"), ("ports".to_owned(), 1));
    assert_eq!(place("src/lib.rs"), ("lib".to_owned(), 0));
}
