//! TLS to upstreams. What the machine trusts is read when the first of them is
//! spoken to, so that sessions without one pay nothing for it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls_native_certs::CertificateResult;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::wire::Wire;
use crate::paths::{self, Env};

/// Variables that name certificates of authorities, for agents and the tools
/// around them. The first two take the place of the machine's own, the others
/// are trusted besides.
const PLACES: [&str; 8] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "CODEX_CA_CERTIFICATE",
    "NIX_SSL_CERT_FILE",
    "DENO_CERT",
];

/// TLS and the authorities that it trusts, once they are known.
#[derive(Debug, Default)]
pub(super) struct Tls {
    config: OnceCell<Arc<ClientConfig>>,
    /// The variables that are set, and the files or directories that they name.
    places: Vec<(&'static str, PathBuf)>,
    /// What of these cannot be read.
    unread: OnceLock<String>,
}

/// An upstream that will not be spoken to, however often it is tried.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Distrust(String);

impl Tls {
    /// TLS as these variables of the agent want it.
    pub(super) fn new(env: &Env) -> Self {
        let place = |name: &&'static str| Some((*name, paths::var(env, name)?.into()));
        Self {
            places: PLACES.iter().filter_map(place).collect(),
            ..Self::default()
        }
    }

    /// Shakes hands over `io` with the server at `host`.
    ///
    /// # Errors
    /// One that [`is_distrust`], or one of the connection.
    pub(super) async fn connect(&self, host: &str, io: Wire) -> io::Result<TlsStream<Wire>> {
        let config = self.config.get_or_try_init(|| self.read()).await?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| distrust(format!("no certificate can be for `{host}`")))?;
        let shaken = TlsConnector::from(Arc::clone(config)).connect(name, io);
        shaken.await.map_err(|error| {
            let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
            let unread = self.unread.get().map_or("", String::as_str);
            let explained = |why| distrust(explain(why) + unread);
            of_tls.map(explained).unwrap_or(error)
        })
    }

    /// Reads the authorities of the machine, and those that variables name: some
    /// milliseconds, on another thread.
    async fn read(&self) -> io::Result<Arc<ClientConfig>> {
        let places = self.places.clone();
        let read = tokio::task::spawn_blocking(move || authorities(&places));
        let (certs, unread) = read.await.map_err(io::Error::other)?;
        let unread = unread.iter().fold(String::new(), |all, why| {
            tracing::warn!(why, "cannot read an authority's certificate");
            format!("{all}; {why}")
        });
        let unread = self.unread.get_or_init(|| unread);
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(certs).0 == 0 {
            return Err(distrust(format!(
                "this machine trusts no authority: install its CA certificates, or name a file \
                 of them in `SSL_CERT_FILE`{unread}"
            )));
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
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

/// The certificates of authorities, and what cannot be read of what `places`
/// name.
fn authorities(places: &[(&'static str, PathBuf)]) -> (Vec<CertificateDer<'static>>, Vec<String>) {
    let is_own = |name: &str| name == PLACES[0] || name == PLACES[1];
    let mut unread = Vec::new();
    let mut certs = Vec::new();
    if !places.iter().any(|(name, _)| is_own(name)) {
        let CertificateResult {
            certs: found,
            errors,
            ..
        } = rustls_native_certs::load_native_certs();
        certs = found;
        unread.extend(errors.iter().map(ToString::to_string));
    }
    for (name, place) in places {
        let (file, dir) = if place.is_dir() {
            (None, Some(place.as_path()))
        } else {
            (Some(place.as_path()), None)
        };
        let found = rustls_native_certs::load_certs_from_paths(file, dir);
        let why = match found.errors.first() {
            Some(error) => error.to_string(),
            None if found.certs.is_empty() => "it has no certificate".to_owned(),
            None => String::new(),
        };
        if !why.is_empty() {
            let place = place.display();
            unread.push(format!(
                "`{name}` names {place}, which cannot be used: {why}"
            ));
        }
        certs.extend(found.certs);
    }
    (certs, unread)
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
