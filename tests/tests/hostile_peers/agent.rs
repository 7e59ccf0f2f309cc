//! The real `pep-agent` under attack by the PDP that it connects to. After each row it comes back, its operator's socket
//! answers, and it does what it did before.

use std::process::{Command, Output};
use std::time::Duration;

use pep_agent::node::Status;
use system_tests::process::{Program, program};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::octets::{
    POWER, context, error, flags, handle, header, ka_timer, lying, message, message_of, object, op, pep_id,
    reason, report_type,
};
use super::script::{Answer, Case, Honest, Peer, Step, case, expect, judge, send};

/// How long the agent may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// An agent, and the port at which it looks for its PDP.
struct Attacked {
    listener: TcpListener,
    agent: Program,
    folder: tempfile::TempDir,
}

impl Attacked {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        // A full reserve, which has no news to tell.
        let file = include_str!("../../../pep-agent/examples/simulated-node.toml")
            .replace(
                "address = \"127.0.0.1:3288\"",
                &format!("address = \"{address}\"\nretry_max_seconds = 1"),
            )
            .replace("charge_percent = 90 ", "charge_percent = 100");
        std::fs::write(folder.path().join("agent.toml"), file).unwrap();
        let mut command = Command::new(program("pep-agent").unwrap());
        command
            .current_dir(folder.path())
            .args(["run", "--config", "agent.toml", "--clock-scale", "2"]);
        let agent = Program::start("agent", &mut command, &folder.path().join("agent.log")).unwrap();
        Self {
            listener,
            agent,
            folder,
        }
    }

    async fn row(&mut self, case: &Case) -> Result<(), String> {
        let (stream, _) = timeout(BACK_WITHIN, self.listener.accept())
            .await
            .map_err(|_| "the agent does not come back".to_owned())?
            .map_err(|error| error.to_string())?;
        let mut pdp = Peer::new(stream, Honest::Pdp);
        pdp.play(&case.steps).await?;
        if let Some(status) = self.agent.ended().map_err(|error| error.to_string())? {
            return Err(format!("the agent ended: {status}; {}", self.agent.last_lines()));
        }
        let status = self.status().await?;
        let running: Vec<_> = status
            .activities
            .iter()
            .filter(|a| a.state == "running")
            .collect();
        if running.len() < 2 {
            return Err(format!("its activities do not run any more: {status:?}"));
        }
        Ok(())
    }

    /// What its operator is told.
    async fn status(&self) -> Result<Status, String> {
        let mut command = Command::new(program("pep-agent").map_err(|error| error.to_string())?);
        command
            .current_dir(self.folder.path())
            .args(["status", "--json", "--config", "agent.toml"]);
        let output: Output = tokio::task::spawn_blocking(move || command.output())
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        serde_json::from_slice(&output.stdout).map_err(|error| format!("no status: {error}; {output:?}"))
    }

    /// These rows, one after the other.
    async fn rows(mut self, cases: &[Case]) -> Vec<(&Case, Result<(), String>)> {
        let mut results = Vec::new();
        for case in cases {
            results.push((case, self.row(case).await));
        }
        self.agent.terminate().unwrap();
        results
    }
}

/// All rows of a table, shared out among a few agents: each of them waits a while before it comes back.
pub(crate) async fn play(table: &str, cases: &[Case]) {
    const AGENTS: usize = 4;
    let parts = cases
        .chunks(cases.len().div_ceil(AGENTS))
        .map(|part| async { Attacked::start().await.rows(part).await });
    let results: Vec<_> = futures::future::join_all(parts)
        .await
        .into_iter()
        .flatten()
        .collect();
    judge(table, &results);
}

fn accept() -> Vec<u8> {
    // No keep-alives for a minute, no accounting reports at all.
    message(op::CAT, POWER, &[ka_timer(60), object(15, 1, &[0; 4])])
}

/// OPN and CAT, as an honest PDP.
fn opened() -> Vec<Step> {
    vec![expect(Answer::Open), send(accept())]
}

/// And the first REQ, answered with NULL and reported on. An agent that holds the decisions of an earlier connection says
/// so in OPN, and waits for an SSQ.
pub(crate) fn joined() -> Vec<Step> {
    let mut steps = opened();
    steps.extend(synchronized());
    steps
}

