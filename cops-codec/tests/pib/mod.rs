//! Reads the text of a PIB module: no more of SPPI (RFC 3159) than our own module uses.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

/// What the module says of one OBJECT-TYPE.
#[derive(Debug, Default, Clone)]
pub(crate) struct ObjectType {
    pub(crate) syntax: Vec<String>,
    pub(crate) access: Option<String>,
    pub(crate) units: Option<String>,
    pub(crate) references: Option<String>,
    pub(crate) uniqueness: Vec<String>,
    pub(crate) install_errors: Vec<(String, i64)>,
    pub(crate) default: Option<String>,
    pub(crate) parent: String,
    pub(crate) number: u32,
}

/// A textual convention.
#[derive(Debug, Default, Clone)]
pub(crate) struct Convention {
    pub(crate) syntax: Vec<String>,
    pub(crate) is_text: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) subject_categories: Vec<(String, i64)>,
    pub(crate) objects: BTreeMap<String, ObjectType>,
    pub(crate) conventions: BTreeMap<String, Convention>,
    /// Attributes and their types, in the order of each SEQUENCE.
    pub(crate) sequences: BTreeMap<String, Vec<(String, String)>>,
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// Name, parent and number of every node.
    nodes: BTreeMap<String, (String, u32)>,
}

/// Words, strings (with their quotes) and single signs; comments are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_whitespace() {
            rest = rest.trim_start();
            continue;
        } else if rest.starts_with("--") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
            continue;
        } else if first == '"' {
            rest[1..]
                .find('"')
                .unwrap_or_else(|| panic!("a string without an end: {rest:.40}"))
                + 2
        } else if rest.starts_with("::=") {
            3
        } else if rest.starts_with("..") {
            2
        } else if first.is_alphanumeric() {
            rest.find(|c: char| !c.is_alphanumeric() && c != '-')
                .unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        tokens.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    tokens
}

/// The tokens between the braces that open at or after `from`.
fn braced(tokens: &[String], from: usize) -> &[String] {
    let open = from + tokens[from..].iter().position(|token| token == "{").unwrap();
    let close = open + tokens[open..].iter().position(|token| token == "}").unwrap();
    &tokens[open + 1..close]
}

fn names(tokens: &[String]) -> Vec<String> {
    tokens.iter().filter(|token| *token != ",").cloned().collect()
}

/// `label(number)` pairs.
pub(crate) fn labels(tokens: &[String]) -> Vec<(String, i64)> {
    tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| *token == "(")
        .map(|(at, _)| (tokens[at - 1].clone(), tokens[at + 1].parse().unwrap()))
        .collect()
}

const CLAUSES: [&str; 12] = [
    "SYNTAX",
    "UNITS",
    "PIB-ACCESS",
    "STATUS",
    "DESCRIPTION",
    "PIB-REFERENCES",
    "PIB-INDEX",
    "UNIQUENESS",
    "INSTALL-ERRORS",
    "DEFVAL",
    "DISPLAY-HINT",
    "::=",
];

/// The tokens of a clause, up to the next one.
fn clause<'a>(tokens: &'a [String], name: &str) -> Option<&'a [String]> {
    let start = tokens.iter().position(|token| token == name)? + 1;
    let next = |token: &String| CLAUSES.contains(&token.as_str());
    let end = tokens[start..]
        .iter()
        .position(next)
        .map_or(tokens.len(), |length| start + length);
    Some(&tokens[start..end])
}

impl Module {
    pub(crate) fn parse(text: &str) -> Self {
        let tokens = tokens(text);
        let mut module = Self::default();
        for at in 1..tokens.len() {
            let name = &tokens[at - 1];
            match tokens[at].as_str() {
                "OBJECT-TYPE" if name.starts_with("pwr") => {
                    let end = at + tokens[at..].iter().position(|token| token == "::=").unwrap();
                    let body = &tokens[at..end];
                    let [parent, number] = braced(&tokens, end) else {
                        panic!("{name}: no place in the tree")
                    };
                    let in_braces = |clause_name| {
                        clause(body, clause_name)
                            .map(|clause| names(braced(clause, 0)))
                            .unwrap_or_default()
                    };
                    let object = ObjectType {
                        syntax: clause(body, "SYNTAX").unwrap().to_vec(),
                        access: clause(body, "PIB-ACCESS").map(|clause| clause.concat()),
                        units: clause(body, "UNITS").map(|clause| clause[0].trim_matches('"').to_owned()),
                        references: in_braces("PIB-REFERENCES").first().cloned(),
                        uniqueness: in_braces("UNIQUENESS"),
                        install_errors: clause(body, "INSTALL-ERRORS").map(labels).unwrap_or_default(),
                        default: in_braces("DEFVAL").first().cloned(),
                        parent: parent.clone(),
                        number: number.parse().unwrap(),
                    };
                    module.nodes.insert(name.clone(), (parent.clone(), object.number));
                    module.objects.insert(name.clone(), object);
                }
                "MODULE-IDENTITY" if name.starts_with("power") => {
                    let end = at + tokens[at..].iter().position(|token| token == "::=").unwrap();
                    let categories = tokens[at..end]
                        .iter()
                        .position(|token| token == "SUBJECT-CATEGORIES");
                    module.subject_categories = labels(braced(&tokens, at + categories.unwrap()));
                    module.node(name, braced(&tokens, end));
                }
                "IDENTIFIER" if tokens.get(at + 1).is_some_and(|token| token == "::=") => {
                    module.node(&tokens[at - 2], braced(&tokens, at));
                }
                "OBJECT-GROUP" if name.starts_with("pwr") => {
                    module.groups.insert(name.clone(), names(braced(&tokens, at)));
                }
                "::=" if tokens[at + 1] == "TEXTUAL-CONVENTION" => {
                    let hint = tokens[at + 2] == "DISPLAY-HINT" && tokens[at + 3].ends_with("t\"");
                    let syntax = at + tokens[at..].iter().position(|token| token == "SYNTAX").unwrap() + 1;
                    let end = tokens[syntax..]
                        .iter()
                        .zip(&tokens[syntax + 1..])
                        .position(|(this, next)| {
                            next == "::=" || next == "OBJECT" || next == "OBJECT-TYPE" || this == "OBJECT"
                        })
                        .unwrap();
                    let syntax = tokens[syntax..syntax + end].to_vec();
                    module.conventions.insert(
                        name.clone(),
                        Convention {
                            syntax,
                            is_text: hint,
                        },
                    );
                }
                "::=" if tokens[at + 1] == "SEQUENCE" => {
                    let pairs = names(braced(&tokens, at)).join(" ");
                    let pairs = pairs.replace("OCTET STRING", "OCTET-STRING");
                    let words: Vec<&str> = pairs.split(' ').collect();
                    let pairs = words
                        .chunks(2)
                        .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
                        .collect();
                    module.sequences.insert(name.clone(), pairs);
                }
                _ => {}
            }
        }
        module
    }

    fn node(&mut self, name: &str, place: &[String]) {
        let [parent, number] = place else {
            panic!("{name}: {place:?}")
        };
        self.nodes
            .insert(name.to_owned(), (parent.clone(), number.parse().unwrap()));
    }

    /// The identifier of a node.
    pub(crate) fn arcs(&self, name: &str) -> Vec<u32> {
        match self.nodes.get(name) {
            Some((parent, number)) => [self.arcs(parent), vec![*number]].concat(),
            None if name == "enterprises" => vec![1, 3, 6, 1, 4, 1],
            None => panic!("{name} stands nowhere"),
        }
    }
}
