//! The classes: their names, places in the tree, attributes and access.

use std::fmt;
use std::sync::LazyLock;

use super::attribute::Syntax;
use super::numbers::POWER_DIVERT_PIB;
use super::power;
use super::row::Class;
use crate::provisioning::{InstanceId, Oid, OidRef, Prid};

/// Who sends instances of a class (PIB-ACCESS, RFC 3159 section 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The PDP, in a DEC.
    Install,
    /// The PEP, in a REQ.
    Notify,
    /// Both.
    InstallNotify,
    /// The PEP, in an accounting RPT.
    ReportOnly,
}

impl Access {
    /// As the module writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Notify => "notify",
            Self::InstallNotify => "install-notify",
            Self::ReportOnly => "report-only",
        }
    }

    /// Whether a DEC may hold instances.
    pub const fn is_installed(self) -> bool {
        matches!(self, Self::Install | Self::InstallNotify)
    }

    /// Whether a REQ may hold instances.
    pub const fn is_notified(self) -> bool {
        matches!(self, Self::Notify | Self::InstallNotify)
    }
}

/// What the module says of one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeInfo {
    /// Its number, the last sub-identifier; also its place in the EPD, from 1.
    pub number: u32,
    /// The struct's field: the module's name without the class's, in snake case. The index, `...Prid`, is `instance`.
    pub field: &'static str,
    /// Its type.
    pub syntax: Syntax,
    /// Whether there is a DEFVAL.
    pub has_default: bool,
    /// Class that it refers to (PIB-REFERENCES).
    pub references: Option<Class>,
}

/// Name of a row within a context: class and number.
///
/// It is what a PRID of a class that we know says, in two numbers. Rows sort by class arc, then instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The class.
    pub class: Class,
    /// The number of the instance.
    pub instance: InstanceId,
}

impl RowId {
    /// The row that `prid` names; `None` if its class is unknown, or it names a class or a prefix.
    pub fn from_prid(prid: OidRef<'_>) -> Option<Self> {
        let (entry, instance) = prid.split_last()?;
        Some(Self {
            class: Class::from_entry(entry)?,
            instance: InstanceId::new(instance)?,
        })
    }

    /// The PRID (RFC 3084 section 4.1): the class's entry and the number.
    pub fn prid(self) -> Prid {
        // `child` fails at 128 sub-identifiers; entries have 11 at most.
        let entry = self.class.entry();
        Prid(entry.child(self.instance.get()).unwrap_or(entry))
    }
}

impl fmt::Display for RowId {
    /// As `pwrServer.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.class.name(), self.instance)
    }
}

/// The entries of all classes, in the order of [`Class::ALL`], which is that of the variants.
static ENTRIES: LazyLock<Vec<(Class, Oid)>> = LazyLock::new(|| {
    // Every list of arcs starts 1.3 and is short: never zero.
    Class::ALL
        .iter()
        .map(|class| {
            (
                *class,
                Oid::from_arcs(class.entry_arcs()).unwrap_or_else(Oid::zero),
            )
        })
        .collect()
});

/// The same by the ends of the entries: looked up for each row that comes.
static BY_END: LazyLock<Vec<(u64, Class)>> = LazyLock::new(|| {
    let mut all: Vec<_> = Class::ALL
        .iter()
        .map(|class| (end(class.entry_ref()), *class))
        .collect();
    all.sort_unstable();
    all
});

/// The last eight octets, in which the entries of all classes differ.
fn end(entry: OidRef<'_>) -> u64 {
    let octets = entry.as_octets().iter();
    octets.fold(0, |end, octet| (end << 8) | u64::from(*octet))
}

impl Class {
    /// Identifier of its entry: the PRID of an instance without its number.
    pub fn entry(self) -> Oid {
        ENTRIES
            .get(self as usize)
            .map_or_else(Oid::zero, |(_, entry)| entry.clone())
    }

    /// As [`Self::entry`], borrowed.
    pub fn entry_ref(self) -> OidRef<'static> {
        // There is one for each variant.
        ENTRIES
            .get(self as usize)
            .map_or(OidRef::ZERO, |(_, entry)| entry.as_ref())
    }

    /// The class whose entry this is.
    pub fn from_entry(entry: OidRef<'_>) -> Option<Self> {
        let end = end(entry);
        let at = BY_END.binary_search_by_key(&end, |(end, _)| *end).ok()?;
        let (_, class) = BY_END.get(at)?;
        (class.entry_ref() == entry).then_some(*class)
    }

    /// The classes whose entry stands below `prefix`, or is it.
    pub fn below(prefix: OidRef<'_>) -> impl Iterator<Item = Self> {
        ENTRIES
            .iter()
            .filter(move |(_, entry)| prefix.is_prefix_of(entry.as_ref()))
            .map(|(class, _)| *class)
    }

    /// Whether `prid` stands below the entry of a class that we know, by any number of sub-identifiers.
    pub(crate) fn is_above(prid: OidRef<'_>) -> bool {
        ENTRIES.iter().any(|(_, entry)| entry.as_ref().is_prefix_of(prid))
    }

    /// Whether it is a class of this arc of POWER-DIVERT-PIB.
    pub fn is_in(self, arc: power::Arc) -> bool {
        let base = POWER_DIVERT_PIB.len();
        let arcs = self.entry_arcs();
        arcs.starts_with(&POWER_DIVERT_PIB) && arcs.get(base) == Some(&(arc as u32))
    }

    /// Whether a context has at most one instance.
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Self::PibIncarnation | Self::DeviceId | Self::Held | Self::Plan
        )
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
