//! What people see of differences. Each form is a file in `tests/data/text`, to be read and
//! reviewed; a test that fails writes what it got beside the build and says where.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic names its line"
)]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use gitops_core::{Difference, FieldManager, GroupKind, ObjectId};
use gitops_diff::SchemaDiffer;
use gitops_diff::text::{Colour, Fate, GITHUB_COMMENT, Report, markdown, side_by_side, unified};
use gitops_testkit::arb;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Compares with a file of `tests/data/text`.
fn like(name: &str, text: &str) {
    let file = Path::new("tests/data/text").join(name);
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if text != expected {
        let got = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&got, text).unwrap();
        panic!(
            "{} is otherwise; if that is right: cp {} gitops-diff/{}\n{text}",
            file.display(),
            got.display(),
            file.display()
        );
    }
}

fn id(kind: (&str, &str), name: &str) -> ObjectId {
    ObjectId::namespaced(GroupKind::new(kind.0, kind.1), "shop", name)
}

fn deployment(image: &str, replicas: u32, extra: Value) -> Value {
    let mut spec = json!({
        "containers": [{"name": "web", "image": image,
            "args": ["--listen", ":80", "--greeting", "こんにちは"]}],
    });
    for (name, value) in extra.as_object().unwrap() {
        spec[name] = value.clone();
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas, "template": {"spec": spec}},
    })
}

fn of(kind: &str, name: &str, rest: Value) -> Value {
    let (api_version, kind) = kind.rsplit_once('/').unwrap();
    let mut object = json!({
        "apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "shop"},
    });
    for (member, value) in rest.as_object().unwrap() {
        object[member] = value.clone();
    }
    object
}

fn compare(desired: &Value, live: &Value) -> Difference {
    let ours = FieldManager::new("ours").unwrap();
    SchemaDiffer::builtin()
        .compare(desired, live, &ours)
        .unwrap()
}

