//! One POST, on a connection of its own; over TLS where the file says who certifies the server.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Failure;
use crate::io::tls::read_file;

/// As much of an answer as is read; nothing of it is looked at.
const MAX_ANSWER_OCTETS: usize = 64 * 1024;

/// Posts `body`. Answers of 200 to 299 are success; of the others, those that say "not now" may pass.
pub(super) async fn post(
    authority: &str,
    path: &str,
    authorities: Option<&Path>,
    token: Option<&Path>,
    body: &[u8],
) -> Result<(), Failure> {
    let uri: Uri = authority
        .parse()
        .map_err(|error| Failure::Lasting(format!("{authority}: {error}")))?;
    let host = uri
        .host()
        .ok_or_else(|| Failure::Lasting(format!("{authority}: no host")))?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = uri
        .port_u16()
        .unwrap_or(if authorities.is_some() { 443 } else { 80 });
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", authority)
        .header("content-type", "application/json")
        .header("user-agent", concat!("pdp-server/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        let octets = read_file(token, true).map_err(Failure::passing)?;
        let text = String::from_utf8(octets).map_err(Failure::passing)?;
        request = request.header("authorization", format!("Bearer {}", text.trim()));
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body)))
        .map_err(|error| Failure::Lasting(error.to_string()))?;
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|error| Failure::Passing(format!("{authority}: {error}")))?;
    let status = match authorities {
        None => send(stream, request).await?,
        Some(authorities) => {
            let name = ServerName::try_from(host).map_err(|error| Failure::Lasting(error.to_string()))?;
            let connector = connector(authorities)?;
            let stream = connector
                .connect(name, stream)
                .await
                .map_err(|error| Failure::Passing(format!("{authority}: {error}")))?;
            send(stream, request).await?
        }
    };
    let said = format!("{authority} answered {status}");
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Passing(said)),
        status if status.is_client_error() => Err(Failure::Lasting(said)),
        _ => Err(Failure::Passing(said)),
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Failure::passing)?;
    let connection = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(Failure::passing)?;
        let status = response.status();
        // Read, so that the other end is not cut off; how it ends does not matter.
        let _ = Limited::new(response.into_body(), MAX_ANSWER_OCTETS)
            .collect()
            .await;
        Ok(status)
    };
    let answer = answer.await;
    connection.abort();
    answer
}

fn connector(authorities: &Path) -> Result<TlsConnector, Failure> {
    let text = read_file(authorities, false).map_err(Failure::passing)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate =
            certificate.map_err(|error| Failure::Passing(format!("{}: {error}", authorities.display())))?;
        roots.add(certificate).map_err(Failure::passing)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&tokio_rustls::rustls::version::TLS13])
        .map_err(Failure::passing)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
