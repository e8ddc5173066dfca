//! `gitopsctl`: what each subcommand prints, writes and exits with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use gitops_testkit::FakeRepo;
use gitops_testkit::cluster::{FakeCluster, Fault, ServerHandle};
use serde_json::{Value, json};

use crate::cluster;
use crate::command::{Finished, Started, finish, gitopsctl};

/// A repository, and a folder to work in.
struct Desk {
    home: tempfile::TempDir,
    repo: FakeRepo,
}

fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  mode: {value}\n")
}

impl Desk {
    /// With the ConfigMaps a, b and c in the folder `shop`.
    fn new() -> Self {
        let desk = Self {
            home: tempfile::tempdir().unwrap(),
            repo: FakeRepo::new().unwrap(),
        };
        let mut commit = desk.repo.commit("open the shop");
        for name in ["a", "b", "c"] {
            commit = commit.file(format!("shop/{name}.yaml"), config_map(name, "fast"));
        }
        commit.save().unwrap();
        desk
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state.json")
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.home.path().join(name), content).unwrap();
    }

    fn run(&self, args: &[&str]) -> Finished {
        finish(gitopsctl(self.home.path()).args(args))
    }

    /// `plan`, `apply` or `run`, not yet told of a cluster.
    fn deploying(&self, verb: &str) -> Command {
        let mut command = gitopsctl(self.home.path());
        command
            .args([verb, "--name", "shop", "--path", "shop", "--repo"])
            .arg(self.repo.path());
        command
    }

    fn on_fake(&self, verb: &str, args: &[&str]) -> Finished {
        finish(self.deploying(verb).arg("--fake=state.json").args(args))
    }

    /// The ConfigMaps of the fake cluster of `--fake`, by name.
    async fn config_maps(&self) -> Vec<String> {
        config_maps(&cluster::open(&self.state())).await
    }

    /// A cluster, served, and its kubeconfig in the file `kubeconfig`.
    async fn serve(&self, cluster: &FakeCluster) -> ServerHandle {
        let server = cluster
            .serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        self.write("kubeconfig", &cluster.kubeconfig(&server.url()));
        server
    }
}

/// The ConfigMaps in `default` that hold no inventory.
async fn config_maps(cluster: &FakeCluster) -> Vec<String> {
    cluster::everything(&cluster.client())
        .await
        .into_keys()
        .filter_map(|id| Some(id.strip_prefix("ConfigMap default/")?.to_owned()))
        .filter(|name| name.len() == 1)
        .collect()
}

// ---- render and diff ----------------------------------------------------------------------

#[test]
fn render_prints_each_manifest_with_its_place() {
    let desk = Desk::new();
    desk.write(
        "app.yaml",
        &(config_map("a", "yes") + "---\n" + &config_map("b", "\"1.0\"")),
    );
    let text = desk.run(&["render", "app.yaml"]).code(0);
    text.says(&["# app.yaml:1"])
        .says(&["# app.yaml:8 (document 2)"]);
    // As kubectl reads it: YAML 1.1 has yes for true.
    text.says(&["mode: true"]).says(&["mode: \"1.0\""]);
    assert_eq!(text.stderr, "");
    // What it prints is what it reads.
    desk.write("again.yaml", &text.stdout);
    let json = desk
        .run(&["render", "again.yaml", "--output", "json"])
        .code(0)
        .json();
    let names: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["metadata"]["name"])
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(json[1]["data"]["mode"], "1.0");
}

#[test]
fn render_names_the_place_of_what_is_broken_and_prints_the_rest() {
    let desk = Desk::new();
    std::fs::create_dir(desk.home.path().join("app")).unwrap();
    desk.write("app/good.yaml", &config_map("a", "fast"));
    desk.write(
        "app/broken.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [\n",
    );
    desk.write("app/nameless.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    for output in ["text", "json"] {
        let rendered = desk.run(&["render", "app", "--output", output]).code(1);
        rendered.says(&["ConfigMap"]);
        let problems: Vec<_> = rendered.stderr.lines().collect();
        assert_eq!(problems.len(), 2, "{problems:#?}");
        assert!(
            problems[0].starts_with("problem: broken.yaml:"),
            "{problems:#?}"
        );
        assert!(
            problems[0].contains("line 3") || problems[0].contains("line 4"),
            "{problems:#?}"
        );
        assert!(
            problems[1].starts_with("problem: nameless.yaml:"),
            "{problems:#?}"
        );
        assert!(problems[1].contains("metadata.name"), "{problems:#?}");
    }
    desk.run(&["render", "nowhere"]).refuses(&["nowhere"]);
}

