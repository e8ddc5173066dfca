//! Documents, anchors, merge keys, duplicate keys, and where errors point.

use gitops_core::yaml::{ReadErrorKind, ReadLimits, read_documents};
use serde_json::json;

use super::{one, read, refusal};

#[test]
fn documents_are_split_on_lines() {
    let read = read("# a\n---\na: 1\n---\n\n--- # c\n~\n---\n\nb: |\n  x\n  --- y\n---\n");
    assert_eq!(read.errors, []);
    let found: Vec<_> = read
        .documents
        .iter()
        .map(|document| (document.number, document.line, document.value.clone()))
        .collect();
    assert_eq!(
        found,
        [
            (1, 3, json!({ "a": 1 })),
            (2, 10, json!({ "b": "x\n--- y\n" })),
        ]
    );
}

#[test]
fn a_broken_document_hides_no_other() {
    let read = read("a: [1\n---\nb: 1\n---\nc: 'x\n---\nd: \"\n  x\n--- e\ne: 1\n---\nf: 1\n");
    let values: Vec<_> = read
        .documents
        .iter()
        .map(|d| (d.number, &d.value))
        .collect();
    assert_eq!(values, [(2, &json!({ "b": 1 })), (6, &json!({ "f": 1 }))]);
    let errors: Vec<_> = read.errors.iter().map(|e| (e.document, e.line)).collect();
    assert_eq!(errors, [(1, 1), (3, 6), (4, 9), (5, 9)]);
    assert_eq!(read.errors[3].kind, ReadErrorKind::Separator);
    assert_eq!(read.errors[3].column, 5);
}

#[test]
fn bytes_that_are_not_utf8_hide_no_other_document() {
    let limits = ReadLimits::default();
    let read = read_documents("a", b"a: 1\n---\nb: \xff\n---\nc: 1\n", &limits);
    assert_eq!(read.documents.len(), 2);
    let error = &read.errors[0];
    assert_eq!(error.kind, ReadErrorKind::NotUtf8);
    assert_eq!((error.document, error.line, error.column), (2, 3, 4));
    // UTF-16 is not taken for a hundred broken documents.
    let utf16: Vec<u8> = "\u{feff}a: 1\n---\nb: 1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let read = read_documents("a", &utf16, &limits);
    assert_eq!(read.errors.len(), 1);
    assert_eq!(read.errors[0].kind, ReadErrorKind::NotUtf8);
}

#[test]
fn line_ends_and_byte_order_marks_do_not_count() {
    assert_eq!(
        one("\u{feff}a: 1\r\nb: |\r\n  x\r\n  y\r\n"),
        json!({ "a": 1, "b": "x\ny\n" })
    );
    let read = read("\u{feff}---\r\na: 1\r\n---\r\n\u{feff}b: 1\r\n");
    assert_eq!(read.errors, []);
    assert_eq!(read.documents.len(), 2);
    assert_eq!(one("a:\tb\t# c\n"), json!({ "a": "b" }));
    assert!(matches!(
        refusal("a:\n\tb: 1\n"),
        ReadErrorKind::Yaml { .. }
    ));
}

/// Found by fuzzing: the parser counted them as lines, and the splitter didn't, so that a
/// document began behind the one that follows it.
#[test]
fn a_carriage_return_alone_ends_a_line() {
    let found = read("a: 1\r\r\rb: 1\n---\r\r\nb: 1\r\r---\n{\r\r\"a\": 1}\r{}\n---\nc: 1\n");
    let lines: Vec<_> = found.documents.iter().map(|d| d.line).collect();
    assert_eq!(found.errors.len(), 1, "{:?}", found.errors);
    assert_eq!((found.errors[0].line, lines), (9, vec![1, 15]));

    let found = read("a: 1\r\rb: 1\n---\n\r{\r\"a\": 1}\r{}\n---\nc: 1\n");
    let lines: Vec<_> = found.documents.iter().map(|d| d.line).collect();
    assert_eq!((found.errors, lines), (vec![], vec![1, 6, 8, 10]));

    let error = &read("a: 1\n---\n{\"\u{fc}\":\r\"\u{fc}\" \"\u{fc}\"}").errors[0];
    assert_eq!((error.line, error.column), (4, 5), "{error}");
}

#[test]
fn nothing_is_an_empty_file() {
    for nothing in [
        "",
        "\n\n",
        "# c\n",
        "---\n",
        "---\n---\n# c\n---",
        "~",
        "null\n---\n\n...\n",
    ] {
        let read = read(nothing);
        assert_eq!(
            (read.documents, read.errors),
            (vec![], vec![]),
            "{nothing:?}"
        );
    }
}