fn synchronized() -> [Step; 5] {
    [
        send(message(op::SSQ, POWER, &[])),
        expect(Answer::Request),
        Step::Reply(null),
        expect(Answer::Success),
        expect(Answer::Complete),
    ]
}

pub(crate) fn null(known: &[u8]) -> Vec<u8> {
    message_of(0x11, op::DEC, POWER, &[handle(known), context(), flags(0, 0)])
}

/// An SSQ for a handle that is not there, and its DRQ as the next thing that is said: nothing was said before it, and the
/// session works.
pub(crate) fn alive() -> [Step; 3] {
    [
        send(message(op::SSQ, POWER, &[handle(b"nobody's")])),
        expect(Answer::Deleted(10, 0)),
        expect(Answer::Complete),
    ]
}

fn first(name: &'static str, source: &'static str, octets: Vec<u8>, answer: Answer) -> Case {
    case(name, source, [expect(Answer::Open), send(octets), expect(answer)])
}

fn first_and_last(name: &'static str, source: &'static str, octets: Vec<u8>, answer: Answer) -> Case {
    case(
        name,
        source,
        [
            expect(Answer::Open),
            send(octets),
            expect(answer),
            Step::EndAtLast,
        ],
    )
}

fn later(name: &'static str, source: &'static str, octets: Vec<u8>, answer: Answer) -> Case {
    case(
        name,
        source,
        joined().into_iter().chain([send(octets), expect(answer)]),
    )
}

fn passed_over(name: &'static str, source: &'static str, octets: Vec<u8>) -> Case {
    case(
        name,
        source,
        joined().into_iter().chain([send(octets)]).chain(alive()),
    )
}

