//! The plant's socket: who connects is answered, one request at a time.

use super::host::Host;
use crate::drivers::plant_protocol::{Answer, Call, Notice, PlantReply, PlantRequest};
use crate::limits;
use futures::{SinkExt, StreamExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

/// A socket that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Removed by someone else already: nothing to do.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Listens on `path`, for this user only. A socket that a killed plant left behind is replaced; one that somebody
    /// listens on is not.
    pub(super) async fn bind(path: &Path) -> std::io::Result<Self> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::AddrInUse,
                "a plant listens there already",
            ));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let is_socket =
            |found: std::fs::Metadata| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type());
        if std::fs::symlink_metadata(path).is_ok_and(is_socket) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Socket {
            listener,
            path: path.to_owned(),
        })
    }

    /// Serves until it is dropped; the connections end with it.
    pub(super) async fn serve(&self, host: Arc<Host>) {
        let places = Arc::new(Semaphore::new(limits::MAX_PLANT_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => {
                            let host = Arc::clone(&host);
                            connections.spawn(async move {
                                serve(stream, &host).await;
                                drop(place);
                            });
                        }
                        Err(_) => tracing::warn!(most = limits::MAX_PLANT_CONNECTIONS, "too many connections"),
                    },
                    Err(error) => {
                        // Out of descriptors, most likely: others may close theirs meanwhile.
                        tracing::warn!(%error, "cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

type Lines = Framed<UnixStream, LinesCodec>;

async fn serve(stream: UnixStream, host: &Host) {
    let mut lines = Framed::new(
        stream,
        LinesCodec::new_with_max_length(limits::MAX_PLANT_REQUEST_OCTETS),
    );
    let mut agent = None;
    while let Some(line) = lines.next().await {
        let text = match line {
            Ok(text) => text,
            Err(LinesCodecError::MaxLineLengthExceeded) => {
                let most = limits::MAX_PLANT_REQUEST_OCTETS;
                refuse(&mut lines, 0, format!("a request is longer than {most} octets")).await;
                return;
            }
            Err(LinesCodecError::Io(_)) => return,
        };
        let call: Call = match serde_json::from_str(&text) {
            Ok(call) => call,
            Err(error) => {
                if !refuse(&mut lines, 0, format!("not a request: {error}")).await {
                    return;
                }
                continue;
            }
        };
        if let PlantRequest::Hello { agent: name } = &call.request {
            agent = Some(name.clone());
        }
        // Before the answer, so that a watcher misses nothing that happens after it.
        let notices = host.subscribe();
        let reply = host.handle(agent.as_deref(), &call.request);
        if !send(&mut lines, &Answer { id: call.id, reply }).await {
            return;
        }
        if let PlantRequest::Watch { sample_millis } = call.request {
            watch(lines, host, notices, sample_millis).await;
            return;
        }
    }
}

/// Streams what happens until the watcher closes, or says anything.
async fn watch(mut lines: Lines, host: &Host, mut notices: broadcast::Receiver<Notice>, sample_millis: u64) {
    let shortest = Duration::from_millis(limits::MIN_PLANT_SAMPLE_MILLIS);
    let mut ticks = tokio::time::interval(host.real(sample_millis).max(shortest));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let notice = tokio::select! {
            _ = lines.next() => return,
            notice = notices.recv() => match notice {
                Ok(notice) => notice,
                Err(broadcast::error::RecvError::Lagged(missed)) => Notice::Missed(missed),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            _ = ticks.tick(), if sample_millis > 0 => Notice::Sample(host.sample()),
        };
        let Ok(text) = serde_json::to_string(&notice) else {
            return;
        };
        if lines.send(text).await.is_err() {
            return;
        }
    }
}

async fn refuse(lines: &mut Lines, id: u64, reason: String) -> bool {
    send(
        lines,
        &Answer {
            id,
            reply: PlantReply::Refused(reason),
        },
    )
    .await
}

/// Whether it could be sent.
async fn send(lines: &mut Lines, answer: &Answer) -> bool {
    let text = match serde_json::to_string(answer) {
        Ok(text) if text.len() <= limits::MAX_PLANT_REPLY_OCTETS => text,
        Ok(text) => {
            let (long, most) = (text.len(), limits::MAX_PLANT_REPLY_OCTETS);
            let reason = format!("the reply has {long} octets, more than {most}: keep fewer samples");
            let refusal = Answer {
                id: answer.id,
                reply: PlantReply::Refused(reason),
            };
            serde_json::to_string(&refusal).unwrap_or_default()
        }
        Err(_) => return false,
    };
    lines.send(text).await.is_ok()
}