#[test]
fn diff_exits_as_diff_does() {
    let desk = Desk::new();
    desk.write("want.yaml", &config_map("a", "fast"));
    // What the server adds is no difference.
    desk.write(
        "live.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default, uid: u, \
         resourceVersion: '7', creationTimestamp: 2026-01-01T00:00:00Z}\ndata: {mode: fast}\n",
    );
    desk.write("other.yaml", &config_map("a", "slow"));
    desk.write("broken.yaml", "kind: [");
    desk.write("stranger.yaml", &config_map("b", "fast"));

    let same = desk.run(&["diff", "want.yaml", "live.yaml"]).code(0);
    assert_eq!((same.stdout.as_str(), same.stderr.as_str()), ("", ""));
    let different = desk.run(&["diff", "want.yaml", "other.yaml"]).code(1);
    different
        .says(&["ConfigMap a"])
        .says(&[".data.mode", "slow", "fast"]);
    let missing = desk.run(&["diff", "want.yaml", "stranger.yaml"]).code(1);
    missing.says(&["+ ConfigMap a"]).says(&["+ .data", "fast"]);
    missing.says(&["1 created"]);

    let args = |live| ["diff", "want.yaml", live, "--output", "json"];
    let same = desk.run(&args("live.yaml")).code(0).json();
    assert_eq!(same.as_array().unwrap().len(), 1);
    let different = desk.run(&args("other.yaml")).code(1).json();
    assert_eq!(different[0]["object"]["name"], "a");
    assert_eq!(different[0]["missing"], false);
    let path = json!([{"field": "data"}, {"field": "mode"}]);
    assert_eq!(different[0]["changes"][0]["path"], path);
    let missing = desk.run(&args("stranger.yaml")).code(1).json();
    assert_eq!(missing[0]["missing"], true);
    assert_eq!(
        missing[0]["changes"][0]["after"],
        json!({"value": {"mode": "fast"}})
    );

    for output in ["text", "json"] {
        desk.run(&["diff", "want.yaml", "broken.yaml", "--output", output])
            .refuses(&["broken.yaml"]);
        desk.run(&["diff", "want.yaml", "gone.yaml", "--output", output])
            .refuses(&["gone.yaml"]);
    }
}

#[test]
fn diff_has_a_form_for_terminals_wide_and_narrow_and_for_a_comment() {
    let desk = Desk::new();
    desk.write("want.yaml", &config_map("a", "fast"));
    desk.write("live.yaml", &config_map("a", "slow"));
    let run = |args: &[&str]| {
        let args = [&["diff", "want.yaml", "live.yaml"], args].concat();
        desk.run(&args).code(1).stdout
    };
    assert_eq!(
        run(&[]),
        "~ ConfigMap a\n  ~ .data.mode  \"slow\" -> \"fast\"\n1 changed\n"
    );
    assert_eq!(
        run(&["--output", "side-by-side", "--width", "40"]),
        "~ ConfigMap a\n~ .data.mode\n  \"slow\"            | \"fast\"\n1 changed\n"
    );
    let comment = run(&["--output", "markdown"]);
    assert!(
        comment.starts_with("### Differences\n\n1 changed\n"),
        "{comment}"
    );
    assert!(
        comment.contains("```diff\n- .data.mode  \"slow\"\n+ .data.mode  \"fast\"\n```"),
        "{comment}"
    );
    // Nobody sees colours in a file, unless they are asked for; told not to, there are none.
    let coloured = gitopsctl(desk.home.path())
        .args(["diff", "want.yaml", "live.yaml", "--color", "always"])
        .output()
        .unwrap();
    let coloured = String::from_utf8(coloured.stdout).unwrap();
    assert!(coloured.contains("\u{1b}[33m"), "{coloured:?}");
    assert!(!run(&["--color", "never"]).contains('\u{1b}'));
    assert!(!run(&[]).contains('\u{1b}'));
}

