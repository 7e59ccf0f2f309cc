//! One misbehaviour: what is sent, what has to come back, and where the RFC says so.

use std::time::Duration;

use cops_codec::limits::Limits;
use cops_codec::message::{DecisionBody, Message};
use cops_codec::provisioning::Report as Rows;
use cops_codec::tokio_codec::CopsCodec;
use cops_codec::wire::{ClientSi, CommandCode};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_util::codec::FramedRead;

use super::octets;

/// How long an answer may take before a row has failed.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The answer to a handle that is too long names it.
const LIMITS: Limits = Limits {
    max_handle_octets: 65_535,
    ..Limits::DEFAULT
};

/// A row of a table.
pub(crate) struct Case {
    /// Unique among all tables.
    pub(crate) name: &'static str,
    /// Where the expected answer comes from.
    pub(crate) source: &'static str,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn case(name: &'static str, source: &'static str, steps: impl IntoIterator<Item = Step>) -> Case {
    Case {
        name,
        source,
        steps: steps.into_iter().collect(),
    }
}

pub(crate) enum Step {
    /// Octets, in one write.
    Send(Vec<u8>),
    /// Octets, one a write.
    Dribble(Vec<u8>),
    /// The same many times, without looking at what comes back.
    Flood(usize, Vec<u8>),
    /// The next message is this one.
    Expect(Answer),
    /// As many of this one.
    ExpectTimes(usize, Answer),
    /// A message made of the handle of the other end's last REQ.
    Reply(fn(&[u8]) -> Vec<u8>),
    /// The other end closes the connection, and says nothing before.
    End,
    /// The other end closes the connection, whatever it says before.
    EndAtLast,
    /// Our half of the connection is closed.
    HalfClose,
}

/// A message, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// CC for this client-type, with this Error-Code.
    Close(u16, u16),
    /// The same with this sub-code.
    CloseSub(u16, u16, u16),
    /// A solicited DEC with an Error object.
    Refused(u16),
    /// The same with this sub-code.
    RefusedSub(u16, u16),
    /// A solicited DEC with one decision, NULL.
    Null,
    /// A solicited DEC with decisions that install something: what was wrong with the rows of a REQ.
    Installs,
    /// CAT for this client-type.
    Accept(u16),
    KeepAlive,
    /// DRQ with this Reason-Code and sub-code.
    Deleted(u16, u16),
    /// SSC.
    Complete,
    /// A solicited RPT of success.
    Success,
    /// A solicited RPT of failure, without GPERR.
    Failure,
    /// A solicited RPT of failure with this GPERR.
    FailureGlobal(u16, u16),
    /// A solicited RPT of failure with this CPERR.
    FailureClass(u16),
    /// OPN.
    Open,
    /// REQ.
    Request,
}

impl Answer {
    /// What a message is, with as much detail as `expected` asks for.
    fn of(message: &Message, expected: Self) -> Option<Self> {
        Some(match message {
            Message::ClientClose(m) => match expected {
                Self::CloseSub(..) => Self::CloseSub(m.client_type.0, m.error.code.0, m.error.sub_code),
                _ => Self::Close(m.client_type.0, m.error.code.0),
            },
            Message::Decision(m) if m.solicited => match (&m.body, expected) {
                (DecisionBody::Error(e), Self::RefusedSub(..)) => Self::RefusedSub(e.code.0, e.sub_code),
                (DecisionBody::Error(e), _) => Self::Refused(e.code.0),
                (DecisionBody::Decisions(d), _) => match d.as_slice() {
                    [one] if one.flags.command == CommandCode::NULL => Self::Null,
                    _ => Self::Installs,
                },
            },
            Message::ClientAccept(m) => Self::Accept(m.client_type.0),
            Message::KeepAlive(_) => Self::KeepAlive,
            Message::DeleteRequestState(m) => Self::Deleted(m.reason.code.0, m.reason.sub_code),
            Message::SynchronizeStateComplete(_) => Self::Complete,
            Message::ReportState(m) if m.solicited => {
                if m.report_type == cops_codec::wire::ReportType::SUCCESS {
                    return Some(Self::Success);
                }
                let mut rows = Rows::default();
                for client_si in &m.client_si {
                    if let ClientSi::Named(octets) = client_si {
                        let contents = cops_codec::provisioning::Contents::from(octets);
                        rows.read(contents.octets, contents.offset).ok()?;
                    }
                }
                match (&rows.global, rows.errors.first()) {
                    (Some(global), _) => Self::FailureGlobal(global.code.0, global.sub_code),
                    (None, Some(class)) => Self::FailureClass(class.error.code.0),
                    (None, None) => Self::Failure,
                }
            }
            Message::ClientOpen(_) => Self::Open,
            Message::Request(_) => Self::Request,
            _ => return None,
        })
    }
}

pub(crate) fn send(octets: Vec<u8>) -> Step {
    Step::Send(octets)
}

pub(crate) fn expect(answer: Answer) -> Step {
    Step::Expect(answer)
}

/// One end of a connection, which sends what it likes.
pub(crate) struct Peer {
    frames: FramedRead<OwnedReadHalf, CopsCodec>,
    out: OwnedWriteHalf,
    /// What the other end says by itself is answered as an honest peer does, and skipped.
    honest: Honest,
    /// The handle of the other end's last REQ.
    handle: Vec<u8>,
    /// CC was sent: an honest peer says nothing more of its client-type.
    has_closed: bool,
}

