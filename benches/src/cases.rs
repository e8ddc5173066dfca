//! What of the field engine is measured: each case once, for times, allocations and
//! instructions alike.

use std::hint::black_box;

use anyhow::{Context as _, Result, bail, ensure};
use gitops_core::yaml::{ReadLimits, read_documents};
use gitops_core::{FieldManager, GroupVersionKind};
use gitops_diff::SchemaDiffer;
use gitops_diff::managed::{Apply, Target, Track, apply, baseline, lost, track};
use gitops_diff::schema::Schema;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::objects::{self, MANAGER, Stored};

/// What is measured, ready to be done.
pub type Run = Box<dyn Fn()>;

/// Something that is measured.
pub struct Case {
    /// What, and on which object: `ssa_apply/pod/apply-twice`.
    pub name: String,
    prepare: Box<dyn Fn() -> Result<Run>>,
}

impl Case {
    fn new(name: impl Into<String>, prepare: impl Fn() -> Result<Run> + 'static) -> Self {
        Self {
            name: name.into(),
            prepare: Box::new(prepare),
        }
    }

    /// Makes what is worked on, which isn't measured.
    ///
    /// # Errors
    ///
    /// If that fails, or if the case would not do what its name says: a no-op that finds a
    /// difference, a drift that finds none.
    pub fn prepare(&self) -> Result<Run> {
        (self.prepare)().with_context(|| self.name.clone())
    }
}

fn run<T>(what: impl Fn() -> T + 'static) -> Result<Run> {
    Ok(Box::new(move || {
        black_box(what());
    }))
}

/// All cases. With `SMD_TESTDATA` (the folder `internal/testdata` of
/// `sigs.k8s.io/structured-merge-diff`) also `ssa_apply` on the peer's own objects.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("diff_noop/deployment", || {
            let Stored { desired, live } = objects::deployment()?;
            compare(desired, live, 0)
        }),
        Case::new("diff_drift/deployment", || {
            let Stored { desired, live } = objects::deployment()?;
            compare(desired, drifted(&live)?, 1)
        }),
        Case::new("diff_noop/forty-kinds", forty_kinds),
        Case::new("ownership/baseline", || {
            let metadata = objects::deployment()?.live["metadata"].clone();
            ensure!(baseline(&metadata, MANAGER).is_some(), "no baseline");
            run(move || baseline(&metadata, MANAGER))
        }),
        Case::new("ownership/lost-nothing", || {
            let Stored { desired, live } = objects::deployment()?;
            let lost = move || {
                let kind = Schema::builtin().kind("apps", "Deployment");
                lost(&kind, &desired, &live["metadata"], MANAGER)
            };
            ensure!(lost()?.is_empty(), "something is lost");
            run(lost)
        }),
        Case::new("schema/builtin", || {
            let table = Schema::builtin().to_table()?;
            run(move || Schema::from_table(table.as_str()))
        }),
        Case::new("schema/openapi", || {
            let document = objects::openapi(100);
            Schema::from_openapi(&document)?;
            run(move || Schema::from_openapi(&document))
        }),
        Case::new("schema/crd", || {
            let definition = objects::definition(500);
            Schema::from_crd(&definition)?;
            run(move || Schema::from_crd(&definition))
        }),
    ];
    for name in ["pod", "node", "endpoints", "crd"] {
        ssa_apply(&mut cases, name, move || objects::ssa(name));
    }
    if let Some(folder) = std::env::var_os("SMD_TESTDATA") {
        let folder = std::path::PathBuf::from(folder);
        for (name, file) in [
            ("pod", "pod.yaml"),
            ("node", "node.yaml"),
            ("endpoints", "endpoints.yaml"),
            ("crd", "prometheus-crd.yaml"),
        ] {
            let path = folder.join(file);
            ssa_apply(&mut cases, &format!("smd-{name}"), move || peer(&path));
        }
    }
    cases
}

