//! `GET /v1/events`: lines of JSON, or server-sent events for browsers.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;

use super::events::Next;
use super::{AdminHandle, Refused};
use crate::limits;

const EVENT_STREAM: &str = "text/event-stream";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    since: Option<u64>,
}

#[derive(Clone, Copy)]
enum Form {
    Lines,
    ServerSent,
}

/// Each reader has a place in the log, which is bounded; nothing is queued for it.
pub(super) async fn events(
    State(handle): State<AdminHandle>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Query(query) = query.map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let form = if text(header::ACCEPT).is_some_and(|accepted| accepted.starts_with(EVENT_STREAM)) {
        Form::ServerSent
    } else {
        Form::Lines
    };
    // What a browser that lost its connection has seen last.
    let last = text(header::HeaderName::from_static("last-event-id")).and_then(|id| id.parse().ok());
    let reader = handle.events().reader(last.or(query.since));
    let heartbeat = Duration::from_millis(limits::STREAM_HEARTBEAT_MILLIS);
    let parts = futures::stream::unfold(reader, move |mut reader| async move {
        let part = match form {
            Form::Lines => line(&reader.next().await?),
            Form::ServerSent => match tokio::time::timeout(heartbeat, reader.next()).await {
                Ok(next) => server_sent(&next?),
                // A comment: only so that a reader sees a connection that has died.
                Err(_) => b": alive\n\n".to_vec(),
            },
        };
        Some((Ok::<_, Infallible>(Bytes::from(part)), reader))
    });
    let content_type = match form {
        Form::Lines => "application/x-ndjson",
        Form::ServerSent => EVENT_STREAM,
    };
    Ok(([(header::CONTENT_TYPE, content_type)], Body::from_stream(parts)).into_response())
}

fn json(next: &Next) -> Vec<u8> {
    let json = match next {
        Next::Event(event) => serde_json::to_vec(&**event),
        Next::Lost(lost) => serde_json::to_vec(&serde_json::json!({ "lost": lost })),
    };
    // An event has no part that JSON could not say.
    json.unwrap_or_default()
}

fn line(next: &Next) -> Vec<u8> {
    let mut line = json(next);
    line.push(b'\n');
    line
}

/// JSON has no line break of its own, so one `data` line is enough.
fn server_sent(next: &Next) -> Vec<u8> {
    let mut part = match next {
        Next::Event(event) => format!("id: {}\ndata: ", event.seq),
        Next::Lost(_) => "event: lost\ndata: ".to_owned(),
    }
    .into_bytes();
    part.extend_from_slice(&json(next));
    part.extend_from_slice(b"\n\n");
    part
}
