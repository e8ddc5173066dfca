#![no_main]
#![expect(missing_docs, reason = "gitops_fuzz::crd has them")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitops_fuzz::crd::check(data));
