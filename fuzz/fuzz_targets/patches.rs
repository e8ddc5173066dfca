#![no_main]
#![expect(missing_docs, reason = "gitops_fuzz::patches has them")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitops_fuzz::patches::check(data));
