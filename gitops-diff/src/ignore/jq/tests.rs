use jaq_core::data::JustLut;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, unwrap_valr};
use jaq_json::Val;
use serde_json::{Value, json};

use super::*;

fn paths(expression: &str, object: &Value) -> Result<Vec<Vec<Step>>, String> {
    let program = Program::parse(expression)?;
    program.paths(object).map_err(|error| error.to_string())
}

/// As jq writes paths.
fn shown(paths: &[Vec<Step>]) -> Value {
    let step = |step: &Step| match step {
        Step::Name(name) => json!(name),
        Step::Place(at) => json!(at),
    };
    paths
        .iter()
        .map(|path| path.iter().map(step).collect::<Value>())
        .collect()
}

/// What jaq itself says. An error ends it, as it ends ours.
fn judged(expression: &str, object: &Value) -> Value {
    let code = format!("path({expression})");
    let defs = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let funs = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let arena = Arena::default();
    let file = File {
        code: code.as_str(),
        path: (),
    };
    let Ok(modules) = Loader::new(defs).load(&arena, file) else {
        panic!("{expression} isn't jq");
    };
    let Ok(filter) = Compiler::default().with_funs(funs).compile(modules) else {
        panic!("{expression} doesn't compile");
    };
    let input = jaq_json::read::parse_single(object.to_string().as_bytes()).unwrap();
    let ctx = Ctx::<JustLut<Val>>::new(&filter.lut, Vars::new([]));
    filter
        .id
        .run((ctx, input))
        .map(unwrap_valr)
        .map_while(Result::ok)
        .map(|path| serde_json::from_str::<Value>(&path.to_string()).unwrap())
        .collect()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "labels": {"app": "web", "tier": "front"},
            "annotations": {"example.com/a": "1", "example.com/b": "{\"x\": 2}", "other": "x"},
        },
        "spec": {
            "replicas": 3,
            "paused": false,
            "template": {"spec": {
                "containers": [
                    {"name": "app", "image": "app:1", "env": [
                        {"name": "A", "value": "1"}, {"name": "B"}],
                     "ports": [{"containerPort": 80}, {"containerPort": 443}]},
                    {"name": "istio-proxy", "image": "proxy:2", "resources": {"limits": {"cpu": "1"}}},
                ],
                "volumes": [],
            }},
        },
        "status": {"replicas": 3, "conditions": [{"type": "Available", "status": "True"}]},
    })
}

