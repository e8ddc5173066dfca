//! Does the cost grow with the size, and no faster?
//!
//! `cargo bench -p gitops-benches --bench growth`: planning, comparing and merging 10 to 100,000
//! objects, and one object with 10 to 100,000 elements. Allocations and bytes are counted at each
//! size, times are printed beside them. Fails if the slope in the log-log plot of a count is
//! above 1.05. With `-- --instructions` those count too (by `valgrind`, which takes some
//! minutes): they show a walk that is quadratic and allocates nothing. `cargo test` goes up to
//! 1,000. A word chooses laws.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gitops_benches::cases::Run;
use gitops_benches::instructions;
use gitops_benches::objects::{self, MANAGER, Stored, stored};
use gitops_benches::world::World;
use gitops_core::planner::{PlanInput, plan};
use gitops_core::{FieldManager, Observation, Policy, ReconcilerName};
use gitops_diff::SchemaDiffer;
use gitops_diff::managed::{Apply, Target, Track, apply, baseline, lost, track};
use gitops_diff::schema::{Kind, Schema};
use serde_json::{Map, Value, json};

/// Faster than this must nothing grow: reference/reliability-performance.md 3.5.
const STEEPEST: f64 = 1.05;

/// What takes longer than this isn't linear; the next size would take for ever.
const TOO_LONG: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--run") {
        let [name, size, times] = arguments.get(at + 1..).unwrap_or_default() else {
            bail!("--run LAW SIZE TIMES");
        };
        let law = laws().into_iter().find(|law| law.name == *name);
        let run = (law.context("no such law")?.prepare)(size.parse()?)?;
        (0..times.parse::<usize>()?).for_each(|_| run());
        return Ok(());
    }
    let bench = arguments.iter().any(|argument| argument == "--bench");
    let count = arguments
        .iter()
        .any(|argument| argument == "--instructions");
    let largest = if bench { 100_000 } else { 1_000 };
    let words: Vec<&String> = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut steep = Vec::new();
    for law in laws() {
        if !words.is_empty() && !words.iter().any(|word| law.name.contains(word.as_str())) {
            continue;
        }
        println!("{}", law.name);
        let mut points = Vec::new();
        let sizes = [10, 100, 1_000, 10_000, 100_000];
        for size in sizes.into_iter().filter(|size| *size <= largest) {
            let point = law.at(size, count)?;
            if point.took > TOO_LONG {
                steep.push(format!(
                    "{}: {:.1?} at {size}, not tried further",
                    law.name, point.took
                ));
                break;
            }
            points.push(point);
        }
        for (what, counted) in [
            ("allocations", Point::allocations as fn(&Point) -> u64),
            ("bytes", Point::bytes),
            ("instructions", Point::instructions),
        ] {
            let slope = slope(&points, counted);
            if slope > STEEPEST {
                steep.push(format!(
                    "{}: {what} grow with a slope of {slope:.3}",
                    law.name
                ));
            }
            if what != "instructions" || count {
                println!("  slope of {what}: {slope:.3}");
            }
        }
    }
    if !steep.is_empty() {
        bail!("steeper than {STEEPEST}:\n  {}", steep.join("\n  "));
    }
    Ok(())
}

/// What something costs at one size.
struct Point {
    size: usize,
    allocations: u64,
    bytes: u64,
    instructions: u64,
    took: Duration,
}

impl Point {
    fn allocations(&self) -> u64 {
        self.allocations
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn instructions(&self) -> u64 {
        self.instructions
    }
}

/// The slope of the straight line through the points, both axes logarithmic. Where it is
/// small, another way may be faster (a list is searched rather than indexed): not a part of it.
fn slope(points: &[Point], counted: impl Fn(&Point) -> u64) -> f64 {
    let logs: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| point.size >= 100 && counted(point) > 0)
        .map(|point| ((point.size as f64).ln(), (counted(point) as f64).ln()))
        .collect();
    if logs.len() < 2 {
        return 0.0;
    }
    let mean =
        |part: fn(&(f64, f64)) -> f64| logs.iter().map(part).sum::<f64>() / logs.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    above / below
}

struct Law {
    name: String,
    prepare: Box<dyn Fn(usize) -> Result<Run>>,
}

