//! Properties: no input panics, and what is written reads back the same.

use gitops_core::yaml::{ReadLimits, read_documents, to_yaml};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Characters and words that YAML finds interesting, and any others.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z0-9]{1,4}",
        4 => proptest::sample::select(vec![
            ": ", ":", " #", "#", "- ", "-", "? ", "?", "\n", "\n\n", " ", "  ", "\t", "'", "\"",
            "\\", "{", "}", "[", "]", ",", "&a", "*a", "!", "!!str", "|", ">", "%", "@", "`", "~",
            "---", "...", "=", "<<", "\r", "\r\n", "\u{85}", "\u{2028}", "\u{feff}", "\u{1f600}",
            "é", "\0", "\u{1b}", "\u{fffe}", "_", ".", "+", "0x", "0b", "1e3", "12:30", "2001-01-01",
            "yes", "No", "null", ".inf", ".nan", "true", "o",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        // Whole floats are integers in Kubernetes, so they are none here.
        any::<f64>()
            .prop_filter("finite and not whole", |float| float.is_finite()
                && float.fract() != 0.0)
            .prop_map(Value::from),
        (1e22_f64..1e300).prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number(),
        text().prop_map(Value::String),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::btree_map(text(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// YAML with a few bytes changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            text().prop_map(String::into_bytes),
            Just(Vec::new()),
        ],
    );
    (value(), value(), proptest::collection::vec(edit, 0..6)).prop_map(|(a, b, edits)| {
        let mut bytes = format!("{}---\n{}", to_yaml(&a), to_yaml(&b)).into_bytes();
        for (at, new) in edits {
            let at = at.index(bytes.len());
            bytes.splice(at..at + 1, new);
            if bytes.is_empty() {
                bytes.push(b'a');
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_the_same(value in value()) {
        let yaml = to_yaml(&value);
        let mut read = read_documents("a.yaml", yaml.as_bytes(), &ReadLimits::default());
        prop_assert_eq!(&read.errors, &[], "{}", yaml);
        let back = read.documents.pop().map_or(Value::Null, |document| document.value);
        prop_assert_eq!(&back, &value, "{}", yaml);
        prop_assert!(read.documents.is_empty());
        prop_assert_eq!(to_yaml(&back), yaml);
    }

    #[test]
    fn json_is_read_the_same_as_yaml_and_as_json(value in value()) {
        let json = serde_json::to_string(&value).unwrap();
        let object = value.is_object();
        let read = read_documents("a.json", json.as_bytes(), &ReadLimits::default());
        // Only `{` begins JSON; YAML refuses some characters that JSON allows.
        if object {
            prop_assert_eq!(&read.errors, &[]);
            prop_assert_eq!(&read.documents[0].value, &value);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_documents("a.yaml", &bytes, &ReadLimits::default());
    }

    #[test]
    fn any_text_is_read_or_refused(text in text(), more in text()) {
        let _ = read_documents("a.yaml", format!("{text}\n{more}").as_bytes(), &ReadLimits::default());
    }

    #[test]
    fn mutated_yaml_is_read_or_refused(bytes in mutated()) {
        let first = read_documents("a.yaml", &bytes, &ReadLimits::default());
        // The same again, and what was read survives a round.
        prop_assert_eq!(&first, &read_documents("a.yaml", &bytes, &ReadLimits::default()));
        for document in first.documents {
            let yaml = to_yaml(&document.value);
            let read = read_documents("a.yaml", yaml.as_bytes(), &ReadLimits::default());
            prop_assert_eq!(&read.errors, &[], "{}", yaml);
            prop_assert_eq!(&read.documents[0].value, &document.value);
        }
    }
}

#[test]
fn texts_that_some_reader_takes_for_more_are_quoted() {
    for text in [
        "y",
        "yEs",
        "On",
        "nULL",
        "~",
        "1",
        "-1",
        "0o7",
        "0x1F",
        "1e3",
        "12e4567",
        "1_000",
        ".5",
        "._5",
        "1.",
        "190:20:30",
        "2001-01-01",
        "2001-1-1 1:1:1",
        "=",
        "<<",
        "",
        " a",
        "a ",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "- a",
        "-",
        "? a",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a",
        "{a",
        "[a",
        "a\tb",
        "'a",
        "\"a",
        "|",
        ">",
        "---",
        "...",
        "--- a",
        ".inf",
        "-.INF",
        ".NaN",
        "é\u{2028}",
    ] {
        let yaml = to_yaml(&Value::from(text));
        assert!(yaml.starts_with('"'), "{yaml}");
    }
    for text in [
        "a",
        "nginx:1.27",
        "10.0.0.1",
        "1.2.3",
        "v1",
        "apps/v1",
        "--flag=x",
        "-x",
        "$(POD_IP)",
        "a b",
        "500m",
        "1Gi",
        "http://a/b?c=d",
        "/bin/sh",
        "été",
        "it's",
        "a,b",
        "app.kubernetes.io/name",
    ] {
        assert_eq!(to_yaml(&Value::from(text)), format!("{text}\n"));
    }
}

#[test]
fn texts_of_several_lines_are_blocks_where_that_is_exact() {
    for (text, yaml) in [
        ("a\nb", "k: |-\n  a\n  b\n"),
        ("a\n\n  b\n", "k: |\n  a\n\n    b\n"),
        ("a\n\n", "k: |+\n  a\n\n"),
        ("\na", "k: \"\\na\"\n"),
        (" a\nb", "k: \" a\\nb\"\n"),
        ("a \nb", "k: \"a \\nb\"\n"),
        ("a\r\nb", "k: \"a\\r\\nb\"\n"),
        ("a\n\tb", "k: \"a\\n\\tb\"\n"),
    ] {
        assert_eq!(to_yaml(&serde_json::json!({ "k": text })), yaml);
    }
}
