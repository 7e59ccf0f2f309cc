//! Generated bad messages against a running PDP: each answered as the ledger says, no crash, no hang, memory back to its
//! start. 40,000 of them by default; `HOSTILE_MESSAGES=1000000` sets another number, `HOSTILE_SEED` another seed.

use cops_codec::limits::Limits;
use cops_codec::message::Message;
use cops_codec::wire::Role;
use cops_codec::{Frame, error};
use fastrand::Rng;

use super::octets::{
    POWER, context, flags, handle, ka_timer, lying, message, object, op, open, pep_id, reason, report_type,
};
use super::pdp::Attacked;
use super::script::{Answer, Step};

/// Messages of one connection before another is made.
const A_CONNECTION: usize = 200;
/// Connections at a time.
const CONNECTIONS: usize = 4;
/// What the process may have grown by at the end, in KiB: allocator, tables that keep their room, the log's buffer.
const TOLERANCE_KIBIBYTES: u64 = 16 * 1_024;

/// What a PDP has to say to one message, by what the connection is at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// This, and the session is as before.
    Only(Answer),
    /// CC, and the client-type is closed.
    Closed(Answer),
    /// CC for the connection, which ends.
    Last(Answer),
}

/// A message with one known defect, and its answer by the ledger: made from the rule, not from the decoder.
fn defective(random: &mut Rng, is_open: bool) -> (Vec<u8>, Said) {
    let h = random_handle(random);
    let request = |objects: &[Vec<u8>]| message(op::REQ, POWER, objects);
    let refused = |code| {
        if is_open {
            Said::Only(Answer::Refused(code))
        } else {
            // Ledger A-16.
            Said::Closed(Answer::Close(POWER, 6))
        }
    };
    let closed = |code| Said::Closed(Answer::Close(POWER, code));
    let unknown = random.u8(17..=255);
    match random.u8(0..18) {
        // C-3.1-07, A-06.
        0 => (request(&[handle(&h)]), refused(7)),
        1 => (
            request(&[handle(&h), context(), object(unknown, 1, &h)]),
            refused(13),
        ),
        // C-2.2.2-01, C-2.2-05, C-2.1-12.
        2 => (request(&[handle(&h), handle(&h), context()]), refused(3)),
        3 => (
            request(&[handle(&h), object(2, 1, &[0, 0, 0, random.u8(..)])]),
            refused(3),
        ),
        4 => (
            request(&[handle(&h), object(2, 1, &vec![0; random.usize(5..40)])]),
            refused(3),
        ),
        5 => (
            request(&[handle(&h), lying(random.usize(0..4), 2, 1, &h)]),
            refused(3),
        ),
        6 => (
            request(&[handle(&h), lying(random.usize(2_000..65_536), 2, 1, &h)]),
            refused(3),
        ),
        7 => (request(&[handle(&h), context(), flags(1, 0)]), refused(3)),
        //
        8 => (
            request(&[handle(&vec![1; random.usize(1_025..2_000)]), context()]),
            refused(1),
        ),
        9 if is_open => (request(&[handle(b""), context()]), refused(1)),
        // other messages.
        9 | 10 => (request(&[context()]), closed(7)),
        11 => (message(op::RPT, POWER, &[handle(&h)]), closed(7)),
        12 => (
            message(op::DRQ, POWER, &[handle(&h), reason(1), object(unknown, 7, &h)]),
            closed(13),
        ),
        13 => (
            message(op::RPT, POWER, &[report_type(1), report_type(1)]),
            closed(3),
        ),
        14 => (message(op::OPN, POWER, &[pep_id("x"), ka_timer(1)]), closed(3)),
        // C-2.1-07, A-02.
        15 => (message(op::CAT, POWER, &[ka_timer(random.u8(..))]), closed(3)),
        16 => (message(random.u8(11..=255), POWER, &[handle(&h)]), closed(3)),
        // seldom, because it costs a connection.
        _ if random.u8(0..20) == 0 => {
            let mut octets = message(op::KA, 0, &[]);
            // Over the limit, whatever the rest says.
            octets[4] = random.u8(1..);
            octets[7] = random.u8(..);
            (octets, Said::Last(Answer::Close(0, 3)))
        }
        _ => (message(op::SSC, POWER, &[context()]), closed(3)),
    }
}

