//! COPS for RSVP (RFC 2749) as a client-type module: outsourced admission control by bandwidth.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use cops_codec::message::{Decision, DecisionBody, Request};
use cops_codec::session::{CloseCause, Moment};
use cops_codec::wire::{
    ClientHandle, ClientType, CommandCode, Context, CopsError, DecisionFlagBits, DecisionFlags, ErrorCode,
    KaTimer, MType, PepId, RType, ReportType,
};
use pdp_server::host::{
    Asked, ClientTypeModule, ConnectionId, Deleted, Hosting, ModuleLimits, Opening, Reported, Terms, Verdict,
};

use super::flowspec::{NoRate, token_rate};

/// RSVP's client-type (RFC 2749 2.1).
pub(crate) const RSVP: ClientType = ClientType(1);
/// M-Type: the message type of RSVP (RFC 2749 2.2, RFC 2205 3.1.1).
pub(crate) const PATH: MType = MType(1);
/// A reservation.
pub(crate) const RESV: MType = MType(2);
/// PathErr and ResvErr.
const ERRORS: [MType; 2] = [MType(3), MType(4)];
/// Flows of one PEP.
const MAX_FLOWS: usize = 512;
/// How often orders are looked for.
const LOOK_EVERY_MILLIS: u64 = 200;
/// The part of an interface that new flows leave free, as a divisor: for those that a PEP's LPDP admitted while it was cut
/// off.
const FREE_PART: u64 = 10;

/// What the operator wants of an interface from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// The interface's index, on each PEP.
    pub(crate) ifindex: u32,
    /// What may be reserved on it, in octets a second.
    pub(crate) octets_a_second: u64,
}

/// A reservation that was admitted.
#[derive(Debug, Clone)]
struct Flow {
    connection: Option<ConnectionId>,
    ifindex: u32,
    octets_a_second: u64,
    context: Context,
    /// Rises from flow to flow: the newest goes first when there is too little.
    age: u64,
    /// The PEP has reserved it (RPT Commit, RFC 2749 3.3).
    is_committed: bool,
}

/// Admission control for RSVP: a bandwidth for each interface, shared by the flows that are reserved on it.
///
/// - A Path, PathErr or ResvErr message, and a Resv message that only comes in or goes out, pass.
/// - Resources for a Resv message are granted while the interface has room, else refused with an error to its sender.
/// - What the PEP's LPDP refused is refused. What it admitted (while there was no PDP) has the whole interface to fit into,
///   a new flow nine tenths of it.
/// - When an interface gets less than what is reserved, the newest flows are taken back by unsolicited decisions.
#[derive(Debug)]
pub(crate) struct RsvpAdmission {
    capacity: BTreeMap<u32, u64>,
    orders: Option<Receiver<Order>>,
    look_at: Moment,
    peps: BTreeMap<ConnectionId, PepId>,
    flows: BTreeMap<(PepId, ClientHandle), Flow>,
    next_age: u64,
}

impl RsvpAdmission {
    /// With a capacity in octets a second for each interface index, which `orders` may change.
    #[must_use]
    pub(crate) fn new(capacity: BTreeMap<u32, u64>, orders: Option<Receiver<Order>>) -> Self {
        Self {
            capacity,
            orders,
            look_at: Moment(0),
            peps: BTreeMap::new(),
            flows: BTreeMap::new(),
            next_age: 0,
        }
    }

    fn reserved(&self, pep: &PepId, ifindex: u32) -> u64 {
        let on_it = |((of, _), flow): (&(PepId, ClientHandle), &Flow)| {
            (of == pep && flow.ifindex == ifindex).then_some(flow.octets_a_second)
        };
        self.flows.iter().filter_map(on_it).sum()
    }

