//! docs/POWER-DIVERT-PIB: that it is a PIB module, and that it says what the code does.
#![allow(clippy::unwrap_used, clippy::panic)]
// A test runs the outside tool and writes broken copies for it; the crate itself does neither.
#![allow(clippy::disallowed_methods)]

mod pib;
mod rows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cops_codec::client_type::numbers::{POWER_CLIENT_TYPE, POWER_DIVERT_PIB};
use cops_codec::client_type::power::{
    ActionError, DivertError, HostError, IntakeError, PatternError, PlanError,
};
use cops_codec::client_type::{AttributeInfo, Class, Row, Syntax};
use cops_codec::provisioning::ber::{Reader, Value};
use cops_codec::provisioning::binding::Bindings;
use cops_codec::provisioning::object;
use pib::{Module, ObjectType, labels};

const MODULE: &str = include_str!("../../docs/POWER-DIVERT-PIB");

/// `idle_milliwatts` as `IdleMilliwatts`.
fn upper_camel(field: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    field.split('_').map(word).collect()
}

/// `OffSeen` as `offSeen`.
fn lower_first(name: &str) -> String {
    name[..1].to_lowercase() + &name[1..]
}

fn attribute_name(class: Class, attribute: &AttributeInfo) -> String {
    match attribute.field {
        "instance" => format!("{}Prid", class.name()),
        field => format!("{}{}", class.name(), upper_camel(field)),
    }
}

fn power_classes() -> impl Iterator<Item = Class> {
    Class::ALL
        .iter()
        .copied()
        .filter(|class| class.entry_arcs().starts_with(&POWER_DIVERT_PIB))
}

fn install_errors(class: Class) -> &'static [(&'static str, u16)] {
    match class {
        Class::Plan => PlanError::ALL,
        Class::Action => ActionError::ALL,
        Class::Divert => DivertError::ALL,
        Class::Intake => IntakeError::ALL,
        Class::Host => HostError::ALL,
        Class::Grouping | Class::ReadingSel => PatternError::ALL,
        _ => &[],
    }
}

/// `( a .. b )` or `( a )` at the end of a SYNTAX clause.
fn range(tokens: &[String]) -> Option<(u64, u64)> {
    let numbers: Vec<u64> = tokens.iter().filter_map(|token| token.parse().ok()).collect();
    match numbers[..] {
        [one] => Some((one, one)),
        [first, last] => Some((first, last)),
        _ => None,
    }
}

/// The SYNTAX clause as the code would put it, with textual conventions resolved.
fn says(module: &Module, object: &ObjectType) -> String {
    let first = object.syntax[0].as_str();
    let (syntax, is_text) = match module.conventions.get(first) {
        Some(convention) => (&convention.syntax, convention.is_text),
        None => (&object.syntax, false),
    };
    match syntax[0].as_str() {
        "INTEGER" => format!("enumeration {:?}", labels(syntax)),
        "OCTET" if syntax.contains(&"|".to_owned()) => "OCTET STRING of 0 or 32".to_owned(),
        "OCTET" => {
            let (min, max) = range(syntax).unwrap();
            format!("OCTET STRING {min}..{max}, text {is_text}")
        }
        "Unsigned32" => {
            let (min, max) = range(syntax).unwrap_or((0, u32::MAX.into()));
            format!("Unsigned32 {min}..{max}")
        }
        other => other.to_owned(),
    }
}

fn means(syntax: Syntax) -> String {
    match syntax {
        Syntax::Enumeration(variants) => {
            let labels: Vec<(String, i64)> = variants
                .iter()
                .map(|(name, number)| (lower_first(name), i64::from(*number)))
                .collect();
            format!("enumeration {labels:?}")
        }
        Syntax::DigestOrNone => "OCTET STRING of 0 or 32".to_owned(),
        Syntax::OctetString { min, max, text } => format!("OCTET STRING {min}..{max}, text {text}"),
        Syntax::Unsigned32 { min, max } => format!("Unsigned32 {min}..{max}"),
        other => format!("{other:?}"),
    }
}

