#![no_main]
#![expect(missing_docs, reason = "gitops_fuzz::yaml has them")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitops_fuzz::yaml::check(data));
