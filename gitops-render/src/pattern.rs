//! Patterns for paths.

use std::fmt;
use std::str::FromStr;

use gitops_core::RelPath;

/// A pattern that file paths are matched against.
///
/// `?` is any one character, `*` any number of them within one part of the path, and `**`
/// any number across parts; `**/` also stands for nothing. A pattern without `/` is
/// matched against the file's name in any directory, one with `/` against the path from the
/// root that is rendered. A leading `/` ties a name to that root.
///
/// ```
/// use gitops_render::PathPattern;
///
/// let matches = |pattern: &str, path: &str| -> Result<bool, Box<dyn std::error::Error>> {
///     Ok(pattern.parse::<PathPattern>()?.matches(&path.parse()?))
/// };
/// assert!(matches("*.prod.yaml", "web/app.prod.yaml")?);
/// assert!(matches("web/*.yaml", "web/app.yaml")?);
/// assert!(!matches("web/*.yaml", "web/db/app.yaml")?);
/// assert!(matches("web/**/*.yaml", "web/app.yaml")?);
/// assert!(!matches("/app.yaml", "web/app.yaml")?);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    tokens: Vec<Token>,
    /// Matched against the whole path and not the name alone.
    whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Character(char),
    /// `?`
    One,
    /// `*`
    Part,
    /// `**`
    Any,
    /// `**/`: any number of whole parts, also none.
    Parts,
}

/// A text that is not a [`PathPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} {reason}")]
pub struct PatternError {
    pattern: String,
    reason: &'static str,
}

/// Longer patterns are refused. The work of a match is the product of both lengths.
const MAX_LENGTH: usize = 1024;

impl PathPattern {
    /// Whether the path, counted from the root that is rendered, matches.
    #[must_use]
    pub fn matches(&self, path: &RelPath) -> bool {
        let text = if self.whole {
            path.as_str()
        } else {
            path.file_name().unwrap_or_default()
        };
        self.matches_text(text)
    }

    /// All ways through the pattern at once, so that no input takes exponential time.
    fn matches_text(&self, text: &str) -> bool {
        // Which tokens may come next, given the characters so far.
        let mut next = vec![false; self.tokens.len() + 1];
        self.enter(&mut next, 0, true);
        for character in text.chars() {
            let before = std::mem::replace(&mut next, vec![false; self.tokens.len() + 1]);
            let part_begins = character == '/';
            for (at, token) in self.tokens.iter().enumerate() {
                if !before.get(at).copied().unwrap_or_default() {
                    continue;
                }
                match token {
                    Token::Character(expected) if *expected == character => {
                        self.enter(&mut next, at + 1, part_begins);
                    }
                    Token::One if character != '/' => self.enter(&mut next, at + 1, part_begins),
                    Token::Part if character != '/' => self.enter(&mut next, at, part_begins),
                    Token::Any => self.enter(&mut next, at, part_begins),
                    // Within skipped parts only this token stays; after a slash it may end.
                    Token::Parts if part_begins => self.enter(&mut next, at, true),
                    Token::Parts => mark(&mut next, at),
                    _ => {}
                }
            }
        }
        next.last().copied().unwrap_or_default()
    }

    /// Marks a token as possible, and those that follow if it may stand for nothing.
    fn enter(&self, next: &mut [bool], at: usize, part_begins: bool) {
        mark(next, at);
        match self.tokens.get(at) {
            Some(Token::Part | Token::Any) => self.enter(next, at + 1, part_begins),
            Some(Token::Parts) if part_begins => self.enter(next, at + 1, part_begins),
            _ => {}
        }
    }
}

fn mark(next: &mut [bool], at: usize) {
    if let Some(next) = next.get_mut(at) {
        *next = true;
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let error = |reason| PatternError {
            pattern: text.chars().take(100).collect(),
            reason,
        };
        if text.is_empty() {
            return Err(error("is empty"));
        }
        if text.len() > MAX_LENGTH {
            return Err(error("is longer than 1024 bytes"));
        }
        if text.contains(['[', ']', '{', '}', '\\', '!']) {
            return Err(error(
                "may hold `?`, `*` and `**` but no other special character",
            ));
        }
        let pattern = text.strip_prefix('/').unwrap_or(text);
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some(character) = rest.chars().next() {
            let at_start = tokens
                .last()
                .is_none_or(|token| matches!(token, Token::Character('/') | Token::Parts));
            let (token, length) = match character {
                '*' if rest.starts_with("**/") && at_start => (Token::Parts, 3),
                '*' if rest.starts_with("**") => (Token::Any, 2),
                '*' => (Token::Part, 1),
                '?' => (Token::One, 1),
                other => (Token::Character(other), other.len_utf8()),
            };
            // Repeated stars say nothing more.
            let repeated = matches!(token, Token::Part | Token::Any | Token::Parts)
                && tokens.last() == Some(&token);
            if !repeated {
                tokens.push(token);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(Self {
            text: text.to_owned(),
            tokens,
            whole: text.contains('/'),
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, path, matches) in [
            ("a.yaml", "a.yaml", true),
            ("a.yaml", "x/y/a.yaml", true),
            ("a.yaml", "a.yaml.bak", false),
            ("*.yaml", ".yaml", true),
            ("?.yaml", "a.yaml", true),
            ("?.yaml", "é.yaml", true),
            ("?.yaml", "ab.yaml", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("/a.yaml", "a.yaml", true),
            ("/a.yaml", "x/a.yaml", false),
            ("x/*", "x/a", true),
            ("x/*", "x/y/a", false),
            ("x/?y", "x//y", false),
            ("x/**", "x/y/a", true),
            ("x/**", "xy/a", false),
            ("**/a", "a", true),
            ("**/a", "x/y/a", true),
            ("**/a", "x/ya", false),
            ("x/**/a", "x/a", true),
            ("x/**/a", "x/y/z/a", true),
            ("x/**/a", "x/yza", false),
            ("**/x/**/a", "p/x/q/x/a", true),
            ("**/**/a", "x/a", true),
            ("x**/a", "xy/z/a", true),
        ] {
            let Ok(path) = path.parse() else { continue };
            let parsed: PathPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(&path), matches, "{pattern} {path}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn a_pattern_takes_no_exponential_time() {
        let pattern: PathPattern = format!("/{}b", "*a**".repeat(100)).parse().unwrap();
        let path = ["a".repeat(200).as_str(); 15].join("/").parse().unwrap();
        assert!(!pattern.matches(&path));
    }

    #[test]
    fn what_shells_know_and_this_does_not_is_refused() {
        for bad in ["", "[ab].yaml", "{a,b}", "!a", "a\\b", &"a".repeat(2000)] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }
}