#[test]
fn diff_does_not_show_what_is_secret() {
    let desk = Desk::new();
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{password: {value}}}\n"
        )
    };
    desk.write("want.yaml", &secret("canary-new"));
    desk.write(
        "live.yaml",
        &secret("canary-old")
            .replace("stringData", "data")
            .replace("canary-old", "Y2FuYXJ5"),
    );
    desk.write("nothing.yaml", &config_map("a", "fast"));
    for output in ["text", "json", "side-by-side", "markdown"] {
        for live in ["live.yaml", "nothing.yaml"] {
            let differs = desk
                .run(&["diff", "want.yaml", live, "--output", output])
                .code(1);
            let text = format!("{}{}", differs.stdout, differs.stderr);
            assert!(text.contains("password"), "{text}");
            assert!(
                !text.contains("canary") && !text.contains("Y2FuYXJ5"),
                "{text}"
            );
        }
    }
}

// ---- plan and apply ------------------------------------------------------------------------

#[tokio::test]
async fn plan_tells_what_apply_would_do_and_writes_nothing() {
    let desk = Desk::new();
    let cluster = FakeCluster::new();
    let _server = desk.serve(&cluster).await;
    let mark = cluster.mark();
    for output in ["text", "json"] {
        let mut plan = desk.deploying("plan");
        plan.args(["--kubeconfig", "kubeconfig", "--output", output]);
        let plan = finish_beside(plan).await.code(1);
        if output == "json" {
            let actions = plan.json()["actions"].as_array().unwrap().len();
            assert_eq!(actions, 3, "{plan:#?}");
        } else {
            plan.says(&["create", "ConfigMap default/a", "shop/a.yaml"]);
        }
    }
    cluster.assert_no_writes_since(mark);
    assert_eq!(
        cluster
            .requests_since(mark)
            .iter()
            .filter(|r| r.is_dry_run())
            .count(),
        0
    );
}

#[test]
fn a_plan_has_a_form_for_a_comment_and_one_in_two_columns() {
    let desk = Desk::new();
    desk.on_fake("apply", &[]).code(0);
    desk.repo
        .commit("change the shop")
        .file("shop/a.yaml", config_map("a", "slow"))
        .file("shop/d.yaml", config_map("d", "fast"))
        .remove("shop/b.yaml")
        .save()
        .unwrap();
    let comment = desk.on_fake("plan", &["--output", "markdown"]).code(1);
    comment
        .says(&["### Plan for shop at"])
        .says(&["1 created, 1 changed, 1 deleted, 1 unchanged"])
        .says(&["<code>+ ConfigMap default/d</code> created"])
        .says(&["<code>- ConfigMap default/b</code> deleted"])
        .says(&["+ .data.mode", "\"slow\""]);
    desk.on_fake("plan", &["--output", "side-by-side", "--width", "40"])
        .code(1)
        .says(&["  \"fast\"            | \"slow\""]);
}

#[test]
fn a_plan_with_nothing_to_do_is_a_success() {
    let desk = Desk::new();
    assert!(!desk.state().exists());
    desk.on_fake("plan", &[]).code(1);
    assert!(!desk.state().exists(), "a plan keeps nothing");
    desk.on_fake("apply", &[]).code(0);
    let before = std::fs::read(desk.state()).unwrap();
    desk.on_fake("plan", &[]).code(0).says(&["3 unchanged"]);
    let comment = desk.on_fake("plan", &["--output", "markdown"]).code(0);
    comment.says(&["3 unchanged"]);
    assert_eq!(std::fs::read(desk.state()).unwrap(), before);
}

