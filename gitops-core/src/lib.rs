//! Vocabulary, seams, plan, policy and engine of the GitOps SDK
#![cfg_attr(docsrs, feature(doc_cfg))]
