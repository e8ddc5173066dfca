//! Text that is shown and not obeyed, and how wide it is.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Whether a terminal, browser or editor obeys this character, or doesn't show it at all:
/// controls, what turns the direction of text, and what takes no room.
fn is_obeyed(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Text that a terminal or browser shows and does not obey: what it would obey stands as an
/// escape, such as `\u{1b}`.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// How many columns a terminal needs for it.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text with a space for each tab's columns, so that it is as wide as it looks.
pub(super) fn untabbed(text: &str) -> String {
    text.replace('\t', "    ")
}

/// The text in pieces that are at most `columns` wide; one piece if it is empty.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > columns && used > 0 {
            pieces.push(String::new());
            used = 0;
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
        used += wide;
    }
    pieces
}

/// How long the longest run of this character is.
pub(super) fn longest_run(text: &str, wanted: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// The most characters of a line that are shown.
const MAX_LINE: usize = 240;
/// So much of what two long lines have in common is shown before they differ.
const CONTEXT: usize = 40;

/// A line of which at most `MAX_LINE` characters are shown, from the one at `from`.
fn part(line: &str, from: usize) -> String {
    let count = line.chars().count();
    if count <= MAX_LINE {
        return line.to_owned();
    }
    let shown: String = line.chars().skip(from).take(MAX_LINE).collect();
    let left = count.saturating_sub(from + MAX_LINE);
    let before = if from > 0 {
        format!("… {from} characters … ")
    } else {
        String::new()
    };
    let after = if left > 0 {
        format!(" … {left} more characters")
    } else {
        String::new()
    };
    format!("{before}{shown}{after}")
}

/// A line that isn't longer than what people read.
pub(super) fn shortened(line: &str) -> String {
    part(line, 0)
}

/// Two lines of which one takes the other's place: shown is where they differ.
pub(super) fn shortened_pair(old: &str, new: &str) -> (String, String) {
    let same = old
        .chars()
        .zip(new.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let from = same.saturating_sub(CONTEXT);
    let from = if from + MAX_LINE / 2 > MAX_LINE {
        from
    } else {
        0
    };
    (part(old, from), part(new, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_obeyed_or_unseen_becomes_an_escape() {
        for (text, shown) in [
            ("plain ü 世界\t|", "plain ü 世界\t|"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("ad\u{200b}min", "ad\\u{200b}min"),
            ("\u{9b}0m\u{7f}", "\\u{9b}0m\\u{7f}"),
            ("a\nb\r", "a\\u{a}b\\u{d}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(clean(text), shown);
        }
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(width("世界"), 4);
        assert_eq!(wrapped("世界世界", 5), ["世界", "世界"]);
        assert_eq!(wrapped("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(wrapped("", 4), [""]);
        // Nothing fits, and there is no endless loop.
        assert_eq!(wrapped("世", 1), ["世"]);
    }

    #[test]
    fn of_long_lines_the_part_that_differs_is_shown() {
        let long = |middle: &str| format!("{}{middle}{}", "a".repeat(1000), "z".repeat(1000));
        let (old, new) = shortened_pair(&long("OLD"), &long("NEW"));
        assert!(
            old.contains("aOLDz") && new.contains("aNEWz"),
            "{old}\n{new}"
        );
        assert!(old.starts_with("… 960 characters … aaa"), "{old}");
        assert!(old.ends_with(" more characters"), "{old}");
        let (old, new) = shortened_pair("OLD", &long("NEW"));
        assert_eq!(old, "OLD");
        assert!(new.starts_with("aaa") && width(&new) < 300, "{new}");
    }
}
