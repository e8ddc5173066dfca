//! What scalars and keys mean. Every line was also checked against kubectl 1.33.

use gitops_core::yaml::ReadErrorKind;
use serde_json::{Value, json};

use super::{one, refusal};

#[test]
fn scalars_have_the_meaning_kubectl_gives_them() {
    let mut table: Vec<(&str, Value)> = Vec::new();
    for yes in [
        "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    ] {
        table.push((yes, json!(true)));
    }
    for no in [
        "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF",
    ] {
        table.push((no, json!(false)));
    }
    for null in ["", "~", "null", "Null", "NULL"] {
        table.push((null, Value::Null));
    }
    for text in [
        "yEs",
        "tRUE",
        "oN",
        "nULL",
        "nil",
        "none",
        "=",
        "<<",
        "+",
        "-x",
        "_1",
        "0x",
        "0xg",
        "0b2",
        "1e400",
        "-1e400",
        "1.2.3",
        "190:20:30",
        "1 2",
        ".",
        "..",
        ".e5",
        ".5__0",
        ".5_",
        ".iNf",
        "12e",
        "1e+",
        "2001-01-01",
        "2001-12-14t21:59:43.10-05:00",
        "0x1FFFFFFFFFFFFFFFFFFF",
        "-0x8000000000000001",
        "1.5Gi",
        "100m",
        "+-1",
        "--1",
        "0b--1",
    ] {
        table.push((text, json!(text)));
    }
    table.extend([
        ("0", json!(0)),
        ("-0", json!(0)),
        ("+5", json!(5)),
        ("0777", json!(511)),
        ("00", json!(0)),
        ("0o17", json!(15)),
        ("08", json!(8)),
        ("-010", json!(-8)),
        ("0x1F", json!(31)),
        ("+0x1f", json!(31)),
        ("-0X1f", json!(-31)),
        ("0b11", json!(3)),
        ("-0b11", json!(-3)),
        ("0b-1", json!(-1)),
        ("0b+1", json!(1)),
        ("1_000", json!(1000)),
        ("1__0_", json!(10)),
        ("0_7", json!(7)),
        ("0x_f", json!(15)),
        ("9007199254740993", json!(9_007_199_254_740_993_i64)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551615", json!(u64::MAX)),
        ("18446744073709551616", json!(1.844_674_407_370_955_2e19)),
        ("+18446744073709551615", json!(1.844_674_407_370_955_2e19)),
        ("8.0", json!(8)),
        ("-0.0", json!(0)),
        ("1e3", json!(1000)),
        ("12e03", json!(12000)),
        ("1E+2", json!(100)),
        ("1.", json!(1)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        (".5_0", json!(0.5)),
        ("1_0.2_5", json!(10.25)),
        ("-.5", json!(-0.5)),
        ("1e-3", json!(0.001)),
        (
            "1234567890123456789.0",
            json!(1_234_567_890_123_456_800_i64),
        ),
        ("9.3e18", json!(9_300_000_000_000_000_000_u64)),
        ("1e21", json!(1e21)),
        ("1000000000000000000000000000000000000", json!(1e36)),
    ]);
    for (text, expected) in table {
        assert_eq!(one(&format!("a: {text}"))["a"], expected, "{text}");
        // A text in quotes or in a block is a text.
        assert_eq!(one(&format!("a: '{text}'"))["a"], text, "quoted {text}");
        assert_eq!(one(&format!("a: \"{text}\""))["a"], text, "quoted {text}");
        if !text.is_empty() {
            assert_eq!(one(&format!("a: |-\n  {text}"))["a"], text, "block {text}");
        }
    }
}

#[test]
fn a_number_json_cannot_hold_is_refused() {
    for text in [".inf", "-.Inf", "+.INF", ".nan", ".NaN", "-.inf"] {
        assert_eq!(refusal(&format!("a: {text}")), ReadErrorKind::NotFinite);
    }
}

#[test]
fn keys_become_json_texts() {
    for (key, expected) in [
        ("on", "true"),
        ("No", "false"),
        ("1", "1"),
        ("0777", "511"),
        ("1.2", "1.2"),
        ("8.0", "8"),
        ("100000.0", "100000"),
        ("1000000.0", "1e+06"),
        ("1234567.0", "1.234567e+06"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1e+36", "1e+36"),
        ("1e300", ".inf"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2001-01-01", "2001-01-01"),
        ("'on'", "on"),
        ("\"1\"", "1"),
        ("!!str 1", "1"),
        ("a b", "a b"),
        ("? a\n", "a"),
        ("a:b", "a:b"),
    ] {
        assert_eq!(one(&format!("{key}: x")), json!({ expected: "x" }), "{key}");
    }
    for key in [
        "~",
        "null",
        "",
        "18446744073709551615",
        "[a]",
        "{a: b}",
        "? [a]\n",
        "? {a: b}\n",
    ] {
        let refusal = refusal(&format!("{key}: x"));
        assert!(
            matches!(refusal, ReadErrorKind::Key { .. }),
            "{key}: {refusal}"
        );
    }
}

#[test]
fn explicit_tags_are_kept() {
    for (text, expected) in [
        ("!!str 5", json!("5")),
        ("!!str ~", json!("~")),
        ("!!str", json!("")),
        ("! 5", json!("5")),
        ("!local 5", json!("5")),
        ("!!int \"5\"", json!(5)),
        ("!<tag:yaml.org,2002:int> '0x10'", json!(16)),
        ("!!float 3", json!(3)),
        ("!!float 1.5", json!(1.5)),
        ("!!bool 'yes'", json!(true)),
        ("!!null ''", json!(null)),
        ("!!null ~", json!(null)),
        ("!!binary aGk=", json!("hi")),
        ("!!binary |\n    aG\n    k=\n", json!("hi")),
        ("!!timestamp 2001-1-2", json!("2001-1-2")),
        (
            "!!timestamp 2001-01-02T03:04:05.6Z",
            json!("2001-01-02T03:04:05.6Z"),
        ),
        (
            "!!timestamp 2001-01-02 03:04:05",
            json!("2001-01-02 03:04:05"),
        ),
        ("!!map {a: 1}", json!({ "a": 1 })),
        ("!!seq [1]", json!([1])),
        ("!!set {a, b}", json!({ "a": null, "b": null })),
    ] {
        assert_eq!(one(&format!("a: {text}"))["a"], expected, "{text}");
    }
    for text in [
        "!!int a",
        "!!int 1.5",
        "!!int ''",
        "!!bool 1",
        "!!null 0",
        "!!float a",
        "!!binary gIGC",
        "!!binary a",
        "!!binary a===",
        "!!binary aG k=",
        "!!timestamp 2001-13-01",
        "!!timestamp now",
    ] {
        let refusal = refusal(&format!("a: {text}"));
        assert!(
            matches!(refusal, ReadErrorKind::Tag { .. }),
            "{text}: {refusal}"
        );
    }
}
