//! Actions of resources: where they are posted to, and what becomes of those that take their time.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use super::service::{RedfishError, RedfishService};

/// How often a task is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Where an action of a resource is posted to: the resource says it.
pub(super) fn target(path: &str, resource: &Value, action: &str) -> Result<String, RedfishError> {
    resource["Actions"][format!("#{action}")]["target"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| RedfishError::Answer {
            path: path.to_owned(),
            problem: format!("it has no action {action}"),
        })
}

/// Posts an action, and follows its task to its end (DSP0266 section 10.10). Whoever waits sets the time.
pub(super) async fn act(service: &RedfishService, target: &str, form: Value) -> Result<(), RedfishError> {
    let answer = service.ask(Method::POST, target, Some(form)).await?;
    let (StatusCode::ACCEPTED, Some(monitor)) = (answer.status, answer.location) else {
        return Ok(());
    };
    loop {
        let answer = service.ask(Method::GET, &monitor, None).await?;
        // A monitor answers 202 until its task has ended, and then as the action would have; a Task resource says its state.
        let state = answer.body["TaskState"].as_str();
        match (answer.status, state) {
            (_, Some("Exception" | "Killed" | "Cancelled" | "Interrupted")) => {
                let message = answer.body["Messages"][0]["Message"]
                    .as_str()
                    .unwrap_or("it does not say why");
                return Err(RedfishError::Answer {
                    path: monitor,
                    problem: format!("the task ended as {}: {message}", state.unwrap_or_default()),
                });
            }
            (StatusCode::ACCEPTED, _) | (_, Some("New" | "Starting" | "Running" | "Pending")) => {
                sleep(LOOK).await;
            }
            _ => return Ok(()),
        }
    }
}
