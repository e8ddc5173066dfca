//! The same text through `kubectl`, which must see the same object.
//!
//! `kubectl label --local` parses and prints without a server. The binary is
//! `TEST_ASSET_KUBECTL` or the `kubectl` on the path; without one the tests say so and pass.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{one, read};

/// Reads the manifests with kubectl. None if there is no kubectl; the error is its message.
pub(crate) fn kubectl(yaml: &str) -> Option<Result<Vec<Value>, String>> {
    let binary = std::env::var_os("TEST_ASSET_KUBECTL").unwrap_or_else(|| "kubectl".into());
    let child = Command::new(binary)
        .args([
            "label",
            "--local",
            "--overwrite",
            "--dry-run=client",
            "-o",
            "json",
            "-f",
            "-",
        ])
        .arg("gitops-sdk-test=x")
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: no kubectl (set TEST_ASSET_KUBECTL)");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let yaml = yaml.to_owned();
    // kubectl may stop reading at an error; that is its answer, not ours.
    let feed = std::thread::spawn(move || {
        let _ = stdin.write_all(yaml.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let values = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .map(|value| without_label(value.unwrap()))
        .collect();
    Some(Ok(values))
}

fn without_label(mut value: Value) -> Value {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove("gitops-sdk-test");
        }
        if metadata
            .get("labels")
            .is_some_and(|labels| labels == &serde_json::json!({}))
        {
            metadata.remove("labels");
        }
    }
    value
}

/// kubectl holds integers above `i64::MAX` as floats; we keep them.
pub(crate) fn as_kubectl_holds_it(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_none() => Value::from(number.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(as_kubectl_holds_it).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, as_kubectl_holds_it(value)))
            .collect(),
        other => other,
    }
}

fn object(data: &str) -> String {
    format!("apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: a\n{data}")
}

