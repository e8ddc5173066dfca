//! One TLS provider in the process.

/// Makes *ring* the process-wide provider of rustls, unless there is one already.
///
/// rustls can't choose between two providers that happen to be compiled in: a client then
/// panics on first use. [`GitSource`](crate::GitSource) calls this when it is built, so a
/// program has to only when it makes TLS clients of its own before that. A provider that
/// the program installed earlier stays.
pub fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Loses only against another thread that just did the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