#[test]
fn what_kubectl_drops_is_refused() {
    assert_eq!(refusal("a: 1\n...\n---b: 1\n"), ReadErrorKind::Separator);
    assert_eq!(one("a: 1\n...\n# c\n...\n"), json!({ "a": 1 }));
    assert_eq!(refusal("a: 1\n...\nb: 1\n"), ReadErrorKind::AfterEnd);
    // A carriage return is a line break to YAML but no line to kubectl's splitter.
    assert_eq!(refusal("a: 1\r---\rb: 1\n"), ReadErrorKind::AfterEnd);
    assert_eq!(refusal("%YAML 1.1\n---\n"), ReadErrorKind::Directive);
}

#[test]
fn characters_on_which_readers_disagree_are_refused() {
    for character in [
        '\u{85}', '\u{2028}', '\u{2029}', '\0', '\u{7f}', '\u{1b}', '\u{fffe}',
    ] {
        let refused = ReadErrorKind::Character { character };
        assert_eq!(refusal(&format!("a: 1 # c{character}b: 2")), refused);
        assert_eq!(refusal(&format!("a: 'é{character}'")), refused);
        let escaped = format!("a: \"\\u{:04X}\"", u32::from(character));
        assert_eq!(one(&escaped), json!({ "a": character }));
    }
    let error = &read("a: é\nb: ü\u{2028}").errors[0];
    assert_eq!((error.line, error.column), (2, 5));
}

#[test]
fn duplicate_keys_are_refused_where_they_stand() {
    for (text, key, line, column) in [
        ("a: 1\na: 1\n", "a", 2, 1),
        ("x:\n- a: 1\n  'a': 2\n", "a", 3, 3),
        ("1: a\n'1': b\n", "1", 2, 1),
        ("on: a\ntrue: b\n", "true", 2, 1),
        ("{a: 1, b: 2, a: 3}", "a", 1, 14),
        ("a: &a 1\n*a : 2\n1: 3\n", "1", 3, 1),
        ("<<: {a: 1}\n<<: {b: 1}\n", "<<", 2, 1),
    ] {
        let error = read(text).errors.remove(0);
        assert_eq!(
            error.kind,
            ReadErrorKind::DuplicateKey { key: key.into() },
            "{text}"
        );
        assert_eq!((error.line, error.column), (line, column), "{text}");
    }
    let error = read("{\"a\": 1,\n \"a\": 2}").errors.remove(0);
    assert_eq!(error.kind, ReadErrorKind::DuplicateKey { key: "a".into() });
    assert_eq!(error.line, 2);
}

#[test]
fn aliases_repeat_what_they_name() {
    assert_eq!(
        one("a: &x {b: &y [1, *z0]}\nc: *x\n"
            .replace(", *z0", "")
            .as_str()),
        json!({ "a": { "b": [1] }, "c": { "b": [1] } })
    );
    assert_eq!(one("a: &k on\n*k : 1\n"), json!({ "a": true, "true": 1 }));
    assert_eq!(
        one("&k on: &e\nb: [*k, *e]\n"),
        json!({ "true": null, "b": [true, null] })
    );
    assert_eq!(
        one("a: &x 1\nb: &x 2\nc: *x\n"),
        json!({ "a": 1, "b": 2, "c": 2 })
    );
    assert_eq!(refusal("a: *x\nb: &x 1\n"), ReadErrorKind::UnknownAnchor);
    assert_eq!(refusal("a: &x [*x]\n"), ReadErrorKind::RecursiveAnchor);
    let read = read("a: &x 1\n---\nb: *x\n");
    assert_eq!(read.errors[0].kind, ReadErrorKind::UnknownAnchor);
    assert_eq!((read.errors[0].line, read.errors[0].column), (3, 4));
}