impl Law {
    fn at(&self, size: usize, count: bool) -> Result<Point> {
        let run = (self.prepare)(size).with_context(|| format!("{} at {size}", self.name))?;
        run();
        let began = Instant::now();
        let mut times = 0_u32;
        while times < 1 || began.elapsed() < Duration::from_millis(20) {
            run();
            times += 1;
        }
        let took = began.elapsed() / times;
        let allocated = allocation_counter::measure(run);
        let mut instructions = 0;
        if count {
            let of = |times: &str| {
                let counted =
                    instructions::of_run(&["--run", &self.name, &size.to_string(), times]);
                counted?.context("--instructions needs valgrind")
            };
            instructions = of("2")?.saturating_sub(of("1")?);
        }
        println!(
            "{size:>10}{:>12} allocations{:>14} bytes{:>14} instructions  {took:.1?}",
            allocated.count_total,
            allocated.bytes_total,
            if count {
                instructions.to_string()
            } else {
                "-".to_owned()
            },
        );
        Ok(Point {
            size,
            allocations: allocated.count_total,
            bytes: allocated.bytes_total,
            instructions,
            took,
        })
    }
}

fn laws() -> Vec<Law> {
    let mut laws = Vec::new();
    let mut law = |name: String, prepare: Box<dyn Fn(usize) -> Result<Run>>| {
        laws.push(Law { name, prepare });
    };
    law(
        "objects/plan-watched".into(),
        Box::new(|size| planned(size, true)),
    );
    law(
        "objects/plan-metadata".into(),
        Box::new(|size| planned(size, false)),
    );
    law(
        "objects/diff".into(),
        Box::new(|size| of_objects(size, diff)),
    );
    law(
        "objects/apply".into(),
        Box::new(|size| of_objects(size, apply_again)),
    );
    for (shape, make) in [
        ("map", map as fn(usize) -> Value),
        ("keyed-list", keyed_list),
        ("set", set),
        ("atomic-list", objects::endpoints),
    ] {
        for (what, operation) in [
            ("diff", diff as Operation),
            ("apply", apply_new),
            ("apply-again", apply_again),
            ("apply-less", apply_less),
            ("apply-reversed", apply_reversed),
            ("update", update),
            ("baseline", digest),
            ("lost", lose),
        ] {
            law(
                format!("one-object/{shape}/{what}"),
                Box::new(move |size| operation(stored(make(size), None)?)),
            );
        }
    }
    laws
}

fn planned(size: usize, watched: bool) -> Result<Run> {
    let world = World::at_rest(size)?;
    let name = ReconcilerName::new("bench")?;
    let (manager, policy, differ) = (
        FieldManager::from(name.clone()),
        Policy::default(),
        SchemaDiffer::default(),
    );
    let nothing = Observation::new();
    Ok(Box::new(move || {
        let observation = if watched {
            &nothing
        } else {
            &world.observation
        };
        let World {
            desired, inventory, ..
        } = &world;
        let mut input = PlanInput::new(
            &name,
            &manager,
            desired,
            inventory,
            observation,
            &policy,
            &differ,
        );
        input.watched = watched;
        assert_eq!(black_box(plan(&input)).unchanged, size);
    }))
}

fn of_objects(size: usize, operation: Operation) -> Result<Run> {
    let of_one = operation(objects::deployment()?)?;
    Ok(Box::new(move || (0..size).for_each(|_| of_one())))
}

type Operation = fn(Stored) -> Result<Run>;

fn kind_of(object: &Value) -> Kind<'_> {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let group = text("apiVersion")
        .split_once('/')
        .map_or("", |(group, _)| group);
    Schema::builtin().kind(group, text("kind"))
}

/// Applies over and over; it must go through.
fn applies(config: Value, live: Option<Value>, manager: &'static str) -> Result<Run> {
    let now = "2026-02-03T04:05:06Z".parse()?;
    let run = move || {
        let kind = kind_of(&config);
        let (api_version, name) = (config["apiVersion"].as_str(), config["kind"].as_str());
        let target = Target::new(
            &kind,
            api_version.unwrap_or_default(),
            name.unwrap_or_default(),
        );
        let mut request = Apply::new(&config, manager, now);
        if let Some(live) = &live {
            request = request.live(live);
        }
        apply(&target, &request)
    };
    run()?;
    Ok(Box::new(move || {
        black_box(run()).ok();
    }))
}

