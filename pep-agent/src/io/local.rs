//! The agent's local socket: `pep-agent status`, `arm` and `disarm`, for the agent's own user only.
//!
//! One JSON object a line: a request, then its answer, then the connection ends.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};

use crate::limits;
use crate::node::Status;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum LocalRequest {
    /// How the agent is.
    Status {},
    /// From now on it actuates.
    Arm {},
    /// From now on it only observes.
    Disarm {},
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum LocalAnswer {
    /// How the agent is.
    Status(Box<Status>),
    /// Done, and kept on disk.
    Done,
    /// Not done, and why.
    Refused(String),
}

/// A request with the way back for its answer.
pub type Asked = (LocalRequest, oneshot::Sender<LocalAnswer>);

/// The socket of a running agent; removed when this is dropped.
#[derive(Debug)]
pub struct LocalSocket {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
    asked: mpsc::Receiver<Asked>,
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        self.task.abort();
        // Removed by someone else already: nothing to do.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl LocalSocket {
    /// Listens on `path`. A socket that a killed agent left behind is replaced.
    ///
    /// # Errors
    /// Somebody listens there, or the system does not let us.
    pub async fn bind(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "an agent listens there already",
            ));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path)?;
        }
        // The mask closes the instant between bind and chmod; nothing else runs in this thread meanwhile.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = listener?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let (ask, asked) = mpsc::channel(limits::MAX_LOCAL_CONNECTIONS);
        let task = tokio::task::spawn_local(accept(listener, ask));
        Ok(Self {
            path: path.to_owned(),
            task,
            asked,
        })
    }

    /// The next request.
    pub async fn next(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            // The accepting task ends with this alone.
            None => std::future::pending().await,
        }
    }
}

async fn accept(listener: UnixListener, ask: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(limits::MAX_LOCAL_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let ask = ask.clone();
                tokio::task::spawn_local(async move {
                    let limit = Duration::from_millis(limits::LOCAL_EXCHANGE_MILLIS);
                    // Whoever says nothing, or nonsense, is left.
                    let _ = timeout(limit, serve(stream, ask)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a local connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, ask: mpsc::Sender<Asked>) {
    let mut lines = Framed::new(
        stream,
        LinesCodec::new_with_max_length(limits::MAX_LOCAL_REQUEST_OCTETS),
    );
    let answer = match lines.next().await {
        None => return,
        Some(Err(error)) => LocalAnswer::Refused(error.to_string()),
        Some(Ok(line)) => match serde_json::from_str::<LocalRequest>(&line) {
            Err(error) => LocalAnswer::Refused(error.to_string()),
            Ok(request) => {
                let (tell, told) = oneshot::channel();
                if ask.send((request, tell)).await.is_err() {
                    return;
                }
                told.await
                    .unwrap_or_else(|_| LocalAnswer::Refused("the agent is ending".to_owned()))
            }
        },
    };
    if let Ok(text) = serde_json::to_string(&answer) {
        let _ = lines.send(text).await;
    }
}

/// Why an agent cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Nobody listens there, or not for us.
    #[error("no agent at {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It did not answer, or not in this language.
    #[error("the agent at {}: {problem}", path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Asks the agent behind a socket.
///
/// # Errors
/// It is not there, or does not answer.
pub async fn ask(path: &Path, request: LocalRequest) -> Result<LocalAnswer, LocalError> {
    let wrong = |problem: String| LocalError::Answer {
        path: path.to_owned(),
        problem,
    };
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| LocalError::Connect {
            path: path.to_owned(),
            source,
        })?;
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_ANSWER_OCTETS));
    let exchange = async {
        let text = serde_json::to_string(&request).map_err(|error| wrong(error.to_string()))?;
        lines.send(text).await.map_err(|error| wrong(error.to_string()))?;
        match lines.next().await {
            Some(Ok(line)) => serde_json::from_str(&line).map_err(|error| wrong(error.to_string())),
            Some(Err(error)) => Err(wrong(error.to_string())),
            None => Err(wrong("closed the connection".to_owned())),
        }
    };
    match timeout(Duration::from_millis(limits::LOCAL_EXCHANGE_MILLIS), exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(wrong("does not answer".to_owned())),
    }
}

/// Longest answer: a status of everything that an agent may report.
const MAX_ANSWER_OCTETS: usize = 16 << 20;