/// What NULL in the place of the attribute is read as, in BER.
fn default_of(row: &Row, attribute: &AttributeInfo) -> Option<Vec<u8>> {
    let split = |octets: &[u8]| {
        let binding = Bindings::new(octets, 0).next().unwrap().unwrap();
        let contents = binding.epd.contents;
        let mut reader = Reader::new(contents, 0);
        let mut values = Vec::new();
        while let Some(located) = reader.next_value().unwrap() {
            values.push(contents[located.offset..reader.offset()].to_vec());
        }
        values
    };
    let index = attribute.number as usize - 1;
    let mut values = split(&row.to_vec());
    values[index] = vec![0x05, 0x00];
    let mut octets = Vec::new();
    object::write_prid(&mut octets, row.prid().as_oid());
    object::write_epd(&mut octets, &values.concat()).unwrap();
    let binding = Bindings::new(&octets, 0).next().unwrap().unwrap();
    let decoded = Row::decode(&binding).ok()?;
    Some(split(&decoded.row.to_vec())[index].clone())
}

/// What a DEFVAL clause says, in BER.
fn defval(text: &str, syntax: Syntax) -> Vec<u8> {
    let mut out = Vec::new();
    match (text, syntax) {
        ("\"\"", _) => Value::OctetString(&[]).encode(&mut out),
        ("true", _) => Value::Integer(1).encode(&mut out),
        ("false", _) => Value::Integer(2).encode(&mut out),
        (label, Syntax::Enumeration(variants)) => {
            let (_, number) = variants
                .iter()
                .find(|(name, _)| lower_first(name) == label)
                .unwrap();
            Value::Integer((*number).into()).encode(&mut out);
        }
        (number, _) => Value::Unsigned32(number.parse().unwrap()).encode(&mut out),
    }
    out
}

/// The unit that the end of a name stands for.
fn unit_of(name: &str) -> Option<&'static str> {
    let units = [
        ("Milliwatts", "milliwatts"),
        ("Millis", "milliseconds"),
        ("Seconds", "seconds"),
        ("SecondsLeft", "seconds"),
        ("Joules", "joules"),
        ("Permille", "permille"),
        ("Mebibytes", "mebibytes"),
    ];
    units
        .into_iter()
        .find(|(end, _)| name.ends_with(end))
        .map(|(_, unit)| unit)
}