pub(crate) fn cases() -> Vec<Case> {
    let broken = Answer::Close(0, 3);
    let wrong = |code| Answer::Close(POWER, code);
    let h = || handle(b"nobody's");
    vec![
        case("a PDP that closes at once", "C-1.1-01", []),
        case("a PDP that closes after OPN", "C-1.1-01", [expect(Answer::Open)]),
        first_and_last(
            "to an agent: another protocol",
            "A-02",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            broken,
        ),
        first_and_last(
            "to an agent: version 0",
            "A-02",
            header(0, op::CAT, POWER, 8),
            broken,
        ),
        first_and_last(
            "to an agent: version 2",
            "A-02",
            header(0x20, op::CAT, POWER, 8),
            broken,
        ),
        first_and_last(
            "to an agent: length 0",
            "C-2.1-12",
            header(0x10, op::CAT, POWER, 0),
            broken,
        ),
        first_and_last(
            "to an agent: length 10",
            "C-2.1-11",
            header(0x10, op::CAT, POWER, 10),
            broken,
        ),
        first_and_last(
            "to an agent: a length over the limit",
            "A-03",
            header(0x10, op::CAT, POWER, 2 << 20),
            broken,
        ),
        first_and_last("to an agent: noise", "A-02", vec![0xa5; 4_096], broken),
        first(
            "CAT without a KA Timer",
            "C-3.7-06",
            message(op::CAT, POWER, &[]),
            wrong(7),
        ),
        first(
            "CAT with two KA Timers",
            "A-05",
            message(op::CAT, POWER, &[ka_timer(9), ka_timer(9)]),
            wrong(3),
        ),
        first(
            "CAT with a KA Timer of 4 octets",
            "C-2.2.10-01",
            message(op::CAT, POWER, &[object(10, 1, &[])]),
            wrong(3),
        ),
        first(
            "CAT with an object that does not exist",
            "A-15",
            message(op::CAT, POWER, &[ka_timer(9), object(17, 1, &[])]),
            Answer::CloseSub(POWER, 13, 0x1101),
        ),
        first(
            "CAT with a PEPID",
            "C-3.7-01",
            message(op::CAT, POWER, &[ka_timer(9), pep_id("x")]),
            wrong(3),
        ),
        first(
            "CAT with an object of length 2",
            "C-2.2-05",
            message(op::CAT, POWER, &[lying(2, 10, 1, &[])]),
            wrong(3),
        ),
        first(
            "CAT for a client-type that was not opened",
            "A-16",
            message(op::CAT, 1, &[ka_timer(9)]),
            Answer::Close(1, 6),
        ),
        first(
            "DEC before CAT",
            "A-16",
            message(op::DEC, POWER, &[h(), context(), flags(0, 0)]),
            wrong(6),
        ),
        first("SSQ before CAT", "A-16", message(op::SSQ, POWER, &[]), wrong(6)),
        case(
            "CC in place of CAT",
            "C-3.7-02, A-41",
            [
                expect(Answer::Open),
                send(message(op::CC, POWER, &[error(6)])),
                Step::End,
            ],
        ),
        case(
            "CC for the connection",
            "A-40",
            [
                expect(Answer::Open),
                send(message(op::CC, 0, &[error(14)])),
                Step::End,
            ],
        ),
        case(
            "to an agent: CC without an Error",
            "C-3.8-01",
            [
                expect(Answer::Open),
                send(message(op::CC, POWER, &[])),
                expect(wrong(7)),
                Step::EndAtLast,
            ],
        ),
        case(
            "CC in an open session",
            "C-4.7-01",
            joined()
                .into_iter()
                .chain([send(message(op::CC, POWER, &[error(8)])), Step::End]),
        ),
        case(
            "no word after a KA Timer of 1 s",
            "C-2.3-09, C-4.7-02",
            [
                vec![
                    expect(Answer::Open),
                    send(message(op::CAT, POWER, &[ka_timer(1)])),
                ],
                synchronized().into(),
                vec![expect(Answer::KeepAlive), expect(wrong(9)), Step::EndAtLast],
            ]
            .into_iter()
            .flatten(),
        ),
        later(
            "OPN to an agent",
            "C-2.1-07, A-02",
            message(op::OPN, POWER, &[pep_id("x")]),
            wrong(3),
        ),
        later(
            "REQ to an agent",
            "C-2.1-07, A-02",
            message(op::REQ, POWER, &[h(), context()]),
            wrong(3),
        ),
        later(
            "RPT to an agent",
            "C-2.1-07, A-02",
            message(op::RPT, POWER, &[h(), report_type(1)]),
            wrong(3),
        ),
        later(
            "DRQ to an agent",
            "C-2.1-07, A-02",
            message(op::DRQ, POWER, &[h(), reason(1)]),
            wrong(3),
        ),
        later(
            "SSC to an agent",
            "C-2.1-07, A-02",
            message(op::SSC, POWER, &[]),
            wrong(3),
        ),
        later("to an agent: op code 0", "A-02", message(0, POWER, &[]), wrong(3)),
        later(
            "to an agent: op code 99",
            "A-02",
            message(99, POWER, &[]),
            wrong(3),
        ),
        later(
            "to an agent: KA with an object",
            "C-3.9-01",
            message(op::KA, 0, &[ka_timer(1)]),
            broken,
        ),
        later(
            "to an agent: KA for a client-type",
            "C-2.1-09",
            message(op::KA, POWER, &[]),
            broken,
        ),
        later(
            "SSQ with two Handles",
            "A-05",
            message(op::SSQ, POWER, &[h(), h()]),
            wrong(3),
        ),
        later(
            "SSQ for another client-type",
            "A-16",
            message(op::SSQ, 1, &[]),
            Answer::Close(1, 6),
        ),
        passed_over("to an agent: KA by itself", "A-08", message(op::KA, 0, &[])),
        passed_over(
            "to an agent: a thousand KAs",
            "A-08",
            message(op::KA, 0, &[]).repeat(1_000),
        ),
        passed_over(
            "CC for a client-type that was not opened",
            "A-41",
            message(op::CC, 1, &[error(6)]),
        ),
        passed_over("CAT again", "A-39", accept()),
        case(
            "SSQ for handles that are not there, a hundred times",
            "C-3.5-03, A-23",
            joined()
                .into_iter()
                .chain([send(message(op::SSQ, POWER, &[h()]).repeat(100))])
                .chain((0..100).flat_map(|_| [expect(Answer::Deleted(10, 0)), expect(Answer::Complete)])),
        ),
        case(
            "half a message, and the end",
            "C-2.1-14",
            joined().into_iter().chain([
                send(header(0x10, op::DEC, POWER, 60_000)),
                Step::HalfClose,
                Step::EndAtLast,
            ]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_hostile_pdp() {
    play("agent", &cases()).await;
}