#[test]
fn jaq_gives_the_same_paths() {
    let object = deployment();
    for expression in [
        ".spec.replicas",
        ".spec.template.spec.containers[].image",
        r#".spec.template.spec.containers[] | select(.name == "app") | .image"#,
        r#".spec.template.spec.containers[] | select(.name | test("^istio-")) | .resources.limits"#,
        r#".spec.template.spec.containers[] | select(.name | startswith("istio"))"#,
        r#".spec.template.spec.containers[] | select(.name | contains("proxy"))"#,
        r#".spec.template.spec.containers[]?.env[]? | select(.name == "A") | .value"#,
        r#".spec.template.spec.containers[0].env[1]"#,
        r#".metadata.annotations["example.com/a"]"#,
        r#".metadata.annotations."example.com/a", .metadata.labels.app"#,
        ".nothing.at.all",
        ".spec.nothing[]?",
        ".spec.template.spec.volumes[]",
        ".. | select(type == \"number\")",
        "..|.image?",
        ".. | objects | select(has(\"image\")) | .image",
        "paths as $p | getpath($p) | select(. == \"True\")",
        "getpath([\"spec\", \"replicas\"])",
        "getpath([\"spec\", \"template\", \"spec\", \"containers\", 0, \"name\"])",
        "if .spec.paused then .spec.replicas else .status end",
        "if .spec.paused then .spec.replicas elif .kind == \"Deployment\" then .metadata.name end",
        ".spec.paused // .spec.replicas",
        ".spec.replicas // .spec.paused",
        "(.spec, .status) | .replicas",
        ".spec | .replicas, .paused",
        "first(.spec.template.spec.containers[].image)",
        "last(.spec.template.spec.containers[].image)",
        "limit(1; .spec.template.spec.containers[].image)",
        "nth(1; .spec.template.spec.containers[].image)",
        "recurse(.spec? // empty) | .replicas?",
        ".spec | recurse | strings",
        "reduce (\"spec\", \"template\", \"spec\") as $name (.; .[$name])",
        "foreach (\"spec\", \"template\", \"spec\") as $name (.; .[$name])",
        "label $out | .spec.template.spec.containers[] | .image, break $out",
        ".metadata.labels | .[keys[]]",
        ".metadata.labels | to_entries[] as $e | select($e.value == \"web\") | .[$e.key]",
        ". as {kind: $k, metadata: {name: $n}} | select($k == \"Deployment\") | .metadata[\"na\" + \"me\"]",
        "def image: .image; .spec.template.spec.containers[] | image",
        "def at($i; f): f[$i]; at(1; .spec.template.spec.containers)",
        "def down(f): f | down(f)?; .spec",
        ".spec.template.spec.containers | .[range(0; length)].name",
        ".spec.template.spec.containers[] | select(.ports | length > 1) | .ports[1]",
        ".spec.template.spec.containers[] | select(any(.env[]?; .name == \"B\"))",
        ".spec.template.spec.containers[] | select(all(.ports[]?; .containerPort > 100))",
        ".spec.template.spec.containers[] | select([.ports[]?.containerPort] | index(443))",
        ".spec.template.spec.containers[] | select(.image | split(\":\") | .[1] | tonumber > 1)",
        ".spec.template.spec.containers[] | select(.name | IN_LIST)"
            .replace("IN_LIST", "inside(\"app istio\")")
            .as_str(),
        ".spec.template.spec.containers[] | select(.name as $n | [\"app\", \"x\"] | any(. == $n))",
        ".spec.template.spec.containers[] | select(\"\\(.name):1\" == \"app:1\") | .image",
        ".metadata.annotations | .[\"example.com/b\"] | select(fromjson.x == 2)",
        ".status.conditions[] | select(.type == \"Available\" and .status != \"False\") | .status",
        ".status.conditions[] | select((.type == \"X\" or .status == \"True\") and (.x | not))",
        "try error(\"x\") catch . , .kind",
        "(.kind[]?, .spec).replicas",
        ".spec.replicas[]?, .kind",
        "empty",
        "{} | .a",
        "[.kind] | .[0]",
        "1",
        ".spec.replicas + 1",
        "error",
        ".kind[]",
    ] {
        let ours = paths(expression, &object);
        let ours = ours.map_or_else(|error| json!(error), |paths| shown(&paths));
        let judged = judged(expression, &object);
        if judged == json!([]) && ours.is_string() {
            // It gave a value that stands nowhere. jaq says so, too.
            assert_eq!(ours, JqError::NoPath.to_string(), "{expression}");
            continue;
        }
        assert_eq!(ours, judged, "{expression}");
    }
}