    /// What is decided on a request; what it reserves is noted.
    fn judge(&mut self, pep: &PepId, asked: &Asked<'_>) -> DecisionBody {
        let message = asked.message;
        let Context { r_type, m_type } = message.context;
        let key = (pep.clone(), message.handle.detached());
        // An update stands in place of what was asked before.
        let former = self.flows.remove(&key);
        if m_type != PATH && m_type != RESV && !ERRORS.contains(&m_type) {
            return error(ErrorCode::UNABLE_TO_PROCESS);
        }
        if lpdp_decided(message, CommandCode::REMOVE) {
            return refuse(message.context);
        }
        if m_type != RESV || !r_type.contains(RType::RESOURCE_ALLOCATION) {
            return admit(message.context);
        }
        // Resources are those of the interface towards the receiver, where the Resv message comes in (RFC 2749 5.1).
        let interface = message.in_interface.or(message.out_interface);
        let objects: Vec<u8> = message
            .client_si
            .iter()
            .flat_map(|si| si.contents().to_vec())
            .collect();
        let (Some(interface), rate) = (interface, token_rate(&objects)) else {
            return error(ErrorCode::CLIENT_INFO_MISSING);
        };
        let octets_a_second = match rate {
            Ok(rate) => rate,
            Err(NoRate::Missing) => return error(ErrorCode::CLIENT_INFO_MISSING),
            Err(NoRate::Malformed { .. }) => return error(ErrorCode::BAD_MESSAGE_FORMAT),
        };
        let ifindex = interface.ifindex;
        let capacity = self.capacity.get(&ifindex).copied().unwrap_or(0);
        let room = if lpdp_decided(message, CommandCode::INSTALL) {
            capacity
        } else {
            capacity - capacity / FREE_PART
        };
        if self.reserved(pep, ifindex).saturating_add(octets_a_second) > room {
            return refuse(message.context);
        }
        self.next_age += 1;
        let age = former.map_or(self.next_age, |former| former.age);
        self.flows.insert(
            key,
            Flow {
                connection: Some(asked.connection),
                ifindex,
                octets_a_second,
                context: message.context,
                age,
                is_committed: false,
            },
        );
        admit(message.context)
    }

    /// Takes back what does not fit any more, the newest first, of the PEPs that can be reached.
    fn enforce(&mut self, hosting: &mut Hosting<'_>) {
        let mut newest: Vec<_> = self
            .flows
            .iter()
            .map(|(key, flow)| (flow.age, key.clone()))
            .collect();
        newest.sort_unstable_by_key(|(age, _)| std::cmp::Reverse(*age));
        for (_, key) in newest {
            let Some(flow) = self.flows.get(&key) else {
                continue;
            };
            let capacity = self.capacity.get(&flow.ifindex).copied().unwrap_or(0);
            if self.reserved(&key.0, flow.ifindex) <= capacity {
                continue;
            }
            let Some(connection) = flow.connection else {
                continue;
            };
            let decision = decision(flow.context, CommandCode::REMOVE, DecisionFlagBits::TRIGGER_ERROR);
            // If it cannot be sent now, it is tried again when something is due.
            if hosting.push(connection, key.1.clone(), vec![decision]).is_ok() {
                self.flows.remove(&key);
            }
        }
    }

    fn release(&mut self, id: ConnectionId, handle: &ClientHandle) {
        if let Some(pep) = self.peps.get(&id) {
            self.flows.remove(&(pep.clone(), handle.detached()));
        }
    }
}

impl ClientTypeModule for RsvpAdmission {
    fn client_type(&self) -> ClientType {
        RSVP
    }

    fn limits(&self) -> ModuleLimits {
        ModuleLimits {
            max_states: MAX_FLOWS,
            ..ModuleLimits::DEFAULT
        }
    }

    fn open(&mut self, _: &mut Hosting<'_>, _: &Opening) -> Verdict {
        // A router that comes back in time, in sync, keeps its flows without a word (RFC 2748 2.5, RFC 2749 3.5).
        Verdict::Accept(Terms {
            resume: true,
            ..Terms::new(KaTimer(30))
        })
    }

