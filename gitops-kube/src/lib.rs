//! Kubernetes as an applier: server-side apply, inventory, drift and prune
#![cfg_attr(docsrs, feature(doc_cfg))]
