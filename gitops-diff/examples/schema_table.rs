//! How are the tables of built-in kinds made?
//!
//! From the OpenAPI definitions and the discovery answers of a Kubernetes API server,
//! in one JSON file with the members `definitions` and `discovery` (which holds the
//! answers of `/api` and `/apis`). Run it after a new Kubernetes version:
//!
//! ```text
//! cargo run -p gitops-diff --example schema_table -- ../shared/schema/kubernetes-1.36.json
//! ```
//!
//! With `--check` it writes nothing and fails if the files differ from what it would write.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use gitops_diff::schema::{Schema, resources_from_discovery, resources_to_table};
use serde_json::Value;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut check = false;
    let mut source = None;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            _ => source = Some(PathBuf::from(argument)),
        }
    }
    let source = source.ok_or("usage: schema_table [--check] FILE")?;
    let document: Value = serde_json::from_slice(&std::fs::read(source)?)?;

    let types = Schema::from_openapi(&document)?.to_table()?;
    let mut resources = resources_from_discovery(&document["discovery"]["api"])?;
    resources.extend(resources_from_discovery(&document["discovery"]["apis"])?);
    let resources = resources_to_table(&resources);

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema");
    for (name, content) in [
        ("kubernetes-1.36.types", types),
        ("kubernetes-1.36.resources", resources),
    ] {
        let path = folder.join(name);
        if !check {
            std::fs::write(&path, &content)?;
            println!("{name}: {} bytes", content.len());
        } else if std::fs::read_to_string(&path)? != content {
            return Err(format!("{name} is out of date: run this example without --check").into());
        }
    }
    Ok(())
}
