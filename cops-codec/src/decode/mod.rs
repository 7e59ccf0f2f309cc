//! A frame, read: as a borrowed [`MessageRef`] that allocates nothing, or as an owned [`Message`].

mod message_ref;
mod reader;

pub use message_ref::{MessageRef, TypedObjects};
pub(crate) use reader::{Reader, once};

use crate::{
    error::{DecodeError, Fault, FaultKind},
    framing::Frame,
    limits::Limits,
    message::{
        ClientAccept, ClientClose, ClientOpen, DecisionMessage, DeleteRequestState, KeepAlive, Message,
        ReportState, Request, SynchronizeStateComplete, SynchronizeStateRequest,
    },
    wire::{ClientHandle, OpCode},
};

impl Message {
    /// Decodes a message. What it holds of variable length are slices of the frame, which stays in memory as long as one of
    /// them does.
    ///
    /// Objects may come in another order than the grammar's, except where order gives meaning: Context, Decision Flags and
    /// data make a decision in this order, and nothing follows Integrity (RFC 2748 3, 3.2). Unknown objects, a second copy
    /// of an object that may be there once, and objects of other messages are faults.
    ///
    /// # Errors
    /// The first fault, with as much of the message as could be trusted.
    pub fn decode(frame: &Frame, limits: &Limits) -> Result<Self, DecodeError> {
        decode(frame, limits).map_err(|fault| explain(fault, frame, limits))
    }
}

fn decode(frame: &Frame, limits: &Limits) -> Result<Message, Fault> {
    const OP_CODE_OFFSET: usize = 1;
    let mut reader = Reader::new(frame, limits);
    Ok(match reader.header.op_code {
        OpCode::REQUEST => Request::decode(&mut reader)?.into(),
        OpCode::DECISION => DecisionMessage::decode(&mut reader)?.into(),
        OpCode::REPORT_STATE => ReportState::decode(&mut reader)?.into(),
        OpCode::DELETE_REQUEST_STATE => DeleteRequestState::decode(&mut reader)?.into(),
        OpCode::SYNCHRONIZE_STATE_REQUEST => SynchronizeStateRequest::decode(&mut reader)?.into(),
        OpCode::CLIENT_OPEN => ClientOpen::decode(&mut reader)?.into(),
        OpCode::CLIENT_ACCEPT => ClientAccept::decode(&mut reader)?.into(),
        OpCode::CLIENT_CLOSE => ClientClose::decode(&mut reader)?.into(),
        OpCode::KEEP_ALIVE => KeepAlive::decode(&mut reader)?.into(),
        OpCode::SYNCHRONIZE_STATE_COMPLETE => SynchronizeStateComplete::decode(&mut reader)?.into(),
        found => return Err(Fault::new(OP_CODE_OFFSET, FaultKind::UnknownOpCode { found })),
    })
}

/// Adds to a fault what the answer to it needs. The handle is looked for anew, since the fault may stand before it.
fn explain(fault: Fault, frame: &Frame, limits: &Limits) -> DecodeError {
    let handle = MessageRef::of_frame(frame, limits)
        .handle()
        .map(|handle| ClientHandle(frame.octets().slice_ref(handle)));
    DecodeError {
        fault,
        header: Some(frame.header()),
        handle,
    }
}