#[test]
fn filters_give_what_jq_gives() {
    for (expression, result) in [
        ("[1, 2] + [3]", json!([1, 2, 3])),
        ("[1, 2, 1] - [1]", json!([2])),
        ("{a: 1} + {b: 2, a: 3}", json!({"a": 3, "b": 2})),
        ("\"ab\" * 2", json!("abab")),
        (
            "7 % 3, 7 / 2, 7 - 2, 3 * 4, -(3)",
            json!([1, 3.5, 5, 12, -3]),
        ),
        ("\"a,b\" / \",\"", json!(["a", "b"])),
        (
            "[3, 1, 2] | sort, min, max, reverse, add",
            json!([[1, 2, 3], 1, 3, [2, 1, 3], 6]),
        ),
        (
            "[{a: 2}, {a: 1}] | sort_by(.a), (group_by(.a) | length)",
            json!([[{"a": 1}, {"a": 2}], 2]),
        ),
        ("[1, 1, 2] | unique", json!([1, 2])),
        (
            "{a: 1, b: 2} | keys, length, has(\"a\"), to_entries[1].value",
            json!([["a", "b"], 2, true, 2]),
        ),
        ("{a: 1} | with_entries(.value += 1)?", json!(null)),
        (
            "{a: 1, b: null} | map_values(. // 7)",
            json!({"a": 1, "b": 7}),
        ),
        (
            "[null, false, true, 1, \"a\", [], {}] | sort | map(type)",
            json!([
                "null", "boolean", "boolean", "number", "string", "array", "object"
            ]),
        ),
        (
            "\"abc\" | .[1:], .[:-1], ltrimstr(\"a\"), rtrimstr(\"c\"), ascii_upcase, length",
            json!(["bc", "ab", "bc", "ab", "ABC", 3]),
        ),
        (
            "[1, 2, 3, 4] | .[1:3], first, last, index(3)",
            json!([[2, 3], 1, 4, 2]),
        ),
        ("\"1.5\" | tonumber | floor, ceil, round", json!([1, 2, 2])),
        (
            "[range(3)], [range(1; 3)], [range(4; 0; -2)]",
            json!([[0, 1, 2], [1, 2], [4, 2]]),
        ),
        (
            "[limit(3; repeat(1))], [first(range(5))], isempty(empty)",
            json!([[{}, 1, 1], [0], true]),
        ),
        (
            "[[1, [2]], 3] | flatten, tojson",
            json!([[1, 2, 3], "[[1,[2]],3]"]),
        ),
        ("[\"a\", 1, null] | join(\"-\")", json!("a-1-")),
        (
            "1 as $x | [$x, ($x | . + 1)] | \"\\(.[0])/\\(.[1])\"",
            json!("1/2"),
        ),
        ("try error(\"x\") catch (. + \"y\")", json!("xy")),
        ("[.[]?]", json!([])),
        (
            "null | not, (true and null), (false or 1)",
            json!([true, false, true]),
        ),
        (
            "[1, [2]] | contains([1]), (\"foobar\" | contains(\"oba\")), inside([1, [2], 3])",
            json!([true, true, true]),
        ),
        (
            "[1, 2] | until(length > 3; . + [0]), [while(length < 4; . + [0])] | length",
            json!([4, 2]),
        ),
        (
            "\"a b\" | test(\"A\"; \"i\"), test(\"^b\"), explode, (explode | implode), trim",
            json!([true, false, [97, 32, 98], "a b", "a b"]),
        ),
        (
            "@json \"x\\([1])\", @text \"x\\([1])\"",
            json!(["x[1]", "x[1]"]),
        ),
        ("[paths] | length", json!(0)),
        (
            "{a: [1]} | [paths], [paths(type == \"number\")]",
            json!([[["a"], ["a", 0]], [["a", 0]]]),
        ),
        ("[{name: \"a\", value: 1}] | from_entries", json!({"a": 1})),
        (
            "{a: {b: 2}} | .a.b as $b | {$b, c: $b, \"d\": 1, (\"e\"): 2}",
            json!({"b": 2, "c": 2, "d": 1, "e": 2}),
        ),
        (
            "[foreach (1, 2, 3) as $x (0; . + $x; [$x, .])]",
            json!([[1, 1], [2, 3], [3, 6]]),
        ),
        ("[label $f | (1, break $f, 2)]", json!([1])),
        ("([1, 2] | first), ([.[]?] | last)", json!([1, null])),
    ] {
        // The results go into the name of a member, from where they can be read.
        let wrapped = format!("[{expression}] as $all | .[$all | tojson]");
        let found = match paths(&wrapped, &json!({})) {
            Ok(found) => found,
            Err(error) => {
                assert_eq!(result, Value::Null, "{expression}: {error}");
                continue;
            }
        };
        let [path] = found.as_slice() else {
            panic!("{expression}: {found:?}");
        };
        let [Step::Name(json)] = path.as_slice() else {
            panic!("{expression}: {path:?}");
        };
        let all: Value = serde_json::from_str(json).unwrap();
        let one = all
            .as_array()
            .filter(|all| all.len() == 1)
            .map(|all| &all[0]);
        assert!(one == Some(&result) || all == result, "{expression}: {all}");
    }
}

#[test]
fn what_takes_too_much_is_an_error() {
    let object = deployment();
    for (expression, limit) in [
        ("def f: f; f", "nested too deep"),
        ("def f: f, f; f", "nested too deep"),
        ("def f: 1 + f; f", "nested too deep"),
        ("def f(g): f(g | g); f(.)", "nested too deep"),
        ("def f: try f catch f; f", "nested too deep"),
        ("def f: (f)? // f; f", "nested too deep"),
        (".kind | recurse(.)", "nested too deep"),
        ("last(recurse(.))", "nested too deep"),
        ("last(repeat(1))", "nested too deep"),
        ("[repeat(1)]", "nested too deep"),
        (".a | repeat(.a)", "nested too deep"),
        ("until(false; .)", "nested too deep"),
        ("[range(1e12)]", "steps|MiB"),
        ("last(range(1e12))", "steps|MiB"),
        ("[range(1e300; -1e300; -1)] | length", "steps|MiB"),
        ("reduce range(1e12) as $x (.; .)", "steps|MiB"),
        ("[limit(1e12; range(1e12))]", "steps|MiB"),
        ("first(range(1e12) | select(. < 0))", "steps|MiB"),
        ("\"x\" * 1e12", "steps|MiB"),
        ("reduce range(60) as $x (\"x\"; . + .)", "MiB|steps"),
        ("reduce range(60) as $x ([1]; . + .)", "MiB|steps"),
        ("reduce range(60) as $x ([1]; [., .])", "MiB|steps"),
        ("reduce range(60) as $x ({}; {a: ., b: .})", "MiB|steps"),
        (
            "[range(3000)] | . as $a | [$a[] | $a] | length",
            "MiB|steps",
        ),
        (
            "[range(1000)] | sort_by(. as $x | [range(1000)])",
            "MiB|steps",
        ),
        (
            "[range(300)] as $a | $a[] as $x | $a[] as $y | $a[] as $z | select(false)",
            "steps|MiB",
        ),
        ("[range(2000)] | contains([range(2000)])", "steps|MiB"),
        (
            "\"a\" * 60000 | [range(100)][] as $x | test(\"(a*)*b\") | select(.)",
            "steps|MiB",
        ),
        (
            "[[..], [..]] | [.[] | ..] | [.[] | ..] | [.[] | ..] | [.[] | ..] | length",
            "steps|MiB",
        ),
        ("[..|..|..|..|..|..|..|..] | length", "steps|MiB"),
        (
            ".spec | .. | .. | .. | .. | .. | .. | .. | ..",
            "10000 paths",
        ),
        (&".a".repeat(300), "more than 256|nested too deep"),
    ] {
        match paths(expression, &object) {
            Err(error) => assert!(
                limit.split('|').any(|limit| error.contains(limit)),
                "{expression}: {error}"
            ),
            Ok(found) => panic!("{expression}: {} paths", found.len()),
        }
    }
}

