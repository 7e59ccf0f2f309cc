//! As much of RSVP as admission by bandwidth needs: the token rate in the FLOWSPEC of a Resv message.
//!
//! To COPS the objects of the signalled message are octets (RFC 2749 2.3); what reads them is the client-type.

/// Class of the FLOWSPEC object (RFC 2205 A.7).
const FLOWSPEC: u8 = 9;
/// C-Type of the Int-Serv flowspec (RFC 2210 3.2).
const INT_SERV: u8 = 2;
/// Token bucket, the first parameter of both Int-Serv services (RFC 2215 3.6).
const TOKEN_BUCKET_TSPEC: u8 = 127;
/// Largest rate that the Int-Serv rules allow, in octets a second (RFC 2215 3.6: 40 terabytes a second).
const MAX_RATE: f32 = 40e12;

/// Why there is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRate {
    /// There is no FLOWSPEC object.
    Missing,
    /// An object's length, or the FLOWSPEC's contents, are wrong; the offset is that of the object.
    Malformed {
        /// Octets before the object.
        offset: usize,
    },
}

/// The token rate, in octets a second, of the first FLOWSPEC among RSVP objects.
///
/// ```text
///  +-------------+-------------+-------------+-------------+
///  |       Length (bytes)      |  Class-Num  |   C-Type    |   RFC 2205 3.1.2
///  +-------------+-------------+-------------+-------------+
///  | version, reserved         | Int-Serv length (words)   |   RFC 2210 3.2, FLOWSPEC
///  | service     | reserved    | service length (words)    |
///  | parameter   | flags       | parameter length (words)  |
///  | token bucket rate [r], IEEE single precision          |
/// ```
///
/// # Errors
/// [`NoRate`].
pub(crate) fn token_rate(objects: &[u8]) -> Result<u64, NoRate> {
    let mut offset = 0;
    while offset < objects.len() {
        let malformed = NoRate::Malformed { offset };
        let rest = objects.get(offset..).ok_or(malformed)?;
        let [high, low, class, c_type, ..] = *rest else {
            return Err(malformed);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 4 || !length.is_multiple_of(4) {
            return Err(malformed);
        }
        let contents = rest.get(4..length).ok_or(malformed)?;
        if (class, c_type) == (FLOWSPEC, INT_SERV) {
            return int_serv_rate(contents).ok_or(malformed);
        }
        offset += length;
    }
    Err(NoRate::Missing)
}

fn int_serv_rate(contents: &[u8]) -> Option<u64> {
    let (headers, parameters) = contents.split_at_checked(8)?;
    // Format version 0; then the header of the service, controlled load (5) or guaranteed (2).
    if headers[0] >> 4 != 0 {
        return None;
    }
    let [parameter, _flags, ..] = *parameters else {
        return None;
    };
    if parameter != TOKEN_BUCKET_TSPEC {
        return None;
    }
    let rate = f32::from_be_bytes(parameters.get(4..8)?.try_into().ok()?);
    (0.0..=MAX_RATE).contains(&rate).then_some(rate.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A FLOWSPEC for the controlled-load service.
    fn controlled_load(octets_a_second: u32) -> Vec<u8> {
        let mut object = vec![0, 36, FLOWSPEC, INT_SERV];
        object.extend([0, 0, 0, 7, 5, 0, 0, 6, TOKEN_BUCKET_TSPEC, 0, 0, 5]);
        object.extend((octets_a_second as f32).to_be_bytes());
        // Bucket size, peak rate, minimum policed unit, largest packet.
        object.extend(1_500.0_f32.to_be_bytes());
        object.extend((octets_a_second as f32).to_be_bytes());
        object.extend(64_u32.to_be_bytes());
        object.extend(1_500_u32.to_be_bytes());
        object
    }

    /// SESSION (1,1), STYLE (8,1), FLOWSPEC, as in a Resv message.
    fn resv(rate: u32) -> Vec<u8> {
        let mut objects = vec![
            0, 12, 1, 1, 192, 0, 2, 1, 17, 0, 0x13, 0x88, 0, 8, 8, 1, 0, 0, 0, 10,
        ];
        objects.extend(controlled_load(rate));
        objects
    }

    #[test]
    fn the_rate_of_a_resv_message() {
        assert_eq!(token_rate(&resv(125_000)), Ok(125_000));
        assert_eq!(token_rate(&resv(0)), Ok(0));
        assert_eq!(token_rate(&resv(1)[..20]), Err(NoRate::Missing));
        assert_eq!(token_rate(&[]), Err(NoRate::Missing));
    }

    #[test]
    fn every_truncation_and_every_bad_rate_is_refused() {
        let whole = resv(7);
        for length in 0..whole.len() {
            assert!(token_rate(&whole[..length]).is_err(), "{length} octets");
        }
        for bad in [f32::NAN, f32::INFINITY, -1.0, MAX_RATE * 2.0] {
            let mut octets = whole.clone();
            octets[36..40].copy_from_slice(&bad.to_be_bytes());
            assert_eq!(
                token_rate(&octets),
                Err(NoRate::Malformed { offset: 20 }),
                "{bad}"
            );
        }
        let mut octets = whole;
        octets[1] = 0;
        assert_eq!(
            token_rate(&octets),
            Err(NoRate::Malformed { offset: 0 }),
            "no end"
        );
    }
}
