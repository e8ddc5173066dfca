//! How fast files are read: `cargo test --release -p gitops-core --test yaml -- --ignored
//! --nocapture speed`.

use std::time::Instant;

use gitops_core::yaml::{ReadLimits, read_documents, read_manifests, to_yaml};

/// 540 bytes on average, alternating a Deployment and a ConfigMap.
fn small_manifests(count: usize) -> String {
    (0..count)
        .map(|at| {
            if at % 2 == 0 {
                format!(
                    "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-{at}\n  namespace: shop\n  labels:\n    \
                     app.kubernetes.io/name: web-{at}\n    app.kubernetes.io/part-of: shop\nspec:\n  replicas: 3\n  selector:\n    \
                     matchLabels:\n      app.kubernetes.io/name: web-{at}\n  template:\n    metadata:\n      labels:\n        \
                     app.kubernetes.io/name: web-{at}\n        app.kubernetes.io/part-of: shop\n    spec:\n      containers:\n      - name: web\n        \
                     image: registry.example.com/shop/web:1.{at}.0\n        args:\n        - --port=8080\n        - --log=info\n        ports:\n        \
                     - name: http\n          containerPort: 8080\n        env:\n        - name: MODE\n          value: \"production\"\n        \
                     resources:\n          requests:\n            cpu: 100m\n            memory: 64Mi\n          limits:\n            memory: 128Mi\n        \
                     readinessProbe:\n          httpGet:\n            path: /healthz\n            port: http\n          periodSeconds: 10\n---\n"
                )
            } else {
                format!(
                    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web-{at}\n  namespace: shop\ndata:\n  key: value-{at}\n---\n"
                )
            }
        })
        .collect()
}

fn rate(what: &str, bytes: usize, mut work: impl FnMut()) {
    let best = (0..7)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = bytes as f64 / 1e6 / best.as_secs_f64();
    println!("{what}: {rate:.1} MB/s");
}

#[test]
#[ignore = "prints figures, and they mean nothing without --release"]
fn speed_of_reading() {
    let small = small_manifests(10_000);
    println!("{} bytes each", small.len() / 10_000);
    let bundle = super::corpus::files()
        .into_iter()
        .find(|(name, _)| name == "argo-cd/manifests/install.yaml")
        .and_then(|(_, bytes)| String::from_utf8(bytes).ok());
    let limits = ReadLimits::default();
    for (what, text) in [("small", Some(small)), ("bundle", bundle)] {
        let Some(text) = text else { continue };
        rate(&format!("{what}, events only"), text.len(), || {
            let options = granit_parser::options! { emit_comments: false };
            let events = granit_parser::Parser::new_from_str_with_options(&text, options);
            assert!(events.map(Result::unwrap).count() > 1000);
        });
        rate(&format!("{what}, documents"), text.len(), || {
            assert!(
                read_documents("a", text.as_bytes(), &limits)
                    .errors
                    .is_empty()
            );
        });
        let file = "a.yaml".parse().unwrap();
        rate(&format!("{what}, manifests"), text.len(), || {
            assert!(
                read_manifests(&file, text.as_bytes(), &limits)
                    .errors
                    .is_empty()
            );
        });
        let read = read_documents("a", text.as_bytes(), &limits);
        rate(&format!("{what}, writing"), text.len(), || {
            assert!(
                read.documents
                    .iter()
                    .map(|d| to_yaml(&d.value).len())
                    .sum::<usize>()
                    > 1000
            );
        });
    }
}