#[tokio::test]
async fn a_second_apply_writes_nothing() {
    let desk = Desk::new();
    let first = desk.on_fake("apply", &[]).code(0);
    first
        .says(&["created", "ConfigMap default/a"])
        .says(&["3 written, 0 unchanged"]);
    assert_eq!(first.requests("patch"), 3);
    assert_eq!(desk.config_maps().await, ["a", "b", "c"]);
    let second = desk.on_fake("apply", &[]).code(0);
    second.says(&["0 written, 3 unchanged"]);
    second.wrote_nothing();
    let third = desk.on_fake("apply", &["--output", "json"]).code(0);
    third.wrote_nothing();
    let report = third.json();
    assert_eq!(report["reconciler"], "shop");
    assert_eq!(report["unchanged"], 3);
    assert_eq!(report["revision"]["id"], desk.repo.head().unwrap());
}

#[tokio::test]
async fn a_withdrawn_file_is_pruned() {
    let desk = Desk::new();
    desk.on_fake("apply", &[]).code(0);
    desk.repo
        .commit("withdraw")
        .remove("shop/b.yaml")
        .save()
        .unwrap();
    let plan = desk.on_fake("plan", &[]).code(1);
    plan.says(&["prune", "ConfigMap default/b"]);
    let pruned = desk.on_fake("apply", &["--output", "json"]).code(0);
    assert_eq!(pruned.requests("delete"), 1);
    let report = pruned.json();
    assert_eq!(report["objects"][0]["outcome"], "pruned");
    assert_eq!(report["objects"][0]["object"]["name"], "b");
    assert_eq!(desk.config_maps().await, ["a", "c"]);
    desk.on_fake("apply", &[]).code(0).wrote_nothing();
}

#[tokio::test]
async fn the_prune_limit_holds_until_somebody_consents() {
    let desk = Desk::new();
    desk.on_fake("apply", &[]).code(0);
    let bad = desk
        .repo
        .commit("tidy up")
        .remove("shop/a.yaml")
        .remove("shop/b.yaml")
        .file("shop/c.yaml", config_map("c", "slow"))
        .save()
        .unwrap();
    let held = desk.on_fake("apply", &[]).code(1);
    held.says(&["held", "2", "3", "50%"]);
    // The rest goes on.
    held.says(&["updated", "ConfigMap default/c", ".data.mode"]);
    assert_eq!(held.requests("delete"), 0);
    desk.on_fake("plan", &[]).code(1).says(&["2 of 3"]);
    let again = desk.on_fake("apply", &["--output", "json"]).code(1);
    again.wrote_nothing();
    assert!(again.json()["hold"].is_object(), "{again:#?}");
    assert_eq!(desk.config_maps().await, ["a", "b", "c"]);

    // Consent is for one commit, by its whole id.
    let other = "0".repeat(40);
    desk.on_fake("apply", &["--consent", &other]).code(1);
    assert_eq!(desk.config_maps().await, ["a", "b", "c"]);
    desk.on_fake("apply", &["--consent", &bad])
        .code(0)
        .says(&["2 written"]);
    assert_eq!(desk.config_maps().await, ["c"]);
}

#[tokio::test]
async fn a_higher_limit_lets_them_go() {
    let desk = Desk::new();
    desk.on_fake("apply", &[]).code(0);
    desk.repo
        .commit("tidy up")
        .remove("shop/a.yaml")
        .remove("shop/b.yaml")
        .save()
        .unwrap();
    desk.on_fake("apply", &["--prune-limit", "1"]).code(1);
    desk.on_fake("apply", &["--prune-limit", "2"]).code(0);
    assert_eq!(desk.config_maps().await, ["c"]);
}

#[test]
fn the_failure_of_one_object_is_told_with_its_file() {
    let desk = Desk::new();
    desk.repo
        .commit("a namespace that is not there")
        .file(
            "shop/d.yaml",
            config_map("d", "fast").replace("name: d", "name: d\n  namespace: nowhere"),
        )
        .save()
        .unwrap();
    let applied = desk.on_fake("apply", &[]).code(1);
    applied.says(&["3 written"]);
    applied.says(&[
        "failed",
        "ConfigMap nowhere/d",
        "\"nowhere\" does not exist",
        "shop/d.yaml:1",
    ]);
    let json = desk.on_fake("apply", &["--output", "json"]).code(1).json();
    assert_eq!(json["objects"][0]["outcome"], "failed");
    assert_eq!(json["objects"][0]["origin"]["file"], "shop/d.yaml");
}

