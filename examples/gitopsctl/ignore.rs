//! `--ignore FILE`: fields that are somebody else's business.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use gitops_core::yaml::{ReadLimits, read_documents};
use gitops_diff::ignore::IgnoreRules;

#[derive(clap::Args)]
pub(crate) struct IgnoreArgs {
    /// Rules for fields to leave alone: a list of rules, an Argo CD Application, or a Flux
    /// HelmRelease or Kustomization; may be given several times
    #[arg(long = "ignore", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl IgnoreArgs {
    /// The rules of all the files.
    pub(crate) fn read(&self) -> Result<IgnoreRules> {
        let mut rules = IgnoreRules::new();
        for file in &self.files {
            let name = file.display().to_string();
            let content = fs::read(file).with_context(|| format!("{name} can't be read"))?;
            let read = read_documents(&name, &content, &ReadLimits::default());
            if let Some(error) = read.errors.first() {
                bail!("{error}");
            }
            if read.documents.is_empty() {
                bail!("{name}: there is no rule in it");
            }
            for document in read.documents {
                let found = IgnoreRules::from_value(&document.value)
                    .with_context(|| format!("{name}:{}", document.line))?;
                rules.extend(found);
            }
        }
        Ok(rules)
    }
}
