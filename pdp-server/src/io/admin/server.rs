//! Serves [`crate::api`] over a Unix socket of mode 0600; the router is also that of `[web]`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{AdminCall, AdminHandle, metrics, stream};
use crate::api::{AvailabilityRequest, CommandAnswer, InterruptRequest, Me, Problem, RestoreRequest, Role};
use crate::limits;

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Entries of history, where no number is asked for.
const HISTORY_ENTRIES: usize = 200;

/// A socket that is removed when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // It may be gone with its folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the socket. One that a dead PDP left is replaced.
///
/// # Errors
/// In one line: a PDP listens there, or something that is no socket is there, or the folder cannot be written.
pub async fn bind(path: &Path) -> Result<AdminSocket> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => {
            use std::os::unix::fs::FileTypeExt;
            if !found.file_type().is_socket() {
                bail!(
                    "{} is there and is no socket; expected a free path in [admin]",
                    path.display()
                );
            }
            // Refused means that nobody has it open. Anything else, like a full backlog, is a PDP that is only busy.
            match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(_) | Err(_) => bail!("another PDP listens on {}", path.display()),
            }
            std::fs::remove_file(path).with_context(|| format!("replacing {}", path.display()))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("looking at {}", path.display())),
    }
    // Binding listens too: who connects before the mode is set waits, and is served. Files that another thread makes in this
    // instant get fewer permissions, not more; the journal's thread is not there yet.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener.with_context(|| format!("making the socket {}", path.display()))?;
    let socket = AdminSocket {
        listener,
        path: path.to_owned(),
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("mode of {}", path.display()))?;
    Ok(socket)
}

/// Serves for ever.
pub async fn serve(socket: AdminSocket, handle: AdminHandle) {
    let places = std::sync::Arc::new(Semaphore::new(limits::MAX_ADMIN_CONNECTIONS));
    let router = router(handle);
    let ours = rustix::process::geteuid().as_raw();
    loop {
        // Further clients wait in the backlog.
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // The socket's mode lets in this user and root alone; which of them it is, the journal keeps.
        let name = match stream.peer_cred() {
            Ok(peer) if may_command(peer.uid(), ours) => format!("uid {}", peer.uid()),
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "another user's admin connection is closed");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection whose user is not known is closed");
                continue;
            }
        };
        let role = Role::Operator;
        let service = TowerToHyperService::new(router.clone().layer(Extension(Me { name, role })));
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection");
            }
            drop(place);
        });
    }
}

/// Whether a user may command the PDP over the admin socket: its own user and root, whatever the mode of the file says.
const fn may_command(uid: u32, ours: u32) -> bool {
    uid == ours || uid == 0
}

/// The paths. Each request needs an extension [`Me`].
pub(in crate::io) fn router(handle: AdminHandle) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/plan", get(plan))
        .route("/v1/snapshot", get(snapshot))
        .route("/v1/explain", get(explain))
        .route("/v1/history", get(history))
        .route("/v1/openapi.json", get(description))
        .route("/v1/me", get(me))
        .route("/v1/events", get(stream::events))
        .route("/metrics", get(metrics_text))
        .route("/v1/interrupt", post(interrupt))
        .route("/v1/drill", post(drill))
        .route("/v1/restore", post(restore))
        .route("/v1/availability", post(availability))
        .fallback(async || Refused::new(StatusCode::NOT_FOUND, "no such path; /v1/status is one that is"))
        .method_not_allowed_fallback(async || {
            Refused::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path is not served with this method",
            )
        })
        .layer(DefaultBodyLimit::max(limits::MAX_ADMIN_BODY_OCTETS))
        .with_state(handle)
}

/// An answer that says why not.
pub(in crate::io) struct Refused(StatusCode, Problem);

impl Refused {
    pub(in crate::io) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self(status, Problem { error: error.into() })
    }

    fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the PDP is ending")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// The description that is kept in the documentation; a test holds it against what is served.
