//! `gitopsctl render PATH`

use std::path::PathBuf;

use anyhow::Result;
use gitops_core::yaml::to_yaml;
use gitops_core::{Rendered, Renderer as _};
use gitops_render::PlainYaml;

use crate::{Output, SUCCESS, UNWELL, files};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file or a folder
    path: PathBuf,
    /// The form of the manifests: YAML documents, or one JSON list
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let Rendered {
        manifests,
        problems,
        warnings,
    } = render(&args.path).await?;
    match args.output {
        Output::Text => {
            for manifest in &manifests {
                anstream::println!(
                    "---\n# {}\n{}",
                    manifest.origin(),
                    to_yaml(&manifest.value()).trim_end()
                );
            }
        }
        Output::Json => {
            let values: Vec<_> = manifests.iter().map(|manifest| manifest.value()).collect();
            anstream::println!("{}", serde_json::to_string_pretty(&values)?);
        }
    }
    for warning in &warnings {
        anstream::eprintln!("warning: {warning}");
    }
    for problem in &problems {
        anstream::eprintln!("problem: {problem}");
    }
    Ok(if problems.is_empty() { SUCCESS } else { UNWELL })
}

/// The manifests of a file or a folder.
pub(crate) async fn render(path: &std::path::Path) -> Result<Rendered> {
    let snapshot = files::read(path)?;
    Ok(PlainYaml::new().render(&snapshot).await?)
}
