//! The live page: its files stand in the program. It shows nothing before a token is entered.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, content type and text of each file.
const FILES: [(&str, &str, &str); 9] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_str!("page/style.css"),
    ),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/main.js", SCRIPT, include_str!("page/main.js")),
    ("/api.js", SCRIPT, include_str!("page/api.js")),
    ("/cluster.js", SCRIPT, include_str!("page/cluster.js")),
    ("/draw.js", SCRIPT, include_str!("page/draw.js")),
    ("/plot.js", SCRIPT, include_str!("page/plot.js")),
    ("/state.js", SCRIPT, include_str!("page/state.js")),
];

/// Serves the files.
pub(super) fn router() -> Router {
    FILES
        .iter()
        .fold(Router::new(), |router, (path, content_type, text)| {
            let file = async move || ([(header::CONTENT_TYPE, *content_type)], *text).into_response();
            router.route(path, get(file))
        })
}