async fn description() -> impl IntoResponse {
    const OPENAPI: &str = include_str!("../../../../docs/openapi.json");
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn me(Extension(me): Extension<Me>) -> Json<Me> {
    Json(me)
}

async fn status(State(handle): State<AdminHandle>) -> Result<Response, Refused> {
    let status = handle
        .ask(AdminCall::Status)
        .await
        .ok_or_else(Refused::stopping)?;
    Ok(Json(status).into_response())
}

async fn metrics_text(State(handle): State<AdminHandle>) -> Result<Response, Refused> {
    let status = handle
        .ask(AdminCall::Status)
        .await
        .ok_or_else(Refused::stopping)?;
    let text = metrics::render(&status)
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

async fn plan(State(handle): State<AdminHandle>) -> Result<Response, Refused> {
    let plan = handle.ask(AdminCall::Plan).await.ok_or_else(Refused::stopping)?;
    Ok(Json(plan).into_response())
}

async fn snapshot(State(handle): State<AdminHandle>) -> Result<Response, Refused> {
    let input = handle
        .ask(AdminCall::Snapshot)
        .await
        .ok_or_else(Refused::stopping)?;
    Ok(Json(input).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    #[serde(default)]
    since_unix_millis: u64,
    limit: Option<usize>,
}

async fn history(
    State(handle): State<AdminHandle>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(query) = query.map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let limit = query.limit.unwrap_or(HISTORY_ENTRIES);
    let history = handle
        .history(query.since_unix_millis, limit)
        .await
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    Ok(Json(history).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    format: Option<Format>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Format {
    Text,
    Json,
}

async fn explain(
    State(handle): State<AdminHandle>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Query(query) = query.map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let as_text = query.format.map_or_else(
        || accepted.starts_with("text/plain"),
        |format| format == Format::Text,
    );
    let explanation = handle
        .ask(AdminCall::Explain)
        .await
        .ok_or_else(Refused::stopping)?;
    Ok(if as_text {
        explanation.to_text().into_response()
    } else {
        Json(explanation).into_response()
    })
}

async fn interrupt(
    State(handle): State<AdminHandle>,
    Extension(me): Extension<Me>,
    request: Result<Json<InterruptRequest>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = request.map_err(|error| Refused::new(error.status(), error.body_text()))?;
    check_id(&request.id)?;
    answer(handle.ask(|reply| AdminCall::Interrupt(request, me, reply)).await)
}

async fn drill(
    State(handle): State<AdminHandle>,
    Extension(me): Extension<Me>,
    request: Result<Json<InterruptRequest>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = request.map_err(|error| Refused::new(error.status(), error.body_text()))?;
    check_id(&request.id)?;
    answer(handle.ask(|reply| AdminCall::Drill(request, me, reply)).await)
}

async fn restore(
    State(handle): State<AdminHandle>,
    Extension(me): Extension<Me>,
    request: Result<Json<RestoreRequest>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = request.map_err(|error| Refused::new(error.status(), error.body_text()))?;
    check_id(&request.id)?;
    answer(handle.ask(|reply| AdminCall::Restore(request, me, reply)).await)
}

async fn availability(
    State(handle): State<AdminHandle>,
    Extension(me): Extension<Me>,
    request: Result<Json<AvailabilityRequest>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = request.map_err(|error| Refused::new(error.status(), error.body_text()))?;
    check_id(&request.id)?;
    answer(
        handle
            .ask(|reply| AdminCall::Availability(request, me, reply))
            .await,
    )
}

fn check_id(id: &str) -> Result<(), Refused> {
    let fits =
        !id.is_empty() && id.len() <= limits::MAX_COMMAND_ID_OCTETS && !id.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    Err(Refused::new(
        StatusCode::BAD_REQUEST,
        format!(
            "id: expected 1 to {} octets without control characters, found {} octets",
            limits::MAX_COMMAND_ID_OCTETS,
            id.len()
        ),
    ))
}

fn answer(reply: Option<Result<CommandAnswer, Problem>>) -> Result<Response, Refused> {
    match reply.ok_or_else(Refused::stopping)? {
        Ok(answer) if answer.done => Ok(Json(answer).into_response()),
        Ok(answer) => Ok((StatusCode::CONFLICT, Json(answer)).into_response()),
        Err(problem) => Err(Refused(StatusCode::BAD_REQUEST, problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_the_pdp_and_root_command_it_and_nobody_else() {
        assert!(may_command(1_000, 1_000) && may_command(0, 1_000));
        assert!(!may_command(1_001, 1_000) && !may_command(1_000, 0));
    }
}
