#![no_main]
#![expect(missing_docs, reason = "gitops_fuzz::fields_v1 has them")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitops_fuzz::fields_v1::check(data));
