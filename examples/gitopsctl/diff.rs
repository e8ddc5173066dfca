//! `gitopsctl diff DESIRED.yaml LIVE.yaml`

use std::path::PathBuf;

use anyhow::{Result, bail};
use gitops_core::{DiffRequest, Differ as _, Difference, FieldManager, Manifest, ObjectId};
use gitops_diff::SchemaDiffer;
use gitops_diff::text::{Fate, Report};
use serde::Serialize;

use crate::ignore::IgnoreArgs;
use crate::output::{DiffOutput, Form, write_json};
use crate::{SUCCESS, UNWELL, render};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What ought to be: a file or a folder
    desired: PathBuf,
    /// What is: a file or a folder, such as `kubectl get -o yaml` writes
    live: PathBuf,
    #[command(flatten)]
    output: DiffOutput,
    /// Look at ownership, too, as somebody who writes under this name
    #[arg(long, value_name = "NAME")]
    field_manager: Option<FieldManager>,
    #[command(flatten)]
    ignore: IgnoreArgs,
}

/// How one object compares.
#[derive(Serialize)]
struct Compared {
    object: ObjectId,
    missing: bool,
    #[serde(flatten)]
    difference: Difference,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let desired = manifests(&args.desired).await?;
    let live = manifests(&args.live).await?;
    let manager = match &args.field_manager {
        Some(manager) => manager.clone(),
        None => FieldManager::new("gitopsctl")?,
    };
    let definitions: Vec<_> = desired
        .iter()
        .chain(&live)
        .filter(|manifest| {
            manifest
                .id()
                .is("apiextensions.k8s.io", "CustomResourceDefinition")
        })
        .cloned()
        .collect();
    let differ = SchemaDiffer::default().with_ignore(args.ignore.read()?);
    let mut all = Vec::new();
    for manifest in &desired {
        let Some(live) = live.iter().find(|live| same(manifest, live)) else {
            all.push(Compared {
                object: manifest.id().clone(),
                missing: true,
                difference: differ.created(&manifest.value())?,
            });
            continue;
        };
        let mut value = live.value();
        if args.field_manager.is_none()
            && let Some(metadata) = value.get_mut("metadata").and_then(|m| m.as_object_mut())
        {
            metadata.remove("managedFields");
        }
        let request = DiffRequest::new(manifest, &value, &manager).with_definitions(&definitions);
        let mut difference = differ.diff(&request)?;
        if args.field_manager.is_none() {
            difference.unowned.clear();
            difference.conflicts.clear();
        }
        all.push(Compared {
            object: manifest.id().clone(),
            missing: false,
            difference,
        });
    }
    let same = all
        .iter()
        .all(|compared| !compared.missing && compared.difference.is_empty());
    if args.output.form == Form::Json {
        write_json(&all)?;
    } else if !same {
        args.output.write("Differences", &report(all));
    }
    Ok(if same { SUCCESS } else { UNWELL })
}

fn report(all: Vec<Compared>) -> Report {
    let mut report = Report::new();
    for compared in all {
        let fate = if compared.missing {
            Fate::Created
        } else {
            Fate::Changed
        };
        report.push(compared.object, fate, compared.difference);
    }
    report
}

async fn manifests(path: &std::path::Path) -> Result<Vec<Manifest>> {
    let rendered = render::render(path).await?;
    if let Some(problem) = rendered.problems.first() {
        bail!("{problem}");
    }
    if rendered.manifests.is_empty() {
        bail!("{}: there is no manifest in it", path.display());
    }
    Ok(rendered.manifests)
}

/// Whether the two are one object. A manifest that names no namespace means any.
fn same(desired: &Manifest, live: &Manifest) -> bool {
    let (desired, live) = (desired.id(), live.id());
    desired.group_kind() == live.group_kind()
        && desired.name == live.name
        && (desired.namespace.is_none() || desired.namespace == live.namespace)
}
