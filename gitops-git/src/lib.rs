//! Git as a source of desired state, read from the object database
#![cfg_attr(docsrs, feature(doc_cfg))]