/// Both read it, to the same object.
#[test]
fn kubectl_reads_the_same_object() {
    let mut bodies: Vec<String> = Vec::new();
    for scalar in [
        "y",
        "Y",
        "yEs",
        "yes",
        "On",
        "oN",
        "off",
        "n",
        "N",
        "true",
        "tRUE",
        "~",
        "null",
        "nULL",
        "",
        "0",
        "-0",
        "+5",
        "0777",
        "00",
        "0o17",
        "0o8",
        "08",
        "09",
        "-010",
        "0x1F",
        "+0x1f",
        "-0X1f",
        "0xg",
        "0b11",
        "-0b11",
        "0b-1",
        "0b+1",
        "-0b-1",
        "0b2",
        "0b",
        "0x",
        "1_000",
        "1__0_",
        "0_7",
        "0x_f",
        "_1",
        "9007199254740993",
        "-9223372036854775808",
        "-9223372036854775809",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "+18446744073709551615",
        "8.0",
        "-0.0",
        "1e3",
        "12e03",
        "1E+2",
        "1.",
        "1.5",
        ".5",
        ".5_0",
        ".5__0",
        ".5_",
        "._5",
        ".5e1_0",
        "1_0.2_5",
        "-.5",
        "+.5",
        "1e-3",
        "1234567890123456789.0",
        "9.3e18",
        "1e19",
        "1e20",
        "1e21",
        "1e22",
        "1e400",
        "-1e400",
        "1e-400",
        "0x1FFFFFFFFFFFFFFFFFFF",
        "-0x8000000000000001",
        "-0x8000000000000000",
        "0xFFFFFFFFFFFFFFFF",
        "190:20:30",
        "2001-01-01",
        "2001-12-14t21:59:43.10-05:00",
        "=",
        "<<",
        "+",
        "-x",
        ".",
        "..",
        ".e5",
        ".iNf",
        "12e",
        "1e+",
        "+-1",
        "--1",
        "1 2",
        "1.2.3",
        "1.5Gi",
        "100m",
        "0.1",
        "0.30000000000000004",
        "1e-7",
        "! 5",
        "!local 5",
        "! yes",
        "!!str 5",
        "!!str ~",
        "!!str",
        "!!int \"5\"",
        "!!int '0x10'",
        "!!float 3",
        "!!float 1.5",
        "!!bool 'yes'",
        "!!null ''",
        "!!binary aGk=",
        "!!timestamp 2001-1-2",
        "!!timestamp 2001-01-02T03:04:05.6Z",
        "!!timestamp 2001-01-02 03:04:05",
        "!!map {a: 1}",
        "!!seq [1]",
        "!!set {a, b}",
        "!<tag:yaml.org,2002:int> '7'",
        "{a:1, b}",
        "[x:1]",
        "{a: 1, b: [c, d: e]}",
        "[a, [b], {c: d}]",
        "{'a':1}",
        "[a b, c#d, e #f\n   ]",
        "|\n    x\n     y\n\n    z\n\n",
        "|-\n    x\n",
        "|+\n    x\n\n",
        ">\n    x\n    y\n\n    z\n     w\n    v\n",
        ">-\n    x\n    y\n",
        "|2\n     x\n    y\n",
        "|\n\n    x\n",
        "|\n",
        ">\n    x\n\n\n    y\n",
        "\"a\\tb\\x41\\u00e9\\U0001F600\\n\\\n    c\\\"\"",
        "'it''s'",
        "\"x\n    y\n\n    z\"",
        "'x\n    y'",
        "x\n    y\n\n    z",
        "a # c",
        "a#c",
        "http://a:80/b",
        "a:b",
        "- a",
        "\"\"",
        "''",
        "&a x",
        "&a {b: *c}",
        "a\tb",
        "\ta\t",
        "@",
        "%a",
        "`a`",
        "a'b\"c",
        "a, b",
        "a]",
        "x \\n y",
        "*",
        "&",
        "|x",
        ": a",
        "? a",
        "a: b",
        "[a",
        "'a",
        "\"\\q\"",
        "é\u{1f600}",
    ] {
        bodies.push(format!("data:\n  x: {scalar}\n"));
    }
    for key in [
        "on",
        "No",
        "1",
        "0777",
        "1.2",
        "8.0",
        "100000.0",
        "1000000.0",
        "1234567.0",
        "0.0001",
        "0.00001",
        "1e+36",
        "1e300",
        ".inf",
        "2001-01-01",
        "'on'",
        "!!str 1",
        "a b",
        "a:b",
        "~",
        "null",
        "",
        "18446744073709551615",
        "[a]",
        "{a: b}",
        "-1",
        "123456789.125",
        "3.4e38",
        "1e39",
        "16777217.0",
        "0.1",
        "1e-46",
    ] {
        bodies.push(format!("data:\n  {key}: x\n"));
    }
    for body in [
        "data: &a\n  x: 1\nmore: *a\n",
        "data:\n  <<: {a: 1, b: 2}\n  a: 3\n",
        "data:\n  <<: [{a: 1}, {a: 2, b: 2}]\n",
        "data: &x\n  a: 1\nmore:\n  <<: *x\n  b: 2\n",
        "data: &x\n  a: 1\nmore:\n  <<: [*x, {a: 2, c: 3}]\n",
        "data:\n  '<<': 1\n",
        "data:\n  !!merge <<: {a: 1}\n",
        "data:\n  <<: 1\n",
        "data:\n  <<: [1]\n",
        "data:\n  - a\n  - b: c\n    d: e\n  -\n    - f\n",
        "data:\n- a\n-   b: c\n    d: e\n- - f\n  - g\n",
        "data:\n  ? a\n  : b\n  ? c\n",
        "data:\n  a: &k on\n  *k : 1\n",
        "data: [a,\nb]\n",
        "data: {a: 1,\nb: 2}\n",
        "data:\n  a:\n  b:\n  - x\n",
        "# c\ndata: # c\n  # c\n  a: b # c\n  # c\n",
        "data:\n\ta: b\n",
        "data:\n  a: b\n c: d\n",
        "data: a\n b\n",
        "...\n",
        "...\n# c\n",
        "data:\n  x: &a 1\n  z: &a 2\n  w: *a\n",
        "data: *x\n",
        "data: &x [*x]\n",
        "data:\n  \"a\": b\n  'c': d\n",
        "data: \"a\" b\n",
        "data:\r\n  a: |\r\n    b\r\n    c\r\n",
        "data: >\n\n a\n\n  b\n\n c\n",
        "data:\n- |\n a\n- >-\n b\n",
    ] {
        bodies.push(body.to_owned());
    }
    let texts: Vec<String> = bodies.iter().map(|body| object(body)).collect();
    let (read_here, refused_here): (Vec<_>, Vec<_>) =
        texts.iter().partition(|text| read(text).errors.is_empty());
    for text in refused_here {
        let Some(theirs) = kubectl(text) else { return };
        assert!(
            theirs.is_err(),
            "refused only here: {:?}\n{text}",
            read(text).errors
        );
    }
    // One call for all of them; one each if that says no.
    let joined: Vec<&str> = read_here.iter().map(|text| text.as_str()).collect();
    let Some(theirs) = kubectl(&joined.join("---\n")) else {
        return;
    };
    let theirs = theirs.unwrap_or_else(|_| {
        read_here
            .iter()
            .flat_map(|text| kubectl(text).unwrap().expect(text))
            .collect()
    });
    assert_eq!(theirs.len(), read_here.len());
    for (text, theirs) in read_here.into_iter().zip(theirs) {
        assert_eq!(
            as_kubectl_holds_it(one(text)),
            as_kubectl_holds_it(theirs),
            "{text}"
        );
    }
}

