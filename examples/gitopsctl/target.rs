//! From arguments to a reconciler.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use gitops_core::{GroupKind, Policy, PruneLimit, Reconciler, ReconcilerName, RevisionId};
use gitops_diff::SchemaDiffer;
use gitops_git::{Credentials, GitSource, Reference};
use gitops_kube::KubeApplier;
use gitops_render::PlainYaml;

use crate::fake::Fake;
use crate::ignore::IgnoreArgs;

/// What is deployed, from where, to where.
#[derive(clap::Args)]
pub(crate) struct TargetArgs {
    /// The repository: an https, http, ssh or file URL, or a local path
    #[arg(long, value_name = "URL")]
    repo: String,
    /// A branch, tags/NAME, a full name (refs/...) or a commit id; the default branch if not given
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// The folder within the repository
    #[arg(long, value_name = "PATH", default_value = ".")]
    path: String,
    /// The reconciler's name: it marks the objects, and is the field manager
    #[arg(long, value_name = "NAME")]
    name: ReconcilerName,
    /// The kubeconfig; by default the usual rules ($KUBECONFIG, ~/.kube/config, in-cluster)
    #[arg(long, value_name = "FILE", conflicts_with = "fake")]
    kubeconfig: Option<PathBuf>,
    /// A fake cluster instead of a real one, which is kept in this file from call to call
    #[arg(
        long,
        value_name = "STATE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = crate::fake::DEFAULT_STATE
    )]
    fake: Option<PathBuf>,
    /// At most so many withdrawn objects are deleted at once: a number, a percentage or `unlimited`
    #[arg(long, value_name = "LIMIT", default_value = "50%")]
    prune_limit: PruneLimit,
    /// Lifts the prune limit for this one commit, given by its whole id
    #[arg(long, value_name = "COMMIT", value_parser = whole_id)]
    consent: Option<RevisionId>,
    /// Allows a protected kind to be deleted, such as Namespace
    #[arg(long = "prune-kind", value_name = "KIND[.GROUP]")]
    prune_kinds: Vec<String>,
    #[command(flatten)]
    ignore: IgnoreArgs,
    /// Who to be to the Git server; the password or token comes from $GITOPSCTL_GIT_PASSWORD
    #[arg(long, value_name = "USER")]
    git_user: Option<String>,
    /// Where fetched objects are kept between calls
    #[arg(long, value_name = "FOLDER")]
    git_cache: Option<PathBuf>,
}

/// A reconciler, and the fake cluster it works on, if it does.
pub(crate) struct Target {
    pub(crate) reconciler: Reconciler,
    pub(crate) fake: Option<Fake>,
}

impl TargetArgs {
    /// Puts the reconciler together. `interval` is how often Git is looked at.
    pub(crate) async fn build(self, interval: Option<Duration>) -> Result<Target> {
        let rules = self.ignore.read()?;
        let fake = match &self.fake {
            Some(state) => Some(Fake::open(state).await?),
            None => None,
        };
        let client = match (&fake, &self.kubeconfig) {
            (Some(fake), _) => fake.client(),
            (None, Some(file)) => gitops_kube::connect_with(file, None).await?,
            (None, None) => gitops_kube::connect().await?,
        };
        let applier = KubeApplier::builder(client)
            .reconciler(&self.name)
            .build()?;
        let reconciler = Reconciler::builder(self.name.as_str())
            .source(self.source(interval)?)
            .renderer(PlainYaml::new())
            .differ(SchemaDiffer::default().with_ignore(rules))
            .applier(applier)
            .policy(self.policy())
            .build()?;
        Ok(Target { reconciler, fake })
    }

    fn source(&self, interval: Option<Duration>) -> Result<GitSource> {
        let reference = match &self.reference {
            Some(name) => reference(name),
            None => Reference::Head,
        };
        let mut source = GitSource::builder(&self.repo)
            .follow(reference)
            .path(&self.path);
        if let Some(interval) = interval {
            source = source.interval(interval);
        }
        if let Some(folder) = &self.git_cache {
            source = source.cache_dir(folder);
        }
        if let Ok(password) = std::env::var("GITOPSCTL_GIT_PASSWORD") {
            source = source.credentials(match &self.git_user {
                Some(user) => Credentials::basic(user, password),
                None => Credentials::token(password),
            });
        }
        Ok(source.build()?)
    }

    fn policy(&self) -> Policy {
        let mut policy = Policy::default().prune(self.prune_limit);
        if let Some(commit) = &self.consent {
            policy = policy.consent(commit.clone());
        }
        for kind in &self.prune_kinds {
            let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
            policy = policy.prune_kind(GroupKind::new(group, kind));
        }
        policy
    }
}

fn is_whole_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Reads a commit id. A part of one consents to nothing: another commit may begin with it.
fn whole_id(text: &str) -> Result<RevisionId, &'static str> {
    if is_whole_id(text) {
        Ok(RevisionId::new(text.to_ascii_lowercase()))
    } else {
        Err("the whole commit id is needed, 40 or 64 hexadecimal digits")
    }
}

/// What `--ref` means: `HEAD`, a whole commit id, a full name (`refs/...`), `tags/v1`, or else a
/// branch.
fn reference(name: &str) -> Reference {
    if name == "HEAD" {
        Reference::Head
    } else if is_whole_id(name) {
        Reference::Commit(name.to_owned())
    } else if name.starts_with("refs/") {
        Reference::Full(name.to_owned())
    } else if let Some(tag) = name.strip_prefix("tags/") {
        Reference::Tag(tag.to_owned())
    } else {
        Reference::Branch(name.strip_prefix("heads/").unwrap_or(name).to_owned())
    }
}