#[test]
fn an_expression_that_is_no_rule_is_refused_when_it_is_read() {
    for (expression, problem) in [
        ("", "ends where term is expected"),
        (".spec |", "ends where term is expected"),
        (".spec[", "closing bracket"),
        ("\"abc", "closing quote"),
        (".a b", "at character 4: expected nothing"),
        (".spec | map(§)", "at character 13"),
        (".a = 1", "assigns"),
        (".a |= 1", "assigns"),
        (".a += 1", "assigns"),
        ("del(.a)", "at character 1: there is no filter del/1"),
        ("env", "env has no place in a rule"),
        ("input", "input has no place in a rule"),
        ("now", "now has no place"),
        ("halt", "halt has no place"),
        (".a | nope", "at character 6: there is no filter nope/0"),
        ("$x", "there is no such variable"),
        ("$ENV.HOME", "there is no such variable"),
        ("break $x", "there is no such label"),
        ("select(.a; .b)", "there is no filter select/2"),
        ("@base64 \"x\"", "only @text and @json"),
        ("import \"a\" as a; .", "expected"),
        ("reduce .[] as $x (0)", "number of arguments"),
    ] {
        let error = Program::parse(expression).unwrap_err();
        assert!(error.contains(problem), "{expression}: {error}");
    }
}

#[test]
fn what_is_nested_without_end_is_refused_before_it_is_parsed() {
    for expression in [
        "(".repeat(4000),
        "[".repeat(2000) + &"]".repeat(2000),
        "\"\\(".repeat(900),
        "-".repeat(4000) + "1",
        "- ".repeat(2000) + "1",
        "try ".repeat(1000) + "1",
        "if ".repeat(1000),
        "def f: ".repeat(500),
        ". as $x | ".repeat(400) + ".",
        ".|".repeat(2000) + ".",
        ".,".repeat(2000) + ".",
        "reduce ".repeat(500),
        ".a".repeat(5000),
    ] {
        assert!(Program::parse(&expression).is_err(), "{expression:.20}");
    }
    for expression in [
        "(".repeat(20) + "." + &")".repeat(20),
        ". | ".repeat(80) + ".a",
        ".a, ".repeat(80) + ".b",
        "- ".repeat(80) + "1",
    ] {
        assert!(Program::parse(&expression).is_ok(), "{expression:.20}");
    }
}

#[test]
fn a_deep_object_is_gone_through() {
    let mut object = json!({"leaf": 1});
    for _ in 0..200 {
        object = json!({"a": object});
    }
    let found = paths(".. | .leaf? // empty", &object).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].len(), 201);
}

#[test]
fn a_place_from_the_end_is_one_from_the_beginning() {
    let found = paths(".a[-1], .a[-9], .a[7]", &json!({"a": [1, 2]}));
    // Before the beginning there is nothing that could stand there.
    assert_eq!(found, Err(JqError::NoPath.to_string()));
    let found = paths(".a[-1], .a[7]", &json!({"a": [1, 2]})).unwrap();
    assert_eq!(shown(&found), json!([["a", 1], ["a", 7]]));
}

#[test]
fn the_prelude_is_read() {
    let defs = expr::read_definitions(PRELUDE).unwrap();
    assert!(defs.len() > 40, "{}", defs.len());
    assert_eq!(paths(".", &json!({})), Err(JqError::Whole.to_string()));
}