/// Something of everything.
fn report() -> Report {
    let differ = SchemaDiffer::builtin();
    let mut report = Report::new();
    let config = |mode: &str, lines: &str| {
        let text = format!("[main]\nport = 80\nname = 世界\n{lines}\n\n[log]\nlevel = info\n");
        of(
            "v1/ConfigMap",
            "app",
            json!({"data": {"mode": mode, "app.conf": text}}),
        )
    };
    let desired = config("fast", "host = b.example.com\ntrace = on");
    let live = config("slow", "host = a.example.com");
    report.push(
        id(("", "ConfigMap"), "app"),
        Fate::Changed,
        compare(&desired, &live),
    );

    let desired = deployment("web:2", 3, json!({"priorityClassName": "high"}));
    let tolerations = json!([{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}]);
    let mut live = deployment("web:1", 5, json!({"tolerations": tolerations}));
    live["metadata"]["managedFields"] = json!([
        {"manager": "ours", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1":
            {"f:spec": {"f:template": {"f:spec": {"f:tolerations": {}, "f:containers": {"k:{\"name\":\"web\"}":
                {".": {}, "f:name": {}, "f:image": {}}}}}}}},
        {"manager": "hpa", "operation": "Update", "subresource": "scale", "apiVersion": "apps/v1",
         "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]);
    report.push(
        id(("apps", "Deployment"), "web"),
        Fate::Changed,
        compare(&desired, &live),
    );

    let secret = |password: &str| {
        of(
            "v1/Secret",
            "db",
            json!({"stringData": {"password": password}}),
        )
    };
    let live = of(
        "v1/Secret",
        "db",
        json!({"data": {"password": "b2xk", "user": "YQ=="}}),
    );
    report.push(
        id(("", "Secret"), "db"),
        Fate::Changed,
        compare(&secret("new"), &live),
    );

    let policy = of(
        "networking.k8s.io/v1/NetworkPolicy",
        "web",
        json!({"spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"ports": [{"port": 80}]}]}}),
    );
    report.push(
        id(("networking.k8s.io", "NetworkPolicy"), "web"),
        Fate::Created,
        differ.created(&policy).unwrap(),
    );
    let gone = secret("old");
    report.push(
        id(("", "Secret"), "old"),
        Fate::Deleted,
        differ.deleted(&gone).unwrap(),
    );
    report.push(
        id(("", "ConfigMap"), "same"),
        Fate::Changed,
        Difference::default(),
    );
    report.note("nothing is pruned: see ops/README.md");
    report
}

#[test]
fn lines_for_a_terminal() {
    like("unified.txt", &report().unified(Colour::Plain));
}

#[test]
fn two_columns_for_a_terminal() {
    let text = report().side_by_side(100, Colour::Plain);
    like("side-by-side.txt", &text);
    for line in text.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 100, "{line}");
    }
}

#[test]
fn a_comment_for_a_pull_request() {
    like(
        "comment.md",
        &report().markdown("Plan for shop", GITHUB_COMMENT),
    );
}

#[test]
fn json_for_programs() {
    let text = serde_json::to_string_pretty(&report().json()).unwrap();
    like("report.json", &(text + "\n"));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let report = report();
    for (coloured, plain) in [
        (report.unified(Colour::Ansi), report.unified(Colour::Plain)),
        (
            report.side_by_side(100, Colour::Ansi),
            report.side_by_side(100, Colour::Plain),
        ),
    ] {
        assert!(coloured.contains("\u{1b}[32m"));
        let mut bare = coloured;
        for code in ["0", "1", "2", "31", "32", "33", "35"] {
            bare = bare.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(bare, plain);
    }
}

#[test]
fn an_empty_difference_is_empty_text() {
    let empty = Difference::default();
    assert_eq!(unified("a", &empty, Colour::Ansi), "");
    assert_eq!(side_by_side("a", &empty, 80, Colour::Ansi), "");
    assert_eq!(markdown("a", &empty), "");
    assert!(Report::new().is_empty());
    let mut report = Report::new();
    report.push(id(("", "ConfigMap"), "a"), Fate::Changed, empty);
    assert!(report.is_empty());
    assert_eq!(report.unified(Colour::Plain), "1 unchanged\n");
}

/// Names and values that try to get out of where they stand.
const EVIL: &str = "\u{1b}[2J\u{7}\u{202e}\u{9b}0m\u{200b}\n```\n~~~\n````\n</details></code> <b>@everyone</b> *x* [a](http://b) #1\n";

#[test]
fn nothing_gets_out_of_its_place() {
    let map = |value: Value| {
        of(
            "v1/ConfigMap",
            "app",
            json!({"data": {EVIL: value, "b": EVIL}}),
        )
    };
    let object = ObjectId::namespaced(GroupKind::new(EVIL, EVIL), EVIL, EVIL);
    let mut report = Report::new();
    let (desired, live) = (map(json!(EVIL)), map(json!({EVIL: [EVIL]})));
    let mut difference = compare(&desired, &live);
    difference.changes[0].owner = Some(gitops_core::FieldOwner {
        manager: EVIL.to_owned(),
        operation: EVIL.to_owned(),
        subresource: Some(EVIL.to_owned()),
        time: None,
    });
    report.push(object.clone(), Fate::Changed, difference.clone());
    report.push(object.clone(), Fate::Deleted, Difference::default());
    report.note(EVIL);
    let comment = report.markdown(EVIL, GITHUB_COMMENT);
    let texts = [
        report.unified(Colour::Plain),
        report.side_by_side(80, Colour::Plain),
        unified(EVIL, &difference, Colour::Plain),
        side_by_side(EVIL, &difference, 80, Colour::Plain),
        markdown(EVIL, &difference),
        comment.clone(),
    ];
    for text in &texts {
        let obeyed = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{200b}".contains(c);
        assert!(!text.contains(obeyed), "{text:?}");
    }
    // The fence is longer than any run within, so two lines are fences.
    let fences = texts[4].lines().filter(|line| line.starts_with("`````"));
    assert_eq!(fences.count(), 2, "{}", texts[4]);
    // Outside of the fence there is no tag but ours, no mention and no Markdown.
    let mut within = false;
    for line in comment.lines() {
        if line.starts_with("`````") {
            within = !within;
        }
        if within || line.starts_with('`') {
            continue;
        }
        let mut rest = line.to_owned();
        for ours in [
            "<details>",
            "</details>",
            "<summary>",
            "</summary>",
            "<code>",
            "</code>",
            "@<!-- -->",
            "> ",
        ] {
            rest = rest.replace(ours, "");
        }
        assert!(!rest.contains(['<', '>', '@', '`', '*', '[']), "{line}");
    }
    assert!(!within);
}

#[test]
fn a_comment_keeps_within_its_limit_and_says_what_is_left_out() {
    let differ = SchemaDiffer::builtin();
    let mut report = Report::new();
    for at in 0..400 {
        let text = "世界 line\n".repeat(at % 60);
        let object = of(
            "v1/ConfigMap",
            "a",
            json!({"data": {"text": text, "at": at.to_string()}}),
        );
        let id = id(("", "ConfigMap"), &format!("config-{at}"));
        report.push(id, Fate::Created, differ.created(&object).unwrap());
    }
    for note in 0..5 {
        report.note(format!("note {note}"));
    }
    let whole = report.markdown("All of it", usize::MAX);
    assert!(whole.len() > GITHUB_COMMENT && !whole.contains("not shown"));
    for limit in (0..2000)
        .step_by(23)
        .step_by(23)
        .chain((2000..GITHUB_COMMENT).step_by(4177))
        .chain([GITHUB_COMMENT])
    {
        let text = report.markdown("All of it", limit);
        assert!(text.len() <= limit, "{limit}: {}", text.len());
        assert!(limit < 100 || text.starts_with("### All of it\n\n400 created\n"));
        // Whatever is begun is ended.
        assert_eq!(
            text.matches("<details>").count(),
            text.matches("</details>").count()
        );
        assert_eq!(
            text.lines().filter(|line| line.starts_with("```")).count() % 2,
            0
        );
        // Every object is shown, named or counted.
        let named = text.matches("<code>+ ConfigMap shop/config-").count();
        let notes = text.matches("<code>note ").count();
        if limit > 100 && named + notes < 405 {
            assert!(
                text.contains(&format!("… and {} more", 405 - named - notes)),
                "{limit}\n{text}"
            );
        }
    }
    let text = report.markdown("All of it", GITHUB_COMMENT);
    assert!(
        text.contains("<details>") && text.contains("not shown"),
        "{text}"
    );
    assert!(
        text.len() > GITHUB_COMMENT * 9 / 10,
        "room is used: {}",
        text.len()
    );
}

#[test]
fn long_values_are_cut_and_say_so() {
    let lines = |word: &str| {
        let lines: Vec<_> = (0..30_000).map(|n| format!("{word}{n}")).collect();
        of(
            "v1/ConfigMap",
            "a",
            json!({"data": {"l": lines.join("\n")}}),
        )
    };
    let difference = compare(&lines("b"), &lines("a"));
    let shown = unified("x", &difference, Colour::Plain);
    assert!(shown.lines().count() < 500, "{}", shown.lines().count());
    assert!(shown.contains("-a0") && shown.contains("+b0"), "{shown}");
    assert!(shown.contains("29801 more lines"), "{shown}");
    let line = |word: &str| {
        let text = format!("{}{word}{}", "x".repeat(100_000), "y".repeat(100_000));
        of("v1/ConfigMap", "a", json!({"data": {"l": text}}))
    };
    let shown = unified("x", &compare(&line("NEW"), &line("OLD")), Colour::Plain);
    assert!(shown.len() < 1500, "{}", shown.len());
    assert!(
        shown.contains("xOLDy") && shown.contains("xNEWy"),
        "{shown}"
    );
}

#[test]
fn a_text_that_differs_in_its_line_ends_shows_so() {
    let text = |text: &str| of("v1/ConfigMap", "a", json!({"data": {"l": text}}));
    for (a, b) in [("a\nb\n", "a\nb"), ("a\r\nb", "a\nb")] {
        let shown = unified("x", &compare(&text(a), &text(b)), Colour::Plain);
        assert!(shown.lines().count() > 2, "{shown}");
    }
}

#[test]
fn spaces_at_the_end_of_a_line_are_seen_where_they_differ() {
    let text = |text: &str| of("v1/ConfigMap", "a", json!({"data": {"l": text}}));
    let shown = unified(
        "x",
        &compare(&text("a \nb\nc\t\n"), &text("a\nb\nc\n")),
        Colour::Plain,
    );
    assert!(
        shown.contains("+a·\n") && shown.contains("+c→\n"),
        "{shown}"
    );
}

/// Every form of a report.
fn forms(report: &Report) -> Vec<String> {
    vec![
        report.unified(Colour::Plain),
        report.side_by_side(80, Colour::Plain),
        report.markdown("Plan", GITHUB_COMMENT),
        report.json().to_string(),
        format!("{report:?}"),
    ]
}

#[test]
fn neither_a_secret_nor_its_length_is_in_any_form() {
    let shown = |old: &str, new: &str| {
        let secret = |text: &str| of("v1/Secret", "db", json!({"stringData": {"p": text}}));
        let differ = SchemaDiffer::builtin();
        let mut report = Report::new();
        let name = id(("", "Secret"), "db");
        let encoded = base64::engine::general_purpose::STANDARD.encode(old);
        let mut live = of("v1/Secret", "db", json!({"data": {"p": encoded}}));
        live["metadata"]["annotations"] = json!({
            "kubectl.kubernetes.io/last-applied-configuration": secret(old).to_string(),
        });
        report.push(name.clone(), Fate::Changed, compare(&secret(new), &live));
        report.push(
            name.clone(),
            Fate::Created,
            differ.created(&secret(new)).unwrap(),
        );
        report.push(name, Fate::Deleted, differ.deleted(&live).unwrap());
        forms(&report)
    };
    let short = shown("a", "b");
    assert!(
        short[0].contains("~ .stringData.p  (secret changed)"),
        "{}",
        short[0]
    );
    let long = "line\n".repeat(5000);
    for (old, new) in [
        ("a", long.as_str()),
        (long.as_str(), "b"),
        ("", " "),
        ("\u{1b}", "世界"),
    ] {
        assert_eq!(shown(old, new), short);
    }
    // Equal ones show as equal.
    assert!(!shown("a", "a")[0].contains("secret changed"));
}

proptest! {
    #[test]
    fn no_form_shows_a_secret(planted in arb::secret_manifest()) {
        let differ = SchemaDiffer::builtin();
        let (desired, object) = (planted.manifest.value(), planted.manifest.id().clone());
        let mut report = Report::new();
        report.push(object.clone(), Fate::Changed, compare(&desired, &planted.live));
        report.push(object.clone(), Fate::Changed, compare(&planted.live, &desired));
        report.push(object.clone(), Fate::Created, differ.created(&desired).unwrap());
        report.push(object, Fate::Deleted, differ.deleted(&planted.live).unwrap());
        for text in forms(&report) {
            prop_assert!(planted.leak(&text).is_none(), "{}", text);
        }
    }

    /// Whatever is compared, every form can be made, and is of printable lines.
    #[test]
    fn every_form_of_any_difference_is_plain_lines(
        object in arb::object(), edit in arb::edit(), columns in 0_usize..200,
    ) {
        let edited = edit.apply(&object);
        prop_assume!(edited["kind"] == object["kind"]);
        let differ = SchemaDiffer::builtin();
        let ours = FieldManager::new("ours").unwrap();
        let Ok(difference) = differ.compare(&edited, &object, &ours) else { return Ok(()) };
        let mut report = Report::new();
        report.push(id(("", "X"), "x"), Fate::Changed, difference);
        report.push(id(("", "X"), "x"), Fate::Created, differ.created(&object).unwrap());
        let unified = report.unified(Colour::Plain);
        let columns_text = report.side_by_side(columns, Colour::Plain);
        for text in [&unified, &columns_text, &report.markdown("x", GITHUB_COMMENT)] {
            prop_assert!(text.ends_with('\n'));
            prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
            prop_assert!(text.lines().all(|line| line.trim_end() == line));
        }
    }
}