#[tokio::test]
async fn apply_goes_by_the_kubeconfig() {
    let desk = Desk::new();
    let cluster = FakeCluster::new();
    let _server = desk.serve(&cluster).await;
    let mut apply = desk.deploying("apply");
    apply.args(["--kubeconfig", "kubeconfig", "--output", "json"]);
    let report = finish_beside(apply).await.code(0).json();
    assert_eq!(report["objects"].as_array().unwrap().len(), 3);
    assert_eq!(config_maps(&cluster).await, ["a", "b", "c"]);
    let mark = cluster.mark();
    // The usual rules: $KUBECONFIG.
    let mut apply = desk.deploying("apply");
    apply.env("KUBECONFIG", desk.home.path().join("kubeconfig"));
    finish_beside(apply)
        .await
        .code(0)
        .says(&["0 written, 3 unchanged"]);
    cluster.assert_no_writes_since(mark);
}

/// Runs the command while the servers of this runtime answer it.
async fn finish_beside(mut command: Command) -> Finished {
    tokio::task::spawn_blocking(move || finish(&mut command))
        .await
        .unwrap()
}

// ---- run -------------------------------------------------------------------------------------

/// What `run --output json` says, line by line.
struct Running(Started);

impl Running {
    fn start(desk: &Desk, args: &[&str]) -> Self {
        let mut command = desk.deploying("run");
        command.args(["--output", "json"]).args(args);
        Self(Started::new(&mut command))
    }