/// Which messages of the other end are none of the row's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Honest {
    /// A PEP's: unsolicited DECs, which are reported on.
    Pep,
    /// A PDP's: KA, further REQs, which are answered with NULL, and unsolicited RPTs.
    Pdp,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream, honest: Honest) -> Self {
        let (read, out) = stream.into_split();
        Self {
            frames: FramedRead::new(read, CopsCodec::new(LIMITS)),
            out,
            honest,
            handle: Vec::new(),
            has_closed: false,
        }
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> Result<(), String> {
        self.out
            .write_all(octets)
            .await
            .map_err(|e| format!("sending: {e}"))
    }

    /// The next message, or `None` at the end of the connection, a reset being one too.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, String> {
        let frame = timeout(ANSWER_WITHIN, self.frames.next())
            .await
            .map_err(|_| format!("neither an answer nor an end within {ANSWER_WITHIN:?}"))?;
        match frame {
            None | Some(Err(cops_codec::tokio_codec::CodecError::Io(_))) => Ok(None),
            Some(Err(error)) => Err(format!("what came is no COPS: {error}")),
            Some(Ok(frame)) => Message::decode(&frame, &LIMITS)
                .map(Some)
                .map_err(|error| format!("what came is no message: {error}")),
        }
    }

    /// The next message that is the row's business.
    async fn next_relevant(&mut self, expected: Option<Answer>) -> Result<Option<Message>, String> {
        loop {
            let Some(message) = self.next().await? else {
                return Ok(None);
            };
            match (self.honest, &message) {
                (Honest::Pep, Message::Decision(m)) if !m.solicited && self.has_closed => {}
                (Honest::Pep, Message::Decision(m)) if !m.solicited => {
                    let report = cops_codec::message::ReportState {
                        client_type: m.client_type,
                        solicited: true,
                        handle: m.handle.clone(),
                        report_type: cops_codec::wire::ReportType::SUCCESS,
                        client_si: Vec::new(),
                        integrity: None,
                    };
                    let frame = Message::from(report)
                        .encode(&Limits::DEFAULT)
                        .map_err(|e| e.to_string())?;
                    self.send(&frame).await?;
                }
                (Honest::Pdp, Message::Request(m)) if expected != Some(Answer::Request) => {
                    self.handle = m.handle.as_bytes().to_vec();
                    let null = octets::message_of(
                        0x11,
                        octets::op::DEC,
                        m.client_type.0,
                        &[
                            octets::handle(&self.handle),
                            octets::context(),
                            octets::flags(0, 0),
                        ],
                    );
                    self.send(&null).await?;
                }
                (Honest::Pdp, Message::KeepAlive(_)) if expected != Some(Answer::KeepAlive) => {}
                (Honest::Pdp, Message::ReportState(m)) if !m.solicited => {}
                _ => return Ok(Some(message)),
            }
        }
    }

    pub(crate) async fn expect(&mut self, answer: Answer) -> Result<Message, String> {
        match self.next_relevant(Some(answer)).await? {
            Some(message) if Answer::of(&message, answer) == Some(answer) => {
                if let Message::Request(request) = &message {
                    self.handle = request.handle.as_bytes().to_vec();
                }
                Ok(message)
            }
            Some(message) => Err(format!("expected {answer:?}, found {message:?}")),
            None => Err(format!("expected {answer:?}, found the end of the connection")),
        }
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(octets) => {
                self.has_closed |= octets.get(1) == Some(&octets::op::CC);
                self.send(octets).await
            }
            Step::Reply(make) => {
                let octets = make(&self.handle);
                self.send(&octets).await
            }
            Step::EndAtLast => {
                while self.next().await?.is_some() {}
                Ok(())
            }
            Step::Dribble(octets) => {
                for octet in octets.chunks(1) {
                    self.send(octet).await?;
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            Step::Flood(times, octets) => {
                let many = octets.repeat((64 * 1024 / octets.len()).clamp(1, *times));
                let mut left = times * octets.len();
                while left > 0 {
                    let now = left.min(many.len());
                    // Whoever floods may be cut off: what comes back tells.
                    match timeout(ANSWER_WITHIN, self.out.write_all(&many[..now])).await {
                        Ok(Ok(())) => left -= now,
                        Ok(Err(_)) => break,
                        Err(_) => return Err("a flood is neither taken nor cut off".to_owned()),
                    }
                }
                Ok(())
            }
            Step::Expect(answer) => self.expect(*answer).await.map(drop),
            Step::ExpectTimes(times, answer) => {
                for n in 0..*times {
                    self.expect(*answer)
                        .await
                        .map_err(|e| format!("answer {n} of {times}: {e}"))?;
                }
                Ok(())
            }
            Step::End => match self.next_relevant(None).await? {
                None => Ok(()),
                Some(message) => Err(format!("expected the end of the connection, found {message:?}")),
            },
            Step::HalfClose => self
                .out
                .shutdown()
                .await
                .map_err(|e| format!("half-closing: {e}")),
        }
    }

    /// Goes through the steps.
    pub(crate) async fn play(&mut self, steps: &[Step]) -> Result<(), String> {
        for (n, step) in steps.iter().enumerate() {
            self.take(step)
                .await
                .map_err(|error| format!("step {n}: {error}"))?;
        }
        Ok(())
    }
}

/// Prints what became of each row, and fails if one did.
pub(crate) fn judge(table: &str, results: &[(&Case, Result<(), String>)]) {
    let mut wrong = 0;
    for (case, result) in results {
        match result {
            Ok(()) => println!("{table}: {} ({}): as expected", case.name, case.source),
            Err(error) => {
                wrong += 1;
                println!("{table}: {} ({}): WRONG: {error}", case.name, case.source);
            }
        }
    }
    assert_eq!(
        wrong,
        0,
        "{wrong} of {} rows of {table} were not answered as expected",
        results.len()
    );
}