#[test]
fn merge_keys_fill_in_what_is_missing() {
    for (text, expected) in [
        ("<<: {a: 1, b: 2}\na: 3\n", json!({ "a": 3, "b": 2 })),
        ("<<: [{a: 1}, {a: 2, b: 2}]\n", json!({ "a": 1, "b": 2 })),
        (
            "x: &x {a: 1}\nw: {<<: *x, b: 2}\n",
            json!({ "x": { "a": 1 }, "w": { "a": 1, "b": 2 } }),
        ),
        (
            "x: &x {a: 1}\nw: {<<: [*x, {a: 2, c: 3}], b: 2}\n",
            json!({ "x": { "a": 1 }, "w": { "a": 1, "b": 2, "c": 3 } }),
        ),
        (
            "x: &x {a: {b: 1}}\nw: &y {<<: *x, c: 2}\nz: {<<: *y}\n",
            json!({ "x": { "a": { "b": 1 } }, "w": { "a": { "b": 1 }, "c": 2 }, "z": { "a": { "b": 1 }, "c": 2 } }),
        ),
        // Below, but no value is in doubt.
        ("a: 1\n<<: {a: 1, b: 2}\n", json!({ "a": 1, "b": 2 })),
        ("<<: []\n", json!({})),
        // Not a merge: a text, and a value.
        ("'<<': 1\n", json!({ "<<": 1 })),
        ("!!str <<: 1\n", json!({ "<<": 1 })),
        ("a: <<\n", json!({ "a": "<<" })),
        ("!!merge <<: {a: 1}\n", json!({ "a": 1 })),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
    for text in [
        "<<: 1\n",
        "<<: [1]\n",
        "<<: [[{a: 1}]]\n",
        "x: &x [{a: 1}]\nw: {<<: *x}\n",
    ] {
        assert_eq!(refusal(text), ReadErrorKind::MergeValue, "{text}");
    }
}

/// kubectl takes 2 here, kustomize 1.
#[test]
fn a_merge_below_a_key_it_contradicts_is_refused() {
    let key = "a".to_owned();
    assert_eq!(
        refusal("a: 1\n<<: {a: 2}\n"),
        ReadErrorKind::MergeOrder { key: key.clone() }
    );
    assert_eq!(
        refusal("a: 1\n<<: [{b: 1}, {a: 2}]\n"),
        ReadErrorKind::MergeOrder { key }
    );
    // The first source counts.
    assert_eq!(one("a: 1\n<<: [{a: 1}, {a: 2}]\n"), json!({ "a": 1 }));
}

#[test]
fn json_is_read_as_json() {
    let read = read(
        "\n{\"a\": 1.0, \"b\": \"\\u2028\", \"c\": 1e3, \"d\": -0}\n\n{\"b\": [null]}\n---\nc: 1\n",
    );
    assert_eq!(read.errors, []);
    let found: Vec<_> = read
        .documents
        .iter()
        .map(|d| (d.line, d.value.clone()))
        .collect();
    assert_eq!(
        found,
        [
            (2, json!({ "a": 1, "b": "\u{2028}", "c": 1000, "d": 0 })),
            (4, json!({ "b": [null] })),
            (6, json!({ "c": 1 })),
        ]
    );
    // A brace may begin a YAML mapping too.
    assert_eq!(one("{a: b, c: [yes]}"), json!({ "a": "b", "c": [true] }));
    // The error is that of the reader that came further.
    assert!(matches!(
        refusal("{\"a\": 1,\n \"b\": \"\\q\"}"),
        ReadErrorKind::Json { .. }
    ));
    assert!(matches!(
        refusal("{a: 1,\n b: \"\\q\"}"),
        ReadErrorKind::Yaml { .. }
    ));
}

#[test]
fn errors_say_where_what_and_what_to_do() {
    let limits = ReadLimits::default();
    let read = read_documents(
        "apps/web.yaml",
        b"a: 1\n---\n\nb:\n  c: 1\n  c: 2\n",
        &limits,
    );
    assert_eq!(
        read.errors[0].to_string(),
        "apps/web.yaml: document 2, line 6, column 3: the key \"c\" is there twice; remove one"
    );
    // A key may be long or hold control characters; the message does not.
    let key = "k".repeat(500);
    let error = super::read(&format!("{key}: 1\n{key}: 1\n"))
        .errors
        .remove(0);
    assert!(error.to_string().len() < 200);
    let error = super::read("\"\\e[31m\": 1\n\"\\e[31m\": 1\n")
        .errors
        .remove(0);
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn errors_hold_no_value() {
    for text in [
        "password: hunter2\n'password': hunter2\n",
        "a: !!int hunter2\n",
        "a: !!binary hunter2\n",
        "a: hunter2: hunter2\n",
        "a: \"hunter2\\q\"\n",
        "{\"a\": \"hunter2\\q\"}",
        "a: 'hunter2\n",
        "<<: hunter2\n",
        "a: hunter2\u{2028}\n",
    ] {
        let read = read(text);
        let error = &read.errors[0];
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}
