//! Replays requests that were recorded from a real kube-apiserver 1.36 against the fake
//! cluster, within the process, each scenario on a cluster of its own and in virtual time.
//!
//! What is known to differ stands in `known.txt`, one `file#step reason` per line. The
//! test fails when a step differs that isn't listed, and when one that is listed no longer
//! does: the number can only be moved knowingly. The format of the transcripts is
//! explained in `README.md` beside this file.
//!
//! `CONFORMANCE_ONLY=text` runs the scenarios whose path contains the text and prints
//! every difference.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

mod matching;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use replay::{Outcome, Scenario};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

fn files() -> Vec<(String, PathBuf)> {
    let root = folder().join("api");
    let mut found = Vec::new();
    for area in std::fs::read_dir(&root).unwrap() {
        let area = area.unwrap();
        for file in std::fs::read_dir(area.path()).unwrap() {
            let file = file.unwrap();
            let area = area.file_name().into_string().unwrap();
            let name = file.file_name().into_string().unwrap();
            found.push((format!("{area}/{name}"), file.path()));
        }
    }
    found.sort();
    found
}

/// Steps that are known to differ, with the reason.
fn known() -> BTreeMap<String, String> {
    std::fs::read_to_string(folder().join("known.txt"))
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .map(|line| {
            let (step, reason) = line.split_once(' ').unwrap_or((line, ""));
            assert!(!reason.trim().is_empty(), "known.txt: {step} has no reason");
            (step.to_owned(), reason.to_owned())
        })
        .collect()
}

fn run_all(files: &[(String, PathBuf)]) -> Vec<(String, Outcome)> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((name, path)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let text = std::fs::read_to_string(path).unwrap();
                    let scenario: Scenario = serde_json::from_str(&text).unwrap();
                    // Paused time: a watch that lasts a second takes none.
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .start_paused(true)
                        .build()
                        .unwrap();
                    let outcome = runtime.block_on(replay::run(&scenario));
                    results.lock().unwrap().push((name.clone(), outcome));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    results
}

#[test]
fn the_fake_answers_as_the_recorded_server() {
    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    let known = known();
    let files: Vec<_> = files()
        .into_iter()
        .filter(|(name, _)| name.contains(&only))
        .collect();
    assert!(!files.is_empty(), "no scenario matches {only:?}");
    let mut areas: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut fixed = Vec::new();
    for (name, outcome) in run_all(&files) {
        let area = name.split('/').next().unwrap_or_default().to_owned();
        let counts = areas.entry(area).or_default();
        for (at, differences) in outcome.steps.iter().enumerate() {
            counts.1 += 1;
            counts.0 += usize::from(differences.is_empty());
            let step = format!("{name}#{at}");
            match (differences.is_empty(), known.contains_key(&step)) {
                (true, true) => fixed.push(step),
                (false, false) => wrong.push(format!("{step}\n    {}", differences.join("\n    "))),
                (false, true) if !only.is_empty() => {
                    println!("known: {step}\n    {}", differences.join("\n    "))
                }
                _ => {}
            }
        }
    }
    let (mut matched, mut total) = (0, 0);
    for (area, (good, all)) in &areas {
        println!("{area:<22}{good:>6}/{all}");
        matched += good;
        total += all;
    }
    println!("{:<22}{matched:>6}/{total}", "total");
    assert!(
        wrong.is_empty() && fixed.is_empty(),
        "{} steps differ that known.txt does not list:\n{}\n{} listed steps match now; take them off the list:\n{}",
        wrong.len(),
        wrong.join("\n"),
        fixed.len(),
        fixed.join("\n"),
    );
}
