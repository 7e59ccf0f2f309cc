//! `[[notify]]`: who is told of what happens, by webhook or by a program.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::parse::{ConfigError, Source};
use crate::engine::event::EventKind;
use crate::limits;

/// What is told where nothing else is said: what an operator on call has to know.
const KINDS: [EventKind; 8] = [
    EventKind::MainsLost,
    EventKind::MainsBack,
    EventKind::Interruption,
    EventKind::ClassEnded,
    EventKind::ReserveLow,
    EventKind::ActionFailed,
    EventKind::Alarm,
    EventKind::AlarmCleared,
];

/// Somebody who is told of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Name, for logs and `status`.
    pub name: String,
    /// How.
    pub to: NotifyTo,
    /// Of which kinds of events.
    pub kinds: BTreeSet<EventKind>,
    /// How long one attempt may take.
    pub timeout_millis: u64,
    /// Attempts before an event is given up.
    pub attempts: u32,
}

/// How somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyTo {
    /// An HTTP POST with JSON.
    Webhook {
        /// Host and port.
        authority: String,
        /// Path and query.
        path: String,
        /// Who certifies the server, in PEM; `None`: plain HTTP.
        authorities: Option<PathBuf>,
        /// A file whose content is the token of `Authorization: Bearer`; read anew each time.
        token: Option<PathBuf>,
    },
    /// A program with its arguments; JSON comes on its standard input.
    Command(Vec<String>),
}

/// `[[notify]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: Spanned<String>,
    webhook: Option<Spanned<String>>,
    authorities: Option<Spanned<String>>,
    token: Option<Spanned<String>>,
    command: Option<Spanned<Vec<String>>>,
    kinds: Option<Vec<EventKind>>,
    timeout_seconds: Option<Spanned<u64>>,
    attempts: Option<Spanned<u64>>,
}

/// Reads the tables.
pub(super) fn parse(source: &Source<'_>, raw: &[Raw]) -> Result<Vec<Notify>, ConfigError> {
    if let Some(one_more) = raw.get(limits::MAX_NOTIFIED) {
        let problem = format!("expected at most {} [[notify]]", limits::MAX_NOTIFIED);
        return Err(source.error(one_more.name.span(), problem));
    }
    let mut names = BTreeSet::new();
    let mut list = Vec::with_capacity(raw.len());
    for raw in raw {
        let name = source.name(&raw.name)?.to_string();
        if !names.insert(name.clone()) {
            let problem = format!("[[notify]] '{name}' is there twice");
            return Err(source.error(raw.name.span(), problem));
        }
        let attempts = source.within(&raw.attempts, 6, 1..=100)?;
        list.push(Notify {
            name,
            to: to(source, raw)?,
            kinds: match &raw.kinds {
                Some(kinds) => kinds.iter().copied().collect(),
                None => KINDS.into_iter().collect(),
            },
            timeout_millis: source.seconds(&raw.timeout_seconds, 10_000, 1..=300)?,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        });
    }
    Ok(list)
}

fn to(source: &Source<'_>, raw: &Raw) -> Result<NotifyTo, ConfigError> {
    match (&raw.webhook, &raw.command) {
        (Some(url), None) => webhook(source, raw, url),
        (None, Some(command)) => {
            if let Some(stray) = raw.authorities.as_ref().or(raw.token.as_ref()) {
                return Err(source.error(stray.span(), "expected it beside `webhook` only"));
            }
            let words = command.get_ref().clone();
            if words.first().is_none_or(String::is_empty) {
                return Err(source.error(command.span(), "expected a program and its arguments"));
            }
            Ok(NotifyTo::Command(words))
        }
        (Some(_), Some(command)) => {
            Err(source.error(command.span(), "expected either `webhook` or `command`"))
        }
        (None, None) => Err(source.error(raw.name.span(), "expected `webhook` or `command` beside `name`")),
    }
}

fn webhook(source: &Source<'_>, raw: &Raw, url: &Spanned<String>) -> Result<NotifyTo, ConfigError> {
    let wrong = |problem: String| source.error(url.span(), problem);
    let parsed: hyper::Uri = url
        .get_ref()
        .parse()
        .map_err(|error| wrong(format!("expected an http or https URL: {error}")))?;
    let authority = parsed
        .authority()
        .ok_or_else(|| wrong("expected an http or https URL with a host".to_owned()))?;
    if authority.as_str().contains('@') {
        return Err(wrong(
            "expected no user in the URL; a token goes into a file (`token`)".to_owned(),
        ));
    }
    let file =
        |value: &Option<Spanned<String>>| value.as_ref().map(|v| super::parse::path(source, v)).transpose();
    let authorities = file(&raw.authorities)?;
    let token = file(&raw.token)?;
    match (parsed.scheme_str(), &authorities) {
        (Some("https"), None) => {
            return Err(wrong(
                "expected `authorities`, the file in PEM of who certifies the server, beside an https URL"
                    .to_owned(),
            ));
        }
        (Some("http"), Some(_)) => {
            return Err(wrong("expected an https URL beside `authorities`".to_owned()));
        }
        (Some("http"), None) if token.is_some() && !is_loopback(authority.host()) => {
            return Err(wrong(
                "over plain HTTP whoever listens can take the token; expected https beyond loopback"
                    .to_owned(),
            ));
        }
        (Some("http" | "https"), _) => {}
        _ => return Err(wrong("expected an http or https URL".to_owned())),
    }
    Ok(NotifyTo::Webhook {
        authority: authority.to_string(),
        path: parsed
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string),
        authorities,
        token,
    })
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}