fn compare(desired: Value, live: Value, changes: usize) -> Result<Run> {
    let (differ, manager) = (SchemaDiffer::builtin(), FieldManager::new(MANAGER)?);
    let found = differ.compare(&desired, &live, &manager)?;
    ensure!(found.changes.len() == changes, "{found:?}");
    run(move || differ.compare(&desired, &live, &manager))
}

/// The Deployment after somebody set another image by hand.
fn drifted(live: &Value) -> Result<Value> {
    let mut object = live.clone();
    object["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("registry.example.com/shop/web:1.14.3");
    let kind = Schema::builtin().kind("apps", "Deployment");
    let target = Target::new(&kind, "apps/v1", "Deployment");
    let edit = Track::new(object, "kubectl-edit", now()?).live(live);
    Ok(track(&target, edit)?)
}

fn forty_kinds() -> Result<Run> {
    let (differ, manager) = (SchemaDiffer::builtin(), FieldManager::new(MANAGER)?);
    let forty = objects::forty_kinds()?;
    for Stored { desired, live } in &forty {
        let found = differ.compare(desired, live, &manager)?;
        ensure!(found.changes.is_empty(), "{}: {found:?}", desired["kind"]);
    }
    run(move || {
        for Stored { desired, live } in &forty {
            let _ = black_box(differ.compare(desired, live, &manager));
        }
    })
}

fn now() -> Result<Timestamp> {
    Ok("2026-01-02T03:04:05Z".parse()?)
}

type Write = fn(&Target<'_>, &Value, &Value, Timestamp) -> Result<Value>;

/// `managed::apply` and `managed::track` with JSON in and JSON out: one manager writes an
/// object that isn't there, another one the same again.
fn ssa_apply(
    cases: &mut Vec<Case>,
    name: &str,
    object: impl Fn() -> Result<Value> + Clone + 'static,
) {
    let writes: [(&str, Write); 3] = [
        ("apply", |target, object, _, now| {
            Ok(apply(target, &Apply::new(object, "controller", now))?.object)
        }),
        ("apply-twice", |target, object, again, now| {
            let live = apply(target, &Apply::new(object, "controller", now))?.object;
            let again = Apply::new(again, "other-controller", now).live(&live);
            Ok(apply(target, &again)?.object)
        }),
        ("update", |target, object, again, now| {
            let live = track(target, Track::new(object.clone(), "controller", now))?;
            let again = Track::new(again.clone(), "other-controller", now).live(&live);
            Ok(track(target, again)?)
        }),
    ];
    for (what, write) in writes {
        let object = object.clone();
        cases.push(Case::new(format!("ssa_apply/{name}/{what}"), move || {
            let object = object()?;
            let gvk = gvk_of(&object)?;
            let (again, now) = (object.clone(), now()?);
            let write = move || {
                let versions = Schema::builtin().kind(&gvk.group, &gvk.kind);
                let target = Target::new(&versions, gvk.api_version(), &*gvk.kind);
                write(&target, &object, &again, now)
            };
            ensure!(
                write()?["metadata"]["managedFields"].is_array(),
                "no owners"
            );
            run(write)
        }));
    }
}

fn gvk_of(object: &Value) -> Result<GroupVersionKind> {
    match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some(version), Some(kind)) => Ok(GroupVersionKind::from_api_version(version, kind)),
        _ => bail!("no apiVersion or kind"),
    }
}

/// An object that structured-merge-diff measures itself on.
fn peer(path: &std::path::Path) -> Result<Value> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    let read = read_documents("peer", &text, &ReadLimits::default());
    let document = read.documents.into_iter().next();
    let mut object = document.context("no object")?.value;
    if object["apiVersion"] == "apiextensions.k8s.io/v1beta1" {
        // The same schema, where v1 has it.
        object["apiVersion"] = json!("apiextensions.k8s.io/v1");
        let spec = object["spec"].as_object_mut().context("no spec")?;
        let validation = spec.remove("validation").context("no validation")?;
        spec.insert(
            "versions".into(),
            json!([{"name": "v1", "schema": validation}]),
        );
    }
    Ok(object)
}
