//! Who may do what over TCP, and the headers that keep a browser from doing more than the page does.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::tokens::Tokens;
use crate::api::{Me, Role};
use crate::io::admin::Refused;
use crate::limits;

/// Nothing but the page's own files, from this origin alone; no markup from strings.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                                       img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                                       require-trusted-types-for 'script'; trusted-types 'none'";

/// Lets in those whose token counts, and operators alone to commands.
pub(super) fn guarded(router: Router, tokens: Arc<Tokens>) -> Router {
    router.layer(from_fn_with_state(tokens, guard))
}

/// Adds to every answer what browsers heed.
pub(super) fn hardened(router: Router) -> Router {
    router.layer(map_response(harden))
}

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

async fn guard(State(tokens): State<Arc<Tokens>>, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()).map(str::to_owned) else {
        return unknown("this needs a token: Authorization: Bearer TOKEN");
    };
    let Some(me) = tokens.holder(&token) else {
        return unknown("this token does not count");
    };
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    if !looks && me.role != Role::Operator {
        tracing::warn!(by = %me.name, path = request.uri().path(), "a command of a viewer is refused");
        let text = format!("{} is a viewer; commands need the role operator", me.name);
        return Refused::new(StatusCode::FORBIDDEN, text).into_response();
    }
    let is_stream = request.uri().path() == "/v1/events";
    request.extensions_mut().insert::<Me>(me);
    if is_stream {
        return while_it_counts(next.run(request).await, tokens, token);
    }
    let patience = Duration::from_millis(limits::WEB_REQUEST_MILLIS);
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refused::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unknown(text: &str) -> Response {
    let mut response = Refused::new(StatusCode::UNAUTHORIZED, text).into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The stream, which ends when its token is taken out of the file.
fn while_it_counts(response: Response, tokens: Arc<Tokens>, token: String) -> Response {
    let (head, body) = response.into_parts();
    let revoked = async move {
        let mut look = tokio::time::interval(Duration::from_millis(limits::STREAM_TOKEN_MILLIS));
        while tokens.holder(&token).is_some() {
            look.tick().await;
        }
    };
    let parts = body.into_data_stream().take_until(Box::pin(revoked));
    Response::from_parts(head, Body::from_stream(parts))
}