/// Where we are stricter, on purpose: the list in the documentation of the module.
#[test]
fn kubectl_reads_what_is_refused_here_on_purpose() {
    for body in [
        "data:\n  a: 1\n  a: 2\n",
        "data:\n  1: a\n  '1': b\n",
        "data:\n  a: 1\n  <<: {a: 2}\n",
        "...\nmore: 1\n",
        "data:\n  a: !!binary gIGC\n",
        "data:\n  a: \"\u{2028}\"\n",
        "# a\u{85}data: 1\n",
        // Not valid YAML; libyaml lets it pass.
        "data: 'a\nb'\n",
    ] {
        let text = object(body);
        let Some(theirs) = kubectl(&text) else { return };
        assert!(theirs.is_ok(), "{theirs:?}");
        assert_eq!(read(&text).errors.len(), 1, "{text}");
    }
}

/// YAML 1.2 took this escape over from JSON.
#[test]
fn an_escaped_slash_is_read_though_kubectl_does_not() {
    let text = object("data: \"\\/\"\n");
    let Some(theirs) = kubectl(&text) else { return };
    assert!(theirs.is_err(), "{theirs:?}");
    assert_eq!(one(&text)["data"], "/");
}

/// What we write, kubectl reads back.
#[test]
fn kubectl_reads_what_we_write() {
    let texts: Vec<&str> = vec![
        "y",
        "yEs",
        "On",
        "~",
        "1",
        "0o7",
        "0x1F",
        "1e3",
        "1e400",
        "1_000",
        ".5",
        "190:20:30",
        "2001-01-01",
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
        ".inf",
        "é\u{2028}\u{85}\u{feff}",
        "a\nb",
        "a\n\n  b\n",
        "a\n\n",
        "\na",
        " a\nb",
        "a \nb",
        "a\r\nb",
        "--flag=x",
        "-x",
        "$(POD_IP)",
        "a,b",
        "it's",
        "\u{1f600}",
        "\0\u{1b}\u{fffe}\u{7f}",
        "a\\b",
        "\\",
        "a\n---\nb\n",
        "\t",
        "nginx:1.27",
        "a\n#b\n",
        "a\n",
        "\n",
    ];
    let mut data: serde_json::Map<String, Value> = texts
        .iter()
        .map(|text| ((*text).to_owned(), Value::from(*text)))
        .collect();
    data.insert("k".repeat(2000), Value::from(vec![1, 2]));
    data.insert("nested".into(), serde_json::json!([[], {}, [[1, "a\nb"], { "x": [{ "y": "a\nb\n" }], "z": null }], 1.5, 1e36]));
    let object = serde_json::json!({ "apiVersion": "example.com/v1", "kind": "Thing", "metadata": { "name": "a" }, "data": data });
    let yaml = gitops_core::yaml::to_yaml(&object);
    let Some(theirs) = kubectl(&yaml) else { return };
    assert_eq!(theirs.unwrap(), [object], "{yaml}");
}
