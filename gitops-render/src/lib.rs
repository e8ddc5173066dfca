//! Renderers that turn the files of a revision into manifests
#![cfg_attr(docsrs, feature(doc_cfg))]