/// Everything in which module and code differ.
fn differences(text: &str) -> Vec<String> {
    let module = Module::parse(text);
    let samples = rows::samples();
    let mut found = Vec::new();
    let mut differ = |what: String, module: String, code: String| {
        if module != code {
            found.push(format!("{what}: module {module}, code {code}"));
        }
    };
    let number = module.subject_categories.first().map(|(_, number)| *number);
    differ(
        "client-type".into(),
        format!("{number:?}"),
        format!("{:?}", Some(i64::from(POWER_CLIENT_TYPE.0))),
    );
    differ(
        "root".into(),
        format!("{:?}", module.arcs("powerDivertPib")),
        format!("{POWER_DIVERT_PIB:?}"),
    );

    let tables: BTreeSet<String> = module
        .objects
        .keys()
        .filter_map(|name| name.strip_suffix("Table"))
        .map(str::to_owned)
        .collect();
    let classes: BTreeSet<String> = power_classes().map(|class| class.name().to_owned()).collect();
    differ("classes".into(), format!("{tables:?}"), format!("{classes:?}"));

    for class in power_classes() {
        let name = class.name();
        let (Some(table), Some(entry)) = (
            module.objects.get(&format!("{name}Table")),
            module.objects.get(&format!("{name}Entry")),
        ) else {
            continue;
        };
        differ(
            format!("{name}: identifier"),
            format!("{:?}", module.arcs(&format!("{name}Entry"))),
            format!("{:?}", class.entry_arcs()),
        );
        differ(
            format!("{name}: access"),
            table.access.clone().unwrap_or_default(),
            class.access().label().into(),
        );
        let unique: Vec<String> = class
            .uniqueness()
            .iter()
            .map(|field| format!("{name}{}", upper_camel(field)))
            .collect();
        differ(
            format!("{name}: uniqueness"),
            format!("{:?}", entry.uniqueness),
            format!("{unique:?}"),
        );
        let errors: Vec<(String, i64)> = install_errors(class)
            .iter()
            .map(|(name, number)| (lower_first(name), i64::from(*number)))
            .collect();
        differ(
            format!("{name}: install errors"),
            format!("{:?}", table.install_errors),
            format!("{errors:?}"),
        );

        let mut columns: Vec<(&String, &ObjectType)> = module
            .objects
            .iter()
            .filter(|(_, object)| object.parent == format!("{name}Entry"))
            .collect();
        columns.sort_by_key(|(_, object)| object.number);
        let names: Vec<&String> = columns.iter().map(|(name, _)| *name).collect();
        let fields: Vec<String> = class
            .attributes()
            .iter()
            .map(|attribute| attribute_name(class, attribute))
            .collect();
        differ(
            format!("{name}: attributes"),
            format!("{names:?}"),
            format!("{fields:?}"),
        );
        let group = module.groups.get(&format!("{name}Group"));
        differ(
            format!("{name}: group"),
            format!("{group:?}"),
            format!("{:?}", Some(&fields)),
        );
        let sequence = module.sequences.get(&upper_camel(&format!("{name}Entry")));
        let columns_as_sequence: Vec<(String, String)> = columns
            .iter()
            .map(|(name, object)| {
                let first = object.syntax[0].as_str();
                (
                    (*name).clone(),
                    if first == "OCTET" { "OCTET-STRING" } else { first }.to_owned(),
                )
            })
            .collect();
        differ(
            format!("{name}: sequence"),
            format!("{sequence:?}"),
            format!("{:?}", Some(columns_as_sequence)),
        );

        let row = samples.iter().find(|row| row.class() == class).unwrap();
        for ((column, object), attribute) in columns.into_iter().zip(class.attributes()) {
            differ(
                format!("{column}: number"),
                object.number.to_string(),
                attribute.number.to_string(),
            );
            differ(
                format!("{column}: syntax"),
                says(&module, object),
                means(attribute.syntax),
            );
            let references = attribute.references.map(|class| format!("{}Entry", class.name()));
            differ(
                format!("{column}: references"),
                format!("{:?}", object.references),
                format!("{references:?}"),
            );
            let default = object.default.as_ref().map(|text| defval(text, attribute.syntax));
            differ(
                format!("{column}: default"),
                format!("{default:02x?}"),
                format!("{:02x?}", default_of(row, attribute)),
            );
            differ(
                format!("{column}: has a default"),
                default.is_some().to_string(),
                attribute.has_default.to_string(),
            );
            differ(
                format!("{column}: unit"),
                format!("{:?}", object.units.as_deref()),
                format!("{:?}", unit_of(column)),
            );
        }
    }
    found
}

#[test]
fn module_and_code_say_the_same() {
    assert_eq!(power_classes().count(), 22);
    assert_eq!(differences(MODULE), Vec::<String>::new());
}

