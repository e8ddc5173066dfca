//! How much does an object take while nothing happens to it?
//!
//! `cargo bench -p gitops-benches --bench memory`: bytes on the heap that are held, not those that
//! were used on the way, for what the SDK keeps of an object at rest, beside the object as
//! `serde_json::Value`; and for the table of built-in kinds, which there is once. Fails if
//! something takes more than its limit here.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use anyhow::{Context as _, Result, bail};
use gitops_benches::objects::{self, MANAGER};
use gitops_core::Digest;
use gitops_diff::managed::{baseline, own_entry};
use gitops_diff::schema::Schema;

fn main() -> Result<()> {
    let live = objects::deployment()?.live;
    let json = live.to_string();
    let metadata = &live["metadata"];
    baseline(metadata, MANAGER).context("no baseline")?;
    let own = own_entry(metadata, MANAGER)
        .context("no entry of ours")?
        .fields;
    let table = Schema::builtin().to_table()?;

    println!("a Deployment of {} bytes of JSON", json.len());
    let mut over = Vec::new();
    let mut print = |what: &str, bytes: u64, most: u64| {
        let share = bytes as f64 / json.len() as f64;
        println!("  {what:<44}{bytes:>10} bytes {share:>8.2} x JSON");
        if bytes > most {
            over.push(format!("{what}: {bytes} bytes, at most {most}"));
        }
    };
    print("as serde_json::Value", held(|| live.clone()), u64::MAX);
    print(
        "as JSON text",
        held(|| Box::<str>::from(&*json)),
        json.len() as u64,
    );
    print("its baseline", size_of::<Digest>() as u64, 32);
    print(
        "the fields that we own",
        held(|| own.clone().into_owned()),
        FIELDS,
    );
    println!("all built-in kinds");
    print(
        "their schema",
        held(|| Schema::from_table(table.as_str())),
        SCHEMA,
    );
    if !over.is_empty() {
        bail!("over the limit:\n  {}", over.join("\n  "));
    }
    Ok(())
}

/// The own entry of a Deployment with some thirty fields.
const FIELDS: u64 = 3_400;
/// 1,500 types and their text.
const SCHEMA: u64 = 280_000;

/// What is still allocated when the thing is there.
fn held<T>(make: impl FnOnce() -> T) -> u64 {
    let mut made = None;
    let allocated = allocation_counter::measure(|| made = Some(make()));
    drop(made);
    u64::try_from(allocated.bytes_current).unwrap_or(0)
}
