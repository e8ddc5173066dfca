//! What is too much is refused, before the memory for it is taken.

use gitops_core::yaml::{ReadErrorKind, ReadLimits, read_documents};

#[track_caller]
fn limit(text: &str, limits: &ReadLimits) -> &'static str {
    let read = read_documents("a.yaml", text.as_bytes(), limits);
    match read.errors.last().map(|error| &error.kind) {
        Some(ReadErrorKind::Limit { field, .. }) => field,
        other => panic!("no limit: {other:?}"),
    }
}

#[track_caller]
fn fits(text: &str, limits: &ReadLimits) {
    let read = read_documents("a.yaml", text.as_bytes(), limits);
    assert_eq!(read.errors, []);
}

#[test]
fn each_limit_is_kept_to_the_last_one() {
    let limits = ReadLimits::default();
    fits("12345", &limits.clone().bytes(5));
    assert_eq!(limit("123456", &limits.clone().bytes(5)), "bytes");
    fits("a\n---\nb\n---\nc", &limits.clone().documents(3));
    assert_eq!(
        limit(
            "a\n---\nb\n---\nc\n---\nd\n---\ne",
            &limits.clone().documents(3)
        ),
        "documents"
    );
    // A list, a mapping, a key, a value.
    for (text, nodes) in [("- a: 1", 4), ("[{\"a\": 1}]", 4), ("{\"a\": [1]}", 4)] {
        fits(text, &limits.clone().nodes(nodes));
        assert_eq!(limit(text, &limits.clone().nodes(nodes - 1)), "nodes");
    }
    for text in [
        "a: 12345",
        "{\"a\": \"12345\"}",
        "12345: 1",
        "{\"12345\": 1}",
    ] {
        fits(text, &limits.clone().scalar_bytes(5));
        assert_eq!(limit(text, &limits.clone().scalar_bytes(4)), "scalar_bytes");
    }
}

#[test]
fn nodes_are_counted_over_all_documents() {
    let limits = ReadLimits::default().nodes(5);
    let read = read_documents("a", b"[1]\n---\n[2]\n---\n[3]\n---\n[4]\n", &limits);
    assert_eq!(read.documents.len(), 2);
    // One error and no more: the rest is not looked at.
    assert_eq!(read.errors.len(), 1);
    assert!(read.errors[0].is_limit());
}

#[test]
fn depth_is_the_same_however_it_is_written() {
    let deep = |depth: usize| {
        [
            format!("{}1{}", "[".repeat(depth), "]".repeat(depth)),
            format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
            format!("{}1{}", "{a: ".repeat(depth), "}".repeat(depth)),
            format!("{}1", "- ".repeat(depth)),
            (0..depth)
                .map(|at| format!("{}a:\n", " ".repeat(at)))
                .collect(),
        ]
    };
    let limits = ReadLimits::default();
    for text in deep(100) {
        fits(&text, &limits);
    }
    for text in deep(101) {
        assert_eq!(limit(&text, &limits), "depth", "{text}");
    }
    let limits = limits.depth(usize::MAX);
    for text in deep(127) {
        fits(&text, &limits);
    }
    for text in deep(128).into_iter().chain(deep(2_000)) {
        assert_eq!(limit(&text, &limits), "depth");
    }
}

#[test]
fn very_deep_input_does_not_overflow_the_stack() {
    for open in ["[", "{a: ", "- ", "? ", "{\"a\":", "[[{"] {
        let text = open.repeat(200_000);
        let read = read_documents("a.yaml", text.as_bytes(), &ReadLimits::default());
        assert_eq!(read.errors.len(), 1, "{open}");
    }
}

/// CVE-2019-11253: nine levels of nine aliases.
#[test]
fn an_alias_bomb_is_refused_early() {
    let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        let list = vec![alias; 9].join(", ");
        bomb += &format!("a{level}: &a{level} [{list}]\n");
    }
    assert_eq!(limit(&bomb, &ReadLimits::default()), "alias_bytes");
    let generous = ReadLimits::default().alias_bytes(usize::MAX);
    assert_eq!(limit(&bomb, &generous), "nodes");
}

#[test]
fn one_long_text_repeated_is_an_alias_bomb_too() {
    let text = format!("- &a {}\n{}", "x".repeat(1 << 20), "- *a\n".repeat(1_000));
    assert_eq!(limit(&text, &ReadLimits::default()), "alias_bytes");
}

#[test]
fn anchors_within_anchors_are_bounded() {
    // Every anchor holds a copy of all that is within it.
    let mut text = String::new();
    for level in 0..90 {
        text += &format!("{}a{level}: &a{level}\n", " ".repeat(level));
    }
    let indent = " ".repeat(90);
    text += &format!("{indent}x: [{}]\n", "1, ".repeat(20_000));
    fits(&text, &ReadLimits::default());
    text += "y: *a89\n";
    assert_eq!(limit(&text, &ReadLimits::default()), "alias_bytes");
}

#[test]
fn aliases_cannot_nest_deeper_than_the_limit() {
    let mut text = "- &a0 [1]\n".to_owned();
    for level in 1..200 {
        text += &format!("- &a{level} [*a{}]\n", level - 1);
    }
    assert_eq!(limit(&text, &ReadLimits::default()), "depth");
}

#[test]
fn merge_bombs_are_refused() {
    let keys: String = (0..1_000).map(|at| format!("k{at}: 1, ")).collect();
    let mut text = format!("- &a {{{keys}}}\n");
    for _ in 0..1_000 {
        text += "- {<<: *a}\n";
    }
    assert_eq!(limit(&text, &ReadLimits::default()), "alias_bytes");
}