/// The comparison above can fail: each of these changes is seen.
#[test]
fn the_comparison_sees_every_kind_of_difference() {
    let table = [
        ("powerDivert(20567)", "powerDivert(20568)", "client-type"),
        ("enterprises 32473", "enterprises 32474", "root"),
        ("pwrSupplyTable", "pwrFeedTable", "classes"),
        (
            "::= { pwrFacts 3 }",
            "::= { pwrFacts 33 }",
            "pwrDomain: identifier",
        ),
        (
            "PIB-ACCESS report-only",
            "PIB-ACCESS notify",
            "pwrReserveReading: access",
        ),
        (
            "UNIQUENESS { pwrStageOrder }",
            "UNIQUENESS { }",
            "pwrStage: uniqueness",
        ),
        (
            "staleGeneration(1)",
            "staleGeneration(4)",
            "pwrPlan: install errors",
        ),
        (
            "::= { pwrStageEntry 5 }",
            "::= { pwrStageEntry 6 }",
            "pwrStageLocal: number",
        ),
        (
            "pwrStageLocal     TruthValue",
            "pwrStageLocal     Unsigned32",
            "pwrStage: sequence",
        ),
        (
            "        pwrStageThreshold,\n        pwrStageLocal\n",
            "        pwrStageThreshold\n",
            "pwrStage: group",
        ),
        ("offSeen(3)", "offSeen(5)", "pwrServerPowered: syntax"),
        (
            "Unsigned32 (1000..2000)",
            "Unsigned32 (1000..3000)",
            "pwrReservePeukertPermille: syntax",
        ),
        (
            "OCTET STRING (SIZE (1..64))",
            "OCTET STRING (SIZE (1..65))",
            "pwrServerName: syntax",
        ),
        (
            "PIB-REFERENCES { pwrSetEntry }",
            "PIB-REFERENCES { pwrStageEntry }",
            "pwrGroupingSet: references",
        ),
        (
            "DEFVAL { custodian }",
            "DEFVAL { witness }",
            "pwrServerRole: default",
        ),
        ("    DEFVAL { custodian }\n", "", "pwrServerRole: has a default"),
        (
            "UNITS \"permille\"",
            "UNITS \"percent\"",
            "pwrReserveEfficiencyPermille: unit",
        ),
    ];
    for (from, to, seen) in table {
        let changed = MODULE.replacen(from, to, 1);
        assert_ne!(changed, MODULE, "{from} does not stand in the module");
        let found = differences(&changed);
        assert!(
            found.iter().any(|difference| difference.starts_with(seen)),
            "{from} as {to}: {found:?}"
        );
    }
    // Two attributes that change places.
    let swapped = MODULE
        .replacen("::= { pwrStageEntry 3 }", "::= { pwrStageEntry X }", 1)
        .replacen("::= { pwrStageEntry 2 }", "::= { pwrStageEntry 3 }", 1)
        .replacen("::= { pwrStageEntry X }", "::= { pwrStageEntry 2 }", 1);
    assert!(
        differences(&swapped)
            .iter()
            .any(|difference| difference.starts_with("pwrStage: attributes"))
    );
}

fn stand_ins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pib-modules")
}

/// A folder of its own, gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pib-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What smilint prints of a module, on either stream. Its exit status is 0 even after errors.
fn smilint(module: &Path, configuration: &Path) -> String {
    let output = Command::new("smilint")
        .args(["-s", "-m", "-l", "9", "-c"])
        .args([configuration, module])
        .env("SMIPATH", stand_ins())
        .output()
        .unwrap_or_else(|error| {
            panic!("smilint cannot be run ({error}); it is in Debian's package smitools: apt-get install smitools")
        });
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn smilint_finds_nothing_in_the_module() {
    let folder = Folder::new("whole");
    let empty = folder.write("smi.conf", "");
    let module = folder.write("POWER-DIVERT-PIB", MODULE);
    assert_eq!(smilint(&module, &empty), "");
}

/// Shows that an empty output means something.
#[test]
fn smilint_finds_faults_in_broken_copies() {
    let folder = Folder::new("broken");
    let empty = folder.write("smi.conf", "");
    let table = [
        ("    PIB-ACCESS notify\n", "", "table-lacks-pib-access"),
        (
            "PIB-INDEX { pwrServerPrid }",
            "PIB-INDEX { pwrServerName }",
            "POWER-DIVERT-PIB",
        ),
        ("SYNTAX PwrJoules", "SYNTAX PwrJoule", "POWER-DIVERT-PIB"),
        ("    PIB-REFERENCES { pwrServerEntry }\n", "", "POWER-DIVERT-PIB"),
    ];
    for (from, to, said) in table {
        let broken = MODULE.replacen(from, to, 1);
        assert_ne!(broken, MODULE, "{from} does not stand in the module");
        let module = folder.write("POWER-DIVERT-PIB", &broken);
        let output = smilint(&module, &empty);
        assert!(output.contains(said), "{from} as {to}: smilint prints {output:?}");
    }
}