    #[track_caller]
    fn event(&mut self, name: &str) -> Value {
        let line = self.0.line(&[&format!("\"event\":\"{name}\"")]);
        serde_json::from_str(&line).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_heals_what_somebody_else_changes_and_stops_when_told() {
    let desk = Desk::new();
    let cluster = FakeCluster::new();
    let _server = desk.serve(&cluster).await;
    for signal in ["INT", "TERM"] {
        let mut running = Running::start(&desk, &["--kubeconfig", "kubeconfig"]);
        let report = running.event("finished");
        assert_eq!(report["reconciler"], "shop");
        running.event("watching");
        let client = cluster.client();
        cluster::edit(
            &client,
            "v1",
            "ConfigMap",
            "a",
            &json!({"data": {"mode": "slow"}}),
        )
        .await;
        let drift = running.event("drift");
        let change = &drift["changes"][0];
        assert_eq!(
            change["path"],
            json!([{"field": "data"}, {"field": "mode"}])
        );
        assert_eq!(change["owner"]["manager"], "kubectl-edit");
        running.event("healed");
        let healed = cluster::api(&client, "v1", "ConfigMap")
            .await
            .get("a")
            .await
            .unwrap();
        assert_eq!(healed.data["data"]["mode"], "fast");
        running.0.stop(signal).code(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_finishes_the_write_in_flight_before_it_stops() {
    let desk = Desk::new();
    let cluster = FakeCluster::new();
    let _server = desk.serve(&cluster).await;
    let (send, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    cluster.inject(
        Fault::delay(Duration::from_millis(700))
            .verb("patch")
            .resource("configmaps")
            .when(move |_| send.send(()).is_ok())
            .always(),
    );
    let running = Running::start(&desk, &["--kubeconfig", "kubeconfig"]);
    arrived.recv().await.unwrap();
    let stopped = running.0.stop("TERM").code(0);
    assert!(
        stopped.stderr.contains("finishing the write in flight"),
        "{stopped:#?}"
    );
    // What was begun was finished, told of and recorded.
    let made = config_maps(&cluster).await;
    assert!(!made.is_empty());
    for name in made {
        let told = |line: &&str| {
            line.contains("\"created\"") && line.contains(&format!("\"name\":\"{name}\""))
        };
        assert!(
            stopped.stdout.lines().any(|line| told(&line)),
            "{name} in {stopped:#?}"
        );
    }
    cluster.clear_faults();
    let mut apply = desk.deploying("apply");
    apply.args(["--kubeconfig", "kubeconfig"]);
    finish_beside(apply).await.code(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_picks_up_a_commit_and_survives_a_bad_one() {
    let desk = Desk::new();
    let cluster = FakeCluster::new();
    let _server = desk.serve(&cluster).await;
    let mut running = Started::new(desk.deploying("run").args([
        "--kubeconfig",
        "kubeconfig",
        "--interval",
        "1s",
    ]));
    running.line(&["3 written"]);
    desk.repo
        .commit("break a")
        .file("shop/a.yaml", "kind: [")
        .save()
        .unwrap();
    // A line of text for the revision, and one for the pass that names the file.
    running.line(&["revision", "break a"]);
    running.line(&["shop/a.yaml", "line 1"]);
    assert_eq!(config_maps(&cluster).await, ["a", "b", "c"]);
    desk.repo
        .commit("mend a")
        .file("shop/a.yaml", config_map("a", "slow"))
        .save()
        .unwrap();
    running.line(&["updated", "ConfigMap default/a", ".data.mode"]);
    running.stop("INT").code(0);
}

#[test]
fn run_on_a_fake_keeps_the_state_when_it_stops() {
    let desk = Desk::new();
    let mut running = Running::start(&desk, &["--fake=state.json"]);
    running.event("watching");
    let stopped = running.0.stop("TERM").code(0);
    assert!(
        stopped
            .stderr
            .contains("the fake cluster is at http://127.0.0.1:"),
        "{stopped:#?}"
    );
    desk.on_fake("apply", &[]).code(0).wrote_nothing();
}

// ---- What can't be done ------------------------------------------------------------------------

#[test]
fn what_is_missing_is_one_clear_line() {
    let desk = Desk::new();
    let on_fake = |args: &[&str]| {
        finish(
            gitopsctl(desk.home.path())
                .args(["apply", "--name", "shop", "--fake=state.json"])
                .args(args),
        )
    };
    let repo = desk.repo.path();
    let repo = repo.to_str().unwrap();
    on_fake(&["--repo", "./nowhere"]).refuses(&["nowhere"]);
    on_fake(&["--repo", repo, "--ref", "nowhere"]).refuses(&["branch nowhere"]);
    on_fake(&["--repo", repo, "--ref", "tags/nowhere"]).refuses(&["tag nowhere"]);
    let commit = "1".repeat(40);
    on_fake(&["--repo", repo, "--ref", &commit]).refuses(&[&commit]);
    on_fake(&["--repo", repo, "--path", "nowhere"])
        .refuses(&["no directory nowhere", &desk.repo.head().unwrap()[..7]]);
    on_fake(&["--repo", repo, "--path", "shop/a.yaml"])
        .refuses(&["shop/a.yaml is not a directory"]);
    on_fake(&["--repo", repo, "--path", "../shop"]).refuses(&["../shop"]);
    on_fake(&["--repo", "gopher://example.com/x"]).refuses(&["gopher://example.com/x"]);
    desk.write("state.json", "{\"format\":");
    on_fake(&["--repo", repo]).refuses(&["state.json holds no fake cluster"]);
}

#[test]
fn a_git_server_that_can_t_be_read_is_named_without_its_credentials() {
    let desk = Desk::new();
    let server = desk.repo.serve().unwrap();
    server.require_basic("ada", "right");
    let url = server.url().replace("http://", "http://ada:canary-wrong@");
    let apply = |password: Option<&str>, url: &str| {
        let mut command = gitopsctl(desk.home.path());
        if let Some(password) = password {
            command.env("GITOPSCTL_GIT_PASSWORD", password);
        }
        finish(command.args([
            "apply",
            "--name",
            "shop",
            "--fake=state.json",
            "--path",
            "shop",
            "--git-user",
            "ada",
            "--repo",
            url,
        ]))
    };
    let address = server.address().to_string();
    for refused in [
        apply(None, &url),
        apply(Some("canary-wrong"), &server.url()),
        apply(None, &server.url()),
    ] {
        let refused = refused.refuses(&[&address, "authentication failed"]);
        assert!(!refused.stderr.contains("canary"), "{refused:#?}");
    }
    apply(Some("right"), &server.url()).code(0);
    drop(server);
    let gone = apply(Some("canary-right"), &format!("http://{address}/repo.git"));
    let gone = gone.refuses(&[&address, "could not be reached"]);
    assert!(!gone.stderr.contains("canary"), "{gone:#?}");
}

#[test]
fn a_kubeconfig_that_leads_nowhere_is_one_clear_line() {
    let desk = Desk::new();
    let apply = |config: &str| {
        desk.write("kubeconfig", config);
        finish(desk.deploying("apply").args(["--kubeconfig", "kubeconfig"]))
    };
    finish(desk.deploying("apply").args(["--kubeconfig", "nowhere"])).refuses(&["nowhere"]);
    apply("{").refuses(&["kubeconfig"]);
    apply("apiVersion: v1\nkind: Config\n").refuses(&["kubeconfig"]);
    // No cluster of any kind: no file, no environment, no pod.
    finish(&mut desk.deploying("apply")).refuses(&["kube"]);
    // A port that is bound and not listened on refuses connections, and nobody else can take it.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .unwrap();
    let url = format!("http://{}", bound.local_addr().unwrap());
    let nobody = FakeCluster::new();
    apply(&nobody.kubeconfig(&url)).refuses(&["the API server could not be reached", "refused"]);
}

#[tokio::test]
async fn a_wrong_token_for_the_cluster_is_one_clear_line() {
    let desk = Desk::new();
    let cluster = FakeCluster::new();
    let _server = desk.serve(&cluster).await;
    let config = std::fs::read_to_string(desk.home.path().join("kubeconfig")).unwrap();
    desk.write(
        "kubeconfig",
        &config.replace(cluster.token(), "canary-token"),
    );
    let mut apply = desk.deploying("apply");
    apply.args(["--kubeconfig", "kubeconfig"]);
    let refused = finish_beside(apply).await.refuses(&["credentials"]);
    assert!(!refused.stderr.contains("canary"), "{refused:#?}");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let desk = Desk::new();
    for (args, says) in [
        (&["--prune-limit", "101%"][..], "prune limit"),
        (&["--name", "Not A Name"], "Not A Name"),
        (&["--kubeconfig", "x", "--fake"], "cannot be used with"),
        (&["--fake", "--consent", "deadbee"], "the whole commit id"),
    ] {
        let mut command = gitopsctl(desk.home.path());
        command.args(["apply", "--repo", "./x"]);
        if !args.contains(&"--name") {
            command.args(["--name", "shop"]);
        }
        let refused = finish(command.args(args)).code(2);
        assert!(refused.stderr.contains(says), "{refused:#?}");
    }
    let refused = finish(desk.deploying("run").args(["--fake=s", "--interval", "0"])).code(2);
    assert!(refused.stderr.contains("at least a second"), "{refused:#?}");
}

// ---- Output ----------------------------------------------------------------------------------

#[test]
fn logs_have_no_escape_codes_when_nobody_looks() {
    // `finish` looks for them in everything that any test here runs; this one asks for logs too.
    let desk = Desk::new();
    let mut apply = desk.deploying("apply");
    let logged = finish(apply.arg("--fake=state.json").env("RUST_LOG", "info")).code(0);
    assert!(logged.stderr.contains("revision found"), "{logged:#?}");
    let mut apply = desk.deploying("apply");
    finish(
        apply
            .arg("--fake=state.json")
            .env("NO_COLOR", "1")
            .env("CLICOLOR_FORCE", "0"),
    )
    .code(0);
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let desk = Desk::new();
    // More than a pipe holds.
    let many: String = (0..3000)
        .map(|n| config_map(&format!("m{n}"), "fast") + "---\n")
        .collect();
    desk.write("many.yaml", &many);
    for output in ["text", "json"] {
        let mut render = gitopsctl(desk.home.path())
            .args(["render", "many.yaml", "--output", output])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(render.stdout.take());
        let ended = render.wait_with_output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(stderr, "", "as head and grep -q expect it");
        assert_ne!(ended.status.code(), Some(101));
    }
}