fn random_handle(random: &mut Rng) -> Vec<u8> {
    let length = random.usize(1..40);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// A good message that was damaged anywhere behind its header; its answer by the codec's own map. `None`: it is still good.
fn damaged(random: &mut Rng, is_open: bool) -> Option<(Vec<u8>, Said)> {
    let h = random_handle(random);
    let mut octets = match random.u8(0..6) {
        0 => super::pdp::honest_request(random.u32(1..9)),
        1 => message(
            op::REQ,
            POWER,
            &[
                handle(&h),
                context(),
                object(9, 2, &h),
                object(7, 1, &[0, 1, 0, 0]),
                object(7, 3, &h),
            ],
        ),
        2 => message(op::RPT, POWER, &[handle(&h), report_type(3), object(9, 2, &h)]),
        3 => message(op::DRQ, POWER, &[handle(&h), reason(1)]),
        4 => message(
            op::OPN,
            POWER,
            &[
                pep_id("mallory"),
                object(9, 2, &h),
                object(14, 1, &[127, 0, 0, 1, 0, 0, 12, 216]),
            ],
        ),
        _ => message(op::KA, 0, &[object(16, 1, &[0; 20])]),
    };
    for _ in 0..random.usize(1..6) {
        let at = random.usize(8..octets.len());
        octets[at] = random.u8(..);
    }
    let frame = Frame::new(octets.clone().into(), &Limits::DEFAULT).ok()?;
    let fault = Message::decode(&frame, &Limits::DEFAULT).err()?;
    let said = match fault.answer(Role::Pdp) {
        error::Answer::ErrorDecision { error, .. } if is_open => {
            Said::Only(Answer::RefusedSub(error.code.0, error.sub_code))
        }
        error::Answer::ErrorDecision { client_type, .. } => Said::Closed(Answer::Close(client_type.0, 6)),
        error::Answer::CloseClient { client_type, error } => {
            Said::Closed(Answer::CloseSub(client_type.0, error.code.0, error.sub_code))
        }
        error::Answer::CloseConnection { error } => {
            Said::Last(Answer::CloseSub(0, error.code.0, error.sub_code))
        }
        error::Answer::DeleteRequestState { .. } => return None,
    };
    Some((octets, said))
}

/// One connection: messages in one stream, their answers in their order.
async fn connection(
    attacked: &Attacked,
    random: &mut Rng,
    count: usize,
    name: &str,
) -> Result<usize, String> {
    let mut stream = open(name);
    let mut answers = vec![Step::Expect(Answer::Accept(POWER))];
    let mut is_open = true;
    let mut sent = 0;
    let mut ends = false;
    while sent < count && !ends {
        if !is_open && random.u8(0..4) == 0 {
            stream.extend(open(name));
            answers.push(Step::Expect(Answer::Accept(POWER)));
            is_open = true;
        }
        let made = if random.bool() {
            Some(defective(random, is_open))
        } else {
            damaged(random, is_open)
        };
        let Some((octets, said)) = made else { continue };
        stream.extend(octets);
        sent += 1;
        match said {
            Said::Only(answer) => answers.push(Step::Expect(answer)),
            Said::Closed(answer) => {
                answers.push(Step::Expect(answer));
                is_open = false;
            }
            Said::Last(answer) => {
                answers.extend([Step::Expect(answer), Step::EndAtLast]);
                ends = true;
            }
        }
    }
    let mut peer = attacked.connect().await;
    peer.play(&[Step::Send(stream)]).await?;
    peer.play(&answers).await?;
    Ok(sent)
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

async fn attack(attacked: &Attacked, seed: u64, total: usize) -> usize {
    let part = total.div_ceil(CONNECTIONS);
    let streams = (0..CONNECTIONS as u64).map(|n| async move {
        let mut sent = 0;
        let mut round = 0;
        while sent < part {
            // Each connection can be made again from its own seed.
            let own = seed ^ (n << 32) ^ round;
            round += 1;
            let mut random = Rng::with_seed(own);
            let count = A_CONNECTION.min(part - sent);
            match connection(attacked, &mut random, count, &format!("mallory-{n}")).await {
                Ok(count) => sent += count,
                Err(error) => panic!("HOSTILE_SEED={seed}, stream {n}, round {}: {error}", round - 1),
            }
        }
        sent
    });
    futures::future::join_all(streams).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_bad_messages_are_answered_each_and_leave_nothing_behind() {
    let total = usize::try_from(number("HOSTILE_MESSAGES", 40_000)).unwrap();
    let seed = number("HOSTILE_SEED", 20_261_127);
    let mut attacked = Attacked::start_with(60, "").await;
    // What is taken once, such as the tables of the allocator and the log's buffers, is not what is looked for.
    attack(&attacked, !seed, 4_000).await;
    attacked.unharmed().await.unwrap();
    let before = attacked.resident_kibibytes();
    let sent = attack(&attacked, seed, total).await;
    attacked.unharmed().await.unwrap();
    let after = attacked.resident_kibibytes();
    println!("{sent} bad messages (seed {seed}); resident: {before} KiB before, {after} KiB after");
    assert!(sent >= total, "{sent}");
    assert!(
        after <= before + TOLERANCE_KIBIBYTES,
        "{before} KiB resident before, {after} KiB after {sent} messages"
    );
    attacked.have_noticed_nothing().await;
}
