//! docs/openapi.json against the router, and against what a real PDP answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::collections::BTreeSet;
use std::path::Path;

use pdp_server::api::CommandScope;
use power_policy::model::Phase;
use serde_json::Value;
use system_tests::cluster_run::{ClusterOptions, ClusterRun};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

fn description() -> Value {
    serde_json::from_str(&read("docs/openapi.json")).unwrap()
}

/// Paths with their methods, as the router's source has them.
fn routes() -> BTreeSet<(String, String)> {
    let source = read("pdp-server/src/io/admin/server.rs");
    source
        .split(".route(\"")
        .skip(1)
        .map(|rest| {
            let (path, rest) = rest.split_once("\", ").unwrap();
            let (method, _) = rest.split_once('(').unwrap();
            (path.to_owned(), method.to_owned())
        })
        .collect()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let description = description();
    let described: BTreeSet<(String, String)> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.keys().map(|method| (path.clone(), method.clone()))
        })
        .collect();
    assert_eq!(routes(), described);
    assert!(described.len() > 10);
    // And what the types' own documentation says of them.
    let api = read("pdp-server/src/api.rs");
    for (path, method) in described {
        assert!(
            api.contains(&format!("`{} {path}", method.to_uppercase())) || path == "/v1/availability",
            "{method} {path}"
        );
    }
}

/// What of a value does not fit a schema: the part of JSON Schema that the description uses. A field that is not described does
/// not fit either.
struct Checker<'a> {
    schemas: &'a Value,
}

impl Checker<'_> {
    fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str() {
            Some(name) => {
                let name = name.strip_prefix("#/components/schemas/").unwrap();
                self.schemas
                    .get(name)
                    .unwrap_or_else(|| panic!("no schema {name}"))
            }
            None => schema,
        }
    }

    /// Names of the fields that a schema, or any part of it, describes.
    fn fields(&self, schema: &Value, found: &mut BTreeSet<String>) {
        let schema = self.resolve(schema);
        if let Some(properties) = schema["properties"].as_object() {
            found.extend(properties.keys().cloned());
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            for part in schema[word].as_array().into_iter().flatten() {
                self.fields(part, found);
            }
        }
    }

    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolve(schema);
        let mut described = BTreeSet::new();
        self.fields(schema, &mut described);
        if let Some(object) = value.as_object().filter(|_| !described.is_empty()) {
            let stray = object.keys().find(|field| !described.contains(*field));
            if let Some(stray) = stray {
                return Err(format!("{at}: {stray} is not described"));
            }
        }
        self.check_parts(schema, value, at)
    }

    fn check_parts(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolve(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.check_parts(part, value, at)?;
        }
        for word in ["anyOf", "oneOf"] {
            let Some(parts) = schema[word].as_array() else {
                continue;
            };
            let misfits: Vec<String> = parts
                .iter()
                .map(|part| self.check_parts(part, value, at))
                .filter_map(Result::err)
                .collect();
            if misfits.len() == parts.len() {
                return Err(format!("{at}: none of {word} fits: {}", misfits.join("; ")));
            }
        }
        if let Some(expected) = schema.get("const").filter(|expected| *expected != value) {
            return Err(format!("{at}: expected {expected}, found {value}"));
        }
        if let Some(list) = schema["enum"].as_array().filter(|list| !list.contains(value)) {
            return Err(format!("{at}: expected one of {list:?}, found {value}"));
        }
        let is_of_type = match schema["type"].as_str() {
            None => true,
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            Some(other) => panic!("{at}: the checker does not know the type {other}"),
        };
        if !is_of_type {
            return Err(format!("{at}: expected {}, found {value}", schema["type"]));
        }
        if let Some(minimum) = schema["minimum"].as_i64()
            && value.as_i64().is_some_and(|found| found < minimum)
        {
            return Err(format!("{at}: {value} is below {minimum}"));
        }
        if let Some(object) = value.as_object() {
            for field in schema["required"].as_array().into_iter().flatten() {
                let field = field.as_str().unwrap();
                if !object.contains_key(field) {
                    return Err(format!("{at}: {field} is missing"));
                }
            }
            for (field, of_field) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(value) = object.get(field) {
                    self.check(of_field, value, &format!("{at}.{field}"))?;
                }
            }
            if let Some(of_all) = schema.get("additionalProperties") {
                for (field, value) in object {
                    self.check(of_all, value, &format!("{at}.{field}"))?;
                }
            }
        }
        if let (Some(items), Some(array)) = (schema.get("items"), value.as_array()) {
            for (number, item) in array.iter().enumerate() {
                self.check(items, item, &format!("{at}[{number}]"))?;
            }
        }
        Ok(())
    }
}

/// Each path that answers with JSON of bounded length fits its schema.
async fn all_fit(cluster: &ClusterRun, description: &Value) {
    let checker = Checker {
        schemas: &description["components"]["schemas"],
    };
    let admin = cluster.pdp.admin();
    for (path, methods) in description["paths"].as_object().unwrap() {
        let schema = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let value = admin.value(path).await.unwrap();
        if let Err(misfit) = checker.check(schema, &value, path) {
            panic!("{misfit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pdp_answers_fits_the_description_in_quiet_days_and_in_an_interruption() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let admin = cluster.pdp.admin();
    let served = admin.value("/v1/openapi.json").await.unwrap();
    let description = description();
    assert_eq!(served, description);
    all_fit(&cluster, &description).await;
    let answer = admin.interrupt("openapi", CommandScope::Cluster).await.unwrap();
    let checker = Checker {
        schemas: &description["components"]["schemas"],
    };
    let answer = serde_json::to_value(answer).unwrap();
    checker
        .check(
            &serde_json::json!({"$ref": "#/components/schemas/CommandAnswer"}),
            &answer,
            "answer",
        )
        .unwrap();
    cluster
        .pdp
        .until("something is shed", |s| {
            s.phase == Phase::Interrupted && s.activities.iter().any(|a| a.shed)
        })
        .await
        .unwrap();
    all_fit(&cluster, &description).await;
    // Events of many kinds by now.
    let mut events = admin.events(Some(0)).await.unwrap();
    let last = admin.status().await.unwrap().last_event;
    loop {
        let event = events.next().await.unwrap().unwrap();
        let seq = event.seq;
        let event = serde_json::to_value(event).unwrap();
        checker
            .check(
                &serde_json::json!({"$ref": "#/components/schemas/Event"}),
                &event,
                "event",
            )
            .unwrap();
        if seq >= last {
            break;
        }
    }
}

#[test]
fn the_checker_finds_what_does_not_fit() {
    let description = description();
    let checker = Checker {
        schemas: &description["components"]["schemas"],
    };
    let me = serde_json::json!({"$ref": "#/components/schemas/Me"});
    let fits = |value: Value| checker.check(&me, &value, "me");
    fits(serde_json::json!({"name": "a", "role": "viewer"})).unwrap();
    for wrong in [
        serde_json::json!({"name": "a"}),
        serde_json::json!({"name": 1, "role": "viewer"}),
        serde_json::json!({"name": "a", "role": "owner"}),
        serde_json::json!({"name": "a", "role": "viewer", "more": 1}),
    ] {
        fits(wrong.clone()).expect_err(&wrong.to_string());
    }
}
