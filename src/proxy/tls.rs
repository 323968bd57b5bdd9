//! TLS to upstreams. What the machine trusts is read when the first of them is
//! spoken to, so that sessions without one pay nothing for it.

use std::io;
use std::sync::Arc;

use rustls_native_certs::CertificateResult;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::wire::Wire;

/// TLS and the authorities that it trusts, once they are known.
#[derive(Debug, Default)]
pub(super) struct Tls(OnceCell<Arc<ClientConfig>>);

/// An upstream that will not be spoken to, however often it is tried.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Distrust(String);

impl Tls {
    /// Shakes hands over `io` with the server at `host`.
    ///
    /// # Errors
    /// One that [`is_distrust`], or one of the connection.
    pub(super) async fn connect(&self, host: &str, io: Wire) -> io::Result<TlsStream<Wire>> {
        let config = self.0.get_or_try_init(config).await?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| distrust(format!("no certificate can be for `{host}`")))?;
        let shaken = TlsConnector::from(Arc::clone(config)).connect(name, io);
        shaken.await.map_err(|error| {
            let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
            of_tls.map(|why| distrust(explain(why))).unwrap_or(error)
        })
    }
}

/// True if it is of no use to try again.
pub(super) fn is_distrust(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Distrust>)
}

/// An error after which it is of no use to try again.
pub(super) fn distrust(why: String) -> io::Error {
    io::Error::other(Distrust(why))
}

/// Reads the authorities of the machine, or those that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name: some milliseconds, on another thread.
async fn config() -> io::Result<Arc<ClientConfig>> {
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let CertificateResult { certs, errors, .. } = read.await.map_err(io::Error::other)?;
    for error in &errors {
        tracing::warn!(%error, "cannot read an authority's certificate");
    }
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certs).0 == 0 {
        return Err(distrust(
            "this machine trusts no authority: install its CA certificates, or name a file of \
             them in `SSL_CERT_FILE`"
                .into(),
        ));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What is wrong, and what the user can do about it.
fn explain(error: &Error) -> String {
    match error {
        // An authority that was made anew under its old name is another one.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "its certificate comes from an authority that this machine does not trust: install \
             that authority's certificate, or name a file of it in `SSL_CERT_FILE`"
            .into(),
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("its certificate is another server's: {error}"),
        Error::InvalidCertificate(_) => format!("its certificate is not valid: {error}"),
        Error::InvalidMessage(_) => "it does not speak TLS: is its URL `http://`?".into(),
        _ => format!("TLS failed: {error}"),
    }
}
