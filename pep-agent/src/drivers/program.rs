//! Programs of the operator's that the agent runs to their end: within a time limit, each in a process group of its own,
//! which is ended with it where it takes too long. They are the agent's helpers, not the activities.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::limits::{MAX_PROGRAM_ANSWER_OCTETS, MAX_PROGRAM_COMPLAINT_OCTETS};

/// How long a program's last words may take to arrive after it has ended: what it leaves behind may hold its pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// The first line that it printed, if an answer was asked for.
    pub answer: Option<String>,
    /// What it complained of on its standard error, the first of it.
    pub complaint: String,
}

/// Why a program has no end that counts.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// There is nothing to run.
    #[error("the command is empty")]
    Empty,
    /// It cannot be run, or spoken to.
    #[error("{program}: {error}")]
    Io {
        /// The program.
        program: String,
        /// Why.
        error: std::io::Error,
    },
    /// It did not end.
    #[error("{program} was not done after {} s", limit.as_secs_f64())]
    Late {
        /// The program.
        program: String,
        /// Its time.
        limit: Duration,
    },
    /// Its answer is too long.
    #[error("{program} answered with a line of more than {MAX_PROGRAM_ANSWER_OCTETS} octets")]
    Verbose {
        /// The program.
        program: String,
    },
}

/// A group of processes that is killed when this is dropped, unless it has ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The leader has not been waited for, so that the number is still its own.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a program to its end, with nothing to read, and lets it print what it likes.
///
/// # Errors
/// It cannot be run, or takes longer than `limit`.
pub async fn run(argv: &[String], limit: Duration) -> Result<ExitStatus, ProgramError> {
    Ok(run_to_end(argv, None, limit).await?.status)
}

/// Runs a program to its end: it reads `question` and answers with a line.
///
/// # Errors
/// It cannot be run, takes longer than `limit`, or says too much.
pub async fn ask(argv: &[String], question: String, limit: Duration) -> Result<Ended, ProgramError> {
    run_to_end(argv, Some(question), limit).await
}

async fn run_to_end(
    argv: &[String],
    question: Option<String>,
    limit: Duration,
) -> Result<Ended, ProgramError> {
    let (program, arguments) = argv.split_first().ok_or(ProgramError::Empty)?;
    let io = |error| ProgramError::Io {
        program: program.clone(),
        error,
    };
    let pipe = |is_asked: bool| if is_asked { Stdio::piped() } else { Stdio::null() };
    let is_asked = question.is_some();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(pipe(is_asked))
        .stdout(pipe(is_asked))
        .stderr(pipe(is_asked))
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(io)?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(leader.and_then(Pid::from_raw));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

    let ask = async {
        if let (Some(mut stdin), Some(question)) = (stdin, question) {
            // One that does not read its question may still know the answer.
            let _ = stdin.write_all(question.as_bytes()).await;
        }
    };
    let mut answer = Vec::new();
    let mut complaint = Vec::new();
    let listen = async {
        tokio::join!(
            first_line(stdout, &mut answer, MAX_PROGRAM_ANSWER_OCTETS),
            all(stderr, &mut complaint, MAX_PROGRAM_COMPLAINT_OCTETS)
        );
    };
    let exchange = async {
        tokio::pin!(ask, listen);
        let (mut asked, mut heard) = (false, false);
        let status = loop {
            tokio::select! {
                () = &mut ask, if !asked => asked = true,
                () = &mut listen, if !heard => heard = true,
                status = child.wait() => break status,
            }
        };
        if !heard {
            let _ = timeout(LAST_WORDS, listen).await;
        }
        status
    };
    let status = match timeout(limit, exchange).await {
        Ok(status) => status.map_err(io)?,
        Err(_) => {
            drop(group);
            // Waited for, so that no zombie stays.
            let _ = child.wait().await;
            return Err(ProgramError::Late {
                program: program.clone(),
                limit,
            });
        }
    };
    group.0 = None;
    if answer.len() > MAX_PROGRAM_ANSWER_OCTETS {
        return Err(ProgramError::Verbose {
            program: program.clone(),
        });
    }
    Ok(Ended {
        status,
        answer: is_asked.then(|| String::from_utf8_lossy(&answer).trim().to_owned()),
        complaint: String::from_utf8_lossy(&complaint).trim().to_owned(),
    })
}

/// Reads a line, or one octet more than the limit of it; what follows is read too, so that the pipe does not fill.
async fn first_line(stream: Option<impl AsyncRead + Unpin>, line: &mut Vec<u8>, limit: usize) {
    let Some(stream) = stream else { return };
    let mut stream = BufReader::new(stream);
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    // A stream that breaks has said what it has said.
    let _ = (&mut stream).take(most).read_until(b'\n', line).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// Reads all, and keeps the first of it.
async fn all(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>, limit: usize) {
    let Some(mut stream) = stream else { return };
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let _ = (&mut stream).take(most).read_to_end(kept).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}