fn diff(object: Stored) -> Result<Run> {
    let Stored { desired, live } = object;
    let (differ, manager) = (SchemaDiffer::builtin(), FieldManager::new(MANAGER)?);
    let found = differ.compare(&desired, &live, &manager)?;
    ensure!(found.changes.is_empty(), "{found:?}");
    Ok(Box::new(move || {
        black_box(differ.compare(&desired, &live, &manager)).ok();
    }))
}

fn apply_new(object: Stored) -> Result<Run> {
    applies(object.desired, None, MANAGER)
}

/// Another manager applies the same.
fn apply_again(object: Stored) -> Result<Run> {
    applies(object.desired, Some(object.live), "other")
}

/// We apply half of what we applied.
fn apply_less(object: Stored) -> Result<Run> {
    let mut less = object.desired;
    match elements(&mut less) {
        Value::Object(members) => {
            let mut at = 0;
            members.retain(|_, _| {
                at += 1;
                at % 2 == 0
            });
        }
        Value::Array(items) => items.truncate(items.len() / 2),
        _ => bail!("nothing to leave out"),
    }
    applies(less, Some(object.live), MANAGER)
}

/// We apply the same in another order.
fn apply_reversed(object: Stored) -> Result<Run> {
    let mut reversed = object.desired;
    if let Value::Array(items) = elements(&mut reversed) {
        items.reverse();
    }
    applies(reversed, Some(object.live), MANAGER)
}

/// Somebody changes an element by a plain update.
fn update(object: Stored) -> Result<Run> {
    let Stored { live, .. } = object;
    let mut changed = live.clone();
    match elements(&mut changed) {
        Value::Object(members) => {
            members.insert("key-000001".into(), json!("changed"));
        }
        Value::Array(items) => {
            items.pop();
        }
        _ => bail!("nothing to change"),
    }
    let now = "2026-02-03T04:05:06Z".parse()?;
    Ok(Box::new(move || {
        let kind = kind_of(&live);
        let (api_version, name) = (live["apiVersion"].as_str(), live["kind"].as_str());
        let target = Target::new(
            &kind,
            api_version.unwrap_or_default(),
            name.unwrap_or_default(),
        );
        black_box(track(
            &target,
            Track::new(changed.clone(), "edit", now).live(&live),
        ))
        .ok();
    }))
}

fn digest(object: Stored) -> Result<Run> {
    let metadata = object.live["metadata"].clone();
    ensure!(baseline(&metadata, MANAGER).is_some(), "no baseline");
    Ok(Box::new(move || {
        black_box(baseline(&metadata, MANAGER));
    }))
}

fn lose(object: Stored) -> Result<Run> {
    let Stored { desired, live } = object;
    Ok(Box::new(move || {
        let kind = kind_of(&desired);
        black_box(lost(&kind, &desired, &live["metadata"], MANAGER)).ok();
    }))
}

/// Where the many elements of an object are.
fn elements(object: &mut Value) -> &mut Value {
    match object["kind"].as_str() {
        Some("ConfigMap") => &mut object["data"],
        Some("Deployment") => &mut object["spec"]["template"]["spec"]["containers"][0]["env"],
        Some("Namespace") => &mut object["metadata"]["finalizers"],
        _ => &mut object["subsets"][0]["addresses"],
    }
}

fn map(size: usize) -> Value {
    let data: Map<String, Value> = (0..size)
        .map(|at| (format!("key-{at:06}"), json!(format!("value {at:06}"))))
        .collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": data})
}

fn keyed_list(size: usize) -> Value {
    let env: Vec<Value> = (0..size)
        .map(|at| json!({"name": format!("NAME_{at:06}"), "value": format!("{at:06}")}))
        .collect();
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "large"}, "spec": {
        "selector": {"matchLabels": {"app": "large"}},
        "template": {"metadata": {"labels": {"app": "large"}}, "spec":
            {"containers": [{"name": "app", "image": "app:1", "env": env}]}}}})
}

fn set(size: usize) -> Value {
    let finalizers: Vec<String> = (0..size)
        .map(|at| format!("example.com/f{at:06}"))
        .collect();
    json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "large", "finalizers": finalizers}})
}