    fn opened(&mut self, hosting: &mut Hosting<'_>, opening: &Opening, resumed: bool) {
        let pep = &opening.pep_id;
        self.peps.insert(opening.connection, pep.clone());
        if opening.again {
            return;
        }
        if resumed {
            for ((of, _), flow) in &mut self.flows {
                if of == pep {
                    flow.connection = Some(opening.connection);
                }
            }
            self.enforce(hosting);
        } else {
            // It asks anew for what it still has; after SSQ with its LPDP's decisions (RFC 2749 3.5).
            self.flows.retain(|(of, _), _| of != pep);
        }
    }

    fn request(&mut self, hosting: &mut Hosting<'_>, asked: Asked<'_>) {
        let Some(pep) = self.peps.get(&asked.connection).cloned() else {
            return;
        };
        let body = self.judge(&pep, &asked);
        if hosting.decide(&asked, body).is_err() {
            // The router is gone or does not read: it does not know of it.
            self.release(asked.connection, &asked.message.handle);
        }
    }

    fn report(&mut self, _: &mut Hosting<'_>, reported: Reported<'_>) {
        match reported.report_type {
            // Its own admission control has no room: nothing is reserved (RFC 2749 3.3).
            ReportType::FAILURE => self.release(reported.connection, reported.handle),
            ReportType::SUCCESS => {
                if let Some(pep) = self.peps.get(&reported.connection)
                    && let Some(flow) = self.flows.get_mut(&(pep.clone(), reported.handle.detached()))
                {
                    flow.is_committed = true;
                }
            }
            _ => {}
        }
    }

    fn state_deleted(&mut self, _: &mut Hosting<'_>, id: ConnectionId, handle: &ClientHandle, _: Deleted) {
        self.release(id, handle);
    }

    fn closed(&mut self, _: &mut Hosting<'_>, id: ConnectionId, _: &CloseCause, held: bool) {
        let Some(pep) = self.peps.remove(&id) else { return };
        if held {
            for ((of, _), flow) in &mut self.flows {
                if *of == pep {
                    flow.connection = None;
                }
            }
        } else {
            self.flows.retain(|(of, _), _| *of != pep);
        }
    }

    fn forgotten(&mut self, _: &mut Hosting<'_>, pep_id: &PepId) {
        self.flows.retain(|(of, _), _| of != pep_id);
    }

    fn poll_timeout(&self) -> Option<Moment> {
        self.orders.as_ref().map(|_| self.look_at)
    }

    fn handle_timeout(&mut self, hosting: &mut Hosting<'_>) {
        let now = hosting.now().real_millis;
        if Moment(now) < self.look_at {
            return;
        }
        self.look_at = Moment(now + LOOK_EVERY_MILLIS);
        for order in self.orders.iter().flat_map(Receiver::try_iter) {
            self.capacity.insert(order.ifindex, order.octets_a_second);
        }
        self.enforce(hosting);
    }
}

/// Whether the PEP's own policy decided so, for all or a part of the request (RFC 2748 2.2.7).
fn lpdp_decided(message: &Request, command: CommandCode) -> bool {
    message
        .lpdp_decisions
        .iter()
        .any(|decision| decision.flags.command == command)
}

fn decision(context: Context, command: CommandCode, flags: DecisionFlagBits) -> Decision {
    let flags = DecisionFlags {
        flags,
        ..DecisionFlags::new(command)
    };
    Decision::new(context, flags)
}

fn admit(context: Context) -> DecisionBody {
    DecisionBody::Decisions(vec![decision(
        context,
        CommandCode::INSTALL,
        DecisionFlagBits::NONE,
    )])
}

/// With an error to the sender of the message (RFC 2749 2.4).
fn refuse(context: Context) -> DecisionBody {
    let remove = decision(context, CommandCode::REMOVE, DecisionFlagBits::TRIGGER_ERROR);
    DecisionBody::Decisions(vec![remove])
}

fn error(code: ErrorCode) -> DecisionBody {
    DecisionBody::Error(CopsError::new(code))
}
