//! The exchanges between the two sessions.

use crate::Put;

/// Operations of `session_pair`, by their numbers there; each begins with the client-type.
pub(crate) fn seeds(put: Put<'_>) {
    let [open, new, update, report, accept, decide, push] = [
        &[0, 0, 1][..],
        &[0, 3],
        &[0, 2, 0x80, 0, 0],
        &[0, 7, 1],
        &[0, 8, 0, 0, 30],
        &[0, 9, 0, 0, 1, 2, 0xca, 0xfe],
        &[0, 10, 0, 1, 2, 0xca, 0xfe],
    ];
    let [synchronize, again, reconnect, timeout, delete] =
        [&[0, 11, 1][..], &[0, 19], &[0, 18, 0], &[0, 16], &[0, 4, 0]];
    let [to_pdp, to_pep] = [&[0, 12, 0xff, 1][..], &[0, 12, 0xff, 0]];
    let opened = [&[0][..], open, to_pdp, accept, to_pep].concat();
    let installed = [&opened[..], new, to_pdp, decide, to_pep, report, to_pdp].concat();
    put("session_pair", "start up", installed.clone());
    // The same with Integrity, whose two messages come first, and some minutes of keep-alives in which keys change.
    let secured = [
        &[2][..],
        open,
        to_pdp,
        to_pep,
        to_pdp,
        accept,
        to_pep,
        new,
        to_pdp,
        decide,
        to_pep,
        report,
        to_pdp,
    ];
    let later = [timeout, to_pdp, to_pep].concat().repeat(24);
    put(
        "session_pair",
        "with integrity",
        [&secured.concat()[..], &later, push, to_pep, report, to_pdp].concat(),
    );
    put(
        "session_pair",
        "with integrity cut off",
        [&secured.concat()[..], push, reconnect, open, to_pdp, to_pep].concat(),
    );
    put(
        "session_pair",
        "everything crosses",
        [
            &installed[..],
            update,
            push,
            to_pdp,
            to_pep,
            decide,
            report,
            to_pdp,
            to_pep,
        ]
        .concat(),
    );
    put(
        "session_pair",
        "synchronised",
        [
            &installed[..],
            synchronize,
            to_pep,
            again,
            to_pdp,
            decide,
            to_pep,
            report,
            to_pdp,
        ]
        .concat(),
    );
    put(
        "session_pair",
        "cut off and back",
        [
            &installed[..],
            push,
            reconnect,
            open,
            to_pdp,
            accept,
            to_pep,
            update,
            to_pdp,
            decide,
            to_pep,
        ]
        .concat(),
    );
    put(
        "session_pair",
        "deleted while decided",
        [&installed[..], push, delete, to_pep, to_pdp, new, to_pdp].concat(),
    );
    put(
        "session_pair",
        "time passes",
        [&installed[..], timeout, to_pdp, to_pep, timeout, to_pdp, to_pep].concat(),
    );
    put(
        "session_pair",
        "closed while asked",
        [
            &installed[..],
            update,
            &[0, 17, 0x20],
            to_pdp,
            to_pep,
            open,
            to_pdp,
            accept,
            to_pep,
        ]
        .concat(),
    );
}
