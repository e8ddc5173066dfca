//! How much does the field engine allocate, and how many instructions does it take?
//!
//! `cargo bench -p gitops-benches --bench counts`: allocations, bytes and instructions of each
//! case of `gitops_benches::cases`. Fails if one takes more than its limit here: these don't
//! depend on the machine, so more is a change of the code. `cargo test` looks at the allocations
//! alone. Instructions need `valgrind`, and are left out where there is none. A word chooses
//! cases: `-- ssa_merge/pod`.
//!
//! `-- --run CASE TIMES` does one case, for `valgrind --tool=callgrind` or `perf record`.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use anyhow::{Context as _, Result, bail};
use gitops_benches::{
    cases::{Case, cases},
    instructions,
};

/// Case, most allocations, most instructions.
const LIMITS: &[(&str, u64, u64)] = &[
    ("diff_noop/deployment", 92, 150_000),
    ("diff_drift/deployment", 135, 170_000),
    ("diff_noop/forty-kinds", 2_729, 2_800_000),
    ("ownership/baseline", 52, 130_000),
    ("ownership/lost-nothing", 104, 160_000),
    ("schema/builtin", 33, 3_500_000),
    ("schema/openapi", 8_913, 25_000_000),
    ("schema/crd", 2_398, 5_600_000),
    ("ssa_apply/pod/apply", 621, 680_000),
    ("ssa_apply/pod/apply-twice", 1_459, 1_600_000),
    ("ssa_apply/pod/update", 1_153, 1_300_000),
    ("ssa_apply/node/apply", 1_037, 1_200_000),
    ("ssa_apply/node/apply-twice", 2_367, 2_800_000),
    ("ssa_apply/node/update", 1_923, 2_400_000),
    ("ssa_apply/endpoints/apply", 15_077, 14_000_000),
    ("ssa_apply/endpoints/apply-twice", 30_184, 35_000_000),
    ("ssa_apply/endpoints/update", 30_184, 35_000_000),
    ("ssa_apply/crd/apply", 3_933, 3_700_000),
    ("ssa_apply/crd/apply-twice", 7_899, 9_300_000),
    ("ssa_apply/crd/update", 7_917, 8_100_000),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cases = cases();
    if let Some(at) = arguments.iter().position(|argument| argument == "--run") {
        let name = arguments.get(at + 1).context("--run needs a case")?;
        let times: usize = arguments
            .get(at + 2)
            .context("--run needs a number")?
            .parse()?;
        let case = cases.iter().find(|case| case.name == *name);
        let case = case.with_context(|| format!("there is no case {name}"))?;
        let run = case.prepare()?;
        (0..times).for_each(|_| run());
        return Ok(());
    }
    let bench = arguments.iter().any(|argument| argument == "--bench");
    let chosen = |case: &&Case| {
        let mut words = arguments
            .iter()
            .filter(|word| !word.starts_with('-'))
            .peekable();
        words.peek().is_none() || words.any(|word| case.name.contains(word.as_str()))
    };
    println!(
        "{:<34}{:>12}{:>12}{:>14}",
        "", "allocations", "bytes", "instructions"
    );
    let mut over = Vec::new();
    for case in cases.iter().filter(chosen) {
        let run = case.prepare()?;
        run(); // What is made once, at first use, doesn't count.
        let allocated = allocation_counter::measure(run);
        let instructions = if bench { instructions_of(case)? } else { None };
        println!(
            "{:<34}{:>12}{:>12}{:>14}",
            case.name,
            allocated.count_total,
            allocated.bytes_total,
            instructions.map_or("-".to_owned(), |count| count.to_string()),
        );
        let Some((_, most, most_instructions)) =
            LIMITS.iter().find(|(name, ..)| *name == case.name)
        else {
            if !case.name.contains("/smd-") {
                over.push(format!("{} has no limit", case.name));
            }
            continue;
        };
        if allocated.count_total > *most {
            over.push(format!(
                "{}: {} allocations, at most {most}",
                case.name, allocated.count_total
            ));
        }
        if let Some(count) = instructions.filter(|count| count > most_instructions) {
            over.push(format!(
                "{}: {count} instructions, at most {most_instructions}",
                case.name
            ));
        }
    }
    if !over.is_empty() {
        bail!("over the limit:\n  {}", over.join("\n  "));
    }
    Ok(())
}

/// What ten more runs take, a tenth of it.
fn instructions_of(case: &Case) -> Result<Option<u64>> {
    let of = |times: &str| instructions::of_run(&["--run", &case.name, times]);
    let (Some(few), Some(many)) = (of("1")?, of("11")?) else {
        return Ok(None);
    };
    Ok(Some(many.saturating_sub(few) / 10))
}
